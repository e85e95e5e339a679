/* SPDX-License-Identifier: Apache-2.0 */
/* handshake_fuzz.c: any bytes to a server in its handshake, cut anywhere; and to a client and to an
 * open connection, in the place of the peer's next bytes. The first byte chooses which, and the
 * cut. */
#include "oakum/tls.h"
#include "tls/test_certs.h"
#include "tls/test_loop.h"

struct fuzz {
    struct oak_tls *server;
    struct oak_tls *client;
};

struct one {
    struct oak_stream *stream;
    uint8_t sum;
};

static void one_data(void *user, struct oak_bytes bytes)
{
    struct one *o = user;
    for (size_t i = 0; i < bytes.size; i++) {
        o->sum ^= bytes.data[i];
    }
}

static void one_closed(void *user, int error)
{
    (void)error;
    struct one *o = user;
    o->stream = NULL;
}

static void one_open(struct one *o, struct oak_stream *s)
{
    const struct oak_stream_handler handler = {.data = one_data, .closed = one_closed, .user = o};
    o->stream = s;
    s->ops->handle(s, &handler);
}

static void one_accepted(void *arg, struct oak_stream *s)
{
    one_open(arg, s);
}

static void one_connected(void *arg, int error, struct oak_stream *s)
{
    if (error == 0) {
        one_open(arg, s);
    }
}

static void one_close(struct one *o)
{
    if (o->stream != NULL) {
        o->stream->ops->close(o->stream, true);
    }
}

/* Made once: keys are slow to make. */
static struct fuzz *fuzz_new(void)
{
    struct fuzz *f = calloc(1, sizeof(*f));
    struct cert_pair ca = cert_pair_new(&(struct cert_wanted){.common_name = "ca", .ca = true});
    struct cert_pair p = cert_pair_new(
        &(struct cert_wanted){.common_name = "x", .names = "DNS:localhost", .issuer = &ca});
    struct oak_buf pem[3] = {0};
    pem_cert(&pem[0], &ca);
    pem_cert(&pem[1], &p);
    pem_key(&pem[2], &p);
    struct oak_tls_options o = {.role = OAK_TLS_SERVER,
                                .client_certificate = OAK_TLS_CLIENT_IF_GIVEN,
                                .material = {.ca.bytes = oak_buf_bytes(&pem[0]),
                                             .certificate.bytes = oak_buf_bytes(&pem[1]),
                                             .key.bytes = oak_buf_bytes(&pem[2])}};
    must(f != NULL && oak_tls_new(&o, &f->server, NULL) == 0);
    o.role = OAK_TLS_CLIENT;
    o.client_certificate = OAK_TLS_CLIENT_NONE;
    must(oak_tls_new(&o, &f->client, NULL) == 0);
    for (size_t i = 0; i < OAK_COUNT_OF(pem); i++) {
        oak_buf_fini(&pem[i]);
    }
    cert_pair_free(&p);
    cert_pair_free(&ca);
    return f;
}

/* The peer is the input: straight to a server, or in the place of one. */
static void feed_raw(struct fake_loop *loop, bool server, struct oak_bytes bytes)
{
    struct one raw = {0};
    if (server) {
        one_open(&raw, &fake_arrive(loop)->base);
    } else {
        loop->server_alone = true;
        fake_finish_connect(loop);
        one_open(&raw, &loop->raw->base);
    }
    if (bytes.size > 0) {
        int error = raw.stream->ops->write(raw.stream, bytes);
        OAK_ASSERT_EQ(error, 0);
    }
    fake_run(loop);
    fake_advance(loop, 20 * SECOND);
    one_close(&raw);
    fake_run(loop);
}

/* A connection that is open, and bytes among its records. */
static void feed_open(struct fake_loop *loop, struct oak_bytes bytes)
{
    fake_run(loop);
    if (bytes.size > 0 && !loop->client_end->gone) {
        int error = loop->client_end->base.ops->write(&loop->client_end->base, bytes);
        OAK_ASSERT_EQ(error, 0);
    }
    fake_run(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz *fuzz;
    fuzz = fuzz != NULL ? fuzz : fuzz_new();
    if (size < 1) {
        return 0;
    }
    struct fake_loop loop;
    struct oak_tls_net *server;
    struct oak_tls_net *client;
    struct oak_listener *listener;
    struct one s = {0};
    struct one c = {0};
    fake_loop_init(&loop);
    loop.piece = 1 + data[0] % 128;
    must(oak_tls_net_new(fuzz->server, &loop.port, NULL, NULL, &server) == 0);
    must(oak_tls_net_new(fuzz->client, &loop.port, NULL, NULL, &client) == 0);
    const struct oak_net *net = oak_tls_net_port(server);
    must(net->listen(net->user, "fake:443", one_accepted, &s, &listener, NULL) == 0);
    net = oak_tls_net_port(client);
    struct oak_bytes bytes = oak_bytes(data + 1, size - 1);
    if (data[0] >= 128 && data[0] < 192) {
        must(net->connect(net->user, "localhost:443", SECOND, one_connected, &c) == 0);
        feed_raw(&loop, false, bytes);
    } else if (data[0] >= 192) {
        must(net->connect(net->user, "localhost:443", SECOND, one_connected, &c) == 0);
        feed_open(&loop, bytes);
    } else {
        feed_raw(&loop, true, bytes);
    }
    one_close(&s);
    one_close(&c);
    oak_tls_net_free(server);
    oak_tls_net_free(client);
    fake_loop_fini(&loop);
    return 0;
}
