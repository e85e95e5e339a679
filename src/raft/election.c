/* SPDX-License-Identifier: Apache-2.0 */
/* election.c: roles, terms and votes.
 *
 *      follower ──time-out──▶ pre-candidate ──majority would──▶ candidate ──majority did──▶ leader
 *          ▲                       │  ▲                             │  │                       │
 *          └──── leader or higher term heard, or refused ───────────┘  └─ time-out ─▶ pre-c.   │
 *          └──── higher term heard, or no majority heard for an election time-out ─────────────┘
 *
 * A pre-candidate asks before it raises its term (dissertation 9.6), so a member that was cut off
 * can't depose a leader who serves. A follower that has heard a leader within the least election
 * time-out answers nobody else's campaign (4.2.3). Term and vote change together, in memory first;
 * the request or the grant that relies on them leaves only once they are durable (output.c).
 *
 * Can fail     a campaign, for want of memory, before anything changes.
 * Invariants   a vote is given once a term and never taken back in it; a learner never campaigns,
 *              unless it is one by a configuration that may still be cut off.
 * Thread       the core's.
 */
#include "raft/internal.h"

static void role_set(struct oak_raft *r, enum oak_raft_role role)
{
    /* [from][to] */
    static const bool legal[4][4] = {
        [OAK_RAFT_FOLLOWER] = {[OAK_RAFT_FOLLOWER] = true, [OAK_RAFT_PRE_CANDIDATE] = true},
        [OAK_RAFT_PRE_CANDIDATE] = {[OAK_RAFT_FOLLOWER] = true,
                                    [OAK_RAFT_PRE_CANDIDATE] = true,
                                    [OAK_RAFT_CANDIDATE] = true},
        [OAK_RAFT_CANDIDATE] =
            {[OAK_RAFT_FOLLOWER] = true, [OAK_RAFT_PRE_CANDIDATE] = true, [OAK_RAFT_LEADER] = true},
        [OAK_RAFT_LEADER] = {[OAK_RAFT_FOLLOWER] = true},
    };
    OAK_ASSERT(legal[r->role][role]);
    r->role = role;
}

void raft__election_rearm(struct oak_raft *r)
{
    r->deadline_ms = r->now_ms + r->election_ms + raft__random(r) % r->election_ms;
}

/* Enter `term` with `vote` cast in it. Both are handed out for writing as one. */
static void term_enter(struct oak_raft *r, uint64_t term, uint64_t vote)
{
    OAK_ASSERT_GT(term, r->term);
    r->term = term;
    r->vote = vote;
    r->grant_due = false;
    r->verified = r->commit;
    r->asked = 0;
    r->acked = 0;
    r->ack_due = false;
    r->append_read_seq = 0;
    for (size_t i = 0; i < r->peer_count; i++) {
        r->peers[i].farewell_due = false;
        r->peers[i].timeout_now_due = false;
    }
    raft__doubt_term(r);
}

void raft__become_follower(struct oak_raft *r, uint64_t term, uint64_t leader)
{
    OAK_ASSERT_GE(term, r->term);
    OAK_ASSERT(leader != r->id);
    bool deposed = r->role != OAK_RAFT_FOLLOWER;
    if (term > r->term || leader != r->leader || deposed) {
        raft__reads_lose(r);
    }
    if (term > r->term) {
        term_enter(r, term, 0);
    }
    role_set(r, OAK_RAFT_FOLLOWER);
    r->leader = leader;
    r->transfer_wanted = false;
    raft__transfer_end(r);
    if (deposed) {
        r->uncommitted_bytes = 0;
        for (size_t i = 0; i < r->peer_count; i++) {
            r->peers[i].vote_due = false;
            r->peers[i].heartbeat_due = false;
            r->peers[i].read_asked = 0;
            r->peers[i].read_answer = 0;
        }
        raft__election_rearm(r);
    }
}

/* Ask every other voter; nobody has answered. */
static void votes_ask(struct oak_raft *r)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        r->peers[i].vote = RAFT__VOTE_NONE;
        r->peers[i].vote_due = !r->peers[i].learner;
    }
    raft__election_rearm(r);
}

/* Memory that a leader can't do without, so that winning can't fail. */
static int lead_reserve(struct oak_raft *r)
{
    if (raft__log_reserve(&r->log, 1) != OAK_RAFT_OK) {
        return OAK_RAFT_ENOMEM;
    }
    size_t without = 0;
    for (size_t i = 0; i < r->peer_count; i++) {
        without += r->peers[i].window.flights == NULL;
    }
    int e = raft__flights_reserve(r, without);
    for (size_t i = 0; i < r->peer_count && e == OAK_RAFT_OK; i++) {
        raft__window_give(r, &r->peers[i]);
    }
    return e;
}

/* Who has no vote in the configuration in force may have had one in the one before. Until the newer
 * one is known to have committed it may be the only one that has it, or the only one whose log is
 * long enough to win: everybody who could be elected in its stead needs its vote, and is denied it.
 * So it stands, without counting itself, and leads until it is left out for good (4.2.2). */
bool raft__may_campaign(const struct oak_raft *r)
{
    if (r->doubt.open) {
        return false;
    }
    if (r->halves != 0 || r->role == OAK_RAFT_LEADER) {
        return true;
    }
    return r->config_index > r->commit && !OAK_BUG(leaver_never_campaigns) &&
           raft__config_halves(&r->config_before.config, r->id) != 0;
}

int raft__campaign(struct oak_raft *r)
{
    if (r->role == OAK_RAFT_LEADER) {
        return OAK_RAFT_OK;
    }
    OAK_ASSERT(raft__may_campaign(r));
    int e = lead_reserve(r);
    if (e != OAK_RAFT_OK) {
        return e;
    }
    raft__reads_lose(r);
    role_set(r, OAK_RAFT_PRE_CANDIDATE);
    r->leader = 0;
    r->transfer_wanted = false;
    votes_ask(r);
    raft__election_check(r);
    return OAK_RAFT_OK;
}

static void stand(struct oak_raft *r)
{
    OAK_ASSERT_EQ(r->role, OAK_RAFT_PRE_CANDIDATE);
    term_enter(r, r->term + 1, r->id);
    role_set(r, OAK_RAFT_CANDIDATE);
    votes_ask(r);
}

int raft__campaign_now(struct oak_raft *r)
{
    OAK_ASSERT_EQ(r->role, OAK_RAFT_FOLLOWER);
    int e = lead_reserve(r);
    if (e != OAK_RAFT_OK) {
        return e;
    }
    raft__reads_lose(r);
    role_set(r, OAK_RAFT_PRE_CANDIDATE);
    r->leader = 0;
    r->transfer_wanted = true;
    stand(r);
    raft__election_check(r);
    return OAK_RAFT_OK;
}

bool raft__candidate_ready(const struct oak_raft *r)
{
    return r->role == OAK_RAFT_CANDIDATE && r->hard_durable_term == r->term &&
           r->hard_durable_vote == r->id;
}

static enum raft__tally votes_count(const struct oak_raft *r)
{
    /* A candidate's own vote counts like any other: once it is durable. */
    bool own = r->role == OAK_RAFT_PRE_CANDIDATE || raft__candidate_ready(r);
    struct raft__votes votes = {0};
    raft__votes_add(&votes, r->halves, own, false);
    for (size_t i = 0; i < r->peer_count; i++) {
        const struct raft__peer *p = &r->peers[i];
        raft__votes_add(&votes, p->halves, p->vote == RAFT__VOTE_GRANTED,
                        p->vote == RAFT__VOTE_REJECTED);
    }
    return raft__votes_tally(&votes, &r->config);
}

void raft__election_check(struct oak_raft *r)
{
    if (r->role == OAK_RAFT_PRE_CANDIDATE) {
        enum raft__tally tally = votes_count(r);
        if (tally == RAFT__WON) {
            stand(r);
        } else if (tally == RAFT__LOST) {
            raft__become_follower(r, r->term, 0);
        }
    }
    if (r->role == OAK_RAFT_CANDIDATE) {
        enum raft__tally tally = votes_count(r);
        if (tally == RAFT__WON) {
            role_set(r, OAK_RAFT_LEADER);
            raft__lead(r);
        } else if (tally == RAFT__LOST) {
            raft__become_follower(r, r->term, 0);
        }
    }
}

bool raft__locked(const struct oak_raft *r, const struct oak_raft_msg *m)
{
    if (m->transfer) {
        return false; /* the leader itself wants it */
    }
    if (r->role == OAK_RAFT_LEADER) {
        return true; /* until check-quorum says otherwise */
    }
    /* A leader that campaigns again has lost its office: nobody holds on to it against itself. */
    return r->leader != 0 && r->leader != m->from && r->now_ms - r->heard_ms < r->election_ms;
}

/* Is the candidate's log at least as new as ours (Raft 5.4.1)? */
static bool log_is_current(const struct oak_raft *r, const struct oak_raft_msg *m)
{
    uint64_t last_term = raft__log_last_term(&r->log);
    return m->log_term > last_term ||
           (m->log_term == last_term && m->index >= raft__log_last(&r->log));
}

/* A vote is asked for, by anybody: whoever asks may know of a configuration in which this member,
 * which thinks of itself as a learner or a stranger, has a vote that its group needs. */
void raft__on_vote(struct oak_raft *r, const struct oak_raft_msg *m)
{
    bool pre = m->type == OAK_RAFT_MSG_PRE_VOTE;
    OAK_ASSERT(pre || m->term == r->term);
    bool free_to = r->vote == m->from || (r->vote == 0 && r->leader == 0) ||
                   (pre && m->term > r->term) ||
                   (OAK_BUG(vote_twice) && r->role == OAK_RAFT_FOLLOWER);
    bool current = log_is_current(r, m) || OAK_BUG(stale_log_wins);
    bool grant = !r->doubt.open && free_to && current && !raft__locked(r, m);
    if (grant && !pre) {
        r->vote = m->from;
        r->grant_due = true;
        raft__election_rearm(r);
        return;
    }
    /* A pre-vote promises nothing and changes nothing, the election timer included: it must not
     * keep a better candidate from standing up. */
    raft__reply(r, &(struct raft__reply){
                       .type = pre ? OAK_RAFT_MSG_PRE_VOTE_REPLY : OAK_RAFT_MSG_VOTE_REPLY,
                       .to = m->from,
                       .term = grant ? m->term : r->term,
                       .reject = !grant,
                   });
}

void raft__on_vote_reply(struct oak_raft *r, const struct oak_raft_msg *m)
{
    bool pre = m->type == OAK_RAFT_MSG_PRE_VOTE_REPLY;
    if (r->role != (pre ? OAK_RAFT_PRE_CANDIDATE : OAK_RAFT_CANDIDATE)) {
        return;
    }
    /* A granted pre-vote names the term that was asked about. */
    if (m->term != (pre && !m->reject ? r->term + 1 : r->term)) {
        return;
    }
    struct raft__peer *p = raft__peer_find(r, m->from);
    if (p == NULL || p->learner || p->vote != RAFT__VOTE_NONE) {
        return; /* repeated, or of nobody who counts */
    }
    p->vote = m->reject ? RAFT__VOTE_REJECTED : RAFT__VOTE_GRANTED;
    raft__election_check(r);
}
