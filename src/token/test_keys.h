/* SPDX-License-Identifier: Apache-2.0 */
/* test_keys.h: keys made for the test that needs them, as PEM. */
#ifndef OAK_TOKEN_TEST_KEYS_H
#define OAK_TOKEN_TEST_KEYS_H

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "token/internal.h"

struct test_keys {
    struct oak_buf public_key;
    struct oak_buf private_key;
};

static inline void pem_take(struct oak_buf *out, BIO *bio)
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    int error = oak_buf_append(out, data, (size_t)size);
    OAK_ASSERT_EQ(error, 0);
    BIO_free(bio);
}

static inline void test_keys_make(struct test_keys *k, const struct token_method *method)
{
    *k = (struct test_keys){0};
    if (method->family == TOKEN_HS) {
        static const char secret[] =
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        int error = oak_buf_append(&k->private_key, secret, sizeof(secret) - 1);
        OAK_ASSERT_EQ(error, 0);
        return;
    }
    EVP_PKEY *key = method->family == TOKEN_ED ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                    : method->family == TOKEN_ES
                        ? EVP_PKEY_Q_keygen(NULL, NULL, "EC",
                                            method->key_bits == 256   ? "P-256"
                                            : method->key_bits == 384 ? "P-384"
                                                                      : "P-521")
                        : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    OAK_ASSERT(key != NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    int done = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    OAK_ASSERT_EQ(done, 1);
    pem_take(&k->private_key, bio);
    bio = BIO_new(BIO_s_mem());
    done = PEM_write_bio_PUBKEY(bio, key);
    OAK_ASSERT_EQ(done, 1);
    pem_take(&k->public_key, bio);
    EVP_PKEY_free(key);
}

static inline void test_keys_fini(struct test_keys *k)
{
    oak_buf_fini(&k->public_key);
    oak_buf_fini(&k->private_key);
}

#endif
