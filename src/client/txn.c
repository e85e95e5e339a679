/* SPDX-License-Identifier: Apache-2.0 */
/* txn.c: transactions: what is compared, what is done then, and what came of it.
 *
 * Happy path   a transaction is made message by message, level by level: those within it wait in a
 *              list for their turn. What comes back is read in the same way.
 * Invariants   nesting ends at OAK_CLIENT_DEPTH_MAX, of what is asked and of what is answered.
 * Thread       the loop's.
 */
#include "client/internal.h"

static int compare_make(struct oak_arena *arena, const struct oak_client_compare *from,
                        Etcdserverpb__Compare *out)
{
    etcdserverpb__compare__init(out);
    out->result = (Etcdserverpb__Compare__CompareResult)from->relation;
    switch (from->target) {
    case OAK_CLIENT_VERSION:
        out->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION;
        out->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
        out->version = from->number;
        break;
    case OAK_CLIENT_CREATE:
        out->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
        out->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        out->create_revision = from->number;
        break;
    case OAK_CLIENT_MOD:
        out->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
        out->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        out->mod_revision = from->number;
        break;
    case OAK_CLIENT_VALUE:
        out->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
        out->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        out->value = oak_proto_binary(from->value);
        break;
    case OAK_CLIENT_LEASE:
        out->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE;
        out->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE;
        out->lease = from->number;
        break;
    case OAK_CLIENT_KEY:
    default:
        return OAK_EINVAL;
    }
    const struct client_keys keys = {.key = from->key, .span = from->span, .end = from->end};
    return client__span(arena, &keys, &out->key, &out->range_end);
}

static int compares_make(struct oak_arena *arena, const struct oak_client_txn *txn,
                         Etcdserverpb__TxnRequest *out)
{
    Etcdserverpb__Compare *all = oak_arena_alloc(arena, (txn->compare_count + 1) * sizeof(*all));
    out->compare = oak_arena_alloc(arena, (txn->compare_count + 1) * sizeof(*out->compare));
    int error = all == NULL || out->compare == NULL ? OAK_ENOMEM : 0;
    for (size_t i = 0; error == 0 && i < txn->compare_count; i++) {
        error = compare_make(arena, &txn->compares[i], &all[i]);
        out->compare[i] = &all[i];
    }
    out->n_compare = txn->compare_count;
    return error;
}

/* -- operations -------------------------------------------------------------------------------- */

/* A transaction that is to be made of what the program gave. */
struct making {
    struct oak_list link;
    const struct oak_client_txn *from;
    Etcdserverpb__TxnRequest *to;
    unsigned depth;
};

/* What is to be made, and what was seen. */
struct maker {
    struct oak_arena *arena;
    struct oak_list todo; /* struct making */
    bool reads;           /* so far it does nothing else */
};

static int making_add(struct maker *m, const struct oak_client_txn *from,
                      Etcdserverpb__TxnRequest *to, unsigned depth)
{
    if (from == NULL || depth >= OAK_CLIENT_DEPTH_MAX) {
        return OAK_EINVAL;
    }
    struct making *next = oak_arena_zalloc(m->arena, sizeof(*next));
    if (next == NULL) {
        return OAK_ENOMEM;
    }
    *next = (struct making){.from = from, .to = to, .depth = depth};
    oak_list_push(&m->todo, &next->link);
    return 0;
}

/* One operation: the message in which it lies, in the arena. */
union operation {
    Etcdserverpb__RangeRequest range;
    Etcdserverpb__PutRequest put;
    Etcdserverpb__DeleteRangeRequest del;
    Etcdserverpb__TxnRequest txn;
};

static int op_make(struct maker *m, const struct oak_client_op *op, unsigned depth,
                   union operation *made, Etcdserverpb__RequestOp *out)
{
    etcdserverpb__request_op__init(out);
    m->reads = m->reads && (op->kind == OAK_CLIENT_GET || op->kind == OAK_CLIENT_TXN);
    switch (op->kind) {
    case OAK_CLIENT_GET:
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        out->request_range = &made->range;
        return client__range_request(m->arena, op, &made->range);
    case OAK_CLIENT_PUT:
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        out->request_put = &made->put;
        return client__put_request(op, &made->put);
    case OAK_CLIENT_DELETE:
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        out->request_delete_range = &made->del;
        return client__delete_request(m->arena, op, &made->del);
    case OAK_CLIENT_TXN:
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        out->request_txn = &made->txn;
        return making_add(m, op->txn, &made->txn, depth + 1);
    default:
        return OAK_EINVAL;
    }
}

static int ops_make(struct maker *m, const struct oak_client_op *ops, size_t count, unsigned depth,
                    Etcdserverpb__RequestOp ***out)
{
    union operation *made = oak_arena_alloc(m->arena, (count + 1) * sizeof(*made));
    Etcdserverpb__RequestOp *all = oak_arena_alloc(m->arena, (count + 1) * sizeof(*all));
    Etcdserverpb__RequestOp **list =
        oak_arena_alloc(m->arena, (count + 1) * sizeof(Etcdserverpb__RequestOp *));
    int error = made == NULL || all == NULL || list == NULL ? OAK_ENOMEM : 0;
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = op_make(m, &ops[i], depth, &made[i], &all[i]);
        list[i] = &all[i];
    }
    *out = list;
    return error;
}

int client__txn_request(struct oak_arena *arena, const struct oak_client_txn *txn,
                        Etcdserverpb__TxnRequest *out, bool *reads)
{
    struct maker m = {.arena = arena, .reads = true};
    oak_list_init(&m.todo);
    int error = making_add(&m, txn, out, 0);
    struct oak_list *node;
    while (error == 0 && (node = oak_list_pop(&m.todo)) != NULL) {
        const struct making *at = OAK_LIST_ENTRY(node, struct making, link);
        etcdserverpb__txn_request__init(at->to);
        error = compares_make(arena, at->from, at->to);
        if (error == 0) {
            error = ops_make(&m, at->from->success, at->from->success_count, at->depth,
                             &at->to->success);
        }
        if (error == 0) {
            error = ops_make(&m, at->from->failure, at->from->failure_count, at->depth,
                             &at->to->failure);
        }
        at->to->n_success = at->from->success_count;
        at->to->n_failure = at->from->failure_count;
    }
    *reads = m.reads;
    return error;
}

/* -- results ----------------------------------------------------------------------------------- */

/* A transaction whose results are to be read. */
struct reading {
    struct oak_list link;
    const Etcdserverpb__TxnResponse *from;
    struct oak_client_result *to;
    unsigned depth;
};

static int reading_add(struct oak_arena *arena, struct oak_list *todo,
                       const Etcdserverpb__TxnResponse *from, struct oak_client_result *to,
                       unsigned depth)
{
    if (depth >= OAK_CLIENT_DEPTH_MAX) {
        return OAK_EREMOTE;
    }
    struct reading *next = oak_arena_zalloc(arena, sizeof(*next));
    if (next == NULL) {
        return OAK_ELIMIT;
    }
    *next = (struct reading){.from = from, .to = to, .depth = depth};
    oak_list_push(todo, &next->link);
    return 0;
}

static int op_read(struct oak_arena *arena, struct oak_list *todo,
                   const Etcdserverpb__ResponseOp *op, unsigned depth,
                   struct oak_client_result *out)
{
    switch (op->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        return client__range_result(arena, op->response_range, out);
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        return client__put_result(arena, op->response_put, out);
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        return client__delete_result(arena, op->response_delete_range, out);
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
        return reading_add(arena, todo, op->response_txn, out, depth + 1);
    default:
        return OAK_EREMOTE;
    }
}

int client__txn_result(struct oak_arena *arena, const Etcdserverpb__TxnResponse *response,
                       struct oak_client_result *out)
{
    struct oak_list todo;
    oak_list_init(&todo);
    int error = reading_add(arena, &todo, response, out, 0);
    struct oak_list *node;
    while (error == 0 && (node = oak_list_pop(&todo)) != NULL) {
        const struct reading *at = OAK_LIST_ENTRY(node, struct reading, link);
        size_t count = at->from->n_responses;
        struct oak_client_result *results = oak_arena_zalloc(arena, (count + 1) * sizeof(*results));
        error = results == NULL ? OAK_ELIMIT : 0;
        for (size_t i = 0; error == 0 && i < count; i++) {
            error = op_read(arena, &todo, at->from->responses[i], at->depth, &results[i]);
        }
        *at->to = (struct oak_client_result){.kind = OAK_CLIENT_TXN,
                                             .succeeded = at->from->succeeded,
                                             .results = results,
                                             .result_count = count};
    }
    return error;
}
