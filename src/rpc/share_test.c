/* SPDX-License-Identifier: Apache-2.0 */
/* share_test.c: bytes that many calls send, and that are held once. */
#include <stdio.h>

#include "rpc/test_pair.h"
#include "rpc/test_loop.h"

enum { CALLS = 6, TAIL_MAX = 200000 };

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *channel;
    struct oak_rpc_call *calls[CALLS]; /* on the server; NULL once closed */
    size_t started;
};

static void serve_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)call;
    (void)b;
}

static void serve_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct world *w = user;
    (void)status;
    for (size_t i = 0; i < CALLS; i++) {
        w->calls[i] = w->calls[i] == call ? NULL : w->calls[i];
    }
}

static const struct oak_rpc_handler serve_handler = {.message = serve_message,
                                                     .closed = serve_closed};

static void serve_start(void *user, struct oak_rpc_call *call)
{
    struct world *w = user;
    oak_rpc_call_handle(call, &serve_handler, w);
    w->calls[w->started++] = call;
}

static void world_accept(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)), 0);
}

static void world_open(struct world *w, bool joined)
{
    static const struct oak_identity somebody;
    const struct oak_rpc_method method = {.service = "t.Watch",
                                          .name = "Watch",
                                          .kind = OAK_RPC_BIDI,
                                          .start = serve_start,
                                          .user = w};
    const struct oak_rpc_subchannel_options o = {0};
    *w = (struct world){0};
    fake_loop_init(&w->loop);
    w->loop.accepted = world_accept;
    w->loop.accepted_arg = w;
    w->loop.client_identity = joined ? NULL : &somebody; /* an encrypted stream takes no pieces */
    assert_int_equal(oak_rpc_server_new(&w->loop.port, NULL, &w->server), 0);
    assert_int_equal(oak_rpc_server_add(w->server, &method), 0);
    assert_int_equal(oak_rpc_subchannel_new(&w->loop.port, "fake:1", &o, &w->channel), 0);
    fake_run(&w->loop);
}

static void world_close(struct world *w)
{
    oak_rpc_subchannel_free(w->channel);
    fake_run(&w->loop);
    oak_rpc_server_free(w->server);
    fake_loop_fini(&w->loop);
}

static void calls_begin(struct world *w, struct recorder *r, enum oak_rpc_encoding encoding)
{
    for (size_t i = 0; i < CALLS; i++) {
        const struct oak_rpc_request request = {.service = "t.Watch",
                                                .method = "Watch",
                                                .encoding = encoding,
                                                .handler = &recorder_handler,
                                                .user = &r[i]};
        r[i] = (struct recorder){0};
        assert_int_equal(oak_rpc_subchannel_call(w->channel, &request, &r[i].call), 0);
    }
    fake_run(&w->loop);
    assert_int_equal(w->started, CALLS);
}

static struct oak_rpc_shared *shared_make(size_t size, unsigned seed)
{
    struct oak_rpc_shared *shared = oak_rpc_shared_new(size);
    assert_non_null(shared);
    for (size_t i = 0; i < size; i++) {
        oak_rpc_shared_data(shared)[i] = (uint8_t)((i + seed) * 31 + (i >> 9));
    }
    return shared;
}

static struct oak_bytes tail_of(struct oak_rpc_shared *shared, size_t from, size_t size)
{
    return oak_bytes(oak_rpc_shared_data(shared) + from, size);
}

/* A message's bytes, as they are to arrive, go behind those in `wanted`. */
static void want(struct oak_buf *wanted, struct oak_bytes head, struct oak_bytes tail)
{
    assert_int_equal(oak_buf_append(wanted, head.data, head.size), 0);
    assert_int_equal(oak_buf_append(wanted, tail.data, tail.size), 0);
}

static void check(struct recorder *r, const struct oak_buf *wanted, size_t messages)
{
    assert_int_equal(r->messages, messages);
    assert_int_equal(r->bytes.size, wanted->size);
    assert_memory_equal(r->bytes.data, wanted->data, wanted->size);
}

static const size_t sizes[] = {1, 100, 8191, 8192, 16384, 16385, 70000, TAIL_MAX};

/* Each call sends each of them, with heads and messages of its own in between. */
static void shared_bytes_arrive_between_a_calls_own(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct world w;
        struct recorder r[CALLS];
        struct oak_buf wanted[CALLS] = {0};
        size_t messages[CALLS] = {0};
        enum oak_rpc_encoding encoding = way >= 2 ? OAK_RPC_GZIP : OAK_RPC_IDENTITY;
        world_open(&w, way % 2 == 0);
        calls_begin(&w, r, encoding);
        for (size_t i = 0; i < CALLS && encoding != OAK_RPC_IDENTITY; i++) {
            assert_int_equal(oak_rpc_call_compress(w.calls[i], encoding), 0);
        }
        for (size_t n = 0; n < OAK_COUNT_OF(sizes); n++) {
            struct oak_rpc_shared *shared = shared_make(sizes[n] + 7, (unsigned)n);
            for (size_t i = 0; i < CALLS; i++) {
                char text[32];
                size_t size = (size_t)snprintf(text, sizeof(text), "call %zu, message %zu:", i, n);
                struct oak_bytes tail = tail_of(shared, i, sizes[n]);
                assert_int_equal(
                    oak_rpc_call_send_shared(w.calls[i], oak_bytes(text, size), shared, tail), 0);
                want(&wanted[i], oak_bytes(text, size), tail);
                messages[i]++;
                if ((n + i) % 3 == 0) {
                    assert_int_equal(oak_rpc_call_send(w.calls[i], tail), 0);
                    want(&wanted[i], tail, oak_bytes("", 0));
                    messages[i]++;
                }
                assert_true(way >= 2 || oak_rpc_call_queued(w.calls[i]) > sizes[n]);
            }
            oak_rpc_shared_drop(shared); /* the calls have it */
            if (n % 2 == 1) {
                fake_run(&w.loop);
            }
        }
        fake_run(&w.loop);
        for (size_t i = 0; i < CALLS; i++) {
            assert_int_equal(oak_rpc_call_queued(w.calls[i]), 0);
            check(&r[i], &wanted[i], messages[i]);
            oak_buf_fini(&wanted[i]);
            oak_rpc_call_cancel(r[i].call);
        }
        fake_run(&w.loop);
        for (size_t i = 0; i < CALLS; i++) {
            recorder_fini(&r[i]);
        }
        world_close(&w);
    }
}

/* The others' bytes stay, and nothing is left of those that end. */
static void calls_that_end_let_go_of_what_they_share(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[CALLS];
    struct oak_buf wanted = {0};
    world_open(&w, true);
    calls_begin(&w, r, OAK_RPC_IDENTITY);
    for (unsigned n = 0; n < 2; n++) {
        struct oak_rpc_shared *shared = shared_make(TAIL_MAX, n);
        struct oak_bytes tail = tail_of(shared, 0, TAIL_MAX);
        for (size_t i = 0; i < CALLS; i++) {
            assert_int_equal(oak_rpc_call_send_shared(w.calls[i], oak_bytes("h", 1), shared, tail),
                             0);
        }
        want(&wanted, oak_bytes("h", 1), tail);
        oak_rpc_shared_drop(shared);
    }
    oak_rpc_call_cancel(w.calls[0]); /* before anything has left */
    oak_rpc_call_cancel(r[1].call);
    oak_rpc_call_finish(w.calls[2], OAK_RPC_OK, NULL); /* behind what is queued */
    fake_run(&w.loop);
    assert_int_equal(r[0].code, OAK_RPC_CANCELLED);
    assert_int_equal(r[1].code, OAK_RPC_CANCELLED);
    assert_int_equal(r[2].code, OAK_RPC_OK);
    for (size_t i = 2; i < CALLS; i++) {
        check(&r[i], &wanted, 2);
    }
    /* A connection that ends with all of it queued. */
    struct oak_rpc_shared *last = shared_make(TAIL_MAX, 9);
    for (size_t i = 3; i < CALLS; i++) {
        assert_int_equal(oak_rpc_call_send_shared(w.calls[i], oak_bytes("h", 1), last,
                                                  tail_of(last, 0, TAIL_MAX)),
                         0);
    }
    oak_rpc_shared_drop(last);
    oak_rpc_call_cancel(w.calls[3]);
    assert_int_equal(
        oak_rpc_call_send_shared(w.calls[3], oak_bytes("h", 1), last, tail_of(last, 0, 1)),
        OAK_ECLOSED);
    world_close(&w);
    for (size_t i = 0; i < CALLS; i++) {
        recorder_fini(&r[i]);
    }
    oak_buf_fini(&wanted);
}

/* -- a call that goes on within a take --------------------------------------------------------- */

struct going_on {
    struct oak_rpc_shared *shared;
    struct oak_buf wanted;
    size_t messages;
    int writable;
};
static struct going_on going;

/* A message of its own that is large, and behind it one that ends with shared bytes: these are
 * still there when the first has left. */
static void go_on(struct oak_rpc_call *call)
{
    static uint8_t own[300000];
    memset(own, 'a' + going.writable, sizeof(own));
    struct oak_bytes bytes = oak_bytes(own, sizeof(own));
    struct oak_bytes tail = tail_of(going.shared, (size_t)going.writable, 50000);
    assert_int_equal(oak_rpc_call_send(call, bytes), 0);
    want(&going.wanted, bytes, oak_bytes("", 0));
    assert_int_equal(oak_rpc_call_send_shared(call, oak_bytes("head", 4), going.shared, tail), 0);
    want(&going.wanted, oak_bytes("head", 4), tail);
    going.messages += 2;
}

static void more_writable(void *user, struct oak_rpc_call *call)
{
    (void)user;
    if (++going.writable < 5) {
        assert_true(oak_rpc_call_queued(call) > 10000); /* of what is shared */
        go_on(call);
    }
}

static const struct oak_rpc_handler more_handler = {
    .message = serve_message, .writable = more_writable, .closed = serve_closed};

static void what_is_sent_before_shared_bytes_have_left_comes_behind_them(void **state)
{
    (void)state;
    for (int joined = 0; joined < 2; joined++) {
        struct world w;
        struct recorder r[CALLS];
        world_open(&w, joined);
        calls_begin(&w, r, OAK_RPC_IDENTITY);
        going = (struct going_on){.shared = shared_make(TAIL_MAX, 3)};
        oak_rpc_call_handle(w.calls[0], &more_handler, &w);
        go_on(w.calls[0]);
        fake_run(&w.loop);
        assert_int_equal(going.writable, 5);
        check(&r[0], &going.wanted, going.messages);
        oak_buf_fini(&going.wanted);
        oak_rpc_shared_drop(going.shared);
        world_close(&w);
        for (size_t i = 0; i < CALLS; i++) {
            recorder_fini(&r[i]);
        }
    }
}

/* -- a peer that reads slowly ------------------------------------------------------------------ */

static void a_queue_of_shared_bytes_counts_as_any_other(void **state)
{
    (void)state;
    struct world w;
    struct recorder r[CALLS];
    world_open(&w, true);
    calls_begin(&w, r, OAK_RPC_IDENTITY);
    struct oak_rpc_shared *shared = shared_make(TAIL_MAX, 1);
    size_t sent = 0;
    int error = 0;
    while (error == 0) {
        error = oak_rpc_call_send_shared(w.calls[0], oak_bytes("h", 1), shared,
                                         tail_of(shared, 0, TAIL_MAX));
        sent += error == 0;
    }
    assert_int_equal(error, OAK_ELIMIT);
    assert_int_equal(sent, OAK_OUTBOUND_BYTES_MAX / (TAIL_MAX + 6) + 1);
    assert_int_equal(oak_rpc_call_queued(w.calls[0]), sent * (TAIL_MAX + 6));
    oak_rpc_shared_drop(shared);
    fake_run(&w.loop);
    assert_int_equal(r[0].messages, sent);
    assert_int_equal(oak_rpc_call_queued(w.calls[0]), 0);
    world_close(&w);
    for (size_t i = 0; i < CALLS; i++) {
        recorder_fini(&r[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_bytes_arrive_between_a_calls_own),
        cmocka_unit_test(calls_that_end_let_go_of_what_they_share),
        cmocka_unit_test(what_is_sent_before_shared_bytes_have_left_comes_behind_them),
        cmocka_unit_test(a_queue_of_shared_bytes_counts_as_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
