/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c: a chain of chunks, filled from the front. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

struct oak_arena_chunk {
    struct oak_arena_chunk *older;
    size_t capacity;
    alignas(max_align_t) uint8_t bytes[];
};

void oak_arena_init(struct oak_arena *a, size_t chunk_size, size_t ceiling)
{
    OAK_ASSERT(chunk_size > 0);
    *a = (struct oak_arena){.ceiling = ceiling, .chunk_size = chunk_size};
}

static void chunks_free_above(struct oak_arena *a, const struct oak_arena_chunk *keep)
{
    while (a->chunks != keep) {
        struct oak_arena_chunk *older = a->chunks->older;
        free(a->chunks);
        a->chunks = older;
    }
}

void oak_arena_fini(struct oak_arena *a)
{
    chunks_free_above(a, NULL);
    *a = (struct oak_arena){.ceiling = a->ceiling, .chunk_size = a->chunk_size};
}

void oak_arena_reset(struct oak_arena *a)
{
    const struct oak_arena_chunk *oldest = a->chunks;
    while (oldest != NULL && oldest->older != NULL) {
        oldest = oldest->older;
    }
    if (oldest != NULL && oldest->capacity > a->chunk_size) {
        oldest = NULL; /* an oversized one is not worth keeping */
    }
    chunks_free_above(a, oldest);
    a->chunk_used = 0;
    a->total = 0;
}

struct oak_arena_mark oak_arena_mark(const struct oak_arena *a)
{
    return (struct oak_arena_mark){
        .chunks = a->chunks, .chunk_used = a->chunk_used, .total = a->total};
}

void oak_arena_rewind(struct oak_arena *a, struct oak_arena_mark mark)
{
    OAK_ASSERT_LE(mark.total, a->total);
    chunks_free_above(a, mark.chunks);
    a->chunk_used = mark.chunk_used;
    a->total = mark.total;
}

void *oak_arena_alloc(struct oak_arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > a->ceiling) {
        return NULL;
    }
    size_t rounded = (size + align - 1) / align * align;
    if (a->total + rounded > a->ceiling) {
        return NULL;
    }
    if (a->chunks == NULL || a->chunks->capacity - a->chunk_used < rounded) {
        size_t capacity = OAK_MAX(a->chunk_size, rounded);
        struct oak_arena_chunk *chunk = malloc(sizeof(*chunk) + capacity);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->older = a->chunks;
        chunk->capacity = capacity;
        a->chunks = chunk;
        a->chunk_used = 0;
    }
    void *out = a->chunks->bytes + a->chunk_used;
    a->chunk_used += rounded;
    a->total += rounded;
    return out;
}

void *oak_arena_zalloc(struct oak_arena *a, size_t size)
{
    void *out = oak_arena_alloc(a, size);
    if (out != NULL) {
        memset(out, 0, size);
    }
    return out;
}

struct oak_bytes oak_arena_dup(struct oak_arena *a, struct oak_bytes b)
{
    if (b.size == 0) {
        return oak_bytes(NULL, 0);
    }
    void *copy = oak_arena_alloc(a, b.size);
    if (copy == NULL) {
        return oak_bytes(NULL, 0);
    }
    memcpy(copy, b.data, b.size);
    return oak_bytes(copy, b.size);
}
