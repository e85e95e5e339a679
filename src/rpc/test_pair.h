/* SPDX-License-Identifier: Apache-2.0 */
/* test_pair.h: for tests of this room: a client and a server connection with nothing between them
 * but two buffers, delivered in pieces of random sizes, under a clock that the test turns.
 *
 * The service "t.Echo" answers every message with the same bytes; see echo_message for what the
 * first byte of a message can ask for. A recorder keeps what a client's call was told.
 */
#ifndef OAK_RPC_TEST_PAIR_H
#define OAK_RPC_TEST_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "oakum/rpc.h"
#include "port/port.h"

#define SECOND ((uint64_t)1000000000)

/* -- what a call was told ---------------------------------------------------------------------- */

struct recorder {
    struct oak_rpc_call *call; /* NULL once closed */
    struct oak_buf bytes;      /* all messages, one behind the other */
    size_t messages;
    size_t last_size;
    int headers;
    int half_closed;
    int writable;
    int closed;
    enum oak_rpc_code code;
    char text[512];
    char initial[64];     /* x-test-initial */
    char spy[16];         /* x-spy */
    uint8_t trailing[64]; /* x-test-trailing-bin */
    size_t trailing_size;
    size_t compressed; /* of the messages */
    bool pause_after_each;
    bool cancel_on_message;
};

static inline void recorder_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    struct recorder *r = user;
    assert_int_equal(r->closed, 0);
    r->messages++;
    r->compressed += oak_rpc_call_compressed(call);
    r->last_size = b.size;
    assert_int_equal(oak_buf_append(&r->bytes, b.data, b.size), 0);
    if (r->pause_after_each) {
        oak_rpc_call_pause(call, true);
    }
    if (r->cancel_on_message) {
        oak_rpc_call_cancel(call);
    }
}

static inline void recorder_half_closed(void *user, struct oak_rpc_call *call)
{
    (void)call;
    struct recorder *r = user;
    r->half_closed++;
}

static inline void recorder_writable(void *user, struct oak_rpc_call *call)
{
    (void)call;
    struct recorder *r = user;
    r->writable++;
}

static inline void recorder_headers(void *user, struct oak_rpc_call *call)
{
    struct recorder *r = user;
    r->headers++;
    struct oak_bytes v = oak_rpc_call_metadata(call, "x-test-initial");
    if (v.data != NULL && v.size < sizeof(r->initial)) {
        memcpy(r->initial, v.data, v.size);
    }
    v = oak_rpc_call_metadata(call, "x-spy");
    if (v.data != NULL && v.size < sizeof(r->spy)) {
        memcpy(r->spy, v.data, v.size);
    }
}

static inline void recorder_closed(void *user, struct oak_rpc_call *call,
                                   const struct oak_rpc_status *status)
{
    struct recorder *r = user;
    r->closed++;
    r->call = NULL;
    r->code = status->code;
    size_t size = OAK_MIN(status->message.size, sizeof(r->text) - 1);
    if (size > 0) {
        memcpy(r->text, status->message.data, size);
    }
    r->text[size] = '\0';
    struct oak_bytes v = oak_rpc_call_metadata(call, "x-test-trailing-bin");
    if (v.data != NULL && v.size <= sizeof(r->trailing)) {
        memcpy(r->trailing, v.data, v.size);
        r->trailing_size = v.size;
    }
}

static const struct oak_rpc_handler recorder_handler = {
    .message = recorder_message,
    .half_closed = recorder_half_closed,
    .writable = recorder_writable,
    .headers = recorder_headers,
    .closed = recorder_closed,
};

static inline void recorder_fini(struct recorder *r)
{
    oak_buf_fini(&r->bytes);
}

/* -- the service ------------------------------------------------------------------------------- */

struct echo {
    int started;
    int half_closed;
    int closed;
    int messages;
    int compressed;                /* of them */
    enum oak_rpc_encoding answers; /* each call's encoding, asked for at its start */
    int compress_error;
    enum oak_rpc_code last_code;
    struct oak_rpc_call *last;           /* the newest call that is not closed */
    struct recorder *hand_over;          /* set: the next call records there instead of echoing */
    const struct oak_identity *identity; /* of the newest call's peer */
    struct oak_process process;          /* likewise; pid 0: unknown */
    bool may_fail;                       /* sending */
    bool pause;
};

/* A message that starts with one of these does what it says, others come back as they are. */
#define ECHO_FINISH  0xf1 /* finish with the code in the second byte, the rest is the text */
#define ECHO_SILENCE 0xf2 /* no answer */
#define ECHO_MANY    0xf3 /* as many empty-handed messages as the second byte says */
#define ECHO_LARGE   0xf4 /* one message of 2^(second byte) bytes */

static inline void echo_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    struct echo *e = user;
    e->messages++;
    e->compressed += oak_rpc_call_compressed(call);
    uint8_t what = b.size >= 2 ? b.data[0] : 0;
    if (what == ECHO_FINISH) {
        char text[256] = {0};
        memcpy(text, b.data + 2, OAK_MIN(b.size - 2, sizeof(text) - 1));
        oak_rpc_call_finish(call, (enum oak_rpc_code)b.data[1], text);
    } else if (what == ECHO_MANY) {
        for (int i = 0; i < b.data[1]; i++) {
            assert_int_equal(oak_rpc_call_send(call, oak_bytes(NULL, 0)), 0);
        }
    } else if (what == ECHO_LARGE) {
        size_t size = (size_t)1 << b.data[1];
        uint8_t *to = oak_rpc_call_send_into(call, size);
        assert_non_null(to);
        for (size_t i = 0; i < size; i++) {
            to[i] = (uint8_t)(i * 31);
        }
    } else if (what != ECHO_SILENCE) {
        int error = oak_rpc_call_send(call, b);
        assert_true(error == 0 || e->may_fail);
    }
    if (e->pause) {
        oak_rpc_call_pause(call, true);
    }
}

static inline void echo_half_closed(void *user, struct oak_rpc_call *call)
{
    struct echo *e = user;
    e->half_closed++;
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static inline void echo_half_open(void *user, struct oak_rpc_call *call)
{
    (void)call;
    struct echo *e = user;
    e->half_closed++;
}

static inline void echo_closed(void *user, struct oak_rpc_call *call,
                               const struct oak_rpc_status *status)
{
    struct echo *e = user;
    e->closed++;
    e->last_code = status->code;
    if (e->last == call) {
        e->last = NULL;
    }
}

static const struct oak_rpc_handler echo_handler = {
    .message = echo_message, .half_closed = echo_half_closed, .closed = echo_closed};
/* Half-close by the client does not end it. */
static const struct oak_rpc_handler echo_open_handler = {
    .message = echo_message, .half_closed = echo_half_open, .closed = echo_closed};

static inline void echo_begin(struct echo *e, struct oak_rpc_call *call,
                              const struct oak_rpc_handler *handler)
{
    e->started++;
    e->last = call;
    e->identity = oak_rpc_call_identity(call);
    const struct oak_process *process = oak_rpc_call_process(call);
    e->process = process != NULL ? *process : (struct oak_process){0};
    struct oak_bytes v = oak_rpc_call_metadata(call, "x-test-initial");
    if (v.data != NULL) {
        struct oak_rpc_pair pair = {oak_bytes_str("x-test-initial"), v};
        assert_int_equal(oak_rpc_call_add_header(call, pair), 0);
    }
    v = oak_rpc_call_metadata(call, "x-test-trailing-bin");
    if (v.data != NULL) {
        struct oak_rpc_pair pair = {oak_bytes_str("x-test-trailing-bin"), v};
        assert_int_equal(oak_rpc_call_add_trailer(call, pair), 0);
    }
    if (e->answers != OAK_RPC_IDENTITY) {
        e->compress_error = oak_rpc_call_compress(call, e->answers);
    }
    if (e->hand_over != NULL) {
        e->hand_over->call = call;
        oak_rpc_call_handle(call, &recorder_handler, e->hand_over);
        e->hand_over = NULL;
        return;
    }
    oak_rpc_call_handle(call, handler, e);
}

static inline void echo_start(void *user, struct oak_rpc_call *call)
{
    echo_begin(user, call, &echo_handler);
}

static inline void echo_start_open(void *user, struct oak_rpc_call *call)
{
    echo_begin(user, call, &echo_open_handler);
}

static inline void echo_add(struct oak_rpc_server *server, struct echo *e)
{
    const struct oak_rpc_method methods[] = {
        {.service = "t.Echo",
         .name = "Unary",
         .kind = OAK_RPC_UNARY,
         .start = echo_start,
         .user = e},
        {.service = "t.Echo",
         .name = "Client",
         .kind = OAK_RPC_CLIENT_STREAM,
         .start = echo_start,
         .user = e},
        {.service = "t.Echo",
         .name = "Server",
         .kind = OAK_RPC_SERVER_STREAM,
         .start = echo_start,
         .user = e},
        {.service = "t.Echo", .name = "Bidi", .kind = OAK_RPC_BIDI, .start = echo_start, .user = e},
        {.service = "t.Echo",
         .name = "Watch",
         .kind = OAK_RPC_BIDI,
         .start = echo_start_open,
         .user = e},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(methods); i++) {
        assert_int_equal(oak_rpc_server_add(server, &methods[i]), 0);
    }
    assert_int_equal(oak_rpc_server_add(server, &methods[0]), OAK_EEXIST);
}

/* -- the pair ---------------------------------------------------------------------------------- */

struct pair {
    struct oak_rpc_server *server;
    struct oak_rpc_conn *client_conn;
    struct oak_rpc_conn *server_conn;
    struct echo echo;
    struct oak_prng prng;
    uint64_t now_ns;
    size_t piece_max; /* bytes delivered at once are 1 … piece_max */
    size_t carried;   /* bytes, both ways */
    int client_error;
    int server_error;
};

static inline void pair_open(struct pair *p, const struct oak_rpc_options *server_options,
                             const struct oak_rpc_options *client_options)
{
    *p = (struct pair){.now_ns = SECOND, .piece_max = 3000};
    oak_prng_init(&p->prng, 7);
    assert_int_equal(oak_rpc_server_new(NULL, server_options, &p->server), 0);
    echo_add(p->server, &p->echo);
    assert_int_equal(
        oak_rpc_conn_new(p->server, server_options, "client:1", p->now_ns, &p->server_conn), 0);
    assert_int_equal(oak_rpc_conn_new(NULL, client_options, "server:2", p->now_ns, &p->client_conn),
                     0);
}

static inline void pair_close(struct pair *p)
{
    oak_rpc_conn_free(p->client_conn);
    oak_rpc_conn_free(p->server_conn);
    oak_rpc_server_free(p->server);
}

/* One direction: what `from` has to say goes to `to` in pieces. True: there was something. */
static inline bool pair_carry(struct pair *p, struct oak_rpc_conn *from, struct oak_rpc_conn *to,
                              int *error)
{
    struct oak_bytes b = oak_rpc_conn_take(from);
    size_t at = 0;
    p->carried += b.size;
    while (at < b.size) {
        size_t piece = (size_t)oak_prng_between(&p->prng, 1, p->piece_max);
        size_t size = OAK_MIN(piece, b.size - at);
        int rc = oak_rpc_conn_feed(to, oak_bytes(b.data + at, size), p->now_ns);
        *error = *error != 0 ? *error : rc;
        at += size;
    }
    return b.size > 0;
}

static inline void pair_run(struct pair *p)
{
    bool more = true;
    while (more) {
        more = pair_carry(p, p->client_conn, p->server_conn, &p->server_error);
        more = pair_carry(p, p->server_conn, p->client_conn, &p->client_error) || more;
    }
}

static inline void pair_tick(struct pair *p, uint64_t step_ns)
{
    uint64_t next_ns;
    p->now_ns += step_ns;
    oak_rpc_conn_tick(p->client_conn, p->now_ns, &next_ns);
    oak_rpc_conn_tick(p->server_conn, p->now_ns, &next_ns);
}

static inline struct oak_rpc_call *pair_call(struct pair *p, const char *method,
                                             uint64_t timeout_ns, struct recorder *r)
{
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = method,
                                      .timeout_ns = timeout_ns,
                                      .handler = &recorder_handler,
                                      .user = r};
    assert_int_equal(oak_rpc_conn_call(p->client_conn, &request, p->now_ns, &r->call), 0);
    return r->call;
}

/* As pair_call, of a call whose messages are compressed. */
static inline struct oak_rpc_call *pair_call_packed(struct pair *p, const char *method,
                                                    enum oak_rpc_encoding encoding,
                                                    struct recorder *r)
{
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = method,
                                      .encoding = encoding,
                                      .handler = &recorder_handler,
                                      .user = r};
    assert_int_equal(oak_rpc_conn_call(p->client_conn, &request, p->now_ns, &r->call), 0);
    return r->call;
}

static inline void send_text(struct oak_rpc_call *call, const char *text)
{
    assert_int_equal(oak_rpc_call_send(call, oak_bytes_str(text)), 0);
}

static inline bool recorded(const struct recorder *r, const char *text)
{
    return oak_bytes_eq(oak_buf_bytes(&r->bytes), oak_bytes_str(text));
}

#endif
