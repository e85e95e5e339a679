/* SPDX-License-Identifier: Apache-2.0 */
/* server.c ADDRESS: greets, once or as often as it is told a name. */
#include <oakum/runtime.h>
#include <stdio.h>

#include <greeter.oak.h>

/* Called with the decoded request, which lives as long as the call. */
static void hello(void *user, struct oak_stub_call *call, const Greeter__HelloRequest *request)
{
    char text[128];
    Greeter__HelloReply reply = GREETER__HELLO_REPLY__INIT;
    (void)user;
    if (request->name[0] == '\0') {
        oak_stub_finish(call, OAK_RPC_INVALID_ARGUMENT, "who is to be greeted?");
        return;
    }
    snprintf(text, sizeof(text), "Hello, %s!", request->name);
    reply.text = text;
    greeter__greeter__hello__reply(call, &reply);
}

/* A stream that outruns its reader is not read until the reader has caught up. */
static void chat_name(void *user, struct oak_stub_call *call, const Greeter__HelloRequest *request)
{
    char text[128];
    Greeter__HelloReply reply = GREETER__HELLO_REPLY__INIT;
    (void)user;
    snprintf(text, sizeof(text), "Hello, %s!", request->name);
    reply.text = text;
    greeter__greeter__chat__reply(call, &reply);
    oak_stub_pause(call, oak_stub_queued(call) > OAK_RPC_QUEUE_HIGH_BYTES);
}

static void chat_writable(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_pause(call, false);
}

static void chat_half_closed(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

int main(int argc, char **argv)
{
    const struct greeter__greeter_handlers handlers = {
        .hello = hello,
        .chat = {.message = chat_name, .writable = chat_writable, .half_closed = chat_half_closed},
    };
    struct oak_runtime *rt;
    struct oak_rpc_server *server;
    struct oak_runtime_listener *listener;
    struct oak_errbuf e = {"usage: greeter-server ADDRESS"};
    if (argc != 2 || oak_runtime_new(&rt) != 0 ||
        oak_rpc_server_new(oak_runtime_loop(rt), NULL, &server) != 0 ||
        greeter__greeter_add(server, &handlers, NULL) != 0 ||
        oak_runtime_drain_on_signal(rt, 5 * OAK_RUNTIME_SECOND_NS) != 0 ||
        oak_runtime_listen(rt, server, argv[1], NULL, &listener, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    printf("serving on %s\n", oak_runtime_listener_name(listener));
    fflush(stdout);
    oak_runtime_run(rt);
    oak_runtime_close(rt);
    oak_rpc_server_free(server);
    oak_runtime_free(rt);
    return 0;
}
