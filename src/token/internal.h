/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the token room share. */
#ifndef OAK_TOKEN_INTERNAL_H
#define OAK_TOKEN_INTERNAL_H

#include <stdlib.h>

#include <openssl/evp.h>

#include "token/token.h"

/* A signature: RSA of 16384 bits. */
#define TOKEN_SIGNATURE_BYTES 2048

enum token_family {
    TOKEN_RS, /* RSA, PKCS #1 1.5 */
    TOKEN_PS, /* RSA, PSS */
    TOKEN_ES, /* ECDSA */
    TOKEN_HS, /* HMAC */
    TOKEN_ED, /* Ed25519 */
};

/* RFC 7518 section 3; RFC 8037. */
struct token_method {
    const char *name;
    enum token_family family;
    const char *hash;     /* NULL: of its own */
    int key_bits;         /* ES: of its curve */
    size_t part_bytes;    /* ES: half of a signature */
    size_t key_bytes_min; /* HS: less is guessed (RFC 7518 section 3.2) */
};
/* NULL: unknown. */
const struct token_method *token__method(const char *name);

/* Base64 for URLs, without padding (RFC 7515). Append to `out`: OAK_ENOMEM. */
OAK_MUST_USE int token__base64_put(struct oak_buf *out, struct oak_bytes bytes);
/* False: it is none, or longer than `room`. */
bool token__base64_get(struct oak_bytes text, uint8_t *out, size_t room, size_t *size);

/* sign.c: signatures as a token has them. `key` is one of the family's; of HS, `secret` is. */
struct token_keys {
    const struct token_method *method;
    EVP_PKEY *sign;   /* NULL: none */
    EVP_PKEY *verify; /* NULL: HS */
    struct oak_buf secret;
};
OAK_MUST_USE int token__sign(const struct token_keys *keys, struct oak_bytes text, uint8_t *out,
                             size_t *size);
bool token__verify(const struct token_keys *keys, struct oak_bytes text,
                   struct oak_bytes signature);
/* keys.c: OAK_EINVAL, OAK_ENOMEM. */
OAK_MUST_USE int token__keys_load(struct token_keys *keys, const struct token_method *method,
                                  struct oak_bytes public_key, struct oak_bytes private_key,
                                  struct oak_errbuf *e);
void token__keys_fini(struct token_keys *keys);

#endif
