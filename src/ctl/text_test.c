/* SPDX-License-Identifier: Apache-2.0 */
/* text_test.c: times and sizes as Go's programs write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctl/internal.h"

static void times_have_the_largest_unit_and_no_zeros_at_the_end(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {999, "999ns"},
        {1000, "1µs"},
        {1500, "1.5µs"},
        {823112, "823.112µs"},
        {1000000, "1ms"},
        {15586050, "15.58605ms"},
        {999999999, "999.999999ms"},
        {UINT64_C(1000000001), "1.000000001s"},
        {UINT64_C(59500000000), "59.5s"},
        {UINT64_C(60000000000), "1m0s"},
        {UINT64_C(90250000000), "1m30.25s"},
        {UINT64_C(3600000000000), "1h0m0s"},
        {UINT64_C(93784500000000), "26h3m4.5s"},
    };
    struct ctl c = {0};
    (void)state;
    ctl__init(&c);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        assert_string_equal(ctl__duration(&c, cases[i].ns), cases[i].text);
    }
    ctl__fini(&c);
}

static void sizes_have_two_digits_or_more(void **state)
{
    static const struct {
        int64_t size;
        const char *text;
    } cases[] = {{0, "0 B"},           {9, "9 B"},          {999, "999 B"},
                 {1000, "1.0 kB"},     {2048, "2.0 kB"},    {9949, "9.9 kB"},
                 {9950, "10 kB"},      {20480, "20 kB"},    {423920, "424 kB"},
                 {999999, "1000 kB"},  {1000000, "1.0 MB"}, {2147483648, "2.1 GB"},
                 {INT64_MAX, "9.2 EB"}};
    struct ctl c = {0};
    (void)state;
    ctl__init(&c);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        assert_string_equal(ctl__byte_size(&c, cases[i].size), cases[i].text);
    }
    ctl__fini(&c);
}

static void texts_of_any_length_are_made(void **state)
{
    static char word[600];
    struct ctl c = {0};
    char *items[] = {word, word, word};
    (void)state;
    ctl__init(&c);
    memset(word, 'w', sizeof(word) - 1);
    const char *joined = ctl__joined(&c, items, 3, ", ");
    assert_int_equal(strlen(joined), 3 * (sizeof(word) - 1) + 4);
    assert_memory_equal(joined + sizeof(word) - 1, ", www", 5);
    assert_string_equal(ctl__joined(&c, items, 0, ", "), "");
    ctl__fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_have_the_largest_unit_and_no_zeros_at_the_end),
        cmocka_unit_test(sizes_have_two_digits_or_more),
        cmocka_unit_test(texts_of_any_length_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
