/* SPDX-License-Identifier: Apache-2.0 */
/* fault_net.c: what a network does to frames.
 *
 * A cut loses what is sent while it lasts. Connections may break with it, so that both ends hear of
 * it, or not: then frames are lost in silence. A clogged link loses nothing.
 */
#include "sim/internal.h"

static void cuts_clear(struct world *w)
{
    for (int a = 0; a < w->node_count; a++) {
        for (int b = 0; b < w->node_count; b++) {
            w->cut[a][b] = false;
        }
    }
}

void sim__network_heal(struct sim *s)
{
    struct world *w = &s->world;
    cuts_clear(w);
    memset(w->clogged_until_ns, 0, sizeof(w->clogged_until_ns));
    w->loss = 0;
    w->repeat = 0;
    w->delay_min_ns = SIM_MS / 5;
    w->delay_spread_ns = SIM_MS;
}

static void lost_tell(struct sim *s, int at, int peer)
{
    struct node *n = &s->nodes[at];
    for (int g = 0; n->up && !n->fatal && g < s->plan.groups; g++) {
        oak_replica_lost(n->members[g].replica, (uint64_t)peer + 1);
    }
}

void sim__link_reset(struct sim *s, int a, int b)
{
    world_lose(&s->world, a, b);
    world_lose(&s->world, b, a);
    lost_tell(s, a, b);
    lost_tell(s, b, a);
}

/* -- partitions -------------------------------------------------------------------------------- */

enum shape {
    SHAPE_HALVES,   /* two sides, drawn node by node */
    SHAPE_MAJORITY, /* a bare majority and the rest */
    SHAPE_ONE,      /* one node against all */
    SHAPE_BRIDGE,   /* two sides, and one node that reaches both */
    SHAPE_DEAF,     /* one node hears nothing */
    SHAPE_MUTE,     /* nobody hears one node */
    SHAPE_ONE_WAY,  /* one side hears the other, not the other way round */
    SHAPE_SOME,     /* single directions */
    SHAPE_RING,     /* each node reaches a majority, no two the same one */
    SHAPE_CHAIN,    /* each node reaches its two neighbours */
    SHAPE_STAR,     /* all reach one node, and nobody else */
    SHAPE_LEADER,   /* the leader reaches one node alone, which reaches all */
    SHAPE_ROTATING, /* one node against all, the next one each second */
    SHAPE_COUNT,
};

static const char *const shape_names[SHAPE_COUNT] = {
    "two sides",
    "a bare majority and the rest",
    "one alone",
    "two sides and a bridge",
    "one hears nothing",
    "nobody hears one",
    "one side does not hear the other",
    "single directions are cut",
    "a ring of majorities",
    "a chain",
    "all reach one only",
    "the leader reaches a bridge only",
    "one alone, the next each second",
};

/* The order of the nodes for rings, chains and sides. */
static void order_draw(int *place, int count, struct oak_prng *p)
{
    for (int i = 0; i < count; i++) {
        place[i] = i;
    }
    for (int i = count - 1; i > 0; i--) {
        int other = (int)oak_prng_below(p, (uint64_t)i + 1);
        int kept = place[i];
        place[i] = place[other];
        place[other] = kept;
    }
}

/* Who leads in the highest term, as it says itself; else node 0. */
static int leader_any(struct sim *s)
{
    int leader = 0;
    uint64_t term = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        if (!s->nodes[i].up) {
            continue;
        }
        oak_replica_status(sim__first(s, i)->replica, &status);
        if (status.raft.role == OAK_RAFT_LEADER && status.raft.term > term) {
            leader = i;
            term = status.raft.term;
        }
    }
    return leader;
}

struct cut {
    enum shape shape;
    int count;
    int odd;
    int bridge;
    uint64_t side;
    int place[SIM_NODES_MAX];
};

static bool is_cut(const struct cut *c, int a, int b, struct oak_prng *p)
{
    int x = c->place[a], y = c->place[b];
    int apart = x > y ? x - y : y - x;
    bool sides = (c->side >> a & 1) != (c->side >> b & 1);
    bool one = (a == c->odd) != (b == c->odd);
    switch (c->shape) {
    case SHAPE_HALVES:
        return sides;
    case SHAPE_MAJORITY:
        return (x <= c->count / 2) != (y <= c->count / 2);
    case SHAPE_ONE:
    case SHAPE_ROTATING:
        return one;
    case SHAPE_BRIDGE:
        return sides && a != c->odd && b != c->odd;
    case SHAPE_DEAF:
        return b == c->odd;
    case SHAPE_MUTE:
        return a == c->odd;
    case SHAPE_ONE_WAY:
        return (c->side >> a & 1) != 0 && (c->side >> b & 1) == 0;
    case SHAPE_SOME:
        return oak_prng_chance(p, 1, 3);
    case SHAPE_RING:
        return OAK_MIN(apart, c->count - apart) > (c->count + 2) / 4;
    case SHAPE_CHAIN:
        return apart > 1;
    case SHAPE_STAR:
        return a != c->odd && b != c->odd;
    case SHAPE_LEADER:
        return one && a != c->bridge && b != c->bridge;
    case SHAPE_COUNT:
        break;
    }
    OAK_UNREACHABLE("shape");
}

static void cut_make(struct sim *s, const struct cut *c, bool resets, struct oak_prng *p)
{
    struct world *w = &s->world;
    for (int a = 0; a < w->node_count; a++) {
        for (int b = 0; b < w->node_count; b++) {
            w->cut[a][b] = a != b && is_cut(c, a, b, p);
        }
    }
    for (int a = 0; a < w->node_count && resets; a++) {
        for (int b = a + 1; b < w->node_count; b++) {
            if (w->cut[a][b] || w->cut[b][a]) {
                sim__link_reset(s, a, b);
            }
        }
    }
}

static void partition_end(const struct fault_end *end)
{
    cuts_clear(&end->sim->world);
    sim__tell(end->sim, "-- the network is whole");
}

/* The next one is alone. */
static void rotate_event(struct world *w, struct event *e)
{
    struct sim *s = w->user;
    struct cut c = {.shape = SHAPE_ROTATING, .count = w->node_count};
    struct oak_prng p = {{0}};
    if (s->settling || s->in_force[OAK_SIM_PARTITION] != (uint32_t)(uintptr_t)e->arg) {
        return;
    }
    c.odd = e->from;
    cut_make(s, &c, false, &p);
    world_at(w, w->now_ns + 1000 * SIM_MS, -1, rotate_event, e->arg, oak_bytes(NULL, 0),
             (e->from + 1) % w->node_count);
}

void sim__fault_partition(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct world *w = &s->world;
    struct cut c = {
        .shape = (enum shape)oak_prng_below(p, SHAPE_COUNT),
        .count = w->node_count,
        .odd = (int)oak_prng_below(p, (uint64_t)w->node_count),
        .side = oak_prng_u64(p),
    };
    bool resets = oak_prng_chance(p, 1, 2);
    /* Most are short beside the time between two; some outlast it. */
    uint64_t ms = oak_prng_between(p, 100, s->plan.mean_ms[f->kind] * 2);
    order_draw(c.place, c.count, p);
    c.odd = c.shape == SHAPE_LEADER ? leader_any(s) : c.odd;
    c.bridge = (c.odd + 1 + (int)oak_prng_below(p, (uint64_t)OAK_MAX(1, c.count - 1))) % c.count;
    if (w->node_count == 1) {
        return;
    }
    cut_make(s, &c, resets, p);
    sim__fault_tell(s, f->kind, f->id, "%s (n%d)%s, for %llu ms", shape_names[c.shape], c.odd + 1,
                    resets ? ", connections break" : "", (unsigned long long)ms);
    const struct fault_end end = {.run = partition_end, .sim = s, .id = f->id, .kind = f->kind};
    sim__fault_lasts(&end, ms * SIM_MS);
    if (c.shape == SHAPE_ROTATING) {
        world_at(w, w->now_ns + 1000 * SIM_MS, -1, rotate_event, (void *)(uintptr_t)f->id,
                 oak_bytes(NULL, 0), (c.odd + 1) % w->node_count);
    }
}

/* -- links ------------------------------------------------------------------------------------- */

/* Two different nodes; false: there are none. */
static bool pair_draw(struct sim *s, struct oak_prng *p, int *a, int *b)
{
    int count = s->world.node_count;
    *a = (int)oak_prng_below(p, (uint64_t)count);
    *b = (*a + 1 + (int)oak_prng_below(p, (uint64_t)OAK_MAX(1, count - 1))) % count;
    return *a != *b;
}

void sim__fault_reset(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    int a, b;
    if (!pair_draw(s, p, &a, &b)) {
        return;
    }
    bool all = oak_prng_chance(p, 1, 3);
    sim__fault_tell(s, f->kind, f->id, "the connection%s of n%d%s", all ? "s" : "", a + 1,
                    all ? " to all break" : " to one other breaks");
    for (int other = 0; other < s->world.node_count; other++) {
        if (other != a && (all || other == b)) {
            sim__link_reset(s, a, other);
        }
    }
}

void sim__fault_clog(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct world *w = &s->world;
    int a, b;
    uint64_t ms = oak_prng_between(p, 100, 5000);
    if (!pair_draw(s, p, &a, &b)) {
        return;
    }
    bool all = oak_prng_chance(p, 1, 3), both = oak_prng_chance(p, 1, 2);
    for (int other = 0; other < w->node_count; other++) {
        if (other != a && (all || other == b)) {
            w->clogged_until_ns[a][other] = w->now_ns + ms * SIM_MS;
            w->clogged_until_ns[other][a] = both ? w->now_ns + ms * SIM_MS : 0;
        }
    }
    sim__fault_tell(s, f->kind, f->id, "frames from n%d to %s%s are kept back for %llu ms", a + 1,
                    all ? "all" : "one other", both ? ", and back," : "", (unsigned long long)ms);
}

void sim__fault_echo(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    unsigned count = (unsigned)oak_prng_between(p, 1, 8), sent = 0;
    for (unsigned i = 0; i < count; i++) {
        sent += world_send_old(&s->world, oak_prng_below(p, SIM_OLD_FRAMES)) ? 1 : 0;
    }
    if (sent > 0) {
        sim__fault_tell(s, f->kind, f->id, "%u frames of long ago are sent again", sent);
    }
}

static void weather_end(const struct fault_end *end)
{
    struct world *w = &end->sim->world;
    w->loss = 0;
    w->repeat = 0;
    w->delay_min_ns = SIM_MS / 5;
    w->delay_spread_ns = SIM_MS;
    sim__tell(end->sim, "-- the weather is fine");
}

void sim__fault_weather(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct world *w = &s->world;
    w->loss = (unsigned)oak_prng_below(p, s->plan.loss_max + 1);
    w->repeat = (unsigned)oak_prng_below(p, s->plan.repeat_max + 1);
    w->delay_min_ns = oak_prng_below(p, 2 * SIM_MS);
    w->delay_spread_ns = oak_prng_below(p, s->plan.delay_max_ms * SIM_MS);
    uint64_t ms = oak_prng_between(p, 500, s->plan.mean_ms[f->kind] * 3);
    sim__fault_tell(s, f->kind, f->id,
                    "of 1000 frames %u are lost, %u come twice; up to %llu ms late; for %llu ms",
                    w->loss, w->repeat, (unsigned long long)(w->delay_spread_ns / SIM_MS),
                    (unsigned long long)ms);
    const struct fault_end end = {.run = weather_end, .sim = s, .id = f->id, .kind = f->kind};
    sim__fault_lasts(&end, ms * SIM_MS);
}
