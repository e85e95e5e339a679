/* SPDX-License-Identifier: Apache-2.0 */
/* jsonrpc.h: JSON-RPC over the methods of a gRPC server, for clients that have no gRPC.
 *
 *     oak_rpc_server_new(loop, NULL, &server);            methods are added to it as ever
 *     oak_jsonrpc_server_new(loop, server, NULL, &door);
 *     oak_runtime_listen_jsonrpc(rt, door, "127.0.0.1:50052", NULL, &listener, &e);
 *
 * A connection is a stream of JSON texts, one behind the other, with space or nothing between them.
 * Each is a request of JSON-RPC 1.0, as Go's net/rpc/jsonrpc speaks it, or of 2.0 (it has a member
 * "jsonrpc"), or a batch of the latter; many may be under way, and each reply goes out when it is
 * there, as one line. Messages are protobuf's as JSON: 64 bits as text, bytes as base64.
 *
 *     {"method":"KV.Put","params":[{"key":"YQ==","value":"MQ=="}],"id":7}
 *     {"id":7,"result":{"header":{"revision":"2"}},"error":null}
 *
 *     {"jsonrpc":"2.0","method":"etcdserverpb.KV/Put","params":{"key":"YQ=="},"id":"a"}
 *     {"jsonrpc":"2.0","result":{"header":{"revision":"3"}},"id":"a"}
 *
 * Methods. "package.Service.Method" or "package.Service/Method"; "Service.Method" without the
 * package while only one service of that name has the method. Unary ones, of services that
 * generated code has added (stub.h).
 * Params. 1.0: an array of at most one message. 2.0: the message, or such an array, or nothing.
 * An id goes back as it was written. A notification (1.0: "id" is null; 2.0: there is none) is
 * never answered.
 *
 * Errors. 1.0: the text that grpc-go gives a status, "rpc error: code = NotFound desc = ...", or
 * what is wrong with the request. 2.0: -32700, -32600, -32601 (no such method, or one that streams)
 * and -32602 as the specification has them; a status of gRPC is -32000 less its number, -32005 for
 * NOT_FOUND, with "data" {"code":5,"status":"NotFound"}, and "details" in base64 if there are any.
 * What is no JSON is answered, and ends the connection.
 *
 * A peer that doesn't read its replies, or has too much under way, is not read from. What is not
 * answered when the connection ends is cancelled: keep it open until the replies are there.
 *
 * Interceptors of the gRPC server don't see calls of this door: give it its own.
 *
 * Sources: JSON-RPC 1.0 and 2.0 specifications; Go's net/rpc/jsonrpc.
 *
 * Threads: the loop's.
 */
#ifndef OAKUM_JSONRPC_H
#define OAKUM_JSONRPC_H

#include "oakum/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct oak_jsonrpc_server;

struct oak_jsonrpc_options {
    uint64_t timeout_ns; /* of a call: DEADLINE_EXCEEDED. 0: 60 s; OAK_RPC_NEVER_NS */
    /* A connection on which nothing is under way is closed after so long. 0: 1 h, as clients of Go
     * don't connect again; OAK_RPC_NEVER_NS */
    uint64_t idle_ns;
    uint32_t connections_max; /* 0: 1024 */
    /* Calls under way on a connection; past it no more is read. Those of a batch may go beyond. 0:
     * 1024 */
    uint32_t calls_max;
    uint32_t batch_max;       /* requests in one batch; 0: 1024 */
    size_t message_bytes_max; /* of the text of a request or a batch; 0: 4 MiB */
    size_t request_bytes_max; /* of one request as protobuf; 0: 2 MiB */
    size_t reply_bytes_max;   /* of one reply, as protobuf and as text; 0: 64 MiB */
    /* As those of a gRPC server: borrowed as long as the door, at most OAK_RPC_INTERCEPTORS_MAX. */
    const struct oak_rpc_interceptor *interceptors;
    size_t interceptor_count;
};

/* A door to the methods of `methods`, also to those that are added later. Both of the same loop.
 * OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_jsonrpc_server_new(const struct oak_loop *loop,
                                                const struct oak_rpc_server *methods,
                                                const struct oak_jsonrpc_options *options,
                                                struct oak_jsonrpc_server **out);
/* All connections must be closed; before the server whose methods it has. NULL is fine. */
OAK_API void oak_jsonrpc_server_free(struct oak_jsonrpc_server *server);
/* Serve a stream. On an error (OAK_ELIMIT: too many connections, OAK_ECLOSED: draining, OAK_ENOMEM)
 * it stays the caller's. */
OAK_API OAK_MUST_USE int oak_jsonrpc_serve(struct oak_jsonrpc_server *server,
                                           struct oak_stream *stream);
/* Read no more; end connections once their calls are answered, and the rest after `grace_ns`. */
OAK_API void oak_jsonrpc_server_drain(struct oak_jsonrpc_server *server, uint64_t grace_ns);
OAK_API size_t oak_jsonrpc_server_connections(const struct oak_jsonrpc_server *server);

/* What a door counts (metrics). */
struct oak_jsonrpc_traffic {
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t started;     /* calls that a method was given */
    uint64_t handled[17]; /* of them, by status code */
    uint64_t refused;     /* requests that came to no method: malformed, unknown, too large */
    uint64_t abandoned;   /* calls whose connection ended before their answer */
};
OAK_API void oak_jsonrpc_server_traffic(const struct oak_jsonrpc_server *server,
                                        struct oak_jsonrpc_traffic *out);

#ifdef __cplusplus
}
#endif

#endif
