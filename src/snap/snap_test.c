/* SPDX-License-Identifier: Apache-2.0 */
/* snap_test.c: a snapshot file is whole or it has no name; a flipped byte is never handed out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "snap/snap.h"
#include "wal/test_disk.h"

#define DIR "snaps"

static struct oak_snap_meta meta_of(uint64_t group, uint64_t index, uint64_t term)
{
    return (struct oak_snap_meta){
        .group = group, .index = index, .term = term, .config = oak_bytes_str("three voters")};
}

static uint8_t content_at(uint64_t index, size_t chunk, size_t i)
{
    return (uint8_t)(index * 31 + chunk * 7 + i);
}

static size_t chunk_size(size_t chunk)
{
    return 1 + chunk * 300;
}

/* Write a snapshot of `chunks` chunks; aborts on the first error. */
static int snapshot_write(struct test_disk *d, const struct oak_snap_meta *meta, size_t chunks)
{
    struct oak_snap_writer *w = NULL;
    uint8_t chunk[4000];
    int error = oak_snap_begin(&d->port, DIR, meta, &w);
    if (error != 0) {
        assert_null(w);
        return error;
    }
    for (size_t c = 0; c < chunks; c++) {
        for (size_t i = 0; i < chunk_size(c); i++) {
            chunk[i] = content_at(meta->index, c, i);
        }
        error = oak_snap_write(w, oak_bytes(chunk, chunk_size(c)));
        if (error != 0) {
            oak_snap_abort(w);
            return error;
        }
    }
    return oak_snap_finish(w);
}

/* Read the newest whole; 0, or the first error. `*index` is set when it could be opened. */
static int snapshot_read(struct test_disk *d, uint64_t group, size_t chunks, uint64_t *index,
                         struct oak_errbuf *e)
{
    struct oak_snap_reader *r = NULL;
    *index = 0;
    int error = oak_snap_newest(&d->port, DIR, group, &r, e);
    if (error != 0) {
        assert_null(r);
        return error;
    }
    *index = oak_snap_meta(r)->index;
    assert_true(oak_bytes_eq(oak_snap_meta(r)->config, oak_bytes_str("three voters")));
    for (size_t c = 0; error == 0; c++) {
        struct oak_bytes chunk;
        error = oak_snap_read(r, &chunk);
        if (error != 0 || chunk.size == 0) {
            assert_true(error != 0 || c == chunks);
            break;
        }
        assert_true(c < chunks);
        assert_int_equal(chunk.size, chunk_size(c));
        for (size_t i = 0; i < chunk.size; i++) {
            assert_int_equal(chunk.data[i], content_at(*index, c, i));
        }
    }
    oak_snap_close(r);
    return error;
}

static void a_snapshot_comes_back_as_written(void **state)
{
    (void)state;
    for (size_t chunks = 0; chunks < 6; chunks++) {
        struct test_disk d;
        test_disk_init(&d, 1);
        struct oak_snap_meta meta = meta_of(3, 40, 2);
        uint64_t index;
        assert_int_equal(snapshot_read(&d, 3, 0, &index, NULL), OAK_ENOENT);
        assert_int_equal(snapshot_write(&d, &meta, chunks), 0);
        test_disk_cut(&d, TEST_DISK_KEEP_NONE);
        assert_int_equal(snapshot_read(&d, 3, chunks, &index, NULL), 0);
        assert_int_equal(index, 40);
        assert_int_equal(snapshot_read(&d, 4, 0, &index, NULL), OAK_ENOENT);
        test_disk_fini(&d);
    }
}

static void the_newest_of_the_group_is_taken_and_older_ones_are_purged(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    const struct oak_snap_meta metas[] = {meta_of(1, 90, 2), meta_of(1, 100, 3), meta_of(1, 100, 2),
                                          meta_of(2, 500, 9)};
    for (size_t i = 0; i < OAK_COUNT_OF(metas); i++) {
        assert_int_equal(snapshot_write(&d, &metas[i], 2), 0);
    }
    struct oak_snap_reader *r;
    assert_int_equal(oak_snap_newest(&d.port, DIR, 1, &r, NULL), 0);
    assert_int_equal(oak_snap_meta(r)->index, 100);
    assert_int_equal(oak_snap_meta(r)->term, 3);
    oak_snap_close(r);
    assert_int_equal(d.name_count, 4);
    assert_int_equal(oak_snap_purge(&d.port, DIR, 1, 100), 0);
    assert_int_equal(d.name_count, 3);
    assert_int_equal(oak_snap_purge(&d.port, DIR, 1, 101), 0);
    assert_int_equal(d.name_count, 1);
    uint64_t index;
    assert_int_equal(snapshot_read(&d, 2, 2, &index, NULL), 0);
    test_disk_fini(&d);
}

static void a_group_has_one_part_file_and_it_is_no_snapshot(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_snap_meta meta = meta_of(1, 5, 1);
    struct oak_snap_meta newer = meta_of(1, 9, 1);
    struct oak_snap_meta other = meta_of(2, 5, 1);
    struct oak_snap_writer *w;
    struct oak_snap_writer *kept;
    assert_int_equal(oak_snap_begin(&d.port, DIR, &meta, &w), 0);
    oak_snap_abort(w);
    assert_int_equal(d.name_count, 0);
    assert_int_equal(oak_snap_begin(&d.port, DIR, &other, &kept), 0);
    assert_int_equal(oak_snap_begin(&d.port, DIR, &meta, &w), 0);
    oak_snap_keep(w);
    assert_int_equal(d.name_count, 2);
    /* The second of two in quick succession: the first one's part goes. */
    assert_int_equal(oak_snap_begin(&d.port, DIR, &newer, &w), 0);
    assert_int_equal(d.name_count, 2);
    uint64_t index;
    assert_int_equal(snapshot_read(&d, 1, 0, &index, NULL), OAK_ENOENT);
    assert_int_equal(oak_snap_finish(w), 0);
    assert_int_equal(snapshot_read(&d, 1, 0, &index, NULL), 0);
    assert_int_equal(index, 9);
    assert_int_equal(oak_snap_discard(&d.port, DIR, 1), 0);
    assert_int_equal(d.name_count, 2); /* the other group's is not touched */
    oak_snap_abort(kept);
    assert_int_equal(d.name_count, 1);
    assert_int_equal(d.open_files, 0);
    test_disk_fini(&d);
}

static void limits_are_refused_and_a_failed_writer_stays_failed(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    uint8_t *large = calloc(1, OAK_SNAPSHOT_CHUNK_BYTES_MAX + 1);
    struct oak_snap_meta meta = meta_of(1, 5, 1);
    struct oak_snap_writer *w;
    meta.config = oak_bytes(large, 1025);
    assert_int_equal(oak_snap_begin(&d.port, DIR, &meta, &w), OAK_EINVAL);
    meta.config = oak_bytes(large, 1024);
    assert_int_equal(oak_snap_begin(&d.port, DIR, &meta, &w), 0);
    assert_int_equal(oak_snap_write(w, oak_bytes(large, OAK_SNAPSHOT_CHUNK_BYTES_MAX + 1)),
                     OAK_ELIMIT);
    assert_int_equal(oak_snap_write(w, oak_bytes(large, OAK_SNAPSHOT_CHUNK_BYTES_MAX)), 0);
    assert_int_equal(oak_snap_write(w, oak_bytes(NULL, 0)), 0);
    d.fail_at = d.calls;
    d.fail_error = OAK_ENOSPC;
    assert_int_equal(oak_snap_write(w, oak_bytes(large, 10)), OAK_ENOSPC);
    assert_int_equal(oak_snap_write(w, oak_bytes(large, 10)), OAK_EFATAL);
    assert_int_equal(oak_snap_finish(w), OAK_EFATAL);
    assert_int_equal(d.name_count, 0);
    assert_int_equal(d.open_files, 0);
    free(large);
    test_disk_fini(&d);
}

/* An older snapshot is there; the power goes, or a call fails, at every call of a newer one. */
static void at_every_call_the_old_or_the_new_snapshot_is_whole(void **state)
{
    (void)state;
    const enum test_disk_cut hows[] = {TEST_DISK_KEEP_NONE, TEST_DISK_KEEP_ALL,
                                       TEST_DISK_KEEP_RANDOM, TEST_DISK_KEEP_RANDOM,
                                       TEST_DISK_KEEP_PREFIX};
    for (int mode = 0; mode < 3; mode++) {
        for (uint64_t at = 0;; at++) {
            bool reached = false;
            for (size_t h = 0; h < OAK_COUNT_OF(hows); h++) {
                struct test_disk d;
                test_disk_init(&d, at * 10 + h);
                struct oak_snap_meta old = meta_of(1, 50, 2);
                struct oak_snap_meta new = meta_of(1, 60, 3);
                assert_int_equal(snapshot_write(&d, &old, 5), 0);
                uint64_t *trigger = mode == 0 ? &d.cut_at : &d.fail_at;
                uint64_t start = d.calls;
                *trigger = start + at;
                d.fail_error = mode == 1 ? OAK_EIO : OAK_ENOSPC;
                int error = snapshot_write(&d, &new, 5);
                reached = d.calls > start + at;
                assert_int_equal(d.open_files, 0);
                test_disk_cut(&d, hows[h]);
                uint64_t index;
                struct oak_errbuf e;
                assert_int_equal(snapshot_read(&d, 1, 5, &index, &e), 0);
                assert_true(index == 60 || (index == 50 && error != 0));
                test_disk_fini(&d);
            }
            if (!reached) {
                break;
            }
        }
    }
}

static void every_flipped_byte_and_every_cut_is_noticed(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_snap_meta meta = meta_of(1, 50, 2);
    assert_int_equal(snapshot_write(&d, &meta, 3), 0);
    const char *path = test_disk_name(&d, 0);
    size_t size;
    const uint8_t *bytes = test_disk_peek(&d, path, &size);
    for (size_t at = 0; at < size; at++) {
        uint8_t good = bytes[at];
        uint8_t bad = good ^ (uint8_t)(1u << at % 8);
        uint64_t index;
        struct oak_errbuf e = {{0}};
        test_disk_poke(&d, path, at, &bad, 1);
        assert_int_equal(snapshot_read(&d, 1, 3, &index, &e), OAK_ECORRUPT);
        assert_true(index != 0 || (strstr(e.text, path) != NULL && strstr(e.text, "offset")));
        test_disk_poke(&d, path, at, &good, 1);
    }
    for (size_t left = 0; left < size; left++) {
        struct test_disk copy;
        test_disk_init(&copy, 1);
        test_disk_copy(&copy, &d);
        test_disk_shorten(&copy, test_disk_name(&copy, 0), left);
        uint64_t index;
        assert_int_equal(snapshot_read(&copy, 1, 3, &index, NULL), OAK_ECORRUPT);
        test_disk_fini(&copy);
    }
    test_disk_fini(&d);
}

static void chunks_of_another_snapshot_do_not_fit(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_snap_meta a = meta_of(1, 50, 2);
    struct oak_snap_meta b = meta_of(1, 306, 2); /* the same chunks: 256 apart */
    assert_int_equal(snapshot_write(&d, &a, 3), 0);
    assert_int_equal(snapshot_write(&d, &b, 3), 0);
    size_t size;
    const uint8_t *from = test_disk_peek(&d, test_disk_name(&d, 0), &size);
    test_disk_poke(&d, test_disk_name(&d, 1), 60, from + 60, size - 60);
    uint64_t index;
    assert_int_equal(snapshot_read(&d, 1, 3, &index, NULL), OAK_ECORRUPT);
    assert_int_equal(index, 306);
    test_disk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_comes_back_as_written),
        cmocka_unit_test(the_newest_of_the_group_is_taken_and_older_ones_are_purged),
        cmocka_unit_test(a_group_has_one_part_file_and_it_is_no_snapshot),
        cmocka_unit_test(limits_are_refused_and_a_failed_writer_stays_failed),
        cmocka_unit_test(at_every_call_the_old_or_the_new_snapshot_is_whole),
        cmocka_unit_test(every_flipped_byte_and_every_cut_is_noticed),
        cmocka_unit_test(chunks_of_another_snapshot_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
