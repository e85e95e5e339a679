/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the backup room share. */
#ifndef OAK_BACKUP_INTERNAL_H
#define OAK_BACKUP_INTERNAL_H

#include "backup/backup.h"

/* In the order in which their names sort, and so in the file. */
enum backup__bucket {
    BACKUP_ALARM,
    BACKUP_AUTH,
    BACKUP_AUTH_ROLES,
    BACKUP_AUTH_USERS,
    BACKUP_CLUSTER,
    BACKUP_KEY,
    BACKUP_LEASE,
    BACKUP_MEMBERS,
    BACKUP_MEMBERS_REMOVED,
    BACKUP_META,
    BACKUP_BUCKETS,
};
const char *backup__bucket_name(enum backup__bucket bucket);

/* One pair of the file. */
struct backup__pair {
    enum backup__bucket bucket;
    struct oak_bytes key;
    struct oak_bytes value;
};

/* -- sort.c ------------------------------------------------------------------------------------ */

struct backup__input;

/* Sorted pairs on disk, taken in order by one reader. */
struct backup__merge {
    struct backup__input *inputs;
    size_t count;
    struct backup__input **heap; /* those that have a pair, the least one first */
    size_t heap_size;
    bool taken; /* the first one's pair was given out */
};

/* A run being written. */
struct backup__output {
    struct oak_file *file;
    uint64_t number;
    uint64_t at;
    struct oak_buf buf;
};

struct backup__sorter {
    const struct oak_disk *disk;
    const char *base; /* of the names of its files; borrowed */
    size_t room;
    size_t fan;
    uint8_t *block; /* pairs from the front, pointers to them from the back; NULL: sealed, and all
                       is in runs */
    size_t used;
    size_t count;
    size_t next;         /* pointer to be given out, once it is sealed */
    struct oak_buf runs; /* struct run, the oldest first */
    uint64_t numbers;    /* given to runs so far */
    struct backup__merge merge;
    struct backup__output output;
    bool narrowing; /* `merge` goes to `output` */
};

/* `room` bytes of memory for what is gathered; `fan` runs are read at a time. OAK_ENOMEM. */
OAK_MUST_USE int backup__sorter_init(struct backup__sorter *s, const struct oak_disk *disk,
                                     const char *base, size_t room, size_t fan);
/* Pairs in any order, none twice. OAK_ENOMEM, and what the disk fails by. */
OAK_MUST_USE int backup__sorter_add(struct backup__sorter *s, const struct backup__pair *pair);
/* That was all. */
OAK_MUST_USE int backup__sorter_seal(struct backup__sorter *s);
/* Runs are merged until the rest can be read at once: about so many bytes of it. */
OAK_MUST_USE int backup__sorter_narrow(struct backup__sorter *s, size_t bytes, bool *more);
/* The next pair, borrowed until the next call; OAK_ENOENT at the end. OAK_ECORRUPT: a run is not
 * what was written. */
OAK_MUST_USE int backup__sorter_next(struct backup__sorter *s, struct backup__pair *out);
/* Its files are removed. */
void backup__sorter_fini(struct backup__sorter *s);

/* -- records.c: pairs as etcd has them --------------------------------------------------------- */

/* Each encodes into `buf`, anew, and adds. */
OAK_MUST_USE int backup__add_version(struct backup__sorter *s, struct oak_buf *buf,
                                     struct oak_store_rev rev, bool deleted,
                                     const struct oak_store_kv *kv);
OAK_MUST_USE int backup__add_record(struct backup__sorter *s, struct oak_buf *buf,
                                    const struct oak_kv_record *record);
/* What is known beside the store's records: members, versions, where in the log this is. */
OAK_MUST_USE int backup__add_facts(struct backup__sorter *s, struct oak_buf *buf,
                                   const struct oak_backup_options *options,
                                   const struct oak_store_state *state);

#endif
