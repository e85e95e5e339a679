/* SPDX-License-Identifier: Apache-2.0 */
/* nemesis.c: what breaks in a run, and when. The seed decides which kinds of faults a run has at
 * all (swarm testing: Groce and others 2012), how often they come and how hard they are.
 *
 * Nothing here asks for more than the protocol promises to survive: disks lose only what was not
 * synced, and no node forgets what it acknowledged.
 */
#include "sim/internal.h"

static uint64_t maybe(struct oak_prng *p, unsigned percent, uint64_t low, uint64_t high)
{
    uint64_t value = oak_prng_between(p, low, high);
    return oak_prng_chance(p, percent, 100) ? value : 0;
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
        .keys = (unsigned)oak_prng_between(&p, 1, 5),
        .think_ms = oak_prng_between(&p, 5, 100),
        .crash_ms = maybe(&p, 75, 500, 10000),
        .blackout_ms = maybe(&p, 25, 5000, 30000),
        .partition_ms = maybe(&p, 70, 500, 10000),
        .pause_ms = maybe(&p, 50, 1000, 15000),
        .churn = oak_prng_chance(&p, 1, 5),
        .weather_ms = maybe(&p, 70, 1000, 10000),
        .loss_max = (unsigned)maybe(&p, 60, 1, 300),
        .repeat_max = (unsigned)maybe(&p, 60, 1, 300),
        .delay_max_ms = oak_prng_between(&p, 1, 150),
        .flush_bytes = oak_prng_between(&p, 2 * OAK_KIB, 64 * OAK_KIB),
        .tail_entries = oak_prng_between(&p, 2, oak_prng_chance(&p, 1, 3) ? 10 : 400),
        .append_bytes = oak_prng_chance(&p, 1, 3) ? 1 : 0, /* one entry a message, or no limit */
        .read_heavy = oak_prng_chance(&p, 1, 3),
        .segment_bytes = 64 * OAK_KIB << oak_prng_below(&p, 7),
    };
    if (oak_prng_chance(&p, 1, 8)) {
        sim__ambush_plan(plan, &p);
    }
}

static void later(struct sim *s, uint64_t mean_ms, void (*run)(struct world *, struct event *))
{
    struct world *w = &s->world;
    if (mean_ms == 0 || s->settling) {
        return;
    }
    uint64_t wait = oak_prng_below(&w->prng, 2 * mean_ms * SIM_MS) + SIM_MS;
    world_at(w, w->now_ns + wait, -1, run, s, oak_bytes(NULL, 0), 0);
}

static struct node *node_any(struct sim *s)
{
    return &s->nodes[oak_prng_below(&s->world.prng, (uint64_t)s->world.node_count)];
}

/* Half of the crashes come between two events, half inside a call of the disk, soon. */
static void crash_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct node *n = node_any(s);
    if (s->settling) {
        return;
    }
    if (n->replica != NULL && oak_prng_chance(&w->prng, 1, 2)) {
        sim__node_crash(n);
    } else if (n->replica != NULL) {
        sim_disk_die_after(w->machines[n->index].disk, 1 + oak_prng_below(&w->prng, 20));
    }
    later(s, s->plan.crash_ms, crash_event);
}

static void churn_event(struct world *w, struct event *e)
{
    struct node *n = e->arg;
    (void)w;
    if (!n->sim->settling && n->replica != NULL) {
        sim__node_crash(n);
    }
}

void sim__leader_new(struct node *n)
{
    struct world *w = &n->sim->world;
    if (n->sim->plan.churn && !n->sim->settling) {
        uint64_t life = oak_prng_below(&w->prng, 600 * SIM_MS);
        world_at(w, w->now_ns + life, -1, churn_event, n, oak_bytes(NULL, 0), 0);
    }
}

/* Installing a snapshot has more steps that a crash may come between than anything else. */
void sim__install_new(struct node *n)
{
    struct world *w = &n->sim->world;
    if (n->sim->plan.crash_ms == 0 || n->sim->settling || !oak_prng_chance(&w->prng, 1, 2)) {
        return;
    }
    if (oak_prng_chance(&w->prng, 1, 2)) {
        sim_disk_die_after(w->machines[n->index].disk, 1 + oak_prng_below(&w->prng, 16));
    } else {
        uint64_t life = oak_prng_below(&w->prng, 30 * SIM_MS);
        world_at(w, w->now_ns + life, -1, churn_event, n, oak_bytes(NULL, 0), 0);
    }
}

static void blackout_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    if (s->settling) {
        return;
    }
    sim__trace(s, "-- blackout");
    for (int i = 0; i < w->node_count; i++) {
        sim__node_crash(&s->nodes[i]);
    }
    later(s, s->plan.blackout_ms, blackout_event);
}

static void cuts_clear(struct world *w)
{
    for (int a = 0; a < w->node_count; a++) {
        for (int b = 0; b < w->node_count; b++) {
            w->cut[a][b] = false;
        }
    }
}

/* Two sides, one node against all, a bridge between two sides, or some directions only. */
static void partition_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct oak_prng *p = &w->prng;
    if (s->settling) {
        return;
    }
    cuts_clear(w);
    unsigned shape = (unsigned)oak_prng_below(p, 6);
    int odd = (int)oak_prng_below(p, (uint64_t)w->node_count);
    uint64_t side = oak_prng_u64(p);
    for (int a = 0; a < w->node_count && shape != 0; a++) {
        for (int b = 0; b < w->node_count; b++) {
            bool apart = (side >> a & 1) != (side >> b & 1);
            switch (shape) {
            case 1:
                w->cut[a][b] = apart;
                break;
            case 2:
                w->cut[a][b] = (a == odd) != (b == odd);
                break;
            case 3:
                w->cut[a][b] = apart && a != odd && b != odd;
                break;
            case 4:
                w->cut[a][b] = b == odd;
                break;
            default:
                w->cut[a][b] = oak_prng_chance(p, 1, 3);
                break;
            }
        }
    }
    s->report->partitions += shape != 0 ? 1 : 0;
    sim__trace(s, "-- partition of shape %u, odd n%d", shape, odd + 1);
    later(s, s->plan.partition_ms, partition_event);
}

static void pause_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct node *n = node_any(s);
    if (s->settling) {
        return;
    }
    uint64_t ms = oak_prng_between(&w->prng, 50, 6000);
    w->machines[n->index].paused_until_ns = w->now_ns + ms * SIM_MS;
    s->report->pauses++;
    sim__trace(s, "-- n%d is paused for %llu ms", n->index + 1, (unsigned long long)ms);
    later(s, s->plan.pause_ms, pause_event);
}

static void weather_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct oak_prng *p = &w->prng;
    if (s->settling) {
        return;
    }
    w->loss = (unsigned)oak_prng_below(p, s->plan.loss_max + 1);
    w->repeat = (unsigned)oak_prng_below(p, s->plan.repeat_max + 1);
    w->delay_min_ns = oak_prng_below(p, 2 * SIM_MS);
    w->delay_spread_ns = oak_prng_below(p, s->plan.delay_max_ms * SIM_MS);
    struct machine *slow = &w->machines[oak_prng_below(p, (uint64_t)w->node_count)];
    slow->log_ns = oak_prng_between(p, 1, 60) * SIM_MS;
    slow->worker_ns = oak_prng_between(p, 1, 60) * SIM_MS;
    later(s, s->plan.weather_ms, weather_event);
}

void sim__nemesis_start(struct sim *s)
{
    struct world *w = &s->world;
    w->delay_min_ns = SIM_MS / 5;
    w->delay_spread_ns = SIM_MS;
    sim__clocks_start(s);
    later(s, s->plan.crash_ms, crash_event);
    later(s, s->plan.blackout_ms, blackout_event);
    later(s, s->plan.partition_ms, partition_event);
    later(s, s->plan.pause_ms, pause_event);
    later(s, s->plan.weather_ms, weather_event);
}

void sim__heal(struct sim *s)
{
    struct world *w = &s->world;
    sim__trace(s, "-- all faults end");
    s->settling = true;
    s->settle_ns = w->now_ns;
    cuts_clear(w);
    w->loss = 0;
    w->repeat = 0;
    w->delay_min_ns = SIM_MS / 5;
    w->delay_spread_ns = SIM_MS;
    for (int i = 0; i < w->node_count; i++) {
        w->machines[i].log_ns = 2 * SIM_MS;
        w->machines[i].worker_ns = 2 * SIM_MS;
    }
}
