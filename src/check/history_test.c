/* SPDX-License-Identifier: Apache-2.0 */
/* history_test.c: the checker accepts what one order explains and refuses what none does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "check/check.h"

#define FOREVER UINT64_MAX

static bool check(const struct op *ops, size_t count)
{
    struct history h = {0};
    char what[512];
    size_t undecided;
    for (size_t i = 0; i < count; i++) {
        history_add(&h, &ops[i]);
    }
    bool good = history_check(&h, what, sizeof(what), &undecided);
    assert_int_equal(undecided, 0);
    history_fini(&h);
    return good;
}

static void a_read_sees_the_write_before_it(void **state)
{
    (void)state;
    const struct op good[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = 2},
        {.kind = OP_GET, .result = 1, .version = 1, .call = 3, .ret = 4},
    };
    const struct op stale[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = 2},
        {.kind = OP_GET, .result = 0, .call = 3, .ret = 4},
    };
    assert_true(check(good, 2));
    assert_false(check(stale, 2));
}

static void concurrent_operations_may_take_either_order(void **state)
{
    (void)state;
    const struct op either[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = 10},
        {.kind = OP_PUT, .arg = 2, .call = 2, .ret = 9},
        {.kind = OP_GET, .result = 1, .version = 2, .call = 11, .ret = 12},
    };
    const struct op back[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = 10},
        {.kind = OP_PUT, .arg = 2, .call = 2, .ret = 9},
        {.kind = OP_GET, .result = 1, .version = 2, .call = 11, .ret = 12},
        {.kind = OP_GET, .result = 2, .version = 1, .call = 13, .ret = 14},
    };
    assert_true(check(either, 3));
    assert_false(check(back, 4));
}

static void an_operation_without_an_end_may_happen_late_or_never(void **state)
{
    (void)state;
    const struct op late[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = FOREVER},
        {.kind = OP_GET, .result = 0, .call = 3, .ret = 4},
        {.kind = OP_GET, .result = 1, .version = 1, .call = 5, .ret = 6},
    };
    const struct op flicker[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = FOREVER},
        {.kind = OP_GET, .result = 1, .version = 1, .call = 3, .ret = 4},
        {.kind = OP_GET, .result = 0, .call = 5, .ret = 6},
    };
    assert_true(check(late, 3));
    assert_false(check(flicker, 3));
}

static void an_exchange_happens_only_once(void **state)
{
    (void)state;
    const struct op twice[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = 2},
        {.kind = OP_CAS, .expect = 1, .arg = 2, .result = 1, .call = 3, .ret = 6},
        {.kind = OP_CAS, .expect = 1, .arg = 3, .result = 1, .call = 4, .ret = 5},
    };
    struct op once[3] = {twice[0], twice[1], twice[2]};
    once[2].result = 0;
    assert_false(check(twice, 3));
    assert_true(check(once, 3));
}

static void a_version_starts_anew_after_a_delete(void **state)
{
    (void)state;
    struct op ops[] = {
        {.kind = OP_PUT, .arg = 1, .call = 1, .ret = 2},
        {.kind = OP_DELETE, .result = 1, .call = 3, .ret = 4},
        {.kind = OP_PUT, .arg = 2, .call = 5, .ret = 6},
        {.kind = OP_GET, .result = 2, .version = 1, .call = 7, .ret = 8},
    };
    assert_true(check(ops, 4));
    ops[3].version = 2;
    assert_false(check(ops, 4));
}

static bool revisions(const struct op *ops, size_t count)
{
    struct history h = {0};
    char what[512];
    for (size_t i = 0; i < count; i++) {
        history_add(&h, &ops[i]);
    }
    bool good = history_revisions(&h, what, sizeof(what));
    history_fini(&h);
    return good;
}

static void revisions_follow_real_time_and_no_two_writes_share_one(void **state)
{
    (void)state;
    const struct op good[] = {
        {.kind = OP_PUT, .revision = 3, .call = 1, .ret = 4},
        {.kind = OP_PUT, .revision = 2, .call = 2, .ret = 3},
        {.kind = OP_GET, .revision = 3, .call = 5, .ret = 6},
        {.kind = OP_DELETE, .result = 0, .revision = 3, .call = 7, .ret = 8},
        {.kind = OP_CAS, .result = 1, .revision = 4, .call = 9, .ret = 10},
    };
    struct op bad[5];
    assert_true(revisions(good, 5));
    memcpy(bad, good, sizeof(bad));
    bad[2].revision = 2; /* a read behind what was told before its call */
    assert_false(revisions(bad, 5));
    memcpy(bad, good, sizeof(bad));
    bad[4].revision = 3; /* a write that does not rise */
    assert_false(revisions(bad, 5));
    memcpy(bad, good, sizeof(bad));
    bad[1].revision = 3; /* two at once, the same */
    assert_false(revisions(bad, 5));
    memcpy(bad, good, sizeof(bad));
    bad[4].revision = 3;
    bad[4].ret = FOREVER; /* nobody was told */
    assert_true(revisions(bad, 5));
}

static bool peeks(const struct op *ops, size_t count)
{
    struct history h = {0};
    char what[512] = "";
    for (size_t i = 0; i < count; i++) {
        history_add(&h, &ops[i]);
    }
    bool good = history_peeks(&h, what, sizeof(what)) && history_revisions(&h, what, sizeof(what));
    assert_true(good == (what[0] == '\0'));
    history_fini(&h);
    return good;
}

static void a_serializable_read_may_be_old_but_not_made_up_and_not_go_back(void **state)
{
    (void)state;
    const struct op good[] = {
        {.kind = OP_PUT, .key = 1, .arg = 10, .revision = 2, .call = 1, .ret = 2},
        {.kind = OP_PUT, .key = 1, .arg = 11, .revision = 3, .call = 3, .ret = 4},
        {.kind = OP_PEEK,
         .key = 1,
         .node = 1,
         .life = 1,
         .result = 10,
         .revision = 2,
         .call = 5,
         .ret = 6},
        {.kind = OP_PEEK,
         .key = 1,
         .node = 0,
         .life = 1,
         .result = 11,
         .revision = 3,
         .call = 7,
         .ret = 8},
        {.kind = OP_PEEK,
         .key = 1,
         .node = 0,
         .life = 2,
         .result = 10,
         .revision = 2,
         .call = 9,
         .ret = 10},
    };
    struct op bad[5];
    assert_true(peeks(good, 5));
    memcpy(bad, good, sizeof(bad));
    bad[4].life = 1; /* back within one life */
    assert_false(peeks(bad, 5));
    memcpy(bad, good, sizeof(bad));
    bad[2].result = 12; /* written by nobody */
    assert_false(peeks(bad, 5));
    memcpy(bad, good, sizeof(bad));
    bad[2].key = 2; /* written to another key */
    assert_false(peeks(bad, 5));
    memcpy(bad, good, sizeof(bad));
    bad[1].call = 20; /* seen before it was asked for */
    bad[1].ret = FOREVER;
    assert_false(peeks(bad, 5));
    bad[1].call = 3; /* may have happened */
    assert_true(peeks(bad, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_sees_the_write_before_it),
        cmocka_unit_test(concurrent_operations_may_take_either_order),
        cmocka_unit_test(an_operation_without_an_end_may_happen_late_or_never),
        cmocka_unit_test(an_exchange_happens_only_once),
        cmocka_unit_test(a_version_starts_anew_after_a_delete),
        cmocka_unit_test(revisions_follow_real_time_and_no_two_writes_share_one),
        cmocka_unit_test(a_serializable_read_may_be_old_but_not_made_up_and_not_go_back),
    };
    return cmocka_run_group_tests_name("check/history", tests, NULL, NULL);
}
