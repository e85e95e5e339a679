/* SPDX-License-Identifier: Apache-2.0 */
/* fill_test.c: a store that was filled version by version is the one that the same writes have
 * made; what is not in order, or no version, is refused, and leaves the store as it was. */
#include "store/test_help.h"

struct row {
    int64_t main;
    int64_t sub;
    const char *key;
    const char *value; /* NULL: deleted */
    int64_t created;
    int64_t version;
};

/* By key, the newest first. At the floor, 5, "a" has a version and "b" ends; "c" has two before. */
static const struct row rows[] = {
    {7, 0, "a", "three", 2, 3}, {5, 0, "a", "two", 2, 2},  {2, 0, "a", "one", 2, 1},
    {5, 1, "b", NULL, 0, 0},    {3, 0, "b", "gone", 3, 1}, {6, 0, "c", NULL, 0, 0},
    {4, 1, "c", "held", 4, 2},  {4, 0, "c", "old", 4, 1},
};

static int put(struct oak_store_fill *f, const struct row *r)
{
    const struct oak_store_kv kv = {.key = oak_bytes_str(r->key),
                                    .value = oak_bytes_str(r->value != NULL ? r->value : ""),
                                    .create_rev = r->created,
                                    .mod_rev = r->main,
                                    .version = r->version};
    const struct oak_store_rev rev = {.main = r->main, .sub = r->sub};
    return oak_store_fill_put(f, rev, r->value == NULL, &kv);
}

static const struct oak_store_state filled = {
    .applied = 9, .applied_term = 1, .revision = 7, .compacted = 5};

static struct oak_buf told(struct oak_store *s)
{
    struct oak_store_snapshot *snap = NULL;
    struct oak_buf out = {0};
    uint8_t piece[512];
    size_t got = 1;
    assert_int_equal(oak_store_snapshot_open(s, &snap), 0);
    while (got > 0) {
        assert_int_equal(oak_store_snapshot_read(snap, piece, sizeof(piece), &got), 0);
        assert_int_equal(oak_buf_append(&out, piece, got), 0);
    }
    oak_store_snapshot_close(snap);
    return out;
}

static void expect_same(struct oak_store *a, struct oak_store *b)
{
    struct oak_buf x = told(a);
    struct oak_buf y = told(b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    oak_buf_fini(&x);
    oak_buf_fini(&y);
}

/* The same by writes, and a compaction. */
static void write_all(struct test_store *t)
{
    for (int64_t main = 2; main <= 7; main++) {
        for (int64_t sub = 0; sub < 2; sub++) {
            for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
                const struct row *r = &rows[i];
                const struct oak_store_rev rev = {.main = main, .sub = sub};
                const struct oak_store_kv kv = {.key = oak_bytes_str(r->key),
                                                .value = oak_bytes_str(r->value ? r->value : ""),
                                                .create_rev = r->created,
                                                .mod_rev = main,
                                                .version = r->version};
                if (r->main == main && r->sub == sub) {
                    assert_int_equal(r->value != NULL ? oak_store_put(t->s, rev, &kv)
                                                      : oak_store_del(t->s, rev, kv.key),
                                     0);
                }
            }
        }
    }
    assert_int_equal(oak_store_commit(t->s, &filled), 0);
}

static void what_is_filled_is_what_was_written(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store a;
        struct test_store b;
        struct oak_store_fill *f = NULL;
        uint64_t keys[2];
        test_store_init(&a, &test_engines[engine]);
        test_store_init(&b, &test_engines[engine]);
        write_all(&a);
        assert_int_equal(oak_store_fill_begin(b.s, &filled, &f), 0);
        for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
            assert_int_equal(put(f, &rows[i]), 0);
        }
        assert_int_equal(oak_store_fill_end(f), 0);
        expect_same(a.s, b.s);
        struct oak_store_stats stats;
        oak_store_stats(a.s, &stats);
        keys[0] = stats.keys;
        oak_store_stats(b.s, &stats);
        keys[1] = stats.keys;
        assert_int_equal(keys[0], 1);
        assert_int_equal(keys[1], 1);
        /* It is durable, and can be written to. */
        test_store_reopen(&b);
        expect_same(a.s, b.s);
        test_put(&b, 8, "c", "again", 8, 1);
        test_commit(&b, 10, 8, 5);
        test_store_fini(&a);
        test_store_fini(&b);
    }
}

static void what_does_not_follow_is_refused(void **state)
{
    (void)state;
    static const struct row wrong[] = {
        {2, 0, "a", "x", 2, 1}, /* of a key before */
        {6, 0, "b", "x", 6, 1}, /* newer than the one before */
        {5, 0, "b", "x", 5, 1}, /* the same again */
        {8, 0, "c", "x", 2, 1}, /* of the future */
        {4, 0, "c", "x", 5, 1}, /* created later */
        {4, 0, "c", "x", 4, 0}, {4, -1, "c", "x", 4, 1},
        {0, 0, "c", "x", 0, 1}, {4, 0, "", "x", 4, 1},
    };
    static const struct row before = {5, 0, "b", "v", 5, 1};
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "mine", "v", 2, 1);
        test_commit(&t, 3, 2, -1);
        struct oak_buf kept = told(t.s);
        for (size_t i = 0; i < OAK_COUNT_OF(wrong); i++) {
            struct oak_store_fill *f = NULL;
            assert_int_equal(oak_store_fill_begin(t.s, &filled, &f), 0);
            assert_int_equal(put(f, &before), 0);
            assert_int_equal(put(f, &wrong[i]), OAK_EINVAL);
            oak_store_fill_abort(f);
        }
        struct oak_buf now = told(t.s);
        assert_int_equal(now.size, kept.size);
        assert_memory_equal(now.data, kept.data, kept.size);
        oak_buf_fini(&now);
        oak_buf_fini(&kept);
        test_store_fini(&t);
    }
    oak_store_fill_abort(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_filled_is_what_was_written),
        cmocka_unit_test(what_does_not_follow_is_refused),
    };
    return cmocka_run_group_tests_name("fill", tests, NULL, NULL);
}
