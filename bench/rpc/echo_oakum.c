/* SPDX-License-Identifier: Apache-2.0 */
/* echo_oakum.c: the service bench.Echo on our library, on one thread. Messages come back as bytes,
 * not decoded, as in the C++ servers beside this one.
 *
 *     echo_oakum
 *
 * Prints "listening on PORT" once it serves, and serves until it is killed. */
#include <stdio.h>
#include <stdlib.h>

#include "oakum/rpc.h"
#include "os/os.h"

static void fail(const char *what)
{
    fprintf(stderr, "echo_oakum: %s failed\n", what);
    exit(1);
}

static void unary_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    if (oak_rpc_call_forward(call, bytes, call) != 0) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "no room");
        return;
    }
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static void stream_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    if (oak_rpc_call_forward(call, bytes, call) != 0) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "no room");
    } else if (oak_rpc_call_queued(call) > OAK_RPC_QUEUE_HIGH_BYTES) {
        oak_rpc_call_pause(call, true);
    }
}

static void stream_writable(void *user, struct oak_rpc_call *call)
{
    (void)user;
    oak_rpc_call_pause(call, false);
}

static void stream_half_closed(void *user, struct oak_rpc_call *call)
{
    (void)user;
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static void closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static const struct oak_rpc_handler unary = {.message = unary_message, .closed = closed};
static const struct oak_rpc_handler stream = {.message = stream_message,
                                              .writable = stream_writable,
                                              .half_closed = stream_half_closed,
                                              .closed = closed};

static void start(void *user, struct oak_rpc_call *call)
{
    oak_rpc_call_handle(call, user, NULL);
}

static void accepted(void *arg, struct oak_stream *s)
{
    if (oak_rpc_serve(arg, s, oak_bytes(NULL, 0)) != 0) {
        fail("serve");
    }
}

int main(void)
{
    struct oak_os_loop *os;
    struct oak_rpc_server *server;
    struct oak_listener *listener;
    struct oak_errbuf e;
    union {
        const struct oak_rpc_handler *handler;
        void *user;
    } handlers[] = {{.handler = &unary}, {.handler = &stream}};
    const struct oak_rpc_method methods[] = {
        {.service = "bench.Echo",
         .name = "Unary",
         .kind = OAK_RPC_UNARY,
         .start = start,
         .user = handlers[0].user},
        {.service = "bench.Echo",
         .name = "Stream",
         .kind = OAK_RPC_BIDI,
         .start = start,
         .user = handlers[1].user},
    };
    if (oak_os_loop_new(&os) != 0) {
        fail("loop");
    }
    const struct oak_loop *loop = oak_os_loop_port(os);
    if (oak_rpc_server_new(loop, NULL, &server) != 0 ||
        oak_rpc_server_add(server, &methods[0]) != 0 ||
        oak_rpc_server_add(server, &methods[1]) != 0 ||
        loop->net.listen(loop->net.user, "127.0.0.1:0", accepted, server, &listener, &e) != 0) {
        fail("set-up");
    }
    const char *name = loop->net.listener_name(loop->net.user, listener);
    printf("listening on %s\n", strrchr(name, ':') + 1);
    fflush(stdout);
    oak_os_loop_run(os);
    return 0;
}
