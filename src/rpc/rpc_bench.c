/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_bench.c: what a unary echo costs, in process: a client and a server connection joined by
 * buffers.
 *
 *     bench_rpc [calls] [message bytes] [calls in flight]
 *
 * Prints CPU time of the server's side and of the client's side apart: feed and take of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "oakum/rpc.h"
#include "port/port.h"

struct bench {
    struct oak_rpc_conn *client;
    struct oak_rpc_conn *server;
    struct oak_bytes message;
    uint64_t left;
    uint64_t answered;
    uint64_t server_ns;
    uint64_t client_ns;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_rpc: %s failed\n", what);
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

static void answer_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)call;
    struct bench *b = user;
    b->answered += bytes.size == b->message.size;
}

static void ask(struct bench *b);

static void answer_closed(void *user, struct oak_rpc_call *call,
                          const struct oak_rpc_status *status)
{
    (void)call;
    struct bench *b = user;
    if (status->code != OAK_RPC_OK) {
        fail("call");
    }
    ask(b);
}

static const struct oak_rpc_handler answer = {.message = answer_message, .closed = answer_closed};

static void ask(struct bench *b)
{
    if (b->left == 0) {
        return;
    }
    b->left--;
    const struct oak_rpc_request request = {.service = "etcdserverpb.KV",
                                            .method = "Put",
                                            .timeout_ns = 5000000000u,
                                            .handler = &answer,
                                            .user = b};
    struct oak_rpc_call *call;
    if (oak_rpc_conn_call(b->client, &request, 1, &call) != 0 ||
        oak_rpc_call_send(call, b->message) != 0) {
        fail("call");
    }
    oak_rpc_call_half_close(call);
}

static bool turn(struct bench *b)
{
    uint64_t start_ns = cpu_ns();
    struct oak_bytes up = oak_rpc_conn_take(b->client);
    uint64_t mid_ns = cpu_ns();
    if (up.size > 0 && oak_rpc_conn_feed(b->server, up, 1) != 0) {
        fail("server");
    }
    struct oak_bytes down = oak_rpc_conn_take(b->server);
    uint64_t late_ns = cpu_ns();
    if (down.size > 0 && oak_rpc_conn_feed(b->client, down, 1) != 0) {
        fail("client");
    }
    b->server_ns += late_ns - mid_ns;
    b->client_ns += mid_ns - start_ns + cpu_ns() - late_ns;
    return up.size > 0 || down.size > 0;
}

int main(int argc, char **argv)
{
    uint64_t calls = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;
    size_t size = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    uint64_t flight = argc > 3 ? strtoull(argv[3], NULL, 10) : 100;
    struct bench b = {.left = calls};
    uint8_t *bytes = calloc(size + 1, 1);
    struct oak_rpc_server *server;
    const struct oak_rpc_method method = {
        .service = "etcdserverpb.KV", .name = "Put", .kind = OAK_RPC_UNARY, .start = echo_start};
    if (bytes == NULL || oak_rpc_server_new(NULL, NULL, &server) != 0 ||
        oak_rpc_server_add(server, &method) != 0 ||
        oak_rpc_conn_new(server, NULL, "", 1, &b.server) != 0 ||
        oak_rpc_conn_new(NULL, NULL, "", 1, &b.client) != 0) {
        fail("set-up");
    }
    b.message = oak_bytes(bytes, size);
    for (uint64_t i = 0; i < flight; i++) {
        ask(&b);
    }
    while (turn(&b)) {
    }
    if (b.answered != calls) {
        fail("counting");
    }
    printf("unary echo, %zu bytes, %llu in flight, %llu calls: server %.2f us, client %.2f us a "
           "call\n",
           size, (unsigned long long)flight, (unsigned long long)calls,
           (double)b.server_ns / 1000.0 / (double)calls,
           (double)b.client_ns / 1000.0 / (double)calls);
    oak_rpc_conn_free(b.client);
    oak_rpc_conn_free(b.server);
    oak_rpc_server_free(server);
    free(bytes);
    return 0;
}
