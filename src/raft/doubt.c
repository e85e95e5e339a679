/* SPDX-License-Identifier: Apache-2.0 */
/* doubt.c: a member that has lost part of its log, but neither its term nor its vote.
 *
 * (One that may have lost those too is in doubt as well, from oak_raft_doubt() on; but that alone
 * is not enough for it: its host keeps it mute, see docs/internals/repair.md.)
 *
 * What it acknowledges is true: it has it. What it must not do is vote with a log that is shorter
 * than what it acknowledged in an earlier life: that would elect a leader without committed
 * entries. So it neither votes nor campaigns, until its log holds all that it can have
 * acknowledged.
 *
 * Happy path   1 it follows the leader of its term, and asks it a read question
 *              2 the answer tells where the leader's log ended when the question was there
 *              3 once the log is verified and durable up to that place, in the same term, the doubt
 *                is lifted, and a batch writes that down.
 *
 * Why the end of the leader's log and not its commit index: an acknowledgement of an earlier life,
 * in this term, may still be under way, and commit more when it arrives. It names an entry that
 * the leader had before, so the end covers it. Acknowledgements of older terms are covered by the
 * election of this leader: its voters knew them. docs/internals/repair.md has the proof, and what
 * happens when the term is not known.
 *
 * Can fail     nothing.
 * Invariants   `until` and `asked` are of the current term; a leader is not in doubt.
 * Thread       the core's.
 */
#include "raft/internal.h"

bool raft__doubt_asks(const struct oak_raft *r)
{
    const struct raft__doubt *d = &r->doubt;
    return d->open && r->role == OAK_RAFT_FOLLOWER && r->leader != 0 && d->until == 0 &&
           (d->asked == 0 || r->now_ms - d->asked_ms >= r->election_ms);
}

uint64_t raft__doubt_ask(struct oak_raft *r)
{
    OAK_ASSERT(raft__doubt_asks(r));
    struct raft__doubt *d = &r->doubt;
    r->reads.ask_next++;
    if (d->asked == 0) {
        d->asked = r->reads.ask_next;
    }
    d->asked_ms = r->now_ms;
    return r->reads.ask_next;
}

void raft__doubt_answered(struct oak_raft *r, const struct oak_raft_msg *m)
{
    struct raft__doubt *d = &r->doubt;
    OAK_ASSERT_EQ(m->term, r->term);
    /* Any question of this life and term will do, also one that a client's read asked. */
    if (!d->open || m->reject || d->asked == 0 || m->read_seq < d->asked ||
        m->read_seq > r->reads.ask_next) {
        return;
    }
    d->until = OAK_BUG(doubt_ends_at_once) ? OAK_MIN(m->hint_index, 1u) : m->hint_index;
    raft__doubt_check(r);
}

uint64_t raft__doubt_holds(const struct oak_raft *r)
{
    return OAK_MIN(r->verified, r->durable);
}

void raft__doubt_check(struct oak_raft *r)
{
    struct raft__doubt *d = &r->doubt;
    if (!d->open || d->until == 0 || r->hard_durable_term != r->term ||
        raft__doubt_holds(r) < d->until) {
        return;
    }
    OAK_ASSERT(r->role == OAK_RAFT_FOLLOWER);
    *d = (struct raft__doubt){.lifted_due = true};
}

void oak_raft_doubt(struct oak_raft *r)
{
    if (raft__halted(r)) {
        return;
    }
    raft__become_follower(r, r->term, 0);
    r->doubt = (struct raft__doubt){.open = true};
    r->grant_due = false;
    r->verified = r->commit;
    r->asked = 0;
    r->acked = 0;
    r->ack_due = false;
    r->reply_first = 0;
    r->reply_count = 0;
}

void raft__doubt_term(struct oak_raft *r)
{
    r->doubt.asked = 0;
    r->doubt.until = 0;
}
