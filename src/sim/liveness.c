/* SPDX-License-Identifier: Apache-2.0 */
/* liveness.c: what must happen within a bound, once faults end.
 *
 *   core     A majority is chosen by chance, and healed: its nodes run and hear each other. Where
 *            the group changes it is one of each configuration that is in force anywhere, and of
 *            both halves of a joint one; no change is asked for meanwhile. What the others do is
 *            drawn: they are down, cut off, or reach one node of the core (then a bridge), in both
 *            directions or one; the last leader may be among them. The core must
 *            elect a leader that all of it follows within CORE_ELECTIONS election time-outs, and
 *            answer clients within as many, and the patience that a new leader owes to the lease
 *            of the one before it. (Not both directions where the others and a bridge are a
 *            majority too: a leader that they keep is as good.)
 *   settle   All faults end. Every node must be up and have applied the same, every client be
 *            answered, and every lease of a client end, which nobody keeps alive any more.
 *
 * A node that has refused to start because its disk is damaged stays out of both.
 */
#include "sim/internal.h"

/* In the longest election time-outs (an election time-out is drawn from [1, 2) of its base). */
#define CORE_ELECTIONS 10
#define CORE_MS        (CORE_ELECTIONS * 2ull * SIM_ELECTION_MS)
#define SETTLE_MS      60000
/* Answers that each client must have had. */
#define ANSWERS 3

static bool in_core(const struct sim *s, int node)
{
    return (s->core >> node & 1) != 0 && !s->nodes[node].dead;
}

static void answers_reset(struct sim *s)
{
    for (int i = 0; i < s->plan.clients; i++) {
        s->clients[i].answered = 0;
    }
}

static bool answered(const struct sim *s)
{
    for (int i = 0; i < s->plan.clients; i++) {
        if (s->clients[i].answered < ANSWERS) {
            return false;
        }
    }
    return true;
}

/* -- a connected majority ---------------------------------------------------------------------- */

static bool is_sound(const struct node *n)
{
    return !n->dead && !n->rotten && !n->strange && !sim__lapse_is(n);
}

static unsigned alive(const struct sim *s, bool sound)
{
    unsigned mask = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        const struct node *n = &s->nodes[i];
        mask |= n->dead || (sound && !is_sound(n)) ? 0 : 1u << i;
    }
    return mask;
}

/* Who may decide from now on: each once. */
#define CONFIGS_MAX (SIM_GROUPS_MAX * (SIM_NODES_MAX + 1))
struct configs {
    struct voters of[CONFIGS_MAX];
    size_t count;
};

static void config_add(struct configs *out, struct voters v)
{
    bool known = v.now == 0;
    for (size_t i = 0; i < out->count; i++) {
        known = known || (out->of[i].now == v.now && out->of[i].outgoing == v.outgoing);
    }
    if (!known) {
        out->of[out->count++] = v;
    }
}

/* The configuration that is committed, and those in force anywhere. Whose disk was put back lost
 * its vote, and may have got it again: so that changes the group too, and a member that was away
 * meanwhile is heard only once a majority of the group that it knows has told what it remembers.
 * Where nothing of that happened all nodes are in it. */
static void configs_gather(struct sim *s, struct configs *out)
{
    out->count = 0;
    if (!s->plan.has[OAK_SIM_CHANGE] && s->report->faults[OAK_SIM_ROLLBACK] == 0) {
        config_add(out, (struct voters){.now = (1u << s->world.node_count) - 1});
        return;
    }
    for (int g = 0; g < s->plan.groups; g++) {
        config_add(out, s->groups[g].committed);
        for (int i = 0; i < s->world.node_count; i++) {
            const struct oak_replica *replica =
                s->nodes[i].up ? s->nodes[i].members[g].replica : NULL;
            if (replica != NULL) {
                config_add(out, sim__voters_of(oak_replica_config(replica)));
            }
        }
    }
}

/* These nodes decide by each of the configurations, or by any. */
static bool decide_by(const struct configs *c, unsigned nodes, bool each)
{
    size_t by = 0;
    for (size_t i = 0; i < c->count; i++) {
        by += sim__quorum(nodes, &c->of[i]) ? 1 : 0;
    }
    return each ? by == c->count : by > 0;
}

/* All voters that live, less some that are not needed. A node whose disk is damaged, or an older
 * one, may still turn out to be no use: the others decide without those. */
static unsigned core_draw(const struct sim *s, const struct configs *c, struct oak_prng *p)
{
    unsigned core = 0, sound = alive(s, true);
    uint64_t count = (uint64_t)s->world.node_count;
    for (size_t i = 0; i < c->count; i++) {
        core |= (c->of[i].now | c->of[i].outgoing) & alive(s, false);
    }
    for (uint64_t i = oak_prng_below(p, count); i > 0; i--) {
        unsigned less = core & ~(1u << oak_prng_below(p, count));
        core = decide_by(c, less & sound, true) ? less : core;
    }
    return decide_by(c, core & sound, true) ? core : 0;
}

enum outside {
    OUTSIDE_DOWN,
    OUTSIDE_CUT,
    OUTSIDE_BRIDGED,
    OUTSIDE_HEARS, /* a bridge, but only inwards or only outwards */
    OUTSIDE_IS_HEARD,
    OUTSIDE_COUNT,
};

static void outside_set(struct sim *s, int node, const struct configs *c, struct oak_prng *p)
{
    static const char *const names[OUTSIDE_COUNT] = {"down", "cut off", "reaches one of it",
                                                     "hears one of it", "is heard by one of it"};
    struct world *w = &s->world;
    enum outside what = (enum outside)oak_prng_below(p, OUTSIDE_COUNT);
    int bridge = (int)oak_prng_below(p, (uint64_t)w->node_count);
    while (!in_core(s, bridge)) {
        bridge = (bridge + 1) % w->node_count;
    }
    bool others_decide = decide_by(c, ~s->core | 1u << bridge, false);
    what = what == OUTSIDE_BRIDGED && others_decide ? OUTSIDE_CUT : what;
    for (int i = 0; i < w->node_count; i++) {
        if (!in_core(s, i)) {
            continue;
        }
        bool bridged = i == bridge && what >= OUTSIDE_BRIDGED;
        w->cut[node][i] = !bridged || what == OUTSIDE_HEARS;
        w->cut[i][node] = !bridged || what == OUTSIDE_IS_HEARD;
    }
    if (what == OUTSIDE_DOWN) {
        s->nodes[node].held = true;
        sim__node_crash(&s->nodes[node]);
    }
    sim__tell(s, "-- n%d is not in the core: %s (n%d)", node + 1, names[what], bridge + 1);
}

/* Of the core, whom its leader counts as voters: those whose vote has gone may hear of it, and no
 * more of anything. No leader: all of the core. */
static unsigned core_members(struct sim *s, int group)
{
    unsigned members = s->core;
    uint64_t term = 0;
    for (int i = 0; i < s->world.node_count && s->plan.has[OAK_SIM_CHANGE]; i++) {
        struct oak_replica_status status;
        if (!in_core(s, i) || !s->nodes[i].up) {
            continue;
        }
        const struct oak_replica *replica = s->nodes[i].members[group].replica;
        oak_replica_status(replica, &status);
        if (status.raft.role == OAK_RAFT_LEADER && status.raft.term > term) {
            term = status.raft.term;
            members = s->core & sim__voters_of(oak_replica_config(replica)).now;
        }
    }
    return members;
}

unsigned sim__core_asked(struct sim *s)
{
    unsigned core = s->core & alive(s, false);
    unsigned members = core != 0 ? core_members(s, 0) & core : 0;
    return members != 0 ? members : core;
}

/* Every group of the core has one leader in it, which all members of it follow. */
static bool core_led(struct sim *s, int group)
{
    uint64_t leader = 0;
    unsigned members = core_members(s, group);
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        if (!in_core(s, i) || (members >> i & 1) == 0) {
            continue;
        }
        if (!s->nodes[i].up) {
            return false;
        }
        oak_replica_status(s->nodes[i].members[group].replica, &status);
        if (status.raft.leader == 0 || (leader != 0 && status.raft.leader != leader)) {
            return false;
        }
        leader = status.raft.leader;
    }
    return leader != 0 && in_core(s, sim__place_of(leader));
}

/* What a new leader may have to wait, by the clock of the world: for the longest lease that may be
 * in force or wished for, on the slowest clock. */
static uint64_t patience_ms(const struct sim *s)
{
    const uint64_t million = 1000000;
    const struct sim_leases *l = &s->leases;
    uint64_t most = l->lease_ms;
    for (int i = 0; i < s->world.node_count; i++) {
        most = OAK_MAX(most, (uint64_t)l->wish_ms[i]);
    }
    return most * (million + l->drift_ppm) / (million - l->drift_ppm) + 1;
}

static bool core_all_led(struct sim *s)
{
    for (int g = 0; g < s->plan.groups; g++) {
        if (!core_led(s, g)) {
            return false;
        }
    }
    return true;
}

static void alive_start(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        struct node *n = &s->nodes[i];
        if (!n->up && !n->held && !n->dead && !s->failed) {
            sim__node_start(n);
        }
    }
}

/* Where a member forgot, its vote is taken and given back unasked: that changes the group, too. */
static bool core_is_due(const struct sim *s)
{
    bool amended = s->plan.has[OAK_SIM_CHANGE] && s->report->faults[OAK_SIM_ROLLBACK] != 0;
    return s->plan.core && s->world.node_count > 1 && !amended;
}

/* What is on its way may hold a configuration that nobody knows any more. */
static void on_way_lose(struct sim *s)
{
    struct world *w = &s->world;
    for (int a = 0; a < w->node_count; a++) {
        for (int b = 0; b < w->node_count; b++) {
            world_lose(w, a, b);
        }
    }
}

/* False: there is none. */
static bool core_make(struct sim *s)
{
    struct oak_prng p;
    struct configs configs;
    oak_prng_init(&p, s->options->seed ^ 0x636f7265ull);
    sim__heal(s);
    alive_start(s);
    if (s->plan.has[OAK_SIM_CHANGE]) {
        sim__members_settled(s);
        on_way_lose(s);
    }
    configs_gather(s, &configs);
    s->core = s->failed ? 0 : core_draw(s, &configs, &p);
    if (s->core == 0) {
        return false;
    }
    sim__tell(s, "-- only a connected majority is healed");
    for (int i = 0; i < s->world.node_count; i++) {
        if (!in_core(s, i) && !s->nodes[i].dead) {
            outside_set(s, i, &configs, &p);
        }
    }
    return true;
}

void sim__phase_core(struct sim *s)
{
    if (!core_is_due(s) || !core_make(s)) {
        return;
    }
    answers_reset(s);
    uint64_t start = s->world.now_ns;
    bool led = false;
    while (!s->failed && !(core_all_led(s) && answered(s))) {
        uint64_t took = (s->world.now_ns - start) / SIM_MS;
        led = led || core_all_led(s);
        if (took > CORE_MS && !led) {
            sim__fail(s,
                      "progress: a connected majority has not elected a leader within %d election "
                      "time-outs",
                      CORE_ELECTIONS);
        } else if (took > CORE_MS + patience_ms(s)) {
            sim__fail(s,
                      "progress: a connected majority has not answered all clients within %d "
                      "election time-outs, and %llu ms for the lease of an earlier leader",
                      CORE_ELECTIONS, (unsigned long long)patience_ms(s));
        }
        (void)sim__step(s);
    }
    s->report->core_ms = (s->world.now_ns - start) / SIM_MS;
}

/* -- everybody --------------------------------------------------------------------------------- */

void sim__phase_settle(struct sim *s)
{
    sim__heal(s);
    sim__tell(s, "-- all faults end");
    s->core = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        s->nodes[i].held = false;
    }
    alive_start(s);
    answers_reset(s);
    uint64_t until = s->world.now_ns + SETTLE_MS * SIM_MS;
    while (!s->failed && (!answered(s) || !sim__settled(s) || !sim__lessees_over(s))) {
        if (s->world.now_ns > until && answered(s) && sim__settled(s)) {
            sim__fail(s, "leases: %d s after all faults and keepalives ended, some are left",
                      SETTLE_MS / 1000);
            return;
        }
        if (s->world.now_ns > until) {
            sim__fail(s,
                      "liveness: %d s after all faults ended, not all nodes are equal or not all "
                      "clients are answered",
                      SETTLE_MS / 1000);
            return;
        }
        (void)sim__step(s);
    }
}
