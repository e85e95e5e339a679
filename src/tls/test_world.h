/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.h: a server and a client with certificates of one CA, on a fake loop. A test changes
 * `server_options` and `client_options` between world_init and world_open. */
#ifndef OAK_TLS_TEST_WORLD_H
#define OAK_TLS_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "oakum/tls.h"
#include "tls/test_certs.h"
#include "tls/test_loop.h"

struct end {
    struct oak_stream *stream;
    struct oak_buf got;
    int opened;
    int closed;
    int drained;
    int error;         /* of `closed`, or of connect */
    bool no_handler;   /* the owner takes its time */
    bool pause_itself; /* after each delivery */
    bool calling;      /* inside a call of ours: no callback may come */
    int reports;
    int report_error;
    char report[256];
    void (*on_data)(struct end *e, struct oak_bytes bytes);
    void (*on_open)(struct end *e);
};

struct world {
    struct fake_loop loop;
    struct cert_pair ca;
    struct cert_pair server;
    struct cert_pair client;
    struct oak_buf pem[8];
    size_t pem_count;
    struct oak_tls_options server_options;
    struct oak_tls_options client_options;
    struct oak_tls *server_tls;
    struct oak_tls *client_tls;
    struct oak_tls_net *server_net;
    struct oak_tls_net *client_net;
    struct oak_listener *listener;
    struct end s;
    struct end c;
};

/* -- ends -------------------------------------------------------------------------------------- */

static inline void end_data(void *user, struct oak_bytes bytes)
{
    struct end *e = user;
    assert_false(e->calling);
    assert_int_equal(e->closed, 0);
    assert_true(bytes.size > 0);
    assert_int_equal(oak_buf_append(&e->got, bytes.data, bytes.size), 0);
    if (e->on_data != NULL) {
        e->on_data(e, bytes);
    }
    if (e->pause_itself && e->stream != NULL) {
        e->stream->ops->pause(e->stream, true);
    }
}

static inline void end_drained(void *user)
{
    ((struct end *)user)->drained++;
}

static inline void end_closed(void *user, int error)
{
    struct end *e = user;
    assert_false(e->calling);
    e->closed++;
    e->error = error;
    e->stream = NULL;
}

static inline void end_handle(struct end *e)
{
    const struct oak_stream_handler handler = {
        .data = end_data, .drained = end_drained, .closed = end_closed, .user = e};
    e->stream->ops->handle(e->stream, &handler);
}

static inline void end_open(struct end *e, struct oak_stream *s)
{
    assert_string_equal(s->ops->peer_name(s), "fake:1");
    e->stream = s;
    e->opened++;
    if (!e->no_handler) {
        end_handle(e);
    }
    if (e->on_open != NULL) {
        e->on_open(e);
    }
}

static inline void end_accepted(void *arg, struct oak_stream *s)
{
    end_open(arg, s);
}

static inline void end_connected(void *arg, int error, struct oak_stream *s)
{
    struct end *e = arg;
    assert_false(e->calling);
    assert_int_equal(error != 0, s == NULL);
    if (error != 0) {
        e->error = error;
    } else {
        end_open(e, s);
    }
}

static inline void end_reported(void *user, const char *peer, int error, const char *text)
{
    struct end *e = user;
    assert_string_equal(peer, "fake:1");
    e->reports++;
    e->report_error = error;
    snprintf(e->report, sizeof(e->report), "%s", text);
}

static inline int end_write(struct end *e, struct oak_bytes bytes)
{
    e->calling = true;
    int error = e->stream->ops->write(e->stream, bytes);
    e->calling = false;
    return error;
}

static inline int end_say(struct end *e, const char *text)
{
    return end_write(e, oak_bytes_str(text));
}

static inline void end_close(struct end *e, bool now)
{
    if (e->stream != NULL) {
        e->calling = true;
        e->stream->ops->close(e->stream, now);
        e->calling = false;
    }
}

static inline void assert_got(const struct end *e, const char *text)
{
    assert_int_equal(e->got.size, strlen(text));
    assert_memory_equal(e->got.data, text, strlen(text));
}

/* -- the world --------------------------------------------------------------------------------- */

static inline struct oak_bytes world_cert(struct world *w, const struct cert_pair *p)
{
    struct oak_buf *b = &w->pem[w->pem_count++];
    pem_cert(b, p);
    return oak_buf_bytes(b);
}

static inline struct oak_bytes world_key(struct world *w, const struct cert_pair *p)
{
    struct oak_buf *b = &w->pem[w->pem_count++];
    pem_key(b, p);
    return oak_buf_bytes(b);
}

static inline void world_init(struct world *w)
{
    *w = (struct world){0};
    fake_loop_init(&w->loop);
    w->ca = cert_pair_new(&(struct cert_wanted){.common_name = "ca", .ca = true});
    w->server = cert_pair_new(&(struct cert_wanted){.common_name = "server",
                                                    .names = "DNS:localhost,DNS:*.example.test,"
                                                             "IP:127.0.0.1,IP:::1",
                                                    .usage = "serverAuth",
                                                    .issuer = &w->ca});
    w->client = cert_pair_new(&(struct cert_wanted){.common_name = "client",
                                                    .names = "DNS:client.example.test,"
                                                             "URI:spiffe://example.test/client,"
                                                             "DNS:second.example.test",
                                                    .usage = "clientAuth",
                                                    .serial = 77,
                                                    .issuer = &w->ca});
    struct oak_bytes ca = world_cert(w, &w->ca);
    w->server_options = (struct oak_tls_options){
        .role = OAK_TLS_SERVER,
        .material = {.certificate.bytes = world_cert(w, &w->server),
                     .key.bytes = world_key(w, &w->server),
                     .ca.bytes = ca},
        .report = end_reported,
        .user = &w->s,
    };
    w->client_options = (struct oak_tls_options){
        .role = OAK_TLS_CLIENT,
        .material = {.certificate.bytes = world_cert(w, &w->client),
                     .key.bytes = world_key(w, &w->client),
                     .ca.bytes = ca},
        .report = end_reported,
        .user = &w->c,
    };
}

static inline void world_open(struct world *w)
{
    struct oak_errbuf e = {0};
    int error = oak_tls_new(&w->server_options, &w->server_tls, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(error, 0);
    error = oak_tls_new(&w->client_options, &w->client_tls, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(error, 0);
    assert_int_equal(oak_tls_net_new(w->server_tls, &w->loop.port, NULL, NULL, &w->server_net), 0);
    assert_int_equal(oak_tls_net_new(w->client_tls, &w->loop.port, NULL, NULL, &w->client_net), 0);
    const struct oak_net *net = oak_tls_net_port(w->server_net);
    error = net->listen(net->user, "fake:443", end_accepted, &w->s, &w->listener, &e);
    assert_int_equal(error, 0);
    assert_string_equal(net->listener_name(net->user, w->listener), "fake:443");
}

static inline void world_connect_start(struct world *w, const char *address)
{
    const struct oak_net *net = oak_tls_net_port(w->client_net);
    w->c.calling = true;
    assert_int_equal(net->connect(net->user, address, 20 * SECOND, end_connected, &w->c), 0);
    w->c.calling = false;
}

static inline void world_connect(struct world *w, const char *address)
{
    world_connect_start(w, address);
    fake_run(&w->loop);
}

static inline void world_close(struct world *w)
{
    end_close(&w->c, true);
    end_close(&w->s, true);
    oak_tls_net_free(w->server_net);
    oak_tls_net_free(w->client_net);
    oak_tls_free(w->server_tls);
    oak_tls_free(w->client_tls);
    fake_loop_fini(&w->loop);
    assert_int_equal(w->s.closed, w->s.opened);
    assert_int_equal(w->c.closed, w->c.opened);
    for (size_t i = 0; i < w->pem_count; i++) {
        oak_buf_fini(&w->pem[i]);
    }
    oak_buf_fini(&w->s.got);
    oak_buf_fini(&w->c.got);
    cert_pair_free(&w->ca);
    cert_pair_free(&w->server);
    cert_pair_free(&w->client);
}

/* Both ends have the stream, and it carries bytes both ways. */
static inline void world_converse(struct world *w)
{
    assert_string_equal(w->c.report_error == 0 ? "" : w->c.report, "");
    assert_string_equal(w->s.report_error == 0 ? "" : w->s.report, "");
    assert_int_equal(w->c.opened, 1);
    assert_int_equal(w->s.opened, 1);
    assert_int_equal(end_say(&w->c, "ping"), 0);
    fake_run(&w->loop);
    assert_got(&w->s, "ping");
    assert_int_equal(end_say(&w->s, "pong"), 0);
    fake_run(&w->loop);
    assert_got(&w->c, "pong");
}

#endif
