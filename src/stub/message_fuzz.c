/* SPDX-License-Identifier: Apache-2.0 */
/* message_fuzz.c: any bytes as a request to typed handlers, and as a response to a typed client: a
 * call ends in one way or another, and what a handler says back decodes to the same length. */
#include <stdlib.h>

#include <demo/echo.oak.h>

#include "oakum/stub.h"
#include "port/port.h"

typedef Demo__Types__V1__Text text_message;

struct run {
    struct oak_rpc_conn *client;
    struct oak_rpc_conn *server;
    struct oak_bytes bytes;
    int ended;
};

static void say(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    OAK_ASSERT(request->base.descriptor == &demo__types__v1__text__descriptor);
    OAK_ASSERT_EQ(demo__v1__echo__say__reply(call, request), 0);
}

static void talk(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    OAK_ASSERT_EQ(demo__v1__echo__talk__reply(call, request), 0);
}

static void talk_end(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static const struct demo__v1__echo_handlers handlers = {
    .say = say, .talk = {.message = talk, .half_closed = talk_end}};

/* -- a client of bytes ------------------------------------------------------------------------- */

static void raw_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    (void)call;
    text_message *text = demo__types__v1__text__unpack(NULL, bytes.size, bytes.data);
    OAK_ASSERT(text != NULL);
    OAK_ASSERT_EQ(demo__types__v1__text__get_packed_size(text), bytes.size);
    demo__types__v1__text__free_unpacked(text, NULL);
}

static void raw_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    ((struct run *)user)->ended++;
}

static const struct oak_rpc_handler raw_handler = {.message = raw_message, .closed = raw_closed};

static void ask(struct run *r, const char *method)
{
    const struct oak_rpc_request request = {
        .service = "demo.v1.Echo", .method = method, .handler = &raw_handler, .user = r};
    struct oak_rpc_call *call;
    OAK_ASSERT_EQ(oak_rpc_conn_call(r->client, &request, 1, &call), 0);
    OAK_ASSERT_EQ(oak_rpc_call_send(call, r->bytes), 0);
    oak_rpc_call_half_close(call);
}

/* -- a server of bytes, and a typed client ----------------------------------------------------- */

static void answer_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)bytes;
    OAK_ASSERT_EQ(oak_rpc_call_send(call, ((struct run *)user)->bytes), 0);
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static void answer_closed(void *user, struct oak_rpc_call *call,
                          const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static const struct oak_rpc_handler answer_handler = {.message = answer_message,
                                                      .closed = answer_closed};

static void answer_start(void *user, struct oak_rpc_call *call)
{
    oak_rpc_call_handle(call, &answer_handler, user);
}

static void done(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                 const Demo__V1__Count__Detail *response)
{
    (void)call;
    OAK_ASSERT((status->code == OAK_RPC_OK) == (response != NULL));
    ((struct run *)user)->ended++;
}

static int call_on_conn(void *channel, const struct oak_rpc_request *request,
                        struct oak_rpc_call **out)
{
    return oak_rpc_conn_call(channel, request, 1, out);
}

static void ask_typed(struct run *r)
{
    Demo__Types__V1__NewerText request = DEMO__TYPES__V1__NEWER_TEXT__INIT;
    struct oak_stub_client client = {.call = call_on_conn, .channel = r->client};
    OAK_ASSERT_EQ(demo__v1__echo__newer_say__call(client, &request, NULL, done, r, NULL), 0);
}

static bool carry(struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    struct oak_bytes b = oak_rpc_conn_take(from);
    if (b.size > 0) {
        OAK_ASSERT_EQ(oak_rpc_conn_feed(to, b, 1), 0);
    }
    return b.size > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {.bytes = oak_bytes(data, size)};
    struct oak_rpc_server *server;
    const struct oak_rpc_method raw = {.service = "demo.v1.Echo",
                                       .name = "NewerSay",
                                       .kind = OAK_RPC_UNARY,
                                       .start = answer_start,
                                       .user = &r};
    OAK_ASSERT_EQ(oak_rpc_server_new(NULL, NULL, &server), 0);
    OAK_ASSERT_EQ(demo__v1__echo_add(server, &handlers, &r), 0);
    OAK_ASSERT_EQ(oak_rpc_server_add(server, &raw), 0);
    OAK_ASSERT_EQ(oak_rpc_conn_new(NULL, NULL, "server", 1, &r.client), 0);
    OAK_ASSERT_EQ(oak_rpc_conn_new(server, NULL, "client", 1, &r.server), 0);
    ask(&r, "Say");
    ask(&r, "Talk");
    ask_typed(&r);
    bool more = true;
    while (more) {
        more = carry(r.client, r.server);
        more = carry(r.server, r.client) || more;
    }
    OAK_ASSERT_EQ(r.ended, 3);
    oak_rpc_conn_free(r.client);
    oak_rpc_conn_free(r.server);
    oak_rpc_server_free(server);
    return 0;
}
