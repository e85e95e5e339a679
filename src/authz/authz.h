/* SPDX-License-Identifier: Apache-2.0 */
/* authz.h: who may do what: users, roles, permissions, and the decision.
 *
 *     oak_authz_role_add(a, "reader"); oak_authz_role_permit(a, "reader", &permission);
 *     oak_authz_user_add(a, "ann", hash, false); oak_authz_user_grant(a, "ann", "reader");
 *     oak_authz_permit(a, &who, OAK_AUTHZ_READ, key, range_end)       // 0: yes
 *
 * The rules are etcd's (etcd v3 API, "Auth"). Every function that changes something checks all
 * before it changes anything, and returns what the client is told. A change raises the revision by
 * one; what changes nothing does not. Who keeps the state beside it asks for what has changed.
 *
 * Memory is handed in. OAK_ENOMEM leaves a state that can only be freed.
 *
 * Threads: one owner.
 */
#ifndef OAK_AUTHZ_H
#define OAK_AUTHZ_H

#include "base/base.h"

struct oak_authz;

OAK_MUST_USE int oak_authz_new(struct oak_alloc alloc, struct oak_authz **out);
void oak_authz_free(struct oak_authz *a);

/* -- what there is ----------------------------------------------------------------------------- */

/* Numbers are authpb.Permission.Type's. */
enum oak_authz_access {
    OAK_AUTHZ_READ = 0,
    OAK_AUTHZ_WRITE = 1,
    OAK_AUTHZ_READWRITE = 2,
};

/* `end` empty: exactly `key`. One zero byte: all keys from `key` on. Else [key, end). */
struct oak_authz_permission {
    enum oak_authz_access access;
    struct oak_bytes key;
    struct oak_bytes end;
};

/* Borrowed until the next change. `number` is the record's own, never given out twice. */
struct oak_authz_user {
    uint64_t number;
    struct oak_bytes name;
    struct oak_bytes hash;         /* of the password (bcrypt); empty: none */
    const struct oak_bytes *roles; /* by name */
    size_t role_count;
    uint64_t since; /* the revision at which the password was set */
    bool no_password;
};

struct oak_authz_role {
    uint64_t number;
    struct oak_bytes name;
    const struct oak_authz_permission *permissions; /* by key, then end */
    size_t permission_count;
};

struct oak_authz_settings {
    bool enabled;
    uint64_t revision;    /* from 1 */
    uint64_t disabled_at; /* the revision of the last disabling; 0: never */
    uint64_t numbers;     /* given out so far */
};

const struct oak_authz_settings *oak_authz_settings(const struct oak_authz *a);
/* False: there is none of that name. */
bool oak_authz_user(const struct oak_authz *a, struct oak_bytes name, struct oak_authz_user *out);
bool oak_authz_role(const struct oak_authz *a, struct oak_bytes name, struct oak_authz_role *out);
/* In order of name. */
size_t oak_authz_user_count(const struct oak_authz *a);
size_t oak_authz_role_count(const struct oak_authz *a);
void oak_authz_user_at(const struct oak_authz *a, size_t i, struct oak_authz_user *out);
void oak_authz_role_at(const struct oak_authz *a, size_t i, struct oak_authz_role *out);

/* -- changes ----------------------------------------------------------------------------------- */

/* OAK_EROOTUSERNOTEXIST, OAK_EROOTROLENOTEXIST. Enabling does not raise the revision; disabling
 * does, and ends all tokens. Either, repeated, does nothing. */
OAK_MUST_USE int oak_authz_enable(struct oak_authz *a);
OAK_MUST_USE int oak_authz_disable(struct oak_authz *a);

/* `hash` is copied. OAK_EUSEREMPTY, OAK_EUSEREXIST, OAK_ELIMIT, OAK_EINVAL (a name too long). */
OAK_MUST_USE int oak_authz_user_add(struct oak_authz *a, struct oak_bytes name,
                                    struct oak_bytes hash, bool no_password);
/* OAK_EUSERNOTFOUND, OAK_EINVALIDAUTHMGMT (root, while enabled). */
OAK_MUST_USE int oak_authz_user_delete(struct oak_authz *a, struct oak_bytes name);
/* OAK_EUSERNOTFOUND. One without password stays so. */
OAK_MUST_USE int oak_authz_user_password(struct oak_authz *a, struct oak_bytes name,
                                         struct oak_bytes hash);
/* OAK_EUSERNOTFOUND, OAK_EROLENOTFOUND (not of the role root), OAK_ELIMIT. Granted twice: nothing.
 */
OAK_MUST_USE int oak_authz_user_grant(struct oak_authz *a, struct oak_bytes name,
                                      struct oak_bytes role);
/* OAK_EUSERNOTFOUND, OAK_EROLENOTGRANTED, OAK_EINVALIDAUTHMGMT. */
OAK_MUST_USE int oak_authz_user_revoke(struct oak_authz *a, struct oak_bytes name,
                                       struct oak_bytes role);

/* OAK_EROLEEMPTY, OAK_EROLEEXIST, OAK_ELIMIT, OAK_EINVAL. */
OAK_MUST_USE int oak_authz_role_add(struct oak_authz *a, struct oak_bytes name);
/* It is taken from all users. OAK_EROLENOTFOUND, OAK_EINVALIDAUTHMGMT. */
OAK_MUST_USE int oak_authz_role_delete(struct oak_authz *a, struct oak_bytes name);
/* The same keys again: the new access replaces the old. NULL: OAK_EPERMISSIONNOTGIVEN.
 * OAK_EINVALIDAUTHMGMT (no such keys, no such access), OAK_EROLENOTFOUND, OAK_ELIMIT. */
OAK_MUST_USE int oak_authz_role_permit(struct oak_authz *a, struct oak_bytes name,
                                       const struct oak_authz_permission *permission);
/* Exactly these keys. OAK_EROLENOTFOUND, OAK_EPERMISSIONNOTGRANTED. */
OAK_MUST_USE int oak_authz_role_forbid(struct oak_authz *a, struct oak_bytes name,
                                       struct oak_bytes key, struct oak_bytes end);

/* What changed since it was last asked, one record a time: false: no more. The settings may have
 * changed too. To be asked to the end after each change that removes a user or a role. */
struct oak_authz_change {
    bool is_user; /* else a role */
    bool removed; /* only `number` is known then */
    uint64_t number;
    struct oak_authz_user user;
    struct oak_authz_role role;
};
bool oak_authz_change_take(struct oak_authz *a, struct oak_authz_change *out);

/* -- loading what was kept --------------------------------------------------------------------- */

void oak_authz_clear(struct oak_authz *a);
void oak_authz_load_settings(struct oak_authz *a, const struct oak_authz_settings *settings);
/* In any order. OAK_ECORRUPT: what no change could have made. */
OAK_MUST_USE int oak_authz_load_user(struct oak_authz *a, const struct oak_authz_user *user);
OAK_MUST_USE int oak_authz_load_role(struct oak_authz *a, const struct oak_authz_role *role);

/* -- the decision ------------------------------------------------------------------------------ */

/* Who asks, as far as it was proved: a user, as of a revision. An empty name: nobody. */
struct oak_authz_who {
    struct oak_bytes user;
    uint64_t revision;
};

/* Each is 0 while auth is off. */

/* May `who` do this to all keys of (key, range_end)? As a permission's keys; a range that holds
 * nothing is judged by its first key. OAK_EUSEREMPTY, OAK_EAUTHOLDREVISION, OAK_EPERMISSIONDENIED.
 * OAK_ENOMEM: nothing has changed, and nobody knows. */
OAK_MUST_USE int oak_authz_permit(struct oak_authz *a, const struct oak_authz_who *who,
                                  enum oak_authz_access access, struct oak_bytes key,
                                  struct oak_bytes range_end);
/* Is it somebody? OAK_EUSEREMPTY, OAK_EAUTHOLDREVISION, OAK_EPERMISSIONDENIED. */
OAK_MUST_USE int oak_authz_permit_any(const struct oak_authz *a, const struct oak_authz_who *who);
/* Has it the role root? OAK_EUSEREMPTY, OAK_EUSERNOTFOUND, OAK_EPERMISSIONDENIED. */
OAK_MUST_USE int oak_authz_permit_root(const struct oak_authz *a, const struct oak_authz_who *who);
/* Root, or the user of that name itself; root, or one that has that role. */
OAK_MUST_USE int oak_authz_permit_self(const struct oak_authz *a, const struct oak_authz_who *who,
                                       struct oak_bytes user);
OAK_MUST_USE int oak_authz_permit_holder(const struct oak_authz *a, const struct oak_authz_who *who,
                                         struct oak_bytes role);

/* -- sessions ---------------------------------------------------------------------------------- */

/* What a client is to us, from its first call with a token (or a certificate) on. */
enum oak_authz_session {
    OAK_AUTHZ_UNAUTHENTICATED,
    OAK_AUTHZ_AUTHENTICATED, /* it has proved who it is */
    OAK_AUTHZ_AUTHORIZED,    /* ... and was let do what it asked last */
    OAK_AUTHZ_EXPIRED,       /* for good: a new one has to be begun */
};
enum oak_authz_event {
    OAK_AUTHZ_PROVE,  /* a password, a token or a certificate was right */
    OAK_AUTHZ_ALLOW,  /* a call is allowed */
    OAK_AUTHZ_DENY,   /* a call is denied */
    OAK_AUTHZ_EXPIRE, /* its time is over, or its user has changed */
};
/* 0 and the next state, or OAK_EINVAL where the table has none: the state stays, the caller refuses
 * and tells it to the audit. */
OAK_MUST_USE int oak_authz_session_step(enum oak_authz_session *session,
                                        enum oak_authz_event event);
const char *oak_authz_session_name(enum oak_authz_session session);
const char *oak_authz_event_name(enum oak_authz_event event);

#endif
