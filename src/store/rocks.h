/* SPDX-License-Identifier: Apache-2.0 */
/* rocks.h: what the files of the RocksDB engine share. Only rocks*.c include it, and <rocksdb/c.h>.
 *
 *   rocks.c          the engine: write, commit, get, and what the door calls
 *   rocks_open.c     options, the directory, which database in it is the current one
 *   rocks_code.c     keys and values as bytes
 *   rocks_cache.c    newest versions in memory
 *   rocks_walk.c     walking the database's keys in order; rocks_down.c: downwards
 *   rocks_scan.c     the same with the open batch
 *   rocks_changes.c  changes by revision, reclaim
 *   rocks_thin.c     what reclaim leaves behind is made less
 *   rocks_move.c     flush, snapshot
 *   rocks_restore.c  a stream taken in
 *   rocks_scrub.c    reading all files again
 */
#ifndef OAK_STORE_ROCKS_H
#define OAK_STORE_ROCKS_H

#include <rocksdb/c.h>

#include "store/memory.h"

/* -- keys and values as bytes (rocks_code.c) --------------------------------------------------- */

enum rocks_kind {
    ROCKS_CHANGES = 'c',
    ROCKS_VERSION = 'k',
    ROCKS_META = 'm',
    ROCKS_STATE = 's',
};
#define ROCKS_REV_BYTES 16

/* What stands before the kind in every key: the group. */
struct rocks_group {
    uint8_t bytes[9];
    size_t size;
};
void rocks__group_set(struct rocks_group *g, uint64_t group);

/* Each fills `buf` anew. */
OAK_MUST_USE int rocks__kind_key(const struct rocks_group *g, int kind, struct oak_bytes rest,
                                 struct oak_buf *buf);
/* Up to and without the revision: all versions of a key begin with it. */
OAK_MUST_USE int rocks__prefix(const struct rocks_group *g, struct oak_bytes key,
                               struct oak_buf *buf);
OAK_MUST_USE int rocks__version_key(const struct rocks_group *g, struct oak_bytes key,
                                    struct oak_store_rev rev, struct oak_buf *buf);
/* Put `rev` behind a prefix, or over the one that is there. */
void rocks__rev_put(uint8_t *out, struct oak_store_rev rev);
struct oak_store_rev rocks__rev_get(const uint8_t *in);
OAK_MUST_USE int rocks__version_key_decode(const struct rocks_group *g, struct oak_bytes bytes,
                                           struct oak_buf *key, struct oak_store_rev *rev);
/* As a record's key ends with it: in the order of revisions. */
void rocks__changes_rev(struct oak_store_rev rev, uint8_t out[ROCKS_REV_BYTES]);
struct oak_store_rev rocks__changes_rev_get(const uint8_t in[ROCKS_REV_BYTES]);
OAK_MUST_USE int rocks__changes_key(const struct rocks_group *g, struct oak_store_rev rev,
                                    struct oak_buf *buf);
OAK_MUST_USE int rocks__value(const struct store_item *item, struct oak_buf *buf);
/* Fills deleted and kv but for its key; the value is borrowed from `bytes`. */
OAK_MUST_USE int rocks__value_decode(struct oak_bytes bytes, struct oak_store_rev rev,
                                     struct store_item *out);

/* A record of changes is closed when it has this many bytes: a catching-up watcher reads whole
 * ones. */
#define ROCKS_CHANGES_BYTES (16 * OAK_KIB)
/* One entry of it. */
struct rocks_change {
    struct oak_store_rev rev;
    bool deleted;
    bool first; /* made the key: nothing older of it is alive */
    struct oak_bytes key;
};
OAK_MUST_USE int rocks__change(const struct store_item *item, int64_t main_before,
                               struct oak_buf *buf);
/* `rev.main` of *out must hold the main revision before: 0 at the start of a record. */
OAK_MUST_USE int rocks__change_decode(struct oak_reader *r, struct rocks_change *out);

struct rocks_state {
    struct oak_store_state state;
    uint64_t keys;
    struct oak_store_rev reclaimed; /* changes records before it have been dropped */
};
#define ROCKS_STATE_BYTES 68
void rocks__state(const struct rocks_state *s, uint8_t *out);
OAK_MUST_USE int rocks__state_decode(struct oak_bytes bytes, struct rocks_state *out);

/* -- newest versions in memory (rocks_cache.c) ------------------------------------------------- */

struct rocks_ring {
    uint8_t *bytes;
    size_t size;
    size_t head; /* where the next entry goes */
    size_t tail; /* the oldest entry */
    size_t used;
    struct rocks_slot *slots;
    uint32_t sets;
    bool values; /* entries have their values */
};
struct rocks_cache {
    struct rocks_ring heads;
    struct rocks_ring values;
};
/* Takes about `bytes` of memory, as it fills. OAK_ENOMEM. */
OAK_MUST_USE int rocks__cache_init(struct rocks_cache *c, size_t bytes);
void rocks__cache_fini(struct rocks_cache *c);
void rocks__cache_clear(struct rocks_cache *c);
/* The newest version of a key, written or read just now. What does not fit is not kept. */
void rocks__cache_put(struct rocks_cache *c, const struct store_item *item);
/* False when nothing is known. *whole: the value is there too. Valid until the next put. */
bool rocks__cache_get(struct rocks_cache *c, struct oak_bytes key, struct store_item *out,
                      bool *whole);

/* Memtables, full ones included, and files of level 0, with which RocksDB slows writers down. */
#define ROCKS_MEMTABLES_MAX 3
#define ROCKS_LEVEL0_SLOW   40
OAK_STATIC_ASSERT(ROCKS_MEMTABLES_MAX >= 3,
                  "a flush beside one that has just begun makes no writer wait");

/* A file of RocksDB's. */
#define ROCKS_FILE_BYTES (16 * OAK_MIB)
/* What a restore makes beside the databases begins with this. */
#define ROCKS_RESTORING "restoring-"

/* Entries of what was removed, over which RocksDB walks in one step before a seek is cheaper. */
#define ROCKS_SKIP_MAX 32

/* -- the engine -------------------------------------------------------------------------------- */

/* A database in options.dir. It outlives its time as the current one while a snapshot reads it. */
struct rocks_db {
    rocksdb_t *db;
    char *path;
    unsigned refs;
    bool doomed; /* its files go with the last reference */
};

/* What scans have had to wade through since something was last done about it, and where. */
struct rocks_thin {
    uint64_t waded;
    uint64_t longest; /* in one scan */
    uint64_t removed; /* by reclaim, since it was last flushed for that */
    struct oak_buf low;
    struct oak_buf high;
};

struct rocks {
    struct oak_store base;
    struct rocks_group group;
    char *dir;
    uint64_t number; /* the current database is dir/number */
    struct rocks_db *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *blocks;
    size_t sort_bytes;                 /* of changes, while a restore sorts them */
    rocksdb_readoptions_t *read_point; /* within one prefix, by the Bloom filters */
    rocksdb_readoptions_t *read_order; /* total order */
    rocksdb_readoptions_t *read_files; /* past the memtables: what a crash leaves */
    rocksdb_writeoptions_t *write;
    rocksdb_iterator_t *point; /* for searches until the next write, or NULL: making one is dear */
    rocksdb_writebatch_t *batch;
    struct memory_data overlay; /* the open batch, and commits that wait to be written */
    bool unwritten;             /* there are commits that wait */
    struct rocks_cache cache;
    uint64_t committed_keys;        /* live keys without the open batch */
    struct oak_store_rev reclaimed; /* changes records before it are gone; on disk with the state */
    struct oak_store_rev reclaim_at; /* changes before it have been looked at since the start */
    int64_t reclaiming_floor;        /* at this floor; -1: none yet */
    int64_t reclaimed_floor;         /* the floor up to which reclaim is through; -1: none */
    struct rocks_thin thin;
    struct oak_buf key;      /* scratch */
    struct oak_buf value;    /* scratch */
    struct oak_buf got;      /* bytes that the last read gave out */
    struct oak_buf scrubbed; /* the key up to which this pass of the scrub has come */
};

extern const struct store_ops rocks__ops;
struct rocks *rocks__of(struct oak_store *s);

/* Log what RocksDB said, free it, and give the code for it. `what` names the action. */
OAK_MUST_USE int rocks__failed(const struct oak_log *log, const char *what, char *said);

/* Any thread. Does RocksDB take a write, after an error of an earlier one? 0, or its error; that it
 * finds no space is not logged once more. */
OAK_MUST_USE int rocks__ask_space(const struct rocks *r, const struct rocks_db *db);
/* Write the commits that have gathered; an open batch stays in the overlay. A failure leaves them
 * gathered. */
OAK_MUST_USE int rocks__write_out(struct rocks *r);
/* What the database holds has changed, or its old files should go: searches start anew. */
void rocks__point_drop(struct rocks *r);
/* One version, by its place, or OAK_ENOENT. Its bytes are in `r->got` until the next read. */
OAK_MUST_USE int rocks__fetch(struct rocks *r, struct oak_bytes key, struct oak_store_rev rev,
                              struct store_item *out);
/* `key` is scratch. */
OAK_MUST_USE int rocks__write_state(const struct rocks *r, struct oak_buf *key,
                                    rocksdb_writebatch_t *batch, const struct rocks_state *state);
/* Commits that have gathered are void: other contents take the place of all. */
void rocks__gathered_drop(struct rocks *r);

/* rocks_open.c */
OAK_MUST_USE int rocks__options(struct rocks *r, const struct oak_store_options *options);
void rocks__options_free(struct rocks *r);
OAK_MUST_USE int rocks__db_open(const struct rocks *r, uint64_t number, struct rocks_db **out,
                                struct oak_errbuf *e);
void rocks__db_unref(const struct rocks *r, struct rocks_db *db);
/* Which database is the current one; makes the first in an empty directory. */
OAK_MUST_USE int rocks__current_read(struct rocks *r, struct oak_errbuf *e);
/* Write the file that will name it; make that the one that counts: a rename, for which a full disk
 * has room. */
OAK_MUST_USE int rocks__current_stage(const struct rocks *r, uint64_t number);
OAK_MUST_USE int rocks__current_switch(const struct rocks *r);
/* Remove every database but the current one; or one that is not. */
void rocks__sweep(struct rocks *r);
void rocks__sweep_one(const struct rocks *r, uint64_t number);
/* The state record of the database that is now the current one. */
void rocks__adopt(struct rocks *r, const struct rocks_state *state);
/* State and metas of the current database. */
OAK_MUST_USE int rocks__load(struct rocks *r, struct oak_errbuf *e);

/* rocks_scan.c */
int rocks__scan_open(struct oak_store *s, const struct oak_store_range *range, int64_t rev,
                     bool keys_only, bool descend, struct oak_store_scan **out);
int rocks__scan_next(struct oak_store_scan *scan, struct oak_store_kv *out);
void rocks__scan_close(struct oak_store_scan *scan);

/* rocks_changes.c */
int rocks__changes(struct oak_store *s, int64_t from, int64_t to, oak_store_want_fn *want,
                   bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                const struct oak_store_kv *kv),
                   void *arg);
int rocks__reclaim(struct oak_store *s, int64_t floor, size_t steps, bool *more);
/* Put the changes records of what has gathered, up to `upto`, into the write batch. */
OAK_MUST_USE int rocks__changes_write(struct rocks *r, struct oak_store_rev upto);

/* rocks_thin.c */
/* How many removed versions are come over, from start to end by the same thread. */
struct rocks_meter {
    rocksdb_perfcontext_t *counts;
    uint64_t before;
};
void rocks__meter_start(struct rocks_meter *m);
uint64_t rocks__meter_end(struct rocks_meter *m);
/* A scan of [low, high) has come over so many on its way to so many keys. */
void rocks__waded(struct rocks *r, uint64_t walked, uint64_t keys, struct oak_bytes low,
                  struct oak_bytes high);
/* Why an iterator is not valid: 0 at the end, or because it has come over too much that was removed
 * (*many). Else it is logged. */
OAK_MUST_USE int rocks__iter_error(const rocksdb_iterator_t *it, const struct oak_log *log,
                                   const char *what, bool *many);
/* Reclaim has written down that so many are removed. */
void rocks__thin_removed(struct rocks *r, uint64_t entries);
/* Begin, when there is reason to, to get rid of what reclaim has left. It never waits. */
OAK_MUST_USE int rocks__thin(struct rocks *r);
void rocks__thin_fini(struct rocks_thin *t);

/* rocks_scrub.c */
int rocks__scrub_begin(struct oak_store *s, struct oak_store_scrub **out);
void rocks__scrub_run(struct oak_store_scrub *scrub, size_t bytes);
void rocks__scrub_free(struct oak_store_scrub *scrub);
/* rocks_squeeze.c */
OAK_MUST_USE int rocks__squeeze_begin(struct oak_store *s, struct oak_store_squeeze **out);
void rocks__squeeze_run(struct oak_store_squeeze *base);
void rocks__squeeze_free(struct oak_store_squeeze *base);

/* rocks_move.c */
/* A number that RocksDB tells under a name. */
uint64_t rocks__property(const struct rocks_db *db, const char *name);
/* The applied index in the files of a database; 0: they have none. */
OAK_MUST_USE int rocks__applied_in_files(const struct rocks *r, struct rocks_db *db,
                                         uint64_t *applied);
/* Might a flush make its caller wait? */
bool rocks__flush_would_wait(const struct rocks_db *db);
int rocks__flush_begin(struct oak_store *s, struct oak_store_flush **out);
void rocks__flush_run(struct oak_store_flush *f);
void rocks__flush_free(struct oak_store_flush *f);
int rocks__snapshot_open(struct oak_store *s, struct oak_store_snapshot **out);
int rocks__snapshot_read(struct oak_store_snapshot *snap, uint8_t *out, size_t capacity,
                         size_t *got);
void rocks__snapshot_rewind(struct oak_store_snapshot *snap);
void rocks__snapshot_close(struct oak_store_snapshot *snap);
/* rocks_restore.c */
int rocks__restore_begin(struct oak_store *s, struct oak_store_restore **out);
int rocks__restore_write(struct oak_store_restore *r, struct oak_bytes bytes);
int rocks__restore_prepare(struct oak_store_restore *r);
int rocks__restore_commit(struct oak_store_restore *r);
void rocks__restore_adopt(struct oak_store_restore *r);
void rocks__restore_free(struct oak_store_restore *r);

#endif
