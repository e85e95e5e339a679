/* SPDX-License-Identifier: Apache-2.0 */
/* peer_test.c: a typed side against one that sends what it likes: fields that are not known,
 * responses that are none, or one too many. */
#include "stub/test_echo.h"

/* -- a server of bytes under the typed service's name ------------------------------------------ */

struct raw {
    int responses; /* to a request */
    struct oak_bytes response;
    enum oak_rpc_code code;
    int closed;
};

static void raw_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)bytes;
    struct raw *raw = user;
    for (int i = 0; i < raw->responses; i++) {
        assert_int_equal(oak_rpc_call_send(call, raw->response), 0);
    }
    oak_rpc_call_finish(call, raw->code, "raw");
}

static void raw_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    ((struct raw *)user)->closed++;
}

static const struct oak_rpc_handler raw_handler = {.message = raw_message, .closed = raw_closed};

static void raw_start(void *user, struct oak_rpc_call *call)
{
    oak_rpc_call_handle(call, &raw_handler, user);
}

static void raw_open(struct world *w, struct raw *raw)
{
    static const struct demo__v1__echo_handlers nothing = {.newer_say = NULL};
    world_open(w, &nothing, NULL);
    const char *const names[] = {"Say", "Tell"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        const struct oak_rpc_method method = {.service = "demo.v1.Echo",
                                              .name = names[i],
                                              .kind = OAK_RPC_BIDI,
                                              .start = raw_start,
                                              .user = raw};
        assert_int_equal(oak_rpc_server_add(w->server, &method), 0);
    }
}

static void ask(struct raw raw, struct told *t)
{
    struct world w;
    raw_open(&w, &raw);
    say(&w, "hello", t);
    fake_run(&w.loop);
    assert_int_equal(t->done, 1);
    assert_int_equal(raw.closed, 1);
    world_close(&w);
}

static const uint8_t text_hi[] = {0x0a, 2, 'h', 'i'};

static void one_response_is_one_response(void **state)
{
    (void)state;
    const struct oak_bytes hi = oak_bytes(text_hi, sizeof(text_hi));
    struct told t = {0};
    ask((struct raw){.responses = 1, .response = hi}, &t);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_string_equal(t.text, "hi");
    t = (struct told){0};
    ask((struct raw){.responses = 0}, &t);
    assert_int_equal(t.code, OAK_RPC_INTERNAL);
    assert_false(t.response);
    t = (struct told){0};
    ask((struct raw){.responses = 2, .response = hi}, &t);
    assert_int_equal(t.code, OAK_RPC_INTERNAL);
    assert_false(t.response);
    t = (struct told){0};
    ask((struct raw){.responses = 1, .response = hi, .code = OAK_RPC_ABORTED}, &t);
    assert_int_equal(t.code, OAK_RPC_ABORTED);
    assert_string_equal(t.status, "raw");
    assert_false(t.response);
}

static void a_response_that_is_no_message_is_an_internal_error(void **state)
{
    (void)state;
    struct told t = {0};
    ask((struct raw){.responses = 1, .response = oak_bytes("\x0a\x05", 2)}, &t);
    assert_int_equal(t.code, OAK_RPC_INTERNAL);
    assert_string_equal(t.status, "grpc: failed to unmarshal the received message");
    assert_false(t.response);
}

static void told_message(void *user, struct oak_stub_call *call, const text_message *response)
{
    (void)call;
    ((struct told *)user)->messages++;
    assert_string_equal(response->text, "hi");
}

static void told_closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    told_status(user, status);
}

static void a_stream_is_cut_where_it_becomes_unreadable(void **state)
{
    (void)state;
    static const struct demo__v1__echo__tell__callbacks callbacks = {.message = told_message,
                                                                     .closed = told_closed};
    struct world w;
    struct told t = {0};
    struct raw raw = {.responses = 3, .response = oak_bytes(text_hi, sizeof(text_hi))};
    count_message request = DEMO__V1__COUNT__INIT;
    raw_open(&w, &raw);
    assert_int_equal(demo__v1__echo__tell__call(w.client, &request, NULL, &callbacks, &t, NULL), 0);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 3);
    assert_int_equal(t.code, OAK_RPC_OK);
    raw.response = oak_bytes("\x0b\x0c", 2); /* a group */
    assert_int_equal(demo__v1__echo__tell__call(w.client, &request, NULL, &callbacks, &t, NULL), 0);
    fake_run(&w.loop);
    assert_int_equal(t.messages, 3);
    assert_int_equal(t.done, 2);
    assert_int_equal(t.code, OAK_RPC_INTERNAL);
    world_close(&w);
}

/* -- fields that this side doesn't know ------------------------------------------------------- */

static void say_back(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    assert_int_equal(demo__v1__echo__say__reply(call, request), 0);
}

struct bytes_told {
    uint8_t data[256];
    size_t size;
};

static void bytes_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)call;
    struct bytes_told *t = user;
    assert_true(bytes.size <= sizeof(t->data));
    memcpy(t->data, bytes.data, bytes.size);
    t->size = bytes.size;
}

static void bytes_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    assert_int_equal(status->code, OAK_RPC_OK);
}

static const struct oak_rpc_handler bytes_handler = {.message = bytes_message,
                                                     .closed = bytes_closed};

static void unknown_fields_come_back(void **state)
{
    (void)state;
    static const struct demo__v1__echo_handlers handlers = {.say = say_back};
    struct world w;
    world_open(&w, &handlers, NULL);
    uint32_t marks[] = {7, 0xffffffff};
    Demo__Types__V1__NewerText newer = DEMO__TYPES__V1__NEWER_TEXT__INIT;
    char known[] = "known";
    char unknown[] = "unknown";
    newer.text = known;
    newer.mood = unknown;
    newer.marks = marks;
    newer.n_marks = OAK_COUNT_OF(marks);
    uint8_t sent[256];
    size_t size = demo__types__v1__newer_text__pack(&newer, sent);
    struct bytes_told t = {.size = 0};
    const struct oak_rpc_request request = {
        .service = "demo.v1.Echo", .method = "Say", .handler = &bytes_handler, .user = &t};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(w.channel, &request, &call), 0);
    assert_int_equal(oak_rpc_call_send(call, oak_bytes(sent, size)), 0);
    oak_rpc_call_half_close(call);
    fake_run(&w.loop);
    assert_int_equal(t.size, size);
    Demo__Types__V1__NewerText *back = demo__types__v1__newer_text__unpack(NULL, t.size, t.data);
    assert_non_null(back);
    assert_string_equal(back->text, "known");
    assert_string_equal(back->mood, "unknown");
    assert_int_equal(back->n_marks, 2);
    assert_int_equal(back->marks[1], 0xffffffff);
    demo__types__v1__newer_text__free_unpacked(back, NULL);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_response_is_one_response),
        cmocka_unit_test(a_response_that_is_no_message_is_an_internal_error),
        cmocka_unit_test(a_stream_is_cut_where_it_becomes_unreadable),
        cmocka_unit_test(unknown_fields_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
