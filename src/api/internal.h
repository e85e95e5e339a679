/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one call in the hands of the api. */
#ifndef OAK_API_INTERNAL_H
#define OAK_API_INTERNAL_H

#include "api/api.h"

struct api_call;

/* How a method is served. `handle` ends the call with api__answer or api__fail, now or later. */
struct api_method {
    const char *service;
    const char *name;
    enum oak_rpc_kind kind;
    const ProtobufCMessageDescriptor *request;
    void (*handle)(struct api_call *call);
};

/* A method as it is registered: what `start` gets as its user. */
struct api_entry {
    struct oak_api *api;
    const struct api_method *method;
};

struct api_call {
    struct oak_list link; /* free list */
    struct oak_api *api;
    const struct api_method *method;
    struct oak_rpc_call *rpc; /* NULL once it is closed */
    struct oak_arena arena;   /* request and response */
    ProtobufCMessage *message;
    struct oak_bytes bytes; /* the request as it came; borrowed during `handle` only */
    struct oak_replica_request request;
    bool answered;
};

#define API_METHODS_MAX 16

struct oak_api {
    struct oak_api_options options;
    struct api_entry entries[API_METHODS_MAX];
    size_t entry_count;
    struct oak_list free_calls;
    size_t open_calls;
    size_t kept_calls;
};

/* call.c */
void api__answer(struct api_call *call, const ProtobufCMessage *response);
void api__fail(struct api_call *call, int error);
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
int api__register(struct oak_api *api, const struct api_method *methods, size_t count);

extern const struct api_method api__kv_methods[5];
extern const struct api_method api__cluster_methods[1];
extern const struct api_method api__maintenance_methods[2];

#endif
