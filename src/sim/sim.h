/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h: a whole cluster on one thread, from one seed.
 *
 * The simulator runs the real code of replica, raft, journal, wal, snap, kv, peer and the memory
 * store of every node; it answers port.h itself: a virtual clock, a disk that loses what was not
 * synced, a network that loses, repeats, delays and reorders. Everything that happens is drawn from
 * the seed, so that a failure is repeated by its number alone. docs/internals/simulator.md explains
 * the output.
 *
 * A run has phases. While everything breaks, nothing wrong may happen (safety). Then a majority
 * that is connected must lead and answer within a bound, whatever the rest does. Then all faults
 * end, and within a bound every node must catch up and every client be answered (liveness).
 *
 * Threads: one. Every simulation is an object of its own; several may run in one process.
 */
#ifndef OAK_SIM_H
#define OAK_SIM_H

#include "base/base.h"
#include "base/zoo.h"

/* Kinds of faults: faults.def. */
enum oak_sim_fault {
#define X(NAME, name, percent, low, high, text) OAK_SIM_##NAME,
#include "sim/faults.def"
#undef X
    OAK_SIM_FAULTS,
};

struct oak_sim_options {
    uint64_t seed;
    uint64_t simulated_ms; /* of the first phase; 0: 60 s */
    bool trace;            /* print each event that matters */
    /* To repeat a run with less of it; 0 and NULL: all of it. */
    const uint32_t *only; /* numbers of the faults that may happen */
    size_t only_count;
    int nodes;
    int clients;
    int groups;
    struct oak_alloc alloc;
};

enum oak_sim_verdict {
    OAK_SIM_PASSED,
    OAK_SIM_FAILED, /* a checker spoke */
};

/* Faults that are remembered by their numbers. */
#define OAK_SIM_FIRED_MAX 4096
#define OAK_SIM_STORY_MAX 8192

struct oak_sim_report {
    enum oak_sim_verdict verdict;
    char what[512];  /* what broke; "" when nothing did */
    uint64_t digest; /* of all that happened: the same on any machine */
    uint64_t nodes, clients, groups;
    uint64_t events;       /* steps of the simulation */
    uint64_t simulated_ms; /* all phases */
    uint64_t failed_ms;    /* when it broke */
    uint64_t operations;   /* of clients, with a known end */
    uint64_t commits;      /* highest index applied, of all groups together */
    uint64_t crashes, partitions, pauses, elections, snapshots;
    uint64_t snapshots_resumed; /* by a receiver that had crashed in it */
    uint64_t snapshots_rewound; /* a sender went back to what had been lost */
    uint64_t frames_lost, frames_repeated, frames_damaged, writes_lost;
    uint64_t reads_leased, reads_inherited; /* answered without a round */
    uint64_t core_ms; /* how long a connected majority took to lead and answer */
    uint64_t faults[OAK_SIM_FAULTS];
    uint32_t fired[OAK_SIM_FIRED_MAX];
    uint8_t fired_kinds[OAK_SIM_FIRED_MAX]; /* enum oak_sim_fault */
    size_t fired_count;
    char story[OAK_SIM_STORY_MAX]; /* a failed run's last lines */
};

/* Has the run of that seed faults of this kind, by its plan? It is not run. */
bool oak_sim_has(const struct oak_sim_options *options, enum oak_sim_fault kind);
/* Do clients hold leases in it? */
bool oak_sim_has_lessees(const struct oak_sim_options *options);
/* Are there users, whose permissions come and go? */
bool oak_sim_has_guests(const struct oak_sim_options *options);
/* Run one seed to its end. */
void oak_sim_run(const struct oak_sim_options *options, struct oak_sim_report *report);

const char *oak_sim_fault_name(enum oak_sim_fault fault);
const char *oak_sim_fault_text(enum oak_sim_fault fault);

/* `oakum sim`: argv[0] is "sim"; see --help. The exit code: 0 all passed, 1 a seed failed, 2 bad
 * usage. */
int oak_sim_main(int argc, char *const *argv);
/* `oakum zoo`: each deliberate bug must be caught within its budget (a build with -DOAK_ZOO=ON). */
int oak_zoo_main(int argc, char *const *argv);

#endif
