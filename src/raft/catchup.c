/* SPDX-License-Identifier: Apache-2.0 */
/* catchup.c: has a learner caught up, so that it may get a vote (dissertation 4.2.1)?
 *
 * Replication to a learner is looked at in rounds. A round brings it all that is in the log when
 * the round begins; what arrives meanwhile is the next round's. Each is shorter than the one
 * before, as long as the learner is faster than the clients. When a round took less than an
 * election time-out, the rest is no more than that either: with this voter the group waits no
 * longer than for an election. A learner that has all there is is in no round, and needs none: it
 * may have come long after it was added, to a group in which nothing happens. One that lags again,
 * or is silent, is not ready, whatever it once was.
 *
 * Can fail     nothing.
 * Thread       the core's.
 */
#include "raft/internal.h"

static void round_begin(const struct oak_raft *r, struct raft__peer *p)
{
    uint64_t last = raft__log_last(&r->log);
    p->catchup.end = p->match < last ? last : 0;
    p->catchup.since_ms = r->now_ms;
    p->catchup.done = p->catchup.done || p->catchup.end == 0;
}

void raft__catchup_start(const struct oak_raft *r, struct raft__peer *p)
{
    p->catchup = (struct raft__catchup){0};
    round_begin(r, p);
}

static bool round_late(const struct oak_raft *r, const struct raft__peer *p)
{
    return p->catchup.end != 0 && r->now_ms - p->catchup.since_ms >= r->election_ms;
}

void raft__catchup_acked(const struct oak_raft *r, struct raft__peer *p)
{
    if (p->catchup.end == 0 || p->match < p->catchup.end) {
        return;
    }
    p->catchup.done = !round_late(r, p);
    round_begin(r, p);
}

void raft__catchup_tick(const struct oak_raft *r, struct raft__peer *p)
{
    if (p->catchup.end == 0) {
        round_begin(r, p);
    }
    p->catchup.done = p->catchup.done && !round_late(r, p);
}

bool raft__catchup_ready(const struct oak_raft *r, const struct raft__peer *p)
{
    return p->halves == 0 && p->catchup.done && !round_late(r, p) && raft__peer_active(r, p);
}
