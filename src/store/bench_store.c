/* SPDX-License-Identifier: Apache-2.0 */
/* bench_store.c: what puts, gets and scans cost in either engine, in microseconds of this process's
 * CPU (all threads, so compaction counts) and of the wall clock.
 *
 *     bench_store [keys] [value bytes] [memory MiB] [rocks|memory]
 *
 * Files go to $TMPDIR (or /tmp). A time is never a test: compare two runs on the same machine.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "store/test_help.h"

enum {
    BATCH = 50,
    SCAN_KEYS = 1000,
    POOL = 1 << 22,
    FEW_KEYS = 10,
    FEW_PUTS = 200000,
    FEW_SCANS = 100
};

struct bench {
    struct test_store t;
    uint64_t keys;
    size_t value_size;
    size_t memory;
    int64_t main;
    uint64_t applied;
    uint8_t *value; /* random bytes: values are pieces of them, which no compression finds */
    struct oak_prng prng;
};

struct stamp {
    double wall, cpu, owner;
};

static double seconds(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}
static struct stamp now(void)
{
    return (struct stamp){.wall = seconds(CLOCK_MONOTONIC),
                          .cpu = seconds(CLOCK_PROCESS_CPUTIME_ID),
                          .owner = seconds(CLOCK_THREAD_CPUTIME_ID)};
}
static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long all = 0;
    long resident = 0;
    if (f == NULL || fscanf(f, "%ld %ld", &all, &resident) != 2) {
        resident = 0;
    }
    if (f != NULL) {
        fclose(f);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}
static void report(const struct bench *b, const char *what, struct stamp from, double count)
{
    struct stamp to = now();
    printf("%-7s %-34s %9.2f us wall %8.2f us cpu %8.2f us owner   rss %ld MiB\n",
           b->t.engine->name, what, (to.wall - from.wall) * 1e6 / count,
           (to.cpu - from.cpu) * 1e6 / count, (to.owner - from.owner) * 1e6 / count,
           resident_kib() / 1024);
    fflush(stdout);
}
static void must(int error)
{
    if (error != 0) {
        fprintf(stderr, "bench_store: %s\n", oak_error_text(error));
        exit(1);
    }
}

static struct oak_bytes key_of(uint64_t i, char *room)
{
    int n = snprintf(room, 32, "/bench/key/%010llu", (unsigned long long)i);
    return oak_bytes(room, (size_t)n);
}

static void put_one(struct bench *b, uint64_t i)
{
    char room[32];
    struct oak_bytes key = key_of(i, room);
    struct oak_store_kv old;
    int error = oak_store_head(b->t.s, key, &old);
    b->main++;
    struct oak_store_kv kv = {
        .key = key,
        .value = oak_bytes(b->value + oak_prng_below(&b->prng, POOL), b->value_size),
        .create_rev = error == 0 ? old.create_rev : b->main,
        .mod_rev = b->main,
        .version = error == 0 ? old.version + 1 : 1};
    if (error != 0 && error != OAK_ENOENT) {
        must(error);
    }
    must(oak_store_put(b->t.s, (struct oak_store_rev){.main = b->main}, &kv));
}

static void commit(struct bench *b, int64_t compacted)
{
    const struct oak_store_state state = {
        .applied = ++b->applied, .revision = b->main, .compacted = compacted};
    must(oak_store_commit(b->t.s, &state));
}

static void fill(struct bench *b)
{
    struct stamp from = now();
    for (uint64_t i = 0; i < b->keys; i++) {
        put_one(b, i);
        if (i % BATCH == BATCH - 1) {
            commit(b, -1);
        }
    }
    commit(b, -1);
    report(b, "put of a new key", from, (double)b->keys);
}

static void put_random(struct bench *b, const char *what, uint64_t among, uint64_t count)
{
    struct stamp from = now();
    for (uint64_t i = 0; i < count; i++) {
        put_one(b, oak_prng_below(&b->prng, among) * (b->keys / among));
        if (i % BATCH == BATCH - 1) {
            commit(b, -1);
        }
    }
    commit(b, -1);
    report(b, what, from, (double)count);
}

static void get_random(struct bench *b, const char *what, uint64_t among, uint64_t count,
                       bool missing)
{
    struct stamp from = now();
    for (uint64_t i = 0; i < count; i++) {
        char room[32];
        struct oak_store_kv kv;
        uint64_t n = oak_prng_below(&b->prng, among) * (b->keys / among) + (missing ? b->keys : 0);
        int error = oak_store_get(b->t.s, key_of(n, room), 0, &kv);
        must(error == (missing ? OAK_ENOENT : 0) ? 0 : OAK_ECORRUPT);
    }
    report(b, what, from, (double)count);
}

static void scan_random(struct bench *b, const char *what, bool descend, uint64_t count)
{
    struct stamp from = now();
    for (uint64_t i = 0; i < count; i++) {
        char low[32];
        char high[32];
        struct oak_store_scan *scan;
        struct oak_store_kv kv;
        uint64_t first = oak_prng_below(&b->prng, b->keys - SCAN_KEYS);
        const struct oak_store_range range = {.from = key_of(first, low),
                                              .to = key_of(first + SCAN_KEYS, high)};
        must(oak_store_scan_open(b->t.s, &range, 0, false, descend, &scan));
        for (int n = 0; n < SCAN_KEYS; n++) {
            must(oak_store_scan_next(scan, &kv));
        }
        oak_store_scan_close(scan);
    }
    report(b, what, from, (double)count);
}

static bool count_change(void *arg, struct oak_store_rev rev, bool deleted,
                         const struct oak_store_kv *kv)
{
    uint64_t *count = arg;
    (void)rev;
    (void)deleted;
    (void)kv;
    return ++*count < 100000;
}

static void reclaim_all(struct bench *b)
{
    bool more = true;
    commit(b, b->main);
    while (more) {
        must(oak_store_reclaim(b->t.s, 1000, &more));
    }
}

static void housekeeping(struct bench *b)
{
    struct stamp from = now();
    uint64_t count = 0;
    must(oak_store_changes(b->t.s, b->main - 100000, b->main, count_change, &count));
    report(b, "change read back", from, (double)count);

    from = now();
    reclaim_all(b);
    report(b, "change reclaimed", from, (double)(b->main - 1));

    from = now();
    test_store_flush(&b->t);
    report(b, "flush", from, 1);

    from = now();
    struct oak_store_snapshot *snap;
    static uint8_t chunk[256 * 1024];
    size_t got;
    must(oak_store_snapshot_open(b->t.s, &snap));
    do {
        must(oak_store_snapshot_read(snap, chunk, sizeof(chunk), &got));
    } while (got > 0);
    oak_store_snapshot_close(snap);
    report(b, "key in a snapshot", from, (double)b->keys);

    from = now();
    test_store_reopen(&b->t);
    report(b, "close and open", from, 1);
    get_random(b, "get of any key after opening", b->keys, 200000, false);
    struct oak_store_stats stats;
    oak_store_stats(b->t.s, &stats);
    printf("%-7s disk %.1f MiB, live %.1f MiB, memory %.1f MiB, keys %llu\n", b->t.engine->name,
           (double)stats.disk_bytes / 1048576, (double)stats.live_bytes / 1048576,
           (double)stats.memory_bytes / 1048576, (unsigned long long)stats.keys);
}

static void scan_few(struct bench *b, const char *what, bool descend)
{
    struct stamp from = now();
    for (int i = 0; i < FEW_SCANS; i++) {
        char low[32];
        char high[32];
        struct oak_store_scan *scan;
        struct oak_store_kv kv;
        const struct oak_store_range range = {.from = key_of(0, low), .to = key_of(FEW_KEYS, high)};
        must(oak_store_scan_open(b->t.s, &range, 0, false, descend, &scan));
        for (int n = 0; n < FEW_KEYS; n++) {
            must(oak_store_scan_next(scan, &kv));
        }
        oak_store_scan_close(scan);
    }
    report(b, what, from, FEW_SCANS);
}

/* Ten keys with much history, nearly all of which is compacted as it goes. */
static void few(struct bench *b)
{
    struct stamp from = now();
    for (uint64_t i = 0; i < FEW_PUTS; i++) {
        put_one(b, oak_prng_below(&b->prng, FEW_KEYS));
        if (i % SCAN_KEYS == SCAN_KEYS - 1) {
            reclaim_all(b);
        }
    }
    report(b, "put of one of 10 keys, reclaimed", from, FEW_PUTS);
    scan_few(b, "scan of 10 keys, much reclaimed", false);
    scan_few(b, "scan of 10 keys, downwards", true);
}

static void run(struct bench *b, const struct test_engine *engine)
{
    test_store_init_sized(&b->t, engine, b->memory);
    b->main = 1;
    b->applied = 0;
    oak_prng_init(&b->prng, 42);
    for (size_t i = 0; i < POOL + b->value_size; i += 8) {
        uint64_t word = oak_prng_u64(&b->prng);
        memcpy(b->value + i, &word, 8);
    }
    fill(b);
    get_random(b, "get of one of 1000 keys", 1000, 1000000, false);
    get_random(b, "get of any key", b->keys, 300000, false);
    get_random(b, "get of a missing key", b->keys, 300000, true);
    put_random(b, "put of one of 10000 keys", 10000, b->keys / 2);
    put_random(b, "put of any key", b->keys, b->keys / 2);
    get_random(b, "get of any key", b->keys, 300000, false);
    scan_random(b, "scan of 1000 keys", false, 1000);
    scan_random(b, "scan of 1000 keys, downwards", true, 1000);
    housekeeping(b);
    few(b);
    test_store_fini(&b->t);
}

int main(int argc, char **argv)
{
    struct bench b = {.keys = 1000000, .value_size = 256};
    if (argc > 1) {
        b.keys = strtoull(argv[1], NULL, 10);
    }
    if (argc > 2) {
        b.value_size = strtoull(argv[2], NULL, 10);
    }
    if (argc > 3) {
        b.memory = strtoull(argv[3], NULL, 10) * OAK_MIB;
    }
    if (b.keys < 20000 || b.value_size < 8) {
        fprintf(stderr, "bench_store: at least 20000 keys and 8 bytes of value\n");
        return 2;
    }
    b.value = malloc(POOL + b.value_size + 8);
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        size_t at = TEST_ENGINES - 1 - i;
        if (argc <= 4 || strcmp(argv[4], test_engines[at].name) == 0) {
            run(&b, &test_engines[at]);
        }
    }
    free(b.value);
    return 0;
}
