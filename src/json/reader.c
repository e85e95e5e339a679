/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c: walking a text that was checked, and what stands between quotes.
 *
 * Happy path   enter, then element or member before each value, which is read or skipped.
 * Can fail     only for want of memory, where escapes are undone. A caller that asks for what is
 *              not there trips an assertion: it is our bug, since oak_json_type() tells.
 * Invariants   the text was checked, and is not changed.
 */
#include "json/internal.h"

size_t json__utf8(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    uint8_t c = left > 0 ? at[0] : 0xff;
    if (c < 0x80) {
        return 1;
    }
    size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || left < size) {
        return 0;
    }
    /* The second byte alone tells overlong forms, surrogates, and what is beyond U+10FFFF. */
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

static void space(struct oak_json_reader *r)
{
    while (r->at < r->end && json__is_space(*r->at)) {
        r->at++;
    }
}

struct oak_json_reader oak_json_reader(struct oak_bytes checked)
{
    OAK_ASSERT(checked.size > 0);
    return (struct oak_json_reader){.at = checked.data, .end = checked.data + checked.size};
}

enum oak_json_type oak_json_type(struct oak_json_reader *r)
{
    space(r);
    OAK_ASSERT(r->at < r->end);
    switch (*r->at) {
    case '{':
        return OAK_JSON_OBJECT;
    case '[':
        return OAK_JSON_ARRAY;
    case '"':
        return OAK_JSON_STRING;
    case 't':
    case 'f':
        return OAK_JSON_BOOL;
    case 'n':
        return OAK_JSON_NULL;
    default:
        return OAK_JSON_NUMBER;
    }
}

void oak_json_enter(struct oak_json_reader *r)
{
    enum oak_json_type type = oak_json_type(r);
    OAK_ASSERT(type == OAK_JSON_OBJECT || type == OAK_JSON_ARRAY);
    r->at++;
}

bool oak_json_element(struct oak_json_reader *r)
{
    space(r);
    OAK_ASSERT(r->at < r->end);
    if (*r->at == ']' || *r->at == '}') {
        r->at++;
        return false;
    }
    if (*r->at == ',') {
        r->at++;
    }
    return true;
}

bool oak_json_member(struct oak_json_reader *r, struct oak_bytes *raw_name)
{
    if (!oak_json_element(r)) {
        return false;
    }
    *raw_name = oak_json_raw_string(r);
    space(r);
    OAK_ASSERT(r->at < r->end && *r->at == ':');
    r->at++;
    return true;
}

struct oak_bytes oak_json_raw_string(struct oak_json_reader *r)
{
    OAK_ASSERT_EQ(oak_json_type(r), OAK_JSON_STRING);
    const uint8_t *begin = ++r->at;
    while (r->at < r->end && *r->at != '"') {
        r->at += *r->at == '\\' ? 2 : 1;
    }
    OAK_ASSERT(r->at < r->end);
    return oak_bytes(begin, (size_t)(r->at++ - begin));
}

struct oak_bytes oak_json_number(struct oak_json_reader *r)
{
    OAK_ASSERT_EQ(oak_json_type(r), OAK_JSON_NUMBER);
    const uint8_t *begin = r->at;
    while (r->at < r->end && *r->at != ',' && *r->at != ']' && *r->at != '}' &&
           !json__is_space(*r->at)) {
        r->at++;
    }
    return oak_bytes(begin, (size_t)(r->at - begin));
}

bool oak_json_bool(struct oak_json_reader *r)
{
    OAK_ASSERT_EQ(oak_json_type(r), OAK_JSON_BOOL);
    bool value = *r->at == 't';
    r->at += value ? 4 : 5;
    return value;
}

struct oak_bytes oak_json_skip(struct oak_json_reader *r)
{
    struct oak_json_frame frame = {0};
    enum oak_json_type type = oak_json_type(r);
    const uint8_t *begin = r->at;
    size_t used = 0;
    int ended = 0;
    switch (type) {
    case OAK_JSON_OBJECT:
    case OAK_JSON_ARRAY:
        ended = oak_json_frame(&frame, oak_bytes(begin, (size_t)(r->end - begin)), &used);
        OAK_ASSERT_EQ(ended, 1);
        r->at += used;
        break;
    case OAK_JSON_STRING:
        (void)oak_json_raw_string(r);
        break;
    case OAK_JSON_NUMBER:
        (void)oak_json_number(r);
        break;
    case OAK_JSON_BOOL:
        (void)oak_json_bool(r);
        break;
    case OAK_JSON_NULL:
        r->at += 4;
        break;
    }
    return oak_bytes(begin, (size_t)(r->at - begin));
}

/* -- between quotes ---------------------------------------------------------------------------- */

static uint32_t hex4(const uint8_t *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        value = value << 4 | (uint32_t)json__hex(at[i]);
    }
    return value;
}

static size_t utf8_put(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        to[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    to[0] = (uint8_t)((size == 2 ? 0xc0u : size == 3 ? 0xe0u : 0xf0u) | c);
    return size;
}

/* The character of the escape behind a backslash at `at`; how many bytes it took. */
static size_t escape_read(const uint8_t *at, uint32_t *c)
{
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    if (*at != 'u') {
        const char *found = strchr(from, *at);
        *c = found != NULL ? (uint32_t)to[found - from] : *at;
        return 1;
    }
    *c = hex4(at + 1);
    if (*c >= 0xd800 && *c <= 0xdbff) {
        *c = 0x10000 + ((*c - 0xd800) << 10) + (hex4(at + 7) - 0xdc00);
        return 11;
    }
    return 5;
}

int oak_json_unescape(struct oak_bytes raw, struct oak_arena *arena, struct oak_bytes *out)
{
    *out = raw;
    if (raw.size == 0 || memchr(raw.data, '\\', raw.size) == NULL) {
        return 0;
    }
    uint8_t *to = oak_arena_alloc(arena, raw.size); /* no escape is shorter than what it means */
    if (to == NULL) {
        return OAK_ELIMIT;
    }
    size_t size = 0;
    for (size_t at = 0; at < raw.size;) {
        if (raw.data[at] != '\\') {
            to[size++] = raw.data[at++];
            continue;
        }
        uint32_t c;
        at += 1 + escape_read(raw.data + at + 1, &c);
        size += utf8_put(to + size, c);
    }
    OAK_ASSERT_LE(size, raw.size);
    *out = oak_bytes(to, size);
    return 0;
}
