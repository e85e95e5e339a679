/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: etcdserverpb.Watch: streams of many watchers.
 *
 * Happy path   create, cancel and progress are answered at once, in order. Events come from
 *              watch_feed.c, as they are committed or as the history is read.
 * Can fail     a create: told in its answer, and the stream goes on. A client that does not read
 *              is not read from either, once its stream is full.
 * Invariants   the answer to a create is sent before any event of its watcher. A notice of progress
 *              at revision R is sent behind every event up to R.
 * Half-close   does not end a stream: clients go on receiving.
 * Source       the etcd v3 API, "Watch".
 * Thread       the loop's.
 */
#include "api/internal.h"

void api__watch_end(struct watch_stream *s, enum oak_rpc_code code, const char *text)
{
    if (!s->ended) {
        s->ended = true;
        oak_stub_finish(s->stub, code, text);
    }
}

static uint64_t now_ns(const struct oak_api *api)
{
    return api->options.loop->clock.mono_ns(api->options.loop->clock.user);
}

static int64_t revision_of(const struct watch_stream *s)
{
    return oak_watch_revision(s->api->watch.room);
}

/* -- progress ---------------------------------------------------------------------------------- */

static void progress_set(struct watch_stream *s)
{
    const struct oak_timers *timers = &s->api->options.loop->timers;
    uint64_t ns = s->api->options.watch_progress_ns;
    ns = ns != 0 ? ns : OAK_WATCH_PROGRESS_MS * UINT64_C(1000000);
    ns = OAK_MAX(ns, OAK_WATCH_PROGRESS_MS_MIN * UINT64_C(1000000));
    ns += oak_prng_below(&s->api->watch.prng, ns / 10 + 1); /* not all at one time */
    timers->set(timers->user, &s->progress, now_ns(s->api) + ns);
}

static void progress_each(void *arg, int64_t id)
{
    struct watch_stream *s = arg;
    if (api__watch_takes(s)) {
        const struct watch_notice notice = {.id = id, .revision = revision_of(s)};
        api__watch_notice(s, &notice);
    }
}

static void progress_fire(struct oak_timer *timer)
{
    struct watch_stream *s = OAK_CONTAINER_OF(timer, struct watch_stream, progress);
    api__watch_header_renew(s->api);
    oak_watch_quiet_each(s->api->watch.room, &s->base.stream, progress_each, s);
    progress_set(s);
}

/* A client that asks gets one notice for all watchers of its stream, once they are synced. */
static void asked_answer(struct watch_stream *s)
{
    enum oak_watch_sync sync = oak_watch_stream_sync(s->api->watch.room, &s->base.stream);
    if (sync == OAK_WATCH_BEHIND) {
        if (!oak_list_linked(&s->asking_link)) {
            oak_list_push(&s->api->watch.asking, &s->asking_link);
        }
        return;
    }
    if (oak_list_linked(&s->asking_link)) {
        oak_list_remove(&s->asking_link);
    }
    if (sync == OAK_WATCH_SYNCED) {
        const struct watch_notice notice = {.id = -1, .revision = revision_of(s)};
        api__watch_notice(s, &notice);
    }
}

void api__watch_progress(struct oak_api *api)
{
    struct oak_list *asking = &api->watch.asking;
    for (struct oak_list *at = asking->next, *next; at != asking; at = next) {
        next = at->next;
        asked_answer(OAK_LIST_ENTRY(at, struct watch_stream, asking_link));
    }
}

/* -- requests ---------------------------------------------------------------------------------- */

/* NULL, or why not (permit.c). What is asked for is the range as it will be watched, not as the
 * client wrote it. */
static const char *create_denied(const struct watch_stream *s, const struct oak_watch_range *range)
{
    struct oak_bytes end = range->open_end ? oak_bytes("", 1) : range->range_end;
    int error = api__permit_watch(s->api, s->stub, range->key, end);
    return error != 0 ? api__permit_watch_text(error) : NULL;
}

static const char *verdict_text(enum oak_watch_verdict verdict)
{
    switch (verdict) {
    case OAK_WATCH_CREATED:
        return NULL;
    case OAK_WATCH_COMPACTED:
        return oak_error_text(OAK_ECOMPACTED);
    case OAK_WATCH_EMPTY_RANGE:
        return "mvcc: watcher range is empty";
    case OAK_WATCH_DUPLICATE_ID:
        return "mvcc: duplicate watch ID provided on the WatchStream";
    case OAK_WATCH_TOO_MANY_ON_STREAM:
        return "etcdserver: too many watchers on this stream; open another one";
    case OAK_WATCH_TOO_MANY:
        return "etcdserver: too many watchers on this member";
    case OAK_WATCH_NO_MEMORY:
        return oak_error_text(OAK_ENOMEM);
    }
    OAK_UNREACHABLE("a verdict without a text");
}

static struct oak_watch_request request_of(const Etcdserverpb__WatchCreateRequest *from)
{
    struct oak_watch_request request = {
        .key = oak_proto_bytes(from->key),
        .range_end = oak_proto_bytes(from->range_end),
        .start_revision = from->start_revision,
        .watch_id = from->watch_id,
        .prev_kv = from->prev_kv,
        .fragment = from->fragment,
        .progress = from->progress_notify,
    };
    for (size_t i = 0; i < from->n_filters; i++) {
        request.no_put = request.no_put ||
                         from->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
        request.no_delete =
            request.no_delete ||
            from->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
    return request;
}

static void create(struct watch_stream *s, const Etcdserverpb__WatchCreateRequest *from)
{
    struct oak_watch_request request = request_of(from);
    struct oak_watch_range range = oak_watch_range_of(&request);
    struct watch_notice notice = {.id = -1, .revision = revision_of(s), .created = true};
    notice.reason = create_denied(s, &range);
    if (notice.reason == NULL) {
        enum oak_watch_verdict verdict =
            oak_watch_create(s->api->watch.room, &s->base.stream, &request, &notice.id);
        notice.reason = verdict_text(verdict);
    }
    notice.cancelled = notice.reason != NULL;
    api__watch_notice(s, &notice);
    if (!notice.cancelled && request.progress && !s->progress.running) {
        progress_set(s);
    }
    api__watch_kick(s->api);
}

static void cancel(struct watch_stream *s, int64_t id)
{
    if (oak_watch_cancel(s->api->watch.room, &s->base.stream, id)) {
        const struct watch_notice notice = {
            .id = id, .revision = revision_of(s), .cancelled = true};
        api__watch_notice(s, &notice);
    }
}

/* -- the stream -------------------------------------------------------------------------------- */

static void leader_lost(struct api_follower *follower)
{
    struct watch_stream *s = OAK_CONTAINER_OF(follower, struct watch_stream, follower);
    api__watch_end(s, (enum oak_rpc_code)oak_error_grpc(OAK_ENOLEADER),
                   oak_error_text(OAK_ENOLEADER));
}

static void stream_start(void *user, struct oak_stub_call *stub)
{
    struct oak_api *api = user;
    bool wants_leader = api__leader_wanted(stub);
    int error = api->watch.stopped                        ? OAK_ESTOPPED
                : wants_leader && !api__leader_known(api) ? OAK_ENOLEADER
                : api__is_learner(api)                    ? OAK_ENOTSUPPORTEDFORLEARNER
                                                          : 0;
    struct watch_stream *s = error == 0 ? oak_stub_alloc(stub, sizeof(*s)) : NULL;
    if (s == NULL) {
        error = error != 0 ? error : OAK_ENOMEM;
        oak_stub_finish(stub, (enum oak_rpc_code)oak_error_grpc(error), oak_error_text(error));
        return;
    }
    s->api = api;
    s->stub = stub;
    s->base.heard = api__watch_heard;
    s->progress.fire = progress_fire;
    s->follower.lost = leader_lost;
    oak_stub_set_data(stub, s);
    oak_list_push(&api->watch.streams, &s->link);
    oak_watch_stream_begin(api->watch.room, &s->base.stream);
    if (wants_leader) {
        api__leader_follow(api, &s->follower);
    }
}

static void stream_message(void *user, struct oak_stub_call *stub,
                           const Etcdserverpb__WatchRequest *request)
{
    struct watch_stream *s = oak_stub_data(stub);
    if (s == NULL || s->ended) {
        return;
    }
    api__watch_header_renew(user);
    switch (request->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        if (request->create_request != NULL) {
            create(s, request->create_request);
        }
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        if (request->cancel_request != NULL) {
            cancel(s, request->cancel_request->watch_id);
        }
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        asked_answer(s);
        break;
    default:
        break; /* etcd ignores it, too */
    }
    if (!s->ended && !s->paused && !api__watch_takes(s)) {
        s->paused = true;
        oak_stub_pause(stub, true);
    }
}

static void stream_writable(void *user, struct oak_stub_call *stub)
{
    struct oak_api *api = user;
    struct watch_stream *s = oak_stub_data(stub);
    if (s == NULL || s->ended) {
        return;
    }
    if (s->paused) {
        s->paused = false;
        oak_stub_pause(stub, false);
    }
    oak_watch_drained(api->watch.room, &s->base.stream);
    api__watch_kick(api);
}

static void stream_closed(void *user, struct oak_stub_call *stub,
                          const struct oak_rpc_status *status)
{
    struct oak_api *api = user;
    struct watch_stream *s = oak_stub_data(stub);
    (void)status;
    if (s == NULL) {
        return;
    }
    const struct oak_timers *timers = &api->options.loop->timers;
    timers->stop(timers->user, &s->progress);
    api__leader_leave(api, &s->follower);
    if (oak_list_linked(&s->asking_link)) {
        oak_list_remove(&s->asking_link);
    }
    oak_list_remove(&s->link);
    oak_watch_stream_end(api->watch.room, &s->base.stream);
}

void oak_api_stop(struct oak_api *api)
{
    api->watch.stopped = true;
    api__snapshots_stop(api);
    for (struct oak_list *at = api->watch.streams.next; at != &api->watch.streams; at = at->next) {
        api__watch_end(OAK_LIST_ENTRY(at, struct watch_stream, link),
                       (enum oak_rpc_code)oak_error_grpc(OAK_ESTOPPED),
                       oak_error_text(OAK_ESTOPPED));
    }
    api__ears_stop(api);
}

const struct etcdserverpb__watch_handlers api__watch = {
    .watch =
        {
            .start = stream_start,
            .message = stream_message,
            .writable = stream_writable,
            .closed = stream_closed,
        },
};
