/* SPDX-License-Identifier: Apache-2.0 */
/* conn_fuzz.c: any bytes into a connection, in pieces: every call that a method is given ends, each
 * line that comes back is JSON, and the door goes without a rest. */
#include "json/json.h"
#include "oakum/jsonrpc.h"
#include "rpc/test_loop.h"

#include <demo/echo.oak.h>

typedef Demo__Types__V1__Text text_message;

struct run {
    struct oak_buf got;
    struct oak_stub_call *later[4];
    size_t later_count;
    bool over;
};

static void say(void *user, struct oak_stub_call *call, const text_message *request)
{
    struct run *r = user;
    if (request->inner != NULL) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, request->text);
    } else if (request->n_numbers > 0 && r->later_count < OAK_COUNT_OF(r->later)) {
        r->later[r->later_count++] = call;
    } else {
        OAK_MAYBE(demo__v1__echo__say__reply(call, request) != 0);
    }
}

static const struct demo__v1__echo_handlers handlers = {.say = say};

static void answer(struct run *r)
{
    text_message text = DEMO__TYPES__V1__TEXT__INIT;
    while (r->later_count > 0) {
        OAK_MAYBE(demo__v1__echo__say__reply(r->later[--r->later_count], &text) != 0);
    }
}

static void data(void *user, struct oak_bytes bytes)
{
    struct run *r = user;
    OAK_ASSERT(oak_buf_append(&r->got, bytes.data, bytes.size) == 0);
}

static void drained(void *user)
{
    (void)user;
}

static void closed(void *user, int error)
{
    (void)error;
    ((struct run *)user)->over = true;
}

static void lines_check(struct oak_bytes got)
{
    struct oak_json_problem problem;
    while (got.size > 0) {
        const uint8_t *end = memchr(got.data, '\n', got.size);
        OAK_ASSERT(end != NULL);
        size_t size = (size_t)(end - got.data);
        OAK_ASSERT(oak_json_check(oak_bytes(got.data, size), &problem) == 0);
        got = oak_bytes(end + 1, got.size - size - 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct run r = {.over = false};
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_jsonrpc_server *door;
    const struct oak_jsonrpc_options options = {
        .calls_max = 3, .batch_max = 5, .message_bytes_max = 2000, .reply_bytes_max = 500};
    fake_loop_init(&loop);
    OAK_ASSERT(oak_rpc_server_new(&loop.port, NULL, &server) == 0);
    OAK_ASSERT(demo__v1__echo_add(server, &handlers, &r) == 0);
    OAK_ASSERT(oak_jsonrpc_server_new(&loop.port, server, &options, &door) == 0);
    struct fake_stream *near = fake_stream_new(&loop);
    struct fake_stream *far = fake_stream_new(&loop);
    near->other = far;
    far->other = near;
    const struct oak_stream_handler handler = {
        .data = data, .drained = drained, .closed = closed, .user = &r};
    fake_handle(&far->base, &handler);
    OAK_ASSERT(oak_jsonrpc_serve(door, &near->base) == 0);
    size_t piece = 1 + bytes[0];
    for (size_t at = 1; at < size && !r.over; at += piece) {
        struct oak_bytes next = oak_bytes(bytes + at, OAK_MIN(piece, size - at));
        OAK_MAYBE(fake_write(&far->base, next) != 0);
        fake_run(&loop);
        if (at % 3 == 0) {
            answer(&r);
            fake_run(&loop);
        }
    }
    if (size % 2 == 0) {
        answer(&r);
        fake_run(&loop);
    }
    if (!r.over) {
        fake_close(&far->base, true);
    }
    fake_run(&loop);
    answer(&r);
    lines_check(oak_buf_bytes(&r.got));
    oak_jsonrpc_server_free(door);
    oak_rpc_server_free(server);
    fake_loop_fini(&loop);
    oak_buf_fini(&r.got);
    return 0;
}
