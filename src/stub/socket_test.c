/* SPDX-License-Identifier: Apache-2.0 */
/* socket_test.c: typed calls over real sockets, on the loop of the machine. */
#include <stdio.h>

#include "stub/test_echo.h"

#include "oakum/channel.h"
#include "os/os.h"

#define CALLS 200

struct sockets {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_listener *listener;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *subchannel;
    struct oak_channel *channel;
    struct oak_after stop;
    int said;
    int talked;
    bool closing;
    struct oak_stub_call *talk;
};

static void accepted(void *arg, struct oak_stream *s)
{
    struct sockets *w = arg;
    assert_int_equal(oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)), 0);
}

static void stop_when_done(struct oak_after *after)
{
    struct sockets *w = OAK_CONTAINER_OF(after, struct sockets, stop);
    bool over = w->closing ? oak_rpc_server_connections(w->server) == 0
                           : w->said == CALLS && w->talk == NULL;
    if (over) {
        oak_os_loop_stop(w->os);
    }
}

/* -- the service ------------------------------------------------------------------------------- */

static void serve_say(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    assert_int_equal(demo__v1__echo__say__reply(call, request), 0);
}

static void serve_talk(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    assert_int_equal(demo__v1__echo__talk__reply(call, request), 0);
}

static void serve_talk_end(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static const struct demo__v1__echo_handlers handlers = {
    .say = serve_say, .talk = {.message = serve_talk, .half_closed = serve_talk_end}};

/* -- its client -------------------------------------------------------------------------------- */

static void said(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                 const text_message *response)
{
    (void)call;
    struct sockets *w = user;
    assert_int_equal(status->code, OAK_RPC_OK);
    assert_string_equal(response->text, "over a socket");
    w->said++;
}

static void talk_on(struct sockets *w)
{
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    assert_int_equal(demo__v1__echo__talk__send(w->talk, &request), 0);
}

static void talked(void *user, struct oak_stub_call *call, const text_message *response)
{
    (void)response;
    struct sockets *w = user;
    w->talked++;
    if (w->talked < CALLS) {
        talk_on(w);
    } else {
        oak_stub_half_close(call);
    }
}

static void talk_closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct sockets *w = user;
    assert_int_equal(status->code, OAK_RPC_OK);
    w->talk = NULL;
}

static const struct demo__v1__echo__talk__callbacks talk_callbacks = {.message = talked,
                                                                      .closed = talk_closed};

static void talk_over(bool by_channel)
{
    struct sockets w = {.stop.run = stop_when_done};
    struct oak_errbuf e;
    assert_int_equal(oak_os_loop_new(&w.os), 0);
    w.loop = oak_os_loop_port(w.os);
    const struct oak_net *net = &w.loop->net;
    assert_int_equal(oak_rpc_server_new(w.loop, NULL, &w.server), 0);
    assert_int_equal(demo__v1__echo_add(w.server, &handlers, &w), 0);
    assert_int_equal(net->listen(net->user, "127.0.0.1:0", accepted, &w, &w.listener, &e), 0);
    const char *name = net->listener_name(net->user, w.listener);
    char target[64];
    snprintf(target, sizeof(target), "ipv4:%s", name);
    assert_int_equal(oak_rpc_subchannel_new(w.loop, name, NULL, &w.subchannel), 0);
    assert_int_equal(oak_channel_new(w.loop, target, NULL, &w.channel, &e), 0);
    w.loop->after_add(w.loop->user, &w.stop);

    struct oak_stub_client client =
        by_channel ? oak_stub_channel(w.channel) : oak_stub_subchannel(w.subchannel);
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    char text[] = "over a socket";
    request.text = text;
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(demo__v1__echo__say__call(client, &request, NULL, said, &w, NULL), 0);
    }
    assert_int_equal(demo__v1__echo__talk__call(client, NULL, &talk_callbacks, &w, &w.talk), 0);
    talk_on(&w);
    oak_os_loop_run(w.os);
    assert_int_equal(w.talked, CALLS);

    oak_rpc_subchannel_free(w.subchannel);
    oak_channel_free(w.channel);
    w.closing = true;
    oak_os_loop_run(w.os);
    net->listener_close(net->user, w.listener);
    w.loop->after_remove(w.loop->user, &w.stop);
    oak_rpc_server_free(w.server);
    oak_os_loop_free(w.os);
}

static void many_calls_and_a_conversation(void **state)
{
    (void)state;
    talk_over(false);
}

static void the_same_through_a_channel(void **state)
{
    (void)state;
    talk_over(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_calls_and_a_conversation),
        cmocka_unit_test(the_same_through_a_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
