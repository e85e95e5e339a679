/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the HTTP server against bytes that no honest peer sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "http/fake_fixture.h"
#include "http/http.h"

struct world {
    struct fake_loop loop;
    struct oak_http_server *server;
    int handled;
    size_t body_size;
};

static void handle(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->handled++;
    w->body_size = oak_http_body(r).size;
    const struct oak_http_answer answer = {.status = 200, .body = oak_bytes_str("ok")};
    oak_http_reply(r, &answer);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    fake_loop_init(&w->loop);
    assert_int_equal(oak_http_server_new(&w->loop.port, NULL, &w->server), 0);
    const struct oak_http_route route = {OAK_HTTP_GET | OAK_HTTP_POST, "/*", handle, w};
    assert_int_equal(oak_http_server_add(w->server, &route), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(oak_http_server_connections(w->server), 0);
    oak_http_server_free(w->server);
    assert_true(oak_list_empty(&w->loop.timers));
    free(w);
    return 0;
}

/* Feed the bytes on a connection of their own, in pieces of `step`: the status of the last answer,
 * 0 without one. *closing: the server has ended it. */
static int answer_in_steps(struct world *w, struct oak_bytes bytes, size_t step, bool *closing)
{
    struct fake_stream s;
    fake_stream_init(&s);
    assert_int_equal(oak_http_serve(w->server, &s.base, oak_bytes("", 0)), 0);
    for (size_t at = 0; at < bytes.size; at += step) {
        fake_stream_feed(&s, oak_bytes(bytes.data + at, OAK_MIN(step, bytes.size - at)));
        fake_loop_tasks(&w->loop);
    }
    *closing = s.closing;
    int status = 0;
    for (size_t at = 0; at + 12 < s.out.size; at++) {
        if (memcmp(s.out.data + at, "HTTP/1.1 ", 9) == 0) {
            status = (s.out.data[at + 9] - '0') * 100 + (s.out.data[at + 10] - '0') * 10 +
                     (s.out.data[at + 11] - '0');
        }
    }
    s.closing = true;
    s.now = true;
    fake_stream_settle(&s);
    fake_loop_tasks(&w->loop);
    fake_stream_fini(&s);
    return status;
}

/* The same status, however the bytes are cut. */
static void assert_refused_bytes(struct world *w, struct oak_bytes bytes, int want, int handled)
{
    static const size_t steps[] = {SIZE_MAX / 2, 1, 7};
    for (size_t i = 0; i < OAK_COUNT_OF(steps); i++) {
        if (bytes.size > 10000 && steps[i] < 10) {
            continue;
        }
        bool closing = false;
        w->handled = 0;
        int status = answer_in_steps(w, bytes, steps[i], &closing);
        if (status != want || !closing || w->handled != handled) {
            fail_msg("%d instead of %d, %s, %d handled:\n%.*s", status, want,
                     closing ? "closed" : "still open", w->handled, (int)OAK_MIN(bytes.size, 300u),
                     (const char *)bytes.data);
        }
    }
}

static void assert_refused(struct world *w, const char *text, int status)
{
    assert_refused_bytes(w, oak_bytes_str(text), status, 0);
}

/* -- where a request ends ---------------------------------------------------------------------- */

static void a_length_and_chunks_together_are_refused(void **state)
{
    struct world *w = *state;
    assert_refused(w,
                   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
                   400);
    assert_refused(w,
                   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                   "Content-Length: 4\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
                   400);
}

static void two_lengths_are_refused(void **state)
{
    struct world *w = *state;
    assert_refused(
        w, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400);
    assert_refused(
        w, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400);
}

static void lengths_that_are_no_numbers_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {"-1",   "+1", "0x4", "4 4", "4,4",
                                      "four", "",   "4a",  "1e1", "99999999999999999999999999"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        char text[256];
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\nabcd",
                 bad[i]);
        assert_refused(w, text, 400);
    }
}

static void codings_other_than_chunked_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {"gzip",     "chunked, gzip", "gzip, chunked",   "identity",
                                      "xchunked", "chunked x",     "chunked, chunked"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %s\r\n\r\n0\r\n\r\n", bad[i]);
        bool closing = false;
        w->handled = 0;
        int status = answer_in_steps(w, oak_bytes_str(text), SIZE_MAX / 2, &closing);
        assert_true(status == 400 || status == 501);
        assert_true(closing);
        assert_int_equal(w->handled, 0);
    }
    assert_refused(w,
                   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                   400);
    assert_refused(w, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
}

static void headers_with_odd_names_or_values_are_refused(void **state)
{
    struct world *w = *state;
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\n Content-Length: 4\r\n\r\nabcd", 400);
    /* Lines folded into one header, as old mail did. */
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX\x01Y: a\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", 400);
    assert_refused_bytes(w, oak_bytes("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 42), 400, 0);
}

static void chunks_that_make_no_sense_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {"x\r\n", "-1\r\nabc", "2\r\nabc\r\n", "11111111111111111\r\n",
                                      "\r\n\r\n"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s", bad[i]);
        assert_refused(w, text, 400);
    }
}

/* -- what is no request ------------------------------------------------------------------------ */

static void bytes_that_are_no_http_are_refused(void **state)
{
    struct world *w = *state;
    assert_refused(w, "hello\r\n\r\n", 400);
    assert_refused(w, "GET / FTP/1.1\r\n\r\n", 400);
    assert_refused(w, "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    assert_refused(w, "\x16\x03\x01\x02", 400); /* TLS on the wrong port */
    assert_refused(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
    assert_refused(w, "HTTP/1.1 200 OK\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", 505);
}

static void versions_and_methods_that_we_do_not_speak_are_refused(void **state)
{
    struct world *w = *state;
    assert_refused(w, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    assert_refused(w, "GET /\r\n\r\n", 505);
    assert_refused(w, "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505);
    assert_refused(w, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\nanything", 501);
    assert_refused(
        w, "POST / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\n", 417);
}

static void a_host_is_wanted_once(void **state)
{
    struct world *w = *state;
    assert_refused(w, "GET / HTTP/1.1\r\n\r\n", 400);
    assert_refused(w, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

static void targets_that_make_no_sense_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {"*",    "/%",      "/%4",      "/%4g", "/%zz",     "/%00",
                                      "/a?%", "/a?b=%0", "/a?b=%00", "/a#b", "ftp://a/b"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        char text[256];
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
        assert_refused(w, text, 400);
    }
    assert_refused_bytes(w, oak_bytes("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28), 400, 0);
}

static void what_follows_a_refused_request_is_not_served(void **state)
{
    struct world *w = *state;
    assert_refused_bytes(
        w,
        oak_bytes_str("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /%zz HTTP/1.1\r\nHost: a"
                      "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        400, 1);
}

/* -- limits ------------------------------------------------------------------------------------ */

/* `before`, `count` times `unit`, `behind`. */
static struct oak_buf build(const char *before, const char *unit, size_t count, const char *behind)
{
    struct oak_buf b = {0};
    assert_int_equal(oak_buf_append(&b, before, strlen(before)), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(oak_buf_append(&b, unit, strlen(unit)), 0);
    }
    assert_int_equal(oak_buf_append(&b, behind, strlen(behind)), 0);
    return b;
}

static void a_head_past_its_limit_is_refused(void **state)
{
    struct world *w = *state;
    struct oak_buf b;
    b = build("GET /", "a", 70000, " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_refused_bytes(w, oak_buf_bytes(&b), 431, 0);
    oak_buf_fini(&b);
    b = build("GET / HTTP/1.1\r\nHost: a\r\nX: ", "a", 70000, "\r\n\r\n");
    assert_refused_bytes(w, oak_buf_bytes(&b), 431, 0);
    oak_buf_fini(&b);
    b = build("GET / HTTP/1.1\r\nHost: a\r\n", "a:b\r\n", 14000, "\r\n");
    assert_refused_bytes(w, oak_buf_bytes(&b), 431, 0);
    oak_buf_fini(&b);
    b = build("GET / HTTP/1.1\r\nHost: a\r\nX:", " ", 100000, "\r\n\r\n");
    assert_refused_bytes(w, oak_buf_bytes(&b), 431, 0);
    oak_buf_fini(&b);
    b = build("GET / HTTP/1.1\r\nHost: a\r\n", "a:b\r\n", 10000, "\r\n");
    bool closing = true;
    assert_int_equal(answer_in_steps(w, oak_buf_bytes(&b), 1000, &closing), 200);
    assert_false(closing);
    oak_buf_fini(&b);
    b = build("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a:b\r\n",
              100000, "\r\n");
    assert_refused_bytes(w, oak_buf_bytes(&b), 431, 0);
    oak_buf_fini(&b);
}

static void a_body_past_its_limit_is_refused(void **state)
{
    struct world *w = *state;
    /* By its length alone, before a byte of it, and without asking for it. */
    assert_refused(w,
                   "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 4194305\r\n\r\n",
                   413);
    assert_refused(w, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1844674407370955161\r\n\r\n",
                   413);
    struct oak_buf chunk = build("400\r\n", "x", 1024, "\r\n");
    assert_int_equal(oak_buf_append(&chunk, "", 1), 0); /* a text */
    struct oak_buf b = build("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                             (char *)chunk.data, 4097, "0\r\n\r\n");
    assert_refused_bytes(w, oak_buf_bytes(&b), 413, 0);
    oak_buf_fini(&b);
    b = build("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
              (char *)chunk.data, 4096, "0\r\n\r\n");
    bool closing = true;
    assert_int_equal(answer_in_steps(w, oak_buf_bytes(&b), 100000, &closing), 200);
    assert_false(closing);
    assert_int_equal(w->body_size, OAK_HTTP_BODY_BYTES_MAX);
    oak_buf_fini(&b);
    oak_buf_fini(&chunk);
}

static void the_bodies_of_all_connections_have_a_limit(void **state)
{
    struct world *w = *state;
    size_t count = OAK_HTTP_BODIES_BYTES_MAX / OAK_HTTP_BODY_BYTES_MAX;
    struct fake_stream *s = calloc(count + 1, sizeof(*s));
    char *body = calloc(1, OAK_HTTP_BODY_BYTES_MAX);
    for (size_t i = 0; i <= count; i++) {
        fake_stream_init(&s[i]);
        assert_int_equal(oak_http_serve(w->server, &s[i].base, oak_bytes("", 0)), 0);
        fake_stream_feed(
            &s[i], oak_bytes_str("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n"));
        /* All but the last byte; the last connection's first byte is then one too many. */
        fake_stream_feed(&s[i], oak_bytes(body, OAK_HTTP_BODY_BYTES_MAX - 1));
        assert_int_equal(s[i].closing, i == count);
    }
    assert_memory_equal(s[count].out.data, "HTTP/1.1 503 ", 13);
    fake_stream_feed(&s[0], oak_bytes(body, 1));
    assert_int_equal(w->handled, 1);
    for (size_t i = 0; i <= count; i++) {
        s[i].closing = true;
        s[i].now = true;
        fake_stream_settle(&s[i]);
        fake_stream_fini(&s[i]);
    }
    free(body);
    free(s);
    /* Everything was given back: the largest body finds room, again and again. */
    struct oak_buf b = build("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n",
                             "abcd", OAK_HTTP_BODY_BYTES_MAX / 4, "");
    bool closing = true;
    for (size_t i = 0; i <= count; i++) {
        assert_int_equal(answer_in_steps(w, oak_buf_bytes(&b), SIZE_MAX / 2, &closing), 200);
    }
    oak_buf_fini(&b);
}

/* -- every cut --------------------------------------------------------------------------------- */

static void a_truncated_request_is_never_handled(void **state)
{
    struct world *w = *state;
    const char *text = "POST /a%20b?c=d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n0\r\n\r\n";
    bool closing = false;
    for (size_t size = 0; size < strlen(text); size++) {
        assert_int_equal(answer_in_steps(w, oak_bytes(text, size), 1000, &closing), 0);
        assert_false(closing);
    }
    assert_int_equal(w->handled, 0);
    assert_int_equal(answer_in_steps(w, oak_bytes_str(text), 1000, &closing), 200);
    assert_int_equal(w->handled, 1);
}

static void random_damage_is_survived(void **state)
{
    struct world *w = *state;
    const char *text = "POST /a%20b?c=d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                       "Expect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n"
                       "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                       "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc";
    struct oak_prng prng;
    oak_prng_init(&prng, 20);
    uint8_t damaged[512];
    size_t size = strlen(text);
    assert_true(size <= sizeof(damaged));
    bool closing = false;
    for (int i = 0; i < 20000; i++) {
        memcpy(damaged, text, size);
        for (uint64_t n = oak_prng_between(&prng, 1, 3); n > 0; n--) {
            damaged[oak_prng_below(&prng, size)] = (uint8_t)oak_prng_u64(&prng);
        }
        int status = answer_in_steps(w, oak_bytes(damaged, size),
                                     (size_t)oak_prng_between(&prng, 1, size), &closing);
        assert_true(status == 0 || (status >= 100 && status < 600));
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_length_and_chunks_together_are_refused),
        T(two_lengths_are_refused),
        T(lengths_that_are_no_numbers_are_refused),
        T(codings_other_than_chunked_are_refused),
        T(headers_with_odd_names_or_values_are_refused),
        T(chunks_that_make_no_sense_are_refused),
        T(bytes_that_are_no_http_are_refused),
        T(versions_and_methods_that_we_do_not_speak_are_refused),
        T(a_host_is_wanted_once),
        T(targets_that_make_no_sense_are_refused),
        T(what_follows_a_refused_request_is_not_served),
        T(a_head_past_its_limit_is_refused),
        T(a_body_past_its_limit_is_refused),
        T(the_bodies_of_all_connections_have_a_limit),
        T(a_truncated_request_is_never_handled),
        T(random_damage_is_survived),
    };
    return cmocka_run_group_tests_name("http/hostile", tests, NULL, NULL);
}
