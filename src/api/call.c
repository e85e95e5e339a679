/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: what all methods share: how a call begins, answers and failures.
 *
 * A request that still waits in the replica when its client goes is forgotten there, before the
 * call's memory goes.
 */
#include "api/internal.h"

#include <stdlib.h>

/* etcd's. */
#define TOKEN_TTL_NS (300 * UINT64_C(1000000000))

struct api_call *api__call_of(struct oak_replica_request *request)
{
    return OAK_CONTAINER_OF(request, struct api_call, request);
}

struct oak_arena *api__arena(struct api_call *call)
{
    return oak_stub_arena(call->stub);
}

void api__header(const struct oak_api *api, Etcdserverpb__ResponseHeader *header)
{
    struct oak_replica_status status;
    oak_replica_status(api->options.replica, &status);
    header->cluster_id = api->options.cluster;
    header->member_id = api->options.id;
    header->raft_term = status.raft.term;
}

Etcdserverpb__ResponseHeader *api__header_new(struct api_call *call)
{
    Etcdserverpb__ResponseHeader *header = oak_arena_alloc(api__arena(call), sizeof(*header));
    if (header != NULL) {
        etcdserverpb__response_header__init(header);
        api__header(call->api, header);
        header->revision = oak_kv_state(oak_replica_kv(call->api->options.replica))->revision;
    }
    return header;
}

void api__answer(struct api_call *call, const ProtobufCMessage *response)
{
    (void)oak_stub_reply(call->stub, response); /* what fails ends the call too */
}

void api__fail(struct api_call *call, int error)
{
    oak_stub_finish(call->stub, (enum oak_rpc_code)oak_error_grpc(error), oak_error_text(error));
}

/* Each response's first field is its header. */
Etcdserverpb__ResponseHeader *api__header_of(const ProtobufCMessage *response)
{
    const ProtobufCFieldDescriptor *field = &response->descriptor->fields[0];
    OAK_ASSERT_EQ(field->id, 1);
    return *(Etcdserverpb__ResponseHeader *const *)(const void *)((const uint8_t *)response +
                                                                  field->offset);
}

void api__answer_with_header(struct api_call *call, ProtobufCMessage *response)
{
    api__header(call->api, api__header_of(response));
    api__answer(call, response);
}

static void proposed_done(struct oak_replica_request *request, int error,
                          const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    if (error != 0) {
        api__fail(call, error);
    } else {
        api__answer_with_header(call, result->response);
    }
}

int api__propose_for(struct oak_api *api, enum oak_kv_kind kind, const ProtobufCMessage *message,
                     struct oak_bytes bytes, struct oak_replica_request *request)
{
    struct oak_replica *replica = api->options.replica;
    int error = oak_kv_check(oak_replica_kv(replica), kind, message);
    if (error == 0 && api__quota_refuses(api, oak_kv_cost(kind, message))) {
        api__quota_raise(api);
        error = OAK_ENOSPACE;
    }
    if (error == 0) {
        request->deadline_ns = 0;
        error = oak_replica_propose(replica, kind, bytes, request);
    }
    return error;
}

int api__propose_made(struct oak_api *api, struct oak_arena *arena, enum oak_kv_kind kind,
                      const ProtobufCMessage *message, struct oak_replica_request *request)
{
    const struct oak_arena_mark mark = oak_arena_mark(arena);
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = oak_arena_alloc(arena, size);
    if (packed == NULL) {
        return OAK_ENOMEM;
    }
    size = protobuf_c_message_pack(message, packed);
    int error = api__propose_for(api, kind, message, oak_bytes(packed, size), request);
    oak_arena_rewind(arena, mark);
    return error;
}

void api__propose(struct api_call *call, enum oak_kv_kind kind, const ProtobufCMessage *message,
                  struct oak_bytes bytes)
{
    call->request.done = proposed_done;
    int error = api__propose_for(call->api, kind, message, bytes, &call->request);
    if (error != 0) {
        api__refuse(call, error);
    }
}

void api__refuse(struct api_call *call, int error)
{
    if (error == OAK_ENOSPACE) {
        api__quota_refuse(call);
    } else {
        api__fail(call, error);
    }
}

void api__read(struct api_call *call, api__ready_fn *ready)
{
    call->confirmed = true;
    if (oak_replica_read_now(call->api->options.replica, NULL)) {
        ready(&call->request, 0, NULL);
        return;
    }
    call->request.done = ready;
    call->request.deadline_ns = 0; /* the usual; what the client said ends the call by itself */
    int error = oak_replica_read(call->api->options.replica, &call->request);
    if (error != 0) {
        api__fail(call, error);
    }
}

bool api__read_later(struct api_call *call, int error, api__ready_fn *ready)
{
    bool later = error == OAK_EFUTUREREV && !call->confirmed;
    if (later) {
        api__read(call, ready);
    }
    return later;
}

static void call_closed(void *user, struct oak_stub_call *stub, const struct oak_rpc_status *status)
{
    struct api_call *call = oak_stub_data(stub);
    struct oak_api *api = user;
    (void)status;
    api__hashing_forget(call);
    api__quota_forget(call);
    oak_replica_forget(api->options.replica, &call->request);
    if (call->closed != NULL) {
        call->closed(call);
    }
    oak_replica_hash_forget(api->options.replica, &call->hash);
    api->options.loop->timers.stop(api->options.loop->timers.user, &call->timer);
    if (call->change != NULL) {
        api__change_leave(call->change);
    }
}

bool api__is_learner(const struct oak_api *api)
{
    Etcdserverpb__Member self;
    api__member_fill(api, api->options.id, &self);
    return self.islearner;
}

/* A learner serves what needs no vote of its own; etcd's list. */
static bool learner_refuses(const struct api_call *call)
{
    const struct oak_api *api = call->api;
    const ProtobufCMessageDescriptor *asked = call->message->descriptor;
    if (api->peer || asked == &etcdserverpb__status_request__descriptor ||
        asked == &etcdserverpb__snapshot_request__descriptor) {
        return false;
    }
    if (asked == &etcdserverpb__range_request__descriptor &&
        ((const Etcdserverpb__RangeRequest *)call->message)->serializable) {
        return false;
    }
    return api__is_learner(api);
}

struct api_call *api__begin(void *user, struct oak_stub_call *stub, const ProtobufCMessage *message)
{
    struct api_call *call = oak_arena_alloc(oak_stub_arena(stub), sizeof(*call));
    if (call == NULL) {
        oak_stub_finish(stub, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        return NULL;
    }
    const struct api_call *before = oak_stub_data(stub);
    *call = (struct api_call){.api = user, .stub = stub, .message = message};
    call->waited = before != NULL && before->waited;
    if (api__leader_wanted(stub) && !api__leader_known(call->api)) {
        api__fail(call, OAK_ENOLEADER);
        return NULL;
    }
    if (learner_refuses(call)) {
        api__fail(call, OAK_ENOTSUPPORTEDFORLEARNER);
        return NULL;
    }
    oak_stub_set_data(stub, call);
    oak_stub_on_closed(stub, call_closed);
    return call->api->peer || api__admit(call) ? call : NULL;
}

/* The cluster service at the peer port. */
static int door_make(struct oak_api *api)
{
    if (api->options.peer_server == NULL) {
        return 0;
    }
    api->door = calloc(1, sizeof(*api->door));
    if (api->door == NULL) {
        return OAK_ENOMEM;
    }
    api->door->options = api->options;
    api->door->home = api;
    api->door->peer = true;
    return etcdserverpb__cluster_add(api->options.peer_server, &api__cluster, api->door);
}

int oak_api_new(const struct oak_api_options *options, struct oak_api **out)
{
    struct oak_api *api = calloc(1, sizeof(*api));
    *out = api;
    if (api == NULL) {
        return OAK_ENOMEM;
    }
    api->options = *options;
    api->home = api;
    oak_list_init(&api->changes);
    oak_list_init(&api->snapshots);
    oak_list_init(&api->quota.refused);
    oak_list_init(&api->turns.list);
    api__leader_init(api);
    int error = api__watch_open(api);
    if (error == 0) {
        uint64_t ttl_ns = options->token_ttl_ns != 0 ? options->token_ttl_ns : TOKEN_TTL_NS;
        error = oak_token_table_new(ttl_ns, 0, &api->tokens);
    }
    if (error == 0) {
        error = etcdserverpb__kv_add(options->server, &api__kv, api);
    }
    if (error == 0) {
        error = etcdserverpb__watch_add(options->server, &api__watch, api);
    }
    if (error == 0) {
        error = etcdserverpb__auth_add(options->server, &api__auth, api);
    }
    if (error == 0) {
        error = etcdserverpb__lease_add(options->server, &api__lease, api);
    }
    if (error == 0) {
        error = etcdserverpb__cluster_add(options->server, &api__cluster, api);
    }
    if (error == 0) {
        error = etcdserverpb__maintenance_add(options->server, &api__maintenance, api);
    }
    if (error == 0) {
        error = v3lockpb__lock_add(options->server, &api__lock, api);
    }
    if (error == 0) {
        error = v3electionpb__election_add(options->server, &api__election, api);
    }
    error = error != 0 ? error : api__compaction_start(api);
    return error != 0 ? error : door_make(api);
}

bool oak_api_settle(struct oak_api *api)
{
    api__changes_stop(api);
    api__turns_drop(api);
    api__compaction_stop(api);
    oak_replica_forget(api->options.replica, &api->quota.request);
    return api->change_count == 0;
}

void oak_api_free(struct oak_api *api)
{
    OAK_ASSERT_EQ(api->change_count, 0);
    OAK_ASSERT_EQ(api->turns.count, 0);
    api__watch_close(api);
    api__leader_fini(api);
    OAK_ASSERT_EQ(api->hashing, 0);
    OAK_ASSERT_EQ(api->snapshot_count, 0);
    if (api->tokens != NULL) {
        oak_token_table_free(api->tokens);
    }
    api__compactor_fini(&api->compaction.compactor);
    free(api->door);
    free(api);
}
