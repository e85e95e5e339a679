/* SPDX-License-Identifier: Apache-2.0 */
/* leases_test.c: what the book of leases takes for right, and each thing that it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check/check.h"

#define S 1000000000ull

static char what[200];

static struct lease_span span(uint64_t call_ns, uint64_t ret_ns)
{
    return (struct lease_span){.call_ns = call_ns, .ret_ns = ret_ns};
}

static bool promised(struct lease_book *b, int64_t ttl_s, uint64_t call_ns, uint64_t ret_ns)
{
    const struct lease_span at = span(call_ns, ret_ns);
    return lease_book_promised(b, 7, ttl_s, &at, what, sizeof(what));
}

static bool alive(struct lease_book *b, uint64_t call_ns, uint64_t ret_ns)
{
    const struct lease_span at = span(call_ns, ret_ns);
    return lease_book_alive(b, 7, &at, "a read", what, sizeof(what));
}

static bool gone(struct lease_book *b, uint64_t ret_ns)
{
    return lease_book_gone(b, 7, ret_ns, "a read", what, sizeof(what));
}

static bool left(struct lease_book *b, int64_t left_ns, uint64_t era)
{
    return lease_book_left(b, 7, left_ns, era, what, sizeof(what));
}

static void a_lease_lives_from_its_call_for_its_time(void **state)
{
    (void)state;
    struct lease_book b = {0};
    assert_true(promised(&b, 3, 10 * S, 12 * S)); /* up to 13, less what clocks round */
    assert_false(gone(&b, 13 * S - 1000000));
    assert_non_null(strstr(what, "ends 0 ms early: a read says so"));
    lease_book_fini(&b);
    assert_true(promised(&b, 3, 10 * S, 12 * S));
    assert_true(gone(&b, 13 * S));
    lease_book_fini(&b);
    /* An older renewal, whose answer comes late, takes nothing back. */
    assert_true(promised(&b, 3, 10 * S, 11 * S));
    assert_true(promised(&b, 3, 9 * S, 12 * S));
    assert_false(gone(&b, 12 * S + S / 2));
    lease_book_fini(&b);
}

static void a_fast_clock_makes_it_shorter(void **state)
{
    (void)state;
    struct lease_book b = {.fast_ppm = 250000};
    assert_true(promised(&b, 5, 10 * S, 10 * S)); /* 5 s of that clock are 4 */
    assert_false(gone(&b, 14 * S - 1000000));
    lease_book_fini(&b);
    b.fast_ppm = 250000;
    assert_true(promised(&b, 5, 10 * S, 10 * S));
    assert_true(gone(&b, 14 * S));
    lease_book_fini(&b);
}

static void whose_end_was_asked_for_may_go(void **state)
{
    (void)state;
    struct lease_book b = {0};
    assert_true(promised(&b, 3, 10 * S, 10 * S));
    lease_book_end_asked(&b, 7, 11 * S);
    assert_true(gone(&b, 11 * S));
    lease_book_fini(&b);
    /* Not before that. */
    assert_true(promised(&b, 3, 10 * S, 10 * S));
    lease_book_end_asked(&b, 7, 12 * S);
    assert_false(gone(&b, 11 * S));
    lease_book_fini(&b);
}

static void what_was_gone_does_not_come_back(void **state)
{
    (void)state;
    struct lease_book b = {0};
    assert_true(gone(&b, 20 * S));
    /* It was asked before that was known: at some moment of it, it may have lived. */
    assert_true(alive(&b, 20 * S, 21 * S));
    assert_false(alive(&b, 20 * S + 1, 21 * S));
    assert_non_null(strstr(what, "lives on: a read says so, 0 ms after"));
    assert_false(promised(&b, 3, 22 * S, 23 * S));
    lease_book_fini(&b);
}

static void what_is_left_is_bounded(void **state)
{
    (void)state;
    struct lease_book b = {.slack_ns = S};
    assert_true(left(&b, 100 * (int64_t)S, 0)); /* nobody knows what it was granted */
    assert_true(promised(&b, 3, 10 * S, 10 * S));
    assert_true(left(&b, 4 * (int64_t)S, 0));
    assert_false(left(&b, 4 * (int64_t)S + 1, 0));
    lease_book_fini(&b);
}

static void what_is_left_rises_with_another_leader_or_a_renewal_alone(void **state)
{
    (void)state;
    struct lease_book b = {.slack_ns = S};
    assert_true(promised(&b, 3, 10 * S, 10 * S));
    assert_true(left(&b, 2 * (int64_t)S, 5));
    assert_true(left(&b, 2 * (int64_t)S, 5));
    assert_false(left(&b, 2 * (int64_t)S + 1, 5));
    assert_true(left(&b, 3 * (int64_t)S, 6)); /* another leader */
    assert_true(left(&b, 4 * (int64_t)S, 0)); /* nobody knows which */
    assert_true(left(&b, 1 * (int64_t)S, 6));
    lease_book_renewing(&b, 7);
    assert_true(left(&b, 3 * (int64_t)S, 6));
    /* What was asked again on its way may renew it later: it is never held to that any more. */
    assert_true(left(&b, 4 * (int64_t)S, 6));
    lease_book_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_lives_from_its_call_for_its_time),
        cmocka_unit_test(a_fast_clock_makes_it_shorter),
        cmocka_unit_test(whose_end_was_asked_for_may_go),
        cmocka_unit_test(what_was_gone_does_not_come_back),
        cmocka_unit_test(what_is_left_is_bounded),
        cmocka_unit_test(what_is_left_rises_with_another_leader_or_a_renewal_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
