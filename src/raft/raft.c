/* SPDX-License-Identifier: Apache-2.0 */
/* raft.c: make, free, look at, and what the host reports beside messages. Door: oakum/raft.h.
 *
 * Reading order of the room: internal.h (the state), this file, step.c (messages in), election.c,
 * replicate.c (a leader), follower.c, read.c, output.c (work out), and below them log.c,
 * progress.c, flow.c, quorum.c, recover.c.
 *
 * Invariants of the core, after every call: log.base <= applied <= apply_issued <= commit <= last
 * (log.base may lead `applied` while a restore is under way) durable <= staged <= last
 * (staged may lag log.base likewise) acked <= min(verified, durable)
 * in the current term
 * Can fail     only new, for want of memory or sense.
 * Thread       the core's.
 */
#include "raft/internal.h"

static size_t or_default(size_t value, size_t fallback)
{
    return value == 0 ? fallback : value;
}

static void options_take(struct oak_raft *r, const struct oak_raft_options *o)
{
    const size_t mib = (size_t)1024 * 1024;
    r->id = o->id;
    r->group = o->group;
    r->alloc = o->alloc;
    r->random = o->seed ^ (o->id * 0xd6e8feb86659fd93u);
    r->heartbeat_ms = o->heartbeat_ms == 0 ? 100 : o->heartbeat_ms;
    r->election_ms = o->election_ms == 0 ? 1000 : o->election_ms;
    r->entry_bytes_max = or_default(o->entry_bytes_max, 2 * mib);
    r->append_bytes_max = or_default(o->append_bytes_max, mib);
    r->append_entries_max = or_default(o->append_entries_max, 4096);
    r->inflight.bytes = or_default(o->inflight_bytes_max, 8 * mib);
    r->inflight.entries = or_default(o->inflight_entries_max, 65536);
    r->inflight.cost = r->inflight.bytes + r->inflight.entries * RAFT__ENTRY_OVERHEAD;
    r->inflight_messages_max = or_default(o->inflight_messages_max, 256);
    r->uncommitted_bytes_max = or_default(o->uncommitted_bytes_max, 64 * mib);
    r->log_bytes_max = or_default(o->log_bytes_max, 256 * mib);
    r->priority = o->priority;
    r->priority_calm_ms = o->priority_calm_ms;
    r->apply_bytes_max = or_default(o->apply_bytes_max, 4 * mib);
}

static int log_take(struct oak_raft *r, const struct oak_raft_options *o)
{
    if (raft__log_reserve(&r->log, o->entry_count) != OAK_RAFT_OK) {
        return OAK_RAFT_ENOMEM;
    }
    for (size_t i = 0; i < o->entry_count; i++) {
        const struct oak_raft_entry *e = &o->entries[i];
        struct raft__payload *payload = NULL;
        if (e->size > 0) {
            payload = raft__payload_new(&r->alloc, e->data, e->size);
            if (payload == NULL) {
                return OAK_RAFT_ENOMEM;
            }
        }
        raft__log_push(&r->log, e->term, e->type, payload, e->size);
    }
    return OAK_RAFT_OK;
}

/* Which configuration is in force: those below `applied` are in the one that came with it. */
static void configs_take(struct oak_raft *r, const struct oak_raft_options *o)
{
    raft__config_start(r, o->applied, &o->snapshot.config);
    for (uint64_t i = o->applied + 1; i <= raft__log_last(&r->log); i++) {
        if (raft__log_at(&r->log, i)->type == OAK_RAFT_ENTRY_CONFIG) {
            raft__config_push(r, i);
        }
    }
}

int oak_raft_new(const struct oak_raft_options *options, struct oak_raft **out)
{
    *out = NULL;
    int e = raft__options_check(options);
    if (e != OAK_RAFT_OK) {
        return e;
    }
    struct oak_raft *r = options->alloc.resize(options->alloc.user, NULL, sizeof(*r));
    if (r == NULL) {
        return OAK_RAFT_ENOMEM;
    }
    memset(r, 0, sizeof(*r));
    options_take(r, options);
    raft__log_init(&r->log, &r->alloc, options->snapshot.index, options->snapshot.term);
    e = log_take(r, options);
    if (e != OAK_RAFT_OK) {
        oak_raft_free(r);
        return e;
    }
    r->role = OAK_RAFT_FOLLOWER;
    configs_take(r, options);
    r->term = options->hard_state.term;
    r->vote = options->hard_state.vote;
    r->hard_durable_term = r->term;
    r->hard_durable_vote = r->vote;
    if (r->term < options->snapshot.term) {
        /* The crash came between the snapshot's record and its term's: in that term nothing was
         * promised, because every promise waits for the whole batch. */
        r->term = options->snapshot.term;
        r->vote = 0;
    }
    /* What was applied had been committed, whatever the hint remembers. */
    /* In term 0 nothing was acknowledged yet, so nothing is in doubt. */
    r->doubt.open = options->in_doubt && r->term > 0;
    r->doubt.lifted_due = options->in_doubt && r->term == 0;
    r->commit = options->in_doubt ? options->applied
                                  : OAK_MAX(options->hard_state.commit, options->applied);
    r->hard_staged = options->hard_state;
    r->hard_staged.commit = OAK_MIN(r->hard_staged.commit, r->commit);
    r->staged = raft__log_last(&r->log);
    r->durable = r->staged;
    r->applied = options->applied;
    r->apply_issued = options->applied;
    r->verified = r->commit;
    raft__reads_init(&r->reads, raft__random(r) >> 2);
    raft__lease_init(r);
    raft__election_rearm(r);
    OAK_ASSERT_LE(r->applied, r->commit);
    OAK_ASSERT_LE(r->commit, r->durable);
    *out = r;
    return OAK_RAFT_OK;
}

void oak_raft_free(struct oak_raft *r)
{
    if (r == NULL) {
        return;
    }
    struct oak_raft_alloc alloc = r->alloc;
    raft__log_fini(&r->log);
    for (size_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].window.flights != NULL) {
            (void)alloc.resize(alloc.user, r->peers[i].window.flights, 0);
        }
    }
    for (size_t i = 0; i < r->spare_count; i++) {
        (void)alloc.resize(alloc.user, r->spare[i], 0);
    }
    if (r->replies != NULL) {
        (void)alloc.resize(alloc.user, r->replies, 0);
    }
    (void)alloc.resize(alloc.user, r, 0);
}

struct raft__peer *raft__peer_find(struct oak_raft *r, uint64_t id)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].id == id) {
            return &r->peers[i];
        }
    }
    return NULL;
}

struct raft__readers raft__readers(const struct oak_raft *r)
{
    return (struct raft__readers){
        .token = r->token_issued > r->token_persisted ? r->token_issued : 0,
        .apply_issued = r->apply_issued,
        .applied = r->applied,
    };
}

void raft__commit_to(struct oak_raft *r, uint64_t index)
{
    if (index <= r->commit) {
        return;
    }
    OAK_ASSERT_LE(index, raft__log_last(&r->log));
    if (r->role == OAK_RAFT_LEADER) {
        const struct oak_raft_entry *e = raft__log_at(&r->log, r->commit + 1);
        for (uint64_t i = r->commit; i < index; i++, e++) {
            OAK_ASSERT_GE(r->uncommitted_bytes, e->size);
            r->uncommitted_bytes -= e->size;
        }
    }
    uint64_t before = r->commit;
    r->commit = index;
    r->verified = OAK_MAX(r->verified, index);
    raft__lease_committed(r, before);
}

void oak_raft_clock(struct oak_raft *r, uint64_t now_us)
{
    r->now_us = OAK_MAX(r->now_us, now_us);
}

int oak_raft_tick(struct oak_raft *r, uint64_t now_ms)
{
    if (raft__halted(r)) {
        return OAK_RAFT_EHALTED;
    }
    if (!r->started) {
        r->started = true;
        r->now_ms = now_ms;
        oak_raft_clock(r, now_ms * 1000);
        r->heard_ms = now_ms;
        r->beat_ms = now_ms;
        r->random ^= now_ms * 0x9fb21c651e98df25u;
        for (size_t i = 0; i < r->peer_count; i++) {
            r->peers[i].heard_ms = now_ms;
        }
        r->reads.since_ms = now_ms;
        raft__lease_stamp(r);
        raft__election_rearm(r);
        return OAK_RAFT_OK;
    }
    if (now_ms <= r->now_ms) {
        return OAK_RAFT_OK;
    }
    r->now_ms = now_ms;
    raft__lease_stamp(r);
    oak_raft_clock(r, now_ms * 1000);
    if (r->role == OAK_RAFT_LEADER) {
        raft__leader_tick(r);
    }
    if (r->role == OAK_RAFT_LEADER) {
        raft__lease_tick(r);
    }
    raft__reads_expire(r);
    if (now_ms - r->beat_ms >= r->heartbeat_ms) {
        r->beat_ms = now_ms;
        r->hint_due = OAK_MIN(r->commit, r->durable) > r->hard_staged.commit;
    }
    if (r->role == OAK_RAFT_LEADER || now_ms < r->deadline_ms) {
        return OAK_RAFT_OK;
    }
    if (raft__may_campaign(r) && !raft__priority_waits(r)) {
        return raft__campaign(r);
    }
    /* It is somebody else's turn, a learner waits to be found, or this member is in doubt: no
     * leader is known. */
    raft__become_follower(r, r->term, 0);
    raft__election_rearm(r);
    return OAK_RAFT_OK;
}

void oak_raft_applied(struct oak_raft *r, uint64_t index)
{
    OAK_ASSERT_LE(index, r->apply_issued);
    if (index > r->applied) {
        uint64_t before = OAK_MAX(r->applied, r->log.base);
        r->applied = index;
        for (uint64_t i = before + 1; OAK_BUG(config_at_apply) && i <= index; i++) {
            if (raft__log_at(&r->log, i)->type == OAK_RAFT_ENTRY_CONFIG) {
                raft__config_push(r, i);
            }
        }
        raft__log_sweep(&r->log, r->token_persisted, r->applied);
    }
}

int oak_raft_compact(struct oak_raft *r, uint64_t index)
{
    if (index > r->applied || index <= r->log.base) {
        return OAK_RAFT_ERANGE;
    }
    if (OAK_BUG(truncate_committed) && index > r->durable) {
        return OAK_RAFT_ERANGE; /* the test's checks shall find it, not this assertion */
    }
    OAK_ASSERT_LE(index, r->durable);
    struct raft__readers readers = raft__readers(r);
    raft__log_compact(&r->log, index, &readers);
    return OAK_RAFT_OK;
}

bool oak_raft_term_at(const struct oak_raft *r, uint64_t index, uint64_t *term)
{
    return raft__log_term(&r->log, index, term);
}

bool oak_raft_entry_at(const struct oak_raft *r, uint64_t index, struct oak_raft_entry *out)
{
    if (index <= r->log.base || index > raft__log_last(&r->log)) {
        return false;
    }
    *out = *raft__log_at(&r->log, index);
    return true;
}

int oak_raft_campaign(struct oak_raft *r)
{
    if (raft__halted(r)) {
        return OAK_RAFT_EHALTED;
    }
    return raft__may_campaign(r) ? raft__campaign(r) : OAK_RAFT_EINVAL;
}

/* What can't be cut off any more in the term that is on disk. */
static uint64_t kept_index(const struct oak_raft *r)
{
    if (r->role == OAK_RAFT_LEADER) {
        return r->durable; /* a leader cuts nothing */
    }
    return OAK_MIN(r->hard_durable_term == r->term ? r->verified : r->commit, r->durable);
}

void oak_raft_status(const struct oak_raft *r, struct oak_raft_status *out)
{
    *out = (struct oak_raft_status){
        .id = r->id,
        .group = r->group,
        .role = r->role,
        .term = r->term,
        .vote = r->vote,
        .leader = r->leader,
        .commit = r->commit,
        .applied = r->applied,
        .first = r->log.base + 1,
        .last = raft__log_last(&r->log),
        .last_term = raft__log_last_term(&r->log),
        .durable = r->durable,
        .kept_term = r->hard_durable_term,
        .kept_vote = r->hard_durable_vote,
        .kept_index = kept_index(r),
        .config_index = r->config_index,
        .transfer = r->transfer_to,
        .in_doubt = r->doubt.open,
        .log_bytes = r->log.bytes,
        .uncommitted_bytes = r->uncommitted_bytes,
        .lease_left_ms = raft__lease_left(r),
        .commit_deferred = r->role == OAK_RAFT_LEADER && raft__lease_defers(r),
    };
}

const struct oak_raft_config *oak_raft_config(const struct oak_raft *r)
{
    return &r->config;
}

size_t oak_raft_peers(const struct oak_raft *r, struct oak_raft_peer_status *rows, size_t capacity)
{
    size_t count = r->role == OAK_RAFT_LEADER ? OAK_MIN(r->peer_count, capacity) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct raft__peer *p = &r->peers[i];
        rows[i] = (struct oak_raft_peer_status){
            .id = p->id,
            .match = p->match,
            .next = p->next,
            .learner = p->learner,
            .leaving = p->halves == RAFT__OUTGOING,
            .active = raft__peer_active(r, p),
            .silent_ms = r->now_ms - p->heard_ms,
            .ready = raft__catchup_ready(r, p),
            .priority = p->priority,
            .doubtful = p->doubtful,
            .inflight_bytes = p->window.bytes,
            .inflight_entries = p->window.entries,
            .window_bytes = raft__flow_window(&p->window.flow, r->inflight.cost, r->now_us),
            .round_trip_us = p->window.flow.base_us,
            .bytes_a_second = raft__flow_rate(&p->window.flow),
        };
        rows[i].state = p->state == OAK_RAFT_PEER_PROBE       ? OAK_RAFT_PEER_PROBE
                        : p->state == OAK_RAFT_PEER_REPLICATE ? OAK_RAFT_PEER_REPLICATE
                                                              : OAK_RAFT_PEER_SNAPSHOT;
    }
    return count;
}

const char *oak_raft_role_name(enum oak_raft_role role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    return (size_t)role < OAK_COUNT_OF(names) ? names[role] : "unknown";
}

const char *oak_raft_error_text(int error)
{
    static const char *const texts[] = {
        "ok",
        "out of memory",
        "invalid options, recovered state or message",
        "this member does not lead",
        "too many uncommitted bytes",
        "the entry is too large",
        "no leader is known",
        "the index is compacted or not applied yet",
        "another change is under way, or the leader is too new",
        "a member has not caught up yet",
        "leadership is being handed over",
        "what must not happen has happened: the core has stopped",
    };
    size_t at = error <= 0 && error > -64 ? (size_t)-error : OAK_COUNT_OF(texts);
    return at < OAK_COUNT_OF(texts) ? texts[at] : "unknown error";
}
