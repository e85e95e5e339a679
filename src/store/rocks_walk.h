/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_walk.h: the keys of the database in order, either way, without the open batch.
 *
 *   rocks_walk.c   what both ways have in common; upwards
 *   rocks_down.c   downwards
 */
#ifndef OAK_STORE_ROCKS_WALK_H
#define OAK_STORE_ROCKS_WALK_H

#include "store/rocks.h"

struct rocks_below;

struct rocks_walk {
    struct rocks *r;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it;   /* gives up (`many`) where too much that was removed lies */
    rocksdb_iterator_t *wade; /* upwards, once it was needed: as `it`, but it goes on */
    bool many;
    struct oak_buf low; /* encoded bounds; the iterators refer to them */
    struct oak_buf high;
    struct oak_buf prefix;  /* encoded key of `item` */
    struct oak_buf key;     /* decoded key of `item` */
    struct oak_buf value;   /* downwards: copy of its value */
    struct store_item item; /* valid while `ready` */
    bool ready;
    bool done;
    bool behind; /* upwards: the iterator still rests on the key in `prefix` */
    bool descend;
    int64_t rev;
    uint64_t seen;             /* keys that it has come to */
    uint64_t budget;           /* upwards: steps that are left; 0: without end */
    struct rocks_below *below; /* downwards, once it was needed */
};

/* Walk over [low, high), both encoded. With a budget (upwards) it ends with OAK_EAGAIN once it has
 * cost about as many steps. To be freed after an error too. */
OAK_MUST_USE int rocks__walk_start(struct rocks_walk *w, struct rocks *r, struct oak_bytes low,
                                   struct oak_bytes high, int64_t rev, bool descend,
                                   uint64_t budget);
/* `ready`: `item` is the next; `done`: there is none. */
OAK_MUST_USE int rocks__walk_next(struct rocks_walk *w);
void rocks__walk_free(struct rocks_walk *w);

/* -- between the two files --------------------------------------------------------------------- */

/* Steps over versions of one key before a seek is cheaper. */
#define ROCKS_STEPS_MAX 8

/* The key of an iterator, or empty at the end, when it gives up (*many), or on an error, which
 * *error then says. */
struct oak_bytes rocks__walk_at(const struct rocks_walk *w, const rocksdb_iterator_t *it,
                                bool *many, int *error);
struct oak_bytes rocks__walk_here(struct rocks_walk *w, int *error);
bool rocks__walk_same(const struct rocks_walk *w, struct oak_bytes at);
/* Note the key that the iterator stands on. */
OAK_MUST_USE int rocks__walk_enter(struct rocks_walk *w, struct oak_bytes at,
                                   struct oak_store_rev *rev);
/* Seek to the version of the present key as of the revision. */
void rocks__walk_seek_version(struct rocks_walk *w);
OAK_MUST_USE int rocks__up_next(struct rocks_walk *w);
void rocks__down_start(struct rocks_walk *w);
OAK_MUST_USE int rocks__down_next(struct rocks_walk *w);
void rocks__down_free(struct rocks_walk *w);

#endif
