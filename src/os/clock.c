/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: time and chance.
 *
 * The monotonic clock is CLOCK_BOOTTIME: it goes on while the machine is suspended, so that a lease
 * or a leader's right to read can't outlive a closed lid. Neither clock is cached: both are read
 * through the vDSO, without entering the kernel.
 *
 * Can fail     nothing: a kernel without these clocks or without getrandom is refused by
 *              assertion.
 * Thread       any.
 */
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "os/internal.h"

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    int rc = clock_gettime(id, &t);
    OAK_ASSERT(rc == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mono_ns(void *user)
{
    (void)user;
    return clock_ns(CLOCK_BOOTTIME);
}

static uint64_t wall_ns(void *user)
{
    (void)user;
    return clock_ns(CLOCK_REALTIME);
}

static void entropy_fill(void *user, void *out, size_t size)
{
    (void)user;
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            OAK_ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        size -= (size_t)got;
    }
}

struct oak_clock oak_os_clock(void)
{
    return (struct oak_clock){.mono_ns = mono_ns, .wall_ns = wall_ns};
}

struct oak_entropy oak_os_entropy(void)
{
    return (struct oak_entropy){.fill = entropy_fill};
}
