/* SPDX-License-Identifier: Apache-2.0 */
/* request_test.c: requests with one answer: paths, JSON, metadata, deadlines, statuses. */
#include "transcode/test_gate.h"

static void a_path_is_a_method_and_its_messages_are_json(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_ask(&g, "/v3/say",
             "{\"text\":\"a\",\"blob\":\"AP8=\",\"numbers\":[\"7\",-8],\"inner\":{\"text\":\"b\"}}",
             200,
             "{\"text\":\"a\",\"blob\":\"AP8=\",\"numbers\":[\"7\",\"-8\"],"
             "\"inner\":{\"text\":\"b\"}}");
    assert_string_equal(g.path, "/demo.v1.Echo/Say");
    gate_ask(&g, "/v3beta/say", "{\"text\":\"b\"}", 200, "{\"text\":\"b\"}");
    /* What is not there is empty; what nobody knows, and what is behind it, is passed over. */
    gate_ask(&g, "/v3/say", "", 200, "{}");
    gate_ask(&g, "/v3/say", " \n {\"new\":[{}],\"text\":\"\\u0061\"} {\"text\":\"b\"}", 200,
             "{\"text\":\"a\"}");
    gate_ask(&g, "/v3/say", "{\"text\":\"a\"} what is this", 200, "{\"text\":\"a\"}");
    assert_int_equal(g.said, 5);
    assert_int_equal(g.closed, 5);
    assert_int_equal(g.code, OAK_RPC_OK);
    struct oak_transcode_traffic t = gate_traffic(&g);
    assert_int_equal(t.started, 5);
    assert_int_equal(t.handled[OAK_RPC_OK], 5);
    assert_int_equal(t.received, 5);
    assert_int_equal(t.sent, 5);
    assert_int_equal(t.refused, 0);
    gate_close(&g);
}

static void what_is_no_such_message_never_reaches_the_method(void **state)
{
    (void)state;
    static const char *const bodies[][2] = {
        {"{\"text\":\"a\"", "the body ends within a message"},
        {"text", "the body is messages as JSON objects"},
        {"null", "the body is messages as JSON objects"},
        {"{\"text\":7}", "demo.types.v1.Text.text: it does not take this value"},
        {"{\"blob\":\"*\"}", "demo.types.v1.Text.blob: it does not take this value"},
        {"[]", "demo.types.v1.Text: it is an object"},
    };
    struct gate g;
    char wanted[256];
    gate_open(&g, NULL);
    for (size_t i = 0; i < OAK_COUNT_OF(bodies); i++) {
        snprintf(wanted, sizeof(wanted), "{\"error\":\"%s\",\"message\":\"%s\",\"code\":3}",
                 bodies[i][1], bodies[i][1]);
        gate_ask(&g, "/v3/say", bodies[i][0], 400, wanted);
    }
    assert_int_equal(g.said, 0);
    assert_int_equal(gate_traffic(&g).refused, OAK_COUNT_OF(bodies));
    assert_int_equal(gate_traffic(&g).started, 0);
    gate_close(&g);
}

static void other_paths_and_methods_are_told_so(void **state)
{
    (void)state;
    struct gate g;
    static const char nothing[] = "{\"error\":\"Not Found\",\"message\":\"Not Found\",\"code\":5}";
    gate_open(&g, NULL);
    gate_ask(&g, "/v3/", "{}", 404, nothing);
    gate_ask(&g, "/v3/say/", "{}", 404, nothing);
    gate_ask(&g, "/v3/sa", "{}", 404, nothing);
    gate_send(&g, "GET", "/v3/say", "", oak_bytes(NULL, 0));
    assert_non_null(strstr(gate_got(&g), "\r\nAllow: POST\r\n"));
    gate_expect(
        &g, 405,
        "{\"error\":\"Method Not Allowed\",\"message\":\"Method Not Allowed\",\"code\":12}");
    assert_int_equal(g.said, 0);
    gate_close(&g);
}

static void other_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    (void)call;
    (void)bytes;
    fail_msg("a call that was finished has a message");
}

static void other_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    assert_int_equal(status->code, OAK_RPC_ABORTED);
}

static void other_say(void *user, struct oak_rpc_call *call)
{
    static const struct oak_rpc_handler handler = {.message = other_message,
                                                   .closed = other_closed};
    (void)user;
    oak_rpc_call_handle(call, &handler, NULL);
    oak_rpc_call_finish(call, OAK_RPC_ABORTED, "no");
}

static void a_method_works_from_when_it_is_registered(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_ask(&g, "/v3/other", "{}", 501,
             "{\"error\":\"unknown service demo.v1.Other\","
             "\"message\":\"unknown service demo.v1.Other\",\"code\":12}");
    gate_ask(&g, "/v3/none", "{}", 501,
             "{\"error\":\"unknown method None for service demo.v1.Echo\","
             "\"message\":\"unknown method None for service demo.v1.Echo\",\"code\":12}");
    gate_ask(&g, "/v3/newer", "{}", 501,
             "{\"error\":\"unknown method NewerSay for service demo.v1.Echo\","
             "\"message\":\"unknown method NewerSay for service demo.v1.Echo\",\"code\":12}");
    const struct oak_rpc_method_stats *all;
    assert_true(oak_rpc_server_stats(g.methods, &all) > 0);
    struct oak_rpc_method method = *all[0].method;
    method.service = "demo.v1.Other";
    method.name = "None";
    method.start = other_say;
    method.release = NULL;
    assert_int_equal(oak_rpc_server_add(g.methods, &method), 0);
    assert_int_equal(gate_traffic(&g).refused, 3);
    gate_ask(&g, "/v3/other", "{}", 409, "{\"error\":\"no\",\"message\":\"no\",\"code\":10}");
    gate_close(&g);
}

static void each_status_has_its_own_of_http(void **state)
{
    (void)state;
    static const int statuses[] = {500, 499, 500, 400, 504, 404, 409, 403, 429,
                                   400, 409, 400, 501, 500, 503, 500, 401};
    struct gate g;
    char body[64];
    char wanted[128];
    gate_open(&g, NULL);
    for (int code = 1; code < (int)OAK_COUNT_OF(statuses); code++) {
        snprintf(body, sizeof(body), "{\"text\":\"code %d\"}", code);
        snprintf(wanted, sizeof(wanted),
                 "{\"error\":\"it is \\\"so\\\"\",\"message\":\"it is \\\"so\\\"\",\"code\":%d}",
                 code);
        gate_ask(&g, "/v3/say", body, statuses[code], wanted);
        assert_int_equal(g.code, code);
        assert_string_equal(g.status, "it is \"so\"");
        assert_int_equal(gate_traffic(&g).handled[code], 1);
    }
    gate_ask(&g, "/v3/say", "{\"text\":\"details\"}", 409,
             "{\"error\":\"see there\",\"message\":\"see there\",\"code\":10}");
    gate_post(&g, "/v3/say", "{\"text\":\"cancel\"}");
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 499 Client Closed Request\r\n"));
    oak_buf_clear(&g.got);
    gate_close(&g);
}

static void headers_are_metadata(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_send(&g, "POST", "/v3/say",
              "Grpc-Metadata-HasLeader: true\r\nGRPC-METADATA-x-Bin: Af8\r\nX-Other: 1\r\n"
              "Grpc-Metadata-Grpc-Timeout: 1S\r\nGrpc-Metadata-te: no\r\nGrpc-Metadata-a!: no\r\n"
              "Accept: b\r\nGrpc-Metadata-two: 1\r\nGrpc-Metadata-two: 2\r\n",
              oak_bytes_str("{}"));
    gate_expect(&g, 200, "{}");
    assert_string_equal(g.seen, "hasleader=true;x-bin=\x01\xff;grpcgateway-accept=b;two=1;two=2;");
    gate_send(&g, "POST", "/v3/say", "Authorization: Bearer abc\r\n", oak_bytes_str("{}"));
    gate_expect(&g, 200, "{}");
    assert_string_equal(g.seen, "authorization=Bearer abc;grpcgateway-authorization=Bearer abc;"
                                "token=Bearer abc;");
    gate_send(&g, "POST", "/v3/say", "Grpc-Metadata-Token: t\r\nAuthorization: a\r\n",
              oak_bytes_str("{}"));
    gate_expect(&g, 200, "{}");
    assert_string_equal(g.seen, "token=t;authorization=a;grpcgateway-authorization=a;");
    gate_send(&g, "POST", "/v3/say", "Grpc-Metadata-X-Bin: *\r\n", oak_bytes_str("{}"));
    gate_expect(&g, 400,
                "{\"error\":\"invalid binary header Grpc-Metadata-X-Bin\","
                "\"message\":\"invalid binary header Grpc-Metadata-X-Bin\",\"code\":3}");
    assert_int_equal(g.said, 3);
    gate_post(&g, "/v3/say", "{\"text\":\"header\"}");
    assert_non_null(
        strstr(gate_got(&g), "\r\nGrpc-Metadata-x-a: b c\r\nGrpc-Metadata-x-bin: /w==\r\n"));
    assert_null(strstr(gate_got(&g), "c: d"));
    gate_expect(&g, 200, "{\"text\":\"header\"}");
    gate_close(&g);
}

static void a_deadline_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"2H", 7200 * SECOND}, {"3M", 180 * SECOND}, {"5S", 5 * SECOND}, {"7m", 7000000},
                {"9u", 9000},          {"11n", 11},          {"0n", 0},          {"", 0}};
    static const char *const bad[] = {"5", "S", "-5S", "5s", "5 S", "1234567890123456789S"};
    struct gate g;
    char header[64];
    gate_open(&g, NULL);
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        snprintf(header, sizeof(header), "Grpc-Timeout: %s\r\n", good[i].text);
        gate_send(&g, "POST", "/v3/say", header, oak_bytes_str("{}"));
        gate_expect(&g, 200, "{}");
        assert_int_equal(g.deadline_ns, good[i].ns != 0 ? g.loop.now_ns + good[i].ns : 0);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        snprintf(header, sizeof(header), "Grpc-Timeout: %s\r\n", bad[i]);
        gate_send(&g, "POST", "/v3/say", header, oak_bytes_str("{}"));
        assert_non_null(strstr(gate_got(&g), "invalid grpc-timeout: "));
        assert_non_null(strstr(gate_got(&g), "HTTP/1.1 400 "));
        oak_buf_clear(&g.got);
    }
    gate_send(&g, "POST", "/v3/say", "Grpc-Timeout: 999999999999999999H\r\n", oak_bytes_str("{}"));
    gate_expect(&g, 200, "{}");
    assert_true(g.deadline_ns == UINT64_MAX);
    gate_send(&g, "POST", "/v3/say", "Grpc-Timeout: 1S\r\n", oak_bytes_str("{\"text\":\"later\"}"));
    fake_advance(&g.loop, SECOND - 1);
    assert_string_equal(gate_got(&g), "");
    int closed = g.closed;
    fake_advance(&g.loop, 1);
    gate_expect(&g, 504,
                "{\"error\":\"context deadline exceeded\","
                "\"message\":\"context deadline exceeded\",\"code\":4}");
    assert_int_equal(g.closed, closed + 1);
    assert_int_equal(g.code, OAK_RPC_DEADLINE_EXCEEDED);
    gate_close(&g);
}

static void an_answer_may_come_later_and_the_next_request_waits(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_post(&g, "/v3/say", "{\"text\":\"later\"}");
    gate_post(&g, "/v3/say", "{\"text\":\"b\"}");
    assert_string_equal(gate_got(&g), "");
    assert_int_equal(g.said, 1);
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.text = (char *)(uintptr_t) "a";
    OAK_MAYBE(demo__v1__echo__say__reply(g.laters[0], &response) != 0);
    fake_run(&g.loop);
    assert_int_equal(g.said, 2);
    const char *second = strstr(gate_got(&g) + 1, "HTTP/1.1 200 OK");
    assert_non_null(second);
    assert_non_null(strstr(second, "{\"text\":\"b\"}"));
    gate_close(&g);
}

static void a_client_that_goes_cancels_its_call(void **state)
{
    (void)state;
    struct gate g;
    gate_open(&g, NULL);
    gate_post(&g, "/v3/say", "{\"text\":\"later\"}");
    assert_int_equal(g.later_count, 1);
    gate_hang_up(&g);
    assert_int_equal(g.later_count, 0);
    assert_int_equal(g.closed, 1);
    assert_int_equal(g.code, OAK_RPC_CANCELLED);
    assert_string_equal(g.status, "the client has gone");
    assert_int_equal(gate_traffic(&g).abandoned, 1);
    assert_int_equal(gate_traffic(&g).handled[OAK_RPC_CANCELLED], 1);
    /* Others are served on. */
    gate_connect(&g);
    gate_ask(&g, "/v3/say", "{\"text\":\"b\"}", 200, "{\"text\":\"b\"}");
    gate_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_a_method_and_its_messages_are_json),
        cmocka_unit_test(what_is_no_such_message_never_reaches_the_method),
        cmocka_unit_test(other_paths_and_methods_are_told_so),
        cmocka_unit_test(a_method_works_from_when_it_is_registered),
        cmocka_unit_test(each_status_has_its_own_of_http),
        cmocka_unit_test(headers_are_metadata),
        cmocka_unit_test(a_deadline_is_kept),
        cmocka_unit_test(an_answer_may_come_later_and_the_next_request_waits),
        cmocka_unit_test(a_client_that_goes_cancels_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
