/* SPDX-License-Identifier: Apache-2.0 */
/* change.c: what may be changed, in etcd's order of refusals (etcd v3 API, "Auth", rules).
 *
 * Happy path   1 look for what stands against it 2 change 3 raise the revision, mark the records
 * Can fail     what the client is told, with nothing changed; OAK_ENOMEM.
 * Invariants   the revision rises by one with each change of a user, a role or a permission, and
 *              with the end of auth; with nothing else. A merged table stands for roles as they
 *              are.
 * Thread       the owner's.
 */
#include "authz/internal.h"

static void raise_revision(struct oak_authz *a)
{
    a->settings.revision++;
}

/* -- on and off -------------------------------------------------------------------------------- */

int oak_authz_enable(struct oak_authz *a)
{
    if (a->settings.enabled) {
        return 0;
    }
    const struct authz_user *root = authz__user(a, oak_bytes_str(AUTHZ_ROOT));
    if (root == NULL) {
        return OAK_EROOTUSERNOTEXIST;
    }
    if (!authz__holds(root, oak_bytes_str(AUTHZ_ROOT))) {
        return OAK_EROOTROLENOTEXIST;
    }
    a->settings.enabled = true;
    return 0;
}

int oak_authz_disable(struct oak_authz *a)
{
    if (!a->settings.enabled) {
        return 0;
    }
    a->settings.enabled = false;
    raise_revision(a);
    a->settings.disabled_at = a->settings.revision;
    return 0;
}

/* -- users ------------------------------------------------------------------------------------- */

int oak_authz_user_add(struct oak_authz *a, struct oak_bytes name, struct oak_bytes hash,
                       bool no_password)
{
    if (name.size == 0) {
        return OAK_EUSEREMPTY;
    }
    if (authz__user(a, name) != NULL) {
        return OAK_EUSEREXIST;
    }
    if (name.size > OAK_AUTH_NAME_BYTES_MAX) {
        return OAK_EINVAL;
    }
    if (a->user_count >= OAK_AUTH_USERS_MAX) {
        return OAK_ELIMIT;
    }
    struct oak_authz_user from = {.number = ++a->settings.numbers,
                                  .name = name,
                                  .hash = no_password ? oak_bytes(NULL, 0) : hash,
                                  .since = a->settings.revision + 1,
                                  .no_password = no_password};
    struct authz_user *user = NULL;
    int error = authz__user_new(a, &from, &user);
    if (error != 0) {
        return error;
    }
    user->changed = true;
    raise_revision(a);
    return 0;
}

int oak_authz_user_delete(struct oak_authz *a, struct oak_bytes name)
{
    if (a->settings.enabled && authz__is_root(name)) {
        return OAK_EINVALIDAUTHMGMT;
    }
    struct authz_user *user = authz__user(a, name);
    if (user == NULL) {
        return OAK_EUSERNOTFOUND;
    }
    OAK_ASSERT(!a->removed);
    a->removed = true;
    a->removed_user = true;
    a->removed_number = user->view.number;
    authz__user_remove(a, user);
    raise_revision(a);
    return 0;
}

int oak_authz_user_password(struct oak_authz *a, struct oak_bytes name, struct oak_bytes hash)
{
    struct authz_user *user = authz__user(a, name);
    if (user == NULL) {
        return OAK_EUSERNOTFOUND;
    }
    struct oak_bytes copy;
    int error = authz__dup(a, user->view.no_password ? oak_bytes(NULL, 0) : hash, &copy);
    if (error != 0) {
        return error;
    }
    authz__free(a, (void *)(uintptr_t)user->view.hash.data);
    user->view.hash = copy;
    user->view.since = a->settings.revision + 1;
    user->changed = true;
    raise_revision(a);
    return 0;
}

int oak_authz_user_grant(struct oak_authz *a, struct oak_bytes name, struct oak_bytes role)
{
    struct authz_user *user = authz__user(a, name);
    if (user == NULL) {
        return OAK_EUSERNOTFOUND;
    }
    if (!authz__is_root(role) && authz__role(a, role) == NULL) {
        return OAK_EROLENOTFOUND;
    }
    if (authz__holds(user, role)) {
        return 0;
    }
    if (user->view.role_count >= OAK_AUTH_USER_ROLES_MAX) {
        return OAK_ELIMIT;
    }
    int error = authz__holds_add(a, user, role);
    if (error != 0) {
        return error;
    }
    authz__unmerge(a, user);
    user->changed = true;
    raise_revision(a);
    return 0;
}

int oak_authz_user_revoke(struct oak_authz *a, struct oak_bytes name, struct oak_bytes role)
{
    if (a->settings.enabled && authz__is_root(name) && authz__is_root(role)) {
        return OAK_EINVALIDAUTHMGMT;
    }
    struct authz_user *user = authz__user(a, name);
    if (user == NULL) {
        return OAK_EUSERNOTFOUND;
    }
    if (!authz__holds_remove(a, user, role)) {
        return OAK_EROLENOTGRANTED;
    }
    if (!OAK_BUG(permission_outlives_role)) {
        authz__unmerge(a, user);
    }
    user->changed = true;
    raise_revision(a);
    return 0;
}

/* -- roles ------------------------------------------------------------------------------------- */

int oak_authz_role_add(struct oak_authz *a, struct oak_bytes name)
{
    if (name.size == 0) {
        return OAK_EROLEEMPTY;
    }
    if (authz__role(a, name) != NULL) {
        return OAK_EROLEEXIST;
    }
    if (name.size > OAK_AUTH_NAME_BYTES_MAX) {
        return OAK_EINVAL;
    }
    if (a->role_count >= OAK_AUTH_ROLES_MAX) {
        return OAK_ELIMIT;
    }
    struct authz_role *role = NULL;
    int error = authz__role_new(a, name, ++a->settings.numbers, &role);
    if (error != 0) {
        return error;
    }
    role->changed = true;
    raise_revision(a);
    return 0;
}

int oak_authz_role_delete(struct oak_authz *a, struct oak_bytes name)
{
    if (a->settings.enabled && authz__is_root(name)) {
        return OAK_EINVALIDAUTHMGMT;
    }
    struct authz_role *role = authz__role(a, name);
    if (role == NULL) {
        return OAK_EROLENOTFOUND;
    }
    authz__unmerge_all(a);
    for (size_t i = 0; i < a->user_count; i++) {
        if (!OAK_BUG(role_is_still_held) && authz__holds_remove(a, a->users[i], name)) {
            a->users[i]->changed = true;
        }
    }
    OAK_ASSERT(!a->removed);
    a->removed = true;
    a->removed_user = false;
    a->removed_number = role->view.number;
    authz__role_remove(a, role);
    raise_revision(a);
    return 0;
}

static bool keys_valid(struct oak_bytes key, struct oak_bytes end)
{
    bool open = end.size == 1 && end.data[0] == 0;
    return key.size > 0 && (end.size == 0 || open || oak_bytes_cmp(key, end) < 0);
}

int oak_authz_role_permit(struct oak_authz *a, struct oak_bytes name,
                          const struct oak_authz_permission *permission)
{
    if (permission == NULL) {
        return OAK_EPERMISSIONNOTGIVEN;
    }
    if (!keys_valid(permission->key, permission->end) || (int)permission->access < OAK_AUTHZ_READ ||
        (int)permission->access > OAK_AUTHZ_READWRITE) {
        return OAK_EINVALIDAUTHMGMT;
    }
    struct authz_role *role = authz__role(a, name);
    if (role == NULL) {
        return OAK_EROLENOTFOUND;
    }
    struct oak_authz_permission *known = authz__permission(role, permission->key, permission->end);
    if (known == NULL) {
        size_t bytes = role->bytes + permission->key.size + permission->end.size;
        if (role->view.permission_count >= OAK_AUTH_ROLE_PERMISSIONS_MAX ||
            bytes > OAK_AUTH_ROLE_BYTES_MAX) {
            return OAK_ELIMIT;
        }
    }
    authz__unmerge_all(a);
    if (known != NULL) {
        known->access = permission->access;
    } else {
        int error = authz__permission_add(a, role, permission);
        if (error != 0) {
            return error;
        }
    }
    role->changed = true;
    raise_revision(a);
    return 0;
}

int oak_authz_role_forbid(struct oak_authz *a, struct oak_bytes name, struct oak_bytes key,
                          struct oak_bytes end)
{
    struct authz_role *role = authz__role(a, name);
    if (role == NULL) {
        return OAK_EROLENOTFOUND;
    }
    struct oak_authz_permission *known = authz__permission(role, key, end);
    if (known == NULL) {
        return OAK_EPERMISSIONNOTGRANTED;
    }
    authz__unmerge_all(a);
    authz__permission_remove(a, role, known);
    role->changed = true;
    raise_revision(a);
    return 0;
}

/* -- what has changed -------------------------------------------------------------------------- */

bool oak_authz_change_take(struct oak_authz *a, struct oak_authz_change *out)
{
    *out = (struct oak_authz_change){.is_user = a->removed_user};
    if (a->removed) {
        a->removed = false;
        out->removed = true;
        out->number = a->removed_number;
        return true;
    }
    for (size_t i = 0; i < a->user_count; i++) {
        struct authz_user *user = a->users[i];
        if (user->changed) {
            user->changed = false;
            out->is_user = true;
            out->number = user->view.number;
            out->user = user->view;
            return true;
        }
    }
    for (size_t i = 0; i < a->role_count; i++) {
        struct authz_role *role = a->roles[i];
        if (role->changed) {
            role->changed = false;
            out->is_user = false;
            out->number = role->view.number;
            out->role = role->view;
            return true;
        }
    }
    return false;
}

/* -- loading ----------------------------------------------------------------------------------- */

void oak_authz_load_settings(struct oak_authz *a, const struct oak_authz_settings *settings)
{
    a->settings = *settings;
}

int oak_authz_load_user(struct oak_authz *a, const struct oak_authz_user *user)
{
    if (user->name.size == 0 || authz__user(a, user->name) != NULL) {
        return OAK_ECORRUPT;
    }
    for (size_t i = 1; i < user->role_count; i++) {
        if (oak_bytes_cmp(user->roles[i - 1], user->roles[i]) >= 0) {
            return OAK_ECORRUPT;
        }
    }
    struct authz_user *made = NULL;
    return authz__user_new(a, user, &made);
}

int oak_authz_load_role(struct oak_authz *a, const struct oak_authz_role *role)
{
    if (role->name.size == 0 || authz__role(a, role->name) != NULL) {
        return OAK_ECORRUPT;
    }
    struct authz_role *made = NULL;
    int error = authz__role_new(a, role->name, role->number, &made);
    for (size_t i = 0; error == 0 && i < role->permission_count; i++) {
        const struct oak_authz_permission *p = &role->permissions[i];
        bool sound = keys_valid(p->key, p->end) && (int)p->access >= OAK_AUTHZ_READ &&
                     (int)p->access <= OAK_AUTHZ_READWRITE &&
                     authz__permission(made, p->key, p->end) == NULL;
        error = sound ? authz__permission_add(a, made, p) : OAK_ECORRUPT;
    }
    return error;
}
