/* SPDX-License-Identifier: Apache-2.0 */
/* leases.h: what a replica keeps for the leases of clients: when they end (expiry.c), and what
 * clients ask about them (keepalive.c). The lease by which reads are answered is lease.c's. */
#ifndef OAK_REPLICA_LEASES_H
#define OAK_REPLICA_LEASES_H

#include "base/list.h"
#include "lease/lease.h"
#include "peer/peer.h"

struct oak_replica;
struct remote;

struct expiring {
    struct oak_lease_table *table;
    uint64_t term; /* this member leads in it, and decides; 0: it doesn't */
};

/* What clients of this member ask, by where it stands; what waits for a read index is in none. */
struct keeping {
    struct oak_list fresh;   /* to be asked */
    struct oak_list later;   /* to be asked with the next tick */
    struct oak_list sent;    /* to the leader, in order of number */
    struct oak_list waiting; /* for an index to be applied */
    size_t count;            /* all of them */
    uint64_t number;         /* of the last one that was sent */
    uint64_t woken;          /* those that wait for up to this index have been looked at */
};

/* expiry.c */
/* Does this member lead, and decide, in its present term? */
bool replica__decides(const struct oak_replica *r);
/* Has it begun to lead, or ceased? */
void replica__expiry_follow(struct oak_replica *r);
/* What has expired is proposed as revoked, and what is left of others is written down. */
void replica__expiry_tick(struct oak_replica *r);
/* Its leadership was confirmed after the question had come: the answer. */
void replica__lease_decide(struct oak_replica *r, const struct oak_peer_lease_ask *ask,
                           struct oak_peer_lease_told *out);
struct oak_kv_lease;
/* For the state machine. */
void replica__lease_changed(void *user, const struct oak_kv_lease *lease);

/* keepalive.c */
void replica__asks_init(struct oak_replica *r);
/* Those whose turn it is, on their way. */
void replica__asks_go(struct oak_replica *r);
/* The leader is another one, or can't be heard: what was sent to it is asked again. */
void replica__asks_lost(struct oak_replica *r);
void replica__asks_tick(struct oak_replica *r);
/* Those whose deadline is not after `now` end. */
void replica__asks_end(struct oak_replica *r, uint64_t now, int error);
struct oak_peer_frame;
void replica__lease_ask_take(struct oak_replica *r, const struct remote *from,
                             const struct oak_peer_frame *frame);
void replica__lease_told_take(struct oak_replica *r, const struct oak_peer_frame *frame);

#endif
