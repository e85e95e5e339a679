/* SPDX-License-Identifier: Apache-2.0 */
/* proto_fuzz.c: any bytes decode or are refused; what decodes, packs and decodes again to the same.
 */
#include "proto/proto.h"

#include <stdlib.h>

static const ProtobufCMessageDescriptor *const descriptors[] = {
    &etcdserverpb__range_request__descriptor,
    &etcdserverpb__put_request__descriptor,
    &etcdserverpb__delete_range_request__descriptor,
    &etcdserverpb__txn_request__descriptor,
    &etcdserverpb__txn_response__descriptor,
    &etcdserverpb__compaction_request__descriptor,
    &etcdserverpb__watch_request__descriptor,
    &etcdserverpb__watch_response__descriptor,
    &etcdserverpb__lease_time_to_live_response__descriptor,
    &etcdserverpb__member__descriptor,
    &etcdserverpb__status_response__descriptor,
    &v3lockpb__lock_request__descriptor,
    &v3electionpb__campaign_request__descriptor,
    &v3electionpb__proclaim_request__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const ProtobufCMessageDescriptor *d = descriptors[data[0] % OAK_COUNT_OF(descriptors)];
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, 4 * OAK_MIB);
    ProtobufCMessage *message = NULL;
    if (oak_proto_unpack(d, oak_bytes(data + 1, size - 1), &arena, &message) == 0) {
        size_t packed_size = protobuf_c_message_get_packed_size(message);
        uint8_t *packed = malloc(packed_size + 1);
        uint8_t *again = malloc(packed_size + 1);
        OAK_ASSERT(packed != NULL && again != NULL);
        OAK_ASSERT_EQ(protobuf_c_message_pack(message, packed), packed_size);
        struct oak_arena other;
        oak_arena_init(&other, 4096, 16 * OAK_MIB);
        int error = oak_proto_unpack(d, oak_bytes(packed, packed_size), &other, &message);
        OAK_ASSERT_EQ(error, 0);
        OAK_ASSERT_EQ(protobuf_c_message_get_packed_size(message), packed_size);
        OAK_ASSERT_EQ(protobuf_c_message_pack(message, again), packed_size);
        OAK_ASSERT(memcmp(packed, again, packed_size) == 0);
        oak_arena_fini(&other);
        free(packed);
        free(again);
    }
    oak_arena_fini(&arena);
    return 0;
}
