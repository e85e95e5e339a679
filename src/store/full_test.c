/* SPDX-License-Identifier: Apache-2.0 */
/* full_test.c: a store on a file system that is really full, in a mount namespace of the test's
 * own. */
#include <sched.h>
#include <sys/mount.h>

#include "store/test_help.h"

#define DISK "size=24m,mode=700"
#define KEYS 400

/* False where this user may not mount anything. RocksDB keeps its threads, which see what is
 * mounted in the namespace that they were made in: so there is one for all tests. */
static bool mount_small(const char *dir)
{
    static bool apart;
    apart = apart ||
            (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    return apart && mount("oakum", dir, "tmpfs", 0, DISK) == 0;
}

static void store_make(struct test_store *t, const struct test_engine *engine)
{
    *t = (struct test_store){.engine = engine, .memory = OAK_MIB};
    test_disk_init(&t->disk);
    snprintf(t->dir, sizeof(t->dir), "/tmp/oak-full-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    if (!mount_small(t->dir)) {
        rmdir(t->dir);
        print_message("not run: a small file system can't be mounted here, which takes root\n");
        skip();
    }
    test_store_open(t);
}

static void store_remove(struct test_store *t)
{
    oak_store_close(t->s);
    assert_int_equal(umount2(t->dir, MNT_DETACH), 0);
    rmdir(t->dir);
}

static void filler_path(const struct test_store *t, char *out)
{
    snprintf(out, 80, "%s/filler", t->dir);
}

/* Takes every byte that is left. */
static void fill_disk(const struct test_store *t)
{
    char path[80];
    char bytes[4096] = {1};
    filler_path(t, path);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof(bytes)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

/* Takes all but `bytes`. */
static void leave_space(const struct test_store *t, size_t bytes)
{
    char path[80];
    struct stat st;
    fill_disk(t);
    filler_path(t, path);
    assert_int_equal(stat(path, &st), 0);
    assert_true((size_t)st.st_size > bytes);
    assert_int_equal(truncate(path, st.st_size - (off_t)bytes), 0);
}

static void free_disk(const struct test_store *t)
{
    char path[80];
    filler_path(t, path);
    assert_int_equal(remove(path), 0);
}

/* Nothing that compresses. */
static void value_of(int64_t rev, char *out, size_t size)
{
    struct oak_prng prng;
    oak_prng_init(&prng, (uint64_t)rev);
    for (size_t i = 0; i < size - 1; i++) {
        out[i] = (char)(1 + oak_prng_below(&prng, 255));
    }
    out[size - 1] = '\0';
}

/* Revision `rev` writes 4 KiB to one of the keys. */
static void put_one(struct test_store *t, int64_t rev)
{
    char key[16];
    char value[4096];
    snprintf(key, sizeof(key), "key%lld", (long long)(rev % KEYS));
    value_of(rev, value, sizeof(value));
    int64_t first = rev % KEYS < 2 ? rev % KEYS + KEYS : rev % KEYS;
    test_put(t, rev, key, value, first, (rev - first) / KEYS + 1);
    test_commit(t, (uint64_t)rev, rev, -1);
}

static void check_all(struct test_store *t, int64_t last)
{
    for (int64_t rev = OAK_MAX((int64_t)2, last - KEYS + 1); rev <= last; rev++) {
        char key[16];
        char value[4096];
        struct oak_store_kv kv;
        snprintf(key, sizeof(key), "key%lld", (long long)(rev % KEYS));
        value_of(rev, value, sizeof(value));
        assert_int_equal(oak_store_get(t->s, oak_bytes_str(key), 0, &kv), 0);
        assert_int_equal(kv.mod_rev, rev);
        assert_true(oak_bytes_eq(kv.value, oak_bytes_str(value)));
    }
    const struct oak_store_range all = {.from = oak_bytes_str("key"), .open_end = true};
    uint64_t count = 0;
    assert_int_equal(oak_store_count(t->s, &all, 0, &count), 0);
    assert_int_equal(count, OAK_MIN((int64_t)KEYS, last - 1));
}

/* A whole flush; what it says. */
static int flush(struct test_store *t)
{
    struct oak_store_flush *f;
    uint64_t durable;
    int error = oak_store_flush_begin(t->s, &f);
    if (error == 0) {
        oak_store_flush_run(f);
        error = oak_store_flush_end(f, &durable);
    }
    return error;
}

/* A flush of which nothing is left to be done: one that RocksDB began by itself may be under way.
 */
static int flush_all(struct test_store *t)
{
    int error = flush(t);
    for (int tries = 0; error == OAK_EAGAIN; tries++) {
        assert_true(tries < 1200);
        test_pause(50);
        error = flush(t);
    }
    return error;
}

/* A compaction that is under way may give some back, until one of them finds no space: from then on
 * nothing is tried for five seconds. */
static void fill_for_good(struct test_store *t, int64_t *rev)
{
    int error = 0;
    for (int tries = 0; error == 0; tries++) {
        assert_true(tries < 100);
        fill_disk(t);
        put_one(t, ++*rev);
        error = flush_all(t);
    }
    assert_int_equal(error, OAK_ENOSPC);
}

/* RocksDB looks for space every five seconds. */
static void heal(struct test_store *t)
{
    for (int tries = 0; oak_store_full(t->s, NULL); tries++) {
        assert_true(tries < 1200);
        int error = flush(t);
        assert_true(error == 0 || error == OAK_ENOSPC || error == OAK_EAGAIN);
        test_pause(50);
    }
}

static void a_full_disk_is_waited_for_and_loses_nothing(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        store_make(&t, &test_engines[engine]);
        int64_t rev = 1;
        while (rev < 500) {
            put_one(&t, ++rev);
        }
        test_store_flush(&t);
        size_t waiting = 0;
        fill_for_good(&t, &rev);
        uint64_t durable = oak_store_durable(t.s);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 400; i++) {
                put_one(&t, ++rev);
            }
            fill_disk(&t); /* what a compaction had made, and has to remove */
            assert_int_equal(flush_all(&t), OAK_ENOSPC);
            assert_true(oak_store_full(t.s, &waiting));
            assert_true(waiting >= (size_t)round * 400 * 4096);
            assert_true(waiting < (size_t)(round + 1) * 400 * 4400);
            assert_int_equal(oak_store_durable(t.s), durable);
            bool more = false;
            assert_int_equal(oak_store_reclaim(t.s, 100, &more), 0);
            check_all(&t, rev);
        }
        free_disk(&t);
        heal(&t);
        assert_int_equal(oak_store_durable(t.s), rev);
        assert_false(oak_store_full(t.s, &waiting));
        assert_int_equal(waiting, 0);
        put_one(&t, ++rev);
        check_all(&t, rev);
        /* Full once more. What a flush has called durable is so, and what is closed now, and is
         * not, is the log's to bring again. */
        for (int error = 0; error != OAK_ENOSPC; error = flush(&t)) {
            fill_disk(&t); /* a compaction may give some back */
            put_one(&t, ++rev);
        }
        durable = oak_store_durable(t.s);
        oak_store_close(t.s);
        free_disk(&t);
        test_store_open(&t);
        assert_in_range(oak_store_state(t.s)->applied, durable, rev);
        rev = (int64_t)oak_store_state(t.s)->applied;
        check_all(&t, rev);
        store_remove(&t);
    }
}

static size_t files_in(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

/* There is room for half of what is restored. */
static void a_restore_without_space_is_given_up_and_leaves_nothing(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store from, t;
        test_store_init(&from, &test_engines[0]);
        int64_t rev = 1;
        while (rev < 2000) {
            put_one(&from, ++rev);
        }
        struct oak_buf stream = test_snapshot(&from, OAK_MIB);
        test_store_fini(&from);
        assert_true(stream.size > 6 * OAK_MIB);
        store_make(&t, &test_engines[engine]);
        test_put(&t, 2, "what was", "there", 2, 1);
        test_commit(&t, 2, 2, -1);
        test_store_flush(&t);
        size_t files = files_in(t.dir);
        leave_space(&t, stream.size / 2);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), OAK_MIB), OAK_ENOSPC);
            assert_int_equal(files_in(t.dir), files + 1); /* the filler */
            assert_string_equal(test_get(&t, "what was", 0), "there");
        }
        free_disk(&t);
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), OAK_MIB), 0);
        check_all(&t, rev);
        store_remove(&t);
        oak_buf_fini(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_is_waited_for_and_loses_nothing),
        cmocka_unit_test(a_restore_without_space_is_given_up_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
