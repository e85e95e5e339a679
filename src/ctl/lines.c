/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c: lines of stdin, for a verb that does something else meanwhile.
 *
 * Happy path   1 a thread waits for stdin, and reads a piece 2 the loop cuts it into lines, tells
 *              them, and lets the thread wait for more
 * Can fail     no memory, no thread: told by ctl__lines_new, or the end comes early.
 * Invariants   the thread has the piece from the post to it until the post from it, else the loop.
 * Thread       two; see above.
 */
#include "ctl/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)64 * OAK_KIB)

struct ctl__lines {
    struct ctl *c;
    void (*line)(void *user, const char *text);
    void *user;
    struct oak_os_actor *actor;
    struct oak_task read; /* to the actor */
    struct oak_task told; /* to the loop */
    int wake[2];          /* written to when we no longer want to wait */
    struct oak_buf text;  /* what is no whole line yet */
    char *piece;
    ssize_t size; /* of it; 0: the end */
    bool leaving;
};

static void piece_read(struct oak_task *task)
{
    struct ctl__lines *l = OAK_CONTAINER_OF(task, struct ctl__lines, read);
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = l->wake[0], .events = POLLIN}};
    do {
        l->size = -1;
        if (poll(fds, OAK_COUNT_OF(fds), -1) > 0) {
            l->size = fds[1].revents != 0 ? 0 : read(STDIN_FILENO, l->piece, PIECE_BYTES);
        }
    } while (l->size < 0 && (errno == EINTR || errno == EAGAIN));
    const struct oak_loop *loop = oak_os_loop_port(l->c->os);
    loop->exec.post(loop->exec.user, &l->told);
}

static void lines_tell(struct ctl__lines *l)
{
    size_t begin = 0;
    for (size_t i = 0; i < l->text.size; i++) {
        if (l->text.data[i] == '\n') {
            l->text.data[i] = '\0';
            l->line(l->user, (const char *)l->text.data + begin);
            begin = i + 1;
        }
    }
    memmove(l->text.data, l->text.data + begin, l->text.size - begin);
    l->text.size -= begin;
}

static void piece_told(struct oak_task *task)
{
    struct ctl__lines *l = OAK_CONTAINER_OF(task, struct ctl__lines, told);
    if (l->leaving) {
        return;
    }
    if (l->size <= 0 || l->text.size > CTL__INPUT_BYTES_MAX ||
        oak_buf_append(&l->text, l->piece, (size_t)l->size) != 0) {
        l->line(l->user, NULL);
        return;
    }
    lines_tell(l);
    struct oak_exec exec = oak_os_actor_exec(l->actor);
    exec.post(exec.user, &l->read);
}

bool ctl__lines_new(struct ctl *c, void (*line)(void *user, const char *text), void *user,
                    struct ctl__lines **out, int *code)
{
    struct ctl__lines *l = calloc(1, sizeof(*l));
    char *piece = malloc(PIECE_BYTES);
    if (l == NULL || piece == NULL || pipe(l->wake) != 0) {
        free(piece);
        free(l);
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        return false;
    }
    l->c = c;
    l->line = line;
    l->user = user;
    l->piece = piece;
    l->read.run = piece_read;
    l->told.run = piece_told;
    if (oak_os_actor_new("stdin", &l->actor) != 0) {
        ctl__lines_free(l);
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        return false;
    }
    struct oak_exec exec = oak_os_actor_exec(l->actor);
    exec.post(exec.user, &l->read);
    *out = l;
    return true;
}

void ctl__lines_free(struct ctl__lines *l)
{
    if (l == NULL) {
        return;
    }
    l->leaving = true;
    close(l->wake[1]); /* that wakes it */
    oak_os_actor_close(l->actor);
    /* What it has posted is run before it goes. */
    oak_os_loop_stop(l->c->os);
    oak_os_loop_run(l->c->os);
    close(l->wake[0]);
    oak_buf_fini(&l->text);
    free(l->piece);
    free(l);
}
