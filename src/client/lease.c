/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: leases: granted, ended, asked about. keep.c keeps them alive. */
#include "client/internal.h"

static int grant_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const Etcdserverpb__LeaseGrantResponse *r = (const Etcdserverpb__LeaseGrantResponse *)message;
    call->answer.lease = r->id;
    call->answer.ttl_s = r->ttl;
    return r->error[0] != '\0' ? OAK_EREMOTE : 0;
}

static int left_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const Etcdserverpb__LeaseTimeToLiveResponse *r =
        (const Etcdserverpb__LeaseTimeToLiveResponse *)message;
    struct oak_bytes *keys = oak_arena_alloc(&call->arena, (r->n_keys + 1) * sizeof(*keys));
    if (keys == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < r->n_keys; i++) {
        keys[i] = oak_proto_bytes(r->keys[i]);
    }
    call->answer.lease = r->id;
    call->answer.ttl_s = r->ttl;
    call->answer.granted_s = r->grantedttl;
    call->answer.keys = keys;
    call->answer.key_count = r->n_keys;
    return 0;
}

static int ask(struct oak_client *client, struct client_method method,
               const ProtobufCMessage *request, uint64_t timeout_ns, oak_client_done *done,
               void *user, struct oak_client_call **out)
{
    method.service = "etcdserverpb.Lease";
    const struct client_ask ask = {
        .method = method, .request = request, .timeout_ns = timeout_ns, .done = done, .user = user};
    return client__ask(client, &ask, out);
}

int oak_client_grant(struct oak_client *client, int64_t ttl_s, int64_t id, uint64_t timeout_ns,
                     oak_client_done *done, void *user, struct oak_client_call **out)
{
    const struct client_method method = {.name = "LeaseGrant",
                                         .response =
                                             &etcdserverpb__lease_grant_response__descriptor,
                                         .fill = grant_fill};
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    request.ttl = ttl_s;
    request.id = id;
    return ask(client, method, &request.base, timeout_ns, done, user, out);
}

int oak_client_revoke(struct oak_client *client, int64_t id, uint64_t timeout_ns,
                      oak_client_done *done, void *user, struct oak_client_call **out)
{
    const struct client_method method = {
        .name = "LeaseRevoke", .response = &etcdserverpb__lease_revoke_response__descriptor};
    Etcdserverpb__LeaseRevokeRequest request = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    request.id = id;
    return ask(client, method, &request.base, timeout_ns, done, user, out);
}

int oak_client_time_to_live(struct oak_client *client, int64_t id, bool keys, uint64_t timeout_ns,
                            oak_client_done *done, void *user, struct oak_client_call **out)
{
    const struct client_method method = {.name = "LeaseTimeToLive",
                                         .read = true,
                                         .response =
                                             &etcdserverpb__lease_time_to_live_response__descriptor,
                                         .fill = left_fill};
    Etcdserverpb__LeaseTimeToLiveRequest request = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    request.id = id;
    request.keys = keys;
    return ask(client, method, &request.base, timeout_ns, done, user, out);
}
