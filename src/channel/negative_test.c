/* SPDX-License-Identifier: Apache-2.0 */
/* negative_test.c: servers that behave badly, or strangely: the cases of gRPC's
 * negative-http2-interop-test-descriptions.md, padding, and numbers of responses. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

static void opened(struct world *w, struct recorder *r)
{
    world_open(w, "a:1", OPTIONS{0});
    ask(w, r);
    run(w);
    assert_int_equal(heard(w, 0, 1, NULL), 1);
}

static void goaway_the_next_call_has_another_connection(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    script_answer(&peer_of(&w, 0)->s, 1, "hi");
    script_goaway(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR, "");
    say(&w, 0);
    ended(&r, OAK_RPC_OK);
    ask(&w, &r);
    run(&w); /* at once: no back-off for a server that has answered */
    assert_int_equal(w.peers.count, 2);
    answer(&w, 1, 1);
    ended(&r, OAK_RPC_OK);
    assert_null(w.peers.all[0].stream);
    world_close(&w);
}

static void rst_after_header_the_call_fails(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    script_head(&peer_of(&w, 0)->s, 1);
    script_reset(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR);
    say(&w, 0);
    assert_int_equal(r.headers, 1);
    assert_int_equal(r.messages, 0);
    ended(&r, OAK_RPC_INTERNAL);
    world_close(&w);
}

static void rst_during_data_the_call_fails_without_a_message(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    script_head(&peer_of(&w, 0)->s, 1);
    script_frame(&peer_of(&w, 0)->s, NGHTTP2_DATA, 0, 1, "\0\0\0\0\5he", 7);
    script_reset(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR);
    say(&w, 0);
    assert_int_equal(r.messages, 0);
    ended(&r, OAK_RPC_INTERNAL);
    world_close(&w);
}

static void rst_after_data_the_call_fails_with_its_message(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    script_head(&peer_of(&w, 0)->s, 1);
    script_message(&peer_of(&w, 0)->s, 1, "hello");
    script_reset(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR);
    say(&w, 0);
    assert_true(recorded(&r, "hello"));
    ended(&r, OAK_RPC_INTERNAL);
    world_close(&w);
}

static void ping_each_is_answered(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    struct script *s = &peer_of(&w, 0)->s;
    script_ping(s, 1);
    script_head(s, 1);
    script_ping(s, 2);
    script_message(s, 1, "hello");
    script_ping(s, 3);
    say(&w, 0);
    script_tail(s, 1, "0");
    script_ping(s, 4);
    say(&w, 0);
    ended(&r, OAK_RPC_OK);
    for (unsigned i = 1; i <= 4; i++) {
        char line[32];
        snprintf(line, sizeof(line), "PING 0 %u ACK", i);
        assert_int_equal(script_heard(s, line, NULL), 1);
    }
    world_close(&w);
}

static void max_streams_ten_calls_succeed_one_by_one(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    struct recorder ten[10];
    opened(&w, &r);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    script_settings(&peer_of(&w, 0)->s, 1); /* any number was allowed until now */
    say(&w, 0);
    for (size_t i = 0; i < 10; i++) {
        ask(&w, &ten[i]);
    }
    run(&w);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(heard(&w, 0, 2 * i + 3, NULL), 1);
        assert_int_equal(heard(&w, 0, 2 * i + 5, NULL), 0);
        answer(&w, 0, 2 * i + 3);
        ended(&ten[i], OAK_RPC_OK);
    }
    assert_int_equal(w.peers.count, 1);
    world_close(&w);
}

static void max_streams_lowered_while_ten_calls_are_open(void **state)
{
    (void)state;
    struct world w;
    struct recorder ten[10];
    struct recorder more[3];
    world_open(&w, "a:1", OPTIONS{0});
    for (size_t i = 0; i < 10; i++) {
        ask(&w, &ten[i]);
    }
    run(&w);
    script_settings(&peer_of(&w, 0)->s, 1);
    say(&w, 0);
    for (size_t i = 0; i < 3; i++) {
        ask(&w, &more[i]);
    }
    for (uint32_t i = 0; i < 13; i++) {
        run(&w);
        answer(&w, 0, 2 * i + 1);
    }
    for (size_t i = 0; i < 10; i++) {
        ended(&ten[i], OAK_RPC_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        ended(&more[i], OAK_RPC_OK);
    }
    world_close(&w);
}

static void a_server_that_is_silent_is_pinged_and_given_up(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "a:1", OPTIONS{.keepalive_ns = 10 * SECOND, .keepalive_timeout_ns = SECOND});
    oak_channel_connect(w.channel);
    pass(&w, 60 * SECOND);
    struct script *s = &peer_of(&w, 0)->s;
    assert_int_equal(script_heard(s, "PING", NULL), 0); /* there is no call */
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    pass(&w, SECOND / 2); /* silent for so long already: asked at once */
    assert_int_equal(script_heard(s, "PING 0 0\n", NULL), 1);
    pass(&w, SECOND);
    ended(&r, OAK_RPC_UNAVAILABLE);
    assert_string_equal(w.told, "CRI");
    world_close(&w);
    world_open(&w, "a:1", OPTIONS{.keepalive_ns = 10 * SECOND, .keepalive_always = true});
    oak_channel_connect(w.channel);
    pass(&w, 11 * SECOND);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "PING 0 0\n", NULL), 1);
    world_close(&w);
}

static void padding_of_data_is_no_data(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    const uint8_t flag_padded = 8;
    struct script *s = &peer_of(&w, 0)->s;
    script_head(s, 1);
    script_frame(s, NGHTTP2_DATA, flag_padded, 1, "\3\0\0\0\0\5he\0\0\0", 11);
    script_frame(s, NGHTTP2_DATA, flag_padded, 1, "\0llo", 4);
    script_tail(s, 1, "0");
    say(&w, 0);
    assert_true(recorded(&r, "hello"));
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void a_server_that_speaks_something_else_is_no_server(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "a:1", OPTIONS{0});
    w.peers.streams = 0;
    ask(&w, &r);
    run(&w);
    static const char other[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct script *s = &peer_of(&w, 0)->s;
    assert_int_equal(oak_buf_append(&s->out, other, sizeof(other) - 1), 0);
    say(&w, 0);
    assert_string_equal(w.told, "CF");
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void an_answer_that_is_not_grpc_has_the_code_of_its_status(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    opened(&w, &r);
    const struct script_field fields[] = {{":status", "503"}, {"content-type", "text/html"}};
    script_fields(&peer_of(&w, 0)->s, 1, SCRIPT_END_STREAM, fields, 2);
    say(&w, 0);
    assert_non_null(strstr(r.text, "503"));
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void of_a_call_with_one_response_there_is_one(void **state)
{
    (void)state;
    static const char retry_internal[] =
        "{\"methodConfig\":[{\"name\":[{}],\"retryPolicy\":{\"maxAttempts\":4,"
        "\"initialBackoff\":\"1s\",\"maxBackoff\":\"3s\",\"backoffMultiplier\":2,"
        "\"retryableStatusCodes\":[\"INTERNAL\"]}}]}";
    struct world w;
    struct recorder r;
    world_open(&w, "a:1", OPTIONS{.service_config = retry_internal});
    uint32_t id = 1;
    for (int kind = OAK_RPC_UNARY; kind <= OAK_RPC_BIDI; kind++) {
        bool one = kind == OAK_RPC_UNARY || kind == OAK_RPC_CLIENT_STREAM;
        for (int count = 0; count <= 2; count++, id += 2) {
            ask_with(&w, REQUEST{.kind = (enum oak_rpc_kind)kind}, &r);
            run(&w);
            struct script *s = &peer_of(&w, 0)->s;
            script_head(s, id);
            for (int i = 0; i < count; i++) {
                script_message(s, id, "hi");
            }
            script_tail(s, id, "0");
            say(&w, 0);
            assert_int_equal(r.messages, one ? OAK_MIN(count, 1) : count);
            ended(&r, one && count != 1 ? OAK_RPC_INTERNAL : OAK_RPC_OK);
        }
    }
    ask(&w, &r);
    run(&w);
    script_refuse(&peer_of(&w, 0)->s, id, "0", NULL, NULL);
    say(&w, 0); /* a status alone: it was done, and is not done again */
    ended(&r, OAK_RPC_INTERNAL);
    assert_string_equal(r.text, "grpc: OK without a response");
    assert_int_equal(stats(&w).retries, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goaway_the_next_call_has_another_connection),
        cmocka_unit_test(rst_after_header_the_call_fails),
        cmocka_unit_test(rst_during_data_the_call_fails_without_a_message),
        cmocka_unit_test(rst_after_data_the_call_fails_with_its_message),
        cmocka_unit_test(ping_each_is_answered),
        cmocka_unit_test(max_streams_ten_calls_succeed_one_by_one),
        cmocka_unit_test(max_streams_lowered_while_ten_calls_are_open),
        cmocka_unit_test(a_server_that_is_silent_is_pinged_and_given_up),
        cmocka_unit_test(padding_of_data_is_no_data),
        cmocka_unit_test(a_server_that_speaks_something_else_is_no_server),
        cmocka_unit_test(of_a_call_with_one_response_there_is_one),
        cmocka_unit_test(an_answer_that_is_not_grpc_has_the_code_of_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
