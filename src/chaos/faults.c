/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c: each kind of fault, begun and ended.
 *
 * Invariants   what is begun is ended, and leaves the node as it was: running, at its pace, with
 *              its clock right. One fault of a family is on at one time (plan.c), so that an end
 *              undoes its own beginning only.
 * Thread       the loop's.
 */
#include "chaos/internal.h"

#include <signal.h>
#include <stdlib.h>

/* How long after a fault of its disk a process may still be found to have ended. */
#define END_GRACE_NS (5 * CHAOS_SECOND_NS)

static int target_now(struct chaos *c, const struct chaos__fault *f)
{
    if (f->target != CHAOS_TARGET_LEADER) {
        return f->target;
    }
    int leader = chaos__leader(c);
    return leader >= 0 ? leader : (int)(f->mask % (uint32_t)c->count);
}

static bool aside(uint32_t mask, int node)
{
    return (mask >> node & 1) != 0;
}

static bool apart(const struct chaos *c, const struct chaos__fault *f, int t, int a, int b)
{
    switch (f->kind) {
    case OAK_CHAOS_HALVES:
        return aside(f->mask, a) != aside(f->mask, b);
    case OAK_CHAOS_ISOLATE:
        return (a == t) != (b == t);
    case OAK_CHAOS_ONE_WAY:
        return f->amount == 0 ? b == t : a == t;
    case OAK_CHAOS_BRIDGE:
        return aside(f->mask, a) != aside(f->mask, b) && a != t && b != t;
    case OAK_CHAOS_RING:
        return (a + 1) % c->count != b && (b + 1) % c->count != a;
    default:
        return false;
    }
}

static void links_set(struct chaos *c, const struct chaos__fault *f, int t, bool on)
{
    for (int a = 0; a < c->count; a++) {
        for (int b = 0; b < c->count; b++) {
            struct chaos__link *link = &c->links[a][b];
            bool touched = t < 0 || a == t || b == t;
            if (a == b) {
                continue;
            }
            if (f->kind == OAK_CHAOS_LOSS) {
                link->loss = on && touched ? (unsigned)f->amount : 0;
            } else if (f->kind == OAK_CHAOS_DELAY) {
                link->delay_ns = on && touched ? (uint64_t)f->amount * CROWD_MS : 0;
            } else {
                link->cut = on && apart(c, f, t, a, b);
            }
        }
    }
    chaos__proxy_changed(c);
}

static void words_set(struct chaos__node *n, const struct chaos__fault *f, bool on)
{
    int64_t amount = on ? f->amount : 0;
    uint64_t now = crowd_now(&n->chaos->crowd);
    switch (f->kind) {
    case OAK_CHAOS_SLOW_DISK:
        oak_os_faults_set(n->faults, OAK_OS_FAULT_SYNC_DELAY_NS, amount * (int64_t)CROWD_MS);
        return;
    case OAK_CHAOS_FULL_DISK:
        oak_os_faults_set(n->faults, OAK_OS_FAULT_DISK_FULL, amount);
        /* Files that can't grow are lived with. A write in place that fails is a failed write. */
        n->may_end_until_ns = f->amount != OAK_OS_FULL_FOR_ALL ? 0
                              : on                             ? UINT64_MAX
                                                               : now + END_GRACE_NS;
        return;
    case OAK_CHAOS_DISK_ERROR:
        oak_os_faults_set(n->faults, OAK_OS_FAULT_SYNC_ERROR, on ? 1 : 0);
        n->may_end_until_ns = on ? UINT64_MAX : now + END_GRACE_NS;
        return;
    case OAK_CHAOS_CLOCK_JUMP:
        oak_os_faults_set(n->faults, OAK_OS_FAULT_WALL_OFFSET_NS,
                          amount * (int64_t)CHAOS_SECOND_NS);
        return;
    case OAK_CHAOS_CLOCK_DRIFT:
        oak_os_faults_set(n->faults, OAK_OS_FAULT_MONO_RATE_PPM, amount);
        return;
    default:
        OAK_UNREACHABLE("a fault without a word");
    }
}

static void signal_send(struct chaos *c, int t, int signal)
{
    for (int i = 0; i < c->count; i++) {
        if (t < 0 || t == i) {
            chaos__node_signal(&c->nodes[i], signal);
        }
    }
}

static size_t event_add(struct chaos *c, const struct chaos__fault *fault, int target)
{
    if (c->event_count == c->event_capacity) {
        c->event_capacity = OAK_MAX((size_t)64, 2 * c->event_capacity);
        c->events = realloc(c->events, c->event_capacity * sizeof(*c->events));
        OAK_ASSERT(c->events != NULL);
    }
    c->events[c->event_count] = (struct chaos__event){
        .fault = *fault, .target = target, .begin_ms = chaos__now_ms(c), .end_ms = UINT64_MAX};
    return c->event_count++;
}

/* Somebody on each side of the bridge, whoever it turned out to be. */
static uint32_t bridge_side(const struct chaos *c, uint32_t mask, int bridge)
{
    uint32_t others = ((UINT32_C(1) << c->count) - 1) & ~(UINT32_C(1) << bridge);
    uint32_t side = mask & others;
    return side == 0 || side == others ? others & (~others + 1) : side;
}

size_t chaos__fault_begin(struct chaos *c, const struct chaos__fault *fault)
{
    int t = target_now(c, fault);
    struct chaos__fault as_is = *fault;
    const struct chaos__fault *f = &as_is;
    if (f->kind == OAK_CHAOS_BRIDGE) {
        as_is.mask = bridge_side(c, f->mask, t);
    }
    c->report->faults[f->kind]++;
    c->report->fault_count++;
    size_t event = event_add(c, f, t);
    switch (f->kind) {
    case OAK_CHAOS_KILL:
    case OAK_CHAOS_KILL_ALL:
        signal_send(c, t, SIGKILL);
        break;
    case OAK_CHAOS_STOP:
        signal_send(c, t, SIGTERM);
        break;
    case OAK_CHAOS_PAUSE:
        signal_send(c, t, SIGSTOP);
        break;
    case OAK_CHAOS_HALVES:
    case OAK_CHAOS_ISOLATE:
    case OAK_CHAOS_ONE_WAY:
    case OAK_CHAOS_BRIDGE:
    case OAK_CHAOS_RING:
    case OAK_CHAOS_LOSS:
    case OAK_CHAOS_DELAY:
        links_set(c, f, t, true);
        break;
    default:
        words_set(&c->nodes[t], f, true);
        break;
    }
    return event;
}

void chaos__fault_end(struct chaos *c, size_t place)
{
    struct chaos__event *event = &c->events[place];
    const struct chaos__fault *f = &event->fault;
    int t = event->target;
    OAK_ASSERT_EQ(event->end_ms, UINT64_MAX);
    event->end_ms = chaos__now_ms(c);
    switch (f->kind) {
    case OAK_CHAOS_KILL:
    case OAK_CHAOS_KILL_ALL:
    case OAK_CHAOS_STOP:
        break; /* who is down is started again by run.c, once its end was heard */
    case OAK_CHAOS_PAUSE:
        signal_send(c, t, SIGCONT);
        break;
    case OAK_CHAOS_HALVES:
    case OAK_CHAOS_ISOLATE:
    case OAK_CHAOS_ONE_WAY:
    case OAK_CHAOS_BRIDGE:
    case OAK_CHAOS_RING:
    case OAK_CHAOS_LOSS:
    case OAK_CHAOS_DELAY:
        links_set(c, f, t, false);
        break;
    default:
        words_set(&c->nodes[t], f, false);
        break;
    }
}
