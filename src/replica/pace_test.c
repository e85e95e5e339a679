/* SPDX-License-Identifier: Apache-2.0 */
/* pace_test.c: clients that want more than a follower takes in, and what the pace makes of it.
 * Time here is a number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "replica/pace.h"

#define SECOND      1000000000ull
#define TICK        (SECOND / 40)
#define ENTRY_BYTES 936 /* 1000 as the pace counts it */
#define HELD        20000

/* A leader, two to four followers at the end of the log, and the last one, which takes in `follows`
 * entries a second. Clients want `wanted` entries a second. */
struct group {
    struct pace pace;
    uint64_t now_ns;
    double last, has; /* entries */
    double wanted, follows;
    struct pace_follower followers[4];
    size_t count;
    double most; /* the largest gap */
    uint64_t on_ns;
};

static void group_init(struct group *g, size_t followers, double wanted, double follows)
{
    *g = (struct group){.now_ns = 5 * SECOND, .wanted = wanted, .follows = follows};
    g->count = followers;
    for (size_t i = 0; i < followers; i++) {
        g->followers[i] = (struct pace_follower){.id = i + 2, .voter = true, .active = true};
    }
}

/* Returns the entries that clients had proposed. */
static double group_run(struct group *g, uint64_t ns)
{
    double before = g->last;
    for (uint64_t until = g->now_ns + ns; g->now_ns < until; g->now_ns += TICK) {
        double wants = g->wanted / 40;
        while (wants >= 1 && pace_admit(&g->pace, g->now_ns, ENTRY_BYTES)) {
            wants--;
            g->last++;
        }
        double takes = g->follows / 40;
        g->has = g->has + takes > g->last ? g->last : g->has + takes;
        g->most = g->last - g->has > g->most ? g->last - g->has : g->most;
        for (size_t i = 0; i < g->count; i++) {
            struct pace_follower *f = &g->followers[i];
            f->has = (uint64_t)(i + 1 == g->count ? g->has : g->last);
            f->progress = f->has;
        }
        const struct pace_view view = {
            .now_ns = g->now_ns,
            .last = (uint64_t)g->last,
            .log_bytes = HELD * ENTRY_BYTES,
            .log_entries = HELD,
            .held_bytes = SIZE_MAX / 4096,
            .held_entries = HELD,
            .followers = g->followers,
            .count = g->count,
        };
        pace_look(&g->pace, &view);
        g->on_ns += g->pace.laggard != 0 ? TICK : 0;
    }
    return g->last - before;
}

static void nobody_is_slowed_while_all_follow(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 2, 10000, 11000);
    assert_true(group_run(&g, 60 * SECOND) >= 599000);
    assert_int_equal(g.on_ns, 0);
    assert_int_equal(g.pace.delayed, 0);
}

static void a_follower_that_takes_half_catches_up_within_what_is_held(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 2, 10000, 5000);
    double done = group_run(&g, 120 * SECOND);
    assert_true(g.most < HELD);
    assert_true(g.on_ns > 0);
    /* It takes all that it can, nearly. */
    assert_true(done > 0.8 * 5000 * 120);
    assert_true(g.pace.delayed > 0);
}

static void in_a_burst_nobody_is_slowed_when_the_gap_shrinks_by_itself(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 2, 4000, 5000);
    g.last = 0.45 * HELD;
    (void)group_run(&g, 1 * SECOND); /* noted */
    g.last += 0.2 * HELD;
    g.has += 2000;
    (void)group_run(&g, SECOND / 2);
    uint64_t on = g.on_ns;
    (void)group_run(&g, 60 * SECOND);
    assert_true(g.on_ns <= on + 10 * SECOND);
    assert_int_equal(g.pace.laggard, 0);
    assert_true(g.last - g.has < 100);
}

static void a_dead_or_stuck_follower_is_not_waited_for(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 2, 10000, 0);
    assert_true(group_run(&g, 60 * SECOND) > 0.9 * 10000 * 60);
    group_init(&g, 2, 10000, 5000);
    g.followers[1].active = false;
    assert_true(group_run(&g, 60 * SECOND) >= 599000);
    assert_int_equal(g.on_ns, 0);
    /* One that stops getting on while it is waited for: three seconds later it isn't. */
    group_init(&g, 2, 10000, 5000);
    (void)group_run(&g, 4 * SECOND);
    assert_int_equal(g.pace.laggard, 3);
    g.follows = 0;
    (void)group_run(&g, 4 * SECOND);
    assert_int_equal(g.pace.laggard, 0);
}

static void clients_keep_their_floor_and_patience_ends(void **state)
{
    (void)state;
    struct group g;
    /* Next to hopeless, and the only one to lose. */
    group_init(&g, 2, 10000, 100);
    (void)group_run(&g, 10 * SECOND);
    assert_int_equal(g.pace.laggard, 3);
    double done = group_run(&g, 20 * SECOND);
    assert_true(done >= 0.9 * 1000 * 20 && done < 4000 * 20);
    (void)group_run(&g, 60 * SECOND);
    assert_int_equal(g.pace.laggard, 0);
    assert_true(group_run(&g, 500 * SECOND) >= 0.99 * 10000 * 500);
    /* Later it is tried again. */
    (void)group_run(&g, 120 * SECOND);
    assert_int_equal(g.pace.laggard, 3);
}

static void with_voters_to_spare_clients_keep_half(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 4, 10000, 100);
    (void)group_run(&g, 10 * SECOND);
    assert_int_equal(g.pace.laggard, 5);
    assert_true(group_run(&g, 20 * SECOND) >= 0.9 * 5000 * 20);
    /* A learner costs nothing to lose either. */
    group_init(&g, 2, 10000, 100);
    g.followers[1].voter = false;
    (void)group_run(&g, 10 * SECOND);
    assert_int_equal(g.pace.laggard, 3);
    assert_true(group_run(&g, 20 * SECOND) >= 0.9 * 5000 * 20);
}

/* Nothing is known yet of what clients want, nor whether the follower gets on at all. */
static void a_leader_just_elected_measures_first(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 2, 10000, 5000);
    g.last = 0.9 * HELD;
    (void)group_run(&g, 2 * SECOND);
    assert_int_equal(g.on_ns, 0);
    (void)group_run(&g, 1 * SECOND);
    assert_int_equal(g.pace.laggard, 3);
    assert_true(g.pace.peak >= 9000000);
}

static void a_leader_that_steps_down_forgets(void **state)
{
    (void)state;
    struct group g;
    group_init(&g, 2, 10000, 3000);
    (void)group_run(&g, 5 * SECOND);
    assert_int_equal(g.pace.laggard, 3);
    uint64_t delayed = g.pace.delayed;
    pace_reset(&g.pace);
    assert_int_equal(g.pace.laggard, 0);
    assert_int_equal(g.pace.delayed, delayed);
    assert_true(pace_admit(&g.pace, g.now_ns, 1000000000));
}

/* However often it is asked, what a second brings is the same. */
static void the_bucket_loses_nothing_to_rounding(void **state)
{
    (void)state;
    struct pace p = {.laggard = 2, .rate = 40000, .filled_ns = 1000};
    uint64_t admitted = 0;
    for (uint64_t now = 1000; now < 10 * SECOND; now += 7001) {
        admitted += pace_admit(&p, now, ENTRY_BYTES) ? 1 : 0;
    }
    assert_in_range(admitted, 392, 406);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_slowed_while_all_follow),
        cmocka_unit_test(a_follower_that_takes_half_catches_up_within_what_is_held),
        cmocka_unit_test(in_a_burst_nobody_is_slowed_when_the_gap_shrinks_by_itself),
        cmocka_unit_test(a_dead_or_stuck_follower_is_not_waited_for),
        cmocka_unit_test(clients_keep_their_floor_and_patience_ends),
        cmocka_unit_test(with_voters_to_spare_clients_keep_half),
        cmocka_unit_test(a_leader_just_elected_measures_first),
        cmocka_unit_test(a_leader_that_steps_down_forgets),
        cmocka_unit_test(the_bucket_loses_nothing_to_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
