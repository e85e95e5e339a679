/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: the memory engine: a tree of keys with chains of versions, and the list of all changes.
 *
 * Happy path   a write goes on top of its key's chain and to the end of the changes; commit has
 *              nothing to do but what the door does. Flush and snapshots are in memory_file.c.
 *              Can fail OAK_ENOMEM, nothing changed.
 * Invariants   every version with main >= floor stands in `changes`, in order of its revision;
 *              one below the floor that is still there is the newest of its key at the floor, or
 *              waits for reclaim.
 * Thread       the owner's.
 */
#include "store/memory.h"

#include <stdlib.h>

#include "base/zoo.h"

struct memory_scan {
    struct oak_store_scan base;
    struct store_cursor cursor;
    struct store_bounds bounds;
    int64_t rev;
    bool descend;
    uint8_t room[];
};

static struct memory *memory_of(struct oak_store *s)
{
    OAK_ASSERT(s->ops == &memory__ops);
    return OAK_CONTAINER_OF(s, struct memory, base);
}

static int changes_make_room(struct memory_changes *c)
{
    if (c->end < c->room) {
        return 0;
    }
    size_t count = c->end - c->first;
    if (c->first > count) {
        memcpy(c->at, c->at + c->first, count * sizeof(c->at[0]));
        c->first = 0;
        c->end = count;
        return 0;
    }
    size_t room = OAK_MAX((size_t)64, c->room * 2);
    struct store_version **at = realloc(c->at, room * sizeof(struct store_version *));
    if (at == NULL) {
        return OAK_ENOMEM;
    }
    c->at = at;
    c->room = room;
    return 0;
}

int memory__data_push(struct memory_data *d, const struct store_item *item)
{
    int error = changes_make_room(&d->changes);
    if (error != 0) {
        return error;
    }
    struct store_version *v;
    error = store__tree_push(&d->tree, item, &v);
    if (error == 0) {
        d->changes.at[d->changes.end++] = v;
    }
    return error;
}

void memory__data_clear(struct memory_data *d)
{
    store__tree_clear(&d->tree);
    free(d->changes.at);
    *d = (struct memory_data){0};
}

static int memory_write(struct oak_store *s, const struct store_item *item)
{
    return memory__data_push(&memory_of(s)->data, item);
}

static int memory_meta_put(struct oak_store *s, struct oak_bytes key, struct oak_bytes data)
{
    return store__meta_put(&s->meta, key, data);
}

static int memory_commit(struct oak_store *s, const struct oak_store_state *state)
{
    (void)s;
    (void)state;
    return 0;
}

/* -- reading ----------------------------------------------------------------------------------- */

static int memory_get(struct oak_store *s, struct oak_bytes key, int64_t rev, bool head,
                      struct oak_store_kv *out)
{
    (void)head;
    const struct store_key *found = store__tree_find(&memory_of(s)->data.tree, key);
    const struct store_version *v = found != NULL ? store__version_at(found, rev) : NULL;
    if (v == NULL || v->deleted) {
        return OAK_ENOENT;
    }
    struct store_item item;
    store__version_item(v, &item);
    *out = item.kv;
    return 0;
}

static int memory_scan_open(struct oak_store *s, const struct oak_store_range *range, int64_t rev,
                            bool keys_only, bool descend, struct oak_store_scan **out)
{
    (void)keys_only;
    struct memory *m = memory_of(s);
    struct memory_scan *scan = malloc(sizeof(*scan) + store__bounds_size(range));
    if (scan == NULL) {
        return OAK_ENOMEM;
    }
    *scan = (struct memory_scan){.base.store = s, .rev = rev, .descend = descend};
    store__bounds_set(&scan->bounds, range, scan->room);
    if (!descend) {
        store__cursor_seek(&m->data.tree, &scan->cursor, scan->bounds.low);
    } else if (range->open_end) {
        store__cursor_last(&m->data.tree, &scan->cursor);
    } else {
        store__cursor_seek_before(&m->data.tree, &scan->cursor, scan->bounds.high);
    }
    *out = &scan->base;
    return 0;
}

static bool scan_in_bounds(const struct memory_scan *scan)
{
    if (scan->cursor.key == NULL) {
        return false;
    }
    struct oak_bytes key = store__key_bytes(scan->cursor.key);
    if (scan->descend) {
        return oak_bytes_cmp(key, scan->bounds.low) >= 0;
    }
    return scan->bounds.open_end || oak_bytes_cmp(key, scan->bounds.high) < 0;
}

static int memory_scan_next(struct oak_store_scan *base, struct oak_store_kv *out)
{
    struct memory_scan *scan = OAK_CONTAINER_OF(base, struct memory_scan, base);
    while (scan_in_bounds(scan)) {
        const struct store_version *v = store__version_at(scan->cursor.key, scan->rev);
        if (scan->descend) {
            store__cursor_prev(&scan->cursor);
        } else {
            store__cursor_next(&scan->cursor);
        }
        if (v != NULL && !v->deleted) {
            struct store_item item;
            store__version_item(v, &item);
            *out = item.kv;
            return 0;
        }
    }
    return OAK_ENOENT;
}

static void memory_scan_close(struct oak_store_scan *base)
{
    free(OAK_CONTAINER_OF(base, struct memory_scan, base));
}

static int memory_changes(struct oak_store *s, int64_t from, int64_t to, oak_store_want_fn *want,
                          bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                       const struct oak_store_kv *kv),
                          void *arg)
{
    const struct memory_changes *c = &memory_of(s)->data.changes;
    size_t low = c->first;
    size_t high = c->end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->at[middle]->rev.main < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < c->end && c->at[low]->rev.main <= to; low++) {
        struct store_item item;
        store__version_item(c->at[low], &item);
        if (OAK_BUG(changes_lose_deletes) && item.deleted) {
            continue;
        }
        enum oak_store_want how = want == NULL ? OAK_STORE_TAKE : want(arg, item.rev, item.kv.key);
        if (how == OAK_STORE_SKIP) {
            continue;
        }
        if (how == OAK_STORE_STOP || !each(arg, item.rev, item.deleted, &item.kv)) {
            break;
        }
    }
    return 0;
}

/* -- reclaim ----------------------------------------------------------------------------------- */

/* `v` is at or below the floor: what is older and below the floor can't be read any more. */
static size_t drop_older(struct store_tree *t, struct store_version *v, int64_t floor)
{
    size_t dropped = 0;
    struct store_version *older = v->older;
    while (older != NULL) {
        struct store_version *next = older->older;
        if (older->rev.main < floor) {
            store__tree_drop(t, older);
            dropped++;
        }
        older = next;
    }
    return dropped;
}

static int memory_reclaim(struct oak_store *s, int64_t floor, size_t steps, bool *more)
{
    struct memory_data *d = &memory_of(s)->data;
    struct memory_changes *c = &d->changes;
    for (;;) {
        OAK_ASSERT_LE(c->first, c->end);
        bool below = c->first < c->end && c->at[c->first]->rev.main < floor;
        size_t next = below ? c->first : c->first + d->reclaimed;
        if (next >= c->end || c->at[next]->rev.main > floor) {
            *more = false;
            return 0;
        }
        if (steps == 0) {
            *more = true;
            return 0;
        }
        struct store_version *v = c->at[next];
        bool hides = OAK_BUG(reclaim_tombstone_first) && v->deleted;
        size_t done = 1 + (hides ? 0 : drop_older(&d->tree, v, floor));
        steps -= OAK_MIN(steps, done);
        if (!below) {
            d->reclaimed++;
            continue;
        }
        /* What stood at an older floor when it was looked at is looked at again. */
        d->reclaimed = d->reclaimed > 0 ? d->reclaimed - 1 : 0;
        c->first++;
        if (v->deleted || OAK_BUG(reclaim_drops_newest)) {
            store__tree_drop(&d->tree, v);
        }
    }
}

/* -- opening and closing ----------------------------------------------------------------------- */

static void memory_close(struct oak_store *s)
{
    struct memory *m = memory_of(s);
    memory__data_clear(&m->data);
    store__fini(&m->base);
    free(m->dir);
    free(m->path);
    free(m->temp);
    free(m->next);
    free(m);
}

static void memory_stats(struct oak_store *s, struct oak_store_stats *out)
{
    const struct memory *m = memory_of(s);
    out->disk_bytes = m->file_bytes;
    out->live_bytes = m->data.tree.bytes;
    out->memory_bytes = m->data.tree.bytes + m->data.changes.room * sizeof(void *);
}

const struct store_ops memory__ops = {
    .close = memory_close,
    .write = memory_write,
    .meta_put = memory_meta_put,
    .commit = memory_commit,
    .get = memory_get,
    .scan_open = memory_scan_open,
    .scan_next = memory_scan_next,
    .scan_close = memory_scan_close,
    .changes = memory_changes,
    .reclaim = memory_reclaim,
    .flush_begin = memory__flush_begin,
    .flush_run = memory__flush_run,
    .flush_free = memory__flush_free,
    .scrub_begin = memory__scrub_begin,
    .scrub_run = memory__scrub_run,
    .scrub_free = memory__scrub_free,
    .snapshot_open = memory__snapshot_open,
    .snapshot_read = memory__snapshot_read,
    .snapshot_rewind = memory__snapshot_rewind,
    .snapshot_close = memory__snapshot_close,
    .restore_begin = memory__restore_begin,
    .restore_write = memory__restore_write,
    .restore_prepare = memory__restore_prepare,
    .restore_commit = memory__restore_commit,
    .restore_adopt = memory__restore_adopt,
    .restore_free = memory__restore_free,
    .stats = memory_stats,
};

int oak_store_open_memory(const struct oak_store_options *options, struct oak_store **out,
                          struct oak_errbuf *e)
{
    *out = NULL;
    int error = store__make_dir(options, e);
    if (error != 0) {
        return error;
    }
    struct memory *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return oak_fail(e, OAK_ENOMEM, "store: %s", oak_error_text(OAK_ENOMEM));
    }
    store__init(&m->base, &memory__ops, options);
    m->group = options->group;
    m->dir = store__path(options->dir, "");
    m->path = store__path(options->dir, "store");
    m->temp = store__path(options->dir, "store.part");
    m->next = store__path(options->dir, "store.next");
    if (m->dir == NULL || m->path == NULL || m->temp == NULL || m->next == NULL) {
        error = oak_fail(e, OAK_ENOMEM, "store: %s", oak_error_text(OAK_ENOMEM));
    } else {
        error = memory__load(m, e);
    }
    if (error != 0) {
        memory_close(&m->base);
        return error;
    }
    *out = &m->base;
    return 0;
}
