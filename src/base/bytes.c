/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.c: the growable buffer and the bounded reader. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void oak_buf_fini(struct oak_buf *b)
{
    OAK_ASSERT(b->size <= b->capacity);
    free(b->data);
    *b = (struct oak_buf){0};
}

int oak_buf_reserve(struct oak_buf *b, size_t extra)
{
    OAK_ASSERT(b->size <= b->capacity);
    if (b->capacity - b->size >= extra) {
        return 0;
    }
    if (extra > SIZE_MAX / 2 - b->size) {
        return OAK_ENOMEM;
    }
    size_t wanted = OAK_MAX(b->size + extra, OAK_MAX((size_t)64, b->capacity * 2));
    uint8_t *data = realloc(b->data, wanted);
    if (data == NULL) {
        return OAK_ENOMEM;
    }
    b->data = data;
    b->capacity = wanted;
    return 0;
}

int oak_buf_append(struct oak_buf *b, const void *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    OAK_ASSERT(data != NULL);
    int error = oak_buf_reserve(b, size);
    if (error != 0) {
        return error;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return 0;
}

int oak_buf_printf(struct oak_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(NULL, 0, format, args);
    va_end(args);
    OAK_ASSERT(wanted >= 0);
    int error = oak_buf_reserve(b, (size_t)wanted + 1);
    if (error != 0) {
        return error;
    }
    va_start(args, format);
    vsnprintf((char *)b->data + b->size, (size_t)wanted + 1, format, args);
    va_end(args);
    b->size += (size_t)wanted;
    return 0;
}

void oak_buf_consume(struct oak_buf *b, size_t count)
{
    OAK_ASSERT_LE(count, b->size);
    if (count == b->size) {
        b->size = 0;
        return;
    }
    memmove(b->data, b->data + count, b->size - count);
    b->size -= count;
}

struct oak_bytes oak_read_bytes(struct oak_reader *r, size_t size)
{
    if (oak_reader_left(r) < size) {
        r->failed = true;
        return oak_bytes(NULL, 0);
    }
    const uint8_t *at = r->at;
    if (size > 0) {
        r->at += size;
    }
    return oak_bytes(at, size);
}

uint8_t oak_read_u8(struct oak_reader *r)
{
    struct oak_bytes b = oak_read_bytes(r, 1);
    return r->failed ? 0 : b.data[0];
}

uint16_t oak_read_u16(struct oak_reader *r)
{
    struct oak_bytes b = oak_read_bytes(r, 2);
    return r->failed ? 0 : oak_get_u16(b.data);
}

uint32_t oak_read_u32(struct oak_reader *r)
{
    struct oak_bytes b = oak_read_bytes(r, 4);
    return r->failed ? 0 : oak_get_u32(b.data);
}

uint64_t oak_read_u64(struct oak_reader *r)
{
    struct oak_bytes b = oak_read_bytes(r, 8);
    return r->failed ? 0 : oak_get_u64(b.data);
}
