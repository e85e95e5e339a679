/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation of typed calls of all four kinds fails once: every call that was
 * started is told its end, and all memory is given back. */
#include "rpc/test_memory.h"

#include "stub/test_echo.h"

struct tally {
    int started; /* client */
    int ended;
    int good;
};

/* -- server ------------------------------------------------------------------------------------ */

static void serve_say(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    OAK_MAYBE(demo__v1__echo__say__reply(call, request) != 0);
}

static void serve_tell(void *user, struct oak_stub_call *call, const count_message *request)
{
    (void)user;
    text_message text = DEMO__TYPES__V1__TEXT__INIT;
    for (int32_t i = 0; i < request->count; i++) {
        OAK_MAYBE(demo__v1__echo__tell__reply(call, &text) != 0);
    }
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static void serve_gather(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    (void)request;
    void *more = oak_stub_alloc(call, 3000);
    oak_stub_set_data(call, more);
}

static void serve_gather_end(void *user, struct oak_stub_call *call)
{
    (void)user;
    count_message count = DEMO__V1__COUNT__INIT;
    OAK_MAYBE(demo__v1__echo__gather__reply(call, &count) != 0);
}

static void serve_talk(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    OAK_MAYBE(demo__v1__echo__talk__reply(call, request) != 0);
}

static void serve_talk_end(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static const struct demo__v1__echo_handlers handlers = {
    .say = serve_say,
    .tell = {.request = serve_tell},
    .gather = {.message = serve_gather, .half_closed = serve_gather_end},
    .talk = {.message = serve_talk, .half_closed = serve_talk_end},
};

/* -- client ------------------------------------------------------------------------------------ */

static void ended(struct tally *t, const struct oak_rpc_status *status)
{
    t->ended++;
    t->good += status->code == OAK_RPC_OK;
}

static void say_ended(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                      const text_message *response)
{
    (void)call;
    assert_true((status->code == OAK_RPC_OK) == (response != NULL));
    ended(user, status);
}

static void gather_ended(void *user, struct oak_stub_call *call,
                         const struct oak_rpc_status *status, const count_message *response)
{
    (void)call;
    (void)response;
    ended(user, status);
}

static void stream_ended(void *user, struct oak_stub_call *call,
                         const struct oak_rpc_status *status)
{
    (void)call;
    ended(user, status);
}

static const struct demo__v1__echo__tell__callbacks tell_callbacks = {.closed = stream_ended};
static const struct demo__v1__echo__gather__callbacks gather_callbacks = {.done = gather_ended};
static const struct demo__v1__echo__talk__callbacks talk_callbacks = {.closed = stream_ended};

static int call_on_conn(void *channel, const struct oak_rpc_request *request,
                        struct oak_rpc_call **out)
{
    return oak_rpc_conn_call(channel, request, 1, out);
}

static void ask(struct oak_stub_client client, struct tally *t)
{
    struct oak_stub_call *call;
    text_message text = DEMO__TYPES__V1__TEXT__INIT;
    text_message inner = DEMO__TYPES__V1__TEXT__INIT;
    char words[] = "a text that is not short at all";
    text.text = words;
    text.inner = &inner;
    count_message count = DEMO__V1__COUNT__INIT;
    count.count = 3;
    t->started += demo__v1__echo__say__call(client, &text, NULL, say_ended, t, NULL) == 0;
    t->started += demo__v1__echo__tell__call(client, &count, NULL, &tell_callbacks, t, NULL) == 0;
    if (demo__v1__echo__gather__call(client, NULL, &gather_callbacks, t, &call) == 0) {
        t->started++;
        OAK_MAYBE(demo__v1__echo__gather__send(call, &text) != 0);
        OAK_MAYBE(demo__v1__echo__gather__send(call, &text) != 0);
        oak_stub_half_close(call);
    }
    if (demo__v1__echo__talk__call(client, NULL, &talk_callbacks, t, &call) == 0) {
        t->started++;
        OAK_MAYBE(demo__v1__echo__talk__send(call, &text) != 0);
        oak_stub_half_close(call);
    }
}

static bool carry(struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    struct oak_bytes b = oak_rpc_conn_take(from);
    if (b.size > 0) {
        OAK_MAYBE(oak_rpc_conn_feed(to, b, 1) != 0);
    }
    return b.size > 0;
}

static void conversation(struct tally *t)
{
    struct oak_rpc_server *server;
    struct oak_rpc_conn *c = NULL;
    struct oak_rpc_conn *s = NULL;
    if (oak_rpc_server_new(NULL, NULL, &server) != 0) {
        return;
    }
    if (demo__v1__echo_add(server, &handlers, NULL) == 0 &&
        oak_rpc_conn_new(NULL, NULL, "server", 1, &c) == 0 &&
        oak_rpc_conn_new(server, NULL, "client", 1, &s) == 0) {
        for (int round = 0; round < 2; round++) {
            ask((struct oak_stub_client){.call = call_on_conn, .channel = c}, t);
            for (int i = 0; i < 100 && (carry(c, s) || carry(s, c)); i++) {
            }
        }
    }
    oak_rpc_conn_free(c);
    oak_rpc_conn_free(s);
    oak_rpc_server_free(server);
    assert_int_equal(t->started, t->ended);
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    struct tally t = {0};
    conversation(&t);
    assert_int_equal(t.good, 8);
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        t = (struct tally){0};
        conversation(&t);
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
        cmocka_unit_test(every_allocation_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
