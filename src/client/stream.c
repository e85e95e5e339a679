/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: a stream that lasts.
 *
 * Happy path   1 wanted: a token is waited for, if one is needed
 *              2 opened, without a deadline, at a server that has a leader: `open`
 *              3 messages, until it breaks: `broken`, and back to 1 behind a pause
 * Can fail     a status that another attempt would meet again: `failed`. A token that is refused is
 *              dropped, CLIENT_RENEWALS_MAX times until something is heard.
 * Invariants   one of: not wanted, timer, waiter, rpc. After stop nothing is called any more: the
 *              call that is ending has a handler that does nothing.
 * Thread       the loop's.
 */
#include "client/stream.h"

static void pause_begin(struct client_stream *s)
{
    const struct oak_loop *loop = s->client->loop;
    uint64_t pause = s->heard ? 0 : OAK_MAX(s->pause_ns, CLIENT_PAUSE_FIRST_NS);
    s->pause_ns = s->heard ? 0 : OAK_MIN(pause / 5 * 8, CLIENT_PAUSE_MOST_NS);
    uint8_t chance;
    loop->entropy.fill(loop->entropy.user, &chance, sizeof(chance));
    pause = pause / 5 * 4 + pause / 5 * chance / 255;
    s->heard = false;
    loop->timers.set(loop->timers.user, &s->timer, client__now(s->client) + pause);
}

/* Would another attempt, at another member or later, meet the same? */
static bool final(enum oak_rpc_code code)
{
    switch (code) {
    case OAK_RPC_INVALID_ARGUMENT:
    case OAK_RPC_NOT_FOUND:
    case OAK_RPC_ALREADY_EXISTS:
    case OAK_RPC_PERMISSION_DENIED:
    case OAK_RPC_RESOURCE_EXHAUSTED:
    case OAK_RPC_OUT_OF_RANGE:
    case OAK_RPC_UNIMPLEMENTED:
    case OAK_RPC_UNAUTHENTICATED:
        return true;
    default:
        return false;
    }
}

static void ended(struct client_stream *s, int error, enum oak_rpc_code code, const char *message)
{
    if (client__stream_renew(s, error)) {
        return;
    }
    if (final(code)) {
        s->events->failed(s, error, message);
        return;
    }
    pause_begin(s);
    s->events->broken(s);
}

/* -- the call ---------------------------------------------------------------------------------- */

static void call_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct client_stream *s = user;
    OAK_ASSERT(s->rpc == rpc);
    s->heard = true;
    s->renewals = 0;
    s->events->message(s, bytes);
}

static void call_writable(void *user, struct oak_rpc_call *rpc)
{
    struct client_stream *s = user;
    OAK_ASSERT(s->rpc == rpc);
    s->events->writable(s);
}

static void call_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct client_stream *s = user;
    OAK_ASSERT(s->rpc == rpc);
    s->rpc = NULL;
    char message[512];
    size_t size = OAK_MIN(status->message.size, sizeof(message) - 1);
    if (size > 0) {
        memcpy(message, status->message.data, size);
    }
    message[size] = '\0';
    if (!s->client->closing) {
        ended(s, client__error(status->code, status->message), status->code, message);
    }
}

static const struct oak_rpc_handler handler = {
    .message = call_message,
    .writable = call_writable,
    .closed = call_closed,
};

static void gone(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    (void)user;
    (void)rpc;
    (void)status;
}

static void unheard(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    (void)user;
    (void)rpc;
    (void)bytes;
}

static const struct oak_rpc_handler gone_handler = {.message = unheard, .closed = gone};

static void call_leave(struct client_stream *s)
{
    if (s->rpc != NULL) {
        oak_rpc_call_handle(s->rpc, &gone_handler, NULL);
        oak_rpc_call_cancel(s->rpc);
        s->rpc = NULL;
    }
}

/* -- opening ----------------------------------------------------------------------------------- */

static void open_call(struct client_stream *s)
{
    struct oak_rpc_pair pairs[2] = {
        {.name = oak_bytes_str("hasleader"), .value = oak_bytes_str("true")}};
    const struct oak_rpc_request request = {
        .service = s->service,
        .method = s->method,
        .kind = OAK_RPC_BIDI,
        .wait_for_ready = true,
        .metadata = pairs,
        .metadata_count = 1 + client__pair(s->client, &pairs[1]),
        .handler = &handler,
        .user = s,
    };
    s->token = s->client->tokens;
    int error = oak_channel_call(s->client->channel, &request, &s->rpc);
    if (error != 0) {
        pause_begin(s);
        return;
    }
    oak_rpc_call_pause(s->rpc, s->paused);
    s->events->open(s);
}

static void token_there(struct client_waiter *waiter, const struct oak_client_answer *refusal)
{
    struct client_stream *s = OAK_CONTAINER_OF(waiter, struct client_stream, waiter);
    if (refusal == NULL) {
        open_call(s);
    } else if (!s->client->closing) {
        ended(s, refusal->error, refusal->code, refusal->message);
    }
}

static void due(struct oak_timer *timer)
{
    struct client_stream *s = OAK_CONTAINER_OF(timer, struct client_stream, timer);
    if (!client__token_wanted(s->client)) {
        open_call(s);
        return;
    }
    s->waiter.go = token_there;
    if (client__token_wait(s->client, &s->waiter) != 0) {
        pause_begin(s);
    }
}

void client__stream_want(struct client_stream *s)
{
    const struct oak_loop *loop = s->client->loop;
    if (s->rpc == NULL && !s->timer.running && !oak_list_linked(&s->waiter.link)) {
        s->timer.fire = due;
        loop->timers.set(loop->timers.user, &s->timer, client__now(s->client));
    }
}

void client__stream_stop(struct client_stream *s)
{
    const struct oak_loop *loop = s->client->loop;
    loop->timers.stop(loop->timers.user, &s->timer);
    if (oak_list_linked(&s->waiter.link)) {
        oak_list_remove(&s->waiter.link);
    }
    call_leave(s);
}

bool client__stream_renew(struct client_stream *s, int error)
{
    if (s->renewals == CLIENT_RENEWALS_MAX || !client__token_refused(s->client, error)) {
        return false;
    }
    unsigned renewals = s->renewals + 1;
    client__token_drop(s->client, s->token);
    client__stream_stop(s);
    s->renewals = renewals;
    s->heard = false;
    client__stream_want(s);
    s->events->broken(s);
    return true;
}

void client__stream_fail(struct client_stream *s, int error)
{
    client__stream_stop(s);
    s->events->failed(s, error, oak_error_text(error));
}

/* -- use --------------------------------------------------------------------------------------- */

int client__stream_send(struct client_stream *s, const ProtobufCMessage *message)
{
    if (s->rpc == NULL) {
        return OAK_EAGAIN;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *out = oak_rpc_call_send_into(s->rpc, size);
    if (out == NULL) {
        return OAK_ELIMIT;
    }
    protobuf_c_message_pack(message, out);
    return 0;
}

void client__stream_pause(struct client_stream *s, bool paused)
{
    s->paused = paused;
    if (s->rpc != NULL) {
        oak_rpc_call_pause(s->rpc, paused);
    }
}
