/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c: clients that want too much, and bytes that nobody meant. */
#include "transcode/test_gate.h"

#include "base/prng.h"

static void what_is_nested_too_deep_is_refused(void **state)
{
    (void)state;
    struct gate g;
    struct oak_buf body = {0};
    gate_open(&g, NULL);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(oak_buf_append(&body, "{\"inner\":", 9), 0);
    }
    gate_send(&g, "POST", "/v3/say", "", oak_buf_bytes(&body));
    gate_expect(&g, 429,
                "{\"error\":\"the message is nested too deep\","
                "\"message\":\"the message is nested too deep\",\"code\":8}");
    /* As text it is as deep as may be, as protobuf it is what the methods take. */
    oak_buf_clear(&body);
    for (int i = 0; i < OAK_JSON_DEPTH_MAX - 1; i++) {
        assert_int_equal(oak_buf_append(&body, "{\"inner\":", 9), 0);
    }
    assert_int_equal(oak_buf_append(&body, "{}", 2), 0);
    for (int i = 0; i < OAK_JSON_DEPTH_MAX - 1; i++) {
        assert_int_equal(oak_buf_append(&body, "}", 1), 0);
    }
    gate_send(&g, "POST", "/v3/say", "", oak_buf_bytes(&body));
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 200 OK"));
    oak_buf_fini(&body);
    gate_close(&g);
}

static void a_message_that_is_too_large_is_refused_as_by_grpc(void **state)
{
    (void)state;
    struct gate g;
    const struct oak_transcode_options limits = {.request_bytes_max = 100};
    char body[512];
    gate_open(&g, &limits);
    snprintf(body, sizeof(body), "{\"text\":\"%098d\"}", 0);
    gate_post(&g, "/v3/say", body);
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 200 OK"));
    oak_buf_clear(&g.got);
    snprintf(body, sizeof(body), "{\"text\":\"%099d\"}", 0);
    gate_ask(&g, "/v3/say", body, 429,
             "{\"error\":\"grpc: received message larger than max (101 vs. 100)\","
             "\"message\":\"grpc: received message larger than max (101 vs. 100)\",\"code\":8}");
    assert_int_equal(g.said, 1);
    gate_close(&g);
}

static void an_answer_that_is_too_large_is_an_error(void **state)
{
    (void)state;
    struct gate g;
    const struct oak_transcode_options limits = {.reply_bytes_max = 100};
    char body[512];
    gate_open(&g, &limits);
    /* As a message it would do, as text it doesn't. */
    snprintf(body, sizeof(body), "{\"text\":\"%085d\"}", 0);
    gate_post(&g, "/v3/say", body);
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 200 OK"));
    oak_buf_clear(&g.got);
    snprintf(body, sizeof(body), "{\"text\":\"%095d\"}", 0);
    gate_ask(&g, "/v3/say", body, 429,
             "{\"error\":\"the answer is too large\",\"message\":\"the answer is too large\","
             "\"code\":8}");
    assert_int_equal(g.code, OAK_RPC_RESOURCE_EXHAUSTED);
    /* In the middle of a stream. */
    char two[600];
    snprintf(two, sizeof(two), "{\"text\":\"a\"}%s", body);
    gate_ask(
        &g, "/v3/talk", two, 200,
        "{\"result\":{\"text\":\"a\"}}\n"
        "{\"error\":{\"grpc_code\":8,\"http_code\":429,\"message\":\"the answer is too large\","
        "\"http_status\":\"Too Many Requests\",\"code\":8}}\n");
    gate_close(&g);
}

static void what_is_held_of_all_answers_is_bounded(void **state)
{
    (void)state;
    struct gate g;
    const struct oak_transcode_options limits = {.held_bytes_max = 4000};
    char body[4096];
    gate_open(&g, &limits);
    snprintf(body, sizeof(body), "{\"text\":\"%01000d\"}", 0);
    gate_post(&g, "/v3/say", body);
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 200 OK"));
    oak_buf_clear(&g.got);
    snprintf(body, sizeof(body), "{\"text\":\"%03900d\"}", 0);
    gate_post(&g, "/v3/say", body);
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 429 "));
    oak_buf_clear(&g.got);
    /* Nothing is held any more. */
    gate_ask(&g, "/v3/say", "{\"text\":\"a\"}", 200, "{\"text\":\"a\"}");
    /* Two that would do alone. */
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.blob.data = (uint8_t *)body;
    response.blob.len = 1500;
    gate_post(&g, "/v3/say", "{\"text\":\"later\"}");
    struct fake_stream *first = g.client;
    gate_connect(&g);
    gate_post(&g, "/v3/say", "{\"text\":\"later\"}");
    struct oak_stub_call *calls[] = {g.laters[0], g.laters[1]};
    assert_int_equal(demo__v1__echo__say__reply(calls[0], &response), 0);
    response.blob.len = 3000;
    assert_int_equal(demo__v1__echo__say__reply(calls[1], &response), OAK_ELIMIT);
    fake_run(&g.loop);
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 200 OK"));
    assert_non_null(strstr(gate_got(&g), "HTTP/1.1 429 "));
    fake_close(&first->base, true);
    gate_close(&g);
}

static void too_many_calls_are_refused(void **state)
{
    (void)state;
    struct gate g;
    const struct oak_transcode_options limits = {.calls_max = 1};
    gate_open(&g, &limits);
    gate_post(&g, "/v3/say", "{\"text\":\"later\"}");
    struct fake_stream *first = g.client;
    gate_connect(&g);
    struct fake_stream *second = g.client;
    gate_ask(&g, "/v3/say", "{}", 503,
             "{\"error\":\"the server is working on too many calls\","
             "\"message\":\"the server is working on too many calls\",\"code\":14}");
    fake_close(&first->base, true);
    fake_run(&g.loop);
    g.client = second;
    gate_ask(&g, "/v3/say", "{}", 200, "{}");
    gate_close(&g);
}

static void send_in_pieces(struct gate *g, struct oak_prng *prng, struct oak_buf *text)
{
    size_t at = 0;
    while (at < text->size && g->client != NULL) {
        size_t size = 1 + (size_t)oak_prng_below(prng, 40);
        size = OAK_MIN(size, text->size - at);
        OAK_MAYBE(fake_write(&g->client->base, oak_bytes(text->data + at, size)) != 0);
        at += size;
        if (oak_prng_below(prng, 3) == 0) {
            fake_run(&g->loop);
        }
    }
    fake_run(&g->loop);
}

/* Requests with bytes changed here and there, in pieces, by clients that stop reading or go. */
static void bytes_that_nobody_meant(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"text\":\"a\",\"numbers\":[\"1\",-2,3e2],\"inner\":{\"blob\":\"AAECAw==\"}}",
        "{\"text\":\"a\"}\n{\"text\":\"\\u00e4\\ud83d\\ude00\"} {\"text\":\"fail\"}",
        "{\"count\":30}",
        "{\"text\":\"later\"}",
    };
    static const char *const paths[] = {"say", "talk", "tell", "gather", "none"};
    struct gate g;
    struct oak_prng prng;
    oak_prng_init(&prng, 7);
    gate_open(&g, NULL);
    for (int round = 0; round < 4000; round++) {
        struct oak_buf text = {0};
        const char *body = bodies[oak_prng_below(&prng, OAK_COUNT_OF(bodies))];
        assert_int_equal(
            oak_buf_printf(&text,
                           "POST /v3/%s HTTP/1.1\r\nHost: a\r\nGrpc-Timeout: 9S\r\n"
                           "Grpc-Metadata-x-bin: AAAA\r\nContent-Length: %zu\r\n\r\n%s",
                           paths[oak_prng_below(&prng, OAK_COUNT_OF(paths))], strlen(body), body),
            0);
        for (uint64_t n = oak_prng_below(&prng, 4); n > 0; n--) {
            text.data[oak_prng_below(&prng, text.size)] = (uint8_t)oak_prng_below(&prng, 256);
        }
        if (g.client == NULL) {
            gate_connect(&g);
        }
        g.server_end->blocked = oak_prng_below(&prng, 4) == 0;
        send_in_pieces(&g, &prng, &text);
        oak_buf_fini(&text);
        if (oak_prng_below(&prng, 4) == 0) {
            gate_hang_up(&g);
        }
        fake_advance(&g.loop, 10 * SECOND); /* no call is left behind its deadline */
        if (g.client != NULL && oak_prng_below(&prng, 2) == 0) {
            gate_hang_up(&g);
        }
        oak_buf_clear(&g.got);
        if (g.loop.stream_count + 4 > OAK_COUNT_OF(g.loop.streams)) {
            gate_hang_up(&g);
            gate_close(&g);
            gate_open(&g, NULL);
        }
    }
    gate_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_nested_too_deep_is_refused),
        cmocka_unit_test(a_message_that_is_too_large_is_refused_as_by_grpc),
        cmocka_unit_test(an_answer_that_is_too_large_is_an_error),
        cmocka_unit_test(what_is_held_of_all_answers_is_bounded),
        cmocka_unit_test(too_many_calls_are_refused),
        cmocka_unit_test(bytes_that_nobody_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
