/* SPDX-License-Identifier: Apache-2.0 */
/* prng.c: xoshiro256** 1.0. */
#include "base/prng.h"

#include "base/assert.h"

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void oak_prng_init(struct oak_prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        p->s[i] = splitmix64(&seed);
    }
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t oak_prng_u64(struct oak_prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t oak_prng_below(struct oak_prng *p, uint64_t bound)
{
    OAK_ASSERT(bound > 0);
    uint64_t reject_below = (0 - bound) % bound;
    uint64_t x;
    do {
        x = oak_prng_u64(p);
    } while (x < reject_below);
    return x % bound;
}

uint64_t oak_prng_between(struct oak_prng *p, uint64_t low, uint64_t high)
{
    OAK_ASSERT_LE(low, high);
    if (low == 0 && high == UINT64_MAX) {
        return oak_prng_u64(p);
    }
    return low + oak_prng_below(p, high - low + 1);
}

bool oak_prng_chance(struct oak_prng *p, uint64_t parts, uint64_t of)
{
    return oak_prng_below(p, of) < parts;
}
