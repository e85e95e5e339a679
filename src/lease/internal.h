/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the lease room share: rows, an index of them by id, and heaps. */
#ifndef OAK_LEASE_INTERNAL_H
#define OAK_LEASE_INTERNAL_H

#include "base/assert.h"
#include "lease/lease.h"

#define LEASE_NOWHERE UINT32_MAX

/* What a lease waits for. */
enum lease_wait {
    LEASE_END,  /* its time to be up */
    LEASE_NOTE, /* what is left of it to be written down */
    LEASE_WAITS,
};

struct lease_row {
    int64_t id;
    int64_t ttl_s;
    int64_t remaining_s;         /* written down, or on its way there; 0: all of it */
    uint64_t when[LEASE_WAITS];  /* ns */
    uint64_t revoked_at;         /* index of its revocation; 0: not proposed */
    uint32_t take_backs;         /* of what is written down: in the log, and not applied */
    uint32_t place[LEASE_WAITS]; /* in each heap; LEASE_NOWHERE: in none */
};

/* Rows by the time they wait for, the nearest first. */
struct lease_heap {
    uint32_t *rows;
    uint32_t count;
};

struct oak_lease_table {
    struct oak_lease_options options;
    struct lease_row *rows; /* without gaps */
    uint32_t count;
    uint32_t room;
    uint32_t *slots; /* row + 1 by id, open addressing; 0: free. A power of two, twice the room */
    uint32_t slot_count;
    struct lease_heap heaps[LEASE_WAITS];
    uint64_t spent_ns; /* revocations are paid for up to then */
    bool leads;
};

/* rows.c */
struct lease_row *lease__find(const struct oak_lease_table *l, int64_t id);
/* OAK_ENOMEM: nothing changed. The id is new. */
OAK_MUST_USE int lease__add(struct oak_lease_table *l, int64_t id, struct lease_row **out);
void lease__drop(struct oak_lease_table *l, struct lease_row *row);
void lease__clear(struct oak_lease_table *l);

/* heap.c */
/* Into the heap, or to its new place there. */
void lease__wait(struct oak_lease_table *l, enum lease_wait wait, struct lease_row *row,
                 uint64_t when);
void lease__unwait(struct oak_lease_table *l, enum lease_wait wait, struct lease_row *row);
/* The nearest, or NULL. */
struct lease_row *lease__next(const struct oak_lease_table *l, enum lease_wait wait);
/* All of it in order: which is a heap as well. */
void lease__sort(struct oak_lease_table *l, enum lease_wait wait);

#endif
