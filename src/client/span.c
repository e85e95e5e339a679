/* SPDX-License-Identifier: Apache-2.0 */
/* span.c: which keys are meant, as the API's ranges say it. */
#include "client/internal.h"

/* The API's "from the key on" is an end of one zero byte, and its "from the first key on" begins
 * with one. */
static uint8_t zero[1];

static const ProtobufCBinaryData one_zero = {.len = 1, .data = zero};

/* The first key that does not begin with `prefix`: its last byte below 255, one higher. All of
 * them 255: there is none. */
static int prefix_end(struct oak_arena *arena, struct oak_bytes prefix, ProtobufCBinaryData *end)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.data[size - 1] == 0xff) {
        size--;
    }
    if (size == 0) {
        *end = one_zero;
        return 0;
    }
    uint8_t *copy = oak_arena_alloc(arena, size);
    if (copy == NULL) {
        return OAK_ENOMEM;
    }
    memcpy(copy, prefix.data, size);
    copy[size - 1]++;
    *end = (ProtobufCBinaryData){.len = size, .data = copy};
    return 0;
}

int client__span(struct oak_arena *arena, const struct client_keys *keys, ProtobufCBinaryData *key,
                 ProtobufCBinaryData *end)
{
    bool open = keys->span == OAK_CLIENT_PREFIX || keys->span == OAK_CLIENT_FROM;
    *key = open && keys->key.size == 0 ? one_zero : oak_proto_binary(keys->key);
    *end = (ProtobufCBinaryData){.len = 0, .data = NULL};
    switch (keys->span) {
    case OAK_CLIENT_ONE:
        return 0;
    case OAK_CLIENT_PREFIX:
        return prefix_end(arena, keys->key, end);
    case OAK_CLIENT_FROM:
        *end = one_zero;
        return 0;
    case OAK_CLIENT_UNTIL:
        *end = oak_proto_binary(keys->end);
        return 0;
    default:
        return OAK_EINVAL;
    }
}
