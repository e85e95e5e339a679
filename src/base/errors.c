/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c: the table of errors.def as lookups. */
#include "base/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

struct row {
    const char *name;
    const char *text;
    enum oak_error_class class;
    int grpc;
};

static const struct row rows[] = {
    {"OK", "ok", OAK_CLASS_CALLER, 0},
#define X(name, class, grpc, text) {#name, text, OAK_CLASS_##class, grpc},
#include "oakum/errors.def"
#undef X
};

static const struct row *row_of(int error)
{
    OAK_ASSERT(error <= 0);
    OAK_ASSERT(error > -(int)OAK_PLACE_END_);
    return &rows[-error];
}

const char *oak_error_text(int error)
{
    return row_of(error)->text;
}

const char *oak_error_name(int error)
{
    return row_of(error)->name;
}

int oak_error_grpc(int error)
{
    return row_of(error)->grpc;
}

enum oak_error_class oak_error_class_of(int error)
{
    return row_of(error)->class;
}

int oak_fail(struct oak_errbuf *e, int error, const char *format, ...)
{
    OAK_ASSERT(error < 0);
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->text, sizeof(e->text), format, args);
        va_end(args);
    }
    return error;
}

int oak_fail_in(struct oak_errbuf *e, int error, const char *what)
{
    OAK_ASSERT(error < 0);
    if (e != NULL) {
        char inner[sizeof(e->text)];
        memcpy(inner, e->text, sizeof(inner));
        snprintf(e->text, sizeof(e->text), "%s: %.*s", what, (int)(sizeof(inner) / 2), inner);
    }
    return error;
}
