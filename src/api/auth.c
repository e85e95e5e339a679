/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c: etcdserverpb.Auth, but for Authenticate, which is login.c's.
 *
 * Changes go through the log with their bytes as they came, but for those with a password: it is
 * hashed first (login.c), and the command has the hash alone. What is asked for is read like keys:
 * on a state that is not older than the question.
 *
 * Source  etcd v3 API, "Auth".
 * Thread  the loop's.
 */
#include "api/internal.h"

#include "password/password.h"

static const struct oak_authz *authz_of(const struct api_call *call)
{
    return oak_kv_authz(oak_replica_kv(call->api->options.replica));
}

/* -- changes ----------------------------------------------------------------------------------- */

static void change(void *user, struct oak_stub_call *stub, const ProtobufCMessage *request,
                   enum oak_kv_kind kind)
{
    struct api_call *call = api__begin(user, stub, request);
    if (call != NULL) {
        api__propose(call, kind, request, oak_stub_bytes(stub));
    }
}

#define CHANGE(method, type, kind)                                   \
    static void method(void *user, struct oak_stub_call *stub,       \
                       const Etcdserverpb__##type##Request *request) \
    {                                                                \
        change(user, stub, &request->base, OAK_KV_##kind);           \
    }

CHANGE(auth_enable, AuthEnable, AUTH_ENABLE)
CHANGE(auth_disable, AuthDisable, AUTH_DISABLE)
CHANGE(user_delete, AuthUserDelete, USER_DELETE)
CHANGE(user_grant_role, AuthUserGrantRole, USER_GRANT)
CHANGE(user_revoke_role, AuthUserRevokeRole, USER_REVOKE)
CHANGE(role_add, AuthRoleAdd, ROLE_ADD)
CHANGE(role_delete, AuthRoleDelete, ROLE_DELETE)
CHANGE(role_grant_permission, AuthRoleGrantPermission, ROLE_PERMIT)
CHANGE(role_revoke_permission, AuthRoleRevokePermission, ROLE_FORBID)

/* -- changes with a password ------------------------------------------------------------------- */

static void propose_packed(struct api_call *call, enum oak_kv_kind kind,
                           const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = oak_arena_alloc(api__arena(call), size + 1);
    if (packed == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    (void)protobuf_c_message_pack(message, packed);
    api__propose(call, kind, message, oak_bytes(packed, size));
}

/* `hash` NULL: none. */
static void user_add_propose(struct api_call *call, const char *hash)
{
    const Etcdserverpb__AuthUserAddRequest *from =
        (const Etcdserverpb__AuthUserAddRequest *)call->message;
    Etcdserverpb__AuthUserAddRequest request = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    request.name = from->name;
    request.options = from->options;
    request.hashedpassword = hash != NULL ? (char *)(uintptr_t)hash : request.hashedpassword;
    propose_packed(call, OAK_KV_USER_ADD, &request.base);
}

static void user_password_propose(struct api_call *call, const char *hash)
{
    const Etcdserverpb__AuthUserChangePasswordRequest *from =
        (const Etcdserverpb__AuthUserChangePasswordRequest *)call->message;
    Etcdserverpb__AuthUserChangePasswordRequest request =
        ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
    request.name = from->name;
    request.hashedpassword = (char *)(uintptr_t)hash;
    propose_packed(call, OAK_KV_USER_PASSWORD, &request.base);
}

/* A client may hash by itself and send base64 of that. */
static void hashed_elsewhere(struct api_call *call, const char *base64,
                             void (*propose)(struct api_call *call, const char *hash))
{
    char hash[OAK_PASSWORD_HASH_BYTES + 3] = {0};
    size_t size = 0;
    bool sound = oak_token_base64(base64, (uint8_t *)hash, sizeof(hash) - 1, &size) &&
                 oak_password_is_hash(oak_bytes(hash, size));
    if (sound) {
        propose(call, hash);
    } else {
        api__fail(call, OAK_EINVAL);
    }
}

static void user_add(void *user, struct oak_stub_call *stub,
                     const Etcdserverpb__AuthUserAddRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    if (request->options != NULL && request->options->no_password) {
        user_add_propose(call, NULL);
    } else if (request->password[0] == '\0' && request->hashedpassword[0] != '\0') {
        hashed_elsewhere(call, request->hashedpassword, user_add_propose);
    } else {
        api__hash(call, request->password, user_add_propose);
    }
}

static void user_change_password(void *user, struct oak_stub_call *stub,
                                 const Etcdserverpb__AuthUserChangePasswordRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    if (request->password[0] == '\0' && request->hashedpassword[0] != '\0') {
        hashed_elsewhere(call, request->hashedpassword, user_password_propose);
    } else {
        api__hash(call, request->password, user_password_propose);
    }
}

/* -- questions --------------------------------------------------------------------------------- */

/* May it still be answered? The header, or NULL: the call has failed. */
static Etcdserverpb__ResponseHeader *ask_ready(struct api_call *call, int error)
{
    error = error != 0 ? error : api__permit_again(call);
    Etcdserverpb__ResponseHeader *header = error == 0 ? api__header_new(call) : NULL;
    if (header == NULL) {
        api__fail(call, error != 0 ? error : OAK_ENOMEM);
    }
    return header;
}

static char *text_of(struct api_call *call, struct oak_bytes from)
{
    char *text = oak_arena_zalloc(api__arena(call), from.size + 1);
    if (text != NULL) {
        memcpy(text, from.data, from.size);
    }
    return text;
}

/* Texts of a response; NULL: the call has failed. */
static char **texts_new(struct api_call *call, size_t count)
{
    char **texts = oak_arena_alloc(api__arena(call), (count + 1) * sizeof(*texts));
    if (texts == NULL) {
        api__fail(call, OAK_ENOMEM);
    }
    return texts;
}

/* `got` of its `count` parts found memory. */
static void answer_whole(struct api_call *call, const ProtobufCMessage *response, size_t got,
                         size_t count)
{
    if (got < count) {
        api__fail(call, OAK_ENOMEM);
    } else {
        api__answer(call, response);
    }
}

static void status_ready(struct oak_replica_request *request, int error,
                         const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    Etcdserverpb__AuthStatusResponse response = ETCDSERVERPB__AUTH_STATUS_RESPONSE__INIT;
    (void)result;
    response.header = ask_ready(call, error);
    if (response.header != NULL) {
        const struct oak_authz_settings *settings = oak_authz_settings(authz_of(call));
        response.enabled = settings->enabled;
        response.authrevision = settings->revision;
        api__answer(call, &response.base);
    }
}

static void user_get_ready(struct oak_replica_request *request, int error,
                           const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    const char *name = ((const Etcdserverpb__AuthUserGetRequest *)call->message)->name;
    Etcdserverpb__AuthUserGetResponse response = ETCDSERVERPB__AUTH_USER_GET_RESPONSE__INIT;
    struct oak_authz_user user;
    (void)result;
    response.header = ask_ready(call, error);
    if (response.header == NULL) {
        return;
    }
    if (!oak_authz_user(authz_of(call), oak_bytes_str(name), &user)) {
        api__fail(call, OAK_EUSERNOTFOUND);
        return;
    }
    response.roles = texts_new(call, user.role_count);
    if (response.roles == NULL) {
        return;
    }
    for (size_t i = 0; i < user.role_count; i++) {
        response.roles[response.n_roles] = text_of(call, user.roles[i]);
        response.n_roles += response.roles[response.n_roles] != NULL ? 1 : 0;
    }
    answer_whole(call, &response.base, response.n_roles, user.role_count);
}

static void user_list_ready(struct oak_replica_request *request, int error,
                            const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    Etcdserverpb__AuthUserListResponse response = ETCDSERVERPB__AUTH_USER_LIST_RESPONSE__INIT;
    (void)result;
    response.header = ask_ready(call, error);
    size_t count = oak_authz_user_count(authz_of(call));
    response.users = response.header != NULL ? texts_new(call, count) : NULL;
    if (response.users == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct oak_authz_user user;
        oak_authz_user_at(authz_of(call), i, &user);
        response.users[response.n_users] = text_of(call, user.name);
        response.n_users += response.users[response.n_users] != NULL ? 1 : 0;
    }
    answer_whole(call, &response.base, response.n_users, count);
}

static void role_list_ready(struct oak_replica_request *request, int error,
                            const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    Etcdserverpb__AuthRoleListResponse response = ETCDSERVERPB__AUTH_ROLE_LIST_RESPONSE__INIT;
    (void)result;
    response.header = ask_ready(call, error);
    size_t count = oak_authz_role_count(authz_of(call));
    response.roles = response.header != NULL ? texts_new(call, count) : NULL;
    if (response.roles == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct oak_authz_role role;
        oak_authz_role_at(authz_of(call), i, &role);
        response.roles[response.n_roles] = text_of(call, role.name);
        response.n_roles += response.roles[response.n_roles] != NULL ? 1 : 0;
    }
    answer_whole(call, &response.base, response.n_roles, count);
}

static Authpb__Permission *permission_new(struct api_call *call,
                                          const struct oak_authz_permission *from)
{
    Authpb__Permission *permission = oak_arena_alloc(api__arena(call), sizeof(*permission));
    if (permission != NULL) {
        authpb__permission__init(permission);
        permission->permtype = (Authpb__Permission__Type)from->access;
        permission->key = oak_proto_binary(from->key);
        permission->range_end = oak_proto_binary(from->end);
    }
    return permission;
}

static void role_get_ready(struct oak_replica_request *request, int error,
                           const struct oak_kv_result *result)
{
    /* What the role root may, whatever it was granted. */
    const struct oak_authz_permission all = {
        .access = OAK_AUTHZ_READWRITE, .key = oak_bytes(NULL, 0), .end = oak_bytes("", 1)};
    struct api_call *call = api__call_of(request);
    const char *name = ((const Etcdserverpb__AuthRoleGetRequest *)call->message)->role;
    Etcdserverpb__AuthRoleGetResponse response = ETCDSERVERPB__AUTH_ROLE_GET_RESPONSE__INIT;
    struct oak_authz_role role;
    (void)result;
    response.header = ask_ready(call, error);
    if (response.header == NULL) {
        return;
    }
    if (!oak_authz_role(authz_of(call), oak_bytes_str(name), &role)) {
        api__fail(call, OAK_EROLENOTFOUND);
        return;
    }
    bool root = strcmp(name, "root") == 0;
    const struct oak_authz_permission *from = root ? &all : role.permissions;
    size_t count = root ? 1 : role.permission_count;
    response.perm = oak_arena_alloc(api__arena(call), (count + 1) * sizeof(*response.perm));
    for (size_t i = 0; response.perm != NULL && i < count; i++) {
        response.perm[response.n_perm] = permission_new(call, &from[i]);
        response.n_perm += response.perm[response.n_perm] != NULL ? 1 : 0;
    }
    answer_whole(call, &response.base, response.n_perm, count);
}

static void ask(void *user, struct oak_stub_call *stub, const ProtobufCMessage *request,
                void (*ready)(struct oak_replica_request *request, int error,
                              const struct oak_kv_result *result))
{
    struct api_call *call = api__begin(user, stub, request);
    if (call != NULL) {
        api__read(call, ready);
    }
}

#define ASK(method, type)                                            \
    static void method(void *user, struct oak_stub_call *stub,       \
                       const Etcdserverpb__##type##Request *request) \
    {                                                                \
        ask(user, stub, &request->base, method##_ready);             \
    }

ASK(status, AuthStatus)
ASK(user_get, AuthUserGet)
ASK(user_list, AuthUserList)
ASK(role_get, AuthRoleGet)
ASK(role_list, AuthRoleList)

const struct etcdserverpb__auth_handlers api__auth = {
    .auth_enable = auth_enable,
    .auth_disable = auth_disable,
    .auth_status = status,
    .authenticate = api__authenticate,
    .user_add = user_add,
    .user_get = user_get,
    .user_list = user_list,
    .user_delete = user_delete,
    .user_change_password = user_change_password,
    .user_grant_role = user_grant_role,
    .user_revoke_role = user_revoke_role,
    .role_add = role_add,
    .role_get = role_get,
    .role_list = role_list,
    .role_delete = role_delete,
    .role_grant_permission = role_grant_permission,
    .role_revoke_permission = role_revoke_permission,
};
