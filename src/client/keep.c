/* SPDX-License-Identifier: Apache-2.0 */
/* keep.c: leases kept alive over one stream.
 *
 * Happy path   1 a third of its time after it was last kept, a lease is asked for again
 *              2 the answer says what it has, from the moment of the asking on
 * Can fail     the stream breaks: it is opened again, and all are asked for at once. No answer for
 *              a lease's time: it may have ended, and is `lost`; the server says that it has: too.
 * Invariants   a lease's end here is never later than the server's, for it is counted from the
 *              sending of what was answered. So it is not asked for again before that was.
 * Thread       the loop's.
 */
#include <stdlib.h>

#include "client/stream.h"

#define SECOND_NS ((uint64_t)1000 * 1000 * 1000)
/* A lease is asked for again no sooner than this. */
#define ASK_NS_MIN (SECOND_NS / 4)
/* Seconds of a lease that are counted here: three centuries. */
#define TTL_S_MAX INT64_C(9000000000)

struct client_keeper {
    struct client_stream stream;
    struct oak_list leases;
    struct oak_arena arena; /* of one message */
    struct oak_client_header header;
};

struct oak_client_lease {
    struct oak_list link;
    struct client_keeper *keeper;
    const struct oak_client_lease_callbacks *callbacks;
    void *user;
    int64_t id;
    uint64_t ttl_ns;
    uint64_t asked_ns; /* when it was asked for, and not answered; 0: it is */
    uint64_t next_ns;  /* when it is asked for */
    uint64_t lost_ns;  /* when it may have ended */
    struct oak_timer timer;
};

static void lease_free(struct oak_client_lease *lease)
{
    const struct oak_loop *loop = lease->keeper->stream.client->loop;
    loop->timers.stop(loop->timers.user, &lease->timer);
    oak_list_remove(&lease->link);
    free(lease);
}

static void lease_lost(struct oak_client_lease *lease, int error)
{
    lease->callbacks->lost(lease->user, lease, error);
    lease_free(lease);
}

static void timer_set(struct oak_client_lease *lease)
{
    const struct oak_loop *loop = lease->keeper->stream.client->loop;
    loop->timers.set(loop->timers.user, &lease->timer, OAK_MIN(lease->next_ns, lease->lost_ns));
}

static void lease_ask(struct oak_client_lease *lease)
{
    uint64_t now_ns = client__now(lease->keeper->stream.client);
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = lease->id;
    lease->next_ns = now_ns + OAK_MAX(lease->ttl_ns / 3, ASK_NS_MIN);
    if (lease->asked_ns == 0 && client__stream_send(&lease->keeper->stream, &request.base) == 0) {
        lease->asked_ns = now_ns;
    }
    timer_set(lease);
}

static void lease_due(struct oak_timer *timer)
{
    struct oak_client_lease *lease = OAK_CONTAINER_OF(timer, struct oak_client_lease, timer);
    if (client__now(lease->keeper->stream.client) >= lease->lost_ns) {
        lease_lost(lease, OAK_EDEADLINE);
    } else {
        lease_ask(lease);
    }
}

/* It has so long from `since_ns` on: never less than was known, as a later question is answered
 * later. */
static void lease_has(struct oak_client_lease *lease, int64_t ttl_s, uint64_t since_ns)
{
    lease->ttl_ns = (uint64_t)OAK_MIN(ttl_s, TTL_S_MAX) * SECOND_NS;
    lease->lost_ns = OAK_MAX(lease->lost_ns, since_ns + lease->ttl_ns);
    lease->next_ns = since_ns + OAK_MAX(lease->ttl_ns / 3, ASK_NS_MIN);
    lease->asked_ns = 0;
    timer_set(lease);
}

/* -- the stream -------------------------------------------------------------------------------- */

static struct client_keeper *keeper_of(struct client_stream *stream)
{
    return OAK_CONTAINER_OF(stream, struct client_keeper, stream);
}

static void stream_open(struct client_stream *stream)
{
    const struct client_keeper *keeper = keeper_of(stream);
    for (struct oak_list *at = keeper->leases.next; at != &keeper->leases; at = at->next) {
        lease_ask(OAK_LIST_ENTRY(at, struct oak_client_lease, link));
    }
}

static void stream_writable(struct client_stream *stream)
{
    (void)stream; /* what could not be asked is asked when its time comes again */
}

static void take(struct client_keeper *keeper, const Etcdserverpb__LeaseKeepAliveResponse *r)
{
    struct oak_list *at = keeper->leases.next;
    client__header(r->header, &keeper->header);
    while (at != &keeper->leases) {
        struct oak_client_lease *lease = OAK_LIST_ENTRY(at, struct oak_client_lease, link);
        at = at->next;
        if (lease->id == r->id && lease->asked_ns != 0) {
            if (r->ttl <= 0) {
                lease_lost(lease, OAK_ELEASENOTFOUND);
                return; /* others may have gone with it */
            }
            lease_has(lease, r->ttl, lease->asked_ns);
            if (lease->callbacks->kept != NULL) {
                lease->callbacks->kept(lease->user, lease, r->ttl);
            }
            return;
        }
    }
}

static void stream_message(struct client_stream *stream, struct oak_bytes bytes)
{
    struct client_keeper *keeper = keeper_of(stream);
    ProtobufCMessage *message;
    oak_arena_reset(&keeper->arena);
    int error = oak_proto_unpack(&etcdserverpb__lease_keep_alive_response__descriptor, bytes,
                                 &keeper->arena, &message);
    if (error != 0) {
        client__stream_fail(stream, error == OAK_EFORMAT ? OAK_EREMOTE : error);
        return;
    }
    take(keeper, (const Etcdserverpb__LeaseKeepAliveResponse *)message);
}

static void stream_broken(struct client_stream *stream)
{
    const struct client_keeper *keeper = keeper_of(stream);
    for (struct oak_list *at = keeper->leases.next; at != &keeper->leases; at = at->next) {
        OAK_LIST_ENTRY(at, struct oak_client_lease, link)->asked_ns = 0;
    }
}

static void stream_failed(struct client_stream *stream, int error, const char *message)
{
    struct client_keeper *keeper = keeper_of(stream);
    struct oak_list all; /* those that come meanwhile begin anew */
    oak_list_init(&all);
    (void)message;
    struct oak_list *node;
    while ((node = oak_list_pop(&keeper->leases)) != NULL) {
        oak_list_push(&all, node);
    }
    while (!oak_list_empty(&all)) {
        lease_lost(OAK_LIST_ENTRY(all.next, struct oak_client_lease, link), error);
    }
}

static const struct client_stream_events stream_events = {
    .open = stream_open,
    .message = stream_message,
    .writable = stream_writable,
    .broken = stream_broken,
    .failed = stream_failed,
};

/* -- the door ---------------------------------------------------------------------------------- */

static int keeper_make(struct oak_client *client)
{
    struct client_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        return OAK_ENOMEM;
    }
    keeper->stream = (struct client_stream){.client = client,
                                            .service = "etcdserverpb.Lease",
                                            .method = "LeaseKeepAlive",
                                            .events = &stream_events};
    oak_list_init(&keeper->leases);
    oak_arena_init(&keeper->arena, CLIENT_CHUNK_BYTES, OAK_MIB);
    client->keeper = keeper;
    return 0;
}

void client__keeper_free(struct oak_client *client)
{
    struct client_keeper *keeper = client->keeper;
    if (keeper == NULL) {
        return;
    }
    client__stream_stop(&keeper->stream);
    while (!oak_list_empty(&keeper->leases)) {
        lease_free(OAK_LIST_ENTRY(keeper->leases.next, struct oak_client_lease, link));
    }
    oak_arena_fini(&keeper->arena);
    free(keeper);
    client->keeper = NULL;
}

int client__keep(struct oak_client *client, int64_t id, int64_t ttl_s, uint64_t since_ns,
                 const struct oak_client_lease_callbacks *callbacks, void *user,
                 struct oak_client_lease **out)
{
    if (id == 0 || ttl_s <= 0) {
        return OAK_EINVAL;
    }
    if (client->closing) {
        return OAK_ECLOSED;
    }
    if (client->keeper == NULL && keeper_make(client) != 0) {
        return OAK_ENOMEM;
    }
    struct oak_client_lease *lease = calloc(1, sizeof(*lease));
    if (lease == NULL) {
        return OAK_ENOMEM;
    }
    lease->keeper = client->keeper;
    lease->callbacks = callbacks;
    lease->user = user;
    lease->id = id;
    lease->timer.fire = lease_due;
    oak_list_push(&client->keeper->leases, &lease->link);
    lease_has(lease, ttl_s, since_ns);
    client__stream_want(&client->keeper->stream);
    lease_ask(lease);
    *out = lease;
    return 0;
}

int oak_client_keep(struct oak_client *client, int64_t id, int64_t ttl_s,
                    const struct oak_client_lease_callbacks *callbacks, void *user,
                    struct oak_client_lease **out)
{
    return client__keep(client, id, ttl_s, client__now(client), callbacks, user, out);
}

struct oak_client_header oak_client_lease_header(const struct oak_client_lease *lease)
{
    return lease->keeper->header;
}

void oak_client_lease_leave(struct oak_client_lease *lease)
{
    lease_free(lease);
}
