/* SPDX-License-Identifier: Apache-2.0 */
/* command.c: the header of a command in a log entry; drawn in kv.h.
 *
 * Bytes 2 to 7 are zero, and a command where they are not is refused: they are room for a later
 * version, which an older member must not half understand.
 */
#include "kv/internal.h"

#define VERSION 1

/* Numbers between the kinds are for others to come. */
static bool is_kind(int kind)
{
    switch ((enum oak_kv_kind)kind) {
    case OAK_KV_PUT:
    case OAK_KV_DELETE:
    case OAK_KV_TXN:
    case OAK_KV_COMPACT:
    case OAK_KV_PUBLISH:
    case OAK_KV_MEMBER_URLS:
        return true;
    case OAK_KV_KIND_END_:
        break;
    }
    return false;
}

void oak_kv_command_encode(const struct oak_kv_command *c, uint8_t *out)
{
    OAK_ASSERT(is_kind((int)c->kind));
    memset(out, 0, OAK_KV_HEADER_BYTES);
    out[0] = VERSION;
    out[1] = (uint8_t)c->kind;
    oak_put_u64(out + 8, c->origin);
    oak_put_u64(out + 16, c->id);
}

int oak_kv_command_decode(struct oak_bytes bytes, struct oak_kv_command *out)
{
    static const uint8_t zeros[6];
    if (bytes.size < OAK_KV_HEADER_BYTES || bytes.data[0] != VERSION ||
        memcmp(bytes.data + 2, zeros, sizeof(zeros)) != 0) {
        return OAK_EFORMAT;
    }
    int kind = bytes.data[1];
    if (!is_kind(kind)) {
        return OAK_EFORMAT;
    }
    *out = (struct oak_kv_command){
        .kind = (enum oak_kv_kind)kind,
        .origin = oak_get_u64(bytes.data + 8),
        .id = oak_get_u64(bytes.data + 16),
        .request = oak_bytes(bytes.data + OAK_KV_HEADER_BYTES, bytes.size - OAK_KV_HEADER_BYTES),
    };
    return 0;
}
