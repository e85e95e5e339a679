/* SPDX-License-Identifier: Apache-2.0 */
/* search.c: seeds one after the other, in one process or in several side by side.
 *
 * Output: the seeds before anything runs, a line for each run, and at the end the totals. A failure
 * ends the search; it prints what broke, the last lines that matter, and the command that replays
 * it with its trace. In a process of its own an assertion is a failure like another.
 */
#include "sim/search.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the processes share. */
struct shared {
    atomic_uint_fast64_t taken; /* seeds that were begun */
    atomic_uint_fast64_t passed, failed, simulated_ms, core_ms;
    struct {
        atomic_uint_fast64_t seed;
        struct oak_sim_report report; /* of the run that failed */
    } jobs[SEARCH_JOBS_MAX];
};

uint64_t search_seed(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000003u + (uint64_t)t.tv_nsec;
}

double search_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct oak_sim_options search_options(const struct search *a, uint64_t seed)
{
    static const uint32_t none[1];
    return (struct oak_sim_options){
        .seed = seed,
        .simulated_ms = a->simulated_ms,
        .trace = a->trace,
        .only = !a->only_given      ? NULL
                : a->only_count > 0 ? a->only
                                    : none,
        .only_count = a->only_count,
        .nodes = (int)a->nodes,
        .clients = (int)a->clients,
        .groups = (int)a->groups,
        .alloc = oak_alloc_libc(),
    };
}

void search_flags(const struct search *a, const struct oak_sim_options *o, struct oak_buf *out)
{
    (void)!oak_buf_printf(out, " --seed %" PRIu64, o->seed);
    if (o->simulated_ms != 0) {
        (void)!oak_buf_printf(out, " --until %" PRIu64, o->simulated_ms);
    }
    if (o->nodes != 0) {
        (void)!oak_buf_printf(out, " --nodes %d", o->nodes);
    }
    if (o->clients != 0) {
        (void)!oak_buf_printf(out, " --clients %d", o->clients);
    }
    if (o->groups != 0) {
        (void)!oak_buf_printf(out, " --groups %d", o->groups);
    }
    if (o->only != NULL) {
        (void)!oak_buf_printf(out, " --only-faults %s", o->only_count == 0 ? "none" : "");
    }
    for (size_t i = 0; i < o->only_count; i++) {
        char text[FAULT_TEXT_MAX];
        fault_text(o->only[i], text);
        (void)!oak_buf_printf(out, "%s%s", i > 0 ? "," : "", text);
    }
    if (a->bug != OAK_BUG_NONE) {
        (void)!oak_buf_printf(out, " --bug %s", oak_bug_name(a->bug));
    }
}

/* -- output ------------------------------------------------------------------------------------ */

static void json_print(uint64_t seed, const struct oak_sim_report *r)
{
    printf("{\"seed\":%" PRIu64 ",\"verdict\":\"%s\",\"digest\":\"%016" PRIx64
           "\",\"nodes\":%" PRIu64 ",\"clients\":%" PRIu64 ",\"groups\":%" PRIu64
           ",\"events\":%" PRIu64 ",\"simulated_ms\":%" PRIu64 ",\"core_ms\":%" PRIu64
           ",\"operations\":%" PRIu64 ",\"commits\":%" PRIu64 ",\"crashes\":%" PRIu64
           ",\"partitions\":%" PRIu64 ",\"pauses\":%" PRIu64 ",\"elections\":%" PRIu64
           ",\"snapshots\":%" PRIu64 ",\"snapshots_resumed\":%" PRIu64
           ",\"snapshots_rewound\":%" PRIu64 ",\"frames_damaged\":%" PRIu64 ",\"faults\":{",
           seed, r->verdict == OAK_SIM_PASSED ? "passed" : "FAILED", r->digest, r->nodes,
           r->clients, r->groups, r->events, r->simulated_ms, r->core_ms, r->operations, r->commits,
           r->crashes, r->partitions, r->pauses, r->elections, r->snapshots, r->snapshots_resumed,
           r->snapshots_rewound, r->frames_damaged);
    bool first = true;
    for (int i = 0; i < OAK_SIM_FAULTS; i++) {
        if (r->faults[i] > 0) {
            printf("%s\"%s\":%" PRIu64, first ? "" : ",", oak_sim_fault_name((enum oak_sim_fault)i),
                   r->faults[i]);
            first = false;
        }
    }
    printf("}}\n");
    fflush(stdout);
}

static void line_print(uint64_t seed, const struct oak_sim_report *r, bool json)
{
    if (json) {
        json_print(seed, r);
        return;
    }
    printf("seed %" PRIu64 ": %s, %" PRIu64 " nodes, %.1f s, %" PRIu64 " operations, %" PRIu64
           " commits, %" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64 " snapshots",
           seed, r->verdict == OAK_SIM_PASSED ? "passed" : "FAILED", r->nodes,
           (double)r->simulated_ms / 1000, r->operations, r->commits, r->elections, r->crashes,
           r->snapshots);
    const char *before = "; ";
    for (int i = 0; i < OAK_SIM_FAULTS; i++) {
        if (r->faults[i] > 0) {
            printf("%s%s %" PRIu64, before, oak_sim_fault_name((enum oak_sim_fault)i),
                   r->faults[i]);
            before = ", ";
        }
    }
    printf("\n");
    fflush(stdout);
}

static void failure_print(const struct search *a, uint64_t seed, const struct oak_sim_report *r)
{
    struct oak_buf flags = {0};
    const struct oak_sim_options o = search_options(a, seed);
    search_flags(a, &o, &flags);
    fflush(stdout);
    fprintf(stderr,
            "FAILED  %s\nseed    %" PRIu64 "\n%sreplay  oakum sim%.*s --trace\n"
            "about   docs/internals/simulator.md explains each line\n",
            r->what, seed, r->story, (int)flags.size, (const char *)flags.data);
    oak_buf_fini(&flags);
    if (a->shrink) {
        shrink_run(a, &o);
    }
}

/* -- running in processes of their own ------------------------------------------------------ */

void search_try(const struct oak_sim_options *o, struct oak_sim_report *report)
{
    struct oak_sim_report *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    OAK_ASSERT(shared != MAP_FAILED);
    fflush(stdout);
    pid_t child = fork();
    OAK_ASSERT_GE(child, 0);
    if (child == 0) {
        close(STDERR_FILENO); /* a failed assertion says so there */
        oak_sim_run(o, shared);
        _exit(0);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    *report = *shared;
    if (WIFSIGNALED(status)) {
        report->verdict = OAK_SIM_FAILED;
        snprintf(report->what, sizeof(report->what), "an assertion: signal %d", WTERMSIG(status));
    }
    (void)munmap(shared, sizeof(*shared));
}

/* -- running ----------------------------------------------------------------------------------- */

/* Seeds until there are no more, or one has failed. */
static void job_run(const struct search *a, struct shared *shared, size_t job, double start)
{
    double limit = a->seconds != 0 ? (double)a->seconds : 1e18;
    while (atomic_load(&shared->failed) == 0 && search_now() - start < limit) {
        uint64_t place = atomic_fetch_add(&shared->taken, 1);
        if (place >= a->seeds) {
            return;
        }
        const struct oak_sim_options o = search_options(a, a->seed + place);
        struct oak_sim_report *report = &shared->jobs[job].report;
        atomic_store(&shared->jobs[job].seed, o.seed);
        oak_sim_run(&o, report);
        atomic_fetch_add(&shared->simulated_ms, report->simulated_ms);
        if (report->verdict == OAK_SIM_PASSED) {
            atomic_fetch_add(&shared->passed, 1);
        } else {
            atomic_fetch_add(&shared->failed, 1);
        }
        if (!a->quiet || report->verdict == OAK_SIM_FAILED) {
            line_print(o.seed, report, a->json);
        }
    }
}

static void jobs_run(const struct search *a, struct shared *shared, size_t jobs, double start)
{
    pid_t children[SEARCH_JOBS_MAX];
    fflush(stdout);
    for (size_t i = 0; i < jobs; i++) {
        children[i] = fork();
        OAK_ASSERT_GE(children[i], 0);
        if (children[i] == 0) {
            job_run(a, shared, i, start);
            _exit(0);
        }
    }
    for (size_t i = 0; i < jobs; i++) {
        int status = 0;
        (void)waitpid(children[i], &status, 0);
        if (WIFSIGNALED(status)) {
            struct oak_sim_report *report = &shared->jobs[i].report;
            report->verdict = OAK_SIM_FAILED;
            snprintf(report->what, sizeof(report->what), "an assertion: signal %d",
                     WTERMSIG(status));
            atomic_fetch_add(&shared->failed, 1);
        }
    }
}

static size_t jobs_count(const struct search *a)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t jobs = a->jobs != 0 ? (size_t)a->jobs : processors > 0 ? (size_t)processors : 1;
    jobs = OAK_MIN(jobs, (size_t)SEARCH_JOBS_MAX);
    return a->trace || a->seeds == 1 ? 1 : (size_t)OAK_MIN((uint64_t)jobs, a->seeds);
}

int search_run(const struct search *a)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    OAK_ASSERT(shared != MAP_FAILED);
    size_t jobs = jobs_count(a);
    double start = search_now();
    if (!a->json) {
        printf("seeds from %" PRIu64 "\n", a->seed);
        fflush(stdout);
    }
    if (jobs == 1) {
        job_run(a, shared, 0, start);
    } else {
        jobs_run(a, shared, jobs, start);
    }
    double minutes = (search_now() - start) / 60;
    for (size_t i = 0; i < jobs; i++) {
        if (shared->jobs[i].report.verdict == OAK_SIM_FAILED) {
            failure_print(a, atomic_load(&shared->jobs[i].seed), &shared->jobs[i].report);
            break;
        }
    }
    uint64_t passed = atomic_load(&shared->passed), failed = atomic_load(&shared->failed);
    if (!a->json) {
        double hours = (double)atomic_load(&shared->simulated_ms) / 3.6e6;
        printf("%.1f simulated hours in %.1f minutes: %.1f simulated hours a minute, %.0f seeds a "
               "minute\n",
               hours, minutes, hours / minutes, (double)(passed + failed) / minutes);
        printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    }
    (void)munmap(shared, sizeof(*shared));
    return failed == 0 ? 0 : 1;
}
