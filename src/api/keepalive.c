/* SPDX-License-Identifier: Apache-2.0 */
/* keepalive.c: the stream of keepalives: one answer for each, in the order in which they came.
 *
 * Happy path   1 a keepalive comes: the header is made as things are now, before the renewal
 *              2 the replica asks the leader
 *              3 it is answered once those before it are. An unknown lease is answered with a time
 *                to live of 0, and the stream goes on.
 * Ends         half-closed, with OK, behind the last answer. At the first that can't be renewed
 *              though the lease may be there (no leader, stop), with why.
 * Limits       so many may wait; past that no more is read of the stream.
 * Thread       the loop's.
 */
#include "api/internal.h"

struct keepalive {
    struct stream *stream;
    struct oak_list link;
    struct oak_replica_lease ask;
    Etcdserverpb__ResponseHeader header;
    bool done;
    int error;
};

struct stream {
    struct oak_api *api;
    struct oak_stub_call *stub;
    struct oak_list waiting; /* as they came */
    size_t count;
    struct api_follower follower;
    bool paused;
    bool half_closed;
    bool ended;
};

static void stream_fail(struct stream *s, int error)
{
    s->ended = true;
    oak_stub_finish(s->stub, (enum oak_rpc_code)oak_error_grpc(error), oak_error_text(error));
}

static void leader_lost(struct api_follower *follower)
{
    struct stream *s = OAK_CONTAINER_OF(follower, struct stream, follower);
    if (!s->ended) {
        stream_fail(s, OAK_ENOLEADER);
    }
}

void api__keepalive_start(void *user, struct oak_stub_call *stub)
{
    struct stream *s = oak_arena_zalloc(oak_stub_arena(stub), sizeof(*s));
    if (s == NULL) {
        oak_stub_finish(stub, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        return;
    }
    s->api = user;
    s->stub = stub;
    oak_list_init(&s->waiting);
    oak_stub_set_data(stub, s);
    s->follower.lost = leader_lost;
    if (api__is_learner(s->api)) {
        stream_fail(s, OAK_ENOTSUPPORTEDFORLEARNER);
        return;
    }
    if (!api__leader_wanted(stub)) {
        return;
    }
    if (api__leader_known(s->api)) {
        api__leader_follow(s->api, &s->follower);
    } else {
        stream_fail(s, OAK_ENOLEADER);
    }
}

static void keepalive_free(struct keepalive *k)
{
    struct oak_alloc libc = oak_alloc_libc();
    oak_list_remove(&k->link);
    k->stream->count--;
    libc.resize(libc.user, k, 0);
}

static void answer(struct stream *s, struct keepalive *k)
{
    Etcdserverpb__LeaseKeepAliveResponse response = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    response.header = &k->header;
    response.id = k->ask.id;
    response.ttl = k->ask.ttl_s;
    int error = k->error != 0 ? k->error : oak_stub_reply(s->stub, &response.base);
    if (error != 0) {
        stream_fail(s, error);
    }
}

/* What is at the front and done leaves. */
static void stream_go(struct stream *s)
{
    while (!oak_list_empty(&s->waiting)) {
        struct keepalive *k = OAK_LIST_ENTRY(s->waiting.next, struct keepalive, link);
        if (!k->done) {
            break;
        }
        if (!s->ended) {
            answer(s, k);
        }
        keepalive_free(k);
    }
    bool full = s->count >= OAK_LEASE_KEEPALIVES_MAX;
    if (!s->ended && full != s->paused) {
        s->paused = full;
        oak_stub_pause(s->stub, full);
    }
    if (!s->ended && s->half_closed && s->count == 0) {
        s->ended = true;
        oak_stub_finish(s->stub, OAK_RPC_OK, NULL);
    }
}

static void keepalive_done(struct oak_replica_lease *ask, int error)
{
    struct keepalive *k = OAK_CONTAINER_OF(ask, struct keepalive, ask);
    k->done = true;
    k->error = error;
    stream_go(k->stream);
}

void api__keepalive_message(void *user, struct oak_stub_call *stub,
                            const Etcdserverpb__LeaseKeepAliveRequest *request)
{
    struct oak_api *api = user;
    struct stream *s = oak_stub_data(stub);
    struct oak_alloc libc = oak_alloc_libc();
    if (s == NULL || s->ended) {
        return;
    }
    int error = api__permit(api, stub, &request->base);
    if (error != 0) {
        stream_fail(s, error);
        return;
    }
    struct keepalive *k = libc.resize(libc.user, NULL, sizeof(*k));
    if (k == NULL) {
        stream_fail(s, OAK_ENOMEM);
        return;
    }
    *k = (struct keepalive){.stream = s, .ask = {.done = keepalive_done, .renew = true}};
    k->ask.id = request->id;
    etcdserverpb__response_header__init(&k->header);
    api__header(api, &k->header);
    k->header.revision = oak_kv_state(oak_replica_kv(api->options.replica))->revision;
    oak_list_push(&s->waiting, &k->link);
    s->count++;
    error = oak_replica_lease_ask(api->options.replica, &k->ask);
    if (error != 0) {
        k->done = true;
        k->error = error;
    }
    stream_go(s);
}

void api__keepalive_half_closed(void *user, struct oak_stub_call *stub)
{
    struct stream *s = oak_stub_data(stub);
    (void)user;
    if (s != NULL) {
        s->half_closed = true;
        stream_go(s);
    }
}

void api__keepalive_closed(void *user, struct oak_stub_call *stub,
                           const struct oak_rpc_status *status)
{
    struct oak_api *api = user;
    struct stream *s = oak_stub_data(stub);
    (void)status;
    if (s != NULL) {
        api__leader_leave(api, &s->follower);
    }
    while (s != NULL && !oak_list_empty(&s->waiting)) {
        struct keepalive *k = OAK_LIST_ENTRY(s->waiting.next, struct keepalive, link);
        oak_replica_lease_forget(api->options.replica, &k->ask);
        keepalive_free(k);
    }
}
