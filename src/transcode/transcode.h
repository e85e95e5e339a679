/* SPDX-License-Identifier: Apache-2.0 */
/* transcode.h: the methods of a gRPC server as paths of an HTTP server, messages as JSON.
 *
 *     POST /v3/kv/range {"key":"Zm9v"}  ->  etcdserverpb.KV/Range  ->  200 {"kvs":[...]}
 *
 * A table says which path is which method. A method sees an ordinary struct oak_rpc_call and cannot
 * tell; one that is not registered is answered with UNIMPLEMENTED, and works once it is. All four
 * kinds are served: a body may hold several messages behind each other, which are the request's
 * stream; what a method streams goes out as a line for each message, {"result":...}, as it comes.
 * A client that goes away cancels its call.
 *
 * JSON is protobuf's, with names of fields as in the .proto file; both ways of writing them are
 * understood, and members that are no field are passed over.
 *
 * Headers: "Grpc-Metadata-NAME: value" is metadata of the call, "Authorization" is, too (and is its
 * "token", if there is none), those that HTTP knows are "grpcgateway-NAME"; "Grpc-Timeout" is its
 * deadline.
 *
 * Errors: the status of HTTP that stands for gRPC's, and {"error":TEXT,"message":TEXT,"code":N}.
 * Within a stream a last line, {"error":{...}}.
 *
 * Threads: one loop.
 */
#ifndef OAK_TRANSCODE_H
#define OAK_TRANSCODE_H

#include "http/http.h"
#include "oakum/rpc.h"

struct oak_transcode;

struct oak_transcode_route {
    const char *path; /* behind the prefix: "kv/range" */
    const char *service;
    const char *method;
};

/* All that is pointed to is borrowed for as long as the door. */
struct oak_transcode_options {
    const struct oak_loop *loop;
    struct oak_http_server *http;         /* the prefixes are added here */
    const struct oak_rpc_server *methods; /* asked for each call */
    const char *const *prefixes;          /* "/v3/": each has all routes */
    size_t prefix_count;
    const struct oak_transcode_route *routes;
    size_t route_count;
    size_t request_bytes_max; /* of a message; 0: OAK_REQUEST_BYTES_MAX and its overhead */
    size_t reply_bytes_max;   /* of a message's text; 0: OAK_TRANSCODE_REPLY_BYTES_MAX */
    size_t held_bytes_max;    /* of all answers under way; 0: OAK_TRANSCODE_HELD_BYTES_MAX */
    uint32_t calls_max;       /* under way; 0: OAK_HANDLERS_MAX */
};

/* OAK_ENOMEM; OAK_EEXIST, OAK_EINVAL: as oak_http_server_add says of a prefix. */
OAK_MUST_USE int oak_transcode_new(const struct oak_transcode_options *options,
                                   struct oak_transcode **out);
/* All connections of the HTTP server must be closed. NULL is fine. */
void oak_transcode_free(struct oak_transcode *door);

struct oak_transcode_traffic {
    uint64_t started;     /* calls that a method was given */
    uint64_t handled[17]; /* of them, that have ended: by status */
    uint64_t refused;     /* requests that no method saw */
    uint64_t abandoned;   /* calls whose client went away */
    uint64_t received;    /* messages */
    uint64_t sent;
    size_t calls; /* under way */
};
void oak_transcode_traffic(const struct oak_transcode *door, struct oak_transcode_traffic *out);

#endif
