/* SPDX-License-Identifier: Apache-2.0 */
/* role.c: role add, delete, get, list, grant-permission, revoke-permission. */
#include "ctl/internal.h"

#include <strings.h>

#define METHOD(name, message, read)                                                             \
    {                                                                                           \
        "etcdserverpb.Auth", (name), &etcdserverpb__auth_role_##message##_response__descriptor, \
            (read)                                                                              \
    }
static const struct ctl__method add_method = METHOD("RoleAdd", add, false);
static const struct ctl__method delete_method = METHOD("RoleDelete", delete, false);
static const struct ctl__method get_method = METHOD("RoleGet", get, true);
static const struct ctl__method list_method = METHOD("RoleList", list, true);
static const struct ctl__method grant_method =
    METHOD("RoleGrantPermission", grant_permission, false);
static const struct ctl__method revoke_method =
    METHOD("RoleRevokePermission", revoke_permission, false);

/* protobuf-c's texts are not const, and nobody writes to them. */
static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* -- add, delete, list ------------------------------------------------------------------------- */

int ctl__role_add(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "role add",
        .summary = "Add a role, which permits nothing yet.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum role add app\n",
    };
    Etcdserverpb__AuthRoleAddRequest request = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of the new role", &code)) {
        return code;
    }
    request.name = text_of(words.at[0]);
    return ctl__ask_and_say(c, &add_method, &request.base,
                            ctl__printf(c, "Role %s created", request.name));
}

int ctl__role_delete(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "role delete",
        .summary = "Delete a role; users have it no more.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum role delete app\n",
    };
    Etcdserverpb__AuthRoleDeleteRequest request = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of a role", &code)) {
        return code;
    }
    request.role = text_of(words.at[0]);
    return ctl__ask_and_say(c, &delete_method, &request.base,
                            ctl__printf(c, "Role %s deleted", request.role));
}

static void list_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AuthRoleListResponse *r = message;
    (void)c;
    (void)about;
    for (size_t i = 0; i < r->n_roles; i++) {
        puts(r->roles[i]);
    }
}

static void list_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AuthRoleListResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    fputs("\"Roles\" :", stdout);
    for (size_t i = 0; i < r->n_roles; i++) {
        fputc(' ', stdout);
        ctl__quoted_print(oak_bytes_str(r->roles[i]));
    }
    fputc('\n', stdout);
}

int ctl__role_list(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {.simple = list_simple, .fields = list_fields};
    const struct oak_args_command command = {
        .name = "role list",
        .summary = "List the roles.",
        .operands = "",
        .more = "Example:\n  oakum role list\n",
    };
    Etcdserverpb__AuthRoleListRequest request = ETCDSERVERPB__AUTH_ROLE_LIST_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &list_method, &request.base, &view, NULL);
}

/* -- get --------------------------------------------------------------------------------------- */

static bool is_open(struct oak_bytes end)
{
    return end.size == 1 && end.data[0] == 0;
}

/* A key, or "[a, b) (prefix a)", on a line. */
static void range_print(struct ctl *c, const Authpb__Permission *p)
{
    struct oak_bytes key = oak_proto_bytes(p->key);
    struct oak_bytes end = oak_proto_bytes(p->range_end);
    fputs(end.size > 0 ? "\t[" : "\t", stdout);
    fwrite(key.data, 1, key.size, stdout);
    if (is_open(end)) {
        fputs(", <open ended>", stdout);
    } else if (end.size > 0) {
        fputs(", ", stdout);
        fwrite(end.data, 1, end.size, stdout);
        fputc(')', stdout);
    }
    if (end.size > 0 && key.size > 0 &&
        oak_bytes_eq(oak_proto_bytes(ctl__prefix_end(c, key)), end)) {
        fputs(" (prefix ", stdout);
        fwrite(key.data, 1, key.size, stdout);
        fputc(')', stdout);
    }
    fputc('\n', stdout);
}

static void get_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AuthRoleGetResponse *r = message;
    static const struct {
        const char *title;
        Authpb__Permission__Type type;
    } parts[] = {{"KV Read:", AUTHPB__PERMISSION__TYPE__READ},
                 {"KV Write:", AUTHPB__PERMISSION__TYPE__WRITE}};
    bool root = strcmp(about, "root") == 0 && r->n_perm == 0;
    printf("Role %s\n", (const char *)about);
    for (size_t k = 0; k < OAK_COUNT_OF(parts); k++) {
        puts(parts[k].title);
        if (root) {
            puts("\t[, <open ended>");
        }
        for (size_t i = 0; i < r->n_perm; i++) {
            if (r->perm[i]->permtype == parts[k].type ||
                r->perm[i]->permtype == AUTHPB__PERMISSION__TYPE__READWRITE) {
                range_print(c, r->perm[i]);
            }
        }
    }
}

static void get_fields(struct ctl *c, const void *message, const void *about)
{
    static const char *const types[] = {"READ", "WRITE", "READWRITE"};
    const Etcdserverpb__AuthRoleGetResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    for (size_t i = 0; i < r->n_perm; i++) {
        unsigned type = (unsigned)r->perm[i]->permtype;
        printf("\"PermType\" :  %s\n\"Key\" : ", type < OAK_COUNT_OF(types) ? types[type] : "?");
        ctl__quoted_print(oak_proto_bytes(r->perm[i]->key));
        fputs("\n\"RangeEnd\" : ", stdout);
        ctl__quoted_print(oak_proto_bytes(r->perm[i]->range_end));
        fputc('\n', stdout);
    }
}

int ctl__role_show(struct ctl *c, const char *name)
{
    static const struct ctl__view view = {.simple = get_simple, .fields = get_fields};
    Etcdserverpb__AuthRoleGetRequest request = ETCDSERVERPB__AUTH_ROLE_GET_REQUEST__INIT;
    request.role = text_of(name);
    return ctl__ask_and_show(c, &get_method, &request.base, &view, name);
}

int ctl__role_get(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "role get",
        .summary = "Show what a role permits.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum role get app\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of a role", &code)) {
        return code;
    }
    return ctl__role_show(c, words.at[0]);
}

/* -- permissions ------------------------------------------------------------------------------- */

struct span {
    bool prefix;
    bool from_key;
};

#define SPAN_FLAGS(span)                                                                         \
    {"prefix", '\0', OAK_ARGS_BOOL, &(span).prefix, 0, 0, NULL, "all keys that begin with KEY"}, \
    {                                                                                            \
        "from-key", '\0', OAK_ARGS_BOOL, &(span).from_key, 0, 0, NULL, "KEY, and all behind it"  \
    }

/* KEY [END]. An empty key is the first one there is: a zero byte; with a flag, all keys. */
static bool span_read(struct ctl *c, const struct span *span, const char *const *words,
                      size_t count, ProtobufCBinaryData *key, ProtobufCBinaryData *end, int *code)
{
    static const struct oak_bytes none = {NULL, 0};
    const struct oak_bytes zero = oak_bytes("", 1);
    bool flag = span->prefix || span->from_key;
    if (count > 2 || (count == 2 && flag && words[0][0] != '\0')) {
        *code = ctl__error(CTL__BAD_ARGS,
                           "%s: behind KEY there may be the end of a range, unless "
                           "there is --prefix or --from-key",
                           c->command->name);
        return false;
    }
    if (span->prefix && span->from_key) {
        *code = ctl__error(CTL__BAD_ARGS, "--from-key and --prefix flags are mutually exclusive");
        return false;
    }
    struct oak_bytes text = oak_bytes_str(words[0]);
    if (text.size == 0) {
        *key = oak_proto_binary(zero);
        *end = oak_proto_binary(flag ? zero : none);
        return true;
    }
    *key = oak_proto_binary(text);
    *end = span->prefix     ? ctl__prefix_end(c, text)
           : span->from_key ? oak_proto_binary(zero)
           : count == 2     ? oak_proto_binary(oak_bytes_str(words[1]))
                            : oak_proto_binary(none);
    return true;
}

static bool type_read(const char *text, Authpb__Permission__Type *out, int *code)
{
    static const char *const types[] = {"read", "write", "readwrite"};
    for (size_t i = 0; i < OAK_COUNT_OF(types); i++) {
        if (strcasecmp(text, types[i]) == 0) {
            *out = (Authpb__Permission__Type)i;
            return true;
        }
    }
    *code = ctl__error(CTL__BAD_ARGS, "invalid permission type \"%.32s\": read, write or readwrite",
                       text);
    return false;
}

int ctl__role_grant_permission(struct ctl *c, int argc, char *const *argv)
{
    struct span span = {0};
    const struct oak_args_flag flags[] = {SPAN_FLAGS(span)};
    const struct oak_args_command command = {
        .name = "role grant-permission",
        .summary = "Let a role read or write a key, or a range of keys: KEY and all before "
                   "RANGE_END.",
        .operands = "ROLE read|write|readwrite KEY [RANGE_END]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum role grant-permission app readwrite app/ --prefix\n"
                "  oakum role grant-permission app read motd\n",
    };
    Etcdserverpb__AuthRoleGrantPermissionRequest request =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Authpb__Permission permission = AUTHPB__PERMISSION__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count < 3) {
        return ctl__error(CTL__BAD_ARGS, "role grant-permission wants a role, what it may do and a "
                                         "key; see oakum role grant-permission --help");
    }
    if (!type_read(words.at[1], &permission.permtype, &code) ||
        !span_read(c, &span, words.at + 2, words.count - 2, &permission.key, &permission.range_end,
                   &code)) {
        return code;
    }
    request.name = text_of(words.at[0]);
    request.perm = &permission;
    return ctl__ask_and_say(c, &grant_method, &request.base,
                            ctl__printf(c, "Role %s updated", request.name));
}

int ctl__role_revoke_permission(struct ctl *c, int argc, char *const *argv)
{
    struct span span = {0};
    const struct oak_args_flag flags[] = {SPAN_FLAGS(span)};
    const struct oak_args_command command = {
        .name = "role revoke-permission",
        .summary = "Take back a permission: of the same key, or of the same range, as it was "
                   "granted.",
        .operands = "ROLE KEY [RANGE_END]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n  oakum role revoke-permission app app/ --prefix\n",
    };
    Etcdserverpb__AuthRoleRevokePermissionRequest request =
        ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count < 2) {
        return ctl__error(CTL__BAD_ARGS, "role revoke-permission wants a role and a key; see oakum "
                                         "role revoke-permission --help");
    }
    if (!span_read(c, &span, words.at + 1, words.count - 1, &request.key, &request.range_end,
                   &code)) {
        return code;
    }
    request.role = text_of(words.at[0]);
    struct oak_bytes end = oak_proto_bytes(request.range_end);
    const char *said =
        end.size == 0 ? ctl__printf(c, "Permission of key %s is revoked from role %s", words.at[1],
                                    words.at[0])
        : is_open(end)
            ? ctl__printf(c, "Permission of range [%s, <open ended> is revoked from role %s",
                          words.at[1], words.at[0])
            : ctl__printf(c, "Permission of range [%s, %.*s) is revoked from role %s", words.at[1],
                          (int)end.size, (const char *)end.data, words.at[0]);
    return ctl__ask_and_say(c, &revoke_method, &request.base, said);
}
