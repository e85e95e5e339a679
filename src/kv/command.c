/* SPDX-License-Identifier: Apache-2.0 */
/* command.c: the header of a command in a log entry; drawn in kv.h.
 *
 * Bytes 2 to 7 are zero, and a command where they are not is refused: they are room for a later
 * version, which an older member must not half understand.
 */
#include "kv/internal.h"

#define VERSION 1

void oak_kv_command_encode(const struct oak_kv_command *c, uint8_t *out)
{
    OAK_ASSERT_GE((int)c->kind, OAK_KV_PUT);
    OAK_ASSERT_LT((int)c->kind, OAK_KV_KIND_END_);
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
    if (kind < OAK_KV_PUT || kind >= OAK_KV_KIND_END_) {
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
