/* SPDX-License-Identifier: Apache-2.0 */
/* abuse.c: how often a peer may do what costs us more than it costs the peer.
 *
 * Happy path   each kind of frame takes a token from its bucket; buckets refill with time.
 * Can fail     an empty bucket: the connection ends with GOAWAY ENHANCE_YOUR_CALM, whose debug
 *              data names the reason, and is counted in the server's traffic by its kind. Why
 *              these resets: rapid reset, and resets that the peer makes us send. PINGs,
 *              SETTINGS, empty DATA: work without progress. nghttp2 itself bounds CONTINUATION
 *              and unsent answers.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

struct rate {
    uint32_t burst;
    uint32_t per_second;
};

static const struct rate reset_rate = {1000, 100};
/* gRPC peers probe the bandwidth with one PING a round trip while data flows: refilled by DATA. */
static const struct rate ping_rate = {1000, 100};
static const struct rate settings_rate = {100, 10};
static const struct rate empty_rate = {1000, 100};
static const struct rate other_rate = {10000, 5000};

static const char *const kind_names[OAK_RPC_ABUSES] = {
    "resets", "pings",         "settings", "empty", "control",
    "unread", "continuations", "headers",  "slow",  "stalled"};

const char *oak_rpc_abuse_name(enum oak_rpc_abuse kind)
{
    return (size_t)kind < OAK_COUNT_OF(kind_names) ? kind_names[kind] : "unknown";
}

void rpc__guard_count(struct oak_rpc_traffic *traffic, enum oak_rpc_abuse kind)
{
    OAK_ASSERT_LT(kind, OAK_RPC_ABUSES);
    traffic->abuse_closed++;
    traffic->abuse[kind]++;
}

static bool bucket_take(struct rpc_bucket *b, struct rate rate, uint64_t now_ns)
{
    uint64_t step_ns = RPC_SECOND_NS / rate.per_second;
    if (b->used == 0 || b->filled_ns > now_ns) {
        b->filled_ns = now_ns;
    } else {
        uint64_t tokens = (now_ns - b->filled_ns) / step_ns;
        b->used -= (uint32_t)OAK_MIN(tokens, (uint64_t)b->used);
        b->filled_ns += tokens * step_ns;
    }
    if (b->used >= rate.burst) {
        return false;
    }
    b->used++;
    return true;
}

static void bucket_give(struct rpc_bucket *b, uint32_t tokens)
{
    b->used -= OAK_MIN(tokens, b->used);
}

bool rpc__guard_refuse(struct oak_rpc_conn *conn, enum oak_rpc_abuse kind, const char *reason)
{
    if (conn->guard.reason == NULL) {
        conn->guard.reason = reason;
        conn->guard.kind = kind;
    }
    return false;
}

/* etcd's policy in its simple form: with no call open, PINGs come at least 5 s apart, unless the
 * server was told otherwise. With calls open they may be told to as well. */
static bool ping_allowed(struct oak_rpc_conn *conn)
{
    struct rpc_guard *g = &conn->guard;
    uint64_t last_ns = g->ping_ns;
    const struct oak_rpc_limits *l = &conn->options.limits;
    uint64_t min_ns = conn->open_count > 0 ? l->ping_calls_min_ns : l->ping_min_ns;
    g->ping_ns = conn->now_ns;
    if (last_ns == 0 || conn->now_ns - last_ns >= min_ns) {
        return true;
    }
    g->ping_strikes++;
    return g->ping_strikes <= RPC_PING_STRIKES_MAX;
}

/* A reset of a call that was being worked on. Clients also reset what has finished before they had
 * closed their half: that is in order, however often. */
static bool reset_costs(struct oak_rpc_conn *conn, int32_t stream_id)
{
    const struct oak_rpc_call *call =
        nghttp2_session_get_stream_user_data(conn->session, stream_id);
    return conn->server != NULL && call != NULL && !call->finished;
}

bool rpc__guard_frame(struct oak_rpc_conn *conn, const nghttp2_frame *frame)
{
    struct rpc_guard *g = &conn->guard;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        return true;
    }
    if (frame->hd.type == NGHTTP2_DATA) {
        if (frame->hd.length > frame->data.padlen ||
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            return true;
        }
        return bucket_take(&g->empties, empty_rate, conn->now_ns) ||
               rpc__guard_refuse(conn, OAK_RPC_ABUSE_EMPTY, "too_many_empty_frames");
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM && reset_costs(conn, frame->hd.stream_id)) {
        return bucket_take(&g->resets, reset_rate, conn->now_ns) ||
               rpc__guard_refuse(conn, OAK_RPC_ABUSE_RESETS, "too_many_resets");
    }
    if (frame->hd.type == NGHTTP2_PING) {
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
            return true;
        }
        bool fair = bucket_take(&g->pings, ping_rate, conn->now_ns) &&
                    (conn->server == NULL || ping_allowed(conn));
        return fair || rpc__guard_refuse(conn, OAK_RPC_ABUSE_PINGS, "too_many_pings");
    }
    if (frame->hd.type == NGHTTP2_SETTINGS) {
        return (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 ||
               bucket_take(&g->settings, settings_rate, conn->now_ns) ||
               rpc__guard_refuse(conn, OAK_RPC_ABUSE_SETTINGS, "too_many_settings");
    }
    return true;
}

/* Asked for each frame, also those that nghttp2 drops without a word. */
bool rpc__guard_head(struct oak_rpc_conn *conn, const nghttp2_frame_hd *head)
{
    if (head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_DATA ||
        head->type == NGHTTP2_CONTINUATION) {
        return true;
    }
    return bucket_take(&conn->guard.others, other_rate, conn->now_ns) ||
           rpc__guard_refuse(conn, OAK_RPC_ABUSE_CONTROL, "too_many_control_frames");
}

bool rpc__guard_reset_sent(struct oak_rpc_conn *conn, uint32_t error)
{
    if (error == NGHTTP2_NO_ERROR || error == NGHTTP2_CANCEL) {
        return true; /* our own wish */
    }
    return bucket_take(&conn->guard.resets, reset_rate, conn->now_ns) ||
           rpc__guard_refuse(conn, OAK_RPC_ABUSE_RESETS, "too_many_stream_errors");
}

bool rpc__guard_headers(struct oak_rpc_conn *conn, size_t header_bytes)
{
    return header_bytes / RPC_HEADER_ABUSE_FACTOR <= conn->options.header_bytes_max ||
           rpc__guard_refuse(conn, OAK_RPC_ABUSE_HEADERS, "header_list_too_large");
}

void rpc__guard_sent(struct oak_rpc_conn *conn)
{
    struct rpc_guard *g = &conn->guard;
    g->ping_strikes = 0;
    g->ping_ns = 0;
    bucket_give(&g->pings, 1);
    bucket_give(&g->others, 4); /* WINDOW_UPDATEs for stream and connection */
}
