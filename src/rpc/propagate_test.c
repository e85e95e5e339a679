/* SPDX-License-Identifier: Apache-2.0 */
/* propagate_test.c: a call for the sake of another one: a front's service asks a back for each of
 * its calls. */
#include "rpc/test_pair.h"

struct world {
    struct pair front;
    struct pair back;
    struct recorder asked;    /* the client of the front */
    struct recorder child;    /* what the front's service asked of the back */
    struct oak_rpc_call *own; /* the service's call */
    const struct oak_rpc_pair *metadata;
    size_t metadata_count;
    uint64_t child_timeout_ns;
    uint64_t child_deadline_ns;
    int late_error; /* of a child for a call that has ended */
    struct oak_rpc_call *seen;
    char trace[512]; /* what of tracing reached the back: "name=value;" */
};

static int ask_back(struct world *w, struct oak_rpc_call *parent)
{
    struct oak_rpc_request request = {.service = "t.Trace",
                                      .method = "Bidi",
                                      .timeout_ns = w->child_timeout_ns,
                                      .metadata = w->metadata,
                                      .metadata_count = w->metadata_count,
                                      .parent = parent,
                                      .handler = &recorder_handler,
                                      .user = &w->child};
    return oak_rpc_conn_call(w->back.client_conn, &request, w->back.now_ns, &w->child.call);
}

static void front_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)call;
    (void)b;
}

static void front_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)status;
    struct world *w = user;
    w->own = NULL;
    w->late_error = ask_back(w, call);
}

static const struct oak_rpc_handler front_handler = {.message = front_message,
                                                     .closed = front_closed};

static void front_start(void *user, struct oak_rpc_call *call)
{
    struct world *w = user;
    w->own = call;
    oak_rpc_call_handle(call, &front_handler, w);
    assert_int_equal(ask_back(w, call), 0);
    w->child_deadline_ns = oak_rpc_call_deadline_ns(w->child.call);
}

static void back_start(void *user, struct oak_rpc_call *call)
{
    struct world *w = user;
    struct oak_rpc_pair pair;
    size_t at = 0;
    size_t used = 0;
    while (oak_rpc_call_metadata_next(call, OAK_RPC_HEADERS, &at, &pair)) {
        if (!oak_bytes_eq(pair.name, oak_bytes_str("user-agent"))) {
            assert_true(used + pair.name.size + pair.value.size + 3 < sizeof(w->trace));
            memcpy(w->trace + used, pair.name.data, pair.name.size);
            used += pair.name.size;
            w->trace[used++] = '=';
            memcpy(w->trace + used, pair.value.data, pair.value.size);
            used += pair.value.size;
            w->trace[used++] = ';';
        }
    }
    w->trace[used] = '\0';
    echo_start_open(&w->back.echo, call);
}

static void world_open(struct world *w)
{
    pair_open(&w->front, NULL, NULL);
    pair_open(&w->back, NULL, NULL);
    const struct oak_rpc_method front = {.service = "t.Front",
                                         .name = "Bidi",
                                         .kind = OAK_RPC_BIDI,
                                         .start = front_start,
                                         .user = w};
    const struct oak_rpc_method back = {
        .service = "t.Trace", .name = "Bidi", .kind = OAK_RPC_BIDI, .start = back_start, .user = w};
    assert_int_equal(oak_rpc_server_add(w->front.server, &front), 0);
    assert_int_equal(oak_rpc_server_add(w->back.server, &back), 0);
}

static void world_run(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        pair_run(&w->front);
        pair_run(&w->back);
    }
}

static void world_ask(struct world *w, uint64_t timeout_ns, const struct oak_rpc_pair *metadata,
                      size_t count)
{
    struct oak_rpc_request request = {.service = "t.Front",
                                      .method = "Bidi",
                                      .timeout_ns = timeout_ns,
                                      .metadata = metadata,
                                      .metadata_count = count,
                                      .handler = &recorder_handler,
                                      .user = &w->asked};
    assert_int_equal(
        oak_rpc_conn_call(w->front.client_conn, &request, w->front.now_ns, &w->asked.call), 0);
    world_run(w);
    assert_non_null(w->own);
}

static void world_close(struct world *w)
{
    pair_close(&w->front);
    pair_close(&w->back);
    recorder_fini(&w->asked);
    recorder_fini(&w->child);
}

static void the_earlier_deadline_holds(void **state)
{
    (void)state;
    static const struct {
        uint64_t parent;
        uint64_t child;
        uint64_t wanted;
    } cases[] = {{5, 0, 5}, {5, 1, 1}, {5, 10, 5}, {0, 3, 3}, {0, 0, 0}};
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w = {.child_timeout_ns = cases[i].child * SECOND};
        world_open(&w);
        world_ask(&w, cases[i].parent * SECOND, NULL, 0);
        uint64_t wanted = cases[i].wanted == 0 ? 0 : w.back.now_ns + cases[i].wanted * SECOND;
        assert_int_equal(w.child_deadline_ns, wanted);
        world_close(&w);
    }
}

/* However the parent ends: work for it is dropped, at the back too. */
static void a_child_ends_with_its_parent(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct world w = {0};
        world_open(&w);
        world_ask(&w, how == 2 ? SECOND : 0, NULL, 0);
        assert_int_equal(w.back.echo.started, 1);
        assert_int_equal(w.child.closed, 0);
        if (how == 0) {
            oak_rpc_call_cancel(w.asked.call);
        } else if (how == 1) {
            oak_rpc_call_finish(w.own, OAK_RPC_OK, NULL);
        } else if (how == 2) {
            pair_tick(&w.front, 2 * SECOND);
        } else {
            oak_rpc_conn_free(w.front.server_conn);
            w.front.server_conn = NULL;
            pair_run(&w.back);
        }
        if (how != 3) {
            world_run(&w);
        }
        assert_int_equal(w.child.closed, 1);
        assert_int_equal(w.child.code, OAK_RPC_CANCELLED);
        assert_int_equal(w.back.echo.closed, 1);
        assert_int_equal(w.back.echo.last_code, OAK_RPC_CANCELLED);
        assert_int_equal(w.late_error, OAK_ECLOSED); /* and one that has ended has no children */
        world_close(&w);
    }
}

static void a_child_that_has_ended_is_left_alone(void **state)
{
    (void)state;
    struct world w = {0};
    world_open(&w);
    world_ask(&w, 0, NULL, 0);
    oak_rpc_call_finish(w.back.echo.last, OAK_RPC_OK, NULL);
    world_run(&w);
    assert_int_equal(w.child.closed, 1);
    assert_int_equal(w.child.code, OAK_RPC_OK);
    oak_rpc_call_cancel(w.asked.call);
    world_run(&w);
    assert_int_equal(w.asked.closed, 1);
    assert_int_equal(w.child.closed, 1);
    world_close(&w);
}

static void tracing_is_passed_on_and_nothing_else(void **state)
{
    (void)state;
    static const char id[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const struct oak_rpc_pair pairs[] = {
        {oak_bytes_str("traceparent"), oak_bytes_str(id)},
        {oak_bytes_str("authorization"), oak_bytes_str("secret")},
        {oak_bytes_str("tracestate"), oak_bytes_str("a=1")},
        {oak_bytes_str("tracestate"), oak_bytes_str("b=2")},
        {oak_bytes_str("grpc-trace-bin"), oak_bytes("\1\2", 2)},
        {oak_bytes_str("x-b3-traceid"), oak_bytes_str("7")},
        {oak_bytes_str("x-b3-other"), oak_bytes_str("8")},
    };
    struct world w = {0};
    world_open(&w);
    world_ask(&w, 0, pairs, OAK_COUNT_OF(pairs));
    assert_string_equal(w.trace, "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
                                 "-01;tracestate=a=1;tracestate=b=2;grpc-trace-bin=\1\2;"
                                 "x-b3-traceid=7;");
    world_close(&w);
    /* Who makes spans of its own says so. */
    const struct oak_rpc_pair own[] = {{oak_bytes_str("traceparent"), oak_bytes_str("mine")}};
    w = (struct world){.metadata = own, .metadata_count = 1};
    world_open(&w);
    world_ask(&w, 0, pairs, 1);
    assert_string_equal(w.trace, "traceparent=mine;");
    world_close(&w);
}

/* -- followers --------------------------------------------------------------------------------- */

struct fan {
    struct oak_rpc_follower follower;
    struct fan *leaves; /* when this one is told, that one follows no more */
    int told;
};

static void fan_ended(struct oak_rpc_follower *follower)
{
    struct fan *f = OAK_CONTAINER_OF(follower, struct fan, follower);
    f->told++;
    if (f->leaves != NULL) {
        oak_rpc_follower_leave(&f->leaves->follower);
    }
}

static void followers_are_told_once_unless_they_left(void **state)
{
    (void)state;
    struct world w = {0};
    struct fan fans[5] = {0};
    world_open(&w);
    world_ask(&w, 0, NULL, 0);
    for (size_t i = 0; i < OAK_COUNT_OF(fans); i++) {
        fans[i].follower.ended = fan_ended;
        oak_rpc_follower_leave(&fans[i].follower); /* follows nobody */
        assert_int_equal(oak_rpc_call_follow(w.own, &fans[i].follower), 0);
    }
    oak_rpc_follower_leave(&fans[2].follower);
    fans[4].leaves = &fans[3]; /* the last one to come is told first */
    fans[1].leaves = &fans[1];
    oak_rpc_call_cancel(w.asked.call);
    world_run(&w);
    const int told[] = {1, 1, 0, 0, 1};
    for (size_t i = 0; i < OAK_COUNT_OF(fans); i++) {
        assert_int_equal(fans[i].told, told[i]);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earlier_deadline_holds),
        cmocka_unit_test(a_child_ends_with_its_parent),
        cmocka_unit_test(a_child_that_has_ended_is_left_alone),
        cmocka_unit_test(tracing_is_passed_on_and_nothing_else),
        cmocka_unit_test(followers_are_told_once_unless_they_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
