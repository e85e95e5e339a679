/* SPDX-License-Identifier: Apache-2.0 */
/* fault_node.c: nodes that lose their power, stand still, or are slow. */
#include "sim/internal.h"

/* -- crashes ----------------------------------------------------------------------------------- */

void sim__fault_crash(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct node *n = sim__node_any(s, p);
    if (n != NULL) {
        sim__fault_tell(s, f->kind, f->id, "n%d loses its power", n->index + 1);
        sim__node_crash(n);
    }
}

void sim__fault_crash_call(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct node *n = sim__node_any(s, p);
    uint64_t calls = 1 + oak_prng_below(p, 20);
    if (n != NULL) {
        sim__fault_tell(s, f->kind, f->id,
                        "n%d will lose its power in its disk's call %llu from now", n->index + 1,
                        (unsigned long long)calls);
        sim_disk_die_after(s->world.machines[n->index].disk, calls);
    }
}

/* A step of a task: the actor's, before or behind it. */
static void doom_draw(struct sim *s, const struct fault *f, struct oak_prng *p, struct node *n)
{
    static const char *const names[DOOM_COUNT] = {
        [DOOM_LOG_BEFORE] = "before the log is written",
        [DOOM_LOG_AFTER] = "when the log is written, before anybody hears",
        [DOOM_WORKER_BEFORE] = "before the worker's next task",
        [DOOM_WORKER_AFTER] = "behind the worker's next task",
        [DOOM_LOOP_BEFORE] = "before news of an actor is taken",
        [DOOM_LOOP_AFTER] = "when news of an actor has been taken",
    };
    enum doom doom = (enum doom)oak_prng_between(p, 1, DOOM_COUNT - 1);
    s->world.machines[n->index].doom = doom;
    sim__fault_tell(s, f->kind, f->id, "n%d will lose its power %s", n->index + 1, names[doom]);
}

void sim__fault_crash_step(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    static const char *const parts[] = {"/wal", "/wal", "/snap", "/store"};
    static const char *const calls[SIM_DISK_CALLS] = {"create", "write",  "sync",    "truncate",
                                                      "rename", "remove", "sync_dir"};
    struct node *n = sim__node_any(s, p);
    if (n == NULL) {
        return;
    }
    if (oak_prng_chance(p, 1, 2)) {
        doom_draw(s, f, p, n);
        return;
    }
    const struct sim_disk_trap trap = {
        .call = (enum sim_disk_call)oak_prng_below(p, SIM_DISK_CALLS),
        .part = parts[oak_prng_below(p, OAK_COUNT_OF(parts))],
        .after = oak_prng_chance(p, 1, 2),
        .count = (unsigned)oak_prng_between(p, 1, 3),
    };
    sim_disk_die_at(s->world.machines[n->index].disk, &trap);
    sim__fault_tell(s, f->kind, f->id, "n%d will lose its power %s %s number %u below %s",
                    n->index + 1, trap.after ? "behind" : "before", calls[trap.call], trap.count,
                    trap.part);
}

void sim__fault_blackout(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    (void)p;
    sim__fault_tell(s, f->kind, f->id, "all nodes lose their power");
    for (int i = 0; i < s->world.node_count; i++) {
        sim__node_crash(&s->nodes[i]);
    }
}

/* -- crashes that follow from something -------------------------------------------------------- */

struct later {
    struct node *node;
    enum oak_sim_fault kind;
    uint32_t id;
};

static void later_event(struct world *w, struct event *e)
{
    struct later l;
    (void)w;
    OAK_ASSERT_EQ(e->bytes.size, sizeof(l));
    memcpy(&l, e->bytes.data, sizeof(l));
    if (!l.node->sim->settling && l.node->up) {
        sim__fault_tell(l.node->sim, l.kind, l.id, "n%d loses its power", l.node->index + 1);
        sim__node_crash(l.node);
    }
}

static void crash_later(struct node *n, enum oak_sim_fault kind, uint32_t id, uint64_t ns)
{
    struct world *w = &n->sim->world;
    const struct later l = {.node = n, .kind = kind, .id = id};
    world_at(w, w->now_ns + ns, -1, later_event, NULL, oak_bytes(&l, sizeof(l)), 0);
}

void sim__leader_new(struct node *n)
{
    struct oak_prng p;
    uint32_t id;
    if (sim__reaction(n->sim, OAK_SIM_CHURN, 1, 1, &p, &id)) {
        crash_later(n, OAK_SIM_CHURN, id, oak_prng_below(&p, 600 * SIM_MS));
    }
}

/* Installing a snapshot has more steps that a crash may come between than anything else. */
void sim__install_new(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_prng p;
    uint32_t id;
    if (!sim__reaction(s, OAK_SIM_CRASH_INSTALL, 1, 2, &p, &id)) {
        return;
    }
    if (oak_prng_chance(&p, 1, 2)) {
        uint64_t calls = 1 + oak_prng_below(&p, 16);
        sim__fault_tell(s, OAK_SIM_CRASH_INSTALL, id,
                        "n%d will lose its power in its disk's call %llu from now", n->index + 1,
                        (unsigned long long)calls);
        sim_disk_die_after(s->world.machines[n->index].disk, calls);
    } else {
        crash_later(n, OAK_SIM_CRASH_INSTALL, id, oak_prng_below(&p, 30 * SIM_MS));
    }
}

void sim__start_new(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_prng p;
    uint32_t id;
    if (sim__reaction(s, OAK_SIM_CRASH_START, 1, 6, &p, &id)) {
        uint64_t calls = 1 + oak_prng_below(&p, 40);
        sim__fault_tell(s, OAK_SIM_CRASH_START, id,
                        "n%d will lose its power in its disk's call %llu from now", n->index + 1,
                        (unsigned long long)calls);
        sim_disk_die_after(s->world.machines[n->index].disk, calls);
    }
}

/* -- time -------------------------------------------------------------------------------------- */

void sim__fault_pause(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct node *n = sim__node_any(s, p);
    uint64_t ms = oak_prng_between(p, 50, 6000);
    if (n != NULL) {
        s->world.machines[n->index].paused_until_ns = s->world.now_ns + ms * SIM_MS;
        sim__fault_tell(s, f->kind, f->id, "n%d stands still for %llu ms", n->index + 1,
                        (unsigned long long)ms);
    }
}

static void slow_node_end(const struct fault_end *end)
{
    end->sim->world.machines[end->node].event_ns = 0;
    sim__tell(end->sim, "-- n%d is as fast as ever", end->node + 1);
}

void sim__fault_slow_node(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct node *n = sim__node_any(s, p);
    uint64_t us = oak_prng_between(p, 100, 2000);
    uint64_t ms = oak_prng_between(p, 500, 5000);
    if (n == NULL) {
        return;
    }
    for (int i = 0; i < s->world.node_count; i++) {
        s->world.machines[i].event_ns = 0;
    }
    s->world.machines[n->index].event_ns = us * 1000;
    sim__fault_tell(s, f->kind, f->id, "n%d takes %llu us for each event, for %llu ms",
                    n->index + 1, (unsigned long long)us, (unsigned long long)ms);
    const struct fault_end end = {
        .run = slow_node_end, .sim = s, .id = f->id, .kind = f->kind, .node = n->index};
    sim__fault_lasts(&end, ms * SIM_MS);
}
