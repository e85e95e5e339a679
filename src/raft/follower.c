/* SPDX-License-Identifier: Apache-2.0 */
/* follower.c: what a leader sends is checked, stored and acknowledged.
 *
 * Happy path   1 plan the append: does the previous entry match, what is here already, what
 *                conflicts; copy the new payloads
 *              2 adopt the leader
 *              3 cut, append, learn the commit index
 *              4 acknowledge once durable (output.c).
 * Can fail     in 1 only: EHALTED when the message contradicts what is committed, or what the same
 *              leader has shown before; ENOMEM. Nothing changed then.
 * Invariants   nothing committed is ever cut; `verified` is how far our log equals that of the
 *              leader of this term: it only grows in a term, and bounds every acknowledgement.
 * Thread       the core's.
 */
#include "raft/internal.h"

/* Up to here nothing that this leader may say can differ from our log. */
static uint64_t settled(const struct oak_raft *r, const struct oak_raft_msg *m)
{
    /* A configuration that another one followed has committed (change.c). */
    uint64_t committed = OAK_MAX(r->commit, r->config_before.index);
    return m->term == r->term ? OAK_MAX(committed, r->verified) : committed;
}

static int contradicts(struct oak_raft *r, const struct oak_raft_msg *m, uint64_t index,
                       uint64_t term)
{
    bool committed = index <= OAK_MAX(r->commit, r->config_before.index);
    return raft__halt(r, committed ? OAK_RAFT_COMMITTED_DIFFERS : OAK_RAFT_LEADER_DIFFERS, m, index,
                      term);
}

/* Copies of the payloads of the new entries, chained in order. */
static int payloads_copy(struct oak_raft *r, const struct oak_raft_msg *m,
                         struct raft__intake *intake)
{
    struct raft__payload **end = &intake->payloads;
    for (size_t i = intake->skip; i < m->entry_count; i++) {
        const struct oak_raft_entry *e = &m->entries[i];
        if (e->size == 0) {
            continue;
        }
        *end = raft__payload_new(&r->alloc, e->data, e->size);
        if (*end == NULL) {
            while (intake->payloads != NULL) {
                struct raft__payload *p = intake->payloads;
                intake->payloads = p->next;
                raft__payload_free(&r->alloc, p);
            }
            return OAK_RAFT_ENOMEM;
        }
        end = &(*end)->next;
    }
    return OAK_RAFT_OK;
}

/* A follower whose state machine stands still, installing a snapshot perhaps, takes no more than it
 * has room for. The leader repeats the rest; what is applied and compacted makes room. */
static bool log_takes(const struct oak_raft *r, const struct oak_raft_msg *m, size_t skip)
{
    size_t bytes = r->log.bytes + r->log.count * RAFT__ENTRY_OVERHEAD;
    for (size_t i = skip; i < m->entry_count; i++) {
        bytes += (size_t)m->entries[i].size + RAFT__ENTRY_OVERHEAD;
    }
    return bytes <= r->log_bytes_max || r->log.count == 0;
}

int raft__intake_plan(struct oak_raft *r, const struct oak_raft_msg *m, struct raft__intake *intake)
{
    *intake = (struct raft__intake){0};
    const struct raft__log *log = &r->log;
    uint64_t term = 0;
    if (m->index < log->base) {
        intake->matches = true; /* compacted, so committed, so every leader's */
    } else if (raft__log_term(log, m->index, &term)) {
        intake->matches = term == m->log_term || OAK_BUG(log_check_skipped);
        if (!intake->matches && m->index <= settled(r, m)) {
            return contradicts(r, m, m->index, m->log_term);
        }
    }
    if (!intake->matches) {
        return OAK_RAFT_OK;
    }
    uint64_t last = raft__log_last(log);
    for (; intake->skip < m->entry_count; intake->skip++) {
        const struct oak_raft_entry *e = &m->entries[intake->skip];
        if (e->index > last) {
            break;
        }
        if (e->index < log->base) {
            continue;
        }
        bool known = raft__log_term(log, e->index, &term);
        OAK_ASSERT(known);
        if (term != e->term || (OAK_BUG(truncate_committed) && e->index > log->base)) {
            intake->conflict = e->index;
            break;
        }
    }
    bool cuts = OAK_BUG(truncate_committed) || OAK_BUG(log_check_skipped);
    uint64_t kept = cuts ? log->base : settled(r, m);
    if (intake->conflict != 0 && intake->conflict <= kept) {
        return contradicts(r, m, intake->conflict, m->entries[intake->skip].term);
    }
    if (intake->skip == m->entry_count) {
        return OAK_RAFT_OK;
    }
    /* A gap can't follow a matching previous entry; only below the base is there something to skip.
     */
    OAK_ASSERT_LE(m->entries[intake->skip].index, last + 1);
    if (!log_takes(r, m, intake->skip)) {
        return OAK_RAFT_ENOMEM;
    }
    int e = raft__log_reserve(&r->log, m->entry_count - intake->skip);
    return e != OAK_RAFT_OK ? e : payloads_copy(r, m, intake);
}

/* The leader of this term has spoken. */
static void contact(struct oak_raft *r, uint64_t from)
{
    if (r->role != OAK_RAFT_FOLLOWER || r->leader != from) {
        OAK_ASSERT(r->role != OAK_RAFT_LEADER);
        raft__become_follower(r, r->term, from);
    }
    r->heard_ms = r->now_ms;
    raft__election_rearm(r);
}

/* Our log agrees with the leader's up to `index`: tell it, as far as it is durable. */
static void verified_to(struct oak_raft *r, uint64_t index)
{
    r->verified = OAK_MAX(r->verified, index);
    r->asked = OAK_MAX(r->asked, index);
    OAK_ASSERT(r->verified <= raft__log_last(&r->log) || OAK_BUG(truncate_committed));
    /* What is durable already was told before, perhaps in vain: tell it again. The rest is told as
     * it becomes durable. */
    if (index <= r->durable || OAK_BUG(ack_before_sync)) {
        r->ack_due = true;
    }
    raft__doubt_check(r);
}

static void append_refuse(struct oak_raft *r, const struct oak_raft_msg *m)
{
    /* The largest entry of ours, at or below the refused one, that can agree with a log that has
     * log_term there: the leader's earlier entries are of no higher term. */
    uint64_t at = OAK_MIN(m->index - 1, raft__log_last(&r->log));
    uint64_t hint = OAK_MAX(raft__log_find_term(&r->log, at, m->log_term), r->commit);
    uint64_t hint_term = 0;
    bool known = raft__log_term(&r->log, hint, &hint_term);
    OAK_ASSERT(known || OAK_BUG(truncate_committed));
    raft__reply(r, &(struct raft__reply){
                       .type = OAK_RAFT_MSG_APPEND_REPLY,
                       .to = m->from,
                       .term = r->term,
                       .reject = true,
                       .doubtful = r->doubt.open,
                       .index = m->index,
                       .read_seq = m->read_seq,
                       .hint_index = hint,
                       .hint_term = hint_term,
                   });
}

void raft__on_append(struct oak_raft *r, const struct oak_raft_msg *m, struct raft__intake *intake)
{
    /* A leader that we can't follow yet is a leader all the same: the timer starts anew. */
    contact(r, m->from);
    if (!intake->matches) {
        append_refuse(r, m);
        return;
    }
    if (intake->conflict != 0) {
        OAK_ASSERT(intake->conflict > r->commit || OAK_BUG(truncate_committed) ||
                   OAK_BUG(log_check_skipped));
        struct raft__readers readers = raft__readers(r);
        raft__log_truncate(&r->log, intake->conflict, &readers);
        raft__written_clamp(r, intake->conflict - 1);
        raft__config_cut(r, intake->conflict);
    }
    struct raft__payload *payload = intake->payloads;
    for (size_t i = intake->skip; i < m->entry_count; i++) {
        const struct oak_raft_entry *e = &m->entries[i];
        struct raft__payload *own = NULL;
        if (e->size > 0) {
            own = payload;
            payload = payload->next;
        }
        raft__log_push(&r->log, e->term, e->type, own, e->size);
        if (e->type == OAK_RAFT_ENTRY_CONFIG) {
            raft__config_push(r, e->index);
        }
    }
    OAK_ASSERT(payload == NULL);
    if (intake->skip < m->entry_count) {
        raft__lease_received(r);
    }
    uint64_t end = m->index + m->entry_count;
    uint64_t commit = OAK_MIN(m->commit, end);
    /* It only brings the news of a commit, of what was acknowledged before: a fourth of all
     * messages would be answers to these. Was that acknowledgement lost, then the leader asks with
     * a heartbeat's pace, and has no news then. */
    bool news = m->entry_count == 0 && end <= r->acked && commit > r->commit &&
                m->read_seq <= r->append_read_seq;
    r->append_read_seq = OAK_MAX(r->append_read_seq, m->read_seq);
    if (!news) {
        verified_to(r, end);
    }
    raft__commit_to(r, commit);
}

void raft__on_heartbeat(struct oak_raft *r, const struct oak_raft_msg *m)
{
    contact(r, m->from);
    r->priority_expected = m->priority;
    /* It names no more than what we acknowledged as durable in this term, perhaps in an earlier
     * life. */
    uint64_t commit = m->commit;
    if (OAK_BUG(commit_beyond_match)) {
        commit = OAK_MIN(commit, raft__log_last(&r->log));
    }
    if (r->doubt.open) {
        /* That life may have lost what it acknowledged. */
        commit = OAK_MIN(commit, r->verified);
    }
    raft__commit_to(r, commit);
    raft__reply(r, &(struct raft__reply){
                       .type = OAK_RAFT_MSG_HEARTBEAT_REPLY,
                       .to = m->from,
                       .term = r->term,
                       .doubtful = r->doubt.open,
                       .index = r->doubt.open ? raft__doubt_holds(r) : 0,
                       .read_seq = m->read_seq,
                   });
}

bool raft__snapshot_differs(const struct oak_raft *r, const struct oak_raft_msg *m)
{
    uint64_t term = 0;
    bool known = raft__log_term(&r->log, m->snapshot.index, &term);
    bool differs = known && term != m->snapshot.term;
    return differs && m->snapshot.index <= settled(r, m);
}

/* The log becomes: all up to the snapshot's index is in the snapshot. */
static void restore(struct oak_raft *r, const struct oak_raft_snapshot *snapshot)
{
    uint64_t index = snapshot->index;
    OAK_ASSERT_GT(index, r->commit);
    uint64_t term = 0;
    bool known = raft__log_term(&r->log, index, &term);
    /* What follows an entry that equals the snapshot's last is as good as before. Else our log is
     * too short, or its end is of a leader who lost: it goes, or it would be refused again and
     * again. */
    bool keeps = known && (term == snapshot->term || OAK_BUG(snapshot_keeps_log));
    struct raft__readers readers = raft__readers(r);
    if (keeps) {
        raft__log_compact(&r->log, index, &readers);
    } else {
        raft__written_clamp(r, r->commit);
        raft__log_reset(&r->log, index, snapshot->term, &readers);
        r->verified = OAK_MIN(r->verified, index);
        r->asked = OAK_MIN(r->asked, index);
    }
    r->staged = OAK_MAX(r->staged, index);
    r->commit = index;
    r->apply_issued = index;
    /* Two before one take: the disk has seen neither, and keeps its log only if both would. */
    r->restore_keeps_log = keeps && (!r->restore_due || r->restore_keeps_log);
    r->restore = *snapshot;
    r->restore_due = true;
    raft__lease_received(r);
    raft__config_restore(r, snapshot, keeps);
}

void raft__on_snapshot(struct oak_raft *r, const struct oak_raft_msg *m, bool stale)
{
    if (!stale) {
        contact(r, m->from);
    }
    OAK_ASSERT(r->role == OAK_RAFT_FOLLOWER);
    if (m->snapshot.index > r->commit) {
        restore(r, &m->snapshot);
    }
    if (r->leader != 0) {
        verified_to(r, OAK_MIN(m->snapshot.index, r->commit));
    }
}
