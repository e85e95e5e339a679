/* SPDX-License-Identifier: Apache-2.0 */
/* chaos.h: a cluster of real processes that is broken on purpose, and judged.
 *
 *     struct oak_chaos_options o = {.program = "bin/oakum", .nodes = 5, .seconds = 600, .seed = 7,
 *                                   .kinds = OAK_CHAOS_EVERYTHING, .report_dir = "report"};
 *     struct oak_chaos_report report;
 *     if (oak_chaos_run(&o, &report, &e) == 0) {
 *         ... report.violation_count == 0: passed ...
 *     }
 *
 * The seed decides which faults come, when and how hard; what the processes make of them is theirs.
 * docs/internals/chaos.md has the faults and the checks.
 *
 * Threads: one, the caller's; it is moved to a network namespace for the time of the run.
 */
#ifndef OAK_CHAOS_H
#define OAK_CHAOS_H

#include "base/base.h"

enum oak_chaos_kind {
    OAK_CHAOS_KILL,
    OAK_CHAOS_KILL_ALL,
    OAK_CHAOS_STOP,
    OAK_CHAOS_PAUSE,
    OAK_CHAOS_FULL_DISK,
    OAK_CHAOS_DISK_ERROR,
    OAK_CHAOS_SLOW_DISK,
    OAK_CHAOS_HALVES,
    OAK_CHAOS_ISOLATE,
    OAK_CHAOS_ONE_WAY,
    OAK_CHAOS_BRIDGE,
    OAK_CHAOS_RING,
    OAK_CHAOS_LOSS,
    OAK_CHAOS_DELAY,
    OAK_CHAOS_CLOCK_JUMP,
    OAK_CHAOS_CLOCK_DRIFT,
    OAK_CHAOS_KINDS,
};
#define OAK_CHAOS_EVERYTHING ((UINT32_C(1) << OAK_CHAOS_KINDS) - 1)

/* "partition-ring", and what it is. */
const char *oak_chaos_kind_name(enum oak_chaos_kind kind);
const char *oak_chaos_kind_text(enum oak_chaos_kind kind);
/* "kill,pause,partition": names, and "partition" for all shapes, as bits. OAK_EINVAL names the one
 * that is none. */
OAK_MUST_USE int oak_chaos_kinds_read(const char *text, uint32_t *out, struct oak_errbuf *e);

#define OAK_CHAOS_NODES_MAX   7
#define OAK_CHAOS_SECONDS_MAX 86400
#define OAK_CHAOS_EXTRA_MAX   32

/* How far a run is, about once a second. */
struct oak_chaos_progress {
    uint64_t seconds;
    uint64_t faults;
    uint64_t operations;
    const char *now; /* what is broken now, in words; "" for nothing */
};

struct oak_chaos_options {
    const char *program; /* the server */
    uint64_t nodes;      /* 1 to OAK_CHAOS_NODES_MAX */
    uint64_t seconds;    /* of faults */
    uint64_t seed;
    uint32_t kinds; /* bits */
    bool loopback;  /* do not try namespaces */
    const char *report_dir;
    char *const *extra; /* further flags for every server, NULL-ended; NULL for none */
    const char *bug;    /* a zoo build's: awake in every server; NULL for none */
    void (*progress)(void *user, const struct oak_chaos_progress *progress); /* NULL: silent */
    void *user;
};

#define OAK_CHAOS_VIOLATIONS_MAX 16

struct oak_chaos_report {
    uint64_t seed;
    size_t violation_count;
    char violations[OAK_CHAOS_VIOLATIONS_MAX][1024]; /* the first ones */
    bool interrupted;                                /* by a signal: judged up to there */
    bool namespaces;
    char left_out[1024]; /* faults that could not be had here, and why; "" when none */
    double seconds;
    uint64_t faults[OAK_CHAOS_KINDS];
    uint64_t fault_count;
    uint64_t kind_count;
    uint64_t rounds;
    uint64_t operations;         /* with a known end */
    uint64_t unknown;            /* without */
    uint64_t serializable_reads; /* that were checked */
    uint64_t keys;
    uint64_t undecided;           /* keys whose history was too tangled to judge */
    uint64_t terms;               /* that had a leader */
    uint64_t ended;               /* processes that ended themselves as a fault demands */
    uint64_t longest_gap_ms;      /* between two acknowledged writes */
    uint64_t slowest_recovery_ms; /* from the end of a round's faults until every node answered */
    char data_dir[512];           /* kept because of a violation; "" when removed */
    char timeline[512];           /* the picture */
};

/* 0: it ran, and the report says what came of it. Else nothing could be run, and `e` says why. */
OAK_MUST_USE int oak_chaos_run(const struct oak_chaos_options *options,
                               struct oak_chaos_report *report, struct oak_errbuf *e);

#endif
