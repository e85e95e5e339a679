/* SPDX-License-Identifier: Apache-2.0 */
/* meter.c: memory, and the verdict on it. */
#include <malloc.h>
#include <unistd.h>

#include "tests/soak/soak.h"

struct soak_sample soak_measure(void)
{
    struct oak_os_usage usage;
    struct mallinfo2 info = mallinfo2();
    oak_os_usage(&usage);
    return (struct soak_sample){.used = info.uordblks + info.hblkhd, .rss = usage.rss_bytes};
}

static uint64_t least(const uint64_t *figures, size_t count)
{
    uint64_t found = figures[0];
    for (size_t i = 1; i < count; i++) {
        found = OAK_MIN(found, figures[i]);
    }
    return found;
}

bool soak_flat(const char *what, const uint64_t *figures, size_t count, uint64_t allowed)
{
    OAK_ASSERT(count >= 2);
    uint64_t before = least(figures, count / 2);
    uint64_t after = least(figures + count / 2, count - count / 2);
    bool flat = after <= before + allowed;
    printf("%-14s at least %" PRIu64 ", then %" PRIu64 " bytes; %" PRIu64 " more allowed: %s\n",
           what, before, after, allowed, flat ? "flat" : "IT GROWS");
    return flat;
}
