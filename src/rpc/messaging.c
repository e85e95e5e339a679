/* SPDX-License-Identifier: Apache-2.0 */
/* messaging.c: is a request what HTTP/2 allows? RFC 9113, section 8, in the place of nghttp2's own
 * check, which refuses an authority that etcd's clients up to 3.4 send: "http://10.0.0.1:2379".
 *
 * Happy path   each header is looked at as it comes; then the request as a whole; then the bytes of
 *              DATA are counted against content-length
 * Can fail     what is malformed is noted, and ends the stream with PROTOCOL_ERROR once its block
 *              of headers is complete. A regular header with a byte that is none is left out.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

enum {
    HAS_METHOD = 1,
    HAS_PATH = 2,
    HAS_SCHEME = 4,
    HAS_AUTHORITY = 8,
    HAS_HOST = 16,
    HAS_REGULAR = 32, /* no pseudo-header may follow */
    IS_CONNECT = 64,
    IS_OPTIONS = 128,
};

static bool is(struct oak_bytes text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* What has no space and no control is taken: nothing here goes by it. */
static bool is_authority(struct oak_bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f) {
            return false;
        }
    }
    return value.size > 0;
}

/* The bit of a pseudo-header with a value it may have; 0: there is no such thing. */
static unsigned pseudo_bits(struct oak_rpc_call *call, struct oak_bytes name,
                            struct oak_bytes value)
{
    if (is(name, ":path")) {
        call->star = is(value, "*");
        bool rooted = value.size > 0 && value.data[0] == '/';
        return (rooted || call->star) && nghttp2_check_path(value.data, value.size) ? HAS_PATH : 0;
    }
    if (is(name, ":method")) {
        unsigned kind = is(value, "CONNECT") ? IS_CONNECT : is(value, "OPTIONS") ? IS_OPTIONS : 0;
        return nghttp2_check_method(value.data, value.size) ? HAS_METHOD | kind : 0;
    }
    if (is(name, ":scheme")) {
        return value.size > 0 && nghttp2_check_header_value(value.data, value.size) ? HAS_SCHEME
                                                                                    : 0;
    }
    return is(name, ":authority") && is_authority(value) ? HAS_AUTHORITY : 0;
}

/* Digits, once. */
static bool length_read(struct oak_rpc_call *call, struct oak_bytes value)
{
    uint64_t length = 0;
    if (call->has_length || value.size == 0 || value.size > 18) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    call->has_length = true;
    call->length_left = length;
    return true;
}

/* Of a connection, and none of a request's business; or said in a wrong way. */
static bool is_forbidden(struct oak_rpc_call *call, struct oak_bytes name, struct oak_bytes value)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if (is(name, names[i])) {
            return true;
        }
    }
    if (is(name, "te")) {
        return !is(value, "trailers");
    }
    return is(name, "content-length") && !length_read(call, value);
}

static bool has_capital(struct oak_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] >= 'A' && name.data[i] <= 'Z') {
            return true;
        }
    }
    return false;
}

bool rpc__messaging_header(struct oak_rpc_call *call, struct oak_bytes name, struct oak_bytes value)
{
    if (name.size > 0 && name.data[0] == ':') {
        unsigned bits = pseudo_bits(call, name, value);
        bool late = call->headers_received || (call->http_seen & HAS_REGULAR) != 0;
        if (bits == 0 || late || (call->http_seen & bits) != 0) {
            call->malformed = true;
        }
        call->http_seen |= (uint8_t)bits;
        return !call->malformed;
    }
    call->http_seen |= HAS_REGULAR;
    if (!nghttp2_check_header_name(name.data, name.size)) {
        call->malformed = call->malformed || has_capital(name);
        return false;
    }
    if (is_forbidden(call, name, value)) {
        call->malformed = true;
    } else if (is(name, "host")) {
        call->http_seen |= HAS_HOST;
    }
    return !call->malformed && nghttp2_check_header_value_rfc9113(value.data, value.size);
}

bool rpc__messaging_request(const struct oak_rpc_call *call)
{
    unsigned seen = call->http_seen;
    if ((seen & IS_CONNECT) != 0) {
        unsigned wanted = HAS_PATH | HAS_SCHEME | HAS_AUTHORITY;
        return !call->malformed && (seen & wanted) == HAS_AUTHORITY;
    }
    unsigned whole = HAS_METHOD | HAS_PATH | HAS_SCHEME;
    return !call->malformed && (seen & whole) == whole &&
           (seen & (HAS_AUTHORITY | HAS_HOST)) != 0 && (!call->star || (seen & IS_OPTIONS) != 0);
}

bool rpc__messaging_data(struct oak_rpc_call *call, size_t size)
{
    if (call->has_length && size > call->length_left) {
        call->malformed = true;
        return false;
    }
    call->length_left -= call->has_length ? size : 0;
    return true;
}

bool rpc__messaging_end(const struct oak_rpc_call *call)
{
    return !call->malformed && (!call->has_length || call->length_left == 0);
}
