/* SPDX-License-Identifier: Apache-2.0 */
/* behind.c: watchers that are served from the history.
 *
 *              created in the past, missed a batch, a snapshot came
 *     SYNCED ──────────────────────────────────────────────────────▶ BEHIND, of a cursor
 *        ▲                cursor is beyond the newest revision          │     ▲
 *        └──────────────────────────────────────────────────────────────┤     │ drained
 *                                                    its stream is full └▶ PARKED
 *     BEHIND, below the compaction floor ──▶ told so; DEAD until the client cancels it
 *
 * Happy path   a cursor reads a piece of the history and sends it to its watchers, up to where the
 *              next cursor stands: then the two are one. Cursors take turns.
 * Can fail     the history, or memory: the cursor stays where it is, and what its watchers have
 *              been sent is not sent again.
 * Invariants   a cursor's position is at most the `next` of its watchers, or what lies between was
 *              not theirs. There are few cursors: with none to spare a watcher joins one that
 *              stands before it.
 * Thread       the room's.
 */
#include "watch/internal.h"

/* Watchers that one step moves when there is nothing to be read. */
#define MOVED_MAX 4096

void watch__cursors_init(struct oak_watch *w)
{
    for (size_t i = 0; i < WATCH_CURSORS; i++) {
        oak_list_init(&w->cursors[i].watchers);
    }
}

static uint8_t number_of(const struct oak_watch *w, const struct watch__cursor *c)
{
    return (uint8_t)(c - w->cursors + 1);
}

/* The cursor that stands at or closest before `next`; failing that, a free one; failing that, the
 * first of all. */
static struct watch__cursor *cursor_for(struct oak_watch *w, int64_t next)
{
    struct watch__cursor *before = NULL;
    struct watch__cursor *free = NULL;
    struct watch__cursor *first = NULL;
    for (size_t i = 0; i < w->options.cursors; i++) {
        struct watch__cursor *c = &w->cursors[i];
        if (c->count == 0) {
            free = c;
            continue;
        }
        if (c->position <= next && (before == NULL || c->position > before->position)) {
            before = c;
        }
        if (first == NULL || c->position < first->position) {
            first = c;
        }
    }
    if (before != NULL && (before->position == next || free == NULL)) {
        return before;
    }
    return free != NULL ? free : first;
}

/* It has all before this. */
static void watcher_at(struct oak_watcher *watcher, int64_t next)
{
    if (next > watcher->next) {
        watcher->next = next;
        watcher->done = 0;
    }
}

/* What its watchers have behind them goes into each one's own number. */
static void cursor_settle(struct watch__cursor *c)
{
    for (struct oak_list *at = c->watchers.next; at != &c->watchers; at = at->next) {
        struct oak_watcher *watcher = OAK_LIST_ENTRY(at, struct oak_watcher, set_link);
        watcher_at(watcher, c->position);
    }
}

static void cursor_join(struct oak_watch *w, struct oak_watcher *watcher)
{
    struct watch__cursor *c = cursor_for(w, watcher->next);
    if (c->count == 0) {
        c->position = watcher->next;
    } else if (c->position > watcher->next) {
        cursor_settle(c);
        c->position = watcher->next;
    }
    oak_list_push(&c->watchers, &watcher->set_link);
    c->count++;
    watcher->cursor = number_of(w, c);
    watcher->state = WATCH_BEHIND;
    watcher->node->waiting++;
}

void watch__behind_leave(struct oak_watch *w, struct oak_watcher *watcher)
{
    oak_list_remove(&watcher->set_link);
    if (watcher->state == WATCH_BEHIND) {
        OAK_ASSERT_GT(watcher->cursor, 0u);
        struct watch__cursor *c = &w->cursors[watcher->cursor - 1];
        OAK_ASSERT_GT(c->count, 0u);
        c->count--;
        watcher->cursor = 0;
        watcher->node->waiting--;
    } else {
        OAK_ASSERT_EQ(watcher->state, WATCH_PARKED);
    }
}

void watch__fall_behind(struct oak_watch *w, struct oak_watcher *watcher)
{
    OAK_ASSERT_NE(watcher->state, WATCH_DEAD);
    watch__future_end(watcher);
    if (watcher->state == WATCH_SYNCED) {
        oak_list_remove(&watcher->node_link);
        oak_list_push(&watcher->node->behind, &watcher->node_link);
        watcher->stream->behind++;
        w->stats.behind++;
    } else {
        watch__behind_leave(w, watcher);
    }
    if (watcher->stream->full) {
        oak_list_push(&watcher->stream->parked, &watcher->set_link);
        watcher->state = WATCH_PARKED;
    } else {
        cursor_join(w, watcher);
    }
}

void watch__all_fall_behind(struct oak_watch *w, int64_t next)
{
    for (struct oak_list *s = w->streams.next; s != &w->streams; s = s->next) {
        struct oak_watch_stream *stream = OAK_LIST_ENTRY(s, struct oak_watch_stream, link);
        for (struct oak_list *at = stream->watchers.next; at != &stream->watchers; at = at->next) {
            struct oak_watcher *watcher = OAK_LIST_ENTRY(at, struct oak_watcher, stream_link);
            if (watcher->state == WATCH_SYNCED && watcher->next <= w->revision) {
                watcher_at(watcher, next);
                watch__fall_behind(w, watcher);
            }
        }
    }
}

void oak_watch_drained(struct oak_watch *w, struct oak_watch_stream *stream)
{
    OAK_ASSERT(!w->calling);
    stream->full = false;
    while (!oak_list_empty(&stream->parked)) {
        struct oak_watcher *watcher =
            OAK_LIST_ENTRY(stream->parked.next, struct oak_watcher, set_link);
        watch__behind_leave(w, watcher);
        cursor_join(w, watcher);
    }
}

bool oak_watch_due(const struct oak_watch *w)
{
    for (size_t i = 0; i < WATCH_CURSORS; i++) {
        if (w->cursors[i].count > 0) {
            return true;
        }
    }
    return false;
}

/* -- the ends of it ---------------------------------------------------------------------------- */

/* They have all there is. */
static void cursor_synced(struct oak_watch *w, struct watch__cursor *c)
{
    for (size_t i = 0; i < MOVED_MAX && c->count > 0; i++) {
        struct oak_watcher *watcher =
            OAK_LIST_ENTRY(c->watchers.next, struct oak_watcher, set_link);
        watch__behind_leave(w, watcher);
        watcher_at(watcher, c->position);
        watcher->state = WATCH_SYNCED;
        oak_list_remove(&watcher->node_link);
        oak_list_push(&watcher->node->synced, &watcher->node_link);
        OAK_ASSERT_GT(watcher->stream->behind, 0u);
        watcher->stream->behind--;
        w->stats.behind--;
    }
}

/* It stands below the floor: who wants what is below it can't have it any more. */
static void cursor_compacted(struct oak_watch *w, struct watch__cursor *c)
{
    cursor_settle(c);
    size_t moved = 0;
    for (struct oak_list *at = c->watchers.next, *next; at != &c->watchers; at = next) {
        next = at->next;
        struct oak_watcher *watcher = OAK_LIST_ENTRY(at, struct oak_watcher, set_link);
        if (watcher->next >= w->compacted) {
            continue;
        }
        if (moved++ == MOVED_MAX) {
            return;
        }
        if (OAK_BUG(watch_floor_untold)) {
            continue;
        }
        const struct oak_watch_response r = {
            .watch_id = watcher->id, .compacted = w->compacted, .cancelled = true};
        if (watch__offer(w, watcher, &r)) {
            watch__detach(w, watcher);
        } else {
            watch__fall_behind(w, watcher);
        }
    }
    c->position = w->compacted;
}

/* Whoever stands where it stands becomes one with it. */
static void cursor_merge(struct oak_watch *w, struct watch__cursor *c)
{
    for (size_t i = 0; i < WATCH_CURSORS; i++) {
        struct watch__cursor *other = &w->cursors[i];
        if (other == c || other->count == 0 || other->position != c->position) {
            continue;
        }
        struct watch__cursor *small = other->count < c->count ? other : c;
        struct watch__cursor *large = small == c ? other : c;
        while (!oak_list_empty(&small->watchers)) {
            struct oak_watcher *watcher =
                OAK_LIST_ENTRY(oak_list_pop(&small->watchers), struct oak_watcher, set_link);
            oak_list_push(&large->watchers, &watcher->set_link);
            watcher->cursor = number_of(w, large);
        }
        large->count += small->count;
        small->count = 0;
        return;
    }
}

/* -- reading ----------------------------------------------------------------------------------- */

struct reading {
    struct oak_watch *w;
    struct watch__cursor *cursor;
    int64_t revision; /* of the last change seen */
    int64_t end;      /* the first revision that was not read to its end */
    size_t cost;
    bool stopped;
    bool failed;
};

static bool waiting_each(void *arg, struct watch__node *n)
{
    bool *waiting = arg;
    *waiting = n->waiting > 0;
    return !*waiting;
}

static enum oak_watch_want reading_want(void *arg, int64_t revision, struct oak_bytes key)
{
    struct reading *reading = arg;
    const struct oak_watch_options *o = &reading->w->options;
    bool enough = reading->cost >= o->step_changes || reading->w->bytes.size >= o->response_bytes;
    OAK_ASSERT_GE(revision, reading->revision);
    if (reading->failed || (enough && revision != reading->revision)) {
        reading->end = revision;
        reading->stopped = true;
        return OAK_WATCH_STOP;
    }
    reading->revision = revision;
    reading->cost++;
    bool waiting = false;
    watch__nodes_of(reading->w, key, waiting_each, &waiting);
    return waiting ? OAK_WATCH_TAKE : OAK_WATCH_SKIP;
}

static void reading_take(void *arg, bool deleted, const struct oak_watch_pair *pair)
{
    struct reading *reading = arg;
    reading->cost += WATCH_FETCH_COST;
    reading->failed = reading->failed || !watch__batch_add(reading->w, deleted, pair, NULL, true);
}

/* The pairs before, for those events that somebody wants them of. What the floor hides is left
 * out, as it is for everybody. */
static int previous_fill(struct oak_watch *w)
{
    size_t count = w->events.size / sizeof(struct watch__event);
    for (size_t i = 0; i < count; i++) {
        struct watch__event *e = watch__event_at(w, (uint32_t)i);
        if (OAK_BUG(watch_history_no_pair) || !e->wanted ||
            e->revision - 1 < OAK_MAX(w->compacted, (int64_t)1)) {
            continue;
        }
        struct oak_watch_pair previous;
        struct oak_bytes key = oak_bytes(w->bytes.data + e->key_at, e->key_size);
        int error = w->options.at(w->options.user, key, e->revision - 1, &previous);
        if (error == 0 && !watch__batch_previous(w, e, &previous)) {
            error = OAK_ENOMEM;
        }
        if (error != 0 && error != OAK_ENOENT) {
            return error;
        }
    }
    return 0;
}

/* Up to where the next cursor stands, or to the newest revision. */
static int64_t reading_to(const struct oak_watch *w, const struct watch__cursor *c)
{
    int64_t to = w->revision;
    for (size_t i = 0; i < WATCH_CURSORS; i++) {
        const struct watch__cursor *other = &w->cursors[i];
        if (other->count > 0 && other->position > c->position) {
            to = OAK_MIN(to, other->position - 1);
        }
    }
    return to;
}

static int cursor_read(struct oak_watch *w, struct watch__cursor *c)
{
    int64_t to = reading_to(w, c);
    struct reading reading = {.w = w, .cursor = c, .revision = c->position, .end = to + 1};
    w->stats.steps++;
    w->calling = true;
    int error =
        w->options.changes(w->options.user, c->position, to, reading_want, reading_take, &reading);
    if (error == 0 && !reading.failed) {
        error = previous_fill(w);
    }
    w->calling = false;
    error = reading.failed ? OAK_ENOMEM : error;
    if (error == 0) {
        /* First: who can't be served finds another cursor. */
        c->position = reading.end;
        watch__flush(w, c);
        cursor_merge(w, c);
    }
    watch__batch_clear(w);
    return error;
}

int oak_watch_step(struct oak_watch *w)
{
    OAK_ASSERT(!w->calling);
    OAK_ASSERT(w->touched == NULL); /* no batch is open */
    for (size_t i = 0; i < WATCH_CURSORS; i++) {
        w->turn = (w->turn + 1) % WATCH_CURSORS;
        struct watch__cursor *c = &w->cursors[w->turn];
        if (c->count == 0) {
            continue;
        }
        if (c->position < w->compacted) {
            cursor_compacted(w, c);
        } else if (c->position > w->revision - (OAK_BUG(watch_misses_last) ? 1 : 0)) {
            cursor_synced(w, c);
        } else {
            return cursor_read(w, c);
        }
        return 0;
    }
    return 0;
}
