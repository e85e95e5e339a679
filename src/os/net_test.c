/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of streams over real sockets of this machine: two ends on one loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "os/os.h"

#define SECOND ((uint64_t)1000000000)

struct world;

struct end {
    struct world *world;
    struct oak_stream *stream;
    struct oak_buf got;
    int opened;
    int closed;
    int error;
    int drained;
    bool calling; /* inside a call of ours: no callback may come */
};

struct world {
    struct oak_os_loop *loop;
    const struct oak_loop *port;
    struct oak_listener *listener;
    struct end client;
    struct end server;
    void (*on_server_data)(struct world *w, struct oak_bytes bytes);
    void (*on_client_data)(struct world *w, struct oak_bytes bytes);
    void (*on_client_open)(struct world *w);
    void (*on_closed)(struct world *w); /* NULL: stop when both ends are closed */
    bool no_handler;                    /* `accepted` installs none */
    struct oak_task task;
    char dir[64];
};

static void end_data(struct end *e, struct oak_bytes bytes)
{
    assert_false(e->calling);
    assert_int_equal(e->closed, 0);
    assert_int_equal(oak_buf_append(&e->got, bytes.data, bytes.size), 0);
}

static void server_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    end_data(&w->server, bytes);
    if (w->on_server_data != NULL) {
        w->on_server_data(w, bytes);
    }
}

static void client_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    end_data(&w->client, bytes);
    if (w->on_client_data != NULL) {
        w->on_client_data(w, bytes);
    }
}

static void server_drained(void *user)
{
    struct world *w = user;
    assert_false(w->server.calling);
    w->server.drained++;
}

static void client_drained(void *user)
{
    struct world *w = user;
    assert_false(w->client.calling);
    w->client.drained++;
}

static void end_closed(struct end *e, int error)
{
    struct world *w = e->world;
    assert_false(e->calling);
    e->closed++;
    e->error = error;
    e->stream = NULL;
    if (w->on_closed != NULL) {
        w->on_closed(w);
    } else if (w->client.closed == w->client.opened && w->server.closed == w->server.opened) {
        oak_os_loop_stop(w->loop);
    }
}

static void server_closed(void *user, int error)
{
    end_closed(&((struct world *)user)->server, error);
}

static void client_closed(void *user, int error)
{
    end_closed(&((struct world *)user)->client, error);
}

static const struct oak_stream_handler *server_handler(struct world *w)
{
    static struct oak_stream_handler handler;
    handler = (struct oak_stream_handler){
        .data = server_data, .drained = server_drained, .closed = server_closed, .user = w};
    return &handler;
}

static void accepted(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_true(strlen(s->ops->peer_name(s)) > 0);
    w->server.stream = s;
    w->server.opened++;
    if (!w->no_handler) {
        s->ops->handle(s, server_handler(w));
    }
}

static void connected(void *arg, int error, struct oak_stream *s)
{
    struct world *w = arg;
    assert_false(w->client.calling);
    assert_int_equal(error, 0);
    w->client.stream = s;
    w->client.opened++;
    struct oak_stream_handler handler = {
        .data = client_data, .drained = client_drained, .closed = client_closed, .user = w};
    s->ops->handle(s, &handler);
    if (w->on_client_open != NULL) {
        w->on_client_open(w);
    }
}

static void listen_on(struct world *w, const char *address)
{
    struct oak_errbuf e = {0};
    int error = w->port->net.listen(w->port->net.user, address, accepted, w, &w->listener, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(error, 0);
}

static const char *listener_name(struct world *w)
{
    return w->port->net.listener_name(w->port->net.user, w->listener);
}

static void connect_to(struct world *w, const char *address)
{
    w->client.calling = true;
    assert_int_equal(w->port->net.connect(w->port->net.user, address, 10 * SECOND, connected, w),
                     0);
    w->client.calling = false;
}

static int write_text(struct end *e, const char *text)
{
    e->calling = true;
    int error = e->stream->ops->write(e->stream, oak_bytes_str(text));
    e->calling = false;
    return error;
}

static void close_end(struct end *e, bool now)
{
    e->calling = true;
    e->stream->ops->close(e->stream, now);
    e->calling = false;
}

static void assert_got(const struct end *e, const char *text)
{
    assert_int_equal(e->got.size, strlen(text));
    assert_memory_equal(e->got.data, text, strlen(text));
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(oak_os_loop_new(&w->loop), 0);
    w->port = oak_os_loop_port(w->loop);
    w->client.world = w;
    w->server.world = w;
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-os-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oak_os_loop_free(w->loop);
    assert_int_equal(w->server.closed, w->no_handler ? w->server.closed : w->server.opened);
    assert_int_equal(w->client.closed, w->client.opened);
    oak_buf_fini(&w->client.got);
    oak_buf_fini(&w->server.got);
    char path[128];
    snprintf(path, sizeof(path), "%s/socket", w->dir);
    unlink(path);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* -- a conversation ---------------------------------------------------------------------------- */

static void say_ping(struct world *w)
{
    assert_int_equal(write_text(&w->client, "ping"), 0);
    assert_int_equal(w->client.stream->ops->queued(w->client.stream), 0);
}

static void answer_pong(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    if (w->server.got.size == 4) {
        assert_int_equal(write_text(&w->server, "pong"), 0);
    }
}

static void hang_up(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    if (w->client.got.size == 4) {
        close_end(&w->client, true);
        close_end(&w->client, true);
        assert_int_equal(write_text(&w->client, "more"), OAK_ECLOSED);
    }
}

static void converse(struct world *w, const char *address)
{
    w->on_client_open = say_ping;
    w->on_server_data = answer_pong;
    w->on_client_data = hang_up;
    connect_to(w, address);
    oak_os_loop_run(w->loop);
    assert_got(&w->server, "ping");
    assert_got(&w->client, "pong");
    assert_int_equal(w->client.closed, 1);
    assert_int_equal(w->server.closed, 1);
    assert_int_equal(w->client.error, 0);
    assert_int_equal(w->server.error, 0);
    assert_int_equal(oak_os_loop_accepted(w->loop), 0);
}

static void two_ends_talk_and_close_once_each(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    assert_null(strstr(listener_name(w), ":0"));
    converse(w, listener_name(w));
}

static void names_and_v6_are_understood(void **state)
{
    struct world *w = *state;
    listen_on(w, "localhost:0");
    char address[64];
    snprintf(address, sizeof(address), "localhost%s", strrchr(listener_name(w), ':'));
    converse(w, address);
}

static void no_host_is_every_address(void **state)
{
    struct world *w = *state;
    listen_on(w, ":0");
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1%s", strrchr(listener_name(w), ':'));
    converse(w, address);
}

static void unix_sockets_serve_and_leave_no_file(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:%s/socket", w->dir);
    listen_on(w, address);
    assert_string_equal(listener_name(w), address);
    struct oak_listener *second = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(w->port->net.listen(w->port->net.user, address, accepted, w, &second, &e),
                     OAK_EINUSE);
    assert_non_null(strstr(e.text, address));
    converse(w, address);
    w->port->net.listener_close(w->port->net.user, w->listener);
    assert_int_equal(access(address + 5, F_OK), -1);
}

static void the_socket_file_of_a_dead_process_is_taken_over(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:%s/socket", w->dir);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", w->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    close(fd);
    listen_on(w, address);
    converse(w, address);
}

/* -- what can't be listened on or reached ------------------------------------------------------ */

static void addresses_that_make_no_sense_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {
        "",           "localhost",      "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:x",
        "::1:80",     "[1.2.3.4]:80",   "[::1:80",  "unix:",         "unix:@name",
        "1.2.3.4:-1", "1.2.3.4:000080", "host:80 ", "[localhost]:80"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct oak_errbuf e = {0};
        assert_int_equal(
            w->port->net.listen(w->port->net.user, bad[i], accepted, w, &w->listener, &e),
            OAK_EINVAL);
        assert_non_null(strstr(e.text, bad[i]));
        assert_int_equal(w->port->net.connect(w->port->net.user, bad[i], SECOND, connected, w),
                         OAK_EINVAL);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + 390, ":1", 3);
    assert_int_equal(
        w->port->net.listen(w->port->net.user, longest, accepted, w, &w->listener, NULL),
        OAK_EINVAL);
    memcpy(longest, "unix:", 5);
    assert_int_equal(
        w->port->net.listen(w->port->net.user, longest, accepted, w, &w->listener, NULL),
        OAK_EINVAL);
    assert_int_equal(w->port->net.connect(w->port->net.user, ":80", SECOND, connected, w),
                     OAK_EINVAL);
    /* TEST-NET-1: no machine has it. */
    assert_int_equal(
        w->port->net.listen(w->port->net.user, "192.0.2.1:0", accepted, w, &w->listener, NULL),
        OAK_EINVAL);
}

static void an_address_in_use_is_named(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    struct oak_listener *second = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(
        w->port->net.listen(w->port->net.user, listener_name(w), accepted, w, &second, &e),
        OAK_EINUSE);
    assert_null(second);
    assert_non_null(strstr(e.text, listener_name(w)));
}

struct failure {
    struct world *world;
    int error;
    int count;
    bool calling;
};

static void failed(void *arg, int error, struct oak_stream *s)
{
    struct failure *f = arg;
    assert_false(f->calling);
    assert_null(s);
    f->error = error;
    f->count++;
    oak_os_loop_stop(f->world->loop);
}

static int connect_error(struct world *w, const char *address, uint64_t timeout_ns)
{
    struct failure f = {.world = w, .calling = true};
    assert_int_equal(w->port->net.connect(w->port->net.user, address, timeout_ns, failed, &f), 0);
    f.calling = false;
    oak_os_loop_run(w->loop);
    assert_int_equal(f.count, 1);
    return f.error;
}

/* A TCP port of this machine that nobody listens on: bound, so that nobody else takes it. */
static int bound_socket(char *address, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(ip);
    assert_int_equal(bind(fd, (struct sockaddr *)&ip, sizeof(ip)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ip, &length), 0);
    snprintf(address, size, "127.0.0.1:%u", ntohs(ip.sin_port));
    return fd;
}

static int raw_connect(const char *address, int flags)
{
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ip.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int rc = connect(fd, (struct sockaddr *)&ip, sizeof(ip));
    assert_true(rc == 0 || errno == EINPROGRESS);
    return fd;
}

static void a_port_without_listener_refuses(void **state)
{
    struct world *w = *state;
    char address[64];
    int fd = bound_socket(address, sizeof(address));
    assert_int_equal(connect_error(w, address, 10 * SECOND), OAK_EREFUSED);
    char name[64];
    snprintf(name, sizeof(name), "localhost%s", strchr(address, ':'));
    assert_int_equal(connect_error(w, name, 10 * SECOND), OAK_EREFUSED);
    close(fd);
    char missing[128];
    snprintf(missing, sizeof(missing), "unix:%s/none", w->dir);
    assert_int_equal(connect_error(w, missing, 10 * SECOND), OAK_ENOENT);
}

static void a_host_that_does_not_answer_is_given_up_in_time(void **state)
{
    struct world *w = *state;
    char address[64];
    int fd = bound_socket(address, sizeof(address));
    assert_int_equal(listen(fd, 0), 0);
    int fillers[4]; /* a full queue: the kernel drops what comes after */
    for (size_t i = 0; i < OAK_COUNT_OF(fillers); i++) {
        fillers[i] = raw_connect(address, SOCK_NONBLOCK);
    }
    assert_int_equal(connect_error(w, address, SECOND / 100), OAK_EDEADLINE);
    for (size_t i = 0; i < OAK_COUNT_OF(fillers); i++) {
        close(fillers[i]);
    }
    close(fd);
}

static void a_name_that_nobody_has_is_unresolved(void **state)
{
    struct world *w = *state;
    int error = connect_error(w, "no-such-host.invalid:1", 30 * SECOND);
    assert_int_equal(error, OAK_EUNRESOLVED);
    struct oak_errbuf e = {0};
    assert_int_equal(w->port->net.listen(w->port->net.user, "no-such-host.invalid:1", accepted, w,
                                         &w->listener, &e),
                     OAK_EUNRESOLVED);
    assert_non_null(strstr(e.text, "no-such-host.invalid:1"));
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
        assert_int_equal(s->ops->write(s, oak_bytes(chunk, 65536)), 0);
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
        T(names_and_v6_are_understood),
        T(no_host_is_every_address),
        T(unix_sockets_serve_and_leave_no_file),
        T(the_socket_file_of_a_dead_process_is_taken_over),
        T(addresses_that_make_no_sense_are_refused),
        T(an_address_in_use_is_named),
        T(a_port_without_listener_refuses),
        T(a_host_that_does_not_answer_is_given_up_in_time),
        T(a_name_that_nobody_has_is_unresolved),
        T(a_slow_reader_makes_the_writer_queue_and_then_drain),
        T(a_close_in_order_delivers_all_that_was_queued),
        T(an_answer_arrives_though_the_request_was_not_read),
        T(after_close_now_no_more_data_comes),
        T(a_reset_by_the_peer_is_told_and_kills_nobody),
        T(a_peer_that_ends_its_side_still_gets_what_was_queued),
        T(a_freed_loop_closes_its_streams_once),
        T(no_data_comes_before_a_handler_is_there),
        T(a_handler_may_hand_the_stream_to_another),
    };
    return cmocka_run_group_tests_name("os/net", tests, NULL, NULL);
}
