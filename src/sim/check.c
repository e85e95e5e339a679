/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: who watches while the cluster runs.
 *
 *   election safety        at most one leader in a term, by what nodes are and by what they say
 *   leader completeness    who leads holds all that was committed in earlier terms
 *   state machine safety   an index is applied with the same entry (term, bytes) everywhere: with
 *                          it log matching of all that is committed, and that nothing committed is
 *                          lost
 *   order                  no index is applied before the one below it was applied somewhere
 *   no way back            within a life, commit and applied never fall (promises: promise.c)
 *   equal state            the running hash at an equal applied index is equal
 *   snapshots              what a store says of its applied term is what was applied there
 *   revisions, model       they are what a second, simple state machine makes of the log (model.c)
 *
 * What is looked at in the end is check_end.c's; linearizability and the order of revisions that
 * clients saw are the room check's.
 */
#include <inttypes.h>

#include "sim/internal.h"

uint8_t *sim__cell(struct oak_buf *table, uint64_t place)
{
    OAK_ASSERT_LT(place, 1u << 24);
    size_t end = 8 * ((size_t)place + 1);
    if (end > table->size) {
        int error = oak_buf_reserve(table, end - table->size);
        OAK_ASSERT_EQ(error, 0);
        memset(table->data + table->size, 0, end - table->size);
        table->size = end;
    }
    return table->data + end - 8;
}

static struct entry_known *entry_at(struct group *g, uint64_t index)
{
    if (index >= g->entry_count) {
        size_t count = OAK_MAX((size_t)index + 1, OAK_MAX((size_t)1024, g->entry_count * 2));
        struct oak_alloc a = g->sim->options->alloc;
        g->entries = a.resize(a.user, g->entries, count * sizeof(*g->entries));
        OAK_ASSERT(g->entries != NULL);
        memset(g->entries + g->entry_count, 0, (count - g->entry_count) * sizeof(*g->entries));
        g->entry_count = count;
    }
    return &g->entries[index];
}

void sim__check_applied(struct member *m, uint64_t index, uint64_t term, struct oak_bytes entry)
{
    struct group *g = m->group;
    struct sim *s = g->sim;
    const struct entry_known seen = {
        .term = term, .crc = oak_crc32c(0, entry.data, entry.size), .size = (uint32_t)entry.size};
    struct entry_known *known = entry_at(g, index);
    if (known->term == 0) {
        *known = seen;
        if (index != g->model.index + 1) {
            sim__fail(s, "order: %s applies index %" PRIu64 ", nobody has applied the one before",
                      m->name, index);
            return;
        }
        known->revision = sim__model_apply(&g->model, index, entry);
        sim__leases_applied(g, entry);
        s->report->commits++;
        return;
    }
    if (known->term != seen.term || known->crc != seen.crc || known->size != seen.size) {
        sim__fail(s,
                  "state machine safety: %s applies at index %" PRIu64 " an entry of term %" PRIu64
                  " (%u bytes), another was applied there in term %" PRIu64 " (%u bytes)",
                  m->name, index, seen.term, seen.size, known->term, known->size);
    }
}

/* The highest index that is known to be committed in a term below `term`. */
static uint64_t committed_before(const struct group *g, uint64_t term)
{
    uint64_t index = g->model.index;
    while (index > 0 && g->entries[index].term >= term) {
        index--;
    }
    return index;
}

/* Who leads holds all that was committed before its term. */
static void complete_check(struct member *m, uint64_t term)
{
    struct oak_replica_status status;
    uint64_t committed = committed_before(m->group, term);
    oak_replica_status(m->replica, &status);
    if (status.raft.term == term && status.raft.last < committed) {
        sim__fail(m->group->sim,
                  "leader completeness: %s leads in term %" PRIu64 " with a log up to %" PRIu64
                  ", %" PRIu64 " was committed before",
                  m->name, term, status.raft.last, committed);
    }
}

void sim__check_leads(struct member *m, uint64_t term)
{
    struct group *g = m->group;
    struct sim *s = g->sim;
    uint8_t *leader = sim__cell(&g->leaders, term);
    uint64_t known = oak_get_u64(leader);
    if (known == m->node->id) {
        return;
    }
    if (known != 0) {
        sim__fail(s, "election safety: %s and node %" PRIu64 " both lead in term %" PRIu64, m->name,
                  known, term);
        return;
    }
    oak_put_u64(leader, m->node->id);
    s->report->elections++;
    if (g->index == 0) {
        sim__tell(s, "n%d leads in term %" PRIu64, m->node->index + 1, term);
    }
    complete_check(m, term);
    sim__leader_new(m->node);
}

/* Within a life nothing that was committed or applied is taken back. */
static void forward_check(struct member *m, uint64_t commit, uint64_t applied)
{
    if (commit < m->commit_seen || applied < m->applied_seen) {
        sim__fail(m->group->sim,
                  "no way back: %s goes from commit %" PRIu64 ", applied %" PRIu64
                  " to commit %" PRIu64 ", applied %" PRIu64,
                  m->name, m->commit_seen, m->applied_seen, commit, applied);
    }
    m->commit_seen = commit;
    m->applied_seen = applied;
}

/* The store against what others have made of the same log. */
static void state_check(struct member *m, const struct oak_store_state *state)
{
    struct group *g = m->group;
    struct sim *s = g->sim;
    uint8_t *chain = sim__cell(&g->chains, state->applied);
    uint64_t known = oak_get_u64(chain);
    if (known == 0) {
        oak_put_u64(chain, state->chain);
    } else if (known != state->chain && state->applied > 0) {
        sim__fail(s, "equal state: %s differs at applied index %" PRIu64, m->name, state->applied);
    }
    if (state->applied >= g->entry_count || g->entries[state->applied].term == 0) {
        return;
    }
    const struct entry_known *entry = &g->entries[state->applied];
    if (entry->revision != state->revision) {
        sim__fail(
            s, "revisions: %s is at %" PRId64 " behind index %" PRIu64 ", the model is at %" PRId64,
            m->name, state->revision, state->applied, entry->revision);
    }
    if (entry->term != state->applied_term) {
        sim__fail(s,
                  "snapshots: the store of %s says that index %" PRIu64 " is of term %" PRIu64
                  ", it was applied in term %" PRIu64,
                  m->name, state->applied, state->applied_term, entry->term);
    }
}

void sim__check_step(struct member *m)
{
    struct sim *s = m->group->sim;
    struct oak_replica_status status;
    oak_replica_status(m->replica, &status);
    if (status.raft.role == OAK_RAFT_LEADER) {
        sim__check_leads(m, status.raft.term);
    }
    if (status.installing && !m->installing_seen) {
        sim__install_new(m->node);
    }
    m->installing_seen = status.installing;
    sim__memory_look(m, &status);
    sim__members_look(m, &status);
    sim__quorums_look(m, &status);
    sim__lapse_look(m, &status);
    sim__transfer_look(m, &status);
    if (status.installing) {
        return;
    }
    const struct oak_store_state *state = oak_kv_state(oak_replica_kv(m->replica));
    state_check(m, state);
    forward_check(m, status.raft.commit, state->applied);
    if (state->applied > status.raft.commit) {
        sim__fail(s, "%s has applied %" PRIu64 " but committed only %" PRIu64, m->name,
                  state->applied, status.raft.commit);
    }
    sim__leases_look(m);
    sim__guests_look(m);
    if (++m->looks % 8 == 0) {
        sim__check_bounds(m, &status);
    }
}
