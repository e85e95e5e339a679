/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c: a client's connection to one address, made again whenever it is lost.
 *
 * Happy path   there is always a current connection, with or without a stream: calls made before
 *              the stream is there wait in it. Connected, they start.
 * Can fail     connecting: tried again with back-off. The stream is lost: calls that had started
 *              end with UNAVAILABLE, the others move to the next connection. GOAWAY: the same,
 *              but what has started goes on over the old connection, which closes when it is
 *              done.
 * Invariants   at most one connect is under way; current is NULL only while closing.
 * Thread       the loop's.
 */
#include "rpc/internal.h"

#define BACKOFF_FIRST_NS (1 * RPC_SECOND_NS)
#define BACKOFF_MAX_NS   (20 * RPC_SECOND_NS)

struct oak_rpc_channel {
    const struct oak_loop *loop;
    struct oak_rpc_channel_options options; /* no zeros but keepalive_ns */
    struct rpc_pool pool;
    struct rpc_links links; /* the current one, and old ones with calls to end */
    struct rpc_link *current;
    struct oak_rpc_traffic traffic;
    struct oak_timer retry;
    struct oak_prng prng;
    uint64_t backoff_ns;
    uint64_t connected_ns;
    bool connecting;
    bool up; /* what `state` was told last */
    bool closing;
    char address[256];
    /* A stream that came when the channel was already closing. */
    struct oak_stream_handler leaving;
    bool leaving_open;
};

static struct oak_rpc_channel *channel_of(struct rpc_links *links)
{
    return OAK_CONTAINER_OF(links, struct oak_rpc_channel, links);
}

static uint64_t now_of(const struct oak_rpc_channel *channel)
{
    return channel->loop->clock.mono_ns(channel->loop->clock.user);
}

static void state_tell(struct oak_rpc_channel *channel, bool up)
{
    if (channel->up == up) {
        return;
    }
    channel->up = up;
    if (channel->options.state != NULL && !channel->closing) {
        channel->options.state(channel->options.user, up);
    }
}

/* The last of it is gone: so is the channel. */
static void free_if_over(struct oak_rpc_channel *channel)
{
    if (!channel->closing || channel->connecting || channel->leaving_open ||
        !oak_list_empty(&channel->links.all)) {
        return;
    }
    rpc__links_fini(&channel->links);
    rpc__pool_fini(&channel->pool);
    rpc__resize(channel, 0);
}

/* -- connecting -------------------------------------------------------------------------------- */

static void retry_later(struct oak_rpc_channel *channel)
{
    uint64_t base_ns = OAK_MIN(channel->backoff_ns, channel->options.backoff_max_ns);
    uint64_t jitter_ns = base_ns / 5;
    uint64_t delay_ns = oak_prng_between(&channel->prng, base_ns - jitter_ns, base_ns + jitter_ns);
    channel->backoff_ns = OAK_MIN(base_ns + base_ns * 3 / 5, channel->options.backoff_max_ns);
    const struct oak_timers *timers = &channel->loop->timers;
    timers->set(timers->user, &channel->retry, now_of(channel) + delay_ns);
}

static struct rpc_link *link_fresh(struct oak_rpc_channel *channel)
{
    struct oak_rpc_conn *conn;
    if (rpc__conn_new(NULL, &channel->pool, &channel->options.rpc, channel->address,
                      now_of(channel), &conn) != 0) {
        return NULL;
    }
    struct rpc_link *link = rpc__link_new(&channel->links, conn);
    if (link == NULL) {
        oak_rpc_conn_free(conn);
    }
    return link;
}

/* A new connection takes over what has not started. False: no memory. */
static bool current_replace(struct oak_rpc_channel *channel)
{
    struct rpc_link *old = channel->current;
    struct rpc_link *fresh = link_fresh(channel);
    if (fresh == NULL) {
        return false;
    }
    channel->current = fresh;
    if (old != NULL) {
        rpc__client_move_waiting(old->conn, fresh->conn);
    }
    return true;
}

static void leaving_data(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}

static void leaving_drained(void *user)
{
    (void)user;
}

static void leaving_closed(void *user, int error)
{
    (void)error;
    struct oak_rpc_channel *channel = user;
    channel->leaving_open = false;
    free_if_over(channel);
}

static void connect_done(void *arg, int error, struct oak_stream *stream)
{
    struct oak_rpc_channel *channel = arg;
    channel->connecting = false;
    if (channel->closing) {
        if (error == 0) {
            channel->leaving = (struct oak_stream_handler){.data = leaving_data,
                                                           .drained = leaving_drained,
                                                           .closed = leaving_closed,
                                                           .user = channel};
            channel->leaving_open = true;
            stream->ops->handle(stream, &channel->leaving);
            stream->ops->close(stream, true);
        }
        free_if_over(channel);
        return;
    }
    if (error != 0) {
        retry_later(channel);
        return;
    }
    struct oak_rpc_conn *conn = channel->current->conn;
    channel->connected_ns = now_of(channel);
    rpc__conn_begin(conn, channel->connected_ns, &channel->options);
    rpc__link_open(channel->current, stream, oak_bytes(NULL, 0));
    state_tell(channel, true);
}

static void connect_start(struct oak_rpc_channel *channel)
{
    OAK_ASSERT(!channel->connecting && !channel->closing);
    OAK_ASSERT(channel->current->stream == NULL);
    const struct oak_net *net = &channel->loop->net;
    channel->connecting = true;
    int error = net->connect(net->user, channel->address, channel->options.connect_timeout_ns,
                             connect_done, channel);
    if (error != 0) {
        channel->connecting = false;
        retry_later(channel);
    }
}

static void retry_fire(struct oak_timer *timer)
{
    struct oak_rpc_channel *channel = OAK_CONTAINER_OF(timer, struct oak_rpc_channel, retry);
    bool stale = channel->current == NULL || channel->current->conn->going;
    if (stale && !current_replace(channel)) {
        retry_later(channel);
        return;
    }
    if (channel->current->stream == NULL && !channel->connecting) {
        connect_start(channel);
    }
}

/* -- what the links tell ----------------------------------------------------------------------- */

/* The current connection was replaced. One that worked for a while is made again at once; a peer
 * that hangs up on every new one is not hurried. */
static void reconnect(struct oak_rpc_channel *channel, bool settled)
{
    state_tell(channel, false);
    uint64_t lived_ns = now_of(channel) - channel->connected_ns;
    uint64_t first_ns = OAK_MIN(BACKOFF_FIRST_NS, channel->options.backoff_max_ns);
    if (settled) {
        channel->backoff_ns = first_ns;
    }
    if (channel->current == NULL || !settled || lived_ns < first_ns) {
        retry_later(channel);
    } else if (!channel->connecting) {
        connect_start(channel);
    }
}

static void link_lost(struct rpc_links *links, struct rpc_link *link)
{
    struct oak_rpc_channel *channel = channel_of(links);
    if (channel->closing || link != channel->current) {
        return;
    }
    if (!current_replace(channel)) {
        channel->current = NULL; /* the waiting calls end like those that had started */
    }
    reconnect(channel, link->conn->settings_received);
}

/* After GOAWAY the current connection starts no more calls: go on with another one. */
static void renew(struct oak_rpc_channel *channel)
{
    bool settled = channel->current->conn->settings_received;
    if (current_replace(channel)) {
        reconnect(channel, settled);
    } else {
        retry_later(channel);
    }
}

static void links_flushed(struct rpc_links *links)
{
    struct oak_rpc_channel *channel = channel_of(links);
    bool stale = !channel->closing && channel->current != NULL && channel->current->conn->going;
    if (stale && !channel->retry.running) {
        renew(channel);
    }
}

static void link_gone(struct rpc_links *links)
{
    struct oak_rpc_channel *channel = channel_of(links);
    free_if_over(channel);
}

/* -- the door ---------------------------------------------------------------------------------- */

static void options_fill(struct oak_rpc_channel_options *o)
{
    o->rpc = rpc__options(&o->rpc);
    o->connect_timeout_ns = o->connect_timeout_ns != 0 ? o->connect_timeout_ns : RPC_SECOND_NS;
    o->backoff_max_ns = o->backoff_max_ns != 0 ? o->backoff_max_ns : BACKOFF_MAX_NS;
    o->keepalive_timeout_ns =
        o->keepalive_timeout_ns != 0 ? o->keepalive_timeout_ns : RPC_KEEPALIVE_TIMEOUT_NS;
}

int oak_rpc_channel_new(const struct oak_loop *loop, const char *address,
                        const struct oak_rpc_channel_options *options, struct oak_rpc_channel **out)
{
    if (strlen(address) >= sizeof(((struct oak_rpc_channel *)0)->address)) {
        return OAK_ELIMIT;
    }
    struct oak_rpc_channel *channel = rpc__resize(NULL, sizeof(*channel));
    if (channel == NULL) {
        return OAK_ENOMEM;
    }
    *channel = (struct oak_rpc_channel){
        .loop = loop, .retry.fire = retry_fire, .backoff_ns = BACKOFF_FIRST_NS};
    if (options != NULL) {
        channel->options = *options;
    }
    options_fill(&channel->options);
    memcpy(channel->address, address, strlen(address) + 1);
    uint64_t seed;
    loop->entropy.fill(loop->entropy.user, &seed, sizeof(seed));
    oak_prng_init(&channel->prng, seed);
    rpc__pool_init(&channel->pool);
    rpc__links_init(&channel->links, loop);
    channel->links.traffic = &channel->traffic;
    channel->links.lost = link_lost;
    channel->links.gone = link_gone;
    channel->links.flushed = links_flushed;
    channel->current = link_fresh(channel);
    if (channel->current == NULL) {
        rpc__links_fini(&channel->links);
        rpc__pool_fini(&channel->pool);
        rpc__resize(channel, 0);
        return OAK_ENOMEM;
    }
    *out = channel;
    connect_start(channel);
    return 0;
}

void oak_rpc_channel_free(struct oak_rpc_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    OAK_ASSERT(!channel->closing);
    channel->closing = true;
    channel->current = NULL;
    channel->loop->timers.stop(channel->loop->timers.user, &channel->retry);
    struct oak_list *at = channel->links.all.next;
    while (at != &channel->links.all) {
        struct rpc_link *link = OAK_LIST_ENTRY(at, struct rpc_link, link);
        at = at->next;
        rpc__conn_end_open(link->conn, OAK_RPC_CANCELLED, "the channel was closed");
        rpc__conn_end_waiting(link->conn, OAK_RPC_CANCELLED, "the channel was closed");
        if (link->stream == NULL) {
            rpc__link_free(link);
        } else {
            rpc__link_close(link, true);
        }
    }
    free_if_over(channel);
}

bool oak_rpc_channel_connected(const struct oak_rpc_channel *channel)
{
    return channel->up;
}

int oak_rpc_channel_call(struct oak_rpc_channel *channel, const struct oak_rpc_request *request,
                         struct oak_rpc_call **out)
{
    if (channel->closing || (request->fail_fast && !channel->up)) {
        return OAK_ECLOSED;
    }
    if (channel->current == NULL || (channel->current->conn->going && !current_replace(channel))) {
        return OAK_ENOMEM;
    }
    return oak_rpc_conn_call(channel->current->conn, request, now_of(channel), out);
}
