/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: what the two sides of a typed call share: memory, decoding, encoding.
 *
 * Happy path   bytes become a message in the arena of the call (the only message of its
 *              direction) or in the scratch, which the next message takes over; a message is
 *              measured, and packed into the very bytes that will be sent.
 * Can fail     decoding: malformed, too deep, over the ceiling; encoding: as sending fails.
 * Invariants   the arena's ceiling is that of decoding only while it decodes.
 * Thread       the loop's.
 */
#include "stub/internal.h"

OAK_STATIC_ASSERT(OAK_STUB_DECODE_BYTES == OAK_DECODE_BYTES_MAX, "one limit, told to users");

void stub__call_init(struct oak_stub_call *call)
{
    *call = (struct oak_stub_call){0};
    oak_arena_init(&call->arena, STUB_CHUNK_BYTES, OAK_RESPONSE_BYTES_MAX);
    oak_arena_init(&call->scratch, STUB_CHUNK_BYTES, OAK_RESPONSE_BYTES_MAX);
}

void stub__call_fini(struct oak_stub_call *call)
{
    oak_arena_fini(&call->arena);
    oak_arena_fini(&call->scratch);
}

int stub__decode(struct oak_stub_call *call, const ProtobufCMessageDescriptor *descriptor,
                 bool more, struct oak_bytes bytes, ProtobufCMessage **out)
{
    struct oak_arena *arena = more ? &call->scratch : &call->arena;
    size_t ceiling = arena->ceiling;
    if (more) {
        oak_arena_reset(arena);
    }
    OAK_ASSERT_LE(bytes.size, UINT32_MAX); /* gRPC's framing */
    arena->ceiling = OAK_MIN(ceiling, arena->total + bytes.size + OAK_DECODE_BYTES_MAX);
    int error = oak_pb_unpack(descriptor, bytes, arena, out);
    arena->ceiling = ceiling;
    return error;
}

int stub__encode(struct oak_stub_call *call, const ProtobufCMessage *message)
{
    OAK_ASSERT(call->rpc != NULL);
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *out = oak_rpc_call_send_into(call->rpc, size);
    if (out == NULL) {
        return OAK_ELIMIT;
    }
    size_t packed = protobuf_c_message_pack(message, out);
    OAK_ASSERT_EQ(packed, size);
    return 0;
}

void oak_stub_set_data(struct oak_stub_call *call, void *data)
{
    call->data = data;
}

void *oak_stub_data(const struct oak_stub_call *call)
{
    return call->data;
}

void *oak_stub_alloc(struct oak_stub_call *call, size_t size)
{
    return oak_arena_zalloc(&call->arena, size);
}

void *oak_stub_scratch(struct oak_stub_call *call, size_t size)
{
    return oak_arena_zalloc(&call->scratch, size);
}

struct oak_arena *oak_stub_arena(struct oak_stub_call *call)
{
    return &call->arena;
}

struct oak_bytes oak_stub_metadata(const struct oak_stub_call *call, const char *name)
{
    return call->rpc != NULL ? oak_rpc_call_metadata(call->rpc, name) : oak_bytes(NULL, 0);
}

struct oak_bytes oak_stub_bytes(const struct oak_stub_call *call)
{
    return call->bytes;
}

void oak_stub_pause(struct oak_stub_call *call, bool paused)
{
    if (call->rpc != NULL) {
        oak_rpc_call_pause(call->rpc, paused);
    }
}

size_t oak_stub_queued(const struct oak_stub_call *call)
{
    return call->rpc != NULL ? oak_rpc_call_queued(call->rpc) : 0;
}

void oak_stub_cancel(struct oak_stub_call *call)
{
    bool server = call->service != NULL;
    if (call->rpc != NULL) {
        oak_rpc_call_cancel(call->rpc);
        call->answered = call->answered || server;
    } else if (server) {
        stub__call_release(call);
    }
}
