/* SPDX-License-Identifier: Apache-2.0 */
/* happy_test.c: "Happy Eyeballs": how pick_first gets past families and addresses that lead
 * nowhere, and what becomes of connections that came too late. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)

static void families_take_turns(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "db.example:1", OPTIONS{0});
    static const char *const dns[] = {"[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"};
    memcpy(w.dns, dns, sizeof(dns));
    w.all_refuse = true;
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.tried, "[::1]:1 10.0.0.1:1 [::2]:1 10.0.0.2:1 [::3]:1 ");
    assert_string_equal(w.told, "CF");
    world_close(&w);
    /* Whose address is first comes first; what is neither is a third. */
    world_open(&w, "static:1.1.1.1:1,1.1.1.2:1,a:1,b:1,[::1]:1,4all.example:1", OPTIONS{0});
    w.all_refuse = true;
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.tried, "1.1.1.1:1 a:1 [::1]:1 1.1.1.2:1 b:1 4all.example:1 ");
    world_close(&w);
}

static void round_robin_keeps_the_order(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:1.1.1.1:1,1.1.1.2:1,[::1]:1", OPTIONS{.policy = "round_robin"});
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.tried, "1.1.1.1:1 1.1.1.2:1 [::1]:1 ");
    world_close(&w);
}

static void a_family_that_hangs_costs_one_pace(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{.connect_timeout_ns = 20 * SECOND});
    static const char *const dns[] = {"[::1]:1", "[::2]:1", "10.0.0.1:1"};
    memcpy(w.dns, dns, sizeof(dns));
    w.silent[0] = "[::1]:1";
    w.silent[1] = "[::2]:1";
    ask(&w, &r);
    pass(&w, SECOND / 4 - 1);
    assert_string_equal(w.tried, "[::1]:1 ");
    assert_string_equal(w.told, "C");
    pass(&w, 1);
    assert_string_equal(w.tried, "[::1]:1 10.0.0.1:1 ");
    assert_string_equal(w.told, "CR");
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void a_refused_address_costs_nothing(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2,c:3", OPTIONS{0});
    w.refusing[0] = "a:1";
    w.refusing[1] = "b:2";
    uint64_t before_ns = w.loop.now_ns;
    oak_channel_connect(w.channel);
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_string_equal(w.reached[0], "c:3");
    assert_int_equal(w.loop.now_ns, before_ns);
    world_close(&w);
}

static void who_comes_late_is_closed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2,c:3", OPTIONS{.connect_timeout_ns = 20 * SECOND});
    w.silent[0] = "a:1";
    w.silent[1] = "b:2";
    w.silent[2] = "c:3";
    oak_channel_connect(w.channel);
    pass(&w, 3 * SECOND / 4); /* all three are under way */
    assert_string_equal(w.tried, "a:1 b:2 c:3 ");
    w.silent[1] = NULL;
    run(&w);
    assert_string_equal(w.told, "CR");
    assert_string_equal(w.reached[0], "b:2");
    w.silent[0] = NULL;
    w.silent[2] = NULL;
    run(&w);
    assert_int_equal(w.peers.count, 3);
    assert_non_null(w.peers.all[0].stream);
    assert_null(w.peers.all[1].stream);
    assert_null(w.peers.all[2].stream);
    assert_int_equal(stats(&w).connections, 1);
    pass(&w, 60 * SECOND);
    assert_string_equal(w.told, "CR");
    assert_string_equal(w.tried, "a:1 b:2 c:3 ");
    world_close(&w);
}

static void a_connection_that_does_not_speak_has_not_won(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1,b:2", OPTIONS{.connect_timeout_ns = 20 * SECOND});
    w.peers.streams = 0; /* connected, but not a word of HTTP/2 */
    oak_channel_connect(w.channel);
    pass(&w, SECOND / 10);
    assert_string_equal(w.told, "C");
    w.peers.streams = UINT32_MAX;
    pass(&w, SECOND / 4);
    assert_string_equal(w.told, "CR");
    assert_null(w.peers.all[0].stream);
    assert_string_equal(w.reached[1], "b:2");
    world_close(&w);
}

static void a_pass_in_vain_fails_and_asks_for_the_name_again(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1", OPTIONS{.resolve_pause_ns = SECOND / 2});
    w.dns[1] = "[::1]:80";
    w.silent[0] = "10.0.0.1:80";
    w.refusing[0] = "[::1]:80";
    ask(&w, &r);
    pass(&w, SECOND - 1);
    assert_string_equal(w.told, "C"); /* the first may still answer */
    pass(&w, 1);
    assert_string_equal(w.told, "CF");
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(w.lookups, 3); /* again after the refusal, and after the last failure */
    w.refusing[0] = NULL;
    pass(&w, 2 * SECOND); /* after its back-off */
    assert_string_equal(w.told, "CFR");
    assert_string_equal(w.reached[0], "[::1]:80");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_take_turns),
        cmocka_unit_test(round_robin_keeps_the_order),
        cmocka_unit_test(a_family_that_hangs_costs_one_pace),
        cmocka_unit_test(a_refused_address_costs_nothing),
        cmocka_unit_test(who_comes_late_is_closed),
        cmocka_unit_test(a_connection_that_does_not_speak_has_not_won),
        cmocka_unit_test(a_pass_in_vain_fails_and_asks_for_the_name_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
