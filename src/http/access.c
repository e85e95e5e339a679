/* SPDX-License-Identifier: Apache-2.0 */
/* access.c: by which names a server may be asked for, and which pages of a browser may ask it.
 *
 * Happy path   a request goes on to its route, and what its answer will say of origins is noted.
 * Can fail     another host: 421. A browser's question before its request (OPTIONS) is answered
 *              here.
 * Source       the Fetch standard, "HTTP extensions": what browsers look at.
 */
#include "http/internal.h"

void oak_http_server_hosts(struct oak_http_server *server, const char *const *hosts, size_t count)
{
    server->hosts = hosts;
    server->host_count = count;
}

static bool host_allowed(const struct http_conn *c, const struct oak_http_request *r)
{
    const struct oak_http_server *server = c->server;
    if (server->hosts == NULL || c->stream->ops->identity != NULL) {
        return true;
    }
    struct oak_bytes host = oak_http_header(r, "Host");
    for (size_t i = host.size; i > 0 && host.data[i - 1] != ']'; i--) {
        if (host.data[i - 1] == ':') {
            host.size = i - 1;
            break;
        }
    }
    if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = oak_bytes(host.data + 1, host.size - 2);
    }
    for (size_t i = 0; i < server->host_count; i++) {
        if (oak_bytes_eq(host, oak_bytes_str(server->hosts[i]))) {
            return true;
        }
    }
    return false;
}

void oak_http_server_origins(struct oak_http_server *server, const char *origins)
{
    server->origins = origins;
}

/* Is it one of the names that stand in `list`, with commas between them? */
static bool is_listed(const char *list, struct oak_bytes name)
{
    while (*list != '\0') {
        size_t size = strcspn(list, ",");
        if (oak_bytes_eq(name, oak_bytes(list, size))) {
            return true;
        }
        list += size + (list[size] == ',');
    }
    return false;
}

/* The origin that the answer allows; data NULL: none. */
static struct oak_bytes origin_allowed(const char *origins, const struct oak_http_request *r)
{
    struct oak_bytes any = oak_bytes_str("*");
    struct oak_bytes origin = oak_http_header(r, "Origin");
    if (is_listed(origins, any)) {
        return any;
    }
    return origin.size > 0 && is_listed(origins, origin) ? origin : (struct oak_bytes){0};
}

bool http__access_answers(struct http_conn *c, struct oak_http_request *r)
{
    if (!host_allowed(c, r)) {
        const struct oak_http_answer other = {
            .status = 421,
            .body = oak_bytes_str("This server does not go by that name: come by https, or let "
                                  "--host-whitelist name it.\n")};
        oak_http_reply(r, &other);
        return true;
    }
    const char *origins = c->server->origins;
    if (origins == NULL) {
        return false;
    }
    r->origin = origin_allowed(origins, r);
    if (r->method == OAK_HTTP_OPTIONS) {
        const struct oak_http_answer empty = {.status = 200};
        oak_http_reply(r, &empty);
        return true;
    }
    return false;
}

int http__access_write(struct oak_buf *out, const struct oak_http_request *r)
{
    if (r == NULL || r->origin.data == NULL) {
        return 0;
    }
    bool any = oak_bytes_eq(r->origin, oak_bytes_str("*"));
    return oak_buf_printf(out,
                          "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"
                          "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"
                          "Access-Control-Allow-Origin: %.*s\r\n%s",
                          (int)r->origin.size, (const char *)r->origin.data,
                          any ? "" : "Vary: Origin\r\n");
}
