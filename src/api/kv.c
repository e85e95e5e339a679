/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c: etcdserverpb.KV but for Range (range.c). Writes go through the log with their bytes as they
 * came; reads wait for a read index unless they are asked to be serializable.
 *
 * Source: the etcd v3 API, "KV". What is checked before proposing and what only when applying is
 * told in kv/kv.h.
 */
#include "api/internal.h"

void api__write(struct api_call *call, enum oak_kv_kind kind)
{
    api__propose(call, kind, call->message, oak_stub_bytes(call->stub));
}

static void put(void *user, struct oak_stub_call *stub, const Etcdserverpb__PutRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__write(call, OAK_KV_PUT);
    }
}

static void delete_range(void *user, struct oak_stub_call *stub,
                         const Etcdserverpb__DeleteRangeRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__write(call, OAK_KV_DELETE);
    }
}

static void compact(void *user, struct oak_stub_call *stub,
                    const Etcdserverpb__CompactionRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__write(call, OAK_KV_COMPACT);
    }
}

static void txn_ready(struct oak_replica_request *request, int error,
                      const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    Etcdserverpb__TxnResponse *response = NULL;
    error = error != 0 ? error : api__permit_again(call);
    if (error == 0) {
        error = oak_kv_txn_read(oak_replica_kv(call->api->options.replica),
                                (const Etcdserverpb__TxnRequest *)call->message, api__arena(call),
                                &response);
    }
    if (api__read_later(call, error, txn_ready)) {
        return;
    }
    if (error != 0) {
        api__fail(call, error);
    } else {
        api__answer_with_header(call, &response->base);
    }
}

static void txn(void *user, struct oak_stub_call *stub, const Etcdserverpb__TxnRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    bool serializable = false;
    if (!oak_kv_txn_is_read(request, &serializable)) {
        api__write(call, OAK_KV_TXN);
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

const struct etcdserverpb__kv_handlers api__kv = {
    .range = api__range,
    .range_stream = {.request = api__range_stream},
    .put = put,
    .delete_range = delete_range,
    .txn = txn,
    .compact = compact,
};
