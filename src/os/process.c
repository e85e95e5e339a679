/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: what the kernel says about this process, and what the service manager wants to hear.
 *
 * Can fail     oak_os_notify. A figure of oak_os_usage that can't be had is 0.
 * Thread       any.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/internal.h"

#define JOURNAL_SOCKET    "/run/systemd/journal/socket"
#define JOURNAL_BYTES_MAX 8192

/* The start of a small file of /proc as text; empty when it can't be read. */
static void proc_read(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t got = read(fd, out, size - 1);
    out[got > 0 ? got : 0] = '\0';
    close(fd);
}

/* The decimal number behind `skip` blanks of `text`, or 0. */
static uint64_t number_at(const char *text, size_t skip)
{
    for (; skip > 0; skip--) {
        text = strchr(text, ' ');
        if (text == NULL) {
            return 0;
        }
        text++;
    }
    return strtoull(text, NULL, 10);
}

static uint64_t open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    uint64_t count = 0;
    for (const struct dirent *at = readdir(dir); at != NULL; at = readdir(dir)) {
        count += at->d_name[0] != '.';
    }
    closedir(dir);
    return count > 0 ? count - 1 : 0; /* but for the one that reads the directory */
}

static uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

/* Field 22 of /proc/self/stat: clock ticks between the start of the machine and ours. */
static uint64_t started_at_ns(void)
{
    char text[1024];
    proc_read("/proc/self/stat", text, sizeof(text));
    const char *behind_name = strrchr(text, ')'); /* the name may hold blanks */
    long per_second = sysconf(_SC_CLK_TCK);
    if (behind_name == NULL || per_second <= 0) {
        return 0;
    }
    uint64_t ticks = number_at(behind_name, 20);
    uint64_t since_boot = ticks * (1000000000u / (uint64_t)per_second);
    struct oak_clock clock = oak_os_clock();
    uint64_t booted = clock.wall_ns(clock.user) - clock.mono_ns(clock.user);
    return ticks == 0 ? 0 : booted + since_boot;
}

void oak_os_usage(struct oak_os_usage *out)
{
    *out = (struct oak_os_usage){0};
    char text[256];
    proc_read("/proc/self/statm", text, sizeof(text));
    long page = sysconf(_SC_PAGESIZE);
    if (page > 0) {
        out->virtual_bytes = number_at(text, 0) * (uint64_t)page;
        out->rss_bytes = number_at(text, 1) * (uint64_t)page;
    }
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        out->cpu_ns = timeval_ns(used.ru_utime) + timeval_ns(used.ru_stime);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        out->open_files_max = files.rlim_cur;
    }
    out->open_files = open_files();
    out->started_at_ns = started_at_ns();
}

uint64_t oak_os_files_raise(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return 0;
    }
    struct rlimit more = {.rlim_cur = files.rlim_max, .rlim_max = files.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &more) == 0 ? more.rlim_cur : files.rlim_cur;
}

int oak_os_memory_lock(void)
{
    struct rlimit locked;
    if (getrlimit(RLIMIT_MEMLOCK, &locked) != 0 || locked.rlim_cur != RLIM_INFINITY) {
        return OAK_ELIMIT;
    }
    return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : oak_os_error(errno);
}

/* One datagram to a socket of this machine: a path, or @ and a name that is in no file system. */
static int datagram_send(const char *path, const char *text, size_t text_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || size >= sizeof(address.sun_path)) {
        return OAK_EINVAL;
    }
    memcpy(address.sun_path, path, size);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return oak_os_error(errno);
    }
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    ssize_t sent =
        sendto(fd, text, text_size, MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
    int error = sent < 0 ? oak_os_error(errno) : 0;
    close(fd);
    return error;
}

int oak_os_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    bool there = path != NULL && path[0] != '\0';
    return there ? datagram_send(path, state, strlen(state)) : 0;
}

int oak_os_journal_send(const char *path, int priority, const char *name, const char *text)
{
    char message[JOURNAL_BYTES_MAX];
    int head = snprintf(message, sizeof(message),
                        "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=", priority, name);
    if (head < 0 || (size_t)head >= sizeof(message)) {
        return OAK_EINVAL;
    }
    size_t size = (size_t)head;
    for (const char *at = text; *at != '\0' && size + 1 < sizeof(message); at++) {
        message[size] = *at == '\n' ? ' ' : *at; /* a new line would begin another field */
        size++;
    }
    message[size] = '\n';
    return datagram_send(path != NULL ? path : JOURNAL_SOCKET, message, size + 1);
}
