/* SPDX-License-Identifier: Apache-2.0 */
/* clocks.c: what each machine's clocks make of the world's time.
 *
 * A monotonic clock runs at a rate of its own, within the bound on drift that the members know. A
 * wall clock is off: within the error that the members are told, or, when they are told of none, by
 * anything, and it jumps. Half of the runs have leases for reads; the others have exact clocks.
 *
 * A trap for long leases: the leader sleeps for about as long as its lease, and the others are
 * started anew at that moment, or one of them was told to lead. When the leader wakes, reads wait
 * for it. In some runs with leases each member wishes for another one.
 *
 * What is drawn here has dice of its own, so that a run without leases is what it was.
 */
#include "sim/internal.h"

#define BEGAN_NS (1000 * SIM_MS) /* of every world */
#define MILLION  1000000ull
#define WALL_NS  (1700000000ull * 1000 * SIM_MS)
/* A wall clock that nobody answers for jumps as often. */
#define JUMP_NS (7000 * SIM_MS)

uint64_t sim_clock_mono(const struct sim_clock *c, uint64_t now_ns)
{
    OAK_ASSERT_GE(now_ns, BEGAN_NS);
    return BEGAN_NS + (now_ns - BEGAN_NS) * (MILLION + c->ahead_ppm - c->behind_ppm) / MILLION;
}

uint64_t sim_clock_when(const struct sim_clock *c, uint64_t mono_ns)
{
    uint64_t rate = MILLION + c->ahead_ppm - c->behind_ppm;
    uint64_t passed = mono_ns - OAK_MIN(mono_ns, BEGAN_NS);
    if (passed > UINT64_MAX / 2 / MILLION) {
        return UINT64_MAX; /* beyond any run */
    }
    return BEGAN_NS + (passed * MILLION + rate - 1) / rate;
}

uint64_t sim_clock_wall(const struct sim_clock *c, uint64_t now_ns)
{
    uint64_t off = c->wall_off_ns;
    if (c->wall_seed != 0) {
        struct oak_prng p;
        oak_prng_init(&p, c->wall_seed + now_ns / JUMP_NS);
        off = oak_prng_below(&p, 7200 * 1000 * SIM_MS);
    }
    return WALL_NS + now_ns + off;
}

void sim__clocks_draw(struct sim *s)
{
    struct oak_prng p;
    oak_prng_init(&p, s->options->seed ^ 0x636c6f636b73ull);
    struct sim_leases *l = &s->leases;
    *l = (struct sim_leases){0};
    s->plan.has[OAK_SIM_DRIFT] = oak_prng_chance(&p, 1, 2);
    struct oak_prng dice;
    uint32_t id = 0;
    if (!s->plan.has[OAK_SIM_DRIFT]) {
        return;
    }
    static const uint32_t drifts[] = {0, 1000, 200000, 300000};
    l->drift_ppm = drifts[oak_prng_below(&p, OAK_COUNT_OF(drifts))];
    /* Around an election time-out a deposed leader and a new one meet most often; a long one
     * outlives pauses and restarts. */
    static const uint32_t longest[] = {1600, 8000, 4000};
    static const uint32_t least[] = {900, 3000, 300};
    size_t shape = oak_prng_below(&p, 3);
    l->lease_ms = (uint32_t)oak_prng_between(&p, least[shape], longest[shape]);
    l->clock_error_ms = oak_prng_chance(&p, 1, 2) ? (uint32_t)oak_prng_between(&p, 1, 100) : 0;
    if (!sim__reaction(s, OAK_SIM_DRIFT, 1, 1, &dice, &id)) {
        return; /* exact clocks */
    }
    sim__fault_tell(s, OAK_SIM_DRIFT, id, "clocks drift by up to %u ppm; wall clocks are off by %s",
                    l->drift_ppm, l->clock_error_ms != 0 ? "what is known" : "anything");
    for (int i = 0; i < s->world.node_count; i++) {
        struct sim_clock *c = &s->world.machines[i].clock;
        uint64_t end = oak_prng_below(&p, 3); /* mistakes are at the ends */
        uint64_t some = oak_prng_below(&p, (uint64_t)l->drift_ppm + 1);
        c->ahead_ppm = end == 0 ? l->drift_ppm : end == 1 ? 0 : some;
        c->behind_ppm = end == 1 ? l->drift_ppm : 0;
        c->wall_off_ns = oak_prng_below(&p, 2 * (uint64_t)l->clock_error_ms * SIM_MS + 1);
        c->wall_seed = l->clock_error_ms == 0 ? oak_prng_u64(&p) | 1 : 0;
    }
    l->wishes = oak_prng_chance(&p, 1, 4);
    for (int i = 0; i < s->world.node_count && l->wishes; i++) {
        bool off = oak_prng_chance(&p, 1, 4);
        l->wish_ms[i] = off ? 0 : (uint32_t)oak_prng_between(&p, 300, 2ull * l->lease_ms);
    }
}

static struct node *leader_find(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        struct node *n = &s->nodes[i];
        if (n->up) {
            oak_replica_status(sim__first(s, i)->replica, &status);
            if (status.raft.role == OAK_RAFT_LEADER) {
                return n;
            }
        }
    }
    return NULL;
}

/* Has it told another to lead, as far as anybody sees? */
static bool word_is_out(const struct oak_replica *r, const struct oak_raft_status *raft)
{
    struct oak_raft_peer_status rows[OAK_RAFT_MEMBERS_MAX];
    size_t count = oak_replica_peers(r, rows, OAK_COUNT_OF(rows));
    for (size_t i = 0; raft->transfer != 0 && i < count; i++) {
        if (rows[i].id == raft->transfer) {
            return rows[i].match == raft->last;
        }
    }
    return false;
}

static void cut_set(struct world *w, int node, bool cut)
{
    for (int i = 0; i < w->node_count; i++) {
        w->cut[node][i] = w->cut[i][node] = cut && i != node;
    }
}

static void heal_event(struct world *w, struct event *e)
{
    const struct node *n = e->arg;
    if (!n->sim->settling) { /* else others have said who hears whom */
        cut_set(w, n->index, false);
    }
}

/* Before it hears what comes of it, and cut off: when it wakes, nothing but reads, and its timers,
 * tell it of the time that has passed. What it has sent is on its way. */
static void handover_event(struct world *w, struct event *e)
{
    struct node *n = e->arg;
    const struct sim_leases *l = &n->sim->leases;
    struct oak_replica_status status;
    if (n->sim->settling || !n->up) {
        return;
    }
    const struct oak_replica *r = sim__first(n->sim, n->index)->replica;
    oak_replica_status(r, &status);
    if (status.raft.role != OAK_RAFT_LEADER) {
        return;
    }
    if (word_is_out(r, &status.raft)) {
        w->machines[n->index].paused_until_ns = w->now_ns + l->nap_ns;
        cut_set(w, n->index, true);
        world_at(w, w->now_ns + l->nap_ns + 100 * SIM_MS, -1, heal_event, n, oak_bytes(NULL, 0), 0);
    } else if (w->now_ns < l->handover_until_ns) {
        world_at(w, w->now_ns + SIM_MS / 10, -1, handover_event, n, oak_bytes(NULL, 0), 0);
    }
}

static void trap_later(struct sim *s);

static void trap_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct node *leader = leader_find(s);
    struct oak_prng p;
    uint32_t id;
    if (s->settling) {
        return;
    }
    if (leader != NULL && sim__reaction(s, OAK_SIM_NAP, 1, 1, &p, &id)) {
        uint64_t lease_ns = s->leases.lease_ms * SIM_MS;
        s->leases.nap_ns = lease_ns / 2 + oak_prng_below(&p, lease_ns / 2);
        bool hands_over = oak_prng_chance(&p, 1, 2);
        sim__fault_tell(s, OAK_SIM_NAP, id, "n%d sleeps for %llu ms, %s", leader->index + 1,
                        (unsigned long long)(s->leases.nap_ns / SIM_MS),
                        hands_over ? "once it has told another to lead"
                                   : "the others are started anew");
        if (hands_over) {
            (void)!oak_replica_transfer(sim__first(s, leader->index)->replica, 0);
            s->leases.handover_until_ns = w->now_ns + 500 * SIM_MS;
            world_at(w, w->now_ns, -1, handover_event, leader, oak_bytes(NULL, 0), 0);
            trap_later(s);
            return;
        }
        w->machines[leader->index].paused_until_ns = w->now_ns + s->leases.nap_ns;
        for (int i = 0; i < w->node_count; i++) {
            if (&s->nodes[i] != leader) {
                sim__node_crash(&s->nodes[i]);
                sim__node_restart(&s->nodes[i], 20);
            }
        }
    }
    trap_later(s);
}

static void trap_later(struct sim *s)
{
    struct world *w = &s->world;
    uint64_t wait = oak_prng_between(&w->prng, 4000, 16000) * SIM_MS;
    world_at(w, w->now_ns + wait, -1, trap_event, s, oak_bytes(NULL, 0), 0);
}

void sim__clocks_start(struct sim *s)
{
    if (s->leases.lease_ms >= 3000 && s->world.node_count >= 3) {
        s->plan.has[OAK_SIM_NAP] = true;
        trap_later(s);
    }
}
