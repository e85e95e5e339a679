/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the restore room share. */
#ifndef OAK_RESTORE_INTERNAL_H
#define OAK_RESTORE_INTERNAL_H

#include "authz/authz.h"
#include "bolt/bolt.h"
#include "kv/kv.h"
#include "restore/restore.h"
#include "sort/sort.h"

/* Work between two reports of progress. */
#define RESTORE_STEP_BYTES (4 * OAK_MIB)

/* -- source.c: one bucket after the other ------------------------------------------------------ */

struct restore__source {
    const char *path;
    struct oak_bolt_reader *db;
    struct oak_errbuf *e;
    const char *bucket;
    struct oak_bytes key; /* of the pair at hand */
    const struct oak_restore_progress *progress;
    const char *doing; /* for progress */
    uint64_t done;
    uint64_t told;
};

OAK_MUST_USE int restore__source_open(struct restore__source *s, const struct oak_disk *disk,
                                      const char *path, const struct oak_restore_progress *progress,
                                      struct oak_errbuf *e);
void restore__source_close(struct restore__source *s);
/* Go to a bucket; one that is not there has no pair, unless it is `needed`. */
OAK_MUST_USE int restore__source_bucket(struct restore__source *s, const char *bucket, bool needed);
/* Behind a key of the bucket just gone to. */
OAK_MUST_USE int restore__source_skip(struct restore__source *s, struct oak_bytes key);
/* The next pair, borrowed until the next call; OAK_ENOENT: that was the last. */
OAK_MUST_USE int restore__source_next(struct restore__source *s, struct oak_bytes *value);
/* The pair at hand is not what it should be: its bucket, key, page and place. OAK_ECORRUPT. */
int restore__source_wrong(const struct restore__source *s, const char *what);
void restore__tell(struct restore__source *s, uint64_t bytes);

/* -- place.c: how far reading has come, on the disk -------------------------------------------- */

#define RESTORE_WHOSE_BYTES 32

struct restore__place {
    const struct oak_disk *disk;
    const char *scratch;
    uint8_t whose[RESTORE_WHOSE_BYTES];
    bool all;        /* versions have been read */
    uint8_t key[32]; /* of the last pair that was, in the bucket "key" */
    uint8_t key_size;
    int64_t last; /* its revision */
    uint64_t done;
    struct oak_buf path;
    struct oak_buf part;
    struct oak_buf text;
};

/* Of the file at `path`. */
OAK_MUST_USE int restore__place_init(struct restore__place *p, const struct oak_disk *disk,
                                     const char *scratch, const char *path);
/* The file goes. */
void restore__place_fini(struct restore__place *p);
/* What was written down of this file, with the runs of a sorter that has nothing yet. OAK_ENOENT:
 * nothing that can be gone on from, and what is in `scratch` is removed. */
OAK_MUST_USE int restore__place_load(struct restore__place *p, struct oak_sorter *sorter);
/* This pair has been added to the sorter. */
void restore__place_note(struct restore__place *p, struct oak_bytes key, int64_t last,
                         uint64_t done);
/* All that was noted is durable with it. */
OAK_MUST_USE int restore__place_save(struct restore__place *p, struct oak_sorter *sorter);

/* -- records.c: what etcd's pairs say ---------------------------------------------------------- */

/* Of the bucket "key". OAK_ECORRUPT: *what says why. */
struct restore__version {
    struct oak_store_rev rev;
    bool deleted;
    bool empty; /* a revision that is nothing but taken: a restore of etcd's has raised it */
    struct oak_store_kv kv;
};
OAK_MUST_USE int restore__version_read(struct oak_bytes key, struct oak_bytes value,
                                       struct restore__version *out, const char **what);
/* Seventeen bytes. False: it is none. */
bool restore__revision_read(struct oak_bytes bytes, struct oak_store_rev *out);
/* leasepb.Lease; its limits are kept. */
bool restore__lease_read(struct oak_bytes key, struct oak_bytes value, struct oak_kv_lease *out);
/* etcdserverpb.AlarmMember, a key. */
bool restore__alarm_read(struct oak_bytes key, struct oak_kv_alarm *out);

/* A version as a pair for the sorter: in order of key, the newest first. OAK_ENOMEM. */
OAK_MUST_USE int restore__row_put(const struct restore__version *v, struct oak_buf *key,
                                  struct oak_buf *value);
/* ... and back; the key is taken apart into `room`. OAK_ENOMEM. */
OAK_MUST_USE int restore__row_get(const struct oak_sorter_pair *pair, struct oak_buf *room,
                                  struct restore__version *out);

#endif
