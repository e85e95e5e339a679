/* SPDX-License-Identifier: Apache-2.0 */
/* prng.h: a small deterministic random generator (xoshiro256**, Blackman and Vigna 2018,
 * seeded by splitmix64). For timeouts, tests and the simulator; never for secrets. */
#ifndef OAK_BASE_PRNG_H
#define OAK_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct oak_prng {
    uint64_t s[4];
};

void oak_prng_init(struct oak_prng *p, uint64_t seed);
uint64_t oak_prng_u64(struct oak_prng *p);
/* Uniform in [0, bound); bound > 0. */
uint64_t oak_prng_below(struct oak_prng *p, uint64_t bound);
/* Uniform in [low, high], both included. */
uint64_t oak_prng_between(struct oak_prng *p, uint64_t low, uint64_t high);
/* True with probability parts / of. */
bool oak_prng_chance(struct oak_prng *p, uint64_t parts, uint64_t of);

#endif
