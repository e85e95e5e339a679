/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_fuzz.c: bytes that claim to be packed; and bytes packed, which must come back. */
#include "zip/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    enum oak_zip_form form = (data[0] & 1) != 0 ? OAK_ZIP_GZIP : OAK_ZIP_ZLIB;
    size_t limit = (size_t)data[1] << (data[0] >> 4);
    struct oak_bytes bytes = oak_bytes(data + 2, size - 2);
    struct oak_zip zip = {0};
    struct oak_buf out = {0};
    int error = oak_zip_unpack(&zip, form, bytes, limit, &out);
    OAK_ASSERT(error == 0 || out.size == 0);
    OAK_ASSERT_LE(out.size, limit);
    oak_buf_clear(&out);
    struct oak_buf packed = {0};
    if (oak_zip_pack(&zip, form, bytes, &packed) == 0) {
        OAK_ASSERT_LT(packed.size, bytes.size);
        error = oak_zip_unpack(&zip, form, oak_buf_bytes(&packed), bytes.size, &out);
        OAK_ASSERT_EQ(error, 0);
        OAK_ASSERT(oak_bytes_eq(oak_buf_bytes(&out), bytes));
    }
    oak_buf_fini(&packed);
    oak_buf_fini(&out);
    oak_zip_fini(&zip);
    return 0;
}
