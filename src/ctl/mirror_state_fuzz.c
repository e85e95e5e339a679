/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_state_fuzz.c: any bytes as the state of a mirror: what was taken is written as a text that
 * is taken again, and then is the same.
 */
#include "ctl/mirror.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mirror_state first = {0};
    struct mirror_state second = {0};
    struct oak_buf prefix = {0};
    struct oak_buf again = {0};
    struct oak_buf text = {0};
    if (mirror__state_read(oak_bytes(data, size), &first, &prefix) == 0) {
        OAK_ASSERT_EQ(mirror__state_write(&first, oak_buf_bytes(&prefix), &text), 0);
        OAK_ASSERT_EQ(mirror__state_read(oak_buf_bytes(&text), &second, &again), 0);
        OAK_ASSERT(first.phase == second.phase && first.cluster == second.cluster);
        OAK_ASSERT(first.revision == second.revision && first.part == second.part);
        OAK_ASSERT(oak_bytes_eq(oak_buf_bytes(&prefix), oak_buf_bytes(&again)));
        OAK_ASSERT(oak_bytes_eq(oak_buf_bytes(&first.at), oak_buf_bytes(&second.at)));
    }
    oak_buf_fini(&first.at);
    oak_buf_fini(&second.at);
    oak_buf_fini(&prefix);
    oak_buf_fini(&again);
    oak_buf_fini(&text);
    return 0;
}
