/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the watch room share. */
#ifndef OAK_WATCH_INTERNAL_H
#define OAK_WATCH_INTERNAL_H

#include "base/zoo.h"
#include "watch/watch.h"

/* Responses of several revisions are closed at so many bytes: what a stream takes at one time. */
#define WATCH_RESPONSE_BYTES (256 * OAK_KIB)
/* Where watchers that are behind stand in the history, at most: those between are served by the one
 * before them. */
#define WATCH_CURSORS 64
/* Of one step: a change that is passed over costs 1, one that is sent to somebody costs more. */
#define WATCH_STEP_COST  4096
#define WATCH_FETCH_COST 16

/* Which events, and how: the bits of a watcher's variant. */
enum {
    WATCH_NO_PUT = 1,
    WATCH_NO_DELETE = 2,
    WATCH_PREVIOUS = 4,
    WATCH_VARIANTS = 8,
};

enum watch__state {
    WATCH_SYNCED, /* in node->synced */
    WATCH_BEHIND, /* in node->behind, and of a cursor */
    WATCH_PARKED, /* in node->behind; its stream is full */
    WATCH_DEAD,   /* behind the floor and told so; has no node */
};

/* A key, or a range, that somebody watches; its bytes lie behind it. Most are keys, and there may
 * be very many: what only ranges need is kept for them alone. */
struct watch__node {
    struct oak_list synced;
    struct oak_list behind;
    struct watch__node *touched; /* the next in the batch */
    struct watch__node *chained; /* of a key: the next in its bucket */
    uint32_t first, last;        /* deliveries of the batch, from 1; 0: none */
    uint32_t previous;           /* of its watchers: want the pair before */
    uint32_t waiting;            /* of those behind: of cursors, not parked */
    uint32_t key_size;
    bool range;
};

/* A treap by (key, end), where `reach` is the range with the furthest end in the subtree. */
struct watch__range {
    struct watch__node node;
    struct watch__range *parent, *left, *right, *reach;
    uint32_t heat;
    uint32_t end_size;
    bool open_end;
};

/* A place in the history from which watchers are served. */
struct watch__cursor {
    struct oak_list watchers;
    size_t count;
    int64_t position; /* all before it was sent, or was not theirs */
};

struct oak_watcher {
    struct oak_list node_link;
    struct oak_list stream_link;
    struct oak_list set_link; /* cursor->watchers or stream->parked */
    struct oak_watcher *id_next;
    struct oak_watch_stream *stream;
    struct watch__node *node;
    int64_t id;
    int64_t next;   /* nothing before it is to be sent */
    uint32_t done;  /* its events of `next` that were sent already, as fragments */
    uint8_t cursor; /* its place in w->cursors, from 1; 0: none */
    uint8_t variant;
    uint8_t state;
    bool fragment : 1;
    bool progress : 1;
    bool quiet : 1;  /* nothing was sent since the last look */
    bool future : 1; /* counted in stream->future */
};

/* An event of the batch, encoded twice when somebody wants the pair before. */
struct watch__event {
    int64_t revision;
    size_t plain_at, plain_size;
    size_t with_at, with_size; /* size 0: there is no pair before */
    size_t key_at, key_size;
    bool deleted;
    bool wanted; /* the pair before */
};
struct watch__delivery {
    uint32_t event;
    uint32_t next;
};

/* A growing array of bytes or of anything else. */
struct watch__pool {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Part of what a node's watchers of one variant get: one response, or many fragments. */
struct watch__chunk {
    size_t at, size; /* in `bodies` */
    uint32_t first;  /* delivery */
    uint32_t events;
    int64_t low, high; /* revisions */
    void *kept;        /* of who sends it */
};
struct watch__body {
    bool made;
    size_t chunk_at; /* in `chunks` */
    size_t chunk_count;
};

struct oak_watch {
    struct oak_watch_options options;
    int64_t revision;
    int64_t compacted;
    /* index.c */
    struct watch__node **exact;
    size_t exact_slots, exact_count;
    struct watch__range *root;
    struct oak_prng prng;
    size_t range_count;
    size_t previous; /* watchers that want it */
    /* watch.c */
    struct oak_list streams;
    struct oak_watcher **ids;
    size_t id_slots;
    size_t key_bytes;
    size_t memory_bytes;
    /* batch.c */
    struct watch__pool bytes;
    struct watch__pool events;
    struct watch__pool deliveries;
    struct watch__node *touched, *touched_last;
    bool lost; /* something of the open batch was not taken: all of it comes from the history */
    /* flush.c */
    struct watch__pool bodies;
    struct watch__pool chunks;
    /* behind.c */
    struct watch__cursor cursors[WATCH_CURSORS];
    size_t turn; /* the cursor that was served last */
    struct oak_watch_stats stats;
    bool calling; /* a callback is under way */
};

/* -- pool.c: memory ---------------------------------------------------------------------------- */
void *watch__alloc(struct oak_watch *w, size_t size);
void watch__free(struct oak_watch *w, void *p, size_t size);
/* Room for `size` more behind what is there; NULL: no memory. The pointer moves with growth. */
void *watch__pool_add(struct oak_watch *w, struct watch__pool *pool, size_t size);
void watch__pool_clear(struct oak_watch *w, struct watch__pool *pool);
void watch__pool_fini(struct oak_watch *w, struct watch__pool *pool);
/* A keyed hash that nobody outside can aim at (SipHash-1-3). */
uint64_t watch__hash(const struct oak_watch *w, struct oak_bytes bytes);

/* -- index.c: keys and ranges ------------------------------------------------------------------ */
/* The node of a range, made if there is none; NULL without memory. */
struct watch__node *watch__node_of(struct oak_watch *w, const struct oak_watch_range *range);
/* It has no watchers any more. */
void watch__node_drop(struct oak_watch *w, struct watch__node *node);
/* What its key, and its end, have in bytes. */
size_t watch__node_bytes(const struct watch__node *node);
/* Each node that a key falls into; `each` returns false to stop. */
void watch__nodes_of(const struct oak_watch *w, struct oak_bytes key,
                     bool (*each)(void *arg, struct watch__node *node), void *arg);
void watch__index_fini(struct oak_watch *w);

/* -- event.c: mvccpb.Event --------------------------------------------------------------------- */
/* An event as a field of a WatchResponse; of a delete, only key and mod_rev are set. Write writes
 * as many bytes as size says; *key_at is where the key lies in them. */
size_t watch__event_size(bool deleted, const struct oak_watch_pair *pair);
void watch__event_write(bool deleted, const struct oak_watch_pair *pair, uint8_t *out,
                        size_t *key_at);
/* The same event, with the pair before. */
size_t watch__event_size_with(struct oak_bytes event, const struct oak_watch_pair *previous);
void watch__event_write_with(struct oak_bytes event, const struct oak_watch_pair *previous,
                             uint8_t *out);

/* -- batch.c: events that wait to be sent ------------------------------------------------------ */
/* For the synced watchers, or for those of cursors. False without memory. */
bool watch__batch_add(struct oak_watch *w, bool deleted, const struct oak_watch_pair *pair,
                      const struct oak_watch_pair *previous, bool behind);
/* The same for the pair before an event that is in the batch. */
bool watch__batch_previous(struct oak_watch *w, struct watch__event *e,
                           const struct oak_watch_pair *previous);
void watch__batch_clear(struct oak_watch *w);
struct watch__event *watch__event_at(struct oak_watch *w, uint32_t event);
struct watch__delivery *watch__delivery_at(struct oak_watch *w, uint32_t delivery);

/* -- flush.c: from the batch to the streams ---------------------------------------------------- */
/* To the synced watchers of the nodes it touched (NULL), or to those of a cursor. */
void watch__flush(struct oak_watch *w, const struct watch__cursor *cursor);
bool watch__offer(struct oak_watch *w, struct oak_watcher *watcher,
                  const struct oak_watch_response *response);

/* -- behind.c: watchers that are served from the history --------------------------------------- */
void watch__cursors_init(struct oak_watch *w);
/* From synced, new or parked, to the cursor that serves watcher->next; or to its stream's parked
 * ones when that is full. */
void watch__fall_behind(struct oak_watch *w, struct oak_watcher *watcher);
/* From its cursor or its stream's parked ones to nowhere. */
void watch__behind_leave(struct oak_watch *w, struct oak_watcher *watcher);
/* Every synced watcher falls behind at `next`. */
void watch__all_fall_behind(struct oak_watch *w, int64_t next);

/* -- watch.c ----------------------------------------------------------------------------------- */
/* Its start has come. */
void watch__future_end(struct oak_watcher *watcher);
/* It takes no part any more: out of its node and of everything but its stream and the ids. */
void watch__detach(struct oak_watch *w, struct oak_watcher *watcher);

#endif
