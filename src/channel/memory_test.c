/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation of a channel's conversations fails once, the libraries' alike: no
 * call is forgotten, nothing crashes, and all that is ours is given back. */
#include "rpc/test_memory.h"

#include "rpc/test_loop.h"

#include "oakum/channel.h"

#define SECOND ((uint64_t)1000000000)

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct {
        void (*done)(void *arg, int error, struct oak_stream *s);
        void *arg;
    } connecting[8];
    size_t connecting_count;
    void (*found)(void *arg, int error, const char *const *addresses, size_t count);
    void *found_arg;
    int begun;
    int closed;
    int answered;
    uint64_t refused; /* because the server was busy */
    int failures;     /* the server fails so many calls first */
    int led;          /* somebody was believed to lead */
};

/* -- a loop whose own allocations don't count -------------------------------------------------- */

static int held_write(struct oak_stream *s, struct oak_bytes bytes)
{
    memory_hold();
    int error = fake_write(s, bytes);
    memory_release();
    return error;
}

static int held_write_pieces(struct oak_stream *s, const struct oak_bytes *pieces, size_t count)
{
    memory_hold();
    int error = fake_write_pieces(s, pieces, count);
    memory_release();
    return error;
}

static struct oak_stream_ops held_ops;

static struct fake_stream *held_stream(struct fake_loop *loop)
{
    memory_hold();
    struct fake_stream *s = fake_stream_new(loop);
    memory_release();
    held_ops = *s->base.ops;
    held_ops.write = held_write;
    held_ops.write_pieces = held_write_pieces;
    s->base.ops = &held_ops;
    return s;
}

static int connect(void *user, const char *address, uint64_t timeout_ns,
                   void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    (void)address;
    (void)timeout_ns;
    struct world *w = user;
    assert_true(w->connecting_count < OAK_COUNT_OF(w->connecting));
    w->connecting[w->connecting_count].done = done;
    w->connecting[w->connecting_count++].arg = arg;
    return 0;
}

static int resolve(void *user, const char *name, uint64_t timeout_ns,
                   void (*done)(void *arg, int error, const char *const *addresses, size_t count),
                   void *arg)
{
    (void)name;
    (void)timeout_ns;
    struct world *w = user;
    w->found = done;
    w->found_arg = arg;
    return 0;
}

static void nobody_data(void *user, struct oak_bytes b)
{
    (void)user;
    (void)b;
}

static void nobody_drained(void *user)
{
    (void)user;
}

static void nobody_closed(void *user, int error)
{
    (void)user;
    (void)error;
}

static const struct oak_stream_handler nobody = {
    .data = nobody_data, .drained = nobody_drained, .closed = nobody_closed};

static bool net_turn(struct world *w)
{
    static const char *const addresses[] = {"10.0.0.1:1", "10.0.0.2:1"};
    if (w->found != NULL) {
        void (*found)(void *, int, const char *const *, size_t) = w->found;
        w->found = NULL;
        found(w->found_arg, 0, addresses, 2);
        return true;
    }
    if (w->connecting_count == 0) {
        return false;
    }
    w->connecting_count--;
    struct fake_stream *a = held_stream(&w->loop);
    struct fake_stream *b = held_stream(&w->loop);
    a->other = b;
    b->other = a;
    if (oak_rpc_serve(w->server, &b->base, oak_bytes(NULL, 0)) != 0) {
        b->base.ops->handle(&b->base, &nobody);
        b->base.ops->close(&b->base, true);
    }
    w->connecting[w->connecting_count].done(w->connecting[w->connecting_count].arg, 0, &a->base);
    return true;
}

static void run(struct world *w)
{
    bool any = true;
    while (any) {
        any = net_turn(w);
        any = fake_round(&w->loop) || any;
    }
}

static void pass(struct world *w, uint64_t ns)
{
    uint64_t end_ns = w->loop.now_ns + ns;
    run(w);
    while (w->loop.now_ns < end_ns) {
        w->loop.now_ns += SECOND / 20;
        run(w);
    }
}

/* -- the server -------------------------------------------------------------------------------- */

static void echo_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    struct world *w = user;
    if (w->failures > 0) {
        w->failures--;
        oak_rpc_call_finish(call, OAK_RPC_UNAVAILABLE, "not now");
        return;
    }
    int error = oak_rpc_call_send(call, b);
    oak_rpc_call_finish(call, error == 0 ? OAK_RPC_OK : OAK_RPC_RESOURCE_EXHAUSTED, NULL);
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

/* It says that it leads, and goes on being asked. */
static void watch_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)b;
    if (oak_rpc_call_send(call, oak_bytes_str("\x08\x01\xc8\x3e\x07")) != 0) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, NULL);
    }
}

static const struct oak_rpc_handler watch = {.message = watch_message, .closed = echo_closed};

static void watch_start(void *user, struct oak_rpc_call *call)
{
    oak_rpc_call_handle(call, &watch, user);
}

/* -- the client -------------------------------------------------------------------------------- */

static void got_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)call;
    (void)b;
    ((struct world *)user)->answered++;
}

static void got_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    ((struct world *)user)->closed++;
}

static const struct oak_rpc_handler got = {.message = got_message, .closed = got_closed};

static struct oak_rpc_call *ask_for(struct world *w, struct oak_channel *channel,
                                    const char *method, size_t size, struct oak_rpc_call *parent)
{
    const struct oak_rpc_pair pair = {oak_bytes_str("x-test"), oak_bytes_str("value")};
    struct oak_rpc_request request = {.service = "t.M",
                                      .method = method,
                                      .idempotent = true,
                                      .metadata = &pair,
                                      .metadata_count = 1,
                                      .parent = parent,
                                      .handler = &got,
                                      .user = w};
    struct oak_rpc_call *call = NULL;
    if (oak_channel_call(channel, &request, &call) != 0) {
        return NULL;
    }
    w->begun++;
    char text[300];
    memset(text, 'x', sizeof(text));
    struct oak_rpc_pair more = {oak_bytes_str("x-more"), oak_bytes(text, sizeof(text))};
    bool added = oak_rpc_call_add_header(call, more) == 0;
    uint8_t *to = oak_rpc_call_send_into(call, size);
    if (to != NULL) {
        memset(to, 1, size);
    }
    OAK_MAYBE(!added); /* it goes without */
    if (to == NULL || oak_rpc_call_send(call, oak_bytes_str("more")) != 0) {
        oak_rpc_call_cancel(call);
        return call;
    }
    oak_rpc_call_half_close(call);
    return call;
}

static struct oak_rpc_call *ask(struct world *w, struct oak_channel *channel, const char *method)
{
    return ask_for(w, channel, method, 3000, NULL);
}

static const char config[] =
    "{\"loadBalancingConfig\":[{\"round_robin\":{}}],"
    "\"healthCheckConfig\":{\"serviceName\":\"\"},\"methodConfig\":["
    "{\"name\":[{\"service\":\"t.M\",\"method\":\"H\"}],\"hedgingPolicy\":{\"maxAttempts\":2,"
    "\"hedgingDelay\":\"0.01s\",\"nonFatalStatusCodes\":[14]}},{\"name\":[{\"service\":\"t.M\","
    "\"method\":\"U\"}],"
    "\"retryPolicy\":{\"maxAttempts\":3,\"initialBackoff\":\"0.1s\",\"maxBackoff\":\"1s\","
    "\"backoffMultiplier\":2,\"retryableStatusCodes\":[\"UNAVAILABLE\"]}}]}";

static void talk(struct world *w)
{
    struct oak_channel_options o = {.service_config = config,
                                    .rpc.user_agent = "tester",
                                    .rpc.authority = "somebody",
                                    .resolve_pause_ns = 1};
    struct oak_channel *channel;
    if (oak_channel_new(&w->loop.port, "db.example:1", &o, &channel, NULL) != 0) {
        return;
    }
    w->failures = 2;
    ask(w, channel, "U"); /* before there is a connection */
    ask(w, channel, "H");
    run(w);
    ask(w, channel, "U");
    struct oak_rpc_call *cancelled = ask(w, channel, "U");
    if (cancelled != NULL) {
        oak_rpc_call_cancel(cancelled);
    }
    pass(w, SECOND);
    if (w->loop.stream_count > 0) {
        w->loop.streams[0]->error = OAK_ECLOSED; /* a connection is lost */
    }
    ask(w, channel, "none");
    pass(w, 8 * SECOND); /* longer than any call */
    assert_int_equal(w->begun, w->closed);
    ask(w, channel, "U");
    oak_channel_free(channel);
    assert_int_equal(w->begun, w->closed);
}

/* Calls of which one is worked on at a time: the others are told when to come again. */
static void talk_within_limits(struct world *w)
{
    struct oak_channel_options o = {.service_config = config, .resolve_pause_ns = 1};
    struct oak_channel *channel;
    if (oak_channel_new(&w->loop.port, "db.example:1", &o, &channel, NULL) != 0) {
        return;
    }
    ask(w, channel, "U");
    run(w);
    struct oak_rpc_call *parent = ask(w, channel, "U");
    if (parent != NULL) {
        ask_for(w, channel, "U", 20000, parent);
    }
    ask_for(w, channel, "U", 20000, NULL);
    ask(w, channel, "U");
    pass(w, 8 * SECOND);
    assert_int_equal(w->begun, w->closed);
    oak_channel_free(channel);
}

/* Who says that it leads draws calls, fails one, and is gone. */
static void talk_to_the_leader(struct world *w)
{
    const struct oak_rpc_method method = {.service = "grpc.health.v1.Health",
                                          .name = "Watch",
                                          .kind = OAK_RPC_SERVER_STREAM,
                                          .start = watch_start,
                                          .user = w};
    struct oak_channel_options o = {
        .service_config =
            "{\"loadBalancingConfig\":[{\"oakum_leader\":{\"serviceName\":\"t.Leader\"}}]}",
        .resolve_pause_ns = 1};
    struct oak_channel *channel;
    if (oak_rpc_server_add(w->server, &method) != 0 ||
        oak_channel_new(&w->loop.port, "db.example:1", &o, &channel, NULL) != 0) {
        return;
    }
    w->failures = 1;
    ask(w, channel, "U");
    run(w);
    ask(w, channel, "U");
    pass(w, 3 * SECOND);
    bool known = oak_channel_leader(channel) != NULL;
    OAK_MAYBE(!known); /* then there was no memory for a watch, and its back-off lasts */
    w->led += known;
    if (w->loop.stream_count > 0) {
        w->loop.streams[0]->error = OAK_ECLOSED;
    }
    ask(w, channel, "U");
    pass(w, 8 * SECOND);
    assert_int_equal(w->begun, w->closed);
    oak_channel_free(channel);
}

static void conversation(struct world *w, const struct oak_rpc_options *options,
                         void (*says)(struct world *w))
{
    static const char *const names[] = {"U", "H"};
    *w = (struct world){0};
    fake_loop_init(&w->loop);
    w->loop.port.net = (struct oak_net){.connect = connect, .resolve = resolve, .user = w};
    if (oak_rpc_server_new(&w->loop.port, options, &w->server) == 0) {
        bool fine = true;
        for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
            struct oak_rpc_method method = {.service = "t.M",
                                            .name = names[i],
                                            .kind = OAK_RPC_CLIENT_STREAM,
                                            .start = echo_start,
                                            .user = w};
            fine = fine && oak_rpc_server_add(w->server, &method) == 0;
        }
        if (fine) {
            says(w);
        }
        pass(w, 10 * SECOND); /* streams that linger */
        struct oak_rpc_traffic traffic;
        oak_rpc_server_traffic(w->server, &traffic);
        w->refused = traffic.refused_busy;
        oak_rpc_server_free(w->server);
    }
    memory_hold();
    fake_loop_fini(&w->loop);
    memory_release();
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    static struct world w;
    conversation(&w, NULL, talk);
    assert_int_equal(w.begun, 6);
    assert_int_equal(w.answered, 3);
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        conversation(&w, NULL, talk);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

static void every_allocation_of_limits_and_parents_may_fail_once(void **state)
{
    (void)state;
    static struct world w;
    const struct oak_rpc_options limited = {.limits = {.handlers_max = 1}};
    conversation(&w, &limited, talk_within_limits);
    assert_int_equal(w.begun, 5);
    assert_true(w.refused > 0);
    assert_int_equal(w.answered, 4); /* the one with a parent ended with it */
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        conversation(&w, &limited, talk_within_limits);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

static void every_allocation_of_who_leads_may_fail_once(void **state)
{
    (void)state;
    static struct world w;
    conversation(&w, NULL, talk_to_the_leader);
    assert_int_equal(w.begun, 3);
    assert_int_equal(w.answered, 3);
    assert_int_equal(w.led, 1);
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        conversation(&w, NULL, talk_to_the_leader);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_limits_and_parents_may_fail_once),
        cmocka_unit_test(every_allocation_may_fail_once),
        cmocka_unit_test(every_allocation_of_who_leads_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
