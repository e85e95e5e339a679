/* SPDX-License-Identifier: Apache-2.0 */
/* life.c: how a call begins, ends and goes back to the pool.
 *
 * Happy path   1 rpc__call_new
 *              2 its handler works
 *              3 rpc__call_end tells `closed`, once
 *              4 nghttp2 forgets the stream
 *              5 rpc__call_release. 3 and 4 in either order.
 * Can fail     1, for want of memory.
 * Invariants   a call is in exactly one list by its link; a spare one is all zero but for the
 *              capacity of its buffers. handler == NULL once ended.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

void *rpc__resize(void *p, size_t size)
{
    struct oak_alloc alloc = oak_alloc_libc();
    return alloc.resize(alloc.user, p, size);
}

void rpc__pool_init(struct rpc_pool *pool)
{
    *pool = (struct rpc_pool){0};
    oak_list_init(&pool->spare);
}

static void call_free(struct oak_rpc_call *call)
{
    oak_buf_fini(&call->meta);
    oak_buf_fini(&call->head);
    oak_buf_fini(&call->tail);
    oak_buf_fini(&call->out);
    oak_buf_fini(&call->shares);
    oak_buf_fini(&call->in);
    oak_buf_fini(&call->held);
    oak_buf_fini(&call->status_text);
    oak_buf_fini(&call->states);
    rpc__resize(call, 0);
}

void rpc__large_take(struct rpc_pool *pool, struct oak_buf *buffer)
{
    OAK_ASSERT_EQ(buffer->size, 0);
    for (size_t i = 0; i < RPC_LARGE_BUFFERS; i++) {
        if (pool->large[i].capacity > buffer->capacity) {
            struct oak_buf kept = pool->large[i];
            pool->large[i] = (struct oak_buf){0};
            oak_buf_fini(buffer);
            *buffer = kept;
            return;
        }
    }
}

void rpc__large_give(struct rpc_pool *pool, struct oak_buf *buffer)
{
    OAK_ASSERT_EQ(buffer->size, 0);
    if (buffer->capacity <= RPC_SPARE_BUFFER_BYTES_MAX) {
        return; /* stays with its call */
    }
    for (size_t i = 0; i < RPC_LARGE_BUFFERS; i++) {
        if (pool->large[i].capacity == 0 && buffer->capacity <= RPC_LARGE_BUFFER_BYTES_MAX) {
            pool->large[i] = *buffer;
            *buffer = (struct oak_buf){0};
            return;
        }
    }
    oak_buf_fini(buffer);
}

void rpc__pool_fini(struct rpc_pool *pool)
{
    for (size_t i = 0; i < RPC_LARGE_BUFFERS; i++) {
        oak_buf_fini(&pool->large[i]);
    }
    struct oak_list *node;
    while ((node = oak_list_pop(&pool->spare)) != NULL) {
        call_free(OAK_LIST_ENTRY(node, struct oak_rpc_call, link));
    }
    oak_buf_fini(&pool->fields);
    oak_buf_fini(&pool->text);
    oak_buf_fini(&pool->packed);
    oak_buf_fini(&pool->unpacked);
    oak_zip_fini(&pool->zip);
    rpc__blocks_fini(pool);
    pool->spare_count = 0;
}

void rpc__call_charge(struct oak_rpc_call *call, size_t bytes)
{
    call->charged_bytes += bytes;
    rpc__charge(call->conn, bytes);
}

void rpc__call_discharge(struct oak_rpc_call *call, size_t bytes)
{
    OAK_ASSERT_LE(bytes, call->charged_bytes);
    call->charged_bytes -= bytes;
    rpc__discharge(call->conn, bytes);
}

struct oak_rpc_call *rpc__call_new(struct oak_rpc_conn *conn)
{
    struct oak_list *node = oak_list_pop(&conn->pool->spare);
    struct oak_rpc_call *call;
    if (node != NULL) {
        conn->pool->spare_count--;
        call = OAK_LIST_ENTRY(node, struct oak_rpc_call, link);
    } else {
        call = rpc__resize(NULL, sizeof(*call));
        if (call == NULL) {
            return NULL;
        }
        *call = (struct oak_rpc_call){0};
    }
    call->conn = conn;
    oak_list_init(&call->link);
    oak_list_init(&call->ready_link);
    oak_list_push(&conn->open, &call->link);
    conn->open_count++;
    rpc__idle_end(conn);
    rpc__call_charge(call, sizeof(*call));
    return call;
}

static struct oak_buf buffer_keep(struct oak_buf buffer)
{
    if (buffer.capacity > RPC_SPARE_BUFFER_BYTES_MAX) {
        oak_buf_fini(&buffer);
    }
    oak_buf_clear(&buffer);
    return buffer;
}

void rpc__call_release(struct oak_rpc_call *call)
{
    OAK_ASSERT(call->ended);
    OAK_ASSERT_EQ(call->stream_id, 0);
    OAK_ASSERT_EQ(call->heap_place, 0);
    OAK_ASSERT(call->followers == NULL);
    struct oak_rpc_conn *conn = call->conn;
    struct rpc_pool *pool = conn->pool;
    oak_rpc_follower_leave(&call->following);
    rpc__call_drop_in(call);
    rpc__shares_drop(call);
    rpc__lent_leave(call);
    if (oak_list_linked(&call->ready_link)) {
        oak_list_remove(&call->ready_link);
    }
    oak_list_remove(&call->link);
    uint32_t *count = call->waiting ? &conn->waiting_count : &conn->open_count;
    OAK_ASSERT_GT(*count, 0);
    (*count)--;
    rpc__discharge(conn, call->charged_bytes);
    if (conn->open_count == 0) {
        rpc__idle_begin(conn);
    }
    if (pool->spare_count >= RPC_SPARE_CALLS_MAX) {
        call_free(call);
        return;
    }
    *call = (struct oak_rpc_call){
        .meta = buffer_keep(call->meta),
        .head = buffer_keep(call->head),
        .tail = buffer_keep(call->tail),
        .out = buffer_keep(call->out),
        .shares = buffer_keep(call->shares),
        .in = buffer_keep(call->in),
        .held = buffer_keep(call->held),
        .status_text = buffer_keep(call->status_text),
        .states = buffer_keep(call->states),
    };
    oak_list_init(&call->link);
    /* The one used last is the one whose memory is in the cache: to the front. */
    oak_list_push(pool->spare.next, &call->link);
    pool->spare_count++;
}

static enum oak_rpc_reach reach_of(const struct oak_rpc_call *call)
{
    bool reached = call->sent && !call->refused;
    if (call->conn->server != NULL || reached ||
        call->verdict_due) { /* the last: not to be asked */
        return OAK_RPC_REACHED;
    }
    return call->sent ? OAK_RPC_REFUSED : OAK_RPC_UNSENT;
}

void rpc__call_end(struct oak_rpc_call *call, enum oak_rpc_code code, struct oak_bytes text)
{
    OAK_ASSERT(!call->ended);
    OAK_ASSERT_LE(code, OAK_RPC_UNAUTHENTICATED);
    const struct oak_rpc_handler *handler = call->handler;
    call->ended = true;
    call->deaf = true;
    call->handler = NULL;
    rpc__deadlines_remove(&call->conn->deadlines, call);
    if (call->counted) {
        call->method->stats->handled[code]++;
    }
    rpc__call_drop_in(call);
    struct oak_rpc_status status = {.code = code, .message = text, .reach = reach_of(call)};
    bool server = call->conn->server != NULL;
    if (!server && call->status_received && call->code == code) {
        status.details = rpc__pairs_find(&call->meta, oak_bytes_str("grpc-status-details-bin"));
    }
    if (!server) {
        rpc__chain_closed(call, &status);
    }
    if (handler != NULL) {
        handler->closed(call->user, call, &status);
    }
    if (server) {
        rpc__chain_closed(call, &status);
        rpc__admit_end(call);
    }
    oak_rpc_followers_tell(&call->followers);
}

void rpc__call_drop_out(struct oak_rpc_call *call)
{
    rpc__call_discharge(call, rpc__call_queued(call));
    rpc__shares_drop(call);
    call->out_at = 0;
    call->pack_due = false;
    call->over_mark = false;
    rpc__lent_leave(call);
    oak_buf_clear(&call->out);
}

void rpc__call_drop_in(struct oak_rpc_call *call)
{
    size_t in_size = rpc__in_size(call);
    OAK_ASSERT_LE(in_size, call->conn->partial_bytes);
    call->conn->partial_bytes -= in_size;
    rpc__call_discharge(call, in_size + call->held.size);
    rpc__conn_unhold(call->conn, call->held.size);
    oak_buf_clear(&call->in);
    oak_buf_clear(&call->held);
    call->one_held = false;
}

void rpc__call_ready(struct oak_rpc_call *call)
{
    if (!oak_list_linked(&call->ready_link)) {
        oak_list_push(&call->conn->ready, &call->ready_link);
    }
    rpc__conn_wake(call->conn);
}

void rpc__call_look(struct oak_rpc_call *call)
{
    if (!call->ended && call->verdict_due) {
        rpc__call_end(call, call->code, oak_buf_bytes(&call->status_text));
    }
    if (!call->ended && call->cancelled) {
        rpc__call_end(call, OAK_RPC_CANCELLED, oak_bytes_str("call canceled"));
    }
    if (!call->ended) {
        rpc__frame_resume(call);
    }
    if (!call->ended && call->stream_gone && !call->paused) {
        rpc__client_finish(call, NGHTTP2_NO_ERROR);
    }
    if (call->ended && call->stream_id == 0) {
        rpc__call_release(call);
    }
}
