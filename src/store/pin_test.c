/* SPDX-License-Identifier: Apache-2.0 */
/* pin_test.c: what is pinned stays readable, of each engine in turn. */
#include "store/test_help.h"

#define EACH_ENGINE(t)   \
    struct test_store t; \
    for (size_t engine = 0; engine < TEST_ENGINES; engine++)

static void what_is_pinned_outlives_its_compaction(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        struct oak_store_pin old = {.rev = 0};
        struct oak_store_pin new = {.rev = 0};
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "a2", 2, 1);
        test_put(&t, 3, "b", "b3", 3, 1);
        test_put(&t, 4, "a", "a4", 2, 2);
        test_del(&t, 5, "b");
        test_put(&t, 6, "a", "a6", 2, 3);
        test_put(&t, 7, "a", "a7", 2, 4);
        test_commit(&t, 1, 7, 2);
        oak_store_pin(t.s, &old, 4);
        oak_store_pin(t.s, &new, 6);
        assert_true(oak_store_pin_held(&old));
        test_commit(&t, 2, 7, 7);
        test_reclaim_all(&t, 1);
        assert_string_equal(test_get(&t, "a", 4), "a4");
        assert_string_equal(test_get(&t, "b", 4), "b3");
        assert_null(test_get(&t, "a", 3));
        oak_store_unpin(&old);
        oak_store_unpin(&old);
        test_reclaim_all(&t, 1000);
        assert_null(test_get(&t, "a", 4));
        assert_null(test_get(&t, "b", 4));
        assert_string_equal(test_get(&t, "a", 6), "a6");
        oak_store_unpin(&new);
        test_reclaim_all(&t, 1000);
        assert_null(test_get(&t, "a", 6));
        assert_string_equal(test_get(&t, "a", 7), "a7");
        test_store_fini(&t);
    }
}

static void a_restore_lets_go_of_what_was_pinned(void **state)
{
    (void)state;
    EACH_ENGINE(t)
    {
        struct oak_store_pin pin = {.rev = 0};
        test_store_init(&t, &test_engines[engine]);
        test_put(&t, 2, "a", "a2", 2, 1);
        test_commit(&t, 1, 2, -1);
        struct oak_buf stream = test_snapshot(&t, 100);
        oak_store_pin(t.s, &pin, 2);
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 100), 0);
        assert_false(oak_store_pin_held(&pin));
        oak_store_unpin(&pin);
        oak_buf_fini(&stream);
        test_store_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pinned_outlives_its_compaction),
        cmocka_unit_test(a_restore_lets_go_of_what_was_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
