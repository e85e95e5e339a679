/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.c: the ground floor holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base.h"
#include "base/zoo.h"

static void crc32c_gives_the_published_check_values(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    assert_int_equal(oak_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(oak_crc32c(0, zeros, 32), 0x8a9136aau); /* RFC 3720 B.4 */
    for (size_t cut = 0; cut <= 9; cut++) {
        uint32_t first = oak_crc32c(0, "123456789", cut);
        assert_int_equal(oak_crc32c(first, &"123456789"[cut], 9 - cut), 0xe3069283u);
    }
}

static void errors_have_texts_and_statuses(void **state)
{
    (void)state;
    assert_string_equal(oak_error_text(OAK_ECOMPACTED),
                        "etcdserver: mvcc: required revision has been compacted");
    assert_int_equal(oak_error_grpc(OAK_ECOMPACTED), 11);
    assert_int_equal(oak_error_grpc(OAK_OK), 0);
    assert_string_equal(oak_error_name(OAK_ENOMEM), "ENOMEM");
    struct oak_errbuf e;
    assert_int_equal(oak_fail(&e, OAK_EINVAL, "flag %s", "x"), OAK_EINVAL);
    assert_int_equal(oak_fail_in(&e, OAK_EINVAL, "config"), OAK_EINVAL);
    assert_string_equal(e.text, "config: flag x");
}

static void bytes_order_as_memcmp_with_prefix_first(void **state)
{
    (void)state;
    assert_true(oak_bytes_cmp(oak_bytes_str("a"), oak_bytes_str("ab")) < 0);
    assert_true(oak_bytes_cmp(oak_bytes("\xff", 1), oak_bytes_str("a")) > 0);
    assert_int_equal(oak_bytes_cmp(oak_bytes(NULL, 0), oak_bytes(NULL, 0)), 0);
}

static void reader_fails_once_and_stays_failed(void **state)
{
    (void)state;
    struct oak_reader r = oak_reader(oak_bytes("\1\2\3\4\5", 5));
    assert_int_equal(oak_read_u32(&r), 0x04030201u);
    assert_int_equal(oak_read_u64(&r), 0);
    assert_true(r.failed);
    assert_int_equal(oak_read_u8(&r), 0);
}

static void buffer_grows_and_consumes(void **state)
{
    (void)state;
    struct oak_buf b = {0};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(oak_buf_append(&b, "abc", 3), 0);
    }
    assert_int_equal(oak_buf_printf(&b, "%d", 42), 0);
    oak_buf_consume(&b, 3000);
    assert_memory_equal(b.data, "42", 2);
    assert_int_equal(b.size, 2);
    assert_int_equal(oak_buf_reserve(&b, SIZE_MAX), OAK_ENOMEM);
    oak_buf_fini(&b);
}

static void arena_stops_at_its_ceiling(void **state)
{
    (void)state;
    struct oak_arena a;
    oak_arena_init(&a, 128, 1024);
    assert_non_null(oak_arena_alloc(&a, 1000));
    assert_null(oak_arena_alloc(&a, 100));
    oak_arena_reset(&a);
    for (int i = 0; i < 64; i++) {
        uint8_t *p = oak_arena_zalloc(&a, 16);
        assert_non_null(p);
        assert_int_equal(p[15], 0);
    }
    assert_null(oak_arena_alloc(&a, 1));
    assert_null(oak_arena_alloc(&a, SIZE_MAX));
    oak_arena_fini(&a);
}

static void prng_repeats_from_its_seed_and_keeps_bounds(void **state)
{
    (void)state;
    struct oak_prng p, q;
    oak_prng_init(&p, 7);
    oak_prng_init(&q, 7);
    for (int i = 0; i < 1000; i++) {
        assert_true(oak_prng_u64(&p) == oak_prng_u64(&q));
        uint64_t x = oak_prng_between(&p, 10, 12);
        (void)oak_prng_between(&q, 10, 12);
        assert_in_range(x, 10, 12);
    }
}

static void zoo_sleeps_in_a_normal_build(void **state)
{
    (void)state;
    assert_false(OAK_BUG(vote_twice));
    assert_string_equal(oak_bug_name(OAK_BUG_vote_twice), "vote_twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_published_check_values),
        cmocka_unit_test(errors_have_texts_and_statuses),
        cmocka_unit_test(bytes_order_as_memcmp_with_prefix_first),
        cmocka_unit_test(reader_fails_once_and_stays_failed),
        cmocka_unit_test(buffer_grows_and_consumes),
        cmocka_unit_test(arena_stops_at_its_ceiling),
        cmocka_unit_test(prng_repeats_from_its_seed_and_keeps_bounds),
        cmocka_unit_test(zoo_sleeps_in_a_normal_build),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
