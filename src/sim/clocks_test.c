/* SPDX-License-Identifier: Apache-2.0 */
/* clocks_test.c: clocks that misbehave for a while do so, and within what the members are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/internal.h"

#define MILLION 1000000ull
/* As far as a strobe or a stop goes at the most. */
#define LONGEST_MS 10000

/* A machine with clocks, and nothing on it. */
struct stage {
    struct sim sim;
    struct oak_sim_options options;
    struct oak_sim_report report;
    struct oak_prng p;
};

static struct stage *stage_new(uint64_t seed, uint32_t error_ms, uint32_t drift_ppm)
{
    struct stage *st = calloc(1, sizeof(*st));
    assert_non_null(st);
    st->sim.options = &st->options;
    st->sim.report = &st->report;
    st->sim.leases.clock_error_ms = error_ms;
    st->sim.leases.drift_ppm = drift_ppm;
    world_init(&st->sim.world, seed, 1);
    world_boot(&st->sim.world, 0);
    st->sim.nodes[0] = (struct node){.sim = &st->sim, .id = 1, .up = true};
    oak_prng_init(&st->p, seed);
    return st;
}

static void stage_end(struct stage *st)
{
    world_fini(&st->sim.world);
    free(st);
}

static void begin(struct stage *st, sim_fault_fn *fault, enum oak_sim_fault kind)
{
    const struct fault f = {.id = 1, .kind = kind};
    uint64_t before = st->report.faults[kind];
    fault(&st->sim, &f, &st->p);
    assert_int_equal(st->report.faults[kind], before + 1);
}

static uint64_t wall(const struct stage *st)
{
    const struct oak_clock *c = &st->sim.world.machines[0].loop.clock;
    return c->wall_ns(c->user);
}

static uint64_t mono(const struct stage *st)
{
    const struct oak_clock *c = &st->sim.world.machines[0].loop.clock;
    return c->mono_ns(c->user);
}

/* What a member reads within the longest of them, each 0.1 ms. */
struct seen {
    uint64_t back;       /* its wall clock went back so often, */
    uint64_t stood_ms;   /* stood still for so long, */
    uint64_t farthest;   /* and jumped by so many ns at once */
    int64_t least, most; /* against the world's time */
};

static struct seen watch(struct stage *st)
{
    struct seen seen = {.least = INT64_MAX, .most = INT64_MIN};
    const uint64_t step = SIM_MS / 10;
    uint64_t stood = 0, last = wall(st), last_mono = mono(st);
    for (uint64_t t = 0; t < LONGEST_MS * SIM_MS; t += step) {
        st->sim.world.now_ns += step;
        uint64_t now = wall(st);
        uint64_t jump = now > last + step ? now - last - step : last + step - now;
        stood = now == last ? stood + step : 0;
        seen.back += now < last ? 1 : 0;
        seen.stood_ms = OAK_MAX(seen.stood_ms, stood / SIM_MS);
        seen.farthest = OAK_MAX(seen.farthest, jump);
        int64_t off = (int64_t)(now - st->sim.world.now_ns);
        seen.least = OAK_MIN(seen.least, off);
        seen.most = OAK_MAX(seen.most, off);
        assert_int_equal(mono(st), last_mono + step); /* its other clock knows nothing of it */
        last = now;
        last_mono += step;
    }
    return seen;
}

static void a_wall_clock_goes_forth_and_back_many_times_a_second(void **state)
{
    (void)state;
    uint64_t back = 0, farthest = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct stage *st = stage_new(seed, 0, 0);
        begin(st, sim__fault_strobe, OAK_SIM_STROBE);
        struct seen seen = watch(st), after = watch(st);
        back = OAK_MAX(back, seen.back);
        farthest = OAK_MAX(farthest, seen.farthest);
        assert_int_equal(after.back, 0);
        assert_int_equal(after.farthest, 0);
        stage_end(st);
    }
    assert_true(back > 1000);
    assert_true(farthest > 120 * 1000 * SIM_MS);
}

static void a_wall_clock_stands_still_and_is_right_again(void **state)
{
    (void)state;
    uint64_t longest = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct stage *st = stage_new(seed, 0, 0);
        uint64_t off = wall(st) - st->sim.world.now_ns;
        begin(st, sim__fault_freeze, OAK_SIM_FREEZE);
        struct seen seen = watch(st);
        assert_true(seen.stood_ms >= 499);
        assert_int_equal(seen.back, 0);
        longest = OAK_MAX(longest, seen.stood_ms);
        assert_int_equal(wall(st) - st->sim.world.now_ns, off);
        stage_end(st);
    }
    assert_true(longest > 5000);
}

static void what_is_known_of_a_wall_clock_stays_true(void **state)
{
    (void)state;
    const uint32_t error_ms = 40;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct stage *st = stage_new(seed, error_ms, 0);
        int64_t earliest = (int64_t)(wall(st) - st->sim.world.now_ns);
        bool strobes = seed % 2 == 0;
        begin(st, strobes ? sim__fault_strobe : sim__fault_freeze,
              strobes ? OAK_SIM_STROBE : OAK_SIM_FREEZE);
        struct seen seen = watch(st);
        assert_true(seen.least >= earliest);
        assert_true(seen.most <= earliest + 2 * (int64_t)(error_ms * SIM_MS));
        assert_true(strobes ? seen.back > 0 : seen.stood_ms >= 2ull * error_ms - 1);
        stage_end(st);
    }
}

static void the_end_of_all_faults_is_theirs(void **state)
{
    (void)state;
    struct stage *st = stage_new(1, 0, 0);
    begin(st, sim__fault_strobe, OAK_SIM_STROBE);
    begin(st, sim__fault_freeze, OAK_SIM_FREEZE);
    sim__clocks_heal(&st->sim);
    struct seen seen = watch(st);
    assert_int_equal(seen.stood_ms, 0);
    assert_int_equal(seen.farthest, 0);
    stage_end(st);
}

/* It rises by what the bound allows in each ms, and a timer never fires before its moment. */
static void a_rate_changes_within_the_bound(void **state)
{
    (void)state;
    const uint64_t drift = 200000;
    struct stage *st = stage_new(7, 0, (uint32_t)drift);
    const struct sim_clock *c = &st->sim.world.machines[0].clock;
    uint64_t slowest = UINT64_MAX, fastest = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t due = mono(st) + 500 * SIM_MS;
        begin(st, sim__fault_sway, OAK_SIM_SWAY);
        for (int ms = 0; ms < 100; ms++) {
            uint64_t last = mono(st);
            st->sim.world.now_ns += SIM_MS;
            uint64_t rose = mono(st) - last;
            assert_true(rose + 1 >= SIM_MS * (MILLION - drift) / MILLION);
            assert_true(rose <= SIM_MS * (MILLION + drift) / MILLION + 1);
            slowest = OAK_MIN(slowest, rose);
            fastest = OAK_MAX(fastest, rose);
        }
        uint64_t when = sim_clock_when(c, due);
        assert_true(sim_clock_mono(c, when) >= due && sim_clock_mono(c, when - 1) < due);
    }
    assert_true(slowest < SIM_MS && fastest > SIM_MS);
    stage_end(st);
}

struct alarm {
    struct oak_timer timer;
    uint64_t fired; /* by its clock */
    struct stage *stage;
};

static void alarm_fired(struct oak_timer *timer)
{
    struct alarm *a = OAK_CONTAINER_OF(timer, struct alarm, timer);
    a->fired = mono(a->stage);
}

static void a_timer_waits_for_a_clock_that_has_become_slower(void **state)
{
    (void)state;
    struct stage *st = stage_new(3, 0, 0);
    struct world *w = &st->sim.world;
    struct alarm a = {.timer.fire = alarm_fired, .stage = st};
    const struct oak_timers *timers = &w->machines[0].loop.timers;
    uint64_t due = mono(st) + 100 * SIM_MS, from = w->now_ns;
    timers->set(timers->user, &a.timer, due);
    sim_clock_rate(&w->machines[0].clock, w->now_ns, 0, 200000);
    while (a.fired == 0) {
        assert_true(world_step(w));
    }
    assert_true(a.fired >= due);
    assert_true(w->now_ns - from >= 125 * SIM_MS);
    stage_end(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wall_clock_goes_forth_and_back_many_times_a_second),
        cmocka_unit_test(a_wall_clock_stands_still_and_is_right_again),
        cmocka_unit_test(what_is_known_of_a_wall_clock_stays_true),
        cmocka_unit_test(the_end_of_all_faults_is_theirs),
        cmocka_unit_test(a_rate_changes_within_the_bound),
        cmocka_unit_test(a_timer_waits_for_a_clock_that_has_become_slower),
    };
    return cmocka_run_group_tests_name("sim/clocks", tests, NULL, NULL);
}
