/* SPDX-License-Identifier: Apache-2.0 */
/* space_test.c: a member whose store finds no space, while its log does. */
#include "sim/transfer_fixture.h"

/* The store of `victim` is full, and has as much waiting as it may: entries wait too. */
static void fill(struct scene *sc)
{
    sc->disk.store_full = true;
    SCENE_UNTIL(sc, 60000,
                (scene_puts(sc, sc->other, 1), scene_status(sc, sc->victim)).entries_held > 5);
    struct oak_replica_status status = scene_status(sc, sc->victim);
    assert_true(status.store_full && status.disk_scarce);
    assert_true(status.store_waiting >= sc->s->plan.flush_bytes);
    assert_true(status.store_waiting < 2 * sc->s->plan.flush_bytes);
    assert_true(status.applied < status.raft.commit);
}

static struct scene *begin(uint64_t seed)
{
    struct scene *sc = scene_new(seed, 0);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    return sc;
}

static void a_follower_whose_store_is_full_lags_and_heals(void **state)
{
    (void)state;
    struct scene *sc = begin(11);
    fill(sc);
    uint64_t applied = scene_status(sc, sc->victim).applied;
    scene_puts(sc, sc->leader, 50);
    assert_int_equal(scene_status(sc, sc->victim).applied, applied);
    sc->disk.store_full = false;
    SCENE_UNTIL(sc, 5000, !scene_status(sc, sc->victim).store_full);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->victim).entries_held == 0);
    assert_int_equal(scene_status(sc, sc->victim).store_waiting, 0);
    scene_end(sc);
}

static void a_crash_in_that_state_loses_nothing(void **state)
{
    (void)state;
    struct scene *sc = begin(12);
    fill(sc);
    sim__node_crash(&sc->s->nodes[sc->victim]);
    SCENE_UNTIL(sc, 10000, sc->s->nodes[sc->victim].up);
    /* It replays its log, until the store is full again. */
    SCENE_UNTIL(sc, 60000, (scene_puts(sc, sc->other, 1), scene_status(sc, sc->victim)).store_full);
    sc->disk.store_full = false;
    scene_end(sc);
}

static void a_snapshot_brings_what_waits_and_more(void **state)
{
    (void)state;
    struct scene *sc = begin(13);
    fill(sc);
    scene_leave_behind(sc);
    assert_true(scene_status(sc, sc->victim).entries_held > 5);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 2);
    SCENE_UNTIL(sc, 5000, !scene_status(sc, sc->victim).installing);
    assert_int_equal(scene_status(sc, sc->victim).entries_held, 0);
    sc->disk.store_full = false;
    scene_end(sc);
}

static void a_leader_whose_store_is_full_lets_another_lead(void **state)
{
    (void)state;
    struct scene *sc = begin(14);
    /* Only a follower that has told its load of late is thought of. */
    scene_run(sc, 2000);
    assert_int_equal(
        oak_replica_transfer(sim__first(sc->s, sc->leader)->replica, sc->s->nodes[sc->victim].id),
        0);
    SCENE_UNTIL(sc, 10000, scene_leader(sc) == sc->victim);
    sc->disk.store_full = true;
    SCENE_UNTIL(sc, 60000, (scene_puts(sc, sc->other, 1), scene_leader(sc)) != sc->victim);
    scene_puts(sc, sc->victim, 20);
    sc->disk.store_full = false;
    scene_end(sc);
}

/* On a file system that needs space to write over what is there. */
static void what_is_remembered_of_others_waits_for_space(void **state)
{
    (void)state;
    struct scene *sc = begin(17);
    const uint64_t other = sc->s->nodes[sc->other].id;
    struct oak_replica *victim = sim__first(sc->s, sc->victim)->replica;
    struct oak_peer_memory before, now;
    assert_true(oak_replica_remembers(victim, other, &before));
    sc->disk.past_full = true;
    sim__node_crash(&sc->s->nodes[sc->other]);
    SCENE_UNTIL(sc, 10000, sc->s->nodes[sc->other].up);
    scene_run(sc, 3000);
    assert_true(oak_replica_remembers(victim, other, &now));
    assert_int_equal(now.run, before.run);
    /* Its power goes, with one slot half written, again and again: the other one is whole. */
    sim__node_crash(&sc->s->nodes[sc->victim]);
    sc->disk.past_full = false;
    SCENE_UNTIL(sc, 10000, sc->s->nodes[sc->victim].up);
    sc->disk.past_full = true;
    sim__node_crash(&sc->s->nodes[sc->other]);
    SCENE_UNTIL(sc, 10000, sc->s->nodes[sc->other].up);
    scene_run(sc, 3000);
    sc->disk.past_full = false;
    victim = sim__first(sc->s, sc->victim)->replica;
    SCENE_UNTIL(sc, 2000, oak_replica_remembers(victim, other, &now) && now.run != before.run);
    assert_int_equal(scene_status(sc, sc->victim).past, OAK_PEER_SOUND);
    scene_end(sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_whose_store_is_full_lags_and_heals),
        cmocka_unit_test(a_crash_in_that_state_loses_nothing),
        cmocka_unit_test(a_snapshot_brings_what_waits_and_more),
        cmocka_unit_test(a_leader_whose_store_is_full_lets_another_lead),
        cmocka_unit_test(what_is_remembered_of_others_waits_for_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
