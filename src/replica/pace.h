/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h: how much clients may propose while a follower catches up. docs/internals/flow.md tells
 * the rule and its numbers. Pure: time and what is known of the followers are handed in.
 */
#ifndef OAK_REPLICA_PACE_H
#define OAK_REPLICA_PACE_H

#include "base/base.h"

/* One follower as the leader sees it now. */
struct pace_follower {
    uint64_t id;
    uint64_t has;      /* holds the log up to here, or will, with the snapshot that is being sent */
    uint64_t progress; /* any number that grows while it gets on */
    bool voter;
    bool active;
};

struct pace_view {
    uint64_t now_ns;
    uint64_t last;
    size_t log_bytes, log_entries;   /* in memory */
    size_t held_bytes, held_entries; /* what is kept for a follower at the most */
    const struct pace_follower *followers;
    size_t count;
};

struct pace_row {
    uint64_t id; /* 0: free */
    uint64_t progress;
    uint64_t progress_ns; /* when it last grew; 0: not yet, as far as is known here */
    uint64_t has;
    uint64_t gap;
    uint64_t strain_ns; /* clients have been held at the floor for it, in vain */
    uint64_t given_up_until_ns;
};

struct pace {
    uint64_t laggard; /* who is waited for; 0: nobody, and clients propose as they like */
    uint64_t rate;    /* bytes a second that may be proposed */
    uint64_t peak;    /* ... were proposed before */
    uint64_t floor;
    int64_t tokens;
    uint64_t filled_ns;
    uint64_t looked_ns; /* the period began */
    uint64_t taken;     /* bytes proposed in it */
    uint64_t incoming;  /* bytes a second: the most of late */
    unsigned periods;   /* since this member leads, up to those that make a measure */
    uint64_t delayed;   /* proposals that had to wait, or were refused; since the start */
    struct pace_row rows[OAK_PEERS_MAX];
};

/* Not a leader: nothing is known, nothing is held back. */
void pace_reset(struct pace *p);
/* Call it at every tick of a leader. Once a period it decides. */
void pace_look(struct pace *p, const struct pace_view *view);
/* May `bytes` be proposed now? They count as proposed, if so. */
bool pace_admit(struct pace *p, uint64_t now_ns, size_t bytes);
/* What may wait here for its turn; past it, clients are refused. */
size_t pace_backlog(const struct pace *p);

#endif
