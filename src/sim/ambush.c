/* SPDX-License-Identifier: Apache-2.0 */
/* ambush.c: traps that chance alone hardly ever sets. A share of the seeds plays one of them again
 * and again: after each event it looks at roles and logs and cuts the network accordingly. The
 * nodes are real and free; only who hears whom is chosen. Nothing is asked that a network may not
 * do.
 *
 *   figure eight   (Raft 5.4.2) A leader's entry reaches one ally. A rival is elected by the other
 *                  three and is cut off with its first entry. One of the pair leads again and
 *                  brings the old entry to a majority, but none of its own. Then the rival leads.
 *                  Who counted replicas of the old entry has applied what is now replaced.
 *   lost tail      A leader that is cut off goes on appending. The others elect one, commit little
 *                  and compact what they share with the first. It comes back, longer than they
 *                  are, and needs a snapshot that ends in the middle of its own useless tail.
 *   sleeper        The leader's machine stands still until another leads. When it goes on, what
 *                  clients asked meanwhile may reach it before its own timers do.
 */
#include "sim/internal.h"

/* Puts that make a tail long. */
#define BURST 200

static struct oak_raft_status status_of(struct sim *s, int node)
{
    struct oak_replica_status status;
    oak_replica_status(sim__first(s, node)->replica, &status);
    return status.raft;
}

/* Who leads in a term above `term`, of the nodes in `mask`; -1: nobody. */
static int leader_above(struct sim *s, uint64_t term, unsigned mask)
{
    for (int i = 0; i < s->plan.nodes; i++) {
        if ((mask >> i & 1) == 0) {
            continue;
        }
        struct oak_raft_status status = status_of(s, i);
        if (status.role == OAK_RAFT_LEADER && status.term > term) {
            return i;
        }
    }
    return -1;
}

static unsigned all_of(const struct sim *s)
{
    return (1u << s->plan.nodes) - 1;
}

/* Nodes hear each other when a group holds both; what is under way elsewhere is lost. */
static void groups_make(struct sim *s, unsigned group, unsigned other)
{
    struct world *w = &s->world;
    for (int a = 0; a < s->plan.nodes; a++) {
        for (int b = 0; b < s->plan.nodes; b++) {
            unsigned pair = 1u << a | 1u << b;
            w->cut[a][b] = (pair & ~group) != 0 && (pair & ~other) != 0;
            if (w->cut[a][b]) {
                world_lose(w, a, b);
            }
        }
    }
    s->report->partitions++;
}

static void stage_set(struct sim *s, unsigned stage)
{
    s->ambush.stage = stage;
    s->ambush.since_ns = s->world.now_ns;
}

static bool stage_older(const struct sim *s, uint64_t ms)
{
    return s->world.now_ns - s->ambush.since_ns >= ms * SIM_MS;
}

static void give_up(struct sim *s)
{
    groups_make(s, all_of(s), 0);
    stage_set(s, 0);
}

static uint64_t last_of(struct sim *s, unsigned mask)
{
    uint64_t last = 0;
    for (int i = 0; i < s->plan.nodes; i++) {
        if ((mask >> i & 1) != 0) {
            last = OAK_MAX(last, status_of(s, i).last);
        }
    }
    return last;
}

/* Stage 0 of all: everybody follows one leader for a while. */
static bool stands(struct sim *s)
{
    struct ambush *a = &s->ambush;
    a->first = leader_above(s, 0, all_of(s));
    if (a->first < 0 || !stage_older(s, 700)) {
        return false;
    }
    struct oak_raft_status lead = status_of(s, a->first);
    for (int i = 0; i < s->plan.nodes; i++) {
        if (status_of(s, i).leader != lead.id) {
            return false;
        }
    }
    a->term = lead.term;
    struct oak_prng p;
    uint32_t id;
    if (!sim__reaction(s, OAK_SIM_AMBUSH, 1, 1, &p, &id)) {
        stage_set(s, 0); /* this round was left out: wait for the next one */
        return false;
    }
    sim__fault_tell(s, OAK_SIM_AMBUSH, id, "all follow n%d: a trap is set", a->first + 1);
    return true;
}

/* -- figure eight ------------------------------------------------------------------------------ */

static void eight_begin(struct sim *s)
{
    struct ambush *a = &s->ambush;
    if (!stands(s)) {
        return;
    }
    int skip = 1 + (int)oak_prng_below(&s->world.prng, 4);
    a->ally = (a->first + skip) % s->plan.nodes;
    a->pair = 1u << a->first | 1u << a->ally;
    groups_make(s, a->pair, all_of(s) & ~a->pair);
    a->common = last_of(s, all_of(s) & ~a->pair);
    sim__burst(sim__first(s, a->first), 3, 1);
    stage_set(s, 1);
    sim__tell(s, "-- ambush: n%d and its ally n%d, alone behind index %llu", a->first + 1,
              a->ally + 1, (unsigned long long)a->common);
}

/* The pair shares an entry that nobody else has. */
static void eight_shared(struct sim *s)
{
    struct ambush *a = &s->ambush;
    struct oak_raft_status x = status_of(s, a->first), y = status_of(s, a->ally);
    if (OAK_MIN(x.last, y.durable) > a->common && x.commit <= a->common) {
        groups_make(s, all_of(s) & ~a->pair, 0);
        stage_set(s, 2);
    } else if (stage_older(s, 1500)) {
        give_up(s);
    }
}

/* The other three have elected a rival. Nobody hears of its first entry. */
static void eight_rival(struct sim *s)
{
    struct ambush *a = &s->ambush;
    a->rival = leader_above(s, a->term, all_of(s) & ~a->pair);
    if (a->rival < 0) {
        if (stage_older(s, 10000)) {
            give_up(s);
        }
        return;
    }
    struct oak_raft_status rival = status_of(s, a->rival);
    if (rival.last != a->common + 1) {
        give_up(s);
        return;
    }
    a->term = rival.term;
    unsigned rest = all_of(s) & ~a->pair & ~(1u << a->rival);
    a->voter = 0;
    while ((rest >> a->voter & 1) == 0) {
        a->voter++;
    }
    groups_make(s, a->pair | 1u << a->voter, 0);
    stage_set(s, 3);
    sim__tell(s, "-- ambush: the rival n%d is cut off in term %llu; n%d joins the pair",
              a->rival + 1, (unsigned long long)a->term, a->voter + 1);
}

/* The old entry has reached a third node: nothing more may. Its acknowledgement gets through. */
static void eight_majority(struct sim *s)
{
    struct ambush *a = &s->ambush;
    struct world *w = &s->world;
    int leader = leader_above(s, a->term, a->pair);
    if (leader >= 0 && status_of(s, a->voter).last > a->common) {
        a->first = leader;
        a->term = status_of(s, leader).term;
        for (int i = 0; i < s->plan.nodes; i++) {
            w->cut[i][a->voter] = true;
            world_lose(w, i, a->voter);
        }
        stage_set(s, 4);
    } else if (stage_older(s, 12000)) {
        give_up(s);
    }
}

static void eight_counted(struct sim *s)
{
    struct ambush *a = &s->ambush;
    if (status_of(s, a->first).applied > a->common || stage_older(s, 400)) {
        groups_make(s, all_of(s) & ~a->pair, 0);
        stage_set(s, 5);
        sim__tell(s, "-- ambush: the rival n%d may lead again", a->rival + 1);
    }
}

static void eight_replaced(struct sim *s)
{
    struct ambush *a = &s->ambush;
    int leader = leader_above(s, a->term, all_of(s) & ~a->pair);
    bool done = leader >= 0 && status_of(s, leader).applied > a->common + 1;
    if (done || stage_older(s, 12000)) {
        sim__tell(s, "-- ambush: over, %s", done ? "played to its end" : "nobody was elected");
        give_up(s);
    }
}

/* -- lost tail --------------------------------------------------------------------------------- */

static void tail_begin(struct sim *s)
{
    struct ambush *a = &s->ambush;
    if (!stands(s)) {
        return;
    }
    unsigned others = all_of(s) & ~(1u << a->first);
    groups_make(s, others, 0);
    a->common = last_of(s, others);
    sim__burst(sim__first(s, a->first), BURST, 1);
    stage_set(s, 1);
    sim__tell(s, "-- ambush: n%d is cut off behind index %llu", a->first + 1,
              (unsigned long long)a->common);
}

static void tail_compacted(struct sim *s)
{
    struct ambush *a = &s->ambush;
    int leader = leader_above(s, a->term, all_of(s) & ~(1u << a->first));
    if (leader >= 0 && status_of(s, leader).first > a->common + 2) {
        struct oak_raft_status lead = status_of(s, leader);
        sim__tell(s, "-- ambush: n%d comes back, long to %llu; n%d is at %llu, from %llu",
                  a->first + 1, (unsigned long long)status_of(s, a->first).last, leader + 1,
                  (unsigned long long)lead.applied, (unsigned long long)lead.first);
        groups_make(s, all_of(s), 0);
        stage_set(s, 2);
    } else if (stage_older(s, 10000)) {
        give_up(s);
    }
}

static void tail_back(struct sim *s)
{
    if (stage_older(s, 2000)) {
        give_up(s);
    }
}

/* -- sleeper ----------------------------------------------------------------------------------- */

static void sleeper_begin(struct sim *s)
{
    struct ambush *a = &s->ambush;
    if (!stands(s)) {
        return;
    }
    uint64_t ms = oak_prng_between(&s->world.prng, 1500, 4000);
    s->world.machines[a->first].paused_until_ns = s->world.now_ns + ms * SIM_MS;
    s->report->pauses++;
    stage_set(s, 1);
    sim__tell(s, "-- ambush: n%d, the leader, sleeps for %llu ms", a->first + 1,
              (unsigned long long)ms);
}

static void sleeper_awake(struct sim *s)
{
    if (s->world.now_ns > s->world.machines[s->ambush.first].paused_until_ns) {
        stage_set(s, 0);
    }
}

void sim__ambush_look(struct sim *s)
{
    static void (*const stages[][6])(struct sim *) = {
        [AMBUSH_FIGURE_EIGHT] = {eight_begin, eight_shared, eight_rival, eight_majority,
                                 eight_counted, eight_replaced},
        [AMBUSH_LOST_TAIL] = {tail_begin, tail_compacted, tail_back},
        [AMBUSH_SLEEPER] = {sleeper_begin, sleeper_awake},
    };
    if (s->plan.ambush == AMBUSH_NONE || s->settling) {
        return;
    }
    for (int i = 0; i < s->plan.nodes; i++) {
        if (!s->nodes[i].up || s->nodes[i].fatal) {
            stage_set(s, 0); /* a fault of another kind came between */
            return;
        }
    }
    OAK_ASSERT(stages[s->plan.ambush][s->ambush.stage] != NULL);
    stages[s->plan.ambush][s->ambush.stage](s);
}

void sim__ambush_plan(struct plan *plan, struct oak_prng *p)
{
    plan->ambush = AMBUSH_FIGURE_EIGHT + (enum ambush_kind)oak_prng_below(p, 3);
    bool eight = plan->ambush == AMBUSH_FIGURE_EIGHT;
    bool tail = plan->ambush == AMBUSH_LOST_TAIL;
    plan->nodes = eight ? 5 : oak_prng_chance(p, 1, 2) ? 3 : 5;
    plan->clients = OAK_MIN(plan->clients, 4);
    plan->think_ms = oak_prng_between(p, 50, 200);
    if (eight) {
        plan->append_bytes = 1;
        plan->tail_entries = 400;
    } else if (tail) {
        plan->append_bytes = 0;
        plan->tail_entries = oak_prng_between(p, 2, 5);
    } else {
        plan->clients = SIM_CLIENTS_MAX;
        plan->think_ms = oak_prng_between(p, 5, 50);
        plan->delay_max_ms = 1;
    }
    memset(plan->has, 0, sizeof(plan->has));
    memset(plan->mean_ms, 0, sizeof(plan->mean_ms));
    plan->has[OAK_SIM_AMBUSH] = true;
    plan->storm = false;
    plan->groups = 1;
    plan->value_bytes_max = 0;
}
