/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: the legal transitions of a client's session, as a table.
 *
 *                      prove           allow        deny            expire
 *     unauthenticated  authenticated   -            unauthenticated  expired
 *     authenticated    authenticated   authorized   authenticated   expired
 *     authorized       authorized      authorized   authenticated   expired
 *     expired          -               -            expired         expired
 *
 * What is not in it does not happen: nobody is allowed anything who has not proved who it is, and
 * what has expired does not come back. To deny and to expire is always legal.
 *
 * Thread  any.
 */
#include "authz/internal.h"

#define SESSIONS (OAK_AUTHZ_EXPIRED + 1)
#define EVENTS   (OAK_AUTHZ_EXPIRE + 1)
#define ILLEGAL  (-1)

static const int table[SESSIONS][EVENTS] = {
    [OAK_AUTHZ_UNAUTHENTICATED] =
        {
            [OAK_AUTHZ_PROVE] = OAK_AUTHZ_AUTHENTICATED,
            [OAK_AUTHZ_ALLOW] = ILLEGAL,
            [OAK_AUTHZ_DENY] = OAK_AUTHZ_UNAUTHENTICATED,
            [OAK_AUTHZ_EXPIRE] = OAK_AUTHZ_EXPIRED,
        },
    [OAK_AUTHZ_AUTHENTICATED] =
        {
            [OAK_AUTHZ_PROVE] = OAK_AUTHZ_AUTHENTICATED,
            [OAK_AUTHZ_ALLOW] = OAK_AUTHZ_AUTHORIZED,
            [OAK_AUTHZ_DENY] = OAK_AUTHZ_AUTHENTICATED,
            [OAK_AUTHZ_EXPIRE] = OAK_AUTHZ_EXPIRED,
        },
    [OAK_AUTHZ_AUTHORIZED] =
        {
            [OAK_AUTHZ_PROVE] = OAK_AUTHZ_AUTHORIZED,
            [OAK_AUTHZ_ALLOW] = OAK_AUTHZ_AUTHORIZED,
            [OAK_AUTHZ_DENY] = OAK_AUTHZ_AUTHENTICATED,
            [OAK_AUTHZ_EXPIRE] = OAK_AUTHZ_EXPIRED,
        },
    [OAK_AUTHZ_EXPIRED] =
        {
            [OAK_AUTHZ_PROVE] = ILLEGAL,
            [OAK_AUTHZ_ALLOW] = ILLEGAL,
            [OAK_AUTHZ_DENY] = OAK_AUTHZ_EXPIRED,
            [OAK_AUTHZ_EXPIRE] = OAK_AUTHZ_EXPIRED,
        },
};

int oak_authz_session_step(enum oak_authz_session *session, enum oak_authz_event event)
{
    OAK_ASSERT_LT((int)*session, SESSIONS);
    OAK_ASSERT_LT((int)event, EVENTS);
    int next = table[*session][event];
    if (next == ILLEGAL) {
        return OAK_EINVAL;
    }
    *session = (enum oak_authz_session)next;
    return 0;
}

const char *oak_authz_session_name(enum oak_authz_session session)
{
    static const char *const names[SESSIONS] = {
        [OAK_AUTHZ_UNAUTHENTICATED] = "unauthenticated",
        [OAK_AUTHZ_AUTHENTICATED] = "authenticated",
        [OAK_AUTHZ_AUTHORIZED] = "authorized",
        [OAK_AUTHZ_EXPIRED] = "expired",
    };
    return names[session];
}

const char *oak_authz_event_name(enum oak_authz_event event)
{
    static const char *const names[EVENTS] = {
        [OAK_AUTHZ_PROVE] = "prove",
        [OAK_AUTHZ_ALLOW] = "allow",
        [OAK_AUTHZ_DENY] = "deny",
        [OAK_AUTHZ_EXPIRE] = "expire",
    };
    return names[event];
}
