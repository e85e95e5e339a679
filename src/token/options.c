/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: the value of --auth-token. Thread: any. */
#include "token/internal.h"

/* "10m", "1h30m", "300s": whole hours, minutes and seconds of Go's durations. */
static bool duration(struct oak_bytes text, uint64_t *out)
{
    uint64_t sum = 0;
    uint64_t number = 0;
    bool digits = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c >= '0' && c <= '9' && number < 1000000000) {
            number = number * 10 + (uint64_t)(c - '0');
            digits = true;
            continue;
        }
        uint64_t unit = c == 'h' ? 3600 : c == 'm' ? 60 : c == 's' ? 1 : 0;
        if (!digits || unit == 0) {
            return false;
        }
        sum += number * unit;
        number = 0;
        digits = false;
    }
    *out = sum;
    return !digits && sum > 0 && text.size > 0;
}

static bool text_take(struct oak_bytes from, char *out, size_t room)
{
    if (from.size == 0 || from.size >= room) {
        return false;
    }
    memcpy(out, from.data, from.size);
    out[from.size] = '\0';
    return true;
}

static bool is(struct oak_bytes name, const char *text)
{
    return oak_bytes_eq(name, oak_bytes_str(text));
}

static int option_take(struct oak_bytes option, struct oak_token_options *out, struct oak_errbuf *e)
{
    const uint8_t *equals = option.size > 0 ? memchr(option.data, '=', option.size) : NULL;
    size_t size = equals != NULL ? (size_t)(equals - option.data) : option.size;
    struct oak_bytes name = oak_bytes(option.data, size);
    struct oak_bytes value =
        equals != NULL ? oak_bytes(equals + 1, option.size - size - 1) : oak_bytes(NULL, 0);
    bool good = is(name, "sign-method") ? text_take(value, out->method, sizeof(out->method)) &&
                                              token__method(out->method) != NULL
                : is(name, "pub-key") ? text_take(value, out->public_key, sizeof(out->public_key))
                : is(name, "priv-key")
                    ? text_take(value, out->private_key, sizeof(out->private_key))
                : is(name, "ttl") ? duration(value, &out->ttl_s)
                                  : false;
    return good ? 0
                : oak_fail(e, OAK_EINVAL,
                           "\"%.*s\" is not understood: jwt takes sign-method (RS256 ... EdDSA), "
                           "pub-key, priv-key, and ttl like 10m",
                           (int)OAK_MIN(option.size, (size_t)64), (const char *)option.data);
}

int oak_token_options_parse(const char *text, struct oak_token_options *out, struct oak_errbuf *e)
{
    *out = (struct oak_token_options){.jwt = false};
    if (strcmp(text, "simple") == 0 || text[0] == '\0') {
        return 0;
    }
    if (strncmp(text, "jwt,", 4) != 0) {
        return oak_fail(e, OAK_EINVAL, "it is \"simple\", or \"jwt,\" and its options");
    }
    out->jwt = true;
    int error = 0;
    for (const char *at = text + 4; error == 0;) {
        size_t size = strcspn(at, ",");
        error = option_take(oak_bytes(at, size), out, e);
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    if (error == 0 && out->method[0] == '\0') {
        error = oak_fail(e, OAK_EINVAL, "jwt needs a sign-method");
    }
    if (error == 0 && out->public_key[0] == '\0' && out->private_key[0] == '\0') {
        error = oak_fail(e, OAK_EINVAL, "jwt needs a pub-key, a priv-key, or both");
    }
    return error;
}
