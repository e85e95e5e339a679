/* SPDX-License-Identifier: Apache-2.0 */
/* flight.c: calls that wait: see client.h. */
#include "tests/interop/client.h"

static void loop_open(struct client *client)
{
    const char *name = interop_text(client->flags, "server_host_override");
    struct oak_tls_options tls = {
        .role = OAK_TLS_CLIENT,
        .material.ca.file = interop_text(client->flags, "ca_file"),
        .server_name = name[0] != '\0' ? name : interop_text(client->flags, "server_host"),
        .report = interop_report,
    };
    if (oak_os_loop_new(&client->os) != 0) {
        interop_fail("no loop");
    }
    interop_net_open(&client->net, oak_os_loop_port(client->os),
                     interop_true(client->flags, "use_tls") ? &tls : NULL);
}

void client_open(struct client *client)
{
    /* How long a case may take is for whoever started it to say. */
    const struct oak_channel_options options = {
        .net = client->net.net != NULL ? oak_tls_net_port(client->net.net) : NULL,
        .rpc = {.receive_bytes_max = INTEROP_MESSAGE_BYTES_MAX},
        .connect_timeout_ns = UINT64_C(20000000000),
        .call_timeout_ns = OAK_RPC_NEVER_NS,
        .progress_timeout_ns = OAK_RPC_NEVER_NS,
        .waiting_bytes_max = 1024 * OAK_MIB, /* a thousand large calls, before they are connected */
    };
    const char *target = interop_text(client->flags, "server_target");
    char address[256];
    struct oak_errbuf e = {{0}};
    if (client->os == NULL) {
        loop_open(client);
    }
    snprintf(address, sizeof(address), "%s:%s", interop_text(client->flags, "server_host"),
             interop_text(client->flags, "server_port"));
    int error = oak_channel_new(&client->net.loop, target[0] != '\0' ? target : address, &options,
                                &client->channel, &e);
    if (error != 0) {
        interop_fail("no channel: %s: %s", oak_error_text(error), e.text);
    }
}

void client_close(struct client *client)
{
    oak_channel_free(client->channel);
    client->channel = NULL;
}

/* -- what happens ------------------------------------------------------------------------------ */

static void copy_text(char *to, size_t size, size_t *count, struct oak_bytes from)
{
    *count = OAK_MIN(from.size, size - 1);
    if (*count > 0) {
        memcpy(to, from.data, *count);
    }
    to[*count] = '\0';
}

static void on_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct flight *f = user;
    struct flight_message *message = malloc(sizeof(*message) + bytes.size);
    if (message == NULL) {
        interop_fail("out of memory");
    }
    *message =
        (struct flight_message){.compressed = oak_rpc_call_compressed(call), .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(message->bytes, bytes.data, bytes.size);
    }
    *f->last = message;
    f->last = &message->next;
    oak_os_loop_stop(f->client->os);
}

static void on_headers(void *user, struct oak_rpc_call *call)
{
    struct flight *f = user;
    copy_text(f->initial, sizeof(f->initial), &f->initial_size,
              oak_rpc_call_metadata(call, INTEROP_ECHO_INITIAL));
}

static void on_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct flight *f = user;
    size_t size;
    copy_text(f->trailing, sizeof(f->trailing), &f->trailing_size,
              oak_rpc_call_metadata(call, INTEROP_ECHO_TRAILING));
    copy_text(f->message, sizeof(f->message), &size, status->message);
    f->code = status->code;
    f->closed = true;
    f->call = NULL;
    oak_os_loop_stop(f->client->os);
}

static const struct oak_rpc_handler handler = {
    .message = on_message, .headers = on_headers, .closed = on_closed};

/* -- what is done ------------------------------------------------------------------------------ */

void flight_begin(struct flight *f, struct client *client, const char *method,
                  struct flight_options options)
{
    const struct oak_rpc_pair echo[] = {
        {oak_bytes_str(INTEROP_ECHO_INITIAL), oak_bytes_str("test_initial_metadata_value")},
        {oak_bytes_str(INTEROP_ECHO_TRAILING), oak_bytes("\xab\xab\xab", 3)},
    };
    const struct oak_rpc_request request = {
        .service = options.service != NULL ? options.service : "grpc.testing.TestService",
        .method = method,
        .kind = interop_kind(method),
        .timeout_ns = options.timeout_ns,
        .metadata = echo,
        .metadata_count = options.echo ? OAK_COUNT_OF(echo) : 0,
        .encoding = options.compresses ? OAK_RPC_GZIP : OAK_RPC_IDENTITY,
        .handler = &handler,
        .user = f,
    };
    *f = (struct flight){.client = client};
    f->last = &f->first;
    int error = oak_channel_call(client->channel, &request, &f->call);
    if (error != 0) {
        interop_fail("%s: %s", method, oak_error_text(error));
    }
}

bool flight_send(struct flight *f, const ProtobufCMessage *message, enum compress compress)
{
    if (f->closed) {
        return false;
    }
    oak_rpc_call_compress_messages(f->call, compress == COMPRESSED);
    uint8_t *to = oak_rpc_call_send_into(f->call, protobuf_c_message_get_packed_size(message));
    if (to == NULL) {
        return false;
    }
    protobuf_c_message_pack(message, to);
    return true;
}

ProtobufCMessage *flight_receive(struct flight *f, const ProtobufCMessageDescriptor *type,
                                 bool *compressed)
{
    while (f->first == NULL && !f->closed) {
        oak_os_loop_run(f->client->os);
    }
    struct flight_message *message = f->first;
    if (message == NULL) {
        return NULL;
    }
    f->first = message->next;
    f->last = f->first == NULL ? &f->first : f->last;
    if (compressed != NULL) {
        *compressed = message->compressed;
    }
    ProtobufCMessage *out = protobuf_c_message_unpack(type, NULL, message->size, message->bytes);
    if (out == NULL) {
        interop_fail("a message can't be decoded");
    }
    free(message);
    return out;
}

void flight_end(struct flight *f)
{
    while (!f->closed) {
        oak_os_loop_run(f->client->os);
    }
}

void flight_free(struct flight *f)
{
    while (f->first != NULL) {
        struct flight_message *message = f->first;
        f->first = message->next;
        free(message);
    }
}

void flight_check(const struct flight *f, enum oak_rpc_code code)
{
    if (f->code != code) {
        interop_fail("status %s: %s, wanted %s", oak_rpc_code_name(f->code), f->message,
                     oak_rpc_code_name(code));
    }
}
