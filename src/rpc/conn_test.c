/* SPDX-License-Identifier: Apache-2.0 */
/* conn_test.c: calls between two connections with nothing but bytes between them. */
#include "rpc/test_pair.h"

static void a_unary_call_comes_back(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    struct oak_rpc_call *call = pair_call(&p, "Unary", 5 * SECOND, &r);
    assert_true(oak_bytes_eq(oak_rpc_call_path(call), oak_bytes_str("/t.Echo/Unary")));
    assert_string_equal(oak_rpc_call_peer(call), "server:2");
    assert_int_equal(oak_rpc_call_deadline_ns(call), p.now_ns + 5 * SECOND);
    send_text(call, "hello");
    oak_rpc_call_half_close(call);
    pair_run(&p);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.messages, 1);
    assert_int_equal(r.headers, 1);
    assert_true(recorded(&r, "hello"));
    assert_int_equal(p.echo.closed, 1);
    assert_int_equal(p.echo.last_code, OAK_RPC_OK);
    const struct oak_rpc_method_stats *stats;
    assert_int_equal(oak_rpc_server_stats(p.server, &stats), 5);
    assert_string_equal(stats[0].method->name, "Unary");
    assert_int_equal(stats[0].started, 1);
    assert_int_equal(stats[0].handled[OAK_RPC_OK], 1);
    assert_int_equal(stats[0].received, 1);
    assert_int_equal(stats[0].sent, 1);
    recorder_fini(&r);
    pair_close(&p);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    send_text(pair_call(&p, "Unary", 0, &r), "");
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.messages, 1);
    assert_int_equal(r.last_size, 0);
    recorder_fini(&r);
    pair_close(&p);
}

static void streams_of_all_kinds_carry_their_messages_in_order(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 4000; piece = piece * 3 + 1) {
        struct pair p;
        struct recorder up = {0};
        struct recorder down = {0};
        struct recorder both = {0};
        pair_open(&p, NULL, NULL);
        p.piece_max = piece;
        pair_call(&p, "Client", 0, &up);
        for (int i = 0; i < 50; i++) {
            char text[8] = {(char)('a' + i % 26), '\0'};
            send_text(up.call, text);
        }
        oak_rpc_call_half_close(up.call);
        const uint8_t many[] = {ECHO_MANY, 200};
        pair_call(&p, "Server", 0, &down);
        assert_int_equal(oak_rpc_call_send(down.call, oak_bytes(many, sizeof(many))), 0);
        oak_rpc_call_half_close(down.call);
        pair_call(&p, "Bidi", 0, &both);
        for (int i = 0; i < 5; i++) {
            send_text(both.call, "ping");
            pair_run(&p);
            assert_int_equal(both.messages, i + 1);
        }
        assert_int_equal(both.closed, 0);
        oak_rpc_call_half_close(both.call);
        pair_run(&p);
        assert_int_equal(up.messages, 50);
        assert_true(recorded(&up, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwx"));
        assert_int_equal(down.messages, 200);
        assert_true(recorded(&both, "pingpingpingpingping"));
        assert_int_equal(up.code | down.code | both.code, OAK_RPC_OK);
        assert_int_equal(up.closed + down.closed + both.closed, 3);
        assert_int_equal(p.echo.closed, 3);
        recorder_fini(&up);
        recorder_fini(&down);
        recorder_fini(&both);
        pair_close(&p);
    }
}

static void half_close_of_a_watch_does_not_end_it(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    send_text(pair_call(&p, "Watch", 0, &r), "one");
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(p.echo.half_closed, 1);
    assert_int_equal(r.closed, 0);
    send_text(p.echo.last, "two");
    pair_run(&p);
    assert_true(recorded(&r, "onetwo"));
    oak_rpc_call_finish(p.echo.last, OAK_RPC_OK, NULL);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.closed, 1);
    recorder_fini(&r);
    pair_close(&p);
}

static void metadata_travels_both_ways_text_and_binary(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    const uint8_t raw[] = {0xab, 0xab, 0xab, 0x00, 0xff};
    for (size_t size = 0; size <= sizeof(raw); size++) {
        r = (struct recorder){0};
        const struct oak_rpc_pair pairs[] = {
            {oak_bytes_str("x-test-initial"), oak_bytes_str("a value")},
            {oak_bytes_str("x-test-trailing-bin"), oak_bytes(raw, size)},
        };
        struct oak_rpc_request request = {.service = "t.Echo",
                                          .method = "Unary",
                                          .metadata = pairs,
                                          .metadata_count = 2,
                                          .handler = &recorder_handler,
                                          .user = &r};
        assert_int_equal(oak_rpc_conn_call(p.client_conn, &request, p.now_ns, &r.call), 0);
        send_text(r.call, "x");
        oak_rpc_call_half_close(r.call);
        pair_run(&p);
        assert_int_equal(r.code, OAK_RPC_OK);
        assert_string_equal(r.initial, "a value");
        assert_int_equal(r.trailing_size, size);
        assert_memory_equal(r.trailing, raw, size);
        recorder_fini(&r);
    }
    pair_close(&p);
}

static void metadata_that_http_forbids_is_refused(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    const char *const names[] = {"Upper",      ":path",       "", "grpc-status", "te",
                                 "with space", "content-type"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        struct oak_rpc_pair pair = {oak_bytes_str(names[i]), oak_bytes_str("v")};
        struct oak_rpc_request request = {.service = "t.Echo",
                                          .method = "Unary",
                                          .metadata = &pair,
                                          .metadata_count = 1,
                                          .handler = &recorder_handler,
                                          .user = &r};
        assert_int_equal(oak_rpc_conn_call(p.client_conn, &request, p.now_ns, &r.call), OAK_EINVAL);
    }
    struct oak_rpc_pair pair = {oak_bytes_str("x"), oak_bytes_str("line\r\nbreak")};
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = "Unary",
                                      .metadata = &pair,
                                      .metadata_count = 1,
                                      .handler = &recorder_handler,
                                      .user = &r};
    assert_int_equal(oak_rpc_conn_call(p.client_conn, &request, p.now_ns, &r.call), OAK_EINVAL);
    pair_run(&p);
    assert_int_equal(p.echo.started, 0);
    assert_int_equal(r.closed, 0);
    pair_close(&p);
}

static void a_status_with_a_strange_text_arrives_as_it_was(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    static const char text[] =
        "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
        "\xf0\x9f\x98\x88 100%25\t\n";
    uint8_t message[sizeof(text) + 2] = {ECHO_FINISH, OAK_RPC_UNKNOWN};
    memcpy(message + 2, text, sizeof(text) - 1);
    pair_call(&p, "Unary", 0, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(message, sizeof(text) + 1)), 0);
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_UNKNOWN);
    assert_string_equal(r.text, text);
    assert_int_equal(r.messages, 0);
    assert_int_equal(r.headers, 0); /* trailers only */
    recorder_fini(&r);
    pair_close(&p);
}

static void a_server_may_finish_early_and_what_follows_is_dropped(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    const uint8_t finish[] = {ECHO_FINISH, OAK_RPC_ABORTED, 'n', 'o'};
    pair_call(&p, "Bidi", 0, &r);
    send_text(r.call, "first");
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(finish, sizeof(finish))), 0);
    send_text(r.call, "dropped");
    pair_run(&p);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_ABORTED);
    assert_string_equal(r.text, "no");
    assert_true(recorded(&r, "first"));
    assert_int_equal(p.echo.messages, 2);
    assert_int_equal(p.echo.closed, 1);
    assert_int_equal(p.echo.last_code, OAK_RPC_ABORTED);
    recorder_fini(&r);
    pair_close(&p);
}

static void unknown_methods_and_services_say_so(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NULL, NULL);
    static const struct {
        const char *service;
        const char *method;
        const char *text;
    } cases[] = {
        {"t.Echo", "Nope", "unknown method Nope for service t.Echo"},
        {"t.Nope", "Unary", "unknown service t.Nope"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct recorder r = {0};
        struct oak_rpc_request request = {.service = cases[i].service,
                                          .method = cases[i].method,
                                          .handler = &recorder_handler,
                                          .user = &r};
        assert_int_equal(oak_rpc_conn_call(p.client_conn, &request, p.now_ns, &r.call), 0);
        send_text(r.call, "x");
        oak_rpc_call_half_close(r.call);
        pair_run(&p);
        assert_int_equal(r.code, OAK_RPC_UNIMPLEMENTED);
        assert_string_equal(r.text, cases[i].text);
        recorder_fini(&r);
    }
    assert_int_equal(p.echo.started, 0);
    assert_int_equal(p.server_error, 0);
    pair_close(&p);
}

static void a_unary_peer_must_send_exactly_one_message(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NULL, NULL);
    const char *const methods[] = {"Unary", "Server"};
    for (size_t m = 0; m < 2; m++) {
        for (int count = 0; count <= 2; count += 2) {
            struct recorder r = {0};
            int before = p.echo.messages;
            pair_call(&p, methods[m], 0, &r);
            for (int i = 0; i < count; i++) {
                send_text(r.call, "x");
                pair_run(&p);
            }
            if (r.call != NULL) { /* the second message was refused at once */
                oak_rpc_call_half_close(r.call);
            }
            pair_run(&p);
            assert_int_equal(r.code, OAK_RPC_INTERNAL);
            assert_int_equal(r.messages, 0);
            assert_int_equal(p.echo.messages, before); /* nothing was acted upon */
            recorder_fini(&r);
        }
    }
    pair_close(&p);
}

static void a_cancelled_call_ends_on_both_sides(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NULL, NULL);
    for (int when = 0; when < 4; when++) {
        struct recorder r = {.cancel_on_message = when == 3};
        int started = p.echo.started;
        int closed = p.echo.closed;
        pair_call(&p, "Watch", 0, &r);
        if (when > 0) {
            send_text(r.call, "x");
        }
        if (when > 1) {
            pair_run(&p);
        }
        if (when < 3) {
            oak_rpc_call_cancel(r.call);
            oak_rpc_call_cancel(r.call);
            assert_int_equal(r.closed, 0);
        }
        pair_run(&p);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.code, OAK_RPC_CANCELLED);
        assert_int_equal(p.echo.started - started, when > 1); /* before the start it never leaves */
        assert_int_equal(p.echo.closed - closed, when > 1);
        assert_int_equal(when > 1 ? p.echo.last_code : OAK_RPC_CANCELLED, OAK_RPC_CANCELLED);
        recorder_fini(&r);
    }
    struct recorder r = {0};
    send_text(pair_call(&p, "Watch", 0, &r), "x");
    pair_run(&p);
    oak_rpc_call_cancel(p.echo.last);
    assert_int_equal(oak_rpc_call_send(p.echo.last, oak_bytes_str("y")), OAK_ECLOSED);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_CANCELLED);
    assert_int_equal(p.echo.last_code, OAK_RPC_CANCELLED);
    recorder_fini(&r);
    pair_close(&p);
}

static void a_deadline_ends_the_call_on_both_sides(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    struct recorder later = {0};
    pair_open(&p, NULL, NULL);
    pair_call(&p, "Watch", 2 * SECOND, &later);
    send_text(pair_call(&p, "Watch", 1 * SECOND, &r), "x");
    pair_run(&p);
    assert_int_equal(p.echo.started, 2);
    uint64_t next_ns;
    oak_rpc_conn_tick(p.server_conn, p.now_ns, &next_ns);
    assert_int_equal(next_ns, p.now_ns + 1 * SECOND);
    pair_tick(&p, SECOND - 1);
    assert_int_equal(r.closed + p.echo.closed, 0);
    pair_tick(&p, 1);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_DEADLINE_EXCEEDED);
    assert_string_equal(r.text, "context deadline exceeded");
    assert_int_equal(p.echo.closed, 1);
    assert_int_equal(p.echo.last_code, OAK_RPC_DEADLINE_EXCEEDED);
    pair_run(&p);
    assert_int_equal(later.closed, 0);
    pair_tick(&p, SECOND);
    assert_int_equal(later.closed, 1);
    assert_int_equal(p.echo.closed, 2);
    pair_run(&p);
    assert_int_equal(p.client_error | p.server_error, 0);
    recorder_fini(&r);
    recorder_fini(&later);
    pair_close(&p);
}

static void a_server_alone_enforces_a_deadline_with_a_status(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    const uint8_t silence[] = {ECHO_SILENCE, 0};
    pair_call(&p, "Watch", 1 * SECOND, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(silence, 2)), 0);
    pair_run(&p);
    uint64_t next_ns;
    oak_rpc_conn_tick(p.server_conn, p.now_ns + SECOND, &next_ns);
    assert_int_equal(p.echo.closed, 1);
    pair_run(&p); /* the client's clock has not moved: the status comes from the server */
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_DEADLINE_EXCEEDED);
    recorder_fini(&r);
    pair_close(&p);
}

static void a_reset_behind_the_deadline_is_the_deadlines(void **state)
{
    (void)state;
    for (uint64_t late = 0; late <= 1; late++) {
        struct pair p;
        struct recorder r = {0};
        pair_open(&p, NULL, NULL);
        send_text(pair_call(&p, "Watch", 1 * SECOND, &r), "x");
        pair_run(&p);
        p.now_ns += SECOND - 1 + late; /* and no timer fires */
        oak_rpc_call_cancel(p.echo.last);
        pair_run(&p);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.code, late ? OAK_RPC_DEADLINE_EXCEEDED : OAK_RPC_CANCELLED);
        recorder_fini(&r);
        pair_close(&p);
    }
}

static void a_call_that_waits_for_room_keeps_its_deadline(void **state)
{
    (void)state;
    struct pair p;
    struct recorder first = {0};
    struct recorder second = {0};
    const struct oak_rpc_options options = {.streams_max = 1};
    pair_open(&p, &options, NULL);
    pair_run(&p); /* SETTINGS */
    pair_call(&p, "Watch", 0, &first);
    pair_call(&p, "Watch", SECOND, &second);
    pair_run(&p);
    assert_int_equal(p.echo.started, 1);
    pair_tick(&p, SECOND);
    assert_int_equal(second.code, OAK_RPC_DEADLINE_EXCEEDED);
    assert_int_equal(first.closed, 0);
    recorder_fini(&first);
    recorder_fini(&second);
    pair_close(&p);
    assert_int_equal(first.code, OAK_RPC_UNAVAILABLE);
}

static void closing_a_connection_ends_its_calls(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    send_text(pair_call(&p, "Watch", SECOND, &r), "x");
    pair_run(&p);
    pair_close(&p);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_UNAVAILABLE);
    assert_int_equal(p.echo.closed, 1);
    assert_int_equal(p.echo.last_code, OAK_RPC_UNAVAILABLE);
    recorder_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unary_call_comes_back),
        cmocka_unit_test(an_empty_message_is_a_message),
        cmocka_unit_test(streams_of_all_kinds_carry_their_messages_in_order),
        cmocka_unit_test(half_close_of_a_watch_does_not_end_it),
        cmocka_unit_test(metadata_travels_both_ways_text_and_binary),
        cmocka_unit_test(metadata_that_http_forbids_is_refused),
        cmocka_unit_test(a_status_with_a_strange_text_arrives_as_it_was),
        cmocka_unit_test(a_server_may_finish_early_and_what_follows_is_dropped),
        cmocka_unit_test(unknown_methods_and_services_say_so),
        cmocka_unit_test(a_unary_peer_must_send_exactly_one_message),
        cmocka_unit_test(a_cancelled_call_ends_on_both_sides),
        cmocka_unit_test(a_deadline_ends_the_call_on_both_sides),
        cmocka_unit_test(a_server_alone_enforces_a_deadline_with_a_status),
        cmocka_unit_test(a_reset_behind_the_deadline_is_the_deadlines),
        cmocka_unit_test(a_call_that_waits_for_room_keeps_its_deadline),
        cmocka_unit_test(closing_a_connection_ends_its_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
