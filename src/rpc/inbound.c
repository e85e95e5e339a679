/* SPDX-License-Identifier: Apache-2.0 */
/* inbound.c: nghttp2's callbacks: what a peer sent, sorted to its call.
 *
 * Happy path   begin headers → each header → headers complete (server: dispatch; client: status)
 *              → DATA → END_STREAM → stream closed.
 * Can fail     abuse: the callback fails, nghttp2_session_mem_recv returns, feed says goodbye.
 *              want of memory for one call: its stream is reset, the connection lives.
 * Invariants   the user data of an nghttp2 stream is its call, as long as the stream is there.
 * Thread       the connection's. Handlers are called from here, with nghttp2 on the stack: they
 *              submit, and never feed or take.
 */
#include "rpc/internal.h"

static struct oak_rpc_call *call_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user)
{
    struct oak_rpc_conn *conn = user;
    uint32_t error = rpc__strict_head(conn, head);
    if (error != NGHTTP2_NO_ERROR) {
        rpc__conn_check(conn, nghttp2_session_terminate_session(session, error));
    }
    return rpc__guard_head(conn, head) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct oak_rpc_conn *conn = user;
    conn->begun_ns = OAK_MAX(conn->now_ns, (uint64_t)1);
    if (conn->server == NULL) {
        rpc__client_headers_begin(call_of(session, frame->hd.stream_id),
                                  (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
        return 0;
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    rpc__strict_opened(conn, frame->hd.stream_id);
    struct oak_rpc_call *call = rpc__call_new(conn);
    if (call == NULL) {
        conn->begun_ns = 0;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    call->stream_id = frame->hd.stream_id;
    int rc = nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    OAK_ASSERT_EQ(rc, 0); /* the stream is the one that nghttp2 has just opened */
    return 0;
}

static bool name_is(struct oak_bytes name, const char *text, size_t size)
{
    return name.size == size && memcmp(name.data, text, size) == 0;
}
#define NAME_IS(name, text) name_is(name, text, sizeof(text) - 1)

static bool is_grpc(struct oak_bytes content_type)
{
    static const char grpc[] = "application/grpc";
    size_t size = sizeof(grpc) - 1;
    if (content_type.size < size || memcmp(content_type.data, grpc, size) != 0) {
        return false;
    }
    return content_type.size == size || content_type.data[size] == '+' ||
           content_type.data[size] == ';';
}

static void refuse_later(struct oak_rpc_call *call, enum rpc_refusal refusal)
{
    if (call->refusal == RPC_REFUSE_NOTHING) {
        call->refusal = refusal;
    }
}

static void keep_pair(struct oak_rpc_call *call, struct oak_bytes name, struct oak_bytes value)
{
    int error = rpc__pairs_add_wire(&call->meta, name, value);
    if (error != 0) {
        refuse_later(call, error == OAK_EFORMAT ? RPC_REFUSE_BINARY : RPC_REFUSE_MEMORY);
    }
}

static void request_timeout(struct oak_rpc_call *call, struct oak_bytes value)
{
    uint64_t timeout_ns;
    if (rpc__timeout_parse(value, &timeout_ns) != 0) {
        refuse_later(call, RPC_REFUSE_TIMEOUT);
        return;
    }
    uint64_t now_ns = call->conn->now_ns;
    call->deadline_ns = timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
    call->deadline_ns = OAK_MAX(call->deadline_ns, (uint64_t)1);
}

/* The name of an encoding that we lack is kept, for the refusal's text. */
static void encoding_header(struct oak_rpc_call *call, struct oak_bytes name,
                            struct oak_bytes value)
{
    if (!rpc__encoding_parse(value, &call->encoding_in)) {
        refuse_later(call, RPC_REFUSE_ENCODING);
        keep_pair(call, name, value);
    }
}

static void request_header(struct oak_rpc_call *call, struct oak_bytes name, struct oak_bytes value)
{
    if (NAME_IS(name, ":path")) {
        call->method = rpc__server_find(call->conn->server, value);
        if (call->method == NULL) {
            keep_pair(call, name, value);
        }
    } else if (NAME_IS(name, ":method")) {
        call->post = NAME_IS(value, "POST");
        call->bodiless = NAME_IS(value, "HEAD");
    } else if (NAME_IS(name, "content-type")) {
        call->content_ok = is_grpc(value);
    } else if (NAME_IS(name, "grpc-timeout")) {
        request_timeout(call, value);
    } else if (NAME_IS(name, "grpc-accept-encoding")) {
        call->accepts |= rpc__encodings_parse(value);
    } else if (NAME_IS(name, "grpc-encoding")) {
        encoding_header(call, name, value);
    } else if (!NAME_IS(name, ":scheme") && !NAME_IS(name, "te")) {
        keep_pair(call, name, value);
    }
}

static uint32_t digits_value(struct oak_bytes text, uint32_t max)
{
    uint32_t value = 0;
    if (text.size == 0 || text.size > 9) {
        return max;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return max;
        }
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    return value;
}

static void answer_header(struct oak_rpc_call *call, struct oak_bytes name, struct oak_bytes value)
{
    if (NAME_IS(name, ":status")) {
        call->http_status = digits_value(value, 0);
        call->content_ok = false;
    } else if (NAME_IS(name, "content-type")) {
        call->content_ok = is_grpc(value);
    } else if (NAME_IS(name, "grpc-status")) {
        uint32_t code = digits_value(value, OAK_RPC_UNKNOWN);
        call->status_received = true;
        call->code = code <= OAK_RPC_UNAUTHENTICATED ? (enum oak_rpc_code)code : OAK_RPC_UNKNOWN;
    } else if (NAME_IS(name, "grpc-message")) {
        oak_buf_clear(&call->status_text);
        if (rpc__percent_decode(&call->status_text, value) != 0) {
            refuse_later(call, RPC_REFUSE_MEMORY);
        }
    } else if (NAME_IS(name, "grpc-encoding")) {
        encoding_header(call, name, value);
    } else if (!NAME_IS(name, "grpc-accept-encoding")) {
        keep_pair(call, name, value);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    struct oak_rpc_conn *conn = user;
    struct oak_rpc_call *call = call_of(session, frame->hd.stream_id);
    if (call == NULL) {
        return 0;
    }
    call->header_bytes += name_size + value_size + 32; /* as RFC 9113 6.5.2 counts */
    if (call->header_bytes > conn->options.header_bytes_max) {
        return rpc__guard_headers(conn, call->header_bytes) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (call->deaf) {
        return 0;
    }
    rpc__call_charge(call, name_size + value_size + 32);
    if (conn->server == NULL) {
        answer_header(call, oak_bytes(name, name_size), oak_bytes(value, value_size));
    } else if (rpc__messaging_header(call, oak_bytes(name, name_size),
                                     oak_bytes(value, value_size)) &&
               !call->headers_received) {
        request_header(call, oak_bytes(name, name_size), oak_bytes(value, value_size));
    }
    return 0;
}

/* RFC 9113, 8.1.1. */
static void malformed(struct oak_rpc_call *call)
{
    call->malformed = true;
    call->deaf = true;
    rpc__call_reset(call, NGHTTP2_PROTOCOL_ERROR);
}

static void on_headers_complete(struct oak_rpc_conn *conn, struct oak_rpc_call *call, bool last)
{
    if (call == NULL) {
        return;
    }
    call->remote_closed = call->remote_closed || last;
    if (conn->server == NULL) {
        rpc__client_headers(call, last);
    } else if (!call->headers_received) {
        call->headers_received = true;
        /* Of headers that are too many, not all were looked at; they are refused. */
        bool too_many = call->header_bytes > conn->options.header_bytes_max;
        if (too_many || (rpc__messaging_request(call) && (!last || rpc__messaging_end(call)))) {
            rpc__server_dispatch(call);
        } else {
            malformed(call);
        }
    } else if (call->malformed || !last) { /* what comes behind DATA are trailers */
        malformed(call);
    }
}

static void goaway_read(struct oak_rpc_conn *conn, const nghttp2_goaway *goaway)
{
    struct oak_bytes debug = oak_bytes(goaway->opaque_data, goaway->opaque_data_len);
    conn->hurried =
        goaway->error_code == NGHTTP2_ENHANCE_YOUR_CALM && NAME_IS(debug, "too_many_pings");
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct oak_rpc_conn *conn = user;
    if (!rpc__guard_frame(conn, frame)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    conn->begun_ns = 0; /* the preface, or the block of headers, is complete */
    bool last = false;
    struct oak_rpc_call *call = NULL;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        call = call_of(session, frame->hd.stream_id);
        last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        on_headers_complete(conn, call, last);
    } else if (frame->hd.type == NGHTTP2_DATA) {
        last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        call = last ? call_of(session, frame->hd.stream_id) : NULL;
    } else if (frame->hd.type == NGHTTP2_RST_STREAM) {
        struct oak_rpc_call *reset = call_of(session, frame->hd.stream_id);
        if (reset != NULL) {
            reset->remote_closed = true;
        }
    } else if (frame->hd.type == NGHTTP2_SETTINGS) {
        conn->settings_received = true;
    } else if (frame->hd.type == NGHTTP2_PING) {
        bool answer = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
        if (answer && !rpc__bandwidth_answer(conn, frame->ping.opaque_data)) {
            conn->pinged_ns = 0;
        }
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        conn->going = true;
        goaway_read(conn, &frame->goaway);
    }
    if (last && call != NULL && conn->server != NULL && !rpc__messaging_end(call)) {
        malformed(call);
    } else if (last && call != NULL) {
        call->remote_closed = true;
        rpc__frame_end(call);
        bool over = conn->server == NULL &&
                    nghttp2_session_get_stream_local_close(session, frame->hd.stream_id) == 0;
        if (over) { /* the server has said its last word: what we had to say is for nobody */
            rpc__call_reset(call, NGHTTP2_NO_ERROR);
        }
    }
    return conn->broken != 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user)
{
    (void)session;
    (void)frame;
    (void)error;
    struct oak_rpc_conn *conn = user;
    conn->begun_ns = 0;
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t size, void *user)
{
    struct oak_rpc_conn *conn = user;
    rpc__conn_received(conn, size);
    rpc__bandwidth_data(conn, size);
    struct oak_rpc_call *call = call_of(session, stream_id);
    if (call != NULL && conn->server != NULL && !rpc__messaging_data(call, size)) {
        malformed(call);
    } else if (call != NULL) {
        rpc__frame_data(call, oak_bytes(data, size), (flags & NGHTTP2_FLAG_END_STREAM) != 0);
    }
    return conn->broken != 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* How a server's call ended when its stream closed. */
static void server_closed(struct oak_rpc_call *call, uint32_t error)
{
    if (call->ended) {
        return;
    }
    if (call->finished && error == NGHTTP2_NO_ERROR) {
        rpc__call_end(call, call->code, oak_buf_bytes(&call->status_text));
    } else if (error == NGHTTP2_INTERNAL_ERROR) {
        rpc__call_end(call, OAK_RPC_INTERNAL, oak_bytes_str("stream closed by an internal error"));
    } else {
        rpc__call_end(call, OAK_RPC_CANCELLED, oak_bytes_str("canceled by the peer"));
    }
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
    struct oak_rpc_conn *conn = user;
    struct oak_rpc_call *call = call_of(session, stream_id);
    if (call == NULL) {
        return 0;
    }
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    call->stream_id = 0;
    rpc__call_drop_out(call);
    if (conn->server != NULL) {
        if (call->remote_closed) {
            rpc__strict_closed(conn, stream_id);
        }
        server_closed(call, error);
    } else if (!call->ended && call->trailers_received && call->paused) {
        call->stream_gone = true; /* its last messages wait for the handler */
        return 0;
    } else if (!call->ended) {
        rpc__client_finish(call, error);
    }
    rpc__call_release(call);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct oak_rpc_conn *conn = user;
    if (frame->hd.type == NGHTTP2_HEADERS && conn->server == NULL) {
        struct oak_rpc_call *call = call_of(session, frame->hd.stream_id);
        if (call != NULL) {
            call->sent = true;
        }
    }
    if (frame->hd.type == NGHTTP2_HEADERS && conn->server != NULL &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        /* The status is out. A client that has not closed its half need not go on; told earlier,
         * nghttp2 would drop the status. */
        struct oak_rpc_call *call = call_of(session, frame->hd.stream_id);
        if (call != NULL && !call->remote_closed) {
            rpc__call_reset(call, NGHTTP2_NO_ERROR);
        }
    }
    if (frame->hd.type == NGHTTP2_GOAWAY && conn->server != NULL &&
        frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM) {
        /* Ours are written by hand. nghttp2 says it to too many entries of SETTINGS. */
        rpc__guard_count(&conn->server->traffic, OAK_RPC_ABUSE_SETTINGS);
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM &&
        !rpc__guard_reset_sent(conn, frame->rst_stream.error_code)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* A frame of ours could not leave. A server's stream without its headers would never end. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user)
{
    struct oak_rpc_conn *conn = user;
    (void)error;
    struct oak_rpc_call *call = call_of(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && call != NULL && conn->server != NULL) {
        rpc__call_reset(call, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

void rpc__inbound_register(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, rpc__call_write);
}
