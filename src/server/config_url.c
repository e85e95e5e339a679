/* SPDX-License-Identifier: Apache-2.0 */
/* config_url.c: URLs of members and listeners, in one form.
 *
 * A URL is http:// or https:// with host:port and nothing else, or unix:// or unixs:// with the
 * path of a socket, as in etcd; the "s" says TLS. A list is comma-separated and kept sorted,
 * because etcd's member ids are made of the sorted list.
 *
 * Can fail     anything a person can type: OAK_EINVAL with an explanation. OAK_ELIMIT, OAK_ENOMEM.
 */
#include "server/config_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* RFC 1035: 253 characters; brackets and a port beside it. */
#define URL_BYTES_MAX 300
OAK_STATIC_ASSERT(sizeof(struct oak_config_place) >= URL_BYTES_MAX, "any URL has its place");

/* The scheme in the one form in which it is kept; *rest is what follows it. */
static int scheme_check(const char *url, const char **scheme, const char **rest,
                        struct oak_errbuf *e)
{
    static const char *const schemes[] = {"http", "https", "unix", "unixs"};
    const char *mark = strstr(url, "://");
    size_t size = mark == NULL ? 0 : (size_t)(mark - url);
    for (size_t i = 0; i < OAK_COUNT_OF(schemes); i++) {
        if (size == strlen(schemes[i]) && strncasecmp(url, schemes[i], size) == 0) {
            *scheme = schemes[i];
            *rest = mark + 3;
            return 0;
        }
    }
    return oak_fail(e, OAK_EINVAL,
                    "\"%.128s\" is not a URL such as http://10.0.0.1:2379 or "
                    "https://10.0.0.1:2379",
                    url);
}

static bool port_ok(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0' && strtol(text, NULL, 10) <= 65535;
}

/* Copy the host without its brackets; false when there is none or it holds what hosts never do. */
static bool host_cut(const char *host, const char *colon, char *out, size_t size)
{
    size_t length = (size_t)(colon - host);
    bool bracketed = length >= 2 && host[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        host++;
        length -= 2;
    }
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(out, host, length);
    out[length] = '\0';
    struct in6_addr address;
    return bracketed ? inet_pton(AF_INET6, out, &address) == 1
                     : strpbrk(out, " \t\r\n:[]/?#@%,=\"'") == NULL;
}

/* "host:port" and nothing behind it. */
static int host_check(const char *url, const char *host, struct oak_errbuf *e)
{
    if (strchr(host, '/') != NULL) {
        return oak_fail(e, OAK_EINVAL, "%s: a URL here must not contain a path", url);
    }
    const char *colon = strrchr(host, ':');
    char name[URL_BYTES_MAX];
    if (colon == NULL || !port_ok(colon + 1)) {
        return oak_fail(e, OAK_EINVAL, "%s: the address does not have the form host:port", url);
    }
    if (!host_cut(host, colon, name, sizeof(name))) {
        return oak_fail(e, OAK_EINVAL, "%s: the host is missing or malformed", url);
    }
    return 0;
}

int config__url_read(struct oak_arena *arena, struct oak_bytes text, const char **out,
                     struct oak_errbuf *e)
{
    char url[URL_BYTES_MAX];
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = oak_bytes(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    if (text.size >= sizeof(url)) {
        return oak_fail(e, OAK_EINVAL, "a URL of %zu bytes is too long", text.size);
    }
    snprintf(url, sizeof(url), "%.*s", (int)text.size, (const char *)text.data);
    const char *scheme = "";
    const char *rest = "";
    int error = scheme_check(url, &scheme, &rest, e);
    if (error == 0 && scheme[0] == 'h') {
        error = host_check(url, rest, e);
    } else if (error == 0 && rest[0] == '\0') {
        error = oak_fail(e, OAK_EINVAL, "%s: the path of the socket is missing", url);
    }
    if (error != 0) {
        return error;
    }
    char kept[URL_BYTES_MAX + 8];
    snprintf(kept, sizeof(kept), "%s://%s", scheme, rest);
    *out = config__keep(arena, kept, strlen(kept));
    return *out != NULL ? 0 : oak_fail(e, OAK_ENOMEM, "out of memory");
}

/* A name may mean another machine tomorrow: one listens on addresses. */
static bool is_local_address(const char *url)
{
    if (strncmp(url, "unix", 4) == 0) {
        return true;
    }
    const char *host = oak_config_url_address(url);
    char name[URL_BYTES_MAX];
    struct in_addr v4;
    bool cut = host_cut(host, strrchr(host, ':'), name, sizeof(name));
    OAK_ASSERT(cut);
    return host[0] == '[' || strcmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &v4) == 1;
}

void config__urls_sort(struct oak_config_urls *urls)
{
    for (size_t i = 1; i < urls->count; i++) {
        for (size_t k = i; k > 0 && strcmp(urls->items[k - 1], urls->items[k]) > 0; k--) {
            const char *held = urls->items[k];
            urls->items[k] = urls->items[k - 1];
            urls->items[k - 1] = held;
        }
    }
}

int config__urls_read(struct oak_arena *arena, const char *text, bool listen,
                      struct oak_config_urls *out, struct oak_errbuf *e)
{
    *out = (struct oak_config_urls){0};
    if (text[0] == '\0') {
        return 0;
    }
    out->items = oak_arena_alloc(arena, OAK_CONFIG_URLS_MAX * sizeof(char *));
    if (out->items == NULL) {
        return oak_fail(e, OAK_ENOMEM, "out of memory");
    }
    const char *at = text;
    for (;;) {
        size_t size = strcspn(at, ",");
        if (out->count == OAK_CONFIG_URLS_MAX) {
            return oak_fail(e, OAK_ELIMIT, "more than %d URLs", OAK_CONFIG_URLS_MAX);
        }
        const char *url = NULL;
        int error = config__url_read(arena, oak_bytes(at, size), &url, e);
        if (error != 0) {
            return error;
        }
        if (listen && !is_local_address(url)) {
            return oak_fail(e, OAK_EINVAL, "expected IP in URL for binding (%s)", url);
        }
        out->items[out->count] = url;
        out->count++;
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    config__urls_sort(out);
    for (size_t i = 1; i < out->count; i++) {
        if (strcmp(out->items[i - 1], out->items[i]) == 0) {
            return oak_fail(e, OAK_EINVAL, "%s is given twice", out->items[i]);
        }
    }
    return 0;
}

const char *oak_config_url_read(struct oak_arena *arena, const char *text)
{
    const char *url = NULL;
    struct oak_errbuf ignored;
    int error = config__url_read(arena, oak_bytes_str(text), &url, &ignored);
    return error == 0 ? url : NULL;
}

const char *oak_config_url_address(const char *url)
{
    const char *mark = strstr(url, "://");
    OAK_ASSERT(mark != NULL);
    return mark + 3;
}

bool oak_config_url_is_secure(const char *url)
{
    return strncmp(url, "https:", 6) == 0 || strncmp(url, "unixs:", 6) == 0;
}

void oak_config_url_place(const char *url, struct oak_config_place *out)
{
    bool is_path = strncmp(url, "unix", 4) == 0;
    int size = snprintf(out->text, sizeof(out->text), "%s%s", is_path ? "unix:" : "",
                        oak_config_url_address(url));
    OAK_ASSERT_LT((size_t)size, sizeof(out->text));
}

int oak_config_urls_text(const struct oak_config_urls *urls, struct oak_buf *out)
{
    for (size_t i = 0; i < urls->count; i++) {
        int error = oak_buf_printf(out, "%s%s", i == 0 ? "" : ",", urls->items[i]);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}
