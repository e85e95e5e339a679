/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: clients that put, get, delete and exchange a few keys, one operation at a time each, at
 * any node; and now and then do something to many at once (sweep.c).
 *
 * Keys change every few seconds, so that the history of one key stays short enough to be checked.
 * Whatever ends without an answer may have happened or not.
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/internal.h"

#define EPOCH_NS    (5000 * SIM_MS)
#define DEADLINE_NS (3000 * SIM_MS)
#define TOKEN_A     "token/a"
#define TOKEN_B     "token/b"

struct seen {
    uint64_t value;
    uint64_t version; /* 0: no such key */
    int64_t mod;
};

static void client_next(struct client *c);

static struct op *op_of(struct client *c)
{
    return &c->group->history.ops[c->op];
}

static void op_trace(struct client *c, const struct op *op, bool known)
{
    static const char *const names[] = {"put",  "get",  "delete", "cas", "move",
                                        "look", "peek", "sweep",  "trim"};
    if (known) {
        sim__trace(c->sim,
                   "c%d %s key%" PRIu64 " %" PRIu64 " at n%d: %" PRIu64 ", version %" PRIu64
                   ", revision %" PRId64,
                   c->index, names[op->kind], op->key, op->arg, op->node + 1, op->result,
                   op->version, op->revision);
    } else {
        sim__trace(c->sim, "c%d %s key%" PRIu64 " %" PRIu64 " at n%d: no answer", c->index,
                   names[op->kind], op->key, op->arg, op->node + 1);
    }
}

static void op_end(struct client *c, bool known)
{
    struct op *op = op_of(c);
    OAK_ASSERT(c->busy);
    c->busy = false;
    c->failed = !known;
    op_trace(c, op, known);
    int64_t *seen = &c->seen[c->group->index];
    *seen = known ? OAK_MAX(*seen, op->revision) : *seen;
    if (known) {
        op->ret = ++c->sim->moment;
        c->sim->report->operations++;
        c->answered++;
    }
    client_next(c);
}

uint64_t sim__value_of(struct oak_bytes bytes)
{
    char text[24] = {0};
    memcpy(text, bytes.data, OAK_MIN(bytes.size, sizeof(text) - 1));
    uint64_t value = 0;
    if (sscanf(text, "%" SCNu64, &value) != 1) {
        value = UINT64_MAX;
    }
    return value;
}

static ProtobufCBinaryData text_bytes(const char *text)
{
    return oak_proto_binary(oak_bytes_str(text));
}

/* One key as this node has it now. */
static void key_see(struct client *c, const char *key, struct seen *seen)
{
    struct op *op = op_of(c);
    struct oak_arena *arena = &c->arena;
    Etcdserverpb__RangeResponse *found = NULL;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = text_bytes(key);
    const struct member *m = &c->sim->nodes[op->node].members[c->group->index];
    int error = oak_kv_range(oak_replica_kv(m->replica), &range, arena, &found);
    *seen = (struct seen){0};
    if (error != 0) {
        sim__fail(c->sim, "a range failed on node %d: %s", op->node + 1, oak_error_text(error));
        return;
    }
    op->revision = c->request.reach == NULL ? found->header->revision : 0;
    if (found->n_kvs == 1) {
        seen->value = sim__value_of(oak_proto_bytes(found->kvs[0]->value));
        seen->version = (uint64_t)found->kvs[0]->version;
        seen->mod = found->kvs[0]->mod_revision;
    }
    oak_arena_reset(arena);
}

/* The token is where one of both keys says 1; each move writes both. */
static void token_see(struct client *c)
{
    struct seen a, b;
    key_see(c, TOKEN_A, &a);
    key_see(c, TOKEN_B, &b);
    bool none = a.version == 0 && b.version == 0;
    if (!none && (a.value + b.value != 1 || a.mod != b.mod || a.version != b.version)) {
        sim__fail(c->sim,
                  "transactions: node %d has values %" PRIu64 " and %" PRIu64
                  " of revisions %" PRId64 " and %" PRId64 " in two keys that change together",
                  op_of(c)->node + 1, a.value, b.value, a.mod, b.mod);
    }
}

static void sweep_seen(struct op *op, const ProtobufCMessage *response)
{
    if (response->descriptor == &etcdserverpb__txn_response__descriptor) {
        op->result = 1;
        op->revision = ((const Etcdserverpb__TxnResponse *)response)->header->revision;
    } else {
        op->result = (uint64_t)((const Etcdserverpb__DeleteRangeResponse *)response)->deleted;
        op->revision = ((const Etcdserverpb__DeleteRangeResponse *)response)->header->revision;
    }
}

static void write_seen(struct op *op, const ProtobufCMessage *response)
{
    switch (op->kind) {
    case OP_PUT:
        op->revision = ((const Etcdserverpb__PutResponse *)response)->header->revision;
        break;
    case OP_DELETE:
        op->result = (uint64_t)((const Etcdserverpb__DeleteRangeResponse *)response)->deleted;
        op->revision = ((const Etcdserverpb__DeleteRangeResponse *)response)->header->revision;
        break;
    case OP_CAS:
    case OP_MOVE:
        op->result = ((const Etcdserverpb__TxnResponse *)response)->succeeded ? 1 : 0;
        op->revision = ((const Etcdserverpb__TxnResponse *)response)->header->revision;
        break;
    case OP_SWEEP:
        sweep_seen(op, response);
        break;
    case OP_GET:
    case OP_LOOK:
    case OP_PEEK:
    case OP_TRIM:
        break;
    }
}

static void done(struct oak_replica_request *request, int error, const struct oak_kv_result *result)
{
    struct client *c = OAK_CONTAINER_OF(request, struct client, request);
    struct op *op = op_of(c);
    if (error != 0) {
        op_end(c, false);
        return;
    }
    if (op->kind == OP_GET) {
        struct seen seen;
        key_see(c, c->key, &seen);
        op->result = seen.value;
        op->version = seen.version;
    } else if (op->kind == OP_LOOK) {
        token_see(c);
    } else {
        write_seen(op, result->response);
    }
    op_end(c, true);
}

static int propose(struct client *c, struct oak_replica *replica, enum oak_kv_kind kind,
                   const ProtobufCMessage *message)
{
    int error = oak_kv_check(oak_replica_kv(replica), kind, message);
    OAK_ASSERT_EQ(error, 0);
    oak_buf_clear(&c->packed);
    error = oak_buf_reserve(&c->packed, protobuf_c_message_get_packed_size(message));
    OAK_ASSERT_EQ(error, 0);
    c->packed.size = protobuf_c_message_pack(message, c->packed.data);
    c->request.who = sim__who(&c->sim->nodes[op_of(c)->node].members[c->group->index]);
    return oak_replica_propose(replica, kind, oak_buf_bytes(&c->packed), &c->request);
}

static int cas_send(struct client *c, struct oak_replica *replica, const char *expect,
                    const char *value)
{
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    compare.key = text_bytes(c->key);
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
    compare.value = text_bytes(expect);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = text_bytes(c->key);
    put.value = text_bytes(value);
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
    return propose(c, replica, OAK_KV_TXN, &txn.base);
}

static void put_op(Etcdserverpb__RequestOp *op, Etcdserverpb__PutRequest *put, const char *key,
                   const char *value)
{
    etcdserverpb__request_op__init(op);
    etcdserverpb__put_request__init(put);
    put->key = text_bytes(key);
    put->value = text_bytes(value);
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op->request_put = put;
}

/* If the first key has the token, it goes to the second, else to the first. */
static int move_send(struct client *c, struct oak_replica *replica)
{
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    compare.key = text_bytes(TOKEN_A);
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
    compare.value = text_bytes("1");
    Etcdserverpb__PutRequest puts[4];
    Etcdserverpb__RequestOp ops[4];
    put_op(&ops[0], &puts[0], TOKEN_A, "0");
    put_op(&ops[1], &puts[1], TOKEN_B, "1");
    put_op(&ops[2], &puts[2], TOKEN_A, "1");
    put_op(&ops[3], &puts[3], TOKEN_B, "0");
    Etcdserverpb__Compare *compares[] = {&compare};
    Etcdserverpb__RequestOp *success[] = {&ops[0], &ops[1]};
    Etcdserverpb__RequestOp *failure[] = {&ops[2], &ops[3]};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = 2;
    txn.success = success;
    txn.n_failure = 2;
    txn.failure = failure;
    return propose(c, replica, OAK_KV_TXN, &txn.base);
}

/* A read at once, if it may be; or when it may. Every other one tells of its key alone. */
static int read_send(struct client *c, const struct op *op, struct oak_replica *replica)
{
    c->range = (struct oak_store_range){.from = oak_bytes_str(c->key)};
    c->reach = (struct oak_kv_reach){.ranges = &c->range, .count = 1};
    c->request.reach = op->kind == OP_GET && op->call % 2 == 0 ? &c->reach : NULL;
    if (op->call % 4 < 2 && oak_replica_read_now(replica, c->request.reach)) {
        done(&c->request, 0, NULL);
        return 0;
    }
    return oak_replica_read(replica, &c->request);
}

/* The number, and for some of them much behind it; the same each time. */
static const char *value_write(const struct client *c, uint64_t number, struct oak_buf *out)
{
    unsigned most = c->sim->plan.value_bytes_max;
    size_t extra = most > 0 && number % 4 == 0 ? number * 7919 % most : 0;
    oak_buf_clear(out);
    int error = oak_buf_printf(out, "%" PRIu64, number);
    for (size_t i = 0; error == 0 && i < extra; i += 16) {
        error = oak_buf_append(out, " and much behind", 16);
    }
    error = error == 0 ? oak_buf_append(out, "", 1) : error;
    OAK_ASSERT_EQ(error, 0);
    return (const char *)out->data;
}

static int op_send(struct client *c, const struct op *op, struct oak_replica *replica)
{
    const char *value = value_write(c, op->arg, &c->value);
    const char *expect = value_write(c, op->expect, &c->expect);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest remove = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    switch (op->kind) {
    case OP_GET:
    case OP_LOOK:
    case OP_PEEK:
        return read_send(c, op, replica);
    case OP_PUT:
        put.key = text_bytes(c->key);
        put.value = text_bytes(value);
        return propose(c, replica, OAK_KV_PUT, &put.base);
    case OP_DELETE:
        remove.key = text_bytes(c->key);
        return propose(c, replica, OAK_KV_DELETE, &remove.base);
    case OP_CAS:
        return cas_send(c, replica, expect, value);
    case OP_MOVE:
        return move_send(c, replica);
    case OP_SWEEP:
    case OP_TRIM:
        break;
    }
    struct sweep sweep;
    enum oak_kv_kind kind;
    const ProtobufCMessage *message = sim__sweep_make(&sweep, op, c->seen[c->group->index], &kind);
    return propose(c, replica, kind, message);
}

/* A value that some client wrote to this key lately, so that exchanges have a chance. */
static uint64_t guess(const struct history *h, uint64_t key)
{
    for (size_t i = h->count; i > 0 && i + 64 > h->count; i--) {
        const struct op *op = &h->ops[i - 1];
        if (op->key == key && (op->kind == OP_PUT || op->kind == OP_CAS)) {
            return op->arg;
        }
    }
    return 1;
}

static void op_draw(struct client *c, struct op *op)
{
    struct sim *s = c->sim;
    struct oak_prng *p = &s->world.prng;
    uint64_t epoch = s->world.now_ns / EPOCH_NS;
    unsigned dice = (unsigned)oak_prng_below(p, 100);
    unsigned reads = s->plan.read_heavy ? 70 : 40;
    *op = (struct op){.client = c->index, .ret = UINT64_MAX};
    op->key = epoch * 100 + oak_prng_below(p, s->plan.keys);
    op->kind = dice < reads        ? OP_GET
               : dice < reads + 16 ? OP_PUT
               : dice < reads + 24 ? OP_CAS
                                   : OP_DELETE;
    if (op->kind == OP_DELETE && dice > reads + 30) {
        op->kind = OP_PUT;
    }
    if (oak_prng_chance(p, 1, 10)) {
        op->kind = dice < reads ? OP_LOOK : OP_MOVE;
    }
    if (oak_prng_chance(p, 1, 12)) {
        op->kind = oak_prng_chance(p, 1, 8) ? OP_TRIM : OP_SWEEP;
        op->arg = oak_prng_u64(p) >> 8;
    }
    op->node = (int)oak_prng_below(p, (uint64_t)s->world.node_count);
    unsigned asked = sim__core_asked(s);
    while (asked != 0 && (asked >> op->node & 1) == 0) {
        op->node = (op->node + 1) % s->world.node_count;
    }
    op->expect = op->kind == OP_CAS ? guess(&c->group->history, op->key) : 0;
    op->arg = op->kind == OP_PUT || op->kind == OP_CAS ? ++s->value : op->arg;
}

/* On the node's machine: a crash loses it, a pause delays it. */
static void arrive_event(struct world *w, struct event *e)
{
    struct client *c = e->arg;
    struct node *n = &c->sim->nodes[op_of(c)->node];
    (void)w;
    OAK_ASSERT(c->busy && !c->arrived);
    c->arrived = true;
    struct oak_replica *replica = n->members[c->group->index].replica;
    if (!n->up || n->fatal || op_send(c, op_of(c), replica) != 0) {
        op_end(c, false);
    }
}

static void client_event(struct world *w, struct event *e)
{
    struct client *c = e->arg;
    struct sim *s = c->sim;
    struct op op;
    OAK_ASSERT(!c->busy);
    c->group = &s->groups[(unsigned)(c->group->index + s->plan.clients) % (unsigned)s->plan.groups];
    op_draw(c, &op);
    if (!s->nodes[op.node].up) {
        client_next(c);
        return;
    }
    op.call = ++s->moment;
    c->op = history_add(&c->group->history, &op);
    c->busy = true;
    c->arrived = false;
    snprintf(c->key, sizeof(c->key), "key%" PRIu64, op.key);
    const struct sim_clock *clock = &w->machines[op.node].clock;
    c->request = (struct oak_replica_request){
        .done = done, .deadline_ns = sim_clock_mono(clock, w->now_ns) + DEADLINE_NS};
    world_at(w, w->now_ns + SIM_MS / 10, op.node, arrive_event, c, oak_bytes(NULL, 0), 0);
}

static void client_next(struct client *c)
{
    struct sim *s = c->sim;
    struct oak_prng *p = &s->world.prng;
    uint64_t wait = SIM_MS + oak_prng_below(p, 2 * s->plan.think_ms * SIM_MS + 1);
    wait = s->plan.storm && c->failed ? SIM_MS : wait;
    world_at(&s->world, s->world.now_ns + wait, -1, client_event, c, oak_bytes(NULL, 0), 0);
}

void sim__client_init(struct sim *s, int index)
{
    struct client *c = &s->clients[index];
    *c = (struct client){.sim = s, .index = index, .group = &s->groups[index % s->plan.groups]};
    oak_arena_init(&c->arena, 4096, OAK_MIB);
    client_next(c);
}

/* Closing a replica has ended all its requests; what had not arrived is lost with the machine. */
void sim__clients_lost(struct sim *s, int node)
{
    for (int i = 0; i < s->plan.clients; i++) {
        struct client *c = &s->clients[i];
        if (c->busy && op_of(c)->node == node) {
            OAK_ASSERT(!c->arrived);
            op_end(c, false);
        }
    }
}

bool sim__client_abandon(struct client *c)
{
    if (!c->busy || !c->arrived) {
        return false;
    }
    struct node *n = &c->sim->nodes[op_of(c)->node];
    OAK_ASSERT(n->up);
    oak_replica_forget(n->members[c->group->index].replica, &c->request);
    op_end(c, false);
    return true;
}

void sim__client_stop(struct client *c)
{
    oak_buf_fini(&c->value);
    oak_buf_fini(&c->expect);
    oak_buf_fini(&c->packed);
    oak_arena_fini(&c->arena);
}
