/* SPDX-License-Identifier: Apache-2.0 */
/* balance.c: which address a call goes to, and what is to be connected for that.
 *
 * Happy path   whatever changes, channel__balance looks at all of it: the policy connects what it
 *              wants; the state follows from what is connected; calls that wait are started as far
 *              as there are streams, or end when nothing can be connected to.
 * Can fail     want of memory for a connection: looked at again after the first back-off.
 * Invariants   the state is TRANSIENT_FAILURE from when all addresses have failed until one is
 *              READY. Calls start in the order in which they began to wait.
 * Thread       the loop's; calls handlers and the watcher, never from inside a function of the
 *              door.
 *
 * Sources: gRPC's connectivity-semantics-and-api.md and load-balancing.md; RFC 8305 for the pace
 * of pick_first.
 */
#include <stdio.h>

#include "channel/internal.h"

/* The backend behind `b` in their order; the first for NULL; NULL behind the last. */
static struct channel_backend *next_of(const struct oak_channel *channel,
                                       const struct channel_backend *b)
{
    struct oak_list *next = b != NULL ? b->link.next : channel->backends.next;
    return next == &channel->backends ? NULL : OAK_LIST_ENTRY(next, struct channel_backend, link);
}

static bool connect(struct oak_channel *channel, struct channel_backend *b)
{
    if (channel__backend_connect(channel, b)) {
        return true;
    }
    if (!channel->turn.running) {
        channel__timer_set(channel, &channel->turn,
                           channel__now(channel) + channel->options.backoff_first_ns);
    }
    return false;
}

/* -- pick_first -------------------------------------------------------------------------------- */

static void select_backend(struct oak_channel *channel, struct channel_backend *chosen)
{
    channel->selected = chosen;
    channel->failing = false;
    channel__timer_stop(channel, &channel->stagger);
    for (struct channel_backend *b = next_of(channel, NULL); b != NULL; b = next_of(channel, b)) {
        b->tried = false;
        if (b != chosen) {
            channel__backend_retire(channel, b);
        }
    }
}

static struct channel_backend *first_in(struct oak_channel *channel,
                                        enum oak_rpc_subchannel_state state)
{
    for (struct channel_backend *b = next_of(channel, NULL); b != NULL; b = next_of(channel, b)) {
        if (channel__backend_state(b) == state) {
            return b;
        }
    }
    return NULL;
}

/* Try the next address in order. False: all have been tried. */
static bool pass_go_on(struct oak_channel *channel)
{
    for (struct channel_backend *b = next_of(channel, NULL); b != NULL; b = next_of(channel, b)) {
        if (b->tried) {
            continue;
        }
        b->tried = true;
        if (channel__backend_state(b) == OAK_RPC_SUBCHANNEL_FAILED) {
            continue; /* it waits for its back-off */
        }
        bool begun = channel__backend_state(b) == OAK_RPC_SUBCHANNEL_CONNECTING;
        if (begun || connect(channel, b)) {
            channel__timer_set(channel, &channel->stagger,
                               channel__now(channel) + CHANNEL_STAGGER_NS);
            return true;
        }
    }
    return false;
}

static void pick_first_connect(struct oak_channel *channel)
{
    struct channel_backend *ready = first_in(channel, OAK_RPC_SUBCHANNEL_READY);
    if (ready != NULL) {
        select_backend(channel, ready);
        return;
    }
    bool connecting = first_in(channel, OAK_RPC_SUBCHANNEL_CONNECTING) != NULL;
    if ((connecting && channel->stagger.running) || pass_go_on(channel) || connecting) {
        return;
    }
    channel->failing = true;
    for (struct channel_backend *b = next_of(channel, NULL); b != NULL;
         b = next_of(channel, b)) { /* those whose back-off is over */
        if (channel__backend_state(b) == OAK_RPC_SUBCHANNEL_IDLE) {
            connect(channel, b);
        }
    }
}

static void pick_first(struct oak_channel *channel)
{
    if (channel->selected != NULL) {
        if (channel__backend_state(channel->selected) == OAK_RPC_SUBCHANNEL_READY) {
            return;
        }
        channel->selected = NULL;
        if (oak_list_empty(&channel->waiting)) {
            channel->idle = true; /* until somebody needs a connection */
            return;
        }
    }
    pick_first_connect(channel);
}

/* -- round_robin ------------------------------------------------------------------------------- */

static void round_robin(struct oak_channel *channel)
{
    bool any_ready = false;
    bool any_connecting = false;
    for (struct channel_backend *b = next_of(channel, NULL); b != NULL; b = next_of(channel, b)) {
        enum oak_rpc_subchannel_state state = channel__backend_state(b);
        if (state == OAK_RPC_SUBCHANNEL_IDLE) {
            any_connecting = connect(channel, b) || any_connecting;
        }
        any_ready = any_ready || state == OAK_RPC_SUBCHANNEL_READY;
        any_connecting = any_connecting || state == OAK_RPC_SUBCHANNEL_CONNECTING;
    }
    channel->failing = !any_ready && (channel->failing || !any_connecting);
}

/* -- the state, and calls that wait for it ----------------------------------------------------- */

static enum oak_channel_state state_now(struct oak_channel *channel)
{
    if (channel->idle) {
        return OAK_CHANNEL_IDLE;
    }
    if (first_in(channel, OAK_RPC_SUBCHANNEL_READY) != NULL) {
        return OAK_CHANNEL_READY;
    }
    return channel->failing ? OAK_CHANNEL_TRANSIENT_FAILURE : OAK_CHANNEL_CONNECTING;
}

static void state_tell(struct oak_channel *channel)
{
    enum oak_channel_state state = state_now(channel);
    if (state == channel->state) {
        return;
    }
    channel->state = state;
    if (channel->options.state != NULL) {
        channel->options.state(channel->options.user, state);
    }
}

/* Nothing can be connected to: calls that didn't ask to wait through that end. */
static void waiting_fail(struct oak_channel *channel)
{
    struct oak_list failing;
    oak_list_init(&failing);
    struct oak_list *at = channel->waiting.next;
    while (at != &channel->waiting) {
        struct channel_call *call = OAK_LIST_ENTRY(at, struct channel_call, wait_link);
        at = at->next;
        if (!call->wait_for_ready) {
            oak_list_remove(&call->wait_link);
            oak_list_push(&failing, &call->wait_link);
        }
    }
    char text[sizeof(channel->error) + 32];
    snprintf(text, sizeof(text), "no connection: %s", channel->error);
    struct oak_list *node;
    while ((node = oak_list_pop(&failing)) != NULL) {
        channel__call_fail(OAK_LIST_ENTRY(node, struct channel_call, wait_link),
                           OAK_RPC_UNAVAILABLE, text);
    }
}

static void waiting_start(struct oak_channel *channel)
{
    while (!oak_list_empty(&channel->waiting)) {
        struct channel_line *line = channel__pick(channel);
        if (line == NULL) {
            return;
        }
        struct channel_call *call =
            OAK_LIST_ENTRY(channel->waiting.next, struct channel_call, wait_link);
        int error = channel__attempt_start(call, line);
        if (error == OAK_ECLOSED) {
            return; /* that line's end is about to be told */
        }
        if (error != 0) {
            bool ours = error == OAK_EINVAL; /* metadata that can't be sent */
            channel__call_fail(call, ours ? OAK_RPC_INTERNAL : OAK_RPC_RESOURCE_EXHAUSTED,
                               ours ? "invalid metadata" : oak_error_text(error));
        }
    }
}

/* All streams are taken: another connection to the same address, as far as that is allowed. */
static void grow(struct oak_channel *channel)
{
    if (oak_list_empty(&channel->waiting)) {
        return;
    }
    for (struct channel_backend *b = next_of(channel, NULL); b != NULL; b = next_of(channel, b)) {
        bool full = channel__backend_state(b) == OAK_RPC_SUBCHANNEL_READY &&
                    channel__backend_room(b) == NULL;
        bool more = b->line_count < channel->options.connections_max;
        for (struct oak_list *node = b->lines.next; node != &b->lines; node = node->next) {
            enum oak_rpc_subchannel_state state =
                channel__line_state(OAK_LIST_ENTRY(node, struct channel_line, link));
            more = more || state == OAK_RPC_SUBCHANNEL_IDLE;
            full = full && (state == OAK_RPC_SUBCHANNEL_READY || state == OAK_RPC_SUBCHANNEL_IDLE);
        }
        if (full && more) {
            connect(channel, b);
        }
    }
}

void channel__balance(struct oak_channel *channel)
{
    OAK_ASSERT(!channel->closing);
    if (!channel->idle && channel->resolved) {
        if (channel->policy == CHANNEL_PICK_FIRST) {
            pick_first(channel);
        } else {
            round_robin(channel);
        }
    }
    if (channel->policy == CHANNEL_LEADER) {
        channel__leader_choose(channel);
    }
    state_tell(channel);
    if (channel->state == OAK_CHANNEL_TRANSIENT_FAILURE) {
        waiting_fail(channel);
    }
    waiting_start(channel);
    grow(channel);
}

struct channel_line *channel__pick(struct oak_channel *channel)
{
    if (channel->policy == CHANNEL_PICK_FIRST) {
        return channel->selected != NULL ? channel__backend_room(channel->selected) : NULL;
    }
    return channel->policy == CHANNEL_LEADER ? channel__leader_pick(channel)
                                             : channel__pick_in_turn(channel, false);
}

struct channel_line *channel__pick_beside(const struct channel_call *call)
{
    struct oak_channel *channel = call->channel;
    return channel->policy == CHANNEL_LEADER ? channel__leader_pick_beside(call)
                                             : channel__pick(channel);
}

struct channel_line *channel__pick_in_turn(struct oak_channel *channel, bool trusted)
{
    uint64_t now_ns = trusted ? channel__now(channel) : 0;
    struct channel_backend *b = channel->last;
    for (size_t i = 0; i < channel->backend_count; i++) {
        b = next_of(channel, b);
        b = b != NULL ? b : next_of(channel, NULL);
        bool passed = trusted && b->doubted_ns > now_ns;
        struct channel_line *line = passed ? NULL : channel__backend_room(b);
        if (line != NULL) {
            channel->last = b;
            return line;
        }
    }
    return NULL;
}
