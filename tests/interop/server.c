/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: grpc.testing.TestService on our library.
 *
 *     interop_server --port=0 [--use_tls --tls_cert_file=F --tls_key_file=F]
 *
 * Prints "listening on PORT" once it serves; serves until SIGTERM or SIGINT.
 *
 * One state serves all methods: what a call is still to answer waits in a queue, of which each
 * answer may have to wait for a timer, for room to send, or for the end of the requests.
 */
#include <unistd.h>

#include "tests/interop/interop.h"

#define QUEUE_HIGH_BYTES OAK_RPC_QUEUE_HIGH_BYTES

struct server {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct interop_net net;
    struct oak_rpc_server *rpc;
    struct oak_listener *listener;
    struct oak_after stop;
    bool stopping;
    char id[32];
};

enum kind { EMPTY, UNARY, INPUT, OUTPUT, FULL_DUPLEX, HALF_DUPLEX };

struct method {
    struct server *server;
    enum kind kind;
};

/* One answer of a stream. */
struct due {
    struct due *next;
    int32_t size;
    int32_t interval_us;
    bool compressed;
    bool waited;
};

struct answer {
    struct server *server;
    struct oak_rpc_call *call;
    enum kind kind;
    struct due *first;
    struct due **last;
    struct oak_timer timer;
    size_t sum;
    bool half_closed;
};

/* -- pieces ------------------------------------------------------------------------------------ */

static void finish(struct answer *a, enum oak_rpc_code code, const char *message)
{
    oak_rpc_call_finish(a->call, code, message);
}

static void send(struct answer *a, const ProtobufCMessage *message, bool compress)
{
    oak_rpc_call_compress_messages(a->call, compress);
    uint8_t *to = oak_rpc_call_send_into(a->call, protobuf_c_message_get_packed_size(message));
    if (to == NULL) {
        finish(a, OAK_RPC_RESOURCE_EXHAUSTED, "the answer could not be sent");
        return;
    }
    protobuf_c_message_pack(message, to);
}

/* Some of its answers are to be compressed; those of a client that can't take it stay plain. */
static void compress(struct answer *a)
{
    int error = oak_rpc_call_compress(a->call, OAK_RPC_GZIP);
    if (error != 0 && error != OAK_EUNIMPLEMENTED && error != OAK_ECLOSED) {
        finish(a, OAK_RPC_INTERNAL, oak_error_text(error));
    }
}

static bool came_as_expected(struct answer *a, const Grpc__Testing__BoolValue *expected)
{
    if (expected != NULL && (expected->value != 0) != oak_rpc_call_compressed(a->call)) {
        finish(a, OAK_RPC_INVALID_ARGUMENT, "the request is not compressed as it says");
        return false;
    }
    return true;
}

/* True: the call was ended as it asked to be, or it asked for what there isn't. */
static bool ended(struct answer *a, const Grpc__Testing__EchoStatus *status,
                  Grpc__Testing__PayloadType type)
{
    if (status != NULL && status->code != 0) {
        bool known = status->code > 0 && status->code <= OAK_RPC_UNAUTHENTICATED;
        finish(a, known ? (enum oak_rpc_code)status->code : OAK_RPC_UNKNOWN, status->message);
        return true;
    }
    if (type != GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE) {
        finish(a, OAK_RPC_INVALID_ARGUMENT, "no such payload");
        return true;
    }
    return false;
}

static bool size_check(struct answer *a, int32_t size)
{
    if (size < 0 || (size_t)size > INTEROP_MESSAGE_BYTES_MAX) {
        finish(a, OAK_RPC_INVALID_ARGUMENT, "no such size");
        return false;
    }
    return true;
}

/* -- unary ------------------------------------------------------------------------------------- */

static void unary(struct answer *a, const Grpc__Testing__SimpleRequest *request)
{
    Grpc__Testing__SimpleResponse response = GRPC__TESTING__SIMPLE_RESPONSE__INIT;
    Grpc__Testing__Payload payload;
    if (!came_as_expected(a, request->expect_compressed) ||
        ended(a, request->response_status, request->response_type) ||
        !size_check(a, request->response_size)) {
        return;
    }
    interop_payload(&payload, (size_t)request->response_size);
    response.payload = &payload;
    if (request->fill_server_id) {
        response.server_id = a->server->id;
    }
    bool compressed = request->response_compressed != NULL && request->response_compressed->value;
    if (compressed) {
        compress(a);
    }
    send(a, &response.base, compressed);
    free(payload.body.data);
    finish(a, OAK_RPC_OK, NULL);
}

/* -- streams ----------------------------------------------------------------------------------- */

static void input_end(struct answer *a)
{
    Grpc__Testing__StreamingInputCallResponse response =
        GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    response.aggregated_payload_size = (int32_t)a->sum;
    send(a, &response.base, false);
    finish(a, OAK_RPC_OK, NULL);
}

static void due_send(struct answer *a, const struct due *due)
{
    Grpc__Testing__StreamingOutputCallResponse response =
        GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    Grpc__Testing__Payload payload;
    interop_payload(&payload, (size_t)due->size);
    response.payload = &payload;
    send(a, &response.base, due->compressed);
    free(payload.body.data);
}

/* Answer as far as it goes now. Comes again by the timer, by `writable` and by what comes in. */
static void answer_go(struct answer *a)
{
    const struct oak_loop *loop = a->server->loop;
    if (a->timer.running || (a->kind == HALF_DUPLEX && !a->half_closed)) {
        return;
    }
    while (a->first != NULL) {
        struct due *due = a->first;
        if (oak_rpc_call_queued(a->call) > QUEUE_HIGH_BYTES) {
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
        finish(a, OAK_RPC_OK, NULL);
    }
}

static void timer_fired(struct oak_timer *timer)
{
    answer_go(OAK_CONTAINER_OF(timer, struct answer, timer));
}

static void output(struct answer *a, const Grpc__Testing__StreamingOutputCallRequest *request)
{
    if (ended(a, request->response_status, request->response_type)) {
        return;
    }
    for (size_t i = 0; i < request->n_response_parameters; i++) {
        const Grpc__Testing__ResponseParameters *parameters = request->response_parameters[i];
        struct due *due = malloc(sizeof(*due));
        if (due == NULL || !size_check(a, parameters->size)) {
            free(due);
            return;
        }
        *due = (struct due){
            .size = parameters->size,
            .interval_us = parameters->interval_us,
            .compressed = parameters->compressed != NULL && parameters->compressed->value,
        };
        if (due->compressed) {
            compress(a);
        }
        *a->last = due;
        a->last = &due->next;
    }
    answer_go(a);
}

/* -- what happens to a call -------------------------------------------------------------------- */

static void request_take(struct answer *a, const ProtobufCMessage *message)
{
    if (a->kind == EMPTY) {
        send(a, message, false);
        finish(a, OAK_RPC_OK, NULL);
    } else if (a->kind == UNARY) {
        unary(a, (const Grpc__Testing__SimpleRequest *)message);
    } else if (a->kind == INPUT) {
        const Grpc__Testing__StreamingInputCallRequest *input =
            (const Grpc__Testing__StreamingInputCallRequest *)message;
        if (came_as_expected(a, input->expect_compressed)) {
            a->sum += input->payload != NULL ? input->payload->body.len : 0;
        }
    } else {
        output(a, (const Grpc__Testing__StreamingOutputCallRequest *)message);
    }
}

static void on_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [EMPTY] = &grpc__testing__empty__descriptor,
        [UNARY] = &grpc__testing__simple_request__descriptor,
        [INPUT] = &grpc__testing__streaming_input_call_request__descriptor,
        [OUTPUT] = &grpc__testing__streaming_output_call_request__descriptor,
        [FULL_DUPLEX] = &grpc__testing__streaming_output_call_request__descriptor,
        [HALF_DUPLEX] = &grpc__testing__streaming_output_call_request__descriptor,
    };
    struct answer *a = user;
    (void)call;
    ProtobufCMessage *message =
        protobuf_c_message_unpack(types[a->kind], NULL, bytes.size, bytes.data);
    if (message == NULL) {
        finish(a, OAK_RPC_INTERNAL, "the request can't be decoded");
        return;
    }
    request_take(a, message);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void on_half_closed(void *user, struct oak_rpc_call *call)
{
    struct answer *a = user;
    (void)call;
    a->half_closed = true;
    if (a->kind == INPUT) {
        input_end(a);
    } else if (a->kind >= OUTPUT) {
        answer_go(a);
    }
}

static void on_writable(void *user, struct oak_rpc_call *call)
{
    (void)call;
    answer_go(user);
}

static void on_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct answer *a = user;
    (void)call;
    (void)status;
    a->server->loop->timers.stop(a->server->loop->timers.user, &a->timer);
    while (a->first != NULL) {
        struct due *due = a->first;
        a->first = due->next;
        free(due);
    }
    free(a);
}

static void metadata_echo(struct oak_rpc_call *call)
{
    struct oak_rpc_pair pair = {oak_bytes_str(INTEROP_ECHO_INITIAL),
                                oak_rpc_call_metadata(call, INTEROP_ECHO_INITIAL)};
    int error = pair.value.data != NULL ? oak_rpc_call_add_header(call, pair) : 0;
    pair = (struct oak_rpc_pair){oak_bytes_str(INTEROP_ECHO_TRAILING),
                                 oak_rpc_call_metadata(call, INTEROP_ECHO_TRAILING)};
    if (error == 0 && pair.value.data != NULL) {
        error = oak_rpc_call_add_trailer(call, pair);
    }
    if (error != 0) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "metadata can't be sent back");
    }
}

static void start(void *user, struct oak_rpc_call *call)
{
    static const struct oak_rpc_handler handler = {.message = on_message,
                                                   .half_closed = on_half_closed,
                                                   .writable = on_writable,
                                                   .closed = on_closed};
    const struct method *method = user;
    struct answer *a = malloc(sizeof(*a));
    if (a == NULL) {
        oak_rpc_call_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    *a = (struct answer){
        .server = method->server, .call = call, .kind = method->kind, .timer.fire = timer_fired};
    a->last = &a->first;
    oak_rpc_call_handle(call, &handler, a);
    metadata_echo(call);
}

/* -- the server -------------------------------------------------------------------------------- */

static void accepted(void *arg, struct oak_stream *stream)
{
    struct server *server = arg;
    if (oak_rpc_serve(server->rpc, stream, oak_bytes(NULL, 0)) != 0) {
        stream->ops->close(stream, true);
    }
}

static void signalled(void *user, int number)
{
    struct server *server = user;
    (void)number;
    server->stopping = true;
    oak_rpc_server_drain(server->rpc, 0);
}

static void stop_when_drained(struct oak_after *after)
{
    struct server *server = OAK_CONTAINER_OF(after, struct server, stop);
    if (server->stopping && oak_rpc_server_connections(server->rpc) == 0) {
        oak_os_loop_stop(server->os);
    }
}

static void methods_add(struct server *server, struct method *methods)
{
    static const struct {
        const char *name;
        enum oak_rpc_kind kind;
    } known[] = {
        [EMPTY] = {"EmptyCall", OAK_RPC_UNARY},
        [UNARY] = {"UnaryCall", OAK_RPC_UNARY},
        [INPUT] = {"StreamingInputCall", OAK_RPC_CLIENT_STREAM},
        [OUTPUT] = {"StreamingOutputCall", OAK_RPC_SERVER_STREAM},
        [FULL_DUPLEX] = {"FullDuplexCall", OAK_RPC_BIDI},
        [HALF_DUPLEX] = {"HalfDuplexCall", OAK_RPC_BIDI},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(known); i++) {
        methods[i] = (struct method){.server = server, .kind = (enum kind)i};
        const struct oak_rpc_method method = {
            .service = "grpc.testing.TestService",
            .name = known[i].name,
            .kind = known[i].kind,
            .start = start,
            .user = &methods[i],
        };
        if (oak_rpc_server_add(server->rpc, &method) != 0) {
            interop_fail("out of memory");
        }
    }
}

static void server_open(struct server *server, const struct interop_flag *flags,
                        struct method *methods)
{
    /* A thousand large requests at once may all be half here. */
    const struct oak_rpc_options options = {.receive_bytes_max = INTEROP_MESSAGE_BYTES_MAX,
                                            .unfinished_bytes_max = 1024 * OAK_MIB};
    char address[64];
    struct oak_errbuf e = {{0}};
    snprintf(address, sizeof(address), "127.0.0.1:%s", interop_text(flags, "port"));
    snprintf(server->id, sizeof(server->id), "oakum-%d", (int)getpid());
    if (oak_os_loop_new(&server->os) != 0) {
        interop_fail("no loop");
    }
    const struct oak_tls_options tls = {
        .role = OAK_TLS_SERVER,
        .material.certificate.file = interop_text(flags, "tls_cert_file"),
        .material.key.file = interop_text(flags, "tls_key_file"),
        .report = interop_report,
    };
    interop_net_open(&server->net, oak_os_loop_port(server->os),
                     interop_true(flags, "use_tls") ? &tls : NULL);
    server->loop = &server->net.loop;
    const struct oak_net *net = &server->loop->net;
    if (oak_rpc_server_new(server->loop, &options, &server->rpc) != 0 ||
        oak_os_loop_on_signal(server->os, signalled, server) != 0) {
        interop_fail("no server");
    }
    methods_add(server, methods);
    if (net->listen(net->user, address, accepted, server, &server->listener, &e) != 0) {
        interop_fail("%s", e.text);
    }
    server->loop->after_add(server->loop->user, &server->stop);
    printf("listening on %s\n", strrchr(net->listener_name(net->user, server->listener), ':') + 1);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct interop_flag flags[] = {
        {"port", "0"}, {"use_tls", "false"}, {"tls_cert_file", ""}, {"tls_key_file", ""}};
    if (!interop_flags_read(flags, OAK_COUNT_OF(flags), argc, argv)) {
        return 2;
    }
    static struct server server = {.stop.run = stop_when_drained};
    static struct method methods[HALF_DUPLEX + 1];
    server_open(&server, flags, methods);
    oak_os_loop_run(server.os);
    const struct oak_net *net = &server.loop->net;
    net->listener_close(net->user, server.listener);
    oak_rpc_server_free(server.rpc);
    interop_net_close(&server.net);
    oak_os_loop_free(server.os);
    return 0;
}
