/* SPDX-License-Identifier: Apache-2.0 */
/* http.h: a small HTTP/1.1 server: routes, limits, keep-alive.
 *
 * A connection serves one request after the other, in order; what a peer sends ahead waits. Bytes
 * that are no HTTP, a head or body past its limit (limits.h) and a peer that is too slow get a
 * status and the end of the connection, and never reach a handler.
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
    OAK_HTTP_HEAD = 16, /* a route for GET takes it as GET, and the body is not sent */
    OAK_HTTP_OPTIONS = 32,
};

struct oak_http_route {
    /* enum oak_http_method, or-ed. A path may have several routes with different methods; a method
     * that none of them has gets 405 with Allow. */
    unsigned methods;
    const char *path; /* "/health", or "/api/v1/data/" and a star: everything below, not itself */
    /* The whole request is there. Answer with oak_http_reply, now or later, exactly once. */
    void (*handle)(void *user, struct oak_http_request *request);
    void *user;
};

OAK_MUST_USE int oak_http_server_new(const struct oak_loop *loop, const struct oak_log *log,
                                     struct oak_http_server **out);
/* Open connections are closed at once; the loop tells their streams later, and needs no server for
 * it. A request that a handler still holds stays its own: the reply is owed, and goes nowhere. Not
 * from inside a handler. NULL is fine. */
void oak_http_server_free(struct oak_http_server *server);
/* Copied. The longest path wins. OAK_EINVAL when the path does not start with "/", OAK_EEXIST when
 * one of its methods has a route, OAK_ENOMEM. */
OAK_MUST_USE int oak_http_server_add(struct oak_http_server *server,
                                     const struct oak_http_route *route);
/* Take requests by an unencrypted stream only if their Host is one of these, whatever its port;
 * else 421. So that a page of somebody else's, which a browser took for one of ours by a name that
 * leads here, can't ask anything (DNS rebinding). Borrowed as long as the server lives; NULL: all.
 */
void oak_http_server_hosts(struct oak_http_server *server, const char *const *hosts, size_t count);
/* Let pages of these origins ask and see answers ("https://a,https://b"; "*": of any): answers say
 * so (CORS), and OPTIONS is answered 200 on every path. Borrowed as long as the server lives; NULL:
 * nothing is said of them, and no browser lets others' pages see. */
void oak_http_server_origins(struct oak_http_server *server, const char *origins);
/* Take the stream over, with the bytes that were read from it already. OAK_ENOMEM: it is still the
 * caller's. */
OAK_MUST_USE int oak_http_serve(struct oak_http_server *server, struct oak_stream *stream,
                                struct oak_bytes early);
/* No more keep-alive; end idle connections now, busy ones after their answer, all after `grace_ns`.
 */
void oak_http_server_drain(struct oak_http_server *server, uint64_t grace_ns);
size_t oak_http_server_connections(const struct oak_http_server *server);

/* Borrowed until the reply. */
enum oak_http_method oak_http_method(const struct oak_http_request *r);
/* Percent-decoded, without the query. Never holds a NUL. */
struct oak_bytes oak_http_path(const struct oak_http_request *r);
/* What the star of a route matched, decoded. */
struct oak_bytes oak_http_rest(const struct oak_http_request *r);
struct oak_bytes oak_http_body(const struct oak_http_request *r);
/* The body is no longer needed: its memory goes, long before an answer that takes its time. */
void oak_http_body_drop(struct oak_http_request *r);
/* The n-th (from 0) value of a query parameter, decoded; data NULL when absent, not when empty. */
struct oak_bytes oak_http_query(const struct oak_http_request *r, const char *name, size_t n);
/* The first header of that name, in any case of its letters; data NULL when absent. */
struct oak_bytes oak_http_header(const struct oak_http_request *r, const char *name);
/* All of them, one a time: *at starts at 0. False: no more. */
bool oak_http_header_next(const struct oak_http_request *r, size_t *at, struct oak_bytes *name,
                          struct oak_bytes *value);
/* Who asks, as port.h says of a stream: "" and NULL once the peer is gone. */
const char *oak_http_peer_name(const struct oak_http_request *r);
const struct oak_identity *oak_http_identity(const struct oak_http_request *r);
const struct oak_process *oak_http_process(const struct oak_http_request *r);
/* A peer that hung up: the reply is still owed, and goes nowhere. */
bool oak_http_gone(const struct oak_http_request *r);

struct oak_http_answer {
    int status;
    const char *content_type; /* NULL: text/plain; charset=utf-8 */
    const char *extra;        /* further header lines, each with its \r\n; may be NULL */
    struct oak_bytes body;    /* copied */
};
/* The whole answer. The request is gone when it returns. */
void oak_http_reply(struct oak_http_request *r, const struct oak_http_answer *answer);

/* An answer in pieces, as it comes: begin (the answer's body is the first piece), write any number
 * of times, end. It goes out in chunks, to an HTTP/1.0 peer up to the end of the connection. */
void oak_http_begin(struct oak_http_request *r, const struct oak_http_answer *answer);
/* OAK_ECLOSED: the peer is gone, end it. OAK_ELIMIT: OAK_OUTBOUND_BYTES_MAX would be queued, and
 * nothing was taken. OAK_ENOMEM. */
OAK_MUST_USE int oak_http_write(struct oak_http_request *r, struct oak_bytes piece);
/* Bytes written and not yet taken by the peer's side. */
size_t oak_http_queued(const struct oak_http_request *r);
/* The request is gone when it returns. */
void oak_http_end(struct oak_http_request *r);
/* As end, but the peer can tell that the answer is not whole: the connection breaks off. */
void oak_http_abort(struct oak_http_request *r);
/* Call `changed` from the loop when the peer is gone (oak_http_gone), and, while an answer in
 * pieces is under way, when what was queued has left. NULL: no more. */
void oak_http_watch(struct oak_http_request *r,
                    void (*changed)(void *user, struct oak_http_request *r), void *user);

#endif
