/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c: a server and a channel over streams of a loop that the test turns. */
#include "rpc/test_link.h"

static void a_call_made_before_the_connection_waits_for_it(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, NULL);
    assert_false(oak_rpc_subchannel_connected(w.channel));
    ask(&w, &r);
    fake_run(&w.loop);
    assert_int_equal(w.ups, 1);
    assert_true(oak_rpc_subchannel_connected(w.channel));
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.closed, 1);
    assert_true(recorded(&r, "hello"));
    assert_int_equal(oak_rpc_server_connections(w.server), 1);
    struct oak_rpc_traffic traffic;
    oak_rpc_server_traffic(w.server, &traffic);
    assert_true(traffic.received_bytes > 100 && traffic.sent_bytes > 50);
    assert_int_equal(traffic.abuse_closed, 0);
    recorder_fini(&r);
    world_close(&w);
}

static void a_round_with_many_calls_is_one_write(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[50];
    world_open(&w, NULL);
    fake_run(&w.loop);
    int client_writes = w.loop.client_end->writes;
    int server_writes = w.loop.server_end->writes;
    for (int i = 0; i < 50; i++) {
        ask(&w, &r[i]);
    }
    fake_run(&w.loop);
    assert_int_equal(w.loop.client_end->writes - client_writes, 1);
    assert_int_equal(w.loop.server_end->writes - server_writes, 1);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(r[i].code, OAK_RPC_OK);
        assert_int_equal(r[i].messages, 1);
        recorder_fini(&r[i]);
    }
    world_close(&w);
}

static void a_failing_connect_is_tried_again_later_and_later(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, NULL);
    w.loop.connect_error = OAK_ECLOSED;
    ask(&w, &r);
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Unary", .fail_fast = true, .handler = &recorder_handler};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(w.channel, &request, &call), OAK_ECLOSED);
    fake_run(&w.loop);
    assert_int_equal(w.loop.connects, 1);
    fake_advance(&w.loop, 799999999);
    assert_int_equal(w.loop.connects, 1);
    fake_advance(&w.loop, SECOND / 2);
    assert_int_equal(w.loop.connects, 2); /* 0.8 … 1.2 s */
    fake_advance(&w.loop, 1200000000);
    assert_int_equal(w.loop.connects, 2);
    fake_advance(&w.loop, SECOND);
    assert_int_equal(w.loop.connects, 3); /* 1.28 … 1.92 s */
    for (int i = 0; i < 20; i++) {
        fake_advance(&w.loop, 24 * SECOND);
    }
    assert_int_equal(w.loop.connects, 23); /* never more than 24 s */
    assert_int_equal(r.closed, 0);
    w.loop.connect_error = 0;
    fake_advance(&w.loop, 24 * SECOND);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.closed, 1);
    recorder_fini(&r);
    world_close(&w);
}

static void a_waiting_call_ends_at_its_deadline(void **state)
{
    (void)state;
    struct world w;
    struct recorder r = {0};
    world_open(&w, NULL);
    w.loop.connect_error = OAK_ECLOSED;
    assert_int_equal(world_call(&w, "Unary", SECOND / 2, &r), 0);
    fake_run(&w.loop);
    assert_int_equal(r.closed, 0);
    fake_advance(&w.loop, SECOND / 2);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_DEADLINE_EXCEEDED);
    world_close(&w);
}

static void a_lost_connection_ends_what_had_started_and_is_made_again(void **state)
{
    (void)state;
    struct world w;
    struct recorder started = {0};
    struct recorder waiting;
    world_open(&w, NULL);
    assert_int_equal(world_call(&w, "Watch", 0, &started), 0);
    send_text(started.call, "x");
    fake_run(&w.loop);
    fake_advance(&w.loop, 5 * SECOND);
    assert_int_equal(started.messages, 1);
    w.loop.server_end->error = OAK_ECLOSED;
    ask(&w, &waiting); /* not sent before the stream is gone */
    fake_stream_turn(w.loop.server_end);
    fake_stream_turn(w.loop.client_end);
    assert_int_equal(started.closed, 1);
    assert_int_equal(started.code, OAK_RPC_UNAVAILABLE);
    assert_int_equal(w.echo.last_code, OAK_RPC_UNAVAILABLE);
    assert_int_equal(waiting.closed, 0);
    assert_int_equal(w.downs, 1);
    fake_run(&w.loop);
    assert_int_equal(w.loop.connects, 2); /* at once: it had worked */
    assert_int_equal(w.ups, 2);
    assert_int_equal(waiting.code, OAK_RPC_OK);
    assert_int_equal(waiting.closed, 1);
    recorder_fini(&started);
    recorder_fini(&waiting);
    world_close(&w);
}

static void a_peer_that_hangs_up_on_every_connection_is_not_hurried(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, NULL);
    struct oak_rpc_server *server = w.server;
    w.server = NULL; /* accept refuses */
    fake_run(&w.loop);
    assert_int_equal(w.loop.connects, 1);
    fake_advance(&w.loop, SECOND / 2);
    assert_int_equal(w.loop.connects, 1);
    fake_advance(&w.loop, SECOND);
    assert_int_equal(w.loop.connects, 2);
    w.server = server;
    world_close(&w);
}

static void draining_moves_new_calls_and_lets_old_ones_end(void **state)
{
    (void)state;
    struct world w;
    struct recorder old = {0};
    struct recorder fresh;
    world_open(&w, NULL);
    assert_int_equal(world_call(&w, "Bidi", 0, &old), 0);
    send_text(old.call, "one");
    fake_run(&w.loop);
    fake_advance(&w.loop, 5 * SECOND);
    struct oak_rpc_server *first = w.server;
    oak_rpc_server_drain(first, 30 * SECOND);
    server_open(&w, NULL); /* its successor */
    fake_run(&w.loop);
    assert_int_equal(w.loop.connects, 2); /* the first GOAWAY sufficed */
    ask(&w, &fresh);
    send_text(old.call, "two");
    fake_run(&w.loop);
    assert_int_equal(fresh.code, OAK_RPC_OK);
    assert_int_equal(fresh.closed, 1);
    assert_true(recorded(&old, "onetwo"));
    assert_int_equal(oak_rpc_server_connections(first), 1);
    fake_advance(&w.loop, 2 * SECOND); /* the second GOAWAY */
    send_text(old.call, "three");
    oak_rpc_call_half_close(old.call);
    fake_run(&w.loop);
    assert_int_equal(old.code, OAK_RPC_OK);
    assert_true(recorded(&old, "onetwothree"));
    assert_int_equal(oak_rpc_server_connections(first), 0);
    assert_int_equal(oak_rpc_server_connections(w.server), 1);
    oak_rpc_server_free(first);
    recorder_fini(&old);
    recorder_fini(&fresh);
    world_close(&w);
}

static void a_drain_ends_by_force_after_its_grace(void **state)
{
    (void)state;
    struct world w;
    struct recorder r = {0};
    world_open(&w, NULL);
    assert_int_equal(world_call(&w, "Watch", 0, &r), 0);
    send_text(r.call, "one");
    fake_run(&w.loop);
    oak_rpc_server_drain(w.server, 10 * SECOND);
    fake_advance(&w.loop, 10 * SECOND - 1);
    assert_int_equal(r.closed, 0);
    fake_advance(&w.loop, 1);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_UNAVAILABLE);
    assert_int_equal(w.echo.closed, 1);
    assert_int_equal(oak_rpc_server_connections(w.server), 0);
    recorder_fini(&r);
    world_close(&w);
}

static void keepalive_finds_a_silent_peer(void **state)
{
    (void)state;
    struct world w;
    const struct oak_rpc_subchannel_options options = {.keepalive_ns = 10 * SECOND,
                                                       .keepalive_timeout_ns = 3 * SECOND};
    world_open(&w, &options);
    struct recorder r = {0};
    assert_int_equal(world_call(&w, "Watch", 0, &r), 0);
    fake_run(&w.loop);
    for (int i = 0; i < 10; i++) {
        fake_advance(&w.loop, 10 * SECOND);
        fake_advance(&w.loop, 3 * SECOND);
    }
    assert_int_equal(r.closed, 0);
    assert_int_equal(w.loop.connects, 1);
    w.loop.server_end->blocked = true;
    fake_advance(&w.loop, 10 * SECOND);
    assert_int_equal(r.closed, 0);
    fake_advance(&w.loop, 3 * SECOND);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_UNAVAILABLE);
    fake_run(&w.loop);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.loop.connects, 2);
    recorder_fini(&r);
    world_close(&w);
}

static void connections_past_the_limit_are_refused(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, NULL);
    fake_run(&w.loop);
    struct oak_rpc_server *roomy = w.server;
    const struct oak_rpc_options one = {.connections_max = 1};
    server_open(&w, &one);
    struct oak_rpc_subchannel *first;
    struct oak_rpc_subchannel *second;
    assert_int_equal(oak_rpc_subchannel_new(&w.loop.port, "fake:1", NULL, &first), 0);
    fake_run(&w.loop);
    assert_int_equal(w.refused, 0);
    assert_int_equal(oak_rpc_subchannel_new(&w.loop.port, "fake:1", NULL, &second), 0);
    fake_run(&w.loop);
    assert_int_equal(w.refused, 1);
    assert_true(oak_rpc_subchannel_connected(first));
    assert_false(oak_rpc_subchannel_connected(second));
    oak_rpc_subchannel_free(first);
    oak_rpc_subchannel_free(second);
    fake_run(&w.loop);
    oak_rpc_server_free(w.server);
    w.server = roomy;
    world_close(&w);
}

static void freeing_a_channel_ends_its_calls_even_while_it_connects(void **state)
{
    (void)state;
    for (int when = 0; when < 3; when++) {
        struct world w;
        struct recorder r = {0};
        world_open(&w, NULL);
        assert_int_equal(world_call(&w, "Watch", SECOND, &r), 0);
        w.loop.connect_error = when == 1 ? OAK_ECLOSED : 0;
        if (when == 2) {
            fake_run(&w.loop);
        }
        oak_rpc_subchannel_free(w.channel);
        w.channel = NULL;
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.code, OAK_RPC_CANCELLED);
        fake_run(&w.loop);
        world_close(&w);
    }
}

/* A handler that calls again when its call has ended, as retries do. */
struct again {
    struct world *w;
    int left;
    struct recorder r;
};

static void again_closed(void *user, struct oak_rpc_call *call,
                         const struct oak_rpc_status *status);
static void again_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)call;
    (void)b;
}
static const struct oak_rpc_handler again_handler = {.message = again_message,
                                                     .closed = again_closed};
static void again_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct again *a = user;
    a->r.closed++;
    a->r.code = status->code;
    if (--a->left == 0) {
        return;
    }
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Unary", .handler = &again_handler, .user = a};
    struct oak_rpc_call *next;
    assert_int_equal(oak_rpc_subchannel_call(a->w->channel, &request, &next), 0);
    send_text(next, "again");
    oak_rpc_call_half_close(next);
}

static void a_closed_call_may_call_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, NULL);
    struct again a = {.w = &w, .left = 100};
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Unary", .handler = &again_handler, .user = &a};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(w.channel, &request, &call), 0);
    send_text(call, "first");
    oak_rpc_call_half_close(call);
    fake_run(&w.loop);
    assert_int_equal(a.r.closed, 100);
    assert_int_equal(a.r.code, OAK_RPC_OK);
    a.left = 2; /* the second call is made while the connection is being lost */
    assert_int_equal(oak_rpc_subchannel_call(w.channel, &request, &call), 0);
    fake_run(&w.loop);
    w.loop.server_end->error = OAK_ECLOSED;
    fake_advance(&w.loop, 5 * SECOND);
    assert_int_equal(a.r.closed, 102);
    assert_int_equal(a.r.code, OAK_RPC_OK);
    world_close(&w);
}

/* Of a stream that is encrypted; the stream's owner keeps what the peer has proved to be. */
static void the_identity_of_a_peer_is_its_streams(void **state)
{
    (void)state;
    const struct oak_identity alice = {.common_name = "alice"};
    struct world w;
    struct recorder r;
    world_open(&w, NULL);
    w.loop.client_identity = &alice;
    ask(&w, &r);
    const struct oak_identity *of_server = oak_rpc_call_identity(r.call);
    assert_null(of_server); /* not connected yet */
    fake_run(&w.loop);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_ptr_equal(w.echo.identity, &alice);
    recorder_fini(&r);
    w.loop.client_identity = NULL; /* and one that is not encrypted has none */
    w.loop.server_end->error = OAK_ECLOSED;
    fake_advance(&w.loop, 5 * SECOND);
    ask(&w, &r);
    fake_run(&w.loop);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_null(w.echo.identity);
    recorder_fini(&r);
    world_close(&w);
}

/* So is the process; it goes with its stream, and has nothing to do with certificates. */
static void the_process_of_a_peer_is_its_streams(void **state)
{
    (void)state;
    const struct oak_process client = {.pid = 11, .uid = 1000, .gid = 100};
    const struct oak_process server = {.pid = 22, .uid = 0, .gid = 0};
    struct world w;
    struct recorder r;
    world_open(&w, NULL);
    w.loop.client_process = &client;
    w.loop.server_process = &server;
    ask(&w, &r);
    const struct oak_process *of_server = oak_rpc_call_process(r.call);
    assert_null(of_server); /* not connected yet */
    fake_run(&w.loop);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(w.echo.process.pid, 11);
    assert_int_equal(w.echo.process.uid, 1000);
    assert_int_equal(w.echo.process.gid, 100);
    assert_null(w.echo.identity);
    recorder_fini(&r);
    w.loop.client_process = NULL;
    w.loop.server_end->error = OAK_ECLOSED;
    fake_advance(&w.loop, 5 * SECOND);
    ask(&w, &r);
    fake_run(&w.loop);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(w.echo.process.pid, 0);
    recorder_fini(&r);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_made_before_the_connection_waits_for_it),
        cmocka_unit_test(a_round_with_many_calls_is_one_write),
        cmocka_unit_test(a_failing_connect_is_tried_again_later_and_later),
        cmocka_unit_test(a_waiting_call_ends_at_its_deadline),
        cmocka_unit_test(a_lost_connection_ends_what_had_started_and_is_made_again),
        cmocka_unit_test(a_peer_that_hangs_up_on_every_connection_is_not_hurried),
        cmocka_unit_test(draining_moves_new_calls_and_lets_old_ones_end),
        cmocka_unit_test(a_drain_ends_by_force_after_its_grace),
        cmocka_unit_test(keepalive_finds_a_silent_peer),
        cmocka_unit_test(connections_past_the_limit_are_refused),
        cmocka_unit_test(freeing_a_channel_ends_its_calls_even_while_it_connects),
        cmocka_unit_test(a_closed_call_may_call_again),
        cmocka_unit_test(the_identity_of_a_peer_is_its_streams),
        cmocka_unit_test(the_process_of_a_peer_is_its_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
