/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: C as text.
 *
 * Can fail     OAK_ENOMEM, OAK_ELIMIT: kept in the text, and looked at once, at the end.
 * Invariants   a comment of the .proto can't end the comment it is written into.
 * Thread       any.
 */
#include <stdarg.h>
#include <stdio.h>

#include "plugin/internal.h"

/* Bytes in a row: 20 of "255," fit 100 columns. */
#define ROW_BYTES 20

static void put(struct text *t, const void *data, size_t size)
{
    if (t->error != 0) {
        return;
    }
    if (size > OAK_PLUGIN_BYTES_MAX - t->buf.size) {
        t->error = OAK_ELIMIT;
    } else {
        t->error = oak_buf_append(&t->buf, data, size);
    }
}

void plugin__put(struct text *t, const char *format, ...)
{
    char line[8 * PLUGIN_NAME_BYTES];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof(line)) {
        t->error = t->error != 0 ? t->error : OAK_ELIMIT;
        return;
    }
    put(t, line, (size_t)size);
}

/* One line without what would end or begin a comment, and without spaces at its end. */
static void put_comment_line(struct text *t, const char *line, size_t size)
{
    while (size > 0 &&
           (line[size - 1] == ' ' || line[size - 1] == '\t' || line[size - 1] == '\r')) {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        char c = line[i];
        bool control = (unsigned char)c < ' ' || c == 0x7f;
        put(t, control ? " " : &c, 1);
        bool marks =
            i + 1 < size && ((c == '*' && line[i + 1] == '/') || (c == '/' && line[i + 1] == '*'));
        if (marks) {
            put(t, " ", 1);
        }
    }
}

void plugin__put_comment(struct text *t, unsigned indent, const char *comment)
{
    if (comment == NULL) {
        return;
    }
    size_t size = strlen(comment);
    while (size > 0 && (comment[size - 1] == '\n' || comment[size - 1] == ' ')) {
        size--;
    }
    if (size == 0) {
        return;
    }
    const char *at = comment;
    const char *end = comment + size;
    const char *mark = "/*";
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        plugin__put(t, "%*s%s", (int)indent, "", mark);
        if (stop > at) {
            put(t, " ", at[0] == ' ' ? 0 : 1);
        }
        put_comment_line(t, at, (size_t)(stop - at));
        put(t, "\n", stop < end ? 1 : 0);
        at = stop < end ? stop + 1 : end;
        mark = " *";
    }
    put(t, " */\n", 4);
}

void plugin__put_bytes(struct text *t, struct oak_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        char number[16];
        bool last = i % ROW_BYTES == ROW_BYTES - 1 || i + 1 == bytes.size;
        int size = snprintf(number, sizeof(number), "%s%u,%s", i % ROW_BYTES == 0 ? "    " : "",
                            bytes.data[i], last ? "\n" : "");
        put(t, number, (size_t)size);
    }
}
