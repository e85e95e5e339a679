/* SPDX-License-Identifier: Apache-2.0 */
/* sort.h: pairs put in order, of any number, in bounded memory.
 *
 *     oak_sorter_init(&s, disk, "dir/7", room, fan)
 *     oak_sorter_add(&s, &pair) ...                       // in any order
 *     oak_sorter_seal(&s)
 *     do { oak_sorter_narrow(&s, bytes, &more); } while (more);
 *     while (oak_sorter_next(&s, &pair) == 0) { ... }     // in order
 *     oak_sorter_fini(&s)
 *
 * The order is that of buckets, then of keys as bytes. What does not fit into memory goes to files
 * that are read once and removed.
 *
 * Long work that may be interrupted keeps them, and describes them now and then:
 *
 *     oak_sorter_keep(&s)                                 // before the first pair
 *     oak_sorter_save(&s, &text), and write that down     // a place to go on from
 *     oak_sorter_saved(&s)                                // once that is durable
 *     oak_sorter_load(&s, &text)                          // in another run, instead of adding
 *
 * Threads: one at a time; calls block on the disk.
 */
#ifndef OAK_SORT_H
#define OAK_SORT_H

#include "port/port.h"

struct oak_sorter_pair {
    uint8_t bucket;
    struct oak_bytes key;
    struct oak_bytes value;
};

struct sort__input;

/* Sorted pairs on disk, taken in order by one reader. */
struct sort__merge {
    struct sort__input *inputs;
    size_t count;
    struct sort__input **heap; /* those that have a pair, the least one first */
    size_t heap_size;
    bool taken; /* the first one's pair was given out */
};

/* A run being written. */
struct sort__output {
    struct oak_file *file;
    uint64_t number;
    uint64_t at;
    struct oak_buf buf;
};

struct oak_sorter {
    const struct oak_disk *disk;
    const char *base; /* of the names of its files; borrowed */
    size_t room;
    size_t fan;
    size_t largest; /* pair so far */
    uint8_t *block; /* pairs from the front, pointers to them from the back; NULL: sealed, and all
                       is in runs */
    size_t used;
    size_t count;
    size_t next;         /* pointer to be given out, once it is sealed */
    struct oak_buf runs; /* struct run, the oldest first */
    uint64_t numbers;    /* given to runs so far */
    struct sort__merge merge;
    struct sort__output output;
    bool narrowing; /* `merge` goes to `output` */
    bool keeps;
    struct oak_buf spent; /* numbers of runs that were read, and stay until the next is saved */
};

/* `room` bytes of memory for what is gathered; `fan` runs are read at a time. OAK_ENOMEM. */
OAK_MUST_USE int oak_sorter_init(struct oak_sorter *s, const struct oak_disk *disk,
                                 const char *base, size_t room, size_t fan);
/* Pairs in any order, none twice. OAK_ENOMEM, and what the disk fails by. */
OAK_MUST_USE int oak_sorter_add(struct oak_sorter *s, const struct oak_sorter_pair *pair);
/* Would that write a run? Then this is the moment to save: before it. */
bool oak_sorter_is_full(const struct oak_sorter *s, const struct oak_sorter_pair *pair);
/* That was all. */
OAK_MUST_USE int oak_sorter_seal(struct oak_sorter *s);
/* Runs are merged until the rest can be read at once: about so many bytes of it. */
OAK_MUST_USE int oak_sorter_narrow(struct oak_sorter *s, size_t bytes, bool *more);
/* The next pair, borrowed until the next call; OAK_ENOENT at the end. OAK_ECORRUPT: a run is not
 * what was written. */
OAK_MUST_USE int oak_sorter_next(struct oak_sorter *s, struct oak_sorter_pair *out);
/* Its files are removed. */
void oak_sorter_fini(struct oak_sorter *s);

/* -- work that is gone on with ----------------------------------------------------------------- */

/* Runs are synced, and none is removed that the description last saved names. */
void oak_sorter_keep(struct oak_sorter *s);
/* Has a merge ended since it was saved last? oak_sorter_narrow() returns after each. */
bool oak_sorter_has_merged(const struct oak_sorter *s);
/* Are there runs, which are worth it? */
bool oak_sorter_has_runs(const struct oak_sorter *s);
/* All that was added so far goes to runs; appends to `out` what names them, which is to be made
 * durable, as the names in their directory are. Not in the middle of a merge, nor after the first
 * oak_sorter_next(). OAK_ENOMEM, and what the disk fails by. */
OAK_MUST_USE int oak_sorter_save(struct oak_sorter *s, struct oak_buf *out);
/* That is durable: what it does not name is removed. */
void oak_sorter_saved(struct oak_sorter *s);
/* Into one to which nothing was added, and that keeps: what was added to the one that was saved.
 * OAK_ECORRUPT: not what save made, or a run is not there as it was; the sorter is as before.
 * OAK_ENOMEM, OAK_EIO. */
OAK_MUST_USE int oak_sorter_load(struct oak_sorter *s, struct oak_reader *in);

#endif
