/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.c: JSON Web Tokens (RFC 7519), as etcd makes and takes them.
 *
 *     base64(header) . base64(claims) . base64(signature of all before)
 *     {"alg":"RS256","typ":"JWT"}   {"username":"ann","revision":7,"exp":1767225600}
 *
 * A header may ask for whatever it likes: the method is the one that was configured, and a token
 * that names another is refused before its signature is looked at. Claims are believed after that
 * alone.
 *
 * Can fail     OAK_EINVALIDAUTHTOKEN, whatever is wrong: who shows a bad token learns no more.
 * Thread       any: nothing changes once it is made.
 */
#include "token/internal.h"

#include <inttypes.h>

#include <jansson.h>

#define SECOND_NS   UINT64_C(1000000000)
#define TTL_DEFAULT 300

struct oak_jwt {
    struct token_keys keys;
    uint64_t ttl_s;
};

int oak_jwt_new(const struct oak_token_options *options, struct oak_bytes public_key,
                struct oak_bytes private_key, struct oak_jwt **out, struct oak_errbuf *e)
{
    const struct token_method *method = token__method(options->method);
    OAK_ASSERT(method != NULL);
    struct oak_jwt *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory for keys");
    }
    j->ttl_s = options->ttl_s != 0 ? options->ttl_s : TTL_DEFAULT;
    int error = token__keys_load(&j->keys, method, public_key, private_key, e);
    if (error != 0) {
        oak_jwt_free(j);
        return error;
    }
    *out = j;
    return 0;
}

void oak_jwt_free(struct oak_jwt *j)
{
    if (j != NULL) {
        token__keys_fini(&j->keys);
        free(j);
    }
}

bool oak_jwt_signs(const struct oak_jwt *j)
{
    return j->keys.sign != NULL || j->keys.secret.size > 0;
}

/* -- making ------------------------------------------------------------------------------------ */

static int put_json(struct oak_buf *out, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    int error = text == NULL ? OAK_ENOMEM : token__base64_put(out, oak_bytes_str(text));
    free(text);
    json_decref(object);
    return error;
}

int oak_jwt_sign(const struct oak_jwt *j, const struct oak_authz_who *who, uint64_t wall_ns,
                 struct oak_buf *out)
{
    uint8_t signature[TOKEN_SIGNATURE_BYTES];
    size_t size = 0;
    size_t from = out->size;
    if (!oak_jwt_signs(j)) {
        return OAK_EUNIMPLEMENTED;
    }
    int error = put_json(out, json_pack("{ssss}", "alg", j->keys.method->name, "typ", "JWT"));
    if (error == 0) {
        error = oak_buf_append(out, ".", 1);
    }
    if (error == 0) {
        json_int_t end = (json_int_t)(wall_ns / SECOND_NS + j->ttl_s);
        error =
            put_json(out, json_pack("{sIsIss%}", "exp", end, "revision", (json_int_t)who->revision,
                                    "username", who->user.data, who->user.size));
    }
    if (error == 0) {
        error =
            token__sign(&j->keys, oak_bytes(out->data + from, out->size - from), signature, &size);
    }
    if (error == 0) {
        error = oak_buf_append(out, ".", 1);
    }
    return error != 0 ? error : token__base64_put(out, oak_bytes(signature, size));
}

/* -- taking ------------------------------------------------------------------------------------ */

/* The next part up to a dot, or to the end. */
static struct oak_bytes part_take(struct oak_bytes *rest)
{
    const uint8_t *dot = rest->size > 0 ? memchr(rest->data, '.', rest->size) : NULL;
    size_t size = dot != NULL ? (size_t)(dot - rest->data) : rest->size;
    struct oak_bytes part = oak_bytes(rest->data, size);
    size_t taken = dot != NULL ? size + 1 : size;
    *rest = oak_bytes(taken > 0 ? rest->data + taken : rest->data, rest->size - taken);
    return part;
}

static json_t *get_json(struct oak_bytes part)
{
    uint8_t text[OAK_AUTH_TOKEN_BYTES_MAX];
    size_t size = 0;
    if (!token__base64_get(part, text, sizeof(text), &size)) {
        return NULL;
    }
    json_t *object = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static bool header_fits(const struct oak_jwt *j, struct oak_bytes part)
{
    json_t *header = get_json(part);
    const char *method = json_string_value(json_object_get(header, "alg"));
    /* What a header calls critical has to be understood (RFC 7515 section 4.1.11). */
    bool fits = method != NULL && strcmp(method, j->keys.method->name) == 0 &&
                json_object_get(header, "crit") == NULL;
    json_decref(header);
    return fits;
}

/* A number of seconds, whole or not. False: no number, or below zero. */
static bool seconds_of(const json_t *value, double *out)
{
    *out = json_number_value(value);
    return json_is_number(value) && *out >= 0;
}

static bool claims_take(struct oak_bytes part, uint64_t wall_ns, uint8_t *user,
                        struct oak_authz_who *who)
{
    double now = (double)wall_ns / (double)SECOND_NS;
    double end = 0;
    double start = 0;
    double revision = 0;
    json_t *claims = get_json(part);
    const json_t *name = json_object_get(claims, "username");
    const json_t *not_before = json_object_get(claims, "nbf");
    size_t size = json_string_length(name);
    bool good = json_is_string(name) && size > 0 && size <= OAK_AUTH_NAME_BYTES_MAX &&
                seconds_of(json_object_get(claims, "exp"), &end) && end > now &&
                (not_before == NULL || (seconds_of(not_before, &start) && start <= now)) &&
                seconds_of(json_object_get(claims, "revision"), &revision) &&
                revision < (double)(UINT64_C(1) << 53);
    if (good) {
        memcpy(user, json_string_value(name), size);
        who->user = oak_bytes(user, size);
        who->revision = (uint64_t)revision;
    }
    json_decref(claims);
    return good;
}

int oak_jwt_verify(const struct oak_jwt *j, struct oak_bytes token, uint64_t wall_ns, uint8_t *user,
                   struct oak_authz_who *who)
{
    uint8_t signature[TOKEN_SIGNATURE_BYTES];
    size_t size = 0;
    struct oak_bytes rest = token;
    if (token.size == 0 || token.size > OAK_AUTH_TOKEN_BYTES_MAX) {
        return OAK_EINVALIDAUTHTOKEN;
    }
    struct oak_bytes header = part_take(&rest);
    struct oak_bytes claims = part_take(&rest);
    if (rest.size == 0) {
        return OAK_EINVALIDAUTHTOKEN;
    }
    struct oak_bytes signed_text = oak_bytes(token.data, header.size + 1 + claims.size);
    bool good = header_fits(j, header) &&
                token__base64_get(rest, signature, sizeof(signature), &size) &&
                token__verify(&j->keys, signed_text, oak_bytes(signature, size)) &&
                claims_take(claims, wall_ns, user, who);
    return good ? 0 : OAK_EINVALIDAUTHTOKEN;
}
