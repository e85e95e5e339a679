/* SPDX-License-Identifier: Apache-2.0 */
/* slow_test.c: peers that take their time: with headers, messages, windows; and what is counted of
 * peers that abuse us, by its kind. */
#include "rpc/internal.h"
#include "rpc/test_attack.h"

static struct oak_rpc_traffic traffic_of(const struct attack *a)
{
    struct oak_rpc_traffic t;
    oak_rpc_server_traffic(a->server, &t);
    return t;
}

static void tick_to(struct attack *a, uint64_t now_ns)
{
    uint64_t next_ns;
    a->now_ns = now_ns;
    oak_rpc_conn_tick(a->conn, now_ns, &next_ns);
    listen_to(a);
}

static void begin(struct attack *a, uint32_t id)
{
    request(a, id, "/t.Echo/Watch", 0, NULL, 0);
    assert_int_equal(strike(a), 0);
}

static void window(struct attack *a, uint32_t id, uint32_t credit)
{
    uint8_t bytes[4];
    oak_put_be32(bytes, credit);
    frame(a, WINDOW_UPDATE, 0, id, bytes, 4);
}

/* A window of nothing for what is sent to it, from its first SETTINGS. */
static void without_window(struct attack *a)
{
    static const uint8_t entry[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE};
    frame(a, SETTINGS, 0, 0, entry, sizeof(entry));
}

static void queue(struct attack *a, size_t size)
{
    uint8_t *to = oak_rpc_call_send_into(a->echo.last, size);
    assert_non_null(to);
    memset(to, 'q', size);
    listen_to(a);
}

/* -- messages and windows ---------------------------------------------------------------------- */

/* Zero-window dribble: a large answer is asked for, and taken byte by byte. */
static void an_answer_taken_by_the_byte_is_given_up(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.stall_ns = 60 * SECOND}};
    attack_open(&a, &options);
    without_window(&a);
    begin(&a, 1);
    queue(&a, 100000);
    for (uint64_t s = 10; s < 190; s += 10) {
        window(&a, 1, 1);
        assert_int_equal(strike(&a), 0);
        tick_to(&a, s * SECOND);
    }
    assert_int_equal(a.echo.closed, 1);
    assert_int_equal(a.echo.last_code, OAK_RPC_CANCELLED);
    assert_int_equal(last_code(&a, RST_STREAM), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(traffic_of(&a).stalled, 1);
    not_abuse(&a, 0); /* the connection lives */
    begin(&a, 3);
    assert_int_equal(a.echo.started, 2);
    attack_close(&a);
}

static void a_message_that_comes_by_the_byte_is_given_up(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.stall_ns = 60 * SECOND}};
    attack_open(&a, &options);
    begin(&a, 1);
    frame(&a, DATA, 0, 1, "\0\0\0\x40\0", 5);
    for (uint64_t s = 10; s < 190; s += 10) {
        if (a.echo.closed == 0) {
            frame(&a, DATA, 0, 1, "x", 1);
        }
        assert_int_equal(strike(&a), 0);
        tick_to(&a, s * SECOND);
    }
    assert_int_equal(a.echo.closed, 1);
    assert_int_equal(traffic_of(&a).stalled, 1);
    attack_close(&a);
}

/* Slow is not stalled; nor is a stream on which nothing has to happen, for hours. */
static void who_gets_on_or_owes_nothing_is_left_alone(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.stall_ns = 60 * SECOND}};
    attack_open(&a, &options);
    without_window(&a);
    begin(&a, 1);
    queue(&a, 100000); /* 40 bytes a second are enough */
    request(&a, 3, "/t.Echo/Watch", 0, NULL, 0);
    request(&a, 5, "/t.Echo/Watch", 0, NULL, 0);
    frame(&a, DATA, 0, 5, "\0\0\0\0\1", 5);
    assert_int_equal(strike(&a), 0);
    oak_rpc_call_pause(a.echo.last, true); /* it is we who don't go on */
    for (uint64_t s = 10; s < 2000; s += 10) {
        window(&a, 1, 400);
        window(&a, 0, 400);
        assert_int_equal(strike(&a), 0);
        tick_to(&a, s * SECOND);
    }
    assert_int_equal(a.echo.closed, 0);
    assert_int_equal(traffic_of(&a).stalled, 0);
    attack_close(&a);
    const struct oak_rpc_options never = {.limits = {.stall_ns = OAK_RPC_NEVER_NS}};
    attack_open(&a, &never);
    without_window(&a);
    begin(&a, 1);
    queue(&a, 1000);
    tick_to(&a, 10000 * SECOND);
    tick_to(&a, 20000 * SECOND);
    assert_int_equal(a.echo.closed, 0);
    attack_close(&a);
}

static void many_that_stall_are_an_abuse(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.stall_ns = 60 * SECOND}};
    attack_open(&a, &options);
    for (uint32_t i = 0; i < 1500; i++) {
        request(&a, 1 + 2 * i, "/t.Echo/Watch", 0, NULL, 0);
        frame(&a, DATA, 0, 1 + 2 * i, "\0\0\0\1\0", 5);
    }
    assert_int_equal(strike(&a), 0);
    tick_to(&a, SECOND);
    tick_to(&a, 61 * SECOND);
    assert_int_equal(a.echo.closed, 0);
    tick_to(&a, 122 * SECOND);
    assert_int_equal(traffic_of(&a).stalled, 1500);
    assert_int_equal(traffic_of(&a).abuse[OAK_RPC_ABUSE_RESETS], 1);
    assert_true(oak_rpc_conn_done(a.conn));
    attack_close(&a);
}

static void a_window_that_overflows_is_an_error(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    begin(&a, 1);
    window(&a, 1, 0x7fffffff);
    window(&a, 1, 0x7fffffff);
    assert_int_equal(strike(&a), 0);
    assert_int_equal(last_code(&a, RST_STREAM), NGHTTP2_FLOW_CONTROL_ERROR);
    assert_int_equal(a.echo.closed, 1);
    window(&a, 0, 0x7fffffff);
    assert_int_equal(strike(&a), 0);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_FLOW_CONTROL_ERROR);
    attack_close(&a);
}

/* -- headers ----------------------------------------------------------------------------------- */

static void a_block_of_headers_has_to_end(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    begin(&a, 1);
    const struct field fields[] = {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}};
    uint8_t bytes[256];
    size_t size = block(&a, fields, 3, bytes, sizeof(bytes));
    frame(&a, HEADERS, 0, 3, bytes, 1);
    assert_int_equal(strike(&a), 0);
    for (uint64_t s = 2; s < 11; s += 2) {
        tick_to(&a, s * SECOND);
        assert_int_equal(traffic_of(&a).abuse_closed, 0);
        frame(&a, CONTINUATION, 0, 3, bytes + s / 2, 1);
        assert_int_equal(strike(&a), 0);
    }
    assert_true(size > 6);
    tick_to(&a, 11 * SECOND);
    assert_int_equal(traffic_of(&a).abuse[OAK_RPC_ABUSE_SLOW], 1);
    assert_true(answered(&a, "too_slow"));
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_ENHANCE_YOUR_CALM);
    attack_close(&a);
}

/* -- counting ---------------------------------------------------------------------------------- */

static void settings_of_many_entries_end_the_connection(void **state)
{
    (void)state;
    struct attack a;
    uint8_t entries[33 * 6] = {0};
    for (size_t i = 0; i < 33; i++) {
        entries[i * 6] = 0xf0; /* of an unknown kind */
        entries[i * 6 + 1] = (uint8_t)i;
    }
    attack_open(&a, NULL);
    frame(&a, SETTINGS, 0, 0, entries, 32 * 6);
    not_abuse(&a, strike(&a));
    frame(&a, SETTINGS, 0, 0, entries, 33 * 6);
    assert_int_equal(strike(&a), 0);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(oak_rpc_conn_done(a.conn));
    assert_int_equal(traffic_of(&a).abuse_closed, 1);
    assert_int_equal(traffic_of(&a).abuse[OAK_RPC_ABUSE_SETTINGS], 1);
    attack_close(&a);
}

/* Each kind of flood, and the number it is counted in. */
static void floods_are_counted_by_their_kind(void **state)
{
    (void)state;
    static const struct {
        enum oak_rpc_abuse kind;
        uint8_t type;
        uint8_t flags;
        uint32_t id;
        uint32_t size;
        int count;
    } cases[] = {
        {OAK_RPC_ABUSE_PINGS, PING, 0, 0, 8, 1100},
        {OAK_RPC_ABUSE_SETTINGS, SETTINGS, 0, 0, 0, 200},
        {OAK_RPC_ABUSE_EMPTY, DATA, 0, 1, 0, 2000},
        {OAK_RPC_ABUSE_CONTROL, PRIORITY, 0, 1, 5, 12000},
    };
    static const uint8_t zeros[8];
    uint64_t all = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        begin(&a, 1);
        int error = 0;
        for (int n = 0; error == 0 && n < cases[i].count; n++) {
            frame(&a, cases[i].type, cases[i].flags, cases[i].id, zeros, cases[i].size);
            error = n % 50 == 0 ? strike(&a) : 0; /* the answers are read */
        }
        assert_int_equal(error, OAK_ELIMIT);
        struct oak_rpc_traffic t = traffic_of(&a);
        assert_int_equal(t.abuse[cases[i].kind], 1);
        for (int kind = 0; kind < OAK_RPC_ABUSES; kind++) {
            all += t.abuse[kind];
        }
        assert_int_equal(t.abuse_closed, 1);
        assert_true(strlen(oak_rpc_abuse_name(cases[i].kind)) > 2);
        attack_close(&a);
    }
    assert_int_equal(all, OAK_COUNT_OF(cases));
    assert_string_equal(oak_rpc_abuse_name(OAK_RPC_ABUSE_RESETS), "resets");
    assert_string_equal(oak_rpc_abuse_name(OAK_RPC_ABUSE_STALLED), "stalled");
    assert_string_equal(oak_rpc_abuse_name((enum oak_rpc_abuse)OAK_RPC_ABUSES), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_taken_by_the_byte_is_given_up),
        cmocka_unit_test(a_message_that_comes_by_the_byte_is_given_up),
        cmocka_unit_test(who_gets_on_or_owes_nothing_is_left_alone),
        cmocka_unit_test(many_that_stall_are_an_abuse),
        cmocka_unit_test(a_window_that_overflows_is_an_error),
        cmocka_unit_test(a_block_of_headers_has_to_end),
        cmocka_unit_test(settings_of_many_entries_end_the_connection),
        cmocka_unit_test(floods_are_counted_by_their_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
