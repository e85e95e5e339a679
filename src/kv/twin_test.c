/* SPDX-License-Identifier: Apache-2.0 */
/* twin_test.c: thousands of random commands against the model, and against a second state machine
 * whose batches are cut elsewhere; and what a command may touch. A failure prints the seed and the
 * step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/model_fixture.h"
#include "store/test_help.h"

#define TXN_OPS_MAX 6

/* -- random requests, in an arena -------------------------------------------------------------- */

struct chance {
    struct oak_prng prng;
    struct oak_arena arena;
    int64_t revision; /* about where the state is */
};

static bool one_in(struct chance *c, uint64_t of)
{
    return oak_prng_chance(&c->prng, 1, of);
}

static ProtobufCBinaryData any_key(struct chance *c)
{
    static const struct {
        const char *data;
        size_t size;
    } keys[] = {{"a", 1},  {"b", 1},   {"c", 1},    {"d", 1},   {"ab", 2},
                {"\0", 1}, {"\0a", 2}, {"\xff", 1}, {"a\0", 2}, {"", 0}};
    uint64_t at = one_in(c, 60) ? 9 : oak_prng_below(&c->prng, 9);
    return oak_proto_binary(oak_bytes(keys[at].data, keys[at].size));
}

static ProtobufCBinaryData any_end(struct chance *c)
{
    if (one_in(c, 2)) {
        return (ProtobufCBinaryData){.len = 0};
    }
    return one_in(c, 3) ? oak_proto_binary(oak_bytes("\0", 1)) : any_key(c);
}

static ProtobufCBinaryData any_value(struct chance *c)
{
    static const char *const values[] = {"", "1", "2", "22", "\xff"};
    return oak_proto_binary(oak_bytes_str(values[oak_prng_below(&c->prng, 5)]));
}

static int64_t any_revision(struct chance *c)
{
    int64_t back = (int64_t)oak_prng_below(&c->prng, 12);
    return c->revision - back + 2;
}

static void *any_message(struct chance *c, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = oak_arena_alloc(&c->arena, d->sizeof_message);
    protobuf_c_message_init(d, m);
    return m;
}

/* One more than there may be; now and then one that nobody grants. */
static int64_t any_lease(struct chance *c)
{
    return one_in(c, 30) ? 77 : 1 + (int64_t)oak_prng_below(&c->prng, NODE_LEASES_MAX + 1);
}

static Etcdserverpb__PutRequest *any_put(struct chance *c)
{
    Etcdserverpb__PutRequest *r = any_message(c, &etcdserverpb__put_request__descriptor);
    r->key = any_key(c);
    r->ignore_value = one_in(c, 8);
    r->ignore_lease = one_in(c, 8);
    r->value = r->ignore_value && !one_in(c, 8) ? r->value : any_value(c);
    r->lease = one_in(c, 3) ? any_lease(c) : 0;
    r->prev_kv = one_in(c, 2);
    return r;
}

static Etcdserverpb__DeleteRangeRequest *any_delete(struct chance *c)
{
    Etcdserverpb__DeleteRangeRequest *r =
        any_message(c, &etcdserverpb__delete_range_request__descriptor);
    r->key = any_key(c);
    r->range_end = any_end(c);
    r->prev_kv = one_in(c, 2);
    return r;
}

static Etcdserverpb__RangeRequest *any_range(struct chance *c)
{
    Etcdserverpb__RangeRequest *r = any_message(c, &etcdserverpb__range_request__descriptor);
    r->key = any_key(c);
    r->range_end = any_end(c);
    r->limit = one_in(c, 2) ? (int64_t)oak_prng_below(&c->prng, 6) - 1 : 0;
    r->revision = one_in(c, 4) ? any_revision(c) : 0;
    r->sort_order = oak_prng_below(&c->prng, one_in(c, 50) ? 4 : 3);
    r->sort_target = oak_prng_below(&c->prng, one_in(c, 50) ? 6 : 5);
    r->keys_only = one_in(c, 4);
    r->count_only = one_in(c, 6);
    r->serializable = one_in(c, 2);
    r->min_mod_revision = one_in(c, 8) ? any_revision(c) : 0;
    r->max_mod_revision = one_in(c, 8) ? any_revision(c) : 0;
    r->min_create_revision = one_in(c, 8) ? any_revision(c) : 0;
    r->max_create_revision = one_in(c, 8) ? any_revision(c) : 0;
    return r;
}

static Etcdserverpb__Compare *any_compare(struct chance *c)
{
    Etcdserverpb__Compare *m = any_message(c, &etcdserverpb__compare__descriptor);
    m->key = any_key(c);
    m->range_end = one_in(c, 4) ? any_end(c) : m->range_end;
    m->target = oak_prng_below(&c->prng, 5);
    m->result = oak_prng_below(&c->prng, 4);
    int operand = one_in(c, 10) ? (int)oak_prng_below(&c->prng, 5) : (int)m->target;
    m->target_union_case = one_in(c, 20) ? 0 : 4 + operand;
    if (m->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE) {
        m->value = any_value(c);
    } else {
        m->version = operand == 0 ? (int64_t)oak_prng_below(&c->prng, 4) : any_revision(c);
        m->version = one_in(c, 3) ? 0 : m->version;
    }
    return m;
}

static Etcdserverpb__TxnRequest *any_txn(struct chance *c, int depth);

static size_t any_ops(struct chance *c, int depth, Etcdserverpb__RequestOp ***out)
{
    size_t count = oak_prng_below(&c->prng, one_in(c, 40) ? 8 : 4);
    *out = oak_arena_alloc(&c->arena, (count + 1) * sizeof(**out));
    for (size_t i = 0; i < count; i++) {
        Etcdserverpb__RequestOp *op = any_message(c, &etcdserverpb__request_op__descriptor);
        (*out)[i] = op;
        uint64_t dice = oak_prng_below(&c->prng, 100);
        if (dice < 30) {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
            op->request_range = any_range(c);
        } else if (dice < 65) {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            op->request_put = any_put(c);
        } else if (dice < 78) {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
            op->request_delete_range = any_delete(c);
        } else if (dice < 99) {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
            op->request_txn = any_txn(c, depth + 1);
        }
    }
    return count;
}

static Etcdserverpb__TxnRequest *any_txn(struct chance *c, int depth)
{
    Etcdserverpb__TxnRequest *r = any_message(c, &etcdserverpb__txn_request__descriptor);
    r->n_compare = oak_prng_below(&c->prng, 3);
    r->compare = oak_arena_alloc(&c->arena, 8 * sizeof(*r->compare));
    for (size_t i = 0; i < r->n_compare; i++) {
        r->compare[i] = any_compare(c);
    }
    if (depth < 4) {
        r->n_success = any_ops(c, depth, &r->success);
        r->n_failure = any_ops(c, depth, &r->failure);
    }
    return r;
}

static ProtobufCMessage *any_lease_command(struct chance *c, enum oak_kv_kind *kind)
{
    uint64_t dice = oak_prng_below(&c->prng, 100);
    if (dice < 60) {
        *kind = OAK_KV_LEASE_GRANT;
        Etcdserverpb__LeaseGrantRequest *r =
            any_message(c, &etcdserverpb__lease_grant_request__descriptor);
        r->id = one_in(c, 20) ? 0 : any_lease(c);
        r->ttl = one_in(c, 20)   ? OAK_LEASE_TTL_S_MAX + 1
                 : one_in(c, 20) ? -5
                                 : (int64_t)oak_prng_below(&c->prng, 100);
        return &r->base;
    }
    if (dice < 80) {
        *kind = OAK_KV_LEASE_REVOKE;
        Etcdserverpb__LeaseRevokeRequest *r =
            any_message(c, &etcdserverpb__lease_revoke_request__descriptor);
        r->id = any_lease(c);
        return &r->base;
    }
    *kind = OAK_KV_LEASE_CHECKPOINT;
    Etcdserverpb__LeaseCheckpointRequest *r =
        any_message(c, &etcdserverpb__lease_checkpoint_request__descriptor);
    r->n_checkpoints = oak_prng_below(&c->prng, 4);
    r->checkpoints = oak_arena_alloc(&c->arena, 4 * sizeof(*r->checkpoints));
    for (size_t i = 0; i < r->n_checkpoints; i++) {
        r->checkpoints[i] = any_message(c, &etcdserverpb__lease_checkpoint__descriptor);
        r->checkpoints[i]->id = any_lease(c);
        r->checkpoints[i]->remaining_ttl = (int64_t)oak_prng_below(&c->prng, 120) - 10;
    }
    return &r->base;
}

static ProtobufCMessage *any_command(struct chance *c, enum oak_kv_kind *kind)
{
    uint64_t dice = oak_prng_below(&c->prng, 100);
    if (one_in(c, 8)) {
        return any_lease_command(c, kind);
    }
    if (dice < 30) {
        *kind = OAK_KV_PUT;
        return &any_put(c)->base;
    }
    if (dice < 38) {
        *kind = OAK_KV_DELETE;
        return &any_delete(c)->base;
    }
    if (dice < 98) {
        *kind = OAK_KV_TXN;
        return &any_txn(c, 0)->base;
    }
    *kind = OAK_KV_COMPACT;
    Etcdserverpb__CompactionRequest *r =
        any_message(c, &etcdserverpb__compaction_request__descriptor);
    r->revision = any_revision(c) - 4;
    return &r->base;
}

/* -- the comparisons --------------------------------------------------------------------------- */

static void assert_same(const struct oak_buf *expected, const struct oak_buf *got, uint64_t seed,
                        int step)
{
    if (!oak_bytes_eq(oak_buf_bytes(expected), oak_buf_bytes(got))) {
        fail_msg("seed %" PRIu64 " step %d\n  expected %.*s\n  got      %.*s", seed, step,
                 (int)expected->size, (const char *)expected->data, (int)got->size,
                 (const char *)got->data);
    }
}

static void compare_reads(struct node *n, const struct model *m, struct chance *c, uint64_t seed,
                          int step)
{
    struct oak_buf expected = {0};
    struct oak_buf got = {0};
    node_commit(n);
    for (int i = 0; i < 2; i++) {
        oak_buf_clear(&expected);
        oak_buf_clear(&got);
        Etcdserverpb__RangeRequest *r = any_range(c);
        int error = model_check_range(r);
        error = error != 0 ? error : model_revision_check(m, r->revision);
        if (error == 0) {
            model_range(m, r, &expected);
        } else {
            SAY(&expected, "%s", oak_error_name(error));
        }
        Etcdserverpb__RangeResponse *response = NULL;
        error = oak_kv_range(n->kv, r, &n->arena, &response);
        say_outcome(&got, error, response != NULL ? &response->base : NULL);
        assert_same(&expected, &got, seed, step);
    }
    oak_buf_fini(&expected);
    oak_buf_fini(&got);
}

struct lease_check {
    const struct model *m;
    size_t seen;
};

static bool check_lease(void *arg, const struct oak_kv_lease *lease)
{
    struct lease_check *check = arg;
    const struct oak_kv_lease *there = model_lease(check->m, lease->id);
    assert_non_null(there);
    assert_int_equal(lease->ttl_s, there->ttl_s);
    assert_int_equal(lease->remaining_s, there->remaining_s);
    check->seen++;
    return true;
}

struct key_check {
    const struct model_version **found;
    size_t count, next;
    int64_t lease;
};

static bool check_lease_key(void *arg, struct oak_bytes key)
{
    struct key_check *check = arg;
    while (check->next < check->count && check->found[check->next]->lease != check->lease) {
        check->next++;
    }
    assert_true(check->next < check->count);
    assert_true(oak_bytes_eq(key, model_key(check->found[check->next])));
    check->next++;
    return true;
}

/* The leases, and of each the keys whose newest version names it. */
static void compare_leases(struct node *n, const struct model *m)
{
    const struct model_version *found[MODEL_KEYS_MAX];
    ProtobufCBinaryData all = oak_proto_binary(oak_bytes("\0", 1));
    size_t count = model_find(m, all, all, INT64_MAX, found);
    struct lease_check check = {.m = m};
    oak_kv_leases(n->kv, check_lease, &check);
    size_t there = 0;
    for (size_t i = 0; i < MODEL_LEASES_MAX; i++) {
        there += m->leases[i].id != 0 ? 1 : 0;
    }
    assert_int_equal(check.seen, there);
    assert_int_equal(oak_kv_lease_count(n->kv), there);
    for (int64_t id = 1; id <= NODE_LEASES_MAX + 1; id++) {
        struct key_check keys = {.found = found, .count = count, .lease = id};
        oak_kv_lease_keys(n->kv, id, check_lease_key, &keys);
        while (keys.next < count && found[keys.next]->lease != id) {
            keys.next++;
        }
        assert_int_equal(keys.next, count);
    }
}

static void run_twin(uint64_t seed, int steps)
{
    struct node n;
    struct chance c = {.revision = 1};
    struct model m = {.revision = 1, .compacted = -1, .txn_ops_max = TXN_OPS_MAX};
    struct oak_buf expected = {0};
    struct oak_buf got = {0};
    node_open(&n, TXN_OPS_MAX);
    oak_prng_init(&c.prng, seed);
    oak_arena_init(&c.arena, 64 * OAK_KIB, 64 * OAK_MIB);
    for (int step = 0; step < steps; step++) {
        enum oak_kv_kind kind;
        ProtobufCMessage *message = any_command(&c, &kind);
        oak_buf_clear(&expected);
        oak_buf_clear(&got);
        model_apply(&m, kind, message, &expected);
        int checked = oak_kv_check(n.kv, kind, message);
        struct oak_kv_result result = node_apply(&n, kind, message);
        say_outcome(&got, result.error, result.response);
        assert_same(&expected, &got, seed, step);
        assert_true(checked == 0 || checked == result.error);
        assert_int_equal(oak_kv_state(n.kv)->revision, m.revision);
        assert_int_equal(oak_kv_state(n.kv)->compacted, m.compacted);
        if (one_in(&c, 3)) {
            compare_reads(&n, &m, &c, seed, step);
            compare_leases(&n, &m);
            bool more = true;
            assert_int_equal(oak_store_reclaim(n.store, 5, &more), 0);
        }
        c.revision = m.revision;
        oak_arena_reset(&n.arena);
        oak_arena_reset(&c.arena);
    }
    node_commit(&n);
    node_close(&n);
    free(m.versions);
    oak_buf_fini(&expected);
    oak_buf_fini(&got);
    oak_arena_fini(&c.arena);
}

static void random_commands_answer_as_the_model_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run_twin(seed, 500);
    }
}

/* Everything that can be read now, and the state. */
static void say_everything(struct node *n, struct oak_buf *out)
{
    Etcdserverpb__RangeRequest all = ETCDSERVERPB__RANGE_REQUEST__INIT;
    all.key = all.range_end = oak_proto_binary(oak_bytes("\0", 1));
    Etcdserverpb__RangeResponse *response = NULL;
    int error = oak_kv_range(n->kv, &all, &n->arena, &response);
    say_outcome(out, error, &response->base);
    say_leases(out, n->kv);
    const struct oak_store_state *s = oak_store_state(n->store);
    SAY(out, " %" PRIu64 " %" PRId64 " %" PRId64 " %016" PRIx64, s->applied, s->revision,
        s->compacted, s->chain);
}

static void batches_and_waiting_clients_do_not_change_what_becomes_of_a_log(void **state)
{
    (void)state;
    struct node one, other;
    struct chance c = {.revision = 1};
    struct oak_buf of_one = {0};
    struct oak_buf of_other = {0};
    oak_prng_init(&c.prng, 99);
    oak_arena_init(&c.arena, 64 * OAK_KIB, 64 * OAK_MIB);
    node_open(&one, TXN_OPS_MAX);
    node_open(&other, TXN_OPS_MAX);
    for (int step = 0; step < 4000; step++) {
        enum oak_kv_kind kind;
        ProtobufCMessage *message = any_command(&c, &kind);
        struct oak_bytes entry = entry_of(kind, message);
        oak_buf_clear(&of_one);
        oak_buf_clear(&of_other);
        struct oak_kv_result a = node_apply_entry(&one, entry);
        say_outcome(&of_one, a.error, a.response);
        if (one_in(&c, 2)) {
            struct oak_kv_result b = node_apply_entry(&other, entry);
            say_outcome(&of_other, b.error, b.response);
            assert_same(&of_one, &of_other, 99, step);
        } else {
            /* Nobody waits here. */
            struct oak_kv_result b;
            if (!other.open) {
                assert_int_equal(oak_kv_begin(other.kv), 0);
                other.open = true;
            }
            assert_int_equal(oak_kv_apply(other.kv, ++other.index, 1, entry, false, NULL, &b), 0);
            assert_int_equal(a.error, b.error);
            assert_null(b.response);
        }
        node_commit(&one);
        if (one_in(&c, 50)) {
            node_commit(&other);
            oak_buf_clear(&of_one);
            oak_buf_clear(&of_other);
            say_everything(&one, &of_one);
            say_everything(&other, &of_other);
            assert_same(&of_one, &of_other, 99, step);
        }
        c.revision = oak_kv_state(one.kv)->revision;
        free((void *)(uintptr_t)entry.data);
        oak_arena_reset(&one.arena);
        oak_arena_reset(&other.arena);
        oak_arena_reset(&c.arena);
    }
    node_commit(&other);
    node_close(&one);
    node_close(&other);
    oak_buf_fini(&of_one);
    oak_buf_fini(&of_other);
    oak_arena_fini(&c.arena);
}

static void the_durable_engine_gives_the_same_answers(void **state)
{
    (void)state;
    struct test_store rocks;
    struct node memory, durable;
    struct chance c = {.revision = 1};
    struct oak_buf of_memory = {0};
    struct oak_buf of_durable = {0};
    test_store_init(&rocks, &test_engines[1]);
    node_open(&memory, TXN_OPS_MAX);
    node_open_on(&durable, rocks.s, TXN_OPS_MAX);
    oak_prng_init(&c.prng, 7);
    oak_arena_init(&c.arena, 64 * OAK_KIB, 64 * OAK_MIB);
    for (int step = 0; step < 3000; step++) {
        enum oak_kv_kind kind;
        ProtobufCMessage *message = any_command(&c, &kind);
        struct oak_kv_result a = node_apply(&memory, kind, message);
        struct oak_kv_result b = node_apply(&durable, kind, message);
        oak_buf_clear(&of_memory);
        oak_buf_clear(&of_durable);
        say_outcome(&of_memory, a.error, a.response);
        say_outcome(&of_durable, b.error, b.response);
        if (one_in(&c, 20)) {
            bool more = true;
            node_commit(&memory);
            node_commit(&durable);
            assert_int_equal(oak_store_reclaim(durable.store, 50, &more), 0);
            say_everything(&memory, &of_memory);
            say_everything(&durable, &of_durable);
        }
        assert_same(&of_memory, &of_durable, 7, step);
        c.revision = oak_kv_state(memory.kv)->revision;
        oak_arena_reset(&memory.arena);
        oak_arena_reset(&durable.arena);
        oak_arena_reset(&c.arena);
    }
    node_commit(&memory);
    node_commit(&durable);
    node_close(&memory);
    oak_kv_free(durable.kv);
    oak_arena_fini(&durable.arena);
    test_store_fini(&rocks);
    oak_buf_fini(&of_memory);
    oak_buf_fini(&of_durable);
    oak_arena_fini(&c.arena);
}

/* The answer, but for the header's revision. */
static void say_read(struct node *n, const Etcdserverpb__RangeRequest *r, struct oak_buf *out)
{
    Etcdserverpb__RangeResponse *response = NULL;
    node_commit(n);
    oak_buf_clear(out);
    int error = oak_kv_range(n->kv, r, &n->arena, &response);
    if (response != NULL) {
        response->header->revision = 0;
    }
    say_outcome(out, error, response != NULL ? &response->base : NULL);
}

static void a_command_that_does_not_touch_a_read_does_not_change_its_answer(void **state)
{
    (void)state;
    struct node n;
    struct chance c = {.revision = 1};
    struct oak_buf before = {0};
    struct oak_buf after = {0};
    int untouched = 0;
    int changed = 0;
    node_open(&n, TXN_OPS_MAX);
    oak_prng_init(&c.prng, 5);
    oak_arena_init(&c.arena, 64 * OAK_KIB, 64 * OAK_MIB);
    for (int step = 0; step < 20000; step++) {
        Etcdserverpb__RangeRequest *r = any_range(&c);
        struct oak_store_range range = {.from = oak_proto_bytes(r->key)};
        range.open_end = r->range_end.len == 1 && r->range_end.data[0] == 0;
        range.to = range.open_end ? range.to : oak_proto_bytes(r->range_end);
        const struct oak_kv_reach reach = {&range, 1, .old_revisions = r->revision > 0};
        enum oak_kv_kind kind;
        ProtobufCMessage *message = any_command(&c, &kind);
        struct oak_bytes entry = entry_of(kind, message);
        say_read(&n, r, &before);
        bool touches = oak_kv_touches(n.kv, entry, &reach);
        assert_true(oak_kv_touches(n.kv, entry, NULL));
        (void)node_apply_entry(&n, entry);
        say_read(&n, r, &after);
        /* What is not there yet may be there then: such a read tells of everything. */
        bool future = r->revision > c.revision;
        if (!touches && !future) {
            assert_same(&before, &after, 5, step);
            untouched++;
        }
        changed += oak_bytes_eq(oak_buf_bytes(&before), oak_buf_bytes(&after)) ? 0 : 1;
        c.revision = oak_kv_state(n.kv)->revision;
        free((void *)(uintptr_t)entry.data);
        oak_arena_reset(&n.arena);
        oak_arena_reset(&c.arena);
    }
    assert_true(untouched > 2000);
    assert_true(changed > 500);
    node_close(&n);
    oak_buf_fini(&before);
    oak_buf_fini(&after);
    oak_arena_fini(&c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_commands_answer_as_the_model_does),
        cmocka_unit_test(a_command_that_does_not_touch_a_read_does_not_change_its_answer),
        cmocka_unit_test(batches_and_waiting_clients_do_not_change_what_becomes_of_a_log),
        cmocka_unit_test(the_durable_engine_gives_the_same_answers),
    };
    return cmocka_run_group_tests_name("kv twin", tests, NULL, NULL);
}
