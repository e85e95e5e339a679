/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_cache.c: newest versions in memory, under a ceiling: the resident tier.
 *
 * Entries lie in a ring, in the order of their writing. Room for a new one is made at the tail:
 *
 *     used since it was written     goes to the head once more
 *     has its value                 the value is dropped, the header goes to the head
 *     header only                   is dropped
 *
 * So values fall out first, and what is asked for stays. A header alone is worth keeping: a put
 * needs no more of the version before it, and the value is found below by its exact place instead
 * of a search.
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
    ENTRY_WHOLE = 8,
};

#define CACHE_WAYS      8
#define CACHE_KEY_MAX   1024
#define CACHE_VALUE_MAX 2048
/* Entries that one insertion may move to the head because they were used; bounds its time. */
#define CACHE_MOVES_MAX 8

struct rocks_entry {
    uint32_t units; /* of 8 bytes, header included; a dead entry or a gap has no more than this */
    uint16_t flags;
    uint16_t key_size;
    int64_t main;
    int64_t lease;
    uint32_t hash;
    uint32_t sub;
    uint32_t age; /* main - create_rev */
    uint32_t version;
    uint32_t value_size;
    uint8_t bytes[]; /* key, then the value when the entry is whole */
};
#define ENTRY_HEAD offsetof(struct rocks_entry, bytes)

struct rocks_slot {
    uint32_t hash;
    uint32_t place; /* offset in the ring / 8, plus 1; 0: empty */
};

int rocks__cache_init(struct rocks_cache *c, size_t bytes)
{
    *c = (struct rocks_cache){0};
    c->size = OAK_MAX(bytes, (size_t)256 * OAK_KIB) & ~(size_t)7;
    OAK_ASSERT_LT(c->size / 8, (size_t)UINT32_MAX);
    c->sets = 64;
    while ((size_t)c->sets * CACHE_WAYS * 64 < c->size) {
        c->sets *= 2;
    }
    c->ring = malloc(c->size);
    c->slots = calloc((size_t)c->sets * CACHE_WAYS, sizeof(c->slots[0]));
    if (c->ring == NULL || c->slots == NULL) {
        rocks__cache_fini(c);
        return OAK_ENOMEM;
    }
    return 0;
}

void rocks__cache_fini(struct rocks_cache *c)
{
    free(c->ring);
    free(c->slots);
    *c = (struct rocks_cache){0};
}

void rocks__cache_clear(struct rocks_cache *c)
{
    memset(c->slots, 0, (size_t)c->sets * CACHE_WAYS * sizeof(c->slots[0]));
    c->head = c->tail = c->used = 0;
}

static struct rocks_entry *entry_at(const struct rocks_cache *c, size_t offset)
{
    return (struct rocks_entry *)(void *)(c->ring + offset);
}

static size_t entry_bytes(size_t key_size, size_t value_size)
{
    return (ENTRY_HEAD + key_size + value_size + 7) & ~(size_t)7;
}

static uint32_t hash_of(struct oak_bytes key)
{
    return oak_crc32c(0, key.data, key.size);
}

static struct rocks_slot *set_of(const struct rocks_cache *c, uint32_t hash)
{
    uint32_t mixed = (hash ^ (hash >> 15)) * 0x9e3779b1U;
    return &c->slots[(size_t)(mixed & (c->sets - 1)) * CACHE_WAYS];
}

static struct rocks_slot *slot_of(const struct rocks_cache *c, uint32_t hash, uint32_t place)
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

static struct rocks_slot *find(const struct rocks_cache *c, uint32_t hash, struct oak_bytes key)
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

static void kill_slot(struct rocks_cache *c, struct rocks_slot *slot)
{
    entry_at(c, (size_t)(slot->place - 1) * 8)->flags = 0;
    slot->place = 0;
}

/* Give back the oldest entry's room, or part of it when it stays in a smaller form. */
static void evict(struct rocks_cache *c, unsigned *moves)
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
    struct rocks_slot *slot = slot_of(c, e->hash, place_of(from));
    size_t keep = 0;
    if ((e->flags & ENTRY_USED) != 0 && *moves < CACHE_MOVES_MAX) {
        e->flags &= (uint16_t)~ENTRY_USED;
        keep = size;
        (*moves)++;
    } else if ((e->flags & ENTRY_WHOLE) != 0) {
        e->flags &= (uint16_t) ~(ENTRY_WHOLE | ENTRY_USED);
        keep = entry_bytes(e->key_size, 0);
        e->units = (uint32_t)(keep / 8);
    }
    if (keep == 0) {
        slot->place = 0;
        return;
    }
    /* The room in front of the new tail reaches at least as far as the entry that just left it. */
    memmove(c->ring + c->head, e, keep);
    slot->place = place_of(c->head);
    c->head += keep;
    c->used += keep;
    OAK_ASSERT_LE(c->head, c->size);
    if (c->head == c->size) {
        c->head = 0;
    }
}

/* Room for `size` bytes at the head. */
static struct rocks_entry *make_room(struct rocks_cache *c, size_t size)
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
        /* The end of the ring is too short: it becomes a gap. */
        struct rocks_entry *gap = entry_at(c, c->head);
        gap->units = (uint32_t)(free_bytes / 8);
        gap->flags = 0;
        c->used += free_bytes;
        c->head = 0;
    }
}

static void fill(struct rocks_entry *e, const struct store_item *item, uint32_t hash, bool whole,
                 size_t size)
{
    const struct oak_store_kv *kv = &item->kv;
    *e = (struct rocks_entry){
        .units = (uint32_t)(size / 8),
        .flags = (uint16_t)(ENTRY_LIVE | (item->deleted ? ENTRY_DELETED : 0) |
                            (whole ? ENTRY_WHOLE : 0)),
        .key_size = (uint16_t)kv->key.size,
        .main = item->rev.main,
        .hash = hash,
        .sub = (uint32_t)item->rev.sub,
    };
    memcpy(e->bytes, kv->key.data, kv->key.size);
    if (item->deleted) {
        return;
    }
    e->lease = kv->lease;
    e->age = (uint32_t)(item->rev.main - kv->create_rev);
    e->version = (uint32_t)kv->version;
    e->value_size = (uint32_t)kv->value.size;
    if (whole && kv->value.size > 0) {
        memcpy(e->bytes + kv->key.size, kv->value.data, kv->value.size);
    }
}

void rocks__cache_put(struct rocks_cache *c, const struct store_item *item)
{
    const struct oak_store_kv *kv = &item->kv;
    uint32_t hash = hash_of(kv->key);
    struct rocks_slot *slot = find(c, hash, kv->key);
    bool fits = kv->key.size <= CACHE_KEY_MAX && item->rev.sub <= UINT32_MAX &&
                (item->deleted || (item->rev.main - kv->create_rev <= UINT32_MAX &&
                                   kv->version <= UINT32_MAX && kv->value.size <= UINT32_MAX));
    if (!fits) {
        if (slot != NULL) {
            kill_slot(c, slot);
        }
        return;
    }
    bool whole = item->deleted || kv->value.size <= CACHE_VALUE_MAX;
    size_t size = entry_bytes(kv->key.size, whole && !item->deleted ? kv->value.size : 0);
    if (slot != NULL) {
        struct rocks_entry *old = entry_at(c, (size_t)(slot->place - 1) * 8);
        if ((size_t)old->units * 8 == size) {
            fill(old, item, hash, whole, size);
            return;
        }
        kill_slot(c, slot);
    }
    struct rocks_entry *e = make_room(c, size);
    fill(e, item, hash, whole, size);
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
        (struct rocks_slot){.hash = hash, .place = place_of((size_t)((uint8_t *)e - c->ring))};
}

bool rocks__cache_get(struct rocks_cache *c, struct oak_bytes key, struct store_item *out,
                      bool *whole)
{
    struct rocks_slot *slot = find(c, hash_of(key), key);
    if (slot == NULL) {
        return false;
    }
    struct rocks_entry *e = entry_at(c, (size_t)(slot->place - 1) * 8);
    e->flags |= ENTRY_USED;
    *whole = (e->flags & ENTRY_WHOLE) != 0;
    *out = (struct store_item){
        .rev = {.main = e->main, .sub = e->sub},
        .deleted = (e->flags & ENTRY_DELETED) != 0,
        .kv = {.key = oak_bytes(e->bytes, e->key_size), .mod_rev = e->main},
    };
    if (!out->deleted) {
        out->kv.create_rev = e->main - e->age;
        out->kv.version = e->version;
        out->kv.lease = e->lease;
        out->kv.value =
            *whole ? oak_bytes(e->bytes + e->key_size, e->value_size) : oak_bytes(NULL, 0);
    }
    return true;
}
