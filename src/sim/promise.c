/* SPDX-License-Identifier: Apache-2.0 */
/* promise.c: what a node has said is held against what it says later, also in its next life.
 *
 *   one vote      in a term a node votes for one candidate (asking for votes is a vote for oneself)
 *   durability    what a node acknowledged in the term it died in is there when it starts again;
 *                 only the leader of a later term may take it away
 *   no way back   terms in messages that promise durability never fall: votes, acknowledgements,
 *                 and all that a leader says
 *
 * Watched where frames leave, before the network does anything to them.
 */
#include <inttypes.h>

#include "sim/internal.h"

/* Nothing that is watched is longer, but appends that carry much. */
#define FRAME_WATCHED_MAX 512

static void vote_note(struct node *n, uint64_t term, uint64_t candidate)
{
    struct sim *s = n->sim;
    uint8_t *vote = sim__cell(&s->votes, term * SIM_NODES_MAX + (uint64_t)n->index);
    uint64_t known = oak_get_u64(vote);
    oak_put_u64(vote, candidate);
    if (known != 0 && known != candidate) {
        sim__fail(s,
                  "one vote: node %d votes for %" PRIu64 " in term %" PRIu64
                  ", and voted for %" PRIu64,
                  n->index + 1, candidate, term, known);
    }
}

static void term_note(struct node *n, uint64_t term)
{
    if (term < n->promised) {
        sim__fail(n->sim, "no way back: node %d speaks in term %" PRIu64 " after term %" PRIu64,
                  n->index + 1, term, n->promised);
    }
    n->promised = term;
}

void sim__promise_watch(struct node *n, struct oak_bytes bytes)
{
    struct oak_peer_frame frame;
    if (bytes.size > FRAME_WATCHED_MAX) {
        return;
    }
    int error = oak_peer_decode(bytes, &n->sim->frame_arena, &frame);
    OAK_ASSERT_EQ(error, 0);
    if (frame.kind == OAK_PEER_RAFT) {
        const struct oak_raft_msg *m = &frame.u.raft;
        switch (m->type) {
        case OAK_RAFT_MSG_VOTE:
            vote_note(n, m->term, n->id);
            term_note(n, m->term);
            break;
        case OAK_RAFT_MSG_VOTE_REPLY:
            if (!m->reject) {
                vote_note(n, m->term, frame.address.to);
                term_note(n, m->term);
            }
            break;
        case OAK_RAFT_MSG_APPEND_REPLY:
            if (!m->reject) {
                term_note(n, m->term);
                n->acked = m->index;
                n->acked_term = m->term;
            }
            break;
        case OAK_RAFT_MSG_APPEND:
        case OAK_RAFT_MSG_HEARTBEAT:
            term_note(n, m->term);
            break;
        default:
            break;
        }
    }
    oak_arena_reset(&n->sim->frame_arena);
}

void sim__promise_started(struct node *n)
{
    struct oak_replica_status status;
    oak_replica_status(n->replica, &status);
    if (n->acked_term != 0 && n->acked_term == n->died_term && status.raft.last < n->acked) {
        sim__fail(n->sim,
                  "durability: node %d acknowledged index %" PRIu64 " in term %" PRIu64
                  ", and starts again with a log that ends at %" PRIu64,
                  n->index + 1, n->acked, n->acked_term, status.raft.last);
    }
}
