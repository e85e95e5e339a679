/* SPDX-License-Identifier: Apache-2.0 */
/* headers.c: headers of a request as metadata of its call, and metadata as headers of its answer.
 *
 * Pairs lie in one buffer, each as
 *
 *     ┌───────────┬────────────┬──────┬───────┐
 *     │ u32 bytes │ u32 bytes  │ name │ value │
 *     │ of name   │ of value   │      │       │
 *     └───────────┴────────────┴──────┴───────┘
 *
 * Can fail     a "-bin" header that is no base64, a timeout that is none; no memory.
 * Invariants   names are lower case and of gRPC's letters; what the transport of gRPC keeps for
 *              itself is no metadata.
 * Source       grpc-gateway's mapping, as etcd's users know it.
 */
#include <stdio.h>

#include "transcode/internal.h"

#define PREFIX      "grpc-metadata-"
#define HTTP_PREFIX "grpcgateway-"
#define PAIR_BYTES  8
/* More digits than a number of nanoseconds has. */
#define TIMEOUT_DIGITS 18

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool name_is(struct oak_bytes name, const char *wanted)
{
    size_t i = 0;
    while (i < name.size && lower(name.data[i]) == (uint8_t)wanted[i] && wanted[i] != '\0') {
        i++;
    }
    return i == name.size && wanted[i] == '\0';
}

static bool name_begins(struct oak_bytes name, const char *prefix)
{
    size_t size = strlen(prefix);
    return name.size > size && name_is(oak_bytes(name.data, size), prefix);
}

static bool name_ends(struct oak_bytes name, const char *suffix)
{
    size_t size = strlen(suffix);
    return name.size > size && name_is(oak_bytes(name.data + name.size - size, size), suffix);
}

/* Headers that mean something to HTTP itself. */
static bool is_of_http(struct oak_bytes name)
{
    static const char *const names[] = {
        "accept",
        "accept-charset",
        "accept-language",
        "accept-ranges",
        "authorization",
        "cache-control",
        "content-type",
        "cookie",
        "date",
        "expect",
        "from",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "max-forwards",
        "if-unmodified-since",
        "origin",
        "pragma",
        "referer",
        "user-agent",
        "via",
        "warning",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if (name_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* What gRPC's metadata may be called: its letters, and nothing of the transport's own. */
static bool is_metadata(struct oak_bytes name)
{
    static const char *const kept[] = {"content-type", "user-agent", "te", "grpc-message-type"};
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = lower(name.data[i]);
        bool fits =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!fits) {
            return false;
        }
    }
    for (size_t i = 0; i < OAK_COUNT_OF(kept); i++) {
        if (name_is(name, kept[i])) {
            return false;
        }
    }
    return name.size > 0 && (!name_begins(name, "grpc-") || name_is(name, "grpc-trace-bin"));
}

static int pair_add(struct oak_buf *out, const char *prefix, struct oak_bytes name,
                    struct oak_bytes value)
{
    size_t before = strlen(prefix);
    int error = oak_buf_reserve(out, PAIR_BYTES + before + name.size + value.size);
    if (error != 0) {
        return error;
    }
    uint8_t *at = out->data + out->size;
    oak_put_u32(at, (uint32_t)(before + name.size));
    oak_put_u32(at + 4, (uint32_t)value.size);
    at += PAIR_BYTES;
    memcpy(at, prefix, before);
    at += before;
    for (size_t i = 0; i < name.size; i++) {
        *at++ = lower(name.data[i]);
    }
    if (value.size > 0) {
        memcpy(at, value.data, value.size);
    }
    out->size += PAIR_BYTES + before + name.size + value.size;
    return 0;
}

/* A "Grpc-Metadata-" header; `name` is without that. */
static int metadata_add(struct oak_buf *out, struct oak_arena *arena, struct oak_bytes name,
                        struct oak_bytes value, struct oak_json_problem *room)
{
    if (!is_metadata(name)) {
        return 0;
    }
    if (name_ends(name, "-bin")) {
        int error = oak_json_base64(value, arena, &value);
        if (error == OAK_EFORMAT) {
            snprintf(room->text, sizeof(room->text), "invalid binary header Grpc-Metadata-%.*s",
                     (int)OAK_MIN(name.size, (size_t)128), (const char *)name.data);
        }
        if (error != 0) {
            return error;
        }
    }
    return pair_add(out, "", name, value);
}

int transcode__meta_read(const struct oak_http_request *http, struct oak_arena *arena,
                         struct oak_buf *out, struct oak_json_problem *room)
{
    struct oak_bytes name, value;
    struct oak_bytes identity = {0};
    bool has_token = false;
    const size_t prefix = sizeof(PREFIX) - 1;
    int error = 0;
    for (size_t at = 0; error == 0 && oak_http_header_next(http, &at, &name, &value);) {
        if (name_begins(name, PREFIX)) {
            struct oak_bytes rest = oak_bytes(name.data + prefix, name.size - prefix);
            has_token = has_token || name_is(rest, "token");
            error = metadata_add(out, arena, rest, value, room);
        } else if (is_of_http(name)) {
            if (name_is(name, "authorization") && identity.data == NULL) {
                identity = value;
                error = pair_add(out, "", name, value);
            }
            error = error != 0 ? error : pair_add(out, HTTP_PREFIX, name, value);
        }
    }
    if (error == 0 && identity.data != NULL && !has_token) {
        error = pair_add(out, "", oak_bytes_str("token"), identity);
    }
    return error == OAK_ELIMIT ? OAK_ENOMEM : error;
}

bool transcode__meta_next(struct oak_bytes meta, size_t *at, struct oak_rpc_pair *out)
{
    if (*at >= meta.size) {
        return false;
    }
    OAK_ASSERT_LE(PAIR_BYTES, meta.size - *at);
    const uint8_t *pair = meta.data + *at;
    size_t name = oak_get_u32(pair);
    size_t value = oak_get_u32(pair + 4);
    OAK_ASSERT_LE(name + value, meta.size - *at - PAIR_BYTES);
    out->name = oak_bytes(pair + PAIR_BYTES, name);
    out->value = oak_bytes(pair + PAIR_BYTES + name, value);
    *at += PAIR_BYTES + name + value;
    return true;
}

/* -- the deadline ------------------------------------------------------------------------------ */

static uint64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600 * (uint64_t)1000000000;
    case 'M':
        return 60 * (uint64_t)1000000000;
    case 'S':
        return 1000000000;
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

int transcode__timeout_read(const struct oak_http_request *http, uint64_t *out_ns,
                            struct oak_json_problem *room)
{
    struct oak_bytes text = oak_http_header(http, "grpc-timeout");
    *out_ns = 0;
    if (text.data == NULL || text.size == 0) {
        return 0;
    }
    uint64_t unit = unit_ns(text.data[text.size - 1]);
    size_t digits = text.size - 1;
    bool fits = unit != 0 && digits > 0 && digits <= TIMEOUT_DIGITS;
    uint64_t count = 0;
    for (size_t i = 0; fits && i < digits; i++) {
        uint8_t c = text.data[i];
        fits = c >= '0' && c <= '9';
        count = count * 10 + (uint64_t)(c - '0');
    }
    if (!fits) {
        snprintf(room->text, sizeof(room->text), "invalid grpc-timeout: %.*s",
                 (int)OAK_MIN(text.size, (size_t)64), (const char *)text.data);
        return OAK_EFORMAT;
    }
    *out_ns = count > UINT64_MAX / unit ? UINT64_MAX : count * unit;
    return 0;
}

/* -- the answer's ------------------------------------------------------------------------------ */

int transcode__header_write(struct oak_buf *out, struct oak_rpc_pair pair)
{
    if (!is_metadata(pair.name)) {
        return OAK_EINVAL;
    }
    size_t start = out->size;
    bool binary = name_ends(pair.name, "-bin");
    for (size_t i = 0; !binary && i < pair.value.size; i++) {
        if (pair.value.data[i] < 0x20 || pair.value.data[i] > 0x7e) {
            return OAK_EINVAL;
        }
    }
    int error = oak_buf_printf(out, "Grpc-Metadata-%.*s: ", (int)pair.name.size,
                               (const char *)pair.name.data);
    if (error == 0 && !binary) {
        error = oak_buf_append(out, pair.value.data, pair.value.size);
    } else if (error == 0) {
        size_t quote = out->size;
        error = oak_json_put_base64(out, pair.value);
        if (error == 0) { /* without its quotes */
            memmove(out->data + quote, out->data + quote + 1, out->size - quote - 2);
            out->size -= 2;
        }
    }
    error = error != 0 ? error : oak_buf_append(out, "\r\n", 3); /* a text of C, too */
    out->size = error != 0 ? start : out->size - 1;
    return error;
}
