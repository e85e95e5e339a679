/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: the memory of a node.
 *
 * When a node goes down, its replicas, its journal and its stores are closed, and give back all
 * that they have: so the heap is smaller by what the node held, at a moment that chance has drawn.
 * That is held against what explains it: a fixed part, and the log and the store as large as they
 * were in this life. What is kept for ever by mistake (an answer, a frame, a request) is explained
 * by neither, and is seen once it is about as large as the fixed part leaves room for: a quarter of
 * a MiB.
 *
 * Where the C library does not tell the size of the heap (another one than glibc, a sanitizer's),
 * nothing was held, and the checker is silent.
 */
#include <inttypes.h>
#include <stdlib.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "sim/internal.h"

/* Of a group, whatever it does: mostly its table of requests (850 KiB were seen). */
#define FIXED_BYTES (OAK_MIB + 128 * OAK_KIB)
/* The log and the store, and the copies that are made of them: batches, frames, an image for the
 * disk, a second store while a snapshot is installed; and buffers that double, and keep their size.
 * Six were seen. */
#define COPIES 8
/* An entry of the log, beside its bytes. */
#define ENTRY_BYTES 64
/* Requests that are not in the log yet, or were, and left a buffer of their size. */
#define BURST_BYTES (4 * OAK_MIB)

size_t sim__heap_bytes(void)
{
#if defined(__GLIBC__)
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

void sim__memory_look(struct member *m, const struct oak_replica_status *status)
{
    struct oak_store_stats stats;
    const struct oak_raft_status *raft = &status->raft;
    oak_store_stats(m->store, &stats);
    m->most.store = OAK_MAX(m->most.store, stats.memory_bytes);
    m->most.log =
        OAK_MAX(m->most.log, raft->log_bytes + (raft->last + 1 - raft->first) * ENTRY_BYTES);
}

void sim__memory_check(struct node *n, size_t before, size_t after)
{
    struct sim *s = n->sim;
    uint64_t log = 0, store = 0;
    for (int g = 0; g < s->plan.groups; g++) {
        log += n->members[g].most.log;
        store += n->members[g].most.store;
    }
    uint64_t most = (uint64_t)s->plan.groups * FIXED_BYTES + COPIES * (log + store);
    most += s->plan.has[OAK_SIM_BURST] ? BURST_BYTES : 0;
    if (before > after && before - after > most) {
        sim__fail(s,
                  "memory: node %d held %zu bytes, at most %" PRIu64 ": its log had up to %" PRIu64
                  ", its store %" PRIu64,
                  n->index + 1, before - after, most, log, store);
    }
}
