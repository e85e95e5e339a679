/* SPDX-License-Identifier: Apache-2.0 */
/* replicate.c: the leader: proposals, appends, acknowledgements, commit, check-quorum.
 *
 * Happy path   1 a proposal enters the log
 *              2 the next take hands it out for writing and to every peer in REPLICATE, in
 *                parallel (dissertation 10.2.1)
 *              3 acknowledgements, and this member's own finished write, raise the matches
 *              4 a majority commits, if the entry is of this term (Raft 5.4.2)
 *              5 peers hear of the commit with the next append, an empty one if need be.
 * Can fail     a proposal, for want of memory or room; nothing changed then.
 * Invariants   own match = durable; the log of a leader only grows; match < next for every peer.
 * Thread       the core's.
 */
#include "raft/internal.h"

void raft__lead(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    r->leader = r->id;
    r->beat_ms = r->now_ms;
    r->reads.lead_next = 0;
    r->calm_ms = r->now_ms;
    r->uncommitted_bytes = 0;
    for (uint64_t i = r->commit + 1; i <= raft__log_last(&r->log); i++) {
        r->uncommitted_bytes += raft__log_at(&r->log, i)->size;
    }
    for (size_t i = 0; i < r->peer_count; i++) {
        raft__peer_lead(&r->peers[i], raft__log_last(&r->log), r->now_ms);
        raft__catchup_start(r, &r->peers[i]);
    }
    raft__lease_lead(r);
    /* Its first entry lets it commit what older terms left behind. The room was reserved. */
    raft__noop_push(r);
}

int oak_raft_propose(struct oak_raft *r, const void *data, size_t size, uint64_t *index,
                     uint64_t *term)
{
    if (r->role != OAK_RAFT_LEADER || raft__halted(r)) {
        return raft__halted(r) ? OAK_RAFT_EHALTED : OAK_RAFT_ENOTLEADER;
    }
    if (size > r->entry_bytes_max) {
        return OAK_RAFT_ETOOLARGE;
    }
    if (r->transfer_to != 0) {
        return OAK_RAFT_ETRANSFER;
    }
    uint64_t waiting = raft__log_last(&r->log) - r->commit;
    uint64_t held = r->uncommitted_bytes + waiting * RAFT__ENTRY_OVERHEAD;
    /* A limit smaller than one entry must not stop an idle group. */
    if (waiting > 0 && held + size + RAFT__ENTRY_OVERHEAD > r->uncommitted_bytes_max &&
        !OAK_BUG(proposals_without_end)) {
        return OAK_RAFT_EBUSY;
    }
    if (raft__log_reserve(&r->log, 1) != OAK_RAFT_OK) {
        return OAK_RAFT_ENOMEM;
    }
    struct raft__payload *payload = NULL;
    if (size > 0) {
        payload = raft__payload_new(&r->alloc, data, size);
        if (payload == NULL) {
            return OAK_RAFT_ENOMEM;
        }
    }
    raft__log_push(&r->log, r->term, OAK_RAFT_ENTRY_DATA, payload, (uint32_t)size);
    raft__lease_made(r);
    r->uncommitted_bytes += size;
    if (index != NULL) {
        *index = raft__log_last(&r->log);
    }
    if (term != NULL) {
        *term = r->term;
    }
    return OAK_RAFT_OK;
}

/* Animals of the zoo: somebody without a vote counts in the place of the last voter. */
static void bugs_count(const struct oak_raft *r, struct raft__values *matches)
{
    uint64_t *last = &matches->of[0][0];
    for (size_t i = 1; i < matches->count[0]; i++) {
        last = matches->of[0][i] < *last ? &matches->of[0][i] : last;
    }
    for (size_t i = 0; OAK_BUG(learner_counts) && i < r->peer_count; i++) {
        *last = r->peers[i].learner ? OAK_MAX(*last, r->peers[i].match) : *last;
    }
    if (OAK_BUG(removed_leader_counts_itself) && r->halves == 0) {
        *last = OAK_MAX(*last, r->durable);
    }
}

void raft__commit_advance(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    if (raft__lease_defers(r)) {
        return; /* the leader before may still be reading by its lease */
    }
    struct raft__values matches;
    raft__values_init(&matches);
    raft__values_add(&matches, r->halves, r->durable);
    for (size_t i = 0; i < r->peer_count; i++) {
        raft__values_add(&matches, r->peers[i].halves, r->peers[i].match);
    }
    OAK_ASSERT_EQ(matches.count[0], r->config.voter_count);
    OAK_ASSERT_EQ(matches.count[1], r->config.voter_outgoing_count);
    if (OAK_BUG(learner_counts) || OAK_BUG(removed_leader_counts_itself)) {
        bugs_count(r, &matches);
    }
    uint64_t index = raft__values_quorum(&matches);
    uint64_t term = 0;
    if (index <= r->commit || !raft__log_term(&r->log, index, &term)) {
        return;
    }
    /* An entry of an older term may be on a majority and still be replaced (Raft figure 8): it
     * commits with an entry of this term behind it. */
    if (term == r->term || OAK_BUG(commit_older_term)) {
        raft__commit_to(r, index);
        raft__change_advance(r);
    }
}

bool raft__commit_is_own(const struct oak_raft *r)
{
    uint64_t term = 0;
    return raft__log_term(&r->log, r->commit, &term) && term == r->term;
}

void raft__leader_tick(struct oak_raft *r)
{
    /* Check-quorum (4.2.3): when did a majority last answer? */
    struct raft__values heard;
    raft__values_init(&heard);
    raft__values_add(&heard, r->halves, r->now_ms);
    for (size_t i = 0; i < r->peer_count; i++) {
        raft__values_add(&heard, r->peers[i].halves, r->peers[i].heard_ms);
    }
    if (r->now_ms - raft__values_quorum(&heard) >= r->election_ms) {
        raft__become_follower(r, r->term, 0);
        return;
    }
    if (r->now_ms - r->beat_ms < r->heartbeat_ms) {
        return;
    }
    for (size_t i = 0; i < r->peer_count; i++) {
        struct raft__peer *p = &r->peers[i];
        p->heartbeat_due = true;
        if (p->state == OAK_RAFT_PEER_PROBE && p->probe_sent) {
            p->probe_sent = false;
            p->probe_unanswered = true;
        }
        if (p->learner) {
            raft__catchup_tick(r, p);
        }
    }
    raft__transfer_tick(r);
    raft__priority_tick(r);
    raft__change_advance(r);
}

/* A peer has answered in this term: note it, and what round of reads it confirms. */
static struct raft__peer *peer_heard(struct oak_raft *r, const struct oak_raft_msg *m)
{
    struct raft__peer *p = raft__peer_find(r, m->from);
    if (p == NULL) {
        return NULL;
    }
    p->heard = true;
    p->heard_ms = r->now_ms;
    p->priority = m->priority;
    p->doubtful = m->doubtful;
    if (m->read_seq > p->read_acked) {
        p->read_acked = m->read_seq;
        raft__reads_confirm(r);
    }
    return p;
}

static void append_accepted(struct oak_raft *r, struct raft__peer *p, uint64_t index)
{
    uint64_t before = p->match;
    if (p->doubtful && index < before) {
        raft__peer_lost(p, index, index + 1);
    }
    raft__peer_acked(p, index, r->log.base, r->now_us);
    if (p->match == before) {
        return;
    }
    if (p->id == r->transfer_to) {
        raft__transfer_advance(r, p);
    }
    if (p->learner) {
        raft__catchup_acked(r, p);
    } else {
        raft__commit_advance(r);
    }
}

static void append_refused(struct oak_raft *r, struct raft__peer *p, const struct oak_raft_msg *m)
{
    /* The peer has nothing of a term above hint_term up to the refused entry; our last entry of
     * that term or less, no further than its hint, is the next that can agree. One try skips a
     * term. */
    uint64_t at = OAK_MIN(m->hint_index, raft__log_last(&r->log));
    uint64_t retry = raft__log_find_term(&r->log, at, m->hint_term);
    retry = at < r->log.base ? at : retry; /* below the log: a snapshot will have to do */
    if (m->doubtful && m->index <= p->match) {
        /* It had this entry when it acknowledged it, and has lost it since. */
        raft__peer_lost(p, 0, OAK_MIN(retry, m->index - 1) + 1);
        return;
    }
    (void)raft__peer_rejected(p, m->index, OAK_MIN(retry, m->index));
}

int raft__on_append_reply(struct oak_raft *r, const struct oak_raft_msg *m)
{
    if (r->role != OAK_RAFT_LEADER) {
        return OAK_RAFT_OK;
    }
    /* Nobody can hold more of this term's log than its leader. */
    if (m->index > raft__log_last(&r->log) || m->read_seq > r->reads.lead_next) {
        return OAK_RAFT_EINVAL;
    }
    struct raft__peer *p = peer_heard(r, m);
    if (p != NULL && m->reject) {
        append_refused(r, p, m);
    } else if (p != NULL) {
        append_accepted(r, p, m->index);
    }
    return OAK_RAFT_OK;
}

int raft__on_heartbeat_reply(struct oak_raft *r, const struct oak_raft_msg *m)
{
    if (r->role != OAK_RAFT_LEADER) {
        return OAK_RAFT_OK;
    }
    if (m->read_seq > r->reads.lead_next) {
        return OAK_RAFT_EINVAL;
    }
    struct raft__peer *p = peer_heard(r, m);
    if (p != NULL && m->doubtful && m->index < p->match) {
        raft__peer_lost(p, m->index, m->index + 1);
    }
    if (p != NULL && p->state == OAK_RAFT_PEER_REPLICATE && p->match < raft__log_last(&r->log)) {
        /* It lives, and something is unacknowledged: if that was lost, an empty append finds out.
         */
        p->nudge = true;
    }
    return OAK_RAFT_OK;
}

bool raft__peer_needs_snapshot(const struct oak_raft *r, const struct raft__peer *p)
{
    return p->state != OAK_RAFT_PEER_SNAPSHOT && p->next - 1 < r->log.base;
}

/* REPLICATE: the log has more, and some of it may leave. */
static bool payloads_room(const struct oak_raft *r, const struct raft__peer *p,
                          struct raft__room *room)
{
    return p->next <= raft__log_last(&r->log) &&
           raft__window_room(&p->window, raft__log_at(&r->log, p->next)->size, &r->inflight,
                             r->now_us, room);
}

bool raft__peer_wants_append(const struct oak_raft *r, const struct raft__peer *p)
{
    if (p->next - 1 < r->log.base) {
        return false;
    }
    if (p->state != OAK_RAFT_PEER_REPLICATE) {
        return p->state == OAK_RAFT_PEER_PROBE && !p->probe_sent;
    }
    if (p->nudge || p->commit_sent < OAK_MIN(r->commit, p->next - 1)) {
        return true;
    }
    struct raft__room room;
    return payloads_room(r, p, &room);
}

/* How many entries from `next` go into one message of at most `room`; the first in any case. */
static size_t entries_fit(const struct oak_raft *r, uint64_t next, const struct raft__room *room,
                          size_t *bytes)
{
    uint64_t last = raft__log_last(&r->log);
    const struct oak_raft_entry *e = raft__log_at(&r->log, next);
    size_t available = (size_t)OAK_MIN(last - next + 1, (uint64_t)room->entries);
    size_t count = 1;
    *bytes = e[0].size;
    while (count < available && *bytes <= room->bytes && e[count].size <= room->bytes - *bytes &&
           *bytes + e[count].size + (count + 1) * RAFT__ENTRY_OVERHEAD <= room->cost) {
        *bytes += e[count].size;
        count++;
    }
    return count;
}

void raft__append_make(struct oak_raft *r, struct raft__peer *p, struct oak_raft_msg *m)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    OAK_ASSERT(raft__peer_wants_append(r, p));
    uint64_t last = raft__log_last(&r->log);
    bool known = raft__log_term(&r->log, p->next - 1, &m->log_term);
    OAK_ASSERT(known);
    m->index = p->next - 1;
    m->commit = r->commit;
    m->read_seq = r->reads.lead_next;
    bool replicates = p->state == OAK_RAFT_PEER_REPLICATE;
    struct raft__room room = r->inflight;
    bool payloads =
        replicates ? payloads_room(r, p, &room) : p->next <= last && !p->probe_unanswered;
    if (payloads) {
        size_t bytes = 0;
        room.bytes = OAK_MIN(room.bytes, r->append_bytes_max);
        room.entries = OAK_MIN(room.entries, r->append_entries_max);
        m->entries = raft__log_at(&r->log, p->next);
        m->entry_count = entries_fit(r, p->next, &room, &bytes);
        if (replicates) {
            p->next += m->entry_count;
            raft__window_push(&p->window, p->next - 1, m->entry_count, bytes, p->next > last,
                              r->now_us);
        }
    }
    p->probe_sent = !replicates;
    p->nudge = false;
    p->commit_sent = OAK_MAX(p->commit_sent, OAK_MIN(m->commit, m->index + m->entry_count));
}

void oak_raft_snapshot_sent(struct oak_raft *r, uint64_t peer, uint64_t index, bool ok)
{
    struct raft__peer *p = r->role == OAK_RAFT_LEADER ? raft__peer_find(r, peer) : NULL;
    /* A report of an attempt that was overtaken, by an acknowledgement or a newer want, is late. */
    if (p == NULL || p->state != OAK_RAFT_PEER_SNAPSHOT || index < p->snapshot_min) {
        return;
    }
    uint64_t next = ok ? OAK_MIN(index, raft__log_last(&r->log)) + 1 : p->match + 1;
    raft__peer_probe(p, OAK_MAX(next, p->match + 1));
    /* Its acknowledgement is on the way, or it needs a pause: the heartbeat goes first. */
    p->probe_sent = true;
    p->heard = p->heard && ok;
}

void oak_raft_unreachable(struct oak_raft *r, uint64_t peer)
{
    struct raft__peer *p = r->role == OAK_RAFT_LEADER ? raft__peer_find(r, peer) : NULL;
    if (p != NULL && p->state == OAK_RAFT_PEER_REPLICATE) {
        raft__peer_probe(p, p->match + 1);
        p->probe_sent = true; /* not again at once: the heartbeat's pace is fast enough */
    }
}
