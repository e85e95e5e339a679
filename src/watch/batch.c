/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c: the events that wait for the end of a batch, each encoded once, and who gets them.
 *
 * Happy path   a change that somebody watches is encoded into `bytes`; each node that its key falls
 *              into gets a delivery, in order. What nobody watches costs a look into the index.
 * Can fail     want of memory, or more than a batch may hold: `lost`. The batch is dropped then,
 *              and its watchers have it from the history.
 * Invariants   the touched nodes are those with deliveries; both are gone when the batch is.
 * Thread       the room's.
 */
#include "watch/internal.h"

struct watch__event *watch__event_at(struct oak_watch *w, uint32_t event)
{
    OAK_ASSERT_LT(event * sizeof(struct watch__event), w->events.size);
    return &((struct watch__event *)(void *)w->events.data)[event];
}

/* Deliveries are counted from 1. */
struct watch__delivery *watch__delivery_at(struct oak_watch *w, uint32_t delivery)
{
    OAK_ASSERT_GT(delivery, 0u);
    OAK_ASSERT_LE(delivery * sizeof(struct watch__delivery), w->deliveries.size);
    return &((struct watch__delivery *)(void *)w->deliveries.data)[delivery - 1];
}

/* Does anybody of this node get what is being added? */
static bool node_takes(const struct watch__node *n, bool behind)
{
    return behind ? n->waiting > 0 : !oak_list_empty(&n->synced);
}

static bool previous_each(void *arg, struct watch__node *n)
{
    bool *found = arg;
    *found = n->previous > 0 && node_takes(n, false);
    return !*found;
}

bool oak_watch_wants_previous(const struct oak_watch *w, struct oak_bytes key)
{
    bool found = false;
    if (w->previous > 0) {
        watch__nodes_of(w, key, previous_each, &found);
    }
    return found;
}

static bool encode(struct oak_watch *w, const struct oak_watch_pair *pair, struct watch__event *e)
{
    e->plain_size = watch__event_size(e->deleted, pair);
    uint8_t *out = watch__pool_add(w, &w->bytes, e->plain_size);
    if (out == NULL) {
        return false;
    }
    e->plain_at = (size_t)(out - w->bytes.data);
    size_t key_at;
    watch__event_write(e->deleted, pair, out, &key_at);
    e->key_at = e->plain_at + key_at;
    e->key_size = pair->key.size;
    return true;
}

bool watch__batch_previous(struct oak_watch *w, struct watch__event *e,
                           const struct oak_watch_pair *previous)
{
    struct oak_bytes plain = oak_bytes(w->bytes.data + e->plain_at, e->plain_size);
    size_t size = watch__event_size_with(plain, previous);
    uint8_t *out = watch__pool_add(w, &w->bytes, size);
    if (out == NULL) {
        return false;
    }
    e->with_at = (size_t)(out - w->bytes.data);
    e->with_size = size;
    plain.data = w->bytes.data + e->plain_at; /* it may have moved */
    watch__event_write_with(plain, previous, out);
    return true;
}

/* A change on its way to the nodes that its key falls into. */
struct adding {
    struct oak_watch *w;
    bool deleted;
    bool created; /* no pair is before, though its transaction may have removed one */
    const struct oak_watch_pair *pair;
    const struct oak_watch_pair *previous;
    bool behind;
    struct watch__event *event; /* NULL: nobody has wanted it yet */
    bool failed;
};

/* The event, for the first who wants it. */
static bool event_make(struct adding *adding)
{
    struct oak_watch *w = adding->w;
    const struct oak_watch_pair *pair = adding->pair;
    struct watch__event e = {.revision = pair->mod_rev, .deleted = adding->deleted};
    /* A delete tells of a key and a revision alone. */
    const struct oak_watch_pair gone = {.key = pair->key, .mod_rev = pair->mod_rev};
    if (!encode(w, adding->deleted ? &gone : pair, &e)) {
        return false;
    }
    adding->event = watch__pool_add(w, &w->events, sizeof(e));
    if (adding->event == NULL) {
        return false;
    }
    *adding->event = e;
    return true;
}

/* The next of what the node gets. */
static bool delivery_add(struct oak_watch *w, struct watch__node *n)
{
    struct watch__delivery *d = watch__pool_add(w, &w->deliveries, sizeof(*d));
    if (d == NULL) {
        return false;
    }
    *d = (struct watch__delivery){.event =
                                      (uint32_t)(w->events.size / sizeof(struct watch__event) - 1)};
    uint32_t at = (uint32_t)(w->deliveries.size / sizeof(*d));
    if (n->first == 0) {
        n->first = at;
        n->touched = NULL;
        if (w->touched == NULL) {
            w->touched = n;
        } else {
            w->touched_last->touched = n;
        }
        w->touched_last = n;
    } else {
        watch__delivery_at(w, n->last)->next = at;
    }
    n->last = at;
    return true;
}

static bool deliver_each(void *arg, struct watch__node *n)
{
    struct adding *adding = arg;
    struct oak_watch *w = adding->w;
    if (!node_takes(n, adding->behind)) {
        return true;
    }
    bool fine = adding->event != NULL || event_make(adding);
    if (fine && n->previous > 0 && !adding->created && !adding->event->wanted) {
        adding->event->wanted = true;
        fine =
            adding->previous == NULL || watch__batch_previous(w, adding->event, adding->previous);
    }
    adding->failed = !fine || !delivery_add(w, n);
    return !adding->failed;
}

bool watch__batch_add(struct oak_watch *w, bool deleted, const struct oak_watch_pair *pair,
                      const struct oak_watch_pair *previous, bool behind)
{
    struct adding adding = {.w = w,
                            .deleted = deleted,
                            .created = !deleted && pair->create_rev == pair->mod_rev,
                            .pair = pair,
                            .previous = previous,
                            .behind = behind};
    watch__nodes_of(w, pair->key, deliver_each, &adding);
    return !adding.failed;
}

void watch__batch_clear(struct oak_watch *w)
{
    while (w->touched != NULL) {
        struct watch__node *n = w->touched;
        w->touched = n->touched;
        n->touched = NULL;
        n->first = n->last = 0;
    }
    w->touched_last = NULL;
    w->lost = false;
    watch__pool_clear(w, &w->bytes);
    watch__pool_clear(w, &w->events);
    watch__pool_clear(w, &w->deliveries);
}

/* -- what is applied --------------------------------------------------------------------------- */

void oak_watch_changed(struct oak_watch *w, bool deleted, const struct oak_watch_pair *pair,
                       const struct oak_watch_pair *previous)
{
    OAK_ASSERT(!w->calling);
    OAK_ASSERT_GT(pair->mod_rev, w->revision);
    if (!w->lost) {
        w->lost = w->bytes.size > OAK_WATCH_BATCH_BYTES_MAX ||
                  !watch__batch_add(w, deleted, pair, previous, false);
    }
}

void oak_watch_published(struct oak_watch *w, int64_t revision, int64_t compacted)
{
    OAK_ASSERT(!w->calling);
    OAK_ASSERT_GE(revision, w->revision);
    OAK_ASSERT_GE(compacted, w->compacted);
    int64_t before = w->revision;
    w->revision = revision;
    w->compacted = compacted;
    if (w->lost) {
        watch__all_fall_behind(w, before + 1);
    } else {
        watch__flush(w, NULL);
    }
    watch__batch_clear(w);
}

void oak_watch_replaced(struct oak_watch *w, int64_t revision, int64_t compacted)
{
    watch__batch_clear(w);
    w->lost = revision > w->revision && !OAK_BUG(watch_misses_snapshot);
    oak_watch_published(w, revision, compacted);
}
