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

/* -- clocks ------------------------------------------------------------------------------------ */

bool kit_clocks_asleep(const struct kit_clocks *c, size_t at)
{
    return c->asleep_us[at] > c->true_us;
}

void kit_clocks_read(const struct kit_clocks *c, const struct kit *kit, struct kit_node *n)
{
    size_t at = (size_t)(n - kit->nodes);
    if (!c->on) {
        return;
    }
    n->now_ms = c->true_us / 1000 * c->rate_ppm[at] / 1000000;
    if (c->wall_error_ms > 0 && n->r != NULL) {
        uint64_t wall_ms = c->true_us / 1000 + 100000 + c->wall_off_ms[at] - c->wall_error_ms;
        oak_raft_wall(n->r, wall_ms - c->wall_error_ms);
        n->wall_latest_ms = wall_ms + c->wall_error_ms + 1;
    }
}

void kit_clocks_draw(struct kit_clocks *c, struct kit *kit, struct oak_prng *p)
{
    static const uint32_t drifts[] = {0, 1000, 100000, 300000};
    *c = (struct kit_clocks){.on = true, .true_us = 1000000};
    uint32_t drift = drifts[oak_prng_below(p, 4)];
    kit->config.drift_ppm = drift;
    c->wall_error_ms = oak_prng_chance(p, 1, 2) ? oak_prng_between(p, 1, 60) : 0;
    uint64_t longest = c->wall_error_ms > 0 ? 2000 : oak_prng_chance(p, 1, 2) ? 150 : 1000;
    kit->config.lease_ms = (uint32_t)oak_prng_between(p, 50, longest);
    for (size_t i = 0; i < KIT_NODES; i++) {
        /* The extremes are where mistakes are. */
        uint64_t shape = oak_prng_below(p, 3);
        uint64_t part = oak_prng_below(p, 2 * (uint64_t)drift + 1);
        c->rate_ppm[i] = 1000000 - drift + (shape == 0 ? 0 : shape == 1 ? 2 * drift : part);
        c->wall_off_ms[i] = oak_prng_below(p, 2 * c->wall_error_ms + 1);
    }
}
