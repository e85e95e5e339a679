/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one HTTP request in the hands of the gateway. */
#ifndef OAK_GATEWAY_INTERNAL_H
#define OAK_GATEWAY_INTERNAL_H

#include <jansson.h>

#include "gateway/gateway.h"

struct oak_gateway {
    struct oak_gateway_options options;
    size_t open_calls;
};

/* From the request to its reply. */
struct gateway_call {
    struct oak_gateway *gateway;
    struct oak_http_request *http;
    struct oak_arena arena;
    struct oak_buf scratch; /* packed request; reply body */
    struct oak_replica_request request;
    uint8_t user[OAK_AUTH_NAME_BYTES_MAX]; /* whose it is */
    /* Reads. */
    Etcdserverpb__RangeRequest range;
    bool single; /* one key, not a list */
};

/* json.c */

/* A JSON text, at most OAK_JSON_DEPTH_MAX deep. NULL: `problem` says what is wrong with it. */
json_t *gateway__json_parse(struct oak_bytes text, json_error_t *problem);

/* Text as JSON, or base64 beside it when it is no UTF-8: sets `name` or `name`_base64. */
int gateway__json_bytes(json_t *object, const char *name, struct oak_bytes bytes,
                        struct oak_arena *arena);
/* The bytes of member `name` (text) or `name`_base64. OAK_ENOENT, or OAK_EFORMAT with `why`. */
int gateway__bytes_of(const json_t *object, const char *name, struct oak_arena *arena,
                      struct oak_bytes *out, const char **why);
/* Reply with a JSON object and drop the reference to it. */
void gateway__reply_json(struct oak_http_request *http, int status, json_t *object);
/* {"error": name, "message": text} */
void gateway__reply_error(struct oak_http_request *http, int status, const char *name,
                          const char *message);
/* The status that stands for a failed command or read. */
void gateway__reply_failure(struct oak_http_request *http, int error);

#endif
