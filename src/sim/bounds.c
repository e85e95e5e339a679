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
    const uint64_t entry = OAK_ENTRY_BYTES_MAX;
    bound(m, "requests that wait", status->pending, OAK_PENDING_REQUESTS_MAX);
    bound(m, "bytes that are not committed", raft->uncommitted_bytes,
          OAK_UNCOMMITTED_BYTES_MAX + entry);
    /* What is kept for others, what is not committed, and what has come since the last look. */
    bound(m, "bytes of the log in memory", raft->log_bytes,
          OAK_LOG_HELD_BYTES_MAX + OAK_UNCOMMITTED_BYTES_MAX + OAK_INFLIGHT_BYTES_MAX);
    bound(m, "applied entries of the log in memory",
          raft->applied >= raft->first ? raft->applied - raft->first : 0,
          OAK_LOG_HELD_ENTRIES_MAX + m->group->sim->plan.tail_entries);
    size_t count = oak_replica_peers(m->replica, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        bound(m, "bytes in flight to a peer", peers[i].inflight_bytes,
              OAK_INFLIGHT_BYTES_MAX + entry);
    }
}
