/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.c: by the SSE 4.2 instruction where the processor has it, else by a table of nibbles. */
#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

static uint32_t crc_portable(uint32_t crc, const uint8_t *p, size_t size)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *p,
                                                               size_t size)
{
    uint64_t wide = crc;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
        p += 8;
        size -= 8;
    }
    crc = (uint32_t)wide;
    while (size > 0) {
        crc = __builtin_ia32_crc32qi(crc, *p);
        p++;
        size--;
    }
    return crc;
}
#endif

uint32_t oak_crc32c(uint32_t crc, const void *data, size_t size)
{
    if (size == 0) {
        return crc;
    }
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc_hardware(crc, data, size);
    }
#endif
    return ~crc_portable(crc, data, size);
}
