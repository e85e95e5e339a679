/* SPDX-License-Identifier: Apache-2.0 */
/* propagate.c: calls that are made for the sake of another one: they end when it does, have no more
 * time than it has, and carry its trace on.
 *
 * Happy path   a request names its parent: the earlier deadline holds, headers of tracing are
 *              copied unless the request has its own, and the new call follows the parent.
 * Can fail     the parent has ended already (OAK_ECLOSED), or can't be followed.
 * Invariants   a follower is in the list of one call or of none; `back` is NULL when of none. A
 *              call that ends empties its list, telling each.
 * Thread       both calls are of one loop.
 */
#include "rpc/internal.h"

int oak_rpc_call_follow(struct oak_rpc_call *call, struct oak_rpc_follower *follower)
{
    OAK_ASSERT(follower->ended != NULL && follower->back == NULL);
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->follow != NULL ? carrier->follow(call, follower) : OAK_EUNIMPLEMENTED;
    }
    if (call->ended) {
        return OAK_ECLOSED;
    }
    oak_rpc_followers_join(&call->followers, follower);
    return 0;
}

void oak_rpc_follower_leave(struct oak_rpc_follower *follower)
{
    if (follower->back == NULL) {
        return;
    }
    *follower->back = follower->next;
    if (follower->next != NULL) {
        follower->next->back = follower->back;
    }
    follower->next = NULL;
    follower->back = NULL;
}

void oak_rpc_followers_join(struct oak_rpc_follower **list, struct oak_rpc_follower *follower)
{
    OAK_ASSERT(follower->back == NULL);
    follower->next = *list;
    follower->back = list;
    if (follower->next != NULL) {
        follower->next->back = &follower->next;
    }
    *list = follower;
}

void oak_rpc_followers_tell(struct oak_rpc_follower **list)
{
    while (*list != NULL) {
        struct oak_rpc_follower *follower = *list;
        oak_rpc_follower_leave(follower);
        follower->ended(follower);
    }
}

static void parent_ended(struct oak_rpc_follower *follower)
{
    oak_rpc_call_cancel(OAK_CONTAINER_OF(follower, struct oak_rpc_call, following));
}

/* W3C's, gRPC's own, and those that Envoy and Istio need to join the parts of a trace. */
static bool is_trace(struct oak_bytes name)
{
    static const char *const names[] = {
        "traceparent",  "tracestate",  "grpc-trace-bin",    "x-request-id", "b3",
        "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if (oak_bytes_eq(name, oak_bytes_str(names[i]))) {
            return true;
        }
    }
    return false;
}

static bool request_has(const struct oak_rpc_request *request, struct oak_bytes name)
{
    for (size_t i = 0; i < request->metadata_count; i++) {
        if (oak_bytes_eq(request->metadata[i].name, name)) {
            return true;
        }
    }
    return false;
}

int rpc__propagate(struct oak_rpc_call *call, const struct oak_rpc_request *request)
{
    const struct oak_rpc_call *parent = request->parent;
    struct oak_rpc_pair pair;
    size_t at = 0;
    int error = 0;
    while (error == 0 && oak_rpc_call_metadata_next(parent, OAK_RPC_HEADERS, &at, &pair)) {
        if (is_trace(pair.name) && !request_has(request, pair.name)) {
            error = rpc__pairs_add_user(&call->head, pair);
        }
    }
    uint64_t deadline_ns = oak_rpc_call_deadline_ns(parent);
    if (deadline_ns != 0 && (call->deadline_ns == 0 || deadline_ns < call->deadline_ns)) {
        call->deadline_ns = deadline_ns;
    }
    if (error == 0) {
        call->following.ended = parent_ended;
        error = oak_rpc_call_follow(request->parent, &call->following);
    }
    return error;
}
