/* SPDX-License-Identifier: Apache-2.0 */
/* flood_test.c: what a peer may do, and how often. */
#include "rpc/test_attack.h"

static void a_reset_flood_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    uint32_t id = 1;
    int error = 0;
    for (int i = 0; i < 1000; i++, id += 2) {
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, RST_STREAM, 0, id, cancel, 4);
    }
    error = strike(&a);
    not_abuse(&a, error);
    a.now_ns += SECOND; /* a hundred are forgiven each second */
    for (int i = 0; i < 100; i++, id += 2) {
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, RST_STREAM, 0, id, cancel, 4);
    }
    error = strike(&a);
    not_abuse(&a, error);
    assert_int_equal(a.echo.closed, 1100);
    request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
    frame(&a, RST_STREAM, 0, id, cancel, 4);
    ended_for_abuse(&a, strike(&a), "too_many_resets");
    attack_close(&a);
}

static void resets_that_a_peer_provokes_count_like_its_own(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t most[4] = {0x7f, 0xff, 0xff, 0xff};
    uint32_t id = 1;
    int error = 0;
    for (int i = 0; i <= 1000 && error == 0; i++, id += 2) {
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, WINDOW_UPDATE, 0, id, most,
              4); /* the window overflows: we must reset the stream */
        error = strike(&a);
        error = error != 0 ? error : oak_rpc_conn_feed(a.conn, oak_bytes(NULL, 0), a.now_ns);
    }
    assert_int_equal(error, OAK_ELIMIT);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(answered(&a, "too_many_stream_errors"));
    attack_close(&a);
}

static void resets_of_finished_calls_are_in_order(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t none[4] = {0};
    for (uint32_t i = 0; i < 3000; i++) {
        request(&a, 1 + 2 * i, "/t.Nope/Nope", 0, NULL, 0);
        assert_int_equal(strike(&a), 0);
        oak_buf_clear(&a.answer);
        frame(&a, RST_STREAM, 0, 1 + 2 * i, none, 4);
    }
    not_abuse(&a, strike(&a));
    attack_close(&a);
}

static void a_ping_flood_ends_the_connection_even_with_calls_open(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    request(&a, 1, "/t.Echo/Watch", 0, NULL, 0);
    for (int i = 0; i < 900; i++) { /* as many as fit a flow of answers */
        frame(&a, PING, 0, 0, data, 8);
    }
    not_abuse(&a, strike(&a));
    for (int i = 0; i < 101; i++) {
        frame(&a, PING, 0, 0, data, 8);
    }
    ended_for_abuse(&a, strike(&a), "too_many_pings");
    attack_close(&a);
}

static void pings_without_calls_get_two_strikes(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    for (int i = 0; i < 10; i++) { /* 5 s apart they may come for ever */
        frame(&a, PING, 0, 0, data, 8);
        not_abuse(&a, strike(&a));
        a.now_ns += 5 * SECOND;
    }
    for (int i = 0; i < 3; i++) { /* the first is in time */
        frame(&a, PING, 0, 0, data, 8);
    }
    not_abuse(&a, strike(&a));
    frame(&a, PING, 0, 0, data, 8);
    ended_for_abuse(&a, strike(&a), "too_many_pings");
    attack_close(&a);
}

static void pings_with_calls_open_or_after_answers_are_no_strikes(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    const uint8_t hello[] = {0, 0, 0, 0, 2, 'h', 'i'};
    for (uint32_t i = 0; i < 500; i++) { /* a bandwidth probe after each answer */
        request(&a, 1 + 2 * i, "/t.Echo/Unary", 0, NULL, 0);
        frame(&a, DATA, END_STREAM, 1 + 2 * i, hello, sizeof(hello));
        assert_int_equal(strike(&a), 0);
        frame(&a, PING, 0, 0, data, 8);
    }
    request(&a, 2001, "/t.Echo/Watch", 0, NULL, 0);
    for (int i = 0; i < 50; i++) {
        frame(&a, PING, 0, 0, data, 8);
    }
    not_abuse(&a, strike(&a));
    attack_close(&a);
}

static void pings_that_nobody_reads_the_answers_of_end_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    request(&a, 1, "/t.Echo/Watch", 0, NULL, 0);
    int error = 0;
    for (int second = 0; second < 20 && error == 0; second++) { /* slower than the bucket */
        for (int i = 0; i < 90; i++) {
            frame(&a, PING, 0, 0, data, 8);
        }
        a.now_ns += SECOND;
        error = oak_rpc_conn_feed(a.conn, oak_buf_bytes(&a.out), a.now_ns);
        oak_buf_clear(&a.out);
    }
    assert_int_equal(error, OAK_ELIMIT);
    strike(&a);
    ended_for_abuse(&a, OAK_ELIMIT, "too_many_unread_answers");
    attack_close(&a);
}

static void a_settings_flood_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    for (int i = 0; i < 99; i++) {
        frame(&a, SETTINGS, 0, 0, NULL, 0);
    }
    not_abuse(&a, strike(&a));
    frame(&a, SETTINGS, 0, 0, NULL, 0);
    ended_for_abuse(&a, strike(&a), "too_many_settings");
    attack_close(&a);
}

static void empty_data_frames_end_the_connection(void **state)
{
    (void)state;
    for (int padded = 0; padded < 2; padded++) {
        struct attack a;
        attack_open(&a, NULL);
        const uint8_t padding[10] = {9};
        request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
        for (int i = 0; i < 1000; i++) {
            frame(&a, DATA, padded ? PADDED : 0, 1, padding, padded ? sizeof(padding) : 0);
        }
        not_abuse(&a, strike(&a));
        frame(&a, DATA, padded ? PADDED : 0, 1, padding, padded ? sizeof(padding) : 0);
        ended_for_abuse(&a, strike(&a), "too_many_empty_frames");
        attack_close(&a);
    }
}

static void a_priority_flood_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[5] = {0, 0, 0, 0, 1};
    for (int i = 0; i < 10001; i++) {
        frame(&a, PRIORITY, 0, 1, data, 5);
    }
    ended_for_abuse(&a, strike(&a), "too_many_control_frames");
    attack_close(&a);
}

static void endless_continuations_end_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t literal[] = {0x00, 1, 'a', 1, 'b'};
    frame(&a, HEADERS, 0, 1, literal, sizeof(literal));
    for (int i = 0; i < 100; i++) {
        frame(&a, CONTINUATION, 0, 1, literal, sizeof(literal));
    }
    ended_for_abuse(&a, strike(&a), "too_many_continuations");
    attack_close(&a);
}

static void a_header_bomb_is_refused_and_a_larger_one_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    /* One field of 4000 bytes goes into the table; each further byte repeats it. */
    uint8_t value[4000];
    memset(value, 'v', sizeof(value));
    uint8_t bytes[16000];
    const struct field fields[] = {{":method", "POST"},
                                   {":scheme", "http"},
                                   {":path", "/t.Echo/Bidi"},
                                   {":authority", "a"},
                                   {"content-type", "application/grpc"}};
    size_t size = block(&a, fields, 5, bytes, sizeof(bytes));
    /* Literal with indexing, name "x", a length of 4000 in HPACK's integers. */
    const uint8_t head[] = {0x40, 1, 'x', 0x7f, 0xa1, 0x1e};
    memcpy(bytes + size, head, sizeof(head));
    memcpy(bytes + size + sizeof(head), value, sizeof(value));
    size += sizeof(head) + sizeof(value);
    memset(bytes + size, 0x80 | 62, 20); /* twenty times the newest entry: over 64 KiB */
    frame(&a, HEADERS, END_HEADERS, 1, bytes, size + 20);
    assert_int_equal(strike(&a), 0);
    assert_true(answered(&a, "grpc: received header list larger than max"));
    assert_int_equal(a.echo.started, 0);
    uint8_t again[4000];
    memset(again, 0x80 | 62, sizeof(again)); /* 16 MB */
    frame(&a, HEADERS, END_HEADERS, 3, again, sizeof(again));
    ended_for_abuse(&a, strike(&a), "header_list_too_large");
    attack_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_flood_ends_the_connection),
        cmocka_unit_test(resets_that_a_peer_provokes_count_like_its_own),
        cmocka_unit_test(resets_of_finished_calls_are_in_order),
        cmocka_unit_test(a_ping_flood_ends_the_connection_even_with_calls_open),
        cmocka_unit_test(pings_without_calls_get_two_strikes),
        cmocka_unit_test(pings_with_calls_open_or_after_answers_are_no_strikes),
        cmocka_unit_test(pings_that_nobody_reads_the_answers_of_end_the_connection),
        cmocka_unit_test(a_settings_flood_ends_the_connection),
        cmocka_unit_test(empty_data_frames_end_the_connection),
        cmocka_unit_test(a_priority_flood_ends_the_connection),
        cmocka_unit_test(endless_continuations_end_the_connection),
        cmocka_unit_test(a_header_bomb_is_refused_and_a_larger_one_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
