/* SPDX-License-Identifier: Apache-2.0 */
/* intercept_test.c: chains of interceptors on both sides: their order, what they may refuse, what
 * they may add. */
#include <stdio.h>

#include "rpc/test_pair.h"

/* One interceptor of a test: it writes what it sees into a log that all of a test share, and says
 * what it was told to say. */
struct spy {
    char name;
    struct oak_buf *log;
    const char *refuses; /* the function that refuses: "start", "received", "sent" */
    bool finishes;       /* `start` finishes the call by itself */
    bool adds;           /* metadata, where it may */
    int opened;
    int closed;
    enum oak_rpc_code code;
};

/* What it has for each call. */
struct spy_state {
    char zero[24];
    uint32_t begun;
};

static void spy_log(struct spy *s, const char *what)
{
    assert_int_equal(oak_buf_printf(s->log, "%c.%s ", s->name, what), 0);
}

static struct oak_rpc_verdict verdict_of(const struct spy *s, const char *what)
{
    bool refuses = s->refuses != NULL && strcmp(s->refuses, what) == 0;
    return (struct oak_rpc_verdict){refuses ? OAK_RPC_PERMISSION_DENIED : OAK_RPC_OK,
                                    refuses ? "not for you" : NULL};
}

static struct oak_rpc_pair text_pair(const char *name, const char *value)
{
    return (struct oak_rpc_pair){oak_bytes_str(name), oak_bytes_str(value)};
}

static struct oak_rpc_verdict spy_start(void *user, struct oak_rpc_call *call, void *state)
{
    static const struct spy_state zeros;
    struct spy *s = user;
    struct spy_state *mine = state;
    assert_memory_equal(mine, &zeros, sizeof(zeros));
    assert_int_equal((uintptr_t)mine % _Alignof(max_align_t), 0);
    memset(mine, 0x55, sizeof(*mine));
    s->opened++;
    mine->begun = (uint32_t)s->name;
    spy_log(s, "start");
    if (s->finishes) {
        oak_rpc_call_finish(call, OAK_RPC_UNAUTHENTICATED, "who are you?");
    } else if (s->adds && oak_rpc_call_metadata(call, "user-agent").data == NULL) { /* a client */
        assert_int_equal(oak_rpc_call_add_header(call, text_pair("x-test-initial", "by spy")), 0);
    }
    return verdict_of(s, "start");
}

static struct oak_rpc_verdict spy_received(void *user, struct oak_rpc_call *call, void *state,
                                           struct oak_bytes message)
{
    (void)call;
    struct spy *s = user;
    assert_int_equal(((struct spy_state *)state)->begun, s->name);
    assert_true(oak_bytes_eq(message, oak_bytes_str("hello")));
    spy_log(s, "received");
    return verdict_of(s, "received");
}

static struct oak_rpc_verdict spy_sent(void *user, struct oak_rpc_call *call, void *state,
                                       size_t size)
{
    (void)call;
    struct spy *s = user;
    assert_int_equal(((struct spy_state *)state)->begun, s->name);
    assert_int_equal(size, 5);
    spy_log(s, "sent");
    return verdict_of(s, "sent");
}

static void spy_headers(void *user, struct oak_rpc_call *call, void *state)
{
    struct spy *s = user;
    assert_int_equal(((struct spy_state *)state)->begun, s->name);
    spy_log(s, "headers");
    if (s->adds && oak_rpc_call_metadata(call, "user-agent").data != NULL) { /* a server */
        assert_int_equal(oak_rpc_call_add_header(call, text_pair("x-spy", "head")), 0);
    }
}

static void spy_finish(void *user, struct oak_rpc_call *call, void *state, enum oak_rpc_code code)
{
    struct spy *s = user;
    assert_int_equal(((struct spy_state *)state)->begun, s->name);
    assert_int_equal(oak_buf_printf(s->log, "%c.finish(%d) ", s->name, code), 0);
    if (s->adds) {
        assert_int_equal(oak_rpc_call_add_trailer(call, text_pair("x-test-trailing-bin", "tail")),
                         0);
    }
}

static void spy_closed(void *user, struct oak_rpc_call *call, void *state,
                       const struct oak_rpc_status *status)
{
    (void)call;
    struct spy *s = user;
    assert_int_equal(((struct spy_state *)state)->begun, s->name);
    s->closed++;
    s->code = status->code;
    assert_int_equal(oak_buf_printf(s->log, "%c.closed(%d) ", s->name, status->code), 0);
}

static struct oak_rpc_interceptor spy(struct spy *s)
{
    return (struct oak_rpc_interceptor){
        .state_bytes = sizeof(struct spy_state),
        .start = spy_start,
        .received = spy_received,
        .sent = spy_sent,
        .headers = spy_headers,
        .finish = spy_finish,
        .closed = spy_closed,
        .user = s,
    };
}

/* -- two on each side, and one that knows nothing in their midst ------------------------------- */

struct world {
    struct pair p;
    struct oak_buf log;
    struct spy spies[4]; /* A and B of the server, C and D of the client */
    struct oak_rpc_interceptor chains[2][3];
    struct recorder r;
    uint32_t handlers_max; /* of the server; 0: the default */
};

static void world_open(struct world *w)
{
    struct oak_rpc_options options[2] = {0};
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < 2; i++) {
            struct spy *s = &w->spies[side * 2 + i];
            s->name = (char)('A' + side * 2 + i);
            s->log = &w->log;
            w->chains[side][i * 2] = spy(s);
        }
        options[side].interceptors = w->chains[side];
        options[side].interceptor_count = 3;
    }
    options[0].limits.handlers_max = w->handlers_max;
    pair_open(&w->p, &options[0], &options[1]);
}

static void world_close(struct world *w)
{
    pair_close(&w->p);
    recorder_fini(&w->r);
    oak_buf_fini(&w->log);
}

static void world_ask(struct world *w)
{
    pair_call(&w->p, "Unary", 0, &w->r);
    int error = oak_rpc_call_send(w->r.call, oak_bytes_str("hello"));
    OAK_MAYBE(error != 0); /* it may have been refused */
    oak_rpc_call_half_close(w->r.call);
    assert_int_equal(w->r.closed, 0); /* nothing is told from inside */
    pair_run(&w->p);
    assert_int_equal(w->r.closed, 1);
}

static void logged(const struct world *w, const char *text)
{
    if (!oak_bytes_eq(oak_buf_bytes(&w->log), oak_bytes_str(text))) {
        fail_msg("logged: %.*s\nwanted: %s", (int)w->log.size, (const char *)w->log.data, text);
    }
}

static void each_sees_the_call_pass_in_its_turn(void **state)
{
    (void)state;
    struct world w = {0};
    world_open(&w);
    world_ask(&w);
    assert_int_equal(w.r.code, OAK_RPC_OK);
    logged(&w, "C.start D.start C.sent D.sent "
               "A.start B.start A.received B.received "
               "B.sent A.sent B.headers A.headers B.finish(0) A.finish(0) B.closed(0) A.closed(0) "
               "D.headers C.headers D.received C.received D.closed(0) C.closed(0) ");
    oak_buf_clear(&w.log);
    recorder_fini(&w.r);
    w.r = (struct recorder){0};
    world_ask(&w); /* with memory of the first call's */
    assert_int_equal(w.r.code, OAK_RPC_OK);
    world_close(&w);
}

static void what_is_refused_at_its_start_is_never_known_inside(void **state)
{
    (void)state;
    struct world w = {.spies[0].refuses = "start"};
    world_open(&w);
    world_ask(&w);
    assert_int_equal(w.r.code, OAK_RPC_PERMISSION_DENIED);
    assert_string_equal(w.r.text, "not for you");
    assert_int_equal(w.p.echo.started, 0);
    logged(&w, "C.start D.start C.sent D.sent "
               "A.start A.finish(7) A.headers A.closed(7) D.closed(7) C.closed(7) ");
    const struct oak_rpc_method_stats *stats;
    oak_rpc_server_stats(w.p.server, &stats);
    assert_int_equal(stats[0].handled[OAK_RPC_PERMISSION_DENIED], 1);
    world_close(&w);
}

/* An unknown method, and one call more than may be worked on. */
static void a_server_s_see_only_what_begins(void **state)
{
    (void)state;
    struct world w = {0};
    struct recorder busy = {0};
    w.handlers_max = 1;
    world_open(&w);
    send_text(pair_call(&w.p, "Watch", 0, &busy), "hello");
    pair_run(&w.p);
    for (size_t i = 0; i < 2; i++) {
        struct recorder r = {0};
        pair_call(&w.p, i == 0 ? "None" : "Unary", 0, &r);
        oak_rpc_call_half_close(r.call);
        pair_run(&w.p);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.code, i == 0 ? OAK_RPC_UNIMPLEMENTED : OAK_RPC_UNAVAILABLE);
        recorder_fini(&r);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(w.spies); i++) {
        bool client = i >= 2;
        assert_int_equal(w.spies[i].opened, client ? 3 : 1);
    }
    oak_rpc_call_cancel(busy.call);
    pair_run(&w.p);
    recorder_fini(&busy);
    world_close(&w);
}

static void one_may_finish_the_call_by_itself(void **state)
{
    (void)state;
    struct world w = {.spies[0].finishes = true};
    world_open(&w);
    world_ask(&w);
    assert_int_equal(w.r.code, OAK_RPC_UNAUTHENTICATED);
    assert_string_equal(w.r.text, "who are you?");
    assert_int_equal(w.p.echo.started, 0);
    assert_int_equal(w.spies[1].opened, 0);
    assert_int_equal(w.spies[0].closed, 1);
    world_close(&w);
}

static void a_client_refuses_before_anything_leaves(void **state)
{
    (void)state;
    struct world w = {.spies[2].refuses = "start"};
    world_open(&w);
    pair_run(&w.p);
    size_t carried = w.p.carried;
    pair_call(&w.p, "Unary", 0, &w.r);
    assert_int_equal(oak_rpc_call_send(w.r.call, oak_bytes_str("hello")), OAK_ECLOSED);
    oak_rpc_call_cancel(w.r.call); /* its status is settled */
    assert_int_equal(w.r.closed, 0);
    pair_run(&w.p);
    assert_int_equal(w.r.closed, 1);
    assert_int_equal(w.r.code, OAK_RPC_PERMISSION_DENIED);
    assert_string_equal(w.r.text, "not for you");
    assert_int_equal(w.p.carried, carried);
    logged(&w, "C.start C.closed(7) ");
    world_close(&w);
}

static void a_message_may_be_refused_on_its_way(void **state)
{
    (void)state;
    static const struct {
        size_t spy;
        const char *what;
        int echoed;   /* messages that the service saw */
        int answered; /* messages that the client's handler saw */
    } cases[] = {
        {0, "received", 0, 0}, {1, "received", 0, 0}, {0, "sent", 1, 0}, {1, "sent", 1, 0},
        {2, "received", 1, 0}, {3, "received", 1, 0}, {2, "sent", 0, 0}, {3, "sent", 0, 0},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w = {0};
        w.spies[cases[i].spy].refuses = cases[i].what;
        world_open(&w);
        w.p.echo.may_fail = true;
        world_ask(&w);
        assert_int_equal(w.r.code, OAK_RPC_PERMISSION_DENIED);
        assert_string_equal(w.r.text, "not for you");
        assert_int_equal(w.p.echo.messages, cases[i].echoed);
        assert_int_equal(w.r.messages, cases[i].answered);
        for (size_t s = 0; s < OAK_COUNT_OF(w.spies); s++) {
            assert_int_equal(w.spies[s].opened, w.spies[s].closed);
        }
        world_close(&w);
    }
}

static void each_side_adds_what_it_may(void **state)
{
    (void)state;
    struct world w = {.spies[1].adds = true, .spies[3].adds = true};
    world_open(&w);
    world_ask(&w);
    assert_int_equal(w.r.code, OAK_RPC_OK);
    assert_string_equal(w.r.initial, "by spy"); /* the service says it back */
    assert_int_equal(w.r.trailing_size, 4);
    assert_memory_equal(w.r.trailing, "tail", 4);
    assert_true(oak_bytes_eq(oak_bytes_str(w.r.spy), oak_bytes_str("head")));
    world_close(&w);
}

static void a_call_that_is_cancelled_or_lost_is_closed_for_all(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct world w = {0};
        world_open(&w);
        pair_call(&w.p, "Bidi", how == 1 ? SECOND : 0, &w.r);
        send_text(w.r.call, "hello");
        pair_run(&w.p);
        assert_int_equal(w.spies[0].closed, 0);
        if (how == 0) {
            oak_rpc_call_cancel(w.r.call);
            pair_run(&w.p);
        } else if (how == 1) {
            pair_tick(&w.p, 2 * SECOND);
            pair_run(&w.p);
        } else {
            oak_rpc_conn_free(w.p.server_conn);
            oak_rpc_conn_free(w.p.client_conn);
            w.p.server_conn = NULL;
            w.p.client_conn = NULL;
        }
        const enum oak_rpc_code codes[] = {OAK_RPC_CANCELLED, OAK_RPC_DEADLINE_EXCEEDED,
                                           OAK_RPC_UNAVAILABLE};
        for (size_t s = 0; s < OAK_COUNT_OF(w.spies); s++) {
            assert_int_equal(w.spies[s].closed, 1);
            assert_int_equal(w.spies[s].code, codes[how]);
        }
        assert_int_equal(w.r.closed, 1);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sees_the_call_pass_in_its_turn),
        cmocka_unit_test(what_is_refused_at_its_start_is_never_known_inside),
        cmocka_unit_test(a_server_s_see_only_what_begins),
        cmocka_unit_test(one_may_finish_the_call_by_itself),
        cmocka_unit_test(a_client_refuses_before_anything_leaves),
        cmocka_unit_test(a_message_may_be_refused_on_its_way),
        cmocka_unit_test(each_side_adds_what_it_may),
        cmocka_unit_test(a_call_that_is_cancelled_or_lost_is_closed_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
