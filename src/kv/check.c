/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: what can be refused by looking at a request alone, in etcd's order.
 *
 * Done twice: before a request is proposed, so that the client hears at once, and when it is
 * applied, because a log may hold anything and must give the same result everywhere.
 *
 * A transaction is walked in order of its operations, success before failure; a nested one is
 * checked where it stands. Keys given twice are looked for only once all of that has passed
 * (overlap.c).
 *
 * Thread  any: nothing of the kv is changed.
 */
#include "kv/internal.h"

int oak_kv_check_range(const Etcdserverpb__RangeRequest *request)
{
    if (request->key.len == 0) {
        return OAK_EEMPTYKEY;
    }
    int order = (int)request->sort_order;
    int target = (int)request->sort_target;
    if (order < ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE ||
        order > ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND ||
        target < ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY ||
        target > ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE) {
        return OAK_EINVALIDSORT;
    }
    return 0;
}

static int check_put(const Etcdserverpb__PutRequest *request)
{
    if (request->key.len == 0) {
        return OAK_EEMPTYKEY;
    }
    if (request->ignore_value && request->value.len != 0) {
        return OAK_EVALUEPROVIDED;
    }
    if (request->ignore_lease && request->lease != 0) {
        return OAK_ELEASEPROVIDED;
    }
    return 0;
}

static int check_delete(const Etcdserverpb__DeleteRangeRequest *request)
{
    return request->key.len == 0 ? OAK_EEMPTYKEY : 0;
}

/* The head of one transaction. *budget is what its parent left it, and becomes what it leaves. */
static int check_txn_head(const Etcdserverpb__TxnRequest *txn, size_t *budget)
{
    size_t ops = OAK_MAX(txn->n_compare, OAK_MAX(txn->n_success, txn->n_failure));
    if (ops > *budget) {
        return OAK_ETOOMANYOPS;
    }
    *budget -= ops;
    for (size_t i = 0; i < txn->n_compare; i++) {
        if (txn->compare[i]->key.len == 0) {
            return OAK_EEMPTYKEY;
        }
    }
    return 0;
}

static int check_op(const Etcdserverpb__RequestOp *op)
{
    switch (kv__op_kind(op)) {
    case KV_OP_RANGE:
        return oak_kv_check_range(op->request_range);
    case KV_OP_PUT:
        return check_put(op->request_put);
    case KV_OP_DELETE:
        return check_delete(op->request_delete_range);
    case KV_OP_TXN:
        return 0;
    case KV_OP_NONE:
        break;
    }
    return OAK_EKEYNOTFOUND;
}

static int check_txn(size_t txn_ops_max, const Etcdserverpb__TxnRequest *txn)
{
    struct kv__walk walk;
    size_t budgets[KV_TXN_DEPTH_MAX + 1]; /* what each level leaves to those in it */
    kv__walk_init(&walk);
    budgets[1] = txn_ops_max;
    int error = check_txn_head(txn, &budgets[1]);
    if (error != 0) {
        return error;
    }
    bool entered = kv__walk_enter(&walk, txn, KV_BRANCH_BOTH);
    OAK_ASSERT(entered);
    const Etcdserverpb__RequestOp *op;
    while ((op = kv__walk_next(&walk)) != NULL) {
        error = check_op(op);
        if (error != 0) {
            return error;
        }
        if (kv__op_kind(op) != KV_OP_TXN) {
            continue;
        }
        size_t budget = budgets[walk.depth];
        error = check_txn_head(op->request_txn, &budget);
        if (error != 0) {
            return error;
        }
        if (!kv__walk_enter(&walk, op->request_txn, KV_BRANCH_BOTH)) {
            return OAK_EFORMAT;
        }
        budgets[walk.depth] = budget;
    }
    return 0;
}

/* The id 0 is that of no lease: who proposes a grant has chosen one. */
static int check_grant(const Etcdserverpb__LeaseGrantRequest *request)
{
    if (request->id == 0) {
        return OAK_ELEASENOTFOUND;
    }
    return request->ttl > OAK_LEASE_TTL_S_MAX ? OAK_ELEASETTLTOOLARGE : 0;
}

int kv__check(size_t txn_ops_max, enum oak_kv_kind kind, const ProtobufCMessage *message,
              struct oak_arena *arena)
{
    int error = 0;
    switch (kind) {
    case OAK_KV_PUT:
        return check_put((const Etcdserverpb__PutRequest *)message);
    case OAK_KV_DELETE:
        return check_delete((const Etcdserverpb__DeleteRangeRequest *)message);
    case OAK_KV_TXN:
        error = check_txn(txn_ops_max, (const Etcdserverpb__TxnRequest *)message);
        if (error == 0) {
            error = kv__overlap_check((const Etcdserverpb__TxnRequest *)message, arena);
        }
        return error;
    case OAK_KV_LEASE_GRANT:
        return check_grant((const Etcdserverpb__LeaseGrantRequest *)message);
    default:
        return kv__auth_check(kind, message);
    }
}

int oak_kv_check(const struct oak_kv *kv, enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    OAK_ASSERT(message != NULL);
    struct oak_arena arena;
    oak_arena_init(&arena, 16 * OAK_KIB, SIZE_MAX / 2);
    int error = kv__check(kv->txn_ops_max, kind, message, &arena);
    oak_arena_fini(&arena);
    if (error == 0 && protobuf_c_message_get_packed_size(message) > kv->request_bytes_max) {
        error = OAK_EREQUESTTOOLARGE;
    }
    return error;
}

bool oak_kv_txn_is_read(const Etcdserverpb__TxnRequest *request, bool *serializable)
{
    struct kv__walk walk;
    kv__walk_init(&walk);
    bool entered = kv__walk_enter(&walk, request, KV_BRANCH_BOTH);
    OAK_ASSERT(entered);
    size_t ranges = 0;
    size_t local = 0;
    const Etcdserverpb__RequestOp *op;
    while ((op = kv__walk_next(&walk)) != NULL) {
        if (kv__op_kind(op) != KV_OP_RANGE) {
            *serializable = false;
            return false;
        }
        ranges++;
        local += op->request_range->serializable ? 1 : 0;
    }
    *serializable = ranges > 0 && local == ranges;
    return true;
}
