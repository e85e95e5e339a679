/* SPDX-License-Identifier: Apache-2.0 */
/* test_model.c: see test_model.h. */
#include "wal/test_model.h"

#include <stdio.h>
#include <stdlib.h>

#define PAYLOAD_MAX 2600u

void payload_fill(uint8_t *out, size_t size, uint64_t seed)
{
    struct oak_prng p;
    oak_prng_init(&p, seed);
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)oak_prng_u64(&p);
    }
}

uint64_t group_id(size_t n)
{
    return n == 0 ? 50 : n == 1 ? 7 : 1000000007;
}

size_t group_number(uint64_t id)
{
    for (size_t n = 0; n < MODEL_GROUPS; n++) {
        if (group_id(n) == id) {
            return n;
        }
    }
    return MODEL_GROUPS;
}

void model_apply(struct model *m, const struct oak_wal_record *r, uint64_t seed)
{
    struct model_group *g = &m->groups[group_number(r->group)];
    g->exists = true;
    switch (r->type) {
    case OAK_WAL_ENTRY:
        for (uint64_t i = r->index; i <= MODEL_INDEX_MAX; i++) {
            g->log[i].present = false;
        }
        g->log[r->index] = (struct model_entry){.present = r->index > g->snapshot_index,
                                                .kind = r->kind,
                                                .size = (uint16_t)r->data.size,
                                                .term = r->term,
                                                .seed = seed};
        g->last = r->index;
        g->last_term = r->term;
        if (g->released >= r->index) {
            g->released = r->index - 1;
        }
        break;
    case OAK_WAL_SNAPSHOT:
        for (uint64_t i = 0; i <= MODEL_INDEX_MAX; i++) {
            if (i <= r->index || !r->keep_log) {
                g->log[i].present = false;
            }
        }
        if (!r->keep_log || g->last <= r->index) {
            g->last = r->index;
            g->last_term = r->term;
        }
        g->snapshot_index = r->index;
        g->snapshot_term = r->term;
        break;
    case OAK_WAL_HARD_STATE:
        g->term = r->term;
        g->vote = r->vote;
        g->commit = r->commit;
        break;
    default:
        abort();
    }
}

bool entry_matches(const struct model_entry *want, const struct oak_wal_record *have)
{
    uint8_t payload[PAYLOAD_MAX];
    payload_fill(payload, want->size, want->seed);
    return want->present && have->type == OAK_WAL_ENTRY && want->term == have->term &&
           want->kind == have->kind && oak_bytes_eq(oak_bytes(payload, want->size), have->data);
}

static bool group_matches(const struct model_group *m, const struct oak_wal_group *g)
{
    if (m->term != g->term || m->vote != g->vote || m->commit != g->commit ||
        m->snapshot_index != g->snapshot_index || m->snapshot_term != g->snapshot_term ||
        m->last != g->last_index || m->last_term != g->last_term) {
        return false;
    }
    for (size_t i = 0; i < g->entry_count; i++) {
        uint64_t index = g->entries[i].index;
        if (index != g->entries[0].index + i || index > MODEL_INDEX_MAX ||
            !entry_matches(&m->log[index], &g->entries[i])) {
            return false;
        }
    }
    uint64_t first = g->entry_count == 0 ? UINT64_MAX : g->entries[0].index;
    uint64_t end = g->entry_count == 0 ? 0 : first + g->entry_count - 1;
    for (uint64_t i = 1; i <= MODEL_INDEX_MAX; i++) {
        if (m->log[i].present && i > m->released && (i < first || i > end)) {
            return false;
        }
    }
    return true;
}

bool model_matches(const struct model *m, const struct oak_wal *wal)
{
    size_t count;
    const struct oak_wal_group *groups = oak_wal_recovered(wal, &count);
    size_t exist = 0;
    for (size_t n = 0; n < MODEL_GROUPS; n++) {
        exist += m->groups[n].exists;
    }
    if (exist != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t n = group_number(groups[i].group);
        if (n == MODEL_GROUPS || !m->groups[n].exists ||
            (i > 0 && groups[i - 1].group >= groups[i].group) ||
            !group_matches(&m->groups[n], &groups[i])) {
            return false;
        }
    }
    return true;
}

void run_init(struct run *r, uint64_t seed)
{
    memset(r, 0, sizeof(*r));
    test_disk_init(&r->disk, seed);
    oak_prng_init(&r->prng, seed + 1);
    r->payload_max = 600;
}

void run_fini(struct run *r)
{
    run_close(r);
    test_disk_fini(&r->disk);
}

int run_open(struct run *r, struct oak_errbuf *e)
{
    const struct oak_wal_options o = {.disk = &r->disk.port,
                                      .dir = MODEL_DIR,
                                      .meta = oak_bytes_str(MODEL_META),
                                      .segment_bytes = MODEL_SEGMENT};
    return oak_wal_open(&o, &r->wal, e);
}

void run_close(struct run *r)
{
    oak_wal_close(r->wal);
    r->wal = NULL;
}

static int record_append(struct run *r, struct oak_wal_record *record)
{
    uint8_t payload[PAYLOAD_MAX];
    uint64_t seed = oak_prng_u64(&r->prng);
    if (record->type == OAK_WAL_ENTRY) {
        size_t size = (size_t)oak_prng_below(&r->prng, r->payload_max + 1);
        payload_fill(payload, size, seed);
        record->data = oak_bytes(payload, size);
    }
    int error = oak_wal_append(r->wal, record);
    if (error == 0) {
        model_apply(&r->flight, record, seed);
    }
    return error;
}

static int entries_append(struct run *r, size_t n)
{
    const struct model_group *g = &r->flight.groups[n];
    uint64_t end = OAK_MAX(g->last, g->snapshot_index);
    uint64_t index = end + 1;
    if (end > 0 && oak_prng_chance(&r->prng, 1, 4)) {
        index = oak_prng_between(&r->prng, end > 6 ? end - 6 : 1, end);
    }
    uint64_t count = oak_prng_between(&r->prng, 1, 5);
    for (uint64_t i = 0; i < count && index + i <= MODEL_INDEX_MAX; i++) {
        struct oak_wal_record record = {.type = OAK_WAL_ENTRY,
                                        .kind = (uint8_t)oak_prng_below(&r->prng, 3),
                                        .group = group_id(n),
                                        .index = index + i,
                                        .term = oak_prng_between(&r->prng, 1, 9)};
        int error = record_append(r, &record);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int any_append(struct run *r)
{
    size_t n = (size_t)oak_prng_below(&r->prng, MODEL_GROUPS);
    const struct model_group *g = &r->flight.groups[n];
    struct oak_wal_record record = {.group = group_id(n), .term = oak_prng_between(&r->prng, 1, 9)};
    switch (oak_prng_below(&r->prng, 8)) {
    case 0:
    case 1:
        record.type = OAK_WAL_HARD_STATE;
        record.vote = oak_prng_below(&r->prng, 5);
        record.commit = oak_prng_below(&r->prng, 500);
        return record_append(r, &record);
    case 2:
        record.type = OAK_WAL_SNAPSHOT;
        record.keep_log = oak_prng_chance(&r->prng, 1, 2);
        record.index =
            oak_prng_between(&r->prng, g->snapshot_index, OAK_MAX(g->last, g->snapshot_index) + 2);
        record.index = OAK_MIN(record.index, MODEL_INDEX_MAX);
        return record_append(r, &record);
    default:
        return entries_append(r, n);
    }
}

int run_batch(struct run *r)
{
    uint64_t count = oak_prng_between(&r->prng, 1, oak_prng_chance(&r->prng, 1, 6) ? 8 : 3);
    int error = 0;
    for (uint64_t i = 0; error == 0 && i < count; i++) {
        error = any_append(r);
    }
    error = error != 0 ? error : oak_wal_commit(r->wal);
    if (error == 0) {
        r->acked = r->flight;
    }
    return error;
}

static int release_some(struct run *r)
{
    size_t n = (size_t)oak_prng_below(&r->prng, MODEL_GROUPS);
    struct model_group *g = &r->acked.groups[n];
    uint64_t end = OAK_MAX(g->last, g->snapshot_index);
    uint64_t index = end > 4 && oak_prng_chance(&r->prng, 3, 4) ? end - 4 : end;
    g->released = OAK_MAX(g->released, index);
    r->flight = r->acked;
    return oak_wal_release(r->wal, group_id(n), index);
}

int run_work(struct run *r, uint64_t steps)
{
    int error = 0;
    for (; error == 0 && steps > 0; steps--) {
        r->steps++;
        uint64_t what = r->quiet ? 9 : oak_prng_below(&r->prng, 10);
        if (what < 2) {
            error = release_some(r);
        } else if (what == 2) {
            error = oak_wal_prepare(r->wal);
        } else {
            error = run_batch(r);
        }
    }
    return error;
}

bool run_settle(struct run *r)
{
    if (model_matches(&r->acked, r->wal)) {
        r->flight = r->acked;
        return true;
    }
    if (model_matches(&r->flight, r->wal)) {
        r->acked = r->flight;
        return true;
    }
    return false;
}
