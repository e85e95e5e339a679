/* SPDX-License-Identifier: Apache-2.0 */
/* uri.c: the target of a request: path and query, percent-decoded.
 *
 * Happy path   "/a/b?c=d", or "http://host/a/b?c=d" as a proxy would send it
 * Can fail     OAK_EFORMAT: a target of another form, a "%" without two hexadecimal digits, a NUL
 *              in what is decoded. OAK_ENOMEM.
 * Invariants   decoded once: "%2541" is "%41". In the query "+" is a blank, in the path it is
 *              itself. The path is not otherwise changed: ".." is a key like any other, no file
 *              is ever opened.
 */
#include "http/internal.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t lower = (uint8_t)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Append the decoded bytes to `out`. */
static int decode(struct oak_buf *out, struct oak_bytes in, bool plus_is_blank)
{
    if (oak_buf_reserve(out, in.size) != 0) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        if (c == '%') {
            int high = i + 2 < in.size ? hex_value(in.data[i + 1]) : -1;
            int low = i + 2 < in.size ? hex_value(in.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return OAK_EFORMAT;
            }
            c = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (c == '\0') {
            return OAK_EFORMAT;
        }
        out->data[out->size++] = c;
    }
    return 0;
}

/* The part of `b` before `c`; *rest is what follows it. Without `c`: all, and *rest is empty. */
static struct oak_bytes split(struct oak_bytes b, char c, struct oak_bytes *rest)
{
    const uint8_t *at = b.size == 0 ? NULL : memchr(b.data, c, b.size);
    if (at == NULL) {
        *rest = (struct oak_bytes){0};
        return b;
    }
    size_t before = (size_t)(at - b.data);
    *rest = oak_bytes(at + 1, b.size - before - 1);
    return oak_bytes(b.data, before);
}

static int decode_span(struct oak_buf *out, struct oak_bytes in, struct http_span *span)
{
    span->at = out->size;
    int error = decode(out, in, true);
    span->size = out->size - span->at;
    return error;
}

static int parse_query(struct oak_http_request *r, struct oak_bytes query)
{
    while (query.size > 0) {
        struct oak_bytes value;
        struct oak_bytes one = split(query, '&', &query);
        if (one.size == 0) {
            continue;
        }
        struct oak_bytes name = split(one, '=', &value);
        struct http_pair pair;
        int error = decode_span(&r->decoded, name, &pair.name);
        if (error == 0) {
            error = decode_span(&r->decoded, value, &pair.value);
        }
        if (error == 0) {
            error = http__pairs_add(&r->query, pair);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* What is behind scheme and host, if the target has them: from its first "/" or "?". */
static struct oak_bytes skip_host(struct oak_bytes target)
{
    size_t scheme = 0;
    if (target.size > 7 && memcmp(target.data, "http://", 7) == 0) {
        scheme = 7;
    } else if (target.size > 8 && memcmp(target.data, "https://", 8) == 0) {
        scheme = 8;
    } else {
        return target;
    }
    size_t at = scheme;
    while (at < target.size && target.data[at] != '/' && target.data[at] != '?') {
        at++;
    }
    return oak_bytes(target.data + at, target.size - at);
}

int http__uri_parse(struct oak_http_request *r)
{
    struct oak_bytes whole = oak_bytes(r->head.data, r->target_size);
    struct oak_bytes target = skip_host(whole);
    struct oak_bytes query;
    struct oak_bytes path = split(target, '?', &query);
    bool has_host = target.size < whole.size;
    if (path.size == 0 && has_host) {
        path = oak_bytes_str("/");
    }
    if (path.size == 0 || path.data[0] != '/') {
        return OAK_EFORMAT;
    }
    if (memchr(path.data, '#', path.size) != NULL) {
        return OAK_EFORMAT;
    }
    int error = decode(&r->decoded, path, false);
    r->path_size = r->decoded.size;
    return error != 0 ? error : parse_query(r, query);
}
