/* SPDX-License-Identifier: Apache-2.0 */
/* client.c ADDRESS TEXT: says the text to the server, and prints what comes back. */
#include <oakum/channel.h>
#include <oakum/runtime.h>
#include <stdio.h>

static void message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user, (void)call;
    printf("%.*s\n", (int)bytes.size, (const char *)bytes.data);
}

static void closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    printf("%s\n", oak_rpc_code_name(status->code));
    oak_runtime_stop(user);
}

int main(int argc, char **argv)
{
    static const struct oak_rpc_handler handler = {.message = message, .closed = closed};
    struct oak_runtime *rt;
    struct oak_channel *channel;
    struct oak_rpc_call *call;
    struct oak_errbuf e = {"usage: echo-client ADDRESS TEXT"};
    if (argc != 3 || oak_runtime_new(&rt) != 0 ||
        oak_channel_new(oak_runtime_loop(rt), argv[1], NULL, &channel, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    const struct oak_rpc_request request = {
        .service = "demo.Echo", .method = "Say", .handler = &handler, .user = rt};
    if (oak_channel_call(channel, &request, &call) != 0 ||
        oak_rpc_call_send(call, oak_bytes_str(argv[2])) != 0) {
        return 1;
    }
    oak_rpc_call_half_close(call);
    oak_runtime_run(rt);
    oak_channel_free(channel);
    oak_runtime_free(rt);
}
