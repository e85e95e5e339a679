/* SPDX-License-Identifier: Apache-2.0 */
/* turn.h: a call that takes part in a contest (contest.h) and waits for its turn: Lock, Campaign.
 *
 *     api__turn_begin(call, &wish)      // answers the call through wish.won, or fails it
 *
 * Threads: the loop's.
 */
#ifndef OAK_API_TURN_H
#define OAK_API_TURN_H

#include "api/internal.h"

struct api_turn;

struct api_turn_wish {
    struct oak_bytes name;
    int64_t lease; /* 0: one is granted, which nobody keeps alive */
    struct oak_bytes value;
    bool says; /* `value` is to stand in the key, also where that is there already */
    /* It is its turn: answer the call, which has no turn any more. */
    void (*won)(const struct api_turn *turn, struct api_call *call,
                Etcdserverpb__ResponseHeader *header);
    /* What the call is told when its key is gone: it took part no more. */
    int gone;
};

enum api_turn_stage {
    API_TURN_GRANT, /* its lease is being granted, */
    API_TURN_JOIN,  /* its key put, */
    API_TURN_SAY,   /* the value in it replaced */
    API_TURN_LOOK,  /* whose turn is it now? */
    API_TURN_WAIT,  /* until its own key goes, or the one before */
    API_TURN_LEAVE, /* its key, or its lease, is being taken away */
};

struct api_turn {
    struct oak_list link;
    struct oak_api *api;
    struct api_call *call; /* NULL: its client has gone */
    struct api_turn_wish wish;
    enum api_turn_stage stage;
    struct api_contest contest;
    struct oak_authz_who who; /* for whom it asks */
    int64_t lease;
    int64_t create_rev; /* of its key */
    int64_t revision;   /* that is answered */
    bool own_lease;
    bool created; /* the key, by this one */
    size_t bytes; /* of name and value */
    int error;    /* what the call is told when it has left */
    struct oak_replica_request request;
    struct api_ear ear;
    struct oak_timer again;
    struct oak_arena memory;
};

void api__turn_begin(struct api_call *call, const struct api_turn_wish *wish);

#endif
