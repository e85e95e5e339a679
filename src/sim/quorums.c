/* SPDX-License-Identifier: Apache-2.0 */
/* quorums.c: whoever decides by one configuration meets whoever decides by the one before.
 *
 *   a leader's next          when a leader appends a configuration, which is in force at once, each
 *                            quorum of it and each of the one before have a member in common
 *   a leader's, committed's  so have those of the newest leader's and of the last that is known to
 *                            be committed: it is the same one, or the one before
 *   as of an index           a configuration that is committed is the same everywhere
 *
 * A quorum of a joint configuration is a majority of each half. What a follower skips (a joint one
 * and the one that leaves it came together, or in a snapshot) is its leader's business; and a
 * leader that has been deposed may hold one that decides nothing any more.
 *
 * All sets of nodes are tried: there are no more than a hundred.
 */
#include <inttypes.h>

#include "sim/internal.h"

OAK_STATIC_ASSERT(SIM_NODES_MAX <= 7, "all sets of nodes are tried with each new configuration");

static unsigned mask_of(const uint64_t *ids, uint32_t count)
{
    unsigned mask = 0;
    for (uint32_t i = 0; i < count; i++) {
        /* A node that lost its disk is another member: two of one node are never in one. */
        mask |= 1u << ((ids[i] - 1) % (2 * SIM_NODES_MAX));
    }
    return mask;
}

struct voters sim__voters_of(const struct oak_raft_config *c)
{
    return (struct voters){.now = mask_of(c->voters, c->voter_count),
                           .outgoing = mask_of(c->voters_outgoing, c->voter_outgoing_count)};
}

static bool majority(unsigned nodes, unsigned of)
{
    return 2 * __builtin_popcount(nodes & of) > __builtin_popcount(of);
}

bool sim__quorum(unsigned nodes, const struct voters *v)
{
    return majority(nodes, v->now) && (v->outgoing == 0 || majority(nodes, v->outgoing));
}

bool sim__quorums_meet(const struct voters *a, const struct voters *b)
{
    const unsigned all = a->now | a->outgoing | b->now | b->outgoing;
    for (unsigned nodes = all;; nodes = (nodes - 1) & all) {
        if (sim__quorum(nodes, a) && sim__quorum(all & ~nodes, b)) {
            return false;
        }
        if (nodes == 0) {
            return true;
        }
    }
}

static void meet(const struct member *m, const struct voters *before, const struct voters *now,
                 const char *which)
{
    if (before->now != 0 && !sim__quorums_meet(before, now)) {
        sim__fail(m->group->sim,
                  "quorums: %s leads by voters %02x, going %02x; it need not meet whoever decides "
                  "by %s: %02x, going %02x",
                  m->name, now->now, now->outgoing, which, before->now, before->outgoing);
    }
}

static void committed_note(const struct member *m, uint64_t index, const struct voters *v)
{
    struct group *g = m->group;
    if (index == g->committed_at && g->committed.now != 0 &&
        (g->committed.now != v->now || g->committed.outgoing != v->outgoing)) {
        sim__fail(g->sim,
                  "quorums: as of index %" PRIu64 " %s has voters %02x, going %02x; others have "
                  "%02x, going %02x",
                  index, m->name, v->now, v->outgoing, g->committed.now, g->committed.outgoing);
    }
    if (index >= g->committed_at) {
        g->committed_at = index;
        g->committed = *v;
    }
}

void sim__quorums_look(struct member *m, const struct oak_replica_status *status)
{
    const struct oak_raft_status *raft = &status->raft;
    struct group *g = m->group;
    bool leads = raft->role == OAK_RAFT_LEADER;
    if (raft->config_index == m->config_seen && m->led_seen == (leads ? raft->term : 0) &&
        raft->commit == m->config_commit_seen) {
        return;
    }
    const struct voters v = sim__voters_of(oak_replica_config(m->replica));
    if (leads && m->led_seen == raft->term) {
        meet(m, &m->voters_seen, &v, "the one before");
        if (m->config_seen < raft->config_index && m->config_seen <= raft->commit) {
            committed_note(m, m->config_seen, &m->voters_seen); /* it may have been left at once */
        }
    }
    g->newest_term = OAK_MAX(g->newest_term, leads ? raft->term : 0);
    if (leads && raft->term == g->newest_term) {
        meet(m, &g->committed, &v, "the last that is committed");
    }
    if (raft->config_index <= raft->commit && v.now != 0) {
        committed_note(m, raft->config_index, &v);
    }
    m->config_seen = raft->config_index;
    m->config_commit_seen = raft->commit;
    m->led_seen = leads ? raft->term : 0;
    m->voters_seen = v;
}
