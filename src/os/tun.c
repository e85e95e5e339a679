/* SPDX-License-Identifier: Apache-2.0 */
/* tun.c: network namespaces, and interfaces in them whose packets this process carries.
 *
 * Happy path   1 a namespace: empty but for its loopback
 *              2 an interface in it, with an address
 *              3 what the namespace sends comes as packets of IP; what is sent to the interface
 *                comes to the namespace
 * Can fail     without CAP_NET_ADMIN and CAP_SYS_ADMIN, or where the kernel has no /dev/net/tun:
 *              OAK_EPERM, OAK_ENOENT. A packet for which the kernel has no room is dropped, as on
 *              any wire.
 * Invariants   nothing of it has a name outside: a namespace lives as long as a descriptor or a
 *              process in it, and its interfaces with it. The end of this process, however it
 *              comes, leaves nothing to clean up.
 * Thread       the loop's; a namespace is entered by the calling thread alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
/* the C library's <net/if.h> and the kernel's headers want this order */
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_tun.h>

#include "os/internal.h"

/* Packets taken at one time before others of the loop have their turn. */
#define TURN_PACKETS 64

struct oak_os_space {
    int fd;
};

struct oak_os_tun {
    uv_poll_t poll;
    int fd;
    void (*packet)(void *user, struct oak_bytes packet);
    void *user;
    uint8_t buffer[OAK_OS_PACKET_BYTES_MAX];
};

static int call_fail(struct oak_errbuf *e, const char *what)
{
    char text[128];
    int number = errno;
    return oak_fail(e, oak_os_error(number), "%s: %s", what,
                    oak_os_errno_text(number, text, sizeof(text)));
}

/* -- namespaces -------------------------------------------------------------------------------- */

int oak_os_space_here(struct oak_os_space **out, struct oak_errbuf *e)
{
    struct oak_os_space *space = malloc(sizeof(*space));
    if (space == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory for a network namespace");
    }
    space->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (space->fd < 0) {
        int error = call_fail(e, "/proc/thread-self/ns/net");
        free(space);
        return error;
    }
    *out = space;
    return 0;
}

int oak_os_space_enter(const struct oak_os_space *space, struct oak_errbuf *e)
{
    return setns(space->fd, CLONE_NEWNET) == 0 ? 0 : call_fail(e, "entering a network namespace");
}

/* Bring an interface up. */
static int interface_up(int fd, const char *name, struct oak_errbuf *e)
{
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    memcpy(request.ifr_name, name, strlen(name) + 1);
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : call_fail(e, "bringing an interface up");
}

static int loopback_up(struct oak_errbuf *e)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? call_fail(e, "a socket") : interface_up(fd, "lo", e);
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

int oak_os_space_new(struct oak_os_space **out, struct oak_errbuf *e)
{
    struct oak_os_space *before = NULL;
    int error = oak_os_space_here(&before, e);
    if (error != 0) {
        return error;
    }
    if (unshare(CLONE_NEWNET) != 0) {
        error = call_fail(e, "a network namespace can't be made");
        oak_os_space_free(before);
        return error;
    }
    error = loopback_up(e);
    error = error != 0 ? error : oak_os_space_here(out, e);
    struct oak_errbuf ignored;
    int back = oak_os_space_enter(before, &ignored);
    OAK_ASSERT(back == 0); /* we were there a moment ago */
    oak_os_space_free(before);
    return error;
}

void oak_os_space_free(struct oak_os_space *space)
{
    if (space != NULL) {
        close(space->fd);
        free(space);
    }
}

/* -- interfaces -------------------------------------------------------------------------------- */

static int address_set(int fd, const char *name, const char *address, struct oak_errbuf *e)
{
    struct ifreq request = {.ifr_flags = 0};
    struct sockaddr_in ip = {.sin_family = AF_INET};
    memcpy(request.ifr_name, name, strlen(name) + 1);
    if (inet_pton(AF_INET, address, &ip.sin_addr) != 1) {
        return oak_fail(e, OAK_EINVAL, "\"%s\" is no address", address);
    }
    memcpy(&request.ifr_addr, &ip, sizeof(ip));
    if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
        return call_fail(e, "giving an interface its address");
    }
    ip.sin_addr.s_addr = htonl(0xffffff00u);
    memcpy(&request.ifr_netmask, &ip, sizeof(ip));
    return ioctl(fd, SIOCSIFNETMASK, &request) == 0
               ? 0
               : call_fail(e, "giving an interface its network");
}

static int interface_make(int tun, const char *address, struct oak_errbuf *e)
{
    static const char name[] = "oak0"; /* in a namespace of its own */
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    memcpy(request.ifr_name, name, sizeof(name));
    if (ioctl(tun, TUNSETIFF, &request) != 0) {
        return call_fail(e, "making an interface");
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return call_fail(e, "a socket");
    }
    int error = address_set(fd, name, address, e);
    error = error != 0 ? error : interface_up(fd, name, e);
    close(fd);
    return error;
}

static void readable(uv_poll_t *poll, int status, int events)
{
    struct oak_os_tun *tun = poll->data;
    (void)events;
    for (int i = 0; status == 0 && i < TURN_PACKETS && !uv_is_closing((uv_handle_t *)poll); i++) {
        ssize_t got = read(tun->fd, tun->buffer, sizeof(tun->buffer));
        if (got <= 0) {
            return;
        }
        tun->packet(tun->user, oak_bytes(tun->buffer, (size_t)got));
    }
}

static void closed(uv_handle_t *handle)
{
    struct oak_os_tun *tun = handle->data;
    close(tun->fd);
    free(tun);
}

int oak_os_tun_open(struct oak_os_loop *loop, const char *address,
                    void (*packet)(void *user, struct oak_bytes packet), void *user,
                    struct oak_os_tun **out, struct oak_errbuf *e)
{
    struct oak_os_tun *tun = calloc(1, sizeof(*tun));
    if (tun == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory for an interface");
    }
    tun->packet = packet;
    tun->user = user;
    tun->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tun->fd < 0) {
        int error = call_fail(e, "/dev/net/tun");
        free(tun);
        return error;
    }
    int error = interface_make(tun->fd, address, e);
    if (error == 0 && uv_poll_init(&loop->uv, &tun->poll, tun->fd) != 0) {
        error = oak_fail(e, OAK_EIO, "an interface can't be watched");
    }
    if (error != 0) {
        close(tun->fd);
        free(tun);
        return error;
    }
    tun->poll.data = tun;
    int rc = uv_poll_start(&tun->poll, UV_READABLE, readable);
    OAK_ASSERT(rc == 0);
    *out = tun;
    return 0;
}

bool oak_os_tun_send(struct oak_os_tun *tun, struct oak_bytes packet)
{
    return write(tun->fd, packet.data, packet.size) == (ssize_t)packet.size;
}

void oak_os_tun_close(struct oak_os_tun *tun)
{
    if (tun != NULL) {
        uv_close((uv_handle_t *)&tun->poll, closed);
    }
}
