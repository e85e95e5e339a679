/* SPDX-License-Identifier: Apache-2.0 */
/* kv_test.c: entries that are not what they should be, answers that do not fit, state over a
 * restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/zoo.h"
#include "kv/kv_fixture.h"

static struct node n;

static int set_up(void **state)
{
    (void)state;
    node_open(&n, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_commit(&n);
    node_close(&n);
    return 0;
}

static Etcdserverpb__PutRequest put_of(const char *key, const char *value)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str(key));
    put.value = oak_proto_binary(oak_bytes_str(value));
    return put;
}

static struct oak_kv_result put_one(struct node *node, const char *key, const char *value)
{
    Etcdserverpb__PutRequest put = put_of(key, value);
    return node_apply(node, OAK_KV_PUT, &put.base);
}

static int64_t count_all(struct node *node)
{
    node_commit(node);
    Etcdserverpb__RangeRequest all = ETCDSERVERPB__RANGE_REQUEST__INIT;
    all.key = all.range_end = oak_proto_binary(oak_bytes("\0", 1));
    all.count_only = true;
    Etcdserverpb__RangeResponse *response = NULL;
    assert_int_equal(oak_kv_range(node->kv, &all, &node->arena, &response), 0);
    return response->count;
}

/* -- commands ---------------------------------------------------------------------------------- */

static void a_command_reads_back_as_it_was_written(void **state)
{
    (void)state;
    uint8_t bytes[OAK_KV_HEADER_BYTES + 3];
    struct oak_kv_command in = {
        .kind = OAK_KV_TXN, .origin = UINT64_MAX - 1, .id = UINT64_C(0x0102030405060708)};
    oak_kv_command_encode(&in, bytes);
    memcpy(bytes + OAK_KV_HEADER_BYTES, "xyz", 3);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(bytes[16], 8);
    struct oak_kv_command out;
    assert_int_equal(oak_kv_command_decode(oak_bytes(bytes, sizeof(bytes)), &out), 0);
    assert_int_equal(out.kind, OAK_KV_TXN);
    assert_true(out.origin == in.origin && out.id == in.id);
    assert_true(oak_bytes_eq(out.request, oak_bytes_str("xyz")));
}

static void bytes_that_are_no_command_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[OAK_KV_HEADER_BYTES];
    struct oak_kv_command command = {.kind = OAK_KV_PUT};
    struct oak_kv_command out;
    oak_kv_command_encode(&command, bytes);
    for (size_t size = 0; size < sizeof(bytes); size++) {
        assert_int_equal(oak_kv_command_decode(oak_bytes(bytes, size), &out), OAK_EFORMAT);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 0}, {0, 2}, {1, 0}, {1, OAK_KV_KIND_END_}, {1, 255}, {2, 1}, {7, 1}};
    for (size_t i = 0; i < OAK_COUNT_OF(wrong); i++) {
        uint8_t copy[sizeof(bytes)];
        memcpy(copy, bytes, sizeof(copy));
        copy[wrong[i].at] = wrong[i].value;
        assert_int_equal(oak_kv_command_decode(oak_bytes(copy, sizeof(copy)), &out), OAK_EFORMAT);
    }
}

static void an_entry_that_is_no_command_moves_the_index_alone(void **state)
{
    (void)state;
    put_one(&n, "a", "1");
    uint64_t chain = oak_kv_state(n.kv)->chain;
    struct oak_kv_result result = node_apply_entry(&n, oak_bytes_str("what is this"));
    assert_int_equal(result.error, OAK_EFORMAT);
    assert_null(result.response);
    assert_int_equal(oak_kv_state(n.kv)->applied, 2);
    assert_int_equal(oak_kv_state(n.kv)->revision, 2);
    assert_true(oak_kv_state(n.kv)->chain != chain);
}

static void a_command_whose_request_is_damaged_changes_nothing(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = put_of("key", "value");
    struct oak_bytes entry = entry_of(OAK_KV_PUT, &put.base);
    struct oak_kv_result result = node_apply_entry(&n, oak_bytes(entry.data, entry.size - 1));
    assert_int_equal(result.error, OAK_EFORMAT);
    assert_int_equal(result.command.id, 42);
    assert_int_equal(result.command.origin, 7);
    assert_int_equal(oak_kv_state(n.kv)->revision, 1);
    free((void *)(uintptr_t)entry.data);
    assert_int_equal(count_all(&n), 0);
}

static void transactions_nested_without_end_are_refused(void **state)
{
    (void)state;
    enum { CAPACITY = 200000 };
    static uint8_t room[CAPACITY];
    for (size_t depth = 1; depth <= 10000; depth = depth < 60 ? depth + 1 : depth * 10) {
        uint8_t *end = room + CAPACITY;
        uint8_t *at = end;
        for (size_t level = 0; level < 2 * (depth - 1); level++) {
            size_t size = (size_t)(end - at);
            uint8_t length[10];
            size_t bytes = 0;
            do {
                length[bytes++] = (uint8_t)((size & 0x7f) | (size >= 0x80 ? 0x80 : 0));
                size >>= 7;
            } while (size > 0);
            at -= bytes;
            memcpy(at, length, bytes);
            *--at = level % 2 == 0 ? 0x22 : 0x12;
        }
        at -= OAK_KV_HEADER_BYTES;
        struct oak_kv_command command = {.kind = OAK_KV_TXN};
        oak_kv_command_encode(&command, at);
        struct oak_kv_result result = node_apply_entry(&n, oak_bytes(at, (size_t)(end - at)));
        bool fits = 2 * depth - 1 <= OAK_PROTO_DEPTH_MAX;
        assert_int_equal(result.error, fits ? 0 : OAK_EFORMAT);
        assert_true(fits == (result.response != NULL));
    }
}

/* -- the guard, the chain, the state ----------------------------------------------------------- */

static void an_empty_entry_moves_index_and_term(void **state)
{
    (void)state;
    struct oak_kv_result result;
    assert_int_equal(oak_kv_begin(n.kv), 0);
    assert_int_equal(oak_kv_apply(n.kv, 5, 3, oak_bytes(NULL, 0), true, &n.arena, &result), 0);
    assert_int_equal(oak_kv_end(n.kv), 0);
    assert_int_equal(result.error, 0);
    assert_null(result.response);
    const struct oak_store_state *s = oak_store_state(n.store);
    assert_int_equal(s->applied, 5);
    assert_int_equal(s->applied_term, 3);
    assert_int_equal(s->revision, 1);
    assert_true(s->chain != 0);
}

static void an_entry_is_not_applied_a_second_time(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = put_of("a", "1");
    struct oak_bytes entry = entry_of(OAK_KV_PUT, &put.base);
    node_apply_entry(&n, entry);
    node_apply_entry(&n, entry);
    node_commit(&n);
    struct oak_store_state before = *oak_store_state(n.store);
    assert_int_equal(before.revision, 3);
    struct oak_kv_result result;
    assert_int_equal(oak_kv_begin(n.kv), 0);
    for (uint64_t index = 1; index <= 2; index++) {
        assert_int_equal(oak_kv_apply(n.kv, index, 1, entry, true, &n.arena, &result), 0);
        assert_int_equal(result.error, 0);
        assert_null(result.response);
    }
    assert_int_equal(oak_kv_end(n.kv), 0);
    assert_memory_equal(&before, oak_store_state(n.store), sizeof(before));
    free((void *)(uintptr_t)entry.data);
}

static void the_chain_tells_entries_order_and_outcome_apart(void **state)
{
    (void)state;
    static const char *const logs[][2] = {{"a", "b"}, {"b", "a"}, {"a", "a"}, {"a", ""}};
    uint64_t chains[OAK_COUNT_OF(logs)];
    for (size_t i = 0; i < OAK_COUNT_OF(logs); i++) {
        struct node other;
        node_open(&other, 0);
        put_one(&other, logs[i][0], "1");
        put_one(&other, logs[i][1], "1");
        chains[i] = oak_kv_state(other.kv)->chain;
        for (size_t k = 0; k < i; k++) {
            assert_true(chains[i] != chains[k]);
        }
        node_commit(&other);
        node_close(&other);
    }
}

static void the_chain_shows_a_member_with_another_limit(void **state)
{
    (void)state;
    /* The same log of a transaction that changes nothing: one refuses it, one does it. */
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = oak_proto_binary(oak_bytes_str("a"));
    Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT;
    op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op.request_range = &range;
    Etcdserverpb__RequestOp *list[] = {&op, &op};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_success = 2;
    txn.success = list;
    struct node narrow, wide;
    node_open(&narrow, 1);
    node_open(&wide, 2);
    assert_int_equal(node_apply(&narrow, OAK_KV_TXN, &txn.base).error, OAK_ETOOMANYOPS);
    assert_int_equal(node_apply(&wide, OAK_KV_TXN, &txn.base).error, 0);
    assert_int_equal(oak_kv_state(narrow.kv)->revision, oak_kv_state(wide.kv)->revision);
    assert_true(oak_kv_state(narrow.kv)->chain != oak_kv_state(wide.kv)->chain);
    node_commit(&narrow);
    node_commit(&wide);
    node_close(&narrow);
    node_close(&wide);
}

static void the_state_is_that_of_the_store_after_a_reload(void **state)
{
    (void)state;
    put_one(&n, "a", "1");
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.id = 9;
    member.name = (char *)(uintptr_t) "nine";
    assert_int_equal(node_apply(&n, OAK_KV_PUBLISH, &member.base).error, 0);
    node_commit(&n);
    struct oak_kv_options options = {.store = n.store};
    struct oak_kv *again = NULL;
    assert_int_equal(oak_kv_new(&options, &again, NULL), 0);
    assert_memory_equal(oak_kv_state(again), oak_kv_state(n.kv), sizeof(struct oak_store_state));
    const struct oak_kv_member *members = NULL;
    assert_int_equal(oak_kv_members(again, &members), 1);
    assert_int_equal(members[0].id, 9);
    assert_string_equal(members[0].name, "nine");
    oak_kv_free(again);
}

/* -- answers ----------------------------------------------------------------------------------- */

static Etcdserverpb__DeleteRangeRequest delete_all(void)
{
    Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    del.key = del.range_end = oak_proto_binary(oak_bytes("\0", 1));
    del.prev_kv = true;
    return del;
}

static void a_delete_of_thousands_of_keys_is_one_revision(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%05d", i);
        put_one(&n, key, key);
    }
    assert_int_equal(count_all(&n), 5000);
    Etcdserverpb__DeleteRangeRequest del = delete_all();
    struct oak_kv_result result = node_apply(&n, OAK_KV_DELETE, &del.base);
    const Etcdserverpb__DeleteRangeResponse *r =
        (const Etcdserverpb__DeleteRangeResponse *)result.response;
    assert_int_equal(r->deleted, 5000);
    assert_int_equal(r->n_prev_kvs, 5000);
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%05d", i);
        assert_true(oak_bytes_eq(oak_proto_bytes(r->prev_kvs[i]->key), oak_bytes_str(key)));
        assert_true(oak_bytes_eq(oak_proto_bytes(r->prev_kvs[i]->value), oak_bytes_str(key)));
    }
    assert_int_equal(r->header->revision, 5002);
    assert_int_equal(oak_kv_state(n.kv)->revision, 5002);
    assert_int_equal(count_all(&n), 0);
    struct oak_kv_counters counters;
    oak_kv_counters(n.kv, &counters);
    assert_int_equal(counters.puts, 5000);
    assert_int_equal(counters.deletes, 1);
    assert_int_equal(counters.events, 10000);
}

/* Whatever the room for answers: what becomes of the state is the same. */
static void an_answer_without_room_is_lost_but_not_the_change(void **state)
{
    (void)state;
    int lost = 0;
    int kept = 0;
    for (size_t room = 0; room < 4000; room += 16) {
        struct node small, large;
        node_open(&small, 0);
        node_open(&large, 0);
        for (int i = 0; i < 5; i++) {
            char key[8];
            snprintf(key, sizeof(key), "%d", i);
            put_one(&small, key, "some value");
            put_one(&large, key, "some value");
        }
        oak_arena_fini(&small.arena);
        oak_arena_init(&small.arena, 256, room);
        Etcdserverpb__DeleteRangeRequest del = delete_all();
        Etcdserverpb__PutRequest put = put_of("x", "y");
        Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
        range.key = range.range_end = del.key;
        range.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD;
        range.limit = 2;
        Etcdserverpb__RequestOp ops[3];
        Etcdserverpb__RequestOp *list[3] = {&ops[0], &ops[1], &ops[2]};
        for (int i = 0; i < 3; i++) {
            etcdserverpb__request_op__init(&ops[i]);
        }
        ops[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        ops[0].request_range = &range;
        ops[1].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        ops[1].request_delete_range = &del;
        ops[2].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        ops[2].request_put = &put;
        Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
        txn.n_success = 3;
        txn.success = list;
        struct oak_kv_result a = node_apply(&small, OAK_KV_TXN, &txn.base);
        struct oak_kv_result b = node_apply(&large, OAK_KV_TXN, &txn.base);
        assert_int_equal(b.error, 0);
        assert_true(a.error == 0 || a.error == OAK_ELIMIT);
        assert_true((a.error == 0) == (a.response != NULL));
        lost += a.error != 0;
        kept += a.error == 0;
        assert_memory_equal(oak_kv_state(small.kv), oak_kv_state(large.kv),
                            sizeof(struct oak_store_state));
        assert_int_equal(oak_kv_state(small.kv)->revision, 7);
        oak_arena_fini(&small.arena);
        oak_arena_init(&small.arena, 4096, OAK_MIB);
        assert_int_equal(count_all(&small), 1);
        node_commit(&large);
        node_close(&small);
        node_close(&large);
    }
    assert_true(lost > 50 && kept > 50);
}

static void a_read_without_room_is_a_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%d", i);
        put_one(&n, key, "v");
    }
    node_commit(&n);
    struct oak_arena small;
    oak_arena_init(&small, 512, 2048);
    Etcdserverpb__RangeRequest all = ETCDSERVERPB__RANGE_REQUEST__INIT;
    all.key = all.range_end = oak_proto_binary(oak_bytes("\0", 1));
    Etcdserverpb__RangeResponse *response = NULL;
    for (int target = 0; target <= 4; target++) {
        all.sort_target = (Etcdserverpb__RangeRequest__SortTarget)target;
        assert_int_equal(oak_kv_range(n.kv, &all, &small, &response), OAK_ELIMIT);
        assert_null(response);
        oak_arena_reset(&small);
    }
    all.sort_target = 0;
    all.limit = 3;
    assert_int_equal(oak_kv_range(n.kv, &all, &small, &response), 0);
    assert_int_equal(response->count, 100);
    oak_arena_fini(&small);
}

/* -- before proposing -------------------------------------------------------------------------- */

static void a_request_over_the_size_is_refused_before_proposing(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = put_of("key", "");
    put.value.len = OAK_REQUEST_BYTES_MAX - 20;
    put.value.data = calloc(1, OAK_REQUEST_BYTES_MAX);
    assert_int_equal(oak_kv_check(n.kv, OAK_KV_PUT, &put.base), 0);
    put.value.len = OAK_REQUEST_BYTES_MAX;
    assert_int_equal(oak_kv_check(n.kv, OAK_KV_PUT, &put.base), OAK_EREQUESTTOOLARGE);
    put.key.len = 0;
    assert_int_equal(oak_kv_check(n.kv, OAK_KV_PUT, &put.base), OAK_EEMPTYKEY);
    free(put.value.data);
}

static void an_operation_announced_but_absent_is_refused(void **state)
{
    (void)state;
    Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp *list[] = {&op};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_success = 1;
    txn.success = list;
    bool serializable = true;
    for (int which = 0; which <= 9; which++) {
        op.request_case = (Etcdserverpb__RequestOp__RequestCase)which;
        assert_int_equal(oak_kv_check(n.kv, OAK_KV_TXN, &txn.base), OAK_EKEYNOTFOUND);
        assert_false(oak_kv_txn_is_read(&txn, &serializable));
        assert_false(serializable);
    }
}

/* A transaction that is as large and as crowded as a request may be. */
static void a_crowded_transaction_is_checked_in_reasonable_work(void **state)
{
    (void)state;
    enum { TXNS = 127, OPS = 127 };
    struct oak_arena arena;
    oak_arena_init(&arena, OAK_MIB, 64 * OAK_MIB);
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest *del =
        oak_arena_alloc(&arena, sizeof(Etcdserverpb__DeleteRangeRequest));
    *del = delete_all();
    del->key = oak_proto_binary(oak_bytes_str("a"));
    del->range_end = oak_proto_binary(oak_bytes_str("b"));
    txn.success = oak_arena_alloc(&arena, TXNS * sizeof(*txn.success));
    /* Puts of different keys in the first half, deletes of all of them in the second: allowed. */
    for (size_t i = 0; i < TXNS; i++) {
        Etcdserverpb__RequestOp *outer = oak_arena_alloc(&arena, sizeof(*outer));
        Etcdserverpb__TxnRequest *inner = oak_arena_alloc(&arena, sizeof(*inner));
        etcdserverpb__request_op__init(outer);
        etcdserverpb__txn_request__init(inner);
        outer->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        outer->request_txn = inner;
        txn.success[txn.n_success++] = outer;
        inner->success = oak_arena_alloc(&arena, OPS * sizeof(*inner->success));
        for (size_t k = 0; k < OPS; k++) {
            Etcdserverpb__RequestOp *op = oak_arena_alloc(&arena, sizeof(*op));
            etcdserverpb__request_op__init(op);
            inner->success[inner->n_success++] = op;
            if (i > TXNS / 2) {
                op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
                op->request_delete_range = del;
                continue;
            }
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            op->request_put = oak_arena_alloc(&arena, sizeof(*op->request_put));
            etcdserverpb__put_request__init(op->request_put);
            char *key = oak_arena_alloc(&arena, 16);
            snprintf(key, 16, "a%zu/%zu", i, k);
            op->request_put->key = oak_proto_binary(oak_bytes_str(key));
        }
    }
    struct node wide;
    node_open(&wide, 254);
    assert_int_equal(oak_kv_check(wide.kv, OAK_KV_TXN, &txn.base), 0);
    struct oak_kv_result result = node_apply(&wide, OAK_KV_TXN, &txn.base);
    assert_int_equal(result.error, 0);
    assert_int_equal(count_all(&wide), 0);
    assert_int_equal(oak_kv_state(wide.kv)->revision, 2);
    /* One key twice, far apart. */
    txn.success[0]->request_txn->success[0]->request_put->key =
        txn.success[TXNS / 2]->request_txn->success[OPS - 1]->request_put->key;
    assert_int_equal(oak_kv_check(wide.kv, OAK_KV_TXN, &txn.base), OAK_EDUPLICATEKEY);
    node_close(&wide);
    oak_arena_fini(&arena);
}

static void members_have_a_limit_and_an_id(void **state)
{
    (void)state;
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.name = (char *)(uintptr_t) "name";
    for (uint64_t id = OAK_MEMBERS_MAX; id >= 1; id--) {
        member.id = id;
        assert_int_equal(node_apply(&n, OAK_KV_PUBLISH, &member.base).error, 0);
    }
    member.id = OAK_MEMBERS_MAX + 1;
    assert_int_equal(node_apply(&n, OAK_KV_PUBLISH, &member.base).error, OAK_ELIMIT);
    const struct oak_kv_member *members = NULL;
    assert_int_equal(oak_kv_members(n.kv, &members), OAK_MEMBERS_MAX);
    for (size_t i = 0; i < OAK_MEMBERS_MAX; i++) {
        assert_int_equal(members[i].id, i + 1);
    }
    /* Forgetting one makes room. */
    Etcdserverpb__Member gone = ETCDSERVERPB__MEMBER__INIT;
    gone.id = 3;
    assert_int_equal(node_apply(&n, OAK_KV_PUBLISH, &gone.base).error, 0);
    assert_int_equal(node_apply(&n, OAK_KV_PUBLISH, &member.base).error, 0);
    char *longer = calloc(1, OAK_MEMBER_BYTES_MAX + 1);
    memset(longer, 'x', OAK_MEMBER_BYTES_MAX);
    member.name = longer;
    assert_int_equal(node_apply(&n, OAK_KV_PUBLISH, &member.base).error, OAK_EREQUESTTOOLARGE);
    free(longer);
}

#if defined(OAK_ZOO)
static void the_bugs_of_the_zoo_show(void **state)
{
    (void)state;
    Etcdserverpb__DeleteRangeRequest del = delete_all();
    Etcdserverpb__PutRequest put = put_of("a", "2");
    put_one(&n, "a", "1");
    node_apply(&n, OAK_KV_DELETE, &del.base);
    oak_bug_awake = OAK_BUG_delete_forgets_version;
    node_apply(&n, OAK_KV_PUT, &put.base);
    node_commit(&n);
    struct oak_store_kv kv;
    assert_int_equal(oak_store_get(n.store, oak_bytes_str("a"), 0, &kv), 0);
    assert_int_equal(kv.version, 2);
    assert_int_equal(kv.create_rev, 2);
    oak_bug_awake = OAK_BUG_apply_twice;
    n.index--;
    node_apply(&n, OAK_KV_PUT, &put.base);
    assert_int_equal(oak_kv_state(n.kv)->revision, 5);
    oak_bug_awake = OAK_BUG_NONE;
}
#endif

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_command_reads_back_as_it_was_written),
        T(bytes_that_are_no_command_are_refused),
        T(an_entry_that_is_no_command_moves_the_index_alone),
        T(a_command_whose_request_is_damaged_changes_nothing),
        T(transactions_nested_without_end_are_refused),
        T(an_empty_entry_moves_index_and_term),
        T(an_entry_is_not_applied_a_second_time),
        T(the_chain_tells_entries_order_and_outcome_apart),
        T(the_chain_shows_a_member_with_another_limit),
        T(the_state_is_that_of_the_store_after_a_reload),
        T(a_delete_of_thousands_of_keys_is_one_revision),
        T(an_answer_without_room_is_lost_but_not_the_change),
        T(a_read_without_room_is_a_limit),
        T(a_request_over_the_size_is_refused_before_proposing),
        T(an_operation_announced_but_absent_is_refused),
        T(a_crowded_transaction_is_checked_in_reasonable_work),
        T(members_have_a_limit_and_an_id),
#if defined(OAK_ZOO)
        T(the_bugs_of_the_zoo_show),
#endif
    };
    return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
