/* SPDX-License-Identifier: Apache-2.0 */
/* sha1.c: SHA-1 (RFC 3174) for etcd's member and cluster ids.
 *
 * Happy path   fill a block of 64 bytes, stir it in, end with the size in bits.
 * Can fail     nothing. Why here two ids at start-up would be the only use of libcrypto in a
 *              build without TLS, so sixty lines with the published test vectors are the smaller
 *              debt. Not for security: SHA-1 is broken as such, and here it only has to agree
 *              with etcd.
 */
#include "server/sha1.h"

#include <string.h>

#include "base/bytes.h"

static uint32_t rotate(uint32_t x, unsigned by)
{
    return (x << by) | (x >> (32 - by));
}

static void stir(struct server__sha1 *h, const uint8_t *block)
{
    uint32_t w[80];
    for (size_t i = 0; i < 16; i++) {
        w[i] = oak_get_be32(block + 4 * i);
    }
    for (size_t i = 16; i < 80; i++) {
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = h->state[0];
    uint32_t b = h->state[1];
    uint32_t c = h->state[2];
    uint32_t d = h->state[3];
    uint32_t e = h->state[4];
    for (size_t i = 0; i < 80; i++) {
        uint32_t f;
        if (i < 20) {
            f = ((b & c) | (~b & d)) + 0x5a827999u;
        } else if (i < 40) {
            f = (b ^ c ^ d) + 0x6ed9eba1u;
        } else if (i < 60) {
            f = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
        } else {
            f = (b ^ c ^ d) + 0xca62c1d6u;
        }
        uint32_t next = rotate(a, 5) + f + e + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h->state[0] += a;
    h->state[1] += b;
    h->state[2] += c;
    h->state[3] += d;
    h->state[4] += e;
}

void server__sha1_init(struct server__sha1 *h)
{
    *h = (struct server__sha1){
        .state = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u}};
}

void server__sha1_add(struct server__sha1 *h, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        size_t used = (size_t)(h->size % 64);
        size_t take = OAK_MIN(size, 64 - used);
        memcpy(h->block + used, at, take);
        h->size += take;
        at += take;
        size -= take;
        if (h->size % 64 == 0) {
            stir(h, h->block);
        }
    }
}

void server__sha1_end(struct server__sha1 *h, uint8_t out[SERVER__SHA1_BYTES])
{
    static const uint8_t pad[64] = {0x80};
    uint8_t bits[8];
    oak_put_be64(bits, h->size * 8);
    size_t used = (size_t)(h->size % 64);
    server__sha1_add(h, pad, used < 56 ? 56 - used : 120 - used);
    server__sha1_add(h, bits, sizeof(bits));
    OAK_ASSERT_EQ(h->size % 64, 0);
    for (size_t i = 0; i < 5; i++) {
        oak_put_be32(out + 4 * i, h->state[i]);
    }
}
