/* SPDX-License-Identifier: Apache-2.0 */
/* turn.c: a call that takes part in a contest, and waits for its turn.
 *
 * Happy path   1 without a lease: grant one
 *              2 put the key, unless it is there; a value that it does not have yet is put, too
 *              3 look who was there before. Nobody: it is its turn
 *              4 hear of the last one of them, and of its own key: when one goes, look again, on a
 *                state of now. So one change wakes one that waits, and nobody asks again and again.
 * Can fail     a read while there is no leader: once more, as long as the client waits. Its own key
 *              is gone (its lease ended, somebody removed it): the client is told. All else: it
 *              leaves, and then the client is told why.
 * Leaving      a client that goes before its turn has come, or a failure while it waits: the key is
 *              removed, if it is still the one it was; a lease that was granted here is revoked
 *              instead. That is tried once, for the time of a proposal: later the key may be what
 *              another call with this lease stands on. A key of which it is not known that it was
 *              put is left to its lease.
 * Invariants   a turn lives on behind its call until its key is gone; OAK_TURNS_MAX counts both.
 * Source       what etcd's Lock and Election do for a client, by the keys that they leave.
 * Thread       the loop's.
 */
#include "api/turn.h"

#include <stdlib.h>

/* etcd's, of a session that names none. */
#define LEASE_TTL_S 60
/* Between two reads that found no leader. */
#define AGAIN_NS ((uint64_t)100 * 1000 * 1000)
/* First memory of a turn. */
#define MEMORY_BYTES 512

static void look(struct api_turn *t);

static struct api_turn *turn_of(struct oak_replica_request *request)
{
    return OAK_CONTAINER_OF(request, struct api_turn, request);
}

static void timer_set(struct api_turn *t, uint64_t delay_ns)
{
    const struct oak_loop *loop = t->api->options.loop;
    loop->timers.set(loop->timers.user, &t->again,
                     loop->clock.mono_ns(loop->clock.user) + delay_ns);
}

/* -- the end ----------------------------------------------------------------------------------- */

/* The turn is no more. Gives its call, if there is one. */
static struct api_call *turn_free(struct api_turn *t)
{
    const struct oak_timers *timers = &t->api->options.loop->timers;
    struct api_call *call = t->call;
    timers->stop(timers->user, &t->again);
    oak_replica_forget(t->api->options.replica, &t->request);
    api__ear_close(&t->ear);
    if (call != NULL) {
        call->closed = NULL;
        call->held = NULL;
    }
    struct api_turns *turns = &t->api->turns;
    OAK_ASSERT_GT(turns->count, 0u);
    OAK_ASSERT_GE(turns->bytes, t->bytes);
    oak_list_remove(&t->link);
    turns->count--;
    turns->bytes -= t->bytes;
    oak_arena_fini(&t->memory);
    free(t);
    return call;
}

static void turn_end(struct api_turn *t, int error)
{
    struct api_call *call = turn_free(t);
    if (call != NULL) {
        api__fail(call, error);
    }
}

static int propose(struct api_turn *t, enum oak_kv_kind kind, const ProtobufCMessage *message,
                   void (*done)(struct oak_replica_request *request, int error,
                                const struct oak_kv_result *result))
{
    t->request.done = done;
    t->request.who = t->who;
    return api__propose_made(t->api, &t->memory, kind, message, &t->request);
}

static void left(struct oak_replica_request *request, int error, const struct oak_kv_result *result)
{
    struct api_turn *t = turn_of(request);
    (void)error;
    (void)result;
    turn_end(t, t->error);
}

/* A key that was there before may be what another call with this lease has won by; it waits for
 * nothing then. */
static bool removes_key(const struct api_turn *t)
{
    struct oak_buf before = {0};
    bool removes = t->created || api__contest_before(t->api->options.store, &t->contest,
                                                     t->create_rev, &before) == 0;
    oak_buf_fini(&before);
    return removes;
}

/* Take back what was put, then tell the call. */
static void leave(struct api_turn *t, int why)
{
    int error = api__who_renew(t->api, &t->who);
    t->stage = API_TURN_LEAVE;
    t->error = why;
    if (error != 0 || (!t->own_lease && !removes_key(t))) {
        turn_end(t, why);
        return;
    }
    if (t->own_lease) {
        Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
        revoke.id = t->lease;
        error = propose(t, OAK_KV_LEASE_REVOKE, &revoke.base, left);
    } else {
        struct api_claim claim;
        api__claim_remove(&claim, t->contest.key, t->create_rev);
        error = propose(t, OAK_KV_TXN, &claim.txn.base, left);
    }
    if (error != 0) {
        turn_end(t, why);
    }
}

/* There is no key of its own, as far as is known. */
static void end_without_key(struct api_turn *t, int why)
{
    if (t->own_lease && t->stage != API_TURN_GRANT) {
        leave(t, why);
    } else {
        turn_end(t, why);
    }
}

/* -- its turn ---------------------------------------------------------------------------------- */

static void win(struct api_turn *t)
{
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    struct api_call *call = t->call;
    api__header(t->api, &header);
    header.revision = t->revision;
    call->closed = NULL;
    call->held = NULL;
    t->call = NULL;
    t->wish.won(t, call, &header);
    (void)turn_free(t);
}

static void read_done(struct oak_replica_request *request, int error,
                      const struct oak_kv_result *result)
{
    struct api_turn *t = turn_of(request);
    (void)result;
    if (error == 0) {
        look(t);
    } else if (error != OAK_ESTOPPED && oak_error_class_of(error) == OAK_CLASS_RETRY) {
        timer_set(t, AGAIN_NS);
    } else {
        leave(t, error);
    }
}

/* Somebody has gone, or a read has failed: look on a state of now. */
static void again(struct oak_timer *timer)
{
    struct api_turn *t = OAK_CONTAINER_OF(timer, struct api_turn, again);
    t->stage = API_TURN_LOOK;
    api__ear_off(&t->ear);
    if (oak_replica_read_now(t->api->options.replica, NULL)) {
        look(t);
        return;
    }
    t->request.done = read_done;
    t->request.deadline_ns = 0;
    int error = oak_replica_read(t->api->options.replica, &t->request);
    if (error == OAK_ETOOMANYREQUESTS) {
        timer_set(t, AGAIN_NS);
    } else if (error != 0) {
        leave(t, error);
    }
}

static bool hear(struct api_ear *ear, const struct oak_watch_response *response)
{
    struct api_turn *t = OAK_CONTAINER_OF(ear, struct api_turn, ear);
    (void)response;
    if (!t->again.running) {
        timer_set(t, 0);
    }
    return true;
}

static void lost(struct api_ear *ear)
{
    (void)hear(ear, NULL);
}

static int wait_for(struct api_turn *t, struct oak_bytes before)
{
    int64_t from = oak_kv_state(oak_replica_kv(t->api->options.replica))->revision + 1;
    const struct api_wish other = {.key = before, .from = from, .no_put = true};
    const struct api_wish own = {.key = t->contest.key, .from = from, .no_put = true};
    t->stage = API_TURN_WAIT;
    int error = api__ear_on(&t->ear, &other);
    return error != 0 ? error : api__ear_on(&t->ear, &own);
}

/* The state is one of now, or the one that the key was put to. */
static void look(struct api_turn *t)
{
    struct oak_store *store = t->api->options.store;
    struct oak_store_kv own;
    struct oak_buf before = {0};
    bool first_look = t->stage != API_TURN_LOOK;
    t->stage = API_TURN_LOOK;
    int error = oak_store_head(store, t->contest.key, &own);
    if (error == OAK_ENOENT || (error == 0 && own.create_rev != t->create_rev)) {
        end_without_key(t, t->wish.gone);
        return;
    }
    error = error != 0 ? error : api__permit_later(t->api, &t->who, t->call->message);
    error = error != 0 ? error : api__contest_before(store, &t->contest, t->create_rev, &before);
    if (error == OAK_ENOENT) {
        if (!first_look && !t->wish.says) {
            t->revision = oak_kv_state(oak_replica_kv(t->api->options.replica))->revision;
        }
        win(t);
    } else {
        error = error != 0 ? error : wait_for(t, oak_buf_bytes(&before));
        if (error != 0) {
            leave(t, error);
        }
    }
    oak_buf_fini(&before);
}

/* -- taking part ------------------------------------------------------------------------------- */

/* False: it does not, and has left. */
static bool goes_on(struct api_turn *t)
{
    bool on = t->call != NULL && !t->api->watch.stopped;
    if (!on) {
        leave(t, OAK_ESTOPPED);
    }
    return on;
}

static void said(struct oak_replica_request *request, int error, const struct oak_kv_result *result)
{
    struct api_turn *t = turn_of(request);
    if (error == 0 && !((const Etcdserverpb__TxnResponse *)result->response)->succeeded) {
        end_without_key(t, t->wish.gone);
    } else if (error != 0) {
        leave(t, error);
    } else if (goes_on(t)) {
        look(t);
    }
}

static void say(struct api_turn *t)
{
    struct api_claim claim;
    t->stage = API_TURN_SAY;
    api__claim_put(&claim, t->contest.key, t->create_rev, t->wish.value, t->lease, false);
    int error = propose(t, OAK_KV_TXN, &claim.txn.base, said);
    if (error != 0) {
        leave(t, error);
    }
}

static void joined(struct oak_replica_request *request, int error,
                   const struct oak_kv_result *result)
{
    struct api_turn *t = turn_of(request);
    if (error != 0) {
        end_without_key(t, error);
        return;
    }
    const Etcdserverpb__TxnResponse *response = (const Etcdserverpb__TxnResponse *)result->response;
    bool other_value = false;
    t->revision = t->create_rev = response->header->revision;
    t->created = response->succeeded;
    if (!t->created) {
        const Etcdserverpb__RangeResponse *there = response->responses[0]->response_range;
        OAK_ASSERT_EQ(there->n_kvs, 1u);
        t->create_rev = there->kvs[0]->create_revision;
        other_value = !oak_bytes_eq(oak_proto_bytes(there->kvs[0]->value), t->wish.value);
    }
    if (!goes_on(t)) {
        return;
    }
    if (t->wish.says && other_value) {
        say(t);
    } else {
        look(t);
    }
}

static int join(struct api_turn *t)
{
    struct api_claim claim;
    t->stage = API_TURN_JOIN;
    api__claim_put(&claim, t->contest.key, 0, t->wish.value, t->lease, true);
    return propose(t, OAK_KV_TXN, &claim.txn.base, joined);
}

static void granted(struct oak_replica_request *request, int error,
                    const struct oak_kv_result *result)
{
    struct api_turn *t = turn_of(request);
    (void)result;
    if (error != 0) {
        end_without_key(t, error);
    } else if (goes_on(t)) {
        error = join(t);
        if (error != 0) {
            leave(t, error);
        }
    }
}

static int grant(struct api_turn *t)
{
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    struct api_claim claim;
    api__claim_put(&claim, t->contest.key, 0, t->wish.value, t->lease, true);
    int error = oak_kv_check(oak_replica_kv(t->api->options.replica), OAK_KV_TXN, &claim.txn.base);
    if (error != 0) {
        return error; /* before there is a lease that nobody needs */
    }
    t->stage = API_TURN_GRANT;
    request.id = t->lease;
    request.ttl = OAK_MAX(LEASE_TTL_S, oak_replica_lease_ttl_min(t->api->options.replica));
    return propose(t, OAK_KV_LEASE_GRANT, &request.base, granted);
}

/* -- its call ---------------------------------------------------------------------------------- */

/* The client has gone. What was proposed is waited for: then it is known what to take back. */
static void call_closed(struct api_call *call)
{
    struct api_turn *t = call->held;
    t->call = NULL;
    call->held = NULL;
    call->closed = NULL;
    if (t->stage == API_TURN_LOOK || t->stage == API_TURN_WAIT) {
        const struct oak_timers *timers = &t->api->options.loop->timers;
        timers->stop(timers->user, &t->again);
        oak_replica_forget(t->api->options.replica, &t->request);
        api__ear_off(&t->ear);
        leave(t, OAK_ECANCELED);
    }
}

static void stop(struct api_ear *ear)
{
    struct api_turn *t = OAK_CONTAINER_OF(ear, struct api_turn, ear);
    if (t->stage == API_TURN_LOOK || t->stage == API_TURN_WAIT) {
        const struct oak_timers *timers = &t->api->options.loop->timers;
        timers->stop(timers->user, &t->again);
        oak_replica_forget(t->api->options.replica, &t->request);
        api__ear_off(&t->ear);
        leave(t, OAK_ESTOPPED);
    }
}

static struct api_turn *turn_new(struct api_call *call, const struct api_turn_wish *wish)
{
    struct api_turn *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return NULL;
    }
    t->api = call->api;
    t->wish = *wish;
    t->own_lease = wish->lease == 0;
    t->lease = t->own_lease ? api__lease_choose(t->api) : wish->lease;
    t->again.fire = again;
    t->ear.hear = hear;
    t->ear.lost = lost;
    t->ear.stop = stop;
    /* Names and value, and one command, which has the key three times. */
    t->bytes = wish->name.size + wish->value.size;
    oak_arena_init(&t->memory, MEMORY_BYTES, 8 * t->bytes + 64 * OAK_KIB);
    t->who.revision = call->request.who.revision;
    t->who.user = oak_arena_dup(&t->memory, call->request.who.user);
    t->wish.value = oak_arena_dup(&t->memory, wish->value);
    bool fits = (t->who.user.data != NULL || call->request.who.user.size == 0) &&
                (t->wish.value.data != NULL || wish->value.size == 0) &&
                api__contest_of(&t->memory, wish->name, t->lease, &t->contest) == 0;
    if (!fits) {
        oak_arena_fini(&t->memory);
        free(t);
        return NULL;
    }
    t->wish.name = oak_bytes(t->contest.prefix.data, wish->name.size);
    api__ear_open(t->api, &t->ear);
    oak_list_push(&t->api->turns.list, &t->link);
    t->api->turns.count++;
    t->api->turns.bytes += t->bytes;
    t->call = call;
    call->held = t;
    call->closed = call_closed;
    return t;
}

void api__turn_begin(struct api_call *call, const struct api_turn_wish *wish)
{
    const struct api_turns *turns = &call->api->turns;
    bool full = turns->count >= OAK_TURNS_MAX ||
                turns->bytes + wish->name.size + wish->value.size > OAK_TURN_BYTES_MAX;
    if (full || call->api->watch.stopped) {
        api__fail(call, full ? OAK_ETOOMANYREQUESTS : OAK_ESTOPPED);
        return;
    }
    struct api_turn *t = turn_new(call, wish);
    if (t == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    int error = t->own_lease ? grant(t) : join(t);
    if (error != 0) {
        (void)turn_free(t);
        api__refuse(call, error);
    }
}

void api__turns_drop(struct oak_api *api)
{
    struct oak_list *turns = &api->turns.list;
    for (struct oak_list *at = turns->next, *next; at != turns; at = next) {
        next = at->next;
        struct api_turn *t = OAK_LIST_ENTRY(at, struct api_turn, link);
        if (t->call == NULL) {
            (void)turn_free(t);
        }
    }
}
