/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c: etcd's hash of the history (HashKV), of either engine.
 *
 * It is a CRC-32C over records of the versions in order of their revisions; a snapshot gives them
 * in order of keys. So each version's record is hashed by itself, and these are put in order and
 * combined at the end: the CRC of two pieces is that of the first, moved on by the second's length,
 * combined with that of the second. The versions of one pass have a limit; past it the lower half
 * of what was met so far is kept, and the next pass begins behind it.
 *
 * Which versions: those above the compaction floor and not above `rev`; of those at or below the
 * floor the one that is a key's newest as of `rev`, unless it is a tombstone. Where no key is left
 * as of `rev`, all that a compaction left: so it is in etcd.
 *
 * A record   8 bytes main (big endian), '_', 8 bytes sub, 't' for a tombstone; then the version as
 *            a mvccpb.KeyValue: fields in order, zeros left out; of a tombstone its key alone.
 * Can fail   OAK_ENOMEM, and what reading a snapshot fails by.
 * Source     the etcd v3 API, "HashKV".
 * Thread     begin and end: the owner's. run: any one.
 */
#include "store/internal.h"

#include <stdlib.h>

/* Bytes of the stream that are read at once. */
#define PIECE_BYTES (64 * OAK_KIB)
/* CRC-32C's polynomial, its highest power first at bit 31. */
#define POLY 0x82f63b78u

struct part {
    struct oak_store_rev rev;
    uint32_t size; /* of the record */
    uint32_t crc;
};

struct oak_store_hash {
    struct oak_store_snapshot *snap;
    struct store_stream_in in;
    struct oak_buf key; /* of the last version met */
    bool met;           /* a version of it that is not above `rev` */
    int64_t rev;
    int64_t floor;
    struct part *parts;
    size_t count, room;
    uint64_t live;             /* keys that are there as of `rev` */
    uint64_t below;            /* versions not above the floor */
    bool all;                  /* there are none of the first, and the latter count */
    struct oak_store_rev low;  /* this pass takes what is above, */
    struct oak_store_rev high; /* and, when it was cut, not above this */
    bool cut;
    bool whole;
    uint32_t powers[32]; /* x to the power of 8 times 2 to the power of i */
    uint32_t crc;
    uint8_t *piece;
    int error;
};

/* -- combining --------------------------------------------------------------------------------- */

/* The product of two polynomials, by the one of the CRC. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        product ^= (a & bit) != 0 ? b : 0;
        b = (b & 1) != 0 ? b >> 1 ^ POLY : b >> 1;
    }
    return product;
}

static void powers_make(uint32_t powers[32])
{
    powers[0] = UINT32_C(1) << 23;
    for (size_t i = 1; i < 32; i++) {
        powers[i] = multiply(powers[i - 1], powers[i - 1]);
    }
}

static uint32_t combine(const struct oak_store_hash *h, uint32_t crc, const struct part *next)
{
    for (size_t i = 0; i < 32; i++) {
        crc = (next->size >> i & 1) != 0 ? multiply(h->powers[i], crc) : crc;
    }
    return crc ^ next->crc;
}

static int part_order(const void *a, const void *b)
{
    return store__rev_cmp(((const struct part *)a)->rev, ((const struct part *)b)->rev);
}

/* -- one version ------------------------------------------------------------------------------- */

static size_t varint_put(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) {
        out[size++] = (uint8_t)(value | 0x80);
    }
    out[size++] = (uint8_t)value;
    return size;
}

static size_t number_put(uint8_t *out, uint8_t tag, int64_t value)
{
    if (value == 0) {
        return 0;
    }
    out[0] = tag;
    return 1 + varint_put(out + 1, (uint64_t)value);
}

static size_t bytes_put(uint8_t *out, uint8_t tag, size_t size)
{
    if (size == 0) {
        return 0;
    }
    out[0] = tag;
    return 1 + varint_put(out + 1, size);
}

static void add(struct part *part, const void *data, size_t size)
{
    part->crc = oak_crc32c(part->crc, data, size);
    part->size += (uint32_t)size;
}

static struct part part_of(const struct store_item *item)
{
    const struct oak_store_kv *kv = &item->kv;
    struct part part = {.rev = item->rev};
    uint8_t head[18 + 11], middle[3 * 11 + 11], tail[11];
    oak_put_be64(head, (uint64_t)item->rev.main);
    head[8] = '_';
    oak_put_be64(head + 9, (uint64_t)item->rev.sub);
    head[17] = 't';
    size_t size = item->deleted ? 18 : 17;
    size += bytes_put(head + size, 0x0a, kv->key.size);
    add(&part, head, size);
    add(&part, kv->key.data, kv->key.size);
    if (item->deleted) {
        return part;
    }
    size = number_put(middle, 0x10, kv->create_rev);
    size += number_put(middle + size, 0x18, kv->mod_rev);
    size += number_put(middle + size, 0x20, kv->version);
    size += bytes_put(middle + size, 0x2a, kv->value.size);
    add(&part, middle, size);
    add(&part, kv->value.data, kv->value.size);
    add(&part, tail, number_put(tail, 0x30, kv->lease));
    return part;
}

/* There is no room for more: the lower half stays. */
static void cut(struct oak_store_hash *h)
{
    qsort(h->parts, h->count, sizeof(*h->parts), part_order);
    h->count /= 2;
    h->high = h->parts[h->count - 1].rev;
    h->cut = true;
}

static int sink_version(void *arg, const struct store_item *item)
{
    struct oak_store_hash *h = arg;
    if (!oak_bytes_eq(oak_buf_bytes(&h->key), item->kv.key)) {
        oak_buf_clear(&h->key);
        h->met = false;
        int error = oak_buf_append(&h->key, item->kv.key.data, item->kv.key.size);
        if (error != 0) {
            return error;
        }
    }
    if (item->rev.main > h->rev) {
        return 0;
    }
    bool newest = !h->met; /* they come newest first */
    bool below = item->rev.main <= h->floor;
    h->met = true;
    h->live += newest && !item->deleted ? 1 : 0;
    h->below += below && !item->deleted ? 1 : 0;
    bool counts = !below || (!item->deleted && (newest || h->all));
    bool here = store__rev_cmp(item->rev, h->low) > 0 &&
                (!h->cut || store__rev_cmp(item->rev, h->high) <= 0);
    if (!counts || !here) {
        return 0;
    }
    if (h->count == h->room) {
        cut(h);
        if (store__rev_cmp(item->rev, h->high) > 0) {
            return 0;
        }
    }
    h->parts[h->count++] = part_of(item);
    return 0;
}

static int sink_state(void *arg, const struct oak_store_state *state)
{
    (void)arg;
    (void)state;
    return 0;
}

static int sink_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    (void)arg;
    (void)key;
    (void)data;
    return 0;
}

/* -- passes ------------------------------------------------------------------------------------ */

static void pass_begin(struct oak_store_hash *h)
{
    const struct store_stream_sink sink = {
        .state = sink_state, .meta = sink_meta, .version = sink_version, .arg = h};
    store__stream_in_fini(&h->in);
    store__stream_in_init(&h->in, &sink);
    oak_buf_clear(&h->key);
    h->met = false;
    h->count = 0;
    h->cut = false;
}

static void pass_end(struct oak_store_hash *h)
{
    h->error = store__stream_finish(&h->in);
    if (h->error != 0) {
        return;
    }
    if (!h->all && h->live == 0 && h->below > 0) {
        h->all = true;
        h->error = oak_store_snapshot_seek(h->snap, 0);
        pass_begin(h);
        return;
    }
    qsort(h->parts, h->count, sizeof(*h->parts), part_order);
    for (size_t i = 0; i < h->count; i++) {
        h->crc = combine(h, h->crc, &h->parts[i]);
    }
    if (!h->cut) {
        h->whole = true;
        return;
    }
    h->low = h->high;
    h->error = oak_store_snapshot_seek(h->snap, 0);
    pass_begin(h);
}

static void hash_free(struct oak_store_hash *h)
{
    if (h->snap != NULL) {
        oak_store_snapshot_close(h->snap);
    }
    store__stream_in_fini(&h->in);
    oak_buf_fini(&h->key);
    free(h->parts);
    free(h->piece);
    free(h);
}

int oak_store_hash_begin(struct oak_store *s, int64_t rev, size_t room, struct oak_store_hash **out)
{
    OAK_ASSERT_GE(rev, s->state.compacted);
    OAK_ASSERT_LE(rev, s->state.revision);
    OAK_ASSERT_GE(room, (size_t)2);
    struct oak_store_hash *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return OAK_ENOMEM;
    }
    h->rev = rev;
    h->floor = s->state.compacted;
    h->crc = oak_crc32c(0, "key", 3); /* the name of etcd's bucket */
    powers_make(h->powers);
    h->room = room;
    h->parts = malloc(room * sizeof(*h->parts));
    h->piece = malloc(PIECE_BYTES);
    int error = h->parts == NULL || h->piece == NULL ? OAK_ENOMEM : 0;
    if (error == 0) {
        error = oak_store_snapshot_open(s, &h->snap);
    }
    if (error != 0) {
        hash_free(h);
        return error;
    }
    pass_begin(h);
    *out = h;
    return 0;
}

bool oak_store_hash_run(struct oak_store_hash *h, size_t bytes)
{
    size_t done = 0;
    while (h->error == 0 && !h->whole && done < bytes) {
        size_t got = 0;
        h->error = oak_store_snapshot_read(h->snap, h->piece, PIECE_BYTES, &got);
        if (h->error == 0 && got > 0) {
            h->error = store__stream_feed(&h->in, oak_bytes(h->piece, got));
        } else if (h->error == 0) {
            pass_end(h);
        }
        done += got;
    }
    return h->error != 0 || h->whole;
}

int oak_store_hash_end(struct oak_store_hash *h, uint32_t *out)
{
    int error = h->error != 0 ? h->error : h->whole ? 0 : OAK_EAGAIN;
    *out = h->crc;
    hash_free(h);
    return error;
}
