/* SPDX-License-Identifier: Apache-2.0 */
/* leader_test.c: calls go to the server that leads, as far as one does and what servers say of that
 * can be believed. */
#include "channel/test_leader.h"

/* -- who is believed --------------------------------------------------------------------------- */

static void calls_go_to_who_leads(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    believed(&w, NULL);
    tell_first(&w, A, FOLLOWS("\x05"));
    tell_first(&w, B, LEADS("\x05"));
    tell_first(&w, C, FOLLOWS("\x05"));
    believed(&w, "b:2");
    assert_int_equal(asked_bits(&w, 6), 1 << B);
    assert_string_equal(w.told, "CR"); /* who follows is no failure */
    assert_string_equal(oak_channel_error(w.channel), "");
    assert_int_equal(stats(&w).connections, 3);
    world_close(&w);
}

static void while_nobody_says_so_all_take_turns(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    assert_int_equal(asked_bits(&w, 3), ALL); /* not a word yet */
    for (int i = A; i <= C; i++) {
        tell_first(&w, i, FOLLOWS("\x05"));
    }
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 3), ALL);
    tell(&w, C, LEADS("\x06"));
    assert_int_equal(asked_bits(&w, 3), 1 << C);
    tell(&w, C, "\x08\x03"); /* SERVICE_UNKNOWN, in no term: that is older */
    believed(&w, "c:3");
    tell(&w, C, FOLLOWS("\x06"));
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 3), ALL);
    world_close(&w);
}

static void of_two_the_one_with_the_higher_term_is_believed(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, C, LEADS("\x06"));
    tell_first(&w, B, LEADS("\x05")); /* it does not know yet */
    believed(&w, "c:3");
    assert_int_equal(asked_bits(&w, 3), 1 << C);
    tell(&w, B, LEADS("\x07"));
    believed(&w, "b:2");
    tell(&w, C, FOLLOWS("\x07"));
    believed(&w, "b:2");
    tell(&w, C, LEADS("\x80\x01")); /* 128 */
    believed(&w, "c:3");
    assert_int_equal(asked_bits(&w, 3), 1 << C);
    world_close(&w);
}

static void old_news_is_none(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\x07"));
    tell(&w, B, FOLLOWS("\x06"));
    believed(&w, "b:2");
    tell_first(&w, C, FOLLOWS("\x08")); /* who follows does not say that others don't lead */
    believed(&w, "b:2");
    tell(&w, C, LEADS("\x07"));
    believed(&w, "b:2");
    world_close(&w);
}

static void without_terms_the_last_who_said_so_is_believed(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, "\x08\x01");
    tell_first(&w, C, "\x08\x01");
    believed(&w, "c:3");
    tell(&w, B, "\x08\x01"); /* it has said that already */
    believed(&w, "c:3");
    tell(&w, B, "\x08\x02");
    tell(&w, B, "\x08\x01");
    believed(&w, "b:2");
    assert_int_equal(asked_bits(&w, 3), 1 << B);
    world_close(&w);
}

/* -- what happens to who leads ----------------------------------------------------------------- */

static void who_is_gone_does_not_lead(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, A, FOLLOWS("\x05"));
    tell_first(&w, B, LEADS("\x05"));
    w.refusing[0] = "b:2";
    hang_up(&w, peer_at(&w, B));
    believed(&w, NULL);
    assert_string_equal(w.told, "CR");
    assert_int_equal(asked_bits(&w, 4), 1 << A | 1 << C);
    tell(&w, A, LEADS("\x06"));
    assert_int_equal(asked_bits(&w, 4), 1 << A);
    w.refusing[0] = NULL;
    pass(&w, 5 * SECOND);
    assert_int_equal(w.peers.count, 4); /* it is back, and has a watch of its own */
    believed(&w, "a:1");
    tell_first(&w, B, LEADS("\x05"));
    believed(&w, "a:1");
    tell(&w, B, LEADS("\x07"));
    believed(&w, "b:2");
    world_close(&w);
}

static void calls_under_way_stay_where_they_are(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[2];
    uint32_t id[2];
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\x05"));
    assert_int_equal(place(&w, &r[0], &id[0]), B);
    assert_int_equal(place(&w, &r[1], &id[1]), B);
    tell_first(&w, C, LEADS("\x06"));
    tell(&w, B, FOLLOWS("\x06"));
    assert_int_equal(asked_bits(&w, 3), 1 << C);
    answer(&w, peer_at(&w, B), id[0]);
    ended(&r[0], OAK_RPC_OK);
    assert_string_equal(w.tried, "a:1 b:2 c:3 ");
    assert_int_equal(stats(&w).attempts, 5);
    script_refuse(&peer_of(&w, peer_at(&w, B))->s, id[1], "14", NULL, NULL);
    say(&w, peer_at(&w, B));
    ended(&r[1], OAK_RPC_UNAVAILABLE);
    believed(&w, "c:3");
    tell(&w, B, LEADS("\x07")); /* it did not claim what it failed: it is not doubted */
    believed(&w, "b:2");
    world_close(&w);
}

static void who_says_goodbye_does_not_lead(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    uint32_t id;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\x05"));
    assert_int_equal(place(&w, &r, &id), B);
    w.refusing[0] = "b:2";
    script_goaway(&peer_of(&w, peer_at(&w, B))->s, id, NGHTTP2_NO_ERROR, "");
    say(&w, peer_at(&w, B));
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 4), 1 << A | 1 << C);
    answer(&w, peer_at(&w, B), id);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void a_claim_goes_with_its_watch(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\x05"));
    script_tail(&peer_of(&w, peer_at(&w, B))->s, 1, "0");
    say(&w, peer_at(&w, B));
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 3), ALL);
    assert_string_equal(w.told, "CR");
    pass(&w, 12 * SECOND / 10); /* it did not live: with back-off */
    assert_int_equal(script_heard(&peer_of(&w, peer_at(&w, B))->s, "HEADERS", "Health/Watch"), 2);
    world_close(&w);
}

static void who_leads_and_is_busy_gets_another_connection(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[3];
    uint32_t id;
    uint32_t other;
    struct oak_channel_options o = OPTIONS{.policy = "oakum_leader", .connections_max = 2};
    world_open(&w, "static:a:1,b:2,c:3", o);
    w.peers.streams = 2; /* a watch, and a call */
    oak_channel_connect(w.channel);
    run(&w);
    tell_first(&w, B, LEADS("\x05"));
    size_t first = peer_at(&w, B);
    assert_int_equal(place(&w, &r[0], &id), B);
    ask(&w, &r[1]);
    assert_int_equal(stats(&w).calls_waiting, 1);
    run(&w); /* another connection to it, and to nobody else */
    assert_string_equal(w.tried, "a:1 b:2 c:3 b:2 ");
    assert_int_equal(heard(&w, peer_at(&w, B), 3, ":path=/t.Echo/Unary"), 1);
    int who = place(&w, &r[2], &other); /* no more of them: nobody waits while others are free */
    assert_true(who == A || who == C);
    answer(&w, peer_at(&w, who), other);
    ended(&r[2], OAK_RPC_OK);
    answer(&w, first, id);
    ended(&r[0], OAK_RPC_OK);
    answer(&w, peer_at(&w, B), 3);
    ended(&r[1], OAK_RPC_OK);
    believed(&w, "b:2");
    world_close(&w);
}

static void what_runs_beside_goes_to_others(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    uint32_t id;
    three_servers(&w, OPTIONS{.attempts_max = 4,
                              .service_config =
                                  "{\"methodConfig\":[{\"name\":[{\"service\":\"t.Echo\"}],"
                                  "\"hedgingPolicy\":{\"maxAttempts\":4,\"hedgingDelay\":\"0.1s\","
                                  "\"nonFatalStatusCodes\":[\"UNAVAILABLE\"]}}]}"});
    tell_first(&w, B, LEADS("\x05"));
    assert_int_equal(place(&w, &r, &id), B);
    pass(&w, SECOND / 10);
    assert_int_equal(stats(&w).hedges, 1);
    assert_int_equal(heard(&w, peer_at(&w, B), 5, "/t.Echo/"), 0);
    pass(&w, SECOND / 10);
    assert_int_equal(stats(&w).hedges, 2);
    assert_int_equal(heard(&w, peer_at(&w, A), 3, "/t.Echo/"), 1);
    assert_int_equal(heard(&w, peer_at(&w, B), 5, "/t.Echo/"), 0);
    assert_int_equal(heard(&w, peer_at(&w, C), 3, "/t.Echo/"), 1);
    pass(&w, SECOND / 10); /* each has one: the leader again */
    assert_int_equal(stats(&w).hedges, 3);
    assert_int_equal(heard(&w, peer_at(&w, B), 5, "/t.Echo/"), 1);
    answer(&w, peer_at(&w, A), 3);
    ended(&r, OAK_RPC_OK);
    believed(&w, "b:2");
    world_close(&w);
}

static void an_address_that_is_gone_does_not_lead(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{.policy = "oakum_leader", .resolve_pause_ns = 1});
    w.dns[1] = "10.0.0.2:1";
    oak_channel_connect(w.channel);
    run(&w);
    size_t second = strcmp(w.reached[0], "10.0.0.2:1") == 0 ? 0 : 1;
    script_head(&peer_of(&w, second)->s, 1);
    script_message(&peer_of(&w, second)->s, 1, LEADS("\x05"));
    say(&w, second);
    believed(&w, "10.0.0.2:1");
    w.dns[1] = NULL;
    hang_up(&w, 1 - second);
    pass(&w, SECOND / 100);
    assert_int_equal(w.lookups, 2);
    believed(&w, NULL);
    pass(&w, 2 * SECOND); /* it had hung up at once: it is not hurried */
    ask(&w, &r);
    run(&w);
    assert_string_equal(w.reached[w.peers.count - 1], w.dns[0]);
    answer(&w, w.peers.count - 1, 3);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

/* -- the config -------------------------------------------------------------------------------- */

static void the_service_that_tells_may_have_another_name(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        const char *data; /* of the request: 5 + 2 + the name */
    } names_of[] = {
        {"{\"loadBalancingConfig\":[{\"oakum_leader\":{}}]}", "DATA 1 19"},
        {"{\"loadBalancingConfig\":[{\"oakum_leader\":{\"serviceName\":\"t.L\"}}]}", "DATA 1 10"},
        {"{\"loadBalancingConfig\":[{\"oakum_leader\":{\"serviceName\":\"\"}}]}", "DATA 1 5"},
        {"{\"loadBalancingConfig\":[{\"grpclb\":{}},{\"oakum_leader\":{}},{\"round_robin\":{}}],"
         "\"healthCheckConfig\":{\"serviceName\":\"t.Echo\"}}",
         "DATA 1 19"},
        {"{\"loadBalancingPolicy\":\"OAKUM_LEADER\"}", "DATA 1 19"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(names_of); i++) {
        struct world w;
        world_open(&w, "static:a:1", OPTIONS{.service_config = names_of[i].config});
        oak_channel_connect(w.channel);
        run(&w);
        if (script_heard(&peer_of(&w, 0)->s, names_of[i].data, "END") != 1) {
            fail_msg("%s: not %s", names_of[i].config, names_of[i].data);
        }
        assert_string_equal(w.told, "CR");
        world_close(&w);
    }
}

static void a_name_that_is_none_is_refused(void **state)
{
    (void)state;
    struct fake_loop loop;
    fake_loop_init(&loop);
    struct oak_channel *channel;
    struct oak_errbuf e = {{0}};
    struct oak_channel_options o = {
        .service_config = "{\"loadBalancingConfig\":[{\"oakum_leader\":{\"serviceName\":7}}]}"};
    assert_int_equal(oak_channel_new(&loop.port, "a:1", &o, &channel, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "loadBalancingConfig.oakum_leader.serviceName: a text"));
    o = OPTIONS{.policy = "leader"};
    assert_int_equal(oak_channel_new(&loop.port, "a:1", &o, &channel, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "oakum_leader are known"));
    fake_loop_fini(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_to_who_leads),
        cmocka_unit_test(while_nobody_says_so_all_take_turns),
        cmocka_unit_test(of_two_the_one_with_the_higher_term_is_believed),
        cmocka_unit_test(old_news_is_none),
        cmocka_unit_test(without_terms_the_last_who_said_so_is_believed),
        cmocka_unit_test(who_is_gone_does_not_lead),
        cmocka_unit_test(calls_under_way_stay_where_they_are),
        cmocka_unit_test(who_says_goodbye_does_not_lead),
        cmocka_unit_test(a_claim_goes_with_its_watch),
        cmocka_unit_test(who_leads_and_is_busy_gets_another_connection),
        cmocka_unit_test(what_runs_beside_goes_to_others),
        cmocka_unit_test(an_address_that_is_gone_does_not_lead),
        cmocka_unit_test(the_service_that_tells_may_have_another_name),
        cmocka_unit_test(a_name_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
