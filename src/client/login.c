/* SPDX-License-Identifier: Apache-2.0 */
/* login.c: who the client is: a token for its user, had once and again when it has ended.
 *
 * Happy path   1 a call needs a token: Authenticate is asked for, once for all that wait
 *              2 the token comes, and all go on with it
 * Can fail     2: all that wait are told why. Auth that is not enabled: they go on without a token.
 * Invariants   one Authenticate at a time. A token is dropped once, by the first call that was
 *              refused for it.
 * Thread       the loop's.
 */
#include "client/internal.h"

#include <stdlib.h>

bool client__token_wanted(const struct oak_client *client)
{
    return client->user != NULL && client->token == NULL;
}

void client__wipe(char **text)
{
    if (*text != NULL) {
        explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}

bool client__token_sound(const char *token)
{
    for (const char *at = token; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f) {
            return false;
        }
    }
    return true;
}

void client__token_drop(struct oak_client *client, uint64_t token)
{
    if (client->user != NULL && client->tokens == token) {
        client__wipe(&client->token);
        client->tokens++;
    }
}

size_t client__pair(const struct oak_client *client, struct oak_rpc_pair *pair)
{
    if (client->token == NULL || client->token[0] == '\0') {
        return 0;
    }
    *pair = (struct oak_rpc_pair){.name = oak_bytes_str("token"),
                                  .value = oak_bytes_str(client->token)};
    return 1;
}

bool client__token_refused(const struct oak_client *client, int error)
{
    return client->user != NULL && !client->closing &&
           (error == OAK_EINVALIDAUTHTOKEN || error == OAK_EAUTHOLDREVISION ||
            error == OAK_EUSEREMPTY);
}

void client__waiters_go(struct oak_client *client, const struct oak_client_answer *refusal)
{
    struct oak_list ready; /* who comes meanwhile waits for the next one */
    oak_list_init(&ready);
    struct oak_list *node;
    while ((node = oak_list_pop(&client->waiting)) != NULL) {
        oak_list_push(&ready, node);
    }
    while ((node = oak_list_pop(&ready)) != NULL) {
        struct client_waiter *waiter = OAK_LIST_ENTRY(node, struct client_waiter, link);
        waiter->go(waiter, refusal);
    }
}

static int token_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const Etcdserverpb__AuthenticateResponse *response =
        (const Etcdserverpb__AuthenticateResponse *)message;
    if (strlen(response->token) > OAK_CLIENT_TOKEN_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    call->answer.response = oak_bytes_str(response->token);
    return client__token_sound(response->token) ? 0 : OAK_EREMOTE;
}

static void login_done(void *user, const struct oak_client_answer *answer)
{
    struct oak_client *client = user;
    const struct oak_client_answer none = {.error = OAK_ENOMEM,
                                           .code = OAK_RPC_RESOURCE_EXHAUSTED,
                                           .message = oak_error_text(OAK_ENOMEM)};
    client->login = NULL;
    if (answer->error == 0 || answer->error == OAK_EAUTHNOTENABLED) {
        const char *token = answer->error == 0 ? (const char *)answer->response.data : "";
        client__wipe(&client->token);
        client->token = strdup(token);
        client->tokens++;
        answer = client->token != NULL ? NULL : &none;
    }
    client__waiters_go(client, answer);
}

static int login(struct oak_client *client)
{
    Etcdserverpb__AuthenticateRequest request = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
    request.name = client->user;
    request.password = client->password;
    const struct client_ask ask = {
        .method = {.service = "etcdserverpb.Auth",
                   .name = "Authenticate",
                   .read = true, /* a token more does no harm */
                   .secret = true,
                   .response = &etcdserverpb__authenticate_response__descriptor,
                   .fill = token_fill},
        .request = &request.base,
        .done = login_done,
        .user = client,
    };
    return client__ask_nobody(client, &ask, &client->login);
}

int client__token_wait(struct oak_client *client, struct client_waiter *waiter)
{
    int error = client->login != NULL ? 0 : login(client);
    if (error == 0) {
        oak_list_push(&client->waiting, &waiter->link);
    }
    return error;
}
