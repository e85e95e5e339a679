/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: strings and base64, written and read. */
#include "json/internal.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int json__put(struct oak_buf *out, const char *text)
{
    return oak_buf_append(out, text, strlen(text));
}

/* What a byte must be written as; NULL: as it is. `room` is for what has no short form. */
static const char *escaped(uint8_t c, char room[8])
{
    static const char digits[] = "0123456789abcdef";
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f) {
            return NULL;
        }
        memcpy(room, "\\u00", 4);
        room[4] = digits[c >> 4];
        room[5] = digits[c & 15];
        room[6] = '\0';
        return room;
    }
}

int oak_json_put_string(struct oak_buf *out, struct oak_bytes text)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.size > 0 ? at + text.size : at;
    int error = json__put(out, "\"");
    while (at < end && error == 0) {
        char room[8];
        const uint8_t *plain = at;
        const char *instead = NULL;
        size_t size = 1;
        while (at < end && instead == NULL) {
            size = json__utf8(at, end);
            instead = size == 0 ? "\xef\xbf\xbd" : size == 1 ? escaped(*at, room) : NULL;
            at += instead == NULL ? size : 0;
        }
        error = oak_buf_append(out, plain, (size_t)(at - plain));
        if (error == 0 && instead != NULL) {
            error = json__put(out, instead);
            at++;
        }
    }
    return error != 0 ? error : json__put(out, "\"");
}

int oak_json_put_base64(struct oak_buf *out, struct oak_bytes bytes)
{
    size_t size = (bytes.size + 2) / 3 * 4;
    int error = oak_buf_reserve(out, size + 2);
    if (error != 0) {
        return error;
    }
    char *to = (char *)out->data + out->size;
    *to++ = '"';
    for (size_t i = 0; i < bytes.size; i += 3) {
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= i + 1 < bytes.size ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= i + 2 < bytes.size ? bytes.data[i + 2] : 0;
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = i + 1 < bytes.size ? alphabet[group >> 6 & 63] : '=';
        *to++ = i + 2 < bytes.size ? alphabet[group & 63] : '=';
    }
    *to = '"';
    out->size += size + 2;
    return 0;
}

static int place_of(uint8_t c)
{
    if (c == '-' || c == '_') {
        return c == '-' ? 62 : 63;
    }
    const char *found = c == '\0' ? NULL : strchr(alphabet, c);
    return found == NULL ? -1 : (int)(found - alphabet);
}

int oak_json_base64(struct oak_bytes text, struct oak_arena *arena, struct oak_bytes *out)
{
    size_t size = text.size;
    size_t padding = 0;
    while (size > 0 && padding < 2 && text.data[size - 1] == '=') {
        size--;
        padding++;
    }
    if (size % 4 == 1 || (padding > 0 && text.size % 4 != 0)) {
        return OAK_EFORMAT;
    }
    uint8_t *bytes = oak_arena_alloc(arena, size / 4 * 3 + 3);
    if (bytes == NULL) {
        return OAK_ELIMIT;
    }
    uint32_t group = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        int place = place_of(text.data[i]);
        if (place < 0) {
            return OAK_EFORMAT;
        }
        group = group << 6 | (uint32_t)place;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[n++] = (uint8_t)(group >> bits);
        }
    }
    *out = oak_bytes(bytes, n);
    return 0;
}
