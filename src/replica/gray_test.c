/* SPDX-License-Identifier: Apache-2.0 */
/* gray_test.c: traces of measures, and what a leader makes of them. Time here is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "replica/gray.h"

#define SECOND 1000000000ull
#define MS     1000u

struct trace {
    struct gray gray;
    struct gray_view view;
    struct gray_follower followers[4];
    bool silent;
};

static void trace_init(struct trace *t, size_t followers, uint64_t own_us, uint64_t others_us)
{
    *t = (struct trace){0};
    t->view = (struct gray_view){.now_ns = 9 * SECOND,
                                 .stuck_ns = SECOND,
                                 .own = {.sync_us = own_us},
                                 .followers = t->followers,
                                 .count = followers};
    for (size_t i = 0; i < followers; i++) {
        t->followers[i] =
            (struct gray_follower){.id = i + 2, .load = {.sync_us = others_us}, .fit = true};
    }
}

/* Until it hands over or the time is up; `*when` is what it took. */
static uint64_t trace_run(struct trace *t, uint64_t ns, uint64_t *when)
{
    uint64_t begin = t->view.now_ns, to = 0;
    while (to == 0 && t->view.now_ns < begin + ns) {
        t->view.now_ns += SECOND / 40;
        for (size_t i = 0; i < t->view.count && !t->silent; i++) {
            t->followers[i].told_ns = t->view.now_ns;
        }
        to = gray_decide(&t->gray, &t->view);
    }
    *when = t->view.now_ns - begin;
    return to;
}

static void a_slow_leader_lets_the_best_follower_lead(void **state)
{
    (void)state;
    struct trace t;
    uint64_t when;
    trace_init(&t, 2, 100 * MS, 5 * MS);
    t.followers[1].load.sync_us = 3 * MS;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 3);
    assert_in_range(when, 3 * SECOND, 9 * SECOND);
    /* Its loop counts as its disk does. */
    trace_init(&t, 2, 2 * MS, 2 * MS);
    t.view.own.lag_us = 200 * MS;
    t.followers[0].load.lag_us = 1 * MS;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 3);
}

static void nobody_moves_when_all_are_as_slow(void **state)
{
    (void)state;
    struct trace t;
    uint64_t when;
    trace_init(&t, 4, 500 * MS, 400 * MS);
    assert_int_equal(trace_run(&t, 600 * SECOND, &when), 0);
    /* Four times as slow, and still fast. */
    trace_init(&t, 2, 15 * MS, 1 * MS);
    assert_int_equal(trace_run(&t, 600 * SECOND, &when), 0);
    /* One fast follower of four is no reason. */
    trace_init(&t, 4, 500 * MS, 400 * MS);
    t.followers[0].load.sync_us = 1 * MS;
    assert_int_equal(trace_run(&t, 600 * SECOND, &when), 0);
}

static void a_short_trouble_passes(void **state)
{
    (void)state;
    struct trace t;
    uint64_t when;
    trace_init(&t, 2, 2 * MS, 2 * MS);
    assert_int_equal(trace_run(&t, 10 * SECOND, &when), 0);
    for (int i = 0; i < 20; i++) {
        t.view.own.sync_us = 300 * MS;
        assert_int_equal(trace_run(&t, 2 * SECOND, &when), 0);
        t.view.own.sync_us = 2 * MS;
        assert_int_equal(trace_run(&t, SECOND / 2, &when), 0);
    }
}

static void only_who_is_fit_told_it_lately_and_wants_to_may_lead(void **state)
{
    (void)state;
    struct trace t;
    uint64_t when;
    trace_init(&t, 2, 100 * MS, 5 * MS);
    t.followers[0].fit = false;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 3);
    trace_init(&t, 2, 100 * MS, 5 * MS);
    t.followers[1].load.weary = true;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 2);
    trace_init(&t, 2, 100 * MS, 5 * MS);
    t.silent = true;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 0);
    t.followers[0].told_ns = 1; /* long ago */
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 0);
    trace_init(&t, 0, 100 * MS, 5 * MS);
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 0);
}

static void a_disk_that_hangs_is_left_at_once(void **state)
{
    (void)state;
    struct trace t;
    uint64_t when;
    trace_init(&t, 2, 1100 * MS, 2 * MS);
    t.view.away_ns = 1100 * 1000000ull;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 2);
    assert_int_equal(when, SECOND / 40);
    /* But not when everybody's does. */
    trace_init(&t, 2, 1100 * MS, 1000 * MS);
    t.view.away_ns = 1100 * 1000000ull;
    assert_int_equal(trace_run(&t, 60 * SECOND, &when), 0);
}

static void handing_over_again_takes_longer_each_time(void **state)
{
    (void)state;
    struct trace t;
    uint64_t when, before = 0;
    trace_init(&t, 2, 100 * MS, 5 * MS);
    (void)trace_run(&t, 60 * SECOND, &when);
    for (int i = 0; i < 5; i++) {
        gray_rest(&t.gray); /* another led, and it is back at once */
        assert_int_equal(trace_run(&t, 3600 * SECOND, &when), 2);
        assert_true(when > before * 15 / 10);
        before = when;
    }
    assert_true(before >= 400 * SECOND);
}

static void the_meter_sees_what_is_not_back_yet(void **state)
{
    (void)state;
    struct gray_meter m = {0};
    for (uint64_t token = 1; token <= 50; token++) {
        gray_sync_begin(&m, token, token * SECOND);
        gray_sync_begin(&m, token + 100, token * SECOND + 1); /* gathers meanwhile */
        gray_sync_end(&m, token - 1, token * SECOND + 2);     /* an older one: not this */
        gray_sync_end(&m, token, token * SECOND + 8000000);
    }
    struct gray_load load = gray_load_of(&m, 60 * SECOND);
    assert_in_range(load.sync_us, 7900, 8000);
    gray_sync_begin(&m, 200, 60 * SECOND);
    load = gray_load_of(&m, 63 * SECOND);
    assert_int_equal(load.sync_us, 3000 * MS);
    gray_tick(&m, 40 * 1000000ull);
    load = gray_load_of(&m, 63 * SECOND);
    assert_int_equal(load.lag_us, 10 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_leader_lets_the_best_follower_lead),
        cmocka_unit_test(nobody_moves_when_all_are_as_slow),
        cmocka_unit_test(a_short_trouble_passes),
        cmocka_unit_test(only_who_is_fit_told_it_lately_and_wants_to_may_lead),
        cmocka_unit_test(a_disk_that_hangs_is_left_at_once),
        cmocka_unit_test(handing_over_again_takes_longer_each_time),
        cmocka_unit_test(the_meter_sees_what_is_not_back_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
