/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c: what is no JSON, too large, too much, too slow, or gone; and how a door ends. */
#include "jsonrpc/test_door.h"

#define NEW   "{\"jsonrpc\":\"2.0\","
#define LATER NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"later\"},\"id\":1}"
#define HI    NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"hi\"},\"id\":1}"
#define SAID  NEW "\"result\":{\"text\":\"hi\"},\"id\":1}\n"

static void test_no_json(void **state)
{
    (void)state;
    static const char *const cases[] = {"GET / HTTP/1.1\r\n\r\n",
                                        "}",
                                        "\"text\"",
                                        "7",
                                        "\xef\xbb\xbf{}",
                                        "{\"a\":tru}",
                                        "{\"a\":\"\xff\"}",
                                        "{,}",
                                        "[1,]",
                                        "\x16\x03\x01",
                                        "{\"a\":1]"};
    struct door d;
    door_open(&d, NULL);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        door_send(&d, cases[i]);
        static const char begin[] = NEW "\"error\":{\"code\":-32700,\"message\":";
        assert_true(d.got.size > sizeof(begin) &&
                    memcmp(d.got.data, begin, sizeof(begin) - 1) == 0);
        assert_true(d.closed);
        oak_buf_clear(&d.got);
        door_connect(&d);
    }
    /* who spoke 1.0 gets it in those words; and what follows is not looked at */
    door_send(&d, "{\"method\":\"Echo.Say\",\"params\":[],\"id\":5} { ] " HI);
    assert_int_equal(oak_buf_append(&d.got, "", 1), 0);
    assert_non_null(strstr((const char *)d.got.data, "{\"id\":null,\"result\":null,\"error\":\""));
    assert_null(strstr((const char *)d.got.data, "hi"));
    assert_true(d.closed);
    oak_buf_clear(&d.got);
    door_connect(&d);
    /* as deep as it may be, and deeper */
    char deep[OAK_JSON_DEPTH_MAX + 2];
    memset(deep, '[', sizeof(deep));
    door_write(&d, deep, OAK_JSON_DEPTH_MAX);
    assert_false(d.closed);
    door_write(&d, deep, 1);
    assert_true(d.closed);
    door_close(&d);
}

static void test_too_large(void **state)
{
    (void)state;
    const struct oak_jsonrpc_options options = {
        .message_bytes_max = 1000, .request_bytes_max = 100, .reply_bytes_max = 60};
    struct door d;
    door_open(&d, &options);
    char spaces[4000];
    memset(spaces, ' ', sizeof(spaces));
    door_write(&d, spaces, sizeof(spaces)); /* between texts they cost nothing */
    door_ask(&d, HI, SAID);
    char text[400];
    snprintf(text, sizeof(text),
             NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"%0101d\"},"
                 "\"id\":1}",
             0);
    door_ask(&d, text,
             NEW "\"error\":{\"code\":-32008,\"message\":\"the request is too large\","
                 "\"data\":{\"code\":8,\"status\":\"ResourceExhausted\"}},\"id\":1}\n");
    snprintf(text, sizeof(text),
             NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"%059d\"},"
                 "\"id\":1}",
             0);
    door_send(&d, text); /* the method's message is too large already */
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_RESOURCE_EXHAUSTED], 1);
    oak_buf_clear(&d.got);
    snprintf(text, sizeof(text),
             NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"%050d\"},"
                 "\"id\":1}",
             0);
    door_ask(&d, text,
             NEW "\"error\":{\"code\":-32008,\"message\":\"the reply is too large\","
                 "\"data\":{\"code\":8,\"status\":\"ResourceExhausted\"}},\"id\":1}\n");
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_RESOURCE_EXHAUSTED], 2);
    door_send(&d, "[");
    door_write(&d, spaces, 999);
    assert_false(d.closed);
    door_send(&d, "1");
    door_expect(&d, NEW "\"error\":{\"code\":-32600,\"message\":\"the request is larger than 1000 "
                        "bytes\"},\"id\":null}\n");
    assert_true(d.closed);
    door_connect(&d);
    memset(spaces, 'x', sizeof(spaces));
    door_send(&d, NEW "\"id\":\"");
    door_write(&d, spaces, sizeof(spaces)); /* one piece */
    assert_true(d.closed);
    door_close(&d);
}

static void test_long_names(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    char text[1400];
    snprintf(text, sizeof(text), NEW "\"method\":\"Echo.Say\",\"id\":\"%01023d\"}", 0);
    door_ask(&d, text,
             NEW "\"error\":{\"code\":-32600,\"message\":\"\\\"id\\\" is longer than 1024 "
                 "bytes\"},\"id\":null}\n");
    snprintf(text, sizeof(text), NEW "\"method\":\"%0511d\",\"id\":1}", 0);
    door_ask(&d, text,
             NEW "\"error\":{\"code\":-32600,\"message\":\"\\\"method\\\" is longer than "
                 "512 bytes\"},\"id\":1}\n");
    snprintf(text, sizeof(text), NEW "\"method\":\"%0400d\\u0000\",\"id\":1}", 0);
    door_send(&d, text);
    assert_non_null(memmem(d.got.data, d.got.size, "-32601", 6));
    door_close(&d);
}

/* With as much under way as may be, no more is read; and what waited is then gone through. */
static void test_too_many(void **state)
{
    (void)state;
    const struct oak_jsonrpc_options options = {.calls_max = 3};
    struct door d;
    door_open(&d, &options);
    door_send(&d, LATER LATER LATER LATER LATER);
    assert_int_equal(d.later_count, 3);
    assert_true(d.loop.server_end->paused);
    door_send(&d, LATER); /* stays in the stream */
    assert_int_equal(d.later_count, 3);
    assert_true(d.client->queue.size > 0);
    for (int left = 5; left >= 0; left--) {
        door_answer(&d, "hi");
        fake_run(&d.loop);
        door_expect(&d, SAID);
        assert_int_equal(d.later_count, OAK_MIN(left, 3));
    }
    assert_false(d.loop.server_end->paused);
    door_close(&d);
}

/* The text of what is under way is bounded, not only how many there are. */
static void test_too_much(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    size_t size = 3 * OAK_MIB;
    char *blob = malloc(size);
    assert_non_null(blob);
    memset(blob, ' ', size);
    int sent = 0;
    for (; !d.loop.server_end->paused && sent < 10; sent++) {
        door_write(&d, LATER, sizeof(LATER) - 2);
        door_write(&d, blob, size);
        door_write(&d, "}", 1);
    }
    assert_int_equal(sent, 6);
    assert_int_equal(d.later_count, 6);
    free(blob);
    door_answer(&d, "hi");
    fake_run(&d.loop);
    assert_false(d.loop.server_end->paused);
    door_close(&d);
}

/* Of all connections together a bounded text waits to become whole: who needs more has to go. */
static void test_too_much_of_all(void **state)
{
    (void)state;
    const struct oak_jsonrpc_options options = {.message_bytes_max = OAK_JSONRPC_HELD_BYTES_MAX};
    struct door d;
    door_open(&d, &options);
    size_t size = OAK_JSONRPC_HELD_BYTES_MAX / 2;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '[', 1);
    memset(text + 1, ' ', size - 1);
    door_write(&d, text, size);
    struct fake_stream *first = d.client;
    door_connect(&d);
    door_write(&d, text, size);
    assert_false(d.closed);
    free(text);
    door_send(&d, " ");
    door_expect(&d, NEW "\"error\":{\"code\":-32600,\"message\":\"the server holds too many "
                        "requests\"},\"id\":null}\n");
    assert_true(d.closed);
    d.client = first;
    door_ask(&d, "]",
             NEW "\"error\":{\"code\":-32600,\"message\":\"the batch is empty\"},\"id\":null}\n");
    door_close(&d);
}

static char *large_text(size_t size)
{
    char *large = malloc(size + 1);
    assert_non_null(large);
    memset(large, 'a', size);
    large[size] = '\0';
    return large;
}

/* A peer that asks for more than it reads: no more is begun; what is under way gets small answers
 * when there is no place for large ones; and if it takes nothing it is cut off. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    size_t size = 4 * OAK_MIB;
    char *large = large_text(size);
    for (int i = 0; i < 20; i++) {
        door_send(&d, LATER);
    }
    assert_int_equal(d.later_count, 20);
    d.loop.server_end->blocked = true;
    while (d.later_count > 1) {
        door_answer(&d, large);
        fake_run(&d.loop);
    }
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_OK], 15);
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_RESOURCE_EXHAUSTED], 4);
    assert_true(d.loop.server_end->queue.size > 15 * size);
    assert_true(d.loop.server_end->queue.size < OAK_JSONRPC_REPLIES_BYTES_MAX);
    door_answer(&d, "small ones too: they are as many as were begun");
    fake_run(&d.loop);
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_OK], 16);
    free(large);
    assert_true(d.loop.server_end->paused);
    door_send(&d, HI HI HI);
    assert_int_equal(d.said, 20);
    fake_advance(&d.loop, 29 * SECOND);
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 1);
    fake_advance(&d.loop, 2 * SECOND);
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 0);
    door_close(&d);
}

/* All that is answered in one round counts, before any of it is text. */
static void test_answers_of_one_round(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    char *large = large_text(10 * OAK_MIB);
    for (int i = 0; i < 10; i++) {
        door_send(&d, LATER);
    }
    while (d.later_count > 0) {
        door_answer(&d, large);
    }
    free(large);
    fake_run(&d.loop);
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_OK], 6);
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_RESOURCE_EXHAUSTED], 4);
    oak_buf_clear(&d.got);
    door_ask(&d, HI, SAID);
    door_close(&d);
}

/* And of all connections together. */
static void test_slow_readers(void **state)
{
    (void)state;
    struct door d;
    struct fake_stream *clients[4];
    door_open(&d, NULL);
    char *large = large_text(60 * OAK_MIB);
    for (size_t i = 0; i < OAK_COUNT_OF(clients); i++) {
        if (i > 0) {
            door_connect(&d);
        }
        clients[i] = d.client;
        door_send(&d, LATER);
        d.loop.server_end->blocked = true;
        door_answer(&d, large);
        fake_run(&d.loop);
    }
    free(large);
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_OK], 3);
    assert_int_equal(door_traffic(&d).handled[OAK_RPC_RESOURCE_EXHAUSTED], 1);
    for (size_t i = 0; i < OAK_COUNT_OF(clients); i++) {
        fake_close(&clients[i]->base, true);
    }
    d.client = NULL;
    door_close(&d);
}

/* One that reads slowly is served to the end. */
static void test_reader_recovers(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    size_t size = 1 * OAK_MIB;
    char *large = large_text(size);
    door_send(&d, LATER);
    d.loop.server_end->blocked = true;
    door_answer(&d, large);
    free(large);
    fake_run(&d.loop);
    door_send(&d, HI);
    assert_int_equal(d.said, 1);
    fake_advance(&d.loop, 20 * SECOND);
    d.loop.server_end->blocked = false;
    fake_run(&d.loop);
    assert_int_equal(d.said, 2);
    assert_true(d.got.size > size);
    fake_advance(&d.loop, 60 * SECOND);
    assert_false(d.closed);
    door_close(&d);
}

static void test_times(void **state)
{
    (void)state;
    const struct oak_jsonrpc_options options = {.timeout_ns = 5 * SECOND, .idle_ns = 400 * SECOND};
    struct door d;
    door_open(&d, &options);
    /* a call */
    door_send(&d, LATER);
    fake_advance(&d.loop, 3 * SECOND);
    door_send(&d, LATER);
    fake_advance(&d.loop, 2 * SECOND);
    door_expect(&d, NEW "\"error\":{\"code\":-32004,\"message\":\"context deadline exceeded\","
                        "\"data\":{\"code\":4,\"status\":\"DeadlineExceeded\"}},\"id\":1}\n");
    door_answer(&d, "too late"); /* goes nowhere */
    fake_run(&d.loop);
    door_expect(&d, "");
    door_answer(&d, "hi");
    fake_run(&d.loop);
    door_expect(&d, SAID);
    /* a request that doesn't end */
    door_send(&d, "{\"method\":");
    fake_advance(&d.loop, 119 * SECOND);
    door_send(&d, "\"Echo");
    assert_false(d.closed);
    fake_advance(&d.loop, 1 * SECOND);
    door_expect(&d,
                NEW "\"error\":{\"code\":-32600,\"message\":\"the request did not come whole in "
                    "time\"},\"id\":null}\n");
    assert_true(d.closed);
    /* nothing at all */
    door_connect(&d);
    fake_advance(&d.loop, 399 * SECOND);
    door_ask(&d, HI, SAID);
    fake_advance(&d.loop, 399 * SECOND);
    assert_false(d.closed);
    fake_advance(&d.loop, 1 * SECOND);
    assert_true(d.closed);
    door_close(&d);
}

static void test_gone(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    door_send(&d, LATER LATER);
    door_hang_up(&d);
    struct oak_jsonrpc_traffic t = door_traffic(&d);
    assert_int_equal(t.abandoned, 2);
    assert_int_equal(t.handled[OAK_RPC_CANCELLED], 2);
    assert_null(oak_stub_rpc(d.later[0]));
    door_close(&d); /* answers them: nobody hears it */
}

static void test_connections(void **state)
{
    (void)state;
    const struct oak_jsonrpc_options options = {.connections_max = 1};
    struct door d;
    door_open(&d, &options);
    struct fake_stream *first = d.client;
    assert_int_equal(fake_connect(&d.loop, "fake:1", SECOND, door_connected, &d), 0);
    fake_run(&d.loop);
    assert_true(d.refused);
    assert_true(d.closed);
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 1);
    d.client = first;
    door_close(&d);
}

static void test_drain(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    door_send(&d, LATER);
    struct fake_stream *busy = d.client;
    door_connect(&d);
    oak_jsonrpc_server_drain(d.door, 10 * SECOND);
    fake_run(&d.loop);
    assert_true(d.closed); /* the idle one */
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 1);
    d.client = busy;
    door_send(&d, HI);
    assert_int_equal(d.said, 1);
    door_answer(&d, "hi");
    fake_run(&d.loop);
    door_expect(&d, SAID);
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 0);
    door_connect(&d);
    assert_true(d.refused);
    door_close(&d);
    /* and one whose call doesn't end */
    door_open(&d, NULL);
    door_send(&d, LATER);
    oak_jsonrpc_server_drain(d.door, 10 * SECOND);
    fake_advance(&d.loop, 9 * SECOND);
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 1);
    fake_advance(&d.loop, 1 * SECOND);
    assert_int_equal(oak_jsonrpc_server_connections(d.door), 0);
    door_close(&d);
}

/* -- methods that are no stubs ----------------------------------------------------------------- */

struct raw {
    struct oak_rpc_call *call;
    struct oak_rpc_follower follower;
    int messages;
    int halves;
    int closed;
    int ended;
    bool second; /* a second answer was refused */
    bool early;  /* finish within the message */
};

static void raw_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct raw *r = user;
    r->messages++;
    assert_int_equal(oak_rpc_call_send(call, bytes), 0);
    r->second = oak_rpc_call_send(call, bytes) == OAK_ELIMIT;
    if (r->early) {
        oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
    }
}

static void raw_half_closed(void *user, struct oak_rpc_call *call)
{
    ((struct raw *)user)->halves++;
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
    assert_int_equal(oak_rpc_call_send(call, oak_bytes(NULL, 0)), OAK_ECLOSED);
    oak_rpc_call_finish(call, OAK_RPC_ABORTED, NULL); /* too late */
}

static void raw_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct raw *r = user;
    r->closed++;
    assert_int_equal(status->code, OAK_RPC_OK);
    assert_int_equal(r->ended, 0);
}

static void raw_ended(struct oak_rpc_follower *follower)
{
    OAK_CONTAINER_OF(follower, struct raw, follower)->ended++;
}

static const struct oak_rpc_handler raw_handler = {
    .message = raw_message, .half_closed = raw_half_closed, .closed = raw_closed};

static void raw_start(void *user, struct oak_rpc_call *call)
{
    struct raw *r = user;
    r->call = call;
    r->follower.ended = raw_ended;
    oak_rpc_call_handle(call, &raw_handler, r);
    oak_rpc_call_pause(call, true);
    assert_int_equal(oak_rpc_call_follow(call, &r->follower), 0);
    assert_null(oak_rpc_call_metadata(call, "x").data);
    assert_null(oak_rpc_call_identity(call));
}

/* A method that holds its request back, and is followed. */
static void test_raw(void **state)
{
    (void)state;
    struct raw r = {0};
    struct door d;
    door_open(&d, NULL);
    const struct oak_rpc_method_stats *stats;
    assert_true(oak_rpc_server_stats(d.server, &stats) > 0);
    struct oak_rpc_method method = *stats[0].method;
    method.service = "raw.Echo";
    method.start = raw_start;
    method.user = &r;
    method.release = NULL;
    assert_int_equal(oak_rpc_server_add(d.server, &method), 0);
    door_ask(&d, NEW "\"method\":\"raw.Echo.Say\",\"params\":{\"text\":\"hi\"},\"id\":1}", "");
    assert_int_equal(r.messages, 0);
    oak_rpc_call_pause(r.call, false);
    fake_run(&d.loop);
    door_expect(&d, SAID);
    assert_true(r.messages == 1 && r.halves == 1 && r.closed == 1 && r.ended == 1 && r.second);
    r = (struct raw){.early = true}; /* then there is no more to be told */
    door_ask(&d, NEW "\"method\":\"raw.Echo.Say\",\"params\":{\"text\":\"hi\"},\"id\":1}", "");
    oak_rpc_call_pause(r.call, false);
    fake_run(&d.loop);
    door_expect(&d, SAID);
    assert_true(r.messages == 1 && r.halves == 0 && r.closed == 1 && r.ended == 1);
    door_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_json),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_too_much_of_all),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_slow_readers),
        cmocka_unit_test(test_answers_of_one_round),
        cmocka_unit_test(test_reader_recovers),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_raw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
