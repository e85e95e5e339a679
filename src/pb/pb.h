/* SPDX-License-Identifier: Apache-2.0 */
/* pb.h: protobuf-c, tamed: messages are decoded into an arena under a ceiling, behind a guard
 * against deep nesting.
 *
 * protobuf-c neither bounds recursion nor memory: nothing from outside is unpacked but through
 * here.
 */
#ifndef OAK_PB_H
#define OAK_PB_H

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

/* Decode `bytes` as the message of `descriptor`. Everything lives in the arena.
 * OAK_EFORMAT (malformed, or nested deeper than OAK_PROTO_DEPTH_MAX), OAK_ELIMIT (over the arena's
 * ceiling), OAK_ENOMEM (under it, but the machine has no memory). proto3 rules: fields in any
 * order, unknown ones kept, the last one wins. Text fields may hold any bytes, as etcd up to 3.6
 * takes them; a NUL ends them here. */
OAK_MUST_USE int oak_pb_unpack(const ProtobufCMessageDescriptor *descriptor, struct oak_bytes bytes,
                               struct oak_arena *arena, ProtobufCMessage **out);

/* Borrowed bytes of a protobuf-c bytes field, and back. */
static inline struct oak_bytes oak_pb_bytes(ProtobufCBinaryData b)
{
    return oak_bytes(b.data, b.len);
}
static inline ProtobufCBinaryData oak_pb_binary(struct oak_bytes b)
{
    /* protobuf-c has no const; packing does not write. */
    return (ProtobufCBinaryData){.len = b.size, .data = (uint8_t *)(uintptr_t)b.data};
}

#endif
