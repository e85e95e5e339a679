/* SPDX-License-Identifier: Apache-2.0 */
/* testkit.c: see testkit.h. Memory is the C library's; running out of it ends the test program. */
#include "raft/testkit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *p, size_t count, size_t size)
{
    void *grown = realloc(p, (count == 0 ? 1 : count) * size);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

static void *resize_libc(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

__attribute__((format(printf, 2, 3))) static void say(struct kit *kit, const char *format, ...)
{
    if (kit->say == NULL) {
        return;
    }
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    kit->say(kit->user, line);
}

__attribute__((format(printf, 2, 3))) static void fail(struct kit *kit, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (kit->failures == 0) {
        (void)snprintf(kit->first_failure, sizeof(kit->first_failure), "%s", line);
    }
    kit->failures++;
    say(kit, "VIOLATION %s", line);
}

void kit_init(struct kit *kit)
{
    memset(kit, 0, sizeof(*kit));
}

static struct kit_entry entry_dup(const struct oak_raft_entry *e)
{
    struct kit_entry copy = {.index = e->index, .term = e->term, .type = e->type, .size = e->size};
    copy.lent = e->data;
    if (e->size > 0) {
        copy.data = grow(NULL, e->size, 1);
        memcpy(copy.data, e->data, e->size);
    }
    return copy;
}

static bool entry_same(const struct kit_entry *a, const struct kit_entry *b)
{
    return a->index == b->index && a->term == b->term && a->type == b->type && a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static void entries_free(struct kit_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(entries[i].data);
    }
    free(entries);
}

static void msg_free(struct kit_msg *msg)
{
    for (size_t i = 0; i < msg->m.entry_count; i++) {
        free((void *)(uintptr_t)msg->m.entries[i].data);
    }
    free((void *)(uintptr_t)msg->m.entries);
}

void kit_fini(struct kit *kit)
{
    for (size_t i = 0; i < kit->node_count; i++) {
        struct kit_node *n = &kit->nodes[i];
        if (n->r != NULL) {
            kit_crash(kit, n, 0, 0);
        }
        entries_free(n->disk.entries, n->disk.count);
        free(n->batches);
        free(n->read_floors);
    }
    for (size_t i = 0; i < kit->wire_count; i++) {
        msg_free(&kit->wire[i]);
    }
    free(kit->wire);
    entries_free(kit->truth, (size_t)kit->truth_count);
}

struct kit_node *kit_find(struct kit *kit, uint64_t id)
{
    for (size_t i = 0; i < kit->node_count; i++) {
        if (kit->nodes[i].id == id) {
            return &kit->nodes[i];
        }
    }
    return NULL;
}

struct kit_node *kit_add(struct kit *kit, uint64_t id, const struct oak_raft_options *limits)
{
    struct kit_node *n = &kit->nodes[kit->node_count];
    kit->node_count++;
    memset(n, 0, sizeof(*n));
    n->id = id;
    n->options = *limits;
    if (n->options.alloc.resize == NULL) {
        n->options.alloc.resize = resize_libc;
    }
    n->options.id = id;
    n->disk.snapshot.config = kit->config;
    if (kit_start(kit, n, 0) != OAK_RAFT_OK) {
        abort();
    }
    return n;
}

int kit_start(struct kit *kit, struct kit_node *n, uint64_t applied_back)
{
    uint64_t floor = n->disk.snapshot.index;
    n->applied = n->applied > floor + applied_back ? n->applied - applied_back : floor;
    struct oak_raft_entry *entries = grow(NULL, n->disk.count, sizeof(*entries));
    for (size_t i = 0; i < n->disk.count; i++) {
        const struct kit_entry *e = &n->disk.entries[i];
        entries[i] = (struct oak_raft_entry){
            .index = e->index, .term = e->term, .type = e->type, .size = e->size, .data = e->data};
    }
    struct oak_raft_options o = n->options;
    n->lives++;
    o.seed = n->options.seed + n->lives;
    o.hard_state = n->disk.hard_state;
    o.snapshot = n->disk.snapshot;
    o.entries = entries;
    o.entry_count = n->disk.count;
    o.applied = n->applied;
    int e = oak_raft_new(&o, &n->r);
    free(entries);
    if (e != OAK_RAFT_OK) {
        fail(kit, "%d can't start: %s", (int)n->id, oak_raft_error_text(e));
        return e;
    }
    n->commit_seen = 0;
    n->role_seen = OAK_RAFT_FOLLOWER;
    n->term_seen = n->disk.hard_state.term;
    n->read_count = 0;
    n->read_answered = 0;
    (void)oak_raft_tick(n->r, n->now_ms);
    kit_take(kit, n);
    return OAK_RAFT_OK;
}

/* -- disk
 * ------------------------------------------------------------------------------------------ */

static void disk_cut(struct kit_disk *d, uint64_t from)
{
    while (d->count > 0 && d->entries[d->count - 1].index >= from) {
        d->count--;
        free(d->entries[d->count].data);
    }
}

static void disk_shift(struct kit_disk *d, uint64_t to)
{
    size_t gone = 0;
    while (gone < d->count && d->entries[gone].index <= to) {
        free(d->entries[gone].data);
        gone++;
    }
    if (gone > 0) {
        memmove(d->entries, d->entries + gone, (d->count - gone) * sizeof(d->entries[0]));
        d->count -= gone;
    }
}

static uint64_t disk_last(const struct kit_disk *d)
{
    return d->count == 0 ? d->snapshot.index : d->entries[d->count - 1].index;
}

/* Do the first `steps` things of a batch. Takes the entries it writes out of the batch. */
static void disk_write(struct kit *kit, struct kit_node *n, struct kit_batch *b, size_t steps)
{
    struct kit_disk *d = &n->disk;
    if (b->restores && steps > 0) {
        steps--;
        d->snapshot = b->restore;
        if (b->restore_keeps_log) {
            disk_shift(d, b->restore.index);
        } else {
            disk_cut(d, 0);
        }
    }
    if (b->hard_state_changed && steps > 0) {
        steps--;
        d->hard_state = b->hard_state;
    }
    for (size_t i = 0; i < b->count && i < steps; i++) {
        struct kit_entry *e = &b->entries[i];
        if (e->index <= d->snapshot.index) {
            continue;
        }
        disk_cut(d, e->index);
        if (e->index != disk_last(d) + 1) {
            fail(kit, "%d leaves a hole in its log before %d", (int)n->id, (int)e->index);
            return;
        }
        d->entries = grow(d->entries, d->count + 1, sizeof(d->entries[0]));
        d->entries[d->count] = *e;
        d->count++;
        e->data = NULL;
        e->size = 0;
    }
}

static void batch_free(struct kit_batch *b)
{
    entries_free(b->entries, b->count);
}

static void batches_drop(struct kit_node *n, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        batch_free(&n->batches[i]);
    }
    if (count > 0) {
        memmove(n->batches, n->batches + count, (n->batch_count - count) * sizeof(n->batches[0]));
        n->batch_count -= count;
    }
}

void kit_crash(struct kit *kit, struct kit_node *n, size_t batches, size_t part)
{
    for (size_t i = 0; i < n->batch_count && i <= batches; i++) {
        disk_write(kit, n, &n->batches[i], i < batches ? SIZE_MAX : part);
    }
    batches_drop(n, n->batch_count);
    /* A state machine is restored before the snapshot's record is written; one that was not keeps
     * what it has. */
    if (n->applied < n->disk.snapshot.index) {
        n->applied = n->disk.snapshot.index;
    }
    oak_raft_free(n->r);
    n->r = NULL;
}

size_t kit_persist(struct kit *kit, struct kit_node *n, size_t count)
{
    size_t done = 0;
    while (done < count && n->batch_count > 0) {
        struct kit_batch *b = &n->batches[0];
        for (size_t i = 0; i < b->count; i++) {
            if (b->entries[i].size > 0 &&
                memcmp(b->entries[i].data, b->entries[i].lent, b->entries[i].size) != 0) {
                fail(kit, "%d changed the bytes of a batch being written", (int)n->id);
            }
        }
        disk_write(kit, n, b, SIZE_MAX);
        uint64_t token = b->token;
        if (b->restores) {
            n->applied = b->restore.index > n->applied ? b->restore.index : n->applied;
            kit->restored_total++;
            oak_raft_applied(n->r, b->restore.index);
        }
        batches_drop(n, 1);
        oak_raft_persisted(n->r, token);
        done++;
        kit_take(kit, n);
    }
    return done;
}

/* -- what leaves a core
 * ------------------------------------------------------------------------------ */

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
                                         "read-reply"};

static size_t entries_describe(const struct oak_raft_entry *entries, size_t count, char *text,
                               size_t size)
{
    size_t at = (size_t)snprintf(text, size, " [");
    for (size_t i = 0; i < count && at + 40 < size; i++) {
        const struct oak_raft_entry *e = &entries[i];
        if (i > 3 && i + 1 < count) {
            at += (size_t)snprintf(text + at, size - at, " ..");
            i = count - 2;
            continue;
        }
        at += (size_t)snprintf(text + at, size - at, "%s%d:%d", i == 0 ? "" : " ", (int)e->term,
                               (int)e->index);
        if (e->size > 0) {
            at += (size_t)snprintf(text + at, size - at, "=%.*s", e->size > 12 ? 12 : (int)e->size,
                                   (const char *)e->data);
        }
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
    } else if (m->type == OAK_RAFT_MSG_APPEND_REPLY || m->type == OAK_RAFT_MSG_READ_REPLY) {
        ADD(" index=%d", (int)m->index);
    } else if (m->type == OAK_RAFT_MSG_HEARTBEAT) {
        ADD(" commit=%d", (int)m->commit);
    } else if (m->type == OAK_RAFT_MSG_SNAPSHOT) {
        ADD(" at=%d:%d", (int)m->snapshot.term, (int)m->snapshot.index);
    }
    if (m->reject) {
        ADD(" reject");
        if (m->type == OAK_RAFT_MSG_APPEND_REPLY) {
            ADD(" hint=%d:%d", (int)m->hint_term, (int)m->hint_index);
        }
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
        fail(kit, "%d tells of a vote in term %d that is not on its disk", (int)n->id,
             (int)m->term);
    }
    if (m->type == OAK_RAFT_MSG_APPEND_REPLY && !m->reject &&
        (m->index > disk_last(d) || d->hard_state.term < m->term)) {
        fail(kit, "%d acknowledges %d in term %d, its disk has %d in term %d", (int)n->id,
             (int)m->index, (int)m->term, (int)disk_last(d), (int)d->hard_state.term);
    }
}

static void send_one(struct kit *kit, struct kit_node *n, const struct oak_raft_msg *m)
{
    char text[512];
    kit_describe(m, text, sizeof(text));
    say(kit, "  %s", text);
    promise_check(kit, n, m);
    struct kit_msg copy = {.m = *m};
    if (m->entry_count > 0) {
        struct oak_raft_entry *entries = grow(NULL, m->entry_count, sizeof(*entries));
        for (size_t i = 0; i < m->entry_count; i++) {
            entries[i] = m->entries[i];
            struct kit_entry dup = entry_dup(&m->entries[i]);
            entries[i].data = dup.data;
        }
        copy.m.entries = entries;
    }
    kit->wire = grow(kit->wire, kit->wire_count + 1, sizeof(kit->wire[0]));
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
    say(kit, "  %d writes #%d%s%s%s%s", (int)n->id, (int)p->token, restore, hard, text,
        p->must_sync ? "" : " no-sync");
    if (p->entry_count > 0) {
        b.entries = grow(NULL, p->entry_count, sizeof(b.entries[0]));
        for (size_t i = 0; i < p->entry_count; i++) {
            b.entries[i] = entry_dup(&p->entries[i]);
        }
    }
    n->batches = grow(n->batches, n->batch_count + 1, sizeof(n->batches[0]));
    n->batches[n->batch_count] = b;
    n->batch_count++;
}

static void apply_one(struct kit *kit, struct kit_node *n, const struct oak_raft_entry *e)
{
    if (e->index != n->applied + 1) {
        fail(kit, "%d applies %d behind %d", (int)n->id, (int)e->index, (int)n->applied);
    }
    if (e->index > disk_last(&n->disk)) {
        fail(kit, "%d applies %d before it is on its disk", (int)n->id, (int)e->index);
    }
    n->applied = e->index;
    kit->applied_total++;
    struct kit_entry mine = entry_dup(e);
    if (e->index <= kit->truth_count) {
        if (!entry_same(&mine, &kit->truth[e->index - 1])) {
            fail(kit, "%d applies another entry at %d", (int)n->id, (int)e->index);
        }
        free(mine.data);
        return;
    }
    if (e->index != kit->truth_count + 1) {
        fail(kit, "%d applies %d, nobody applied %d", (int)n->id, (int)e->index, (int)e->index - 1);
    }
    kit->truth = grow(kit->truth, (size_t)kit->truth_count + 1, sizeof(kit->truth[0]));
    kit->truth[kit->truth_count] = mine;
    kit->truth_count++;
}

static void take_reads(struct kit *kit, struct kit_node *n, const struct oak_raft_output *out)
{
    for (size_t i = 0; i < out->read_count; i++) {
        const struct oak_raft_read_done *d = &out->reads[i];
        if (d->lost) {
            say(kit, "  %d lost reads up to %d", (int)n->id, (int)d->seq);
        } else {
            say(kit, "  %d may serve reads up to %d at %d", (int)n->id, (int)d->seq, (int)d->index);
        }
        if (d->seq <= n->read_answered || d->seq > n->read_count) {
            fail(kit, "%d answers reads out of order", (int)n->id);
            return;
        }
        for (uint64_t seq = n->read_answered + 1; seq <= d->seq; seq++) {
            if (!d->lost && d->index < n->read_floors[seq - 1]) {
                fail(kit, "%d serves a read at %d that was asked for after %d had committed",
                     (int)n->id, (int)d->index, (int)n->read_floors[seq - 1]);
            }
            n->reads_ok += !d->lost;
            n->reads_lost += d->lost;
        }
        n->read_answered = d->seq;
    }
}

/* A leader's log must hold all that anybody applied. */
static void leader_check(struct kit *kit, const struct kit_node *n, const struct oak_raft_status *s)
{
    uint64_t slot = s->term % (sizeof(kit->leaders) / sizeof(kit->leaders[0]));
    if (kit->leaders[slot] != 0 && kit->leaders[slot] != n->id) {
        fail(kit, "%d and %d lead in term %d", (int)kit->leaders[slot], (int)n->id, (int)s->term);
    }
    kit->leaders[slot] = n->id;
    for (uint64_t i = s->first; i <= kit->truth_count; i++) {
        uint64_t term = 0;
        if (!oak_raft_term_at(n->r, i, &term) || term != kit->truth[i - 1].term) {
            fail(kit, "leader %d lacks the committed entry %d", (int)n->id, (int)i);
            return;
        }
    }
}

static void look(struct kit *kit, struct kit_node *n)
{
    struct oak_raft_status s;
    oak_raft_status(n->r, &s);
    if (s.role != n->role_seen || s.term != n->term_seen) {
        if (s.role == n->role_seen) {
            say(kit, "  %d is in term %d", (int)n->id, (int)s.term);
        } else {
            say(kit, "  %d is %s in term %d", (int)n->id, oak_raft_role_name(s.role), (int)s.term);
        }
        if (s.term < n->term_seen) {
            fail(kit, "the term of %d went back", (int)n->id);
        }
        if (s.role == OAK_RAFT_LEADER) {
            leader_check(kit, n, &s);
        }
        n->role_seen = s.role;
        n->term_seen = s.term;
    }
    if (s.commit < n->commit_seen) {
        fail(kit, "commit of %d went back from %d to %d", (int)n->id, (int)n->commit_seen,
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
            fail(kit, "%d has output without end", (int)n->id);
            return;
        }
        const struct oak_raft_output *out = oak_raft_take(n->r);
        if (out->persist.token == 0 && out->send_count == 0 && out->apply_count == 0 &&
            out->read_count == 0 && out->snapshot_count == 0) {
            fail(kit, "%d promised output and has none", (int)n->id);
            return;
        }
        if (out->persist.token != 0) {
            take_batch(kit, n, &out->persist);
        }
        for (size_t i = 0; i < out->send_count; i++) {
            send_one(kit, n, &out->send[i]);
        }
        take_reads(kit, n, out);
        for (size_t i = 0; i < out->snapshot_count; i++) {
            say(kit, "  %d wants a snapshot sent to %d, from %d on", (int)n->id,
                (int)out->snapshots[i].peer, (int)out->snapshots[i].index_min);
        }
        if (out->apply_count > 0) {
            char text[512] = "";
            (void)entries_describe(out->apply, out->apply_count, text, sizeof(text));
            say(kit, "  %d applies%s", (int)n->id, text);
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
        fail(kit, "%d hid its output", (int)n->id);
    }
}

/* -- what goes into a core
 * --------------------------------------------------------------------------- */

void kit_drop(struct kit *kit, size_t at)
{
    msg_free(&kit->wire[at]);
    memmove(kit->wire + at, kit->wire + at + 1, (kit->wire_count - at - 1) * sizeof(kit->wire[0]));
    kit->wire_count--;
}

int kit_deliver(struct kit *kit, size_t at, bool keep)
{
    struct kit_msg msg = kit->wire[at];
    if (!keep) {
        memmove(kit->wire + at, kit->wire + at + 1,
                (kit->wire_count - at - 1) * sizeof(kit->wire[0]));
        kit->wire_count--;
    }
    struct kit_node *n = kit_find(kit, msg.m.to);
    int e = OAK_RAFT_OK;
    if (n != NULL && n->r != NULL) {
        e = oak_raft_step(n->r, &msg.m);
        if (!keep) {
            msg_free(&msg);
        }
        if (e != OAK_RAFT_OK) {
            say(kit, "  %d: %s", (int)n->id, oak_raft_error_text(e));
        }
        kit_take(kit, n);
    } else if (!keep) {
        msg_free(&msg);
    }
    return e;
}

int kit_tick(struct kit *kit, struct kit_node *n, uint64_t ms)
{
    n->now_ms += ms;
    int e = oak_raft_tick(n->r, n->now_ms);
    kit_take(kit, n);
    return e;
}

int kit_propose(struct kit *kit, struct kit_node *n, const char *text)
{
    (void)kit;
    return oak_raft_propose(n->r, text, strlen(text), NULL, NULL);
}

int kit_read(struct kit *kit, struct kit_node *n, uint64_t *seq)
{
    int e = oak_raft_read(n->r, seq);
    if (e == OAK_RAFT_OK) {
        if (*seq != n->read_count + 1) {
            fail(kit, "%d numbers its reads oddly", (int)n->id);
        }
        n->read_floors = grow(n->read_floors, (size_t)n->read_count + 1, sizeof(n->read_floors[0]));
        n->read_floors[n->read_count] = kit->commit_max;
        n->read_count++;
    }
    return e;
}

int kit_compact(struct kit *kit, struct kit_node *n, uint64_t index)
{
    uint64_t term = 0;
    bool known = oak_raft_term_at(n->r, index, &term);
    int e = oak_raft_compact(n->r, index);
    if (e != OAK_RAFT_OK) {
        return e;
    }
    if (!known) {
        fail(kit, "%d compacted what it does not know", (int)n->id);
    }
    /* Unless a restore that is being written will overtake it. */
    if (index > n->disk.snapshot.index) {
        n->disk.snapshot.index = index;
        n->disk.snapshot.term = term;
        disk_shift(&n->disk, index);
    }
    kit_take(kit, n);
    return e;
}

void kit_snapshot(struct kit *kit, struct kit_node *from, uint64_t to)
{
    struct oak_raft_status s;
    oak_raft_status(from->r, &s);
    struct oak_raft_msg m = {
        .type = OAK_RAFT_MSG_SNAPSHOT, .from = from->id, .to = to, .term = s.term};
    m.snapshot.index = from->applied;
    m.snapshot.config = *oak_raft_config(from->r);
    if (oak_raft_term_at(from->r, m.snapshot.index, &m.snapshot.term)) {
        send_one(kit, from, &m);
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
                bool same = entry_same(ea, eb);
                if ((ea->term == eb->term || agreed) && !same) {
                    fail(kit, "the logs of %d and %d differ at %d", (int)kit->nodes[a].id,
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
