/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: who watches while the cluster runs.
 *
 *   election safety        at most one leader in a term
 *   state machine safety   an index is applied with the same entry (term, bytes) everywhere: with
 *                          it log matching of all that is committed, and that nothing committed is
 *                          lost
 *   order                  no index is applied before the one below it was applied somewhere
 *   no way back            within a life, commit and applied never fall (promises: promise.c)
 *   equal state            the running hash at an equal applied index is equal
 *   revisions, model       they are what a second, simple state machine makes of the log (model.c)
 *   convergence            after healing, all nodes hold the same keys, values, versions, revisions
 *
 * Linearizability and the order of revisions that clients saw are the room check's.
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/internal.h"

uint8_t *sim__cell(struct oak_buf *table, uint64_t place)
{
    OAK_ASSERT_LT(place, 1u << 24);
    size_t end = 8 * ((size_t)place + 1);
    if (end > table->size) {
        int error = oak_buf_reserve(table, end - table->size);
        OAK_ASSERT_EQ(error, 0);
        memset(table->data + table->size, 0, end - table->size);
        table->size = end;
    }
    return table->data + end - 8;
}

void sim__check_applied(struct node *n, uint64_t index, uint64_t term, struct oak_bytes entry)
{
    struct sim *s = n->sim;
    const struct entry_known seen = {
        .term = term, .crc = oak_crc32c(0, entry.data, entry.size), .size = (uint32_t)entry.size};
    if (index >= s->entry_count) {
        size_t count = OAK_MAX((size_t)index + 1, OAK_MAX((size_t)1024, s->entry_count * 2));
        struct oak_alloc a = s->options->alloc;
        s->entries = a.resize(a.user, s->entries, count * sizeof(*s->entries));
        OAK_ASSERT(s->entries != NULL);
        memset(s->entries + s->entry_count, 0, (count - s->entry_count) * sizeof(*s->entries));
        s->entry_count = count;
    }
    struct entry_known *known = &s->entries[index];
    if (known->term == 0) {
        *known = seen;
        if (index != s->model.index + 1) {
            sim__fail(s,
                      "order: node %d applies index %" PRIu64 ", nobody has applied the one before",
                      n->index + 1, index);
            return;
        }
        known->revision = sim__model_apply(&s->model, index, entry);
        s->report->commits = OAK_MAX(s->report->commits, index);
        return;
    }
    if (known->term != seen.term || known->crc != seen.crc || known->size != seen.size) {
        sim__fail(s,
                  "state machine safety: node %d applies at index %" PRIu64
                  " an entry of term %" PRIu64 " (%u bytes), another was applied there in term "
                  "%" PRIu64 " (%u bytes)",
                  n->index + 1, index, seen.term, seen.size, known->term, known->size);
    }
}

static void leader_check(struct node *n, const struct oak_raft_status *status)
{
    struct sim *s = n->sim;
    if (status->role != OAK_RAFT_LEADER) {
        return;
    }
    uint8_t *leader = sim__cell(&s->leaders, status->term);
    uint64_t known = oak_get_u64(leader);
    if (known == 0) {
        oak_put_u64(leader, n->id);
        s->report->elections++;
        sim__trace(s, "n%d leads in term %" PRIu64, n->index + 1, status->term);
        sim__leader_new(n);
    } else if (known != n->id) {
        sim__fail(s, "election safety: nodes %" PRIu64 " and %d both lead in term %" PRIu64, known,
                  n->index + 1, status->term);
    }
}

/* Within a life nothing that was committed or applied is taken back. */
static void forward_check(struct node *n, uint64_t commit, uint64_t applied)
{
    if (commit < n->commit_seen || applied < n->applied_seen) {
        sim__fail(n->sim,
                  "no way back: node %d goes from commit %" PRIu64 ", applied %" PRIu64
                  " to commit %" PRIu64 ", applied %" PRIu64,
                  n->index + 1, n->commit_seen, n->applied_seen, commit, applied);
    }
    n->commit_seen = commit;
    n->applied_seen = applied;
}

void sim__check_step(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_replica_status status;
    oak_replica_status(n->replica, &status);
    leader_check(n, &status.raft);
    if (status.installing && !n->installing_seen) {
        sim__install_new(n);
    }
    n->installing_seen = status.installing;
    if (status.installing) {
        return;
    }
    const struct oak_store_state *state = oak_kv_state(oak_replica_kv(n->replica));
    uint8_t *chain = sim__cell(&s->chains, state->applied);
    uint64_t known = oak_get_u64(chain);
    if (known == 0) {
        oak_put_u64(chain, state->chain);
    } else if (known != state->chain && state->applied > 0) {
        sim__fail(s, "equal state: node %d differs at applied index %" PRIu64, n->index + 1,
                  state->applied);
    }
    if (state->applied < s->entry_count && s->entries[state->applied].term != 0 &&
        s->entries[state->applied].revision != state->revision) {
        sim__fail(s,
                  "revisions: node %d is at %" PRId64 " behind index %" PRIu64
                  ", the model is at %" PRId64,
                  n->index + 1, state->revision, state->applied,
                  s->entries[state->applied].revision);
    }
    forward_check(n, status.raft.commit, state->applied);
    if (state->applied > status.raft.commit) {
        sim__fail(s, "node %d has applied %" PRIu64 " but committed only %" PRIu64, n->index + 1,
                  state->applied, status.raft.commit);
    }
}

bool sim__settled(struct sim *s)
{
    uint64_t applied = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        if (s->nodes[i].replica == NULL) {
            return false;
        }
        oak_replica_status(s->nodes[i].replica, &status);
        if (status.raft.leader == 0 || status.installing || status.applied != status.raft.last) {
            return false;
        }
        if (i > 0 && status.applied != applied) {
            return false;
        }
        applied = status.applied;
    }
    return sim__members_whole(s);
}

static bool kv_equal(const struct oak_store_kv *a, const struct oak_store_kv *b)
{
    return oak_bytes_eq(a->key, b->key) && oak_bytes_eq(a->value, b->value) &&
           a->create_rev == b->create_rev && a->mod_rev == b->mod_rev && a->version == b->version &&
           a->lease == b->lease;
}

static void stores_compare(struct sim *s, int other)
{
    const struct oak_store_range all = {.from = oak_bytes("", 0), .open_end = true};
    struct oak_store_scan *x, *y;
    int error = oak_store_scan_open(s->nodes[0].store, &all, 0, false, false, &x);
    OAK_ASSERT_EQ(error, 0);
    error = oak_store_scan_open(s->nodes[other].store, &all, 0, false, false, &y);
    OAK_ASSERT_EQ(error, 0);
    for (;;) {
        struct oak_store_kv a, b;
        int got_a = oak_store_scan_next(x, &a);
        int got_b = oak_store_scan_next(y, &b);
        if (got_a != got_b || (got_a == 0 && !kv_equal(&a, &b))) {
            sim__fail(s, "convergence: nodes 1 and %d hold different keys", other + 1);
            break;
        }
        if (got_a != 0) {
            break;
        }
    }
    oak_store_scan_close(x);
    oak_store_scan_close(y);
}

static void model_compare(struct sim *s)
{
    const struct oak_store_range all = {.from = oak_bytes("", 0), .open_end = true};
    struct oak_store_scan *scan;
    struct oak_store_kv kv;
    size_t found = 0, wanted = 0;
    for (size_t i = 0; i < s->model.count; i++) {
        wanted += s->model.keys[i].version != 0 ? 1 : 0;
    }
    int error = oak_store_scan_open(s->nodes[0].store, &all, 0, false, false, &scan);
    OAK_ASSERT_EQ(error, 0);
    while (oak_store_scan_next(scan, &kv) == 0) {
        const struct model_key *k = sim__model_find(&s->model, kv.key);
        found++;
        if (k == NULL || !oak_bytes_eq(oak_bytes(k->value, k->value_size), kv.value) ||
            k->create != kv.create_rev || k->mod != kv.mod_rev || k->version != kv.version) {
            sim__fail(s, "model: %.*s is not what the log's commands make of it", (int)kv.key.size,
                      (const char *)kv.key.data);
            break;
        }
    }
    oak_store_scan_close(scan);
    if (found != wanted) {
        sim__fail(s, "model: there are %zu keys, the log's commands make %zu", found, wanted);
    }
}

void sim__check_equal(struct sim *s)
{
    const struct oak_store_state *first = oak_store_state(s->nodes[0].store);
    for (int i = 1; i < s->world.node_count; i++) {
        const struct oak_store_state *state = oak_store_state(s->nodes[i].store);
        if (state->chain != first->chain || state->revision != first->revision ||
            state->compacted != first->compacted) {
            sim__fail(s, "convergence: nodes 1 and %d differ in state at index %" PRIu64, i + 1,
                      state->applied);
        }
        stores_compare(s, i);
    }
    model_compare(s);
}

/* A key's last state as a read that comes after everything: what was acknowledged is there. */
static void read_last(struct sim *s, uint64_t key)
{
    char name[32];
    struct oak_store_kv kv;
    snprintf(name, sizeof(name), "key%" PRIu64, key);
    struct op op = {.kind = OP_GET, .key = key, .call = ++s->moment};
    int error = oak_store_get(s->nodes[0].store, oak_bytes_str(name), 0, &kv);
    OAK_ASSERT(error == 0 || error == OAK_ENOENT);
    if (error == 0) {
        op.result = sim__value_of(kv.value);
        op.version = (uint64_t)kv.version;
    }
    op.ret = ++s->moment;
    op.revision = oak_store_state(s->nodes[0].store)->revision;
    history_add(&s->history, &op);
}

void sim__check_reads(struct sim *s)
{
    struct oak_buf seen = {0};
    for (size_t i = 0, count = s->history.count; i < count; i++) {
        const struct op *op = &s->history.ops[i];
        uint8_t *mark = op->kind <= OP_CAS ? sim__cell(&seen, op->key) : NULL;
        if (mark != NULL && oak_get_u64(mark) == 0) {
            oak_put_u64(mark, 1);
            read_last(s, op->key);
        }
    }
    oak_buf_fini(&seen);
}
