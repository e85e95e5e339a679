/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: linearizable reads without a round: "the log is the lease" (LeaseGuard, arXiv
 * 2512.15659). docs/internals/reads.md has the proof. D is the configuration's lease_ms.
 *
 * Happy path   1 a leader notes when it made its entries
 *              2 one commits: until D after its making this leader answers reads from what it has
 *                applied. Every commit renews that; an idle leader that is asked for reads makes a
 *                no-op each third of D
 *              3 a new leader takes and replicates writes at once, but commits nothing until every
 *                entry of earlier terms in its log is certainly older than D: whatever its
 *                predecessor may still be answering by is among them
 *              4 meanwhile, with clocks of known error, it may read by its predecessor's lease what
 *                no entry in limbo bears on: one that may or may not have been committed
 *              5 who hands over gives its lease up before it tells the next leader to stand: that
 *                one need not wait.
 *
 * Clocks. 1 to 3 need a bound on drift only. A leader counts from the tick before it made an entry,
 * a follower from the tick after it received it, a member that was started from its start. Both
 * round by a millisecond in the safe direction, and stretch by drift_ppm. 4 compares the times of
 * two members, so the host says how late and how early it can be.
 *
 * Changing D. A leader uses the least, a new one waits by the most of the D in force and of those
 * in its log. When a change has committed, its leader has waited out all leases by the D before it.
 *
 * Can fail     nothing: a no-op for which there is no memory is not made, and the lease runs out.
 * Invariants   held: marks[first] has committed in this term and led; no entry is younger than
 *              append_ms but for fresh ones.
 * Thread       the core's.
 */
#include "raft/internal.h"

/* Of an idle leader that was not asked for reads for so many leases, none is renewed. */
#define KEEP_LEASES 16

struct bounds {
    uint64_t least_ms; /* of D */
    uint64_t use_ms;   /* a leader's own lease, by its own clock */
    uint64_t wait_ms;  /* a new leader's patience, by its own clock */
};

static struct bounds bounds_of(const struct oak_raft *r)
{
    const uint64_t million = 1000000;
    /* A change that has not committed may be cut off again: then the configuration before it is
     * what the others go by. */
    const struct oak_raft_config *now = &r->config;
    const struct oak_raft_config *other =
        r->config_index > r->commit ? &r->config_before.config : &r->config;
    uint64_t least = OAK_MIN(now->lease_ms, other->lease_ms);
    uint64_t most = OAK_MAX(now->lease_ms, other->lease_ms);
    uint64_t drift = OAK_MAX(now->drift_ppm, other->drift_ppm);
    drift = OAK_BUG(lease_drift_ignored) ? 0 : drift;
    return (struct bounds){
        .least_ms = least,
        .use_ms = least * (million - drift) / million,
        .wait_ms = most == 0 ? 0 : (most * (million + drift) + million - 1) / million + 1,
    };
}

/* What this member did not learn of time. */
void raft__lease_init(struct oak_raft *r)
{
    r->lease.append_fresh = raft__log_last(&r->log) > 0 && !OAK_BUG(lease_restart_forgets);
    raft__lease_committed(r, r->log.base);
}

void raft__lease_received(struct oak_raft *r)
{
    r->lease.append_fresh = true;
}

void raft__lease_made(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    struct raft__lease *l = &r->lease;
    l->append_fresh = true;
    l->made_ms = r->now_ms;
    size_t newest = (l->mark_first + l->mark_count + RAFT__MARKS_MAX - 1) % RAFT__MARKS_MAX;
    bool covered = l->mark_count > 0 && l->marks[newest].ms == r->now_ms;
    if (!covered && l->mark_count < RAFT__MARKS_MAX) {
        l->marks[(l->mark_first + l->mark_count) % RAFT__MARKS_MAX] =
            (struct raft__mark){.index = raft__log_last(&r->log), .ms = r->now_ms};
        l->mark_count++;
    }
    if (OAK_BUG(lease_from_uncommitted)) {
        l->held = true;
        l->mark_first = (l->mark_first + l->mark_count - 1) % RAFT__MARKS_MAX;
        l->mark_count = 1;
    }
}

static uint64_t wall_read(const struct oak_raft_entry *e)
{
    const uint8_t *p = e->data;
    uint64_t wall = 0;
    for (size_t i = RAFT__NOOP_BYTES; i > 0; i--) {
        wall = wall << 8 | p[i - 1];
    }
    return wall;
}

void raft__noop_push(struct oak_raft *r)
{
    struct raft__lease *l = &r->lease;
    struct raft__payload *payload = NULL;
    if (l->wall_ms != 0) {
        uint8_t bytes[RAFT__NOOP_BYTES];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)(l->wall_ms >> (8 * i));
        }
        payload = raft__payload_new(&r->alloc, bytes, sizeof(bytes));
    }
    uint32_t size = payload == NULL ? 0 : RAFT__NOOP_BYTES;
    raft__log_push(&r->log, r->term, OAK_RAFT_ENTRY_NOOP, payload, size);
    r->uncommitted_bytes += size;
    if (size > 0) {
        l->walled_ms = r->now_ms;
        l->walled = raft__log_last(&r->log);
    }
    raft__lease_made(r);
}

void raft__lease_committed(struct oak_raft *r, uint64_t before)
{
    struct raft__lease *l = &r->lease;
    for (uint64_t i = OAK_MAX(before, r->log.base) + 1; i <= r->commit; i++) {
        const struct oak_raft_entry *e = raft__log_at(&r->log, i);
        if (e->type == OAK_RAFT_ENTRY_NOOP && e->size == RAFT__NOOP_BYTES) {
            l->committed_wall_ms = OAK_MAX(l->committed_wall_ms, wall_read(e));
        }
    }
    if (r->role != OAK_RAFT_LEADER) {
        return;
    }
    l->held = l->held || (l->mark_count > 0 && l->marks[l->mark_first].index <= r->commit);
    while (l->mark_count > 1 &&
           l->marks[(l->mark_first + 1) % RAFT__MARKS_MAX].index <= r->commit) {
        l->mark_first = (l->mark_first + 1) % RAFT__MARKS_MAX;
        l->mark_count--;
    }
}

void raft__lease_end(struct oak_raft *r)
{
    r->lease.held = false;
    r->lease.mark_first = 0;
    r->lease.mark_count = 0;
}

void raft__lease_give_up(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    if (!OAK_BUG(lease_kept_in_transfer)) {
        raft__lease_end(r);
    }
    r->lease.given_up = raft__log_last(&r->log);
}

uint64_t raft__lease_given_up(const struct oak_raft *r)
{
    /* Before its own first commit, this member does not know of the leases before it. */
    bool known = raft__commit_is_own(r) && r->lease.given_up == raft__log_last(&r->log);
    return known ? r->lease.given_up : 0;
}

void raft__lease_released(struct oak_raft *r, uint64_t last)
{
    r->lease.released = last;
    r->lease.released_term = r->term;
}

/* The leader of the term before has given its lease up and told this member to stand. Has that one
 * changed its mind since, then by an entry that would be in this log, had it committed: with a log
 * that ends where it ended then, nobody reads by any lease (docs/internals/reads.md). */
static bool spared(const struct oak_raft *r)
{
    const struct raft__lease *l = &r->lease;
    return r->transfer_wanted && l->released > 0 && l->released_term + 1 == r->term &&
           l->released == l->limbo_last;
}

/* Nobody else can be reading. Was this member made the only voter by a change, then that must have
 * committed: its leader has stepped down with that, and waited out all leases before its own. */
static bool alone(const struct oak_raft *r)
{
    return r->config.voter_count == 1 && r->halves == RAFT__INCOMING &&
           r->config_index <= r->commit;
}

void raft__lease_lead(struct oak_raft *r)
{
    struct raft__lease *l = &r->lease;
    raft__lease_end(r);
    l->walled = 0;
    l->limbo_last = raft__log_last(&r->log);
    l->defer_for_ms = bounds_of(r).wait_ms;
    l->defer_fresh = l->append_fresh;
    l->defer_ms = l->append_ms;
    l->defers = l->defer_for_ms > 0 && l->limbo_last > 0 && !alone(r) && !spared(r) &&
                (l->defer_fresh || r->now_ms - l->defer_ms < l->defer_for_ms) &&
                !OAK_BUG(lease_not_deferred);
}

bool raft__lease_defers(const struct oak_raft *r)
{
    return r->lease.defers;
}

void raft__lease_stamp(struct oak_raft *r)
{
    struct raft__lease *l = &r->lease;
    if (l->append_fresh) {
        l->append_fresh = false;
        l->append_ms = r->now_ms;
    }
    if (l->defer_fresh) {
        l->defer_fresh = false;
        l->defer_ms = r->now_ms;
    }
}

/* A lease, or the news of when it was made, is about to get old, and somebody reads here. */
static bool noop_due(const struct oak_raft *r)
{
    const struct raft__lease *l = &r->lease;
    struct bounds b = bounds_of(r);
    if (b.use_ms == 0 || alone(r) || !l->asked ||
        r->now_ms - l->asked_ms > KEEP_LEASES * b.least_ms) {
        return false;
    }
    /* What is on its way will renew it, if anything can. */
    bool quiet = raft__log_last(&r->log) == r->commit;
    bool old = quiet && r->now_ms - l->made_ms >= b.use_ms / 3;
    bool wall_old = l->wall_ms != 0 && l->walled <= r->commit &&
                    (l->walled == 0 || r->now_ms - l->walled_ms >= b.use_ms / 3);
    return old || wall_old;
}

void raft__lease_tick(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    struct raft__lease *l = &r->lease;
    OAK_ASSERT(!l->defer_fresh);
    if (l->defers) {
        if (r->now_ms - l->defer_ms >= l->defer_for_ms) {
            l->defers = false;
            raft__commit_advance(r);
        }
        return;
    }
    if (r->transfer_to == 0 && noop_due(r) && raft__log_reserve(&r->log, 1) == OAK_RAFT_OK) {
        raft__noop_push(r);
    }
}

/* How long the own lease holds from `now_ms` on; 0: it doesn't. */
static uint64_t own_left(const struct oak_raft *r, uint64_t now_ms)
{
    const struct raft__lease *l = &r->lease;
    if (r->role != OAK_RAFT_LEADER || !l->held) {
        return 0;
    }
    uint64_t since = l->marks[l->mark_first].ms;
    uint64_t use = bounds_of(r).use_ms;
    if (now_ms < since || now_ms - since + 1 >= use) {
        return 0;
    }
    return use - (now_ms - since + 1);
}

uint64_t raft__lease_left(const struct oak_raft *r)
{
    return own_left(r, r->now_ms);
}

static void asked_note(struct oak_raft *r)
{
    r->lease.asked = true;
    r->lease.asked_ms = r->now_ms;
}

static bool inherits(const struct oak_raft *r, const struct oak_raft_now *now)
{
    uint64_t made = r->lease.committed_wall_ms;
    uint64_t term = 0;
    if (r->role != OAK_RAFT_LEADER || made == 0 || now->wall_latest_ms < made ||
        !raft__log_term(&r->log, r->commit, &term) || term == r->term) {
        return false;
    }
    return now->wall_latest_ms - made + 1 < bounds_of(r).least_ms;
}

void oak_raft_lease(struct oak_raft *r, const struct oak_raft_now *now, struct oak_raft_lease *out)
{
    *out = (struct oak_raft_lease){.kind = OAK_RAFT_LEASE_NONE, .limbo_first = 1};
    asked_note(r);
    if (raft__halted(r) || (r->transfer_to != 0 && !OAK_BUG(lease_kept_in_transfer))) {
        return; /* the next leader may be there any moment, and waits for nobody's lease */
    }
    uint64_t now_ms = OAK_BUG(lease_stale_clock) ? r->now_ms : now->mono_ms;
    if (own_left(r, now_ms) > 0) {
        out->kind = OAK_RAFT_LEASE_OWN;
        out->index = r->commit;
    } else if (inherits(r, now)) {
        out->kind = OAK_RAFT_LEASE_INHERITED;
        out->index = r->commit;
        out->limbo_first = r->commit + 1;
        out->limbo_last = r->lease.limbo_last;
    }
}

bool oak_raft_lease_grant(struct oak_raft *r, const struct oak_raft_now *now)
{
    if (!raft__reads_waiting(r)) {
        return false;
    }
    struct oak_raft_lease lease;
    oak_raft_lease(r, now, &lease);
    if (lease.kind != OAK_RAFT_LEASE_OWN) {
        return false;
    }
    raft__reads_grant(r);
    return true;
}

void oak_raft_wall(struct oak_raft *r, uint64_t earliest_ms)
{
    r->lease.wall_ms = earliest_ms;
}
