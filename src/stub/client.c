/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: the client's side of typed calls.
 *
 * Happy path   1 a call is started below, its first request encoded; an unary one half-closes
 *              2 an only response waits, decoded, for the status; others go to `message`
 *              3 the status comes: `done` with the response, or `closed`
 * Can fail     what can't be decoded, one response too many, none with OK: INTERNAL, whatever the
 *              server says; the call is cancelled.
 * Invariants   a stub call is freed by `closed` of the call below, and by nothing else once that
 *              was started.
 * Thread       the loop's.
 */
#include "stub/internal.h"

#include <stdlib.h>

#include "oakum/channel.h"

static int subchannel_call(void *channel, const struct oak_rpc_request *request,
                           struct oak_rpc_call **out)
{
    return oak_rpc_subchannel_call(channel, request, out);
}

struct oak_stub_client oak_stub_subchannel(struct oak_rpc_subchannel *channel)
{
    return (struct oak_stub_client){.call = subchannel_call, .channel = channel};
}

static int channel_call(void *channel, const struct oak_rpc_request *request,
                        struct oak_rpc_call **out)
{
    return oak_channel_call(channel, request, out);
}

struct oak_stub_client oak_stub_channel(struct oak_channel *channel)
{
    return (struct oak_stub_client){.call = channel_call, .channel = channel};
}

/* -- what the server does ---------------------------------------------------------------------- */

static void fail(struct oak_stub_call *call, enum oak_rpc_code code, const char *text)
{
    call->failed = true;
    call->code = code;
    call->text = text;
    call->message = NULL;
    oak_rpc_call_cancel(call->rpc);
}

static void call_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    if (call->failed || call->silent) {
        return;
    }
    bool one = stub__one_response(call->method);
    if (one && call->message != NULL) {
        fail(call, OAK_RPC_INTERNAL, "grpc: more than one response to a call that has only one");
        return;
    }
    ProtobufCMessage *response;
    int error = stub__decode(call, call->method->response, !one, bytes, &response);
    if (error == OAK_EFORMAT) {
        fail(call, OAK_RPC_INTERNAL, "grpc: failed to unmarshal the received message");
    } else if (error != 0) {
        fail(call, OAK_RPC_RESOURCE_EXHAUSTED, "the response needs too much memory to be decoded");
    } else if (one) {
        call->message = response;
    } else {
        call->bytes = bytes;
        call->method->give(call->callbacks, call->user, call, response);
        call->bytes = oak_bytes(NULL, 0);
    }
}

static void call_headers(void *user, struct oak_rpc_call *rpc)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    if (!call->silent && call->events->headers != NULL) {
        call->events->headers(call->user, call);
    }
}

static void call_writable(void *user, struct oak_rpc_call *rpc)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    if (!call->silent && call->events->writable != NULL) {
        call->events->writable(call->user, call);
    }
}

static void tell(struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    const struct oak_stub_method *method = call->method;
    if (stub__one_response(method)) {
        const ProtobufCMessage *response = status->code == OAK_RPC_OK ? call->message : NULL;
        method->done(call->callbacks, call->done, call->user, call, status, response);
    } else if (call->events->closed != NULL) {
        call->events->closed(call->user, call, status);
    }
}

static void call_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    struct oak_rpc_status verdict = *status;
    bool one = stub__one_response(call->method);
    if (call->failed) {
        verdict.code = call->code;
        verdict.message = oak_bytes_str(call->text);
    } else if (status->code == OAK_RPC_OK && one && call->message == NULL) {
        verdict.code = OAK_RPC_INTERNAL;
        verdict.message = oak_bytes_str("grpc: OK without a response");
    }
    if (!call->silent) {
        tell(call, &verdict);
    }
    stub__call_fini(call);
    free(call);
}

static const struct oak_rpc_handler call_handler = {
    .message = call_message,
    .headers = call_headers,
    .writable = call_writable,
    .closed = call_closed,
};

/* -- what the program does --------------------------------------------------------------------- */

static int begin(struct oak_stub_client client, struct oak_stub_call *call,
                 const struct oak_rpc_request *how)
{
    struct oak_rpc_request request = {0};
    if (how != NULL) {
        request = *how;
    }
    request.service = call->method->service->name;
    request.method = call->method->name;
    request.kind = call->method->kind;
    request.idempotent = request.idempotent || call->method->idempotent;
    request.handler = &call_handler;
    request.user = call;
    return client.call(client.channel, &request, &call->rpc);
}

int oak_stub_start(struct oak_stub_client client, const struct oak_stub_method *method,
                   const ProtobufCMessage *request, const struct oak_rpc_request *how,
                   const void *callbacks, void (*done)(void), void *user,
                   struct oak_stub_call **out)
{
    OAK_ASSERT((request != NULL) == stub__one_request(method));
    OAK_ASSERT((callbacks == NULL) == (method->kind == OAK_RPC_UNARY));
    OAK_ASSERT((done != NULL) == (method->kind == OAK_RPC_UNARY));
    struct oak_stub_call *call = malloc(sizeof(*call));
    if (call == NULL) {
        return OAK_ENOMEM;
    }
    stub__call_init(call);
    call->method = method;
    call->events = &call->own_events;
    call->callbacks = callbacks;
    call->done = done;
    call->user = user;
    if (callbacks != NULL) {
        method->listen(callbacks, &call->own_events);
    }
    int error = begin(client, call, how);
    if (error != 0) {
        stub__call_fini(call);
        free(call);
        return error;
    }
    if (request != NULL) {
        error = stub__encode(call, request);
        if (error != 0) {
            call->silent = true;
            oak_rpc_call_cancel(call->rpc);
            return error;
        }
        oak_rpc_call_half_close(call->rpc);
    }
    if (out != NULL) {
        *out = call;
    }
    return 0;
}

int oak_stub_send(struct oak_stub_call *call, const ProtobufCMessage *request)
{
    OAK_ASSERT(call->service == NULL);
    OAK_ASSERT(request->descriptor == call->method->request);
    OAK_ASSERT(!stub__one_request(call->method));
    return stub__encode(call, request);
}

void oak_stub_half_close(struct oak_stub_call *call)
{
    OAK_ASSERT(call->service == NULL);
    oak_rpc_call_half_close(call->rpc);
}
