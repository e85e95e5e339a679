/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c: from DATA to messages, which start anywhere in it and end anywhere.
 *
 * Happy path   a message that lies whole in one piece of DATA is delivered where it lies; others
 *              are put together in `in`, behind their prefix: so a large one can be passed on as
 *              it is. `in` grows with what has come and never by what is merely announced.
 * Can fail     what the peer did wrong ends its call: too large, compressed, cut off, not exactly
 *              one.
 * Invariants   a byte of the stream's window is credited when it is delivered, put into `in` or
 *              dropped: never while it waits in `held`. rpc__in_size <= need <= receive_bytes_max.
 * Format       { u8 compressed, u32 big-endian length, message } repeated (PROTOCOL-HTTP2).
 * Thread       the connection's; may call the handler.
 */
#include <stdio.h>

#include "rpc/internal.h"

static const char one_message[] = "grpc: the request must be exactly one message";

static bool takes_one(const struct oak_rpc_call *call)
{
    return call->method != NULL && (call->method->public.kind == OAK_RPC_UNARY ||
                                    call->method->public.kind == OAK_RPC_SERVER_STREAM);
}

static void credit_stream(struct oak_rpc_call *call, size_t size)
{
    if (size == 0 || call->remote_closed || call->stream_id == 0) {
        return; /* the peer sends no more on it */
    }
    rpc__conn_check(call->conn,
                    nghttp2_session_consume_stream(call->conn->session, call->stream_id, size));
}

static void prefix_begin(struct oak_rpc_call *call)
{
    call->prefix_used = 0;
    call->need = 0;
}

/* The prefix is whole: may this message come? */
static bool prefix_check(struct oak_rpc_call *call)
{
    call->need = oak_get_be32(call->prefix + 1);
    size_t limit = call->conn->options.receive_bytes_max;
    if (takes_one(call) && call->messages > 0) {
        rpc__call_refuse(call, OAK_RPC_INTERNAL, one_message);
        return false;
    }
    if (call->prefix[0] > 1 || (call->prefix[0] == 1 && call->encoding_in == OAK_RPC_IDENTITY)) {
        /* A named encoding that we lack was refused with the headers. */
        rpc__call_refuse(call, OAK_RPC_INTERNAL,
                         call->prefix[0] == 1
                             ? "grpc: compressed flag set with identity or empty encoding"
                             : "grpc: received unexpected payload format");
        return false;
    }
    if (call->need > limit) {
        char text[96];
        snprintf(text, sizeof(text), "grpc: received message larger than max (%u vs. %zu)",
                 call->need, limit);
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, text);
        return false;
    }
    return true;
}

static void deliver_whole(struct oak_rpc_call *call, struct oak_bytes message)
{
    if (call->method != NULL) {
        call->method->stats->received++;
    }
    bool passes = call->chain_count == 0 || rpc__chain_received(call, message);
    if (passes && !call->deaf && call->handler != NULL) {
        call->handler->message(call->user, call, message);
    }
}

static void deliver(struct oak_rpc_call *call, struct oak_bytes message, bool packed)
{
    call->messages++;
    if (!packed) {
        deliver_whole(call, message);
        return;
    }
    struct oak_buf raw;
    if (rpc__unpack(call, message, &raw)) {
        call->was_packed = true;
        deliver_whole(call, oak_buf_bytes(&raw));
        call->was_packed = false;
    }
    rpc__unpack_end(call, raw);
}

size_t rpc__in_size(const struct oak_rpc_call *call)
{
    return call->in.size > 0 ? call->in.size - RPC_FRAME_HEAD_BYTES : 0;
}

/* Room for more of a message: four times what has come, but no more than is to come. */
static int in_reserve(struct oak_rpc_call *call, size_t size)
{
    struct oak_buf *in = &call->in;
    if (in->size > 0 && in->capacity - in->size >= size) {
        return 0;
    }
    if (in->size == 0 && call->need > RPC_SPARE_BUFFER_BYTES_MAX) {
        rpc__large_take(call->conn->pool, in);
    }
    size_t wanted = OAK_MIN((size_t)call->need, 4 * (rpc__in_size(call) + size));
    return oak_buf_reserve(in, RPC_FRAME_HEAD_BYTES + wanted - in->size);
}

/* Add to the message that is being put together. */
static bool gather(struct oak_rpc_call *call, struct oak_bytes bytes)
{
    if (!rpc__memory_fits(call->conn->server)) {
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: the server is out of memory");
        return false;
    }
    if (bytes.size > call->conn->options.unfinished_bytes_max - call->conn->partial_bytes) {
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED,
                         "grpc: too many unfinished messages on this connection");
        return false;
    }
    if (in_reserve(call, bytes.size) != 0) {
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory");
        return false;
    }
    int error = 0; /* there is room */
    if (call->in.size == 0) {
        error = oak_buf_append(&call->in, call->prefix, RPC_FRAME_HEAD_BYTES);
        OAK_ASSERT_EQ(error, 0);
    }
    error = oak_buf_append(&call->in, bytes.data, bytes.size);
    OAK_ASSERT_EQ(error, 0);
    call->conn->partial_bytes += bytes.size;
    rpc__call_charge(call, bytes.size);
    return true;
}

static void deliver_gathered(struct oak_rpc_call *call)
{
    /* The handler may finish the call, which drops `in`: keep it out of reach meanwhile. */
    struct oak_buf in = call->in;
    call->in = (struct oak_buf){0};
    OAK_ASSERT_GE(in.size, RPC_FRAME_HEAD_BYTES);
    size_t size = in.size - RPC_FRAME_HEAD_BYTES;
    OAK_ASSERT_LE(size, call->conn->partial_bytes);
    call->conn->partial_bytes -= size;
    rpc__call_discharge(call, size);
    call->delivered = &in;
    deliver(call, oak_bytes(in.data + RPC_FRAME_HEAD_BYTES, size), call->in_packed);
    call->delivered = NULL;
    OAK_ASSERT_EQ(call->in.capacity, 0);
    oak_buf_clear(&in);
    rpc__large_give(call->conn->pool, &in);
    call->in = in;
}

/* Take what belongs to the message that is coming; deliver it if that was all. The bytes used. */
static size_t body_take(struct oak_rpc_call *call, struct oak_bytes bytes, bool last)
{
    size_t wanted = call->need - rpc__in_size(call);
    size_t count = OAK_MIN(wanted, bytes.size);
    bool whole = count == wanted;
    /* A second message may follow one that should be the only one: deliver at the end. */
    bool wait = takes_one(call) && !(last && count == bytes.size);
    bool packed = call->prefix[0] == 1;
    if (whole && !wait && call->in.size == 0) {
        prefix_begin(call);
        deliver(call, oak_bytes(bytes.data, count), packed);
        return count;
    }
    if (count == 0 && !whole) {
        return 0; /* the prefix was all: the message may yet come in one piece */
    }
    if (!gather(call, oak_bytes(bytes.data, count))) {
        return count;
    }
    call->in_packed = packed;
    if (whole) {
        prefix_begin(call);
        if (wait) {
            call->one_held = true;
        } else {
            deliver_gathered(call);
        }
    }
    return count;
}

/* Deliver what can be delivered now. The bytes used: all, unless the handler paused the call. */
static size_t parse(struct oak_rpc_call *call, struct oak_bytes bytes, bool last)
{
    size_t at = 0;
    while (at < bytes.size && !call->deaf && !call->paused) {
        if (call->one_held) {
            rpc__call_refuse(call, OAK_RPC_INTERNAL, one_message);
            break;
        }
        if (call->prefix_used < RPC_FRAME_HEAD_BYTES) {
            size_t count =
                OAK_MIN((size_t)RPC_FRAME_HEAD_BYTES - call->prefix_used, bytes.size - at);
            memcpy(call->prefix + call->prefix_used, bytes.data + at, count);
            call->prefix_used = (uint8_t)(call->prefix_used + count);
            at += count;
            if (call->prefix_used < RPC_FRAME_HEAD_BYTES || !prefix_check(call)) {
                break;
            }
        }
        at += body_take(call, oak_bytes(bytes.data + at, bytes.size - at), last);
    }
    return call->deaf ? bytes.size : at;
}

/* END_STREAM, and everything before it was delivered. */
static void half_close(struct oak_rpc_call *call)
{
    call->half_due = false;
    bool failed = call->status_received && call->code != OAK_RPC_OK; /* a client knows why */
    if (call->prefix_used > 0 && !failed) {
        rpc__call_refuse(call, OAK_RPC_INTERNAL, "grpc: the last message is incomplete");
        return;
    }
    if (call->one_held) {
        call->one_held = false;
        deliver_gathered(call);
    } else if (takes_one(call) && call->messages == 0) {
        rpc__call_refuse(call, OAK_RPC_INTERNAL, one_message);
        return;
    }
    if (!call->deaf && call->handler != NULL && call->handler->half_closed != NULL) {
        call->handler->half_closed(call->user, call);
    }
}

void rpc__frame_data(struct oak_rpc_call *call, struct oak_bytes bytes, bool last)
{
    size_t used = bytes.size;
    call->moved_ns = call->conn->now_ns;
    call->moved_bytes += bytes.size;
    if (!call->deaf) {
        bool behind = call->paused || call->held.size > 0;
        used = behind ? 0 : parse(call, bytes, last);
    }
    if (used < bytes.size) {
        size_t left = bytes.size - used;
        if (oak_buf_append(&call->held, bytes.data + used, left) != 0) {
            rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory");
            used = bytes.size;
        } else {
            call->conn->held_bytes += left;
            rpc__call_charge(call, left);
        }
    }
    if (!last) {
        credit_stream(call, used);
    }
}

void rpc__frame_end(struct oak_rpc_call *call)
{
    if (call->http_due) {
        rpc__server_answer_http(call);
    }
    if (call->deaf) {
        return;
    }
    call->half_due = true;
    rpc__frame_resume(call);
}

void rpc__frame_resume(struct oak_rpc_call *call)
{
    if (call->held.size > 0 && !call->paused && !call->deaf) {
        struct oak_buf held = call->held;
        call->held = (struct oak_buf){0};
        size_t used = parse(call, oak_buf_bytes(&held), call->remote_closed);
        rpc__conn_unhold(call->conn, used);
        rpc__call_discharge(call, used);
        credit_stream(call, used);
        OAK_ASSERT_EQ(call->held.size, 0); /* nghttp2 is not on the stack: nothing came meanwhile */
        if (call->deaf) {
            rpc__conn_unhold(call->conn, held.size - used);
            rpc__call_discharge(call, held.size - used);
            oak_buf_clear(&held);
        } else {
            oak_buf_consume(&held, used);
        }
        call->held = held;
    }
    if (call->half_due && !call->deaf && !call->paused && call->held.size == 0) {
        half_close(call);
    }
}
