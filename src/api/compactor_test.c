/* SPDX-License-Identifier: Apache-2.0 */
/* compactor_test.c: when history is compacted by itself, by a clock of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/compactor.h"

#define MINUTE (60 * 1000000000ull)
#define HOUR   (60 * MINUTE)

static struct api_compactor c;
static uint64_t now;

static void begin(enum oak_api_compaction mode, uint64_t retention, int64_t revision)
{
    now = 7 * HOUR;
    assert_int_equal(api__compactor_init(&c, mode, retention, now, revision), 0);
}

static int tear_down(void **state)
{
    (void)state;
    api__compactor_fini(&c);
    return 0;
}

static int64_t step(int64_t revision, bool leads)
{
    now += c.step_ns;
    return api__compactor_step(&c, now, revision, leads);
}

static void a_period_of_an_hour_is_noted_in_tenths(void **state)
{
    (void)state;
    begin(OAK_API_COMPACTION_PERIODIC, HOUR, 1);
    assert_true(c.step_ns == 6 * MINUTE);
    /* Revision 10 after one step, 20 after two, ... */
    for (int64_t i = 1; i <= 10; i++) {
        int64_t at = step(10 * i, true);
        /* After a whole hour, what was first noted. */
        assert_int_equal(at, i < 10 ? 0 : 1);
    }
    api__compactor_done(&c, now, 1);
    for (int64_t i = 11; i < 20; i++) {
        assert_int_equal(step(10 * i, true), 0);
    }
    /* An hour later: eleven notes are kept, the oldest of an hour ago. */
    assert_int_equal(step(200, true), 90);
}

static void a_long_period_is_waited_for_once_then_it_is_hourly(void **state)
{
    (void)state;
    begin(OAK_API_COMPACTION_PERIODIC, 3 * HOUR, 1);
    assert_true(c.step_ns == 6 * MINUTE);
    assert_int_equal(c.room, 31);
    for (int64_t i = 1; i < 30; i++) {
        assert_int_equal(step(i, true), 0);
    }
    assert_int_equal(step(30, true), 1);
    api__compactor_done(&c, now, 1);
    for (int64_t i = 31; i < 40; i++) {
        assert_int_equal(step(i, true), 0);
    }
    assert_int_equal(step(40, true), 9); /* thirty steps before this one's note */
}

static void who_does_not_lead_notes_and_leaves_it(void **state)
{
    (void)state;
    begin(OAK_API_COMPACTION_PERIODIC, 10 * MINUTE, 1);
    for (int64_t i = 1; i <= 15; i++) {
        assert_int_equal(step(i, false), 0);
    }
    assert_int_equal(step(16, true), 5);
}

static void what_failed_is_tried_with_the_next_step(void **state)
{
    (void)state;
    begin(OAK_API_COMPACTION_PERIODIC, 10 * MINUTE, 1);
    for (int64_t i = 1; i < 10; i++) {
        assert_int_equal(step(i, true), 0);
    }
    assert_int_equal(step(10, true), 1);
    assert_int_equal(step(11, true), 1);
    assert_int_equal(step(12, true), 1);
    assert_int_equal(step(13, true), 2);
}

static void nothing_new_is_nothing_to_compact(void **state)
{
    (void)state;
    begin(OAK_API_COMPACTION_PERIODIC, 10 * MINUTE, 5);
    for (int64_t i = 1; i < 10; i++) {
        (void)step(5, true);
    }
    assert_int_equal(step(5, true), 5);
    api__compactor_done(&c, now, 5);
    for (int64_t i = 0; i < 40; i++) {
        assert_int_equal(step(5, true), 0);
    }
}

static void so_many_revisions_are_kept(void **state)
{
    (void)state;
    begin(OAK_API_COMPACTION_REVISION, 100, 1);
    assert_true(c.step_ns == 5 * MINUTE);
    assert_int_equal(step(99, true), 0);
    assert_int_equal(step(100, true), 0);
    assert_int_equal(step(101, false), 0);
    assert_int_equal(step(101, true), 1);
    api__compactor_done(&c, now, 1);
    assert_int_equal(step(101, true), 0);
    assert_int_equal(step(250, true), 150);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_period_of_an_hour_is_noted_in_tenths),
        T(a_long_period_is_waited_for_once_then_it_is_hourly),
        T(who_does_not_lead_notes_and_leaves_it),
        T(what_failed_is_tried_with_the_next_step),
        T(nothing_new_is_nothing_to_compact),
        T(so_many_revisions_are_kept),
    };
    return cmocka_run_group_tests_name("compactor", tests, NULL, NULL);
}
