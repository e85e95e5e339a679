/* SPDX-License-Identifier: Apache-2.0 */
/* The plan follows from its seed alone, and deals every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "chaos/internal.h"

#define ROUNDS 200

static void deal(uint64_t seed, int nodes, uint32_t kinds, struct chaos__round *out)
{
    struct chaos__plan plan;
    chaos__plan_init(&plan, seed, nodes, chaos__plan_kinds(kinds, nodes));
    for (size_t i = 0; i < ROUNDS; i++) {
        chaos__plan_round(&plan, &out[i]);
    }
}

static bool same(const struct chaos__round *a, const struct chaos__round *b)
{
    for (size_t i = 0; i < ROUNDS; i++) {
        if (a[i].count != b[i].count || a[i].quiet_ms != b[i].quiet_ms) {
            return false;
        }
        for (size_t k = 0; k < a[i].count; k++) {
            const struct chaos__fault *x = &a[i].faults[k], *y = &b[i].faults[k];
            if (x->kind != y->kind || x->target != y->target || x->mask != y->mask ||
                x->amount != y->amount || x->start_ms != y->start_ms ||
                x->length_ms != y->length_ms) {
                return false;
            }
        }
    }
    return true;
}

static void a_seed_gives_the_same_faults_again(void **state)
{
    static struct chaos__round a[ROUNDS], b[ROUNDS];
    (void)state;
    deal(7, 5, OAK_CHAOS_EVERYTHING, a);
    deal(7, 5, OAK_CHAOS_EVERYTHING, b);
    assert_true(same(a, b));
    deal(8, 5, OAK_CHAOS_EVERYTHING, b);
    assert_false(same(a, b));
}

static void every_kind_comes_before_any_comes_twice(void **state)
{
    static struct chaos__round rounds[ROUNDS];
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint32_t seen = 0;
        size_t faults = 0;
        deal(seed, 5, OAK_CHAOS_EVERYTHING, rounds);
        for (size_t i = 0; i < ROUNDS; i++) {
            assert_in_range(rounds[i].count, 1, CHAOS_ROUND_FAULTS);
            for (size_t k = 0; k < rounds[i].count; k++, faults++) {
                uint32_t bit = UINT32_C(1) << rounds[i].faults[k].kind;
                assert_true(faults >= OAK_CHAOS_KINDS || (seen & bit) == 0);
                seen |= bit;
            }
        }
        assert_int_equal(seen, OAK_CHAOS_EVERYTHING);
    }
}

static void only_what_was_asked_for_and_makes_sense_is_dealt(void **state)
{
    static struct chaos__round rounds[ROUNDS];
    (void)state;
    for (int nodes = 1; nodes <= OAK_CHAOS_NODES_MAX; nodes++) {
        deal(3, nodes, OAK_CHAOS_EVERYTHING, rounds);
        for (size_t i = 0; i < ROUNDS; i++) {
            for (size_t k = 0; k < rounds[i].count; k++) {
                const struct chaos__fault *f = &rounds[i].faults[k];
                assert_true(f->target >= CHAOS_TARGET_ALL && f->target < nodes);
                assert_true(f->kind != OAK_CHAOS_RING || nodes >= 4);
                assert_true(f->kind != OAK_CHAOS_HALVES || nodes >= 2);
                assert_true(nodes < 2 || (f->mask > 0 && f->mask < (UINT32_C(1) << nodes) - 1));
                assert_true(f->length_ms > 0 && f->length_ms <= 5000);
                assert_true(k == 0 || rounds[i].faults[k - 1].start_ms <= f->start_ms);
            }
        }
    }
    deal(3, 5, UINT32_C(1) << OAK_CHAOS_PAUSE, rounds);
    for (size_t i = 0; i < ROUNDS; i++) {
        assert_true(rounds[i].count == 1 && rounds[i].faults[0].kind == OAK_CHAOS_PAUSE);
    }
}

static void names_of_kinds_are_read(void **state)
{
    struct oak_errbuf e;
    uint32_t kinds;
    (void)state;
    assert_int_equal(oak_chaos_kinds_read("kill,pause", &kinds, &e), 0);
    assert_int_equal(kinds, UINT32_C(1) << OAK_CHAOS_KILL | UINT32_C(1) << OAK_CHAOS_PAUSE);
    assert_int_equal(oak_chaos_kinds_read("partition", &kinds, &e), 0);
    assert_int_equal(kinds, UINT32_C(31) << OAK_CHAOS_HALVES);
    for (int i = 0; i < OAK_CHAOS_KINDS; i++) {
        const char *name = oak_chaos_kind_name((enum oak_chaos_kind)i);
        assert_int_equal(oak_chaos_kinds_read(name, &kinds, &e), 0);
        assert_int_equal(kinds, UINT32_C(1) << i);
        assert_true(strlen(oak_chaos_kind_text((enum oak_chaos_kind)i)) > 0);
    }
    static const char *const wrong[] = {"",      "kil",         "killl", "disk",
                                        "kill,", "kill,,pause", "clock"};
    for (size_t i = 0; i < OAK_COUNT_OF(wrong); i++) {
        assert_int_equal(oak_chaos_kinds_read(wrong[i], &kinds, &e), OAK_EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_same_faults_again),
        cmocka_unit_test(every_kind_comes_before_any_comes_twice),
        cmocka_unit_test(only_what_was_asked_for_and_makes_sense_is_dealt),
        cmocka_unit_test(names_of_kinds_are_read),
    };
    return cmocka_run_group_tests_name("chaos/plan", tests, NULL, NULL);
}
