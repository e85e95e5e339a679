/* SPDX-License-Identifier: Apache-2.0 */
/* pack_test.c: compressed messages, and what claims to be one. */
#include "rpc/internal.h"
#include "rpc/test_attack.h"
#include "rpc/test_script.h"

static const enum oak_rpc_encoding both[] = {OAK_RPC_GZIP, OAK_RPC_DEFLATE};
static const char words[] = "the same words again and again, the same words again and again, the "
                            "same words again and again, and that is how they become smaller";

static size_t exchange(enum oak_rpc_encoding encoding, size_t size)
{
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    p.echo.answers = encoding;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, words, OAK_MIN(size, sizeof(words)));
    pair_call_packed(&p, "Unary", encoding, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(bytes, size)), 0);
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(p.echo.compress_error, 0);
    assert_true(oak_bytes_eq(oak_buf_bytes(&r.bytes), oak_bytes(bytes, size)));
    assert_int_equal(r.compressed, encoding != OAK_RPC_IDENTITY);
    assert_int_equal(p.echo.compressed, encoding != OAK_RPC_IDENTITY);
    size_t carried = p.carried;
    free(bytes);
    recorder_fini(&r);
    pair_close(&p);
    return carried;
}

static void messages_are_compressed_both_ways(void **state)
{
    (void)state;
    for (size_t size = sizeof(words); size < 2000000; size *= 11) {
        size_t plain = exchange(OAK_RPC_IDENTITY, size);
        for (size_t i = 0; i < OAK_COUNT_OF(both); i++) {
            size_t packed = exchange(both[i], size);
            assert_true(packed < plain);
            assert_true(size < 20000 || packed < plain / 5);
        }
    }
}

static void each_message_has_its_own_flag(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    p.echo.answers = OAK_RPC_GZIP;
    pair_call_packed(&p, "Bidi", OAK_RPC_DEFLATE, &r);
    const bool flags[] = {true, false, false, true, false, true};
    int sent = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(flags); i++) {
        oak_rpc_call_compress_messages(r.call, flags[i]);
        if (p.echo.last != NULL) {
            oak_rpc_call_compress_messages(p.echo.last, !flags[i]);
        }
        send_text(r.call, words);
        pair_run(&p);
        sent += flags[i];
        assert_int_equal(p.echo.compressed, sent);
        assert_int_equal(r.messages, i + 1);
        /* The first answer is compressed as the call asked for at its start. */
        assert_int_equal(r.compressed, 1 + (int)i - (sent - 1));
        assert_true(r.last_size == sizeof(words) - 1);
    }
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    recorder_fini(&r);
    pair_close(&p);
}

static void many_messages_in_one_turn_are_all_packed(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    p.piece_max = 11;
    pair_call_packed(&p, "Bidi", OAK_RPC_GZIP, &r);
    struct oak_buf all = {0};
    for (size_t i = 0; i < 40; i++) {
        size_t size = sizeof(words) - 3 * i;
        /* Filled when it is queued already. */
        uint8_t *to = oak_rpc_call_send_into(r.call, size);
        assert_non_null(to);
        memcpy(to, words + 3 * i, size);
        assert_int_equal(oak_buf_append(&all, words + 3 * i, size), 0);
    }
    assert_int_equal(oak_rpc_call_queued(r.call) < all.size, true);
    pair_run(&p);
    assert_int_equal(p.echo.messages, 40);
    assert_true(p.echo.compressed > 10); /* the last ones are too short for it */
    assert_true(p.echo.compressed < 40);
    assert_true(oak_bytes_eq(oak_buf_bytes(&r.bytes), oak_buf_bytes(&all)));
    oak_buf_fini(&all);
    recorder_fini(&r);
    pair_close(&p);
}

static void what_does_not_become_smaller_leaves_as_it_is(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    p.echo.answers = OAK_RPC_GZIP;
    pair_call_packed(&p, "Bidi", OAK_RPC_GZIP, &r);
    send_text(r.call, "short");
    send_text(r.call, "");
    pair_run(&p);
    assert_int_equal(r.messages, 2);
    assert_int_equal(r.compressed + p.echo.compressed, 0);
    assert_true(recorded(&r, "short"));
    recorder_fini(&r);
    pair_close(&p);
}

static void an_encoding_is_chosen_before_the_headers_leave(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    pair_call(&p, "Bidi", 0, &r);
    send_text(r.call, words);
    pair_run(&p);
    assert_int_equal(r.compressed, 0);
    assert_int_equal(oak_rpc_call_compress(p.echo.last, OAK_RPC_GZIP), OAK_ECLOSED);
    oak_rpc_call_compress_messages(p.echo.last, true); /* of identity: nothing */
    send_text(p.echo.last, words);
    pair_run(&p);
    assert_int_equal(r.messages, 2);
    assert_int_equal(r.compressed, 0);
    recorder_fini(&r);
    pair_close(&p);
}

/* -- limits ------------------------------------------------------------------------------------ */

static void a_client_s_encoding_is_chosen_before_its_first_message(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    pair_call_packed(&p, "Unary", OAK_RPC_DEFLATE, &r);
    assert_int_equal(oak_rpc_call_compress(r.call, OAK_RPC_GZIP), 0);
    send_text(r.call, words);
    assert_int_equal(oak_rpc_call_compress(r.call, OAK_RPC_IDENTITY), OAK_ECLOSED);
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(p.echo.compressed, 1);
    assert_int_equal(r.last_size, sizeof(words) - 1);
    recorder_fini(&r);
    pair_close(&p);
}

static void a_bomb_stops_at_the_limit_of_messages(void **state)
{
    (void)state;
    const char *const methods[] = {"Unary", "Bidi"}; /* the first is delivered at the end only */
    for (size_t i = 0; i < OAK_COUNT_OF(methods); i++) {
        struct pair p;
        struct recorder r = {0};
        const struct oak_rpc_options server = {.receive_bytes_max = 1000000};
        pair_open(&p, &server, NULL);
        pair_call_packed(&p, methods[i], OAK_RPC_GZIP, &r);
        uint8_t *to = oak_rpc_call_send_into(r.call, 20000000);
        assert_non_null(to);
        memset(to, 0, 20000000);
        oak_rpc_call_half_close(r.call);
        pair_run(&p);
        assert_true(p.carried < 100000);
        assert_int_equal(r.code, OAK_RPC_RESOURCE_EXHAUSTED);
        assert_string_equal(r.text,
                            "grpc: received message after decompression larger than max (1000000)");
        assert_int_equal(p.echo.messages, 0);
        recorder_fini(&r);
        pair_close(&p);
    }
}

static void a_client_stops_a_bomb_too(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    const struct oak_rpc_options client = {.receive_bytes_max = 4095};
    pair_open(&p, NULL, &client);
    p.echo.answers = OAK_RPC_DEFLATE;
    pair_call(&p, "Bidi", 0, &r);
    const uint8_t ask[] = {ECHO_LARGE, 12};
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(ask, 2)), 0);
    pair_run(&p);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(r.messages, 0);
    assert_int_equal(p.echo.closed, 1);
    recorder_fini(&r);
    pair_close(&p);
}

/* -- hostile peers ----------------------------------------------------------------------------- */

static void a_damaged_message_ends_its_call(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 0, 0, 0, 4, 0x1f, 0x8b, 0x08, 0x00};
    static const struct field gzip = {"grpc-encoding", "gzip"};
    struct attack a;
    attack_open(&a, NULL);
    request(&a, 1, "/t.Echo/Bidi", 0, &gzip, 1);
    frame(&a, DATA, 0, 1, bytes, sizeof(bytes));
    request(&a, 3, "/t.Echo/Unary", 0, &gzip, 1);
    frame(&a, DATA, END_STREAM, 3, bytes, sizeof(bytes));
    request(&a, 5, "/t.Echo/Bidi", 0, &gzip, 1);
    frame(&a, DATA, 0, 5, "\1\0\0\0\0", 5);
    assert_int_equal(strike(&a), 0);
    assert_int_equal(a.echo.started, 3);
    assert_int_equal(a.echo.closed, 3);
    assert_int_equal(a.echo.messages, 0);
    assert_int_equal(a.echo.last_code, OAK_RPC_INTERNAL);
    assert_true(answered(&a, "grpc: failed to decompress the received message"));
    not_abuse(&a, 0);
    attack_close(&a);
}

static void a_client_gets_only_what_it_takes(void **state)
{
    (void)state;
    struct attack a;
    const char *const lists[] = {"br, gzip", "", "deflate"};
    attack_open(&a, NULL);
    a.echo.answers = OAK_RPC_DEFLATE;
    uint8_t message[5 + sizeof(words)] = {0, 0, 0, 0, sizeof(words)};
    memcpy(message + 5, words, sizeof(words));
    for (size_t i = 0; i < OAK_COUNT_OF(lists); i++) {
        uint32_t id = (uint32_t)(1 + 2 * i);
        const struct field list = {"grpc-accept-encoding", lists[i]};
        request(&a, id, "/t.Echo/Bidi", 0, &list, 1);
        frame(&a, DATA, 0, id, message, sizeof(message));
        assert_int_equal(strike(&a), 0);
        bool takes = i == 2;
        assert_int_equal(a.echo.compress_error, takes ? 0 : OAK_EUNIMPLEMENTED);
        assert_int_equal(answered(&a, "grpc-encoding: deflate\n"), takes);
    }
    assert_int_equal(a.echo.messages, 3);
    attack_close(&a);
}

static void an_answer_in_an_unknown_encoding_is_an_internal_error(void **state)
{
    (void)state;
    struct script s;
    struct recorder r = {0};
    struct oak_rpc_conn *conn;
    const struct script_field fields[] = {
        {":status", "200"}, {"content-type", "application/grpc"}, {"grpc-encoding", "snappy"}};
    const struct oak_rpc_request request = {
        .service = "s", .method = "m", .handler = &recorder_handler, .user = &r};
    script_open(&s);
    script_settings(&s, UINT32_MAX);
    assert_int_equal(oak_rpc_conn_new(NULL, NULL, "server:1", SECOND, &conn), 0);
    assert_int_equal(oak_rpc_conn_feed(conn, oak_buf_bytes(&s.out), SECOND), 0);
    oak_buf_clear(&s.out);
    assert_int_equal(oak_rpc_conn_call(conn, &request, SECOND, &r.call), 0);
    script_hear(&s, oak_rpc_conn_take(conn));
    assert_int_equal(script_heard(&s, "HEADERS 1", "grpc-accept-encoding=identity,gzip,deflate"),
                     1);
    script_fields(&s, 1, 0, fields, 3);
    assert_int_equal(oak_rpc_conn_feed(conn, oak_buf_bytes(&s.out), SECOND), 0);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_INTERNAL);
    assert_string_equal(r.text, "grpc: Decompressor is not installed for grpc-encoding \"snappy\"");
    recorder_fini(&r);
    oak_rpc_conn_free(conn);
    script_close(&s);
}

static void lists_of_encodings_are_read_leniently(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t set;
    } cases[] = {
        {"", 0},
        {",", 0},
        {" , ,", 0},
        {"gzip", 2},
        {"gzip,", 2},
        {" gzip\t,\tdeflate ", 6},
        {"identity", 1},
        {"GZIP", 0},
        {"gzipp,xgzip", 0},
        {"br,identity,gzip,deflate,zstd", 7},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        assert_int_equal(rpc__encodings_parse(oak_bytes_str(cases[i].text)), cases[i].set);
    }
    assert_int_equal(rpc__encodings_parse(oak_bytes(NULL, 0)), 0);
    assert_int_equal(rpc__encodings_parse(oak_bytes_str(RPC_ENCODINGS)), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_compressed_both_ways),
        cmocka_unit_test(each_message_has_its_own_flag),
        cmocka_unit_test(many_messages_in_one_turn_are_all_packed),
        cmocka_unit_test(what_does_not_become_smaller_leaves_as_it_is),
        cmocka_unit_test(an_encoding_is_chosen_before_the_headers_leave),
        cmocka_unit_test(a_client_s_encoding_is_chosen_before_its_first_message),
        cmocka_unit_test(a_bomb_stops_at_the_limit_of_messages),
        cmocka_unit_test(a_client_stops_a_bomb_too),
        cmocka_unit_test(a_damaged_message_ends_its_call),
        cmocka_unit_test(a_client_gets_only_what_it_takes),
        cmocka_unit_test(an_answer_in_an_unknown_encoding_is_an_internal_error),
        cmocka_unit_test(lists_of_encodings_are_read_leniently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
