/* SPDX-License-Identifier: Apache-2.0 */
/* flow_test.c: sizes, windows, pauses and queues between two connections. */
#include "rpc/test_pair.h"

static void a_message_over_the_limit_is_refused_and_the_connection_lives(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    const struct oak_rpc_options options = {.receive_bytes_max = 1000, .send_bytes_max = 5000};
    pair_open(&p, &options, NULL);
    uint8_t big[5001] = {0};
    pair_call(&p, "Unary", 0, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(big, 1001)), 0);
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_RESOURCE_EXHAUSTED);
    assert_string_equal(r.text, "grpc: received message larger than max (1001 vs. 1000)");
    recorder_fini(&r);
    r = (struct recorder){0};
    pair_call(&p, "Unary", 0, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(big, 1000)), 0);
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.last_size, 1000);
    recorder_fini(&r);
    r = (struct recorder){0};
    pair_call(&p, "Watch", 0, &r);
    send_text(r.call, "x");
    pair_run(&p);
    assert_int_equal(oak_rpc_call_send(p.echo.last, oak_bytes(big, 5001)), OAK_ELIMIT);
    assert_null(oak_rpc_call_send_into(p.echo.last, 5001));
    assert_int_equal(oak_rpc_call_send(p.echo.last, oak_bytes(big, 5000)), 0);
    pair_run(&p);
    assert_int_equal(r.last_size, 5000);
    recorder_fini(&r);
    pair_close(&p);
}

static void a_client_refuses_an_answer_over_its_limit(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    const struct oak_rpc_options options = {.receive_bytes_max = 1 << 16};
    pair_open(&p, NULL, &options);
    const uint8_t large[] = {ECHO_LARGE, 22}; /* more than the window: the server learns of it */
    pair_call(&p, "Unary", 0, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(large, sizeof(large))), 0);
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_RESOURCE_EXHAUSTED);
    assert_string_equal(r.text, "grpc: received message larger than max (4194304 vs. 65536)");
    assert_int_equal(p.echo.last_code, OAK_RPC_CANCELLED);
    recorder_fini(&r);
    pair_close(&p);
}

/* The small windows make the server send a piece of each by turns. */
static void a_client_takes_all_its_answers_unless_it_was_told_a_limit(void **state)
{
    (void)state;
    for (int limited = 0; limited < 2; limited++) {
        enum { CALLS = 20 };
        struct pair p;
        struct recorder r[CALLS] = {{0}};
        const struct oak_rpc_options options = {.window_bytes = 65535,
                                                .unfinished_bytes_max = limited ? 2 << 20 : 0};
        int refused = 0;
        pair_open(&p, NULL, &options);
        p.piece_max = 100000;
        const uint8_t large[] = {ECHO_LARGE, 20};
        for (int i = 0; i < CALLS; i++) {
            pair_call(&p, "Unary", 0, &r[i]);
            assert_int_equal(oak_rpc_call_send(r[i].call, oak_bytes(large, sizeof(large))), 0);
            oak_rpc_call_half_close(r[i].call);
        }
        pair_run(&p);
        for (int i = 0; i < CALLS; i++) {
            refused += r[i].code == OAK_RPC_RESOURCE_EXHAUSTED;
            assert_int_equal(r[i].closed, 1);
            assert_true(limited || r[i].last_size == 1 << 20);
            recorder_fini(&r[i]);
        }
        assert_true(limited ? refused > CALLS / 2 : refused == 0);
        pair_close(&p);
    }
}

static void messages_larger_than_every_window_arrive_whole(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    const struct oak_rpc_options options = {
        .receive_bytes_max = 64 << 20, .window_bytes = 65535, .connection_window_bytes = 65535};
    pair_open(&p, &options, &options);
    p.piece_max = 100000;
    const size_t size = 5 << 20;
    pair_call(&p, "Unary", 0, &r);
    uint8_t *to = oak_rpc_call_send_into(r.call, size);
    assert_non_null(to);
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(i * 7 + i / 1000);
    }
    to[0] = 1;
    oak_rpc_call_half_close(r.call);
    pair_run(&p);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.last_size, size);
    for (size_t i = 1; i < size; i++) {
        assert_true(r.bytes.data[i] == (uint8_t)(i * 7 + i / 1000));
    }
    recorder_fini(&r);
    pair_close(&p);
}

static void a_paused_receiver_stops_its_sender_and_nobody_else(void **state)
{
    (void)state;
    struct pair p;
    struct recorder slow = {.pause_after_each = true};
    struct recorder quick = {0};
    const struct oak_rpc_options options = {.window_bytes = 100000};
    pair_open(&p, &options, NULL);
    struct recorder server = {.pause_after_each = true};
    p.echo.hand_over = &server;
    pair_call(&p, "Bidi", 0, &slow);
    uint8_t block[50000] = {1};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(oak_rpc_call_send(slow.call, oak_bytes(block, sizeof(block))), 0);
    }
    oak_rpc_call_half_close(slow.call);
    pair_run(&p);
    assert_int_equal(server.messages, 1);
    size_t left = oak_rpc_call_queued(slow.call);
    assert_true(left >= 17 * sizeof(block));
    assert_int_equal(slow.writable, 0);
    send_text(pair_call(&p, "Unary", 0, &quick), "hello");
    oak_rpc_call_half_close(quick.call);
    pair_run(&p);
    assert_int_equal(quick.code, OAK_RPC_OK);
    assert_int_equal(quick.closed, 1);
    for (int i = 2; i <= 20; i++) {
        assert_int_equal(server.half_closed, 0);
        oak_rpc_call_pause(server.call, false);
        pair_run(&p);
        assert_int_equal(server.messages, i);
    }
    oak_rpc_call_pause(server.call, false);
    pair_run(&p);
    assert_int_equal(server.messages, 20);
    assert_int_equal(server.half_closed, 1);
    assert_int_equal(oak_rpc_call_queued(slow.call), 0);
    oak_rpc_call_finish(server.call, OAK_RPC_OK, NULL);
    pair_run(&p);
    assert_int_equal(slow.code, OAK_RPC_OK);
    recorder_fini(&slow);
    recorder_fini(&quick);
    recorder_fini(&server);
    pair_close(&p);
}

static void many_paused_calls_together_stop_the_connection_and_all_go_on(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct pair p;
    static struct recorder r[COUNT];
    pair_open(&p, NULL, NULL);
    p.piece_max = 50000;
    const uint8_t large[] = {ECHO_LARGE, 19}; /* half of a stream's window */
    for (int i = 0; i < COUNT; i++) {
        r[i] = (struct recorder){0};
        pair_call(&p, "Unary", 0, &r[i]);
        oak_rpc_call_pause(r[i].call, true);
        assert_int_equal(oak_rpc_call_send(r[i].call, oak_bytes(large, sizeof(large))), 0);
        oak_rpc_call_half_close(r[i].call);
    }
    pair_run(&p);
    assert_int_equal(p.echo.messages, COUNT);
    assert_true(p.echo.closed > 30); /* 16 MiB are held, 4 MiB are under way */
    assert_true(p.echo.closed < 44);
    for (int i = 0; i < COUNT; i++) {
        oak_rpc_call_pause(r[i].call, false);
        pair_run(&p);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(r[i].code, OAK_RPC_OK);
        assert_int_equal(r[i].closed, 1);
        assert_int_equal(r[i].last_size, 1 << 19);
        recorder_fini(&r[i]);
    }
    pair_close(&p);
}

static void a_paused_client_gets_its_messages_before_its_status(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {.pause_after_each = true};
    pair_open(&p, NULL, NULL);
    const uint8_t many[] = {ECHO_MANY, 5};
    pair_call(&p, "Server", 0, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(many, sizeof(many))), 0);
    oak_rpc_call_half_close(r.call);
    for (int i = 1; i <= 5; i++) {
        pair_run(&p);
        assert_int_equal(r.messages, i);
        assert_int_equal(r.closed, 0);
        oak_rpc_call_pause(r.call, false);
    }
    pair_run(&p);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.code, OAK_RPC_OK);
    recorder_fini(&r);
    pair_close(&p);
}

/* However much the peer's windows take: other connections of the loop want their turn. */
static void a_take_has_an_end(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    const struct oak_rpc_options options = {
        .receive_bytes_max = 4 << 20, .window_bytes = 8 << 20, .connection_window_bytes = 8 << 20};
    pair_open(&p, &options, &options);
    pair_call(&p, "Bidi", 0, &r);
    pair_run(&p);
    uint8_t *to = oak_rpc_call_send_into(r.call, 2 << 20);
    assert_non_null(to);
    memset(to, 7, 2 << 20);
    struct oak_bytes b;
    size_t taken = 0;
    size_t takes = 0;
    while ((b = oak_rpc_conn_take(p.client_conn)).size > 0) {
        assert_true(b.size <= (256 + 17) << 10); /* and the frame that it ended with */
        assert_int_equal(oak_rpc_conn_feed(p.server_conn, b, p.now_ns), 0);
        taken += b.size;
        takes++;
    }
    assert_true(taken > 2 << 20);
    assert_in_range(takes, 8, 10);
    assert_int_equal(p.echo.messages, 1);
    pair_run(&p);
    assert_int_equal(r.last_size, 2 << 20);
    recorder_fini(&r);
    pair_close(&p);
}

static void a_producer_is_told_when_it_may_go_on(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    struct recorder server = {0};
    pair_open(&p, NULL, NULL);
    p.echo.hand_over = &server;
    send_text(pair_call(&p, "Watch", 0, &r), "x");
    pair_run(&p);
    uint8_t block[10000] = {2};
    size_t sent = 0;
    int error = 0;
    while (error == 0) {
        error = oak_rpc_call_send(server.call, oak_bytes(block, sizeof(block)));
        sent += error == 0;
    }
    assert_int_equal(error, OAK_ELIMIT);
    assert_true(oak_rpc_call_queued(server.call) >= OAK_OUTBOUND_BYTES_MAX);
    assert_true(oak_rpc_call_queued(server.call) < OAK_OUTBOUND_BYTES_MAX + 2 * sizeof(block));
    assert_int_equal(server.writable, 0);
    pair_run(&p);
    assert_int_equal(server.writable, 1);
    assert_int_equal(r.messages, sent);
    assert_int_equal(oak_rpc_call_queued(server.call), 0);
    recorder_fini(&r);
    recorder_fini(&server);
    pair_close(&p);
}

#define MANY 5000
static void thousands_of_calls_queue_behind_the_peers_limit(void **state)
{
    (void)state;
    struct pair p;
    const struct oak_rpc_options options = {.streams_max = 37};
    pair_open(&p, &options, NULL);
    struct recorder *r = calloc(MANY, sizeof(*r));
    assert_non_null(r);
    for (int i = 0; i < MANY; i++) {
        pair_call(&p, i % 2 == 0 ? "Unary" : "Bidi", 3600 * SECOND, &r[i]);
        uint8_t text[3] = {(uint8_t)(i & 63), (uint8_t)(i >> 6)};
        assert_int_equal(oak_rpc_call_send(r[i].call, oak_bytes(text, 2)), 0);
        oak_rpc_call_half_close(r[i].call);
        if (i % 100 == 99) {
            oak_rpc_call_cancel(r[i].call);
        }
    }
    pair_run(&p);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(r[i].closed, 1);
        assert_int_equal(r[i].code, i % 100 == 99 ? OAK_RPC_CANCELLED : OAK_RPC_OK);
        assert_int_equal(r[i].messages, i % 100 != 99);
        assert_true(i % 100 == 99 ||
                    (r[i].bytes.data[0] == (i & 63) && r[i].bytes.data[1] == (i >> 6)));
        recorder_fini(&r[i]);
    }
    assert_int_equal(p.client_error | p.server_error, 0);
    free(r);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_over_the_limit_is_refused_and_the_connection_lives),
        cmocka_unit_test(a_client_refuses_an_answer_over_its_limit),
        cmocka_unit_test(a_client_takes_all_its_answers_unless_it_was_told_a_limit),
        cmocka_unit_test(messages_larger_than_every_window_arrive_whole),
        cmocka_unit_test(a_paused_receiver_stops_its_sender_and_nobody_else),
        cmocka_unit_test(many_paused_calls_together_stop_the_connection_and_all_go_on),
        cmocka_unit_test(a_paused_client_gets_its_messages_before_its_status),
        cmocka_unit_test(a_take_has_an_end),
        cmocka_unit_test(a_producer_is_told_when_it_may_go_on),
        cmocka_unit_test(thousands_of_calls_queue_behind_the_peers_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
