/* SPDX-License-Identifier: Apache-2.0 */
/* head_test.c: what a user may still change of a call that has been made. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

static int peer_heard(struct world *w, const char *start)
{
    return script_heard(&peer_of(w, 0)->s, start, NULL);
}

static void a_call_s_encoding_may_be_chosen_before_its_first_message(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    struct recorder second;
    char text[501] = "";
    memset(text, 'a', 500);
    world_open(&w, "a:1", OPTIONS{0}); /* the first has no connection yet, the second has one */
    assert_int_equal(begin(&w, REQUEST{.encoding = OAK_RPC_DEFLATE}, &r), 0);
    assert_int_equal(oak_rpc_call_compress(r.call, OAK_RPC_GZIP), 0);
    send_text(r.call, text);
    assert_int_equal(oak_rpc_call_compress(r.call, OAK_RPC_IDENTITY), OAK_ECLOSED);
    oak_rpc_call_half_close(r.call);
    run(&w);
    assert_int_equal(begin(&w, REQUEST{0}, &second), 0);
    assert_int_equal(oak_rpc_call_compress(second.call, OAK_RPC_GZIP), 0);
    send_text(second.call, text);
    assert_int_equal(oak_rpc_call_compress(second.call, OAK_RPC_DEFLATE), OAK_ECLOSED);
    oak_rpc_call_half_close(second.call);
    run(&w);
    for (uint32_t id = 1; id <= 3; id += 2) {
        char whole[32];
        snprintf(whole, sizeof(whole), "DATA %u 505", id);
        assert_int_equal(heard(&w, 0, id, "grpc-encoding=gzip"), 1);
        assert_int_equal(peer_heard(&w, whole), 0); /* it became smaller */
    }
    assert_int_equal(oak_rpc_call_compress(second.call, OAK_RPC_GZIP), OAK_ECLOSED);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    script_reset(&peer_of(&w, 0)->s, 3, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    assert_int_equal(heard(&w, 0, 5, "grpc-encoding=gzip"), 1); /* also when made again */
    answer(&w, 0, 5);
    ended(&second, OAK_RPC_OK);
    world_close(&w);
}

static void headers_may_be_added_until_they_leave(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    char large[3000];
    memset(large, 'l', sizeof(large));
    const struct oak_rpc_pair own = {oak_bytes_str("x-own"), oak_bytes_str("1")};
    const struct oak_rpc_pair more[] = {
        {oak_bytes_str("x-more"), oak_bytes(large, sizeof(large))},
        {oak_bytes_str("x-last"), oak_bytes_str("3")},
    };
    const struct oak_rpc_pair bad = {oak_bytes_str("Not Lower"), oak_bytes_str("x")};
    world_open(&w, "a:1", OPTIONS{0});
    for (uint32_t id = 1; id <= 3; id += 2) { /* without a connection, and with one */
        assert_int_equal(begin(&w, REQUEST{.metadata = &own, .metadata_count = 1}, &r), 0);
        for (size_t i = 0; i < OAK_COUNT_OF(more); i++) {
            assert_int_equal(oak_rpc_call_add_header(r.call, more[i]), 0);
        }
        if (id > 1) {
            assert_int_equal(oak_rpc_call_add_header(r.call, bad), OAK_EINVAL);
        }
        assert_int_equal(oak_rpc_call_add_trailer(r.call, own), OAK_EUNIMPLEMENTED);
        send_text(r.call, "hello");
        oak_rpc_call_half_close(r.call);
        run(&w);
        assert_int_equal(heard(&w, 0, id, "x-own=1"), 1);
        assert_int_equal(heard(&w, 0, id, "x-more=lll"), 1);
        assert_int_equal(heard(&w, 0, id, "x-last=3"), 1);
        assert_int_equal(heard(&w, 0, id, "Not"), 0);
        assert_int_equal(oak_rpc_call_add_header(r.call, own), OAK_ECLOSED);
        assert_string_equal(oak_rpc_call_path(r.call).data, "/t.Echo/Unary");
        if (id == 1) {
            answer(&w, 0, id);
            ended(&r, OAK_RPC_OK);
        }
    }
    script_reset(&peer_of(&w, 0)->s, 3, NGHTTP2_REFUSED_STREAM);
    say(&w, 0);
    assert_int_equal(heard(&w, 0, 5, "x-last=3"), 1);
    answer(&w, 0, 5);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_s_encoding_may_be_chosen_before_its_first_message),
        cmocka_unit_test(headers_may_be_added_until_they_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
