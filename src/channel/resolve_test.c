/* SPDX-License-Identifier: Apache-2.0 */
/* resolve_test.c: names, what they mean by and by, and the network that is asked. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

static void a_name_is_looked_up_again_when_a_connection_is_lost_but_not_often(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{.policy = "round_robin"});
    w.dns[1] = "10.0.0.2:80";
    oak_channel_connect(w.channel);
    pass(&w, 5 * SECOND);
    assert_int_equal(w.peers.count, 2);
    w.dns[0] = "10.0.0.3:80";
    hang_up(&w, 0);
    assert_int_equal(w.lookups, 1); /* not within the pause of 30 s */
    pass(&w, 24 * SECOND);
    assert_int_equal(w.lookups, 1);
    pass(&w, SECOND);
    assert_int_equal(w.lookups, 2);
    assert_string_equal(w.reached[w.peers.count - 1], "10.0.0.3:80");
    assert_non_null(w.peers.all[1].stream); /* 10.0.0.2 is in both answers */
    assert_int_equal(stats(&w).connections, 2);
    assert_string_equal(w.told, "CR");
    pass(&w, 100 * SECOND);
    assert_int_equal(w.lookups, 2);
    assert_int_equal(stats(&w).lookups, 2);
    world_close(&w);
}

static void the_newest_order_of_addresses_counts(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{.resolve_pause_ns = 1});
    w.dns[1] = "10.0.0.2:80";
    oak_channel_connect(w.channel);
    pass(&w, 2 * SECOND);
    w.dns[0] = "10.0.0.2:80";
    w.dns[1] = "10.0.0.1:80";
    hang_up(&w, 0);
    assert_int_equal(w.lookups, 2);
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.reached[1], "10.0.0.2:80");
    world_close(&w);
}

static void an_address_that_is_gone_finishes_its_calls(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{.resolve_pause_ns = 1});
    ask_with(&w, REQUEST{.timeout_ns = OAK_RPC_NEVER_NS, .progress_ns = OAK_RPC_NEVER_NS}, &r);
    pass(&w, 2 * SECOND);
    w.dns[0] = "10.0.0.2:80";
    script_goaway(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR, "");
    say(&w, 0);
    assert_int_equal(w.lookups, 2);
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.reached[1], "10.0.0.2:80");
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    pass(&w, SECOND);
    assert_null(w.peers.all[0].stream);
    world_close(&w);
}

static void after_a_rest_the_name_is_looked_up_at_once(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{.idle_ns = 10 * SECOND});
    oak_channel_connect(w.channel);
    pass(&w, 11 * SECOND);
    assert_string_equal(w.told, "CRI");
    oak_channel_connect(w.channel);
    run(&w);
    assert_int_equal(w.lookups, 2);
    assert_string_equal(w.told, "CRICR");
    world_close(&w);
}

static void a_name_that_nobody_knows_fails_calls_and_is_asked_for_again(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{0});
    w.dns_error = OAK_EUNRESOLVED;
    ask(&w, &r);
    run(&w);
    assert_string_equal(w.told, "CF");
    assert_string_equal(r.text, "no connection: db.example:1: host name can't be resolved");
    ended(&r, OAK_RPC_UNAVAILABLE);
    pass(&w, 8 * SECOND); /* after 1, 1.6 and 2.56 s */
    assert_int_equal(w.lookups, 4);
    w.dns_error = 0;
    oak_channel_connect(w.channel); /* doesn't wait */
    run(&w);
    assert_string_equal(w.told, "CFR");
    world_close(&w);
}

static void what_was_known_of_a_name_stays_in_use_when_a_look_up_fails(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{.policy = "round_robin", .resolve_pause_ns = 1});
    oak_channel_connect(w.channel);
    pass(&w, 2 * SECOND);
    w.dns_error = OAK_EUNRESOLVED;
    hang_up(&w, 0);
    assert_int_equal(w.lookups, 2);
    assert_string_equal(w.told, "CRCR");
    world_close(&w);
}

static void where_names_have_no_list_the_name_is_the_address(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{0});
    oak_channel_free(w.channel);
    w.loop.port.net.resolve = NULL;
    assert_int_equal(oak_channel_new(&w.loop.port, "db.example:1", NULL, &w.channel, NULL), 0);
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.tried, "db.example:1 ");
    assert_int_equal(oak_channel_state(w.channel), READY);
    world_close(&w);
}

static void a_network_of_the_options_is_used_in_place_of_the_loops(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "a:1", OPTIONS{0});
    oak_channel_free(w.channel);
    w.net = w.loop.port.net;
    w.loop.port.net = (struct oak_net){0};
    struct oak_channel_options o = {
        .net = &w.net, .rpc.authority = "other", .rpc.user_agent = "tester/3"};
    assert_int_equal(oak_channel_new(&w.loop.port, "a:1", &o, &w.channel, NULL), 0);
    struct recorder r;
    ask(&w, &r);
    run(&w);
    assert_int_equal(heard(&w, 0, 1, ":authority=other"), 1);
    assert_int_equal(heard(&w, 0, 1, "user-agent=tester/3 oakum-grpc/"), 1);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_looked_up_again_when_a_connection_is_lost_but_not_often),
        cmocka_unit_test(the_newest_order_of_addresses_counts),
        cmocka_unit_test(an_address_that_is_gone_finishes_its_calls),
        cmocka_unit_test(after_a_rest_the_name_is_looked_up_at_once),
        cmocka_unit_test(a_name_that_nobody_knows_fails_calls_and_is_asked_for_again),
        cmocka_unit_test(what_was_known_of_a_name_stays_in_use_when_a_look_up_fails),
        cmocka_unit_test(where_names_have_no_list_the_name_is_the_address),
        cmocka_unit_test(a_network_of_the_options_is_used_in_place_of_the_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
