/* SPDX-License-Identifier: Apache-2.0 */
/* decide.c: may this user do that, in etcd's order: nobody, an old revision, no such user, root,
 * the merged ranges.
 *
 * Can fail     OAK_ENOMEM, when a merged table has to be made: then it is neither yes nor no.
 * Invariants   while auth is off everything is allowed; nothing else is allowed to nobody.
 * Thread       the owner's.
 */
#include "authz/internal.h"

static bool holds_root(const struct authz_user *user)
{
    return authz__holds(user, oak_bytes_str(AUTHZ_ROOT));
}

/* The user, or what stands against it before its permissions are looked at. */
static int find(const struct oak_authz *a, const struct oak_authz_who *who,
                struct authz_user **user)
{
    OAK_ASSERT(a->settings.enabled);
    if (who->user.size == 0) {
        return OAK_EUSEREMPTY;
    }
    if (who->revision < a->settings.revision && !OAK_BUG(auth_old_revision)) {
        return OAK_EAUTHOLDREVISION;
    }
    *user = authz__user(a, who->user);
    return *user != NULL ? 0 : OAK_EPERMISSIONDENIED;
}

int oak_authz_permit(struct oak_authz *a, const struct oak_authz_who *who,
                     enum oak_authz_access access, struct oak_bytes key, struct oak_bytes range_end)
{
    OAK_ASSERT(access == OAK_AUTHZ_READ || access == OAK_AUTHZ_WRITE);
    if (!a->settings.enabled) {
        return 0;
    }
    struct authz_user *user = NULL;
    int error = find(a, who, &user);
    if (error != 0 || holds_root(user)) {
        return error;
    }
    error = authz__merged(a, user);
    if (error != 0) {
        return error;
    }
    const struct authz_range wanted = authz__range(key, range_end);
    return authz__covers(&user->ranges[access], &wanted) ? 0 : OAK_EPERMISSIONDENIED;
}

int oak_authz_permit_any(const struct oak_authz *a, const struct oak_authz_who *who)
{
    struct authz_user *user = NULL;
    return a->settings.enabled ? find(a, who, &user) : 0;
}

int oak_authz_permit_root(const struct oak_authz *a, const struct oak_authz_who *who)
{
    if (!a->settings.enabled) {
        return 0;
    }
    if (who->user.size == 0) {
        return OAK_EUSEREMPTY;
    }
    const struct authz_user *user = authz__user(a, who->user);
    if (user == NULL) {
        return OAK_EUSERNOTFOUND;
    }
    return holds_root(user) ? 0 : OAK_EPERMISSIONDENIED;
}

int oak_authz_permit_self(const struct oak_authz *a, const struct oak_authz_who *who,
                          struct oak_bytes user)
{
    int error = oak_authz_permit_root(a, who);
    bool self = who->user.size > 0 && oak_bytes_eq(who->user, user);
    return error == OAK_EPERMISSIONDENIED && self ? 0 : error;
}

int oak_authz_permit_holder(const struct oak_authz *a, const struct oak_authz_who *who,
                            struct oak_bytes role)
{
    int error = oak_authz_permit_root(a, who);
    if (error != OAK_EPERMISSIONDENIED) {
        return error;
    }
    return authz__holds(authz__user(a, who->user), role) ? 0 : error;
}
