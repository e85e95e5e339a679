/* SPDX-License-Identifier: Apache-2.0 */
/* raft_bench.c: what one entry costs: three cores in one process, from proposal to applied
 * everywhere.
 *
 *     bench_raft [ENTRY_BYTES [BATCHES [BATCH]]]
 *
 * Disks and network cost nothing here: what is measured is the core, three times, and its
 * allocator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oakum/raft.h"

#define CORES 3

struct host {
    struct oak_raft *r;
    uint64_t applied;
    uint64_t compacted;
};

static void *resize_libc(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

static double cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Take everything, write at once, deliver at once. True while there was something to do. */
static bool turn(struct host *hosts, uint64_t *messages)
{
    bool moved = false;
    for (int i = 0; i < CORES; i++) {
        struct host *h = &hosts[i];
        if (!oak_raft_has_output(h->r)) {
            continue;
        }
        moved = true;
        const struct oak_raft_output *out = oak_raft_take(h->r);
        for (size_t m = 0; m < out->send_count; m++) {
            (*messages)++;
            (void)oak_raft_step(hosts[out->send[m].to - 1].r, &out->send[m]);
        }
        if (out->apply_count > 0) {
            h->applied = out->apply[out->apply_count - 1].index;
        }
        oak_raft_persisted(h->r, out->persist.token);
        oak_raft_applied(h->r, h->applied);
        if (h->applied >= h->compacted + 2000) {
            h->compacted = h->applied - 1000;
            (void)oak_raft_compact(h->r, h->compacted);
        }
    }
    return moved;
}

static int measure(struct host *hosts, size_t bytes, size_t batch, uint64_t batches)
{
    char *payload = calloc(1, bytes + 1);
    uint64_t messages = 0;
    uint64_t before = hosts[0].applied;
    double start = cpu_now();
    for (uint64_t b = 0; payload != NULL && b < batches; b++) {
        for (size_t i = 0; i < batch; i++) {
            (void)oak_raft_propose(hosts[0].r, payload, bytes, NULL, NULL);
        }
        while (turn(hosts, &messages)) {
        }
    }
    double seconds = cpu_now() - start;
    uint64_t entries = hosts[0].applied - before;
    free(payload);
    if (entries != batches * batch || hosts[1].applied != hosts[0].applied) {
        (void)fprintf(stderr, "not all was applied\n");
        return 1;
    }
    (void)printf("%4zu entries of %zu bytes a batch: %6.0f ns an entry, %6.0f ns a batch, "
                 "%.1f messages a batch\n",
                 batch, bytes, seconds * 1e9 / (double)entries, seconds * 1e9 / (double)batches,
                 (double)messages / (double)batches);
    return 0;
}

int main(int argc, char **argv)
{
    size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 256;
    uint64_t batches = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    struct host hosts[CORES];
    memset(hosts, 0, sizeof(hosts));
    for (uint64_t i = 0; i < CORES; i++) {
        struct oak_raft_options o = {.id = i + 1, .group = 1, .seed = i};
        o.alloc.resize = resize_libc;
        o.snapshot.config = (struct oak_raft_config){.voter_count = 3, .voters = {1, 2, 3}};
        if (oak_raft_new(&o, &hosts[i].r) != OAK_RAFT_OK) {
            return 1;
        }
        (void)oak_raft_tick(hosts[i].r, 1);
    }
    uint64_t messages = 0;
    (void)oak_raft_campaign(hosts[0].r);
    while (turn(hosts, &messages)) {
    }
    size_t batch = argc > 3 ? strtoul(argv[3], NULL, 10) : 0; /* 0: several */
    int status = batch > 0
                     ? measure(hosts, bytes, batch, batches)
                     : measure(hosts, bytes, 1, batches) || measure(hosts, bytes, 8, batches) ||
                           measure(hosts, bytes, 64, batches);
    for (int i = 0; i < CORES; i++) {
        oak_raft_free(hosts[i].r);
    }
    return status;
}
