/* SPDX-License-Identifier: Apache-2.0 */
/* lend_test.c: large messages that are written from where they lie, and passed on. */
#include "rpc/test_pair.h"
#include "rpc/test_loop.h"

enum { LARGE = 300000 }; /* more than a take, and than the mark that `writable` speaks of */

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *channel;
    struct oak_rpc_call *pass_to; /* the first; the others, and NULL: to the call itself */
    int forwards;
    bool behind; /* something is queued before what is passed on */
    bool too_late;
};

static void fill(uint8_t *to, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)((i + seed) * 31 + (i >> 9));
    }
}

static void check(const uint8_t *at, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        assert_true(at[i] == (uint8_t)((i + seed) * 31 + (i >> 9)));
    }
}

static void forward_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    struct world *w = user;
    w->forwards++;
    if (w->behind) {
        assert_int_equal(oak_rpc_call_send(call, oak_bytes("first", 5)), 0);
    }
    struct oak_rpc_call *to = w->pass_to != NULL ? w->pass_to : call;
    w->pass_to = NULL; /* only the first */
    if (w->too_late) {
        oak_rpc_call_cancel(to);
    }
    assert_int_equal(oak_rpc_call_forward(call, b, to), w->too_late ? OAK_ECLOSED : 0);
    if (w->too_late) {
        check(b.data, b.size, 1);
    }
}

static void forward_half_closed(void *user, struct oak_rpc_call *call)
{
    (void)user;
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static void forward_closed(void *user, struct oak_rpc_call *call,
                           const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static const struct oak_rpc_handler forward_handler = {
    .message = forward_message, .half_closed = forward_half_closed, .closed = forward_closed};

static void forward_start(void *user, struct oak_rpc_call *call)
{
    oak_rpc_call_handle(call, &forward_handler, user);
}

static void world_accept(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)), 0);
}

static void world_open(struct world *w, bool joined)
{
    static const struct oak_identity somebody;
    const struct oak_rpc_method method = {.service = "t.Echo",
                                          .name = "Forward",
                                          .kind = OAK_RPC_BIDI,
                                          .start = forward_start,
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

static void call_begin(struct world *w, const struct oak_rpc_handler *handler, struct recorder *r,
                       enum oak_rpc_encoding encoding)
{
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = "Forward",
                                      .encoding = encoding,
                                      .handler = handler,
                                      .user = r};
    *r = (struct recorder){0};
    assert_int_equal(oak_rpc_subchannel_call(w->channel, &request, &r->call), 0);
}

static void send_bytes(struct oak_rpc_call *call, size_t size, unsigned seed)
{
    uint8_t *to = oak_rpc_call_send_into(call, size);
    assert_non_null(to);
    fill(to, size, seed);
}

static void send_large(struct oak_rpc_call *call, unsigned seed)
{
    send_bytes(call, LARGE, seed);
}

static void pieces_arrive_as_one_message(void **state)
{
    (void)state;
    for (int joined = 0; joined < 2; joined++) {
        struct world w;
        struct recorder r;
        world_open(&w, joined);
        call_begin(&w, &recorder_handler, &r, OAK_RPC_IDENTITY);
        send_large(r.call, 1);
        send_large(r.call, 2);
        assert_int_equal(oak_rpc_call_send(r.call, oak_bytes("end", 3)), 0);
        oak_rpc_call_half_close(r.call);
        fake_run(&w.loop);
        assert_int_equal(r.code, OAK_RPC_OK);
        assert_int_equal(w.forwards, 3);
        assert_int_equal(r.bytes.size, 2 * LARGE + 3);
        check(r.bytes.data, LARGE, 1);
        check(r.bytes.data + LARGE, LARGE, 2);
        assert_memory_equal(r.bytes.data + 2 * LARGE, "end", 3);
        assert_int_equal(w.loop.client_end->joined > 0, joined);
        assert_int_equal(w.loop.server_end->joined > 0, joined);
        recorder_fini(&r);
        world_close(&w);
    }
}

/* -- handlers that a take calls ---------------------------------------------------------------- */

static void more_writable(void *user, struct oak_rpc_call *call)
{
    struct recorder *r = user;
    r->writable++;
    if (r->writable <= 3) {
        send_large(call, 10 + (unsigned)r->writable);
    } else {
        oak_rpc_call_half_close(call);
    }
}

static const struct oak_rpc_handler more_handler = {
    .message = recorder_message, .writable = more_writable, .closed = recorder_closed};

static void a_call_that_goes_on_within_a_take_moves_nothing_that_is_lent(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, true);
    call_begin(&w, &more_handler, &r, OAK_RPC_IDENTITY);
    send_large(r.call, 10);
    fake_run(&w.loop);
    assert_int_equal(r.code, OAK_RPC_OK);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.writable, 4);
    assert_int_equal(r.messages, 4);
    for (unsigned i = 0; i < 4; i++) {
        check(r.bytes.data + (size_t)i * LARGE, LARGE, 10 + i);
    }
    recorder_fini(&r);
    world_close(&w);
}

static struct oak_rpc_subchannel *next_channel;
static struct recorder next;

static void cancel_writable(void *user, struct oak_rpc_call *call)
{
    struct recorder *r = user;
    r->writable++;
    oak_rpc_call_cancel(call);
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Forward", .handler = &recorder_handler, .user = &next};
    next = (struct recorder){0};
    assert_int_equal(oak_rpc_subchannel_call(next_channel, &request, &next.call), 0);
    send_large(next.call, 7); /* where would it be put, if not where the other's message was? */
    oak_rpc_call_half_close(next.call);
}

static const struct oak_rpc_handler cancel_handler = {
    .message = recorder_message, .writable = cancel_writable, .closed = recorder_closed};

static void a_call_that_ends_within_a_take_leaves_what_it_has_lent(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, true);
    next_channel = w.channel;
    call_begin(&w, &cancel_handler, &r, OAK_RPC_IDENTITY);
    send_large(r.call, 1);
    fake_run(&w.loop);
    assert_int_equal(r.writable, 1);
    assert_int_equal(r.code, OAK_RPC_CANCELLED);
    assert_int_equal(next.code, OAK_RPC_OK);
    assert_int_equal(next.messages, 1);
    check(next.bytes.data, LARGE, 7);
    recorder_fini(&r);
    recorder_fini(&next);
    world_close(&w);
}

enum { SMALL = 9000 }; /* just large enough to be lent */

static void third_writable(void *user, struct oak_rpc_call *call)
{
    (void)user;
    send_bytes(next.call, SMALL, 3);
    oak_rpc_call_half_close(next.call);
    oak_rpc_call_half_close(call);
}

static const struct oak_rpc_handler third_handler = {
    .message = recorder_message, .writable = third_writable, .closed = recorder_closed};

/* The second has nothing more to send when the first makes the third send: into what buffer? */
static void a_buffer_that_is_lent_is_not_another_calls(void **state)
{
    (void)state;
    struct world w;
    struct recorder first;
    struct recorder second;
    world_open(&w, true);
    call_begin(&w, &recorder_handler, &next, OAK_RPC_IDENTITY);
    call_begin(&w, &recorder_handler, &second, OAK_RPC_IDENTITY);
    call_begin(&w, &third_handler, &first, OAK_RPC_IDENTITY);
    send_bytes(second.call, SMALL, 2);
    oak_rpc_call_half_close(second.call);
    send_bytes(first.call, OAK_RPC_QUEUE_HIGH_BYTES + 1, 1);
    fake_run(&w.loop);
    assert_int_equal(first.last_size, OAK_RPC_QUEUE_HIGH_BYTES + 1);
    assert_int_equal(second.last_size, SMALL);
    assert_int_equal(next.last_size, SMALL);
    check(first.bytes.data, first.last_size, 1);
    check(second.bytes.data, SMALL, 2);
    check(next.bytes.data, SMALL, 3);
    recorder_fini(&first);
    recorder_fini(&second);
    recorder_fini(&next);
    world_close(&w);
}

/* -- passing on -------------------------------------------------------------------------------- */

static void pass(struct world *w, enum oak_rpc_encoding encoding, struct recorder *r)
{
    call_begin(w, &recorder_handler, r, encoding);
    send_large(r->call, 1);
    oak_rpc_call_half_close(r->call);
    fake_run(&w->loop);
}

static void a_message_is_passed_on_to_another_call(void **state)
{
    (void)state;
    struct world w;
    struct recorder from;
    struct recorder to;
    world_open(&w, true);
    call_begin(&w, &recorder_handler, &to, OAK_RPC_IDENTITY);
    w.pass_to = to.call; /* a client's call, whose server sends it back */
    pass(&w, OAK_RPC_IDENTITY, &from);
    assert_int_equal(w.forwards, 2);
    assert_int_equal(from.code, OAK_RPC_OK);
    assert_int_equal(from.messages, 0);
    assert_int_equal(to.messages, 1);
    check(to.bytes.data, LARGE, 1);
    oak_rpc_call_half_close(to.call);
    fake_run(&w.loop);
    recorder_fini(&to);
    recorder_fini(&from);
    world_close(&w);
}

static void what_can_not_be_passed_on_is_copied(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        struct world w;
        struct recorder r;
        world_open(&w, true);
        w.behind = true;
        pass(&w, packed ? OAK_RPC_GZIP : OAK_RPC_IDENTITY, &r);
        assert_int_equal(r.code, OAK_RPC_OK);
        assert_int_equal(r.messages, 2);
        assert_memory_equal(r.bytes.data, "first", 5);
        check(r.bytes.data + 5, LARGE, 1);
        recorder_fini(&r);
        w.behind = false;
        pass(&w, packed ? OAK_RPC_GZIP : OAK_RPC_IDENTITY, &r);
        assert_int_equal(r.code, OAK_RPC_OK);
        assert_int_equal(r.messages, 1);
        check(r.bytes.data, LARGE, 1);
        recorder_fini(&r);
        world_close(&w);
    }
}

static void what_was_not_passed_on_is_still_the_handlers(void **state)
{
    (void)state;
    struct world w;
    struct recorder r;
    world_open(&w, true);
    w.too_late = true;
    pass(&w, OAK_RPC_IDENTITY, &r);
    assert_int_equal(w.forwards, 1);
    assert_int_equal(r.code, OAK_RPC_CANCELLED);
    recorder_fini(&r);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_arrive_as_one_message),
        cmocka_unit_test(a_call_that_goes_on_within_a_take_moves_nothing_that_is_lent),
        cmocka_unit_test(a_call_that_ends_within_a_take_leaves_what_it_has_lent),
        cmocka_unit_test(a_buffer_that_is_lent_is_not_another_calls),
        cmocka_unit_test(a_message_is_passed_on_to_another_call),
        cmocka_unit_test(what_can_not_be_passed_on_is_copied),
        cmocka_unit_test(what_was_not_passed_on_is_still_the_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
