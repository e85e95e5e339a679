/* SPDX-License-Identifier: Apache-2.0 */
/* known.c: messages of google.protobuf that have a form of their own in JSON.
 *
 *     Timestamp   "2026-11-26T12:00:00.250Z"
 *     Duration    "-1.500s"
 *     FieldMask   "user.displayName,photo"
 *     wrappers    as what they wrap (decode.c, encode.c)
 *
 * Any, Struct, Value and ListValue are refused: what is in them is known at run time alone.
 */
#include <inttypes.h>
#include <stdio.h>

#include "json/internal.h"

#define PACKAGE "google.protobuf."
/* Years 1 to 9999, and ten thousand of them: what protobuf allows. */
#define SECONDS_MIN      INT64_C(-62135596800)
#define SECONDS_MAX      INT64_C(253402300799)
#define DURATION_MAX     INT64_C(315576000000)
#define NANOS_PER_SECOND 1000000000

enum json_known json__known(const ProtobufCMessageDescriptor *descriptor)
{
    static const struct {
        const char *name;
        enum json_known known;
    } table[] = {
        {"Timestamp", JSON_KNOWN_TIMESTAMP},  {"Duration", JSON_KNOWN_DURATION},
        {"FieldMask", JSON_KNOWN_FIELD_MASK}, {"DoubleValue", JSON_KNOWN_WRAPPER},
        {"FloatValue", JSON_KNOWN_WRAPPER},   {"Int64Value", JSON_KNOWN_WRAPPER},
        {"UInt64Value", JSON_KNOWN_WRAPPER},  {"Int32Value", JSON_KNOWN_WRAPPER},
        {"UInt32Value", JSON_KNOWN_WRAPPER},  {"BoolValue", JSON_KNOWN_WRAPPER},
        {"StringValue", JSON_KNOWN_WRAPPER},  {"BytesValue", JSON_KNOWN_WRAPPER},
        {"Any", JSON_KNOWN_REFUSED},          {"Struct", JSON_KNOWN_REFUSED},
        {"Value", JSON_KNOWN_REFUSED},        {"ListValue", JSON_KNOWN_REFUSED},
    };
    size_t skip = sizeof(PACKAGE) - 1;
    if (strncmp(descriptor->name, PACKAGE, skip) != 0) {
        return JSON_KNOWN_NONE;
    }
    for (size_t i = 0; i < OAK_COUNT_OF(table); i++) {
        if (strcmp(descriptor->name + skip, table[i].name) == 0) {
            return table[i].known;
        }
    }
    return JSON_KNOWN_NONE;
}

/* -- seconds and nanos: fields 1 and 2 of both ------------------------------------------------- */

static void *field_at(const ProtobufCMessage *message, unsigned id)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, id);
    return field != NULL ? json__at(message, field->offset) : NULL;
}

static int times_set(ProtobufCMessage *message, int64_t seconds, int32_t nanos)
{
    int64_t *s = field_at(message, 1);
    int32_t *n = field_at(message, 2);
    if (s == NULL || n == NULL) {
        return OAK_EFORMAT;
    }
    *s = seconds;
    *n = nanos;
    return 0;
}

/* A piece of text that is being taken apart. */
struct piece {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static int64_t digits_take(struct piece *p, size_t least, size_t most)
{
    int64_t value = 0;
    size_t count = 0;
    while (count < most && p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        value = value * 10 + (*p->at++ - '0');
        count++;
    }
    p->failed = p->failed || count < least;
    return value;
}

static bool char_take(struct piece *p, char c)
{
    bool there = p->at < p->end && *p->at == (uint8_t)c;
    p->at += there ? 1 : 0;
    return there;
}

static void char_need(struct piece *p, char c)
{
    p->failed = !char_take(p, c) || p->failed;
}

/* ".25", if it is there, in nanoseconds. */
static int32_t fraction_take(struct piece *p)
{
    if (!char_take(p, '.')) {
        return 0;
    }
    const uint8_t *begin = p->at;
    int64_t value = digits_take(p, 1, 9);
    for (ptrdiff_t i = p->at - begin; i < 9; i++) {
        value *= 10;
    }
    return (int32_t)value;
}

/* Days since 1970 of a date of the proleptic Gregorian calendar, and back (Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms": eras of 400 years that begin on 1 March). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2 ? 1 : 0;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t part = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * part + 2) / 5 + 1);
    *month = (int)(part < 10 ? part + 3 : part - 9);
    *year = (int)(years + era * 400 + (*month <= 2 ? 1 : 0));
}

/* "Z", or "+01:00": what is to be taken off, in seconds. */
static int64_t zone_take(struct piece *p)
{
    if (char_take(p, 'Z') || char_take(p, 'z')) {
        return 0;
    }
    bool east = char_take(p, '+');
    if (!east) {
        char_need(p, '-');
    }
    int64_t hours = digits_take(p, 2, 2);
    char_need(p, ':');
    int64_t minutes = digits_take(p, 2, 2);
    p->failed = p->failed || hours > 23 || minutes > 59;
    return (east ? 1 : -1) * (hours * 3600 + minutes * 60);
}

static int timestamp_read(struct oak_bytes text, ProtobufCMessage *message)
{
    static const uint8_t lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct piece p = {.at = text.data, .end = text.data + text.size};
    int64_t year = digits_take(&p, 4, 4);
    char_need(&p, '-');
    int64_t month = digits_take(&p, 2, 2);
    char_need(&p, '-');
    int64_t day = digits_take(&p, 2, 2);
    p.failed = p.failed || !(char_take(&p, 'T') || char_take(&p, 't'));
    int64_t hour = digits_take(&p, 2, 2);
    char_need(&p, ':');
    int64_t minute = digits_take(&p, 2, 2);
    char_need(&p, ':');
    int64_t second = digits_take(&p, 2, 2);
    int32_t nanos = fraction_take(&p);
    int64_t zone = zone_take(&p);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (p.failed || p.at != p.end || month < 1 || month > 12 || day < 1 ||
        day > lengths[month - 1] || (month == 2 && day == 29 && !leap) || hour > 23 ||
        minute > 59 || second > 59) {
        return OAK_EFORMAT;
    }
    int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
    if (seconds < SECONDS_MIN || seconds > SECONDS_MAX) {
        return OAK_EFORMAT;
    }
    return times_set(message, seconds, nanos);
}

static int duration_read(struct oak_bytes text, ProtobufCMessage *message)
{
    struct piece p = {.at = text.data, .end = text.data + text.size};
    bool minus = char_take(&p, '-');
    int64_t seconds = digits_take(&p, 1, 12);
    int32_t nanos = fraction_take(&p);
    char_need(&p, 's');
    if (p.failed || p.at != p.end || seconds > DURATION_MAX) {
        return OAK_EFORMAT;
    }
    return times_set(message, minus ? -seconds : seconds, minus ? -nanos : nanos);
}

/* With as many digits as it needs, of 3, 6 or 9. */
static int fraction_write(struct oak_buf *out, int32_t nanos)
{
    if (nanos == 0) {
        return 0;
    }
    if (nanos % 1000000 == 0) {
        return oak_buf_printf(out, ".%03" PRId32, nanos / 1000000);
    }
    if (nanos % 1000 == 0) {
        return oak_buf_printf(out, ".%06" PRId32, nanos / 1000);
    }
    return oak_buf_printf(out, ".%09" PRId32, nanos);
}

static int timestamp_write(int64_t seconds, int32_t nanos, struct oak_buf *out)
{
    int year, month, day;
    if (seconds < SECONDS_MIN || seconds > SECONDS_MAX || nanos < 0 || nanos >= NANOS_PER_SECOND) {
        return OAK_EFORMAT;
    }
    int64_t days = (seconds - SECONDS_MIN) / 86400 + SECONDS_MIN / 86400;
    int64_t rest = seconds - days * 86400;
    date_of(days, &year, &month, &day);
    int error = oak_buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d", year, month, day,
                               (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    error = error != 0 ? error : fraction_write(out, nanos);
    return error != 0 ? error : json__put(out, "Z\"");
}

static int duration_write(int64_t seconds, int32_t nanos, struct oak_buf *out)
{
    bool minus = seconds < 0 || nanos < 0;
    bool apart = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if (seconds < -DURATION_MAX || seconds > DURATION_MAX || apart || nanos <= -NANOS_PER_SECOND ||
        nanos >= NANOS_PER_SECOND) {
        return OAK_EFORMAT;
    }
    int error = oak_buf_printf(out, "\"%s%" PRId64, minus ? "-" : "", minus ? -seconds : seconds);
    error = error != 0 ? error : fraction_write(out, minus ? -nanos : nanos);
    return error != 0 ? error : json__put(out, "s\"");
}

/* -- paths of a mask: field 1, snake_case there and lowerCamelCase here ------------------------ */

static int path_read(struct oak_bytes text, struct oak_arena *arena, char **out)
{
    char *to = oak_arena_alloc(arena, 2 * text.size + 1);
    size_t size = 0;
    if (to == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '_' || c == '\0') {
            return OAK_EFORMAT; /* could not be told from a capital on the way back */
        }
        if (c >= 'A' && c <= 'Z') {
            to[size++] = '_';
            c = (uint8_t)(c - 'A' + 'a');
        }
        to[size++] = (char)c;
    }
    to[size] = '\0';
    *out = to;
    return size > 0 ? 0 : OAK_EFORMAT;
}

static int mask_read(struct oak_bytes text, ProtobufCMessage *message, struct oak_arena *arena)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, 1);
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == ',';
    }
    if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING) {
        return OAK_EFORMAT;
    }
    if (text.size == 0) {
        return 0;
    }
    char **paths = oak_arena_alloc(arena, count * sizeof(*paths));
    if (paths == NULL) {
        return OAK_ELIMIT;
    }
    size_t begin = 0;
    for (size_t n = 0; n < count; n++) {
        size_t end = begin;
        while (end < text.size && text.data[end] != ',') {
            end++;
        }
        int error = path_read(oak_bytes(text.data + begin, end - begin), arena, &paths[n]);
        if (error != 0) {
            return error;
        }
        begin = end + 1;
    }
    *(size_t *)json__at(message, field->quantifier_offset) = count;
    *(char ***)json__at(message, field->offset) = paths;
    return 0;
}

static int path_write(const char *path, struct oak_buf *out)
{
    int error = 0;
    for (const char *at = path; *at != '\0' && error == 0; at++) {
        char c = *at;
        if (c == '_') {
            c = at[1];
            at++;
            if (c < 'a' || c > 'z') {
                return OAK_EFORMAT;
            }
            c = (char)(c - 'a' + 'A');
        } else if ((c >= 'A' && c <= 'Z') || c == '"' || c == '\\' || c == ',' ||
                   (uint8_t)c < 0x20 || (uint8_t)c >= 0x7f) {
            return OAK_EFORMAT;
        }
        error = oak_buf_append(out, &c, 1);
    }
    return error;
}

static int mask_write(const ProtobufCMessage *message, struct oak_buf *out)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, 1);
    if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING) {
        return OAK_EFORMAT;
    }
    size_t count = *(const size_t *)json__at(message, field->quantifier_offset);
    char *const *paths = *(char **const *)json__at(message, field->offset);
    int error = json__put(out, "\"");
    for (size_t i = 0; i < count && error == 0; i++) {
        error = i > 0 ? json__put(out, ",") : 0;
        error = error != 0 ? error : path_write(paths[i], out);
    }
    return error != 0 ? error : json__put(out, "\"");
}

/* -- the door of this file --------------------------------------------------------------------- */

int json__known_read(enum json_known known, struct oak_bytes text, ProtobufCMessage *message,
                     struct oak_arena *arena)
{
    switch (known) {
    case JSON_KNOWN_TIMESTAMP:
        return timestamp_read(text, message);
    case JSON_KNOWN_DURATION:
        return duration_read(text, message);
    default:
        OAK_ASSERT_EQ(known, JSON_KNOWN_FIELD_MASK);
        return mask_read(text, message, arena);
    }
}

int json__known_write(enum json_known known, const ProtobufCMessage *message, struct oak_buf *out)
{
    if (known == JSON_KNOWN_FIELD_MASK) {
        return mask_write(message, out);
    }
    const int64_t *seconds = field_at(message, 1);
    const int32_t *nanos = field_at(message, 2);
    if (seconds == NULL || nanos == NULL) {
        return OAK_EFORMAT;
    }
    return known == JSON_KNOWN_TIMESTAMP ? timestamp_write(*seconds, *nanos, out)
                                         : duration_write(*seconds, *nanos, out);
}
