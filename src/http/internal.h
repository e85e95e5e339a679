/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of `http` share. */
#ifndef OAK_HTTP_INTERNAL_H
#define OAK_HTTP_INTERNAL_H

#include <http_parser.h>

#include "http/http.h"

#define HTTP_SECOND_NS ((uint64_t)1000 * 1000 * 1000)
/* A kept-alive connection without a request. */
#define HTTP_IDLE_NS (60 * HTTP_SECOND_NS)
/* From the first byte of a request to the end of its headers. */
#define HTTP_HEAD_NS (30 * HTTP_SECOND_NS)
/* From there to the end of its body: the largest in this time is 35 KiB/s. */
#define HTTP_BODY_NS (120 * HTTP_SECOND_NS)
/* A peer that takes nothing of an answer for this long is cut off. */
#define HTTP_WRITE_NS (30 * HTTP_SECOND_NS)
/* What a peer may send ahead while its request is being answered; then it is not read. */
#define HTTP_AHEAD_BYTES (64 * OAK_KIB)
/* A buffer that grew past this is not kept for the next request. */
#define HTTP_KEEP_BYTES (16 * OAK_KIB)

/*      ┌────────────────────────────────────────────┐
 *   IDLE ──byte──► HEAD ──► BODY ──► BUSY ──reply──► WRITING
 *     └────────────────┴──────┴──error, time──► CLOSING ◄──┘ when the connection is not kept
 * IDLE, HEAD and BODY read; in BUSY a handler owes a reply; in WRITING the answer has not left
 * whole. */
enum http_state {
    HTTP_STATE_IDLE,
    HTTP_STATE_HEAD,
    HTTP_STATE_BODY,
    HTTP_STATE_BUSY,
    HTTP_STATE_WRITING,
    HTTP_STATE_CLOSING,
};

/* A part of a buffer that may still move. */
struct http_span {
    size_t at;
    size_t size;
};

struct http_pair {
    struct http_span name;
    struct http_span value;
};

struct http_pairs {
    struct http_pair *data;
    size_t count;
    size_t capacity;
};

struct http_route {
    struct oak_http_route route; /* `path` is ours */
    size_t prefix;               /* bytes of the path that must match */
    bool below;                  /* ends in a "*" */
};

struct oak_http_request {
    struct http_conn *conn; /* NULL: the peer is gone */
    enum oak_http_method method;
    bool head_only;  /* HEAD: the body is not sent */
    bool keep_alive; /* what the peer wishes */
    bool old;        /* HTTP/1.0 */
    bool begun;      /* an answer in pieces is under way */
    bool chunked;    /* it is sent in chunks */
    void (*changed)(void *user, struct oak_http_request *r);
    void *changed_user;
    struct oak_bytes origin; /* that the answer allows; data NULL: none */
    struct oak_buf head;     /* target, then names and values of headers, as they came */
    size_t target_size;
    struct http_pairs headers; /* spans of `head` */
    struct oak_buf decoded;    /* path, then names and values of the query */
    size_t path_size;
    size_t rest_at;
    struct http_pairs query; /* spans of `decoded` */
    struct oak_buf body;
};

struct http_conn {
    struct oak_list link;           /* in server->conns */
    struct oak_http_server *server; /* NULL: freed before the connection was closed */
    const struct oak_loop *loop;
    struct oak_stream *stream; /* NULL: closed */
    enum http_state state;
    http_parser parser;
    bool in_value;         /* the last piece of a header was of its value */
    const char *input_end; /* of what the parser is given */
    bool value_open;       /* that piece went up to the end of the input: more of it may follow */
    bool complete;         /* `request` was read whole */
    bool consuming;        /* below us on the stack, input is being worked off */
    bool posted;           /* `pump` is on its way */
    bool paused;           /* the stream is */
    bool owed;             /* a handler holds `request`, and will reply */
    int status;            /* why the input was refused; 0: it was not */
    size_t reserved;       /* of the server's memory for bodies */
    uint64_t written;      /* bytes given to the stream */
    uint64_t sent;         /* of them, what had left when the timer was set */
    struct oak_http_request *request; /* being read or answered */
    struct oak_http_request *spare;   /* to be used for the next one */
    struct oak_buf ahead;             /* came while a request was being answered */
    struct oak_timer timer;
    struct oak_task pump;
};

struct oak_http_server {
    const struct oak_loop *loop;
    const struct oak_log *log;
    struct http_route *routes;
    size_t route_count;
    struct oak_list conns;
    size_t conn_count;
    size_t body_bytes;        /* in memory, of all connections */
    const char *const *hosts; /* NULL: any */
    size_t host_count;
    const char *origins; /* with commas; NULL: nothing is said of them */
    bool draining;
    struct oak_timer grace;
};

/* -- conn.c ------------------------------------------------------------------------------------ */
/* Write to the stream. */
OAK_MUST_USE int http__conn_write(struct http_conn *c, struct oak_bytes bytes);
/* Give the peer HTTP_WRITE_NS to take some of what is queued. */
void http__conn_watch_writing(struct http_conn *c);
void http__conn_enter(struct http_conn *c, enum http_state state);
/* Answer with a status alone, and close. */
void http__conn_fail(struct http_conn *c, int status);
/* No more of this connection: `now` or when everything has left. */
void http__conn_close(struct http_conn *c, bool now);
/* The reply is written: go on with the connection, or end it. The request is gone. */
void http__conn_replied(struct http_conn *c, bool keep);

/* -- parse.c ----------------------------------------------------------------------------------- */
void http__parse_init(struct http_conn *c);
/* Read from `bytes` up to the end of a request: gives how much was used. Sets c->complete or, when
 * the input is refused, c->status. */
size_t http__parse(struct http_conn *c, struct oak_bytes bytes);

/* -- request.c --------------------------------------------------------------------------------- */
/* The empty request of the connection; NULL without memory. */
struct oak_http_request *http__request_new(struct http_conn *c);
/* The connection has no more use for it; nor has a handler. */
void http__request_drop(struct http_conn *c, struct oak_http_request *r);
void http__request_free(struct oak_http_request *r);
/* What its connection had of the server's memory for bodies. */
void http__body_release(struct http_conn *c);
struct oak_bytes http__header(const struct oak_http_request *r, const char *name, size_t n);
OAK_MUST_USE int http__pairs_add(struct http_pairs *pairs, struct http_pair pair);

/* -- uri.c ------------------------------------------------------------------------------------- */
/* Fill path and query from the target. OAK_EFORMAT, OAK_ENOMEM. */
OAK_MUST_USE int http__uri_parse(struct oak_http_request *r);

/* -- reply.c ----------------------------------------------------------------------------------- */
/* Write an answer; OAK_ECLOSED or OAK_ENOMEM when the connection can't be used further. */
OAK_MUST_USE int http__answer_write(struct http_conn *c, const struct oak_http_request *r,
                                    const struct oak_http_answer *answer, bool keep);

/* -- access.c ---------------------------------------------------------------------------------- */
/* Has the request been answered already? */
bool http__access_answers(struct http_conn *c, struct oak_http_request *r);
/* Lines of an answer's head. OAK_ENOMEM. */
OAK_MUST_USE int http__access_write(struct oak_buf *out, const struct oak_http_request *r);

/* -- server.c ---------------------------------------------------------------------------------- */
/* Give the request to its route, or answer that there is none. */
void http__dispatch(struct http_conn *c, struct oak_http_request *r);
void http__conn_gone(struct http_conn *c);

#endif
