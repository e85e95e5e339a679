/* SPDX-License-Identifier: Apache-2.0 */
/* socket_test.c: channels over real sockets, on the loop of the machine, with our own server. */
#include "rpc/test_pair.h"

#include <stdio.h>
#include <unistd.h>

#include "os/os.h"

#include "oakum/channel.h"

#define SERVERS 4

struct world;

struct serving {
    struct world *w;
    struct oak_listener *listener; /* NULL: stopped */
    struct oak_rpc_server *server;
    struct echo echo;
    const char *name;
};

struct world {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct serving servers[SERVERS];
    struct oak_channel *channel;
    struct oak_after look; /* stops the loop when what was waited for is there */
    int done;
    int wanted;
    bool closing;
    char dir[64];
    char socket_path[96];
};

static void accepted(void *arg, struct oak_stream *s)
{
    struct serving *v = arg;
    assert_int_equal(oak_rpc_serve(v->server, s, oak_bytes(NULL, 0)), 0);
}

static void look(struct oak_after *after)
{
    struct world *w = OAK_CONTAINER_OF(after, struct world, look);
    bool over = w->done >= w->wanted;
    for (size_t i = 0; w->closing && i < SERVERS; i++) {
        over = over && oak_rpc_server_connections(w->servers[i].server) == 0;
    }
    if (over) {
        oak_os_loop_stop(w->os);
    }
}

static void serve(struct world *w, struct serving *v, const char *address)
{
    const struct oak_net *net = &w->loop->net;
    struct oak_errbuf e = {{0}};
    v->w = w;
    if (net->listen(net->user, address, accepted, v, &v->listener, &e) != 0) {
        fail_msg("%s", e.text);
    }
    v->name = net->listener_name(net->user, v->listener);
}

static void world_open(struct world *w)
{
    *w = (struct world){.look.run = look};
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-channel-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->socket_path, sizeof(w->socket_path), "%s/socket", w->dir);
    assert_int_equal(oak_os_loop_new(&w->os), 0);
    w->loop = oak_os_loop_port(w->os);
    for (size_t i = 0; i < SERVERS; i++) {
        struct serving *v = &w->servers[i];
        assert_int_equal(oak_rpc_server_new(w->loop, NULL, &v->server), 0);
        echo_add(v->server, &v->echo);
        char address[128];
        snprintf(address, sizeof(address), "unix:%s%s", i == 0 ? "" : "@", w->socket_path);
        serve(w, v, i == 0 || i == 3 ? address : "127.0.0.1:0");
    }
    w->loop->after_add(w->loop->user, &w->look);
}

static void channel_open(struct world *w, const char *target, struct oak_channel_options o)
{
    struct oak_errbuf e = {{0}};
    if (oak_channel_new(w->loop, target, &o, &w->channel, &e) != 0) {
        fail_msg("%s: %s", target, e.text);
    }
}

static void world_run(struct world *w, int wanted)
{
    w->wanted = wanted;
    w->done = 0;
    oak_os_loop_run(w->os);
}

static void listener_stop(struct world *w, struct serving *v)
{
    if (v->listener != NULL) {
        w->loop->net.listener_close(w->loop->net.user, v->listener);
        v->listener = NULL;
    }
}

static void world_close(struct world *w)
{
    oak_channel_free(w->channel);
    w->closing = true;
    world_run(w, 0);
    w->loop->after_remove(w->loop->user, &w->look);
    for (size_t i = 0; i < SERVERS; i++) {
        listener_stop(w, &w->servers[i]);
        oak_rpc_server_free(w->servers[i].server);
    }
    oak_os_loop_free(w->os);
    assert_int_equal(rmdir(w->dir), 0);
}

/* -- calls ------------------------------------------------------------------------------------- */

struct asked {
    struct world *w;
    struct recorder r;
};

static void asked_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    recorder_message(&((struct asked *)user)->r, call, b);
}

static void asked_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct asked *a = user;
    recorder_closed(&a->r, call, status);
    a->w->done++;
}

static const struct oak_rpc_handler asked_handler = {.message = asked_message,
                                                     .closed = asked_closed};

static void ask(struct world *w, struct asked *a, size_t size)
{
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = "Unary",
                                      .timeout_ns = 60 * SECOND,
                                      .progress_ns = 60 * SECOND,
                                      .wait_for_ready = true,
                                      .idempotent = true,
                                      .handler = &asked_handler,
                                      .user = a};
    *a = (struct asked){.w = w};
    assert_int_equal(oak_channel_call(w->channel, &request, &a->r.call), 0);
    uint8_t *to = oak_rpc_call_send_into(a->r.call, size);
    assert_non_null(to);
    memset(to, 5, size);
    oak_rpc_call_half_close(a->r.call);
}

static void ask_many(struct world *w, size_t count, size_t size)
{
    struct asked *all = calloc(count, sizeof(*all));
    assert_non_null(all);
    for (size_t i = 0; i < count; i++) {
        ask(w, &all[i], size);
    }
    world_run(w, (int)count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(all[i].r.text, "");
        assert_int_equal(all[i].r.code, OAK_RPC_OK);
        assert_int_equal(all[i].r.bytes.size, size);
        recorder_fini(&all[i].r);
    }
    free(all);
}

static int started(const struct world *w)
{
    return w->servers[0].echo.started + w->servers[1].echo.started + w->servers[2].echo.started;
}

static void calls_come_back_by_every_kind_of_target(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    const char *port = strrchr(w.servers[1].name, ':') + 1;
    char targets[9][256];
    snprintf(targets[0], 256, "%s", w.servers[1].name);
    snprintf(targets[1], 256, "localhost:%s", port);
    snprintf(targets[2], 256, "dns:///localhost:%s", port);
    snprintf(targets[3], 256, "ipv4:127.0.0.1:%s", port);
    snprintf(targets[4], 256, "static:127.0.0.1:1,localhost:%s", port);
    snprintf(targets[5], 256, "unix:%s", w.socket_path);
    snprintf(targets[6], 256, "unix://%s", w.socket_path);
    snprintf(targets[7], 256, "passthrough:///%s", w.servers[1].name);
    snprintf(targets[8], 256, "unix-abstract:%s", w.socket_path);
    for (size_t i = 0; i < 9; i++) {
        channel_open(&w, targets[i], (struct oak_channel_options){0});
        ask_many(&w, 3, 1000);
        assert_int_equal(oak_channel_state(w.channel), OAK_CHANNEL_READY);
        bool by_file = i == 5 || i == 6;
        const struct serving *v = &w.servers[i == 8 ? 3 : by_file ? 0 : 1];
        assert_int_equal(v->echo.process.pid, i == 8 || by_file ? getpid() : 0);
        if (i < 8) {
            oak_channel_free(w.channel);
        }
    }
    world_close(&w);
}

static void calls_are_spread_over_servers(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    char target[256];
    snprintf(target, sizeof(target), "static:%s,%s", w.servers[1].name, w.servers[2].name);
    channel_open(&w, target, (struct oak_channel_options){.policy = "round_robin"});
    ask_many(&w, 1, 10);
    ask_many(&w, 200, 1000);
    ask_many(&w, 20, 300000);
    assert_true(w.servers[1].echo.started >= 100);
    assert_true(w.servers[2].echo.started >= 100);
    assert_int_equal(started(&w), 221);
    world_close(&w);
}

static void when_a_server_goes_its_calls_go_elsewhere(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    char target[256];
    snprintf(target, sizeof(target), "static:%s,%s", w.servers[1].name, w.servers[2].name);
    channel_open(&w, target, (struct oak_channel_options){0});
    ask_many(&w, 10, 100);
    assert_int_equal(w.servers[1].echo.started, 10);
    listener_stop(&w, &w.servers[1]);
    oak_rpc_server_drain(w.servers[1].server, 5 * SECOND);
    ask_many(&w, 50, 100);
    ask_many(&w, 50, 100);
    assert_int_equal(started(&w), 110); /* none was lost, none was made twice */
    assert_true(w.servers[2].echo.started >= 50);
    world_close(&w);
}

static void told(void *user, enum oak_channel_state state)
{
    ((struct world *)user)->done += state == OAK_CHANNEL_TRANSIENT_FAILURE;
}

static void a_server_that_comes_late_is_found(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    char name[64];
    snprintf(name, sizeof(name), "%s", w.servers[1].name);
    listener_stop(&w, &w.servers[1]);
    channel_open(
        &w, name,
        (struct oak_channel_options){.backoff_first_ns = SECOND / 100, .state = told, .user = &w});
    struct asked a;
    ask(&w, &a, 10);
    world_run(&w, 1);
    assert_int_equal(oak_channel_state(w.channel), OAK_CHANNEL_TRANSIENT_FAILURE);
    assert_non_null(strstr(oak_channel_error(w.channel), "connection refused"));
    assert_int_equal(a.r.closed, 0);
    serve(&w, &w.servers[1], name);
    world_run(&w, 1);
    assert_int_equal(a.r.code, OAK_RPC_OK);
    recorder_fini(&a.r);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_come_back_by_every_kind_of_target),
        cmocka_unit_test(calls_are_spread_over_servers),
        cmocka_unit_test(when_a_server_goes_its_calls_go_elsewhere),
        cmocka_unit_test(a_server_that_comes_late_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
