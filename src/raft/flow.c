/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c: how much may be on the way to one peer: as much as its path holds, and not much more.
 *
 * What a path holds is its rate times its round trip. Both are measured from acknowledgements: the
 * round trip from the sending of a message to its acknowledgement, when little was ahead of it, so
 * that it is the path's own (network, and the peer's disk) and not our queue's; the rate from what
 * was acknowledged in the time between. The window is GAIN times their product:
 *
 *     a path that isn't full acknowledges a window each round trip, so the window grows by GAIN
 *     with each of them, until the path is full; then the rate stands still, and so does the
 *     window: at most GAIN - 1 times what the path holds waits in front of it.
 *
 * The smallest round trip goes stale. At first, and every BASE_AGE_US, the window is an eighth of
 * what the path holds until a message that found it as empty is acknowledged: about two round
 * trips, for one of which the path still has our queue to send. The rate is the largest of the last
 * 4 to 8 round trips. A sender that had nothing more to send proves nothing: such a
 * measurement may raise the rate, never lower it, and ages nothing, so that a pause costs nothing.
 * Group commit on the peer's disk makes acknowledgements come in heaps; BASE_MIN_US keeps the
 * window over what gathers between two of them.
 *
 * A host whose clock stands still between ticks (oak_raft_clock is never called) measures round
 * trips of nothing and rates without end: its window is the ceiling, which was all there once was.
 *
 * Sources: Cardwell and others, "BBR: Congestion-Based Congestion Control" (2016), and the draft
 * on delivery rate estimation (draft-cheng-iccrg-delivery-rate-estimation): the larger of the time
 * between sendings and the time between acknowledgements.
 *
 * Invariants   SOUNDING <= window, FLOOR <= window but while sounding, window <= ceiling.
 * Thread       the core's; pure functions of a peer's numbers.
 */
#include "raft/internal.h"

#define SECOND_US    1000000u
#define GAIN         3u
#define BASE_AGE_US  (10 * SECOND_US)
#define BASE_MIN_US  20000u
#define BASE_MAX_US  (60 * SECOND_US)
#define EPOCH_ROUNDS 4u
/* Bytes a second, and bytes: so that GAIN * rate * base fits 64 bits. */
#define RATE_MAX  ((uint64_t)1 << 36)
#define DELTA_MAX ((uint64_t)1 << 40)

static uint64_t rate_of(const struct raft__flow *f)
{
    return OAK_MAX(f->rate_now, f->rate_before);
}

/* What fits into the path. */
static uint64_t path_bytes(const struct raft__flow *f, uint64_t base_us)
{
    return rate_of(f) * base_us / SECOND_US;
}

/* So little that the path's own round trip is seen. */
static uint64_t sounding_bytes(const struct raft__flow *f)
{
    return OAK_MAX(path_bytes(f, f->base_us) / 8, (uint64_t)RAFT__FLOW_SOUNDING);
}

static bool base_stale(const struct raft__flow *f, uint64_t now_us)
{
    return f->base_us == 0 || f->unsure || now_us - f->base_at_us >= BASE_AGE_US;
}

size_t raft__flow_window(const struct raft__flow *f, size_t ceiling, uint64_t now_us)
{
    uint64_t window = sounding_bytes(f);
    if (!base_stale(f, now_us)) {
        window = GAIN * path_bytes(f, OAK_MAX(f->base_us, (uint64_t)BASE_MIN_US));
        window = OAK_MAX(window, (uint64_t)RAFT__FLOW_FLOOR);
    }
    return (size_t)OAK_MIN(window, (uint64_t)ceiling);
}

void raft__flow_sent(struct raft__flow *f, struct raft__flight *flight, size_t ahead, bool hungry,
                     uint64_t now_us)
{
    if (ahead == 0) {
        /* Nothing is on the way: the time since the last acknowledgement says nothing. */
        f->acked_us = now_us;
        f->acked_sent_us = now_us;
    }
    flight->sent_us = now_us;
    flight->acked_us = f->acked_us;
    flight->acked_sent_us = f->acked_sent_us;
    flight->delivered = f->delivered;
    flight->alone =
        ahead + flight->cost <= sounding_bytes(f) || (ahead == 0 && flight->entries == 1);
    if (hungry) {
        f->hungry_until = f->delivered + ahead + flight->cost;
    }
    flight->hungry = f->hungry_until > f->delivered;
}

static void base_note(struct raft__flow *f, uint64_t us, bool alone, uint64_t now_us)
{
    us = OAK_MIN(OAK_MAX(us, 1u), (uint64_t)BASE_MAX_US);
    if (f->base_us == 0 || us <= f->base_us || (alone && base_stale(f, now_us))) {
        f->base_us = us;
        f->base_at_us = now_us;
        f->unsure = false;
    }
}

static void rate_note(struct raft__flow *f, const struct raft__flight *flight, uint64_t now_us)
{
    uint64_t between_acks = now_us - flight->acked_us;
    uint64_t between_sends = flight->sent_us - flight->acked_sent_us;
    uint64_t elapsed = OAK_MAX(OAK_MAX(between_acks, between_sends), 1u);
    uint64_t delta = OAK_MIN(f->delivered - flight->delivered, DELTA_MAX);
    uint64_t rate = OAK_MIN(delta * SECOND_US / elapsed, RATE_MAX);
    /* By what is known nothing waits for longer than GAIN round trips. The path has changed: what
     * is known of its rate is forgotten, its round trip is measured again. */
    if (now_us - flight->sent_us > 2 * GAIN * OAK_MAX(f->base_us, (uint64_t)BASE_MIN_US)) {
        f->unsure = true;
        f->rate_before = 0;
        f->rate_now = rate;
        f->rounds = 1;
        return;
    }
    if (flight->hungry) {
        f->rate_now = rate > rate_of(f) ? rate : f->rate_now;
        return;
    }
    if (flight->delivered >= f->round) { /* what was sent behind the last round is back */
        f->round = f->delivered;
        f->rounds++;
    }
    if (f->rounds > EPOCH_ROUNDS) {
        f->rounds = 1;
        f->rate_before = f->rate_now;
        f->rate_now = 0;
    }
    f->rate_now = OAK_MAX(f->rate_now, rate);
}

void raft__flow_acked(struct raft__flow *f, const struct raft__flight *newest, size_t cost,
                      uint64_t now_us)
{
    OAK_ASSERT_LE(newest->sent_us, now_us);
    OAK_ASSERT_LE(newest->acked_us, newest->sent_us);
    f->delivered += cost;
    base_note(f, now_us - newest->sent_us, newest->alone, now_us);
    rate_note(f, newest, now_us);
    f->acked_us = now_us;
    f->acked_sent_us = newest->sent_us;
}

void raft__flow_broken(struct raft__flow *f)
{
    /* What was on the way is not awaited any more; the path is taken to be what it was. */
    f->hungry_until = f->delivered;
}

uint64_t raft__flow_rate(const struct raft__flow *f)
{
    return rate_of(f);
}
