/* SPDX-License-Identifier: Apache-2.0 */
/* args.c: flags of the commands: --name value, --name=value, -n value; and their help.
 *
 * The server's own flags are another matter: they follow Go's rules, in src/server.
 * Can fail     anything a person can type: told on stderr, exit code 2.
 */
#include "cli/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

int cli__complain(const struct cli__command *command, int code, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "oakum %s: %s\n", command->name, text);
    return code;
}

static void help_print(const struct cli__command *c)
{
    printf("%s\n\nUsage:\n  oakum %s%s%s [flags]\n\nFlags:\n", c->summary, c->name,
           c->operands[0] == '\0' ? "" : " ", c->operands);
    for (size_t i = 0; i < c->flag_count; i++) {
        const struct cli__flag *f = &c->flags[i];
        char head[64];
        char letter[8] = "";
        if (f->letter != '\0') {
            snprintf(letter, sizeof(letter), "-%c, ", f->letter);
        }
        snprintf(head, sizeof(head), "%s--%s%s%s", letter, f->name, f->argument == NULL ? "" : " ",
                 f->argument == NULL ? "" : f->argument);
        printf("  %-26s %s\n", head, f->help);
    }
    printf("  %-26s %s\n%s%s", "--help", "this text", c->more[0] == '\0' ? "" : "\n", c->more);
}

static bool number_read(const char *text, const struct cli__flag *flag)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < flag->min || number > flag->max) {
        return false;
    }
    *(uint64_t *)flag->target = number;
    return true;
}

/* A bool may be given as --x, --x=true or --x=false. */
static bool bool_read(const char *text, const struct cli__flag *flag)
{
    bool yes = text == NULL || strcmp(text, "true") == 0;
    *(bool *)flag->target = yes;
    return yes || strcmp(text, "false") == 0;
}

static const struct cli__flag *flag_find(const struct cli__command *c, const char *word,
                                         size_t size)
{
    for (size_t i = 0; i < c->flag_count; i++) {
        const struct cli__flag *f = &c->flags[i];
        bool by_letter = word[1] != '-' && size == 2 && f->letter == word[1] && f->letter != '\0';
        /* One dash before a long name is fine too: etcd's own flags allow it. */
        size_t dashes = word[1] == '-' ? 2 : 1;
        bool by_name =
            strlen(f->name) == size - dashes && strncmp(f->name, word + dashes, size - dashes) == 0;
        if (by_letter || by_name) {
            return f;
        }
    }
    return NULL;
}

/* The flag at argv[*at]. */
static bool flag_read(const struct cli__command *c, int argc, char *const *argv, int *at)
{
    const char *word = argv[*at];
    size_t size = strcspn(word, "=");
    const char *value = word[size] == '=' ? word + size + 1 : NULL;
    const struct cli__flag *f = flag_find(c, word, size);
    *at += 1;
    if (f == NULL) {
        cli__complain(c, 0, "there is no flag %.*s; see oakum %s --help", (int)OAK_MIN(size, 64),
                      word, c->name);
        return false;
    }
    if (f->kind == CLI__FLAG_BOOL) {
        if (!bool_read(value, f)) {
            cli__complain(c, 0, "--%s is given alone, or as --%s=false", f->name, f->name);
            return false;
        }
        return true;
    }
    if (value == NULL && *at < argc) {
        value = argv[*at];
        *at += 1;
    }
    if (value == NULL) {
        cli__complain(c, 0, "--%s needs a value", f->name);
        return false;
    }
    if (f->kind == CLI__FLAG_TEXT) {
        *(const char **)f->target = value;
        return true;
    }
    if (!number_read(value, f)) {
        cli__complain(c, 0, "--%s: \"%.64s\" is not a whole number from %llu to %llu", f->name,
                      value, (unsigned long long)f->min, (unsigned long long)f->max);
        return false;
    }
    return true;
}

bool cli__parse(const struct cli__command *command, int argc, char *const *argv,
                const char **operands, size_t *operand_count, char *const **rest, int *exit_code)
{
    *operand_count = 0;
    *rest = NULL;
    *exit_code = CLI__EXIT_MISUSED;
    for (int at = 1; at < argc;) {
        const char *word = argv[at];
        if (strcmp(word, "--") == 0) {
            *rest = argv + at + 1;
            return true;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0) {
            help_print(command);
            *exit_code = CLI__EXIT_OK;
            return false;
        }
        if (word[0] == '-' && word[1] != '\0') {
            if (!flag_read(command, argc, argv, &at)) {
                return false;
            }
            continue;
        }
        if (*operand_count == command->operands_max) {
            cli__complain(command, 0, "\"%.64s\" is one word too many; see oakum %s --help", word,
                          command->name);
            return false;
        }
        operands[*operand_count] = word;
        *operand_count += 1;
        at++;
    }
    return true;
}
