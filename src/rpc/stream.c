/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: a connection over a byte stream of the loop.
 *
 * Happy path   bytes come → feed → the link is dirty → when the round ends, all that the
 *              connection has to say is gathered and written at once → the link is clean.
 * Can fail     the stream (lost: the owner moves the calls that have not started, the rest end
 *              with UNAVAILABLE); a peer that doesn't read: nothing more is written for it, a
 *              server reads nothing more of it, and if it takes nothing for RPC_STALL_NS, it is let
 *              go.
 * Invariants   the after-hook is added exactly while `dirty` is not empty: added late, it runs
 *              behind the hooks that make replies. One timer a link. A client reads whatever it has
 *              to write: of two ends that have more to write than the other takes, one reads, so
 *              that neither waits for the other for ever.
 * Thread       the loop's.
 */
#include "rpc/internal.h"

static uint64_t now_of(const struct rpc_link *link)
{
    const struct oak_clock *clock = &link->links->loop->clock;
    return clock->mono_ns(clock->user);
}

/* -- dirty links ------------------------------------------------------------------------------- */

static void link_mark(struct rpc_link *link)
{
    struct rpc_links *links = link->links;
    if (oak_list_linked(&link->dirty_link)) {
        return;
    }
    if (oak_list_empty(&links->dirty)) {
        links->loop->after_add(links->loop->user, &links->after);
    }
    oak_list_push(&links->dirty, &link->dirty_link);
}

/* The connection has something to say, maybe because a hook of another room made it: then this
 * round's hooks may be over for one that is added now. The timer brings the next round at once; if
 * the hook still runs in this one, it is stopped and has cost nothing but that. */
static void link_wake(void *user)
{
    struct rpc_link *link = user;
    struct rpc_links *links = link->links;
    link_mark(link);
    if (link->conn->depth == 0 && !links->soon.running) {
        const struct oak_timers *timers = &links->loop->timers;
        timers->set(timers->user, &links->soon, now_of(link));
    }
}

static void soon_fire(struct oak_timer *timer)
{
    (void)timer; /* the hook is there already: that the round came is enough */
}

static void link_clean(struct rpc_link *link)
{
    struct rpc_links *links = link->links;
    if (!oak_list_linked(&link->dirty_link)) {
        return;
    }
    oak_list_remove(&link->dirty_link);
    if (oak_list_empty(&links->dirty)) {
        links->loop->after_remove(links->loop->user, &links->after);
    }
}

static void timer_arm(struct rpc_link *link, uint64_t next_ns)
{
    const struct oak_timers *timers = &link->links->loop->timers;
    if (next_ns == 0) {
        timers->stop(timers->user, &link->timer);
    } else if (!link->timer.running || next_ns < link->timer.due_ns) {
        timers->set(timers->user, &link->timer,
                    next_ns); /* else it fires early, and is set again */
    }
}

/* Write the next of what the connection has to say. False: there is nothing, or the stream is gone.
 */
static bool link_write_some(struct rpc_link *link)
{
    struct rpc_links *links = link->links;
    struct rpc_lent *lent = &links->lent;
    struct oak_buf *out = &links->out;
    const struct oak_stream_ops *ops = link->stream->ops;
    oak_buf_clear(out);
    rpc__conn_gather(link->conn, out, ops->write_pieces != NULL ? lent : NULL);
    if (out->size == 0) {
        OAK_ASSERT_EQ(lent->count, 0); /* a piece has its frame's head before it */
        return false;
    }
    links->traffic->sent_bytes += out->size + lent->bytes;
    int error;
    if (lent->count == 0) {
        error = ops->write(link->stream, oak_buf_bytes(out));
    } else {
        struct oak_bytes pieces[OAK_STREAM_PIECES_MAX];
        size_t count = rpc__lent_pieces(lent, oak_buf_bytes(out), pieces);
        error = ops->write_pieces(link->stream, pieces, count);
    }
    rpc__lent_return(lent, link->conn->pool);
    return error == 0; /* else `closed` is on its way */
}

/* What a server reads makes it write; what a client reads are answers, which it has asked for. */
static bool reads_always(const struct rpc_link *link)
{
    return link->conn->server == NULL;
}

/* As long as the stream takes it. */
static void link_write(struct rpc_link *link)
{
    struct rpc_links *links = link->links;
    const struct oak_stream_ops *ops = link->stream->ops;
    while (!link->stalled && link_write_some(link)) {
        size_t queued = ops->queued(link->stream);
        if (queued > OAK_OUTBOUND_BYTES_MAX) {
            link->stalled = true;
            link->stalled_bytes = queued;
            link->stalled_ns = now_of(link);
            if (!reads_always(link)) {
                ops->pause(link->stream, true);
            }
        }
    }
    if (links->out.capacity > 4 * RPC_TAKE_BYTES) {
        oak_buf_fini(&links->out);
    }
}

/* A stalled peer that has taken something since the last look gets more time. */
static uint64_t stall_check(struct rpc_link *link, uint64_t now_ns)
{
    uint64_t due_ns = link->stalled_ns + RPC_STALL_NS;
    if (now_ns < due_ns) {
        return due_ns;
    }
    size_t queued = link->stream->ops->queued(link->stream);
    if (queued >= link->stalled_bytes) {
        rpc__guard_count(link->links->traffic, OAK_RPC_ABUSE_STALLED);
        rpc__link_close(link, true);
        return 0;
    }
    link->stalled_bytes = queued;
    link->stalled_ns = now_ns;
    return now_ns + RPC_STALL_NS;
}

static void link_flush(struct rpc_link *link)
{
    uint64_t now_ns = now_of(link);
    uint64_t next_ns = 0;
    if (!link->closing) {
        oak_rpc_conn_tick(link->conn, now_ns, &next_ns);
    }
    if (link->stream != NULL && !link->closing) {
        link_write(link);
        if (oak_rpc_conn_done(link->conn)) {
            rpc__link_close(link, false);
        } else if (link->stalled) {
            uint64_t due_ns = stall_check(link, now_ns);
            next_ns = next_ns == 0 || due_ns < next_ns ? due_ns : next_ns;
        }
    }
    if (!link->closing) {
        timer_arm(link, next_ns);
    }
    link_clean(link);
}

static void links_after(struct oak_after *after)
{
    struct rpc_links *links = OAK_CONTAINER_OF(after, struct rpc_links, after);
    while (!oak_list_empty(&links->dirty)) {
        link_flush(OAK_LIST_ENTRY(links->dirty.next, struct rpc_link, dirty_link));
    }
    links->loop->timers.stop(links->loop->timers.user, &links->soon);
    if (links->flushed != NULL) {
        links->flushed(links);
    }
}

void rpc__links_init(struct rpc_links *links, const struct oak_loop *loop)
{
    *links = (struct rpc_links){
        .loop = loop, .after.run = links_after, .soon.fire = soon_fire, .lent.turn = 1};
    oak_list_init(&links->all);
    oak_list_init(&links->dirty);
    oak_list_init(&links->after.link);
}

void rpc__links_fini(struct rpc_links *links)
{
    OAK_ASSERT(oak_list_empty(&links->all));
    OAK_ASSERT(oak_list_empty(&links->dirty));
    if (links->loop != NULL) { /* a server whose connections have no transport needs no loop */
        links->loop->timers.stop(links->loop->timers.user, &links->soon);
    }
    oak_buf_fini(&links->out);
}

/* -- the stream's callbacks -------------------------------------------------------------------- */

static void link_data(void *user, struct oak_bytes bytes)
{
    struct rpc_link *link = user;
    if (link->closing) {
        return;
    }
    link->links->traffic->received_bytes += bytes.size;
    int error = oak_rpc_conn_feed(link->conn, bytes, now_of(link));
    OAK_MAYBE(error != 0); /* then the flush sends the goodbye and closes */
    link_mark(link);
}

static void link_drained(void *user)
{
    struct rpc_link *link = user;
    if (!link->stalled || link->closing) {
        return;
    }
    link->stalled = false;
    if (!reads_always(link)) {
        link->stream->ops->pause(link->stream, false);
    }
    link_mark(link);
}

static void link_closed(void *user, int error)
{
    struct rpc_link *link = user;
    struct rpc_links *links = link->links;
    OAK_MAYBE(error != 0); /* for the calls it makes no difference why */
    link->stream = NULL;
    link->conn->identity = NULL;
    link->conn->process = NULL;
    links->lost(links, link);
    rpc__link_free(link);
    links->gone(links);
}

static void link_tick(struct oak_timer *timer)
{
    struct rpc_link *link = OAK_CONTAINER_OF(timer, struct rpc_link, timer);
    if (link->closing && link->stream != NULL) {
        link->stream->ops->close(link->stream, true); /* it had its time to linger */
        return;
    }
    link_mark(link);
}

/* -- new to free ------------------------------------------------------------------------------- */

struct rpc_link *rpc__link_new(struct rpc_links *links, struct oak_rpc_conn *conn)
{
    struct rpc_link *link = rpc__resize(NULL, sizeof(*link));
    if (link == NULL) {
        return NULL;
    }
    *link = (struct rpc_link){.links = links, .conn = conn, .timer.fire = link_tick};
    oak_list_init(&link->link);
    oak_list_init(&link->dirty_link);
    oak_list_push(&links->all, &link->link);
    conn->wake = link_wake;
    conn->wake_user = link;
    return link;
}

void rpc__link_open(struct rpc_link *link, struct oak_stream *stream, struct oak_bytes early)
{
    OAK_ASSERT(link->stream == NULL);
    link->stream = stream;
    link->handler = (struct oak_stream_handler){
        .data = link_data, .drained = link_drained, .closed = link_closed, .user = link};
    stream->ops->handle(stream, &link->handler);
    link->conn->secure = stream->ops->identity != NULL;
    link->conn->identity = link->conn->secure ? stream->ops->identity(stream) : NULL;
    link->conn->process = stream->ops->process != NULL ? stream->ops->process(stream) : NULL;
    if (early.size > 0) {
        link_data(link, early);
    }
    link_mark(link);
}

void rpc__link_close(struct rpc_link *link, bool now)
{
    OAK_ASSERT(link->stream != NULL);
    if (!link->closing) {
        link->closing = true;
        rpc__conn_end_open(link->conn, OAK_RPC_UNAVAILABLE, "connection closed");
        const struct oak_timers *timers = &link->links->loop->timers;
        timers->set(timers->user, &link->timer, now_of(link) + RPC_LINGER_NS);
    }
    link->stream->ops->close(link->stream, now);
}

void rpc__link_free(struct rpc_link *link)
{
    OAK_ASSERT(link->stream == NULL);
    const struct oak_timers *timers = &link->links->loop->timers;
    timers->stop(timers->user, &link->timer);
    link_clean(link);
    oak_list_remove(&link->link);
    oak_rpc_conn_free(link->conn);
    rpc__resize(link, 0);
}
