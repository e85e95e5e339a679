/* SPDX-License-Identifier: Apache-2.0 */
/* token.h: what a client shows instead of a password: simple tokens and JSON Web Tokens.
 *
 * A simple token is random letters that members remember for a while; what they remember is its
 * digest, so that neither memory, log nor disk tells of a token. A JSON Web Token says by itself
 * for whom it is, signed by a key.
 *
 * Threads: one owner each.
 */
#ifndef OAK_TOKEN_H
#define OAK_TOKEN_H

#include "authz/authz.h"

#define OAK_TOKEN_DIGEST_BYTES 32

/* SHA-256. OAK_ENOMEM. */
OAK_MUST_USE int oak_token_digest(struct oak_bytes bytes, uint8_t out[OAK_TOKEN_DIGEST_BYTES]);

/* Base64 as in RFC 4648 section 4, padded. False: it is none, or longer than `room`. */
bool oak_token_base64(const char *text, uint8_t *out, size_t room, size_t *size);

/* -- simple tokens ----------------------------------------------------------------------------- */

/* Sixteen letters, as etcd's. */
#define OAK_TOKEN_LETTERS 16
/* Letters of unpredictable bytes, of which it takes as many as it needs; the ending NUL too. */
#define OAK_TOKEN_RANDOM_BYTES 64
void oak_token_letters(const uint8_t random[OAK_TOKEN_RANDOM_BYTES],
                       char out[OAK_TOKEN_LETTERS + 1]);
/* "letters.index": the letters of what a client shows, and the index. False: it is none. */
bool oak_token_parse(struct oak_bytes token, struct oak_bytes *letters, uint64_t *index);

struct oak_token_table;

/* A token that is known. Borrowed until the next change of the table. */
struct oak_token {
    struct oak_authz_who who; /* as the password proved it */
    enum oak_authz_session session;
};

/* Tokens live `ttl_ns` from their last use; at most `most` of them, 0: OAK_AUTH_TOKENS_MAX. */
OAK_MUST_USE int oak_token_table_new(uint64_t ttl_ns, size_t most, struct oak_token_table **out);
void oak_token_table_free(struct oak_token_table *t);
/* OAK_ENOMEM, OAK_EINVAL (a digest that is none). Known already: nothing. */
OAK_MUST_USE int oak_token_add(struct oak_token_table *t, struct oak_bytes digest,
                               const struct oak_authz_who *who, uint64_t now_ns);
/* Its time begins anew. NULL: not known, or its time is over. */
struct oak_token *oak_token_find(struct oak_token_table *t, struct oak_bytes digest,
                                 uint64_t now_ns);
void oak_token_remove(struct oak_token_table *t, struct oak_token *token);
/* Those whose time is over are gone from here on. */
void oak_token_expire(struct oak_token_table *t, uint64_t now_ns);
size_t oak_token_count(const struct oak_token_table *t);

/* -- JSON Web Tokens --------------------------------------------------------------------------- */

/* What --auth-token says: "simple", or "jwt,pub-key=FILE,priv-key=FILE,sign-method=RS256,ttl=10m".
 */
struct oak_token_options {
    bool jwt;
    char method[8];        /* RS256, PS384, ES512, HS256, EdDSA, ... */
    char public_key[256];  /* file; "": none */
    char private_key[256]; /* file; "": none: tokens are verified, and none are made */
    uint64_t ttl_s;
};
/* OAK_EINVAL; `e` says what is wrong. */
OAK_MUST_USE int oak_token_options_parse(const char *text, struct oak_token_options *out,
                                         struct oak_errbuf *e);

struct oak_jwt;
/* Keys are PEM, of HS the bytes of the private key's file. OAK_EINVAL, OAK_ENOMEM. */
OAK_MUST_USE int oak_jwt_new(const struct oak_token_options *options, struct oak_bytes public_key,
                             struct oak_bytes private_key, struct oak_jwt **out,
                             struct oak_errbuf *e);
void oak_jwt_free(struct oak_jwt *j);
/* Can it make tokens? */
bool oak_jwt_signs(const struct oak_jwt *j);
/* Append a token to `out`. Any thread. OAK_EUNIMPLEMENTED (no private key), OAK_ENOMEM. */
OAK_MUST_USE int oak_jwt_sign(const struct oak_jwt *j, const struct oak_authz_who *who,
                              uint64_t wall_ns, struct oak_buf *out);
/* Whose is it? The name goes to `user`, which has room for OAK_AUTH_NAME_BYTES_MAX. Any thread.
 * OAK_EINVALIDAUTHTOKEN: malformed, signed by another key or method, expired, or not yet good. */
OAK_MUST_USE int oak_jwt_verify(const struct oak_jwt *j, struct oak_bytes token, uint64_t wall_ns,
                                uint8_t *user, struct oak_authz_who *who);

#endif
