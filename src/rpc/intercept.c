/* SPDX-License-Identifier: Apache-2.0 */
/* intercept.c: the chain of interceptors that a call passes.
 *
 * Happy path   start for each in turn; then what comes and what goes; then `closed`. The first of
 *              the chain is the outermost: what comes from outside it sees first on a server and
 *              last on a client, what goes out the other way round.
 * Can fail     a verdict: the call ends with its status, the handler is not asked. No memory for
 *              their states: the call is refused.
 * Invariants   `closed` reaches exactly those whose start was passed, whatever start said.
 *              chain_count is how many those are; the others are told nothing.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

#define STATE_ALIGN 16

static const struct oak_rpc_interceptor *chain_of(const struct oak_rpc_call *call)
{
    return call->conn->options.interceptors;
}

static size_t state_size(const struct oak_rpc_interceptor *i)
{
    return (i->state_bytes + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
}

/* One behind the other in the call's buffer. */
static void *state_of(const struct oak_rpc_call *call, size_t place)
{
    const struct oak_rpc_interceptor *chain = chain_of(call);
    size_t at = 0;
    for (size_t i = 0; i < place; i++) {
        at += state_size(&chain[i]);
    }
    return chain[place].state_bytes > 0 ? call->states.data + at : NULL;
}

static int states_make(struct oak_rpc_call *call)
{
    size_t count = call->conn->options.interceptor_count;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += state_size(&chain_of(call)[i]);
    }
    oak_buf_clear(&call->states);
    int error = size > 0 ? oak_buf_reserve(&call->states, size) : 0;
    if (error == 0 && size > 0) {
        memset(call->states.data, 0, size);
        call->states.size = size;
    }
    return error;
}

/* The places of the chain by turns: 0, 1, … inwards, or …, 1, 0 outwards. */
static size_t place_at(const struct oak_rpc_call *call, size_t turn, bool inwards)
{
    return inwards ? turn : call->chain_count - 1 - turn;
}

int rpc__chain_start(struct oak_rpc_call *call, struct oak_rpc_verdict *out)
{
    size_t count = call->conn->options.interceptor_count;
    *out = (struct oak_rpc_verdict){OAK_RPC_OK, NULL};
    if (count == 0) {
        return 0;
    }
    OAK_ASSERT_EQ(call->chain_count, 0);
    int error = states_make(call);
    for (size_t i = 0; error == 0 && i < count && out->code == OAK_RPC_OK && !call->deaf; i++) {
        const struct oak_rpc_interceptor *in = &chain_of(call)[i];
        call->chain_count++;
        if (in->start != NULL) {
            *out = in->start(in->user, call, state_of(call, i));
            OAK_ASSERT_LE(out->code, OAK_RPC_UNAUTHENTICATED);
        }
    }
    return error;
}

static bool go_on(struct oak_rpc_call *call, struct oak_rpc_verdict verdict)
{
    OAK_ASSERT_LE(verdict.code, OAK_RPC_UNAUTHENTICATED);
    if (verdict.code == OAK_RPC_OK) {
        return true;
    }
    rpc__call_verdict(call, verdict);
    return false;
}

bool rpc__chain_received(struct oak_rpc_call *call, struct oak_bytes message)
{
    bool inwards = call->conn->server != NULL;
    bool on = true;
    for (size_t turn = 0; on && turn < call->chain_count; turn++) {
        size_t place = place_at(call, turn, inwards);
        const struct oak_rpc_interceptor *in = &chain_of(call)[place];
        if (in->received != NULL) {
            on = go_on(call, in->received(in->user, call, state_of(call, place), message));
        }
    }
    return on;
}

bool rpc__chain_sent(struct oak_rpc_call *call, size_t size)
{
    bool inwards = call->conn->server == NULL;
    bool on = true;
    for (size_t turn = 0; on && turn < call->chain_count; turn++) {
        size_t place = place_at(call, turn, inwards);
        const struct oak_rpc_interceptor *in = &chain_of(call)[place];
        if (in->sent != NULL) {
            on = go_on(call, in->sent(in->user, call, state_of(call, place), size));
        }
    }
    return on;
}

void rpc__chain_headers(struct oak_rpc_call *call)
{
    for (size_t turn = 0; turn < call->chain_count; turn++) {
        size_t place = place_at(call, turn, false);
        const struct oak_rpc_interceptor *in = &chain_of(call)[place];
        if (in->headers != NULL) {
            in->headers(in->user, call, state_of(call, place));
        }
    }
}

void rpc__chain_finish(struct oak_rpc_call *call, enum oak_rpc_code code)
{
    for (size_t turn = 0; turn < call->chain_count; turn++) {
        size_t place = place_at(call, turn, false);
        const struct oak_rpc_interceptor *in = &chain_of(call)[place];
        if (in->finish != NULL) {
            in->finish(in->user, call, state_of(call, place), code);
        }
    }
}

void rpc__chain_closed(struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    for (size_t turn = 0; turn < call->chain_count; turn++) {
        size_t place = place_at(call, turn, false);
        const struct oak_rpc_interceptor *in = &chain_of(call)[place];
        if (in->closed != NULL) {
            in->closed(in->user, call, state_of(call, place), status);
        }
    }
    call->chain_count = 0;
}
