/* SPDX-License-Identifier: Apache-2.0 */
/* historian.c: concurrent clients that read and change a few keys through all nodes, and the
 * history of what they asked and saw, for lincheck.
 *
 *     historian ENDPOINTS FILE CLIENTS MILLISECONDS
 *
 * Client i talks to endpoint i, modulo their number, so that some clients always talk to each
 * node and wait with it while it is paused. Keys change every few seconds: each one's history
 * stays short enough to be judged. Runs for so long or until SIGTERM; then one line of JSON on
 * stdout.
 *
 * A line of FILE is "kind client node key arg expect result version revision call ret": kind is
 * put, get, delete or cas; revision is the answer's; call and ret are moments, ret is "-" when the
 * end is not known: then the operation may have happened at any time, or never. What never left its
 * client is not in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check/check.h"
#include "tests/tools/crowd.h"

/* Shorter than a pause: a client of a paused node asks anew while it is away, and what it then
 * reads must be what the others have written meanwhile. */
#define TIMEOUT_NS  (800 * CROWD_MS)
#define EPOCH_NS    (3000 * CROWD_MS)
#define KEYS        3
#define CLIENTS_MAX 64

struct historian {
    struct crowd crowd;
    FILE *out;
    struct oak_prng prng;
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t value;
    uint64_t lately[KEYS]; /* a value written to each key, for exchanges */
    uint64_t known;
    uint64_t unknown;
    size_t clients;
    size_t idle;
};

struct client {
    struct crowd_call call;
    struct historian *historian;
    int index;
    struct op op;
    char key[32], arg[24], expect[24];
};

static const char *const kinds[] = {
    [OP_PUT] = "put", [OP_GET] = "get", [OP_DELETE] = "delete", [OP_CAS] = "cas"};

static ProtobufCBinaryData text(const char *s)
{
    return oak_proto_binary(oak_bytes_str(s));
}

static void op_draw(struct client *client)
{
    struct historian *h = client->historian;
    uint64_t slot = oak_prng_below(&h->prng, KEYS);
    unsigned dice = (unsigned)oak_prng_below(&h->prng, 100);
    uint64_t epoch = (crowd_now(&h->crowd) - h->start_ns) / EPOCH_NS;
    client->op = (struct op){.client = client->index, .key = epoch * KEYS + slot};
    client->op.kind = dice < 55 ? OP_GET : dice < 80 ? OP_PUT : dice < 93 ? OP_CAS : OP_DELETE;
    if (client->op.kind == OP_PUT || client->op.kind == OP_CAS) {
        client->op.expect = client->op.kind == OP_CAS ? h->lately[slot] : 0;
        client->op.arg = ++h->value;
        h->lately[slot] = h->value;
    }
    snprintf(client->key, sizeof(client->key), "h%" PRIu64, client->op.key);
    snprintf(client->arg, sizeof(client->arg), "%" PRIu64, client->op.arg);
    snprintf(client->expect, sizeof(client->expect), "%" PRIu64, client->op.expect);
}

static void cas_send(struct client *client)
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
    crowd_send(&client->call, (size_t)client->index, "Txn", &txn.base,
               &etcdserverpb__txn_response__descriptor, TIMEOUT_NS);
}

static void op_send(struct client *client)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest remove = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    size_t node = (size_t)client->index;
    switch (client->op.kind) {
    case OP_GET:
        range.key = text(client->key);
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
        break;
    }
    OAK_UNREACHABLE("operation");
}

static void result_read(struct op *op, const ProtobufCMessage *response)
{
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)response;
    const Etcdserverpb__PutResponse *put = (const Etcdserverpb__PutResponse *)response;
    const Etcdserverpb__DeleteRangeResponse *remove =
        (const Etcdserverpb__DeleteRangeResponse *)response;
    const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)response;
    switch (op->kind) {
    case OP_GET:
        op->revision = range->header->revision;
        if (range->n_kvs > 0) {
            char value[24] = "";
            memcpy(value, range->kvs[0]->value.data,
                   OAK_MIN(range->kvs[0]->value.len, sizeof(value) - 1));
            if (!crowd_number(value, &op->result)) {
                op->result = UINT64_MAX;
            }
            op->version = (uint64_t)range->kvs[0]->version;
        }
        return;
    case OP_PUT:
        op->revision = put->header->revision;
        return;
    case OP_DELETE:
        op->revision = remove->header->revision;
        op->result = (uint64_t)remove->deleted;
        return;
    case OP_CAS:
        op->revision = txn->header->revision;
        op->result = txn->succeeded ? 1 : 0;
        return;
    case OP_MOVE:
    case OP_LOOK:
        break;
    }
    OAK_UNREACHABLE("operation");
}

static void op_write(struct historian *h, const struct op *op)
{
    fprintf(h->out,
            "%s %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64
            " %" PRIu64,
            kinds[op->kind], op->client, op->node, op->key, op->arg, op->expect, op->result,
            op->version, op->revision, op->call);
    if (op->ret == UINT64_MAX) {
        fprintf(h->out, " -\n");
    } else {
        fprintf(h->out, " %" PRIu64 "\n", op->ret);
    }
}

static void op_begin(struct crowd_call *call)
{
    struct client *client = OAK_CONTAINER_OF(call, struct client, call);
    struct historian *h = client->historian;
    if (h->crowd.stopping || crowd_now(&h->crowd) > h->end_ns) {
        h->idle++;
        if (h->idle == h->clients) {
            crowd_stop(&h->crowd);
        }
        return;
    }
    op_draw(client);
    op_send(client);
}

static void op_done(struct crowd_call *call)
{
    struct client *client = OAK_CONTAINER_OF(call, struct client, call);
    struct historian *h = client->historian;
    if (call->unsent) {
        crowd_rest(call, 20 * CROWD_MS, op_begin);
        return;
    }
    bool known = call->code == OAK_RPC_OK;
    client->op.node = (int)call->endpoint;
    client->op.call = call->call;
    client->op.ret = known ? call->ret : UINT64_MAX;
    if (known) {
        result_read(&client->op, call->response);
    }
    h->known += known ? 1 : 0;
    h->unknown += known ? 0 : 1;
    op_write(h, &client->op);
    /* A node that refuses is not asked at once again: each unknown end doubles what is possible. */
    uint64_t rest = known ? oak_prng_below(&h->prng, 20 * CROWD_MS) : 200 * CROWD_MS;
    crowd_rest(call, rest, op_begin);
}

int main(int argc, char **argv)
{
    struct historian h = {.value = 0};
    uint64_t clients = 0, ms = 0;
    bool good = argc == 5 && crowd_number(argv[3], &clients) && crowd_number(argv[4], &ms) &&
                clients > 0 && clients <= CLIENTS_MAX;
    if (!good) {
        fprintf(stderr, "historian ENDPOINTS FILE CLIENTS MILLISECONDS\n");
        return 2;
    }
    static struct client crew[CLIENTS_MAX];
    h.out = fopen(argv[2], "w");
    h.clients = (size_t)clients;
    if (h.out == NULL || !crowd_init(&h.crowd, argv[1])) {
        fprintf(stderr, "historian: can't begin\n");
        return 1;
    }
    oak_prng_init(&h.prng, crowd_now(&h.crowd));
    h.start_ns = crowd_now(&h.crowd);
    h.end_ns = h.start_ns + ms * CROWD_MS;
    for (size_t i = 0; i < h.clients; i++) {
        crew[i].historian = &h;
        crew[i].index = (int)i;
        crew[i].call.done = op_done;
        crowd_call_init(&h.crowd, &crew[i].call);
        crowd_rest(&crew[i].call, 0, op_begin);
    }
    crowd_run(&h.crowd);
    printf("{\"known\":%" PRIu64 ",\"unknown\":%" PRIu64 "}\n", h.known, h.unknown);
    for (size_t i = 0; i < h.clients; i++) {
        crowd_call_fini(&crew[i].call);
    }
    crowd_fini(&h.crowd);
    return fclose(h.out) == 0 ? 0 : 1;
}
