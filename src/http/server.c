/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: routes, and the life of a server.
 *
 * Happy path   a request goes to the route with the longest path that matches and has its method
 * Can fail     no such path: 404; no such method on it: 405 with Allow.
 * Invariants   a connection knows its server as long as the server lives, and then outlives it
 *              until its stream has closed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/internal.h"

static void grace_fire(struct oak_timer *timer)
{
    struct oak_http_server *server = OAK_CONTAINER_OF(timer, struct oak_http_server, grace);
    for (struct oak_list *at = server->conns.next; at != &server->conns; at = at->next) {
        http__conn_close(OAK_LIST_ENTRY(at, struct http_conn, link), true);
    }
}

int oak_http_server_new(const struct oak_loop *loop, const struct oak_log *log,
                        struct oak_http_server **out)
{
    struct oak_http_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return OAK_ENOMEM;
    }
    server->loop = loop;
    server->log = log;
    server->grace.fire = grace_fire;
    oak_list_init(&server->conns);
    *out = server;
    return 0;
}

void oak_http_server_free(struct oak_http_server *server)
{
    if (server == NULL) {
        return;
    }
    for (struct oak_list *link = oak_list_pop(&server->conns); link != NULL;
         link = oak_list_pop(&server->conns)) {
        struct http_conn *c = OAK_LIST_ENTRY(link, struct http_conn, link);
        http__conn_close(c, true);
        c->server = NULL;
    }
    server->loop->timers.stop(server->loop->timers.user, &server->grace);
    for (size_t i = 0; i < server->route_count; i++) {
        free((void *)(uintptr_t)server->routes[i].route.path);
    }
    free(server->routes);
    free(server);
}

void http__conn_gone(struct http_conn *c)
{
    struct oak_http_server *server = c->server;
    if (server == NULL) {
        return;
    }
    OAK_ASSERT_GT(server->conn_count, 0u);
    OAK_ASSERT_LE(c->reserved, server->body_bytes);
    server->conn_count--;
    server->body_bytes -= c->reserved;
    c->reserved = 0;
    oak_list_remove(&c->link);
    c->server = NULL;
}

size_t oak_http_server_connections(const struct oak_http_server *server)
{
    return server->conn_count;
}

void oak_http_server_drain(struct oak_http_server *server, uint64_t grace_ns)
{
    server->draining = true;
    for (struct oak_list *at = server->conns.next; at != &server->conns; at = at->next) {
        struct http_conn *c = OAK_LIST_ENTRY(at, struct http_conn, link);
        bool idle = c->state == HTTP_STATE_IDLE && c->ahead.size == 0;
        if (idle || c->state == HTTP_STATE_WRITING) {
            http__conn_close(c, false); /* what is queued leaves first */
        }
    }
    const struct oak_clock *clock = &server->loop->clock;
    uint64_t now = clock->mono_ns(clock->user);
    server->loop->timers.set(server->loop->timers.user, &server->grace,
                             now > UINT64_MAX - grace_ns ? UINT64_MAX : now + grace_ns);
}

int oak_http_server_add(struct oak_http_server *server, const struct oak_http_route *route)
{
    OAK_ASSERT(route->handle != NULL);
    OAK_ASSERT(route->methods != 0);
    size_t size = strlen(route->path);
    if (size == 0 || route->path[0] != '/') {
        return OAK_EINVAL;
    }
    for (size_t i = 0; i < server->route_count; i++) {
        const struct oak_http_route *other = &server->routes[i].route;
        if (strcmp(other->path, route->path) == 0 && (other->methods & route->methods) != 0) {
            return OAK_EEXIST;
        }
    }
    struct http_route *grown = realloc(server->routes, (server->route_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return OAK_ENOMEM;
    }
    server->routes = grown;
    char *path = strdup(route->path);
    if (path == NULL) {
        return OAK_ENOMEM;
    }
    bool below = size >= 2 && memcmp(path + size - 2, "/*", 2) == 0;
    struct http_route *added = &grown[server->route_count++];
    *added = (struct http_route){.route = *route, .below = below, .prefix = size - below};
    added->route.path = path;
    return 0;
}

static bool matches(const struct http_route *route, struct oak_bytes path)
{
    bool fits = route->below ? path.size >= route->prefix : path.size == route->prefix;
    return fits && memcmp(path.data, route->route.path, route->prefix) == 0;
}

/* The methods that the best path has, in *methods; its route that has `method`, or NULL. */
static const struct http_route *route_find(const struct oak_http_server *server,
                                           struct oak_bytes path, unsigned method,
                                           unsigned *methods)
{
    const struct http_route *best = NULL;
    const struct http_route *found = NULL;
    *methods = 0;
    for (size_t i = 0; i < server->route_count; i++) {
        const struct http_route *route = &server->routes[i];
        if (!matches(route, path)) {
            continue;
        }
        /* Of two that match as many bytes, the one without a star says more. */
        bool same = best != NULL && strcmp(best->route.path, route->route.path) == 0;
        bool better = best == NULL || route->prefix > best->prefix ||
                      (route->prefix == best->prefix && best->below && !route->below);
        if (better && !same) {
            best = route;
            found = NULL;
            *methods = 0;
        } else if (!same) {
            continue;
        }
        *methods |= route->route.methods;
        found = (route->route.methods & method) != 0 ? route : found;
    }
    return found;
}

static void refuse_method(struct oak_http_request *r, unsigned methods)
{
    static const struct {
        unsigned method;
        const char *name;
    } names[] = {
        {OAK_HTTP_GET, "GET"}, {OAK_HTTP_HEAD, "HEAD"},     {OAK_HTTP_POST, "POST"},
        {OAK_HTTP_PUT, "PUT"}, {OAK_HTTP_DELETE, "DELETE"}, {OAK_HTTP_OPTIONS, "OPTIONS"},
    };
    methods |= (methods & OAK_HTTP_GET) != 0 ? OAK_HTTP_HEAD : 0u;
    char allow[96];
    size_t size = (size_t)snprintf(allow, sizeof(allow), "Allow: ");
    const char *comma = "";
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if ((methods & names[i].method) != 0) {
            size +=
                (size_t)snprintf(allow + size, sizeof(allow) - size, "%s%s", comma, names[i].name);
            comma = ", ";
        }
    }
    snprintf(allow + size, sizeof(allow) - size, "\r\n");
    const struct oak_http_answer answer = {
        .status = 405, .extra = allow, .body = oak_bytes_str("Method Not Allowed\n")};
    oak_http_reply(r, &answer);
}

void http__dispatch(struct http_conn *c, struct oak_http_request *r)
{
    c->owed = true; /* our own answers below go the same way as a handler's */
    if (http__access_answers(c, r)) {
        return;
    }
    unsigned methods = 0;
    struct oak_bytes path = oak_http_path(r);
    const struct http_route *route = route_find(c->server, path, r->method, &methods);
    if (route == NULL && r->head_only && (methods & OAK_HTTP_GET) != 0) {
        r->method = OAK_HTTP_GET;
        route = route_find(c->server, path, r->method, &methods);
    }
    if (route != NULL) {
        r->rest_at = route->below ? route->prefix : path.size;
        route->route.handle(route->route.user, r);
    } else if (methods != 0) {
        refuse_method(r, methods);
    } else {
        const struct oak_http_answer none = {.status = 404,
                                             .body = oak_bytes_str("404 page not found\n")};
        oak_http_reply(r, &none);
    }
}
