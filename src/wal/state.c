/* SPDX-License-Identifier: Apache-2.0 */
/* state.c: what records mean: the state of each group, the entries recovered, the marks of
 * segments.
 *
 * One rule keeps what was truncated from coming back (etcd-io/etcd#22442 is what its lack does): an
 * ENTRY drops everything from its index on, whether or not the index lies at or below the snapshot;
 * only then is it asked whether the entry itself is still wanted.
 *
 * Invariants   entries are consecutive, all behind snapshot_index, and end at `last` when there
 *              are any a mark never lies above the last entry of its group that is in its segment
 * Can fail     for want of memory; a record that cannot follow is OAK_EINVAL
 * Thread       the log's owner
 */
#include "wal/internal.h"

#include "base/zoo.h"

#include <stdlib.h>

int wal__state_check(const struct wal__state *s, const struct wal__record *r)
{
    OAK_ASSERT(s != NULL);
    uint64_t end = OAK_MAX(s->last, s->snapshot_index);
    switch (r->type) {
    case OAK_WAL_ENTRY:
        return r->index == 0 || r->index == UINT64_MAX || r->index - 1 > end ? OAK_EINVAL : 0;
    case OAK_WAL_SNAPSHOT:
        return r->index < s->snapshot_index || r->index == UINT64_MAX ? OAK_EINVAL : 0;
    case OAK_WAL_HARD_STATE:
        return 0;
    case OAK_WAL_DOUBT:
        return r->kind > 1 || r->index == UINT64_MAX ? OAK_EINVAL : 0;
    default:
        return OAK_EINVAL;
    }
}

void wal__state_apply(struct wal__state *s, const struct wal__record *r)
{
    switch (r->type) {
    case OAK_WAL_ENTRY:
        s->last = r->index;
        s->last_term = r->term;
        return;
    case OAK_WAL_SNAPSHOT:
        OAK_ASSERT_GE(r->index, s->snapshot_index);
        s->snapshot_index = r->index;
        s->snapshot_term = r->term;
        if (!r->keep_log || s->last <= r->index) {
            s->last = r->index;
            s->last_term = r->term;
        }
        return;
    case OAK_WAL_HARD_STATE:
        s->term = r->term;
        s->vote = r->vote;
        s->commit = r->commit;
        s->in_doubt = r->kind;
        return;
    case OAK_WAL_DOUBT:
        s->in_doubt = r->kind;
        if (r->kind == 1) {
            s->snapshot_index = r->index;
            s->snapshot_term = r->term;
            s->last = r->index;
            s->last_term = r->term;
            s->commit = OAK_MIN(s->commit, r->index);
        }
        return;
    default:
        OAK_ASSERT_EQ(r->type, WAL__TYPE_GROUP);
        *s = (struct wal__state){
            .term = r->term,
            .vote = r->vote,
            .commit = r->commit,
            .snapshot_index = r->snapshot_index,
            .snapshot_term = r->snapshot_term,
            .last = r->index,
            .last_term = r->last_term,
            .in_doubt = r->kind,
        };
        return;
    }
}

/* Where `id` is or belongs. */
static size_t group_place(const struct oak_wal *wal, uint64_t id)
{
    size_t low = 0;
    size_t high = wal->group_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (wal->groups[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct wal__group *wal__group_find(struct oak_wal *wal, uint64_t id)
{
    size_t at = group_place(wal, id);
    return at < wal->group_count && wal->groups[at].id == id ? &wal->groups[at] : NULL;
}

int wal__group_get(struct oak_wal *wal, uint64_t id, struct wal__group **out)
{
    size_t at = group_place(wal, id);
    if (at < wal->group_count && wal->groups[at].id == id) {
        *out = &wal->groups[at];
        return 0;
    }
    if (wal->group_count == OAK_GROUPS_MAX) {
        return OAK_ELIMIT;
    }
    if (wal->group_count == wal->group_capacity) {
        size_t capacity = OAK_MAX((size_t)4, wal->group_capacity * 2);
        struct wal__group *groups = realloc(wal->groups, capacity * sizeof(*groups));
        if (groups == NULL) {
            return OAK_ENOMEM;
        }
        wal->groups = groups;
        wal->group_capacity = capacity;
    }
    memmove(wal->groups + at + 1, wal->groups + at, (wal->group_count - at) * sizeof(*wal->groups));
    wal->groups[at] = (struct wal__group){.id = id};
    wal->group_count++;
    *out = &wal->groups[at];
    return 0;
}

int wal__marks_reserve(struct oak_wal *wal, struct wal__segment *s)
{
    OAK_ASSERT_LE(s->mark_count, wal->group_count);
    if (s->mark_capacity >= wal->group_count) {
        return 0;
    }
    size_t capacity = wal->group_capacity;
    struct wal__mark *marks = realloc(s->marks, capacity * sizeof(*marks));
    if (marks == NULL) {
        return OAK_ENOMEM;
    }
    s->marks = marks;
    s->mark_capacity = capacity;
    return 0;
}

/* The mark of `group` in `s`, which has room for it. */
static struct wal__mark *mark_get(struct wal__segment *s, uint64_t group)
{
    size_t low = 0;
    size_t high = s->mark_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->marks[middle].group < group) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < s->mark_count && s->marks[low].group == group) {
        return &s->marks[low];
    }
    OAK_ASSERT_LT(s->mark_count, s->mark_capacity);
    memmove(s->marks + low + 1, s->marks + low, (s->mark_count - low) * sizeof(*s->marks));
    s->marks[low] = (struct wal__mark){.group = group};
    s->mark_count++;
    return &s->marks[low];
}

/* Entries of `group` above `index` are dead: no segment is kept for them. */
static void marks_lower(struct oak_wal *wal, uint64_t group, uint64_t index)
{
    for (size_t i = 0; i < wal->chain_count; i++) {
        struct wal__segment *s = &wal->chain[i];
        for (size_t j = 0; j < s->mark_count; j++) {
            if (s->marks[j].group == group) {
                s->marks[j].last = OAK_MIN(s->marks[j].last, index);
            }
        }
    }
}

void wal__note(struct oak_wal *wal, size_t at, const struct wal__record *r)
{
    OAK_ASSERT_LT(at, wal->chain_count);
    if (r->type == OAK_WAL_META) {
        return;
    }
    struct wal__group *g = wal__group_find(wal, r->group);
    OAK_ASSERT(g != NULL);
    if (r->type == OAK_WAL_ENTRY) {
        if (r->index <= g->durable.last) {
            marks_lower(wal, r->group, r->index - 1);
        }
        mark_get(&wal->chain[at], r->group)->last = r->index;
        g->released = OAK_MIN(g->released, r->index - 1); /* released was what it replaces */
    } else if (r->type == OAK_WAL_SNAPSHOT && !r->keep_log) {
        marks_lower(wal, r->group, r->index);
    } else if (r->type == OAK_WAL_DOUBT && r->kind == 1) {
        marks_lower(wal, r->group, 0);
        g->released = OAK_MIN(g->released, r->index);
    }
    struct wal__state before = g->durable;
    wal__state_apply(&g->durable, r);
    if (before.term != g->durable.term || before.vote != g->durable.vote ||
        before.in_doubt != g->durable.in_doubt) {
        g->changed = wal->batch;
    }
    g->on_disk = true;
}

static bool needed(const struct oak_wal *wal, const struct wal__segment *s)
{
    size_t place = 0;
    for (size_t i = 0; i < s->mark_count; i++) {
        while (wal->groups[place].id != s->marks[i].group) {
            place++;
            OAK_ASSERT_LT(place, wal->group_count);
        }
        const struct wal__group *g = &wal->groups[place];
        if (s->marks[i].last > OAK_MAX(g->released, g->durable.snapshot_index) &&
            !OAK_BUG(wal_recycled_early)) {
            return true;
        }
    }
    return false;
}

uint64_t wal__first_needed(const struct oak_wal *wal)
{
    OAK_ASSERT_LT(wal->current, wal->chain_count);
    size_t at = 0;
    /* What a durable frame has given up may be gone already, or go at any time: never claimed
     * again, though a restart forgets why it was released. */
    while (at < wal->current &&
           (wal->chain[at].seq < wal->claimed_first || !needed(wal, &wal->chain[at]))) {
        at++;
    }
    return wal->chain[at].seq;
}

/* Drop recovered entries with an index from `index` on. */
static void entries_cut(struct wal__entries *e, uint64_t index)
{
    while (e->count > e->head && e->items[e->count - 1].index >= index) {
        e->count--;
        free((void *)(uintptr_t)e->items[e->count].data.data);
    }
}

static int entries_push(struct wal__entries *e, const struct wal__record *r)
{
    if (e->count == e->capacity) {
        size_t capacity = OAK_MAX((size_t)64, e->capacity * 2);
        struct oak_wal_record *items = realloc(e->items, capacity * sizeof(*items));
        if (items == NULL) {
            return OAK_ENOMEM;
        }
        e->items = items;
        e->capacity = capacity;
    }
    uint8_t *copy = NULL;
    if (r->data.size != 0) {
        copy = malloc(r->data.size);
        if (copy == NULL) {
            return OAK_ENOMEM;
        }
        memcpy(copy, r->data.data, r->data.size);
    }
    e->items[e->count++] = (struct oak_wal_record){
        .type = OAK_WAL_ENTRY,
        .kind = r->kind,
        .group = r->group,
        .index = r->index,
        .term = r->term,
        .data = oak_bytes(copy, r->data.size),
    };
    return 0;
}

int wal__entries_note(struct wal__entries *e, const struct wal__state *before,
                      const struct wal__record *r)
{
    if (r->type == OAK_WAL_ENTRY) {
        entries_cut(e, r->index);
        if (r->index <= before->snapshot_index) {
            OAK_ASSERT_EQ(e->head, e->count);
            return 0;
        }
        OAK_ASSERT(e->head == e->count || e->items[e->count - 1].index + 1 == r->index);
        return entries_push(e, r);
    }
    if (r->type == OAK_WAL_DOUBT && r->kind == 1) {
        entries_cut(e, 0);
    }
    if (r->type == OAK_WAL_SNAPSHOT) {
        if (!r->keep_log) {
            entries_cut(e, 0);
        }
        while (e->head < e->count && e->items[e->head].index <= r->index) {
            free((void *)(uintptr_t)e->items[e->head].data.data);
            e->head++;
        }
    }
    return 0;
}

void wal__entries_fini(struct wal__entries *e)
{
    entries_cut(e, 0);
    free(e->items);
    *e = (struct wal__entries){0};
}
