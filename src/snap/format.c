/* SPDX-License-Identifier: Apache-2.0 */
/* format.c: names and bytes of a snapshot file. docs/internals/snapshot-format.md.
 *
 *     header (72 + configuration)     chunk (16 + data)       trailer (40)
 *      0 crc      4 version            0 crc   4 data size     0 crc    4 chain
 *      8 magic                         8 number                8 magic
 *     16 group   24 index                                     16 chunks
 *     32 term    40 config size       16 data                 24 bytes of data
 *     44 zero    48 from                                      32 zero
 *     56 transfer 64 lead
 *     72 configuration
 *
 * A chunk's checksum starts from the one before (the first from the header's), so that it covers
 * everything before it: a chunk of another file, lost or out of order does not fit.
 * Can fail: nothing but for memory; bytes from outside are refused by `false`.
 * Thread: any; no state.
 */
#include "snap/internal.h"

#include <inttypes.h>
#include <stdio.h>

#define HEADER_MAGIC  0x50414e53554b414full /* "OAKUSNAP" */
#define TRAILER_MAGIC 0x444e45504b414f00ull /* "\0OAKPEND" */
#define VERSION       2u

static const char *const suffixes[] = {".snap", ".part"};

int snap__path(const char *dir, const struct snap__name *name, char out[SNAP__PATH_BYTES])
{
    OAK_ASSERT_LT((size_t)name->kind, OAK_COUNT_OF(suffixes));
    if (strlen(dir) > SNAP__DIR_BYTES_MAX) {
        return OAK_EINVAL;
    }
    int size = snprintf(out, SNAP__PATH_BYTES, "%s/%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 "%s",
                        dir, name->group, name->index, name->term, suffixes[name->kind]);
    OAK_ASSERT(size > 0 && (size_t)size < SNAP__PATH_BYTES);
    return 0;
}

void snap__parent(const char *dir, char out[SNAP__PATH_BYTES])
{
    size_t end = strlen(dir);
    OAK_ASSERT_LE(end, SNAP__DIR_BYTES_MAX);
    while (end > 1 && dir[end - 1] == '/') {
        end--;
    }
    while (end > 0 && dir[end - 1] != '/') {
        end--;
    }
    while (end > 1 && dir[end - 1] == '/') {
        end--;
    }
    memcpy(out, end == 0 ? "." : dir, end == 0 ? 1 : end);
    out[end == 0 ? 1 : end] = '\0';
}

/* 16 lower-case hexadecimal digits. */
static bool number_parse(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = text[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return true;
}

bool snap__name_parse(const char *text, struct snap__name *out)
{
    if (strlen(text) != 3 * 16 + 2 + 5) {
        return false;
    }
    if (!number_parse(text, &out->group) || text[16] != '-' ||
        !number_parse(text + 17, &out->index) || text[33] != '-' ||
        !number_parse(text + 34, &out->term)) {
        return false;
    }
    for (size_t i = 0; i < OAK_COUNT_OF(suffixes); i++) {
        if (strcmp(text + 50, suffixes[i]) == 0) {
            out->kind = (enum snap__kind)i;
            return true;
        }
    }
    return false;
}

uint32_t snap__header_checksum(const uint8_t *fixed, struct oak_bytes config)
{
    uint32_t crc = oak_crc32c(0, fixed + 4, SNAP__HEADER_BYTES - 4);
    return config.size == 0 ? crc : oak_crc32c(crc, config.data, config.size);
}

int snap__header_put(struct oak_buf *out, const struct oak_snap_meta *meta, uint32_t *chain)
{
    OAK_ASSERT_LE(meta->config.size, SNAP__CONFIG_BYTES_MAX);
    uint8_t fixed[SNAP__HEADER_BYTES] = {0};
    oak_put_u32(fixed + 4, VERSION);
    oak_put_u64(fixed + 8, HEADER_MAGIC);
    oak_put_u64(fixed + 16, meta->group);
    oak_put_u64(fixed + 24, meta->index);
    oak_put_u64(fixed + 32, meta->term);
    oak_put_u32(fixed + 40, (uint32_t)meta->config.size);
    oak_put_u64(fixed + 48, meta->from);
    oak_put_u64(fixed + 56, meta->transfer);
    oak_put_u64(fixed + 64, meta->lead);
    *chain = snap__header_checksum(fixed, meta->config);
    oak_put_u32(fixed, *chain);
    int error = oak_buf_append(out, fixed, sizeof(fixed));
    return error != 0 ? error : oak_buf_append(out, meta->config.data, meta->config.size);
}

bool snap__header_get(const uint8_t *fixed, struct oak_snap_meta *out, uint32_t *config_size,
                      uint32_t *checksum)
{
    *out = (struct oak_snap_meta){
        .group = oak_get_u64(fixed + 16),
        .index = oak_get_u64(fixed + 24),
        .term = oak_get_u64(fixed + 32),
        .from = oak_get_u64(fixed + 48),
        .transfer = oak_get_u64(fixed + 56),
        .lead = oak_get_u64(fixed + 64),
    };
    *config_size = oak_get_u32(fixed + 40);
    *checksum = oak_get_u32(fixed);
    return oak_get_u32(fixed + 4) == VERSION && oak_get_u64(fixed + 8) == HEADER_MAGIC &&
           *config_size <= SNAP__CONFIG_BYTES_MAX;
}

uint32_t snap__chunk_checksum(const uint8_t header[SNAP__CHUNK_HEADER], struct oak_bytes data,
                              uint32_t chain)
{
    OAK_ASSERT_GT(data.size, 0);
    chain = oak_crc32c(chain, header + 4, SNAP__CHUNK_HEADER - 4);
    return oak_crc32c(chain, data.data, data.size);
}

uint32_t snap__chunk_put(uint8_t header[SNAP__CHUNK_HEADER], uint64_t number, struct oak_bytes data,
                         uint32_t chain)
{
    OAK_ASSERT_LE(data.size, OAK_SNAPSHOT_CHUNK_BYTES_MAX);
    oak_put_u32(header + 4, (uint32_t)data.size);
    oak_put_u64(header + 8, number);
    uint32_t checksum = snap__chunk_checksum(header, data, chain);
    oak_put_u32(header, checksum);
    return checksum;
}

bool snap__chunk_get(const uint8_t header[SNAP__CHUNK_HEADER], uint64_t number, uint32_t *size,
                     uint32_t *checksum)
{
    *checksum = oak_get_u32(header);
    *size = oak_get_u32(header + 4);
    return oak_get_u64(header + 8) == number && *size > 0 && *size <= OAK_SNAPSHOT_CHUNK_BYTES_MAX;
}

void snap__trailer_put(uint8_t out[SNAP__TRAILER_BYTES], const struct snap__trailer *t)
{
    memset(out, 0, SNAP__TRAILER_BYTES);
    oak_put_u32(out + 4, t->chain);
    oak_put_u64(out + 8, TRAILER_MAGIC);
    oak_put_u64(out + 16, t->chunks);
    oak_put_u64(out + 24, t->bytes);
    oak_put_u32(out, oak_crc32c(0, out + 4, SNAP__TRAILER_BYTES - 4));
}

bool snap__trailer_get(const uint8_t in[SNAP__TRAILER_BYTES], struct snap__trailer *out)
{
    *out = (struct snap__trailer){
        .chunks = oak_get_u64(in + 16),
        .bytes = oak_get_u64(in + 24),
        .chain = oak_get_u32(in + 4),
    };
    return oak_get_u32(in) == oak_crc32c(0, in + 4, SNAP__TRAILER_BYTES - 4) &&
           oak_get_u64(in + 8) == TRAILER_MAGIC;
}
