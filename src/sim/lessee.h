/* SPDX-License-Identifier: Apache-2.0 */
/* lessee.h: clients that hold leases, and what is made of what they hear. */
#ifndef OAK_SIM_LESSEE_H
#define OAK_SIM_LESSEE_H

#include "check/check.h"
#include "replica/replica.h"

struct group;
struct member;
struct sim;

#define SIM_LESSEES_MAX   3
#define SIM_LESSEE_LEASES 2
#define SIM_LESSEE_KEYS   3
/* What a key goes with, if it is not the id of a lease. */
#define SIM_TIE_NONE  0    /* there is no such key */
#define SIM_TIE_LOOSE (-1) /* with no lease */

enum lessee_act {
    LESSEE_GRANT,  /* of a new lease, or once more */
    LESSEE_TIE,    /* a put that names a lease */
    LESSEE_LOOSE,  /* one that names none */
    LESSEE_STAY,   /* one that leaves the key with its lease */
    LESSEE_KEEP,   /* a keepalive */
    LESSEE_LOOK,   /* a read of a key */
    LESSEE_REVOKE, /* a revocation */
    LESSEE_LEFT,   /* the question how much is left */
};

struct lessee_lease {
    int64_t id; /* 0: none */
    int64_t ttl_s;
    bool there;    /* its grant was answered */
    bool mayfly;   /* it is never renewed */
    bool given_up; /* it is left to its end */
    unsigned looks;
};

struct lessee {
    struct sim *sim;
    struct group *group;
    int index;
    struct oak_prng prng;
    uint64_t think_ms;
    uint64_t numbers; /* of keys and leases, given out so far */
    struct lessee_lease leases[SIM_LESSEE_LEASES];
    uint64_t key_numbers[SIM_LESSEE_KEYS];
    int64_t ties[SIM_LESSEE_KEYS];
    struct oak_replica_request request;
    struct oak_replica_lease ask;
    struct oak_buf packed;
    enum lessee_act act;
    unsigned slot; /* the lease, */
    unsigned key;  /* and the key that this is about */
    int node;
    uint64_t call_ns;
    uint64_t era; /* when it was asked what is left */
    bool busy;
    bool arrived;    /* the replica knows the request */
    bool close_call; /* the next keepalive comes at about the end of its lease */
    bool over;       /* it does nothing any more */
};

/* lessee.c */
void sim__lessees_start(struct sim *s);
void sim__lessees_stop(struct sim *s);
/* The node is gone: whoever waited there does not know what came of it. */
void sim__lessees_lost(struct sim *s, int node);
/* They do nothing any more, and no lease is left. */
bool sim__lessees_over(const struct sim *s);

/* leases.c: what lessees hear, and what the log says, into the group's book. */
void sim__leases_init(struct group *g);
void sim__lease_promised(struct group *g, int64_t id, int64_t ttl_s, const struct lease_span *at);
void sim__lease_alive(struct group *g, int64_t id, const struct lease_span *at, const char *who);
void sim__lease_gone(struct group *g, int64_t id, const char *who);
void sim__lease_left(struct group *g, int64_t id, int64_t left_ns, const struct lease_span *at,
                     uint64_t era);
/* The term of the leader that decides when leases end; 0: nobody does. */
uint64_t sim__lease_era(const struct group *g);
/* An entry is applied for the first time. */
void sim__leases_applied(struct group *g, struct oak_bytes entry);
/* After each event of a node that is up: which leases it has, and which keys go with them, is what
 * the model has. */
void sim__leases_look(struct member *m);

#endif
