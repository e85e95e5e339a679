/* SPDX-License-Identifier: Apache-2.0 */
/* check_test.c: what is JSON and what isn't, where a value ends, and walking one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "json/json.h"

static struct oak_bytes text(const char *s)
{
    return oak_bytes_str(s);
}

static void what_the_rfc_allows_is_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "false",
        "\"\"",
        "0",
        "-0",
        "-0.0e-0",
        "1.5E+10",
        "123456789012345678901234567890",
        "[1,2]",
        "[[],{},[[]]]",
        "{\"a\":1}",
        "{ \"a\" : [ 1 , { \"b\" : null } ] , \"c\" : \"d\" }\r\n\t",
        "{\"\":\"\",\"\":0}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude08\"",
        "\"\xc3\xa9 \xe2\x98\xba \xf0\x9f\x98\x88 \x7f\"",
        "\"\\u0000\"",
    };
    struct oak_json_problem problem;
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        if (oak_json_check(text(good[i]), &problem) != 0) {
            fail_msg("%s: %s", good[i], problem.text);
        }
    }
}

static void what_it_does_not_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } bad[] = {
        {"", "the text is empty at byte 0"},
        {"  ", "the text ends too early at byte 2"},
        {"[", "the text ends too early at byte 1"},
        {"{", "the name of a member is missing at byte 1"},
        {"]", "no value at byte 0"},
        {"[1", "the text ends too early at byte 2"},
        {"[1,", "the text ends too early at byte 3"},
        {"[1,]", "no value at byte 3"},
        {"[,1]", "no value at byte 1"},
        {"[1 2]", "a comma is missing at byte 3"},
        {"[1}", "a comma is missing at byte 2"},
        {"{\"a\"}", "a colon is missing at byte 4"},
        {"{\"a\":}", "no value at byte 5"},
        {"{\"a\":1,}", "the name of a member is missing at byte 7"},
        {"{a:1}", "the name of a member is missing at byte 1"},
        {"{1:1}", "the name of a member is missing at byte 1"},
        {"{} {}", "something follows the value at byte 3"},
        {"1 1", "something follows the value at byte 2"},
        {"01", "a number begins with 0 at byte 1"},
        {"-", "a digit is missing at byte 1"},
        {"-01", "a number begins with 0 at byte 2"},
        {"1.", "a digit is missing at byte 2"},
        {".5", "no value at byte 0"},
        {"+1", "no value at byte 0"},
        {"1e", "a digit is missing at byte 2"},
        {"1e+", "a digit is missing at byte 3"},
        {"NaN", "no value at byte 0"},
        {"nul", "no value at byte 0"},
        {"True", "no value at byte 0"},
        {"'a'", "no value at byte 0"},
        {"\"", "a string does not end at byte 1"},
        {"\"\\\"", "a string does not end at byte 3"},
        {"\"\\x\"", "no such escape at byte 2"},
        {"\"\\", "no such escape at byte 2"},
        {"\"\\u12\"", "four hexadecimal digits are missing at byte 3"},
        {"\"\\ud800\"", "half of a surrogate pair at byte 7"},
        {"\"\\ud800\\u0041\"", "half of a surrogate pair at byte 7"},
        {"\"\\udc00\"", "half of a surrogate pair at byte 7"},
        {"\"a\nb\"", "a control character in a string at byte 2"},
        {"\"\xff\"", "a string is not UTF-8 at byte 1"},
        {"\"\xc0\x80\"", "a string is not UTF-8 at byte 1"},
        {"\"\xed\xa0\x80\"", "a string is not UTF-8 at byte 1"},
        {"\"\xf4\x90\x80\x80\"", "a string is not UTF-8 at byte 1"},
        {"\"\xe2\x98", "a string is not UTF-8 at byte 1"},
        {"[1]x", "something follows the value at byte 3"},
        {"\xef\xbb\xbf{}", "no value at byte 0"},
        {"/**/1", "no value at byte 0"},
    };
    struct oak_json_problem problem;
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(oak_json_check(text(bad[i].text), &problem), OAK_EFORMAT);
        assert_string_equal(problem.text, bad[i].why);
    }
    assert_int_equal(oak_json_check(oak_bytes("\"\0\"", 3), &problem), OAK_EFORMAT);
    assert_int_equal(oak_json_check(oak_bytes("\"\\\0\"", 4), &problem), OAK_EFORMAT);
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    char deep[2 * OAK_JSON_DEPTH_MAX + 4];
    struct oak_json_problem problem;
    for (size_t depth = OAK_JSON_DEPTH_MAX; depth <= OAK_JSON_DEPTH_MAX + 1; depth++) {
        struct oak_json_frame frame = {0};
        size_t used;
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        struct oak_bytes b = oak_bytes(deep, 2 * depth);
        bool fits = depth == OAK_JSON_DEPTH_MAX;
        assert_int_equal(oak_json_check(b, &problem), fits ? 0 : OAK_EFORMAT);
        assert_int_equal(oak_json_frame(&frame, b, &used), fits ? 1 : OAK_ELIMIT);
    }
}

static void a_frame_ends_where_its_bracket_does_in_whatever_pieces_it_comes(void **state)
{
    (void)state;
    static const char stream[] = " {\"a\":\"}\\\"]\\\\\",\"b\":[{}]}\n[1]{}";
    static const size_t ends[] = {24, 28, 30};
    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        struct oak_json_frame frame = {0};
        size_t at = 0;
        size_t found = 0;
        while (at < sizeof(stream) - 1) {
            size_t used;
            size_t size = OAK_MIN(piece, sizeof(stream) - 1 - at);
            int got = oak_json_frame(&frame, oak_bytes(stream + at, size), &used);
            at += used;
            if (got == 1) {
                assert_int_equal(at, ends[found++]);
                frame = (struct oak_json_frame){0};
            } else {
                assert_int_equal(got, 0);
                assert_int_equal(used, size);
            }
        }
        assert_int_equal(found, 3);
    }
}

static void what_is_no_object_or_array_is_no_frame(void **state)
{
    (void)state;
    static const char *const bad[] = {"x", "1", "\"a\"", "]", "}", ",{}", "GET /"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct oak_json_frame frame = {0};
        size_t used = 99;
        assert_int_equal(oak_json_frame(&frame, text(bad[i]), &used), OAK_EFORMAT);
        assert_int_equal(used, 0);
    }
}

static void a_text_is_walked_in_one_pass(void **state)
{
    (void)state;
    struct oak_bytes name;
    struct oak_json_reader r = oak_json_reader(text(
        " { \"a\" : [ 1 , true , null ] ,\"b\":\"x\\ny\", \"c\" : {\"d\":[{}]} , \"e\":-1.5e3}"));
    assert_int_equal(oak_json_type(&r), OAK_JSON_OBJECT);
    oak_json_enter(&r);
    assert_true(oak_json_member(&r, &name));
    assert_true(oak_bytes_eq(name, text("a")));
    assert_int_equal(oak_json_type(&r), OAK_JSON_ARRAY);
    oak_json_enter(&r);
    assert_true(oak_json_element(&r));
    assert_true(oak_bytes_eq(oak_json_number(&r), text("1")));
    assert_true(oak_json_element(&r));
    assert_true(oak_json_bool(&r));
    assert_true(oak_json_element(&r));
    assert_true(oak_bytes_eq(oak_json_skip(&r), text("null")));
    assert_false(oak_json_element(&r));
    assert_true(oak_json_member(&r, &name));
    assert_true(oak_bytes_eq(oak_json_raw_string(&r), text("x\\ny")));
    assert_true(oak_json_member(&r, &name));
    assert_true(oak_bytes_eq(oak_json_skip(&r), text("{\"d\":[{}]}")));
    assert_true(oak_json_member(&r, &name));
    assert_true(oak_bytes_eq(name, text("e")));
    assert_true(oak_bytes_eq(oak_json_skip(&r), text("-1.5e3")));
    assert_false(oak_json_member(&r, &name));
}

static void strings_come_back_as_they_were(void **state)
{
    (void)state;
    struct oak_arena arena;
    struct oak_buf out = {0};
    struct oak_json_problem problem;
    uint8_t all[128 + 9];
    for (int i = 0; i < 128; i++) {
        all[i] = (uint8_t)i;
    }
    memcpy(all + 128, "\xc3\xa9\xe2\x98\xba\xf0\x9f\x98\x88", 9);
    oak_arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(oak_json_put_string(&out, oak_bytes(all, sizeof(all))), 0);
    assert_int_equal(oak_json_check(oak_buf_bytes(&out), &problem), 0);
    struct oak_json_reader r = oak_json_reader(oak_buf_bytes(&out));
    struct oak_bytes back;
    assert_int_equal(oak_json_unescape(oak_json_raw_string(&r), &arena, &back), 0);
    assert_true(oak_bytes_eq(back, oak_bytes(all, sizeof(all))));
    assert_int_equal(oak_json_unescape(text("\\ud83d\\ude08\\u00e9\\/"), &arena, &back), 0);
    assert_true(oak_bytes_eq(back, text("\xf0\x9f\x98\x88\xc3\xa9/")));
    oak_buf_clear(&out);
    assert_int_equal(oak_json_put_string(&out, text("a\xff\xed\xa0\x80z")), 0);
    assert_true(oak_bytes_eq(oak_buf_bytes(&out),
                             text("\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"")));
    oak_buf_fini(&out);
    oak_arena_fini(&arena);
}

static void base64_is_read_in_both_alphabets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *bytes; /* NULL: it is none */
        size_t size;
    } cases[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zg", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"+/+/", "\xfb\xff\xbf", 3},
        {"-_-_", "\xfb\xff\xbf", 3},
        {"Z", NULL, 0},
        {"Zg=", NULL, 0},
        {"Zg===", NULL, 0},
        {"Z g=", NULL, 0},
        {"Zm9v=", NULL, 0},
        {"=", NULL, 0},
        {"*", NULL, 0},
    };
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, 1 << 20);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct oak_bytes out;
        int error = oak_json_base64(text(cases[i].text), &arena, &out);
        assert_int_equal(error, cases[i].bytes != NULL ? 0 : OAK_EFORMAT);
        assert_true(error != 0 || oak_bytes_eq(out, oak_bytes(cases[i].bytes, cases[i].size)));
    }
    oak_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_rfc_allows_is_taken),
        cmocka_unit_test(what_it_does_not_is_refused_with_its_place),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(a_frame_ends_where_its_bracket_does_in_whatever_pieces_it_comes),
        cmocka_unit_test(what_is_no_object_or_array_is_no_frame),
        cmocka_unit_test(a_text_is_walked_in_one_pass),
        cmocka_unit_test(strings_come_back_as_they_were),
        cmocka_unit_test(base64_is_read_in_both_alphabets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
