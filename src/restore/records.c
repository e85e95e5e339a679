/* SPDX-License-Identifier: Apache-2.0 */
/* records.c: what the pairs of etcd's buckets say, and a version as the sorter has it.
 *
 *     etcd     main (8, big endian) '_' sub (8) ['t' of a delete]    -> mvccpb.KeyValue
 *     sorter   key, escaped: 00 as 00 FF; 00 00; ~main (8) ~sub (8)  -> deleted (1), created,
 *                                                version, lease (8 each, little endian), value
 *
 * So the order of bytes in the sorter is that of keys, and of one key's versions the newest first.
 *
 * Can fail     what is not as etcd writes it is told, and not guessed at.
 * Thread       any.
 */
#include "restore/internal.h"

#define REV_BYTES  17
#define ROW_HEAD   25
#define ROW_TAIL   18 /* of the sorter's key: its end, and the revision */
#define LEASE_ID   8
#define WIRE_U64   0
#define WIRE_FIX64 1
#define WIRE_BYTES 2
#define WIRE_FIX32 5

/* -- protobuf, as far as it takes -------------------------------------------------------------- */

static uint64_t varint_read(struct oak_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = oak_read_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return r->failed ? 0 : value;
        }
    }
    r->failed = true;
    return 0;
}

struct field {
    uint64_t number;
    uint64_t value; /* of a varint */
    struct oak_bytes bytes;
};

/* The next field. False: there is none, or (then the reader has failed) it is none. */
static bool field_next(struct oak_reader *r, struct field *out)
{
    *out = (struct field){0};
    if (r->failed || oak_reader_left(r) == 0) {
        return false;
    }
    uint64_t tag = varint_read(r);
    out->number = tag >> 3;
    switch (tag & 7) {
    case WIRE_U64:
        out->value = varint_read(r);
        break;
    case WIRE_FIX64:
        (void)oak_read_u64(r);
        break;
    case WIRE_FIX32:
        (void)oak_read_u32(r);
        break;
    case WIRE_BYTES: {
        uint64_t size = varint_read(r);
        r->failed = r->failed || size > oak_reader_left(r);
        out->bytes = r->failed ? oak_bytes(NULL, 0) : oak_read_bytes(r, (size_t)size);
        break;
    }
    default:
        r->failed = true;
        break;
    }
    r->failed = r->failed || out->number == 0;
    return !r->failed;
}

static bool kv_read(struct oak_bytes value, struct oak_store_kv *out)
{
    struct oak_reader r = oak_reader(value);
    struct field f;
    *out = (struct oak_store_kv){0};
    while (field_next(&r, &f)) {
        switch (f.number) {
        case 1:
            out->key = f.bytes;
            break;
        case 2:
            out->create_rev = (int64_t)f.value;
            break;
        case 3:
            out->mod_rev = (int64_t)f.value;
            break;
        case 4:
            out->version = (int64_t)f.value;
            break;
        case 5:
            out->value = f.bytes;
            break;
        case 6:
            out->lease = (int64_t)f.value;
            break;
        default:
            break;
        }
    }
    return !r.failed;
}

/* -- etcd's pairs ------------------------------------------------------------------------------ */

bool restore__revision_read(struct oak_bytes bytes, struct oak_store_rev *out)
{
    if (bytes.size != REV_BYTES || bytes.data[8] != '_') {
        return false;
    }
    out->main = (int64_t)oak_get_be64(bytes.data);
    out->sub = (int64_t)oak_get_be64(bytes.data + 9);
    return out->main >= 0 && out->sub >= 0;
}

int restore__version_read(struct oak_bytes key, struct oak_bytes value,
                          struct restore__version *out, const char **what)
{
    *out = (struct restore__version){.deleted = key.size == REV_BYTES + 1};
    const struct oak_bytes rev = oak_bytes(key.data, OAK_MIN(key.size, (size_t)REV_BYTES));
    *what = NULL;
    if ((out->deleted && key.data[REV_BYTES] != 't') || key.size > REV_BYTES + 1 ||
        !restore__revision_read(rev, &out->rev) || out->rev.main < 1) {
        *what = "its key is no revision";
        return OAK_ECORRUPT;
    }
    out->empty = value.size == 0 && !out->deleted;
    if (out->empty) {
        return 0;
    }
    struct oak_store_kv *kv = &out->kv;
    if (!kv_read(value, kv)) {
        *what = "its value is no mvccpb.KeyValue";
    } else if (kv->key.size == 0) {
        *what = "it has an empty key";
    } else if (!out->deleted && kv->mod_rev != out->rev.main) {
        *what = "its value is of another revision";
    } else if (!out->deleted &&
               (kv->create_rev < 1 || kv->create_rev > kv->mod_rev || kv->version < 1)) {
        *what = "its numbers are none that a key can have";
    }
    return *what == NULL ? 0 : OAK_ECORRUPT;
}

bool restore__lease_read(struct oak_bytes key, struct oak_bytes value, struct oak_kv_lease *out)
{
    struct oak_reader r = oak_reader(value);
    struct field f;
    *out = (struct oak_kv_lease){0};
    while (field_next(&r, &f)) {
        if (f.number == 1) {
            out->id = (int64_t)f.value;
        } else if (f.number == 2) {
            out->ttl_s = (int64_t)f.value;
        } else if (f.number == 3) {
            out->remaining_s = (int64_t)f.value;
        }
    }
    if (r.failed || out->id == 0 || key.size != LEASE_ID ||
        (int64_t)oak_get_be64(key.data) != out->id) {
        return false;
    }
    out->ttl_s = OAK_MAX((int64_t)1, OAK_MIN(out->ttl_s, (int64_t)OAK_LEASE_TTL_S_MAX));
    out->remaining_s = OAK_MAX((int64_t)0, OAK_MIN(out->remaining_s, out->ttl_s));
    return true;
}

bool restore__alarm_read(struct oak_bytes key, struct oak_kv_alarm *out)
{
    struct oak_reader r = oak_reader(key);
    struct field f;
    *out = (struct oak_kv_alarm){0};
    while (field_next(&r, &f)) {
        if (f.number == 1) {
            out->member = f.value;
        } else if (f.number == 2) {
            out->kind = (int)OAK_MIN(f.value, (uint64_t)UINT8_MAX);
        }
    }
    return !r.failed;
}

/* -- the sorter's ------------------------------------------------------------------------------ */

int restore__row_put(const struct restore__version *v, struct oak_buf *key, struct oak_buf *value)
{
    struct oak_bytes from = v->kv.key;
    oak_buf_clear(key);
    oak_buf_clear(value);
    int error = oak_buf_reserve(key, 2 * from.size + ROW_TAIL);
    error = error != 0 ? error : oak_buf_reserve(value, ROW_HEAD + v->kv.value.size);
    if (error != 0) {
        return error;
    }
    uint8_t *at = key->data;
    for (size_t i = 0; i < from.size; i++) {
        *at++ = from.data[i];
        if (from.data[i] == 0) {
            *at++ = 0xff;
        }
    }
    *at++ = 0;
    *at++ = 0;
    oak_put_be64(at, ~(uint64_t)v->rev.main);
    oak_put_be64(at + 8, ~(uint64_t)v->rev.sub);
    key->size = (size_t)(at + 16 - key->data);
    uint8_t *head = value->data;
    head[0] = v->deleted ? 1 : 0;
    oak_put_u64(head + 1, (uint64_t)v->kv.create_rev);
    oak_put_u64(head + 9, (uint64_t)v->kv.version);
    oak_put_u64(head + 17, (uint64_t)v->kv.lease);
    value->size = ROW_HEAD;
    return v->kv.value.size == 0 ? 0 : oak_buf_append(value, v->kv.value.data, v->kv.value.size);
}

int restore__row_get(const struct oak_sorter_pair *pair, struct oak_buf *room,
                     struct restore__version *out)
{
    OAK_ASSERT_GT(pair->key.size, (size_t)ROW_TAIL);
    OAK_ASSERT_GE(pair->value.size, (size_t)ROW_HEAD);
    size_t size = pair->key.size - ROW_TAIL;
    const uint8_t *from = pair->key.data;
    oak_buf_clear(room);
    int error = oak_buf_reserve(room, size);
    for (size_t i = 0; error == 0 && i < size; i++) {
        room->data[room->size++] = from[i];
        i += from[i] == 0 ? 1 : 0;
    }
    const uint8_t *head = pair->value.data;
    const uint8_t *rev = from + pair->key.size - 16;
    *out = (struct restore__version){
        .rev = {.main = (int64_t)~oak_get_be64(rev), .sub = (int64_t)~oak_get_be64(rev + 8)},
        .deleted = head[0] == 1,
    };
    out->kv = (struct oak_store_kv){
        .key = oak_buf_bytes(room),
        .value = oak_bytes(head + ROW_HEAD, pair->value.size - ROW_HEAD),
        .create_rev = (int64_t)oak_get_u64(head + 1),
        .mod_rev = out->rev.main,
        .version = (int64_t)oak_get_u64(head + 9),
        .lease = (int64_t)oak_get_u64(head + 17),
    };
    return error;
}
