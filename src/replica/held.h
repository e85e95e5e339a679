/* SPDX-License-Identifier: Apache-2.0 */
/* held.h: from where on a follower needs the leader's log. Pure. */
#ifndef OAK_REPLICA_HELD_H
#define OAK_REPLICA_HELD_H

#include "oakum/raft.h"

/* The last index that this follower won't be sent any more, as far as the leader knows. `snapshot`:
 * the index of the one that is on its way to it; 0: none is.
 *
 * A probe looks above what is known to match, and falls back to it when it is refused: with frames
 * that overtake each other it goes to and fro all the time. So what matters is the match, once
 * there is one; before, all that is known is where the leader means to look. */
static inline uint64_t held_above(const struct oak_raft_peer_status *p, uint64_t snapshot)
{
    if (p->state == OAK_RAFT_PEER_SNAPSHOT) {
        return snapshot;
    }
    return p->state == OAK_RAFT_PEER_PROBE && p->match == 0 ? p->next - 1 : p->match;
}

#endif
