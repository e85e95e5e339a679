/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h: one log on disk for all Raft groups of a process, and its one writer.
 *
 *     oak_journal_open(&options, &j, &e);           // recovers; blocks on the disk
 *     oak_journal_recovered(j, group) ...           // what each group starts from
 *     oak_journal_join(j, &g);
 *     oak_journal_add(j, &g, &record) ...           // records gather
 *     oak_journal_mark(j, &g, token, must_sync);    // they belong to this batch of the group
 *     oak_journal_kick(j);                          // write what has gathered, if nothing is away
 *     g.durable(&g, token, error)                   // all up to and with `token` is on disk
 *
 * Whatever gathers while a batch is away, of whichever group, goes with the next one: group commit.
 * A batch is one write and one sync (wal.h). What a record points to stays where it is until its
 * token has come back.
 *
 * A full disk is no error: nothing of the batch was written, it stays, and is tried again when
 * there is space (oak_journal_tick); whoever waits for it waits.
 *
 * Can fail: an error of the log is told to every group, once, and is the end (law 3): nothing is
 * written any more. Threads: the loop's; the log itself is the writer's while a batch is away.
 */
#ifndef OAK_JOURNAL_H
#define OAK_JOURNAL_H

#include "port/port.h"
#include "wal/wal.h"

struct oak_journal;

struct oak_journal_options {
    const struct oak_loop *loop;
    struct oak_exec writer; /* an actor that may block; nobody else uses it */
    const struct oak_disk *disk;
    const struct oak_log *log;
    const char *dir;     /* the node's; the log is in <dir>/wal */
    const char *wal_dir; /* the log is here instead; NULL: there */
    /* Whose log this is; another node's is refused. */
    uint64_t cluster;
    uint64_t member;
    uint64_t segment_bytes; /* 0: OAK_WAL_SEGMENT_BYTES */
    bool no_sync;           /* durability is given up */
    /* Leave to repair damage; as in struct oak_wal_options. NULL: damage refuses. */
    bool (*applied)(void *user, uint64_t group, uint64_t *index, uint64_t *term);
    void *user;
    /* What lies still is read again and checked in the writer's idle moments: so many bytes a
     * second (0: never; at most OAK_SCRUB_BYTES_A_SECOND_MAX), and a rest behind each pass. */
    uint64_t scrub_rate;
    uint64_t scrub_rest_ms;
};

/* One group's part in it. Embed it; zeroed but for the first two. */
struct oak_journal_group {
    uint64_t group;
    /* What was away is back: durable up to and with `token` (0: it had nothing of this group to
     * tell). A nonzero error: it is not known what is on disk; the process must end. Never called
     * from inside a call of the journal. */
    void (*durable)(struct oak_journal_group *g, uint64_t token, int error);
    /* The journal's. */
    struct oak_list link;
    struct oak_list back;
    uint64_t token_last;             /* the newest marked */
    uint64_t token_next, token_away; /* of what gathers, of what is away; 0: nothing */
    uint64_t token_back;             /* of what is back, until the group is told */
    uint64_t release;                /* 0: nothing new */
    bool away;
};

/* Durations of syncs as counts per bucket: bucket i counts those up to 1 ms × 2^i (the last: all
 * longer ones); as etcd_disk_wal_fsync_duration_seconds. */
#define OAK_JOURNAL_BUCKETS 15

struct oak_journal_stats {
    uint64_t syncs;
    uint64_t sync_ns_total;
    uint64_t sync_ns_last;
    uint64_t histogram[OAK_JOURNAL_BUCKETS];
    uint64_t free_bytes; /* on the log's file system, as last seen; UINT64_MAX: not known */
    bool scarce;         /* less is free than OAK_DISK_RESERVE_BYTES, or the disk is full */
    bool full;           /* a batch waits for space; it is tried again */
    uint64_t scrubs;     /* whole passes of the scrub */
    uint64_t scrub_ns;   /* from the begin of the last one to its end; 0: none yet */
    bool damaged;        /* it has found damage, in a log that has nobody to repair it */
};

/* What the log is marked with: whose it is. */
#define OAK_JOURNAL_META_BYTES 32
void oak_journal_meta(uint64_t cluster, uint64_t member, uint8_t out[OAK_JOURNAL_META_BYTES]);

/* Errors as oak_wal_open's; `e` says what is wrong and what to do. */
OAK_MUST_USE int oak_journal_open(const struct oak_journal_options *options,
                                  struct oak_journal **out, struct oak_errbuf *e);
/* NULL: the log has nothing of this group. Valid until recovered_drop, which frees what recovery
 * found: call it once every group has started. */
const struct oak_wal_group *oak_journal_recovered(const struct oak_journal *j, uint64_t group);
void oak_journal_recovered_drop(struct oak_journal *j);
/* Open made a new log. */
bool oak_journal_created(const struct oak_journal *j);
/* Where it is; for people. */
const char *oak_journal_dir(const struct oak_journal *j);
bool oak_journal_no_sync(const struct oak_journal *j);

void oak_journal_join(struct oak_journal *j, struct oak_journal_group *g);
/* Its records are being written: it may not leave, and they may not move. */
bool oak_journal_busy(const struct oak_journal_group *g);
/* What of it has gathered and is not away is dropped: nobody was promised anything. */
void oak_journal_leave(struct oak_journal *j, struct oak_journal_group *g);

/* OAK_ENOMEM; OAK_EFATAL after an error. */
OAK_MUST_USE int oak_journal_add(struct oak_journal *j, struct oak_journal_group *g,
                                 const struct oak_wal_record *record);
/* Tokens of a group rise. Without `must_sync` the records may wait for somebody else's sync. */
void oak_journal_mark(struct oak_journal *j, struct oak_journal_group *g, uint64_t token,
                      bool must_sync);
/* The group needs its log up to and with `index` no more. */
void oak_journal_release(struct oak_journal *j, struct oak_journal_group *g, uint64_t index);
void oak_journal_kick(struct oak_journal *j);
/* When nothing was written for `quiet_ns`: put an empty batch behind the last one, so that damage
 * to that is told from a torn end. */
void oak_journal_prove(struct oak_journal *j, uint64_t quiet_ns);

/* Now and then: look how much space is left, and try what found none again. */
void oak_journal_tick(struct oak_journal *j);
/* The groups are being closed, and can't wait until there is space: what waits for it fails. */
void oak_journal_give_up(struct oak_journal *j);

const struct oak_journal_stats *oak_journal_stats(const struct oak_journal *j);

/* All groups have left. Proves the last batch, then calls `closed` from the loop; the journal is
 * gone then. */
void oak_journal_close(struct oak_journal *j, void (*closed)(void *user), void *user);

#endif
