/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c: bytes of a peer become a request, by http_parser's callbacks.
 *
 * Happy path   1 target and headers into `head`
 *              2 at the end of the headers: check them, answer "Expect"
 *              3 body
 *              4 whole: the parser is paused, so that nothing of the next request is touched
 * Can fail     a status for the peer, after which the connection closes: 400, 408, 413, 417, 431,
 *              500, 501, 503, 505.
 * Invariants   at most OAK_HTTP_HEAD_BYTES_MAX of head and OAK_HTTP_BODY_BYTES_MAX of body are
 *              kept. Where a request ends must be beyond doubt, or what follows could be smuggled
 *              past somebody in front of us: a length and chunks together, two lengths, any
 *              coding but "chunked", and odd header names are refused.
 */
#include "http/internal.h"

static struct http_conn *of_parser(http_parser *parser)
{
    return parser->data;
}

/* Refuse the input. A callback returns it: not 0 stops the parser. */
static int refuse(struct http_conn *c, int status)
{
    c->status = status;
    return -1;
}

static int on_begin(http_parser *parser)
{
    struct http_conn *c = of_parser(parser);
    OAK_ASSERT(c->request == NULL);
    c->in_value = true; /* the first piece of a name starts a header */
    c->request = http__request_new(c);
    if (c->request == NULL) {
        return refuse(c, 503);
    }
    http__conn_enter(c, HTTP_STATE_HEAD);
    return 0;
}

/* Keep a piece of the head. */
static int head_add(struct http_conn *c, const char *at, size_t size, size_t *kept)
{
    struct oak_buf *head = &c->request->head;
    /* Four bytes of ": " and the line's end go with each header. */
    size_t used = head->size + 4 * c->request->headers.count;
    if (used > OAK_HTTP_HEAD_BYTES_MAX || size > OAK_HTTP_HEAD_BYTES_MAX - used) {
        return refuse(c, 431);
    }
    if (oak_buf_append(head, at, size) != 0) {
        return refuse(c, 503);
    }
    *kept += size;
    return 0;
}

static int on_target(http_parser *parser, const char *at, size_t size)
{
    struct http_conn *c = of_parser(parser);
    return head_add(c, at, size, &c->request->target_size);
}

static int on_name(http_parser *parser, const char *at, size_t size)
{
    struct http_conn *c = of_parser(parser);
    struct http_pairs *headers = &c->request->headers;
    if (c->state == HTTP_STATE_BODY) {
        return 0; /* a trailer: it was not there when the head was checked, so it says nothing */
    }
    if (c->in_value) {
        c->in_value = false;
        struct http_pair pair = {.name.at = c->request->head.size};
        if (http__pairs_add(headers, pair) != 0) {
            return refuse(c, 503);
        }
    }
    return head_add(c, at, size, &headers->data[headers->count - 1].name.size);
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct http_conn *c = of_parser(parser);
    struct http_pairs *headers = &c->request->headers;
    if (c->state == HTTP_STATE_BODY) {
        return 0;
    }
    OAK_ASSERT_GT(headers->count, 0u);
    struct http_pair *pair = &headers->data[headers->count - 1];
    if (!c->in_value) {
        c->in_value = true;
        pair->value.at = c->request->head.size;
    } else if (!c->value_open) {
        return refuse(c, 400); /* a line folded into the value; others would read two headers */
    }
    c->value_open = at + size == c->input_end;
    return head_add(c, at, size, &pair->value.size);
}

static bool is_token(uint8_t c)
{
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    bool digit = c >= '0' && c <= '9';
    return letter || digit || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Check one header, and cut blanks off the end of its value. */
static bool header_tidy(const struct oak_http_request *r, struct http_pair *pair)
{
    const uint8_t *name = r->head.data + pair->name.at;
    const uint8_t *value = r->head.data + pair->value.at;
    for (size_t i = 0; i < pair->name.size; i++) {
        if (!is_token(name[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < pair->value.size; i++) {
        if ((value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f) {
            return false;
        }
    }
    while (pair->value.size > 0 && is_blank(value[pair->value.size - 1])) {
        pair->value.size--;
    }
    return pair->name.size > 0;
}

static bool value_is(struct oak_bytes value, const char *lower)
{
    if (value.size != strlen(lower)) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if ((value.data[i] | 0x20) != (uint8_t)(lower[i] | 0x20)) {
            return false;
        }
    }
    return true;
}

/* How the body comes, if one comes. 0, or the status to refuse with. */
static int framing_check(const struct oak_http_request *r, const http_parser *parser)
{
    struct oak_bytes coding = http__header(r, "transfer-encoding", 0);
    struct oak_bytes length = http__header(r, "content-length", 0);
    if (coding.data == NULL) {
        bool twice = http__header(r, "content-length", 1).data != NULL;
        bool too_long = length.data != NULL && parser->content_length > OAK_HTTP_BODY_BYTES_MAX;
        return twice ? 400 : too_long ? 413 : 0;
    }
    if (length.data != NULL || r->old || http__header(r, "transfer-encoding", 1).data != NULL) {
        return 400;
    }
    return value_is(coding, "chunked") ? 0 : 501;
}

/* 0, or the status to refuse with. */
static int head_check(const struct oak_http_request *r, const http_parser *parser)
{
    for (size_t i = 0; i < r->headers.count; i++) {
        if (!header_tidy(r, &r->headers.data[i])) {
            return 400;
        }
    }
    if (parser->http_major != 1) {
        return 505;
    }
    bool host = http__header(r, "host", 0).data != NULL;
    if ((!host && !r->old) || http__header(r, "host", 1).data != NULL) {
        return 400;
    }
    if (parser->method == HTTP_CONNECT) {
        return 501; /* what follows it would not be HTTP */
    }
    struct oak_bytes expect = http__header(r, "expect", 0);
    if (expect.data != NULL && !r->old && !value_is(expect, "100-continue")) {
        return 417;
    }
    return framing_check(r, parser);
}

static enum oak_http_method method_of(const http_parser *parser)
{
    switch (parser->method) {
    case HTTP_GET:
        return OAK_HTTP_GET;
    case HTTP_POST:
        return OAK_HTTP_POST;
    case HTTP_PUT:
        return OAK_HTTP_PUT;
    case HTTP_DELETE:
        return OAK_HTTP_DELETE;
    case HTTP_HEAD:
        return OAK_HTTP_HEAD;
    case HTTP_OPTIONS:
        return OAK_HTTP_OPTIONS;
    default:
        return 0;
    }
}

static int on_head(http_parser *parser)
{
    struct http_conn *c = of_parser(parser);
    struct oak_http_request *r = c->request;
    r->old = parser->http_major == 1 && parser->http_minor == 0;
    r->method = method_of(parser);
    r->head_only = r->method == OAK_HTTP_HEAD;
    int status = head_check(r, parser);
    if (status != 0) {
        return refuse(c, status);
    }
    parser->upgrade = 0; /* an offer to speak something else is declined by not taking it up */
    http__conn_enter(c, HTTP_STATE_BODY);
    bool body = http__header(r, "transfer-encoding", 0).data != NULL ||
                (http__header(r, "content-length", 0).data != NULL && parser->content_length > 0);
    if (body && !r->old && http__header(r, "expect", 0).data != NULL) {
        if (http__conn_write(c, oak_bytes_str("HTTP/1.1 100 Continue\r\n\r\n")) != 0) {
            return refuse(c, 400); /* nobody will read it */
        }
    }
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    struct http_conn *c = of_parser(parser);
    struct oak_buf *body = &c->request->body;
    if (size > OAK_HTTP_BODY_BYTES_MAX - body->size) {
        return refuse(c, 413);
    }
    struct oak_http_server *server = c->server;
    if (size > OAK_HTTP_BODIES_BYTES_MAX - server->body_bytes) {
        return refuse(c, 503);
    }
    if (oak_buf_append(body, at, size) != 0) {
        return refuse(c, 503);
    }
    server->body_bytes += size;
    c->reserved += size;
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct http_conn *c = of_parser(parser);
    c->request->keep_alive = http_should_keep_alive(parser) != 0;
    c->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

void http__parse_init(struct http_conn *c)
{
    http_parser_init(&c->parser, HTTP_REQUEST);
    c->parser.data = c;
}

size_t http__parse(struct http_conn *c, struct oak_bytes bytes)
{
    static const http_parser_settings settings = {
        .on_message_begin = on_begin,
        .on_url = on_target,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };
    OAK_ASSERT(!c->complete);
    OAK_ASSERT_GT(bytes.size, 0u);
    c->input_end = (const char *)bytes.data + bytes.size;
    size_t used = http_parser_execute(&c->parser, &settings, (const char *)bytes.data, bytes.size);
    OAK_ASSERT_LE(used, bytes.size);
    enum http_errno number = HTTP_PARSER_ERRNO(&c->parser);
    if (c->complete) {
        OAK_ASSERT_EQ(number, HPE_PAUSED);
        http__parse_init(c); /* each request on its own: nothing of one reaches the next */
    } else if (c->status == 0 && number != HPE_OK) {
        c->status = number == HPE_HEADER_OVERFLOW ? 431 : number == HPE_INVALID_VERSION ? 505 : 400;
    }
    return used;
}
