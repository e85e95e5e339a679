/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: bytes for people: as they are, as \x6b\x65, or quoted as Go's %q has it. */
#include "ctl/internal.h"

#include <stdarg.h>

/* The character that begins at `at`, and its bytes; 0: there is none. */
static size_t rune_read(const uint8_t *at, size_t left, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80       ? 1
                  : at[0] >> 5 == 6  ? 2
                  : at[0] >> 4 == 14 ? 3
                  : at[0] >> 3 == 30 ? 4
                                     : 0;
    if (size == 0 || size > left) {
        return 0;
    }
    uint32_t rune = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (at[i] >> 6 != 2) {
            return 0;
        }
        rune = rune << 6 | (at[i] & 0x3f);
    }
    *out = rune;
    bool good = rune >= least[size] && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
    return good ? size : 0;
}

/* What is seen when it is printed: no controls, no spaces but the one, no private or format
 * characters. */
static bool is_printable(uint32_t rune)
{
    static const uint32_t unseen[][2] = {
        {0, 0x1f},        {0x7f, 0xa0},       {0xad, 0xad},        {0x600, 0x605},
        {0x61c, 0x61c},   {0x6dd, 0x6dd},     {0x70f, 0x70f},      {0x1680, 0x1680},
        {0x180e, 0x180e}, {0x2000, 0x200f},   {0x2028, 0x202f},    {0x205f, 0x206f},
        {0x3000, 0x3000}, {0xd800, 0xf8ff},   {0xfeff, 0xfeff},    {0xfff0, 0xfffb},
        {0xfffe, 0xffff}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(unseen); i++) {
        if (rune >= unseen[i][0] && rune <= unseen[i][1]) {
            return false;
        }
    }
    return true;
}

void ctl__quoted_write(FILE *out, struct oak_bytes text)
{
    static const char named[] = "\a\b\f\n\r\t\v\\\"";
    static const char letters[] = "abfnrtv\\\"";
    fputc('"', out);
    for (size_t i = 0; i < text.size;) {
        uint32_t rune = 0;
        size_t size = rune_read(text.data + i, text.size - i, &rune);
        const char *name = rune != 0 && rune < 0x80 ? strchr(named, (int)rune) : NULL;
        if (size == 0) {
            fprintf(out, "\\x%02x", text.data[i]);
        } else if (name != NULL) {
            fprintf(out, "\\%c", letters[name - named]);
        } else if (is_printable(rune)) {
            fwrite(text.data + i, 1, size, out);
        } else if (rune < 0x80) {
            fprintf(out, "\\x%02x", (unsigned)rune);
        } else {
            fprintf(out, rune < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)rune);
        }
        i += size == 0 ? 1 : size;
    }
    fputc('"', out);
}

void ctl__quoted_print(struct oak_bytes text)
{
    ctl__quoted_write(stdout, text);
}

void ctl__bytes_print(const struct ctl *c, struct oak_bytes bytes)
{
    if (!c->options.hex) {
        fwrite(bytes.data, 1, bytes.size, stdout);
        return;
    }
    for (size_t i = 0; i < bytes.size; i++) {
        printf("\\x%02x", bytes.data[i]);
    }
}

void ctl__kv_print(const struct ctl *c, const Mvccpb__KeyValue *kv)
{
    if (!c->values_only) {
        ctl__bytes_print(c, oak_proto_bytes(kv->key));
        fputc('\n', stdout);
    }
    ctl__bytes_print(c, oak_proto_bytes(kv->value));
    fputc('\n', stdout);
}

const char *ctl__printf(struct ctl *c, const char *format, ...)
{
    va_list args;
    struct oak_buf text = {0};
    char piece[512];
    va_start(args, format);
    int size = vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    const char *copy = NULL;
    if (size >= 0 && (size_t)size < sizeof(piece)) {
        copy = (const char *)oak_arena_dup(&c->arena, oak_bytes(piece, (size_t)size + 1)).data;
    } else if (size >= 0 && oak_buf_reserve(&text, (size_t)size + 1) == 0) {
        va_start(args, format);
        vsnprintf((char *)text.data, (size_t)size + 1, format, args);
        va_end(args);
        copy = (const char *)oak_arena_dup(&c->arena, oak_bytes(text.data, (size_t)size + 1)).data;
    }
    oak_buf_fini(&text);
    return copy != NULL ? copy : "";
}

/* As Go's Duration tells itself: the largest unit that is not 0, and no zeros at the end. */
const char *ctl__duration(struct ctl *c, uint64_t ns)
{
    static const uint64_t second = 1000000000, ms = 1000000, us = 1000;
    uint64_t unit = ns >= second ? second : ns >= ms ? ms : ns >= us ? us : 1;
    const char *name = unit == second ? "s" : unit == ms ? "ms" : unit == us ? "µs" : "ns";
    uint64_t minutes = ns / second / 60;
    char fraction[16] = "";
    if (unit > 1 && ns % unit != 0) {
        int digits = unit == second ? 9 : unit == ms ? 6 : 3;
        snprintf(fraction, sizeof(fraction), ".%0*" PRIu64, digits, ns % unit);
        for (char *end = fraction + strlen(fraction); end[-1] == '0';) {
            *--end = '\0';
        }
    }
    if (ns == 0) {
        return "0s";
    }
    if (minutes == 0) {
        return ctl__printf(c, "%" PRIu64 "%s%s", ns / unit, fraction, name);
    }
    return minutes < 60
               ? ctl__printf(c, "%" PRIu64 "m%" PRIu64 "%ss", minutes, ns / second % 60, fraction)
               : ctl__printf(c, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "%ss", minutes / 60,
                             minutes % 60, ns / second % 60, fraction);
}

const char *ctl__byte_size(struct ctl *c, int64_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)size;
    size_t unit = 0;
    for (; value >= 1000 && unit + 1 < OAK_COUNT_OF(units); unit++) {
        value /= 1000;
    }
    if (unit == 0) {
        return ctl__printf(c, "%" PRId64 " B", size);
    }
    int64_t tenths = (int64_t)(value * 10 + 0.5);
    return tenths < 100
               ? ctl__printf(c, "%" PRId64 ".%" PRId64 " %s", tenths / 10, tenths % 10, units[unit])
               : ctl__printf(c, "%.0f %s", (double)tenths / 10, units[unit]);
}

const char *ctl__joined(struct ctl *c, char *const *items, size_t count, const char *between)
{
    const char *all = count > 0 ? items[0] : "";
    for (size_t i = 1; i < count; i++) {
        all = ctl__printf(c, "%s%s%s", all, between, items[i]);
    }
    return all;
}
