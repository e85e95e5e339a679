/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation of a conversation fails once: the door lives on, every call that a
 * method was given is told its end, and all memory is given back. */
#include "rpc/test_memory.h"

#include "jsonrpc/test_door.h"

static int started;
static int closed;

static void memory_call_closed(void *user, struct oak_stub_call *call,
                               const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
    closed++;
}

static void memory_say(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    started++;
    oak_stub_on_closed(call, memory_call_closed);
    if (request->inner != NULL) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, "there is nothing of that name");
    } else {
        OAK_MAYBE(oak_stub_reply(call, &request->base) != 0);
    }
}

static const struct demo__v1__echo_handlers handlers = {.say = memory_say};

static const char *const texts[] = {
    "{\"method\":\"Ech\\u006f.Say\",\"params\":[{\"text\":\"a \\\"text\\\" that is not short\"}],",
    "\"id\":1}{\"jsonrpc\":\"2.0\",\"method\":\"Echo.Say\",\"params\":{\"inner\":{}},\"id\":\"a\"}",
    "[{\"jsonrpc\":\"2.0\",\"method\":\"Echo.Say\",\"params\":[{\"numbers\":[1,2,3]}],\"id\":2},",
    ("{\"jsonrpc\":\"2.0\",\"method\":\"Echo.Say\"},7,"
     "{\"jsonrpc\":\"2.0\",\"method\":\"X\",\"id\":9}]"),
    "{\"method\":\"Echo.Say\",\"params\":[{\"inner\":{}}],\"id\":3}",
};

static void quiet(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}

static void quiet_closed(void *user, int error)
{
    (void)error;
    *(bool *)user = true;
}

/* The streams are the test's own: they have memory. */
static int held_write(struct oak_stream *s, struct oak_bytes bytes)
{
    memory_hold();
    int error = fake_write(s, bytes);
    memory_release();
    return error;
}

static void conversation(void)
{
    struct fake_loop loop;
    struct oak_rpc_server *server = NULL;
    struct oak_jsonrpc_server *door = NULL;
    memory_hold();
    fake_loop_init(&loop);
    struct fake_stream *ours = fake_stream_new(&loop);
    struct fake_stream *theirs = fake_stream_new(&loop);
    struct oak_stream_ops ops = fake_ops;
    ops.write = held_write;
    ours->base.ops = &ops;
    ours->other = theirs;
    theirs->other = ours;
    bool over[2] = {false, false};
    const struct oak_stream_handler client = {
        .data = quiet, .drained = NULL, .closed = quiet_closed, .user = &over[0]};
    const struct oak_stream_handler nobody = {
        .data = quiet, .drained = NULL, .closed = quiet_closed, .user = &over[1]};
    fake_handle(&theirs->base, &client);
    fake_handle(&ours->base, &nobody);
    assert_int_equal(oak_rpc_server_new(&loop.port, NULL, &server), 0);
    assert_int_equal(demo__v1__echo_add(server, &handlers, NULL), 0);
    memory_release();
    started = 0;
    closed = 0;
    const struct oak_rpc_interceptor chain = {.state_bytes = 40};
    const struct oak_jsonrpc_options options = {.interceptors = &chain, .interceptor_count = 1};
    if (oak_jsonrpc_server_new(&loop.port, server, &options, &door) == 0 &&
        oak_jsonrpc_serve(door, &ours->base) == 0) {
        for (size_t i = 0; i < OAK_COUNT_OF(texts) && theirs->other != NULL; i++) {
            if (held_write(&theirs->base, oak_bytes_str(texts[i])) == 0) {
                fake_run(&loop);
            }
        }
    }
    if (!over[0]) {
        fake_close(&theirs->base, true);
    }
    fake_run(&loop);
    assert_int_equal(started, closed);
    oak_jsonrpc_server_free(door);
    oak_rpc_server_free(server);
    fake_loop_fini(&loop);
}

static void test_each_allocation(void **state)
{
    (void)state;
    conversation();
    assert_int_equal(started, 5);
    long n = 0;
    for (; memory_begin(n); n++) {
        conversation();
        if (!memory_end()) {
            break;
        }
    }
    if (MEMORY_COUNTS) {
        assert_true(n > 30);
        assert_int_equal(started, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
