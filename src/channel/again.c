/* SPDX-License-Identifier: Apache-2.0 */
/* again.c: whether a call that failed is made again, and calls that are made beside each other.
 *
 * Happy path   1 an attempt ends without an answer
 *              2 the server has surely not begun it: at once again, and nobody is told
 *              3 else the policy: another one after a pause, or, hedging, now
 *              4 else the call ends with the status of this attempt
 * Can fail     nothing: what can't be made again ends.
 * Invariants   a call is never made again once anything of an answer has come, nor when what was
 *              sent is not kept any more. made <= attempts_max, and attempts that the server did
 *              not begin don't count.
 * Thread       the loop's; may run inside a connection.
 *
 * Sources: gRFC A6.
 */
#include "channel/internal.h"

#define TOKEN 1000u

static bool has_code(uint32_t codes, enum oak_rpc_code code)
{
    return (codes >> (unsigned)code & 1u) != 0;
}

/* -- the budget -------------------------------------------------------------------------------- */

void channel__budget_init(struct oak_channel *channel)
{
    const struct channel_config *config = &channel->config;
    bool set = config->tokens_max != 0;
    channel->tokens_max = set ? config->tokens_max : CHANNEL_TOKENS_DEFAULT;
    channel->token_ratio = set ? config->token_ratio : CHANNEL_TOKEN_RATIO_DEFAULT;
    channel->tokens = channel->tokens_max;
}

static void budget_lose(struct oak_channel *channel)
{
    channel->tokens -= OAK_MIN(channel->tokens, TOKEN);
}

static bool budget_spent(const struct oak_channel *channel)
{
    return channel->tokens <= channel->tokens_max / 2;
}

static void budget_note(struct channel_call *call, enum oak_rpc_code code)
{
    struct oak_channel *channel = call->channel;
    uint32_t codes = call->hedge != NULL ? call->hedge->codes : call->retry->codes;
    if (code == OAK_RPC_OK) {
        channel->tokens = OAK_MIN(channel->tokens + channel->token_ratio, channel->tokens_max);
    } else if (has_code(codes, code)) {
        budget_lose(channel);
    }
}

void channel__answered(struct channel_call *call, const struct oak_rpc_status *status)
{
    budget_note(call, status->code);
}

/* -- what the server says of another attempt --------------------------------------------------- */

#define PUSHBACK_NONE  UINT64_MAX
#define PUSHBACK_NEVER (UINT64_MAX - 1)

static uint64_t pushback_of(const struct oak_rpc_call *rpc)
{
    struct oak_bytes text = oak_rpc_call_metadata(rpc, "grpc-retry-pushback-ms");
    if (text.data == NULL) {
        return PUSHBACK_NONE;
    }
    uint64_t ms = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || i == 9) {
            return PUSHBACK_NEVER; /* a negative number, or none: so A6 has it */
        }
        ms = ms * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.size > 0 ? ms * (CHANNEL_SECOND_NS / 1000) : PUSHBACK_NEVER;
}

/* -- unseen ------------------------------------------------------------------------------------ */

void channel__call_place(struct channel_call *call)
{
    struct oak_channel *channel = call->channel;
    OAK_ASSERT(!call->ended && !call->cancelled);
    if (oak_list_linked(&call->wait_link)) {
        return;
    }
    struct channel_line *line = oak_list_empty(&channel->waiting) ? channel__pick(channel) : NULL;
    if (line == NULL || channel__attempt_start(call, line) != 0) {
        oak_list_push(&channel->waiting, &call->wait_link);
        channel__turn_soon(channel);
    }
}

/* True: it is made again at once, for the server has not begun it. */
static bool unseen(struct channel_call *call, const struct oak_rpc_status *status)
{
    bool unsent = status->reach == OAK_RPC_UNSENT && status->code == OAK_RPC_UNAVAILABLE;
    bool refused = status->reach == OAK_RPC_REFUSED && !call->refused_once;
    if (call->committed || (!unsent && !refused)) {
        return false;
    }
    call->refused_once = call->refused_once || refused;
    call->channel->stats.transparent++;
    channel__call_place(call);
    return true;
}

/* -- one after the other ----------------------------------------------------------------------- */

static uint32_t attempts_max(const struct channel_call *call)
{
    uint32_t most = call->hedge != NULL ? call->hedge->attempts_max : call->retry->attempts_max;
    return OAK_MIN(most, call->channel->options.attempts_max);
}

/* Does the policy speak of what happened? */
static bool retryable(const struct channel_call *call, const struct oak_rpc_status *status)
{
    if (call->retry != &call->channel->retry) {
        return has_code(call->retry->codes, status->code);
    }
    bool safe = call->request.idempotent && status->code == OAK_RPC_UNAVAILABLE;
    return safe || status->reach == OAK_RPC_REFUSED;
}

/* The pause before the next attempt; the one after it will be longer. */
static uint64_t pause_next(struct channel_call *call, uint64_t pushback_ns)
{
    const struct channel_retry *retry = call->retry;
    if (pushback_ns != PUSHBACK_NONE) {
        call->backoff_ns = retry->backoff_first_ns;
        return pushback_ns;
    }
    uint64_t base_ns = OAK_MIN(call->backoff_ns, retry->backoff_max_ns);
    double next_ns = (double)base_ns * retry->multiplier;
    bool large = next_ns >= (double)retry->backoff_max_ns;
    call->backoff_ns = large ? retry->backoff_max_ns : (uint64_t)next_ns;
    uint64_t jitter_ns = base_ns / 5;
    return oak_prng_between(&call->channel->prng, base_ns - jitter_ns, base_ns + jitter_ns);
}

/* True: another attempt follows, in some time. */
static bool retry(struct channel_call *call, const struct oak_rpc_status *status,
                  uint64_t pushback_ns)
{
    struct oak_channel *channel = call->channel;
    if (status->code == OAK_RPC_OK || call->committed || !retryable(call, status) ||
        call->made >= attempts_max(call) || pushback_ns == PUSHBACK_NEVER) {
        return false;
    }
    if (budget_spent(channel)) {
        channel->stats.throttled++;
        return false;
    }
    uint64_t now_ns = channel__now(channel);
    uint64_t pause_ns = pause_next(call, pushback_ns);
    if (call->deadline_ns != 0 && pause_ns >= call->deadline_ns - now_ns) {
        return false; /* it would come too late: better the reason now */
    }
    call->made++;
    channel->stats.retries++;
    call->again_ns = now_ns + pause_ns;
    channel__call_arm(call, now_ns);
    return true;
}

/* -- beside each other ------------------------------------------------------------------------- */

static bool any_running(const struct channel_call *call)
{
    bool any = oak_list_linked(&call->wait_link);
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        any = any || (call->attempts[i].rpc != NULL && !call->attempts[i].dropped);
    }
    return any;
}

/* True: the call goes on, by others or by one more. */
static bool hedge(struct channel_call *call, const struct oak_rpc_status *status,
                  uint64_t pushback_ns)
{
    struct oak_channel *channel = call->channel;
    if (call->committed || !has_code(call->hedge->codes, status->code)) {
        return false;
    }
    uint64_t now_ns = channel__now(channel);
    call->again_ns = 0;
    call->hedge_over = call->hedge_over || pushback_ns == PUSHBACK_NEVER;
    if (!call->hedge_over && budget_spent(channel)) {
        call->hedge_over = true;
        channel->stats.throttled++;
    }
    uint64_t pause_ns = pushback_ns == PUSHBACK_NONE ? 0 : pushback_ns;
    bool late = call->deadline_ns != 0 && pause_ns >= call->deadline_ns - now_ns;
    if (!call->hedge_over && call->made < attempts_max(call) && !late) {
        call->again_ns = now_ns + pause_ns;
        channel__call_arm(call, now_ns);
        return true;
    }
    return any_running(call);
}

void channel__hedge_plan(struct channel_call *call, uint64_t now_ns)
{
    bool more = call->hedge != NULL && !call->committed && !call->hedge_over &&
                call->made < attempts_max(call);
    if (more && call->hedge->delay_ns < UINT64_MAX - now_ns) {
        call->again_ns = now_ns + call->hedge->delay_ns;
    }
}

void channel__hedge(struct channel_call *call, uint64_t now_ns)
{
    struct oak_channel *channel = call->channel;
    if (call->committed || call->hedge_over || call->made >= attempts_max(call)) {
        return;
    }
    bool alone = !any_running(call);
    if (!alone && budget_spent(channel)) {
        call->hedge_over = true;
        channel->stats.throttled++;
        return;
    }
    struct channel_line *line = alone ? NULL : channel__pick_beside(call);
    call->made++;
    if (alone) {
        channel__call_place(call);
    } else if (line == NULL || channel__attempt_start(call, line) != 0) {
        call->made--; /* not now: those that run have their streams */
        call->again_ns = now_ns + CHANNEL_HEDGE_STEP_NS;
        return;
    }
    channel->stats.hedges++;
}

/* -- the decision ------------------------------------------------------------------------------ */

void channel__again(struct channel_call *call, const struct oak_rpc_status *status,
                    const struct oak_rpc_call *rpc)
{
    OAK_ASSERT(!call->ended && !call->cancelled);
    if (unseen(call, status)) {
        return;
    }
    uint64_t pushback_ns = pushback_of(rpc);
    budget_note(call, status->code);
    uint32_t codes = call->hedge != NULL ? call->hedge->codes : call->retry->codes;
    if (pushback_ns == PUSHBACK_NEVER && !has_code(codes, status->code)) {
        budget_lose(call->channel); /* what is not to be tried again counts, whatever it is */
    }
    bool goes_on =
        call->hedge != NULL ? hedge(call, status, pushback_ns) : retry(call, status, pushback_ns);
    if (!goes_on) {
        channel__call_end(call, status, rpc);
    }
}
