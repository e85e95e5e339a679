/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c: the conditions of a transaction, on the state as it is.
 *
 * `stored <operator> given`. A key that does not exist fails any comparison of its value, and
 * counts as 0 in the others; so does a range with nothing in it; a range holds when each of its
 * keys does. When the given operand is not of the target named, it counts as 0, or as the empty
 * value.
 *
 * An operator or a target outside the enum can't be answered with an error (etcd has none for it):
 * the unknown operator holds, the unknown target finds stored and given equal, as in etcd.
 *
 * Thread  the replica's.
 */
#include "kv/internal.h"

static int order_numbers(int64_t stored, int64_t given)
{
    return (stored > given) - (stored < given);
}

/* stored against given: <0, 0, >0. */
static int order_of(const Etcdserverpb__Compare *c, const struct oak_store_kv *kv)
{
    struct oak_bytes value = {.size = 0};
    switch ((int)c->target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE:
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE) {
            value = oak_proto_bytes(c->value);
        }
        return oak_bytes_cmp(kv->value, value);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
        return order_numbers(
            kv->version,
            c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION ? c->version : 0);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        return order_numbers(kv->create_rev,
                             c->target_union_case ==
                                     ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION
                                 ? c->create_revision
                                 : 0);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
        return order_numbers(kv->mod_rev, c->target_union_case ==
                                                  ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION
                                              ? c->mod_revision
                                              : 0);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
        return order_numbers(
            kv->lease,
            c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE ? c->lease : 0);
    default:
        return 0;
    }
}

static bool holds_for(const Etcdserverpb__Compare *c, const struct oak_store_kv *kv)
{
    int order = order_of(c, kv);
    switch ((int)c->result) {
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL:
        return order == 0;
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL:
        return order != 0;
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER:
        return order > 0;
    case ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS:
        return order < 0;
    default:
        return true;
    }
}

static bool holds_for_none(const Etcdserverpb__Compare *c)
{
    const struct oak_store_kv none = {.version = 0};
    return c->target != ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE && holds_for(c, &none);
}

static int compare_range(struct oak_kv *kv, const Etcdserverpb__Compare *c, bool *holds)
{
    struct oak_store_range range;
    if (!kv__range_of(c->key, c->range_end, &range)) {
        *holds = holds_for_none(c);
        return 0;
    }
    bool keys_only = c->target != ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    struct oak_store_scan *scan = NULL;
    int error = oak_store_scan_open(kv->store, &range, 0, keys_only, false, &scan);
    if (error != 0) {
        return error;
    }
    bool any = false;
    struct oak_store_kv found;
    *holds = true;
    while (*holds && (error = oak_store_scan_next(scan, &found)) == 0) {
        any = true;
        *holds = holds_for(c, &found);
    }
    oak_store_scan_close(scan);
    if (!any) {
        *holds = holds_for_none(c);
    }
    return error == OAK_ENOENT ? 0 : error;
}

static int compare_one(struct oak_kv *kv, const Etcdserverpb__Compare *c, bool *holds)
{
    if (c->range_end.len != 0) {
        return compare_range(kv, c, holds);
    }
    struct oak_store_kv found;
    struct oak_bytes key = oak_proto_bytes(c->key);
    bool value = c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    int error =
        value ? oak_store_get(kv->store, key, 0, &found) : oak_store_head(kv->store, key, &found);
    if (OAK_BUG(compare_old_state) && kv->state.revision > OAK_MAX(kv->state.compacted, 1)) {
        error = oak_store_get(kv->store, key, kv->state.revision - 1, &found);
    }
    if (error == OAK_ENOENT) {
        *holds = holds_for_none(c) || OAK_BUG(compare_missing_holds);
        return 0;
    }
    *holds = error == 0 && holds_for(c, &found);
    return error;
}

int kv__compares(struct oak_kv *kv, const Etcdserverpb__TxnRequest *txn, bool *holds)
{
    *holds = true;
    for (size_t i = 0; i < txn->n_compare && *holds; i++) {
        OAK_ASSERT_GT(txn->compare[i]->key.len, 0);
        int error = compare_one(kv, txn->compare[i], holds);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}
