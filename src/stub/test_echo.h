/* SPDX-License-Identifier: Apache-2.0 */
/* test_echo.h: for tests of this room: a server that adds demo.v1.Echo with the handlers of a test,
 * and a client of it, over streams of a loop that the test turns. */
#ifndef OAK_STUB_TEST_ECHO_H
#define OAK_STUB_TEST_ECHO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <demo/echo.oak.h>

#include "oakum/stub.h"
#include "rpc/test_loop.h"

#define SECOND ((uint64_t)1000000000)

typedef Demo__Types__V1__Text text_message;
typedef Demo__V1__Count count_message;

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *channel;
    struct oak_stub_client client;
    void *data; /* the test's */
};

static inline void world_accept(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)), 0);
}

/* The handlers get the world as their user. */
static inline void world_open(struct world *w, const struct demo__v1__echo_handlers *handlers,
                              void *data)
{
    *w = (struct world){.data = data};
    fake_loop_init(&w->loop);
    w->loop.accepted = world_accept;
    w->loop.accepted_arg = w;
    assert_int_equal(oak_rpc_server_new(&w->loop.port, NULL, &w->server), 0);
    assert_int_equal(demo__v1__echo_add(w->server, handlers, w), 0);
    assert_int_equal(oak_rpc_subchannel_new(&w->loop.port, "fake:1", NULL, &w->channel), 0);
    w->client = oak_stub_subchannel(w->channel);
}

static inline void world_close(struct world *w)
{
    oak_rpc_subchannel_free(w->channel);
    fake_run(&w->loop);
    assert_int_equal(oak_rpc_server_connections(w->server), 0);
    oak_rpc_server_free(w->server);
    fake_loop_fini(&w->loop);
}

/* -- what a client was told -------------------------------------------------------------------- */

struct told {
    int done;
    int messages;
    int headers;
    int writable;
    enum oak_rpc_code code;
    char status[128];
    char details[64];
    bool response; /* there was one */
    char text[64];
    int32_t count;
    bool pause; /* after each message */
};

static inline void told_status(struct told *t, const struct oak_rpc_status *status)
{
    t->done++;
    t->code = status->code;
    size_t size = OAK_MIN(status->message.size, sizeof(t->status) - 1);
    if (size > 0) {
        memcpy(t->status, status->message.data, size);
    }
    t->status[size] = '\0';
    size = OAK_MIN(status->details.size, sizeof(t->details) - 1);
    if (size > 0) {
        memcpy(t->details, status->details.data, size);
    }
    t->details[size] = '\0';
}

static inline void told_text(struct told *t, const text_message *text)
{
    size_t size = OAK_MIN(strlen(text->text), sizeof(t->text) - 1);
    memcpy(t->text, text->text, size);
    t->text[size] = '\0';
}

static inline void say_done(void *user, struct oak_stub_call *call,
                            const struct oak_rpc_status *status, const text_message *response)
{
    (void)call;
    struct told *t = user;
    told_status(t, status);
    t->response = response != NULL;
    if (response != NULL) {
        told_text(t, response);
    }
}

/* Ask, without letting the loop run. */
static inline struct oak_stub_call *say(struct world *w, const char *text, struct told *t)
{
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    request.text = (char *)(uintptr_t)text;
    struct oak_stub_call *call = NULL;
    const struct oak_rpc_request how = {.timeout_ns = 5 * SECOND};
    assert_int_equal(demo__v1__echo__say__call(w->client, &request, &how, say_done, t, &call), 0);
    assert_non_null(call);
    return call;
}

#endif
