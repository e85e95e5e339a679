/* SPDX-License-Identifier: Apache-2.0 */
/* builder_test.c: a transaction that grew is, byte by byte, the one that was written down. */
#include <stdio.h>

#include "rpc/test_memory.h"

#include "client/internal.h"

#define WIDTH 40

/* A condition on a key that nobody has. */
static const struct oak_client_compare absent = {.key = {.data = (const uint8_t *)"k", .size = 1},
                                                 .target = OAK_CLIENT_VERSION};

static struct oak_buf packed(const struct oak_client_op *op)
{
    Etcdserverpb__TxnRequest request;
    struct oak_arena arena;
    struct oak_buf out = {0};
    bool reads;
    oak_arena_init(&arena, OAK_KIB, OAK_MIB);
    assert_int_equal(op->kind, OAK_CLIENT_TXN);
    assert_int_equal(client__txn_request(&arena, op->txn, &request, &reads), 0);
    size_t size = protobuf_c_message_get_packed_size(&request.base);
    assert_int_equal(oak_buf_reserve(&out, size), 0);
    out.size = protobuf_c_message_pack(&request.base, out.data);
    oak_arena_fini(&arena);
    return out;
}

static void same(const struct oak_client_op *a, const struct oak_client_op *b)
{
    struct oak_buf x = packed(a);
    struct oak_buf y = packed(b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    oak_buf_fini(&x);
    oak_buf_fini(&y);
}

/* What is written down: many keys, and two transactions, one in the other, in either branch. */
struct written {
    char names[WIDTH][8];
    struct oak_client_compare compares[WIDTH];
    struct oak_client_op puts[WIDTH + 1];
    struct oak_client_op inner_op;
    struct oak_client_op get;
    struct oak_client_txn innermost;
    struct oak_client_txn inner;
    struct oak_client_txn outer;
};

static void write_down(struct written *w)
{
    for (size_t i = 0; i < WIDTH; i++) {
        snprintf(w->names[i], sizeof(w->names[i]), "k%zu", i);
        const struct oak_bytes name = oak_bytes_str(w->names[i]);
        w->compares[i] =
            (struct oak_client_compare){.key = name, .target = OAK_CLIENT_VALUE, .value = name};
        w->puts[i] = oak_client_put(name, oak_bytes_str("value"));
    }
    w->get = oak_client_get(oak_bytes_str("a"));
    w->get.span = OAK_CLIENT_UNTIL;
    w->get.end = oak_bytes_str("b");
    w->innermost = (struct oak_client_txn){.failure = &w->get, .failure_count = 1};
    w->inner_op = oak_client_transact(&w->innermost);
    w->inner = (struct oak_client_txn){
        .compares = &absent, .compare_count = 1, .success = &w->inner_op, .success_count = 1};
    w->puts[WIDTH] = oak_client_transact(&w->inner);
    w->outer = (struct oak_client_txn){.compares = w->compares,
                                       .compare_count = WIDTH,
                                       .success = w->puts,
                                       .success_count = WIDTH + 1,
                                       .failure = &w->puts[WIDTH],
                                       .failure_count = 1};
}

/* The same, grown: the one inner transaction by a builder, the other given whole. */
static struct oak_client_builder *grown(const struct written *w)
{
    struct oak_client_builder *b = oak_client_txn_new();
    for (size_t i = 0; i < WIDTH; i++) {
        char name[8]; /* copied: gone when the next one comes */
        snprintf(name, sizeof(name), "k%zu", i);
        struct oak_client_compare compare = w->compares[i];
        compare.key = compare.value = oak_bytes_str(name);
        oak_client_txn_if(b, compare);
        oak_client_txn_then(b, oak_client_put(oak_bytes_str(name), oak_bytes_str("value")));
    }
    struct oak_client_builder *inner = oak_client_txn_then_txn(b);
    oak_client_txn_if(inner, absent);
    oak_client_txn_else(oak_client_txn_then_txn(inner), w->get);
    oak_client_txn_else(b, w->puts[WIDTH]);
    return b;
}

static void what_grew_is_what_was_written_down(void **state)
{
    (void)state;
    struct written w;
    struct oak_client_op op;
    write_down(&w);
    const struct oak_client_op outer = oak_client_transact(&w.outer);
    struct oak_client_builder *b = grown(&w);
    memset(w.names, 'x', sizeof(w.names));
    assert_int_equal(oak_client_txn_op(b, &op), 0);
    write_down(&w);
    same(&op, &outer);
    oak_client_txn_free(b);

    b = oak_client_txn_new(); /* nothing is a transaction too */
    const struct oak_client_txn empty = {0};
    const struct oak_client_op none = oak_client_transact(&empty);
    assert_int_equal(oak_client_txn_op(b, &op), 0);
    same(&op, &none);
    oak_client_txn_free(oak_client_txn_then_txn(b)); /* goes with the outer one */
    assert_int_equal(oak_client_txn_op(b, &op), 0);
    assert_int_equal(op.txn->success_count, 1);
    oak_client_txn_free(b);
}

static void nesting_has_an_end_which_is_told_there(void **state)
{
    (void)state;
    struct oak_client_op op;
    struct oak_client_builder *b = oak_client_txn_new();
    struct oak_client_builder *at = b;
    for (int i = 1; i < OAK_CLIENT_DEPTH_MAX; i++) {
        at = oak_client_txn_else_txn(at);
        assert_non_null(at);
    }
    assert_int_equal(oak_client_txn_op(b, &op), 0);
    assert_int_equal(oak_client_txn_op(at, &op), OAK_EINVAL); /* not the outer one */
    at = oak_client_txn_then_txn(at);
    assert_null(at);
    oak_client_txn_then(at, oak_client_get(oak_bytes_str("k")));
    oak_client_txn_else(at, oak_client_get(oak_bytes_str("k")));
    oak_client_txn_if(at, absent);
    assert_null(oak_client_txn_else_txn(at));
    assert_int_equal(oak_client_txn_op(b, &op), OAK_EINVAL);
    oak_client_txn_free(b);
    oak_client_txn_free(NULL);
}

static void memory_that_is_not_to_be_had_is_told_once_at_the_end(void **state)
{
    (void)state;
    struct written w;
    struct oak_client_op op;
    long fail_at = 0;
    write_down(&w);
    while (memory_begin(fail_at)) {
        struct oak_client_builder *b = grown(&w);
        int error = oak_client_txn_op(b, &op);
        oak_client_txn_free(b);
        if (!memory_end()) {
            assert_int_equal(error, 0);
            break;
        }
        assert_int_equal(error, OAK_ENOMEM);
        fail_at++;
    }
    assert_true(fail_at > 5 || !MEMORY_COUNTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_grew_is_what_was_written_down),
        cmocka_unit_test(nesting_has_an_end_which_is_told_there),
        cmocka_unit_test(memory_that_is_not_to_be_had_is_told_once_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
