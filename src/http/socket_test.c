/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the HTTP server over real sockets: the same connection code on the loop of `os`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "http/http.h"
#include "os/os.h"

struct world {
    struct oak_os_loop *loop;
    const struct oak_loop *port;
    struct oak_http_server *server;
    struct oak_listener *listener;
    struct oak_stream *client;
    const char *request;
    size_t request_repeats;
    struct oak_buf got;
    size_t want; /* stop when so much came */
    bool client_closed;
    struct oak_http_request *held;
};

static void echo(void *user, struct oak_http_request *r)
{
    (void)user;
    const struct oak_http_answer answer = {.status = 200, .body = oak_http_body(r)};
    oak_http_reply(r, &answer);
}

static void large(void *user, struct oak_http_request *r)
{
    (void)user;
    char *text = calloc(1, 4 * OAK_MIB);
    const struct oak_http_answer answer = {.status = 200, .body = oak_bytes(text, 4 * OAK_MIB)};
    oak_http_reply(r, &answer);
    free(text);
}

static void hold(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    w->held = r;
    w->client->ops->close(w->client, true);
}

static void accepted(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(oak_http_serve(w->server, s, oak_bytes("", 0)), 0);
}

static void maybe_stop(struct world *w)
{
    if (w->client_closed && oak_http_server_connections(w->server) == 0) {
        oak_os_loop_stop(w->loop);
    }
}

static void client_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    assert_int_equal(oak_buf_append(&w->got, bytes.data, bytes.size), 0);
    if (w->want != 0 && w->got.size >= w->want) {
        w->client->ops->close(w->client, true);
    }
}

static void client_drained(void *user)
{
    (void)user;
}

static void client_closed(void *user, int error)
{
    struct world *w = user;
    (void)error;
    w->client_closed = true;
}

static void connected(void *arg, int error, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(error, 0);
    w->client = s;
    const struct oak_stream_handler handler = {
        .data = client_data, .drained = client_drained, .closed = client_closed, .user = w};
    s->ops->handle(s, &handler);
    for (size_t i = 0; i < w->request_repeats; i++) {
        if (s->ops->write(s, oak_bytes_str(w->request)) != 0) {
            break;
        }
    }
}

/* Runs each round: both sides must have ended. */
struct watcher {
    struct oak_after after;
    struct world *world;
};

static void watch(struct oak_after *after)
{
    maybe_stop(OAK_CONTAINER_OF(after, struct watcher, after)->world);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(oak_os_loop_new(&w->loop), 0);
    w->port = oak_os_loop_port(w->loop);
    assert_int_equal(oak_http_server_new(w->port, NULL, &w->server), 0);
    const struct oak_http_route routes[] = {{OAK_HTTP_GET | OAK_HTTP_POST, "/echo", echo, w},
                                            {OAK_HTTP_GET, "/large", large, w},
                                            {OAK_HTTP_GET, "/hold", hold, w}};
    for (size_t i = 0; i < OAK_COUNT_OF(routes); i++) {
        assert_int_equal(oak_http_server_add(w->server, &routes[i]), 0);
    }
    assert_int_equal(
        w->port->net.listen(w->port->net.user, "127.0.0.1:0", accepted, w, &w->listener, NULL), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oak_http_server_free(w->server);
    oak_os_loop_free(w->loop);
    oak_buf_fini(&w->got);
    free(w);
    return 0;
}

static void run(struct world *w, const char *request, size_t repeats)
{
    struct watcher watcher = {.after.run = watch, .world = w};
    w->port->after_add(w->port->user, &watcher.after);
    w->request = request;
    w->request_repeats = repeats;
    const char *address = w->port->net.listener_name(w->port->net.user, w->listener);
    assert_int_equal(w->port->net.connect(w->port->net.user, address, UINT64_MAX, connected, w), 0);
    oak_os_loop_run(w->loop);
    w->port->after_remove(w->port->user, &watcher.after);
}

#define ECHO "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nacor"
#define ECHOED \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\nacor"

static void thousands_of_requests_in_one_go_are_answered(void **state)
{
    struct world *w = *state;
    w->want = 5000 * strlen(ECHOED);
    run(w, ECHO, 5000);
    assert_int_equal(w->got.size, w->want);
    for (size_t i = 0; i < 5000; i++) {
        assert_memory_equal(w->got.data + i * strlen(ECHOED), ECHOED, strlen(ECHOED));
    }
}

static void large_answers_come_whole_one_after_the_other(void **state)
{
    struct world *w = *state;
    const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Content-Length: 4194304\r\n\r\n";
    w->want = 5 * (strlen(head) + 4 * OAK_MIB);
    run(w, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", 5);
    assert_int_equal(w->got.size, w->want);
    for (size_t i = 0; i < 5; i++) {
        const uint8_t *at = w->got.data + i * (strlen(head) + 4 * OAK_MIB);
        assert_memory_equal(at, head, strlen(head));
    }
}

static void a_refusal_arrives_though_the_body_was_not_read(void **state)
{
    struct world *w = *state;
    char *request = malloc(9 * OAK_MIB);
    memset(request, 'x', 9 * OAK_MIB);
    const char *head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n";
    memcpy(request, head, strlen(head));
    request[9 * OAK_MIB - 1] = '\0';
    run(w, request, 1);
    free(request);
    assert_true(w->got.size > 13);
    assert_memory_equal(w->got.data, "HTTP/1.1 413 ", 13);
}

static void a_peer_that_hangs_up_is_noticed_while_its_handler_works(void **state)
{
    struct world *w = *state;
    run(w, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    assert_non_null(w->held);
    assert_true(oak_http_gone(w->held));
    const struct oak_http_answer answer = {.status = 200};
    oak_http_reply(w->held, &answer);
    assert_int_equal(w->got.size, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(thousands_of_requests_in_one_go_are_answered),
        T(large_answers_come_whole_one_after_the_other),
        T(a_refusal_arrives_though_the_body_was_not_read),
        T(a_peer_that_hangs_up_is_noticed_while_its_handler_works),
    };
    return cmocka_run_group_tests_name("http/socket", tests, NULL, NULL);
}
