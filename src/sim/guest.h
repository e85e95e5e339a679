/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h: a guest who may write some keys at times, a warden who says when, and the checker. */
#ifndef OAK_SIM_GUEST_H
#define OAK_SIM_GUEST_H

#include "replica/replica.h"

struct group;
struct member;
struct sim;

#define SIM_GUESTS_MAX    3 /* the warden is the first */
#define SIM_GUEST_LETTERS 7

struct guest {
    struct sim *sim;
    struct group *group;
    int index;
    struct oak_prng prng;
    struct oak_replica_request request;
    struct oak_buf packed;
    /* The revisions of users and roles as of which it has logged in, and the time before that; 0:
     * never. */
    uint64_t token, old_token;
    unsigned step; /* the warden's: what it does, */
    unsigned perm; /* with which permission */
    unsigned letter, end;
    int node;
    bool busy;
    bool arrived;
};

void sim__guests_start(struct sim *s);
void sim__guests_stop(struct sim *s);
/* The node is gone: whoever waited there does not know what came of it. */
void sim__guests_lost(struct sim *s, int node);
/* For whom a client of this member asks. */
struct oak_authz_who sim__who(const struct member *m);
/* After each event of a node that is up: users, roles and tokens are to it what they are to the
 * model. */
void sim__guests_look(struct member *m);

#endif
