/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_down.c: keys downwards.
 *
 * Of each key we come to the oldest version first: walk up while the versions are old enough, and
 * keep the last. Where a key has many versions, we give up walking and seek.
 *
 * Before the oldest version of a key lies what reclaim has removed of it, and nothing shows how far
 * that goes: the way is blocked. There are two ways on, of which either may be the longer. We can
 * wade through it; in memory RocksDB searches for each entry of it anew. Or we climb from the lower
 * bound, where all that was removed is left with a seek, up to where we are, and remember the last
 * keys before it. Both are tried in turn, with budgets that double, and over the whole scan neither
 * is let cost much more than the other has: so it costs about what the better one does, and in a
 * range of few keys, nearly nothing.
 *
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ECORRUPT.
 * Invariants   `prefix` is the key that was given last, or empty.
 * Thread       the owner's.
 */
#include "store/rocks_walk.h"

#include <stdlib.h>

/* Of removed versions waded through, or keys climbed over; each costs some four microseconds. */
#define BUDGET_MIN 16
/* A removed version is up to so many entries. */
#define WADE_ENTRIES 3
/* Keys that are remembered at most, and their bytes; then the lower half is dropped. */
#define BELOW_MAX   512
#define BELOW_BYTES (256 * OAK_KIB)

/* Keys that are next on the way down, encoded, in order: the last is the next. */
struct rocks_below {
    struct oak_buf bytes;
    size_t ends[BELOW_MAX];
    size_t count;
    bool whole; /* before the first of them there is none */
    /* What has been spent on either way in this scan, and on the last climb since the last that got
     * somewhere. */
    uint64_t waded;
    uint64_t climbed;
    uint64_t failed;
};

static void below_clear(struct rocks_below *b)
{
    oak_buf_clear(&b->bytes);
    b->count = 0;
    b->whole = true;
}

static int below_push(struct rocks_below *b, struct oak_bytes prefix)
{
    if (b->count == BELOW_MAX || (b->count > 1 && b->bytes.size + prefix.size > BELOW_BYTES)) {
        size_t half = b->count / 2;
        size_t cut = b->ends[half - 1];
        memmove(b->bytes.data, b->bytes.data + cut, b->bytes.size - cut);
        b->bytes.size -= cut;
        b->count -= half;
        for (size_t i = 0; i < b->count; i++) {
            b->ends[i] = b->ends[i + half] - cut;
        }
        b->whole = false;
    }
    int error = oak_buf_append(&b->bytes, prefix.data, prefix.size);
    if (error == 0) {
        b->ends[b->count++] = b->bytes.size;
    }
    return error;
}

/* -- the way is blocked ------------------------------------------------------------------------ */

/* What is to come lies before this. */
static struct oak_bytes bound(const struct rocks_walk *w)
{
    return oak_buf_bytes(w->prefix.size > 0 ? &w->prefix : &w->high);
}

static void seek_down(struct rocks_walk *w)
{
    struct oak_bytes before = bound(w);
    rocksdb_iter_seek_for_prev(w->it, (const char *)before.data, before.size);
}

/* Wade down, over so many removed versions at most. */
static int wade(struct rocks_walk *w, uint64_t budget, bool *got)
{
    struct oak_bytes before = bound(w);
    struct rocks_meter meter;
    int error = 0;
    bool many;
    rocksdb_readoptions_set_max_skippable_internal_keys(w->options, WADE_ENTRIES * budget);
    rocksdb_iterator_t *it = rocksdb_create_iterator(w->r->db->db, w->options);
    rocks__meter_start(&meter);
    rocksdb_iter_seek_for_prev(it, (const char *)before.data, before.size);
    w->below->waded += rocks__meter_end(&meter) + 1;
    struct oak_bytes at = rocks__walk_at(w, it, &many, &error);
    *got = error == 0 && !many;
    if (*got && at.size > 0) {
        rocksdb_iter_seek_for_prev(w->it, (const char *)at.data, at.size);
    }
    w->done = *got && at.size == 0;
    rocksdb_iter_destroy(it);
    return error;
}

/* Climb from the lower bound to where we are, over so many keys at most. */
static int climb(struct rocks_walk *w, uint64_t budget, bool *got)
{
    struct rocks_below *b = w->below;
    struct rocks_walk up;
    below_clear(b);
    int error =
        rocks__walk_start(&up, w->r, oak_buf_bytes(&w->low), bound(w), w->rev, false, budget);
    while (error == 0 && !up.done) {
        error = rocks__up_next(&up);
        if (error == 0 && up.ready) {
            up.ready = false;
            error = below_push(b, oak_buf_bytes(&up.prefix));
        }
    }
    w->seen += up.seen;
    b->climbed += budget - up.budget;
    rocks__walk_free(&up);
    *got = error == 0;
    b->failed = *got ? 0 : budget;
    if (error != 0) {
        below_clear(b);
    }
    w->done = *got && b->count == 0;
    return error == OAK_EAGAIN ? 0 : error;
}

/* Some way on: `it` stands on the oldest version of the key before, or the keys before are in
 * `below`, or there is none and the walk is done. */
static int unblock(struct rocks_walk *w)
{
    if (w->below == NULL) {
        w->below = calloc(1, sizeof(*w->below));
        if (w->below == NULL) {
            return OAK_ENOMEM;
        }
    }
    const struct rocks_below *b = w->below;
    bool got = false;
    int error = 0;
    for (uint64_t budget = BUDGET_MIN; error == 0 && !got; budget *= 2) {
        error = wade(w, budget, &got);
        uint64_t spare = b->waded > b->climbed ? b->waded - b->climbed : 0;
        if (error == 0 && !got && spare >= OAK_MAX(2 * b->failed, (uint64_t)BUDGET_MIN)) {
            error = climb(w, spare, &got);
        }
    }
    return error;
}

/* -- versions ---------------------------------------------------------------------------------- */

static int keep_version(struct rocks_walk *w, struct oak_store_rev rev)
{
    size_t size = 0;
    const char *value = rocksdb_iter_value(w->it, &size);
    oak_buf_clear(&w->value);
    int error = oak_buf_append(&w->value, value, size);
    if (error == 0) {
        error = rocks__value_decode(oak_buf_bytes(&w->value), rev, &w->item);
        w->item.kv.key = oak_buf_bytes(&w->key);
    }
    return error;
}

/* The version of the present key that is to be seen, of which we know that there is one. */
static int seek_kept(struct rocks_walk *w)
{
    struct oak_store_rev rev;
    int error = 0;
    rocks__walk_seek_version(w);
    struct oak_bytes at = rocks__walk_here(w, &error);
    if (error == 0 && (at.size == 0 || !rocks__walk_same(w, at))) {
        error = OAK_ECORRUPT;
    }
    if (error == 0) {
        error = rocks__walk_enter(w, at, &rev);
    }
    return error != 0 ? error : keep_version(w, rev);
}

/* The iterator stands on the oldest version of a key that was entered. Keep the one to be seen, and
 * go on to the key before. */
static int take_down(struct rocks_walk *w, struct oak_store_rev rev, bool *found)
{
    int error = 0;
    *found = false;
    for (int steps = 0; steps < ROCKS_STEPS_MAX; steps++) {
        if (w->rev != 0 && rev.main > w->rev) {
            break;
        }
        error = keep_version(w, rev);
        if (error != 0) {
            return error;
        }
        *found = true;
        rocksdb_iter_prev(w->it);
        struct oak_bytes at = rocks__walk_here(w, &error);
        if (error != 0 || at.size == 0 || !rocks__walk_same(w, at)) {
            return error;
        }
        rev = rocks__rev_get(at.data + w->prefix.size);
    }
    if (*found && (w->rev == 0 || rev.main <= w->rev)) {
        error = seek_kept(w);
    }
    if (error == 0) {
        seek_down(w);
    }
    return error;
}

/* The next of the keys in `below`. */
static int take_below(struct rocks_walk *w)
{
    struct rocks_below *b = w->below;
    size_t from = b->count > 1 ? b->ends[b->count - 2] : 0;
    size_t size = b->ends[b->count - 1] - from;
    oak_buf_clear(&w->prefix);
    int error = oak_buf_reserve(&w->prefix, size + ROCKS_REV_BYTES);
    if (error == 0) {
        error = oak_buf_append(&w->prefix, b->bytes.data + from, size);
    }
    if (error == 0) {
        error = seek_kept(w);
    }
    if (error != 0) {
        return error;
    }
    b->bytes.size = from;
    b->count--;
    w->ready = true;
    w->done = b->count == 0 && b->whole;
    if (b->count == 0 && !b->whole) {
        seek_down(w);
    }
    return 0;
}

void rocks__down_start(struct rocks_walk *w)
{
    seek_down(w);
}

int rocks__down_next(struct rocks_walk *w)
{
    int error = 0;
    while (error == 0 && !w->done) {
        if (w->below != NULL && w->below->count > 0) {
            return take_below(w);
        }
        struct oak_bytes at = rocks__walk_here(w, &error);
        if (w->many) {
            error = unblock(w);
            continue;
        }
        if (error != 0 || at.size == 0) {
            w->done = true;
            return error;
        }
        struct oak_store_rev rev;
        bool found = false;
        error = rocks__walk_enter(w, at, &rev);
        if (error == 0) {
            error = take_down(w, rev, &found);
        }
        if (error == 0 && found && !w->item.deleted) {
            w->ready = true;
            return 0;
        }
    }
    return error;
}

void rocks__down_free(struct rocks_walk *w)
{
    if (w->below != NULL) {
        oak_buf_fini(&w->below->bytes);
        free(w->below);
        w->below = NULL;
    }
}
