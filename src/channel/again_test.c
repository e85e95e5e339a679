/* SPDX-License-Identifier: Apache-2.0 */
/* again_test.c: what is made again and what is not: unseen, by policy, within the budget. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

/* Four attempts would be allowed by it; what the options allow is three. */
static const char config[] =
    "{\"methodConfig\":[{\"name\":[{\"service\":\"t.Echo\"}],\"timeout\":\"100s\","
    "\"retryPolicy\":{\"maxAttempts\":4,\"initialBackoff\":\"1s\",\"maxBackoff\":\"3s\","
    "\"backoffMultiplier\":4,\"retryableStatusCodes\":[\"UNAVAILABLE\",\"ABORTED\"]}}]}";

/* READY, one peer. */
static void ready(struct world *w, struct oak_channel_options o)
{
    world_open(w, "a:1", o);
    oak_channel_connect(w->channel);
    pass(w, 2 * SECOND);
    assert_int_equal(oak_channel_state(w->channel), READY);
}

/* The call of this stream fails with a status alone. */
static void refuse(struct world *w, size_t peer, uint32_t id, const char *code)
{
    script_refuse(&peer_of(w, peer)->s, id, code, NULL, NULL);
    say(w, peer);
}

static void push_back(struct world *w, uint32_t id, const char *code, const char *ms)
{
    script_refuse(&peer_of(w, 0)->s, id, code, "grpc-retry-pushback-ms", ms);
    say(w, 0);
}

/* Milliseconds until the peer hears this stream begin. */
static int until(struct world *w, size_t peer, uint32_t id)
{
    int ms = 0;
    while (heard(w, peer, id, NULL) == 0) {
        assert_true(ms < 100000);
        pass(w, SECOND / 100);
        ms += 10;
    }
    return ms;
}

/* -- unseen ------------------------------------------------------------------------------------ */

static void what_the_server_refused_to_look_at_is_made_again_once_unseen(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    ask(&w, &r);
    run(&w);
    script_reset(&peer_of(&w, 0)->s, 1, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    assert_int_equal(heard(&w, 0, 3, NULL), 1);
    assert_int_equal(heard(&w, 0, 3, "previous"), 0);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "DATA 3 10 END", NULL), 1);
    script_reset(&peer_of(&w, 0)->s, 3, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    assert_int_equal(heard(&w, 0, 5, NULL), 0); /* the second time it is by policy, with a pause */
    assert_in_range(until(&w, 0, 5), 800, 1210);
    assert_int_equal(heard(&w, 0, 5, "grpc-previous-rpc-attempts=1"), 1);
    answer(&w, 0, 5);
    ended(&r, OAK_RPC_OK);
    assert_int_equal(stats(&w).transparent, 1);
    assert_int_equal(stats(&w).retries, 1);
    assert_int_equal(stats(&w).attempts, 3);
    world_close(&w);
}

static void what_goaway_left_behind_goes_to_the_next_connection(void **state)
{
    (void)state;
    struct world w;
    struct recorder first;
    struct recorder second;
    ready(&w, OPTIONS{0});
    ask(&w, &first);
    ask(&w, &second);
    run(&w);
    script_goaway(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR, "");
    say(&w, 0);
    assert_int_equal(w.peers.count, 2);
    answer(&w, 1, 1);
    ended(&second, OAK_RPC_OK);
    assert_int_equal(first.closed, 0);
    answer(&w, 0, 1);
    ended(&first, OAK_RPC_OK);
    assert_string_equal(w.told, "CRCR");
    world_close(&w);
}

static void what_never_left_is_made_again_unseen(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    ask(&w, &r); /* given to the connection, which ends before the round in which it would leave */
    w.loop.streams[0]->error = OAK_ECLOSED;
    run(&w);
    assert_int_equal(w.peers.count, 2);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "HEADERS", NULL), 0);
    assert_int_equal(heard(&w, 1, 1, "previous"), 0);
    answer(&w, 1, 1);
    ended(&r, OAK_RPC_OK);
    assert_int_equal(stats(&w).transparent, 1);
    world_close(&w);
}

static void what_may_have_been_done_is_not_made_again_unless_it_is_idempotent(void **state)
{
    (void)state;
    struct world w;
    struct recorder plain;
    struct recorder idempotent;
    ready(&w, OPTIONS{0});
    ask(&w, &plain);
    ask_with(&w, REQUEST{.idempotent = true}, &idempotent);
    run(&w);
    hang_up(&w, 0);
    ended(&plain, OAK_RPC_UNAVAILABLE);
    assert_int_equal(idempotent.closed, 0);
    pass(&w, 2 * SECOND);
    assert_int_equal(heard(&w, 1, 1, "grpc-previous-rpc-attempts=1"), 1);
    answer(&w, 1, 1);
    ended(&idempotent, OAK_RPC_OK);
    world_close(&w);
}

static void other_failures_are_final_without_a_policy(void **state)
{
    (void)state;
    static const char *const codes[] = {"2", "4", "8", "10", "13"};
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    for (uint32_t i = 0; i < OAK_COUNT_OF(codes); i++) {
        ask_with(&w, REQUEST{.idempotent = true}, &r);
        run(&w);
        refuse(&w, 0, 2 * i + 1, codes[i]);
        assert_int_equal(r.closed, 1);
        recorder_fini(&r);
    }
    assert_int_equal(stats(&w).retries, 0);
    world_close(&w);
}

static void by_default_there_are_three_attempts_a_second_and_two_apart(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    ask_with(&w, REQUEST{.idempotent = true}, &r);
    run(&w);
    assert_int_equal(heard(&w, 0, 1, "grpc-timeout=5000000u"), 1);
    refuse(&w, 0, 1, "14");
    assert_in_range(until(&w, 0, 3), 800, 1210);
    assert_int_equal(heard(&w, 0, 3, "grpc-timeout=5000000u"), 0); /* less is left */
    refuse(&w, 0, 3, "14");
    assert_in_range(until(&w, 0, 5), 1600, 2410);
    assert_int_equal(heard(&w, 0, 5, "grpc-previous-rpc-attempts=2"), 1);
    refuse(&w, 0, 5, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(stats(&w).retries, 2);
    world_close(&w);
}

static void one_attempt_is_one_attempt(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.attempts_max = 1, .service_config = config});
    ask_with(&w, REQUEST{.idempotent = true}, &r);
    run(&w);
    refuse(&w, 0, 1, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    ask(&w, &r); /* what the server did not look at was none */
    run(&w);
    script_reset(&peer_of(&w, 0)->s, 3, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    script_reset(&peer_of(&w, 0)->s, 5, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    ended(&r, OAK_RPC_UNAVAILABLE); /* and that once */
    assert_int_equal(stats(&w).transparent, 1);
    assert_int_equal(stats(&w).retries, 0);
    assert_int_equal(stats(&w).attempts, 3);
    world_close(&w);
}

/* -- by policy --------------------------------------------------------------------------------- */

static void a_policy_names_the_codes_and_the_pauses(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config, .attempts_max = 5});
    ask(&w, &r); /* not marked: the policy vouches for it */
    run(&w);
    refuse(&w, 0, 1, "10");
    assert_in_range(until(&w, 0, 3), 800, 1210);
    refuse(&w, 0, 3, "14");
    assert_in_range(until(&w, 0, 5), 2400, 3610); /* four times as long, but 3 s at most */
    refuse(&w, 0, 5, "14");
    assert_in_range(until(&w, 0, 7), 2400, 3610);
    refuse(&w, 0, 7, "10");
    ended(&r, OAK_RPC_ABORTED);
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, 9, "8");
    ended(&r, OAK_RPC_RESOURCE_EXHAUSTED);
    world_close(&w);
}

static void the_options_allow_fewer_attempts_than_a_policy(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config});
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, 1, "14");
    until(&w, 0, 3);
    refuse(&w, 0, 3, "14");
    until(&w, 0, 5);
    refuse(&w, 0, 5, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void the_server_may_ask_for_another_pause_or_for_none_at_all(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config, .attempts_max = 5});
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, 1, "14");
    until(&w, 0, 3);
    push_back(&w, 3, "14", "50");
    assert_in_range(until(&w, 0, 5), 40, 60);
    refuse(&w, 0, 5, "14");
    assert_in_range(until(&w, 0, 7), 800, 1210); /* the pauses begin anew */
    refuse(&w, 0, 7, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    static const char *const never[] = {"-1", "x", "", "9999999999"};
    for (uint32_t i = 0; i < OAK_COUNT_OF(never); i++) {
        ask(&w, &r);
        run(&w);
        push_back(&w, 9 + 2 * i, "14", never[i]);
        ended(&r, OAK_RPC_UNAVAILABLE);
    }
    world_close(&w);
}

static void an_answer_that_has_begun_is_final(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config});
    ask(&w, &r);
    run(&w);
    script_head(&peer_of(&w, 0)->s, 1);
    script_tail(&peer_of(&w, 0)->s, 1, "14");
    say(&w, 0);
    assert_int_equal(r.headers, 1);
    ended(&r, OAK_RPC_UNAVAILABLE);
    ask(&w, &r);
    run(&w);
    script_head(&peer_of(&w, 0)->s, 3);
    say(&w, 0);
    script_reset(&peer_of(&w, 0)->s, 3, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(stats(&w).attempts, 2);
    world_close(&w);
}

static void what_would_come_too_late_is_not_waited_for(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config});
    ask_with(&w, REQUEST{.timeout_ns = SECOND / 2}, &r);
    run(&w);
    refuse(&w, 0, 1, "14");
    ended(&r, OAK_RPC_UNAVAILABLE); /* now, with the reason */
    world_close(&w);
}

static void a_call_may_end_during_the_pause(void **state)
{
    (void)state;
    struct world w;
    struct recorder cancelled;
    struct recorder late;
    ready(&w, OPTIONS{.service_config = config});
    ask(&w, &cancelled);
    ask_with(&w, REQUEST{.timeout_ns = 3 * SECOND / 2}, &late);
    run(&w);
    refuse(&w, 0, 1, "14");
    refuse(&w, 0, 3, "14");
    assert_int_equal(stats(&w).calls_waiting, 2);
    oak_rpc_call_cancel(cancelled.call);
    assert_int_equal(cancelled.closed, 0);
    run(&w);
    ended(&cancelled, OAK_RPC_CANCELLED);
    pass(&w, 2 * SECOND);
    ended(&late, OAK_RPC_DEADLINE_EXCEEDED); /* the server was asked again, and was silent */
    assert_int_equal(stats(&w).attempts, 3);
    world_close(&w);
}

/* -- what was sent ----------------------------------------------------------------------------- */

static void all_that_was_sent_is_sent_again(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config});
    assert_int_equal(begin(&w, REQUEST{.method = "Bidi", .kind = OAK_RPC_BIDI}, &r), 0);
    send_text(r.call, "one");
    run(&w);
    send_text(r.call, "three");
    run(&w);
    refuse(&w, 0, 1, "14");
    send_text(r.call, "seven..");
    until(&w, 0, 3);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "DATA 3 30", NULL), 1); /* all of it */
    send_text(r.call, "x");
    run(&w);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "DATA 3 6", NULL), 1);
    script_head(&peer_of(&w, 0)->s, 3);
    say(&w, 0);
    send_text(r.call, "yy"); /* from here on nothing is kept */
    oak_rpc_call_half_close(r.call);
    run(&w);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "DATA 3 7 END", NULL), 1);
    script_tail(&peer_of(&w, 0)->s, 3, "0");
    say(&w, 0);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void past_what_is_kept_there_is_no_second_attempt(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config, .replay_bytes_max = 30});
    assert_int_equal(begin(&w, REQUEST{0}, &r), 0);
    send_text(r.call, "0123456789012345678901234");
    oak_rpc_call_half_close(r.call);
    run(&w);
    refuse(&w, 0, 1, "14");
    until(&w, 0, 3); /* thirty bytes are kept */
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    assert_int_equal(begin(&w, REQUEST{0}, &r), 0);
    send_text(r.call, "01234567890123456789012345");
    oak_rpc_call_half_close(r.call);
    run(&w);
    refuse(&w, 0, 5, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(begin(&w, REQUEST{0}, &r), 0); /* not even what the server refused */
    send_text(r.call, "01234567890123456789012345");
    run(&w);
    script_reset(&peer_of(&w, 0)->s, 7, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

/* -- the budget -------------------------------------------------------------------------------- */

static void when_much_fails_nothing_is_made_again_until_much_succeeds(void **state)
{
    (void)state;
    static const char throttled[] =
        "{\"retryThrottling\":{\"maxTokens\":4,\"tokenRatio\":0.5},\"methodConfig\":[{\"name\":[{}]"
        ","
        "\"timeout\":\"100s\",\"retryPolicy\":{\"maxAttempts\":2,\"initialBackoff\":\"1s\","
        "\"maxBackoff\":\"1s\",\"backoffMultiplier\":1,\"retryableStatusCodes\":[14]}}]}";
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = throttled});
    uint32_t id = 1;
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, id, "14"); /* 3 of 4 are left */
    id += 2;
    until(&w, 0, id);
    refuse(&w, 0, id, "14"); /* 2: half of them */
    id += 2;
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(stats(&w).throttled, 0);
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, id, "14"); /* 1 */
    id += 2;
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(stats(&w).throttled, 1);
    for (int i = 0; i < 4; i++) { /* half a token each: 3 */
        ask(&w, &r);
        run(&w);
        answer(&w, 0, id);
        id += 2;
        ended(&r, OAK_RPC_OK);
    }
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, id, "14"); /* 2 */
    id += 2;
    ended(&r, OAK_RPC_UNAVAILABLE);
    for (int i = 0; i < 3; i++) { /* 3.5 */
        ask(&w, &r);
        run(&w);
        answer(&w, 0, id);
        id += 2;
        ended(&r, OAK_RPC_OK);
    }
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, id, "14"); /* 2.5, more than half */
    id += 2;
    until(&w, 0, id);
    answer(&w, 0, id);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void not_to_be_tried_again_costs_whatever_the_code(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0}); /* ten tokens */
    for (uint32_t i = 0; i < 5; i++) {
        ask(&w, &r);
        run(&w);
        push_back(&w, 2 * i + 1, "8", "-1");
        ended(&r, OAK_RPC_RESOURCE_EXHAUSTED);
    }
    ask_with(&w, REQUEST{.idempotent = true}, &r);
    run(&w);
    refuse(&w, 0, 11, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_int_equal(stats(&w).throttled, 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_server_refused_to_look_at_is_made_again_once_unseen),
        cmocka_unit_test(what_goaway_left_behind_goes_to_the_next_connection),
        cmocka_unit_test(what_never_left_is_made_again_unseen),
        cmocka_unit_test(what_may_have_been_done_is_not_made_again_unless_it_is_idempotent),
        cmocka_unit_test(other_failures_are_final_without_a_policy),
        cmocka_unit_test(by_default_there_are_three_attempts_a_second_and_two_apart),
        cmocka_unit_test(one_attempt_is_one_attempt),
        cmocka_unit_test(a_policy_names_the_codes_and_the_pauses),
        cmocka_unit_test(the_options_allow_fewer_attempts_than_a_policy),
        cmocka_unit_test(the_server_may_ask_for_another_pause_or_for_none_at_all),
        cmocka_unit_test(an_answer_that_has_begun_is_final),
        cmocka_unit_test(what_would_come_too_late_is_not_waited_for),
        cmocka_unit_test(a_call_may_end_during_the_pause),
        cmocka_unit_test(all_that_was_sent_is_sent_again),
        cmocka_unit_test(past_what_is_kept_there_is_no_second_attempt),
        cmocka_unit_test(when_much_fails_nothing_is_made_again_until_much_succeeds),
        cmocka_unit_test(not_to_be_tried_again_costs_whatever_the_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
