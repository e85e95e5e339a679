/* SPDX-License-Identifier: Apache-2.0 */
/* held_test.c: what of the log a follower still needs. */
#include "replica/held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static uint64_t held(struct oak_raft_peer_status p, uint64_t first, uint64_t snapshot)
{
    p.active = true;
    const struct held_view view = {.first = first, .snapshot = snapshot, .away_ms = 10000};
    return held_for(&p, &view);
}

/* A follower that had just got its snapshot was sent one after the other for ever: frames overtook
 * each other, the leader probed above the match, and the log between the two went. */
static void a_probe_above_the_match_gives_nothing_up(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_PROBE, .match = 1236, .next = 1239};
    assert_int_equal(held(p, 1237, 0), 1236);
    assert_int_equal(held(p, 20, 0), 1236);
}

static void a_new_leader_goes_by_where_it_will_look(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {.state = OAK_RAFT_PEER_PROBE, .match = 0, .next = 40};
    assert_int_equal(held(p, 1, 0), 39);
}

/* The snapshot is there, its acknowledgement is not: what is known to match is long gone. */
static void behind_a_snapshot_goes_by_where_it_will_look(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {.state = OAK_RAFT_PEER_PROBE, .match = 12, .next = 1240};
    assert_int_equal(held(p, 1240, 0), 1239);
    assert_int_equal(held(p, 1241, 0), HELD_NOTHING);
}

static void what_is_on_its_way_is_not_there_yet(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_REPLICATE, .match = 10, .next = 40};
    assert_int_equal(held(p, 11, 0), 10);
    assert_int_equal(held(p, 12, 0), HELD_NOTHING);
}

static void a_snapshot_under_way_brings_all_up_to_its_index(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_SNAPSHOT, .match = 10, .next = 11};
    assert_int_equal(held(p, 60, 77), 77);
    assert_int_equal(held(p, 60, 0), HELD_NOTHING);
}

/* A follower whose process got no time for a second lost the log behind the snapshot that it had
 * just installed, and was sent all of the next one. */
static void a_short_silence_is_waited_out(void **state)
{
    (void)state;
    struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_REPLICATE, .match = 10, .next = 40, .silent_ms = 9999};
    struct held_view view = {.first = 5, .away_ms = 10000};
    assert_int_equal(held_for(&p, &view), 10);
    p.silent_ms = 10000;
    assert_int_equal(held_for(&p, &view), HELD_NOTHING);
    p.active = true; /* an election time-out that is longer still */
    assert_int_equal(held_for(&p, &view), 10);
    p.active = false;
    p.state = OAK_RAFT_PEER_SNAPSHOT;
    view.snapshot = 30;
    assert_int_equal(held_for(&p, &view), 30);
}

/* The leader lost the lead while it sent a snapshot, and got it back: it looked at its log's end,
 * and cut off what comes behind the snapshot. */
static void a_snapshot_of_an_earlier_lead_is_remembered(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {.state = OAK_RAFT_PEER_PROBE, .match = 0, .next = 90};
    assert_int_equal(held(p, 60, 77), 77);
    assert_int_equal(held(p, 78, 77), 77);
    assert_int_equal(held(p, 79, 77), 89);
    assert_int_equal(held(p, 60, 95), 89);
}

/* A leader that was elected in the middle of another's snapshot offered its own, and cut its log up
 * to that while the receiver was away: all of the older one was followed by all of a second. */
static void an_offer_without_an_answer_gives_nothing_up(void **state)
{
    (void)state;
    struct oak_raft_peer_status p = {.state = OAK_RAFT_PEER_SNAPSHOT, .silent_ms = 9999};
    struct held_view view = {.first = 60, .snapshot = 77, .offered = true, .away_ms = 10000};
    assert_int_equal(held_for(&p, &view), 59);
    p.silent_ms = 10000;
    assert_int_equal(held_for(&p, &view), 77);
    p.active = true;
    assert_int_equal(held_for(&p, &view), 59);
    view.offered = false;
    assert_int_equal(held_for(&p, &view), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_above_the_match_gives_nothing_up),
        cmocka_unit_test(a_new_leader_goes_by_where_it_will_look),
        cmocka_unit_test(behind_a_snapshot_goes_by_where_it_will_look),
        cmocka_unit_test(what_is_on_its_way_is_not_there_yet),
        cmocka_unit_test(a_snapshot_under_way_brings_all_up_to_its_index),
        cmocka_unit_test(a_short_silence_is_waited_out),
        cmocka_unit_test(a_snapshot_of_an_earlier_lead_is_remembered),
        cmocka_unit_test(an_offer_without_an_answer_gives_nothing_up),
    };
    return cmocka_run_group_tests_name("replica/held", tests, NULL, NULL);
}
