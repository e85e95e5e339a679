/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_test.c: each allocation fails in turn; nothing is lost, nothing leaks, nothing is poisoned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/test_failing.h"
#include "wal/test_model.h"

static void every_allocation_of_open_may_fail(void **state)
{
    (void)state;
    for (uint64_t at = 0;; at++) {
        struct run *r = malloc(sizeof(*r));
        assert_non_null(r);
        run_init(r, 5);
        assert_int_equal(run_open(r, NULL), 0);
        assert_int_equal(run_work(r, 20), 0);
        run_close(r);
        test_fail_from_here(at);
        struct oak_errbuf e = {{0}};
        int error = run_open(r, &e);
        bool hit = test_has_failed();
        assert_int_equal(error, hit ? OAK_ENOMEM : 0);
        assert_true(!hit || (r->wal == NULL && e.text[0] != '\0'));
        run_close(r);
        assert_int_equal(r->disk.open_files, 0);
        assert_int_equal(run_open(r, &e), 0);
        assert_true(run_settle(r));
        run_fini(r);
        free(r);
        if (!hit) {
            break;
        }
    }
}

/* Append the same batch until it is in, then commit until it is durable: at most one failure. */
static void every_allocation_of_append_and_commit_may_fail(void **state)
{
    (void)state;
    for (uint64_t batch = 0; batch < 12; batch++) {
        bool hit = true;
        for (uint64_t at = 0; hit; at++) {
            struct run *r = malloc(sizeof(*r));
            assert_non_null(r);
            run_init(r, 6);
            r->payload_max = 2500;
            assert_int_equal(run_open(r, NULL), 0);
            assert_int_equal(run_work(r, batch), 0);
            test_fail_from_here(at);
            int error = run_batch(r);
            hit = test_has_failed();
            if (error != 0) {
                assert_true(hit);
                assert_int_equal(error, OAK_ENOMEM);
                /* What was accepted before the failure is in the batch still. */
                assert_int_equal(oak_wal_commit(r->wal), 0);
                r->acked = r->flight;
            }
            assert_int_equal(run_work(r, 3), 0);
            run_close(r);
            test_disk_cut(&r->disk, TEST_DISK_KEEP_NONE);
            assert_int_equal(run_open(r, NULL), 0);
            assert_true(model_matches(&r->acked, r->wal));
            run_fini(r);
            free(r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_open_may_fail),
        cmocka_unit_test(every_allocation_of_append_and_commit_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
