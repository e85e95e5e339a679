/* SPDX-License-Identifier: Apache-2.0 */
/* admit.c: may a server begin one more call? And who is still at work.
 *
 * Happy path   a request is admitted before its method is asked, and counts until its handler was
 *              told `closed`. Work that goes on after that and has no bound of its own (a query, a
 *              call to another server) is held by the handler, and counts on, with the connection
 *              or without it.
 * Can fail     too many at work, or a client too fast: the call is refused, and told when to come
 *              again.
 * Invariants   server->handlers is the sum over connections of theirs, and of works whose
 *              connection is gone. A work is in the list of its call while that is open, then of
 *              the connection, then of none.
 * Why          a client that resets its streams, or makes us reset them, frees the streams and not
 *              the work behind them (CVE-2023-44487, CVE-2025-8671).
 * Thread       the loop's.
 */
#include <stdio.h>

#include "rpc/internal.h"

static void work_push(struct oak_rpc_work **list, struct oak_rpc_work *work)
{
    work->next = *list;
    work->back = list;
    if (work->next != NULL) {
        work->next->back = &work->next;
    }
    *list = work;
}

static void work_remove(struct oak_rpc_work *work)
{
    *work->back = work->next;
    if (work->next != NULL) {
        work->next->back = work->back;
    }
    work->next = NULL;
    work->back = NULL;
}

void oak_rpc_call_begin_work(struct oak_rpc_call *call, struct oak_rpc_work *work)
{
    *work = (struct oak_rpc_work){0};
    if (rpc__carrier(call) == NULL && call->admitted && !call->ended) {
        work_push(&call->works, work);
    }
}

void oak_rpc_work_end(struct oak_rpc_work *work)
{
    struct oak_rpc_server *server = work->server;
    if (work->back != NULL) {
        work_remove(work);
    }
    if (server != NULL) { /* its call has ended, and it counts by itself */
        OAK_ASSERT_GT(server->handlers, 0);
        server->handlers--;
        if (work->conn != NULL) {
            OAK_ASSERT_GT(work->conn->handlers, 0);
            work->conn->handlers--;
        }
    }
    *work = (struct oak_rpc_work){0};
}

void rpc__admit_end(struct oak_rpc_call *call)
{
    if (!call->admitted) {
        return;
    }
    struct oak_rpc_conn *conn = call->conn;
    OAK_ASSERT(conn->handlers > 0 && conn->server->handlers > 0);
    call->admitted = false;
    conn->handlers--;
    conn->server->handlers--;
    while (call->works != NULL) {
        struct oak_rpc_work *work = call->works;
        work_remove(work);
        work_push(&conn->works, work);
        work->conn = conn;
        work->server = conn->server;
        conn->handlers++;
        conn->server->handlers++;
    }
}

void rpc__admit_forget(struct oak_rpc_conn *conn)
{
    while (conn->works != NULL) {
        struct oak_rpc_work *work = conn->works;
        work_remove(work);
        work->conn = NULL;
        OAK_ASSERT_GT(conn->handlers, 0);
        conn->handlers--;
    }
    OAK_ASSERT_EQ(conn->handlers, 0);
}

/* -- refusing ---------------------------------------------------------------------------------- */

static void refuse(struct oak_rpc_call *call, enum oak_rpc_code code, const char *text,
                   uint64_t wait_ns)
{
    char digits[24];
    uint64_t wait_ms = wait_ns / 1000000 + 1; /* never too early */
    int size = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)wait_ms);
    OAK_ASSERT(size > 0 && (size_t)size < sizeof(digits));
    int error = rpc__pairs_add(&call->tail, oak_bytes_str("grpc-retry-pushback-ms"),
                               oak_bytes(digits, (size_t)size));
    OAK_MAYBE(error != 0); /* it is told less */
    oak_rpc_call_finish(call, code, text);
}

/* "10.0.0.7:4711" is a client at 10.0.0.7. */
static struct oak_bytes host_of(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    return oak_bytes(peer, colon != NULL ? (size_t)(colon - peer) : strlen(peer));
}

static uint64_t rate_wait(struct oak_rpc_call *call)
{
    struct oak_rpc_server *server = call->conn->server;
    const struct oak_rpc_limits *l = &call->conn->options.limits;
    if (server->rates == NULL) {
        return 0;
    }
    struct oak_bytes client =
        l->rate_key != NULL ? l->rate_key(l->rate_user, call) : host_of(call->conn->peer);
    return client.size == 0 ? 0 : rpc__rates_take(server->rates, client, call->conn->now_ns);
}

bool rpc__admit(struct oak_rpc_call *call)
{
    struct oak_rpc_conn *conn = call->conn;
    struct oak_rpc_server *server = conn->server;
    const struct oak_rpc_limits *l = &conn->options.limits;
    if (server->handlers >= server->options.limits.handlers_max) {
        server->traffic.refused_busy++;
        refuse(call, OAK_RPC_UNAVAILABLE, "grpc: the server is busy", RPC_BUSY_PUSHBACK_NS);
        return false;
    }
    if (conn->handlers >= l->connection_handlers_max) {
        server->traffic.refused_busy++;
        refuse(call, OAK_RPC_RESOURCE_EXHAUSTED,
               "grpc: too many calls of this connection are being worked on", RPC_BUSY_PUSHBACK_NS);
        return false;
    }
    if (!rpc__memory_fits(server)) {
        server->traffic.refused_busy++;
        refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: the server is out of memory",
               RPC_BUSY_PUSHBACK_NS);
        return false;
    }
    uint64_t wait_ns = rate_wait(call);
    if (wait_ns > 0) {
        server->traffic.refused_rate++;
        refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: too many calls a second", wait_ns);
        return false;
    }
    call->admitted = true;
    conn->handlers++;
    server->handlers++;
    return true;
}
