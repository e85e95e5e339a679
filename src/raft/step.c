/* SPDX-License-Identifier: Apache-2.0 */
/* step.c: a message comes in.
 *
 * Happy path   1 check its form
 *              2 find the room and the memory that handling it needs
 *              3 compare terms
 *              4 hand it to the file of its subject.
 * Can fail     in 1 and 2 (EINVAL, ENOMEM), with nothing changed: the message is as if lost. Why
 *              checks stand together and first: behind them, handlers assert.
 * Thread       the core's.
 */
#include "raft/internal.h"

int raft__reply_reserve(struct oak_raft *r)
{
    if (r->reply_first + r->reply_count < r->reply_capacity) {
        return OAK_RAFT_OK;
    }
    if (r->reply_first > 0) {
        memmove(r->replies, r->replies + r->reply_first, r->reply_count * sizeof(r->replies[0]));
        r->reply_first = 0;
        return OAK_RAFT_OK;
    }
    size_t capacity = r->reply_capacity == 0 ? 16 : r->reply_capacity * 2;
    if (capacity > RAFT__REPLIES_MAX) {
        return OAK_RAFT_ENOMEM;
    }
    struct raft__reply *replies =
        r->alloc.resize(r->alloc.user, r->replies, capacity * sizeof(replies[0]));
    if (replies == NULL) {
        return OAK_RAFT_ENOMEM;
    }
    r->replies = replies;
    r->reply_capacity = capacity;
    return OAK_RAFT_OK;
}

void raft__reply(struct oak_raft *r, const struct raft__reply *reply)
{
    OAK_ASSERT_LT(r->reply_first + r->reply_count, r->reply_capacity);
    OAK_ASSERT(reply->to != r->id);
    r->replies[r->reply_first + r->reply_count] = *reply;
    r->reply_count++;
}

static bool from_leader(const struct oak_raft_msg *m)
{
    return m->type == OAK_RAFT_MSG_APPEND || m->type == OAK_RAFT_MSG_HEARTBEAT ||
           m->type == OAK_RAFT_MSG_SNAPSHOT;
}

static int entries_check(const struct oak_raft_msg *m)
{
    if (m->entry_count == 0) {
        return OAK_RAFT_OK;
    }
    if (m->type != OAK_RAFT_MSG_APPEND || m->entries == NULL ||
        m->entry_count > RAFT__NUMBER_MAX - m->index) {
        return OAK_RAFT_EINVAL;
    }
    uint64_t term = OAK_MAX(m->log_term, 1);
    for (size_t i = 0; i < m->entry_count; i++) {
        const struct oak_raft_entry *e = &m->entries[i];
        if (e->index != m->index + i + 1 || e->term < term || raft__entry_check(e) != OAK_RAFT_OK) {
            return OAK_RAFT_EINVAL;
        }
        term = e->term;
    }
    return term <= m->term ? OAK_RAFT_OK : OAK_RAFT_EINVAL;
}

/* What any member of any group would refuse. */
static int form_check(const struct oak_raft *r, const struct oak_raft_msg *m)
{
    if (m->type < OAK_RAFT_MSG_PRE_VOTE || m->type >= OAK_RAFT_MSG_END_) {
        return OAK_RAFT_EINVAL;
    }
    if (m->from == 0 || m->from == r->id || m->to != r->id) {
        return OAK_RAFT_EINVAL;
    }
    if (m->term == 0 || m->term > RAFT__NUMBER_MAX || m->index > RAFT__NUMBER_MAX ||
        m->commit > RAFT__NUMBER_MAX || m->log_term > m->term || m->hint_term > m->term) {
        return OAK_RAFT_EINVAL;
    }
    switch (m->type) {
    case OAK_RAFT_MSG_PRE_VOTE:
    case OAK_RAFT_MSG_VOTE:
    case OAK_RAFT_MSG_APPEND:
        if ((m->index == 0) != (m->log_term == 0)) {
            return OAK_RAFT_EINVAL;
        }
        break;
    case OAK_RAFT_MSG_APPEND_REPLY:
        if (m->hint_index > m->index) {
            return OAK_RAFT_EINVAL;
        }
        break;
    case OAK_RAFT_MSG_SNAPSHOT:
        if (m->snapshot.index == 0 || m->snapshot.index > RAFT__NUMBER_MAX ||
            m->snapshot.term == 0 || m->snapshot.term > m->term ||
            m->snapshot.config.voter_count == 0 ||
            oak_raft_config_check(&m->snapshot.config) != OAK_RAFT_OK) {
            return OAK_RAFT_EINVAL;
        }
        break;
    case OAK_RAFT_MSG_READ:
        if (m->read_seq == 0) {
            return OAK_RAFT_EINVAL;
        }
        break;
    case OAK_RAFT_MSG_PRE_VOTE_REPLY:
    case OAK_RAFT_MSG_VOTE_REPLY:
    case OAK_RAFT_MSG_HEARTBEAT:
    case OAK_RAFT_MSG_HEARTBEAT_REPLY:
    case OAK_RAFT_MSG_READ_REPLY:
    case OAK_RAFT_MSG_TIMEOUT_NOW:
    case OAK_RAFT_MSG_END_:
    default:
        break;
    }
    return entries_check(m);
}

/* What no leader of this group would send to this member. */
static int leader_check(struct oak_raft *r, const struct oak_raft_msg *m)
{
    if (m->term == r->term && r->leader != m->from) {
        /* Two leaders in one term: the votes of some member were lost or forged, and nothing that
         * either of them says can be trusted. Halt while the damage is small. */
        if (r->leader != 0) {
            return raft__halt(r, OAK_RAFT_TWO_LEADERS, m, m->index, m->log_term);
        }
    }
    switch (m->type) {
    case OAK_RAFT_MSG_HEARTBEAT:
        /* It is told only of what it acknowledged. */
        return m->commit <= raft__log_last(&r->log) || r->doubt.open
                   ? OAK_RAFT_OK
                   : raft__halt(r, OAK_RAFT_LOG_LOST, m, m->commit, 0);
    case OAK_RAFT_MSG_SNAPSHOT:
        return raft__snapshot_differs(r, m) ? raft__halt(r, OAK_RAFT_COMMITTED_DIFFERS, m,
                                                         m->snapshot.index, m->snapshot.term)
                                            : OAK_RAFT_OK;
    case OAK_RAFT_MSG_PRE_VOTE:
    case OAK_RAFT_MSG_PRE_VOTE_REPLY:
    case OAK_RAFT_MSG_VOTE:
    case OAK_RAFT_MSG_VOTE_REPLY:
    case OAK_RAFT_MSG_APPEND:
    case OAK_RAFT_MSG_APPEND_REPLY:
    case OAK_RAFT_MSG_HEARTBEAT_REPLY:
    case OAK_RAFT_MSG_READ:
    case OAK_RAFT_MSG_READ_REPLY:
    case OAK_RAFT_MSG_TIMEOUT_NOW:
    case OAK_RAFT_MSG_END_:
    default:
        return OAK_RAFT_OK;
    }
}

/* From an older term. The sender is told of ours, or it might go on for ever: a leader whose
 * followers moved on, or a candidate that could not be answered otherwise. */
static int step_stale(struct oak_raft *r, const struct oak_raft_msg *m)
{
    struct raft__reply reply = {.to = m->from, .term = r->term, .reject = true};
    switch (m->type) {
    case OAK_RAFT_MSG_PRE_VOTE:
        reply.type = OAK_RAFT_MSG_PRE_VOTE_REPLY;
        break;
    case OAK_RAFT_MSG_VOTE:
        reply.type = OAK_RAFT_MSG_VOTE_REPLY;
        break;
    case OAK_RAFT_MSG_SNAPSHOT:
        /* Its transfer may have outlived the term; what it holds is committed in every later one.
         */
        if (r->role == OAK_RAFT_FOLLOWER && !raft__snapshot_differs(r, m)) {
            raft__on_snapshot(r, m, true);
        }
        reply.type = OAK_RAFT_MSG_APPEND_REPLY;
        break;
    case OAK_RAFT_MSG_APPEND:
    case OAK_RAFT_MSG_HEARTBEAT:
        reply.type = OAK_RAFT_MSG_APPEND_REPLY;
        reply.index = m->index;
        break;
    case OAK_RAFT_MSG_READ:
        reply.type = OAK_RAFT_MSG_READ_REPLY;
        reply.read_seq = m->read_seq;
        break;
    case OAK_RAFT_MSG_PRE_VOTE_REPLY:
    case OAK_RAFT_MSG_VOTE_REPLY:
    case OAK_RAFT_MSG_APPEND_REPLY:
    case OAK_RAFT_MSG_HEARTBEAT_REPLY:
    case OAK_RAFT_MSG_READ_REPLY:
    case OAK_RAFT_MSG_TIMEOUT_NOW:
    case OAK_RAFT_MSG_END_:
    default:
        return OAK_RAFT_OK;
    }
    raft__reply(r, &reply);
    return OAK_RAFT_OK;
}

/* From a newer term. False: the message is to be ignored. */
static bool term_adopt(struct oak_raft *r, const struct oak_raft_msg *m)
{
    OAK_ASSERT_GT(m->term, r->term);
    if (m->type == OAK_RAFT_MSG_PRE_VOTE) {
        return true; /* nobody is in that term yet */
    }
    if (m->type == OAK_RAFT_MSG_PRE_VOTE_REPLY && !m->reject) {
        return true; /* it names the term that was asked about */
    }
    if (m->type == OAK_RAFT_MSG_VOTE && raft__locked(r, m)) {
        return false;
    }
    raft__become_follower(r, m->term, from_leader(m) ? m->from : 0);
    return true;
}

static int dispatch(struct oak_raft *r, const struct oak_raft_msg *m, struct raft__intake *intake)
{
    switch (m->type) {
    case OAK_RAFT_MSG_PRE_VOTE:
    case OAK_RAFT_MSG_VOTE:
        raft__on_vote(r, m);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_PRE_VOTE_REPLY:
    case OAK_RAFT_MSG_VOTE_REPLY:
        raft__on_vote_reply(r, m);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_APPEND:
        raft__on_append(r, m, intake);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_APPEND_REPLY:
        return raft__on_append_reply(r, m);
    case OAK_RAFT_MSG_HEARTBEAT:
        raft__on_heartbeat(r, m);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_HEARTBEAT_REPLY:
        return raft__on_heartbeat_reply(r, m);
    case OAK_RAFT_MSG_SNAPSHOT:
        raft__on_snapshot(r, m, false);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_READ:
        raft__on_read(r, m);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_READ_REPLY:
        raft__on_read_reply(r, m);
        return OAK_RAFT_OK;
    case OAK_RAFT_MSG_TIMEOUT_NOW:
        return raft__on_timeout_now(r, m);
    case OAK_RAFT_MSG_END_:
    default:
        OAK_UNREACHABLE("the type was checked");
    }
}

int oak_raft_step(struct oak_raft *r, const struct oak_raft_msg *msg)
{
    if (raft__halted(r)) {
        return OAK_RAFT_EHALTED;
    }
    int e = form_check(r, msg);
    if (e == OAK_RAFT_OK) {
        e = raft__reply_reserve(r);
    }
    if (e != OAK_RAFT_OK) {
        return e;
    }
    if (msg->term < r->term) {
        return step_stale(r, msg);
    }
    struct raft__intake intake = {0};
    if (from_leader(msg)) {
        e = leader_check(r, msg);
        if (e == OAK_RAFT_OK && msg->type == OAK_RAFT_MSG_APPEND) {
            e = raft__intake_plan(r, msg, &intake);
        }
        if (e != OAK_RAFT_OK) {
            return e;
        }
    }
    if (msg->term > r->term && !term_adopt(r, msg)) {
        return OAK_RAFT_OK;
    }
    return dispatch(r, msg, &intake);
}
