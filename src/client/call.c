/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: one request and its answer, made by whoever the client is.
 *
 * Happy path   1 the request is encoded and kept
 *              2 it waits for a token, if one is needed and not there (login.c)
 *              3 it is sent, with the token
 *              4 the response is decoded, the status comes: `done`
 * Can fail     1, for want of memory: told by the function. Everything behind it: by `done`. A
 *              token that is refused is dropped, and the call goes back to 2, CLIENT_RENEWALS_MAX
 *              times: what was refused for its token was not done.
 * Invariants   `done` comes exactly once, from the loop or from oak_client_free(). The deadline is
 *              that of the whole call, whatever it waits for.
 * Thread       the loop's.
 */
#include "client/internal.h"

#include <stdlib.h>

uint64_t client__now(const struct oak_client *client)
{
    return client->loop->clock.mono_ns(client->loop->clock.user);
}

/* -- ending ------------------------------------------------------------------------------------ */

static void call_free(struct oak_client_call *call)
{
    if (call->timer.running) {
        call->client->loop->timers.stop(call->client->loop->timers.user, &call->timer);
    }
    oak_list_remove(&call->link);
    if (oak_list_linked(&call->waiter.link)) {
        oak_list_remove(&call->waiter.link);
    }
    if (call->method.secret) {
        explicit_bzero(call->request.data, call->request.size);
    }
    oak_buf_fini(&call->request);
    oak_arena_fini(&call->arena);
    free(call);
}

static void call_end(struct oak_client_call *call, int error, enum oak_rpc_code code,
                     const char *message)
{
    call->answer.error = error;
    call->answer.code = code;
    call->answer.message = message;
    if (call->done != NULL) {
        call->done(call->user, &call->answer);
    }
    call_free(call);
}

static void call_fail(struct oak_client_call *call, int error)
{
    call_end(call, error, (enum oak_rpc_code)oak_error_grpc(error), oak_error_text(error));
}

/* -- sending ----------------------------------------------------------------------------------- */

static void call_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct oak_client_call *call = user;
    (void)rpc;
    call->answer.error = client__decode(call, bytes);
    call->answered = true;
}

static int call_begin(struct oak_client_call *call);

/* It goes back to where it needs a token. True: it goes on. */
static bool call_renew(struct oak_client_call *call, int error)
{
    struct oak_client *client = call->client;
    if (call->login || call->cancelled || call->renewals == CLIENT_RENEWALS_MAX ||
        !client__token_refused(client, error)) {
        return false;
    }
    call->renewals++;
    client__token_drop(client, call->token);
    return call_begin(call) == 0;
}

/* It ends as the server says, or as the channel does: what waited in vain for a connection is told
 * why there was none. */
static void call_refused(struct oak_client_call *call, const struct oak_rpc_status *status)
{
    const struct oak_channel *channel = call->client->channel;
    enum oak_rpc_code code = status->code;
    struct oak_bytes text = status->message;
    if (code == OAK_RPC_DEADLINE_EXCEEDED && status->reach == OAK_RPC_UNSENT &&
        oak_channel_state(channel) == OAK_CHANNEL_TRANSIENT_FAILURE) {
        code = OAK_RPC_UNAVAILABLE;
        text = oak_bytes_str(oak_channel_error(channel));
    }
    int error = client__error(code, text);
    if (call_renew(call, error)) {
        return;
    }
    char *message = oak_arena_zalloc(&call->arena, text.size + 1);
    if (message != NULL && text.size > 0) {
        memcpy(message, text.data, text.size);
    }
    call_end(call, error, code, message != NULL ? message : oak_error_text(error));
}

static void call_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct oak_client_call *call = user;
    (void)rpc;
    call->rpc = NULL;
    if (call->done == NULL) {
        call_free(call);
    } else if (status->code != OAK_RPC_OK) {
        call_refused(call, status);
    } else if (!call->answered) {
        call_fail(call, OAK_EREMOTE);
    } else if (call->answer.error != 0) {
        call_fail(call, call->answer.error);
    } else {
        call_end(call, 0, OAK_RPC_OK, "");
    }
}

static const struct oak_rpc_handler call_handler = {
    .message = call_message,
    .closed = call_closed,
};

static int call_send(struct oak_client_call *call)
{
    struct oak_client *client = call->client;
    uint64_t now = client__now(client);
    struct oak_rpc_pair pair;
    const struct oak_rpc_request request = {
        .service = call->method.service,
        .method = call->method.name,
        .kind = OAK_RPC_UNARY,
        .idempotent = call->method.read,
        .wait_for_ready = !client->fail_fast,
        .timeout_ns = call->deadline_ns > now ? call->deadline_ns - now : 1,
        .metadata = &pair,
        .metadata_count = call->login ? 0 : client__pair(client, &pair),
        .handler = &call_handler,
        .user = call,
    };
    call->token = client->tokens;
    call->answered = false;
    int error = oak_channel_call(client->channel, &request, &call->rpc);
    if (error == 0) {
        error = oak_rpc_call_send(call->rpc, oak_buf_bytes(&call->request));
        if (error == 0) {
            oak_rpc_call_half_close(call->rpc);
        }
    }
    return error;
}

static void call_due(struct oak_timer *timer)
{
    struct oak_client_call *call = OAK_CONTAINER_OF(timer, struct oak_client_call, timer);
    call_fail(call, call->cancelled ? OAK_ECANCELED : OAK_EDEADLINE);
}

static void timer_set(struct oak_client_call *call, uint64_t due_ns)
{
    const struct oak_loop *loop = call->client->loop;
    call->timer.fire = call_due;
    loop->timers.set(loop->timers.user, &call->timer, due_ns);
}

static void call_go(struct client_waiter *waiter, const struct oak_client_answer *refusal)
{
    struct oak_client_call *call = OAK_CONTAINER_OF(waiter, struct oak_client_call, waiter);
    const struct oak_loop *loop = call->client->loop;
    loop->timers.stop(loop->timers.user, &call->timer);
    if (refusal != NULL) {
        call_end(call, refusal->error, refusal->code, refusal->message);
        return;
    }
    int error = call->cancelled ? OAK_ECANCELED : call_send(call);
    if (error != 0 && call->rpc == NULL) {
        call_fail(call, error);
    } else if (error != 0) {
        oak_rpc_call_cancel(call->rpc);
    }
}

/* Send it, or let it wait for a token. An error: it does neither; unless call->rpc is there, whose
 * `closed` will come. */
static int call_begin(struct oak_client_call *call)
{
    struct oak_client *client = call->client;
    if (!client__token_wanted(client)) {
        return call_send(call);
    }
    call->waiter.go = call_go;
    int error = client__token_wait(client, &call->waiter);
    if (error == 0) {
        timer_set(call, call->deadline_ns);
    }
    return error;
}

/* -- starting ---------------------------------------------------------------------------------- */

static int request_keep(struct oak_client_call *call, const struct client_ask *ask)
{
    if (ask->request == NULL) {
        return oak_buf_append(&call->request, ask->bytes.data, ask->bytes.size);
    }
    size_t size = protobuf_c_message_get_packed_size(ask->request);
    int error = oak_buf_reserve(&call->request, size);
    if (error == 0 && size > 0) {
        protobuf_c_message_pack(ask->request, call->request.data);
        call->request.size = size;
    }
    return error;
}

static int call_make(struct oak_client *client, const struct client_ask *ask,
                     struct oak_client_call **out)
{
    if (client->closing) {
        return OAK_ECLOSED;
    }
    struct oak_client_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return OAK_ENOMEM;
    }
    call->client = client;
    call->method = ask->method;
    call->done = ask->done;
    call->user = ask->user;
    call->deadline_ns =
        client__now(client) + (ask->timeout_ns != 0 ? ask->timeout_ns : client->call_timeout_ns);
    call->answer.ttl_s = -1;
    oak_arena_init(&call->arena, CLIENT_CHUNK_BYTES, CLIENT_DECODE_BYTES_MAX);
    oak_list_push(&client->calls, &call->link);
    int error = request_keep(call, ask);
    if (error != 0) {
        call_free(call);
        return error;
    }
    *out = call;
    return 0;
}

/* It was begun, or not: then its function says so, and nobody else. */
static int call_begun(struct oak_client_call *call, int error, struct oak_client_call **out)
{
    if (error != 0 && call->rpc != NULL) {
        call->done = NULL;
        oak_rpc_call_cancel(call->rpc);
    } else if (error != 0) {
        call_free(call);
    } else if (out != NULL) {
        *out = call;
    }
    return error;
}

int client__ask(struct oak_client *client, const struct client_ask *ask,
                struct oak_client_call **out)
{
    struct oak_client_call *call;
    int error = call_make(client, ask, &call);
    return error != 0 ? error : call_begun(call, call_begin(call), out);
}

int client__ask_nobody(struct oak_client *client, const struct client_ask *ask,
                       struct oak_client_call **out)
{
    struct oak_client_call *call;
    int error = call_make(client, ask, &call);
    if (error != 0) {
        return error;
    }
    call->login = true;
    return call_begun(call, call_send(call), out);
}

void oak_client_cancel(struct oak_client_call *call)
{
    call->cancelled = true;
    if (call->rpc != NULL) {
        oak_rpc_call_cancel(call->rpc);
    } else {
        timer_set(call, client__now(call->client));
    }
}

/* -- any method -------------------------------------------------------------------------------- */

int oak_client_ask(struct oak_client *client, const char *service, const char *method, bool read,
                   struct oak_bytes request, uint64_t timeout_ns, oak_client_done *done, void *user,
                   struct oak_client_call **out)
{
    const struct client_ask ask = {
        .method = {.service = service, .name = method, .read = read},
        .bytes = request,
        .timeout_ns = timeout_ns,
        .done = done,
        .user = user,
    };
    return client__ask(client, &ask, out);
}
