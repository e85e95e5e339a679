/* SPDX-License-Identifier: Apache-2.0 */
/* test_model.h: what a log must remember, in the dumbest form, and random work for both. */
#ifndef OAK_WAL_TEST_MODEL_H
#define OAK_WAL_TEST_MODEL_H

#include "wal/test_disk.h"
#include "wal/wal.h"

#define MODEL_GROUPS    3u
#define MODEL_INDEX_MAX 700u
#define MODEL_SEGMENT   4096u

struct model_entry {
    bool present;
    uint8_t kind;
    uint16_t size;
    uint64_t term;
    uint64_t seed; /* of the payload */
};

struct model_group {
    bool exists;
    uint64_t term, vote, commit;
    uint64_t snapshot_index, snapshot_term;
    uint64_t last, last_term;
    uint64_t released; /* entries up to here may be gone */
    struct model_entry log[MODEL_INDEX_MAX + 1];
};

struct model {
    struct model_group groups[MODEL_GROUPS];
};

/* A log under test on a disk, with what it acknowledged and what is on its way. */
struct run {
    struct test_disk disk;
    struct oak_wal *wal;
    struct oak_prng prng;
    struct model acked;
    struct model flight; /* acked, and the batch of the commit that is under way */
    uint64_t steps;
    size_t payload_max;
    bool quiet; /* no releases, no prepare */
};

#define MODEL_DIR  "log"
#define MODEL_META "node 1 of cluster 7"

void run_init(struct run *r, uint64_t seed);
void run_fini(struct run *r);
/* Open; nothing is compared. */
int run_open(struct run *r, struct oak_errbuf *e);
/* Do random work until `steps` are done or the disk fails: 0, or the error. */
int run_work(struct run *r, uint64_t steps);
/* One random batch, committed. */
int run_batch(struct run *r);
void run_close(struct run *r);
/* Whether what the open log recovered is `m`. */
bool model_matches(const struct model *m, const struct oak_wal *wal);
/* The log must have recovered `acked` or `flight`: which one becomes `acked`. False: neither. */
bool run_settle(struct run *r);
/* Group ids are spread and not in order of first use. */
uint64_t group_id(size_t n);
size_t group_number(uint64_t id);
bool entry_matches(const struct model_entry *want, const struct oak_wal_record *have);
void model_apply(struct model *m, const struct oak_wal_record *record, uint64_t seed);
/* A payload of `size` bytes made of `seed`. */
void payload_fill(uint8_t *out, size_t size, uint64_t seed);

#endif
