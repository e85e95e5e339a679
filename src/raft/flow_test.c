/* SPDX-License-Identifier: Apache-2.0 */
/* flow_test.c: the window against simulated paths: a link of a rate and a delay, and a peer whose
 * disk syncs what has gathered. What is asserted holds for every path of the grid; a change of the
 * rules that fits one path and spoils another is seen. Time here is a number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "raft/internal.h"

#define MESSAGES    256
#define ENTRY_BYTES 936 /* 1000 with what an entry costs */
#define CEILING     ((size_t)8 * 1024 * 1024)
#define MS          1000u
#define SECOND      (1000 * MS)

/* A sender, the link, the peer's disk, and the way back. */
struct path {
    uint64_t rate;     /* bytes a second */
    uint64_t delay_us; /* one way */
    uint64_t sync_us;  /* 0: acknowledged as it comes */
    uint64_t think_us; /* 0: the sender always has more; else it has `burst` bytes this often */
    size_t burst;

    uint64_t now_us;
    uint64_t link_ns; /* when the link has sent all it was given */
    uint64_t sync_begin_us, sync_end_us;
    struct raft__flight flights[MESSAGES];
    struct raft__window w;
    uint64_t acks[MESSAGES]; /* when each message on the way will be acknowledged: a ring */
    size_t ack_first;
    uint64_t end;
    size_t has; /* with think_us: bytes to send */
    uint64_t think_at_us;
    uint64_t delivered;
    size_t queue_max; /* bytes that waited in front of the link */
    uint64_t count;
};

static void path_init(struct path *p, uint64_t rate, uint64_t round_trip_us, uint64_t sync_us)
{
    *p = (struct path){.rate = rate, .delay_us = round_trip_us / 2, .sync_us = sync_us};
    p->w.capacity = MESSAGES;
    p->now_us = 77;
}

static uint64_t sync_at(struct path *p, uint64_t arrives_us)
{
    if (p->sync_us == 0 || arrives_us <= p->sync_begin_us) {
        return p->sync_us == 0 ? arrives_us : p->sync_end_us;
    }
    p->sync_begin_us = OAK_MAX(arrives_us, p->sync_end_us); /* what came meanwhile goes together */
    p->sync_end_us = p->sync_begin_us + p->sync_us;
    return p->sync_end_us;
}

static void send_one(struct path *p, size_t entries, bool hungry)
{
    size_t at = (p->ack_first + p->w.count) % MESSAGES;
    size_t cost = entries * (ENTRY_BYTES + RAFT__ENTRY_OVERHEAD);
    uint64_t now_ns = p->now_us * 1000;
    p->link_ns = OAK_MAX(p->link_ns, now_ns) + cost * 1000000000u / p->rate;
    p->queue_max = OAK_MAX(p->queue_max, (size_t)((p->link_ns - now_ns) * p->rate / 1000000000u));
    p->acks[at] = sync_at(p, p->link_ns / 1000 + p->delay_us) + p->delay_us;
    p->end += entries;
    raft__window_push(&p->w, p->end, entries, entries * ENTRY_BYTES, hungry, p->now_us);
    p->count++;
}

static void send_all(struct path *p)
{
    const struct raft__room limits = {.bytes = CEILING, .entries = 65536, .cost = CEILING};
    struct raft__room room;
    p->w.flights = p->flights;
    while (raft__window_room(&p->w, ENTRY_BYTES, &limits, p->now_us, &room)) {
        size_t entries = OAK_MIN(OAK_MIN(room.bytes, (size_t)1024 * 1024) / ENTRY_BYTES,
                                 room.cost / (ENTRY_BYTES + RAFT__ENTRY_OVERHEAD));
        entries = OAK_MAX(OAK_MIN(entries, room.entries), (size_t)1);
        if (p->think_us != 0) {
            entries = OAK_MIN(entries, p->has / ENTRY_BYTES);
            p->has -= entries * ENTRY_BYTES;
        }
        if (entries == 0) {
            return;
        }
        send_one(p, entries, p->think_us != 0 && p->has < ENTRY_BYTES);
    }
}

static void path_run(struct path *p, uint64_t us)
{
    uint64_t until = p->now_us + us;
    for (;;) {
        while (p->think_us != 0 && p->think_at_us <= p->now_us) {
            p->has = p->burst;
            p->think_at_us = p->now_us + p->think_us;
        }
        send_all(p);
        uint64_t next = p->w.count > 0 ? p->acks[p->ack_first] : UINT64_MAX;
        next = p->think_us != 0 ? OAK_MIN(next, p->think_at_us) : next;
        if (next > until) {
            p->now_us = until;
            return;
        }
        p->now_us = next;
        while (p->w.count > 0 && p->acks[p->ack_first] <= p->now_us) {
            p->ack_first = (p->ack_first + 1) % MESSAGES;
            p->delivered += p->flights[p->w.first].cost;
            raft__window_free(&p->w, p->flights[p->w.first].end, p->now_us);
        }
    }
}

static uint64_t path_rate(struct path *p, uint64_t us)
{
    uint64_t before = p->delivered;
    p->queue_max = 0;
    path_run(p, us);
    return (p->delivered - before) * SECOND / us;
}

static const uint64_t rates[] = {125000, 1250000, 12500000, 125000000, 1250000000};
static const uint64_t trips[] = {100, 1 * MS, 10 * MS, 60 * MS, 200 * MS};
static const uint64_t syncs[] = {0, 1 * MS, 5 * MS, 40 * MS};

static void every_path_is_filled_soon_and_its_queue_stays_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(rates) * OAK_COUNT_OF(trips) * OAK_COUNT_OF(syncs); i++) {
        uint64_t rate = rates[i % 5], trip = trips[i / 5 % 5], sync = syncs[i / 25];
        uint64_t whole = trip + sync;
        struct path p;
        path_init(&p, rate, trip, sync);
        /* The window grows by half or more each round trip, from 32 KiB to 8 MiB at the most. */
        path_run(&p, 16 * (whole + sync));
        /* With a disk in it, a message waits for one sync before its own. */
        uint64_t most = OAK_MIN(rate, CEILING * SECOND / (whole + sync));
        uint64_t got = path_rate(&p, 20 * SECOND);
        /* A fifth for what the rate is overrated by now and then. */
        size_t queue = RAFT__FLOW_FLOOR + 36 * rate / 10 * OAK_MAX(whole, 20 * MS) / SECOND;
        if (got < most * 9 / 10 || p.queue_max > queue) {
            fail_msg("rate %llu, round trip %llu us, sync %llu us: %llu of %llu a second, queue "
                     "%zu of %zu, window %zu, base %llu us",
                     (unsigned long long)rate, (unsigned long long)trip, (unsigned long long)sync,
                     (unsigned long long)got, (unsigned long long)most, p.queue_max, queue,
                     raft__flow_window(&p.w.flow, CEILING, p.now_us),
                     (unsigned long long)p.w.flow.base_us);
        }
    }
}

static void a_slower_link_gets_a_smaller_window_and_a_faster_one_is_used(void **state)
{
    (void)state;
    struct path p;
    path_init(&p, 125000000, 20 * MS, 0);
    path_run(&p, 2 * SECOND);
    p.rate = 1250000;
    path_run(&p, 15 * SECOND); /* the queue of before drains, in seven seconds */
    assert_true(path_rate(&p, 5 * SECOND) >= 1125000);
    assert_in_range(p.queue_max, 1, RAFT__FLOW_FLOOR + 4 * p.rate * 20 * MS / SECOND);
    p.rate = 125000000;
    path_run(&p, 2 * SECOND);
    assert_true(path_rate(&p, 5 * SECOND) >= 112500000);
}

static void a_longer_way_is_learned_within_seconds(void **state)
{
    (void)state;
    struct path p;
    path_init(&p, 12500000, 2 * MS, 0);
    path_run(&p, 2 * SECOND);
    p.delay_us = 100 * MS;
    path_run(&p, 10 * SECOND);
    assert_in_range(p.w.flow.base_us, 200 * MS, 230 * MS);
    assert_true(path_rate(&p, 10 * SECOND) >= 11250000);
    p.delay_us = 1 * MS;
    path_run(&p, 12 * SECOND);
    assert_in_range(p.w.flow.base_us, 2 * MS, 20 * MS);
}

static void a_pause_and_a_trickle_shrink_nothing(void **state)
{
    (void)state;
    struct path p;
    path_init(&p, 125000000, 50 * MS, 0);
    path_run(&p, 3 * SECOND);
    size_t before = raft__flow_window(&p.w.flow, CEILING, p.now_us);
    assert_true(before >= CEILING);
    /* A kilobyte every 50 ms, for a minute. */
    p.think_us = 50 * MS;
    p.burst = ENTRY_BYTES;
    path_run(&p, 60 * SECOND);
    assert_int_equal(raft__flow_window(&p.w.flow, CEILING, p.now_us), before);
    /* Then nothing for an hour: one round trip, and it is as before. */
    p.now_us += 3600ull * SECOND;
    path_run(&p, 200 * MS);
    assert_int_equal(raft__flow_window(&p.w.flow, CEILING, p.now_us), before);
}

static void a_peer_that_never_answers_is_sent_next_to_nothing(void **state)
{
    (void)state;
    struct path p;
    path_init(&p, 125000000, 3600ull * SECOND, 0);
    path_run(&p, 60 * SECOND);
    assert_true(p.w.cost <= RAFT__FLOW_SOUNDING);
    assert_true(p.w.count > 0);
}

static void a_host_without_a_clock_gets_the_ceiling(void **state)
{
    (void)state;
    struct raft__flight flights[4];
    struct raft__window w = {.flights = flights, .capacity = 4};
    assert_int_equal(raft__flow_window(&w.flow, CEILING, 5000), RAFT__FLOW_SOUNDING);
    raft__window_push(&w, 1, 1, 1000, false, 5000);
    raft__window_free(&w, 1, 5000);
    assert_int_equal(raft__flow_window(&w.flow, CEILING, 5000), CEILING);
    assert_int_equal(raft__flow_window(&w.flow, 100, 5000), 100);
}

/* Whatever the times are: no overflow, and the window stays within its bounds. */
static void the_window_stays_within_its_bounds(void **state)
{
    (void)state;
    uint64_t random = 1;
    struct raft__flight flights[8];
    struct raft__window w = {.flights = flights, .capacity = 8};
    uint64_t now = 0, end = 0, acked = 0;
    for (int i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned dice = (unsigned)(random >> 60);
        now += (random >> 33 & 3) == 0 ? random >> (20 + dice * 2) : 0;
        now = now > UINT64_MAX / 4 ? 0 : now;
        if (now == 0 && i > 0) {
            w.count = w.first = 0;
            w.bytes = w.cost = w.entries = 0;
            w.flow = (struct raft__flow){0};
            acked = end;
        }
        if (w.count < w.capacity && dice < 9) {
            end += 1 + (random >> 40 & 63);
            raft__window_push(&w, end, 1 + (random >> 40 & 63), random >> 34 & 0xffffff,
                              (random >> 32 & 1) != 0, now);
        } else if (acked < end) {
            acked += 1 + (random >> 24) % (end - acked);
            raft__window_free(&w, acked, now);
        }
        size_t window = raft__flow_window(&w.flow, CEILING, now);
        assert_in_range(window, RAFT__FLOW_SOUNDING, CEILING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_is_filled_soon_and_its_queue_stays_short),
        cmocka_unit_test(a_slower_link_gets_a_smaller_window_and_a_faster_one_is_used),
        cmocka_unit_test(a_longer_way_is_learned_within_seconds),
        cmocka_unit_test(a_pause_and_a_trickle_shrink_nothing),
        cmocka_unit_test(a_peer_that_never_answers_is_sent_next_to_nothing),
        cmocka_unit_test(a_host_without_a_clock_gets_the_ceiling),
        cmocka_unit_test(the_window_stays_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
