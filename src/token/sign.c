/* SPDX-License-Identifier: Apache-2.0 */
/* sign.c: signatures in the forms of RFC 7518 section 3.
 *
 * OpenSSL has signatures of ECDSA as DER; a token has the two numbers, each as long as the curve's
 * field, behind each other.
 *
 * Can fail     OAK_ENOMEM, for whatever OpenSSL fails by: keys have been checked.
 * Thread       any: keys are only read.
 */
#include "token/internal.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

static const EVP_MD *hash_of(const struct token_method *method)
{
    return method->hash != NULL ? EVP_get_digestbyname(method->hash) : NULL;
}

static bool hmac(const struct token_keys *keys, struct oak_bytes text, uint8_t *out, size_t *size)
{
    unsigned made = 0;
    bool done = HMAC(hash_of(keys->method), keys->secret.data, (int)keys->secret.size, text.data,
                     text.size, out, &made) != NULL;
    *size = made;
    return done;
}

static bool pad(const struct token_method *method, EVP_PKEY_CTX *context, int salt)
{
    return method->family != TOKEN_PS ||
           (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt) == 1);
}

/* DER to two numbers of `part` bytes. */
static bool ec_flatten(uint8_t *signature, size_t *size, size_t part)
{
    const uint8_t *at = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)*size);
    bool done = sig != NULL &&
                BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int)part) == (int)part &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + part, (int)part) == (int)part;
    ECDSA_SIG_free(sig);
    *size = 2 * part;
    return done;
}

/* And back: its size, 0 for none. `out` is to be freed by OPENSSL_free. */
static int ec_der(struct oak_bytes signature, size_t part, uint8_t **out)
{
    *out = NULL;
    if (signature.size != 2 * part) {
        return 0;
    }
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.data, (int)part, NULL);
    BIGNUM *s = BN_bin2bn(signature.data + part, (int)part, NULL);
    int size = 0;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL;
        size = i2d_ECDSA_SIG(sig, out);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return size > 0 ? size : 0;
}

int token__sign(const struct token_keys *keys, struct oak_bytes text, uint8_t *out, size_t *size)
{
    const struct token_method *method = keys->method;
    if (method->family == TOKEN_HS) {
        return hmac(keys, text, out, size) ? 0 : OAK_ENOMEM;
    }
    OAK_ASSERT(keys->sign != NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key = NULL; /* of the context */
    *size = TOKEN_SIGNATURE_BYTES;
    bool done = context != NULL &&
                EVP_DigestSignInit(context, &key, hash_of(method), NULL, keys->sign) == 1 &&
                pad(method, key, RSA_PSS_SALTLEN_DIGEST) &&
                EVP_DigestSign(context, out, size, text.data, text.size) == 1;
    if (done && method->family == TOKEN_ES) {
        done = ec_flatten(out, size, method->part_bytes);
    }
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return done ? 0 : OAK_ENOMEM;
}

bool token__verify(const struct token_keys *keys, struct oak_bytes text, struct oak_bytes signature)
{
    const struct token_method *method = keys->method;
    uint8_t made[EVP_MAX_MD_SIZE];
    uint8_t *der = NULL;
    if (method->family == TOKEN_HS) {
        size_t size = 0;
        return hmac(keys, text, made, &size) && size == signature.size &&
               CRYPTO_memcmp(made, signature.data, size) == 0;
    }
    if (method->family == TOKEN_ES) {
        int size = ec_der(signature, method->part_bytes, &der);
        signature = oak_bytes(der, (size_t)size);
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key = NULL;
    /* Whatever salt there is: others take the longest. */
    bool right =
        signature.size > 0 && context != NULL &&
        EVP_DigestVerifyInit(context, &key, hash_of(method), NULL, keys->verify) == 1 &&
        pad(method, key, RSA_PSS_SALTLEN_AUTO) &&
        EVP_DigestVerify(context, signature.data, signature.size, text.data, text.size) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ERR_clear_error();
    return right;
}
