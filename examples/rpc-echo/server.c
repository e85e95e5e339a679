/* SPDX-License-Identifier: Apache-2.0 */
/* server.c ADDRESS: answers each message of demo.Echo/Say with the same bytes. */
#include <oakum/runtime.h>
#include <stdio.h>

static void say(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    int error = oak_rpc_call_send(call, bytes);
    oak_rpc_call_finish(call, error == 0 ? OAK_RPC_OK : OAK_RPC_RESOURCE_EXHAUSTED, NULL);
}

static void closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    fprintf(user, "%s: %s\n", oak_rpc_call_peer(call), oak_rpc_code_name(status->code));
}

static void set(void *user, struct oak_rpc_call *call)
{
    static const struct oak_rpc_handler handler = {.message = say, .closed = closed};
    oak_rpc_call_handle(call, &handler, user);
}

int main(int argc, char **argv)
{
    struct oak_rpc_method m = {.service = "demo.Echo", .name = "Say", .start = set, .user = stdout};
    struct oak_runtime *rt;
    struct oak_rpc_server *server;
    struct oak_errbuf e = {"usage: echo-server ADDRESS"};
    if (argc != 2 || oak_runtime_new(&rt) != 0 ||
        oak_rpc_server_new(oak_runtime_loop(rt), NULL, &server) != 0 ||
        oak_rpc_server_add(server, &m) != 0 ||
        oak_runtime_drain_on_signal(rt, 5 * OAK_RUNTIME_SECOND_NS) != 0 ||
        oak_runtime_listen(rt, server, argv[1], NULL, NULL, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    oak_runtime_run(rt); /* until Ctrl-C, and then until the calls have ended */
    oak_runtime_close(rt);
    oak_rpc_server_free(server);
    oak_runtime_free(rt);
}
