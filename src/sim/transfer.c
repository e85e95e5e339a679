/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c: snapshots on their way: small chunks, so that a transfer has many; connections that
 * break, receivers and senders that crash or sleep in it, bytes that flip on the wire.
 *
 * It draws from a generator of its own. What is received whole must be what was sent: no disk here
 * damages what it has synced, and the wire's damage is found frame by frame, so a file that turns
 * out to be damaged was put together wrongly.
 */
#include "sim/internal.h"

void sim__transfer_plan(struct sim *s)
{
    struct transfer_plan *plan = &s->plan.transfer;
    struct oak_prng *p = &s->transfer_prng;
    oak_prng_init(p, s->options->seed ^ 0x736e6170ull);
    *plan = (struct transfer_plan){
        .chunk_bytes = 64ull << oak_prng_below(p, 9),
        .window_chunks = oak_prng_between(p, 1, 8),
        .sync_chunks = oak_prng_between(p, 1, 8),
        .rate = oak_prng_chance(p, 1, 3) ? oak_prng_between(p, 20000, 500000) : 0,
        .trouble = oak_prng_chance(p, 2, 3) ? (unsigned)oak_prng_between(p, 20, 90) : 0,
        .damage = oak_prng_chance(p, 1, 3) ? (unsigned)oak_prng_between(p, 1, 30) : 0,
    };
    /* A majority that needs a snapshot to be one takes as long as that takes; and bursts and large
     * values make large ones, which would not be there in time (seed 91000226). */
    if (s->plan.core || s->plan.has[OAK_SIM_BURST] || s->plan.value_bytes_max > 0) {
        plan->rate = 0;
        plan->chunk_bytes = OAK_MAX(plan->chunk_bytes, 4096u);
    }
    struct oak_prng dice;
    uint32_t id;
    s->plan.has[OAK_SIM_TRANSFER] = plan->trouble > 0;
    s->plan.has[OAK_SIM_FLIP] = plan->damage > 0;
    if (!sim__reaction(s, OAK_SIM_FLIP, 1, 1, &dice, &id)) {
        plan->damage = 0;
    } else {
        sim__fault_tell(s, OAK_SIM_FLIP, id, "in %u of 1000 frames a bit turns", plan->damage);
    }
}

void sim__transfer_options(const struct sim *s, struct oak_replica_options *o)
{
    const struct transfer_plan *plan = &s->plan.transfer;
    o->snapshot_chunk_bytes = plan->chunk_bytes;
    o->snapshot_window_bytes = plan->chunk_bytes * plan->window_chunks;
    o->snapshot_sync_bytes = plan->chunk_bytes * plan->sync_chunks;
    o->snapshot_send_rate = plan->rate;
}

void sim__transfer_send(struct member *m, int to, struct oak_bytes frame)
{
    struct sim *s = m->group->sim;
    int from = m->node->index, group = m->group->index;
    struct oak_prng *p = &s->transfer_prng;
    if (s->settling || s->plan.transfer.damage == 0 ||
        !oak_prng_chance(p, s->plan.transfer.damage, 1000)) {
        world_send(&s->world, from, to, group, frame);
        return;
    }
    struct oak_buf damaged = {0};
    int error = oak_buf_append(&damaged, frame.data, frame.size);
    OAK_ASSERT_EQ(error, 0);
    damaged.data[oak_prng_below(p, frame.size)] ^= (uint8_t)(1u << oak_prng_below(p, 8));
    s->report->frames_damaged++;
    world_send(&s->world, from, to, group, oak_buf_bytes(&damaged));
    oak_buf_fini(&damaged);
}

/* The receiver is still at it: something happens to it, to who leads, or between them. */
static void trouble_make(struct member *m, int leader, uint32_t id, struct oak_prng *p)
{
    struct sim *s = m->group->sim;
    struct world *w = &s->world;
    struct node *n = m->node;
    const enum oak_sim_fault kind = OAK_SIM_TRANSFER;
    switch (oak_prng_below(p, 6)) {
    case 0:
        sim__fault_tell(s, kind, id, "n%d dies while it receives a snapshot", n->index + 1);
        sim__node_crash(n);
        break;
    case 1:
        sim__fault_tell(s, kind, id, "n%d will die in a call of its disk", n->index + 1);
        sim_disk_die_after(w->machines[n->index].disk, 1 + oak_prng_below(p, 12));
        break;
    case 2:
        sim__fault_tell(s, kind, id, "n%d sleeps while it receives a snapshot", n->index + 1);
        w->machines[n->index].paused_until_ns = w->now_ns + oak_prng_below(p, 8000) * SIM_MS;
        break;
    case 3:
        if (leader >= 0 && s->nodes[leader].up) {
            sim__fault_tell(s, kind, id, "n%d dies while it sends a snapshot", leader + 1);
            sim__node_crash(&s->nodes[leader]);
        }
        break;
    default:
        sim__fault_tell(s, kind, id, "n%d loses its connections while it receives a snapshot",
                        n->index + 1);
        for (int i = 0; i < w->node_count; i++) {
            if (i != n->index) {
                sim__link_reset(s, n->index, i);
            }
        }
        break;
    }
}

struct trouble {
    struct member *member;
    struct oak_prng dice;
    uint32_t id;
};

static void trouble_event(struct world *w, struct event *e)
{
    struct trouble t;
    struct oak_replica_status status;
    (void)w;
    OAK_ASSERT_EQ(e->bytes.size, sizeof(t));
    memcpy(&t, e->bytes.data, sizeof(t));
    if (t.member->group->sim->settling || t.member->replica == NULL) {
        return;
    }
    oak_replica_status(t.member->replica, &status);
    if (status.receiving) {
        trouble_make(t.member, sim__place_of(status.raft.leader), t.id, &t.dice);
    }
}

static void trouble_plan(struct member *m)
{
    struct sim *s = m->group->sim;
    struct trouble t = {.member = m};
    if (!sim__reaction(s, OAK_SIM_TRANSFER, s->plan.transfer.trouble, 100, &t.dice, &t.id)) {
        return;
    }
    uint64_t wait = oak_prng_below(&t.dice, oak_prng_chance(&t.dice, 1, 2) ? 50 : 1000) * SIM_MS;
    world_at(&s->world, s->world.now_ns + wait, -1, trouble_event, NULL, oak_bytes(&t, sizeof(t)),
             0);
}

void sim__transfer_look(struct member *m, const struct oak_replica_status *status)
{
    struct sim *s = m->group->sim;
    struct transfer_seen *seen = &m->transfer;
    if (status->receiving && !seen->receiving) {
        trouble_plan(m);
    }
    if (status->snapshots_resumed > seen->resumed) {
        sim__tell(s, "-- n%d goes on with a snapshot that it had begun in an earlier life",
                  m->node->index + 1);
        trouble_plan(m);
    }
    if (status->snapshots_damaged > 0 && !m->node->rotten) {
        sim__fail(s, "%s has received a snapshot that is not what was sent", m->name);
    }
    s->report->snapshots_resumed += status->snapshots_resumed - seen->resumed;
    s->report->snapshots_rewound += status->snapshot_rewinds - seen->rewound;
    *seen = (struct transfer_seen){.receiving = status->receiving,
                                   .resumed = status->snapshots_resumed,
                                   .rewound = status->snapshot_rewinds};
}
