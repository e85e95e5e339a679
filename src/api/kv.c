/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c: etcdserverpb.KV. Writes go through the log with their bytes as they came; reads wait for a
 * read index unless they are asked to be serializable.
 *
 * Source: the etcd v3 API, "KV". What is checked before proposing and what only when applying is
 * told in kv/kv.h.
 */
#include "api/internal.h"

/* Each response's first field is its header. */
static Etcdserverpb__ResponseHeader *header_of(ProtobufCMessage *response)
{
    const ProtobufCFieldDescriptor *field = &response->descriptor->fields[0];
    OAK_ASSERT_EQ(field->id, 1);
    return *(Etcdserverpb__ResponseHeader **)(void *)((uint8_t *)response + field->offset);
}

static void answer_with_header(struct api_call *call, ProtobufCMessage *response)
{
    api__header(call->api, header_of(response));
    api__answer(call, response);
}

static void write_done(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    if (error != 0) {
        api__fail(call, error);
    } else {
        answer_with_header(call, result->response);
    }
}

static void write_propose(struct api_call *call, enum oak_kv_kind kind)
{
    struct oak_replica *replica = call->api->options.replica;
    int error = oak_kv_check(oak_replica_kv(replica), kind, call->message);
    if (error == 0) {
        call->request.done = write_done;
        call->request.deadline_ns = 0;
        error = oak_replica_propose(replica, kind, call->bytes, &call->request);
    }
    if (error != 0) {
        api__fail(call, error);
    }
}

static void put_handle(struct api_call *call)
{
    write_propose(call, OAK_KV_PUT);
}

static void delete_handle(struct api_call *call)
{
    write_propose(call, OAK_KV_DELETE);
}

static void compact_handle(struct api_call *call)
{
    write_propose(call, OAK_KV_COMPACT);
}

static void range_ready(struct oak_replica_request *request, int error,
                        const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    Etcdserverpb__RangeResponse *response = NULL;
    if (error == 0) {
        error = oak_kv_range(oak_replica_kv(call->api->options.replica),
                             (const Etcdserverpb__RangeRequest *)call->message, &call->arena,
                             &response);
    }
    if (error != 0) {
        api__fail(call, error);
    } else {
        answer_with_header(call, &response->base);
    }
}

static void range_handle(struct api_call *call)
{
    const Etcdserverpb__RangeRequest *range = (const Etcdserverpb__RangeRequest *)call->message;
    int error = oak_kv_check_range(range);
    if (error != 0) {
        api__fail(call, error);
    } else if (range->serializable) {
        range_ready(&call->request, 0, NULL);
    } else {
        api__read(call, range_ready);
    }
}

static void txn_ready(struct oak_replica_request *request, int error,
                      const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    Etcdserverpb__TxnResponse *response = NULL;
    if (error == 0) {
        error = oak_kv_txn_read(oak_replica_kv(call->api->options.replica),
                                (const Etcdserverpb__TxnRequest *)call->message, &call->arena,
                                &response);
    }
    if (error != 0) {
        api__fail(call, error);
    } else {
        answer_with_header(call, &response->base);
    }
}

static void txn_handle(struct api_call *call)
{
    const Etcdserverpb__TxnRequest *txn = (const Etcdserverpb__TxnRequest *)call->message;
    bool serializable = false;
    if (!oak_kv_txn_is_read(txn, &serializable)) {
        write_propose(call, OAK_KV_TXN);
        return;
    }
    const struct oak_kv *kv = oak_replica_kv(call->api->options.replica);
    int error = oak_kv_check(kv, OAK_KV_TXN, call->message);
    if (error != 0) {
        api__fail(call, error);
    } else if (serializable) {
        txn_ready(&call->request, 0, NULL);
    } else {
        api__read(call, txn_ready);
    }
}

#define SERVICE "etcdserverpb.KV"
const struct api_method api__kv_methods[5] = {
    {SERVICE, "Range", OAK_RPC_UNARY, &etcdserverpb__range_request__descriptor, range_handle},
    {SERVICE, "Put", OAK_RPC_UNARY, &etcdserverpb__put_request__descriptor, put_handle},
    {SERVICE, "DeleteRange", OAK_RPC_UNARY, &etcdserverpb__delete_range_request__descriptor,
     delete_handle},
    {SERVICE, "Txn", OAK_RPC_UNARY, &etcdserverpb__txn_request__descriptor, txn_handle},
    {SERVICE, "Compact", OAK_RPC_UNARY, &etcdserverpb__compaction_request__descriptor,
     compact_handle},
};
