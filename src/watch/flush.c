/* SPDX-License-Identifier: Apache-2.0 */
/* flush.c: the batch, to the streams of those who watch.
 *
 * Happy path   for each node that the batch touched, its events are joined once for each variant
 *              that its watchers have (which types, with the pair before or not), and cut between
 *              revisions where they are long. Each watcher is offered the same bytes.
 * Can fail     a stream that is full, and want of memory: that watcher falls behind, at the first
 *              revision that it was not sent.
 * Invariants   watcher->next is beyond all that it was sent, but for watcher->done events of that
 *              revision, which went as fragments. Else a revision goes as one response.
 * Thread       the room's.
 */
#include "watch/internal.h"

struct flush {
    struct oak_watch *w;
    struct watch__node *node;
    bool many;    /* it has more watchers than one */
    bool sharing; /* and what is being sent is what others are sent too */
    struct watch__body bodies[WATCH_VARIANTS];
};

static bool variant_takes(uint8_t variant, const struct watch__event *e)
{
    bool deleted = e->deleted != OAK_BUG(watch_filters_other);
    return (variant & (deleted ? WATCH_NO_DELETE : WATCH_NO_PUT)) == 0;
}

static struct oak_bytes event_bytes(const struct oak_watch *w, const struct watch__event *e,
                                    uint8_t variant)
{
    bool with = (variant & WATCH_PREVIOUS) != 0 && e->with_size > 0;
    return with ? oak_bytes(w->bytes.data + e->with_at, e->with_size)
                : oak_bytes(w->bytes.data + e->plain_at, e->plain_size);
}

static struct watch__chunk *chunk_at(struct oak_watch *w, size_t at)
{
    OAK_ASSERT_LT(at * sizeof(struct watch__chunk), w->chunks.size);
    return &((struct watch__chunk *)(void *)w->chunks.data)[at];
}

/* Those from `from` on go. */
static void chunks_cut(struct oak_watch *w, size_t from)
{
    for (size_t i = from; i * sizeof(struct watch__chunk) < w->chunks.size; i++) {
        void *kept = chunk_at(w, i)->kept;
        if (kept != NULL) {
            w->options.forget(w->options.user, kept);
        }
    }
    w->chunks.size = from * sizeof(struct watch__chunk);
}

static struct watch__chunk *chunk_add(struct oak_watch *w, struct watch__body *body)
{
    struct watch__chunk *chunk = watch__pool_add(w, &w->chunks, sizeof(*chunk));
    if (chunk != NULL) {
        *chunk = (struct watch__chunk){.at = w->bodies.size};
        body->chunk_count++;
    }
    return chunk;
}

/* Join the node's events of one variant from `next` on, without the first `done` of that revision.
 * False: no memory. */
static bool body_make(struct flush *f, uint8_t variant, int64_t next, uint32_t done,
                      struct watch__body *body)
{
    struct oak_watch *w = f->w;
    struct watch__chunk *chunk = NULL;
    *body = (struct watch__body){.made = true, .chunk_at = w->chunks.size / sizeof(*chunk)};
    for (uint32_t d = f->node->first; d != 0; d = watch__delivery_at(w, d)->next) {
        const struct watch__event *e = watch__event_at(w, watch__delivery_at(w, d)->event);
        if (e->revision < next || !variant_takes(variant, e)) {
            continue;
        }
        if (e->revision == next && done > 0) {
            done--;
            continue;
        }
        if (chunk == NULL || (chunk->size >= w->options.response_bytes &&
                              (chunk->high != e->revision || OAK_BUG(watch_splits_revision)))) {
            chunk = chunk_add(w, body);
            if (chunk == NULL) {
                return false;
            }
            chunk->first = d;
            chunk->low = e->revision;
        }
        struct oak_bytes bytes = event_bytes(w, e, variant);
        uint8_t *to = watch__pool_add(w, &w->bodies, bytes.size);
        if (to == NULL) {
            return false;
        }
        memcpy(to, bytes.data, bytes.size);
        chunk->size += bytes.size;
        chunk->high = e->revision;
        chunk->events++;
    }
    return true;
}

bool watch__offer(struct oak_watch *w, struct oak_watcher *watcher,
                  const struct oak_watch_response *response)
{
    if (watcher->stream->full) {
        return false;
    }
    OAK_ASSERT(!w->calling);
    w->calling = true;
    bool taken = w->options.send(w->options.user, watcher->stream, response);
    w->calling = false;
    if (!taken) {
        watcher->stream->full = true;
        w->stats.refused++;
        return false;
    }
    watcher->quiet = false;
    w->stats.responses++;
    w->stats.events += response->events;
    return true;
}

/* An event of a chunk that is being cut. */
static const struct watch__event *chunk_event(struct flush *f, const struct oak_watcher *watcher,
                                              uint32_t *at)
{
    struct oak_watch *w = f->w;
    for (;;) {
        const struct watch__delivery *d = watch__delivery_at(w, *at);
        const struct watch__event *e = watch__event_at(w, d->event);
        *at = d->next;
        if (variant_takes(watcher->variant, e)) {
            return e;
        }
    }
}

/* In pieces. Where one is not taken, the watcher has come so far: to `done` events of `next`. */
static bool fragments_send(struct flush *f, struct oak_watcher *watcher,
                           const struct watch__chunk *chunk)
{
    struct oak_watch *w = f->w;
    struct oak_watch_response r = {.watch_id = watcher->id, .revision = w->revision};
    int64_t next = watcher->next;
    uint32_t done = watcher->done;
    uint32_t at = chunk->first;
    size_t sent = 0;
    for (uint32_t left = chunk->events; left > 0; left--) {
        const struct watch__event *e = chunk_event(f, watcher, &at);
        size_t more = event_bytes(w, e, watcher->variant).size;
        if (r.events > 0 && r.bytes.size + more > w->options.fragment_bytes) {
            r.fragment = true;
            r.bytes.data = w->bodies.data + chunk->at + sent;
            if (!watch__offer(w, watcher, &r)) {
                return false;
            }
            sent += r.bytes.size;
            watcher->next = next;
            watcher->done = OAK_BUG(watch_fragment_again) ? 0 : done;
            r.bytes.size = 0;
            r.events = 0;
        }
        r.bytes.size += more;
        r.events++;
        done = e->revision == next ? done + 1 : 1;
        next = e->revision;
    }
    r.fragment = false;
    r.bytes.data = w->bodies.data + chunk->at + sent;
    OAK_ASSERT_EQ(sent + r.bytes.size, chunk->size);
    return watch__offer(w, watcher, &r);
}

static bool chunk_send(struct flush *f, struct oak_watcher *watcher, struct watch__chunk *chunk)
{
    struct oak_watch *w = f->w;
    if (watcher->fragment && chunk->events > 1 && chunk->size >= w->options.fragment_bytes) {
        return fragments_send(f, watcher, chunk);
    }
    const struct oak_watch_response r = {
        .watch_id = watcher->id,
        .revision = w->revision,
        .bytes = oak_bytes(w->bodies.data + chunk->at, chunk->size),
        .events = chunk->events,
        .kept = f->sharing && w->options.forget != NULL ? &chunk->kept : NULL,
    };
    return watch__offer(w, watcher, &r);
}

/* False: not all of it was sent, and watcher->next is where it goes on. */
static bool body_send(struct flush *f, struct oak_watcher *watcher, const struct watch__body *body)
{
    for (size_t i = 0; i < body->chunk_count; i++) {
        struct watch__chunk *chunk = chunk_at(f->w, body->chunk_at + i);
        if (chunk->low > watcher->next) {
            watcher->next = chunk->low; /* what lies between is not its affair */
            watcher->done = 0;
        }
        if (!chunk_send(f, watcher, chunk)) {
            watcher->next += OAK_BUG(watch_refused_is_lost) ? chunk->high + 1 - watcher->next : 0;
            return false;
        }
        watcher->next = chunk->high + 1;
        watcher->done = 0;
        watch__future_end(watcher);
    }
    return true;
}

static void watcher_flush(struct flush *f, struct oak_watcher *watcher)
{
    struct oak_watch *w = f->w;
    int64_t first = watch__event_at(w, watch__delivery_at(w, f->node->first)->event)->revision;
    size_t bodies = w->bodies.size;
    size_t chunks = w->chunks.size / sizeof(struct watch__chunk);
    struct watch__body own = {0};
    struct watch__body *body = &f->bodies[watcher->variant];
    bool shared = watcher->next <= first && watcher->done == 0;
    bool fine = true;
    if (!shared) {
        body = &own; /* it has had a part already, or its start lies within */
        fine = body_make(f, watcher->variant, watcher->next, watcher->done, body);
    } else if (!body->made) {
        fine = body_make(f, watcher->variant, 0, 0, body);
    }
    body->made = fine;
    f->sharing = f->many && shared;
    if (shared && !fine) {
        watcher->next = OAK_MAX(watcher->next, first);
    }
    fine = fine && body_send(f, watcher, body);
    if (!shared || !body->made) {
        w->bodies.size = bodies;
        chunks_cut(w, chunks);
    }
    if (!fine) {
        watch__fall_behind(w, watcher);
    }
}

static void node_flush(struct oak_watch *w, struct watch__node *node,
                       const struct watch__cursor *cursor)
{
    struct oak_list *list = cursor == NULL ? &node->synced : &node->behind;
    struct flush f = {.w = w, .node = node, .many = list->next != list->prev};
    size_t number = cursor == NULL ? 0 : (size_t)(cursor - w->cursors) + 1;
    for (struct oak_list *at = list->next, *next; at != list; at = next) {
        next = at->next;
        struct oak_watcher *watcher = OAK_LIST_ENTRY(at, struct oak_watcher, node_link);
        if (watcher->cursor == number) {
            watcher_flush(&f, watcher);
        }
    }
    chunks_cut(w, 0);
    watch__pool_clear(w, &w->bodies);
    watch__pool_clear(w, &w->chunks);
}

void watch__flush(struct oak_watch *w, const struct watch__cursor *cursor)
{
    for (struct watch__node *node = w->touched; node != NULL; node = node->touched) {
        node_flush(w, node, cursor);
    }
}
