/* SPDX-License-Identifier: Apache-2.0 */
/* unary_test.c: typed unary calls: answers now and later, clients that go, bytes that are no
 * message, responses that are none or too many. */
#include "stub/test_echo.h"

/* What the handler saw, and what it holds. */
struct seen {
    int asked;
    int closed;
    struct oak_stub_call *held;
    const text_message *request;
    enum oak_rpc_code code; /* of `closed` */
    size_t sent;            /* of a response in parts */
    int parts;
};

static struct seen *seen_of(void *user)
{
    return ((struct world *)user)->data;
}

static void answer_text(struct oak_stub_call *call, const char *text)
{
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.text = (char *)(uintptr_t)text;
    OAK_MAYBE(demo__v1__echo__say__reply(call, &response) != 0);
}

static void say_now(void *user, struct oak_stub_call *call, const text_message *request)
{
    seen_of(user)->asked++;
    if (strcmp(request->text, "fail") == 0) {
        oak_stub_finish(call, OAK_RPC_DATA_LOSS, "as you wish");
    } else {
        assert_int_equal(demo__v1__echo__say__reply(call, request), 0);
    }
}

static void say_hold(void *user, struct oak_stub_call *call, const text_message *request)
{
    struct seen *s = seen_of(user);
    s->asked++;
    s->held = call;
    s->request = request;
}

static void held_closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    struct seen *s = seen_of(user);
    assert_ptr_equal(s->held, call);
    s->held = NULL;
    s->closed++;
    s->code = status->code;
}

static void say_hold_and_hear(void *user, struct oak_stub_call *call, const text_message *request)
{
    say_hold(user, call, request);
    oak_stub_on_closed(call, held_closed);
}

static void say_details(void *user, struct oak_stub_call *call, const text_message *request)
{
    seen_of(user)->asked++;
    assert_int_equal(
        oak_stub_finish_details(call, OAK_RPC_ABORTED, "see details", oak_bytes_str(request->text)),
        0);
    assert_int_equal(demo__v1__echo__say__reply(call, request), OAK_ECLOSED);
}

static void say_as_told(void *user, struct oak_stub_call *call, const text_message *request)
{
    say_hold(user, call, request);
    if (strcmp(request->text, "hear") == 0) {
        oak_stub_on_closed(call, held_closed);
    }
}

/* The first time it is put off; the second, answered with what oak_stub_bytes() gives. */
static void say_put_off(void *user, struct oak_stub_call *call, const text_message *request)
{
    if (seen_of(user)->asked == 0) {
        say_hold_and_hear(user, call, request);
        return;
    }
    seen_of(user)->asked++;
    assert_ptr_equal(seen_of(user)->held, call);
    assert_ptr_equal(seen_of(user)->request, request);
    assert_true(oak_bytes_eq(oak_stub_bytes(call), oak_bytes_str("kept")));
    assert_int_equal(demo__v1__echo__say__reply(call, request), 0);
}

static const struct demo__v1__echo_handlers put_off = {.say = say_put_off};
static const struct demo__v1__echo_handlers as_told = {.say = say_as_told};
static const struct demo__v1__echo_handlers details = {.say = say_details};
static const struct demo__v1__echo_handlers now = {.say = say_now};
static const struct demo__v1__echo_handlers hold = {.say = say_hold};
static const struct demo__v1__echo_handlers hear = {.say = say_hold_and_hear};

static void a_request_comes_typed_and_so_does_its_answer(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &now, &s);
    say(&w, "hello", &t);
    assert_int_equal(t.done, 0);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_string_equal(t.text, "hello");
    for (int i = 0; i < 100; i++) { /* spare calls are as good as new ones */
        say(&w, i % 2 == 0 ? "one" : "", &t);
        fake_run(&w.loop);
        assert_int_equal(t.done, 2 + i);
        assert_string_equal(t.text, i % 2 == 0 ? "one" : "");
    }
    assert_int_equal(s.asked, 101);
    world_close(&w);
}

static void a_request_that_was_put_off_comes_again(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &put_off, &s);
    say(&w, "hello", &t);
    fake_run(&w.loop);
    assert_int_equal(s.asked, 1);
    assert_int_equal(t.done, 0);
    oak_stub_again(s.held, &s.request->base, oak_bytes_str("kept"));
    assert_int_equal(s.asked, 2);
    assert_int_equal(oak_stub_bytes(s.held).size, 0);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_string_equal(t.text, "hello");
    assert_int_equal(s.closed, 1);
    world_close(&w);
}

static void a_status_comes_without_a_response(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &now, &s);
    say(&w, "fail", &t);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_DATA_LOSS);
    assert_string_equal(t.status, "as you wish");
    assert_false(t.response);
    world_close(&w);
    t = (struct told){0};
    world_open(&w, &details, &s);
    say(&w, "in depth", &t);
    fake_run(&w.loop);
    assert_int_equal(t.code, OAK_RPC_ABORTED);
    assert_string_equal(t.status, "see details");
    assert_string_equal(t.details, "in depth");
    world_close(&w);
}

static void a_method_without_a_handler_is_unimplemented(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    const struct demo__v1__echo_handlers other = {.talk = {.start = NULL}, .newer_say = NULL};
    world_open(&w, &now, &s);
    assert_int_equal(demo__v1__echo_add(w.server, &now, NULL), OAK_EEXIST);
    assert_int_equal(demo__v1__echo_add(w.server, &other, NULL), 0); /* adds nothing */
    const struct oak_rpc_method_stats *stats;
    assert_int_equal(oak_rpc_server_stats(w.server, &stats), 1);
    assert_ptr_equal(stats[0].method->stub->service, &demo__v1__echo_service);
    struct demo__v1__echo__talk__callbacks callbacks = {.closed = NULL};
    struct oak_stub_call *call;
    assert_int_equal(demo__v1__echo__talk__call(w.client, NULL, &callbacks, &t, &call), 0);
    fake_run(&w.loop); /* nobody is told, and nothing is left */
    world_close(&w);
}

static void an_answer_may_come_later_and_the_request_lives_until_then(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    struct told u = {0};
    world_open(&w, &hold, &s);
    say(&w, "later", &t);
    fake_run(&w.loop);
    struct oak_stub_call *first = s.held;
    const text_message *request = s.request;
    say(&w, "sooner", &u);
    fake_run(&w.loop);
    answer_text(s.held, "now");
    fake_run(&w.loop);
    assert_int_equal(u.done, 1);
    assert_int_equal(t.done, 0);
    assert_string_equal(request->text, "later");
    answer_text(first, request->text);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_string_equal(t.text, "later");
    world_close(&w);
}

static void a_call_whose_client_has_gone_waits_for_its_answer(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &hold, &s);
    struct oak_stub_call *call = say(&w, "gone", &t);
    fake_run(&w.loop);
    assert_non_null(oak_stub_rpc(s.held));
    oak_stub_cancel(call);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_CANCELLED);
    assert_null(oak_stub_rpc(s.held));
    assert_string_equal(s.request->text, "gone");
    assert_int_equal(demo__v1__echo__say__reply(s.held, s.request), OAK_ECLOSED);
    call = say(&w, "again", &t);
    fake_run(&w.loop);
    oak_stub_cancel(call);
    fake_run(&w.loop);
    oak_stub_finish(s.held, OAK_RPC_OK, NULL);
    call = say(&w, "and again", &t);
    fake_run(&w.loop);
    oak_stub_cancel(call);
    fake_run(&w.loop);
    oak_stub_cancel(s.held);
    world_close(&w); /* asserts that no call of the service is open */
}

static void who_asks_is_told_that_the_client_has_gone(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &hear, &s);
    oak_stub_cancel((say(&w, "gone", &t)));
    fake_run(&w.loop);
    assert_int_equal(s.asked, 0); /* it went before it came */
    struct oak_stub_call *call = say(&w, "gone", &t);
    fake_run(&w.loop);
    oak_stub_cancel(call);
    fake_run(&w.loop);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.code, OAK_RPC_CANCELLED);
    say(&w, "answered", &t);
    fake_run(&w.loop);
    answer_text(s.held, "yes");
    fake_run(&w.loop);
    assert_int_equal(s.closed, 2);
    assert_int_equal(s.code, OAK_RPC_OK);
    say(&w, "late", &t);
    fake_run(&w.loop);
    fake_advance(&w.loop, 6 * SECOND);
    assert_int_equal(s.closed, 3);
    assert_int_equal(s.code, OAK_RPC_DEADLINE_EXCEEDED);
    assert_int_equal(t.code, OAK_RPC_DEADLINE_EXCEEDED);
    world_close(&w);
}

static void who_was_told_once_is_not_told_for_others(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &as_told, &s);
    say(&w, "hear", &t);
    fake_run(&w.loop);
    answer_text(s.held, "yes");
    fake_run(&w.loop);
    assert_int_equal(s.closed, 1);
    struct oak_stub_call *call = say(&w, "the same memory", &t);
    fake_run(&w.loop);
    oak_stub_cancel(call);
    fake_run(&w.loop);
    assert_int_equal(s.closed, 1);
    assert_int_equal(demo__v1__echo__say__reply(s.held, s.request), OAK_ECLOSED);
    world_close(&w);
}

/* A response of two million bytes, encoded by hand: sent as the client makes room. */
#define LONG_TEXT 2000000

static void parts_go_on(void *user, struct oak_stub_call *call)
{
    struct seen *s = seen_of(user);
    static uint8_t part[70000];
    memset(part, 'x', sizeof(part));
    size_t size = OAK_MIN(sizeof(part), LONG_TEXT - s->sent);
    while (size > 0 && oak_stub_queued(call) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        assert_int_equal(oak_stub_reply_part(call, oak_bytes(part, size)), 0);
        s->sent += size;
        s->parts++;
        size = OAK_MIN(sizeof(part), LONG_TEXT - s->sent);
    }
}

static void say_in_parts(void *user, struct oak_stub_call *call, const text_message *request)
{
    struct seen *s = seen_of(user);
    const uint8_t head[] = {0x0a, 0x80, 0x89, 0x7a}; /* field 1, of LONG_TEXT bytes */
    (void)request;
    s->held = call;
    oak_stub_on_closed(call, held_closed);
    oak_stub_on_writable(call, parts_go_on);
    assert_int_equal(oak_stub_reply_open(call, sizeof(head) + LONG_TEXT), 0);
    assert_int_equal(oak_stub_reply_part(call, oak_bytes(head, sizeof(head))), 0);
    parts_go_on(user, call);
    assert_true(s->sent < LONG_TEXT);
}

static void a_response_may_come_in_parts(void **state)
{
    (void)state;
    const struct demo__v1__echo_handlers in_parts = {.say = say_in_parts};
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &in_parts, &s);
    say(&w, "as it comes", &t);
    fake_run(&w.loop);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_int_equal(t.text[0], 'x');
    assert_int_equal(s.sent, LONG_TEXT);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.code, OAK_RPC_OK);
    /* The memory of that call serves one that goes in the middle. */
    s.sent = 0;
    struct oak_stub_call *call = say(&w, "not whole", &t);
    while (s.sent == 0) {
        fake_round(&w.loop);
    }
    oak_stub_cancel(call);
    fake_run(&w.loop);
    assert_int_equal(t.code, OAK_RPC_CANCELLED);
    assert_int_equal(s.code, OAK_RPC_CANCELLED);
    assert_int_equal(s.closed, 2);
    world_close(&w);
}

/* Calls of `say` that the server was told of, and those of them that are over. */
static uint64_t over(const struct world *w, uint64_t *started)
{
    const struct oak_rpc_method_stats *stats;
    assert_true(oak_rpc_server_stats(w->server, &stats) > 0);
    uint64_t handled = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(stats[0].handled); i++) {
        handled += stats[0].handled[i];
    }
    *started = stats[0].started;
    return handled;
}

static void a_request_that_cannot_be_sent_is_never_told_of(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    uint64_t started;
    world_open(&w, &now, &s);
    say(&w, "fits", &t);
    fake_run(&w.loop);
    static char large[3 * 1024 * 1024];
    memset(large, 'x', sizeof(large) - 1);
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    request.text = large;
    const struct oak_rpc_subchannel_options options = {.rpc = {.send_bytes_max = OAK_MIB}};
    struct oak_rpc_subchannel *narrow;
    assert_int_equal(oak_rpc_subchannel_new(&w.loop.port, "fake:1", &options, &narrow), 0);
    fake_run(&w.loop);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(demo__v1__echo__say__call(oak_stub_subchannel(narrow), &request, NULL,
                                                   say_done, &t, NULL),
                         OAK_ELIMIT);
        fake_run(&w.loop);
    }
    assert_int_equal(t.done, 1);
    uint64_t ended = over(&w, &started);
    assert_int_equal(started, 1);
    assert_int_equal(ended, started);
    oak_rpc_subchannel_free(narrow);
    world_close(&w);
}

/* What is asked for a call reaches whoever makes it, and what the .proto says of the method. */
static int note_request(void *channel, const struct oak_rpc_request *request,
                        struct oak_rpc_call **out)
{
    (void)out;
    *(struct oak_rpc_request *)channel = *request;
    return OAK_ECLOSED;
}

static void the_options_of_a_call_are_handed_on(void **state)
{
    (void)state;
    struct oak_rpc_request noted;
    struct oak_stub_client client = {.call = note_request, .channel = &noted};
    text_message request = DEMO__TYPES__V1__TEXT__INIT;
    count_message count = DEMO__V1__COUNT__INIT;
    const struct demo__v1__echo__tell__callbacks callbacks = {.closed = NULL};
    struct told t = {0};
    const struct oak_rpc_request how = {.timeout_ns = 7, .fail_fast = true, .service = "other"};
    assert_int_equal(demo__v1__echo__say__call(client, &request, &how, say_done, &t, NULL),
                     OAK_ECLOSED);
    assert_string_equal(noted.service, "demo.v1.Echo");
    assert_string_equal(noted.method, "Say");
    assert_int_equal(noted.timeout_ns, 7);
    assert_true(noted.fail_fast && noted.idempotent);
    assert_int_equal(noted.kind, OAK_RPC_UNARY);
    assert_int_equal(demo__v1__echo__tell__call(client, &count, NULL, &callbacks, &t, NULL),
                     OAK_ECLOSED);
    assert_int_equal(noted.kind, OAK_RPC_SERVER_STREAM);
    assert_false(noted.fail_fast || noted.idempotent);
    assert_int_equal(t.done, 0);
}

/* -- bytes ------------------------------------------------------------------------------------- */

static void raw_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)call;
    (void)bytes;
    ((struct told *)user)->messages++;
}

static void raw_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    told_status(user, status);
}

static const struct oak_rpc_handler raw_handler = {.message = raw_message, .closed = raw_closed};

static void a_call_that_never_brought_its_request_is_forgotten(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    uint64_t started;
    world_open(&w, &hold, &s);
    const struct oak_rpc_request request = {
        .service = "demo.v1.Echo", .method = "Say", .handler = &raw_handler, .user = &t};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(w.channel, &request, &call), 0);
    fake_run(&w.loop);
    uint64_t ended = over(&w, &started);
    assert_int_equal(started, 1);
    assert_int_equal(ended, 0);
    oak_rpc_call_cancel(call);
    fake_run(&w.loop);
    ended = over(&w, &started);
    assert_int_equal(ended, 1);
    assert_int_equal(s.asked, 0);
    world_close(&w); /* asserts that no call of the service is open */
}

static void send_raw(struct world *w, struct oak_bytes bytes, struct told *t)
{
    const struct oak_rpc_request request = {
        .service = "demo.v1.Echo", .method = "Say", .handler = &raw_handler, .user = t};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(w->channel, &request, &call), 0);
    assert_int_equal(oak_rpc_call_send(call, bytes), 0);
    oak_rpc_call_half_close(call);
    fake_run(&w->loop);
}

/* Text within Text within Text, from the inside out. */
static void send_nested(struct world *w, size_t levels, struct told *t)
{
    uint8_t bytes[4 * OAK_PROTO_DEPTH_MAX];
    size_t at = sizeof(bytes);
    for (size_t i = 1; i < levels; i++) {
        size_t size = sizeof(bytes) - at;
        bytes[--at] = (uint8_t)(size < 128 ? size : size >> 7);
        if (size >= 128) {
            bytes[--at] = (uint8_t)(0x80 | (size & 0x7f));
        }
        bytes[--at] = 4 << 3 | 2;
    }
    send_raw(w, oak_bytes(bytes + at, sizeof(bytes) - at), t);
}

static void bytes_that_are_no_request_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &now, &s);
    send_raw(&w, oak_bytes("\x0a\x7f", 2), &t);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_INTERNAL);
    send_nested(&w, OAK_PROTO_DEPTH_MAX + 1, &t);
    assert_int_equal(t.code, OAK_RPC_INTERNAL);
    assert_int_equal(s.asked, 0);
    send_nested(&w, OAK_PROTO_DEPTH_MAX, &t);
    assert_int_equal(t.code, OAK_RPC_OK);
    assert_int_equal(t.messages, 1);
    world_close(&w);
}

static void a_request_of_too_many_parts_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct seen s = {0};
    struct told t = {0};
    world_open(&w, &now, &s);
    /* Two bytes of an unknown field each, and protobuf-c keeps them. */
    size_t size = OAK_MIB;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 0x78;
        bytes[i + 1] = 1;
    }
    send_raw(&w, oak_bytes(bytes, size), &t);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.code, OAK_RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(s.asked, 0);
    free(bytes);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_comes_typed_and_so_does_its_answer),
        cmocka_unit_test(a_request_that_was_put_off_comes_again),
        cmocka_unit_test(a_status_comes_without_a_response),
        cmocka_unit_test(a_method_without_a_handler_is_unimplemented),
        cmocka_unit_test(an_answer_may_come_later_and_the_request_lives_until_then),
        cmocka_unit_test(a_call_whose_client_has_gone_waits_for_its_answer),
        cmocka_unit_test(who_asks_is_told_that_the_client_has_gone),
        cmocka_unit_test(who_was_told_once_is_not_told_for_others),
        cmocka_unit_test(a_response_may_come_in_parts),
        cmocka_unit_test(a_request_that_cannot_be_sent_is_never_told_of),
        cmocka_unit_test(a_call_that_never_brought_its_request_is_forgotten),
        cmocka_unit_test(the_options_of_a_call_are_handed_on),
        cmocka_unit_test(bytes_that_are_no_request_are_refused),
        cmocka_unit_test(a_request_of_too_many_parts_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
