/* SPDX-License-Identifier: Apache-2.0 */
/* leases.c: did leases of clients live as long as was promised, and end when they had to?
 *
 * All times are those of one true clock. What an answer says was so at some moment between the call
 * and the return; so a contradiction is one only where no such moment would do.
 *
 *   early      a lease was gone at a time up to which an answer had promised that it lives, and
 *              nobody had asked for its end. A promise begins at its call, and is kept by a clock
 *              that may be faster than the true one.
 *   lives on   something says that it lives, and was asked after another answer had told its end
 *   left       an answer speaks of more than the lease was granted, and what a new leader adds; or
 *              of more than one before, while one leader decided; but for leases that somebody
 *              has asked to renew: what is lost on the way is asked again, and may come late
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check/check.h"

#define MILLION 1000000u
/* What clocks of whole nanoseconds, of rates that change, may be off. */
#define ROUNDING_NS 1000
#define NS_A_SECOND 1000000000ull

struct lease_fate *lease_book_find(const struct lease_book *b, int64_t id)
{
    for (size_t i = b->count; i > 0; i--) { /* the newest are asked for most */
        if (b->fates[i - 1].id == id) {
            return &b->fates[i - 1];
        }
    }
    return NULL;
}

static struct lease_fate *fate_of(struct lease_book *b, int64_t id)
{
    struct lease_fate *known = lease_book_find(b, id);
    if (known != NULL) {
        return known;
    }
    if (b->count == b->capacity) {
        b->capacity = OAK_MAX((size_t)32, b->capacity * 2);
        b->fates = realloc(b->fates, b->capacity * sizeof(*b->fates));
        OAK_ASSERT(b->fates != NULL);
    }
    struct lease_fate *f = &b->fates[b->count++];
    *f = (struct lease_fate){.id = id, .ending_ns = UINT64_MAX, .gone_ns = UINT64_MAX};
    return f;
}

void lease_book_fini(struct lease_book *b)
{
    free(b->fates);
    *b = (struct lease_book){0};
}

/* By the true clock, when a clock that is as fast as may be has counted so much. */
static uint64_t at_least(const struct lease_book *b, uint64_t ns)
{
    uint64_t seconds = ns / NS_A_SECOND * NS_A_SECOND;
    uint64_t rest = ns - seconds;
    uint64_t rate = MILLION + b->fast_ppm;
    return seconds / rate * MILLION + seconds % rate * MILLION / rate + rest * MILLION / rate;
}

bool lease_book_alive(struct lease_book *b, int64_t id, const struct lease_span *at,
                      const char *who, char *what, size_t size)
{
    const struct lease_fate *f = fate_of(b, id);
    if (f->gone_ns >= at->call_ns) {
        return true;
    }
    snprintf(what, size,
             "lease %" PRId64 " lives on: %s says so, %" PRIu64 " ms after it was told to be gone",
             id, who, (at->call_ns - f->gone_ns) / 1000000);
    return false;
}

bool lease_book_promised(struct lease_book *b, int64_t id, int64_t ttl_s,
                         const struct lease_span *at, char *what, size_t size)
{
    OAK_ASSERT_GT(ttl_s, 0);
    if (!lease_book_alive(b, id, at, "its keepalive", what, size)) {
        return false;
    }
    struct lease_fate *f = fate_of(b, id);
    uint64_t until =
        at->call_ns + at_least(b, (uint64_t)ttl_s * NS_A_SECOND) - (uint64_t)ROUNDING_NS;
    f->ttl_s = ttl_s;
    f->promised_ns = OAK_MAX(f->promised_ns, until);
    return true;
}

void lease_book_end_asked(struct lease_book *b, int64_t id, uint64_t now_ns)
{
    struct lease_fate *f = fate_of(b, id);
    f->ending_ns = OAK_MIN(f->ending_ns, now_ns);
}

bool lease_book_gone(struct lease_book *b, int64_t id, uint64_t ret_ns, const char *who, char *what,
                     size_t size)
{
    struct lease_fate *f = fate_of(b, id);
    f->gone_ns = OAK_MIN(f->gone_ns, ret_ns);
    if (f->promised_ns <= ret_ns || f->ending_ns <= ret_ns) {
        return true;
    }
    snprintf(what, size, "lease %" PRId64 " ends %" PRIu64 " ms early: %s says so", id,
             (f->promised_ns - ret_ns) / 1000000, who);
    return false;
}

void lease_book_renewing(struct lease_book *b, int64_t id)
{
    fate_of(b, id)->renewed = true;
}

bool lease_book_left(struct lease_book *b, int64_t id, int64_t left_ns, uint64_t era, char *what,
                     size_t size)
{
    struct lease_fate *f = fate_of(b, id);
    int64_t most = f->ttl_s * (int64_t)NS_A_SECOND + (int64_t)b->slack_ns;
    if (f->ttl_s > 0 && left_ns > most) {
        snprintf(what, size,
                 "lease %" PRId64 " has %" PRId64 " ms left of the %" PRId64
                 " s that it was granted",
                 id, left_ns / 1000000, f->ttl_s);
        return false;
    }
    if (!f->renewed && era != 0 && era == f->left_era && left_ns > f->left_ns) {
        snprintf(what, size,
                 "lease %" PRId64 " has %" PRId64 " ms left, and had %" PRId64
                 " before, with the same leader, and was not renewed",
                 id, left_ns / 1000000, f->left_ns / 1000000);
        return false;
    }
    f->left_era = era;
    f->left_ns = left_ns;
    return true;
}
