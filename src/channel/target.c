/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: what a target's text means: a name to be looked up, or a list of addresses.
 *
 * Happy path   scheme → its parser → addresses as port.h's connect takes them.
 * Can fail     OAK_EINVAL with the reason in words; OAK_ENOMEM. Names are not looked up here, and
 *              IPv6 addresses are checked for their alphabet only, what is passed through not at
 *              all: connect has the last word.
 * Thread       any.
 */
#include <stdio.h>

#include "channel/internal.h"

#define PORT_TEXT_MAX 5

static bool is_digits(struct oak_bytes t)
{
    for (size_t i = 0; i < t.size; i++) {
        if (t.data[i] < '0' || t.data[i] > '9') {
            return false;
        }
    }
    return t.size > 0;
}

static bool is_ip4(struct oak_bytes t)
{
    unsigned dots = 0;
    unsigned value = 0;
    unsigned digits = 0;
    for (size_t i = 0; i < t.size; i++) {
        if (t.data[i] == '.' && digits > 0) {
            dots++;
            value = 0;
            digits = 0;
        } else if (t.data[i] >= '0' && t.data[i] <= '9' && digits < 3) {
            value = value * 10 + (unsigned)(t.data[i] - '0');
            digits++;
        } else {
            return false;
        }
        if (value > 255) {
            return false;
        }
    }
    return dots == 3 && digits > 0;
}

static bool is_ip6(struct oak_bytes t)
{
    size_t colons = 0;
    for (size_t i = 0; i < t.size; i++) {
        if (t.data[i] == '%') {
            return colons >= 2 && i + 1 < t.size; /* a zone */
        }
        if (memchr("0123456789abcdefABCDEF.:", t.data[i], 24) == NULL) {
            return false;
        }
        colons += t.data[i] == ':';
    }
    return colons >= 2;
}

static bool is_name(struct oak_bytes t)
{
    for (size_t i = 0; i < t.size; i++) {
        bool fine =
            t.data[i] > ' ' && t.data[i] < 0x7f && memchr("/\\[]:,@?#%\"<>", t.data[i], 13) == NULL;
        if (!fine) {
            return false;
        }
    }
    return t.size > 0;
}

/* -- one host and port ------------------------------------------------------------------------- */

struct host {
    struct oak_bytes name; /* without brackets */
    struct oak_bytes port; /* data NULL: none was given */
    bool bracketed;
};

static int host_split(struct oak_bytes text, struct host *out, struct oak_errbuf *e)
{
    *out = (struct host){0};
    const uint8_t *colon = text.size > 0 ? memrchr(text.data, ':', text.size) : NULL;
    const uint8_t *close = text.size > 0 ? memrchr(text.data, ']', text.size) : NULL;
    bool bare6 = close == NULL && is_ip6(text);
    if (colon != NULL && !bare6 && (close == NULL || colon > close)) {
        out->port = oak_bytes(colon + 1, (size_t)(text.data + text.size - colon) - 1);
        text.size = (size_t)(colon - text.data);
        if (!is_digits(out->port) || out->port.size > PORT_TEXT_MAX) {
            return oak_fail(e, OAK_EINVAL, "\"%.*s\" is no port: a number is wanted",
                            (int)OAK_MIN(out->port.size, (size_t)64), out->port.data);
        }
    }
    if (text.size >= 2 && text.data[0] == '[' && text.data[text.size - 1] == ']') {
        out->bracketed = true;
        text = oak_bytes(text.data + 1, text.size - 2);
    }
    out->bracketed = out->bracketed || bare6;
    out->name = text;
    bool fine = out->bracketed ? is_ip6(text) : is_name(text);
    return fine ? 0
                : oak_fail(e, OAK_EINVAL, "\"%.*s\" is no host",
                           (int)OAK_MIN(text.size, (size_t)256), text.data);
}

static int host_write(const struct host *h, unsigned default_port, struct oak_buf *out)
{
    const char *open = h->bracketed ? "[" : "";
    const char *close = h->bracketed ? "]" : "";
    int name_size = (int)h->name.size;
    if (h->port.data == NULL) {
        return oak_buf_printf(out, "%s%.*s%s:%u", open, name_size, h->name.data, close,
                              default_port);
    }
    return oak_buf_printf(out, "%s%.*s%s:%.*s", open, name_size, h->name.data, close,
                          (int)h->port.size, h->port.data);
}

/* -- lists ------------------------------------------------------------------------------------- */

static int address_add(struct channel_target *t, const struct host *h, unsigned default_port,
                       struct oak_errbuf *e)
{
    size_t before = t->addresses.size;
    int error = host_write(h, default_port, &t->addresses);
    if (error == 0 && t->addresses.size - before > CHANNEL_ADDRESS_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "\"%.64s...\" is longer than %d bytes with its port",
                        (const char *)t->addresses.data + before, CHANNEL_ADDRESS_BYTES_MAX);
    }
    if (error == 0) {
        error = oak_buf_append(&t->addresses, "", 1);
    }
    t->count += error == 0;
    return error;
}

enum list_kind { LIST_IP4, LIST_IP6, LIST_ANY };

static int item_parse(struct channel_target *t, struct oak_bytes item, enum list_kind kind,
                      unsigned default_port, struct oak_errbuf *e)
{
    struct host h;
    int error = host_split(item, &h, e);
    if (error != 0) {
        return error;
    }
    if (kind == LIST_IP4 && (h.bracketed || !is_ip4(h.name))) {
        return oak_fail(e, OAK_EINVAL, "\"%.*s\" is no IPv4 address", (int)h.name.size,
                        h.name.data);
    }
    if (kind == LIST_IP6 && !h.bracketed) {
        return oak_fail(e, OAK_EINVAL, "\"%.*s\" is no IPv6 address; it is written [address]:port",
                        (int)h.name.size, h.name.data);
    }
    if (t->count == CHANNEL_ADDRESSES_MAX) {
        return oak_fail(e, OAK_EINVAL, "a target has %u addresses at most", CHANNEL_ADDRESSES_MAX);
    }
    return address_add(t, &h, default_port, e);
}

static int list_parse(struct channel_target *t, struct oak_bytes text, enum list_kind kind,
                      unsigned default_port, struct oak_errbuf *e)
{
    for (;;) {
        const uint8_t *comma = text.size > 0 ? memchr(text.data, ',', text.size) : NULL;
        size_t size = comma != NULL ? (size_t)(comma - text.data) : text.size;
        int error = item_parse(t, oak_bytes(text.data, size), kind, default_port, e);
        if (error != 0 || comma == NULL) {
            return error;
        }
        text = oak_bytes(comma + 1, text.size - size - 1);
    }
}

/* -- the schemes ------------------------------------------------------------------------------- */

static int dns_parse(struct channel_target *t, struct oak_bytes text, unsigned default_port,
                     struct oak_errbuf *e)
{
    struct host h;
    int error = host_split(text, &h, e);
    if (error != 0) {
        return error;
    }
    if (text.size >= sizeof(t->authority)) {
        return oak_fail(e, OAK_EINVAL, "the name is longer than %zu bytes",
                        sizeof(t->authority) - 1);
    }
    memcpy(t->authority, text.data, text.size);
    t->authority[text.size] = '\0';
    t->lookup = !h.bracketed && !is_ip4(h.name);
    return address_add(t, &h, default_port, e);
}

/* An authority, "//x/", would name the server to ask. */
static int skip_slashes(struct oak_bytes *text, const char *scheme, struct oak_errbuf *e)
{
    if (text->size < 2 || memcmp(text->data, "//", 2) != 0) {
        return 0;
    }
    if (text->size < 3 || text->data[2] != '/') {
        return oak_fail(e, OAK_EINVAL, "write %s:///name: what stands behind // is not supported",
                        scheme);
    }
    *text = oak_bytes(text->data + 3, text->size - 3);
    return 0;
}

static int unix_parse(struct channel_target *t, struct oak_bytes path, bool abstract,
                      struct oak_errbuf *e)
{
    if (path.size >= 3 && memcmp(path.data, "///", 3) == 0 && !abstract) {
        path = oak_bytes(path.data + 2, path.size - 2);
    } else if (path.size >= 2 && memcmp(path.data, "//", 2) == 0) {
        return oak_fail(e, OAK_EINVAL, "write unix:path or unix:///path");
    }
    if (path.size == 0 || path.size > CHANNEL_UNIX_BYTES_MAX ||
        memchr(path.data, '\0', path.size) != NULL || (!abstract && path.data[0] == '@')) {
        return oak_fail(e, OAK_EINVAL, "a path of 1 to %d bytes is wanted", CHANNEL_UNIX_BYTES_MAX);
    }
    t->count = 1;
    int error = oak_buf_printf(&t->addresses, "unix:%s%.*s", abstract ? "@" : "", (int)path.size,
                               path.data);
    return error != 0 ? error : oak_buf_append(&t->addresses, "", 1);
}

/* A service by its SRV records; its servers prove to be the domain's. */
static int srv_parse(struct channel_target *t, struct oak_bytes name, struct oak_errbuf *e)
{
    const uint8_t *dot = name.size > 0 ? memchr(name.data, '.', name.size) : NULL;
    const uint8_t *end = name.data + name.size;
    const uint8_t *second = dot != NULL ? memchr(dot + 1, '.', (size_t)(end - dot) - 1) : NULL;
    if (second == NULL || !is_name(name) || name.size > CHANNEL_SRV_BYTES_MAX ||
        name.data[0] != '_' || dot[1] != '_' || second + 1 == end) {
        return oak_fail(e, OAK_EINVAL, "_service._proto.name is wanted, of at most %d bytes",
                        CHANNEL_SRV_BYTES_MAX);
    }
    size_t size = (size_t)(end - second) - 1;
    memcpy(t->authority, second + 1, size);
    t->authority[size] = '\0';
    t->lookup = true;
    t->count = 1;
    int error = oak_buf_printf(&t->addresses, "srv:%.*s", (int)name.size, name.data);
    return error != 0 ? error : oak_buf_append(&t->addresses, "", 1);
}

/* Whatever the connector makes of it: a name that it knows, a form that we don't. */
static int passthrough_parse(struct channel_target *t, struct oak_bytes text, struct oak_errbuf *e)
{
    if (text.size == 0 || text.size > CHANNEL_ADDRESS_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "an address of 1 to %d bytes is wanted",
                        CHANNEL_ADDRESS_BYTES_MAX);
    }
    t->count = 1;
    int error = oak_buf_append(&t->addresses, text.data, text.size);
    return error != 0 ? error : oak_buf_append(&t->addresses, "", 1);
}

static bool scheme_is(struct oak_bytes *text, const char *scheme)
{
    size_t size = strlen(scheme);
    if (text->size <= size || memcmp(text->data, scheme, size) != 0 || text->data[size] != ':') {
        return false;
    }
    *text = oak_bytes(text->data + size + 1, text->size - size - 1);
    return true;
}

static int parse(struct channel_target *t, struct oak_bytes text, unsigned default_port,
                 struct oak_errbuf *e)
{
    if (scheme_is(&text, "unix")) {
        return unix_parse(t, text, false, e);
    }
    if (scheme_is(&text, "unix-abstract")) {
        return unix_parse(t, text, true, e);
    }
    if (scheme_is(&text, "ipv4")) {
        return list_parse(t, text, LIST_IP4, default_port, e);
    }
    if (scheme_is(&text, "ipv6")) {
        return list_parse(t, text, LIST_IP6, default_port, e);
    }
    if (scheme_is(&text, "static")) {
        return list_parse(t, text, LIST_ANY, default_port, e);
    }
    if (scheme_is(&text, "passthrough")) {
        int error = skip_slashes(&text, "passthrough", e);
        return error != 0 ? error : passthrough_parse(t, text, e);
    }
    if (scheme_is(&text, "srv")) {
        int error = skip_slashes(&text, "srv", e);
        return error != 0 ? error : srv_parse(t, text, e);
    }
    if (scheme_is(&text, "dns")) {
        int error = skip_slashes(&text, "dns", e);
        return error != 0 ? error : dns_parse(t, text, default_port, e);
    }
    if (text.size > 0 && memmem(text.data, text.size, "://", 3) != NULL) {
        return oak_fail(e, OAK_EINVAL,
                        "no such scheme: dns, srv, ipv4, ipv6, unix, unix-abstract, static and "
                        "passthrough are known");
    }
    return dns_parse(t, text, default_port, e);
}

int channel__target_parse(const char *text, unsigned default_port, struct channel_target *out,
                          struct oak_errbuf *e)
{
    *out = (struct channel_target){0};
    struct oak_errbuf why = {{0}};
    int error = parse(out, oak_bytes_str(text), default_port, &why);
    if (error == 0) {
        return 0;
    }
    channel__target_fini(out);
    return error != OAK_EINVAL ? error
                               : oak_fail(e, error, "target \"%.200s\": %.200s", text, why.text);
}

void channel__target_fini(struct channel_target *t)
{
    oak_buf_fini(&t->addresses);
    *t = (struct channel_target){0};
}
