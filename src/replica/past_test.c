/* SPDX-License-Identifier: Apache-2.0 */
/* past_test.c: what a member finds in its past, and what it doesn't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "replica/past.h"

/* Three runs: 101 ended in term 5, with a vote for 2 and a log up to 90; 102 in term 6, no vote,
 * up to 80; 103 is this one. */
static struct past three_runs(void)
{
    struct past p = {0};
    past_begin(&p, 101, &(struct past_run){0});
    past_begin(&p, 102, &(struct past_run){.term = 5, .vote = 2, .last = 90});
    past_begin(&p, 103, &(struct past_run){.term = 6, .last = 80});
    return p;
}

static bool covers(uint64_t number, uint64_t run, uint64_t term, uint64_t vote, uint64_t index)
{
    struct past p = three_runs();
    const struct oak_peer_memory told = {
        .number = number, .run = run, .term = term, .vote = vote, .index = index};
    return past_covers(&p, &told);
}

static void runs_are_numbered_and_know_how_the_one_before_ended(void **state)
{
    (void)state;
    struct past p = three_runs();
    assert_int_equal(p.run_count, 3);
    assert_int_equal(past_present(&p)->number, 3);
    assert_int_equal(past_present(&p)->run, 103);
    assert_int_equal(p.runs[0].last, 90);
    assert_int_equal(p.runs[1].term, 6);
}

static void what_is_remembered_no_further_than_the_end_of_its_run_is_covered(void **state)
{
    (void)state;
    assert_true(covers(0, 0, 0, 0, 0)); /* never heard of */
    assert_true(covers(1, 101, 5, 2, 90));
    assert_true(covers(1, 101, 5, 0, 3));
    assert_true(covers(1, 101, 4, 7, 1000)); /* of an older term all may have been cut */
    assert_true(covers(2, 102, 6, 0, 80));
    assert_true(covers(3, 103, 9, 9, 999)); /* of this very run */
}

static void a_later_term_another_vote_or_a_longer_log_was_forgotten(void **state)
{
    (void)state;
    assert_false(covers(1, 101, 5, 2, 91));
    assert_false(covers(1, 101, 5, 3, 90));
    assert_false(covers(1, 101, 6, 0, 1));
    assert_false(covers(2, 102, 6, 3, 80)); /* it has given a vote that it knows nothing of */
    assert_false(covers(2, 102, 6, 0, 81));
}

static void a_run_that_never_was_was_forgotten(void **state)
{
    (void)state;
    assert_false(covers(3, 999, 1, 0, 0));
    assert_false(covers(4, 104, 1, 0, 0));
    assert_false(covers(2, 999, 1, 0, 0));
}

static void a_log_that_was_damaged_is_not_held_against_it_but_its_term_is(void **state)
{
    (void)state;
    struct past p = {0};
    past_begin(&p, 101, &(struct past_run){0});
    past_begin(&p, 102, &(struct past_run){.term = 5, .last = PAST_ANY_INDEX});
    struct oak_peer_memory told = {.number = 1, .run = 101, .term = 5, .index = 1 << 20};
    assert_true(past_covers(&p, &told));
    told.term = 6;
    assert_false(past_covers(&p, &told));
}

static void runs_of_long_ago_are_not_judged(void **state)
{
    (void)state;
    struct past p = {0};
    for (uint64_t run = 1; run <= PAST_RUNS_MAX + 10; run++) {
        past_begin(&p, 100 + run, &(struct past_run){.term = 1});
    }
    assert_int_equal(p.run_count, PAST_RUNS_MAX);
    assert_int_equal(p.runs[0].number, 11);
    struct oak_peer_memory told = {.number = 10, .run = 999, .term = 70};
    assert_true(past_covers(&p, &told));
    told.number = 11;
    assert_false(past_covers(&p, &told));
    told.run = 111;
    told.term = 1;
    assert_true(past_covers(&p, &told));
}

static void a_memory_only_grows(void **state)
{
    (void)state;
    struct oak_peer_memory m = {.number = 1, .run = 101};
    assert_true(past_note(&m, 5, 0, 90));
    assert_false(past_note(&m, 5, 0, 80));
    assert_true(past_note(&m, 5, 2, 0));
    assert_false(past_note(&m, 5, 3, 0));
    assert_false(past_note(&m, 4, 9, 999));
    assert_true(m.term == 5 && m.vote == 2 && m.index == 90);
    assert_true(past_note(&m, 6, 0, 70));
    assert_true(m.term == 6 && m.vote == 0 && m.index == 70);
}

static struct past full_past(void)
{
    struct past p = {.seq = 17, .state = OAK_PEER_FORGOT, .voteless = true};
    for (uint64_t run = 1; run <= PAST_RUNS_MAX; run++) {
        past_begin(&p, run, &(struct past_run){.term = run, .vote = 3, .last = 10 * run});
    }
    for (uint64_t i = 0; i < OAK_PEERS_MAX; i++) {
        p.memories[i] = (struct past_memory){
            .id = i + 1, .at = {.number = i + 1, .run = i, .term = 4, .vote = 5, .index = 6}};
    }
    return p;
}

static void a_slot_comes_back_as_it_was_written(void **state)
{
    (void)state;
    uint8_t slot[PAST_SLOT_BYTES], again[PAST_SLOT_BYTES];
    struct past p = full_past(), out;
    past_encode(&p, slot);
    assert_true(past_decode(slot, &out));
    assert_int_equal(out.seq, 17);
    assert_int_equal(out.state, OAK_PEER_FORGOT);
    assert_true(out.voteless);
    assert_int_equal(out.run_count, PAST_RUNS_MAX);
    assert_int_equal(past_find(&out, 7)->at.run, 6);
    assert_int_equal(past_find(&out, 7)->saved.run, 6);
    assert_null(past_find(&out, 99));
    past_encode(&out, again);
    assert_memory_equal(slot, again, sizeof(slot));
}

static void every_flipped_bit_of_a_slot_is_noticed(void **state)
{
    (void)state;
    uint8_t slot[PAST_SLOT_BYTES];
    struct past p = full_past(), out;
    past_encode(&p, slot);
    for (size_t i = 0; i < sizeof(slot); i++) {
        slot[i] ^= (uint8_t)(1u << i % 8);
        assert_false(past_decode(slot, &out));
        slot[i] ^= (uint8_t)(1u << i % 8);
    }
    memset(slot, 0, sizeof(slot));
    assert_false(past_decode(slot, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_numbered_and_know_how_the_one_before_ended),
        cmocka_unit_test(what_is_remembered_no_further_than_the_end_of_its_run_is_covered),
        cmocka_unit_test(a_later_term_another_vote_or_a_longer_log_was_forgotten),
        cmocka_unit_test(a_run_that_never_was_was_forgotten),
        cmocka_unit_test(a_log_that_was_damaged_is_not_held_against_it_but_its_term_is),
        cmocka_unit_test(runs_of_long_ago_are_not_judged),
        cmocka_unit_test(a_memory_only_grows),
        cmocka_unit_test(a_slot_comes_back_as_it_was_written),
        cmocka_unit_test(every_flipped_bit_of_a_slot_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
