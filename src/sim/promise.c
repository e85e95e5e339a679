/* SPDX-License-Identifier: Apache-2.0 */
/* promise.c: what a node has said is held against what it says later, also in its next life.
 *
 *   one vote      in a term a node votes for one candidate (asking for votes is a vote for oneself)
 *   durability    what a node acknowledged in the term it died in is there when it starts again;
 *                 only the leader of a later term may take it away
 *   no way back   terms in messages that promise durability never fall: votes, acknowledgements,
 *                 and all that a leader says; nor is the term on disk, when it starts again, below
 *                 what it promised
 *   snapshots     what a chunk says of its snapshot is what was applied at that index
 *
 * Watched where frames leave, before the network does anything to them.
 */
#include <inttypes.h>

#include "sim/internal.h"

/* Nothing that is watched is longer, but appends that carry much. */
#define FRAME_WATCHED_MAX 512

static void vote_note(struct member *m, uint64_t term, uint64_t candidate)
{
    struct group *g = m->group;
    uint8_t *vote = sim__cell(&g->votes, term * SIM_NODES_MAX + (uint64_t)m->node->index);
    uint64_t known = oak_get_u64(vote);
    oak_put_u64(vote, candidate);
    if (known != 0 && known != candidate) {
        sim__fail(g->sim,
                  "one vote: %s votes for %" PRIu64 " in term %" PRIu64 ", and voted for %" PRIu64,
                  m->name, candidate, term, known);
    }
}

static void term_note(struct member *m, uint64_t term)
{
    if (term < m->promised) {
        sim__fail(m->group->sim, "no way back: %s speaks in term %" PRIu64 " after term %" PRIu64,
                  m->name, term, m->promised);
    }
    m->promised = term;
}

static void snapshot_note(struct member *m, const struct oak_raft_snapshot *snapshot)
{
    const struct group *g = m->group;
    bool known = snapshot->index < g->entry_count && g->entries[snapshot->index].term != 0;
    if (known && g->entries[snapshot->index].term != snapshot->term) {
        sim__fail(g->sim,
                  "snapshots: %s sends one of index %" PRIu64 ", term %" PRIu64
                  "; it was applied in term %" PRIu64,
                  m->name, snapshot->index, snapshot->term, g->entries[snapshot->index].term);
    }
}

static void raft_note(struct member *m, const struct oak_raft_msg *msg)
{
    switch (msg->type) {
    case OAK_RAFT_MSG_VOTE:
        sim__lapse_promise(m, "asks for votes");
        vote_note(m, msg->term, m->node->id);
        term_note(m, msg->term);
        break;
    case OAK_RAFT_MSG_VOTE_REPLY:
        if (!msg->reject) {
            sim__lapse_promise(m, "votes");
            vote_note(m, msg->term, msg->to);
            term_note(m, msg->term);
        }
        break;
    case OAK_RAFT_MSG_APPEND_REPLY:
        if (!msg->reject) {
            sim__lapse_promise(m, "acknowledges");
            term_note(m, msg->term);
            m->acked = msg->index;
            m->acked_term = msg->term;
        }
        break;
    case OAK_RAFT_MSG_HEARTBEAT_REPLY:
        sim__lapse_promise(m, "confirms a leader");
        break;
    case OAK_RAFT_MSG_APPEND:
    case OAK_RAFT_MSG_HEARTBEAT:
        sim__lapse_promise(m, "leads");
        term_note(m, msg->term);
        sim__check_leads(m, msg->term);
        break;
    default:
        break;
    }
}

void sim__promise_watch(struct member *m, struct oak_bytes bytes)
{
    struct oak_peer_frame frame;
    struct oak_arena *arena = &m->group->sim->frame_arena;
    if (bytes.size > FRAME_WATCHED_MAX) {
        return;
    }
    int error = oak_peer_decode(bytes, arena, &frame);
    OAK_ASSERT_EQ(error, 0);
    if (frame.kind == OAK_PEER_RAFT) {
        frame.u.raft.to = frame.address.to;
        raft_note(m, &frame.u.raft);
    } else if (frame.kind == OAK_PEER_CHUNK) {
        snapshot_note(m, &frame.u.chunk.snapshot);
    }
    oak_arena_reset(arena);
}

void sim__promise_started(struct member *m)
{
    struct sim *s = m->group->sim;
    struct oak_replica_status status;
    oak_replica_status(m->replica, &status);
    if (m->acked_term != 0 && m->acked_term == m->died_term && status.raft.last < m->acked) {
        sim__fail(s,
                  "durability: %s acknowledged index %" PRIu64 " in term %" PRIu64
                  ", and starts again with a log that ends at %" PRIu64,
                  m->name, m->acked, m->acked_term, status.raft.last);
    }
    if (status.raft.term < m->promised) {
        sim__fail(s, "no way back: %s starts again in term %" PRIu64 " after term %" PRIu64,
                  m->name, status.raft.term, m->promised);
    }
}
