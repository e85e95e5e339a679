/* SPDX-License-Identifier: Apache-2.0 */
/* world_fixture.h: a server with some routes, and one peer of it, in memory. */
#ifndef OAK_HTTP_WORLD_FIXTURE_H
#define OAK_HTTP_WORLD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "http/fake_fixture.h"
#include "http/http.h"

#define SECOND ((uint64_t)1000000000)

struct world {
    struct fake_loop loop;
    struct fake_stream stream;
    struct oak_http_server *server;
    struct oak_http_request *held; /* by the route /later */
    int handled;
    int changed;
    char seen[256]; /* what the route /show saw */
};

static inline void reply_text(struct oak_http_request *r, int status, const char *text)
{
    const struct oak_http_answer answer = {.status = status, .body = oak_bytes_str(text)};
    oak_http_reply(r, &answer);
}

static inline void hello(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->handled++;
    reply_text(r, 200, "hello\n");
}

static inline void later(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->handled++;
    assert_null(w->held);
    w->held = r;
}

static inline void text_of(char *out, size_t size, struct oak_bytes b)
{
    if (b.data == NULL) {
        snprintf(out, size, "-");
    } else {
        snprintf(out, size, "%.*s", (int)b.size, (const char *)b.data);
    }
}

static inline void show(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    char rest[64];
    char a0[32];
    char a1[32];
    char b[32];
    char header[64];
    text_of(rest, sizeof(rest), oak_http_rest(r));
    text_of(a0, sizeof(a0), oak_http_query(r, "a", 0));
    text_of(a1, sizeof(a1), oak_http_query(r, "a", 1));
    text_of(b, sizeof(b), oak_http_query(r, "b c", 0));
    text_of(header, sizeof(header), oak_http_header(r, "X-Thing"));
    snprintf(w->seen, sizeof(w->seen), "%d [%s] %s,%s,%s %s", oak_http_method(r), rest, a0, a1, b,
             header);
    w->handled++;
    const struct oak_http_answer answer = {
        .status = 201, .content_type = "text/x", .extra = "X-A: 1\r\n", .body = oak_http_body(r)};
    oak_http_reply(r, &answer);
}

static inline void big(void *user, struct oak_http_request *r)
{
    (void)user;
    char *text = calloc(1, 100000);
    const struct oak_http_answer answer = {.status = 200, .body = oak_bytes(text, 100000)};
    oak_http_reply(r, &answer);
    free(text);
}

static inline void none(void *user, struct oak_http_request *r)
{
    (void)user;
    reply_text(r, 204, "not to be sent");
}

static inline const struct oak_http_route *routes(struct world *w, size_t *count)
{
    static struct oak_http_route all[9];
    size_t n = 0;
    all[n++] = (struct oak_http_route){OAK_HTTP_GET, "/hello", hello, w};
    all[n++] = (struct oak_http_route){OAK_HTTP_GET | OAK_HTTP_POST, "/later", later, w};
    all[n++] =
        (struct oak_http_route){OAK_HTTP_GET | OAK_HTTP_PUT | OAK_HTTP_POST, "/show/*", show, w};
    all[n++] = (struct oak_http_route){OAK_HTTP_DELETE, "/show/*", hello, w};
    all[n++] = (struct oak_http_route){OAK_HTTP_GET, "/show/deep/*", hello, w};
    all[n++] = (struct oak_http_route){OAK_HTTP_GET, "/big", big, w};
    all[n++] = (struct oak_http_route){OAK_HTTP_GET, "/none", none, w};
    *count = n;
    return all;
}

static inline int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    fake_loop_init(&w->loop);
    fake_stream_init(&w->stream);
    assert_int_equal(oak_http_server_new(&w->loop.port, NULL, &w->server), 0);
    size_t count = 0;
    const struct oak_http_route *all = routes(w, &count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(oak_http_server_add(w->server, &all[i]), 0);
    }
    assert_int_equal(oak_http_serve(w->server, &w->stream.base, oak_bytes("", 0)), 0);
    assert_int_equal(oak_http_server_connections(w->server), 1);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;
    oak_http_server_free(w->server);
    w->stream.closing = true;
    w->stream.now = true;
    fake_stream_settle(&w->stream);
    fake_loop_tasks(&w->loop);
    assert_true(oak_list_empty(&w->loop.timers));
    assert_null(w->held);
    fake_stream_fini(&w->stream);
    free(w);
    return 0;
}

static inline void feed(struct world *w, const char *text)
{
    fake_stream_feed(&w->stream, oak_bytes_str(text));
    fake_loop_tasks(&w->loop);
}

/* What the peer got since the last time, as text. */
static inline const char *taken(struct world *w)
{
    static char text[4096];
    text_of(text, sizeof(text), oak_buf_bytes(&w->stream.out));
    oak_buf_clear(&w->stream.out);
    return w->stream.out.data == NULL ? "" : text;
}

#define HELLO                                                                        \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " \
    "6\r\n\r\nhello\n"
#define HELLO_CLOSE                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n" \
    "Connection: close\r\n\r\nhello\n"
#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
