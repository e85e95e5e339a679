/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.c: from the target to addresses, again and again.
 *
 * Happy path   wanted → asked, not sooner than the pause after the last time → the backends are
 *              replaced by what came.
 * Can fail     the look-up: what was known stays in use; asked again with back-off. When nothing
 *              was ever known the channel is failing.
 * Invariants   one look-up at a time; a target that is a list is never looked up.
 * Thread       the loop's.
 */
#include "channel/internal.h"

static void use_target(struct oak_channel *channel)
{
    const char *list[CHANNEL_ADDRESSES_MAX];
    const struct channel_target *t = &channel->target;
    size_t at = 0;
    for (size_t i = 0; i < t->count; i++) {
        list[i] = (const char *)t->addresses.data + at;
        at += strlen(list[i]) + 1;
    }
    if (channel__backends_set(channel, list, t->count) == 0) {
        channel->resolved = true;
        return;
    }
    channel__error_set(channel, list[0], OAK_ENOMEM);
    channel->failing = true;
    channel__timer_set(channel, &channel->turn,
                       channel__now(channel) + channel->options.backoff_first_ns);
}

static void failed(struct oak_channel *channel, int error)
{
    const struct oak_channel_options *o = &channel->options;
    uint64_t base_ns = channel->lookup_backoff_ns;
    base_ns = OAK_MIN(base_ns != 0 ? base_ns : o->backoff_first_ns, o->backoff_max_ns);
    channel->lookup_backoff_ns = base_ns + base_ns * 3 / 5;
    uint64_t delay_ns =
        oak_prng_between(&channel->prng, base_ns - base_ns / 5, base_ns + base_ns / 5);
    channel__timer_set(channel, &channel->lookup, channel__now(channel) + delay_ns);
    if (!channel->resolved) {
        channel__error_set(channel, (const char *)channel->target.addresses.data, error);
        channel->failing = true;
    }
}

static void looked_up(void *arg, int error, const char *const *addresses, size_t count)
{
    struct oak_channel *channel = arg;
    channel->looking_up = false;
    if (channel->closing) {
        channel__free_if_over(channel);
        return;
    }
    if (channel->idle && (error != 0 || !channel->resolved)) {
        return; /* asked again when it is not */
    }
    if (error == 0) {
        error = channel__backends_set(channel, addresses, count);
    }
    if (error != 0) {
        failed(channel, error);
    } else {
        channel->lookup_backoff_ns = 0;
        channel->resolved = true;
    }
    channel__balance(channel);
}

static void lookup_fire(struct oak_timer *timer)
{
    struct oak_channel *channel = OAK_CONTAINER_OF(timer, struct oak_channel, lookup);
    const struct oak_net *net = &channel->loop.net;
    channel->stats.lookups++;
    channel->lookup_ns = OAK_MAX(channel__now(channel), (uint64_t)1);
    channel->looking_up = true;
    int error = net->resolve(net->user, (const char *)channel->target.addresses.data,
                             CHANNEL_LOOKUP_NS, looked_up, channel);
    if (error != 0) {
        looked_up(channel, error, NULL, 0);
    }
}

void channel__resolve(struct oak_channel *channel)
{
    if (!channel->target.lookup || channel->loop.net.resolve == NULL) {
        if (!channel->resolved) {
            use_target(channel);
        }
        return;
    }
    if (channel->looking_up || channel->lookup.running) {
        return;
    }
    uint64_t due_ns = channel__now(channel);
    if (channel->lookup_ns != 0) {
        due_ns = OAK_MAX(due_ns, channel->lookup_ns + channel->options.resolve_pause_ns);
    }
    channel__timer_set(channel, &channel->lookup, due_ns);
}

void channel__resolve_init(struct oak_channel *channel)
{
    channel->lookup.fire = lookup_fire;
}
