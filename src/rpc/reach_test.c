/* SPDX-License-Identifier: Apache-2.0 */
/* reach_test.c: how far a client's call came, against a server written frame by frame; and calls
 * that are carried by somebody else. */
#include "oakum/carrier.h"
#include "rpc/test_script.h"

struct world {
    struct script server;
    struct oak_rpc_conn *conn;
    struct recorder r;
    uint64_t now_ns;
    enum oak_rpc_reach reach; /* of the call that closed last */
};

static void world_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct world *w = user;
    w->reach = status->reach;
    recorder_closed(&w->r, call, status);
}

static void world_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    recorder_message(&((struct world *)user)->r, call, b);
}

static const struct oak_rpc_handler world_handler = {.message = world_message,
                                                     .closed = world_closed};

static void world_open(struct world *w)
{
    *w = (struct world){.now_ns = SECOND, .reach = (enum oak_rpc_reach)9};
    script_open(&w->server);
    assert_int_equal(oak_rpc_conn_new(NULL, NULL, "server:1", w->now_ns, &w->conn), 0);
}

static void world_close(struct world *w)
{
    oak_rpc_conn_free(w->conn);
    script_close(&w->server);
    recorder_fini(&w->r);
}

static void take(struct world *w)
{
    struct oak_bytes b;
    while ((b = oak_rpc_conn_take(w->conn)).size > 0) {
        script_hear(&w->server, b);
    }
}

static void give(struct world *w)
{
    assert_int_equal(oak_rpc_conn_feed(w->conn, oak_buf_bytes(&w->server.out), w->now_ns), 0);
    oak_buf_clear(&w->server.out);
}

static void ask(struct world *w)
{
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Unary", .handler = &world_handler, .user = w};
    assert_int_equal(oak_rpc_conn_call(w->conn, &request, w->now_ns, &w->r.call), 0);
    send_text(w->r.call, "hello");
    oak_rpc_call_half_close(w->r.call);
}

static void begun(struct world *w)
{
    world_open(w);
    script_settings(&w->server, UINT32_MAX);
    give(w);
    ask(w);
    take(w);
    assert_int_equal(script_heard(&w->server, "HEADERS 1", ":path=/t.Echo/Unary"), 1);
    assert_int_equal(script_heard(&w->server, "DATA 1 10 END", NULL), 1);
}

static void ended(struct world *w, enum oak_rpc_code code, enum oak_rpc_reach reach)
{
    assert_int_equal(w->r.closed, 1);
    assert_int_equal(w->r.code, code);
    assert_int_equal(w->reach, reach);
    world_close(w);
}

static void what_never_left_was_not_sent(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    ask(&w);
    take(&w); /* the server has not said how many streams it takes: the call waits */
    assert_int_equal(script_heard(&w.server, "HEADERS", NULL), 0);
    oak_rpc_conn_free(w.conn);
    w.conn = NULL;
    ended(&w, OAK_RPC_UNAVAILABLE, OAK_RPC_UNSENT);
}

static void what_left_may_have_been_done(void **state)
{
    (void)state;
    struct world w;
    begun(&w);
    oak_rpc_conn_free(w.conn);
    w.conn = NULL;
    ended(&w, OAK_RPC_UNAVAILABLE, OAK_RPC_REACHED);
    begun(&w);
    script_reset(&w.server, 1, NGHTTP2_INTERNAL_ERROR);
    give(&w);
    ended(&w, OAK_RPC_INTERNAL, OAK_RPC_REACHED);
    begun(&w);
    script_answer(&w.server, 1, "hi");
    give(&w);
    assert_true(recorded(&w.r, "hi"));
    ended(&w, OAK_RPC_OK, OAK_RPC_REACHED);
}

static void what_was_refused_was_not_done(void **state)
{
    (void)state;
    struct world w;
    begun(&w);
    script_reset(&w.server, 1, NGHTTP2_REFUSED_STREAM);
    give(&w);
    ended(&w, OAK_RPC_UNAVAILABLE, OAK_RPC_REFUSED);
    begun(&w);
    script_head(&w.server, 1); /* it looked at it all the same */
    script_reset(&w.server, 1, NGHTTP2_REFUSED_STREAM);
    give(&w);
    ended(&w, OAK_RPC_UNAVAILABLE, OAK_RPC_REACHED);
}

static void a_goaway_refuses_what_lies_behind_it(void **state)
{
    (void)state;
    struct world w;
    begun(&w);
    script_goaway(&w.server, 0, NGHTTP2_NO_ERROR, "");
    give(&w);
    ended(&w, OAK_RPC_UNAVAILABLE, OAK_RPC_REFUSED);
}

static void a_peer_that_owes_progress_is_known(void **state)
{
    (void)state;
    struct world w;
    begun(&w);
    struct oak_rpc_call *call = w.r.call;
    assert_int_equal(oak_rpc_call_moved_ns(call), SECOND);
    assert_false(oak_rpc_call_owed(call)); /* it may think as long as it likes */
    w.now_ns = 2 * SECOND;
    script_head(&w.server, 1);
    give(&w);
    assert_int_equal(oak_rpc_call_moved_ns(call), 2 * SECOND);
    w.now_ns = 3 * SECOND;
    script_frame(&w.server, NGHTTP2_DATA, 0, 1, "\0\0\0\0\5he", 7);
    give(&w);
    assert_true(oak_rpc_call_owed(call));
    assert_int_equal(oak_rpc_call_moved_ns(call), 3 * SECOND);
    script_frame(&w.server, NGHTTP2_DATA, 0, 1, "llo", 3);
    give(&w);
    assert_false(oak_rpc_call_owed(call));
    assert_true(recorded(&w.r, "hello"));
    script_tail(&w.server, 1, "0");
    give(&w);
    ended(&w, OAK_RPC_OK, OAK_RPC_REACHED);
}

/* -- carried calls ----------------------------------------------------------------------------- */

struct carrier {
    struct oak_rpc_call_base base;
    struct oak_buf log;
};

static void note(const struct oak_rpc_call *call, const char *text)
{
    struct carrier *c = (struct carrier *)(uintptr_t)call;
    assert_int_equal(oak_buf_printf(&c->log, "%s\n", text), 0);
}

static void c_handle(struct oak_rpc_call *call, const struct oak_rpc_handler *h, void *user)
{
    (void)user;
    note(call, h == &recorder_handler ? "handle" : "?");
}
static int c_send(struct oak_rpc_call *call, struct oak_bytes m)
{
    note(call, (const char *)m.data);
    return OAK_ELIMIT;
}
static uint8_t *c_send_into(struct oak_rpc_call *call, size_t size)
{
    note(call, size == 7 ? "send_into" : "?");
    return (uint8_t *)call;
}
static void c_half_close(struct oak_rpc_call *call)
{
    note(call, "half_close");
}
static void c_finish(struct oak_rpc_call *call, enum oak_rpc_code code, const char *message)
{
    note(call, code == OAK_RPC_ABORTED ? message : "?");
}
static void c_cancel(struct oak_rpc_call *call)
{
    note(call, "cancel");
}
static void c_pause(struct oak_rpc_call *call, bool paused)
{
    note(call, paused ? "pause" : "?");
}
static size_t c_queued(const struct oak_rpc_call *call)
{
    note(call, "queued");
    return 11;
}
static int c_header(struct oak_rpc_call *call, struct oak_rpc_pair pair)
{
    note(call, (const char *)pair.name.data);
    return OAK_EINVAL;
}
static struct oak_bytes c_metadata(const struct oak_rpc_call *call, const char *name)
{
    note(call, name);
    return oak_bytes_str("value");
}
static uint64_t c_deadline(const struct oak_rpc_call *call)
{
    note(call, "deadline");
    return 12;
}
static struct oak_bytes c_path(const struct oak_rpc_call *call)
{
    note(call, "path");
    return oak_bytes_str("/a/b");
}
static const char *c_peer(const struct oak_rpc_call *call)
{
    note(call, "peer");
    return "peer:1";
}
static const struct oak_identity *c_identity(const struct oak_rpc_call *call)
{
    static const struct oak_identity nobody = {.common_name = "nobody"};
    note(call, "identity");
    return &nobody;
}
static const struct oak_process *c_process(const struct oak_rpc_call *call)
{
    static const struct oak_process somebody = {.pid = 14};
    note(call, "process");
    return &somebody;
}
static bool c_owed(const struct oak_rpc_call *call)
{
    note(call, "owed");
    return true;
}
static uint64_t c_moved(const struct oak_rpc_call *call)
{
    note(call, "moved");
    return 13;
}

static const struct oak_rpc_call_ops c_ops = {
    .handle = c_handle,
    .send = c_send,
    .send_into = c_send_into,
    .half_close = c_half_close,
    .finish = c_finish,
    .cancel = c_cancel,
    .pause = c_pause,
    .queued = c_queued,
    .add_header = c_header,
    .add_trailer = c_header,
    .metadata = c_metadata,
    .deadline_ns = c_deadline,
    .path = c_path,
    .peer = c_peer,
    .identity = c_identity,
    .owed = c_owed,
    .moved_ns = c_moved,
    .process = c_process,
};

/* Every server that resets the stream behind its status spares us the question. */
static void a_status_ends_a_call_that_was_not_half_closed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    script_settings(&w.server, UINT32_MAX);
    give(&w);
    struct oak_rpc_request request = {
        .service = "t.Echo", .method = "Bidi", .handler = &world_handler, .user = &w};
    assert_int_equal(oak_rpc_conn_call(w.conn, &request, w.now_ns, &w.r.call), 0);
    send_text(w.r.call, "hello");
    take(&w);
    script_answer(&w.server, 1, "hello");
    give(&w);
    take(&w);
    assert_int_equal(script_heard(&w.server, "RST_STREAM 1 0", NULL), 1);
    assert_int_equal(w.r.messages, 1);
    ended(&w, OAK_RPC_OK, OAK_RPC_REACHED);
}

static void a_carrier_is_asked_for_all_of_its_call(void **state)
{
    (void)state;
    struct carrier c = {.base.ops = &c_ops};
    struct oak_rpc_call *call = oak_rpc_call_of(&c.base);
    struct oak_rpc_pair header = {oak_bytes_str("header"), oak_bytes_str("v")};
    struct oak_rpc_pair trailer = {oak_bytes_str("trailer"), oak_bytes_str("v")};
    oak_rpc_call_handle(call, &recorder_handler, NULL);
    assert_int_equal(oak_rpc_call_send(call, oak_bytes_str("send")), OAK_ELIMIT);
    assert_ptr_equal(oak_rpc_call_send_into(call, 7), &c);
    oak_rpc_call_half_close(call);
    oak_rpc_call_finish(call, OAK_RPC_ABORTED, "finish");
    oak_rpc_call_cancel(call);
    oak_rpc_call_pause(call, true);
    assert_int_equal(oak_rpc_call_queued(call), 11);
    assert_int_equal(oak_rpc_call_add_header(call, header), OAK_EINVAL);
    assert_int_equal(oak_rpc_call_add_trailer(call, trailer), OAK_EINVAL);
    assert_true(oak_bytes_eq(oak_rpc_call_metadata(call, "meta"), oak_bytes_str("value")));
    assert_int_equal(oak_rpc_call_deadline_ns(call), 12);
    assert_true(oak_bytes_eq(oak_rpc_call_path(call), oak_bytes_str("/a/b")));
    assert_string_equal(oak_rpc_call_peer(call), "peer:1");
    assert_string_equal(oak_rpc_call_identity(call)->common_name, "nobody");
    assert_true(oak_rpc_call_owed(call));
    assert_int_equal(oak_rpc_call_moved_ns(call), 13);
    assert_int_equal(oak_rpc_call_process(call)->pid, 14);
    const char wanted[] = "handle\nsend\nsend_into\nhalf_close\nfinish\ncancel\npause\nqueued\n"
                          "header\ntrailer\nmeta\ndeadline\npath\npeer\nidentity\nowed\nmoved\n"
                          "process\n";
    assert_true(oak_bytes_eq(oak_buf_bytes(&c.log), oak_bytes_str(wanted)));
    /* What its table does not have, it cannot. */
    struct oak_rpc_pair pair;
    size_t at = 0;
    assert_int_equal(oak_rpc_call_compress(call, OAK_RPC_GZIP), OAK_EUNIMPLEMENTED);
    oak_rpc_call_compress_messages(call, true);
    assert_false(oak_rpc_call_compressed(call));
    assert_int_equal(oak_rpc_call_finish_details(call, OAK_RPC_OK, NULL, oak_bytes(NULL, 0)),
                     OAK_EUNIMPLEMENTED);
    assert_false(oak_rpc_call_metadata_next(call, OAK_RPC_HEADERS, &at, &pair));
    assert_null(oak_rpc_call_authority(call).data);
    oak_buf_fini(&c.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_never_left_was_not_sent),
        cmocka_unit_test(what_left_may_have_been_done),
        cmocka_unit_test(what_was_refused_was_not_done),
        cmocka_unit_test(a_goaway_refuses_what_lies_behind_it),
        cmocka_unit_test(a_peer_that_owes_progress_is_known),
        cmocka_unit_test(a_status_ends_a_call_that_was_not_half_closed),
        cmocka_unit_test(a_carrier_is_asked_for_all_of_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
