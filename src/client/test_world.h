/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.h: for tests of this room: a client, and a server that says what the test wants, over
 * streams of a loop that the test turns. */
#ifndef OAK_CLIENT_TEST_WORLD_H
#define OAK_CLIENT_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/proto.h"
#include "proto/rpc.oak.h"

#include "client/internal.h"
#include "rpc/test_loop.h"

#define SECOND ((uint64_t)1000000000)

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_client *client;
    char heard[4096]; /* what the server was asked, a word each, with a space behind */

    /* Auth */
    int tokens;              /* as many were given; the last is good: "T3" */
    bool auth;               /* it is on */
    const char *login_text;  /* what a login is told, FAILED_PRECONDITION; NULL: a token */
    const char *login_token; /* what is given for one; NULL: "T3" */
    bool login_hold;         /* it is answered later */
    struct oak_stub_call *login;

    /* KV: what a request is told; NULL: OK */
    const char *text;
    enum oak_rpc_code code;
    bool hold;  /* it is answered later */
    bool empty; /* no key is found */
    struct oak_stub_call *held[8];
    size_t held_count;

    /* streams; NULL: none is open */
    struct oak_stub_call *watch;
    struct oak_stub_call *keep;
    int64_t watch_id; /* of the last create */
    int64_t watch_from;
};

static inline void hear(struct world *w, const char *format, ...) OAK_PRINTF(2, 3);
static inline void hear(struct world *w, const char *format, ...)
{
    size_t used = strlen(w->heard);
    va_list args;
    va_start(args, format);
    vsnprintf(w->heard + used, sizeof(w->heard) - used, format, args);
    va_end(args);
    assert_true(strlen(w->heard) + 1 < sizeof(w->heard));
}

/* The server was asked this since the last time. */
static inline void asked(struct world *w, const char *expected)
{
    assert_string_equal(w->heard, expected);
    w->heard[0] = '\0';
}

/* -- the server -------------------------------------------------------------------------------- */

static inline bool let_in(struct world *w, struct oak_stub_call *call)
{
    struct oak_bytes token = oak_stub_metadata(call, "token");
    char good[16];
    snprintf(good, sizeof(good), "T%d", w->tokens);
    hear(w, "%.*s ", (int)token.size, token.size > 0 ? (const char *)token.data : "");
    return !w->auth || oak_bytes_eq(token, oak_bytes_str(good));
}

static inline void login_answer(struct world *w, struct oak_stub_call *call)
{
    Etcdserverpb__AuthenticateResponse response = ETCDSERVERPB__AUTHENTICATE_RESPONSE__INIT;
    char token[16];
    if (w->login_text != NULL) {
        oak_stub_finish(call, OAK_RPC_FAILED_PRECONDITION, w->login_text);
        return;
    }
    snprintf(token, sizeof(token), "T%d", ++w->tokens);
    response.token = w->login_token != NULL ? (char *)w->login_token : token;
    etcdserverpb__auth__authenticate__reply(call, &response);
}

static inline void serve_login(void *user, struct oak_stub_call *call,
                               const Etcdserverpb__AuthenticateRequest *request)
{
    struct world *w = user;
    hear(w, "login:%s/%s ", request->name, request->password);
    if (w->login_hold) {
        w->login = call;
    } else {
        login_answer(w, call);
    }
}

/* True: it is to be answered with what is asked for. */
static inline bool serve(struct world *w, struct oak_stub_call *call, const char *name)
{
    hear(w, "%s:", name);
    if (!let_in(w, call)) {
        oak_stub_finish(call, OAK_RPC_UNAUTHENTICATED, oak_error_text(OAK_EINVALIDAUTHTOKEN));
        return false;
    }
    if (w->text != NULL) {
        oak_stub_finish(call, w->code, w->text);
        return false;
    }
    if (w->hold) {
        assert_true(w->held_count < OAK_COUNT_OF(w->held));
        w->held[w->held_count++] = call;
    }
    return !w->hold;
}

static inline void serve_range(void *user, struct oak_stub_call *call,
                               const Etcdserverpb__RangeRequest *request)
{
    if (serve(user, call, "range")) {
        Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
        Etcdserverpb__RangeResponse response = ETCDSERVERPB__RANGE_RESPONSE__INIT;
        Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
        Mvccpb__KeyValue *kvs[] = {&kv};
        char value[64];
        snprintf(value, sizeof(value), "%zu+%zu", request->key.len, request->range_end.len);
        kv.key = request->key;
        kv.value = oak_proto_binary(oak_bytes_str(value));
        kv.mod_revision = 7;
        header.revision = 9;
        response.header = &header;
        response.kvs = kvs;
        response.n_kvs = ((struct world *)user)->empty ? 0 : 1;
        response.count = 3;
        response.more = true;
        etcdserverpb__kv__range__reply(call, &response);
    }
}

static inline void serve_put(void *user, struct oak_stub_call *call,
                             const Etcdserverpb__PutRequest *request)
{
    (void)request;
    if (serve(user, call, "put")) {
        Etcdserverpb__PutResponse response = ETCDSERVERPB__PUT_RESPONSE__INIT;
        etcdserverpb__kv__put__reply(call, &response);
    }
}

static inline void serve_watch(void *user, struct oak_stub_call *call,
                               const Etcdserverpb__WatchRequest *request)
{
    struct world *w = user;
    if (call != w->watch) {
        hear(w, "stream:");
        bool in = let_in(w, call);
        w->watch = call;
        if (!in) {
            oak_stub_finish(call, OAK_RPC_UNAUTHENTICATED, oak_error_text(OAK_EINVALIDAUTHTOKEN));
            return;
        }
    }
    if (request->request_union_case == ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST) {
        const Etcdserverpb__WatchCreateRequest *create = request->create_request;
        w->watch_id = create->watch_id;
        w->watch_from = create->start_revision;
        hear(w, "create:%d@%d ", (int)create->watch_id, (int)create->start_revision);
    } else if (request->request_union_case ==
               ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST) {
        hear(w, "cancel:%d ", (int)request->cancel_request->watch_id);
    } else {
        hear(w, "progress ");
    }
}

static inline void watch_closed(void *user, struct oak_stub_call *call,
                                const struct oak_rpc_status *status)
{
    struct world *w = user;
    (void)status;
    w->watch = w->watch == call ? NULL : w->watch;
}

static inline void serve_keep(void *user, struct oak_stub_call *call,
                              const Etcdserverpb__LeaseKeepAliveRequest *request)
{
    struct world *w = user;
    w->keep = call;
    hear(w, "keep:%d ", (int)request->id);
}

static inline void keep_closed(void *user, struct oak_stub_call *call,
                               const struct oak_rpc_status *status)
{
    struct world *w = user;
    (void)status;
    w->keep = w->keep == call ? NULL : w->keep;
}

static inline void world_accept(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    assert_int_equal(oak_rpc_serve(w->server, s, oak_bytes(NULL, 0)), 0);
}

static const struct etcdserverpb__auth_handlers auth_handlers = {.authenticate = serve_login};
static const struct etcdserverpb__kv_handlers kv_handlers = {.range = serve_range,
                                                             .put = serve_put};
static const struct etcdserverpb__watch_handlers watch_handlers = {
    .watch = {.message = serve_watch, .closed = watch_closed}};
static const struct etcdserverpb__lease_handlers lease_handlers = {
    .lease_keep_alive = {.message = serve_keep, .closed = keep_closed}};

/* False: no memory. `hold` as in the loop. */
static inline bool world_begin(struct world *w, const struct oak_client_options *options,
                               void (*hold)(bool on))
{
    *w = (struct world){.code = OAK_RPC_UNAVAILABLE};
    fake_loop_init(&w->loop);
    w->loop.hold = hold;
    w->loop.accepted = world_accept;
    w->loop.accepted_arg = w;
    struct oak_client_options o = *options;
    o.policy = "pick_first";
    return oak_rpc_server_new(&w->loop.port, NULL, &w->server) == 0 &&
           etcdserverpb__auth_add(w->server, &auth_handlers, w) == 0 &&
           etcdserverpb__kv_add(w->server, &kv_handlers, w) == 0 &&
           etcdserverpb__watch_add(w->server, &watch_handlers, w) == 0 &&
           etcdserverpb__lease_add(w->server, &lease_handlers, w) == 0 &&
           oak_client_new(&w->loop.port, "fake:1", &o, &w->client, NULL) == 0;
}

static inline void world_open(struct world *w, const struct oak_client_options *options)
{
    static const struct oak_client_options none;
    assert_true(world_begin(w, options != NULL ? options : &none, NULL));
}

/* Those that are held will not be answered. */
static inline void held_end(struct world *w)
{
    while (w->held_count > 0) {
        oak_stub_finish(w->held[--w->held_count], OAK_RPC_UNAVAILABLE, NULL);
    }
}

static inline void world_close(struct world *w)
{
    held_end(w);
    oak_client_free(w->client);
    fake_run(&w->loop);
    if (w->server != NULL) {
        oak_rpc_server_free(w->server);
    }
    fake_loop_fini(&w->loop);
}

static inline void run(struct world *w)
{
    fake_run(&w->loop);
}

/* Turn the clock in small steps, so that nothing is due long before it is looked at. */
static inline void pass(struct world *w, uint64_t ns)
{
    uint64_t end_ns = w->loop.now_ns + ns;
    run(w);
    while (w->loop.now_ns < end_ns) {
        w->loop.now_ns = OAK_MIN(end_ns, w->loop.now_ns + SECOND / 50);
        run(w);
    }
}

/* The connection breaks, and with it all streams. */
static inline void cut(struct world *w)
{
    w->loop.server_end->close_now = true;
    run(w);
}

/* -- what the client was told ------------------------------------------------------------------ */

struct told {
    int count;
    int error;
    enum oak_rpc_code code;
    char message[128];
    char value[64];
    struct oak_client_header header;
    int64_t number; /* count of the result */
    bool more;
};

static inline void told_done(void *user, const struct oak_client_answer *answer)
{
    struct told *t = user;
    t->count++;
    t->error = answer->error;
    t->code = answer->code;
    t->header = answer->header;
    t->number = answer->result.count;
    t->more = answer->result.more;
    snprintf(t->message, sizeof(t->message), "%s", answer->message);
    if (answer->result.kv_count == 1) {
        const struct oak_client_kv *kv = &answer->result.kvs[0];
        snprintf(t->value, sizeof(t->value), "%.*s@%d", (int)kv->value.size,
                 (const char *)kv->value.data, (int)kv->mod_revision);
    }
}

static inline struct oak_client_call *get(struct world *w, struct told *t)
{
    const struct oak_client_op op = oak_client_get(oak_bytes_str("key"));
    struct oak_client_call *call = NULL;
    *t = (struct told){0};
    assert_int_equal(oak_client_do(w->client, &op, 0, told_done, t, &call), 0);
    assert_int_equal(t->count, 0);
    return call;
}

static inline void told_is(const struct told *t, int error)
{
    assert_int_equal(t->count, 1);
    assert_string_equal(error == 0 ? "0" : oak_error_name(error),
                        t->error == 0 ? "0" : oak_error_name(t->error));
}

#endif
