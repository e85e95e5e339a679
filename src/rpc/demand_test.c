/* SPDX-License-Identifier: Apache-2.0 */
/* demand_test.c: a subchannel that connects when it is told to. */
#include "rpc/test_peer.h"

#define IDLE       OAK_RPC_SUBCHANNEL_IDLE
#define CONNECTING OAK_RPC_SUBCHANNEL_CONNECTING
#define READY      OAK_RPC_SUBCHANNEL_READY
#define FAILED     OAK_RPC_SUBCHANNEL_FAILED

struct world {
    struct fake_loop loop;
    struct peers peers;
    struct oak_rpc_subchannel *sub;
    char told[64]; /* a letter for each state: I, R, F */
    int error;     /* with the last */
    int turns;
    int gone;
    enum oak_rpc_reach reach;
    struct recorder r;
};

static void told(void *user, enum oak_rpc_subchannel_state state, int error)
{
    struct world *w = user;
    size_t at = strlen(w->told);
    assert_true(at + 1 < sizeof(w->told));
    w->told[at] = "ICRF"[state];
    w->told[at + 1] = '\0';
    w->error = error;
    assert_int_equal(state, oak_rpc_subchannel_state(w->sub));
    assert_int_equal(oak_rpc_subchannel_connected(w->sub), state == READY);
}

static void turned(void *user)
{
    ((struct world *)user)->turns++;
}

static void gone(void *user)
{
    ((struct world *)user)->gone++;
}

static void world_open(struct world *w, struct oak_rpc_subchannel_options o)
{
    *w = (struct world){.peers.streams = UINT32_MAX};
    fake_loop_init(&w->loop);
    w->loop.accepted = peer_accept;
    w->loop.accepted_arg = &w->peers;
    o.on_demand = true;
    o.changed = told;
    o.turned = turned;
    o.gone = gone;
    o.user = w;
    assert_int_equal(oak_rpc_subchannel_new(&w->loop.port, "fake:1", &o, &w->sub), 0);
    fake_run(&w->loop);
    assert_int_equal(w->loop.connects, 0);
    assert_int_equal(oak_rpc_subchannel_state(w->sub), IDLE);
}

static void world_close(struct world *w)
{
    oak_rpc_subchannel_free(w->sub);
    fake_run(&w->loop);
    assert_int_equal(w->gone, 1);
    fake_loop_fini(&w->loop);
    peers_close(&w->peers);
    recorder_fini(&w->r);
}

static void connect(struct world *w)
{
    oak_rpc_subchannel_connect(w->sub);
    assert_int_equal(oak_rpc_subchannel_state(w->sub), CONNECTING);
    fake_run(&w->loop);
}

static void world_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct world *w = user;
    w->reach = status->reach;
    recorder_closed(&w->r, call, status);
}

static void world_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    recorder_message(&((struct world *)user)->r, call, b);
}

static const struct oak_rpc_handler world_handler = {.message = world_message,
                                                     .closed = world_closed};

static int ask(struct world *w)
{
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Unary", .handler = &world_handler, .user = w};
    recorder_fini(&w->r);
    w->r = (struct recorder){0};
    return oak_rpc_subchannel_call(w->sub, &request, &w->r.call);
}

static void it_connects_when_told_and_is_ready_with_the_settings(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){.rpc.authority = "db.example",
                                                       .rpc.user_agent = "tester/2"});
    assert_int_equal(ask(&w), OAK_ECLOSED);
    w.peers.streams = 0;
    connect(&w);
    assert_string_equal(w.told, "");
    assert_int_equal(ask(&w), OAK_ECLOSED);
    assert_int_equal(oak_rpc_subchannel_room(w.sub), 0);
    oak_rpc_subchannel_connect(w.sub); /* it does already */
    script_settings(&w.peers.all[0].s, 2);
    peer_say(&w.peers.all[0]);
    fake_run(&w.loop);
    assert_string_equal(w.told, "R");
    assert_true(w.turns > 0);
    assert_int_equal(oak_rpc_subchannel_room(w.sub), 2);
    assert_int_equal(ask(&w), 0);
    assert_int_equal(oak_rpc_subchannel_room(w.sub), 1);
    fake_run(&w.loop);
    assert_int_equal(script_heard(&w.peers.all[0].s, "HEADERS 1", ":authority=db.example"), 1);
    assert_int_equal(
        script_heard(&w.peers.all[0].s, "HEADERS 1", "user-agent=tester/2 oakum-grpc/"), 1);
    script_answer(&w.peers.all[0].s, 1, "hi");
    peer_say(&w.peers.all[0]);
    int turns = w.turns;
    fake_run(&w.loop);
    assert_int_equal(w.r.code, OAK_RPC_OK);
    assert_int_equal(script_heard(&w.peers.all[0].s, "RST_STREAM 1 0", NULL), 1);
    assert_true(w.turns > turns);
    assert_int_equal(oak_rpc_subchannel_room(w.sub), 2);
    fake_advance(&w.loop, 3600 * SECOND);
    assert_string_equal(w.told, "R");
    assert_int_equal(w.loop.connects, 1);
    world_close(&w);
}

/* Fail once; how long until it is IDLE, in milliseconds. */
static int pause_after_failure(struct world *w)
{
    w->told[0] = '\0';
    w->loop.connect_error = OAK_EREFUSED;
    connect(w);
    assert_string_equal(w->told, "F");
    assert_int_equal(w->error, OAK_EREFUSED);
    int ms = 0;
    while (oak_rpc_subchannel_state(w->sub) == FAILED) {
        fake_advance(&w->loop, SECOND / 1000);
        ms++;
    }
    assert_string_equal(w->told, "FI");
    return ms;
}

static void failing_it_waits_ever_longer_before_it_is_idle_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){.backoff_max_ns = 4 * SECOND});
    double middle = 1000;
    for (int i = 0; i < 6; i++) {
        int ms = pause_after_failure(&w);
        assert_in_range(ms, (int)(middle * 0.8), (int)(middle * 1.2) + 1);
        middle = OAK_MIN(middle * 1.6, 4000.0);
    }
    w.loop.connect_error = 0;
    connect(&w);
    assert_string_equal(w.told, "FIR");
    peer_hang_up(peer_last(&w.peers)); /* at once, and nothing was answered: it is not hurried */
    fake_run(&w.loop);
    assert_string_equal(w.told, "FIRF");
    fake_advance(&w.loop, 5 * SECOND);
    connect(&w);
    fake_advance(&w.loop, 2 * SECOND); /* this one lives */
    peer_hang_up(peer_last(&w.peers));
    fake_run(&w.loop);
    assert_string_equal(w.told, "FIRFIRI");
    assert_in_range(pause_after_failure(&w), 800, 1201); /* and the back-off began anew */
    world_close(&w);
}

static void it_may_be_told_not_to_wait_for_the_back_off(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    w.loop.connect_error = OAK_EREFUSED;
    connect(&w);
    w.loop.connect_error = 0;
    connect(&w);
    assert_string_equal(w.told, "FR");
    world_close(&w);
}

static void a_server_that_says_nothing_has_failed_in_time(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    w.peers.streams = 0;
    connect(&w);
    fake_advance(&w.loop, SECOND - 1);
    assert_string_equal(w.told, "");
    fake_advance(&w.loop, 1);
    assert_string_equal(w.told, "F");
    assert_int_equal(w.error, OAK_EDEADLINE);
    connect(&w);
    peer_hang_up(peer_last(&w.peers));
    fake_run(&w.loop);
    assert_string_equal(w.told, "FF");
    assert_int_equal(w.error, OAK_ECLOSED);
    world_close(&w);
}

static int connect_fails(void *user, const char *address, uint64_t timeout_ns,
                         void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    (void)user;
    (void)address;
    (void)timeout_ns;
    (void)done;
    (void)arg;
    return OAK_EINVAL;
}

static void a_connect_that_can_t_begin_is_told_from_the_loop(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    w.loop.port.net.connect = connect_fails;
    oak_rpc_subchannel_connect(w.sub);
    assert_string_equal(w.told, "");
    fake_run(&w.loop);
    assert_string_equal(w.told, "F");
    assert_int_equal(w.error, OAK_EINVAL);
    world_close(&w);
}

static void after_goaway_it_is_idle_and_what_has_begun_goes_on(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    connect(&w);
    assert_int_equal(ask(&w), 0);
    fake_advance(&w.loop, 2 * SECOND);
    struct peer *first = peer_last(&w.peers);
    script_goaway(&first->s, 1, NGHTTP2_NO_ERROR, "");
    peer_say(first);
    fake_run(&w.loop);
    assert_string_equal(w.told, "RI");
    assert_int_equal(w.r.closed, 0);
    connect(&w);
    assert_string_equal(w.told, "RIR");
    script_answer(&first->s, 1, "hi");
    peer_say(first);
    fake_run(&w.loop);
    assert_int_equal(w.r.code, OAK_RPC_OK);
    assert_null(first->stream); /* it was done with it */
    assert_int_equal(w.peers.count, 2);
    assert_string_equal(w.told, "RIR");
    world_close(&w);
}

static void what_answered_is_worth_another_connection_at_once(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    connect(&w);
    assert_int_equal(ask(&w), 0);
    fake_run(&w.loop);
    script_answer(&w.peers.all[0].s, 1, "hi");
    script_goaway(&w.peers.all[0].s, 1, NGHTTP2_NO_ERROR, "");
    peer_say(&w.peers.all[0]);
    fake_run(&w.loop);
    assert_int_equal(w.r.code, OAK_RPC_OK);
    assert_string_equal(w.told, "RI");
    world_close(&w);
}

static void what_has_not_left_ends_with_the_connection(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    w.peers.streams = 1;
    connect(&w);
    struct recorder first = {0};
    assert_int_equal(ask(&w), 0);
    fake_run(&w.loop);
    oak_rpc_call_handle(w.r.call, &recorder_handler, &first);
    assert_int_equal(ask(&w), 0); /* one too many: it waits in the connection */
    fake_run(&w.loop);
    script_goaway(&w.peers.all[0].s, 1, NGHTTP2_NO_ERROR, "");
    peer_say(&w.peers.all[0]);
    fake_run(&w.loop);
    assert_int_equal(w.r.code, OAK_RPC_UNAVAILABLE);
    assert_int_equal(w.reach, OAK_RPC_UNSENT);
    assert_int_equal(first.closed, 0);
    peer_hang_up(&w.peers.all[0]);
    fake_run(&w.loop);
    assert_int_equal(first.code, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void freed_it_ends_its_calls_and_tells_when_it_is_gone(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){0});
    connect(&w);
    assert_int_equal(ask(&w), 0);
    fake_run(&w.loop);
    oak_rpc_subchannel_free(w.sub);
    assert_int_equal(w.r.code, OAK_RPC_CANCELLED);
    assert_int_equal(w.gone, 0);
    fake_run(&w.loop);
    assert_int_equal(w.gone, 1);
    assert_string_equal(w.told, "R");
    fake_loop_fini(&w.loop);
    peers_close(&w.peers);
    recorder_fini(&w.r);
}

static void pings_are_for_calls_and_fewer_when_they_are_too_many(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, (struct oak_rpc_subchannel_options){.keepalive_ns = 10 * SECOND,
                                                       .keepalive_calls_only = true});
    connect(&w);
    fake_advance(&w.loop, 60 * SECOND);
    assert_int_equal(script_heard(&w.peers.all[0].s, "PING", NULL), 0);
    assert_int_equal(ask(&w), 0);
    fake_advance(&w.loop, 10 * SECOND);
    fake_advance(&w.loop, 1);
    assert_int_equal(script_heard(&w.peers.all[0].s, "PING", NULL), 1);
    script_goaway(&w.peers.all[0].s, 0, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    peer_say(&w.peers.all[0]);
    fake_run(&w.loop);
    assert_string_equal(w.told, "RI");
    connect(&w);
    assert_int_equal(ask(&w), 0);
    fake_run(&w.loop);
    fake_advance(&w.loop, 19 * SECOND);
    assert_int_equal(script_heard(&w.peers.all[1].s, "PING", NULL), 0);
    fake_advance(&w.loop, 2 * SECOND);
    assert_int_equal(script_heard(&w.peers.all[1].s, "PING", NULL), 1);
    fake_advance(&w.loop, 20 * SECOND); /* and nobody answers it */
    assert_int_equal(w.r.code, OAK_RPC_UNAVAILABLE);
    assert_string_equal(w.told, "RIRI");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_connects_when_told_and_is_ready_with_the_settings),
        cmocka_unit_test(failing_it_waits_ever_longer_before_it_is_idle_again),
        cmocka_unit_test(it_may_be_told_not_to_wait_for_the_back_off),
        cmocka_unit_test(a_server_that_says_nothing_has_failed_in_time),
        cmocka_unit_test(a_connect_that_can_t_begin_is_told_from_the_loop),
        cmocka_unit_test(after_goaway_it_is_idle_and_what_has_begun_goes_on),
        cmocka_unit_test(what_answered_is_worth_another_connection_at_once),
        cmocka_unit_test(what_has_not_left_ends_with_the_connection),
        cmocka_unit_test(freed_it_ends_its_calls_and_tells_when_it_is_gone),
        cmocka_unit_test(pings_are_for_calls_and_fewer_when_they_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
