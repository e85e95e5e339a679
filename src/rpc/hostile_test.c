/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c: peers that don't play by the rules, written frame by frame. */
#include "rpc/test_pair.h"

#include <nghttp2/nghttp2.h>

#define DATA          0
#define HEADERS       1
#define PRIORITY      2
#define RST_STREAM    3
#define SETTINGS      4
#define PING          6
#define GOAWAY        7
#define WINDOW_UPDATE 8
#define CONTINUATION  9

#define END_STREAM  1
#define ACK         1
#define END_HEADERS 4
#define PADDED      8

/* A server's connection, and the bytes that go to it. */
struct attack {
    struct oak_rpc_server *server;
    struct oak_rpc_conn *conn;
    struct echo echo;
    struct oak_buf out;
    struct oak_buf answer; /* all that came back */
    struct oak_buf fields; /* its headers, as "name: value" lines */
    nghttp2_hd_inflater *inflater;
    nghttp2_hd_deflater *deflater;
    uint64_t now_ns;
};

static void frame(struct attack *a, uint8_t type, uint8_t flags, uint32_t id, const void *data,
                  size_t size)
{
    uint8_t head[9] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags};
    oak_put_be32(head + 5, id);
    assert_int_equal(oak_buf_append(&a->out, head, 9), 0);
    assert_int_equal(oak_buf_append(&a->out, data, size), 0);
}

static void attack_open(struct attack *a, const struct oak_rpc_options *options)
{
    *a = (struct attack){.now_ns = SECOND};
    assert_int_equal(oak_rpc_server_new(NULL, options, &a->server), 0);
    echo_add(a->server, &a->echo);
    assert_int_equal(oak_rpc_conn_new(a->server, NULL, "evil:1", a->now_ns, &a->conn), 0);
    assert_int_equal(nghttp2_hd_deflate_new(&a->deflater, 4096), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&a->inflater), 0);
    assert_int_equal(oak_buf_append(&a->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0);
    frame(a, SETTINGS, 0, 0, NULL, 0);
}

static void attack_close(struct attack *a)
{
    oak_rpc_conn_free(a->conn);
    assert_int_equal(a->echo.started, a->echo.closed);
    oak_rpc_server_free(a->server);
    nghttp2_hd_deflate_del(a->deflater);
    nghttp2_hd_inflate_del(a->inflater);
    oak_buf_fini(&a->fields);
    oak_buf_fini(&a->out);
    oak_buf_fini(&a->answer);
}

/* The headers of whole frames. */
static void inflate(struct attack *a, struct oak_bytes b)
{
    size_t at = 0;
    while (at + 9 <= b.size) {
        const uint8_t *p = b.data + at;
        size_t size = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        assert_true(at + 9 + size <= b.size);
        size_t used = p[3] == HEADERS ? 0 : size;
        int flags = 0;
        while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0 && p[3] == HEADERS) {
            nghttp2_nv nv;
            ssize_t n =
                nghttp2_hd_inflate_hd2(a->inflater, &nv, &flags, p + 9 + used, size - used, 1);
            assert_true(n >= 0);
            used += (size_t)n;
            if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
                assert_int_equal(oak_buf_printf(&a->fields, "%s: %s\n", nv.name, nv.value), 0);
            }
        }
        if (p[3] == HEADERS) {
            nghttp2_hd_inflate_end_headers(a->inflater);
        }
        at += 9 + size;
    }
    assert_int_equal(at, b.size);
}

/* Deliver; 0 or the first error. What comes back is kept. */
static int strike(struct attack *a)
{
    int error = oak_rpc_conn_feed(a->conn, oak_buf_bytes(&a->out), a->now_ns);
    oak_buf_clear(&a->out);
    for (;;) {
        struct oak_bytes b = oak_rpc_conn_take(a->conn);
        if (b.size == 0) {
            return error;
        }
        assert_int_equal(oak_buf_append(&a->answer, b.data, b.size), 0);
        inflate(a, b);
    }
}

static bool answered(const struct attack *a, const char *text)
{
    const struct oak_buf *in[] = {&a->answer, &a->fields};
    for (size_t i = 0; i < 2; i++) {
        if (in[i]->size > 0 && memmem(in[i]->data, in[i]->size, text, strlen(text)) != NULL) {
            return true;
        }
    }
    return false;
}

/* The error code of the last GOAWAY, or of the last RST_STREAM; -1: none came. */
static int64_t last_code(const struct attack *a, uint8_t type)
{
    int64_t code = -1;
    size_t at = 0;
    while (at + 9 <= a->answer.size) {
        const uint8_t *p = a->answer.data + at;
        size_t size = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        assert_true(at + 9 + size <= a->answer.size); /* what we send is whole frames */
        if (p[3] == type) {
            code = oak_get_be32(p + 9 + (type == GOAWAY ? 4 : 0));
        }
        at += 9 + size;
    }
    assert_int_equal(at, a->answer.size);
    return code;
}

static void ended_for_abuse(struct attack *a, int error, const char *reason)
{
    struct oak_rpc_traffic traffic;
    assert_int_equal(error, OAK_ELIMIT);
    assert_int_equal(last_code(a, GOAWAY), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(answered(a, reason));
    assert_true(oak_rpc_conn_done(a->conn));
    assert_int_equal(oak_rpc_conn_feed(a->conn, oak_bytes("x", 1), a->now_ns), OAK_ELIMIT);
    oak_rpc_server_traffic(a->server, &traffic);
    assert_int_equal(traffic.abuse_closed, 1);
}

static void not_abuse(struct attack *a, int error)
{
    struct oak_rpc_traffic traffic;
    assert_int_equal(error, 0);
    assert_int_equal(last_code(a, GOAWAY), -1);
    oak_rpc_server_traffic(a->server, &traffic);
    assert_int_equal(traffic.abuse_closed, 0);
}

struct field {
    const char *name;
    const char *value;
};

static size_t block(struct attack *a, const struct field *fields, size_t count, uint8_t *to,
                    size_t room)
{
    nghttp2_nv nv[16];
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++) {
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[i].name,
                             (uint8_t *)(uintptr_t)fields[i].value, strlen(fields[i].name),
                             strlen(fields[i].value), NGHTTP2_NV_FLAG_NO_INDEX};
    }
    ssize_t size = nghttp2_hd_deflate_hd(a->deflater, to, room, nv, count);
    assert_true(size > 0);
    return (size_t)size;
}

/* Headers of a call; each of `extra` replaces the field of its name, or is added. */
static void request(struct attack *a, uint32_t id, const char *path, uint8_t flags,
                    const struct field *extra, size_t extra_count)
{
    struct field fields[12] = {{":method", "POST"},
                               {":scheme", "http"},
                               {":path", path},
                               {":authority", "a"},
                               {"content-type", "application/grpc"},
                               {"te", "trailers"}};
    size_t count = 6;
    for (size_t i = 0; i < extra_count; i++) {
        size_t at = 0;
        while (at < count && strcmp(fields[at].name, extra[i].name) != 0) {
            at++;
        }
        fields[at] = extra[i];
        count = OAK_MAX(count, at + 1);
    }
    uint8_t bytes[4096];
    size_t size = block(a, fields, count, bytes, sizeof(bytes));
    frame(a, HEADERS, flags | END_HEADERS, id, bytes, size);
}

static void a_reset_flood_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    uint32_t id = 1;
    int error = 0;
    for (int i = 0; i < 1000; i++, id += 2) {
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, RST_STREAM, 0, id, cancel, 4);
    }
    error = strike(&a);
    not_abuse(&a, error);
    a.now_ns += SECOND; /* a hundred are forgiven each second */
    for (int i = 0; i < 100; i++, id += 2) {
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, RST_STREAM, 0, id, cancel, 4);
    }
    error = strike(&a);
    not_abuse(&a, error);
    assert_int_equal(a.echo.closed, 1100);
    request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
    frame(&a, RST_STREAM, 0, id, cancel, 4);
    ended_for_abuse(&a, strike(&a), "too_many_resets");
    attack_close(&a);
}

static void resets_that_a_peer_provokes_count_like_its_own(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t most[4] = {0x7f, 0xff, 0xff, 0xff};
    uint32_t id = 1;
    int error = 0;
    for (int i = 0; i <= 1000 && error == 0; i++, id += 2) {
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, WINDOW_UPDATE, 0, id, most,
              4); /* the window overflows: we must reset the stream */
        error = strike(&a);
        error = error != 0 ? error : oak_rpc_conn_feed(a.conn, oak_bytes(NULL, 0), a.now_ns);
    }
    assert_int_equal(error, OAK_ELIMIT);
    assert_int_equal(last_code(&a, GOAWAY), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(answered(&a, "too_many_stream_errors"));
    attack_close(&a);
}

static void resets_of_finished_calls_are_in_order(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t none[4] = {0};
    for (uint32_t i = 0; i < 3000; i++) {
        request(&a, 1 + 2 * i, "/t.Nope/Nope", 0, NULL, 0);
        assert_int_equal(strike(&a), 0);
        oak_buf_clear(&a.answer);
        frame(&a, RST_STREAM, 0, 1 + 2 * i, none, 4);
    }
    not_abuse(&a, strike(&a));
    attack_close(&a);
}

static void a_ping_flood_ends_the_connection_even_with_calls_open(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    request(&a, 1, "/t.Echo/Watch", 0, NULL, 0);
    for (int i = 0; i < 900; i++) { /* as many as fit a flow of answers */
        frame(&a, PING, 0, 0, data, 8);
    }
    not_abuse(&a, strike(&a));
    for (int i = 0; i < 101; i++) {
        frame(&a, PING, 0, 0, data, 8);
    }
    ended_for_abuse(&a, strike(&a), "too_many_pings");
    attack_close(&a);
}

static void pings_without_calls_get_two_strikes(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    for (int i = 0; i < 10; i++) { /* 5 s apart they may come for ever */
        frame(&a, PING, 0, 0, data, 8);
        not_abuse(&a, strike(&a));
        a.now_ns += 5 * SECOND;
    }
    for (int i = 0; i < 3; i++) { /* the first is in time */
        frame(&a, PING, 0, 0, data, 8);
    }
    not_abuse(&a, strike(&a));
    frame(&a, PING, 0, 0, data, 8);
    ended_for_abuse(&a, strike(&a), "too_many_pings");
    attack_close(&a);
}

static void pings_with_calls_open_or_after_answers_are_no_strikes(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    const uint8_t hello[] = {0, 0, 0, 0, 2, 'h', 'i'};
    for (uint32_t i = 0; i < 500; i++) { /* a bandwidth probe after each answer */
        request(&a, 1 + 2 * i, "/t.Echo/Unary", 0, NULL, 0);
        frame(&a, DATA, END_STREAM, 1 + 2 * i, hello, sizeof(hello));
        assert_int_equal(strike(&a), 0);
        frame(&a, PING, 0, 0, data, 8);
    }
    request(&a, 2001, "/t.Echo/Watch", 0, NULL, 0);
    for (int i = 0; i < 50; i++) {
        frame(&a, PING, 0, 0, data, 8);
    }
    not_abuse(&a, strike(&a));
    attack_close(&a);
}

static void pings_that_nobody_reads_the_answers_of_end_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[8] = {0};
    request(&a, 1, "/t.Echo/Watch", 0, NULL, 0);
    int error = 0;
    for (int second = 0; second < 20 && error == 0; second++) { /* slower than the bucket */
        for (int i = 0; i < 90; i++) {
            frame(&a, PING, 0, 0, data, 8);
        }
        a.now_ns += SECOND;
        error = oak_rpc_conn_feed(a.conn, oak_buf_bytes(&a.out), a.now_ns);
        oak_buf_clear(&a.out);
    }
    assert_int_equal(error, OAK_ELIMIT);
    strike(&a);
    ended_for_abuse(&a, OAK_ELIMIT, "too_many_unread_answers");
    attack_close(&a);
}

static void a_settings_flood_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    for (int i = 0; i < 99; i++) {
        frame(&a, SETTINGS, 0, 0, NULL, 0);
    }
    not_abuse(&a, strike(&a));
    frame(&a, SETTINGS, 0, 0, NULL, 0);
    ended_for_abuse(&a, strike(&a), "too_many_settings");
    attack_close(&a);
}

static void empty_data_frames_end_the_connection(void **state)
{
    (void)state;
    for (int padded = 0; padded < 2; padded++) {
        struct attack a;
        attack_open(&a, NULL);
        const uint8_t padding[10] = {9};
        request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
        for (int i = 0; i < 1000; i++) {
            frame(&a, DATA, padded ? PADDED : 0, 1, padding, padded ? sizeof(padding) : 0);
        }
        not_abuse(&a, strike(&a));
        frame(&a, DATA, padded ? PADDED : 0, 1, padding, padded ? sizeof(padding) : 0);
        ended_for_abuse(&a, strike(&a), "too_many_empty_frames");
        attack_close(&a);
    }
}

static void a_priority_flood_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t data[5] = {0, 0, 0, 0, 1};
    for (int i = 0; i < 10001; i++) {
        frame(&a, PRIORITY, 0, 1, data, 5);
    }
    ended_for_abuse(&a, strike(&a), "too_many_control_frames");
    attack_close(&a);
}

static void endless_continuations_end_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t literal[] = {0x00, 1, 'a', 1, 'b'};
    frame(&a, HEADERS, 0, 1, literal, sizeof(literal));
    for (int i = 0; i < 100; i++) {
        frame(&a, CONTINUATION, 0, 1, literal, sizeof(literal));
    }
    ended_for_abuse(&a, strike(&a), "too_many_continuations");
    attack_close(&a);
}

static void a_header_bomb_is_refused_and_a_larger_one_ends_the_connection(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    /* One field of 4000 bytes goes into the table; each further byte repeats it. */
    uint8_t value[4000];
    memset(value, 'v', sizeof(value));
    uint8_t bytes[16000];
    const struct field fields[] = {{":method", "POST"},
                                   {":scheme", "http"},
                                   {":path", "/t.Echo/Bidi"},
                                   {":authority", "a"},
                                   {"content-type", "application/grpc"}};
    size_t size = block(&a, fields, 5, bytes, sizeof(bytes));
    /* Literal with indexing, name "x", a length of 4000 in HPACK's integers. */
    const uint8_t head[] = {0x40, 1, 'x', 0x7f, 0xa1, 0x1e};
    memcpy(bytes + size, head, sizeof(head));
    memcpy(bytes + size + sizeof(head), value, sizeof(value));
    size += sizeof(head) + sizeof(value);
    memset(bytes + size, 0x80 | 62, 20); /* twenty times the newest entry: over 64 KiB */
    frame(&a, HEADERS, END_HEADERS, 1, bytes, size + 20);
    assert_int_equal(strike(&a), 0);
    assert_true(answered(&a, "grpc: received header list larger than max"));
    assert_int_equal(a.echo.started, 0);
    uint8_t again[4000];
    memset(again, 0x80 | 62, sizeof(again)); /* 16 MB */
    frame(&a, HEADERS, END_HEADERS, 3, again, sizeof(again));
    ended_for_abuse(&a, strike(&a), "header_list_too_large");
    attack_close(&a);
}

static void a_length_of_gigabytes_allocates_nothing(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    static const struct {
        uint8_t bytes[6];
        const char *text;
    } cases[] = {
        {{0, 0xff, 0xff, 0xff, 0xff, 'x'},
         "grpc: received message larger than max (4294967295 vs. 2097152)"},
        {{0, 0x7f, 0xff, 0xff, 0xff, 'x'},
         "grpc: received message larger than max (2147483647 vs. 2097152)"},
        {{1, 0, 0, 0, 1, 'x'}, "grpc: compressed flag set with identity or empty encoding"},
        {{9, 0, 0, 0, 1, 'x'}, "grpc: received unexpected payload format"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        uint32_t id = (uint32_t)(1 + 2 * i);
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, 0, id, cases[i].bytes, 6);
        assert_int_equal(strike(&a), 0);
        assert_true(answered(&a, cases[i].text));
    }
    assert_int_equal(a.echo.messages, 0);
    attack_close(&a);
}

static void a_message_cut_off_by_the_end_is_an_error(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t part[] = {0, 0, 0, 0, 9, 'p', 'a', 'r', 't'};
    for (size_t size = 1; size <= sizeof(part); size++) {
        uint32_t id = (uint32_t)(2 * size - 1);
        oak_buf_clear(&a.fields);
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, END_STREAM, id, part, size);
        assert_int_equal(strike(&a), 0);
        assert_true(answered(&a, "grpc: the last message is incomplete"));
    }
    assert_int_equal(a.echo.messages, 0);
    attack_close(&a);
}

static void many_unfinished_messages_are_bounded_together(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    /* 1.9 MiB of a message of 2 MiB, on as many streams as it takes. */
    static uint8_t piece[16000];
    uint32_t id = 1;
    for (int call = 0; call < 60; call++, id += 2) {
        const uint8_t head[] = {0, 0, 0x20, 0, 0};
        request(&a, id, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, 0, id, head, sizeof(head));
        for (int i = 0; i < 120; i++) {
            frame(&a, DATA, 0, id, piece, sizeof(piece));
            if (strike(&a) != 0 || answered(&a, "too many unfinished messages")) {
                break;
            }
        }
        if (answered(&a, "too many unfinished messages")) {
            break;
        }
        oak_buf_clear(&a.answer);
    }
    assert_true(answered(&a, "grpc: too many unfinished messages on this connection"));
    assert_true(a.echo.started > 30 && a.echo.started < 40); /* 64 MiB */
    attack_close(&a);
}

static void what_is_no_grpc_gets_an_answer_of_http(void **state)
{
    (void)state;
    static const struct {
        struct field field;
        const char *text;
    } cases[] = {
        {{"content-type", "application/json"}, ":status: 415\n"},
        {{"content-type", "application/grpcx"}, ":status: 415\n"},
        {{":method", "GET"}, ":status: 405\n"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Unary", END_STREAM, &cases[i].field, 1);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(a.echo.started, 0);
        assert_true(answered(&a, cases[i].text));
        assert_false(answered(&a, "grpc-status"));
        attack_close(&a);
    }
}

static void malformed_headers_of_grpc_get_a_status(void **state)
{
    (void)state;
    static const struct {
        struct field field;
        const char *text;
    } cases[] = {
        {{"grpc-timeout", "soon"}, "malformed grpc-timeout"},
        {{"grpc-timeout", "123456789S"}, "malformed grpc-timeout"},
        {{"x-bin", "!!!"}, "malformed binary metadata"},
        {{"grpc-encoding", "gzip"},
         "grpc: Decompressor is not installed for grpc-encoding \"gzip\""},
        {{":path", "/"}, "malformed method name: \"/\""},
        {{":path", "/nothing"}, "malformed method name: \"/nothing\""},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Unary", END_STREAM, &cases[i].field, 1);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(a.echo.started, 0);
        /* nghttp2 may have coded the text: look into the decoded trailers of a real client instead.
         */
        assert_true(a.answer.size > 0);
        assert_true(answered(&a, cases[i].text));
        attack_close(&a);
    }
    static const struct field good[] = {{"content-type", "application/grpc+proto"},
                                        {"content-type", "application/grpc;charset=utf-8"},
                                        {"grpc-encoding", "identity"},
                                        {"te", "trailers"}};
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Bidi", 0, &good[i], 1);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(a.echo.started, 1);
        attack_close(&a);
    }
}

static void more_streams_than_allowed_are_refused(void **state)
{
    (void)state;
    struct attack a;
    const struct oak_rpc_options options = {.streams_max = 10};
    attack_open(&a, &options);
    for (uint32_t i = 0; i < 11; i++) {
        request(&a, 1 + 2 * i, "/t.Echo/Bidi", 0, NULL, 0);
    }
    assert_int_equal(strike(&a), 0);
    assert_int_equal(a.echo.started, 10);
    assert_int_equal(last_code(&a, RST_STREAM), NGHTTP2_REFUSED_STREAM);
    attack_close(&a);
}

static void a_peer_that_never_starts_is_let_go(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct attack a;
        uint64_t next_ns;
        attack_open(&a, NULL);
        const uint8_t literal[] = {0x00, 1, 'a', 1, 'b'};
        if (what == 0) {
            oak_buf_clear(&a.out); /* not a byte */
        } else if (what == 1) {
            a.out.size = 20; /* part of the preface */
        } else {
            frame(&a, HEADERS, 0, 1, literal, sizeof(literal)); /* a block without end */
        }
        assert_int_equal(strike(&a), 0);
        oak_rpc_conn_tick(a.conn, a.now_ns + 10 * SECOND - 1, &next_ns);
        assert_int_equal(next_ns, a.now_ns + 10 * SECOND);
        assert_false(oak_rpc_conn_done(a.conn));
        oak_rpc_conn_tick(a.conn, a.now_ns + 10 * SECOND, &next_ns);
        a.now_ns += 10 * SECOND;
        strike(&a);
        ended_for_abuse(&a, OAK_ELIMIT, "too_slow");
        attack_close(&a);
    }
}

static void something_else_than_http2_gets_no_answer(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    oak_buf_clear(&a.out);
    assert_int_equal(oak_buf_append(&a.out, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 0);
    assert_int_equal(strike(&a), OAK_EFORMAT);
    assert_true(oak_rpc_conn_done(a.conn));
    assert_int_equal(a.answer.size, 0);
    attack_close(&a);
}

static void broken_frames_end_the_connection_with_an_error_code(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint8_t flags;
        uint32_t id;
        uint32_t size;
        uint32_t code;
    } cases[] = {
        {DATA, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR},              /* on no stream */
        {DATA, 0, 1, 4, NGHTTP2_PROTOCOL_ERROR},              /* on an idle one */
        {HEADERS, END_HEADERS, 2, 4, NGHTTP2_PROTOCOL_ERROR}, /* an id of ours */
        {SETTINGS, 0, 0, 5, NGHTTP2_FRAME_SIZE_ERROR},
        {SETTINGS, 0, 1, 6, NGHTTP2_PROTOCOL_ERROR},
        {PING, 0, 0, 7, NGHTTP2_FRAME_SIZE_ERROR},
        {WINDOW_UPDATE, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR}, /* of nothing */
        {CONTINUATION, END_HEADERS, 1, 4, NGHTTP2_PROTOCOL_ERROR},
        {RST_STREAM, 0, 0, 4, NGHTTP2_PROTOCOL_ERROR},
        {5, END_HEADERS, 1, 4, NGHTTP2_PROTOCOL_ERROR}, /* a push from a client */
        {DATA, 0, 1, 20000, NGHTTP2_FRAME_SIZE_ERROR},
    };
    static const uint8_t zeros[20000];
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        attack_open(&a, NULL);
        frame(&a, cases[i].type, cases[i].flags, cases[i].id, zeros, cases[i].size);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(last_code(&a, GOAWAY), cases[i].code);
        assert_true(oak_rpc_conn_done(a.conn));
        attack_close(&a);
    }
}

static void a_connection_survives_any_truncation(void **state)
{
    (void)state;
    struct attack a;
    attack_open(&a, NULL);
    const uint8_t hello[] = {0, 0, 0, 0, 2, 'h', 'i', 0, 0};
    request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
    frame(&a, DATA, 0, 1, hello, sizeof(hello));
    size_t size = a.out.size;
    attack_close(&a);
    for (size_t cut = 0; cut < size; cut++) {
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, DATA, 0, 1, hello, sizeof(hello));
        a.out.size = cut;
        assert_int_equal(strike(&a), 0);
        attack_close(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_flood_ends_the_connection),
        cmocka_unit_test(resets_that_a_peer_provokes_count_like_its_own),
        cmocka_unit_test(resets_of_finished_calls_are_in_order),
        cmocka_unit_test(a_ping_flood_ends_the_connection_even_with_calls_open),
        cmocka_unit_test(pings_without_calls_get_two_strikes),
        cmocka_unit_test(pings_with_calls_open_or_after_answers_are_no_strikes),
        cmocka_unit_test(pings_that_nobody_reads_the_answers_of_end_the_connection),
        cmocka_unit_test(a_settings_flood_ends_the_connection),
        cmocka_unit_test(empty_data_frames_end_the_connection),
        cmocka_unit_test(a_priority_flood_ends_the_connection),
        cmocka_unit_test(endless_continuations_end_the_connection),
        cmocka_unit_test(a_header_bomb_is_refused_and_a_larger_one_ends_the_connection),
        cmocka_unit_test(a_length_of_gigabytes_allocates_nothing),
        cmocka_unit_test(a_message_cut_off_by_the_end_is_an_error),
        cmocka_unit_test(many_unfinished_messages_are_bounded_together),
        cmocka_unit_test(what_is_no_grpc_gets_an_answer_of_http),
        cmocka_unit_test(malformed_headers_of_grpc_get_a_status),
        cmocka_unit_test(more_streams_than_allowed_are_refused),
        cmocka_unit_test(a_peer_that_never_starts_is_let_go),
        cmocka_unit_test(something_else_than_http2_gets_no_answer),
        cmocka_unit_test(broken_frames_end_the_connection_with_an_error_code),
        cmocka_unit_test(a_connection_survives_any_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
