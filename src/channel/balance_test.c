/* SPDX-License-Identifier: Apache-2.0 */
/* balance_test.c: states of a channel, its two policies, connections when streams run out. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

/* -- states ------------------------------------------------------------------------------------ */

static void a_channel_is_idle_until_its_first_call(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:2379", OPTIONS{0});
    pass(&w, 60 * SECOND);
    assert_int_equal(w.lookups, 0);
    assert_string_equal(w.told, "");
    ask(&w, &r);
    assert_string_equal(w.told, ""); /* nobody is called back from inside */
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_string_equal(w.looked_up, "db.example:2379");
    assert_string_equal(w.tried, "10.0.0.1:80 ");
    assert_string_equal(w.last_name, "db.example:2379");
    assert_int_equal(heard(&w, 0, 1, ":path=/t.Echo/Unary"), 1);
    assert_int_equal(heard(&w, 0, 1, ":authority=db.example:2379"), 1);
    answer(&w, 0, 1);
    assert_true(recorded(&r, "hi"));
    ended(&r, OAK_RPC_OK);
    ask(&w, &r); /* READY: it leaves in this very round */
    assert_int_equal(stats(&w).attempts, 2);
    run(&w);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    assert_int_equal(w.peers.count, 1);
    assert_int_equal(stats(&w).calls, 2);
    assert_int_equal(stats(&w).connections, 1);
    world_close(&w);
}

static void it_may_be_connected_without_a_call(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "ipv4:10.0.0.1:80", OPTIONS{0});
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_int_equal(w.lookups, 0);
    assert_string_equal(w.last_name, "");
    world_close(&w);
}

static void without_calls_for_long_it_is_idle_again(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{.idle_ns = 100 * SECOND});
    ask(&w, &r);
    pass(&w, 2 * SECOND);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    pass(&w, 100 * SECOND - 1);
    assert_string_equal(w.told, "CR");
    pass(&w, 1);
    assert_string_equal(w.told, "CRI");
    assert_null(w.peers.all[0].stream);
    ask(&w, &r);
    run(&w);
    assert_string_equal(w.told, "CRICR");
    assert_int_equal(w.lookups, 2);
    answer(&w, 1, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void with_a_call_it_is_not_idle_however_long_that_takes(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{.idle_ns = 100 * SECOND});
    ask_with(&w, REQUEST{.kind = OAK_RPC_SERVER_STREAM}, &r);
    pass(&w, 250 * SECOND);
    assert_string_equal(w.told, "CR");
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    pass(&w, 100 * SECOND);
    assert_string_equal(w.told, "CRI");
    world_close(&w);
}

static void freed_it_ends_its_calls_wherever_they_are(void **state)
{
    (void)state;
    struct world w;
    struct recorder running;
    struct recorder waiting;
    struct recorder none;
    world_open(&w, "db.example:1", OPTIONS{0});
    w.peers.streams = 1;
    ask(&w, &running);
    run(&w);
    ask(&w, &waiting);
    run(&w);
    assert_int_equal(stats(&w).calls_waiting, 1);
    oak_channel_free(w.channel);
    ended(&running, OAK_RPC_CANCELLED);
    ended(&waiting, OAK_RPC_CANCELLED);
    run(&w);
    fake_loop_fini(&w.loop);
    peers_close(&w.peers);
    /* With a look-up, and with a connect under way. */
    world_open(&w, "db.example:1", OPTIONS{0});
    w.dns_hold = true;
    ask(&w, &none);
    run(&w);
    world_close(&w);
    ended(&none, OAK_RPC_CANCELLED);
    world_open(&w, "db.example:1", OPTIONS{0});
    w.silent[0] = "10.0.0.1:80";
    ask(&w, &none);
    run(&w);
    assert_int_equal(w.connecting_count, 1);
    world_close(&w);
    ended(&none, OAK_RPC_CANCELLED);
    oak_channel_free(NULL);
}

static void what_is_not_understood_is_no_channel(void **state)
{
    (void)state;
    struct world w;
    struct oak_channel *c = NULL;
    struct oak_errbuf e = {{0}};
    struct oak_channel_options o = {0};
    world_open(&w, "a:1", OPTIONS{0});
    assert_int_equal(oak_channel_new(&w.loop.port, "http://a", NULL, &c, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "no such scheme"));
    o.policy = "random";
    assert_int_equal(oak_channel_new(&w.loop.port, "a:1", &o, &c, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "random"));
    o = OPTIONS{.service_config = "{\"methodConfig\":1}"};
    assert_int_equal(oak_channel_new(&w.loop.port, "a:1", &o, &c, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "methodConfig"));
    assert_null(c);
    assert_string_equal(oak_channel_state_name(READY), "READY");
    assert_string_equal(oak_channel_state_name(FAILURE), "TRANSIENT_FAILURE");
    world_close(&w);
}

/* -- failing ----------------------------------------------------------------------------------- */

static void when_nothing_answers_calls_fail_unless_they_wait(void **state)
{
    (void)state;
    struct world w;
    struct recorder soon;
    struct recorder patient;
    world_open(&w, "db.example:1", OPTIONS{0});
    w.all_refuse = true;
    ask(&w, &soon);
    ask_with(&w, REQUEST{.wait_for_ready = true, .timeout_ns = OAK_RPC_NEVER_NS}, &patient);
    run(&w);
    assert_string_equal(w.told, "CF");
    assert_string_equal(oak_channel_error(w.channel), "10.0.0.1:80: connection refused");
    assert_string_equal(soon.text, "no connection: 10.0.0.1:80: connection refused");
    ended(&soon, OAK_RPC_UNAVAILABLE);
    assert_int_equal(patient.closed, 0);
    ask(&w, &soon); /* at once, now that it is known */
    run(&w);
    ended(&soon, OAK_RPC_UNAVAILABLE);
    assert_int_equal(stats(&w).connects, 1);
    w.all_refuse = false;
    pass(&w, 2 * SECOND); /* the back-off */
    assert_string_equal(w.told, "CFR");
    answer(&w, 0, 1);
    ended(&patient, OAK_RPC_OK);
    assert_int_equal(stats(&w).connect_failures, 1);
    world_close(&w);
}

static void a_call_that_waits_in_vain_says_for_what(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{0});
    w.all_refuse = true;
    ask_with(&w, REQUEST{.wait_for_ready = true}, &r);
    pass(&w, 5 * SECOND - 1);
    assert_int_equal(r.closed, 0);
    pass(&w, 1);
    assert_non_null(strstr(r.text, "10.0.0.1:80: connection refused"));
    ended(&r, OAK_RPC_DEADLINE_EXCEEDED);
    world_close(&w);
}

static void fail_fast_does_not_even_wait_while_connecting(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{0});
    assert_int_equal(begin(&w, REQUEST{.fail_fast = true}, &r), OAK_ECLOSED);
    oak_channel_connect(w.channel);
    assert_int_equal(begin(&w, REQUEST{.fail_fast = true}, &r), OAK_ECLOSED);
    run(&w);
    assert_int_equal(begin(&w, REQUEST{.fail_fast = true}, &r), 0);
    oak_rpc_call_cancel(r.call);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    world_close(&w);
}

static void the_back_off_grows_and_may_be_skipped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{.backoff_max_ns = 3 * SECOND});
    w.all_refuse = true;
    oak_channel_connect(w.channel);
    run(&w);
    uint64_t seen = 1;
    uint64_t last_ns = w.loop.now_ns;
    double middle = 1000;
    while (seen < 6) {
        pass(&w, SECOND / 100);
        if (stats(&w).connects > seen) {
            seen = stats(&w).connects;
            assert_in_range((w.loop.now_ns - last_ns) / (SECOND / 1000), (uint64_t)(middle * 0.8),
                            (uint64_t)(middle * 1.2) + 10);
            last_ns = w.loop.now_ns;
            middle = OAK_MIN(middle * 1.6, 3000.0);
        }
    }
    assert_string_equal(w.told, "CF"); /* it stays so until something is READY */
    w.all_refuse = false;
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.told, "CFR");
    world_close(&w);
}

/* -- pick_first -------------------------------------------------------------------------------- */

static void pick_first_takes_the_first_that_answers(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2,c:3", OPTIONS{0});
    w.refusing[0] = "a:1";
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_string_equal(w.tried, "a:1 b:2 ");
    assert_string_equal(w.reached[0], "b:2");
    struct recorder r[3];
    for (uint32_t i = 0; i < 3; i++) {
        ask(&w, &r[i]);
        run(&w);
        answer(&w, 0, 2 * i + 1);
        ended(&r[i], OAK_RPC_OK);
    }
    assert_int_equal(heard(&w, 0, 1, ":authority=b:2"), 1); /* each address for itself */
    pass(&w, 60 * SECOND);
    assert_string_equal(w.tried, "a:1 b:2 ");
    assert_int_equal(w.peers.count, 1);
    world_close(&w);
}

static void pick_first_does_not_wait_long_for_a_silent_one(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2,c:3", OPTIONS{0});
    w.silent[0] = "a:1";
    oak_channel_connect(w.channel);
    pass(&w, SECOND / 4 - 1);
    assert_string_equal(w.tried, "a:1 ");
    pass(&w, 1);
    assert_string_equal(w.tried, "a:1 b:2 ");
    assert_string_equal(w.told, "CR");
    pass(&w, 10 * SECOND); /* what became of a:1 is for nobody */
    assert_string_equal(w.told, "CR");
    assert_int_equal(stats(&w).connect_failures, 0);
    world_close(&w);
}

static void a_failure_hurries_pick_first_on(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2,c:3", OPTIONS{0});
    w.silent[0] = "a:1";
    w.refusing[0] = "b:2";
    oak_channel_connect(w.channel);
    pass(&w, SECOND / 4);
    assert_string_equal(w.tried, "a:1 b:2 c:3 ");
    assert_string_equal(w.told, "CR");
    world_close(&w);
}

static void when_all_fail_pick_first_tries_each_after_its_back_off(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2", OPTIONS{0});
    w.silent[0] = "a:1";
    w.refusing[0] = "b:2";
    oak_channel_connect(w.channel);
    pass(&w, SECOND - 1);
    assert_string_equal(w.told, "C"); /* a:1 may still answer */
    pass(&w, 1);
    assert_string_equal(w.told, "CF");
    w.silent[0] = NULL;
    pass(&w, 2 * SECOND);
    assert_string_equal(w.told, "CFR");
    assert_string_equal(w.reached[0], "a:1");
    world_close(&w);
}

static void after_a_lost_connection_pick_first_waits_for_a_call(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "static:a:1,b:2", OPTIONS{0});
    oak_channel_connect(w.channel);
    pass(&w, 5 * SECOND);
    hang_up(&w, 0);
    assert_string_equal(w.told, "CRI");
    pass(&w, 60 * SECOND);
    assert_int_equal(w.peers.count, 1);
    w.refusing[0] = "a:1";
    ask(&w, &r);
    run(&w);
    assert_string_equal(w.told, "CRICR"); /* from the first again, and on to the next */
    assert_string_equal(w.reached[1], "b:2");
    answer(&w, 1, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void pick_first_may_shuffle(void **state)
{
    (void)state;
    static const char config[] =
        "{\"loadBalancingConfig\":[{\"pick_first\":{\"shuffleAddressList\":true}}]}";
    struct world w;
    world_open(&w, "static:a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1", OPTIONS{.service_config = config});
    w.all_refuse = true;
    oak_channel_connect(w.channel);
    run(&w);
    assert_int_equal(strlen(w.tried), 8 * 4);
    assert_string_not_equal(w.tried, "a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 ");
    for (char c = 'a'; c <= 'h'; c++) {
        char one[8];
        snprintf(one, sizeof(one), "%c:1 ", c);
        assert_non_null(strstr(w.tried, one));
    }
    world_close(&w);
}

/* -- round_robin ------------------------------------------------------------------------------- */

static void round_robin_takes_turns_over_what_is_ready(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2,c:3", OPTIONS{.policy = "round_robin"});
    w.refusing[0] = "b:2";
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_string_equal(w.tried, "a:1 b:2 c:3 ");
    assert_int_equal(w.peers.count, 2);
    struct recorder r[4];
    for (size_t i = 0; i < 4; i++) {
        ask(&w, &r[i]);
    }
    run(&w);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(heard(&w, i, 1, NULL), 1);
        assert_int_equal(heard(&w, i, 3, NULL), 1);
        answer(&w, i, 1);
        answer(&w, i, 3);
    }
    w.refusing[0] = NULL;
    pass(&w, 2 * SECOND);
    assert_int_equal(w.peers.count, 3);
    hang_up(&w, 0);
    assert_string_equal(w.told, "CR"); /* there are others */
    assert_int_equal(w.peers.count, 4);
    for (size_t i = 0; i < 4; i++) {
        ended(&r[i], OAK_RPC_OK);
    }
    assert_int_equal(stats(&w).connections, 3);
    world_close(&w);
}

static void round_robin_fails_when_all_do_and_until_one_is_back(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2", OPTIONS{.policy = "round_robin"});
    w.all_refuse = true;
    oak_channel_connect(w.channel);
    pass(&w, 10 * SECOND);
    assert_string_equal(w.told, "CF");
    w.all_refuse = false;
    w.refusing[0] = "a:1";
    pass(&w, 10 * SECOND);
    assert_string_equal(w.told, "CFR");
    hang_up(&w, 0);
    assert_string_equal(w.told, "CFRCR"); /* it was worth another connection */
    world_close(&w);
}

/* -- streams ----------------------------------------------------------------------------------- */

static void calls_past_the_streams_wait_in_their_order(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "a:1", OPTIONS{0});
    w.peers.streams = 2;
    struct recorder r[5];
    for (size_t i = 0; i < 5; i++) {
        struct oak_rpc_pair number = {oak_bytes_str("x-number"),
                                      oak_bytes((const char[]){(char)('0' + i)}, 1)};
        ask_with(&w, REQUEST{.metadata = &number, .metadata_count = 1}, &r[i]);
    }
    run(&w);
    assert_int_equal(stats(&w).calls_waiting, 3);
    for (uint32_t i = 0; i < 5; i++) {
        char number[16];
        snprintf(number, sizeof(number), "x-number=%u", i);
        assert_int_equal(heard(&w, 0, 2 * i + 1, number), 1);
        assert_int_equal(heard(&w, 0, 2 * i + 5, NULL), 0);
        answer(&w, 0, 2 * i + 1);
        ended(&r[i], OAK_RPC_OK);
    }
    assert_int_equal(w.peers.count, 1);
    world_close(&w);
}

static void more_connections_to_an_address_are_made_up_to_the_limit(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "a:1", OPTIONS{.connections_max = 3});
    w.peers.streams = 1;
    struct recorder r[5];
    for (size_t i = 0; i < 5; i++) {
        ask(&w, &r[i]);
    }
    run(&w);
    assert_int_equal(w.peers.count, 3);
    assert_int_equal(stats(&w).connections, 3);
    assert_int_equal(stats(&w).calls_waiting, 2);
    answer(&w, 1, 1); /* whichever has a stream free takes the next */
    assert_int_equal(heard(&w, 1, 3, NULL), 1);
    answer(&w, 1, 3);
    assert_int_equal(heard(&w, 1, 5, NULL), 1);
    answer(&w, 1, 5);
    answer(&w, 0, 1);
    answer(&w, 2, 1);
    for (size_t i = 0; i < 5; i++) {
        ended(&r[i], OAK_RPC_OK);
    }
    pass(&w, 2 * SECOND);
    hang_up(&w, 2); /* one more than is needed is not made again */
    hang_up(&w, 1);
    pass(&w, 20 * SECOND);
    assert_int_equal(w.peers.count, 3);
    assert_string_equal(w.told, "CR");
    world_close(&w);
}

static void a_further_connection_that_fails_harms_nobody(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "a:1", OPTIONS{.connections_max = 3});
    w.peers.streams = 1;
    struct recorder r[2];
    ask(&w, &r[0]);
    run(&w);
    w.all_refuse = true;
    ask(&w, &r[1]);
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_int_equal(r[1].closed, 0);
    assert_int_equal(stats(&w).connects, 2);
    pass(&w, 2 * SECOND);
    assert_int_equal(stats(&w).connects, 3); /* with back-off */
    answer(&w, 0, 1);
    answer(&w, 0, 3);
    pass(&w, 10 * SECOND);
    assert_int_equal(stats(&w).connects, 3); /* for nobody waits */
    ended(&r[0], OAK_RPC_OK);
    ended(&r[1], OAK_RPC_OK);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_is_idle_until_its_first_call),
        cmocka_unit_test(it_may_be_connected_without_a_call),
        cmocka_unit_test(without_calls_for_long_it_is_idle_again),
        cmocka_unit_test(with_a_call_it_is_not_idle_however_long_that_takes),
        cmocka_unit_test(freed_it_ends_its_calls_wherever_they_are),
        cmocka_unit_test(what_is_not_understood_is_no_channel),
        cmocka_unit_test(when_nothing_answers_calls_fail_unless_they_wait),
        cmocka_unit_test(a_call_that_waits_in_vain_says_for_what),
        cmocka_unit_test(fail_fast_does_not_even_wait_while_connecting),
        cmocka_unit_test(the_back_off_grows_and_may_be_skipped),
        cmocka_unit_test(pick_first_takes_the_first_that_answers),
        cmocka_unit_test(pick_first_does_not_wait_long_for_a_silent_one),
        cmocka_unit_test(a_failure_hurries_pick_first_on),
        cmocka_unit_test(when_all_fail_pick_first_tries_each_after_its_back_off),
        cmocka_unit_test(after_a_lost_connection_pick_first_waits_for_a_call),
        cmocka_unit_test(pick_first_may_shuffle),
        cmocka_unit_test(round_robin_takes_turns_over_what_is_ready),
        cmocka_unit_test(round_robin_fails_when_all_do_and_until_one_is_back),
        cmocka_unit_test(calls_past_the_streams_wait_in_their_order),
        cmocka_unit_test(more_connections_to_an_address_are_made_up_to_the_limit),
        cmocka_unit_test(a_further_connection_that_fails_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
