/* SPDX-License-Identifier: Apache-2.0 */
/* pairs.c: two keys that change together, in one transaction, and are read together: they are never
 * seen apart.
 *
 * The operations are OP_MOVE (both keys get the same value, written nowhere else) and OP_LOOK (both
 * are read). Their revisions go into the history with all others.
 */
#include "chaos/internal.h"

#include <inttypes.h>
#include <stdio.h>

static void names(const struct op *op, char a[32], char b[32])
{
    snprintf(a, 32, "p%" PRIu64 "a", op->key);
    snprintf(b, 32, "p%" PRIu64 "b", op->key);
}

static ProtobufCBinaryData text(const char *s)
{
    return oak_proto_binary(oak_bytes_str(s));
}

void chaos__pair_send(struct chaos__client *client, uint64_t timeout_ns)
{
    Etcdserverpb__PutRequest puts[2] = {ETCDSERVERPB__PUT_REQUEST__INIT,
                                        ETCDSERVERPB__PUT_REQUEST__INIT};
    Etcdserverpb__RangeRequest ranges[2] = {ETCDSERVERPB__RANGE_REQUEST__INIT,
                                            ETCDSERVERPB__RANGE_REQUEST__INIT};
    Etcdserverpb__RequestOp steps[2] = {ETCDSERVERPB__REQUEST_OP__INIT,
                                        ETCDSERVERPB__REQUEST_OP__INIT};
    Etcdserverpb__RequestOp *success[2] = {&steps[0], &steps[1]};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    char keys[2][32], value[24];
    names(&client->op, keys[0], keys[1]);
    snprintf(value, sizeof(value), "%" PRIu64, client->op.arg);
    for (size_t i = 0; i < 2; i++) {
        puts[i].key = ranges[i].key = text(keys[i]);
        puts[i].value = text(value);
        if (client->op.kind == OP_MOVE) {
            steps[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            steps[i].request_put = &puts[i];
        } else {
            steps[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
            steps[i].request_range = &ranges[i];
        }
    }
    txn.n_success = 2;
    txn.success = success;
    crowd_send(&client->call, (size_t)client->op.node, "Txn", &txn.base,
               &etcdserverpb__txn_response__descriptor, timeout_ns);
}

/* 0: not there. */
static uint64_t seen(const Etcdserverpb__TxnResponse *txn, size_t i)
{
    const Etcdserverpb__ResponseOp *step = i < txn->n_responses ? txn->responses[i] : NULL;
    if (step == NULL || step->response_case != ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE) {
        return UINT64_MAX;
    }
    const Etcdserverpb__RangeResponse *range = step->response_range;
    return range->n_kvs == 0 ? 0 : chaos__value_read(range->kvs[0]);
}

void chaos__pair_judge(struct chaos *c, const struct op *op, const Etcdserverpb__TxnResponse *txn)
{
    uint64_t a = op->kind == OP_LOOK ? seen(txn, 0) : 0;
    uint64_t b = op->kind == OP_LOOK ? seen(txn, 1) : 0;
    if (a != b || a == UINT64_MAX) {
        chaos__violation(c,
                         "transactions: two keys that change together were seen apart, %" PRIu64
                         " and %" PRIu64 " (pair %" PRIu64 ", client %d, node %d, revision %" PRId64
                         ")",
                         a, b, op->key, op->client, op->node, op->revision);
    }
}
