/* SPDX-License-Identifier: Apache-2.0 */
/* scene.h: small clusters in which one thing is slow, and nothing breaks.
 *
 * What chance breaks, sim.c runs. Here it is about speed: links have a rate, one member's link,
 * disk or CPU is slower than the others', and clients ask as fast as they can. Each scene has a
 * checker that says what must come of it within a bound.
 */
#ifndef OAK_SIM_SCENE_H
#define OAK_SIM_SCENE_H

#include "base/base.h"

enum scene_kind {
    SCENE_LAGGARD,   /* a follower's link is slower than the load: it catches up all the same */
    SCENE_DEAD_ONE,  /* one is dead, one is slow, under load: the log stays within its bound */
    SCENE_SLOW_DISK, /* the leader's disk is slow: another leads soon, and goes on leading */
    SCENE_HUNG_DISK, /* the leader's disk hangs: another leads at once */
    SCENE_SLOW_CPU,  /* the leader's process runs a fifth of the time: the same */
    SCENE_ALL_SLOW,  /* all disks are slow: nobody moves */
    SCENE_COUNT,
    /* To see the checker of answers speak: two of three die. */
    SCENE_MINORITY = SCENE_COUNT,
};

struct scene_report {
    char what[256]; /* what went wrong; "" when nothing did */
    uint64_t puts;  /* answered */
    uint64_t refused;
    uint64_t leaders; /* elected */
    uint64_t snapshots;
    uint64_t moved_ms;  /* from the trouble's begin to another leader */
    uint64_t log_bytes; /* the most that one member held */
};

const char *scene_name(enum scene_kind kind);
void scene_run(enum scene_kind kind, uint64_t seed, bool trace, struct scene_report *report);

#endif
