/* SPDX-License-Identifier: Apache-2.0 */
/* names.c: names of C as protoc-c makes them, so that its headers and ours fit.
 *
 * A full name is cut at its dots; the parts are joined by "__". In the name of a type each part
 * loses its underscores and begins, as does what followed one, with a capital letter. In the name
 * of a function a capital letter becomes a small one, behind "_" unless it follows another.
 *
 * Can fail     what is no identifier, or longer than PLUGIN_NAME_BYTES.
 * Source       protobuf-c 1.4, protoc-c/c_helpers.cc, and what protoc-c makes of test names.
 * Thread       any.
 */
#include <stdio.h>

#include "plugin/internal.h"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}
static bool is_letter(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z') || c == '_';
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static char to_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}
static char to_lower(char c)
{
    return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

/* Identifiers, with dots between them. */
static bool is_dotted(const char *name, size_t size)
{
    bool begin = true;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (begin ? !is_letter(c) : !(is_letter(c) || is_digit(c) || c == '.')) {
            return false;
        }
        begin = c == '.';
    }
    return !begin;
}

/* A name that is being written; `full` once it doesn't fit. */
struct writer {
    struct name *out;
    size_t size;
    bool full;
};

static void write_char(struct writer *w, char c)
{
    if (w->size + 1 >= sizeof(w->out->text)) {
        w->full = true;
        return;
    }
    w->out->text[w->size++] = c;
}

static bool write_end(struct writer *w)
{
    w->out->text[w->size] = '\0';
    return !w->full;
}

/* The full name, with the package that the file chose for C. */
static bool override(const Oakschema__File *file, struct oak_bytes full, struct name *out)
{
    const char *rest = (const char *)full.data;
    size_t size = full.size;
    const char *package = "";
    const Oakschema__CFileOptions *options = NULL;
    if (file->options != NULL) {
        options = file->options->pb_c_file;
    }
    if (options != NULL && options->c_package != NULL) {
        size_t cut = file->package != NULL ? strlen(file->package) : 0;
        package = options->c_package;
        if (cut > size) {
            return false;
        }
        /* protoc-c puts "." between them also where there is no package to replace. */
        rest += cut > 0 ? cut + 1 : 0;
        size -= cut > 0 ? OAK_MIN(cut + 1, size) : 0;
    }
    int length =
        snprintf(out->text, sizeof(out->text), "%s%s%.*s", package, package[0] != '\0' ? "." : "",
                 (int)OAK_MIN(size, (size_t)INT16_MAX), rest);
    return length > 0 && (size_t)length < sizeof(out->text) && is_dotted(out->text, (size_t)length);
}

bool plugin__name_c(const Oakschema__File *file, struct oak_bytes full, struct name *out)
{
    struct name dotted;
    if (!override(file, full, &dotted)) {
        return false;
    }
    struct writer w = {.out = out};
    bool begin = true;
    for (const char *at = dotted.text; *at != '\0'; at++) {
        if (*at == '.') {
            write_char(&w, '_');
            write_char(&w, '_');
            begin = true;
        } else if (*at == '_') {
            begin = true;
        } else {
            write_char(&w, begin ? to_upper(*at) : *at);
            begin = false;
        }
    }
    return write_end(&w);
}

static bool lower(const char *dotted, struct name *out)
{
    struct writer w = {.out = out};
    bool was_upper = true; /* no "_" in front */
    for (const char *at = dotted; *at != '\0'; at++) {
        if (*at == '.') {
            write_char(&w, '_');
            write_char(&w, '_');
            was_upper = true;
            continue;
        }
        if (is_upper(*at) && !was_upper) {
            write_char(&w, '_');
        }
        was_upper = is_upper(*at);
        write_char(&w, to_lower(*at));
    }
    return write_end(&w);
}

bool plugin__name_lower(const Oakschema__File *file, struct oak_bytes full, struct name *out)
{
    struct name dotted;
    return override(file, full, &dotted) && lower(dotted.text, out);
}

bool plugin__name_member(const char *name, struct name *out)
{
    size_t size = strlen(name);
    return is_dotted(name, size) && strchr(name, '.') == NULL && lower(name, out);
}

bool plugin__name_file(const char *name, struct name *out)
{
    static const char hex[] = "0123456789abcdef";
    struct writer w = {.out = out};
    for (const char *at = name; *at != '\0'; at++) {
        if ((is_letter(*at) && *at != '_') || is_digit(*at)) {
            write_char(&w, *at);
        } else {
            write_char(&w, '_');
            write_char(&w, hex[(unsigned char)*at >> 4]);
            write_char(&w, hex[(unsigned char)*at & 15]);
        }
    }
    return write_end(&w);
}

bool plugin__is_keyword(const char *name)
{
    /* One of them a macro of <assert.h>, which protobuf-c's header includes. */
    static const char *const words[] = {
        "auto",    "break",  "case",     "char",   "const",    "continue", "default",
        "do",      "double", "else",     "enum",   "extern",   "float",    "for",
        "goto",    "if",     "inline",   "int",    "long",     "register", "restrict",
        "return",  "short",  "signed",   "sizeof", "static",   "struct",   "switch",
        "typedef", "union",  "unsigned", "void",   "volatile", "while",    "static_assert",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(words); i++) {
        if (strcmp(words[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool plugin__is_path(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f || strchr("\"\\*<>?", *at) != NULL) {
            return false;
        }
    }
    return name[0] != '\0' && strlen(name) < PLUGIN_NAME_BYTES;
}
