/* SPDX-License-Identifier: Apache-2.0 */
/* watch_feed.c: the room of watches, between what is applied, the history, and the loop.
 *
 * Happy path   kv tells of each change and of each batch that is in the store: the room sends it at
 *              once. While some watcher is behind, each round of the loop does one step through the
 *              history, beside everything else.
 * Can fail     a step: without memory it is tried again soon; when the store can't be read, the
 *              streams that wait for it end, and their clients go to another member.
 * Thread       the loop's.
 */
#include "api/internal.h"

#define RETRY_NS ((uint64_t)10 * 1000 * 1000)

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

/* -- what is applied --------------------------------------------------------------------------- */

static bool feed_wants_previous(void *user, struct oak_bytes key)
{
    struct oak_api *api = user;
    return oak_watch_wants_previous(api->watch.room, key);
}

static void feed_changed(void *user, bool deleted, const struct oak_store_kv *kv,
                         const struct oak_store_kv *previous)
{
    struct oak_api *api = user;
    struct oak_watch_pair now = pair_of(kv);
    struct oak_watch_pair before = {0};
    if (previous != NULL) {
        before = pair_of(previous);
    }
    oak_watch_changed(api->watch.room, deleted, &now, previous != NULL ? &before : NULL);
}

static void feed_committed(void *user, const struct oak_store_state *state)
{
    struct oak_api *api = user;
    if (!oak_list_empty(&api->watch.streams)) {
        api__watch_header_renew(api);
    }
    oak_watch_published(api->watch.room, state->revision, state->compacted);
    api__watch_kick(api);
}

static void feed_replaced(void *user, const struct oak_store_state *state)
{
    struct oak_api *api = user;
    oak_watch_replaced(api->watch.room, state->revision, state->compacted);
    api__watch_kick(api);
}

/* -- the history ------------------------------------------------------------------------------- */

struct history {
    oak_watch_want_fn *want;
    oak_watch_take_fn *take;
    void *arg;
};

static enum oak_store_want history_want(void *arg, struct oak_store_rev rev, struct oak_bytes key)
{
    struct history *history = arg;
    switch (history->want(history->arg, rev.main, key)) {
    case OAK_WATCH_SKIP:
        return OAK_STORE_SKIP;
    case OAK_WATCH_TAKE:
        return OAK_STORE_TAKE;
    case OAK_WATCH_STOP:
        return OAK_STORE_STOP;
    }
    OAK_UNREACHABLE("a change is skipped, taken, or the last");
}

static bool history_each(void *arg, struct oak_store_rev rev, bool deleted,
                         const struct oak_store_kv *kv)
{
    struct history *history = arg;
    (void)rev;
    struct oak_watch_pair pair = pair_of(kv);
    history->take(history->arg, deleted, &pair);
    return true;
}

static int history_changes(void *user, int64_t from, int64_t to, oak_watch_want_fn *want,
                           oak_watch_take_fn *take, void *arg)
{
    struct oak_api *api = user;
    struct history history = {.want = want, .take = take, .arg = arg};
    return oak_store_changes_of(api->options.store, from, to, history_want, history_each, &history);
}

static int history_at(void *user, struct oak_bytes key, int64_t revision,
                      struct oak_watch_pair *out)
{
    struct oak_api *api = user;
    struct oak_store_kv kv;
    int error = oak_store_get(api->options.store, key, revision, &kv);
    if (error == 0) {
        *out = pair_of(&kv);
    }
    return error;
}

/* -- steps ------------------------------------------------------------------------------------- */

static void step_set(struct oak_api *api, uint64_t delay_ns)
{
    const struct oak_loop *loop = api->options.loop;
    loop->timers.set(loop->timers.user, &api->watch.step,
                     loop->clock.mono_ns(loop->clock.user) + delay_ns);
}

void api__watch_kick(struct oak_api *api)
{
    if (!api->watch.step.running && oak_watch_due(api->watch.room)) {
        step_set(api, 0);
    }
}

static void behind_end(struct oak_api *api, int error)
{
    for (struct oak_list *at = api->watch.streams.next; at != &api->watch.streams; at = at->next) {
        struct watch_stream *s = OAK_LIST_ENTRY(at, struct watch_stream, link);
        if (s->base.stream.behind > 0) {
            api__watch_end(s, OAK_RPC_UNAVAILABLE, oak_error_text(error));
        }
    }
    api__ears_lose(api);
}

static void step_fire(struct oak_timer *timer)
{
    struct oak_api *api = OAK_CONTAINER_OF(timer, struct oak_api, watch.step);
    api__watch_header_renew(api);
    int error = oak_watch_step(api->watch.room);
    if (error == OAK_ENOMEM) {
        step_set(api, RETRY_NS);
        return;
    }
    if (error != 0) {
        oak_log(api->options.log, OAK_LOG_ERROR,
                "watch: the history can't be read, streams that need it end: %s",
                oak_error_text(error));
        behind_end(api, error);
        step_set(api, RETRY_NS);
        return;
    }
    api__watch_progress(api);
    api__watch_kick(api);
}

static bool send_to_listener(void *user, struct oak_watch_stream *stream,
                             const struct oak_watch_response *response)
{
    struct api_listener *listener = OAK_CONTAINER_OF(stream, struct api_listener, stream);
    (void)user;
    return listener->heard(listener, response);
}

/* -- life -------------------------------------------------------------------------------------- */

int api__watch_open(struct oak_api *api)
{
    struct api_watch *watch = &api->watch;
    const struct oak_api_options *o = &api->options;
    struct oak_kv *kv = oak_replica_kv(o->replica);
    const struct oak_store_state *state = oak_kv_state(kv);
    size_t request = o->request_bytes_max != 0 ? o->request_bytes_max : OAK_REQUEST_BYTES_MAX;
    oak_list_init(&watch->streams);
    oak_list_init(&watch->asking);
    oak_list_init(&watch->ears);
    watch->step.fire = step_fire;
    struct oak_watch_options options = {
        .alloc = oak_alloc_libc(),
        .revision = state->revision,
        .compacted = state->compacted,
        .fragment_bytes = request + OAK_REQUEST_OVERHEAD_BYTES,
        .send = send_to_listener,
        .forget = api__watch_forget,
        .changes = history_changes,
        .at = history_at,
        .user = api,
    };
    uint64_t seed;
    o->loop->entropy.fill(o->loop->entropy.user, options.seed, sizeof(options.seed));
    o->loop->entropy.fill(o->loop->entropy.user, &seed, sizeof(seed));
    oak_prng_init(&watch->prng, seed);
    int error = oak_watch_new(&options, &watch->room);
    if (error == 0) {
        const struct oak_kv_feed feed = {
            .wants_previous = feed_wants_previous,
            .changed = feed_changed,
            .committed = feed_committed,
            .replaced = feed_replaced,
            .user = api,
        };
        oak_kv_set_feed(kv, &feed);
    }
    return error;
}

void api__watch_close(struct oak_api *api)
{
    struct api_watch *watch = &api->watch;
    const struct oak_timers *timers = &api->options.loop->timers;
    timers->stop(timers->user, &watch->step);
    if (watch->room != NULL) {
        OAK_ASSERT(oak_list_empty(&watch->streams));
        OAK_ASSERT(oak_list_empty(&watch->ears));
        oak_watch_free(watch->room);
    }
}
