/* SPDX-License-Identifier: Apache-2.0 */
/* test_attack.h: for tests of this room: a server's connection, and a peer written frame by frame.
 */
#ifndef OAK_RPC_TEST_ATTACK_H
#define OAK_RPC_TEST_ATTACK_H

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

static inline void frame(struct attack *a, uint8_t type, uint8_t flags, uint32_t id,
                         const void *data, size_t size)
{
    uint8_t head[9] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags};
    oak_put_be32(head + 5, id);
    assert_int_equal(oak_buf_append(&a->out, head, 9), 0);
    assert_int_equal(oak_buf_append(&a->out, data, size), 0);
}

static inline void attack_open(struct attack *a, const struct oak_rpc_options *options)
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

static inline void attack_close(struct attack *a)
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
static inline void inflate(struct attack *a, struct oak_bytes b)
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

/* What comes back is kept. */
static inline void listen_to(struct attack *a)
{
    struct oak_bytes b;
    while ((b = oak_rpc_conn_take(a->conn)).size > 0) {
        assert_int_equal(oak_buf_append(&a->answer, b.data, b.size), 0);
        inflate(a, b);
    }
}

/* Deliver, and listen; 0 or the first error. */
static inline int strike(struct attack *a)
{
    int error = oak_rpc_conn_feed(a->conn, oak_buf_bytes(&a->out), a->now_ns);
    oak_buf_clear(&a->out);
    listen_to(a);
    return error;
}

static inline bool answered(const struct attack *a, const char *text)
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
static inline int64_t last_code(const struct attack *a, uint8_t type)
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

static inline void ended_for_abuse(struct attack *a, int error, const char *reason)
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

static inline void not_abuse(struct attack *a, int error)
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

static inline size_t block(struct attack *a, const struct field *fields, size_t count, uint8_t *to,
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
static inline void request(struct attack *a, uint32_t id, const char *path, uint8_t flags,
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

#endif
