/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: is it JSON?
 *
 * Happy path   one pass over the text, with a bit for each bracket that is open: object or array.
 * Can fail     anything that RFC 8259 doesn't allow, and bytes that are no UTF-8: OAK_EFORMAT, and
 *              where.
 * Invariants   what passed here is walked by reader.c without a look at its limits.
 */
#include <stdio.h>

#include "json/internal.h"

struct checker {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    uint8_t is_object[OAK_JSON_DEPTH_MAX];
    uint32_t depth;
    const char *wrong; /* set: what is */
};

static bool fail(struct checker *c, const char *wrong)
{
    c->wrong = wrong;
    return false;
}

static void space(struct checker *c)
{
    while (c->at < c->end && json__is_space(*c->at)) {
        c->at++;
    }
}

static bool is_digit(const struct checker *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static bool digits(struct checker *c)
{
    if (!is_digit(c)) {
        return fail(c, "a digit is missing");
    }
    while (is_digit(c)) {
        c->at++;
    }
    return true;
}

static bool number(struct checker *c)
{
    if (*c->at == '-') {
        c->at++;
    }
    if (c->at < c->end && *c->at == '0') {
        c->at++;
        if (is_digit(c)) {
            return fail(c, "a number begins with 0");
        }
    } else if (!digits(c)) {
        return false;
    }
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!digits(c)) {
            return false;
        }
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-')) {
            c->at++;
        }
        return digits(c);
    }
    return true;
}

/* The four digits of \uXXXX, from `at`; -1 when they aren't. */
static int32_t hex4(const uint8_t *at, const uint8_t *end)
{
    int32_t value = 0;
    if (end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = json__hex(at[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Behind the backslash. */
static bool escape(struct checker *c)
{
    if (c->at >= c->end || *c->at == '\0' || strchr("\"\\/bfnrtu", *c->at) == NULL) {
        return fail(c, "no such escape");
    }
    if (*c->at++ != 'u') {
        return true;
    }
    int32_t high = hex4(c->at, c->end);
    if (high < 0) {
        return fail(c, "four hexadecimal digits are missing");
    }
    c->at += 4;
    if (high >= 0xdc00 && high <= 0xdfff) {
        return fail(c, "half of a surrogate pair");
    }
    if (high >= 0xd800 && high <= 0xdbff) {
        int32_t low = c->end - c->at >= 6 && c->at[0] == '\\' && c->at[1] == 'u'
                          ? hex4(c->at + 2, c->end)
                          : -1;
        if (low < 0xdc00 || low > 0xdfff) {
            return fail(c, "half of a surrogate pair");
        }
        c->at += 6;
    }
    return true;
}

static bool string(struct checker *c)
{
    c->at++;
    while (c->at < c->end && *c->at != '"') {
        if (*c->at < 0x20) {
            return fail(c, "a control character in a string");
        }
        if (*c->at == '\\') {
            c->at++;
            if (!escape(c)) {
                return false;
            }
        } else {
            size_t size = json__utf8(c->at, c->end);
            if (size == 0) {
                return fail(c, "a string is not UTF-8");
            }
            c->at += size;
        }
    }
    if (c->at >= c->end) {
        return fail(c, "a string does not end");
    }
    c->at++;
    return true;
}

static bool word(struct checker *c, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, text, size) != 0) {
        return fail(c, "no value");
    }
    c->at += size;
    return true;
}

static bool open_bracket(struct checker *c)
{
    if (c->depth == OAK_JSON_DEPTH_MAX) {
        return fail(c, "nested too deep");
    }
    c->is_object[c->depth++] = *c->at == '{';
    c->at++;
    return true;
}

/* A value, or the opening bracket of one. */
static bool value(struct checker *c)
{
    if (c->at >= c->end) {
        return fail(c, "the text ends too early");
    }
    switch (*c->at) {
    case '{':
    case '[':
        return open_bracket(c);
    case '"':
        return string(c);
    case 't':
        return word(c, "true");
    case 'f':
        return word(c, "false");
    case 'n':
        return word(c, "null");
    default:
        return *c->at == '-' || is_digit(c) ? number(c) : fail(c, "no value");
    }
}

/* The name of a member and the colon behind it. */
static bool name(struct checker *c)
{
    if (c->at >= c->end || *c->at != '"') {
        return fail(c, "the name of a member is missing");
    }
    if (!string(c)) {
        return false;
    }
    space(c);
    if (c->at >= c->end || *c->at != ':') {
        return fail(c, "a colon is missing");
    }
    c->at++;
    space(c);
    return true;
}

/* Behind a value: closing brackets, then the comma before the next one. False at the end, or when
 * something is wrong. */
static bool next(struct checker *c)
{
    space(c);
    while (c->depth > 0 && c->at < c->end && *c->at == (c->is_object[c->depth - 1] ? '}' : ']')) {
        c->depth--;
        c->at++;
        space(c);
    }
    if (c->depth == 0) {
        return c->at == c->end ? false : fail(c, "something follows the value");
    }
    if (c->at >= c->end || *c->at != ',') {
        return fail(c, c->at >= c->end ? "the text ends too early" : "a comma is missing");
    }
    c->at++;
    space(c);
    return c->is_object[c->depth - 1] ? name(c) : true;
}

/* Behind an opening bracket: it may be closed at once. True: a value comes. */
static bool first(struct checker *c)
{
    space(c);
    bool object = c->is_object[c->depth - 1];
    if (c->at < c->end && *c->at == (object ? '}' : ']')) {
        return next(c);
    }
    return object ? name(c) : true;
}

int oak_json_check(struct oak_bytes text, struct oak_json_problem *problem)
{
    struct checker c = {.begin = text.data, .at = text.data, .end = text.data + text.size};
    bool more = text.size > 0 || fail(&c, "the text is empty");
    if (more) {
        space(&c);
    }
    while (more) {
        uint32_t depth = c.depth;
        more = value(&c);
        if (more) {
            more = c.depth > depth ? first(&c) : next(&c);
        }
    }
    if (c.wrong != NULL) {
        snprintf(problem->text, sizeof(problem->text), "%s at byte %zu", c.wrong,
                 text.size > 0 ? (size_t)(c.at - c.begin) : 0);
        return OAK_EFORMAT;
    }
    OAK_ASSERT_EQ(c.depth, 0);
    return 0;
}
