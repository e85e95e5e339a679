/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h: how often something may be said that others can make happen as often as they like: so
 * many lines in a while, and then the number of those that were not said.
 *
 * Threads: its owner's.
 */
#ifndef OAK_SERVER_TALLY_H
#define OAK_SERVER_TALLY_H

#include "base/base.h"

#define TALLY_LINES_MAX 10
#define TALLY_WINDOW_NS (10 * 1000000000ull)

/* Zeroed is a valid one. */
struct tally {
    uint64_t since_ns;
    uint32_t told;
    uint32_t untold;
};

/* May it be said now? *missed is what was not said in the while before, once. */
static inline bool tally_tell(struct tally *t, uint64_t now_ns, uint32_t *missed)
{
    *missed = 0;
    if (t->since_ns == 0 || now_ns - t->since_ns >= TALLY_WINDOW_NS) {
        *missed = t->untold;
        *t = (struct tally){.since_ns = now_ns};
    }
    if (t->told == TALLY_LINES_MAX) {
        t->untold++;
        return false;
    }
    t->told++;
    return true;
}

#endif
