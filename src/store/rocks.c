/* SPDX-License-Identifier: Apache-2.0 */
/* rocks.c: the RocksDB engine: the open batch and the newest commits in memory, everything else in
 * one database.
 *
 * Happy path   1 a write goes into the overlay (a small tree) and into the cache of newest
 *                versions
 *              2 commit turns the overlay into one write batch, with the changes records and the
 *                state
 *              3 RocksDB takes it without a log of its own: ours is the log A read asks the cache,
 *                then the overlay, then the database.
 * Full disk    RocksDB refuses writes from then on, keeps its memtables, looks for space every
 *              five seconds, and writes them to new files when there is some (its
 *              SstFileManager). So commits stay gathered in the overlay, and a flush tries them
 *              again. A sync that fails for want of space is no exception to "never retry it": the
 *              file it was of is thrown away, and the memtable written anew.
 * Can fail     OAK_ENOMEM before anything changed; OAK_EIO, OAK_ECORRUPT as RocksDB says.
 * Invariants   one column family, so memtables become durable in the order of the commits: what a
 *              crash leaves is a prefix of them, state record included. The cache holds nothing
 *              that the overlay or the database does not.
 * Thread       the owner's, but for flush_run and snapshot_read (rocks_move.c).
 */
#include "store/rocks.h"

#include <stdlib.h>

/* Commits gather in the overlay up to this much, then go to RocksDB as one batch in the order of
 * keys: putting a key into its list costs a walk through memory that is in no cache, unless the one
 * before was its neighbour. Larger batches gain little more, and hold the owner up for longer (512
 * KiB: about 2 ms). */
#define GATHER_BYTES ((size_t)512 * OAK_KIB)

struct rocks *rocks__of(struct oak_store *s)
{
    OAK_ASSERT(s->ops == &rocks__ops);
    return OAK_CONTAINER_OF(s, struct rocks, base);
}

/* Its kind and subkind come first, and paths, which may say anything, behind them. */
static bool says_no_space(const char *said)
{
    static const char text[] = "IO error: No space left on device";
    return strncmp(said, text, sizeof(text) - 1) == 0;
}

int rocks__failed(const struct oak_log *log, const char *what, char *said)
{
    OAK_ASSERT(said != NULL);
    int error = OAK_EIO;
    if (says_no_space(said)) {
        error = OAK_ENOSPC;
    } else if (strncmp(said, "Corruption", 10) == 0) {
        error = OAK_ECORRUPT;
    }
    oak_log(log, OAK_LOG_ERROR, "store: %s: %s", what, said);
    rocksdb_free(said);
    return error;
}

static int rocks_write(struct oak_store *s, const struct store_item *item)
{
    struct rocks *r = rocks__of(s);
    int error = memory__data_push(&r->overlay, item);
    if (error != 0) {
        return error;
    }
    /* From our copy: the caller's bytes may be what the cache gave out. */
    struct store_item own;
    store__version_item(r->overlay.changes.at[r->overlay.changes.end - 1], &own);
    rocks__cache_put(&r->cache, &own);
    return 0;
}

static int rocks_meta_put(struct oak_store *s, struct oak_bytes key, struct oak_bytes data)
{
    return store__meta_put(&s->meta, key, data);
}

/* The metas of the batch that is being committed. They wait in the write batch. */
static int batch_metas(struct rocks *r)
{
    const struct store_meta *m = &r->base.meta;
    for (size_t i = 0; i < m->touched_count; i++) {
        const struct store_version *v = m->touched[i]->newest;
        OAK_ASSERT_GT(v->rev.main, m->batch);
        int error = rocks__kind_key(&r->group, ROCKS_META, store__key_bytes(v->key), &r->key);
        if (error != 0) {
            return error;
        }
        if (v->deleted) {
            rocksdb_writebatch_delete(r->batch, (const char *)r->key.data, r->key.size);
        } else {
            rocksdb_writebatch_put(r->batch, (const char *)r->key.data, r->key.size,
                                   (const char *)v->value, v->value_size);
        }
    }
    return 0;
}

int rocks__write_state(const struct rocks *r, struct oak_buf *key, rocksdb_writebatch_t *batch,
                       const struct rocks_state *state)
{
    uint8_t value[ROCKS_STATE_BYTES];
    int error = rocks__kind_key(&r->group, ROCKS_STATE, oak_bytes(NULL, 0), key);
    if (error == 0) {
        rocks__state(state, value);
        rocksdb_writebatch_put(batch, (const char *)key->data, key->size, (const char *)value,
                               sizeof(value));
    }
    return error;
}

/* Versions up to `upto`, in the order of keys. */
static int batch_versions(struct rocks *r, struct oak_store_rev upto)
{
    struct store_cursor c;
    store__cursor_first(&r->overlay.tree, &c);
    for (; c.key != NULL; store__cursor_next(&c)) {
        for (const struct store_version *v = c.key->newest; v != NULL; v = v->older) {
            if (store__rev_cmp(v->rev, upto) > 0) {
                continue;
            }
            struct store_item item;
            store__version_item(v, &item);
            int error = rocks__version_key(&r->group, item.kv.key, item.rev, &r->key);
            if (error == 0) {
                error = rocks__value(&item, &r->value);
            }
            if (error != 0) {
                return error;
            }
            rocksdb_writebatch_put(r->batch, (const char *)r->key.data, r->key.size,
                                   (const char *)r->value.data, r->value.size);
        }
    }
    return 0;
}

/* What was written is the database's now; an open batch stays. */
static void drop_written(struct rocks *r, struct oak_store_rev upto)
{
    struct memory_changes *c = &r->overlay.changes;
    if (c->end > c->first && store__rev_cmp(c->at[c->end - 1]->rev, upto) > 0) {
        for (; store__rev_cmp(c->at[c->first]->rev, upto) <= 0; c->first++) {
            store__tree_drop(&r->overlay.tree, c->at[c->first]);
        }
        return;
    }
    store__tree_clear(&r->overlay.tree);
    c->first = c->end = 0;
}

/* A failure leaves everything where it was, to be written another time. */
static int write_gathered(struct rocks *r, const struct oak_store_state *state,
                          struct oak_store_rev upto)
{
    const struct rocks_state record = {
        .state = *state, .keys = r->committed_keys, .reclaimed = r->reclaimed};
    char *said = NULL;
    rocksdb_writebatch_set_save_point(r->batch);
    int error = batch_versions(r, upto);
    if (error == 0) {
        error = rocks__changes_write(r, upto);
    }
    if (error == 0) {
        error = rocks__write_state(r, &r->key, r->batch, &record);
    }
    if (error == 0) {
        rocks__point_drop(r);
        rocksdb_write(r->db->db, r->write, r->batch, &said);
        error = said == NULL ? 0 : rocks__failed(r->base.log, "commit", said);
    }
    if (error != 0) {
        said = NULL;
        rocksdb_writebatch_rollback_to_save_point(r->batch, &said);
        OAK_ASSERT(said == NULL);
        return error;
    }
    rocksdb_writebatch_clear(r->batch);
    drop_written(r, upto);
    r->unwritten = false;
    return 0;
}

void rocks__gathered_drop(struct rocks *r)
{
    const struct oak_store_rev all = {.main = INT64_MAX, .sub = INT64_MAX};
    rocksdb_writebatch_clear(r->batch);
    drop_written(r, all);
    r->unwritten = false;
}

/* With nothing: what has gathered is a lot to encode. */
int rocks__ask_space(const struct rocks *r, const struct rocks_db *db)
{
    char *said = NULL;
    rocksdb_writebatch_t *nothing = rocksdb_writebatch_create();
    rocksdb_write(db->db, r->write, nothing, &said);
    rocksdb_writebatch_destroy(nothing);
    if (said != NULL && says_no_space(said)) {
        rocksdb_free(said);
        return OAK_ENOSPC; /* it has been logged */
    }
    return said == NULL ? 0 : rocks__failed(r->base.log, "look for space", said);
}

int rocks__write_out(struct rocks *r)
{
    int error = r->base.full ? rocks__ask_space(r, r->db) : 0;
    if (error != 0) {
        return error;
    }
    return r->unwritten ? write_gathered(r, &r->base.state, r->base.committed) : 0;
}

/* Versions in the overlay, and metas in the write batch. */
static size_t gathered_bytes(const struct rocks *r)
{
    size_t metas = 0;
    (void)rocksdb_writebatch_data(r->batch, &metas);
    return r->overlay.tree.bytes + metas;
}

static int rocks_commit(struct oak_store *s, const struct oak_store_state *state)
{
    struct rocks *r = rocks__of(s);
    int error = batch_metas(r);
    if (error != 0) {
        return error;
    }
    r->unwritten = true;
    r->committed_keys = s->keys;
    if (s->full || gathered_bytes(r) < GATHER_BYTES) {
        return 0;
    }
    error = write_gathered(r, state, s->last);
    s->full = error == OAK_ENOSPC;
    return s->full ? 0 : error;
}

/* -- reading ----------------------------------------------------------------------------------- */

/* Keep key and value in r->got and let *out point there. */
static int give(struct rocks *r, struct oak_bytes key, struct store_item *out)
{
    struct oak_bytes value = out->kv.value;
    oak_buf_clear(&r->got);
    int error = oak_buf_reserve(&r->got, key.size + value.size);
    if (error == 0) {
        error = oak_buf_append(&r->got, key.data, key.size);
    }
    if (error == 0) {
        error = oak_buf_append(&r->got, value.data, value.size);
    }
    if (error == 0) {
        out->kv.key = oak_bytes(r->got.data, key.size);
        out->kv.value = oak_bytes(r->got.data + key.size, value.size);
    }
    return error;
}

int rocks__fetch(struct rocks *r, struct oak_bytes key, struct oak_store_rev rev,
                 struct store_item *out)
{
    int error = rocks__version_key(&r->group, key, rev, &r->key);
    if (error != 0) {
        return error;
    }
    char *said = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(r->db->db, r->read_point, (const char *)r->key.data, r->key.size, &said);
    if (said != NULL) {
        return rocks__failed(r->base.log, "read", said);
    }
    if (slice == NULL) {
        return OAK_ENOENT;
    }
    size_t size = 0;
    const char *data = rocksdb_pinnableslice_value(slice, &size);
    error = rocks__value_decode(oak_bytes(data, size), rev, out);
    if (error == 0) {
        error = give(r, key, out);
    }
    rocksdb_pinnableslice_destroy(slice);
    return error;
}

void rocks__point_drop(struct rocks *r)
{
    if (r->point != NULL) {
        rocksdb_iter_destroy(r->point);
        r->point = NULL;
    }
}

/* The newest version with main <= rev (0: any) in the database, tombstones included. */
static int search(struct rocks *r, struct oak_bytes key, int64_t rev, struct store_item *out)
{
    const struct oak_store_rev top = {.main = rev == 0 ? INT64_MAX : rev, .sub = INT64_MAX};
    int error = rocks__version_key(&r->group, key, top, &r->key);
    if (error != 0) {
        return error;
    }
    if (r->point == NULL) {
        r->point = rocksdb_create_iterator(r->db->db, r->read_point);
    }
    rocksdb_iterator_t *it = r->point;
    rocksdb_iter_seek(it, (const char *)r->key.data, r->key.size);
    size_t prefix = r->key.size - ROCKS_REV_BYTES;
    size_t size = 0;
    const char *at = rocksdb_iter_valid(it) ? rocksdb_iter_key(it, &size) : NULL;
    if (at == NULL) {
        bool many; /* of a key, what is removed is the oldest: nothing of it is left behind that */
        error = rocks__iter_error(it, r->base.log, "read", &many);
        error = error == 0 ? OAK_ENOENT : error;
    } else if (size != r->key.size || memcmp(at, r->key.data, prefix) != 0) {
        error = OAK_ENOENT;
    } else {
        struct oak_store_rev found = rocks__rev_get((const uint8_t *)at + prefix);
        at = rocksdb_iter_value(it, &size);
        error =
            found.main < 1 ? OAK_ECORRUPT : rocks__value_decode(oak_bytes(at, size), found, out);
        if (error == 0) {
            error = give(r, key, out);
        }
    }
    return error;
}

/* The same, wherever it is. */
static int find(struct rocks *r, struct oak_bytes key, int64_t rev, bool head,
                struct store_item *out)
{
    bool whole = false;
    bool known = rocks__cache_get(&r->cache, key, out, &whole);
    bool newest = known && (rev == 0 || out->rev.main <= rev);
    if (newest && (whole || head)) {
        return 0;
    }
    struct store_key *open = store__tree_find(&r->overlay.tree, key);
    struct store_version *v = open != NULL ? store__version_at(open, rev) : NULL;
    if (v != NULL) {
        store__version_item(v, out);
        return 0;
    }
    int error = newest ? rocks__fetch(r, key, out->rev, out) : search(r, key, rev, out);
    if (newest && error == OAK_ENOENT) {
        return OAK_ECORRUPT; /* the version was there when the header was kept */
    }
    if (error == 0 && (newest || rev == 0)) {
        rocks__cache_put(&r->cache, out);
    }
    return error;
}

static int rocks_get(struct oak_store *s, struct oak_bytes key, int64_t rev, bool head,
                     struct oak_store_kv *out)
{
    struct store_item item;
    int error = find(rocks__of(s), key, rev, head, &item);
    if (error == 0 && item.deleted) {
        error = OAK_ENOENT;
    }
    if (error == 0) {
        *out = item.kv;
    }
    return error;
}

/* -- opening and closing ----------------------------------------------------------------------- */

static void rocks_close(struct oak_store *s)
{
    struct rocks *r = rocks__of(s);
    if (r->db != NULL && !s->poisoned && rocks__write_out(r) != 0) {
        oak_log(s->log, OAK_LOG_WARN, "store: the newest commits are left to the log");
    }
    rocks__point_drop(r);
    if (r->db != NULL) {
        rocks__db_unref(r, r->db);
    }
    memory__data_clear(&r->overlay);
    rocks__cache_fini(&r->cache);
    rocks__options_free(r);
    store__fini(&r->base);
    oak_buf_fini(&r->key);
    oak_buf_fini(&r->value);
    oak_buf_fini(&r->got);
    oak_buf_fini(&r->scrubbed);
    rocks__thin_fini(&r->thin);
    free(r->dir);
    free(r);
}

static uint64_t property(const struct rocks *r, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(r->db->db, name, &value) == 0 ? value : 0;
}

static void rocks_stats(struct oak_store *s, struct oak_store_stats *out)
{
    struct rocks *r = rocks__of(s);
    /* What is still in memory here is on disk in the log. */
    out->disk_bytes = property(r, "rocksdb.total-sst-files-size") +
                      property(r, "rocksdb.cur-size-all-mem-tables") + r->overlay.tree.bytes;
    out->live_bytes = property(r, "rocksdb.estimate-live-data-size");
    out->memory_bytes = property(r, "rocksdb.cur-size-all-mem-tables") +
                        property(r, "rocksdb.block-cache-usage") + r->cache.heads.used +
                        r->cache.values.used + r->overlay.tree.bytes;
}

const struct store_ops rocks__ops = {
    .close = rocks_close,
    .write = rocks_write,
    .meta_put = rocks_meta_put,
    .commit = rocks_commit,
    .get = rocks_get,
    .scan_open = rocks__scan_open,
    .scan_next = rocks__scan_next,
    .scan_close = rocks__scan_close,
    .changes = rocks__changes,
    .reclaim = rocks__reclaim,
    .flush_begin = rocks__flush_begin,
    .flush_run = rocks__flush_run,
    .flush_free = rocks__flush_free,
    .scrub_begin = rocks__scrub_begin,
    .scrub_run = rocks__scrub_run,
    .scrub_free = rocks__scrub_free,
    .snapshot_open = rocks__snapshot_open,
    .snapshot_read = rocks__snapshot_read,
    .snapshot_rewind = rocks__snapshot_rewind,
    .snapshot_close = rocks__snapshot_close,
    .restore_begin = rocks__restore_begin,
    .restore_write = rocks__restore_write,
    .restore_prepare = rocks__restore_prepare,
    .restore_commit = rocks__restore_commit,
    .restore_adopt = rocks__restore_adopt,
    .restore_free = rocks__restore_free,
    .stats = rocks_stats,
    .squeeze_begin = rocks__squeeze_begin,
    .squeeze_run = rocks__squeeze_run,
    .squeeze_free = rocks__squeeze_free,
};

int oak_store_open_rocks(const struct oak_store_options *options, struct oak_store **out,
                         struct oak_errbuf *e)
{
    *out = NULL;
    int error = store__make_dir(options, e);
    if (error != 0) {
        return error;
    }
    struct rocks *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return oak_fail(e, OAK_ENOMEM, "store: %s", oak_error_text(OAK_ENOMEM));
    }
    store__init(&r->base, &rocks__ops, options);
    rocks__group_set(&r->group, options->group);
    r->dir = store__path(options->dir, "");
    error = r->dir == NULL ? OAK_ENOMEM : rocks__options(r, options);
    if (error != 0) {
        oak_fail(e, error, "store: %s", oak_error_text(error));
    } else {
        error = rocks__current_read(r, e);
    }
    if (error == 0) {
        rocks__sweep(r);
        error = rocks__db_open(r, r->number, &r->db, e);
    }
    if (error == 0) {
        error = rocks__load(r, e);
    }
    if (error != 0) {
        rocks_close(&r->base);
        return error;
    }
    *out = &r->base;
    return 0;
}
