/* SPDX-License-Identifier: Apache-2.0 */
/* repair_test.c: a log that is damaged where it was durable, opened with leave to repair.
 *
 * Whatever is damaged: term, vote and doubt of each group are what they were, or the log is refused
 * and unchanged; a group that is not in doubt has all that its state machine lacks; and a crash at
 * any call of a repair leaves something that opens to no worse than doubt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wal/internal.h"
#include "wal/test_model.h"

#if defined(OAK_SLOW_BUILD)
#define FLIP_STRIDE 61
#else
#define FLIP_STRIDE 13
#endif

/* How far the state machines of the groups are said to be. */
struct machines {
    uint64_t index[MODEL_GROUPS];
    uint64_t term[MODEL_GROUPS];
};

struct toll {
    size_t opened, known, doubtful, refused;
};

static bool applied(void *user, uint64_t group, uint64_t *index, uint64_t *term)
{
    const struct machines *m = user;
    size_t n = group_number(group);
    assert_true(n < MODEL_GROUPS);
    *index = m->index[n];
    *term = m->term[n];
    return true;
}

static int repair_open(struct test_disk *disk, struct machines *m, struct oak_wal **wal,
                       struct oak_errbuf *e)
{
    const struct oak_wal_options o = {.disk = &disk->port,
                                      .dir = MODEL_DIR,
                                      .meta = oak_bytes_str(MODEL_META),
                                      .segment_bytes = MODEL_SEGMENT,
                                      .applied = applied,
                                      .user = m};
    *wal = NULL;
    return oak_wal_open(&o, wal, e);
}

static const struct oak_wal_group *group_of(const struct oak_wal *wal, size_t n)
{
    size_t count;
    const struct oak_wal_group *groups = oak_wal_recovered(wal, &count);
    for (size_t i = 0; i < count; i++) {
        if (groups[i].group == group_id(n)) {
            return &groups[i];
        }
    }
    return NULL;
}

/* Somewhere between what was released and the end, as a store that flushes now and then. */
static void machines_draw(struct machines *m, struct run *r)
{
    for (size_t n = 0; n < MODEL_GROUPS; n++) {
        const struct model_group *g = &r->acked.groups[n];
        uint64_t end = OAK_MAX(g->last, g->snapshot_index);
        uint64_t low = OAK_MIN(OAK_MAX(g->released, g->snapshot_index), end);
        m->index[n] = oak_prng_chance(&r->prng, 1, 2) ? low : oak_prng_between(&r->prng, low, end);
        m->term[n] = m->index[n] == 0 ? 0 : 1;
    }
}

/* The group as found: not in doubt, it has everything behind what is applied. */
static void group_check(const struct model_group *want, const struct oak_wal_group *have,
                        uint64_t at, bool doubt_is_new)
{
    if (have == NULL) {
        /* It never had a term, so it never acknowledged anything. */
        assert_true(want->term == 0 && want->vote == 0);
        return;
    }
    assert_int_equal(have->term, want->term);
    assert_int_equal(have->vote, want->vote);
    if (have->in_doubt) {
        assert_true(doubt_is_new);
        assert_int_equal(have->entry_count, 0);
        assert_int_equal(have->last_index, at);
        assert_int_equal(have->snapshot_index, at);
        assert_true(have->commit <= at);
        return;
    }
    uint64_t first = have->entry_count == 0 ? UINT64_MAX : have->entries[0].index;
    uint64_t base = OAK_MAX(at, have->snapshot_index);
    assert_true(have->snapshot_index <= at || have->snapshot_index <= want->snapshot_index);
    for (uint64_t i = base + 1; i <= want->last; i++) {
        assert_true(i >= first && i - first < have->entry_count);
        if (want->log[i].present) {
            assert_true(entry_matches(&want->log[i], &have->entries[i - first]));
        }
    }
    assert_int_equal(OAK_MAX(have->last_index, base),
                     OAK_MAX(OAK_MAX(want->last, want->snapshot_index), base));
}

static bool state_check(const struct run *r, const struct oak_wal *wal, const struct machines *m)
{
    bool doubt = false;
    for (size_t n = 0; n < MODEL_GROUPS; n++) {
        const struct oak_wal_group *g = group_of(wal, n);
        if (r->acked.groups[n].exists) {
            group_check(&r->acked.groups[n], g, m->index[n], true);
            doubt = doubt || (g != NULL && g->in_doubt);
        }
    }
    return doubt;
}

/* Open a damaged disk and judge; then again, as it is now. */
static void damaged_open(const struct run *r, struct test_disk *d, struct machines *m,
                         struct toll *toll)
{
    struct oak_wal *wal;
    struct oak_errbuf e = {{0}};
    int error = repair_open(d, m, &wal, &e);
    if (error != 0) {
        assert_int_equal(error, OAK_ECORRUPT);
        assert_int_equal(d->writes, 0);
        assert_non_null(strstr(e.text, "remove this member"));
        toll->refused++;
        return;
    }
    struct oak_wal_stats stats;
    oak_wal_stats(wal, &stats);
    bool doubt = state_check(r, wal, m);
    toll->opened += stats.holes == 0;
    toll->known += stats.holes > 0 && !doubt;
    toll->doubtful += doubt;
    oak_wal_close(wal);
    assert_int_equal(repair_open(d, m, &wal, &e), 0);
    oak_wal_stats(wal, &stats);
    assert_int_equal(stats.holes, 0);
    assert_true(state_check(r, wal, m) == doubt);
    /* It goes on as any log does. */
    const struct oak_wal_record more = {
        .type = OAK_WAL_HARD_STATE, .group = group_id(0), .term = 10, .vote = 1};
    assert_int_equal(oak_wal_append(wal, &more), 0);
    assert_int_equal(oak_wal_commit(wal), 0);
    oak_wal_close(wal);
    assert_int_equal(d->open_files, 0);
}

static struct run *run_new(uint64_t seed, uint64_t steps)
{
    struct run *r = malloc(sizeof(*r));
    assert_non_null(r);
    run_init(r, seed);
    r->quiet = seed % 2 == 0;
    assert_int_equal(run_open(r, NULL), 0);
    assert_int_equal(run_work(r, steps), 0);
    assert_int_equal(oak_wal_prepare(r->wal), 0);
    run_close(r);
    return r;
}

static void run_drop(struct run *r)
{
    run_fini(r);
    free(r);
}

static bool chained(const char *path)
{
    enum wal__kind kind;
    uint64_t seq;
    return wal__name_parse(path + strlen(MODEL_DIR "/"), &kind, &seq) && kind == WAL__CHAIN;
}

static void every_flipped_byte_leaves_a_true_log_or_doubt(void **state)
{
    (void)state;
    struct toll toll = {0};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct run *r = run_new(seed, 24);
        const char *path;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            size_t size;
            const uint8_t *bytes = test_disk_peek(&r->disk, path, &size);
            for (size_t at = seed % FLIP_STRIDE; chained(path) && at < size; at += FLIP_STRIDE) {
                uint8_t bad = bytes[at] ^ (uint8_t)(1u << (at + n) % 8);
                struct machines m;
                machines_draw(&m, r);
                struct test_disk d;
                test_disk_init(&d, 1);
                test_disk_copy(&d, &r->disk);
                test_disk_poke(&d, path, at, &bad, 1);
                damaged_open(r, &d, &m, &toll);
                test_disk_fini(&d);
            }
        }
        run_drop(r);
    }
    /* One batch at a time is lost here, and its neighbour repeats the votes. What is refused is
     * damage to the last frame but the empty one, of which nothing whole follows in its segment. */
    assert_true(toll.known > toll.refused && toll.doubtful > 100);
}

/* Sectors and runs of sectors, zeroed or with others' bytes, in one place or in three. */
static void lost_and_misdirected_sectors_leave_a_true_log_or_doubt(void **state)
{
    (void)state;
    struct toll toll = {0};
    for (uint64_t seed = 21; seed <= 60; seed++) {
        struct run *r = run_new(seed, 30);
        char newest[64] = "";
        const char *path;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            if (chained(path)) {
                snprintf(newest, sizeof(newest), "%s", path);
            }
        }
        for (size_t turn = 0; turn < 60; turn++) {
            struct machines m;
            machines_draw(&m, r);
            struct test_disk d;
            test_disk_init(&d, 1);
            test_disk_copy(&d, &r->disk);
            size_t names = 0;
            while (test_disk_name(&r->disk, names) != NULL) {
                names++;
            }
            for (size_t k = turn % 3 + 1; k > 0; k--) {
                const char *to = test_disk_name(&r->disk, oak_prng_below(&r->prng, names));
                if (!chained(to) || strcmp(to, newest) == 0) {
                    continue; /* where the log ends, more than one loss looks like a torn end */
                }
                const char *from = test_disk_name(&r->disk, oak_prng_below(&r->prng, names));
                size_t size;
                const uint8_t *bytes = test_disk_peek(&r->disk, from, &size);
                size_t sectors = (size_t)oak_prng_between(&r->prng, 1, 3);
                size_t at = (size_t)oak_prng_below(&r->prng, 9 - sectors) * TEST_DISK_SECTOR;
                size_t source = (size_t)oak_prng_below(&r->prng, 9 - sectors) * TEST_DISK_SECTOR;
                const uint8_t zeros[3 * TEST_DISK_SECTOR] = {0};
                test_disk_poke(&d, to, at, turn % 2 == 0 ? zeros : bytes + source,
                               sectors * TEST_DISK_SECTOR);
            }
            damaged_open(r, &d, &m, &toll);
            test_disk_fini(&d);
        }
        run_drop(r);
    }
    assert_true(toll.known > 20 && toll.doubtful > 100 && toll.refused > 0);
}

static void lost_and_shortened_files_leave_a_true_log_or_doubt(void **state)
{
    (void)state;
    struct toll toll = {0};
    for (uint64_t seed = 61; seed <= 90; seed++) {
        struct run *r = run_new(seed, 30);
        const char *path;
        size_t chain = 0;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            chain += chained(path);
        }
        size_t nth = 0;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL; n++) {
            if (!chained(path) || ++nth == chain) {
                continue; /* the newest file, lost whole, can't be missed */
            }
            for (size_t size = 0; size <= MODEL_SEGMENT; size += 1024) {
                struct machines m;
                machines_draw(&m, r);
                struct test_disk d;
                test_disk_init(&d, 1);
                test_disk_copy(&d, &r->disk);
                if (size == MODEL_SEGMENT) {
                    assert_int_equal(d.port.remove(d.port.user, path), 0);
                } else {
                    test_disk_shorten(&d, path, size);
                }
                damaged_open(r, &d, &m, &toll);
                test_disk_fini(&d);
            }
        }
        run_drop(r);
    }
    assert_true(toll.known > 20 && toll.doubtful > 20);
}

/* A repair is cut short at each of its calls: the next one finds the old log, or the new one. */
static void a_crash_at_any_call_of_a_repair_loses_nothing(void **state)
{
    (void)state;
    size_t crashes = 0;
    for (uint64_t seed = 101; seed <= 112; seed++) {
        struct run *r = run_new(seed, 24);
        struct machines m;
        machines_draw(&m, r);
        struct test_disk damaged;
        test_disk_init(&damaged, 1);
        test_disk_copy(&damaged, &r->disk);
        const char *path = NULL;
        for (size_t n = 0; (path = test_disk_name(&r->disk, n)) != NULL && !chained(path); n++) {
        }
        const uint8_t zeros[TEST_DISK_SECTOR] = {0};
        test_disk_poke(&damaged, path, 2 * TEST_DISK_SECTOR, zeros, sizeof(zeros));
        for (uint64_t call = 2;; call++) { /* behind the making of the directory */
            struct test_disk d;
            test_disk_init(&d, call);
            test_disk_copy(&d, &damaged);
            d.cut_at = d.calls + call;
            struct oak_wal *wal;
            struct oak_errbuf e;
            int error = repair_open(&d, &m, &wal, &e);
            oak_wal_close(wal);
            bool done = error == 0 || error == OAK_ECORRUPT;
            if (!done) {
                crashes++;
                test_disk_cut(&d, call % 2 == 0 ? TEST_DISK_KEEP_RANDOM : TEST_DISK_KEEP_NONE);
                assert_int_equal(repair_open(&d, &m, &wal, &e), 0);
                (void)state_check(r, wal, &m);
                oak_wal_close(wal);
            }
            test_disk_fini(&d);
            if (done) {
                break;
            }
        }
        test_disk_fini(&damaged);
        run_drop(r);
    }
    assert_true(crashes > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_leaves_a_true_log_or_doubt),
        cmocka_unit_test(lost_and_misdirected_sectors_leave_a_true_log_or_doubt),
        cmocka_unit_test(lost_and_shortened_files_leave_a_true_log_or_doubt),
        cmocka_unit_test(a_crash_at_any_call_of_a_repair_loses_nothing),
    };
    return cmocka_run_group_tests_name("wal/repair", tests, NULL, NULL);
}
