/* SPDX-License-Identifier: Apache-2.0 */
/* watch_send.c: what the Watch service sends.
 *
 * Happy path   events are encoded already: a head is written before them, straight into what the
 *              call sends. Where many watchers get the same, all calls send the same bytes. The
 *              rest are notices.
 * Can fail     a stream whose client does not read: it takes nothing (api__watch_takes), and says
 *              when it does again. A notice is sent all the same, up to what a call may queue; what
 *              exceeds that ends the stream.
 * Thread       the loop's.
 */
#include "api/internal.h"

/* A header's four numbers, the watcher's three, a flag, and tags and lengths. */
#define HEAD_BYTES_MAX 128
/* Fewer bytes are copied for each watcher: to note where they lie costs as much. */
#define SHARED_BYTES_MIN 1024

void api__watch_header_renew(struct oak_api *api)
{
    struct oak_replica_status status;
    oak_replica_status(api->options.replica, &status);
    api->watch.term = status.raft.term;
}

bool api__watch_takes(const struct watch_stream *s)
{
    return !s->ended && oak_stub_queued(s->stub) <= OAK_RPC_QUEUE_HIGH_BYTES;
}

static uint8_t *number_put(uint8_t *at, int field, uint64_t v)
{
    if (v == 0) {
        return at;
    }
    *at++ = (uint8_t)(field << 3); /* a varint */
    for (; v >= 0x80; v >>= 7) {
        *at++ = (uint8_t)(v | 0x80);
    }
    *at++ = (uint8_t)v;
    return at;
}

/* etcdserverpb.WatchResponse up to its events: header = 1, watch_id = 2, canceled = 4,
 * compact_revision = 5, fragment = 7. */
static size_t head_write(const struct oak_api *api, const struct oak_watch_response *r,
                         uint8_t *out)
{
    uint8_t *at = out + 2;
    at = number_put(at, 1, api->options.cluster);
    at = number_put(at, 2, api->options.id);
    at = number_put(at, 3, (uint64_t)r->revision);
    at = number_put(at, 4, api->watch.term);
    size_t header = (size_t)(at - out) - 2;
    OAK_ASSERT_LT(header, 0x80u); /* its length is one byte */
    out[0] = 1 << 3 | 2;
    out[1] = (uint8_t)header;
    at = number_put(at, 2, (uint64_t)r->watch_id);
    at = number_put(at, 4, r->cancelled);
    at = number_put(at, 5, (uint64_t)r->compacted);
    at = number_put(at, 7, r->fragment);
    OAK_ASSERT_LE((size_t)(at - out), (size_t)HEAD_BYTES_MAX);
    return (size_t)(at - out);
}

/* What all who get these events send; NULL: each copies them. */
static struct oak_rpc_shared *shared_of(const struct oak_watch_response *r)
{
    if (r->kept == NULL || r->bytes.size < SHARED_BYTES_MIN) {
        return NULL;
    }
    if (*r->kept == NULL) {
        struct oak_rpc_shared *shared = oak_rpc_shared_new(r->bytes.size);
        if (shared == NULL) {
            return NULL;
        }
        memcpy(oak_rpc_shared_data(shared), r->bytes.data, r->bytes.size);
        *r->kept = shared;
    }
    return *r->kept;
}

void api__watch_forget(void *user, void *kept)
{
    (void)user;
    oak_rpc_shared_drop(kept);
}

static bool events_send(struct oak_rpc_call *call, struct oak_bytes head,
                        const struct oak_watch_response *r)
{
    struct oak_rpc_shared *shared = shared_of(r);
    if (shared != NULL) {
        struct oak_bytes tail = oak_bytes(oak_rpc_shared_data(shared), r->bytes.size);
        return oak_rpc_call_send_shared(call, head, shared, tail) == 0;
    }
    uint8_t *out = oak_rpc_call_send_into(call, head.size + r->bytes.size);
    if (out == NULL) {
        return false;
    }
    memcpy(out, head.data, head.size);
    if (r->bytes.size > 0) {
        memcpy(out + head.size, r->bytes.data, r->bytes.size);
    }
    return true;
}

bool api__watch_heard(struct api_listener *listener, const struct oak_watch_response *r)
{
    struct watch_stream *s = OAK_CONTAINER_OF(listener, struct watch_stream, base);
    struct oak_api *api = s->api;
    if (!api__watch_takes(s)) {
        return false;
    }
    s->pending = oak_stub_queued(s->stub) == 0 ? 0 : s->pending;
    uint8_t head[HEAD_BYTES_MAX];
    size_t size = head_write(api, r, head);
    if (!events_send(oak_stub_rpc(s->stub), oak_bytes(head, size), r)) {
        api__watch_end(s, OAK_RPC_UNAVAILABLE, "etcdserver: no memory for what is watched");
        return false;
    }
    s->pending += r->events;
    return true;
}

void oak_api_watches(const struct oak_api *api, struct oak_watch_stats *out, uint64_t *pending)
{
    const struct oak_list *streams = &api->watch.streams;
    oak_watch_stats(api->watch.room, out);
    *pending = 0;
    for (const struct oak_list *at = streams->next; at != streams; at = at->next) {
        const struct watch_stream *s = OAK_LIST_ENTRY(at, const struct watch_stream, link);
        *pending += oak_stub_queued(s->stub) == 0 ? 0 : s->pending;
    }
}

void api__watch_notice(struct watch_stream *s, const struct watch_notice *notice)
{
    if (s->ended) {
        return;
    }
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    header.cluster_id = s->api->options.cluster;
    header.member_id = s->api->options.id;
    header.raft_term = s->api->watch.term;
    header.revision = notice->revision;
    response.header = &header;
    response.watch_id = notice->id;
    response.created = notice->created;
    response.canceled = notice->cancelled;
    if (notice->reason != NULL) {
        response.cancel_reason = (char *)(uintptr_t)notice->reason;
    }
    if (etcdserverpb__watch__watch__reply(s->stub, &response) == OAK_ELIMIT) {
        api__watch_end(s, OAK_RPC_RESOURCE_EXHAUSTED,
                       "etcdserver: the client does not read what it asks for");
    }
}
