/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: records of users and roles, and merged ranges. */
#ifndef OAK_AUTHZ_INTERNAL_H
#define OAK_AUTHZ_INTERNAL_H

#include "authz/authz.h"
#include "base/zoo.h"

#define AUTHZ_ROOT "root"

/* Where a range begins or ends: at `key`, or at the least key behind it (key and a zero byte). */
struct authz_bound {
    struct oak_bytes key;
    bool behind;
    bool open; /* behind every key */
};

struct authz_range {
    struct authz_bound from;
    struct authz_bound to;
};

/* Ranges in order, none touching the next. */
struct authz_ranges {
    struct authz_range *items;
    size_t count;
};

struct authz_user {
    struct oak_authz_user view; /* its bytes and roles are owned */
    size_t role_room;
    bool changed;
    bool merged;
    struct authz_ranges ranges[2]; /* to read, to write; keys borrowed from roles */
};

struct authz_role {
    struct oak_authz_role view;
    size_t permission_room;
    size_t bytes; /* of its permissions' keys */
    bool changed;
};

struct oak_authz {
    struct oak_alloc alloc;
    struct oak_authz_settings settings;
    struct authz_user **users; /* by name */
    size_t user_count, user_room;
    struct authz_role **roles; /* by name */
    size_t role_count, role_room;
    size_t merged_bytes;
    /* Of the last change, until it is taken. */
    bool removed, removed_user;
    uint64_t removed_number;
};

/* -- records.c --------------------------------------------------------------------------------- */

void *authz__resize(struct oak_authz *a, void *p, size_t size);
void authz__free(struct oak_authz *a, void *p);
/* An owned copy; OAK_ENOMEM. */
OAK_MUST_USE int authz__dup(struct oak_authz *a, struct oak_bytes from, struct oak_bytes *out);
/* Room for one more of `size` bytes in a table that has `count`. OAK_ENOMEM. */
OAK_MUST_USE int authz__grow(struct oak_authz *a, void *table, size_t count, size_t *room,
                             size_t size);
struct authz_user *authz__user(const struct oak_authz *a, struct oak_bytes name);
struct authz_role *authz__role(const struct oak_authz *a, struct oak_bytes name);
OAK_MUST_USE int authz__user_new(struct oak_authz *a, const struct oak_authz_user *from,
                                 struct authz_user **out);
OAK_MUST_USE int authz__role_new(struct oak_authz *a, struct oak_bytes name, uint64_t number,
                                 struct authz_role **out);
void authz__user_remove(struct oak_authz *a, struct authz_user *user);
void authz__role_remove(struct oak_authz *a, struct authz_role *role);
bool authz__holds(const struct authz_user *user, struct oak_bytes role);
OAK_MUST_USE int authz__holds_add(struct oak_authz *a, struct authz_user *user,
                                  struct oak_bytes role);
/* False: it doesn't hold it. */
bool authz__holds_remove(struct oak_authz *a, struct authz_user *user, struct oak_bytes role);
OAK_MUST_USE int authz__permission_add(struct oak_authz *a, struct authz_role *role,
                                       const struct oak_authz_permission *permission);
struct oak_authz_permission *authz__permission(const struct authz_role *role, struct oak_bytes key,
                                               struct oak_bytes end);
void authz__permission_remove(struct oak_authz *a, struct authz_role *role,
                              struct oak_authz_permission *permission);
static inline bool authz__is_root(struct oak_bytes name)
{
    return oak_bytes_eq(name, oak_bytes_str(AUTHZ_ROOT));
}

/* -- ranges.c ---------------------------------------------------------------------------------- */

int authz__bound_cmp(const struct authz_bound *a, const struct authz_bound *b);
/* A request's keys, or a permission's. */
struct authz_range authz__range(struct oak_bytes key, struct oak_bytes end);
/* Sort and join what overlaps or touches, in place; the new count. */
size_t authz__merge(struct authz_range *ranges, size_t count);
bool authz__covers(const struct authz_ranges *ranges, const struct authz_range *wanted);
/* The merged ranges of a user are there. OAK_ENOMEM. */
OAK_MUST_USE int authz__merged(struct oak_authz *a, struct authz_user *user);
/* Whatever was merged of one user, or of all, is gone. */
void authz__unmerge(struct oak_authz *a, struct authz_user *user);
void authz__unmerge_all(struct oak_authz *a);

#endif
