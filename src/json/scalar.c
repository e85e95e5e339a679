/* SPDX-License-Identifier: Apache-2.0 */
/* scalar.c: numbers, texts and enums: a value of JSON as a member of a protobuf struct, and back.
 *
 * Happy path   what protobuf writes as a string (64 bits, NaN) is taken as a number too, and the
 *              other way round.
 * Can fail     another type, a number out of range or with a fraction, an unknown name:
 *              OAK_EFORMAT.
 * Invariants   a number is exact: what a double can't hold of an integer is refused, not rounded.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/internal.h"

/* Exponents and fractions of an integer are understood below this: from here on two of them are one
 * double. */
#define EXACT_DOUBLE 9007199254740992.0 /* 2^53 */
/* What is below rounds to the largest float or to a smaller one: 2^128 - 2^103. */
#define FLOAT_END 3.4028235677973366e38
/* The longest number that is looked at: of two doubles, 770 digits always tell which is nearer. */
#define NUMBER_BYTES_MAX 1024

size_t json__value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_FLOAT:
        return sizeof(float);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return sizeof(int32_t);
    }
}

/* -- numbers in ---------------------------------------------------------------------------------*/

/* A number is all of `text`, which is a number of JSON or came from between quotes. The decimal
 * point is that of the program's locale. */
static bool double_read(struct oak_bytes text, double *out)
{
    char room[NUMBER_BYTES_MAX + 1];
    char half[8];
    char *end;
    if (text.size == 0 || text.size > NUMBER_BYTES_MAX) {
        return false;
    }
    snprintf(half, sizeof(half), "%.1f", 0.5);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool fits = (c >= '0' && c <= '9') || c == '-' ||
                    (i > 0 && (c == '.' || c == 'e' || c == 'E' || c == '+'));
        if (!fits) {
            return false;
        }
        room[i] = c == '.' ? half[1] : (char)c;
    }
    room[text.size] = '\0';
    *out = strtod(room, &end);
    return end == room + text.size && isfinite(*out);
}

/* Sign and digits alone. OAK_ENOENT: it has a fraction or an exponent, or is no number. */
static int digits_read(struct oak_bytes text, bool *minus, uint64_t *out)
{
    size_t at = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    *minus = at == 1;
    *out = 0;
    if (at == text.size) {
        return OAK_ENOENT;
    }
    for (; at < text.size; at++) {
        uint8_t c = text.data[at];
        if (c < '0' || c > '9') {
            return OAK_ENOENT;
        }
        uint64_t digit = (uint64_t)(c - '0');
        if (*out > (UINT64_MAX - digit) / 10) {
            return OAK_EFORMAT;
        }
        *out = *out * 10 + digit;
    }
    return 0;
}

static int magnitude_read(struct oak_bytes text, bool *minus, uint64_t *out)
{
    double value;
    int error = digits_read(text, minus, out);
    if (error != OAK_ENOENT) {
        return error;
    }
    if (!double_read(text, &value) || floor(value) != value || fabs(value) >= EXACT_DOUBLE) {
        return OAK_EFORMAT;
    }
    *minus = value < 0;
    *out = (uint64_t)fabs(value);
    return 0;
}

static int signed_read(struct oak_bytes text, int64_t least, int64_t most, int64_t *out)
{
    bool minus;
    uint64_t size;
    int error = magnitude_read(text, &minus, &size);
    if (error != 0 || size > (uint64_t)INT64_MAX + (minus ? 1 : 0)) {
        return OAK_EFORMAT;
    }
    *out = minus ? (int64_t)(0 - size) : (int64_t)size;
    return *out >= least && *out <= most ? 0 : OAK_EFORMAT;
}

static int unsigned_read(struct oak_bytes text, uint64_t most, uint64_t *out)
{
    bool minus;
    int error = magnitude_read(text, &minus, out);
    return error != 0 || (minus && *out > 0) || *out > most ? OAK_EFORMAT : 0;
}

static int real_read(struct oak_bytes text, bool single, double *out)
{
    if (double_read(text, out)) {
        return !single || fabs(*out) < FLOAT_END ? 0 : OAK_EFORMAT;
    }
    static const struct {
        const char *name;
        double value;
    } named[] = {{"NaN", (double)NAN}, {"Infinity", HUGE_VAL}, {"-Infinity", -HUGE_VAL}};
    for (size_t i = 0; i < OAK_COUNT_OF(named); i++) {
        if (oak_bytes_eq(text, oak_bytes_str(named[i].name))) {
            *out = named[i].value;
            return 0;
        }
    }
    return OAK_EFORMAT;
}

static int number_store(struct oak_bytes text, ProtobufCType type, void *to)
{
    int64_t whole = 0;
    uint64_t natural = 0;
    double real = 0;
    int error;
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        error = signed_read(text, INT64_MIN, INT64_MAX, &whole);
        memcpy(to, &whole, sizeof(whole));
        return error;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        error = unsigned_read(text, UINT64_MAX, &natural);
        memcpy(to, &natural, sizeof(natural));
        return error;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        error = unsigned_read(text, UINT32_MAX, &natural);
        *(uint32_t *)to = (uint32_t)natural;
        return error;
    case PROTOBUF_C_TYPE_FLOAT:
        error = real_read(text, true, &real);
        *(float *)to = (float)real;
        return error;
    case PROTOBUF_C_TYPE_DOUBLE:
        error = real_read(text, false, &real);
        memcpy(to, &real, sizeof(real));
        return error;
    default:
        error = signed_read(text, INT32_MIN, INT32_MAX, &whole);
        *(int32_t *)to = (int32_t)whole;
        return error;
    }
}

/* -- in ---------------------------------------------------------------------------------------- */

static int enum_store(struct oak_bytes name, const ProtobufCEnumDescriptor *descriptor, void *to)
{
    char room[256];
    if (name.size >= sizeof(room)) {
        return OAK_EFORMAT;
    }
    memcpy(room, name.data, name.size);
    room[name.size] = '\0';
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value_by_name(descriptor, room);
    if (value == NULL) {
        return OAK_EFORMAT;
    }
    *(int32_t *)to = value->value;
    return 0;
}

static int text_store(struct oak_bytes text, struct oak_arena *arena, void *to)
{
    if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
        return OAK_EFORMAT; /* a string of C ends there */
    }
    char *copy = oak_arena_alloc(arena, text.size + 1);
    if (copy == NULL) {
        return OAK_ELIMIT;
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    memcpy(to, &copy, sizeof(copy));
    return 0;
}

static int bytes_store(struct oak_bytes text, struct oak_arena *arena, void *to)
{
    struct oak_bytes bytes;
    int error = oak_json_base64(text, arena, &bytes);
    if (error == 0) {
        ProtobufCBinaryData data = oak_pb_binary(bytes);
        memcpy(to, &data, sizeof(data));
    }
    return error;
}

/* Of a string. */
static int string_store(struct oak_bytes text, const ProtobufCFieldDescriptor *field,
                        struct oak_arena *arena, void *to)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return text_store(text, arena, to);
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_store(text, arena, to);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_store(text, field->descriptor, to);
    case PROTOBUF_C_TYPE_BOOL:
        return OAK_EFORMAT;
    default:
        return number_store(text, field->type, to);
    }
}

int json__scalar_read(struct oak_json_reader *r, const ProtobufCFieldDescriptor *field,
                      struct oak_arena *arena, void *to)
{
    struct oak_bytes text;
    switch (oak_json_type(r)) {
    case OAK_JSON_BOOL: {
        bool value = oak_json_bool(r);
        if (field->type != PROTOBUF_C_TYPE_BOOL) {
            return OAK_EFORMAT;
        }
        *(protobuf_c_boolean *)to = value;
        return 0;
    }
    case OAK_JSON_NUMBER:
        text = oak_json_number(r);
        if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES ||
            field->type == PROTOBUF_C_TYPE_BOOL) {
            return OAK_EFORMAT;
        }
        return number_store(text, field->type, to);
    case OAK_JSON_STRING: {
        int error = oak_json_unescape(oak_json_raw_string(r), arena, &text);
        return error != 0 ? error : string_store(text, field, arena, to);
    }
    default:
        return OAK_EFORMAT;
    }
}

int json__key_read(struct oak_bytes raw, const ProtobufCFieldDescriptor *field,
                   struct oak_arena *arena, void *to)
{
    struct oak_bytes text;
    int error = oak_json_unescape(raw, arena, &text);
    if (error != 0) {
        return error;
    }
    if (field->type != PROTOBUF_C_TYPE_BOOL) {
        return string_store(text, field, arena, to);
    }
    bool yes = oak_bytes_eq(text, oak_bytes_str("true"));
    *(protobuf_c_boolean *)to = yes;
    return yes || oak_bytes_eq(text, oak_bytes_str("false")) ? 0 : OAK_EFORMAT;
}

/* -- out --------------------------------------------------------------------------------------- */

/* A short decimal that reads back as the same number. */
static int real_write(struct oak_buf *out, double value, bool single)
{
    char room[40];
    if (!isfinite(value)) {
        return json__put(out, isnan(value) ? "\"NaN\""
                              : value > 0  ? "\"Infinity\""
                                           : "\"-Infinity\"");
    }
    int digits = single ? FLT_DIG : DBL_DIG;
    int most = single ? FLT_DIG + 3 : DBL_DIG + 2;
    bool same = false;
    for (; !same && digits <= most; digits++) {
        snprintf(room, sizeof(room), "%.*g", digits, value);
        same = single ? strtof(room, NULL) == (float)value : strtod(room, NULL) == value;
    }
    for (char *at = room; *at != '\0'; at++) {
        bool plain = (*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == 'e';
        *at = plain ? *at : '.'; /* whatever the locale has there */
    }
    return json__put(out, room);
}

static int enum_write(struct oak_buf *out, const ProtobufCEnumDescriptor *descriptor, int32_t value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(descriptor, value);
    return known != NULL ? oak_json_put_string(out, oak_bytes_str(known->name))
                         : oak_buf_printf(out, "%" PRId32, value);
}

static int natural_write(struct oak_buf *out, uint64_t value, bool minus, bool quoted)
{
    return oak_buf_printf(out, "%s%s%" PRIu64 "%s", quoted ? "\"" : "", minus ? "-" : "", value,
                          quoted ? "\"" : "");
}

static int whole_write(struct oak_buf *out, int64_t value, bool quoted)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    return natural_write(out, size, value < 0, quoted);
}

int json__scalar_write(struct oak_buf *out, const ProtobufCFieldDescriptor *field, const void *from,
                       bool as_key)
{
    uint64_t natural = 0;
    double real = 0;
    const char *text = NULL;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        memcpy(&natural, from, sizeof(natural));
        return whole_write(out, (int64_t)natural, true);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        memcpy(&natural, from, sizeof(natural));
        return natural_write(out, natural, false, true);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return natural_write(out, *(const uint32_t *)from, false, as_key);
    case PROTOBUF_C_TYPE_FLOAT:
        return real_write(out, (double)*(const float *)from, true);
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&real, from, sizeof(real));
        return real_write(out, real, false);
    case PROTOBUF_C_TYPE_BOOL:
        text = *(const protobuf_c_boolean *)from ? "true" : "false";
        return as_key ? oak_json_put_string(out, oak_bytes_str(text)) : json__put(out, text);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_write(out, field->descriptor, *(const int32_t *)from);
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&text, from, sizeof(text));
        return oak_json_put_string(out, oak_bytes_str(text != NULL ? text : ""));
    case PROTOBUF_C_TYPE_BYTES:
        return oak_json_put_base64(out, oak_pb_bytes(*(const ProtobufCBinaryData *)from));
    default:
        return whole_write(out, *(const int32_t *)from, as_key);
    }
}
