/* SPDX-License-Identifier: Apache-2.0 */
/* bandwidth_test.c: windows that grow, over a path on which bytes take their time. */
#include "rpc/test_pair.h"

#define ONE_WAY_NS (SECOND / 20)
#define MIB        ((size_t)1 << 20)

/* All that one side has to say now, to be heard by the other half a round trip later, or, with a
 * `rate` in bytes a second, when it has passed. */
static size_t flight_at(struct pair *p, struct oak_rpc_conn *from, struct oak_rpc_conn *to,
                        uint64_t rate)
{
    struct oak_buf on_its_way = {0};
    for (;;) {
        struct oak_bytes b = oak_rpc_conn_take(from);
        if (b.size == 0) {
            break;
        }
        assert_int_equal(oak_buf_append(&on_its_way, b.data, b.size), 0);
    }
    p->now_ns += rate != 0 ? on_its_way.size * SECOND / rate : ONE_WAY_NS;
    for (size_t at = 0; at < on_its_way.size;) {
        size_t size = OAK_MIN((size_t)65536, on_its_way.size - at);
        assert_int_equal(oak_rpc_conn_feed(to, oak_bytes(on_its_way.data + at, size), p->now_ns),
                         0);
        at += size;
    }
    size_t total = on_its_way.size;
    oak_buf_fini(&on_its_way);
    return total;
}

static size_t flight(struct pair *p, struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    return flight_at(p, from, to, 0);
}

static size_t round_trip(struct pair *p, uint64_t rate)
{
    size_t bytes = flight_at(p, p->server_conn, p->client_conn, rate);
    (void)flight(p, p->client_conn, p->server_conn);
    return bytes;
}

/* One answer of 2^`log` bytes; the most that was on its way at once. */
static size_t most_of(struct pair *p, uint8_t log, uint64_t rate, unsigned *trips)
{
    struct recorder r = {0};
    const uint8_t large[] = {ECHO_LARGE, log};
    size_t most = 0;
    pair_call(p, "Unary", 0, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(large, sizeof(large))), 0);
    oak_rpc_call_half_close(r.call);
    (void)flight(p, p->client_conn, p->server_conn);
    for (*trips = 0; r.closed == 0; (*trips)++) {
        assert_true(*trips < 1000);
        size_t bytes = round_trip(p, rate);
        most = OAK_MAX(most, bytes);
    }
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.last_size, (size_t)1 << log);
    recorder_fini(&r);
    return most;
}

static void a_window_grows_to_what_a_round_trip_carries_up_to_its_most(void **state)
{
    (void)state;
    struct pair p;
    const struct oak_rpc_options client = {.receive_bytes_max = 256 * MIB};
    unsigned trips;
    pair_open(&p, NULL, &client);
    size_t most = most_of(&p, 27, 0, &trips);
    assert_true(most > 4 * MIB && most < 4 * MIB + 64 * 1024); /* frames have heads */
    assert_true(trips < 45);                                   /* of 1 MiB it would be 128 */
    pair_close(&p);
}

static void a_window_that_was_given_stays_unless_it_was_given_a_most(void **state)
{
    (void)state;
    struct pair p;
    struct oak_rpc_options client = {.receive_bytes_max = 256 * MIB, .window_bytes = MIB};
    unsigned trips;
    pair_open(&p, NULL, &client);
    assert_true(most_of(&p, 25, 0, &trips) < MIB + 64 * 1024);
    assert_true(trips >= 32);
    pair_close(&p);
    client.window_bytes_max = 2 * MIB;
    pair_open(&p, NULL, &client);
    size_t most = most_of(&p, 25, 0, &trips);
    assert_true(most > 2 * MIB && most < 2 * MIB + 64 * 1024);
    pair_close(&p);
}

/* A larger window would only wait in some queue on the way. */
static void a_path_that_is_full_gets_no_larger_window(void **state)
{
    (void)state;
    struct pair p;
    const struct oak_rpc_options client = {.receive_bytes_max = 256 * MIB};
    unsigned trips;
    pair_open(&p, NULL, &client);
    size_t most = most_of(&p, 26, 10 * MIB, &trips);
    /* It grows as long as what is saved of the way back is worth it, and not to its most. */
    assert_true(most > MIB && most < 4 * MIB - MIB / 4);
    pair_close(&p);
}

/* The server learns of uploads in the same way. */
static void a_server_lets_its_windows_grow_too(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    const struct oak_rpc_options server = {.receive_bytes_max = 256 * MIB,
                                           .unfinished_bytes_max = 256 * MIB};
    size_t most = 0;
    pair_open(&p, &server, NULL);
    p.echo.may_fail = true;
    pair_call(&p, "Unary", 0, &r);
    uint8_t *to = oak_rpc_call_send_into(r.call, 64 * MIB);
    assert_non_null(to);
    memset(to, 1, 64 * MIB);
    to[0] = ECHO_SILENCE;
    oak_rpc_call_half_close(r.call);
    for (int trips = 0; r.closed == 0; trips++) {
        size_t bytes = flight(&p, p.client_conn, p.server_conn);
        most = OAK_MAX(most, bytes);
        (void)flight(&p, p.server_conn, p.client_conn);
    }
    assert_true(most > 4 * MIB);
    assert_int_equal(p.echo.messages, 1);
    recorder_fini(&r);
    pair_close(&p);
}

/* The PINGs of a client, in what it says. */
static unsigned pings_in(struct pair *p)
{
    unsigned pings = 0;
    for (;;) {
        struct oak_bytes b = oak_rpc_conn_take(p->client_conn);
        if (b.size == 0) {
            return pings;
        }
        for (size_t at = 0; at + 9 <= b.size;) { /* the preface was taken before */
            pings += b.data[at + 3] == 6 && b.data[at + 4] == 0 ? 1 : 0;
            at += 9 + ((size_t)b.data[at] << 16 | (size_t)b.data[at + 1] << 8 | b.data[at + 2]);
        }
        assert_int_equal(oak_rpc_conn_feed(p->server_conn, b, p->now_ns), 0);
    }
}

static void a_path_slower_than_the_window_is_left_alone_and_asked_rarely(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    unsigned pings = 0;
    const uint8_t some[] = {ECHO_LARGE, 17}; /* an eighth of the window, each round trip */
    pair_open(&p, NULL, NULL);
    pair_run(&p);
    pair_call(&p, "Watch", 0, &r);
    for (int i = 0; i < 200; i++) { /* 20 s */
        assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(some, sizeof(some))), 0);
        pings += pings_in(&p);
        p.now_ns += ONE_WAY_NS;
        assert_true(flight(&p, p.server_conn, p.client_conn) < MIB);
    }
    assert_int_equal(r.messages, 200);
    assert_in_range(pings, 5, 21);
    oak_rpc_call_cancel(r.call);
    pair_run(&p);
    recorder_fini(&r);
    pair_close(&p);
}

static void small_calls_are_no_reason_to_ask(void **state)
{
    (void)state;
    struct pair p;
    unsigned pings = 0;
    pair_open(&p, NULL, NULL);
    pair_run(&p);
    for (int i = 0; i < 500; i++) {
        struct recorder r = {0};
        pair_call(&p, "Unary", 0, &r);
        send_text(r.call, "a small one");
        oak_rpc_call_half_close(r.call);
        pings += pings_in(&p);
        (void)flight(&p, p.server_conn, p.client_conn);
        assert_int_equal(r.code, OAK_RPC_OK);
        recorder_fini(&r);
    }
    assert_int_equal(pings, 0);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_grows_to_what_a_round_trip_carries_up_to_its_most),
        cmocka_unit_test(a_window_that_was_given_stays_unless_it_was_given_a_most),
        cmocka_unit_test(a_path_that_is_full_gets_no_larger_window),
        cmocka_unit_test(a_server_lets_its_windows_grow_too),
        cmocka_unit_test(a_path_slower_than_the_window_is_left_alone_and_asked_rarely),
        cmocka_unit_test(small_calls_are_no_reason_to_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
