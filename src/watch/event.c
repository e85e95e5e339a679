/* SPDX-License-Identifier: Apache-2.0 */
/* event.c: an event as protobuf has it, written once for all who get it.
 *
 *     WatchResponse  events = 11: Event
 *     Event          type = 1 (PUT 0, DELETE 1), kv = 2, prev_kv = 3
 *     KeyValue       key = 1, create_revision = 2, mod_revision = 3, version = 4, value = 5,
 *                    lease = 6; what is 0 or empty is left out
 *
 * Thread       any.
 */
#include "watch/internal.h"

#define TAG(field, wire) ((uint8_t)((field) << 3 | (wire)))
#define WIRE_VARINT      0
#define WIRE_BYTES       2

static size_t varint_size(uint64_t v)
{
    size_t size = 1;
    for (; v >= 0x80; v >>= 7) {
        size++;
    }
    return size;
}

static uint8_t *varint_put(uint8_t *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        *at++ = (uint8_t)(v | 0x80);
    }
    *at++ = (uint8_t)v;
    return at;
}

static size_t number_size(int64_t v)
{
    return v == 0 ? 0 : 1 + varint_size((uint64_t)v);
}

static uint8_t *number_put(uint8_t *at, int field, int64_t v)
{
    if (v == 0) {
        return at;
    }
    *at++ = TAG(field, WIRE_VARINT);
    return varint_put(at, (uint64_t)v);
}

static size_t bytes_size(size_t size)
{
    return size == 0 ? 0 : 1 + varint_size(size) + size;
}

static uint8_t *bytes_put(uint8_t *at, int field, struct oak_bytes b)
{
    if (b.size == 0) {
        return at;
    }
    *at++ = TAG(field, WIRE_BYTES);
    at = varint_put(at, b.size);
    memcpy(at, b.data, b.size);
    return at + b.size;
}

static size_t pair_size(const struct oak_watch_pair *p)
{
    return bytes_size(p->key.size) + number_size(p->create_rev) + number_size(p->mod_rev) +
           number_size(p->version) + bytes_size(p->value.size) + number_size(p->lease);
}

static uint8_t *pair_put(uint8_t *at, int field, const struct oak_watch_pair *p)
{
    *at++ = TAG(field, WIRE_BYTES);
    at = varint_put(at, pair_size(p));
    at = bytes_put(at, 1, p->key);
    at = number_put(at, 2, p->create_rev);
    at = number_put(at, 3, p->mod_rev);
    at = number_put(at, 4, p->version);
    at = bytes_put(at, 5, p->value);
    return number_put(at, 6, p->lease);
}

size_t watch__event_size(bool deleted, const struct oak_watch_pair *pair)
{
    size_t size = pair_size(pair);
    size_t inner = (deleted ? 2u : 0u) + 1 + varint_size(size) + size;
    return 1 + varint_size(inner) + inner;
}

void watch__event_write(bool deleted, const struct oak_watch_pair *pair, uint8_t *out,
                        size_t *key_at)
{
    OAK_ASSERT_GT(pair->key.size, 0u);
    size_t size = pair_size(pair);
    uint8_t *at = out;
    *at++ = TAG(11, WIRE_BYTES);
    at = varint_put(at, (deleted ? 2u : 0u) + 1 + varint_size(size) + size);
    if (deleted) {
        at = number_put(at, 1, 1);
    }
    /* The key is the first of the pair, behind two tags and two lengths. */
    *key_at = (size_t)(at - out) + 1 + varint_size(size) + 1 + varint_size(pair->key.size);
    at = pair_put(at, 2, pair);
    OAK_ASSERT_EQ((size_t)(at - out), watch__event_size(deleted, pair));
}

/* What is behind the tag and the length of an event. */
static struct oak_bytes inner_of(struct oak_bytes event)
{
    size_t at = 1;
    while ((event.data[at] & 0x80) != 0) {
        at++;
    }
    return oak_bytes(event.data + at + 1, event.size - at - 1);
}

static size_t inner_size_with(struct oak_bytes inner, const struct oak_watch_pair *previous)
{
    size_t size = pair_size(previous);
    return inner.size + 1 + varint_size(size) + size;
}

size_t watch__event_size_with(struct oak_bytes event, const struct oak_watch_pair *previous)
{
    size_t inner = inner_size_with(inner_of(event), previous);
    return 1 + varint_size(inner) + inner;
}

void watch__event_write_with(struct oak_bytes event, const struct oak_watch_pair *previous,
                             uint8_t *out)
{
    struct oak_bytes inner = inner_of(event);
    uint8_t *at = out;
    *at++ = TAG(11, WIRE_BYTES);
    at = varint_put(at, inner_size_with(inner, previous));
    memcpy(at, inner.data, inner.size);
    at = pair_put(at + inner.size, 3, previous);
    OAK_ASSERT_EQ((size_t)(at - out), watch__event_size_with(event, previous));
}
