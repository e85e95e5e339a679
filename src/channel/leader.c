/* SPDX-License-Identifier: Apache-2.0 */
/* leader.c: of servers of which one leads, calls go to that one.
 *
 * Happy path   1 each connection's server says by its watch (health.c) whether it leads, and in
 *              which term
 *              2 the claim of the highest term is believed; in one term that of who claimed last
 *              3 calls go to who made it; while nobody does, or its streams have run out and it
 *                may get no further connection, to all in turn
 * Can fail     a claim that is wrong, because it is old or a lie: a call that it was given fails
 *              with UNAVAILABLE, and it is doubted for a while, longer each time. Others get its
 *              calls then.
 * Invariants   who is believed is connected, says that it leads, and is not doubted. Whatever
 *              servers say, calls have a connection wherever round_robin would have one. A server
 *              speaks for itself alone: it can draw calls, and can't send them elsewhere.
 * Thread       the loop's.
 *
 * Why so: docs/decisions/0008-leader-picker.md.
 */
#include "channel/internal.h"

static bool is_doubted(const struct channel_backend *b, uint64_t now_ns)
{
    return b->doubted_ns > now_ns;
}

/* NULL: none. */
static bool beats(const struct channel_watch *a, const struct channel_watch *b)
{
    return b == NULL || a->term > b->term || (a->term == b->term && a->claim > b->claim);
}

/* Its line with the best claim; NULL: it makes none. */
static const struct channel_line *claim_of(const struct channel_backend *b)
{
    const struct channel_line *best = NULL;
    for (struct oak_list *at = b->lines.next; at != &b->lines; at = at->next) {
        const struct channel_line *line = OAK_LIST_ENTRY(at, struct channel_line, link);
        bool claims =
            line->state == OAK_RPC_SUBCHANNEL_READY && line->watch.health == CHANNEL_HEALTH_GOOD;
        if (claims && beats(&line->watch, best != NULL ? &best->watch : NULL)) {
            best = line;
        }
    }
    return best;
}

void channel__leader_choose(struct oak_channel *channel)
{
    uint64_t now_ns = channel__now(channel);
    uint64_t look_ns = 0;
    const struct channel_line *best = NULL;
    for (struct oak_list *at = channel->backends.next; at != &channel->backends; at = at->next) {
        struct channel_backend *b = OAK_LIST_ENTRY(at, struct channel_backend, link);
        const struct channel_line *line = claim_of(b);
        if (line == NULL) {
            continue;
        }
        if (is_doubted(b, now_ns)) {
            look_ns = look_ns == 0 ? b->doubted_ns : OAK_MIN(look_ns, b->doubted_ns);
        } else if (beats(&line->watch, best != NULL ? &best->watch : NULL)) {
            best = line;
        }
    }
    channel->leader = best != NULL ? best->backend : NULL;
    channel->leader_claim = best != NULL ? best->watch.claim : 0;
    if (look_ns != 0) {
        channel__timer_set(channel, &channel->doubt, look_ns);
    }
}

/* -- what calls tell --------------------------------------------------------------------------- */

static void doubt(struct oak_channel *channel, struct channel_backend *b)
{
    const struct oak_channel_options *o = &channel->options;
    uint64_t base_ns = b->doubt_backoff_ns != 0 ? b->doubt_backoff_ns : o->backoff_first_ns;
    base_ns = OAK_MIN(base_ns, o->backoff_max_ns);
    b->doubt_backoff_ns = base_ns + base_ns * 3 / 5;
    b->doubted_ns = channel__now(channel) +
                    oak_prng_between(&channel->prng, base_ns - base_ns / 5, base_ns + base_ns / 5);
    channel->leader = NULL;
    channel__turn_soon(channel);
}

uint64_t channel__leader_claim(const struct channel_line *line)
{
    const struct oak_channel *channel = line->channel;
    bool leads = line->backend != NULL && line->backend == channel->leader;
    return leads ? channel->leader_claim : 0;
}

void channel__leader_answered(struct channel_line *line, uint64_t claim,
                              const struct oak_rpc_status *status)
{
    struct oak_channel *channel = line->channel;
    struct channel_backend *b = line->backend;
    if (claim == 0 || channel__leader_claim(line) != claim) {
        return; /* it was not given the call for what it says now */
    }
    if (status->code == OAK_RPC_UNAVAILABLE && status->reach == OAK_RPC_REACHED) {
        doubt(channel, b);
    } else if (status->code == OAK_RPC_OK) {
        b->doubt_backoff_ns = 0;
    }
}

/* -- which line a call gets -------------------------------------------------------------------- */

/* Its streams have run out: will there be more soon? */
static bool may_grow(const struct oak_channel *channel, const struct channel_backend *b)
{
    bool more = b->line_count < channel->options.connections_max;
    for (struct oak_list *at = b->lines.next; at != &b->lines; at = at->next) {
        enum oak_rpc_subchannel_state state = OAK_LIST_ENTRY(at, struct channel_line, link)->state;
        more = more || state == OAK_RPC_SUBCHANNEL_IDLE || state == OAK_RPC_SUBCHANNEL_CONNECTING;
    }
    return more;
}

struct channel_line *channel__leader_pick(struct oak_channel *channel)
{
    struct channel_backend *b = channel->leader;
    if (b != NULL && channel__backend_state(b) == OAK_RPC_SUBCHANNEL_READY) {
        struct channel_line *line = channel__backend_room(b);
        if (line != NULL || may_grow(channel, b)) {
            return line;
        }
    }
    struct channel_line *line = channel__pick_in_turn(channel, true);
    return line != NULL ? line : channel__pick_in_turn(channel, false);
}

static bool has_attempt(const struct channel_call *call, const struct channel_backend *b)
{
    bool any = false;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        const struct channel_attempt *a = &call->attempts[i];
        any = any || (a->rpc != NULL && a->line->backend == b);
    }
    return any;
}

struct channel_line *channel__leader_pick_beside(const struct channel_call *call)
{
    struct oak_channel *channel = call->channel;
    for (size_t i = 0; i < channel->backend_count; i++) {
        struct channel_line *line = channel__pick_in_turn(channel, true);
        if (line == NULL || !has_attempt(call, line->backend)) {
            return line;
        }
    }
    return channel__leader_pick(channel);
}

static void doubt_fire(struct oak_timer *timer)
{
    channel__balance(OAK_CONTAINER_OF(timer, struct oak_channel, doubt));
}

void channel__leader_init(struct oak_channel *channel)
{
    channel->doubt.fire = doubt_fire;
}
