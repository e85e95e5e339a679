/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4): reflected, initial and final all ones. */
#ifndef OAK_BASE_CRC32C_H
#define OAK_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `data` behind what `crc` already covers (0 to start). */
uint32_t oak_crc32c(uint32_t crc, const void *data, size_t size);

#endif
