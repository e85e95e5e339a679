/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_scan.c: keys in order, from the database and the open batch together.
 *
 * Each side gives its keys in order with the version that is seen as of the revision; the open
 * batch's versions are newer than any below, so where both have the key it is the batch's that
 * counts.
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ECORRUPT.
 * Thread       the owner's.
 */
#include <stdlib.h>

#include "store/rocks_walk.h"

struct rocks_scan {
    struct oak_store_scan base;
    struct rocks_walk walk; /* the database */
    struct rocks_meter meter;
    struct store_cursor open; /* in the open batch */
    struct store_bounds bounds;
    int64_t rev;
    bool descend;
    uint8_t room[];
};

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
    struct rocks_walk *w = &scan->walk;
    for (;;) {
        if (!w->ready && !w->done) {
            int error = rocks__walk_next(w);
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
        if (v != NULL && w->ready) {
            order = oak_bytes_cmp(store__key_bytes(scan->open.key), w->item.kv.key);
            order = scan->descend ? -order : order;
        }
        if (v == NULL && !w->ready) {
            return OAK_ENOENT;
        }
        if (order > 0) {
            w->ready = false;
            *out = w->item.kv;
            return 0;
        }
        if (order == 0) {
            w->ready = false; /* the open batch has a newer version of it */
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

static int walk_start(struct rocks_scan *scan, struct rocks *r)
{
    const struct store_bounds *b = &scan->bounds;
    int error = rocks__prefix(&r->group, b->low, &r->key);
    if (error == 0 && b->open_end) {
        error = rocks__kind_key(&r->group, ROCKS_VERSION + 1, oak_bytes(NULL, 0), &r->value);
    } else if (error == 0) {
        error = rocks__prefix(&r->group, b->high, &r->value);
    }
    return error != 0 ? error
                      : rocks__walk_start(&scan->walk, r, oak_buf_bytes(&r->key),
                                          oak_buf_bytes(&r->value), scan->rev, scan->descend, 0);
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
    rocks__meter_start(&scan->meter);
    int error = walk_start(scan, r);
    if (error != 0) {
        rocks__scan_close(&scan->base);
        return error;
    }
    if (!descend) {
        store__cursor_seek(&r->overlay.tree, &scan->open, scan->bounds.low);
    } else if (scan->bounds.open_end) {
        store__cursor_last(&r->overlay.tree, &scan->open);
    } else {
        store__cursor_seek_before(&r->overlay.tree, &scan->open, scan->bounds.high);
    }
    *out = &scan->base;
    return 0;
}

void rocks__scan_close(struct oak_store_scan *base)
{
    struct rocks_scan *scan = OAK_CONTAINER_OF(base, struct rocks_scan, base);
    const struct rocks_walk *w = &scan->walk;
    rocks__waded(rocks__of(base->store), rocks__meter_end(&scan->meter), w->seen,
                 oak_buf_bytes(&w->low), oak_buf_bytes(&w->high));
    rocks__walk_free(&scan->walk);
    free(scan);
}
