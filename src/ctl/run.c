/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: commands of the user's, that a watch or a lock runs.
 *
 * Happy path   1 our environment, and what the command is told in it 2 it runs while the loop turns
 *              3 its end is heard
 * Can fail     it can't be run, or ends badly: told, in the words of etcdctl.
 */
#include "ctl/internal.h"

#include <stdlib.h>
#include <unistd.h>

static void run_error(const char *const *argv, const char *text)
{
    fflush(stdout);
    fputs("command [", stderr);
    for (size_t i = 0; argv[i] != NULL; i++) {
        fputs(i > 0 ? " " : "", stderr);
        ctl__quoted_write(stderr, oak_bytes_str(argv[i]));
    }
    fprintf(stderr, "] error (%s)\n", text);
}

/* Is this "NAME=value" said by one of `more`? */
static bool is_said(const char *text, const char *const *more, size_t count)
{
    size_t size = strcspn(text, "=") + 1;
    bool said = false;
    for (size_t i = 0; i < count; i++) {
        said = said || strncmp(text, more[i], size) == 0;
    }
    return said;
}

static const char **environment(const char *const *more, size_t count)
{
    size_t ours = 0;
    while (environ[ours] != NULL) {
        ours++;
    }
    const char **out = calloc(ours + count + 1, sizeof(*out));
    size_t size = 0;
    for (size_t i = 0; i < ours && out != NULL; i++) {
        if (!is_said(environ[i], more, count)) {
            out[size++] = environ[i];
        }
    }
    for (size_t i = 0; i < count && out != NULL; i++) {
        out[size++] = more[i];
    }
    return out;
}

bool ctl__run(struct ctl *c, const char *const *argv, const char *const *more, size_t count,
              bool input, void (*exited)(void *user, int64_t code, int signal), void *user,
              struct oak_os_child **out)
{
    const char **env = environment(more, count);
    const struct oak_os_child_options options = {
        .argv = argv,
        .env = env,
        .as_ours = true,
        .input = input,
        .exited = exited,
        .user = user,
    };
    struct oak_errbuf e = {0};
    fflush(stdout);
    int error = env == NULL ? OAK_ENOMEM : oak_os_child_spawn(c->os, &options, out, &e);
    free(env);
    if (error != 0) {
        run_error(argv, e.text[0] != '\0' ? e.text : oak_error_text(error));
    }
    return error == 0;
}

bool ctl__run_well(const char *const *argv, int64_t code, int signal)
{
    char text[64];
    if (signal != 0) {
        snprintf(text, sizeof(text), "signal: %s", strsignal(signal));
        text[8] |= 0x20; /* as Go has it, in small letters */
    } else {
        snprintf(text, sizeof(text), "exit status %" PRId64, code);
    }
    if (signal != 0 || code != 0) {
        run_error(argv, text);
    }
    return signal == 0 && code == 0;
}
