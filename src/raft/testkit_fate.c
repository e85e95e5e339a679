/* SPDX-License-Identifier: Apache-2.0 */
/* testkit_fate.c: what chance does to a kit: disks lose what they had. See
 * testkit.h. */
#include "raft/testkit.h"

static bool often(struct oak_prng *p, uint64_t parts)
{
    return oak_prng_below(p, 1000) < parts;
}

/* A node that is down loses part of its log. A majority that knows its log is left, or nobody could
 * ever lead. */
bool kit_damage_some(struct kit *kit, struct kit_node *n, struct oak_prng *p)
{
    size_t doubtful = 1;
    for (size_t i = 0; i < kit->node_count; i++) {
        doubtful += kit->nodes[i].disk.in_doubt && &kit->nodes[i] != n;
    }
    if (doubtful <= (kit->config.voter_count - 1) / 2) {
        uint64_t last = kit_disk_last(&n->disk);
        uint64_t floor = often(p, 700) ? n->disk.snapshot.index : 0;
        kit_damage(kit, n, floor + oak_prng_below(p, last - floor + 1));
        return true;
    }
    return false;
}
