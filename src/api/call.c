/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: what all methods share: a call's memory, decoding, answers and failures.
 *
 * A call's struct lives from `start` to `closed`. A request that still waits in the replica when
 * its client goes is forgotten there. Calls are kept for reuse, with the first chunk of their
 * arena.
 */
#include "api/internal.h"

#include <stdlib.h>

#define ARENA_CHUNK    (4 * OAK_KIB)
#define KEPT_CALLS_MAX 1024

struct api_call *api__call_of(struct oak_replica_request *request)
{
    return OAK_CONTAINER_OF(request, struct api_call, request);
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
    Etcdserverpb__ResponseHeader *header = oak_arena_alloc(&call->arena, sizeof(*header));
    if (header != NULL) {
        etcdserverpb__response_header__init(header);
        api__header(call->api, header);
        header->revision = oak_kv_state(oak_replica_kv(call->api->options.replica))->revision;
    }
    return header;
}

void api__answer(struct api_call *call, const ProtobufCMessage *response)
{
    OAK_ASSERT(!call->answered);
    call->answered = true;
    size_t size = protobuf_c_message_get_packed_size(response);
    uint8_t *out = oak_rpc_call_send_into(call->rpc, size);
    if (out == NULL) {
        oak_rpc_call_finish(call->rpc, OAK_RPC_RESOURCE_EXHAUSTED,
                            "the response is larger than what may be queued for one client");
        return;
    }
    size_t packed = protobuf_c_message_pack(response, out);
    OAK_ASSERT_EQ(packed, size);
    if (call->method->kind == OAK_RPC_UNARY) {
        oak_rpc_call_finish(call->rpc, OAK_RPC_OK, NULL);
    }
}

void api__fail(struct api_call *call, int error)
{
    OAK_ASSERT(!call->answered);
    call->answered = true;
    oak_rpc_call_finish(call->rpc, (enum oak_rpc_code)oak_error_grpc(error), oak_error_text(error));
}

void api__read(struct api_call *call, void (*ready)(struct oak_replica_request *request, int error,
                                                    const struct oak_kv_result *result))
{
    if (oak_replica_read_now(call->api->options.replica, NULL)) {
        ready(&call->request, 0, NULL);
        return;
    }
    call->request.done = ready;
    call->request.deadline_ns = oak_rpc_call_deadline_ns(call->rpc);
    int error = oak_replica_read(call->api->options.replica, &call->request);
    if (error != 0) {
        api__fail(call, error);
    }
}

/* `hasleader: true` (etcd's clientv3.WithRequireLeader): refuse at once when there is none. */
static bool leader_missing(const struct api_call *call)
{
    struct oak_bytes wanted = oak_rpc_call_metadata(call->rpc, "hasleader");
    if (wanted.data == NULL || !oak_bytes_eq(wanted, oak_bytes_str("true"))) {
        return false;
    }
    struct oak_replica_status status;
    oak_replica_status(call->api->options.replica, &status);
    return status.raft.leader == 0;
}

static void call_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct api_call *call = user;
    if (call->answered) {
        return;
    }
    OAK_ASSERT(call->rpc == rpc);
    if (leader_missing(call)) {
        api__fail(call, OAK_ENOLEADER);
        return;
    }
    call->arena.ceiling = OAK_DECODE_BYTES_MAX;
    int error = oak_proto_unpack(call->method->request, bytes, &call->arena, &call->message);
    call->arena.ceiling = OAK_RESPONSE_BYTES_MAX;
    if (error != 0) {
        call->answered = true;
        if (error == OAK_EFORMAT) {
            oak_rpc_call_finish(rpc, OAK_RPC_INTERNAL,
                                "grpc: error unmarshalling request: the message is malformed");
        } else {
            oak_rpc_call_finish(rpc, OAK_RPC_RESOURCE_EXHAUSTED,
                                "the request needs too much memory to be decoded");
        }
        return;
    }
    call->bytes = bytes;
    call->method->handle(call);
    call->bytes = oak_bytes(NULL, 0);
}

static void call_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct api_call *call = user;
    struct oak_api *api = call->api;
    (void)rpc;
    (void)status;
    call->rpc = NULL;
    oak_replica_forget(api->options.replica, &call->request);
    api->open_calls--;
    if (api->kept_calls < KEPT_CALLS_MAX) {
        oak_arena_reset(&call->arena);
        oak_list_push(&api->free_calls, &call->link);
        api->kept_calls++;
    } else {
        oak_arena_fini(&call->arena);
        free(call);
    }
}

static const struct oak_rpc_handler call_handler = {
    .message = call_message,
    .closed = call_closed,
};

static void refused_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    (void)user;
    (void)rpc;
    (void)bytes;
}

static void refused_closed(void *user, struct oak_rpc_call *rpc,
                           const struct oak_rpc_status *status)
{
    (void)user;
    (void)rpc;
    (void)status;
}

static const struct oak_rpc_handler refused_handler = {
    .message = refused_message,
    .closed = refused_closed,
};

static struct api_call *call_new(struct oak_api *api)
{
    struct oak_list *node = oak_list_pop(&api->free_calls);
    if (node != NULL) {
        api->kept_calls--;
        return OAK_LIST_ENTRY(node, struct api_call, link);
    }
    struct api_call *call = calloc(1, sizeof(*call));
    if (call != NULL) {
        oak_arena_init(&call->arena, ARENA_CHUNK, OAK_DECODE_BYTES_MAX);
    }
    return call;
}

static void call_start(void *user, struct oak_rpc_call *rpc)
{
    struct api_entry *entry = user;
    struct api_call *call = call_new(entry->api);
    if (call == NULL) {
        oak_rpc_call_handle(rpc, &refused_handler, NULL);
        oak_rpc_call_finish(rpc, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        return;
    }
    call->api = entry->api;
    call->method = entry->method;
    call->rpc = rpc;
    call->message = NULL;
    call->answered = false;
    call->request = (struct oak_replica_request){0};
    entry->api->open_calls++;
    oak_rpc_call_handle(rpc, &call_handler, call);
}

int api__register(struct oak_api *api, const struct api_method *methods, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        OAK_ASSERT_LT(api->entry_count, API_METHODS_MAX);
        struct api_entry *entry = &api->entries[api->entry_count++];
        *entry = (struct api_entry){.api = api, .method = &methods[i]};
        const struct oak_rpc_method method = {
            .service = methods[i].service,
            .name = methods[i].name,
            .kind = methods[i].kind,
            .start = call_start,
            .user = entry,
        };
        int error = oak_rpc_server_add(api->options.server, &method);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int oak_api_new(const struct oak_api_options *options, struct oak_api **out)
{
    struct oak_api *api = calloc(1, sizeof(*api));
    if (api == NULL) {
        return OAK_ENOMEM;
    }
    api->options = *options;
    oak_list_init(&api->free_calls);
    int error = api__register(api, api__kv_methods, OAK_COUNT_OF(api__kv_methods));
    if (error == 0) {
        error = api__register(api, api__cluster_methods, OAK_COUNT_OF(api__cluster_methods));
    }
    if (error == 0) {
        error =
            api__register(api, api__maintenance_methods, OAK_COUNT_OF(api__maintenance_methods));
    }
    if (error != 0) {
        free(api);
        return error;
    }
    *out = api;
    return 0;
}

void oak_api_free(struct oak_api *api)
{
    OAK_ASSERT_EQ(api->open_calls, 0);
    while (!oak_list_empty(&api->free_calls)) {
        struct api_call *call =
            OAK_LIST_ENTRY(oak_list_pop(&api->free_calls), struct api_call, link);
        oak_arena_fini(&call->arena);
        free(call);
    }
    free(api);
}
