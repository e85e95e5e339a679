/* SPDX-License-Identifier: Apache-2.0 */
/* config_value.c: one value, from text to a field.
 *
 * Happy path   1 read the text by the row's kind
 *              2 hold it against the row's bounds
 *              3 by the row's fate: store it, warn that it changes nothing, or refuse it by name
 * Can fail     anything a person can type: OAK_EINVAL with an explanation. OAK_ENOMEM.
 * Invariants   the row's default is a value that reads without error (config_test.c tries each).
 */
#include "server/config_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Warnings kept of one load: more are counted in nobody's interest. */
#define WARNINGS_MAX 64

const char *config__keep(struct oak_arena *arena, const char *text, size_t size)
{
    char *copy = oak_arena_alloc(arena, size + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = '\0';
    return copy;
}

void config__warn(struct oak_config *config, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (config->warnings == NULL) {
        config->warnings = oak_arena_alloc(&config->arena, WARNINGS_MAX * sizeof(char *));
    }
    const char *kept = config__keep(&config->arena, text, strlen(text));
    if (config->warnings != NULL && kept != NULL && config->warning_count < WARNINGS_MAX) {
        config->warnings[config->warning_count] = kept;
        config->warning_count++;
    }
}

/* Go's flag package reads exactly these. */
static bool bool_read(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < OAK_COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool int_read(const char *text, int64_t *out)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    *out = number;
    return errno == 0 && *end == '\0';
}

/* The unit that `text` starts with, in nanoseconds; its length in *size. 0: none. */
static double unit_ns(const char *text, size_t *size)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {
        {"ns", 1},   {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3},
        {"ms", 1e6}, {"s", 1e9},  {"m", 60e9}, {"h", 3600e9},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(units); i++) {
        size_t length = strlen(units[i].name);
        if (strncmp(text, units[i].name, length) == 0) {
            *size = length;
            return units[i].ns;
        }
    }
    return 0;
}

bool config__duration_read(const char *text, int64_t *out_ns)
{
    if (strcmp(text, "0") == 0) {
        *out_ns = 0;
        return true;
    }
    double total = 0;
    const char *at = text;
    while (*at != '\0') {
        size_t digits = strspn(at, "0123456789");
        size_t whole = digits;
        if (at[digits] == '.') {
            digits += 1 + strspn(at + digits + 1, "0123456789");
        }
        if (digits == 0 || digits > 30 || (whole == 0 && digits == 1)) {
            return false;
        }
        double number = strtod(at, NULL);
        size_t unit_size = 0;
        double unit = unit_ns(at + digits, &unit_size);
        if (unit_size == 0) {
            return false;
        }
        total += number * unit;
        at += digits + unit_size;
    }
    if (at == text || total >= 9.2e18) {
        return false;
    }
    *out_ns = (int64_t)total;
    return true;
}

static int number_check(const struct config__row *row, int64_t number, struct oak_errbuf *e)
{
    if (row->kind == CONFIG__DURATION) {
        return number >= 0 ? 0 : oak_fail(e, OAK_EINVAL, "a duration cannot be negative");
    }
    if (number < row->min || number > row->max) {
        return oak_fail(e, OAK_EINVAL, "%lld is out of bounds: give a number from %lld to %lld",
                        (long long)number, (long long)row->min, (long long)row->max);
    }
    return 0;
}

static int choice_read(const struct config__row *row, const char *text, int64_t *out,
                       struct oak_errbuf *e)
{
    const char *at = row->choices;
    int64_t place = 0;
    for (;;) {
        size_t size = strcspn(at, "|");
        if (strlen(text) == size && strncmp(at, text, size) == 0) {
            *out = place;
            return 0;
        }
        if (at[size] == '\0') {
            return oak_fail(e, OAK_EINVAL, "\"%.64s\" is none of %s", text, row->choices);
        }
        at += size + 1;
        place++;
    }
}

int config__value_read(struct oak_arena *arena, const struct config__row *row, const char *text,
                       enum config__form form, struct config__value *out, struct oak_errbuf *e)
{
    *out = (struct config__value){0};
    switch (row->kind) {
    case CONFIG__BOOL:
        if (!bool_read(text, &out->truth)) {
            return oak_fail(e, OAK_EINVAL, "\"%.64s\" is neither true nor false", text);
        }
        return 0;
    case CONFIG__INT:
        if (!int_read(text, &out->number)) {
            return oak_fail(e, OAK_EINVAL, "\"%.64s\" is not a whole number", text);
        }
        return number_check(row, out->number, e);
    case CONFIG__DURATION:
        if (form == CONFIG__FORM_FILE) {
            if (!int_read(text, &out->number)) {
                return oak_fail(e, OAK_EINVAL, "\"%.64s\" is not a whole number of nanoseconds",
                                text);
            }
        } else if (!config__duration_read(text, &out->number)) {
            return oak_fail(e, OAK_EINVAL, "\"%.64s\" is not a duration such as 500ms or 1h30m",
                            text);
        }
        return number_check(row, out->number, e);
    case CONFIG__CHOICE:
        return choice_read(row, text, &out->number, e);
    case CONFIG__URLS:
    case CONFIG__LISTEN: {
        int error = config__urls_read(arena, text, row->kind == CONFIG__LISTEN, &out->urls, e);
        if (error == 0 && out->urls.count < (size_t)row->min) {
            return oak_fail(e, OAK_EINVAL, "it must name at least one URL");
        }
        return error;
    }
    case CONFIG__TEXT:
        out->text = config__keep(arena, text, strlen(text));
        return out->text != NULL ? 0 : oak_fail(e, OAK_ENOMEM, "out of memory");
    }
    OAK_UNREACHABLE("every kind is read above");
}

static void store(struct oak_config *config, const struct config__row *row,
                  const struct config__value *value)
{
    OAK_STATIC_ASSERT(sizeof(enum oak_config_store) == sizeof(unsigned),
                      "choices fit their fields");
    void *field = (char *)config + row->offset;
    switch (row->kind) {
    case CONFIG__BOOL:
        memcpy(field, &value->truth, sizeof(bool));
        return;
    case CONFIG__INT:
    case CONFIG__DURATION: {
        OAK_ASSERT(value->number >= 0 || row->min < 0); /* then the field has a sign */
        uint64_t number = (uint64_t)value->number;
        memcpy(field, &number, sizeof(number));
        return;
    }
    case CONFIG__CHOICE: {
        unsigned place = (unsigned)value->number;
        memcpy(field, &place, sizeof(place));
        return;
    }
    case CONFIG__URLS:
    case CONFIG__LISTEN:
        memcpy(field, &value->urls, sizeof(value->urls));
        return;
    case CONFIG__TEXT:
        memcpy(field, &value->text, sizeof(value->text));
        return;
    }
}

/* Does the value leave everything as it is without the flag? */
static bool changes_nothing(const struct config__row *row, const struct config__value *value,
                            const struct config__value *usual)
{
    switch (row->kind) {
    case CONFIG__BOOL:
        return value->truth == usual->truth;
    case CONFIG__INT:
        /* Sizes and counts below 1 say "off", which is what a flag that does not work yet is. */
        return value->number == usual->number || (usual->number == 0 && value->number < 0);
    case CONFIG__DURATION:
    case CONFIG__CHOICE:
        return value->number == usual->number;
    case CONFIG__TEXT:
        return strcmp(value->text, usual->text) == 0;
    case CONFIG__URLS:
    case CONFIG__LISTEN:
        return value->urls.count == usual->urls.count;
    }
    OAK_UNREACHABLE("every kind is compared above");
}

int config__set(struct config__loader *l, const struct config__row *row, const char *where,
                const char *text, enum config__form form)
{
    if (row->fate == CONFIG__LEGACY) {
        config__warn(l->config, "%s: ignored, as etcd ignores it", where);
        return 0;
    }
    struct config__value value;
    int error = config__value_read(&l->config->arena, row, text, form, &value, l->e);
    if (error != 0) {
        return oak_fail_in(l->e, error, where);
    }
    if (row->fate == CONFIG__LIVE) {
        store(l->config, row, &value);
        return 0;
    }
    struct config__value usual;
    error = config__value_read(&l->config->arena, row, row->value, CONFIG__FORM_FLAG, &usual, l->e);
    if (error != 0) {
        return oak_fail_in(l->e, error, where);
    }
    if (changes_nothing(row, &value, &usual)) {
        return 0;
    }
    if (row->fate == CONFIG__LATER) {
        return oak_fail(l->e, OAK_EUNIMPLEMENTED, "%s: %s", where, row->why);
    }
    OAK_ASSERT_EQ(row->fate, CONFIG__INERT);
    config__warn(l->config, "%s: accepted, but it changes nothing in this server", where);
    return 0;
}
