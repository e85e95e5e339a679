/* SPDX-License-Identifier: Apache-2.0 */
/* login.c: passwords: hashed and checked by an actor that may take its time.
 *
 * Happy path   1 to check one: a read index first, so that the users are those of now
 *              2 a password and what it is to be checked against go to the actor
 *              3 bcrypt, there; a web token is signed there too
 *              4 back on the loop: the hash is proposed, or a token is granted by the log
 * Can fail     more wait than OAK_AUTH_HASHES_MAX: refused at once. A client that has gone: its
 *              work is done and forgotten. A password changed meanwhile: OAK_EAUTHOLDREVISION, and
 *              the client asks again.
 * Invariants   the loop never hashes. A password lives in the work alone, and is wiped with it. An
 *              unknown user costs as much time as a wrong password.
 * Thread       the loop's, but `work`: the actor's.
 */
#include "api/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "password/password.h"

#define COST_DEFAULT 10
/* Salt and hash of a password that nobody has: what is checked for unknown users, by the cost of
 * the others. */
#define NOBODYS "NcWWW9TxPpcFmgCtVNmqgOoXr6gfSjdsDLFPgxkIkNcVdyFTTdqPm"

enum what {
    HASH,
    CHECK,
};

struct api_hashing {
    struct oak_task task;
    struct oak_api *api;
    struct api_call *call; /* NULL: its client has gone */
    enum what what;
    unsigned cost;
    uint8_t salt[OAK_PASSWORD_SALT_BYTES];
    char hash[OAK_PASSWORD_HASH_BYTES];
    char password[OAK_AUTH_PASSWORD_BYTES_MAX + 2]; /* longer ones are cut here, and too long */
    struct oak_authz_who who;                       /* CHECK: whose, as of when; bytes in `name` */
    uint8_t name[OAK_AUTH_NAME_BYTES_MAX];
    struct oak_buf token; /* CHECK: a web token, if those are used */
    int error;
    void (*hashed)(struct api_call *call, const char *hash);
};

static void hashing_free(struct api_hashing *h)
{
    OAK_ASSERT_GT(h->api->hashing, 0);
    h->api->hashing--;
    if (h->call != NULL) {
        h->call->hashing = NULL;
    }
    oak_buf_fini(&h->token);
    explicit_bzero(h, sizeof(*h));
    free(h);
}

void api__hashing_forget(struct api_call *call)
{
    if (call->hashing != NULL) {
        call->hashing->call = NULL;
        call->hashing = NULL;
    }
}

bool oak_api_busy(const struct oak_api *api)
{
    return api->hashing > 0 || api->snapshot_count > 0;
}

static void finish(struct oak_task *task);

static void work(struct oak_task *task)
{
    struct api_hashing *h = OAK_CONTAINER_OF(task, struct api_hashing, task);
    const struct oak_loop *loop = h->api->options.loop;
    if (h->what == HASH) {
        h->error = oak_password_hash(h->password, h->cost, h->salt, h->hash);
    } else {
        h->error = oak_password_check(h->password, oak_bytes_str(h->hash));
    }
    if (h->error == 0 && h->what == CHECK && h->api->options.jwt != NULL) {
        h->error = oak_jwt_sign(h->api->options.jwt, &h->who, loop->clock.wall_ns(loop->clock.user),
                                &h->token);
    }
    explicit_bzero(h->password, sizeof(h->password));
    h->task = (struct oak_task){.run = finish};
    loop->exec.post(loop->exec.user, &h->task);
}

/* NULL: the call was refused. */
static struct api_hashing *hashing_new(struct api_call *call, enum what what, const char *password)
{
    struct oak_api *api = call->api;
    if (api->hashing >= OAK_AUTH_HASHES_MAX) {
        api__fail(call, OAK_ETOOMANYREQUESTS);
        return NULL;
    }
    struct api_hashing *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        api__fail(call, OAK_ENOMEM);
        return NULL;
    }
    api->hashing++;
    h->api = api;
    h->call = call;
    h->what = what;
    h->cost = api->options.bcrypt_cost != 0 ? api->options.bcrypt_cost : COST_DEFAULT;
    h->task.run = work;
    memcpy(h->password, password, OAK_MIN(strlen(password), sizeof(h->password) - 1));
    call->hashing = h;
    return h;
}

static void post(struct api_hashing *h)
{
    const struct oak_exec *hasher = &h->api->options.hasher;
    hasher->post(hasher->user, &h->task);
}

void api__hash(struct api_call *call, const char *password,
               void (*hashed)(struct api_call *call, const char *hash))
{
    struct api_hashing *h = hashing_new(call, HASH, password);
    if (h != NULL) {
        const struct oak_entropy *entropy = &call->api->options.loop->entropy;
        entropy->fill(entropy->user, h->salt, sizeof(h->salt));
        h->hashed = hashed;
        post(h);
    }
}

/* -- authenticate ------------------------------------------------------------------------------ */

static void answer_token(struct api_call *call, struct oak_bytes token)
{
    Etcdserverpb__AuthenticateResponse response = ETCDSERVERPB__AUTHENTICATE_RESPONSE__INIT;
    response.header = api__header_new(call);
    response.token = oak_arena_zalloc(api__arena(call), token.size + 1);
    if (response.header == NULL || response.token == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    memcpy(response.token, token.data, token.size);
    api__answer(call, &response.base);
}

/* The log has granted it; the letters lie where the call keeps its bytes. */
static void token_granted(struct oak_replica_request *request, int error,
                          const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    if (error != 0) {
        api__fail(call, error);
        return;
    }
    char token[OAK_TOKEN_LETTERS + 24];
    uint64_t index = oak_kv_state(oak_replica_kv(call->api->options.replica))->applied;
    int size = snprintf(token, sizeof(token), "%.*s.%" PRIu64, OAK_TOKEN_LETTERS,
                        (const char *)call->bytes.data, index);
    answer_token(call, oak_bytes(token, (size_t)size));
}

static void token_propose(struct api_call *call, const struct oak_authz_who *who)
{
    const struct oak_entropy *entropy = &call->api->options.loop->entropy;
    uint8_t random[OAK_TOKEN_RANDOM_BYTES];
    uint8_t digest[OAK_TOKEN_DIGEST_BYTES];
    uint8_t packed[OAK_TOKEN_DIGEST_BYTES + 8];
    char letters[OAK_TOKEN_LETTERS + 1];
    entropy->fill(entropy->user, random, sizeof(random));
    oak_token_letters(random, letters);
    call->bytes = oak_arena_dup(api__arena(call), oak_bytes(letters, OAK_TOKEN_LETTERS));
    int error = call->bytes.data == NULL ? OAK_ENOMEM : oak_token_digest(call->bytes, digest);
    if (error == 0) {
        Authpb__TokenGrant grant = AUTHPB__TOKEN_GRANT__INIT;
        grant.digest = oak_proto_binary(oak_bytes(digest, sizeof(digest)));
        OAK_ASSERT_LE(authpb__token_grant__get_packed_size(&grant), sizeof(packed));
        size_t size = authpb__token_grant__pack(&grant, packed);
        call->request.who = *who;
        call->request.done = token_granted;
        call->request.deadline_ns = 0;
        error = oak_replica_propose(call->api->options.replica, OAK_KV_AUTH_TOKEN,
                                    oak_bytes(packed, size), &call->request);
    }
    if (error != 0) {
        api__fail(call, error);
    }
}

static void checked(struct api_call *call, const struct api_hashing *h)
{
    const struct oak_kv *kv = oak_replica_kv(call->api->options.replica);
    if (h->error != 0 || h->who.user.size == 0) {
        const struct api_who who = {.who = h->who, .session = OAK_AUTHZ_UNAUTHENTICATED};
        int error = h->error != 0 ? h->error : OAK_EAUTHFAILED;
        api__audit(call->api, call->stub, &who, oak_error_text(error));
        api__fail(call, error);
    } else if (!oak_kv_token_holds(kv, &h->who)) {
        api__fail(call, OAK_EAUTHOLDREVISION);
    } else if (call->api->options.jwt != NULL) {
        answer_token(call, oak_buf_bytes(&h->token));
    } else {
        token_propose(call, &h->who);
    }
}

static void finish(struct oak_task *task)
{
    struct api_hashing *h = OAK_CONTAINER_OF(task, struct api_hashing, task);
    struct api_call *call = h->call;
    if (call != NULL) {
        api__hashing_forget(call);
        if (h->what == CHECK) {
            checked(call, h);
        } else if (h->error != 0) {
            api__fail(call, h->error);
        } else {
            h->hashed(call, h->hash);
        }
    }
    hashing_free(h);
}

/* What users there are is known as of a read index: enabling auth may have been answered by another
 * member just now, and a password changed there no longer counts here. */
static void users_known(struct oak_replica_request *request, int error,
                        const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    const Etcdserverpb__AuthenticateRequest *asked =
        (const Etcdserverpb__AuthenticateRequest *)call->message;
    const struct oak_kv *kv = oak_replica_kv(call->api->options.replica);
    struct oak_authz_user known;
    bool there = oak_authz_user(oak_kv_authz(kv), oak_bytes_str(asked->name), &known);
    (void)result;
    error = error != 0                   ? error
            : !oak_kv_auth_enabled(kv)   ? OAK_EAUTHNOTENABLED
            : there && known.no_password ? OAK_ENOPASSWORDUSER
            : call->api->options.jwt != NULL && !oak_jwt_signs(call->api->options.jwt)
                ? OAK_EUNIMPLEMENTED
                : 0;
    if (error != 0) {
        api__fail(call, error);
        return;
    }
    struct api_hashing *h = hashing_new(call, CHECK, asked->password);
    if (h == NULL) {
        return;
    }
    if (there) {
        memcpy(h->hash, known.hash.data, OAK_MIN(known.hash.size, sizeof(h->hash) - 1));
        memcpy(h->name, known.name.data, known.name.size);
        h->who.user = oak_bytes(h->name, known.name.size);
        h->who.revision = oak_authz_settings(oak_kv_authz(kv))->revision;
    } else {
        (void)snprintf(h->hash, sizeof(h->hash), "$2b$%02u$%s", h->cost % 100, NOBODYS);
    }
    post(h);
}

void api__authenticate(void *user, struct oak_stub_call *stub,
                       const Etcdserverpb__AuthenticateRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__read(call, users_known);
    }
}
