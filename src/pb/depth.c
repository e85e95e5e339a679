/* SPDX-License-Identifier: Apache-2.0 */
/* depth.c: look over a message on the wire before it is unpacked.
 *
 * protobuf-c calls itself for each message within a message, so that a request of a few kilobytes
 * could use up the stack. This walk needs none: it follows the records from left to right and
 * keeps, in a table of OAK_PROTO_DEPTH_MAX rows, where each message it is inside of ends.
 *
 * Happy path   one pass over the tags; payloads that are no messages are skipped unread.
 * Can fail     OAK_EFORMAT: a varint of more than ten bytes, a record that runs over the end of
 *              its message, field number 0, a group (wire types 3 and 4), nesting past the limit.
 * Invariants   the end of a message is never behind the end of the message around it.
 * Format       a record is a varint tag (number << 3 | wire type), then: 0 a varint, 1 eight
 *              bytes, 2 a varint length and so many bytes, 5 four bytes.
 * Thread       any.
 */
#include "pb/internal.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_32 = 5,
};
#define WIRE_NUMBER_MAX  ((UINT64_C(1) << 29) - 1)
#define VARINT_BYTES_MAX 10

struct level {
    const ProtobufCMessageDescriptor *descriptor;
    const uint8_t *end;
};

struct walk {
    const uint8_t *at;
    size_t depth; /* rows in use */
    struct level levels[OAK_PROTO_DEPTH_MAX];
};

/* False when it is cut short or longer than ten bytes. */
static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *p = *at;
    for (unsigned i = 0; i < VARINT_BYTES_MAX && p < end; i++) {
        uint64_t low = *p & 0x7f;
        value |= low << (7 * i);
        if ((*p++ & 0x80) == 0) {
            *at = p;
            *out = value;
            return true;
        }
    }
    return false;
}

/* Go into the message that starts at w->at and takes `size` bytes. */
static int enter_message(struct walk *w, const ProtobufCMessageDescriptor *descriptor, size_t size)
{
    if (w->depth == OAK_PROTO_DEPTH_MAX) {
        return OAK_EFORMAT;
    }
    OAK_ASSERT(descriptor != NULL);
    const uint8_t *end = w->at + size;
    OAK_ASSERT(w->depth == 0 || end <= w->levels[w->depth - 1].end);
    w->levels[w->depth++] = (struct level){.descriptor = descriptor, .end = end};
    return 0;
}

/* A length and its bytes: skipped, or entered when the descriptor says that they are a message. */
static int walk_bytes(struct walk *w, const struct level *level, unsigned number)
{
    uint64_t size = 0;
    if (!read_varint(&w->at, level->end, &size) || size > (uint64_t)(level->end - w->at)) {
        return OAK_EFORMAT;
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(level->descriptor, number);
    if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessageDescriptor *inner = field->descriptor;
        return enter_message(w, inner, (size_t)size);
    }
    w->at += size;
    return 0;
}

static int skip_fixed(struct walk *w, const struct level *level, size_t size)
{
    if ((size_t)(level->end - w->at) < size) {
        return OAK_EFORMAT;
    }
    w->at += size;
    return 0;
}

static int walk_record(struct walk *w)
{
    OAK_ASSERT_GT(w->depth, 0);
    const struct level *level = &w->levels[w->depth - 1];
    uint64_t tag = 0;
    uint64_t ignored = 0;
    if (!read_varint(&w->at, level->end, &tag)) {
        return OAK_EFORMAT;
    }
    uint64_t number = tag >> 3;
    if (number == 0 || number > WIRE_NUMBER_MAX) {
        return OAK_EFORMAT;
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(&w->at, level->end, &ignored) ? 0 : OAK_EFORMAT;
    case WIRE_64:
        return skip_fixed(w, level, 8);
    case WIRE_BYTES:
        return walk_bytes(w, level, (unsigned)number);
    case WIRE_32:
        return skip_fixed(w, level, 4);
    default:
        return OAK_EFORMAT;
    }
}

int pb__walk(const ProtobufCMessageDescriptor *descriptor, struct oak_bytes bytes)
{
    if (bytes.size == 0) {
        return 0;
    }
    OAK_ASSERT(bytes.data != NULL);
    struct walk w;
    w.at = bytes.data;
    w.depth = 0;
    int error = enter_message(&w, descriptor, bytes.size);
    while (error == 0 && w.depth > 0) {
        if (w.at == w.levels[w.depth - 1].end) {
            w.depth--;
        } else {
            error = walk_record(&w);
        }
    }
    return error;
}
