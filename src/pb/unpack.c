/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c: decode a message into an arena.
 *
 * Happy path   1 walk the wire bytes (depth.c)
 *              2 protobuf-c unpacks, taking memory from the arena
 * Can fail     OAK_EFORMAT from either step; OAK_ELIMIT when the arena's ceiling is met, which
 *              bounds the number of repeated elements too; OAK_ENOMEM when the machine has no
 *              memory. Which of the three it is depends on the bytes and the ceiling alone, but
 *              for OAK_ENOMEM. Invariants nothing is freed one by one: what a failed decoding
 *              took goes with the arena.
 * Thread       the arena's.
 */
#include "pb/internal.h"

#include <stdalign.h>

struct source {
    struct oak_arena *arena;
    bool full;      /* the ceiling was met */
    bool no_memory; /* it was not, and yet there was nothing */
};

static void *take(void *user, size_t size)
{
    struct source *s = user;
    void *out = oak_arena_alloc(s->arena, size);
    if (out == NULL) {
        const size_t align = alignof(max_align_t);
        size_t left = s->arena->ceiling - s->arena->total;
        bool fits = size <= left && (size + align - 1) / align * align <= left;
        s->no_memory = s->no_memory || fits;
        s->full = s->full || !fits;
    }
    return out;
}

static void keep(void *user, void *p)
{
    (void)user;
    (void)p;
}

int oak_pb_unpack(const ProtobufCMessageDescriptor *descriptor, struct oak_bytes bytes,
                  struct oak_arena *arena, ProtobufCMessage **out)
{
    OAK_ASSERT(descriptor != NULL);
    OAK_ASSERT_LE(arena->total, arena->ceiling);
    *out = NULL;
    int error = pb__walk(descriptor, bytes);
    if (error != 0) {
        return error;
    }
    struct source source = {.arena = arena};
    ProtobufCAllocator allocator = {.alloc = take, .free = keep, .allocator_data = &source};
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, bytes.size, bytes.data);
    if (message != NULL) {
        OAK_ASSERT(message->descriptor == descriptor);
        *out = message;
        return 0;
    }
    if (source.no_memory) {
        return OAK_ENOMEM;
    }
    return source.full ? OAK_ELIMIT : OAK_EFORMAT;
}
