/* SPDX-License-Identifier: Apache-2.0 */
/* strict.c: frames that RFC 9113 forbids and nghttp2 lets pass, for lack of memory of what was.
 *
 * Happy path   a server remembers the streams that closed last, where the client had said its last
 *              word on them (END_STREAM or RST_STREAM); and the ids that the client skipped.
 *              HEADERS for one of those end the connection (5.1: STREAM_CLOSED; 5.1.1:
 *              PROTOCOL_ERROR), as does PRIORITY for no stream (6.3).
 * Can fail     nothing here. What was long ago is forgotten, and then nghttp2 drops the frame, as
 *              it does with DATA for streams that are no more, which it doesn't tell us of.
 * Invariants   a client that keeps to the RFC is never met by this: what may still come for a
 *              stream that we alone had closed is not looked at.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

void rpc__strict_opened(struct oak_rpc_conn *conn, int32_t stream_id)
{
    struct rpc_strict *s = &conn->strict;
    if (stream_id > s->last_id + 2) {
        struct rpc_skipped *skipped = &s->skipped[s->skipped_count++ % RPC_STRICT_SKIPPED];
        *skipped = (struct rpc_skipped){.from = s->last_id + 2, .to = stream_id - 2};
    }
    s->last_id = stream_id;
}

void rpc__strict_closed(struct oak_rpc_conn *conn, int32_t stream_id)
{
    struct rpc_strict *s = &conn->strict;
    s->closed[s->closed_count++ % RPC_STRICT_CLOSED] = stream_id;
}

static uint32_t past_check(const struct rpc_strict *s, int32_t stream_id)
{
    for (size_t i = 0; i < RPC_STRICT_CLOSED; i++) {
        if (s->closed[i] == stream_id) {
            return NGHTTP2_STREAM_CLOSED;
        }
    }
    for (size_t i = 0; i < RPC_STRICT_SKIPPED; i++) {
        if (stream_id >= s->skipped[i].from && stream_id <= s->skipped[i].to) {
            return NGHTTP2_PROTOCOL_ERROR;
        }
    }
    return NGHTTP2_NO_ERROR;
}

uint32_t rpc__strict_head(const struct oak_rpc_conn *conn, const nghttp2_frame_hd *head)
{
    if (conn->server == NULL) {
        return NGHTTP2_NO_ERROR;
    }
    if (head->type == NGHTTP2_PRIORITY && head->stream_id == 0) {
        return NGHTTP2_PROTOCOL_ERROR;
    }
    bool past = head->type == NGHTTP2_HEADERS && head->stream_id > 0 &&
                head->stream_id <= conn->strict.last_id &&
                nghttp2_session_get_stream_user_data(conn->session, head->stream_id) == NULL;
    return past ? past_check(&conn->strict, head->stream_id) : NGHTTP2_NO_ERROR;
}
