/* SPDX-License-Identifier: Apache-2.0 */
/* election.c: v3electionpb.Election but for Observe (observe.c). Whoever campaigns waits by turn.c;
 * the rest is one transaction on the leader's key, or a look at the first.
 *
 * Source  the etcd v3 API, "Election".
 * Thread  the loop's.
 */
#include "api/turn.h"

/* As a session of etcd's that names no lease. */
#define LEASE_TTL_S 60

/* -- Campaign ---------------------------------------------------------------------------------- */

static void won(const struct api_turn *turn, struct api_call *call,
                Etcdserverpb__ResponseHeader *header)
{
    V3electionpb__CampaignResponse response = V3ELECTIONPB__CAMPAIGN_RESPONSE__INIT;
    V3electionpb__LeaderKey leader = V3ELECTIONPB__LEADER_KEY__INIT;
    leader.name = oak_proto_binary(turn->wish.name);
    leader.key = oak_proto_binary(turn->contest.key);
    leader.rev = turn->create_rev;
    leader.lease = turn->lease;
    response.header = header;
    response.leader = &leader;
    api__answer(call, &response.base);
}

static void campaign(void *user, struct oak_stub_call *stub,
                     const V3electionpb__CampaignRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        const struct api_turn_wish wish = {
            .name = oak_proto_bytes(request->name),
            .lease = request->lease,
            .value = oak_proto_bytes(request->value),
            .says = true,
            .won = won,
            .gone = OAK_ENOTELECTED,
        };
        api__turn_begin(call, &wish);
    }
}

/* -- Proclaim ---------------------------------------------------------------------------------- */

static const V3electionpb__ProclaimRequest *proclaim_of(const struct api_call *call)
{
    return (const V3electionpb__ProclaimRequest *)call->message;
}

static void proclaimed(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    V3electionpb__ProclaimResponse response = V3ELECTIONPB__PROCLAIM_RESPONSE__INIT;
    if (error == 0 && !((const Etcdserverpb__TxnResponse *)result->response)->succeeded) {
        error = OAK_ENOTELECTED;
    }
    if (error != 0) {
        api__fail(call, error);
    } else {
        response.header = api__header_of(result->response);
        api__answer_with_header(call, &response.base);
    }
}

static void claim_of(const struct api_call *call, int64_t lease, struct api_claim *claim)
{
    const V3electionpb__LeaderKey *leader = proclaim_of(call)->leader;
    api__claim_put(claim, oak_proto_bytes(leader->key), leader->rev,
                   oak_proto_bytes(proclaim_of(call)->value), lease, false);
}

static void propose_value(struct api_call *call, int64_t lease)
{
    struct api_claim claim;
    claim_of(call, lease, &claim);
    call->request.done = proclaimed;
    int error =
        api__propose_made(call->api, api__arena(call), OAK_KV_TXN, &claim.txn.base, &call->request);
    if (error != 0) {
        api__refuse(call, error);
    }
}

static void lease_granted(struct oak_replica_request *request, int error,
                          const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    if (error != 0) {
        api__fail(call, error);
    } else {
        propose_value(call, ((const Etcdserverpb__LeaseGrantResponse *)result->response)->id);
    }
}

/* The leader's key loses the lease that it had, and gets a new one, as etcd gives it. */
static void propose_lease(struct api_call *call)
{
    const struct oak_api *api = call->api;
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    struct api_claim claim;
    grant.id = api__lease_choose(api);
    grant.ttl = OAK_MAX(LEASE_TTL_S, oak_replica_lease_ttl_min(api->options.replica));
    claim_of(call, grant.id, &claim);
    int error = oak_kv_check(oak_replica_kv(api->options.replica), OAK_KV_TXN, &claim.txn.base);
    if (error == 0) {
        call->request.done = lease_granted;
        error = api__propose_made(call->api, api__arena(call), OAK_KV_LEASE_GRANT, &grant.base,
                                  &call->request);
    }
    if (error != 0) {
        api__refuse(call, error);
    }
}

static void proclaim(void *user, struct oak_stub_call *stub,
                     const V3electionpb__ProclaimRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    if (request->leader == NULL) {
        api__fail(call, OAK_ELEADERKEYMISSING);
    } else if (request->leader->lease == 0) {
        propose_lease(call);
    } else {
        propose_value(call, request->leader->lease);
    }
}

/* -- Resign ------------------------------------------------------------------------------------ */

static void resigned(struct oak_replica_request *request, int error,
                     const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    V3electionpb__ResignResponse response = V3ELECTIONPB__RESIGN_RESPONSE__INIT;
    if (error != 0) {
        api__fail(call, error);
    } else {
        response.header = api__header_of(result->response);
        api__answer_with_header(call, &response.base);
    }
}

static void resign(void *user, struct oak_stub_call *stub,
                   const V3electionpb__ResignRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    if (request->leader == NULL) {
        api__fail(call, OAK_ELEADERKEYMISSING);
        return;
    }
    struct api_claim claim;
    api__claim_remove(&claim, oak_proto_bytes(request->leader->key), request->leader->rev);
    call->request.done = resigned;
    int error =
        api__propose_made(call->api, api__arena(call), OAK_KV_TXN, &claim.txn.base, &call->request);
    if (error != 0) {
        api__refuse(call, error);
    }
}

/* -- Leader ------------------------------------------------------------------------------------ */

static void look_ready(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    const V3electionpb__LeaderRequest *asked = (const V3electionpb__LeaderRequest *)call->message;
    V3electionpb__LeaderResponse response = V3ELECTIONPB__LEADER_RESPONSE__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    struct api_contest contest;
    (void)result;
    error = error != 0 ? error : api__permit_again(call);
    if (error == 0) {
        error = api__contest_of(api__arena(call), oak_proto_bytes(asked->name), 0, &contest);
    }
    if (error == 0) {
        error = api__contest_leader(call->api->options.store, &contest, &kv);
        error = error == OAK_ENOENT ? OAK_ENOLEADERELECTED : error;
    }
    response.header = error == 0 ? api__header_new(call) : NULL;
    response.kv = &kv;
    if (error != 0 || response.header == NULL) {
        api__fail(call, error != 0 ? error : OAK_ENOMEM);
    } else {
        api__answer(call, &response.base);
    }
}

static void leader(void *user, struct oak_stub_call *stub,
                   const V3electionpb__LeaderRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__read(call, look_ready);
    }
}

const struct v3electionpb__election_handlers api__election = {
    .campaign = campaign,
    .proclaim = proclaim,
    .leader = leader,
    .observe = {.request = api__observe},
    .resign = resign,
};
