/* SPDX-License-Identifier: Apache-2.0 */
/* held.h: from where on a follower needs the leader's log. Pure. */
#ifndef OAK_REPLICA_HELD_H
#define OAK_REPLICA_HELD_H

#include "oakum/raft.h"

#define HELD_NOTHING UINT64_MAX

struct held_view {
    uint64_t first;    /* of the leader's log */
    uint64_t snapshot; /* the index of the one that is on its way to this follower; 0: none is */
    bool offered;      /* that one is offered lately, and the follower has not said a word of it */
    uint64_t away_ms;  /* a follower that is silent for so long is not waited for */
};

/* The log may go up to here without this follower losing what it needs next; HELD_NOTHING: it has
 * no say.
 *
 * A probe looks above what is known to match, and falls back to it when it is refused: with frames
 * that overtake each other it goes to and fro all the time. So what matters is the match, while the
 * log reaches it. Before there is one, and behind a snapshot whose acknowledgement has not come
 * yet, all that is known is where the leader means to look. */
static inline uint64_t held_for(const struct oak_raft_peer_status *p, const struct held_view *v)
{
    bool away = !p->active && p->silent_ms >= v->away_ms;
    /* For what has been begun with it, it is waited for however long it is away (transfer.c). */
    if (away && v->snapshot == 0) {
        return HELD_NOTHING;
    }
    /* It may be getting an older one, of the last leader, that it finishes first: what it will need
     * behind that is known when it answers. */
    if (v->offered && !away) {
        return v->first - 1;
    }
    uint64_t at = p->match;
    if (p->state == OAK_RAFT_PEER_SNAPSHOT) {
        at = v->snapshot;
    } else if (p->state == OAK_RAFT_PEER_PROBE && (at == 0 || at + 1 < v->first)) {
        at = p->next - 1;
        /* One that is sent since an earlier lead: it will arrive there. */
        bool sent = v->snapshot != 0 && v->snapshot + 1 >= v->first;
        at = sent && v->snapshot < at ? v->snapshot : at;
    }
    /* What is gone already is no reason to keep the rest. */
    return at + 1 >= v->first ? at : HELD_NOTHING;
}

#endif
