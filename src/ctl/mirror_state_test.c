/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_state_test.c: the state of a mirror as a text, and which keys are mirrored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctl/mirror.h"

static void a_state_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct mirror_state s = {.phase = MIRROR_COPIES,
                             .cluster = 0x1f,
                             .run = UINT64_MAX,
                             .revision = INT64_MAX,
                             .part = 7};
    struct mirror_state r = {0};
    struct oak_buf text = {0};
    struct oak_buf prefix = {0};
    assert_int_equal(oak_buf_append(&s.at, "a\0\xff", 3), 0);
    assert_int_equal(mirror__state_write(&s, oak_bytes_str("p/"), &text), 0);
    assert_int_equal(mirror__state_read(oak_buf_bytes(&text), &r, &prefix), 0);
    assert_int_equal(r.phase, MIRROR_COPIES);
    assert_int_equal(r.cluster, 0x1f);
    assert_true(r.run == UINT64_MAX && r.revision == INT64_MAX && r.part == 7);
    assert_true(oak_bytes_eq(oak_buf_bytes(&r.at), oak_bytes("a\0\xff", 3)));
    assert_true(oak_bytes_eq(oak_buf_bytes(&prefix), oak_bytes_str("p/")));
    oak_buf_fini(&s.at);
    oak_buf_fini(&r.at);
    oak_buf_fini(&text);
    oak_buf_fini(&prefix);
}

static void what_is_no_state_is_refused(void **state)
{
    (void)state;
    static const char good[] =
        "oakum mirror 1 follow from=1f run=2 revision=9 part=0 prefix=70 at=";
    struct mirror_state r = {0};
    struct oak_buf prefix = {0};
    assert_int_equal(mirror__state_read(oak_bytes_str(good), &r, &prefix), 0);
    for (size_t size = 0; size < sizeof(good) - 1; size++) { /* each beginning of it */
        assert_int_equal(mirror__state_read(oak_bytes(good, size), &r, &prefix), OAK_EFORMAT);
    }
    static const char *const bad[] = {
        "oakum mirror 2 follow from=1f run=2 revision=9 part=0 prefix=70 at=",
        "oakum mirror 1 stand from=1f run=2 revision=9 part=0 prefix=70 at=",
        "oakum mirror 1 follow from=1f run=2 revision=9223372036854775808 part=0 prefix= at=",
        "oakum mirror 1 follow from=1f run=2 revision=-9 part=0 prefix=70 at=",
        "oakum mirror 1 follow from=1f run=2 revision=9 part=0 prefix=7 at=",
        "oakum mirror 1 follow from=1f run=2 revision=9 part=0 prefix=7x at=",
        "oakum mirror 1 follow from=1f run=2 revision=9 part=0 prefix=70 at= ",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(mirror__state_read(oak_bytes_str(bad[i]), &r, &prefix), OAK_EFORMAT);
    }
    oak_buf_fini(&r.at);
    oak_buf_fini(&prefix);
}

static bool counts(const char *prefix, const char *to_prefix, const char *suffix)
{
    const struct mirror m = {.prefix = oak_bytes_str(prefix),
                             .to_prefix = oak_bytes_str(to_prefix)};
    return mirror__counts(&m, oak_bytes_str(suffix));
}

static void states_are_not_mirrored_wherever_they_are(void **state)
{
    (void)state;
    assert_true(counts("", "", "a"));
    assert_true(counts("", "", "oakum/mirro"));
    assert_false(counts("", "", "oakum/mirror/"));
    assert_false(counts("", "", "oakum/mirror/x"));
    assert_false(counts("a/", "", "oakum/mirror/x"));
    assert_true(counts("a/", "a/", "oakum/mirror/x"));
    assert_false(counts("oakum/", "b/", "mirror/x"));
    assert_true(counts("oakum/", "b/", "mirrors"));
    assert_false(counts("oakum/mirror/a", "b/", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_state_is_refused),
        cmocka_unit_test(states_are_not_mirrored_wherever_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
