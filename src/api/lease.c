/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: etcdserverpb.Lease but for its stream, which is keepalive.c's.
 *
 * Grants and revocations go through the log. What is left of a lease the leader tells; the keys of
 * it are read here, on a state that is no older. The list is this member's, possibly old: in the
 * order in which leases will end where this member leads, else in order of id.
 *
 * Source: the etcd v3 API, "Lease".
 */
#include "api/internal.h"

/* An id that the server chooses: positive, and not taken as far as is known here. */
int64_t api__lease_choose(const struct oak_api *api)
{
    const struct oak_loop *loop = api->options.loop;
    struct oak_kv_lease taken;
    int64_t id = 0;
    while (id == 0 || oak_kv_lease(oak_replica_kv(api->options.replica), id, &taken)) {
        loop->entropy.fill(loop->entropy.user, &id, sizeof(id));
        id &= INT64_MAX;
    }
    return id;
}

static void grant(void *user, struct oak_stub_call *stub,
                  const Etcdserverpb__LeaseGrantRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    Etcdserverpb__LeaseGrantRequest chosen = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    int64_t least = oak_replica_lease_ttl_min(call->api->options.replica);
    chosen.id = request->id != 0 ? request->id : api__lease_choose(call->api);
    chosen.ttl = OAK_MAX(request->ttl, least);
    uint8_t packed[32];
    OAK_ASSERT_LE(etcdserverpb__lease_grant_request__get_packed_size(&chosen), sizeof(packed));
    size_t size = etcdserverpb__lease_grant_request__pack(&chosen, packed);
    api__propose(call, OAK_KV_LEASE_GRANT, &chosen.base, oak_bytes(packed, size));
}

static void revoke(void *user, struct oak_stub_call *stub,
                   const Etcdserverpb__LeaseRevokeRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__propose(call, OAK_KV_LEASE_REVOKE, &request->base, oak_stub_bytes(stub));
    }
}

/* -- what is left ------------------------------------------------------------------------------ */

struct looking {
    struct api_call *call;
    bool keys;
    struct oak_replica_lease ask;
};

struct key_list {
    struct oak_arena *arena;
    ProtobufCBinaryData *items; /* NULL: they are counted */
    size_t count;
    bool full;
};

static bool list_key(void *arg, struct oak_bytes key)
{
    struct key_list *list = arg;
    if (list->items != NULL) {
        uint8_t *copy = oak_arena_alloc(list->arena, key.size);
        list->full = copy == NULL;
        if (list->full) {
            return false;
        }
        memcpy(copy, key.data, key.size);
        list->items[list->count] = oak_proto_binary(oak_bytes(copy, key.size));
    }
    list->count++;
    return true;
}

static bool list_keys(struct api_call *call, int64_t id, struct key_list *list)
{
    const struct oak_kv *kv = oak_replica_kv(call->api->options.replica);
    oak_kv_lease_keys(kv, id, list_key, list);
    if (list->count == 0) {
        return true;
    }
    list->items = oak_arena_alloc(list->arena, list->count * sizeof(*list->items));
    list->full = list->items == NULL;
    list->count = 0;
    if (!list->full) {
        oak_kv_lease_keys(kv, id, list_key, list);
    }
    return !list->full;
}

static void looked(struct oak_replica_lease *ask, int error)
{
    const struct looking *look = OAK_CONTAINER_OF(ask, struct looking, ask);
    struct api_call *call = look->call;
    Etcdserverpb__LeaseTimeToLiveResponse response =
        ETCDSERVERPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    struct key_list list = {.arena = api__arena(call)};
    error = error == 0 ? api__permit_again(call) : error;
    response.header = error == 0 ? api__header_new(call) : NULL;
    response.id = ask->id;
    response.ttl = -1;
    if (error == 0 && ask->ttl_s > 0) {
        response.ttl = ask->left_ns / 1000000000;
        response.grantedttl = ask->ttl_s;
        error = look->keys && !list_keys(call, ask->id, &list) ? OAK_ELIMIT : 0;
        response.keys = list.items;
        response.n_keys = list.count;
    }
    if (error == 0 && response.header == NULL) {
        error = OAK_ENOMEM;
    }
    if (error != 0) {
        api__fail(call, error);
    } else {
        api__answer(call, &response.base);
    }
}

static void look_closed(void *user, struct oak_stub_call *stub, const struct oak_rpc_status *status)
{
    const struct oak_api *api = user;
    struct looking *look = oak_stub_data(stub);
    (void)status;
    oak_replica_lease_forget(api->options.replica, &look->ask);
}

static void time_to_live(void *user, struct oak_stub_call *stub,
                         const Etcdserverpb__LeaseTimeToLiveRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    struct looking *look = oak_arena_zalloc(api__arena(call), sizeof(*look));
    if (look == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    look->call = call;
    look->keys = request->keys;
    look->ask.done = looked;
    look->ask.id = request->id;
    oak_stub_set_data(stub, look);
    oak_stub_on_closed(stub, look_closed);
    int error = oak_replica_lease_ask(call->api->options.replica, &look->ask);
    if (error != 0) {
        api__fail(call, error);
    }
}

/* -- the list ---------------------------------------------------------------------------------- */

struct id_list {
    int64_t *ids;
    size_t count;
};

static bool list_id(void *arg, const struct oak_kv_lease *lease)
{
    struct id_list *list = arg;
    list->ids[list->count++] = lease->id;
    return true;
}

static bool list_ids(struct api_call *call, struct id_list *list)
{
    struct oak_replica *replica = call->api->options.replica;
    size_t room = (size_t)oak_kv_lease_count(oak_replica_kv(replica));
    list->ids = oak_arena_alloc(api__arena(call), (room + 1) * sizeof(*list->ids));
    if (list->ids == NULL) {
        return false;
    }
    if (!oak_replica_lease_ids(replica, list->ids, room, &list->count)) {
        oak_kv_leases(oak_replica_kv(replica), list_id, list);
    }
    list->count = OAK_MIN(list->count, room);
    return true;
}

static void leases(void *user, struct oak_stub_call *stub,
                   const Etcdserverpb__LeaseLeasesRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    Etcdserverpb__LeaseLeasesResponse response = ETCDSERVERPB__LEASE_LEASES_RESPONSE__INIT;
    struct id_list list = {.count = 0};
    Etcdserverpb__LeaseStatus *rows = NULL;
    response.header = api__header_new(call);
    bool fits = response.header != NULL && list_ids(call, &list);
    if (fits) {
        rows = oak_arena_alloc(api__arena(call), (list.count + 1) * sizeof(*rows));
        response.leases =
            oak_arena_alloc(api__arena(call), (list.count + 1) * sizeof(*response.leases));
        fits = rows != NULL && response.leases != NULL;
    }
    for (size_t i = 0; fits && i < list.count; i++) {
        etcdserverpb__lease_status__init(&rows[i]);
        rows[i].id = list.ids[i];
        response.leases[response.n_leases++] = &rows[i];
    }
    if (fits) {
        api__answer(call, &response.base);
    } else {
        api__fail(call, OAK_ELIMIT);
    }
}

const struct etcdserverpb__lease_handlers api__lease = {
    .lease_grant = grant,
    .lease_revoke = revoke,
    .lease_keep_alive =
        {
            .start = api__keepalive_start,
            .message = api__keepalive_message,
            .half_closed = api__keepalive_half_closed,
            .closed = api__keepalive_closed,
        },
    .lease_time_to_live = time_to_live,
    .lease_leases = leases,
};
