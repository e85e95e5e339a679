/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c: peers that send what they must not. */
#include "rpc/test_attack.h"

static void a_length_of_gigabytes_allocates_nothing(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    static const struct {
        uint8_t bytes[6];
        const char *text;
    } cases[] = {
        {{0, 0xff, 0xff, 0xff, 0xff, 'x'},
         "grpc: received message larger than max (4294967295 vs. 2097152)"},
        {{0, 0x7f, 0xff, 0xff, 0xff, 'x'},
         "grpc: received message larger than max (2147483647 vs. 2097152)"},
        {{1, 0, 0, 0, 1, 'x'}, "grpc: compressed flag set with identity or empty encoding"},
        {{9, 0, 0, 0, 1, 'x'}, "grpc: received unexpected payload format"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        uint32_t id = (uint32_t)(1 + 2 * i);
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, 0, id, cases[i].bytes, 6);
        assert_int_equal(strike(&a), 0);
        assert_true(answered(&a, cases[i].text));
    }
    assert_int_equal(a.echo.messages, 0);
    attack_close(&a);
}

static void a_message_cut_off_by_the_end_is_an_error(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t part[] = {0, 0, 0, 0, 9, 'p', 'a', 'r', 't'};
    for (size_t size = 1; size <= sizeof(part); size++) {
        uint32_t id = (uint32_t)(2 * size - 1);
        oak_buf_clear(&a.fields);
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, END_STREAM, id, part, size);
        assert_int_equal(strike(&a), 0);
        assert_true(answered(&a, "grpc: the last message is incomplete"));
    }
    assert_int_equal(a.echo.messages, 0);
    attack_close(&a);
}

static void many_unfinished_messages_are_bounded_together(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    /* 1.9 MiB of a message of 2 MiB, on as many streams as it takes. */
    static uint8_t piece[16000];
    uint32_t id = 1;
    for (int call = 0; call < 60; call++, id += 2) {
        const uint8_t head[] = {0, 0, 0x20, 0, 0};
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, 0, id, head, sizeof(head));
        for (int i = 0; i < 120; i++) {
            frame(&a, DATA, 0, id, piece, sizeof(piece));
            if (strike(&a) != 0 || answered(&a, "too many unfinished messages")) {
                break;
            }
        }
        if (answered(&a, "too many unfinished messages")) {
            break;
        }
        oak_buf_clear(&a.answer);
    }
    assert_true(answered(&a, "grpc: too many unfinished messages on this connection"));
    assert_true(a.echo.started > 30 && a.echo.started < 40); /* 64 MiB */
    attack_close(&a);
}

static void what_is_no_grpc_gets_an_answer_of_http(void **state)
{
    (void)state;
    static const struct {
        struct field field;
        const char *text;
    } cases[] = {
        {{"content-type", "application/json"}, ":status: 415\n"},
        {{"content-type", "application/grpcx"}, ":status: 415\n"},
        {{":method", "GET"}, ":status: 405\n"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Unary", END_STREAM, &cases[i].field, 1);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(a.echo.started, 0);
        assert_true(answered(&a, cases[i].text));
        assert_true(answered(&a, "this port speaks gRPC\n"));
        assert_false(answered(&a, "grpc-status"));
        assert_int_equal(last_code(&a, RST_STREAM), -1);
        attack_close(&a);
    }
}

static void an_answer_of_http_waits_for_the_request_and_has_no_body_for_head(void **state)
{
    (void)state;
    static const struct field json = {"content-type", "application/json"};
    static const struct field head = {":method", "HEAD"};
    static const uint8_t much[16000];
    struct attack a;
    attack_open(&a, NULL);
    request(&a, 1, "/t.Echo/Unary", 0, &json, 1);
    for (int i = 0; i < 1000; i++) { /* 16 MB, of which nothing is kept */
        frame(&a, DATA, i == 999 ? END_STREAM : 0, 1, much, sizeof(much));
        assert_false(answered(&a, ":status"));
        assert_int_equal(strike(&a), 0);
    }
    assert_true(answered(&a, ":status: 415\n"));
    oak_buf_clear(&a.answer);
    oak_buf_clear(&a.fields);
    request(&a, 3, "/t.Echo/Unary", END_STREAM, &head, 1);
    assert_int_equal(strike(&a), 0);
    assert_true(answered(&a, ":status: 405\n"));
    assert_false(answered(&a, "speaks"));
    assert_int_equal(a.echo.started, 0);
    attack_close(&a);
}

static void malformed_headers_of_grpc_get_a_status(void **state)
{
    (void)state;
    static const struct {
        struct field field;
        const char *text;
    } cases[] = {
        {{"grpc-timeout", "soon"}, "malformed grpc-timeout"},
        {{"grpc-timeout", "123456789S"}, "malformed grpc-timeout"},
        {{"grpc-timeout", "0S"}, "context deadline exceeded"},
        {{"x-bin", "!!!"}, "malformed binary metadata"},
        {{"grpc-encoding", "br"}, "grpc: Decompressor is not installed for grpc-encoding \"br\""},
        {{"grpc-encoding", "br"}, "grpc-accept-encoding: identity,gzip,deflate\n"},
        {{":path", "/"}, "malformed method name: \"/\""},
        {{":path", "/nothing"}, "malformed method name: \"/nothing\""},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Unary", END_STREAM, &cases[i].field, 1);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(a.echo.started, 0);
        /* nghttp2 may have coded the text: look into the decoded trailers of a real client instead.
         */
        assert_true(a.answer.size > 0);
        assert_true(answered(&a, cases[i].text));
        attack_close(&a);
    }
    static const struct field good[] = {{"content-type", "application/grpc+proto"},
                                        {"content-type", "application/grpc;charset=utf-8"},
                                        {"grpc-encoding", "identity"},
                                        {"grpc-encoding", "gzip"},
                                        {"grpc-accept-encoding", "br , deflate"},
                                        {"te", "trailers"}};
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Bidi", 0, &good[i], 1);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(a.echo.started, 1);
        attack_close(&a);
    }
}

static void more_streams_than_allowed_are_refused(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.streams_max = 10};
    attack_open(&a, &options);
    for (uint32_t i = 0; i < 11; i++) {
        request(&a, 1 + 2 * i, "/t.Echo/Bidi", 0, NULL, 0);
    }
    assert_int_equal(strike(&a), 0);
    assert_int_equal(a.echo.started, 10);
    assert_int_equal(last_code(&a, RST_STREAM), NGHTTP2_REFUSED_STREAM);
    attack_close(&a);
}

static void a_peer_that_never_starts_is_let_go(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct attack a;
        uint64_t next_ns;
        attack_open(&a, NULL);
        const uint8_t literal[] = {0x00, 1, 'a', 1, 'b'};
        if (what == 0) {
            oak_buf_clear(&a.out); /* not a byte */
        } else if (what == 1) {
            a.out.size = 20; /* part of the preface */
        } else {
            frame(&a, HEADERS, 0, 1, literal, sizeof(literal)); /* a block without end */
        }
        assert_int_equal(strike(&a), 0);
        oak_rpc_conn_tick(a.conn, a.now_ns + 10 * SECOND - 1, &next_ns);
        assert_int_equal(next_ns, a.now_ns + 10 * SECOND);
        assert_false(oak_rpc_conn_done(a.conn));
        oak_rpc_conn_tick(a.conn, a.now_ns + 10 * SECOND, &next_ns);
        a.now_ns += 10 * SECOND;
        strike(&a);
        ended_for_abuse(&a, OAK_ELIMIT, "too_slow");
        attack_close(&a);
    }
}

static void something_else_than_http2_gets_no_answer(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    oak_buf_clear(&a.out);
    assert_int_equal(oak_buf_append(&a.out, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 0);
    assert_int_equal(strike(&a), OAK_EFORMAT);
    assert_true(oak_rpc_conn_done(a.conn));
    assert_int_equal(a.answer.size, 0);
    attack_close(&a);
}

static void broken_frames_end_the_connection_with_an_error_code(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint8_t flags;
        uint32_t id;
        uint32_t size;
        uint32_t code;
    } cases[] = {
        {DATA, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR},              /* on no stream */
        {DATA, 0, 1, 4, NGHTTP2_PROTOCOL_ERROR},              /* on an idle one */
        {HEADERS, END_HEADERS, 2, 4, NGHTTP2_PROTOCOL_ERROR}, /* an id of ours */
        {SETTINGS, 0, 0, 5, NGHTTP2_FRAME_SIZE_ERROR},
        {SETTINGS, 0, 1, 6, NGHTTP2_PROTOCOL_ERROR},
        {PING, 0, 0, 7, NGHTTP2_FRAME_SIZE_ERROR},
        {WINDOW_UPDATE, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR}, /* of nothing */
        {CONTINUATION, END_HEADERS, 1, 4, NGHTTP2_PROTOCOL_ERROR},
        {RST_STREAM, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR},
        {5, END_HEADERS, 1, 4, NGHTTP2_PROTOCOL_ERROR}, /* a push from a client */
        {DATA, 0, 1, 20000, NGHTTP2_FRAME_SIZE_ERROR},
    };
    static const uint8_t zeros[20000];
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        frame(&a, cases[i].type, cases[i].flags, cases[i].id, zeros, cases[i].size);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(last_code(&a, GOAWAY), cases[i].code);
        assert_true(oak_rpc_conn_done(a.conn));
        attack_close(&a);
    }
}

static void a_connection_survives_any_truncation(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t hello[] = {0, 0, 0, 0, 2, 'h', 'i', 0, 0};
    request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
    frame(&a, DATA, 0, 1, hello, sizeof(hello));
    size_t size = a.out.size;
    attack_close(&a);
    for (size_t cut = 0; cut < size; cut++) {
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, 0, 1, hello, sizeof(hello));
        a.out.size = cut;
        assert_int_equal(strike(&a), 0);
        attack_close(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_of_gigabytes_allocates_nothing),
        cmocka_unit_test(a_message_cut_off_by_the_end_is_an_error),
        cmocka_unit_test(many_unfinished_messages_are_bounded_together),
        cmocka_unit_test(what_is_no_grpc_gets_an_answer_of_http),
        cmocka_unit_test(an_answer_of_http_waits_for_the_request_and_has_no_body_for_head),
        cmocka_unit_test(malformed_headers_of_grpc_get_a_status),
        cmocka_unit_test(more_streams_than_allowed_are_refused),
        cmocka_unit_test(a_peer_that_never_starts_is_let_go),
        cmocka_unit_test(something_else_than_http2_gets_no_answer),
        cmocka_unit_test(broken_frames_end_the_connection_with_an_error_code),
        cmocka_unit_test(a_connection_survives_any_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
