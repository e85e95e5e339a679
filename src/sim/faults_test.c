/* SPDX-License-Identifier: Apache-2.0 */
/* faults_test.c: faults have numbers, and a run with some of them is still the same run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/faults.h"
#include "sim/internal.h"

static void a_number_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const uint32_t ids[] = {1, 4711, FAULT_ID(OAK_SIM_CHURN, 3), FAULT_ID(OAK_SIM_CRASH, 9)};
    for (size_t i = 0; i < OAK_COUNT_OF(ids); i++) {
        char text[FAULT_TEXT_MAX];
        fault_text(ids[i], text);
        const char *at = text;
        assert_int_equal(fault_parse(&at), ids[i]);
        assert_int_equal(*at, '\0');
    }
    static const char *const wrong[] = {"", "0", "x", "churn", "churn.", "churn.x", "3;4"};
    for (size_t i = 0; i < OAK_COUNT_OF(wrong); i++) {
        const char *at = wrong[i];
        assert_int_equal(fault_parse(&at), 0);
    }
}

static void run(const struct oak_sim_options *options, struct oak_sim_report *report)
{
    oak_sim_run(options, report);
    if (report->verdict != OAK_SIM_PASSED) {
        fail_msg("seed %llu: %s", (unsigned long long)options->seed, report->what);
    }
}

static void a_run_with_the_faults_that_it_had_is_the_same_run(void **state)
{
    (void)state;
    struct oak_sim_report *all = calloc(2, sizeof(*all));
    size_t fired = 0;
    for (uint64_t seed = 70; seed < 82; seed++) {
        struct oak_sim_options o = {.seed = seed, .simulated_ms = 20000, .alloc = oak_alloc_libc()};
        run(&o, &all[0]);
        o.only = all[0].fired;
        o.only_count = all[0].fired_count;
        run(&o, &all[1]);
        assert_int_equal(all[0].digest, all[1].digest);
        fired += all[0].fired_count;
    }
    assert_true(fired > 100);
    free(all);
}

static void faults_that_are_left_out_do_not_happen_and_the_others_do(void **state)
{
    (void)state;
    struct oak_sim_report *report = calloc(1, sizeof(*report));
    static const uint32_t none[1];
    struct oak_sim_options o = {
        .seed = 71, .simulated_ms = 10000, .only = none, .alloc = oak_alloc_libc()};
    run(&o, report);
    assert_int_equal(report->fired_count, 0);
    assert_int_equal(report->crashes, 0);
    free(report);
}

/* Every kind happens somewhere: a fault that is never drawn finds nothing. */
static void every_kind_of_fault_happens(void **state)
{
    (void)state;
    struct oak_sim_report *report = calloc(1, sizeof(*report));
    uint64_t counts[OAK_SIM_FAULTS] = {0};
    for (uint64_t seed = 1; seed <= 160; seed++) {
        const struct oak_sim_options o = {
            .seed = seed, .simulated_ms = 15000, .alloc = oak_alloc_libc()};
        run(&o, report);
        for (int i = 0; i < OAK_SIM_FAULTS; i++) {
            counts[i] += report->faults[i];
        }
    }
    for (int i = 0; i < OAK_SIM_FAULTS; i++) {
        if (counts[i] == 0) {
            fail_msg("%s never happened", oak_sim_fault_name((enum oak_sim_fault)i));
        }
    }
    free(report);
}

static void a_hundred_groups_share_a_log_through_crashes(void **state)
{
    (void)state;
    struct oak_sim_report *report = calloc(1, sizeof(*report));
    const struct oak_sim_options o = {.seed = 235,
                                      .simulated_ms = 3000,
                                      .nodes = 3,
                                      .groups = SIM_GROUPS_MAX,
                                      .alloc = oak_alloc_libc()};
    run(&o, report);
    assert_int_equal(report->groups, SIM_GROUPS_MAX);
    assert_true(report->elections >= SIM_GROUPS_MAX);
    free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_read_as_it_was_written),
        cmocka_unit_test(a_run_with_the_faults_that_it_had_is_the_same_run),
        cmocka_unit_test(faults_that_are_left_out_do_not_happen_and_the_others_do),
        cmocka_unit_test(every_kind_of_fault_happens),
        cmocka_unit_test(a_hundred_groups_share_a_log_through_crashes),
    };
    return cmocka_run_group_tests_name("sim/faults", tests, NULL, NULL);
}
