/* SPDX-License-Identifier: Apache-2.0 */
/* crowd.c: connections, calls, and the hook in which they end.
 *
 * Can fail     a call that could not leave ends as unsent; every other ends with a status.
 * Invariants   a call is in one place: under way, in `answered`, resting, or with its owner;
 *              while one is in `answered`, the hook has a turn in this round, or `soon` is set.
 */
#include "chaos/crowd.h"

#define ARENA_BYTES_MAX (64 * OAK_MIB)

uint64_t crowd_now(const struct crowd *c)
{
    return c->loop->clock.mono_ns(c->loop->clock.user);
}

static void soon_fire(struct oak_timer *timer)
{
    (void)timer; /* that the round came is enough */
}

/* A call may end behind the hook's turn: deadlines are looked at in the channels' own hooks, and
 * `done` may send what can't leave. Then nothing else may bring another round. */
static void answered(struct crowd *c, struct crowd_call *call)
{
    oak_list_push(&c->answered, &call->link);
    if (!c->soon.running) {
        c->loop->timers.set(c->loop->timers.user, &c->soon, crowd_now(c));
    }
}

/* What ended in this round; calls that end unsent while this runs wait for the next one. */
static void round_end(struct oak_after *after)
{
    struct crowd *c = OAK_CONTAINER_OF(after, struct crowd, after);
    struct oak_list ended;
    oak_list_init(&ended);
    c->loop->timers.stop(c->loop->timers.user, &c->soon);
    while (!oak_list_empty(&c->answered)) {
        oak_list_push(&ended, oak_list_pop(&c->answered));
    }
    while (!oak_list_empty(&ended)) {
        struct crowd_call *call = OAK_LIST_ENTRY(oak_list_pop(&ended), struct crowd_call, link);
        call->done(call);
    }
}

static void on_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct crowd_call *call = user;
    (void)rpc;
    if (oak_proto_unpack(call->type, bytes, &call->arena, &call->response) != 0) {
        call->response = NULL;
    }
}

static void on_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct crowd_call *call = user;
    struct crowd *c = call->crowd;
    (void)rpc;
    call->code =
        status->code == OAK_RPC_OK && call->response == NULL ? OAK_RPC_INTERNAL : status->code;
    call->done_ns = crowd_now(c);
    call->ret = ++c->moment;
    c->open--;
    answered(c, call);
}

static const struct oak_rpc_handler handler = {.message = on_message, .closed = on_closed};

static void on_signal(void *user, int signal)
{
    struct crowd *c = user;
    (void)signal;
    c->stopping = true;
    c->signals++;
}

int crowd_open(struct crowd *c, struct oak_errbuf *e)
{
    *c = (struct crowd){0};
    oak_list_init(&c->answered);
    int error = oak_os_loop_new(&c->os);
    if (error != 0) {
        return oak_fail(e, error, "there is no event loop: %s", oak_error_text(error));
    }
    c->loop = oak_os_loop_port(c->os);
    c->soon.fire = soon_fire;
    c->after.run = round_end;
    c->loop->after_add(c->loop->user, &c->after); /* ahead of the channels' own hooks */
    error = oak_os_loop_on_signal(c->os, on_signal, c);
    return error == 0 ? 0 : oak_fail(e, error, "signals: %s", oak_error_text(error));
}

int crowd_connect(struct crowd *c, const char *endpoint, struct oak_errbuf *e)
{
    const struct oak_rpc_subchannel_options options = {
        .rpc = {.receive_bytes_max = ARENA_BYTES_MAX}, .backoff_max_ns = 50 * CROWD_MS};
    if (c->endpoint_count == CROWD_ENDPOINTS_MAX) {
        return oak_fail(e, OAK_ELIMIT, "more than %d endpoints", CROWD_ENDPOINTS_MAX);
    }
    int error =
        oak_rpc_subchannel_new(c->loop, endpoint, &options, &c->channels[c->endpoint_count]);
    if (error != 0) {
        return oak_fail(e, error, "\"%.64s\" is no endpoint", endpoint);
    }
    c->endpoint_count++;
    return 0;
}

void crowd_fini(struct crowd *c)
{
    if (c->os == NULL) {
        return;
    }
    for (size_t i = 0; i < c->endpoint_count; i++) {
        oak_rpc_subchannel_free(c->channels[i]);
    }
    c->loop->after_remove(c->loop->user, &c->after);
    c->loop->timers.stop(c->loop->timers.user, &c->soon);
    oak_os_loop_free(c->os);
    c->os = NULL;
}

void crowd_run(struct crowd *c)
{
    oak_os_loop_run(c->os);
}

void crowd_stop(struct crowd *c)
{
    oak_os_loop_stop(c->os);
}

static void timer_fire(struct oak_timer *timer)
{
    struct crowd_call *call = OAK_CONTAINER_OF(timer, struct crowd_call, timer);
    call->rested(call);
}

void crowd_call_init(struct crowd *c, struct crowd_call *call)
{
    call->crowd = c;
    call->timer.fire = timer_fire;
    oak_arena_init(&call->arena, 4 * OAK_KIB, ARENA_BYTES_MAX);
}

void crowd_call_fini(struct crowd_call *call)
{
    oak_arena_fini(&call->arena);
}

void crowd_ask(struct crowd_call *call, size_t endpoint, const char *service, const char *method,
               const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
               uint64_t timeout_ns)
{
    struct crowd *c = call->crowd;
    const struct oak_rpc_request asked = {
        .service = service,
        .method = method,
        .timeout_ns = timeout_ns,
        .fail_fast = true,
        .handler = &handler,
        .user = call,
    };
    struct oak_rpc_call *rpc = NULL;
    oak_arena_reset(&call->arena);
    call->response = NULL;
    call->type = response;
    call->endpoint = endpoint % c->endpoint_count;
    call->sent_ns = crowd_now(c);
    call->call = ++c->moment;
    call->unsent = oak_rpc_subchannel_call(c->channels[call->endpoint], &asked, &rpc) != 0;
    if (call->unsent) {
        call->code = OAK_RPC_UNAVAILABLE;
        call->done_ns = call->sent_ns;
        call->ret = ++c->moment;
        answered(c, call);
        return;
    }
    c->open++;
    uint8_t *out = oak_rpc_call_send_into(rpc, protobuf_c_message_get_packed_size(request));
    if (out == NULL) {
        oak_rpc_call_cancel(rpc);
        return;
    }
    protobuf_c_message_pack(request, out);
    oak_rpc_call_half_close(rpc);
}

void crowd_send(struct crowd_call *call, size_t endpoint, const char *method,
                const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                uint64_t timeout_ns)
{
    crowd_ask(call, endpoint, "etcdserverpb.KV", method, request, response, timeout_ns);
}

void crowd_rest(struct crowd_call *call, uint64_t ns, void (*rested)(struct crowd_call *call))
{
    const struct oak_timers *timers = &call->crowd->loop->timers;
    call->rested = rested;
    timers->set(timers->user, &call->timer, crowd_now(call->crowd) + ns);
}
