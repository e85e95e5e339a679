/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c: v3electionpb.Election/Observe: who leads, and what it proclaims.
 *
 * Happy path   1 read who leads, on a state of now, and tell it
 *              2 hear of its key from there on: each value is told. When the key goes: 1
 *              3 nobody leads: hear of all keys of the election. The first that is put leads: 1
 * Skips        leaders that came and went between two looks, and, where the history was compacted
 *              before the client had read so far, values between.
 * Can fail     a read while there is no leader of the cluster: once more. A permission that is gone
 *              ends the stream. A client that does not read is told no more until it does.
 * Invariants   what is told of one leader rises by mod_revision, and its newest is always told.
 * Thread       the loop's.
 */
#include "api/internal.h"

/* Between two reads that found no leader of the cluster. */
#define AGAIN_NS ((uint64_t)100 * 1000 * 1000)
/* First memory for what is heard at one time. */
#define MEMORY_BYTES 4096

/* In the memory of its call. */
struct observer {
    struct oak_api *api;
    struct api_call *call;
    struct api_contest contest;
    struct oak_timer look;
    struct api_ear ear;
    struct api_follower follower;
    int64_t leader;     /* create_revision of whom it told of last, */
    int64_t told;       /* and mod_revision of what it told */
    bool seeking;       /* nobody led when it looked */
    bool found;         /* ... and then somebody came */
    struct oak_buf key; /* whose this is */
    bool ended;
};

static void observer_end(struct observer *o, int error)
{
    if (!o->ended) {
        o->ended = true;
        api__fail(o->call, error);
    }
}

static void look_soon(struct observer *o, uint64_t delay_ns)
{
    const struct oak_loop *loop = o->api->options.loop;
    if (!o->look.running) {
        loop->timers.set(loop->timers.user, &o->look,
                         loop->clock.mono_ns(loop->clock.user) + delay_ns);
    }
}

/* -- what is told ------------------------------------------------------------------------------ */

static void tell(struct observer *o, int64_t revision, const Mvccpb__KeyValue *kv)
{
    V3electionpb__LeaderResponse response = V3ELECTIONPB__LEADER_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    OAK_ASSERT(kv->create_revision != o->leader || kv->mod_revision > o->told);
    api__header(o->api, &header);
    header.revision = revision;
    response.header = &header;
    response.kv = (Mvccpb__KeyValue *)(uintptr_t)kv;
    int error = v3electionpb__election__observe__reply(o->call->stub, &response);
    if (error != 0) {
        observer_end(o, error);
    }
    o->leader = kv->create_revision;
    o->told = kv->mod_revision;
}

/* The first key that is put where nobody led is the leader's. */
static int tell_found(struct observer *o, const Mvccpb__KeyValue *kv)
{
    oak_buf_clear(&o->key);
    o->found = true;
    tell(o, kv->mod_revision, kv);
    look_soon(o, 0);
    return oak_buf_append(&o->key, kv->key.data, kv->key.len);
}

/* Each value of the leader, up to its end. */
static int tell_events(struct observer *o, int64_t revision,
                       const Etcdserverpb__WatchResponse *heard)
{
    for (size_t i = 0; i < heard->n_events && !o->ended; i++) {
        const Mvccpb__Event *event = heard->events[i];
        if (o->seeking) {
            return tell_found(o, event->kv);
        }
        if (event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) {
            look_soon(o, 0);
            return 0;
        }
        tell(o, revision, event->kv);
    }
    return 0;
}

static bool hear(struct api_ear *ear, const struct oak_watch_response *response)
{
    struct observer *o = OAK_CONTAINER_OF(ear, struct observer, ear);
    if (o->ended || o->look.running) {
        return true; /* it looks, and what this says will be seen */
    }
    if (oak_stub_queued(o->call->stub) > OAK_RPC_QUEUE_HIGH_BYTES) {
        return false;
    }
    if (response->cancelled) {
        look_soon(o, 0);
        return true;
    }
    struct oak_arena arena;
    ProtobufCMessage *heard;
    oak_arena_init(&arena, MEMORY_BYTES, OAK_STUB_DECODE_BYTES + 2 * response->bytes.size);
    int error = oak_proto_unpack(&etcdserverpb__watch_response__descriptor, response->bytes, &arena,
                                 &heard);
    if (error == 0) {
        error = tell_events(o, response->revision, (const Etcdserverpb__WatchResponse *)heard);
    }
    if (error != 0) {
        observer_end(o, error);
    }
    oak_arena_fini(&arena);
    return true;
}

/* -- who leads --------------------------------------------------------------------------------- */

static int look_at(struct observer *o)
{
    struct oak_kv *kv = oak_replica_kv(o->api->options.replica);
    int64_t revision = oak_kv_state(kv)->revision;
    Mvccpb__KeyValue leader = MVCCPB__KEY_VALUE__INIT;
    struct api_wish wish = {.from = revision + 1};
    int error = api__permit_later(o->api, &o->call->request.who, o->call->message);
    error = error != 0 ? error : api__contest_leader(o->api->options.store, &o->contest, &leader);
    o->seeking = error == OAK_ENOENT;
    if (o->seeking) {
        wish.key = o->contest.prefix;
        wish.end = o->contest.end;
        wish.no_delete = true;
        return api__ear_on(&o->ear, &wish);
    }
    if (error != 0) {
        return error;
    }
    wish.key = oak_proto_bytes(leader.key);
    error = api__ear_on(&o->ear, &wish);
    /* The next in line may have put its value before the last one did. */
    if (error == 0 && (leader.create_revision != o->leader || leader.mod_revision > o->told)) {
        tell(o, revision, &leader);
    }
    return error;
}

static void look_ready(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct observer *o = api__call_of(request)->held;
    (void)result;
    if (error == 0) {
        error = look_at(o);
    } else if (error != OAK_ESTOPPED && oak_error_class_of(error) == OAK_CLASS_RETRY) {
        look_soon(o, AGAIN_NS);
        return;
    }
    if (error != 0) {
        observer_end(o, error);
    }
}

/* Go on behind what was told of it. False: the history is gone, so look. */
static bool follow_found(struct observer *o)
{
    const struct api_wish wish = {.key = oak_buf_bytes(&o->key), .from = o->told + 1};
    o->found = false;
    o->seeking = false;
    int error = api__ear_on(&o->ear, &wish);
    if (error != 0 && error != OAK_ECOMPACTED) {
        observer_end(o, error);
    }
    return error != OAK_ECOMPACTED;
}

static void look(struct oak_timer *timer)
{
    struct observer *o = OAK_CONTAINER_OF(timer, struct observer, look);
    api__ear_off(&o->ear);
    if (o->ended || (o->found && follow_found(o))) {
        return;
    }
    if (oak_replica_read_now(o->api->options.replica, NULL)) {
        look_ready(&o->call->request, 0, NULL);
        return;
    }
    o->call->request.done = look_ready;
    o->call->request.deadline_ns = 0;
    int error = oak_replica_read(o->api->options.replica, &o->call->request);
    if (error == OAK_ETOOMANYREQUESTS) {
        look_soon(o, AGAIN_NS);
    } else if (error != 0) {
        observer_end(o, error);
    }
}

/* -- the stream -------------------------------------------------------------------------------- */

static void lost(struct api_ear *ear)
{
    look_soon(OAK_CONTAINER_OF(ear, struct observer, ear), 0);
}

static void stop(struct api_ear *ear)
{
    observer_end(OAK_CONTAINER_OF(ear, struct observer, ear), OAK_ESTOPPED);
}

static void leader_lost(struct api_follower *follower)
{
    observer_end(OAK_CONTAINER_OF(follower, struct observer, follower), OAK_ENOLEADER);
}

static void writable(void *user, struct oak_stub_call *stub)
{
    struct observer *o = ((struct api_call *)oak_stub_data(stub))->held;
    (void)user;
    if (!o->ended) {
        api__ear_ready(&o->ear);
    }
}

static void closed(struct api_call *call)
{
    struct observer *o = call->held;
    const struct oak_timers *timers = &o->api->options.loop->timers;
    timers->stop(timers->user, &o->look);
    api__leader_leave(o->api, &o->follower);
    api__ear_close(&o->ear);
    oak_buf_fini(&o->key);
}

static int begin(struct api_call *call, struct oak_bytes name)
{
    if (call->api->watch.stopped) {
        return OAK_ESTOPPED;
    }
    struct observer *o = oak_arena_zalloc(api__arena(call), sizeof(*o));
    if (o == NULL || api__contest_of(api__arena(call), name, 0, &o->contest) != 0) {
        return OAK_ENOMEM;
    }
    o->api = call->api;
    o->call = call;
    o->look.fire = look;
    o->follower.lost = leader_lost;
    o->ear.hear = hear;
    o->ear.lost = lost;
    o->ear.stop = stop;
    call->held = o;
    call->closed = closed;
    oak_stub_on_writable(call->stub, writable);
    api__ear_open(o->api, &o->ear);
    if (api__leader_wanted(call->stub)) {
        api__leader_follow(o->api, &o->follower);
    }
    look_soon(o, 0);
    return 0;
}

void api__observe(void *user, struct oak_stub_call *stub,
                  const V3electionpb__LeaderRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    int error = call == NULL ? 0 : begin(call, oak_proto_bytes(request->name));
    if (error != 0) {
        api__fail(call, error);
    }
}
