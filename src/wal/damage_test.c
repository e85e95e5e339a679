/* SPDX-License-Identifier: Apache-2.0 */
/* damage_test.c: bytes that are not what was written: a torn end is cut, damage is refused, and
 * nothing acknowledged is ever left out in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wal/internal.h"
#include "wal/test_model.h"

/* A slow build tries every so many bytes only, and fewer subsets of sectors: each byte has its turn
 * in the others. The first strides over bits, too, so it is odd; the other divides a sector. */
#if defined(OAK_SLOW_BUILD)
#define FLIP_STRIDE 7
#define CUT_STRIDE  8
#define DIRTY_MAX   4
#else
#define FLIP_STRIDE 1
#define CUT_STRIDE  1
#define DIRTY_MAX   7
#endif

static struct run *run_new(uint64_t seed, uint64_t steps, bool quiet)
{
    struct run *r = malloc(sizeof(*r));
    assert_non_null(r);
    run_init(r, seed);
    r->quiet = quiet;
    assert_int_equal(run_open(r, NULL), 0);
    assert_int_equal(run_work(r, steps), 0);
    return r;
}

static void run_drop(struct run *r)
{
    run_fini(r);
    free(r);
}

/* Open a copy of the disk: the error, and whether `acked` was met, or at least `flight`. */
static int copy_open(const struct run *r, const struct test_disk *disk, bool *met, bool *flight_met,
                     struct oak_errbuf *e)
{
    const struct oak_wal_options o = {.disk = &disk->port,
                                      .dir = MODEL_DIR,
                                      .meta = oak_bytes_str(MODEL_META),
                                      .segment_bytes = MODEL_SEGMENT};
    struct oak_wal *wal = NULL;
    int error = oak_wal_open(&o, &wal, e);
    *met = error == 0 && model_matches(&r->acked, wal);
    *flight_met = error == 0 && model_matches(&r->flight, wal);
    oak_wal_close(wal);
    return error;
}

/* Damage `size` bytes of one file and open. */
static int damage_try(const struct run *r, const char *path, size_t at, struct oak_bytes bytes,
                      bool *met, bool *flight_met, struct oak_errbuf *e)
{
    struct test_disk d;
    test_disk_init(&d, 1);
    test_disk_copy(&d, &r->disk);
    test_disk_poke(&d, path, at, bytes.data, bytes.size);
    int error = copy_open(r, &d, met, flight_met, e);
    assert_int_equal(d.open_files, 0);
    if (error == OAK_ECORRUPT) {
        assert_int_equal(d.writes, 0);
        assert_non_null(strstr(e->text, MODEL_DIR "/"));
        assert_non_null(strstr(e->text, "offset"));
        assert_non_null(strstr(e->text, "empty data directory"));
    }
    test_disk_fini(&d);
    return error;
}

static int damaged_open(const struct run *r, const char *path, size_t at, const uint8_t *bytes,
                        size_t size, bool *met, struct oak_errbuf *e)
{
    bool ignored;
    return damage_try(r, path, at, oak_bytes(bytes, size), met, &ignored, e);
}

/* Whether the byte belongs to a segment header or a frame, or to a frame that is the log's last. */
static bool byte_is_used(const uint8_t *bytes, uint64_t seq, size_t at)
{
    struct wal__segment_header h;
    struct wal__frame f;
    if (!wal__segment_header_get(bytes, seq, &h)) {
        return false;
    }
    uint64_t offset = WAL__SEGMENT_HEADER;
    while (wal__frame_get(bytes, MODEL_SEGMENT, seq, offset, &f)) {
        offset += f.size;
    }
    return at < offset;
}

static uint64_t path_seq(const char *path)
{
    enum wal__kind kind;
    uint64_t seq = 0;
    return wal__name_parse(path + strlen(MODEL_DIR "/"), &kind, &seq) && kind == WAL__CHAIN ? seq
                                                                                            : 0;
}

/* Flip a bit of every byte of a log whose last batch is empty, as prepare leaves it. */
static void every_flipped_byte_is_refused_or_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct run *r = run_new(seed, 16, seed % 2 == 0);
        assert_int_equal(oak_wal_prepare(r->wal), 0);
        uint64_t tail_seq = r->wal->chain[r->wal->current].seq;
        uint64_t tail = r->wal->offset - WAL__ALIGN;
        run_close(r);
        const char *path;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            size_t size;
            const uint8_t *bytes = test_disk_peek(&r->disk, path, &size);
            uint64_t seq = path_seq(path);
            for (size_t at = 0; at < size; at += FLIP_STRIDE) {
                uint8_t bad = bytes[at] ^ (uint8_t)(1u << (at + n) % 8);
                bool met;
                struct oak_errbuf e;
                int error = damaged_open(r, path, at, &bad, 1, &met, &e);
                bool last = seq == tail_seq && (at >= tail || tail == WAL__SEGMENT_HEADER);
                if (seq != 0 && !last && byte_is_used(bytes, seq, at)) {
                    assert_int_equal(error, OAK_ECORRUPT);
                } else if (error != 0 || !met) {
                    fail_msg("seed %d %s at %zu: %s met %d", (int)seed, path, at, e.text, met);
                }
            }
        }
        run_drop(r);
    }
}

/* Without the empty batch: the last batch may be taken for torn, and nothing else. */
static void a_flip_costs_the_last_batch_at_most(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 12; seed++) {
        struct run *r = run_new(seed, 10, true);
        struct model *before = malloc(sizeof(*before));
        *before = r->acked;
        uint64_t first = r->wal->chain[r->wal->current].seq;
        uint64_t offset = r->wal->offset;
        assert_int_equal(run_batch(r), 0);
        r->flight = *before;
        run_close(r);
        const char *path;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            size_t size;
            const uint8_t *bytes = test_disk_peek(&r->disk, path, &size);
            uint64_t seq = path_seq(path);
            for (size_t at = 0; at < size; at += FLIP_STRIDE) {
                uint8_t bad = bytes[at] ^ (uint8_t)(1u << (at + n) % 8);
                bool in_last = seq > first || (seq == first && at >= offset);
                bool met_before;
                bool met_after;
                struct oak_errbuf e;
                int error =
                    damage_try(r, path, at, oak_bytes(&bad, 1), &met_after, &met_before, &e);
                assert_true(error == OAK_ECORRUPT || met_after || (in_last && met_before));
            }
        }
        free(before);
        run_drop(r);
    }
}

/* Lost and misdirected sectors: each one zeroed, and each one with the bytes of another. */
static void a_lost_or_misdirected_sector_is_refused_or_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 21; seed <= 23; seed++) {
        struct run *r = run_new(seed, 16, seed % 2 == 0);
        assert_int_equal(oak_wal_prepare(r->wal), 0);
        run_close(r);
        const char *path;
        const char *other;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            for (size_t at = 0; at < MODEL_SEGMENT; at += TEST_DISK_SECTOR) {
                const uint8_t zeros[TEST_DISK_SECTOR] = {0};
                bool met;
                struct oak_errbuf e;
                int error = damaged_open(r, path, at, zeros, sizeof(zeros), &met, &e);
                assert_true(error == OAK_ECORRUPT || met);
                for (size_t m = 0; (other = test_disk_name(&r->disk, m)) != NULL; m++) {
                    size_t size;
                    const uint8_t *bytes = test_disk_peek(&r->disk, other, &size);
                    size_t from = (size_t)oak_prng_below(&r->prng, 8) * TEST_DISK_SECTOR;
                    error = damaged_open(r, path, at, bytes + from, TEST_DISK_SECTOR, &met, &e);
                    assert_true(error == OAK_ECORRUPT || met);
                }
            }
        }
        run_drop(r);
    }
}

/* Zeros from every byte of the last batch to the end of its file and in all later ones. */
static void a_batch_cut_at_any_byte_leaves_the_commit_before(void **state)
{
    (void)state;
    size_t spanning = 0;
    for (uint64_t seed = 31; seed <= 36; seed++) {
        struct run *r = run_new(seed, 12, true);
        r->payload_max = seed % 2 == 0 ? 2500 : 200;
        struct model *before = malloc(sizeof(*before));
        *before = r->acked;
        uint64_t seq = r->wal->chain[r->wal->current].seq;
        uint64_t offset = r->wal->offset;
        assert_int_equal(run_batch(r), 0);
        uint64_t end_seq = r->wal->chain[r->wal->current].seq;
        uint64_t end = r->wal->offset;
        spanning += end_seq > seq + 1;
        run_close(r);
        r->acked = *before;
        if (end_seq > seq) {
            seq++;
            offset = 0;
        }
        for (uint64_t at = offset; seq < end_seq || at < end; at += CUT_STRIDE) {
            if (at == MODEL_SEGMENT) {
                seq++;
                at = 0;
            }
            uint8_t zeros[MODEL_SEGMENT] = {0};
            struct test_disk d;
            test_disk_init(&d, 1);
            test_disk_copy(&d, &r->disk);
            for (uint64_t s = seq; s <= end_seq; s++) {
                char path[64];
                size_t from = s == seq ? (size_t)at : 0;
                snprintf(path, sizeof(path), MODEL_DIR "/%016llx.wal", (unsigned long long)s);
                test_disk_poke(&d, path, from, zeros, MODEL_SEGMENT - from);
            }
            bool met;
            bool ignored;
            struct oak_errbuf e = {{0}};
            int error = copy_open(r, &d, &met, &ignored, &e);
            /* A tail of the batch that is zeros anyway leaves it whole. */
            bool tail = seq == end_seq && at + WAL__ALIGN > end;
            if (error != 0 || (!met && !tail)) {
                fail_msg("seed %d %llx at %d: %s", (int)seed, (unsigned long long)seq, (int)at,
                         e.text);
            }
            test_disk_fini(&d);
        }
        free(before);
        run_drop(r);
    }
    assert_true(spanning >= 2);
}

/* Any subset of the sectors of one unsynced write, all of them when there are few. */
static bool torn_story(uint64_t seed, uint64_t call, uint64_t subset, size_t *dirty)
{
    struct run *r = run_new(seed, 8, true);
    r->payload_max = seed % 3 == 0 ? 2500 : 300;
    r->disk.cut_at = r->disk.calls + call;
    int error = run_batch(r);
    run_close(r);
    if (error == 0) {
        run_drop(r);
        return false;
    }
    *dirty = test_disk_dirty(&r->disk);
    r->disk.mask = subset;
    test_disk_cut(&r->disk, TEST_DISK_KEEP_MASK);
    struct oak_errbuf e = {{0}};
    if (run_open(r, &e) != 0) {
        fail_msg("seed %d call %d subset %llx: %s", (int)seed, (int)call,
                 (unsigned long long)subset, e.text);
    }
    assert_true(run_settle(r));
    assert_int_equal(run_batch(r), 0);
    run_close(r);
    assert_int_equal(run_open(r, &e), 0);
    assert_true(run_settle(r));
    run_drop(r);
    return true;
}

static void every_subset_of_torn_sectors_is_the_commit_before_or_the_whole_batch(void **state)
{
    (void)state;
    struct oak_prng p;
    oak_prng_init(&p, 5);
    for (uint64_t seed = 51; seed <= 57; seed++) {
        size_t dirty = 0;
        for (uint64_t call = 0; torn_story(seed, call, 0, &dirty); call++) {
            uint64_t subsets = 1ull << OAK_MIN(dirty, DIRTY_MAX);
            for (uint64_t i = 1; i < subsets; i++) {
                uint64_t subset = dirty <= DIRTY_MAX ? i : oak_prng_u64(&p) & oak_prng_u64(&p);
                assert_true(torn_story(seed, call, subset, &dirty));
            }
        }
    }
}

/* Two entries of a sector each and more, the second always the same. */
static int twin_batch(struct run *r, uint64_t seed)
{
    uint8_t payload[1000];
    for (uint64_t i = 0; i < 2; i++) {
        payload_fill(payload, sizeof(payload), i == 0 ? seed : 1);
        const struct oak_wal_record entry = {.type = OAK_WAL_ENTRY,
                                             .group = 7,
                                             .index = i + 1,
                                             .term = 1,
                                             .data = oak_bytes(payload, sizeof(payload))};
        assert_int_equal(oak_wal_append(r->wal, &entry), 0);
        model_apply(&r->flight, &entry, i == 0 ? seed : 1);
    }
    return oak_wal_commit(r->wal);
}

/* A batch is torn and lacks one sector; the next one, in the same place, is torn and only wrote
 * that sector, with the same bytes: the first must not come back. */
static void what_was_torn_once_is_not_completed_by_a_later_batch(void **state)
{
    (void)state;
    struct run *r = run_new(80, 0, true);
    r->disk.cut_at = r->disk.calls + 1;
    assert_int_equal(twin_batch(r, 100), OAK_EIO);
    run_close(r);
    size_t dirty = test_disk_dirty(&r->disk);
    assert_int_equal(dirty, 5);
    r->disk.mask = (1u << (dirty - 1)) - 1;
    test_disk_cut(&r->disk, TEST_DISK_KEEP_MASK);
    assert_int_equal(run_open(r, NULL), 0);
    assert_true(model_matches(&r->acked, r->wal));
    r->flight = r->acked;
    r->disk.cut_at = r->disk.calls + 1;
    assert_int_equal(twin_batch(r, 200), OAK_EIO);
    run_close(r);
    assert_int_equal(test_disk_dirty(&r->disk), dirty);
    r->disk.mask = 1u << (dirty - 1);
    test_disk_cut(&r->disk, TEST_DISK_KEEP_MASK);
    assert_int_equal(run_open(r, NULL), 0);
    assert_true(model_matches(&r->acked, r->wal));
    run_drop(r);
}

/* A frame with true checksums in the right place, but behind another frame than was there; and a
 * segment that goes on from another place. */
static void what_does_not_follow_is_refused(void **state)
{
    (void)state;
    struct run *r = run_new(81, 20, true);
    while (r->wal->current == 0 || r->wal->offset + WAL__ALIGN >= MODEL_SEGMENT) {
        assert_int_equal(run_batch(r), 0);
    }
    uint8_t sector[WAL__ALIGN] = {0};
    char path[WAL__PATH_BYTES];
    struct wal__frame f = {.batch = r->wal->batch,
                           .first_seq = r->wal->chain[r->wal->current].seq,
                           .size = sizeof(sector),
                           .last = true,
                           .salt = r->wal->salt,
                           .chain = r->wal->chain_value + 1};
    uint64_t seq = r->wal->chain[r->wal->current].seq;
    uint64_t at = r->wal->offset;
    assert_true(at + WAL__ALIGN < MODEL_SEGMENT);
    wal__path(r->wal, path, WAL__CHAIN, seq);
    run_close(r);
    bool met;
    struct oak_errbuf e;
    wal__frame_put(sector, seq, at, &f);
    assert_int_equal(damaged_open(r, path, at, sector, sizeof(sector), &met, &e), OAK_ECORRUPT);
    f.chain--;
    wal__frame_put(sector, seq, at, &f);
    assert_int_equal(damaged_open(r, path, at, sector, sizeof(sector), &met, &e), 0);
    assert_true(met);

    size_t size;
    struct wal__segment_header h;
    const uint8_t *bytes = test_disk_peek(&r->disk, path, &size);
    assert_true(wal__segment_header_get(bytes, seq, &h));
    h.prev_end -= WAL__ALIGN;
    wal__segment_header_put(sector, &h);
    assert_int_equal(damaged_open(r, path, 0, sector, sizeof(sector), &met, &e), OAK_ECORRUPT);
    run_drop(r);
}

static void missing_and_shortened_files_are_refused_by_name(void **state)
{
    (void)state;
    struct run *r = run_new(70, 30, true);
    run_close(r);
    struct oak_errbuf e;
    bool met;
    bool ignored;
    size_t count = r->disk.name_count;
    assert_true(count > 3);
    for (size_t n = 0; n < count; n++) {
        struct test_disk d;
        test_disk_init(&d, 1);
        test_disk_copy(&d, &r->disk);
        test_disk_shorten(&d, test_disk_name(&d, n), 4095);
        assert_int_equal(copy_open(r, &d, &met, &ignored, &e), OAK_ECORRUPT);
        assert_non_null(strstr(e.text, test_disk_name(&d, n)));
        test_disk_fini(&d);

        test_disk_init(&d, 1);
        test_disk_copy(&d, &r->disk);
        char name[64];
        snprintf(name, sizeof(name), "%s", test_disk_name(&d, n));
        assert_int_equal(d.port.remove(&d, name), 0);
        int error = copy_open(r, &d, &met, &ignored, &e);
        if (n + 1 < count) { /* the loss of the last file is the one that nothing tells */
            assert_int_equal(error, OAK_ECORRUPT);
            assert_non_null(strstr(e.text, name));
        }
        test_disk_fini(&d);
    }
    run_drop(r);
}

static void spares_without_a_log_are_refused(void **state)
{
    (void)state;
    struct run *r = run_new(71, 3, true);
    assert_int_equal(oak_wal_prepare(r->wal), 0);
    run_close(r);
    const char *path;
    for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL;) {
        if (strstr(path, ".wal") != NULL) {
            char name[64];
            snprintf(name, sizeof(name), "%s", path);
            assert_int_equal(r->disk.port.remove(&r->disk, name), 0);
        } else {
            n++;
        }
    }
    assert_true(r->disk.name_count > 0);
    struct oak_errbuf e;
    assert_int_equal(run_open(r, &e), OAK_ECORRUPT);
    run_drop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_is_refused_or_does_not_matter),
        cmocka_unit_test(a_flip_costs_the_last_batch_at_most),
        cmocka_unit_test(a_lost_or_misdirected_sector_is_refused_or_does_not_matter),
        cmocka_unit_test(a_batch_cut_at_any_byte_leaves_the_commit_before),
        cmocka_unit_test(every_subset_of_torn_sectors_is_the_commit_before_or_the_whole_batch),
        cmocka_unit_test(what_was_torn_once_is_not_completed_by_a_later_batch),
        cmocka_unit_test(what_does_not_follow_is_refused),
        cmocka_unit_test(missing_and_shortened_files_are_refused_by_name),
        cmocka_unit_test(spares_without_a_log_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
