/* SPDX-License-Identifier: Apache-2.0 */
/* metadata_fuzz.c: what a client shows as a simple token, as base64, and as --auth-token. */
#include "token/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_bytes letters;
    uint64_t index = 0;
    if (oak_token_parse(oak_bytes(data, size), &letters, &index)) {
        OAK_ASSERT_EQ(letters.size, OAK_TOKEN_LETTERS);
    }
    uint8_t out[64];
    size_t got = 0;
    char *text = malloc(size + 1);
    OAK_ASSERT(text != NULL);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)data[i];
    }
    text[size] = '\0';
    if (oak_token_base64(text, out, sizeof(out), &got)) {
        OAK_ASSERT_LE(got, sizeof(out));
    }
    struct oak_token_options options;
    if (oak_token_options_parse(text, &options, NULL) == 0 && options.jwt) {
        OAK_ASSERT(token__method(options.method) != NULL);
    }
    free(text);
    return 0;
}
