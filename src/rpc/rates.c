/* SPDX-License-Identifier: Apache-2.0 */
/* rates.c: how often each of many clients may call, in memory that doesn't grow.
 *
 * Happy path   a client's name is hashed; its place in the table says from when on it has a full
 *              burst again. A call moves that time by one interval (the "generic cell rate
 *              algorithm": a token bucket in one number).
 * Can fail     new, for want of memory. A call too many: the answer says when to come again.
 * Invariants   a client's time is at most one burst ahead of now. A set that is full gives up the
 *              client that has been quiet longest: the one whose bucket is nearest to full.
 * Names        are chosen by clients, so the hash is keyed by a secret (SipHash-2-4, by Aumasson
 *              and Bernstein): nobody can aim at the place of another.
 * Thread       the server's.
 */
#include "rpc/internal.h"

#define WAYS 4

struct entry {
    uint64_t name;    /* hash; 0: free */
    uint64_t full_ns; /* when the burst is whole again */
};

struct rpc_rates {
    uint64_t key[2];
    uint64_t interval_ns;
    uint64_t burst_ns; /* of all calls of a burst but one */
    struct entry sets[RPC_RATE_CLIENTS_MAX / WAYS][WAYS];
};

/* -- the hash ---------------------------------------------------------------------------------- */

static uint64_t rotate(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t rpc__siphash(const uint64_t key[2], struct oak_bytes text)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t at = 0;
    for (; text.size - at >= 8; at += 8) {
        sip_word(v, oak_get_u64(text.data + at));
    }
    uint64_t last = (uint64_t)text.size << 56;
    for (size_t i = 0; at + i < text.size; i++) {
        last |= (uint64_t)text.data[at + i] << (8 * i);
    }
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* -- the table --------------------------------------------------------------------------------- */

int rpc__rates_new(uint32_t per_second, uint32_t burst, const uint64_t key[2],
                   struct rpc_rates **out)
{
    OAK_ASSERT(per_second > 0 && burst > 0);
    struct rpc_rates *r = rpc__resize(NULL, sizeof(*r));
    if (r == NULL) {
        return OAK_ENOMEM;
    }
    *r = (struct rpc_rates){
        .key = {key[0], key[1]},
        .interval_ns = OAK_MAX(RPC_SECOND_NS / per_second, (uint64_t)1),
    };
    r->burst_ns = r->interval_ns * (burst - 1); /* below 2^30 * 2^32 */
    *out = r;
    return 0;
}

void rpc__rates_free(struct rpc_rates *rates)
{
    rpc__resize(rates, 0);
}

static struct entry *entry_find(struct rpc_rates *r, uint64_t name)
{
    struct entry *set = r->sets[name % OAK_COUNT_OF(r->sets)];
    struct entry *oldest = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].name == name) {
            return &set[i];
        }
        if (set[i].full_ns < oldest->full_ns) {
            oldest = &set[i];
        }
    }
    *oldest = (struct entry){.name = name};
    return oldest;
}

uint64_t rpc__rates_take(struct rpc_rates *r, struct oak_bytes client, uint64_t now_ns)
{
    uint64_t name = rpc__siphash(r->key, client);
    struct entry *e = entry_find(r, OAK_MAX(name, (uint64_t)1));
    uint64_t full_ns = OAK_MAX(e->full_ns, now_ns);
    if (full_ns - now_ns > r->burst_ns) {
        return full_ns - now_ns - r->burst_ns;
    }
    e->full_ns = full_ns + r->interval_ns;
    return 0;
}
