/* SPDX-License-Identifier: Apache-2.0 */
/* test_file.h: a bolt file of pairs that are made up, and what its reader says of it. */
#ifndef OAK_BOLT_TEST_FILE_H
#define OAK_BOLT_TEST_FILE_H

#include <stdio.h>
#include <stdlib.h>

#include "bolt/internal.h"
#include "wal/test_disk.h"

#define TEST_FILE "db"

/* Pair `i` of a bucket: keys rise with it; every `large`th value is some pages long. */
static inline struct oak_bytes test_key(size_t i, char out[32])
{
    int size = snprintf(out, 32, "key/%08zu%s", i, i % 3 == 0 ? "/longer" : "");
    return oak_bytes(out, (size_t)size);
}

static inline size_t test_value_size(size_t i, size_t large)
{
    return large != 0 && i % large == large - 1 ? 9000 + i % 5000 : i * 7 % 300;
}

static inline uint8_t test_value_byte(size_t i, size_t at)
{
    return (uint8_t)(i * 131 + at * 17);
}

/* Buckets "alpha" (empty), "key" (`count` pairs) and "meta" (one). 0, or what failed. */
static inline int test_file_write(const struct oak_disk *disk, size_t count, size_t large,
                                  uint64_t *bytes)
{
    struct oak_bolt_writer *w = NULL;
    int error = oak_bolt_create(disk, TEST_FILE, &w);
    if (error != 0) {
        return error;
    }
    uint8_t *value = malloc(16 * OAK_KIB);
    error = value == NULL ? OAK_ENOMEM : oak_bolt_bucket(w, oak_bytes_str("alpha"));
    error = error != 0 ? error : oak_bolt_bucket(w, oak_bytes_str("key"));
    for (size_t i = 0; error == 0 && i < count; i++) {
        char key[32];
        size_t size = test_value_size(i, large);
        for (size_t at = 0; at < size; at++) {
            value[at] = test_value_byte(i, at);
        }
        error = oak_bolt_put(w, test_key(i, key), oak_bytes(value, size));
    }
    free(value);
    error = error != 0 ? error : oak_bolt_bucket(w, oak_bytes_str("meta"));
    error = error != 0 ? error : oak_bolt_put(w, oak_bytes_str("only"), oak_bytes_str("one"));
    if (error != 0) {
        oak_bolt_abort(w);
        return error;
    }
    return oak_bolt_finish(w, bytes);
}

#endif
