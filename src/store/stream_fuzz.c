/* SPDX-License-Identifier: Apache-2.0 */
/* stream_fuzz.c: the reader of snapshot streams, fed arbitrary bytes in arbitrary pieces.
 *
 * Checksums would keep a fuzzer out of everything behind them, so each input is read twice: as it
 * is, and as a list of records to which the checksums are added. What the sink gets must be in
 * order.
 */
#include <stdlib.h>

#include "store/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct oak_buf key;
    struct oak_store_rev rev;
    uint64_t metas, versions;
    int64_t revision;
};

static int see_state(void *arg, const struct oak_store_state *state)
{
    struct seen *s = arg;
    OAK_ASSERT_EQ(s->revision, 0);
    OAK_ASSERT_GE(state->revision, 1);
    s->revision = state->revision;
    return 0;
}

static int see_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct seen *s = arg;
    OAK_ASSERT_GE(s->revision, 1);
    OAK_ASSERT_EQ(s->versions, 0U);
    OAK_ASSERT_LE(key.size, STORE_META_KEY_MAX);
    OAK_ASSERT_GT(data.size, 0U);
    s->metas++;
    return 0;
}

static int see_version(void *arg, const struct store_item *item)
{
    struct seen *s = arg;
    int order = s->versions == 0 ? -1 : oak_bytes_cmp(oak_buf_bytes(&s->key), item->kv.key);
    OAK_ASSERT(order < 0 || (order == 0 && store__rev_cmp(item->rev, s->rev) < 0));
    OAK_ASSERT(item->rev.main >= 1 && item->rev.main <= s->revision);
    OAK_ASSERT_GT(item->kv.key.size, 0U);
    s->rev = item->rev;
    s->versions++;
    oak_buf_clear(&s->key);
    return oak_buf_append(&s->key, item->kv.key.data, item->kv.key.size);
}

static void read_stream(struct oak_bytes bytes, size_t step)
{
    struct seen s = {0};
    struct store_stream_in in;
    const struct store_stream_sink sink = {
        .state = see_state, .meta = see_meta, .version = see_version, .arg = &s};
    store__stream_in_init(&in, &sink);
    int error = 0;
    for (size_t at = 0; at < bytes.size && error == 0; at += step) {
        error = store__stream_feed(&in, oak_bytes(bytes.data + at, OAK_MIN(step, bytes.size - at)));
    }
    if (store__stream_finish(&in) == 0) {
        OAK_ASSERT_EQ(in.metas, s.metas);
        OAK_ASSERT_EQ(in.versions, s.versions);
    }
    store__stream_in_fini(&in);
    oak_buf_fini(&s.key);
}

/* data: [size u8, kind u8, payload] ... becomes a stream with right sizes and checksums. */
static int dress(const uint8_t *data, size_t size, struct oak_buf *out)
{
    uint32_t crc = oak_crc32c(0, "OAKSTOR1", 8);
    int error = oak_buf_append(out, "OAKSTOR1", 8);
    while (size >= 2 && error == 0) {
        size_t part = OAK_MIN((size_t)data[0], size - 2);
        uint8_t head[5];
        uint8_t tail[4];
        oak_put_u32(head, (uint32_t)part);
        head[4] = data[1];
        crc = oak_crc32c(crc, head, sizeof(head));
        crc = oak_crc32c(crc, data + 2, part);
        oak_put_u32(tail, crc);
        error = oak_buf_append(out, head, sizeof(head));
        error = error != 0 ? error : oak_buf_append(out, data + 2, part);
        error = error != 0 ? error : oak_buf_append(out, tail, sizeof(tail));
        data += 2 + part;
        size -= 2 + part;
    }
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t step = 1 + (size_t)data[0];
    read_stream(oak_bytes(data + 1, size - 1), step);
    struct oak_buf dressed = {0};
    if (dress(data + 1, size - 1, &dressed) == 0) {
        read_stream(oak_buf_bytes(&dressed), step);
    }
    oak_buf_fini(&dressed);
    return 0;
}
