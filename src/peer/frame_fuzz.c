/* SPDX-License-Identifier: Apache-2.0 */
/* frame_fuzz.c: any bytes, with the checksum made right so that the fuzzer gets behind it. */
#include <stdlib.h>

#include "peer/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_arena arena;
    struct oak_peer_frame frame;
    oak_arena_init(&arena, 4096, OAK_MIB);
    (void)oak_peer_decode(oak_bytes(data, size), &arena, &frame);
    uint8_t *copy = malloc(size + 1);
    if (copy != NULL && size >= 8) {
        memcpy(copy, data, size);
        oak_put_u16(copy, 0x4b4f);
        copy[2] = 1;
        oak_put_u32(copy + 4, oak_crc32c(0, copy + 8, size - 8));
        int error = oak_peer_decode(oak_bytes(copy, size), &arena, &frame);
        struct oak_buf out = {0};
        if (error == 0 && oak_peer_encode(&frame, &out) != 0) {
            abort();
        }
        oak_buf_fini(&out);
    }
    free(copy);
    oak_arena_fini(&arena);
    return 0;
}
