/* SPDX-License-Identifier: Apache-2.0 */
/* model_fixture.h: the state machine once more, done plainly: one array of all versions there ever
 * were, searched from end to end, and recursion. It says in text what the answer is to be. */
#ifndef OAK_KV_MODEL_FIXTURE_H
#define OAK_KV_MODEL_FIXTURE_H

#include "kv/model_check_fixture.h"

#define MODEL_KEYS_MAX 64

struct model_version {
    char key[8];
    size_t key_size;
    char value[8];
    size_t value_size;
    int64_t main, create, version; /* version 0: a tombstone */
    int64_t lease;
};

#define MODEL_LEASES_MAX 8

struct model {
    struct model_version *versions; /* oldest first */
    size_t count, capacity;
    int64_t revision, compacted;
    int64_t changed; /* in the operation at work */
    size_t txn_ops_max;
    struct oak_kv_lease leases[MODEL_LEASES_MAX]; /* id 0: a free place */
};

static struct oak_kv_lease *model_lease(const struct model *m, int64_t id)
{
    for (size_t i = 0; i < MODEL_LEASES_MAX; i++) {
        if (m->leases[i].id == id) {
            return (struct oak_kv_lease *)(uintptr_t)&m->leases[i];
        }
    }
    return NULL;
}

static struct oak_bytes model_key(const struct model_version *v)
{
    return oak_bytes(v->key, v->key_size);
}

/* The pairs of a range as of `rev`, in order of key. */
static size_t model_find(const struct model *m, ProtobufCBinaryData key, ProtobufCBinaryData end,
                         int64_t rev, const struct model_version **out)
{
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct model_version *v = &m->versions[i];
        if (v->main > rev || !model_in(model_key(v), key, end)) {
            continue;
        }
        size_t at = 0;
        while (at < count && oak_bytes_cmp(model_key(out[at]), model_key(v)) < 0) {
            at++;
        }
        if (at < count && oak_bytes_eq(model_key(out[at]), model_key(v))) {
            out[at] = v;
            continue;
        }
        OAK_ASSERT_LT(count, MODEL_KEYS_MAX);
        memmove(&out[at + 1], &out[at], (count - at) * sizeof(out[0]));
        out[at] = v;
        count++;
    }
    size_t live = 0;
    for (size_t i = 0; i < count; i++) {
        if (out[i]->version > 0) {
            out[live++] = out[i];
        }
    }
    return live;
}

static void model_push(struct model *m, struct model_version v)
{
    if (m->count == m->capacity) {
        m->capacity = m->capacity == 0 ? 64 : 2 * m->capacity;
        m->versions = realloc(m->versions, m->capacity * sizeof(v));
    }
    m->versions[m->count++] = v;
    m->changed++;
}

static int64_t model_now(const struct model *m)
{
    return m->revision + (m->changed > 0);
}

static void model_say(struct oak_buf *out, const struct model_version *v, bool keys_only)
{
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    kv.key = oak_proto_binary(model_key(v));
    kv.value = oak_proto_binary(oak_bytes(v->value, keys_only ? 0 : v->value_size));
    kv.create_revision = v->create;
    kv.mod_revision = v->main;
    kv.version = v->version;
    kv.lease = v->lease;
    Mvccpb__KeyValue *one = &kv;
    say_pairs(out, &one, 1);
}

/* -- operations -------------------------------------------------------------------------------- */

static int64_t model_field(const struct model_version *v, int target)
{
    return target == 1 ? v->version : target == 2 ? v->create : v->main;
}

static bool model_before(const struct model_version *a, const struct model_version *b, int target,
                         bool descend)
{
    int order = 0;
    if (target == 0) {
        order = oak_bytes_cmp(model_key(a), model_key(b));
    } else if (target == 4) {
        order =
            oak_bytes_cmp(oak_bytes(a->value, a->value_size), oak_bytes(b->value, b->value_size));
    } else {
        int64_t x = model_field(a, target);
        int64_t y = model_field(b, target);
        order = x < y ? -1 : x > y;
    }
    return descend ? order > 0 : order < 0;
}

static int model_revision_check(const struct model *m, int64_t rev)
{
    return rev <= 0             ? 0
           : rev > m->revision  ? OAK_EFUTUREREV
           : rev < m->compacted ? OAK_ECOMPACTED
                                : 0;
}

static void model_range(const struct model *m, const Etcdserverpb__RangeRequest *r,
                        struct oak_buf *out)
{
    const struct model_version *all[MODEL_KEYS_MAX];
    const struct model_version *rows[MODEL_KEYS_MAX];
    size_t count =
        model_find(m, r->key, r->range_end, r->revision > 0 ? r->revision : INT64_MAX, all);
    size_t kept = 0;
    for (size_t i = 0; i < count && !r->count_only; i++) {
        const struct model_version *v = all[i];
        if ((r->min_mod_revision && v->main < r->min_mod_revision) ||
            (r->max_mod_revision && v->main > r->max_mod_revision) ||
            (r->min_create_revision && v->create < r->min_create_revision) ||
            (r->max_create_revision && v->create > r->max_create_revision)) {
            continue;
        }
        size_t at = kept++;
        while (at > 0 && model_before(v, rows[at - 1], (int)r->sort_target, r->sort_order == 2)) {
            rows[at] = rows[at - 1];
            at--;
        }
        rows[at] = v;
    }
    bool more = r->limit > 0 && kept > (size_t)r->limit;
    SAY(out, "range @%" PRId64 " %zu%s", model_now(m), count, more ? " more" : "");
    for (size_t i = 0; i < (more ? (size_t)r->limit : kept); i++) {
        model_say(out, rows[i], r->keys_only);
    }
}

static const struct model_version *model_current(const struct model *m, ProtobufCBinaryData key)
{
    const struct model_version *found[MODEL_KEYS_MAX];
    return model_find(m, key, (ProtobufCBinaryData){.len = 0}, INT64_MAX, found) > 0 ? found[0]
                                                                                     : NULL;
}

static int model_put_check(const struct model *m, const Etcdserverpb__PutRequest *r, bool alone)
{
    bool missing = (r->ignore_value || r->ignore_lease) && model_current(m, r->key) == NULL;
    bool unknown = r->lease != 0 && model_lease(m, r->lease) == NULL;
    int lease = unknown ? OAK_ELEASENOTFOUND : 0;
    int key = missing ? OAK_EKEYNOTFOUND : 0;
    return alone ? (lease != 0 ? lease : key) : (key != 0 ? key : lease);
}

static void model_put(struct model *m, const Etcdserverpb__PutRequest *r, struct oak_buf *out)
{
    const struct model_version *old = model_current(m, r->key);
    struct oak_buf prev = {0};
    if (old != NULL && r->prev_kv) {
        model_say(&prev, old, false);
    }
    struct model_version v = {.main = m->revision + 1, .create = m->revision + 1, .version = 1};
    if (old != NULL) {
        v = *old;
        v.main = m->revision + 1;
        v.version++;
    }
    memcpy(v.key, r->key.data, r->key.len);
    v.key_size = r->key.len;
    if (!r->ignore_value) {
        memcpy(v.value, r->value.data, r->value.len);
        v.value_size = r->value.len;
    }
    v.lease = r->ignore_lease ? v.lease : r->lease;
    model_push(m, v);
    SAY(out, "put @%" PRId64 "%.*s", model_now(m), (int)prev.size, (const char *)prev.data);
    oak_buf_fini(&prev);
}

static void model_delete(struct model *m, const Etcdserverpb__DeleteRangeRequest *r,
                         struct oak_buf *out)
{
    const struct model_version *found[MODEL_KEYS_MAX];
    struct model_version gone[MODEL_KEYS_MAX];
    size_t count = model_find(m, r->key, r->range_end, INT64_MAX, found);
    for (size_t i = 0; i < count; i++) {
        gone[i] = *found[i];
    }
    for (size_t i = 0; i < count; i++) {
        struct model_version v = gone[i];
        v.main = m->revision + 1;
        v.version = v.lease = 0;
        model_push(m, v);
    }
    SAY(out, "del @%" PRId64 " %zu", model_now(m), count);
    for (size_t i = 0; i < count && r->prev_kv; i++) {
        model_say(out, &gone[i], false);
    }
}

static bool model_holds_one(const Etcdserverpb__Compare *c, const struct model_version *v)
{
    static const int cases[] = {4, 5, 6, 7, 8};
    bool given = (int)c->target_union_case == cases[c->target];
    int order = 0;
    if (c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
        order = oak_bytes_cmp(oak_bytes(v->value, v->value_size),
                              given ? oak_proto_bytes(c->value) : oak_bytes(NULL, 0));
    } else {
        int64_t stored = c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE
                             ? v->lease
                             : model_field(v, (int)c->target + 1);
        int64_t operand = given ? c->version : 0;
        order = stored < operand ? -1 : stored > operand;
    }
    const bool outcomes[] = {order == 0, order > 0, order < 0, order != 0};
    return outcomes[c->result];
}

static bool model_holds(const struct model *m, const Etcdserverpb__TxnRequest *t)
{
    for (size_t i = 0; i < t->n_compare; i++) {
        const Etcdserverpb__Compare *c = t->compare[i];
        const struct model_version *found[MODEL_KEYS_MAX];
        size_t count = model_find(m, c->key, c->range_end, INT64_MAX, found);
        const struct model_version none = {.main = 0};
        if (count == 0 && (c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE ||
                           !model_holds_one(c, &none))) {
            return false;
        }
        for (size_t k = 0; k < count; k++) {
            if (!model_holds_one(c, found[k])) {
                return false;
            }
        }
    }
    return true;
}

/* Go through what will run on a copy of the state: whatever a put or a range would fall over. */
static void model_foresee(const struct model *before, struct model *copy,
                          const Etcdserverpb__TxnRequest *t, int *put_error, int *range_error)
{
    bool yes = model_holds(before, t);
    struct oak_buf ignored = {0};
    for (size_t i = 0; i < (yes ? t->n_success : t->n_failure); i++) {
        const Etcdserverpb__RequestOp *op = yes ? t->success[i] : t->failure[i];
        switch (op->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
            if (*range_error == 0) {
                *range_error = model_revision_check(before, op->request_range->revision);
            }
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
            if (*put_error == 0) {
                *put_error = model_put_check(copy, op->request_put, false);
                model_put(copy, op->request_put, &ignored);
            }
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
            model_delete(copy, op->request_delete_range, &ignored);
            break;
        default:
            model_foresee(before, copy, op->request_txn, put_error, range_error);
            break;
        }
    }
    oak_buf_fini(&ignored);
}

static void model_run(const struct model *before, struct model *m,
                      const Etcdserverpb__TxnRequest *t, struct oak_buf *out)
{
    bool yes = model_holds(before, t);
    SAY(out, yes ? " yes" : " no");
    for (size_t i = 0; i < (yes ? t->n_success : t->n_failure); i++) {
        const Etcdserverpb__RequestOp *op = yes ? t->success[i] : t->failure[i];
        SAY(out, " [");
        switch (op->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
            model_range(m, op->request_range, out);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
            model_put(m, op->request_put, out);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
            model_delete(m, op->request_delete_range, out);
            break;
        default:
            SAY(out, "txn");
            model_run(before, m, op->request_txn, out);
            break;
        }
        SAY(out, "]");
    }
}

static struct model model_copy(const struct model *m)
{
    struct model copy = *m;
    copy.versions = malloc((m->count + 1) * sizeof(*m->versions));
    copy.capacity = m->count + 1;
    if (m->count > 0) {
        memcpy(copy.versions, m->versions, m->count * sizeof(*m->versions));
    }
    return copy;
}

static int model_txn(struct model *m, const Etcdserverpb__TxnRequest *t, struct oak_buf *out)
{
    struct model_touched touched;
    int error = model_check_txn(t, m->txn_ops_max);
    if (error == 0 && (model_overlaps(t->success, t->n_success, &touched) ||
                       model_overlaps(t->failure, t->n_failure, &touched))) {
        error = OAK_EDUPLICATEKEY;
    }
    if (error != 0) {
        return error;
    }
    struct model before = model_copy(m);
    struct model copy = model_copy(m);
    int range_error = 0;
    model_foresee(&before, &copy, t, &error, &range_error);
    error = error != 0 ? error : range_error;
    if (error == 0) {
        struct oak_buf inner = {0};
        model_run(&before, m, t, &inner);
        SAY(out, "txn @%" PRId64 "%.*s", model_now(m), (int)inner.size, (const char *)inner.data);
        oak_buf_fini(&inner);
    }
    free(copy.versions);
    free(before.versions);
    return error;
}

static int model_grant(struct model *m, const Etcdserverpb__LeaseGrantRequest *r,
                       struct oak_buf *out)
{
    int error = r->id == 0                      ? OAK_ELEASENOTFOUND
                : r->ttl > OAK_LEASE_TTL_S_MAX  ? OAK_ELEASETTLTOOLARGE
                : model_lease(m, r->id) != NULL ? OAK_ELEASEEXISTS
                                                : 0;
    struct oak_kv_lease *place = model_lease(m, 0);
    error = error == 0 && place == NULL ? OAK_ETOOMANYREQUESTS : error;
    if (error == 0) {
        *place = (struct oak_kv_lease){.id = r->id, .ttl_s = r->ttl < 1 ? 1 : r->ttl};
        SAY(out, "grant @%" PRId64 " %" PRId64 " ttl %" PRId64, m->revision, r->id, place->ttl_s);
    }
    return error;
}

static int model_revoke(struct model *m, int64_t id, struct oak_buf *out)
{
    struct oak_kv_lease *lease = model_lease(m, id);
    if (id == 0 || lease == NULL) {
        return OAK_ELEASENOTFOUND;
    }
    const struct model_version *found[MODEL_KEYS_MAX];
    struct model_version gone[MODEL_KEYS_MAX];
    ProtobufCBinaryData all = oak_proto_binary(oak_bytes("\0", 1));
    size_t count = model_find(m, all, all, INT64_MAX, found);
    for (size_t i = 0; i < count; i++) {
        gone[i] = *found[i];
    }
    for (size_t i = 0; i < count; i++) {
        if (gone[i].lease == id) {
            gone[i].main = m->revision + 1;
            gone[i].version = gone[i].lease = 0;
            model_push(m, gone[i]);
        }
    }
    lease->id = 0;
    SAY(out, "revoke @%" PRId64, model_now(m));
    return 0;
}

static int model_checkpoint(struct model *m, const Etcdserverpb__LeaseCheckpointRequest *r,
                            struct oak_buf *out)
{
    for (size_t i = 0; i < r->n_checkpoints; i++) {
        const Etcdserverpb__LeaseCheckpoint *c = r->checkpoints[i];
        struct oak_kv_lease *lease = model_lease(m, c->id);
        if (c->id != 0 && lease != NULL) {
            int64_t left = c->remaining_ttl < 0 ? 0 : c->remaining_ttl;
            lease->remaining_s = left > lease->ttl_s ? lease->ttl_s : left;
        }
    }
    SAY(out, "ok");
    return 0;
}

/* What the command is answered, and the state behind it. */
OAK_UNUSED static void model_apply(struct model *m, enum oak_kv_kind kind,
                                   const ProtobufCMessage *message, struct oak_buf *out)
{
    int error = 0;
    m->changed = 0;
    if (kind == OAK_KV_PUT) {
        const Etcdserverpb__PutRequest *r = (const Etcdserverpb__PutRequest *)message;
        error = model_check_put(r);
        error = error != 0 ? error : model_put_check(m, r, true);
        if (error == 0) {
            model_put(m, r, out);
        }
    } else if (kind == OAK_KV_DELETE) {
        const Etcdserverpb__DeleteRangeRequest *r =
            (const Etcdserverpb__DeleteRangeRequest *)message;
        error = r->key.len == 0 ? OAK_EEMPTYKEY : 0;
        if (error == 0) {
            model_delete(m, r, out);
        }
    } else if (kind == OAK_KV_TXN) {
        error = model_txn(m, (const Etcdserverpb__TxnRequest *)message, out);
    } else if (kind == OAK_KV_LEASE_GRANT) {
        error = model_grant(m, (const Etcdserverpb__LeaseGrantRequest *)message, out);
    } else if (kind == OAK_KV_LEASE_REVOKE) {
        error = model_revoke(m, ((const Etcdserverpb__LeaseRevokeRequest *)message)->id, out);
    } else if (kind == OAK_KV_LEASE_CHECKPOINT) {
        error = model_checkpoint(m, (const Etcdserverpb__LeaseCheckpointRequest *)message, out);
    } else {
        int64_t at = ((const Etcdserverpb__CompactionRequest *)message)->revision;
        error = at <= m->compacted ? OAK_ECOMPACTED : at > m->revision ? OAK_EFUTUREREV : 0;
        if (error == 0) {
            m->compacted = at;
            SAY(out, "compact @%" PRId64, m->revision);
        }
    }
    if (error != 0) {
        SAY(out, "%s", oak_error_name(error));
    }
    m->revision = model_now(m);
    m->changed = 0;
}

#endif
