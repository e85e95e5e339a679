/* SPDX-License-Identifier: Apache-2.0 */
/* damage_test.c: a snapshot that was cut, or has a byte that is not what was written, is refused;
 * and whoever does not want its SHA-256 to be looked at gets what holds together, or an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "restore/test_file.h"

static int check(const struct oak_disk *disk, enum oak_restore_digest digest)
{
    struct oak_errbuf e = {{0}};
    int error = oak_restore_check(disk, TEST_FILE, digest, NULL, &e);
    assert_true(error == 0 || strstr(e.text, TEST_FILE) != NULL);
    assert_true(error == 0 || error == OAK_ECORRUPT || error == OAK_EFORMAT);
    return error;
}

/* Without a look at its SHA-256. */
static int fill_anyway(struct test_disk *d)
{
    struct oak_errbuf e = {{0}};
    struct oak_restore_result result;
    struct oak_store *store = test_store(&d->port, "store");
    const struct oak_restore_options options = {
        .disk = &d->port,
        .path = TEST_FILE,
        .scratch = "scratch",
        .store = store,
        .index = 1,
        .term = 1,
        .sort_bytes = 160,
        .runs_merged = 2,
    };
    int error = oak_restore_fill(&options, &result, &e);
    assert_true(error == 0 || e.text[0] != '\0');
    assert_true(error == 0 || oak_store_durable(store) == 0);
    oak_store_close(store);
    return error;
}

static void flip(struct test_disk *d, uint64_t at)
{
    size_t size = 0;
    uint8_t byte = test_disk_peek(d, TEST_FILE, &size)[at] ^ 0x41;
    test_disk_poke(d, TEST_FILE, at, &byte, 1);
}

static void a_flipped_byte_is_found(void **state)
{
    (void)state;
    struct test_disk d;
    struct oak_restore_status status;
    struct oak_errbuf e;
    size_t told = 0;
    test_disk_init(&d, 1);
    uint64_t size = test_file_write(&d.port, test_pairs, TEST_PAIRS) + OAK_RESTORE_DIGEST_BYTES;
    assert_int_equal(check(&d.port, OAK_RESTORE_DIGEST_NEEDED), 0);
    assert_int_equal(oak_restore_status(&d.port, TEST_FILE, NULL, &status, &e), 0);
    assert_int_equal(status.revision, 8);
    assert_int_equal(status.total_keys, 3);
    assert_string_equal(status.version, "3.6.0");
    for (uint64_t at = 0; at < size; at += 5) {
        flip(&d, at);
        assert_int_not_equal(check(&d.port, OAK_RESTORE_DIGEST_NEEDED), 0);
        assert_int_not_equal(check(&d.port, OAK_RESTORE_DIGEST_IF_THERE), 0);
        assert_int_equal(check(&d.port, OAK_RESTORE_DIGEST_IGNORED), 0);
        if (at % 3 == 0) {
            struct test_disk other;
            test_disk_init(&other, 1);
            test_disk_copy(&other, &d);
            told += fill_anyway(&other) != 0 ? 1 : 0;
            assert_int_equal(other.open_files, 0);
            test_disk_fini(&other);
        }
        flip(&d, at);
    }
    assert_true(told > 50);
    assert_int_equal(d.open_files, 0);
    test_disk_fini(&d);
}

static void a_cut_is_found(void **state)
{
    (void)state;
    struct test_disk whole;
    test_disk_init(&whole, 1);
    uint64_t size = test_file_write(&whole.port, test_pairs, TEST_PAIRS) + OAK_RESTORE_DIGEST_BYTES;
    for (uint64_t left = 0; left < size; left += left % 512 == 31 ? 1 : 31) {
        struct test_disk d;
        test_disk_init(&d, 1);
        test_disk_copy(&d, &whole);
        test_disk_shorten(&d, TEST_FILE, (size_t)left);
        assert_int_not_equal(check(&d.port, OAK_RESTORE_DIGEST_NEEDED), 0);
        if (left + OAK_RESTORE_DIGEST_BYTES < size) {
            assert_int_not_equal(fill_anyway(&d), 0);
        }
        test_disk_fini(&d);
    }
    test_disk_fini(&whole);
}

static void a_database_without_a_digest_is_taken_when_that_is_wanted(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    uint64_t size = test_file_write(&d.port, test_pairs, TEST_PAIRS);
    test_disk_shorten(&d, TEST_FILE, (size_t)size);
    assert_int_not_equal(check(&d.port, OAK_RESTORE_DIGEST_NEEDED), 0);
    assert_int_equal(check(&d.port, OAK_RESTORE_DIGEST_IF_THERE), 0);
    assert_int_equal(check(&d.port, OAK_RESTORE_DIGEST_IGNORED), 0);
    assert_int_equal(fill_anyway(&d), 0);
    test_disk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_byte_is_found),
        cmocka_unit_test(a_cut_is_found),
        cmocka_unit_test(a_database_without_a_digest_is_taken_when_that_is_wanted),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
