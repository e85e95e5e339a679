/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c: both alphabets of RFC 4648, strictly: no blanks, no bits that are set and mean nothing.
 * Thread: any. */
#include "token/internal.h"

/* -1: no letter. */
static int value_of(uint8_t c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (url ? '-' : '+')) {
        return 62;
    }
    return c == (url ? '_' : '/') ? 63 : -1;
}

static bool decode(struct oak_bytes text, bool url, uint8_t *out, size_t room, size_t *size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    *size = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = value_of(text.data[i], url);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (*size == room) {
                return false;
            }
            out[(*size)++] = (uint8_t)(bits >> held);
            bits &= (UINT32_C(1) << held) - 1;
        }
    }
    return held < 6 && bits == 0;
}

bool token__base64_get(struct oak_bytes text, uint8_t *out, size_t room, size_t *size)
{
    return decode(text, true, out, room, size);
}

bool oak_token_base64(const char *text, uint8_t *out, size_t room, size_t *size)
{
    size_t length = strlen(text);
    size_t pads = 0;
    while (pads < 2 && length > pads && text[length - 1 - pads] == '=') {
        pads++;
    }
    *size = 0;
    return length % 4 == 0 && decode(oak_bytes(text, length - pads), false, out, room, size);
}

int token__base64_put(struct oak_buf *out, struct oak_bytes bytes)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int error = oak_buf_reserve(out, bytes.size / 3 * 4 + 4);
    if (error != 0) {
        return error;
    }
    uint8_t *at = out->data + out->size;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        bits = bits << 8 | bytes.data[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            *at++ = (uint8_t)letters[bits >> held & 63];
            bits &= (UINT32_C(1) << held) - 1;
        }
    }
    if (held > 0) {
        *at++ = (uint8_t)letters[bits << (6 - held) & 63];
    }
    out->size = (size_t)(at - out->data);
    return 0;
}
