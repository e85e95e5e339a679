/* SPDX-License-Identifier: Apache-2.0 */
/* ends_fixture.h: two ends of a connection on one loop, and what happened to them. */
#ifndef OAK_OS_ENDS_FIXTURE_H
#define OAK_OS_ENDS_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
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
    int visitor; /* process at the other end of a unix socket; 0: unknown */
    char dir[64];
};

static inline void end_data(struct end *e, struct oak_bytes bytes)
{
    assert_false(e->calling);
    assert_int_equal(e->closed, 0);
    assert_int_equal(oak_buf_append(&e->got, bytes.data, bytes.size), 0);
}

static inline void server_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    end_data(&w->server, bytes);
    if (w->on_server_data != NULL) {
        w->on_server_data(w, bytes);
    }
}

static inline void client_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    end_data(&w->client, bytes);
    if (w->on_client_data != NULL) {
        w->on_client_data(w, bytes);
    }
}

static inline void server_drained(void *user)
{
    struct world *w = user;
    assert_false(w->server.calling);
    w->server.drained++;
}

static inline void client_drained(void *user)
{
    struct world *w = user;
    assert_false(w->client.calling);
    w->client.drained++;
}

static inline void end_closed(struct end *e, int error)
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

static inline void server_closed(void *user, int error)
{
    end_closed(&((struct world *)user)->server, error);
}

static inline void client_closed(void *user, int error)
{
    end_closed(&((struct world *)user)->client, error);
}

static inline const struct oak_stream_handler *server_handler(struct world *w)
{
    static struct oak_stream_handler handler;
    handler = (struct oak_stream_handler){
        .data = server_data, .drained = server_drained, .closed = server_closed, .user = w};
    return &handler;
}

static inline void accepted(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_true(strlen(s->ops->peer_name(s)) > 0);
    w->server.stream = s;
    w->server.opened++;
    if (!w->no_handler) {
        s->ops->handle(s, server_handler(w));
    }
}

static inline void connected(void *arg, int error, struct oak_stream *s)
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

static inline void listen_on(struct world *w, const char *address)
{
    struct oak_errbuf e = {0};
    int error = w->port->net.listen(w->port->net.user, address, accepted, w, &w->listener, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(error, 0);
}

static inline const char *listener_name(struct world *w)
{
    return w->port->net.listener_name(w->port->net.user, w->listener);
}

static inline void connect_to(struct world *w, const char *address)
{
    w->client.calling = true;
    assert_int_equal(w->port->net.connect(w->port->net.user, address, 10 * SECOND, connected, w),
                     0);
    w->client.calling = false;
}

static inline int write_text(struct end *e, const char *text)
{
    e->calling = true;
    int error = e->stream->ops->write(e->stream, oak_bytes_str(text));
    e->calling = false;
    return error;
}

static inline void close_end(struct end *e, bool now)
{
    e->calling = true;
    e->stream->ops->close(e->stream, now);
    e->calling = false;
}

static inline void assert_got(const struct end *e, const char *text)
{
    assert_int_equal(e->got.size, strlen(text));
    assert_memory_equal(e->got.data, text, strlen(text));
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void say_ping(struct world *w)
{
    assert_int_equal(write_text(&w->client, "ping"), 0);
    assert_int_equal(w->client.stream->ops->queued(w->client.stream), 0);
}

static inline void answer_pong(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    if (w->server.got.size == 4) {
        assert_int_equal(write_text(&w->server, "pong"), 0);
    }
}

static inline void hang_up(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    if (w->client.got.size == 4) {
        close_end(&w->client, true);
        close_end(&w->client, true);
        assert_int_equal(write_text(&w->client, "more"), OAK_ECLOSED);
    }
}

static inline void converse(struct world *w, const char *address)
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

struct failure {
    struct world *world;
    int error;
    int count;
    bool calling;
};

static inline void failed(void *arg, int error, struct oak_stream *s)
{
    struct failure *f = arg;
    assert_false(f->calling);
    assert_null(s);
    f->error = error;
    f->count++;
    oak_os_loop_stop(f->world->loop);
}

static inline int raw_connect(const char *address, int flags)
{
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ip.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int rc = connect(fd, (struct sockaddr *)&ip, sizeof(ip));
    assert_true(rc == 0 || errno == EINPROGRESS);
    return fd;
}

#endif
