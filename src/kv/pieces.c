/* SPDX-License-Identifier: Apache-2.0 */
/* pieces.c: a range whose answer is too large to be held, read twice: measured, then encoded bit by
 * bit, between the writes of others.
 *
 * Happy path   1 the revision is pinned in the store
 *              2 measure: walk the range, some bytes at a time, and sum up what it will take
 *              3 next: walk it again, and encode; at the end whether there is more, and how many
 *              4 close
 *              Where nobody has to know the size, stream in place of 2 and 3: it walks once.
 * Can fail     the store, memory; and a snapshot that replaces the store's contents (OAK_EAGAIN).
 * Invariants   both walks see the same pairs: those of one revision, which the pin keeps. No scan
 *              is open between two steps.
 * Thread       the replica's.
 */
#include "kv/internal.h"

#include <stdlib.h>

/* Fields of RangeResponse, as they are encoded: number and wire type. */
#define TAG_KVS   0x12u
#define TAG_MORE  0x18u
#define TAG_COUNT 0x20u
/* The longest encoding of a number. */
#define VARINT_BYTES_MAX 10
/* Pairs of one step, however small. */
#define STEP_PAIRS_MAX 2000

struct oak_kv_pieces {
    struct oak_kv *kv;
    struct oak_store_pin pin;
    Etcdserverpb__RangeRequest request; /* numbers and flags; its bytes are those below */
    struct oak_buf from;
    struct oak_buf to;
    struct oak_store_range range;
    bool descend;
    bool empty; /* no key can be in it */
    size_t limit;
    /* Of this walk. */
    struct oak_buf last; /* the key that it has come to */
    size_t pairs;
    bool begun;
    bool done;
    /* Found by the first. */
    bool measured;
    uint64_t bytes;
    uint64_t count;
    bool more;
};

bool oak_kv_range_in_pieces(const Etcdserverpb__RangeRequest *request)
{
    return request->range_end.len != 0 && !request->count_only &&
           request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY;
}

static int bounds_copy(struct oak_kv_pieces *p, const Etcdserverpb__RangeRequest *request)
{
    int error = oak_buf_append(&p->from, request->key.data, request->key.len);
    error = error != 0 ? error
                       : oak_buf_append(&p->to, request->range_end.data, request->range_end.len);
    p->request = *request;
    p->request.key = oak_proto_binary(oak_buf_bytes(&p->from));
    p->request.range_end = oak_proto_binary(oak_buf_bytes(&p->to));
    return error;
}

int oak_kv_pieces_open(struct oak_kv *kv, const Etcdserverpb__RangeRequest *request,
                       struct oak_kv_pieces **out)
{
    OAK_ASSERT(!kv->batch_open);
    OAK_ASSERT(oak_kv_range_in_pieces(request));
    *out = NULL;
    int error = kv__revision_check(kv, request->revision);
    struct oak_kv_pieces *p = error == 0 ? calloc(1, sizeof(*p)) : NULL;
    if (p == NULL) {
        return error != 0 ? error : OAK_ENOMEM;
    }
    p->kv = kv;
    kv->counters.pieces++;
    error = bounds_copy(p, request);
    if (error != 0) {
        oak_kv_pieces_close(p);
        return error;
    }
    p->empty = !kv__range_of(p->request.key, p->request.range_end, &p->range);
    p->descend = request->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    p->limit = request->limit > 0 ? (size_t)request->limit : SIZE_MAX;
    oak_store_pin(kv->store, &p->pin,
                  request->revision > 0 ? request->revision : kv->state.revision);
    *out = p;
    return 0;
}

void oak_kv_pieces_close(struct oak_kv_pieces *p)
{
    if (p != NULL) {
        p->kv->counters.pieces--;
        oak_store_unpin(&p->pin);
        oak_buf_fini(&p->from);
        oak_buf_fini(&p->to);
        oak_buf_fini(&p->last);
        free(p);
    }
}

/* What this walk has not seen: the key that it has come to is not part of it. */
static struct oak_store_range range_left(struct oak_kv_pieces *p)
{
    struct oak_store_range left = p->range;
    if (p->begun && p->descend) {
        left.to = oak_buf_bytes(&p->last);
        left.open_end = false;
    } else if (p->begun) {
        left.from = oak_bytes(p->last.data, p->last.size + 1); /* behind it: with its NUL */
    }
    return left;
}

/* With a NUL behind it, which is the first key after it. */
static int last_set(struct oak_kv_pieces *p, struct oak_bytes key)
{
    oak_buf_clear(&p->last);
    int error = oak_buf_reserve(&p->last, key.size + 1);
    error = error != 0 ? error : oak_buf_append(&p->last, key.data, key.size);
    if (error == 0) {
        p->last.data[p->last.size] = 0;
        p->begun = true;
    }
    return error;
}

static size_t varint_put(uint8_t *out, uint64_t v)
{
    size_t size = 0;
    for (; v >= 0x80; v >>= 7) {
        out[size++] = (uint8_t)(v | 0x80);
    }
    out[size++] = (uint8_t)v;
    return size;
}

/* What a pair takes in the response, with its tag; and into `out`, unless it is NULL. */
static int pair_put(struct oak_kv_pieces *p, const struct oak_store_kv *kv, struct oak_buf *out,
                    size_t *bytes)
{
    Mvccpb__KeyValue pair = MVCCPB__KEY_VALUE__INIT;
    uint8_t head[1 + VARINT_BYTES_MAX] = {TAG_KVS};
    pair.key = oak_proto_binary(kv->key);
    pair.value = p->request.keys_only ? pair.value : oak_proto_binary(kv->value);
    pair.create_revision = kv->create_rev;
    pair.mod_revision = kv->mod_rev;
    pair.version = kv->version;
    pair.lease = kv->lease;
    size_t size = mvccpb__key_value__get_packed_size(&pair);
    size_t head_size = 1 + varint_put(head + 1, size);
    *bytes = head_size + size;
    if (out == NULL) {
        return 0;
    }
    int error = oak_buf_reserve(out, *bytes);
    error = error != 0 ? error : oak_buf_append(out, head, head_size);
    if (error == 0) {
        size_t packed = mvccpb__key_value__pack(&pair, out->data + out->size);
        OAK_ASSERT_EQ(packed, size);
        out->size += size;
    }
    return error;
}

/* Some of the walk: about so many bytes of pairs; *walked is what they take in the response. */
static int walk(struct oak_kv_pieces *p, size_t bytes, struct oak_buf *out, uint64_t *walked)
{
    struct oak_store_range left = range_left(p);
    struct oak_store_scan *scan = NULL;
    struct oak_store_kv found;
    *walked = 0;
    if (!oak_store_pin_held(&p->pin)) {
        return OAK_EAGAIN;
    }
    if (p->empty) {
        p->done = true;
        return 0;
    }
    int error = oak_store_scan_open(p->kv->store, &left, p->pin.rev, p->request.keys_only,
                                    p->descend, &scan);
    for (size_t steps = 0; error == 0 && *walked < bytes && steps < STEP_PAIRS_MAX; steps++) {
        size_t size = 0;
        error = oak_store_scan_next(scan, &found);
        if (error == 0 && p->pairs == p->limit && kv__range_passes(&p->request, &found)) {
            p->more = true;
            error = OAK_ENOENT;
        }
        if (error == 0 && kv__range_passes(&p->request, &found)) {
            error = pair_put(p, &found, out, &size);
            p->pairs++;
        }
        *walked += size;
        p->count += error == 0 && !p->measured ? 1 : 0;
        error = error != 0 ? error : last_set(p, found.key);
    }
    if (scan != NULL) {
        oak_store_scan_close(scan);
    }
    p->done = error == OAK_ENOENT;
    return p->done ? 0 : error;
}

static size_t tail_put(const struct oak_kv_pieces *p, uint8_t out[2 + 1 + VARINT_BYTES_MAX])
{
    size_t size = 0;
    if (p->more) {
        out[size++] = TAG_MORE;
        out[size++] = 1;
    }
    if (p->count != 0) {
        out[size++] = TAG_COUNT;
        size += varint_put(out + size, p->count);
    }
    return size;
}

int oak_kv_pieces_measure(struct oak_kv_pieces *p, size_t bytes, bool *more)
{
    OAK_ASSERT(!p->kv->batch_open && !p->measured);
    uint64_t walked = 0;
    int error = walk(p, bytes, NULL, &walked);
    p->bytes += walked;
    *more = !p->done;
    if (error != 0 || !p->done) {
        return error;
    }
    if (p->more) {
        /* The walk ended at the limit: the rest is counted without being read. */
        error = oak_store_count(p->kv->store, &p->range, p->pin.rev, &p->count);
    }
    uint8_t tail[2 + 1 + VARINT_BYTES_MAX];
    p->bytes += tail_put(p, tail);
    p->measured = true;
    p->pairs = 0;
    p->begun = false;
    p->done = false;
    p->kv->counters.ranges++;
    return error;
}

uint64_t oak_kv_pieces_size(const struct oak_kv_pieces *p)
{
    OAK_ASSERT(p->measured);
    return p->bytes;
}

int oak_kv_pieces_stream(struct oak_kv_pieces *p, size_t bytes, struct oak_buf *out, bool *more)
{
    OAK_ASSERT(!p->kv->batch_open && !p->measured && !p->done);
    uint64_t walked = 0;
    uint8_t tail[2 + 1 + VARINT_BYTES_MAX];
    int error = walk(p, bytes, out, &walked);
    *more = !p->done;
    if (error == 0 && p->done && p->more) {
        error = oak_store_count(p->kv->store, &p->range, p->pin.rev, &p->count);
    }
    if (error == 0 && p->done) {
        error = oak_buf_append(out, tail, tail_put(p, tail));
        p->kv->counters.ranges++;
    }
    return error;
}

int oak_kv_pieces_next(struct oak_kv_pieces *p, size_t bytes, struct oak_buf *out, bool *more)
{
    OAK_ASSERT(!p->kv->batch_open && p->measured && !p->done);
    uint64_t walked = 0;
    uint8_t tail[2 + 1 + VARINT_BYTES_MAX];
    int error = walk(p, bytes, out, &walked);
    *more = !p->done;
    if (error == 0 && p->done) {
        error = oak_buf_append(out, tail, tail_put(p, tail));
    }
    return error;
}
