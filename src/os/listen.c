/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c: accept streams on a TCP address or a unix socket.
 *
 * Happy path   1 parse
 *              2 look the host up (blocking: listening is a matter of start-up)
 *              3 bind the first of its addresses that lets itself be bound
 *              4 each connection becomes a stream Can fail OAK_EINVAL, OAK_EINUSE, OAK_EPERM,
 *                OAK_EUNRESOLVED, OAK_ENOMEM; the errbuf names the address. A connection past
 *                OAK_CONNECTIONS_MAX is accepted and closed: left in the kernel's queue, it would
 *                hang without an answer.
 * Invariants   no host ("" as in ":2379") is every address of the machine, v6 and v4 by one
 *              socket where the kernel has v6. A name goes to v4 first, where clients of a name
 *              look first.
 * Thread       the loop's.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/internal.h"

#define BACKLOG 1024
/* A connection that found no memory is taken up again after this long. */
#define RETRY_NS ((uint64_t)100 * 1000 * 1000)

struct oak_listener {
    struct oak_list link; /* in loop->listeners */
    struct oak_os_loop *loop;
    union os_handle uv;
    void (*accepted)(void *arg, struct oak_stream *s);
    void *arg;
    struct oak_timer retry;
    bool unix_path;
    bool closing;
    bool bound; /* in loop->listeners, known to the caller */
    char name[OS_ADDRESS_BYTES + 8];
};

static void accept_one(struct oak_listener *l)
{
    struct oak_os_loop *loop = l->loop;
    struct os_stream *s = os__stream_new(loop, l->unix_path);
    if (s == NULL) {
        /* libuv holds the connection, and accepts no other, until we take it. */
        loop->port.timers.set(loop, &l->retry,
                              loop->port.clock.mono_ns(loop->port.clock.user) + RETRY_NS);
        return;
    }
    if (uv_accept(&l->uv.stream, &s->uv.stream) != 0 || loop->accepted >= loop->accepted_max) {
        os__stream_close(s, OAK_ELIMIT);
        return;
    }
    s->accepted = true;
    loop->accepted++;
    os__stream_connected(s, l->unix_path ? l->name + strlen("unix:") : NULL);
    l->accepted(l->arg, &s->base);
}

static void connection_cb(uv_stream_t *stream, int status)
{
    struct oak_listener *l = stream->data;
    if (status == 0 && !l->closing) {
        accept_one(l);
    }
}

static void retry_fire(struct oak_timer *timer)
{
    accept_one(OAK_CONTAINER_OF(timer, struct oak_listener, retry));
}

static void closed_cb(uv_handle_t *handle)
{
    struct oak_listener *l = handle->data;
    if (l->bound) {
        oak_list_remove(&l->link);
    }
    free(l);
}

void os__listener_close(void *user, struct oak_listener *l)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(l->loop == loop);
    if (l->closing) {
        return;
    }
    l->closing = true;
    loop->port.timers.stop(loop, &l->retry);
    uv_close(&l->uv.any, closed_cb);
}

void os__listeners_close(struct oak_os_loop *loop)
{
    for (struct oak_list *at = loop->listeners.next; at != &loop->listeners; at = at->next) {
        os__listener_close(loop, OAK_LIST_ENTRY(at, struct oak_listener, link));
    }
}

const char *os__listener_name(void *user, struct oak_listener *l)
{
    (void)user;
    return l->name;
}

static struct oak_listener *listener_new(struct oak_os_loop *loop, bool unix_path)
{
    struct oak_listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return NULL;
    }
    int rc =
        unix_path ? uv_pipe_init(&loop->uv, &l->uv.pipe, 0) : uv_tcp_init(&loop->uv, &l->uv.tcp);
    OAK_ASSERT(rc == 0);
    l->loop = loop;
    l->unix_path = unix_path;
    l->retry.fire = retry_fire;
    l->uv.any.data = l;
    return l;
}

/* A socket file that a dead process left behind is nobody's: remove it. Asked by a datagram socket,
 * which a living listener refuses by its type, and does not see; a dead one by being no socket. */
static bool stale_socket_remove(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool dead =
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return dead && unlink(path) == 0;
}

/* Bind and listen: 0 with a listener, or a code of libuv. */
static int try_unix(struct oak_os_loop *loop, const char *path, struct oak_listener **out)
{
    struct oak_listener *l = listener_new(loop, true);
    if (l == NULL) {
        return UV_ENOMEM;
    }
    bool abstract = path[0] == '@';
    int rc = abstract ? os__abstract_bind(&l->uv.pipe, path) : uv_pipe_bind(&l->uv.pipe, path);
    if (rc == UV_EADDRINUSE && !abstract && stale_socket_remove(path)) {
        rc = uv_pipe_bind(&l->uv.pipe, path);
    }
    if (rc == 0) {
        rc = uv_listen(&l->uv.stream, BACKLOG, connection_cb);
    }
    if (rc != 0) {
        os__listener_close(loop, l);
        return rc;
    }
    snprintf(l->name, sizeof(l->name), "unix:%s", path);
    *out = l;
    return 0;
}

void oak_os_loop_share_ports(struct oak_os_loop *loop)
{
    loop->share_ports = true;
}

/* The handle has no socket before it is bound, when it is too late. */
static int port_share(uv_tcp_t *tcp, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0) {
        return uv_translate_sys_error(errno);
    }
    int rc = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0
                 ? uv_translate_sys_error(errno)
                 : uv_tcp_open(tcp, fd);
    if (rc != 0) {
        close(fd);
    }
    return rc;
}

static int try_ip(struct oak_os_loop *loop, const struct sockaddr *ip, struct oak_listener **out)
{
    struct oak_listener *l = listener_new(loop, false);
    if (l == NULL) {
        return UV_ENOMEM;
    }
    int rc = loop->share_ports ? port_share(&l->uv.tcp, ip->sa_family) : 0;
    if (rc == 0) {
        rc = uv_tcp_bind(&l->uv.tcp, ip, 0); /* sets SO_REUSEADDR */
    }
    if (rc == 0) {
        rc = uv_listen(&l->uv.stream, BACKLOG, connection_cb);
    }
    if (rc != 0) {
        os__listener_close(loop, l);
        return rc;
    }
    struct sockaddr_storage bound = {0};
    int size = sizeof(bound);
    uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&bound, &size);
    os__address_name((struct sockaddr *)&bound, l->name, sizeof(l->name));
    *out = l;
    return 0;
}

static int try_family(struct oak_os_loop *loop, const struct addrinfo *list, int family,
                      struct oak_listener **out)
{
    int rc = UV_EADDRNOTAVAIL;
    for (const struct addrinfo *at = list; at != NULL && rc != 0; at = at->ai_next) {
        if (at->ai_family == family) {
            rc = try_ip(loop, at->ai_addr, out);
        }
    }
    return rc;
}

/* Look the name up, and bind: 0, or a code of ours; `number` then says why in libuv's numbers. */
static int try_name(struct oak_os_loop *loop, const struct os_address *a, int *number,
                    struct oak_listener **out)
{
    uv_getaddrinfo_t request;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int rc = uv_getaddrinfo(&loop->uv, &request, NULL, a->host, a->port, &hints);
    if (rc != 0) {
        *number = rc;
        return oak_os_error(rc);
    }
    rc = try_family(loop, request.addrinfo, AF_INET, out);
    if (rc == UV_EADDRNOTAVAIL) {
        rc = try_family(loop, request.addrinfo, AF_INET6, out);
    }
    uv_freeaddrinfo(request.addrinfo);
    *number = rc;
    return oak_os_error(rc);
}

static int try_any(struct oak_os_loop *loop, const char *port, int *number,
                   struct oak_listener **out)
{
    struct os_address any = {0};
    const char *const texts[] = {"[::]:", "0.0.0.0:"};
    int rc = UV_EADDRNOTAVAIL;
    for (size_t i = 0; i < OAK_COUNT_OF(texts) && rc != 0 && rc != UV_EADDRINUSE; i++) {
        char text[32];
        snprintf(text, sizeof(text), "%s%s", texts[i], port);
        int parsed = os__address_parse(text, &any, NULL);
        OAK_ASSERT(parsed == 0);
        rc = try_ip(loop, (struct sockaddr *)&any.ip, out);
    }
    *number = rc;
    return oak_os_error(rc);
}

static int listen_fail(struct oak_errbuf *e, int error, const char *address, int number)
{
    switch (error) {
    case OAK_EINUSE:
        return oak_fail(e, error, "can't listen on %s: the address is in use by another process",
                        address);
    case OAK_EINVAL:
        return oak_fail(e, error, "can't listen on %s: not an address of this machine", address);
    case OAK_EUNRESOLVED:
        return oak_fail(e, error, "can't listen on %s: the host name can't be resolved", address);
    default:
        return oak_fail(e, error, "can't listen on %s: %s", address, uv_strerror(number));
    }
}

int os__listen(void *user, const char *address, void (*accepted)(void *arg, struct oak_stream *s),
               void *arg, struct oak_listener **out, struct oak_errbuf *e)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(accepted != NULL);
    struct os_address a;
    int error = loop->freeing ? OAK_ECLOSED : os__address_parse(address, &a, e);
    if (error != 0) {
        return error;
    }
    struct oak_listener *l = NULL;
    int number = 0;
    if (a.unix_path) {
        number = try_unix(loop, a.host, &l);
        error = oak_os_error(number);
    } else if (a.literal) {
        number = try_ip(loop, (struct sockaddr *)&a.ip, &l);
        error = oak_os_error(number);
    } else if (a.host[0] == '\0') {
        error = try_any(loop, a.port, &number, &l);
    } else {
        error = try_name(loop, &a, &number, &l);
    }
    if (error != 0) {
        return listen_fail(e, error, address, number);
    }
    l->accepted = accepted;
    l->arg = arg;
    l->bound = true;
    oak_list_push(&loop->listeners, &l->link);
    *out = l;
    return 0;
}
