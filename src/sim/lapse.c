/* SPDX-License-Identifier: Apache-2.0 */
/* lapse.c: nodes that forget.
 *
 * One's disk is gone for good: it comes back empty, under a new id, and the group takes that in for
 * the old one (members.c).
 *
 * One's disk is put back to what it was a while ago.
 *
 * One node at a time, and only when so many others remember more of it, on their disks, that a
 * majority without any of them is none (docs/internals/repair.md has the rule). Where the group
 * changes, all others must. Then nothing that it had promised may be missed:
 *
 *      sound ──put back──▶ rolled ──is told──▶ mute ──has no vote──▶ excused ──votes──▶ sound
 *
 *   forgotten   while it is rolled or mute it says nothing that promises anything; and when all has
 *               ended, nobody is rolled who was not told
 *
 * When it is excused, what it promised before is void, for the other checkers too.
 */
#include "sim/internal.h"

#define RETRY_NS (500 * SIM_MS)
#define TRIES    16

bool sim__lapse_is(const struct node *n)
{
    bool any = false;
    for (int g = 0; g < n->sim->plan.groups; g++) {
        any = any || n->members[g].lapse != LAPSE_NONE;
    }
    return any;
}

bool sim__lapse_any(const struct sim *s)
{
    bool any = false;
    for (int i = 0; i < s->world.node_count; i++) {
        any = any || sim__lapse_is(&s->nodes[i]);
    }
    return any;
}

/* -- a copy is kept ---------------------------------------------------------------------------- */

static bool votes(const struct oak_raft_config *c, uint64_t id)
{
    bool found = false;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        found = found || c->voters[i] == id;
    }
    return found;
}

/* It has said something already, knows all of it, and does not think that it may decide alone. */
static bool is_worth_keeping(const struct member *m, const struct oak_replica_status *status)
{
    const struct oak_raft_config *c = oak_replica_config(m->replica);
    return status->past == OAK_PEER_SOUND && status->raft.kept_term > 0 &&
           status->raft.config_index <= status->raft.kept_index && c->voter_outgoing_count == 0 &&
           (c->voter_count > 1 || !votes(c, m->node->id));
}

static void image_drop(struct sim *s)
{
    sim_disk_image_free(s->rollback.image);
    s->rollback.image = NULL;
}

static bool image_take(struct node *n)
{
    struct sim *s = n->sim;
    struct rollback *back = &s->rollback;
    for (int g = 0; g < s->plan.groups; g++) {
        struct member *m = &n->members[g];
        struct oak_replica_status status;
        oak_replica_status(m->replica, &status);
        if (!is_worth_keeping(m, &status)) {
            return false;
        }
        /* No more than this is in the image, whatever of it was certain. */
        back->at[g] = oak_replica_past(m->replica);
        back->member = n->id;
        back->at[g].term = status.raft.term;
        back->at[g].vote = status.raft.vote;
        back->at[g].index = status.raft.last;
    }
    back->image = sim_disk_image_take(s->world.machines[n->index].disk);
    back->node = n;
    back->taken_ns = s->world.now_ns;
    back->tries = 0;
    if (sim_disk_image_has(back->image, "/newborn")) {
        image_drop(s); /* it would be taken for one that has lost all, and end */
    }
    return back->image != NULL;
}

/* -- and put back ------------------------------------------------------------------------------ */

static bool is_beyond(const struct oak_peer_memory *memory, const struct oak_peer_memory *at)
{
    if (memory->number != at->number || memory->run != at->run || memory->term != at->term) {
        return memory->number > at->number || (memory->run == at->run && memory->term > at->term);
    }
    return (memory->vote != 0 && memory->vote != at->vote) || memory->index > at->index;
}

static bool is_remembered(struct sim *s, int group)
{
    const struct node *n = s->rollback.node;
    int count = s->world.node_count, remember = 0;
    for (int i = 0; i < count; i++) {
        const struct node *other = &s->nodes[i];
        struct oak_peer_memory memory;
        if (other != n && other->up && !sim__lapse_is(other) &&
            oak_replica_remembers(other->members[group].replica, n->id, &memory) &&
            is_beyond(&memory, &s->rollback.at[group])) {
            remember++;
        }
    }
    int majority = count / 2 + 1;
    return remember >= (s->plan.has[OAK_SIM_CHANGE] ? count - 1 : count - majority + 1);
}

/* Who leads, if nobody knows a later term, and something of this term is committed: then no other
 * log can win that has a change of the group which its own has not. And of what a leader alone has
 * of its term, learners may have: without it, a leader of before that does not know it is none may
 * ask for those learners as voters, and needs their votes by what its log says, which theirs are
 * ahead of (docs/internals/repair.md, "Lost while the group changes"). Else NULL. */
static const struct member *leader_for_sure(struct sim *s, int group)
{
    const struct member *leader = NULL;
    uint64_t term = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        const struct member *m = &s->nodes[i].members[group];
        struct oak_replica_status status;
        if (!s->nodes[i].up) {
            continue;
        }
        oak_replica_status(m->replica, &status);
        bool leads = status.raft.role == OAK_RAFT_LEADER &&
                     oak_kv_state(oak_replica_kv(m->replica))->applied_term == status.raft.term;
        if (status.raft.term > term) {
            leader = leads ? m : NULL;
            term = status.raft.term;
        } else if (status.raft.term == term && leads) {
            leader = m;
        }
    }
    return leader;
}

/* The group as it is does without this node, and is not about to change. */
static bool is_spared(struct sim *s, const struct node *n, int group)
{
    const struct member *leader = leader_for_sure(s, group);
    struct oak_replica_status status;
    if (leader == NULL) {
        return false;
    }
    const struct oak_raft_config *c = oak_replica_config(leader->replica);
    oak_replica_status(leader->replica, &status);
    return status.raft.config_index <= status.raft.commit && c->voter_outgoing_count == 0 &&
           (c->voter_count >= 3 || !votes(c, n->id));
}

/* Everybody else is well. */
static bool is_calm(const struct sim *s)
{
    bool calm = !s->members.busy && !sim__lapse_any(s);
    for (int i = 0; i < s->world.node_count; i++) {
        calm = calm && !s->nodes[i].strange;
    }
    return calm;
}

static bool may_be_put_back(struct sim *s)
{
    bool may = is_calm(s);
    for (int g = 0; may && g < s->plan.groups; g++) {
        may = is_remembered(s, g) && is_spared(s, s->rollback.node, g);
    }
    return may;
}

static void back_event(struct world *w, struct event *e)
{
    struct sim *s = e->arg;
    struct rollback *back = &s->rollback;
    if (back->image == NULL) {
        return;
    }
    struct node *n = back->node;
    if (s->settling || back->tries == TRIES || back->member != n->id) {
        image_drop(s);
        return;
    }
    if (!may_be_put_back(s)) {
        back->tries++;
        world_at(w, w->now_ns + RETRY_NS, -1, back_event, s, oak_bytes(NULL, 0), 0);
        return;
    }
    sim__fault_tell(s, OAK_SIM_ROLLBACK, back->id,
                    "n%d's disk is put back to what it was %llu ms ago", n->index + 1,
                    (unsigned long long)((w->now_ns - back->taken_ns) / SIM_MS));
    sim__node_crash(n);
    sim_disk_image_put(w->machines[n->index].disk, back->image);
    image_drop(s);
    for (int g = 0; g < s->plan.groups; g++) {
        n->members[g].lapse = LAPSE_ROLLED;
    }
}

void sim__fault_rollback(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct world *w = &s->world;
    struct node *n = sim__node_any(s, p);
    uint64_t wait_ms = oak_prng_between(p, 200, 15000);
    if (n == NULL || s->rollback.image != NULL || sim__lapse_is(n) || !image_take(n)) {
        return;
    }
    s->rollback.id = f->id;
    sim__tell(s, "-- n%d's disk as it is now is kept", n->index + 1);
    world_at(w, w->now_ns + wait_ms * SIM_MS, -1, back_event, s, oak_bytes(NULL, 0), 0);
}

/* -- gone for good ----------------------------------------------------------------------------- */

/* The old id is dead, and never speaks again. Not once a disk was put back: who forgets is told so
 * by those who remember, and one of them would be gone. */
void sim__fault_loss(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct node *n = sim__node_any(s, p);
    bool lapsed = s->report->faults[OAK_SIM_ROLLBACK] != 0;
    if (n == NULL || lapsed || !is_calm(s) || !is_spared(s, n, 0)) {
        return;
    }
    sim__fault_tell(s, f->kind, f->id, "n%d loses its disk, and comes back as member %llu",
                    n->index + 1, (unsigned long long)(n->id + SIM_NODES_MAX));
    sim__node_crash(n);
    sim_disk_wipe(s->world.machines[n->index].disk);
    n->id += SIM_NODES_MAX;
    n->strange = true;
    sim__promises_void(&n->members[0]);
    n->members[0].died_term = 0;
    sim__members_replace(s);
}

void sim__lapse_fini(struct sim *s)
{
    image_drop(s);
}

/* -- who watches ------------------------------------------------------------------------------- */

void sim__promises_void(struct member *m)
{
    struct group *g = m->group;
    m->promised = 0;
    m->acked = 0;
    m->acked_term = 0;
    size_t cells = g->votes.size / 8;
    for (size_t at = (size_t)m->node->index; at < cells; at += SIM_NODES_MAX) {
        oak_put_u64(g->votes.data + 8 * at, 0);
    }
}

void sim__lapse_start(struct member *m, const struct oak_replica_status *status)
{
    /* Its power was gone before it had written down that it forgot: it will be told anew. */
    if (m->lapse == LAPSE_MUTE && status->past != OAK_PEER_FORGOT) {
        m->lapse = LAPSE_ROLLED;
    }
}

void sim__lapse_look(struct member *m, const struct oak_replica_status *status)
{
    if (m->lapse == LAPSE_NONE) {
        return;
    }
    if (status->mute) {
        m->lapse = LAPSE_MUTE;
    } else if (m->lapse == LAPSE_MUTE) {
        m->lapse = LAPSE_EXCUSED;
        sim__promises_void(m);
    } else if (m->lapse == LAPSE_EXCUSED && status->past == OAK_PEER_SOUND) {
        m->lapse = LAPSE_NONE;
    }
}

void sim__lapse_promise(struct member *m, const char *what)
{
    if (m->lapse == LAPSE_ROLLED || m->lapse == LAPSE_MUTE) {
        sim__fail(m->group->sim, "forgotten: %s %s, and its disk is an older one", m->name, what);
    }
}

void sim__lapse_end(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        for (int g = 0; g < s->plan.groups; g++) {
            struct member *m = &s->nodes[i].members[g];
            if (m->lapse == LAPSE_ROLLED) {
                sim__fail(s, "forgotten: nobody has told %s that its disk is an older one",
                          m->name);
            }
        }
    }
}
