/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: the life of watchers and of the streams they share.
 *
 * Happy path   create: check, number, into the node of its range; at once synced, or behind.
 *              Cancel and the end of a stream undo that.
 * Can fail     create: refused by what the API says, by a limit, or for want of memory.
 * Invariants   ids are unique on a stream. stream->behind counts its watchers that are behind.
 * Thread       the room's.
 */
#include "watch/internal.h"

#define ID_SLOTS_MIN 64u

/* -- life -------------------------------------------------------------------------------------- */

int oak_watch_new(const struct oak_watch_options *options, struct oak_watch **out)
{
    OAK_ASSERT(options->send != NULL && options->changes != NULL && options->at != NULL);
    struct oak_watch *w = options->alloc.resize(options->alloc.user, NULL, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    *w = (struct oak_watch){
        .options = *options,
        .revision = options->revision,
        .compacted = options->compacted,
    };
    struct oak_watch_options *o = &w->options;
    o->fragment_bytes = o->fragment_bytes != 0 ? o->fragment_bytes : OAK_WATCH_FRAGMENT_BYTES_MAX;
    o->watchers_max = o->watchers_max != 0 ? o->watchers_max : OAK_WATCHERS_MAX;
    o->stream_watchers_max =
        o->stream_watchers_max != 0 ? o->stream_watchers_max : OAK_STREAM_WATCHERS_MAX;
    o->key_bytes_max = o->key_bytes_max != 0 ? o->key_bytes_max : OAK_WATCH_KEY_BYTES_MAX;
    o->response_bytes = o->response_bytes != 0 ? o->response_bytes : WATCH_RESPONSE_BYTES;
    o->step_changes = o->step_changes != 0 ? o->step_changes : WATCH_STEP_COST;
    o->cursors = o->cursors != 0 ? o->cursors : WATCH_CURSORS;
    OAK_ASSERT_LE(o->cursors, WATCH_CURSORS);
    oak_prng_init(&w->prng, options->seed[0] ^ options->seed[1]);
    oak_list_init(&w->streams);
    watch__cursors_init(w);
    *out = w;
    return 0;
}

void oak_watch_free(struct oak_watch *w)
{
    OAK_ASSERT(oak_list_empty(&w->streams));
    OAK_ASSERT_EQ(w->stats.watchers, 0u);
    watch__batch_clear(w);
    watch__pool_fini(w, &w->bytes);
    watch__pool_fini(w, &w->events);
    watch__pool_fini(w, &w->deliveries);
    watch__pool_fini(w, &w->bodies);
    watch__pool_fini(w, &w->chunks);
    watch__index_fini(w);
    watch__free(w, w->ids, w->id_slots * sizeof(struct oak_watcher *));
    OAK_ASSERT_EQ(w->memory_bytes, 0u);
    struct oak_alloc alloc = w->options.alloc;
    (void)alloc.resize(alloc.user, w, 0);
}

void oak_watch_stream_begin(struct oak_watch *w, struct oak_watch_stream *stream)
{
    *stream = (struct oak_watch_stream){0};
    oak_list_init(&stream->watchers);
    oak_list_init(&stream->parked);
    oak_list_push(&w->streams, &stream->link);
    w->stats.streams++;
}

/* -- ids --------------------------------------------------------------------------------------- */

static struct oak_watcher **id_bucket(const struct oak_watch *w,
                                      const struct oak_watch_stream *stream, int64_t id)
{
    uint8_t bytes[16];
    oak_put_u64(bytes, (uint64_t)(uintptr_t)stream);
    oak_put_u64(bytes + 8, (uint64_t)id);
    return &w->ids[watch__hash(w, oak_bytes(bytes, sizeof(bytes))) & (w->id_slots - 1)];
}

static struct oak_watcher *id_find(const struct oak_watch *w, const struct oak_watch_stream *stream,
                                   int64_t id)
{
    if (stream->count == 0) {
        return NULL;
    }
    struct oak_watcher *watcher = *id_bucket(w, stream, id);
    while (watcher != NULL && (watcher->stream != stream || watcher->id != id)) {
        watcher = watcher->id_next;
    }
    return watcher;
}

static void ids_resize(struct oak_watch *w, size_t slots)
{
    struct oak_watcher **old = w->ids;
    size_t old_slots = w->id_slots;
    struct oak_watcher **fresh = watch__alloc(w, slots * sizeof(struct oak_watcher *));
    if (fresh == NULL) {
        return;
    }
    memset(fresh, 0, slots * sizeof(struct oak_watcher *));
    w->ids = fresh;
    w->id_slots = slots;
    for (size_t i = 0; i < old_slots; i++) {
        for (struct oak_watcher *watcher = old[i]; watcher != NULL;) {
            struct oak_watcher *next = watcher->id_next;
            struct oak_watcher **bucket = id_bucket(w, watcher->stream, watcher->id);
            watcher->id_next = *bucket;
            *bucket = watcher;
            watcher = next;
        }
    }
    watch__free(w, old, old_slots * sizeof(struct oak_watcher *));
}

/* Room for one more. A table that can't grow goes on as it is, once there is one. */
static bool ids_reserve(struct oak_watch *w)
{
    if (w->stats.watchers >= w->id_slots) {
        ids_resize(w, OAK_MAX(ID_SLOTS_MIN, w->id_slots * 2));
    }
    return w->id_slots > 0;
}

static void id_remove(struct oak_watch *w, struct oak_watcher *watcher)
{
    struct oak_watcher **at = id_bucket(w, watcher->stream, watcher->id);
    while (*at != watcher) {
        OAK_ASSERT(*at != NULL);
        at = &(*at)->id_next;
    }
    *at = watcher->id_next;
    if (w->id_slots > ID_SLOTS_MIN && w->stats.watchers < w->id_slots / 8) {
        ids_resize(w, w->id_slots / 2);
    }
}

/* -- create ------------------------------------------------------------------------------------ */

struct oak_watch_range oak_watch_range_of(const struct oak_watch_request *request)
{
    static const uint8_t zero = 0;
    struct oak_watch_range range = {.key = request->key, .range_end = request->range_end};
    if (range.key.size == 0) {
        range.key = oak_bytes(&zero, 1);
    }
    if (range.range_end.size == 1 && range.range_end.data[0] == 0) {
        range.range_end = oak_bytes(NULL, 0);
        range.open_end = true;
    }
    return range;
}

static enum oak_watch_verdict create_check(const struct oak_watch *w,
                                           const struct oak_watch_stream *stream,
                                           const struct oak_watch_request *request,
                                           const struct oak_watch_range *range)
{
    const struct oak_watch_options *o = &w->options;
    if (request->start_revision < 0) {
        return OAK_WATCH_COMPACTED;
    }
    if (range->range_end.size > 0 && oak_bytes_cmp(range->key, range->range_end) >= 0) {
        return OAK_WATCH_EMPTY_RANGE;
    }
    if (request->watch_id != 0 && id_find(w, stream, request->watch_id) != NULL) {
        return OAK_WATCH_DUPLICATE_ID;
    }
    if (stream->count >= o->stream_watchers_max) {
        return OAK_WATCH_TOO_MANY_ON_STREAM;
    }
    size_t bytes = range->key.size + range->range_end.size;
    if (w->stats.watchers >= o->watchers_max || bytes > o->key_bytes_max - w->key_bytes) {
        return OAK_WATCH_TOO_MANY;
    }
    return OAK_WATCH_CREATED;
}

static int64_t id_choose(const struct oak_watch *w, struct oak_watch_stream *stream, int64_t wanted)
{
    if (wanted != 0) {
        return wanted;
    }
    while (id_find(w, stream, stream->next_id) != NULL) {
        stream->next_id++;
    }
    return stream->next_id++;
}

/* A watcher with a node comes to be part of everything. */
static void attach(struct oak_watch *w, struct oak_watcher *watcher)
{
    struct oak_watch_stream *stream = watcher->stream;
    struct watch__node *n = watcher->node;
    bool previous = (watcher->variant & WATCH_PREVIOUS) != 0;
    struct oak_watcher **bucket = id_bucket(w, stream, watcher->id);
    watcher->id_next = *bucket;
    *bucket = watcher;
    oak_list_push(&stream->watchers, &watcher->stream_link);
    oak_list_push(&n->synced, &watcher->node_link);
    n->previous += previous;
    w->previous += previous;
    w->key_bytes += watch__node_bytes(n);
    stream->count++;
    stream->future += watcher->future;
    w->stats.watchers++;
    if (watcher->next <= w->revision) {
        watch__fall_behind(w, watcher);
    }
}

enum oak_watch_verdict oak_watch_create(struct oak_watch *w, struct oak_watch_stream *stream,
                                        const struct oak_watch_request *request, int64_t *id)
{
    OAK_ASSERT(!w->calling);
    OAK_ASSERT(w->touched == NULL); /* no batch is open */
    struct oak_watch_range range = oak_watch_range_of(request);
    enum oak_watch_verdict verdict = create_check(w, stream, request, &range);
    if (verdict != OAK_WATCH_CREATED) {
        return verdict;
    }
    if (!ids_reserve(w)) {
        return OAK_WATCH_NO_MEMORY;
    }
    struct oak_watcher *watcher = watch__alloc(w, sizeof(*watcher));
    struct watch__node *n = watcher != NULL ? watch__node_of(w, &range) : NULL;
    if (n == NULL) {
        watch__free(w, watcher, sizeof(*watcher));
        return OAK_WATCH_NO_MEMORY;
    }
    int64_t start = request->start_revision;
    *watcher = (struct oak_watcher){
        .stream = stream,
        .node = n,
        .id = id_choose(w, stream, request->watch_id),
        .next = start != 0 ? start : w->revision + 1,
        .variant = (uint8_t)((request->no_put ? WATCH_NO_PUT : 0) |
                             (request->no_delete ? WATCH_NO_DELETE : 0) |
                             (request->prev_kv ? WATCH_PREVIOUS : 0)),
        .state = WATCH_SYNCED,
        .fragment = request->fragment,
        .progress = request->progress,
        .quiet = true,
        .future = start > w->revision,
    };
    attach(w, watcher);
    *id = watcher->id;
    return OAK_WATCH_CREATED;
}

/* -- cancel ------------------------------------------------------------------------------------ */

void watch__detach(struct oak_watch *w, struct oak_watcher *watcher)
{
    if (watcher->state == WATCH_DEAD) {
        return;
    }
    struct oak_watch_stream *stream = watcher->stream;
    struct watch__node *n = watcher->node;
    bool previous = (watcher->variant & WATCH_PREVIOUS) != 0;
    if (watcher->state != WATCH_SYNCED) {
        watch__behind_leave(w, watcher);
        stream->behind--;
        w->stats.behind--;
    }
    watch__future_end(watcher);
    watcher->state = WATCH_DEAD;
    watcher->node = NULL;
    oak_list_remove(&watcher->node_link);
    n->previous -= previous;
    w->previous -= previous;
    w->key_bytes -= watch__node_bytes(n);
    if (oak_list_empty(&n->synced) && oak_list_empty(&n->behind)) {
        watch__node_drop(w, n);
    }
}

static void watcher_free(struct oak_watch *w, struct oak_watcher *watcher)
{
    watch__detach(w, watcher);
    oak_list_remove(&watcher->stream_link);
    w->stats.watchers--;
    id_remove(w, watcher);
    watcher->stream->count--;
    watch__free(w, watcher, sizeof(*watcher));
}

bool oak_watch_cancel(struct oak_watch *w, struct oak_watch_stream *stream, int64_t id)
{
    OAK_ASSERT(!w->calling);
    struct oak_watcher *watcher = id_find(w, stream, id);
    if (watcher == NULL) {
        return false;
    }
    watcher_free(w, watcher);
    return true;
}

void oak_watch_stream_end(struct oak_watch *w, struct oak_watch_stream *stream)
{
    OAK_ASSERT(!w->calling);
    OAK_ASSERT(w->touched == NULL); /* no batch is open */
    while (!oak_list_empty(&stream->watchers)) {
        watcher_free(w, OAK_LIST_ENTRY(stream->watchers.next, struct oak_watcher, stream_link));
    }
    OAK_ASSERT_EQ(stream->count, 0u);
    OAK_ASSERT_EQ(stream->behind, 0u);
    OAK_ASSERT_EQ(stream->future, 0u);
    oak_list_remove(&stream->link);
    w->stats.streams--;
}

/* -- progress ---------------------------------------------------------------------------------- */

void watch__future_end(struct oak_watcher *watcher)
{
    if (watcher->future) {
        OAK_ASSERT_GT(watcher->stream->future, 0u);
        watcher->future = false;
        watcher->stream->future--;
    }
}

/* Has its start not come yet? */
static bool is_future(const struct oak_watch *w, struct oak_watcher *watcher)
{
    if (watcher->next <= w->revision) {
        watch__future_end(watcher);
    }
    return watcher->future;
}

static bool future_left(struct oak_watch *w, struct oak_watch_stream *stream)
{
    for (struct oak_list *at = stream->watchers.next; stream->future > 0 && at != &stream->watchers;
         at = at->next) {
        if (is_future(w, OAK_LIST_ENTRY(at, struct oak_watcher, stream_link))) {
            return true;
        }
    }
    return false;
}

enum oak_watch_sync oak_watch_stream_sync(struct oak_watch *w, struct oak_watch_stream *stream)
{
    if (stream->count == 0) {
        return OAK_WATCH_NONE;
    }
    if (stream->behind > 0 && !OAK_BUG(watch_progress_ahead)) {
        return OAK_WATCH_BEHIND;
    }
    return future_left(w, stream) ? OAK_WATCH_FUTURE : OAK_WATCH_SYNCED;
}

void oak_watch_quiet_each(struct oak_watch *w, struct oak_watch_stream *stream,
                          void (*each)(void *arg, int64_t id), void *arg)
{
    for (struct oak_list *at = stream->watchers.next; at != &stream->watchers; at = at->next) {
        struct oak_watcher *watcher = OAK_LIST_ENTRY(at, struct oak_watcher, stream_link);
        if (!watcher->progress || watcher->state != WATCH_SYNCED || is_future(w, watcher)) {
            continue;
        }
        if (watcher->quiet) {
            each(arg, watcher->id);
        }
        watcher->quiet = true;
    }
}

/* -- looking ----------------------------------------------------------------------------------- */

void oak_watch_stats(const struct oak_watch *w, struct oak_watch_stats *out)
{
    *out = w->stats;
    out->memory_bytes = w->memory_bytes + sizeof(*w);
}

int64_t oak_watch_revision(const struct oak_watch *w)
{
    return w->revision;
}
