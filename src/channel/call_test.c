/* SPDX-License-Identifier: Apache-2.0 */
/* call_test.c: what a user may do with a call of a channel, and what it is told. */
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define REQUEST (struct oak_rpc_request)

static void ready(struct world *w, struct oak_channel_options o)
{
    world_open(w, "a:1", o);
    oak_channel_connect(w->channel);
    pass(w, 2 * SECOND);
    assert_int_equal(oak_channel_state(w->channel), READY);
}

static int peer_heard(struct world *w, const char *start)
{
    return script_heard(&peer_of(w, 0)->s, start, NULL);
}

/* -- sending ----------------------------------------------------------------------------------- */

static void what_is_sent_before_there_is_a_connection_arrives_in_order(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "a:1", OPTIONS{0});
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    send_text(r.call, "1");
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(NULL, 0)), 0);
    send_text(r.call, "333");
    assert_int_equal(oak_rpc_call_queued(r.call), 3 * 5 + 4);
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 1 19\n"), 1);
    assert_int_equal(oak_rpc_call_queued(r.call), 0);
    oak_rpc_call_half_close(r.call);
    oak_rpc_call_half_close(r.call);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes_str("x")), OAK_ECLOSED);
    assert_null(oak_rpc_call_send_into(r.call, 1));
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 1 0 END"), 1);
    answer(&w, 0, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void fill(struct recorder *r, const char *text)
{
    uint8_t *to = oak_rpc_call_send_into(r->call, strlen(text));
    assert_non_null(to);
    memcpy(to, text, strlen(text));
}

static void a_message_may_be_filled_after_it_was_begun(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    fill(&r, "1");
    run(&w); /* the turn takes it along */
    assert_int_equal(peer_heard(&w, "DATA 1 6\n"), 1);
    fill(&r, "22");
    fill(&r, "333");
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 1 15\n"), 1);
    fill(&r, "4444");
    script_head(&peer_of(&w, 0)->s, 1); /* the answer begins: from here on nothing is kept */
    say(&w, 0);
    assert_int_equal(peer_heard(&w, "DATA 1 9\n"), 1);
    fill(&r, "55555");
    oak_rpc_call_half_close(r.call);
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 1 10 END\n"), 1);
    script_message(&peer_of(&w, 0)->s, 1, "hi");
    script_tail(&peer_of(&w, 0)->s, 1, "0");
    say(&w, 0);
    ended(&r, OAK_RPC_OK);
    assert_int_equal(begin(&w, REQUEST{0}, &r), 0);
    fill(&r, "unary");
    oak_rpc_call_half_close(r.call);
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 3 10 END\n"), 1);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void a_producer_is_told_when_to_stop_and_to_go_on(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    uint8_t *block = calloc(1, 100000);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 100000)), 0);
    }
    free(block);
    run(&w);
    assert_true(oak_rpc_call_queued(r.call) > OAK_RPC_QUEUE_HIGH_BYTES);
    assert_true(oak_rpc_call_owed(r.call));
    assert_int_equal(r.writable, 0);
    uint8_t more[4] = {0, 16, 0, 0};
    script_frame(&peer_of(&w, 0)->s, NGHTTP2_WINDOW_UPDATE, 0, 0, more, 4);
    script_frame(&peer_of(&w, 0)->s, NGHTTP2_WINDOW_UPDATE, 0, 1, more, 4);
    say(&w, 0);
    assert_int_equal(r.writable, 1);
    assert_int_equal(oak_rpc_call_queued(r.call), 0);
    assert_false(oak_rpc_call_owed(r.call));
    assert_int_equal(oak_rpc_call_moved_ns(r.call), w.loop.now_ns);
    oak_rpc_call_cancel(r.call);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    world_close(&w);
}

static void what_waits_for_a_connection_is_bounded(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "a:1", OPTIONS{.rpc.send_bytes_max = 5000000});
    assert_int_equal(begin(&w, REQUEST{0}, &r), 0);
    uint8_t *block = calloc(1, 5000001);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 5000001)), OAK_ELIMIT);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 5000000)), 0);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 5000000)), 0);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 1)), OAK_ELIMIT);
    struct recorder others[7];
    for (size_t i = 0; i < 7; i++) { /* and all together */
        assert_int_equal(begin(&w, REQUEST{0}, &others[i]), 0);
        (void)!oak_rpc_call_send(others[i].call, oak_bytes(block, 5000000));
        (void)!oak_rpc_call_send(others[i].call, oak_bytes(block, 5000000));
    }
    assert_int_equal(oak_rpc_call_queued(others[6].call), 0);
    free(block);
    world_close(&w);
    ended(&r, OAK_RPC_CANCELLED);
    for (size_t i = 0; i < 7; i++) {
        ended(&others[i], OAK_RPC_CANCELLED);
    }
}

static void how_much_may_wait_for_a_connection_can_be_said(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[2];
    world_open(&w, "a:1", OPTIONS{.waiting_bytes_max = 20}); /* five go before each message */
    assert_int_equal(begin(&w, REQUEST{0}, &r[0]), 0);
    assert_int_equal(begin(&w, REQUEST{0}, &r[1]), 0);
    assert_int_equal(oak_rpc_call_send(r[0].call, oak_bytes_str("0123456789012345")), OAK_ELIMIT);
    send_text(r[0].call, "01234");
    send_text(r[1].call, "01234");
    assert_int_equal(oak_rpc_call_send(r[1].call, oak_bytes(NULL, 0)), OAK_ELIMIT);
    world_close(&w);
    ended(&r[0], OAK_RPC_CANCELLED);
    ended(&r[1], OAK_RPC_CANCELLED);
}

static void packed_messages_are_packed_again_for_each_attempt(void **state)
{
    (void)state;
    static const char config[] =
        "{\"methodConfig\":[{\"name\":[{}],\"retryPolicy\":{\"maxAttempts\":3,"
        "\"initialBackoff\":\"0.1s\",\"maxBackoff\":\"1s\",\"backoffMultiplier\":1,"
        "\"retryableStatusCodes\":[14]}}]}";
    struct world w;
    struct recorder r;
    char text[501] = "";
    memset(text, 'a', 500);
    ready(&w, OPTIONS{.service_config = config});
    assert_int_equal(begin(&w, REQUEST{.encoding = OAK_RPC_GZIP, .kind = OAK_RPC_BIDI}, &r), 0);
    oak_rpc_call_compress_messages(r.call, false);
    send_text(r.call, text);
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 1 505\n"), 1);
    oak_rpc_call_compress_messages(r.call, true);
    send_text(r.call, text);
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 1 "), 2);
    assert_int_equal(peer_heard(&w, "DATA 1 505\n"), 1); /* the second is small */
    script_refuse(&peer_of(&w, 0)->s, 1, "14", NULL, NULL);
    say(&w, 0);
    pass(&w, SECOND);
    assert_int_equal(heard(&w, 0, 3, "grpc-encoding=gzip"), 1);
    assert_int_equal(peer_heard(&w, "DATA 3 5"), 1); /* 505 and some */
    assert_int_equal(peer_heard(&w, "DATA 3 1010"), 0);
    assert_false(oak_rpc_call_compressed(r.call));
    script_head(&peer_of(&w, 0)->s, 3);
    say(&w, 0);
    oak_rpc_call_compress_messages(r.call, false);
    send_text(r.call, text);
    run(&w);
    assert_int_equal(peer_heard(&w, "DATA 3 505\n"), 1);
    script_tail(&peer_of(&w, 0)->s, 3, "0");
    say(&w, 0);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

/* -- the answer -------------------------------------------------------------------------------- */

static void what_is_asked_of_a_call_is_its_answers(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    ask(&w, &r);
    run(&w);
    struct oak_bytes none = oak_rpc_call_metadata(r.call, "x-test-initial");
    assert_null(none.data);
    assert_string_equal(oak_rpc_call_peer(r.call), "");
    assert_true(oak_bytes_eq(oak_rpc_call_path(r.call), oak_bytes_str("/t.Echo/Unary")));
    assert_int_equal(oak_rpc_call_deadline_ns(r.call), w.loop.now_ns + 5 * SECOND);
    const struct script_field fields[] = {
        {":status", "200"}, {"content-type", "application/grpc"}, {"x-test-initial", "first"}};
    script_fields(&peer_of(&w, 0)->s, 1, 0, fields, 3);
    say(&w, 0);
    assert_string_equal(r.initial, "first");
    assert_int_equal(r.headers, 1);
    assert_string_equal(oak_rpc_call_peer(r.call), "10.0.0.1:80");
    assert_true(oak_bytes_eq(oak_rpc_call_authority(r.call), oak_bytes_str("a:1")));
    assert_null(oak_rpc_call_identity(r.call));
    struct oak_rpc_pair pair;
    size_t at = 0;
    bool found = false;
    while (oak_rpc_call_metadata_next(r.call, OAK_RPC_HEADERS, &at, &pair)) {
        found = found || oak_bytes_eq(pair.value, oak_bytes_str("first"));
    }
    assert_true(found);
    script_message(&peer_of(&w, 0)->s, 1, "hi");
    const struct script_field tail[] = {
        {"grpc-status", "9"}, {"grpc-message", "so not"}, {"x-test-trailing-bin", "AQI"}};
    script_fields(&peer_of(&w, 0)->s, 1, SCRIPT_END_STREAM, tail, 3);
    say(&w, 0);
    assert_true(recorded(&r, "hi"));
    assert_string_equal(r.text, "so not");
    assert_int_equal(r.trailing_size, 2);
    ended(&r, OAK_RPC_FAILED_PRECONDITION);
    world_close(&w);
}

static void a_paused_call_is_given_nothing(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    ask(&w, &r);
    oak_rpc_call_pause(r.call, true);
    run(&w);
    answer(&w, 0, 1);
    pass(&w, 4 * SECOND); /* nor does anybody owe it anything */
    assert_int_equal(r.messages, 0);
    assert_int_equal(r.closed, 0);
    oak_rpc_call_pause(r.call, false);
    run(&w);
    assert_int_equal(r.messages, 1);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
    world_open(&w, "a:1", OPTIONS{0}); /* and before there is a connection */
    ask(&w, &r);
    oak_rpc_call_pause(r.call, true);
    run(&w);
    answer(&w, 0, 1);
    assert_int_equal(r.messages, 0);
    oak_rpc_call_pause(r.call, false);
    run(&w);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void messages_keep_to_the_limits_of_the_config(void **state)
{
    (void)state;
    static const char config[] = "{\"methodConfig\":[{\"name\":[{}],\"maxRequestMessageBytes\":5,"
                                 "\"maxResponseMessageBytes\":3}]}";
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{.service_config = config});
    ask(&w, &r);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes_str("123456")), OAK_ECLOSED);
    run(&w);
    script_head(&peer_of(&w, 0)->s, 1);
    script_message(&peer_of(&w, 0)->s, 1, "123");
    script_message(&peer_of(&w, 0)->s, 1, "1234");
    say(&w, 0);
    assert_true(recorded(&r, "123"));
    assert_non_null(strstr(r.text, "larger than max (4 vs. 3)"));
    ended(&r, OAK_RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(peer_heard(&w, "RST_STREAM 1 8"), 1);
    assert_int_equal(begin(&w, REQUEST{0}, &r), 0);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes_str("123456")), OAK_ELIMIT);
    oak_rpc_call_cancel(r.call);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    world_close(&w);
}

/* -- cancelling -------------------------------------------------------------------------------- */

static void cancelled_a_call_ends_wherever_it_is(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, "a:1", OPTIONS{0});
    ask(&w, &r);
    oak_rpc_call_cancel(r.call);
    oak_rpc_call_cancel(r.call);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes_str("x")), OAK_ECLOSED);
    assert_int_equal(r.closed, 0);
    run(&w);
    assert_string_equal(r.text, "call canceled");
    ended(&r, OAK_RPC_CANCELLED);
    assert_int_equal(stats(&w).attempts, 0);
    oak_channel_connect(w.channel);
    run(&w);
    ask(&w, &r);
    run(&w);
    oak_rpc_call_cancel(r.call);
    assert_int_equal(r.closed, 0);
    run(&w);
    ended(&r, OAK_RPC_CANCELLED);
    assert_int_equal(peer_heard(&w, "RST_STREAM 1 8"), 1);
    ask(&w, &r);
    r.cancel_on_message = true; /* from inside a callback */
    run(&w);
    answer(&w, 0, 3);
    ended(&r, OAK_RPC_CANCELLED);
    world_close(&w);
}

/* -- time -------------------------------------------------------------------------------------- */

/* How long a call that nobody answers lasts, in milliseconds; 0: for ever. */
static int lasts(struct world *w, struct oak_rpc_request request)
{
    struct recorder r;
    ask_with(w, request, &r);
    int ms = 0;
    while (r.closed == 0 && ms < 20000) {
        pass(w, SECOND / 10);
        ms += 100;
    }
    if (r.closed == 0) {
        oak_rpc_call_cancel(r.call);
        run(w);
        ms = 0;
    }
    recorder_fini(&r);
    return ms;
}

static void a_call_lasts_as_long_as_it_is_said_to(void **state)
{
    (void)state;
    static const char config[] =
        "{\"methodConfig\":[{\"name\":[{\"service\":\"t.Short\"}],\"timeout\":\"2s\"},"
        "{\"name\":[{\"service\":\"t.Long\"}],\"timeout\":\"8s\"}]}";
    struct world w;
    const uint64_t never_ns = OAK_RPC_NEVER_NS;
    ready(&w, OPTIONS{.service_config = config, .progress_timeout_ns = never_ns});
    assert_int_equal(lasts(&w, REQUEST{0}), 5000);
    assert_int_equal(lasts(&w, REQUEST{.timeout_ns = SECOND}), 1000);
    assert_int_equal(lasts(&w, REQUEST{.timeout_ns = 9 * SECOND}), 9000);
    assert_int_equal(lasts(&w, REQUEST{.timeout_ns = never_ns}), 0);
    assert_int_equal(lasts(&w, REQUEST{.kind = OAK_RPC_SERVER_STREAM}), 0);
    assert_int_equal(lasts(&w, REQUEST{.kind = OAK_RPC_BIDI, .timeout_ns = SECOND}), 1000);
    assert_int_equal(lasts(&w, REQUEST{.service = "t.Short"}), 2000);
    assert_int_equal(lasts(&w, REQUEST{.service = "t.Short", .timeout_ns = SECOND}), 1000);
    assert_int_equal(lasts(&w, REQUEST{.service = "t.Short", .timeout_ns = never_ns}), 2000);
    assert_int_equal(lasts(&w, REQUEST{.service = "t.Long"}), 8000);
    assert_int_equal(lasts(&w, REQUEST{.service = "t.Long", .timeout_ns = 9 * SECOND}), 8000);
    world_close(&w);
    ready(&w, OPTIONS{.call_timeout_ns = never_ns, .progress_timeout_ns = never_ns});
    assert_int_equal(lasts(&w, REQUEST{0}), 0);
    world_close(&w);
}

static void a_call_ends_when_what_is_owed_does_not_move(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    const uint64_t never_ns = OAK_RPC_NEVER_NS;
    ready(&w, OPTIONS{0});
    assert_int_equal(lasts(&w, REQUEST{0}), 3000);
    assert_int_equal(lasts(&w, REQUEST{.progress_ns = SECOND}), 1000);
    assert_int_equal(lasts(&w, REQUEST{.progress_ns = never_ns}), 5000);
    assert_int_equal(lasts(&w, REQUEST{.kind = OAK_RPC_CLIENT_STREAM}), 3000);
    assert_int_equal(lasts(&w, REQUEST{.kind = OAK_RPC_SERVER_STREAM}), 0); /* may be silent */
    assert_int_equal(peer_heard(&w, "RST_STREAM 1 8"), 1);
    ask_with(&w, REQUEST{.idempotent = true}, &r);
    pass(&w, 3 * SECOND);
    assert_int_equal(r.closed, 0);
    pass(&w, 3 * SECOND / 2);
    assert_int_equal(stats(&w).retries, 1);
    script_answer(&peer_of(&w, 0)->s, 13, "hi");
    say(&w, 0);
    ended(&r, OAK_RPC_OK);
    world_close(&w);
}

static void progress_is_whatever_moves(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    ready(&w, OPTIONS{0});
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_SERVER_STREAM}, &r), 0);
    oak_rpc_call_half_close(r.call);
    pass(&w, 60 * SECOND);
    script_head(&peer_of(&w, 0)->s, 1);
    script_frame(&peer_of(&w, 0)->s, NGHTTP2_DATA, 0, 1, "\0\0\0\0\5", 5);
    say(&w, 0);
    for (int i = 0; i < 4; i++) { /* a byte every two seconds will do */
        pass(&w, 2 * SECOND);
        script_frame(&peer_of(&w, 0)->s, NGHTTP2_DATA, 0, 1, "x", 1);
        say(&w, 0);
    }
    pass(&w, 3 * SECOND - 1);
    assert_int_equal(r.closed, 0);
    pass(&w, 1);
    assert_string_equal(r.text, "nothing has moved for too long");
    ended(&r, OAK_RPC_UNAVAILABLE);
    /* What waits for the server to make room for it moves not at all. */
    assert_int_equal(begin(&w, REQUEST{.kind = OAK_RPC_BIDI}, &r), 0);
    uint8_t *block = calloc(1, 100000);
    assert_int_equal(oak_rpc_call_send(r.call, oak_bytes(block, 100000)), 0);
    free(block);
    pass(&w, 3 * SECOND - 1);
    assert_int_equal(r.closed, 0);
    pass(&w, 1);
    ended(&r, OAK_RPC_UNAVAILABLE);
    world_close(&w);
}

static void a_call_ends_with_the_one_for_whose_sake_it_is_made(void **state)
{
    (void)state;
    struct world w;
    struct recorder parent;
    struct recorder child;
    struct recorder late;
    ready(&w, OPTIONS{0});
    ask_with(&w, REQUEST{.timeout_ns = 2 * SECOND}, &parent);
    struct oak_rpc_call *call = parent.call;
    ask_with(&w, REQUEST{.parent = call, .timeout_ns = 4 * SECOND}, &child);
    run(&w);
    assert_int_equal(oak_rpc_call_deadline_ns(child.call), oak_rpc_call_deadline_ns(call));
    answer(&w, 0, 1);
    ended(&parent, OAK_RPC_OK);
    ended(&child, OAK_RPC_CANCELLED);
    assert_int_equal(peer_heard(&w, "RST_STREAM 3 8"), 1);
    ask(&w, &parent);
    run(&w);
    script_goaway(&peer_of(&w, 0)->s, 5, NGHTTP2_NO_ERROR, "");
    w.all_refuse = true;
    say(&w, 0);
    ask_with(&w, REQUEST{.parent = parent.call, .wait_for_ready = true}, &late);
    run(&w);
    assert_int_equal(late.closed, 0); /* it has no connection yet */
    answer(&w, 0, 5);
    ended(&parent, OAK_RPC_OK);
    ended(&late, OAK_RPC_CANCELLED);
    world_close(&w);
}

/* -- limits ------------------------------------------------------------------------------------ */

static void what_can_t_be_sent_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    char *text = calloc(1, 70001);
    memset(text, 'a', 70000);
    struct oak_rpc_pair large = {oak_bytes_str("x-large"), oak_bytes_str(text)};
    struct oak_rpc_pair bad = {oak_bytes_str("Not Lower"), oak_bytes_str("x")};
    world_open(&w, "a:1", OPTIONS{0});
    assert_int_equal(begin(&w, REQUEST{.metadata = &large, .metadata_count = 1}, &r), OAK_ELIMIT);
    assert_int_equal(begin(&w, REQUEST{.method = text}, &r), OAK_ELIMIT);
    free(text);
    assert_int_equal(begin(&w, REQUEST{.metadata = &bad, .metadata_count = 1}, &r), 0);
    run(&w);
    assert_string_equal(r.text, "invalid metadata");
    ended(&r, OAK_RPC_INTERNAL);
    assert_int_equal(begin(&w, REQUEST{.metadata = &bad, .metadata_count = 1}, &r), OAK_EINVAL);
    assert_int_equal(stats(&w).calls_waiting, 0);
    world_close(&w);
}

/* -- from inside callbacks --------------------------------------------------------------------- */

struct chain {
    struct world *w;
    int left;
    int closed;
};

static void chain_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)call;
    (void)b;
}

static void chain_closed(void *user, struct oak_rpc_call *call,
                         const struct oak_rpc_status *status);
static const struct oak_rpc_handler chain_handler = {.message = chain_message,
                                                     .closed = chain_closed};

static void chain_ask(struct chain *c)
{
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Unary", .handler = &chain_handler, .user = c};
    struct oak_rpc_call *call;
    assert_int_equal(oak_channel_call(c->w->channel, &request, &call), 0);
    oak_rpc_call_half_close(call);
}

static void chain_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct chain *c = user;
    assert_int_equal(status->code, OAK_RPC_UNAVAILABLE);
    c->closed++;
    if (c->left-- > 0) {
        chain_ask(c);
    }
}

static void a_call_may_be_made_where_another_one_ends(void **state)
{
    (void)state;
    struct world w;
    ready(&w, OPTIONS{0});
    struct chain c = {.w = &w, .left = 3};
    chain_ask(&c);
    for (uint32_t id = 1; id <= 5; id += 2) {
        run(&w);
        script_refuse(&peer_of(&w, 0)->s, id, "14", NULL, NULL);
        say(&w, 0);
    }
    assert_int_equal(c.closed, 3);
    w.all_refuse = true;
    c.left = 5;
    hang_up(&w, 0); /* and where they fail because nothing can be connected to */
    assert_int_equal(c.closed, 3 + 6);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_before_there_is_a_connection_arrives_in_order),
        cmocka_unit_test(a_message_may_be_filled_after_it_was_begun),
        cmocka_unit_test(a_producer_is_told_when_to_stop_and_to_go_on),
        cmocka_unit_test(what_waits_for_a_connection_is_bounded),
        cmocka_unit_test(how_much_may_wait_for_a_connection_can_be_said),
        cmocka_unit_test(packed_messages_are_packed_again_for_each_attempt),
        cmocka_unit_test(what_is_asked_of_a_call_is_its_answers),
        cmocka_unit_test(a_paused_call_is_given_nothing),
        cmocka_unit_test(messages_keep_to_the_limits_of_the_config),
        cmocka_unit_test(cancelled_a_call_ends_wherever_it_is),
        cmocka_unit_test(a_call_lasts_as_long_as_it_is_said_to),
        cmocka_unit_test(a_call_ends_when_what_is_owed_does_not_move),
        cmocka_unit_test(progress_is_whatever_moves),
        cmocka_unit_test(a_call_ends_with_the_one_for_whose_sake_it_is_made),
        cmocka_unit_test(what_can_t_be_sent_is_refused),
        cmocka_unit_test(a_call_may_be_made_where_another_one_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
