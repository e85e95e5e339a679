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
}

void sim__transfer_options(const struct sim *s, struct oak_replica_options *o)
{
    const struct transfer_plan *plan = &s->plan.transfer;
    o->snapshot_chunk_bytes = plan->chunk_bytes;
    o->snapshot_window_bytes = plan->chunk_bytes * plan->window_chunks;
    o->snapshot_sync_bytes = plan->chunk_bytes * plan->sync_chunks;
    o->snapshot_send_rate = plan->rate;
}

void sim__transfer_send(struct node *n, int to, struct oak_bytes frame)
{
    struct sim *s = n->sim;
    struct oak_prng *p = &s->transfer_prng;
    if (s->settling || s->plan.transfer.damage == 0 ||
        !oak_prng_chance(p, s->plan.transfer.damage, 1000)) {
        world_send(&s->world, n->index, to, frame);
        return;
    }
    struct oak_buf damaged = {0};
    int error = oak_buf_append(&damaged, frame.data, frame.size);
    OAK_ASSERT_EQ(error, 0);
    damaged.data[oak_prng_below(p, frame.size)] ^= (uint8_t)(1u << oak_prng_below(p, 8));
    s->report->frames_damaged++;
    world_send(&s->world, n->index, to, oak_buf_bytes(&damaged));
    oak_buf_fini(&damaged);
}

static void connection_break(struct sim *s, int a, int b)
{
    world_lose(&s->world, a, b);
    world_lose(&s->world, b, a);
    if (s->nodes[a].replica != NULL) {
        oak_replica_lost(s->nodes[a].replica, s->nodes[b].id);
    }
    if (s->nodes[b].replica != NULL) {
        oak_replica_lost(s->nodes[b].replica, s->nodes[a].id);
    }
}

/* The receiver is still at it: something happens to it, to who leads, or between them. */
static void trouble_event(struct world *w, struct event *e)
{
    struct node *n = e->arg;
    struct sim *s = n->sim;
    struct oak_prng *p = &s->transfer_prng;
    struct oak_replica_status status;
    if (s->settling || n->replica == NULL) {
        return;
    }
    oak_replica_status(n->replica, &status);
    int leader = (int)status.raft.leader - 1;
    if (!status.receiving) {
        return;
    }
    switch (oak_prng_below(p, 6)) {
    case 0:
        sim__trace(s, "-- n%d dies while it receives a snapshot", n->index + 1);
        sim__node_crash(n);
        break;
    case 1:
        sim_disk_die_after(w->machines[n->index].disk, 1 + oak_prng_below(p, 12));
        break;
    case 2:
        w->machines[n->index].paused_until_ns = w->now_ns + oak_prng_below(p, 8000) * SIM_MS;
        break;
    case 3:
        if (leader >= 0 && s->nodes[leader].replica != NULL) {
            sim__trace(s, "-- n%d dies while it sends a snapshot", leader + 1);
            sim__node_crash(&s->nodes[leader]);
        }
        break;
    default:
        sim__trace(s, "-- n%d loses its connections while it receives a snapshot", n->index + 1);
        for (int i = 0; i < w->node_count; i++) {
            if (i != n->index) {
                connection_break(s, n->index, i);
            }
        }
        break;
    }
}

static void trouble_plan(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_prng *p = &s->transfer_prng;
    if (s->settling || !oak_prng_chance(p, s->plan.transfer.trouble, 100)) {
        return;
    }
    uint64_t wait = oak_prng_below(p, oak_prng_chance(p, 1, 2) ? 50 : 1000) * SIM_MS;
    world_at(&s->world, s->world.now_ns + wait, -1, trouble_event, n, oak_bytes(NULL, 0), 0);
}

void sim__transfer_look(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_replica_status status;
    struct transfer_seen *seen = &n->transfer;
    oak_replica_status(n->replica, &status);
    if (status.receiving && !seen->receiving) {
        trouble_plan(n);
    }
    if (status.snapshots_resumed > seen->resumed) {
        sim__trace(s, "-- n%d goes on with a snapshot that it had begun in an earlier life",
                   n->index + 1);
        trouble_plan(n);
    }
    if (status.snapshots_damaged > 0) {
        sim__fail(s, "node %d has received a snapshot that is not what was sent", n->index + 1);
    }
    s->report->snapshots_resumed += status.snapshots_resumed - seen->resumed;
    s->report->snapshots_rewound += status.snapshot_rewinds - seen->rewound;
    *seen = (struct transfer_seen){.receiving = status.receiving,
                                   .resumed = status.snapshots_resumed,
                                   .rewound = status.snapshot_rewinds};
}
