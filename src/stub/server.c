/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: services, and the server's side of their calls.
 *
 * Happy path   1 a service is added: one block with an entry for each method that has a handler
 *              2 a call starts: a stub call is taken from the service's spare ones
 *              3 a request is decoded and handed to the handler through generated code
 *              4 it is answered; when the call is closed the stub call is spare again
 * Can fail     what can't be decoded ends its call: INTERNAL, as grpc-go says it, or
 *              RESOURCE_EXHAUSTED. So does an only response that can't be queued.
 * Invariants   a stub call is given back once: when its call is closed, but an unary one that is
 *              not answered then, and whose handler did not ask to be told, when it is answered.
 *              The block goes with the last of its methods.
 * Thread       the loop's.
 */
#include "stub/internal.h"

#include <stdlib.h>

/* -- calls of a service ------------------------------------------------------------------------ */

static struct oak_stub_call *call_take(const struct stub_entry *entry)
{
    struct stub_service *service = entry->service;
    struct oak_stub_call *call;
    struct oak_list *node = oak_list_pop(&service->spare);
    if (node != NULL) {
        service->spare_count--;
        call = OAK_LIST_ENTRY(node, struct oak_stub_call, link);
    } else {
        call = malloc(sizeof(*call));
        if (call == NULL) {
            return NULL;
        }
        stub__call_init(call);
    }
    service->open++;
    call->service = service;
    call->method = entry->method;
    call->events = &entry->events;
    call->user = service->user;
    return call;
}

static void call_give_back(struct oak_stub_call *call)
{
    struct stub_service *service = call->service;
    OAK_ASSERT_GT(service->open, 0);
    OAK_ASSERT(call->rpc == NULL);
    service->open--;
    if (service->spare_count >= STUB_SPARE_CALLS_MAX) {
        stub__call_fini(call);
        free(call);
        return;
    }
    oak_arena_reset(&call->arena);
    if (call->scratch.total > 0) {
        oak_arena_reset(&call->scratch);
    }
    call->data = NULL;
    call->handed = false;
    call->answered = false;
    call->on_closed = NULL;
    call->on_writable = NULL;
    call->part_left = 0;
    oak_list_push(&service->spare, &call->link);
    service->spare_count++;
}

void stub__call_release(struct oak_stub_call *call)
{
    OAK_ASSERT(!call->answered);
    call_give_back(call);
}

/* -- what the client does ---------------------------------------------------------------------- */

static void refuse(struct oak_stub_call *call, int error)
{
    call->answered = true;
    if (error == OAK_EFORMAT) {
        oak_rpc_call_finish(call->rpc, OAK_RPC_INTERNAL,
                            "grpc: error unmarshalling request: the message is malformed");
    } else {
        oak_rpc_call_finish(call->rpc, OAK_RPC_RESOURCE_EXHAUSTED,
                            "the request needs too much memory to be decoded");
    }
}

static void call_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    if (call->answered) {
        return;
    }
    const struct oak_stub_method *method = call->method;
    ProtobufCMessage *request;
    bool more = !stub__one_request(method);
    int error = stub__decode(call, method->request, more, bytes, &request);
    if (error != 0) {
        refuse(call, error);
        return;
    }
    call->bytes = bytes;
    call->handed = true;
    method->take(call->service->handlers, call->user, call, request);
    call->bytes = oak_bytes(NULL, 0);
}

void oak_stub_again(struct oak_stub_call *call, const ProtobufCMessage *request,
                    struct oak_bytes bytes)
{
    OAK_ASSERT(call->service != NULL && call->rpc != NULL);
    OAK_ASSERT(call->handed && !call->answered);
    OAK_ASSERT(stub__one_request(call->method));
    call->bytes = bytes;
    call->method->take(call->service->handlers, call->user, call, request);
    call->bytes = oak_bytes(NULL, 0);
}

static void call_half_closed(void *user, struct oak_rpc_call *rpc)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    if (!call->answered && call->events->half_closed != NULL) {
        call->events->half_closed(call->user, call);
    }
}

static void call_writable(void *user, struct oak_rpc_call *rpc)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    void (*writable)(void *, struct oak_stub_call *) =
        call->on_writable != NULL ? call->on_writable : call->events->writable;
    if (!call->answered && writable != NULL) {
        writable(call->user, call);
    }
}

static void call_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct oak_stub_call *call = user;
    OAK_ASSERT(call->rpc == rpc);
    void (*closed)(void *, struct oak_stub_call *, const struct oak_rpc_status *) =
        call->on_closed != NULL ? call->on_closed : call->events->closed;
    if (closed != NULL) {
        closed(call->user, call, status);
    }
    call->rpc = NULL;
    bool owed = call->method->kind == OAK_RPC_UNARY && call->handed && !call->answered;
    if (!owed || call->on_closed != NULL) {
        call_give_back(call);
    }
}

static const struct oak_rpc_handler call_handler = {
    .message = call_message,
    .half_closed = call_half_closed,
    .writable = call_writable,
    .closed = call_closed,
};

static void refused_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    (void)user;
    (void)rpc;
    (void)bytes;
}

static void refused_closed(void *user, struct oak_rpc_call *rpc,
                           const struct oak_rpc_status *status)
{
    (void)user;
    (void)rpc;
    (void)status;
}

static const struct oak_rpc_handler refused_handler = {
    .message = refused_message,
    .closed = refused_closed,
};

static void call_start(void *user, struct oak_rpc_call *rpc)
{
    const struct stub_entry *entry = user;
    struct oak_stub_call *call = call_take(entry);
    if (call == NULL) {
        oak_rpc_call_handle(rpc, &refused_handler, NULL);
        oak_rpc_call_finish(rpc, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        return;
    }
    call->rpc = rpc;
    oak_rpc_call_handle(rpc, &call_handler, call);
    if (entry->events.start != NULL) {
        entry->events.start(call->user, call);
    }
}

/* -- what the handler does --------------------------------------------------------------------- */

/* An answer to a client that has gone. True: that was all. */
static bool answer_gone(struct oak_stub_call *call)
{
    if (call->rpc != NULL) {
        return false;
    }
    OAK_ASSERT_EQ(call->method->kind, OAK_RPC_UNARY);
    stub__call_release(call);
    return true;
}

int oak_stub_reply(struct oak_stub_call *call, const ProtobufCMessage *response)
{
    OAK_ASSERT(call->service != NULL);
    OAK_ASSERT(response->descriptor == call->method->response);
    if (answer_gone(call) || call->answered) {
        return OAK_ECLOSED;
    }
    int error = stub__encode(call, response);
    if (stub__one_response(call->method)) {
        call->answered = true;
        oak_rpc_call_finish(call->rpc, error == 0 ? OAK_RPC_OK : OAK_RPC_RESOURCE_EXHAUSTED,
                            error == 0 ? NULL
                                       : "the response is larger than what may be queued for one "
                                         "client");
    }
    return error;
}

bool oak_stub_takes_parts(const struct oak_stub_call *call)
{
    return call->rpc != NULL && oak_rpc_call_takes_parts(call->rpc);
}

int oak_stub_reply_open(struct oak_stub_call *call, size_t size)
{
    OAK_ASSERT(call->service != NULL);
    OAK_ASSERT(call->method->kind != OAK_RPC_UNARY || call->on_closed != NULL);
    OAK_ASSERT_EQ(call->part_left, 0);
    int error = call->answered ? OAK_ECLOSED : oak_rpc_call_send_open(call->rpc, size);
    if (error == 0) {
        call->part_left = size;
    }
    return error;
}

int oak_stub_reply_part(struct oak_stub_call *call, struct oak_bytes part)
{
    int error = call->answered ? OAK_ECLOSED : oak_rpc_call_send_part(call->rpc, part);
    if (error != 0) {
        return error;
    }
    OAK_ASSERT_LE(part.size, call->part_left);
    call->part_left -= part.size;
    if (call->part_left == 0 && stub__one_response(call->method)) {
        call->answered = true;
        oak_rpc_call_finish(call->rpc, OAK_RPC_OK, NULL);
    }
    return 0;
}

void oak_stub_finish(struct oak_stub_call *call, enum oak_rpc_code code, const char *message)
{
    OAK_ASSERT(call->service != NULL);
    if (!answer_gone(call) && !call->answered) {
        call->answered = true;
        oak_rpc_call_finish(call->rpc, code, message);
    }
}

int oak_stub_finish_details(struct oak_stub_call *call, enum oak_rpc_code code, const char *message,
                            struct oak_bytes details)
{
    OAK_ASSERT(call->service != NULL);
    if (answer_gone(call) || call->answered) {
        return 0;
    }
    int error = oak_rpc_call_finish_details(call->rpc, code, message, details);
    call->answered = error == 0;
    return error;
}

struct oak_rpc_call *oak_stub_rpc(const struct oak_stub_call *call)
{
    return call->rpc;
}

void oak_stub_on_closed(struct oak_stub_call *call,
                        void (*closed)(void *user, struct oak_stub_call *call,
                                       const struct oak_rpc_status *status))
{
    OAK_ASSERT(call->service != NULL && call->rpc != NULL);
    OAK_ASSERT(stub__one_request(call->method));
    call->on_closed = closed;
}

void oak_stub_on_writable(struct oak_stub_call *call,
                          void (*writable)(void *user, struct oak_stub_call *call))
{
    OAK_ASSERT(call->service != NULL);
    OAK_ASSERT(stub__one_request(call->method));
    call->on_writable = writable;
}

/* -- services ---------------------------------------------------------------------------------- */

static void service_free(struct stub_service *service)
{
    OAK_ASSERT_EQ(service->open, 0);
    while (!oak_list_empty(&service->spare)) {
        struct oak_stub_call *call =
            OAK_LIST_ENTRY(oak_list_pop(&service->spare), struct oak_stub_call, link);
        stub__call_fini(call);
        free(call);
    }
    free(service->handlers);
    free(service);
}

/* The server has forgotten one of the methods. */
static void entry_release(void *user)
{
    struct stub_service *service = ((struct stub_entry *)user)->service;
    OAK_ASSERT_GT(service->methods_added, 0);
    service->methods_added--;
    if (service->methods_added == 0) {
        service_free(service);
    }
}

static struct stub_service *service_new(const struct oak_stub_service *from, const void *handlers,
                                        size_t handlers_size, void *user)
{
    struct stub_service *service =
        calloc(1, sizeof(*service) + from->method_count * sizeof(service->entries[0]));
    if (service == NULL) {
        return NULL;
    }
    oak_list_init(&service->spare);
    service->user = user;
    service->handlers = malloc(handlers_size);
    if (service->handlers == NULL) {
        free(service);
        return NULL;
    }
    memcpy(service->handlers, handlers, handlers_size);
    for (size_t i = 0; i < from->method_count; i++) {
        service->entries[i] = (struct stub_entry){.service = service, .method = &from->methods[i]};
    }
    return service;
}

int oak_stub_add(struct oak_rpc_server *server, const struct oak_stub_service *from,
                 const void *handlers, size_t handlers_size, void *user)
{
    struct stub_service *service = service_new(from, handlers, handlers_size, user);
    if (service == NULL) {
        return OAK_ENOMEM;
    }
    int error = 0;
    for (size_t i = 0; i < from->method_count && error == 0; i++) {
        struct stub_entry *entry = &service->entries[i];
        const struct oak_stub_method *method = entry->method;
        OAK_ASSERT(method->service == from);
        if (!method->serve(service->handlers, &entry->events)) {
            continue;
        }
        const struct oak_rpc_method added = {
            .service = from->name,
            .name = method->name,
            .kind = method->kind,
            .start = call_start,
            .user = entry,
            .stub = method,
            .release = entry_release,
        };
        error = oak_rpc_server_add(server, &added);
        service->methods_added += error == 0;
    }
    if (service->methods_added == 0) {
        service_free(service);
    }
    return error;
}
