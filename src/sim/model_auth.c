/* SPDX-License-Identifier: Apache-2.0 */
/* model_auth.c: the model's users: root, and one guest, who may write what a role of the same name
 * may, of three ranges of keys. What a command's user may not do changes nothing.
 *
 * Keys of guests are letters behind a prefix, so that a range is a set of letters, as bits. A
 * permission for a single key holds for puts of that key alone.
 */
#include "sim/internal.h"

const struct sim_permission sim_permissions[SIM_PERMISSIONS] = {
    {"guest/b", "guest/d", 0x06}, {"guest/d", "guest/e", 0x08}, {"guest/f", "", 0x20}};

static bool is(ProtobufCBinaryData bytes, const char *text)
{
    return oak_bytes_eq(oak_proto_bytes(bytes), oak_bytes_str(text));
}

static bool is_root(const char *name)
{
    return strcmp(name, "root") == 0;
}

/* -- changes ----------------------------------------------------------------------------------- */

static bool set(bool *what, bool to)
{
    bool changed = *what != to;
    *what = to;
    return changed;
}

/* Whether it takes a revision of users and roles. */
static bool role_of(struct model_auth *a, const char *user, const char *role, bool granted)
{
    bool root = is_root(user);
    if (!*(root ? &a->root : &a->guest) || (!root && !a->role && granted)) {
        return false;
    }
    OAK_ASSERT_EQ(root, is_root(role));
    return set(root ? &a->root_rules : &a->guest_plays, granted);
}

static bool user_delete(struct model_auth *a)
{
    a->guest_plays = false;
    return set(&a->guest, false);
}

static bool role_delete(struct model_auth *a)
{
    if (a->role) {
        a->guest_plays = false;
        memset(a->permitted, 0, sizeof(a->permitted));
    }
    return set(&a->role, false);
}

static bool permission(struct model_auth *a, ProtobufCBinaryData key, bool given)
{
    for (size_t i = 0; a->role && i < SIM_PERMISSIONS; i++) {
        if (is(key, sim_permissions[i].from)) {
            bool changed = set(&a->permitted[i], given);
            return given || changed; /* the same one given again counts, too */
        }
    }
    return false;
}

static bool user_add(struct model_auth *a, const char *name)
{
    bool root = is_root(name);
    bool added = set(root ? &a->root : &a->guest, true);
    if (added && !root) {
        a->guest_since = a->revision + 1;
    }
    return added;
}

static bool enable(struct model_auth *a, bool on)
{
    if (on) {
        a->enabled = a->enabled || (a->root && a->root_rules);
        return false;
    }
    bool changed = set(&a->enabled, false);
    a->disabled_at = changed ? a->revision + 1 : a->disabled_at;
    return changed;
}

static bool change(struct model_auth *a, enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    switch (kind) {
    case OAK_KV_AUTH_ENABLE:
    case OAK_KV_AUTH_DISABLE:
        return enable(a, kind == OAK_KV_AUTH_ENABLE);
    case OAK_KV_USER_ADD:
        return user_add(a, ((const Etcdserverpb__AuthUserAddRequest *)message)->name);
    case OAK_KV_USER_DELETE:
        return user_delete(a);
    case OAK_KV_USER_GRANT:
        return role_of(a, ((const Etcdserverpb__AuthUserGrantRoleRequest *)message)->user,
                       ((const Etcdserverpb__AuthUserGrantRoleRequest *)message)->role, true);
    case OAK_KV_USER_REVOKE:
        return role_of(a, ((const Etcdserverpb__AuthUserRevokeRoleRequest *)message)->name,
                       ((const Etcdserverpb__AuthUserRevokeRoleRequest *)message)->role, false);
    case OAK_KV_ROLE_ADD:
        return set(&a->role, true);
    case OAK_KV_ROLE_DELETE:
        return role_delete(a);
    case OAK_KV_ROLE_PERMIT:
        return permission(
            a, ((const Etcdserverpb__AuthRoleGrantPermissionRequest *)message)->perm->key, true);
    default:
        OAK_ASSERT_EQ(kind, OAK_KV_ROLE_FORBID);
        return permission(a, ((const Etcdserverpb__AuthRoleRevokePermissionRequest *)message)->key,
                          false);
    }
}

void sim__model_auth_run(struct model_auth *a, enum oak_kv_kind kind,
                         const ProtobufCMessage *message)
{
    if (change(a, kind, message)) {
        a->revision++;
    }
}

/* -- decisions --------------------------------------------------------------------------------- */

bool sim__model_guest_may(const struct model_auth *a, unsigned from, unsigned to)
{
    unsigned may = 0;
    bool range = to > from;
    unsigned wanted = range ? (1u << to) - (1u << from) : 1u << from;
    if (!a->guest || !a->guest_plays || !a->role) {
        return false;
    }
    for (size_t i = 0; i < SIM_PERMISSIONS; i++) {
        bool counts = a->permitted[i] && (!range || sim_permissions[i].to[0] != '\0');
        may |= counts ? sim_permissions[i].letters : 0;
    }
    return (wanted & ~may) == 0;
}

static unsigned letter_of(ProtobufCBinaryData key)
{
    OAK_ASSERT_EQ(key.len, sizeof("guest/a") - 1);
    return (unsigned)(key.data[key.len - 1] - 'a');
}

static bool guest_may(const struct model_auth *a, enum oak_kv_kind kind,
                      const ProtobufCMessage *message)
{
    if (kind == OAK_KV_PUT) {
        unsigned letter = letter_of(((const Etcdserverpb__PutRequest *)message)->key);
        return sim__model_guest_may(a, letter, 0);
    }
    OAK_ASSERT_EQ(kind, OAK_KV_DELETE);
    const Etcdserverpb__DeleteRangeRequest *r = (const Etcdserverpb__DeleteRangeRequest *)message;
    return sim__model_guest_may(a, letter_of(r->key), letter_of(r->range_end));
}

bool sim__model_permits(const struct model_auth *a, const struct oak_kv_command *command,
                        const ProtobufCMessage *message)
{
    const struct oak_authz_who *who = &command->who;
    bool of_auth = command->kind >= OAK_KV_AUTH_ENABLE;
    bool by_members = command->kind == OAK_KV_COMPACT || command->kind == OAK_KV_LEASE_REVOKE ||
                      command->kind == OAK_KV_LEASE_CHECKPOINT;
    if (!a->enabled || (by_members && who->user.size == 0)) {
        return true;
    }
    bool root = oak_bytes_eq(who->user, oak_bytes_str("root"));
    if (of_auth || command->kind == OAK_KV_COMPACT) {
        return root;
    }
    bool now = who->user.size > 0 && who->revision >= a->revision;
    return now && (root || guest_may(a, command->kind, message));
}
