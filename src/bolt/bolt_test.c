/* SPDX-License-Identifier: Apache-2.0 */
/* bolt_test.c: what is written is read back, whatever the sizes; a file is whole or it is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bolt/test_file.h"

static void expect_pairs(const struct oak_disk *disk, size_t count, size_t large)
{
    struct oak_bolt_reader *r = NULL;
    struct oak_bytes key;
    struct oak_bytes value;
    assert_int_equal(oak_bolt_open(disk, TEST_FILE, &r, NULL), 0);
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("alpha")), 0);
    assert_int_equal(oak_bolt_next(r, &key, &value), OAK_ENOENT);
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("key")), 0);
    for (size_t i = 0; i < count; i++) {
        char want[32];
        assert_int_equal(oak_bolt_next(r, &key, &value), 0);
        assert_true(oak_bytes_eq(key, test_key(i, want)));
        assert_int_equal(value.size, test_value_size(i, large));
        for (size_t at = 0; at < value.size; at++) {
            assert_int_equal(value.data[at], test_value_byte(i, at));
        }
    }
    assert_int_equal(oak_bolt_next(r, &key, &value), OAK_ENOENT);
    assert_int_equal(oak_bolt_next(r, &key, &value), OAK_ENOENT);
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("meta")), 0);
    assert_int_equal(oak_bolt_next(r, &key, &value), 0);
    assert_true(oak_bytes_eq(value, oak_bytes_str("one")));
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("beta")), OAK_ENOENT);
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("zeta")), OAK_ENOENT);
    oak_bolt_close(r);
}

static void test_pairs_of_every_count_come_back(void **state)
{
    (void)state;
    const size_t counts[] = {0, 1, 2, 10, 30, 31, 32, 33, 34, 35, 500, 5000, 60000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct test_disk d;
        test_disk_init(&d, 1);
        uint64_t bytes = 0;
        uint64_t size = 0;
        struct oak_file *f;
        assert_int_equal(test_file_write(&d.port, counts[i], i % 2 == 0 ? 0 : 50, &bytes), 0);
        assert_int_equal(d.port.open(&d, TEST_FILE, OAK_FILE_READ, &f), 0);
        assert_int_equal(d.port.size(&d, f, &size), 0);
        d.port.close(&d, f);
        assert_int_equal(bytes, size);
        assert_int_equal(size % BOLT_PAGE_BYTES, 0);
        expect_pairs(&d.port, counts[i], i % 2 == 0 ? 0 : 50);
        assert_int_equal(d.open_files, 0);
        test_disk_fini(&d);
    }
}

static void expect_behind(struct oak_bolt_reader *r, struct oak_bytes key, size_t i, size_t count)
{
    struct oak_bytes found;
    struct oak_bytes value;
    char want[32];
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("key")), 0);
    assert_int_equal(oak_bolt_skip(r, key), 0);
    for (size_t k = i; k < OAK_MIN(i + 40, count); k++) { /* over the end of a page, too */
        assert_int_equal(oak_bolt_next(r, &found, &value), 0);
        assert_true(oak_bytes_eq(found, test_key(k, want)));
    }
    assert_int_equal(oak_bolt_next(r, &found, &value), i + 40 < count ? 0 : OAK_ENOENT);
}

static void test_a_walk_begins_behind_any_key(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 34, 500, 20000};
    for (size_t i = 0; i < OAK_COUNT_OF(counts); i++) {
        struct test_disk d;
        struct oak_bolt_reader *r = NULL;
        size_t count = counts[i];
        uint64_t bytes = 0;
        test_disk_init(&d, 1);
        assert_int_equal(test_file_write(&d.port, count, 50, &bytes), 0);
        assert_int_equal(oak_bolt_open(&d.port, TEST_FILE, &r, NULL), 0);
        expect_behind(r, oak_bytes_str("a"), 0, count);
        expect_behind(r, oak_bytes_str("z"), count, count);
        for (size_t k = 0; k < count; k += 1 + count / 700) {
            char key[33];
            struct oak_bytes at = test_key(k, key);
            expect_behind(r, at, k + 1, count);
            key[at.size] = '!'; /* a key that is not there, just behind it */
            expect_behind(r, oak_bytes((const uint8_t *)key, at.size + 1), k + 1, count);
        }
        oak_bolt_close(r);
        test_disk_fini(&d);
    }
}

/* Branches of keys longer than a page. */
static void test_keys_longer_than_a_page_come_back(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_bolt_writer *w = NULL;
    struct oak_bolt_reader *r = NULL;
    uint64_t bytes = 0;
    static uint8_t key[6000];
    struct oak_bytes found;
    struct oak_bytes value;
    assert_int_equal(oak_bolt_create(&d.port, TEST_FILE, &w), 0);
    assert_int_equal(oak_bolt_bucket(w, oak_bytes_str("key")), 0);
    for (size_t i = 0; i < 100; i++) {
        oak_put_be32(key, (uint32_t)i);
        assert_int_equal(oak_bolt_put(w, oak_bytes(key, 5900 + i), oak_bytes_str("v")), 0);
    }
    assert_int_equal(oak_bolt_finish(w, &bytes), 0);
    assert_int_equal(oak_bolt_open(&d.port, TEST_FILE, &r, NULL), 0);
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str("key")), 0);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(oak_bolt_next(r, &found, &value), 0);
        assert_int_equal(found.size, 5900 + i);
        assert_int_equal(oak_get_be32(found.data), i);
    }
    assert_int_equal(oak_bolt_next(r, &found, &value), OAK_ENOENT);
    oak_bolt_close(r);
    test_disk_fini(&d);
}

static void test_a_writer_refuses_what_is_out_of_order(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_bolt_writer *w = NULL;
    const struct oak_bytes one = oak_bytes_str("1");
    uint8_t large[OAK_BOLT_NAME_BYTES_MAX + 1] = {'x'};
    uint64_t bytes = 0;
    assert_int_equal(oak_bolt_create(&d.port, TEST_FILE, &w), 0);
    assert_int_equal(oak_bolt_put(w, one, one), OAK_EINVAL);
    assert_int_equal(oak_bolt_bucket(w, oak_bytes(NULL, 0)), OAK_EINVAL);
    assert_int_equal(oak_bolt_bucket(w, oak_bytes(large, sizeof(large))), OAK_EINVAL);
    assert_int_equal(oak_bolt_bucket(w, oak_bytes_str("b")), 0);
    assert_int_equal(oak_bolt_bucket(w, oak_bytes_str("b")), OAK_EINVAL);
    assert_int_equal(oak_bolt_bucket(w, oak_bytes_str("a")), OAK_EINVAL);
    assert_int_equal(oak_bolt_put(w, one, one), 0);
    assert_int_equal(oak_bolt_put(w, one, one), OAK_EINVAL);
    assert_int_equal(oak_bolt_put(w, oak_bytes_str("0"), one), OAK_EINVAL);
    assert_int_equal(oak_bolt_put(w, oak_bytes(NULL, 0), one), OAK_EINVAL);
    const struct oak_bytes huge = oak_bytes(large, OAK_BOLT_VALUE_BYTES_MAX + 1);
    assert_int_equal(oak_bolt_put(w, oak_bytes_str("2"), huge), OAK_ELIMIT);
    /* None of that did any harm. */
    assert_int_equal(oak_bolt_put(w, oak_bytes_str("2"), one), 0);
    for (size_t i = 1; i < OAK_BOLT_BUCKETS_MAX; i++) {
        uint8_t name = (uint8_t)('b' + i);
        assert_int_equal(oak_bolt_bucket(w, oak_bytes(&name, 1)), 0);
    }
    assert_int_equal(oak_bolt_bucket(w, oak_bytes_str("\xff")), OAK_ELIMIT);
    assert_int_equal(oak_bolt_finish(w, &bytes), 0);
    assert_int_equal(oak_bolt_create(&d.port, TEST_FILE, &w), OAK_EEXIST);
    test_disk_fini(&d);
}

/* Each call to the disk fails in its turn: no file, and nothing is left open. */
static void test_a_disk_that_fails_leaves_no_file(void **state)
{
    (void)state;
    int error = OAK_EIO;
    uint64_t calls = 0;
    for (; error != 0; calls++) {
        struct test_disk d;
        struct oak_bolt_reader *r = NULL;
        uint64_t bytes = 0;
        test_disk_init(&d, 1);
        d.fail_at = calls;
        d.fail_error = calls % 2 == 0 ? OAK_EIO : OAK_ENOSPC;
        error = test_file_write(&d.port, 5000, 10, &bytes);
        if (error != 0) {
            assert_int_equal(error, d.fail_error);
            d.fail_at = TEST_DISK_NEVER;
            assert_int_equal(oak_bolt_open(&d.port, TEST_FILE, &r, NULL), OAK_ENOENT);
        }
        assert_int_equal(d.open_files, 0);
        test_disk_fini(&d);
    }
    assert_true(calls > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_of_every_count_come_back),
        cmocka_unit_test(test_a_walk_begins_behind_any_key),
        cmocka_unit_test(test_keys_longer_than_a_page_come_back),
        cmocka_unit_test(test_a_writer_refuses_what_is_out_of_order),
        cmocka_unit_test(test_a_disk_that_fails_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
