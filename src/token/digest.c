/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c: SHA-256, by which tokens are known. Thread: any. */
#include "token/internal.h"

#include <openssl/evp.h>

int oak_token_digest(struct oak_bytes bytes, uint8_t out[OAK_TOKEN_DIGEST_BYTES])
{
    unsigned size = 0;
    bool done = EVP_Digest(bytes.data, bytes.size, out, &size, EVP_sha256(), NULL) == 1;
    OAK_ASSERT(!done || size == OAK_TOKEN_DIGEST_BYTES);
    return done ? 0 : OAK_ENOMEM;
}
