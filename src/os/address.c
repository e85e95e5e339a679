/* SPDX-License-Identifier: Apache-2.0 */
/* address.c: "host:port", "[v6]:port", ":port", "unix:path" and "unix:@name" (which has no file),
 * read and written.
 *
 * Can fail     OAK_EINVAL with the reason in words. Names are not looked up here.
 * Thread       any.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "os/internal.h"

static int parse_unix(const char *path, struct os_address *out, struct oak_errbuf *e)
{
    size_t size = strlen(path);
    if (size == 0 || (size == 1 && path[0] == '@')) {
        return oak_fail(e, OAK_EINVAL, "\"unix:%s\": a path of a socket file is wanted, or @name",
                        path);
    }
    if (size >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return oak_fail(e, OAK_EINVAL, "\"unix:%s\": the path is longer than %zu bytes", path,
                        sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
    }
    out->unix_path = true;
    memcpy(out->host, path, size + 1);
    return 0;
}

/* Decimal digits, at most 65535; written back without leading zeros. */
static bool port_read(const char *text, struct os_address *out)
{
    unsigned port = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 5; digits++) {
        port = port * 10 + (unsigned)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '\0' || port > 65535) {
        return false;
    }
    snprintf(out->port, sizeof(out->port), "%u", port);
    return true;
}

/* `host` as an IP address into `ip`. */
static void literal_read(struct os_address *a)
{
    unsigned port = 0;
    for (const char *p = a->port; *p != '\0'; p++) {
        port = port * 10 + (unsigned)(*p - '0');
    }
    a->literal = uv_ip4_addr(a->host, (int)port, (struct sockaddr_in *)&a->ip) == 0 ||
                 uv_ip6_addr(a->host, (int)port, (struct sockaddr_in6 *)&a->ip) == 0;
}

int os__address_parse(const char *text, struct os_address *out, struct oak_errbuf *e)
{
    *out = (struct os_address){0};
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(text + 5, out, e);
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !port_read(colon + 1, out)) {
        return oak_fail(e, OAK_EINVAL, "\"%s\": host:port is wanted, with a port from 0 to 65535",
                        text);
    }
    const char *host = text;
    size_t size = (size_t)(colon - text);
    bool bracketed = size >= 2 && host[0] == '[' && host[size - 1] == ']';
    if (bracketed) {
        host++;
        size -= 2;
    }
    if (size >= sizeof(out->host) || (!bracketed && memchr(host, ':', size) != NULL)) {
        return oak_fail(e, OAK_EINVAL, "\"%s\": %s", text,
                        size >= sizeof(out->host) ? "the host name is too long"
                                                  : "an IPv6 address is written [address]:port");
    }
    memcpy(out->host, host, size);
    out->host[size] = '\0';
    literal_read(out);
    if (bracketed && (!out->literal || out->ip.ss_family != AF_INET6)) {
        return oak_fail(e, OAK_EINVAL, "\"%s\": what is in the brackets is no IPv6 address", text);
    }
    return 0;
}

void os__address_name(const struct sockaddr *ip, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = "";
    if (ip->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)ip;
        uv_ip4_name(v4, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, ntohs(v4->sin_port));
    } else if (ip->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)ip;
        uv_ip6_name(v6, host, sizeof(host));
        snprintf(out, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        snprintf(out, size, "unknown");
    }
}
