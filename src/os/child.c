/* SPDX-License-Identifier: Apache-2.0 */
/* child.c: start programs, and hear of their end.
 *
 * Happy path   1 open the output
 *              2 spawn
 *              3 the child ends
 *              4 `exited`, from the loop
 *              5 gone
 * Can fail     the spawn: OAK_ENOENT, OAK_EPERM, OAK_ENOMEM; the errbuf names program or file.
 * Invariants   a child gets no descriptor of ours but what it is given: ours are close-on-exec.
 * Thread       the loop's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/internal.h"

struct oak_os_child {
    struct oak_list link; /* in loop->children */
    uv_process_t process;
    void (*exited)(void *user, int64_t code, int signal);
    void *user;
    int64_t code;
    int signal;
    bool ended;
    bool left; /* the loop is freed before the child's end: nobody is told */
};

static void closed_cb(uv_handle_t *handle)
{
    struct oak_os_child *child = handle->data;
    oak_list_remove(&child->link);
    if (!child->left) {
        child->exited(child->user, child->code, child->signal);
    }
    free(child);
}

static void exit_cb(uv_process_t *process, int64_t code, int signal)
{
    struct oak_os_child *child = process->data;
    child->ended = true;
    child->code = code;
    child->signal = signal;
    uv_close((uv_handle_t *)process, closed_cb);
}

/* The spawn failed; libuv still wants the handle closed. */
static void failed_cb(uv_handle_t *handle)
{
    free(handle->data);
}

static int spawn_fail(struct oak_errbuf *e, const char *what, int number)
{
    char text[128];
    return oak_fail(e, oak_os_error(number), "%s: %s", what,
                    oak_os_errno_text(number, text, sizeof(text)));
}

static int spawn(struct oak_os_loop *loop, const struct oak_os_child_options *o, int output,
                 struct oak_os_child *child)
{
    uv_stdio_container_t stdio[3] = {
        {.flags = o->input ? UV_INHERIT_FD : UV_IGNORE, .data.fd = STDIN_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = o->as_ours ? STDOUT_FILENO : output},
        {.flags = UV_INHERIT_FD, .data.fd = o->as_ours ? STDERR_FILENO : output},
    };
    uv_process_options_t options = {
        .exit_cb = exit_cb,
        .file = o->argv[0],
        .args = (char **)(uintptr_t)o->argv, /* read only: execvp's old signature */
        .env = (char **)(uintptr_t)o->env,
        .cwd = o->directory,
        .stdio_count = (int)OAK_COUNT_OF(stdio),
        .stdio = stdio,
    };
    return uv_spawn(&loop->uv, &child->process, &options);
}

int oak_os_child_spawn(struct oak_os_loop *loop, const struct oak_os_child_options *options,
                       struct oak_os_child **out, struct oak_errbuf *e)
{
    OAK_ASSERT(options->exited != NULL);
    OAK_ASSERT(options->argv[0] != NULL);
    const char *path = options->output == NULL ? "/dev/null" : options->output;
    int output = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (output < 0) {
        return spawn_fail(e, path, errno);
    }
    struct oak_os_child *child = calloc(1, sizeof(*child));
    if (child == NULL) {
        close(output);
        return spawn_fail(e, options->argv[0], ENOMEM);
    }
    child->process.data = child;
    child->exited = options->exited;
    child->user = options->user;
    int rc = spawn(loop, options, output, child);
    close(output);
    if (rc != 0) {
        uv_close((uv_handle_t *)&child->process, failed_cb);
        return spawn_fail(e, options->argv[0], rc);
    }
    oak_list_push(&loop->children, &child->link);
    *out = child;
    return 0;
}

int oak_os_child_kill(struct oak_os_child *child, int signal)
{
    if (child->ended) {
        return OAK_ENOENT;
    }
    int rc = uv_process_kill(&child->process, signal);
    return rc == UV_ESRCH ? OAK_ENOENT : oak_os_error(rc);
}

int oak_os_child_pid(const struct oak_os_child *child)
{
    return child->process.pid;
}

void os__children_leave(struct oak_os_loop *loop)
{
    for (struct oak_list *at = loop->children.next; at != &loop->children; at = at->next) {
        struct oak_os_child *child = OAK_LIST_ENTRY(at, struct oak_os_child, link);
        child->left = true;
        if (!child->ended) {
            child->ended = true;
            uv_close((uv_handle_t *)&child->process, closed_cb);
        }
    }
}
