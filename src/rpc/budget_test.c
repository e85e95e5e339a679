/* SPDX-License-Identifier: Apache-2.0 */
/* budget_test.c: what connections cost is counted, and has an end: idle ones go first, then what
 * needs more is refused. */
#include <stdio.h>

#include "rpc/internal.h"
#include "rpc/test_attack.h"

enum { PEERS = 8 };

/* One server and several peers of it, all written frame by frame. */
struct crowd {
    struct oak_rpc_server *server;
    struct echo echo;
    struct attack peers[PEERS];
};

static uint64_t memory_of(const struct crowd *c)
{
    struct oak_rpc_traffic t;
    oak_rpc_server_traffic(c->server, &t);
    return t.memory_bytes;
}

static uint64_t shed_of(const struct crowd *c)
{
    struct oak_rpc_traffic t;
    oak_rpc_server_traffic(c->server, &t);
    return t.shed;
}

static void crowd_join(struct crowd *c, size_t i)
{
    struct attack *a = &c->peers[i];
    *a = (struct attack){.now_ns = (i + 1) * SECOND, .server = c->server};
    assert_int_equal(oak_rpc_conn_new(c->server, NULL, "peer:1", a->now_ns, &a->conn), 0);
    assert_int_equal(nghttp2_hd_deflate_new(&a->deflater, 4096), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&a->inflater), 0);
    assert_int_equal(oak_buf_append(&a->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0);
    frame(a, SETTINGS, 0, 0, NULL, 0);
    frame(a, SETTINGS, ACK, 0, NULL, 0);
    assert_int_equal(strike(a), 0);
}

static void crowd_open(struct crowd *c, size_t memory_bytes_max)
{
    const struct oak_rpc_options options = {.limits = {.memory_bytes_max = memory_bytes_max}};
    *c = (struct crowd){0};
    assert_int_equal(oak_rpc_server_new(NULL, &options, &c->server), 0);
    echo_add(c->server, &c->echo);
}

static void crowd_leave(struct crowd *c, size_t i)
{
    struct attack *a = &c->peers[i];
    if (a->deflater == NULL) {
        return;
    }
    oak_rpc_conn_free(a->conn);
    nghttp2_hd_deflate_del(a->deflater);
    nghttp2_hd_inflate_del(a->inflater);
    oak_buf_fini(&a->fields);
    oak_buf_fini(&a->out);
    oak_buf_fini(&a->answer);
    *a = (struct attack){0};
}

static void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < PEERS; i++) {
        crowd_leave(c, i);
    }
    assert_int_equal(memory_of(c), 0); /* to the byte */
    assert_int_equal(c->echo.started, c->echo.closed);
    oak_rpc_server_free(c->server);
}

static void call(struct attack *a, uint32_t id)
{
    request(a, id, "/t.Echo/Watch", 0, NULL, 0);
    assert_int_equal(strike(a), 0);
}

static void end(struct attack *a, uint32_t id)
{
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    frame(a, RST_STREAM, 0, id, cancel, 4);
    assert_int_equal(strike(a), 0);
}

/* A message of 1 MiB, but for its last byte. */
static void most_of_a_message(struct attack *a, uint32_t id)
{
    static uint8_t piece[16384] = {0, 0, 0x10, 0, 0};
    for (int i = 0; i < 64; i++) {
        frame(a, DATA, 0, id, piece, sizeof(piece));
        memset(piece, 0, 5);
    }
    memcpy(piece, (const uint8_t[]){0, 0, 0x10, 0, 0}, 5);
    int error = strike(a);
    assert_int_equal(error, 0);
}

/* -- counting ---------------------------------------------------------------------------------- */

static void everything_that_is_held_is_counted(void **state)
{
    (void)state;
    struct crowd c;
    crowd_open(&c, 0);
    assert_int_equal(memory_of(&c), 0);
    crowd_join(&c, 0);
    uint64_t empty = memory_of(&c);
    assert_in_range(empty, 5000, 60000); /* a connection */
    struct attack *a = &c.peers[0];
    call(a, 1);
    uint64_t with_call = memory_of(&c);
    assert_in_range(with_call - empty, 500, 8000);
    most_of_a_message(a, 1); /* what has come of a message */
    assert_in_range(memory_of(&c) - with_call, (1 << 20) - 10, (1 << 20) + 20000);
    end(a, 1);
    assert_in_range(memory_of(&c), empty, empty + 4000); /* coders of headers may have grown */

    call(a, 3); /* what waits to be sent: more than the peer's window takes */
    uint8_t *to = oak_rpc_call_send_into(c.echo.last, 1 << 20);
    assert_non_null(to);
    memset(to, 1, 1 << 20);
    listen_to(a);
    assert_in_range(memory_of(&c) - with_call, (1 << 20) - 65536, (1 << 20) + 20000);
    end(a, 3);

    char value[4000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    const struct field large = {"x-large", value};
    request(a, 5, "/t.Echo/Watch", 0, &large, 1); /* headers */
    assert_int_equal(strike(a), 0);
    assert_in_range(memory_of(&c) - with_call, 3900, 20000);
    end(a, 5);

    call(a, 7); /* what a paused call was sent */
    oak_rpc_call_pause(c.echo.last, true);
    most_of_a_message(a, 7);
    assert_in_range(memory_of(&c) - with_call, (1 << 20) - 10, (1 << 20) + 20000);
    oak_rpc_call_pause(c.echo.last, false);
    uint64_t next_ns;
    oak_rpc_conn_tick(a->conn, a->now_ns, &next_ns);
    assert_in_range(memory_of(&c) - with_call, (1 << 20) - 10, (1 << 20) + 20000);
    crowd_close(&c);
}

static void a_long_stream_costs_no_more_than_a_short_one(void **state)
{
    (void)state;
    struct pair p;
    struct recorder r = {0};
    pair_open(&p, NULL, NULL);
    p.echo.answers = OAK_RPC_GZIP;
    pair_call_packed(&p, "Bidi", OAK_RPC_DEFLATE, &r);
    struct oak_rpc_traffic before = {0};
    for (int i = 0; i < 500; i++) {
        char text[3000];
        memset(text, 'a' + i % 26, sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        send_text(r.call, text);
        if (p.echo.last != NULL) {
            oak_rpc_call_pause(p.echo.last, i % 3 == 0);
        }
        pair_run(&p);
        if (i == 30) {
            oak_rpc_server_traffic(p.server, &before);
        }
    }
    oak_rpc_call_pause(p.echo.last, false);
    pair_tick(&p, SECOND);
    pair_run(&p);
    assert_int_equal(r.messages, 500);
    struct oak_rpc_traffic after;
    oak_rpc_server_traffic(p.server, &after);
    assert_in_range(after.memory_bytes, before.memory_bytes / 2, before.memory_bytes + 10000);
    recorder_fini(&r);
    pair_close(&p);
}

/* -- the end of it ----------------------------------------------------------------------------- */

static void the_longest_idle_connections_go_first(void **state)
{
    (void)state;
    struct crowd c;
    crowd_open(&c, 0);
    for (size_t i = 0; i < 6; i++) {
        crowd_join(&c, i);
    }
    /* Room for a message once one of them has gone. */
    c.server->options.limits.memory_bytes_max = memory_of(&c) + (1 << 20) - 30000;
    call(&c.peers[0], 1); /* the first is at work */
    call(&c.peers[1], 1); /* the second was lately */
    c.peers[1].now_ns = 100 * SECOND;
    end(&c.peers[1], 1);
    most_of_a_message(&c.peers[0], 1);
    assert_int_equal(shed_of(&c), 1);
    const bool gone[] = {false, false, true, false, false, false};
    for (size_t i = 0; i < 6; i++) {
        listen_to(&c.peers[i]);
        assert_int_equal(oak_rpc_conn_done(c.peers[i].conn), gone[i]);
    }
    assert_int_equal(last_code(&c.peers[2], GOAWAY), NGHTTP2_NO_ERROR);
    assert_true(answered(&c.peers[2], "out_of_memory"));
    assert_int_equal(c.echo.closed, 1);
    crowd_close(&c);
}

static void with_nobody_idle_what_needs_more_is_refused(void **state)
{
    (void)state;
    struct crowd c;
    crowd_open(&c, 2 << 20);
    for (size_t i = 0; i < 4; i++) {
        crowd_join(&c, i);
        call(&c.peers[i], 1);
        call(&c.peers[i], 3); /* so that it is never idle */
    }
    for (size_t i = 0; i < 4; i++) {
        most_of_a_message(&c.peers[i], 1);
        assert_true(memory_of(&c) <= (2 << 20) + 20000);
    }
    assert_int_equal(shed_of(&c), 0);
    size_t refused = 0;
    for (size_t i = 0; i < 4; i++) {
        listen_to(&c.peers[i]);
        refused += answered(&c.peers[i], "grpc: the server is out of memory");
    }
    assert_in_range(refused, 2, 3);
    assert_int_equal(c.echo.closed, refused);
    crowd_close(&c);
}

static void a_call_for_which_there_is_no_memory_does_not_begin(void **state)
{
    (void)state;
    struct crowd c;
    crowd_open(&c, 100);
    crowd_join(&c, 0);
    call(&c.peers[0], 1);
    assert_int_equal(c.echo.started, 0);
    assert_true(answered(&c.peers[0], "grpc-status: 8\n"));
    assert_true(answered(&c.peers[0], "grpc: the server is out of memory"));
    assert_true(answered(&c.peers[0], "grpc-retry-pushback-ms"));
    crowd_close(&c);
}

/* A peer that reads nothing may not be sent more, and others go on. */
static void what_nobody_reads_is_not_queued(void **state)
{
    (void)state;
    struct crowd c;
    crowd_open(&c, 1 << 20);
    crowd_join(&c, 0);
    call(&c.peers[0], 1);
    static const uint8_t bytes[100000];
    int error = 0;
    size_t sent = 0;
    while (error == 0) {
        error = oak_rpc_call_send(c.echo.last, oak_bytes(bytes, sizeof(bytes)));
        sent += error == 0;
    }
    assert_int_equal(error, OAK_ELIMIT);
    assert_in_range(sent, 9, 11);
    crowd_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_held_is_counted),
        cmocka_unit_test(a_long_stream_costs_no_more_than_a_short_one),
        cmocka_unit_test(the_longest_idle_connections_go_first),
        cmocka_unit_test(with_nobody_idle_what_needs_more_is_refused),
        cmocka_unit_test(a_call_for_which_there_is_no_memory_does_not_begin),
        cmocka_unit_test(what_nobody_reads_is_not_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
