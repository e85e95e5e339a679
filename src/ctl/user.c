/* SPDX-License-Identifier: Apache-2.0 */
/* user.c: user add, delete, get, list, passwd, grant-role, revoke-role; auth enable, disable,
 * status.
 *
 * Invariants   a password that was typed is wiped as soon as it is sent; a terminal does not show
 *              it, and is asked twice.
 */
#include "ctl/internal.h"

#include <unistd.h>

#define METHOD(name, message, read)                                                               \
    {                                                                                             \
        "etcdserverpb.Auth", (name), &etcdserverpb__auth_##message##_response__descriptor, (read) \
    }
static const struct ctl__method add_method = METHOD("UserAdd", user_add, false);
static const struct ctl__method delete_method = METHOD("UserDelete", user_delete, false);
static const struct ctl__method get_method = METHOD("UserGet", user_get, true);
static const struct ctl__method list_method = METHOD("UserList", user_list, true);
static const struct ctl__method passwd_method =
    METHOD("UserChangePassword", user_change_password, false);
static const struct ctl__method grant_method = METHOD("UserGrantRole", user_grant_role, false);
static const struct ctl__method revoke_method = METHOD("UserRevokeRole", user_revoke_role, false);
static const struct ctl__method role_add_method = METHOD("RoleAdd", role_add, false);
static const struct ctl__method enable_method = METHOD("AuthEnable", enable, false);
static const struct ctl__method disable_method = METHOD("AuthDisable", disable, false);
static const struct ctl__method status_method = METHOD("AuthStatus", status, true);

/* protobuf-c's texts are not const, and nobody writes to them. */
static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* -- passwords --------------------------------------------------------------------------------- */

/* A name's new password, typed twice, or with `once` a line of stdin. */
static bool password_new(struct ctl *c, const char *name, bool once, char *out, size_t size,
                         int *code)
{
    char again[OAK_CLIENT_NAME_BYTES_MAX + 1];
    if (once) {
        return ctl__password_ask("", out, size, code);
    }
    bool good = ctl__password_ask(ctl__printf(c, "Password of %s: ", name), out, size, code);
    if (good && out[0] == '\0') {
        *code = ctl__error(CTL__BAD_ARGS, "empty password");
        return false;
    }
    good = good &&
           ctl__password_ask(ctl__printf(c, "Type password of %s again for confirmation: ", name),
                             again, sizeof(again), code);
    if (good && strcmp(out, again) != 0) {
        *code = ctl__error(CTL__BAD_ARGS, "given passwords are different");
        good = false;
    }
    explicit_bzero(again, sizeof(again));
    return good;
}

/* -- add, passwd ------------------------------------------------------------------------------- */

struct addition {
    bool interactive;
    bool without;
    const char *password; /* of the flag */
};

/* NAME or NAME:PASSWORD, and the flags. What is typed goes to `typed`. */
static bool addition_read(struct ctl *c, const struct addition *a, const char *word,
                          Etcdserverpb__AuthUserAddRequest *out, char *typed, size_t size,
                          int *code)
{
    const char *colon = strchr(word, ':');
    out->name = text_of(word);
    if (a->without) {
        return true;
    }
    if (a->password != NULL && a->password[0] != '\0') {
        out->password = text_of(a->password);
        return true;
    }
    if (colon == NULL) {
        out->password = typed;
        return password_new(c, word, !a->interactive, typed, size, code);
    }
    if (colon == word) {
        *code = ctl__error(CTL__BAD_ARGS, "empty user name is not allowed");
        return false;
    }
    out->name = text_of(ctl__printf(c, "%.*s", (int)(colon - word), word));
    out->password = text_of(colon + 1);
    return true;
}

int ctl__user_add(struct ctl *c, int argc, char *const *argv)
{
    struct addition a = {.interactive = true};
    const struct oak_args_flag flags[] = {
        {"interactive", '\0', OAK_ARGS_BOOL, &a.interactive, 0, 0, NULL,
         "ask twice; =false: one line of stdin is the password"},
        {"new-user-password", '\0', OAK_ARGS_TEXT, &a.password, 0, 0, "PASSWORD",
         "it, for all to see who list processes"},
        {"no-password", '\0', OAK_ARGS_BOOL, &a.without, 0, 0, NULL,
         "none: it comes by the name in a certificate alone"},
    };
    const struct oak_args_command command = {
        .name = "user add",
        .summary = "Add a user. Its password is asked for.",
        .operands = "NAME[:PASSWORD]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum user add ann\n"
                "  oakum user add ann --interactive=false < password\n"
                "  oakum user add ann.example.com --no-password\n",
    };
    Etcdserverpb__AuthUserAddRequest request = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    char typed[OAK_CLIENT_NAME_BYTES_MAX + 1] = "";
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of the new user", &code)) {
        return code;
    }
    if (addition_read(c, &a, words.at[0], &request, typed, sizeof(typed), &code)) {
        options.no_password = a.without;
        request.options = &options;
        code = ctl__ask_and_say(c, &add_method, &request.base,
                                ctl__printf(c, "User %s created", request.name));
    }
    explicit_bzero(typed, sizeof(typed));
    return code;
}

int ctl__user_passwd(struct ctl *c, int argc, char *const *argv)
{
    bool interactive = true;
    const struct oak_args_flag flags[] = {
        {"interactive", '\0', OAK_ARGS_BOOL, &interactive, 0, 0, NULL,
         "ask twice; =false: one line of stdin is the password"},
    };
    const struct oak_args_command command = {
        .name = "user passwd",
        .summary = "Change a user's password. The new one is asked for.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum user passwd ann\n"
                "  oakum user passwd ann --interactive=false < password\n",
    };
    Etcdserverpb__AuthUserChangePasswordRequest request =
        ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
    char typed[OAK_CLIENT_NAME_BYTES_MAX + 1] = "";
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of a user", &code)) {
        return code;
    }
    request.name = text_of(words.at[0]);
    request.password = typed;
    if (password_new(c, words.at[0], !interactive, typed, sizeof(typed), &code)) {
        code = ctl__ask_and_say(c, &passwd_method, &request.base, "Password updated");
    }
    explicit_bzero(typed, sizeof(typed));
    return code;
}

/* -- delete, list, get ------------------------------------------------------------------------- */

int ctl__user_delete(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "user delete",
        .summary = "Delete a user. Its tokens end.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum user delete ann\n",
    };
    Etcdserverpb__AuthUserDeleteRequest request = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of a user", &code)) {
        return code;
    }
    request.name = text_of(words.at[0]);
    return ctl__ask_and_say(c, &delete_method, &request.base,
                            ctl__printf(c, "User %s deleted", request.name));
}

static void list_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AuthUserListResponse *r = message;
    (void)c;
    (void)about;
    for (size_t i = 0; i < r->n_users; i++) {
        puts(r->users[i]);
    }
}

int ctl__user_list(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {.simple = list_simple};
    const struct oak_args_command command = {
        .name = "user list",
        .summary = "List the users.",
        .operands = "",
        .more = "Example:\n  oakum user list\n",
    };
    Etcdserverpb__AuthUserListRequest request = ETCDSERVERPB__AUTH_USER_LIST_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &list_method, &request.base, &view, NULL);
}

static void get_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AuthUserGetResponse *r = message;
    (void)c;
    printf("User: %s\nRoles:", (const char *)about);
    for (size_t i = 0; i < r->n_roles; i++) {
        printf(" %s", r->roles[i]);
    }
    fputc('\n', stdout);
}

/* Each of its roles, as `role get` shows it. */
static int detail_show(struct ctl *c, const char *name, const Etcdserverpb__AuthUserGetResponse *r)
{
    int code = CTL__OK;
    printf("User: %s\n", name);
    for (size_t i = 0; i < r->n_roles && code == CTL__OK; i++) {
        fputc('\n', stdout);
        code = ctl__role_show(c, r->roles[i]);
    }
    return code;
}

int ctl__user_get(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {.simple = get_simple};
    bool detail = false;
    const struct oak_args_flag flags[] = {
        {"detail", '\0', OAK_ARGS_BOOL, &detail, 0, 0, NULL, "and what its roles permit"},
    };
    const struct oak_args_command command = {
        .name = "user get",
        .summary = "Show the roles of a user.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n  oakum user get ann --detail\n",
    };
    Etcdserverpb__AuthUserGetRequest request = ETCDSERVERPB__AUTH_USER_GET_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 1, "the name of a user", &code)) {
        return code;
    }
    request.name = text_of(words.at[0]);
    if (!detail) {
        return ctl__ask_and_show(c, &get_method, &request.base, &view, request.name);
    }
    const void *response = ctl__ask(c, &get_method, &request.base, &code);
    return response == NULL ? code : detail_show(c, request.name, response);
}

/* -- grant-role, revoke-role ------------------------------------------------------------------- */

int ctl__user_grant_role(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "user grant-role",
        .summary = "Give a role to a user.",
        .operands = "USER ROLE",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum user grant-role ann app\n",
    };
    Etcdserverpb__AuthUserGrantRoleRequest request =
        ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 2, "the name of a user and that of a role", &code)) {
        return code;
    }
    request.user = text_of(words.at[0]);
    request.role = text_of(words.at[1]);
    return ctl__ask_and_say(
        c, &grant_method, &request.base,
        ctl__printf(c, "Role %s is granted to user %s", request.role, request.user));
}

int ctl__user_revoke_role(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "user revoke-role",
        .summary = "Take a role from a user.",
        .operands = "USER ROLE",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum user revoke-role ann app\n",
    };
    Etcdserverpb__AuthUserRevokeRoleRequest request =
        ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__words_are(c, &words, 2, "the name of a user and that of a role", &code)) {
        return code;
    }
    request.name = text_of(words.at[0]);
    request.role = text_of(words.at[1]);
    return ctl__ask_and_say(
        c, &revoke_method, &request.base,
        ctl__printf(c, "Role %s is revoked from user %s", request.role, request.name));
}

/* -- auth -------------------------------------------------------------------------------------- */

/* The role root, and that the user root has it. */
static bool root_make(struct ctl *c, int *code)
{
    static char root[] = "root";
    Etcdserverpb__AuthRoleAddRequest add = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    Etcdserverpb__AuthUserGrantRoleRequest grant = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    add.name = root;
    grant.user = root;
    grant.role = root;
    return ctl__ask(c, &role_add_method, &add.base, code) != NULL &&
           ctl__ask(c, &grant_method, &grant.base, code) != NULL;
}

int ctl__auth_enable(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "auth enable",
        .summary = "From now on, let in only users, for what their roles permit. There has to be "
                   "a user root; it gets the role root, if it has not.",
        .operands = "",
        .more = "Example:\n  oakum user add root && oakum auth enable\n",
    };
    Etcdserverpb__AuthEnableRequest request = ETCDSERVERPB__AUTH_ENABLE_REQUEST__INIT;
    struct ctl__words words;
    struct ctl__reply reply;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    struct oak_client *client = ctl__client(c, &code);
    if (client == NULL) {
        return code;
    }
    ctl__try(c, client, &enable_method, &request.base, &reply);
    if (reply.error == OAK_EROOTROLENOTEXIST) {
        if (!root_make(c, &code)) {
            return code;
        }
        ctl__try(c, client, &enable_method, &request.base, &reply);
    }
    if (reply.error != 0) {
        return ctl__reply_error(&reply);
    }
    puts("Authentication Enabled");
    return CTL__OK;
}

int ctl__auth_disable(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "auth disable",
        .summary = "Let everybody in again. Users and roles stay.",
        .operands = "",
        .more = "Example:\n  oakum auth disable --user root\n",
    };
    Etcdserverpb__AuthDisableRequest request = ETCDSERVERPB__AUTH_DISABLE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        ctl__ask(c, &disable_method, &request.base, &code) == NULL) {
        return code;
    }
    puts("Authentication Disabled");
    return CTL__OK;
}

static void status_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AuthStatusResponse *r = message;
    (void)c;
    (void)about;
    printf("Authentication Status: %s\nAuthRevision: %" PRIu64 "\n", r->enabled ? "true" : "false",
           r->authrevision);
}

int ctl__auth_status(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {.simple = status_simple};
    const struct oak_args_command command = {
        .name = "auth status",
        .summary = "Show whether users are needed, and how often users and roles have changed.",
        .operands = "",
        .more = "Example:\n  oakum auth status\n",
    };
    Etcdserverpb__AuthStatusRequest request = ETCDSERVERPB__AUTH_STATUS_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &status_method, &request.base, &view, NULL);
}
