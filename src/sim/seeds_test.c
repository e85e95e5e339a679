/* SPDX-License-Identifier: Apache-2.0 */
/* seeds_test.c: fixed seeds pass, among them those that once found a bug; and a seed is all that a
 * run depends on.
 *
 * What a number means changes with the plan that is drawn from it (nemesis.c): a seed that found a
 * bug is kept for what it once did, the other numbers for their breadth. `oakum sim` goes on with
 * fresh ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/sim.h"

#if defined(OAK_SLOW_BUILD)
#define EVERY 6
#else
#define EVERY 1
#endif

static const uint64_t seeds[] = {
    2,       /* an installed snapshot's purge took the next one's file along */
    7100638, /* the same, with five nodes */
    7200235, /* the same, behind a second transfer to a node that had crashed within the first */
    1795743636967758, /* a core that was none by what one of it knew of the group */
    1795816296803545, /* a leader found more behind its commit than it would have taken itself */
    1795817057109807, /* a node went down in the moment of its start, with what that had read */
    1795817295552557, /* a disk was lost while one that was down knew a group of two */
    1795817312729335, /* a disk was put back while a change that others had was under way */
    1795822315580536, /* one said that it was whole, and did not know after a crash */
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    1001,
    1002,
    1003,
    1004,
    1005,
    1006,
    1007,
};

static void run(uint64_t seed, bool trace, struct oak_sim_report *report)
{
    const struct oak_sim_options options = {
        .seed = seed, .simulated_ms = 60000, .trace = trace, .alloc = oak_alloc_libc()};
    oak_sim_run(&options, report);
}

static void assert_same_report(const struct oak_sim_report *a, const struct oak_sim_report *b)
{
    size_t from = offsetof(struct oak_sim_report, nodes);
    assert_int_equal(a->verdict, b->verdict);
    assert_string_equal(a->what, b->what);
    assert_memory_equal((const uint8_t *)a + from, (const uint8_t *)b + from, sizeof(*a) - from);
}

static void every_fixed_seed_passes_and_gives_the_same_report_twice(void **state)
{
    (void)state;
    uint64_t elections = 0, crashes = 0, snapshots = 0, leased = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(seeds); i += EVERY) {
        struct oak_sim_report first, again;
        run(seeds[i], false, &first);
        if (first.verdict != OAK_SIM_PASSED) {
            fail_msg("oakum sim --seed %llu --trace: %s", (unsigned long long)seeds[i], first.what);
        }
        run(seeds[i], false, &again);
        assert_same_report(&first, &again);
        elections += first.elections;
        crashes += first.crashes;
        snapshots += first.snapshots;
        leased += first.reads_leased;
    }
    /* Runs in which nothing happens prove nothing. */
    assert_true(elections > OAK_COUNT_OF(seeds) / EVERY);
    assert_true(crashes > OAK_COUNT_OF(seeds) / EVERY);
    assert_true(snapshots > 0);
    assert_true(leased > OAK_COUNT_OF(seeds) / EVERY);
}

/* What a run prints with its trace on, as one string. */
static char *trace_of(uint64_t seed, struct oak_sim_report *report, size_t *size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    run(seed, true, report);
    fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    close(kept);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long end = ftell(file);
    assert_true(end > 0);
    *size = (size_t)end;
    char *text = malloc(*size + 1);
    assert_non_null(text);
    rewind(file);
    assert_int_equal(fread(text, 1, *size, file), *size);
    text[*size] = '\0';
    fclose(file);
    return text;
}

static void a_seed_gives_the_same_trace_byte_for_byte(void **state)
{
    (void)state;
    for (uint64_t seed = 30; seed < 33; seed++) {
        struct oak_sim_report first, again, quiet;
        size_t size = 0, size_again = 0;
        char *text = trace_of(seed, &first, &size);
        char *text_again = trace_of(seed, &again, &size_again);
        assert_int_equal(size, size_again);
        assert_string_equal(text, text_again);
        assert_non_null(strstr(text, " leads in term "));
        free(text);
        free(text_again);
        /* Looking changes nothing. */
        run(seed, false, &quiet);
        assert_same_report(&first, &again);
        assert_same_report(&first, &quiet);
    }
}

static void different_seeds_give_different_runs(void **state)
{
    (void)state;
    struct oak_sim_report a, b;
    run(40, false, &a);
    run(41, false, &b);
    assert_true(a.events != b.events);
}

/* What happens in a run is the same on any machine, with any compiler and optimisation. After a
 * change of the code, OAK_REWRITE=1 writes down what happens now. */
static void a_seed_is_the_same_run_on_any_machine(void **state)
{
    (void)state;
    static const char path[] = OAK_TESTDATA "/digests.txt";
    char text[16 * 64] = "", now[sizeof(text)] = "";
    size_t used = 0;
    for (uint64_t seed = 50; seed < 62; seed++) {
        struct oak_sim_report report;
        run(seed, false, &report);
        used += (size_t)snprintf(now + used, sizeof(now) - used, "seed %llu digest %016llx\n",
                                 (unsigned long long)seed, (unsigned long long)report.digest);
    }
    bool rewrite = getenv("OAK_REWRITE") != NULL;
    FILE *file = fopen(path, rewrite ? "w" : "r");
    assert_non_null(file);
    if (rewrite) {
        assert_int_equal(fwrite(now, 1, used, file), used);
    } else {
        (void)!fread(text, 1, sizeof(text) - 1, file);
        assert_string_equal(now, text);
    }
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fixed_seed_passes_and_gives_the_same_report_twice),
        cmocka_unit_test(a_seed_gives_the_same_trace_byte_for_byte),
        cmocka_unit_test(a_seed_is_the_same_run_on_any_machine),
        cmocka_unit_test(different_seeds_give_different_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
