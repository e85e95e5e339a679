/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: keys with their history, at revisions. Two engines behind one door.
 *
 *     oak_store_put(s, rev, &kv); oak_store_del(s, rev, key); ...   // visible to this thread at
 * once oak_store_commit(s, &state)                                   // one atomic batch
 *
 * The owner (the replica) is the one writer, and reads its own uncommitted writes. A batch and the
 * state that goes with it (applied index, revision, ...) become visible to other threads, and
 * survive a crash, together or not at all. Durability is lazy: the Raft log is the truth until a
 * flush, so what was committed here but not flushed may be gone after a crash, always from the
 * newest end, and the log is replayed from state.applied.
 *
 * A version of a key is what one (main, sub) revision made of it: a put, or a tombstone. Reading
 * "as of" a main revision sees each key's newest version with main <= revision.
 *
 * Engines: memory (memory.c; for the simulator, for sanitizers, and the shape of the resident tier)
 * and RocksDB (rocks.c), which is the durable truth in production.
 *
 * Threads: the owner's, except where a function says so.
 */
#ifndef OAK_STORE_H
#define OAK_STORE_H

#include "port/port.h"

struct oak_store;

/* One version of one key. Byte strings are borrowed. Numbers as etcd's mvccpb.KeyValue. */
struct oak_store_kv {
    struct oak_bytes key;
    struct oak_bytes value;
    int64_t create_rev;
    int64_t mod_rev;
    int64_t version; /* puts since creation, from 1 */
    int64_t lease;   /* 0: none */
};

/* A version's place: all changes of one operation share `main`; `sub` orders them, from 0. */
struct oak_store_rev {
    int64_t main;
    int64_t sub;
};

/* What goes with a batch. The store keeps it and gives it back; it reads `revision` and
 * `compacted`. */
struct oak_store_state {
    uint64_t applied; /* Raft index */
    uint64_t applied_term;
    int64_t revision;  /* main revision of the newest change; 1 in an empty store */
    int64_t compacted; /* the compaction floor: reads below it fail; -1: none yet */
    uint64_t chain;    /* the state machine's running hash over everything applied */
};

/* Keys in [from, to). `to` empty: exactly `from`. `open_end`: everything from `from` on (to is
 * unused). */
struct oak_store_range {
    struct oak_bytes from;
    struct oak_bytes to;
    bool open_end;
};

struct oak_store_options {
    const struct oak_disk *disk; /* memory engine: where flush writes; RocksDB does its own I/O */
    const struct oak_log *log;   /* may be NULL */
    const char *dir;             /* made when it does not exist */
    uint64_t group;
    size_t memory_bytes; /* ceiling of caches and write buffers together; 0: 64 MiB */
};

OAK_MUST_USE int oak_store_open_memory(const struct oak_store_options *options,
                                       struct oak_store **out, struct oak_errbuf *e);
OAK_MUST_USE int oak_store_open_rocks(const struct oak_store_options *options,
                                      struct oak_store **out, struct oak_errbuf *e);
void oak_store_close(struct oak_store *s);

/* State of the last commit (an empty store: all 0, revision 1, compacted -1). */
const struct oak_store_state *oak_store_state(const struct oak_store *s);

/* -- writing ----------------------------------------------------------------------------------- */

/* A new version of kv->key at `rev` (kv->mod_rev == rev.main). Revisions only rise. OAK_ENOMEM,
 * OAK_EIO. */
OAK_MUST_USE int oak_store_put(struct oak_store *s, struct oak_store_rev rev,
                               const struct oak_store_kv *kv);
/* A tombstone for a key that exists. */
OAK_MUST_USE int oak_store_del(struct oak_store *s, struct oak_store_rev rev, struct oak_bytes key);
/* Small named values outside the history (members, leases), all of them in memory: a key may be as
 * long as one of the history, with a prefix. Empty data removes it. OAK_EINVAL: too long. */
OAK_MUST_USE int oak_store_meta_put(struct oak_store *s, struct oak_bytes key,
                                    struct oak_bytes data);
/* Each meta pair in key order, newest batch included. Borrowed during the call. */
OAK_MUST_USE int oak_store_meta_each(struct oak_store *s,
                                     void (*each)(void *arg, struct oak_bytes key,
                                                  struct oak_bytes data),
                                     void *arg);
/* One of them, newest batch included, valid until the next write; OAK_ENOENT. */
OAK_MUST_USE int oak_store_meta_get(struct oak_store *s, struct oak_bytes key,
                                    struct oak_bytes *data);
/* Those whose key begins with `prefix`, in key order, from `from` on, which begins with it too
 * (NULL bytes: from the first). `each` returns false to stop, and writes nothing. It costs what is
 * seen. */
void oak_store_meta_scan(struct oak_store *s, struct oak_bytes prefix, struct oak_bytes from,
                         bool (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                         void *arg);
/* Everything written since the last commit, and `state`, as one. A failure poisons the store: the
 * process must end. What finds no space on disk is no failure: it stays in memory, and the store is
 * full. A rising state.compacted takes effect here, at once; space comes back by reclaim. */
OAK_MUST_USE int oak_store_commit(struct oak_store *s, const struct oak_store_state *state);

/* Did what was to be written last find no space on disk? It is tried again by a flush, and a flush
 * that succeeds is the end of it. *waiting (may be NULL): about how much was written since, in
 * bytes, all of it in memory: the owner sees to it that it stays bounded. */
bool oak_store_full(const struct oak_store *s, size_t *waiting);

/* -- reading (owner; sees uncommitted writes) -------------------------------------------------- */

/* The version of `key` as of `rev` (0: newest). Bytes are valid until the next call to the store.
 * OAK_ENOENT (no such key then, or deleted), OAK_EIO, OAK_ECORRUPT. The caller checks `rev` against
 * the state. */
OAK_MUST_USE int oak_store_get(struct oak_store *s, struct oak_bytes key, int64_t rev,
                               struct oak_store_kv *out);

/* As get of the newest version, but the value may be left out: all that a put needs to know of the
 * version before it, and much cheaper when the value has fallen out of memory. */
OAK_MUST_USE int oak_store_head(struct oak_store *s, struct oak_bytes key,
                                struct oak_store_kv *out);

/* Walk keys in order as of `rev` (0: newest). `descend` walks from the end. `keys_only`: values may
 * be left empty and need not be read. No write to the store while a scan is open. */
struct oak_store_scan;
OAK_MUST_USE int oak_store_scan_open(struct oak_store *s, const struct oak_store_range *range,
                                     int64_t rev, bool keys_only, bool descend,
                                     struct oak_store_scan **out);
/* 0 and the next pair (valid until the next call), or OAK_ENOENT at the end. */
OAK_MUST_USE int oak_store_scan_next(struct oak_store_scan *scan, struct oak_store_kv *out);
void oak_store_scan_close(struct oak_store_scan *scan);

/* How many keys a scan would give. */
OAK_MUST_USE int oak_store_count(struct oak_store *s, const struct oak_store_range *range,
                                 int64_t rev, uint64_t *out);

/* Each change with main revision in [from, to], in order of (main, sub): `kv` for a put; for a
 * delete, `deleted` is set and only key and mod_rev are filled. `from` must be above the compaction
 * floor. `each` returns false to stop. */
OAK_MUST_USE int oak_store_changes(struct oak_store *s, int64_t from, int64_t to,
                                   bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                                const struct oak_store_kv *kv),
                                   void *arg);

/* The same of those changes that `want` takes: it is asked first, and the values of the others are
 * not read, which is what a change costs. */
enum oak_store_want {
    OAK_STORE_SKIP,
    OAK_STORE_TAKE,
    OAK_STORE_STOP,
};
typedef enum oak_store_want oak_store_want_fn(void *arg, struct oak_store_rev rev,
                                              struct oak_bytes key);
OAK_MUST_USE int oak_store_changes_of(struct oak_store *s, int64_t from, int64_t to,
                                      oak_store_want_fn *want,
                                      bool (*each)(void *arg, struct oak_store_rev rev,
                                                   bool deleted, const struct oak_store_kv *kv),
                                      void *arg);

/* -- housekeeping ------------------------------------------------------------------------------ */

/* Give back space of versions that the compaction floor hides: at most about `steps` versions are
 * looked at. *more says whether there is work left. Keeps, for each key, the newest version at or
 * below the floor unless it is a tombstone below the floor. A full store does nothing. */
OAK_MUST_USE int oak_store_reclaim(struct oak_store *s, size_t steps, bool *more);

/* What is readable as of `rev` now, the floor or above it, stays readable as of it, whatever is
 * compacted later: reclaim leaves it. Embed it; zeroed it holds nothing. It holds until it is let
 * go, or a restore replaces all contents: held() tells. Letting go twice is once. */
struct oak_store_pin {
    struct oak_list link;
    int64_t rev;
};
void oak_store_pin(struct oak_store *s, struct oak_store_pin *pin, int64_t rev);
void oak_store_unpin(struct oak_store_pin *pin);
bool oak_store_pin_held(const struct oak_store_pin *pin);

/* Make what is committed durable, in three steps: begin (owner; takes note), run (a worker may call
 * it while the owner goes on writing; blocks on the disk), end (owner). end returns the applied
 * index that is durable now, or an error. Begin and end may say OAK_ENOSPC: the store is full, and
 * has lost nothing. OAK_EAGAIN, of end: not all of it yet; begin another in a moment. OAK_EIO
 * poisons it. *durable_applied tells what is durable in any case. */
struct oak_store_flush;
OAK_MUST_USE int oak_store_flush_begin(struct oak_store *s, struct oak_store_flush **out);
void oak_store_flush_run(struct oak_store_flush *f);
OAK_MUST_USE int oak_store_flush_end(struct oak_store_flush *f, uint64_t *durable_applied);
/* The applied index known to be durable. */
uint64_t oak_store_durable(const struct oak_store *s);

/* Read what is on disk again and check it, a piece at a time: begin (owner), run (a worker may call
 * it while the owner goes on writing) reads about so many bytes from where the last piece ended,
 * end (owner). *whole: it came to the end, and the next piece begins a new pass. OAK_ECORRUPT, of
 * end: the store is damaged. One at a time. */
struct oak_store_scrub;
OAK_MUST_USE int oak_store_scrub_begin(struct oak_store *s, struct oak_store_scrub **out);
void oak_store_scrub_run(struct oak_store_scrub *scrub, size_t bytes);
OAK_MUST_USE int oak_store_scrub_end(struct oak_store_scrub *scrub, bool *whole);
/* What was on disk has once been read, by anything above, and could not be, or was not what had
 * been written: nothing here is to be relied on until other contents are restored. */
bool oak_store_damaged(const struct oak_store *s);

/* The whole committed state as a byte stream that either engine can take back: state, meta pairs,
 * then every version in key order; format in snapshot_stream.c. open is the owner's; read may be
 * called by a worker while the owner goes on writing. read fills up to `capacity` bytes; *got is 0
 * at the end. */
struct oak_store_snapshot;
OAK_MUST_USE int oak_store_snapshot_open(struct oak_store *s, struct oak_store_snapshot **out);
const struct oak_store_state *oak_store_snapshot_state(const struct oak_store_snapshot *snap);
OAK_MUST_USE int oak_store_snapshot_read(struct oak_store_snapshot *snap, uint8_t *out,
                                         size_t capacity, size_t *got);
/* Read on from `offset` of the stream, which is the same bytes each time; going back reads all that
 * comes before again. As read for threads. OAK_EINVAL: it ends before that. */
OAK_MUST_USE int oak_store_snapshot_seek(struct oak_store_snapshot *snap, uint64_t offset);
void oak_store_snapshot_close(struct oak_store_snapshot *snap);

/* Replace everything by such a stream, beside serving from what is there:
 *
 *     begin     owner
 *     write     any thread: new contents are built beside the old ones
 *     prepare   any thread: they are whole, verified, and durable under a name of their own
 *     commit    any thread: they become the store's contents on disk, atomically
 *     adopt     owner: and in memory. Instant
 *     end       any thread: frees what is left: the old contents, or, without adopt, the new
 *
 * Commit needs no space. Until it nothing has changed, and the owner reads, writes and flushes as
 * before; a stream that is malformed or cut short is OAK_ECORRUPT at write or prepare. From commit
 * to adopt the owner writes and flushes nothing, and what it wrote since begin is gone after it. A
 * crash before commit leaves the old contents, a crash after it the new; after a failed commit it
 * is not known which, and the process must end. One restore at a time: the owner says `drop` where
 * it will not adopt, and may begin another once end has been called. */
struct oak_store_restore;
OAK_MUST_USE int oak_store_restore_begin(struct oak_store *s, struct oak_store_restore **out);
OAK_MUST_USE int oak_store_restore_write(struct oak_store_restore *r, struct oak_bytes bytes);
OAK_MUST_USE int oak_store_restore_prepare(struct oak_store_restore *r);
OAK_MUST_USE int oak_store_restore_commit(struct oak_store_restore *r);
void oak_store_restore_adopt(struct oak_store_restore *r);
void oak_store_restore_drop(struct oak_store_restore *r);
void oak_store_restore_end(struct oak_store_restore *r);
/* For start-up, where all may block: prepare to end, or drop and end after an error. */
OAK_MUST_USE int oak_store_restore_finish(struct oak_store_restore *r);

/* The same from versions that come from elsewhere, for start-up: begin, put each, end. They come in
 * order of key, each key's newest first; those that the floor of `state` hides are left out. Pairs
 * of meta are for who has them to put behind it. End and abort free it; after another failure only
 * abort may follow. OAK_EINVAL: not in order, or not such a version. */
struct oak_store_fill;
OAK_MUST_USE int oak_store_fill_begin(struct oak_store *s, const struct oak_store_state *state,
                                      struct oak_store_fill **out);
OAK_MUST_USE int oak_store_fill_put(struct oak_store_fill *f, struct oak_store_rev rev,
                                    bool deleted, const struct oak_store_kv *kv);
OAK_MUST_USE int oak_store_fill_end(struct oak_store_fill *f);
void oak_store_fill_abort(struct oak_store_fill *f);

/* etcd's hash over the history as of `rev` (HashKV): begin (owner; the floor <= rev <= the newest
 * revision), run (any thread, one at a time) reads about so many bytes of it and says whether it is
 * over, end (owner; at any time). `room` versions, two at least, are taken in one pass. A hash is
 * open as a snapshot is. OAK_EAGAIN, of end: it was not over. */
struct oak_store_hash;
OAK_MUST_USE int oak_store_hash_begin(struct oak_store *s, int64_t rev, size_t room,
                                      struct oak_store_hash **out);
bool oak_store_hash_run(struct oak_store_hash *h, size_t bytes);
OAK_MUST_USE int oak_store_hash_end(struct oak_store_hash *h, uint32_t *out);

/* What is in the whole committed state, record by record, in the order of a snapshot's stream:
 * pairs of meta by key, then versions by key, each key's newest first, but for those that the floor
 * hides. Begin (owner), run (any thread, one at a time) walks about so many bytes and says whether
 * it is over, end (owner; at any time). It is open as a snapshot is. What a visitor returns, if it
 * is not 0, ends the walk, and is its error. */
struct oak_store_visitor {
    int (*meta)(void *arg, struct oak_bytes key, struct oak_bytes data);
    /* As the callback of oak_store_changes(). Bytes are borrowed for the call. */
    int (*version)(void *arg, struct oak_store_rev rev, bool deleted,
                   const struct oak_store_kv *kv);
    void *arg;
};
struct oak_store_walk;
OAK_MUST_USE int oak_store_walk_begin(struct oak_store *s, const struct oak_store_visitor *visitor,
                                      struct oak_store_walk **out);
const struct oak_store_state *oak_store_walk_state(const struct oak_store_walk *w);
bool oak_store_walk_run(struct oak_store_walk *w, size_t bytes);
/* Once it is over; OAK_EAGAIN: it is not. OAK_ENOMEM, OAK_EIO, OAK_ECORRUPT. */
OAK_MUST_USE int oak_store_walk_error(const struct oak_store_walk *w);
void oak_store_walk_end(struct oak_store_walk *w);

/* Give back space on disk that nothing is in any more: begin (owner), run (a worker may call it;
 * blocks on the disk), end (owner). Files are merged in the background behind that. One at a time.
 * OAK_ENOSPC: the store is full. */
struct oak_store_squeeze;
OAK_MUST_USE int oak_store_squeeze_begin(struct oak_store *s, struct oak_store_squeeze **out);
void oak_store_squeeze_run(struct oak_store_squeeze *q);
void oak_store_squeeze_end(struct oak_store_squeeze *q);

struct oak_store_stats {
    uint64_t disk_bytes;   /* on disk, and waiting in memory to go there */
    uint64_t live_bytes;   /* estimate of what is in use of it */
    uint64_t memory_bytes; /* caches and buffers */
    uint64_t keys;         /* estimate of live keys */
};
void oak_store_stats(struct oak_store *s, struct oak_store_stats *out);

#endif
