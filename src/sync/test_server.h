/* SPDX-License-Identifier: Apache-2.0 */
/* test_server.h: a server of the API on a thread of its own, that says what the test wants, and a
 * cluster that is open on it. */
#ifndef OAK_SYNC_TEST_SERVER_H
#define OAK_SYNC_TEST_SERVER_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/proto.h"
#include "proto/rpc.oak.h"

#include "sync/internal.h"

#define SECOND OAK_RUNTIME_SECOND_NS

/* What the server's thread does first. */
#ifndef SERVER_BEGINS
#define SERVER_BEGINS() ((void)0)
#endif

struct server {
    struct oak_runtime *rt;
    struct oak_rpc_server *rpc;
    struct oak_runtime_listener *listener;
    pthread_t thread;
    char endpoint[64];
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    int64_t ttl_s;  /* of each lease, when it is kept; set before there is one */
    bool mute;      /* ranges are not answered */
    bool taken;     /* locks are held by somebody else */
    bool ended;     /* leases have ended, it says */
    bool refused;   /* watches are not allowed */
    bool compacted; /* what watches want is compacted */
    int asked;      /* requests that came */
    int changes;    /* put to each watch, as soon as it stands; 10 KiB each */
    int revoked;
    struct oak_stub_call *held[64]; /* the loop's */
    size_t held_count;
};

static inline bool is(struct server *s, const bool *flag)
{
    pthread_mutex_lock(&s->lock);
    bool value = *flag;
    pthread_mutex_unlock(&s->lock);
    return value;
}

static inline void set(struct server *s, bool *flag)
{
    pthread_mutex_lock(&s->lock);
    *flag = true;
    pthread_mutex_unlock(&s->lock);
}

static inline void count(struct server *s, int *number)
{
    pthread_mutex_lock(&s->lock);
    ++*number;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* Wait until so many requests have come. */
static inline void asked(struct server *s, int number)
{
    pthread_mutex_lock(&s->lock);
    while (s->asked < number) {
        pthread_cond_wait(&s->changed, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

static inline void serve_range(void *user, struct oak_stub_call *call,
                               const Etcdserverpb__RangeRequest *request)
{
    struct server *s = user;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__RangeResponse response = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    Mvccpb__KeyValue *kvs[] = {&kv};
    count(s, &s->asked);
    if (is(s, &s->mute)) {
        OAK_ASSERT(s->held_count < OAK_COUNT_OF(s->held));
        s->held[s->held_count++] = call;
        return;
    }
    kv.key = request->key;
    kv.value = oak_proto_binary(oak_bytes_str("value"));
    kv.create_revision = 3;
    kv.mod_revision = 7;
    header.revision = 9;
    response.header = &header;
    response.kvs = kvs;
    response.n_kvs = 1;
    response.count = 1;
    etcdserverpb__kv__range__reply(call, &response);
}

/* What a turn asks: its key is made, as of revision 9, and the oldest of the line is looked for. */
static inline void serve_txn(void *user, struct oak_stub_call *call,
                             const Etcdserverpb__TxnRequest *request)
{
    struct server *s = user;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__TxnResponse response = ETCDSERVERPB__TXN_RESPONSE__INIT;
    Etcdserverpb__ResponseOp ops[2] = {ETCDSERVERPB__RESPONSE_OP__INIT,
                                       ETCDSERVERPB__RESPONSE_OP__INIT};
    Etcdserverpb__ResponseOp *list[] = {&ops[0], &ops[1]};
    Etcdserverpb__PutResponse put = ETCDSERVERPB__PUT_RESPONSE__INIT;
    Etcdserverpb__RangeResponse range = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    Mvccpb__KeyValue *kvs[] = {&kv};
    count(s, &s->asked);
    kv.create_revision = is(s, &s->taken) ? 5 : 9;
    range.kvs = kvs;
    range.n_kvs = 1;
    ops[0].response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
    ops[0].response_put = &put;
    ops[1].response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
    ops[1].response_range = &range;
    header.revision = 9;
    response.header = &header;
    response.succeeded = true;
    response.responses = list;
    response.n_responses = request->n_success; /* a proclaim puts, and no more */
    etcdserverpb__kv__txn__reply(call, &response);
}

static inline void serve_grant(void *user, struct oak_stub_call *call,
                               const Etcdserverpb__LeaseGrantRequest *request)
{
    Etcdserverpb__LeaseGrantResponse response = ETCDSERVERPB__LEASE_GRANT_RESPONSE__INIT;
    (void)user;
    response.id = 77;
    response.ttl = request->ttl;
    etcdserverpb__lease__lease_grant__reply(call, &response);
}

static inline void serve_revoke(void *user, struct oak_stub_call *call,
                                const Etcdserverpb__LeaseRevokeRequest *request)
{
    struct server *s = user;
    Etcdserverpb__LeaseRevokeResponse response = ETCDSERVERPB__LEASE_REVOKE_RESPONSE__INIT;
    (void)request;
    count(s, &s->revoked);
    etcdserverpb__lease__lease_revoke__reply(call, &response);
}

static inline void serve_keep(void *user, struct oak_stub_call *call,
                              const Etcdserverpb__LeaseKeepAliveRequest *request)
{
    struct server *s = user;
    Etcdserverpb__LeaseKeepAliveResponse response = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    response.id = request->id;
    response.ttl = is(s, &s->ended) ? 0 : s->ttl_s;
    OAK_MAYBE(etcdserverpb__lease__lease_keep_alive__reply(call, &response) != 0);
}

static inline void tell(struct oak_stub_call *call, int64_t id, int from, int number)
{
    static uint8_t value[10 * 1024];
    for (int i = from; i < from + number; i++) {
        Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
        Mvccpb__Event event = MVCCPB__EVENT__INIT;
        Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
        Mvccpb__Event *events[] = {&event};
        kv.mod_revision = i;
        kv.value = oak_proto_binary(oak_bytes(value, sizeof(value)));
        event.kv = &kv;
        r.watch_id = id;
        r.events = events;
        r.n_events = 1;
        OAK_ASSERT_EQ(etcdserverpb__watch__watch__reply(call, &r), 0);
    }
}

static inline void serve_watch(void *user, struct oak_stub_call *call,
                               const Etcdserverpb__WatchRequest *request)
{
    struct server *s = user;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    if (request->request_union_case != ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST) {
        return;
    }
    count(s, &s->asked);
    r.watch_id = request->create_request->watch_id;
    r.created = true;
    header.revision = 9;
    r.header = &header;
    r.canceled = is(s, &s->refused);
    r.cancel_reason = (char *)(r.canceled ? "etcdserver: permission denied" : "");
    OAK_MAYBE(etcdserverpb__watch__watch__reply(call, &r) != 0);
    tell(call, r.watch_id, 10, s->changes);
    if (is(s, &s->compacted)) {
        r.created = false;
        r.canceled = true;
        r.compact_revision = 12345;
        OAK_MAYBE(etcdserverpb__watch__watch__reply(call, &r) != 0);
    }
}

static inline void *server_main(void *arg)
{
    struct server *s = arg;
    SERVER_BEGINS();
    oak_runtime_run(s->rt);
    while (s->held_count > 0) {
        oak_stub_finish(s->held[--s->held_count], OAK_RPC_UNAVAILABLE, NULL);
    }
    return NULL;
}

static inline void server_open(struct server *s)
{
    static const struct etcdserverpb__kv_handlers kv = {.range = serve_range, .txn = serve_txn};
    static const struct etcdserverpb__watch_handlers watch = {.watch = {.message = serve_watch}};
    static const struct etcdserverpb__lease_handlers lease = {
        .lease_grant = serve_grant,
        .lease_revoke = serve_revoke,
        .lease_keep_alive = {.message = serve_keep}};
    *s = (struct server){.ttl_s = 60};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    assert_int_equal(oak_runtime_new(&s->rt), 0);
    assert_int_equal(oak_rpc_server_new(oak_runtime_loop(s->rt), NULL, &s->rpc), 0);
    assert_int_equal(etcdserverpb__kv_add(s->rpc, &kv, s), 0);
    assert_int_equal(etcdserverpb__watch_add(s->rpc, &watch, s), 0);
    assert_int_equal(etcdserverpb__lease_add(s->rpc, &lease, s), 0);
    assert_int_equal(oak_runtime_listen(s->rt, s->rpc, "127.0.0.1:0", NULL, &s->listener, NULL), 0);
    snprintf(s->endpoint, sizeof(s->endpoint), "%s", oak_runtime_listener_name(s->listener));
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static inline void server_close(struct server *s)
{
    oak_runtime_stop(s->rt);
    pthread_join(s->thread, NULL);
    oak_runtime_close(s->rt);
    oak_rpc_server_free(s->rpc);
    oak_runtime_free(s->rt);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

static inline struct oak_sync *cluster_open(const struct server *s, size_t watch_bytes)
{
    const struct oak_sync_options options = {.client.call_timeout_ns = 600 * SECOND,
                                             .watch_bytes = watch_bytes};
    struct oak_sync *sync;
    struct oak_errbuf e = {""};
    assert_int_equal(oak_sync_open(s->endpoint, &options, &sync, &e), 0);
    return sync;
}

/* Wait until so many threads of the program are inside. */
static inline void inside(struct sync_handle *handle, unsigned number)
{
    unsigned seen = number + 1;
    while (seen != number) {
        sched_yield();
        pthread_mutex_lock(&handle->sync->lock);
        seen = handle->inside;
        pthread_mutex_unlock(&handle->sync->lock);
    }
}

#endif
