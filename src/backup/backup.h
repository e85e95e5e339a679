/* SPDX-License-Identifier: Apache-2.0 */
/* backup.h: the state of a member as the file of etcd's database, for etcd and its tools.
 *
 *     oak_backup_new(&options, &b)                    // the state as it is now
 *     while (!oak_backup_run(b, bytes)) { }           // a worker makes the file, a piece at a time
 *     oak_backup_release(b); oak_backup_made(b, &size)
 *     while (oak_backup_read(...), got > 0) { }       // a worker: the file, then its SHA-256
 *     oak_backup_drop(b)                              // a worker: the files go
 *     oak_backup_free(b)
 *
 * The file is one revision, whatever is written meanwhile. It has the keys with their history back
 * to the compaction floor, leases, users and roles, alarms and members: `etcdctl snapshot status`
 * and `restore` take it, and an etcd starts from it.
 *
 * Memory is bounded (OAK_BACKUP_SORT_BYTES_MAX, or what merging takes); what is more goes to
 * scratch files. At its largest it takes about twice the state on disk, at the end the file alone.
 *
 * Source: etcd's snapshots, 3.4 to 3.7: the buckets of its database and what is in them.
 *
 * Threads: new, release and free are the store's owner's; run, read and drop any one's at a time,
 * and they block on the disk.
 */
#ifndef OAK_BACKUP_H
#define OAK_BACKUP_H

#include "kv/kv.h"
#include "port/port.h"
#include "store/store.h"

struct oak_backup;

/* Behind the file, as etcd's snapshots have it. */
#define OAK_BACKUP_DIGEST_BYTES 32

struct oak_backup_options {
    const struct oak_disk *disk;
    const char *dir;         /* of scratch files; it is made when it does not exist */
    uint64_t number;         /* another one for each backup under way */
    struct oak_store *store; /* between two batches */
    /* Who is in the group as of this state, borrowed for the call. */
    Etcdserverpb__Member *const *members;
    size_t member_count;
    const char *version; /* of cluster and storage: "3.6.0" */
    size_t sort_bytes;   /* 0: OAK_BACKUP_SORT_BYTES_MAX */
    size_t runs_merged;  /* 0: OAK_BACKUP_RUNS_MAX; 2 at least */
};

/* Take the view. OAK_ENOMEM, OAK_EIO. */
OAK_MUST_USE int oak_backup_new(const struct oak_backup_options *options, struct oak_backup **out);
/* About so many bytes of work. True: it is over, well or not. */
bool oak_backup_run(struct oak_backup *b, size_t bytes);
/* Once it is over, or is to be given up: the view goes, after which nothing is made any more. */
void oak_backup_release(struct oak_backup *b);
/* *size: of the file, without the digest. What it failed by: OAK_ENOSPC, OAK_EIO, OAK_ENOMEM,
 * OAK_ECORRUPT; OAK_EAGAIN: it was not over. */
OAK_MUST_USE int oak_backup_made(const struct oak_backup *b, uint64_t *size);
/* The next bytes of the file, as many as there is room for; then the digest, alone; then none.
 * `capacity` is OAK_BACKUP_DIGEST_BYTES at least. Of one that was made. OAK_EIO. */
OAK_MUST_USE int oak_backup_read(struct oak_backup *b, uint8_t *out, size_t capacity, size_t *got);
/* Remove what is on disk. Free follows; nothing else may. */
void oak_backup_drop(struct oak_backup *b);
/* Released and dropped before. */
void oak_backup_free(struct oak_backup *b);

/* At a start: remove what a crash has left in `dir`. It blocks. */
OAK_MUST_USE int oak_backup_clean(const struct oak_disk *disk, const char *dir);

#endif
