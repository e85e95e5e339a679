/* SPDX-License-Identifier: Apache-2.0 */
/* headers.c: what gRPC writes into HTTP/2 header values, and pairs of metadata kept in one buffer.
 *
 * Happy path   values come from nghttp2, already checked for what HTTP allows.
 * Can fail     a peer's value is malformed (OAK_EFORMAT), no memory (OAK_ENOMEM).
 * Invariants   a failed function leaves its output as it was.
 * Format       pairs: { u32 name size, u32 value size, name, value } repeated; this machine only.
 * Thread       any; no state.
 */
#include "rpc/internal.h"

/* -- grpc-timeout ------------------------------------------------------------------------------ */

static uint64_t timeout_unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600 * RPC_SECOND_NS;
    case 'M':
        return 60 * RPC_SECOND_NS;
    case 'S':
        return RPC_SECOND_NS;
    case 'm':
        return 1000000;
    case 'u':
        return 1000;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

int rpc__timeout_parse(struct oak_bytes text, uint64_t *ns)
{
    /* One to eight digits and a unit: the largest is 99999999 hours, more than 64 bits of ns. */
    if (text.size < 2 || text.size > 9) {
        return OAK_EFORMAT;
    }
    uint64_t unit = timeout_unit_ns(text.data[text.size - 1]);
    if (unit == 0) {
        return OAK_EFORMAT;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.size - 1; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return OAK_EFORMAT;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ns = value > UINT64_MAX / unit ? UINT64_MAX : value * unit;
    return 0;
}

size_t rpc__timeout_format(uint64_t ns, char *out)
{
    static const char units[] = {'n', 'u', 'm', 'S', 'M', 'H'};
    static const uint32_t steps[] = {1000, 1000, 1000, 60, 60};
    uint64_t value = ns;
    size_t unit = 0;
    while (value > 99999999 && unit + 1 < OAK_COUNT_OF(units)) {
        uint64_t step = steps[unit];
        value = value / step + (value % step != 0); /* up: never less time than was meant */
        unit++;
    }
    value = OAK_MIN(value, (uint64_t)99999999);
    char digits[8];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value > 0);
    OAK_ASSERT_LE(count + 2, (size_t)RPC_TIMEOUT_TEXT_BYTES);
    for (size_t i = 0; i < count; i++) {
        out[i] = digits[count - 1 - i];
    }
    out[count] = units[unit];
    out[count + 1] = '\0';
    return count + 1;
}

/* -- grpc-message ------------------------------------------------------------------------------ */

int rpc__percent_encode(struct oak_buf *out, struct oak_bytes text)
{
    static const char hex[] = "0123456789ABCDEF";
    if (text.size > SIZE_MAX / 8 || oak_buf_reserve(out, text.size * 3) != 0) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            out->data[out->size++] = c;
        } else {
            out->data[out->size++] = '%';
            out->data[out->size++] = (uint8_t)hex[c >> 4];
            out->data[out->size++] = (uint8_t)hex[c & 15];
        }
    }
    return 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

int rpc__percent_decode(struct oak_buf *out, struct oak_bytes text)
{
    if (oak_buf_reserve(out, text.size) != 0) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '%' && text.size - i > 2) {
            int high = hex_digit(text.data[i + 1]);
            int low = hex_digit(text.data[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (uint8_t)(high * 16 + low);
                i += 2;
            }
        }
        out->data[out->size++] = c;
    }
    return 0;
}

/* -- base64 ------------------------------------------------------------------------------------ */

int rpc__base64_encode(struct oak_buf *out, struct oak_bytes raw)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (raw.size > SIZE_MAX / 8 || oak_buf_reserve(out, raw.size / 3 * 4 + 4) != 0) {
        return OAK_ENOMEM;
    }
    uint8_t *to = out->data + out->size;
    size_t i = 0;
    for (; raw.size - i >= 3; i += 3) {
        uint32_t v = (uint32_t)raw.data[i] << 16 | (uint32_t)raw.data[i + 1] << 8 | raw.data[i + 2];
        *to++ = (uint8_t)digits[v >> 18];
        *to++ = (uint8_t)digits[(v >> 12) & 63];
        *to++ = (uint8_t)digits[(v >> 6) & 63];
        *to++ = (uint8_t)digits[v & 63];
    }
    size_t left = raw.size - i;
    if (left > 0) {
        uint32_t v = (uint32_t)raw.data[i] << 16;
        v |= left == 2 ? (uint32_t)raw.data[i + 1] << 8 : 0;
        *to++ = (uint8_t)digits[v >> 18];
        *to++ = (uint8_t)digits[(v >> 12) & 63];
        if (left == 2) {
            *to++ = (uint8_t)digits[(v >> 6) & 63];
        }
    }
    out->size = (size_t)(to - out->data);
    return 0;
}

static int base64_digit(uint8_t c)
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
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int rpc__base64_decode(struct oak_buf *out, struct oak_bytes text)
{
    size_t size = text.size;
    if (size % 4 == 0) { /* padding completes a group of four, or isn't there */
        for (int i = 0; i < 2 && size > 0 && text.data[size - 1] == '='; i++) {
            size--;
        }
    }
    if (size % 4 == 1) {
        return OAK_EFORMAT;
    }
    if (oak_buf_reserve(out, size / 4 * 3 + 3) != 0) {
        return OAK_ENOMEM;
    }
    size_t before = out->size;
    uint32_t group = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) {
            out->size = before;
            return OAK_EFORMAT;
        }
        group = (group << 6 | (uint32_t)digit) & 0xffffffu;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out->data[out->size++] = (uint8_t)(group >> bits);
        }
    }
    return 0; /* bits left over are not looked at: encoders differ */
}

bool rpc__name_is_binary(struct oak_bytes name)
{
    return name.size > 4 && memcmp(name.data + name.size - 4, "-bin", 4) == 0;
}

/* -- pairs ------------------------------------------------------------------------------------- */

#define PAIR_HEAD_BYTES 8

/* Room for a pair whose value is still to come. */
static int pair_begin(struct oak_buf *pairs, struct oak_bytes name, size_t value_size_max)
{
    if (name.size > UINT32_MAX || value_size_max > UINT32_MAX) {
        return OAK_ENOMEM;
    }
    if (oak_buf_reserve(pairs, PAIR_HEAD_BYTES + name.size + value_size_max) != 0) {
        return OAK_ENOMEM;
    }
    uint8_t *at = pairs->data + pairs->size;
    oak_put_u32(at, (uint32_t)name.size);
    if (name.size > 0) {
        memcpy(at + PAIR_HEAD_BYTES, name.data, name.size);
    }
    pairs->size += PAIR_HEAD_BYTES + name.size;
    return 0;
}

/* The value is all that stands behind the name of the pair that began at `start`. */
static void pair_end(struct oak_buf *pairs, size_t start, size_t name_size)
{
    uint8_t *at = pairs->data + start;
    oak_put_u32(at + 4, (uint32_t)(pairs->size - start - PAIR_HEAD_BYTES - name_size));
}

int rpc__pairs_add(struct oak_buf *pairs, struct oak_bytes name, struct oak_bytes value)
{
    size_t start = pairs->size;
    int error = pair_begin(pairs, name, value.size);
    if (error == 0) {
        error = oak_buf_append(pairs, value.data, value.size);
    }
    if (error != 0) {
        pairs->size = start;
        return error;
    }
    pair_end(pairs, start, name.size);
    return 0;
}

int rpc__pairs_add_wire(struct oak_buf *pairs, struct oak_bytes name, struct oak_bytes value)
{
    if (!rpc__name_is_binary(name)) {
        return rpc__pairs_add(pairs, name, value);
    }
    size_t before = pairs->size;
    size_t at = 0;
    for (;;) {
        const uint8_t *comma =
            at < value.size ? memchr(value.data + at, ',', value.size - at) : NULL;
        size_t end = comma != NULL ? (size_t)(comma - value.data) : value.size;
        size_t start = pairs->size;
        int error = pair_begin(pairs, name, 0);
        if (error == 0) {
            error = rpc__base64_decode(pairs, end > at ? oak_bytes(value.data + at, end - at)
                                                       : oak_bytes(NULL, 0));
        }
        if (error != 0) {
            pairs->size = before;
            return error;
        }
        pair_end(pairs, start, name.size);
        if (comma == NULL) {
            return 0;
        }
        at = end + 1;
    }
}

static bool name_is_free(struct oak_bytes name)
{
    static const char *const taken[] = {"te", "content-type", "user-agent"};
    if (name.size == 0 || name.data[0] == ':' ||
        (name.size >= 5 && memcmp(name.data, "grpc-", 5) == 0 &&
         !oak_bytes_eq(name, oak_bytes_str("grpc-status-details-bin")) &&
         !oak_bytes_eq(name, oak_bytes_str("grpc-retry-pushback-ms")) &&
         !oak_bytes_eq(name, oak_bytes_str("grpc-trace-bin")) &&
         !oak_bytes_eq(name, oak_bytes_str("grpc-tags-bin")))) {
        return false;
    }
    for (size_t i = 0; i < OAK_COUNT_OF(taken); i++) {
        if (oak_bytes_eq(name, oak_bytes_str(taken[i]))) {
            return false;
        }
    }
    return true;
}

int rpc__pairs_add_user(struct oak_buf *pairs, struct oak_rpc_pair pair)
{
    if (!name_is_free(pair.name) ||
        nghttp2_check_header_name(pair.name.data, pair.name.size) == 0) {
        return OAK_EINVAL;
    }
    if (!rpc__name_is_binary(pair.name)) {
        if (pair.value.size > 0 &&
            nghttp2_check_header_value_rfc9113(pair.value.data, pair.value.size) == 0) {
            return OAK_EINVAL;
        }
        return rpc__pairs_add(pairs, pair.name, pair.value);
    }
    size_t start = pairs->size;
    int error = pair_begin(pairs, pair.name, 0);
    if (error == 0) {
        error = rpc__base64_encode(pairs, pair.value);
    }
    if (error != 0) {
        pairs->size = start;
        return error;
    }
    pair_end(pairs, start, pair.name.size);
    return 0;
}

bool rpc__pairs_next(const struct oak_buf *pairs, size_t *at, struct oak_rpc_pair *out)
{
    if (*at >= pairs->size) {
        return false;
    }
    OAK_ASSERT_LE(*at + PAIR_HEAD_BYTES, pairs->size);
    const uint8_t *p = pairs->data + *at;
    size_t name_size = oak_get_u32(p);
    size_t value_size = oak_get_u32(p + 4);
    OAK_ASSERT_LE(*at + PAIR_HEAD_BYTES + name_size + value_size, pairs->size);
    out->name = oak_bytes(p + PAIR_HEAD_BYTES, name_size);
    out->value = oak_bytes(p + PAIR_HEAD_BYTES + name_size, value_size);
    *at += PAIR_HEAD_BYTES + name_size + value_size;
    return true;
}

struct oak_bytes rpc__pairs_find(const struct oak_buf *pairs, struct oak_bytes name)
{
    struct oak_rpc_pair pair;
    size_t at = 0;
    while (rpc__pairs_next(pairs, &at, &pair)) {
        if (oak_bytes_eq(pair.name, name)) {
            return pair.value;
        }
    }
    return oak_bytes(NULL, 0);
}
