/* SPDX-License-Identifier: Apache-2.0 */
/* scrub_test.c: the scrub comes by everything, in pieces; and damage in a file is found by it, or
 * by the read that meets it, while the store is open. */
#include <glob.h>

#include "store/test_help.h"

#define EACH_ENGINE(t)   \
    struct test_store t; \
    for (size_t engine = 0; engine < TEST_ENGINES; engine++)

#define KEYS  300
#define PIECE ((size_t)16 * OAK_KIB)

/* Nothing that compresses: so that a byte of a file is one of a value, mostly. */
static void put_one(struct test_store *t, int64_t rev)
{
    char key[16];
    char value[1000];
    struct oak_prng prng;
    oak_prng_init(&prng, (uint64_t)rev);
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (char)oak_prng_below(&prng, 256);
    }
    snprintf(key, sizeof(key), "key%lld", (long long)rev);
    const struct oak_store_kv kv = {.key = oak_bytes_str(key),
                                    .value = oak_bytes(value, sizeof(value)),
                                    .create_rev = rev,
                                    .mod_rev = rev,
                                    .version = 1};
    assert_int_equal(oak_store_put(t->s, (struct oak_store_rev){.main = rev}, &kv), 0);
    test_commit(t, (uint64_t)rev, rev, -1);
}

/* Opened anew, so that it has nothing of what is on disk in its caches. */
static void begin(struct test_store *t, const struct test_engine *engine)
{
    test_store_init(t, engine); /* one memtable, one file */
    for (int64_t rev = 2; rev < 2 + KEYS; rev++) {
        put_one(t, rev);
    }
    test_store_flush(t);
    test_store_reopen(t);
}

/* A whole pass; its pieces in *pieces. */
static int pass(struct test_store *t, size_t piece, unsigned *pieces)
{
    bool whole = false;
    int error = 0;
    for (*pieces = 0; error == 0 && !whole; ++*pieces) {
        struct oak_store_scrub *scrub;
        assert_int_equal(oak_store_scrub_begin(t->s, &scrub), 0);
        oak_store_scrub_run(scrub, piece);
        error = oak_store_scrub_end(scrub, &whole);
    }
    return error;
}

static void a_pass_comes_by_everything_in_pieces(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        unsigned pieces;
        test_store_init_sized(&t, &test_engines[engine], OAK_MIB);
        assert_int_equal(pass(&t, PIECE, &pieces), 0);
        assert_int_equal(pieces, 1);
        test_store_fini(&t);
        begin(&t, &test_engines[engine]);
        bool rocks = strcmp(t.engine->name, "rocks") == 0;
        for (int i = 0; i < 3; i++) {
            assert_int_equal(pass(&t, PIECE, &pieces), 0);
            assert_in_range(pieces, rocks ? KEYS * 1000 / PIECE : 1, rocks ? KEYS : 1);
            put_one(&t, 500 + i);
        }
        assert_false(oak_store_damaged(t.s));
        test_store_fini(&t);
    }
}

/* Other contents may come, and the old ones go, between two pieces and in the middle of one. */
static void contents_may_be_replaced_beside_it(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        begin(&t, &test_engines[engine]);
        struct oak_buf stream = test_snapshot(&t, 4096);
        unsigned pieces;
        struct oak_store_scrub *scrub;
        bool whole;
        assert_int_equal(oak_store_scrub_begin(t.s, &scrub), 0);
        oak_store_scrub_run(scrub, PIECE);
        assert_int_equal(oak_store_scrub_end(scrub, &whole), 0);
        assert_int_equal(oak_store_scrub_begin(t.s, &scrub), 0);
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 4096), 0);
        oak_store_scrub_run(scrub, PIECE);
        assert_int_equal(oak_store_scrub_end(scrub, &whole), 0);
        assert_int_equal(pass(&t, PIECE, &pieces), 0);
        oak_buf_fini(&stream);
        test_store_fini(&t);
    }
}

/* The file with the contents; the largest, when there are several. */
static void contents_path(const struct test_store *t, char *out, size_t size)
{
    glob_t found;
    char pattern[100];
    off_t largest = -1;
    bool rocks = strcmp(t->engine->name, "rocks") == 0;
    snprintf(pattern, sizeof(pattern), "%s/%s", t->dir, rocks ? "1/*.sst" : "store");
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat st;
        assert_int_equal(stat(found.gl_pathv[i], &st), 0);
        if (st.st_size > largest) {
            largest = st.st_size;
            snprintf(out, size, "%s", found.gl_pathv[i]);
        }
    }
    globfree(&found);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void a_byte_that_turns_in_a_file_is_found(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        begin(&t, &test_engines[engine]);
        char path[200];
        struct stat st;
        unsigned pieces;
        contents_path(&t, path, sizeof(path));
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size > KEYS * 900);
        /* Its last part are filters and indexes. */
        for (off_t at = 30; at < st.st_size * 9 / 10; at += st.st_size / 40) {
            flip(path, at);
            assert_int_equal(pass(&t, PIECE, &pieces), OAK_ECORRUPT);
            assert_true(oak_store_damaged(t.s));
            flip(path, at);
            test_store_reopen(&t);
            assert_int_equal(pass(&t, PIECE, &pieces), 0);
            assert_false(oak_store_damaged(t.s));
        }
        test_store_fini(&t);
    }
}

#if !defined(TEST_WITHOUT_ROCKS)
/* The memory engine reads its file at start only. */
static void a_read_that_meets_damage_marks_the_store(void **state)
{
    (void)state;
    struct test_store t;
    for (int how = 0; how < 4; how++) {
        begin(&t, &test_engines[1]);
        struct oak_buf stream = test_snapshot(&t, 4096);
        test_store_reopen(&t);
        char path[200];
        contents_path(&t, path, sizeof(path));
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        for (off_t at = 30; at < st.st_size * 9 / 10; at += 2048) {
            flip(path, at);
        }
        assert_false(oak_store_damaged(t.s));
        struct oak_store_kv kv;
        struct oak_store_snapshot *snap;
        const struct oak_store_range all = {.from = oak_bytes_str("key"), .open_end = true};
        uint64_t count;
        uint8_t bytes[4096];
        size_t got;
        switch (how) {
        case 0:
            assert_int_equal(oak_store_get(t.s, oak_bytes_str("key10"), 0, &kv), OAK_ECORRUPT);
            break;
        case 1:
            assert_int_equal(oak_store_head(t.s, oak_bytes_str("key20"), &kv), OAK_ECORRUPT);
            break;
        case 2:
            assert_int_equal(oak_store_count(t.s, &all, 50, &count), OAK_ECORRUPT);
            break;
        default:
            assert_int_equal(oak_store_snapshot_open(t.s, &snap), 0);
            assert_int_equal(oak_store_snapshot_seek(snap, KEYS * 500), OAK_ECORRUPT);
            assert_int_equal(oak_store_snapshot_read(snap, bytes, sizeof(bytes), &got),
                             OAK_ECORRUPT);
            oak_store_snapshot_close(snap);
            break;
        }
        assert_true(oak_store_damaged(t.s));
        /* Other contents make it whole. */
        unsigned pieces;
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 4096), 0);
        assert_false(oak_store_damaged(t.s));
        assert_int_equal(oak_store_get(t.s, oak_bytes_str("key10"), 0, &kv), 0);
        assert_int_equal(pass(&t, PIECE, &pieces), 0);
        oak_buf_fini(&stream);
        test_store_fini(&t);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_comes_by_everything_in_pieces),
        cmocka_unit_test(contents_may_be_replaced_beside_it),
        cmocka_unit_test(a_byte_that_turns_in_a_file_is_found),
#if !defined(TEST_WITHOUT_ROCKS)
        cmocka_unit_test(a_read_that_meets_damage_marks_the_store),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
