/* SPDX-License-Identifier: Apache-2.0 */
/* doubt_test.c: who says that it leads, and can't do it, or talks nonsense, does little harm. */
#include "channel/test_leader.h"

static void what_it_failed_before_its_claim_is_not_held_against_it(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[3];
    uint32_t id[3];
    int who[3];
    three_servers(&w, OPTIONS{0});
    for (int i = 0; i < 3; i++) {
        who[i] = place(&w, &r[i], &id[i]);
    }
    tell_first(&w, B, LEADS("\x05"));
    for (int i = 0; i < 3; i++) { /* they were on their way to the leader before */
        script_refuse(&peer_of(&w, peer_at(&w, who[i]))->s, id[i], "14", NULL, NULL);
        say(&w, peer_at(&w, who[i]));
        ended(&r[i], OAK_RPC_UNAVAILABLE);
        believed(&w, "b:2");
    }
    assert_int_equal(place(&w, &r[0], &id[0]), B);
    tell(&w, B, LEADS("\x07")); /* it lost, and won again, meanwhile */
    script_refuse(&peer_of(&w, peer_at(&w, B))->s, id[0], "14", NULL, NULL);
    say(&w, peer_at(&w, B));
    ended(&r[0], OAK_RPC_UNAVAILABLE);
    believed(&w, "b:2");
    fails_at(&w, B);
    believed(&w, NULL);
    world_close(&w);
}

static void who_fails_what_it_draws_is_doubted_and_longer_each_time(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, A, FOLLOWS("\x05"));
    tell_first(&w, B, LEADS("\x09"));
    fails_at(&w, B);
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 6), 1 << A | 1 << C); /* the others, in turn */
    tell(&w, B, LEADS("\x0a"));                           /* saying it louder does not help */
    believed(&w, NULL);
    pass(&w, 8 * SECOND / 10 - 1); /* 1 s, less 20 % at the most */
    believed(&w, NULL);
    pass(&w, 4 * SECOND / 10 + 1);
    believed(&w, "b:2");
    fails_at(&w, B);
    pass(&w, 128 * SECOND / 100 - 1); /* 1.6 s, less 20 % */
    believed(&w, NULL);
    pass(&w, 64 * SECOND / 100 + 1);
    believed(&w, "b:2");
    assert_int_equal(asked_bits(&w, 3), 1 << B); /* it does what it said */
    fails_at(&w, B);
    pass(&w, 12 * SECOND / 10); /* 1 s again */
    believed(&w, "b:2");
    world_close(&w);
}

static void while_one_is_doubted_the_next_best_is_believed(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    tell_first(&w, C, LEADS("\x05"));
    believed(&w, "b:2");
    fails_at(&w, B);
    believed(&w, "c:3");
    assert_int_equal(asked_bits(&w, 6), 1 << C);
    fails_at(&w, C); /* of all who say it, nobody does */
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 3), 1 << A);
    world_close(&w);
}

static void who_is_doubted_gets_calls_when_there_is_nobody_else(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\x05"));
    w.refusing[0] = "a:1";
    w.refusing[1] = "c:3";
    hang_up(&w, peer_at(&w, A));
    hang_up(&w, peer_at(&w, C));
    fails_at(&w, B);
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 3), 1 << B);
    world_close(&w);
}

static void who_does_not_answer_is_doubted_too(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    uint32_t id;
    three_servers(&w, OPTIONS{.progress_timeout_ns = SECOND});
    tell_first(&w, B, LEADS("\x05"));
    assert_int_equal(place(&w, &r, &id), B);
    pass(&w, SECOND);
    ended(&r, OAK_RPC_UNAVAILABLE);
    believed(&w, NULL);
    world_close(&w);
}

static void other_ends_of_calls_tell_nothing(void **state)
{
    (void)state;
    static const char *const codes[] = {"1", "2", "4", "8", "9", "12", "13"};
    struct world w;
    struct recorder r;
    uint32_t id;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, LEADS("\x05"));
    for (size_t i = 0; i < OAK_COUNT_OF(codes); i++) {
        assert_int_equal(place(&w, &r, &id), B);
        script_refuse(&peer_of(&w, peer_at(&w, B))->s, id, codes[i], NULL, NULL);
        say(&w, peer_at(&w, B));
        ended(&r, (enum oak_rpc_code)strtol(codes[i], NULL, 10));
        believed(&w, "b:2");
    }
    assert_int_equal(place(&w, &r, &id), B);
    oak_rpc_call_cancel(r.call);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    believed(&w, "b:2");
    world_close(&w);
}

static void servers_that_know_nothing_of_it_take_turns(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    for (int i = A; i <= C; i++) {
        script_refuse(&peer_of(&w, peer_at(&w, i))->s, 1, "12", NULL, NULL);
        say(&w, peer_at(&w, i));
    }
    pass(&w, 100 * SECOND);
    for (int i = A; i <= C; i++) {
        size_t at = peer_at(&w, i);
        assert_int_equal(script_heard(&peer_of(&w, at)->s, "HEADERS", "Health/Watch"), 1);
    }
    assert_int_equal(asked_bits(&w, 3), ALL);
    assert_string_equal(w.told, "CR");
    world_close(&w);
}

static void nonsense_is_no_claim(void **state)
{
    (void)state;
    struct world w;
    three_servers(&w, OPTIONS{0});
    tell_first(&w, B, "hello");
    believed(&w, NULL);
    assert_int_equal(asked_bits(&w, 3), ALL);
    pass(&w, 12 * SECOND / 10);
    assert_int_equal(script_heard(&peer_of(&w, peer_at(&w, B))->s, "HEADERS", "Health/Watch"), 2);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_failed_before_its_claim_is_not_held_against_it),
        cmocka_unit_test(who_fails_what_it_draws_is_doubted_and_longer_each_time),
        cmocka_unit_test(while_one_is_doubted_the_next_best_is_believed),
        cmocka_unit_test(who_is_doubted_gets_calls_when_there_is_nobody_else),
        cmocka_unit_test(who_does_not_answer_is_doubted_too),
        cmocka_unit_test(other_ends_of_calls_tell_nothing),
        cmocka_unit_test(servers_that_know_nothing_of_it_take_turns),
        cmocka_unit_test(nonsense_is_no_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
