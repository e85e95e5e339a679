/* SPDX-License-Identifier: Apache-2.0 */
/* service.c: grpc.testing.TestService.
 *
 * One state serves the methods that stream: what a call is still to answer waits in a queue, of
 * which each answer may have to wait for a timer, for room to send, or for the end of the requests.
 */
#include "tests/interop/service.h"

#include <test.oak.h>

typedef Grpc__Testing__StreamingOutputCallRequest Output;
typedef Grpc__Testing__StreamingInputCallRequest Input;

enum kind { INPUT, OUTPUT, FULL_DUPLEX, HALF_DUPLEX };

/* One answer of a stream. */
struct due {
    struct due *next;
    int32_t size;
    int32_t interval_us;
    bool compressed;
    bool waited;
};

struct answer {
    struct interop_service *service;
    struct oak_stub_call *call;
    enum kind kind;
    struct due *first;
    struct due **last;
    struct oak_timer timer;
    size_t sum;
    bool half_closed;
};

/* -- pieces ------------------------------------------------------------------------------------ */

/* What the client's metadata asks for comes back. False: the call has ended. */
static bool metadata_echo(struct oak_stub_call *call)
{
    struct oak_rpc_call *rpc = oak_stub_rpc(call);
    struct oak_rpc_pair pair = {oak_bytes_str(INTEROP_ECHO_INITIAL),
                                oak_stub_metadata(call, INTEROP_ECHO_INITIAL)};
    int error = pair.value.data != NULL ? oak_rpc_call_add_header(rpc, pair) : 0;
    pair = (struct oak_rpc_pair){oak_bytes_str(INTEROP_ECHO_TRAILING),
                                 oak_stub_metadata(call, INTEROP_ECHO_TRAILING)};
    if (error == 0 && pair.value.data != NULL) {
        error = oak_rpc_call_add_trailer(rpc, pair);
    }
    if (error != 0) {
        oak_stub_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "metadata can't be sent back");
    }
    return error == 0;
}

static bool came_as_expected(struct oak_stub_call *call, const Grpc__Testing__BoolValue *expected)
{
    if (expected != NULL && (expected->value != 0) != oak_rpc_call_compressed(oak_stub_rpc(call))) {
        oak_stub_finish(call, OAK_RPC_INVALID_ARGUMENT, "the request is not compressed as it says");
        return false;
    }
    return true;
}

/* True: the call was ended as it asked to be, or it asked for what there isn't. */
static bool ended(struct oak_stub_call *call, const Grpc__Testing__EchoStatus *status,
                  Grpc__Testing__PayloadType type)
{
    if (status != NULL && status->code != 0) {
        bool known = status->code > 0 && status->code <= OAK_RPC_UNAUTHENTICATED;
        oak_stub_finish(call, known ? (enum oak_rpc_code)status->code : OAK_RPC_UNKNOWN,
                        status->message);
        return true;
    }
    if (type != GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE) {
        oak_stub_finish(call, OAK_RPC_INVALID_ARGUMENT, "no such payload");
        return true;
    }
    return false;
}

static bool size_check(struct oak_stub_call *call, int32_t size)
{
    if (size < 0 || (size_t)size > INTEROP_MESSAGE_BYTES_MAX) {
        oak_stub_finish(call, OAK_RPC_INVALID_ARGUMENT, "no such size");
        return false;
    }
    return true;
}

/* Some of its answers are to be compressed; those of a client that can't take it stay plain. */
static void compress(struct oak_stub_call *call)
{
    int error = oak_rpc_call_compress(oak_stub_rpc(call), OAK_RPC_GZIP);
    if (error != 0 && error != OAK_EUNIMPLEMENTED && error != OAK_ECLOSED) {
        oak_stub_finish(call, OAK_RPC_INTERNAL, oak_error_text(error));
    }
}

/* -- unary ------------------------------------------------------------------------------------- */

static void empty_call(void *user, struct oak_stub_call *call, const Grpc__Testing__Empty *request)
{
    (void)user;
    if (metadata_echo(call)) {
        grpc__testing__test_service__empty_call__reply(call, request);
    }
}

static void unary_call(void *user, struct oak_stub_call *call,
                       const Grpc__Testing__SimpleRequest *request)
{
    struct interop_service *service = user;
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    Grpc__Testing__Payload payload;
    if (!metadata_echo(call) || !came_as_expected(call, request->expect_compressed) ||
        ended(call, request->response_status, request->response_type) ||
        !size_check(call, request->response_size)) {
        return;
    }
    if (request->response_compressed != NULL && request->response_compressed->value) {
        compress(call);
    }
    interop_payload(&payload, (size_t)request->response_size);
    response.payload = &payload;
    if (request->fill_server_id) {
        response.server_id = service->id;
    }
    grpc__testing__test_service__unary_call__reply(call, &response);
    free(payload.body.data);
}

/* -- streams ----------------------------------------------------------------------------------- */

static void due_send(struct answer *a, const struct due *due)
{
    Grpc__Testing__StreamingOutputCallResponse response =
        GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    Grpc__Testing__Payload payload;
    interop_payload(&payload, (size_t)due->size);
    response.payload = &payload;
    oak_rpc_call_compress_messages(oak_stub_rpc(a->call), due->compressed);
    if (oak_stub_reply(a->call, &response.base) != 0) {
        oak_stub_finish(a->call, OAK_RPC_RESOURCE_EXHAUSTED, "the answer could not be sent");
    }
    free(payload.body.data);
}

/* Answer as far as it goes now. Comes again by the timer, by `writable` and by what comes in. */
static void answer_go(struct answer *a)
{
    const struct oak_loop *loop = a->service->loop;
    if (a->timer.running || (a->kind == HALF_DUPLEX && !a->half_closed)) {
        return;
    }
    while (a->first != NULL) {
        struct due *due = a->first;
        if (oak_stub_queued(a->call) > OAK_RPC_QUEUE_HIGH_BYTES) {
            return;
        }
        if (due->interval_us > 0 && !due->waited) {
            due->waited = true;
            loop->timers.set(loop->timers.user, &a->timer,
                             loop->clock.mono_ns(loop->clock.user) +
                                 (uint64_t)due->interval_us * 1000);
            return;
        }
        a->first = due->next;
        a->last = a->first == NULL ? &a->first : a->last;
        due_send(a, due);
        free(due);
    }
    if (a->half_closed) {
        oak_stub_finish(a->call, OAK_RPC_OK, NULL);
    }
}

static void timer_fired(struct oak_timer *timer)
{
    answer_go(OAK_CONTAINER_OF(timer, struct answer, timer));
}

static void output(struct answer *a, const Output *request)
{
    if (ended(a->call, request->response_status, request->response_type)) {
        return;
    }
    for (size_t i = 0; i < request->n_response_parameters; i++) {
        const Grpc__Testing__ResponseParameters *parameters = request->response_parameters[i];
        struct due *due = malloc(sizeof(*due));
        if (due == NULL || !size_check(a->call, parameters->size)) {
            free(due);
            return;
        }
        *due = (struct due){
            .size = parameters->size,
            .interval_us = parameters->interval_us,
            .compressed = parameters->compressed != NULL && parameters->compressed->value,
        };
        if (due->compressed) {
            compress(a->call);
        }
        *a->last = due;
        a->last = &due->next;
    }
    answer_go(a);
}

static struct answer *answer_begin(struct interop_service *service, struct oak_stub_call *call,
                                   enum kind kind)
{
    struct answer *a = oak_stub_alloc(call, sizeof(*a));
    if (a == NULL) {
        interop_fail("out of memory");
    }
    *a = (struct answer){.service = service, .call = call, .kind = kind, .timer.fire = timer_fired};
    a->last = &a->first;
    service->open++;
    oak_stub_set_data(call, a);
    metadata_echo(call);
    return a;
}

static void answer_closed(void *user, struct oak_stub_call *call,
                          const struct oak_rpc_status *status)
{
    struct interop_service *service = user;
    struct answer *a = oak_stub_data(call);
    (void)status;
    if (a == NULL) { /* it ended before it began */
        return;
    }
    service->open--;
    service->loop->timers.stop(service->loop->timers.user, &a->timer);
    while (a->first != NULL) {
        struct due *due = a->first;
        a->first = due->next;
        free(due);
    }
}

static void input_start(void *user, struct oak_stub_call *call)
{
    answer_begin(user, call, INPUT);
}

static void input_message(void *user, struct oak_stub_call *call, const Input *request)
{
    struct answer *a = oak_stub_data(call);
    (void)user;
    if (came_as_expected(call, request->expect_compressed)) {
        a->sum += request->payload != NULL ? request->payload->body.len : 0;
    }
}

static void input_half_closed(void *user, struct oak_stub_call *call)
{
    const struct answer *a = oak_stub_data(call);
    Grpc__Testing__StreamingInputCallResponse response =
        GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    (void)user;
    response.aggregated_payload_size = (int32_t)a->sum;
    grpc__testing__test_service__streaming_input_call__reply(call, &response);
}

static void output_request(void *user, struct oak_stub_call *call, const Output *request)
{
    struct answer *a = answer_begin(user, call, OUTPUT);
    a->half_closed = true;
    output(a, request);
}

static void full_duplex_start(void *user, struct oak_stub_call *call)
{
    answer_begin(user, call, FULL_DUPLEX);
}

static void half_duplex_start(void *user, struct oak_stub_call *call)
{
    answer_begin(user, call, HALF_DUPLEX);
}

static void duplex_message(void *user, struct oak_stub_call *call, const Output *request)
{
    (void)user;
    output(oak_stub_data(call), request);
}

static void duplex_half_closed(void *user, struct oak_stub_call *call)
{
    struct answer *a = oak_stub_data(call);
    (void)user;
    a->half_closed = true;
    answer_go(a);
}

static void writable(void *user, struct oak_stub_call *call)
{
    (void)user;
    answer_go(oak_stub_data(call));
}

void interop_service_add(struct interop_service *service, struct oak_rpc_server *server)
{
    static const struct grpc__testing__test_service_handlers handlers = {
        .empty_call = empty_call,
        .unary_call = unary_call,
        .streaming_input_call = {.start = input_start,
                                 .message = input_message,
                                 .half_closed = input_half_closed,
                                 .closed = answer_closed},
        .streaming_output_call = {.request = output_request,
                                  .writable = writable,
                                  .closed = answer_closed},
        .full_duplex_call = {.start = full_duplex_start,
                             .message = duplex_message,
                             .half_closed = duplex_half_closed,
                             .writable = writable,
                             .closed = answer_closed},
        .half_duplex_call = {.start = half_duplex_start,
                             .message = duplex_message,
                             .half_closed = duplex_half_closed,
                             .writable = writable,
                             .closed = answer_closed},
    };
    if (grpc__testing__test_service_add(server, &handlers, service) != 0) {
        interop_fail("out of memory");
    }
}
