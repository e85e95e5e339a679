/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c: leadership goes to a chosen member (dissertation 3.10), and who should have it.
 *
 * Happy path   1 the leader gives its lease up, takes no more proposals and brings the target up to
 *                date
 *              2 it tells the target to stand now, with every heartbeat again, and up to where its
 *                log went when it gave its lease up
 *              3 the target stands at once: no pre-vote, and its requests say that the leader wants
 *                it, so nobody refuses because a leader was heard
 *              4 the leader hears of the new term, steps down and votes like any other.
 * After an election time-out the leader gives up and takes proposals again. What it has told may
 * still arrive then, or in a later term: the target obeys only the leader that it follows, in the
 * term it follows it in, and an election is safe whenever it comes.
 *
 * Priority. Each member tells its own with its answers, the leader tells the highest among those
 * who could take over (voters that are there and have all that is committed) with its heartbeats. A
 * member below that lets a time-out pass and expects a quarter of it the next time, so at most four
 * pass before everybody stands. A leader that is calm may hand over to one of higher priority.
 *
 * Can fail     standing at once, for want of memory, before anything changes.
 * Invariants   transfer_to is 0 unless this member leads; it is cleared with the role.
 * Thread       the core's.
 */
#include "raft/internal.h"

/* Could it take over at once, with little to catch up on? */
static bool may_succeed(const struct oak_raft *r, const struct raft__peer *p)
{
    return (p->halves & RAFT__INCOMING) != 0 && p->state == OAK_RAFT_PEER_REPLICATE &&
           p->match >= r->commit && !p->doubtful && raft__peer_active(r, p);
}

struct raft__peer *raft__transfer_best(struct oak_raft *r)
{
    struct raft__peer *best = NULL;
    for (size_t i = 0; i < r->peer_count; i++) {
        struct raft__peer *p = &r->peers[i];
        if (may_succeed(r, p) && (best == NULL || p->priority > best->priority ||
                                  (p->priority == best->priority && p->match > best->match))) {
            best = p;
        }
    }
    return best;
}

void raft__transfer_advance(struct oak_raft *r, struct raft__peer *p)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    if (p->id == r->transfer_to && p->match == raft__log_last(&r->log)) {
        p->timeout_now_due = true;
    }
}

static void transfer_begin(struct oak_raft *r, struct raft__peer *p)
{
    r->transfer_to = p->id;
    r->transfer_since_ms = r->now_ms;
    raft__lease_give_up(r);
    raft__transfer_advance(r, p);
}

int oak_raft_transfer(struct oak_raft *r, uint64_t to)
{
    if (r->role != OAK_RAFT_LEADER || raft__halted(r)) {
        return raft__halted(r) ? OAK_RAFT_EHALTED : OAK_RAFT_ENOTLEADER;
    }
    struct raft__peer *p = to == 0 ? raft__transfer_best(r) : raft__peer_find(r, to);
    if (p == NULL) {
        return to == 0 ? OAK_RAFT_ENOTREADY : OAK_RAFT_EINVAL;
    }
    if ((p->halves & RAFT__INCOMING) == 0) {
        return OAK_RAFT_EINVAL;
    }
    if (r->transfer_to != 0) {
        return r->transfer_to == p->id || to == 0 ? OAK_RAFT_OK : OAK_RAFT_EPENDING;
    }
    if (!raft__peer_active(r, p) || p->doubtful) {
        return OAK_RAFT_ENOTREADY;
    }
    transfer_begin(r, p);
    return OAK_RAFT_OK;
}

void raft__transfer_end(struct oak_raft *r)
{
    if (OAK_BUG(transfer_keeps_flag)) {
        return;
    }
    r->transfer_to = 0;
    for (size_t i = 0; i < r->peer_count; i++) {
        r->peers[i].timeout_now_due = false;
    }
}

void raft__transfer_tick(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    if (r->transfer_to == 0) {
        return;
    }
    struct raft__peer *p = raft__peer_find(r, r->transfer_to);
    if (p == NULL || (p->halves & RAFT__INCOMING) == 0 ||
        r->now_ms - r->transfer_since_ms >= r->election_ms) {
        raft__transfer_end(r);
        r->calm_ms = r->now_ms;
    } else {
        raft__transfer_advance(r, p); /* the last one may be lost */
    }
}

/* -- the target -------------------------------------------------------------------------------- */

int raft__on_timeout_now(struct oak_raft *r, const struct oak_raft_msg *m)
{
    OAK_ASSERT_EQ(m->term, r->term);
    if (r->role != OAK_RAFT_FOLLOWER || r->leader != m->from || !raft__may_campaign(r)) {
        return OAK_RAFT_OK;
    }
    raft__lease_released(r, m->index);
    return raft__campaign_now(r);
}

/* -- priority ---------------------------------------------------------------------------------- */

uint8_t raft__priority_told(const struct oak_raft *r)
{
    uint8_t most = 0;
    for (size_t i = 0; i < r->peer_count; i++) {
        const struct raft__peer *p = &r->peers[i];
        if (p->priority > most && may_succeed(r, p)) {
            most = p->priority;
        }
    }
    return most;
}

bool raft__priority_waits(struct oak_raft *r)
{
    if (r->priority >= r->priority_expected) {
        return false;
    }
    /* Who should stand instead may be gone too. */
    r->priority_expected /= 4;
    return true;
}

void raft__priority_tick(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    if (r->priority_calm_ms == 0 || r->transfer_to != 0 ||
        r->now_ms - r->calm_ms < r->priority_calm_ms) {
        return;
    }
    struct raft__peer *best = raft__transfer_best(r);
    if (best != NULL && best->priority > r->priority) {
        transfer_begin(r, best);
    }
}
