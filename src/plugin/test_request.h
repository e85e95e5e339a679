/* SPDX-License-Identifier: Apache-2.0 */
/* test_request.h: for tests of this room: requests as protoc would send them. */
#ifndef OAK_PLUGIN_TEST_REQUEST_H
#define OAK_PLUGIN_TEST_REQUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "plugin/plugin.h"
#include "schema/schema.h"

/* A file's bytes; false when it can't be read. */
static inline bool file_read(const char *path, struct oak_buf *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return false;
    }
    size_t got;
    do {
        assert_int_equal(oak_buf_reserve(out, 65536), 0);
        got = fread(out->data + out->size, 1, 65536, f);
        out->size += got;
    } while (got > 0);
    fclose(f);
    return true;
}

/* A field of bytes: tag, length, what it is. */
static inline void put_record(struct oak_buf *out, unsigned number, struct oak_bytes b)
{
    uint8_t head[16];
    size_t size = 0;
    for (uint64_t v = number << 3 | 2; size == 0 || v > 0; v >>= 7) {
        head[size++] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
    }
    uint64_t v = b.size;
    do {
        head[size++] = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
        v >>= 7;
    } while (v > 0);
    assert_int_equal(oak_buf_append(out, head, size), 0);
    assert_int_equal(oak_buf_append(out, b.data, b.size), 0);
}

#define REQUEST_GENERATE  1
#define REQUEST_PARAMETER 2
#define REQUEST_FILE      15

/* The files of a FileDescriptorSet (field 1) as those of a request (field 15). */
static inline void put_files(struct oak_buf *out, struct oak_bytes set)
{
    size_t at = 0;
    while (at < set.size) {
        assert_int_equal(set.data[at++], 1 << 3 | 2);
        size_t size = 0;
        unsigned shift = 0;
        uint8_t byte;
        do {
            byte = set.data[at++];
            size |= (size_t)(byte & 0x7f) << shift;
            shift += 7;
        } while (byte & 0x80);
        put_record(out, REQUEST_FILE, oak_bytes(set.data + at, size));
        at += size;
    }
}

/* A response, decoded; free it with oakschema__generator_response__free_unpacked. */
static inline Oakschema__GeneratorResponse *respond(const struct oak_buf *request)
{
    struct oak_buf response = {0};
    assert_int_equal(oak_plugin_run(oak_buf_bytes(request), &response), 0);
    Oakschema__GeneratorResponse *out =
        oakschema__generator_response__unpack(NULL, response.size, response.data);
    assert_non_null(out);
    oak_buf_fini(&response);
    return out;
}

#endif
