/* SPDX-License-Identifier: Apache-2.0 */
/* change.c: who is in the group, as the log says it (Raft section 6, dissertation chapter 4).
 *
 * Happy path   1 the leader appends a joint configuration; from then on it decides with both halves
 *              2 it commits
 *              3 the leader appends the configuration that leaves it; that one decides alone
 *              4 it commits; a leader that is not in it tells so, steps down, and has the best
 *                of the others stand at once.
 *
 * A configuration is in force from the moment it is in the log, here and on every follower: one
 * that waited for its commit could elect a leader by the old majority while the new one already
 * decides. So it also goes when its entry is cut off. How far back can that go? A leader appends a
 * configuration only once the one before has committed, and after a commit of its own term. So
 * of all configurations in a log only the newest can ever be cut, and two are all there is to
 * remember: the one in force, and the one before it, wherever that one's entry is by now.
 *
 * Can fail     oak_raft_change, before anything changes. Leaving needs memory too: without it, it
 *              is tried again with the next tick.
 * Invariants   config_before.index <= config_index; the former is committed, known here or not. On
 *              a leader, every peer has its window.
 * Thread       the core's.
 */
#include "raft/internal.h"

/* -- rows of peers ----------------------------------------------------------------------------- */

int raft__flights_reserve(struct oak_raft *r, size_t count)
{
    OAK_ASSERT_LE(count, (size_t)OAK_RAFT_MEMBERS_MAX);
    if (r->inflight_messages_max > SIZE_MAX / sizeof(struct raft__flight)) {
        return OAK_RAFT_ENOMEM;
    }
    while (r->spare_count < count) {
        struct raft__flight *flights = r->alloc.resize(
            r->alloc.user, NULL, r->inflight_messages_max * sizeof(struct raft__flight));
        if (flights == NULL) {
            return OAK_RAFT_ENOMEM;
        }
        r->spare[r->spare_count] = flights;
        r->spare_count++;
    }
    return OAK_RAFT_OK;
}

void raft__window_give(struct oak_raft *r, struct raft__peer *p)
{
    if (p->window.flights == NULL) {
        OAK_ASSERT_GT(r->spare_count, 0u);
        r->spare_count--;
        p->window = (struct raft__window){
            .flights = r->spare[r->spare_count],
            .capacity = r->inflight_messages_max,
        };
    }
}

static void window_back(struct oak_raft *r, struct raft__peer *p)
{
    if (p->window.flights != NULL) {
        OAK_ASSERT_LT(r->spare_count, (size_t)OAK_RAFT_MEMBERS_MAX);
        r->spare[r->spare_count] = p->window.flights;
        r->spare_count++;
        p->window = (struct raft__window){0};
    }
}

static struct raft__peer peer_new(struct oak_raft *r, uint64_t id)
{
    struct raft__peer p = {.id = id, .next = 1, .heard_ms = r->now_ms};
    if (r->role == OAK_RAFT_LEADER) {
        raft__window_give(r, &p);
        raft__peer_lead(&p, raft__log_last(&r->log), r->now_ms);
        p.heartbeat_due = true;
    }
    return p;
}

/* The rows become those of the configuration in force. Who stays keeps all that is known of it. */
static void peers_follow(struct oak_raft *r)
{
    struct raft__peer old[OAK_RAFT_MEMBERS_MAX];
    size_t old_count = r->peer_count;
    memcpy(old, r->peers, old_count * sizeof(old[0]));
    uint64_t ids[OAK_RAFT_MEMBERS_MAX];
    size_t count = raft__config_members(&r->config, ids);
    uint8_t from[OAK_RAFT_MEMBERS_MAX]; /* row in `old`, or old_count */
    size_t at = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (raft__config_halves(&r->config, old[i].id) == 0 &&
            !raft__config_learns(&r->config, old[i].id)) {
            window_back(r, &old[i]);
        }
    }
    r->peer_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == r->id) {
            continue;
        }
        while (at < old_count && old[at].id < ids[i]) {
            at++;
        }
        bool known = at < old_count && old[at].id == ids[i];
        from[r->peer_count] = (uint8_t)(known ? at : old_count);
        struct raft__peer *p = &r->peers[r->peer_count];
        *p = known ? old[at] : peer_new(r, ids[i]);
        p->halves = raft__config_halves(&r->config, p->id);
        bool learned = p->learner;
        p->learner = p->halves == 0;
        if (r->role == OAK_RAFT_LEADER && p->learner && (!known || !learned)) {
            raft__catchup_start(r, p);
        }
        r->peer_count++;
    }
    r->halves = raft__config_halves(&r->config, r->id);
    raft__reads_rows(&r->reads, from, r->peer_count, old_count);
}

/* -- the configuration in force ---------------------------------------------------------------- */

static void config_use(struct oak_raft *r, uint64_t index, const struct oak_raft_config *config)
{
    OAK_ASSERT(oak_raft_config_check(config) == OAK_RAFT_OK);
    r->config_index = index;
    r->config = *config;
    peers_follow(r);
}

void raft__config_start(struct oak_raft *r, uint64_t index, const struct oak_raft_config *config)
{
    r->config_before = (struct raft__config_at){.index = index, .config = *config};
    config_use(r, index, config);
}

void raft__config_push(struct oak_raft *r, uint64_t index)
{
    if (OAK_BUG(config_at_apply) && index > r->applied) {
        return;
    }
    OAK_ASSERT_GT(index, r->config_index);
    struct oak_raft_config config;
    int e = raft__config_entry_decode(raft__log_at(&r->log, index), &config);
    OAK_ASSERT(e == OAK_RAFT_OK); /* it was checked as it came in */
    r->config_before = (struct raft__config_at){.index = r->config_index, .config = r->config};
    config_use(r, index, &config);
}

void raft__config_cut(struct oak_raft *r, uint64_t from)
{
    if (r->config_index < from || OAK_BUG(config_not_rolled_back)) {
        return;
    }
    OAK_ASSERT(r->config_before.index < from || OAK_BUG(truncate_committed) ||
               OAK_BUG(log_check_skipped));
    config_use(r, r->config_before.index, &r->config_before.config);
}

void raft__config_restore(struct oak_raft *r, const struct oak_raft_snapshot *snapshot, bool keeps)
{
    bool above = keeps && r->config_index > snapshot->index;
    if (!above) {
        raft__config_start(r, snapshot->index, &snapshot->config);
    } else if (r->config_before.index <= snapshot->index) {
        r->config_before = (struct raft__config_at){
            .index = snapshot->index,
            .config = snapshot->config,
        };
    }
}

/* -- a change, on the leader ------------------------------------------------------------------- */

/* Append a configuration and use it. Everything it needs but the entry is there. */
static int config_append(struct oak_raft *r, const struct oak_raft_config *config)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    OAK_ASSERT_LE(r->config_index, r->commit);
    uint8_t bytes[OAK_RAFT_CONFIG_BYTES_MAX];
    size_t size = oak_raft_config_encode(config, bytes);
    if (raft__log_reserve(&r->log, 1) != OAK_RAFT_OK) {
        return OAK_RAFT_ENOMEM;
    }
    struct raft__payload *payload = raft__payload_new(&r->alloc, bytes, size);
    if (payload == NULL) {
        return OAK_RAFT_ENOMEM;
    }
    raft__log_push(&r->log, r->term, OAK_RAFT_ENTRY_CONFIG, payload, (uint32_t)size);
    r->uncommitted_bytes += size;
    raft__lease_made(r);
    raft__config_push(r, raft__log_last(&r->log));
    return OAK_RAFT_OK;
}

/* May `target` follow the configuration in force now? */
static int change_check(struct oak_raft *r, const struct oak_raft_config *target)
{
    if (r->role != OAK_RAFT_LEADER || raft__halted(r)) {
        return raft__halted(r) ? OAK_RAFT_EHALTED : OAK_RAFT_ENOTLEADER;
    }
    if (oak_raft_config_check(target) != OAK_RAFT_OK || target->voter_count == 0 ||
        raft__config_joint(target)) {
        return OAK_RAFT_EINVAL;
    }
    /* Single steps would need the last of these rules for their majorities to meet (Ongaro 2015).
     * Joint ones don't, but by it a change rests on what this leader has committed, and on nothing
     * that it only believes. */
    if (r->config_index > r->commit || raft__config_joint(&r->config) || !raft__commit_is_own(r)) {
        return OAK_RAFT_EPENDING;
    }
    if (r->transfer_to != 0) {
        return OAK_RAFT_ETRANSFER;
    }
    if (raft__config_same(&r->config, target)) {
        return OAK_RAFT_EINVAL;
    }
    for (uint32_t i = 0; i < target->voter_count; i++) {
        uint64_t id = target->voters[i];
        if (raft__config_halves(&r->config, id) != 0) {
            continue;
        }
        const struct raft__peer *p = raft__peer_find(r, id);
        if (p == NULL || !raft__catchup_ready(r, p)) {
            return OAK_RAFT_ENOTREADY;
        }
    }
    return OAK_RAFT_OK;
}

int oak_raft_change(struct oak_raft *r, const struct oak_raft_config *target, uint64_t *index,
                    uint64_t *term)
{
    int e = change_check(r, target);
    if (e != OAK_RAFT_OK) {
        return e;
    }
    struct oak_raft_config next;
    raft__config_enter(&r->config, target, &next);
    next = OAK_BUG(joint_skipped) ? *target : next;
    if (oak_raft_config_check(&next) != OAK_RAFT_OK) {
        return OAK_RAFT_EINVAL; /* too many members on the way */
    }
    uint64_t ids[OAK_RAFT_MEMBERS_MAX];
    size_t count = raft__config_members(&next, ids);
    size_t added = 0;
    for (size_t i = 0; i < count; i++) {
        added += ids[i] != r->id && raft__peer_find(r, ids[i]) == NULL;
    }
    e = raft__flights_reserve(r, added);
    if (e == OAK_RAFT_OK) {
        e = config_append(r, &next);
    }
    if (e != OAK_RAFT_OK) {
        return e;
    }
    if (index != NULL) {
        *index = raft__log_last(&r->log);
    }
    if (term != NULL) {
        *term = r->term;
    }
    return OAK_RAFT_OK;
}

void raft__change_advance(struct oak_raft *r)
{
    OAK_ASSERT(r->role == OAK_RAFT_LEADER);
    if (r->config_index > r->commit || !raft__commit_is_own(r)) {
        return;
    }
    if (raft__config_joint(&r->config)) {
        if (r->transfer_to != 0) {
            return; /* the target must have all of the log: the next leader goes on */
        }
        /* Names nobody whom the joint one doesn't: no window is missing. */
        struct oak_raft_config next;
        raft__config_leave(&r->config, &next);
        (void)config_append(r, &next);
    } else if (r->halves == 0) {
        struct raft__peer *best = raft__transfer_best(r);
        raft__lease_give_up(r);
        raft__become_follower(r, r->term, 0);
        if (best != NULL) {
            best->timeout_now_due = true;
        }
        /* Others who lose their vote by this must know that it has committed, or each of them would
         * stand in its turn. */
        for (size_t i = 0; i < r->peer_count; i++) {
            r->peers[i].farewell_due = true;
        }
    }
}
