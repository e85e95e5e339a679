/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h: memory for one request: many small allocations under a ceiling, dropped at once.
 *
 * The first chunk is kept over a reset, so that a steady request needs no malloc.
 */
#ifndef OAK_BASE_ARENA_H
#define OAK_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct oak_arena_chunk;

struct oak_arena {
    struct oak_arena_chunk *chunks; /* newest first */
    size_t chunk_used;              /* bytes used in the newest chunk */
    size_t total;                   /* bytes handed out since the last reset */
    size_t ceiling;                 /* refuse to go past this many bytes */
    size_t chunk_size;              /* usual size of a chunk */
};

void oak_arena_init(struct oak_arena *a, size_t chunk_size, size_t ceiling);
void oak_arena_fini(struct oak_arena *a);
/* Everything handed out is gone; the oldest chunk is kept. */
void oak_arena_reset(struct oak_arena *a);
/* Back to how it was when the mark was set: what was handed out since is gone. */
struct oak_arena_mark {
    struct oak_arena_chunk *chunks;
    size_t chunk_used;
    size_t total;
};
struct oak_arena_mark oak_arena_mark(const struct oak_arena *a);
void oak_arena_rewind(struct oak_arena *a, struct oak_arena_mark mark);
/* `size` bytes aligned for any type, not zeroed; NULL past the ceiling or without memory. */
void *oak_arena_alloc(struct oak_arena *a, size_t size);
/* As alloc, zeroed. */
void *oak_arena_zalloc(struct oak_arena *a, size_t size);
/* A copy of the bytes; data is NULL on failure (and when size is 0). */
struct oak_bytes oak_arena_dup(struct oak_arena *a, struct oak_bytes b);

#endif
