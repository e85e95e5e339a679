/* SPDX-License-Identifier: Apache-2.0 */
/* load.h: puts of random keys by many clients, and how long they took.
 *
 * Threads: the main one; its loop turns until the last put is answered.
 */
#ifndef OAK_CTL_LOAD_H
#define OAK_CTL_LOAD_H

#include "ctl/internal.h"

#define CTL__FAILURES_MAX 8

struct ctl__load {
    const char *prefix;
    size_t key_bytes; /* behind the prefix */
    size_t value_bytes;
    size_t clients;       /* puts that are under way at a time */
    uint64_t rate;        /* puts a second; 0: as fast as they go */
    uint64_t total;       /* 0: until the time is up */
    uint64_t duration_ns; /* without a total */

    /* what came of it */
    uint64_t ended;
    uint64_t failed;
    uint64_t took_ns;
    double slowest_s; /* of those that did not fail, as the others */
    double mean_s;
    double squares; /* of what they differ from the mean by */
    struct {
        char text[128];
        uint64_t count;
    } failures[CTL__FAILURES_MAX];
    size_t failure_count;
};

/* SIGINT ends it before its time. False: told. */
bool ctl__load_run(struct ctl *c, struct ctl__load *load, int *code);

/* memory.c: what a server says of its process, by /metrics. False: told. */
bool ctl__memory_of(struct ctl *c, const struct ctl__endpoints *at, double *out, int *code);

#endif
