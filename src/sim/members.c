/* SPDX-License-Identifier: Apache-2.0 */
/* members.c: the group changes under the clients: members come and go, any number in one step, and
 * leadership is handed over.
 *
 * In a run with changes only the first few nodes are in the group from the start; the others know
 * of none and wait. A change gives random parts to all nodes. When all faults have ended, everybody
 * becomes a voter again, step by step, so that the last checks hold for all nodes.
 *
 * It draws from a generator of its own.
 */
#include "sim/internal.h"

#define SETTLE_STEP_MS 200
#define SETTLED_MS     60000

void sim__members_plan(struct sim *s)
{
    struct members *m = &s->members;
    oak_prng_init(&m->prng, s->options->seed ^ 0x6d656d626572ull);
    bool wanted = s->plan.nodes >= 3 && s->plan.ambush == AMBUSH_NONE && s->plan.groups == 1;
    bool changes = wanted && oak_prng_chance(&m->prng, 1, 3);
    bool transfers = wanted && oak_prng_chance(&m->prng, 1, 3);
    m->change_ms = changes ? oak_prng_between(&m->prng, 300, 5000) : 0;
    m->transfer_ms = transfers ? oak_prng_between(&m->prng, 500, 5000) : 0;
    m->cuts = oak_prng_chance(&m->prng, 1, 2) ? (unsigned)oak_prng_between(&m->prng, 10, 60) : 0;
    uint64_t most = (uint64_t)s->plan.nodes;
    s->plan.has[OAK_SIM_CHANGE] = changes;
    s->plan.has[OAK_SIM_HANDOVER] = transfers;
    if (changes) {
        /* Which nodes are a minority changes with the group; and what an absent member knows as the
         * group may be lost in its majority: docs/internals/repair.md, "Lost while the group
         * changes". */
        s->plan.victims = 0;
        s->plan.has[OAK_SIM_LOSS] = false;
        s->plan.mean_ms[OAK_SIM_LOSS] = 0;
    }
    m->born = changes ? (int)oak_prng_between(&m->prng, 1, most) : s->plan.nodes;
}

void sim__members_bootstrap(const struct sim *s, int node, struct oak_raft_config *out)
{
    int born = s->members.born != 0 ? s->members.born : s->world.node_count;
    bool first = s->nodes[node].id == (uint64_t)node + 1;
    for (int i = 0; i < born && node < born && first; i++) {
        out->voters[out->voter_count++] = (uint64_t)i + 1;
    }
}

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void ids_sort(uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t k = i; k > 0 && ids[k - 1] > ids[k]; k--) {
            uint64_t id = ids[k];
            ids[k] = ids[k - 1];
            ids[k - 1] = id;
        }
    }
}

static struct node *leader(struct sim *s)
{
    struct node *found = NULL;
    uint64_t term = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        if (!s->nodes[i].up) {
            continue;
        }
        oak_replica_status(sim__first(s, i)->replica, &status);
        if (status.raft.role == OAK_RAFT_LEADER && status.raft.term > term) {
            found = &s->nodes[i];
            term = status.raft.term;
        }
    }
    return found;
}

static uint64_t config_index(const struct node *n)
{
    struct oak_replica_status status;
    oak_replica_status(n->members[0].replica, &status);
    return status.raft.config_index;
}

static bool is_ready(struct node *n, uint64_t id)
{
    struct oak_raft_peer_status rows[OAK_RAFT_MEMBERS_MAX];
    size_t count = oak_replica_peers(n->members[0].replica, rows, OAK_COUNT_OF(rows));
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == id) {
            return rows[i].ready;
        }
    }
    return false;
}

static void change_done(struct oak_replica_request *request, int error,
                        const struct oak_kv_result *result)
{
    struct members *m = OAK_CONTAINER_OF(request, struct members, request);
    (void)result;
    m->busy = false;
    m->changes += error == 0 ? 1 : 0;
}

static void cut_event(struct world *w, struct event *e)
{
    const struct sim *s = e->arg;
    if (!s->settling) {
        memset(w->cut, 0, sizeof(w->cut));
    }
}

/* The leader and those who shall get a vote on one side, the voters of now on the other, in the
 * middle of the change: neither side may decide anything alone. */
static void change_cut(struct sim *s, const struct node *n, const struct oak_raft_config *now,
                       const struct oak_raft_config *target, struct oak_prng *p)
{
    struct world *w = &s->world;
    uint64_t side = 1ull << n->index;
    for (int i = 0; i < w->node_count; i++) {
        uint64_t id = s->nodes[i].id;
        bool comes = ids_have(target->voters, target->voter_count, id) &&
                     !ids_have(now->voters, now->voter_count, id);
        side |= comes ? 1ull << i : 0;
    }
    for (int a = 0; a < w->node_count; a++) {
        for (int b = 0; b < w->node_count; b++) {
            w->cut[a][b] = (side >> a & 1) != (side >> b & 1);
        }
    }
    s->report->partitions++;
    sim__tell(s, "-- a cut in the middle of a change");
    uint64_t ms = oak_prng_between(p, 1000, 6000);
    world_at(w, w->now_ns + ms * SIM_MS, -1, cut_event, s, oak_bytes(NULL, 0), 0);
}

/* `restless`: how many of a thousand get a new part; 0: all become voters. */
static void change(struct sim *s, struct node *n, uint64_t restless, uint32_t id,
                   struct oak_prng *p)
{
    struct members *m = &s->members;
    const struct oak_raft_config *now = oak_replica_config(n->members[0].replica);
    struct oak_raft_config target = {.lease_ms = now->lease_ms, .drift_ppm = now->drift_ppm};
    for (int i = 0; i < s->world.node_count; i++) {
        uint64_t member = s->nodes[i].id;
        bool voter = ids_have(now->voters, now->voter_count, member);
        bool learner = ids_have(now->learners, now->learner_count, member);
        uint64_t part = voter ? 2 : learner ? 1 : 0;
        if (restless == 0) {
            part = 2;
        } else if (oak_prng_below(p, 1000) < restless) {
            part = oak_prng_below(p, 3);
        }
        if (part == 2 && (voter || is_ready(n, member))) {
            target.voters[target.voter_count++] = member;
        } else if (part != 0) {
            target.learners[target.learner_count++] = member;
        }
    }
    ids_sort(target.voters, target.voter_count);
    ids_sort(target.learners, target.learner_count);
    if (m->busy || target.voter_count == 0 || (restless != 0 && sim__lapse_any(s))) {
        return; /* a change may need the vote of one that must lose it */
    }
    m->request = (struct oak_replica_request){.done = change_done};
    m->asked = n->index;
    m->asked_at = config_index(n);
    m->busy = oak_replica_reconfigure(n->members[0].replica, &target, &m->request) == 0;
    if (m->busy && restless == 0) {
        sim__tell(s, "-- n%d is asked for %u voters and %u learners", n->index + 1,
                  target.voter_count, target.learner_count);
    } else if (m->busy) {
        sim__fault_tell(s, OAK_SIM_CHANGE, id, "n%d is asked for %u voters and %u learners",
                        n->index + 1, target.voter_count, target.learner_count);
        if (oak_prng_chance(p, m->cuts, 100)) {
            change_cut(s, n, now, &target, p);
        }
    }
}

static void later(struct sim *s, uint64_t ms, void (*run)(struct world *, struct event *))
{
    world_at(&s->world, s->world.now_ns + ms * SIM_MS, -1, run, s, oak_bytes(NULL, 0), 0);
}

static uint64_t some(struct sim *s, uint64_t mean_ms)
{
    return 1 + oak_prng_below(&s->members.prng, 2 * mean_ms);
}

static void change_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct node *n = leader(s);
    struct oak_prng p = {{0}};
    uint32_t id = 0;
    (void)w;
    if (n != NULL && s->settling) {
        if (s->core == 0) { /* a majority alone stays one */
            change(s, n, 0, 0, &p);
        }
    } else if (n != NULL && sim__reaction(s, OAK_SIM_CHANGE, 1, 1, &p, &id)) {
        change(s, n, 1 + oak_prng_below(&p, 900), id, &p);
    }
    later(s, s->settling ? SETTLE_STEP_MS : some(s, s->members.change_ms), change_event);
}

static void transfer_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct node *n = leader(s);
    struct oak_prng p;
    uint32_t id;
    if (s->settling) {
        return;
    }
    if (n != NULL && sim__reaction(s, OAK_SIM_HANDOVER, 1, 1, &p, &id)) {
        uint64_t to = oak_prng_below(&p, (uint64_t)w->node_count + 1);
        to = to == 0 ? 0 : s->nodes[to - 1].id;
        if (oak_replica_transfer(n->members[0].replica, to) == 0) {
            sim__fault_tell(s, OAK_SIM_HANDOVER, id, "n%d hands over to %s%llu", n->index + 1,
                            to == 0 ? "whom it likes: " : "n", (unsigned long long)to);
        }
    }
    later(s, some(s, s->members.transfer_ms), transfer_event);
}

/* Until everybody votes: all others did before, or the fault would not have come. When all faults
 * have ended also those who forgot that they had got a vote, and whom nobody told. */
static void replace_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct node *n = leader(s);
    struct oak_prng p = {{0}};
    bool strange = false;
    (void)w;
    for (int i = 0; i < s->world.node_count && n != NULL; i++) {
        struct node *other = &s->nodes[i];
        const struct oak_raft_config *c = oak_replica_config(n->members[0].replica);
        bool votes = ids_have(c->voters, c->voter_count, other->id);
        other->strange = other->strange && !(votes && c->voter_outgoing_count == 0);
        strange = strange || other->strange || (s->settling && !votes);
    }
    if (n == NULL || strange) {
        if (n != NULL && !s->members.busy) {
            change(s, n, 0, 0, &p);
        }
        later(s, SETTLE_STEP_MS, replace_event);
    }
}

void sim__members_replace(struct sim *s)
{
    later(s, SETTLE_STEP_MS, replace_event);
}

void sim__members_start(struct sim *s)
{
    if (s->members.change_ms != 0) {
        later(s, some(s, s->members.change_ms), change_event);
    }
    if (s->members.transfer_ms != 0) {
        later(s, some(s, s->members.transfer_ms), transfer_event);
    }
}

void sim__members_settled(struct sim *s)
{
    const struct members *m = &s->members;
    const struct node *n = &s->nodes[m->asked];
    uint64_t until = s->world.now_ns + SETTLED_MS * SIM_MS;
    while (m->busy && n->up && config_index(n) == m->asked_at && sim__step(s)) {
        if (s->world.now_ns > until) {
            sim__fail(s, "liveness: %d s after all faults ended, node %d has not begun a change",
                      SETTLED_MS / 1000, n->index + 1);
        }
    }
}

bool sim__members_whole(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        if (s->nodes[i].dead) {
            continue;
        }
        const struct oak_raft_config *c = oak_replica_config(sim__first(s, i)->replica);
        for (int other = 0; other < s->world.node_count; other++) {
            if (!s->nodes[other].dead && !ids_have(c->voters, c->voter_count, s->nodes[other].id)) {
                return false;
            }
        }
        if (c->voter_outgoing_count != 0) {
            return false;
        }
    }
    return true;
}

void sim__members_look(struct member *m, const struct oak_replica_status *status)
{
    const struct oak_raft_config *c = oak_replica_config(m->replica);
    uint64_t id = m->node->id;
    if (status->raft.role == OAK_RAFT_LEADER && status->raft.config_index <= status->raft.commit &&
        !ids_have(c->voters, c->voter_count, id) &&
        !ids_have(c->voters_outgoing, c->voter_outgoing_count, id)) {
        sim__fail(m->group->sim, "membership: %s leads a group that it has left", m->name);
    }
}
