/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c: a connection: texts found in a stream of bytes, replies written, times kept.
 *
 * Happy path   1 bytes come, and each text in them is worked off
 *              2 when the round ends: replies of what is finished are written, what waited is read
 *              3 the peer closes
 * Can fail     no JSON, too much, too slow: an error, and the end. The peer goes: its calls are
 *              cancelled.
 * Invariants   with too much under way or queued nothing is begun: what has come waits in `ahead`,
 *              and the stream is paused. `closed_cb` is the only place where a connection ends.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jsonrpc/internal.h"

static size_t queued(const struct jsonrpc_conn *c)
{
    return c->stream->ops->queued(c->stream);
}

/* No more may be begun. */
static bool full(const struct jsonrpc_conn *c)
{
    return c->calls >= c->server->options.calls_max || c->cost >= OAK_JSONRPC_UNDERWAY_BYTES_MAX ||
           c->out.size > JSONRPC_QUEUE_HIGH_BYTES || queued(c) > JSONRPC_QUEUE_HIGH_BYTES;
}

static bool reads(const struct jsonrpc_conn *c)
{
    return !c->ending && !c->closing && !c->broken;
}

static void keep(struct oak_buf *b)
{
    oak_buf_clear(b);
    if (b->capacity > JSONRPC_KEEP_BYTES) {
        oak_buf_fini(b);
    }
}

/* -- what comes -------------------------------------------------------------------------------- */

static size_t space(struct oak_bytes b)
{
    size_t n = 0;
    while (n < b.size &&
           (b.data[n] == ' ' || b.data[n] == '\t' || b.data[n] == '\n' || b.data[n] == '\r')) {
        n++;
    }
    return n;
}

static void refuse_size(struct jsonrpc_conn *c)
{
    char text[96];
    snprintf(text, sizeof(text), "the request is larger than %zu bytes",
             c->server->options.message_bytes_max);
    jsonrpc__refuse_stream(c, JSONRPC_REQUEST, text);
}

/* A text goes on or begins with `bytes`; gives how many are of it. */
static size_t text_take(struct jsonrpc_conn *c, struct oak_bytes bytes)
{
    size_t used;
    int ended = oak_json_frame(&c->frame, bytes, &used);
    if (ended < 0) {
        jsonrpc__refuse_stream(c, JSONRPC_PARSE,
                               ended == OAK_ELIMIT ? "the text is nested too deep"
                                                   : "a request is an object, a batch an array");
        return bytes.size;
    }
    if (c->in.size + used > c->server->options.message_bytes_max) {
        refuse_size(c);
        return bytes.size;
    }
    struct oak_bytes text = oak_bytes(bytes.data, used);
    if (c->in.size > 0 || ended == 0) {
        c->begun_ns = c->in.size == 0 ? jsonrpc__now_ns(c->server) : c->begun_ns;
        if (oak_buf_append(&c->in, bytes.data, used) != 0) {
            c->broken = true;
            return bytes.size;
        }
        text = oak_buf_bytes(&c->in);
    }
    if (ended == 1) {
        c->frame = (struct oak_json_frame){0};
        jsonrpc__message(c, text);
        keep(&c->in);
    }
    return used;
}

/* Work off what may be begun; gives how much that was. */
static size_t consume(struct jsonrpc_conn *c, struct oak_bytes bytes)
{
    size_t used = 0;
    while (used < bytes.size && reads(c) && !full(c)) {
        struct oak_bytes rest = oak_bytes(bytes.data + used, bytes.size - used);
        size_t skipped = c->frame.depth == 0 ? space(rest) : 0;
        used += skipped > 0 ? skipped : text_take(c, rest);
    }
    return used;
}

/* What is held of the peer's text, told to the server. */
static void charge(struct jsonrpc_conn *c)
{
    struct oak_jsonrpc_server *server = c->server;
    if (!reads(c)) {
        oak_buf_fini(&c->in);
        oak_buf_fini(&c->ahead);
    }
    size_t size = c->in.size + c->ahead.size;
    server->held = server->held - c->charged + size;
    c->charged = size;
}

static void data_cb(void *user, struct oak_bytes bytes)
{
    struct jsonrpc_conn *c = user;
    if (!reads(c)) {
        return;
    }
    c->server->traffic.received_bytes += bytes.size;
    c->moved_ns = jsonrpc__now_ns(c->server);
    size_t used = c->ahead.size == 0 ? consume(c, bytes) : 0;
    if (reads(c) && oak_buf_append(&c->ahead, bytes.data + used, bytes.size - used) != 0) {
        c->broken = true;
    }
    charge(c);
    if (reads(c) && c->server->held > OAK_JSONRPC_HELD_BYTES_MAX) {
        jsonrpc__refuse_stream(c, JSONRPC_REQUEST, "the server holds too many requests");
        charge(c);
    }
    jsonrpc__conn_mark(c);
}

/* -- what goes --------------------------------------------------------------------------------- */

/* Replies of what is finished. */
static void settle(struct jsonrpc_conn *c)
{
    while (!oak_list_empty(&c->done) && !c->broken) {
        struct jsonrpc_call *call = OAK_LIST_ENTRY(c->done.next, struct jsonrpc_call, link);
        struct jsonrpc_batch *batch = call->batch;
        jsonrpc__reply_call(call);
        jsonrpc__call_end(call, call->code);
        if (batch != NULL) {
            jsonrpc__batch_done(c, batch);
        }
    }
}

static void write_out(struct jsonrpc_conn *c)
{
    if (c->out.size > 0 && !c->broken) {
        c->server->traffic.sent_bytes += c->out.size;
        c->written += c->out.size;
        c->moved_ns = jsonrpc__now_ns(c->server);
        c->broken = c->stream->ops->write(c->stream, oak_buf_bytes(&c->out)) != 0;
    }
    oak_buf_fini(&c->out);
}

/* Calls that are no longer paused. */
static void deliver(struct jsonrpc_conn *c)
{
    while (c->resumed) {
        c->resumed = false;
        for (struct oak_list *at = c->open.next; at != &c->open; at = at->next) {
            struct jsonrpc_call *call = OAK_LIST_ENTRY(at, struct jsonrpc_call, link);
            if (!call->delivered && !call->paused) {
                c->resumed = true; /* there may be more, and the list may change below this one */
                jsonrpc__call_deliver(call);
                break;
            }
        }
    }
}

static void reading_set(struct jsonrpc_conn *c)
{
    bool pause = !reads(c) || c->ahead.size > 0 || full(c);
    if (pause != c->paused) {
        c->paused = pause;
        c->begun_ns = jsonrpc__now_ns(c->server);
        c->stream->ops->pause(c->stream, pause);
    }
}

/* -- times ------------------------------------------------------------------------------------- */

/* To be compared only: a stream that encrypts queues more than it was given. */
static uint64_t taken(const struct jsonrpc_conn *c)
{
    return c->written - queued(c);
}

static bool is_idle(const struct jsonrpc_conn *c)
{
    return c->calls == 0 && c->in.size == 0 && queued(c) == 0;
}

static uint64_t plus(uint64_t at_ns, uint64_t more_ns)
{
    return more_ns > UINT64_MAX - at_ns ? UINT64_MAX : at_ns + more_ns;
}

static uint64_t call_due_ns(const struct jsonrpc_conn *c)
{
    if (oak_list_empty(&c->open)) {
        return UINT64_MAX;
    }
    uint64_t due_ns = OAK_LIST_ENTRY(c->open.next, struct jsonrpc_call, link)->deadline_ns;
    return due_ns != 0 ? due_ns : UINT64_MAX;
}

static uint64_t message_due_ns(const struct jsonrpc_conn *c)
{
    return c->in.size > 0 && !c->paused ? plus(c->begun_ns, JSONRPC_MESSAGE_NS) : UINT64_MAX;
}

static uint64_t idle_due_ns(const struct jsonrpc_conn *c)
{
    return is_idle(c) ? plus(c->moved_ns, c->server->options.idle_ns) : UINT64_MAX;
}

static void timer_arm(struct jsonrpc_conn *c)
{
    const struct oak_timers *timers = &c->server->loop->timers;
    uint64_t due_ns = OAK_MIN(call_due_ns(c), OAK_MIN(message_due_ns(c), idle_due_ns(c)));
    if (queued(c) == 0) {
        c->stall_ns = 0;
    } else if (c->stall_ns == 0 || taken(c) != c->taken) {
        c->stall_ns = jsonrpc__now_ns(c->server);
        c->taken = taken(c);
    }
    due_ns = c->stall_ns != 0 ? OAK_MIN(due_ns, c->stall_ns + JSONRPC_WRITE_NS) : due_ns;
    if (due_ns == UINT64_MAX) {
        timers->stop(timers->user, &c->timer);
    } else if (!c->timer.running || due_ns < c->timer.due_ns) {
        timers->set(timers->user, &c->timer, due_ns); /* else it fires early, and is set again */
    }
}

static void timer_fire(struct oak_timer *timer)
{
    struct jsonrpc_conn *c = OAK_CONTAINER_OF(timer, struct jsonrpc_conn, timer);
    uint64_t now = jsonrpc__now_ns(c->server);
    bool stalled = queued(c) > 0 && c->stall_ns != 0 && taken(c) == c->taken &&
                   now >= c->stall_ns + JSONRPC_WRITE_NS;
    if (c->closing || stalled) {
        jsonrpc__conn_close(c, true);
        return;
    }
    while (call_due_ns(c) <= now) {
        jsonrpc__call_finish(OAK_LIST_ENTRY(c->open.next, struct jsonrpc_call, link),
                             OAK_RPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    }
    if (message_due_ns(c) <= now) {
        jsonrpc__refuse_stream(c, JSONRPC_REQUEST, "the request did not come whole in time");
    }
    c->ending = c->ending || idle_due_ns(c) <= now;
    jsonrpc__conn_mark(c);
}

/* -- the round, and the end -------------------------------------------------------------------- */

void jsonrpc__conn_flush(struct jsonrpc_conn *c)
{
    if (c->closing) {
        return;
    }
    do {
        settle(c);
        write_out(c);
        deliver(c);
        if (c->ahead.size > 0) {
            size_t used = consume(c, oak_buf_bytes(&c->ahead));
            oak_buf_consume(&c->ahead, used);
        }
    } while (!c->broken && (!oak_list_empty(&c->done) || c->out.size > 0));
    if (c->calls == 0 && !c->broken) {
        OAK_ASSERT_EQ(c->cost, 0u);
        OAK_ASSERT_EQ(c->reply_bytes, 0u);
        OAK_ASSERT_EQ(c->batch_bytes, 0u);
    }
    if (c->ahead.size == 0) {
        keep(&c->ahead);
    }
    charge(c);
    if (c->broken || (c->ending && c->calls == 0)) {
        jsonrpc__conn_close(c, c->broken);
        return;
    }
    reading_set(c);
    timer_arm(c);
}

void jsonrpc__conn_close(struct jsonrpc_conn *c, bool now)
{
    if (!c->closing) {
        c->closing = true;
        charge(c);
        const struct oak_timers *timers = &c->server->loop->timers;
        timers->set(timers->user, &c->timer, plus(jsonrpc__now_ns(c->server), JSONRPC_LINGER_NS));
    }
    c->stream->ops->close(c->stream, now);
}

static void drained_cb(void *user)
{
    jsonrpc__conn_mark(user);
}

static void closed_cb(void *user, int error)
{
    struct jsonrpc_conn *c = user;
    struct oak_jsonrpc_server *server = c->server;
    OAK_MAYBE(error != 0); /* for the calls it makes no difference why */
    c->closing = true;
    charge(c);
    c->stream = NULL;
    while (c->calls > 0) {
        struct oak_list *first = !oak_list_empty(&c->open) ? c->open.next : c->done.next;
        struct jsonrpc_call *call = OAK_LIST_ENTRY(first, struct jsonrpc_call, link);
        struct jsonrpc_batch *batch = call->batch;
        server->traffic.abandoned++;
        jsonrpc__call_end(call, OAK_RPC_CANCELLED);
        if (batch != NULL) {
            jsonrpc__batch_drop(batch);
        }
    }
    server->loop->timers.stop(server->loop->timers.user, &c->timer);
    jsonrpc__conn_gone(c);
    oak_buf_fini(&c->out);
    free(c);
}

int oak_jsonrpc_serve(struct oak_jsonrpc_server *server, struct oak_stream *stream)
{
    if (server->draining) {
        return OAK_ECLOSED;
    }
    if (server->conn_count >= server->options.connections_max) {
        return OAK_ELIMIT;
    }
    struct jsonrpc_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return OAK_ENOMEM;
    }
    c->server = server;
    c->stream = stream;
    c->timer.fire = timer_fire;
    c->moved_ns = jsonrpc__now_ns(server);
    oak_list_init(&c->open);
    oak_list_init(&c->done);
    oak_list_push(&server->conns, &c->link);
    server->conn_count++;
    c->handler = (struct oak_stream_handler){
        .data = data_cb, .drained = drained_cb, .closed = closed_cb, .user = c};
    stream->ops->handle(stream, &c->handler);
    jsonrpc__conn_mark(c);
    return 0;
}
