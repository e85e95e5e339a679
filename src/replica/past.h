/* SPDX-License-Identifier: Apache-2.0 */
/* past.h: what a member knows of its own earlier runs, and remembers of other members.
 *
 * A disk that was put back to an older state looks as if nothing had happened since. The others
 * know better: each remembers of each the last run that it heard of, and how far that had got; and
 * each knows of its own last runs how they ended, as the next one found it. A member that is told
 * of a run it never had, or of one that got further than its end, has forgotten (hello.c asks).
 *
 * On disk it is one file of two slots, written in turn, so that a torn one leaves the other:
 *
 *      0      8      16      20     24        28       32
 *      +------+------+-------+------+---------+--------+----------------------+-------------------+
 *      | magic| seq  | crc32c| past | u32 runs| u32 mem| runs: number, run,   | memories: id,     |
 *      |      |      |       | u32  |         |        | term, vote, last     | number ... index  |
 *      +------+------+-------+------+---------+--------+----------------------+-------------------+
 *
 * Little endian; the checksum covers seq, and everything behind the checksum to the slot's end.
 *
 * Threads: none; the caller's.
 */
#ifndef OAK_REPLICA_PAST_H
#define OAK_REPLICA_PAST_H

#include "base/base.h"
#include "peer/peer.h"

/* Own runs that are known by their ends. What somebody remembers of an older one is not judged any
 * more: he has not heard of us for so many starts. */
#define PAST_RUNS_MAX   32
#define PAST_SLOT_BYTES 4096
/* Not known how far the log reached. */
#define PAST_ANY_INDEX UINT64_MAX

struct past_run {
    uint64_t number; /* from 1 */
    uint64_t run;    /* the boot of its frames */
    /* As the next run found it. */
    uint64_t term;
    uint64_t vote;
    uint64_t last;
};

struct past_memory {
    uint64_t id; /* 0: the row is free */
    struct oak_peer_memory at;
    struct oak_peer_memory saved;  /* as it is on disk */
    struct oak_peer_memory saving; /* ... and as it is being written */
};

/* More runs than a member can have had since an older state of its disk. */
#define PAST_FORGOTTEN_MAX ((uint64_t)1 << 20)

struct past {
    uint64_t seq; /* of the newest slot */
    enum oak_peer_past state;
    enum oak_peer_past state_saving, state_saved; /* on its way to the disk, and there */
    bool voteless; /* when it forgot, neither it nor who told it knew of a vote to ask for */
    struct past_run runs[PAST_RUNS_MAX]; /* the oldest first; the last one is this one */
    size_t run_count;
    struct past_memory memories[OAK_PEERS_MAX];
};

/* A run begins; `end` is what it finds of the one before. */
void past_begin(struct past *p, uint64_t run, const struct past_run *end);
/* This run. */
struct past_run *past_present(struct past *p);
/* Is all that somebody remembers of this member in its past? */
bool past_covers(const struct past *p, const struct oak_peer_memory *told);

/* The row of a member; NULL: there is none. */
struct past_memory *past_find(struct past *p, uint64_t id);
/* It has this much for sure. True if that is news. */
bool past_note(struct oak_peer_memory *m, uint64_t term, uint64_t vote, uint64_t index);

void past_encode(const struct past *p, uint8_t slot[PAST_SLOT_BYTES]);
/* False: it is not whole. */
bool past_decode(const uint8_t slot[PAST_SLOT_BYTES], struct past *out);

#endif
