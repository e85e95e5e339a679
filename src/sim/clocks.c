/* SPDX-License-Identifier: Apache-2.0 */
/* clocks.c: what each machine's clocks make of the world's time.
 *
 * A monotonic clock runs at a rate of its own, within the bound on drift that the members know. A
 * wall clock is off: within the error that the members are told, or, when they are told of none, by
 * anything, and it jumps. Half of the runs have leases for reads; the others have exact clocks.
 *
 * In some runs a wall clock goes forth and back many times a second, or stands still, and a
 * monotonic one changes its rate, all within what the members are told. (A monotonic clock that
 * stands still while its machine goes on is beyond any bound: with the machine it is a pause.)
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

static uint64_t rate_of(const struct sim_clock *c)
{
    return MILLION + c->ahead_ppm - c->behind_ppm;
}

uint64_t sim_clock_mono(const struct sim_clock *c, uint64_t now_ns)
{
    uint64_t since = OAK_MAX(c->since_ns, BEGAN_NS), shown = OAK_MAX(c->shown_ns, BEGAN_NS);
    OAK_ASSERT_GE(now_ns, since);
    return shown + (now_ns - since) * rate_of(c) / MILLION;
}

uint64_t sim_clock_when(const struct sim_clock *c, uint64_t mono_ns)
{
    uint64_t since = OAK_MAX(c->since_ns, BEGAN_NS), shown = OAK_MAX(c->shown_ns, BEGAN_NS);
    uint64_t passed = mono_ns - OAK_MIN(mono_ns, shown);
    if (passed > UINT64_MAX / 2 / MILLION) {
        return UINT64_MAX; /* beyond any run */
    }
    return since + (passed * MILLION + rate_of(c) - 1) / rate_of(c);
}

void sim_clock_rate(struct sim_clock *c, uint64_t now_ns, uint64_t ahead_ppm, uint64_t behind_ppm)
{
    c->shown_ns = sim_clock_mono(c, now_ns);
    c->since_ns = now_ns;
    c->ahead_ppm = ahead_ppm;
    c->behind_ppm = behind_ppm;
}

uint64_t sim_clock_wall(const struct sim_clock *c, uint64_t now_ns)
{
    uint64_t off = c->wall_off_ns;
    if (now_ns < c->frozen_until_ns) {
        return c->frozen_wall_ns;
    }
    if (now_ns < c->strobe_until_ns) {
        off = c->strobe_off_ns[now_ns / c->strobe_turn_ns % 2];
    } else if (c->wall_seed != 0) {
        struct oak_prng p;
        oak_prng_init(&p, c->wall_seed + now_ns / JUMP_NS);
        off = oak_prng_below(&p, 7200 * 1000 * SIM_MS);
    }
    return WALL_NS + now_ns + off;
}

/* A rate within the bound; mistakes are at the ends. */
static void rate_draw(struct sim *s, struct oak_prng *p, uint64_t *ahead_ppm, uint64_t *behind_ppm)
{
    uint64_t drift = s->leases.drift_ppm;
    uint64_t end = oak_prng_below(p, 3);
    uint64_t some = oak_prng_below(p, drift + 1);
    *ahead_ppm = end == 0 ? drift : end == 1 ? 0 : some;
    *behind_ppm = end == 1 ? drift : 0;
}

static void leases_draw(struct sim *s)
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
        rate_draw(s, &p, &c->ahead_ppm, &c->behind_ppm);
        c->wall_off_ns = oak_prng_below(&p, 2 * (uint64_t)l->clock_error_ms * SIM_MS + 1);
        c->wall_seed = l->clock_error_ms == 0 ? oak_prng_u64(&p) | 1 : 0;
    }
    l->wishes = oak_prng_chance(&p, 1, 4);
    for (int i = 0; i < s->world.node_count && l->wishes; i++) {
        bool off = oak_prng_chance(&p, 1, 4);
        l->wish_ms[i] = off ? 0 : (uint32_t)oak_prng_between(&p, 300, 2ull * l->lease_ms);
    }
}

/* Clocks that misbehave for a while, in one run of eight, by dice of their own. Rates change only
 * where members know of a bound that leaves room for it. */
static void kinds_draw(struct sim *s)
{
    struct oak_prng p;
    struct plan *plan = &s->plan;
    static const enum oak_sim_fault kinds[] = {OAK_SIM_STROBE, OAK_SIM_FREEZE, OAK_SIM_SWAY};
    oak_prng_init(&p, s->options->seed ^ 0x7374726f6265ull);
    bool may = plan->ambush == AMBUSH_NONE && oak_prng_chance(&p, 1, 8);
    for (size_t i = 0; may && i < OAK_COUNT_OF(kinds); i++) {
        uint64_t mean_ms = oak_prng_between(&p, 1000, 8000);
        bool has = oak_prng_chance(&p, 2, 3);
        plan->has[kinds[i]] = has && (kinds[i] != OAK_SIM_SWAY || s->leases.drift_ppm != 0);
        plan->mean_ms[kinds[i]] = plan->has[kinds[i]] ? mean_ms : 0;
    }
}

void sim__clocks_draw(struct sim *s)
{
    leases_draw(s);
    kinds_draw(s);
}

/* -- for a while ------------------------------------------------------------------------------- */

/* A clock whose error members are told of goes from one end of it to the other. */
void sim__fault_strobe(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    uint64_t now = s->world.now_ns;
    uint64_t ms = oak_prng_between(p, 100, 5000);
    uint64_t turn_us = 500ull << oak_prng_below(p, 8);
    uint64_t apart_ms = oak_prng_between(p, 1, 10 * 60 * 1000);
    if (n == NULL) {
        return;
    }
    struct sim_clock *c = &s->world.machines[n->index].clock;
    uint64_t error_ms = s->leases.clock_error_ms;
    c->strobe_off_ns[0] = error_ms != 0 ? 0 : c->wall_off_ns;
    c->strobe_off_ns[1] = c->strobe_off_ns[0] + (error_ms != 0 ? 2 * error_ms : apart_ms) * SIM_MS;
    c->strobe_turn_ns = turn_us * 1000;
    c->strobe_until_ns = now + ms * SIM_MS;
    sim__fault_tell(
        s, f->kind, f->id, "n%d's wall clock goes %llu ms forth and back each %llu us, for %llu ms",
        n->index + 1, (unsigned long long)((c->strobe_off_ns[1] - c->strobe_off_ns[0]) / SIM_MS),
        (unsigned long long)turn_us, (unsigned long long)ms);
}

/* One whose error members are told of shows the latest time that it may, until that is the earliest
 * that it may. */
void sim__fault_freeze(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    uint64_t now = s->world.now_ns;
    uint64_t ms = oak_prng_between(p, 500, 10000);
    if (n == NULL) {
        return;
    }
    struct sim_clock *c = &s->world.machines[n->index].clock;
    uint64_t span_ms = 2 * (uint64_t)s->leases.clock_error_ms;
    c->frozen_wall_ns = span_ms != 0 ? WALL_NS + now + span_ms * SIM_MS : sim_clock_wall(c, now);
    ms = span_ms != 0 ? span_ms : ms;
    c->frozen_until_ns = now + ms * SIM_MS;
    sim__fault_tell(s, f->kind, f->id, "n%d's wall clock stands still for %llu ms", n->index + 1,
                    (unsigned long long)ms);
}

void sim__fault_sway(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    uint64_t ahead_ppm, behind_ppm;
    rate_draw(s, p, &ahead_ppm, &behind_ppm);
    if (n != NULL) {
        sim_clock_rate(&s->world.machines[n->index].clock, s->world.now_ns, ahead_ppm, behind_ppm);
        sim__fault_tell(s, f->kind, f->id, "n%d's clock runs %llu ppm %s from now on", n->index + 1,
                        (unsigned long long)OAK_MAX(ahead_ppm, behind_ppm),
                        behind_ppm != 0 ? "slower" : "faster");
    }
}

void sim__clocks_heal(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        struct sim_clock *c = &s->world.machines[i].clock;
        c->strobe_until_ns = c->frozen_until_ns = 0;
    }
}

/* -- a trap for leases ------------------------------------------------------------------------- */

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
