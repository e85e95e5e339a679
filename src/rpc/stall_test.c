/* SPDX-License-Identifier: Apache-2.0 */
/* stall_test.c: ends that have more to write than the other one takes. */
#include "rpc/test_link.h"

static void a_peer_that_does_not_read_is_not_read_from(void **state)
{
    (void)state;
    struct world w;
    const struct oak_rpc_subchannel_options options = {.rpc = {.window_bytes = INT32_MAX,
                                                               .connection_window_bytes = INT32_MAX,
                                                               .receive_bytes_max = 64 << 20}};
    world_open(&w, &options);
    struct recorder r = {0};
    assert_int_equal(world_call(&w, "Watch", 0, &r), 0);
    fake_run(&w.loop);
    w.loop.server_end->blocked = true;
    const uint8_t large[] = {ECHO_LARGE, 22};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(large, sizeof(large))), 0);
        fake_run(&w.loop);
    }
    assert_int_equal(w.echo.messages, 2); /* 8 MiB are queued: the third is not read */
    assert_true(w.loop.server_end->paused);
    assert_true(w.loop.server_end->queue.size > OAK_OUTBOUND_BYTES_MAX);
    assert_true(w.loop.server_end->queue.size < OAK_OUTBOUND_BYTES_MAX + OAK_MIB);
    w.loop.server_end->blocked = false;
    fake_run(&w.loop);
    assert_false(w.loop.server_end->paused);
    assert_int_equal(r.messages, 4);
    assert_int_equal(r.last_size, 1 << 22);

    w.loop.server_end->blocked = true;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(large, sizeof(large))), 0);
        fake_run(&w.loop);
    }
    assert_int_equal(r.closed, 0);
    fake_advance(&w.loop, 59 * SECOND);
    assert_int_equal(r.closed, 0);
    fake_advance(&w.loop, SECOND);
    assert_int_equal(r.closed, 1); /* it took nothing for a minute */
    struct oak_rpc_traffic traffic;
    oak_rpc_server_traffic(w.server, &traffic);
    assert_int_equal(traffic.abuse_closed, 1);
    recorder_fini(&r);
    world_close(&w);
}

/* Each has more to write than it queues, at one time, as windows of 64 MiB let it: were neither to
 * read, neither would be read from. */
static void two_ends_that_fill_each_other_s_windows_go_on(void **state)
{
    (void)state;
    struct world w;
    const struct oak_rpc_options large = {.window_bytes = 64 << 20,
                                          .connection_window_bytes = 64 << 20,
                                          .receive_bytes_max = 64 << 20};
    const struct oak_rpc_subchannel_options options = {.rpc = large};
    static uint8_t block[1 << 20];
    const uint8_t wanted[] = {ECHO_LARGE, 22};
    struct recorder down = {0};
    struct recorder up = {0};
    world_open(&w, &options);
    oak_rpc_server_free(w.server);
    server_open(&w, &large);
    assert_int_equal(world_call(&w, "Watch", 0, &down), 0);
    assert_int_equal(world_call(&w, "Bidi", 0, &up), 0);
    fake_run(&w.loop);
    w.loop.server_end->blocked = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(oak_rpc_call_send(down.call, oak_bytes(wanted, sizeof(wanted))), 0);
        fake_run(&w.loop);
    }
    w.loop.client_end->blocked = true;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(oak_rpc_call_send(up.call, oak_bytes(block, sizeof(block))), 0);
        fake_run(&w.loop);
    }
    assert_true(w.loop.server_end->queue.size > OAK_OUTBOUND_BYTES_MAX);
    assert_true(w.loop.client_end->queue.size > OAK_OUTBOUND_BYTES_MAX);
    assert_true(w.loop.server_end->paused);
    assert_false(w.loop.client_end->paused);
    w.loop.server_end->blocked = false;
    w.loop.client_end->blocked = false;
    fake_run(&w.loop);
    assert_int_equal(down.messages, 3);
    assert_int_equal(up.messages, 12);
    oak_rpc_call_half_close(up.call);
    fake_run(&w.loop);
    assert_int_equal(up.code, OAK_RPC_OK);
    assert_int_equal(w.ups, 1);
    assert_false(w.loop.server_end->paused);
    recorder_fini(&down);
    recorder_fini(&up);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_does_not_read_is_not_read_from),
        cmocka_unit_test(two_ends_that_fill_each_other_s_windows_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
