/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c: the table of leases, and finding one by its id.
 *
 * Rows lie without gaps: the last takes the place of one that goes. Slots give the row of an id by
 * open addressing; a slot that becomes free is closed by moving back what was pushed beyond it.
 *
 * Can fail     lease__add: OAK_ENOMEM, nothing changed.
 * Invariants   at most half of the slots are taken; the room of rows, slots and heaps grows
 *              together.
 */
#include <string.h>

#include "base/errors.h"
#include "lease/internal.h"

#define ROOM_MIN 64

static uint32_t home_of(const struct oak_lease_table *l, int64_t id)
{
    uint64_t x = (uint64_t)id;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x >> 32) & (l->slot_count - 1);
}

/* The slot that holds the id, or the free one where it belongs. */
static uint32_t slot_of(const struct oak_lease_table *l, int64_t id)
{
    uint32_t at = home_of(l, id);
    while (l->slots[at] != 0 && l->rows[l->slots[at] - 1].id != id) {
        at = (at + 1) & (l->slot_count - 1);
    }
    return at;
}

struct lease_row *lease__find(const struct oak_lease_table *l, int64_t id)
{
    if (l->count == 0) {
        return NULL;
    }
    uint32_t slot = l->slots[slot_of(l, id)];
    return slot != 0 ? &l->rows[slot - 1] : NULL;
}

static void *resize(const struct oak_lease_table *l, void *p, size_t size)
{
    return l->options.alloc.resize(l->options.alloc.user, p, size);
}

static int grow(struct oak_lease_table *l)
{
    uint32_t room = l->room == 0 ? ROOM_MIN : 2 * l->room;
    OAK_ASSERT_LT(room, UINT32_MAX / 4);
    struct lease_row *rows = resize(l, l->rows, room * sizeof(*rows));
    if (rows == NULL) {
        return OAK_ENOMEM;
    }
    l->rows = rows;
    for (int i = 0; i < LEASE_WAITS; i++) {
        uint32_t *heap = resize(l, l->heaps[i].rows, room * sizeof(*heap));
        if (heap == NULL) {
            return OAK_ENOMEM;
        }
        l->heaps[i].rows = heap;
    }
    uint32_t *slots = resize(l, NULL, 2 * room * sizeof(*slots));
    if (slots == NULL) {
        return OAK_ENOMEM;
    }
    (void)resize(l, l->slots, 0);
    memset(slots, 0, 2 * room * sizeof(*slots));
    l->slots = slots;
    l->slot_count = 2 * room;
    l->room = room;
    for (uint32_t i = 0; i < l->count; i++) {
        l->slots[slot_of(l, l->rows[i].id)] = i + 1;
    }
    return 0;
}

int lease__add(struct oak_lease_table *l, int64_t id, struct lease_row **out)
{
    OAK_ASSERT_NE(id, 0);
    OAK_ASSERT(lease__find(l, id) == NULL);
    int error = l->count == l->room ? grow(l) : 0;
    if (error != 0) {
        return error;
    }
    struct lease_row *row = &l->rows[l->count];
    *row = (struct lease_row){.id = id, .place = {LEASE_NOWHERE, LEASE_NOWHERE}};
    l->slots[slot_of(l, id)] = ++l->count;
    *out = row;
    return 0;
}

static void slot_free(struct oak_lease_table *l, uint32_t at)
{
    uint32_t mask = l->slot_count - 1;
    uint32_t hole = at;
    for (uint32_t next = (at + 1) & mask; l->slots[next] != 0; next = (next + 1) & mask) {
        uint32_t home = home_of(l, l->rows[l->slots[next] - 1].id);
        /* It may move back unless its home lies behind the hole. */
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            l->slots[hole] = l->slots[next];
            hole = next;
        }
    }
    l->slots[hole] = 0;
}

void lease__drop(struct oak_lease_table *l, struct lease_row *row)
{
    for (int i = 0; i < LEASE_WAITS; i++) {
        lease__unwait(l, (enum lease_wait)i, row);
    }
    slot_free(l, slot_of(l, row->id));
    uint32_t at = (uint32_t)(row - l->rows);
    struct lease_row *last = &l->rows[l->count - 1];
    if (row != last) {
        l->slots[slot_of(l, last->id)] = at + 1;
        *row = *last;
        for (int i = 0; i < LEASE_WAITS; i++) {
            if (row->place[i] != LEASE_NOWHERE) {
                l->heaps[i].rows[row->place[i]] = at;
            }
        }
    }
    l->count--;
}

void lease__clear(struct oak_lease_table *l)
{
    (void)resize(l, l->rows, 0);
    (void)resize(l, l->slots, 0);
    for (int i = 0; i < LEASE_WAITS; i++) {
        (void)resize(l, l->heaps[i].rows, 0);
        l->heaps[i] = (struct lease_heap){0};
    }
    l->rows = NULL;
    l->slots = NULL;
    l->count = l->room = l->slot_count = 0;
}
