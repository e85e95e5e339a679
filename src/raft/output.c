/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: the work that has gathered comes out; finished writes come back in.
 *
 * The rule of durability lives here. A vote is told, and a candidate asks for votes, only once the
 * term and the vote are on disk; an acknowledgement names only what is on disk. Both are read off
 * the state at a take, so there is no order of calls in which a host could leak a promise.
 *
 * Writes. Each take makes at most one batch, of all that is not staged. Batches finish in order.
 * Each remembers how far the log is durable once it is written; a truncation lowers that mark, so a
 * batch whose entries were replaced while it was being written counts for no more than what is left
 * of it, also when entries of the same indexes follow in a later batch.
 *
 * Can fail     nothing: a take needs no memory.
 * Invariants   staged hard state's commit <= durable log (a restart can tell a lost tail from
 *              it).
 * Thread       the core's.
 */
#include "raft/internal.h"

void raft__written_clamp(struct oak_raft *r, uint64_t end)
{
    r->staged = OAK_MIN(r->staged, end);
    r->durable = OAK_MIN(r->durable, end);
    for (size_t i = 0; i < r->batch_count; i++) {
        struct raft__batch *b = &r->batches[(r->batch_first + i) % RAFT__BATCHES_MAX];
        b->end = OAK_MIN(b->end, end);
    }
}

static bool vote_unstaged(const struct oak_raft *r)
{
    return r->term != r->hard_staged.term || r->vote != r->hard_staged.vote;
}

static bool persist_ready(const struct oak_raft *r)
{
    return r->batch_count < RAFT__BATCHES_MAX &&
           (vote_unstaged(r) || r->restore_due || r->hint_due || r->doubt.lifted_due ||
            r->staged < raft__log_last(&r->log));
}

static void take_persist(struct oak_raft *r)
{
    struct oak_raft_persist *out = &r->out.persist;
    if (!persist_ready(r)) {
        return;
    }
    uint64_t last = raft__log_last(&r->log);
    uint64_t hint = OAK_MIN(r->commit, r->durable);
    r->token_issued++;
    out->token = r->token_issued;
    if (r->restore_due) {
        r->out_restore = r->restore;
        out->restore = &r->out_restore;
        out->restore_keeps_log = r->restore_keeps_log;
        r->restore_token = r->token_issued;
        r->restore_due = false;
        hint = OAK_MAX(hint, r->restore.index);
    }
    if (r->staged < last) {
        out->entries = raft__log_at(&r->log, r->staged + 1);
        out->entry_count = (size_t)(last - r->staged);
    }
    out->doubt_lifted = r->doubt.lifted_due;
    r->doubt.lifted_due = false;
    out->must_sync =
        vote_unstaged(r) || out->restore != NULL || out->entry_count > 0 || out->doubt_lifted;
    out->hard_state_changed = vote_unstaged(r) || out->restore != NULL || r->hint_due;
    if (out->hard_state_changed) {
        r->hard_staged = (struct oak_raft_hard_state){
            .term = r->term,
            .vote = r->vote,
            .commit = OAK_MAX(r->hard_staged.commit, hint),
        };
    }
    out->hard_state = r->hard_staged;
    r->hint_due = false;
    r->staged = last;
    r->batches[(r->batch_first + r->batch_count) % RAFT__BATCHES_MAX] = (struct raft__batch){
        .token = out->token,
        .end = last,
        .hard_state = out->hard_state_changed,
        .term = r->hard_staged.term,
        .vote = r->hard_staged.vote,
    };
    r->batch_count++;
}

void oak_raft_persisted(struct oak_raft *r, uint64_t token)
{
    OAK_ASSERT_LE(token, r->token_issued);
    if (token <= r->token_persisted || raft__halted(r)) {
        return;
    }
    while (r->batch_count > 0 && r->batches[r->batch_first].token <= token) {
        const struct raft__batch *b = &r->batches[r->batch_first];
        r->durable = OAK_MAX(r->durable, b->end);
        if (b->hard_state) {
            r->hard_durable_term = b->term;
            r->hard_durable_vote = b->vote;
        }
        r->batch_first = (r->batch_first + 1) % RAFT__BATCHES_MAX;
        r->batch_count--;
    }
    r->token_persisted = token;
    OAK_ASSERT_LE(r->durable, r->staged);
    raft__log_sweep(&r->log, r->token_persisted, r->applied);
    if (OAK_MIN(r->asked, r->durable) > r->acked) {
        r->ack_due = true;
    }
    raft__doubt_check(r);
    if (r->role == OAK_RAFT_LEADER) {
        raft__commit_advance(r);
    } else {
        raft__election_check(r);
    }
}

/* A message of `type` in this term, or NULL when the output is full. */
static struct oak_raft_msg *send_add(struct oak_raft *r, enum oak_raft_msg_type type, uint64_t to)
{
    if (r->out.send_count == RAFT__SEND_MAX) {
        return NULL;
    }
    struct oak_raft_msg *m = &r->send[r->out.send_count];
    r->out.send_count++;
    /* Its snapshot, the last and largest part, was and stays zero: hosts make those messages. */
    memset(m, 0, offsetof(struct oak_raft_msg, snapshot));
    m->type = type;
    m->from = r->id;
    m->to = to;
    m->term = r->term;
    m->priority = r->priority;
    return m;
}

static bool grant_ready(const struct oak_raft *r)
{
    return r->grant_due && ((r->hard_durable_term == r->term && r->hard_durable_vote == r->vote) ||
                            OAK_BUG(vote_not_synced));
}

static bool ack_ready(const struct oak_raft *r)
{
    return r->ack_due && r->role == OAK_RAFT_FOLLOWER && r->leader != 0 &&
           (r->hard_durable_term == r->term || OAK_BUG(ack_before_sync));
}

static void take_promises(struct oak_raft *r)
{
    if (grant_ready(r)) {
        struct oak_raft_msg *m = send_add(r, OAK_RAFT_MSG_VOTE_REPLY, r->vote);
        r->grant_due = m == NULL;
    }
    if (ack_ready(r)) {
        struct oak_raft_msg *m = send_add(r, OAK_RAFT_MSG_APPEND_REPLY, r->leader);
        if (m != NULL) {
            m->index = OAK_MIN(r->verified, r->durable);
            if (OAK_BUG(ack_before_sync)) {
                m->index = r->verified;
            }
            m->read_seq = r->append_read_seq;
            m->doubtful = r->doubt.open;
            r->acked = OAK_MAX(r->acked, m->index);
            r->ack_due = false;
        }
    }
}

static void take_replies(struct oak_raft *r)
{
    while (r->reply_count > 0) {
        const struct raft__reply *reply = &r->replies[r->reply_first];
        struct oak_raft_msg *m = send_add(r, reply->type, reply->to);
        if (m == NULL) {
            return;
        }
        m->term = reply->term;
        m->reject = reply->reject;
        m->doubtful = reply->doubtful;
        m->index = reply->index;
        m->read_seq = reply->read_seq;
        m->hint_index = reply->hint_index;
        m->hint_term = reply->hint_term;
        r->reply_first++;
        r->reply_count--;
    }
    r->reply_first = 0;
}

static bool votes_may_leave(const struct oak_raft *r)
{
    return r->role == OAK_RAFT_PRE_CANDIDATE || raft__candidate_ready(r);
}

static void take_vote_request(struct oak_raft *r, struct raft__peer *p)
{
    bool pre = r->role == OAK_RAFT_PRE_CANDIDATE;
    struct oak_raft_msg *m = send_add(r, pre ? OAK_RAFT_MSG_PRE_VOTE : OAK_RAFT_MSG_VOTE, p->id);
    if (m != NULL) {
        m->term = pre ? r->term + 1 : r->term;
        m->index = raft__log_last(&r->log);
        m->log_term = raft__log_last_term(&r->log);
        m->transfer = r->transfer_wanted;
        p->vote_due = false;
    }
}

/* A peer that was never heard may be gone: it gets a snapshot when it answers a heartbeat. */
static bool snapshot_ready(const struct oak_raft *r, const struct raft__peer *p)
{
    return p->heard && raft__peer_needs_snapshot(r, p) &&
           !(p->state == OAK_RAFT_PEER_PROBE && p->probe_sent);
}

static bool peer_ready(const struct oak_raft *r, const struct raft__peer *p)
{
    if (r->role != OAK_RAFT_LEADER) {
        return p->farewell_due || p->timeout_now_due || (p->vote_due && votes_may_leave(r));
    }
    return p->heartbeat_due || p->timeout_now_due || p->read_answer != 0 || snapshot_ready(r, p) ||
           raft__peer_wants_append(r, p);
}

static void take_timeout_now(struct oak_raft *r, struct raft__peer *p)
{
    struct oak_raft_msg *m = NULL;
    if (p->timeout_now_due && (m = send_add(r, OAK_RAFT_MSG_TIMEOUT_NOW, p->id)) != NULL) {
        m->index = raft__lease_given_up(r);
        p->timeout_now_due = false;
    }
}

static void take_farewell(struct oak_raft *r, struct raft__peer *p)
{
    struct oak_raft_msg *m = NULL;
    if (p->farewell_due && (m = send_add(r, OAK_RAFT_MSG_HEARTBEAT, p->id)) != NULL) {
        m->commit = OAK_MIN(p->match, r->commit);
        p->farewell_due = false;
    }
    take_timeout_now(r, p);
}

/* The short messages first: they must not wait behind payloads. */
static void take_beat(struct oak_raft *r, struct raft__peer *p)
{
    struct oak_raft_msg *m = NULL;
    if (p->heartbeat_due && (m = send_add(r, OAK_RAFT_MSG_HEARTBEAT, p->id)) != NULL) {
        m->commit = OAK_BUG(commit_beyond_match) ? r->commit : OAK_MIN(p->match, r->commit);
        m->read_seq = r->reads.lead_next;
        m->priority = raft__priority_told(r);
        p->heartbeat_due = false;
    }
    take_timeout_now(r, p);
    if (p->read_answer != 0 && (m = send_add(r, OAK_RAFT_MSG_READ_REPLY, p->id)) != NULL) {
        m->read_seq = p->read_answer;
        m->index = p->read_answer_at;
        m->hint_index = p->read_answer_end;
        p->read_answer = 0;
    }
    if (snapshot_ready(r, p)) {
        raft__peer_snapshot(p, r->log.base);
        r->out_snapshots[r->out.snapshot_count++] =
            (struct oak_raft_snapshot_want){.peer = p->id, .index_min = p->snapshot_min};
    }
}

/* One append a peer in turn, so that one that is far behind can't fill the output. */
static void take_appends(struct oak_raft *r)
{
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < r->peer_count; i++) {
            struct raft__peer *p = &r->peers[i];
            if (!raft__peer_wants_append(r, p)) {
                continue;
            }
            struct oak_raft_msg *m = send_add(r, OAK_RAFT_MSG_APPEND, p->id);
            if (m == NULL) {
                return;
            }
            raft__append_make(r, p, m);
            more = true;
        }
    }
}

static void take_peers(struct oak_raft *r)
{
    if (r->role != OAK_RAFT_LEADER) {
        for (size_t i = 0; i < r->peer_count; i++) {
            take_farewell(r, &r->peers[i]);
            if (r->peers[i].vote_due && votes_may_leave(r)) {
                take_vote_request(r, &r->peers[i]);
            }
        }
        return;
    }
    for (size_t i = 0; i < r->peer_count; i++) {
        take_beat(r, &r->peers[i]);
    }
    take_appends(r);
}

/* Committed and on this disk. */
static uint64_t apply_end(const struct oak_raft *r)
{
    return OAK_BUG(apply_before_commit) ? r->durable : OAK_MIN(r->commit, r->durable);
}

/* There is something, and it is not in front of a snapshot that is still being installed. */
static bool apply_ready(const struct oak_raft *r)
{
    return !r->restore_due && r->restore_token <= r->token_persisted &&
           apply_end(r) > r->apply_issued;
}

static void take_apply(struct oak_raft *r)
{
    if (!apply_ready(r)) {
        return;
    }
    size_t count = (size_t)(apply_end(r) - r->apply_issued);
    const struct oak_raft_entry *e = raft__log_at(&r->log, r->apply_issued + 1);
    size_t bytes = e[0].size;
    size_t taken = 1;
    while (taken < count && bytes <= r->apply_bytes_max &&
           e[taken].size <= r->apply_bytes_max - bytes) {
        bytes += e[taken].size;
        taken++;
    }
    r->out.apply = e;
    r->out.apply_count = taken;
    r->apply_issued += taken;
}

bool oak_raft_has_output(const struct oak_raft *r)
{
    if (raft__halted(r)) {
        return false;
    }
    if (persist_ready(r) || grant_ready(r) || ack_ready(r) || r->reply_count > 0 ||
        apply_ready(r) || r->reads.done_count > 0 || raft__reads_can_begin(r) ||
        raft__doubt_asks(r)) {
        return true;
    }
    for (size_t i = 0; i < r->peer_count; i++) {
        if (peer_ready(r, &r->peers[i])) {
            return true;
        }
    }
    return false;
}

/* Part by part: clearing it whole is a string instruction, whose start costs more than a small take
 * does else (measured: a tenth of an entry that travels alone). */
static void out_clear(struct oak_raft *r)
{
    struct oak_raft_output *out = &r->out;
    out->persist.token = 0;
    out->persist.restore = NULL;
    out->persist.restore_keeps_log = false;
    out->persist.hard_state_changed = false;
    out->persist.hard_state = r->hard_staged;
    out->persist.entries = NULL;
    out->persist.entry_count = 0;
    out->persist.must_sync = false;
    out->send = r->send;
    out->send_count = 0;
    out->apply = NULL;
    out->apply_count = 0;
    out->reads = NULL;
    out->read_count = 0;
    out->snapshots = NULL;
    out->snapshot_count = 0;
}

const struct oak_raft_output *oak_raft_take(struct oak_raft *r)
{
    out_clear(r);
    if (raft__halted(r)) {
        return &r->out;
    }
    if (raft__reads_can_begin(r)) {
        uint64_t ask = 0;
        if (raft__reads_begin(r, &ask)) {
            struct oak_raft_msg *m = send_add(r, OAK_RAFT_MSG_READ, r->leader);
            OAK_ASSERT(m != NULL);
            m->read_seq = ask;
        }
    }
    if (raft__doubt_asks(r)) {
        struct oak_raft_msg *m = send_add(r, OAK_RAFT_MSG_READ, r->leader);
        OAK_ASSERT(m != NULL);
        m->read_seq = raft__doubt_ask(r);
    }
    take_persist(r);
    take_promises(r);
    take_replies(r);
    take_peers(r);
    take_apply(r);
    memcpy(r->out_reads, r->reads.done, r->reads.done_count * sizeof(r->out_reads[0]));
    r->out.reads = r->out_reads;
    r->out.read_count = r->reads.done_count;
    r->reads.done_count = 0;
    r->out.snapshots = r->out_snapshots;
    return &r->out;
}
