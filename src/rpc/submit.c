/* SPDX-License-Identifier: Apache-2.0 */
/* submit.c: headers and trailers of a call, handed to nghttp2.
 *
 * Happy path   fields are gathered in the pool's scratch array, then submitted. Texts that live
 *              as long as the program are not copied by nghttp2; values that differ from call to
 *              call are kept out of the header compression table, where they would push out what
 *              repeats.
 * Can fail     OAK_ENOMEM. Nothing is submitted then.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

#define FIELD_STATIC (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
#define FIELD_FRESH  (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX)

static struct oak_buf *fields_begin(struct oak_rpc_call *call)
{
    struct oak_buf *fields = &call->conn->pool->fields;
    oak_buf_clear(fields);
    oak_buf_clear(&call->conn->pool->text);
    return fields;
}

static int field_add(struct oak_buf *fields, struct oak_rpc_pair pair, uint8_t flags)
{
    /* nghttp2 takes pointers to what it doesn't change as not const. */
    nghttp2_nv nv = {
        .name = (uint8_t *)(uintptr_t)pair.name.data,
        .value = (uint8_t *)(uintptr_t)pair.value.data,
        .namelen = pair.name.size,
        .valuelen = pair.value.size,
        .flags = flags,
    };
    return oak_buf_append(fields, &nv, sizeof(nv));
}

static int text_add(struct oak_buf *fields, const char *name, const char *value, uint8_t flags)
{
    struct oak_rpc_pair pair = {oak_bytes_str(name), oak_bytes_str(value)};
    return field_add(fields, pair, flags);
}

static int pairs_add(struct oak_buf *fields, const struct oak_buf *pairs)
{
    struct oak_rpc_pair pair;
    size_t at = 0;
    int error = 0;
    while (error == 0 && rpc__pairs_next(pairs, &at, &pair)) {
        error = field_add(fields, pair, NGHTTP2_NV_FLAG_NONE);
    }
    return error;
}

static size_t field_count(const struct oak_buf *fields)
{
    return fields->size / sizeof(nghttp2_nv);
}

static const nghttp2_nv *field_list(const struct oak_buf *fields)
{
    return (const nghttp2_nv *)(const void *)fields->data;
}

static int answer_head(struct oak_buf *fields, const struct oak_rpc_call *call)
{
    int error = text_add(fields, ":status", "200", FIELD_STATIC);
    if (error == 0) {
        error = text_add(fields, "content-type", "application/grpc", FIELD_STATIC);
    }
    if (error == 0 && call->encoding_out != OAK_RPC_IDENTITY) {
        error =
            text_add(fields, "grpc-encoding", rpc__encoding_name(call->encoding_out), FIELD_STATIC);
    }
    return error != 0 ? error : pairs_add(fields, &call->head);
}

static const char *code_digits(enum oak_rpc_code code)
{
    static const char digits[17][3] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                       "9", "10", "11", "12", "13", "14", "15", "16"};
    OAK_ASSERT_LT(code, OAK_COUNT_OF(digits));
    return digits[code];
}

static int answer_tail(struct oak_buf *fields, struct oak_rpc_call *call)
{
    int error = text_add(fields, "grpc-status", code_digits(call->code), FIELD_STATIC);
    if (error == 0 && call->status_text.size > 0) {
        struct oak_buf *text = &call->conn->pool->text;
        error = rpc__percent_encode(text, oak_buf_bytes(&call->status_text));
        if (error == 0) {
            struct oak_rpc_pair pair = {oak_bytes_str("grpc-message"), oak_buf_bytes(text)};
            error = field_add(fields, pair, FIELD_FRESH);
        }
    }
    return error != 0 ? error : pairs_add(fields, &call->tail);
}

/* nghttp2's refusals here are want of memory, or a stream that is closing already: then its close
 * is on the way, and nothing is left to do. */
static int submitted(struct oak_rpc_call *call, int rc)
{
    rpc__conn_check(call->conn, rc);
    return rc == NGHTTP2_ERR_NOMEM ? OAK_ENOMEM : 0;
}

int rpc__submit_headers(struct oak_rpc_call *call)
{
    rpc__chain_headers(call);
    struct oak_buf *fields = fields_begin(call);
    int error = answer_head(fields, call);
    if (error != 0) {
        return error;
    }
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = rpc__call_read};
    call->headers_due = true;
    return submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id,
                                                   field_list(fields), field_count(fields), &body));
}

int rpc__submit_trailers(struct oak_rpc_call *call)
{
    struct oak_buf *fields = fields_begin(call);
    int error = answer_tail(fields, call);
    if (error != 0) {
        return error;
    }
    return submitted(call, nghttp2_submit_trailer(call->conn->session, call->stream_id,
                                                  field_list(fields), field_count(fields)));
}

int rpc__submit_trailers_only(struct oak_rpc_call *call)
{
    rpc__chain_headers(call);
    struct oak_buf *fields = fields_begin(call);
    int error = answer_head(fields, call);
    if (error == 0 && call->refusal == RPC_REFUSE_ENCODING) {
        error = text_add(fields, "grpc-accept-encoding", RPC_ENCODINGS, FIELD_STATIC);
    }
    if (error == 0) {
        error = answer_tail(fields, call);
    }
    if (error != 0) {
        return error;
    }
    call->headers_due = true;
    return submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id,
                                                   field_list(fields), field_count(fields), NULL));
}

int rpc__submit_http_status(struct oak_rpc_call *call, const char *status)
{
    struct oak_buf *fields = fields_begin(call);
    int error = text_add(fields, ":status", status, FIELD_STATIC);
    if (error == 0) {
        error = text_add(fields, "content-type", "text/plain", FIELD_STATIC);
    }
    if (error != 0) {
        return error;
    }
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = rpc__call_read};
    call->headers_due = true;
    return submitted(call, nghttp2_submit_response(call->conn->session, call->stream_id,
                                                   field_list(fields), field_count(fields),
                                                   call->out.size > 0 ? &body : NULL));
}

static int request_head(struct oak_buf *fields, struct oak_rpc_call *call, char *timeout)
{
    struct oak_rpc_conn *conn = call->conn;
    int error = text_add(fields, ":method", "POST", FIELD_STATIC);
    if (error == 0) {
        error = text_add(fields, ":scheme", conn->secure ? "https" : "http", FIELD_STATIC);
    }
    struct oak_rpc_pair path;
    size_t at = 0;
    bool found = rpc__pairs_next(&call->head, &at, &path); /* the first pair */
    OAK_ASSERT(found);
    if (error == 0) {
        error = field_add(fields, path, NGHTTP2_NV_FLAG_NONE);
    }
    if (error == 0) {
        error = text_add(fields, ":authority", conn->authority, NGHTTP2_NV_FLAG_NONE);
    }
    if (error == 0) {
        error = text_add(fields, "te", "trailers", FIELD_STATIC);
    }
    if (error == 0) {
        error = text_add(fields, "content-type", "application/grpc", FIELD_STATIC);
    }
    if (error == 0) {
        error = text_add(fields, "user-agent", conn->user_agent, NGHTTP2_NV_FLAG_NONE);
    }
    if (error == 0) {
        error = text_add(fields, "grpc-accept-encoding", RPC_ENCODINGS, FIELD_STATIC);
    }
    if (error == 0 && call->encoding_out != OAK_RPC_IDENTITY) {
        error =
            text_add(fields, "grpc-encoding", rpc__encoding_name(call->encoding_out), FIELD_STATIC);
    }
    if (error == 0 && call->deadline_ns != 0) {
        uint64_t left = call->deadline_ns > conn->now_ns ? call->deadline_ns - conn->now_ns : 1;
        rpc__timeout_format(left, timeout);
        error = text_add(fields, "grpc-timeout", timeout, FIELD_FRESH);
    }
    struct oak_rpc_pair pair;
    while (error == 0 && rpc__pairs_next(&call->head, &at, &pair)) {
        error = field_add(fields, pair, NGHTTP2_NV_FLAG_NONE);
    }
    return error;
}

int rpc__submit_request(struct oak_rpc_call *call)
{
    struct oak_buf *fields = fields_begin(call);
    char timeout[RPC_TIMEOUT_TEXT_BYTES];
    int error = request_head(fields, call, timeout);
    if (error != 0) {
        return error;
    }
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = rpc__call_read};
    int32_t id = nghttp2_submit_request(call->conn->session, NULL, field_list(fields),
                                        field_count(fields), &body, call);
    if (id < 0) {
        rpc__conn_check(call->conn, id);
        return OAK_ENOMEM;
    }
    call->headers_due = true;
    call->stream_id = id;
    return 0;
}
