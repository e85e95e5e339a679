/* SPDX-License-Identifier: Apache-2.0 */
/* stub.h: typed calls: what code made by protoc-gen-oakum stands on, and what its users call.
 *
 *     protoc-c --c_out=. echo.proto             messages: echo.pb-c.h (protobuf-c)
 *     protoc --oakum_out=. echo.proto           services: echo.oak.h, on this header
 *
 * A stub call is an RPC of either side whose messages are protobuf-c's structs. What comes is
 * decoded into memory of the call: under a ceiling (OAK_STUB_DECODE_BYTES beside the message's own
 * size) and not nested deeper than 100 levels; unknown fields are kept. What is sent is encoded
 * straight into what the connection will send; the struct is the caller's again on return.
 *
 * Server, unary: the handler is called with the request, which lives as long as the call. It
 * answers exactly once, now or later, with the method's reply function or oak_stub_finish(). The
 * call stays valid until then, even when the client has gone meanwhile: an answer goes nowhere
 * then. Whoever holds something for a call learns of that by oak_stub_on_closed(), and then the
 * call is gone.
 * Server, streaming: a table of callbacks. A message is valid during its callback. `closed` is the
 * last one, after which the call is gone.
 * Client: `done` or `closed` is the last callback, exactly once for each call that was started.
 *
 * Threads: one loop each; nothing is shared.
 */
#ifndef OAKUM_STUB_H
#define OAKUM_STUB_H

#include <protobuf-c/protobuf-c.h>

#include "oakum/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What decoding one message may take, beside as many bytes as it has. */
#define OAK_STUB_DECODE_BYTES ((size_t)24 * 1024 * 1024)

struct oak_stub_call;

/* -- on both sides ----------------------------------------------------------------------------- */

/* A pointer of the user's, NULL at first. */
OAK_API void oak_stub_set_data(struct oak_stub_call *call, void *data);
OAK_API void *oak_stub_data(const struct oak_stub_call *call);
/* Memory that lives as long as the call; zeroed. NULL: none left. */
OAK_API void *oak_stub_alloc(struct oak_stub_call *call, size_t size);
/* The same, but gone when the next message comes: for what is made of one message of a stream. */
OAK_API void *oak_stub_scratch(struct oak_stub_call *call, size_t size);
/* Server: the request's metadata; client: the response's. Data NULL when absent. */
OAK_API struct oak_bytes oak_stub_metadata(const struct oak_stub_call *call, const char *name);
/* End it now. Client: the last callback follows, with CANCELLED. Server: this is an answer. */
OAK_API void oak_stub_cancel(struct oak_stub_call *call);
/* Stop or go on delivering messages: back-pressure to the peer. */
OAK_API void oak_stub_pause(struct oak_stub_call *call, bool paused);
/* The call beneath, for all that rpc.h can do with one, but for ending it. NULL on a server once
 * the client has gone. */
OAK_API struct oak_rpc_call *oak_stub_rpc(const struct oak_stub_call *call);
/* Bytes queued and not taken by the connection: see oak_rpc_call_queued(). */
OAK_API size_t oak_stub_queued(const struct oak_stub_call *call);
/* The message that came, as it came; during its callback. */
OAK_API struct oak_bytes oak_stub_bytes(const struct oak_stub_call *call);

/* -- server ------------------------------------------------------------------------------------ */

/* End the call with a status, behind what was sent; `message` may be NULL. */
OAK_API void oak_stub_finish(struct oak_stub_call *call, enum oak_rpc_code code,
                             const char *message);
/* The same, with details for programs: see oak_rpc_call_finish_details(), whose errors it has; then
 * the call is not ended. */
OAK_API OAK_MUST_USE int oak_stub_finish_details(struct oak_stub_call *call, enum oak_rpc_code code,
                                                 const char *message, struct oak_bytes details);
/* Of a method with one request, within its handler: call `closed` instead of keeping the call until
 * it is answered, or instead of the method's own. `user` is the service's. */
OAK_API void oak_stub_on_closed(struct oak_stub_call *call,
                                void (*closed)(void *user, struct oak_stub_call *call,
                                               const struct oak_rpc_status *status));
/* Send a response of `size` bytes in parts, encoded by the caller: oak_rpc_call_send_open() and
 * _part(), with their errors. The part that completes the only response of a method ends the call
 * with OK. A unary call's handler has asked for `closed` before. */
OAK_API OAK_MUST_USE int oak_stub_reply_open(struct oak_stub_call *call, size_t size);
OAK_API OAK_MUST_USE int oak_stub_reply_part(struct oak_stub_call *call, struct oak_bytes part);
/* Can it be done? Not where a call is carried otherwise than by a stream of gRPC. */
OAK_API bool oak_stub_takes_parts(const struct oak_stub_call *call);
/* Of such a method, within the handler or later: call `writable` when what was queued has left
 * (rpc.h). */
OAK_API void oak_stub_on_writable(struct oak_stub_call *call,
                                  void (*writable)(void *user, struct oak_stub_call *call));
/* Of such a method, after the handler has returned and put its answer off: hand it the request
 * again, with the same `request`, and with `bytes` as what oak_stub_bytes() gives meanwhile. Not
 * once it is closed. */
OAK_API void oak_stub_again(struct oak_stub_call *call, const ProtobufCMessage *request,
                            struct oak_bytes bytes);
/* Where oak_stub_alloc() takes its memory from, for programs built with Oakum's own sources. */
struct oak_arena;
OAK_API struct oak_arena *oak_stub_arena(struct oak_stub_call *call);

/* -- client ------------------------------------------------------------------------------------ */

/* Where calls go. */
struct oak_stub_client {
    int (*call)(void *channel, const struct oak_rpc_request *request, struct oak_rpc_call **out);
    void *channel;
};
OAK_API struct oak_stub_client oak_stub_subchannel(struct oak_rpc_subchannel *channel);
struct oak_channel; /* channel.h */
OAK_API struct oak_stub_client oak_stub_channel(struct oak_channel *channel);

/* No more messages from us. */
OAK_API void oak_stub_half_close(struct oak_stub_call *call);

/* -- for generated code ------------------------------------------------------------------------ */

/* Callbacks of one call that carry no message. */
struct oak_stub_events {
    void (*start)(void *user, struct oak_stub_call *call);
    void (*headers)(void *user, struct oak_stub_call *call);
    void (*half_closed)(void *user, struct oak_stub_call *call);
    void (*writable)(void *user, struct oak_stub_call *call);
    void (*closed)(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status);
};

struct oak_stub_service;

struct oak_stub_method {
    const struct oak_stub_service *service;
    const char *name;
    enum oak_rpc_kind kind;
    bool idempotent; /* as the .proto says: a channel may make it again */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    /* Server: is it in the table of handlers, and with which events? */
    bool (*serve)(const void *handlers, struct oak_stub_events *events);
    /* Server: a request came. */
    void (*take)(const void *handlers, void *user, struct oak_stub_call *call,
                 const ProtobufCMessage *request);
    /* Client: the events of a table of callbacks. NULL: unary. */
    void (*listen)(const void *callbacks, struct oak_stub_events *events);
    /* Client: a response came; of a unary or client-streaming call: it is over. */
    void (*give)(const void *callbacks, void *user, struct oak_stub_call *call,
                 const ProtobufCMessage *response);
    void (*done)(const void *callbacks, void (*done)(void), void *user, struct oak_stub_call *call,
                 const struct oak_rpc_status *status, const ProtobufCMessage *response);
};

/* A compiled .proto file: FileDescriptorProto. */
struct oak_stub_file {
    const char *name;
    struct oak_bytes bytes;
};

struct oak_stub_service {
    const char *name; /* "demo.v1.Echo" */
    const struct oak_stub_method *methods;
    size_t method_count;
    const struct oak_stub_file *files; /* what its file imports, and last that file */
    size_t file_count;
};

/* `handlers` are copied. OAK_EEXIST, OAK_ENOMEM: then some methods may have been added. */
OAK_API OAK_MUST_USE int oak_stub_add(struct oak_rpc_server *server,
                                      const struct oak_stub_service *service, const void *handlers,
                                      size_t handlers_size, void *user);
/* Server: send a response; it ends a call that has only one. OAK_ECLOSED: the client has gone, or
 * the call was ended. OAK_ELIMIT: it can't be queued; a call that has only one response ends with
 * RESOURCE_EXHAUSTED then. */
OAK_API int oak_stub_reply(struct oak_stub_call *call, const ProtobufCMessage *response);
/* Client: a request to begin with, or NULL. `how` may be NULL; its service, method, kind, handler
 * and user are filled in here. `callbacks` are borrowed, or NULL and `done` set.
 * OAK_ENOMEM, OAK_ELIMIT, OAK_ECLOSED: nothing will be called. */
OAK_API OAK_MUST_USE int oak_stub_start(struct oak_stub_client client,
                                        const struct oak_stub_method *method,
                                        const ProtobufCMessage *request,
                                        const struct oak_rpc_request *how, const void *callbacks,
                                        void (*done)(void), void *user, struct oak_stub_call **out);
/* Client: one more request. OAK_ELIMIT: it can't be queued, or the call is ending. */
OAK_API OAK_MUST_USE int oak_stub_send(struct oak_stub_call *call, const ProtobufCMessage *request);

#ifdef __cplusplus
}
#endif

#endif
