/* SPDX-License-Identifier: Apache-2.0 */
/* order.c: in which order the addresses of a target are tried.
 *
 * Happy path   the order that was given; shuffled if the service config says so; then, for
 *              pick_first, an address of each family in turn, so that a family that leads nowhere
 *              costs one pace and not one for each of its addresses.
 * Invariants   every index comes once. Among those of a family the order stays.
 * Thread       any.
 *
 * Sources: RFC 8305, section 4; gRFC A61, A62.
 */
#include "channel/internal.h"

enum family { FAMILY_IP4, FAMILY_IP6, FAMILY_OTHER, FAMILY_COUNT };

/* Names and unix sockets are a family of their own. */
static enum family family_of(const char *address)
{
    if (address[0] == '[') {
        return FAMILY_IP6;
    }
    size_t size = strspn(address, "0123456789.");
    return size > 0 && address[size] == ':' ? FAMILY_IP4 : FAMILY_OTHER;
}

static void shuffle(struct oak_prng *prng, uint16_t *order, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)oak_prng_below(prng, i);
        uint16_t swap = order[i - 1];
        order[i - 1] = order[other];
        order[other] = swap;
    }
}

/* Families in the order of their first addresses. */
static void interleave(const char *const *addresses, uint16_t *order, size_t count)
{
    uint16_t queues[FAMILY_COUNT][CHANNEL_ADDRESSES_MAX];
    size_t queued[FAMILY_COUNT] = {0};
    enum family turns[FAMILY_COUNT];
    size_t turn_count = 0;
    for (size_t i = 0; i < count; i++) {
        enum family f = family_of(addresses[order[i]]);
        if (queued[f] == 0) {
            turns[turn_count++] = f;
        }
        queues[f][queued[f]++] = order[i];
    }
    size_t filled = 0;
    for (size_t round = 0; filled < count; round++) {
        for (size_t i = 0; i < turn_count; i++) {
            enum family f = turns[i];
            if (round < queued[f]) {
                order[filled++] = queues[f][round];
            }
        }
    }
}

void channel__order(struct oak_channel *channel, const char *const *addresses, uint16_t *order,
                    size_t count)
{
    OAK_ASSERT(count <= CHANNEL_ADDRESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        order[i] = (uint16_t)i;
    }
    if (channel->config.shuffle) {
        shuffle(&channel->prng, order, count);
    }
    if (channel->policy == CHANNEL_PICK_FIRST) {
        interleave(addresses, order, count);
    }
}
