/* SPDX-License-Identifier: Apache-2.0 */
/* subchannel.c: a client's connection to one address, made again whenever it is lost.
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

struct oak_rpc_subchannel {
    const struct oak_loop *loop;
    struct oak_rpc_subchannel_options options; /* no zeros but keepalive_ns */
    struct rpc_pool pool;
    struct rpc_links links; /* the current one, and old ones with calls to end */
    struct rpc_link *current;
    struct oak_rpc_traffic traffic;
    struct oak_timer retry;
    struct oak_prng prng;
    uint64_t backoff_ns;
    uint64_t begun_ns; /* the last connect */
    uint64_t connected_ns;
    bool connecting;
    bool up; /* what `state` was told last */
    bool closing;
    enum oak_rpc_subchannel_state state; /* on demand */
    int failure;                         /* on demand: why CONNECTING is about to fail */
    char address[256];
    /* A stream that came when the channel was already closing. */
    struct oak_stream_handler leaving;
    bool leaving_open;
};

static struct oak_rpc_subchannel *sub_of(struct rpc_links *links)
{
    return OAK_CONTAINER_OF(links, struct oak_rpc_subchannel, links);
}

static uint64_t now_of(const struct oak_rpc_subchannel *sub)
{
    return sub->loop->clock.mono_ns(sub->loop->clock.user);
}

static void state_tell(struct oak_rpc_subchannel *sub, bool up)
{
    if (sub->up == up) {
        return;
    }
    sub->up = up;
    if (sub->options.state != NULL && !sub->closing) {
        sub->options.state(sub->options.user, up);
    }
}

/* The last of it is gone: so is the channel. */
static void free_if_over(struct oak_rpc_subchannel *sub)
{
    if (!sub->closing || sub->connecting || sub->leaving_open || !oak_list_empty(&sub->links.all)) {
        return;
    }
    void (*gone)(void *user) = sub->options.gone;
    void *user = sub->options.user;
    rpc__links_fini(&sub->links);
    rpc__pool_fini(&sub->pool);
    rpc__resize(sub, 0);
    if (gone != NULL) {
        gone(user);
    }
}

/* -- connecting -------------------------------------------------------------------------------- */

static void timer_set(struct oak_rpc_subchannel *sub, uint64_t due_ns)
{
    const struct oak_timers *timers = &sub->loop->timers;
    timers->set(timers->user, &sub->retry, due_ns);
}

static void retry_later(struct oak_rpc_subchannel *sub)
{
    uint64_t base_ns = OAK_MIN(sub->backoff_ns, sub->options.backoff_max_ns);
    uint64_t jitter_ns = base_ns / 5;
    uint64_t delay_ns = oak_prng_between(&sub->prng, base_ns - jitter_ns, base_ns + jitter_ns);
    sub->backoff_ns = OAK_MIN(base_ns + base_ns * 3 / 5, sub->options.backoff_max_ns);
    timer_set(sub, now_of(sub) + delay_ns);
}

static void become(struct oak_rpc_subchannel *sub, enum oak_rpc_subchannel_state state, int error)
{
    OAK_ASSERT(sub->options.on_demand && sub->state != state);
    sub->state = state;
    sub->up = state == OAK_RPC_SUBCHANNEL_READY;
    if (sub->options.changed != NULL && !sub->closing) {
        sub->options.changed(sub->options.user, state, error);
    }
}

static void connect_failed(struct oak_rpc_subchannel *sub, int error)
{
    retry_later(sub);
    if (sub->options.on_demand) {
        if (sub->current != NULL) {
            rpc__link_free(sub->current);
            sub->current = NULL;
        }
        sub->failure = 0;
        become(sub, OAK_RPC_SUBCHANNEL_FAILED, error);
    }
}

static struct rpc_link *link_fresh(struct oak_rpc_subchannel *sub)
{
    struct oak_rpc_conn *conn;
    if (rpc__conn_new(NULL, &sub->pool, &sub->options.rpc, sub->address, now_of(sub), &conn) != 0) {
        return NULL;
    }
    struct rpc_link *link = rpc__link_new(&sub->links, conn);
    if (link == NULL) {
        oak_rpc_conn_free(conn);
    }
    return link;
}

/* A new connection takes over what has not started. False: no memory. */
static bool current_replace(struct oak_rpc_subchannel *sub)
{
    struct rpc_link *old = sub->current;
    struct rpc_link *fresh = link_fresh(sub);
    if (fresh == NULL) {
        return false;
    }
    sub->current = fresh;
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
    struct oak_rpc_subchannel *sub = user;
    sub->leaving_open = false;
    free_if_over(sub);
}

static void connect_done(void *arg, int error, struct oak_stream *stream)
{
    struct oak_rpc_subchannel *sub = arg;
    sub->connecting = false;
    if (sub->closing) {
        if (error == 0) {
            sub->leaving = (struct oak_stream_handler){.data = leaving_data,
                                                       .drained = leaving_drained,
                                                       .closed = leaving_closed,
                                                       .user = sub};
            sub->leaving_open = true;
            stream->ops->handle(stream, &sub->leaving);
            stream->ops->close(stream, true);
        }
        free_if_over(sub);
        return;
    }
    if (error != 0) {
        connect_failed(sub, error);
        return;
    }
    struct oak_rpc_conn *conn = sub->current->conn;
    sub->connected_ns = now_of(sub);
    rpc__conn_begin(conn, sub->connected_ns, &sub->options);
    rpc__link_open(sub->current, stream, oak_bytes(NULL, 0));
    if (sub->options.on_demand) { /* the time to connect is also the time to say SETTINGS */
        timer_set(sub, sub->begun_ns + sub->options.connect_timeout_ns);
    } else {
        state_tell(sub, true);
    }
}

/* What it returns was not told to anybody. */
static int connect_start(struct oak_rpc_subchannel *sub)
{
    OAK_ASSERT(!sub->connecting && !sub->closing);
    OAK_ASSERT(sub->current->stream == NULL);
    const struct oak_net *net = sub->options.net != NULL ? sub->options.net : &sub->loop->net;
    const char *name = sub->options.name;
    uint64_t timeout_ns = sub->options.connect_timeout_ns;
    sub->begun_ns = now_of(sub);
    sub->connecting = true;
    int error = name != NULL && net->connect_as != NULL
                    ? net->connect_as(net->user, sub->address, name, timeout_ns, connect_done, sub)
                    : net->connect(net->user, sub->address, timeout_ns, connect_done, sub);
    sub->connecting = error == 0;
    return error;
}

/* As connect_start, for who has nobody to tell. */
static void connect_again(struct oak_rpc_subchannel *sub)
{
    if (connect_start(sub) != 0) {
        retry_later(sub);
    }
}

/* The timer of a subchannel on demand: the back-off is over, or the time to connect. */
static void demand_fire(struct oak_rpc_subchannel *sub)
{
    if (sub->state == OAK_RPC_SUBCHANNEL_FAILED) {
        become(sub, OAK_RPC_SUBCHANNEL_IDLE, 0);
    } else if (sub->failure != 0) {
        connect_failed(sub, sub->failure);
    } else {
        OAK_ASSERT_EQ(sub->state, OAK_RPC_SUBCHANNEL_CONNECTING);
        sub->failure = OAK_EDEADLINE;
        rpc__link_close(sub->current, true);
    }
}

static void retry_fire(struct oak_timer *timer)
{
    struct oak_rpc_subchannel *sub = OAK_CONTAINER_OF(timer, struct oak_rpc_subchannel, retry);
    if (sub->options.on_demand) {
        demand_fire(sub);
        return;
    }
    bool stale = sub->current == NULL || sub->current->conn->going;
    if (stale && !current_replace(sub)) {
        retry_later(sub);
        return;
    }
    if (sub->current->stream == NULL && !sub->connecting) {
        connect_again(sub);
    }
}

/* -- what the links tell ----------------------------------------------------------------------- */

/* The current connection was replaced. One that worked for a while is made again at once; a peer
 * that hangs up on every new one is not hurried. */
static void reconnect(struct oak_rpc_subchannel *sub, bool settled)
{
    state_tell(sub, false);
    uint64_t lived_ns = now_of(sub) - sub->connected_ns;
    uint64_t first_ns = sub->options.backoff_first_ns;
    if (settled) {
        sub->backoff_ns = first_ns;
    }
    if (sub->current == NULL || !settled || lived_ns < first_ns) {
        retry_later(sub);
    } else if (!sub->connecting) {
        connect_again(sub);
    }
}

/* A peer that found our PINGs too many gets fewer of them from now on. */
static void calm_down(struct oak_rpc_subchannel *sub, const struct rpc_link *link)
{
    if (link->conn->hurried && sub->options.keepalive_ns <= UINT64_MAX / 2) {
        sub->options.keepalive_ns *= 2;
    }
}

/* On demand: the current connection was READY, and takes no more calls. What lived for a while or
 * has answered was worth it: the next one may come at once. */
static void demand_lost(struct oak_rpc_subchannel *sub, const struct rpc_link *link)
{
    bool worth =
        link->conn->fruitful || now_of(sub) - sub->connected_ns >= sub->options.backoff_first_ns;
    if (worth) {
        sub->backoff_ns = sub->options.backoff_first_ns;
    } else {
        retry_later(sub);
    }
    become(sub, worth ? OAK_RPC_SUBCHANNEL_IDLE : OAK_RPC_SUBCHANNEL_FAILED, OAK_ECLOSED);
}

static void link_lost(struct rpc_links *links, struct rpc_link *link)
{
    struct oak_rpc_subchannel *sub = sub_of(links);
    if (sub->closing || link != sub->current) {
        return;
    }
    calm_down(sub, link);
    if (sub->options.on_demand) {
        sub->current = NULL;
        if (sub->state == OAK_RPC_SUBCHANNEL_READY) {
            demand_lost(sub, link);
        } else {
            connect_failed(sub, sub->failure != 0 ? sub->failure : OAK_ECLOSED);
        }
        return;
    }
    if (!current_replace(sub)) {
        sub->current = NULL; /* the waiting calls end like those that had started */
    }
    reconnect(sub, link->conn->settings_received);
}

/* After GOAWAY the current connection starts no more calls: go on with another one. */
static void renew(struct oak_rpc_subchannel *sub)
{
    bool settled = sub->current->conn->settings_received;
    if (current_replace(sub)) {
        reconnect(sub, settled);
    } else {
        retry_later(sub);
    }
}

/* On demand: its connection is ready, or starts no more calls. */
static void demand_flushed(struct oak_rpc_subchannel *sub)
{
    struct rpc_link *link = sub->current;
    bool open = link != NULL && link->stream != NULL && !link->closing;
    if (open && sub->state == OAK_RPC_SUBCHANNEL_CONNECTING && link->conn->settings_received) {
        sub->loop->timers.stop(sub->loop->timers.user, &sub->retry);
        sub->connected_ns = now_of(sub);
        become(sub, OAK_RPC_SUBCHANNEL_READY, 0);
    }
    bool leaves = link != NULL && link == sub->current && (link->conn->going || link->closing);
    if (leaves && sub->state == OAK_RPC_SUBCHANNEL_READY) {
        sub->current = NULL;
        calm_down(sub, link);
        rpc__conn_end_waiting(link->conn, OAK_RPC_UNAVAILABLE, "the connection goes away");
        demand_lost(sub, link);
    }
    if (sub->options.turned != NULL && !sub->closing) {
        sub->options.turned(sub->options.user);
    }
}

static void links_flushed(struct rpc_links *links)
{
    struct oak_rpc_subchannel *sub = sub_of(links);
    if (sub->options.on_demand) {
        demand_flushed(sub);
        return;
    }
    bool stale = !sub->closing && sub->current != NULL && sub->current->conn->going;
    if (stale && !sub->retry.running) {
        calm_down(sub, sub->current);
        renew(sub);
    }
}

static void link_gone(struct rpc_links *links)
{
    struct oak_rpc_subchannel *sub = sub_of(links);
    free_if_over(sub);
}

/* -- the door ---------------------------------------------------------------------------------- */

static void options_fill(struct oak_rpc_subchannel_options *o)
{
    o->rpc = rpc__options(&o->rpc, false);
    o->connect_timeout_ns = o->connect_timeout_ns != 0 ? o->connect_timeout_ns : RPC_SECOND_NS;
    o->backoff_max_ns = o->backoff_max_ns != 0 ? o->backoff_max_ns : BACKOFF_MAX_NS;
    o->backoff_first_ns = o->backoff_first_ns != 0 ? o->backoff_first_ns : BACKOFF_FIRST_NS;
    o->backoff_first_ns = OAK_MIN(o->backoff_first_ns, o->backoff_max_ns);
    o->keepalive_timeout_ns =
        o->keepalive_timeout_ns != 0 ? o->keepalive_timeout_ns : RPC_KEEPALIVE_TIMEOUT_NS;
}

int oak_rpc_subchannel_new(const struct oak_loop *loop, const char *address,
                           const struct oak_rpc_subchannel_options *options,
                           struct oak_rpc_subchannel **out)
{
    if (strlen(address) >= sizeof(((struct oak_rpc_subchannel *)0)->address)) {
        return OAK_ELIMIT;
    }
    struct oak_rpc_subchannel *sub = rpc__resize(NULL, sizeof(*sub));
    if (sub == NULL) {
        return OAK_ENOMEM;
    }
    *sub = (struct oak_rpc_subchannel){.loop = loop, .retry.fire = retry_fire};
    if (options != NULL) {
        sub->options = *options;
    }
    options_fill(&sub->options);
    sub->backoff_ns = sub->options.backoff_first_ns;
    memcpy(sub->address, address, strlen(address) + 1);
    uint64_t seed;
    loop->entropy.fill(loop->entropy.user, &seed, sizeof(seed));
    oak_prng_init(&sub->prng, seed);
    rpc__pool_init(&sub->pool);
    rpc__links_init(&sub->links, loop);
    sub->links.traffic = &sub->traffic;
    sub->links.lost = link_lost;
    sub->links.gone = link_gone;
    sub->links.flushed = links_flushed;
    sub->current = sub->options.on_demand ? NULL : link_fresh(sub);
    if (sub->current == NULL && !sub->options.on_demand) {
        rpc__links_fini(&sub->links);
        rpc__pool_fini(&sub->pool);
        rpc__resize(sub, 0);
        return OAK_ENOMEM;
    }
    *out = sub;
    if (!sub->options.on_demand) {
        connect_again(sub);
    }
    return 0;
}

void oak_rpc_subchannel_free(struct oak_rpc_subchannel *sub)
{
    if (sub == NULL) {
        return;
    }
    OAK_ASSERT(!sub->closing);
    sub->closing = true;
    sub->current = NULL;
    sub->loop->timers.stop(sub->loop->timers.user, &sub->retry);
    struct oak_list *at = sub->links.all.next;
    while (at != &sub->links.all) {
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
    free_if_over(sub);
}

bool oak_rpc_subchannel_connected(const struct oak_rpc_subchannel *sub)
{
    return sub->up;
}

void oak_rpc_subchannel_connect(struct oak_rpc_subchannel *sub)
{
    OAK_ASSERT(sub->options.on_demand && !sub->closing);
    if (sub->state == OAK_RPC_SUBCHANNEL_CONNECTING || sub->state == OAK_RPC_SUBCHANNEL_READY) {
        return;
    }
    OAK_ASSERT(sub->current == NULL);
    sub->loop->timers.stop(sub->loop->timers.user, &sub->retry);
    sub->state = OAK_RPC_SUBCHANNEL_CONNECTING;
    sub->current = link_fresh(sub);
    sub->failure = sub->current == NULL ? OAK_ENOMEM : connect_start(sub);
    if (sub->failure != 0) {
        timer_set(sub, now_of(sub)); /* told from the loop */
    }
}

enum oak_rpc_subchannel_state oak_rpc_subchannel_state(const struct oak_rpc_subchannel *sub)
{
    OAK_ASSERT(sub->options.on_demand);
    return sub->state;
}

size_t oak_rpc_subchannel_room(const struct oak_rpc_subchannel *sub)
{
    return sub->up && sub->current != NULL ? rpc__client_room(sub->current->conn) : 0;
}

int oak_rpc_subchannel_call(struct oak_rpc_subchannel *sub, const struct oak_rpc_request *request,
                            struct oak_rpc_call **out)
{
    if (sub->closing || ((request->fail_fast || sub->options.on_demand) && !sub->up)) {
        return OAK_ECLOSED;
    }
    if (sub->options.on_demand) { /* a GOAWAY is there, and `changed` on its way */
        return sub->current->conn->going
                   ? OAK_ECLOSED
                   : oak_rpc_conn_call(sub->current->conn, request, now_of(sub), out);
    }
    if (sub->current == NULL || (sub->current->conn->going && !current_replace(sub))) {
        return OAK_ENOMEM;
    }
    return oak_rpc_conn_call(sub->current->conn, request, now_of(sub), out);
}
