/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_scan.c: keys in order, from the database and the open batch together.
 *
 * Each side gives its keys in order with the version that is seen as of the revision; the open
 * batch's versions are newer than any below, so where both have the key it is the batch's that
 * counts.
 *
 * In the database the versions of a key lie newest first. Upwards, the first with main <= rev is
 * the one. Downwards we come from the oldest: walk up while the versions are old enough, and keep
 * the last. Where a key has many versions, both ways give up walking and seek.
 *
 * What reclaim has removed is still there for RocksDB, which walks over it inside one step. Of a
 * key it is the oldest: upwards, a step that comes over too much of it ends, and we seek behind the
 * key. What has no key before it that is alive, and all of it downwards, has to be waded through:
 * how much that was is noted, so that it gets thinned (rocks_thin.c).
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ECORRUPT.
 * Invariants   the iterator rests on the version given out until the next call (upwards).
 * Thread       the owner's.
 */
#include "store/rocks.h"

#include <stdlib.h>

/* Steps over versions of one key before a seek is cheaper. */
#define SCAN_WALK_MAX 8

struct rocks_scan {
    struct oak_store_scan base;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it;
    rocksdb_iterator_t *wade; /* upwards, when it was needed: as `it`, but it goes on and on */
    struct rocks_walked walked;
    bool many;          /* the iterator has given up: too much that was removed lies here */
    struct oak_buf low; /* encoded bounds; the iterator refers to them */
    struct oak_buf high;
    struct oak_buf prefix;  /* encoded key of `item` */
    struct oak_buf key;     /* decoded key of `item` */
    struct oak_buf value;   /* downwards: copy of its value */
    struct store_item item; /* from the database; valid while `ready` */
    bool ready;
    bool done;                /* the database has no more */
    bool behind;              /* upwards: the iterator still rests on the key in `prefix` */
    struct store_cursor open; /* in the open batch */
    struct store_bounds bounds;
    int64_t rev;
    bool descend;
    uint8_t room[];
};

static struct rocks *scan_rocks(const struct rocks_scan *scan)
{
    return rocks__of(scan->base.store);
}

/* The key of an iterator, or empty at the end, when it gives up (*many), or on an error, which
 * *error then says. */
static struct oak_bytes key_at(const struct rocks_scan *scan, const rocksdb_iterator_t *it,
                               bool *many, int *error)
{
    *many = false;
    if (rocksdb_iter_valid(it)) {
        size_t size = 0;
        const char *key = rocksdb_iter_key(it, &size);
        return oak_bytes(key, size);
    }
    *error = rocks__iter_error(it, scan_rocks(scan)->base.log, "scan", many);
    return oak_bytes(NULL, 0);
}

static struct oak_bytes here(struct rocks_scan *scan, int *error)
{
    return key_at(scan, scan->it, &scan->many, error);
}

static bool same_key(const struct rocks_scan *scan, struct oak_bytes at)
{
    return at.size == scan->prefix.size + ROCKS_REV_BYTES &&
           memcmp(at.data, scan->prefix.data, scan->prefix.size) == 0;
}

/* Note the key that the iterator stands on. */
static int enter_key(struct rocks_scan *scan, struct oak_bytes at, struct oak_store_rev *rev)
{
    int error = rocks__version_key_decode(&scan_rocks(scan)->group, at, &scan->key, rev);
    if (error != 0) {
        return error;
    }
    oak_buf_clear(&scan->prefix);
    error = oak_buf_reserve(&scan->prefix, at.size);
    return error != 0 ? error : oak_buf_append(&scan->prefix, at.data, at.size - ROCKS_REV_BYTES);
}

/* Seek to the version of the present key as of the revision. */
static void seek_version(struct rocks_scan *scan)
{
    const struct oak_store_rev top = {.main = scan->rev == 0 ? INT64_MAX : scan->rev,
                                      .sub = INT64_MAX};
    OAK_ASSERT_GE(scan->prefix.capacity - scan->prefix.size, (size_t)ROCKS_REV_BYTES);
    rocks__rev_put(scan->prefix.data + scan->prefix.size, top);
    rocksdb_iter_seek(scan->it, (const char *)scan->prefix.data,
                      scan->prefix.size + ROCKS_REV_BYTES);
}

/* -- upwards ----------------------------------------------------------------------------------- */

/* To the first version at or behind `target`. */
static int seek_up(struct rocks_scan *scan, const uint8_t *target, size_t size)
{
    int error = 0;
    rocksdb_iter_seek(scan->it, (const char *)target, size);
    (void)here(scan, &error);
    if (error != 0 || !scan->many) {
        return error;
    }
    if (scan->wade == NULL) {
        rocksdb_readoptions_set_max_skippable_internal_keys(scan->options, 0);
        scan->wade = rocksdb_create_iterator(scan_rocks(scan)->db->db, scan->options);
    }
    rocksdb_iter_seek(scan->wade, (const char *)target, size);
    bool many;
    struct oak_bytes at = key_at(scan, scan->wade, &many, &error);
    if (error == 0 && at.size > 0) {
        rocksdb_iter_seek(scan->it, (const char *)at.data, at.size);
    }
    return error; /* at the end `it` stays where it gave up, which is nowhere */
}

/* To what lies behind all versions of the present key, wherever the iterator is. */
static int seek_behind(struct rocks_scan *scan)
{
    /* The prefix ends with 00 00, and no key's does with 00 01. */
    uint8_t *end = &scan->prefix.data[scan->prefix.size - 1];
    *end = 1;
    int error = seek_up(scan, scan->prefix.data, scan->prefix.size);
    *end = 0;
    return error;
}

/* Past all versions of the present key. */
static int leave_key(struct rocks_scan *scan)
{
    int error = 0;
    for (int steps = 0; steps < SCAN_WALK_MAX; steps++) {
        rocksdb_iter_next(scan->it);
        struct oak_bytes at = here(scan, &error);
        if (scan->many) {
            break;
        }
        if (error != 0 || at.size == 0 || !same_key(scan, at)) {
            return error;
        }
    }
    return seek_behind(scan);
}

/* The iterator stands on the newest version of a key that was entered: go to the one to be seen.
 * *found is false when the key has none that old: then the iterator stands behind it. */
static int settle_version(struct rocks_scan *scan, struct oak_store_rev rev, bool *found)
{
    int error = 0;
    *found = true;
    for (int steps = 0; scan->rev != 0 && rev.main > scan->rev; steps++) {
        if (steps < SCAN_WALK_MAX) {
            rocksdb_iter_next(scan->it);
        } else {
            seek_version(scan);
        }
        struct oak_bytes at = here(scan, &error);
        if (scan->many) {
            *found = false; /* what follows has been removed, and all that is older with it */
            return seek_behind(scan);
        }
        if (error != 0 || at.size == 0 || !same_key(scan, at)) {
            *found = false;
            return error;
        }
        rev = rocks__rev_get(at.data + scan->prefix.size);
    }
    size_t size = 0;
    const char *value = rocksdb_iter_value(scan->it, &size);
    error = rocks__value_decode(oak_bytes(value, size), rev, &scan->item);
    scan->item.kv.key = oak_buf_bytes(&scan->key);
    return error;
}

static int advance_up(struct rocks_scan *scan)
{
    int error = 0;
    for (;;) {
        if (scan->behind) {
            error = leave_key(scan);
            scan->behind = false;
        }
        struct oak_bytes at = error == 0 ? here(scan, &error) : oak_bytes(NULL, 0);
        if (error != 0 || at.size == 0) {
            scan->done = true;
            return error;
        }
        struct oak_store_rev rev;
        bool found = false;
        error = enter_key(scan, at, &rev);
        if (error == 0) {
            error = settle_version(scan, rev, &found);
        }
        if (error != 0) {
            return error;
        }
        scan->behind = found;
        if (found && !scan->item.deleted) {
            scan->ready = true;
            return 0;
        }
    }
}

/* -- downwards --------------------------------------------------------------------------------- */

static int keep_version(struct rocks_scan *scan, struct oak_store_rev rev)
{
    size_t size = 0;
    const char *value = rocksdb_iter_value(scan->it, &size);
    oak_buf_clear(&scan->value);
    int error = oak_buf_append(&scan->value, value, size);
    if (error == 0) {
        error = rocks__value_decode(oak_buf_bytes(&scan->value), rev, &scan->item);
        scan->item.kv.key = oak_buf_bytes(&scan->key);
    }
    return error;
}

/* The iterator stands on the oldest version of a key that was entered. Keep the one to be seen, and
 * go on to the key before. */
static int take_down(struct rocks_scan *scan, struct oak_store_rev rev, bool *found)
{
    int error = 0;
    *found = false;
    for (int steps = 0; steps < SCAN_WALK_MAX; steps++) {
        if (scan->rev != 0 && rev.main > scan->rev) {
            break;
        }
        error = keep_version(scan, rev);
        if (error != 0) {
            return error;
        }
        *found = true;
        rocksdb_iter_prev(scan->it);
        struct oak_bytes at = here(scan, &error);
        if (error != 0 || at.size == 0 || !same_key(scan, at)) {
            return error;
        }
        rev = rocks__rev_get(at.data + scan->prefix.size);
    }
    if (*found && (scan->rev == 0 || rev.main <= scan->rev)) {
        seek_version(scan);
        struct oak_bytes at = here(scan, &error);
        if (error == 0) {
            error = at.size != 0 && same_key(scan, at)
                        ? keep_version(scan, rocks__rev_get(at.data + scan->prefix.size))
                        : OAK_ECORRUPT;
        }
        if (error != 0) {
            return error;
        }
    }
    rocksdb_iter_seek_for_prev(scan->it, (const char *)scan->prefix.data, scan->prefix.size);
    return 0;
}

static int advance_down(struct rocks_scan *scan)
{
    int error = 0;
    for (;;) {
        struct oak_bytes at = here(scan, &error);
        if (error != 0 || at.size == 0) {
            scan->done = true;
            return error;
        }
        struct oak_store_rev rev;
        bool found = false;
        error = enter_key(scan, at, &rev);
        if (error == 0) {
            error = take_down(scan, rev, &found);
        }
        if (error != 0) {
            return error;
        }
        if (found && !scan->item.deleted) {
            scan->ready = true;
            return 0;
        }
    }
}

/* -- both sides together ----------------------------------------------------------------------- */

static struct store_version *open_version(struct rocks_scan *scan)
{
    if (scan->open.key == NULL) {
        return NULL;
    }
    struct oak_bytes key = store__key_bytes(scan->open.key);
    bool inside = scan->descend
                      ? oak_bytes_cmp(key, scan->bounds.low) >= 0
                      : scan->bounds.open_end || oak_bytes_cmp(key, scan->bounds.high) < 0;
    if (!inside) {
        scan->open.key = NULL;
    }
    return inside ? store__version_at(scan->open.key, scan->rev) : NULL;
}

static void open_step(struct rocks_scan *scan)
{
    if (scan->descend) {
        store__cursor_prev(&scan->open);
    } else {
        store__cursor_next(&scan->open);
    }
}

int rocks__scan_next(struct oak_store_scan *base, struct oak_store_kv *out)
{
    struct rocks_scan *scan = OAK_CONTAINER_OF(base, struct rocks_scan, base);
    for (;;) {
        if (!scan->ready && !scan->done) {
            int error = scan->descend ? advance_down(scan) : advance_up(scan);
            if (error != 0) {
                return error;
            }
        }
        const struct store_version *v = open_version(scan);
        if (scan->open.key != NULL && v == NULL) {
            open_step(scan);
            continue;
        }
        int order = v == NULL ? 1 : -1;
        if (v != NULL && scan->ready) {
            order = oak_bytes_cmp(store__key_bytes(scan->open.key), scan->item.kv.key);
            order = scan->descend ? -order : order;
        }
        if (v == NULL && !scan->ready) {
            return OAK_ENOENT;
        }
        if (order > 0) {
            scan->ready = false;
            scan->walked.found++;
            *out = scan->item.kv;
            return 0;
        }
        if (order == 0) {
            scan->ready = false; /* the open batch has a newer version of it */
        }
        open_step(scan);
        if (!v->deleted) {
            struct store_item item;
            store__version_item(v, &item);
            *out = item.kv;
            return 0;
        }
    }
}

static int scan_bounds(struct rocks_scan *scan, const struct rocks *r)
{
    int error = rocks__prefix(&r->group, scan->bounds.low, &scan->low);
    if (error == 0 && scan->bounds.open_end) {
        error = rocks__kind_key(&r->group, ROCKS_VERSION + 1, oak_bytes(NULL, 0), &scan->high);
    } else if (error == 0) {
        error = rocks__prefix(&r->group, scan->bounds.high, &scan->high);
    }
    return error;
}

int rocks__scan_open(struct oak_store *s, const struct oak_store_range *range, int64_t rev,
                     bool keys_only, bool descend, struct oak_store_scan **out)
{
    (void)keys_only; /* the header lies before the value: both are read at once */
    struct rocks *r = rocks__of(s);
    struct rocks_scan *scan = malloc(sizeof(*scan) + store__bounds_size(range));
    if (scan == NULL) {
        return OAK_ENOMEM;
    }
    *scan = (struct rocks_scan){.base.store = s, .rev = rev, .descend = descend};
    store__bounds_set(&scan->bounds, range, scan->room);
    int error = scan_bounds(scan, r);
    if (error != 0) {
        rocks__scan_close(&scan->base);
        return error;
    }
    scan->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(scan->options, 1);
    rocksdb_readoptions_set_iterate_lower_bound(scan->options, (const char *)scan->low.data,
                                                scan->low.size);
    rocksdb_readoptions_set_iterate_upper_bound(scan->options, (const char *)scan->high.data,
                                                scan->high.size);
    rocksdb_readoptions_set_max_skippable_internal_keys(scan->options,
                                                        descend ? 0 : ROCKS_SKIP_MAX);
    rocks__walk_begin(&scan->walked);
    scan->it = rocksdb_create_iterator(r->db->db, scan->options);
    if (oak_bytes_cmp(oak_buf_bytes(&scan->low), oak_buf_bytes(&scan->high)) >= 0) {
        scan->done = true;
        *out = &scan->base;
        return 0;
    }
    if (!descend) {
        error = seek_up(scan, scan->low.data, scan->low.size);
        store__cursor_seek(&r->overlay.tree, &scan->open, scan->bounds.low);
    } else {
        rocksdb_iter_seek_for_prev(scan->it, (const char *)scan->high.data, scan->high.size);
        if (scan->bounds.open_end) {
            store__cursor_last(&r->overlay.tree, &scan->open);
        } else {
            store__cursor_seek_before(&r->overlay.tree, &scan->open, scan->bounds.high);
        }
    }
    if (error != 0) {
        rocks__scan_close(&scan->base);
        return error;
    }
    *out = &scan->base;
    return 0;
}

void rocks__scan_close(struct oak_store_scan *base)
{
    struct rocks_scan *scan = OAK_CONTAINER_OF(base, struct rocks_scan, base);
    if (scan->it != NULL) {
        rocks__walk_end(scan_rocks(scan), &scan->walked, oak_buf_bytes(&scan->low),
                        oak_buf_bytes(&scan->high));
        rocksdb_iter_destroy(scan->it);
        if (scan->wade != NULL) {
            rocksdb_iter_destroy(scan->wade);
        }
        rocksdb_readoptions_destroy(scan->options);
    }
    oak_buf_fini(&scan->low);
    oak_buf_fini(&scan->high);
    oak_buf_fini(&scan->prefix);
    oak_buf_fini(&scan->key);
    oak_buf_fini(&scan->value);
    free(scan);
}
