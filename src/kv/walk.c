/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c: the operations of a transaction and of those nested in it, in order of execution.
 *
 * A table of levels takes the place of recursion. `next` gives a nested transaction before its own
 * operations; these come next if the caller enters it, and not at all if it does not.
 *
 * Invariants   Every level in use has a list; a level that is used up stays until `next` is
 *              called, so that `depth` is the depth of the operation given last.
 * Thread       any.
 */
#include "kv/internal.h"

void kv__walk_init(struct kv__walk *w)
{
    w->depth = 0;
}

bool kv__walk_enter(struct kv__walk *w, const Etcdserverpb__TxnRequest *txn, enum kv__branch branch)
{
    OAK_ASSERT(txn != NULL);
    if (w->depth == KV_TXN_DEPTH_MAX) {
        return false;
    }
    const struct kv__list success = {.ops = txn->success, .count = txn->n_success};
    const struct kv__list failure = {.ops = txn->failure, .count = txn->n_failure};
    struct kv__level *level = &w->levels[w->depth++];
    level->lists[0] = branch == KV_BRANCH_FAILURE ? failure : success;
    level->lists[1] = failure;
    level->list_count = branch == KV_BRANCH_BOTH ? 2 : 1;
    level->list = 0;
    level->next = 0;
    return true;
}

const Etcdserverpb__RequestOp *kv__walk_next(struct kv__walk *w)
{
    while (w->depth > 0) {
        struct kv__level *level = &w->levels[w->depth - 1];
        if (level->next < level->lists[level->list].count) {
            return level->lists[level->list].ops[level->next++];
        }
        if (level->list + 1 < level->list_count) {
            level->list++;
            level->next = 0;
        } else {
            w->depth--;
        }
    }
    return NULL;
}

enum kv__op kv__op_kind(const Etcdserverpb__RequestOp *op)
{
    switch ((int)op->request_case) {
    case KV_OP_RANGE:
        return op->request_range != NULL ? KV_OP_RANGE : KV_OP_NONE;
    case KV_OP_PUT:
        return op->request_put != NULL ? KV_OP_PUT : KV_OP_NONE;
    case KV_OP_DELETE:
        return op->request_delete_range != NULL ? KV_OP_DELETE : KV_OP_NONE;
    case KV_OP_TXN:
        return op->request_txn != NULL ? KV_OP_TXN : KV_OP_NONE;
    default:
        return KV_OP_NONE;
    }
}
