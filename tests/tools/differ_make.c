/* SPDX-License-Identifier: Apache-2.0 */
/* differ_make.c: random requests. Few keys, few values and revisions near the newest, so that
 * requests meet each other's effects; and now and then what no sane client sends.
 *
 * The same seed and the same answers give the same stream.
 */
#include "tests/tools/differ.h"

#define TXN_DEPTH_MAX 3

#define LEASE_TTL_S 100000 /* none ends while the test runs */

bool differ_chance(struct differ_world *w, uint64_t percent)
{
    return oak_prng_chance(&w->prng, percent, 100);
}

static ProtobufCBinaryData copy(struct oak_arena *arena, const char *text, size_t size)
{
    return oak_proto_binary(oak_arena_dup(arena, oak_bytes(text, size)));
}

ProtobufCBinaryData differ_key(struct differ_world *w, struct oak_arena *arena)
{
    static const struct {
        const char *text;
        size_t size;
    } odd[] = {{"", 0},       {"\0", 1},       {"\xff", 1},     {"\xff\xff", 2},
               {"a\0", 2},    {"a\0b", 3},     {"b\xff", 2},    {"\x01", 1},
               {"bb\xff", 3}, {"\xff\xfe", 2}, {"b\xff\xff", 3}};
    if (differ_chance(w, 4)) {
        size_t n = oak_prng_below(&w->prng, OAK_COUNT_OF(odd));
        return copy(arena, odd[n].text, odd[n].size);
    }
    char text[3];
    size_t size = 1 + oak_prng_below(&w->prng, sizeof(text));
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)('a' + oak_prng_below(&w->prng, 3));
    }
    return copy(arena, text, size);
}

/* Nothing, from the key on, all that begin with it, or any other end. */
ProtobufCBinaryData differ_end(struct differ_world *w, struct oak_arena *arena,
                               ProtobufCBinaryData key, unsigned percent)
{
    if (!differ_chance(w, percent)) {
        return (ProtobufCBinaryData){0};
    }
    if (differ_chance(w, 10)) {
        return copy(arena, "\0", 1);
    }
    if (key.len > 0 && key.data[key.len - 1] != 0xff && differ_chance(w, 50)) {
        ProtobufCBinaryData end = copy(arena, (const char *)key.data, key.len);
        end.data[end.len - 1]++;
        return end;
    }
    return differ_key(w, arena);
}

static ProtobufCBinaryData value_make(struct differ_world *w, struct oak_arena *arena)
{
    static const char letters[] = "0123456789";
    char text[400];
    size_t size =
        differ_chance(w, 5) ? oak_prng_below(&w->prng, sizeof(text)) : oak_prng_below(&w->prng, 3);
    for (size_t i = 0; i < size; i++) {
        text[i] = letters[oak_prng_below(&w->prng, size > 2 ? 10 : 4)];
    }
    return copy(arena, text, size);
}

/* Mostly within the last hundred; now and then before the floor, in the future, or negative. */
static int64_t revision_make(struct differ_world *w)
{
    uint64_t dice = oak_prng_below(&w->prng, 100);
    if (dice < 4) {
        return w->revision + (int64_t)oak_prng_below(&w->prng, 4);
    }
    if (dice < 8) {
        return w->compacted + 1 - (int64_t)oak_prng_below(&w->prng, 3);
    }
    if (dice < 9) {
        return -1;
    }
    return w->revision - (int64_t)oak_prng_below(&w->prng, 100);
}

static int64_t near_revision(struct differ_world *w)
{
    return differ_chance(w, 50) ? (int64_t)oak_prng_below(&w->prng, 4) : revision_make(w);
}

static void range_fill(struct differ_world *w, struct oak_arena *arena,
                       Etcdserverpb__RangeRequest *r, bool alone)
{
    r->key = differ_key(w, arena);
    r->range_end = differ_end(w, arena, r->key, 70);
    r->limit = differ_chance(w, 30) ? (int64_t)oak_prng_below(&w->prng, 12) - 1 : 0;
    r->revision = differ_chance(w, 30) ? revision_make(w) : 0;
    if (!alone && r->revision < 0) {
        r->revision = 0; /* an explained difference: docs/reference/etcd-compatibility.md */
    }
    if (differ_chance(w, 40)) {
        r->sort_order = (Etcdserverpb__RangeRequest__SortOrder)oak_prng_below(&w->prng, 3);
        r->sort_target = (Etcdserverpb__RangeRequest__SortTarget)oak_prng_below(&w->prng, 5);
    }
    if (r->limit > 0 && r->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE) {
        /* The other explained difference. */
        r->sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY;
    }
    r->serializable = differ_chance(w, 30);
    r->keys_only = differ_chance(w, 10);
    r->count_only = differ_chance(w, 10);
    if (differ_chance(w, 10)) {
        r->min_mod_revision = near_revision(w);
    }
    if (differ_chance(w, 10)) {
        r->max_mod_revision = near_revision(w);
    }
    if (differ_chance(w, 10)) {
        r->min_create_revision = near_revision(w);
    }
    if (differ_chance(w, 10)) {
        r->max_create_revision = near_revision(w);
    }
}

/* Of a few leases, of which some are there. */
static int64_t lease_make(struct differ_world *w)
{
    return (int64_t)oak_prng_between(&w->prng, 1, DIFFER_LEASES);
}

/* In a transaction etcd ends itself by a put that ignores what an open-ended delete before it has
 * removed: it is spared that. */
static void put_fill(struct differ_world *w, struct oak_arena *arena, Etcdserverpb__PutRequest *r,
                     bool alone)
{
    r->key = differ_key(w, arena);
    if (alone || w->ignoring) {
        r->ignore_value = differ_chance(w, 8);
        r->ignore_lease = differ_chance(w, 8);
    }
    if (!r->ignore_value || differ_chance(w, 20)) {
        r->value = value_make(w, arena);
    }
    if (differ_chance(w, alone ? 20 : 8)) {
        r->lease = lease_make(w);
    }
    r->prev_kv = differ_chance(w, 30);
}

static void delete_fill(struct differ_world *w, struct oak_arena *arena,
                        Etcdserverpb__DeleteRangeRequest *r, bool alone)
{
    r->key = differ_key(w, arena);
    r->range_end = differ_end(w, arena, r->key, 30);
    if (!alone && w->ignoring && r->range_end.len == 1 && r->range_end.data[0] == '\0') {
        r->range_end.len = 0;
    }
    r->prev_kv = differ_chance(w, 40);
}

static void compare_fill(struct differ_world *w, struct oak_arena *arena, Etcdserverpb__Compare *c)
{
    c->key = differ_key(w, arena);
    c->range_end = differ_end(w, arena, c->key, 25);
    c->result = (Etcdserverpb__Compare__CompareResult)oak_prng_below(&w->prng, 4);
    uint64_t target = oak_prng_below(&w->prng, 5);
    c->target = (Etcdserverpb__Compare__CompareTarget)target;
    if (differ_chance(w, 4)) {
        target = oak_prng_below(&w->prng, 5); /* a value of another kind, or none */
        if (differ_chance(w, 50)) {
            return;
        }
    }
    switch (target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
        c->version = (int64_t)oak_prng_below(&w->prng, 4);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        c->create_revision = near_revision(w);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        c->mod_revision = near_revision(w);
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        c->value = value_make(w, arena);
        break;
    default:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE;
        c->lease = (int64_t)oak_prng_below(&w->prng, DIFFER_LEASES + 1);
        break;
    }
}

static int txn_fill(struct differ_world *w, struct oak_arena *arena, Etcdserverpb__TxnRequest *r,
                    unsigned depth);

void *differ_message(struct oak_arena *arena, const ProtobufCMessageDescriptor *descriptor)
{
    void *message = oak_arena_alloc(arena, descriptor->sizeof_message);
    if (message != NULL) {
        descriptor->message_init(message);
    }
    return message;
}

static int op_fill(struct differ_world *w, struct oak_arena *arena, Etcdserverpb__RequestOp *op,
                   unsigned depth)
{
    uint64_t dice = oak_prng_below(&w->prng, 100);
    if (dice < 1) {
        return 0; /* an operation that is none */
    }
    if (dice < 40) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = differ_message(arena, &etcdserverpb__range_request__descriptor);
        if (op->request_range == NULL) {
            return OAK_ENOMEM;
        }
        range_fill(w, arena, op->request_range, false);
    } else if (dice < 75) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = differ_message(arena, &etcdserverpb__put_request__descriptor);
        if (op->request_put == NULL) {
            return OAK_ENOMEM;
        }
        put_fill(w, arena, op->request_put, false);
    } else if (dice < 90 || depth == 0) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range =
            differ_message(arena, &etcdserverpb__delete_range_request__descriptor);
        if (op->request_delete_range == NULL) {
            return OAK_ENOMEM;
        }
        delete_fill(w, arena, op->request_delete_range, false);
    } else {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        op->request_txn = differ_message(arena, &etcdserverpb__txn_request__descriptor);
        if (op->request_txn == NULL) {
            return OAK_ENOMEM;
        }
        return txn_fill(w, arena, op->request_txn, depth - 1);
    }
    return 0;
}

static int branch_fill(struct differ_world *w, struct oak_arena *arena, size_t *count,
                       Etcdserverpb__RequestOp ***ops, unsigned depth)
{
    *count = oak_prng_below(&w->prng, 4);
    *ops = oak_arena_zalloc(arena, (*count + 1) * sizeof(**ops));
    int error = *ops == NULL ? OAK_ENOMEM : 0;
    for (size_t i = 0; error == 0 && i < *count; i++) {
        (*ops)[i] = differ_message(arena, &etcdserverpb__request_op__descriptor);
        error = (*ops)[i] == NULL ? OAK_ENOMEM : op_fill(w, arena, (*ops)[i], depth);
    }
    return error;
}

static int txn_fill(struct differ_world *w, struct oak_arena *arena, Etcdserverpb__TxnRequest *r,
                    unsigned depth)
{
    r->n_compare = oak_prng_below(&w->prng, 3);
    r->compare = oak_arena_zalloc(arena, (r->n_compare + 1) * sizeof(*r->compare));
    if (r->compare == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < r->n_compare; i++) {
        r->compare[i] = differ_message(arena, &etcdserverpb__compare__descriptor);
        if (r->compare[i] == NULL) {
            return OAK_ENOMEM;
        }
        compare_fill(w, arena, r->compare[i]);
    }
    int error = branch_fill(w, arena, &r->n_success, &r->success, depth);
    return error != 0 ? error : branch_fill(w, arena, &r->n_failure, &r->failure, depth);
}

static void grant_fill(struct differ_world *w, Etcdserverpb__LeaseGrantRequest *r)
{
    static const int64_t large[] = {9000000001, INT64_MAX};
    r->id = lease_make(w);
    r->ttl =
        differ_chance(w, 10) ? large[oak_prng_below(&w->prng, OAK_COUNT_OF(large))] : LEASE_TTL_S;
}

/* By what is to come of a thousand. */
static enum differ_method method_make(struct differ_world *w)
{
    static const unsigned parts[DIFFER_METHODS] = {
        [DIFFER_RANGE] = 270,       [DIFFER_PUT] = 240,
        [DIFFER_DELETE] = 90,       [DIFFER_TXN] = 320,
        [DIFFER_COMPACT] = 10,      [DIFFER_LEASE_GRANT] = 22,
        [DIFFER_LEASE_REVOKE] = 12, [DIFFER_LEASE_TIME_TO_LIVE] = 20,
        [DIFFER_LEASE_LEASES] = 6,  [DIFFER_LEASE_KEEP_ALIVE] = 9,
        [DIFFER_HASH_KV] = 1,
    };
    uint64_t dice = oak_prng_below(&w->prng, 1000);
    enum differ_method method = DIFFER_RANGE;
    while (dice >= parts[method]) {
        dice -= parts[method];
        method++;
    }
    return method;
}

ProtobufCMessage *differ_make(struct differ_world *w, struct oak_arena *arena,
                              enum differ_method *method)
{
    static const ProtobufCMessageDescriptor *const types[DIFFER_METHODS] = {
        [DIFFER_RANGE] = &etcdserverpb__range_request__descriptor,
        [DIFFER_PUT] = &etcdserverpb__put_request__descriptor,
        [DIFFER_DELETE] = &etcdserverpb__delete_range_request__descriptor,
        [DIFFER_TXN] = &etcdserverpb__txn_request__descriptor,
        [DIFFER_COMPACT] = &etcdserverpb__compaction_request__descriptor,
        [DIFFER_LEASE_GRANT] = &etcdserverpb__lease_grant_request__descriptor,
        [DIFFER_LEASE_REVOKE] = &etcdserverpb__lease_revoke_request__descriptor,
        [DIFFER_LEASE_TIME_TO_LIVE] = &etcdserverpb__lease_time_to_live_request__descriptor,
        [DIFFER_LEASE_LEASES] = &etcdserverpb__lease_leases_request__descriptor,
        [DIFFER_LEASE_KEEP_ALIVE] = &etcdserverpb__lease_keep_alive_request__descriptor,
        [DIFFER_HASH_KV] = &etcdserverpb__hash_kvrequest__descriptor,
    };
    *method = method_make(w);
    ProtobufCMessage *request = differ_message(arena, types[*method]);
    if (request == NULL) {
        return NULL;
    }
    switch (*method) {
    case DIFFER_RANGE:
        range_fill(w, arena, (Etcdserverpb__RangeRequest *)request, true);
        break;
    case DIFFER_PUT:
        put_fill(w, arena, (Etcdserverpb__PutRequest *)request, true);
        break;
    case DIFFER_DELETE:
        delete_fill(w, arena, (Etcdserverpb__DeleteRangeRequest *)request, true);
        break;
    case DIFFER_TXN:
        w->ignoring = differ_chance(w, 50);
        if (txn_fill(w, arena, (Etcdserverpb__TxnRequest *)request, TXN_DEPTH_MAX) != 0) {
            return NULL;
        }
        break;
    case DIFFER_COMPACT:
        ((Etcdserverpb__CompactionRequest *)request)->revision = revision_make(w);
        ((Etcdserverpb__CompactionRequest *)request)->physical = differ_chance(w, 50);
        break;
    case DIFFER_LEASE_GRANT:
        grant_fill(w, (Etcdserverpb__LeaseGrantRequest *)request);
        break;
    case DIFFER_LEASE_REVOKE:
        ((Etcdserverpb__LeaseRevokeRequest *)request)->id = lease_make(w);
        break;
    case DIFFER_LEASE_TIME_TO_LIVE:
        ((Etcdserverpb__LeaseTimeToLiveRequest *)request)->id = lease_make(w);
        ((Etcdserverpb__LeaseTimeToLiveRequest *)request)->keys = differ_chance(w, 70);
        break;
    case DIFFER_LEASE_KEEP_ALIVE:
        ((Etcdserverpb__LeaseKeepAliveRequest *)request)->id = lease_make(w);
        break;
    default:
        break;
    }
    return request;
}
