/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_fuzz.c: no bytes that claim to be a web token crash us, and none are taken that were not
 * signed: first as they come, then as header and claims that are signed as they should be. */
#include "token/internal.h"

static const char secret[] = "0123456789abcdef0123456789abcdef";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_token_options options = {.jwt = true, .method = "HS256"};
    struct oak_jwt *j = NULL;
    struct token_keys keys;
    struct oak_authz_who who = {.revision = 0};
    uint8_t name[OAK_AUTH_NAME_BYTES_MAX];
    uint8_t signature[TOKEN_SIGNATURE_BYTES];
    size_t signature_size = 0;
    int error = oak_jwt_new(&options, oak_bytes(NULL, 0), oak_bytes_str(secret), &j, NULL);
    OAK_ASSERT_EQ(error, 0);
    error = token__keys_load(&keys, token__method("HS256"), oak_bytes(NULL, 0),
                             oak_bytes_str(secret), NULL);
    OAK_ASSERT_EQ(error, 0);
    (void)!oak_jwt_verify(j, oak_bytes(data, size), 0, name, &who);
    /* The first zero byte parts header and claims. */
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    size_t head = zero != NULL ? (size_t)(zero - data) : size;
    size_t behind = zero != NULL ? size - head - 1 : 0;
    struct oak_buf token = {0};
    error = token__base64_put(&token, oak_bytes(data, head));
    error = error != 0 ? error : oak_buf_append(&token, ".", 1);
    error = error != 0 ? error : token__base64_put(&token, oak_bytes(data + size - behind, behind));
    error =
        error != 0 ? error : token__sign(&keys, oak_buf_bytes(&token), signature, &signature_size);
    error = error != 0 ? error : oak_buf_append(&token, ".", 1);
    error = error != 0 ? error : token__base64_put(&token, oak_bytes(signature, signature_size));
    OAK_ASSERT_EQ(error, 0);
    who = (struct oak_authz_who){.revision = 0};
    if (oak_jwt_verify(j, oak_buf_bytes(&token), 0, name, &who) == 0) {
        OAK_ASSERT(who.user.size > 0 && who.user.size <= sizeof(name));
    }
    oak_buf_fini(&token);
    token__keys_fini(&keys);
    oak_jwt_free(j);
    return 0;
}
