/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: the cases of the interop test on our library.
 *
 *     interop_client --server_host=H --server_port=P --test_case=NAME [--use_tls --ca_file=F
 *                    --server_host_override=NAME] [--soak_iterations=N ...]
 *
 * Ends with code 0 when the case passed; says on stderr what failed otherwise.
 */
#include "tests/interop/client.h"

#define LARGE_REQUEST  271828
#define LARGE_RESPONSE 314159
#define CONCURRENT     1000

#define MILLISECOND UINT64_C(1000000)

typedef Grpc__Testing__SimpleRequest Simple;
typedef Grpc__Testing__StreamingInputCallRequest Input;
typedef Grpc__Testing__StreamingOutputCallRequest Output;

static const struct flight_options plain = {0};

/* -- pieces ------------------------------------------------------------------------------------ */

static void check(bool holds, const char *text)
{
    if (!holds) {
        interop_fail("%s", text);
    }
}

static void payload_check(const Grpc__Testing__Payload *payload, size_t size)
{
    check(payload != NULL, "no payload");
    check(payload->type == GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE, "another type of payload");
    if (payload->body.len != size) {
        interop_fail("the payload has %zu bytes, wanted %zu", payload->body.len, size);
    }
    for (size_t i = 0; i < size; i++) {
        check(payload->body.data[i] == 0, "the payload is not zeros");
    }
}

/* A unary call with what is to be in it; `simple` is ready but for its payload. */
static void unary_begin(struct flight *f, struct client *client, Simple *simple, size_t size,
                        enum compress compress, struct flight_options options)
{
    Grpc__Testing__Payload payload;
    interop_payload(&payload, size);
    simple->payload = &payload;
    flight_begin(f, client, "UnaryCall", options);
    check(flight_send(f, &simple->base, compress), "the request could not be sent");
    oak_rpc_call_half_close(f->call);
    free(payload.body.data);
}

/* Its answer, once it came with OK; `id` (may be NULL) takes the server's id. */
static void unary_check(struct flight *f, size_t size, bool *compressed, char id[64])
{
    flight_end(f);
    flight_check(f, OAK_RPC_OK);
    ProtobufCMessage *message =
        flight_receive(f, &grpc__testing__simple_response__descriptor, compressed);
    check(message != NULL, "no answer");
    const Grpc__Testing__SimpleResponse *response = (Grpc__Testing__SimpleResponse *)message;
    payload_check(response->payload, size);
    if (id != NULL) {
        snprintf(id, 64, "%s", response->server_id);
    }
    protobuf_c_message_free_unpacked(message, NULL);
    check(flight_receive(f, &grpc__testing__simple_response__descriptor, NULL) == NULL,
          "a second answer");
}

static void large(struct client *client, size_t request_size, int32_t response_size)
{
    struct flight f;
    Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple.response_size = response_size;
    unary_begin(&f, client, &simple, request_size, AS_IS, plain);
    unary_check(&f, (size_t)response_size, NULL, NULL);
}

static void input_send(struct flight *f, size_t size, enum compress compress,
                       const Grpc__Testing__BoolValue *expected)
{
    Input input = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    Grpc__Testing__BoolValue value = GRPC__TESTING__BOOL_VALUE__INIT;
    interop_payload(&payload, size);
    input.payload = &payload;
    if (expected != NULL) {
        value.value = expected->value;
        input.expect_compressed = &value;
    }
    flight_send(f, &input.base, compress); /* the server may have ended the call already */
    free(payload.body.data);
}

static void input_check(struct flight *f, int32_t sum)
{
    flight_end(f);
    flight_check(f, OAK_RPC_OK);
    ProtobufCMessage *message =
        flight_receive(f, &grpc__testing__streaming_input_call_response__descriptor, NULL);
    check(message != NULL, "no answer");
    int32_t got = ((Grpc__Testing__StreamingInputCallResponse *)message)->aggregated_payload_size;
    protobuf_c_message_free_unpacked(message, NULL);
    if (got != sum) {
        interop_fail("the sum is %d, wanted %d", got, sum);
    }
}

/* Ask for one answer of a size. */
static void duplex_send(struct flight *f, size_t size, int32_t answer_size)
{
    Output output = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    Grpc__Testing__ResponseParameters parameters = GRPC__TESTING__RESPONSE_PARAMETERS__INIT;
    Grpc__Testing__ResponseParameters *list[] = {&parameters};
    interop_payload(&payload, size);
    output.payload = &payload;
    parameters.size = answer_size;
    output.response_parameters = list;
    output.n_response_parameters = 1;
    check(flight_send(f, &output.base, AS_IS), "a message could not be sent");
    free(payload.body.data);
}

/* The next answer of a stream, of this size; 0: there is none any more. */
static void output_check(struct flight *f, size_t size, const bool *compressed)
{
    bool came;
    ProtobufCMessage *message =
        flight_receive(f, &grpc__testing__streaming_output_call_response__descriptor, &came);
    if (size == 0) {
        check(message == NULL, "a message too many");
        return;
    }
    check(message != NULL, "a message is missing");
    check(compressed == NULL || *compressed == came,
          came ? "a message is compressed" : "a message is not compressed");
    payload_check(((Grpc__Testing__StreamingOutputCallResponse *)message)->payload, size);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void over(struct flight *f, enum oak_rpc_code code)
{
    flight_end(f);
    flight_check(f, code);
    flight_free(f);
}

/* -- unary ------------------------------------------------------------------------------------- */

static void empty_unary(struct client *client)
{
    struct flight f;
    Grpc__Testing__Empty empty = GRPC__TESTING__EMPTY__INIT;
    flight_begin(&f, client, "EmptyCall", plain);
    check(flight_send(&f, &empty.base, AS_IS), "the request could not be sent");
    oak_rpc_call_half_close(f.call);
    flight_end(&f);
    flight_check(&f, OAK_RPC_OK);
    check(f.first != NULL && f.first->size == 0, "the answer is not one empty message");
    flight_free(&f);
}

static void large_unary(struct client *client)
{
    large(client, LARGE_REQUEST, LARGE_RESPONSE);
}

static void compressed_unary(struct flight *f, struct client *client, enum compress compress,
                             bool expected)
{
    Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    Grpc__Testing__BoolValue value = GRPC__TESTING__BOOL_VALUE__INIT;
    value.value = expected;
    simple.expect_compressed = &value;
    simple.response_size = LARGE_RESPONSE;
    unary_begin(f, client, &simple, LARGE_REQUEST, compress,
                (struct flight_options){.compresses = compress == COMPRESSED});
}

static void client_compressed_unary(struct client *client)
{
    struct flight f;
    compressed_unary(&f, client, AS_IS, true);
    over(&f, OAK_RPC_INVALID_ARGUMENT);
    compressed_unary(&f, client, COMPRESSED, true);
    unary_check(&f, LARGE_RESPONSE, NULL, NULL);
    compressed_unary(&f, client, AS_IS, false);
    unary_check(&f, LARGE_RESPONSE, NULL, NULL);
}

static void server_compressed_unary(struct client *client)
{
    for (int wanted = 1; wanted >= 0; wanted--) {
        struct flight f;
        Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
        Grpc__Testing__BoolValue value = GRPC__TESTING__BOOL_VALUE__INIT;
        bool came;
        value.value = wanted != 0;
        simple.response_compressed = &value;
        simple.response_size = LARGE_RESPONSE;
        unary_begin(&f, client, &simple, LARGE_REQUEST, AS_IS, plain);
        unary_check(&f, LARGE_RESPONSE, &came, NULL);
        check(came == value.value, came ? "the answer is compressed" : "it is not compressed");
    }
}

static void concurrent_large_unary(struct client *client)
{
    struct flight *f = calloc(CONCURRENT, sizeof(*f));
    check(f != NULL, "out of memory");
    for (size_t i = 0; i < CONCURRENT; i++) {
        Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
        simple.response_size = LARGE_RESPONSE;
        unary_begin(&f[i], client, &simple, LARGE_REQUEST, AS_IS, plain);
    }
    for (size_t i = 0; i < CONCURRENT; i++) {
        unary_check(&f[i], LARGE_RESPONSE, NULL, NULL);
    }
    free(f);
}

static void pick_first_unary(struct client *client)
{
    char first[64];
    for (int i = 0; i < 100; i++) {
        struct flight f;
        char id[64];
        Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
        simple.response_size = 1;
        simple.fill_server_id = true;
        unary_begin(&f, client, &simple, 1, AS_IS, plain);
        unary_check(&f, 1, NULL, i == 0 ? first : id);
        check(first[0] != '\0', "the server has no id");
        check(i == 0 || strcmp(first, id) == 0, "two servers answered");
    }
}

/* -- streams ----------------------------------------------------------------------------------- */

static void client_streaming(struct client *client)
{
    static const size_t sizes[] = {27182, 8, 1828, 45904};
    struct flight f;
    flight_begin(&f, client, "StreamingInputCall", plain);
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        input_send(&f, sizes[i], AS_IS, NULL);
    }
    oak_rpc_call_half_close(f.call);
    input_check(&f, 74922);
}

static void client_compressed_streaming(struct client *client)
{
    Grpc__Testing__BoolValue yes = GRPC__TESTING__BOOL_VALUE__INIT;
    Grpc__Testing__BoolValue no = GRPC__TESTING__BOOL_VALUE__INIT;
    const struct flight_options options = {.compresses = true};
    struct flight f;
    yes.value = true;
    flight_begin(&f, client, "StreamingInputCall", options);
    input_send(&f, 27182, AS_IS, &yes);
    oak_rpc_call_half_close(f.call);
    over(&f, OAK_RPC_INVALID_ARGUMENT);
    flight_begin(&f, client, "StreamingInputCall", options);
    input_send(&f, 27182, COMPRESSED, &yes);
    input_send(&f, 45904, AS_IS, &no);
    oak_rpc_call_half_close(f.call);
    input_check(&f, 73086);
}

struct wanted {
    int32_t size;
    bool compressed;
};

static void output_case(struct client *client, const struct wanted *wanted, size_t count,
                        bool compression)
{
    Output output = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__ResponseParameters parameters[4];
    Grpc__Testing__ResponseParameters *list[4];
    Grpc__Testing__BoolValue values[4];
    struct flight f;
    for (size_t i = 0; i < count; i++) {
        grpc__testing__response_parameters__init(&parameters[i]);
        grpc__testing__bool_value__init(&values[i]);
        parameters[i].size = wanted[i].size;
        values[i].value = wanted[i].compressed;
        parameters[i].compressed = compression ? &values[i] : NULL;
        list[i] = &parameters[i];
    }
    output.response_parameters = list;
    output.n_response_parameters = count;
    flight_begin(&f, client, "StreamingOutputCall", plain);
    check(flight_send(&f, &output.base, AS_IS), "the request could not be sent");
    oak_rpc_call_half_close(f.call);
    for (size_t i = 0; i < count; i++) {
        output_check(&f, (size_t)wanted[i].size, compression ? &wanted[i].compressed : NULL);
    }
    output_check(&f, 0, NULL);
    over(&f, OAK_RPC_OK);
}

static void server_streaming(struct client *client)
{
    static const struct wanted wanted[] = {
        {31415, false}, {9, false}, {2653, false}, {58979, false}};
    output_case(client, wanted, OAK_COUNT_OF(wanted), false);
}

static void server_compressed_streaming(struct client *client)
{
    static const struct wanted wanted[] = {{31415, true}, {92653, false}};
    output_case(client, wanted, OAK_COUNT_OF(wanted), true);
}

static void ping_pong(struct client *client)
{
    static const struct {
        size_t request;
        int32_t response;
    } pairs[] = {{27182, 31415}, {8, 9}, {1828, 2653}, {45904, 58979}};
    struct flight f;
    flight_begin(&f, client, "FullDuplexCall", plain);
    for (size_t i = 0; i < OAK_COUNT_OF(pairs); i++) {
        duplex_send(&f, pairs[i].request, pairs[i].response);
        output_check(&f, (size_t)pairs[i].response, NULL);
        check(f.first == NULL, "an answer nobody asked for");
    }
    oak_rpc_call_half_close(f.call);
    output_check(&f, 0, NULL);
    over(&f, OAK_RPC_OK);
}

static void empty_stream(struct client *client)
{
    struct flight f;
    flight_begin(&f, client, "FullDuplexCall", plain);
    oak_rpc_call_half_close(f.call);
    output_check(&f, 0, NULL);
    over(&f, OAK_RPC_OK);
}

/* -- ends -------------------------------------------------------------------------------------- */

static void timeout_on_sleeping_server(struct client *client)
{
    struct flight f;
    Output output = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    interop_payload(&payload, 27182);
    output.payload = &payload;
    flight_begin(&f, client, "FullDuplexCall", (struct flight_options){.timeout_ns = MILLISECOND});
    flight_send(&f, &output.base, AS_IS); /* may come too late */
    free(payload.body.data);
    over(&f, OAK_RPC_DEADLINE_EXCEEDED);
}

static void cancel_after_begin(struct client *client)
{
    struct flight f;
    flight_begin(&f, client, "StreamingInputCall", plain);
    oak_rpc_call_cancel(f.call);
    over(&f, OAK_RPC_CANCELLED);
}

static void cancel_after_first_response(struct client *client)
{
    struct flight f;
    flight_begin(&f, client, "FullDuplexCall", plain);
    duplex_send(&f, 27182, 31415);
    output_check(&f, 31415, NULL);
    oak_rpc_call_cancel(f.call);
    over(&f, OAK_RPC_CANCELLED);
}

/* Of constant text; nothing writes to it. */
static void echo_status(Grpc__Testing__EchoStatus *status, const char *message)
{
    grpc__testing__echo_status__init(status);
    status->code = OAK_RPC_UNKNOWN;
    status->message = (char *)(uintptr_t)message;
}

static void status_check(struct flight *f, const char *message)
{
    over(f, OAK_RPC_UNKNOWN);
    if (strcmp(f->message, message) != 0) {
        interop_fail("another message: %s", f->message);
    }
}

static void status_unary(struct client *client, const char *message)
{
    struct flight f;
    Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    Grpc__Testing__EchoStatus status;
    echo_status(&status, message);
    simple.response_status = &status;
    unary_begin(&f, client, &simple, 0, AS_IS, plain);
    status_check(&f, message);
}

static void status_code_and_message(struct client *client)
{
    static const char message[] = "test status message";
    struct flight f;
    Output output = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__EchoStatus status;
    status_unary(client, message);
    echo_status(&status, message);
    output.response_status = &status;
    flight_begin(&f, client, "FullDuplexCall", plain);
    check(flight_send(&f, &output.base, AS_IS), "the request could not be sent");
    oak_rpc_call_half_close(f.call);
    output_check(&f, 0, NULL);
    status_check(&f, message);
}

static void special_status_message(struct client *client)
{
    status_unary(client, "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
                         "\xf0\x9f\x98\x88\t\n");
}

static void echo_check(const struct flight *f)
{
    check(strcmp(f->initial, "test_initial_metadata_value") == 0,
          "the initial metadata is wrong or missing");
    check(f->trailing_size == 3 && memcmp(f->trailing, "\xab\xab\xab", 3) == 0,
          "the trailing metadata is wrong or missing");
}

static void custom_metadata(struct client *client)
{
    static const struct flight_options with_echo = {.echo = true};
    struct flight f;
    Simple simple = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple.response_size = LARGE_RESPONSE;
    unary_begin(&f, client, &simple, LARGE_REQUEST, AS_IS, with_echo);
    unary_check(&f, LARGE_RESPONSE, NULL, NULL);
    echo_check(&f);
    flight_begin(&f, client, "FullDuplexCall", with_echo);
    duplex_send(&f, LARGE_REQUEST, LARGE_RESPONSE);
    output_check(&f, LARGE_RESPONSE, NULL);
    oak_rpc_call_half_close(f.call);
    output_check(&f, 0, NULL);
    over(&f, OAK_RPC_OK);
    echo_check(&f);
}

static void unimplemented(struct client *client, const char *service)
{
    struct flight f;
    Grpc__Testing__Empty empty = GRPC__TESTING__EMPTY__INIT;
    flight_begin(&f, client, "UnimplementedCall", (struct flight_options){.service = service});
    flight_send(&f, &empty.base, AS_IS);
    oak_rpc_call_half_close(f.call);
    over(&f, OAK_RPC_UNIMPLEMENTED);
}

static void unimplemented_method(struct client *client)
{
    unimplemented(client, NULL);
}

static void unimplemented_service(struct client *client)
{
    unimplemented(client, "grpc.testing.UnimplementedService");
}

/* -- soak -------------------------------------------------------------------------------------- */

static void soak(struct client *client, bool new_channels)
{
    long iterations = interop_number(client->flags, "soak_iterations");
    long request_size = interop_number(client->flags, "soak_request_size");
    long response_size = interop_number(client->flags, "soak_response_size");
    for (long i = 0; i < iterations; i++) {
        if (new_channels) {
            client_close(client);
            client_open(client);
        }
        large(client, (size_t)request_size, (int32_t)response_size);
    }
}

static void rpc_soak(struct client *client)
{
    soak(client, false);
}

static void channel_soak(struct client *client)
{
    soak(client, true);
}

#define CASE(name)  \
    {               \
#name, name \
    }

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct client *client);
    } cases[] = {
        CASE(empty_unary),
        CASE(large_unary),
        CASE(client_compressed_unary),
        CASE(server_compressed_unary),
        CASE(client_streaming),
        CASE(client_compressed_streaming),
        CASE(server_streaming),
        CASE(server_compressed_streaming),
        CASE(ping_pong),
        CASE(empty_stream),
        CASE(timeout_on_sleeping_server),
        CASE(cancel_after_begin),
        CASE(cancel_after_first_response),
        CASE(status_code_and_message),
        CASE(special_status_message),
        CASE(custom_metadata),
        CASE(unimplemented_method),
        CASE(unimplemented_service),
        CASE(pick_first_unary),
        CASE(rpc_soak),
        CASE(channel_soak),
        CASE(concurrent_large_unary),
    };
    struct interop_flag flags[] = {
        {"server_host", "localhost"},
        {"server_port", ""},
        {"server_target", ""}, /* of ours: in place of host and port, as channels take it */
        {"use_tls", "false"},
        {"use_test_ca", "true"}, /* the same: no other is taken */
        {"ca_file", ""},
        {"server_host_override", ""},
        {"test_case", ""},
        {"soak_iterations", "10"},
        {"soak_request_size", "271828"},
        {"soak_response_size", "314159"},
    };
    if (!interop_flags_read(flags, OAK_COUNT_OF(flags), argc, argv)) {
        return 2;
    }
    struct client client = {.flags = flags};
    const char *name = interop_text(flags, "test_case");
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        if (strcmp(cases[i].name, name) == 0) {
            client_open(&client);
            cases[i].run(&client);
            client_close(&client);
            oak_os_loop_stop(client.os);
            oak_os_loop_run(client.os); /* what the channel has to say at its end */
            interop_net_close(&client.net);
            oak_os_loop_free(client.os);
            return 0;
        }
    }
    interop_fail("%s: no such case", name);
}
