/* SPDX-License-Identifier: Apache-2.0 */
/* test_link.h: for tests of this room: a server and a subchannel over streams of a loop that the
 * test turns. */
#ifndef OAK_RPC_TEST_LINK_H
#define OAK_RPC_TEST_LINK_H

#include "rpc/test_pair.h"
#include "rpc/test_loop.h"

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *channel;
    struct echo echo;
    int refused; /* streams that the server did not take */
    int ups;
    int downs;
};

static inline void nobody_data(void *user, struct oak_bytes b)
{
    (void)user;
    (void)b;
}
static inline void nobody_drained(void *user)
{
    (void)user;
}
static inline void nobody_closed(void *user, int error)
{
    (void)user;
    (void)error;
}
static const struct oak_stream_handler nobody = {
    .data = nobody_data, .drained = nobody_drained, .closed = nobody_closed};

static inline void world_accept(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    if (w->server == NULL || oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)) != 0) {
        w->refused++;
        s->ops->handle(s, &nobody);
        s->ops->close(s, true);
    }
}

static inline void world_state(void *user, bool connected)
{
    struct world *w = user;
    w->ups += connected;
    w->downs += !connected;
}

static inline void server_open(struct world *w, const struct oak_rpc_options *options)
{
    assert_int_equal(oak_rpc_server_new(&w->loop.port, options, &w->server), 0);
    echo_add(w->server, &w->echo);
}

static inline void world_open(struct world *w, const struct oak_rpc_subchannel_options *options)
{
    *w = (struct world){0};
    fake_loop_init(&w->loop);
    w->loop.accepted = world_accept;
    w->loop.accepted_arg = w;
    server_open(w, NULL);
    struct oak_rpc_subchannel_options o = {0};
    if (options != NULL) {
        o = *options;
    }
    o.state = world_state;
    o.user = w;
    assert_int_equal(oak_rpc_subchannel_new(&w->loop.port, "fake:1", &o, &w->channel), 0);
}

static inline void world_close(struct world *w)
{
    oak_rpc_subchannel_free(w->channel);
    fake_run(&w->loop);
    assert_int_equal(oak_rpc_server_connections(w->server), 0);
    oak_rpc_server_free(w->server);
    fake_loop_fini(&w->loop);
}

static inline int world_call(struct world *w, const char *method, uint64_t timeout_ns,
                             struct recorder *r)
{
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = method,
                                      .timeout_ns = timeout_ns,
                                      .handler = &recorder_handler,
                                      .user = r};
    return oak_rpc_subchannel_call(w->channel, &request, &r->call);
}

static inline void ask(struct world *w, struct recorder *r)
{
    *r = (struct recorder){0};
    assert_int_equal(world_call(w, "Unary", 0, r), 0);
    send_text(r->call, "hello");
    oak_rpc_call_half_close(r->call);
}

#endif
