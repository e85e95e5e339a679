/* SPDX-License-Identifier: Apache-2.0 */
/* chain.c: the interceptors of a door: what rpc.h says of a server's holds here.
 *
 * Can fail     a verdict: the call is finished with its status, the method is not asked. No memory
 *              for their states.
 * Invariants   `closed` reaches exactly those whose start was passed, whatever start said.
 * Thread       the loop's.
 */
#include "jsonrpc/internal.h"

#define STATE_ALIGN 16

static const struct oak_rpc_interceptor *chain_of(const struct jsonrpc_call *call)
{
    return call->conn->server->options.interceptors;
}

static size_t state_size(const struct oak_rpc_interceptor *i)
{
    return (i->state_bytes + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
}

/* One behind the other in the call's buffer. */
static void *state_of(const struct jsonrpc_call *call, size_t place)
{
    const struct oak_rpc_interceptor *chain = chain_of(call);
    size_t at = 0;
    for (size_t i = 0; i < place; i++) {
        at += state_size(&chain[i]);
    }
    return chain[place].state_bytes > 0 ? call->states.data + at : NULL;
}

static int states_make(struct jsonrpc_call *call)
{
    size_t size = 0;
    for (size_t i = 0; i < call->conn->server->options.interceptor_count; i++) {
        size += state_size(&chain_of(call)[i]);
    }
    int error = size > 0 ? oak_buf_reserve(&call->states, size) : 0;
    if (error == 0 && size > 0) {
        memset(call->states.data, 0, size);
        call->states.size = size;
    }
    return error;
}

static struct oak_rpc_call *rpc_of(struct jsonrpc_call *call)
{
    return oak_rpc_call_of(&call->base);
}

static bool go_on(struct jsonrpc_call *call, struct oak_rpc_verdict verdict)
{
    if (verdict.code != OAK_RPC_OK) {
        jsonrpc__call_finish(call, verdict.code, verdict.text);
    }
    return !call->finished;
}

int jsonrpc__chain_start(struct jsonrpc_call *call)
{
    size_t count = call->conn->server->options.interceptor_count;
    int error = states_make(call);
    bool on = error == 0;
    for (size_t i = 0; on && i < count; i++) {
        const struct oak_rpc_interceptor *in = &chain_of(call)[i];
        call->chain_count++;
        if (in->start != NULL) {
            on = go_on(call, in->start(in->user, rpc_of(call), state_of(call, i)));
        }
    }
    return error;
}

bool jsonrpc__chain_received(struct jsonrpc_call *call, struct oak_bytes message)
{
    bool on = true;
    for (size_t i = 0; on && i < call->chain_count; i++) {
        const struct oak_rpc_interceptor *in = &chain_of(call)[i];
        if (in->received != NULL) {
            on = go_on(call, in->received(in->user, rpc_of(call), state_of(call, i), message));
        }
    }
    return on;
}

bool jsonrpc__chain_sent(struct jsonrpc_call *call, size_t size)
{
    bool on = true;
    for (size_t i = call->chain_count; on && i > 0; i--) {
        const struct oak_rpc_interceptor *in = &chain_of(call)[i - 1];
        if (in->sent != NULL) {
            on = go_on(call, in->sent(in->user, rpc_of(call), state_of(call, i - 1), size));
        }
    }
    return on;
}

void jsonrpc__chain_finish(struct jsonrpc_call *call, enum oak_rpc_code code)
{
    for (size_t i = call->chain_count; i > 0; i--) {
        const struct oak_rpc_interceptor *in = &chain_of(call)[i - 1];
        if (in->finish != NULL) {
            in->finish(in->user, rpc_of(call), state_of(call, i - 1), code);
        }
    }
}

void jsonrpc__chain_closed(struct jsonrpc_call *call, const struct oak_rpc_status *status)
{
    for (size_t i = call->chain_count; i > 0; i--) {
        const struct oak_rpc_interceptor *in = &chain_of(call)[i - 1];
        if (in->closed != NULL) {
            in->closed(in->user, rpc_of(call), state_of(call, i - 1), status);
        }
    }
    call->chain_count = 0;
}
