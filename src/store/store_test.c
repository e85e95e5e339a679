/* SPDX-License-Identifier: Apache-2.0 */
/* store_test.c: what the door promises, of each engine in turn. */
#include "store/test_help.h"

#define EACH_ENGINE(t)   \
    struct test_store t; \
    for (size_t engine = 0; engine < TEST_ENGINES; engine++)

static void an_empty_store_has_revision_one_and_nothing_else(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        const struct oak_store_state *s = oak_store_state(t.s);
        assert_int_equal(s->applied, 0);
        assert_int_equal(s->revision, 1);
        assert_int_equal(s->compacted, -1);
        assert_null(test_get(&t, "a", 0));
        uint64_t count = 9;
        const struct oak_store_range all = {.open_end = true};
        assert_int_equal(oak_store_count(t.s, &all, 0, &count), 0);
        assert_int_equal(count, 0);
        test_store_fini(&t);
    }
}

static void the_owner_reads_its_own_uncommitted_writes(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "1", 2, 1);
        assert_string_equal(test_get(&t, "a", 0), "1");
        test_put(&t, 3, "a", "2", 2, 2);
        assert_string_equal(test_get(&t, "a", 0), "2");
        assert_string_equal(test_get(&t, "a", 2), "1");
        test_del(&t, 4, "a");
        assert_null(test_get(&t, "a", 0));
        assert_string_equal(test_get(&t, "a", 3), "2");
        assert_int_equal(oak_store_state(t.s)->revision, 1);
        test_commit(&t, 1, 4, -1);
        assert_null(test_get(&t, "a", 0));
        assert_string_equal(test_get(&t, "a", 2), "1");
        test_store_fini(&t);
    }
}

static void a_value_that_was_given_out_may_be_put_again(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "as it was", 2, 1);
        for (int64_t main = 3; main < 30; main++) {
            struct oak_store_kv kv;
            assert_int_equal(oak_store_get(t.s, oak_bytes_str("a"), 0, &kv), 0);
            kv.mod_rev = main;
            kv.version++;
            kv.lease = main % 2 == 0 ? 0 : 1234567;
            assert_int_equal(oak_store_put(t.s, (struct oak_store_rev){.main = main}, &kv), 0);
            if (main % 5 == 0) {
                test_commit(&t, (uint64_t)main, main, -1);
            }
        }
        assert_string_equal(test_get(&t, "a", 0), "as it was");
        test_store_fini(&t);
    }
}

static void what_is_not_flushed_may_go_but_only_from_the_newest_end(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "1", 2, 1);
        assert_int_equal(oak_store_meta_put(t.s, oak_bytes_str("m"), oak_bytes_str("1")), 0);
        test_commit(&t, 5, 2, -1);
        test_store_flush(&t);
        assert_int_equal(oak_store_durable(t.s), 5);
        test_put(&t, 3, "a", "2", 2, 2);
        test_put(&t, 4, "b", "2", 4, 1);
        test_commit(&t, 6, 4, 2);
        assert_int_equal(oak_store_durable(t.s), 5);
        test_put(&t, 5, "c", "never committed", 5, 1);
        test_store_reopen(&t);
        const struct oak_store_state *s = oak_store_state(t.s);
        assert_true(s->applied == 5 || s->applied == 6);
        assert_int_equal(s->applied, oak_store_durable(t.s));
        assert_int_equal(s->chain, s->applied * 77);
        assert_int_equal(s->revision, s->applied == 5 ? 2 : 4);
        assert_int_equal(s->compacted, s->applied == 5 ? -1 : 2);
        assert_string_equal(test_get(&t, "a", 0), s->applied == 5 ? "1" : "2");
        assert_true((test_get(&t, "b", 0) == NULL) == (s->applied == 5));
        assert_null(test_get(&t, "c", 0));
        test_store_fini(&t);
    }
}

static void writes_between_begin_and_end_of_a_flush_are_not_called_durable(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        struct oak_store_flush *f;
        uint64_t durable;
        test_put(&t, 2, "a", "1", 2, 1);
        test_commit(&t, 5, 2, -1);
        assert_int_equal(oak_store_flush_begin(t.s, &f), 0);
        test_put(&t, 3, "b", "1", 3, 1);
        test_commit(&t, 6, 3, -1);
        oak_store_flush_run(f);
        assert_int_equal(oak_store_durable(t.s), 0);
        assert_int_equal(oak_store_flush_end(f, &durable), 0);
        assert_int_equal(durable, 5);
        assert_int_equal(oak_store_durable(t.s), 5);
        test_store_fini(&t);
    }
}

static void no_space_at_a_flush_leaves_the_memory_store_as_it_was(void **state)
{
    (void)state;
    /* Fail each call that changes the disk in turn, until none is left to fail. */
    for (long call = 0;; call++) {
        struct test_store t;
        test_store_init(&t, &test_engines[0]);
        struct oak_store_flush *f;
        uint64_t durable;
        test_put(&t, 2, "a", "1", 2, 1);
        test_commit(&t, 5, 2, -1);
        test_store_flush(&t);
        test_put(&t, 3, "a", "2", 2, 2);
        test_commit(&t, 6, 3, -1);
        t.disk.countdown = call;
        t.disk.error = OAK_ENOSPC;
        assert_int_equal(oak_store_flush_begin(t.s, &f), 0);
        oak_store_flush_run(f);
        int error = oak_store_flush_end(f, &durable);
        if (error == 0) {
            assert_int_not_equal(t.disk.error, 0);
            test_store_fini(&t);
            assert_true(call > 4);
            return;
        }
        assert_int_equal(error, OAK_ENOSPC);
        assert_int_equal(durable, 5);
        test_put(&t, 4, "a", "3", 2, 3);
        test_commit(&t, 7, 4, -1);
        test_store_flush(&t);
        test_store_reopen(&t);
        assert_string_equal(test_get(&t, "a", 0), "3");
        test_store_fini(&t);
    }
}

static void a_failed_sync_poisons_the_memory_store(void **state)
{
    (void)state;
    struct test_store t;
    test_store_init(&t, &test_engines[0]);
    struct oak_store_flush *f;
    uint64_t durable;
    test_put(&t, 2, "a", "1", 2, 1);
    test_commit(&t, 5, 2, -1);
    t.disk.error = OAK_EIO;
    assert_int_equal(oak_store_flush_begin(t.s, &f), 0);
    oak_store_flush_run(f);
    assert_int_equal(oak_store_flush_end(f, &durable), OAK_EIO);
    assert_int_equal(durable, 0);
    const struct oak_store_kv kv = {
        .key = oak_bytes_str("a"), .create_rev = 2, .mod_rev = 3, .version = 2};
    assert_int_equal(oak_store_put(t.s, (struct oak_store_rev){.main = 3}, &kv), OAK_EFATAL);
    assert_int_equal(oak_store_flush_begin(t.s, &f), OAK_EFATAL);
    assert_string_equal(test_get(&t, "a", 0), "1");
    test_store_fini(&t);
}

/* -- compaction -------------------------------------------------------------------------------- */

static size_t versions_in(struct test_store *t)
{
    /* From the stream's trailer: metas u64, versions u64, CRC u32 at the very end. */
    struct oak_buf all = test_snapshot(t, 1000);
    uint64_t versions = oak_get_u64(all.data + all.size - 12);
    oak_buf_fini(&all);
    return (size_t)versions;
}

static void reclaim_keeps_what_is_readable_at_the_floor(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "a2", 2, 1);
        test_put(&t, 3, "a", "a3", 2, 2);
        test_put(&t, 4, "b", "b4", 4, 1);
        test_del(&t, 5, "b");
        test_put(&t, 6, "c", "c6", 6, 1);
        test_del(&t, 7, "c");
        test_put(&t, 8, "a", "a8", 2, 3);
        test_commit(&t, 1, 8, -1);
        test_reclaim_all(&t, 1);
        assert_int_equal(versions_in(&t), 7);
        test_commit(&t, 2, 8, 7);
        test_reclaim_all(&t, 1);
        assert_string_equal(test_get(&t, "a", 7), "a3");
        assert_string_equal(test_get(&t, "a", 8), "a8");
        assert_null(test_get(&t, "b", 7));
        assert_null(test_get(&t, "c", 7));
        /* a3, the tombstone of c that stands at the floor itself, a8 */
        assert_int_equal(versions_in(&t), 3);
        test_commit(&t, 3, 8, 8);
        test_reclaim_all(&t, 1000);
        assert_int_equal(versions_in(&t), 1);
        assert_string_equal(test_get(&t, "a", 0), "a8");
        test_store_flush(&t);
        test_store_reopen(&t);
        assert_string_equal(test_get(&t, "a", 8), "a8");
        assert_null(test_get(&t, "c", 0));
        test_store_fini(&t);
    }
}

static void reclaim_goes_on_after_a_restart(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        for (int64_t main = 2; main < 400; main++) {
            test_put(&t, main, "hot", "v", 2, main - 1);
            if (main % 7 == 0) {
                test_commit(&t, (uint64_t)main, main, -1);
            }
        }
        test_commit(&t, 400, 399, 350);
        bool more;
        for (int round = 0; round < 40; round++) {
            assert_int_equal(oak_store_reclaim(t.s, 10, &more), 0);
            assert_string_equal(test_get(&t, "hot", 350), "v");
            if (round % 9 == 0) {
                test_store_flush(&t);
                test_store_reopen(&t);
            }
        }
        test_reclaim_all(&t, 10);
        struct oak_store_kv kv;
        assert_int_equal(oak_store_get(t.s, oak_bytes_str("hot"), 350, &kv), 0);
        assert_int_equal(kv.mod_rev, 350);
        assert_int_equal(oak_store_get(t.s, oak_bytes_str("hot"), 349, &kv), OAK_ENOENT);
        test_store_fini(&t);
    }
}

/* -- many keys, long histories ----------------------------------------------------------------- */

static void many_keys_come_and_go(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        struct oak_prng prng;
        oak_prng_init(&prng, 5);
        static bool alive[MANY];
        memset(alive, 0, sizeof(alive));
        uint64_t expected = 0;
        int64_t main = 1;
        for (uint64_t applied = 1; applied <= 60; applied++) {
            for (int i = 0; i < 500; i++) {
                char key[16];
                /* Waves of keys: whole ranges of the tree fill and empty again. */
                unsigned n = (unsigned)((applied * 150 + oak_prng_below(&prng, 600)) % MANY);
                snprintf(key, sizeof(key), "k%05u", n);
                main++;
                if (alive[n] && oak_prng_chance(&prng, 3, 4)) {
                    test_del(&t, main, key);
                    alive[n] = false;
                    expected--;
                } else if (!alive[n]) {
                    test_put(&t, main, key, key, main, 1);
                    alive[n] = true;
                    expected++;
                }
            }
            test_commit(&t, applied, main, main - 50);
            test_reclaim_all(&t, 200);
        }
        const struct oak_store_range all = {.open_end = true};
        struct oak_store_scan *scan;
        struct oak_store_kv kv;
        for (int descend = 0; descend < 2; descend++) {
            assert_int_equal(oak_store_scan_open(t.s, &all, 0, false, descend, &scan), 0);
            for (unsigned i = 0; i < MANY; i++) {
                unsigned n = descend ? MANY - 1 - i : i;
                char key[16];
                snprintf(key, sizeof(key), "k%05u", n);
                if (alive[n]) {
                    assert_int_equal(oak_store_scan_next(scan, &kv), 0);
                    assert_true(oak_bytes_eq(kv.key, oak_bytes_str(key)));
                    assert_true(oak_bytes_eq(kv.value, oak_bytes_str(key)));
                }
            }
            assert_int_equal(oak_store_scan_next(scan, &kv), OAK_ENOENT);
            oak_store_scan_close(scan);
        }
        uint64_t count;
        assert_int_equal(oak_store_count(t.s, &all, 0, &count), 0);
        assert_int_equal(count, expected);
        test_store_fini(&t);
    }
}

static void a_key_with_a_long_history_is_scanned_at_any_revision(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "x", 2, 1);
        for (int64_t main = 3; main < 103; main++) {
            test_put(&t, main, "b", "y", 3, main - 2);
        }
        test_put(&t, 103, "c", "z", 103, 1);
        test_commit(&t, 1, 103, -1);
        const struct oak_store_range all = {.open_end = true};
        for (int64_t rev = 2; rev <= 103; rev++) {
            for (int descend = 0; descend < 2; descend++) {
                struct oak_store_scan *scan;
                struct oak_store_kv kv;
                int seen = 0;
                assert_int_equal(oak_store_scan_open(t.s, &all, rev, false, descend, &scan), 0);
                while (oak_store_scan_next(scan, &kv) == 0) {
                    seen++;
                    if (kv.key.data[0] == 'b') {
                        assert_int_equal(kv.mod_rev, OAK_MIN(rev, (int64_t)102));
                    }
                }
                assert_int_equal(seen, rev == 2 ? 1 : rev == 103 ? 3 : 2);
                oak_store_scan_close(scan);
            }
        }
        test_store_fini(&t);
    }
}

static void large_values_and_keys_are_kept_whole(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        size_t sizes[] = {0, 1, 2047, 2048, 2049, 4096, 100000, 3000000};
        uint8_t *bytes = malloc(3000000);
        memset(bytes, 'k', 3000000);
        int64_t main = 1;
        for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
            main++;
            const struct oak_store_kv kv = {.key = oak_bytes(bytes, 1 + i + sizes[i] / 2),
                                            .value = oak_bytes(bytes, sizes[i]),
                                            .create_rev = main,
                                            .mod_rev = main,
                                            .version = 1};
            assert_int_equal(oak_store_put(t.s, (struct oak_store_rev){.main = main}, &kv), 0);
        }
        test_commit(&t, 1, main, -1);
        for (int pass = 0; pass < 2; pass++) {
            for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
                struct oak_store_kv kv;
                struct oak_bytes key = oak_bytes(bytes, 1 + i + sizes[i] / 2);
                assert_int_equal(oak_store_get(t.s, key, 0, &kv), 0);
                assert_int_equal(kv.key.size, key.size);
                assert_int_equal(kv.value.size, sizes[i]);
            }
            test_store_flush(&t);
            test_store_reopen(&t);
        }
        struct oak_store_kv kv = {
            .key = oak_bytes(bytes, 0), .mod_rev = 50, .create_rev = 50, .version = 1};
        assert_int_equal(oak_store_put(t.s, (struct oak_store_rev){.main = 50}, &kv), OAK_EINVAL);
        kv.key = oak_bytes(bytes, 1);
        kv.value = oak_bytes(bytes, 64 * OAK_MIB);
        assert_int_equal(oak_store_put(t.s, (struct oak_store_rev){.main = 50}, &kv), OAK_EINVAL);
        free(bytes);
        test_store_fini(&t);
    }
}

/* -- directories ------------------------------------------------------------------------------- */

static void write_over(const char *dir, const char *name, size_t at, uint8_t flip)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= flip;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_damaged_file_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const files[] = {"store", "current"};
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "1", 2, 1);
        test_commit(&t, 1, 2, -1);
        test_store_flush(&t);
        struct oak_store *s = t.s;
        oak_store_close(s);
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", t.dir, files[engine]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        for (size_t at = 0; at < (size_t)st.st_size; at++) {
            write_over(t.dir, files[engine], at, 0x20);
            assert_int_equal(test_store_try_open(&t), OAK_ECORRUPT);
            assert_non_null(strstr(t.e.text, files[engine]));
            assert_non_null(strstr(t.e.text, "move"));
            write_over(t.dir, files[engine], at, 0x20);
        }
        for (off_t size = 0; size < st.st_size; size += 3) {
            char copy[160];
            snprintf(copy, sizeof(copy), "%s.whole", path);
            assert_int_equal(rename(path, copy), 0);
            FILE *in = fopen(copy, "rb");
            FILE *out = fopen(path, "wb");
            for (off_t i = 0; i < size; i++) {
                fputc(fgetc(in), out);
            }
            fclose(in);
            fclose(out);
            assert_int_equal(test_store_try_open(&t), OAK_ECORRUPT);
            assert_int_equal(rename(copy, path), 0);
        }
        test_store_open(&t);
        assert_string_equal(test_get(&t, "a", 0), "1");
        test_store_fini(&t);
    }
}

static void flip_one(void *arg, const char *name)
{
    struct test_store *t = arg;
    size_t length = strlen(name);
    char path[96];
    struct stat st;
    snprintf(path, sizeof(path), "1/%.64s", name);
    if (length < 4 || strcmp(name + length - 4, ".sst") != 0) {
        return;
    }
    char full[192];
    snprintf(full, sizeof(full), "%s/%s", t->dir, path);
    assert_int_equal(stat(full, &st), 0);
    write_over(t->dir, path, t->memory % (size_t)st.st_size, 0x10);
}

static void a_damaged_table_is_noticed_and_never_believed(void **state)
{
    (void)state;
    struct test_store t;
    /* `memory` also says which byte is changed: it wanders through the whole file. */
    test_store_init_sized(&t, &test_engines[TEST_ENGINES - 1], 0);
    if (strcmp(t.engine->name, "rocks") != 0) {
        test_store_fini(&t);
        return;
    }
    char key[16];
    for (int64_t main = 2; main < 500; main++) {
        snprintf(key, sizeof(key), "k%03d", (int)main);
        test_put(&t, main, key, key, main, 1);
    }
    test_commit(&t, 1, 499, -1);
    test_store_flush(&t);
    char dir[80];
    snprintf(dir, sizeof(dir), "%s/1", t.dir);
    unsigned noticed = 0;
    for (size_t at = 7; at < 30000; at += 611) {
        oak_store_close(t.s);
        t.memory = at;
        assert_int_equal(test_list(NULL, dir, flip_one, &t), 0);
        t.memory = 8 * OAK_MIB;
        int opened = test_store_try_open(&t);
        noticed += opened != 0;
        assert_true(opened == 0 || opened == OAK_ECORRUPT || opened == OAK_EIO);
        for (int64_t main = 2; main < 500 && opened == 0; main++) {
            struct oak_store_kv kv;
            snprintf(key, sizeof(key), "k%03d", (int)main);
            int error = oak_store_get(t.s, oak_bytes_str(key), 0, &kv);
            noticed += error != 0;
            assert_true(error == OAK_ECORRUPT ||
                        (error == 0 && oak_bytes_eq(kv.value, oak_bytes_str(key))));
        }
        if (opened == 0) {
            oak_store_close(t.s);
        }
        t.memory = at;
        assert_int_equal(test_list(NULL, dir, flip_one, &t), 0);
        t.memory = 8 * OAK_MIB;
        test_store_open(&t);
    }
    assert_true(noticed > 0);
    test_store_fini(&t);
}

static void a_store_of_another_group_is_refused(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "1", 2, 1);
        test_commit(&t, 1, 2, -1);
        test_store_flush(&t);
        oak_store_close(t.s);
        const struct oak_store_options options = {
            .disk = &t.disk.disk, .dir = t.dir, .group = 8, .memory_bytes = 8 * OAK_MIB};
        assert_int_equal(t.engine->open(&options, &t.s, &t.e), OAK_EINVAL);
        assert_null(t.s);
        assert_non_null(strstr(t.e.text, "group"));
        test_store_open(&t);
        test_store_fini(&t);
    }
}

static void a_store_without_a_directory_is_refused(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_disk disk;
        struct oak_store *s;
        struct oak_errbuf e;
        test_disk_init(&disk);
        struct oak_store_options options = {.disk = &disk.disk};
        assert_int_equal(test_engines[engine].open(&options, &s, &e), OAK_EINVAL);
        options.dir = "/tmp/oak-no-such-directory/at/all";
        assert_int_equal(test_engines[engine].open(&options, &s, &e), OAK_ENOENT);
        assert_non_null(strstr(e.text, options.dir));
        assert_null(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_has_revision_one_and_nothing_else),
        cmocka_unit_test(the_owner_reads_its_own_uncommitted_writes),
        cmocka_unit_test(a_value_that_was_given_out_may_be_put_again),
        cmocka_unit_test(what_is_not_flushed_may_go_but_only_from_the_newest_end),
        cmocka_unit_test(writes_between_begin_and_end_of_a_flush_are_not_called_durable),
        cmocka_unit_test(no_space_at_a_flush_leaves_the_memory_store_as_it_was),
        cmocka_unit_test(a_failed_sync_poisons_the_memory_store),
        cmocka_unit_test(reclaim_keeps_what_is_readable_at_the_floor),
        cmocka_unit_test(reclaim_goes_on_after_a_restart),
        cmocka_unit_test(many_keys_come_and_go),
        cmocka_unit_test(a_key_with_a_long_history_is_scanned_at_any_revision),
        cmocka_unit_test(large_values_and_keys_are_kept_whole),
        cmocka_unit_test(a_damaged_file_is_refused_by_name),
        cmocka_unit_test(a_damaged_table_is_noticed_and_never_believed),
        cmocka_unit_test(a_store_of_another_group_is_refused),
        cmocka_unit_test(a_store_without_a_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
