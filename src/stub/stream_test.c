/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c: typed streaming calls of all three kinds. */
#include "stub/test_echo.h"

/* What the handlers saw. */
struct seen {
    int started;
    int messages;
    int half_closed;
    int writable;
    int closed;
    enum oak_rpc_code code;
    struct oak_stub_call *held;
    int32_t left; /* texts that `tell` still owes */
};

static struct seen *seen_of(void *user)
{
    return ((struct world *)user)->data;
}

static void on_start(void *user, struct oak_stub_call *call)
{
    struct seen *s = seen_of(user);
    s->started++;
    s->held = call;
    int32_t *count = oak_stub_alloc(call, sizeof(*count));
    assert_non_null(count);
    assert_int_equal(*count, 0);
    oak_stub_set_data(call, count);
}

static void on_closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    struct seen *s = seen_of(user);
    assert_ptr_equal(s->held, call);
    s->held = NULL;
    s->closed++;
    s->code = status->code;
}

/* -- Tell: as many texts as asked for, as fast as they are taken ------------------------------- */

#define TELL_BYTES 10000

static void tell_on(void *user, struct oak_stub_call *call)
{
    struct seen *s = seen_of(user);
    static char text[TELL_BYTES + 1];
    memset(text, 'x', TELL_BYTES);
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.text = text;
    while (s->left > 0 && oak_stub_queued(call) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        assert_int_equal(demo__v1__echo__tell__reply(call, &response), 0);
        s->left--;
    }
    if (s->left == 0) {
        oak_stub_finish(call, OAK_RPC_OK, NULL);
        assert_int_equal(demo__v1__echo__tell__reply(call, &response), OAK_ECLOSED);
    }
}

static void tell_request(void *user, struct oak_stub_call *call, const count_message *request)
{
    struct seen *s = seen_of(user);
    s->held = call;
    s->left = request->count;
    if (request->count >= 0) {
        tell_on(user, call);
    } else {
        oak_stub_finish(call, OAK_RPC_OUT_OF_RANGE, "less than none");
    }
}

static void tell_writable(void *user, struct oak_stub_call *call)
{
    seen_of(user)->writable++;
    tell_on(user, call);
}

/* -- Gather and Talk --------------------------------------------------------------------------- */

static void gather_message(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)request;
    seen_of(user)->messages++;
    *(int32_t *)oak_stub_data(call) += 1;
}

static void gather_half_closed(void *user, struct oak_stub_call *call)
{
    seen_of(user)->half_closed++;
    count_message response = DEMO__V1__COUNT__INIT;
    response.count = *(int32_t *)oak_stub_data(call);
    assert_int_equal(demo__v1__echo__gather__reply(call, &response), 0);
    assert_int_equal(demo__v1__echo__gather__reply(call, &response), OAK_ECLOSED);
}

static void talk_message(void *user, struct oak_stub_call *call, const text_message *request)
{
    seen_of(user)->messages++;
    if (strcmp(request->text, "bye") == 0) {
        oak_stub_finish(call, OAK_RPC_ABORTED, "bye");
    } else {
        assert_int_equal(demo__v1__echo__talk__reply(call, request), 0);
    }
}

static void talk_half_closed(void *user, struct oak_stub_call *call)
{
    seen_of(user)->half_closed++;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static const struct demo__v1__echo_handlers handlers = {
    .tell = {.request = tell_request, .writable = tell_writable, .closed = on_closed},
    .gather = {.start = on_start,
               .message = gather_message,
               .half_closed = gather_half_closed,
               .closed = on_closed},
    .talk = {.start = on_start,
             .message = talk_message,
             .half_closed = talk_half_closed,
             .closed = on_closed},
};

/* -- the client -------------------------------------------------------------------------------- */

static void told_headers(void *user, struct oak_stub_call *call)
{
    (void)call;
    ((struct told *)user)->headers++;
}

static void told_writable(void *user, struct oak_stub_call *call)
{
    (void)call;
    ((struct told *)user)->writable++;
}

static void told_message(void *user, struct oak_stub_call *call, const text_message *response)
{
    struct told *t = user;
    assert_int_equal(t->done, 0);
    assert_true(oak_stub_bytes(call).size > 0);
    t->messages++;
    told_text(t, response);
    if (t->pause) {
        oak_stub_pause(call, true);
    }
}

static void told_closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    told_status(user, status);
}

static void told_done(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                      const count_message *response)
{
    (void)call;
    struct told *t = user;
    told_status(t, status);
    t->response = response != NULL;
    t->count = response != NULL ? response->count : -1;
}

static const struct demo__v1__echo__tell__callbacks tell_callbacks = {
    .headers = told_headers, .message = told_message, .closed = told_closed};
static const struct demo__v1__echo__gather__callbacks gather_callbacks = {
    .headers = told_headers, .writable = told_writable, .done = told_done};
static const struct demo__v1__echo__talk__callbacks talk_callbacks = {.headers = told_headers,
                                                                      .message = told_message,
                                                                      .writable = told_writable,
                                                                      .closed = told_closed};

static struct oak_stub_call *tell(struct world *w, int32_t count, struct told *t)
{
    count_message request = DEMO__V1__COUNT__INIT;
    request.count = count;
    struct oak_stub_call *call;
    assert_int_equal(
        demo__v1__echo__tell__call(w->client, &request, NULL, &tell_callbacks, t, &call), 0);
    return call;
}

static void send_gather(struct oak_stub_call *call, const char *text)
{
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    request.text = (char *)(uintptr_t)text;
    assert_int_equal(demo__v1__echo__gather__send(call, &request), 0);
}

static void send_talk(struct oak_stub_call *call, const char *text)
{
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    request.text = (char *)(uintptr_t)text;
    assert_int_equal(demo__v1__echo__talk__send(call, &request), 0);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void a_server_streams_as_fast_as_the_client_takes(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &handlers, &s);
    tell(&w, 300, &t);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 300);
    assert_int_equal(t.headers, 1);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_true(s.writable > 0);
    assert_int_equal(s.closed, 1);
    /* A client that holds back stops the server well before the end. */
    t = (struct told){.pause = true};
    struct oak_stub_call *call = tell(&w, 3000, &t);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 1);
    assert_true(s.left > 2000);
    t.pause = false;
    oak_stub_pause(call, false);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 3000);
    assert_int_equal(t.done, 1);
    world_close(&w);
}

static void a_stream_may_end_with_a_status_alone(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &handlers, &s);
    tell(&w, -1, &t);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 0);
    assert_int_equal(t.code, OAK_RPC_OUT_OF_RANGE);
    assert_string_equal(t.status, "less than none");
    t = (struct told){0};
    tell(&w, 0, &t);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    world_close(&w);
}

static void a_client_streams_and_gets_one_response(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &handlers, &s);
    struct oak_stub_call *call;
    assert_int_equal(demo__v1__echo__gather__call(w.client, NULL, &gather_callbacks, &t, &call), 0);
    fake_run(&w.loop);
    assert_int_equal(s.started, 1);
    send_gather(call, "one");
    send_gather(call, "");
    fake_run(&w.loop);
    assert_int_equal(s.messages, 2);
    assert_int_equal(t.done, 0);
    send_gather(call, "three");
    oak_stub_half_close(call);
    fake_run(&w.loop);
    assert_int_equal(s.half_closed, 1);
    assert_int_equal(s.closed, 1);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_int_equal(t.count, 3);
    /* None at all. */
    assert_int_equal(demo__v1__echo__gather__call(w.client, NULL, &gather_callbacks, &t, &call), 0);
    oak_stub_half_close(call);
    fake_run(&w.loop);
    assert_int_equal(t.done, 2);
    assert_true(t.response);
    assert_int_equal(t.count, 0);
    world_close(&w);
}

static void both_sides_stream(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &handlers, &s);
    struct oak_stub_call *call;
    assert_int_equal(demo__v1__echo__talk__call(w.client, NULL, &talk_callbacks, &t, &call), 0);
    send_talk(call, "ping");
    fake_run(&w.loop);
    assert_string_equal(t.text, "ping");
    send_talk(call, "pong");
    fake_run(&w.loop);
    assert_string_equal(t.text, "pong");
    oak_stub_half_close(call);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 2);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_int_equal(s.half_closed, 1);
    /* The server has enough of it first; what still comes is dropped. */
    assert_int_equal(demo__v1__echo__talk__call(w.client, NULL, &talk_callbacks, &t, &call), 0);
    send_talk(call, "bye");
    send_talk(call, "and another thing");
    fake_run(&w.loop);
    assert_int_equal(t.done, 2);
    assert_int_equal(t.code, OAK_RPC_ABORTED);
    assert_int_equal(t.messages, 2);
    assert_int_equal(s.messages, 3);
    world_close(&w);
}

static void a_client_that_goes_is_told_of_once(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &handlers, &s);
    struct oak_stub_call *call;
    assert_int_equal(demo__v1__echo__talk__call(w.client, NULL, &talk_callbacks, &t, &call), 0);
    send_talk(call, "ping");
    fake_run(&w.loop);
    oak_stub_cancel(call);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_CANCELLED);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.code, OAK_RPC_CANCELLED);
    /* And the other way: the server cuts it off. */
    t = (struct told){0};
    assert_int_equal(demo__v1__echo__talk__call(w.client, NULL, &talk_callbacks, &t, &call), 0);
    send_talk(call, "ping");
    fake_run(&w.loop);
    oak_stub_cancel(s.held);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_CANCELLED);
    assert_int_equal(s.closed, 2);
    world_close(&w);
}

static void a_producer_is_told_when_to_go_on(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &handlers, &s);
    struct oak_stub_call *call;
    assert_int_equal(demo__v1__echo__gather__call(w.client, NULL, &gather_callbacks, &t, &call), 0);
    static char text[100001];
    memset(text, 'y', sizeof(text) - 1);
    int sent = 0;
    while (oak_stub_queued(call) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        send_gather(call, text);
        sent++;
    }
    assert_int_equal(t.writable, 0);
    fake_run(&w.loop);
    assert_int_equal(t.writable, 1);
    oak_stub_half_close(call);
    fake_run(&w.loop);
    assert_int_equal(t.count, sent);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_streams_as_fast_as_the_client_takes),
        cmocka_unit_test(a_stream_may_end_with_a_status_alone),
        cmocka_unit_test(a_client_streams_and_gets_one_response),
        cmocka_unit_test(both_sides_stream),
        cmocka_unit_test(a_client_that_goes_is_told_of_once),
        cmocka_unit_test(a_producer_is_told_when_to_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
