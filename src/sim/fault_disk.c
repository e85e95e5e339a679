/* SPDX-License-Identifier: Apache-2.0 */
/* fault_disk.c: disks that are slow, stand still, are full, fail, or lie. */
#include "sim/internal.h"

/* A sector is not damaged before so much time has passed since it became certain: the log proves
 * its last batch when it has been quiet for a heartbeat (journal.h), and what is not proven can't
 * be told from a torn end. */
#define ROT_AGE_MS 2000

static struct machine *machine_of(struct sim *s, const struct node *n)
{
    return &s->world.machines[n->index];
}

static void slow_end(const struct fault_end *end)
{
    struct machine *m = &end->sim->world.machines[end->node];
    m->log_ns = 2 * SIM_MS;
    m->worker_ns = 2 * SIM_MS;
    sim__tell(end->sim, "-- n%d has its old disk again", end->node + 1);
}

static void slow_set(struct sim *s, const struct fault *f, const struct node *n, uint64_t log_ms,
                     uint64_t worker_ms, uint64_t ms)
{
    for (int i = 0; i < s->world.node_count; i++) {
        s->world.machines[i].log_ns = 2 * SIM_MS;
        s->world.machines[i].worker_ns = 2 * SIM_MS;
    }
    machine_of(s, n)->log_ns = log_ms * SIM_MS;
    machine_of(s, n)->worker_ns = worker_ms * SIM_MS;
    sim__fault_tell(s, f->kind, f->id,
                    "n%d takes %llu ms for a task of its log, %llu of its store, for %llu ms",
                    n->index + 1, (unsigned long long)log_ms, (unsigned long long)worker_ms,
                    (unsigned long long)ms);
    const struct fault_end end = {
        .run = slow_end, .sim = s, .id = f->id, .kind = f->kind, .node = n->index};
    sim__fault_lasts(&end, ms * SIM_MS);
}

void sim__fault_slow_disk(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    uint64_t log_ms = oak_prng_between(p, 1, 60);
    uint64_t worker_ms = oak_prng_between(p, 1, 60);
    uint64_t ms = oak_prng_between(p, 500, 10000);
    if (n != NULL) {
        slow_set(s, f, n, log_ms, worker_ms, ms);
    }
}

/* One of both, for more than an election takes. */
void sim__fault_stall(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    bool log = oak_prng_chance(p, 1, 2);
    uint64_t stall_ms = oak_prng_between(p, 1000, 5000);
    if (n != NULL) {
        slow_set(s, f, n, log ? stall_ms : 2, log ? 2 : stall_ms, stall_ms);
    }
}

static void full_end(const struct fault_end *end)
{
    sim_disk_empty(end->sim->world.machines[end->node].disk);
    sim__tell(end->sim, "-- n%d has room on its disk again", end->node + 1);
}

void sim__fault_full_disk(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    size_t room = oak_prng_chance(p, 1, 2) ? 0 : oak_prng_below(p, 64 * OAK_KIB);
    uint64_t ms = oak_prng_between(p, 200, 6000);
    if (n == NULL) {
        return;
    }
    for (int i = 0; i < s->world.node_count; i++) {
        sim_disk_empty(s->world.machines[i].disk);
    }
    sim_disk_fill(machine_of(s, n)->disk, room);
    sim__fault_tell(s, f->kind, f->id, "n%d has room for %zu bytes on its disk, for %llu ms",
                    n->index + 1, room, (unsigned long long)ms);
    const struct fault_end end = {
        .run = full_end, .sim = s, .id = f->id, .kind = f->kind, .node = n->index};
    sim__fault_lasts(&end, ms * SIM_MS);
}

void sim__fault_sync_fails(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    unsigned count = (unsigned)oak_prng_between(p, 1, 4);
    if (n != NULL) {
        sim_disk_fail(machine_of(s, n)->disk, count, 0);
        sim__fault_tell(s, f->kind, f->id, "sync %u from now fails on n%d", count, n->index + 1);
    }
}

void sim__fault_write_fails(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    const struct node *n = sim__node_any(s, p);
    unsigned count = (unsigned)oak_prng_between(p, 1, 8);
    if (n != NULL) {
        sim_disk_fail(machine_of(s, n)->disk, 0, count);
        sim__fault_tell(s, f->kind, f->id, "write %u from now fails on n%d", count, n->index + 1);
    }
}

/* Also on a machine that is off. */
static void damage(struct sim *s, const struct fault *f, struct oak_prng *p, bool misdirected)
{
    static const char *const parts[] = {"/wal", "/snap", "/store"};
    struct node *n = &s->nodes[oak_prng_below(p, (uint64_t)s->world.node_count)];
    const char *part = parts[oak_prng_below(p, OAK_COUNT_OF(parts))];
    if ((s->plan.victims >> n->index & 1) == 0 || s->world.now_ns < ROT_AGE_MS * SIM_MS) {
        return;
    }
    const char *path = sim_disk_rot(machine_of(s, n)->disk, p, part,
                                    s->world.now_ns - ROT_AGE_MS * SIM_MS, misdirected);
    if (path != NULL) {
        n->rotten |= 1u << sim_disk_part_of(path);
        n->misdirected = n->misdirected || misdirected;
        sim__fault_tell(s, f->kind, f->id, "%s in %s of n%d",
                        misdirected ? "a sector is overwritten by another" : "a bit turns", path,
                        n->index + 1);
    }
}

void sim__fault_rot(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    damage(s, f, p, false);
}

void sim__fault_misdirect(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    damage(s, f, p, true);
}
