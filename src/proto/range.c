/* SPDX-License-Identifier: Apache-2.0 */
/* range.c: the end of a range of keys, as the API has it.
 *
 * Happy path   the prefix's last byte that is below 255, one higher, is the first key that does not
 *              begin with it
 * Can fail     no memory: an error, and never an end: a shorter one would be of other keys.
 */
#include "proto/proto.h"

int oak_proto_prefix_end(struct oak_arena *arena, struct oak_bytes prefix, ProtobufCBinaryData *end)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.data[size - 1] == 0xff) {
        size--;
    }
    if (size == 0) {
        *end = oak_proto_binary(oak_bytes("", 1));
        return 0;
    }
    *end = oak_proto_binary(oak_arena_dup(arena, oak_bytes(prefix.data, size)));
    if (end->data == NULL) {
        return OAK_ENOMEM;
    }
    end->data[size - 1]++;
    return 0;
}
