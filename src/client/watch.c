/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: watches that go on, whatever becomes of the stream they share.
 *
 * Happy path   1 a create for each watch, with an id of our own; `created` answers, in that order
 *              2 changes come; where they end is kept
 *              3 the stream breaks: all are created again, behind what was told
 * Can fail     refused, or what was to come is compacted: `ended`. A create that can't be sent
 *              waits until the stream is writable.
 * Invariants   a watch is told each change once, in order. What a server splits is told in pieces;
 *              where a stream breaks between them, those that were told are not told again. A watch
 *              that ended while its create was under way is kept, dead, until that is answered.
 * Thread       the loop's.
 */
#include <stdlib.h>

#include "client/stream.h"

/* Events of one message are decoded and told at once. */
#define DECODE_BYTES_MAX ((size_t)3 * 1024 * OAK_MIB)
/* A watcher in etcd's answers that stands for all of a stream. */
#define ALL (-1)

enum watch_state {
    WANTED,  /* its create is to be sent */
    ASKED,   /* is under way: watcher->asked has it */
    CREATED, /* the server has it */
};

struct oak_client_watcher {
    struct client_stream stream;
    struct oak_list wanted; /* by state, in the order of their creates */
    struct oak_list asked;
    struct oak_list created;
    struct oak_arena arena;          /* of one message */
    struct oak_client_watch **table; /* by id */
    size_t table_size;               /* a power of two, or 0 */
    size_t count;
    int64_t last_id;
    struct oak_client_header header; /* of the last message */
    bool busy;                       /* a message is being told */
    size_t dead;                     /* of those created: to be freed behind it */
};

struct oak_client_watch {
    struct oak_list link;
    struct oak_client_watch *next; /* of the same place in the table */
    struct oak_client_watcher *watcher;
    const struct oak_client_watch_callbacks *callbacks; /* NULL: it is dead */
    void *user;
    int64_t id;
    enum watch_state state;
    struct oak_buf keys; /* key, and range_end behind it */
    size_t key_size;
    bool previous;
    bool progress;
    bool no_puts;
    bool no_deletes;
    bool began;
    int64_t revision; /* the next that is to be told; 0: what comes */
    size_t told;      /* changes of that revision that were told */
    size_t again;     /* of those, that will come once more */
};

/* -- the table of watches ---------------------------------------------------------------------- */

static struct oak_client_watch **place_of(const struct oak_client_watcher *w, int64_t id)
{
    return &w->table[(uint64_t)id & (w->table_size - 1)];
}

static struct oak_client_watch *watch_find(const struct oak_client_watcher *w, int64_t id)
{
    struct oak_client_watch *watch = w->table_size > 0 ? *place_of(w, id) : NULL;
    while (watch != NULL && watch->id != id) {
        watch = watch->next;
    }
    return watch;
}

static void watch_enter(struct oak_client_watcher *w, struct oak_client_watch *watch)
{
    struct oak_client_watch **place = place_of(w, watch->id);
    watch->next = *place;
    *place = watch;
    w->count++;
}

static void watch_leave(struct oak_client_watcher *w, const struct oak_client_watch *watch)
{
    struct oak_client_watch **at = place_of(w, watch->id);
    while (*at != watch) {
        at = &(*at)->next;
    }
    *at = watch->next;
    w->count--;
}

/* Room for one more: as many places as watches, at the least. */
static int table_grow(struct oak_client_watcher *w)
{
    if (w->count < w->table_size) {
        return 0;
    }
    size_t size = w->table_size > 0 ? 2 * w->table_size : 16;
    struct oak_client_watch **table = calloc(size, sizeof(*table));
    if (table == NULL) {
        return OAK_ENOMEM;
    }
    struct oak_client_watch **old = w->table;
    size_t old_size = w->table_size;
    w->table = table;
    w->table_size = size;
    w->count = 0;
    for (size_t i = 0; i < old_size; i++) {
        while (old[i] != NULL) {
            struct oak_client_watch *watch = old[i];
            old[i] = watch->next;
            watch_enter(w, watch);
        }
    }
    free(old);
    return 0;
}

/* -- life -------------------------------------------------------------------------------------- */

static void watch_free(struct oak_client_watch *watch)
{
    if (watch->id != 0) {
        watch_leave(watch->watcher, watch);
    }
    oak_list_remove(&watch->link);
    oak_buf_fini(&watch->keys);
    free(watch);
}

static void watch_to(struct oak_client_watch *watch, enum watch_state state)
{
    struct oak_client_watcher *w = watch->watcher;
    struct oak_list *const lists[] = {&w->wanted, &w->asked, &w->created};
    oak_list_remove(&watch->link);
    oak_list_push(lists[state], &watch->link);
    watch->state = state;
}

static void watch_ended(struct oak_client_watch *watch, int error, const char *message,
                        int64_t compacted)
{
    const struct oak_client_watch_callbacks *callbacks = watch->callbacks;
    if (callbacks != NULL) {
        callbacks->ended(watch->user, watch, error, message, compacted);
    }
    watch_free(watch);
}

/* -- creates ----------------------------------------------------------------------------------- */

static int create_send(struct oak_client_watch *watch)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest__FilterType filters[2];
    create.key = (ProtobufCBinaryData){.len = watch->key_size, .data = watch->keys.data};
    if (watch->keys.size > watch->key_size) {
        create.range_end = (ProtobufCBinaryData){.len = watch->keys.size - watch->key_size,
                                                 .data = watch->keys.data + watch->key_size};
    }
    create.start_revision = watch->revision;
    create.progress_notify = watch->progress;
    create.prev_kv = watch->previous;
    create.watch_id = watch->id;
    create.fragment = true;
    create.filters = filters;
    if (watch->no_puts) {
        filters[create.n_filters++] = ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    }
    if (watch->no_deletes) {
        filters[create.n_filters++] = ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    return client__stream_send(&watch->watcher->stream, &request.base);
}

static void creates_send(struct oak_client_watcher *w)
{
    while (!oak_list_empty(&w->wanted)) {
        struct oak_client_watch *watch =
            OAK_LIST_ENTRY(w->wanted.next, struct oak_client_watch, link);
        if (create_send(watch) != 0) {
            return; /* until it is writable, or open again */
        }
        watch_to(watch, ASKED);
    }
}

/* A server that goes on about a watch that is none is told again. */
static void cancel_send(struct oak_client_watcher *w, int64_t id)
{
    Etcdserverpb__WatchCancelRequest cancel = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    cancel.watch_id = id;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    int error = client__stream_send(&w->stream, &request.base);
    (void)error; /* what then comes of it makes us tell it again */
}

/* -- what comes -------------------------------------------------------------------------------- */

static void watch_created(struct oak_client_watch *watch, int64_t revision)
{
    watch_to(watch, CREATED);
    if (watch->callbacks == NULL) {
        cancel_send(watch->watcher, watch->id);
        watch_free(watch);
        return;
    }
    if (watch->revision == 0) {
        watch->revision = revision + 1;
    }
    if (!watch->began) {
        watch->began = true;
        if (watch->callbacks->began != NULL) {
            watch->callbacks->began(watch->user, watch, watch->revision - 1);
        }
    }
}

/* What a server's reason means: a text of etcd, as it is or as grpc-go writes an error. */
static int reason_error(const char *reason)
{
    static const char desc[] = " desc = ";
    const char *text = strstr(reason, desc);
    text = strncmp(reason, "rpc error:", 10) == 0 && text != NULL ? text + strlen(desc) : reason;
    return client__error_of_text(oak_bytes_str(text));
}

static void watch_cancelled(struct oak_client_watch *watch,
                            const Etcdserverpb__WatchResponse *response)
{
    if (response->compact_revision > 0) {
        watch_ended(watch, OAK_ECOMPACTED, oak_error_text(OAK_ECOMPACTED),
                    response->compact_revision);
        return;
    }
    int error = reason_error(response->cancel_reason);
    if (!client__stream_renew(&watch->watcher->stream, error)) {
        watch_ended(watch, error != 0 ? error : OAK_EREMOTE, response->cancel_reason, 0);
    }
}

/* -- changes ----------------------------------------------------------------------------------- */

static void changes_tell(struct oak_client_watch *watch, const struct oak_client_event *events,
                         size_t count, bool more)
{
    const struct oak_client_changes changes = {
        .events = events, .count = count, .revision = watch->revision - 1, .more = more};
    if (watch->callbacks != NULL) {
        watch->callbacks->changes(watch->user, watch, &changes);
    }
}

/* Where the next change is, behind these. */
static void watch_advance(struct oak_client_watch *watch, const struct oak_client_event *events,
                          size_t count, bool more)
{
    int64_t last = events[count - 1].kv.mod_revision;
    if (!more) {
        watch->revision = last + 1;
        watch->told = 0;
        return;
    }
    watch->told = watch->revision == last ? watch->told : 0;
    watch->revision = last;
    for (size_t i = count; i > 0 && events[i - 1].kv.mod_revision == last; i--) {
        watch->told++;
    }
}

static bool events_read(struct oak_arena *arena, const Etcdserverpb__WatchResponse *r,
                        struct oak_client_event **out)
{
    struct oak_client_event *events = oak_arena_zalloc(arena, r->n_events * sizeof(*events));
    struct oak_client_kv *previous = oak_arena_alloc(arena, r->n_events * sizeof(*previous));
    bool sound = events != NULL && previous != NULL;
    for (size_t i = 0; sound && i < r->n_events; i++) {
        const Mvccpb__Event *from = r->events[i];
        sound = from->kv != NULL;
        if (sound) {
            events[i].deleted = from->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
            client__kv(from->kv, &events[i].kv);
        }
        if (sound && from->prev_kv != NULL) {
            client__kv(from->prev_kv, &previous[i]);
            events[i].previous = &previous[i];
        }
    }
    *out = events;
    return sound;
}

static void watch_events(struct oak_client_watch *watch, const Etcdserverpb__WatchResponse *r)
{
    struct oak_client_event *events;
    size_t count = r->n_events;
    if (!events_read(&watch->watcher->arena, r, &events)) {
        watch_ended(watch, OAK_EREMOTE, "a change that can't be read", 0);
        return;
    }
    /* A revision that was cut off is begun again: what of it was told is not told again. */
    while (count > 0 && watch->again > 0 && events->kv.mod_revision == watch->revision) {
        watch->again--;
        events++;
        count--;
    }
    if (count > 0) {
        watch->again = 0;
        watch_advance(watch, events, count, r->fragment);
        changes_tell(watch, events, count, r->fragment);
    } else if (!r->fragment) {
        watch->again = 0;
        watch->revision++;
        watch->told = 0;
    }
}

/* All up to here was told. What begins in the future has nothing to tell yet. */
static void watch_progress(struct oak_client_watch *watch, int64_t revision)
{
    if (watch->revision <= revision + 1) {
        watch->revision = revision + 1;
        watch->told = 0;
        watch->again = 0;
        changes_tell(watch, NULL, 0, false);
    }
}

/* -- the stream -------------------------------------------------------------------------------- */

static void take_created(struct oak_client_watcher *w, const Etcdserverpb__WatchResponse *r)
{
    if (oak_list_empty(&w->asked)) {
        return;
    }
    struct oak_client_watch *watch = OAK_LIST_ENTRY(w->asked.next, struct oak_client_watch, link);
    if (!r->canceled) {
        watch_created(watch, r->header != NULL ? r->header->revision : 0);
    } else {
        watch_cancelled(watch, r);
    }
}

static void take(struct oak_client_watcher *w, const Etcdserverpb__WatchResponse *r)
{
    if (r->created) {
        take_created(w, r);
        return;
    }
    int64_t revision = r->header != NULL ? r->header->revision : 0;
    if (r->watch_id == ALL) {
        for (struct oak_list *at = w->created.next; at != &w->created; at = at->next) {
            watch_progress(OAK_LIST_ENTRY(at, struct oak_client_watch, link), revision);
        }
        return;
    }
    struct oak_client_watch *watch = watch_find(w, r->watch_id);
    if (watch == NULL || watch->state != CREATED) {
        if (!r->canceled) {
            cancel_send(w, r->watch_id);
        }
    } else if (r->canceled) {
        watch_cancelled(watch, r);
    } else if (r->n_events > 0) {
        watch_events(watch, r);
    } else {
        watch_progress(watch, revision);
    }
}

/* Those that ended while their list was gone through. */
static void sweep(struct oak_client_watcher *w)
{
    struct oak_list *at = w->created.next;
    while (w->dead > 0 && at != &w->created) {
        struct oak_client_watch *watch = OAK_LIST_ENTRY(at, struct oak_client_watch, link);
        at = at->next;
        if (watch->callbacks == NULL) {
            watch_free(watch);
            w->dead--;
        }
    }
    w->dead = 0;
}

static struct oak_client_watcher *watcher_of(struct client_stream *stream)
{
    return OAK_CONTAINER_OF(stream, struct oak_client_watcher, stream);
}

static void stream_open(struct client_stream *stream)
{
    creates_send(watcher_of(stream));
}

static void stream_message(struct client_stream *stream, struct oak_bytes bytes)
{
    struct oak_client_watcher *w = watcher_of(stream);
    ProtobufCMessage *message;
    oak_arena_reset(&w->arena);
    int error =
        oak_proto_unpack(&etcdserverpb__watch_response__descriptor, bytes, &w->arena, &message);
    if (error != 0) {
        client__stream_fail(stream, error == OAK_EFORMAT ? OAK_EREMOTE : error);
        return;
    }
    client__header(((const Etcdserverpb__WatchResponse *)message)->header, &w->header);
    w->busy = true;
    take(w, (const Etcdserverpb__WatchResponse *)message);
    w->busy = false;
    sweep(w);
}

static void stream_broken(struct client_stream *stream)
{
    struct oak_client_watcher *w = watcher_of(stream);
    struct oak_list *const lists[] = {&w->created, &w->asked};
    for (size_t i = 0; i < OAK_COUNT_OF(lists); i++) {
        while (!oak_list_empty(lists[i])) {
            struct oak_client_watch *watch =
                OAK_LIST_ENTRY(lists[i]->next, struct oak_client_watch, link);
            watch->again = watch->told;
            if (watch->callbacks != NULL) {
                watch_to(watch, WANTED);
            } else {
                watch_free(watch);
            }
        }
    }
    w->dead = 0;
}

static void stream_failed(struct client_stream *stream, int error, const char *message)
{
    struct oak_client_watcher *w = watcher_of(stream);
    struct oak_list all; /* those that come meanwhile begin anew */
    oak_list_init(&all);
    stream_broken(stream);
    struct oak_list *node;
    while ((node = oak_list_pop(&w->wanted)) != NULL) {
        oak_list_push(&all, node);
    }
    while (!oak_list_empty(&all)) {
        watch_ended(OAK_LIST_ENTRY(all.next, struct oak_client_watch, link), error, message, 0);
    }
}

static const struct client_stream_events stream_events = {
    .open = stream_open,
    .message = stream_message,
    .writable = stream_open,
    .broken = stream_broken,
    .failed = stream_failed,
};

/* -- the door ---------------------------------------------------------------------------------- */

int oak_client_watcher_new(struct oak_client *client, struct oak_client_watcher **out)
{
    if (client->closing) {
        return OAK_ECLOSED;
    }
    struct oak_client_watcher *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    w->stream = (struct client_stream){.client = client,
                                       .service = "etcdserverpb.Watch",
                                       .method = "Watch",
                                       .events = &stream_events};
    oak_list_init(&w->wanted);
    oak_list_init(&w->asked);
    oak_list_init(&w->created);
    oak_arena_init(&w->arena, CLIENT_CHUNK_BYTES, DECODE_BYTES_MAX);
    *out = w;
    return 0;
}

void oak_client_watcher_free(struct oak_client_watcher *w)
{
    if (w == NULL) {
        return;
    }
    OAK_ASSERT(!w->busy);
    client__stream_stop(&w->stream);
    stream_broken(&w->stream);
    while (!oak_list_empty(&w->wanted)) {
        watch_free(OAK_LIST_ENTRY(w->wanted.next, struct oak_client_watch, link));
    }
    oak_arena_fini(&w->arena);
    free(w->table);
    free(w);
}

struct oak_client *client__watcher_client(const struct oak_client_watcher *w)
{
    return w->stream.client;
}

void oak_client_watcher_pause(struct oak_client_watcher *w, bool paused)
{
    client__stream_pause(&w->stream, paused);
}

int oak_client_watcher_progress(struct oak_client_watcher *w)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    return client__stream_send(&w->stream, &request.base);
}

struct oak_client_header oak_client_watcher_header(const struct oak_client_watcher *w)
{
    return w->header;
}

static int keys_keep(struct oak_client_watch *watch, const struct oak_client_watch_options *o)
{
    const struct client_keys keys = {.key = o->key, .span = o->span, .end = o->end};
    struct oak_arena arena;
    ProtobufCBinaryData key;
    ProtobufCBinaryData end;
    oak_arena_init(&arena, CLIENT_CHUNK_BYTES, OAK_REQUEST_BYTES_MAX);
    int error = client__span(&arena, &keys, &key, &end);
    if (error == 0) {
        error = oak_buf_append(&watch->keys, key.data, key.len);
    }
    if (error == 0) {
        error = oak_buf_append(&watch->keys, end.data, end.len);
        watch->key_size = key.len;
    }
    oak_arena_fini(&arena);
    return error;
}

int oak_client_watch(struct oak_client_watcher *w, const struct oak_client_watch_options *o,
                     const struct oak_client_watch_callbacks *callbacks, void *user,
                     struct oak_client_watch **out)
{
    struct oak_client_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return OAK_ENOMEM;
    }
    watch->watcher = w;
    watch->callbacks = callbacks;
    watch->user = user;
    watch->previous = o->previous;
    watch->progress = o->progress;
    watch->no_puts = o->no_puts;
    watch->no_deletes = o->no_deletes;
    watch->revision = o->revision;
    oak_list_push(&w->wanted, &watch->link);
    int error = o->revision < 0 ? OAK_EINVAL : keys_keep(watch, o);
    if (error == 0) {
        error = table_grow(w);
    }
    if (error != 0) {
        watch_free(watch);
        return error;
    }
    watch->id = ++w->last_id;
    watch_enter(w, watch);
    client__stream_want(&w->stream);
    creates_send(w);
    *out = watch;
    return 0;
}

void oak_client_watch_end(struct oak_client_watch *watch)
{
    struct oak_client_watcher *w = watch->watcher;
    OAK_ASSERT(watch->callbacks != NULL);
    if (watch->state == CREATED) {
        cancel_send(w, watch->id);
    }
    if (watch->state == WANTED || (watch->state == CREATED && !w->busy)) {
        watch_free(watch);
        return;
    }
    watch->callbacks = NULL;
    w->dead += watch->state == CREATED;
}
