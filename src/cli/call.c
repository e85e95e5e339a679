/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: one-shot unary calls, for commands that ask and wait.
 *
 * Happy path   for each call at once: 1 a channel of its own, which tells a dead host at once and
 *              with its reason 2 the call 3 decode the answer
 * Can fail     connecting, the call's status, decoding: each call tells its own.
 * Invariants   cli__calls returns when every call is done; channels are freed by then.
 */
#include "cli/internal.h"

/* Decoding a status or a list of members. */
#define ARENA_BYTES_MAX (16 * OAK_MIB)

struct cli__calls {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    size_t open;
    uint64_t timeout_ns;
    uint64_t started_ns;
};

static uint64_t now(const struct cli__calls *run)
{
    return run->loop->clock.mono_ns(run->loop->clock.user);
}

static void done(struct cli__call *call)
{
    OAK_ASSERT(!call->done);
    call->done = true;
    call->took_ns = now(call->run) - call->run->started_ns;
    call->run->open--;
    oak_os_loop_stop(call->run->os);
}

static void message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct cli__call *call = user;
    (void)rpc;
    call->error = oak_proto_unpack(call->response_type, bytes, &call->arena, &call->response);
    if (call->error != 0) {
        oak_fail(&call->text, call->error, "%s answered what is no %s", call->endpoint,
                 call->response_type->name);
    }
}

static void closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct cli__call *call = user;
    (void)rpc;
    call->status = status->code;
    if (status->code != OAK_RPC_OK) {
        oak_fail(&call->text, OAK_ECLOSED, "%s: %.*s", oak_rpc_code_name(status->code),
                 (int)OAK_MIN(status->message.size, 256), (const char *)status->message.data);
    } else if (call->error == 0 && call->response == NULL) {
        call->error = oak_fail(&call->text, OAK_EFORMAT, "%s answered nothing", call->endpoint);
    }
    done(call);
}

static const struct oak_rpc_handler handler = {.message = message, .closed = closed};

static int call_send(struct cli__call *call)
{
    /* Once, and nothing but the deadline ends it: who asks wants to know how it is now. */
    const struct oak_channel_options options = {.attempts_max = 1,
                                                .connect_timeout_ns = call->run->timeout_ns,
                                                .progress_timeout_ns = OAK_RPC_NEVER_NS};
    int error =
        oak_channel_new(call->run->loop, call->endpoint, &options, &call->channel, &call->text);
    if (error != 0) {
        return error;
    }
    struct oak_rpc_request request = {
        .service = call->service,
        .method = call->method,
        .timeout_ns = call->run->timeout_ns,
        .handler = &handler,
        .user = call,
    };
    struct oak_rpc_call *rpc = NULL;
    error = oak_channel_call(call->channel, &request, &rpc);
    if (error != 0) {
        return error;
    }
    /* From here on `closed` will come, whatever happens. */
    size_t size = protobuf_c_message_get_packed_size(call->request);
    uint8_t *out = oak_rpc_call_send_into(rpc, size);
    if (out == NULL) {
        oak_rpc_call_cancel(rpc);
        return 0;
    }
    protobuf_c_message_pack(call->request, out);
    oak_rpc_call_half_close(rpc);
    return 0;
}

bool cli__calls(struct oak_os_loop *loop, struct cli__call *calls, size_t count,
                uint64_t timeout_ns)
{
    struct cli__calls run = {
        .os = loop, .loop = oak_os_loop_port(loop), .open = count, .timeout_ns = timeout_ns};
    run.started_ns = now(&run);
    for (size_t i = 0; i < count; i++) {
        struct cli__call *call = &calls[i];
        oak_arena_init(&call->arena, 16 * OAK_KIB, ARENA_BYTES_MAX);
        call->run = &run;
        call->response = NULL;
        call->channel = NULL;
        call->done = false;
        call->status = OAK_RPC_UNKNOWN;
        call->text.text[0] = '\0';
        call->error = call_send(call);
        if (call->error != 0) {
            if (call->text.text[0] == '\0') {
                oak_fail(&call->text, call->error, "%s: %s", call->endpoint,
                         oak_error_text(call->error));
            }
            done(call);
        }
    }
    while (run.open > 0) {
        oak_os_loop_run(loop);
    }
    bool whole = true;
    for (size_t i = 0; i < count; i++) {
        if (calls[i].channel != NULL) {
            oak_channel_free(calls[i].channel);
            calls[i].channel = NULL;
        }
        calls[i].run = NULL;
        whole = whole && calls[i].error == 0 && calls[i].status == OAK_RPC_OK;
    }
    return whole;
}

void cli__calls_fini(struct cli__call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        oak_arena_fini(&calls[i].arena);
    }
}
