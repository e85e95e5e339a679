/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the HTTP server over a stream in memory: what well-behaved peers get. */
#include "http/world_fixture.h"

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

static void a_body_that_was_dropped_makes_room(void **state)
{
    struct world *w = *state;
    enum { MANY = OAK_HTTP_BODIES_BYTES_MAX / OAK_HTTP_BODY_BYTES_MAX + 2 };
    static struct fake_stream streams[MANY];
    static struct oak_http_request *held[MANY];
    char *body = calloc(1, OAK_HTTP_BODY_BYTES_MAX);
    for (size_t i = 0; i < MANY; i++) {
        fake_stream_init(&streams[i]);
        assert_int_equal(oak_http_serve(w->server, &streams[i].base, oak_bytes("", 0)), 0);
        fake_stream_feed(
            &streams[i],
            oak_bytes_str("POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n"));
        fake_stream_feed(&streams[i], oak_bytes(body, OAK_HTTP_BODY_BYTES_MAX));
        held[i] = w->held;
        w->held = NULL;
        assert_non_null(held[i]);
        assert_int_equal(oak_http_body(held[i]).size, OAK_HTTP_BODY_BYTES_MAX);
        oak_http_body_drop(held[i]);
        oak_http_body_drop(held[i]);
        assert_int_equal(oak_http_body(held[i]).size, 0);
    }
    free(body);
    for (size_t i = 0; i < MANY; i++) {
        reply_text(held[i], 200, "hello\n");
        assert_memory_equal(streams[i].out.data, "HTTP/1.1 200 ", 13);
        streams[i].closing = true;
        streams[i].now = true;
        fake_stream_settle(&streams[i]);
        fake_stream_fini(&streams[i]);
    }
}

static void hosts_may_be_those_of_a_list_alone(void **state)
{
    struct world *w = *state;
    static const char *const hosts[] = {"localhost", "::1"};
    static const char *const good[] = {"localhost", "localhost:2379", "[::1]", "[::1]:2379"};
    static const char *const bad[] = {"evil.example", "localhost.evil.example:1", "", "::1",
                                      "[::2]"};
    oak_http_server_hosts(w->server, hosts, OAK_COUNT_OF(hosts));
    char text[128];
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        snprintf(text, sizeof(text), "GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        feed(w, text);
        assert_string_equal(taken(w), HELLO);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        snprintf(text, sizeof(text), "GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        feed(w, text);
        assert_non_null(strstr(taken(w), "HTTP/1.1 421 Misdirected Request\r\n"));
    }
    feed(w, "GET /hello HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(taken(w), " 421 "));
}

static void origins_are_told_what_they_may(void **state)
{
    struct world *w = *state;
    static const char allowed[] = "Access-Control-Allow-Headers: accept, content-type, "
                                  "authorization\r\nAccess-Control-Allow-Methods: POST, GET, "
                                  "OPTIONS, PUT, DELETE\r\nAccess-Control-Allow-Origin: %s\r\n";
    char wanted[256];
    feed(w, "GET /hello HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\n\r\n");
    assert_string_equal(taken(w), HELLO);
    oak_http_server_origins(w->server, "*");
    snprintf(wanted, sizeof(wanted), allowed, "*");
    feed(w, GET_HELLO);
    const char *text = taken(w);
    assert_non_null(strstr(text, wanted));
    assert_null(strstr(text, "Vary: "));
    feed(w, "OPTIONS /none/such HTTP/1.1\r\nHost: a\r\n\r\n");
    text = taken(w);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "Content-Length: 0\r\n"));
    assert_non_null(strstr(text, wanted));
    oak_http_server_origins(w->server, "https://a,https://b:8");
    static const char *const good[] = {"https://a", "https://b:8"};
    static const char *const bad[] = {"https://b", "https://a,https://b:8", "https://", "*",
                                      "null"};
    char request[128];
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\n\r\n",
                 good[i]);
        snprintf(wanted, sizeof(wanted), allowed, good[i]);
        feed(w, request);
        text = taken(w);
        assert_non_null(strstr(text, wanted));
        assert_non_null(strstr(text, "\r\nVary: Origin\r\n"));
    }
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\n\r\n",
                 bad[i]);
        feed(w, request);
        assert_string_equal(taken(w), HELLO);
    }
    feed(w, "GET /hello HTTP/1.1\r\nHost: a\r\nOrigin:\r\n\r\n");
    assert_string_equal(taken(w), HELLO);
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
    assert_non_null(strstr(got, "404 page not found\n"));
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
        T(a_body_that_was_dropped_makes_room),
        T(hosts_may_be_those_of_a_list_alone),
        T(origins_are_told_what_they_may),
        T(the_longest_path_wins_and_methods_are_told),
        T(routes_that_make_no_sense_are_refused),
        T(paths_and_queries_are_decoded_once),
        T(a_client_that_asks_first_is_told_to_go_on),
        T(the_end_of_a_connection_is_said_by_either_side),
        T(http_1_0_is_kept_only_when_asked),
        T(an_offer_of_another_protocol_is_not_taken_up),
        T(early_bytes_are_served_from_the_loop),
    };
    return cmocka_run_group_tests_name("http/server", tests, NULL, NULL);
}
