/* SPDX-License-Identifier: Apache-2.0 */
/* wal.h: the log on disk. Many Raft groups share one log and one sync.
 *
 *     oak_wal_open(&options, &wal, &e)      // recovers; see oak_wal_recovered()
 *     oak_wal_append(wal, &record) ...      // into memory
 *     oak_wal_commit(wal)                   // one write, one sync: all of it is durable
 *     oak_wal_release(wal, group, index)    // entries up to index are needed no more
 *
 * The log is a chain of segments of OAK_WAL_SEGMENT_BYTES, each written once in full with zeros and
 * then recycled. A commit writes one frame: a header and the batch's records, aligned to a sector;
 * a batch that does not fit starts in a new segment and takes as many as it needs. A record carries
 * its length, type, group, term and index; the frame carries a CRC-32C over them all that also
 * covers the segment's sequence number and the place in it, so that what a recycled segment held
 * before is never taken for new. A batch is recovered whole or not at all. Each segment starts with
 * the state of every group, so that the segments before it may go. docs/internals/wal-format.md
 * draws it; record.c reads and writes it.
 *
 * Recovery. Frames are read in order to the first place where none is whole. One batch at most is
 * not durable at any time, so what follows decides: if nothing valid lies behind that place, it is
 * the torn end of a commit that was never acknowledged, and is cut (its header overwritten with
 * zeros and synced before anything new is written); if anything valid lies behind it, it was
 * durable once and is damaged: open changes nothing, fails with OAK_ECORRUPT, and says file, offset
 * and what to do; or, when the options say how far the state machines are, it repairs (repair.c): a
 * group whose log is there from what its state machine lacks goes on, others are in doubt, the
 * damaged segments are set aside and a new chain begins. Damage to the very last batch looks like a
 * torn end; oak_wal_prepare() when idle puts an empty batch behind it, after which it is told
 * apart. A torn end never cuts what was acknowledged.
 *
 * Failure. A failed write or sync poisons the log: the call gives OAK_EIO, every later one
 * OAK_EFATAL, and the process must end (law 3). OAK_ENOSPC can only come from making a new segment,
 * before anything of the batch is written; the batch stays in memory, and commit may be called
 * again when there is space. OAK_ENOMEM changes nothing either.
 *
 * Threads: the log writer's alone, after open. open and the recovered state belong to start-up.
 */
#ifndef OAK_WAL_H
#define OAK_WAL_H

#include "port/port.h"

enum oak_wal_type {
    OAK_WAL_ENTRY = 1, /* group, index, term, kind, data: replaces this index and all behind it */
    OAK_WAL_HARD_STATE = 2, /* group, term, vote, commit */
    OAK_WAL_SNAPSHOT = 3, /* group, index, term: the log up to index is in a snapshot; with keep_log
                             unset, entries behind it are dropped too */
    OAK_WAL_META = 4,     /* data: the node's identity; written first in every segment */
    OAK_WAL_DOUBT = 6,    /* group; kind 1: the log starts anew behind index, of term, and what it
                             held before is in doubt until a record of kind 0 lifts that */
};

struct oak_wal_record {
    enum oak_wal_type type;
    uint8_t kind;  /* ENTRY: the entry's type, as Raft gave it */
    bool keep_log; /* SNAPSHOT: entries behind index stay */
    uint64_t group;
    uint64_t index;
    uint64_t term;
    uint64_t vote;         /* HARD_STATE */
    uint64_t commit;       /* HARD_STATE */
    struct oak_bytes data; /* borrowed */
};

struct oak_wal_options {
    const struct oak_disk *disk;
    const struct oak_log *log; /* may be NULL */
    const char *dir;           /* made when it does not exist */
    /* Who owns this log (cluster id, member id, ...), at most 256 bytes. Written at creation; at a
     * later open a different identity is OAK_EINVAL, so that a data directory of another node is
     * refused. */
    struct oak_bytes meta;
    uint64_t segment_bytes; /* 0: OAK_WAL_SEGMENT_BYTES. A multiple of 4096. Tests use small ones */
    uint32_t spare_segments_max; /* recycled segments kept ready; 0: 2 */
    bool no_sync; /* --unsafe-no-fsync: durability is given up; open says so in the log */
    /* Repair: damage to what was durable does not refuse, as long as term and vote of every group
     * are proven. Says up to where the state machine of `group` has applied, durably. False: it is
     * not known, and damage refuses. NULL: damage refuses. */
    bool (*applied)(void *user, uint64_t group, uint64_t *index, uint64_t *term);
    void *user;
};

/* What recovery found for one group. Payloads are owned by the recovered state. */
struct oak_wal_group {
    uint64_t group;
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t snapshot_index; /* entries start behind it; 0: none */
    uint64_t snapshot_term;
    uint64_t last_index; /* where the log ended: its last entry's or the snapshot's, even when that
                            entry was released and is not among `entries` */
    uint64_t last_term;
    bool in_doubt; /* what lay behind last_index is lost: docs/internals/repair.md */
    struct oak_wal_record *entries; /* consecutive, from snapshot_index + 1 or a later first index
                                       when older ones were released; some that were released may
                                       still be there */
    size_t entry_count;
};

struct oak_wal_stats {
    uint64_t commits;   /* batches made durable */
    uint64_t bytes;     /* written, padding included */
    uint64_t segments;  /* in the chain now */
    uint64_t cut_bytes; /* torn tail cut by open */
    bool created;       /* open made a new log */
    uint32_t holes;     /* damaged places that open found in what was durable, and repaired */
    uint32_t doubts;    /* groups that are in doubt because of them */
    uint64_t scrubs;    /* whole passes over what lies still */
};

struct oak_wal;

/* OAK_EIO, OAK_ENOSPC, OAK_ECORRUPT, OAK_EINVAL (foreign identity, unusable options), OAK_ENOMEM;
 * `e` names the file, the offset where there is one, and what to do. */
OAK_MUST_USE int oak_wal_open(const struct oak_wal_options *options, struct oak_wal **out,
                              struct oak_errbuf *e);
void oak_wal_close(struct oak_wal *wal);

/* Groups found by open, sorted; valid until oak_wal_recovered_drop(), which frees them. */
const struct oak_wal_group *oak_wal_recovered(const struct oak_wal *wal, size_t *count);
void oak_wal_recovered_drop(struct oak_wal *wal);

/* Queue a record in memory; its data is copied. Nothing changes on an error: OAK_ENOMEM;
 * OAK_EFATAL; OAK_ELIMIT (over OAK_WAL_RECORD_BYTES_MAX, over OAK_WAL_BATCH_BYTES_MAX in all:
 * commit first, over OAK_GROUPS_MAX groups, or more than a segment holds); OAK_EINVAL: an entry
 * that would leave a gap (its index is over 1 behind the last entry and the snapshot), a snapshot
 * below the group's, a doubt of another kind than 0 or 1, META. */
OAK_MUST_USE int oak_wal_append(struct oak_wal *wal, const struct oak_wal_record *record);
/* Make everything appended durable, as one: after a crash all of it is there or, when this did not
 * return 0, perhaps none. Nothing appended is success without I/O. */
OAK_MUST_USE int oak_wal_commit(struct oak_wal *wal);
/* Entries of `group` up to and with `index` won't be asked for again, and were applied durably:
 * segments that nobody needs are recycled, at the latest by the release after the next commit. Safe
 * to forget: a crash before it only keeps more. Never blocks on a sync. Release up to an index
 * whose term the caller keeps with what it applied: recovery may find no entry from there on. */
OAK_MUST_USE int oak_wal_release(struct oak_wal *wal, uint64_t group, uint64_t index);
/* When idle, and before a close in order: put an empty batch behind the last one, so that damage to
 * it is known from a torn end (one write and sync, once after each busy spell), and have a spare
 * segment ready ahead of need. OAK_ENOSPC: no spare could be made; the log goes on working. */
OAK_MUST_USE int oak_wal_prepare(struct oak_wal *wal);

/* Read on in what is durable and lies still, and check it: up to about `bytes`, from where the last
 * call ended, the segments in turn, the current one left out. OAK_ECORRUPT: damaged since it was
 * written; `e` names the place. The log works on; a restart repairs. OAK_ENOMEM. */
OAK_MUST_USE int oak_wal_scrub(struct oak_wal *wal, size_t bytes, struct oak_errbuf *e);

void oak_wal_stats(const struct oak_wal *wal, struct oak_wal_stats *out);

#endif
