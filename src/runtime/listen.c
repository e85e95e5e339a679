/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c: servers of gRPC and JSON-RPC on addresses, and how they come to their end.
 *
 * Happy path   1 listen, with TLS inside or without
 *              2 each stream that is accepted is served
 *              3 drain: no more listeners, the servers drain, stop when they have no connection
 * Can fail     1. A stream that the server refuses (too many, draining) is closed.
 * Invariants   `servers` has each server that ever had a listener here, once: those that drain.
 * Thread       the loop's.
 */
#include <stdlib.h>

#include "runtime/internal.h"

/* What a listener and a drain do with a server of either kind. */
struct server_ops {
    int (*serve)(void *server, struct oak_stream *stream);
    void (*drain)(void *server, uint64_t grace_ns);
    size_t (*connections)(const void *server);
};

struct oak_runtime_listener {
    struct oak_list link;
    struct oak_runtime *rt;
    const struct server_ops *ops;
    void *server;
    struct oak_tls_net *tls;
    const struct oak_net *net;
    struct oak_listener *listener;
};

struct runtime_server {
    struct oak_list link;
    const struct server_ops *ops;
    void *server;
};

/* -- servers ----------------------------------------------------------------------------------- */

static int rpc_serve(void *server, struct oak_stream *stream)
{
    return oak_rpc_serve(server, stream, oak_bytes(NULL, 0));
}

static void rpc_drain(void *server, uint64_t grace_ns)
{
    oak_rpc_server_drain(server, grace_ns);
}

static size_t rpc_connections(const void *server)
{
    return oak_rpc_server_connections(server);
}

static const struct server_ops rpc_ops = {
    .serve = rpc_serve, .drain = rpc_drain, .connections = rpc_connections};

static int jsonrpc_serve(void *server, struct oak_stream *stream)
{
    return oak_jsonrpc_serve(server, stream);
}

static void jsonrpc_drain(void *server, uint64_t grace_ns)
{
    oak_jsonrpc_server_drain(server, grace_ns);
}

static size_t jsonrpc_connections(const void *server)
{
    return oak_jsonrpc_server_connections(server);
}

static const struct server_ops jsonrpc_ops = {
    .serve = jsonrpc_serve, .drain = jsonrpc_drain, .connections = jsonrpc_connections};

/* -- streams ----------------------------------------------------------------------------------- */

static void refused_data(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}

static void refused_closed(void *user, int error)
{
    (void)user;
    (void)error;
}

static void accepted(void *arg, struct oak_stream *stream)
{
    struct oak_runtime_listener *l = arg;
    if (l->ops->serve(l->server, stream) != 0) {
        const struct oak_stream_handler refused = {.data = refused_data, .closed = refused_closed};
        stream->ops->handle(stream, &refused);
        stream->ops->close(stream, true);
    }
}

/* -- listeners --------------------------------------------------------------------------------- */

static bool server_note(struct oak_runtime *rt, const struct server_ops *ops, void *server)
{
    for (struct oak_list *at = rt->servers.next; at != &rt->servers; at = at->next) {
        if (OAK_LIST_ENTRY(at, struct runtime_server, link)->server == server) {
            return true;
        }
    }
    struct runtime_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return false;
    }
    s->ops = ops;
    s->server = server;
    oak_list_push(&rt->servers, &s->link);
    return true;
}

static int listener_open(struct oak_runtime_listener *l, const char *address, struct oak_tls *tls,
                         struct oak_errbuf *e)
{
    const struct oak_loop *loop = l->rt->loop;
    l->net = &loop->net;
    if (tls != NULL) {
        int error = oak_tls_net_new(tls, loop, NULL, NULL, &l->tls);
        if (error != 0) {
            return oak_fail(e, error, "%s: out of memory", address);
        }
        l->net = oak_tls_net_port(l->tls);
    }
    return l->net->listen(l->net->user, address, accepted, l, &l->listener, e);
}

static int listen_for(struct oak_runtime *rt, const struct server_ops *ops, void *server,
                      const char *address, struct oak_tls *tls, struct oak_runtime_listener **out,
                      struct oak_errbuf *e)
{
    struct oak_runtime_listener *l = calloc(1, sizeof(*l));
    if (l == NULL || !server_note(rt, ops, server)) {
        free(l);
        return oak_fail(e, OAK_ENOMEM, "%s: out of memory", address);
    }
    l->rt = rt;
    l->ops = ops;
    l->server = server;
    int error = listener_open(l, address, tls, e);
    if (error != 0) {
        oak_tls_net_free(l->tls);
        free(l);
        return error;
    }
    oak_list_push(&rt->listeners, &l->link);
    if (out != NULL) {
        *out = l;
    }
    return 0;
}

int oak_runtime_listen(struct oak_runtime *rt, struct oak_rpc_server *server, const char *address,
                       struct oak_tls *tls, struct oak_runtime_listener **out, struct oak_errbuf *e)
{
    return listen_for(rt, &rpc_ops, server, address, tls, out, e);
}

int oak_runtime_listen_jsonrpc(struct oak_runtime *rt, struct oak_jsonrpc_server *server,
                               const char *address, struct oak_tls *tls,
                               struct oak_runtime_listener **out, struct oak_errbuf *e)
{
    return listen_for(rt, &jsonrpc_ops, server, address, tls, out, e);
}

const char *oak_runtime_listener_name(struct oak_runtime_listener *l)
{
    return l->net->listener_name(l->net->user, l->listener);
}

void oak_runtime_listener_close(struct oak_runtime_listener *l)
{
    l->net->listener_close(l->net->user, l->listener);
    oak_tls_net_free(l->tls);
    oak_list_remove(&l->link);
    free(l);
}

void runtime__listeners_close(struct oak_runtime *rt)
{
    while (!oak_list_empty(&rt->listeners)) {
        oak_runtime_listener_close(
            OAK_LIST_ENTRY(rt->listeners.next, struct oak_runtime_listener, link));
    }
}

void runtime__servers_free(struct oak_runtime *rt)
{
    struct oak_list *node;
    while ((node = oak_list_pop(&rt->servers)) != NULL) {
        free(OAK_LIST_ENTRY(node, struct runtime_server, link));
    }
}

/* -- the end ----------------------------------------------------------------------------------- */

static void drained_look(struct oak_after *after)
{
    struct oak_runtime *rt = OAK_CONTAINER_OF(after, struct oak_runtime, drained);
    for (struct oak_list *at = rt->servers.next; at != &rt->servers; at = at->next) {
        const struct runtime_server *s = OAK_LIST_ENTRY(at, struct runtime_server, link);
        if (s->ops->connections(s->server) > 0) {
            return;
        }
    }
    rt->loop->after_remove(rt->loop->user, &rt->drained);
    oak_runtime_stop(rt);
}

void oak_runtime_drain(struct oak_runtime *rt, uint64_t grace_ns)
{
    if (rt->draining) {
        return;
    }
    rt->draining = true;
    runtime__listeners_close(rt);
    for (struct oak_list *at = rt->servers.next; at != &rt->servers; at = at->next) {
        const struct runtime_server *s = OAK_LIST_ENTRY(at, struct runtime_server, link);
        s->ops->drain(s->server, grace_ns);
    }
    rt->drained.run = drained_look;
    rt->loop->after_add(rt->loop->user, &rt->drained);
}
