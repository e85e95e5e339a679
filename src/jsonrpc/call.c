/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: one request in the hands of a method, which sees a struct oak_rpc_call.
 *
 * Happy path   1 start: the method installs its handler, and is given the only message
 *              2 it answers, now or later: a message, then a status
 *              3 the connection's flush writes the reply, and the handler is told `closed`
 * Can fail     1 for want of memory. 2 a message that is too large, or a second one.
 * Invariants   a call is in `open` until it is finished, then in `done`. Nothing but
 *              jsonrpc__call_end frees it, and that is never below the handler on the stack.
 * Thread       the loop's.
 */
#include <stdlib.h>

#include "jsonrpc/internal.h"

static struct jsonrpc_call *call_of(struct oak_rpc_call *call)
{
    return (struct jsonrpc_call *)(void *)call;
}

static const struct jsonrpc_call *call_at(const struct oak_rpc_call *call)
{
    return (const struct jsonrpc_call *)(const void *)call;
}

static struct oak_rpc_call *rpc_of(struct jsonrpc_call *call)
{
    return oak_rpc_call_of(&call->base);
}

/* -- what the method may do -------------------------------------------------------------------- */

static void op_handle(struct oak_rpc_call *rpc, const struct oak_rpc_handler *handler, void *user)
{
    struct jsonrpc_call *call = call_of(rpc);
    call->handler = handler;
    call->user = user;
}

static uint8_t *op_send_into(struct oak_rpc_call *rpc, size_t size)
{
    struct jsonrpc_call *call = call_of(rpc);
    if (call->finished || call->answered || size > call->conn->server->options.reply_bytes_max) {
        return NULL;
    }
    if (!jsonrpc__chain_sent(call, size) || call->finished) {
        return NULL;
    }
    struct jsonrpc_conn *conn = call->conn;
    if (!jsonrpc__room_for_message(conn, size) || oak_buf_reserve(&call->out, size + 1) != 0) {
        return NULL;
    }
    call->answered = true;
    call->out.size = size;
    conn->reply_bytes += size;
    return call->out.data;
}

static int op_send(struct oak_rpc_call *rpc, struct oak_bytes message)
{
    struct jsonrpc_call *call = call_of(rpc);
    uint8_t *to = op_send_into(rpc, message.size);
    if (to == NULL) {
        return call->finished ? OAK_ECLOSED : OAK_ELIMIT;
    }
    if (message.size > 0) {
        memcpy(to, message.data, message.size);
    }
    return 0;
}

void jsonrpc__call_finish(struct jsonrpc_call *call, enum oak_rpc_code code, const char *text)
{
    OAK_ASSERT_LE(code, OAK_RPC_UNAUTHENTICATED);
    if (call->finished) {
        return;
    }
    if (!call->finishing) {
        call->finishing = true;
        jsonrpc__chain_finish(call, code);
        if (call->finished) {
            return; /* one of them had another idea */
        }
    }
    call->finished = true;
    call->code = code;
    if (code == OAK_RPC_OK && !call->answered) {
        call->code = OAK_RPC_INTERNAL;
        text = "the method answered without a message";
    }
    size_t size = text != NULL ? strnlen(text, JSONRPC_STATUS_BYTES_MAX) : 0;
    if (oak_buf_append(&call->status_text, text, size) != 0) {
        oak_buf_clear(&call->status_text); /* the code alone has to do */
    }
    oak_buf_fini(&call->in);
    oak_list_remove(&call->link);
    oak_list_push(&call->conn->done, &call->link);
    jsonrpc__conn_mark(call->conn);
}

static void op_finish(struct oak_rpc_call *rpc, enum oak_rpc_code code, const char *message)
{
    jsonrpc__call_finish(call_of(rpc), code, message);
}

static int op_finish_details(struct oak_rpc_call *rpc, enum oak_rpc_code code, const char *message,
                             struct oak_bytes details)
{
    struct jsonrpc_call *call = call_of(rpc);
    if (call->finished) {
        return OAK_ECLOSED;
    }
    if (details.size > JSONRPC_STATUS_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    oak_buf_clear(&call->details);
    int error = oak_buf_append(&call->details, details.data, details.size);
    if (error == 0) {
        jsonrpc__call_finish(call, code, message);
    }
    return error;
}

static void op_cancel(struct oak_rpc_call *rpc)
{
    jsonrpc__call_finish(call_of(rpc), OAK_RPC_CANCELLED, "the server has cancelled the call");
}

static void op_pause(struct oak_rpc_call *rpc, bool paused)
{
    struct jsonrpc_call *call = call_of(rpc);
    call->paused = paused;
    if (!paused && !call->delivered && !call->finished) {
        call->conn->resumed = true;
        jsonrpc__conn_mark(call->conn);
    }
}

static size_t op_queued(const struct oak_rpc_call *rpc)
{
    return call_at(rpc)->out.size;
}

/* There is no place for metadata in a reply: what a method adds is checked nowhere, and goes
 * nowhere. */
static int op_add(struct oak_rpc_call *rpc, struct oak_rpc_pair pair)
{
    (void)pair;
    return call_of(rpc)->finished ? OAK_ECLOSED : 0;
}

static struct oak_bytes op_metadata(const struct oak_rpc_call *rpc, const char *name)
{
    (void)rpc;
    (void)name;
    return oak_bytes(NULL, 0);
}

static uint64_t op_deadline_ns(const struct oak_rpc_call *rpc)
{
    return call_at(rpc)->deadline_ns;
}

static struct oak_bytes op_path(const struct oak_rpc_call *rpc)
{
    return oak_buf_bytes(&call_at(rpc)->path);
}

static const char *op_peer(const struct oak_rpc_call *rpc)
{
    struct oak_stream *stream = call_at(rpc)->conn->stream;
    return stream != NULL ? stream->ops->peer_name(stream) : "";
}

static const struct oak_identity *op_identity(const struct oak_rpc_call *rpc)
{
    struct oak_stream *stream = call_at(rpc)->conn->stream;
    bool known = stream != NULL && stream->ops->identity != NULL;
    return known ? stream->ops->identity(stream) : NULL;
}

static bool op_owed(const struct oak_rpc_call *rpc)
{
    (void)rpc;
    return false; /* it has come whole */
}

static uint64_t op_moved_ns(const struct oak_rpc_call *rpc)
{
    return call_at(rpc)->conn->moved_ns;
}

static int op_follow(struct oak_rpc_call *rpc, struct oak_rpc_follower *follower)
{
    struct jsonrpc_call *call = call_of(rpc);
    if (call->finished) {
        return OAK_ECLOSED;
    }
    oak_rpc_followers_join(&call->followers, follower);
    return 0;
}

static const struct oak_rpc_call_ops ops = {
    .handle = op_handle,
    .send = op_send,
    .send_into = op_send_into,
    .finish = op_finish,
    .cancel = op_cancel,
    .pause = op_pause,
    .queued = op_queued,
    .add_header = op_add,
    .add_trailer = op_add,
    .metadata = op_metadata,
    .deadline_ns = op_deadline_ns,
    .path = op_path,
    .peer = op_peer,
    .identity = op_identity,
    .owed = op_owed,
    .moved_ns = op_moved_ns,
    .finish_details = op_finish_details,
    .follow = op_follow,
};

/* -- from start to end ------------------------------------------------------------------------- */

static void call_free(struct jsonrpc_call *call)
{
    oak_buf_fini(&call->in);
    oak_buf_fini(&call->out);
    oak_buf_fini(&call->path);
    oak_buf_fini(&call->status_text);
    oak_buf_fini(&call->details);
    oak_buf_fini(&call->states);
    free(call);
}

static struct jsonrpc_call *call_new(struct jsonrpc_conn *conn, const struct oak_rpc_method *method,
                                     const struct jsonrpc_return *back)
{
    struct jsonrpc_call *call = calloc(1, sizeof(*call) + back->id.size);
    if (call == NULL) {
        return NULL;
    }
    call->base.ops = &ops;
    call->conn = conn;
    call->method = method;
    call->back = *back;
    if (back->id.size > 0) {
        memcpy(call->id, back->id.data, back->id.size);
        call->back.id = oak_bytes(call->id, back->id.size);
    }
    if (oak_buf_printf(&call->path, "/%s/%s", method->service, method->name) != 0) {
        call_free(call);
        return NULL;
    }
    return call;
}

void jsonrpc__call_deliver(struct jsonrpc_call *call)
{
    struct oak_rpc_call *rpc = rpc_of(call);
    OAK_ASSERT(!call->delivered && !call->finished && !call->paused);
    call->delivered = true;
    struct oak_buf request = call->in;
    call->in = (struct oak_buf){0};
    if (jsonrpc__chain_received(call, oak_buf_bytes(&request))) {
        call->handler->message(call->user, rpc, oak_buf_bytes(&request));
        if (!call->finished && call->handler->half_closed != NULL) {
            call->handler->half_closed(call->user, rpc);
        }
    }
    oak_buf_fini(&request);
}

int jsonrpc__call_start(struct jsonrpc_conn *conn, const struct oak_rpc_method *method,
                        const struct jsonrpc_return *back, struct jsonrpc_batch *batch,
                        struct oak_buf *request, size_t cost)
{
    struct oak_jsonrpc_server *server = conn->server;
    struct jsonrpc_call *call = call_new(conn, method, back);
    if (call == NULL) {
        return OAK_ENOMEM;
    }
    call->batch = batch;
    call->cost = cost;
    call->in = *request;
    *request = (struct oak_buf){0};
    uint64_t now = jsonrpc__now_ns(server);
    uint64_t timeout_ns = server->options.timeout_ns;
    call->deadline_ns = timeout_ns > UINT64_MAX - now ? 0 : now + timeout_ns;
    oak_list_push(&conn->open, &call->link);
    conn->calls++;
    conn->cost += cost;
    server->calls++;
    server->traffic.started++;
    if (jsonrpc__chain_start(call) != 0) {
        jsonrpc__call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
    }
    if (call->finished) {
        return 0;
    }
    method->start(method->user, rpc_of(call));
    OAK_ASSERT(call->handler != NULL || call->finished);
    if (!call->finished && !call->paused) {
        jsonrpc__call_deliver(call);
    }
    return 0;
}

void jsonrpc__call_end(struct jsonrpc_call *call, enum oak_rpc_code code)
{
    struct jsonrpc_conn *conn = call->conn;
    struct oak_bytes text = code == call->code ? oak_buf_bytes(&call->status_text)
                                               : oak_bytes_str("the connection has ended");
    const struct oak_rpc_status status = {.code = code, .message = text};
    OAK_ASSERT_GT(conn->calls, 0u);
    oak_list_remove(&call->link);
    conn->calls--;
    OAK_ASSERT_LE(call->out.size, conn->reply_bytes);
    conn->cost -= call->cost;
    conn->reply_bytes -= call->out.size;
    conn->server->calls--;
    conn->server->traffic.handled[code]++;
    call->finished = true; /* what its handler still says goes nowhere */
    if (call->handler != NULL) {
        call->handler->closed(call->user, rpc_of(call), &status);
    }
    jsonrpc__chain_closed(call, &status);
    oak_rpc_followers_tell(&call->followers);
    call_free(call);
}
