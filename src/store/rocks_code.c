/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_code.c: keys and values of the database as bytes. docs/internals/store-schema.md draws
 * them.
 *
 * Keys         group: count of bytes that follow, then the number big endian without leading zeros
 *              kind, then
 *                k  key, each 00 byte as 00 FF, ended by 00 00; ~main, ~sub (big endian)
 *                c  main, sub of the first change in the record (big endian)
 *                m  name
 *                s  nothing
 * Values       k  flags, [main - create_rev, version, [lease]] as varints, value
 *              c  entries: flags, main - main of the entry before, sub, key size as varints, key
 *              m  data
 *              s  layout version u32, state, live keys, reclaim's place (little endian)
 *
 * Can fail     OAK_ENOMEM; decoding: OAK_ECORRUPT.
 * Invariants   the bytes of two keys are in the order of the keys, and no prefix begins another.
 * Thread       any.
 */
#include "store/rocks.h"

#define ROCKS_LAYOUT 1

enum {
    VALUE_DELETED = 1,
    VALUE_LEASE = 2,
    VALUE_FLAGS = 3,
    CHANGE_DELETED = 1,
    CHANGE_FIRST = 2,
    CHANGE_FLAGS = 3,
    VARINT_MAX = 10,
};

static size_t put_varint(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static uint64_t get_varint(struct oak_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = oak_read_u8(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return v;
        }
    }
    r->failed = true;
    return 0;
}

void rocks__group_set(struct rocks_group *g, uint64_t group)
{
    uint8_t all[8];
    oak_put_be64(all, group);
    size_t skip = 0;
    while (skip < 8 && all[skip] == 0) {
        skip++;
    }
    g->bytes[0] = (uint8_t)(8 - skip);
    memcpy(g->bytes + 1, all + skip, 8 - skip);
    g->size = 9 - skip;
}

int rocks__kind_key(const struct rocks_group *g, int kind, struct oak_bytes rest,
                    struct oak_buf *buf)
{
    oak_buf_clear(buf);
    int error = oak_buf_reserve(buf, g->size + 1 + rest.size);
    if (error != 0) {
        return error;
    }
    memcpy(buf->data, g->bytes, g->size);
    buf->data[g->size] = (uint8_t)kind;
    buf->size = g->size + 1;
    return oak_buf_append(buf, rest.data, rest.size);
}

int rocks__prefix(const struct rocks_group *g, struct oak_bytes key, struct oak_buf *buf)
{
    oak_buf_clear(buf);
    int error = oak_buf_reserve(buf, g->size + 1 + 2 * key.size + 2 + ROCKS_REV_BYTES);
    if (error != 0) {
        return error;
    }
    uint8_t *p = buf->data;
    memcpy(p, g->bytes, g->size);
    p += g->size;
    *p++ = ROCKS_VERSION;
    const uint8_t *at = key.data;
    size_t left = key.size;
    while (left > 0) {
        const uint8_t *zero = memchr(at, 0, left);
        size_t run = zero != NULL ? (size_t)(zero - at) + 1 : left;
        memcpy(p, at, run);
        p += run;
        at += run;
        left -= run;
        if (zero != NULL) {
            *p++ = 0xff;
        }
    }
    *p++ = 0;
    *p++ = 0;
    buf->size = (size_t)(p - buf->data);
    return 0;
}

void rocks__rev_put(uint8_t *out, struct oak_store_rev rev)
{
    oak_put_be64(out, ~(uint64_t)rev.main);
    oak_put_be64(out + 8, ~(uint64_t)rev.sub);
}

struct oak_store_rev rocks__rev_get(const uint8_t *in)
{
    return (struct oak_store_rev){.main = (int64_t)~oak_get_be64(in),
                                  .sub = (int64_t)~oak_get_be64(in + 8)};
}

int rocks__version_key(const struct rocks_group *g, struct oak_bytes key, struct oak_store_rev rev,
                       struct oak_buf *buf)
{
    int error = rocks__prefix(g, key, buf);
    if (error == 0) {
        OAK_ASSERT_GE(buf->capacity - buf->size, (size_t)ROCKS_REV_BYTES);
        rocks__rev_put(buf->data + buf->size, rev);
        buf->size += ROCKS_REV_BYTES;
    }
    return error;
}

int rocks__version_key_decode(const struct rocks_group *g, struct oak_bytes bytes,
                              struct oak_buf *key, struct oak_store_rev *rev)
{
    size_t around = g->size + 1 + 2 + ROCKS_REV_BYTES;
    if (bytes.size < around || memcmp(bytes.data, g->bytes, g->size) != 0 ||
        bytes.data[g->size] != ROCKS_VERSION) {
        return OAK_ECORRUPT;
    }
    const uint8_t *at = bytes.data + g->size + 1;
    const uint8_t *end = bytes.data + bytes.size - ROCKS_REV_BYTES - 2;
    *rev = rocks__rev_get(end + 2);
    if (end[0] != 0 || end[1] != 0 || rev->main < 1 || rev->sub < 0) {
        return OAK_ECORRUPT;
    }
    oak_buf_clear(key);
    int error = oak_buf_reserve(key, (size_t)(end - at));
    while (error == 0 && at < end) {
        const uint8_t *zero = memchr(at, 0, (size_t)(end - at));
        size_t run = zero != NULL ? (size_t)(zero - at) + 1 : (size_t)(end - at);
        error = oak_buf_append(key, at, run);
        at += run;
        if (zero != NULL) {
            if (at == end || *at != 0xff) {
                return OAK_ECORRUPT;
            }
            at++;
        }
    }
    return error;
}

void rocks__changes_rev(struct oak_store_rev rev, uint8_t out[ROCKS_REV_BYTES])
{
    oak_put_be64(out, (uint64_t)rev.main);
    oak_put_be64(out + 8, (uint64_t)rev.sub);
}

struct oak_store_rev rocks__changes_rev_get(const uint8_t in[ROCKS_REV_BYTES])
{
    return (struct oak_store_rev){.main = (int64_t)oak_get_be64(in),
                                  .sub = (int64_t)oak_get_be64(in + 8)};
}

int rocks__changes_key(const struct rocks_group *g, struct oak_store_rev rev, struct oak_buf *buf)
{
    uint8_t place[ROCKS_REV_BYTES];
    rocks__changes_rev(rev, place);
    return rocks__kind_key(g, ROCKS_CHANGES, oak_bytes(place, sizeof(place)), buf);
}

int rocks__value(const struct store_item *item, struct oak_buf *buf)
{
    const struct oak_store_kv *kv = &item->kv;
    uint8_t head[1 + 3 * VARINT_MAX];
    size_t n = 1;
    head[0] = 0;
    oak_buf_clear(buf);
    if (item->deleted) {
        head[0] = VALUE_DELETED;
        return oak_buf_append(buf, head, 1);
    }
    OAK_ASSERT_LE(kv->create_rev, item->rev.main);
    n += put_varint(head + n, (uint64_t)(item->rev.main - kv->create_rev));
    n += put_varint(head + n, (uint64_t)kv->version);
    if (kv->lease != 0) {
        head[0] |= VALUE_LEASE;
        n += put_varint(head + n, (uint64_t)kv->lease);
    }
    int error = oak_buf_reserve(buf, n + kv->value.size);
    if (error == 0) {
        error = oak_buf_append(buf, head, n);
    }
    return error != 0 ? error : oak_buf_append(buf, kv->value.data, kv->value.size);
}

int rocks__value_decode(struct oak_bytes bytes, struct oak_store_rev rev, struct store_item *out)
{
    struct oak_reader r = oak_reader(bytes);
    uint8_t flags = oak_read_u8(&r);
    *out = (struct store_item){
        .rev = rev, .deleted = (flags & VALUE_DELETED) != 0, .kv.mod_rev = rev.main};
    if (r.failed || (flags & ~VALUE_FLAGS) != 0) {
        return OAK_ECORRUPT;
    }
    if (out->deleted) {
        return flags == VALUE_DELETED && oak_reader_left(&r) == 0 ? 0 : OAK_ECORRUPT;
    }
    uint64_t age = get_varint(&r);
    uint64_t version = get_varint(&r);
    uint64_t lease = (flags & VALUE_LEASE) != 0 ? get_varint(&r) : 0;
    if (r.failed || age >= (uint64_t)rev.main || version == 0 || version > INT64_MAX) {
        return OAK_ECORRUPT;
    }
    out->kv.create_rev = rev.main - (int64_t)age;
    out->kv.version = (int64_t)version;
    out->kv.lease = (int64_t)lease;
    out->kv.value = oak_read_bytes(&r, oak_reader_left(&r));
    return 0;
}

int rocks__change(const struct store_item *item, int64_t main_before, struct oak_buf *buf)
{
    OAK_ASSERT_GE(item->rev.main, main_before);
    uint8_t head[1 + 3 * VARINT_MAX];
    size_t n = 1;
    bool first = !item->deleted && item->kv.version == 1;
    head[0] = (uint8_t)((item->deleted ? CHANGE_DELETED : 0) | (first ? CHANGE_FIRST : 0));
    n += put_varint(head + n, (uint64_t)(item->rev.main - main_before));
    n += put_varint(head + n, (uint64_t)item->rev.sub);
    n += put_varint(head + n, item->kv.key.size);
    int error = oak_buf_reserve(buf, n + item->kv.key.size);
    if (error == 0) {
        error = oak_buf_append(buf, head, n);
    }
    return error != 0 ? error : oak_buf_append(buf, item->kv.key.data, item->kv.key.size);
}

int rocks__change_decode(struct oak_reader *r, struct rocks_change *out)
{
    uint8_t flags = oak_read_u8(r);
    uint64_t ahead = get_varint(r);
    uint64_t sub = get_varint(r);
    uint64_t key_size = get_varint(r);
    if (r->failed || key_size > oak_reader_left(r) || (flags & ~CHANGE_FLAGS) != 0 ||
        ahead > (uint64_t)(INT64_MAX - out->rev.main) || sub > INT64_MAX) {
        return OAK_ECORRUPT;
    }
    out->rev.main += (int64_t)ahead;
    out->rev.sub = (int64_t)sub;
    out->deleted = (flags & CHANGE_DELETED) != 0;
    out->first = (flags & CHANGE_FIRST) != 0;
    out->key = oak_read_bytes(r, (size_t)key_size);
    return 0;
}

void rocks__state(const struct rocks_state *s, uint8_t *out)
{
    oak_put_u32(out, ROCKS_LAYOUT);
    oak_put_u64(out + 4, s->state.applied);
    oak_put_u64(out + 12, s->state.applied_term);
    oak_put_u64(out + 20, (uint64_t)s->state.revision);
    oak_put_u64(out + 28, (uint64_t)s->state.compacted);
    oak_put_u64(out + 36, s->state.chain);
    oak_put_u64(out + 44, s->keys);
    oak_put_u64(out + 52, (uint64_t)s->reclaimed.main);
    oak_put_u64(out + 60, (uint64_t)s->reclaimed.sub);
}

int rocks__state_decode(struct oak_bytes bytes, struct rocks_state *out)
{
    struct oak_reader r = oak_reader(bytes);
    uint32_t layout = oak_read_u32(&r);
    out->state.applied = oak_read_u64(&r);
    out->state.applied_term = oak_read_u64(&r);
    out->state.revision = (int64_t)oak_read_u64(&r);
    out->state.compacted = (int64_t)oak_read_u64(&r);
    out->state.chain = oak_read_u64(&r);
    out->keys = oak_read_u64(&r);
    out->reclaimed.main = (int64_t)oak_read_u64(&r);
    out->reclaimed.sub = (int64_t)oak_read_u64(&r);
    if (!r.failed && layout != ROCKS_LAYOUT) {
        return OAK_EINVAL;
    }
    bool fine = !r.failed && oak_reader_left(&r) == 0 && out->state.revision >= 1 &&
                out->state.compacted >= -1 && out->state.compacted <= out->state.revision &&
                out->reclaimed.main >= 0 && out->reclaimed.sub >= 0;
    return fine ? 0 : OAK_ECORRUPT;
}
