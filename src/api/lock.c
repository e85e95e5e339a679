/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c: v3lockpb.Lock: whoever waits, by turn.c; and the end of a lock, which is the end of its
 * key.
 *
 * Source  the etcd v3 API, "Lock".
 * Thread  the loop's.
 */
#include "api/turn.h"

static void won(const struct api_turn *turn, struct api_call *call,
                Etcdserverpb__ResponseHeader *header)
{
    V3lockpb__LockResponse response = V3LOCKPB__LOCK_RESPONSE__INIT;
    response.header = header;
    response.key = oak_proto_binary(turn->contest.key);
    api__answer(call, &response.base);
}

static void lock(void *user, struct oak_stub_call *stub, const V3lockpb__LockRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        const struct api_turn_wish wish = {
            .name = oak_proto_bytes(request->name),
            .lease = request->lease,
            .won = won,
            .gone = OAK_ESESSIONEXPIRED,
        };
        api__turn_begin(call, &wish);
    }
}

static void unlocked(struct oak_replica_request *request, int error,
                     const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    V3lockpb__UnlockResponse response = V3LOCKPB__UNLOCK_RESPONSE__INIT;
    if (error != 0) {
        api__fail(call, error);
    } else {
        response.header = api__header_of(result->response);
        api__answer_with_header(call, &response.base);
    }
}

static void unlock(void *user, struct oak_stub_call *stub, const V3lockpb__UnlockRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    Etcdserverpb__DeleteRangeRequest remove = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    remove.key = request->key;
    call->request.done = unlocked;
    int error =
        api__propose_made(call->api, api__arena(call), OAK_KV_DELETE, &remove.base, &call->request);
    if (error != 0) {
        api__refuse(call, error);
    }
}

const struct v3lockpb__lock_handlers api__lock = {
    .lock = lock,
    .unlock = unlock,
};
