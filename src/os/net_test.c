/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of streams over real sockets of this machine. */
#include "os/ends_fixture.h"

static void two_ends_talk_and_close_once_each(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    assert_null(strstr(listener_name(w), ":0"));
    converse(w, listener_name(w));
}

/* -- back-pressure ----------------------------------------------------------------------------- */

#define FLOOD_BYTES ((size_t)16 * 1024 * 1024)

static void flood(struct world *w)
{
    struct oak_stream *s = w->client.stream;
    uint8_t *chunk = malloc(65536);
    for (size_t at = 0; at < FLOOD_BYTES; at += 65536) {
        for (size_t i = 0; i < 65536; i++) {
            chunk[i] = (uint8_t)((at + i) * 31 >> 3);
        }
        size_t before = s->ops->queued(s);
        w->client.calling = true;
        if (at % 131072 == 0) {
            assert_int_equal(s->ops->write(s, oak_bytes(chunk, 65536)), 0);
        } else { /* where the socket's room ends is anywhere in them */
            const struct oak_bytes pieces[] = {
                oak_bytes(chunk, 1),
                oak_bytes(chunk + 1, 0),
                oak_bytes(chunk + 1, 30000),
                oak_bytes(chunk + 30001, 35535),
            };
            assert_int_equal(s->ops->write_pieces(s, pieces, OAK_COUNT_OF(pieces)), 0);
        }
        w->client.calling = false;
        assert_true(s->ops->queued(s) <= before + 65536);
    }
    free(chunk);
    /* More than any socket holds: the rest waits with us. */
    assert_true(s->ops->queued(s) > 0);
}

static void unpause_server(struct oak_task *task)
{
    struct world *w = OAK_CONTAINER_OF(task, struct world, task);
    assert_int_equal(w->server.got.size, 1);
    assert_int_equal(w->client.drained, 0);
    assert_true(w->client.stream->ops->queued(w->client.stream) > 0);
    w->server.stream->ops->pause(w->server.stream, false);
}

static void slow_server(struct world *w, struct oak_bytes bytes)
{
    if (w->server.got.size == 1 && bytes.size == 1) {
        w->server.stream->ops->pause(w->server.stream, true);
        flood(w);
        w->task.run = unpause_server;
        w->port->exec.post(w->port->exec.user, &w->task);
    } else if (w->server.got.size == 1 + FLOOD_BYTES) {
        close_end(&w->server, false);
    }
}

static void say_one_byte(struct world *w)
{
    assert_int_equal(write_text(&w->client, "x"), 0);
}

static void a_slow_reader_makes_the_writer_queue_and_then_drain(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_client_open = say_one_byte;
    w->on_server_data = slow_server;
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_int_equal(w->client.drained, 1);
    assert_int_equal(w->server.drained, 0);
    assert_int_equal(w->server.got.size, 1 + FLOOD_BYTES);
    for (size_t i = 0; i < FLOOD_BYTES; i++) {
        if (w->server.got.data[1 + i] != (uint8_t)(i * 31 >> 3)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
    assert_int_equal(w->client.error, 0);
    assert_int_equal(w->server.error, 0);
}

/* -- closing ----------------------------------------------------------------------------------- */

static void flood_and_close(struct world *w)
{
    flood(w);
    close_end(&w->client, false);
    close_end(&w->client, false);
    assert_int_equal(write_text(&w->client, "late"), OAK_ECLOSED);
}

static void a_close_in_order_delivers_all_that_was_queued(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_client_open = flood_and_close;
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_int_equal(w->server.got.size, FLOOD_BYTES);
    assert_int_equal(w->client.error, 0);
    assert_int_equal(w->server.error, 0);
    assert_int_equal(w->client.drained, 0);
}

static void refuse(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    assert_int_equal(write_text(&w->server, "no"), 0);
    close_end(&w->server, false);
}

static void an_answer_arrives_though_the_request_was_not_read(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_client_open = flood;
    w->on_server_data = refuse;
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_got(&w->client, "no");
    assert_int_equal(w->server.error, 0);
    /* No reset: what was sent too much was taken, and dropped. */
    assert_int_equal(w->client.error, 0);
}

static void close_in_data(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    close_end(&w->server, true);
}

static void after_close_now_no_more_data_comes(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_client_open = flood;
    w->on_server_data = close_in_data;
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_true(w->server.got.size < FLOOD_BYTES);
    assert_int_equal(w->server.error, 0);
    assert_int_equal(w->server.closed, 1);
    assert_int_equal(w->client.closed, 1);
}

static void stop_when_server_closed(struct world *w)
{
    if (w->server.closed > 0) {
        oak_os_loop_stop(w->loop);
    }
}

static void write_until_refused(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    for (int i = 0; i < 1000; i++) {
        if (write_text(&w->server, "are you there") != 0) {
            return;
        }
    }
}

static void a_reset_by_the_peer_is_told_and_kills_nobody(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_closed = stop_when_server_closed;
    w->on_server_data = write_until_refused;
    int fd = raw_connect(listener_name(w), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->server.closed, 1);
    assert_int_equal(w->server.error, OAK_ECLOSED);
}

static void write_though_paused(struct world *w, struct oak_bytes bytes)
{
    w->server.stream->ops->pause(w->server.stream, true); /* its end is not seen by reading */
    write_until_refused(w, bytes);
}

static void a_write_to_a_peer_that_has_left_raises_no_signal(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_closed = stop_when_server_closed;
    w->on_server_data = write_though_paused;
    int fd = raw_connect(listener_name(w), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->server.closed, 1);
    assert_int_equal(w->server.error, OAK_ECLOSED);
}

static void answer_big(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    struct oak_stream *s = w->server.stream;
    uint8_t *big = calloc(1, FLOOD_BYTES);
    assert_int_equal(s->ops->write(s, oak_bytes(big, FLOOD_BYTES)), 0);
    free(big);
}

static void *read_all(void *arg)
{
    int fd = *(int *)arg;
    char *chunk = malloc(65536);
    size_t total = 0;
    ssize_t got;
    while ((got = read(fd, chunk, 65536)) > 0) {
        total += (size_t)got;
    }
    free(chunk);
    return (void *)total;
}

static void a_peer_that_ends_its_side_still_gets_what_was_queued(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_closed = stop_when_server_closed;
    w->on_server_data = answer_big;
    int fd = raw_connect(listener_name(w), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &fd), 0);
    oak_os_loop_run(w->loop);
    void *total = NULL;
    pthread_join(reader, &total);
    assert_int_equal((size_t)total, FLOOD_BYTES);
    assert_int_equal(w->server.error, 0);
    close(fd);
}

static void stop_now(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    oak_os_loop_stop(w->loop);
}

static void a_freed_loop_closes_its_streams_once(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->on_client_open = say_ping;
    w->on_server_data = stop_now;
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_int_equal(oak_os_loop_accepted(w->loop), 1);
    struct failure f = {.world = w};
    assert_int_equal(w->port->net.connect(w->port->net.user, "localhost:1", SECOND, failed, &f), 0);
    oak_os_loop_free(w->loop);
    assert_int_equal(w->server.closed, 1);
    assert_int_equal(w->client.closed, 1);
    assert_int_equal(w->server.error, OAK_ECLOSED);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.error, OAK_ECLOSED);
    w->loop = NULL;
}

/* -- handlers ---------------------------------------------------------------------------------- */

static void install_late(struct oak_task *task)
{
    struct world *w = OAK_CONTAINER_OF(task, struct world, task);
    if (w->server.stream == NULL || w->client.stream == NULL) {
        w->port->exec.post(w->port->exec.user, task);
        return;
    }
    assert_int_equal(w->server.got.size, 0);
    w->server.stream->ops->handle(w->server.stream, server_handler(w));
}

static void no_data_comes_before_a_handler_is_there(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->no_handler = true;
    w->on_client_open = say_ping;
    w->on_server_data = answer_pong;
    w->on_client_data = hang_up;
    w->task.run = install_late;
    w->port->exec.post(w->port->exec.user, &w->task);
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_got(&w->server, "ping");
    assert_got(&w->client, "pong");
}

static void sniff_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    struct oak_stream *s = w->server.stream;
    s->ops->handle(s, server_handler(w)); /* the next bytes go there; these are handed over */
    server_data(w, bytes);
}

static void sniff_closed(void *user, int error)
{
    (void)user;
    (void)error;
    fail();
}

static void accepted_sniffing(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    w->server.stream = s;
    w->server.opened++;
    struct oak_stream_handler sniffer = {.data = sniff_data, .closed = sniff_closed, .user = w};
    s->ops->handle(s, &sniffer);
}

static void a_handler_may_hand_the_stream_to_another(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->port->net.listen(w->port->net.user, "127.0.0.1:0", accepted_sniffing, w,
                                         &w->listener, NULL),
                     0);
    converse(w, listener_name(w));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(two_ends_talk_and_close_once_each),
        T(a_slow_reader_makes_the_writer_queue_and_then_drain),
        T(a_close_in_order_delivers_all_that_was_queued),
        T(an_answer_arrives_though_the_request_was_not_read),
        T(after_close_now_no_more_data_comes),
        T(a_reset_by_the_peer_is_told_and_kills_nobody),
        T(a_write_to_a_peer_that_has_left_raises_no_signal),
        T(a_peer_that_ends_its_side_still_gets_what_was_queued),
        T(a_freed_loop_closes_its_streams_once),
        T(no_data_comes_before_a_handler_is_there),
        T(a_handler_may_hand_the_stream_to_another),
    };
    return cmocka_run_group_tests_name("os/net", tests, NULL, NULL);
}
