/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: memory of the room, all of it counted, and the hash of its tables.
 *
 * Can fail     for want of memory: NULL, and nothing has changed.
 * Thread       the room's.
 */
#include "watch/internal.h"

/* What a pool keeps from one batch to the next. */
#define POOL_KEPT_BYTES OAK_MIB

void *watch__alloc(struct oak_watch *w, size_t size)
{
    OAK_ASSERT_GT(size, 0u);
    void *p = w->options.alloc.resize(w->options.alloc.user, NULL, size);
    w->memory_bytes += p != NULL ? size : 0;
    return p;
}

void watch__free(struct oak_watch *w, void *p, size_t size)
{
    if (p == NULL) {
        return;
    }
    OAK_ASSERT_LE(size, w->memory_bytes);
    w->memory_bytes -= size;
    (void)w->options.alloc.resize(w->options.alloc.user, p, 0);
}

void *watch__pool_add(struct oak_watch *w, struct watch__pool *pool, size_t size)
{
    OAK_ASSERT_LE(pool->size, pool->capacity);
    if (pool->capacity - pool->size < size) {
        size_t capacity = OAK_MAX(OAK_MAX(pool->capacity * 2, pool->size + size), OAK_KIB);
        void *grown = w->options.alloc.resize(w->options.alloc.user, pool->data, capacity);
        if (grown == NULL) {
            return NULL;
        }
        w->memory_bytes += capacity - pool->capacity;
        pool->data = grown;
        pool->capacity = capacity;
    }
    void *at = pool->data + pool->size;
    pool->size += size;
    return at;
}

void watch__pool_clear(struct oak_watch *w, struct watch__pool *pool)
{
    pool->size = 0;
    if (pool->capacity > POOL_KEPT_BYTES) {
        watch__pool_fini(w, pool);
    }
}

void watch__pool_fini(struct oak_watch *w, struct watch__pool *pool)
{
    watch__free(w, pool->data, pool->capacity);
    *pool = (struct watch__pool){0};
}

/* -- SipHash-1-3 (Aumasson and Bernstein 2012) ------------------------------------------------- */

static uint64_t turn(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = turn(v[1], 13) ^ v[0];
    v[0] = turn(v[0], 32);
    v[2] += v[3];
    v[3] = turn(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = turn(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = turn(v[1], 17) ^ v[2];
    v[2] = turn(v[2], 32);
}

uint64_t watch__hash(const struct oak_watch *w, struct oak_bytes bytes)
{
    const uint64_t *seed = w->options.seed;
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575),
        seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261),
        seed[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t at = 0;
    for (; at + 8 <= bytes.size; at += 8) {
        uint64_t m = oak_get_u64(bytes.data + at);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)(bytes.size & 0xff) << 56;
    for (unsigned i = 0; at + i < bytes.size; i++) {
        last |= (uint64_t)bytes.data[at + i] << (8 * i);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
