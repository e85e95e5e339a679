/* SPDX-License-Identifier: Apache-2.0 */
/* gray.h: does a leader fare so much worse than its followers that one of them should lead? The
 * rule
 * and its numbers stand in docs/internals/flow.md. Pure: times and measures are handed in.
 */
#ifndef OAK_REPLICA_GRAY_H
#define OAK_REPLICA_GRAY_H

#include "base/base.h"

/* How a member fares, as it measures itself. */
struct gray_load {
    uint64_t sync_us; /* a batch of the log, from its making to durable; smoothed */
    uint64_t lag_us;  /* how late its ticks come; smoothed */
    bool weary;       /* it has handed leadership over lately, and wants none */
    bool scarce;      /* little space is left on its disk */
};

/* Its own meters. */
struct gray_meter {
    uint64_t sync_us, lag_us;
    uint64_t token; /* the batch that is measured; 0: none */
    uint64_t token_ns;
};

void gray_sync_begin(struct gray_meter *m, uint64_t token, uint64_t now_ns);
void gray_sync_end(struct gray_meter *m, uint64_t token, uint64_t now_ns);
void gray_tick(struct gray_meter *m, uint64_t late_ns);
/* What is not back yet counts as long as it is away. */
struct gray_load gray_load_of(const struct gray_meter *m, uint64_t now_ns);

struct gray_follower {
    uint64_t id;
    struct gray_load load;
    uint64_t told_ns; /* when it told so; 0: never */
    bool fit;         /* a voter that is there and has all that is committed */
};

struct gray_view {
    uint64_t now_ns;
    uint64_t stuck_ns; /* a batch away for longer is a disk that hangs: the election time-out */
    struct gray_load own;
    uint64_t away_ns; /* of the own batch that is away; 0: none is */
    const struct gray_follower *followers;
    size_t count;
};

struct gray {
    uint64_t leads_ns; /* since when; 0: it doesn't */
    uint64_t worse_ns; /* since when it fares worse; 0: it doesn't */
    uint64_t weary_ns; /* until then it neither hands over nor wants leadership */
    unsigned times;    /* it handed over, of late */
};

/* At every tick. 0: go on. Else: who should lead; it counts as handed over. */
uint64_t gray_decide(struct gray *g, const struct gray_view *view);
/* It does not lead. */
void gray_rest(struct gray *g);

#endif
