/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c: a channel from its making to its end, and its door.
 *
 * Happy path   1 oak_channel_new reads target and service config
 *              2 the first call wakes it: addresses, connections
 *              3 calls go to streams
 *              4 without calls for long it is IDLE again
 *              5 oak_channel_free ends all; the memory goes with the last connection
 * Can fail     1, with words; 3, as oak_channel_call tells.
 * Invariants   functions of the door call nobody back: what they lead to is done by the turn, a
 *              timer that is due at once.
 * Thread       the loop's.
 */
#include <stdio.h>

#include "channel/internal.h"

#define DEFAULT_PORT 443

void *channel__resize(void *p, size_t size)
{
    struct oak_alloc alloc = oak_alloc_libc();
    return alloc.resize(alloc.user, p, size);
}

uint64_t channel__now(const struct oak_channel *channel)
{
    return channel->loop.clock.mono_ns(channel->loop.clock.user);
}

void channel__timer_set(struct oak_channel *channel, struct oak_timer *timer, uint64_t due_ns)
{
    channel->loop.timers.set(channel->loop.timers.user, timer, due_ns);
}

void channel__timer_stop(struct oak_channel *channel, struct oak_timer *timer)
{
    channel->loop.timers.stop(channel->loop.timers.user, timer);
}

void channel__turn_soon(struct oak_channel *channel)
{
    uint64_t now_ns = channel__now(channel);
    if (!channel->turn.running || channel->turn.due_ns > now_ns) {
        channel__timer_set(channel, &channel->turn, now_ns);
    }
}

void channel__error_say(struct oak_channel *channel, const char *what, const char *why)
{
    snprintf(channel->error, sizeof(channel->error), "%.160s: %s", what, why);
}

void channel__error_set(struct oak_channel *channel, const char *what, int error)
{
    channel__error_say(channel, what, oak_error_text(error));
}

const char *oak_channel_state_name(enum oak_channel_state state)
{
    static const char *const names[] = {"IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE",
                                        "SHUTDOWN"};
    OAK_ASSERT_LT(state, OAK_COUNT_OF(names));
    return names[state];
}

/* -- the turn ---------------------------------------------------------------------------------- */

static void lazy_settle(struct oak_channel *channel)
{
    struct oak_list *node;
    while ((node = channel->lazy.next) != &channel->lazy) {
        struct channel_call *call = OAK_LIST_ENTRY(node, struct channel_call, lazy_link);
        channel__call_settle(call);
    }
}

static void wake(struct oak_channel *channel)
{
    channel->idle = false;
    channel->used_ns = channel__now(channel);
    uint64_t idle_ns = channel->options.idle_ns;
    if (idle_ns < UINT64_MAX - channel->used_ns) {
        channel__timer_set(channel, &channel->rest, channel->used_ns + idle_ns);
    }
}

static void turn_fire(struct oak_timer *timer)
{
    struct oak_channel *channel = OAK_CONTAINER_OF(timer, struct oak_channel, turn);
    channel__lines_sweep(channel, false);
    lazy_settle(channel);
    if (channel->idle && (channel->wanted || !oak_list_empty(&channel->waiting))) {
        wake(channel);
    }
    channel->wanted = false;
    if (!channel->idle && !channel->resolved) {
        channel__resolve(channel);
    }
    channel__balance(channel);
}

static void stagger_fire(struct oak_timer *timer)
{
    channel__balance(OAK_CONTAINER_OF(timer, struct oak_channel, stagger));
}

static void rest_fire(struct oak_timer *timer)
{
    struct oak_channel *channel = OAK_CONTAINER_OF(timer, struct oak_channel, rest);
    if (channel->idle) {
        return;
    }
    uint64_t now_ns = channel__now(channel);
    uint64_t due_ns = channel->used_ns + channel->options.idle_ns;
    if (channel->call_count > 0 || due_ns > now_ns) {
        due_ns = channel->call_count > 0 ? now_ns + channel->options.idle_ns : due_ns;
        channel__timer_set(channel, &channel->rest, due_ns);
        return;
    }
    channel__timer_stop(channel, &channel->lookup);
    channel__timer_stop(channel, &channel->stagger);
    channel__timer_stop(channel, &channel->doubt);
    channel->idle = true;
    channel->resolved = false;
    channel->failing = false;
    channel->lookup_backoff_ns = 0;
    channel->lookup_ns = 0; /* the next call asks at once */
    channel__backends_drop(channel);
    channel__balance(channel);
}

/* -- new --------------------------------------------------------------------------------------- */

static void options_fill(struct oak_channel_options *o)
{
    o->connect_timeout_ns = o->connect_timeout_ns != 0 ? o->connect_timeout_ns : CHANNEL_SECOND_NS;
    o->call_timeout_ns = o->call_timeout_ns != 0 ? o->call_timeout_ns : 5 * CHANNEL_SECOND_NS;
    o->progress_timeout_ns =
        o->progress_timeout_ns != 0 ? o->progress_timeout_ns : 3 * CHANNEL_SECOND_NS;
    o->backoff_first_ns = o->backoff_first_ns != 0 ? o->backoff_first_ns : CHANNEL_SECOND_NS;
    o->backoff_max_ns = o->backoff_max_ns != 0 ? o->backoff_max_ns : 120 * CHANNEL_SECOND_NS;
    o->backoff_first_ns = OAK_MIN(o->backoff_first_ns, o->backoff_max_ns);
    o->resolve_pause_ns = o->resolve_pause_ns != 0 ? o->resolve_pause_ns : 30 * CHANNEL_SECOND_NS;
    o->idle_ns = o->idle_ns != 0 ? o->idle_ns : 1800 * CHANNEL_SECOND_NS;
    o->connections_max = o->connections_max != 0 ? o->connections_max : 1;
    o->connections_max = OAK_MIN(o->connections_max, CHANNEL_CONNECTIONS_MAX);
    o->attempts_max = o->attempts_max != 0 ? o->attempts_max : 3;
    o->attempts_max = OAK_MIN(o->attempts_max, CHANNEL_ATTEMPTS_MAX);
    o->replay_bytes_max = o->replay_bytes_max != 0 ? o->replay_bytes_max : OAK_MIB;
    o->waiting_bytes_max =
        o->waiting_bytes_max != 0 ? o->waiting_bytes_max : CHANNEL_WAITING_BYTES_MAX;
}

/* A copy of an option's text; `*text` NULL stays so. */
static int text_copy(struct oak_channel *channel, size_t place, const char **text)
{
    OAK_ASSERT_LT(place, OAK_COUNT_OF(channel->texts));
    if (*text == NULL) {
        return 0;
    }
    int error = oak_buf_append(&channel->texts[place], *text, strlen(*text) + 1);
    *text = (const char *)channel->texts[place].data;
    return error;
}

static int options_read(struct oak_channel *channel, const char *target, struct oak_errbuf *e)
{
    struct oak_channel_options *o = &channel->options;
    options_fill(o);
    int error = channel__target_parse(target, DEFAULT_PORT, &channel->target, e);
    if (error == 0) {
        error = channel__config_read(o->service_config, &channel->config, e);
    }
    if (error == 0) {
        error = text_copy(channel, 0, &o->rpc.authority);
    }
    if (error == 0) {
        error = text_copy(channel, 1, &o->rpc.user_agent);
    }
    if (error != 0) {
        return error;
    }
    channel->policy = channel->config.policy;
    if (!channel->config.policy_set && o->policy != NULL &&
        !channel__policy_parse(o->policy, &channel->policy)) {
        return oak_fail(e, OAK_EINVAL, "policy \"%.100s\": " CHANNEL_POLICIES, o->policy);
    }
    o->service_config = NULL;
    o->policy = NULL;
    return 0;
}

static void channel_free(struct oak_channel *channel)
{
    channel__calls_fini(channel);
    channel__config_fini(&channel->config);
    channel__target_fini(&channel->target);
    for (size_t i = 0; i < OAK_COUNT_OF(channel->texts); i++) {
        oak_buf_fini(&channel->texts[i]);
    }
    channel__resize(channel, 0);
}

static void lists_init(struct oak_channel *channel)
{
    oak_list_init(&channel->backends);
    oak_list_init(&channel->retired);
    oak_list_init(&channel->calls);
    oak_list_init(&channel->waiting);
    oak_list_init(&channel->lazy);
    oak_list_init(&channel->spare);
}

int oak_channel_new(const struct oak_loop *loop, const char *target,
                    const struct oak_channel_options *options, struct oak_channel **out,
                    struct oak_errbuf *e)
{
    struct oak_channel *channel = channel__resize(NULL, sizeof(*channel));
    if (channel == NULL) {
        return OAK_ENOMEM;
    }
    *channel = (struct oak_channel){.loop = *loop, .idle = true};
    lists_init(channel);
    if (options != NULL) {
        channel->options = *options;
    }
    if (channel->options.net != NULL) {
        channel->loop.net = *channel->options.net;
    }
    int error = options_read(channel, target, e);
    if (error != 0) {
        channel_free(channel);
        return error;
    }
    channel->turn.fire = turn_fire;
    channel->stagger.fire = stagger_fire;
    channel->rest.fire = rest_fire;
    channel__resolve_init(channel);
    channel__leader_init(channel);
    channel__budget_init(channel);
    channel->retry = (struct channel_retry){.attempts_max = CHANNEL_ATTEMPTS_MAX,
                                            .codes = 1u << OAK_RPC_UNAVAILABLE,
                                            .backoff_first_ns = CHANNEL_SECOND_NS,
                                            .backoff_max_ns = 120 * CHANNEL_SECOND_NS,
                                            .multiplier = 2};
    uint64_t seed;
    loop->entropy.fill(loop->entropy.user, &seed, sizeof(seed));
    oak_prng_init(&channel->prng, seed);
    *out = channel;
    return 0;
}

/* -- free -------------------------------------------------------------------------------------- */

void channel__free_if_over(struct oak_channel *channel)
{
    if (channel->closing && channel->line_count == 0 && !channel->looking_up) {
        channel_free(channel);
    }
}

void oak_channel_free(struct oak_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    OAK_ASSERT(!channel->closing);
    channel->closing = true;
    channel->state = OAK_CHANNEL_SHUTDOWN;
    struct oak_timer *timers[] = {&channel->turn, &channel->stagger, &channel->rest,
                                  &channel->lookup, &channel->doubt};
    struct oak_list *at = channel->calls.next;
    while (at != &channel->calls) {
        struct channel_call *call = OAK_LIST_ENTRY(at, struct channel_call, link);
        at = at->next; /* calls that have ended stay, until their attempts have */
        if (!call->ended) {
            channel__call_fail(call, OAK_RPC_CANCELLED, "the channel was closed");
        }
    }
    channel->line_count++; /* not before all are told */
    channel__backends_drop(channel);
    channel__lines_sweep(channel, true);
    for (size_t i = 0; i < OAK_COUNT_OF(timers); i++) {
        channel__timer_stop(channel, timers[i]);
    }
    OAK_ASSERT_EQ(channel->call_count, 0);
    channel->line_count--;
    channel__free_if_over(channel);
}

/* -- the door ---------------------------------------------------------------------------------- */

enum oak_channel_state oak_channel_state(const struct oak_channel *channel)
{
    return channel->state;
}

const char *oak_channel_error(const struct oak_channel *channel)
{
    return channel->error;
}

const char *oak_channel_leader(const struct oak_channel *channel)
{
    return channel->leader != NULL ? channel->leader->address : NULL;
}

void oak_channel_watch(struct oak_channel *channel,
                       void (*fn)(void *user, enum oak_channel_state state), void *user)
{
    channel->options.state = fn;
    channel->options.user = user;
}

void oak_channel_connect(struct oak_channel *channel)
{
    OAK_ASSERT(!channel->closing);
    channel->wanted = true;
    for (struct oak_list *at = channel->backends.next; at != &channel->backends; at = at->next) {
        channel__backend_hurry(OAK_LIST_ENTRY(at, struct channel_backend, link));
    }
    if (channel->lookup.running && channel->lookup_backoff_ns != 0) {
        channel__timer_set(channel, &channel->lookup, channel__now(channel));
    }
    channel__turn_soon(channel);
}

int oak_channel_call(struct oak_channel *channel, const struct oak_rpc_request *request,
                     struct oak_rpc_call **out)
{
    OAK_ASSERT(request->handler != NULL && request->handler->message != NULL &&
               request->handler->closed != NULL);
    bool ready = channel->state == OAK_CHANNEL_READY;
    if (channel->closing || (request->fail_fast && !ready)) {
        return OAK_ECLOSED;
    }
    struct channel_call *call;
    int error = channel__call_new(channel, request, &call);
    if (error != 0) {
        return error;
    }
    bool first = ready && oak_list_empty(&channel->waiting);
    struct channel_line *line = first ? channel__pick(channel) : NULL;
    error = line != NULL ? channel__attempt_start(call, line) : OAK_ECLOSED;
    if (error != 0 && error != OAK_ECLOSED) {
        channel__call_drop(call);
        return error;
    }
    if (error == OAK_ECLOSED) { /* no stream for it now */
        oak_list_push(&channel->waiting, &call->wait_link);
        channel__turn_soon(channel);
    }
    channel__call_arm(call, channel->used_ns);
    channel->stats.calls++;
    *out = oak_rpc_call_of(&call->base);
    return 0;
}

void oak_channel_stats(const struct oak_channel *channel, struct oak_channel_stats *out)
{
    *out = channel->stats;
    out->calls_waiting = 0;
    for (struct oak_list *at = channel->calls.next; at != &channel->calls; at = at->next) {
        const struct channel_call *call = OAK_LIST_ENTRY(at, struct channel_call, link);
        out->calls_waiting += !call->ended && call->live == 0;
    }
    out->connections = 0;
    for (struct oak_list *at = channel->backends.next; at != &channel->backends; at = at->next) {
        out->connections +=
            channel__backend_ready(OAK_LIST_ENTRY(at, struct channel_backend, link));
    }
}
