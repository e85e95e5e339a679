/* SPDX-License-Identifier: Apache-2.0 */
/* args_test.c: every way to write a flag, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "args/args.h"

struct read {
    bool yes;
    uint64_t number;
    int64_t signed_number;
    uint64_t duration_ns;
    const char *text;
    struct oak_args_list list;
    const char *shared;
    const char *operands[3];
    size_t operand_count;
    char *const *rest;
    int code;
    bool ok;
};

static void parse_with(struct read *r, bool rest, const char *line)
{
    static char words[512];
    static char *argv[32]; /* what is left of it is looked at when this has returned */
    int argc = 1;
    *r = (struct read){0};
    snprintf(words, sizeof(words), "%s", line);
    argv[0] = words;
    for (char *at = words; *at != '\0';) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        while (*at == ' ') {
            *at++ = '\0';
        }
    }
    argv[argc] = NULL;
    const struct oak_args_flag flags[] = {
        {"yes", 'y', OAK_ARGS_BOOL, &r->yes, 0, 0, NULL, "a bool"},
        {"number", 'n', OAK_ARGS_NUMBER, &r->number, 1, 10, "N", "a number"},
        {"signed", '\0', OAK_ARGS_SIGNED, &r->signed_number, 0, 0, "N", "a number"},
        {"wait", '\0', OAK_ARGS_DURATION, &r->duration_ns, 0, 0, "TIME", "a time"},
        {"text", 'w', OAK_ARGS_TEXT, &r->text, 0, 0, "TEXT", "a text"},
        {"list", '\0', OAK_ARGS_LIST, &r->list, 0, 0, "ITEM", "items"},
    };
    const struct oak_args_flag common[] = {
        {"shared", 's', OAK_ARGS_TEXT, &r->shared, 0, 0, "TEXT", "of all"},
    };
    const struct oak_args_command command = {
        .name = "verb",
        .summary = "A verb.",
        .operands = "[A B C]",
        .operands_max = 3,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "",
        .common = common,
        .common_count = 1,
        .misused = 128,
        .rest = rest,
    };
    r->ok =
        oak_args_parse(&command, argc, argv, r->operands, &r->operand_count, &r->rest, &r->code);
}

static void parse(struct read *r, const char *line)
{
    parse_with(r, false, line);
}

static void flags_are_read_however_they_are_written(void **state)
{
    (void)state;
    struct read r;
    static const char *const texts[] = {"--text json", "--text=json", "-text json", "-text=json",
                                        "-w json",     "-w=json",     "-wjson"};
    for (size_t i = 0; i < OAK_COUNT_OF(texts); i++) {
        parse(&r, texts[i]);
        assert_true(r.ok);
        assert_string_equal(r.text, "json");
    }
    parse(&r, "a --yes b -n 7 --signed -3 --list=x,y --list z -s=t c");
    assert_true(r.ok && r.yes);
    assert_int_equal(r.number, 7);
    assert_int_equal(r.signed_number, -3);
    assert_int_equal(r.list.count, 2);
    assert_string_equal(r.list.items[0], "x,y");
    assert_string_equal(r.shared, "t");
    assert_int_equal(r.operand_count, 3);
    assert_string_equal(r.operands[2], "c");
    parse(&r, "--yes=false");
    assert_true(r.ok && !r.yes);
    parse(&r, "-");
    assert_true(r.ok);
    assert_int_equal(r.operand_count, 1);
}

static void behind_two_dashes_all_are_operands_or_the_rest(void **state)
{
    (void)state;
    struct read r;
    parse(&r, "key -- --yes -n");
    assert_true(r.ok && !r.yes && r.rest == NULL);
    assert_int_equal(r.operand_count, 3);
    assert_string_equal(r.operands[1], "--yes");
    parse_with(&r, true, "key -- echo -n");
    assert_true(r.ok);
    assert_int_equal(r.operand_count, 1);
    assert_string_equal(r.rest[0], "echo");
    assert_string_equal(r.rest[1], "-n");
    assert_null(r.rest[2]);
}

static void times_are_written_as_go_does(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"5s", 5000000000}, {"100ms", 100000000}, {"1m30s", 90000000000}, {"1.5h", 5400000000000},
        {"0", 0},           {"7ns", 7},           {"3us", 3000},          {"3\xc2\xb5s", 3000}};
    static const char *const bad[] = {"", "5", "s", "5 s", "5x", "-5s", "999999999h", "1e"};
    uint64_t ns;
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        assert_int_equal(oak_args_duration_read(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(oak_args_duration_read(bad[i], &ns), OAK_EINVAL);
    }
}

static void flags_are_described_for_programs(void **state)
{
    (void)state;
    struct read r;
    parse(&r, OAK_ARGS_DESCRIBE);
    assert_false(r.ok);
    assert_int_equal(r.code, 0);
}

static void what_is_wrong_is_refused_with_the_code_of_the_command(void **state)
{
    (void)state;
    struct read r;
    static const char *const bad[] = {"--none",     "--number",    "--number 11", "--number -1",
                                      "--number x", "--yes=maybe", "--wait 5",    "--signed 1x",
                                      "a b c d",    "-x"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        parse(&r, bad[i]);
        assert_false(r.ok);
        assert_int_equal(r.code, 128);
    }
    parse(&r, "--help --none");
    assert_false(r.ok);
    assert_int_equal(r.code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_read_however_they_are_written),
        cmocka_unit_test(behind_two_dashes_all_are_operands_or_the_rest),
        cmocka_unit_test(times_are_written_as_go_does),
        cmocka_unit_test(flags_are_described_for_programs),
        cmocka_unit_test(what_is_wrong_is_refused_with_the_code_of_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
