/* SPDX-License-Identifier: Apache-2.0 */
/* hedge_test.c: attempts beside each other. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

static const char config[] =
    "{\"methodConfig\":[{\"name\":[{\"service\":\"t.Echo\"}],\"timeout\":\"100s\","
    "\"hedgingPolicy\":"
    "{\"maxAttempts\":3,\"hedgingDelay\":\"1s\",\"nonFatalStatusCodes\":[\"UNAVAILABLE\"]}}]}";

/* Two servers that are READY, and each attempt goes to the other one. */
static void ready(struct world *w, const char *text)
{
    world_open(w, "static:a:1,b:2",
               OPTIONS{.policy = "round_robin",
                       .service_config = text,
                       .progress_timeout_ns = OAK_RPC_NEVER_NS});
    oak_channel_connect(w->channel);
    pass(w, 2 * SECOND);
    assert_int_equal(w->peers.count, 2);
}

static void refuse(struct world *w, size_t peer, uint32_t id, const char *code)
{
    script_refuse(&peer_of(w, peer)->s, id, code, NULL, NULL);
    say(w, peer);
}

static int attempts(struct world *w)
{
    return (int)stats(w).attempts;
}

static void another_attempt_starts_beside_one_that_takes_long(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    pass(&w, SECOND - 1);
    assert_int_equal(attempts(&w), 1);
    pass(&w, 1);
    assert_int_equal(attempts(&w), 2);
    assert_int_equal(heard(&w, 1, 1, "grpc-previous-rpc-attempts=1"), 1);
    assert_int_equal(script_heard(&peer_of(&w, 1)->s, "DATA 1 10 END", NULL), 1);
    answer(&w, 1, 1); /* the second is first */
    assert_true(recorded(&r, "hi"));
    ended(&r, OAK_RPC_OK);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "RST_STREAM 1 8", NULL), 1);
    pass(&w, 5 * SECOND);
    assert_int_equal(attempts(&w), 2);
    assert_int_equal(stats(&w).hedges, 1);
    world_close(&w);
}

static void one_that_answers_in_time_stays_alone(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    pass(&w, SECOND / 2);
    script_head(&peer_of(&w, 0)->s, 1); /* it has only begun to answer */
    say(&w, 0);
    pass(&w, 5 * SECOND);
    assert_int_equal(attempts(&w), 1);
    script_message(&peer_of(&w, 0)->s, 1, "hi");
    script_tail(&peer_of(&w, 0)->s, 1, "14");
    say(&w, 0);
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void there_are_no_more_than_the_policy_allows(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    pass(&w, 20 * SECOND);
    assert_int_equal(attempts(&w), 3);
    assert_int_equal(heard(&w, 0, 3, "grpc-previous-rpc-attempts=2"), 1);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "RST_STREAM 1 8", NULL), 1);
    assert_int_equal(script_heard(&peer_of(&w, 1)->s, "RST_STREAM 1 8", NULL), 1);
    world_close(&w);
}

static void a_failure_that_is_not_fatal_brings_the_next_at_once(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    run(&w);
    refuse(&w, 0, 1, "14");
    assert_int_equal(attempts(&w), 2);
    refuse(&w, 1, 1, "14");
    assert_int_equal(attempts(&w), 3);
    assert_int_equal(r.closed, 0);
    refuse(&w, 0, 3, "14"); /* the last one decides */
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void a_fatal_one_ends_all(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    pass(&w, SECOND);
    assert_int_equal(attempts(&w), 2);
    refuse(&w, 1, 1, "3");
    ended(&r, OAK_RPC_INVALID_ARGUMENT);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "RST_STREAM 1 8", NULL), 1);
    world_close(&w);
}

static void others_go_on_when_the_last_allowed_one_has_failed(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    pass(&w, 3 * SECOND);
    assert_int_equal(attempts(&w), 3);
    refuse(&w, 0, 3, "14");
    refuse(&w, 1, 1, "14");
    assert_int_equal(r.closed, 0);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void the_server_may_put_the_next_off_or_forbid_it(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    run(&w);
    script_refuse(&peer_of(&w, 0)->s, 1, "14", "grpc-retry-pushback-ms", "3000");
    say(&w, 0);
    pass(&w, 3 * SECOND - 1);
    assert_int_equal(attempts(&w), 1);
    pass(&w, 1);
    assert_int_equal(attempts(&w), 2);
    script_refuse(&peer_of(&w, 1)->s, 1, "14", "grpc-retry-pushback-ms", "-1");
    say(&w, 1);
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void without_a_pause_all_start_at_once(void **state)
{
    (void)state;
    static const char eager[] = "{\"methodConfig\":[{\"name\":[{}],\"hedgingPolicy\":{"
                                "\"maxAttempts\":3}}]}";
    struct world w;
    struct recorder r;
    ready(&w, eager);
    ask(&w, &r);
    run(&w);
    assert_int_equal(attempts(&w), 3);
    refuse(&w, 0, 1, "14"); /* and nothing is not fatal */
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void the_budget_ends_hedging(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    static const struct {
        size_t peer;
        uint32_t id;
    } failing[] = {{0, 1}, {1, 1}, {0, 3}, {1, 3}, {0, 5}};
    ready(&w, config);
    ask(&w, &r);
    for (size_t i = 0; i < OAK_COUNT_OF(failing); i++) { /* five tokens of ten */
        if (i == 3) {
            ended(&r, OAK_RPC_UNAVAILABLE);
            ask(&w, &r);
        }
        run(&w);
        refuse(&w, failing[i].peer, failing[i].id, "14");
    }
    ended(&r, OAK_RPC_UNAVAILABLE); /* a third attempt was allowed, but for the budget */
    assert_int_equal(stats(&w).throttled, 1);
    int before = attempts(&w);
    ask(&w, &r);
    pass(&w, 10 * SECOND);
    assert_int_equal(attempts(&w), before + 1);
    oak_rpc_call_cancel(r.call);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    world_close(&w);
}

static void a_hedge_takes_no_stream_that_is_not_free(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "a:1",
               OPTIONS{.service_config = config, .progress_timeout_ns = OAK_RPC_NEVER_NS});
    w.peers.streams = 1;
    ask(&w, &r);
    pass(&w, 5 * SECOND);
    assert_int_equal(attempts(&w), 1);
    assert_int_equal(stats(&w).hedges, 0);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void what_is_sent_goes_to_all_until_one_answers(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    send_text(r.call, "1");
    pass(&w, SECOND);
    send_text(r.call, "22");
    run(&w);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(script_heard(&peer_of(&w, i)->s, "DATA 1 6\n", NULL), 1);
        assert_int_equal(script_heard(&peer_of(&w, i)->s, "DATA 1 7\n", NULL), 1);
    }
    script_head(&peer_of(&w, 1)->s, 1);
    say(&w, 1);
    send_text(r.call, "333");
    run(&w);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "DATA 1 8\n", NULL), 0);
    assert_int_equal(script_heard(&peer_of(&w, 1)->s, "DATA 1 8\n", NULL), 1);
    script_tail(&peer_of(&w, 1)->s, 1, "0");
    say(&w, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void past_what_is_kept_one_of_them_is_chosen(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    pass(&w, SECOND);
    assert_int_equal(attempts(&w), 2);
    uint8_t *block = calloc(1, 1100000);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 1100000)), 0);
    free(block);
    run(&w);
    assert_int_equal(script_heard(&peer_of(&w, 1)->s, "RST_STREAM 1 8", NULL), 1);
    assert_true(script_heard(&peer_of(&w, 0)->s, "DATA 1 ", NULL) > 0);
    refuse(&w, 0, 1, "14");
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void cancelled_or_late_all_of_them_end(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    pass(&w, SECOND);
    oak_rpc_call_cancel(r.call);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(script_heard(&peer_of(&w, i)->s, "RST_STREAM 1 8", NULL), 1);
    }
    ask_with(&w, REQUEST{.timeout_ns = 3 * SECOND / 2}, &r);
    pass(&w, 3 * SECOND / 2);
    ended(&r, OAK_RPC_DEADLINE_EXCEEDED);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(script_heard(&peer_of(&w, i)->s, "RST_STREAM 3 8", NULL), 1);
    }
    world_close(&w);
}

static void what_was_refused_unseen_does_not_count(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, config);
    ask(&w, &r);
    run(&w);
    script_reset(&peer_of(&w, 0)->s, 1, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    assert_int_equal(heard(&w, 1, 1, NULL), 1);
    assert_int_equal(heard(&w, 1, 1, "previous"), 0);
    pass(&w, 20 * SECOND);
    assert_int_equal(attempts(&w), 4);
    answer(&w, 1, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_attempt_starts_beside_one_that_takes_long),
        cmocka_unit_test(one_that_answers_in_time_stays_alone),
        cmocka_unit_test(there_are_no_more_than_the_policy_allows),
        cmocka_unit_test(a_failure_that_is_not_fatal_brings_the_next_at_once),
        cmocka_unit_test(a_fatal_one_ends_all),
        cmocka_unit_test(others_go_on_when_the_last_allowed_one_has_failed),
        cmocka_unit_test(the_server_may_put_the_next_off_or_forbid_it),
        cmocka_unit_test(without_a_pause_all_start_at_once),
        cmocka_unit_test(the_budget_ends_hedging),
        cmocka_unit_test(a_hedge_takes_no_stream_that_is_not_free),
        cmocka_unit_test(what_is_sent_goes_to_all_until_one_answers),
        cmocka_unit_test(past_what_is_kept_one_of_them_is_chosen),
        cmocka_unit_test(cancelled_or_late_all_of_them_end),
        cmocka_unit_test(what_was_refused_unseen_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
