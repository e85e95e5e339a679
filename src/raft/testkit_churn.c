/* SPDX-License-Identifier: Apache-2.0 */
/* testkit_churn.c: random changes of who is in the group. See testkit.h. */
#include "raft/testkit.h"

static bool often(struct oak_prng *prng, uint64_t parts)
{
    return oak_prng_below(prng, 1000) < parts;
}

static void id_put(uint64_t *ids, uint32_t *count, uint64_t id)
{
    ids[*count] = id;
    *count += 1;
}

static bool is_ready(const struct oak_raft_peer_status *rows, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == id) {
            return rows[i].ready;
        }
    }
    return false;
}

int kit_churn(struct kit *kit, struct kit_node *leader, struct oak_prng *prng)
{
    const struct oak_raft_config *now = oak_raft_config(leader->r);
    struct oak_raft_peer_status rows[OAK_RAFT_MEMBERS_MAX];
    size_t count = oak_raft_peers(leader->r, rows, OAK_RAFT_MEMBERS_MAX);
    struct oak_raft_config target = {.lease_ms = now->lease_ms, .drift_ppm = now->drift_ppm};
    uint64_t restless = oak_prng_below(prng, 900);
    for (uint64_t id = 1; id <= kit->node_count; id++) {
        bool voter = kit_config_votes(now, id);
        bool learner = kit_config_has(now, id) && !voter;
        if (often(prng, restless)) {
            uint64_t part = oak_prng_below(prng, 3);
            learner = part == 1 || (part == 2 && !voter && !is_ready(rows, count, id));
            voter = part == 2 && !learner;
        }
        if (voter) {
            id_put(target.voters, &target.voter_count, id);
        } else if (learner) {
            id_put(target.learners, &target.learner_count, id);
        }
    }
    if (now->lease_ms != 0 && often(prng, 100)) {
        target.lease_ms = (uint32_t)oak_prng_between(prng, 1, 2 * now->lease_ms);
    }
    int e = oak_raft_change(leader->r, &target, NULL, NULL);
    kit_take(kit, leader);
    return e;
}
