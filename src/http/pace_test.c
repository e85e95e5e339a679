/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the HTTP server with peers that vanish or dawdle, at its end, and with answers in
 * pieces. */
#include "http/world_fixture.h"

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
    return cmocka_run_group_tests_name("http/pace", tests, NULL, NULL);
}
