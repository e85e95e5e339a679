/* SPDX-License-Identifier: Apache-2.0 */
/* shrink_test.c: a run that fails becomes a small one that fails in the same way, and the line that
 * is told repeats it.
 *
 * The runs are real ones. What fails is made up: a checker of our own speaks when faults of certain
 * kinds have come together; or the allocator of a run has no more memory, and an assertion ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/search.h"

#define SEEDS 200

static struct shrunken small;
static struct oak_sim_report report;

static struct oak_sim_options run_of(uint64_t seed)
{
    return (struct oak_sim_options){.seed = seed, .simulated_ms = 6000, .alloc = oak_alloc_libc()};
}

/* Made up: a crash and a pause are one too many; and a crash alone is another failure. */
static void both_try(const struct oak_sim_options *o, struct oak_sim_report *r)
{
    oak_sim_run(o, r);
    if (r->faults[OAK_SIM_CRASH] > 0) {
        bool both = r->faults[OAK_SIM_PAUSE] > 0;
        r->verdict = OAK_SIM_FAILED;
        snprintf(r->what, sizeof(r->what), "%s: 1 is too many", both ? "both" : "one");
    }
}

static bool is_both(void)
{
    return report.verdict == OAK_SIM_FAILED && strncmp(report.what, "both: ", 6) == 0;
}

/* The first seed that fails so, with some faults more than it takes. */
static struct oak_sim_options both_find(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct oak_sim_options o = run_of(seed);
        both_try(&o, &report);
        if (is_both() && report.fired_count > 4 && report.clients > 1) {
            return o;
        }
    }
    fail_msg("no seed has both");
    return run_of(0);
}

static void what_takes_two_faults_keeps_two(void **state)
{
    (void)state;
    const struct oak_sim_options o = both_find();
    const size_t fired = report.fired_count;
    assert_true(shrink_find(&o, both_try, &small));
    assert_in_range(small.tries, 1, 400);
    assert_int_equal(small.options.seed, o.seed);
    both_try(&small.options, &report);
    assert_true(is_both());
    assert_true(fired > 2);
    assert_int_equal(small.options.only_count, 2);
    assert_int_equal(report.fired_count, 2);
    assert_int_equal(small.options.clients, 1);
}

/* Made up: whatever commits anything is wrong at 3,000 ms of a clock that starts at 1,000. */
static void any_try(const struct oak_sim_options *o, struct oak_sim_report *r)
{
    oak_sim_run(o, r);
    if (r->commits > 0) {
        r->verdict = OAK_SIM_FAILED;
        r->failed_ms = 3000;
        snprintf(r->what, sizeof(r->what), "any: it has committed");
    }
}

static void what_takes_nothing_keeps_one_node_and_one_client(void **state)
{
    (void)state;
    const struct oak_sim_options o = both_find();
    assert_true(shrink_find(&o, any_try, &small));
    assert_int_equal(small.options.only_count, 0);
    assert_int_equal(small.options.nodes, 1);
    assert_int_equal(small.options.clients, 1);
    assert_int_equal(small.options.simulated_ms, 2001);
}

/* "a b c" as words. */
static int words_of(char *text, char **words, int most)
{
    int count = 0;
    for (char *at = text; *at != '\0' && count < most;) {
        words[count++] = at;
        at += strcspn(at, " ");
        if (*at == ' ') {
            *at++ = '\0';
        }
    }
    return count;
}

/* What `oakum sim` prints with these flags. */
static void printed(char *flags, char *out, size_t size)
{
    char *words[24] = {(char[]){"sim"}, (char[]){"--output"}, (char[]){"json"}};
    int count = 3 + words_of(flags, words + 3, 20);
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int before = dup(STDOUT_FILENO);
    assert_true(before >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    int code = oak_sim_main(count, words);
    fflush(stdout);
    (void)dup2(before, STDOUT_FILENO);
    close(before);
    rewind(file);
    out[fread(out, 1, size - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(code, 0); /* the made up checker is not there */
}

static void the_line_that_is_told_repeats_the_run(void **state)
{
    (void)state;
    const struct search search = {.bug = OAK_BUG_NONE};
    const struct oak_sim_options o = both_find();
    struct oak_buf flags = {0};
    char text[1024], digest[64], out[4096];
    assert_true(shrink_find(&o, both_try, &small));
    both_try(&small.options, &report);
    search_flags(&search, &small.options, &flags);
    assert_in_range(flags.size, 1, sizeof(text) - 1);
    snprintf(text, sizeof(text), "%.*s", (int)flags.size - 1, (const char *)flags.data + 1);
    oak_buf_fini(&flags);
    printed(text, out, sizeof(out));
    snprintf(digest, sizeof(digest), "\"digest\":\"%016llx\"", (unsigned long long)report.digest);
    assert_non_null(strstr(out, digest));
}

/* -- an assertion ------------------------------------------------------------------------------ */

/* Memory for the first entries that are committed, and no more. */
static void *scarce_resize(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return p == NULL ? malloc(size) : NULL;
}

static void an_assertion_that_takes_no_fault_keeps_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct oak_sim_options o = run_of(seed);
        oak_sim_run(&o, &report);
        if (report.commits < 1500 || report.fired_count < 2) {
            continue;
        }
        o.alloc.resize = scarce_resize;
        assert_true(shrink_find(&o, search_try, &small));
        struct oak_sim_options calm = o;
        calm.simulated_ms = small.options.simulated_ms;
        calm.only = small.only;
        search_try(&calm, &report);
        if (report.verdict != OAK_SIM_FAILED) {
            continue; /* in so short a time it takes one to commit as much */
        }
        assert_int_equal(small.options.only_count, 0);
        search_try(&small.options, &report);
        assert_int_equal(report.verdict, OAK_SIM_FAILED);
        assert_memory_equal(report.what, "an assertion", 12);
        return;
    }
    fail_msg("no seed commits as much");
}

static void what_does_not_fail_is_not_made_smaller(void **state)
{
    (void)state;
    const struct oak_sim_options o = run_of(1);
    assert_false(shrink_find(&o, oak_sim_run, &small));
    assert_int_equal(small.tries, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_two_faults_keeps_two),
        cmocka_unit_test(what_takes_nothing_keeps_one_node_and_one_client),
        cmocka_unit_test(the_line_that_is_told_repeats_the_run),
        cmocka_unit_test(an_assertion_that_takes_no_fault_keeps_none),
        cmocka_unit_test(what_does_not_fail_is_not_made_smaller),
    };
    return cmocka_run_group_tests_name("sim/shrink", tests, NULL, NULL);
}
