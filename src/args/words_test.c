/* SPDX-License-Identifier: Apache-2.0 */
/* words_test.c: lines cut into words, and the escapes of Go's quoted texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "args/args.h"

static void expect(const char *line, const char *const *words)
{
    struct oak_arena arena;
    char *got[8];
    size_t count;
    oak_arena_init(&arena, 4096, 65536);
    assert_int_equal(oak_args_split(line, &arena, got, 8, &count), 0);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(words[i]);
        assert_string_equal(got[i], words[i]);
    }
    assert_null(words[count]);
    oak_arena_fini(&arena);
}

#define EXPECT(line, ...) expect(line, (const char *const[]){__VA_ARGS__, NULL})

static void words_are_parted_by_spaces_and_held_by_quotes(void **state)
{
    (void)state;
    expect("", (const char *const[]){NULL});
    expect("  \t\n ", (const char *const[]){NULL});
    EXPECT("put a b", "put", "a", "b");
    EXPECT("  put\ta   b ", "put", "a", "b");
    EXPECT("put \"a b\" 'c  d'", "put", "a b", "c  d");
    EXPECT("put '' \"\"", "put", "", "");
    EXPECT("put it's", "put", "it's");
    EXPECT("put 'a\\n' \"a\\n\"", "put", "a\\n", "a\n");
}

static void escapes_are_those_of_go(void **state)
{
    (void)state;
    EXPECT("\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\"", "\a\b\f\n\r\t\v\\\"");
    EXPECT("\"\\x6b\\xff\"", "k\xff");
    EXPECT("\"\\153\"", "k");
    EXPECT("\"\\u00e9\\u2603\\U0001f600\"", "\xc3\xa9\xe2\x98\x83\xf0\x9f\x98\x80");
}

static void what_is_no_word_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"a",       "'a",          "\"\\q\"",         "\"\\x6\"",
                                      "\"\\400\"", "\"\\ud800\"", "\"\\U00110000\"", "\"\\"};
    struct oak_arena arena;
    char *words[2];
    size_t count;
    oak_arena_init(&arena, 4096, 65536);
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(oak_args_split(bad[i], &arena, words, 2, &count), OAK_EFORMAT);
    }
    assert_int_equal(oak_args_split("a b c", &arena, words, 2, &count), OAK_ELIMIT);
    oak_arena_fini(&arena);
}

static void the_nearest_word_is_found(void **state)
{
    (void)state;
    static const char *const words[] = {"get", "put", "del", "endpoint", "member", "snapshot"};
    static const struct {
        const char *typed;
        const char *meant;
    } cases[] = {{"gett", "get"},
                 {"gte", NULL},
                 {"pt", NULL},
                 {"putt", "put"},
                 {"endpiont", "endpoint"},
                 {"members", "member"},
                 {"snapshto", "snapshot"},
                 {"quite something else", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct oak_args_nearest n;
        oak_args_nearest_begin(&n, cases[i].typed);
        for (size_t k = 0; k < OAK_COUNT_OF(words); k++) {
            oak_args_nearest_try(&n, words[k]);
        }
        if (cases[i].meant == NULL) {
            assert_null(n.found);
        } else {
            assert_non_null(n.found);
            assert_string_equal(n.found, cases[i].meant);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_parted_by_spaces_and_held_by_quotes),
        cmocka_unit_test(escapes_are_those_of_go),
        cmocka_unit_test(the_nearest_word_is_found),
        cmocka_unit_test(what_is_no_word_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
