/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation of some requests fails once: the door lives on, every call that a
 * method was given is told its end, and all memory is given back. */
#include "rpc/test_memory.h"

#include "transcode/test_gate.h"

static int started;
static int closed;

static void memory_closed(void *user, struct oak_stub_call *call,
                          const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
    closed++;
}

static void memory_say(void *user, struct oak_stub_call *call, const text_message *request)
{
    const struct oak_rpc_pair pair = {oak_bytes_str("x-bin"), oak_bytes_str("\xff\xfe")};
    (void)user;
    started++;
    oak_stub_on_closed(call, memory_closed);
    OAK_MAYBE(oak_rpc_call_add_header(oak_stub_rpc(call), pair) != 0);
    if (request->inner != NULL) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, "there is nothing of that name");
    } else {
        OAK_MAYBE(oak_stub_reply(call, &request->base) != 0);
    }
}

static void memory_start(void *user, struct oak_stub_call *call)
{
    (void)user;
    (void)call;
    started++;
}

static void memory_talk(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    OAK_MAYBE(demo__v1__echo__talk__reply(call, request) != 0);
}

static void memory_half_closed(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_finish(call, OAK_RPC_ABORTED, "that is all");
}

static const struct demo__v1__echo_handlers handlers = {
    .say = memory_say,
    .talk = {.start = memory_start,
             .message = memory_talk,
             .half_closed = memory_half_closed,
             .closed = memory_closed},
};

static const struct {
    const char *path;
    const char *headers;
    const char *body;
} requests[] = {
    {"say", "Authorization: token\r\nGrpc-Metadata-x-bin: AP8=\r\nGrpc-Timeout: 9S\r\n",
     "{\"text\":\"a \\\"text\\\" of more than a few bytes\"}"},
    {"say", "", "{\"inner\":{}}"},
    {"none", "", "{}"},
    {"talk", "", "{\"text\":\"a\"} {\"text\":\"b\"}"},
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

static int request_write(struct fake_stream *to, size_t i)
{
    struct oak_buf text = {0};
    memory_hold();
    assert_int_equal(
        oak_buf_printf(&text, "POST /v3/%s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n%s",
                       requests[i].path, requests[i].headers, strlen(requests[i].body),
                       requests[i].body),
        0);
    int error = fake_write(&to->base, oak_buf_bytes(&text));
    oak_buf_fini(&text);
    memory_release();
    return error;
}

static void conversation(void)
{
    struct fake_loop loop;
    struct oak_http_server *http = NULL;
    struct oak_rpc_server *methods = NULL;
    struct oak_transcode *door = NULL;
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
    assert_int_equal(oak_rpc_server_new(&loop.port, NULL, &methods), 0);
    assert_int_equal(demo__v1__echo_add(methods, &handlers, NULL), 0);
    memory_release();
    started = 0;
    closed = 0;
    struct oak_transcode_options options = {.loop = &loop.port,
                                            .methods = methods,
                                            .prefixes = gate_prefixes,
                                            .prefix_count = OAK_COUNT_OF(gate_prefixes),
                                            .routes = gate_routes,
                                            .route_count = OAK_COUNT_OF(gate_routes)};
    if (oak_http_server_new(&loop.port, NULL, &http) == 0) {
        options.http = http;
        if (oak_transcode_new(&options, &door) == 0 &&
            oak_http_serve(http, &ours->base, oak_bytes(NULL, 0)) == 0) {
            for (size_t i = 0; i < OAK_COUNT_OF(requests) && theirs->other != NULL; i++) {
                if (request_write(theirs, i) == 0) {
                    fake_run(&loop);
                }
            }
        }
    }
    if (!over[0]) {
        fake_close(&theirs->base, true);
    }
    fake_run(&loop);
    assert_int_equal(started, closed);
    oak_transcode_free(door);
    oak_http_server_free(http);
    oak_rpc_server_free(methods);
    fake_loop_fini(&loop);
}

static void test_each_allocation(void **state)
{
    (void)state;
    conversation();
    assert_int_equal(started, 3);
    long n = 0;
    for (; memory_begin(n); n++) {
        conversation();
        if (!memory_end()) {
            break;
        }
    }
    if (MEMORY_COUNTS) {
        assert_true(n > 30);
        assert_int_equal(started, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
