/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: the registry of methods, what is counted, and the start of a call.
 *
 * Happy path   methods are added at start-up; a request's path is looked up while its headers
 *              come in; once they are complete its `start` is called.
 * Can fail     adding (exists, no memory); a request that is not gRPC (HTTP 405, 415) or that we
 *              don't serve (UNIMPLEMENTED, with the texts that clients of grpc-go know).
 * Invariants   index holds each method once, and at least one free place in two.
 * Thread       the loop's.
 */
#include <stdio.h>

#include "rpc/internal.h"

static const char *const code_names[] = {
    "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated",
};

const char *oak_rpc_code_name(enum oak_rpc_code code)
{
    return (size_t)code < OAK_COUNT_OF(code_names) ? code_names[code] : "Unknown";
}

/* -- the registry ------------------------------------------------------------------------------ */

/* FNV-1a: the methods are ours, so nobody can choose colliding names. */
static uint64_t path_hash(struct oak_bytes path)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < path.size; i++) {
        hash = (hash ^ path.data[i]) * 1099511628211u;
    }
    return hash;
}

static struct rpc_method **index_place(struct rpc_method **index, size_t size,
                                       struct oak_bytes path)
{
    size_t at = (size_t)path_hash(path) & (size - 1);
    while (index[at] != NULL &&
           !oak_bytes_eq(path, oak_bytes(index[at]->path, index[at]->path_size))) {
        at = (at + 1) & (size - 1);
    }
    return &index[at];
}

const struct rpc_method *rpc__server_find(const struct oak_rpc_server *server,
                                          struct oak_bytes path)
{
    return server->index_size == 0 ? NULL : *index_place(server->index, server->index_size, path);
}

static int index_grow(struct oak_rpc_server *server)
{
    size_t size = OAK_MAX((size_t)64, server->index_size);
    while (size < 2 * (server->method_count + 1)) {
        size *= 2;
    }
    if (size == server->index_size) {
        return 0;
    }
    struct rpc_method **index = rpc__resize(NULL, size * sizeof(struct rpc_method *));
    if (index == NULL) {
        return OAK_ENOMEM;
    }
    memset(index, 0, size * sizeof(struct rpc_method *));
    for (size_t i = 0; i < server->method_count; i++) {
        struct rpc_method *m = server->methods[i];
        *index_place(index, size, oak_bytes(m->path, m->path_size)) = m;
    }
    rpc__resize(server->index, 0);
    server->index = index;
    server->index_size = size;
    return 0;
}

static int tables_grow(struct oak_rpc_server *server)
{
    size_t count = server->method_count + 1;
    void *methods = rpc__resize(server->methods, count * sizeof(struct rpc_method *));
    if (methods == NULL) {
        return OAK_ENOMEM;
    }
    server->methods = methods;
    struct oak_rpc_method_stats *stats = rpc__resize(server->stats, count * sizeof(*stats));
    if (stats == NULL) {
        return OAK_ENOMEM;
    }
    server->stats = stats;
    for (size_t i = 0; i < server->method_count; i++) {
        server->methods[i]->stats = &stats[i];
    }
    return index_grow(server);
}

int oak_rpc_server_add(struct oak_rpc_server *server, const struct oak_rpc_method *method)
{
    OAK_ASSERT(method->start != NULL);
    size_t service_size = strlen(method->service);
    size_t name_size = strlen(method->name);
    size_t path_size = service_size + name_size + 2;
    struct rpc_method *m = rpc__resize(NULL, sizeof(*m) + path_size + 1);
    if (m == NULL) {
        return OAK_ENOMEM;
    }
    *m = (struct rpc_method){.public = *method, .path_size = path_size};
    m->path[0] = '/';
    memcpy(m->path + 1, method->service, service_size);
    m->path[1 + service_size] = '/';
    memcpy(m->path + 2 + service_size, method->name, name_size + 1);
    struct oak_bytes path = oak_bytes(m->path, path_size);
    int error = rpc__server_find(server, path) != NULL ? OAK_EEXIST : tables_grow(server);
    if (error != 0) {
        rpc__resize(m, 0);
        return error;
    }
    m->stats = &server->stats[server->method_count];
    *m->stats = (struct oak_rpc_method_stats){.method = &m->public};
    server->methods[server->method_count] = m;
    server->method_count++;
    *index_place(server->index, server->index_size, path) = m;
    return 0;
}

size_t oak_rpc_server_stats(const struct oak_rpc_server *server,
                            const struct oak_rpc_method_stats **out)
{
    *out = server->stats;
    return server->method_count;
}

void oak_rpc_server_traffic(const struct oak_rpc_server *server, struct oak_rpc_traffic *out)
{
    *out = server->traffic;
}

/* -- the start of a call ----------------------------------------------------------------------- */

static bool service_is_known(const struct oak_rpc_server *server, struct oak_bytes service)
{
    for (size_t i = 0; i < server->method_count; i++) {
        if (oak_bytes_eq(service, oak_bytes_str(server->methods[i]->public.service))) {
            return true;
        }
    }
    return false;
}

static void refuse_unknown(struct oak_rpc_call *call)
{
    struct oak_bytes path = oak_rpc_call_metadata(call, ":path");
    size_t cut = path.size;
    while (cut > 1 && path.data[cut - 1] != '/') {
        cut--;
    }
    char text[512];
    if (path.size == 0 || path.data[0] != '/' || cut <= 1) {
        snprintf(text, sizeof(text), "malformed method name: \"%.*s\"",
                 (int)OAK_MIN(path.size, (size_t)256), (const char *)path.data);
        oak_rpc_call_finish(call, OAK_RPC_UNIMPLEMENTED, text);
        return;
    }
    struct oak_bytes service = oak_bytes(path.data + 1, cut - 2);
    struct oak_bytes name = oak_bytes(path.data + cut, path.size - cut);
    int service_size = (int)OAK_MIN(service.size, (size_t)200);
    if (service_is_known(call->conn->server, service)) {
        snprintf(text, sizeof(text), "unknown method %.*s for service %.*s",
                 (int)OAK_MIN(name.size, (size_t)200), (const char *)name.data, service_size,
                 (const char *)service.data);
    } else {
        snprintf(text, sizeof(text), "unknown service %.*s", service_size,
                 (const char *)service.data);
    }
    oak_rpc_call_finish(call, OAK_RPC_UNIMPLEMENTED, text);
}

void rpc__server_answer_http(struct oak_rpc_call *call)
{
    static const char body[] = "this port speaks gRPC\n";
    call->http_due = false;
    call->finished = true;
    call->local_done = true;
    call->plain = true;
    call->code = OAK_RPC_UNKNOWN;
    int error = call->bodiless ? 0 : oak_buf_append(&call->out, body, sizeof(body) - 1);
    if (error == 0) {
        error = rpc__submit_http_status(call, call->post ? "415" : "405");
    }
    if (error != 0) {
        rpc__conn_break(call->conn, error);
    }
    rpc__conn_wake(call->conn);
}

/* Answered once it has come whole: what is malformed in the rest of it is then found first. */
static void refuse_http(struct oak_rpc_call *call)
{
    call->deaf = true;
    call->http_due = !call->remote_closed;
    if (!call->http_due) {
        rpc__server_answer_http(call);
    }
}

/* What stands in the way of the call is answered. False: nothing does. */
static bool refuse(struct oak_rpc_call *call)
{
    char text[128];
    size_t header_bytes_max = call->conn->options.header_bytes_max;
    if (call->header_bytes > header_bytes_max) {
        snprintf(text, sizeof(text), "grpc: received header list larger than max (%zu vs. %zu)",
                 call->header_bytes, header_bytes_max);
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, text);
    } else if (!call->post || !call->content_ok) {
        refuse_http(call);
    } else if (call->refusal == RPC_REFUSE_MEMORY) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory");
    } else if (call->refusal == RPC_REFUSE_TIMEOUT) {
        oak_rpc_call_finish(call, OAK_RPC_INTERNAL, "malformed grpc-timeout");
    } else if (call->refusal == RPC_REFUSE_BINARY) {
        oak_rpc_call_finish(call, OAK_RPC_INTERNAL, "malformed binary metadata");
    } else if (call->method == NULL) {
        refuse_unknown(call);
    } else if (call->refusal == RPC_REFUSE_ENCODING) {
        struct oak_bytes encoding = oak_rpc_call_metadata(call, "grpc-encoding");
        snprintf(text, sizeof(text),
                 "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                 (int)OAK_MIN(encoding.size, (size_t)32), (const char *)encoding.data);
        oak_rpc_call_finish(call, OAK_RPC_UNIMPLEMENTED, text);
    } else {
        return false;
    }
    return true;
}

void rpc__server_dispatch(struct oak_rpc_call *call)
{
    OAK_ASSERT(call->handler == NULL);
    if (call->method != NULL) {
        call->method->stats->started++;
        call->counted = true;
    }
    if (refuse(call)) {
        return;
    }
    if (call->deadline_ns != 0 && call->deadline_ns <= call->conn->now_ns) {
        oak_rpc_call_finish(call, OAK_RPC_DEADLINE_EXCEEDED, "context deadline exceeded");
        return;
    }
    if (call->deadline_ns != 0 && call->deadline_ns != UINT64_MAX &&
        rpc__deadlines_add(&call->conn->deadlines, call) != 0) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory");
        return;
    }
    if (!rpc__admit(call)) {
        return;
    }
    struct oak_rpc_verdict verdict;
    if (rpc__chain_start(call, &verdict) != 0) {
        verdict = (struct oak_rpc_verdict){OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory"};
    }
    if (verdict.code != OAK_RPC_OK) {
        rpc__call_verdict(call, verdict);
    }
    if (call->finished || call->cancelled) {
        return;
    }
    call->method->public.start(call->method->public.user, call);
    OAK_ASSERT(call->handler != NULL || call->finished || call->cancelled);
}
