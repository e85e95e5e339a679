/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_walk.c: keys in order from the database: what both ways have in common, and upwards.
 *
 * The versions of a key lie newest first. Upwards, the first with main <= rev is the one. Where a
 * key has many versions, we give up walking and seek.
 *
 * What reclaim has removed is still there for RocksDB, which walks over it inside one step. Of a
 * key it is the oldest: a step that comes over too much of it ends, and we seek behind the key.
 * Keys that are gone altogether have nothing to seek behind, and have to be waded through: how much
 * that was is counted, so that it gets thinned (rocks_thin.c).
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ECORRUPT; OAK_EAGAIN, with a budget.
 * Invariants   the iterator rests on the version given out until the next call (upwards).
 * Thread       the owner's.
 */
#include "store/rocks_walk.h"

struct oak_bytes rocks__walk_at(const struct rocks_walk *w, const rocksdb_iterator_t *it,
                                bool *many, int *error)
{
    *many = false;
    if (rocksdb_iter_valid(it)) {
        size_t size = 0;
        const char *key = rocksdb_iter_key(it, &size);
        return oak_bytes(key, size);
    }
    *error = rocks__iter_error(it, w->r->base.log, "scan", many);
    return oak_bytes(NULL, 0);
}

struct oak_bytes rocks__walk_here(struct rocks_walk *w, int *error)
{
    return rocks__walk_at(w, w->it, &w->many, error);
}

bool rocks__walk_same(const struct rocks_walk *w, struct oak_bytes at)
{
    return at.size == w->prefix.size + ROCKS_REV_BYTES &&
           memcmp(at.data, w->prefix.data, w->prefix.size) == 0;
}

int rocks__walk_enter(struct rocks_walk *w, struct oak_bytes at, struct oak_store_rev *rev)
{
    int error = rocks__version_key_decode(&w->r->group, at, &w->key, rev);
    if (error != 0) {
        return error;
    }
    w->seen++;
    oak_buf_clear(&w->prefix);
    error = oak_buf_reserve(&w->prefix, at.size);
    return error != 0 ? error : oak_buf_append(&w->prefix, at.data, at.size - ROCKS_REV_BYTES);
}

void rocks__walk_seek_version(struct rocks_walk *w)
{
    const struct oak_store_rev top = {.main = w->rev == 0 ? INT64_MAX : w->rev, .sub = INT64_MAX};
    OAK_ASSERT_GE(w->prefix.capacity - w->prefix.size, (size_t)ROCKS_REV_BYTES);
    rocks__rev_put(w->prefix.data + w->prefix.size, top);
    rocksdb_iter_seek(w->it, (const char *)w->prefix.data, w->prefix.size + ROCKS_REV_BYTES);
}

/* -- upwards ----------------------------------------------------------------------------------- */

/* Removed versions that cost as much as a step. */
#define STEP_WADE 8
/* Each is two entries upwards: what was removed, and its removal. */
#define WADE_ENTRIES 2

static int spend(struct rocks_walk *w, uint64_t steps)
{
    if (w->budget == 0) {
        return 0;
    }
    w->budget -= OAK_MIN(w->budget, steps);
    return w->budget == 0 ? OAK_EAGAIN : 0;
}

/* To the first version at or behind `target`. */
static int seek_up(struct rocks_walk *w, const uint8_t *target, size_t size)
{
    int error = 0;
    bool many;
    rocksdb_iter_seek(w->it, (const char *)target, size);
    (void)rocks__walk_here(w, &error);
    if (error != 0 || !w->many) {
        return error;
    }
    if (w->wade == NULL) {
        rocksdb_readoptions_set_max_skippable_internal_keys(w->options,
                                                            w->budget * STEP_WADE * WADE_ENTRIES);
        w->wade = rocksdb_create_iterator(w->r->db->db, w->options);
    }
    struct rocks_meter meter;
    rocks__meter_start(&meter);
    rocksdb_iter_seek(w->wade, (const char *)target, size);
    int spent = spend(w, 1 + rocks__meter_end(&meter) / STEP_WADE);
    struct oak_bytes at = rocks__walk_at(w, w->wade, &many, &error);
    if (error == 0) {
        error = many ? OAK_EAGAIN : spent;
    }
    if (error == 0 && at.size > 0) {
        rocksdb_iter_seek(w->it, (const char *)at.data, at.size);
    }
    return error; /* at the end `it` stays where it gave up, which is nowhere */
}

/* To what lies behind all versions of the present key, wherever the iterator is. */
static int seek_behind(struct rocks_walk *w)
{
    /* The prefix ends with 00 00, and no key's does with 00 01. */
    uint8_t *end = &w->prefix.data[w->prefix.size - 1];
    *end = 1;
    int error = seek_up(w, w->prefix.data, w->prefix.size);
    *end = 0;
    return error;
}

/* Past all versions of the present key. */
static int leave_key(struct rocks_walk *w)
{
    int error = 0;
    for (int steps = 0; steps < ROCKS_STEPS_MAX; steps++) {
        rocksdb_iter_next(w->it);
        struct oak_bytes at = rocks__walk_here(w, &error);
        if (w->many) {
            break;
        }
        if (error != 0 || at.size == 0 || !rocks__walk_same(w, at)) {
            return error;
        }
    }
    return seek_behind(w);
}

/* The iterator stands on the newest version of a key that was entered: go to the one to be seen.
 * *found is false when the key has none that old: then the iterator stands behind it. */
static int settle_version(struct rocks_walk *w, struct oak_store_rev rev, bool *found)
{
    int error = 0;
    *found = true;
    for (int steps = 0; w->rev != 0 && rev.main > w->rev; steps++) {
        if (steps < ROCKS_STEPS_MAX) {
            rocksdb_iter_next(w->it);
        } else {
            rocks__walk_seek_version(w);
        }
        struct oak_bytes at = rocks__walk_here(w, &error);
        if (w->many) {
            *found = false; /* what follows has been removed, and all that is older with it */
            return seek_behind(w);
        }
        if (error != 0 || at.size == 0 || !rocks__walk_same(w, at)) {
            *found = false;
            return error;
        }
        rev = rocks__rev_get(at.data + w->prefix.size);
    }
    size_t size = 0;
    const char *value = rocksdb_iter_value(w->it, &size);
    error = rocks__value_decode(oak_bytes(value, size), rev, &w->item);
    w->item.kv.key = oak_buf_bytes(&w->key);
    return error;
}

int rocks__up_next(struct rocks_walk *w)
{
    int error = 0;
    for (;;) {
        if (w->behind) {
            error = leave_key(w);
            w->behind = false;
        }
        struct oak_bytes at = error == 0 ? rocks__walk_here(w, &error) : oak_bytes(NULL, 0);
        if (error != 0 || at.size == 0) {
            w->done = true;
            return error;
        }
        struct oak_store_rev rev;
        bool found = false;
        error = rocks__walk_enter(w, at, &rev);
        if (error == 0) {
            error = settle_version(w, rev, &found);
        }
        if (error == 0) {
            error = spend(w, 1);
        }
        if (error != 0) {
            return error;
        }
        w->behind = found;
        if (found && !w->item.deleted) {
            w->ready = true;
            return 0;
        }
    }
}

/* -- either way -------------------------------------------------------------------------------- */

int rocks__walk_next(struct rocks_walk *w)
{
    return w->descend ? rocks__down_next(w) : rocks__up_next(w);
}

int rocks__walk_start(struct rocks_walk *w, struct rocks *r, struct oak_bytes low,
                      struct oak_bytes high, int64_t rev, bool descend, uint64_t budget)
{
    *w = (struct rocks_walk){.r = r, .rev = rev, .descend = descend, .budget = budget};
    int error = oak_buf_append(&w->low, low.data, low.size);
    if (error == 0) {
        error = oak_buf_append(&w->high, high.data, high.size);
    }
    if (error != 0 || oak_bytes_cmp(low, high) >= 0) {
        w->done = true;
        return error;
    }
    w->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(w->options, 1);
    rocksdb_readoptions_set_iterate_lower_bound(w->options, (const char *)w->low.data, w->low.size);
    rocksdb_readoptions_set_iterate_upper_bound(w->options, (const char *)w->high.data,
                                                w->high.size);
    rocksdb_readoptions_set_max_skippable_internal_keys(w->options, ROCKS_SKIP_MAX);
    w->it = rocksdb_create_iterator(r->db->db, w->options);
    if (descend) {
        rocks__down_start(w);
        return 0;
    }
    return seek_up(w, w->low.data, w->low.size);
}

void rocks__walk_free(struct rocks_walk *w)
{
    rocks__down_free(w);
    if (w->wade != NULL) {
        rocksdb_iter_destroy(w->wade);
    }
    if (w->it != NULL) {
        rocksdb_iter_destroy(w->it);
        rocksdb_readoptions_destroy(w->options);
    }
    oak_buf_fini(&w->low);
    oak_buf_fini(&w->high);
    oak_buf_fini(&w->prefix);
    oak_buf_fini(&w->key);
    oak_buf_fini(&w->value);
}
