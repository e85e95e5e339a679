/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.h: plain HTTP for people and scripts: a key is a URL; and etcd's JSON gateway.
 *
 *     POST   /api/v1/data  {"key":"test","value":"123"}   store; answered once a majority has it
 *     GET    /api/v1/data/test                            read (linearizable)
 *     GET    /api/v1/data/test?serializable=true          read what this member has
 *     DELETE /api/v1/data/test                            remove
 *     GET    /api/v1/data?prefix=te&limit=100             list, in order of key
 *     GET    /api/v1/data?prefix=te&next=...              the next page: what the last one told
 *
 * Any member answers. Bodies and answers are JSON (docs/reference/http.md gives every field and
 * error). While auth is on a request has a header "Authorization" with a token. Bytes that are no
 * UTF-8 travel as base64 in "key_base64" and "value_base64".
 *
 * Threads: the loop's.
 */
#ifndef OAK_GATEWAY_H
#define OAK_GATEWAY_H

#include "api/api.h"
#include "http/http.h"
#include "replica/replica.h"
#include "transcode/transcode.h"

struct oak_gateway;

struct oak_gateway_options {
    const struct oak_loop *loop;
    const struct oak_log *log;
    struct oak_http_server *server; /* the routes are added here */
    struct oak_replica *replica;
    struct oak_api *api; /* says who may do what */
};

OAK_MUST_USE int oak_gateway_new(const struct oak_gateway_options *options,
                                 struct oak_gateway **out);
/* All connections of the server must be closed. */
void oak_gateway_free(struct oak_gateway *gateway);

/* etcd's JSON gateway: every method that `methods` has or will have, under /v3 and /v3beta
 * (docs/reference/json-gateway.md). Errors as oak_transcode_new; free it by oak_transcode_free. */
OAK_MUST_USE int oak_gateway_etcd_new(const struct oak_loop *loop, struct oak_http_server *server,
                                      const struct oak_rpc_server *methods,
                                      size_t request_bytes_max, struct oak_transcode **out);

#endif
