/* SPDX-License-Identifier: Apache-2.0 */
/* testkit.c: see testkit.h. Memory is the C library's; running out of it ends the test program. */
#include "raft/testkit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/zoo.h"

void *kit_grow(void *p, size_t count, size_t size)
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

void kit_say(struct kit *kit, const char *format, ...)
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

void kit_fail(struct kit *kit, const char *format, ...)
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
    kit_say(kit, "VIOLATION %s", line);
}

void kit_init(struct kit *kit)
{
    memset(kit, 0, sizeof(*kit));
}

struct kit_entry kit_entry_dup(const struct oak_raft_entry *e)
{
    struct kit_entry copy = {.index = e->index, .term = e->term, .type = e->type, .size = e->size};
    copy.lent = e->data;
    if (e->size > 0) {
        copy.data = kit_grow(NULL, e->size, 1);
        memcpy(copy.data, e->data, e->size);
    }
    return copy;
}

bool kit_entry_same(const struct kit_entry *a, const struct kit_entry *b)
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

struct oak_raft_config kit_config_at(const struct kit *kit, const struct kit_node *n,
                                     uint64_t index)
{
    struct oak_raft_config config;
    for (uint64_t i = index < kit->truth_count ? index : kit->truth_count; i > 0; i--) {
        const struct kit_entry *e = &kit->truth[i - 1];
        if (e->type == OAK_RAFT_ENTRY_CONFIG &&
            oak_raft_config_decode(e->data, e->size, &config) == OAK_RAFT_OK) {
            return config;
        }
    }
    /* One who came later got the first state from others. */
    return index == 0 ? n->birth : kit->config;
}

static struct kit_node *node_add(struct kit *kit, uint64_t id,
                                 const struct oak_raft_options *limits,
                                 const struct oak_raft_config *birth)
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
    n->birth = *birth;
    if (kit_start(kit, n, 0) != OAK_RAFT_OK) {
        abort();
    }
    return n;
}

struct kit_node *kit_add(struct kit *kit, uint64_t id, const struct oak_raft_options *limits)
{
    return node_add(kit, id, limits, &kit->config);
}

struct kit_node *kit_join(struct kit *kit, uint64_t id, const struct oak_raft_options *limits)
{
    struct oak_raft_config nobody = {0};
    return node_add(kit, id, limits, &nobody);
}

int kit_start(struct kit *kit, struct kit_node *n, uint64_t applied_back)
{
    uint64_t floor = n->disk.snapshot.index;
    n->applied = n->applied > floor + applied_back ? n->applied - applied_back : floor;
    struct oak_raft_entry *entries = kit_grow(NULL, n->disk.count, sizeof(*entries));
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
    o.snapshot.config = kit_config_at(kit, n, n->applied);
    o.entries = entries;
    o.entry_count = n->disk.count;
    o.applied = n->applied;
    o.in_doubt = n->disk.in_doubt;
    int e = oak_raft_new(&o, &n->r);
    free(entries);
    if (e != OAK_RAFT_OK) {
        kit_fail(kit, "%d can't start: %s", (int)n->id, oak_raft_error_text(e));
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

/* -- disk -------------------------------------------------------------------------------------- */

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

uint64_t kit_disk_last(const struct kit_disk *d)
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
        if (e->index != kit_disk_last(d) + 1) {
            kit_fail(kit, "%d leaves a hole in its log before %d", (int)n->id, (int)e->index);
            return;
        }
        d->entries = kit_grow(d->entries, d->count + 1, sizeof(d->entries[0]));
        d->entries[d->count] = *e;
        d->count++;
        e->data = NULL;
        e->size = 0;
    }
    if (b->doubt_lifted && steps > b->count) {
        d->in_doubt = false;
    }
}

void kit_damage(struct kit *kit, struct kit_node *n, uint64_t keep)
{
    struct kit_disk *d = &n->disk;
    if (keep < d->snapshot.index) {
        d->snapshot = (struct oak_raft_snapshot){.config = n->birth};
        keep = 0;
    }
    disk_cut(d, keep + 1);
    n->applied = OAK_MIN(n->applied, kit_disk_last(d));
    d->in_doubt = true;
    kit_say(kit, "  %d loses its log behind %d", (int)n->id, (int)kit_disk_last(d));
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
                kit_fail(kit, "%d changed the bytes of a batch being written", (int)n->id);
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

/* -- what goes into a core --------------------------------------------------------------------- */

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
            kit_say(kit, "  %d: %s", (int)n->id, oak_raft_error_text(e));
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
            kit_fail(kit, "%d numbers its reads oddly", (int)n->id);
        }
        n->read_floors =
            kit_grow(n->read_floors, (size_t)n->read_count + 1, sizeof(n->read_floors[0]));
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
        kit_fail(kit, "%d compacted what it does not know", (int)n->id);
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
    m.snapshot.config = kit_config_at(kit, from, m.snapshot.index);
    if (oak_raft_term_at(from->r, m.snapshot.index, &m.snapshot.term)) {
        kit_send(kit, from, &m);
    }
}

void kit_wake_bug(void)
{
#if defined(OAK_ZOO)
    const char *name = getenv("OAK_BUG");
    for (int b = 1; name != NULL && b < OAK_BUG_COUNT; b++) {
        if (strcmp(oak_bug_name((enum oak_bug)b), name) == 0) {
            oak_bug_awake = (enum oak_bug)b;
        }
    }
#endif
}
