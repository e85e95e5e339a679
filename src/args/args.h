/* SPDX-License-Identifier: Apache-2.0 */
/* args.h: words of a command line: flags of the program's commands and their help, lines cut into
 * words.
 *
 * Words are --name value, --name=value, -n value, -n=value, -nvalue; flags and operands in any
 * order; behind "--" everything is an operand, or what `rest` wants. The server's own flags are
 * another matter: they follow Go's rules, in src/server.
 *
 * With OAK_ARGS_DESCRIBE as its only word a command tells its flags to a program: a line for each,
 * "--name", a tab, its help; nothing is run.
 *
 * Threads: the caller's; what is read is borrowed from argv.
 */
#ifndef OAK_ARGS_H
#define OAK_ARGS_H

#include "base/base.h"

/* The commands of Oakum itself; those of etcdctl have its own. */
enum oak_args_exit {
    OAK_ARGS_EXIT_MISUSED = 2,
};

enum oak_args_kind {
    OAK_ARGS_BOOL,     /* bool * */
    OAK_ARGS_NUMBER,   /* uint64_t *, from min to max */
    OAK_ARGS_SIGNED,   /* int64_t * */
    OAK_ARGS_DURATION, /* uint64_t *, ns: "5s", "1m30s", "100ms" */
    OAK_ARGS_TEXT,     /* const char ** */
    OAK_ARGS_LIST,     /* struct oak_args_list *: given again, it grows */
};

/* What is given as a,b,c is one item here. */
#define OAK_ARGS_LIST_MAX 32
struct oak_args_list {
    const char *items[OAK_ARGS_LIST_MAX];
    size_t count;
};

#define OAK_ARGS_DESCRIBE "--describe-flags"

struct oak_args_flag {
    const char *name;
    char letter; /* '\0' for none */
    enum oak_args_kind kind;
    void *target;
    uint64_t min; /* of a NUMBER */
    uint64_t max;
    const char *argument; /* "N"; NULL for a bool */
    const char *help;
};

struct oak_args_command {
    const char *name;     /* "bench put" as a person types it behind oakum */
    const char *summary;  /* one sentence */
    const char *operands; /* "KEY [RANGE_END]", or "" */
    size_t operands_max;
    const struct oak_args_flag *flags;
    size_t flag_count;
    const char *more; /* explanations and examples below the flags */
    /* Flags that it has in common with others: read too, and told in one line of the help. */
    const struct oak_args_flag *common;
    size_t common_count;
    const char *common_help; /* "Flags of all commands: oakum help options" */
    int misused;             /* the exit code; 0: OAK_ARGS_EXIT_MISUSED */
    bool rest;               /* what is behind "--" goes to *rest, and is no operand */
};

/* Read flags and operands. Help and errors are told here: false means to end with *exit_code.
 * Operands go to `operands` (room for operands_max). */
OAK_MUST_USE bool oak_args_parse(const struct oak_args_command *command, int argc,
                                 char *const *argv, const char **operands, size_t *operand_count,
                                 char *const **rest, int *exit_code);
/* "oakum up: text", a line on stderr. Returns `code`. */
int oak_args_complain(const struct oak_args_command *command, int code, const char *format, ...)
    OAK_PRINTF(3, 4);

/* The flag that a word such as "--endpoints=x" or "-w" names; NULL: none of these. */
const struct oak_args_flag *oak_args_find(const struct oak_args_flag *flags, size_t count,
                                          const char *word);
/* Give a flag its value; `text` NULL is a bool alone. OAK_EINVAL: `e` says what it takes. */
OAK_MUST_USE int oak_args_set(const struct oak_args_flag *flag, const char *text,
                              struct oak_errbuf *e);
/* A flag for each line of a list, as help has them. */
void oak_args_flags_print(const struct oak_args_flag *flags, size_t count);

/* "1m30s" in nanoseconds. OAK_EINVAL. */
OAK_MUST_USE int oak_args_duration_read(const char *text, uint64_t *out);

/* Which of some words was meant by one that is none of them. */
struct oak_args_nearest {
    const char *word;
    const char *found; /* NULL: none is near */
    size_t distance;
};
void oak_args_nearest_begin(struct oak_args_nearest *n, const char *word);
void oak_args_nearest_try(struct oak_args_nearest *n, const char *candidate);

/* Cut a line that a person types into words, which live in the arena: parted by spaces; "double
 * quotes" hold escapes as Go has them, 'single quotes' everything as it is. A NUL byte can't be in
 * a word. OAK_EFORMAT (a quote without its end, an escape that is none), OAK_ELIMIT (more than
 * `max`), OAK_ENOMEM. */
OAK_MUST_USE int oak_args_split(const char *line, struct oak_arena *arena, char **words, size_t max,
                                size_t *count);
/* Read "a\x00b" at *at, its quotes included, to *out, which has room for as much; both stand behind
 * it then, *out behind a NUL. OAK_EFORMAT. */
OAK_MUST_USE int oak_args_quoted(const char **at, char **out);

#endif
