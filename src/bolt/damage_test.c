/* SPDX-License-Identifier: Apache-2.0 */
/* damage_test.c: a file that was cut, or has a byte that is not what was written, is read as far
 * as it holds, is told what is wrong with, and never leads the reader astray. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bolt/test_file.h"

/* Read everything; 0 or the first error. */
static int read_all(const struct oak_disk *disk, size_t *pairs)
{
    static const char *const buckets[] = {"alpha", "key", "meta"};
    struct oak_bolt_reader *r = NULL;
    struct oak_errbuf e = {{0}};
    *pairs = 0;
    int error = oak_bolt_open(disk, TEST_FILE, &r, &e);
    if (error != 0) {
        assert_non_null(strstr(e.text, TEST_FILE));
        return error;
    }
    for (size_t i = 0; error == 0 && i < 3; i++) {
        struct oak_bytes key;
        struct oak_bytes value;
        error = oak_bolt_seek(r, oak_bytes_str(buckets[i]));
        while (error == 0 && (error = oak_bolt_next(r, &key, &value)) == 0) {
            *pairs += 1;
        }
        error = error == OAK_ENOENT ? 0 : error;
    }
    assert_true(error != OAK_ECORRUPT || oak_bolt_why(r)[0] != '\0');
    oak_bolt_close(r);
    return error;
}

static struct oak_file *file_open(struct test_disk *d)
{
    struct oak_file *f;
    assert_int_equal(d->port.open(d, TEST_FILE, OAK_FILE_WRITE, &f), 0);
    return f;
}

static void byte_flip(struct test_disk *d, uint64_t offset)
{
    uint8_t byte;
    size_t got;
    struct oak_file *f = file_open(d);
    assert_int_equal(d->port.read(d, f, offset, &byte, 1, &got), 0);
    byte ^= 0x41;
    assert_int_equal(d->port.write(d, f, offset, &byte, 1), 0);
    d->port.close(d, f);
}

static void test_a_flipped_byte_of_structure_is_survived(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    uint64_t bytes = 0;
    size_t pairs = 0;
    size_t told = 0;
    assert_int_equal(test_file_write(&d.port, 120, 40, &bytes), 0);
    for (uint64_t offset = 0; offset < bytes; offset++) {
        byte_flip(&d, offset);
        int error = read_all(&d.port, &pairs);
        assert_true(error == 0 || error == OAK_ECORRUPT);
        assert_true(pairs <= 121 * 3);
        told += error != 0 ? 1 : 0;
        byte_flip(&d, offset);
    }
    assert_true(told > 300);
    assert_int_equal(read_all(&d.port, &pairs), 0);
    assert_int_equal(pairs, 121);
    test_disk_fini(&d);
}

static void test_one_damaged_meta_page_is_no_loss(void **state)
{
    (void)state;
    for (uint64_t page = 0; page < BOLT_META_PAGES; page++) {
        struct test_disk d;
        test_disk_init(&d, 1);
        uint64_t bytes = 0;
        size_t pairs = 0;
        assert_int_equal(test_file_write(&d.port, 100, 0, &bytes), 0);
        byte_flip(&d, page * BOLT_PAGE_BYTES + BOLT_PAGE_HEAD + 20);
        assert_int_equal(read_all(&d.port, &pairs), 0);
        assert_int_equal(pairs, 101);
        byte_flip(&d, (1 - page) * BOLT_PAGE_BYTES + BOLT_PAGE_HEAD + 20);
        assert_int_equal(read_all(&d.port, &pairs), OAK_ECORRUPT);
        test_disk_fini(&d);
    }
}

static void test_a_file_cut_anywhere_is_told_from_a_whole_one(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    uint64_t bytes = 0;
    size_t pairs = 0;
    assert_int_equal(test_file_write(&d.port, 200, 30, &bytes), 0);
    struct oak_file *f = file_open(&d);
    /* From the end, so that one file does. */
    for (uint64_t size = bytes - 1; size > BOLT_META_PAGE_BYTES; size -= OAK_MIN(size, 97u)) {
        assert_int_equal(d.port.truncate(&d, f, size), 0);
        assert_int_equal(read_all(&d.port, &pairs), OAK_ECORRUPT);
    }
    assert_int_equal(d.port.truncate(&d, f, BOLT_META_PAGE_BYTES - 1), 0);
    assert_int_equal(read_all(&d.port, &pairs), OAK_EFORMAT);
    d.port.close(&d, f);
    test_disk_fini(&d);
}

/* A branch that is its own child, and one whose children are one page many times over. */
static void test_a_tree_in_a_circle_comes_to_an_end(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    uint8_t file[4 * BOLT_PAGE_BYTES] = {0};
    const struct bolt__page_head branch = {.id = 3, .kind = BOLT_KIND_BRANCH, .count = 200};
    const struct bolt__meta meta = {.page_bytes = BOLT_PAGE_BYTES, .root = 3, .pages = 4};
    size_t pairs = 0;
    bolt__meta_put(file, 0, &meta);
    bolt__page_head_put(file + 3 * BOLT_PAGE_BYTES, &branch);
    for (size_t i = 0; i < branch.count; i++) {
        oak_put_u64(file + 3 * BOLT_PAGE_BYTES + BOLT_PAGE_HEAD + i * BOLT_ELEMENT_BYTES + 8, 3);
    }
    struct oak_file *f;
    assert_int_equal(d.port.open(&d, TEST_FILE, OAK_FILE_CREATE, &f), 0);
    assert_int_equal(d.port.write(&d, f, 0, file, sizeof(file)), 0);
    assert_int_equal(read_all(&d.port, &pairs), OAK_ECORRUPT);
    assert_int_equal(pairs, 0);
    d.port.close(&d, f);
    test_disk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flipped_byte_of_structure_is_survived),
        cmocka_unit_test(test_one_damaged_meta_page_is_no_loss),
        cmocka_unit_test(test_a_file_cut_anywhere_is_told_from_a_whole_one),
        cmocka_unit_test(test_a_tree_in_a_circle_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
