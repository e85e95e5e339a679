/* SPDX-License-Identifier: Apache-2.0 */
/* http.h: a small HTTP/1.1 server: routes, limits, keep-alive; and a small client request.
 *
 * Threads: one loop.
 */
#ifndef OAK_HTTP_H
#define OAK_HTTP_H

#include "port/port.h"

struct oak_http_server;
struct oak_http_request;

enum oak_http_method {
    OAK_HTTP_GET = 1,
    OAK_HTTP_POST = 2,
    OAK_HTTP_PUT = 4,
    OAK_HTTP_DELETE = 8,
    OAK_HTTP_HEAD = 16, /* answered by GET's handler, without the body */
};

struct oak_http_route {
    unsigned methods; /* enum oak_http_method, or-ed; others get 405 with Allow */
    const char *path; /* "/health", or "/api/v1/data/*" for everything below (and not "/api/v1/data") */
    /* The whole request is there. Answer with oak_http_reply, now or later, exactly once. */
    void (*handle)(void *user, struct oak_http_request *request);
    void *user;
};

OAK_MUST_USE int oak_http_server_new(const struct oak_loop *loop, const struct oak_log *log,
                                     struct oak_http_server **out);
void oak_http_server_free(struct oak_http_server *server);
/* Copied. The longest path wins. */
OAK_MUST_USE int oak_http_server_add(struct oak_http_server *server, const struct oak_http_route *route);
OAK_MUST_USE int oak_http_serve(struct oak_http_server *server, struct oak_stream *stream,
                                struct oak_bytes early);
/* No more keep-alive; end idle connections now, busy ones after their answer, all after `grace_ns`. */
void oak_http_server_drain(struct oak_http_server *server, uint64_t grace_ns);
size_t oak_http_server_connections(const struct oak_http_server *server);

/* Borrowed until the reply. */
enum oak_http_method oak_http_method(const struct oak_http_request *r);
struct oak_bytes oak_http_path(const struct oak_http_request *r); /* percent-decoded, without the query */
struct oak_bytes oak_http_rest(const struct oak_http_request *r); /* what a "/*" route matched, decoded */
struct oak_bytes oak_http_body(const struct oak_http_request *r);
/* The n-th (from 0) value of a query parameter, decoded; data NULL when absent. */
struct oak_bytes oak_http_query(const struct oak_http_request *r, const char *name, size_t n);
struct oak_bytes oak_http_header(const struct oak_http_request *r, const char *name);
/* A peer that hung up: the reply is still owed, and goes nowhere. */
bool oak_http_gone(const struct oak_http_request *r);

struct oak_http_answer {
    int status;
    const char *content_type; /* NULL: text/plain; charset=utf-8 */
    const char *extra;        /* further header lines, each with its \r\n; may be NULL */
    struct oak_bytes body;    /* copied */
};
void oak_http_reply(struct oak_http_request *r, const struct oak_http_answer *answer);

#endif
