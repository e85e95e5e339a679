/* SPDX-License-Identifier: Apache-2.0 */
/* tick.c: what happens to a connection when nothing happens: deadlines, a slow start, keepalive,
 * a connection too old or idle, and the two GOAWAYs of its end.
 *
 * Happy path   each look gives the time of the next one.
 * Can fail     the connection, by a peer that is slow, silent, or goes on after its grace.
 * Thread       the loop's.
 */
#include "rpc/internal.h"

static void sooner(uint64_t *next_ns, uint64_t due_ns)
{
    if (*next_ns == 0 || due_ns < *next_ns) {
        *next_ns = due_ns;
    }
}

static void sooner_if(uint64_t *next_ns, uint64_t due_ns)
{
    if (due_ns != 0) {
        sooner(next_ns, due_ns);
    }
}

static void tick_deadlines(struct oak_rpc_conn *conn, uint64_t *next_ns)
{
    while (conn->deadlines.count > 0 && conn->deadlines.calls[0]->deadline_ns <= conn->now_ns) {
        rpc__call_expire(conn->deadlines.calls[0]);
    }
    if (conn->deadlines.count > 0) {
        sooner(next_ns, conn->deadlines.calls[0]->deadline_ns);
    }
}

/* The peer is too slow with its preface or a block of headers. */
static void tick_handshake(struct oak_rpc_conn *conn, uint64_t *next_ns)
{
    if (conn->begun_ns == 0) {
        return;
    }
    uint64_t due_ns = conn->begun_ns + RPC_HANDSHAKE_NS;
    if (due_ns <= conn->now_ns) {
        rpc__guard_refuse(conn, OAK_RPC_ABUSE_SLOW, "too_slow");
        rpc__conn_break(conn, OAK_ELIMIT);
    } else {
        sooner(next_ns, due_ns);
    }
}

static void tick_keepalive(struct oak_rpc_conn *conn, uint64_t *next_ns)
{
    bool unused = conn->keepalive_calls_only && conn->open_count + conn->waiting_count == 0;
    if (conn->keepalive_ns == 0 || (unused && conn->pinged_ns == 0)) {
        return;
    }
    if (conn->pinged_ns != 0 && conn->heard_ns > conn->pinged_ns) {
        conn->pinged_ns = 0; /* any bytes prove life */
    }
    if (conn->pinged_ns == 0 && conn->heard_ns + conn->keepalive_ns <= conn->now_ns) {
        rpc__conn_check(conn, nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL));
        conn->pinged_ns = OAK_MAX(conn->now_ns, (uint64_t)1);
        rpc__conn_wake(conn);
    }
    uint64_t due_ns = conn->pinged_ns != 0 ? conn->pinged_ns + conn->keepalive_timeout_ns
                                           : conn->heard_ns + conn->keepalive_ns;
    if (conn->pinged_ns != 0 && due_ns <= conn->now_ns) {
        rpc__conn_break(conn, OAK_ECLOSED);
    } else {
        sooner(next_ns, due_ns);
    }
}

static void tick_drain(struct oak_rpc_conn *conn, uint64_t *next_ns)
{
    if (conn->drain_ns == 0 || conn->drain_final) {
        return;
    }
    uint64_t due_ns = conn->drain_ns + RPC_DRAIN_NS;
    if (due_ns > conn->now_ns) {
        sooner(next_ns, due_ns);
        return;
    }
    conn->drain_final = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(conn->session);
    rpc__conn_check(conn, nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, last,
                                                NGHTTP2_NO_ERROR, NULL, 0));
    rpc__conn_wake(conn);
}

/* A call whose peer neither ends a message that it began nor takes what is queued for it. */
static bool call_stalls(struct oak_rpc_call *call)
{
    bool owed = !call->ended && call->stream_id != 0 && oak_rpc_call_owed(call);
    bool stalls = owed && call->was_owed && call->moved_bytes < RPC_PROGRESS_BYTES;
    call->was_owed = owed;
    call->moved_bytes = 0;
    return stalls;
}

static void tick_stall(struct oak_rpc_conn *conn, uint64_t *next_ns)
{
    static const char text[] = "grpc: the peer makes no progress";
    uint64_t stall_ns = conn->options.limits.stall_ns;
    if (conn->server == NULL || conn->open_count == 0 || stall_ns == OAK_RPC_NEVER_NS) {
        conn->stall_due_ns = 0;
        return;
    }
    if (conn->stall_due_ns == 0) {
        conn->stall_due_ns = conn->now_ns + stall_ns;
    }
    if (conn->stall_due_ns <= conn->now_ns) {
        conn->stall_due_ns = conn->now_ns + stall_ns;
        struct oak_list *at = conn->open.next;
        while (at != &conn->open) {
            struct oak_rpc_call *call = OAK_LIST_ENTRY(at, struct oak_rpc_call, link);
            at = at->next;
            if (call_stalls(call)) {
                conn->server->traffic.stalled++;
                rpc__call_reset(call, NGHTTP2_ENHANCE_YOUR_CALM);
                rpc__call_end(call, OAK_RPC_CANCELLED, oak_bytes(text, sizeof(text) - 1));
            }
        }
    }
    sooner(next_ns, conn->stall_due_ns);
}

/* Too old, or without a call for too long: it is asked to go, and in the end made to. */
static void tick_age(struct oak_rpc_conn *conn, uint64_t *next_ns)
{
    if (conn->server == NULL) {
        return;
    }
    const struct oak_rpc_limits *l = &conn->options.limits;
    uint64_t due_ns = conn->age_due_ns;
    if (l->idle_max_ns != 0 && conn->open_count == 0) {
        uint64_t idle_due_ns = conn->idle_ns + l->idle_max_ns;
        due_ns = due_ns == 0 ? idle_due_ns : OAK_MIN(due_ns, idle_due_ns);
    }
    if (conn->drain_ns == 0 && due_ns != 0 && due_ns <= conn->now_ns) {
        conn->server->traffic.aged++;
        conn->outlived = true;
        rpc__conn_drain(conn);
    }
    if (conn->drain_ns == 0) {
        sooner_if(next_ns, due_ns);
    } else if (conn->outlived && l->age_grace_ns != 0) {
        uint64_t end_ns = conn->drain_ns + l->age_grace_ns;
        if (end_ns <= conn->now_ns) {
            conn->guard.reason = "max_age";
            rpc__conn_break(conn, OAK_ECLOSED);
        } else {
            sooner(next_ns, end_ns);
        }
    }
}

void oak_rpc_conn_tick(struct oak_rpc_conn *conn, uint64_t now_ns, uint64_t *next_ns)
{
    OAK_ASSERT_EQ(conn->depth, 0);
    *next_ns = 0;
    if (conn->broken != 0) {
        return;
    }
    conn->now_ns = OAK_MAX(conn->now_ns, now_ns);
    conn->depth++;
    rpc__conn_looks(conn);
    tick_deadlines(conn, next_ns);
    tick_handshake(conn, next_ns);
    tick_keepalive(conn, next_ns);
    tick_stall(conn, next_ns);
    tick_age(conn, next_ns);
    tick_drain(conn, next_ns);
    conn->depth--;
}

void rpc__conn_drain(struct oak_rpc_conn *conn)
{
    if (conn->drain_ns != 0 || conn->broken != 0) {
        return;
    }
    conn->drain_ns = OAK_MAX(conn->now_ns, (uint64_t)1);
    rpc__conn_check(conn, nghttp2_submit_shutdown_notice(conn->session));
    rpc__conn_wake(conn);
}
