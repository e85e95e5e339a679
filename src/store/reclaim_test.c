/* SPDX-License-Identifier: Apache-2.0 */
/* reclaim_test.c: crashes while what is compacted is removed. */
#include "store/test_help.h"

#define EACH_ENGINE(t)   \
    struct test_store t; \
    for (size_t engine = 0; engine < TEST_ENGINES; engine++)

static void w09_a_crash_in_a_compaction_takes_no_revision_back(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        test_store_init(&t, &test_engines[engine]);
        for (int64_t main = 2; main < 60; main++) {
            test_put(&t, main, main % 2 == 0 ? "a" : "b", "v", 2 + main % 2, main / 2);
        }
        test_del(&t, 60, "a");
        test_del(&t, 61, "b");
        test_commit(&t, 100, 61, -1);
        test_store_flush(&t);
        test_commit(&t, 101, 61, 61);
        test_store_flush(&t);
        bool more;
        for (int crash = 0; crash < 12; crash++) {
            assert_int_equal(oak_store_reclaim(t.s, 7, &more), 0);
            test_store_reopen(&t); /* a crash, wherever it had got to */
            const struct oak_store_state *s = oak_store_state(t.s);
            assert_int_equal(s->revision, 61);
            assert_int_equal(s->compacted, 61);
            assert_null(test_get(&t, "a", 0));
            assert_null(test_get(&t, "b", 0));
            assert_int_equal(oak_store_reclaim(t.s, 7, &more), 0);
            test_store_flush(&t); /* so that it gets on */
        }
        test_reclaim_all(&t, 100);
        test_put(&t, 62, "c", "next", 62, 1);
        test_commit(&t, 102, 62, 61);
        assert_string_equal(test_get(&t, "c", 62), "next");
        test_store_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w09_a_crash_in_a_compaction_takes_no_revision_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
