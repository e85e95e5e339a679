/* SPDX-License-Identifier: Apache-2.0 */
/* parts_test.c: a message that is never held whole by the one who sends it. */
#include "rpc/test_pair.h"

#define PART_BYTES (96 * 1024)

/* A server's call that has a message to send, as the peer makes room for it. */
struct producer {
    struct oak_rpc_call *call; /* NULL once closed */
    size_t size;
    size_t sent;
    size_t most_queued;
    size_t fail_at; /* it finishes with an error there */
    enum oak_rpc_code code;
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static void produce(struct producer *p)
{
    uint8_t part[PART_BYTES];
    while (p->sent < p->size && oak_rpc_call_queued(p->call) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        size_t size = OAK_MIN(sizeof(part), p->size - p->sent);
        for (size_t i = 0; i < size; i++) {
            part[i] = byte_at(p->sent + i);
        }
        assert_int_equal(oak_rpc_call_send_part(p->call, oak_bytes(part, size)), 0);
        p->sent += size;
        p->most_queued = OAK_MAX(p->most_queued, oak_rpc_call_queued(p->call));
        if (p->fail_at != 0 && p->sent >= p->fail_at) {
            oak_rpc_call_finish(p->call, OAK_RPC_UNAVAILABLE, "gone");
            return;
        }
    }
    if (p->sent == p->size) {
        oak_rpc_call_finish(p->call, OAK_RPC_OK, NULL);
    }
}

static void producer_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    struct producer *p = user;
    (void)b;
    assert_int_equal(oak_rpc_call_send_open(call, p->size), 0);
    produce(p);
}

static void producer_writable(void *user, struct oak_rpc_call *call)
{
    struct producer *p = user;
    assert_ptr_equal(p->call, call);
    produce(p);
}

static void producer_closed(void *user, struct oak_rpc_call *call,
                            const struct oak_rpc_status *status)
{
    struct producer *p = user;
    (void)call;
    p->call = NULL;
    p->code = status->code;
}

static const struct oak_rpc_handler producer_handler = {
    .message = producer_message, .writable = producer_writable, .closed = producer_closed};

static void producer_start(void *user, struct oak_rpc_call *call)
{
    struct producer *p = user;
    p->call = call;
    oak_rpc_call_handle(call, &producer_handler, p);
}

static void open_with(struct pair *pair, struct producer *p, const struct oak_rpc_options *client)
{
    const struct oak_rpc_method method = {.service = "t.Producer",
                                          .name = "Get",
                                          .kind = OAK_RPC_UNARY,
                                          .start = producer_start,
                                          .user = p};
    pair_open(pair, NULL, client);
    assert_int_equal(oak_rpc_server_add(pair->server, &method), 0);
}

static void ask(struct pair *pair, struct recorder *r)
{
    const struct oak_rpc_request request = {
        .service = "t.Producer", .method = "Get", .handler = &recorder_handler, .user = r};
    assert_int_equal(oak_rpc_conn_call(pair->client_conn, &request, pair->now_ns, &r->call), 0);
    assert_int_equal(oak_rpc_call_send(r->call, oak_bytes(NULL, 0)), 0);
    oak_rpc_call_half_close(r->call);
}

static void a_message_in_parts_comes_as_one(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, PART_BYTES, PART_BYTES + 1, 3 * 1024 * 1024, 20 * 1024 * 1024};
    const struct oak_rpc_options client = {.receive_bytes_max = 64 << 20};
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        struct pair pair;
        struct producer p = {.size = sizes[i]};
        struct recorder r = {0};
        open_with(&pair, &p, &client);
        pair.piece_max = 30000;
        ask(&pair, &r);
        pair_run(&pair);
        assert_int_equal(r.code, OAK_RPC_OK);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.messages, 1);
        assert_int_equal(r.last_size, sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++) {
            assert_int_equal(r.bytes.data[at], byte_at(at));
        }
        assert_true(p.most_queued <= OAK_RPC_QUEUE_HIGH_BYTES + 5 + PART_BYTES);
        assert_null(p.call);
        recorder_fini(&r);
        pair_close(&pair);
    }
}

static void a_peer_that_takes_nothing_costs_no_more_than_the_mark(void **state)
{
    (void)state;
    struct pair pair;
    struct producer p = {.size = 20 * 1024 * 1024};
    struct recorder r = {0};
    const struct oak_rpc_options client = {
        .receive_bytes_max = 1 << 20, .window_bytes = 65535, .window_bytes_max = 65535};
    open_with(&pair, &p, &client);
    ask(&pair, &r);
    /* The client's window is full, and it opens no other. */
    for (int i = 0; i < 100; i++) {
        struct oak_bytes b = oak_rpc_conn_take(pair.client_conn);
        if (p.sent == 0 && b.size > 0) {
            assert_int_equal(oak_rpc_conn_feed(pair.server_conn, b, pair.now_ns), 0);
        }
        b = oak_rpc_conn_take(pair.server_conn);
        if (b.size > 0) {
            assert_int_equal(oak_rpc_conn_feed(pair.client_conn, b, pair.now_ns), 0);
        }
    }
    assert_true(p.sent <= 65535 + OAK_RPC_QUEUE_HIGH_BYTES + PART_BYTES);
    assert_true(p.sent >= OAK_RPC_QUEUE_HIGH_BYTES);
    pair_close(&pair); /* both ends go: the producer is told */
    assert_null(p.call);
    recorder_fini(&r);
}

static void an_end_in_the_middle_is_seen_as_one(void **state)
{
    (void)state;
    struct pair pair;
    struct producer p = {.size = 1 << 20, .fail_at = 500000};
    struct recorder r = {0};
    open_with(&pair, &p, NULL);
    ask(&pair, &r);
    pair_run(&pair);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.messages, 0);
    assert_int_not_equal(r.code, OAK_RPC_OK);
    assert_int_equal(p.code, OAK_RPC_UNAVAILABLE);
    recorder_fini(&r);

    /* The client has had enough. */
    r = (struct recorder){0};
    p = (struct producer){.size = 1 << 20};
    ask(&pair, &r);
    struct oak_bytes b = oak_rpc_conn_take(pair.client_conn);
    assert_int_equal(oak_rpc_conn_feed(pair.server_conn, b, pair.now_ns), 0);
    assert_non_null(p.call);
    oak_rpc_call_cancel(r.call);
    pair_run(&pair);
    assert_int_equal(r.code, OAK_RPC_CANCELLED);
    assert_null(p.call);
    recorder_fini(&r);
    pair_close(&pair);
}

static void a_part_of_a_call_that_is_gone_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct recorder r = {0};
    struct recorder server = {0};
    pair_open(&pair, NULL, NULL);
    pair.echo.hand_over = &server;
    const struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Watch", .handler = &recorder_handler, .user = &r};
    assert_int_equal(oak_rpc_conn_call(pair.client_conn, &request, pair.now_ns, &r.call), 0);
    pair_run(&pair);
    assert_int_equal(oak_rpc_call_send_open(server.call, (size_t)UINT32_MAX + 1), OAK_ELIMIT);
    assert_int_equal(oak_rpc_call_send_open(server.call, 10), 0);
    assert_int_equal(oak_rpc_call_send_part(server.call, oak_bytes_str("half")), 0);
    oak_rpc_call_cancel(server.call);
    assert_int_equal(oak_rpc_call_send_part(server.call, oak_bytes_str("half")), OAK_ECLOSED);
    pair_run(&pair);
    assert_int_equal(r.messages, 0);
    assert_int_equal(r.closed, 1);
    recorder_fini(&r);
    recorder_fini(&server);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_in_parts_comes_as_one),
        cmocka_unit_test(a_peer_that_takes_nothing_costs_no_more_than_the_mark),
        cmocka_unit_test(an_end_in_the_middle_is_seen_as_one),
        cmocka_unit_test(a_part_of_a_call_that_is_gone_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
