/* SPDX-License-Identifier: Apache-2.0 */
/* held_test.c: what of the log a follower still needs. */
#include "replica/held.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* A follower that had just got its snapshot was sent one after the other for ever: frames overtook
 * each other, the leader probed above the match, and the log between the two went. */
static void a_probe_above_the_match_gives_nothing_up(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_PROBE, .match = 1236, .next = 1239};
    assert_int_equal(held_above(&p, 0), 1236);
}

static void a_new_leader_goes_by_where_it_will_look(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {.state = OAK_RAFT_PEER_PROBE, .match = 0, .next = 40};
    assert_int_equal(held_above(&p, 0), 39);
}

static void what_is_on_its_way_is_not_there_yet(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_REPLICATE, .match = 10, .next = 40};
    assert_int_equal(held_above(&p, 0), 10);
}

static void a_snapshot_under_way_brings_all_up_to_its_index(void **state)
{
    (void)state;
    const struct oak_raft_peer_status p = {
        .state = OAK_RAFT_PEER_SNAPSHOT, .match = 10, .next = 11};
    assert_int_equal(held_above(&p, 77), 77);
    assert_int_equal(held_above(&p, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_above_the_match_gives_nothing_up),
        cmocka_unit_test(a_new_leader_goes_by_where_it_will_look),
        cmocka_unit_test(what_is_on_its_way_is_not_there_yet),
        cmocka_unit_test(a_snapshot_under_way_brings_all_up_to_its_index),
    };
    return cmocka_run_group_tests_name("replica/held", tests, NULL, NULL);
}
