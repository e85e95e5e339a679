/* SPDX-License-Identifier: Apache-2.0 */
/* testkit_lease.c: clocks that are read beside the ticks, and reads by lease. See testkit.h. */
#include <string.h>

#include "raft/testkit.h"

enum oak_raft_lease_kind kit_lease(struct kit *kit, struct kit_node *n)
{
    const struct oak_raft_now now = {.mono_ms = n->now_ms, .wall_latest_ms = n->wall_latest_ms};
    struct oak_raft_lease lease;
    oak_raft_lease(n->r, &now, &lease);
    switch (lease.kind) {
    case OAK_RAFT_LEASE_NONE:
        kit_say(kit, "  %d has no lease", (int)n->id);
        break;
    case OAK_RAFT_LEASE_OWN:
        kit_say(kit, "  %d may read at %d by its lease", (int)n->id, (int)lease.index);
        n->leases_ok++;
        if (lease.index < kit->commit_max) {
            kit_fail(kit, "%d reads at %d by its lease, %d has committed", (int)n->id,
                     (int)lease.index, (int)kit->commit_max);
        }
        break;
    case OAK_RAFT_LEASE_INHERITED:
        kit_say(kit, "  %d may read at %d by the lease before it, limbo %d..%d", (int)n->id,
                (int)lease.index, (int)lease.limbo_first, (int)lease.limbo_last);
        n->leases_inherited++;
        if (lease.limbo_first > lease.index + 1 || lease.limbo_last < kit->commit_max) {
            kit_fail(kit, "%d reads at %d with limbo %d..%d, %d has committed", (int)n->id,
                     (int)lease.index, (int)lease.limbo_first, (int)lease.limbo_last,
                     (int)kit->commit_max);
        }
        break;
    }
    return lease.kind;
}

bool kit_grant(struct kit *kit, struct kit_node *n)
{
    const struct oak_raft_now now = {.mono_ms = n->now_ms, .wall_latest_ms = n->wall_latest_ms};
    bool granted = oak_raft_lease_grant(n->r, &now);
    kit_take(kit, n);
    return granted;
}

bool kit_clock_command(struct kit *kit, struct kit_node *n, const char *verb, uint64_t a,
                       uint64_t b)
{
    if (strcmp(verb, "clock") == 0) {
        n->now_ms += a;
    } else if (strcmp(verb, "wall") == 0) {
        oak_raft_wall(n->r, a);
        n->wall_latest_ms = b;
    } else if (strcmp(verb, "lease") == 0) {
        (void)kit_lease(kit, n);
    } else if (strcmp(verb, "grant") == 0) {
        if (!kit_grant(kit, n)) {
            kit_say(kit, "  %d grants nothing", (int)n->id);
        }
    } else {
        return false;
    }
    return true;
}
