/* SPDX-License-Identifier: Apache-2.0 */
/* abstract.c: unix sockets whose names are no files, "unix:@name", as Linux has them. libuv's pipes
 * know paths alone: the socket is made here, and then is libuv's.
 *
 * Can fail     as a code of libuv; the socket is closed then.
 * Thread       the loop's.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/internal.h"

static socklen_t address_fill(const char *name, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t size = strlen(name); /* with the @, which stands for the NUL of such names */
    OAK_ASSERT(name[0] == '@' && size <= sizeof(out->sun_path));
    memcpy(out->sun_path, name, size);
    out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

static int open_as(uv_pipe_t *pipe, const char *name,
                   int (*what)(int fd, const struct sockaddr *address, socklen_t size))
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    struct sockaddr_un address;
    socklen_t size = address_fill(name, &address);
    int rc = what(fd, (const struct sockaddr *)&address, size) == 0 ? 0 : -errno;
    if (rc == 0) {
        rc = uv_pipe_open(pipe, fd);
    }
    if (rc != 0) {
        close(fd);
    }
    return rc == UV_EAGAIN ? UV_ECONNREFUSED : rc; /* its queue is full */
}

static int connect_fd(int fd, const struct sockaddr *address, socklen_t size)
{
    return connect(fd, address, size);
}

static int bind_fd(int fd, const struct sockaddr *address, socklen_t size)
{
    return bind(fd, address, size);
}

int os__abstract_connect(uv_pipe_t *pipe, const char *name)
{
    return open_as(pipe, name, connect_fd);
}

int os__abstract_bind(uv_pipe_t *pipe, const char *name)
{
    return open_as(pipe, name, bind_fd);
}
