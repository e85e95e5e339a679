/* SPDX-License-Identifier: Apache-2.0 */
/* model_check_fixture.h: of the model in model_fixture.h, what is refused by looking at a request
 * alone. */
#ifndef OAK_KV_MODEL_CHECK_FIXTURE_H
#define OAK_KV_MODEL_CHECK_FIXTURE_H

#include "kv/kv_fixture.h"

static bool model_in(struct oak_bytes x, ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    struct oak_bytes from = oak_proto_bytes(key);
    if (end.len == 0) {
        return oak_bytes_eq(x, from);
    }
    bool open_end = end.len == 1 && end.data[0] == 0;
    return oak_bytes_cmp(x, from) >= 0 && (open_end || oak_bytes_cmp(x, oak_proto_bytes(end)) < 0);
}

static int model_check_range(const Etcdserverpb__RangeRequest *r)
{
    bool bad = (int)r->sort_order < 0 || (int)r->sort_order > 2 || (int)r->sort_target < 0 ||
               (int)r->sort_target > 4;
    return r->key.len == 0 ? OAK_EEMPTYKEY : bad ? OAK_EINVALIDSORT : 0;
}

static int model_check_put(const Etcdserverpb__PutRequest *r)
{
    return r->key.len == 0                       ? OAK_EEMPTYKEY
           : r->ignore_value && r->value.len > 0 ? OAK_EVALUEPROVIDED
           : r->ignore_lease && r->lease != 0    ? OAK_ELEASEPROVIDED
                                                 : 0;
}

static int model_check_txn(const Etcdserverpb__TxnRequest *t, size_t budget);

static int model_check_op(const Etcdserverpb__RequestOp *op, size_t budget)
{
    switch (op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        return model_check_range(op->request_range);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        return model_check_put(op->request_put);
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        return op->request_delete_range->key.len == 0 ? OAK_EEMPTYKEY : 0;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        return model_check_txn(op->request_txn, budget);
    default:
        return OAK_EKEYNOTFOUND;
    }
}

static int model_check_txn(const Etcdserverpb__TxnRequest *t, size_t budget)
{
    size_t ops = OAK_MAX(OAK_MAX(t->n_success, t->n_failure), t->n_compare);
    if (ops > budget) {
        return OAK_ETOOMANYOPS;
    }
    int error = 0;
    for (size_t i = 0; i < t->n_compare && error == 0; i++) {
        error = t->compare[i]->key.len == 0 ? OAK_EEMPTYKEY : 0;
    }
    for (size_t i = 0; i < t->n_success && error == 0; i++) {
        error = model_check_op(t->success[i], budget - ops);
    }
    for (size_t i = 0; i < t->n_failure && error == 0; i++) {
        error = model_check_op(t->failure[i], budget - ops);
    }
    return error;
}

/* Keys put, and intervals deleted, in a list and all below it. */
struct model_touched {
    ProtobufCBinaryData puts[256];
    size_t put_count;
    ProtobufCBinaryData dels[256][2];
    size_t del_count;
};

static bool model_put_in(const struct model_touched *t, ProtobufCBinaryData key)
{
    for (size_t i = 0; i < t->put_count; i++) {
        if (oak_bytes_eq(oak_proto_bytes(t->puts[i]), oak_proto_bytes(key))) {
            return true;
        }
    }
    return false;
}

static bool model_del_in(const struct model_touched *t, ProtobufCBinaryData key)
{
    for (size_t i = 0; i < t->del_count; i++) {
        bool literal_end = t->dels[i][1].len == 1 && t->dels[i][1].data[0] == 0;
        if (!literal_end && model_in(oak_proto_bytes(key), t->dels[i][0], t->dels[i][1])) {
            return true;
        }
    }
    return false;
}

static void model_put_add(struct model_touched *t, ProtobufCBinaryData key)
{
    OAK_ASSERT_LT(t->put_count, OAK_COUNT_OF(t->puts));
    t->puts[t->put_count++] = key;
}

static void model_del_add(struct model_touched *t, ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    OAK_ASSERT_LT(t->del_count, OAK_COUNT_OF(t->dels));
    t->dels[t->del_count][0] = key;
    t->dels[t->del_count++][1] = end;
}

static bool model_overlaps(Etcdserverpb__RequestOp **ops, size_t count, struct model_touched *out);

/* Both branches of a nested transaction, into its list. */
static bool model_overlaps_txn(const Etcdserverpb__TxnRequest *t, struct model_touched *out)
{
    struct model_touched branch[2];
    if (model_overlaps(t->success, t->n_success, &branch[0]) ||
        model_overlaps(t->failure, t->n_failure, &branch[1])) {
        return true;
    }
    size_t before = out->put_count;
    for (size_t b = 0; b < 2; b++) {
        for (size_t i = 0; i < branch[b].put_count; i++) {
            struct model_touched earlier = *out;
            earlier.put_count = before;
            if (model_put_in(&earlier, branch[b].puts[i]) || model_del_in(out, branch[b].puts[i])) {
                return true;
            }
            model_put_add(out, branch[b].puts[i]);
        }
    }
    for (size_t b = 0; b < 2; b++) {
        for (size_t i = 0; i < branch[b].del_count; i++) {
            model_del_add(out, branch[b].dels[i][0], branch[b].dels[i][1]);
        }
    }
    return false;
}

static bool model_overlaps(Etcdserverpb__RequestOp **ops, size_t count, struct model_touched *out)
{
    out->put_count = 0;
    out->del_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE) {
            model_del_add(out, ops[i]->request_delete_range->key,
                          ops[i]->request_delete_range->range_end);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN &&
            model_overlaps_txn(ops[i]->request_txn, out)) {
            return true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            ProtobufCBinaryData key = ops[i]->request_put->key;
            if (model_put_in(out, key) || model_del_in(out, key)) {
                return true;
            }
            model_put_add(out, key);
        }
    }
    return false;
}

#endif
