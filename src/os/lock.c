/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c: one process for one data directory.
 *
 * Happy path   1 open or create LOCK
 *              2 flock it
 *              3 write our process id into it, for the message that the next comer gets
 * Can fail     OAK_EINUSE and what opening a file can.
 * Invariants   the lock is the kernel's, on the open file: a LOCK file left by a dead process
 *              locks nothing. The file is never removed: a third process could lock the removed
 *              one.
 * Thread       any.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "os/internal.h"

struct oak_os_lock {
    int fd;
};

static int lock_in_use(int fd, const char *path, struct oak_errbuf *e)
{
    char text[32] = "";
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    size_t digits = got > 0 ? strspn(text, "0123456789") : 0;
    if (digits == 0) {
        return oak_fail(e, OAK_EINUSE, "%s is in use by another process", path);
    }
    text[digits] = '\0';
    return oak_fail(e, OAK_EINUSE,
                    "%s is in use by process %s; stop it, or choose another data directory", path,
                    text);
}

static int lock_fail(const char *path, int number, struct oak_errbuf *e)
{
    char text[128];
    return oak_fail(e, oak_os_error(number), "can't lock %s: %s", path,
                    oak_os_errno_text(number, text, sizeof(text)));
}

/* A descriptor of the locked file in *fd, or an error. */
static int lock_take(const char *path, int *fd, struct oak_errbuf *e)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return lock_fail(path, errno, e);
    }
    *fd = openat(dir, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int number = errno;
    close(dir);
    if (*fd < 0) {
        return lock_fail(path, number, e);
    }
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        number = errno;
        int error = number == EWOULDBLOCK ? lock_in_use(*fd, path, e) : lock_fail(path, number, e);
        close(*fd);
        return error;
    }
    return 0;
}

int oak_os_lock_dir(const char *path, struct oak_os_lock **out, struct oak_errbuf *e)
{
    struct oak_os_lock *lock = malloc(sizeof(*lock));
    if (lock == NULL) {
        return oak_fail(e, OAK_ENOMEM, "can't lock %s: out of memory", path);
    }
    int error = lock_take(path, &lock->fd, e);
    if (error != 0) {
        free(lock);
        return error;
    }
    char text[32];
    int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    /* Only a courtesy to the next comer: without it the message names no process. */
    bool told = ftruncate(lock->fd, 0) == 0 && pwrite(lock->fd, text, (size_t)size, 0) == size;
    OAK_MAYBE(told);
    *out = lock;
    return 0;
}

void oak_os_unlock_dir(struct oak_os_lock *lock)
{
    if (lock != NULL) {
        close(lock->fd);
        free(lock);
    }
}
