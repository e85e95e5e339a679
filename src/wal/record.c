/* SPDX-License-Identifier: Apache-2.0 */
/* record.c: segment headers, frames and records as bytes. docs/internals/wal-format.md.
 *
 * A segment is a header sector and then frames, each starting at a multiple of 512 bytes. A frame
 * is a batch, or a batch's part when it spans segments:
 *
 *     segment header (512)              frame header (64)             record (32 + data, 8-aligned)
 *      0 crc     4 version               0 crc     4 payload crc       0 data size
 *      8 magic                           8 magic  12 salt              4 type 5 kind 6 flags 7 zero
 *     16 seq                            16 batch                       8 group
 *     24 segment bytes                  24 first needed segment       16 index
 *     32 end of the segment before      32 size   36 used             24 term
 *     40 batch                          40 part   44 flags            32 data, zeros up to 8
 *     48 part    52 salt                48 chain  52 ... zeros
 *
 * Every checksum starts with the segment's sequence number and the offset of what it covers, so
 * that bytes are only valid in the one place and life of a file that they were written for. Can
 * fail: nothing but for memory; bytes from disk are refused by `false`. Thread: any; no state.
 */
#include "wal/internal.h"

#include "base/zoo.h"

#define SEGMENT_MAGIC   0x4c41574d554b414full /* "OAKUMWAL" */
#define FRAME_MAGIC     0x4d41524bu           /* "KRAM" */
#define VERSION         1u
#define FRAME_LAST      1u
#define RECORD_KEEP_LOG 1u

uint32_t wal__place_crc(uint64_t seq, uint64_t offset)
{
    uint8_t place[16];
    oak_put_u64(place, seq);
    oak_put_u64(place + 8, offset);
    return oak_crc32c(0, place, sizeof(place));
}

static uint32_t place_crc(uint64_t seq, uint64_t offset, const void *data, size_t size)
{
    return oak_crc32c(wal__place_crc(seq, offset), data, size);
}

void wal__segment_header_put(uint8_t *sector, const struct wal__segment_header *h)
{
    OAK_ASSERT_NE(h->seq, 0);
    OAK_ASSERT_EQ(h->prev_end % WAL__ALIGN, 0);
    memset(sector, 0, WAL__SEGMENT_HEADER);
    oak_put_u32(sector + 4, VERSION);
    oak_put_u64(sector + 8, SEGMENT_MAGIC);
    oak_put_u64(sector + 16, h->seq);
    oak_put_u64(sector + 24, h->segment_bytes);
    oak_put_u64(sector + 32, h->prev_end);
    oak_put_u64(sector + 40, h->batch);
    oak_put_u32(sector + 48, h->part);
    oak_put_u32(sector + 52, h->salt);
    oak_put_u32(sector, place_crc(h->seq, 0, sector + 4, WAL__SEGMENT_HEADER - 4));
}

bool wal__segment_header_get(const uint8_t *sector, uint64_t seq, struct wal__segment_header *out)
{
    if (oak_get_u64(sector + 8) != SEGMENT_MAGIC || oak_get_u32(sector + 4) != VERSION ||
        oak_get_u64(sector + 16) != seq ||
        oak_get_u32(sector) != place_crc(seq, 0, sector + 4, WAL__SEGMENT_HEADER - 4)) {
        return false;
    }
    *out = (struct wal__segment_header){
        .seq = seq,
        .segment_bytes = oak_get_u64(sector + 24),
        .prev_end = oak_get_u64(sector + 32),
        .batch = oak_get_u64(sector + 40),
        .part = oak_get_u32(sector + 48),
        .salt = oak_get_u32(sector + 52),
    };
    return true;
}

void wal__frame_put(uint8_t *at, uint64_t seq, uint64_t offset, struct wal__frame *f)
{
    OAK_ASSERT_EQ(f->size % WAL__ALIGN, 0);
    OAK_ASSERT_EQ(offset % WAL__ALIGN, 0);
    OAK_ASSERT_LE(f->used, f->size - WAL__FRAME_HEADER);
    memset(at, 0, WAL__FRAME_HEADER);
    memset(at + WAL__FRAME_HEADER + f->used, 0, f->size - WAL__FRAME_HEADER - f->used);
    oak_put_u32(at + 4, place_crc(seq, offset + WAL__FRAME_HEADER, at + WAL__FRAME_HEADER,
                                  f->size - WAL__FRAME_HEADER));
    oak_put_u32(at + 8, FRAME_MAGIC);
    oak_put_u32(at + 12, f->salt);
    oak_put_u64(at + 16, f->batch);
    oak_put_u64(at + 24, f->first_seq);
    oak_put_u32(at + 32, f->size);
    oak_put_u32(at + 36, f->used);
    oak_put_u32(at + 40, f->part);
    oak_put_u32(at + 44, f->last ? FRAME_LAST : 0);
    oak_put_u32(at + 48, f->chain);
    oak_put_u32(at + 52, f->repeats);
    f->checksum = place_crc(seq, offset, at + 4, WAL__FRAME_HEADER - 4);
    oak_put_u32(at, f->checksum);
}

bool wal__frame_get(const uint8_t *segment, uint64_t segment_bytes, uint64_t seq, uint64_t offset,
                    struct wal__frame *out)
{
    OAK_ASSERT_EQ(offset % WAL__ALIGN, 0);
    return offset + WAL__ALIGN <= segment_bytes &&
           wal__frame_parse(segment + offset, segment_bytes, seq, offset, out);
}

bool wal__frame_parse(const uint8_t *at, uint64_t segment_bytes, uint64_t seq, uint64_t offset,
                      struct wal__frame *out)
{
    OAK_ASSERT_LE(offset + WAL__ALIGN, segment_bytes);
    if (oak_get_u32(at + 8) != FRAME_MAGIC ||
        oak_get_u32(at) != place_crc(seq, offset, at + 4, WAL__FRAME_HEADER - 4)) {
        return false;
    }
    *out = (struct wal__frame){
        .batch = oak_get_u64(at + 16),
        .first_seq = oak_get_u64(at + 24),
        .size = oak_get_u32(at + 32),
        .used = oak_get_u32(at + 36),
        .part = oak_get_u32(at + 40),
        .last = (oak_get_u32(at + 44) & FRAME_LAST) != 0,
        .salt = oak_get_u32(at + 12),
        .chain = oak_get_u32(at + 48),
        .repeats = oak_get_u32(at + 52),
        .checksum = oak_get_u32(at),
    };
    return out->size >= WAL__ALIGN && out->size % WAL__ALIGN == 0 &&
           out->size <= segment_bytes - offset && out->used <= out->size - WAL__FRAME_HEADER &&
           out->used % WAL__RECORD_ALIGN == 0;
}

bool wal__frame_whole(const uint8_t *segment, uint64_t seq, uint64_t offset,
                      const struct wal__frame *f)
{
    OAK_ASSERT_GE(f->size, WAL__ALIGN);
    const uint8_t *at = segment + offset;
    if (OAK_BUG(wal_torn_tail)) {
        return true;
    }
    return oak_get_u32(at + 4) == place_crc(seq, offset + WAL__FRAME_HEADER, at + WAL__FRAME_HEADER,
                                            f->size - WAL__FRAME_HEADER);
}

/* Bytes of data that a type without a payload of its own has. */
static size_t fixed_size(uint8_t type)
{
    switch (type) {
    case OAK_WAL_HARD_STATE:
        return 16;
    case WAL__TYPE_GROUP:
        return 40;
    default:
        return 0;
    }
}

static bool has_payload(uint8_t type)
{
    return type == OAK_WAL_ENTRY || type == OAK_WAL_META;
}

static size_t padded(size_t size)
{
    return (size + WAL__RECORD_ALIGN - 1) / WAL__RECORD_ALIGN * WAL__RECORD_ALIGN;
}

size_t wal__record_size(const struct wal__record *r)
{
    OAK_ASSERT_LE(r->data.size, UINT32_MAX);
    size_t data = has_payload(r->type) ? r->data.size : fixed_size(r->type);
    return WAL__RECORD_HEADER + padded(data);
}

int wal__record_put(struct oak_buf *out, const struct wal__record *r)
{
    OAK_ASSERT_GE(r->type, OAK_WAL_ENTRY);
    OAK_ASSERT_LE(r->type, OAK_WAL_DOUBT);
    size_t size = wal__record_size(r);
    int error = oak_buf_reserve(out, size);
    if (error != 0) {
        return error;
    }
    uint8_t *at = out->data + out->size;
    memset(at, 0, WAL__RECORD_HEADER);
    memset(at + size - WAL__RECORD_ALIGN, 0, WAL__RECORD_ALIGN);
    size_t data = has_payload(r->type) ? r->data.size : fixed_size(r->type);
    oak_put_u32(at, (uint32_t)data);
    at[4] = r->type;
    at[5] = r->kind;
    at[6] = r->keep_log ? RECORD_KEEP_LOG : 0;
    oak_put_u64(at + 8, r->group);
    oak_put_u64(at + 16, r->index);
    oak_put_u64(at + 24, r->term);
    if (has_payload(r->type)) {
        if (data != 0) {
            memcpy(at + WAL__RECORD_HEADER, r->data.data, data);
        }
    } else if (data != 0) {
        oak_put_u64(at + 32, r->vote);
        oak_put_u64(at + 40, r->commit);
        if (r->type == WAL__TYPE_GROUP) {
            oak_put_u64(at + 48, r->snapshot_index);
            oak_put_u64(at + 56, r->snapshot_term);
            oak_put_u64(at + 64, r->last_term);
        }
    }
    out->size += size;
    return 0;
}

bool wal__record_get(struct oak_reader *in, struct wal__record *out)
{
    uint32_t size = oak_read_u32(in);
    *out = (struct wal__record){.type = oak_read_u8(in), .kind = oak_read_u8(in)};
    uint8_t flags = oak_read_u8(in);
    uint8_t zero = oak_read_u8(in);
    out->keep_log = (flags & RECORD_KEEP_LOG) != 0;
    out->group = oak_read_u64(in);
    out->index = oak_read_u64(in);
    out->term = oak_read_u64(in);
    if (in->failed || zero != 0 || flags > RECORD_KEEP_LOG || out->type < OAK_WAL_ENTRY ||
        out->type > OAK_WAL_DOUBT) {
        return false;
    }
    bool flag = out->type == OAK_WAL_HARD_STATE || out->type == WAL__TYPE_GROUP ||
                out->type == OAK_WAL_DOUBT;
    if (flag && out->kind > 1) {
        return false;
    }
    if (has_payload(out->type)) {
        out->data = oak_read_bytes(in, size);
    } else if (size != fixed_size(out->type)) {
        return false;
    } else if (size != 0) {
        out->vote = oak_read_u64(in);
        out->commit = oak_read_u64(in);
        if (out->type == WAL__TYPE_GROUP) {
            out->snapshot_index = oak_read_u64(in);
            out->snapshot_term = oak_read_u64(in);
            out->last_term = oak_read_u64(in);
        }
    }
    oak_read_bytes(in, padded(size) - size);
    return !in->failed;
}
