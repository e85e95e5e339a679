/* SPDX-License-Identifier: Apache-2.0 */
/* deadlines.c: a binary heap of calls, the earliest deadline on top.
 *
 * Happy path   most calls of a connection come with the same timeout, so each new one is the
 *              latest: adding costs no step. Most end before their time, and are removed from the
 *              middle.
 * Can fail     adding, for want of memory.
 * Invariants   calls[i]->heap_place == i + 1; no call is earlier than its parent.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

static void place(struct rpc_deadlines *d, uint32_t at, struct oak_rpc_call *call)
{
    d->calls[at] = call;
    call->heap_place = at + 1;
}

static void sift_up(struct rpc_deadlines *d, uint32_t at)
{
    struct oak_rpc_call *call = d->calls[at];
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (d->calls[parent]->deadline_ns <= call->deadline_ns) {
            break;
        }
        place(d, at, d->calls[parent]);
        at = parent;
    }
    place(d, at, call);
}

static void sift_down(struct rpc_deadlines *d, uint32_t at)
{
    struct oak_rpc_call *call = d->calls[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= d->count) {
            break;
        }
        if (child + 1 < d->count &&
            d->calls[child + 1]->deadline_ns < d->calls[child]->deadline_ns) {
            child++;
        }
        if (call->deadline_ns <= d->calls[child]->deadline_ns) {
            break;
        }
        place(d, at, d->calls[child]);
        at = child;
    }
    place(d, at, call);
}

int rpc__deadlines_add(struct rpc_deadlines *d, struct oak_rpc_call *call)
{
    OAK_ASSERT_EQ(call->heap_place, 0);
    OAK_ASSERT_NE(call->deadline_ns, 0);
    if (d->count == d->capacity) {
        uint32_t capacity = OAK_MAX(16u, d->capacity * 2);
        void *calls = rpc__resize(d->calls, capacity * sizeof(struct oak_rpc_call *));
        if (calls == NULL) {
            return OAK_ENOMEM;
        }
        d->calls = calls;
        d->capacity = capacity;
    }
    place(d, d->count, call);
    d->count++;
    sift_up(d, d->count - 1);
    return 0;
}

void rpc__deadlines_remove(struct rpc_deadlines *d, struct oak_rpc_call *call)
{
    if (call->heap_place == 0) {
        return;
    }
    uint32_t at = call->heap_place - 1;
    OAK_ASSERT_LT(at, d->count);
    OAK_ASSERT(d->calls[at] == call);
    call->heap_place = 0;
    d->count--;
    if (at == d->count) {
        return;
    }
    place(d, at, d->calls[d->count]);
    sift_up(d, at);
    sift_down(d, d->calls[at]->heap_place - 1);
}

void rpc__deadlines_fini(struct rpc_deadlines *d)
{
    OAK_ASSERT_EQ(d->count, 0);
    rpc__resize(d->calls, 0);
    *d = (struct rpc_deadlines){0};
}
