/* SPDX-License-Identifier: Apache-2.0 */
/* scrub_test.c: the scrub finds each byte that changed in what lies still, nothing in a sound log,
 * and is not confused by segments that come and go while it reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wal/internal.h"
#include "wal/test_model.h"

static void a_sound_log_under_work_is_found_sound(void **state)
{
    (void)state;
    uint64_t passes = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run *r = malloc(sizeof(*r));
        run_init(r, seed);
        r->payload_max = seed % 3 == 0 ? 2500 : 600;
        assert_int_equal(run_open(r, NULL), 0);
        for (size_t i = 0; i < 150; i++) {
            struct oak_errbuf e = {{0}};
            assert_int_equal(run_work(r, 1), 0);
            if (oak_wal_scrub(r->wal, WAL__ALIGN * (1 + seed % 3), &e) != 0) {
                fail_msg("seed %d: %s", (int)seed, e.text);
            }
        }
        struct oak_wal_stats stats;
        oak_wal_stats(r->wal, &stats);
        passes += stats.scrubs;
        run_close(r);
        assert_int_equal(r->disk.open_files, 0);
        run_fini(r);
        free(r);
    }
    assert_true(passes > 20);
}

static int scrub_all(struct oak_wal *wal, struct oak_errbuf *e)
{
    struct oak_wal_stats before;
    struct oak_wal_stats now;
    oak_wal_stats(wal, &before);
    int error = 0;
    do {
        error = oak_wal_scrub(wal, 1024, e);
        oak_wal_stats(wal, &now);
    } while (error == 0 && now.scrubs == before.scrubs);
    return error;
}

static void every_byte_that_changed_is_found_by_file_and_offset(void **state)
{
    (void)state;
    struct run *r = malloc(sizeof(*r));
    run_init(r, 7);
    r->quiet = true;
    assert_int_equal(run_open(r, NULL), 0);
    assert_int_equal(run_work(r, 30), 0);
    struct oak_errbuf e = {{0}};
    assert_int_equal(scrub_all(r->wal, &e), 0);
    size_t found = 0;
    for (size_t n = 0; n < r->wal->current; n++) {
        char path[64];
        snprintf(path, sizeof(path), MODEL_DIR "/%016llx.wal",
                 (unsigned long long)r->wal->chain[n].seq);
        size_t size;
        const uint8_t *bytes = test_disk_peek(&r->disk, path, &size);
        uint64_t end = WAL__SEGMENT_HEADER;
        struct wal__frame f;
        while (wal__frame_get(bytes, MODEL_SEGMENT, r->wal->chain[n].seq, end, &f)) {
            end += f.size;
        }
        for (size_t at = 0; at < end; at += 13) {
            uint8_t was = bytes[at];
            uint8_t bad = was ^ 0x10;
            test_disk_poke(&r->disk, path, at, &bad, 1);
            assert_int_equal(scrub_all(r->wal, &e), OAK_ECORRUPT);
            assert_non_null(strstr(e.text, path));
            assert_non_null(strstr(e.text, "offset"));
            test_disk_poke(&r->disk, path, at, &was, 1);
            assert_int_equal(scrub_all(r->wal, &e), 0);
            found++;
        }
    }
    assert_true(found > 100);
    /* The log goes on. */
    assert_int_equal(run_batch(r), 0);
    run_close(r);
    run_fini(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_log_under_work_is_found_sound),
        cmocka_unit_test(every_byte_that_changed_is_found_by_file_and_offset),
    };
    return cmocka_run_group_tests_name("wal/scrub", tests, NULL, NULL);
}
