/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_move.c: making it durable, and streaming it out. rocks_restore.c takes a stream in.
 *
 * Flush        RocksDB writes its memtables to files and syncs them; what was committed before
 *              `begin` is among them. That it says so is not enough: from 7.6 to 8.8 a flush
 *              returns at once, and well, when RocksDB has ever got over a full disk in this
 *              process. So the state is read back, past the memtables, and counts for what it is.
 * Snapshot     an iterator over RocksDB's snapshot as of `open`; state and metas are taken at
 *              `open`.
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ENOSPC.
 * Invariants   a worker touches its own flush or snapshot, RocksDB (which may be shared), and of
 *              the engine what never changes.
 * Thread       as store.h says: begin, open, close, end of a flush: the owner's. The rest: any.
 */
#include "store/rocks.h"

#include <stdlib.h>

/* Bytes that a snapshot makes ready at a time. */
#define MOVE_BYTES (256 * OAK_KIB)

/* -- flush ------------------------------------------------------------------------------------- */

struct rocks_flush {
    struct oak_store_flush base;
    struct rocks_db *db;
};

/* The applied index in the files of the database; 0: they have none. */
int rocks__applied_in_files(const struct rocks *r, struct rocks_db *db, uint64_t *applied)
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
        base->error = rocks__applied_in_files(r, f->db, &base->durable);
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
