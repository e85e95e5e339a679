/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: what a handler may do with a call, and how bytes leave it.
 *
 * Happy path   send frames a message into `out`; nghttp2 asks rpc__call_read how much there is,
 *              and rpc__call_write puts frame header and bytes straight into what the connection
 *              gathers. A server's trailers are submitted when the last byte has been asked for.
 * Can fail     a full queue or a message over the limit (OAK_ELIMIT), no memory. Want of memory
 *              where nothing can be returned breaks the connection, not the process.
 * Invariants   out_at <= out.size; after local_done nothing is added to `out`. No handler is
 *              called from here but `writable`: what cancel and pause lead to waits in
 *              conn->ready until nghttp2 is not on the stack.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

static bool is_server(const struct oak_rpc_call *call)
{
    return call->conn->server != NULL;
}

void oak_rpc_call_handle(struct oak_rpc_call *call, const struct oak_rpc_handler *handler,
                         void *user)
{
    OAK_ASSERT(handler != NULL && handler->message != NULL && handler->closed != NULL);
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        carrier->handle(call, handler, user);
        return;
    }
    OAK_ASSERT(!call->ended);
    call->handler = handler;
    call->user = user;
}

/* -- sending ----------------------------------------------------------------------------------- */

static int send_check(const struct oak_rpc_call *call, size_t size)
{
    if (call->ended || call->local_done || call->cancelled || call->was_reset) {
        return OAK_ECLOSED;
    }
    if (size > call->conn->options.send_bytes_max ||
        rpc__call_queued(call) >= OAK_OUTBOUND_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    if (rpc__call_queued(call) > OAK_RPC_QUEUE_HIGH_BYTES &&
        !rpc__memory_fits(call->conn->server)) {
        return OAK_ELIMIT; /* the others' peers read what they are sent */
    }
    return 0;
}

/* Room for `size` more bytes behind what is queued: what was taken makes room first. */
static int out_reserve(struct oak_rpc_call *call, size_t size)
{
    struct oak_buf *out = &call->out;
    if (out->capacity - out->size < size && rpc__is_lent(call)) {
        int error = rpc__lent_part(call);
        if (error != 0) {
            return error;
        }
    }
    if (call->out_at > 0 && out->capacity - out->size < size &&
        call->out_at >= out->size - call->out_at) {
        oak_buf_consume(out, call->out_at);
        rpc__out_moved(call);
    }
    if (out->size == 0 && size > OAK_MAX(out->capacity, RPC_SPARE_BUFFER_BYTES_MAX)) {
        rpc__large_take(call->conn->pool, out);
    }
    return oak_buf_reserve(out, size);
}

static void resume(struct oak_rpc_call *call)
{
    if (!call->deferred) {
        return;
    }
    call->deferred = false;
    rpc__conn_check(call->conn, nghttp2_session_resume_data(call->conn->session, call->stream_id));
}

/* May a message of that size be sent? And then its headers are. */
static int send_admit(struct oak_rpc_call *call, size_t size)
{
    int error = send_check(call, size);
    if (error == 0 && call->chain_count > 0) {
        bool passes = rpc__chain_sent(call, size);
        error = passes ? send_check(call, size) : OAK_ECLOSED; /* it may have ended the call */
    }
    rpc__pack(call);
    return error;
}

static int headers_first(struct oak_rpc_call *call)
{
    return is_server(call) && !call->headers_due ? rpc__submit_headers(call) : 0;
}

/* A message of that size is the last of `out` now. */
static void send_done(struct oak_rpc_call *call, size_t size)
{
    if (call->compress && size > 0) {
        rpc__pack_begin(call, call->out.size - RPC_FRAME_HEAD_BYTES - size);
    }
    rpc__call_charge(call, RPC_FRAME_HEAD_BYTES + size);
    call->over_mark = call->over_mark || rpc__call_queued(call) > OAK_RPC_QUEUE_HIGH_BYTES;
    if (call->method != NULL) {
        call->method->stats->sent++;
    }
    resume(call);
    rpc__conn_wake(call->conn);
}

static int send_begin(struct oak_rpc_call *call, size_t size, uint8_t **body)
{
    OAK_ASSERT_EQ(call->part_left, 0);
    int error = send_admit(call, size);
    if (error == 0) {
        error = out_reserve(call, RPC_FRAME_HEAD_BYTES + size);
    }
    if (error == 0) {
        error = headers_first(call);
    }
    if (error != 0) {
        return error;
    }
    uint8_t *at = call->out.data + call->out.size;
    at[0] = 0;
    oak_put_be32(at + 1, (uint32_t)size);
    call->out.size += RPC_FRAME_HEAD_BYTES + size;
    send_done(call, size);
    *body = at + RPC_FRAME_HEAD_BYTES;
    return 0;
}

int oak_rpc_call_send(struct oak_rpc_call *call, struct oak_bytes message)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->send(call, message);
    }
    uint8_t *body;
    int error = send_begin(call, message.size, &body);
    if (error == 0 && message.size > 0) {
        memcpy(body, message.data, message.size);
    }
    return error;
}

uint8_t *oak_rpc_call_send_into(struct oak_rpc_call *call, size_t size)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->send_into(call, size);
    }
    uint8_t *body;
    return send_begin(call, size, &body) == 0 ? body : NULL;
}

static int send_copied(struct oak_rpc_call *call, struct oak_bytes head, struct oak_bytes tail)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    size_t size = head.size + tail.size;
    uint8_t *body = NULL;
    int error = 0;
    if (carrier == NULL) {
        error = send_begin(call, size, &body);
    } else {
        body = carrier->send_into(call, size);
        error = body == NULL ? OAK_ELIMIT : 0;
    }
    if (error != 0) {
        return error;
    }
    memcpy(body, head.data, head.size);
    memcpy(body + head.size, tail.data, tail.size);
    return 0;
}

int oak_rpc_call_send_shared(struct oak_rpc_call *call, struct oak_bytes head,
                             struct oak_rpc_shared *shared, struct oak_bytes tail)
{
    OAK_ASSERT(head.size > 0 && tail.size > 0);
    if (rpc__carrier(call) != NULL || call->compress) {
        return send_copied(call, head, tail);
    }
    OAK_ASSERT_EQ(call->part_left, 0);
    size_t size = head.size + tail.size;
    int error = send_admit(call, size);
    error = error != 0 ? error : out_reserve(call, RPC_FRAME_HEAD_BYTES + head.size);
    error = error != 0 ? error : rpc__share_reserve(call);
    error = error != 0 ? error : headers_first(call);
    if (error != 0) {
        return error;
    }
    uint8_t *at = call->out.data + call->out.size;
    at[0] = 0;
    oak_put_be32(at + 1, (uint32_t)size);
    memcpy(at + RPC_FRAME_HEAD_BYTES, head.data, head.size);
    call->out.size += RPC_FRAME_HEAD_BYTES + head.size;
    rpc__share_add(call, shared, tail);
    send_done(call, size);
    return 0;
}

bool oak_rpc_call_takes_parts(const struct oak_rpc_call *call)
{
    return rpc__carrier(call) == NULL;
}

int oak_rpc_call_send_open(struct oak_rpc_call *call, size_t size)
{
    if (rpc__carrier(call) != NULL) {
        return OAK_EUNIMPLEMENTED;
    }
    OAK_ASSERT_EQ(call->part_left, 0);
    int error = size > UINT32_MAX ? OAK_ELIMIT : send_admit(call, size);
    error = error != 0 ? error : out_reserve(call, RPC_FRAME_HEAD_BYTES);
    error = error != 0 ? error : headers_first(call);
    if (error != 0) {
        return error;
    }
    uint8_t *at = call->out.data + call->out.size;
    at[0] = 0;
    oak_put_be32(at + 1, (uint32_t)size);
    call->out.size += RPC_FRAME_HEAD_BYTES;
    call->part_left = size;
    send_done(call, 0);
    return 0;
}

int oak_rpc_call_send_part(struct oak_rpc_call *call, struct oak_bytes part)
{
    OAK_ASSERT(rpc__carrier(call) == NULL);
    OAK_ASSERT_LE(part.size, call->part_left);
    int error = call->ended || call->local_done || call->cancelled || call->was_reset ? OAK_ECLOSED
                : rpc__call_queued(call) >= OAK_OUTBOUND_BYTES_MAX                    ? OAK_ELIMIT
                                                                   : out_reserve(call, part.size);
    if (error != 0 || part.size == 0) {
        return error;
    }
    memcpy(call->out.data + call->out.size, part.data, part.size);
    call->out.size += part.size;
    call->part_left -= part.size;
    rpc__call_charge(call, part.size);
    call->over_mark = call->over_mark || rpc__call_queued(call) > OAK_RPC_QUEUE_HIGH_BYTES;
    resume(call);
    rpc__conn_wake(call->conn);
    return 0;
}

int oak_rpc_call_forward(struct oak_rpc_call *from, struct oak_bytes message,
                         struct oak_rpc_call *to)
{
    struct oak_buf *in = rpc__carrier(from) == NULL ? from->delivered : NULL;
    bool all = in != NULL && message.data == in->data + RPC_FRAME_HEAD_BYTES &&
               message.size == in->size - RPC_FRAME_HEAD_BYTES;
    if (!all || rpc__carrier(to) != NULL || rpc__call_queued(to) > 0 || to->out.size > 0) {
        return oak_rpc_call_send(to, message);
    }
    int error = send_admit(to, message.size);
    if (error == 0) {
        error = headers_first(to);
    }
    if (error != 0) {
        return error;
    }
    OAK_ASSERT(to->out.size == 0 && in->data[0] == 0); /* one that came packed lies elsewhere */
    struct oak_buf empty = to->out;
    to->out = *in;
    *in = empty;
    send_done(to, message.size);
    return 0;
}

void oak_rpc_call_half_close(struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        carrier->half_close(call);
        return;
    }
    OAK_ASSERT(!is_server(call));
    if (call->ended || call->local_done) {
        return;
    }
    call->local_done = true;
    resume(call);
    rpc__conn_wake(call->conn);
}

size_t oak_rpc_call_queued(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->queued(call);
    }
    return rpc__call_queued(call);
}

/* -- bytes to nghttp2 -------------------------------------------------------------------------- */

ssize_t rpc__call_read(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)buf;
    (void)user;
    struct oak_rpc_call *call = source->ptr;
    OAK_ASSERT_EQ(call->stream_id, stream_id);
    rpc__pack(call);
    size_t left = rpc__call_queued(call);
    if (call->was_reset || (left == 0 && !call->local_done)) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t count = OAK_MIN(left, length);
    if (count > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    }
    if (count == left && call->local_done) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (is_server(call) && !call->plain) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (rpc__submit_trailers(call) != 0) {
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* nghttp2 resets the stream */
            }
        }
    }
    rpc__guard_sent(call->conn);
    return (ssize_t)count;
}

/* The next of what is queued goes into what the connection gathers, which has room for it. */
static void out_gather(struct oak_rpc_call *call, size_t length)
{
    struct oak_buf *to = call->conn->gather;
    while (length > 0) {
        struct oak_rpc_shared *of;
        struct oak_bytes next = rpc__out_next(call, length, &of);
        if (!rpc__lend(call, next, of)) {
            memcpy(to->data + to->size, next.data, next.size);
            to->size += next.size;
        }
        rpc__out_taken(call, of, next.size);
        length -= next.size;
    }
}

int rpc__call_write(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                    size_t length, nghttp2_data_source *source, void *user)
{
    (void)session;
    struct oak_rpc_conn *conn = user;
    struct oak_rpc_call *call = source->ptr;
    OAK_ASSERT_LE(length, rpc__call_queued(call));
    OAK_ASSERT_EQ(frame->data.padlen, 0); /* no padding is ever chosen */
    struct oak_buf *to = conn->gather;
    if (oak_buf_reserve(to, RPC_HTTP2_FRAME_HEAD_BYTES + length) != 0) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    memcpy(to->data + to->size, framehd, RPC_HTTP2_FRAME_HEAD_BYTES);
    to->size += RPC_HTTP2_FRAME_HEAD_BYTES;
    if (length > 0) {
        out_gather(call, length);
        rpc__call_discharge(call, length);
        call->moved_bytes += length;
        call->moved_ns = conn->now_ns;
    }
    if (rpc__call_queued(call) == 0) {
        call->out_at = 0;
        rpc__shares_drop(call);
        rpc__lent_leave(call);
        oak_buf_clear(&call->out);
        rpc__large_give(conn->pool, &call->out);
    }
    if (call->over_mark && rpc__call_queued(call) < OAK_RPC_QUEUE_LOW_BYTES) {
        call->over_mark = false;
        if (call->handler != NULL && call->handler->writable != NULL && !call->local_done) {
            call->handler->writable(call->user, call);
        }
    }
    /* Enough is enough: nghttp2 would go on to the end of the window. */
    return rpc__conn_gathered(conn) >= conn->gather_end ? NGHTTP2_ERR_PAUSE : 0;
}

/* -- ending ------------------------------------------------------------------------------------ */

static void status_text_set(struct oak_rpc_call *call, struct oak_bytes text)
{
    oak_buf_clear(&call->status_text);
    size_t size = OAK_MIN(text.size, (size_t)RPC_STATUS_BYTES_MAX);
    while (size < text.size && size > 0 && (text.data[size] & 0xc0) == 0x80) {
        size--; /* not within a character */
    }
    if (oak_buf_append(&call->status_text, text.data, size) != 0) {
        oak_buf_clear(&call->status_text); /* the code alone has to do */
    }
}

void oak_rpc_call_finish(struct oak_rpc_call *call, enum oak_rpc_code code, const char *message)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        carrier->finish(call, code, message);
        return;
    }
    OAK_ASSERT(is_server(call));
    OAK_ASSERT_LE(code, OAK_RPC_UNAUTHENTICATED);
    OAK_ASSERT(code != OAK_RPC_OK || call->part_left == 0);
    if (call->ended || call->finished || call->cancelled || call->was_reset) {
        return;
    }
    if (call->chain_count > 0 && !call->finishing) {
        call->finishing = true;
        rpc__chain_finish(call, code);
        if (call->finished || call->cancelled) {
            return; /* one of them had another idea */
        }
    }
    call->finished = true;
    call->local_done = true;
    call->deaf = true;
    call->code = code;
    status_text_set(call, oak_bytes_str(message != NULL ? message : ""));
    rpc__call_drop_in(call);
    int error = 0;
    if (call->headers_due) {
        resume(call);
    } else {
        error = rpc__submit_trailers_only(call);
        rpc__guard_sent(call->conn);
    }
    if (error != 0) {
        rpc__conn_break(call->conn, error);
    }
    rpc__conn_wake(call->conn);
}

void oak_rpc_call_cancel(struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        carrier->cancel(call);
        return;
    }
    if (call->ended || call->cancelled) {
        return;
    }
    call->cancelled = true;
    call->deaf = true;
    rpc__call_reset(call, NGHTTP2_CANCEL);
    rpc__call_ready(call);
}

void oak_rpc_call_pause(struct oak_rpc_call *call, bool paused)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        carrier->pause(call, paused);
        return;
    }
    if (call->paused == paused) {
        return;
    }
    call->paused = paused;
    if (!paused) {
        rpc__call_ready(call);
    }
}

void rpc__call_reset(struct oak_rpc_call *call, uint32_t error)
{
    if (call->stream_id == 0 || call->was_reset) {
        return;
    }
    /* A reset behind trailers may not stop them: then everything to send is with nghttp2 already.
     */
    if (error != NGHTTP2_NO_ERROR) {
        call->was_reset = true;
        rpc__call_drop_out(call);
    }
    rpc__conn_check(call->conn, nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE,
                                                          call->stream_id, error));
    rpc__conn_wake(call->conn);
}

void rpc__call_refuse(struct oak_rpc_call *call, enum oak_rpc_code code, const char *text)
{
    if (is_server(call)) {
        oak_rpc_call_finish(call, code, text);
        return;
    }
    if (!call->ended) {
        rpc__call_reset(call, NGHTTP2_CANCEL);
        rpc__call_end(call, code, oak_bytes_str(text));
    }
}

void rpc__call_verdict(struct oak_rpc_call *call, struct oak_rpc_verdict verdict)
{
    const char *text = verdict.text != NULL ? verdict.text : "";
    if (is_server(call)) {
        oak_rpc_call_finish(call, verdict.code, text);
        return;
    }
    if (call->ended || call->cancelled || call->verdict_due) {
        return;
    }
    call->verdict_due = true;
    call->deaf = true;
    call->local_done = true;
    call->code = verdict.code;
    status_text_set(call, oak_bytes_str(text));
    rpc__call_reset(call, NGHTTP2_CANCEL);
    rpc__call_ready(call);
}

void rpc__call_expire(struct oak_rpc_call *call)
{
    static const char text[] = "context deadline exceeded";
    OAK_ASSERT(!call->ended);
    if (is_server(call) && !call->finished && !call->cancelled && rpc__call_queued(call) == 0) {
        oak_rpc_call_finish(call, OAK_RPC_DEADLINE_EXCEEDED, text);
    } else {
        rpc__call_reset(call, NGHTTP2_CANCEL);
    }
    rpc__call_end(call, OAK_RPC_DEADLINE_EXCEEDED, oak_bytes_str(text));
    if (call->stream_id == 0) {
        rpc__call_release(call);
    }
}
