/* SPDX-License-Identifier: Apache-2.0 */
/* txn.c: if all conditions hold, one list of operations, else the other; one revision for all.
 *
 * Happy path   1 decide every transaction that will run, nested ones too, on the state before
 *              2 look for anything that one of the operations that will run could fail by
 *              3 run them in order; reads see the writes before them
 * Can fail     Step 2 with what the client is told; nothing has changed then. After that only the
 *              store can fail, and that is fatal.
 * Invariants   Step 3 goes through the same operations as step 2; a nested TxnResponse has an
 *              empty header, the other responses one with the revision alone.
 * Thread       the replica's.
 */
#include "kv/internal.h"

#include "base/zoo.h"

/* Room for the outcomes: how many transactions there are at most on any path. */
static size_t count_txns(const Etcdserverpb__TxnRequest *request)
{
    struct kv__walk walk;
    kv__walk_init(&walk);
    bool entered = kv__walk_enter(&walk, request, KV_BRANCH_BOTH);
    OAK_ASSERT(entered);
    size_t count = 1;
    const Etcdserverpb__RequestOp *op;
    while ((op = kv__walk_next(&walk)) != NULL) {
        if (kv__op_kind(op) == KV_OP_TXN) {
            count++;
            entered = kv__walk_enter(&walk, op->request_txn, KV_BRANCH_BOTH);
            OAK_ASSERT(entered);
        }
    }
    return count;
}

static void enter_taken(struct kv__walk *walk, const Etcdserverpb__TxnRequest *txn, bool taken)
{
    bool entered = kv__walk_enter(walk, txn, taken ? KV_BRANCH_SUCCESS : KV_BRANCH_FAILURE);
    OAK_ASSERT(entered);
}

/* Step 1. */
static int decide(struct oak_kv *kv, const Etcdserverpb__TxnRequest *request, struct kv__path *path)
{
    size_t room = count_txns(request);
    path->count = 0;
    path->taken = oak_arena_alloc(&kv->scratch, room * sizeof(*path->taken));
    if (path->taken == NULL) {
        return OAK_ENOMEM;
    }
    struct kv__walk walk;
    kv__walk_init(&walk);
    const Etcdserverpb__TxnRequest *txn = request;
    const Etcdserverpb__RequestOp *op = NULL;
    do {
        if (op == NULL || kv__op_kind(op) == KV_OP_TXN) {
            txn = op == NULL ? request : op->request_txn;
            OAK_ASSERT_LT(path->count, room);
            bool *taken = &path->taken[path->count++];
            int error = kv__compares(kv, txn, taken);
            if (error != 0) {
                return error;
            }
            enter_taken(&walk, txn, *taken);
        }
        op = kv__walk_next(&walk);
    } while (op != NULL);
    return 0;
}

/* The keys that earlier operations of a transaction remove, as far as a put may follow: a delete
 * and a put that it covers are refused as duplicates (overlap.c), but for a delete of everything
 * from a key on, which that rule does not see. So the lowest such key says it all. */
struct removed {
    struct oak_bytes from;
    bool any;
};

static void removed_add(struct removed *removed, const Etcdserverpb__DeleteRangeRequest *request)
{
    struct oak_store_range range;
    if (!kv__range_of(request->key, request->range_end, &range) || !range.open_end) {
        return;
    }
    if (!removed->any || oak_bytes_cmp(range.from, removed->from) < 0) {
        removed->from = range.from;
    }
    removed->any = true;
}

static bool removed_has(const struct removed *removed, ProtobufCBinaryData key)
{
    return removed->any && oak_bytes_cmp(removed->from, oak_proto_bytes(key)) <= 0;
}

/* Step 2. What stands against a put comes before what stands against a range. */
static int validate(struct oak_kv *kv, const Etcdserverpb__TxnRequest *request,
                    const struct kv__path *path, int *told)
{
    struct removed removed = {.any = false};
    struct kv__walk walk;
    kv__walk_init(&walk);
    size_t txns = 0;
    enter_taken(&walk, request, path->taken[txns++]);
    int range_told = 0;
    *told = 0;
    const Etcdserverpb__RequestOp *op;
    while (*told == 0 && (op = kv__walk_next(&walk)) != NULL) {
        int error = 0;
        switch (kv__op_kind(op)) {
        case KV_OP_RANGE:
            if (range_told == 0) {
                range_told = kv__revision_check(kv, op->request_range->revision);
            }
            break;
        case KV_OP_PUT:
            error = kv__put_check(kv, op->request_put, KV_PUT_IN_TXN,
                                  removed_has(&removed, op->request_put->key), told);
            break;
        case KV_OP_DELETE:
            removed_add(&removed, op->request_delete_range);
            break;
        case KV_OP_TXN:
            enter_taken(&walk, op->request_txn, path->taken[txns++]);
            break;
        case KV_OP_NONE:
            OAK_UNREACHABLE("an operation that was checked");
        }
        if (error != 0) {
            return error;
        }
    }
    if (*told == 0) {
        *told = range_told;
    }
    return 0;
}

/* A response for the branch of `txn` that runs, with room for what it holds. */
static Etcdserverpb__TxnResponse *response_new(struct kv__run *run,
                                               const Etcdserverpb__TxnRequest *txn, bool taken)
{
    Etcdserverpb__TxnResponse *response =
        kv__message_new(run, &etcdserverpb__txn_response__descriptor);
    Etcdserverpb__ResponseHeader *header =
        kv__message_new(run, &etcdserverpb__response_header__descriptor);
    if (header == NULL) {
        return NULL;
    }
    response->header = header;
    response->succeeded = taken;
    size_t count = taken ? txn->n_success : txn->n_failure;
    if (count > 0) {
        response->responses = oak_arena_alloc(run->arena, count * sizeof(*response->responses));
        if (response->responses == NULL) {
            run->full = true;
            return NULL;
        }
    }
    return response;
}

/* Run one operation that is no transaction; its response goes into `answer` (may be NULL). */
static int run_op(struct kv__run *run, const Etcdserverpb__RequestOp *op,
                  Etcdserverpb__ResponseOp *answer)
{
    Etcdserverpb__ResponseOp ignored;
    Etcdserverpb__ResponseOp *out = answer != NULL ? answer : &ignored;
    switch (kv__op_kind(op)) {
    case KV_OP_RANGE:
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        return kv__range(run, op->request_range, &out->response_range);
    case KV_OP_PUT:
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        return kv__put(run, op->request_put, &out->response_put);
    case KV_OP_DELETE:
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        return kv__delete(run, op->request_delete_range, &out->response_delete_range);
    case KV_OP_TXN:
    case KV_OP_NONE:
        break;
    }
    OAK_UNREACHABLE("an operation that was checked");
}

/* Step 3. */
static int execute(struct kv__run *run, const Etcdserverpb__TxnRequest *request,
                   const struct kv__path *path, Etcdserverpb__TxnResponse **out)
{
    Etcdserverpb__TxnResponse *answers[KV_TXN_DEPTH_MAX + 1] = {NULL}; /* by depth */
    struct kv__walk walk;
    kv__walk_init(&walk);
    size_t txns = 0;
    enter_taken(&walk, request, path->taken[txns]);
    answers[walk.depth] = response_new(run, request, path->taken[txns++]);
    const Etcdserverpb__RequestOp *op;
    while ((op = kv__walk_next(&walk)) != NULL) {
        Etcdserverpb__ResponseOp *answer =
            kv__message_new(run, &etcdserverpb__response_op__descriptor);
        Etcdserverpb__TxnResponse *parent = answers[walk.depth];
        if (answer != NULL) {
            parent->responses[parent->n_responses++] = answer;
        }
        if (kv__op_kind(op) == KV_OP_TXN) {
            bool taken = path->taken[txns++];
            enter_taken(&walk, op->request_txn, taken);
            answers[walk.depth] = response_new(run, op->request_txn, taken);
            if (answer != NULL) {
                answer->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
                answer->response_txn = answers[walk.depth];
            }
            continue;
        }
        int error = run_op(run, op, answer);
        if (error != 0) {
            return error;
        }
        if (OAK_BUG(txn_half)) {
            break;
        }
    }
    OAK_ASSERT(txns == path->count || OAK_BUG(txn_half));
    *out = kv__run_building(run) ? answers[1] : NULL;
    if (*out != NULL) {
        (*out)->header->revision = kv__run_revision(run);
    }
    return 0;
}

int kv__txn(struct kv__run *run, const Etcdserverpb__TxnRequest *request,
            Etcdserverpb__TxnResponse **out, int *told)
{
    OAK_ASSERT_EQ(run->changes, 0);
    *out = NULL;
    struct kv__path path;
    int error = decide(run->kv, request, &path);
    if (error == 0) {
        error = validate(run->kv, request, &path, told);
    }
    if (error == 0 && *told == 0) {
        error = execute(run, request, &path, out);
        run->kv->counters.txns++;
    }
    return error;
}

int oak_kv_txn_read(struct oak_kv *kv, const Etcdserverpb__TxnRequest *request,
                    struct oak_arena *arena, Etcdserverpb__TxnResponse **out)
{
    *out = NULL;
    OAK_ASSERT(!kv->batch_open);
    bool serializable = false;
    if (!oak_kv_txn_is_read(request, &serializable)) {
        return OAK_EINVAL;
    }
    oak_arena_reset(&kv->scratch);
    int error = kv__check(kv->txn_ops_max, OAK_KV_TXN, &request->base, &kv->scratch);
    if (error != 0) {
        return error;
    }
    struct kv__run run = {.kv = kv, .arena = arena, .want = true, .base = kv->state.revision};
    int told = 0;
    error = kv__txn(&run, request, out, &told);
    OAK_ASSERT_EQ(run.changes, 0);
    if (error == 0 && told == 0 && run.full) {
        told = OAK_ELIMIT;
    }
    return error != 0 ? error : told;
}
