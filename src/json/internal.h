/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the json room share. */
#ifndef OAK_JSON_INTERNAL_H
#define OAK_JSON_INTERNAL_H

#include "json/json.h"

static inline bool json__is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The value of a hexadecimal digit, -1 when it is none. */
static inline int json__hex(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The bytes of the character at `at`; 0 when there is none (RFC 3629). */
size_t json__utf8(const uint8_t *at, const uint8_t *end);

/* -- messages ---------------------------------------------------------------------------------- */

/* How deep messages may lie in each other, with their lists and maps. */
#define JSON_DEPTH_MAX ((size_t)OAK_JSON_DEPTH_MAX)

/* Messages that have a form of their own in JSON. */
enum json_known {
    JSON_KNOWN_NONE,
    JSON_KNOWN_TIMESTAMP,
    JSON_KNOWN_DURATION,
    JSON_KNOWN_FIELD_MASK,
    JSON_KNOWN_WRAPPER,
    JSON_KNOWN_REFUSED, /* that we don't speak */
};
enum json_known json__known(const ProtobufCMessageDescriptor *descriptor);
/* A text in, out of a string: all but wrappers. OAK_EFORMAT. */
OAK_MUST_USE int json__known_read(enum json_known known, struct oak_bytes text,
                                  ProtobufCMessage *message, struct oak_arena *arena);
OAK_MUST_USE int json__known_write(enum json_known known, const ProtobufCMessage *message,
                                   struct oak_buf *out);

/* Is this field the map that protoc made a list of entries of? */
bool json__is_map(const ProtobufCMessageDescriptor *parent, const ProtobufCFieldDescriptor *field);

/* The bytes that one value of a type takes in a struct or an array. */
size_t json__value_size(ProtobufCType type);
static inline void *json__at(const ProtobufCMessage *message, unsigned offset)
{
    return (uint8_t *)(uintptr_t)message + offset;
}

/* One scalar (also of a map's key, which is always a string). OAK_EFORMAT: it isn't. */
OAK_MUST_USE int json__scalar_read(struct oak_json_reader *r, const ProtobufCFieldDescriptor *field,
                                   struct oak_arena *arena, void *to);
OAK_MUST_USE int json__key_read(struct oak_bytes raw, const ProtobufCFieldDescriptor *field,
                                struct oak_arena *arena, void *to);
OAK_MUST_USE int json__scalar_write(struct oak_buf *out, const ProtobufCFieldDescriptor *field,
                                    const void *from, bool as_key);
/* Append, for numbers and punctuation. */
OAK_MUST_USE int json__put(struct oak_buf *out, const char *text);

#endif
