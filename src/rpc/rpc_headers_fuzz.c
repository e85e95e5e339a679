/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_headers_fuzz.c: header values of a peer: what is decoded is what was encoded. */
#include "rpc/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_timeout(struct oak_bytes text)
{
    uint64_t ns;
    if (rpc__timeout_parse(text, &ns) == 0) {
        char out[RPC_TIMEOUT_TEXT_BYTES];
        uint64_t back;
        size_t length = rpc__timeout_format(ns, out);
        int error = rpc__timeout_parse(oak_bytes(out, length), &back);
        OAK_ASSERT_EQ(error, 0);
        OAK_ASSERT_GE(back, ns);
    }
}

static void fuzz_percent(struct oak_bytes text)
{
    struct oak_buf coded = {0};
    struct oak_buf back = {0};
    if (rpc__percent_encode(&coded, text) == 0 &&
        rpc__percent_decode(&back, oak_buf_bytes(&coded)) == 0) {
        OAK_ASSERT(oak_bytes_eq(oak_buf_bytes(&back), text));
    }
    oak_buf_clear(&back);
    if (rpc__percent_decode(&back, text) == 0) {
        OAK_ASSERT_LE(back.size, text.size);
    }
    oak_buf_fini(&coded);
    oak_buf_fini(&back);
}

static void fuzz_base64(struct oak_bytes text)
{
    struct oak_buf coded = {0};
    struct oak_buf back = {0};
    if (rpc__base64_encode(&coded, text) == 0) {
        int error = rpc__base64_decode(&back, oak_buf_bytes(&coded));
        OAK_ASSERT(error == 0 || error == OAK_ENOMEM);
        OAK_ASSERT(error != 0 || oak_bytes_eq(oak_buf_bytes(&back), text));
    }
    oak_buf_clear(&back);
    int error = rpc__base64_decode(&back, text);
    OAK_ASSERT(error == 0 || back.size == 0);
    oak_buf_fini(&coded);
    oak_buf_fini(&back);
}

static void fuzz_pairs(struct oak_bytes text)
{
    struct oak_buf pairs = {0};
    size_t cut = text.size > 0 ? text.data[0] % text.size : 0;
    struct oak_bytes name = oak_bytes(text.data, cut);
    struct oak_bytes value = cut < text.size ? oak_bytes(text.data + cut, text.size - cut) : name;
    int errors[] = {rpc__pairs_add_wire(&pairs, oak_bytes_str("k-bin"), value),
                    rpc__pairs_add_wire(&pairs, name, value),
                    rpc__pairs_add_user(&pairs, (struct oak_rpc_pair){name, value})};
    struct oak_rpc_pair pair;
    size_t at = 0;
    size_t count = 0;
    while (rpc__pairs_next(&pairs, &at, &pair)) {
        count++;
    }
    OAK_ASSERT_EQ(at, pairs.size);
    OAK_ASSERT(errors[0] != 0 || count > 0);
    OAK_ASSERT(errors[1] != 0 || count > 0);
    OAK_ASSERT(errors[2] != 0 || count > 0);
    oak_buf_fini(&pairs);
}

static void fuzz_encodings(struct oak_bytes text)
{
    enum oak_rpc_encoding encoding;
    bool known = rpc__encoding_parse(text, &encoding);
    uint8_t set = rpc__encodings_parse(text);
    OAK_ASSERT_LT(set, 8);
    OAK_ASSERT(!known || set == 1u << encoding);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_bytes text = oak_bytes(data, size);
    fuzz_timeout(text);
    fuzz_percent(text);
    fuzz_base64(text);
    fuzz_pairs(text);
    fuzz_encodings(text);
    return 0;
}
