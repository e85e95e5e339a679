/* SPDX-License-Identifier: Apache-2.0 */
/* bandwidth.c: receive windows grow to what the path to the peer carries.
 *
 * A window smaller than what is on its way in one round trip makes the sender wait for us. How much
 * that is, is measured as gRPC's libraries do ("BDP"): a PING is sent, and what comes until it is
 * answered is counted.
 *
 * Happy path   1 an eighth of a window has come: a PING of our own kind
 *              2 its answer: has more than two thirds of the window come since, and in a second a
 *                quarter more than ever before? Then the window was what it waited for: twice that
 *                much is the new one, for streams (SETTINGS) and for the connection
 *              3 otherwise the path is slower than the window: look again a second later.
 * Can fail     the PING or SETTINGS, for want of memory: the connection breaks (rpc__conn_check).
 * Invariants   windows never shrink, and never pass window_bytes_max and half as much again.
 *              Whoever receives little is never asked: no PING without as many bytes before it.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

static const uint8_t probe[8] = {'o', 'a', 'k', '-', 'b', 'd', 'p', '1'};

static bool may_grow(const struct oak_rpc_conn *conn)
{
    return conn->options.window_bytes < conn->options.window_bytes_max;
}

void rpc__bandwidth_data(struct oak_rpc_conn *conn, size_t size)
{
    struct rpc_bandwidth *b = &conn->bandwidth;
    b->bytes += size;
    if (b->asked || !may_grow(conn) || b->bytes < conn->options.window_bytes / 8 ||
        conn->now_ns < b->after_ns) {
        return;
    }
    rpc__conn_check(conn, nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, probe));
    b->asked = true;
    b->asked_ns = conn->now_ns;
    b->bytes = 0;
}

static void grow(struct oak_rpc_conn *conn, uint64_t bytes)
{
    struct oak_rpc_options *o = &conn->options;
    o->window_bytes = (uint32_t)OAK_MIN(2 * bytes, (uint64_t)o->window_bytes_max);
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->window_bytes};
    rpc__conn_check(conn, nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, &entry, 1));
    uint64_t all = OAK_MIN((uint64_t)o->window_bytes / 2 * 3, (uint64_t)INT32_MAX);
    if (all > o->connection_window_bytes) {
        o->connection_window_bytes = (uint32_t)all;
        rpc__conn_check(conn, nghttp2_session_set_local_window_size(
                                  conn->session, NGHTTP2_FLAG_NONE, 0, (int32_t)all));
    }
}

bool rpc__bandwidth_answer(struct oak_rpc_conn *conn, const uint8_t payload[8])
{
    struct rpc_bandwidth *b = &conn->bandwidth;
    if (!b->asked || memcmp(payload, probe, sizeof(probe)) != 0) {
        return false;
    }
    b->asked = false;
    uint64_t took_ns = OAK_MAX(conn->now_ns - b->asked_ns, (uint64_t)1);
    uint64_t pace = b->bytes * RPC_SECOND_NS / took_ns;
    bool waited = b->bytes > (uint64_t)conn->options.window_bytes * 2 / 3;
    if (waited && pace > b->best + b->best / 4) {
        b->best = pace;
        grow(conn, b->bytes);
        b->after_ns = conn->now_ns + took_ns; /* then the first comes that the new one let go */
    } else {
        b->after_ns = conn->now_ns + RPC_BANDWIDTH_PAUSE_NS;
    }
    b->bytes = 0;
    return true;
}
