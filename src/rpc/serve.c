/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c: a server and its connections: new, serve, drain, free.
 *
 * Happy path   new → add methods (server.c) → serve each accepted stream → drain → free.
 * Can fail     serve: too many connections, draining, no memory; the stream then stays the
 *              caller's.
 * Invariants   link_count is the length of links.all.
 * Thread       the loop's.
 */
#include "rpc/internal.h"

static struct oak_rpc_server *server_of(struct rpc_links *links)
{
    return OAK_CONTAINER_OF(links, struct oak_rpc_server, links);
}

static void link_lost(struct rpc_links *links, struct rpc_link *link)
{
    struct oak_rpc_server *server = server_of(links);
    OAK_ASSERT_GT(server->link_count, 0);
    OAK_ASSERT(link->conn->waiting_count == 0); /* a server has nothing to move */
    server->link_count--;
}

static void link_gone(struct rpc_links *links)
{
    struct oak_rpc_server *server = server_of(links);
    if (server->draining && server->link_count == 0) {
        const struct oak_timers *timers = &server->loop->timers;
        timers->stop(timers->user, &server->grace);
    }
}

/* The time to drain is over. */
static void grace_over(struct oak_timer *timer)
{
    struct oak_rpc_server *server = OAK_CONTAINER_OF(timer, struct oak_rpc_server, grace);
    for (struct oak_list *at = server->links.all.next; at != &server->links.all; at = at->next) {
        rpc__link_close(OAK_LIST_ENTRY(at, struct rpc_link, link), true);
    }
}

int oak_rpc_server_new(const struct oak_loop *loop, const struct oak_rpc_options *options,
                       struct oak_rpc_server **out)
{
    struct oak_rpc_server *server = rpc__resize(NULL, sizeof(*server));
    if (server == NULL) {
        return OAK_ENOMEM;
    }
    *server = (struct oak_rpc_server){
        .loop = loop, .options = rpc__options(options, true), .grace.fire = grace_over};
    uint64_t secrets[3] = {1, 2, 3}; /* without a loop: of connections in tests and simulators */
    if (loop != NULL) {
        loop->entropy.fill(loop->entropy.user, secrets, sizeof(secrets));
    }
    oak_list_init(&server->idle);
    oak_prng_init(&server->prng, secrets[2]);
    const struct oak_rpc_limits *l = &server->options.limits;
    if (l->rate_per_second > 0 &&
        rpc__rates_new(l->rate_per_second, l->rate_burst, secrets, &server->rates) != 0) {
        rpc__resize(server, 0);
        return OAK_ENOMEM;
    }
    rpc__pool_init(&server->pool);
    rpc__links_init(&server->links, loop);
    server->links.traffic = &server->traffic;
    server->links.lost = link_lost;
    server->links.gone = link_gone;
    *out = server;
    return 0;
}

void oak_rpc_server_free(struct oak_rpc_server *server)
{
    if (server == NULL) {
        return;
    }
    OAK_ASSERT_EQ(server->link_count, 0);
    OAK_ASSERT_EQ(server->handlers, 0); /* all work must have ended */
    if (server->grace.running) {
        server->loop->timers.stop(server->loop->timers.user, &server->grace);
    }
    rpc__links_fini(&server->links);
    rpc__pool_fini(&server->pool);
    rpc__rates_free(server->rates);
    for (size_t i = 0; i < server->method_count; i++) {
        const struct oak_rpc_method *method = &server->methods[i]->public;
        if (method->release != NULL) {
            method->release(method->user);
        }
        rpc__resize(server->methods[i], 0);
    }
    rpc__resize(server->methods, 0);
    rpc__resize(server->stats, 0);
    rpc__resize(server->index, 0);
    rpc__resize(server, 0);
}

int oak_rpc_serve(struct oak_rpc_server *server, struct oak_stream *stream, struct oak_bytes early)
{
    if (server->draining) {
        return OAK_ECLOSED;
    }
    if (server->link_count >= server->options.connections_max || !rpc__memory_fits(server)) {
        return OAK_ELIMIT;
    }
    const struct oak_clock *clock = &server->loop->clock;
    struct oak_rpc_conn *conn;
    int error = rpc__conn_new(server, &server->pool, &server->options,
                              stream->ops->peer_name(stream), clock->mono_ns(clock->user), &conn);
    if (error != 0) {
        return error;
    }
    struct rpc_link *link = rpc__link_new(&server->links, conn);
    if (link == NULL) {
        oak_rpc_conn_free(conn);
        return OAK_ENOMEM;
    }
    server->link_count++;
    rpc__link_open(link, stream, early);
    return 0;
}

void oak_rpc_server_drain(struct oak_rpc_server *server, uint64_t grace_ns)
{
    if (server->draining) {
        return;
    }
    server->draining = true;
    if (server->link_count == 0) {
        return;
    }
    for (struct oak_list *at = server->links.all.next; at != &server->links.all; at = at->next) {
        rpc__conn_drain(OAK_LIST_ENTRY(at, struct rpc_link, link)->conn);
    }
    const struct oak_loop *loop = server->loop;
    uint64_t now_ns = loop->clock.mono_ns(loop->clock.user);
    loop->timers.set(loop->timers.user, &server->grace, now_ns + grace_ns);
}

size_t oak_rpc_server_connections(const struct oak_rpc_server *server)
{
    return server->link_count;
}
