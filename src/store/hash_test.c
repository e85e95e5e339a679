/* SPDX-License-Identifier: Apache-2.0 */
/* hash_test.c: hashes of a history, held to those that etcd 3.4.23 gives of the same one. */
#include "store/test_help.h"

/* For i of 0 to 29 a put of k<i % 7> with the value v<i>, and behind every fifth a delete of that
 * key; then, at `GONE`, a delete of all that is left. */
#define LAST 37
#define GONE 38

struct life {
    int64_t create;
    int64_t version;
};

static void write_one(struct test_store *t, int64_t rev, unsigned i, struct life *life)
{
    char key[8];
    char value[8];
    snprintf(key, sizeof(key), "k%u", i % 7);
    snprintf(value, sizeof(value), "v%u", i);
    life->create = life->version == 0 ? rev : life->create;
    life->version++;
    const struct oak_store_kv kv = {.key = oak_bytes_str(key),
                                    .value = oak_bytes_str(value),
                                    .create_rev = life->create,
                                    .mod_rev = rev,
                                    .version = life->version};
    assert_int_equal(oak_store_put(t->s, (struct oak_store_rev){.main = rev}, &kv), 0);
}

static void remove_one(struct test_store *t, struct oak_store_rev rev, unsigned i,
                       struct life *life)
{
    char key[8];
    snprintf(key, sizeof(key), "k%u", i % 7);
    assert_int_equal(oak_store_del(t->s, rev, oak_bytes_str(key)), 0);
    life->version = 0;
}

static void history(struct test_store *t, bool gone)
{
    struct life lives[7] = {{0, 0}};
    int64_t rev = 1;
    for (unsigned i = 0; i < 30; i++) {
        write_one(t, ++rev, i, &lives[i % 7]);
        if (i % 5 == 4) {
            remove_one(t, (struct oak_store_rev){.main = ++rev}, i, &lives[i % 7]);
        }
    }
    assert_int_equal(rev, LAST);
    struct oak_store_rev at = {.main = GONE};
    for (unsigned k = 0; gone && k < 7; k++) {
        if (lives[k].version > 0) {
            remove_one(t, at, k, &lives[k]);
            at.sub++;
        }
    }
    test_commit(t, 1, gone ? GONE : LAST, -1);
}

static uint32_t hash_of(struct test_store *t, int64_t rev, size_t room, size_t piece)
{
    struct oak_store_hash *h = NULL;
    uint32_t hash = 0;
    assert_int_equal(oak_store_hash_begin(t->s, rev, room, &h), 0);
    while (!oak_store_hash_run(h, piece)) {
    }
    assert_int_equal(oak_store_hash_end(h, &hash), 0);
    return hash;
}

struct golden {
    int64_t floor;
    int64_t rev;
    uint32_t hash;
};

static void all_agree(const struct golden *golden, size_t count, bool gone)
{
    static const size_t rooms[] = {2, 3, 5, 100};
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        test_store_init(&t, &test_engines[engine]);
        history(&t, gone);
        for (size_t i = 0; i < count; i++) {
            const struct golden *g = &golden[i];
            test_commit(&t, 2 + i, gone ? GONE : LAST, g->floor);
            for (size_t k = 0; k < OAK_COUNT_OF(rooms); k++) {
                assert_int_equal(hash_of(&t, g->rev, rooms[k], 1), g->hash);
            }
            bool more = true; /* what the floor hides may go, or not */
            while (more) {
                assert_int_equal(oak_store_reclaim(t.s, 100, &more), 0);
            }
            assert_int_equal(hash_of(&t, g->rev, 100, SIZE_MAX), g->hash);
        }
        test_store_fini(&t);
    }
}

static void hashes_are_those_of_etcd(void **state)
{
    static const struct golden golden[] = {
        {-1, LAST, 1326873038}, {-1, 10, 3415295441}, {8, LAST, 3832519676},  {8, 11, 3404487628},
        {13, LAST, 2190552541}, {13, 16, 299071075},  {20, LAST, 2260869300}, {20, 23, 745699163},
    };
    (void)state;
    all_agree(golden, OAK_COUNT_OF(golden), false);
}

static void where_no_key_is_left_all_that_is_kept_counts(void **state)
{
    static const struct golden golden[] = {
        {20, GONE, 1182746838},
        {GONE, GONE, 1084519789},
    };
    (void)state;
    all_agree(golden, OAK_COUNT_OF(golden), true);
}

static void an_empty_history_has_a_hash(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        test_store_init(&t, &test_engines[engine]);
        assert_int_equal(hash_of(&t, 1, 2, 1), 1084519789);
        test_store_fini(&t);
    }
}

static void one_that_is_given_up_leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        struct oak_store_hash *h = NULL;
        uint32_t hash;
        test_store_init(&t, &test_engines[engine]);
        history(&t, false);
        assert_int_equal(oak_store_hash_begin(t.s, LAST, 2, &h), 0);
        assert_false(oak_store_hash_run(h, 1));
        assert_int_equal(oak_store_hash_end(h, &hash), OAK_EAGAIN);
        test_store_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_etcd),
        cmocka_unit_test(where_no_key_is_left_all_that_is_kept_counts),
        cmocka_unit_test(an_empty_history_has_a_hash),
        cmocka_unit_test(one_that_is_given_up_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
