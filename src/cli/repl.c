/* SPDX-License-Identifier: Apache-2.0 */
/* repl.c: `oakum repl`: commands without the word oakum before them, with history and completion.
 *
 * Happy path   1 a line is read, with the lines that belong to it: behind a backslash, or of a
 *              transaction 2 it is cut into words 3 they are run as a command of this program, in a
 *              process of its own with the flags that the shell was started with, so that whatever
 *              it does, it leaves the shell alone, and Ctrl-C ends it and not the shell
 * Can fail     a line that has no end of a quote: told; the shell goes on.
 * Invariants   a line that holds a password is not kept in the history.
 */
#include "cli/internal.h"
#include "cli/repl.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX      256
#define LINE_BYTES_MAX ((size_t)1 << 20)

extern char **environ;

struct repl {
    int base_count; /* flags the shell was started with */
    char *const *base;
    bool interactive;
    struct oak_arena arena; /* of one line */
    int code;               /* of the last command */
};

/* -- lines ------------------------------------------------------------------------------------- */

/* The next line, to be freed, without its end; NULL: there are no more. */
static char *line_next(struct repl *r, const char *prompt)
{
    if (r->interactive) {
        return cli__edit_line(prompt);
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t size = getline(&line, &room, stdin);
    if (size < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

/* A line, and those behind it that a backslash asks for. False: the end. OAK_ENOMEM ends too. */
static bool command_next(struct repl *r, struct oak_buf *out)
{
    const char *prompt = "oakum> ";
    oak_buf_clear(out);
    for (;;) {
        char *line = line_next(r, prompt);
        if (line == NULL) {
            return out->size > 0;
        }
        size_t size = strlen(line);
        bool more = size > 0 && line[size - 1] == '\\';
        int error = oak_buf_append(out, line, size - more);
        free(line);
        if (error != 0 || out->size > LINE_BYTES_MAX) {
            return false;
        }
        if (!more) {
            return oak_buf_append(out, "", 1) == 0;
        }
        prompt = "   ... ";
    }
}

/* The three lists of a transaction, each up to an empty line, as txn reads them. */
static bool txn_next(struct repl *r, struct oak_buf *out)
{
    static const char *const prompts[] = {"   if> ", " then> ", " else> "};
    for (int list = 0; list < 3;) {
        char *line = line_next(r, prompts[list]);
        if (line == NULL) {
            return false;
        }
        list += line[strspn(line, " \t")] == '\0';
        int error = oak_buf_printf(out, "%s\n", line);
        free(line);
        if (error != 0 || out->size > LINE_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

/* -- commands ---------------------------------------------------------------------------------- */

/* Run it, and wait. `input` NULL: stdin is the terminal, or nothing in a script. */
static int spawn(struct repl *r, char **words, const struct oak_buf *input)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t usual;
    int ends[2] = {-1, -1};
    pid_t pid = 0;
    if (input != NULL && pipe(ends) != 0) {
        return CLI__EXIT_FAILED;
    }
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (input != NULL) {
        posix_spawn_file_actions_adddup2(&files, ends[0], STDIN_FILENO);
        posix_spawn_file_actions_addclose(&files, ends[0]);
        posix_spawn_file_actions_addclose(&files, ends[1]);
    } else if (!r->interactive) {
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    int error = posix_spawn(&pid, "/proc/self/exe", &files, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (input != NULL) {
        close(ends[0]);
        for (size_t at = 0; error == 0 && at < input->size;) {
            ssize_t done = write(ends[1], input->data + at, input->size - at);
            at = done < 0 ? input->size : at + (size_t)done;
        }
        close(ends[1]);
    }
    if (error != 0) {
        fprintf(stderr, "oakum repl: cannot run it: %s\n", strerror(error));
        return CLI__EXIT_FAILED;
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool is_secret(const char *line)
{
    return strstr(line, "password") != NULL || strstr(line, "passwd") != NULL ||
           strstr(line, "user add") != NULL || strstr(line, "--user") != NULL ||
           strstr(line, "token") != NULL;
}

/* False: it is the end of the shell. */
static bool command_run(struct repl *r, const char *line)
{
    char *words[WORDS_MAX + 1] = {NULL};
    size_t count = 0;
    static char program[] = "oakum";
    words[0] = program;
    for (int i = 0; i < r->base_count; i++) {
        words[1 + i] = r->base[i];
    }
    size_t before = 1 + (size_t)r->base_count;
    int error = oak_args_split(line, &r->arena, words + before, WORDS_MAX - before, &count);
    char *verb = count > 0 ? words[before] : NULL;
    if (error != 0) {
        fprintf(stderr, "oakum repl: %s\n",
                error == OAK_EFORMAT ? "a quote has no end, or an escape is none"
                                     : oak_error_text(error));
        r->code = CLI__EXIT_MISUSED;
        return true;
    }
    if (verb == NULL || verb[0] == '#') {
        return true;
    }
    if (strcmp(verb, "exit") == 0 || strcmp(verb, "quit") == 0) {
        return false;
    }
    /* A command that is no verb takes none of our flags. */
    bool is_verb = oak_ctl_is_verb(verb);
    char **from = is_verb ? words : words + before - 1;
    from[0] = program;
    struct oak_buf input = {0};
    bool txn = strcmp(verb, "txn") == 0;
    if (!txn || txn_next(r, &input)) {
        fflush(stdout);
        r->code = spawn(r, from, txn ? &input : NULL);
    } else {
        fputs("oakum repl: the transaction has no end; nothing was sent\n", stderr);
        r->code = CLI__EXIT_FAILED;
    }
    oak_buf_fini(&input);
    return true;
}

/* -- the shell --------------------------------------------------------------------------------- */

static int loop(struct repl *r)
{
    struct oak_buf line = {0};
    if (r->interactive) {
        if (!cli__edit_begin(r->base_count, r->base)) {
            return CLI__EXIT_FAILED;
        }
        puts("Commands as on the command line, without oakum before them; Tab completes, help "
             "lists them, Ctrl-D ends.");
    }
    bool going = true;
    while (going && command_next(r, &line)) {
        const char *text = (const char *)line.data;
        if (r->interactive && text[0] != '\0' && !is_secret(text)) {
            cli__edit_keep(text);
        }
        going = command_run(r, text);
        oak_arena_reset(&r->arena);
    }
    if (r->interactive) {
        cli__edit_end();
    }
    oak_buf_fini(&line);
    return r->interactive ? CLI__EXIT_OK : r->code;
}

static void nothing(int number)
{
    (void)number;
}

int cli__repl(int argc, char *const *argv)
{
    /* Its flags are those of all verbs, and are read by each of them. */
    const struct oak_args_command command = {
        .name = "repl",
        .summary = "A shell of oakum's commands, with history and completion of verbs, flags and "
                   "keys.",
        .operands = "",
        .common_help = "Flags of all verbs, such as --endpoints and --context, hold for each "
                       "command of the shell:\noakum help options",
        .more = "A line that ends with \\ goes on in the next. txn asks for its three lists. "
                "Without a terminal,\nlines of stdin are run one after the other; the exit code is "
                "that of the last.\n\n"
                "Examples:\n"
                "  oakum repl --endpoints 127.0.0.1:2379\n"
                "  oakum repl < commands.txt\n",
    };
    struct repl r = {.interactive = isatty(STDIN_FILENO) != 0};
    int code;
    if (!oak_ctl_options_parse(&command, argc, argv, &code)) {
        return code;
    }
    if (argc > WORDS_MAX / 2) {
        return oak_args_complain(&command, CLI__EXIT_MISUSED, "more than %d words", WORDS_MAX / 2);
    }
    r.base = argv + 1;
    r.base_count = argc - 1;
    oak_arena_init(&r.arena, 16 * OAK_KIB, 4 * LINE_BYTES_MAX);
    const struct sigaction interrupt = {.sa_handler = nothing}; /* it interrupts a read */
    const struct sigaction pipe = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGPIPE, &pipe, NULL);
    code = loop(&r);
    oak_arena_fini(&r.arena);
    return code;
}
