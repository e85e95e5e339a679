/* SPDX-License-Identifier: Apache-2.0 */
/* touches.c: might this command, should it have been done, change what a read answers?
 *
 * For reads on a state behind which commands stand of which nobody knows yet whether they were
 * committed. A command counts with every key it may write: of a transaction those of both branches,
 * and of all transactions nested in it, because which branch is taken depends on the state. A
 * compaction changes what a read of an old revision answers, and a floor is for all keys. A command
 * that is not understood counts with everything.
 *
 * Can fail     towards true: no memory to decode it.
 * Invariants   false only if no run of the command changes a key of the ranges.
 * Thread       the replica's.
 */
#include "kv/internal.h"

/* Below `to`, when the range has one; a range without an end and not open is one key. */
static bool range_holds(const struct oak_store_range *range, struct oak_bytes key)
{
    int from = oak_bytes_cmp(range->from, key);
    if (range->open_end) {
        return from <= 0;
    }
    return range->to.size == 0 ? from == 0 : from <= 0 && oak_bytes_cmp(key, range->to) < 0;
}

static bool ranges_meet(const struct oak_store_range *a, const struct oak_store_range *b)
{
    /* Two intervals meet where one of them begins. */
    return range_holds(a, b->from) || range_holds(b, a->from);
}

static bool reach_meets(const struct oak_kv_reach *reach, ProtobufCBinaryData key,
                        ProtobufCBinaryData range_end)
{
    struct oak_store_range range;
    if (key.len == 0 || !kv__range_of(key, range_end, &range)) {
        return key.len == 0; /* such a key is refused; an empty range writes nothing */
    }
    for (size_t i = 0; i < reach->count; i++) {
        if (ranges_meet(&reach->ranges[i], &range)) {
            return true;
        }
    }
    return false;
}

static bool txn_touches(const Etcdserverpb__TxnRequest *txn, const struct oak_kv_reach *reach)
{
    struct kv__walk walk;
    kv__walk_init(&walk);
    bool fits = kv__walk_enter(&walk, txn, KV_BRANCH_BOTH);
    OAK_ASSERT(fits);
    const ProtobufCBinaryData none = {0};
    for (const Etcdserverpb__RequestOp *op; (op = kv__walk_next(&walk)) != NULL;) {
        bool meets = false;
        switch (kv__op_kind(op)) {
        case KV_OP_PUT:
            meets = reach_meets(reach, op->request_put->key, none);
            break;
        case KV_OP_DELETE:
            meets = reach_meets(reach, op->request_delete_range->key,
                                op->request_delete_range->range_end);
            break;
        case KV_OP_TXN:
            meets = !kv__walk_enter(&walk, op->request_txn, KV_BRANCH_BOTH);
            break;
        case KV_OP_RANGE:
        case KV_OP_NONE:
            break;
        }
        if (meets) {
            return true;
        }
    }
    return false;
}

bool oak_kv_touches(struct oak_kv *kv, struct oak_bytes entry, const struct oak_kv_reach *reach)
{
    OAK_ASSERT(!kv->batch_open);
    struct oak_kv_command command;
    ProtobufCMessage *message = NULL;
    int told = 0;
    if (entry.size == 0) {
        return false; /* a leader's no-op */
    }
    if (reach == NULL || oak_kv_command_decode(entry, &command) != 0 ||
        kv__decode(kv, &command, &message, &told) != 0 || told != 0) {
        return true;
    }
    const ProtobufCBinaryData none = {0};
    switch (command.kind) {
    case OAK_KV_PUT:
        return reach_meets(reach, ((const Etcdserverpb__PutRequest *)message)->key, none);
    case OAK_KV_DELETE: {
        const Etcdserverpb__DeleteRangeRequest *r =
            (const Etcdserverpb__DeleteRangeRequest *)message;
        return reach_meets(reach, r->key, r->range_end);
    }
    case OAK_KV_TXN:
        return txn_touches((const Etcdserverpb__TxnRequest *)message, reach);
    case OAK_KV_COMPACT:
    case OAK_KV_COMPACT_OWN:
        return reach->old_revisions;
    case OAK_KV_LEASE_GRANT:
    case OAK_KV_LEASE_CHECKPOINT:
        return false;
    default:
        /* Also what changes permissions; and a lease's revocation, for whatever will belong to it
         * by then. */
        return true;
    }
}
