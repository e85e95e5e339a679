/* SPDX-License-Identifier: Apache-2.0 */
/* load.c: watchers on a server of the etcd API, puts that they hear of, and how fast they do.
 *
 *     bench_watch ADDRESS WATCHERS STREAMS KEYS PUTS CLIENTS
 *
 * Watcher i watches key i modulo KEYS; put n goes to key n modulo KEYS. Prints a line when all
 * watchers are there and waits for a line on stdin, so that the server can be looked at; then it
 * puts, and prints a second line once every event has come. Events are counted and not decoded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "oakum/rpc.h"
#include "os/os.h"
#include "proto/proto.h"

#define CONNS       10
#define VALUE_BYTES 256
#define PATIENCE_NS (600 * UINT64_C(1000000000))

struct load {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_rpc_subchannel *lines[CONNS + 1]; /* the last one is for puts */
    size_t up;
    size_t watchers, streams, keys, puts, clients;
    struct oak_rpc_call **watches;
    uint64_t created, events, responses;
    uint64_t sent, answered;
    uint64_t expected;
    uint64_t put_ns; /* when the last put was answered */
    struct oak_timer patience, start;
    struct oak_after after;
};

static uint64_t now(const struct load *l)
{
    return l->loop->clock.mono_ns(l->loop->clock.user);
}

static void die(const char *text)
{
    fprintf(stderr, "bench_watch: %s\n", text);
    _exit(1);
}

static int key_of(char *out, size_t size, uint64_t n)
{
    return snprintf(out, size, "bench/watch/%08llu", (unsigned long long)n);
}

/* The fields of a WatchResponse: 3 created, 11 an event. */
static void watch_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct load *l = user;
    (void)call;
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.size;
    l->responses++;
    while (at < end) {
        uint8_t tag = *at++;
        uint64_t number = 0;
        for (int shift = 0; at < end; shift += 7) {
            number |= (uint64_t)(*at & 0x7f) << shift;
            if ((*at++ & 0x80) == 0) {
                break;
            }
        }
        l->created += tag == (3 << 3) ? 1 : 0;
        l->events += tag == (11 << 3 | 2) ? 1 : 0;
        at += (tag & 7) == 2 ? number : 0;
    }
    if (l->sent == 0 ? l->created == l->watchers : l->events == l->expected) {
        oak_os_loop_stop(l->os);
    }
}

static void watch_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    fprintf(stderr, "%.*s\n", (int)status->message.size, (const char *)status->message.data);
    die("a stream of watchers has ended");
}

static const struct oak_rpc_handler watch_handler = {.message = watch_message,
                                                     .closed = watch_closed};

static void send(struct oak_rpc_call *call, const ProtobufCMessage *message)
{
    uint8_t *out = oak_rpc_call_send_into(call, protobuf_c_message_get_packed_size(message));
    if (out == NULL) {
        die("a request can't be queued");
    }
    protobuf_c_message_pack(message, out);
}

static void watchers_create(struct load *l)
{
    for (size_t i = 0; i < l->watchers; i++) {
        char key[64];
        Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
        Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
        request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        request.create_request = &create;
        create.key.len = (size_t)key_of(key, sizeof(key), i % l->keys);
        create.key.data = (uint8_t *)key;
        send(l->watches[i % l->streams], &request.base);
    }
}

static void put_next(struct load *l);

static void put_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    (void)call;
    (void)bytes;
}

static void put_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct load *l = user;
    (void)call;
    if (status->code != OAK_RPC_OK) {
        die("a put has failed");
    }
    l->answered++;
    l->put_ns = now(l);
    put_next(l);
}

static const struct oak_rpc_handler put_handler = {.message = put_message, .closed = put_closed};

static void put_next(struct load *l)
{
    static uint8_t value[VALUE_BYTES];
    if (l->sent == l->puts) {
        return;
    }
    char key[64];
    const struct oak_rpc_request how = {
        .service = "etcdserverpb.KV", .method = "Put", .handler = &put_handler, .user = l};
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    struct oak_rpc_call *call;
    put.key.len = (size_t)key_of(key, sizeof(key), l->sent % l->keys);
    put.key.data = (uint8_t *)key;
    put.value.len = sizeof(value);
    put.value.data = value;
    l->sent++;
    if (oak_rpc_subchannel_call(l->lines[CONNS], &how, &call) != 0) {
        die("a put can't be sent");
    }
    send(call, &put.base);
    oak_rpc_call_half_close(call);
}

static void line_state(void *user, bool connected)
{
    struct load *l = user;
    l->up += connected;
    if (l->up == CONNS + 1) {
        oak_os_loop_stop(l->os);
    }
}

static void patience_over(struct oak_timer *timer)
{
    struct load *l = OAK_CONTAINER_OF(timer, struct load, patience);
    fprintf(stderr, "%llu watchers, %llu puts answered, %llu events of %llu\n",
            (unsigned long long)l->created, (unsigned long long)l->answered,
            (unsigned long long)l->events, (unsigned long long)l->expected);
    die("not all has come in time");
}

static void create_fire(struct oak_timer *timer)
{
    struct load *l = OAK_CONTAINER_OF(timer, struct load, start);
    for (size_t i = 0; i < l->streams; i++) {
        const struct oak_rpc_request how = {.service = "etcdserverpb.Watch",
                                            .method = "Watch",
                                            .kind = OAK_RPC_BIDI,
                                            .handler = &watch_handler,
                                            .user = l};
        if (oak_rpc_subchannel_call(l->lines[i % CONNS], &how, &l->watches[i]) != 0) {
            die("a stream can't be opened");
        }
    }
    watchers_create(l);
}

static void puts_fire(struct oak_timer *timer)
{
    struct load *l = OAK_CONTAINER_OF(timer, struct load, start);
    for (size_t i = 0; i < l->clients; i++) {
        put_next(l);
    }
}

static void run(struct load *l, void (*fire)(struct oak_timer *timer))
{
    l->start.fire = fire;
    l->loop->timers.set(l->loop->timers.user, &l->start, now(l));
    oak_os_loop_run(l->os);
}

int main(int argc, char **argv)
{
    static struct load l;
    if (argc != 7) {
        die("bench_watch ADDRESS WATCHERS STREAMS KEYS PUTS CLIENTS");
    }
    l.watchers = strtoul(argv[2], NULL, 10);
    l.streams = strtoul(argv[3], NULL, 10);
    l.keys = strtoul(argv[4], NULL, 10);
    l.puts = strtoul(argv[5], NULL, 10);
    l.clients = strtoul(argv[6], NULL, 10);
    if (l.keys == 0 || l.streams == 0 || l.watchers % l.keys != 0) {
        die("WATCHERS is a multiple of KEYS");
    }
    l.expected = (uint64_t)l.puts * (l.watchers / l.keys);
    l.watches = calloc(l.streams, sizeof(struct oak_rpc_call *));
    if (l.watches == NULL || oak_os_loop_new(&l.os) != 0) {
        die("out of memory");
    }
    l.loop = oak_os_loop_port(l.os);
    for (size_t i = 0; i <= CONNS; i++) {
        const struct oak_rpc_subchannel_options options = {.state = line_state, .user = &l};
        if (oak_rpc_subchannel_new(l.loop, argv[1], &options, &l.lines[i]) != 0) {
            die("out of memory");
        }
    }
    l.patience.fire = patience_over;
    l.loop->timers.set(l.loop->timers.user, &l.patience, now(&l) + PATIENCE_NS);
    oak_os_loop_run(l.os);
    uint64_t began = now(&l);
    run(&l, create_fire);
    printf("{\"created\": %llu, \"seconds\": %.3f}\n", (unsigned long long)l.created,
           (double)(now(&l) - began) / 1e9);
    fflush(stdout);
    char line[16];
    if (fgets(line, sizeof(line), stdin) == NULL) {
        return 0;
    }
    l.responses = 0;
    began = now(&l);
    run(&l, puts_fire);
    double seconds = (double)(now(&l) - began) / 1e9;
    printf("{\"events\": %llu, \"responses\": %llu, \"seconds\": %.3f, \"puts\": %llu, "
           "\"put_seconds\": %.3f}\n",
           (unsigned long long)l.events, (unsigned long long)l.responses, seconds,
           (unsigned long long)l.answered, (double)(l.put_ns - began) / 1e9);
    fflush(stdout);
    _exit(0); /* the streams end with the process */
}
