/* SPDX-License-Identifier: Apache-2.0 */
/* world.c: the heap of events, and clock, timers, actors and network made of it.
 *
 * An actor (log writer, worker) is a place in time: a task posted to it runs when its machine has
 * come to it, a drawn while later; what a task writes happens at that moment. A paused machine's
 * events wait for its end, as those of a stopped process do.
 */
#include "sim/world.h"

#include <stdlib.h>

/* -- events ------------------------------------------------------------------------------------ */

static bool earlier(const struct event *a, const struct event *b)
{
    if (a->at_ns != b->at_ns) {
        return a->at_ns < b->at_ns;
    }
    return a->tie != b->tie ? a->tie < b->tie : a->order < b->order;
}

static void heap_push(struct world *w, struct event *e)
{
    if (w->heap_count == w->heap_capacity) {
        w->heap_capacity = OAK_MAX((size_t)256, w->heap_capacity * 2);
        w->heap = realloc(w->heap, w->heap_capacity * sizeof(struct event *));
        OAK_ASSERT(w->heap != NULL);
    }
    size_t at = w->heap_count++;
    while (at > 0 && earlier(e, w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = e;
}

static struct event *heap_pop(struct world *w)
{
    OAK_ASSERT_GT(w->heap_count, 0);
    struct event *top = w->heap[0];
    struct event *last = w->heap[--w->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= w->heap_count) {
            break;
        }
        if (child + 1 < w->heap_count && earlier(w->heap[child + 1], w->heap[child])) {
            child++;
        }
        if (!earlier(w->heap[child], last)) {
            break;
        }
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->heap_count > 0) {
        w->heap[at] = last;
    }
    return top;
}

static void event_free(struct event *e)
{
    free((void *)(uintptr_t)e->bytes.data);
    free(e);
}

static struct event *event_make(struct world *w, uint64_t at_ns, int node,
                                void (*run)(struct world *, struct event *), void *arg)
{
    struct event *e = calloc(1, sizeof(*e));
    OAK_ASSERT(e != NULL);
    OAK_ASSERT_GE(at_ns, w->now_ns);
    e->at_ns = at_ns;
    e->order = ++w->order;
    e->tie = e->order;
    e->node = node;
    e->life = node >= 0 ? w->machines[node].life : 0;
    e->run = run;
    e->arg = arg;
    e->group = -1;
    return e;
}

void world_at(struct world *w, uint64_t at_ns, int node,
              void (*run)(struct world *, struct event *), void *arg, struct oak_bytes bytes,
              int from)
{
    struct event *e = event_make(w, at_ns, node, run, arg);
    if (bytes.size > 0) {
        uint8_t *copy = malloc(bytes.size);
        OAK_ASSERT(copy != NULL);
        memcpy(copy, bytes.data, bytes.size);
        e->bytes = oak_bytes(copy, bytes.size);
    }
    e->from = from;
    heap_push(w, e);
}

static void after_run(struct machine *m)
{
    for (struct oak_list *at = m->after.next; at != &m->after; at = m->after_next) {
        struct oak_after *after = OAK_LIST_ENTRY(at, struct oak_after, link);
        m->after_next = at->next;
        after->run(after);
    }
    m->after_next = NULL;
}

static void digest_add(struct world *w, uint64_t x)
{
    uint64_t h = w->digest ^ (x + 0x9e3779b97f4a7c15u + (w->digest << 6) + (w->digest >> 2));
    h *= 0xff51afd7ed558ccdu;
    w->digest = h ^ (h >> 33);
}

/* How long a slow machine's events wait at most. */
#define QUEUE_NS_MAX (500 * SIM_MS)

/* The machine is not at it yet: the event comes again later. */
static bool put_off(struct world *w, struct machine *m, struct event *e)
{
    if (m->paused_until_ns > w->now_ns) {
        /* A process that goes on finds its timers and what came for it in no set order. */
        e->at_ns = m->paused_until_ns;
        e->tie = oak_prng_u64(&w->prng);
    } else if (m->busy_until_ns > w->now_ns && !e->queued) {
        /* Its turn comes behind those that wait; what comes faster than it is worked off is kept
         * back by whoever sends, so that the queue does not grow without an end. */
        e->queued = true;
        e->at_ns = m->busy_until_ns;
        m->busy_until_ns = OAK_MIN(e->at_ns + m->event_ns, w->now_ns + QUEUE_NS_MAX);
    } else {
        return false;
    }
    heap_push(w, e);
    return true;
}

bool world_step(struct world *w)
{
    if (w->heap_count == 0) {
        return false;
    }
    struct event *e = heap_pop(w);
    OAK_ASSERT_GE(e->at_ns, w->now_ns);
    w->now_ns = e->at_ns;
    w->steps++;
    w->touched = e->node;
    w->touched_group = e->group;
    struct machine *m = e->node >= 0 ? &w->machines[e->node] : NULL;
    if (m != NULL && (!m->up || m->life != e->life)) {
        event_free(e);
        return true;
    }
    if (m != NULL && put_off(w, m, e)) {
        return true;
    }
    if (m != NULL) {
        digest_add(w, w->now_ns ^ (uint64_t)(e->node + 1) << 56 ^ (uint64_t)(e->group + 1) << 48);
    }
    e->run(w, e);
    if (m != NULL && m->up && m->life == e->life) {
        after_run(m);
        m->busy_until_ns = e->queued ? m->busy_until_ns : w->now_ns + m->event_ns;
    }
    event_free(e);
    return true;
}

/* -- the ports of a machine -------------------------------------------------------------------- */

static uint64_t clock_now(void *user)
{
    const struct machine *m = user;
    return sim_clock_mono(&m->clock, m->world->now_ns);
}

static uint64_t clock_wall(void *user)
{
    const struct machine *m = user;
    return sim_clock_wall(&m->clock, m->world->now_ns);
}

static void entropy_fill(void *user, void *out, size_t size)
{
    struct machine *m = user;
    uint8_t *p = out;
    for (size_t i = 0; i < size; i++) {
        p[i] = (uint8_t)oak_prng_u64(&m->world->prng);
    }
}

static void timer_set(void *user, struct oak_timer *timer, uint64_t due_ns);

static void timer_event(struct world *w, struct event *e)
{
    struct machine *m = &w->machines[e->node];
    struct oak_timer *timer = e->arg;
    if (!timer->running || timer->impl != (size_t)e->order) {
        return;
    }
    if (sim_clock_when(&m->clock, timer->due_ns) > w->now_ns) {
        timer_set(m, timer, timer->due_ns); /* the clock has become slower meanwhile */
        return;
    }
    timer->running = false;
    timer->fire(timer);
}

static void timer_set(void *user, struct oak_timer *timer, uint64_t due_ns)
{
    struct machine *m = user;
    struct world *w = m->world;
    uint64_t at_ns = OAK_MAX(sim_clock_when(&m->clock, due_ns), w->now_ns);
    struct event *e = event_make(w, at_ns, m->node, timer_event, timer);
    timer->due_ns = due_ns;
    timer->impl = (size_t)e->order;
    timer->running = true;
    heap_push(w, e);
}

static void timer_stop(void *user, struct oak_timer *timer)
{
    (void)user;
    timer->running = false;
}

/* Power may be cut right before or right behind a task of this actor. */
static void doom_meet(struct machine *m, enum doom doom)
{
    if (m->doom == doom) {
        m->doom = DOOM_NONE;
        sim_disk_die(m->disk);
    }
}

/* An actor's turn: whatever moment was drawn for a task, they run in the order of their posting. */
static void task_event(struct world *w, struct event *e)
{
    struct machine *m = &w->machines[e->node];
    enum doom before = e->arg == &m->log_tasks      ? DOOM_LOG_BEFORE
                       : e->arg == &m->worker_tasks ? DOOM_WORKER_BEFORE
                                                    : DOOM_LOOP_BEFORE;
    struct oak_list *node = oak_list_pop(e->arg);
    OAK_ASSERT(node != NULL);
    struct oak_task *task = OAK_LIST_ENTRY(node, struct oak_task, link);
    doom_meet(m, before);
    task->run(task);
    doom_meet(m, before + 1);
}

static void task_push(struct machine *m, struct oak_list *tasks, struct oak_task *task,
                      uint64_t at_ns)
{
    task->link = (struct oak_list){0};
    oak_list_push(tasks, &task->link);
    heap_push(m->world, event_make(m->world, at_ns, m->node, task_event, tasks));
}

static void loop_post(void *user, struct oak_task *task)
{
    struct machine *m = user;
    task_push(m, &m->loop_tasks, task, m->world->now_ns);
}

static void actor_post(struct machine *m, struct oak_list *tasks, struct oak_task *task,
                       uint64_t mean_ns)
{
    struct world *w = m->world;
    uint64_t takes = mean_ns / 2 + oak_prng_below(&w->prng, mean_ns + 1);
    task_push(m, tasks, task, w->now_ns + takes);
}

static void log_post(void *user, struct oak_task *task)
{
    struct machine *m = user;
    actor_post(m, &m->log_tasks, task, m->log_ns);
}

static void worker_post(void *user, struct oak_task *task)
{
    struct machine *m = user;
    actor_post(m, &m->worker_tasks, task, m->worker_ns);
}

static void after_add(void *user, struct oak_after *after)
{
    struct machine *m = user;
    after->link = (struct oak_list){0};
    oak_list_push(&m->after, &after->link);
    if (m->after_next == &m->after) {
        m->after_next = &after->link;
    }
}

static void after_remove(void *user, struct oak_after *after)
{
    struct machine *m = user;
    if (!oak_list_linked(&after->link)) {
        return;
    }
    if (m->after_next == &after->link) {
        m->after_next = after->link.next;
    }
    oak_list_remove(&after->link);
}

void world_boot(struct world *w, int node)
{
    struct machine *m = &w->machines[node];
    OAK_ASSERT(!m->up);
    m->life++;
    m->up = true;
    m->paused_until_ns = 0;
    m->busy_until_ns = 0;
    m->doom = DOOM_NONE;
    oak_list_init(&m->after);
    oak_list_init(&m->loop_tasks);
    oak_list_init(&m->log_tasks);
    oak_list_init(&m->worker_tasks);
}

/* Tasks that are still posted are run, so that whoever waits for them can free what they hold; the
 * disk is dead by now. Frames and timers are dropped. */
void world_kill(struct world *w, int node)
{
    struct machine *m = &w->machines[node];
    OAK_ASSERT(m->up);
    for (;;) {
        struct event *next = NULL;
        size_t kept = 0;
        for (size_t i = 0; i < w->heap_count; i++) {
            struct event *e = w->heap[i];
            bool task = e->node == node && e->life == m->life && e->run == task_event;
            if (task && (next == NULL || earlier(e, next))) {
                next = e;
            }
        }
        if (next == NULL) {
            break;
        }
        for (size_t i = 0; i < w->heap_count; i++) {
            if (w->heap[i] != next) {
                w->heap[kept++] = w->heap[i];
            }
        }
        w->heap_count = 0; /* heap_push writes no further than it has read */
        for (size_t i = 0; i < kept; i++) {
            heap_push(w, w->heap[i]);
        }
        next->run(w, next);
        event_free(next);
    }
    m->up = false;
    m->life++;
}

/* -- the network ------------------------------------------------------------------------------- */

static void frame_event(struct world *w, struct event *e)
{
    w->deliver(w, e->node, e->from, e->group, e->bytes);
}

static void frame_push(struct world *w, int from, int to, int group, struct oak_bytes frame)
{
    uint64_t at = w->now_ns + w->delay_min_ns + oak_prng_below(&w->prng, w->delay_spread_ns + 1);
    at = OAK_MAX(at, w->clogged_until_ns[from][to]);
    struct event *e = event_make(w, at, to, frame_event, NULL);
    uint8_t *copy = malloc(frame.size);
    OAK_ASSERT(copy != NULL);
    memcpy(copy, frame.data, frame.size);
    e->bytes = oak_bytes(copy, frame.size);
    e->from = from;
    e->group = group;
    heap_push(w, e);
}

static void frame_record(struct world *w, int from, int to, int group, struct oak_bytes frame)
{
    struct old_frame *old = &w->old[oak_prng_below(&w->prng, SIM_OLD_FRAMES)];
    oak_buf_clear(&old->bytes);
    int error = oak_buf_append(&old->bytes, frame.data, frame.size);
    OAK_ASSERT_EQ(error, 0);
    old->from = from;
    old->to = to;
    old->group = group;
}

static void frame_send(struct world *w, int from, int to, int group, struct oak_bytes frame)
{
    bool lost = w->cut[from][to] || !w->machines[to].up || oak_prng_chance(&w->prng, w->loss, 1000);
    if (lost) {
        w->frames_lost++;
        return;
    }
    frame_push(w, from, to, group, frame);
    if (oak_prng_chance(&w->prng, w->repeat, 1000)) {
        w->frames_repeated++;
        frame_push(w, from, to, group, frame);
    }
}

void world_send(struct world *w, int from, int to, int group, struct oak_bytes frame)
{
    digest_add(w, oak_crc32c(0, frame.data, frame.size));
    frame_send(w, from, to, group, frame);
    if (w->recording && oak_prng_chance(&w->prng, 1, 16)) {
        frame_record(w, from, to, group, frame);
    }
}

bool world_send_old(struct world *w, size_t place)
{
    OAK_ASSERT_LT(place, SIM_OLD_FRAMES);
    const struct old_frame *old = &w->old[place];
    if (old->bytes.size == 0) {
        return false;
    }
    frame_send(w, old->from, old->to, old->group, oak_buf_bytes(&old->bytes));
    return true;
}

void world_lose(struct world *w, int from, int to)
{
    for (size_t i = 0; i < w->heap_count; i++) {
        struct event *e = w->heap[i];
        if (e->run == frame_event && e->node == to && e->from == from) {
            e->life = 0; /* no machine that is up has this one */
            w->frames_lost++;
        }
    }
}

/* -- the world --------------------------------------------------------------------------------- */

static void machine_init(struct world *w, int node)
{
    struct machine *m = &w->machines[node];
    m->world = w;
    m->node = node;
    m->disk = sim_disk_new(w);
    m->log_ns = 2 * SIM_MS;
    m->worker_ns = 2 * SIM_MS;
    oak_list_init(&m->after);
    m->loop = (struct oak_loop){
        .clock = {.mono_ns = clock_now, .wall_ns = clock_wall, .user = m},
        .entropy = {.fill = entropy_fill, .user = m},
        .timers = {.set = timer_set, .stop = timer_stop, .user = m},
        .exec = {.post = loop_post, .user = m},
        .after_add = after_add,
        .after_remove = after_remove,
        .user = m,
    };
    m->log_writer = (struct oak_exec){.post = log_post, .user = m};
    m->worker = (struct oak_exec){.post = worker_post, .user = m};
}

void world_init(struct world *w, uint64_t seed, int nodes)
{
    OAK_ASSERT(nodes > 0 && nodes <= SIM_NODES_MAX);
    *w = (struct world){.node_count = nodes};
    oak_prng_init(&w->prng, seed);
    w->now_ns = 1000 * SIM_MS;
    for (int i = 0; i < nodes; i++) {
        machine_init(w, i);
    }
}

void world_fini(struct world *w)
{
    for (size_t i = 0; i < w->heap_count; i++) {
        event_free(w->heap[i]);
    }
    free(w->heap);
    for (size_t i = 0; i < SIM_OLD_FRAMES; i++) {
        oak_buf_fini(&w->old[i].bytes);
    }
    for (int i = 0; i < w->node_count; i++) {
        sim_disk_free(w->machines[i].disk);
    }
}
