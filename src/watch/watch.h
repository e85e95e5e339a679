/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h: who wants to hear of which change, and how far each has heard.
 *
 *     oak_watch_create(w, stream, &request, &id)
 *     oak_watch_changed(w, rev, deleted, &pair, prev) ...   // as a batch is applied
 *     oak_watch_published(w, revision, compacted)           // it is committed: all of it is sent
 *     while (oak_watch_due(w)) oak_watch_step(w)            // between other work
 *
 * A watcher is *synced*: it is sent each batch as it is committed; or *behind*: it is served from
 * the history that the store keeps, in small steps, until it has all. Nothing is queued for it
 * here. What its stream does not take at once it will get from the history later: then it is
 * behind, and a stream that nobody reads costs no more than its watchers.
 *
 * What a watcher is promised (etcd's v3 API): every event of its range from its start on, once, in
 * order of revision; all events of one revision in one response, unless it asked for fragments;
 * nothing that has not been committed.
 *
 * Pure: memory, and the questions to the history, are handed in. It calls back within its own
 * functions only, and what it calls must not call it.
 *
 * Threads: one.
 */
#ifndef OAK_WATCH_H
#define OAK_WATCH_H

#include "base/base.h"

struct oak_watch;
struct oak_watcher;

/* A version of a key, as etcd's mvccpb.KeyValue. Bytes are borrowed for the call. */
struct oak_watch_pair {
    struct oak_bytes key;
    struct oak_bytes value;
    int64_t create_rev;
    int64_t mod_rev;
    int64_t version;
    int64_t lease;
};

/* One stream of responses, of any number of watchers. Embed it; its fields are the room's. */
struct oak_watch_stream {
    struct oak_list link;
    struct oak_list watchers;
    struct oak_list parked; /* those that are behind and wait for the stream to take more */
    size_t count;
    size_t behind; /* of them, parked ones too */
    size_t future; /* of them: have not come to their start */
    int64_t next_id;
    bool full; /* it has refused a response */
};

/* Of one watcher, to its stream. */
struct oak_watch_response {
    int64_t watch_id;
    int64_t revision;  /* of the header; 0: of one that is cancelled */
    int64_t compacted; /* it is cancelled: this is the floor, and it had not got so far */
    bool cancelled;
    bool fragment;          /* more of the same is to come */
    struct oak_bytes bytes; /* its events, encoded as a WatchResponse has them; for the call */
    size_t events;
    /* Others may be offered the same bytes: what `send` leaves here for the first it finds with
     * each, until `forget`. NULL: nobody else is. */
    void **kept;
};

enum oak_watch_want {
    OAK_WATCH_SKIP,
    OAK_WATCH_TAKE,
    OAK_WATCH_STOP, /* this change and all behind it */
};
typedef enum oak_watch_want oak_watch_want_fn(void *arg, int64_t revision, struct oak_bytes key);
typedef void oak_watch_take_fn(void *arg, bool deleted, const struct oak_watch_pair *pair);

struct oak_watch_options {
    struct oak_alloc alloc;
    uint64_t seed[2]; /* nobody outside may know them */
    int64_t revision; /* of what is committed */
    int64_t compacted;
    size_t
        fragment_bytes; /* events of a response that may be cut; 0: OAK_WATCH_FRAGMENT_BYTES_MAX */
    size_t response_bytes;      /* at which one of several revisions is closed; 0: 256 KiB */
    size_t step_changes;        /* passed over in one step; 0: 4096 */
    size_t cursors;             /* places in the history to read from; 0: 64, which is the most */
    size_t watchers_max;        /* 0: OAK_WATCHERS_MAX */
    size_t stream_watchers_max; /* 0: OAK_STREAM_WATCHERS_MAX */
    size_t key_bytes_max;       /* 0: OAK_WATCH_KEY_BYTES_MAX */
    /* False: the stream is full, and is offered nothing before oak_watch_drained(). */
    bool (*send)(void *user, struct oak_watch_stream *stream,
                 const struct oak_watch_response *response);
    /* What `send` left in response->kept is used no more. NULL: it is to leave nothing. */
    void (*forget)(void *user, void *kept);
    /* Each change of [from, to] in order: `want` says what is to be done with it, and `take` gets
     * those that it wants. Nonzero: what is to be done with the watchers that wait for it is the
     * caller's affair. */
    int (*changes)(void *user, int64_t from, int64_t to, oak_watch_want_fn *want,
                   oak_watch_take_fn *take, void *arg);
    /* The pair as of `revision`, valid until the next call; OAK_ENOENT. */
    int (*at)(void *user, struct oak_bytes key, int64_t revision, struct oak_watch_pair *out);
    void *user;
};

OAK_MUST_USE int oak_watch_new(const struct oak_watch_options *options, struct oak_watch **out);
/* All streams have ended. */
void oak_watch_free(struct oak_watch *w);

/* -- streams and watchers ---------------------------------------------------------------------- */

void oak_watch_stream_begin(struct oak_watch *w, struct oak_watch_stream *stream);
/* Its watchers are gone. */
void oak_watch_stream_end(struct oak_watch *w, struct oak_watch_stream *stream);
/* It takes responses again. */
void oak_watch_drained(struct oak_watch *w, struct oak_watch_stream *stream);

/* As it came from the client. */
struct oak_watch_request {
    struct oak_bytes key;
    struct oak_bytes range_end;
    int64_t start_revision; /* 0: from now on */
    int64_t watch_id;       /* 0: the next free one */
    bool prev_kv;
    bool fragment;
    bool progress;
    bool no_put;
    bool no_delete;
};

/* The keys that a request is about: what permission is asked for. `open_end`: all from `key` on;
 * else an empty range_end is this key alone. The bytes are those of the request, or static. */
struct oak_watch_range {
    struct oak_bytes key;
    struct oak_bytes range_end;
    bool open_end;
};
struct oak_watch_range oak_watch_range_of(const struct oak_watch_request *request);

enum oak_watch_verdict {
    OAK_WATCH_CREATED,
    OAK_WATCH_COMPACTED, /* it starts before everything */
    OAK_WATCH_EMPTY_RANGE,
    OAK_WATCH_DUPLICATE_ID,
    OAK_WATCH_TOO_MANY_ON_STREAM,
    OAK_WATCH_TOO_MANY,
    OAK_WATCH_NO_MEMORY,
};
/* Nothing is sent to it from within the call. */
OAK_MUST_USE enum oak_watch_verdict oak_watch_create(struct oak_watch *w,
                                                     struct oak_watch_stream *stream,
                                                     const struct oak_watch_request *request,
                                                     int64_t *id);
/* False: the stream has no such watcher. One that compaction has cancelled is there until this. */
OAK_MUST_USE bool oak_watch_cancel(struct oak_watch *w, struct oak_watch_stream *stream,
                                   int64_t id);

/* -- progress ---------------------------------------------------------------------------------- */

enum oak_watch_sync {
    OAK_WATCH_SYNCED, /* all that its watchers are to see up to the revision was sent */
    OAK_WATCH_BEHIND, /* not yet */
    OAK_WATCH_FUTURE, /* one has not come to its start */
    OAK_WATCH_NONE,   /* there are no watchers */
};
enum oak_watch_sync oak_watch_stream_sync(struct oak_watch *w, struct oak_watch_stream *stream);
/* The watchers of a stream that asked for progress and are synced, and were sent nothing since the
 * last call of this. */
void oak_watch_quiet_each(struct oak_watch *w, struct oak_watch_stream *stream,
                          void (*each)(void *arg, int64_t id), void *arg);

/* -- changes ----------------------------------------------------------------------------------- */

/* Will oak_watch_changed() want the pair that was before a change of this key? */
bool oak_watch_wants_previous(const struct oak_watch *w, struct oak_bytes key);
/* A change that is being made, in order; of a delete, key and mod_rev count. `previous`: what the
 * key was in the revision before, NULL: nothing, or not wanted. */
void oak_watch_changed(struct oak_watch *w, bool deleted, const struct oak_watch_pair *pair,
                       const struct oak_watch_pair *previous);
/* All changes up to `revision` have been made known and are committed. */
void oak_watch_published(struct oak_watch *w, int64_t revision, int64_t compacted);
/* The state was replaced: its changes were not made known. */
void oak_watch_replaced(struct oak_watch *w, int64_t revision, int64_t compacted);

/* -- catching up ------------------------------------------------------------------------------- */

/* Is there something to be done by oak_watch_step()? */
bool oak_watch_due(const struct oak_watch *w);
/* A bounded piece of it. What the history fails by: then nothing has happened. */
OAK_MUST_USE int oak_watch_step(struct oak_watch *w);

/* -- looking ----------------------------------------------------------------------------------- */

struct oak_watch_stats {
    size_t streams;
    size_t watchers;
    size_t behind;
    uint64_t events;    /* sent */
    uint64_t responses; /* ... in so many */
    uint64_t steps;     /* through the history */
    uint64_t refused;   /* responses that a full stream did not take */
    size_t memory_bytes;
};
void oak_watch_stats(const struct oak_watch *w, struct oak_watch_stats *out);
int64_t oak_watch_revision(const struct oak_watch *w);

#endif
