/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the store share. The door is store.h.
 *
 *   store.c, beside.c  the door: checks, bookkeeping common to both engines, then the engine's
 * table tree.c             ordered tree of keys with chains of versions meta.c             named
 * values, with what is not yet committed on top snapshot_stream.c  the stream that both engines
 * make and take memory*.c          the memory engine rocks*.c           the RocksDB engine
 */
#ifndef OAK_STORE_INTERNAL_H
#define OAK_STORE_INTERNAL_H

#include "store/store.h"

/* A key and a value together, in one version. Requests are far smaller (--max-request-bytes); this
 * is what a damaged length in a stream may make us gather before we notice. */
#define STORE_PAIR_BYTES_MAX (64 * OAK_MIB)
#define STORE_META_DATA_MAX  (1 * OAK_MIB)
#define STORE_META_KEY_MAX   (STORE_PAIR_BYTES_MAX - STORE_META_DATA_MAX)

/* -- one version, on its way somewhere --------------------------------------------------------- */

struct store_item {
    struct oak_store_rev rev;
    bool deleted;
    struct oak_store_kv kv; /* of a tombstone only key and mod_rev count */
};

static inline int store__rev_cmp(struct oak_store_rev a, struct oak_store_rev b)
{
    if (a.main != b.main) {
        return a.main < b.main ? -1 : 1;
    }
    return (a.sub > b.sub) - (a.sub < b.sub);
}

/* Decides, for the versions of one key given newest first, which of them the floor leaves readable:
 * everything at or above the floor, and the newest below it if nothing stands at the floor and it
 * is no tombstone. Start each key with zero. */
struct store_sieve {
    bool covered; /* a version at or below the floor has been seen */
};
bool store__sieve_keeps(struct store_sieve *sieve, int64_t floor, int64_t main, bool deleted);

/* A half-open range of keys with its own copy of the bounds. */
struct store_bounds {
    struct oak_bytes low;
    struct oak_bytes high; /* not part of the range */
    bool open_end;         /* `high` is unused */
};
/* Bytes that store__bounds_set needs behind it. */
size_t store__bounds_size(const struct oak_store_range *range);
void store__bounds_set(struct store_bounds *b, const struct oak_store_range *range, uint8_t *room);

/* -- tree of keys (tree.c) --------------------------------------------------------------------- */

struct store_key;

struct store_version {
    struct store_version *older;
    struct store_version *newer;
    struct store_key *key;
    struct oak_store_rev rev;
    int64_t create_rev;
    int64_t version;
    int64_t lease;
    size_t value_size;
    bool deleted;
    uint8_t value[];
};

struct store_key {
    struct store_version *newest;
    size_t size;
    uint8_t bytes[];
};

struct store_leaf;
struct store_tree {
    void *root;      /* a leaf when height is 1, else a branch; NULL when empty */
    unsigned height; /* levels; 0 when empty */
    struct store_leaf *first;
    struct store_leaf *last;
    uint64_t keys;
    uint64_t bytes; /* of keys and versions, with their headers */
};

static inline struct oak_bytes store__key_bytes(const struct store_key *key)
{
    return oak_bytes(key->bytes, key->size);
}
/* NULL when there is none. */
struct store_key *store__tree_find(const struct store_tree *t, struct oak_bytes key);
/* Put a version on top of its key's chain, making the key when it is new. OAK_ENOMEM (nothing
 * changed). */
OAK_MUST_USE int store__tree_push(struct store_tree *t, const struct store_item *item,
                                  struct store_version **out);
/* Unlink and free one version; the key goes with its last one. */
void store__tree_drop(struct store_tree *t, struct store_version *v);
/* Free everything. */
void store__tree_clear(struct store_tree *t);
/* The newest version with main <= rev (0: any), or NULL. May be a tombstone. */
struct store_version *store__version_at(const struct store_key *key, int64_t rev);
void store__version_item(const struct store_version *v, struct store_item *out);

/* A place between keys: `key` is NULL past either end. Any change of the tree ends its use. */
struct store_cursor {
    struct store_leaf *leaf;
    unsigned at;
    struct store_key *key;
};
/* At the first key >= `key`. */
void store__cursor_seek(const struct store_tree *t, struct store_cursor *c, struct oak_bytes key);
/* At the last key < `key`. */
void store__cursor_seek_before(const struct store_tree *t, struct store_cursor *c,
                               struct oak_bytes key);
void store__cursor_first(const struct store_tree *t, struct store_cursor *c);
void store__cursor_last(const struct store_tree *t, struct store_cursor *c);
void store__cursor_next(struct store_cursor *c);
void store__cursor_prev(struct store_cursor *c);

/* -- named values (meta.c) --------------------------------------------------------------------- */

/* Committed values, and on top of them those of the open batch. */
struct store_meta {
    struct store_tree tree;
    struct store_key **touched; /* keys that the open batch has written, each once */
    size_t touched_count;
    size_t touched_room;
    int64_t batch; /* batches committed: a version with a higher number is of the open one */
};
void store__meta_fini(struct store_meta *m);
/* The newest value, or NULL. */
const struct store_version *store__meta_find(const struct store_meta *m, struct oak_bytes key);
OAK_MUST_USE int store__meta_put(struct store_meta *m, struct oak_bytes key, struct oak_bytes data);
/* The values of the open batch become committed ones. */
void store__meta_commit(struct store_meta *m);
/* Each pair; with `committed` those of the open batch are passed over. A false return stops. */
void store__meta_each(const struct store_meta *m, bool committed,
                      bool (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                      void *arg);
/* The same, the open batch included, for keys at or above `from` that begin with `prefix`. */
void store__meta_scan(const struct store_meta *m, struct oak_bytes prefix, struct oak_bytes from,
                      bool (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                      void *arg);

/* -- snapshot stream (snapshot_stream.c) ------------------------------------------------------- */

struct store_stream_out {
    uint32_t crc;
    uint64_t metas;
    uint64_t versions;
};
/* Each appends one record to `buf`, in this order. OAK_ENOMEM. */
OAK_MUST_USE int store__stream_state(struct store_stream_out *o,
                                     const struct oak_store_state *state, struct oak_buf *buf);
OAK_MUST_USE int store__stream_meta(struct store_stream_out *o, struct oak_bytes key,
                                    struct oak_bytes data, struct oak_buf *buf);
OAK_MUST_USE int store__stream_version(struct store_stream_out *o, const struct store_item *item,
                                       struct oak_buf *buf);
OAK_MUST_USE int store__stream_end(struct store_stream_out *o, struct oak_buf *buf);

/* What a reader hands on, in the order of the stream. A nonzero return ends reading with it. */
struct store_stream_sink {
    int (*state)(void *arg, const struct oak_store_state *state);
    int (*meta)(void *arg, struct oak_bytes key, struct oak_bytes data);
    int (*version)(void *arg, const struct store_item *item);
    void *arg;
};
struct store_stream_in {
    struct store_stream_sink sink;
    struct oak_buf pending; /* a record that has not come in full */
    struct oak_buf last;    /* key of the last meta or version, to check the order */
    struct oak_store_rev last_rev;
    struct oak_store_state state;
    uint64_t metas;
    uint64_t versions;
    uint32_t crc;
    int stage;
    int error; /* sticky */
};
void store__stream_in_init(struct store_stream_in *in, const struct store_stream_sink *sink);
void store__stream_in_fini(struct store_stream_in *in);
/* OAK_ECORRUPT for bytes that no writer makes, or what the sink returned. */
OAK_MUST_USE int store__stream_feed(struct store_stream_in *in, struct oak_bytes bytes);
/* OAK_ECORRUPT when the trailer has not come. */
OAK_MUST_USE int store__stream_finish(const struct store_stream_in *in);

/* -- engines ----------------------------------------------------------------------------------- */

/* The door checks and keeps `struct oak_store`; an engine does the rest. An engine's structs embed
 * these as their first member. */
struct store_ops {
    void (*close)(struct oak_store *s);
    int (*write)(struct oak_store *s, const struct store_item *item);
    int (*meta_put)(struct oak_store *s, struct oak_bytes key, struct oak_bytes data);
    int (*commit)(struct oak_store *s, const struct oak_store_state *state);
    /* `head`: the value may be left out. */
    int (*get)(struct oak_store *s, struct oak_bytes key, int64_t rev, bool head,
               struct oak_store_kv *out);
    int (*scan_open)(struct oak_store *s, const struct oak_store_range *range, int64_t rev,
                     bool keys_only, bool descend, struct oak_store_scan **out);
    int (*scan_next)(struct oak_store_scan *scan, struct oak_store_kv *out);
    void (*scan_close)(struct oak_store_scan *scan);
    /* `want` NULL: all of them. */
    int (*changes)(struct oak_store *s, int64_t from, int64_t to, oak_store_want_fn *want,
                   bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                const struct oak_store_kv *kv),
                   void *arg);
    /* `floor` is the compaction floor, or below it where something older is held. */
    int (*reclaim)(struct oak_store *s, int64_t floor, size_t steps, bool *more);
    int (*flush_begin)(struct oak_store *s, struct oak_store_flush **out);
    void (*flush_run)(struct oak_store_flush *f);
    void (*flush_free)(struct oak_store_flush *f);
    int (*scrub_begin)(struct oak_store *s, struct oak_store_scrub **out);
    void (*scrub_run)(struct oak_store_scrub *scrub, size_t bytes);
    void (*scrub_free)(struct oak_store_scrub *scrub);
    int (*snapshot_open)(struct oak_store *s, struct oak_store_snapshot **out);
    int (*snapshot_read)(struct oak_store_snapshot *snap, uint8_t *out, size_t capacity,
                         size_t *got);
    /* Its stream from the start again. */
    void (*snapshot_rewind)(struct oak_store_snapshot *snap);
    void (*snapshot_close)(struct oak_store_snapshot *snap);
    int (*restore_begin)(struct oak_store *s, struct oak_store_restore **out);
    int (*restore_write)(struct oak_store_restore *r, struct oak_bytes bytes);
    int (*restore_prepare)(struct oak_store_restore *r);
    int (*restore_commit)(struct oak_store_restore *r);
    /* The engine holds the new contents and has adopted their state. */
    void (*restore_adopt)(struct oak_store_restore *r);
    void (*restore_free)(struct oak_store_restore *r);
    void (*stats)(struct oak_store *s, struct oak_store_stats *out);
    /* NULL, all three: there is nothing to give back. */
    int (*squeeze_begin)(struct oak_store *s, struct oak_store_squeeze **out);
    void (*squeeze_run)(struct oak_store_squeeze *q);
    void (*squeeze_free)(struct oak_store_squeeze *q);
};

struct oak_store {
    const struct store_ops *ops;
    const struct oak_disk *disk;
    const struct oak_log *log;
    struct oak_store_state state; /* of the last commit */
    struct store_meta meta;
    uint64_t durable;               /* applied index that survives a crash */
    struct oak_store_rev last;      /* newest revision written, open batch included */
    struct oak_store_rev committed; /* newest revision of the last commit */
    uint64_t keys;                  /* live keys, open batch included */
    uint64_t pending;               /* writes of the open batch */
    struct oak_list pins;
    unsigned scans;     /* open scans */
    unsigned snapshots; /* open snapshots */
    size_t waiting;     /* bytes written since it is full */
    bool full;          /* what was to be written last found no space on disk */
    bool damaged;       /* a read has found what can't be */
    bool scrubbing;
    bool flushing;
    bool restoring; /* a restore was begun and is neither adopted nor dropped */
    bool poisoned;  /* a write or a sync failed: only reading and closing are left */
};
struct oak_store_scan {
    struct oak_store *store;
};
struct oak_store_squeeze {
    const struct store_ops *ops;
};
struct oak_store_flush {
    struct oak_store *store;
    uint64_t applied; /* what will be durable */
    uint64_t durable; /* set by run: what it found to be; what the error says does not matter */
    int error;        /* set by run */
    bool done;
};
struct oak_store_scrub {
    struct oak_store *store;
    int error;  /* set by run, as the next */
    bool whole; /* it came to the end */
};
struct oak_store_snapshot {
    struct oak_store *store;
    struct oak_store_state state;
    uint64_t offset; /* of the next byte */
    int error;       /* of the last read */
};
struct oak_store_restore {
    struct oak_store *store;
    int error; /* sticky, of write, prepare and commit */
    bool prepared;
    bool committed;
    bool settled; /* adopted or dropped */
};

/* OAK_EFATAL when it is poisoned. */
OAK_MUST_USE int store__write_check(const struct oak_store *s);
/* What a read has ended with: does it show damage? Gives it back. */
int store__read_note(struct oak_store *s, int error);
/* Fill what both engines have in common, for an empty store. */
void store__init(struct oak_store *s, const struct store_ops *ops,
                 const struct oak_store_options *options);
/* `state` was read from disk, or came with a restored stream. */
void store__adopt(struct oak_store *s, const struct oak_store_state *state, uint64_t keys);
/* Frees what init and use made, not `s`. */
void store__fini(struct oak_store *s);
/* "dir/name", malloc'ed; NULL without memory. */
char *store__path(const char *dir, const char *name);
/* Make options.dir, and its name durable in its parent. */
OAK_MUST_USE int store__make_dir(const struct oak_store_options *options, struct oak_errbuf *e);

#endif
