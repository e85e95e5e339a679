/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_move.c: making it durable, streaming it out, and taking a stream in.
 *
 * Flush        RocksDB writes its memtables to files and syncs them; what was committed before
 *              `begin` is among them. That it says so is not enough: from 7.6 to 8.8 a flush
 *              returns at once, and well, when RocksDB has ever got over a full disk in this
 *              process. So the state is read back, past the memtables, and counts for what it is.
 * Snapshot     an iterator over RocksDB's snapshot as of `open`; state and metas are taken at
 *              `open`.
 * Restore      into a database of its own, beside the current one: 1 dir/<n + 1> is made and
 *              filled 2 flushed 3 "current" is renamed to name it 4 the owner's pointers are
 *              switched 5 the old one is dropped. A crash before 3 leaves the old one current and
 *              the new one to be swept at open.
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ENOSPC; restore: OAK_ECORRUPT for a bad stream, nothing
 *              changed.
 * Invariants   a worker touches its own flush or snapshot, RocksDB (which may be shared), and of
 *              the engine what never changes.
 * Thread       as store.h says: begin, open, close, adopt, end of a flush: the owner's. The rest:
 *              any.
 */
#include "store/rocks.h"

#include <stdlib.h>

/* Bytes that a snapshot makes ready, or a restore writes, at a time. */
#define MOVE_BYTES (256 * OAK_KIB)

/* -- flush ------------------------------------------------------------------------------------- */

struct rocks_flush {
    struct oak_store_flush base;
    struct rocks_db *db;
};

/* The applied index in the files of the database; 0: they have none. */
static int applied_in_files(const struct rocks *r, struct rocks_db *db, uint64_t *applied)
{
    struct oak_buf key = {0};
    struct rocks_state state = {0};
    char *said = NULL;
    size_t size = 0;
    *applied = 0;
    int error = rocks__kind_key(&r->group, ROCKS_STATE, oak_bytes(NULL, 0), &key);
    if (error != 0) {
        return error;
    }
    char *bytes =
        rocksdb_get(db->db, r->read_files, (const char *)key.data, key.size, &size, &said);
    if (said != NULL) {
        error = rocks__failed(r->base.log, "read", said);
    } else if (bytes != NULL) {
        error = rocks__state_decode(oak_bytes(bytes, size), &state);
        *applied = state.state.applied;
    }
    rocksdb_free(bytes);
    oak_buf_fini(&key);
    return error;
}

/* As text: not all of them are to be had as a number. */
uint64_t rocks__property(const struct rocks_db *db, const char *name)
{
    char *text = rocksdb_property_value(db->db, name);
    OAK_ASSERT(text != NULL);
    uint64_t value = strtoull(text, NULL, 10);
    rocksdb_free(text);
    return value;
}

/* RocksDB lets a flush wait that might make writers wait. When what it waits for fails for want of
 * space, that is until there is some, and the worker with it. So there is none while another is
 * under way: then that one brings it on, and the next look finds it. */
bool rocks__flush_would_wait(const struct rocks_db *db)
{
    return rocks__property(db, "rocksdb.num-immutable-mem-table") > 0 ||
           rocks__property(db, "rocksdb.num-files-at-level0") + 2 >= ROCKS_LEVEL0_SLOW;
}

static int flush_db(const struct oak_log *log, struct rocks_db *db)
{
    char *said = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(db->db, options, &said);
    rocksdb_flushoptions_destroy(options);
    return said == NULL ? 0 : rocks__failed(log, "flush", said);
}

int rocks__flush_begin(struct oak_store *s, struct oak_store_flush **out)
{
    int error = rocks__write_out(rocks__of(s));
    if (error != 0) {
        return error;
    }
    struct rocks_flush *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return OAK_ENOMEM;
    }
    f->base.store = s;
    f->db = rocks__of(s)->db;
    *out = &f->base;
    return 0;
}

void rocks__flush_run(struct oak_store_flush *base)
{
    struct rocks_flush *f = OAK_CONTAINER_OF(base, struct rocks_flush, base);
    const struct rocks *r = rocks__of(base->store);
    base->error = rocks__ask_space(r, f->db);
    if (base->error == 0 && !rocks__flush_would_wait(f->db)) {
        base->error = flush_db(r->base.log, f->db);
    }
    if (base->error == OAK_ENOSPC) {
        /* It may have been a compaction that found none, which stops neither writes nor flushes. */
        base->error = rocks__ask_space(r, f->db);
    }
    if (base->error == 0) {
        base->error = applied_in_files(r, f->db, &base->durable);
    }
    if (base->error == 0 && base->durable < base->applied) {
        base->error = OAK_EAGAIN;
    }
}

void rocks__flush_free(struct oak_store_flush *base)
{
    rocks__point_drop(rocks__of(base->store)); /* it holds on to memory that the flush has freed */
    free(OAK_CONTAINER_OF(base, struct rocks_flush, base));
}

/* -- snapshot ---------------------------------------------------------------------------------- */

struct rocks_snapshot {
    struct oak_store_snapshot base;
    struct rocks_db *db; /* referenced */
    struct rocks_group group;
    const rocksdb_snapshot_t *view;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it;
    struct store_stream_out out;
    struct oak_buf head;              /* the stream's beginning: state and metas, */
    struct store_stream_out head_out; /* and where it stands behind them */
    struct oak_buf ready;             /* made, given up to `given` */
    size_t given;
    struct oak_buf prefix; /* encoded key of the versions being sieved */
    struct oak_buf key;
    struct store_sieve sieve;
    int64_t floor;
    bool ended;
    int error;
};

static bool snapshot_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct rocks_snapshot *snap = arg;
    snap->error = store__stream_meta(&snap->head_out, key, data, &snap->head);
    return snap->error == 0;
}

int rocks__snapshot_open(struct oak_store *s, struct oak_store_snapshot **out)
{
    struct rocks *r = rocks__of(s);
    int error = rocks__write_out(r);
    if (error != 0) {
        return error;
    }
    struct rocks_snapshot *snap = calloc(1, sizeof(*snap));
    if (snap == NULL) {
        return OAK_ENOMEM;
    }
    snap->base.store = s;
    snap->db = r->db;
    snap->db->refs++;
    snap->group = r->group;
    snap->floor = s->state.compacted;
    snap->view = rocksdb_create_snapshot(r->db->db);
    snap->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(snap->options, 1);
    rocksdb_readoptions_set_fill_cache(snap->options, 0);
    rocksdb_readoptions_set_snapshot(snap->options, snap->view);
    snap->error = store__stream_state(&snap->head_out, &s->state, &snap->head);
    if (snap->error == 0) {
        store__meta_each(&s->meta, true, snapshot_meta, snap);
    }
    if (snap->error != 0) {
        error = snap->error;
        rocks__snapshot_close(&snap->base);
        return error;
    }
    rocks__snapshot_rewind(&snap->base);
    *out = &snap->base;
    return 0;
}

void rocks__snapshot_rewind(struct oak_store_snapshot *base)
{
    struct rocks_snapshot *snap = OAK_CONTAINER_OF(base, struct rocks_snapshot, base);
    if (snap->it != NULL) {
        rocksdb_iter_destroy(snap->it);
        snap->it = NULL;
    }
    snap->out = snap->head_out;
    snap->given = 0;
    snap->ended = false;
    oak_buf_clear(&snap->ready);
    oak_buf_clear(&snap->prefix);
    snap->sieve = (struct store_sieve){0};
    snap->error = oak_buf_append(&snap->ready, snap->head.data, snap->head.size);
}

static int snapshot_version(struct rocks_snapshot *snap, struct oak_bytes at)
{
    size_t prefix = at.size - ROCKS_REV_BYTES;
    struct store_item item;
    struct oak_store_rev rev = rocks__rev_get(at.data + prefix);
    int error = 0;
    if (!oak_bytes_eq(oak_bytes(at.data, prefix), oak_buf_bytes(&snap->prefix))) {
        error = rocks__version_key_decode(&snap->group, at, &snap->key, &rev);
        oak_buf_clear(&snap->prefix);
        if (error == 0) {
            error = oak_buf_append(&snap->prefix, at.data, prefix);
        }
        snap->sieve = (struct store_sieve){0};
    }
    if (error != 0) {
        return error;
    }
    size_t size = 0;
    const char *value = rocksdb_iter_value(snap->it, &size);
    error = rocks__value_decode(oak_bytes(value, size), rev, &item);
    if (error != 0 || !store__sieve_keeps(&snap->sieve, snap->floor, rev.main, item.deleted)) {
        return error;
    }
    item.kv.key = oak_buf_bytes(&snap->key);
    return store__stream_version(&snap->out, &item, &snap->ready);
}

/* Make more of the stream ready. */
static int snapshot_make(struct rocks_snapshot *snap)
{
    if (snap->it == NULL) {
        int error = rocks__kind_key(&snap->group, ROCKS_VERSION, oak_bytes(NULL, 0), &snap->prefix);
        if (error != 0) {
            return error;
        }
        snap->it = rocksdb_create_iterator(snap->db->db, snap->options);
        rocksdb_iter_seek(snap->it, (const char *)snap->prefix.data, snap->prefix.size);
    }
    while (snap->ready.size < MOVE_BYTES && rocksdb_iter_valid(snap->it)) {
        size_t size = 0;
        const char *key = rocksdb_iter_key(snap->it, &size);
        size_t head = snap->group.size + 1;
        if (size < head + ROCKS_REV_BYTES || memcmp(key, snap->group.bytes, head - 1) != 0 ||
            key[head - 1] != ROCKS_VERSION) {
            break;
        }
        int error = snapshot_version(snap, oak_bytes(key, size));
        if (error != 0) {
            return error;
        }
        rocksdb_iter_next(snap->it);
    }
    if (snap->ready.size >= MOVE_BYTES) {
        return 0;
    }
    char *said = NULL;
    rocksdb_iter_get_error(snap->it, &said);
    if (said != NULL) {
        return rocks__failed(snap->base.store->log, "snapshot", said);
    }
    snap->ended = true;
    return store__stream_end(&snap->out, &snap->ready);
}

int rocks__snapshot_read(struct oak_store_snapshot *base, uint8_t *out, size_t capacity,
                         size_t *got)
{
    struct rocks_snapshot *snap = OAK_CONTAINER_OF(base, struct rocks_snapshot, base);
    while (snap->error == 0 && *got < capacity) {
        size_t part = OAK_MIN(capacity - *got, snap->ready.size - snap->given);
        if (part > 0) {
            memcpy(out + *got, snap->ready.data + snap->given, part);
            snap->given += part;
            *got += part;
            continue;
        }
        if (snap->ended) {
            break;
        }
        oak_buf_clear(&snap->ready);
        snap->given = 0;
        snap->error = snapshot_make(snap);
    }
    return snap->error;
}

void rocks__snapshot_close(struct oak_store_snapshot *base)
{
    struct rocks_snapshot *snap = OAK_CONTAINER_OF(base, struct rocks_snapshot, base);
    if (snap->it != NULL) {
        rocksdb_iter_destroy(snap->it);
    }
    rocksdb_release_snapshot(snap->db->db, snap->view);
    rocksdb_readoptions_destroy(snap->options);
    rocks__db_unref(rocks__of(base->store), snap->db);
    oak_buf_fini(&snap->ready);
    oak_buf_fini(&snap->head);
    oak_buf_fini(&snap->prefix);
    oak_buf_fini(&snap->key);
    free(snap);
}

/* -- restore ----------------------------------------------------------------------------------- */

struct rocks_restore {
    struct oak_store_restore base;
    struct store_stream_in in;
    struct rocks_db *db;  /* the new one, from the first write on */
    struct rocks_db *old; /* what was current before adopt, when nobody else reads it */
    uint64_t number;
    rocksdb_writebatch_t *batch;
    size_t batch_bytes;
    struct store_meta meta;
    struct rocks_state state;
    struct oak_buf last; /* key of the last version */
    struct oak_buf key;  /* scratch: the engine's is the owner's */
    struct oak_buf value;
    uint64_t changes; /* records written */
    bool switched;    /* "current" may name it: its files must stay */
};

static int restore_write_batch(struct rocks_restore *t)
{
    const struct rocks *r = rocks__of(t->base.store);
    char *said = NULL;
    rocksdb_write(t->db->db, r->write, t->batch, &said);
    rocksdb_writebatch_clear(t->batch);
    t->batch_bytes = 0;
    return said == NULL ? 0 : rocks__failed(r->base.log, "restore", said);
}

static int restore_put(struct rocks_restore *t, const struct oak_buf *key, struct oak_bytes value)
{
    rocksdb_writebatch_put(t->batch, (const char *)key->data, key->size, (const char *)value.data,
                           value.size);
    t->batch_bytes += key->size + value.size;
    return t->batch_bytes < MOVE_BYTES ? 0 : restore_write_batch(t);
}

static int restore_state(void *arg, const struct oak_store_state *state)
{
    struct rocks_restore *t = arg;
    t->state = (struct rocks_state){.state = *state};
    return 0;
}

static int restore_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct rocks_restore *t = arg;
    const struct rocks *r = rocks__of(t->base.store);
    int error = store__meta_put(&t->meta, key, data);
    if (error == 0) {
        error = rocks__kind_key(&r->group, ROCKS_META, key, &t->key);
    }
    return error != 0 ? error : restore_put(t, &t->key, data);
}

static int restore_version(void *arg, const struct store_item *item)
{
    struct rocks_restore *t = arg;
    const struct rocks *r = rocks__of(t->base.store);
    if (t->last.size == 0 || !oak_bytes_eq(oak_buf_bytes(&t->last), item->kv.key)) {
        t->state.keys += item->deleted ? 0 : 1;
        oak_buf_clear(&t->last);
        int error = oak_buf_append(&t->last, item->kv.key.data, item->kv.key.size);
        if (error != 0) {
            return error;
        }
    }
    int error = rocks__version_key(&r->group, item->kv.key, item->rev, &t->key);
    if (error == 0) {
        error = rocks__value(item, &t->value);
    }
    if (error == 0) {
        error = restore_put(t, &t->key, oak_buf_bytes(&t->value));
    }
    if (error != 0 || item->rev.main < t->state.state.compacted) {
        return error;
    }
    oak_buf_clear(&t->value);
    t->changes++;
    error = rocks__changes_key(&r->group, item->rev, &t->key);
    if (error == 0) {
        error = rocks__change(item, 0, &t->value);
    }
    return error != 0 ? error : restore_put(t, &t->key, oak_buf_bytes(&t->value));
}

int rocks__restore_begin(struct oak_store *s, struct oak_store_restore **out)
{
    struct rocks_restore *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return OAK_ENOMEM;
    }
    t->base.store = s;
    t->number = rocks__of(s)->number + 1;
    t->batch = rocksdb_writebatch_create();
    const struct store_stream_sink sink = {
        .state = restore_state, .meta = restore_meta, .version = restore_version, .arg = t};
    store__stream_in_init(&t->in, &sink);
    *out = &t->base;
    return 0;
}

static int restore_open(struct rocks_restore *t)
{
    const struct rocks *r = rocks__of(t->base.store);
    if (t->db != NULL) {
        return 0;
    }
    rocks__sweep_one(r, t->number);
    int error = rocks__db_open(r, t->number, &t->db, NULL);
    if (error == 0) {
        t->db->doomed = true;
    }
    return error;
}

int rocks__restore_write(struct oak_store_restore *base, struct oak_bytes bytes)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    int error = restore_open(t);
    return error != 0 ? error : store__stream_feed(&t->in, bytes);
}

/* Two versions at one revision share a record: the stream was made by no store. */
static int restore_check(struct rocks_restore *t)
{
    const struct rocks *r = rocks__of(t->base.store);
    int error = rocks__kind_key(&r->group, ROCKS_CHANGES, oak_bytes(NULL, 0), &t->key);
    if (error != 0) {
        return error;
    }
    rocksdb_iterator_t *it = rocksdb_create_iterator(t->db->db, r->read_order);
    uint64_t count = 0;
    rocksdb_iter_seek(it, (const char *)t->key.data, t->key.size);
    while (rocksdb_iter_valid(it)) {
        size_t size = 0;
        const char *key = rocksdb_iter_key(it, &size);
        if (size < t->key.size || memcmp(key, t->key.data, t->key.size) != 0) {
            break;
        }
        count++;
        rocksdb_iter_next(it);
    }
    char *said = NULL;
    rocksdb_iter_get_error(it, &said);
    rocksdb_iter_destroy(it);
    if (said != NULL) {
        return rocks__failed(r->base.log, "restore", said);
    }
    return count == t->changes ? 0 : OAK_ECORRUPT;
}

int rocks__restore_prepare(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    const struct rocks *r = rocks__of(base->store);
    int error = store__stream_finish(&t->in);
    if (error == 0) {
        error = rocks__write_state(r, &t->key, t->batch, &t->state);
    }
    if (error == 0) {
        error = restore_write_batch(t);
    }
    if (error == 0) {
        error = restore_check(t);
    }
    if (error == 0) {
        error = flush_db(r->base.log, t->db);
    }
    if (error == 0) {
        uint64_t applied = 0;
        error = applied_in_files(r, t->db, &applied);
        /* It has found no space, and then some: better to begin anew than to wait here. */
        error = error == 0 && applied != t->state.state.applied ? OAK_ENOSPC : error;
    }
    return error != 0 ? error : rocks__current_stage(r, t->number);
}

int rocks__restore_commit(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    t->switched = true;
    return rocks__current_switch(rocks__of(base->store));
}

void rocks__restore_adopt(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    struct rocks *r = rocks__of(base->store);
    struct rocks_db *old = r->db;
    rocks__point_drop(r);
    rocks__gathered_drop(r);
    r->db = t->db;
    r->db->doomed = false;
    t->db = NULL;
    r->number = t->number;
    struct store_meta meta = r->base.meta;
    r->base.meta = t->meta;
    t->meta = meta;
    store__meta_commit(&r->base.meta);
    rocks__cache_clear(&r->cache);
    oak_buf_clear(&r->scrubbed);
    rocks__adopt(r, &t->state);
    /* Closing it takes its time: that is left to `end`, unless a snapshot still reads it, whose
     * close is the last then. */
    old->doomed = true;
    if (old->refs == 1) {
        t->old = old;
    } else {
        old->refs--;
    }
}

void rocks__restore_free(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    const struct rocks *r = rocks__of(base->store);
    if (t->db != NULL) {
        t->db->doomed = !t->switched;
        rocks__db_unref(r, t->db);
    }
    if (t->old != NULL) {
        rocks__db_unref(r, t->old);
    }
    rocksdb_writebatch_destroy(t->batch);
    store__stream_in_fini(&t->in);
    store__meta_fini(&t->meta);
    oak_buf_fini(&t->last);
    oak_buf_fini(&t->key);
    oak_buf_fini(&t->value);
    free(t);
}
