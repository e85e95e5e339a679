/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.c: what clients do to many keys at once: a few are put in one transaction, a range of them
 * is removed, and history is compacted behind a revision that was seen.
 *
 * These keys are nobody else's, and the checker of single keys leaves them out: what becomes of
 * them, at the end and as of older revisions, is held against the model (model.c).
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/internal.h"

#define KEYS 10
#define PUTS 3
/* How far behind what it has seen a client compacts, at most. */
#define BEHIND 100

static const char *key_write(uint64_t i, char out[16])
{
    snprintf(out, 16, "swept/%" PRIu64, i % KEYS);
    return out;
}

static const ProtobufCMessage *fill_make(struct sweep *w, uint64_t number)
{
    etcdserverpb__txn_request__init(&w->txn);
    for (size_t i = 0; i < PUTS; i++) {
        etcdserverpb__request_op__init(&w->ops[i]);
        etcdserverpb__put_request__init(&w->puts[i]);
        w->puts[i].key =
            oak_proto_binary(oak_bytes_str(key_write(number + (KEYS / PUTS) * i, w->keys[i])));
        snprintf(w->value, sizeof(w->value), "%" PRIu64, number);
        w->puts[i].value = oak_proto_binary(oak_bytes_str(w->value));
        w->ops[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        w->ops[i].request_put = &w->puts[i];
        w->success[i] = &w->ops[i];
    }
    w->txn.n_success = PUTS;
    w->txn.success = w->success;
    return &w->txn.base;
}

/* From a key to another, which stays; the other may be below. Every eighth: to the end. */
static const ProtobufCMessage *remove_make(struct sweep *w, uint64_t number)
{
    etcdserverpb__delete_range_request__init(&w->remove);
    w->remove.key = oak_proto_binary(oak_bytes_str(key_write(number, w->keys[0])));
    w->remove.range_end = oak_proto_binary(oak_bytes_str(key_write(number / KEYS, w->keys[1])));
    if (number / KEYS % 8 == 7) {
        w->remove.range_end = oak_proto_binary(oak_bytes_str("swept/~"));
    }
    return &w->remove.base;
}

static const ProtobufCMessage *compact_make(struct sweep *w, int64_t seen, uint64_t number)
{
    etcdserverpb__compaction_request__init(&w->compact);
    w->compact.revision = OAK_MAX(seen - (int64_t)(number % BEHIND), (int64_t)1);
    return &w->compact.base;
}

const ProtobufCMessage *sim__sweep_make(struct sweep *w, const struct op *op, int64_t seen,
                                        enum oak_kv_kind *kind)
{
    if (op->kind == OP_TRIM) {
        *kind = OAK_KV_COMPACT;
        return compact_make(w, seen, op->arg);
    }
    OAK_ASSERT_EQ(op->kind, OP_SWEEP);
    *kind = op->arg % 2 == 0 ? OAK_KV_TXN : OAK_KV_DELETE;
    return op->arg % 2 == 0 ? fill_make(w, op->arg / 2) : remove_make(w, op->arg / 2);
}
