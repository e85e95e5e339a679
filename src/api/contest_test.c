/* SPDX-License-Identifier: Apache-2.0 */
/* contest_test.c: names of keys, who comes first of them, and the transactions that take part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/contest.h"
#include "kv/kv_fixture.h"

static struct oak_arena arena;
static struct oak_store *store;

static int set_up(void **state)
{
    (void)state;
    const struct oak_store_options options = {.disk = &no_disk, .dir = "nowhere"};
    oak_arena_init(&arena, 1024, OAK_MIB);
    return oak_store_open_memory(&options, &store, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    oak_store_close(store);
    oak_arena_fini(&arena);
    return 0;
}

static struct api_contest contest_of(const char *name, int64_t lease)
{
    struct api_contest contest;
    assert_int_equal(api__contest_of(&arena, oak_bytes_str(name), lease, &contest), 0);
    return contest;
}

static void assert_bytes(struct oak_bytes got, const char *want)
{
    assert_int_equal(got.size, strlen(want));
    assert_memory_equal(got.data, want, got.size);
}

static void a_key_is_the_name_and_the_lease_as_etcds_client_writes_it(void **state)
{
    (void)state;
    static const struct {
        int64_t lease;
        const char *key;
    } rows[] = {
        {0, "n/0"},
        {1, "n/1"},
        {1000, "n/3e8"},
        {0x0123456789abcdef, "n/123456789abcdef"},
        {INT64_MAX, "n/7fffffffffffffff"},
        {-5, "n/-5"},
        {INT64_MIN, "n/-8000000000000000"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        struct api_contest contest = contest_of("n", rows[i].lease);
        assert_bytes(contest.key, rows[i].key);
        assert_bytes(contest.prefix, "n/");
        assert_bytes(contest.end, "n0");
    }
    struct api_contest nameless = contest_of("", 16);
    assert_bytes(nameless.key, "/10");
    assert_bytes(nameless.prefix, "/");
    assert_bytes(nameless.end, "0");
}

static void without_memory_there_is_no_name(void **state)
{
    (void)state;
    struct oak_arena small;
    struct api_contest contest;
    oak_arena_init(&small, 16, 16);
    assert_int_equal(api__contest_of(&small, oak_bytes_str("a name"), 1, &contest), OAK_ENOMEM);
    oak_arena_fini(&small);
}

static void put(const char *key, int64_t create_rev, int64_t mod_rev)
{
    const struct oak_store_kv kv = {
        .key = oak_bytes_str(key),
        .value = oak_bytes_str("v"),
        .create_rev = create_rev,
        .mod_rev = mod_rev,
        .version = 1 + mod_rev - create_rev,
        .lease = 7,
    };
    assert_int_equal(oak_store_put(store, (struct oak_store_rev){.main = mod_rev}, &kv), 0);
}

static void assert_before(const struct api_contest *contest, int64_t create_rev, const char *want)
{
    struct oak_buf key = {0};
    int error = api__contest_before(store, contest, create_rev, &key);
    assert_int_equal(error, want == NULL ? OAK_ENOENT : 0);
    if (want != NULL) {
        assert_bytes(oak_buf_bytes(&key), want);
    }
    oak_buf_fini(&key);
}

static void who_came_first_is_first_whatever_was_put_since(void **state)
{
    (void)state;
    struct api_contest contest = contest_of("n", 0);
    Mvccpb__KeyValue kv;
    assert_int_equal(api__contest_leader(store, &contest, &kv), OAK_ENOENT);
    /* Neighbours of the name are none of it. */
    put("n", 2, 2);
    put("n.", 3, 3);
    put("n0", 4, 4);
    put("m/1", 5, 5);
    assert_int_equal(api__contest_leader(store, &contest, &kv), OAK_ENOENT);
    put("n/b", 6, 6);
    put("n/c", 7, 7);
    put("n/a", 8, 8);
    put("n/b", 6, 9);
    assert_int_equal(api__contest_leader(store, &contest, &kv), 0);
    assert_bytes(oak_proto_bytes(kv.key), "n/b");
    assert_bytes(oak_proto_bytes(kv.value), "v");
    assert_int_equal(kv.create_revision, 6);
    assert_int_equal(kv.mod_revision, 9);
    assert_int_equal(kv.version, 4);
    assert_int_equal(kv.lease, 7);
    assert_before(&contest, 6, NULL);
    assert_before(&contest, 7, "n/b");
    assert_before(&contest, 8, "n/c");
    assert_before(&contest, 100, "n/a");
    assert_int_equal(oak_store_del(store, (struct oak_store_rev){.main = 10}, oak_bytes_str("n/b")),
                     0);
    assert_before(&contest, 7, NULL);
    assert_int_equal(api__contest_leader(store, &contest, &kv), 0);
    assert_bytes(oak_proto_bytes(kv.key), "n/c");
}

static void a_transaction_is_about_the_key_as_it_was_created(void **state)
{
    (void)state;
    struct api_claim claim;
    api__claim_put(&claim, oak_bytes_str("k"), 5, oak_bytes_str("v"), 7, false);
    assert_int_equal(claim.txn.n_compare, 1);
    assert_int_equal(claim.txn.compare[0]->create_revision, 5);
    assert_int_equal(claim.txn.compare[0]->result, ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL);
    assert_bytes(oak_proto_bytes(claim.txn.success[0]->request_put->value), "v");
    assert_int_equal(claim.txn.success[0]->request_put->lease, 7);
    assert_int_equal(claim.txn.n_failure, 0);
    api__claim_put(&claim, oak_bytes_str("k"), 0, oak_bytes_str("v"), 7, true);
    assert_int_equal(claim.txn.n_failure, 1);
    assert_bytes(oak_proto_bytes(claim.txn.failure[0]->request_range->key), "k");
    api__claim_remove(&claim, oak_bytes_str("k"), 5);
    assert_int_equal(claim.txn.n_success, 1);
    assert_int_equal(claim.txn.n_failure, 0);
    assert_bytes(oak_proto_bytes(claim.txn.success[0]->request_delete_range->key), "k");
    assert_int_equal(claim.txn.success[0]->request_delete_range->range_end.len, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_key_is_the_name_and_the_lease_as_etcds_client_writes_it),
        T(without_memory_there_is_no_name),
        T(who_came_first_is_first_whatever_was_put_since),
        T(a_transaction_is_about_the_key_as_it_was_created),
    };
    return cmocka_run_group_tests_name("contest", tests, NULL, NULL);
}
