/* SPDX-License-Identifier: Apache-2.0 */
/* histogram_test.c: percentiles against sorted values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base.h"
#include "cli/histogram.h"

static void every_value_lies_in_its_bucket_and_buckets_are_narrow(void **state)
{
    (void)state;
    size_t last = 0;
    for (uint64_t v = 0; v < 100000; v++) {
        size_t bucket = cli__histogram_bucket(v);
        assert_true(bucket == last || bucket == last + 1);
        last = bucket;
        assert_true(cli__histogram_low(bucket) <= v);
        assert_true(v < cli__histogram_low(bucket + 1));
    }
    for (unsigned e = 7; e < 64; e++) {
        uint64_t v = (uint64_t)1 << e;
        assert_true(cli__histogram_low(cli__histogram_bucket(v)) == v);
        assert_int_equal(cli__histogram_bucket(v), cli__histogram_bucket(v - 1) + 1);
    }
    assert_int_equal(cli__histogram_bucket(UINT64_MAX), CLI__HISTOGRAM_BUCKETS - 1);
    for (size_t i = 128; i + 1 < CLI__HISTOGRAM_BUCKETS; i++) {
        uint64_t low = cli__histogram_low(i);
        assert_true(cli__histogram_low(i + 1) - low <= low / 128);
    }
}

static void an_empty_one_gives_zeros(void **state)
{
    (void)state;
    static struct cli__histogram h;
    assert_int_equal(cli__histogram_at(&h, 50, 100), 0);
    assert_true(cli__histogram_mean(&h) < 1e-9);
}

static void a_percentile_is_the_first_value_that_enough_values_do_not_pass(void **state)
{
    (void)state;
    static struct cli__histogram h;
    cli__histogram_add(&h, 30);
    cli__histogram_add(&h, 10);
    cli__histogram_add(&h, 20);
    assert_int_equal(cli__histogram_at(&h, 33, 100), 10);
    assert_int_equal(cli__histogram_at(&h, 50, 100), 20);
    assert_int_equal(cli__histogram_at(&h, 99, 100), 30);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_agree_with_sorted_values(void **state)
{
    (void)state;
    static struct cli__histogram h;
    static uint64_t values[4999];
    struct oak_prng prng;
    oak_prng_init(&prng, 7);
    uint64_t sum = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(values); i++) {
        values[i] = oak_prng_below(&prng, UINT64_C(1) << oak_prng_between(&prng, 1, 40));
        cli__histogram_add(&h, values[i]);
        sum += values[i];
    }
    qsort(values, OAK_COUNT_OF(values), sizeof(values[0]), by_value);
    static const uint64_t parts[] = {0, 1, 7, 500, 990, 998, 999, 1000};
    for (size_t i = 0; i < OAK_COUNT_OF(parts); i++) {
        size_t rank = (OAK_COUNT_OF(values) * parts[i] + 999) / 1000;
        uint64_t exact = values[rank == 0 ? 0 : rank - 1];
        uint64_t got = cli__histogram_at(&h, parts[i], 1000);
        assert_true(got <= exact + exact / 128 && got + got / 128 + 1 >= exact);
    }
    assert_true(h.min == values[0] && h.max == values[OAK_COUNT_OF(values) - 1]);
    double mean = cli__histogram_mean(&h);
    double exact_mean = (double)sum / (double)OAK_COUNT_OF(values);
    assert_true(mean - exact_mean < 1 && exact_mean - mean < 1);
}

static void merging_is_as_adding_to_one(void **state)
{
    (void)state;
    static struct cli__histogram one;
    static struct cli__histogram parts[2];
    static struct cli__histogram merged;
    for (uint64_t v = 0; v < 3000; v += 7) {
        cli__histogram_add(&one, v * v);
        cli__histogram_add(&parts[v % 2], v * v);
    }
    cli__histogram_merge(&merged, &parts[0]);
    cli__histogram_merge(&merged, &parts[1]);
    assert_memory_equal(&one, &merged, sizeof(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_lies_in_its_bucket_and_buckets_are_narrow),
        cmocka_unit_test(an_empty_one_gives_zeros),
        cmocka_unit_test(a_percentile_is_the_first_value_that_enough_values_do_not_pass),
        cmocka_unit_test(percentiles_agree_with_sorted_values),
        cmocka_unit_test(merging_is_as_adding_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
