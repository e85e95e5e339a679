/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: calls of a client connection: waiting, starting, and the status they end with.
 *
 * Happy path   oak_rpc_conn_call puts a call in `waiting`; the next take starts it, when the
 *              peer's limit of open streams has room; the answer's trailers carry its status.
 * Can fail     what comes is no gRPC, or ends without a status: the code follows from the HTTP
 *              status or from the code of the reset, as "statuscodes" and PROTOCOL-HTTP2 say.
 * Invariants   a call in `waiting` has no stream; calls start in the order they were made.
 * Thread       the connection's.
 */
#include <stdio.h>

#include "rpc/internal.h"

/* -- starting ---------------------------------------------------------------------------------- */

static int head_fill(struct oak_rpc_call *call, const struct oak_rpc_request *request)
{
    char path[256]; /* and other texts */
    int size = snprintf(path, sizeof(path), "/%s/%s", request->service, request->method);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return OAK_ELIMIT;
    }
    int error = rpc__pairs_add(&call->head, oak_bytes_str(":path"), oak_bytes(path, (size_t)size));
    for (size_t i = 0; error == 0 && i < request->metadata_count; i++) {
        error = rpc__pairs_add_user(&call->head, request->metadata[i]);
        if (error == 0 && call->head.size > RPC_PAIRS_BYTES_MAX) {
            error = OAK_ELIMIT;
        }
    }
    if (error == 0 && request->previous_attempts > 0) {
        size = snprintf(path, sizeof(path), "%u", request->previous_attempts);
        error = rpc__pairs_add(&call->head, oak_bytes_str("grpc-previous-rpc-attempts"),
                               oak_bytes(path, (size_t)size));
    }
    return error;
}

/* What the request says of the call: its head, its time, for whose sake it is made. */
static int request_take(struct oak_rpc_call *call, const struct oak_rpc_request *request)
{
    uint64_t now_ns = call->conn->now_ns;
    int error = head_fill(call, request);
    if (request->timeout_ns != 0 && request->timeout_ns <= UINT64_MAX - now_ns) {
        call->deadline_ns = now_ns + request->timeout_ns;
    }
    if (error == 0 && request->parent != NULL) {
        error = rpc__propagate(call, request);
    }
    bool ends = call->deadline_ns != 0 && call->deadline_ns != UINT64_MAX;
    if (error == 0 && ends) {
        error = rpc__deadlines_add(&call->conn->deadlines, call);
    }
    call->encoding_out = request->encoding;
    call->compress = request->encoding != OAK_RPC_IDENTITY;
    return error;
}

/* The interceptors' turn. What they refuse ends soon, as any call. */
static int request_pass(struct oak_rpc_call *call)
{
    struct oak_rpc_verdict verdict;
    int error = rpc__chain_start(call, &verdict);
    if (error == 0 && verdict.code != OAK_RPC_OK) {
        rpc__call_verdict(call, verdict);
    }
    return error;
}

static void to_waiting(struct oak_rpc_call *call)
{
    struct oak_rpc_conn *conn = call->conn;
    oak_list_remove(&call->link);
    conn->open_count--;
    oak_list_push(&conn->waiting, &call->link);
    conn->waiting_count++;
    call->waiting = true;
}

static void to_open(struct oak_rpc_call *call)
{
    struct oak_rpc_conn *conn = call->conn;
    oak_list_remove(&call->link);
    conn->waiting_count--;
    oak_list_push(&conn->open, &call->link);
    conn->open_count++;
    call->waiting = false;
}

int oak_rpc_conn_call(struct oak_rpc_conn *conn, const struct oak_rpc_request *request,
                      uint64_t now_ns, struct oak_rpc_call **out)
{
    OAK_ASSERT(conn->server == NULL);
    OAK_ASSERT(request->handler != NULL && request->handler->message != NULL &&
               request->handler->closed != NULL);
    if (conn->broken != 0 || conn->going) {
        return OAK_ECLOSED;
    }
    if (conn->open_count + conn->waiting_count >= OAK_PENDING_REQUESTS_MAX) {
        return OAK_ELIMIT;
    }
    conn->now_ns = OAK_MAX(conn->now_ns, now_ns);
    struct oak_rpc_call *call = rpc__call_new(conn);
    if (call == NULL) {
        return OAK_ENOMEM;
    }
    to_waiting(call);
    int error = request_take(call, request);
    if (error == 0) {
        error = request_pass(call);
    }
    if (error != 0) {
        call->ended = true; /* nobody was promised a `closed` */
        rpc__deadlines_remove(&conn->deadlines, call);
        rpc__call_release(call);
        return error;
    }
    call->handler = request->handler;
    call->user = request->user;
    rpc__conn_wake(conn);
    *out = call;
    return 0;
}

/* How many calls may be open at once. None before the peer has said so: its SETTINGS come unasked,
 * and a call that it refuses for being one too many would have failed. */
static uint32_t streams_room(const struct oak_rpc_conn *conn)
{
    if (!conn->settings_received) {
        return 0;
    }
    return nghttp2_session_get_remote_settings(conn->session,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

size_t rpc__client_room(const struct oak_rpc_conn *conn)
{
    size_t limit = OAK_MIN(streams_room(conn), (uint32_t)OAK_PENDING_REQUESTS_MAX);
    size_t used = (size_t)conn->open_count + conn->waiting_count;
    return conn->going || conn->broken != 0 || used >= limit ? 0 : limit - used;
}

void rpc__client_start(struct oak_rpc_conn *conn)
{
    OAK_ASSERT(conn->server == NULL);
    while (!oak_list_empty(&conn->waiting) && !conn->going && conn->broken == 0) {
        if (conn->open_count >= streams_room(conn)) {
            return;
        }
        if (nghttp2_session_get_next_stream_id(conn->session) >= (uint32_t)RPC_STREAM_ID_MAX) {
            conn->going = true;
            return;
        }
        struct oak_rpc_call *call = OAK_LIST_ENTRY(conn->waiting.next, struct oak_rpc_call, link);
        if (call->cancelled || call->verdict_due) {
            rpc__call_look(call);
            continue;
        }
        to_open(call);
        if (rpc__submit_request(call) != 0) {
            rpc__conn_break(conn, OAK_ENOMEM);
        }
    }
}

void rpc__client_move_waiting(struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    OAK_ASSERT(from->pool == to->pool);
    while (!oak_list_empty(&from->waiting)) {
        struct oak_rpc_call *call = OAK_LIST_ENTRY(from->waiting.next, struct oak_rpc_call, link);
        if (oak_list_linked(&call->ready_link)) {
            rpc__call_look(call); /* cancelled, for what else could a waiting call be looked at */
            continue;
        }
        oak_list_remove(&call->link);
        from->waiting_count--;
        rpc__deadlines_remove(&from->deadlines, call);
        rpc__discharge(from, call->charged_bytes);
        rpc__charge(to, call->charged_bytes);
        call->conn = to;
        oak_list_push(&to->waiting, &call->link);
        to->waiting_count++;
        if (call->deadline_ns != 0 && rpc__deadlines_add(&to->deadlines, call) != 0) {
            rpc__call_end(call, OAK_RPC_RESOURCE_EXHAUSTED, oak_bytes_str("out of memory"));
            rpc__call_release(call);
        }
    }
    rpc__conn_wake(to);
}

/* -- the answer -------------------------------------------------------------------------------- */

enum oak_rpc_code rpc__code_of_http(uint32_t http_status)
{
    switch (http_status) {
    case 400:
        return OAK_RPC_INTERNAL;
    case 401:
        return OAK_RPC_UNAUTHENTICATED;
    case 403:
        return OAK_RPC_PERMISSION_DENIED;
    case 404:
        return OAK_RPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return OAK_RPC_UNAVAILABLE;
    default:
        return OAK_RPC_UNKNOWN;
    }
}

enum oak_rpc_code rpc__code_of_reset(uint32_t error)
{
    switch (error) {
    case NGHTTP2_REFUSED_STREAM:
        return OAK_RPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return OAK_RPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return OAK_RPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return OAK_RPC_PERMISSION_DENIED;
    default:
        return OAK_RPC_INTERNAL;
    }
}

/* The first block of headers. False: the call was refused. */
static bool headers_check(struct oak_rpc_call *call)
{
    if (call->header_bytes > call->conn->options.header_bytes_max) {
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED,
                         "grpc: received header list is larger than max");
        return false;
    }
    if (call->refusal == RPC_REFUSE_MEMORY) {
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory");
        return false;
    }
    if (call->refusal == RPC_REFUSE_BINARY) {
        rpc__call_refuse(call, OAK_RPC_INTERNAL, "grpc: malformed binary metadata");
        return false;
    }
    return true;
}

static bool first_headers_check(struct oak_rpc_call *call)
{
    char text[96];
    if (call->http_status != 200 && !call->status_received) {
        snprintf(text, sizeof(text), "unexpected HTTP status code received from server: %u",
                 call->http_status);
        rpc__call_refuse(call, rpc__code_of_http(call->http_status), text);
        return false;
    }
    if (!call->content_ok && !call->status_received) {
        rpc__call_refuse(call, OAK_RPC_UNKNOWN, "the server's answer is not gRPC (content-type)");
        return false;
    }
    if (call->refusal == RPC_REFUSE_ENCODING) {
        struct oak_bytes encoding = oak_rpc_call_metadata(call, "grpc-encoding");
        snprintf(text, sizeof(text),
                 "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                 (int)OAK_MIN(encoding.size, (size_t)32), (const char *)encoding.data);
        rpc__call_refuse(call, OAK_RPC_INTERNAL, text); /* the server was told what we know */
        return false;
    }
    return true;
}

void rpc__client_headers_begin(struct oak_rpc_call *call, bool end_stream)
{
    if (call != NULL && end_stream && !call->trailers_begun) {
        call->trailers_begun = true;
        call->trailers_at = call->meta.size;
    }
}

void rpc__client_headers(struct oak_rpc_call *call, bool end_stream)
{
    call->moved_ns = call->conn->now_ns;
    if (call->ended || call->deaf || !headers_check(call)) {
        return;
    }
    if (!call->headers_received) {
        if (call->http_status >= 100 && call->http_status < 200) {
            oak_buf_clear(&call->meta);
            return; /* informational: the answer is still to come */
        }
        if (!first_headers_check(call)) {
            return;
        }
        call->headers_received = true;
        call->conn->fruitful = true;
    }
    call->trailers_received = end_stream;
    if (!end_stream) {
        rpc__chain_headers(call);
    }
    if (call->handler->headers != NULL && !end_stream && !call->deaf) {
        call->handler->headers(call->user, call);
    }
}

/* A server that counts the deadline too resets the stream when it has passed (grpc-go does, with
 * CANCEL), and its frame may be here before our own timer fires. */
static bool reset_for_deadline(const struct oak_rpc_call *call, uint32_t error)
{
    return error == NGHTTP2_CANCEL && call->deadline_ns != 0 &&
           call->conn->now_ns >= call->deadline_ns;
}

void rpc__client_finish(struct oak_rpc_call *call, uint32_t error)
{
    OAK_ASSERT(!call->ended);
    char text[80];
    call->refused = error == NGHTTP2_REFUSED_STREAM && !call->headers_received;
    if (call->verdict_due) {
        rpc__call_end(call, call->code, oak_buf_bytes(&call->status_text));
    } else if (call->cancelled) {
        rpc__call_end(call, OAK_RPC_CANCELLED, oak_bytes_str("call canceled"));
    } else if (!call->sent) {
        rpc__call_end(call, OAK_RPC_UNAVAILABLE, oak_bytes_str("the connection goes away"));
    } else if (call->trailers_received && call->status_received) {
        rpc__call_end(call, call->code, oak_buf_bytes(&call->status_text));
    } else if (call->trailers_received) {
        rpc__call_end(call, OAK_RPC_UNKNOWN, oak_bytes_str("the trailers carry no grpc-status"));
    } else if (call->remote_closed && error == NGHTTP2_NO_ERROR) {
        rpc__call_end(call, OAK_RPC_INTERNAL,
                      oak_bytes_str("server closed the stream without sending trailers"));
    } else if (reset_for_deadline(call, error)) {
        rpc__call_end(call, OAK_RPC_DEADLINE_EXCEEDED, oak_bytes_str("context deadline exceeded"));
    } else {
        snprintf(text, sizeof(text), "stream terminated by RST_STREAM with error code: %s",
                 nghttp2_http2_strerror(error));
        rpc__call_end(call, rpc__code_of_reset(error), oak_bytes_str(text));
    }
}
