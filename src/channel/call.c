/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: the call that a user holds, and what may be done with it.
 *
 * Happy path   what is sent is kept, and given to the attempt that runs; the attempt answers, and
 *              from then on the call is that attempt: nothing is kept any more, and what is asked
 *              of it is asked of the attempt.
 * Can fail     sending: as in rpc, and when too much is kept.
 * Invariants   no callback runs from inside a function of this file. A message that its user fills
 *              (send_into) is whole when the next function is called, or the loop goes on.
 * Thread       the loop's.
 */
#include "channel/internal.h"

#define KEPT_HEAD_BYTES 5u

static struct channel_call *call_of(struct oak_rpc_call *call)
{
    return (struct channel_call *)(void *)call;
}

static const struct channel_call *call_of_const(const struct oak_rpc_call *call)
{
    return (const struct channel_call *)(const void *)call;
}

/* -- what is kept ------------------------------------------------------------------------------ */

/* The one attempt past which nothing need be kept, if it is so far. */
static struct channel_attempt *direct(struct channel_call *call)
{
    return call->committed && call->kept.size == 0 ? channel__call_sole(call) : NULL;
}

void channel__call_trim(struct channel_call *call)
{
    const struct channel_attempt *a = channel__call_sole(call);
    if (call->committed && a != NULL && a->given == call->kept.size) {
        channel__kept_drop(call);
    }
}

static void feed_all(struct channel_call *call)
{
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        if (call->attempts[i].rpc != NULL) {
            channel__attempt_feed(&call->attempts[i]);
        }
    }
    channel__call_trim(call);
}

void channel__call_settle(struct channel_call *call)
{
    if (oak_list_linked(&call->lazy_link)) {
        oak_list_remove(&call->lazy_link);
        feed_all(call);
    }
}

static int keep_check(const struct channel_call *call, size_t size)
{
    const struct oak_channel *channel = call->channel;
    bool full = call->kept.size >= OAK_OUTBOUND_BYTES_MAX ||
                size > channel->options.waiting_bytes_max ||
                channel->kept_bytes > channel->options.waiting_bytes_max - size;
    return full || size > UINT32_MAX ? OAK_ELIMIT : 0;
}

/* Room for a message behind what is kept. */
static int keep(struct channel_call *call, size_t size, uint8_t **body)
{
    struct oak_channel *channel = call->channel;
    size_t whole = KEPT_HEAD_BYTES + size;
    int error = keep_check(call, whole);
    if (error == 0) {
        error = oak_buf_reserve(&call->kept, whole);
    }
    if (error != 0) {
        return error;
    }
    uint8_t *at = call->kept.data + call->kept.size;
    oak_put_u32(at, (uint32_t)size);
    at[4] = call->compress;
    call->kept.size += whole;
    channel->kept_bytes += whole;
    bool much = call->kept.size > channel->options.replay_bytes_max ||
                channel->kept_bytes > CHANNEL_REPLAY_BYTES_MAX;
    if (much && !call->committed) {
        channel__call_commit(call, NULL);
    }
    *body = at + KEPT_HEAD_BYTES;
    return 0;
}

/* -- what a user may do ------------------------------------------------------------------------ */

static int send_check(const struct channel_call *call, size_t size)
{
    if (call->ended || call->half_closed || call->cancelled) {
        return OAK_ECLOSED;
    }
    const struct channel_rule *rule = call->rule;
    bool large = rule != NULL && rule->request_set && size > rule->request_bytes_max;
    size_t most = call->channel->options.rpc.send_bytes_max;
    return large || (most != 0 && size > most) ? OAK_ELIMIT : 0;
}

/* Before a message goes past what is kept. */
static void direct_begin(struct channel_attempt *a)
{
    if (a->compress != a->call->compress) {
        a->compress = a->call->compress;
        oak_rpc_call_compress_messages(a->rpc, a->compress);
    }
    if (oak_rpc_call_queued(a->rpc) == 0) {
        a->owed_ns = channel__now(a->call->channel);
    }
}

static void call_handle(struct oak_rpc_call *base, const struct oak_rpc_handler *handler,
                        void *user)
{
    struct channel_call *call = call_of(base);
    OAK_ASSERT(!call->ended);
    call->handler = handler;
    call->user = user;
}

static int call_send(struct oak_rpc_call *base, struct oak_bytes message)
{
    struct channel_call *call = call_of(base);
    channel__call_settle(call);
    int error = send_check(call, message.size);
    if (error != 0) {
        return error;
    }
    struct channel_attempt *a = direct(call);
    if (a != NULL) {
        direct_begin(a);
        return oak_rpc_call_send(a->rpc, message);
    }
    uint8_t *body;
    error = keep(call, message.size, &body);
    if (error == 0) {
        if (message.size > 0) {
            memcpy(body, message.data, message.size);
        }
        feed_all(call);
    }
    return error;
}

static uint8_t *call_send_into(struct oak_rpc_call *base, size_t size)
{
    struct channel_call *call = call_of(base);
    channel__call_settle(call);
    if (send_check(call, size) != 0) {
        return NULL;
    }
    struct channel_attempt *a = direct(call);
    if (a != NULL) {
        direct_begin(a);
        return oak_rpc_call_send_into(a->rpc, size);
    }
    uint8_t *body;
    if (keep(call, size, &body) != 0) {
        return NULL;
    }
    oak_list_push(&call->channel->lazy, &call->lazy_link);
    channel__turn_soon(call->channel);
    return body;
}

static void call_half_close(struct oak_rpc_call *base)
{
    struct channel_call *call = call_of(base);
    if (call->ended || call->half_closed) {
        return;
    }
    call->half_closed = true;
    if (oak_list_linked(&call->lazy_link)) {
        oak_list_remove(&call->lazy_link);
    }
    feed_all(call);
}

static void call_cancel(struct oak_rpc_call *base)
{
    struct channel_call *call = call_of(base);
    if (call->ended || call->cancelled) {
        return;
    }
    call->cancelled = true;
    if (oak_list_linked(&call->wait_link)) {
        oak_list_remove(&call->wait_link);
    }
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        if (call->attempts[i].rpc != NULL) {
            oak_rpc_call_cancel(call->attempts[i].rpc);
        }
    }
    /* `closed` follows from the attempts; where there is none, from the timer. */
    channel__timer_set(call->channel, &call->timer, channel__now(call->channel));
}

static void call_pause(struct oak_rpc_call *base, bool paused)
{
    struct channel_call *call = call_of(base);
    call->paused = paused;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        if (call->attempts[i].rpc != NULL) {
            oak_rpc_call_pause(call->attempts[i].rpc, paused);
        }
    }
}

static size_t call_queued(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    bool any = false;
    size_t most = 0;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        const struct channel_attempt *a = &call->attempts[i];
        if (a->rpc != NULL && !a->dropped) {
            size_t queued = call->kept.size - a->given + oak_rpc_call_queued(a->rpc);
            most = OAK_MAX(most, queued);
            any = true;
        }
    }
    return any ? most : call->kept.size;
}

static struct oak_bytes call_metadata(const struct oak_rpc_call *base, const char *name)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL ? oak_rpc_call_metadata(call->answer, name) : oak_bytes(NULL, 0);
}

static bool call_metadata_next(const struct oak_rpc_call *base, enum oak_rpc_part part, size_t *at,
                               struct oak_rpc_pair *out)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL && oak_rpc_call_metadata_next(call->answer, part, at, out);
}

static struct oak_bytes call_authority(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL ? oak_rpc_call_authority(call->answer) : oak_bytes(NULL, 0);
}

static uint64_t call_deadline_ns(const struct oak_rpc_call *base)
{
    return call_of_const(base)->deadline_ns;
}

static struct oak_bytes call_path(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    return oak_bytes_str((const char *)call->texts.data); /* the first of them */
}

static const char *call_peer(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL ? oak_rpc_call_peer(call->answer) : "";
}

static const struct oak_identity *call_identity(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL ? oak_rpc_call_identity(call->answer) : NULL;
}

static const struct oak_process *call_process(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL ? oak_rpc_call_process(call->answer) : NULL;
}

static bool call_owed(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        if (call->attempts[i].rpc != NULL && oak_rpc_call_owed(call->attempts[i].rpc)) {
            return true;
        }
    }
    return false;
}

static uint64_t call_moved_ns(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    uint64_t last_ns = 0;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        if (call->attempts[i].rpc != NULL) {
            last_ns = OAK_MAX(last_ns, oak_rpc_call_moved_ns(call->attempts[i].rpc));
        }
    }
    return last_ns;
}

static int call_follow(struct oak_rpc_call *base, struct oak_rpc_follower *follower)
{
    struct channel_call *call = call_of(base);
    if (call->ended) {
        return OAK_ECLOSED;
    }
    oak_rpc_followers_join(&call->followers, follower);
    return 0;
}

static void call_compress_messages(struct oak_rpc_call *base, bool on)
{
    struct channel_call *call = call_of(base);
    channel__call_settle(call);
    call->compress = on && call->request.encoding != OAK_RPC_IDENTITY;
}

/* May its headers still be changed? `a` is the one attempt that has them; NULL: none has. */
static bool headers_open(struct channel_call *call, struct channel_attempt **a)
{
    *a = channel__call_sole(call);
    return !call->ended && !call->cancelled && (!call->begun || *a != NULL);
}

static int call_compress(struct oak_rpc_call *base, enum oak_rpc_encoding encoding)
{
    struct channel_call *call = call_of(base);
    struct channel_attempt *a;
    if (!headers_open(call, &a) || call->kept.size > 0) {
        return OAK_ECLOSED;
    }
    int error = a != NULL ? oak_rpc_call_compress(a->rpc, encoding) : 0;
    if (error != 0) {
        return error;
    }
    call->request.encoding = encoding;
    call->compress = encoding != OAK_RPC_IDENTITY;
    if (a != NULL) {
        a->compress = call->compress;
    }
    return 0;
}

static int call_add_header(struct oak_rpc_call *base, struct oak_rpc_pair pair)
{
    struct channel_call *call = call_of(base);
    struct channel_attempt *a;
    if (!headers_open(call, &a)) {
        return OAK_ECLOSED;
    }
    int error = channel__call_pair_room(call, pair);
    if (error == 0 && a != NULL) {
        error = oak_rpc_call_add_header(a->rpc, pair);
    }
    if (error == 0) {
        channel__call_pair_add(call, pair); /* for the attempts to come */
    }
    return error;
}

static bool call_compressed(const struct oak_rpc_call *base)
{
    const struct channel_call *call = call_of_const(base);
    return call->answer != NULL && oak_rpc_call_compressed(call->answer);
}

const struct oak_rpc_call_ops channel__call_ops = {
    .handle = call_handle,
    .send = call_send,
    .send_into = call_send_into,
    .half_close = call_half_close,
    .cancel = call_cancel,
    .pause = call_pause,
    .queued = call_queued,
    .metadata = call_metadata,
    .deadline_ns = call_deadline_ns,
    .path = call_path,
    .peer = call_peer,
    .identity = call_identity,
    .owed = call_owed,
    .moved_ns = call_moved_ns,
    .metadata_next = call_metadata_next,
    .authority = call_authority,
    .follow = call_follow,
    .add_header = call_add_header,
    .compress = call_compress,
    .compress_messages = call_compress_messages,
    .compressed = call_compressed,
    .process = call_process,
};
