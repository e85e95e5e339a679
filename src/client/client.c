/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: a client comes and goes; what its endpoints' text means.
 *
 * Can fail     endpoints that are none: told by their text. Memory.
 * Invariants   a client has no call left when it is freed.
 * Thread       the loop's.
 */
#include "client/internal.h"

#include <stdlib.h>

#define CALL_NS              ((uint64_t)5 * 1000 * 1000 * 1000)
#define KEEPALIVE_NS         ((uint64_t)10 * 1000 * 1000 * 1000)
#define KEEPALIVE_TIMEOUT_NS ((uint64_t)6 * 1000 * 1000 * 1000)
#define RESPONSE_BYTES_MAX   ((size_t)INT32_MAX)

/* -- endpoints --------------------------------------------------------------------------------- */

/* One of them, as a target's list has it; its size, 0: it is none, or wants what is not there. */
static size_t endpoint_read(struct oak_bytes text, bool encrypts, char *out)
{
    static const char *const schemes[] = {"http://", "https://"};
    if (!encrypts && text.size >= 8 && memcmp(text.data, schemes[1], 8) == 0) {
        return 0;
    }
    for (size_t i = 0; i < OAK_COUNT_OF(schemes); i++) {
        size_t size = strlen(schemes[i]);
        if (text.size >= size && memcmp(text.data, schemes[i], size) == 0) {
            text = oak_bytes(text.data + size, text.size - size);
        }
    }
    while (text.size > 0 && text.data[text.size - 1] == '/') {
        text.size--;
    }
    bool plain = text.size > 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        plain = plain && c > ' ' && c < 0x7f && c != '/' && c != '"' && c != '@';
        out[i] = (char)c;
    }
    return plain ? text.size : 0;
}

/* "host:1,host:2" is a target's list; what has a scheme of its own is one already. */
static int target_read(const char *endpoints, bool encrypts, struct oak_buf *out,
                       struct oak_errbuf *e)
{
    static const char *const targets[] = {
        "dns:", "srv:", "ipv4:", "ipv6:", "unix:", "static:", "unix-abstract:", "passthrough:"};
    size_t size = strlen(endpoints);
    for (size_t i = 0; i < OAK_COUNT_OF(targets); i++) {
        if (strncmp(endpoints, targets[i], strlen(targets[i])) == 0) {
            return oak_buf_append(out, endpoints, size + 1);
        }
    }
    int error = oak_buf_reserve(out, size + sizeof("static:"));
    if (error != 0) {
        return error;
    }
    error = oak_buf_append(out, "static:", 7);
    OAK_ASSERT_EQ(error, 0);
    for (const char *at = endpoints;;) {
        size_t one = strcspn(at, ",");
        size_t kept = endpoint_read(oak_bytes(at, one), encrypts, (char *)out->data + out->size);
        if (kept == 0) {
            return oak_fail(e, OAK_EINVAL, "\"%.*s\" is not an endpoint such as 127.0.0.1:2379%s",
                            (int)OAK_MIN(one, 128), at,
                            encrypts ? "" : "; https takes a network that encrypts");
        }
        out->size += kept;
        out->data[out->size++] = at[one] == '\0' ? '\0' : ',';
        if (at[one] == '\0') {
            return 0;
        }
        at += one + 1;
    }
}

/* -- a client ---------------------------------------------------------------------------------- */

static int text_keep(const char *text, size_t most, const char *what, char **out,
                     struct oak_errbuf *e)
{
    if (text == NULL) {
        return 0;
    }
    if (strlen(text) > most) {
        return oak_fail(e, OAK_EINVAL, "the %s is longer than %zu bytes", what, most);
    }
    *out = strdup(text);
    return *out == NULL ? OAK_ENOMEM : 0;
}

static int who_keep(struct oak_client *client, const struct oak_client_options *o,
                    struct oak_errbuf *e)
{
    if (o->user != NULL && (o->user[0] == '\0' || o->token != NULL)) {
        return oak_fail(e, OAK_EINVAL, "%s",
                        o->token != NULL ? "a user and a token: one of them says who it is"
                                         : "the name of the user is empty");
    }
    if (o->token != NULL && !client__token_sound(o->token)) {
        return oak_fail(e, OAK_EINVAL, "the token has characters that no token has");
    }
    int error = text_keep(o->user, OAK_CLIENT_NAME_BYTES_MAX, "user's name", &client->user, e);
    if (error == 0) {
        const char *password = o->user != NULL && o->password == NULL ? "" : o->password;
        error = text_keep(password, OAK_CLIENT_NAME_BYTES_MAX, "password", &client->password, e);
    }
    if (error == 0) {
        error = text_keep(o->token, OAK_CLIENT_TOKEN_BYTES_MAX, "token", &client->token, e);
    }
    return error;
}

static void client_fini(struct oak_client *client)
{
    client__wipe(&client->user);
    client__wipe(&client->password);
    client__wipe(&client->token);
    free(client);
}

static int channel_open(struct oak_client *client, const char *endpoints,
                        const struct oak_client_options *o, struct oak_errbuf *e)
{
    const struct oak_channel_options options = {
        .net = o->net,
        .policy = o->policy != NULL ? o->policy : "oakum_leader",
        .rpc = {.user_agent = o->user_agent,
                .receive_bytes_max =
                    o->response_bytes_max != 0 ? o->response_bytes_max : RESPONSE_BYTES_MAX},
        .connect_timeout_ns = o->connect_timeout_ns,
        .call_timeout_ns = client->call_timeout_ns,
        .keepalive_ns = o->keepalive_ns != 0 ? o->keepalive_ns : KEEPALIVE_NS,
        .keepalive_timeout_ns =
            o->keepalive_timeout_ns != 0 ? o->keepalive_timeout_ns : KEEPALIVE_TIMEOUT_NS,
        .attempts_max = o->attempts_max,
    };
    struct oak_buf target = {0};
    int error = target_read(endpoints, o->net != NULL, &target, e);
    if (error == 0) {
        error = oak_channel_new(client->loop, (char *)target.data, &options, &client->channel, e);
    }
    oak_buf_fini(&target);
    return error;
}

int oak_client_new(const struct oak_loop *loop, const char *endpoints,
                   const struct oak_client_options *options, struct oak_client **out,
                   struct oak_errbuf *e)
{
    static const struct oak_client_options none;
    const struct oak_client_options *o = options != NULL ? options : &none;
    struct oak_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return oak_fail(e, OAK_ENOMEM, "%s", oak_error_text(OAK_ENOMEM));
    }
    client->loop = loop;
    client->call_timeout_ns = o->call_timeout_ns != 0 ? o->call_timeout_ns : CALL_NS;
    client->fail_fast = o->fail_fast;
    oak_list_init(&client->calls);
    oak_list_init(&client->waiting);
    int error = who_keep(client, o, e);
    if (error == 0) {
        error = channel_open(client, endpoints, o, e);
    }
    if (error != 0) {
        client_fini(client);
        return error == OAK_ENOMEM ? oak_fail(e, error, "%s", oak_error_text(error)) : error;
    }
    *out = client;
    return 0;
}

void oak_client_free(struct oak_client *client)
{
    if (client == NULL) {
        return;
    }
    OAK_ASSERT(!client->closing);
    const struct oak_client_answer refusal = {.error = OAK_ECANCELED,
                                              .code = OAK_RPC_CANCELLED,
                                              .message = oak_error_text(OAK_ECANCELED)};
    client->closing = true;
    client__keeper_free(client);
    client__waiters_go(client, &refusal);
    oak_channel_free(client->channel);
    OAK_ASSERT(oak_list_empty(&client->calls) && oak_list_empty(&client->waiting));
    client_fini(client);
}

struct oak_channel *oak_client_channel(struct oak_client *client)
{
    return client->channel;
}
