/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the HTTP server over a stream in memory: what well-behaved and slow peers get. */
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

static void reply_text(struct oak_http_request *r, int status, const char *text)
{
    const struct oak_http_answer answer = {.status = status, .body = oak_bytes_str(text)};
    oak_http_reply(r, &answer);
}

static void hello(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->handled++;
    reply_text(r, 200, "hello\n");
}

static void later(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->handled++;
    assert_null(w->held);
    w->held = r;
}

static void text_of(char *out, size_t size, struct oak_bytes b)
{
    if (b.data == NULL) {
        snprintf(out, size, "-");
    } else {
        snprintf(out, size, "%.*s", (int)b.size, (const char *)b.data);
    }
}

static void show(void *user, struct oak_http_request *r)
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

static void big(void *user, struct oak_http_request *r)
{
    (void)user;
    char *text = calloc(1, 100000);
    const struct oak_http_answer answer = {.status = 200, .body = oak_bytes(text, 100000)};
    oak_http_reply(r, &answer);
    free(text);
}

static void none(void *user, struct oak_http_request *r)
{
    (void)user;
    reply_text(r, 204, "not to be sent");
}

static const struct oak_http_route *routes(struct world *w, size_t *count)
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

static int setup(void **state)
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

static int teardown(void **state)
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

static void feed(struct world *w, const char *text)
{
    fake_stream_feed(&w->stream, oak_bytes_str(text));
    fake_loop_tasks(&w->loop);
}

/* What the peer got since the last time, as text. */
static const char *taken(struct world *w)
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

/* -- requests and answers ---------------------------------------------------------------------- */

static void a_request_is_answered_and_the_connection_kept(void **state)
{
    struct world *w = *state;
    feed(w, GET_HELLO);
    assert_string_equal(taken(w), HELLO);
    assert_false(w->stream.closing);
    feed(w, "\r\n" GET_HELLO); /* a blank line before a request is let pass */
    assert_string_equal(taken(w), HELLO);
    assert_int_equal(w->handled, 2);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct world *w = *state;
    const char *text = "PUT /show/x?a=1 HTTP/1.1\r\nHost: a\r\nX-Thing: some thing\t \r\n"
                       "Content-Length: 3\r\n\r\nabc";
    for (const char *p = text; *p != '\0'; p++) {
        fake_stream_feed(&w->stream, oak_bytes(p, 1));
    }
    assert_string_equal(w->seen, "4 [x] 1,-,- some thing");
    assert_string_equal(taken(w), "HTTP/1.1 201 Created\r\nContent-Type: text/x\r\n"
                                  "Content-Length: 3\r\nX-A: 1\r\n\r\nabc");
}

static void bodies_may_come_in_chunks(void **state)
{
    struct world *w = *state;
    feed(w, "POST /show/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
            "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Thing: trailer\r\n\r\n" GET_HELLO);
    /* A trailer is no header, and the next request is intact. */
    assert_string_equal(w->seen, "2 [] -,-,- -");
    assert_string_equal(taken(w), "HTTP/1.1 201 Created\r\nContent-Type: text/x\r\n"
                                  "Content-Length: 5\r\nX-A: 1\r\n\r\nabcde" HELLO);
}

static void what_is_sent_ahead_is_answered_in_order(void **state)
{
    struct world *w = *state;
    feed(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO
            "GET /show/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(w->handled, 1);
    assert_string_equal(taken(w), "");
    feed(w, "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n");
    struct oak_http_request *r = w->held;
    w->held = NULL;
    reply_text(r, 200, "first");
    assert_int_equal(w->handled, 1); /* the next handler does not run inside the reply */
    fake_loop_tasks(&w->loop);
    assert_int_equal(w->handled, 3);
    const char *got = taken(w);
    const char *first = strstr(got, "first");
    const char *second = strstr(got, "hello");
    const char *third = strstr(got, "201 Created");
    const char *fourth = strstr(got, "404 Not Found");
    assert_true(first != NULL && first < second && second < third && third < fourth);
}

static void a_peer_that_sends_too_far_ahead_is_not_read(void **state)
{
    struct world *w = *state;
    feed(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    char *many = malloc(3001 * sizeof(GET_HELLO));
    many[0] = '\0';
    for (size_t i = 0; i < 3000; i++) {
        memcpy(many + i * (sizeof(GET_HELLO) - 1), GET_HELLO, sizeof(GET_HELLO));
    }
    feed(w, many);
    free(many);
    assert_true(w->stream.paused);
    struct oak_http_request *r = w->held;
    w->held = NULL;
    reply_text(r, 200, "");
    fake_loop_tasks(&w->loop);
    assert_false(w->stream.paused);
    assert_int_equal(w->handled, 3001);
}

static void head_is_get_without_the_body(void **state)
{
    struct world *w = *state;
    feed(w, "HEAD /show/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(w->seen, "1 [x] -,-,- -");
    feed(w, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(taken(w), "HTTP/1.1 201 Created\r\nContent-Type: text/x\r\n"
                                  "Content-Length: 0\r\nX-A: 1\r\n\r\n"
                                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                  "Content-Length: 6\r\n\r\n");
}

static void no_content_has_no_body(void **state)
{
    struct world *w = *state;
    feed(w, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(taken(w), "HTTP/1.1 204 No Content\r\n"
                                  "Content-Type: text/plain; charset=utf-8\r\n\r\n");
}

static void the_longest_path_wins_and_methods_are_told(void **state)
{
    struct world *w = *state;
    feed(w, "GET /show/deep/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(taken(w), HELLO);
    feed(w, "DELETE /show/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(taken(w), HELLO);
    feed(w, "PATCH /show/x HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *got = taken(w);
    assert_non_null(strstr(got, "HTTP/1.1 405 Method Not Allowed\r\n"));
    assert_non_null(strstr(got, "\r\nAllow: GET, HEAD, POST, PUT, DELETE\r\n"));
    feed(w, "POST /show/deep/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_non_null(strstr(taken(w), "\r\nAllow: GET, HEAD\r\n"));
    feed(w, "GET /show HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(taken(w), "HTTP/1.1 404 Not Found\r\n"));
    feed(w, "GET /hello/ HTTP/1.1\r\nHost: a\r\n\r\n");
    got = taken(w);
    assert_non_null(strstr(got, "HTTP/1.1 404 Not Found\r\n"));
    assert_non_null(strstr(got, "not found\n"));
    assert_false(w->stream.closing);
}

static void routes_that_make_no_sense_are_refused(void **state)
{
    struct world *w = *state;
    const struct oak_http_route bad[] = {{OAK_HTTP_GET, "", hello, w},
                                         {OAK_HTTP_GET, "hello", hello, w},
                                         {OAK_HTTP_GET | OAK_HTTP_PUT, "/hello", hello, w}};
    assert_int_equal(oak_http_server_add(w->server, &bad[0]), OAK_EINVAL);
    assert_int_equal(oak_http_server_add(w->server, &bad[1]), OAK_EINVAL);
    assert_int_equal(oak_http_server_add(w->server, &bad[2]), OAK_EEXIST);
}

static void paths_and_queries_are_decoded_once(void **state)
{
    struct world *w = *state;
    feed(w, "GET /show/a%2Fb%2541+c?a=1+2&b%20c=%3D%26&&a=&=x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(w->seen, "1 [a/b%41+c] 1 2,,=& -");
    feed(w, "GET http://somewhere:80/show/y?a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(w->seen, "1 [y] ,-,- -");
    feed(w, "GET /%73how/../z HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(w->seen, "1 [../z] -,-,- -");
    assert_int_equal(w->handled, 3);
}

static void a_client_that_asks_first_is_told_to_go_on(void **state)
{
    struct world *w = *state;
    feed(w, "PUT /show/x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    assert_string_equal(taken(w), "HTTP/1.1 100 Continue\r\n\r\n");
    feed(w, "ab");
    assert_non_null(strstr(taken(w), "201 Created"));
    /* Without a body there is nothing to go on with. */
    feed(w, "GET /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(taken(w), HELLO);
}

static void the_end_of_a_connection_is_said_by_either_side(void **state)
{
    struct world *w = *state;
    feed(w, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET_HELLO);
    assert_string_equal(taken(w), HELLO_CLOSE);
    assert_true(w->stream.closing);
    assert_false(w->stream.now);
    assert_int_equal(w->handled, 1);
    fake_stream_settle(&w->stream);
    assert_int_equal(oak_http_server_connections(w->server), 0);
}

static void http_1_0_is_kept_only_when_asked(void **state)
{
    struct world *w = *state;
    feed(w, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_non_null(strstr(taken(w), "Connection: keep-alive\r\n"));
    assert_false(w->stream.closing);
    feed(w, "GET /hello HTTP/1.0\r\n\r\n");
    assert_string_equal(taken(w), HELLO_CLOSE);
    assert_true(w->stream.closing);
}

static void an_offer_of_another_protocol_is_not_taken_up(void **state)
{
    struct world *w = *state;
    feed(w, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" GET_HELLO);
    assert_string_equal(taken(w), HELLO HELLO);
}

static void early_bytes_are_served_from_the_loop(void **state)
{
    struct world *w = *state;
    struct fake_stream second;
    fake_stream_init(&second);
    assert_int_equal(oak_http_serve(w->server, &second.base, oak_bytes_str(GET_HELLO)), 0);
    assert_int_equal(w->handled, 0);
    fake_loop_tasks(&w->loop);
    assert_int_equal(w->handled, 1);
    /* And when the stream is gone before that. */
    struct fake_stream third;
    fake_stream_init(&third);
    assert_int_equal(oak_http_serve(w->server, &third.base, oak_bytes_str(GET_HELLO)), 0);
    third.closing = true;
    fake_stream_settle(&third);
    fake_loop_tasks(&w->loop);
    assert_int_equal(w->handled, 1);
    second.closing = true;
    fake_stream_settle(&second);
    fake_stream_fini(&second);
    fake_stream_fini(&third);
}

/* -- peers that vanish or dawdle --------------------------------------------------------------- */

static void a_reply_to_a_peer_that_hung_up_goes_nowhere(void **state)
{
    struct world *w = *state;
    feed(w, "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" GET_HELLO);
    struct oak_http_request *r = w->held;
    w->held = NULL;
    assert_false(oak_http_gone(r));
    w->stream.closing = true;
    fake_stream_settle(&w->stream);
    assert_int_equal(oak_http_server_connections(w->server), 0);
    assert_true(oak_http_gone(r));
    assert_int_equal(oak_http_body(r).size, 1); /* still there */
    reply_text(r, 200, "late");
    fake_loop_tasks(&w->loop);
    assert_int_equal(w->stream.out.size, 0);
    assert_int_equal(w->handled, 1);
}

static void a_reply_after_the_server_is_gone_goes_nowhere(void **state)
{
    struct world *w = *state;
    feed(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    struct oak_http_request *r = w->held;
    w->held = NULL;
    oak_http_server_free(w->server);
    w->server = NULL;
    assert_true(w->stream.now);
    reply_text(r, 200, "late");
    assert_int_equal(w->stream.out.size, 0);
}

static void silence_ends_a_connection_at_last(void **state)
{
    struct world *w = *state;
    fake_loop_pass(&w->loop, 59 * SECOND);
    feed(w, GET_HELLO);
    fake_loop_pass(&w->loop, 59 * SECOND);
    assert_false(w->stream.closing);
    assert_string_equal(taken(w), HELLO);
    fake_loop_pass(&w->loop, 2 * SECOND);
    assert_true(w->stream.closing);
    assert_int_equal(w->stream.out.size, 0);
}

static void a_head_that_drips_is_timed_out(void **state)
{
    struct world *w = *state;
    const char *text =
        "GET /hello HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    size_t fed = 0;
    for (const char *p = text; *p != '\0' && !w->stream.closing; p++, fed++) {
        fake_stream_feed(&w->stream, oak_bytes(p, 1));
        fake_loop_pass(&w->loop, SECOND);
    }
    assert_int_equal(fed, 30);
    assert_non_null(strstr(taken(w), "HTTP/1.1 408 Request Timeout\r\n"));
    assert_true(w->stream.closing);
}

static void a_body_that_drips_is_timed_out(void **state)
{
    struct world *w = *state;
    feed(w, "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 119; i++) {
        fake_stream_feed(&w->stream, oak_bytes_str("x"));
        fake_loop_pass(&w->loop, SECOND);
    }
    assert_false(w->stream.closing);
    fake_loop_pass(&w->loop, 2 * SECOND);
    assert_true(w->stream.closing);
    assert_non_null(strstr(taken(w), "HTTP/1.1 408 Request Timeout\r\n"));
    assert_int_equal(w->handled, 0);
}

static void a_handler_may_take_its_time(void **state)
{
    struct world *w = *state;
    feed(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    fake_loop_pass(&w->loop, 10000 * SECOND);
    assert_false(w->stream.closing);
    struct oak_http_request *r = w->held;
    w->held = NULL;
    reply_text(r, 200, "at last");
    assert_non_null(strstr(taken(w), "at last"));
}

static void a_peer_that_reads_slowly_is_waited_for_and_one_that_does_not_is_cut(void **state)
{
    struct world *w = *state;
    w->stream.blocked = true;
    feed(w, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    for (int i = 0; i < 10; i++) {
        fake_loop_pass(&w->loop, 29 * SECOND);
        fake_stream_take(&w->stream, 100);
        assert_false(w->stream.closing);
    }
    assert_int_equal(w->handled, 0); /* the next request waits for the first answer to leave */
    fake_stream_take(&w->stream, SIZE_MAX);
    assert_int_equal(w->handled, 1);
    fake_loop_pass(&w->loop, 61 * SECOND);
    assert_true(w->stream.closing);
    assert_true(w->stream.now);
}

static void a_peer_that_is_found_gone_by_a_write_ends_in_order(void **state)
{
    struct world *w = *state;
    w->stream.broken = true;
    feed(w, GET_HELLO);
    assert_true(w->stream.closing);
    fake_stream_settle(&w->stream);
    assert_int_equal(oak_http_server_connections(w->server), 0);
}

/* -- draining ---------------------------------------------------------------------------------- */

static void draining_ends_idle_connections_now_and_busy_ones_after_their_answer(void **state)
{
    struct world *w = *state;
    struct fake_stream idle;
    struct fake_stream late;
    fake_stream_init(&idle);
    fake_stream_init(&late);
    assert_int_equal(oak_http_serve(w->server, &idle.base, oak_bytes("", 0)), 0);
    feed(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    oak_http_server_drain(w->server, 5 * SECOND);
    assert_true(idle.closing);
    assert_false(w->stream.closing);
    assert_int_equal(oak_http_serve(w->server, &late.base, oak_bytes("", 0)), 0);
    assert_true(late.closing);
    struct oak_http_request *r = w->held;
    w->held = NULL;
    reply_text(r, 200, "last");
    assert_non_null(strstr(taken(w), "Connection: close\r\n"));
    assert_true(w->stream.closing);
    assert_false(w->stream.now);
    fake_stream_settle(&idle);
    fake_stream_settle(&late);
}

static void after_the_grace_everything_is_closed(void **state)
{
    struct world *w = *state;
    feed(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    oak_http_server_drain(w->server, 5 * SECOND);
    fake_loop_pass(&w->loop, 4 * SECOND);
    assert_false(w->stream.closing);
    fake_loop_pass(&w->loop, 2 * SECOND);
    assert_true(w->stream.now);
    fake_stream_settle(&w->stream);
    assert_true(oak_http_gone(w->held));
    reply_text(w->held, 200, "late");
    w->held = NULL;
}

/* -- answers in pieces ------------------------------------------------------------------------- */

static void on_changed(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->changed++;
    if (oak_http_gone(r)) {
        w->held = NULL;
        oak_http_end(r);
    }
}

static void begin(struct world *w, const char *request)
{
    feed(w, request);
    const struct oak_http_answer answer = {.status = 200, .body = oak_bytes_str("one")};
    oak_http_watch(w->held, on_changed, w);
    oak_http_begin(w->held, &answer);
}

static void an_answer_in_pieces_goes_out_in_chunks(void **state)
{
    struct world *w = *state;
    begin(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    assert_int_equal(oak_http_write(w->held, oak_bytes_str("a longer piece")), 0);
    assert_int_equal(oak_http_write(w->held, oak_bytes_str("")), 0);
    struct oak_http_request *r = w->held;
    w->held = NULL;
    oak_http_end(r);
    fake_loop_tasks(&w->loop);
    assert_string_equal(taken(w), "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "3\r\none\r\ne\r\na longer piece\r\n0\r\n\r\n" HELLO);
}

static void to_http_1_0_it_goes_up_to_the_end(void **state)
{
    struct world *w = *state;
    begin(w, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_int_equal(oak_http_write(w->held, oak_bytes_str("two")), 0);
    struct oak_http_request *r = w->held;
    w->held = NULL;
    oak_http_end(r);
    assert_string_equal(taken(w), "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                  "Connection: close\r\n\r\nonetwo");
    assert_true(w->stream.closing);
    assert_false(w->stream.now);
}

static void an_aborted_answer_breaks_off(void **state)
{
    struct world *w = *state;
    begin(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    struct oak_http_request *r = w->held;
    w->held = NULL;
    oak_http_abort(r);
    assert_true(w->stream.now);
    assert_null(strstr(taken(w), "0\r\n\r\n"));
}

static void pieces_are_bounded_by_what_the_peer_takes(void **state)
{
    struct world *w = *state;
    w->stream.blocked = true;
    begin(w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    char *piece = calloc(1, OAK_MIB);
    int error = 0;
    int taken_pieces = 0;
    while ((error = oak_http_write(w->held, oak_bytes(piece, OAK_MIB))) == 0) {
        taken_pieces++;
    }
    free(piece);
    assert_int_equal(error, OAK_ELIMIT);
    assert_int_equal(taken_pieces, OAK_OUTBOUND_BYTES_MAX / OAK_MIB - 1);
    /* Whoever takes something in time is waited for. */
    for (int i = 0; i < 5; i++) {
        fake_loop_pass(&w->loop, 29 * SECOND);
        fake_stream_take(&w->stream, 1000);
        assert_int_equal(oak_http_write(w->held, oak_bytes_str("as much as left")), 0);
    }
    assert_false(w->stream.closing);
    assert_int_equal(w->changed, 0);
    fake_stream_take(&w->stream, SIZE_MAX);
    assert_int_equal(w->changed, 1);
    fake_loop_pass(&w->loop, 1000 * SECOND); /* nothing is owed: no time runs */
    assert_false(w->stream.closing);
    assert_int_equal(oak_http_write(w->held, oak_bytes_str("stuck")), 0);
    fake_loop_pass(&w->loop, 31 * SECOND);
    assert_true(w->stream.now);
    assert_int_equal(oak_http_write(w->held, oak_bytes_str("more")), OAK_ECLOSED);
    fake_stream_settle(&w->stream); /* on_changed ends the request */
    assert_null(w->held);
    assert_int_equal(w->changed, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_answered_and_the_connection_kept),
        T(a_request_may_come_byte_by_byte),
        T(bodies_may_come_in_chunks),
        T(what_is_sent_ahead_is_answered_in_order),
        T(a_peer_that_sends_too_far_ahead_is_not_read),
        T(head_is_get_without_the_body),
        T(no_content_has_no_body),
        T(the_longest_path_wins_and_methods_are_told),
        T(routes_that_make_no_sense_are_refused),
        T(paths_and_queries_are_decoded_once),
        T(a_client_that_asks_first_is_told_to_go_on),
        T(the_end_of_a_connection_is_said_by_either_side),
        T(http_1_0_is_kept_only_when_asked),
        T(an_offer_of_another_protocol_is_not_taken_up),
        T(early_bytes_are_served_from_the_loop),
        T(a_reply_to_a_peer_that_hung_up_goes_nowhere),
        T(a_reply_after_the_server_is_gone_goes_nowhere),
        T(silence_ends_a_connection_at_last),
        T(a_head_that_drips_is_timed_out),
        T(a_body_that_drips_is_timed_out),
        T(a_handler_may_take_its_time),
        T(a_peer_that_reads_slowly_is_waited_for_and_one_that_does_not_is_cut),
        T(a_peer_that_is_found_gone_by_a_write_ends_in_order),
        T(draining_ends_idle_connections_now_and_busy_ones_after_their_answer),
        T(after_the_grace_everything_is_closed),
        T(an_answer_in_pieces_goes_out_in_chunks),
        T(to_http_1_0_it_goes_up_to_the_end),
        T(an_aborted_answer_breaks_off),
        T(pieces_are_bounded_by_what_the_peer_takes),
    };
    return cmocka_run_group_tests_name("http/server", tests, NULL, NULL);
}
