/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c: who asks the cluster while it breaks, and writes down what was asked and answered.
 *
 * Two clients a node, each with one request at a time and a short rest between: some always wait
 * with a node that is away, others go on. Keys change every few seconds, so that the history of
 * one key stays short enough to be judged. Every value is written once.
 *
 * Happy path   draw an operation → send → note what came → rest
 * Can fail     an operation without an answer may have happened, and is noted so; one that never
 *              left its client is not noted.
 * Thread       the loop's.
 */
#include "chaos/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Shorter than most faults: a client of a node that is away asks anew, and what it then reads must
 * be what the others have written meanwhile. */
#define TIMEOUT_NS (800 * CROWD_MS)
#define EPOCH_NS   (3000 * CROWD_MS)
#define KEYS       3
#define REST_NS    (30 * CROWD_MS)
/* A node that refuses is not asked at once again: each unknown end doubles what is possible. */
#define REFUSED_REST_NS (200 * CROWD_MS)
#define UNSENT_REST_NS  (20 * CROWD_MS)

OAK_STATIC_ASSERT(KEYS <= OAK_COUNT_OF(((struct chaos *)NULL)->lately), "a value for each key");

static ProtobufCBinaryData text(const char *s)
{
    return oak_proto_binary(oak_bytes_str(s));
}

static void op_draw(struct chaos__client *client)
{
    struct chaos *c = client->chaos;
    uint64_t slot = oak_prng_below(&c->prng, KEYS);
    unsigned dice = (unsigned)oak_prng_below(&c->prng, 100);
    uint64_t epoch = (crowd_now(&c->crowd) - c->start_ns) / EPOCH_NS;
    client->op = (struct op){.client = client->index, .key = epoch * KEYS + slot};
    client->op.kind = dice < 38   ? OP_GET
                      : dice < 50 ? OP_PEEK
                      : dice < 74 ? OP_PUT
                      : dice < 86 ? OP_CAS
                      : dice < 91 ? OP_DELETE
                      : dice < 96 ? OP_MOVE
                                  : OP_LOOK;
    if (client->op.kind == OP_MOVE || client->op.kind == OP_LOOK) {
        client->op.key = epoch;
        client->op.arg = client->op.kind == OP_MOVE ? ++c->value : 0;
        return;
    }
    if (client->op.kind == OP_PUT || client->op.kind == OP_CAS) {
        client->op.expect = client->op.kind == OP_CAS ? c->lately[slot] : 0;
        client->op.arg = ++c->value;
        c->lately[slot] = c->value;
    }
    c->keys = OAK_MAX(c->keys, client->op.key + 1);
    snprintf(client->key, sizeof(client->key), "h%" PRIu64, client->op.key);
    snprintf(client->arg, sizeof(client->arg), "%" PRIu64, client->op.arg);
    snprintf(client->expect, sizeof(client->expect), "%" PRIu64, client->op.expect);
}

static void cas_send(struct chaos__client *client)
{
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    compare.key = text(client->key);
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
    compare.value = text(client->expect);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = text(client->key);
    put.value = text(client->arg);
    Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT;
    then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    Etcdserverpb__Compare *compares[] = {&compare};
    Etcdserverpb__RequestOp *success[] = {&then};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = 1;
    txn.success = success;
    crowd_send(&client->call, (size_t)client->op.node, "Txn", &txn.base,
               &etcdserverpb__txn_response__descriptor, TIMEOUT_NS);
}

static void op_send(struct chaos__client *client)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest remove = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    size_t node = (size_t)client->op.node;
    switch (client->op.kind) {
    case OP_GET:
    case OP_PEEK:
        range.key = text(client->key);
        range.serializable = client->op.kind == OP_PEEK;
        crowd_send(&client->call, node, "Range", &range.base,
                   &etcdserverpb__range_response__descriptor, TIMEOUT_NS);
        return;
    case OP_PUT:
        put.key = text(client->key);
        put.value = text(client->arg);
        crowd_send(&client->call, node, "Put", &put.base, &etcdserverpb__put_response__descriptor,
                   TIMEOUT_NS);
        return;
    case OP_DELETE:
        remove.key = text(client->key);
        crowd_send(&client->call, node, "DeleteRange", &remove.base,
                   &etcdserverpb__delete_range_response__descriptor, TIMEOUT_NS);
        return;
    case OP_CAS:
        cas_send(client);
        return;
    case OP_MOVE:
    case OP_LOOK:
        chaos__pair_send(client, TIMEOUT_NS);
        return;
    case OP_SWEEP:
    case OP_TRIM:
        break;
    }
    OAK_UNREACHABLE("operation");
}

/* A value that is no number of ours was written by nobody: the checker says so. */
uint64_t chaos__value_read(const Mvccpb__KeyValue *kv)
{
    char digits[24] = "";
    char *end;
    memcpy(digits, kv->value.data, OAK_MIN(kv->value.len, sizeof(digits) - 1));
    errno = 0;
    uint64_t value = strtoull(digits, &end, 10);
    return errno == 0 && digits[0] >= '0' && digits[0] <= '9' && *end == '\0' ? value : UINT64_MAX;
}

/* False: an answer without a header, which is none. */
static bool result_read(struct op *op, const ProtobufCMessage *response)
{
    const Etcdserverpb__ResponseHeader *header = NULL;
    if (op->kind == OP_GET || op->kind == OP_PEEK) {
        const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)response;
        header = range->header;
        if (range->n_kvs > 0) {
            op->result = chaos__value_read(range->kvs[0]);
            op->version = (uint64_t)range->kvs[0]->version;
        }
    } else if (op->kind == OP_PUT) {
        header = ((const Etcdserverpb__PutResponse *)response)->header;
    } else if (op->kind == OP_DELETE) {
        const Etcdserverpb__DeleteRangeResponse *remove =
            (const Etcdserverpb__DeleteRangeResponse *)response;
        header = remove->header;
        op->result = (uint64_t)remove->deleted;
    } else {
        const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)response;
        header = txn->header;
        op->result = txn->succeeded ? 1 : 0;
    }
    op->revision = header == NULL ? 0 : header->revision;
    return header != NULL;
}

static void latency_add(struct chaos *c, uint64_t took_ns)
{
    if (c->latency_count == c->latency_capacity) {
        c->latency_capacity = OAK_MAX((size_t)1024, 2 * c->latency_capacity);
        c->latencies = realloc(c->latencies, c->latency_capacity * sizeof(*c->latencies));
        OAK_ASSERT(c->latencies != NULL);
    }
    c->latencies[c->latency_count++] = (uint32_t)OAK_MIN(took_ns / 1000, UINT32_MAX);
}

static void answered(struct chaos *c, const struct crowd_call *call, const struct op *op)
{
    struct chaos__node *n = &c->nodes[op->node];
    c->report->operations++;
    latency_add(c, call->done_ns - call->sent_ns);
    if (op->kind == OP_PEEK) {
        return;
    }
    if (op->kind == OP_MOVE || op->kind == OP_LOOK) {
        chaos__pair_judge(c, op, (const Etcdserverpb__TxnResponse *)call->response);
    }
    if (c->phase == CHAOS_HEALING && call->sent_ns >= c->phase_ns) {
        n->progressed = true;
    }
    if (op->kind == OP_PUT) {
        uint64_t gap_ms = (call->done_ns - c->write_ns) / CROWD_MS;
        c->report->longest_gap_ms = OAK_MAX(c->report->longest_gap_ms, gap_ms);
        c->write_ns = call->done_ns;
    }
}

static void op_begin(struct crowd_call *call)
{
    struct chaos__client *client = OAK_CONTAINER_OF(call, struct chaos__client, call);
    struct chaos *c = client->chaos;
    if (c->ending) {
        client->idle = true;
        return;
    }
    op_draw(client);
    client->op.node = client->index % c->count;
    client->life = c->nodes[client->op.node].life;
    op_send(client);
}

static void op_done(struct crowd_call *call)
{
    struct chaos__client *client = OAK_CONTAINER_OF(call, struct chaos__client, call);
    struct chaos *c = client->chaos;
    if (call->unsent) {
        crowd_rest(call, UNSENT_REST_NS, op_begin);
        return;
    }
    struct op *op = &client->op;
    bool known = call->code == OAK_RPC_OK && result_read(op, call->response);
    op->call = call->call;
    op->ret = known ? call->ret : UINT64_MAX;
    op->life = client->life == c->nodes[op->node].life ? client->life : 0;
    if (known) {
        answered(c, call, op);
    } else {
        c->report->unknown++;
    }
    if (c->sample_count > 0) {
        struct chaos__sample *s = &c->samples[c->sample_count - 1];
        s->done += known ? 1 : 0;
        s->failed += known ? 0 : 1;
    }
    history_add(&c->history, op);
    crowd_rest(call, known ? REST_NS / 2 + oak_prng_below(&c->prng, REST_NS) : REFUSED_REST_NS,
               op_begin);
}

void chaos__clients_start(struct chaos *c)
{
    c->client_count = (size_t)(2 * c->count);
    c->write_ns = crowd_now(&c->crowd);
    for (size_t i = 0; i < c->client_count; i++) {
        struct chaos__client *client = &c->clients[i];
        client->chaos = c;
        client->index = (int)i;
        client->call.done = op_done;
        crowd_call_init(&c->crowd, &client->call);
        crowd_rest(&client->call, oak_prng_below(&c->prng, REST_NS), op_begin);
    }
}

bool chaos__clients_idle(const struct chaos *c)
{
    for (size_t i = 0; i < c->client_count; i++) {
        if (!c->clients[i].idle) {
            return false;
        }
    }
    return true;
}

void chaos__clients_fini(struct chaos *c)
{
    for (size_t i = 0; i < c->client_count; i++) {
        crowd_call_fini(&c->clients[i].call);
    }
    c->client_count = 0;
}
