/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one call in the hands of the api. */
#ifndef OAK_API_INTERNAL_H
#define OAK_API_INTERNAL_H

#include <proto/rpc.oak.h>

#include "api/api.h"
#include "oakum/stub.h"

/* Lies in the memory of its stub call, beside the request, and goes with it. */
struct api_call {
    struct oak_api *api;
    struct oak_stub_call *stub;
    const ProtobufCMessage *message; /* the request */
    struct oak_replica_request request;
};

struct oak_api {
    struct oak_api_options options;
};

/* call.c */
/* A handler begins. NULL: the call has been refused. The request of the replica is forgotten when
 * the client goes. */
struct api_call *api__begin(void *user, struct oak_stub_call *stub,
                            const ProtobufCMessage *message);
/* Each ends the call. */
void api__answer(struct api_call *call, const ProtobufCMessage *response);
void api__fail(struct api_call *call, int error);
/* Where the response is built. */
struct oak_arena *api__arena(struct api_call *call);
/* Fill cluster, member and term; the revision is the handler's. */
void api__header(const struct oak_api *api, Etcdserverpb__ResponseHeader *header);
/* A new header in the call's arena, with the current revision; NULL without memory. */
Etcdserverpb__ResponseHeader *api__header_new(struct api_call *call);
/* Call `ready`, at once by a lease or once there is a read index; the call fails by itself if
 * neither can be had. What is answered tells of the revision, in its header: of all keys. */
void api__read(struct api_call *call, void (*ready)(struct oak_replica_request *request, int error,
                                                    const struct oak_kv_result *result));
/* The call of a request whose `done` runs. */
struct api_call *api__call_of(struct oak_replica_request *request);

/* cluster.c */
/* Whom a configuration names, in order, into OAK_PEERS_MAX places. */
size_t api__member_ids(const struct oak_raft_config *config, uint64_t *out);
/* The members as clients see them; texts are borrowed until something is applied. */
OAK_MUST_USE int api__members(const struct oak_api *api, struct oak_arena *arena,
                              Etcdserverpb__Member ***out, size_t *count);
/* A header without a revision; NULL without memory. */
Etcdserverpb__ResponseHeader *api__cluster_header(struct api_call *call);

extern const struct etcdserverpb__kv_handlers api__kv;
extern const struct etcdserverpb__cluster_handlers api__cluster;
extern const struct etcdserverpb__maintenance_handlers api__maintenance;

#endif
