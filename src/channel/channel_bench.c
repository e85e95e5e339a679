/* SPDX-License-Identifier: Apache-2.0 */
/* channel_bench.c: what a channel adds to a unary call: the same echoes through a subchannel and
 * through a channel, in process, client and server together.
 *
 *     bench_channel [calls] [message bytes] [calls in flight]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rpc/test_loop.h"

#include "oakum/channel.h"

struct bench {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *subchannel;
    struct oak_channel *channel;
    struct oak_bytes message;
    uint64_t left;
    uint64_t answered;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_channel: %s failed\n", what);
    exit(1);
}

static void echo_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    if (oak_rpc_call_send(call, bytes) != 0) {
        fail("send");
    }
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static void echo_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static const struct oak_rpc_handler echo = {.message = echo_message, .closed = echo_closed};

static void echo_start(void *user, struct oak_rpc_call *call)
{
    oak_rpc_call_handle(call, &echo, user);
}

static void accepted(void *arg, struct oak_stream *s)
{
    struct bench *b = arg;
    if (oak_rpc_serve(b->server, s, oak_bytes(NULL, 0)) != 0) {
        fail("serve");
    }
}

static void answer_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)call;
    struct bench *b = user;
    b->answered += bytes.size == b->message.size;
}

static void answer_closed(void *user, struct oak_rpc_call *call,
                          const struct oak_rpc_status *status);
static const struct oak_rpc_handler answer = {.message = answer_message, .closed = answer_closed};

static void ask(struct bench *b)
{
    const struct oak_rpc_request request = {.service = "b.Echo",
                                            .method = "Echo",
                                            .timeout_ns = 5000000000u,
                                            .handler = &answer,
                                            .user = b};
    struct oak_rpc_call *call;
    int error = b->channel != NULL ? oak_channel_call(b->channel, &request, &call)
                                   : oak_rpc_subchannel_call(b->subchannel, &request, &call);
    if (error != 0 || oak_rpc_call_send(call, b->message) != 0) {
        fail("call");
    }
    oak_rpc_call_half_close(call);
}

static void answer_closed(void *user, struct oak_rpc_call *call,
                          const struct oak_rpc_status *status)
{
    (void)call;
    struct bench *b = user;
    if (status->code != OAK_RPC_OK) {
        fail("a call");
    }
    if (b->left > 0) {
        b->left--;
        ask(b);
    }
}

/* Nanoseconds a call, of all three: client, server, and the loop between them. */
static double measure(uint64_t calls, struct oak_bytes message, uint64_t in_flight, bool by_channel)
{
    static struct bench b;
    b = (struct bench){.message = message, .left = calls - in_flight};
    fake_loop_init(&b.loop);
    b.loop.accepted = accepted;
    b.loop.accepted_arg = &b;
    const struct oak_rpc_method method = {
        .service = "b.Echo", .name = "Echo", .kind = OAK_RPC_UNARY, .start = echo_start};
    if (oak_rpc_server_new(&b.loop.port, NULL, &b.server) != 0 ||
        oak_rpc_server_add(b.server, &method) != 0) {
        fail("server");
    }
    int error = by_channel
                    ? oak_channel_new(&b.loop.port, "ipv4:127.0.0.1:1", NULL, &b.channel, NULL)
                    : oak_rpc_subchannel_new(&b.loop.port, "127.0.0.1:1", NULL, &b.subchannel);
    if (error != 0) {
        fail("channel");
    }
    uint64_t begun_ns = cpu_ns();
    for (uint64_t i = 0; i < in_flight; i++) {
        ask(&b);
    }
    fake_run(&b.loop);
    uint64_t spent_ns = cpu_ns() - begun_ns;
    if (b.answered != calls) {
        fail("counting");
    }
    oak_channel_free(b.channel);
    oak_rpc_subchannel_free(b.subchannel);
    fake_run(&b.loop);
    oak_rpc_server_free(b.server);
    fake_loop_fini(&b.loop);
    return (double)spent_ns / (double)calls;
}

static uint64_t number(int argc, char **argv, int at, uint64_t otherwise)
{
    return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    uint64_t calls = number(argc, argv, 1, 200000);
    size_t size = (size_t)number(argc, argv, 2, 100);
    uint64_t in_flight = number(argc, argv, 3, 100);
    uint8_t *bytes = calloc(1, size + 1);
    if (bytes == NULL || in_flight == 0 || calls < in_flight) {
        fail("reading the arguments");
    }
    double least[2] = {0, 0};
    for (int i = 0; i < 10; i++) { /* in turns, the least of five each: others use this machine */
        double ns = measure(calls, oak_bytes(bytes, size), in_flight, i % 2 == 1);
        least[i % 2] = least[i % 2] == 0 || ns < least[i % 2] ? ns : least[i % 2];
    }
    printf("%llu calls of %zu bytes, %llu in flight: %.0f ns a call by a subchannel, %.0f ns by a "
           "channel\n",
           (unsigned long long)calls, size, (unsigned long long)in_flight, least[0], least[1]);
    free(bytes);
    return 0;
}
