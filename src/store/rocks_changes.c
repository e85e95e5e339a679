/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_changes.c: what each commit changed, in order of revision; and reclaim, which follows it.
 *
 * One record holds the changes of one commit (cut into pieces when there are many), under the
 * revision of the first: a record for each change would nearly double the cost of a put.
 *
 * Reclaim      For each change at or below the floor, in order of revision: the version before it
 * of the same key can't be read any more and is deleted; so is the change's own version when it is
 *              a tombstone below the floor. Because of the order there is never more than one
 * version before it, and nothing older than a tombstone is left when it goes. Changes at the floor
 *              itself are looked at again when the floor has risen. A record goes, in the same
 * batch as what it led to, when all of it is below the floor: so a restart goes on from the first
 * one that is left. A version or a record is removed once, and only when it is there: RocksDB's
 * SingleDelete holds that to be so.
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ENOSPC; OAK_ECORRUPT when a change names a version that
 *              is gone.
 * Invariants   every version with main >= floor stands in a record.
 * Thread       the owner's.
 */
#include "store/rocks.h"

static int put_record(struct rocks *r, struct oak_store_rev first)
{
    int error = rocks__changes_key(&r->group, first, &r->key);
    if (error == 0) {
        rocksdb_writebatch_put(r->batch, (const char *)r->key.data, r->key.size,
                               (const char *)r->value.data, r->value.size);
        oak_buf_clear(&r->value);
    }
    return error;
}

int rocks__changes_write(struct rocks *r, struct oak_store_rev upto)
{
    const struct memory_changes *c = &r->overlay.changes;
    struct oak_store_rev first = {0};
    int64_t main_before = 0;
    oak_buf_clear(&r->value);
    for (size_t i = c->first; i < c->end && store__rev_cmp(c->at[i]->rev, upto) <= 0; i++) {
        struct store_item item;
        store__version_item(c->at[i], &item);
        if (r->value.size == 0) {
            first = item.rev;
            main_before = 0;
        }
        int error = rocks__change(&item, main_before, &r->value);
        if (error == 0 && r->value.size >= ROCKS_CHANGES_BYTES) {
            error = put_record(r, first);
        }
        if (error != 0) {
            return error;
        }
        main_before = item.rev.main;
    }
    return r->value.size > 0 ? put_record(r, first) : 0;
}

/* -- walking the records ----------------------------------------------------------------------- */

struct record_walk {
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it;
    struct oak_buf kind; /* what every key of a record begins with */
    struct oak_buf low;  /* the first record that reclaim has left; the iterator refers to it, */
    struct oak_buf high; /* and to what lies behind the last */
};

static bool walk_valid(const struct record_walk *w, struct oak_bytes *key)
{
    if (!rocksdb_iter_valid(w->it)) {
        return false;
    }
    size_t size = 0;
    const char *at = rocksdb_iter_key(w->it, &size);
    *key = oak_bytes(at, size);
    return size == w->kind.size + ROCKS_REV_BYTES && memcmp(at, w->kind.data, w->kind.size) == 0;
}

/* At the record that may hold `from`: the last that begins at or before it, or the first. Without
 * the bounds the way back would lead over all records that reclaim has dropped, and the step behind
 * the last one over what it has dropped of the first keys. */
static int walk_start(struct rocks *r, struct record_walk *w, struct oak_store_rev from)
{
    struct oak_bytes key;
    *w = (struct record_walk){.options = rocksdb_readoptions_create()};
    int error = rocks__kind_key(&r->group, ROCKS_CHANGES, oak_bytes(NULL, 0), &w->kind);
    if (error == 0) {
        error = rocks__changes_key(&r->group, r->reclaimed, &w->low);
    }
    if (error == 0) {
        error = rocks__kind_key(&r->group, ROCKS_CHANGES + 1, oak_bytes(NULL, 0), &w->high);
    }
    if (error == 0) {
        error = rocks__changes_key(&r->group, from, &r->key);
    }
    rocksdb_readoptions_set_total_order_seek(w->options, 1);
    rocksdb_readoptions_set_iterate_lower_bound(w->options, (const char *)w->low.data, w->low.size);
    rocksdb_readoptions_set_iterate_upper_bound(w->options, (const char *)w->high.data,
                                                w->high.size);
    w->it = rocksdb_create_iterator(r->db->db, w->options);
    if (error != 0) {
        return error;
    }
    rocksdb_iter_seek_for_prev(w->it, (const char *)r->key.data, r->key.size);
    if (!walk_valid(w, &key)) {
        rocksdb_iter_seek(w->it, (const char *)w->low.data, w->low.size);
    }
    return 0;
}

static int walk_end(const struct rocks *r, struct record_walk *w)
{
    char *said = NULL;
    rocksdb_iter_get_error(w->it, &said);
    rocksdb_iter_destroy(w->it);
    rocksdb_readoptions_destroy(w->options);
    oak_buf_fini(&w->kind);
    oak_buf_fini(&w->low);
    oak_buf_fini(&w->high);
    return said == NULL ? 0 : rocks__failed(r->base.log, "read changes", said);
}

static struct oak_reader walk_entries(const struct record_walk *w)
{
    size_t size = 0;
    const char *value = rocksdb_iter_value(w->it, &size);
    return oak_reader(oak_bytes(value, size));
}

/* -- changes ----------------------------------------------------------------------------------- */

struct changes_call {
    int64_t from;
    int64_t to;
    oak_store_want_fn *want;
    bool (*each)(void *arg, struct oak_store_rev rev, bool deleted, const struct oak_store_kv *kv);
    void *arg;
    bool stop;
};

/* Is it to be read? */
static bool wanted(struct changes_call *call, struct oak_store_rev rev, struct oak_bytes key)
{
    enum oak_store_want how = call->want == NULL ? OAK_STORE_TAKE : call->want(call->arg, rev, key);
    call->stop = how == OAK_STORE_STOP;
    return how == OAK_STORE_TAKE;
}

static int give_change(struct rocks *r, struct changes_call *call,
                       const struct rocks_change *change)
{
    struct store_item item = {.rev = change->rev,
                              .deleted = change->deleted,
                              .kv = {.key = change->key, .mod_rev = change->rev.main}};
    if (!wanted(call, change->rev, change->key)) {
        return 0;
    }
    bool whole = false;
    bool known = !change->deleted && rocks__cache_get(&r->cache, change->key, &item, &whole);
    known = known && whole && store__rev_cmp(item.rev, change->rev) == 0;
    if (!change->deleted && !known) {
        int error = rocks__fetch(r, change->key, change->rev, &item);
        if (error != 0) {
            return error == OAK_ENOENT ? OAK_ECORRUPT : error;
        }
    }
    call->stop = !call->each(call->arg, item.rev, item.deleted, &item.kv);
    return 0;
}

static int give_record(struct rocks *r, struct changes_call *call, struct oak_reader entries)
{
    struct rocks_change change = {0};
    int error = 0;
    while (error == 0 && !call->stop && oak_reader_left(&entries) > 0) {
        error = rocks__change_decode(&entries, &change);
        if (error == 0 && change.rev.main > call->to) {
            call->stop = true;
        } else if (error == 0 && change.rev.main >= call->from) {
            error = give_change(r, call, &change);
        }
    }
    return error;
}

static void give_open(const struct rocks *r, struct changes_call *call)
{
    const struct memory_changes *c = &r->overlay.changes;
    for (size_t i = c->first; i < c->end && !call->stop; i++) {
        struct store_item item;
        store__version_item(c->at[i], &item);
        if (item.rev.main > call->to) {
            return;
        }
        if (item.rev.main >= call->from && wanted(call, item.rev, item.kv.key)) {
            call->stop = !call->each(call->arg, item.rev, item.deleted, &item.kv);
        }
    }
}

int rocks__changes(struct oak_store *s, int64_t from, int64_t to, oak_store_want_fn *want,
                   bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                const struct oak_store_kv *kv),
                   void *arg)
{
    struct rocks *r = rocks__of(s);
    struct changes_call call = {.from = from, .to = to, .want = want, .each = each, .arg = arg};
    struct record_walk w;
    struct oak_bytes key;
    int error = walk_start(r, &w, (struct oak_store_rev){.main = OAK_MAX(from, (int64_t)0)});
    while (error == 0 && !call.stop && walk_valid(&w, &key)) {
        error = give_record(r, &call, walk_entries(&w));
        rocksdb_iter_next(w.it);
    }
    int end = walk_end(r, &w);
    error = error != 0 ? error : end;
    if (error == 0 && !call.stop) {
        give_open(r, &call);
    }
    return error;
}

/* -- reclaim ----------------------------------------------------------------------------------- */

struct reclaim {
    struct rocks *r;
    rocksdb_writebatch_t *batch;
    rocksdb_iterator_t *versions;
    int64_t floor;
    size_t steps;
    bool more;
    bool through; /* met a change above the floor */
};

/* Remove the version that `c->versions` stands at. Each is written once and removed once, and so
 * both disappear where they meet: in a flush, or in the first compaction of the two. */
static void drop_version(struct reclaim *c, struct oak_bytes version)
{
    rocksdb_writebatch_singledelete(c->batch, (const char *)version.data, version.size);
}

/* The version that `c->versions` stands at, or empty where there is none of that key. */
static struct oak_bytes version_here(const struct reclaim *c, int *error)
{
    const struct rocks *r = c->r;
    if (!rocksdb_iter_valid(c->versions)) {
        /* Of a key what has been removed is the oldest, and all of it lies together: to have come
         * over much of that is to have come to the end. */
        bool many;
        *error = rocks__iter_error(c->versions, r->base.log, "reclaim", &many);
        return oak_bytes(NULL, 0);
    }
    size_t size = 0;
    const char *at = rocksdb_iter_key(c->versions, &size);
    size_t prefix = r->key.size - ROCKS_REV_BYTES;
    bool same = size == r->key.size && memcmp(at, r->key.data, prefix) == 0;
    return same ? oak_bytes(at, size) : oak_bytes(NULL, 0);
}

/* Remove what `change` and the floor hide: its own version, when it is a tombstone below the floor,
 * and the version before it. Either may be gone already. */
static int reclaim_change(struct reclaim *c, const struct rocks_change *change)
{
    struct rocks *r = c->r;
    if (change->first) {
        return 0;
    }
    int error = rocks__version_key(&r->group, change->key, change->rev, &r->key);
    if (error != 0) {
        return error;
    }
    rocksdb_iter_seek(c->versions, (const char *)r->key.data, r->key.size);
    struct oak_bytes at = version_here(c, &error);
    if (at.size > 0 && memcmp(at.data, r->key.data, at.size) == 0) {
        if (change->deleted && change->rev.main < c->floor) {
            drop_version(c, at);
        }
        rocksdb_iter_next(c->versions);
        at = version_here(c, &error);
    }
    if (at.size > 0 && rocks__rev_get(at.data + at.size - ROCKS_REV_BYTES).main < c->floor) {
        drop_version(c, at);
    }
    return error;
}

static int reclaim_record(struct reclaim *c, struct oak_bytes record, struct oak_reader entries)
{
    struct rocks *r = c->r;
    struct rocks_change change = {0};
    while (oak_reader_left(&entries) > 0) {
        int error = rocks__change_decode(&entries, &change);
        if (error != 0) {
            return error;
        }
        if (change.rev.main > c->floor) {
            c->through = true;
            return 0;
        }
        if (store__rev_cmp(change.rev, r->reclaim_at) < 0) {
            continue;
        }
        if (c->steps == 0) {
            c->more = true;
            return 0;
        }
        c->steps--;
        error = reclaim_change(c, &change);
        if (error != 0) {
            return error;
        }
        r->reclaim_at = (struct oak_store_rev){.main = change.rev.main, .sub = change.rev.sub + 1};
    }
    if (change.rev.main < c->floor) {
        rocksdb_writebatch_singledelete(c->batch, (const char *)record.data, record.size);
        r->reclaimed = (struct oak_store_rev){.main = change.rev.main, .sub = change.rev.sub + 1};
    }
    return 0;
}

static int reclaim_walk(struct reclaim *c)
{
    struct rocks *r = c->r;
    struct record_walk w;
    struct oak_bytes key;
    int error = walk_start(r, &w, r->reclaimed);
    while (error == 0 && !c->more && !c->through && walk_valid(&w, &key)) {
        error = reclaim_record(c, key, walk_entries(&w));
        rocksdb_iter_next(w.it);
    }
    int end = walk_end(r, &w);
    return error != 0 ? error : end;
}

int rocks__reclaim(struct oak_store *s, int64_t floor, size_t steps, bool *more)
{
    struct rocks *r = rocks__of(s);
    struct reclaim c = {.r = r, .floor = floor, .steps = steps};
    int thinned = rocks__thin(r);
    if (thinned != 0 || r->reclaimed_floor == c.floor) {
        return thinned;
    }
    int written = rocks__write_out(r);
    if (written != 0) {
        return written;
    }
    if (r->reclaiming_floor != c.floor) {
        /* What stood at an older floor is looked at again. */
        if (r->reclaim_at.main >= r->reclaiming_floor) {
            r->reclaim_at =
                (struct oak_store_rev){.main = OAK_MAX(r->reclaiming_floor, (int64_t)0)};
        }
        r->reclaiming_floor = c.floor;
    }
    struct oak_store_rev reclaimed = r->reclaimed;
    c.batch = rocksdb_writebatch_create();
    c.versions = rocksdb_create_iterator(r->db->db, r->read_point);
    int error = reclaim_walk(&c);
    rocksdb_iter_destroy(c.versions);
    uint64_t removed = (uint64_t)rocksdb_writebatch_count(c.batch);
    if (error == 0 && removed > 0) {
        const struct rocks_state record = {
            .state = s->state, .keys = r->committed_keys, .reclaimed = r->reclaimed};
        error = rocks__write_state(r, &r->key, c.batch, &record);
        if (error == 0) {
            char *said = NULL;
            rocks__point_drop(r);
            rocksdb_write(r->db->db, r->write, c.batch, &said);
            error = said == NULL ? 0 : rocks__failed(s->log, "reclaim", said);
        }
    }
    rocksdb_writebatch_destroy(c.batch);
    if (error != 0) {
        /* Nothing of it was written: look at everything again. */
        r->reclaim_at = (struct oak_store_rev){0};
        r->reclaimed = reclaimed;
        return error;
    }
    rocks__thin_removed(r, removed);
    if (!c.more) {
        r->reclaimed_floor = c.floor;
    }
    *more = c.more;
    return 0;
}
