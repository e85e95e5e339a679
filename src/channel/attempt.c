/* SPDX-License-Identifier: Apache-2.0 */
/* attempt.c: one attempt of a call: a call of rpc on some line.
 *
 * Happy path   started on a line → fed with what was kept → its headers come: it is the one, the
 *              others are dropped → its messages and its end are the call's.
 * Can fail     it ends without an answer: again.c decides what follows. Nothing moves that is owed:
 *              it is cancelled, and has failed with UNAVAILABLE.
 * Invariants   an attempt's rpc is there exactly until its `closed`; call->live counts those. A
 *              dropped one tells its call nothing.
 * Thread       the loop's; these callbacks come from inside connections: they start and cancel
 *              calls, and free nothing of rpc's.
 */
#include <stdio.h>

#include "channel/internal.h"

/* -- feeding ----------------------------------------------------------------------------------- */

static void starve(struct channel_attempt *a)
{
    a->starved = true;
    oak_rpc_call_cancel(a->rpc);
}

/* The next message that was kept. */
static int give_one(struct channel_attempt *a)
{
    const struct channel_call *call = a->call;
    const uint8_t *at = call->kept.data + a->given;
    size_t size = oak_get_u32(at);
    bool compress = at[4] != 0;
    if (compress != a->compress) {
        a->compress = compress;
        oak_rpc_call_compress_messages(a->rpc, compress);
    }
    int error = oak_rpc_call_send(a->rpc, oak_bytes(at + 5, size));
    if (error == 0) {
        a->given += 5 + size;
    }
    return error;
}

void channel__attempt_feed(struct channel_attempt *a)
{
    const struct channel_call *call = a->call;
    size_t end = call->kept.size;
    bool half_close = call->half_closed && !a->half_closed;
    if (a->dropped || (a->given >= end && !half_close)) {
        return;
    }
    if (oak_rpc_call_queued(a->rpc) == 0 || half_close) {
        a->owed_ns = channel__now(call->channel);
    }
    int error = 0;
    while (error == 0 && a->given < end) {
        error = give_one(a);
    }
    if (error == 0 && half_close) {
        a->half_closed = true;
        oak_rpc_call_half_close(a->rpc);
    }
    if (error != 0 && error != OAK_ECLOSED) { /* closed: its end is on the way */
        starve(a);
    }
}

/* -- progress ---------------------------------------------------------------------------------- */

/* Does its method have exactly one response? */
static bool one_response(const struct channel_call *call)
{
    enum oak_rpc_kind kind = call->request.kind;
    return kind == OAK_RPC_UNARY || kind == OAK_RPC_CLIENT_STREAM;
}

/* Does it owe an answer, having all that it needs for one? */
static bool answer_owed(const struct channel_attempt *a)
{
    return a->half_closed && !a->call->paused && one_response(a->call);
}

uint64_t channel__attempt_due(const struct channel_attempt *a)
{
    uint64_t limit_ns = a->call->progress_ns;
    if (a->rpc == NULL || a->dropped || a->stalled || limit_ns == OAK_RPC_NEVER_NS) {
        return 0;
    }
    if (!answer_owed(a) && !oak_rpc_call_owed(a->rpc)) {
        return 0;
    }
    uint64_t since_ns = OAK_MAX(a->owed_ns, oak_rpc_call_moved_ns(a->rpc));
    return since_ns > UINT64_MAX - limit_ns ? 0 : since_ns + limit_ns;
}

uint64_t channel__attempt_look(const struct channel_attempt *a, uint64_t now_ns)
{
    uint64_t limit_ns = a->call->progress_ns;
    if (a->rpc == NULL || limit_ns > UINT64_MAX - now_ns) {
        return 0;
    }
    uint64_t due_ns = channel__attempt_due(a);
    return due_ns != 0 ? due_ns : now_ns + limit_ns;
}

void channel__attempt_stall(struct channel_attempt *a)
{
    a->stalled = true;
    oak_rpc_call_cancel(a->rpc);
}

void channel__attempt_drop(struct channel_attempt *a)
{
    if (a->rpc != NULL && !a->dropped) {
        a->dropped = true;
        oak_rpc_call_cancel(a->rpc);
    }
}

/* -- what comes of it -------------------------------------------------------------------------- */

/* It has answered: the call is this attempt from now on. */
static void win(struct channel_attempt *a)
{
    struct channel_call *call = a->call;
    if (call->winner == NULL) {
        call->winner = a;
        call->answer = a->rpc;
        channel__call_commit(call, a);
        channel__call_trim(call);
    }
}

static bool is_deaf(const struct channel_attempt *a)
{
    return a->dropped || a->stalled || a->starved || a->call->ended || a->call->cancelled;
}

static void attempt_headers(void *user, struct oak_rpc_call *rpc)
{
    (void)rpc;
    struct channel_attempt *a = user;
    struct channel_call *call = a->call;
    if (is_deaf(a)) {
        return;
    }
    win(a);
    if (call->handler->headers != NULL) {
        call->handler->headers(call->user, oak_rpc_call_of(&call->base));
    }
}

static void attempt_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes message)
{
    (void)rpc;
    struct channel_attempt *a = user;
    struct channel_call *call = a->call;
    if (is_deaf(a)) {
        return;
    }
    win(a);
    const struct channel_rule *rule = call->rule;
    if (rule != NULL && rule->response_set && message.size > rule->response_bytes_max) {
        char text[96];
        snprintf(text, sizeof(text), "grpc: received message larger than max (%zu vs. %u)",
                 message.size, rule->response_bytes_max);
        channel__call_fail(call, OAK_RPC_RESOURCE_EXHAUSTED, text);
        return;
    }
    if (call->responded && one_response(call)) {
        channel__call_fail(call, OAK_RPC_INTERNAL,
                           "grpc: more than one response to a call that has only one");
        return;
    }
    call->responded = true;
    call->handler->message(call->user, oak_rpc_call_of(&call->base), message);
}

static void attempt_half_closed(void *user, struct oak_rpc_call *rpc)
{
    (void)rpc;
    struct channel_attempt *a = user;
    struct channel_call *call = a->call;
    if (!is_deaf(a) && call->winner == a && call->handler->half_closed != NULL) {
        call->handler->half_closed(call->user, oak_rpc_call_of(&call->base));
    }
}

static void attempt_writable(void *user, struct oak_rpc_call *rpc)
{
    (void)rpc;
    struct channel_attempt *a = user;
    struct channel_call *call = a->call;
    bool sole = !is_deaf(a) && channel__call_sole(call) == a && !call->half_closed;
    if (sole && call->handler->writable != NULL) {
        call->handler->writable(call->user, oak_rpc_call_of(&call->base));
    }
}

/* What an end means that we brought about, or that can't be what it says. */
static void end_correct(const struct channel_attempt *a, struct oak_rpc_status *status)
{
    static const char stalled[] = "nothing has moved for too long";
    static const char starved[] = "out of memory";
    static const char nothing[] = "grpc: OK without a response";
    if (a->stalled) {
        *status =
            (struct oak_rpc_status){.code = OAK_RPC_UNAVAILABLE, .message = oak_bytes_str(stalled)};
    } else if (status->code == OAK_RPC_OK && !a->call->responded && one_response(a->call)) {
        *status =
            (struct oak_rpc_status){.code = OAK_RPC_INTERNAL, .message = oak_bytes_str(nothing)};
    } else if (a->starved) {
        *status = (struct oak_rpc_status){.code = OAK_RPC_RESOURCE_EXHAUSTED,
                                          .message = oak_bytes_str(starved)};
    }
}

static void attempt_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *given)
{
    struct channel_attempt *a = user;
    struct channel_call *call = a->call;
    struct oak_rpc_status status = *given;
    end_correct(a, &status);
    bool dropped = a->dropped;
    bool done = given->code == OAK_RPC_OK; /* then the server has done it, whatever is missing */
    if (!dropped) {
        channel__leader_answered(a->line, a->claim, &status);
    }
    channel__line_release(a->line);
    call->live--;
    *a = (struct channel_attempt){.call = call};
    if (call->ended) {
        channel__call_release(call);
    } else if (call->cancelled) {
        channel__call_fail(call, OAK_RPC_CANCELLED, "call canceled");
    } else if (!dropped && (call->winner == a || done)) {
        channel__answered(call, &status);
        channel__call_end(call, &status, rpc);
    } else if (!dropped) {
        channel__again(call, &status, rpc);
    }
}

static const struct oak_rpc_handler attempt_handler = {
    .message = attempt_message,
    .half_closed = attempt_half_closed,
    .writable = attempt_writable,
    .headers = attempt_headers,
    .closed = attempt_closed,
};

/* -- starting ---------------------------------------------------------------------------------- */

static struct channel_attempt *free_place(struct channel_call *call)
{
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        if (call->attempts[i].rpc == NULL) {
            return &call->attempts[i];
        }
    }
    return NULL;
}

int channel__attempt_start(struct channel_call *call, struct channel_line *line)
{
    struct oak_channel *channel = call->channel;
    struct channel_attempt *a = free_place(call);
    if (a == NULL) {
        return OAK_ELIMIT; /* those that were dropped have not ended yet */
    }
    struct oak_rpc_request request = call->request;
    uint64_t now_ns = channel__now(channel);
    request.timeout_ns = 0;
    if (call->deadline_ns != 0) {
        request.timeout_ns = call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 1;
    }
    request.previous_attempts = call->made - 1;
    request.handler = &attempt_handler;
    request.user = a;
    int error = oak_rpc_subchannel_call(line->sub, &request, &a->rpc);
    if (error != 0) {
        a->rpc = NULL;
        return error;
    }
    a->line = line;
    a->claim = channel__leader_claim(line);
    a->compress = request.encoding != OAK_RPC_IDENTITY;
    line->calls++;
    call->live++;
    channel->stats.attempts++;
    if (oak_list_linked(&call->wait_link)) {
        oak_list_remove(&call->wait_link);
    }
    call->begun = true;
    if (call->paused) {
        oak_rpc_call_pause(a->rpc, true);
    }
    channel__attempt_feed(a);
    channel__call_trim(call);
    channel__hedge_plan(call, now_ns);
    channel__call_arm(call, now_ns);
    return 0;
}
