/* SPDX-License-Identifier: Apache-2.0 */
/* sort_test.c: what goes in comes out in order, whatever the memory; nothing stays on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sort/sort.h"
#include "wal/test_disk.h"

#define PAIRS     500
#define BUCKETS   10
#define VALUE_MAX 400

/* Pair `i` in order: each bucket has some, keys rise, and values are told by i. */
struct pair_text {
    char key[24];
    uint8_t value[VALUE_MAX];
};

static struct oak_sorter_pair pair_of(size_t i, struct pair_text *text)
{
    int size = snprintf(text->key, sizeof(text->key), "k%05zu", i);
    size_t value = i % 50 == 7 ? VALUE_MAX : i % 23;
    memset(text->value, (int)(i % 251), value);
    return (struct oak_sorter_pair){
        .bucket = (uint8_t)(i * BUCKETS / PAIRS),
        .key = oak_bytes(text->key, (size_t)size),
        .value = oak_bytes(text->value, value),
    };
}

/* All of them, in an order that is none. */
static int add_all(struct oak_sorter *s)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < PAIRS; i++) {
        struct pair_text text;
        const struct oak_sorter_pair pair = pair_of(i * 211 % PAIRS, &text);
        error = oak_sorter_add(s, &pair);
    }
    return error;
}

static int narrow_all(struct oak_sorter *s, size_t bytes)
{
    bool more = true;
    int error = 0;
    while (error == 0 && more) {
        error = oak_sorter_narrow(s, bytes, &more);
    }
    return error;
}

/* Take them; each has to be the one that follows. */
static int take_all(struct oak_sorter *s, size_t *count)
{
    struct oak_sorter_pair got;
    int error;
    *count = 0;
    while ((error = oak_sorter_next(s, &got)) == 0) {
        struct pair_text text;
        const struct oak_sorter_pair want = pair_of(*count, &text);
        assert_int_equal(got.bucket, want.bucket);
        assert_true(oak_bytes_eq(got.key, want.key));
        assert_true(oak_bytes_eq(got.value, want.value));
        (*count)++;
    }
    return error == OAK_ENOENT ? 0 : error;
}

static int sort_all(struct oak_sorter *s, const struct oak_disk *disk, size_t room, size_t fan,
                    size_t *count)
{
    *count = 0;
    int error = oak_sorter_init(s, disk, "7", room, fan);
    error = error != 0 ? error : add_all(s);
    error = error != 0 ? error : oak_sorter_seal(s);
    error = error != 0 ? error : narrow_all(s, 100);
    return error != 0 ? error : take_all(s, count);
}

static void pairs_come_out_in_order_by_any_memory(void **state)
{
    /* The least one holds few pairs, and some it does not hold at all. */
    static const size_t rooms[] = {200, 1000, 5000, 64 * OAK_KIB};
    static const size_t fans[] = {2, 3, 64};
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(rooms); i++) {
        for (size_t k = 0; k < OAK_COUNT_OF(fans); k++) {
            struct test_disk d;
            struct oak_sorter s;
            size_t count;
            test_disk_init(&d, 1);
            assert_int_equal(sort_all(&s, &d.port, rooms[i], fans[k], &count), 0);
            assert_int_equal(count, PAIRS);
            /* The largest has no need of a disk; what was read to its end is gone already. */
            assert_true(rooms[i] < 64 * OAK_KIB ? d.writes > 0 : d.writes == 0);
            assert_null(test_disk_name(&d, 0));
            oak_sorter_fini(&s);
            assert_int_equal(d.open_files, 0);
            test_disk_fini(&d);
        }
    }
}

static void no_more_than_so_many_runs_are_open_at_a_time(void **state)
{
    /* The largest pair has some 400 bytes: of such, twice the memory holds no more than two. */
    static const struct {
        size_t room;
        size_t fan;
        size_t open;
    } rows[] = {{1000, 3, 3}, {1000, 64, 4}, {300, 64, 2}};
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        struct test_disk d;
        struct oak_sorter s;
        size_t most = 0;
        bool more = true;
        test_disk_init(&d, 1);
        assert_int_equal(oak_sorter_init(&s, &d.port, "7", rows[i].room, rows[i].fan), 0);
        assert_int_equal(add_all(&s), 0);
        assert_int_equal(oak_sorter_seal(&s), 0);
        while (more) {
            assert_int_equal(oak_sorter_narrow(&s, 1, &more), 0);
            most = OAK_MAX(most, d.open_files);
        }
        struct oak_sorter_pair pair;
        assert_int_equal(oak_sorter_next(&s, &pair), 0);
        assert_int_equal(d.open_files, rows[i].open);
        assert_int_equal(most, rows[i].open + 1); /* and the one that they become */
        oak_sorter_fini(&s);
        assert_null(test_disk_name(&d, 0));
        test_disk_fini(&d);
    }
}

static void nothing_comes_of_nothing(void **state)
{
    struct test_disk d;
    struct oak_sorter s;
    struct oak_sorter_pair pair;
    (void)state;
    test_disk_init(&d, 1);
    assert_int_equal(oak_sorter_init(&s, &d.port, "7", 200, 2), 0);
    assert_int_equal(oak_sorter_seal(&s), 0);
    assert_int_equal(narrow_all(&s, 100), 0);
    assert_int_equal(oak_sorter_next(&s, &pair), OAK_ENOENT);
    oak_sorter_fini(&s);
    test_disk_fini(&d);
}

/* Each call to the disk fails in its turn. A file whose removal failed stays for the next start. */
static void a_disk_that_fails_is_told_and_nothing_is_left_open(void **state)
{
    (void)state;
    bool reached = true;
    size_t told = 0;
    for (uint64_t at = 0; reached; at++) {
        struct test_disk d;
        struct oak_sorter s;
        size_t count;
        test_disk_init(&d, 1);
        d.fail_at = at;
        d.fail_error = at % 2 == 0 ? OAK_ENOSPC : OAK_EIO;
        int error = sort_all(&s, &d.port, 1000, 3, &count);
        assert_true(error == 0 || error == d.fail_error);
        assert_true(error != 0 || count == PAIRS);
        told += error != 0 ? 1 : 0;
        reached = d.calls > at;
        oak_sorter_fini(&s);
        assert_int_equal(d.open_files, 0);
        assert_true(error == 0 || test_disk_name(&d, 1) == NULL);
        test_disk_fini(&d);
    }
    assert_true(told > 50);
}

/* A bit that flips in a run, wherever: the pairs before it are right, and then it is told. */
static void damage_in_a_run_is_found(void **state)
{
    (void)state;
    for (size_t at = 0; at < 3000; at += 7) {
        struct test_disk d;
        struct oak_sorter s;
        size_t count;
        size_t size;
        uint8_t byte;
        test_disk_init(&d, 1);
        assert_int_equal(oak_sorter_init(&s, &d.port, "7", 4000, 64), 0);
        assert_int_equal(add_all(&s), 0);
        assert_int_equal(oak_sorter_seal(&s), 0);
        const uint8_t *bytes = test_disk_peek(&d, "7-1.run", &size);
        assert_true(at < size);
        byte = bytes[at] ^ (uint8_t)(1 << at % 8);
        test_disk_poke(&d, "7-1.run", at, &byte, 1);
        assert_int_equal(take_all(&s, &count), OAK_ECORRUPT);
        oak_sorter_fini(&s);
        assert_int_equal(d.open_files, 0);
        assert_null(test_disk_name(&d, 0));
        test_disk_fini(&d);
    }
}

static void a_run_that_was_cut_short_is_found(void **state)
{
    struct test_disk d;
    struct oak_sorter s;
    size_t count;
    size_t size;
    (void)state;
    test_disk_init(&d, 1);
    assert_int_equal(oak_sorter_init(&s, &d.port, "7", 4000, 64), 0);
    assert_int_equal(add_all(&s), 0);
    assert_int_equal(oak_sorter_seal(&s), 0);
    (void)test_disk_peek(&d, "7-0.run", &size);
    test_disk_shorten(&d, "7-0.run", size - 1);
    assert_int_equal(take_all(&s, &count), OAK_ECORRUPT);
    oak_sorter_fini(&s);
    test_disk_fini(&d);
}

/* -- work that is gone on with ----------------------------------------------------------------- */

/* Where it stands, durably, under a name of its own. */
static int place_write(const struct oak_disk *disk, const struct oak_buf *text)
{
    struct oak_file *file = NULL;
    int error = disk->remove(disk->user, "place.part");
    error = error == OAK_ENOENT ? 0 : error;
    error = error != 0 ? error : disk->open(disk->user, "place.part", OAK_FILE_CREATE, &file);
    if (error == 0) {
        error = disk->write(disk->user, file, 0, text->data, text->size);
        error = error != 0 ? error : disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    error = error != 0 ? error : disk->rename(disk->user, "place.part", "place");
    return error != 0 ? error : disk->sync_dir(disk->user, ".");
}

/* How many pairs are in the runs, and which those are. */
static int save(struct oak_sorter *s, size_t added)
{
    struct oak_buf text = {0};
    uint8_t head[8];
    oak_put_u64(head, added);
    int error = oak_buf_append(&text, head, sizeof(head));
    error = error != 0 ? error : oak_sorter_save(s, &text);
    error = error != 0 ? error : place_write(s->disk, &text);
    oak_buf_fini(&text);
    if (error == 0) {
        oak_sorter_saved(s);
    }
    return error;
}

static size_t runs_there(const struct test_disk *d)
{
    size_t count = 0;
    for (size_t i = 0; test_disk_name(d, i) != NULL; i++) {
        count += strstr(test_disk_name(d, i), ".run") != NULL;
    }
    return count;
}

static size_t load(struct test_disk *d, struct oak_sorter *s)
{
    for (size_t i = 0; test_disk_name(d, i) != NULL; i++) {
        if (strcmp(test_disk_name(d, i), "place") == 0) {
            size_t size = 0;
            const uint8_t *bytes = test_disk_peek(d, "place", &size);
            struct oak_reader in = oak_reader(oak_bytes(bytes, size));
            size_t added = (size_t)oak_read_u64(&in);
            assert_int_equal(oak_sorter_load(s, &in), 0);
            assert_int_equal(oak_reader_left(&in), 0);
            return added;
        }
    }
    return 0;
}

static int go_on(struct test_disk *d, bool first, size_t *added)
{
    struct oak_sorter s;
    size_t count = 0;
    bool more = true;
    int error = oak_sorter_init(&s, &d->port, "7", 900, 3);
    assert_int_equal(error, 0);
    oak_sorter_keep(&s);
    *added = load(d, &s);
    for (size_t i = *added; error == 0 && i < PAIRS; i++) {
        struct pair_text text;
        const struct oak_sorter_pair pair = pair_of(i * 211 % PAIRS, &text);
        error = oak_sorter_is_full(&s, &pair) ? save(&s, i) : 0;
        error = error != 0 ? error : oak_sorter_add(&s, &pair);
    }
    error = error != 0 ? error : oak_sorter_seal(&s);
    while (error == 0 && more) {
        error = oak_sorter_narrow(&s, 1000, &more);
        error = error == 0 && oak_sorter_has_merged(&s) ? save(&s, PAIRS) : error;
    }
    assert_true(!first || d->dead || runs_there(d) <= 3); /* the rest has been merged */
    error = error != 0 ? error : take_all(&s, &count);
    assert_true(error != 0 || count == PAIRS);
    oak_sorter_fini(&s);
    return error;
}

/* The power goes at each call to the disk in turn, so that it is gone on from each place; what is
 * there in the end is all of it, once. */
static void it_is_gone_on_with_wherever_it_ended(void **state)
{
    (void)state;
    size_t from[PAIRS + 1] = {0};
    for (uint64_t at = 0;; at++) {
        struct test_disk d;
        size_t added;
        test_disk_init(&d, at);
        d.cut_at = at;
        int error = go_on(&d, true, &added);
        if (error != 0) {
            assert_int_equal(error, OAK_EIO);
            test_disk_cut(&d, TEST_DISK_KEEP_RANDOM);
            assert_int_equal(go_on(&d, false, &added), 0);
            from[added]++;
            assert_string_equal(test_disk_name(&d, 0), "place");
            const char *rest = test_disk_name(&d, 1);
            assert_true(rest == NULL || strcmp(rest, "place.part") == 0);
        }
        assert_int_equal(d.open_files, 0);
        test_disk_fini(&d);
        if (error == 0) { /* all was taken before the power went */
            break;
        }
    }
    size_t places = 0;
    for (size_t i = 0; i <= PAIRS; i++) {
        places += from[i] > 0;
    }
    assert_true(from[0] > 0 && from[PAIRS] > 0 && places > 10);
}

/* A run that is gone, or shorter, or a description of something else. */
static void what_was_not_saved_is_not_loaded(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct test_disk d;
        struct oak_sorter s;
        struct oak_buf text = {0};
        test_disk_init(&d, 1);
        assert_int_equal(oak_sorter_init(&s, &d.port, "7", 2000, 3), 0);
        oak_sorter_keep(&s);
        assert_int_equal(add_all(&s), 0);
        assert_true(oak_sorter_has_runs(&s));
        assert_int_equal(oak_sorter_save(&s, &text), 0);
        struct oak_sorter other;
        assert_int_equal(oak_sorter_init(&other, &d.port, "7", 2000, 3), 0);
        oak_sorter_keep(&other);
        text.size -= kind == 1 ? 1 : 0;
        text.data[0] = kind == 2 ? 1 : text.data[0]; /* a number that was not given */
        if (kind == 3) {
            assert_int_equal(d.port.remove(d.port.user, "7-1.run"), 0);
        }
        if (kind == 4) {
            test_disk_shorten(&d, "7-1.run", 10);
        }
        struct oak_reader in = oak_reader(oak_buf_bytes(&text));
        assert_int_equal(oak_sorter_load(&other, &in), kind == 0 ? 0 : OAK_ECORRUPT);
        assert_int_equal(oak_sorter_has_runs(&other), kind == 0);
        oak_sorter_fini(&other);
        oak_sorter_fini(&s);
        oak_buf_fini(&text);
        assert_int_equal(d.open_files, 0);
        test_disk_fini(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_out_in_order_by_any_memory),
        cmocka_unit_test(no_more_than_so_many_runs_are_open_at_a_time),
        cmocka_unit_test(nothing_comes_of_nothing),
        cmocka_unit_test(a_disk_that_fails_is_told_and_nothing_is_left_open),
        cmocka_unit_test(damage_in_a_run_is_found),
        cmocka_unit_test(a_run_that_was_cut_short_is_found),
        cmocka_unit_test(it_is_gone_on_with_wherever_it_ended),
        cmocka_unit_test(what_was_not_saved_is_not_loaded),
    };
    return cmocka_run_group_tests_name("sort", tests, NULL, NULL);
}
