/* SPDX-License-Identifier: Apache-2.0 */
/* read.c: linearizable reads without writing (dissertation 6.4).
 *
 * Happy path, leader     1 reads gather  2 a take begins a round: a number that counts within the
 * term goes out with heartbeats and appends, and the commit index is noted 3 a majority echoes that
 * number or a later one: the reads of the round are answered with the index. Happy path, follower
 * 1 reads gather  2 a take sends one question to the leader  3 the leader puts it into its next
 * round  4 the answer settles this question and all before it.
 *
 * Only what was asked for before a round began is answered by it: the echo proves that its sender
 * had not elected anybody else when it echoed, so the noted index covers all that was acknowledged
 * before the round began. A counter rather than an id per read: an echo that comes twice or late
 * can only confirm rounds that began before it was made.
 *
 * With a lease (lease.c) the leader's host has them all answered at once, without a round.
 *
 * A follower's questions are numbered from a random start, so that an answer that was meant for an
 * earlier life of this member, in the same term, matches nothing.
 *
 * Can fail     reads are lost when leader or term change, or nobody answers for an election
 *              time-out.
 * Invariants   answered <= rounded <= seq; rounds are in order of number and of seq.
 * Thread       the core's.
 */
#include "raft/internal.h"

void raft__reads_init(struct raft__reads *reads, uint64_t base)
{
    *reads = (struct raft__reads){.ask_next = base};
}

static struct raft__round *round_first(struct raft__reads *reads)
{
    OAK_ASSERT_GT(reads->count, 0u);
    return &reads->rounds[reads->first];
}

static void round_pop(struct raft__reads *reads)
{
    OAK_ASSERT_GT(reads->count, 0u);
    reads->first = (reads->first + 1) % RAFT__ROUNDS_MAX;
    reads->count--;
}

/* All reads up to `seq` have their answer. */
static void settle(struct raft__reads *reads, uint64_t seq, uint64_t index, bool lost)
{
    if (seq <= reads->answered) {
        return;
    }
    OAK_ASSERT_LE(seq, reads->seq);
    reads->answered = seq;
    reads->rounded = OAK_MAX(reads->rounded, seq);
    size_t count = reads->done_count;
    if (count > 0 && reads->done[count - 1].lost == lost && reads->done[count - 1].index == index) {
        reads->done[count - 1].seq = seq;
        return;
    }
    /* Rounds begin only at a take, which empties this; equal ends in a row are one. */
    OAK_ASSERT_LT(count, OAK_COUNT_OF(reads->done));
    reads->done[count] = (struct oak_raft_read_done){.seq = seq, .index = index, .lost = lost};
    reads->done_count++;
}

int oak_raft_read(struct oak_raft *r, uint64_t *seq)
{
    if (r->leader == 0 || raft__halted(r)) {
        return raft__halted(r) ? OAK_RAFT_EHALTED : OAK_RAFT_ENOLEADER;
    }
    struct raft__reads *reads = &r->reads;
    if (reads->seq == reads->rounded) {
        reads->since_ms = r->now_ms;
    }
    reads->seq++;
    *seq = reads->seq;
    return OAK_RAFT_OK;
}

bool raft__reads_can_begin(const struct oak_raft *r)
{
    const struct raft__reads *reads = &r->reads;
    if (reads->count == RAFT__ROUNDS_MAX) {
        return false;
    }
    bool wanted = reads->seq > reads->rounded;
    if (r->role == OAK_RAFT_FOLLOWER) {
        return wanted && r->leader != 0;
    }
    if (r->role != OAK_RAFT_LEADER) {
        return false;
    }
    for (size_t i = 0; i < r->peer_count && !wanted; i++) {
        wanted = r->peers[i].read_asked != 0;
    }
    /* Before a commit of its own term, a leader's commit index may lag what the leader before it
     * acknowledged. */
    return wanted && (raft__commit_is_own(r) || OAK_BUG(read_before_own_commit));
}

static void leader_begins(struct oak_raft *r, struct raft__round *round)
{
    r->reads.lead_next++;
    round->number = r->reads.lead_next;
    round->index = r->commit;
    round->end = raft__log_last(&r->log);
    for (size_t i = 0; i < r->peer_count; i++) {
        struct raft__peer *p = &r->peers[i];
        round->remote[i] = p->read_asked;
        p->read_asked = 0;
        /* An append may carry the number too, but its answer waits for a disk. */
        p->heartbeat_due = p->heartbeat_due || !p->learner;
    }
    raft__reads_confirm(r);
}

bool raft__reads_begin(struct oak_raft *r, uint64_t *ask)
{
    OAK_ASSERT(raft__reads_can_begin(r));
    struct raft__reads *reads = &r->reads;
    size_t at = (reads->first + reads->count) % RAFT__ROUNDS_MAX;
    struct raft__round *round = &reads->rounds[at];
    *round = (struct raft__round){
        .seq = reads->seq,
        .since_ms = reads->seq > reads->rounded ? reads->since_ms : r->now_ms,
    };
    reads->rounded = reads->seq;
    reads->count++;
    if (r->role == OAK_RAFT_LEADER) {
        leader_begins(r, round);
        return false;
    }
    reads->ask_next++;
    round->number = reads->ask_next;
    *ask = round->number;
    return true;
}

void raft__reads_confirm(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    struct raft__reads *reads = &r->reads;
    if (reads->count == 0) {
        return;
    }
    struct raft__values acked;
    raft__values_init(&acked);
    raft__values_add(&acked, r->halves, reads->lead_next);
    for (size_t i = 0; i < r->peer_count; i++) {
        raft__values_add(&acked, r->peers[i].halves, r->peers[i].read_acked);
    }
    uint64_t number = raft__values_quorum(&acked);
    if (OAK_BUG(read_without_quorum)) {
        number = reads->lead_next;
    }
    while (reads->count > 0 && round_first(reads)->number <= number) {
        const struct raft__round *round = round_first(reads);
        settle(reads, round->seq, round->index, false);
        for (size_t i = 0; i < r->peer_count; i++) {
            if (round->remote[i] != 0) {
                r->peers[i].read_answer = round->remote[i];
                r->peers[i].read_answer_at = round->index;
                r->peers[i].read_answer_end = round->end;
            }
        }
        round_pop(reads);
    }
}

bool raft__reads_waiting(const struct oak_raft *r)
{
    if (r->role != OAK_RAFT_LEADER) {
        return false;
    }
    bool waiting = r->reads.seq > r->reads.answered;
    for (size_t i = 0; i < r->peer_count && !waiting; i++) {
        waiting = r->peers[i].read_asked != 0;
    }
    return waiting || r->reads.count > 0;
}

void raft__reads_grant(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    OAK_ASSERT(raft__commit_is_own(r) || OAK_BUG(lease_from_uncommitted));
    struct raft__reads *reads = &r->reads;
    for (size_t i = 0; i < r->peer_count; i++) {
        struct raft__peer *p = &r->peers[i];
        /* Its newest question, which stands for those before it. */
        uint64_t asked = p->read_asked;
        for (size_t k = reads->count; asked == 0 && k > 0; k--) {
            asked = reads->rounds[(reads->first + k - 1) % RAFT__ROUNDS_MAX].remote[i];
        }
        if (asked != 0) {
            p->read_asked = 0;
            p->read_answer = asked;
            p->read_answer_at = r->commit;
            p->read_answer_end = raft__log_last(&r->log);
        }
    }
    settle(reads, reads->seq, r->commit, false);
    reads->first = 0;
    reads->count = 0;
}

void raft__reads_rows(struct raft__reads *reads, const uint8_t *from, size_t count, size_t none)
{
    for (size_t i = 0; i < reads->count; i++) {
        struct raft__round *round = &reads->rounds[(reads->first + i) % RAFT__ROUNDS_MAX];
        struct raft__round old = *round;
        memset(round->remote, 0, sizeof(round->remote));
        for (size_t row = 0; row < count; row++) {
            round->remote[row] = from[row] < none ? old.remote[from[row]] : 0;
        }
    }
}

void raft__reads_lose(struct oak_raft *r)
{
    settle(&r->reads, r->reads.seq, 0, true);
    r->reads.count = 0;
    r->reads.first = 0;
}

void raft__reads_expire(struct oak_raft *r)
{
    struct raft__reads *reads = &r->reads;
    while (reads->count > 0 && r->now_ms - round_first(reads)->since_ms >= r->election_ms) {
        settle(reads, round_first(reads)->seq, 0, true);
        round_pop(reads);
    }
    /* Behind rounds that still hope, the gathering reads are younger. */
    if (reads->count == 0 && reads->seq > reads->rounded &&
        r->now_ms - reads->since_ms >= r->election_ms) {
        settle(reads, reads->seq, 0, true);
    }
}

void raft__on_read(struct oak_raft *r, const struct oak_raft_msg *m)
{
    struct raft__peer *p = r->role == OAK_RAFT_LEADER ? raft__peer_find(r, m->from) : NULL;
    if (p == NULL) {
        raft__reply(r, &(struct raft__reply){
                           .type = OAK_RAFT_MSG_READ_REPLY,
                           .to = m->from,
                           .term = r->term,
                           .reject = true,
                           .read_seq = m->read_seq,
                       });
        return;
    }
    /* The newest question stands for those before it: their answer would be the same round's. */
    p->read_asked = m->read_seq;
}

void raft__on_read_reply(struct oak_raft *r, const struct oak_raft_msg *m)
{
    struct raft__reads *reads = &r->reads;
    if (r->role != OAK_RAFT_FOLLOWER || r->leader != m->from) {
        return;
    }
    raft__doubt_answered(r, m);
    /* The answer to a question is one to those before it. */
    size_t settled = 0;
    while (settled < reads->count && m->read_seq <= reads->ask_next &&
           reads->rounds[(reads->first + settled) % RAFT__ROUNDS_MAX].number <= m->read_seq) {
        settled++;
    }
    if (settled == 0) {
        return; /* answered before, given up, or another life's */
    }
    for (; settled > 1; settled--) {
        round_pop(reads);
    }
    settle(reads, round_first(reads)->seq, m->index, m->reject);
    round_pop(reads);
}
