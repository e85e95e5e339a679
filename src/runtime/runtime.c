/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c: the life of a runtime, work posted to it, its timers and signals.
 *
 * Happy path   new → listeners, clients, timers → run → free.
 * Can fail     for want of memory or descriptors.
 * Invariants   what the loop still calls while it is freed (closed connections, posted work) finds
 *              everything there; then the rest goes.
 * Thread       the loop's, but for post and stop.
 */
#include <stdlib.h>

#include "runtime/internal.h"

struct oak_runtime_timer {
    struct oak_timer timer;
    struct oak_list link;
    struct oak_runtime *rt;
    void (*fn)(void *user);
    void *user;
};

struct work {
    struct oak_task task;
    void (*fn)(void *user);
    void *user;
};

int oak_runtime_new(struct oak_runtime **out)
{
    struct oak_runtime *rt = calloc(1, sizeof(*rt));
    if (rt == NULL) {
        return OAK_ENOMEM;
    }
    int error = oak_os_loop_new(&rt->os);
    if (error != 0) {
        free(rt);
        return error;
    }
    rt->loop = oak_os_loop_port(rt->os);
    oak_list_init(&rt->timers);
    oak_list_init(&rt->listeners);
    oak_list_init(&rt->servers);
    oak_list_init(&rt->nets);
    oak_list_init(&rt->watches);
    *out = rt;
    return 0;
}

static void timer_free(struct oak_runtime_timer *t)
{
    oak_list_remove(&t->link);
    free(t);
}

void oak_runtime_close(struct oak_runtime *rt)
{
    if (rt->closed) {
        return;
    }
    rt->closed = true;
    rt->loop->after_remove(rt->loop->user, &rt->drained);
    runtime__listeners_close(rt);
    runtime__nets_free(rt);
    runtime__watches_stop(rt);
    oak_os_loop_close(rt->os);
    while (!oak_list_empty(&rt->timers)) {
        oak_runtime_cancel(OAK_LIST_ENTRY(rt->timers.next, struct oak_runtime_timer, link));
    }
}

void oak_runtime_free(struct oak_runtime *rt)
{
    if (rt == NULL) {
        return;
    }
    oak_runtime_close(rt);
    runtime__servers_free(rt);
    runtime__watches_free(rt);
    oak_os_loop_free(rt->os);
    while (!oak_list_empty(&rt->timers)) { /* set by who was freed in between */
        timer_free(OAK_LIST_ENTRY(rt->timers.next, struct oak_runtime_timer, link));
    }
    free(rt);
}

void oak_runtime_run(struct oak_runtime *rt)
{
    oak_os_loop_run(rt->os);
}

void oak_runtime_stop(struct oak_runtime *rt)
{
    oak_os_loop_stop(rt->os);
}

const struct oak_loop *oak_runtime_loop(struct oak_runtime *rt)
{
    return rt->loop;
}

uint64_t oak_runtime_now_ns(const struct oak_runtime *rt)
{
    return rt->loop->clock.mono_ns(rt->loop->clock.user);
}

/* -- work and time ----------------------------------------------------------------------------- */

static void work_run(struct oak_task *task)
{
    struct work *w = OAK_CONTAINER_OF(task, struct work, task);
    void (*fn)(void *user) = w->fn;
    void *user = w->user;
    free(w);
    fn(user);
}

int oak_runtime_post(struct oak_runtime *rt, void (*fn)(void *user), void *user)
{
    struct work *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    *w = (struct work){.task.run = work_run, .fn = fn, .user = user};
    rt->loop->exec.post(rt->loop->exec.user, &w->task);
    return 0;
}

void runtime__timer_set(struct oak_runtime *rt, struct oak_timer *timer, uint64_t delay_ns)
{
    uint64_t now = oak_runtime_now_ns(rt);
    uint64_t due = now > UINT64_MAX - delay_ns ? UINT64_MAX : now + delay_ns;
    rt->loop->timers.set(rt->loop->timers.user, timer, due);
}

static void timer_fire(struct oak_timer *timer)
{
    struct oak_runtime_timer *t = OAK_CONTAINER_OF(timer, struct oak_runtime_timer, timer);
    void (*fn)(void *user) = t->fn;
    void *user = t->user;
    timer_free(t);
    fn(user);
}

int oak_runtime_after(struct oak_runtime *rt, uint64_t delay_ns, void (*fn)(void *user), void *user,
                      struct oak_runtime_timer **out)
{
    struct oak_runtime_timer *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return OAK_ENOMEM;
    }
    *t = (struct oak_runtime_timer){.timer.fire = timer_fire, .rt = rt, .fn = fn, .user = user};
    oak_list_push(&rt->timers, &t->link);
    runtime__timer_set(rt, &t->timer, delay_ns);
    if (out != NULL) {
        *out = t;
    }
    return 0;
}

void oak_runtime_cancel(struct oak_runtime_timer *t)
{
    const struct oak_timers *timers = &t->rt->loop->timers;
    timers->stop(timers->user, &t->timer);
    timer_free(t);
}

/* -- signals ----------------------------------------------------------------------------------- */

int oak_runtime_on_signal(struct oak_runtime *rt, void (*fn)(void *user, int signal), void *user)
{
    return oak_os_loop_on_signal(rt->os, fn, user);
}

static void drain_signalled(void *user, int signal)
{
    (void)signal;
    struct oak_runtime *rt = user;
    if (rt->draining) {
        oak_runtime_stop(rt);
    } else {
        oak_runtime_drain(rt, rt->signal_grace_ns);
    }
}

int oak_runtime_drain_on_signal(struct oak_runtime *rt, uint64_t grace_ns)
{
    rt->signal_grace_ns = grace_ns;
    return oak_runtime_on_signal(rt, drain_signalled, rt);
}
