/* SPDX-License-Identifier: Apache-2.0 */
/* check_end.c: who looks when all faults have ended.
 *
 *   convergence   all nodes hold the same keys, values, versions, revisions
 *   bounds of     what may be read of the history is what lies between the floor of compaction
 *   history       and now
 *   dense         every revision of the history of changes is there, once, with its parts in order
 *   model         each key is what a second, simple state machine makes of the log (model.c), now
 *                 and as of the floor of compaction and revisions behind it
 *
 * And one last read of every key for the history: what was acknowledged is there.
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/internal.h"

static bool group_settled(struct sim *s, int group)
{
    uint64_t applied = 0;
    bool any = false;
    for (int i = 0; i < s->world.node_count; i++) {
        struct node *n = &s->nodes[i];
        struct oak_replica_status status;
        if (n->dead) {
            continue;
        }
        if (!n->up) {
            return false;
        }
        oak_replica_status(n->members[group].replica, &status);
        if (status.raft.leader == 0 || status.installing || status.applied != status.raft.last) {
            return false;
        }
        /* One that has nothing yet is behind the others, too. */
        if (any && status.applied != applied) {
            return false;
        }
        any = true;
        applied = status.applied;
    }
    return true;
}

bool sim__settled(struct sim *s)
{
    for (int g = 0; g < s->plan.groups; g++) {
        if (!group_settled(s, g)) {
            return false;
        }
    }
    return sim__members_whole(s);
}

static bool kv_equal(const struct oak_store_kv *a, const struct oak_store_kv *b)
{
    return oak_bytes_eq(a->key, b->key) && oak_bytes_eq(a->value, b->value) &&
           a->create_rev == b->create_rev && a->mod_rev == b->mod_rev && a->version == b->version &&
           a->lease == b->lease;
}

static void stores_compare(struct member *first, struct member *other)
{
    const struct oak_store_range all = {.from = oak_bytes("", 0), .open_end = true};
    struct oak_store_scan *x, *y;
    int error = oak_store_scan_open(first->store, &all, 0, false, false, &x);
    OAK_ASSERT_EQ(error, 0);
    error = oak_store_scan_open(other->store, &all, 0, false, false, &y);
    OAK_ASSERT_EQ(error, 0);
    for (;;) {
        struct oak_store_kv a, b;
        int got_a = oak_store_scan_next(x, &a);
        int got_b = oak_store_scan_next(y, &b);
        if (got_a != got_b || (got_a == 0 && !kv_equal(&a, &b))) {
            sim__fail(first->group->sim, "convergence: %s and %s hold different keys", first->name,
                      other->name);
            break;
        }
        if (got_a != 0) {
            break;
        }
    }
    oak_store_scan_close(x);
    oak_store_scan_close(y);
}

/* `rev` 0: now. */
static void keys_compare(struct member *m, const struct model_kv *model, int64_t rev)
{
    const struct oak_store_range all = {.from = oak_bytes("", 0), .open_end = true};
    struct sim *s = m->group->sim;
    struct oak_store_scan *scan;
    struct oak_store_kv kv;
    size_t found = 0, wanted = 0;
    for (size_t i = 0; i < model->count; i++) {
        wanted += model->keys[i].version != 0 ? 1 : 0;
    }
    int error = oak_store_scan_open(m->store, &all, rev, false, false, &scan);
    OAK_ASSERT_EQ(error, 0);
    while (oak_store_scan_next(scan, &kv) == 0) {
        const struct model_key *k = sim__model_find(model, kv.key);
        found++;
        if (k == NULL || k->value_size != kv.value.size ||
            k->value_crc != oak_crc32c(0, kv.value.data, kv.value.size) ||
            k->create != kv.create_rev || k->mod != kv.mod_rev || k->version != kv.version ||
            k->lease != kv.lease) {
            sim__fail(s, "model: %.*s of %s is not what the log's commands make of it%s",
                      (int)kv.key.size, (const char *)kv.key.data, m->name,
                      rev != 0 ? ", as of an older revision" : "");
            break;
        }
    }
    oak_store_scan_close(scan);
    if (found != wanted) {
        sim__fail(s, "model: %s has %zu keys%s, the log's commands make %zu", m->name, found,
                  rev != 0 ? " as of an older revision" : "", wanted);
    }
}

/* Revisions that are looked at between the floor and now. */
#define OLDER_LOOKS 8

/* What may be read of the history: from the floor to now. */
static void history_bounds(struct member *m)
{
    const struct oak_store_state *state = oak_store_state(m->store);
    const struct {
        int64_t rev;
        int error;
    } reads[] = {
        {state->compacted - 1, OAK_ECOMPACTED},
        {state->compacted, 0},
        {state->revision, 0},
        {state->revision + 1, OAK_EFUTUREREV},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(reads); i++) {
        struct oak_arena *arena = &m->group->sim->frame_arena;
        Etcdserverpb__RangeResponse *found = NULL;
        Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
        range.key = oak_proto_binary(oak_bytes_str("token/a"));
        range.revision = reads[i].rev;
        if (reads[i].rev <= 0) {
            continue; /* that is now */
        }
        int error = oak_kv_range(oak_replica_kv(m->replica), &range, arena, &found);
        oak_arena_reset(arena);
        if (error != reads[i].error) {
            sim__fail(m->group->sim,
                      "bounds of history: %s is compacted up to %" PRId64 ", is at %" PRId64
                      ", and a read at %" PRId64 " gives: %s",
                      m->name, state->compacted, state->revision, reads[i].rev,
                      error == 0 ? "what it had" : oak_error_text(error));
        }
    }
}

static void model_compare(struct member *m)
{
    const struct model_kv *model = &m->group->model;
    const struct oak_store_state *state = oak_store_state(m->store);
    keys_compare(m, model, 0);
    history_bounds(m);
    if (state->compacted != model->compacted && model->index > 0) {
        sim__fail(m->group->sim,
                  "model: %s is compacted up to %" PRId64 ", by the log's commands up to %" PRId64,
                  m->name, state->compacted, model->compacted);
    }
    int64_t floor = OAK_MAX(state->compacted, (int64_t)1);
    int64_t step = OAK_MAX((state->revision - floor) / OLDER_LOOKS, (int64_t)1);
    for (int64_t rev = floor; rev < state->revision; rev += step) {
        struct model_kv older;
        sim__model_as_of(model, rev, &older);
        keys_compare(m, &older, rev);
        sim__model_fini(&older);
    }
}

/* -- dense ------------------------------------------------------------------------------------- */

struct dense {
    int64_t main; /* of the last change */
    int64_t sub;
    bool good;
};

static bool dense_each(void *arg, struct oak_store_rev rev, bool deleted,
                       const struct oak_store_kv *kv)
{
    struct dense *d = arg;
    (void)deleted;
    bool next = rev.main == d->main + 1 && rev.sub == 0;
    bool same = rev.main == d->main && rev.sub == d->sub + 1;
    d->good = (next || same) && kv->mod_rev == rev.main;
    if (d->good) {
        d->main = rev.main;
        d->sub = rev.sub;
    }
    return d->good;
}

void sim__check_dense(struct member *m)
{
    const struct oak_store_state *state = oak_store_state(m->store);
    int64_t floor = OAK_MAX(state->compacted, 1);
    struct dense d = {.main = floor, .good = true};
    if (state->revision <= floor) {
        return;
    }
    int error = oak_store_changes(m->store, floor + 1, state->revision, dense_each, &d);
    if (error != 0 || !d.good || d.main != state->revision) {
        sim__fail(m->group->sim,
                  "dense: in the changes of %s, up to revision %" PRId64 ", revision %" PRId64
                  " is not followed by the next one",
                  m->name, state->revision, d.main);
    }
}

/* -- all of it --------------------------------------------------------------------------------- */

static struct member *first_alive(struct group *g)
{
    struct sim *s = g->sim;
    for (int i = 0; i < s->world.node_count; i++) {
        if (s->nodes[i].up) {
            return &s->nodes[i].members[g->index];
        }
    }
    OAK_UNREACHABLE("every node is dead");
}

void sim__check_equal(struct group *g)
{
    struct sim *s = g->sim;
    struct member *first = first_alive(g);
    const struct oak_store_state *a = oak_store_state(first->store);
    for (int i = first->node->index; i < s->world.node_count; i++) {
        struct member *m = &s->nodes[i].members[g->index];
        if (!s->nodes[i].up) {
            continue;
        }
        const struct oak_store_state *b = oak_store_state(m->store);
        if (b->chain != a->chain || b->revision != a->revision || b->compacted != a->compacted) {
            sim__fail(s, "convergence: %s and %s differ in state at index %" PRIu64, first->name,
                      m->name, b->applied);
        }
        stores_compare(first, m);
        sim__check_dense(m);
    }
    for (int i = first->node->index; i < s->world.node_count; i++) {
        if (s->nodes[i].up) {
            model_compare(&s->nodes[i].members[g->index]);
        }
    }
}

/* A key's last state as a read that comes after everything: what was acknowledged is there. */
static void read_last(struct group *g, const struct member *m, uint64_t key)
{
    char name[32];
    struct oak_store_kv kv;
    snprintf(name, sizeof(name), "key%" PRIu64, key);
    struct op op = {.kind = OP_GET, .key = key, .call = ++g->sim->moment};
    int error = oak_store_get(m->store, oak_bytes_str(name), 0, &kv);
    OAK_ASSERT(error == 0 || error == OAK_ENOENT);
    if (error == 0) {
        op.result = sim__value_of(kv.value);
        op.version = (uint64_t)kv.version;
    }
    op.ret = ++g->sim->moment;
    op.revision = oak_store_state(m->store)->revision;
    history_add(&g->history, &op);
}

void sim__check_reads(struct group *g)
{
    struct oak_buf seen = {0};
    const struct member *m = first_alive(g);
    for (size_t i = 0, count = g->history.count; i < count; i++) {
        const struct op *op = &g->history.ops[i];
        uint8_t *mark = op->kind <= OP_CAS ? sim__cell(&seen, op->key) : NULL;
        if (mark != NULL && oak_get_u64(mark) == 0) {
            oak_put_u64(mark, 1);
            read_last(g, m, op->key);
        }
    }
    oak_buf_fini(&seen);
}
