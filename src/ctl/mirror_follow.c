/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_follow.c: each change at the source, at the destination.
 *
 * Happy path   1 a watch from behind the state; what comes is queued 2 whole revisions go to the
 *              destination: one is one transaction; when there are many, some of them share one, as
 *              they would with somebody who looks less often 3 one that does not fit is cut, and
 *              the state says how much of it is there
 * Can fail     the destination: the queue is forgotten, and all begins again behind the state. The
 *              source: the watch goes on by itself. What is next is compacted: OAK_ECOMPACTED.
 * Invariants   a revision is not begun before all of it was heard. Too much of a queue stops the
 *              watch.
 */
#include "ctl/mirror.h"

#include <stdlib.h>

/* Of the queue: the watch stops above the one, and goes on below the other. */
#define QUEUE_BYTES_MAX (32 * OAK_MIB)
#define QUEUE_BYTES_LOW (8 * OAK_MIB)
/* How long the state may stay behind what is known, when nothing changes. */
#define WAIT_NS UINT64_C(500000000)
/* How often the source is asked how far it is, when nothing comes. */
#define LOOK_NS UINT64_C(2000000000)

/* What was told at once, kept. */
struct piece {
    struct oak_list link;
    struct oak_client_changes *changes;
    size_t next; /* the first that is not at the destination */
    size_t bytes;
};

struct follower {
    struct mirror *m;
    struct oak_client_watcher *watcher;
    struct oak_list pieces;
    size_t bytes;
    bool paused;
    int64_t whole; /* all of the revisions up to here was heard */
    uint64_t looked_ns;
    uint64_t skip; /* changes of the first revision that are at the destination */
    int error;
};

static void piece_free(struct follower *f, struct piece *piece)
{
    f->bytes -= piece->bytes;
    oak_list_remove(&piece->link);
    oak_client_changes_free(piece->changes);
    free(piece);
}

static void wake(struct follower *f, int error)
{
    f->error = f->error != 0 ? f->error : error;
    oak_os_loop_stop(f->m->c->os);
}

static bool suffix_of(const struct mirror *m, const struct oak_client_event *event,
                      struct oak_bytes *out)
{
    *out = oak_bytes(event->kv.key.data + m->prefix.size, event->kv.key.size - m->prefix.size);
    return mirror__counts(m, *out);
}

/* -- what comes -------------------------------------------------------------------------------- */

static void piece_add(struct follower *f, const struct oak_client_changes *changes)
{
    struct piece *piece = calloc(1, sizeof(*piece));
    struct oak_client_changes *kept = oak_client_changes_keep(changes);
    if (piece == NULL || kept == NULL) {
        free(piece);
        oak_client_changes_free(kept);
        wake(f, mirror__fail(f->m, OAK_ENOMEM, "%s", oak_error_text(OAK_ENOMEM)));
        return;
    }
    piece->changes = kept;
    for (size_t i = 0; i < kept->count; i++) {
        piece->bytes +=
            sizeof(*kept->events) + kept->events[i].kv.key.size + kept->events[i].kv.value.size;
    }
    f->bytes += piece->bytes;
    oak_list_push(&f->pieces, &piece->link);
    if (!f->paused && f->bytes > QUEUE_BYTES_MAX) {
        f->paused = true;
        oak_client_watcher_pause(f->watcher, true);
    }
}

static void watch_changes(void *user, struct oak_client_watch *watch,
                          const struct oak_client_changes *changes)
{
    struct follower *f = user;
    struct oak_client_header header = oak_client_watcher_header(f->watcher);
    (void)watch;
    if (header.cluster_id != f->m->state.cluster) {
        wake(f, mirror__fail(f->m, OAK_EAGAIN, "another cluster answers for the source"));
        return;
    }
    f->m->source_revision = OAK_MAX(f->m->source_revision, header.revision);
    if (changes->count > 0) {
        int64_t last = changes->events[changes->count - 1].kv.mod_revision;
        f->whole = changes->more ? last - 1 : last;
        piece_add(f, changes);
    } else {
        f->whole = OAK_MAX(f->whole, changes->revision);
    }
    wake(f, 0);
}

static void watch_ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                        int64_t compacted)
{
    struct follower *f = user;
    (void)watch;
    if (error == OAK_ECOMPACTED) {
        wake(f, mirror__fail(f->m, error,
                             "the source has compacted what came before revision "
                             "%" PRId64,
                             compacted));
    } else {
        wake(f, mirror__fail(f->m, error, "the watch at the source: %s", message));
    }
}

/* -- what goes --------------------------------------------------------------------------------- */

/* Where a batch ends in the queue. */
struct mark {
    struct piece *piece;
    size_t next;
};

/* The change behind a mark, which moves; NULL: there is none of a whole revision. */
static const struct oak_client_event *event_next(const struct follower *f, struct mark *at)
{
    while (at->piece != NULL && at->next == at->piece->changes->count) {
        bool last = at->piece->link.next == &f->pieces;
        at->piece = last ? NULL : OAK_LIST_ENTRY(at->piece->link.next, struct piece, link);
        at->next = at->piece != NULL ? at->piece->next : 0;
    }
    if (at->piece == NULL || at->piece->changes->events[at->next].kv.mod_revision > f->whole) {
        return NULL;
    }
    return &at->piece->changes->events[at->next++];
}

static struct mark mark_first(const struct follower *f)
{
    if (oak_list_empty(&f->pieces)) {
        return (struct mark){NULL, 0};
    }
    struct piece *piece = OAK_LIST_ENTRY(f->pieces.next, struct piece, link);
    return (struct mark){piece, piece->next};
}

static bool batch_has(const struct mirror *m, struct oak_bytes suffix)
{
    bool has = false;
    for (size_t i = 0; i < m->batch.count && !has; i++) {
        struct oak_bytes key = m->batch.ops[i].key;
        has = oak_bytes_eq(suffix,
                           oak_bytes(key.data + m->to_prefix.size, key.size - m->to_prefix.size));
    }
    return has;
}

/* Does the revision that begins at the mark fit behind what is in the batch, no key twice? A first
 * one is cut if it does not, and always fits so far. */
static bool revision_fits(const struct follower *f, struct mark at)
{
    const struct mirror *m = f->m;
    size_t count = 0;
    size_t bytes = 0;
    bool fits = true;
    int64_t revision = 0;
    const struct oak_client_event *event;
    while (fits && (event = event_next(f, &at)) != NULL &&
           (revision == 0 || event->kv.mod_revision == revision)) {
        struct oak_bytes suffix;
        revision = event->kv.mod_revision;
        if (suffix_of(m, event, &suffix)) {
            count++;
            bytes += m->to_prefix.size + suffix.size + event->kv.value.size;
            fits = !batch_has(m, suffix);
        }
    }
    size_t ops = m->ops_max - (m->key != NULL ? 1 : 0);
    return fits && revision != 0 && m->batch.count + count <= ops &&
           m->batch.bytes + bytes <= m->bytes_max;
}

static int event_add(struct mirror *m, const struct oak_client_event *event)
{
    struct oak_bytes suffix;
    if (!suffix_of(m, event, &suffix)) {
        return 0;
    }
    return mirror__batch_add(m, suffix, event->deleted ? NULL : &event->kv.value);
}

/* One revision from the mark on, or as much of it as fits. */
static int revision_take(struct follower *f, struct mark *at, struct mirror_state *next)
{
    struct mirror *m = f->m;
    struct mark ahead = *at;
    const struct oak_client_event *event = event_next(f, &ahead);
    int64_t revision = event->kv.mod_revision;
    int error = 0;
    while (error == 0 && event != NULL && event->kv.mod_revision == revision) {
        struct oak_bytes suffix;
        bool counts = suffix_of(m, event, &suffix);
        if (f->skip > 0) {
            f->skip--;
        } else if (counts && !mirror__batch_has_room(m, suffix.size + event->kv.value.size)) {
            next->revision = revision - 1; /* the rest of it is for another transaction */
            return 0;
        } else {
            error = event_add(m, event);
            next->part++;
        }
        *at = ahead;
        event = event_next(f, &ahead);
    }
    next->revision = revision;
    next->part = 0;
    return error;
}

/* What is before the mark is at the destination. */
static void queue_drop(struct follower *f, struct mark at)
{
    while (!oak_list_empty(&f->pieces)) {
        struct piece *piece = OAK_LIST_ENTRY(f->pieces.next, struct piece, link);
        if (piece == at.piece) {
            piece->next = at.next;
            if (at.next < piece->changes->count) {
                break;
            }
            piece_free(f, piece);
            break;
        }
        piece_free(f, piece);
    }
    if (f->paused && f->bytes < QUEUE_BYTES_LOW) {
        f->paused = false;
        oak_client_watcher_pause(f->watcher, false);
    }
}

/* A transaction's worth of the queue. False: there is none. */
static int queue_apply(struct follower *f, bool *any)
{
    struct mirror *m = f->m;
    struct mirror_state next = m->state;
    struct mark at = mark_first(f);
    struct mark probe = at;
    uint64_t skip = f->skip;
    mirror__batch_clear(m);
    *any = event_next(f, &probe) != NULL;
    if (!*any) {
        return 0;
    }
    int error = revision_take(f, &at, &next);
    while (error == 0 && m->joins && next.part == 0 && revision_fits(f, at)) {
        error = revision_take(f, &at, &next);
    }
    error = error != 0 ? error : mirror__apply(m, &next);
    if (error == 0) {
        queue_drop(f, at);
        return 0;
    }
    f->skip = skip;
    return error == OAK_EREQUESTTOOLARGE ? 0 : error;
}

/* A source that was restored has a revision before ours, and nothing of it would come. That it does
 * not answer is no news: the watch goes on by itself. */
static int source_look(struct follower *f)
{
    struct mirror *m = f->m;
    int64_t revision = 0;
    if (m->stop || mirror__now(m) - f->looked_ns < LOOK_NS) {
        return 0;
    }
    int error = mirror__source_revision(m, &revision);
    f->looked_ns = mirror__now(m);
    return error == 0 && revision < m->state.revision
               ? mirror__fail(m, OAK_EAGAIN, "the source is at revision %" PRId64, revision)
               : 0;
}

/* Nothing is to be done: up to where nothing has changed is kept in the state too. */
static int idle(struct follower *f)
{
    struct mirror *m = f->m;
    struct mirror_state next = m->state;
    bool behind = oak_list_empty(&f->pieces) && f->whole > m->state.revision && f->skip == 0 &&
                  m->state.part == 0;
    if (behind) {
        next.revision = f->whole;
        mirror__batch_clear(m);
        return mirror__apply(m, &next);
    }
    mirror__wait(m, WAIT_NS);
    return source_look(f);
}

/* -- the door ---------------------------------------------------------------------------------- */

static const struct oak_client_watch_callbacks callbacks = {.changes = watch_changes,
                                                            .ended = watch_ended};

int mirror__follow(struct mirror *m)
{
    struct follower f = {.m = m, .whole = m->state.revision, .skip = m->state.part};
    struct oak_client_watch_options options = {.key = m->prefix,
                                               .span = OAK_CLIENT_PREFIX,
                                               .revision = m->state.revision + 1,
                                               .progress = true};
    struct oak_client_watch *watch;
    oak_list_init(&f.pieces);
    int error = oak_client_watcher_new(m->from, &f.watcher);
    error = error != 0 ? error : oak_client_watch(f.watcher, &options, &callbacks, &f, &watch);
    if (error != 0) {
        mirror__fail(m, error, "%s", oak_error_text(error));
    }
    /* A revision of which a part is there is finished before we leave. */
    while (error == 0 && f.error == 0 &&
           !(m->stop && (m->state.part == 0 || oak_list_empty(&f.pieces)))) {
        bool any = false;
        error = queue_apply(&f, &any);
        error = error != 0 || any ? error : idle(&f);
        mirror__tick(m, false);
    }
    while (!oak_list_empty(&f.pieces)) {
        piece_free(&f, OAK_LIST_ENTRY(f.pieces.next, struct piece, link));
    }
    oak_client_watcher_free(f.watcher);
    return error != 0 ? error : f.error;
}
