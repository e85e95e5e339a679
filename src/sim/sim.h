/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h: a whole cluster on one thread, from one seed.
 *
 * The simulator runs the real code of replica, raft, wal, snap, kv, peer and the memory store of
 * every node; it answers port.h itself: a virtual clock, a disk that loses what was not synced, a
 * network that loses, repeats, delays and reorders. Everything that happens is drawn from the seed,
 * so that a failure is repeated by its number alone. docs/internals/simulator.md explains the
 * output.
 *
 * A run has two phases. While everything breaks, nothing wrong may happen (safety). Then all faults
 * end, and within a bound every node must catch up and every client be answered (liveness).
 *
 * Threads: one. Every simulation is an object of its own; several may run in one process.
 */
#ifndef OAK_SIM_H
#define OAK_SIM_H

#include "base/base.h"
#include "base/zoo.h"

struct oak_sim_options {
    uint64_t seed;
    uint64_t simulated_ms; /* of the first phase; 0: 60 s */
    bool trace;            /* print each event that matters */
    struct oak_alloc alloc;
};

enum oak_sim_verdict {
    OAK_SIM_PASSED,
    OAK_SIM_FAILED, /* a checker spoke */
};

struct oak_sim_report {
    enum oak_sim_verdict verdict;
    char what[512]; /* what broke; "" when nothing did */
    uint64_t nodes;
    uint64_t events;       /* steps of the simulation */
    uint64_t simulated_ms; /* both phases */
    uint64_t operations;   /* of clients, with a known end */
    uint64_t commits;      /* highest index applied */
    uint64_t crashes, partitions, pauses, elections, snapshots;
    uint64_t snapshots_resumed; /* by a receiver that had crashed in it */
    uint64_t snapshots_rewound; /* a sender went back to what had been lost */
    uint64_t frames_lost, frames_repeated, frames_damaged, writes_lost;
    uint64_t reads_leased, reads_inherited; /* answered without a round */
};

/* Run one seed to its end. */
void oak_sim_run(const struct oak_sim_options *options, struct oak_sim_report *report);

/* `oakum sim [--seed N] [--seeds N] [--seconds N] [--bug NAME] [--trace] [--output json]`: argv[0]
 * is "sim". The exit code: 0 all passed, 1 a seed failed, 2 bad usage. */
int oak_sim_main(int argc, char *const *argv);
/* `oakum zoo`: each deliberate bug must be caught within its budget (a build with -DOAK_ZOO=ON). */
int oak_zoo_main(int argc, char *const *argv);

#endif
