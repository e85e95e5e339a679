/* SPDX-License-Identifier: Apache-2.0 */
/* home.c: the server of the soak: grpc.testing.TestService, plain and over TLS, and a meter that
 * tells what it holds. */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/soak/soak.h"
#include "tls/test_certs.h"

void soak_certs_make(struct soak_certs *certs)
{
    const struct cert_wanted root = {.common_name = "soak root", .ca = true};
    struct cert_pair ca = cert_pair_new(&root);
    const struct cert_wanted wanted = {.names = "DNS:" SOAK_HOST, .issuer = &ca};
    struct cert_pair server = cert_pair_new(&wanted);
    pem_cert(&certs->ca, &ca);
    pem_cert(&certs->certificate, &server);
    pem_key(&certs->key, &server);
    cert_pair_free(&ca);
    cert_pair_free(&server);
}

struct home {
    struct oak_os_loop *os;
    struct oak_rpc_server *rpc;
    struct interop_net plain;
    struct interop_net tls;
    struct interop_service service;
};

static void accepted(void *arg, struct oak_stream *stream)
{
    struct home *home = arg;
    if (oak_rpc_serve(home->rpc, stream, oak_bytes(NULL, 0)) != 0) {
        stream->ops->close(stream, true);
    }
}

/* -- the meter --------------------------------------------------------------------------------- */

static void meter_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct home *home = user;
    uint8_t out[32];
    (void)bytes;
    struct soak_sample sample = soak_measure();
    oak_put_u64(out, sample.used);
    oak_put_u64(out + 8, sample.rss);
    oak_put_u64(out + 16, oak_rpc_server_connections(home->rpc));
    oak_put_u64(out + 24, home->service.open);
    if (oak_rpc_call_send(call, oak_bytes(out, sizeof(out))) == 0) {
        oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
    } else {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, NULL);
    }
}

static void meter_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static void meter_start(void *user, struct oak_rpc_call *call)
{
    static const struct oak_rpc_handler handler = {.message = meter_message,
                                                   .closed = meter_closed};
    oak_rpc_call_handle(call, &handler, user);
}

/* -- the process ------------------------------------------------------------------------------- */

static void listen_on(struct home *home, const struct oak_loop *loop, char *name, size_t size)
{
    struct oak_listener *listener;
    struct oak_errbuf e = {{0}};
    const struct oak_net *net = &loop->net;
    if (net->listen(net->user, "127.0.0.1:0", accepted, home, &listener, &e) != 0) {
        interop_fail("%s", e.text);
    }
    snprintf(name, size, "%s", net->listener_name(net->user, listener));
}

static void home_open(struct home *home, const struct soak_certs *certs, struct soak_home *where)
{
    const struct oak_tls_options tls = {
        .role = OAK_TLS_SERVER,
        .material.certificate.bytes = oak_buf_bytes(&certs->certificate),
        .material.key.bytes = oak_buf_bytes(&certs->key),
    };
    if (oak_os_loop_new(&home->os) != 0) {
        interop_fail("no loop");
    }
    const struct oak_loop *loop = oak_os_loop_port(home->os);
    const struct oak_rpc_options options = {.receive_bytes_max = INTEROP_MESSAGE_BYTES_MAX};
    const struct oak_rpc_method meter = {.service = SOAK_METER,
                                         .name = "Read",
                                         .kind = OAK_RPC_UNARY,
                                         .start = meter_start,
                                         .user = home};
    if (oak_rpc_server_new(loop, &options, &home->rpc) != 0 ||
        oak_rpc_server_add(home->rpc, &meter) != 0) {
        interop_fail("no server");
    }
    home->service.loop = loop;
    interop_service_add(&home->service, home->rpc);
    interop_net_open(&home->plain, loop, NULL);
    interop_net_open(&home->tls, loop, &tls);
    listen_on(home, &home->plain.loop, where->plain, sizeof(where->plain));
    listen_on(home, &home->tls.loop, where->tls, sizeof(where->tls));
}

_Noreturn void soak_serve(const struct soak_certs *certs, int fd)
{
    static struct home home;
    static struct soak_home where;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    home_open(&home, certs, &where);
    if (write(fd, &where, sizeof(where)) != (ssize_t)sizeof(where)) {
        interop_fail("nobody wants to know where the server is");
    }
    close(fd);
    oak_os_loop_run(home.os); /* until the signal */
    exit(0);
}
