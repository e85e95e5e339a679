/* SPDX-License-Identifier: Apache-2.0 */
/* restore.h: etcd's snapshots read: what is in one, and a store that is filled from it.
 *
 *     oak_restore_check(&disk, path, digest, NULL, &e)    // whole? what its SHA-256 says?
 *     oak_restore_status(&disk, path, NULL, &status, &e)       // hash, revision, keys, size
 *     oak_restore_fill(&options, &result, &e)             // into an empty store, durably
 *
 * A file is etcd's database (`bolt`), with a SHA-256 of it behind it where `snapshot save` made it.
 * It has revisions in order, the store has versions by key; between them is a sort on disk, and
 * memory is bounded whatever the file. Kept are: every version since the compaction, the
 * compaction's revision, leases with their keys, users and roles, alarms. Members, and where their
 * log was, are of the cluster that the file is from, and are left out.
 *
 * The bytes are somebody else's: all of it is checked, and what is wrong is told with its bucket,
 * key, page and place in the file.
 *
 * Source: etcd's snapshots, 3.4 to 3.7, and what its own restore makes of them.
 *
 * Threads: one at a time; calls block on the disk.
 */
#ifndef OAK_RESTORE_H
#define OAK_RESTORE_H

#include "port/port.h"
#include "store/store.h"

#define OAK_RESTORE_DIGEST_BYTES 32

/* What goes on, for people: `done` of about `total`, now and then. NULL for none. */
struct oak_restore_progress {
    void (*tell)(void *user, const char *what, uint64_t done, uint64_t total);
    void *user;
};

enum oak_restore_digest {
    OAK_RESTORE_DIGEST_NEEDED,
    OAK_RESTORE_DIGEST_IF_THERE, /* it must hold then */
    OAK_RESTORE_DIGEST_IGNORED,
};
/* Is it whole: has it a size that one can have, and is it what the SHA-256 behind it says?
 * OAK_EFORMAT: neither a snapshot nor a database of that kind; OAK_ECORRUPT; OAK_ENOENT,
 * OAK_EIO, OAK_ENOMEM. */
OAK_MUST_USE int oak_restore_check(const struct oak_disk *disk, const char *path,
                                   enum oak_restore_digest digest,
                                   const struct oak_restore_progress *progress,
                                   struct oak_errbuf *e);

/* What etcd's `snapshot status` tells. */
struct oak_restore_status {
    uint32_t hash; /* CRC-32C of all buckets: name, then keys and values */
    int64_t revision;
    /* Keys that are there at that revision; while a compaction was under way, about so many. */
    uint64_t total_keys;
    uint64_t total_size;
    char version[32]; /* of the storage; "": from before there was one */
};
OAK_MUST_USE int oak_restore_status(const struct oak_disk *disk, const char *path,
                                    const struct oak_restore_progress *progress,
                                    struct oak_restore_status *out, struct oak_errbuf *e);

struct oak_restore_options {
    const struct oak_disk *disk;
    const char *path;
    const char *scratch;     /* directory for runs; it is there */
    struct oak_store *store; /* empty */
    /* The entry of the new cluster's log that all of this counts as. */
    uint64_t index;
    uint64_t term;
    uint64_t bump_revision;    /* the revision is raised by so much */
    bool mark_compacted;       /* and history ends there */
    size_t sort_bytes;         /* 0: OAK_BACKUP_SORT_BYTES_MAX */
    size_t runs_merged;        /* 0: OAK_BACKUP_RUNS_MAX; 2 at least */
    bool resume;               /* go on with what an interrupted run has left in `scratch` */
    void (*pause)(void *user); /* the store's disk is behind: wait a moment */
    /* With `resume`, before the work: of about `total` bytes so many had been read; 0: it begins
     * anew, for there is nothing of this file. NULL: nobody wants to know. */
    void (*resumed)(void *user, uint64_t done, uint64_t total);
    struct oak_restore_progress progress;
};

struct oak_restore_result {
    int64_t revision;
    int64_t compacted; /* -1: never */
    uint64_t versions;
    uint64_t leases;
    uint64_t users;
    uint64_t roles;
    uint64_t alarms;
    bool auth_enabled;
    bool resumed; /* an interrupted run's work was gone on with */
};

/* Fill the store, and make it durable. After an error there is something in it that is of no use:
 * remove it. Scratch files are gone either way, as far as they can be removed. A process that is
 * killed leaves them, and another one goes on with them: what was read and sorted is not read
 * again; the store has to be an empty one again. OAK_ECORRUPT, OAK_EFORMAT, OAK_ELIMIT, OAK_EINVAL
 * (a revision too large), and what disk, store and memory fail by. */
OAK_MUST_USE int oak_restore_fill(const struct oak_restore_options *options,
                                  struct oak_restore_result *out, struct oak_errbuf *e);

#endif
