/* SPDX-License-Identifier: Apache-2.0 */
/* client.c TARGET NAME...: has one name greeted by a call, several by a stream. */
#include <oakum/channel.h>
#include <oakum/runtime.h>
#include <stdio.h>

#include <greeter.oak.h>

static int result = 1; /* of the process */

static void ended(struct oak_runtime *rt, const struct oak_rpc_status *status)
{
    if (status->code != OAK_RPC_OK) {
        fprintf(stderr, "%s: %.*s\n", oak_rpc_code_name(status->code), (int)status->message.size,
                (const char *)status->message.data);
    }
    result = status->code == OAK_RPC_OK ? 0 : 1;
    oak_runtime_stop(rt);
}

static void hello_done(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                       const Greeter__HelloReply *reply)
{
    (void)call;
    if (reply != NULL) {
        printf("%s\n", reply->text);
    }
    ended(user, status);
}

static void chat_message(void *user, struct oak_stub_call *call, const Greeter__HelloReply *reply)
{
    (void)user;
    (void)call;
    printf("%s\n", reply->text);
}

static void chat_closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    ended(user, status);
}

/* A stream has no deadline unless it is given one. */
static int chat(struct oak_stub_client client, char **names, int count, struct oak_runtime *rt)
{
    static const struct greeter__greeter__chat__callbacks callbacks = {.message = chat_message,
                                                                       .closed = chat_closed};
    struct oak_stub_call *call;
    int error = greeter__greeter__chat__call(client, NULL, &callbacks, rt, &call);
    for (int i = 0; error == 0 && i < count; i++) {
        Greeter__HelloRequest request = GREETER__HELLO_REQUEST__INIT;
        request.name = names[i];
        error = greeter__greeter__chat__send(call, &request);
    }
    if (error == 0) {
        oak_stub_half_close(call);
    }
    return error;
}

/* A unary call has five seconds unless it is given a time; one that is marked idempotent is made
 * again when the server can't be reached (channel.h). */
static int hello(struct oak_stub_client client, char *name, struct oak_runtime *rt)
{
    const struct oak_rpc_request how = {.timeout_ns = 2 * OAK_RUNTIME_SECOND_NS,
                                        .idempotent = true};
    struct oak_stub_call *call;
    Greeter__HelloRequest request = GREETER__HELLO_REQUEST__INIT;
    request.name = name;
    return greeter__greeter__hello__call(client, &request, &how, hello_done, rt, &call);
}

int main(int argc, char **argv)
{
    struct oak_runtime *rt;
    struct oak_channel *channel;
    struct oak_errbuf e = {"usage: greeter-client TARGET NAME..."};
    if (argc < 3 || oak_runtime_new(&rt) != 0 ||
        oak_channel_new(oak_runtime_loop(rt), argv[1], NULL, &channel, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    struct oak_stub_client client = oak_stub_channel(channel);
    int error = argc == 3 ? hello(client, argv[2], rt) : chat(client, argv + 2, argc - 2, rt);
    if (error == 0) {
        oak_runtime_run(rt);
    } else {
        fprintf(stderr, "%s\n", oak_error_text(error));
    }
    oak_channel_free(channel);
    oak_runtime_free(rt);
    return result;
}
