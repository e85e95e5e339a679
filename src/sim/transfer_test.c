/* SPDX-License-Identifier: Apache-2.0 */
/* transfer_test.c: a member that the log has left behind, and all that may happen while it is sent
 * a snapshot. */
#include "sim/transfer_fixture.h"

/* Bytes a second at which the scene's snapshot, some 10 KB, takes a good while. */
#define SLOW 1500

static bool receives(struct scene *sc, uint64_t bytes)
{
    struct oak_replica_status status = scene_status(sc, sc->victim);
    return status.receiving && status.snapshot_received_bytes >= bytes;
}

static void a_member_left_behind_gets_one_snapshot_in_many_chunks(void **state)
{
    (void)state;
    struct scene *sc = scene_new(3, 0);
    sc->s->world.delay_spread_ns = 1; /* no frame overtakes another */
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, scene_status(sc, sc->victim).snapshots_received == 1);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->leader).snapshots_sent == 1);
    struct oak_replica_status leader = scene_status(sc, sc->leader);
    assert_int_equal(leader.snapshot_sends, 1);
    assert_true(leader.snapshot_sent_bytes > 20 * 256);
    assert_true(leader.snapshot_sent_bytes < 100 * 256);
    assert_int_equal(leader.snapshot_rewinds, 0);
    scene_end(sc);
}

/* P7, P13, P15: power goes at every call of the disk from the first chunk on, until all is done. */
static void power_may_go_at_every_step_of_a_transfer(void **state)
{
    (void)state;
    bool reached = true;
    uint64_t resumed = 0;
    uint64_t calls = 0;
    for (; reached; calls++) {
        struct scene *sc = scene_new(2, 0);
        scene_join(sc);
        SCENE_UNTIL(sc, 30000, receives(sc, 0));
        uint64_t crashes = sc->report.crashes;
        sim_disk_die_after(sc->s->world.machines[sc->victim].disk, 1 + calls);
        SCENE_UNTIL(sc, 60000, sc->report.crashes > crashes || scene_equal(sc));
        reached = sc->report.crashes > crashes;
        SCENE_UNTIL(sc, 60000, scene_equal(sc));
        resumed += sc->report.snapshots_resumed;
        scene_end(sc);
    }
    assert_true(calls > 40);
    assert_true(resumed > 5);
}

static void a_receiver_that_restarts_goes_on_where_it_was(void **state)
{
    (void)state;
    struct scene *sc = scene_new(3, SLOW);
    scene_join(sc);
    for (uint64_t bytes = 2000; bytes <= 6000; bytes += 2000) {
        uint64_t before = sc->report.snapshots_resumed;
        SCENE_UNTIL(sc, 30000, receives(sc, 1500));
        sim__node_crash(&sc->s->nodes[sc->victim]);
        SCENE_UNTIL(sc, 30000, sc->report.snapshots_resumed > before);
    }
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->leader).snapshots_sent == 1);
    struct oak_replica_status leader = scene_status(sc, sc->leader);
    assert_int_equal(leader.snapshot_sends, 1);
    assert_true(leader.snapshot_sent_bytes < 20000);
    scene_end(sc);
}

static void a_connection_that_breaks_costs_no_more_than_the_window(void **state)
{
    (void)state;
    struct scene *sc = scene_new(4, SLOW);
    scene_join(sc);
    for (int i = 1; i <= 3; i++) {
        SCENE_UNTIL(sc, 30000, receives(sc, 1500u * (unsigned)i));
        scene_cut(sc, sc->victim, true);
        world_lose(&sc->s->world, sc->leader, sc->victim);
        world_lose(&sc->s->world, sc->victim, sc->leader);
        oak_replica_lost(sim__first(sc->s, sc->leader)->replica, sc->s->nodes[sc->victim].id);
        scene_run(sc, 1500);
        scene_cut(sc, sc->victim, false);
    }
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->leader).snapshots_sent == 1);
    struct oak_replica_status leader = scene_status(sc, sc->leader);
    assert_int_equal(leader.snapshot_sends, 1);
    assert_true(leader.snapshot_sent_bytes < 20000);
    scene_end(sc);
}

/* P5: its sender leads no more, and the new leader has a newer one: the first is finished, and the
 * log goes on behind it although many entries have come meanwhile. */
static void a_newer_snapshot_waits_for_the_one_that_is_under_way(void **state)
{
    (void)state;
    struct scene *sc = scene_new(5, SLOW);
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1000));
    sc->s->world.machines[sc->leader].paused_until_ns = sc->s->world.now_ns + 3500 * SIM_MS;
    SCENE_UNTIL(sc, 20000, scene_leader(sc) == sc->other);
    scene_puts(sc, sc->other, 40);
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    assert_int_equal(scene_status(sc, sc->leader).snapshots_sent, 1);
    assert_int_equal(scene_status(sc, sc->other).snapshots_sent, 0);
    assert_true(scene_status(sc, sc->other).snapshot_sends >= 1);
    assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 1);
    scene_end(sc);
}

/* The sender of a snapshot loses the lead and gets it back while the receiver is away: the log that
 * will be needed behind it was cut off while it did not lead, or when it led again and went by
 * where it meant to look. */
static void a_sender_that_leads_again_has_kept_the_log(void **state)
{
    (void)state;
    struct scene *sc = scene_new(16, SLOW);
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1000));
    scene_cut(sc, sc->victim, true);
    scene_hand_over(sc, sc->other);
    scene_puts(sc, sc->other, 40);
    scene_hand_over(sc, sc->leader);
    scene_puts(sc, sc->leader, 40);
    scene_cut(sc, sc->victim, false);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 1);
    assert_int_equal(scene_status(sc, sc->leader).snapshot_sends, 1);
    scene_end(sc);
}

/* The new leader offers its own, and the receiver, which gets the old one's, can't say so yet. */
static void a_leader_whose_offer_is_not_answered_keeps_the_log(void **state)
{
    (void)state;
    struct scene *sc = scene_new(17, SLOW);
    sc->s->plan.limits.away_ms = 10000;
    sim__node_crash(&sc->s->nodes[sc->leader]);
    sim__node_crash(&sc->s->nodes[sc->other]);
    SCENE_UNTIL(sc, 30000, scene_leader(sc) == sc->leader || scene_leader(sc) == sc->other);
    sc->other = scene_leader(sc) == sc->leader ? sc->other : sc->leader;
    sc->leader = scene_leader(sc);
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1000));
    sc->offers_lost = true;
    scene_hand_over(sc, sc->other);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->other).snapshot_sends == 1);
    scene_puts(sc, sc->other, 40);
    sc->offers_lost = false;
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 1);
    assert_int_equal(scene_status(sc, sc->other).snapshots_sent, 0);
    scene_end(sc);
}

static void a_dead_transfer_makes_room_for_a_newer_one(void **state)
{
    (void)state;
    struct scene *sc = scene_new(6, SLOW);
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1000));
    scene_cut(sc, sc->leader, true);
    SCENE_UNTIL(sc, 20000, scene_leader(sc) == sc->other);
    scene_puts(sc, sc->other, 40);
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    assert_int_equal(scene_status(sc, sc->leader).snapshots_sent, 0);
    scene_cut(sc, sc->leader, false);
    scene_end(sc);
}

/* Seed 1795705310629171: a sender that the receiver hears, and that hears nothing itself, asks for
 * ever where its receiver stands. It brings nothing, so it holds no place against another. */
static void a_sender_that_hears_nothing_makes_room_for_another(void **state)
{
    (void)state;
    struct scene *sc = scene_new(6, SLOW);
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1000));
    scene_cut(sc, sc->leader, true);
    sc->s->world.cut[sc->leader][sc->victim] = false;
    SCENE_UNTIL(sc, 20000, scene_leader(sc) == sc->other);
    SCENE_UNTIL(sc, 30000, scene_status(sc, sc->victim).snapshots_received == 1);
    assert_int_equal(scene_status(sc, sc->leader).snapshots_sent, 0);
    scene_cut(sc, sc->leader, false);
    scene_end(sc);
}

/* P8: each job of the worker takes seconds; nobody loses patience, and reads are served from the
 * old state until it is replaced. */
static void a_long_installation_is_not_cancelled_and_reads_go_on(void **state)
{
    (void)state;
    struct scene *sc = scene_new(7, 0);
    uint64_t term = scene_status(sc, sc->leader).raft.term;
    uint64_t applied = scene_status(sc, sc->victim).applied;
    sc->s->world.machines[sc->victim].worker_ns = 2500 * SIM_MS;
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1));
    unsigned reads = 0;
    while (scene_status(sc, sc->victim).applied == applied) {
        struct oak_store_kv kv;
        struct oak_store *store = sim__first(sc->s, sc->victim)->store;
        assert_int_equal(oak_store_get(store, oak_bytes_str("key/3"), 0, &kv), 0);
        assert_int_equal(oak_store_get(store, oak_bytes_str("key/30"), 0, &kv), OAK_ENOENT);
        reads++;
        scene_puts(sc, sc->leader, 1);
        scene_run(sc, 200);
        assert_true(reads < 1000);
    }
    assert_true(reads > 20);
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->leader).snapshots_sent == 1);
    struct oak_replica_status leader = scene_status(sc, sc->leader);
    assert_int_equal(leader.snapshot_sends, 1);
    assert_int_equal(leader.raft.term, term);
    sc->s->world.machines[sc->victim].worker_ns = 2 * SIM_MS;
    scene_end(sc);
}

/* P6: while a file is begun, written, finished, and while the store is built from it. */
static void a_full_disk_refuses_and_heals(void **state)
{
    (void)state;
    for (unsigned when = 0; when < 6; when++) {
        struct scene *sc = scene_new(8, 20000);
        sc->disk.full = when == 0;
        scene_join(sc);
        SCENE_UNTIL(sc, 30000, receives(sc, when * 1400));
        sc->disk.full = true;
        scene_run(sc, 30000);
        struct oak_replica_status leader = scene_status(sc, sc->leader);
        assert_int_equal(leader.snapshots_sent, 0);
        assert_true(leader.snapshot_sends >= 2);
        assert_true(leader.snapshot_sends <= 8); /* kept apart */
        assert_true(scene_status(sc, sc->victim).snapshots_refused >= 2);
        /* It starts again on the full disk, and once there is space it is brought along. */
        uint64_t crashes = sc->report.crashes;
        sim__node_crash(&sc->s->nodes[sc->victim]);
        assert_int_equal(sc->report.crashes, crashes + 1);
        SCENE_UNTIL(sc, 10000, sc->s->nodes[sc->victim].up);
        scene_run(sc, 10000);
        assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 0);
        sc->disk.full = false;
        SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
        scene_end(sc);
    }
}

/* At rest, between the last chunk and the store. */
static void damage_in_the_file_is_found_before_it_counts(void **state)
{
    (void)state;
    struct scene *sc = scene_new(9, 0);
    sc->disk.flips = 1;
    scene_join(sc);
    while (scene_step(sc)) {
    }
    assert_non_null(strstr(sc->report.what, "not what was sent"));
    assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 0);
    assert_int_equal(scene_status(sc, sc->victim).snapshots_damaged, 1);
    /* The simulation takes damage for a bug, and here it was none. */
    sc->s->failed = false;
    sim__node_crash(&sc->s->nodes[sc->victim]);
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    scene_end(sc);
}

/* P4, P16: a second snapshot right behind the first, into whose transfer all frames of the first
 * one come again. */
static void late_frames_of_an_earlier_transfer_change_nothing(void **state)
{
    (void)state;
    struct scene *sc = scene_new(10, 0);
    sc->record = true;
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, scene_status(sc, sc->leader).snapshots_sent == 1);
    sc->record = false;
    assert_true(sc->frame_count > 40);
    scene_leave_behind(sc);
    scene_join(sc);
    uint64_t received = scene_status(sc, sc->victim).snapshot_received_bytes;
    SCENE_UNTIL(sc, 30000, receives(sc, received + 1));
    for (size_t i = 0; i < sc->frame_count; i++) {
        struct node *n = &sc->s->nodes[sc->frame_to[i]];
        oak_replica_receive(n->members[0].replica, oak_buf_bytes(&sc->frames[i]));
        assert_true(scene_step(sc));
    }
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 2);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->leader).snapshots_sent == 2);
    assert_int_equal(scene_status(sc, sc->leader).snapshot_sends, 2);
    scene_end(sc);
}

/* 100 ms there and back, some 30 chunks: one at a time they would take 3 s. */
static void a_long_way_is_filled_by_the_window(void **state)
{
    (void)state;
    struct scene *sc = scene_new(12, 0);
    sc->s->world.delay_min_ns = 50 * SIM_MS;
    sc->s->world.delay_spread_ns = 1;
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1));
    uint64_t start = sc->s->world.now_ns;
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    assert_true(scene_status(sc, sc->victim).snapshot_received_bytes > 28 * 256);
    assert_true(sc->s->world.now_ns - start < 1300 * SIM_MS);
    scene_end(sc);
}

/* All start anew, with a log that is kept for whoever is silent for less than 10 s. */
static void logs_are_kept_for_a_while(struct scene *sc)
{
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    sc->s->plan.limits.away_ms = 10000;
    for (int i = 0; i < SCENE_NODES; i++) {
        sim__node_crash(&sc->s->nodes[i]);
    }
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    sc->leader = scene_leader(sc);
    sc->victim = (sc->leader + 1) % SCENE_NODES;
    scene_puts(sc, sc->leader, 1);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
}

/* One is cut off for so long, and lacks far more than the tail when it is back. */
static struct scene *away_for(uint64_t seed, uint64_t ms)
{
    struct scene *sc = scene_new(seed, 0);
    logs_are_kept_for_a_while(sc);
    scene_cut(sc, sc->victim, true);
    scene_run(sc, ms);
    scene_puts(sc, sc->leader, SCENE_ENTRIES);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    return sc;
}

/* Longer than an election time-out. */
static void a_member_that_was_away_for_a_while_gets_the_log(void **state)
{
    (void)state;
    struct scene *sc = away_for(14, 2500);
    assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 0);
    assert_int_equal(scene_status(sc, scene_leader(sc)).snapshot_sends, 0);
    scene_end(sc);
}

static void a_member_that_was_away_for_long_gets_a_snapshot(void **state)
{
    (void)state;
    struct scene *sc = away_for(15, 11000);
    assert_int_equal(scene_status(sc, sc->victim).snapshots_received, 1);
    scene_end(sc);
}

static void sendings_keep_to_their_rate(void **state)
{
    (void)state;
    struct scene *sc = scene_new(11, SLOW);
    scene_join(sc);
    SCENE_UNTIL(sc, 30000, receives(sc, 1));
    uint64_t start = sc->s->world.now_ns;
    uint64_t from = scene_status(sc, sc->leader).snapshot_sent_bytes;
    SCENE_UNTIL(sc, 60000, scene_status(sc, sc->victim).snapshots_received == 1);
    uint64_t bytes = scene_status(sc, sc->leader).snapshot_sent_bytes - from;
    uint64_t ms = (sc->s->world.now_ns - start) / SIM_MS;
    assert_true(bytes * 1000 / ms <= SLOW + SLOW / 10);
    assert_true(bytes * 1000 / ms >= SLOW / 2);
    scene_end(sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_left_behind_gets_one_snapshot_in_many_chunks),
        cmocka_unit_test(power_may_go_at_every_step_of_a_transfer),
        cmocka_unit_test(a_receiver_that_restarts_goes_on_where_it_was),
        cmocka_unit_test(a_connection_that_breaks_costs_no_more_than_the_window),
        cmocka_unit_test(a_newer_snapshot_waits_for_the_one_that_is_under_way),
        cmocka_unit_test(a_sender_that_leads_again_has_kept_the_log),
        cmocka_unit_test(a_leader_whose_offer_is_not_answered_keeps_the_log),
        cmocka_unit_test(a_dead_transfer_makes_room_for_a_newer_one),
        cmocka_unit_test(a_sender_that_hears_nothing_makes_room_for_another),
        cmocka_unit_test(a_long_installation_is_not_cancelled_and_reads_go_on),
        cmocka_unit_test(a_full_disk_refuses_and_heals),
        cmocka_unit_test(damage_in_the_file_is_found_before_it_counts),
        cmocka_unit_test(late_frames_of_an_earlier_transfer_change_nothing),
        cmocka_unit_test(a_long_way_is_filled_by_the_window),
        cmocka_unit_test(sendings_keep_to_their_rate),
        cmocka_unit_test(a_member_that_was_away_for_a_while_gets_the_log),
        cmocka_unit_test(a_member_that_was_away_for_long_gets_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
