/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c: keys out of PEM, and that they fit their method.
 *
 * A private key has its public one in it; where both are given they must be of one pair.
 *
 * Can fail     OAK_EINVAL, with what is wrong; OAK_ENOMEM.
 * Thread       any.
 */
#include "token/internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#define RSA_BITS_MIN 2048

const struct token_method *token__method(const char *name)
{
    static const struct token_method methods[] = {
        {.name = "RS256", .family = TOKEN_RS, .hash = "SHA256"},
        {.name = "RS384", .family = TOKEN_RS, .hash = "SHA384"},
        {.name = "RS512", .family = TOKEN_RS, .hash = "SHA512"},
        {.name = "PS256", .family = TOKEN_PS, .hash = "SHA256"},
        {.name = "PS384", .family = TOKEN_PS, .hash = "SHA384"},
        {.name = "PS512", .family = TOKEN_PS, .hash = "SHA512"},
        {.name = "ES256", .family = TOKEN_ES, .hash = "SHA256", .key_bits = 256, .part_bytes = 32},
        {.name = "ES384", .family = TOKEN_ES, .hash = "SHA384", .key_bits = 384, .part_bytes = 48},
        {.name = "ES512", .family = TOKEN_ES, .hash = "SHA512", .key_bits = 521, .part_bytes = 66},
        {.name = "HS256", .family = TOKEN_HS, .hash = "SHA256", .key_bytes_min = 32},
        {.name = "HS384", .family = TOKEN_HS, .hash = "SHA384", .key_bytes_min = 48},
        {.name = "HS512", .family = TOKEN_HS, .hash = "SHA512", .key_bytes_min = 64},
        {.name = "EdDSA", .family = TOKEN_ED},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(methods); i++) {
        if (strcmp(methods[i].name, name) == 0) {
            return &methods[i];
        }
    }
    return NULL;
}

static EVP_PKEY *read_key(struct oak_bytes pem, bool private)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *key = NULL;
    if (bio != NULL) {
        key = private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                      : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static const char *misfit(const struct token_method *method, const EVP_PKEY *key)
{
    bool rsa = EVP_PKEY_is_a(key, "RSA");
    switch (method->family) {
    case TOKEN_RS:
        return !rsa ? "no RSA key" : EVP_PKEY_get_bits(key) < RSA_BITS_MIN ? "too short" : NULL;
    case TOKEN_PS:
        return !rsa && !EVP_PKEY_is_a(key, "RSA-PSS")  ? "no RSA key"
               : EVP_PKEY_get_bits(key) < RSA_BITS_MIN ? "too short"
                                                       : NULL;
    case TOKEN_ES:
        return !EVP_PKEY_is_a(key, "EC")                    ? "no EC key"
               : EVP_PKEY_get_bits(key) != method->key_bits ? "of another curve than the method's"
                                                            : NULL;
    case TOKEN_ED:
        return !EVP_PKEY_is_a(key, "ED25519") ? "no Ed25519 key" : NULL;
    case TOKEN_HS:
        break;
    }
    return "not for this method";
}

static int load_pair(struct token_keys *keys, struct oak_bytes public_key,
                     struct oak_bytes private_key, struct oak_errbuf *e)
{
    if (private_key.size > 0) {
        keys->sign = read_key(private_key, true);
        if (keys->sign == NULL) {
            return oak_fail(e, OAK_EINVAL, "priv-key: no private key in PEM without a password");
        }
    }
    if (public_key.size > 0) {
        keys->verify = read_key(public_key, false);
        if (keys->verify == NULL) {
            return oak_fail(e, OAK_EINVAL, "pub-key: no public key in PEM");
        }
    } else if (keys->sign != NULL) {
        keys->verify = keys->sign;
        EVP_PKEY_up_ref(keys->sign);
    }
    if (keys->verify == NULL) {
        return oak_fail(e, OAK_EINVAL, "pub-key or priv-key is needed");
    }
    if (keys->sign != NULL && EVP_PKEY_eq(keys->sign, keys->verify) != 1) {
        ERR_clear_error();
        return oak_fail(e, OAK_EINVAL, "pub-key and priv-key are not of one pair");
    }
    const char *wrong = misfit(keys->method, keys->verify);
    return wrong == NULL ? 0
                         : oak_fail(e, OAK_EINVAL, "%s: the key is %s", keys->method->name, wrong);
}

int token__keys_load(struct token_keys *keys, const struct token_method *method,
                     struct oak_bytes public_key, struct oak_bytes private_key,
                     struct oak_errbuf *e)
{
    *keys = (struct token_keys){.method = method};
    if (public_key.size > OAK_TLS_FILE_BYTES_MAX || private_key.size > OAK_TLS_FILE_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "a key file is too large");
    }
    if (method->family != TOKEN_HS) {
        return load_pair(keys, public_key, private_key, e);
    }
    if (private_key.size < method->key_bytes_min) {
        return oak_fail(e, OAK_EINVAL, "%s: priv-key needs %zu bytes or more", method->name,
                        method->key_bytes_min);
    }
    return oak_buf_append(&keys->secret, private_key.data, private_key.size);
}

void token__keys_fini(struct token_keys *keys)
{
    EVP_PKEY_free(keys->sign);
    EVP_PKEY_free(keys->verify);
    if (keys->secret.data != NULL) {
        OPENSSL_cleanse(keys->secret.data, keys->secret.capacity);
    }
    oak_buf_fini(&keys->secret);
}
