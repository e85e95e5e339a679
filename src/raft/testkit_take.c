/* SPDX-License-Identifier: Apache-2.0 */
/* testkit_take.c: what leaves a core is described, checked and kept. See testkit.h. */
#include "raft/testkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {"?",
                                         "pre-vote",
                                         "pre-vote-reply",
                                         "vote",
                                         "vote-reply",
                                         "append",
                                         "append-reply",
                                         "heartbeat",
                                         "heartbeat-reply",
                                         "snapshot",
                                         "read",
                                         "read-reply",
                                         "timeout-now"};

static size_t ids_describe(const char *head, const uint64_t *ids, uint32_t count, char *text,
                           size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < count && at < size; i++) {
        at += (size_t)snprintf(text + at, size - at, "%s%d", head, (int)ids[i]);
    }
    return at;
}

void kit_config_describe(const struct oak_raft_config *c, char *text, size_t size)
{
    size_t at = ids_describe(" ", c->voters, c->voter_count, text, size);
    if (c->voter_outgoing_count > 0) {
        at += (size_t)snprintf(text + at, size - at, " <-");
        at += ids_describe(" ", c->voters_outgoing, c->voter_outgoing_count, text + at, size - at);
    }
    at += ids_describe(" +", c->learners, c->learner_count, text + at, size - at);
    at += ids_describe(" ~", c->learners_next, c->learner_next_count, text + at, size - at);
    if (c->lease_ms != 0) {
        at += (size_t)snprintf(text + at, size - at, " lease=%d", (int)c->lease_ms);
    }
    if (c->drift_ppm != 0) {
        at += (size_t)snprintf(text + at, size - at, " drift=%d", (int)c->drift_ppm);
    }
    (void)snprintf(text + at, size - at, "%s", at == 0 ? " nobody" : "");
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

bool kit_config_votes(const struct oak_raft_config *c, uint64_t id)
{
    return ids_have(c->voters, c->voter_count, id) ||
           ids_have(c->voters_outgoing, c->voter_outgoing_count, id);
}

bool kit_config_has(const struct oak_raft_config *c, uint64_t id)
{
    return kit_config_votes(c, id) || ids_have(c->learners, c->learner_count, id);
}

static size_t entry_describe(const struct oak_raft_entry *e, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "%d:%d", (int)e->term, (int)e->index);
    struct oak_raft_config c;
    if (e->type == OAK_RAFT_ENTRY_CONFIG && oak_raft_config_decode(e->data, e->size, &c) == 0) {
        char config[256];
        kit_config_describe(&c, config, sizeof(config));
        at += (size_t)snprintf(text + at, size - at, "={%s}", config + 1);
    } else if (e->size > 0 && e->type == OAK_RAFT_ENTRY_NOOP) {
        at += (size_t)snprintf(text + at, size - at, "@%d", *(const uint8_t *)e->data);
    } else if (e->size > 0) {
        at += (size_t)snprintf(text + at, size - at, "=%.*s", e->size > 12 ? 12 : (int)e->size,
                               (const char *)e->data);
    }
    return at;
}

static size_t entries_describe(const struct oak_raft_entry *entries, size_t count, char *text,
                               size_t size)
{
    size_t at = (size_t)snprintf(text, size, " [");
    for (size_t i = 0; i < count && at + 200 < size; i++) {
        const struct oak_raft_entry *e = &entries[i];
        if (i > 3 && i + 1 < count) {
            at += (size_t)snprintf(text + at, size - at, " ..");
            i = count - 2;
            continue;
        }
        at += (size_t)snprintf(text + at, size - at, "%s", i == 0 ? "" : " ");
        at += entry_describe(e, text + at, size - at);
    }
    at += (size_t)snprintf(text + at, size - at, "]");
    return at;
}

void kit_describe(const struct oak_raft_msg *m, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "%d->%d %s term=%d", (int)m->from, (int)m->to,
                                 type_names[m->type], (int)m->term);
#define ADD(...)                                                   \
    do {                                                           \
        at += (size_t)snprintf(text + at, size - at, __VA_ARGS__); \
    } while (0)
    if (m->type == OAK_RAFT_MSG_PRE_VOTE || m->type == OAK_RAFT_MSG_VOTE) {
        ADD(" last=%d:%d", (int)m->log_term, (int)m->index);
    } else if (m->type == OAK_RAFT_MSG_APPEND) {
        ADD(" prev=%d:%d commit=%d", (int)m->log_term, (int)m->index, (int)m->commit);
    } else if (m->type == OAK_RAFT_MSG_APPEND_REPLY ||
               (m->type == OAK_RAFT_MSG_HEARTBEAT_REPLY && m->doubtful)) {
        ADD(" index=%d", (int)m->index);
    } else if (m->type == OAK_RAFT_MSG_READ_REPLY) {
        ADD(" index=%d end=%d", (int)m->index, (int)m->hint_index);
    } else if (m->type == OAK_RAFT_MSG_HEARTBEAT) {
        ADD(" commit=%d", (int)m->commit);
    } else if (m->type == OAK_RAFT_MSG_TIMEOUT_NOW && m->index != 0) {
        ADD(" released=%d", (int)m->index);
    } else if (m->type == OAK_RAFT_MSG_SNAPSHOT) {
        ADD(" at=%d:%d", (int)m->snapshot.term, (int)m->snapshot.index);
    }
    if (m->transfer) {
        ADD(" transfer");
    }
    if (m->priority != 0) {
        ADD(" priority=%d", (int)m->priority);
    }
    if (m->reject) {
        ADD(" reject");
        if (m->type == OAK_RAFT_MSG_APPEND_REPLY) {
            ADD(" hint=%d:%d", (int)m->hint_term, (int)m->hint_index);
        }
    }
    if (m->doubtful) {
        ADD(" doubtful");
    }
    if (m->read_seq != 0) {
        if (m->type == OAK_RAFT_MSG_READ || m->type == OAK_RAFT_MSG_READ_REPLY) {
            ADD(" read=#%02x", (unsigned)(m->read_seq & 0xff));
        } else {
            ADD(" read=%d", (int)m->read_seq);
        }
    }
    if (m->entry_count > 0) {
        (void)entries_describe(m->entries, m->entry_count, text + at, size - at);
    }
#undef ADD
}

/* A message that promises something must be covered by the disk. */
static void promise_check(struct kit *kit, const struct kit_node *n, const struct oak_raft_msg *m)
{
    const struct kit_disk *d = &n->disk;
    bool vote = m->type == OAK_RAFT_MSG_VOTE;
    bool grant = m->type == OAK_RAFT_MSG_VOTE_REPLY && !m->reject;
    if ((vote || grant) && d->hard_state.term <= m->term &&
        (d->hard_state.term != m->term || d->hard_state.vote != (vote ? m->from : m->to))) {
        kit_fail(kit, "%d tells of a vote in term %d that is not on its disk", (int)n->id,
                 (int)m->term);
    }
    if (m->type == OAK_RAFT_MSG_APPEND_REPLY && !m->reject &&
        (m->index > kit_disk_last(d) || d->hard_state.term < m->term)) {
        kit_fail(kit, "%d acknowledges %d in term %d, its disk has %d in term %d", (int)n->id,
                 (int)m->index, (int)m->term, (int)kit_disk_last(d), (int)d->hard_state.term);
    }
}

void kit_send(struct kit *kit, struct kit_node *n, const struct oak_raft_msg *m)
{
    char text[512];
    kit_describe(m, text, sizeof(text));
    kit_say(kit, "  %s", text);
    promise_check(kit, n, m);
    struct kit_msg copy = {.m = *m};
    if (m->entry_count > 0) {
        struct oak_raft_entry *entries = kit_grow(NULL, m->entry_count, sizeof(*entries));
        for (size_t i = 0; i < m->entry_count; i++) {
            entries[i] = m->entries[i];
            struct kit_entry dup = kit_entry_dup(&m->entries[i]);
            entries[i].data = dup.data;
        }
        copy.m.entries = entries;
    }
    kit->wire = kit_grow(kit->wire, kit->wire_count + 1, sizeof(kit->wire[0]));
    kit->wire[kit->wire_count] = copy;
    kit->wire_count++;
}

static void take_batch(struct kit *kit, struct kit_node *n, const struct oak_raft_persist *p)
{
    struct kit_batch b = {
        .token = p->token,
        .restores = p->restore != NULL,
        .restore_keeps_log = p->restore_keeps_log,
        .hard_state_changed = p->hard_state_changed,
        .hard_state = p->hard_state,
        .doubt_lifted = p->doubt_lifted,
        .count = p->entry_count,
    };
    char text[512] = "";
    if (p->entry_count > 0) {
        (void)entries_describe(p->entries, p->entry_count, text, sizeof(text));
    }
    char hard[64] = "";
    if (p->hard_state_changed) {
        (void)snprintf(hard, sizeof(hard), " term=%d vote=%d commit=%d", (int)p->hard_state.term,
                       (int)p->hard_state.vote, (int)p->hard_state.commit);
    }
    char restore[64] = "";
    if (p->restore != NULL) {
        b.restore = *p->restore;
        (void)snprintf(restore, sizeof(restore), " restore=%d:%d%s", (int)p->restore->term,
                       (int)p->restore->index, p->restore_keeps_log ? " keeps-log" : "");
    }
    kit_say(kit, "  %d writes #%d%s%s%s%s%s", (int)n->id, (int)p->token, restore, hard, text,
            p->doubt_lifted ? " doubt-lifted" : "", p->must_sync ? "" : " no-sync");
    if (p->entry_count > 0) {
        b.entries = kit_grow(NULL, p->entry_count, sizeof(b.entries[0]));
        for (size_t i = 0; i < p->entry_count; i++) {
            b.entries[i] = kit_entry_dup(&p->entries[i]);
        }
    }
    n->batches = kit_grow(n->batches, n->batch_count + 1, sizeof(n->batches[0]));
    n->batches[n->batch_count] = b;
    n->batch_count++;
}

static bool voters_are(const uint64_t *ids, uint32_t count, const struct oak_raft_config *c)
{
    return count == c->voter_count && memcmp(ids, c->voters, count * sizeof(ids[0])) == 0;
}

/* Any two majorities of a configuration and the one before it must meet: that is so when the voters
 * stay, when the old ones are half of a joint one, and when that half is left. */
static void step_check(struct kit *kit, const struct kit_entry *e)
{
    if (e->type != OAK_RAFT_ENTRY_CONFIG) {
        return;
    }
    struct oak_raft_config before = kit_config_at(kit, &kit->nodes[0], kit->truth_count);
    struct oak_raft_config c;
    bool sound = oak_raft_config_decode(e->data, e->size, &c) == OAK_RAFT_OK;
    if (sound && before.voter_outgoing_count > 0) {
        sound = c.voter_outgoing_count == 0 && voters_are(c.voters, c.voter_count, &before);
    } else if (sound && c.voter_outgoing_count > 0) {
        sound = voters_are(c.voters_outgoing, c.voter_outgoing_count, &before);
    } else if (sound) {
        sound = voters_are(c.voters, c.voter_count, &before);
    }
    kit->changes += c.voter_outgoing_count > 0;
    if (!sound) {
        kit_fail(kit, "the configuration at %d does not follow from the one before", (int)e->index);
    }
}

static void apply_one(struct kit *kit, struct kit_node *n, const struct oak_raft_entry *e)
{
    if (e->index != n->applied + 1) {
        kit_fail(kit, "%d applies %d behind %d", (int)n->id, (int)e->index, (int)n->applied);
    }
    if (e->index > kit_disk_last(&n->disk)) {
        kit_fail(kit, "%d applies %d before it is on its disk", (int)n->id, (int)e->index);
    }
    n->applied = e->index;
    kit->applied_total++;
    struct kit_entry mine = kit_entry_dup(e);
    if (e->index <= kit->truth_count) {
        if (!kit_entry_same(&mine, &kit->truth[e->index - 1])) {
            kit_fail(kit, "%d applies another entry at %d", (int)n->id, (int)e->index);
        }
        free(mine.data);
        return;
    }
    if (e->index != kit->truth_count + 1) {
        kit_fail(kit, "%d applies %d, nobody applied %d", (int)n->id, (int)e->index,
                 (int)e->index - 1);
    }
    mine.known_term = n->term_seen;
    step_check(kit, &mine);
    kit->truth = kit_grow(kit->truth, (size_t)kit->truth_count + 1, sizeof(kit->truth[0]));
    kit->truth[kit->truth_count] = mine;
    kit->truth_count++;
}

static void take_reads(struct kit *kit, struct kit_node *n, const struct oak_raft_output *out)
{
    for (size_t i = 0; i < out->read_count; i++) {
        const struct oak_raft_read_done *d = &out->reads[i];
        if (d->lost) {
            kit_say(kit, "  %d lost reads up to %d", (int)n->id, (int)d->seq);
        } else {
            kit_say(kit, "  %d may serve reads up to %d at %d", (int)n->id, (int)d->seq,
                    (int)d->index);
        }
        if (d->seq <= n->read_answered || d->seq > n->read_count) {
            kit_fail(kit, "%d answers reads out of order", (int)n->id);
            return;
        }
        for (uint64_t seq = n->read_answered + 1; seq <= d->seq; seq++) {
            if (!d->lost && d->index < n->read_floors[seq - 1]) {
                kit_fail(kit, "%d serves a read at %d that was asked for after %d had committed",
                         (int)n->id, (int)d->index, (int)n->read_floors[seq - 1]);
            }
            n->reads_ok += !d->lost;
            n->reads_lost += d->lost;
        }
        n->read_answered = d->seq;
    }
}

/* A leader's log must hold all that was committed in its term or before. (One that is elected late,
 * by votes that were long on their way, may lack what a later term has committed meanwhile.) */
static void leader_check(struct kit *kit, const struct kit_node *n, const struct oak_raft_status *s)
{
    uint64_t slot = s->term % (sizeof(kit->leaders) / sizeof(kit->leaders[0]));
    if (kit->leaders[slot] != 0 && kit->leaders[slot] != n->id) {
        kit_fail(kit, "%d and %d lead in term %d", (int)kit->leaders[slot], (int)n->id,
                 (int)s->term);
    }
    kit->leaders[slot] = n->id;
    for (uint64_t i = s->first; i <= kit->truth_count; i++) {
        uint64_t term = 0;
        if (kit->truth[i - 1].known_term > s->term) {
            return; /* and so were those behind it */
        }
        if (!oak_raft_term_at(n->r, i, &term) || term != kit->truth[i - 1].term) {
            kit_fail(kit, "leader %d lacks the committed entry %d", (int)n->id, (int)i);
            return;
        }
    }
}

/* A leader without a vote may lead until the configuration that says so has committed. */
static void membership_check(struct kit *kit, const struct kit_node *n,
                             const struct oak_raft_status *s)
{
    const struct oak_raft_config *c = oak_raft_config(n->r);
    if (kit_config_votes(c, n->id)) {
        return;
    }
    struct oak_raft_config committed = kit_config_at(kit, n, s->commit);
    if (memcmp(c, &committed, sizeof(committed)) == 0) {
        kit_fail(kit, "%d leads a group that it has left", (int)n->id);
    }
}

static void look(struct kit *kit, struct kit_node *n)
{
    struct oak_raft_status s;
    oak_raft_status(n->r, &s);
    if (s.role != n->role_seen || s.term != n->term_seen) {
        if (s.role == n->role_seen) {
            kit_say(kit, "  %d is in term %d", (int)n->id, (int)s.term);
        } else {
            kit_say(kit, "  %d is %s in term %d", (int)n->id, oak_raft_role_name(s.role),
                    (int)s.term);
        }
        if (s.term < n->term_seen) {
            kit_fail(kit, "the term of %d went back", (int)n->id);
        }
        if (s.role == OAK_RAFT_LEADER) {
            leader_check(kit, n, &s);
        }
        n->role_seen = s.role;
        n->term_seen = s.term;
    }
    if (s.role == OAK_RAFT_LEADER && s.commit <= kit->truth_count) {
        membership_check(kit, n, &s);
    }
    if (s.commit < n->commit_seen) {
        kit_fail(kit, "commit of %d went back from %d to %d", (int)n->id, (int)n->commit_seen,
                 (int)s.commit);
    }
    n->commit_seen = s.commit;
    kit->commit_max = s.commit > kit->commit_max ? s.commit : kit->commit_max;
}

void kit_take(struct kit *kit, struct kit_node *n)
{
    look(kit, n);
    for (size_t turns = 0; oak_raft_has_output(n->r); turns++) {
        if (turns == 10000) {
            kit_fail(kit, "%d has output without end", (int)n->id);
            return;
        }
        const struct oak_raft_output *out = oak_raft_take(n->r);
        if (out->persist.token == 0 && out->send_count == 0 && out->apply_count == 0 &&
            out->read_count == 0 && out->snapshot_count == 0) {
            kit_fail(kit, "%d promised output and has none", (int)n->id);
            return;
        }
        if (out->persist.token != 0) {
            take_batch(kit, n, &out->persist);
        }
        for (size_t i = 0; i < out->send_count; i++) {
            kit_send(kit, n, &out->send[i]);
        }
        take_reads(kit, n, out);
        for (size_t i = 0; i < out->snapshot_count; i++) {
            kit_say(kit, "  %d wants a snapshot sent to %d, from %d on", (int)n->id,
                    (int)out->snapshots[i].peer, (int)out->snapshots[i].index_min);
        }
        if (out->apply_count > 0) {
            char text[512] = "";
            (void)entries_describe(out->apply, out->apply_count, text, sizeof(text));
            kit_say(kit, "  %d applies%s", (int)n->id, text);
            for (size_t i = 0; i < out->apply_count; i++) {
                apply_one(kit, n, &out->apply[i]);
            }
            oak_raft_applied(n->r, n->applied);
        }
        look(kit, n);
    }
    const struct oak_raft_output *empty = oak_raft_take(n->r);
    if (empty->persist.token != 0 || empty->send_count + empty->apply_count > 0 ||
        empty->read_count + empty->snapshot_count > 0) {
        kit_fail(kit, "%d hid its output", (int)n->id);
    }
}

void kit_compare_disks(struct kit *kit)
{
    for (size_t a = 0; a < kit->node_count; a++) {
        for (size_t b = a + 1; b < kit->node_count; b++) {
            const struct kit_disk *da = &kit->nodes[a].disk;
            const struct kit_disk *db = &kit->nodes[b].disk;
            bool agreed = false; /* walking down: an entry further up was equal */
            size_t i = da->count;
            size_t j = db->count;
            while (i > 0 && j > 0) {
                const struct kit_entry *ea = &da->entries[i - 1];
                const struct kit_entry *eb = &db->entries[j - 1];
                if (ea->index != eb->index) {
                    i -= ea->index > eb->index;
                    j -= eb->index > ea->index;
                    continue;
                }
                bool same = kit_entry_same(ea, eb);
                if ((ea->term == eb->term || agreed) && !same) {
                    kit_fail(kit, "the logs of %d and %d differ at %d", (int)kit->nodes[a].id,
                             (int)kit->nodes[b].id, (int)ea->index);
                    return;
                }
                agreed = agreed || same;
                i--;
                j--;
            }
        }
    }
}
