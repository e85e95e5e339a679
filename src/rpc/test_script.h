/* SPDX-License-Identifier: Apache-2.0 */
/* test_script.h: for tests: a server written frame by frame. What the client says is kept as text,
 * one line a frame; what is said to it gathers in `out`. It knows no transport. */
#ifndef OAK_RPC_TEST_SCRIPT_H
#define OAK_RPC_TEST_SCRIPT_H

#include "rpc/test_pair.h"

#include <nghttp2/nghttp2.h>

struct script {
    struct oak_buf in;  /* of the client, not whole yet */
    struct oak_buf out; /* to the client */
    struct oak_buf log; /* lines, the text ends with a NUL that is not counted */
    nghttp2_hd_inflater *inflater;
    nghttp2_hd_deflater *deflater;
    bool greeted; /* the client's preface is there */
};

#define SCRIPT_END_STREAM  1
#define SCRIPT_ACK         1
#define SCRIPT_END_HEADERS 4

static inline void script_open(struct script *s)
{
    *s = (struct script){0};
    assert_int_equal(nghttp2_hd_deflate_new(&s->deflater, 4096), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&s->inflater), 0);
}

static inline void script_close(struct script *s)
{
    nghttp2_hd_deflate_del(s->deflater);
    nghttp2_hd_inflate_del(s->inflater);
    oak_buf_fini(&s->in);
    oak_buf_fini(&s->out);
    oak_buf_fini(&s->log);
    *s = (struct script){0};
}

/* -- what the client said ---------------------------------------------------------------------- */

static inline void script_headers_read(struct script *s, struct oak_bytes b)
{
    size_t used = 0;
    int flags = 0;
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
        nghttp2_nv nv;
        ssize_t n =
            nghttp2_hd_inflate_hd2(s->inflater, &nv, &flags, b.data + used, b.size - used, 1);
        assert_true(n >= 0);
        used += (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            assert_int_equal(oak_buf_printf(&s->log, " %s=%s", nv.name, nv.value), 0);
        }
    }
    nghttp2_hd_inflate_end_headers(s->inflater);
}

static inline void script_frame_read(struct script *s, const uint8_t *p, size_t size)
{
    static const char *const names[] = {"DATA",       "HEADERS",  "PRIORITY",
                                        "RST_STREAM", "SETTINGS", "PUSH_PROMISE",
                                        "PING",       "GOAWAY",   "WINDOW"};
    const char *name = p[3] < OAK_COUNT_OF(names) ? names[p[3]] : "OTHER";
    uint32_t id = oak_get_be32(p + 5);
    assert_int_equal(oak_buf_printf(&s->log, "%s %u", name, id), 0);
    if (p[3] == NGHTTP2_HEADERS) {
        assert_true((p[4] & SCRIPT_END_HEADERS) != 0);
        script_headers_read(s, oak_bytes(p + 9, size));
    } else if (p[3] == NGHTTP2_DATA) {
        assert_int_equal(oak_buf_printf(&s->log, " %zu", size), 0);
    } else if (p[3] == NGHTTP2_RST_STREAM) {
        assert_int_equal(oak_buf_printf(&s->log, " %u", oak_get_be32(p + 9)), 0);
    } else if (p[3] == NGHTTP2_PING) {
        assert_int_equal(oak_buf_printf(&s->log, " %u", oak_get_be32(p + 13)), 0);
    }
    bool ends = p[3] == NGHTTP2_DATA || p[3] == NGHTTP2_HEADERS;
    if (ends && (p[4] & SCRIPT_END_STREAM) != 0) {
        assert_int_equal(oak_buf_printf(&s->log, " END"), 0);
    } else if (!ends && (p[4] & SCRIPT_ACK) != 0) {
        assert_int_equal(oak_buf_printf(&s->log, " ACK"), 0);
    }
    assert_int_equal(oak_buf_printf(&s->log, "\n"), 0);
}

static inline void script_hear(struct script *s, struct oak_bytes bytes)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_int_equal(oak_buf_append(&s->in, bytes.data, bytes.size), 0);
    size_t at = 0;
    if (!s->greeted && s->in.size >= sizeof(preface) - 1) {
        assert_memory_equal(s->in.data, preface, sizeof(preface) - 1);
        s->greeted = true;
        at = sizeof(preface) - 1;
    }
    while (s->greeted && at + 9 <= s->in.size) {
        const uint8_t *p = s->in.data + at;
        size_t size = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        if (at + 9 + size > s->in.size) {
            break;
        }
        script_frame_read(s, p, size);
        at += 9 + size;
    }
    oak_buf_consume(&s->in, at);
}

/* How many lines of the log begin with `start` and have `word` in them (NULL: any). */
static inline int script_heard(const struct script *s, const char *start, const char *word)
{
    int count = 0;
    size_t at = 0;
    while (at < s->log.size) {
        const uint8_t *line = s->log.data + at;
        const uint8_t *end = memchr(line, '\n', s->log.size - at);
        assert_non_null(end);
        size_t size = (size_t)(end - line) + 1; /* so that the end may be asked for */
        bool begins = size >= strlen(start) && memcmp(line, start, strlen(start)) == 0;
        count += begins && (word == NULL || memmem(line, size, word, strlen(word)) != NULL);
        at += size;
    }
    return count;
}

/* -- what is said to it ------------------------------------------------------------------------ */

static inline void script_frame(struct script *s, uint8_t type, uint8_t flags, uint32_t id,
                                const void *data, size_t size)
{
    uint8_t head[9] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags};
    oak_put_be32(head + 5, id);
    assert_int_equal(oak_buf_append(&s->out, head, 9), 0);
    assert_int_equal(oak_buf_append(&s->out, data, size), 0);
}

/* `streams` UINT32_MAX: says nothing about it. */
static inline void script_settings(struct script *s, uint32_t streams)
{
    uint8_t entry[6] = {0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS};
    oak_put_be32(entry + 2, streams);
    script_frame(s, NGHTTP2_SETTINGS, 0, 0, entry, streams == UINT32_MAX ? 0 : sizeof(entry));
}

struct script_field {
    const char *name;
    const char *value;
};

static inline void script_fields(struct script *s, uint32_t id, uint8_t flags,
                                 const struct script_field *fields, size_t count)
{
    nghttp2_nv nv[16];
    uint8_t bytes[4096];
    assert_true(count <= OAK_COUNT_OF(nv));
    for (size_t i = 0; i < count; i++) {
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[i].name,
                             (uint8_t *)(uintptr_t)fields[i].value, strlen(fields[i].name),
                             strlen(fields[i].value), NGHTTP2_NV_FLAG_NO_INDEX};
    }
    ssize_t size = nghttp2_hd_deflate_hd(s->deflater, bytes, sizeof(bytes), nv, count);
    assert_true(size > 0);
    script_frame(s, NGHTTP2_HEADERS, flags | SCRIPT_END_HEADERS, id, bytes, (size_t)size);
}

/* An answer's headers, its only message, and its trailers. */
static inline void script_head(struct script *s, uint32_t id)
{
    const struct script_field fields[] = {{":status", "200"}, {"content-type", "application/grpc"}};
    script_fields(s, id, 0, fields, 2);
}

static inline void script_message(struct script *s, uint32_t id, const char *text)
{
    uint8_t bytes[512] = {0};
    size_t size = strlen(text);
    assert_true(size <= sizeof(bytes) - 5);
    oak_put_be32(bytes + 1, (uint32_t)size);
    memcpy(bytes + 5, text, size);
    script_frame(s, NGHTTP2_DATA, 0, id, bytes, 5 + size);
}

static inline void script_tail(struct script *s, uint32_t id, const char *code)
{
    const struct script_field fields[] = {{"grpc-status", code}};
    script_fields(s, id, SCRIPT_END_STREAM, fields, 1);
}

static inline void script_answer(struct script *s, uint32_t id, const char *text)
{
    script_head(s, id);
    script_message(s, id, text);
    script_tail(s, id, "0");
}

/* A status alone, with one more field (NULL: none). */
static inline void script_refuse(struct script *s, uint32_t id, const char *code, const char *name,
                                 const char *value)
{
    const struct script_field fields[] = {{":status", "200"},
                                          {"content-type", "application/grpc"},
                                          {"grpc-status", code},
                                          {name, value}};
    script_fields(s, id, SCRIPT_END_STREAM, fields, name == NULL ? 3 : 4);
}

static inline void script_reset(struct script *s, uint32_t id, uint32_t code)
{
    uint8_t bytes[4];
    oak_put_be32(bytes, code);
    script_frame(s, NGHTTP2_RST_STREAM, 0, id, bytes, 4);
}

static inline void script_goaway(struct script *s, uint32_t last, uint32_t code, const char *debug)
{
    uint8_t bytes[64];
    size_t size = strlen(debug);
    assert_true(size <= sizeof(bytes) - 8);
    oak_put_be32(bytes, last);
    oak_put_be32(bytes + 4, code);
    memcpy(bytes + 8, debug, size);
    script_frame(s, NGHTTP2_GOAWAY, 0, 0, bytes, 8 + size);
}

static inline void script_ping(struct script *s, uint32_t number)
{
    uint8_t bytes[8] = {0};
    oak_put_be32(bytes + 4, number);
    script_frame(s, NGHTTP2_PING, 0, 0, bytes, 8);
}

#endif
