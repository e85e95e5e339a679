/* SPDX-License-Identifier: Apache-2.0 */
/* test_door.h: for tests of this room: a door to demo.v1.Echo, and one client of it, over streams
 * of a loop that the test turns. */
#ifndef OAK_JSONRPC_TEST_DOOR_H
#define OAK_JSONRPC_TEST_DOOR_H

#include <stdio.h>

#include "stub/test_echo.h"

#include "oakum/jsonrpc.h"

struct door {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_jsonrpc_server *door;
    struct fake_stream *client;
    struct oak_stream_handler handler;
    struct oak_buf got;              /* by the client */
    bool closed;                     /* for the client */
    struct oak_stub_call *later[64]; /* calls that are held: Say "later" */
    size_t later_count;
    int said; /* requests that Say had */
    bool refused;
    uint64_t deadline_ns; /* of the last request */
    char path[64];
    char peer[64];
};

static inline void door_say(void *user, struct oak_stub_call *call, const text_message *request)
{
    struct door *d = user;
    const struct oak_rpc_call *rpc = oak_stub_rpc(call);
    struct oak_bytes path = oak_rpc_call_path(rpc);
    d->said++;
    d->deadline_ns = oak_rpc_call_deadline_ns(rpc);
    snprintf(d->path, sizeof(d->path), "%.*s", (int)path.size, (const char *)path.data);
    snprintf(d->peer, sizeof(d->peer), "%s", oak_rpc_call_peer(rpc));
    if (strcmp(request->text, "fail") == 0) {
        oak_stub_finish(call, OAK_RPC_DATA_LOSS, "it is \"lost\"");
    } else if (strcmp(request->text, "details") == 0) {
        OAK_MAYBE(oak_stub_finish_details(call, OAK_RPC_ABORTED, "see there",
                                          oak_bytes_str("\x01\xff")) != 0);
    } else if (strcmp(request->text, "cancel") == 0) {
        oak_stub_cancel(call);
    } else if (strcmp(request->text, "later") == 0) {
        assert_true(d->later_count < OAK_COUNT_OF(d->later));
        d->later[d->later_count++] = call;
    } else {
        OAK_MAYBE(oak_stub_reply(call, &request->base) != 0);
    }
}

static inline void door_tell(void *user, struct oak_stub_call *call, const count_message *request)
{
    (void)user;
    (void)call;
    (void)request;
    fail_msg("a method that streams was called");
}

static const struct demo__v1__echo_handlers door_handlers = {
    .say = door_say,
    .tell = {.request = door_tell},
};

/* Answer the one that has been held for the longest time. */
static inline void door_answer(struct door *d, const char *text)
{
    assert_true(d->later_count > 0);
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.text = (char *)(uintptr_t)text;
    struct oak_stub_call *call = d->later[0];
    d->later_count--;
    memmove(&d->later[0], &d->later[1], d->later_count * sizeof(call));
    OAK_MAYBE(demo__v1__echo__say__reply(call, &response) != 0);
}

static inline void door_data(void *user, struct oak_bytes bytes)
{
    struct door *d = user;
    assert_int_equal(oak_buf_append(&d->got, bytes.data, bytes.size), 0);
}

static inline void door_drained(void *user)
{
    (void)user;
}

static inline void door_gone(void *user, int error)
{
    (void)error;
    struct door *d = user;
    d->closed = true;
    d->client = NULL;
}

static inline void door_accept(void *arg, struct oak_stream *s)
{
    struct door *d = arg;
    static const struct oak_stream_handler none = {.data = door_data, .closed = door_gone};
    static struct door nobody;
    if (oak_jsonrpc_serve(d->door, s) != 0) {
        static struct oak_stream_handler to_nobody;
        to_nobody = none;
        to_nobody.user = &nobody;
        d->refused = true;
        s->ops->handle(s, &to_nobody);
        s->ops->close(s, true);
    }
}

static inline void door_connected(void *arg, int error, struct oak_stream *s)
{
    struct door *d = arg;
    assert_int_equal(error, 0);
    d->client = (struct fake_stream *)s;
    d->closed = false;
    d->handler = (struct oak_stream_handler){
        .data = door_data, .drained = door_drained, .closed = door_gone, .user = d};
    s->ops->handle(s, &d->handler);
}

static inline void door_connect(struct door *d)
{
    assert_int_equal(fake_connect(&d->loop, "fake:1", SECOND, door_connected, d), 0);
    fake_run(&d->loop);
}

static inline void door_open(struct door *d, const struct oak_jsonrpc_options *options)
{
    *d = (struct door){.closed = true};
    fake_loop_init(&d->loop);
    d->loop.accepted = door_accept;
    d->loop.accepted_arg = d;
    assert_int_equal(oak_rpc_server_new(&d->loop.port, NULL, &d->server), 0);
    assert_int_equal(demo__v1__echo_add(d->server, &door_handlers, d), 0);
    assert_int_equal(oak_jsonrpc_server_new(&d->loop.port, d->server, options, &d->door), 0);
    door_connect(d);
}

static inline void door_hang_up(struct door *d)
{
    if (d->client != NULL) {
        fake_close(&d->client->base, true);
    }
    fake_run(&d->loop);
    assert_int_equal(oak_jsonrpc_server_connections(d->door), 0);
}

static inline void door_close(struct door *d)
{
    door_hang_up(d);
    while (d->later_count > 0) {
        door_answer(d, "nobody hears it");
    }
    oak_jsonrpc_server_free(d->door);
    oak_rpc_server_free(d->server);
    fake_loop_fini(&d->loop);
    oak_buf_fini(&d->got);
}

static inline void door_write(struct door *d, const void *bytes, size_t size)
{
    if (d->client != NULL) {
        OAK_MAYBE(fake_write(&d->client->base, oak_bytes(bytes, size)) != 0);
    }
    fake_run(&d->loop);
}

static inline void door_send(struct door *d, const char *text)
{
    door_write(d, text, strlen(text));
}

/* All that has come since the last look. */
static inline void door_expect(struct door *d, const char *text)
{
    assert_int_equal(oak_buf_append(&d->got, "", 1), 0);
    assert_string_equal((const char *)d->got.data, text);
    oak_buf_clear(&d->got);
}

static inline void door_ask(struct door *d, const char *text, const char *reply)
{
    door_send(d, text);
    door_expect(d, reply);
}

static inline struct oak_jsonrpc_traffic door_traffic(const struct door *d)
{
    struct oak_jsonrpc_traffic t;
    oak_jsonrpc_server_traffic(d->door, &t);
    return t;
}

#endif
