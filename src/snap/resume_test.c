/* SPDX-License-Identifier: Apache-2.0 */
/* resume_test.c: a transfer that broke off goes on behind what is whole, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "snap/snap.h"
#include "wal/test_disk.h"

#define DIR     "snaps"
#define TOTAL   9000u
#define GROUP   1u
#define INDEX   50u
#define PIECE   700u /* of a write */
#define SYNC_AT 3u   /* writes between two syncs */
#define HEAD    84u  /* header and configuration */

static uint8_t content_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 251);
}

static struct oak_snap_meta meta_of(uint64_t index)
{
    return (struct oak_snap_meta){.group = GROUP,
                                  .index = index,
                                  .term = 2,
                                  .from = 7,
                                  .transfer = 99,
                                  .lead = 4,
                                  .config = oak_bytes_str("three voters")};
}

/* Write from where it stands up to `end`; the first error. */
static int go_on(struct oak_snap_writer *w, uint64_t end)
{
    int error = 0;
    for (unsigned n = 1; error == 0 && oak_snap_offset(w) < end; n++) {
        uint8_t piece[PIECE];
        size_t size = (size_t)OAK_MIN((uint64_t)PIECE, end - oak_snap_offset(w));
        for (size_t i = 0; i < size; i++) {
            piece[i] = content_at(oak_snap_offset(w) + i);
        }
        error = oak_snap_write(w, oak_bytes(piece, size));
        if (error == 0 && n % SYNC_AT == 0) {
            error = oak_snap_sync(w);
        }
    }
    return error;
}

static void part_make(struct test_disk *d, uint64_t index, uint64_t end)
{
    struct oak_snap_meta meta = meta_of(index);
    struct oak_snap_writer *w;
    assert_int_equal(oak_snap_begin(&d->port, DIR, &meta, &w), 0);
    assert_int_equal(go_on(w, end), 0);
    oak_snap_keep(w);
}

/* The whole file holds all and exactly the content. */
static void whole_check(struct test_disk *d)
{
    struct oak_snap_reader *r;
    assert_int_equal(oak_snap_newest(&d->port, DIR, GROUP, &r, NULL), 0);
    assert_int_equal(oak_snap_meta(r)->from, 7);
    assert_int_equal(oak_snap_meta(r)->transfer, 99);
    struct oak_bytes chunk;
    uint64_t at = 0;
    do {
        assert_int_equal(oak_snap_read(r, &chunk), 0);
        for (size_t i = 0; i < chunk.size; i++, at++) {
            assert_int_equal(chunk.data[i], content_at(at));
        }
    } while (chunk.size > 0);
    assert_int_equal(at, TOTAL);
    oak_snap_close(r);
    assert_int_equal(d->open_files, 0);
}

static void resume_and_finish(struct test_disk *d)
{
    struct oak_snap_writer *w;
    assert_int_equal(oak_snap_resume(&d->port, DIR, GROUP, &w), 0);
    assert_true(oak_snap_offset(w) <= TOTAL);
    assert_int_equal(go_on(w, TOTAL), 0);
    assert_int_equal(oak_snap_finish(w), 0);
    whole_check(d);
}

static void a_part_says_whose_it_is_and_goes_on(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_snap_meta meta;
    uint8_t config[OAK_SNAP_CONFIG_BYTES_MAX];
    assert_int_equal(oak_snap_part(&d.port, DIR, GROUP, &meta, config), OAK_ENOENT);
    struct oak_snap_writer *w = NULL;
    assert_int_equal(oak_snap_resume(&d.port, DIR, GROUP, &w), OAK_ENOENT);
    assert_null(w);
    part_make(&d, INDEX, 5000);
    assert_int_equal(oak_snap_part(&d.port, DIR, GROUP, &meta, config), 0);
    assert_int_equal(meta.index, INDEX);
    assert_int_equal(meta.from, 7);
    assert_int_equal(meta.transfer, 99);
    assert_int_equal(meta.lead, 4);
    assert_true(oak_bytes_eq(meta.config, oak_bytes_str("three voters")));
    assert_int_equal(oak_snap_resume(&d.port, DIR, GROUP, &w), 0);
    assert_int_equal(oak_snap_offset(w), 5000);
    oak_snap_keep(w);
    assert_int_equal(oak_snap_part(&d.port, DIR, GROUP + 1, &meta, config), OAK_ENOENT);
    resume_and_finish(&d);
    assert_int_equal(oak_snap_resume(&d.port, DIR, GROUP, &w), OAK_ENOENT);
    test_disk_fini(&d);
}

/* Power goes at every call: what was synced is still there, what is there is right. */
static void at_every_call_a_crash_leaves_what_was_synced(void **state)
{
    (void)state;
    const enum test_disk_cut hows[] = {TEST_DISK_KEEP_NONE, TEST_DISK_KEEP_ALL,
                                       TEST_DISK_KEEP_RANDOM, TEST_DISK_KEEP_RANDOM,
                                       TEST_DISK_KEEP_PREFIX};
    bool reached = true;
    for (uint64_t at = 0; reached; at++) {
        for (size_t h = 0; h < OAK_COUNT_OF(hows); h++) {
            struct test_disk d;
            test_disk_init(&d, at * 10 + h);
            struct oak_snap_meta meta = meta_of(INDEX);
            struct oak_snap_writer *w = NULL;
            uint64_t synced = 0;
            bool named = false;
            d.cut_at = at;
            int error = oak_snap_begin(&d.port, DIR, &meta, &w);
            while (error == 0 && oak_snap_offset(w) < TOTAL) {
                error = go_on(w, OAK_MIN(oak_snap_offset(w) + PIECE, TOTAL));
                error = error != 0 ? error : oak_snap_sync(w);
                synced = error == 0 ? oak_snap_offset(w) : synced;
                named = named || error == 0;
            }
            if (error == 0) {
                error = oak_snap_finish(w);
                w = NULL;
            }
            oak_snap_keep(w);
            reached = d.calls > at;
            test_disk_cut(&d, hows[h]);
            struct oak_snap_reader *r = NULL;
            if (oak_snap_newest(&d.port, DIR, GROUP, &r, NULL) == 0) {
                oak_snap_close(r);
                whole_check(&d);
            } else {
                int found = oak_snap_resume(&d.port, DIR, GROUP, &w);
                assert_true(found == 0 || (found == OAK_ENOENT && !named));
                if (found == 0) {
                    assert_true(oak_snap_offset(w) >= synced);
                    oak_snap_keep(w);
                    resume_and_finish(&d);
                }
            }
            assert_int_equal(d.open_files, 0);
            test_disk_fini(&d);
        }
    }
}

/* A full disk, at every call of going on: it fails, and once there is space it goes on. */
static void a_full_disk_at_every_call_leaves_a_part_or_nothing(void **state)
{
    (void)state;
    bool reached = true;
    for (uint64_t at = 0; reached; at++) {
        struct test_disk d;
        test_disk_init(&d, at);
        part_make(&d, INDEX, 4000);
        d.fail_at = d.calls + at;
        d.fail_error = OAK_ENOSPC;
        struct oak_snap_writer *w = NULL;
        int error = oak_snap_resume(&d.port, DIR, GROUP, &w);
        if (error == 0) {
            error = go_on(w, TOTAL);
            if (error == 0) {
                error = oak_snap_finish(w);
            } else {
                oak_snap_abort(w);
            }
        }
        reached = error != 0;
        assert_true(error == 0 || error == OAK_ENOSPC);
        assert_int_equal(d.open_files, 0);
        d.fail_at = TEST_DISK_NEVER;
        struct oak_snap_reader *r = NULL;
        if (oak_snap_newest(&d.port, DIR, GROUP, &r, NULL) == 0) {
            oak_snap_close(r);
            whole_check(&d);
        } else if (oak_snap_resume(&d.port, DIR, GROUP, &w) == 0) {
            oak_snap_keep(w);
            resume_and_finish(&d);
        }
        test_disk_fini(&d);
    }
}

static void every_flipped_byte_and_every_cut_of_a_part_is_noticed(void **state)
{
    (void)state;
    struct test_disk d;
    test_disk_init(&d, 1);
    part_make(&d, INDEX, 2500);
    size_t size;
    const uint8_t *good = test_disk_peek(&d, test_disk_name(&d, 0), &size);
    uint8_t *kept = malloc(size);
    memcpy(kept, good, size);
    for (size_t at = 0; at < 2 * size; at++) {
        struct test_disk copy;
        test_disk_init(&copy, 1);
        test_disk_copy(&copy, &d);
        const char *path = test_disk_name(&copy, 0);
        if (at < size) {
            uint8_t bad = kept[at] ^ (uint8_t)(1u << at % 8);
            test_disk_poke(&copy, path, at, &bad, 1);
        } else {
            test_disk_shorten(&copy, path, at - size);
        }
        struct oak_snap_writer *w = NULL;
        int error = oak_snap_resume(&copy.port, DIR, GROUP, &w);
        if (error == 0) {
            /* Header and configuration, then chunks of PIECE: whole ones before the place stay. */
            size_t place = (at < size ? at : at - size) - HEAD;
            assert_int_equal(oak_snap_offset(w), place / (16 + PIECE) * PIECE);
            oak_snap_keep(w);
            resume_and_finish(&copy);
        } else {
            assert_int_equal(error, OAK_ENOENT);
            assert_true((at < size ? at : at - size) < HEAD);
            assert_int_equal(copy.name_count, 0);
        }
        test_disk_fini(&copy);
    }
    free(kept);
    test_disk_fini(&d);
}

static void of_several_parts_the_newest_stays(void **state)
{
    (void)state;
    struct test_disk d;
    struct test_disk other;
    test_disk_init(&d, 1);
    test_disk_init(&other, 1);
    part_make(&d, INDEX, 1000);
    part_make(&other, INDEX + 1, 2000);
    test_disk_copy(&d, &other);
    assert_int_equal(d.name_count, 2);
    struct oak_snap_meta meta;
    uint8_t config[OAK_SNAP_CONFIG_BYTES_MAX];
    assert_int_equal(oak_snap_part(&d.port, DIR, GROUP, &meta, config), 0);
    assert_int_equal(meta.index, INDEX + 1);
    assert_int_equal(d.name_count, 1);
    resume_and_finish(&d);
    test_disk_fini(&d);
    test_disk_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_says_whose_it_is_and_goes_on),
        cmocka_unit_test(at_every_call_a_crash_leaves_what_was_synced),
        cmocka_unit_test(a_full_disk_at_every_call_leaves_a_part_or_nothing),
        cmocka_unit_test(every_flipped_byte_and_every_cut_of_a_part_is_noticed),
        cmocka_unit_test(of_several_parts_the_newest_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
