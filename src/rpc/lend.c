/* SPDX-License-Identifier: Apache-2.0 */
/* lend.c: large messages are written from where they lie.
 *
 * Happy path   a take that will be written at once gathers frame heads and small frames in one
 *              buffer; of a large frame it notes only where the bytes are, in its call's `out`.
 *              The stream writes both, piece by piece. Then all that was lent is given back.
 * Can fail     parting, for want of memory.
 * Invariants   from rpc__lend to rpc__lent_return the bytes that were lent neither move nor change:
 *              who would free, move or overwrite them (the call is sent to, dropped or released,
 *              by a handler that the take calls) leaves the buffer to the take.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

/* A head before each piece, and something behind the last. */
OAK_STATIC_ASSERT(2 * RPC_LENT_MAX + 1 <= OAK_STREAM_PIECES_MAX, "a take fits into one write");

bool rpc__is_lent(const struct oak_rpc_call *call)
{
    const struct rpc_lent *lent = call->conn->lent;
    return lent != NULL && call->lent_turn == lent->turn;
}

bool rpc__lend(struct oak_rpc_call *call, struct oak_bytes bytes, struct oak_rpc_shared *of)
{
    struct oak_rpc_conn *conn = call->conn;
    struct rpc_lent *lent = conn->lent;
    if (lent == NULL || bytes.size < RPC_LEND_BYTES || lent->count == RPC_LENT_MAX) {
        return false;
    }
    lent->pieces[lent->count] = (struct rpc_lent_piece){.at = conn->gather->size, .bytes = bytes};
    lent->count++;
    lent->bytes += bytes.size;
    if (of != NULL) {
        rpc__shared_hold(of);
        lent->shared[lent->shared_count] = of;
        lent->shared_count++;
    } else {
        call->lent_turn = lent->turn;
    }
    return true;
}

void rpc__lent_leave(struct oak_rpc_call *call)
{
    if (!rpc__is_lent(call)) {
        return;
    }
    struct rpc_lent *lent = call->conn->lent;
    OAK_ASSERT_LT(lent->buffer_count, lent->count); /* each has lent a piece at least */
    lent->buffers[lent->buffer_count] = call->out;
    lent->buffer_count++;
    call->out = (struct oak_buf){0};
    rpc__out_moved(call);
    call->lent_turn = 0;
}

int rpc__lent_part(struct oak_rpc_call *call)
{
    OAK_ASSERT(rpc__is_lent(call) && !call->pack_due);
    struct rpc_pool *pool = call->conn->pool;
    size_t left = call->out.size - call->out_at;
    struct oak_buf own = {0};
    if (left > RPC_SPARE_BUFFER_BYTES_MAX) {
        rpc__large_take(pool, &own);
    }
    int error = oak_buf_append(&own, call->out.data + call->out_at, left);
    if (error != 0) {
        rpc__large_give(pool, &own);
        oak_buf_fini(&own);
        return error;
    }
    rpc__lent_leave(call);
    call->out = own;
    return 0;
}

void rpc__lent_return(struct rpc_lent *lent, struct rpc_pool *pool)
{
    for (size_t i = 0; i < lent->buffer_count; i++) {
        struct oak_buf *buffer = &lent->buffers[i];
        oak_buf_clear(buffer);
        rpc__large_give(pool, buffer);
        oak_buf_fini(buffer); /* a small one, whose call has got another */
    }
    for (size_t i = 0; i < lent->shared_count; i++) {
        oak_rpc_shared_drop(lent->shared[i]);
    }
    lent->turn++;
    lent->shared_count = 0;
    lent->bytes = 0;
    lent->count = 0;
    lent->buffer_count = 0;
}

size_t rpc__lent_pieces(const struct rpc_lent *lent, struct oak_bytes gathered,
                        struct oak_bytes *out)
{
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i < lent->count; i++) {
        const struct rpc_lent_piece *p = &lent->pieces[i];
        OAK_ASSERT(p->at > at || i > 0); /* the head of its frame */
        if (p->at > at) {
            out[count++] = oak_bytes(gathered.data + at, p->at - at);
        }
        out[count++] = p->bytes;
        at = p->at;
    }
    if (gathered.size > at) {
        out[count++] = oak_bytes(gathered.data + at, gathered.size - at);
    }
    OAK_ASSERT_LE(count, OAK_STREAM_PIECES_MAX);
    return count;
}
