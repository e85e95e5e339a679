/* SPDX-License-Identifier: Apache-2.0 */
/* who.c: who a client is: by its token, or by the name in its certificate.
 *
 * A token comes in the metadata "token", or "authorization", with or without "Bearer ". One that is
 * shown counts, and a bad one is refused, whatever certificate there is beside it.
 *
 * Simple tokens are granted by the log, so that each member hears of them when it applies the
 * grant; a token names an index no earlier, and a member that is not there yet waits. What a member
 * knows of it is lost with a restart, as in etcd: clients then show their password again.
 *
 * A web token carries the revision of users and roles as of which it was made, and is old once
 * that has risen; whoever shows a simple token or a certificate is known as of now.
 *
 * Thread  the loop's.
 */
#include "api/internal.h"

#define BEARER       "bearer "
#define BEARER_BYTES (sizeof(BEARER) - 1)

static const struct oak_kv *kv_of(const struct oak_api *api)
{
    return oak_replica_kv(api->options.replica);
}

static uint64_t now_ns(const struct oak_api *api)
{
    return api->options.loop->clock.mono_ns(api->options.loop->clock.user);
}

static uint64_t revision_of(const struct oak_api *api)
{
    return oak_authz_settings(oak_kv_authz(kv_of(api)))->revision;
}

static struct oak_bytes without_bearer(struct oak_bytes token)
{
    bool bearer = token.size >= BEARER_BYTES;
    for (size_t i = 0; bearer && i < BEARER_BYTES; i++) {
        uint8_t c = token.data[i];
        bearer = (c >= 'A' && c <= 'Z' ? c + 32 : c) == BEARER[i];
    }
    return bearer ? oak_bytes(token.data + BEARER_BYTES, token.size - BEARER_BYTES) : token;
}

/* False: a name that no user has. */
static bool name_set(struct api_who *out, struct oak_bytes name)
{
    if (name.size == 0 || name.size > sizeof(out->name)) {
        return false;
    }
    memcpy(out->name, name.data, name.size);
    out->who.user = oak_bytes(out->name, name.size);
    return true;
}

/* -- tokens ------------------------------------------------------------------------------------ */

static int by_jwt(struct oak_api *api, struct oak_bytes token, struct api_who *out)
{
    const struct oak_clock *clock = &api->options.loop->clock;
    int error =
        oak_jwt_verify(api->options.jwt, token, clock->wall_ns(clock->user), out->name, &out->who);
    if (error == 0 && out->who.revision < revision_of(api)) {
        error = OAK_EAUTHOLDREVISION;
    }
    return error;
}

static int by_simple(struct oak_api *api, struct oak_bytes token, struct api_who *out)
{
    struct oak_bytes letters;
    uint64_t index = 0;
    uint8_t digest[OAK_TOKEN_DIGEST_BYTES];
    if (!oak_token_parse(token, &letters, &index)) {
        return OAK_EINVALIDAUTHTOKEN;
    }
    int error = oak_token_digest(letters, digest);
    if (error != 0) {
        return error;
    }
    struct oak_token *known =
        oak_token_find(api->tokens, oak_bytes(digest, sizeof(digest)), now_ns(api));
    if (known == NULL) {
        return index > oak_kv_state(kv_of(api))->applied ? OAK_EAGAIN : OAK_EINVALIDAUTHTOKEN;
    }
    if (!oak_kv_token_holds(kv_of(api), &known->who)) {
        oak_token_remove(api->tokens, known);
        return OAK_EINVALIDAUTHTOKEN;
    }
    bool fits = name_set(out, known->who.user);
    OAK_ASSERT(fits);
    out->who.revision = revision_of(api);
    out->session = known->session;
    out->token = known;
    return 0;
}

static int by_token(struct oak_api *api, struct oak_bytes shown, struct api_who *out)
{
    struct oak_bytes token = without_bearer(shown);
    if (token.size == 0 || token.size > OAK_AUTH_TOKEN_BYTES_MAX) {
        return OAK_EINVALIDAUTHTOKEN;
    }
    int error = api->options.jwt != NULL ? by_jwt(api, token, out) : by_simple(api, token, out);
    if (error == 0) {
        error = oak_authz_session_step(&out->session, OAK_AUTHZ_PROVE);
    }
    if (error != 0) {
        out->who = (struct oak_authz_who){.revision = 0};
    }
    return error;
}

/* -- certificates ------------------------------------------------------------------------------ */

static int by_certificate(struct oak_api *api, const struct oak_stub_call *stub,
                          struct api_who *out)
{
    const struct oak_rpc_call *rpc = oak_stub_rpc(stub);
    const struct oak_identity *identity =
        api->options.client_cert_auth && rpc != NULL ? oak_rpc_call_identity(rpc) : NULL;
    /* Of a gateway the certificate is its own, not its client's. */
    bool gateway = oak_stub_metadata(stub, "grpcgateway-accept").data != NULL;
    if (identity == NULL || gateway || !name_set(out, oak_bytes_str(identity->common_name))) {
        return 0;
    }
    out->who.revision = revision_of(api);
    return oak_authz_session_step(&out->session, OAK_AUTHZ_PROVE);
}

/* -- the door ---------------------------------------------------------------------------------- */

int api__who(struct oak_api *api, const struct oak_stub_call *stub, struct api_who *out)
{
    out->who = (struct oak_authz_who){.revision = 0};
    out->session = OAK_AUTHZ_UNAUTHENTICATED;
    out->token = NULL;
    if (!oak_kv_auth_enabled(kv_of(api))) {
        return 0;
    }
    struct oak_bytes token = oak_stub_metadata(stub, "token");
    if (token.data == NULL) {
        token = oak_stub_metadata(stub, "authorization");
    }
    return token.data != NULL ? by_token(api, token, out) : by_certificate(api, stub, out);
}

int api__who_renew(const struct oak_api *api, struct oak_authz_who *who)
{
    if (!oak_kv_auth_enabled(kv_of(api)) || who->user.size == 0) {
        return 0;
    }
    if (!oak_kv_token_holds(kv_of(api), who)) {
        return OAK_EINVALIDAUTHTOKEN;
    }
    who->revision = revision_of(api);
    return 0;
}

int oak_api_who(struct oak_api *api, struct oak_bytes token, uint8_t *name,
                struct oak_authz_who *out)
{
    struct api_who who = {.session = OAK_AUTHZ_UNAUTHENTICATED};
    *out = (struct oak_authz_who){.revision = 0};
    if (!oak_kv_auth_enabled(kv_of(api)) || token.data == NULL) {
        return 0;
    }
    int error = by_token(api, token, &who);
    if (error == 0) {
        memcpy(name, who.name, who.who.user.size);
        out->user = oak_bytes(name, who.who.user.size);
        out->revision = who.who.revision;
    }
    return error == OAK_EAGAIN ? OAK_EINVALIDAUTHTOKEN : error;
}

void oak_api_token_granted(struct oak_api *api, const struct oak_authz_who *who,
                           struct oak_bytes digest)
{
    /* What can't be remembered is a token that nobody knows here: its owner asks for another. */
    int error = oak_token_add(api->tokens, digest, who, now_ns(api));
    if (error != 0) {
        oak_log(api->options.log, OAK_LOG_WARN, "a token can't be remembered: %s",
                oak_error_text(error));
    }
}
