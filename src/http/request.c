/* SPDX-License-Identifier: Apache-2.0 */
/* request.c: a request's memory, and what a handler may ask of it.
 *
 * Invariants   a request lives until its reply, also when its connection is gone by then.
 *              Spans point into buffers that no longer move once the request is dispatched.
 */
#include <stdlib.h>

#include "http/internal.h"

int http__pairs_add(struct http_pairs *pairs, struct http_pair pair)
{
    if (pairs->count == pairs->capacity) {
        size_t capacity = pairs->capacity == 0 ? 16 : 2 * pairs->capacity;
        struct http_pair *grown = realloc(pairs->data, capacity * sizeof(*grown));
        if (grown == NULL) {
            return OAK_ENOMEM;
        }
        pairs->data = grown;
        pairs->capacity = capacity;
    }
    pairs->data[pairs->count++] = pair;
    return 0;
}

struct oak_http_request *http__request_new(struct http_conn *c)
{
    struct oak_http_request *r = c->spare;
    c->spare = NULL;
    if (r == NULL) {
        r = calloc(1, sizeof(*r));
    }
    if (r != NULL) {
        r->conn = c;
    }
    return r;
}

void http__request_free(struct oak_http_request *r)
{
    if (r == NULL) {
        return;
    }
    oak_buf_fini(&r->head);
    oak_buf_fini(&r->decoded);
    oak_buf_fini(&r->body);
    free(r->headers.data);
    free(r->query.data);
    free(r);
}

/* Empty, but keep what memory is small. */
static struct oak_buf buf_recycle(struct oak_buf b)
{
    oak_buf_clear(&b);
    if (b.capacity > HTTP_KEEP_BYTES) {
        oak_buf_fini(&b);
    }
    return b;
}

static struct http_pairs pairs_recycle(struct http_pairs p)
{
    p.count = 0;
    if (p.capacity * sizeof(*p.data) > HTTP_KEEP_BYTES) {
        free(p.data);
        p = (struct http_pairs){0};
    }
    return p;
}

void http__request_drop(struct http_conn *c, struct oak_http_request *r)
{
    if (c->spare != NULL) {
        http__request_free(r);
        return;
    }
    *r = (struct oak_http_request){
        .head = buf_recycle(r->head),
        .decoded = buf_recycle(r->decoded),
        .body = buf_recycle(r->body),
        .headers = pairs_recycle(r->headers),
        .query = pairs_recycle(r->query),
    };
    c->spare = r;
}

static struct oak_bytes of_span(const struct oak_buf *b, struct http_span s)
{
    OAK_ASSERT_LE(s.at, b->size);
    OAK_ASSERT_LE(s.size, b->size - s.at);
    /* An empty value is not an absent one: its data is never NULL. */
    return b->data == NULL ? oak_bytes("", 0) : oak_bytes(b->data + s.at, s.size);
}

static bool name_eq(struct oak_bytes a, const char *b)
{
    for (size_t i = 0; i < a.size; i++) {
        uint8_t x = a.data[i];
        uint8_t y = (uint8_t)b[i];
        x = x >= 'A' && x <= 'Z' ? (uint8_t)(x | 0x20) : x;
        y = y >= 'A' && y <= 'Z' ? (uint8_t)(y | 0x20) : y;
        if (y == '\0' || x != y) {
            return false;
        }
    }
    return b[a.size] == '\0';
}

struct oak_bytes http__header(const struct oak_http_request *r, const char *name, size_t n)
{
    for (size_t i = 0; i < r->headers.count; i++) {
        const struct http_pair *pair = &r->headers.data[i];
        if (name_eq(of_span(&r->head, pair->name), name) && n-- == 0) {
            return of_span(&r->head, pair->value);
        }
    }
    return (struct oak_bytes){0};
}

enum oak_http_method oak_http_method(const struct oak_http_request *r)
{
    return r->method;
}

struct oak_bytes oak_http_path(const struct oak_http_request *r)
{
    return of_span(&r->decoded, (struct http_span){.size = r->path_size});
}

struct oak_bytes oak_http_rest(const struct oak_http_request *r)
{
    return of_span(&r->decoded,
                   (struct http_span){.at = r->rest_at, .size = r->path_size - r->rest_at});
}

struct oak_bytes oak_http_body(const struct oak_http_request *r)
{
    return oak_buf_bytes(&r->body);
}

void http__body_release(struct http_conn *c)
{
    if (c->server != NULL) {
        OAK_ASSERT_LE(c->reserved, c->server->body_bytes);
        c->server->body_bytes -= c->reserved;
        c->reserved = 0;
    }
}

void oak_http_body_drop(struct oak_http_request *r)
{
    oak_buf_fini(&r->body);
    if (r->conn != NULL) {
        OAK_ASSERT(r->conn->request == r);
        http__body_release(r->conn);
    }
}

struct oak_bytes oak_http_query(const struct oak_http_request *r, const char *name, size_t n)
{
    for (size_t i = 0; i < r->query.count; i++) {
        const struct http_pair *pair = &r->query.data[i];
        if (oak_bytes_eq(of_span(&r->decoded, pair->name), oak_bytes_str(name)) && n-- == 0) {
            return of_span(&r->decoded, pair->value);
        }
    }
    return (struct oak_bytes){0};
}

struct oak_bytes oak_http_header(const struct oak_http_request *r, const char *name)
{
    return http__header(r, name, 0);
}

bool oak_http_header_next(const struct oak_http_request *r, size_t *at, struct oak_bytes *name,
                          struct oak_bytes *value)
{
    if (*at >= r->headers.count) {
        return false;
    }
    const struct http_pair *pair = &r->headers.data[(*at)++];
    *name = of_span(&r->head, pair->name);
    *value = of_span(&r->head, pair->value);
    return true;
}

/* NULL once the peer is gone. */
static struct oak_stream *stream_of(const struct oak_http_request *r)
{
    return r->conn != NULL ? r->conn->stream : NULL;
}

const char *oak_http_peer_name(const struct oak_http_request *r)
{
    struct oak_stream *stream = stream_of(r);
    return stream != NULL ? stream->ops->peer_name(stream) : "";
}

const struct oak_identity *oak_http_identity(const struct oak_http_request *r)
{
    struct oak_stream *stream = stream_of(r);
    bool known = stream != NULL && stream->ops->identity != NULL;
    return known ? stream->ops->identity(stream) : NULL;
}

const struct oak_process *oak_http_process(const struct oak_http_request *r)
{
    struct oak_stream *stream = stream_of(r);
    bool known = stream != NULL && stream->ops->process != NULL;
    return known ? stream->ops->process(stream) : NULL;
}

bool oak_http_gone(const struct oak_http_request *r)
{
    return r->conn == NULL;
}
