/* SPDX-License-Identifier: Apache-2.0 */
/* timers.c: any number of timers behind one alarm of libuv.
 *
 * Happy path   1 set: into the heap
 *              2 before the loop waits: the alarm is set for the first
 *              3 the loop wakes
 *              4 what is due fires, in the order of being due
 * Can fail     nothing: the heap is threaded through the timers, so that setting one needs no
 *              memory.
 * Invariants   no timer is due before its parent; `impl` is the first child, `link.next` the next
 *              sibling, `link.prev` the previous one or, for a first child, the parent. Why a
 *              pairing heap: set is O(1) and most timers (deadlines) are stopped, not fired.
 *              libuv counts in milliseconds of a clock that stops when the machine is suspended:
 *              it only wakes us, and what is due is judged by our own clock.
 * Thread       the loop's.
 */
#include "os/internal.h"

OAK_STATIC_ASSERT(sizeof(size_t) >= sizeof(void *), "impl holds a pointer");

static struct oak_timer *child_of(const struct oak_timer *t)
{
    return (struct oak_timer *)(void *)t->impl; /* NOLINT: stored below */
}

static void child_set(struct oak_timer *t, struct oak_timer *child)
{
    t->impl = (size_t)(void *)child;
}

static struct oak_timer *of_link(struct oak_list *link)
{
    return link == NULL ? NULL : OAK_LIST_ENTRY(link, struct oak_timer, link);
}

static struct oak_timer *heap_merge(struct oak_timer *a, struct oak_timer *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (b->due_ns < a->due_ns) {
        struct oak_timer *swap = a;
        a = b;
        b = swap;
    }
    struct oak_timer *first = child_of(a);
    b->link.next = first == NULL ? NULL : &first->link;
    b->link.prev = &a->link;
    if (first != NULL) {
        first->link.prev = &b->link;
    }
    child_set(a, b);
    return a;
}

/* One heap of a chain of siblings: merge them two by two, then the pairs from the last to the
 * first. */
static struct oak_timer *heap_gather(struct oak_timer *first)
{
    struct oak_timer *pairs = NULL; /* chained by link.next, last pair first */
    while (first != NULL) {
        struct oak_timer *second = of_link(first->link.next);
        struct oak_timer *rest = second == NULL ? NULL : of_link(second->link.next);
        first->link = (struct oak_list){0};
        if (second != NULL) {
            second->link = (struct oak_list){0};
        }
        struct oak_timer *pair = heap_merge(first, second);
        pair->link.next = pairs == NULL ? NULL : &pairs->link;
        pairs = pair;
        first = rest;
    }
    struct oak_timer *root = NULL;
    while (pairs != NULL) {
        struct oak_timer *next = of_link(pairs->link.next);
        pairs->link = (struct oak_list){0};
        root = heap_merge(root, pairs);
        pairs = next;
    }
    return root;
}

static void heap_remove(struct oak_os_loop *loop, struct oak_timer *t)
{
    OAK_ASSERT(t->running);
    OAK_ASSERT_GT(loop->timer_count, 0u);
    struct oak_timer *below = heap_gather(child_of(t));
    if (loop->timers == t) {
        loop->timers = below;
    } else {
        struct oak_timer *before = of_link(t->link.prev);
        OAK_ASSERT(before != NULL);
        if (child_of(before) == t) {
            child_set(before, of_link(t->link.next));
        } else {
            before->link.next = t->link.next;
        }
        if (t->link.next != NULL) {
            t->link.next->prev = t->link.prev;
        }
        loop->timers = heap_merge(loop->timers, below);
    }
    t->link = (struct oak_list){0};
    t->impl = 0;
    t->running = false;
    loop->timer_count--;
}

static void timer_stop(void *user, struct oak_timer *t)
{
    if (t->running) {
        heap_remove(user, t);
    }
}

static void timer_set(void *user, struct oak_timer *t, uint64_t due_ns)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(t->fire != NULL);
    timer_stop(loop, t);
    t->due_ns = due_ns;
    t->running = true;
    t->link = (struct oak_list){0};
    t->impl = 0;
    loop->timers = heap_merge(loop->timers, t);
    loop->timer_count++;
}

void os__timers_port(struct oak_os_loop *loop)
{
    loop->port.timers = (struct oak_timers){.set = timer_set, .stop = timer_stop, .user = loop};
}

void os__timers_fire(struct oak_os_loop *loop)
{
    if (loop->timers == NULL) {
        return;
    }
    uint64_t now = loop->port.clock.mono_ns(loop->port.clock.user);
    /* No more than there are now: a timer that sets itself again for `now` must not keep the loop.
     */
    for (size_t budget = loop->timer_count; budget > 0; budget--) {
        struct oak_timer *first = loop->timers;
        if (first == NULL || first->due_ns > now) {
            break;
        }
        heap_remove(loop, first);
        first->fire(first);
    }
}

static void alarm_cb(uv_timer_t *alarm)
{
    struct oak_os_loop *loop = alarm->data;
    loop->alarm_due_ns = 0; /* the round that follows fires the timers */
}

bool os__timers_arm(struct oak_os_loop *loop)
{
    if (loop->timers == NULL) {
        if (loop->alarm_due_ns != 0) {
            uv_timer_stop(&loop->alarm);
            loop->alarm_due_ns = 0;
        }
        return false;
    }
    uint64_t due = loop->timers->due_ns;
    uint64_t now = loop->port.clock.mono_ns(loop->port.clock.user);
    if (due <= now) {
        return true;
    }
    if (due != loop->alarm_due_ns) {
        uint64_t wait_ms = (due - now + 999999u) / 1000000u;
        uv_update_time(&loop->uv);
        int rc = uv_timer_start(&loop->alarm, alarm_cb, wait_ms, 0);
        OAK_ASSERT(rc == 0);
        loop->alarm_due_ns = due;
    }
    return false;
}
