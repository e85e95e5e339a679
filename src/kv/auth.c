/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c: users, roles and permissions: commands that change them, and how they are kept.
 *
 * The rules are authz's. What a command has changed goes to the store beside the history, in the
 * same batch, one pair for each record; names may be longer than a pair's key, so a record has a
 * number:
 *
 *     auth/settings        enabled (1) | revision (8) | disabled at (8) | numbers given out (8)
 *     auth/user/ NUMBER    since (8) | authpb.User
 *     auth/role/ NUMBER    authpb.Role
 *
 * Numbers are little endian in values, big endian in keys.
 *
 * Can fail     a command: what authz says, and nothing changes. The store, memory: fatal.
 * Invariants   authz holds what the store holds.
 * Thread       the replica's.
 */
#include "kv/internal.h"

#define SETTINGS       "auth/settings"
#define USER_PREFIX    "auth/user/"
#define ROLE_PREFIX    "auth/role/"
#define PREFIX_BYTES   (sizeof(USER_PREFIX) - 1)
#define KEY_BYTES      (PREFIX_BYTES + 8)
#define SETTINGS_BYTES 25
#define SINCE_BYTES    8
/* "$2b$10$" and 53 characters. */
#define HASH_BYTES 60

const struct oak_authz *oak_kv_authz(const struct oak_kv *kv)
{
    return kv->authz;
}

bool oak_kv_token_holds(const struct oak_kv *kv, const struct oak_authz_who *who)
{
    const struct oak_authz_settings *settings = oak_authz_settings(kv->authz);
    struct oak_authz_user user;
    return settings->enabled &&
           (who->revision >= settings->disabled_at || OAK_BUG(token_outlives_auth)) &&
           oak_authz_user(kv->authz, who->user, &user) &&
           (who->revision >= user.since || OAK_BUG(token_outlives_user));
}

/* -- what is kept ------------------------------------------------------------------------------ */

static bool has_prefix(struct oak_bytes key, const char *prefix)
{
    return key.size == KEY_BYTES && memcmp(key.data, prefix, PREFIX_BYTES) == 0;
}

static struct oak_bytes key_of(uint8_t *room, const char *prefix, uint64_t number)
{
    memcpy(room, prefix, PREFIX_BYTES);
    oak_put_be64(room + PREFIX_BYTES, number);
    return oak_bytes(room, KEY_BYTES);
}

static void settings_value(const struct oak_authz_settings *s, uint8_t value[SETTINGS_BYTES])
{
    value[0] = s->enabled ? 1 : 0;
    oak_put_u64(value + 1, s->revision);
    oak_put_u64(value + 9, s->disabled_at);
    oak_put_u64(value + 17, s->numbers);
}

static int settings_keep(struct oak_kv *kv)
{
    uint8_t value[SETTINGS_BYTES];
    settings_value(oak_authz_settings(kv->authz), value);
    return oak_store_meta_put(kv->store, oak_bytes_str(SETTINGS), oak_bytes(value, sizeof(value)));
}

/* `head` bytes stand before the message already. */
static int message_keep(struct oak_kv *kv, struct oak_bytes key, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    int error = oak_buf_reserve(&kv->value, size);
    if (error != 0) {
        return error;
    }
    protobuf_c_message_pack(message, kv->value.data + kv->value.size);
    kv->value.size += size;
    return oak_store_meta_put(kv->store, key, oak_buf_bytes(&kv->value));
}

static int user_keep(struct oak_kv *kv, struct oak_bytes key, const struct oak_authz_user *user)
{
    Authpb__User message = AUTHPB__USER__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    options.no_password = user->no_password;
    message.name = oak_proto_binary(user->name);
    message.password = oak_proto_binary(user->hash);
    message.options = &options;
    message.n_roles = user->role_count;
    message.roles = oak_arena_alloc(&kv->scratch, (user->role_count + 1) * sizeof(char *));
    for (size_t i = 0; message.roles != NULL && i < user->role_count; i++) {
        char *role = oak_arena_zalloc(&kv->scratch, user->roles[i].size + 1);
        if (role == NULL) {
            return OAK_ENOMEM;
        }
        memcpy(role, user->roles[i].data, user->roles[i].size);
        message.roles[i] = role;
    }
    uint8_t since[SINCE_BYTES];
    oak_put_u64(since, user->since);
    oak_buf_clear(&kv->value);
    int error =
        message.roles == NULL ? OAK_ENOMEM : oak_buf_append(&kv->value, since, sizeof(since));
    return error != 0 ? error : message_keep(kv, key, &message.base);
}

static int role_keep(struct oak_kv *kv, struct oak_bytes key, const struct oak_authz_role *role)
{
    Authpb__Role message = AUTHPB__ROLE__INIT;
    message.name = oak_proto_binary(role->name);
    size_t count = role->permission_count;
    Authpb__Permission *permissions =
        oak_arena_alloc(&kv->scratch, (count + 1) * sizeof(*permissions));
    message.keypermission =
        oak_arena_alloc(&kv->scratch, (count + 1) * sizeof(*message.keypermission));
    if (permissions == NULL || message.keypermission == NULL) {
        return OAK_ENOMEM;
    }
    message.n_keypermission = count;
    for (size_t i = 0; i < count; i++) {
        authpb__permission__init(&permissions[i]);
        permissions[i].permtype = (Authpb__Permission__Type)role->permissions[i].access;
        permissions[i].key = oak_proto_binary(role->permissions[i].key);
        permissions[i].range_end = oak_proto_binary(role->permissions[i].end);
        message.keypermission[i] = &permissions[i];
    }
    oak_buf_clear(&kv->value);
    return message_keep(kv, key, &message.base);
}

/* What the last change left to be kept. */
static int changes_keep(struct oak_kv *kv)
{
    struct oak_authz_change change;
    int error = settings_keep(kv);
    while (error == 0 && oak_authz_change_take(kv->authz, &change)) {
        uint8_t room[KEY_BYTES];
        struct oak_bytes key =
            key_of(room, change.is_user ? USER_PREFIX : ROLE_PREFIX, change.number);
        if (change.removed) {
            error = oak_store_meta_put(kv->store, key, oak_bytes(NULL, 0));
        } else if (change.is_user) {
            error = user_keep(kv, key, &change.user);
        } else {
            error = role_keep(kv, key, &change.role);
        }
    }
    return error;
}

/* -- loading ----------------------------------------------------------------------------------- */

static int user_load(struct oak_kv *kv, uint64_t number, struct oak_bytes value)
{
    ProtobufCMessage *message = NULL;
    if (value.size < SINCE_BYTES) {
        return OAK_ECORRUPT;
    }
    struct oak_bytes packed = oak_bytes(value.data + SINCE_BYTES, value.size - SINCE_BYTES);
    int error = oak_proto_unpack(&authpb__user__descriptor, packed, &kv->scratch, &message);
    if (error != 0) {
        return error == OAK_ENOMEM ? OAK_ENOMEM : OAK_ECORRUPT;
    }
    const Authpb__User *from = (const Authpb__User *)message;
    struct oak_bytes *roles =
        oak_arena_alloc(&kv->scratch, (from->n_roles + 1) * sizeof(struct oak_bytes));
    if (roles == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < from->n_roles; i++) {
        roles[i] = oak_bytes_str(from->roles[i]);
    }
    const struct oak_authz_user user = {
        .number = number,
        .name = oak_proto_bytes(from->name),
        .hash = oak_proto_bytes(from->password),
        .roles = roles,
        .role_count = from->n_roles,
        .since = oak_get_u64(value.data),
        .no_password = from->options != NULL && from->options->no_password,
    };
    return oak_authz_load_user(kv->authz, &user);
}

static int role_load(struct oak_kv *kv, uint64_t number, struct oak_bytes value)
{
    ProtobufCMessage *message = NULL;
    int error = oak_proto_unpack(&authpb__role__descriptor, value, &kv->scratch, &message);
    if (error != 0) {
        return error == OAK_ENOMEM ? OAK_ENOMEM : OAK_ECORRUPT;
    }
    const Authpb__Role *from = (const Authpb__Role *)message;
    struct oak_authz_permission *permissions =
        oak_arena_alloc(&kv->scratch, (from->n_keypermission + 1) * sizeof(*permissions));
    if (permissions == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < from->n_keypermission; i++) {
        permissions[i] = (struct oak_authz_permission){
            .access = (enum oak_authz_access)from->keypermission[i]->permtype,
            .key = oak_proto_bytes(from->keypermission[i]->key),
            .end = oak_proto_bytes(from->keypermission[i]->range_end),
        };
    }
    const struct oak_authz_role role = {
        .number = number,
        .name = oak_proto_bytes(from->name),
        .permissions = permissions,
        .permission_count = from->n_keypermission,
    };
    return oak_authz_load_role(kv->authz, &role);
}

static int settings_decode(struct oak_bytes value, struct oak_authz_settings *out)
{
    if (value.size != SETTINGS_BYTES || value.data[0] > 1) {
        return OAK_ECORRUPT;
    }
    *out = (struct oak_authz_settings){
        .enabled = value.data[0] == 1,
        .revision = oak_get_u64(value.data + 1),
        .disabled_at = oak_get_u64(value.data + 9),
        .numbers = oak_get_u64(value.data + 17),
    };
    return 0;
}

static int settings_load(struct oak_kv *kv, struct oak_bytes value)
{
    struct oak_authz_settings settings;
    int error = settings_decode(value, &settings);
    if (error == 0) {
        oak_authz_load_settings(kv->authz, &settings);
    }
    return error;
}

struct load {
    struct oak_kv *kv;
    int error;
};

static void load_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct load *load = arg;
    struct oak_kv *kv = load->kv;
    if (load->error != 0) {
        return;
    }
    oak_arena_reset(&kv->scratch);
    if (has_prefix(key, USER_PREFIX)) {
        load->error = user_load(kv, oak_get_be64(key.data + PREFIX_BYTES), data);
    } else if (has_prefix(key, ROLE_PREFIX)) {
        load->error = role_load(kv, oak_get_be64(key.data + PREFIX_BYTES), data);
    } else if (oak_bytes_eq(key, oak_bytes_str(SETTINGS))) {
        load->error = settings_load(kv, data);
    }
}

int kv__auth_load(struct oak_kv *kv)
{
    struct load load = {.kv = kv};
    oak_authz_clear(kv->authz);
    if (OAK_BUG(auth_not_loaded)) {
        return 0;
    }
    kv->scratch.ceiling = SIZE_MAX / 2;
    int error = oak_store_meta_each(kv->store, load_each, &load);
    return error != 0 ? error : load.error;
}

/* -- for who has no kv ------------------------------------------------------------------------- */

/* Of authpb.User and authpb.Role alike. */
static int name_read(struct oak_kv_record *record, struct oak_arena *arena)
{
    bool user = record->kind == OAK_KV_RECORD_USER;
    ProtobufCMessage *m = NULL;
    int error = oak_proto_unpack(user ? &authpb__user__descriptor : &authpb__role__descriptor,
                                 record->message, arena, &m);
    if (error != 0) {
        return error == OAK_ENOMEM ? OAK_ENOMEM : OAK_ECORRUPT;
    }
    record->name =
        oak_proto_bytes(user ? ((const Authpb__User *)m)->name : ((const Authpb__Role *)m)->name);
    return 0;
}

bool kv__auth_record(struct oak_bytes key, struct oak_bytes data, struct oak_arena *arena,
                     struct oak_kv_record *out, int *error)
{
    struct oak_authz_settings settings = {.enabled = false};
    size_t head = 0;
    if (oak_bytes_eq(key, oak_bytes_str(SETTINGS))) {
        out->kind = OAK_KV_RECORD_AUTH;
        *error = settings_decode(data, &settings);
        out->auth_enabled = settings.enabled;
        out->auth_revision = settings.revision;
        out->auth_numbers = settings.numbers;
        return true;
    }
    if (has_prefix(key, USER_PREFIX)) {
        out->kind = OAK_KV_RECORD_USER;
        head = SINCE_BYTES;
    } else if (has_prefix(key, ROLE_PREFIX)) {
        out->kind = OAK_KV_RECORD_ROLE;
    } else {
        return false;
    }
    if (data.size < head) {
        *error = OAK_ECORRUPT;
        return true;
    }
    out->number = oak_get_be64(key.data + PREFIX_BYTES);
    out->message = oak_bytes(data.data + head, data.size - head);
    *error = name_read(out, arena);
    return true;
}

/* A token of another cluster is as good as none, so each password was set before all that will be
 * granted. */
int kv__auth_record_write(const struct oak_kv_record *record, struct oak_buf *key,
                          struct oak_buf *data)
{
    if (record->kind == OAK_KV_RECORD_AUTH) {
        const struct oak_authz_settings settings = {.enabled = record->auth_enabled,
                                                    .revision = record->auth_revision,
                                                    .numbers = record->auth_numbers};
        uint8_t value[SETTINGS_BYTES];
        settings_value(&settings, value);
        int error = oak_buf_append(key, SETTINGS, sizeof(SETTINGS) - 1);
        return error != 0 ? error : oak_buf_append(data, value, sizeof(value));
    }
    static const uint8_t since[SINCE_BYTES];
    bool user = record->kind == OAK_KV_RECORD_USER;
    uint8_t room[KEY_BYTES];
    struct oak_bytes name = key_of(room, user ? USER_PREFIX : ROLE_PREFIX, record->number);
    int error = oak_buf_append(key, name.data, name.size);
    error = error == 0 && user ? oak_buf_append(data, since, sizeof(since)) : error;
    return error != 0 ? error : oak_buf_append(data, record->message.data, record->message.size);
}

/* -- commands ---------------------------------------------------------------------------------- */

/* A password in clear has no place in a log, nor a hash that is none. */
static int hash_check(const char *password, const char *hash)
{
    size_t size = strlen(hash);
    bool sound = size == 0 || (size == HASH_BYTES && hash[0] == '$' && hash[1] == '2');
    return password[0] == '\0' && sound ? 0 : OAK_EINVAL;
}

int kv__auth_check(enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    if (kind == OAK_KV_USER_ADD) {
        const Etcdserverpb__AuthUserAddRequest *r =
            (const Etcdserverpb__AuthUserAddRequest *)message;
        return hash_check(r->password, r->hashedpassword);
    }
    if (kind == OAK_KV_USER_PASSWORD) {
        const Etcdserverpb__AuthUserChangePasswordRequest *r =
            (const Etcdserverpb__AuthUserChangePasswordRequest *)message;
        return hash_check(r->password, r->hashedpassword);
    }
    return 0;
}

static int token_grant(const struct oak_kv *kv, const struct oak_kv_command *command,
                       const Authpb__TokenGrant *request)
{
    struct oak_authz_user user;
    if (!oak_kv_auth_enabled(kv)) {
        return OAK_EAUTHNOTENABLED;
    }
    if (!oak_authz_user(kv->authz, command->who.user, &user)) {
        return OAK_EAUTHFAILED;
    }
    if (!oak_kv_token_holds(kv, &command->who)) {
        return OAK_EAUTHOLDREVISION; /* the password was changed since it was looked at */
    }
    if (kv->token_granted != NULL) {
        kv->token_granted(kv->user, &command->who, oak_proto_bytes(request->digest));
    }
    return 0;
}

static int role_permit(struct oak_authz *a, const Etcdserverpb__AuthRoleGrantPermissionRequest *r)
{
    if (r->perm == NULL) {
        return oak_authz_role_permit(a, oak_bytes_str(r->name), NULL);
    }
    const struct oak_authz_permission permission = {
        .access = (enum oak_authz_access)r->perm->permtype,
        .key = oak_proto_bytes(r->perm->key),
        .end = oak_proto_bytes(r->perm->range_end),
    };
    return oak_authz_role_permit(a, oak_bytes_str(r->name), &permission);
}

static int user_change(struct oak_authz *a, enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    if (kind == OAK_KV_USER_ADD) {
        const Etcdserverpb__AuthUserAddRequest *r =
            (const Etcdserverpb__AuthUserAddRequest *)message;
        return oak_authz_user_add(a, oak_bytes_str(r->name), oak_bytes_str(r->hashedpassword),
                                  r->options != NULL && r->options->no_password);
    }
    if (kind == OAK_KV_USER_DELETE) {
        const Etcdserverpb__AuthUserDeleteRequest *r =
            (const Etcdserverpb__AuthUserDeleteRequest *)message;
        return oak_authz_user_delete(a, oak_bytes_str(r->name));
    }
    if (kind == OAK_KV_USER_PASSWORD) {
        const Etcdserverpb__AuthUserChangePasswordRequest *r =
            (const Etcdserverpb__AuthUserChangePasswordRequest *)message;
        return oak_authz_user_password(a, oak_bytes_str(r->name), oak_bytes_str(r->hashedpassword));
    }
    if (kind == OAK_KV_USER_GRANT) {
        const Etcdserverpb__AuthUserGrantRoleRequest *r =
            (const Etcdserverpb__AuthUserGrantRoleRequest *)message;
        return oak_authz_user_grant(a, oak_bytes_str(r->user), oak_bytes_str(r->role));
    }
    OAK_ASSERT_EQ(kind, OAK_KV_USER_REVOKE);
    const Etcdserverpb__AuthUserRevokeRoleRequest *r =
        (const Etcdserverpb__AuthUserRevokeRoleRequest *)message;
    return oak_authz_user_revoke(a, oak_bytes_str(r->name), oak_bytes_str(r->role));
}

static int role_change(struct oak_authz *a, enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    if (kind == OAK_KV_ROLE_ADD) {
        const Etcdserverpb__AuthRoleAddRequest *r =
            (const Etcdserverpb__AuthRoleAddRequest *)message;
        return oak_authz_role_add(a, oak_bytes_str(r->name));
    }
    if (kind == OAK_KV_ROLE_DELETE) {
        const Etcdserverpb__AuthRoleDeleteRequest *r =
            (const Etcdserverpb__AuthRoleDeleteRequest *)message;
        return oak_authz_role_delete(a, oak_bytes_str(r->role));
    }
    if (kind == OAK_KV_ROLE_PERMIT) {
        return role_permit(a, (const Etcdserverpb__AuthRoleGrantPermissionRequest *)message);
    }
    OAK_ASSERT_EQ(kind, OAK_KV_ROLE_FORBID);
    const Etcdserverpb__AuthRoleRevokePermissionRequest *r =
        (const Etcdserverpb__AuthRoleRevokePermissionRequest *)message;
    return oak_authz_role_forbid(a, oak_bytes_str(r->role), oak_proto_bytes(r->key),
                                 oak_proto_bytes(r->range_end));
}

static int change(struct oak_kv *kv, const struct oak_kv_command *command,
                  const ProtobufCMessage *message)
{
    switch (command->kind) {
    case OAK_KV_AUTH_ENABLE:
        return oak_authz_enable(kv->authz);
    case OAK_KV_AUTH_DISABLE:
        return oak_authz_disable(kv->authz);
    case OAK_KV_AUTH_TOKEN:
        return token_grant(kv, command, (const Authpb__TokenGrant *)message);
    case OAK_KV_USER_ADD:
    case OAK_KV_USER_DELETE:
    case OAK_KV_USER_PASSWORD:
    case OAK_KV_USER_GRANT:
    case OAK_KV_USER_REVOKE:
        return user_change(kv->authz, command->kind, message);
    default:
        return role_change(kv->authz, command->kind, message);
    }
}

int kv__auth(struct kv__run *run, const struct oak_kv_command *command,
             const ProtobufCMessage *message, ProtobufCMessage **response, int *told)
{
    struct oak_kv *kv = run->kv;
    const struct oak_authz_settings before = *oak_authz_settings(kv->authz);
    *told = change(kv, command, message);
    if (*told == OAK_ENOMEM) {
        return OAK_ENOMEM;
    }
    const struct oak_authz_settings *after = oak_authz_settings(kv->authz);
    OAK_ASSERT(*told == 0 || after->revision == before.revision);
    int error = 0;
    if (after->revision != before.revision || after->enabled != before.enabled) {
        error = changes_keep(kv);
    }
    if (error != 0 || *told != 0) {
        return error;
    }
    struct kv__shape shape;
    bool known = kv__shape((int)command->kind, &shape);
    OAK_ASSERT(known);
    *response = kv__message_new(run, shape.response);
    if (*response != NULL) {
        const ProtobufCFieldDescriptor *field = &shape.response->fields[0];
        OAK_ASSERT_EQ(field->id, 1);
        void *at = (uint8_t *)*response + field->offset;
        *(Etcdserverpb__ResponseHeader **)at = kv__header_new(run);
    }
    return 0;
}
