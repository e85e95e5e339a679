/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c: snapshots and restores: between the engines, beside other work, damaged, and
 * failing. */
#include <pthread.h>

#include "store/internal.h"
#include "store/test_help.h"

#define EACH_ENGINE(t)   \
    struct test_store t; \
    for (size_t engine = 0; engine < TEST_ENGINES; engine++)

/* A little of everything that a stream can hold. */
static void fill_small(struct test_store *t)
{
    test_put(t, 2, "a", "1", 2, 1);
    test_put(t, 3, "b", "", 3, 1);
    test_put(t, 4, "a", "22", 2, 2);
    test_del(t, 5, "b");
    assert_int_equal(oak_store_meta_put(t->s, oak_bytes_str("m1"), oak_bytes_str("x")), 0);
    assert_int_equal(oak_store_meta_put(t->s, oak_bytes_str("m2"), oak_bytes_str("yy")), 0);
    test_commit(t, 9, 5, -1);
}

static void what_is_not_committed_is_not_in_a_snapshot(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill_small(&t);
        struct oak_buf before = test_snapshot(&t, 100);
        test_put(&t, 6, "a", "333", 2, 3);
        test_put(&t, 7, "new", "", 7, 1);
        assert_int_equal(oak_store_meta_put(t.s, oak_bytes_str("m1"), oak_bytes_str("z")), 0);
        assert_int_equal(oak_store_meta_put(t.s, oak_bytes_str("m2"), oak_bytes(NULL, 0)), 0);
        struct oak_buf after = test_snapshot(&t, 7);
        assert_true(oak_bytes_eq(oak_buf_bytes(&before), oak_buf_bytes(&after)));
        oak_buf_fini(&before);
        oak_buf_fini(&after);
        test_store_fini(&t);
    }
}

/* As an owner does that starts a snapshot or a flush in the middle of a batch. */
static void an_open_batch_behind_commits_is_left_out(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill_small(&t);
        test_put(&t, 6, "open", "batch", 6, 1);
        assert_int_equal(oak_store_meta_put(t.s, oak_bytes_str("m3"), oak_bytes_str("z")), 0);
        struct oak_buf stream = test_snapshot(&t, 100);
        /* The trailer: metas u64, versions u64, CRC u32. */
        assert_int_equal(oak_get_u64(stream.data + stream.size - 20), 2);
        assert_int_equal(oak_get_u64(stream.data + stream.size - 12), 4);
        oak_buf_fini(&stream);
        test_store_flush(&t);
        test_store_reopen(&t);
        assert_int_equal(oak_store_state(t.s)->applied, 9);
        assert_null(test_get(&t, "open", 0));
        assert_string_equal(test_get(&t, "a", 0), "22");
        stream = test_snapshot(&t, 100);
        assert_int_equal(oak_get_u64(stream.data + stream.size - 20), 2);
        oak_buf_fini(&stream);
        test_store_fini(&t);
    }
}

static void a_snapshot_stays_as_it_was_while_the_store_moves_on(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill_small(&t);
        struct oak_buf before = test_snapshot(&t, 100);
        struct oak_store_snapshot *snap;
        assert_int_equal(oak_store_snapshot_open(t.s, &snap), 0);
        assert_int_equal(oak_store_snapshot_state(snap)->applied, 9);
        test_put(&t, 6, "a", "333", 2, 3);
        test_del(&t, 7, "a");
        test_commit(&t, 10, 7, 7);
        test_reclaim_all(&t, 10);
        /* Not even a restore disturbs it. */
        assert_int_equal(test_restore(&t, oak_buf_bytes(&before), 50), 0);
        assert_int_equal(oak_store_snapshot_state(snap)->applied, 9);
        struct oak_buf after = {0};
        size_t got = 1;
        while (got > 0) {
            uint8_t chunk[13];
            assert_int_equal(oak_store_snapshot_read(snap, chunk, sizeof(chunk), &got), 0);
            assert_int_equal(oak_buf_append(&after, chunk, got), 0);
        }
        oak_store_snapshot_close(snap);
        assert_true(oak_bytes_eq(oak_buf_bytes(&before), oak_buf_bytes(&after)));
        oak_buf_fini(&before);
        oak_buf_fini(&after);
        test_store_reopen(&t);
        assert_string_equal(test_get(&t, "a", 0), "22");
        test_store_fini(&t);
    }
}

static void each_engine_takes_back_the_others_stream(void **state)
{
    (void)state;
    struct test_store from;
    struct test_store to;
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        for (size_t k = 0; k < TEST_ENGINES; k++) {
            test_store_init(&from, &test_engines[i]);
            test_store_init(&to, &test_engines[k]);
            fill_small(&from);
            test_put(&to, 2, "old", "gone", 2, 1);
            test_commit(&to, 3, 2, -1);
            struct oak_buf stream = test_snapshot(&from, 100);
            assert_int_equal(test_restore(&to, oak_buf_bytes(&stream), 1), 0);
            assert_int_equal(oak_store_state(to.s)->applied, 9);
            assert_int_equal(oak_store_state(to.s)->applied_term, 3);
            assert_int_equal(oak_store_durable(to.s), 9);
            for (int pass = 0; pass < 2; pass++) {
                assert_null(test_get(&to, "old", 0));
                assert_string_equal(test_get(&to, "a", 0), "22");
                assert_string_equal(test_get(&to, "a", 3), "1");
                assert_string_equal(test_get(&to, "b", 4), "");
                assert_null(test_get(&to, "b", 0));
                test_store_reopen(&to);
            }
            test_put(&to, 6, "a", "333", 2, 3);
            test_commit(&to, 10, 6, 6);
            test_reclaim_all(&to, 3);
            assert_string_equal(test_get(&to, "a", 0), "333");
            oak_buf_fini(&stream);
            test_store_fini(&from);
            test_store_fini(&to);
        }
    }
}

/* -- damage ------------------------------------------------------------------------------------ */

static void check_unchanged(struct test_store *t)
{
    assert_int_equal(oak_store_state(t->s)->applied, 3);
    assert_string_equal(test_get(t, "mine", 0), "stays");
    assert_null(test_get(t, "a", 0));
}

static void a_stream_with_any_byte_changed_or_missing_changes_nothing(void **state)
{
    (void)state;
    struct test_store from;
    test_store_init(&from, &test_engines[0]);
    fill_small(&from);
    struct oak_buf stream = test_snapshot(&from, 100);
    test_store_fini(&from);
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "mine", "stays", 2, 1);
        test_commit(&t, 3, 2, -1);
        /* The reader is the same: one engine is asked about every byte, the other about some. */
        for (size_t at = 0; at < stream.size; at += engine == 0 ? 1 : 29) {
            uint8_t flip = (uint8_t)(1U << (at % 8));
            stream.data[at] ^= flip;
            assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 64), OAK_ECORRUPT);
            stream.data[at] ^= flip;
            check_unchanged(&t);
            assert_int_equal(test_restore(&t, oak_bytes(stream.data, at), 50), OAK_ECORRUPT);
            check_unchanged(&t);
        }
        assert_int_equal(oak_buf_append(&stream, "x", 1), 0);
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 1000), OAK_ECORRUPT);
        stream.size--;
        test_put(&t, 3, "mine", "still", 2, 2);
        test_commit(&t, 4, 3, -1);
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 1000), 0);
        assert_string_equal(test_get(&t, "a", 0), "22");
        test_store_fini(&t);
    }
    oak_buf_fini(&stream);
}

/* Streams whose checksums are right and whose contents no store would make. */
static void restore_made(struct test_store *t, int kind)
{
    struct store_stream_out o = {0};
    struct oak_buf b = {0};
    struct oak_store_state st = {.applied = 9, .revision = kind == 1 ? 0 : 9, .compacted = -1};
    struct store_item x = {.rev = {.main = 5},
                           .kv = {.key = oak_bytes_str("k"),
                                  .create_rev = kind == 2 ? 6 : 5,
                                  .mod_rev = 5,
                                  .version = kind == 3 ? 0 : 1}};
    struct store_item y = x;
    st.compacted = kind == 4 ? 10 : -1;
    if (kind == 5) {
        x.rev.main = x.kv.mod_rev = y.rev.main = y.kv.mod_rev = 10;
    }
    y.kv.key = oak_bytes_str(kind == 6 ? "j" : kind == 7 ? "k" : "l");
    y.rev.sub = kind == 8 ? 0 : 1;
    x.kv.key.size = kind == 9 ? 0 : 1;
    assert_int_equal(store__stream_state(&o, &st, &b), 0);
    if (kind == 10) {
        assert_int_equal(store__stream_meta(&o, oak_bytes_str("b"), oak_bytes_str("1"), &b), 0);
        assert_int_equal(store__stream_meta(&o, oak_bytes_str("a"), oak_bytes_str("1"), &b), 0);
    }
    if (kind == 11) {
        assert_int_equal(store__stream_meta(&o, oak_bytes_str("b"), oak_bytes(NULL, 0), &b), 0);
    }
    assert_int_equal(store__stream_version(&o, &x, &b), 0);
    assert_int_equal(store__stream_version(&o, &y, &b), 0);
    o.versions += kind == 12;
    assert_int_equal(store__stream_end(&o, &b), 0);
    assert_int_equal(test_restore(t, oak_buf_bytes(&b), 1000), kind == 0 ? 0 : OAK_ECORRUPT);
    oak_buf_fini(&b);
    if (kind != 0) {
        check_unchanged(t);
    }
}

static void a_stream_that_contradicts_itself_changes_nothing(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "mine", "stays", 2, 1);
        test_commit(&t, 3, 2, -1);
        for (int kind = 12; kind >= 0; kind--) {
            restore_made(&t, kind);
        }
        assert_string_equal(test_get(&t, "k", 0), "");
        test_store_fini(&t);
    }
}

/* Around the length from which a stream writes it otherwise, and the longest user key. */
static void a_long_name_survives_a_flush_and_a_snapshot(void **state)
{
    (void)state;
    static const size_t sizes[] = {UINT16_MAX, UINT16_MAX + 1, OAK_REQUEST_BYTES_MAX};
    static uint8_t name[OAK_REQUEST_BYTES_MAX];
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill_small(&t);
        for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
            assert_int_equal(
                oak_store_meta_put(t.s, oak_bytes(name, sizes[i]), oak_bytes_str("long")), 0);
        }
        test_commit(&t, 10, 5, -1);
        test_store_flush(&t);
        test_store_reopen(&t);
        struct oak_buf stream = test_snapshot(&t, 1000);
        for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
            assert_int_equal(oak_store_meta_put(t.s, oak_bytes(name, sizes[i]), oak_bytes(NULL, 0)),
                             0);
        }
        test_commit(&t, 11, 5, -1);
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 1000), 0);
        for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
            struct oak_bytes data;
            assert_int_equal(oak_store_meta_get(t.s, oak_bytes(name, sizes[i]), &data), 0);
            assert_true(oak_bytes_eq(data, oak_bytes_str("long")));
        }
        struct oak_buf again = test_snapshot(&t, 1000);
        assert_true(oak_bytes_eq(oak_buf_bytes(&stream), oak_buf_bytes(&again)));
        oak_buf_fini(&again);
        oak_buf_fini(&stream);
        test_store_fini(&t);
    }
}

static void an_aborted_restore_changes_nothing(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill_small(&t);
        struct oak_buf stream = test_snapshot(&t, 100);
        struct oak_store_restore *r;
        assert_int_equal(oak_store_restore_begin(t.s, &r), 0);
        assert_int_equal(oak_store_restore_write(r, oak_buf_bytes(&stream)), 0);
        oak_store_restore_drop(r);
        oak_store_restore_end(r);
        test_put(&t, 6, "c", "6", 6, 1);
        test_commit(&t, 10, 6, -1);
        test_store_flush(&t);
        test_store_reopen(&t);
        assert_string_equal(test_get(&t, "c", 0), "6");
        oak_buf_fini(&stream);
        test_store_fini(&t);
    }
}

static void a_restore_that_fails_on_disk_leaves_one_of_both_contents(void **state)
{
    (void)state;
    struct test_store from;
    test_store_init(&from, &test_engines[0]);
    fill_small(&from);
    struct oak_buf stream = test_snapshot(&from, 100);
    test_store_fini(&from);
    EACH_ENGINE(t)
    {
        bool failed = true;
        for (long call = 0; failed; call++) {
            test_store_init(&t, &test_engines[engine]);
            test_put(&t, 2, "mine", "stays", 2, 1);
            test_commit(&t, 3, 2, -1);
            test_store_flush(&t);
            t.disk.countdown = call;
            t.disk.error = OAK_EIO;
            struct oak_store_restore *r;
            int error = oak_store_restore_begin(t.s, &r);
            if (error == 0) {
                error = oak_store_restore_write(r, oak_buf_bytes(&stream));
                int finished = oak_store_restore_finish(r);
                assert_true(error == 0 || finished == error); /* sticky */
                error = finished;
            }
            failed = t.disk.error == 0;
            assert_int_equal(error, failed ? OAK_EIO : 0);
            t.disk.error = 0;
            test_store_reopen(&t);
            bool old = oak_store_state(t.s)->applied == 3;
            assert_true(old || oak_store_state(t.s)->applied == 9);
            assert_true((test_get(&t, "mine", 0) != NULL) == old);
            assert_true((test_get(&t, "a", 0) != NULL) == !old);
            test_store_fini(&t);
        }
    }
    oak_buf_fini(&stream);
}

/* -- beside the owner -------------------------------------------------------------------------- */

struct beside {
    struct oak_store_flush *flush;
    struct oak_store_snapshot *snap;
    struct oak_buf stream;
};

static void *work_beside(void *arg)
{
    struct beside *w = arg;
    uint8_t chunk[97];
    size_t got = 1;
    while (got > 0 && oak_store_snapshot_read(w->snap, chunk, sizeof(chunk), &got) == 0) {
        if (oak_buf_append(&w->stream, chunk, got) != 0) {
            break;
        }
    }
    oak_store_flush_run(w->flush);
    return NULL;
}

static void workers_flush_and_read_while_the_owner_writes(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill_small(&t);
        int64_t main = 5;
        for (int round = 0; round < 5; round++) {
            struct oak_buf expected = test_snapshot(&t, 1000);
            struct beside w = {0};
            uint64_t applied = oak_store_state(t.s)->applied;
            assert_int_equal(oak_store_snapshot_open(t.s, &w.snap), 0);
            assert_int_equal(oak_store_flush_begin(t.s, &w.flush), 0);
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, work_beside, &w), 0);
            for (int i = 0; i < 300; i++) {
                char key[16];
                main++;
                snprintf(key, sizeof(key), "%d", i);
                test_put(&t, main, key, "value", main, 1);
                test_commit(&t, applied + (uint64_t)i + 1, main, OAK_MAX(main - 100, (int64_t)-1));
                bool more;
                assert_int_equal(oak_store_reclaim(t.s, 3, &more), 0);
            }
            assert_int_equal(pthread_join(thread, NULL), 0);
            uint64_t durable;
            assert_int_equal(oak_store_flush_end(w.flush, &durable), 0);
            assert_in_range(durable, applied, applied + 300);
            oak_store_snapshot_close(w.snap);
            assert_true(oak_bytes_eq(oak_buf_bytes(&w.stream), oak_buf_bytes(&expected)));
            oak_buf_fini(&w.stream);
            oak_buf_fini(&expected);
        }
        test_store_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_committed_is_not_in_a_snapshot),
        cmocka_unit_test(an_open_batch_behind_commits_is_left_out),
        cmocka_unit_test(a_snapshot_stays_as_it_was_while_the_store_moves_on),
        cmocka_unit_test(each_engine_takes_back_the_others_stream),
        cmocka_unit_test(a_stream_with_any_byte_changed_or_missing_changes_nothing),
        cmocka_unit_test(a_stream_that_contradicts_itself_changes_nothing),
        cmocka_unit_test(a_long_name_survives_a_flush_and_a_snapshot),
        cmocka_unit_test(an_aborted_restore_changes_nothing),
        cmocka_unit_test(a_restore_that_fails_on_disk_leaves_one_of_both_contents),
        cmocka_unit_test(workers_flush_and_read_while_the_owner_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
