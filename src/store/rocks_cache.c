/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_cache.c: newest versions in memory, under a ceiling: the resident tier.
 *
 * Two rings. `heads` has the key and the numbers of a version, `values` has its value too. A header
 * alone is worth keeping, and seven of them fit where one value does: a put needs no more of the
 * version before it, and a value is found below by its exact place instead of a search. In one ring
 * values would push out headers at their own pace.
 *
 * Entries lie in a ring in the order of their writing. Room for a new one is made at the tail: what
 * was asked for since it was written goes to the head once more, the rest is dropped.
 *
 * The index is 8-way associative: a set that is full loses one entry. Keys that somebody made to
 * collide can thus cost one another their places, but never a long search.
 *
 * Can fail     init: OAK_ENOMEM. Nothing else: what does not fit is not kept.
 * Invariants   an entry is the newest version of its key, open batch included; used <= size.
 * Thread       the owner's.
 */
#include "store/rocks.h"

#include <stdlib.h>

enum {
    ENTRY_LIVE = 1,
    ENTRY_USED = 2,
    ENTRY_DELETED = 4,
};

#define CACHE_WAYS      8
#define CACHE_KEY_MAX   1024
#define CACHE_VALUE_MAX 2048
/* Entries that one insertion may move to the head because they were used; bounds its time. */
#define CACHE_MOVES_MAX 8

struct rocks_entry {
    uint16_t units; /* of 8 bytes, header included; what the content leaves over is unused */
    uint16_t key_size;
    uint16_t flags;
    uint8_t bytes[]; /* key, numbers as varints, then in `values` the value */
};
#define ENTRY_HEAD offsetof(struct rocks_entry, bytes)
/* main, sub, main - create_rev, version, lease, size of the value */
#define NUMBERS 6

struct rocks_slot {
    uint32_t hash;
    uint32_t place; /* offset in the ring / 8, plus 1; 0: empty */
};

static void ring_fini(struct rocks_ring *c)
{
    free(c->bytes);
    free(c->slots);
    *c = (struct rocks_ring){0};
}

static int ring_init(struct rocks_ring *c, size_t bytes, bool values)
{
    *c = (struct rocks_ring){.values = values};
    /* Of a header's 40 bytes an index of 8 is a fifth; values need far less. */
    size_t index = values ? bytes / 16 : bytes / 4;
    c->sets = 64;
    while ((size_t)c->sets * 2 * CACHE_WAYS * sizeof(c->slots[0]) <= index) {
        c->sets *= 2;
    }
    c->size = (bytes - (size_t)c->sets * CACHE_WAYS * sizeof(c->slots[0])) & ~(size_t)7;
    OAK_ASSERT_LT(c->size / 8, (size_t)UINT32_MAX);
    c->bytes = malloc(c->size);
    c->slots = calloc((size_t)c->sets * CACHE_WAYS, sizeof(c->slots[0]));
    if (c->bytes == NULL || c->slots == NULL) {
        ring_fini(c);
        return OAK_ENOMEM;
    }
    return 0;
}

static void ring_clear(struct rocks_ring *c)
{
    memset(c->slots, 0, (size_t)c->sets * CACHE_WAYS * sizeof(c->slots[0]));
    c->head = c->tail = c->used = 0;
}

static struct rocks_entry *entry_at(const struct rocks_ring *c, size_t offset)
{
    return (struct rocks_entry *)(void *)(c->bytes + offset);
}

static size_t round_up(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

/* Where the numbers of a live entry end: there the value begins. */
static const uint8_t *entry_numbers(const struct rocks_entry *e, uint64_t numbers[NUMBERS])
{
    const uint8_t *at = e->bytes + e->key_size;
    for (unsigned i = 0; i < NUMBERS; i++) {
        uint64_t v = 0;
        unsigned shift = 0;
        while (*at >= 0x80) {
            v |= (uint64_t)(*at++ & 0x7f) << shift;
            shift += 7;
        }
        numbers[i] = v | (uint64_t)*at++ << shift;
    }
    return at;
}

static size_t put_number(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static uint32_t hash_of(struct oak_bytes key)
{
    return oak_crc32c(0, key.data, key.size);
}

static struct rocks_slot *set_of(const struct rocks_ring *c, uint32_t hash)
{
    uint32_t mixed = (hash ^ (hash >> 15)) * 0x9e3779b1U;
    return &c->slots[(size_t)(mixed & (c->sets - 1)) * CACHE_WAYS];
}

static struct rocks_slot *slot_of(const struct rocks_ring *c, uint32_t hash, uint32_t place)
{
    struct rocks_slot *set = set_of(c, hash);
    for (unsigned i = 0; i < CACHE_WAYS; i++) {
        if (set[i].place == place) {
            return &set[i];
        }
    }
    OAK_UNREACHABLE("a live entry has a slot");
}

static uint32_t place_of(size_t offset)
{
    return (uint32_t)(offset / 8) + 1;
}

static struct rocks_slot *find(const struct rocks_ring *c, uint32_t hash, struct oak_bytes key)
{
    struct rocks_slot *set = set_of(c, hash);
    for (unsigned i = 0; i < CACHE_WAYS; i++) {
        if (set[i].hash != hash || set[i].place == 0) {
            continue;
        }
        const struct rocks_entry *e = entry_at(c, (size_t)(set[i].place - 1) * 8);
        if (oak_bytes_eq(oak_bytes(e->bytes, e->key_size), key)) {
            return &set[i];
        }
    }
    return NULL;
}

static void kill_slot(struct rocks_ring *c, struct rocks_slot *slot)
{
    entry_at(c, (size_t)(slot->place - 1) * 8)->flags = 0;
    slot->place = 0;
}

/* Give back the oldest entry's room, or move it to the head. */
static void evict(struct rocks_ring *c, unsigned *moves)
{
    OAK_ASSERT_GT(c->used, 0U);
    struct rocks_entry *e = entry_at(c, c->tail);
    size_t size = (size_t)e->units * 8;
    size_t from = c->tail;
    OAK_ASSERT_LE(size, c->used);
    c->used -= size;
    c->tail = c->tail + size == c->size ? 0 : c->tail + size;
    if ((e->flags & ENTRY_LIVE) == 0) {
        return;
    }
    struct oak_bytes key = oak_bytes(e->bytes, e->key_size);
    struct rocks_slot *slot = slot_of(c, hash_of(key), place_of(from));
    if ((e->flags & ENTRY_USED) == 0 || *moves == CACHE_MOVES_MAX) {
        slot->place = 0;
        return;
    }
    (*moves)++;
    e->flags &= (uint16_t)~ENTRY_USED;
    /* The room in front of the new tail reaches at least as far as the entry that just left it. */
    memmove(c->bytes + c->head, e, size);
    slot->place = place_of(c->head);
    c->head += size;
    c->used += size;
    OAK_ASSERT_LE(c->head, c->size);
    if (c->head == c->size) {
        c->head = 0;
    }
}

/* Room for `size` bytes at the head. */
static struct rocks_entry *make_room(struct rocks_ring *c, size_t size)
{
    unsigned moves = 0;
    OAK_ASSERT_LE(size, c->size / 2);
    for (;;) {
        if (c->used == 0) {
            c->head = c->tail = 0;
        }
        bool behind = c->used == 0 || c->head > c->tail;
        size_t free_bytes = behind ? c->size - c->head : c->tail - c->head;
        if (free_bytes >= size) {
            struct rocks_entry *e = entry_at(c, c->head);
            c->head = c->head + size == c->size ? 0 : c->head + size;
            c->used += size;
            return e;
        }
        if (!behind) {
            evict(c, &moves);
            continue;
        }
        /* The end of the ring is too short: it becomes gaps. */
        size_t part = OAK_MIN(free_bytes, (size_t)UINT16_MAX * 8);
        struct rocks_entry *gap = entry_at(c, c->head);
        gap->units = (uint16_t)(part / 8);
        gap->flags = 0;
        c->used += part;
        c->head = c->head + part == c->size ? 0 : c->head + part;
    }
}

/* An entry before it has its place. */
struct draft {
    uint8_t numbers[NUMBERS * 10];
    size_t numbers_size;
    struct oak_bytes value;
    size_t size;
};

static void draft_make(struct draft *d, const struct store_item *item, bool with_value)
{
    const struct oak_store_kv *kv = &item->kv;
    bool put = !item->deleted;
    const uint64_t numbers[NUMBERS] = {
        (uint64_t)item->rev.main,
        (uint64_t)item->rev.sub,
        put ? (uint64_t)(item->rev.main - kv->create_rev) : 0,
        put ? (uint64_t)kv->version : 0,
        put ? (uint64_t)kv->lease : 0,
        put ? kv->value.size : 0,
    };
    d->numbers_size = 0;
    for (unsigned i = 0; i < NUMBERS; i++) {
        d->numbers_size += put_number(d->numbers + d->numbers_size, numbers[i]);
    }
    d->value = put && with_value ? kv->value : oak_bytes(NULL, 0);
    d->size = round_up(ENTRY_HEAD + kv->key.size + d->numbers_size + d->value.size);
}

static void fill(struct rocks_entry *e, const struct store_item *item, const struct draft *d)
{
    e->units = (uint16_t)(d->size / 8);
    e->key_size = (uint16_t)item->kv.key.size;
    e->flags = item->deleted ? ENTRY_LIVE | ENTRY_DELETED : ENTRY_LIVE;
    uint8_t *at = e->bytes;
    memcpy(at, item->kv.key.data, item->kv.key.size);
    at += item->kv.key.size;
    memcpy(at, d->numbers, d->numbers_size);
    at += d->numbers_size;
    if (d->value.size > 0) {
        memcpy(at, d->value.data, d->value.size);
    }
}

static void ring_put(struct rocks_ring *c, const struct store_item *item, uint32_t hash)
{
    const struct oak_store_kv *kv = &item->kv;
    struct rocks_slot *slot = find(c, hash, kv->key);
    bool fits = kv->key.size <= CACHE_KEY_MAX &&
                (!c->values || (!item->deleted && kv->value.size <= CACHE_VALUE_MAX));
    if (!fits) {
        if (slot != NULL) {
            kill_slot(c, slot);
        }
        return;
    }
    struct draft draft;
    draft_make(&draft, item, c->values);
    if (slot != NULL) {
        struct rocks_entry *old = entry_at(c, (size_t)(slot->place - 1) * 8);
        if ((size_t)old->units * 8 == draft.size) {
            fill(old, item, &draft);
            return;
        }
        kill_slot(c, slot);
    }
    struct rocks_entry *e = make_room(c, draft.size);
    fill(e, item, &draft);
    struct rocks_slot *set = set_of(c, hash);
    unsigned way = 0;
    while (way < CACHE_WAYS && set[way].place != 0) {
        way++;
    }
    if (way == CACHE_WAYS) {
        way = (unsigned)(item->rev.main + item->rev.sub) % CACHE_WAYS;
        kill_slot(c, &set[way]);
    }
    set[way] =
        (struct rocks_slot){.hash = hash, .place = place_of((size_t)((uint8_t *)e - c->bytes))};
}

static bool ring_get(const struct rocks_ring *c, struct oak_bytes key, uint32_t hash,
                     struct store_item *out)
{
    const struct rocks_slot *slot = find(c, hash, key);
    if (slot == NULL) {
        return false;
    }
    struct rocks_entry *e = entry_at(c, (size_t)(slot->place - 1) * 8);
    e->flags |= ENTRY_USED;
    uint64_t n[NUMBERS];
    const uint8_t *value = entry_numbers(e, n);
    *out = (struct store_item){
        .rev = {.main = (int64_t)n[0], .sub = (int64_t)n[1]},
        .deleted = (e->flags & ENTRY_DELETED) != 0,
        .kv = {.key = oak_bytes(e->bytes, e->key_size), .mod_rev = (int64_t)n[0]},
    };
    if (!out->deleted) {
        out->kv.create_rev = (int64_t)(n[0] - n[2]);
        out->kv.version = (int64_t)n[3];
        out->kv.lease = (int64_t)n[4];
        out->kv.value = c->values ? oak_bytes(value, (size_t)n[5]) : oak_bytes(NULL, 0);
    }
    return true;
}

/* -- both rings -------------------------------------------------------------------------------- */

int rocks__cache_init(struct rocks_cache *c, size_t bytes)
{
    *c = (struct rocks_cache){0};
    bytes = OAK_MAX(bytes, (size_t)256 * OAK_KIB);
    int error = ring_init(&c->heads, bytes / 8 * 5, false);
    if (error == 0) {
        error = ring_init(&c->values, bytes / 8 * 3, true);
    }
    if (error != 0) {
        rocks__cache_fini(c);
    }
    return error;
}

void rocks__cache_fini(struct rocks_cache *c)
{
    ring_fini(&c->heads);
    ring_fini(&c->values);
}

void rocks__cache_clear(struct rocks_cache *c)
{
    ring_clear(&c->heads);
    ring_clear(&c->values);
}

void rocks__cache_put(struct rocks_cache *c, const struct store_item *item)
{
    uint32_t hash = hash_of(item->kv.key);
    ring_put(&c->heads, item, hash);
    ring_put(&c->values, item, hash);
}

bool rocks__cache_get(struct rocks_cache *c, struct oak_bytes key, struct store_item *out,
                      bool *whole)
{
    uint32_t hash = hash_of(key);
    *whole = true;
    if (ring_get(&c->values, key, hash, out)) {
        return true;
    }
    if (!ring_get(&c->heads, key, hash, out)) {
        return false;
    }
    *whole = out->deleted;
    return true;
}
