/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_stream.c: the whole state as a stream of records, the same from either engine.
 *
 * Format       All numbers little endian. The stream starts with 8 bytes "OAKSTOR1". Then records:
 *
 *                  0         4      5              5 + size
 *                  +---------+------+--------------+----------------+
 *                  | size    | kind | payload      | CRC-32C so far |
 *                  +---------+------+--------------+----------------+
 *
 *              The checksum covers every byte of the stream before it but the checksums themselves,
 *              so that a record that is lost, doubled or moved is found as well as one that is
 * changed.
 *
 *              1 state    applied u64, applied_term u64, revision i64, compacted i64, chain u64
 *              2 meta     key size u16, key, data            rising by key
 *              6 meta     key size u32, key, data            the same, for a key above 65535 bytes
 *              3 put      main i64, sub i64, create_rev i64, version i64, lease i64, key size u32,
 *                         key, value                         rising by key, then newest first
 *              4 delete   main i64, sub i64, key size u32, key        among the puts
 *              5 end      metas u64, versions u64
 *
 *              One state, metas, versions, one end; nothing behind it. Versions that the compaction
 * floor hides are left out, so that the stream does not depend on how far reclaim has come.
 *
 * Can fail     OAK_ENOMEM; reading: OAK_ECORRUPT, sticky.
 * Invariants   a record reaches the sink only after its checksum was right.
 * Thread       any one at a time.
 */
#include "base/zoo.h"
#include "store/internal.h"

enum stream_kind {
    STREAM_STATE = 1,
    STREAM_META = 2,
    STREAM_PUT = 3,
    STREAM_DELETE = 4,
    STREAM_END = 5,
    STREAM_META_LONG = 6,
};
enum stream_stage {
    STAGE_MAGIC,
    STAGE_STATE,
    STAGE_META,
    STAGE_VERSIONS,
    STAGE_ENDED,
};

#define STREAM_MAGIC        "OAKSTOR1"
#define STREAM_MAGIC_BYTES  8
#define STREAM_HEAD_BYTES   5
#define STREAM_CRC_BYTES    4
#define STREAM_PUT_BYTES    44 /* before key and value */
#define STREAM_DELETE_BYTES 20
#define STREAM_RECORD_MAX   (STORE_PAIR_BYTES_MAX + STREAM_PUT_BYTES)

/* -- writing ----------------------------------------------------------------------------------- */

/* Append one record of up to three parts. */
static int emit(struct store_stream_out *o, enum stream_kind kind, struct oak_bytes a,
                struct oak_bytes b, struct oak_bytes c, struct oak_buf *buf)
{
    size_t size = a.size + b.size + c.size;
    OAK_ASSERT_LE(size, STREAM_RECORD_MAX);
    int error = oak_buf_reserve(buf, STREAM_HEAD_BYTES + size + STREAM_CRC_BYTES);
    if (error != 0) {
        return error;
    }
    uint8_t *start = buf->data + buf->size;
    uint8_t *p = start;
    oak_put_u32(p, (uint32_t)size);
    p[4] = (uint8_t)kind;
    p += STREAM_HEAD_BYTES;
    const struct oak_bytes parts[] = {a, b, c};
    for (size_t i = 0; i < OAK_COUNT_OF(parts); i++) {
        if (parts[i].size > 0) {
            memcpy(p, parts[i].data, parts[i].size);
            p += parts[i].size;
        }
    }
    o->crc = oak_crc32c(o->crc, start, (size_t)(p - start));
    oak_put_u32(p, o->crc);
    buf->size += (size_t)(p - start) + STREAM_CRC_BYTES;
    return 0;
}

int store__stream_state(struct store_stream_out *o, const struct oak_store_state *state,
                        struct oak_buf *buf)
{
    OAK_ASSERT(o->crc == 0 && o->metas == 0 && o->versions == 0);
    int error = oak_buf_append(buf, STREAM_MAGIC, STREAM_MAGIC_BYTES);
    if (error != 0) {
        return error;
    }
    o->crc = oak_crc32c(0, STREAM_MAGIC, STREAM_MAGIC_BYTES);
    uint8_t p[40];
    oak_put_u64(p, state->applied);
    oak_put_u64(p + 8, state->applied_term);
    oak_put_u64(p + 16, (uint64_t)state->revision);
    oak_put_u64(p + 24, (uint64_t)(OAK_BUG(floor_not_kept) ? -1 : state->compacted));
    oak_put_u64(p + 32, state->chain);
    return emit(o, STREAM_STATE, oak_bytes(p, sizeof(p)), oak_bytes(NULL, 0), oak_bytes(NULL, 0),
                buf);
}

int store__stream_meta(struct store_stream_out *o, struct oak_bytes key, struct oak_bytes data,
                       struct oak_buf *buf)
{
    OAK_ASSERT_LE(key.size, STORE_META_KEY_MAX);
    OAK_ASSERT_EQ(o->versions, 0U);
    uint8_t p[4];
    bool fits = key.size <= UINT16_MAX;
    if (fits) {
        oak_put_u16(p, (uint16_t)key.size);
    } else {
        oak_put_u32(p, (uint32_t)key.size);
    }
    o->metas++;
    return emit(o, fits ? STREAM_META : STREAM_META_LONG, oak_bytes(p, fits ? 2 : 4), key, data,
                buf);
}

int store__stream_version(struct store_stream_out *o, const struct store_item *item,
                          struct oak_buf *buf)
{
    OAK_ASSERT_EQ(item->rev.main, item->kv.mod_rev);
    uint8_t p[STREAM_PUT_BYTES];
    oak_put_u64(p, (uint64_t)item->rev.main);
    oak_put_u64(p + 8, (uint64_t)item->rev.sub);
    o->versions++;
    if (item->deleted) {
        oak_put_u32(p + 16, (uint32_t)item->kv.key.size);
        return emit(o, STREAM_DELETE, oak_bytes(p, STREAM_DELETE_BYTES), item->kv.key,
                    oak_bytes(NULL, 0), buf);
    }
    oak_put_u64(p + 16, (uint64_t)item->kv.create_rev);
    oak_put_u64(p + 24, (uint64_t)item->kv.version);
    oak_put_u64(p + 32, (uint64_t)item->kv.lease);
    oak_put_u32(p + 40, (uint32_t)item->kv.key.size);
    return emit(o, STREAM_PUT, oak_bytes(p, sizeof(p)), item->kv.key, item->kv.value, buf);
}

int store__stream_end(struct store_stream_out *o, struct oak_buf *buf)
{
    uint8_t p[16];
    oak_put_u64(p, o->metas);
    oak_put_u64(p + 8, o->versions);
    return emit(o, STREAM_END, oak_bytes(p, sizeof(p)), oak_bytes(NULL, 0), oak_bytes(NULL, 0),
                buf);
}

/* -- reading ----------------------------------------------------------------------------------- */

void store__stream_in_init(struct store_stream_in *in, const struct store_stream_sink *sink)
{
    *in = (struct store_stream_in){.sink = *sink, .stage = STAGE_MAGIC};
}

void store__stream_in_fini(struct store_stream_in *in)
{
    oak_buf_fini(&in->pending);
    oak_buf_fini(&in->last);
}

static int remember(struct store_stream_in *in, struct oak_bytes key)
{
    oak_buf_clear(&in->last);
    return oak_buf_append(&in->last, key.data, key.size);
}

static int take_state(struct store_stream_in *in, struct oak_reader *r)
{
    struct oak_store_state s = {0};
    s.applied = oak_read_u64(r);
    s.applied_term = oak_read_u64(r);
    s.revision = (int64_t)oak_read_u64(r);
    s.compacted = (int64_t)oak_read_u64(r);
    s.chain = oak_read_u64(r);
    if (r->failed || oak_reader_left(r) != 0 || s.revision < 1 || s.compacted < -1 ||
        s.compacted > s.revision) {
        return OAK_ECORRUPT;
    }
    in->state = s;
    in->stage = STAGE_META;
    return in->sink.state(in->sink.arg, &s);
}

static int take_meta(struct store_stream_in *in, enum stream_kind kind, struct oak_reader *r)
{
    bool fits = kind == STREAM_META;
    size_t key_size = fits ? oak_read_u16(r) : oak_read_u32(r);
    struct oak_bytes key = oak_read_bytes(r, key_size);
    struct oak_bytes data = oak_read_bytes(r, oak_reader_left(r));
    if (r->failed || key.size > STORE_META_KEY_MAX || (key.size <= UINT16_MAX) != fits ||
        data.size == 0 || data.size > STORE_META_DATA_MAX ||
        (in->metas > 0 && oak_bytes_cmp(oak_buf_bytes(&in->last), key) >= 0)) {
        return OAK_ECORRUPT;
    }
    in->metas++;
    int error = remember(in, key);
    return error != 0 ? error : in->sink.meta(in->sink.arg, key, data);
}

/* Keys rise; the versions of one key fall. */
static int check_order(struct store_stream_in *in, const struct store_item *item)
{
    int order = in->versions == 0 ? -1 : oak_bytes_cmp(oak_buf_bytes(&in->last), item->kv.key);
    if (order > 0 || (order == 0 && store__rev_cmp(in->last_rev, item->rev) <= 0)) {
        return OAK_ECORRUPT;
    }
    in->last_rev = item->rev;
    in->versions++;
    return order == 0 ? 0 : remember(in, item->kv.key);
}

static int take_version(struct store_stream_in *in, enum stream_kind kind, struct oak_reader *r)
{
    struct store_item item = {.deleted = kind == STREAM_DELETE};
    struct oak_store_kv *kv = &item.kv;
    item.rev.main = kv->mod_rev = (int64_t)oak_read_u64(r);
    item.rev.sub = (int64_t)oak_read_u64(r);
    if (!item.deleted) {
        kv->create_rev = (int64_t)oak_read_u64(r);
        kv->version = (int64_t)oak_read_u64(r);
        kv->lease = (int64_t)oak_read_u64(r);
    }
    size_t key_size = oak_read_u32(r);
    kv->key = oak_read_bytes(r, key_size);
    if (!item.deleted) {
        kv->value = oak_read_bytes(r, oak_reader_left(r));
    }
    if (r->failed || oak_reader_left(r) != 0 || kv->key.size == 0 || item.rev.main < 1 ||
        item.rev.sub < 0 || item.rev.main > in->state.revision ||
        (!item.deleted &&
         (kv->create_rev < 1 || kv->create_rev > item.rev.main || kv->version < 1))) {
        return OAK_ECORRUPT;
    }
    in->stage = STAGE_VERSIONS;
    int error = check_order(in, &item);
    return error != 0 ? error : in->sink.version(in->sink.arg, &item);
}

static int take_end(struct store_stream_in *in, struct oak_reader *r)
{
    uint64_t metas = oak_read_u64(r);
    uint64_t versions = oak_read_u64(r);
    if (r->failed || oak_reader_left(r) != 0 || metas != in->metas || versions != in->versions) {
        return OAK_ECORRUPT;
    }
    in->stage = STAGE_ENDED;
    return 0;
}

static int take_record(struct store_stream_in *in, uint8_t kind, struct oak_bytes payload)
{
    struct oak_reader r = oak_reader(payload);
    bool body = in->stage == STAGE_META || in->stage == STAGE_VERSIONS;
    if (kind == STREAM_STATE && in->stage == STAGE_STATE) {
        return take_state(in, &r);
    }
    if ((kind == STREAM_META || kind == STREAM_META_LONG) && in->stage == STAGE_META) {
        return take_meta(in, (enum stream_kind)kind, &r);
    }
    if ((kind == STREAM_PUT || kind == STREAM_DELETE) && body) {
        return take_version(in, (enum stream_kind)kind, &r);
    }
    if (kind == STREAM_END && body) {
        return take_end(in, &r);
    }
    return OAK_ECORRUPT;
}

/* Take one record (or the magic) from the front of `b`. *used is 0 when it is not there in full. */
static int take_front(struct store_stream_in *in, struct oak_bytes b, size_t *used)
{
    *used = 0;
    if (in->stage == STAGE_MAGIC) {
        if (b.size < STREAM_MAGIC_BYTES) {
            return 0;
        }
        if (memcmp(b.data, STREAM_MAGIC, STREAM_MAGIC_BYTES) != 0) {
            return OAK_ECORRUPT;
        }
        in->crc = oak_crc32c(0, b.data, STREAM_MAGIC_BYTES);
        in->stage = STAGE_STATE;
        *used = STREAM_MAGIC_BYTES;
        return 0;
    }
    if (in->stage == STAGE_ENDED) {
        return b.size == 0 ? 0 : OAK_ECORRUPT;
    }
    if (b.size < STREAM_HEAD_BYTES) {
        return 0;
    }
    size_t size = oak_get_u32(b.data);
    if (size > STREAM_RECORD_MAX) {
        return OAK_ECORRUPT;
    }
    size_t covered = STREAM_HEAD_BYTES + size;
    if (b.size < covered + STREAM_CRC_BYTES) {
        return 0;
    }
    in->crc = oak_crc32c(in->crc, b.data, covered);
    if (in->crc != oak_get_u32(b.data + covered)) {
        return OAK_ECORRUPT;
    }
    *used = covered + STREAM_CRC_BYTES;
    return take_record(in, b.data[4], oak_bytes(b.data + STREAM_HEAD_BYTES, size));
}

/* Take records from `b` until what is left is not a whole one. */
static int take_all(struct store_stream_in *in, struct oak_bytes b, size_t *taken)
{
    *taken = 0;
    for (;;) {
        size_t used;
        struct oak_bytes rest = oak_bytes(b.data + *taken, b.size - *taken);
        int error = take_front(in, rest, &used);
        if (error != 0 || used == 0) {
            return error;
        }
        *taken += used;
    }
}

/* Bytes that `pending` still needs before a record can be taken from its front. */
static size_t missing(const struct store_stream_in *in)
{
    size_t have = in->pending.size;
    size_t need = in->stage == STAGE_MAGIC ? (size_t)STREAM_MAGIC_BYTES : (size_t)STREAM_HEAD_BYTES;
    if (have >= need && in->stage != STAGE_MAGIC) {
        need = STREAM_HEAD_BYTES + (size_t)oak_get_u32(in->pending.data) + STREAM_CRC_BYTES;
    }
    OAK_ASSERT_GT(need, have);
    return need - have;
}

int store__stream_feed(struct store_stream_in *in, struct oak_bytes bytes)
{
    size_t taken = 0;
    /* A record that came in pieces is completed first; the rest is read where it lies. */
    while (in->error == 0 && in->pending.size > 0 && bytes.size > 0) {
        size_t part = OAK_MIN(missing(in), bytes.size);
        in->error = oak_buf_append(&in->pending, bytes.data, part);
        if (in->error == 0) {
            bytes = oak_bytes(bytes.data + part, bytes.size - part);
            in->error = take_all(in, oak_buf_bytes(&in->pending), &taken);
            oak_buf_consume(&in->pending, taken);
        }
    }
    if (in->error == 0 && bytes.size > 0) {
        in->error = take_all(in, bytes, &taken);
        if (in->error == 0) {
            in->error = oak_buf_append(&in->pending, bytes.data + taken, bytes.size - taken);
        }
    }
    return in->error;
}

int store__stream_finish(const struct store_stream_in *in)
{
    if (in->error != 0) {
        return in->error;
    }
    return in->stage == STAGE_ENDED && in->pending.size == 0 ? 0 : OAK_ECORRUPT;
}
