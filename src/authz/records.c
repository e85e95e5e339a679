/* SPDX-License-Identifier: Apache-2.0 */
/* records.c: users and roles in two tables, each sorted by name, found by halving.
 *
 * Can fail     OAK_ENOMEM, nothing added.
 * Invariants   the tables are sorted, without repeats; so are a user's roles and a role's
 *              permissions. All bytes in records are owned by them.
 * Thread       the owner's.
 */
#include "authz/internal.h"

void *authz__resize(struct oak_authz *a, void *p, size_t size)
{
    return a->alloc.resize(a->alloc.user, p, size);
}

void authz__free(struct oak_authz *a, void *p)
{
    if (p != NULL) {
        (void)authz__resize(a, p, 0);
    }
}

static void bytes_free(struct oak_authz *a, struct oak_bytes bytes)
{
    authz__free(a, (void *)(uintptr_t)bytes.data);
}

int authz__dup(struct oak_authz *a, struct oak_bytes from, struct oak_bytes *out)
{
    *out = oak_bytes(NULL, 0);
    if (from.size == 0) {
        return 0;
    }
    uint8_t *copy = authz__resize(a, NULL, from.size);
    if (copy == NULL) {
        return OAK_ENOMEM;
    }
    memcpy(copy, from.data, from.size);
    *out = oak_bytes(copy, from.size);
    return 0;
}

int authz__grow(struct oak_authz *a, void *table, size_t count, size_t *room, size_t size)
{
    void **at = table;
    if (count < *room) {
        return 0;
    }
    size_t wanted = OAK_MAX((size_t)8, *room * 2);
    void *grown = authz__resize(a, *at, wanted * size);
    if (grown == NULL) {
        return OAK_ENOMEM;
    }
    *at = grown;
    *room = wanted;
    return 0;
}

/* -- life -------------------------------------------------------------------------------------- */

int oak_authz_new(struct oak_alloc alloc, struct oak_authz **out)
{
    struct oak_authz *a = alloc.resize(alloc.user, NULL, sizeof(*a));
    if (a == NULL) {
        return OAK_ENOMEM;
    }
    *a = (struct oak_authz){.alloc = alloc, .settings.revision = 1};
    *out = a;
    return 0;
}

void oak_authz_clear(struct oak_authz *a)
{
    while (a->user_count > 0) {
        authz__user_remove(a, a->users[a->user_count - 1]);
    }
    while (a->role_count > 0) {
        authz__role_remove(a, a->roles[a->role_count - 1]);
    }
    OAK_ASSERT_EQ(a->merged_bytes, 0);
    a->settings = (struct oak_authz_settings){.revision = 1};
    a->removed = false;
}

void oak_authz_free(struct oak_authz *a)
{
    oak_authz_clear(a);
    authz__free(a, a->users);
    authz__free(a, a->roles);
    struct oak_alloc alloc = a->alloc;
    (void)alloc.resize(alloc.user, a, 0);
}

/* -- finding ----------------------------------------------------------------------------------- */

/* The first user whose name is not less. */
static size_t user_place(const struct oak_authz *a, struct oak_bytes name)
{
    size_t low = 0;
    size_t high = a->user_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (oak_bytes_cmp(a->users[middle]->view.name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t role_place(const struct oak_authz *a, struct oak_bytes name)
{
    size_t low = 0;
    size_t high = a->role_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (oak_bytes_cmp(a->roles[middle]->view.name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct authz_user *authz__user(const struct oak_authz *a, struct oak_bytes name)
{
    size_t i = user_place(a, name);
    bool found = i < a->user_count && oak_bytes_eq(a->users[i]->view.name, name);
    return found ? a->users[i] : NULL;
}

struct authz_role *authz__role(const struct oak_authz *a, struct oak_bytes name)
{
    size_t i = role_place(a, name);
    bool found = i < a->role_count && oak_bytes_eq(a->roles[i]->view.name, name);
    return found ? a->roles[i] : NULL;
}

const struct oak_authz_settings *oak_authz_settings(const struct oak_authz *a)
{
    return &a->settings;
}

bool oak_authz_user(const struct oak_authz *a, struct oak_bytes name, struct oak_authz_user *out)
{
    const struct authz_user *user = authz__user(a, name);
    if (user != NULL) {
        *out = user->view;
    }
    return user != NULL;
}

bool oak_authz_role(const struct oak_authz *a, struct oak_bytes name, struct oak_authz_role *out)
{
    const struct authz_role *role = authz__role(a, name);
    if (role != NULL) {
        *out = role->view;
    }
    return role != NULL;
}

size_t oak_authz_user_count(const struct oak_authz *a)
{
    return a->user_count;
}

size_t oak_authz_role_count(const struct oak_authz *a)
{
    return a->role_count;
}

void oak_authz_user_at(const struct oak_authz *a, size_t i, struct oak_authz_user *out)
{
    OAK_ASSERT_LT(i, a->user_count);
    *out = a->users[i]->view;
}

void oak_authz_role_at(const struct oak_authz *a, size_t i, struct oak_authz_role *out)
{
    OAK_ASSERT_LT(i, a->role_count);
    *out = a->roles[i]->view;
}

/* -- a user ------------------------------------------------------------------------------------ */

static void user_free(struct oak_authz *a, struct authz_user *user)
{
    authz__unmerge(a, user);
    for (size_t i = 0; i < user->view.role_count; i++) {
        bytes_free(a, user->view.roles[i]);
    }
    authz__free(a, (void *)(uintptr_t)user->view.roles);
    bytes_free(a, user->view.name);
    bytes_free(a, user->view.hash);
    authz__free(a, user);
}

int authz__user_new(struct oak_authz *a, const struct oak_authz_user *from, struct authz_user **out)
{
    int error = authz__grow(a, &a->users, a->user_count, &a->user_room, sizeof(*a->users));
    struct authz_user *user = error == 0 ? authz__resize(a, NULL, sizeof(*user)) : NULL;
    if (user == NULL) {
        return OAK_ENOMEM;
    }
    *user = (struct authz_user){
        .view = {.number = from->number, .since = from->since, .no_password = from->no_password}};
    error = authz__dup(a, from->name, &user->view.name);
    if (error == 0) {
        error = authz__dup(a, from->hash, &user->view.hash);
    }
    for (size_t i = 0; error == 0 && i < from->role_count; i++) {
        error = authz__holds_add(a, user, from->roles[i]);
    }
    if (error != 0) {
        user_free(a, user);
        return error;
    }
    size_t place = user_place(a, from->name);
    memmove(a->users + place + 1, a->users + place, (a->user_count - place) * sizeof(*a->users));
    a->users[place] = user;
    a->user_count++;
    *out = user;
    return 0;
}

void authz__user_remove(struct oak_authz *a, struct authz_user *user)
{
    size_t place = user_place(a, user->view.name);
    OAK_ASSERT(place < a->user_count && a->users[place] == user);
    a->user_count--;
    memmove(a->users + place, a->users + place + 1, (a->user_count - place) * sizeof(*a->users));
    user_free(a, user);
}

/* The first of its roles that is not less. */
static size_t held_place(const struct authz_user *user, struct oak_bytes role)
{
    size_t i = 0;
    while (i < user->view.role_count && oak_bytes_cmp(user->view.roles[i], role) < 0) {
        i++;
    }
    return i;
}

bool authz__holds(const struct authz_user *user, struct oak_bytes role)
{
    size_t i = held_place(user, role);
    return i < user->view.role_count && oak_bytes_eq(user->view.roles[i], role);
}

int authz__holds_add(struct oak_authz *a, struct authz_user *user, struct oak_bytes role)
{
    struct oak_bytes *roles = (struct oak_bytes *)(uintptr_t)user->view.roles;
    size_t count = user->view.role_count;
    int error = authz__grow(a, &roles, count, &user->role_room, sizeof(*roles));
    user->view.roles = roles;
    struct oak_bytes copy;
    if (error == 0) {
        error = authz__dup(a, role, &copy);
    }
    if (error != 0) {
        return error;
    }
    size_t place = held_place(user, role);
    memmove(roles + place + 1, roles + place, (count - place) * sizeof(*roles));
    roles[place] = copy;
    user->view.role_count++;
    return 0;
}

bool authz__holds_remove(struct oak_authz *a, struct authz_user *user, struct oak_bytes role)
{
    if (!authz__holds(user, role)) {
        return false;
    }
    struct oak_bytes *roles = (struct oak_bytes *)(uintptr_t)user->view.roles;
    size_t place = held_place(user, role);
    struct oak_bytes gone = roles[place];
    user->view.role_count--;
    memmove(roles + place, roles + place + 1, (user->view.role_count - place) * sizeof(*roles));
    bytes_free(a, gone);
    return true;
}

/* -- a role ------------------------------------------------------------------------------------ */

static struct oak_authz_permission *permissions_of(const struct authz_role *role)
{
    return (struct oak_authz_permission *)(uintptr_t)role->view.permissions;
}

static void role_free(struct oak_authz *a, struct authz_role *role)
{
    for (size_t i = 0; i < role->view.permission_count; i++) {
        bytes_free(a, role->view.permissions[i].key);
        bytes_free(a, role->view.permissions[i].end);
    }
    authz__free(a, permissions_of(role));
    bytes_free(a, role->view.name);
    authz__free(a, role);
}

int authz__role_new(struct oak_authz *a, struct oak_bytes name, uint64_t number,
                    struct authz_role **out)
{
    int error = authz__grow(a, &a->roles, a->role_count, &a->role_room, sizeof(*a->roles));
    struct authz_role *role = error == 0 ? authz__resize(a, NULL, sizeof(*role)) : NULL;
    if (role == NULL) {
        return OAK_ENOMEM;
    }
    *role = (struct authz_role){.view.number = number};
    error = authz__dup(a, name, &role->view.name);
    if (error != 0) {
        role_free(a, role);
        return error;
    }
    size_t place = role_place(a, name);
    memmove(a->roles + place + 1, a->roles + place, (a->role_count - place) * sizeof(*a->roles));
    a->roles[place] = role;
    a->role_count++;
    *out = role;
    return 0;
}

void authz__role_remove(struct oak_authz *a, struct authz_role *role)
{
    size_t place = role_place(a, role->view.name);
    OAK_ASSERT(place < a->role_count && a->roles[place] == role);
    a->role_count--;
    memmove(a->roles + place, a->roles + place + 1, (a->role_count - place) * sizeof(*a->roles));
    role_free(a, role);
}

static int permission_cmp(const struct oak_authz_permission *p, struct oak_bytes key,
                          struct oak_bytes end)
{
    int order = oak_bytes_cmp(p->key, key);
    return order != 0 ? order : oak_bytes_cmp(p->end, end);
}

static size_t permission_place(const struct authz_role *role, struct oak_bytes key,
                               struct oak_bytes end)
{
    size_t low = 0;
    size_t high = role->view.permission_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (permission_cmp(&role->view.permissions[middle], key, end) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct oak_authz_permission *authz__permission(const struct authz_role *role, struct oak_bytes key,
                                               struct oak_bytes end)
{
    size_t i = permission_place(role, key, end);
    bool found = i < role->view.permission_count &&
                 permission_cmp(&role->view.permissions[i], key, end) == 0;
    return found ? &permissions_of(role)[i] : NULL;
}

int authz__permission_add(struct oak_authz *a, struct authz_role *role,
                          const struct oak_authz_permission *permission)
{
    struct oak_authz_permission *items = permissions_of(role);
    size_t count = role->view.permission_count;
    int error = authz__grow(a, &items, count, &role->permission_room, sizeof(*items));
    role->view.permissions = items;
    struct oak_authz_permission copy = {.access = permission->access};
    if (error == 0) {
        error = authz__dup(a, permission->key, &copy.key);
    }
    if (error == 0) {
        error = authz__dup(a, permission->end, &copy.end);
        if (error != 0) {
            bytes_free(a, copy.key);
        }
    }
    if (error != 0) {
        return error;
    }
    size_t place = permission_place(role, copy.key, copy.end);
    memmove(items + place + 1, items + place, (count - place) * sizeof(*items));
    items[place] = copy;
    role->view.permission_count++;
    role->bytes += copy.key.size + copy.end.size;
    return 0;
}

void authz__permission_remove(struct oak_authz *a, struct authz_role *role,
                              struct oak_authz_permission *permission)
{
    struct oak_authz_permission *items = permissions_of(role);
    struct oak_authz_permission gone = *permission;
    size_t place = (size_t)(permission - items);
    OAK_ASSERT_LT(place, role->view.permission_count);
    role->view.permission_count--;
    role->bytes -= gone.key.size + gone.end.size;
    memmove(items + place, items + place + 1,
            (role->view.permission_count - place) * sizeof(*items));
    bytes_free(a, gone.key);
    bytes_free(a, gone.end);
}
