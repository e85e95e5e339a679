/* SPDX-License-Identifier: Apache-2.0 */
/* watches.c: watchers on every member, through all of its lives, and whether they hear of all.
 *
 * Each member has viewers of the whole keyspace: one that takes all at once, one that is slow, one
 * that is slow and takes fragments and pairs before, and one that wants no deletes. A viewer
 * remembers which revisions it has: when its member starts again it goes on behind them, as a
 * client does. Every revision has a change, so the next one it hears of must be the next there is;
 * and what it hears at a revision must be what every other viewer heard, on any member, in any
 * life.
 *
 * Nothing of a run depends on them: they draw from a generator of their own and set no timers.
 */
#include <inttypes.h>

#include "sim/internal.h"

#define STEPS_MAX 100000

static struct watching *watching_of(struct watch_viewer *v)
{
    return &v->member->watching;
}

static bool is_filtered(struct watch_viewer *v)
{
    return v == &watching_of(v)->viewers[SIM_VIEWER_PUTS];
}

/* A revision has been heard of whole. */
static void revision_end(struct watch_viewer *v)
{
    struct group *g = v->member->group;
    size_t at = (size_t)v->gathering * sizeof(uint64_t);
    if (v->gathering == 0) {
        return;
    }
    if (is_filtered(v)) {
        v->next = v->gathering + 1;
        v->gathering = 0;
        return;
    }
    if (g->watched.size < at + sizeof(uint64_t)) {
        size_t more = at + sizeof(uint64_t) - g->watched.size;
        int error = oak_buf_reserve(&g->watched, more);
        OAK_ASSERT_EQ(error, 0);
        memset(g->watched.data + g->watched.size, 0, more);
        g->watched.size += more;
    }
    uint64_t known = oak_get_u64(g->watched.data + at);
    if (known != 0 && known != v->hash) {
        sim__fail(g->sim,
                  "watches: at revision %" PRId64 " a viewer of %s heard what others did not",
                  v->gathering, v->member->name);
    }
    oak_put_u64(g->watched.data + at, v->hash);
    v->next = v->gathering + 1;
    v->gathering = 0;
}

static uint64_t hash_bytes(uint64_t hash, ProtobufCBinaryData bytes)
{
    uint64_t crc = oak_crc32c((uint32_t)hash, bytes.data, bytes.len);
    return (hash ^ crc) * UINT64_C(0x9e3779b97f4a7c15) + bytes.len;
}

/* One that wants puts alone hears of no delete, and goes on. */
static void put_hear(struct watch_viewer *v, const Mvccpb__Event *event)
{
    if (event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE || event->kv->mod_revision < v->next) {
        sim__fail(v->member->group->sim,
                  "watches: a viewer of %s that wants puts from %" PRId64
                  " on hears of a %s at revision %" PRId64,
                  v->member->name, v->next,
                  event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "delete" : "put",
                  event->kv->mod_revision);
    }
    v->gathering = event->kv->mod_revision;
}

/* Who asked for pairs before gets them where there was one, and the floor does not hide it. */
static void previous_hear(const struct watch_viewer *v, bool asked, const Mvccpb__Event *event)
{
    const Mvccpb__KeyValue *kv = event->kv;
    const Mvccpb__KeyValue *previous = event->prev_kv;
    bool deleted = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
    bool hidden = kv->mod_revision - 1 < oak_store_state(v->member->store)->compacted;
    bool wanted = asked && (deleted || kv->version > 1);
    bool good = previous == NULL ? !wanted || hidden
                                 : wanted && previous->mod_revision < kv->mod_revision &&
                                       (deleted || previous->version == kv->version - 1);
    if (!good) {
        sim__fail(v->member->group->sim,
                  "watches: at revision %" PRId64 " a viewer of %s hears of %s pair before",
                  kv->mod_revision, v->member->name, previous == NULL ? "no" : "a wrong");
    }
}

static void event_hear(struct watch_viewer *v, const Mvccpb__Event *event)
{
    const Mvccpb__KeyValue *kv = event->kv;
    previous_hear(v, v == &watching_of(v)->viewers[SIM_VIEWER_RICH], event);
    if (is_filtered(v)) {
        put_hear(v, event);
        return;
    }
    if (kv->mod_revision != v->gathering) {
        revision_end(v);
        if (kv->mod_revision != v->next) {
            sim__fail(v->member->group->sim,
                      "watches: behind revision %" PRId64 " a viewer of %s hears of %" PRId64,
                      v->next - 1, v->member->name, kv->mod_revision);
        }
        v->gathering = kv->mod_revision;
        v->hash = 1;
    }
    v->hash = hash_bytes(v->hash + (uint64_t)event->type, kv->key);
    v->hash = hash_bytes(v->hash ^ (uint64_t)kv->version, kv->value);
}

static bool viewer_send(void *user, struct oak_watch_stream *stream,
                        const struct oak_watch_response *r)
{
    struct watch_viewer *v = OAK_CONTAINER_OF(stream, struct watch_viewer, stream);
    (void)user;
    if (v->room == 0) {
        return false;
    }
    v->room--;
    if (r->cancelled) {
        if (v->next >= r->compacted) {
            sim__fail(v->member->group->sim,
                      "watches: a viewer of %s that has all before %" PRId64
                      " is cancelled for the floor at %" PRId64,
                      v->member->name, v->next, r->compacted);
        }
        v->next = OAK_MAX(r->compacted, 2);
        v->cancelled = true;
        return true;
    }
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, r->bytes.size, r->bytes.data);
    OAK_ASSERT(response != NULL);
    for (size_t i = 0; i < response->n_events; i++) {
        event_hear(v, response->events[i]);
    }
    etcdserverpb__watch_response__free_unpacked(response, NULL);
    if (!r->fragment) {
        revision_end(v);
    }
    return true;
}

/* -- between the state machine, the store and the room ----------------------------------------- */

static struct oak_watch_pair pair_of(const struct oak_store_kv *kv)
{
    return (struct oak_watch_pair){
        .key = kv->key,
        .value = kv->value,
        .create_rev = kv->create_rev,
        .mod_rev = kv->mod_rev,
        .version = kv->version,
        .lease = kv->lease,
    };
}

static bool feed_wants_previous(void *user, struct oak_bytes key)
{
    const struct member *m = user;
    return oak_watch_wants_previous(m->watching.room, key);
}

static void feed_changed(void *user, bool deleted, const struct oak_store_kv *kv,
                         const struct oak_store_kv *previous)
{
    const struct member *m = user;
    struct oak_watch_pair now = pair_of(kv);
    struct oak_watch_pair before = {0};
    if (previous != NULL) {
        before = pair_of(previous);
    }
    oak_watch_changed(m->watching.room, deleted, &now, previous != NULL ? &before : NULL);
}

static void feed_committed(void *user, const struct oak_store_state *state)
{
    const struct member *m = user;
    oak_watch_published(m->watching.room, state->revision, state->compacted);
}

static void feed_replaced(void *user, const struct oak_store_state *state)
{
    const struct member *m = user;
    oak_watch_replaced(m->watching.room, state->revision, state->compacted);
}

struct history_walk {
    oak_watch_want_fn *want;
    oak_watch_take_fn *take;
    void *arg;
};

static bool history_each(void *arg, struct oak_store_rev rev, bool deleted,
                         const struct oak_store_kv *kv)
{
    struct history_walk *walk = arg;
    enum oak_watch_want want = walk->want(walk->arg, rev.main, kv->key);
    if (want == OAK_WATCH_TAKE) {
        struct oak_watch_pair pair = pair_of(kv);
        walk->take(walk->arg, deleted, &pair);
    }
    return want != OAK_WATCH_STOP;
}

static int history_changes(void *user, int64_t from, int64_t to, oak_watch_want_fn *want,
                           oak_watch_take_fn *take, void *arg)
{
    const struct member *m = user;
    struct history_walk walk = {.want = want, .take = take, .arg = arg};
    return oak_store_changes(m->store, from, to, history_each, &walk);
}

static int history_at(void *user, struct oak_bytes key, int64_t revision,
                      struct oak_watch_pair *out)
{
    const struct member *m = user;
    struct oak_store_kv kv;
    int error = oak_store_get(m->store, key, revision, &kv);
    if (error == 0) {
        *out = pair_of(&kv);
    }
    return error;
}

/* -- lives ------------------------------------------------------------------------------------- */

static void viewer_create(struct watch_viewer *v)
{
    static const uint8_t zero = 0;
    bool rich = v == &watching_of(v)->viewers[SIM_VIEWER_RICH];
    const struct oak_watch_request request = {
        .range_end = oak_bytes(&zero, 1),
        .start_revision = v->next,
        .prev_kv = rich,
        .fragment = rich,
        .no_delete = is_filtered(v),
    };
    v->cancelled = false;
    v->gathering = 0;
    enum oak_watch_verdict verdict =
        oak_watch_create(watching_of(v)->room, &v->stream, &request, &v->id);
    OAK_ASSERT_EQ(verdict, OAK_WATCH_CREATED);
}

static void viewer_revive(struct watch_viewer *v)
{
    if (v->cancelled) {
        bool known = oak_watch_cancel(watching_of(v)->room, &v->stream, v->id);
        OAK_ASSERT(known);
        viewer_create(v);
    }
}

/* Who is synced has all there is. */
static void synced_check(struct watch_viewer *v)
{
    struct oak_watch *room = watching_of(v)->room;
    if (!v->cancelled && !is_filtered(v) &&
        oak_watch_stream_sync(room, &v->stream) == OAK_WATCH_SYNCED &&
        v->next <= oak_watch_revision(room)) {
        sim__fail(v->member->group->sim,
                  "watches: a viewer of %s is synced at %" PRId64 " and has not heard of %" PRId64,
                  v->member->name, oak_watch_revision(room), v->next);
    }
}

static void turn(struct oak_after *after)
{
    struct watching *w = OAK_CONTAINER_OF(after, struct watching, after);
    struct watch_viewer *v = &w->viewers[oak_prng_below(&w->prng, SIM_VIEWERS)];
    v->room = v == &w->viewers[0] ? SIZE_MAX : oak_prng_below(&w->prng, 4);
    if (v->room > 0) {
        oak_watch_drained(w->room, &v->stream);
    }
    if (oak_watch_due(w->room) && oak_prng_chance(&w->prng, 3, 4)) {
        (void)!oak_watch_step(w->room); /* a disk that dies is seen by others */
    }
    viewer_revive(v);
    synced_check(v);
}

void sim__watches_open(struct member *m)
{
    struct watching *w = &m->watching;
    struct oak_kv *kv = oak_replica_kv(m->replica);
    const struct oak_store_state *state = oak_kv_state(kv);
    const struct oak_watch_options options = {
        .alloc = oak_alloc_libc(),
        .seed = {m->node->id, m->group->id},
        .revision = state->revision,
        .compacted = state->compacted,
        .fragment_bytes = 100,
        .response_bytes = 300,
        .step_changes = 40,
        .cursors = 2,
        .send = viewer_send,
        .changes = history_changes,
        .at = history_at,
        .user = m,
    };
    int error = oak_watch_new(&options, &w->room);
    OAK_ASSERT_EQ(error, 0);
    oak_prng_init(&w->prng, m->group->sim->options->seed * 31 + m->node->id * 7 + m->group->id);
    for (size_t i = 0; i < SIM_VIEWERS; i++) {
        struct watch_viewer *v = &w->viewers[i];
        v->member = m;
        v->next = OAK_MAX(v->next, 2); /* the first change makes it 2 */
        v->room = i == 0 ? SIZE_MAX : 1;
        oak_watch_stream_begin(w->room, &v->stream);
        viewer_create(v);
    }
    const struct oak_kv_feed feed = {
        .wants_previous = feed_wants_previous,
        .changed = feed_changed,
        .committed = feed_committed,
        .replaced = feed_replaced,
        .user = m,
    };
    oak_kv_set_feed(kv, &feed);
    const struct oak_loop *loop = &m->group->sim->world.machines[m->node->index].loop;
    w->after = (struct oak_after){.run = turn};
    loop->after_add(loop->user, &w->after);
}

void sim__watches_close(struct member *m)
{
    struct watching *w = &m->watching;
    if (w->room == NULL) {
        return;
    }
    const struct oak_loop *loop = &m->group->sim->world.machines[m->node->index].loop;
    struct oak_kv *kv = oak_replica_kv(m->replica);
    loop->after_remove(loop->user, &w->after);
    oak_kv_set_feed(kv, NULL);
    /* A batch that failed in the middle is dropped. */
    oak_watch_replaced(w->room, oak_watch_revision(w->room), oak_kv_state(kv)->compacted);
    for (size_t i = 0; i < SIM_VIEWERS; i++) {
        oak_watch_stream_end(w->room, &w->viewers[i].stream);
    }
    oak_watch_free(w->room);
    w->room = NULL;
}

void sim__watches_check(struct member *m)
{
    struct watching *w = &m->watching;
    int64_t revision = oak_watch_revision(w->room);
    for (int step = 0; step < STEPS_MAX; step++) {
        for (size_t i = 0; i < SIM_VIEWERS; i++) {
            w->viewers[i].room = SIZE_MAX;
            oak_watch_drained(w->room, &w->viewers[i].stream);
            viewer_revive(&w->viewers[i]);
        }
        if (!oak_watch_due(w->room) || oak_watch_step(w->room) != 0) {
            break;
        }
    }
    for (size_t i = 0; i < SIM_VIEWERS; i++) {
        if (w->viewers[i].next != revision + 1 && !is_filtered(&w->viewers[i])) {
            sim__fail(m->group->sim,
                      "watches: at the end, at revision %" PRId64
                      ", a viewer of %s has not heard of %" PRId64,
                      revision, m->name, w->viewers[i].next);
        }
    }
}
