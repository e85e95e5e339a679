/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the commands `oakum sim` and `oakum zoo`.
 *
 * Output: the seeds before anything runs, a line for each run, and at the end the totals. A failure
 * prints what broke, the seed, and the command that replays it with its trace.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/sim.h"

struct arguments {
    uint64_t seed;
    bool seed_given;
    uint64_t seeds;   /* how many; 0: as many as `seconds` allow */
    uint64_t seconds; /* of real time */
    uint64_t simulated_ms;
    enum oak_bug bug;
    bool trace;
    bool json;
    bool quiet;
};

static const char usage[] =
    "Run a whole cluster on one thread, from one seed, with faults, and check what it does.\n"
    "\n"
    "Usage:\n"
    "  oakum sim [--seed N] [--seeds N] [--seconds N] [--simulated-seconds N] [--bug NAME] "
    "[--trace]\n"
    "            [--output text|json] [--quiet]\n"
    "\n"
    "Flags:\n"
    "  --seed N               the first seed; without it, one is taken from the clock and printed\n"
    "  --seeds N              run N seeds, one after the other (default 1 with --seed)\n"
    "  --seconds N            go on with further seeds for N seconds (default 10 without --seed)\n"
    "  --simulated-seconds N  length of the phase with faults (default 60)\n"
    "  --bug NAME             wake a deliberate bug (a build with -DOAK_ZOO=ON; `oakum zoo` lists "
    "them)\n"
    "  --trace                print what happens, line by line\n"
    "  --output FORM          text or json, a line for each run (default text)\n"
    "  --quiet                print only failures and totals\n"
    "  --help                 this text\n"
    "\n"
    "Ends at the first failure, with exit code 1 and the command that replays it.\n"
    "\n"
    "Example:\n"
    "  oakum sim --seed 42 --trace\n";

static bool number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static bool bug_named(const char *name, enum oak_bug *out)
{
    for (int i = OAK_BUG_NONE + 1; i < OAK_BUG_COUNT; i++) {
        if (strcmp(oak_bug_name((enum oak_bug)i), name) == 0) {
            *out = (enum oak_bug)i;
            return true;
        }
    }
    return false;
}

/* One option with its value. False: not understood. */
static bool option(struct arguments *a, const char *name, const char *value)
{
    uint64_t n = 0;
    if (strcmp(name, "--seed") == 0) {
        a->seed_given = true;
        return number(value, &a->seed);
    }
    if (strcmp(name, "--seeds") == 0) {
        return number(value, &a->seeds) && a->seeds > 0;
    }
    if (strcmp(name, "--seconds") == 0) {
        return number(value, &a->seconds) && a->seconds > 0;
    }
    if (strcmp(name, "--simulated-seconds") == 0) {
        a->simulated_ms = 0;
        bool good = number(value, &n) && n > 0 && n <= 86400;
        a->simulated_ms = n * 1000;
        return good;
    }
    if (strcmp(name, "--bug") == 0) {
        return bug_named(value, &a->bug);
    }
    if (strcmp(name, "--output") == 0) {
        a->json = strcmp(value, "json") == 0;
        return a->json || strcmp(value, "text") == 0;
    }
    return false;
}

/* 0: go on; 1: help was asked for; -1: bad usage, said. */
static int arguments_read(int argc, char *const *argv, struct arguments *a)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            a->trace = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            a->quiet = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 1;
        } else if (i + 1 < argc && option(a, argv[i], argv[i + 1])) {
            i++;
        } else {
            fprintf(stderr,
                    "oakum sim: %s is not understood, or its value is not; see oakum sim --help\n",
                    argv[i]);
            return -1;
        }
    }
#if !defined(OAK_ZOO)
    if (a->bug != OAK_BUG_NONE) {
        fprintf(stderr, "oakum sim: --bug needs a build with -DOAK_ZOO=ON (make zoo makes one)\n");
        return -1;
    }
#endif
    return 0;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void line_print(uint64_t seed, const struct oak_sim_report *r, bool json)
{
    const char *verdict = r->verdict == OAK_SIM_PASSED ? "passed" : "FAILED";
    if (json) {
        printf("{\"seed\":%" PRIu64 ",\"verdict\":\"%s\",\"nodes\":%" PRIu64 ",\"events\":%" PRIu64
               ",\"simulated_ms\":%" PRIu64 ",\"operations\":%" PRIu64 ",\"commits\":%" PRIu64
               ",\"crashes\":%" PRIu64 ",\"partitions\":%" PRIu64 ",\"pauses\":%" PRIu64
               ",\"elections\":%" PRIu64 ",\"snapshots\":%" PRIu64 ",\"snapshots_resumed\":%" PRIu64
               ",\"snapshots_rewound\":%" PRIu64 ",\"frames_damaged\":%" PRIu64 "}\n",
               seed, verdict, r->nodes, r->events, r->simulated_ms, r->operations, r->commits,
               r->crashes, r->partitions, r->pauses, r->elections, r->snapshots,
               r->snapshots_resumed, r->snapshots_rewound, r->frames_damaged);
        return;
    }
    printf("seed %" PRIu64 ": %s, %" PRIu64 " nodes, %.1f s, %" PRIu64 " operations, %" PRIu64
           " commits, %" PRIu64 " crashes, %" PRIu64 " partitions, %" PRIu64 " pauses, %" PRIu64
           " elections, %" PRIu64 " snapshots (%" PRIu64 " resumed, %" PRIu64 " rewound)\n",
           seed, verdict, r->nodes, (double)r->simulated_ms / 1000, r->operations, r->commits,
           r->crashes, r->partitions, r->pauses, r->elections, r->snapshots, r->snapshots_resumed,
           r->snapshots_rewound);
}

static void failure_print(uint64_t seed, const struct arguments *a, const struct oak_sim_report *r)
{
    fprintf(stderr, "FAILED  %s\nseed    %" PRIu64 "\nreplay  oakum sim --seed %" PRIu64, r->what,
            seed, seed);
    if (a->simulated_ms != 0) {
        fprintf(stderr, " --simulated-seconds %" PRIu64, a->simulated_ms / 1000);
    }
    if (a->bug != OAK_BUG_NONE) {
        fprintf(stderr, " --bug %s", oak_bug_name(a->bug));
    }
    fprintf(stderr, " --trace\nabout   docs/internals/simulator.md explains each line\n");
}

int oak_sim_main(int argc, char *const *argv)
{
    struct arguments a = {0};
    int read = arguments_read(argc, argv, &a);
    if (read != 0) {
        return read > 0 ? 0 : 2;
    }
    if (!a.seed_given) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        a.seed = (uint64_t)t.tv_sec * 1000003u + (uint64_t)t.tv_nsec;
    }
    uint64_t seeds = a.seeds != 0 ? a.seeds : a.seed_given && a.seconds == 0 ? 1 : UINT64_MAX;
    double limit = a.seconds != 0 ? (double)a.seconds : seeds == UINT64_MAX ? 10 : 1e18;
#if defined(OAK_ZOO)
    oak_bug_awake = a.bug;
#endif
    if (!a.json) {
        printf("seeds from %" PRIu64 "\n", a.seed);
        fflush(stdout);
    }
    double start = seconds_now();
    uint64_t passed = 0, failed = 0, simulated_ms = 0;
    for (uint64_t i = 0; i < seeds && seconds_now() - start < limit && failed == 0; i++) {
        const struct oak_sim_options options = {
            .seed = a.seed + i,
            .simulated_ms = a.simulated_ms,
            .trace = a.trace,
            .alloc = oak_alloc_libc(),
        };
        struct oak_sim_report report;
        oak_sim_run(&options, &report);
        simulated_ms += report.simulated_ms;
        passed += report.verdict == OAK_SIM_PASSED ? 1 : 0;
        failed += report.verdict == OAK_SIM_PASSED ? 0 : 1;
        if (!a.quiet || report.verdict == OAK_SIM_FAILED) {
            line_print(options.seed, &report, a.json);
        }
        if (report.verdict == OAK_SIM_FAILED) {
            failure_print(options.seed, &a, &report);
        }
    }
    double took = seconds_now() - start;
    if (!a.json) {
        printf("%.1f simulated hours in %.1f minutes: %.1f simulated hours a minute\n",
               (double)simulated_ms / 3.6e6, took / 60, (double)simulated_ms / 3.6e6 / (took / 60));
        printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    }
    return failed == 0 ? 0 : 1;
}
