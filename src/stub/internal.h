/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: a call in the hands of the stub room. */
#ifndef OAK_STUB_INTERNAL_H
#define OAK_STUB_INTERNAL_H

#include "oakum/stub.h"
#include "pb/pb.h"

/* -- limits of this room ----------------------------------------------------------------------- */

/* First memory of a call: a request of a few hundred bytes and what its handler adds. */
#define STUB_CHUNK_BYTES (4 * OAK_KIB)
/* Calls of one service kept for reuse, each with its first chunk. */
#define STUB_SPARE_CALLS_MAX 1024u

/* -- a service as it was added to a server ----------------------------------------------------- */

struct stub_entry {
    struct stub_service *service;
    const struct oak_stub_method *method;
    struct oak_stub_events events;
};

struct stub_service {
    struct oak_list spare; /* calls */
    size_t spare_count;
    size_t open;          /* calls */
    size_t methods_added; /* each is released by the server */
    void *user;
    void *handlers; /* a copy */
    struct stub_entry entries[];
};

/* -- a call ------------------------------------------------------------------------------------ */

struct oak_stub_call {
    struct oak_list link; /* server: service->spare */
    struct oak_rpc_call *rpc;
    const struct oak_stub_method *method;
    struct stub_service *service;         /* NULL: client */
    const struct oak_stub_events *events; /* of the service's entry, or own_events */
    struct oak_stub_events own_events;    /* client */
    void *user;
    void *data;
    struct oak_arena arena;   /* as long as the call */
    struct oak_arena scratch; /* as long as one message of a stream */
    struct oak_bytes bytes;   /* of the message that is being delivered */
    bool handed;              /* server: the handler of an unary call has it */
    bool answered;            /* server: the call was ended */
    bool silent;              /* client: it failed to start, and nothing is told of it */
    bool failed;              /* client: with `code` and `text`, whatever the server says */
    enum oak_rpc_code code;
    const char *text;
    size_t part_left; /* of the response that is sent in parts */
    void (*on_writable)(void *user, struct oak_stub_call *call);
    void (*on_closed)(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status);
    const void *callbacks;     /* client */
    void (*done)(void);        /* client */
    ProtobufCMessage *message; /* client: the only response */
};

void stub__call_init(struct oak_stub_call *call);
void stub__call_fini(struct oak_stub_call *call);
/* Decode what came: for the call, or for the callback if more may come. 0 or an OAK_E code. */
OAK_MUST_USE int stub__decode(struct oak_stub_call *call,
                              const ProtobufCMessageDescriptor *descriptor, bool more,
                              struct oak_bytes bytes, ProtobufCMessage **out);
/* Encode into the queue of the call. OAK_ELIMIT. */
OAK_MUST_USE int stub__encode(struct oak_stub_call *call, const ProtobufCMessage *message);
/* An answer to an unary call whose client has gone: the memory goes. */
void stub__call_release(struct oak_stub_call *call);

static inline bool stub__one_response(const struct oak_stub_method *method)
{
    return method->kind == OAK_RPC_UNARY || method->kind == OAK_RPC_CLIENT_STREAM;
}
static inline bool stub__one_request(const struct oak_stub_method *method)
{
    return method->kind == OAK_RPC_UNARY || method->kind == OAK_RPC_SERVER_STREAM;
}

#endif
