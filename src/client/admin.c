/* SPDX-License-Identifier: Apache-2.0 */
/* admin.c: users, roles, and whether they count.
 *
 * Happy path   a table says of each verb what its method is and which fields of the request have
 *              the names; what comes back is names, or permissions.
 * Can fail     a name that is needed and not there: OAK_EINVAL. The rest is the server's to say.
 * Invariants   a request with a password is wiped when its call has ended.
 * Thread       the loop's.
 */
#include "client/internal.h"

#define ENCODE_BYTES_MAX (4 * OAK_MIB)

/* The field of each response that lists names. */
#define NAMES_FIELD 2

struct verb {
    const char *method;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    int (*fill)(struct oak_client_call *call, const ProtobufCMessage *response);
    const char *user; /* fields of the request; NULL: it has none */
    const char *role;
    bool read;
    bool password;
};

/* -- what comes back --------------------------------------------------------------------------- */

static int status_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    call->answer.enabled = ((const Etcdserverpb__AuthStatusResponse *)message)->enabled;
    return 0;
}

static int names_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, NAMES_FIELD);
    OAK_ASSERT(field->type == PROTOBUF_C_TYPE_STRING && field->label == PROTOBUF_C_LABEL_REPEATED);
    const uint8_t *base = (const uint8_t *)message;
    char **texts;
    size_t count;
    memcpy(&texts, base + field->offset, sizeof(texts));
    memcpy(&count, base + field->quantifier_offset, sizeof(count));
    struct oak_bytes *names = oak_arena_alloc(&call->arena, (count + 1) * sizeof(*names));
    if (names == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = oak_bytes_str(texts[i]);
    }
    call->answer.names = names;
    call->answer.name_count = count;
    return 0;
}

static int permissions_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const Etcdserverpb__AuthRoleGetResponse *r = (const Etcdserverpb__AuthRoleGetResponse *)message;
    struct oak_client_permission *all =
        oak_arena_alloc(&call->arena, (r->n_perm + 1) * sizeof(*all));
    if (all == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < r->n_perm; i++) {
        all[i] =
            (struct oak_client_permission){.right = (enum oak_client_right)r->perm[i]->permtype,
                                           .key = oak_proto_bytes(r->perm[i]->key),
                                           .end = oak_proto_bytes(r->perm[i]->range_end)};
    }
    call->answer.permissions = all;
    call->answer.permission_count = r->n_perm;
    return 0;
}

/* -- verbs ------------------------------------------------------------------------------------- */

#define MESSAGES(name)                                           \
    .request = &etcdserverpb__auth_##name##_request__descriptor, \
    .response = &etcdserverpb__auth_##name##_response__descriptor

static const struct verb verbs[] = {
    [OAK_CLIENT_AUTH_ENABLE] = {.method = "AuthEnable", MESSAGES(enable)},
    [OAK_CLIENT_AUTH_DISABLE] = {.method = "AuthDisable", MESSAGES(disable)},
    [OAK_CLIENT_AUTH_STATUS] = {.method = "AuthStatus",
                                MESSAGES(status),
                                .read = true,
                                .fill = status_fill},
    [OAK_CLIENT_USER_ADD] = {.method = "UserAdd",
                             MESSAGES(user_add),
                             .user = "name",
                             .password = true},
    [OAK_CLIENT_USER_DELETE] = {.method = "UserDelete", MESSAGES(user_delete), .user = "name"},
    [OAK_CLIENT_USER_PASSWORD] = {.method = "UserChangePassword",
                                  MESSAGES(user_change_password),
                                  .user = "name",
                                  .password = true},
    [OAK_CLIENT_USER_GRANT] = {.method = "UserGrantRole",
                               MESSAGES(user_grant_role),
                               .user = "user",
                               .role = "role"},
    [OAK_CLIENT_USER_REVOKE] = {.method = "UserRevokeRole",
                                MESSAGES(user_revoke_role),
                                .user = "name",
                                .role = "role"},
    [OAK_CLIENT_USER_GET] =
        {.method = "UserGet", MESSAGES(user_get), .user = "name", .read = true, .fill = names_fill},
    [OAK_CLIENT_USER_LIST] = {.method = "UserList",
                              MESSAGES(user_list),
                              .read = true,
                              .fill = names_fill},
    [OAK_CLIENT_ROLE_ADD] = {.method = "RoleAdd", MESSAGES(role_add), .role = "name"},
    [OAK_CLIENT_ROLE_DELETE] = {.method = "RoleDelete", MESSAGES(role_delete), .role = "role"},
    [OAK_CLIENT_ROLE_GRANT] = {.method = "RoleGrantPermission",
                               MESSAGES(role_grant_permission),
                               .role = "name"},
    [OAK_CLIENT_ROLE_REVOKE] = {.method = "RoleRevokePermission",
                                MESSAGES(role_revoke_permission),
                                .role = "role"},
    [OAK_CLIENT_ROLE_GET] = {.method = "RoleGet",
                             MESSAGES(role_get),
                             .role = "role",
                             .read = true,
                             .fill = permissions_fill},
    [OAK_CLIENT_ROLE_LIST] = {.method = "RoleList",
                              MESSAGES(role_list),
                              .read = true,
                              .fill = names_fill},
};

/* -- requests ---------------------------------------------------------------------------------- */

union request {
    ProtobufCMessage base;
    Etcdserverpb__AuthUserAddRequest user_add;
    Etcdserverpb__AuthUserChangePasswordRequest user_password;
    Etcdserverpb__AuthUserGrantRoleRequest user_grant;
    Etcdserverpb__AuthUserRevokeRoleRequest user_revoke;
    Etcdserverpb__AuthRoleGrantPermissionRequest role_grant;
    Etcdserverpb__AuthRoleRevokePermissionRequest role_revoke;
};

/* A name goes into its field, if the request has one. */
static int name_set(ProtobufCMessage *message, const char *field, const char *name)
{
    if (field == NULL) {
        return 0;
    }
    if (name == NULL || name[0] == '\0') {
        return OAK_EINVAL;
    }
    const ProtobufCFieldDescriptor *at =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field);
    OAK_ASSERT(at != NULL && at->type == PROTOBUF_C_TYPE_STRING);
    memcpy((uint8_t *)message + at->offset, &name, sizeof(name));
    return 0;
}

static int request_make(struct oak_arena *arena, const struct oak_client_admin *a,
                        union request *out)
{
    const struct client_keys keys = {.key = a->key, .span = a->span, .end = a->end};
    switch (a->verb) {
    case OAK_CLIENT_USER_ADD:
        out->user_add.password = (char *)(uintptr_t)(a->password != NULL ? a->password : "");
        out->user_add.options = oak_arena_alloc(arena, sizeof(*out->user_add.options));
        if (out->user_add.options == NULL) {
            return OAK_ENOMEM;
        }
        authpb__user_add_options__init(out->user_add.options);
        out->user_add.options->no_password = a->password == NULL;
        return 0;
    case OAK_CLIENT_USER_PASSWORD:
        out->user_password.password = (char *)(uintptr_t)a->password;
        return a->password != NULL ? 0 : OAK_EINVAL;
    case OAK_CLIENT_ROLE_GRANT:
        out->role_grant.perm = oak_arena_alloc(arena, sizeof(*out->role_grant.perm));
        if (out->role_grant.perm == NULL) {
            return OAK_ENOMEM;
        }
        authpb__permission__init(out->role_grant.perm);
        out->role_grant.perm->permtype = (Authpb__Permission__Type)a->right;
        return client__span(arena, &keys, &out->role_grant.perm->key,
                            &out->role_grant.perm->range_end);
    case OAK_CLIENT_ROLE_REVOKE:
        return client__span(arena, &keys, &out->role_revoke.key, &out->role_revoke.range_end);
    default:
        return 0;
    }
}

int oak_client_administer(struct oak_client *client, const struct oak_client_admin *admin,
                          uint64_t timeout_ns, oak_client_done *done, void *user,
                          struct oak_client_call **out)
{
    if ((size_t)admin->verb >= OAK_COUNT_OF(verbs)) {
        return OAK_EINVAL;
    }
    const struct verb *verb = &verbs[admin->verb];
    struct oak_arena arena;
    union request request;
    OAK_ASSERT(verb->request->sizeof_message <= sizeof(request));
    oak_arena_init(&arena, CLIENT_CHUNK_BYTES, ENCODE_BYTES_MAX);
    protobuf_c_message_init(verb->request, &request);
    int error = name_set(&request.base, verb->user, admin->user);
    if (error == 0) {
        error = name_set(&request.base, verb->role, admin->role);
    }
    if (error == 0) {
        error = request_make(&arena, admin, &request);
    }
    if (error == 0) {
        const struct client_ask ask = {
            .method = {.service = "etcdserverpb.Auth",
                       .name = verb->method,
                       .read = verb->read,
                       .secret = verb->password,
                       .response = verb->response,
                       .fill = verb->fill},
            .request = &request.base,
            .timeout_ns = timeout_ns,
            .done = done,
            .user = user,
        };
        error = client__ask(client, &ask, out);
    }
    oak_arena_fini(&arena);
    return error;
}
