/* SPDX-License-Identifier: Apache-2.0 */
/* test_gate.h: for tests of this room: demo.v1.Echo behind paths of an HTTP server, and one client
 * of it, over streams of a loop that the test turns. */
#ifndef OAK_TRANSCODE_TEST_GATE_H
#define OAK_TRANSCODE_TEST_GATE_H

#include <stdio.h>

#include "stub/test_echo.h"

#include "transcode/transcode.h"

#define TELL_BYTES 10000

struct gate {
    struct fake_loop loop;
    struct oak_http_server *http;
    struct oak_rpc_server *methods;
    struct oak_transcode *door;
    struct fake_stream *client; /* NULL: gone */
    struct fake_stream *server_end;
    struct oak_buf got;
    struct oak_buf body;             /* of the last answer, as a text */
    struct oak_stub_call *later;     /* of Say "later", or the last of a stream */
    struct oak_stub_call *laters[8]; /* of Say "later" */
    size_t later_count;
    int said;
    int messages;
    int half_closed;
    int writable;
    int closed;
    enum oak_rpc_code code; /* of the last that was closed */
    char status[128];
    int32_t left; /* texts that Tell owes */
    size_t most;  /* that were queued */
    bool pauses;  /* Talk, after each message */
    uint64_t deadline_ns;
    char path[64];
    char seen[512]; /* metadata of the last request, and who asked */
};

/* -- the methods ------------------------------------------------------------------------------- */

static inline void gate_closed(void *user, struct oak_stub_call *call,
                               const struct oak_rpc_status *status)
{
    struct gate *g = user;
    g->closed++;
    g->code = status->code;
    snprintf(g->status, sizeof(g->status), "%.*s", (int)status->message.size,
             (const char *)status->message.data);
    if (g->later == call) {
        g->later = NULL;
    }
    for (size_t i = 0; i < g->later_count; i++) {
        if (g->laters[i] == call) {
            g->laters[i] = g->laters[--g->later_count];
        }
    }
}

/* "name=value;" for each pair, but what every request has. */
static inline void gate_look(struct gate *g, struct oak_stub_call *stub)
{
    const struct oak_rpc_call *call = oak_stub_rpc(stub);
    struct oak_bytes path = oak_rpc_call_path(call);
    struct oak_rpc_pair pair;
    size_t at = 0;
    size_t size = 0;
    g->deadline_ns = oak_rpc_call_deadline_ns(call);
    snprintf(g->path, sizeof(g->path), "%.*s", (int)path.size, (const char *)path.data);
    g->seen[0] = '\0';
    while (oak_rpc_call_metadata_next(call, OAK_RPC_HEADERS, &at, &pair)) {
        if (!oak_bytes_eq(pair.name, oak_bytes_str("grpcgateway-host"))) {
            size += (size_t)snprintf(g->seen + size, sizeof(g->seen) - size, "%.*s=%.*s;",
                                     (int)pair.name.size, (const char *)pair.name.data,
                                     (int)pair.value.size, (const char *)pair.value.data);
        }
    }
}

static inline void gate_say(void *user, struct oak_stub_call *call, const text_message *request)
{
    struct gate *g = user;
    unsigned code = 0;
    g->said++;
    gate_look(g, call);
    oak_stub_on_closed(call, gate_closed);
    if (sscanf(request->text, "code %u", &code) == 1) {
        oak_stub_finish(call, (enum oak_rpc_code)code, "it is \"so\"");
    } else if (strcmp(request->text, "details") == 0) {
        OAK_MAYBE(oak_stub_finish_details(call, OAK_RPC_ABORTED, "see there",
                                          oak_bytes_str("\x01\xff")) != 0);
    } else if (strcmp(request->text, "cancel") == 0) {
        oak_stub_cancel(call);
    } else if (strcmp(request->text, "header") == 0) {
        struct oak_rpc_call *rpc = oak_stub_rpc(call);
        const struct oak_rpc_pair text = {oak_bytes_str("x-a"), oak_bytes_str("b c")};
        const struct oak_rpc_pair raw = {oak_bytes_str("x-bin"), oak_bytes_str("\xff")};
        const struct oak_rpc_pair bad = {oak_bytes_str("x-a"), oak_bytes_str("b\r\nc: d")};
        assert_int_equal(oak_rpc_call_add_header(rpc, text), 0);
        assert_int_equal(oak_rpc_call_add_header(rpc, raw), 0);
        assert_int_equal(oak_rpc_call_add_header(rpc, bad), OAK_EINVAL);
        OAK_MAYBE(oak_stub_reply(call, &request->base) != 0);
    } else if (strcmp(request->text, "later") == 0) {
        assert_true(g->later_count < OAK_COUNT_OF(g->laters));
        g->laters[g->later_count++] = call;
    } else {
        OAK_MAYBE(oak_stub_reply(call, &request->base) != 0);
    }
}

/* As many texts as asked for, as fast as they are taken. */
static inline void gate_tell_on(void *user, struct oak_stub_call *call)
{
    struct gate *g = user;
    static char text[TELL_BYTES + 1];
    memset(text, 'x', TELL_BYTES);
    text_message response = DEMO__TYPES__V1__TEXT__INIT;
    response.text = g->left > 9 ? text : (char *)(uintptr_t) "few";
    while (g->left > 0 && oak_stub_queued(call) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        int64_t number = g->left;
        response.numbers = &number;
        response.n_numbers = 1;
        assert_int_equal(demo__v1__echo__tell__reply(call, &response), 0);
        g->most = OAK_MAX(g->most, oak_stub_queued(call));
        g->left--;
    }
    if (g->left == 0) {
        oak_stub_finish(call, OAK_RPC_OK, NULL);
        assert_int_equal(demo__v1__echo__tell__reply(call, &response), OAK_ECLOSED);
    }
}

static inline void gate_tell(void *user, struct oak_stub_call *call, const count_message *request)
{
    struct gate *g = user;
    gate_look(g, call);
    g->later = call;
    g->left = request->count;
    if (request->count >= 0) {
        gate_tell_on(user, call);
    } else {
        oak_stub_finish(call, OAK_RPC_OUT_OF_RANGE, "less than none");
    }
}

static inline void gate_tell_writable(void *user, struct oak_stub_call *call)
{
    ((struct gate *)user)->writable++;
    gate_tell_on(user, call);
}

static inline void gate_message(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)call;
    (void)request;
    ((struct gate *)user)->messages++;
}

static inline void gate_gathered(void *user, struct oak_stub_call *call)
{
    struct gate *g = user;
    count_message response = DEMO__V1__COUNT__INIT;
    g->half_closed++;
    response.count = g->messages;
    OAK_MAYBE(demo__v1__echo__gather__reply(call, &response) != 0);
}

static inline void gate_talk_start(void *user, struct oak_stub_call *call)
{
    struct gate *g = user;
    gate_look(g, call);
    g->later = call;
}

/* Each text as it comes; "end" and "fail" end it. */
static inline void gate_talk(void *user, struct oak_stub_call *call, const text_message *request)
{
    struct gate *g = user;
    g->messages++;
    if (strcmp(request->text, "end") == 0) {
        oak_stub_finish(call, OAK_RPC_OK, NULL);
    } else if (strcmp(request->text, "fail") == 0) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, "no such \"text\"");
    } else {
        OAK_MAYBE(demo__v1__echo__talk__reply(call, request) != 0);
        oak_rpc_call_pause(oak_stub_rpc(call), g->pauses);
    }
    g->most = OAK_MAX(g->most, oak_stub_queued(call));
}

/* The other half stays open, as that of a watch. */
static inline void gate_talk_half(void *user, struct oak_stub_call *call)
{
    (void)call;
    ((struct gate *)user)->half_closed++;
}

static inline void gate_writable(void *user, struct oak_stub_call *call)
{
    (void)call;
    ((struct gate *)user)->writable++;
}

static const struct demo__v1__echo_handlers gate_handlers = {
    .say = gate_say,
    .tell = {.request = gate_tell, .writable = gate_tell_writable, .closed = gate_closed},
    .gather = {.message = gate_message, .half_closed = gate_gathered, .closed = gate_closed},
    .talk = {.start = gate_talk_start,
             .message = gate_talk,
             .half_closed = gate_talk_half,
             .writable = gate_writable,
             .closed = gate_closed},
};

static const char *const gate_prefixes[] = {"/v3/", "/v3beta/"};
static const struct oak_transcode_route gate_routes[] = {
    {"say", "demo.v1.Echo", "Say"},        {"tell", "demo.v1.Echo", "Tell"},
    {"gather", "demo.v1.Echo", "Gather"},  {"talk", "demo.v1.Echo", "Talk"},
    {"none", "demo.v1.Echo", "None"},      {"other", "demo.v1.Other", "None"},
    {"newer", "demo.v1.Echo", "NewerSay"},
};

/* -- the client -------------------------------------------------------------------------------- */

static inline void gate_data(void *user, struct oak_bytes bytes)
{
    struct gate *g = user;
    assert_int_equal(oak_buf_append(&g->got, bytes.data, bytes.size), 0);
}

static inline void gate_drained(void *user)
{
    (void)user;
}

static inline void gate_gone(void *user, int error)
{
    (void)error;
    ((struct gate *)user)->client = NULL;
}

static inline void gate_accept(void *arg, struct oak_stream *s)
{
    struct gate *g = arg;
    assert_int_equal(oak_http_serve(g->http, s, oak_bytes(NULL, 0)), 0);
}

static inline void gate_connected(void *arg, int error, struct oak_stream *s)
{
    struct gate *g = arg;
    assert_int_equal(error, 0);
    g->client = (struct fake_stream *)s;
    const struct oak_stream_handler handler = {
        .data = gate_data, .drained = gate_drained, .closed = gate_gone, .user = g};
    s->ops->handle(s, &handler);
}

static inline void gate_connect(struct gate *g)
{
    assert_int_equal(fake_connect(&g->loop, "fake:1", SECOND, gate_connected, g), 0);
    fake_run(&g->loop);
    g->server_end = g->loop.server_end;
    oak_buf_clear(&g->got);
}

/* `limits`: sizes and numbers of it count, the rest is the gate's. */
static inline void gate_open(struct gate *g, const struct oak_transcode_options *limits)
{
    struct oak_transcode_options options =
        limits != NULL ? *limits : (struct oak_transcode_options){0};
    *g = (struct gate){0};
    fake_loop_init(&g->loop);
    g->loop.accepted = gate_accept;
    g->loop.accepted_arg = g;
    assert_int_equal(oak_http_server_new(&g->loop.port, NULL, &g->http), 0);
    assert_int_equal(oak_rpc_server_new(&g->loop.port, NULL, &g->methods), 0);
    assert_int_equal(demo__v1__echo_add(g->methods, &gate_handlers, g), 0);
    options.loop = &g->loop.port;
    options.http = g->http;
    options.methods = g->methods;
    options.prefixes = gate_prefixes;
    options.prefix_count = OAK_COUNT_OF(gate_prefixes);
    options.routes = gate_routes;
    options.route_count = OAK_COUNT_OF(gate_routes);
    assert_int_equal(oak_transcode_new(&options, &g->door), 0);
    gate_connect(g);
}

static inline void gate_hang_up(struct gate *g)
{
    if (g->client != NULL) {
        fake_close(&g->client->base, true);
    }
    fake_run(&g->loop);
    assert_int_equal(oak_http_server_connections(g->http), 0);
}

static inline struct oak_transcode_traffic gate_traffic(const struct gate *g)
{
    struct oak_transcode_traffic t;
    oak_transcode_traffic(g->door, &t);
    return t;
}

static inline void gate_close(struct gate *g)
{
    gate_hang_up(g);
    struct oak_transcode_traffic t = gate_traffic(g);
    uint64_t ended = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(t.handled); i++) {
        ended += t.handled[i];
    }
    assert_int_equal(t.calls, 0);
    assert_int_equal(t.started, ended);
    oak_transcode_free(g->door);
    oak_http_server_free(g->http);
    oak_rpc_server_free(g->methods);
    fake_loop_fini(&g->loop);
    oak_buf_fini(&g->got);
    oak_buf_fini(&g->body);
}

/* `headers`: lines with their ends. */
static inline void gate_send(struct gate *g, const char *method, const char *path,
                             const char *headers, struct oak_bytes body)
{
    struct oak_buf text = {0};
    assert_non_null(g->client);
    assert_int_equal(oak_buf_printf(&text,
                                    "%s %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n",
                                    method, path, headers, body.size),
                     0);
    assert_int_equal(oak_buf_append(&text, body.data, body.size), 0);
    OAK_MAYBE(fake_write(&g->client->base, oak_buf_bytes(&text)) != 0);
    oak_buf_fini(&text);
    fake_run(&g->loop);
}

static inline void gate_post(struct gate *g, const char *path, const char *body)
{
    gate_send(g, "POST", path, "", oak_bytes_str(body));
}

/* -- what came --------------------------------------------------------------------------------- */

static inline const char *gate_got(struct gate *g)
{
    assert_int_equal(oak_buf_append(&g->got, "", 1), 0);
    g->got.size--;
    return (const char *)g->got.data;
}

/* The pieces of a chunked answer, as a text; *whole: the last one is there. */
static inline void gate_unchunk(struct gate *g, const char *at, bool *whole)
{
    *whole = false;
    while (!*whole && *at != '\0') {
        char *end;
        size_t size = strtoul(at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        at = end + 2;
        assert_int_equal(oak_buf_append(&g->body, at, size), 0);
        assert_memory_equal(at + size, "\r\n", 2);
        at += size + 2;
        *whole = size == 0;
    }
    assert_string_equal(at, "");
}

/* The answer that has come: its status. The body is in g->body, a text. */
static inline int gate_answer(struct gate *g, bool *whole)
{
    const char *text = gate_got(g);
    int status = 0;
    size_t size = 0;
    if (sscanf(text, "HTTP/1.1 %d ", &status) != 1) {
        return 0;
    }
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    const char *length = strstr(text, "Content-Length: ");
    oak_buf_clear(&g->body);
    *whole = true;
    if (length != NULL && length < end) {
        assert_int_equal(sscanf(length, "Content-Length: %zu", &size), 1);
        assert_int_equal(strlen(end + 4), size);
        assert_int_equal(oak_buf_append(&g->body, end + 4, size), 0);
    } else {
        assert_non_null(strstr(text, "Transfer-Encoding: chunked\r\n"));
        gate_unchunk(g, end + 4, whole);
    }
    assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
    assert_int_equal(oak_buf_append(&g->body, "", 1), 0);
    return status;
}

/* One answer has come, and nothing else. */
static inline void gate_expect(struct gate *g, int status, const char *body)
{
    bool whole;
    int got = gate_answer(g, &whole);
    if (got != status || strcmp((const char *)g->body.data, body) != 0) {
        fail_msg("%d %s\nwanted %d %s", got, (const char *)g->body.data, status, body);
    }
    assert_true(whole);
    oak_buf_clear(&g->got);
}

static inline void gate_ask(struct gate *g, const char *path, const char *request, int status,
                            const char *body)
{
    gate_post(g, path, request);
    gate_expect(g, status, body);
}

#endif
