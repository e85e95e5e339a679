/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation of a conversation fails once, ours and nghttp2's alike: no call is
 * forgotten, nothing crashes, and all that is ours is given back. */
#include "rpc/test_memory.h"
#include "rpc/test_pair.h"

struct tally {
    int begun;
    int closed;
    int answered;
    struct tally *children;
};

static void tally_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)call;
    (void)b;
    struct tally *t = user;
    t->answered++;
}

static void tally_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    struct tally *t = user;
    t->closed++;
}

static const struct oak_rpc_handler client_handler = {.message = tally_message,
                                                      .closed = tally_closed};

/* A large one goes as a head and bytes that others could send too. */
static int answer(struct oak_rpc_call *call, struct oak_bytes b)
{
    if (b.size < 1000) {
        return oak_rpc_call_send(call, b);
    }
    struct oak_rpc_shared *shared = oak_rpc_shared_new(b.size - 10);
    if (shared == NULL) {
        return OAK_ENOMEM;
    }
    memcpy(oak_rpc_shared_data(shared), b.data + 10, b.size - 10);
    int error = oak_rpc_call_send_shared(call, oak_bytes(b.data, 10), shared,
                                         oak_bytes(oak_rpc_shared_data(shared), b.size - 10));
    oak_rpc_shared_drop(shared);
    return error;
}

static void server_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    struct oak_rpc_pair pair = {oak_bytes_str("x-bin"), b};
    int error = b.size < 100 ? oak_rpc_call_add_trailer(call, pair) : 0;
    if (error == 0) {
        error = answer(call, b);
    }
    if (error != 0 || b.size == 7) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "a text that is not short at all");
    }
}

static void server_half_closed(void *user, struct oak_rpc_call *call)
{
    (void)user;
    struct oak_bytes details = oak_bytes_str("some details");
    if (oak_rpc_call_finish_details(call, OAK_RPC_OK, NULL, details) != 0) {
        oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
    }
}

static struct oak_rpc_conn *onward; /* to the same server: for the sake of calls of "P" */

static void ask_for(struct oak_rpc_conn *conn, struct tally *t, const char *method, size_t size,
                    enum oak_rpc_encoding encoding, struct oak_rpc_call *parent);

static const struct oak_rpc_handler server_handler = {
    .message = server_message, .half_closed = server_half_closed, .closed = tally_closed};

static void server_start(void *user, struct oak_rpc_call *call)
{
    struct tally *t = user;
    t->begun++;
    oak_rpc_call_handle(call, &server_handler, t);
    if (onward != NULL && oak_bytes_eq(oak_rpc_call_path(call), oak_bytes_str("/t.M/P"))) {
        ask_for(onward, t->children, "B", 50, OAK_RPC_IDENTITY, call);
    }
    bool packs = oak_bytes_eq(oak_rpc_call_path(call), oak_bytes_str("/t.M/B"));
    int error = packs ? oak_rpc_call_compress(call, OAK_RPC_GZIP) : 0;
    assert_int_equal(error, 0);
}

static const uint8_t large[70000];

static void ask_for(struct oak_rpc_conn *conn, struct tally *t, const char *method, size_t size,
                    enum oak_rpc_encoding encoding, struct oak_rpc_call *parent)
{
    const struct oak_rpc_pair pairs[] = {{oak_bytes_str("x-bin"), oak_bytes(large, 20)},
                                         {oak_bytes_str("traceparent"), oak_bytes_str("00-1-2-3")}};
    struct oak_rpc_request request = {.service = "t.M",
                                      .method = method,
                                      .timeout_ns = SECOND,
                                      .metadata = pairs,
                                      .metadata_count = parent != NULL ? 1 : 2, /* it has one */
                                      .parent = parent,
                                      .encoding = encoding,
                                      .handler = &client_handler,
                                      .user = t};
    struct oak_rpc_call *call;
    if (oak_rpc_conn_call(conn, &request, 1, &call) != 0) {
        return;
    }
    t->begun++;
    if (oak_rpc_call_send(call, oak_bytes(large, size)) != 0) {
        oak_rpc_call_cancel(call);
        return;
    }
    oak_rpc_call_half_close(call);
}

static void ask(struct oak_rpc_conn *conn, struct tally *t, const char *method, size_t size,
                enum oak_rpc_encoding encoding)
{
    ask_for(conn, t, method, size, encoding, NULL);
}

/* Bytes from one to the other; a broken connection says its last word and is left alone. */
static bool carry(struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    struct oak_bytes b = oak_rpc_conn_take(from);
    size_t at = 0;
    while (at < b.size) {
        size_t size = OAK_MIN((size_t)1000, b.size - at);
        int error = oak_rpc_conn_feed(to, oak_bytes(b.data + at, size), 1);
        OAK_MAYBE(error != 0);
        at += size;
    }
    return b.size > 0;
}

struct seen {
    int opened;
    int closed;
};
static struct seen seen; /* by the interceptor of both sides */

static struct oak_rpc_verdict seen_start(void *user, struct oak_rpc_call *call, void *state)
{
    (void)user;
    (void)call;
    memset(state, 1, 100);
    seen.opened++;
    return (struct oak_rpc_verdict){OAK_RPC_OK, NULL};
}

static void seen_closed(void *user, struct oak_rpc_call *call, void *state,
                        const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
    assert_int_equal(((const uint8_t *)state)[99], 1);
    seen.closed++;
}

static const struct oak_rpc_interceptor seer = {
    .state_bytes = 100, .start = seen_start, .closed = seen_closed};
static const struct oak_rpc_options options = {.interceptors = &seer, .interceptor_count = 1};

static void talk(struct oak_rpc_server *server, struct tally *up, struct tally *down)
{
    struct oak_rpc_conn *c = NULL;
    struct oak_rpc_conn *s = NULL;
    if (oak_rpc_conn_new(NULL, &options, "server", 1, &c) == 0 &&
        oak_rpc_conn_new(server, NULL, "client", 1, &s) == 0) {
        ask(c, up, "U", 7, OAK_RPC_IDENTITY);
        ask(c, up, "B", 50, OAK_RPC_IDENTITY);
        ask(c, up, "U", sizeof(large), OAK_RPC_IDENTITY);
        ask(c, up, "B", sizeof(large), OAK_RPC_DEFLATE);
        ask(c, up, "none", 3, OAK_RPC_IDENTITY);
        for (int i = 0; i < 100 && (carry(c, s) || carry(s, c)); i++) {
        }
        ask(c, up, "U", 30, OAK_RPC_IDENTITY);
        uint64_t next_ns;
        oak_rpc_conn_tick(c, 2 * SECOND, &next_ns);
        for (int i = 0; i < 100 && (carry(c, s) || carry(s, c)); i++) {
        }
    }
    oak_rpc_conn_free(c);
    oak_rpc_conn_free(s);
    assert_int_equal(up->begun, up->closed);
    assert_int_equal(down->begun, down->closed);
    assert_int_equal(seen.opened, seen.closed);
}

/* Calls of which only some may be worked on, and which make others. */
static void talk_within_limits(struct oak_rpc_server *server, struct tally *up, struct tally *down)
{
    struct oak_rpc_conn *c = NULL;
    struct oak_rpc_conn *s = NULL;
    struct oak_rpc_conn *onward_end = NULL;
    if (oak_rpc_conn_new(NULL, &options, "server", 1, &c) == 0 &&
        oak_rpc_conn_new(server, NULL, "client:1", 1, &s) == 0 &&
        oak_rpc_conn_new(NULL, NULL, "server", 1, &onward) == 0 &&
        oak_rpc_conn_new(server, NULL, "onward:1", 1, &onward_end) == 0) {
        for (int i = 0; i < 7; i++) {
            ask(c, up, "P", 50, OAK_RPC_IDENTITY);
        }
        bool any = true;
        for (int i = 0; i < 100 && any; i++) {
            any = carry(c, s);
            any = carry(s, c) || any;
            any = carry(onward, onward_end) || any;
            any = carry(onward_end, onward) || any;
        }
        ask(c, up, "P", 50, OAK_RPC_IDENTITY); /* its child's parent is lost with the connection */
        ask(c, up, "P", 50, OAK_RPC_IDENTITY); /* too often */
        for (int i = 0; i < 3; i++) {
            carry(c, s);
        }
    }
    oak_rpc_conn_free(c);
    oak_rpc_conn_free(s);
    oak_rpc_conn_free(onward);
    oak_rpc_conn_free(onward_end);
    onward = NULL;
    assert_int_equal(up->begun, up->closed);
    assert_int_equal(down->begun, down->closed);
    assert_int_equal(down->children->begun, down->children->closed);
    assert_int_equal(seen.opened, seen.closed);
}

static void conversation_within_limits(struct tally *up, struct tally *down)
{
    struct oak_rpc_server *server;
    const struct oak_rpc_method methods[] = {
        {.service = "t.M", .name = "P", .kind = OAK_RPC_BIDI, .start = server_start, .user = down},
        {.service = "t.M", .name = "B", .kind = OAK_RPC_BIDI, .start = server_start, .user = down},
    };
    const struct oak_rpc_options limited = {
        .limits = {.connection_handlers_max = 2, .rate_per_second = 3}};
    if (oak_rpc_server_new(NULL, &limited, &server) != 0) {
        return;
    }
    if (oak_rpc_server_add(server, &methods[0]) == 0 &&
        oak_rpc_server_add(server, &methods[1]) == 0) {
        talk_within_limits(server, up, down);
    }
    oak_rpc_server_free(server);
}

static void conversation(struct tally *up, struct tally *down)
{
    struct oak_rpc_server *server;
    const struct oak_rpc_method methods[] = {
        {.service = "t.M", .name = "U", .kind = OAK_RPC_UNARY, .start = server_start, .user = down},
        {.service = "t.M", .name = "B", .kind = OAK_RPC_BIDI, .start = server_start, .user = down},
    };
    if (oak_rpc_server_new(NULL, &options, &server) != 0) {
        return;
    }
    if (oak_rpc_server_add(server, &methods[0]) == 0 &&
        oak_rpc_server_add(server, &methods[1]) == 0) {
        talk(server, up, down);
    }
    oak_rpc_server_free(server);
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    struct tally up = {0};
    struct tally down = {0};
    conversation(&up, &down);
    assert_int_equal(up.begun, 6);
    assert_int_equal(up.answered, 4); /* of the refused one, of the one whose time was over: none */
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        up = (struct tally){0};
        down = (struct tally){0};
        conversation(&up, &down);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

static void every_allocation_of_limits_and_parents_may_fail_once(void **state)
{
    (void)state;
    struct tally up = {0};
    struct tally children = {0};
    struct tally down = {.children = &children};
    conversation_within_limits(&up, &down);
    assert_int_equal(up.begun, 9);
    assert_int_equal(children.begun, 3); /* five were too many at once, and one too often */
    assert_int_equal(up.answered, 2);
    assert_int_equal(children.answered, 0); /* their parents ended before */
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        up = (struct tally){0};
        children = (struct tally){0};
        down = (struct tally){.children = &children};
        conversation_within_limits(&up, &down);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_once),
        cmocka_unit_test(every_allocation_of_limits_and_parents_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
