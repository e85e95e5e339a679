/* SPDX-License-Identifier: Apache-2.0 */
/* What the feed hears of each change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "kv/kv_fixture.h"

static struct node n;
static char told[4096];
static size_t told_size;
static bool wants;

static void say(const char *format, ...) OAK_PRINTF(1, 2);
static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(told + told_size, sizeof(told) - told_size, format, arguments);
    va_end(arguments);
    assert_true(size >= 0 && told_size + (size_t)size < sizeof(told));
    told_size += (size_t)size;
}

static bool feed_wants(void *user, struct oak_bytes key)
{
    assert_ptr_equal(user, &n);
    assert_true(key.size > 0);
    return wants;
}

static void feed_changed(void *user, bool deleted, const struct oak_store_kv *kv,
                         const struct oak_store_kv *previous)
{
    assert_ptr_equal(user, &n);
    say("%s %.*s@%lld", deleted ? "del" : "put", (int)kv->key.size, (const char *)kv->key.data,
        (long long)kv->mod_rev);
    if (!deleted) {
        say(" %.*s v%lld c%lld", (int)kv->value.size, (const char *)kv->value.data,
            (long long)kv->version, (long long)kv->create_rev);
    }
    if (previous != NULL) {
        assert_true(oak_bytes_eq(previous->key, kv->key));
        say(" was %.*s@%lld", (int)previous->value.size, (const char *)previous->value.data,
            (long long)previous->mod_rev);
    }
    say("\n");
}

static void feed_committed(void *user, const struct oak_store_state *state)
{
    assert_ptr_equal(user, &n);
    assert_int_equal(oak_store_state(n.store)->revision, state->revision); /* in the store */
    say("committed %lld\n", (long long)state->revision);
}

static void feed_replaced(void *user, const struct oak_store_state *state)
{
    assert_ptr_equal(user, &n);
    say("replaced %lld\n", (long long)state->revision);
}

static const struct oak_kv_feed feed = {.wants_previous = feed_wants,
                                        .changed = feed_changed,
                                        .committed = feed_committed,
                                        .replaced = feed_replaced,
                                        .user = &n};

static int set_up(void **state)
{
    (void)state;
    node_open(&n, 0);
    oak_kv_set_feed(n.kv, &feed);
    told_size = 0;
    wants = true;
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

static void put_one(const char *key, const char *value)
{
    Etcdserverpb__PutRequest put = put_of(key, value);
    assert_int_equal(node_apply(&n, OAK_KV_PUT, &put.base).error, 0);
}

static Etcdserverpb__DeleteRangeRequest delete_of(const char *key, const char *end)
{
    Etcdserverpb__DeleteRangeRequest request = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    request.key = oak_proto_binary(oak_bytes_str(key));
    request.range_end = oak_proto_binary(oak_bytes_str(end));
    return request;
}

static void heard(const char *text)
{
    told[told_size] = '\0';
    assert_string_equal(told, text);
    told_size = 0;
}

static void puts_are_told_with_what_was_there(void **state)
{
    (void)state;
    put_one("a", "1");
    put_one("a", "2");
    heard("put a@2 1 v1 c2\nput a@3 2 v2 c2 was 1@2\n");
    node_commit(&n);
    heard("committed 3\n");
    put_one("a", "3");
    Etcdserverpb__PutRequest keep = put_of("a", "");
    keep.ignore_value = true;
    assert_int_equal(node_apply(&n, OAK_KV_PUT, &keep.base).error, 0);
    heard("put a@4 3 v3 c2 was 2@3\nput a@5 3 v4 c2 was 3@4\n");
    wants = false;
    put_one("a", "4");
    heard("put a@6 4 v5 c2\n");
}

static void deletions_are_told_one_by_one(void **state)
{
    (void)state;
    put_one("a", "1");
    put_one("b", "2");
    put_one("c", "3");
    node_commit(&n);
    told_size = 0;
    Etcdserverpb__DeleteRangeRequest range = delete_of("a", "c");
    assert_int_equal(node_apply(&n, OAK_KV_DELETE, &range.base).error, 0);
    heard("del a@5 was 1@2\ndel b@5 was 2@3\n");
    Etcdserverpb__DeleteRangeRequest one = delete_of("c", "");
    assert_int_equal(node_apply(&n, OAK_KV_DELETE, &one.base).error, 0);
    assert_int_equal(node_apply(&n, OAK_KV_DELETE, &one.base).error, 0); /* nothing is left */
    heard("del c@6 was 3@4\n");
    put_one("c", "4");
    heard("put c@7 4 v1 c7\n"); /* there was none in the revision before */
}

/* Two operations of one transaction on one key: before both it was what it was before the whole. */
static void what_was_there_is_that_of_the_revision_before(void **state)
{
    (void)state;
    put_one("a", "1");
    told_size = 0;
    Etcdserverpb__DeleteRangeRequest del = delete_of("a", "");
    del.range_end = oak_proto_binary(oak_bytes("\0", 1)); /* which does not count as covering a */
    Etcdserverpb__PutRequest put = put_of("a", "2");
    Etcdserverpb__RequestOp ops[2] = {ETCDSERVERPB__REQUEST_OP__INIT,
                                      ETCDSERVERPB__REQUEST_OP__INIT};
    Etcdserverpb__RequestOp *list[2] = {&ops[0], &ops[1]};
    ops[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    ops[0].request_delete_range = &del;
    ops[1].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    ops[1].request_put = &put;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_success = 2;
    txn.success = list;
    assert_int_equal(node_apply(&n, OAK_KV_TXN, &txn.base).error, 0);
    heard("del a@3 was 1@2\nput a@3 2 v1 c3 was 1@2\n");
}

static void what_is_refused_is_not_told(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = put_of("a", "1");
    put.lease = 77;
    assert_int_equal(node_apply(&n, OAK_KV_PUT, &put.base).error, OAK_ELEASENOTFOUND);
    node_commit(&n);
    heard("committed 1\n");
    assert_int_equal(oak_kv_reload(n.kv), 0);
    heard("replaced 1\n");
    oak_kv_set_feed(n.kv, NULL);
    put_one("a", "1");
    node_commit(&n);
    heard("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(puts_are_told_with_what_was_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deletions_are_told_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_there_is_that_of_the_revision_before, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_refused_is_not_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
