/* SPDX-License-Identifier: Apache-2.0 */
/* command.c: kinds of commands, and the header of one in a log entry; drawn in kv.h.
 *
 * Bytes 2 to 7 are zero, and a command where they are not is refused: they are room for a later
 * version, which an older member must not half understand. One without a user is written as version
 * 1, one with a user as version 2, which a member that knows version 1 alone refuses.
 */
#include "kv/internal.h"

#define VERSION_PLAIN 1
#define VERSION_USER  2
#define USER_HEAD     10

bool kv__shape(int kind, struct kv__shape *out)
{
#define SHAPE(kind, q, r)                             \
    [OAK_KV_##kind] = {                               \
        .request = &etcdserverpb__##q##__descriptor,  \
        .response = &etcdserverpb__##r##__descriptor, \
    }
    static const struct kv__shape shapes[OAK_KV_KIND_END_] = {
        SHAPE(PUT, put_request, put_response),
        SHAPE(DELETE, delete_range_request, delete_range_response),
        SHAPE(TXN, txn_request, txn_response),
        SHAPE(COMPACT, compaction_request, compaction_response),
        SHAPE(COMPACT_OWN, compaction_request, compaction_response),
        SHAPE(ALARM, alarm_request, alarm_response),
        SHAPE(DOWNGRADE, downgrade_request, downgrade_response),
        [OAK_KV_PUBLISH] = {.request = &etcdserverpb__member__descriptor},
        SHAPE(LEASE_GRANT, lease_grant_request, lease_grant_response),
        SHAPE(LEASE_REVOKE, lease_revoke_request, lease_revoke_response),
        [OAK_KV_LEASE_CHECKPOINT] = {.request =
                                         &etcdserverpb__lease_checkpoint_request__descriptor},
        [OAK_KV_MEMBER_URLS] = {.request = &etcdserverpb__member__descriptor},
        SHAPE(AUTH_ENABLE, auth_enable_request, auth_enable_response),
        SHAPE(AUTH_DISABLE, auth_disable_request, auth_disable_response),
        [OAK_KV_AUTH_TOKEN] = {.request = &authpb__token_grant__descriptor,
                               .response = &etcdserverpb__authenticate_response__descriptor},
        SHAPE(USER_ADD, auth_user_add_request, auth_user_add_response),
        SHAPE(USER_DELETE, auth_user_delete_request, auth_user_delete_response),
        SHAPE(USER_PASSWORD, auth_user_change_password_request, auth_user_change_password_response),
        SHAPE(USER_GRANT, auth_user_grant_role_request, auth_user_grant_role_response),
        SHAPE(USER_REVOKE, auth_user_revoke_role_request, auth_user_revoke_role_response),
        SHAPE(ROLE_ADD, auth_role_add_request, auth_role_add_response),
        SHAPE(ROLE_DELETE, auth_role_delete_request, auth_role_delete_response),
        SHAPE(ROLE_PERMIT, auth_role_grant_permission_request, auth_role_grant_permission_response),
        SHAPE(ROLE_FORBID, auth_role_revoke_permission_request,
              auth_role_revoke_permission_response),
    };
#undef SHAPE
    if (kind < 0 || kind >= OAK_KV_KIND_END_ || shapes[kind].request == NULL) {
        return false;
    }
    *out = shapes[kind];
    return true;
}

size_t oak_kv_header_bytes(const struct oak_kv_command *c)
{
    return OAK_KV_HEADER_BYTES + (c->who.user.size > 0 ? USER_HEAD + c->who.user.size : 0);
}

void oak_kv_command_encode(const struct oak_kv_command *c, uint8_t *out)
{
    struct kv__shape shape;
    bool known = kv__shape((int)c->kind, &shape);
    OAK_ASSERT(known);
    OAK_ASSERT_LE(c->who.user.size, OAK_AUTH_NAME_BYTES_MAX);
    memset(out, 0, OAK_KV_HEADER_BYTES);
    out[0] = c->who.user.size > 0 ? VERSION_USER : VERSION_PLAIN;
    out[1] = (uint8_t)c->kind;
    oak_put_u64(out + 8, c->origin);
    oak_put_u64(out + 16, c->id);
    if (c->who.user.size > 0) {
        oak_put_u64(out + OAK_KV_HEADER_BYTES, c->who.revision);
        oak_put_u16(out + OAK_KV_HEADER_BYTES + 8, (uint16_t)c->who.user.size);
        memcpy(out + OAK_KV_HEADER_BYTES + USER_HEAD, c->who.user.data, c->who.user.size);
    }
}

int oak_kv_command_decode(struct oak_bytes bytes, struct oak_kv_command *out)
{
    static const uint8_t zeros[6];
    struct kv__shape shape;
    struct oak_reader in = oak_reader(bytes);
    uint8_t version = oak_read_u8(&in);
    int kind = oak_read_u8(&in);
    struct oak_bytes reserved = oak_read_bytes(&in, sizeof(zeros));
    struct oak_kv_command c = {.kind = (enum oak_kv_kind)kind};
    c.origin = oak_read_u64(&in);
    c.id = oak_read_u64(&in);
    if (!in.failed && version == VERSION_USER) {
        c.who.revision = oak_read_u64(&in);
        c.who.user = oak_read_bytes(&in, oak_read_u16(&in));
    }
    bool user = c.who.user.size > 0 && c.who.user.size <= OAK_AUTH_NAME_BYTES_MAX;
    if (in.failed || (version != VERSION_PLAIN && (version != VERSION_USER || !user)) ||
        memcmp(reserved.data, zeros, sizeof(zeros)) != 0 || !kv__shape(kind, &shape)) {
        return OAK_EFORMAT;
    }
    c.request = oak_read_bytes(&in, oak_reader_left(&in));
    *out = c;
    return 0;
}
