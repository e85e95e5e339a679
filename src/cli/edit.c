/* SPDX-License-Identifier: Apache-2.0 */
/* edit.c: lines of a terminal, by libedit: editing, history, completion.
 *
 * The history is $OAKUM_HISTORY, or the file history in the folder oakum of $XDG_STATE_HOME, or of
 * ~/.local/state; an empty $OAKUM_HISTORY keeps none. Words are completed by this program itself:
 * `oakum __complete WORD ...`, as in other shells.
 *
 * Thread: the main one; libedit calls back without a place for ours, so it is static.
 */
#include "cli/internal.h"
#include "cli/repl.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HISTORY_MAX      1000
#define WORDS_MAX        256
#define CANDIDATES_MAX   512
#define CANDIDATES_BYTES ((size_t)64 * OAK_KIB)

extern char **environ;

static struct {
    EditLine *line;
    History *history;
    const char *prompt;
    bool cancelled;  /* by Ctrl-C */
    char path[4096]; /* of the history; "" for none */
    int flag_count;
    char *const *flags;
    char text[CANDIDATES_BYTES]; /* what the last word could become, lines */
    char *words[CANDIDATES_MAX];
    size_t word_count;
} edit;

/* -- history ----------------------------------------------------------------------------------- */

static void path_find(void)
{
    const char *named = getenv("OAKUM_HISTORY");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    edit.path[0] = '\0';
    if (named != NULL) {
        snprintf(edit.path, sizeof(edit.path), "%s", named);
    } else if (state != NULL && state[0] == '/') {
        snprintf(edit.path, sizeof(edit.path), "%s/oakum/history", state);
    } else if (home != NULL && home[0] == '/') {
        snprintf(edit.path, sizeof(edit.path), "%s/.local/state/oakum/history", home);
    }
}

/* Its folder, if it can be made: a history that can't be kept is none. */
static void folder_make(void)
{
    for (char *at = edit.path; (at = strchr(at + 1, '/')) != NULL;) {
        *at = '\0';
        int made = mkdir(edit.path, 0700);
        *at = '/';
        if (made != 0 && errno != EEXIST) {
            return;
        }
    }
}

void cli__edit_keep(const char *line)
{
    HistEvent event;
    if (edit.history != NULL) {
        history(edit.history, &event, H_ENTER, line);
    }
}

static void history_read(void)
{
    HistEvent event;
    path_find();
    edit.history = history_init();
    if (edit.history == NULL) {
        return;
    }
    history(edit.history, &event, H_SETSIZE, HISTORY_MAX);
    history(edit.history, &event, H_SETUNIQUE, 1);
    if (edit.path[0] != '\0') {
        history(edit.history, &event, H_LOAD, edit.path);
    }
}

static void history_write(void)
{
    HistEvent event;
    if (edit.history != NULL && edit.path[0] != '\0') {
        mode_t before = umask(077);
        folder_make();
        history(edit.history, &event, H_SAVE, edit.path);
        umask(before);
    }
}

/* -- completion -------------------------------------------------------------------------------- */

/* All that `words` prints goes to edit.text. */
static void candidates_read(char **words)
{
    posix_spawn_file_actions_t files;
    int ends[2];
    pid_t pid = 0;
    size_t size = 0;
    if (pipe(ends) != 0) {
        return;
    }
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclose(&files, ends[0]);
    posix_spawn_file_actions_addclose(&files, ends[1]);
    int error = posix_spawn(&pid, "/proc/self/exe", &files, NULL, words, environ);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    ssize_t got = 1;
    while (error == 0 && got > 0 && size + 1 < sizeof(edit.text)) {
        got = read(ends[0], edit.text + size, sizeof(edit.text) - 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    edit.text[size] = '\0';
    close(ends[0]);
    while (error == 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* Those of its lines that begin with `prefix`, up to their tab. */
static void candidates_take(const char *prefix)
{
    edit.word_count = 0;
    for (char *at = edit.text; *at != '\0' && edit.word_count < CANDIDATES_MAX;) {
        char *end = at + strcspn(at, "\n");
        bool last = *end == '\0';
        *end = '\0';
        at[strcspn(at, "\t")] = '\0';
        if (strncmp(at, prefix, strlen(prefix)) == 0) {
            edit.words[edit.word_count++] = at;
        }
        at = last ? end : end + 1;
    }
}

/* How many bytes all of them have in common. */
static size_t common_size(void)
{
    size_t size = strlen(edit.words[0]);
    for (size_t i = 1; i < edit.word_count; i++) {
        size_t same = 0;
        while (same < size && edit.words[i][same] == edit.words[0][same]) {
            same++;
        }
        size = same;
    }
    return size;
}

/* Ask what the last word of `line` could become. OAK_E codes of words that are none. */
static int candidates_ask(char *line, struct oak_arena *arena, char **current)
{
    char *words[WORDS_MAX + 4] = {NULL};
    static char program[] = "oakum";
    static char verb[] = "__complete";
    static char empty[] = "";
    size_t line_count = 0;
    size_t count = 0;
    size_t size = strlen(line);
    words[count++] = program;
    words[count++] = verb;
    for (int i = 0; i < edit.flag_count; i++) {
        words[count++] = edit.flags[i];
    }
    int error = oak_args_split(line, arena, words + count, WORDS_MAX - count, &line_count);
    if (error != 0) {
        return error;
    }
    bool begins = size == 0 || line[size - 1] == ' ';
    if (begins) {
        words[count + line_count++] = empty;
    }
    *current = words[count + line_count - 1];
    words[count + line_count] = NULL;
    candidates_read(words);
    candidates_take(*current);
    return 0;
}

/* Several: show them, in columns of one width. */
static void candidates_show(void)
{
    size_t width = 2;
    for (size_t i = 0; i < edit.word_count; i++) {
        width = OAK_MAX(width, strlen(edit.words[i]) + 2);
    }
    size_t columns = OAK_MAX(80 / width, (size_t)1);
    for (size_t i = 0; i < edit.word_count; i++) {
        printf("%s%-*s", i % columns == 0 ? "\n" : "", (int)width, edit.words[i]);
    }
    fputc('\n', stdout);
    fflush(stdout);
}

/* Tab. */
static unsigned char complete(EditLine *line, int key)
{
    struct oak_arena arena;
    const LineInfo *info = el_line(line);
    size_t size = (size_t)(info->cursor - info->buffer);
    unsigned char what = CC_ERROR; /* a beep */
    (void)key;
    oak_arena_init(&arena, 16 * OAK_KIB, OAK_MIB);
    char *text = oak_arena_alloc(&arena, size + 2);
    char *current = NULL;
    if (text != NULL) {
        memcpy(text, info->buffer, size);
        text[size] = '\0';
    }
    if (text != NULL && candidates_ask(text, &arena, &current) == 0 && edit.word_count > 0) {
        size_t had = strlen(current);
        size_t common = common_size();
        char added[4096];
        bool one = edit.word_count == 1;
        snprintf(added, sizeof(added), "%.*s%s", (int)(common - had), edit.words[0] + had,
                 one ? " " : "");
        what = CC_REFRESH;
        if (added[0] != '\0') {
            el_insertstr(line, added);
        } else {
            candidates_show();
            what = CC_REDISPLAY;
        }
    }
    oak_arena_fini(&arena);
    return what;
}

/* -- lines ------------------------------------------------------------------------------------- */

/* Ctrl-C, which is no signal while a line is edited. */
static unsigned char cancel(EditLine *line, int key)
{
    (void)line;
    (void)key;
    edit.cancelled = true;
    return CC_NEWLINE;
}

static char *prompt(EditLine *line)
{
    (void)line;
    return (char *)(uintptr_t)edit.prompt; /* libedit has no const, and does not write */
}

bool cli__edit_begin(int flag_count, char *const *flags)
{
    edit.flag_count = flag_count;
    edit.flags = flags;
    edit.prompt = "";
    edit.line = el_init("oakum", stdin, stdout, stderr);
    if (edit.line == NULL) {
        return false;
    }
    history_read();
    el_set(edit.line, EL_PROMPT, prompt);
    el_set(edit.line, EL_EDITOR, "emacs");
    el_set(edit.line, EL_SIGNAL, 1); /* the window's size */
    el_set(edit.line, EL_SETTY, "-d", "-isig", NULL);
    if (edit.history != NULL) {
        el_set(edit.line, EL_HIST, history, edit.history);
    }
    /* By the wide door: the other one keeps copies of these texts, and frees them never. */
    el_wset(edit.line, EL_ADDFN, L"oakum-complete", L"complete a word", complete);
    el_wset(edit.line, EL_ADDFN, L"oakum-cancel", L"drop the line", cancel);
    el_set(edit.line, EL_BIND, "^I", "oakum-complete", NULL);
    el_set(edit.line, EL_BIND, "^C", "oakum-cancel", NULL);
    el_set(edit.line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(edit.line, NULL); /* ~/.editrc */
    return true;
}

char *cli__edit_line(const char *text)
{
    int count = 0;
    edit.prompt = text;
    edit.cancelled = false;
    const char *line = el_gets(edit.line, &count);
    if (edit.cancelled) {
        puts("^C");
        return strdup("");
    }
    if (line == NULL || count <= 0) {
        fputc('\n', stdout);
        return NULL;
    }
    return strndup(line, strcspn(line, "\r\n"));
}

void cli__edit_end(void)
{
    history_write();
    if (edit.history != NULL) {
        history_end(edit.history);
    }
    el_end(edit.line);
}
