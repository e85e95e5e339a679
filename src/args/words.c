/* SPDX-License-Identifier: Apache-2.0 */
/* words.c: a line as words: of a transaction, of a watch, of the shell.
 *
 * Can fail     a quote without its end, an escape that is none, too many words, no memory.
 */
#include "args/args.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static char *rune_write(char *out, uint32_t rune)
{
    if (rune < 0x80) {
        *out++ = (char)rune;
    } else if (rune < 0x800) {
        *out++ = (char)(0xc0 | rune >> 6);
        *out++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *out++ = (char)(0xe0 | rune >> 12);
        *out++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *out++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *out++ = (char)(0xf0 | rune >> 18);
        *out++ = (char)(0x80 | (rune >> 12 & 0x3f));
        *out++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *out++ = (char)(0x80 | (rune & 0x3f));
    }
    return out;
}

/* What stands behind a backslash at *at. False: it is none of Go's. */
static bool escape_read(const char **at, char **out)
{
    static const char letters[] = "abfnrtv\\\"'";
    static const char values[] = "\a\b\f\n\r\t\v\\\"'";
    char c = **at;
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    if (letter != NULL) {
        *(*out)++ = values[letter - letters];
        *at += 1;
        return true;
    }
    bool octal = c >= '0' && c <= '7';
    size_t digits = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t value = 0;
    const char *from = *at + !octal;
    for (size_t i = 0; i < digits; i++) {
        int digit = hex_digit(from[i]);
        if (digit < 0 || (octal && digit > 7)) {
            return false;
        }
        value = value * (octal ? 8 : 16) + (uint32_t)digit;
    }
    *at = from + digits;
    bool byte = octal || c == 'x';
    if (digits == 0 || (byte && value > 0xff) ||
        (!byte && (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)))) {
        return false;
    }
    if (byte) {
        *(*out)++ = (char)value;
    } else {
        *out = rune_write(*out, value);
    }
    return true;
}

int oak_args_quoted(const char **at, char **out)
{
    if (**at != '"') {
        return OAK_EFORMAT;
    }
    *at += 1;
    while (**at != '"') {
        if (**at == '\0') {
            return OAK_EFORMAT;
        }
        char c = *(*at)++;
        if (c != '\\') {
            *(*out)++ = c;
        } else if (!escape_read(at, out)) {
            return OAK_EFORMAT;
        }
    }
    *at += 1;
    *(*out)++ = '\0';
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int word_read(const char **at, char **out)
{
    if (**at == '"') {
        return oak_args_quoted(at, out);
    }
    bool single = **at == '\'';
    *at += single;
    while (**at != '\0' && (single ? **at != '\'' : !is_space(**at))) {
        *(*out)++ = *(*at)++;
    }
    if (single && **at != '\'') {
        return OAK_EFORMAT;
    }
    *at += single;
    *(*out)++ = '\0';
    return 0;
}

int oak_args_split(const char *line, struct oak_arena *arena, char **words, size_t max,
                   size_t *count)
{
    /* No word is longer than its text. */
    char *out = oak_arena_alloc(arena, 2 * strlen(line) + 2);
    *count = 0;
    if (out == NULL) {
        return OAK_ENOMEM;
    }
    for (;;) {
        while (is_space(*line)) {
            line++;
        }
        if (*line == '\0') {
            return 0;
        }
        if (*count == max) {
            return OAK_ELIMIT;
        }
        words[(*count)++] = out;
        int error = word_read(&line, &out);
        if (error != 0) {
            return error;
        }
    }
}
