/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c: what a seed draws before its run begins: the cluster, the clients, which kinds of faults
 * there are at all (swarm testing: Groce and others 2012), and the schedule of those that follow
 * the time.
 *
 * Nothing here asks for more than the protocol promises to survive: disks lose only what was not
 * synced, damage hits a minority's disks, and no node forgets what it acknowledged, unless others
 * remember it, or it is another member from then on.
 */
#include "sim/internal.h"

#include <stdlib.h>

struct kind {
    unsigned percent;
    uint64_t low_ms, high_ms;
};

static const struct kind kinds[OAK_SIM_FAULTS] = {
#define X(NAME, name, percent, low, high, text) [OAK_SIM_##NAME] = {percent, low, high},
#include "sim/faults.def"
#undef X
};

static uint64_t maybe(struct oak_prng *p, unsigned percent, uint64_t low, uint64_t high)
{
    uint64_t value = oak_prng_between(p, low, high);
    return oak_prng_chance(p, percent, 100) ? value : 0;
}

/* So many kinds of faults.def are drawn together. A draw for one more would change all that is
 * drawn after it, in every run. */
#define KINDS_TOGETHER (OAK_SIM_HANDOVER + 1)

/* Some runs break in many ways, most in few; and the more kinds there are, the rarer is each: a run
 * in which everything breaks all the time gets nowhere. */
static void kinds_draw(struct plan *plan, struct oak_prng *p)
{
    static const unsigned breadths[] = {20, 40, 40, 60, 100};
    unsigned timed = 0;
    unsigned breadth = breadths[oak_prng_below(p, OAK_COUNT_OF(breadths))];
    for (int i = 0; i < KINDS_TOGETHER; i++) {
        const struct kind *k = &kinds[i];
        uint64_t mean = oak_prng_between(p, k->low_ms, k->high_ms);
        plan->has[i] = oak_prng_chance(p, (uint64_t)k->percent * breadth, 10000);
        plan->mean_ms[i] = plan->has[i] ? mean : 0;
        timed += plan->mean_ms[i] != 0 ? 1 : 0;
    }
    for (int i = 0; i < KINDS_TOGETHER; i++) {
        plan->mean_ms[i] = plan->mean_ms[i] * OAK_MAX(timed, 4u) / 4;
    }
}

/* A minority of the nodes, as bits. */
static unsigned minority_draw(int nodes, struct oak_prng *p)
{
    unsigned mask = 0;
    for (int i = 0; i < (nodes - 1) / 2; i++) {
        mask |= 1u << oak_prng_below(p, (uint64_t)nodes);
    }
    return mask;
}

/* In some runs members are preferred as leaders, or are not: dice of their own. */
static void priorities_draw(struct sim *s)
{
    struct oak_prng p;
    oak_prng_init(&p, s->options->seed ^ 0x72616e6b73ull);
    bool ranked = oak_prng_chance(&p, 1, 4);
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        s->plan.priority[i] = ranked ? (uint8_t)oak_prng_below(&p, 4) : 0;
    }
}

static void options_apply(struct sim *s, struct plan *plan)
{
    const struct oak_sim_options *o = s->options;
    plan->nodes = o->nodes > 0 ? o->nodes : plan->nodes;
    plan->clients = o->clients > 0 ? o->clients : plan->clients;
    plan->groups = o->groups > 0 ? o->groups : plan->groups;
    OAK_ASSERT(plan->nodes <= SIM_NODES_MAX);
    OAK_ASSERT(plan->clients <= SIM_CLIENTS_MAX);
    OAK_ASSERT(plan->groups <= SIM_GROUPS_MAX);
}

struct plan_limits sim__limits_usual(void)
{
    return (struct plan_limits){
        .held_entries = OAK_LOG_HELD_ENTRIES_MAX,
        .tail_bytes = OAK_LOG_TAIL_BYTES_MAX,
        .held_bytes = OAK_LOG_HELD_BYTES_MAX,
        .uncommitted_bytes = OAK_UNCOMMITTED_BYTES_MAX,
        .inflight_bytes = OAK_INFLIGHT_BYTES_MAX,
        .log_bytes = OAK_LOG_BYTES_MAX,
        .away_ms = OAK_LOG_AWAY_MS,
    };
}

size_t sim__entry_bytes_max(const struct plan *plan)
{
    size_t burst = (size_t)OAK_MIN(64 * OAK_KIB, plan->segment_bytes / 4);
    return OAK_KIB + (plan->has[OAK_SIM_BURST] ? burst : 2 * plan->value_bytes_max);
}

/* They are to each other as in base/limits.h: what is held four tails, and a follower's log all
 * that may be held or uncommitted, with what each entry counts, and the few large entries that are
 * kept in any case. What is held must last while a snapshot is under way, as in the program: else
 * the next one begins when it has arrived. From a generator of its own. */
static void limits_draw(struct sim *s)
{
    struct oak_prng p;
    struct plan *plan = &s->plan;
    struct plan_limits *l = &plan->limits;
    oak_prng_init(&p, s->options->seed ^ 0x6c696d697473ull);
    *l = sim__limits_usual();
    bool usual = oak_prng_chance(&p, 1, 2);
    /* Mostly none, or those who were away would hardly ever need a snapshot. */
    l->away_ms = oak_prng_chance(&p, 1, 3) ? oak_prng_between(&p, 1, OAK_LOG_AWAY_MS) : 1;
    if (usual) {
        return;
    }
    l->held_entries = oak_prng_between(&p, 4000, 20000);
    l->tail_bytes = oak_prng_between(&p, 256 * OAK_KIB, OAK_MIB);
    l->held_bytes = 4 * l->tail_bytes;
    l->uncommitted_bytes = oak_prng_between(&p, 4 * OAK_KIB, 128 * OAK_KIB);
    l->inflight_bytes = oak_prng_between(&p, 4 * OAK_KIB, 128 * OAK_KIB);
    l->log_bytes = 2 * l->uncommitted_bytes + l->held_bytes + 64 * l->held_entries +
                   16 * sim__entry_bytes_max(plan);
}

/* Who forgets is the one that the group can do without: no other disk is damaged then. The others
 * hear often how far each is, or there would be little that they could remember. */
static void rollback_draw(struct sim *s)
{
    struct oak_prng p;
    struct plan *plan = &s->plan;
    oak_prng_init(&p, s->options->seed ^ 0x726f6c6c6261636bull);
    if (plan->nodes < 3 || plan->ambush != AMBUSH_NONE) {
        plan->has[OAK_SIM_ROLLBACK] = false;
        plan->mean_ms[OAK_SIM_ROLLBACK] = 0;
    }
    if (plan->has[OAK_SIM_ROLLBACK]) {
        plan->victims = 0;
        plan->note_ms = (uint32_t)oak_prng_between(&p, 200, 3000);
    }
}

/* A few runs only: in most others it would break what they are about. Which nodes are a minority,
 * or a connected majority, changes with the group. */
static void loss_draw(struct sim *s)
{
    struct oak_prng p;
    struct plan *plan = &s->plan;
    oak_prng_init(&p, s->options->seed ^ 0x6c6f7373ull);
    bool may = plan->nodes >= 3 && plan->groups == 1 && plan->ambush == AMBUSH_NONE;
    if (may && oak_prng_chance(&p, 1, 12)) {
        plan->has[OAK_SIM_LOSS] = true;
        plan->mean_ms[OAK_SIM_LOSS] = oak_prng_between(&p, 4000, 20000);
        plan->victims = 0;
        plan->core = false;
    }
}

/* Clients that hold leases, in one run of three without a trap. */
static void lessees_draw(struct sim *s)
{
    struct oak_prng p;
    struct plan *plan = &s->plan;
    oak_prng_init(&p, s->options->seed ^ 0x6c6561736573ull);
    if (plan->ambush == AMBUSH_NONE && oak_prng_chance(&p, 1, 3)) {
        plan->lessees = (int)oak_prng_between(&p, 1, SIM_LESSEES_MAX);
        plan->lease_checkpoint_ms = oak_prng_chance(&p, 1, 2) ? 1000 : 0;
    }
}

/* Users, in one run of four without a trap. */
static void guests_draw(struct sim *s)
{
    struct oak_prng p;
    oak_prng_init(&p, s->options->seed ^ 0x67756573747321);
    if (s->plan.ambush == AMBUSH_NONE && oak_prng_chance(&p, 1, 4)) {
        s->plan.guests = (int)oak_prng_between(&p, 2, SIM_GUESTS_MAX);
    }
}

void sim__plan_draw(struct sim *s)
{
    struct oak_prng p;
    oak_prng_init(&p, s->options->seed ^ 0x6f616b756dull);
    static const int sizes[] = {1, 3, 3, 3, 3, 5, 5, 7};
    struct plan *plan = &s->plan;
    *plan = (struct plan){
        .nodes = sizes[oak_prng_below(&p, OAK_COUNT_OF(sizes))],
        .clients = (int)oak_prng_between(&p, 2, SIM_CLIENTS_MAX),
        .groups = oak_prng_chance(&p, 1, 100)  ? 20
                  : oak_prng_chance(&p, 1, 15) ? (int)oak_prng_between(&p, 2, 4)
                                               : 1,
        .keys = (unsigned)oak_prng_between(&p, 1, 5),
        .think_ms = oak_prng_between(&p, 5, 100),
        .loss_max = (unsigned)maybe(&p, 60, 1, 300),
        .repeat_max = (unsigned)maybe(&p, 60, 1, 300),
        .delay_max_ms = oak_prng_between(&p, 1, 150),
        .flush_bytes = oak_prng_between(&p, 2 * OAK_KIB, 64 * OAK_KIB),
        .tail_entries = oak_prng_between(&p, 2, oak_prng_chance(&p, 1, 3) ? 10 : 400),
        .append_bytes = maybe(&p, 33, 60, 1000), /* few entries a message, or no limit */
        .value_bytes_max = (unsigned)maybe(&p, 20, 100, 4000),
        .read_heavy = oak_prng_chance(&p, 1, 3),
        .storm = oak_prng_chance(&p, 1, 6),
        .core = oak_prng_chance(&p, 1, 2),
        .segment_bytes = 64 * OAK_KIB << oak_prng_below(&p, 7),
    };
    kinds_draw(plan, &p);
    if (oak_prng_chance(&p, 1, 8)) {
        sim__ambush_plan(plan, &p);
    }
    if (plan->value_bytes_max > 0 || plan->has[OAK_SIM_BURST]) {
        /* A flush writes the whole store. */
        plan->flush_bytes *= 16;
    }
    options_apply(s, plan);
    priorities_draw(s);
    limits_draw(s);
    plan->victims = minority_draw(plan->nodes, &p);
    rollback_draw(s);
    loss_draw(s);
    lessees_draw(s);
    guests_draw(s);
}

static bool plan_has(const struct oak_sim_options *options, bool lessees)
{
    struct sim *s = calloc(1, sizeof(*s));
    OAK_ASSERT(s != NULL);
    s->options = options;
    sim__plan_draw(s);
    bool has = (lessees ? s->plan.lessees : s->plan.guests) > 0;
    free(s);
    return has;
}

bool oak_sim_has_lessees(const struct oak_sim_options *options)
{
    return plan_has(options, true);
}

bool oak_sim_has_guests(const struct oak_sim_options *options)
{
    return plan_has(options, false);
}

bool oak_sim_has(const struct oak_sim_options *options, enum oak_sim_fault kind)
{
    struct sim *s = calloc(1, sizeof(*s));
    OAK_ASSERT(s != NULL);
    s->options = options;
    sim__plan_draw(s);
    sim__members_plan(s);
    bool has = s->plan.has[kind];
    free(s);
    return has;
}

/* -- the schedule ------------------------------------------------------------------------------ */

static int fault_order(const void *a, const void *b)
{
    const struct fault *x = a;
    const struct fault *y = b;
    if (x->at_ns != y->at_ns) {
        return x->at_ns < y->at_ns ? -1 : 1;
    }
    return x->kind < y->kind ? -1 : x->kind > y->kind;
}

static void kind_schedule(struct sim *s, enum oak_sim_fault kind, uint64_t until_ns)
{
    struct oak_prng p;
    uint64_t mean_ns = s->plan.mean_ms[kind] * SIM_MS;
    uint64_t at = s->world.now_ns;
    oak_prng_init(&p, s->options->seed * 1000003 + (uint64_t)kind + 17);
    while (mean_ns > 0) {
        at += oak_prng_below(&p, 2 * mean_ns) + SIM_MS;
        if (at >= until_ns) {
            return;
        }
        if (s->fault_count == s->fault_capacity) {
            s->fault_capacity = OAK_MAX((size_t)256, s->fault_capacity * 2);
            s->faults = realloc(s->faults, s->fault_capacity * sizeof(*s->faults));
            OAK_ASSERT(s->faults != NULL);
        }
        s->faults[s->fault_count++] =
            (struct fault){.kind = kind, .at_ns = at, .dice = oak_prng_u64(&p)};
    }
}

void sim__schedule_draw(struct sim *s)
{
    uint64_t ms = s->options->simulated_ms != 0 ? s->options->simulated_ms : 60000;
    for (int i = 0; i < OAK_SIM_FAULTS; i++) {
        kind_schedule(s, (enum oak_sim_fault)i, s->world.now_ns + ms * SIM_MS);
    }
    if (s->fault_count == 0) {
        return;
    }
    qsort(s->faults, s->fault_count, sizeof(*s->faults), fault_order);
    for (size_t i = 0; i < s->fault_count; i++) {
        s->faults[i].id = (uint32_t)i + 1;
    }
}
