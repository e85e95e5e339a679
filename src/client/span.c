/* SPDX-License-Identifier: Apache-2.0 */
/* span.c: which keys are meant, as the API's ranges say it. */
#include "client/internal.h"

/* The API's "from the key on" is an end of one zero byte, and its "from the first key on" begins
 * with one. */
static uint8_t zero[1];

static const ProtobufCBinaryData one_zero = {.len = 1, .data = zero};

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
        return oak_proto_prefix_end(arena, keys->key, end);
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
