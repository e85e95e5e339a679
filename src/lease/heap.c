/* SPDX-License-Identifier: Apache-2.0 */
/* heap.c: which lease is next. A binary heap of row numbers; each row knows its place in it, so
 * that a keepalive moves it from there.
 *
 * Invariants   no row waits for a time before its parent's; rows[place].place is place.
 */
#include "lease/internal.h"

static uint64_t when_of(const struct oak_lease_table *l, enum lease_wait wait, uint32_t place)
{
    return l->rows[l->heaps[wait].rows[place]].when[wait];
}

static void put(struct oak_lease_table *l, enum lease_wait wait, uint32_t place, uint32_t row)
{
    l->heaps[wait].rows[place] = row;
    l->rows[row].place[wait] = place;
}

static void swap(struct oak_lease_table *l, enum lease_wait wait, uint32_t a, uint32_t b)
{
    uint32_t row = l->heaps[wait].rows[a];
    put(l, wait, a, l->heaps[wait].rows[b]);
    put(l, wait, b, row);
}

static void rise(struct oak_lease_table *l, enum lease_wait wait, uint32_t at)
{
    while (at > 0 && when_of(l, wait, at) < when_of(l, wait, (at - 1) / 2)) {
        swap(l, wait, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

/* Within the first `count`. */
static void sink(struct oak_lease_table *l, enum lease_wait wait, uint32_t at, uint32_t count)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            least = when_of(l, wait, child) < when_of(l, wait, least) ? child : least;
        }
        if (least == at) {
            return;
        }
        swap(l, wait, at, least);
        at = least;
    }
}

void lease__wait(struct oak_lease_table *l, enum lease_wait wait, struct lease_row *row,
                 uint64_t when)
{
    struct lease_heap *heap = &l->heaps[wait];
    row->when[wait] = when;
    if (row->place[wait] == LEASE_NOWHERE) {
        OAK_ASSERT_LT(heap->count, l->room);
        put(l, wait, heap->count++, (uint32_t)(row - l->rows));
    }
    rise(l, wait, row->place[wait]);
    sink(l, wait, row->place[wait], heap->count);
}

void lease__unwait(struct oak_lease_table *l, enum lease_wait wait, struct lease_row *row)
{
    struct lease_heap *heap = &l->heaps[wait];
    uint32_t at = row->place[wait];
    if (at == LEASE_NOWHERE) {
        return;
    }
    row->place[wait] = LEASE_NOWHERE;
    heap->count--;
    if (at < heap->count) {
        put(l, wait, at, heap->rows[heap->count]);
        rise(l, wait, at);
        sink(l, wait, at, heap->count);
    }
}

struct lease_row *lease__next(const struct oak_lease_table *l, enum lease_wait wait)
{
    const struct lease_heap *heap = &l->heaps[wait];
    return heap->count > 0 ? &l->rows[heap->rows[0]] : NULL;
}

void lease__sort(struct oak_lease_table *l, enum lease_wait wait)
{
    uint32_t count = l->heaps[wait].count;
    /* The nearest to the end, again and again: that is the order turned round. */
    for (uint32_t left = count; left > 1; left--) {
        swap(l, wait, 0, left - 1);
        sink(l, wait, 0, left - 1);
    }
    for (uint32_t i = 0; i < count / 2; i++) {
        swap(l, wait, i, count - 1 - i);
    }
}
