/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: the life of a door, the names of methods, and the round in which replies leave.
 *
 * Happy path   new → serve each stream → drain → free. A connection that has something to do is
 *              dirty; when the round ends each of them is flushed.
 * Can fail     new and serve: no memory, too many connections, draining.
 * Invariants   the after-hook is added exactly while `dirty` is not empty.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jsonrpc/internal.h"

/* -- dirty connections ------------------------------------------------------------------------- */

void jsonrpc__conn_mark(struct jsonrpc_conn *c)
{
    struct oak_jsonrpc_server *server = c->server;
    const struct oak_loop *loop = server->loop;
    if (!oak_list_linked(&c->dirty_link)) {
        if (oak_list_empty(&server->dirty)) {
            loop->after_add(loop->user, &server->after);
        }
        oak_list_push(&server->dirty, &c->dirty_link);
    }
    if (!server->soon.running) { /* the hooks of this round may be over */
        loop->timers.set(loop->timers.user, &server->soon, jsonrpc__now_ns(server));
    }
}

static void conn_clean(struct jsonrpc_conn *c)
{
    struct oak_jsonrpc_server *server = c->server;
    if (oak_list_linked(&c->dirty_link)) {
        oak_list_remove(&c->dirty_link);
        if (oak_list_empty(&server->dirty)) {
            server->loop->after_remove(server->loop->user, &server->after);
        }
    }
}

static void server_after(struct oak_after *after)
{
    struct oak_jsonrpc_server *server = OAK_CONTAINER_OF(after, struct oak_jsonrpc_server, after);
    while (!oak_list_empty(&server->dirty)) {
        struct jsonrpc_conn *c =
            OAK_LIST_ENTRY(server->dirty.next, struct jsonrpc_conn, dirty_link);
        conn_clean(c);
        jsonrpc__conn_flush(c);
    }
    server->loop->timers.stop(server->loop->timers.user, &server->soon);
}

static void soon_fire(struct oak_timer *timer)
{
    (void)timer; /* the hook is there already: that the round came is enough */
}

void jsonrpc__conn_gone(struct jsonrpc_conn *c)
{
    struct oak_jsonrpc_server *server = c->server;
    OAK_ASSERT_GT(server->conn_count, 0u);
    OAK_ASSERT_LE(c->charged, server->held);
    conn_clean(c);
    server->held -= c->charged;
    server->conn_count--;
    oak_list_remove(&c->link);
    if (server->draining && server->conn_count == 0) {
        server->loop->timers.stop(server->loop->timers.user, &server->grace);
    }
}

/* -- what waits to leave ----------------------------------------------------------------------- */

static size_t text_of(const struct jsonrpc_conn *c)
{
    return c->stream->ops->queued(c->stream) + c->out.size + c->batch_bytes;
}

/* What a connection has comes first; that of all is added up only where it is much. A text may have
 * `times` as much as its message: who was let in as a message is not to be turned away as text. */
static bool room(const struct jsonrpc_conn *c, size_t mine, size_t size, size_t times)
{
    if (mine + size <= JSONRPC_QUEUE_HIGH_BYTES) {
        return true;
    }
    const struct oak_jsonrpc_server *server = c->server;
    size_t total = 0;
    for (const struct oak_list *at = server->conns.next; at != &server->conns; at = at->next) {
        const struct jsonrpc_conn *each = OAK_LIST_ENTRY(at, struct jsonrpc_conn, link);
        total += each->stream != NULL ? text_of(each) + each->reply_bytes : 0;
    }
    return mine + size <= times * OAK_JSONRPC_REPLIES_BYTES_MAX &&
           total <= times * OAK_JSONRPC_QUEUED_BYTES_MAX;
}

bool jsonrpc__room_for_message(const struct jsonrpc_conn *c, size_t size)
{
    return c->stream != NULL && room(c, text_of(c) + c->reply_bytes, size, 1);
}

bool jsonrpc__room_for_text(const struct jsonrpc_conn *c, size_t size)
{
    return room(c, text_of(c), size, 2);
}

/* -- the life of a door ------------------------------------------------------------------------ */

static void grace_fire(struct oak_timer *timer)
{
    struct oak_jsonrpc_server *server = OAK_CONTAINER_OF(timer, struct oak_jsonrpc_server, grace);
    for (struct oak_list *at = server->conns.next; at != &server->conns; at = at->next) {
        jsonrpc__conn_close(OAK_LIST_ENTRY(at, struct jsonrpc_conn, link), true);
    }
}

#define DEFAULT(field, value) (options.field = options.field != 0 ? options.field : (value))

int oak_jsonrpc_server_new(const struct oak_loop *loop, const struct oak_rpc_server *methods,
                           const struct oak_jsonrpc_options *given, struct oak_jsonrpc_server **out)
{
    struct oak_jsonrpc_options options = given != NULL ? *given : (struct oak_jsonrpc_options){0};
    DEFAULT(timeout_ns, OAK_JSONRPC_CALL_MS * 1000000ull);
    DEFAULT(idle_ns, OAK_JSONRPC_IDLE_MS * 1000000ull);
    DEFAULT(connections_max, OAK_JSONRPC_CONNECTIONS_MAX);
    DEFAULT(calls_max, OAK_JSONRPC_CALLS_MAX);
    DEFAULT(batch_max, OAK_JSONRPC_BATCH_MAX);
    DEFAULT(message_bytes_max, OAK_JSONRPC_MESSAGE_BYTES_MAX);
    DEFAULT(request_bytes_max, OAK_REQUEST_BYTES_MAX + OAK_REQUEST_OVERHEAD_BYTES);
    DEFAULT(reply_bytes_max, OAK_JSONRPC_REPLY_BYTES_MAX);
    OAK_ASSERT_LE(options.interceptor_count, OAK_RPC_INTERCEPTORS_MAX);
    struct oak_jsonrpc_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return OAK_ENOMEM;
    }
    server->loop = loop;
    server->methods = methods;
    server->options = options;
    server->after.run = server_after;
    server->soon.fire = soon_fire;
    server->grace.fire = grace_fire;
    oak_list_init(&server->conns);
    oak_list_init(&server->dirty);
    oak_list_init(&server->after.link);
    oak_arena_init(&server->arena, 16 * OAK_KIB, OAK_RESPONSE_BYTES_MAX);
    *out = server;
    return 0;
}

void oak_jsonrpc_server_free(struct oak_jsonrpc_server *server)
{
    if (server == NULL) {
        return;
    }
    OAK_ASSERT_EQ(server->conn_count, 0u);
    OAK_ASSERT_EQ(server->calls, 0u);
    OAK_ASSERT_EQ(server->held, 0u);
    const struct oak_timers *timers = &server->loop->timers;
    timers->stop(timers->user, &server->soon);
    timers->stop(timers->user, &server->grace);
    oak_arena_fini(&server->arena);
    free(server);
}

void oak_jsonrpc_server_drain(struct oak_jsonrpc_server *server, uint64_t grace_ns)
{
    if (server->draining) {
        return;
    }
    server->draining = true;
    for (struct oak_list *at = server->conns.next; at != &server->conns; at = at->next) {
        struct jsonrpc_conn *c = OAK_LIST_ENTRY(at, struct jsonrpc_conn, link);
        c->ending = true;
        jsonrpc__conn_mark(c);
    }
    if (server->conn_count > 0) {
        uint64_t now = jsonrpc__now_ns(server);
        server->loop->timers.set(server->loop->timers.user, &server->grace,
                                 now > UINT64_MAX - grace_ns ? UINT64_MAX : now + grace_ns);
    }
}

size_t oak_jsonrpc_server_connections(const struct oak_jsonrpc_server *server)
{
    return server->conn_count;
}

void oak_jsonrpc_server_traffic(const struct oak_jsonrpc_server *server,
                                struct oak_jsonrpc_traffic *out)
{
    *out = server->traffic;
}

/* -- names of methods -------------------------------------------------------------------------- */

static bool service_is(const char *service, struct oak_bytes name)
{
    return oak_bytes_eq(oak_bytes_str(service), name);
}

/* Is it the service's name without its package? */
static bool service_is_short(const char *service, struct oak_bytes name)
{
    const char *dot = strrchr(service, '.');
    return dot != NULL && service_is(dot + 1, name);
}

/* What can be called: its messages are known, and there is one each way. */
static const struct oak_rpc_method *callable(const struct oak_rpc_method *m, char *why, size_t size)
{
    if (m->kind != OAK_RPC_UNARY) {
        snprintf(why, size, "%s/%s streams, which JSON-RPC can't: it is for gRPC alone", m->service,
                 m->name);
        return NULL;
    }
    if (m->stub == NULL) {
        snprintf(why, size, "nothing is known here of the messages of %s/%s", m->service, m->name);
        return NULL;
    }
    return m;
}

const struct oak_rpc_method *jsonrpc__find(const struct oak_jsonrpc_server *server,
                                           struct oak_bytes name, char *why, size_t why_size)
{
    size_t cut = name.size;
    while (cut > 0 && name.data[cut - 1] != '.' && name.data[cut - 1] != '/') {
        cut--;
    }
    struct oak_bytes method = oak_bytes(name.data + cut, name.size - cut);
    struct oak_bytes service = oak_bytes(name.data, cut > 0 ? cut - 1 : 0);
    const struct oak_rpc_method_stats *all;
    size_t count = oak_rpc_server_stats(server->methods, &all);
    const struct oak_rpc_method *found = NULL;
    const struct oak_rpc_method *other = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct oak_rpc_method *m = all[i].method;
        if (!oak_bytes_eq(oak_bytes_str(m->name), method)) {
            continue;
        }
        if (service_is(m->service, service)) {
            return callable(m, why, why_size);
        }
        if (service_is_short(m->service, service)) {
            other = found;
            found = m;
        }
    }
    if (found == NULL) {
        snprintf(why, why_size, "unknown method %.*s", (int)OAK_MIN(name.size, (size_t)200),
                 (const char *)name.data);
        return NULL;
    }
    if (other != NULL) {
        snprintf(why, why_size, "more than one service is meant: %.180s and %.180s have %.100s",
                 other->service, found->service, found->name);
        return NULL;
    }
    return callable(found, why, why_size);
}
