/* SPDX-License-Identifier: Apache-2.0 */
/* bounds.c: nothing is over its limit (base/limits.h), whatever breaks: queues, bytes in flight,
 * the log in memory. Looked at now and then.
 */
#include <inttypes.h>

#include "sim/internal.h"

/* `value` of `m` may be up to `most`. */
static void bound(struct member *m, const char *what, uint64_t value, uint64_t most)
{
    if (value > most) {
        sim__fail(m->group->sim, "limits: %s of %s: %" PRIu64 ", at most %" PRIu64, what, m->name,
                  value, most);
    }
}

void sim__check_bounds(struct member *m, const struct oak_replica_status *status)
{
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    const struct oak_raft_status *raft = &status->raft;
    const struct plan *plan = &m->group->sim->plan;
    const struct plan_limits *limits = &plan->limits;
    const uint64_t entry = sim__entry_bytes_max(plan);
    bound(m, "requests that wait", status->pending, OAK_PENDING_REQUESTS_MAX);
    /* One entry is taken in any case, and one that changes the group. What a new leader finds of
     * the one before is part of the log, and may have been committed long ago: it knows that
     * once it has committed something itself. */
    if (oak_kv_state(oak_replica_kv(m->replica))->applied_term == raft->term) {
        bound(m, "bytes that are not committed", raft->uncommitted_bytes,
              OAK_MAX(limits->uncommitted_bytes, entry) + OAK_RAFT_CONFIG_BYTES_MAX);
    }
    /* What is kept for others, what is not committed, and what has come since the last look. */
    bound(m, "bytes of the log in memory", raft->log_bytes,
          limits->held_bytes + limits->uncommitted_bytes + limits->inflight_bytes + 16 * entry);
    bound(m, "applied entries of the log in memory",
          raft->applied >= raft->first ? raft->applied - raft->first : 0,
          limits->held_entries + plan->tail_entries);
    size_t count = oak_replica_peers(m->replica, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        bound(m, "bytes in flight to a peer", peers[i].inflight_bytes,
              limits->inflight_bytes + entry);
    }
}
