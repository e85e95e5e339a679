/* SPDX-License-Identifier: Apache-2.0 */
/* restore_test.c: new contents are built beside the old ones, which go on serving; the switch is
 * one moment; and a snapshot's stream can be read on from any place of it. */
#include <pthread.h>

#include "store/internal.h"
#include "store/test_help.h"

#define EACH_ENGINE(t)   \
    struct test_store t; \
    for (size_t engine = 0; engine < TEST_ENGINES; engine++)

#define KEYS 200

static void fill(struct test_store *t)
{
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "new%d", i);
        test_put(t, 2 + i, key, "from afar", 2 + i, 1);
    }
    test_del(t, 2 + KEYS, "new0");
    assert_int_equal(oak_store_meta_put(t->s, oak_bytes_str("who"), oak_bytes_str("afar")), 0);
    test_commit(t, 5000, 2 + KEYS, -1);
}

static struct oak_buf stream_make(void)
{
    struct test_store from;
    test_store_init(&from, &test_engines[0]);
    fill(&from);
    struct oak_buf stream = test_snapshot(&from, 1000);
    test_store_fini(&from);
    return stream;
}

struct builder {
    struct oak_store_restore *restore;
    struct oak_bytes stream;
    int error;
};

static void *build(void *arg)
{
    struct builder *b = arg;
    for (size_t at = 0; b->error == 0 && at < b->stream.size; at += 97) {
        size_t size = OAK_MIN((size_t)97, b->stream.size - at);
        b->error = oak_store_restore_write(b->restore, oak_bytes(b->stream.data + at, size));
    }
    b->error = b->error != 0 ? b->error : oak_store_restore_prepare(b->restore);
    return NULL;
}

static void *commit(void *arg)
{
    struct builder *b = arg;
    b->error = oak_store_restore_commit(b->restore);
    return NULL;
}

static void *end(void *arg)
{
    struct builder *b = arg;
    oak_store_restore_end(b->restore);
    return NULL;
}

static void in_thread(void *(*run)(void *arg), struct builder *b)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, b), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* All that an owner does, in the time that a worker builds. */
static void owner_works(struct test_store *t, int64_t from)
{
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof(key), "old%d", i);
        test_put(t, from + i, key, "here", from + i, 1);
        test_commit(t, (uint64_t)(10 + from + i), from + i, -1);
        assert_string_equal(test_get(t, key, 0), "here");
        assert_null(test_get(t, "new5", 0));
    }
    test_store_flush(t);
    struct oak_buf stream = test_snapshot(t, 500);
    oak_buf_fini(&stream);
}

static void the_owner_serves_and_writes_until_the_switch(void **state)
{
    (void)state;
    struct oak_buf stream = stream_make();
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        owner_works(&t, 2);
        struct builder b = {.stream = oak_buf_bytes(&stream)};
        pthread_t thread;
        assert_int_equal(oak_store_restore_begin(t.s, &b.restore), 0);
        assert_int_equal(pthread_create(&thread, NULL, build, &b), 0);
        owner_works(&t, 300);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(b.error, 0);
        assert_string_equal(test_get(&t, "old7", 0), "here");
        in_thread(commit, &b);
        assert_int_equal(b.error, 0);
        assert_string_equal(test_get(&t, "old7", 0), "here"); /* reads go on up to the moment */
        oak_store_restore_adopt(b.restore);
        assert_null(test_get(&t, "old7", 0));
        assert_string_equal(test_get(&t, "new7", 0), "from afar");
        assert_int_equal(oak_store_state(t.s)->applied, 5000);
        assert_int_equal(oak_store_durable(t.s), 5000);
        in_thread(end, &b);
        test_put(&t, 900, "then", "on", 900, 1);
        test_commit(&t, 5001, 900, -1);
        test_store_flush(&t);
        test_store_reopen(&t);
        assert_string_equal(test_get(&t, "then", 0), "on");
        assert_string_equal(test_get(&t, "new7", 0), "from afar");
        assert_null(test_get(&t, "old7", 0));
        test_store_fini(&t);
    }
    oak_buf_fini(&stream);
}

/* Files beside the databases, whose names begin with `first`. */
static size_t files_named(struct test_store *t, const char *first, const char *last)
{
    size_t count = 0;
    DIR *dir = opendir(t->dir);
    assert_non_null(dir);
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        size_t size = strlen(d->d_name);
        size_t end = strlen(last);
        count += strncmp(d->d_name, first, strlen(first)) == 0 && size >= end &&
                 strcmp(d->d_name + size - end, last) == 0;
    }
    closedir(dir);
    return count;
}

/* P3 and P4: whatever step it ends at, the old contents are there, and another one can begin. */
static void a_restore_that_ends_anywhere_before_commit_changes_nothing(void **state)
{
    (void)state;
    struct oak_buf stream = stream_make();
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        owner_works(&t, 2);
        for (int step = 0; step < 4; step++) {
            struct oak_store_restore *r;
            assert_int_equal(oak_store_restore_begin(t.s, &r), 0);
            size_t half = stream.size / 2;
            if (step > 0) {
                assert_int_equal(oak_store_restore_write(r, oak_bytes(stream.data, half)), 0);
            }
            if (step == 2) {
                assert_int_equal(oak_store_restore_prepare(r), OAK_ECORRUPT);
            }
            if (step == 3) {
                struct oak_bytes rest = oak_bytes(stream.data + half, stream.size - half);
                assert_int_equal(oak_store_restore_write(r, rest), 0);
                assert_int_equal(oak_store_restore_prepare(r), 0);
            }
            oak_store_restore_drop(r);
            oak_store_restore_end(r);
            assert_int_equal(files_named(&t, "restoring-", ""), 0);
            owner_works(&t, 300 * (step + 1));
        }
        test_store_reopen(&t);
        assert_string_equal(test_get(&t, "old7", 0), "here");
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 1000), 0);
        assert_string_equal(test_get(&t, "new7", 0), "from afar");
        test_store_fini(&t);
    }
    oak_buf_fini(&stream);
}

/* P6. RocksDB's own files are not written through the port: for it this is the file that names the
 * database. */
static void a_full_disk_before_commit_leaves_a_store_that_works(void **state)
{
    (void)state;
    struct oak_buf stream = stream_make();
    EACH_ENGINE(t)
    {
        bool failed = true;
        for (long call = 0; failed; call++) {
            test_store_init(&t, &test_engines[engine]);
            owner_works(&t, 2);
            t.disk.countdown = call;
            t.disk.error = OAK_ENOSPC;
            struct builder b = {.stream = oak_buf_bytes(&stream)};
            assert_int_equal(oak_store_restore_begin(t.s, &b.restore), 0);
            in_thread(build, &b);
            failed = t.disk.error == 0;
            assert_int_equal(b.error, failed ? OAK_ENOSPC : 0);
            t.disk.error = 0;
            oak_store_restore_drop(b.restore);
            in_thread(end, &b);
            owner_works(&t, 300);
            assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 1000), 0);
            assert_string_equal(test_get(&t, "new7", 0), "from afar");
            test_store_fini(&t);
        }
    }
    oak_buf_fini(&stream);
}

#if !defined(TEST_WITHOUT_ROCKS)
#define MANY 6000

/* The place of a key says nothing of its revision; one is as long as many. */
static void put_many(struct test_store *t)
{
    static char key[32 * OAK_KIB];
    for (int64_t rev = 2; rev < 2 + MANY; rev++) {
        size_t size = rev == 77 ? sizeof(key) : 200;
        memset(key, 'k', sizeof(key));
        for (int64_t sub = 0; sub < 2; sub++) {
            uint64_t place = (uint64_t)(2 * rev + sub) * 0x9e3779b97f4a7c15u;
            const struct oak_store_kv kv = {.key = oak_bytes(key, size),
                                            .value = oak_bytes_str("of many"),
                                            .create_rev = rev,
                                            .mod_rev = rev,
                                            .version = 1};
            char text[17];
            snprintf(text, sizeof(text), "%016llx", (unsigned long long)place);
            memcpy(key, text, 16);
            assert_int_equal(
                oak_store_put(t->s, (struct oak_store_rev){.main = rev, .sub = sub}, &kv), 0);
            if (sub == 1 && rev % 3 == 0) {
                assert_int_equal(
                    oak_store_del(t->s, (struct oak_store_rev){.main = rev, .sub = 2}, kv.key), 0);
            }
        }
    }
    test_commit(t, 1 + MANY, 1 + MANY, 900);
}

struct summary {
    uint64_t count;
    uint32_t crc;
};

static bool sum(void *arg, struct oak_store_rev rev, bool deleted, const struct oak_store_kv *kv)
{
    struct summary *s = arg;
    uint8_t head[17];
    s->count++;
    oak_put_u64(head, (uint64_t)rev.main);
    oak_put_u64(head + 8, (uint64_t)rev.sub);
    head[16] = deleted;
    s->crc = oak_crc32c(s->crc, head, sizeof(head));
    s->crc = oak_crc32c(s->crc, kv->key.data, kv->key.size);
    s->crc = deleted ? s->crc : oak_crc32c(s->crc, kv->value.data, kv->value.size);
    return true;
}

static struct summary changes_of(struct test_store *t)
{
    struct summary s = {0};
    assert_int_equal(oak_store_changes(t->s, 900, 1 + MANY, sum, &s), 0);
    return s;
}

/* The stream goes by key; what changed at a revision is asked for by revision. More runs than are
 * read at a time come about, and a restore's files are gone with it, whole or not. */
static void changes_that_are_sorted_on_disk_are_in_order(void **state)
{
    (void)state;
    struct test_store from, t;
    test_store_init(&from, &test_engines[0]);
    put_many(&from);
    struct oak_buf stream = test_snapshot(&from, OAK_MIB);
    const struct summary wanted = changes_of(&from);
    assert_in_range(wanted.count, 2 * (MANY - 900), 3 * MANY);
    test_store_init_sized(&t, &test_engines[1], OAK_MIB);
    struct oak_store_restore *r;
    for (int whole = 0; whole < 2; whole++) {
        assert_int_equal(oak_store_restore_begin(t.s, &r), 0);
        assert_int_equal(oak_store_restore_write(r, oak_buf_bytes(&stream)), 0);
        assert_in_range(files_named(&t, "restoring-", ".run"), 16, 100);
        if (whole == 0) {
            oak_store_restore_drop(r);
            oak_store_restore_end(r);
        } else {
            assert_int_equal(oak_store_restore_finish(r), 0);
        }
        assert_int_equal(files_named(&t, "restoring-", ""), 0);
    }
    for (int round = 0; round < 2; round++) {
        const struct summary got = changes_of(&t);
        assert_int_equal(got.count, wanted.count);
        assert_int_equal(got.crc, wanted.crc);
        struct oak_buf again = test_snapshot(&t, OAK_MIB);
        assert_int_equal(again.size, stream.size);
        assert_memory_equal(again.data, stream.data, stream.size);
        oak_buf_fini(&again);
        test_store_reopen(&t);
    }
    test_store_fini(&t);
    test_store_fini(&from);
    oak_buf_fini(&stream);
}

static void touch(const struct test_store *t, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", t->dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void what_a_crash_left_of_a_restore_is_swept(void **state)
{
    (void)state;
    struct test_store t;
    test_store_init(&t, &test_engines[1]);
    touch(&t, "restoring-2-0.sst");
    touch(&t, "restoring-2-17.run");
    touch(&t, "not-restoring");
    test_store_reopen(&t);
    assert_int_equal(files_named(&t, "restoring-", ""), 0);
    assert_int_equal(files_named(&t, "not-restoring", ""), 1);
    test_store_fini(&t);
}
#endif

static void a_snapshot_is_read_on_from_any_place(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        fill(&t);
        struct oak_buf whole = test_snapshot(&t, 1000);
        struct oak_store_snapshot *snap;
        assert_int_equal(oak_store_snapshot_open(t.s, &snap), 0);
        test_put(&t, 900, "later", "not in it", 900, 1);
        test_commit(&t, 5001, 900, -1);
        uint64_t offset = 0;
        for (size_t i = 0; i < 300; i++) {
            offset = (offset * 31 + 777 * i) % (whole.size + 1); /* forwards and backwards */
            uint8_t bytes[64];
            size_t got = 0;
            assert_int_equal(oak_store_snapshot_seek(snap, offset), 0);
            assert_int_equal(oak_store_snapshot_read(snap, bytes, sizeof(bytes), &got), 0);
            assert_int_equal(got, OAK_MIN(sizeof(bytes), whole.size - offset));
            assert_memory_equal(bytes, whole.data + offset, got);
        }
        assert_int_equal(oak_store_snapshot_seek(snap, whole.size + 1), OAK_EINVAL);
        assert_int_equal(oak_store_snapshot_seek(snap, 0), 0);
        oak_store_snapshot_close(snap);
        oak_buf_fini(&whole);
        test_store_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_owner_serves_and_writes_until_the_switch),
        cmocka_unit_test(a_restore_that_ends_anywhere_before_commit_changes_nothing),
        cmocka_unit_test(a_full_disk_before_commit_leaves_a_store_that_works),
#if !defined(TEST_WITHOUT_ROCKS)
        cmocka_unit_test(changes_that_are_sorted_on_disk_are_in_order),
        cmocka_unit_test(what_a_crash_left_of_a_restore_is_swept),
#endif
        cmocka_unit_test(a_snapshot_is_read_on_from_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
