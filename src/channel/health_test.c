/* SPDX-License-Identifier: Apache-2.0 */
/* health_test.c: connections whose servers say that they can't serve get no calls. */
#include "channel/internal.h"
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define HEALTH  "{\"healthCheckConfig\":{\"serviceName\":\"t.Echo\"}}"

/* HealthCheckResponse with status 1; a text can't have a NUL in it, so UNKNOWN is the empty one. */
#define SERVING     "\x08\x01"
#define NOT_SERVING "\x08\x02"

static void two_servers(struct world *w)
{
    world_open(w, "static:a:1,b:2",
               OPTIONS{.policy = "round_robin", .service_config = HEALTH, .keepalive_ns = 0});
    oak_channel_connect(w->channel);
    run(w);
}

static int watched(struct world *w, size_t index, uint32_t id)
{
    return heard(w, index, id, ":path=/grpc.health.v1.Health/Watch");
}

/* The first word of a watch, or a further one. */
static void tell_first(struct world *w, size_t index, uint32_t id, const char *message)
{
    script_head(&peer_of(w, index)->s, id);
    script_message(&peer_of(w, index)->s, id, message);
    say(w, index);
}

static void tell(struct world *w, size_t index, uint32_t id, const char *message)
{
    script_message(&peer_of(w, index)->s, id, message);
    say(w, index);
}

static void end_watch(struct world *w, size_t index, uint32_t id, const char *code)
{
    script_refuse(&peer_of(w, index)->s, id, code, NULL, NULL);
    say(w, index);
}

/* -- the messages ------------------------------------------------------------------------------ */

static void a_request_is_the_name(void **state)
{
    (void)state;
    uint8_t out[CHANNEL_HEALTH_REQUEST_MAX];
    assert_int_equal(channel__health_request("", out), 0);
    assert_int_equal(channel__health_request("ab", out), 4);
    assert_memory_equal(out,
                        "\x0a\x02"
                        "ab",
                        4);
    char name[CHANNEL_HEALTH_NAME_MAX + 1] = "";
    memset(name, 'n', 127);
    assert_int_equal(channel__health_request(name, out), 129);
    assert_memory_equal(out, "\x0a\x7fn", 3);
    name[127] = 'n';
    assert_int_equal(channel__health_request(name, out), 131);
    assert_memory_equal(out, "\x0a\x80\x01n", 4);
    memset(name, 'n', CHANNEL_HEALTH_NAME_MAX);
    assert_int_equal(channel__health_request(name, out), sizeof(out));
    assert_memory_equal(out, "\x0a\xff\x01n", 4);
}

struct response {
    const char *bytes;
    size_t size;
    int means; /* 1: SERVING; 0: not; -1: it is none */
    uint64_t term;
};
#define RESPONSE(text, m)            \
    {                                \
        text, sizeof(text) - 1, m, 0 \
    }
#define RESPONSE_TERM(text, m, t)    \
    {                                \
        text, sizeof(text) - 1, m, t \
    }

static void a_response_is_its_last_status(void **state)
{
    (void)state;
    static const struct response all[] = {
        RESPONSE("", 0),
        RESPONSE("\x08\x00", 0),
        RESPONSE("\x08\x01", 1),
        RESPONSE("\x08\x02", 0),
        RESPONSE("\x08\x03", 0),
        RESPONSE("\x08\x81\x00", 1), /* longer than it need be */
        RESPONSE("\x08\x01\x08\x02", 0),
        RESPONSE("\x08\x02\x08\x01", 1),
        RESPONSE("\x12\x02\x08\x01", 0), /* within another field */
        RESPONSE("\x10\x07\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04\x08\x01", 1),
        RESPONSE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0), /* -1 */
        RESPONSE_TERM("\x08\x01\xc8\x3e\x07", 1, 7),
        RESPONSE_TERM("\xc8\x3e\xac\x02\x08\x02", 0, 300),
        RESPONSE_TERM("\xc8\x3e\x09\xc8\x3e\x08", 0, 8),
        RESPONSE_TERM("\xc8\x3e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, UINT64_MAX),
        RESPONSE("\xca\x3e\x01\x07", 0), /* the same field, of another type */
        RESPONSE("\xc8\x3e", -1),
        RESPONSE("\x08", -1),
        RESPONSE("\x08\x80", -1),
        RESPONSE("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", -1),
        RESPONSE("\x80", -1),
        RESPONSE("\x00\x01", -1), /* no field has the number 0 */
        RESPONSE("\x0b\x0c", -1), /* a group */
        RESPONSE("\x0e", -1),
        RESPONSE("\x12\x05\x01", -1),
        RESPONSE("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -1),
        RESPONSE("\x19\x01", -1),
        RESPONSE("\x25\x01", -1),
        RESPONSE("\x12", -1),
        RESPONSE("\xff\xff\xff\xff\xff\x01\x01", -1), /* a tag past 32 bits */
    };
    for (size_t i = 0; i < OAK_COUNT_OF(all); i++) {
        /* A copy of just that size, so that reading past it is seen. */
        uint8_t *copy = malloc(all[i].size + 1);
        assert_non_null(copy);
        memcpy(copy + 1, all[i].bytes, all[i].size);
        bool serving;
        uint64_t term;
        bool fine = channel__health_response(oak_bytes(copy + 1, all[i].size), &serving, &term);
        int means = fine ? serving : -1;
        if (means != all[i].means || (fine && term != all[i].term)) {
            fail_msg("response %zu: %d, not %d", i, means, all[i].means);
        }
        free(copy);
    }
}

/* -- round_robin ------------------------------------------------------------------------------- */

static void a_connection_counts_when_its_server_serves(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[3];
    two_servers(&w);
    assert_int_equal(w.peers.count, 2);
    assert_string_equal(w.told, "C");
    assert_int_equal(watched(&w, 0, 1), 1);
    assert_int_equal(watched(&w, 1, 1), 1);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "DATA 1 13", "END"), 1); /* 5 + 2 + 6 */
    assert_int_equal(stats(&w).connections, 0);
    assert_int_equal(stats(&w).attempts, 0);
    ask(&w, &r[0]);
    run(&w);
    assert_int_equal(stats(&w).calls_waiting, 1);
    tell_first(&w, 0, 1, NOT_SERVING);
    assert_string_equal(w.told, "C"); /* the other has not said anything yet */
    tell_first(&w, 1, 1, SERVING);
    assert_string_equal(w.told, "CR");
    assert_int_equal(stats(&w).connections, 1);
    ask(&w, &r[1]);
    ask(&w, &r[2]);
    run(&w);
    for (uint32_t i = 0; i < 3; i++) {
        answer(&w, 1, 3 + 2 * i);
        ended(&r[i], OAK_RPC_OK);
    }
    assert_int_equal(heard(&w, 0, 3, NULL), 0);
    assert_string_equal(w.tried, "a:1 b:2 ");
    world_close(&w);
}

static void what_a_server_says_later_counts_too(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    two_servers(&w);
    tell_first(&w, 0, 1, SERVING);
    tell_first(&w, 1, 1, SERVING);
    assert_int_equal(stats(&w).connections, 2);
    tell(&w, 0, 1, NOT_SERVING);
    assert_string_equal(w.told, "CR");
    assert_int_equal(stats(&w).connections, 1);
    tell(&w, 1, 1, ""); /* UNKNOWN */
    assert_string_equal(w.told, "CRF");
    ask(&w, &r);
    run(&w);
    assert_string_equal(r.text, "no connection: b:2: the server is not serving");
    ended(&r, OAK_RPC_UNAVAILABLE);
    oak_channel_connect(w.channel); /* there is nothing to hurry */
    pass(&w, 60 * SECOND);
    assert_int_equal(w.peers.count, 2);
    assert_string_equal(w.told, "CRF");
    tell(&w, 0, 1, SERVING);
    assert_string_equal(w.told, "CRFR");
    ask(&w, &r);
    run(&w);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void a_call_under_way_is_not_cut_off(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    two_servers(&w);
    tell_first(&w, 0, 1, SERVING);
    ask(&w, &r);
    run(&w);
    tell(&w, 0, 1, NOT_SERVING);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void a_server_without_the_method_is_healthy(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    two_servers(&w);
    end_watch(&w, 0, 1, "12");
    assert_string_equal(w.told, "CR");
    ask(&w, &r);
    run(&w);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    pass(&w, 100 * SECOND);
    assert_int_equal(watched(&w, 0, 5), 0); /* it is not asked again */
    world_close(&w);
}

static void a_watch_that_ends_begins_again_with_back_off(void **state)
{
    (void)state;
    struct world w;
    two_servers(&w);
    end_watch(&w, 1, 1, "12"); /* is out of the way */
    w.refusing[0] = "b:2";
    hang_up(&w, 1);
    pass(&w, 3 * SECOND);
    end_watch(&w, 0, 1, "14");
    pass(&w, 8 * SECOND / 10 - 1); /* 1 s, less 20 % at the most */
    assert_int_equal(watched(&w, 0, 3), 0);
    pass(&w, 4 * SECOND / 10 + 1);
    assert_int_equal(watched(&w, 0, 3), 1);
    end_watch(&w, 0, 3, "14");
    pass(&w, 128 * SECOND / 100 - 1); /* 1.6 s, less 20 % */
    assert_int_equal(watched(&w, 0, 5), 0);
    pass(&w, 64 * SECOND / 100 + 1);
    assert_int_equal(watched(&w, 0, 5), 1);
    assert_string_equal(w.told, "CRCF");
    tell_first(&w, 0, 5, SERVING);
    assert_string_equal(w.told, "CRCFR");
    pass(&w, 5 * SECOND);
    script_tail(&peer_of(&w, 0)->s, 5, "0"); /* it lived, and had answered: at once */
    say(&w, 0);
    assert_string_equal(w.told, "CRCFRF");
    assert_int_equal(watched(&w, 0, 7), 1);
    tell_first(&w, 0, 7, SERVING);
    assert_string_equal(w.told, "CRCFRFR");
    script_tail(&peer_of(&w, 0)->s, 7, "0"); /* it answered, but did not live: not at once */
    say(&w, 0);
    assert_int_equal(watched(&w, 0, 9), 0);
    pass(&w, 12 * SECOND / 10);
    assert_int_equal(watched(&w, 0, 9), 1);
    world_close(&w);
}

static void nonsense_is_not_health(void **state)
{
    (void)state;
    struct world w;
    two_servers(&w);
    tell_first(&w, 0, 1, "\x08");
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "RST_STREAM 1 8", NULL), 1);
    tell_first(&w, 1, 1, "hello");
    assert_string_equal(w.told, "CF");
    pass(&w, 12 * SECOND / 10);
    assert_int_equal(watched(&w, 0, 3), 1);
    world_close(&w);
}

static void the_watch_goes_with_its_connection(void **state)
{
    (void)state;
    struct world w;
    two_servers(&w);
    tell_first(&w, 0, 1, SERVING);
    pass(&w, 5 * SECOND);
    script_goaway(&peer_of(&w, 0)->s, 1, NGHTTP2_NO_ERROR, "");
    say(&w, 0);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "RST_STREAM 1 8", NULL), 1);
    pass(&w, SECOND); /* it keeps nothing open, and the next connection has its own */
    assert_null(w.peers.all[0].stream);
    assert_int_equal(w.peers.count, 3);
    assert_int_equal(watched(&w, 2, 1), 1);
    assert_string_equal(w.told, "CRC");
    tell_first(&w, 2, 1, SERVING);
    assert_string_equal(w.told, "CRCR");
    hang_up(&w, 2);
    assert_int_equal(w.peers.count, 4);
    assert_int_equal(watched(&w, 3, 1), 1);
    assert_string_equal(w.told, "CRCRC");
    world_close(&w);
}

static void an_address_that_is_gone_is_not_watched(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "db.example:1",
               OPTIONS{.policy = "round_robin", .service_config = HEALTH, .resolve_pause_ns = 1});
    static const char *const dns[] = {"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"};
    memcpy(w.dns, dns, sizeof(dns));
    oak_channel_connect(w.channel);
    run(&w);
    tell_first(&w, 0, 1, SERVING);
    ask(&w, &r);
    run(&w);
    assert_string_equal(w.reached[2], "10.0.0.2:1");
    end_watch(&w, 2, 1, "14"); /* the next one is planned */
    w.dns[0] = "10.0.0.3:1";
    w.dns[1] = NULL;
    hang_up(&w, 1);
    pass(&w, SECOND / 100);
    assert_int_equal(w.lookups, 2);
    assert_int_equal(script_heard(&peer_of(&w, 0)->s, "RST_STREAM 1 8", NULL), 1);
    assert_null(w.peers.all[2].stream);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    pass(&w, 10 * SECOND);
    assert_null(w.peers.all[0].stream);
    world_close(&w);
}

static void at_rest_nothing_is_watched(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "static:a:1",
               OPTIONS{.policy = "round_robin", .service_config = HEALTH, .idle_ns = 10 * SECOND});
    oak_channel_connect(w.channel);
    run(&w);
    tell_first(&w, 0, 1, SERVING);
    pass(&w, 20 * SECOND); /* a watch is no call that keeps it awake */
    assert_string_equal(w.told, "CRI");
    assert_null(w.peers.all[0].stream);
    pass(&w, 20 * SECOND);
    assert_int_equal(w.peers.count, 1);
    world_close(&w);
}

static void nobody_else_asks(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "static:a:1", OPTIONS{.service_config = HEALTH}); /* pick_first */
    ask(&w, &r);
    run(&w);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    assert_string_equal(w.told, "CR");
    world_close(&w);
    world_open(&w, "static:a:1", OPTIONS{.policy = "round_robin"}); /* without the config */
    ask(&w, &r);
    run(&w);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_the_name),
        cmocka_unit_test(a_response_is_its_last_status),
        cmocka_unit_test(a_connection_counts_when_its_server_serves),
        cmocka_unit_test(what_a_server_says_later_counts_too),
        cmocka_unit_test(a_call_under_way_is_not_cut_off),
        cmocka_unit_test(a_server_without_the_method_is_healthy),
        cmocka_unit_test(a_watch_that_ends_begins_again_with_back_off),
        cmocka_unit_test(nonsense_is_not_health),
        cmocka_unit_test(the_watch_goes_with_its_connection),
        cmocka_unit_test(an_address_that_is_gone_is_not_watched),
        cmocka_unit_test(at_rest_nothing_is_watched),
        cmocka_unit_test(nobody_else_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
