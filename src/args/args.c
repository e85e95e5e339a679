/* SPDX-License-Identifier: Apache-2.0 */
/* args.c: words of a command line, read by a table.
 *
 * Happy path   for each word: 1 an operand goes to its place 2 a flag is looked up by its name or
 *              letter 3 its value is taken from the word or the next one, and read by its kind
 * Can fail     anything a person can type: told on stderr.
 */
#include "args/args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int oak_args_complain(const struct oak_args_command *command, int code, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "oakum %s: %s\n", command->name, text);
    return code;
}

void oak_args_flags_print(const struct oak_args_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct oak_args_flag *f = &flags[i];
        char head[64];
        char letter[8] = "";
        if (f->letter != '\0') {
            snprintf(letter, sizeof(letter), "-%c, ", f->letter);
        }
        snprintf(head, sizeof(head), "%s--%s%s%s", letter, f->name, f->argument == NULL ? "" : " ",
                 f->argument == NULL ? "" : f->argument);
        printf("  %-26s %s\n", head, f->help);
    }
}

static void help_print(const struct oak_args_command *c)
{
    printf("%s\n\nUsage:\n  oakum %s%s%s [flags]\n\nFlags:\n", c->summary, c->name,
           c->operands[0] == '\0' ? "" : " ", c->operands);
    oak_args_flags_print(c->flags, c->flag_count);
    printf("  %-26s %s\n", "--help", "this text");
    if (c->common_help != NULL) {
        printf("\n%s\n", c->common_help);
    }
    printf("%s%s", c->more[0] == '\0' ? "" : "\n", c->more);
}

static void describe(const struct oak_args_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("--%s\t%s\n", flags[i].name, flags[i].help);
    }
}

int oak_args_duration_read(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1},  {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
                 {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
    double sum = 0;
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return 0;
    }
    do {
        if ((*text < '0' || *text > '9') && *text != '.') {
            return OAK_EINVAL;
        }
        char *end;
        double number = strtod(text, &end);
        size_t unit = 0;
        size_t size = strcspn(end, "0123456789.");
        while (unit < OAK_COUNT_OF(units) &&
               (strlen(units[unit].name) != size || memcmp(units[unit].name, end, size) != 0)) {
            unit++;
        }
        if (unit == OAK_COUNT_OF(units)) {
            return OAK_EINVAL;
        }
        sum += number * units[unit].ns;
        text = end + size;
    } while (*text != '\0');
    if (sum >= (double)INT64_MAX) {
        return OAK_EINVAL;
    }
    *out = (uint64_t)sum;
    return 0;
}

static bool number_read(const char *text, const struct oak_args_flag *flag)
{
    bool negative = flag->kind == OAK_ARGS_SIGNED && text[0] == '-';
    if (text[negative] < '0' || text[negative] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    if (flag->kind == OAK_ARGS_SIGNED) {
        long long number = strtoll(text, &end, 10);
        *(int64_t *)flag->target = number;
        return errno == 0 && *end == '\0';
    }
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < flag->min || number > flag->max) {
        return false;
    }
    *(uint64_t *)flag->target = number;
    return true;
}

static int list_add(struct oak_args_list *list, const char *text)
{
    if (list->count == OAK_ARGS_LIST_MAX) {
        return OAK_ELIMIT;
    }
    list->items[list->count++] = text;
    return 0;
}

int oak_args_set(const struct oak_args_flag *f, const char *text, struct oak_errbuf *e)
{
    switch (f->kind) {
    case OAK_ARGS_BOOL: {
        /* --x, --x=true or --x=false. */
        bool yes = text == NULL || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        *(bool *)f->target = yes;
        return yes || strcmp(text, "false") == 0 || strcmp(text, "0") == 0
                   ? 0
                   : oak_fail(e, OAK_EINVAL, "--%s is given alone, or as --%s=false", f->name,
                              f->name);
    }
    case OAK_ARGS_NUMBER:
        return number_read(text, f)
                   ? 0
                   : oak_fail(e, OAK_EINVAL,
                              "--%s: \"%.64s\" is not a whole number from %llu to %llu", f->name,
                              text, (unsigned long long)f->min, (unsigned long long)f->max);
    case OAK_ARGS_SIGNED:
        return number_read(text, f)
                   ? 0
                   : oak_fail(e, OAK_EINVAL, "--%s: \"%.64s\" is no whole number", f->name, text);
    case OAK_ARGS_DURATION:
        return oak_args_duration_read(text, f->target) == 0
                   ? 0
                   : oak_fail(e, OAK_EINVAL, "--%s: \"%.64s\" is no time such as 5s or 100ms",
                              f->name, text);
    case OAK_ARGS_LIST:
        return list_add(f->target, text) == 0
                   ? 0
                   : oak_fail(e, OAK_EINVAL, "--%s is given more than %d times", f->name,
                              OAK_ARGS_LIST_MAX);
    case OAK_ARGS_TEXT:
        *(const char **)f->target = text;
        return 0;
    }
    OAK_UNREACHABLE("a kind of flag");
}

const struct oak_args_flag *oak_args_find(const struct oak_args_flag *flags, size_t count,
                                          const char *word)
{
    size_t size = strcspn(word, "=");
    size_t dashes = word[1] == '-' ? 2 : 1;
    for (size_t i = 0; i < count; i++) {
        /* One dash before a long name is fine too: etcd's own flags allow it. */
        if (strlen(flags[i].name) == size - dashes &&
            strncmp(flags[i].name, word + dashes, size - dashes) == 0) {
            return &flags[i];
        }
    }
    for (size_t i = 0; i < count && dashes == 1; i++) {
        /* "-i", "-w json", "-w=json", "-wjson" */
        if (flags[i].letter == word[1] && word[1] != '\0' &&
            (size == 2 || flags[i].kind != OAK_ARGS_BOOL)) {
            return &flags[i];
        }
    }
    return NULL;
}

/* There is no such flag. */
static void unknown_flag(const struct oak_args_command *c, const char *word)
{
    char name[64];
    struct oak_args_nearest nearest;
    size_t dashes = word[1] == '-' ? 2 : 1;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + dashes, "="), word + dashes);
    oak_args_nearest_begin(&nearest, name);
    for (size_t i = 0; i < c->flag_count; i++) {
        oak_args_nearest_try(&nearest, c->flags[i].name);
    }
    for (size_t i = 0; i < c->common_count; i++) {
        oak_args_nearest_try(&nearest, c->common[i].name);
    }
    bool near = nearest.found != NULL;
    oak_args_complain(c, 0, "there is no flag %.*s%s%s%s; see oakum %s --help",
                      (int)OAK_MIN(strcspn(word, "="), (size_t)64), word, near ? " (is --" : "",
                      near ? nearest.found : "", near ? " meant?)" : "", c->name);
}

/* The flag at argv[*at]. */
static bool flag_read(const struct oak_args_command *c, int argc, char *const *argv, int *at)
{
    const char *word = argv[*at];
    size_t size = strcspn(word, "=");
    const char *value = word[size] == '=' ? word + size + 1 : NULL;
    const struct oak_args_flag *f = oak_args_find(c->flags, c->flag_count, word);
    if (f == NULL && c->common_count > 0) {
        f = oak_args_find(c->common, c->common_count, word);
    }
    *at += 1;
    if (f == NULL) {
        unknown_flag(c, word);
        return false;
    }
    bool glued = word[1] == f->letter && size > 2 && strncmp(f->name, word + 1, size - 1) != 0;
    if (value == NULL && glued && f->kind != OAK_ARGS_BOOL) {
        value = word + 2;
    }
    if (value == NULL && f->kind != OAK_ARGS_BOOL && *at < argc) {
        value = argv[*at];
        *at += 1;
    }
    if (value == NULL && f->kind != OAK_ARGS_BOOL) {
        oak_args_complain(c, 0, "--%s needs a value", f->name);
        return false;
    }
    struct oak_errbuf e;
    if (oak_args_set(f, value, &e) != 0) {
        oak_args_complain(c, 0, "%s", e.text);
        return false;
    }
    return true;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0;
}

bool oak_args_parse(const struct oak_args_command *command, int argc, char *const *argv,
                    const char **operands, size_t *operand_count, char *const **rest,
                    int *exit_code)
{
    bool flags = true;
    *operand_count = 0;
    *rest = NULL;
    *exit_code = command->misused != 0 ? command->misused : OAK_ARGS_EXIT_MISUSED;
    if (argc == 2 && strcmp(argv[1], OAK_ARGS_DESCRIBE) == 0) {
        describe(command->flags, command->flag_count);
        describe(command->common, command->common_count);
        *exit_code = 0;
        return false;
    }
    for (int at = 1; at < argc;) {
        const char *word = argv[at];
        if (flags && strcmp(word, "--") == 0) {
            flags = false;
            at++;
            if (command->rest) {
                *rest = argv + at;
                return true;
            }
            continue;
        }
        if (flags && is_help(word)) {
            help_print(command);
            *exit_code = 0;
            return false;
        }
        if (flags && word[0] == '-' && word[1] != '\0') {
            if (!flag_read(command, argc, argv, &at)) {
                return false;
            }
            continue;
        }
        if (*operand_count == command->operands_max) {
            oak_args_complain(command, 0, "\"%.64s\" is one word too many; see oakum %s --help",
                              word, command->name);
            return false;
        }
        operands[*operand_count] = word;
        *operand_count += 1;
        at++;
    }
    return true;
}
