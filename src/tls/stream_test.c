/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c: bytes through TLS: all of them, in order, under back-pressure, and how it ends. */
#include "tls/test_world.h"

#define FLOOD_BYTES ((size_t)1000 * 1000)

static void pattern(uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(i * 31 >> 3);
    }
}

static void assert_pattern(const struct end *e, size_t size)
{
    assert_int_equal(e->got.size, size);
    for (size_t i = 0; i < size; i++) {
        if (e->got.data[i] != (uint8_t)(i * 31 >> 3)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
}

static void say_pattern(struct end *e, size_t size)
{
    uint8_t *bytes = malloc(size);
    pattern(bytes, size);
    assert_int_equal(end_write(e, oak_bytes(bytes, size)), 0);
    free(bytes);
}

static void open_world(struct world *w)
{
    world_init(w);
    world_open(w);
    world_connect(w, "localhost:443");
    assert_int_equal(w->c.opened, 1);
    assert_int_equal(w->s.opened, 1);
}

/* -- bytes ------------------------------------------------------------------------------------- */

static void all_sizes_arrive_in_pieces_of_all_sizes(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 1000, 16401, 65536, SIZE_MAX};
    static const size_t sizes[] = {1, 16384, 16385, 65536, 65537, 200000};
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t v = 0; v < OAK_COUNT_OF(versions); v++) {
        struct world w;
        world_init(&w);
        w.client_options.version_max = versions[v];
        world_open(&w);
        world_connect(&w, "localhost:443");
        for (size_t i = 0; i < OAK_COUNT_OF(pieces) * OAK_COUNT_OF(sizes); i++) {
            size_t size = sizes[i % OAK_COUNT_OF(sizes)];
            w.loop.piece = pieces[i / OAK_COUNT_OF(sizes)];
            oak_buf_clear(&w.s.got);
            oak_buf_clear(&w.c.got);
            say_pattern(&w.c, size);
            say_pattern(&w.s, size);
            fake_run(&w.loop);
            assert_pattern(&w.s, size);
            assert_pattern(&w.c, size);
        }
        assert_int_equal(end_write(&w.c, oak_bytes(NULL, 0)), 0);
        world_close(&w);
    }
}

static void say_hello(struct end *e)
{
    assert_int_equal(e->stream->ops->write(e->stream, oak_bytes_str("hello")), 0);
}

static void what_comes_right_behind_the_handshake_is_not_lost(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 5000; piece += 4998) {
        struct world w;
        world_init(&w);
        w.loop.piece = piece;
        w.c.on_open = say_hello;
        w.s.on_open = say_hello;
        world_open(&w);
        world_connect(&w, "localhost:443");
        assert_got(&w.s, "hello");
        assert_got(&w.c, "hello");
        world_close(&w);
    }
}

static void an_owner_without_a_handler_has_time(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.c.on_open = say_hello;
    w.s.no_handler = true;
    world_open(&w);
    world_connect(&w, "localhost:443");
    assert_int_equal(w.s.opened, 1);
    assert_int_equal(w.s.got.size, 0);
    assert_int_equal(end_say(&w.c, " world"), 0);
    fake_run(&w.loop);
    assert_int_equal(w.s.got.size, 0);
    assert_true(w.loop.server_end->paused); /* what waits is bounded */
    w.s.calling = true;
    end_handle(&w.s);
    w.s.calling = false;
    fake_run(&w.loop);
    assert_got(&w.s, "hello world");
    world_close(&w);
}

/* -- back-pressure ----------------------------------------------------------------------------- */

static void nothing_comes_while_paused_and_all_comes_after(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.s.stream->ops->pause(w.s.stream, true);
    w.s.stream->ops->pause(w.s.stream, true);
    say_pattern(&w.c, FLOOD_BYTES);
    fake_run(&w.loop);
    assert_int_equal(w.s.got.size, 0);
    w.s.calling = true; /* nothing comes from inside */
    w.s.stream->ops->pause(w.s.stream, false);
    w.s.calling = false;
    fake_run(&w.loop);
    assert_pattern(&w.s, FLOOD_BYTES);
    world_close(&w);
}

static void a_handler_may_pause_within_a_delivery(void **state)
{
    (void)state;
    static const size_t pieces[] = {100, 16500, 200000, SIZE_MAX};
    for (size_t i = 0; i < OAK_COUNT_OF(pieces); i++) {
        struct world w;
        open_world(&w);
        w.loop.piece = pieces[i];
        w.s.pause_itself = true;
        say_pattern(&w.c, FLOOD_BYTES);
        int rounds = 0;
        while (w.s.got.size < FLOOD_BYTES) {
            size_t before = w.s.got.size;
            fake_run(&w.loop);
            /* One delivery, however much has come. */
            assert_true(w.s.got.size > before);
            assert_true(w.s.got.size - before <= 65536);
            assert_true(w.loop.server_end->paused);
            w.s.stream->ops->pause(w.s.stream, false);
            rounds++;
        }
        assert_true(rounds >= 15);
        assert_pattern(&w.s, FLOOD_BYTES);
        world_close(&w);
    }
}

static void a_stream_closed_while_it_waits_to_go_on_is_not_resumed(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.s.pause_itself = true;
    say_pattern(&w.c, FLOOD_BYTES);
    fake_run(&w.loop);
    size_t before = w.s.got.size;
    w.s.stream->ops->pause(w.s.stream, false);
    end_close(&w.s, false);
    fake_run(&w.loop);
    assert_int_equal(w.s.got.size, before);
    assert_int_equal(w.s.closed, 1);
    world_close(&w);
    /* And when the peer is gone meanwhile. */
    open_world(&w);
    w.s.pause_itself = true;
    say_pattern(&w.c, FLOOD_BYTES);
    fake_run(&w.loop);
    w.s.stream->ops->pause(w.s.stream, false);
    w.loop.server_end->error = OAK_ECLOSED;
    fake_stream_turn(w.loop.server_end);
    assert_int_equal(w.s.closed, 1);
    assert_int_equal(w.s.error, OAK_ECLOSED);
    world_close(&w);
}

static void what_waits_is_told_and_so_is_that_it_has_left(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct fake_stream *below = w.loop.client_end;
    assert_int_equal(w.c.stream->ops->queued(w.c.stream), 0);
    below->blocked = true;
    say_pattern(&w.c, FLOOD_BYTES);
    fake_run(&w.loop);
    assert_true(w.c.stream->ops->queued(w.c.stream) > FLOOD_BYTES);
    assert_int_equal(w.c.drained, 0);
    below->blocked = false;
    fake_run(&w.loop);
    assert_int_equal(w.c.drained, 1);
    assert_pattern(&w.s, FLOOD_BYTES);
    world_close(&w);
}

/* -- closing ----------------------------------------------------------------------------------- */

static void a_close_in_order_delivers_all_and_is_no_error(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 5000; piece += 4998) {
        struct world w;
        open_world(&w);
        w.loop.piece = piece;
        say_pattern(&w.c, 20000);
        end_close(&w.c, false);
        end_close(&w.c, false);
        assert_int_equal(end_say(&w.c, "late"), OAK_ECLOSED);
        fake_run(&w.loop);
        assert_pattern(&w.s, 20000);
        assert_int_equal(w.s.closed, 1);
        assert_int_equal(w.s.error, 0);
        assert_int_equal(w.c.closed, 1);
        assert_int_equal(w.c.error, 0);
        assert_int_equal(w.s.reports + w.c.reports, 0);
        world_close(&w);
    }
}

static void close_itself(struct end *e, struct oak_bytes bytes)
{
    (void)bytes;
    e->stream->ops->close(e->stream, false);
}

static void a_handler_may_close_within_a_delivery(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.s.on_data = close_itself;
    say_pattern(&w.c, FLOOD_BYTES);
    fake_run(&w.loop);
    assert_int_equal(w.s.got.size, 65536);
    assert_int_equal(w.s.closed, 1);
    assert_int_equal(w.s.error, 0);
    assert_int_equal(w.c.closed, 1);
    assert_int_equal(w.c.error, 0); /* it was told: close_notify */
    world_close(&w);
}

static void a_close_at_once_looks_cut_off_to_the_peer(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    end_close(&w.c, true);
    end_close(&w.c, true);
    assert_int_equal(end_say(&w.c, "late"), OAK_ECLOSED);
    fake_run(&w.loop);
    assert_int_equal(w.c.closed, 1);
    assert_int_equal(w.c.error, 0);
    assert_int_equal(w.s.closed, 1);
    assert_int_equal(w.s.error, OAK_ETRUNCATED);
    world_close(&w);
}

static void a_close_in_order_that_takes_too_long_can_be_cut_short(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.loop.client_end->blocked = true;
    say_pattern(&w.c, FLOOD_BYTES);
    end_close(&w.c, false);
    fake_run(&w.loop);
    assert_int_equal(w.c.closed, 0);
    end_close(&w.c, true);
    fake_run(&w.loop);
    assert_int_equal(w.c.closed, 1);
    assert_int_equal(w.c.error, 0);
    assert_int_equal(w.s.error, OAK_ETRUNCATED);
    world_close(&w);
}

static void an_end_of_the_stream_below_alone_is_a_cut(void **state)
{
    (void)state;
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t v = 0; v < OAK_COUNT_OF(versions); v++) {
        struct world w;
        world_init(&w);
        w.client_options.version_max = versions[v];
        world_open(&w);
        world_connect(&w, "localhost:443");
        assert_int_equal(end_say(&w.s, "all of it?"), 0);
        fake_run(&w.loop);
        /* Somebody on the way ends the connection for the server. */
        w.loop.client_end->peer_ended = true;
        fake_run(&w.loop);
        assert_got(&w.c, "all of it?");
        assert_int_equal(w.c.closed, 1);
        assert_int_equal(w.c.error, OAK_ETRUNCATED);
        assert_int_equal(w.s.error, OAK_ETRUNCATED);
        world_close(&w);
    }
}

static void an_error_below_is_told_as_it_is(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.loop.client_end->error = OAK_EUNREACHABLE;
    fake_run(&w.loop);
    assert_int_equal(w.c.closed, 1);
    assert_int_equal(w.c.error, OAK_EUNREACHABLE);
    world_close(&w);
}

/* -- connecting -------------------------------------------------------------------------------- */

static void a_connect_that_fails_below_tells_so(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    w.loop.connect_error = OAK_EREFUSED;
    world_connect(&w, "localhost:443");
    assert_int_equal(w.c.error, OAK_EREFUSED);
    assert_int_equal(w.c.opened, 0);
    world_close(&w);
}

static void the_network_may_be_freed_while_it_is_used(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    oak_tls_net_free(w.client_net);
    oak_tls_net_free(w.server_net);
    oak_tls_free(w.client_tls);
    oak_tls_free(w.server_tls);
    w.client_net = w.server_net = NULL;
    w.client_tls = w.server_tls = NULL;
    world_converse(&w);
    world_close(&w);
    /* Within a connect, and within a handshake. */
    world_init(&w);
    world_open(&w);
    world_connect_start(&w, "localhost:443");
    oak_tls_net_free(w.client_net);
    w.client_net = NULL;
    fake_run(&w.loop);
    world_converse(&w);
    world_close(&w);
    world_init(&w);
    world_open(&w);
    w.loop.piece = 10;
    world_connect_start(&w, "localhost:443");
    fake_round(&w.loop);
    fake_round(&w.loop);
    oak_tls_net_free(w.server_net);
    w.server_net = NULL;
    fake_run(&w.loop);
    assert_int_equal(w.s.opened, 0);
    assert_int_equal(w.s.report_error, OAK_ECLOSED);
    assert_int_equal(w.c.error, OAK_ETLS);
    assert_non_null(strstr(w.c.report, "left within the handshake"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes_arrive_in_pieces_of_all_sizes),
        cmocka_unit_test(what_comes_right_behind_the_handshake_is_not_lost),
        cmocka_unit_test(an_owner_without_a_handler_has_time),
        cmocka_unit_test(nothing_comes_while_paused_and_all_comes_after),
        cmocka_unit_test(a_handler_may_pause_within_a_delivery),
        cmocka_unit_test(a_stream_closed_while_it_waits_to_go_on_is_not_resumed),
        cmocka_unit_test(what_waits_is_told_and_so_is_that_it_has_left),
        cmocka_unit_test(a_close_in_order_delivers_all_and_is_no_error),
        cmocka_unit_test(a_handler_may_close_within_a_delivery),
        cmocka_unit_test(a_close_at_once_looks_cut_off_to_the_peer),
        cmocka_unit_test(a_close_in_order_that_takes_too_long_can_be_cut_short),
        cmocka_unit_test(an_end_of_the_stream_below_alone_is_a_cut),
        cmocka_unit_test(an_error_below_is_told_as_it_is),
        cmocka_unit_test(a_connect_that_fails_below_tells_so),
        cmocka_unit_test(the_network_may_be_freed_while_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
