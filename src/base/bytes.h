/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h: fixed-width encoding, and a growable buffer, beside the byte strings of common.h.
 *
 * Bytes on wire and disk are written by these functions, never by casting structs.
 */
#ifndef OAK_BASE_BYTES_H
#define OAK_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "oakum/common.h"

#include "base/assert.h"
#include "base/errors.h"

/* Little endian for our own formats. */
static inline void oak_put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void oak_put_u32(uint8_t *p, uint32_t v)
{
    oak_put_u16(p, (uint16_t)v);
    oak_put_u16(p + 2, (uint16_t)(v >> 16));
}
static inline void oak_put_u64(uint8_t *p, uint64_t v)
{
    oak_put_u32(p, (uint32_t)v);
    oak_put_u32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t oak_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | ((uint16_t)p[1] << 8));
}
static inline uint32_t oak_get_u32(const uint8_t *p)
{
    return (uint32_t)oak_get_u16(p) | ((uint32_t)oak_get_u16(p + 2) << 16);
}
static inline uint64_t oak_get_u64(const uint8_t *p)
{
    return (uint64_t)oak_get_u32(p) | ((uint64_t)oak_get_u32(p + 4) << 32);
}
/* Big endian where bytes must sort as numbers, and for gRPC framing. */
static inline void oak_put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void oak_put_be64(uint8_t *p, uint64_t v)
{
    oak_put_be32(p, (uint32_t)(v >> 32));
    oak_put_be32(p + 4, (uint32_t)v);
}
static inline uint32_t oak_get_be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}
static inline uint64_t oak_get_be64(const uint8_t *p)
{
    return ((uint64_t)oak_get_be32(p) << 32) | oak_get_be32(p + 4);
}

/* A growable buffer, owned by one thread. Zeroed is a valid empty one.
 * Appending can fail only for want of memory; a failed append changes nothing. */
struct oak_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

void oak_buf_fini(struct oak_buf *b);
/* Room for `extra` more bytes behind `size`. OAK_ENOMEM. */
OAK_MUST_USE int oak_buf_reserve(struct oak_buf *b, size_t extra);
OAK_MUST_USE int oak_buf_append(struct oak_buf *b, const void *data, size_t size);
/* Append formatted text, without the ending NUL. */
OAK_MUST_USE int oak_buf_printf(struct oak_buf *b, const char *format, ...) OAK_PRINTF(2, 3);
/* Drop the first `count` bytes. */
void oak_buf_consume(struct oak_buf *b, size_t count);
static inline void oak_buf_clear(struct oak_buf *b)
{
    b->size = 0;
}
static inline struct oak_bytes oak_buf_bytes(const struct oak_buf *b)
{
    return oak_bytes(b->data, b->size);
}

/* A bounded reader over bytes from outside: once a read passes the end, `failed` is set, reads
 * give zeros, and the caller checks once at the end. */
struct oak_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct oak_reader oak_reader(struct oak_bytes b)
{
    return (struct oak_reader){.at = b.data, .end = b.size == 0 ? b.data : b.data + b.size};
}
static inline size_t oak_reader_left(const struct oak_reader *r)
{
    return r->failed || r->at == r->end ? 0 : (size_t)(r->end - r->at);
}
/* `size` borrowed bytes, or empty and `failed`. */
struct oak_bytes oak_read_bytes(struct oak_reader *r, size_t size);
uint8_t oak_read_u8(struct oak_reader *r);
uint16_t oak_read_u16(struct oak_reader *r);
uint32_t oak_read_u32(struct oak_reader *r);
uint64_t oak_read_u64(struct oak_reader *r);

#endif
