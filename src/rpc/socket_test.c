/* SPDX-License-Identifier: Apache-2.0 */
/* socket_test.c: a server and channels over real sockets, on the loop of the machine. */
#include "rpc/test_pair.h"

#include "os/os.h"

struct world {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_listener *listener;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *channel;
    struct echo echo;
    struct oak_after stop; /* stops the loop when nothing is left to wait for */
    int wanted;
    int done;
    bool closing;
    char address[64];
};

static void accepted(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)), 0);
}

static void stop_when_done(struct oak_after *after)
{
    struct world *w = OAK_CONTAINER_OF(after, struct world, stop);
    bool over = w->closing ? oak_rpc_server_connections(w->server) == 0 : w->done >= w->wanted;
    if (over) {
        oak_os_loop_stop(w->os);
    }
}

static void world_open(struct world *w)
{
    *w = (struct world){.stop.run = stop_when_done};
    assert_int_equal(oak_os_loop_new(&w->os), 0);
    w->loop = oak_os_loop_port(w->os);
    assert_int_equal(oak_rpc_server_new(w->loop, NULL, &w->server), 0);
    echo_add(w->server, &w->echo);
    struct oak_errbuf e;
    const struct oak_net *net = &w->loop->net;
    assert_int_equal(net->listen(net->user, "127.0.0.1:0", accepted, w, &w->listener, &e), 0);
    const char *name = net->listener_name(net->user, w->listener);
    assert_true(strlen(name) < sizeof(w->address));
    memcpy(w->address, name, strlen(name) + 1);
    assert_int_equal(oak_rpc_subchannel_new(w->loop, w->address, NULL, &w->channel), 0);
    w->loop->after_add(w->loop->user, &w->stop);
}

static void world_run(struct world *w, int wanted)
{
    w->wanted = wanted;
    w->done = 0;
    oak_os_loop_run(w->os);
}

static void world_close(struct world *w)
{
    oak_rpc_subchannel_free(w->channel);
    w->closing = true;
    oak_os_loop_run(w->os);
    const struct oak_net *net = &w->loop->net;
    net->listener_close(net->user, w->listener);
    w->loop->after_remove(w->loop->user, &w->stop);
    oak_rpc_server_free(w->server);
    oak_os_loop_free(w->os);
}

struct asked {
    struct world *w;
    struct recorder r;
    int again; /* calls to make one after the other */
    size_t size;
};

static void asked_start(struct asked *a);

static void asked_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    struct asked *a = user;
    recorder_message(&a->r, call, b);
}

static void asked_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct asked *a = user;
    recorder_closed(&a->r, call, status);
    a->w->done++;
    if (--a->again > 0) {
        recorder_fini(&a->r);
        a->r = (struct recorder){0};
        asked_start(a);
    }
}

static const struct oak_rpc_handler asked_handler = {.message = asked_message,
                                                     .closed = asked_closed};

static void asked_start(struct asked *a)
{
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = "Unary",
                                      .timeout_ns = 60 * SECOND,
                                      .handler = &asked_handler,
                                      .user = a};
    assert_int_equal(oak_rpc_subchannel_call(a->w->channel, &request, &a->r.call), 0);
    uint8_t *to = oak_rpc_call_send_into(a->r.call, a->size);
    assert_non_null(to);
    memset(to, 5, a->size);
    oak_rpc_call_half_close(a->r.call);
}

static void calls_of_all_sizes_come_back_over_sockets(void **state)
{
    (void)state;
    struct world w;
    static const size_t sizes[] = {0, 1, 100, 5000, 70000, 1000000, 2000000};
    struct asked a[OAK_COUNT_OF(sizes)];
    world_open(&w);
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        a[i] = (struct asked){.w = &w, .again = 1, .size = sizes[i]};
        asked_start(&a[i]);
    }
    world_run(&w, (int)OAK_COUNT_OF(sizes));
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        assert_int_equal(a[i].r.code, OAK_RPC_OK);
        assert_int_equal(a[i].r.messages, 1);
        assert_int_equal(a[i].r.last_size, sizes[i]);
        recorder_fini(&a[i].r);
    }
    assert_memory_equal(w.address, "127.0.0.1:", 10);
    world_close(&w);
}

static void a_thousand_calls_one_after_the_other_never_stall(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {.w = &w, .again = 1000, .size = 10};
    world_open(&w);
    asked_start(&a);
    world_run(&w, 1000);
    assert_int_equal(a.r.code, OAK_RPC_OK);
    assert_int_equal(w.echo.closed, 1000);
    recorder_fini(&a.r);
    world_close(&w);
}

static void many_calls_at_once_come_back(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct world w;
    static struct asked a[COUNT];
    world_open(&w);
    for (int i = 0; i < COUNT; i++) {
        a[i] = (struct asked){.w = &w, .again = 20, .size = 64};
        asked_start(&a[i]);
    }
    world_run(&w, COUNT * 20);
    assert_int_equal(w.echo.closed, COUNT * 20);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(a[i].r.code, OAK_RPC_OK);
        recorder_fini(&a[i].r);
    }
    world_close(&w);
}

/* A reply made by another hook, in a round in which nothing else happens on the connection, as a
 * replica makes them when a commit arrives. */
struct late {
    struct oak_after after;
    struct oak_task task;
    struct world *w;
    int rounds;
};

static void late_task(struct oak_task *task)
{
    struct late *late = OAK_CONTAINER_OF(task, struct late, task);
    late->rounds++;
}

static void late_run(struct oak_after *after)
{
    struct late *late = OAK_CONTAINER_OF(after, struct late, after);
    const struct oak_exec *exec = &late->w->loop->exec;
    struct oak_rpc_call *call = late->w->echo.last;
    if (call != NULL && late->rounds == 0) {
        late->rounds = 1;
        exec->post(exec->user, &late->task);
    } else if (call != NULL && late->rounds == 2) {
        late->rounds = 3;
        send_text(call, "late");
        oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
    }
}

static void a_reply_made_in_a_hook_leaves_in_its_round(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct late late = {.after.run = late_run, .task.run = late_task, .w = &w};
    w.loop->after_add(w.loop->user, &late.after);
    struct asked a = {.w = &w, .again = 1, .size = 0};
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Watch", .handler = &asked_handler, .user = &a};
    assert_int_equal(oak_rpc_subchannel_call(w.channel, &request, &a.r.call), 0);
    world_run(&w, 1); /* no timer is set: a reply that missed its round would wait for ever */
    assert_int_equal(a.r.code, OAK_RPC_OK);
    assert_true(recorded(&a.r, "late"));
    recorder_fini(&a.r);
    w.loop->after_remove(w.loop->user, &late.after);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_of_all_sizes_come_back_over_sockets),
        cmocka_unit_test(a_thousand_calls_one_after_the_other_never_stall),
        cmocka_unit_test(many_calls_at_once_come_back),
        cmocka_unit_test(a_reply_made_in_a_hook_leaves_in_its_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
