/* SPDX-License-Identifier: Apache-2.0 */
/* limits_test.c: what a server lets its clients do: calls at work, calls a second, how long a
 * connection lives. */
#include <stdio.h>

#include "rpc/internal.h"
#include "rpc/test_attack.h"

static struct oak_rpc_traffic traffic_of(const struct attack *a)
{
    struct oak_rpc_traffic t;
    oak_rpc_server_traffic(a->server, &t);
    return t;
}

static void begin(struct attack *a, uint32_t id)
{
    request(a, id, "/t.Echo/Watch", 0, NULL, 0);
    assert_int_equal(strike(a), 0);
}

static void reset(struct attack *a, uint32_t id)
{
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    frame(a, RST_STREAM, 0, id, cancel, 4);
    assert_int_equal(strike(a), 0);
}

/* -- calls at work ----------------------------------------------------------------------------- */

static void a_connection_has_so_many_calls_at_work(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.connection_handlers_max = 2}};
    attack_open(&a, &options);
    begin(&a, 1);
    begin(&a, 3);
    assert_false(answered(&a, "grpc-status"));
    begin(&a, 5);
    assert_int_equal(a.echo.started, 2);
    assert_true(answered(&a, "grpc-status: 8\n"));
    assert_true(answered(&a, "grpc-retry-pushback-ms: 201\n"));
    assert_int_equal(traffic_of(&a).refused_busy, 1);
    reset(&a, 1);
    begin(&a, 7); /* one has ended, and there is room */
    assert_int_equal(a.echo.started, 3);
    begin(&a, 9);
    assert_int_equal(a.echo.started, 3);
    not_abuse(&a, 0);
    attack_close(&a);
}

static void all_connections_together_have_so_many(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.handlers_max = 3}};
    attack_open(&a, &options);
    struct oak_rpc_conn *first = a.conn;
    begin(&a, 1);
    begin(&a, 3);
    /* The same server, from another connection: the fixture speaks to the newest. */
    assert_int_equal(oak_rpc_conn_new(a.server, NULL, "evil:2", a.now_ns, &a.conn), 0);
    nghttp2_hd_deflate_del(a.deflater);
    nghttp2_hd_inflate_del(a.inflater);
    assert_int_equal(nghttp2_hd_deflate_new(&a.deflater, 4096), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&a.inflater), 0);
    assert_int_equal(oak_buf_append(&a.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0);
    frame(&a, SETTINGS, 0, 0, NULL, 0);
    begin(&a, 1);
    assert_false(answered(&a, "grpc-status"));
    begin(&a, 3);
    assert_int_equal(a.echo.started, 3);
    assert_true(answered(&a, "grpc-status: 14\n"));
    assert_true(answered(&a, "grpc-retry-pushback-ms"));
    oak_rpc_conn_free(first);
    begin(&a, 5);
    assert_int_equal(a.echo.started, 4);
    attack_close(&a);
}

/* The service of these holds work for each call, which goes on when the stream is gone. */
struct worker {
    struct oak_rpc_work works[20];
    size_t started;
    size_t closed;
};

static void worker_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)call;
    (void)b;
}

static void worker_closed(void *user, struct oak_rpc_call *call,
                          const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    struct worker *w = user;
    w->closed++;
}

static const struct oak_rpc_handler worker_handler = {.message = worker_message,
                                                      .closed = worker_closed};

static void worker_start(void *user, struct oak_rpc_call *call)
{
    struct worker *w = user;
    assert_true(w->started < OAK_COUNT_OF(w->works));
    oak_rpc_call_handle(call, &worker_handler, w);
    oak_rpc_call_begin_work(call, &w->works[w->started]);
    w->started++;
}

static void worker_add(struct attack *a, struct worker *w)
{
    const struct oak_rpc_method method = {
        .service = "t.Work", .name = "Do", .kind = OAK_RPC_BIDI, .start = worker_start, .user = w};
    assert_int_equal(oak_rpc_server_add(a->server, &method), 0);
}

/* Rapid reset: the stream is gone at once, and the work behind it is not. */
static void work_counts_until_it_has_really_ended(void **state)
{
    (void)state;
    struct attack a;
    struct worker w = {0};
    const struct oak_rpc_options options = {.limits = {.connection_handlers_max = 10}};
    attack_open(&a, &options);
    worker_add(&a, &w);
    for (uint32_t id = 1; id < 200; id += 2) {
        request(&a, id, "/t.Work/Do", 0, NULL, 0);
        reset(&a, id);
    }
    assert_int_equal(w.started, 10);
    assert_int_equal(w.closed, 10);
    assert_int_equal(traffic_of(&a).refused_busy, 90);
    for (size_t i = 0; i < 3; i++) {
        oak_rpc_work_end(&w.works[i]);
        oak_rpc_work_end(&w.works[i]); /* twice is once */
    }
    for (uint32_t id = 201; id < 221; id += 2) {
        request(&a, id, "/t.Work/Do", 0, NULL, 0);
        assert_int_equal(strike(&a), 0);
    }
    assert_int_equal(w.started, 13);
    /* Work that ends before its call leaves the call counted, and no trace. */
    oak_rpc_work_end(&w.works[12]);
    request(&a, 301, "/t.Work/Do", 0, NULL, 0);
    assert_int_equal(strike(&a), 0);
    assert_int_equal(w.started, 13);
    /* And it may outlive the connection. */
    oak_rpc_conn_free(a.conn);
    a.conn = NULL;
    assert_int_equal(w.closed, 13);
    for (size_t i = 0; i < 12; i++) {
        oak_rpc_work_end(&w.works[i]);
    }
    attack_close(&a); /* the server asserts that none is left */
}

static void work_whose_connection_is_gone_counts_for_the_server(void **state)
{
    (void)state;
    struct attack a;
    struct worker w = {0};
    const struct oak_rpc_options options = {.limits = {.handlers_max = 1}};
    attack_open(&a, &options);
    worker_add(&a, &w);
    request(&a, 1, "/t.Work/Do", 0, NULL, 0);
    assert_int_equal(strike(&a), 0);
    struct oak_rpc_conn *first = a.conn;
    struct attack b;
    attack_open(&b, NULL); /* for its coders */
    oak_rpc_conn_free(b.conn);
    assert_int_equal(oak_rpc_conn_new(a.server, NULL, "evil:2", b.now_ns, &b.conn), 0);
    oak_rpc_conn_free(first);
    a.conn = NULL;
    begin(&b, 1);
    assert_int_equal(a.echo.started, 0);
    oak_rpc_work_end(&w.works[0]);
    begin(&b, 3);
    assert_int_equal(a.echo.started, 1);
    oak_rpc_conn_free(b.conn);
    b.conn = NULL;
    attack_close(&b);
    attack_close(&a);
}

/* -- calls a second ---------------------------------------------------------------------------- */

static void a_client_calls_so_often(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.rate_per_second = 10, .rate_burst = 3}};
    attack_open(&a, &options);
    for (uint32_t id = 1; id <= 7; id += 2) {
        begin(&a, id);
    }
    assert_int_equal(a.echo.started, 3);
    assert_true(answered(&a, "grpc-status: 8\n"));
    assert_true(answered(&a, "grpc-retry-pushback-ms: 101\n"));
    assert_int_equal(traffic_of(&a).refused_rate, 1);
    a.now_ns += 101 * 1000000; /* as it was told */
    begin(&a, 9);
    assert_int_equal(a.echo.started, 4);
    begin(&a, 11);
    assert_int_equal(a.echo.started, 4);
    a.now_ns += 10 * SECOND; /* a burst again, and no more than one */
    for (uint32_t id = 13; id <= 23; id += 2) {
        begin(&a, id);
    }
    assert_int_equal(a.echo.started, 7);
    not_abuse(&a, 0);
    attack_close(&a);
}

static struct oak_bytes by_tenant(void *user, const struct oak_rpc_call *call)
{
    (void)user;
    return oak_rpc_call_metadata(call, "x-tenant");
}

static void who_a_client_is_may_be_told(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {
        .limits = {.rate_per_second = 1, .rate_key = by_tenant}};
    attack_open(&a, &options);
    const char *const tenants[] = {"one", "two", "one", "", "", "two", "three"};
    const bool served[] = {true, true, false, true, true, false, true};
    int started = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(tenants); i++) {
        const struct field tenant = {"x-tenant", tenants[i]};
        request(&a, (uint32_t)(1 + 2 * i), "/t.Echo/Watch", 0, &tenant, 1);
        assert_int_equal(strike(&a), 0);
        started += served[i];
        assert_int_equal(a.echo.started, started);
    }
    attack_close(&a);
}

/* The vectors of the paper: the key 00 … 0f, the text 00 … of the length. */
static void names_are_hashed_as_published(void **state)
{
    (void)state;
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t text[16];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)i;
    }
    assert_true(rpc__siphash(key, oak_bytes(text, 0)) == 0x726fdb47dd0e0e31u);
    assert_true(rpc__siphash(key, oak_bytes(text, 1)) == 0x74f839c593dc67fdu);
    assert_true(rpc__siphash(key, oak_bytes(text, 8)) == 0x93f5f5799a932462u);
    assert_true(rpc__siphash(key, oak_bytes(text, 15)) == 0xa129ca6149be45e5u);
}

static void more_clients_than_places_take_nothing_from_each_other(void **state)
{
    (void)state;
    const uint64_t key[2] = {1, 2};
    struct rpc_rates *rates;
    char name[32];
    assert_int_equal(rpc__rates_new(1, 5, key, &rates), 0);
    for (int i = 0; i < 200000; i++) { /* each has its first token */
        int size = snprintf(name, sizeof(name), "client %d", i);
        assert_int_equal(rpc__rates_take(rates, oak_bytes(name, (size_t)size), SECOND), 0);
    }
    /* One that is at its limit is not forgotten for others' sake: theirs are nearer to full. */
    struct oak_bytes greedy = oak_bytes_str("greedy");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rpc__rates_take(rates, greedy, SECOND), 0);
    }
    for (int i = 0; i < 200000; i++) {
        int size = snprintf(name, sizeof(name), "other %d", i);
        assert_int_equal(rpc__rates_take(rates, oak_bytes(name, (size_t)size), SECOND), 0);
    }
    assert_int_equal(rpc__rates_take(rates, greedy, SECOND), SECOND);
    rpc__rates_free(rates);
}

/* -- age --------------------------------------------------------------------------------------- */

static uint64_t tick_to(struct attack *a, uint64_t now_ns)
{
    uint64_t next_ns;
    a->now_ns = now_ns;
    oak_rpc_conn_tick(a->conn, now_ns, &next_ns);
    listen_to(a);
    return next_ns;
}

static void an_old_connection_is_asked_to_go(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.age_max_ns = 1000 * SECOND,
                                                       .age_grace_ns = 50 * SECOND,
                                                       .stall_ns = OAK_RPC_NEVER_NS}};
    attack_open(&a, &options);
    begin(&a, 1);
    uint64_t due_ns = tick_to(&a, 2 * SECOND);
    assert_in_range(due_ns, 901 * SECOND, 1101 * SECOND);
    tick_to(&a, due_ns - 1);
    assert_int_equal(last_code(&a, GOAWAY), -1);
    tick_to(&a, due_ns);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_NO_ERROR);
    assert_int_equal(traffic_of(&a).aged, 1);
    begin(&a, 3); /* it was on its way: still served */
    assert_int_equal(a.echo.started, 2);
    tick_to(&a, due_ns + SECOND); /* the second GOAWAY names the last one */
    begin(&a, 5);
    assert_int_equal(a.echo.started, 2);
    assert_int_equal(a.echo.closed, 0);
    assert_false(oak_rpc_conn_done(a.conn));
    tick_to(&a, due_ns + 50 * SECOND);
    assert_true(oak_rpc_conn_done(a.conn));
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_NO_ERROR);
    assert_true(answered(&a, "max_age"));
    assert_int_equal(traffic_of(&a).abuse_closed, 0);
    attack_close(&a);
}

static void its_calls_may_end_before_it_goes(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.age_max_ns = 10 * SECOND}};
    attack_open(&a, &options);
    begin(&a, 1);
    tick_to(&a, 12 * SECOND);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_NO_ERROR);
    tick_to(&a, 14 * SECOND);
    tick_to(&a, 10000 * SECOND); /* no grace was set, so there is no end to it */
    assert_false(oak_rpc_conn_done(a.conn));
    oak_rpc_call_finish(a.echo.last, OAK_RPC_OK, NULL);
    assert_int_equal(strike(&a), 0);
    assert_true(oak_rpc_conn_done(a.conn));
    attack_close(&a);
}

static void ages_differ(void **state)
{
    (void)state;
    struct oak_rpc_server *server;
    const struct oak_rpc_options options = {.limits = {.age_max_ns = 1000 * SECOND}};
    assert_int_equal(oak_rpc_server_new(NULL, &options, &server), 0);
    uint64_t due_ns[20];
    size_t same = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(due_ns); i++) {
        struct oak_rpc_conn *conn;
        assert_int_equal(oak_rpc_conn_new(server, NULL, "", SECOND, &conn), 0);
        due_ns[i] = conn->age_due_ns;
        assert_in_range(due_ns[i], 901 * SECOND, 1101 * SECOND);
        for (size_t j = 0; j < i; j++) {
            same += due_ns[j] / SECOND == due_ns[i] / SECOND;
        }
        oak_rpc_conn_free(conn);
    }
    assert_true(same < 10);
    oak_rpc_server_free(server);
}

static void an_idle_connection_is_asked_to_go(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.limits = {.idle_max_ns = 60 * SECOND}};
    attack_open(&a, &options);
    begin(&a, 1);
    tick_to(&a, 500 * SECOND); /* not while a call is open */
    assert_int_equal(last_code(&a, GOAWAY), -1);
    oak_rpc_call_finish(a.echo.last, OAK_RPC_OK, NULL);
    reset(&a, 1);
    const uint8_t data[8] = {0};
    a.now_ns = 550 * SECOND;
    frame(&a, PING, 0, 0, data, 8); /* no reason to stay */
    assert_int_equal(strike(&a), 0);
    assert_int_equal(tick_to(&a, 559 * SECOND), 560 * SECOND);
    assert_int_equal(last_code(&a, GOAWAY), -1);
    tick_to(&a, 560 * SECOND);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_NO_ERROR);
    tick_to(&a, 562 * SECOND);
    assert_true(oak_rpc_conn_done(a.conn));
    assert_int_equal(traffic_of(&a).aged, 1);
    attack_close(&a);
}

/* -- keepalive --------------------------------------------------------------------------------- */

static void pings_may_be_bounded_otherwise(void **state)
{
    (void)state;
    const uint8_t data[8] = {0};
    for (int with_call = 0; with_call < 2; with_call++) {
        struct attack a;
        const struct oak_rpc_options options = {
            .limits = {.ping_min_ns = 60 * SECOND, .ping_calls_min_ns = 30 * SECOND}};
        attack_open(&a, &options);
        assert_int_equal(strike(&a), 0);
        if (with_call == 1) {
            begin(&a, 1);
        }
        uint64_t step_ns = with_call == 1 ? 30 * SECOND : 60 * SECOND;
        for (int i = 0; i < 10; i++) {
            a.now_ns += step_ns;
            frame(&a, PING, 0, 0, data, 8);
            not_abuse(&a, strike(&a));
        }
        for (int i = 0; i < 2; i++) { /* two strikes are allowed */
            a.now_ns += step_ns - 1;
            frame(&a, PING, 0, 0, data, 8);
            not_abuse(&a, strike(&a));
        }
        a.now_ns += step_ns - 1;
        frame(&a, PING, 0, 0, data, 8);
        ended_for_abuse(&a, strike(&a), "too_many_pings");
        attack_close(&a);
    }
}

static void a_servers_own_pings_are_options(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {
        .limits = {.keepalive_ns = 30 * SECOND, .keepalive_timeout_ns = 5 * SECOND}};
    attack_open(&a, &options);
    begin(&a, 1);
    size_t before = a.answer.size;
    assert_int_equal(tick_to(&a, 30 * SECOND), 31 * SECOND);
    assert_int_equal(a.answer.size, before);
    assert_int_equal(tick_to(&a, 31 * SECOND), 36 * SECOND);
    assert_int_equal(a.answer.size, before + 17); /* a PING */
    tick_to(&a, 36 * SECOND);
    assert_true(oak_rpc_conn_done(a.conn));
    attack_close(&a);
    const struct oak_rpc_options never = {
        .limits = {.keepalive_ns = OAK_RPC_NEVER_NS, .stall_ns = OAK_RPC_NEVER_NS}};
    attack_open(&a, &never);
    begin(&a, 1);
    assert_int_equal(tick_to(&a, 1000000 * SECOND), 0);
    attack_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_has_so_many_calls_at_work),
        cmocka_unit_test(all_connections_together_have_so_many),
        cmocka_unit_test(work_counts_until_it_has_really_ended),
        cmocka_unit_test(work_whose_connection_is_gone_counts_for_the_server),
        cmocka_unit_test(a_client_calls_so_often),
        cmocka_unit_test(who_a_client_is_may_be_told),
        cmocka_unit_test(names_are_hashed_as_published),
        cmocka_unit_test(more_clients_than_places_take_nothing_from_each_other),
        cmocka_unit_test(an_old_connection_is_asked_to_go),
        cmocka_unit_test(its_calls_may_end_before_it_goes),
        cmocka_unit_test(ages_differ),
        cmocka_unit_test(an_idle_connection_is_asked_to_go),
        cmocka_unit_test(pings_may_be_bounded_otherwise),
        cmocka_unit_test(a_servers_own_pings_are_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
