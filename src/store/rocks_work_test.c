/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_work_test.c: what a read costs in work of RocksDB's own, whatever has been removed: entries
 * that it comes over inside a step, as it counts them itself. And that nothing is removed twice,
 * wherever a crash comes: RocksDB is told that it isn't. */
#include <rocksdb/c.h>
#include <sys/wait.h>

#include "store/test_help.h"

enum {
    KEYS = 10,
#if defined(OAK_SLOW_BUILD)
    PUTS = 50000,
#else
    PUTS = 200000, /* to those few keys */
#endif
    SPENT_EVERY = 50,    /* puts comes a key that is made once and deleted at once */
    PUTS_MEMORY = 10000, /* each of them with such a key: that much is less than a memtable */
    RECLAIM_EVERY = 1000,
    SKIP = 32,       /* ROCKS_SKIP_MAX, each of them twice: what was written, and its removal */
    LEFT = 4096 * 3, /* MEMORY_WORTH: of no more than that a flush rids nobody */
    ROUNDS_MAX = 1000,
};
#define MEMORY (64 * OAK_MIB) /* the default: memtables of 8 MiB, 40,000 removed versions */

static uint64_t work(void)
{
    rocksdb_perfcontext_t *c = rocksdb_perfcontext_create();
    uint64_t n = rocksdb_perfcontext_metric(c, rocksdb_internal_delete_skipped_count) +
                 rocksdb_perfcontext_metric(c, rocksdb_internal_key_skipped_count);
    rocksdb_perfcontext_destroy(c);
    return n;
}

/* What it takes to find as many keys, each of which may have that much behind it. Downwards each is
 * found twice, after a try or two. */
static uint64_t fair(uint64_t found)
{
    return (found + 1) * (2 * SKIP + 16);
}
static uint64_t fair_down(uint64_t found)
{
    return 2 * fair(found) + 20 * SKIP;
}

static uint64_t scan_work(struct test_store *t, char kind, int64_t rev, bool descend, size_t found)
{
    char from[2] = {kind, '\0'};
    char to[2] = {(char)(kind + 1), '\0'};
    const struct oak_store_range range = {.from = oak_bytes_str(from), .to = oak_bytes_str(to)};
    struct oak_store_scan *scan;
    struct oak_store_kv kv;
    uint64_t before = work();
    assert_int_equal(oak_store_scan_open(t->s, &range, rev, false, descend, &scan), 0);
    size_t count = 0;
    while (oak_store_scan_next(scan, &kv) == 0) {
        count++;
    }
    oak_store_scan_close(scan);
    assert_int_equal(count, found);
    return work() - before;
}

/* -- few keys, much history -------------------------------------------------------------------- */

struct few {
    struct test_store t;
    int spent_every;
    int64_t main;
    int64_t version[KEYS];
    int64_t made[KEYS];
};

static void few_put(struct few *f, int i)
{
    char key[16];
    int n = i % KEYS;
    snprintf(key, sizeof(key), "k%d", n);
    f->main++;
    f->made[n] = f->version[n] == 0 ? f->main : f->made[n];
    test_put(&f->t, f->main, key, "a value as they are", f->made[n], ++f->version[n]);
    if (i % f->spent_every == 0) {
        snprintf(key, sizeof(key), "a%08d", i);
        f->main++;
        test_put(&f->t, f->main, key, "spent", f->main, 1);
        test_del(&f->t, ++f->main, key);
        f->main++;
        test_put(&f->t, f->main, "z", "made anew", f->main, 1);
        test_del(&f->t, ++f->main, "z");
    }
}

/* Commit, with all of the history compacted but the last revision. */
static void few_commit(struct few *f)
{
    test_commit(&f->t, (uint64_t)f->main, f->main, f->main);
}

static void few_init(struct few *f, int puts, int spent_every, void (*look)(struct few *f))
{
    *f = (struct few){.main = 1, .spent_every = spent_every};
    test_store_init_sized(&f->t, &test_engines[TEST_ENGINES - 1], MEMORY);
    for (int i = 0; i < puts; i++) {
        few_put(f, i);
        if (i % RECLAIM_EVERY == RECLAIM_EVERY - 1) {
            few_commit(f);
            test_reclaim_all(&f->t, 500);
            look(f);
        }
    }
}

static void look_not(struct few *f)
{
    (void)f;
}

static void look(struct few *f)
{
    assert_in_range(scan_work(&f->t, 'k', 0, false, KEYS), 0, fair(KEYS));
    assert_in_range(scan_work(&f->t, 'k', f->main, false, KEYS), 0, fair(KEYS));
    assert_in_range(scan_work(&f->t, 'k', 0, true, KEYS), 0, fair_down(KEYS));
    assert_in_range(scan_work(&f->t, 'k', f->main, true, KEYS), 0, fair_down(KEYS));
    /* A part of them: what lies behind its end is not looked at. */
    const struct oak_store_range range = {.from = oak_bytes_str("k"), .to = oak_bytes_str("k3")};
    uint64_t before = work();
    uint64_t count;
    assert_int_equal(oak_store_count(f->t.s, &range, 0, &count), 0);
    assert_int_equal(count, 3);
    assert_in_range(work() - before, 0, fair(3));
    /* Made and deleted again and again, and as it was before it was made once more, which no cache
     * knows. */
    int64_t gone = f->main;
    f->main++;
    test_put(&f->t, f->main, "z", "made anew", f->main, 1);
    before = work();
    assert_null(test_get(&f->t, "z", gone));
    assert_in_range(work() - before, 0, fair(1));
    test_del(&f->t, ++f->main, "z");
}

static void a_range_costs_what_it_finds(void **state)
{
    (void)state;
    struct few f;
    few_init(&f, PUTS, SPENT_EVERY, look);
    test_store_fini(&f.t);
}

static void nothing_is_left_of_it_by_a_flush(void **state)
{
    (void)state;
    struct few f;
    few_init(&f, PUTS_MEMORY, 1, look_not);
    test_store_flush(&f.t);
    /* But for those of which one half had been flushed before, when that happens. */
    uint64_t left = scan_work(&f.t, 'a', 0, false, 0);
    printf("entries of what was removed, after a flush: %llu\n", (unsigned long long)left);
    assert_in_range(left, 0, PUTS_MEMORY / 10);
    test_store_fini(&f.t);
}

/* Scans that must wade make it less, without anybody's asking for a flush. */
static void what_scans_wade_through_gets_less(struct few *f, char kind, bool descend, size_t found)
{
    uint64_t first = scan_work(&f->t, kind, 0, descend, found);
    uint64_t all = first;
    uint64_t last = first;
    bool more;
    assert_in_range(first, 2 * LEFT, UINT64_MAX);
    for (int round = 0; last > LEFT; round++) {
        assert_in_range(round, 0, ROUNDS_MAX);
        assert_int_equal(oak_store_reclaim(f->t.s, 500, &more), 0);
        test_pause(1);
        last = scan_work(&f->t, kind, 0, descend, found);
        all += last;
    }
    printf("%c: first %llu, in all %llu, then %llu\n", kind, (unsigned long long)first,
           (unsigned long long)all, (unsigned long long)last);
}

static void wade_in_memory(bool descend)
{
    struct few f;
    few_init(&f, PUTS_MEMORY, 1, look_not);
    what_scans_wade_through_gets_less(&f, 'a', descend, 0);
    test_store_fini(&f.t);
}

static void scans_over_spent_keys_get_it_thinned(void **state)
{
    (void)state;
    wade_in_memory(false);
}

static void downwards_too(void **state)
{
    (void)state;
    wade_in_memory(true);
}

/* The same where all of it has got into files before it is removed. */
static void and_in_files(void **state)
{
    (void)state;
    struct few f = {.main = 1, .spent_every = 1};
    test_store_init_sized(&f.t, &test_engines[TEST_ENGINES - 1], MEMORY);
    for (int i = 0; i < PUTS_MEMORY; i++) {
        few_put(&f, i);
        if (i % RECLAIM_EVERY == RECLAIM_EVERY - 1) {
            test_commit(&f.t, (uint64_t)f.main, f.main, -1);
        }
    }
    test_store_flush(&f.t);
    few_commit(&f);
    test_reclaim_all(&f.t, 500);
    test_store_flush(&f.t);
    what_scans_wade_through_gets_less(&f, 'a', false, 0);
    test_store_fini(&f.t);
}

static bool count_change(void *arg, struct oak_store_rev rev, bool deleted,
                         const struct oak_store_kv *kv)
{
    (void)rev;
    (void)deleted;
    (void)kv;
    ++*(int *)arg;
    return true;
}

static void reclaim_and_changes_come_over_nothing_of_it(void **state)
{
    (void)state;
    struct few f;
    few_init(&f, PUTS_MEMORY, SPENT_EVERY, look_not);
    /* What the last records hold is looked at again after a start. */
    for (int i = 0; i < 400; i++) {
        few_put(&f, i);
    }
    few_commit(&f);
    bool more;
    assert_int_equal(oak_store_reclaim(f.t.s, 100, &more), 0);
    test_store_reopen(&f.t);
    uint64_t before = work();
    test_reclaim_all(&f.t, 100);
    assert_in_range(work() - before, 0, fair(1000));
    test_store_fini(&f.t);
    /* Behind the records come the keys, of which the first are gone; watchers catch up here. */
    few_init(&f, PUTS_MEMORY, 1, look_not);
    few_put(&f, 1);
    few_commit(&f);
    int count = 0;
    before = work();
    test_reclaim_all(&f.t, 100);
    assert_int_equal(oak_store_changes(f.t.s, f.main, f.main, count_change, &count), 0);
    assert_in_range(count, 1, 5);
    assert_in_range(work() - before, 0, fair(10));
    test_store_fini(&f.t);
}

/* -- what is found is the same ----------------------------------------------------------------- */

enum { MIX_KEYS = 1800, MIX_OPS = 30000, MIX_SCANS = 250, MIX_BATCH = 20 };

struct mix {
    struct test_store rocks;
    struct test_store plain;
    struct oak_prng prng;
    int64_t main;
    int64_t floor;
};

static int mix_below(struct mix *m, int n)
{
    return (int)oak_prng_below(&m->prng, (uint64_t)n);
}

/* A third of the keys is gone for good after half of the time; some are written again and again. */
static void mix_op(struct mix *m, bool late)
{
    char key[16];
    int n = mix_below(m, 2) == 0 ? mix_below(m, MIX_KEYS)
                                 : mix_below(m, 30) * (MIX_KEYS / 30) + mix_below(m, 2);
    n = late && n % 3 == 1 ? n + 1 : n;
    snprintf(key, sizeof(key), "%04d", n);
    struct oak_store_kv old;
    int error = oak_store_get(m->plain.s, oak_bytes_str(key), 0, &old);
    assert_true(error == 0 || error == OAK_ENOENT);
    int64_t create = error == 0 ? old.create_rev : m->main + 1;
    int64_t version = error == 0 ? old.version + 1 : 1;
    m->main++;
    if (error == 0 && mix_below(m, 5) == 0) {
        test_del(&m->rocks, m->main, key);
        test_del(&m->plain, m->main, key);
        return;
    }
    test_put(&m->rocks, m->main, key, "value", create, version);
    test_put(&m->plain, m->main, key, "value", create, version);
}

static void mix_end_keys(struct mix *m)
{
    for (int n = 1; n < MIX_KEYS; n += 3) {
        char key[16];
        struct oak_store_kv old;
        snprintf(key, sizeof(key), "%04d", n);
        if (oak_store_get(m->plain.s, oak_bytes_str(key), 0, &old) == 0) {
            m->main++;
            test_del(&m->rocks, m->main, key);
            test_del(&m->plain, m->main, key);
        }
    }
}

static void mix_commit(struct mix *m, int64_t behind)
{
    m->floor = OAK_MAX(m->floor, m->main - behind);
    test_commit(&m->rocks, (uint64_t)m->main, m->main, m->floor);
    test_commit(&m->plain, (uint64_t)m->main, m->main, m->floor);
    test_reclaim_all(&m->rocks, 1000);
}

static void mix_compare(struct mix *m, const struct oak_store_range *range, int64_t rev,
                        bool descend, int limit)
{
    struct oak_store_scan *a;
    struct oak_store_scan *b;
    struct oak_store_kv x;
    struct oak_store_kv y;
    assert_int_equal(oak_store_scan_open(m->rocks.s, range, rev, false, descend, &a), 0);
    assert_int_equal(oak_store_scan_open(m->plain.s, range, rev, false, descend, &b), 0);
    int error = 0;
    for (int i = 0; error == 0 && i < limit; i++) {
        error = oak_store_scan_next(b, &y);
        assert_int_equal(oak_store_scan_next(a, &x), error);
        if (error == 0) {
            assert_true(oak_bytes_eq(x.key, y.key) && oak_bytes_eq(x.value, y.value));
            assert_int_equal(x.mod_rev, y.mod_rev);
            assert_int_equal(x.version, y.version);
        }
    }
    oak_store_scan_close(a);
    oak_store_scan_close(b);
}

static void a_scan_finds_the_same_whatever_was_removed(void **state)
{
    (void)state;
    struct mix m = {.main = 1, .floor = -1};
    oak_prng_init(&m.prng, 11);
    test_store_init_sized(&m.rocks, &test_engines[TEST_ENGINES - 1], MEMORY);
    test_store_init(&m.plain, &test_engines[0]);
    for (int i = 0; i < MIX_OPS; i++) {
        mix_op(&m, i > MIX_OPS / 2);
        if (i == MIX_OPS / 2) {
            mix_end_keys(&m);
        }
        if (i % MIX_BATCH == MIX_BATCH - 1) {
            mix_commit(&m, 2000);
        }
    }
    for (int i = 0; i < 5; i++) {
        mix_op(&m, true); /* not committed */
    }
    for (int i = 0; i < MIX_SCANS; i++) {
        char from[16];
        char to[16];
        int n = mix_below(&m, MIX_KEYS);
        snprintf(from, sizeof(from), "%04d", n);
        snprintf(to, sizeof(to), "%04d", n + mix_below(&m, MIX_KEYS));
        const struct oak_store_range range = {.from = oak_bytes_str(i % 7 == 0 ? "" : from),
                                              .to = oak_bytes_str(i % 5 == 0 ? "9" : to),
                                              .open_end = i % 11 == 0};
        int64_t rev = i % 2 == 0 ? 0 : m.floor + mix_below(&m, (int)(m.main - m.floor));
        mix_compare(&m, &range, rev, i % 3 != 0, i % 4 == 0 ? 5 : INT32_MAX);
    }
    test_store_fini(&m.rocks);
    test_store_fini(&m.plain);
}

/* -- removed once, wherever a crash comes ------------------------------------------------------ */

enum { CRASHES = 12, CRASH_KEYS = 7, CRASH_OPS = 4800, CRASH_BATCH = 5, CRASH_MEMORY = OAK_MIB };

/* Operation `i` makes revision i + 2 of what the ones before have made: from it alone. */
static void crash_op(struct test_store *t, int i)
{
    struct oak_prng prng;
    oak_prng_init(&prng, (uint64_t)i);
    char key[8];
    char value[256];
    snprintf(key, sizeof(key), "k%d", (int)oak_prng_below(&prng, CRASH_KEYS));
    memset(value, 'a' + i % 26, sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    struct oak_store_kv old;
    int error = oak_store_get(t->s, oak_bytes_str(key), 0, &old);
    assert_true(error == 0 || error == OAK_ENOENT);
    if (error == 0 && oak_prng_below(&prng, 4) == 0) {
        test_del(t, i + 2, key);
        return;
    }
    test_put(t, i + 2, key, value, error == 0 ? old.create_rev : i + 2,
             error == 0 ? old.version + 1 : 1);
}

/* From where the store stands up to operation `end`, as a replay of the log does. */
static void crash_play(struct test_store *t, int end, struct oak_prng *prng)
{
    for (int i = (int)oak_store_state(t->s)->applied; i < end; i++) {
        crash_op(t, i);
        if (i % CRASH_BATCH == CRASH_BATCH - 1) {
            int64_t floor = (i + 2) / 100 * 100;
            test_commit(t, (uint64_t)i + 1, i + 2, OAK_MAX(floor - 50, (int64_t)-1));
        }
        bool more;
        if (prng != NULL && oak_prng_below(prng, 10) == 0 && i % CRASH_BATCH == CRASH_BATCH - 1) {
            assert_int_equal(oak_store_reclaim(t->s, oak_prng_below(prng, 60), &more), 0);
        }
        if (prng != NULL && oak_prng_below(prng, 300) == 0) {
            test_store_flush(t);
        }
    }
}

static void a_crash_makes_nothing_be_removed_twice(void **state)
{
    (void)state;
    struct test_store t = {.engine = &test_engines[TEST_ENGINES - 1], .memory = CRASH_MEMORY};
    struct test_store plain;
    test_disk_init(&t.disk);
    snprintf(t.dir, sizeof(t.dir), "/tmp/oak-store-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    for (int crash = 1; crash <= CRASHES; crash++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct oak_prng prng;
            oak_prng_init(&prng, (uint64_t)crash);
            test_store_open(&t);
            crash_play(&t, CRASH_OPS / CRASHES * crash / CRASH_BATCH * CRASH_BATCH, &prng);
            _exit(0); /* and what was not flushed is gone */
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    test_store_open(&t);
    test_store_init(&plain, &test_engines[0]);
    crash_play(&t, CRASH_OPS, NULL);
    crash_play(&plain, CRASH_OPS, NULL);
    test_reclaim_all(&t, 100);
    test_store_flush(&t);
    struct oak_buf a = test_snapshot(&t, 4096);
    struct oak_buf b = test_snapshot(&plain, 4096);
    assert_true(oak_bytes_eq(oak_buf_bytes(&a), oak_buf_bytes(&b)));
    oak_buf_fini(&a);
    oak_buf_fini(&b);
    test_store_fini(&t);
    test_store_fini(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: once RocksDB has made its threads, a child is without them. */
        cmocka_unit_test(a_crash_makes_nothing_be_removed_twice),
        cmocka_unit_test(a_range_costs_what_it_finds),
        cmocka_unit_test(nothing_is_left_of_it_by_a_flush),
        cmocka_unit_test(scans_over_spent_keys_get_it_thinned),
        cmocka_unit_test(downwards_too),
        cmocka_unit_test(and_in_files),
        cmocka_unit_test(a_scan_finds_the_same_whatever_was_removed),
        cmocka_unit_test(reclaim_and_changes_come_over_nothing_of_it),
    };
    /* Where RocksDB is left out (the thread sanitizer) there is nothing to count. */
    return TEST_ENGINES == 1 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
