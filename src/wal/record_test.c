/* SPDX-License-Identifier: Apache-2.0 */
/* record_test.c: the bytes of the format, pinned: a change here is a change of version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wal/internal.h"

static void an_entry_has_the_documented_bytes(void **state)
{
    (void)state;
    struct oak_buf b = {0};
    const struct wal__record r = {.type = OAK_WAL_ENTRY,
                                  .kind = 2,
                                  .group = 3,
                                  .index = 4,
                                  .term = 5,
                                  .data = oak_bytes_str("abc")};
    assert_int_equal(wal__record_put(&b, &r), 0);
    const uint8_t want[40] = {3, 0, 0, 0, 1, 2, 0, 0, 3, [16] = 4, [24] = 5, [32] = 'a', 'b', 'c'};
    assert_int_equal(b.size, sizeof(want));
    assert_memory_equal(b.data, want, sizeof(want));
    assert_int_equal(wal__record_size(&r), sizeof(want));
    oak_buf_fini(&b);
}

static void records_come_back_as_written(void **state)
{
    (void)state;
    const struct wal__record records[] = {
        {.type = OAK_WAL_ENTRY, .kind = 255, .group = 1, .index = 2, .term = UINT64_MAX},
        {.type = OAK_WAL_HARD_STATE, .group = 1, .term = 2, .vote = 3, .commit = 4},
        {.type = OAK_WAL_SNAPSHOT, .group = 1, .index = 2, .term = 3, .keep_log = true},
        {.type = OAK_WAL_META, .data = {(const uint8_t *)"identity", 8}},
        {.type = WAL__TYPE_GROUP,
         .group = 1,
         .index = 2,
         .term = 3,
         .vote = 4,
         .commit = 5,
         .snapshot_index = 6,
         .snapshot_term = 7,
         .last_term = 8},
    };
    struct oak_buf b = {0};
    for (size_t i = 0; i < OAK_COUNT_OF(records); i++) {
        assert_int_equal(wal__record_put(&b, &records[i]), 0);
        assert_int_equal(b.size % 8, 0);
    }
    struct oak_reader in = oak_reader(oak_buf_bytes(&b));
    for (size_t i = 0; i < OAK_COUNT_OF(records); i++) {
        struct wal__record r;
        assert_true(wal__record_get(&in, &r));
        assert_true(oak_bytes_eq(r.data, records[i].data));
        r.data = records[i].data;
        struct wal__record want = records[i];
        assert_int_equal(r.type, want.type);
        assert_int_equal(r.keep_log, want.keep_log);
        assert_int_equal(r.kind, want.kind);
        assert_int_equal(r.index, want.index);
        assert_int_equal(r.term, want.term);
        assert_int_equal(r.vote, want.vote);
        assert_int_equal(r.commit, want.commit);
        assert_int_equal(r.snapshot_index, want.snapshot_index);
        assert_int_equal(r.snapshot_term, want.snapshot_term);
        assert_int_equal(r.last_term, want.last_term);
    }
    assert_int_equal(oak_reader_left(&in), 0);
    /* Cut at every byte: refused, never read beyond. */
    for (size_t cut = 1; cut < 40; cut++) {
        uint8_t *exact = malloc(cut);
        memcpy(exact, b.data + b.size - 72, cut);
        struct oak_reader part = oak_reader(oak_bytes(exact, cut));
        struct wal__record r;
        assert_false(wal__record_get(&part, &r));
        free(exact);
    }
    oak_buf_fini(&b);
}

static void malformed_records_are_refused(void **state)
{
    (void)state;
    const struct {
        size_t at;
        uint8_t value;
    } wrongs[] = {{0, 200}, {0, 15}, {4, 0}, {4, 6}, {6, 2}, {7, 1}};
    for (size_t i = 0; i < OAK_COUNT_OF(wrongs); i++) {
        struct oak_buf b = {0};
        const struct wal__record r = {.type = OAK_WAL_HARD_STATE, .group = 1};
        assert_int_equal(wal__record_put(&b, &r), 0);
        b.data[wrongs[i].at] = wrongs[i].value;
        struct oak_reader in = oak_reader(oak_buf_bytes(&b));
        struct wal__record out;
        assert_false(wal__record_get(&in, &out));
        oak_buf_fini(&b);
    }
}

static void a_frame_is_valid_in_its_own_place_only(void **state)
{
    (void)state;
    uint8_t segment[4096] = {0};
    struct wal__frame f = {
        .batch = 9, .size = 1024, .used = 8, .last = true, .salt = 5, .chain = 6};
    wal__frame_put(segment + 1024, 7, 1024, &f);
    struct wal__frame out;
    assert_true(wal__frame_get(segment, 4096, 7, 1024, &out));
    assert_true(wal__frame_whole(segment, 7, 1024, &out));
    assert_int_equal(out.batch, 9);
    assert_int_equal(out.checksum, f.checksum);
    assert_false(wal__frame_get(segment, 4096, 8, 1024, &out)); /* another life of the file */
    assert_false(wal__frame_get(segment, 1536, 7, 1024, &out)); /* would reach beyond the end */
    memmove(segment + 512, segment + 1024, 1024);
    assert_false(wal__frame_get(segment, 4096, 7, 512, &out));
    assert_false(wal__frame_get(segment, 4096, 7, 4096, &out));
}

static void names_are_parsed_strictly(void **state)
{
    (void)state;
    enum wal__kind kind;
    uint64_t id;
    assert_true(wal__name_parse("00000000000000ff.wal", &kind, &id));
    assert_int_equal(id, 255);
    assert_int_equal(kind, WAL__CHAIN);
    assert_true(wal__name_parse("0000000000000001.spare", &kind, &id));
    assert_int_equal(kind, WAL__SPARE);
    const char *const others[] = {"",
                                  "lost+found",
                                  "00000000000000FF.wal",
                                  "0000000000000001.wal.bak",
                                  "0000000000000001",
                                  "000000000000001.wal",
                                  "00000000000000001.wal"};
    for (size_t i = 0; i < OAK_COUNT_OF(others); i++) {
        assert_false(wal__name_parse(others[i], &kind, &id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_has_the_documented_bytes),
        cmocka_unit_test(records_come_back_as_written),
        cmocka_unit_test(malformed_records_are_refused),
        cmocka_unit_test(a_frame_is_valid_in_its_own_place_only),
        cmocka_unit_test(names_are_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
