/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: grpc.testing.TestService on our library.
 *
 *     interop_server --port=0 [--use_tls --tls_cert_file=F --tls_key_file=F]
 *
 * Prints "listening on PORT" once it serves; serves until SIGTERM or SIGINT.
 */
#include <unistd.h>

#include "tests/interop/service.h"

struct server {
    struct oak_os_loop *os;
    struct interop_net net;
    struct oak_rpc_server *rpc;
    struct oak_listener *listener;
    struct interop_service service;
    struct oak_after stop;
    bool stopping;
};

static void accepted(void *arg, struct oak_stream *stream)
{
    struct server *server = arg;
    if (oak_rpc_serve(server->rpc, stream, oak_bytes(NULL, 0)) != 0) {
        stream->ops->close(stream, true);
    }
}

static void signalled(void *user, int number)
{
    struct server *server = user;
    (void)number;
    server->stopping = true;
    oak_rpc_server_drain(server->rpc, 0);
}

static void stop_when_drained(struct oak_after *after)
{
    struct server *server = OAK_CONTAINER_OF(after, struct server, stop);
    if (server->stopping && oak_rpc_server_connections(server->rpc) == 0) {
        oak_os_loop_stop(server->os);
    }
}

static void net_open(struct server *server, const struct interop_flag *flags)
{
    const struct oak_tls_options tls = {
        .role = OAK_TLS_SERVER,
        .material.certificate.file = interop_text(flags, "tls_cert_file"),
        .material.key.file = interop_text(flags, "tls_key_file"),
        .report = interop_report,
    };
    if (oak_os_loop_new(&server->os) != 0) {
        interop_fail("no loop");
    }
    interop_net_open(&server->net, oak_os_loop_port(server->os),
                     interop_true(flags, "use_tls") ? &tls : NULL);
}

static void server_open(struct server *server, const struct interop_flag *flags)
{
    /* A thousand large requests at once may all be half here. */
    const struct oak_rpc_options options = {.receive_bytes_max = INTEROP_MESSAGE_BYTES_MAX,
                                            .unfinished_bytes_max = 1024 * OAK_MIB};
    char address[64];
    struct oak_errbuf e = {{0}};
    const struct oak_loop *loop = &server->net.loop;
    snprintf(address, sizeof(address), "127.0.0.1:%s", interop_text(flags, "port"));
    net_open(server, flags);
    if (oak_rpc_server_new(loop, &options, &server->rpc) != 0 ||
        oak_os_loop_on_signal(server->os, signalled, server) != 0) {
        interop_fail("no server");
    }
    server->service.loop = loop;
    snprintf(server->service.id, sizeof(server->service.id), "oakum-%d", (int)getpid());
    interop_service_add(&server->service, server->rpc);
    const struct oak_net *net = &loop->net;
    if (net->listen(net->user, address, accepted, server, &server->listener, &e) != 0) {
        interop_fail("%s", e.text);
    }
    loop->after_add(loop->user, &server->stop);
    printf("listening on %s\n", strrchr(net->listener_name(net->user, server->listener), ':') + 1);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct interop_flag flags[] = {
        {"port", "0"}, {"use_tls", "false"}, {"tls_cert_file", ""}, {"tls_key_file", ""}};
    if (!interop_flags_read(flags, OAK_COUNT_OF(flags), argc, argv)) {
        return 2;
    }
    static struct server server = {.stop.run = stop_when_drained};
    server_open(&server, flags);
    oak_os_loop_run(server.os);
    const struct oak_net *net = &server.net.loop.net;
    net->listener_close(net->user, server.listener);
    oak_rpc_server_free(server.rpc);
    interop_net_close(&server.net);
    oak_os_loop_free(server.os);
    return 0;
}
