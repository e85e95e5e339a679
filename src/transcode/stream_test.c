/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c: methods that stream: bodies of several messages, answers of lines, and clients
 * that don't take them. */
#include "transcode/test_gate.h"

/* What has come of a stream so far: its status, and its lines in g->body. */
static bool streamed(struct gate *g, const char *lines)
{
    bool whole;
    int status = gate_answer(g, &whole);
    if (status != 200 || strcmp((const char *)g->body.data, lines) != 0) {
        fail_msg("%d %s\nwanted %s", status, (const char *)g->body.data, lines);
    }
    return whole;
}

static void an_answer_is_lines(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_post(&g, "/v3/tell", "{\"count\":2}");
    assert_non_null(strstr(gate_got(&g), "\r\nTransfer-Encoding: chunked\r\n"));
    assert_true(streamed(&g, "{\"result\":{\"text\":\"few\",\"numbers\":[\"2\"]}}\n"
                             "{\"result\":{\"text\":\"few\",\"numbers\":[\"1\"]}}\n"));
    assert_int_equal(g.closed, 1);
    assert_int_equal(g.code, OAK_RPC_OK);
    oak_buf_clear(&g.got);
    /* None at all is an answer, too. */
    gate_ask(&g, "/v3/tell", "", 200, "");
    /* An error before all of it has its status; one behind it is a line. */
    gate_ask(&g, "/v3/tell", "{\"count\":-1}", 400,
             "{\"error\":{\"grpc_code\":11,\"http_code\":400,\"message\":\"less than none\","
             "\"http_status\":\"Bad Request\",\"code\":11}}\n");
    gate_ask(&g, "/v3/tell", "{\"count\":\"x\"}", 400,
             "{\"error\":\"demo.v1.Count.count: it does not take this value\","
             "\"message\":\"demo.v1.Count.count: it does not take this value\",\"code\":3}");
    gate_close(&g);
}

static void a_body_is_a_stream_of_messages(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_ask(&g, "/v3/gather", "{\"text\":\"a\"}{} \n {}", 200, "{\"count\":3}");
    g.messages = 0;
    gate_ask(&g, "/v3/gather", "", 200, "{}");
    gate_ask(&g, "/v3/talk", "{\"text\":\"a\"}\n{\"text\":\"b\"}{\"text\":\"end\"}{\"text\":\"c\"}",
             200, "{\"result\":{\"text\":\"a\"}}\n{\"result\":{\"text\":\"b\"}}\n");
    assert_int_equal(g.half_closed, 2);
    gate_ask(&g, "/v3/talk", "{\"text\":\"a\"}{\"text\":\"fail\"}", 200,
             "{\"result\":{\"text\":\"a\"}}\n"
             "{\"error\":{\"grpc_code\":5,\"http_code\":404,\"message\":\"no such \\\"text\\\"\","
             "\"http_status\":\"Not Found\",\"code\":5}}\n");
    gate_ask(&g, "/v3/talk", "{\"text\":\"fail\"}", 404,
             "{\"error\":{\"grpc_code\":5,\"http_code\":404,\"message\":\"no such \\\"text\\\"\","
             "\"http_status\":\"Not Found\",\"code\":5}}\n");
    /* The first message is looked at before the method hears of it, a later one is too late. */
    int closed = g.closed;
    gate_ask(&g, "/v3/talk", "{\"text\":7}", 400,
             "{\"error\":\"demo.types.v1.Text.text: it does not take this value\","
             "\"message\":\"demo.types.v1.Text.text: it does not take this value\",\"code\":3}");
    assert_int_equal(g.closed, closed);
    gate_ask(&g, "/v3/talk", "{\"text\":\"a\"}{\"text\":", 200,
             "{\"result\":{\"text\":\"a\"}}\n"
             "{\"error\":{\"grpc_code\":3,\"http_code\":400,"
             "\"message\":\"the body ends within a message\",\"http_status\":\"Bad Request\","
             "\"code\":3}}\n");
    assert_int_equal(g.closed, closed + 1);
    assert_int_equal(g.code, OAK_RPC_INVALID_ARGUMENT);
    gate_close(&g);
}

static void a_stream_goes_on_until_its_client_goes(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_post(&g, "/v3/talk", "{\"text\":\"a\"}");
    assert_false(streamed(&g, "{\"result\":{\"text\":\"a\"}}\n"));
    assert_int_equal(g.half_closed, 1);
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.text = (char *)(uintptr_t) "b";
    assert_int_equal(demo__v1__echo__talk__reply(g.later, &response), 0);
    fake_run(&g.loop);
    assert_false(streamed(&g, "{\"result\":{\"text\":\"a\"}}\n{\"result\":{\"text\":\"b\"}}\n"));
    fake_advance(&g.loop, 3600 * SECOND); /* it may be silent for as long as it likes */
    assert_int_equal(g.closed, 0);
    assert_int_equal(gate_traffic(&g).calls, 1);
    gate_hang_up(&g);
    assert_int_equal(g.closed, 1);
    assert_int_equal(g.code, OAK_RPC_CANCELLED);
    assert_int_equal(gate_traffic(&g).abandoned, 1);
    gate_close(&g);
}

static void a_deadline_ends_a_stream(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_send(&g, "POST", "/v3/talk", "Grpc-Timeout: 2S\r\n", oak_bytes_str("{\"text\":\"a\"}"));
    fake_advance(&g.loop, 2 * SECOND);
    assert_true(streamed(&g, "{\"result\":{\"text\":\"a\"}}\n"
                             "{\"error\":{\"grpc_code\":4,\"http_code\":504,"
                             "\"message\":\"context deadline exceeded\","
                             "\"http_status\":\"Gateway Timeout\",\"code\":4}}\n"));
    assert_int_equal(g.code, OAK_RPC_DEADLINE_EXCEEDED);
    gate_close(&g);
}

static void a_client_that_does_not_read_holds_the_method_back(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    g.server_end->blocked = true;
    gate_post(&g, "/v3/tell", "{\"count\":1000}");
    assert_int_equal(g.closed, 0);
    assert_true(g.left > 900); /* of ten MB, what a window takes */
    assert_true(g.most <= OAK_RPC_QUEUE_HIGH_BYTES + 2 * TELL_BYTES);
    int32_t left = g.left;
    fake_run(&g.loop);
    assert_int_equal(g.left, left);
    assert_int_equal(g.writable, 0);
    g.server_end->blocked = false;
    fake_run(&g.loop);
    assert_int_equal(g.left, 0);
    assert_true(g.writable > 10);
    assert_int_equal(g.closed, 1);
    assert_int_equal(g.code, OAK_RPC_OK);
    /* All of them are there, in order. */
    bool whole;
    assert_int_equal(gate_answer(&g, &whole), 200);
    assert_true(whole);
    const char *at = (const char *)g.body.data;
    for (int number = 1000; number > 0; number--) {
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "\"numbers\":[\"%d\"]}}\n", number);
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        size_t size = strlen(wanted);
        assert_memory_equal(end + 1 - size, wanted, size);
        at = end + 1;
    }
    assert_string_equal(at, "");
    gate_close(&g);
}

/* Who waits because too much is queued has to hear when it isn't, whatever made it so much. */
static void text_that_is_larger_than_its_message_counts(void **state)
{
    (void)state;
    static uint8_t bytes[230000];
    struct gate g;
    gate_open(&g, NULL);
    gate_post(&g, "/v3/talk", "{\"text\":\"a\"}");
    g.server_end->blocked = true;
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.blob.data = bytes;
    response.blob.len = sizeof(bytes);
    assert_int_equal(demo__v1__echo__talk__reply(g.later, &response), 0);
    assert_true(oak_stub_queued(g.later) < OAK_RPC_QUEUE_HIGH_BYTES);
    fake_run(&g.loop);
    assert_true(oak_stub_queued(g.later) > OAK_RPC_QUEUE_HIGH_BYTES);
    assert_int_equal(g.writable, 0);
    g.server_end->blocked = false;
    fake_run(&g.loop);
    assert_int_equal(oak_stub_queued(g.later), 0);
    assert_int_equal(g.writable, 1);
    gate_close(&g);
}

static void no_more_becomes_text_than_a_client_takes(void **state)
{
    (void)state;
    static uint8_t bytes[230000];
    struct gate g;
    gate_open(&g, NULL);
    gate_post(&g, "/v3/talk", "{\"text\":\"a\"}");
    g.server_end->blocked = true;
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.blob.data = bytes;
    response.blob.len = sizeof(bytes);
    for (int i = 0; i < 8; i++) { /* a method that does not look at what is queued */
        assert_int_equal(demo__v1__echo__talk__reply(g.later, &response), 0);
    }
    fake_run(&g.loop);
    assert_in_range(g.server_end->queue.size, OAK_RPC_QUEUE_HIGH_BYTES,
                    OAK_RPC_QUEUE_HIGH_BYTES + 65 * OAK_KIB);
    g.server_end->blocked = false;
    fake_run(&g.loop);
    assert_int_equal(oak_stub_queued(g.later), 0);
    assert_in_range(g.got.size, 8 * sizeof(bytes) / 3 * 4, 9 * sizeof(bytes) / 3 * 4);
    gate_close(&g);
}

static void a_client_that_never_reads_is_cut_off(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    g.server_end->blocked = true;
    gate_post(&g, "/v3/tell", "{\"count\":1000}");
    for (int i = 0; i < 8 && g.closed == 0; i++) {
        fake_advance(&g.loop, 10 * SECOND);
    }
    assert_int_equal(g.closed, 1);
    assert_int_equal(g.code, OAK_RPC_CANCELLED);
    assert_null(g.client);
    gate_close(&g);
}

static void a_method_that_pauses_holds_the_body_back(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    g.pauses = true;
    gate_post(&g, "/v3/talk", "{\"text\":\"a\"}{\"text\":\"b\"}{\"text\":\"end\"}");
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(g.messages, i);
        assert_int_equal(g.half_closed, 0);
        oak_rpc_call_pause(oak_stub_rpc(g.later), false);
        assert_int_equal(g.messages, i); /* never below the method */
        fake_run(&g.loop);
    }
    gate_expect(&g, 200, "{\"result\":{\"text\":\"a\"}}\n{\"result\":{\"text\":\"b\"}}\n");
    gate_close(&g);
}

static void many_messages_are_delivered_by_rounds(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct gate g;
    struct oak_buf body = {0};
    gate_open(&g, NULL);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(oak_buf_append(&body, "{}", 2), 0);
    }
    struct oak_buf text = {0};
    assert_int_equal(oak_buf_printf(&text,
                                    "POST /v3/gather HTTP/1.1\r\nHost: a\r\n"
                                    "Content-Length: %d\r\n\r\n%.*s",
                                    2 * MANY, 2 * MANY, (const char *)body.data),
                     0);
    assert_int_equal(fake_write(&g.client->base, oak_buf_bytes(&text)), 0);
    oak_buf_fini(&text);
    assert_true(fake_round(&g.loop)); /* others have their turn in between */
    assert_in_range(g.messages, 1, 500);
    fake_run(&g.loop);
    gate_expect(&g, 200, "{\"count\":5000}");
    /* An echo of each: no more is delivered than the client takes. */
    g.messages = 0;
    oak_buf_clear(&body);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(oak_buf_printf(&body, "{\"text\":\"%0*d\"}", TELL_BYTES, i), 0);
    }
    g.server_end->blocked = true;
    gate_send(&g, "POST", "/v3/talk", "", oak_buf_bytes(&body));
    assert_in_range(g.messages, 20, 40);
    assert_true(g.most <= OAK_RPC_QUEUE_HIGH_BYTES + 2 * TELL_BYTES);
    g.server_end->blocked = false;
    fake_run(&g.loop);
    assert_int_equal(g.messages, 200);
    assert_int_equal(g.half_closed, 2);
    oak_buf_fini(&body);
    gate_close(&g);
}

static void headers_leave_with_the_first_line_or_not_at_all(void **state)
{
    (void)state;
    struct gate g;
    const struct oak_rpc_pair pair = {oak_bytes_str("x-a"), oak_bytes_str("b")};
    gate_open(&g, NULL);
    gate_post(&g, "/v3/talk", "");
    assert_non_null(g.later);
    struct oak_rpc_call *rpc = oak_stub_rpc(g.later);
    assert_string_equal(gate_got(&g), "");
    assert_int_equal(oak_rpc_call_add_header(rpc, pair), 0);
    assert_int_equal(oak_rpc_call_add_trailer(rpc, pair), 0);
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    assert_int_equal(demo__v1__echo__talk__reply(g.later, &response), 0);
    fake_run(&g.loop);
    assert_false(streamed(&g, "{\"result\":{}}\n"));
    assert_non_null(strstr(gate_got(&g), "\r\nGrpc-Metadata-x-a: b\r\n"));
    assert_int_equal(oak_rpc_call_add_header(rpc, pair), OAK_ECLOSED);
    oak_rpc_call_cancel(rpc);
    fake_run(&g.loop);
    assert_int_equal(g.code, OAK_RPC_CANCELLED);
    gate_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_lines),
        cmocka_unit_test(a_body_is_a_stream_of_messages),
        cmocka_unit_test(a_stream_goes_on_until_its_client_goes),
        cmocka_unit_test(a_deadline_ends_a_stream),
        cmocka_unit_test(a_client_that_does_not_read_holds_the_method_back),
        cmocka_unit_test(text_that_is_larger_than_its_message_counts),
        cmocka_unit_test(no_more_becomes_text_than_a_client_takes),
        cmocka_unit_test(a_client_that_never_reads_is_cut_off),
        cmocka_unit_test(a_method_that_pauses_holds_the_body_back),
        cmocka_unit_test(many_messages_are_delivered_by_rounds),
        cmocka_unit_test(headers_leave_with_the_first_line_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
