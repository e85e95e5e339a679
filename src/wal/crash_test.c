/* SPDX-License-Identifier: Apache-2.0 */
/* crash_test.c: the power goes at every call to the disk; what was acknowledged is still there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wal/test_model.h"

#if defined(OAK_SLOW_BUILD)
#define SEEDS 6
#else
#define SEEDS 18
#endif

/* How many seeds a test tries: the program's argument, for long runs. */
struct rounds {
    uint64_t seeds;
};

static struct run *run_new(uint64_t seed)
{
    struct run *r = malloc(sizeof(*r));
    assert_non_null(r);
    run_init(r, seed);
    r->payload_max = seed % 3 == 0 ? 1500 : seed % 3 == 1 ? 600 : 60;
    return r;
}

static void run_drop(struct run *r)
{
    run_fini(r);
    free(r);
}

static void open_and_settle(struct run *r, uint64_t seed, uint64_t cut)
{
    struct oak_errbuf e = {{0}};
    int error = run_open(r, &e);
    if (error != 0) {
        fail_msg("seed %llu cut %llu: open: %s: %s", (unsigned long long)seed,
                 (unsigned long long)cut, oak_error_name(error), e.text);
    }
    if (!run_settle(r)) {
        fail_msg("seed %llu cut %llu: recovered neither the last commit nor the next",
                 (unsigned long long)seed, (unsigned long long)cut);
    }
}

/* Cut at call `cut`, recover, work on, cut again somewhere, recover, work, close, and open again.
 */
static bool story(uint64_t seed, uint64_t cut, enum test_disk_cut how)
{
    struct run *r = run_new(seed);
    r->disk.prng.s[0] += cut; /* the same work, other luck */
    r->disk.cut_at = cut;
    int error = run_open(r, NULL);
    error = error != 0 ? error : run_work(r, 40);
    bool reached = error != 0;
    run_close(r);
    test_disk_cut(&r->disk, how);
    open_and_settle(r, seed, cut);
    for (int again = 0; again < 2; again++) {
        r->disk.cut_at = r->disk.calls + oak_prng_below(&r->prng, 30);
        (void)run_work(r, 10);
        run_close(r);
        test_disk_cut(&r->disk, TEST_DISK_KEEP_RANDOM);
        /* And while recovering. */
        r->disk.cut_at = r->disk.calls + oak_prng_below(&r->prng, 6);
        if (run_open(r, NULL) == 0) {
            assert_true(run_settle(r));
            run_close(r);
        }
        test_disk_cut(&r->disk, TEST_DISK_KEEP_RANDOM);
        open_and_settle(r, seed, cut);
    }
    assert_int_equal(run_work(r, 10), 0);
    run_close(r);
    open_and_settle(r, seed, cut);
    run_drop(r);
    return reached;
}

static void a_power_cut_at_any_call_loses_nothing_acknowledged(void **state)
{
    const struct rounds *rounds = *state;
    for (uint64_t seed = 0; seed < rounds->seeds; seed++) {
        for (uint64_t cut = 0;; cut++) {
            enum test_disk_cut how = cut % 8 == 0   ? TEST_DISK_KEEP_NONE
                                     : cut % 8 == 1 ? TEST_DISK_KEEP_ALL
                                     : cut % 8 == 2 ? TEST_DISK_KEEP_PREFIX
                                                    : TEST_DISK_KEEP_RANDOM;
            if (!story(seed, cut, how)) {
                break;
            }
        }
    }
}

/* Kill without a power cut: everything written is still there. */
static void a_kill_at_any_call_loses_nothing_acknowledged(void **state)
{
    const struct rounds *rounds = *state;
    for (uint64_t seed = 10000; seed < 10000 + rounds->seeds / 4; seed++) {
        for (uint64_t cut = 0;; cut++) {
            if (!story(seed, cut, TEST_DISK_KEEP_ALL)) {
                break;
            }
        }
    }
}

static void a_failed_call_poisons_and_a_restart_recovers(void **state)
{
    const struct rounds *rounds = *state;
    for (uint64_t seed = 20000; seed < 20000 + rounds->seeds / 3; seed++) {
        for (uint64_t at = 0;; at++) {
            struct run *r = run_new(seed);
            r->disk.fail_at = at;
            r->disk.fail_error = OAK_EIO;
            int error = run_open(r, NULL);
            bool opened = error == 0;
            error = error != 0 ? error : run_work(r, 30);
            bool reached = r->disk.calls > at;
            if (reached && opened) {
                assert_int_equal(error, OAK_EIO);
                uint64_t calls = r->disk.calls;
                const struct oak_wal_record vote = {.type = OAK_WAL_HARD_STATE, .group = 1};
                assert_int_equal(oak_wal_append(r->wal, &vote), OAK_EFATAL);
                assert_int_equal(oak_wal_commit(r->wal), OAK_EFATAL);
                assert_int_equal(oak_wal_release(r->wal, 1, 1), OAK_EFATAL);
                assert_int_equal(oak_wal_prepare(r->wal), OAK_EFATAL);
                assert_int_equal(r->disk.calls, calls);
            }
            run_close(r);
            /* The process restarts on what the page cache shows, and only then the power goes. */
            r->disk.fail_at = TEST_DISK_NEVER;
            open_and_settle(r, seed, at);
            run_close(r);
            test_disk_cut(&r->disk, TEST_DISK_KEEP_NONE);
            open_and_settle(r, seed, at);
            assert_int_equal(run_work(r, 5), 0);
            run_close(r);
            open_and_settle(r, seed, at);
            run_drop(r);
            if (!reached) {
                break;
            }
        }
    }
}

static void a_full_disk_keeps_the_batch_until_there_is_space(void **state)
{
    const struct rounds *rounds = *state;
    uint64_t refused = 0;
    for (uint64_t seed = 30000; seed < 30000 + rounds->seeds / 3; seed++) {
        for (uint64_t at = 0;; at++) {
            struct run *r = run_new(seed);
            int error = run_open(r, NULL);
            assert_int_equal(error, 0);
            uint64_t start = r->disk.calls;
            r->disk.fail_at = start + at;
            r->disk.fail_error = OAK_ENOSPC;
            error = run_work(r, 30);
            bool reached = r->disk.calls > start + at;
            if (error == OAK_ENOSPC) {
                refused++;
                assert_int_equal(oak_wal_commit(r->wal), 0);
                r->acked = r->flight;
                error = run_work(r, 10);
                assert_int_equal(error, 0);
            } else {
                assert_int_equal(error, reached ? OAK_EIO : 0);
            }
            run_close(r);
            test_disk_cut(&r->disk, TEST_DISK_KEEP_NONE);
            open_and_settle(r, seed, at);
            run_drop(r);
            if (!reached) {
                break;
            }
        }
    }
    assert_true(refused > 10 * rounds->seeds / 3);
}

int main(int argc, char **argv)
{
    struct rounds rounds = {.seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_power_cut_at_any_call_loses_nothing_acknowledged, &rounds),
        cmocka_unit_test_prestate(a_kill_at_any_call_loses_nothing_acknowledged, &rounds),
        cmocka_unit_test_prestate(a_failed_call_poisons_and_a_restart_recovers, &rounds),
        cmocka_unit_test_prestate(a_full_disk_keeps_the_batch_until_there_is_space, &rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
