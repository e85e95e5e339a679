/* SPDX-License-Identifier: Apache-2.0 */
/* lapse_test.c: a member whose disk is an older one, a copy that runs beside it, and words about
 * both that come late. */
#include "sim/transfer_fixture.h"

static struct scene *calm_scene(uint64_t seed)
{
    struct scene *sc = scene_new(seed, 0);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    scene_run(sc, 2000);
    return sc;
}

static struct member *victim_of(struct scene *sc)
{
    return sim__first(sc->s, sc->victim);
}

/* Its disk becomes what it was. */
static void put_back(struct scene *sc, struct sim_disk_image *image)
{
    struct node *n = &sc->s->nodes[sc->victim];
    sim__node_crash(n);
    sim_disk_image_put(sc->s->world.machines[sc->victim].disk, image);
    n->members[0].lapse = LAPSE_ROLLED;
}

/* The others are told how far it is, and write that down. */
static void notes_pass(struct scene *sc)
{
    scene_run(sc, (uint64_t)2 * OAK_NOTE_MS + 1000);
}

/* Its disk is put back to now, when the others remember more. */
static void forget(struct scene *sc)
{
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    scene_puts(sc, sc->leader, 20);
    notes_pass(sc);
    put_back(sc, image);
    sim_disk_image_free(image);
}

/* The checkers of the simulator hold that it promises nothing meanwhile. */
static void forgets_and_is_made_whole(struct scene *sc)
{
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_MUTE);
    assert_int_equal(scene_status(sc, sc->victim).past, OAK_PEER_FORGOT);
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_EXCUSED);
    assert_int_equal(oak_replica_config(sim__first(sc->s, scene_leader(sc))->replica)->voter_count,
                     2);
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_NONE);
    assert_int_equal(scene_status(sc, sc->victim).past, OAK_PEER_SOUND);
}

static void a_disk_that_is_put_back_within_one_run_is_noticed(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(5);
    forget(sc);
    forgets_and_is_made_whole(sc);
    scene_end(sc);
}

static void a_disk_of_before_the_last_start_is_noticed_without_any_note(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(6);
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    sim__node_crash(&sc->s->nodes[sc->victim]);
    SCENE_UNTIL(sc, 20000, scene_equal(sc));
    put_back(sc, image);
    forgets_and_is_made_whole(sc);
    sim_disk_image_free(image);
    scene_end(sc);
}

/* Seed 95000272. The others know of no run of it that they could speak with, and look for one. */
static void a_disk_of_some_runs_ago_is_noticed_by_others_that_have_just_started(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(8);
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    for (int i = 0; i < 3; i++) {
        sim__node_crash(&sc->s->nodes[sc->victim]);
        SCENE_UNTIL(sc, 20000, scene_equal(sc));
        scene_run(sc, 1000);
    }
    put_back(sc, image);
    sim__node_crash(&sc->s->nodes[sc->leader]);
    sim__node_crash(&sc->s->nodes[sc->other]);
    forgets_and_is_made_whole(sc);
    sim_disk_image_free(image);
    scene_end(sc);
}

/* Seed 1795726233529029. */
static void who_forgot_that_it_forgot_is_told_anew(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(13);
    forget(sc);
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_MUTE);
    sim__node_crash(&sc->s->nodes[sc->victim]); /* before it has written that down */
    SCENE_UNTIL(sc, 20000, sc->s->nodes[sc->victim].up);
    assert_int_equal(scene_status(sc, sc->victim).past, OAK_PEER_SOUND);
    assert_int_equal(victim_of(sc)->lapse, LAPSE_ROLLED);
    forgets_and_is_made_whole(sc);
    scene_end(sc);
}

static void who_forgot_stays_mute_across_restarts_while_nobody_can_excuse_it(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(7);
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    sim__node_crash(&sc->s->nodes[sc->victim]);
    SCENE_UNTIL(sc, 20000, scene_equal(sc));
    /* The two others can't agree on anything. */
    sc->s->world.cut[sc->leader][sc->other] = sc->s->world.cut[sc->other][sc->leader] = true;
    put_back(sc, image);
    for (int i = 0; i < 3; i++) {
        SCENE_UNTIL(sc, 20000, sc->s->nodes[sc->victim].up);
        SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_MUTE);
        scene_run(sc, 5000);
        assert_int_equal(victim_of(sc)->lapse, LAPSE_MUTE);
        sim__node_crash(&sc->s->nodes[sc->victim]);
    }
    sc->s->world.cut[sc->leader][sc->other] = sc->s->world.cut[sc->other][sc->leader] = false;
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_NONE);
    sim_disk_image_free(image);
    scene_end(sc);
}

/* Seed 1795723849286565. To take one is to acknowledge what is in it. */
static void who_forgot_takes_no_snapshot_before_it_knows(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(12);
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    scene_puts(sc, sc->leader, 20);
    notes_pass(sc);
    scene_leave_behind(sc);
    put_back(sc, image);
    sc->hellos_lost = true;
    sc->record = true;
    scene_join(sc);
    scene_run(sc, 5000);
    assert_int_not_equal(sc->frame_count, 0); /* one came */
    assert_int_equal(victim_of(sc)->lapse, LAPSE_ROLLED);
    sc->record = sc->hellos_lost = false;
    forgets_and_is_made_whole(sc);
    sim_disk_image_free(image);
    scene_end(sc);
}

/* As if node `from` had said it to node `to`, after all that it has said. */
static void hello_forge(struct scene *sc, int from, int to, struct oak_peer_hello hello)
{
    struct node *n = &sc->s->nodes[to];
    struct oak_buf bytes = {0};
    hello.seq = 1 << 20;
    hello.me = oak_replica_past(sim__first(sc->s, from)->replica);
    struct oak_peer_frame frame = {.kind = OAK_PEER_HELLO,
                                   .address = {.cluster = 77,
                                               .group = 1,
                                               .from = sc->s->nodes[from].id,
                                               .to = n->id,
                                               .boot = sc->boots[from],
                                               .to_boot = sc->boots[to]},
                                   .u.hello = hello};
    assert_int_equal(oak_peer_encode(&frame, &bytes), 0);
    oak_replica_receive(n->members[0].replica, oak_buf_bytes(&bytes));
    oak_buf_fini(&bytes);
}

/* Seed 700135, with a lost disk in each run: it was mute again, of what binds nobody any more. */
static void who_is_whole_again_is_not_told_of_the_same_lapse_by_who_comes_late(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(15);
    struct oak_peer_memory lost = oak_replica_past(victim_of(sc)->replica);
    forget(sc);
    forgets_and_is_made_whole(sc);
    lost.number += 10; /* runs that nobody else had heard of */
    lost.run += 2;
    lost.index += 15;
    hello_forge(sc, sc->other, sc->victim, (struct oak_peer_hello){.of_you = lost});
    assert_int_equal(scene_status(sc, sc->victim).past, OAK_PEER_SOUND);
    scene_end(sc);
}

static void a_member_ends_when_a_copy_of_it_has_started(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(8);
    struct oak_peer_memory copy = oak_replica_past(victim_of(sc)->replica);
    copy.number++;
    copy.run += 2;
    hello_forge(sc, sc->other, sc->victim, (struct oak_peer_hello){.of_you = copy});
    assert_true(sc->s->nodes[sc->victim].fatal);
    assert_non_null(strstr(sc->report.what, "another process runs as this member"));
    sc->s->failed = false; /* it was meant to */
    /* Started again it does not know the copy's run: it has to be made whole. */
    victim_of(sc)->lapse = LAPSE_ROLLED;
    scene_step(sc);
    SCENE_UNTIL(sc, 20000, sc->s->nodes[sc->victim].up);
    victim_of(sc)->lapse = LAPSE_NONE; /* the others have heard of no copy */
    scene_end(sc);
}

static uint32_t voters(struct scene *sc)
{
    return oak_replica_config(sim__first(sc->s, sc->leader)->replica)->voter_count;
}

/* Said before this leader led, or to another of its hellos than one of its term. */
static void a_lapse_of_long_ago_costs_no_vote(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(9);
    const struct oak_peer_hello late = {.past = OAK_PEER_FORGOT, .told = true, .met = true};
    hello_forge(sc, sc->victim, sc->leader, late);
    scene_run(sc, 1000);
    assert_int_equal(voters(sc), 3);
    scene_end(sc);
}

/* A vote that was taken because of old news is given back. */
static void a_vote_taken_too_late_is_given_back(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(10);
    const struct oak_peer_hello lies = {
        .past = OAK_PEER_FORGOT, .told = true, .met = true, .heard = 1 << 20};
    hello_forge(sc, sc->victim, sc->leader, lies);
    SCENE_UNTIL(sc, 5000, voters(sc) == 2);
    /* It starts anew, and is heard again: it is sound. */
    sim__node_crash(&sc->s->nodes[sc->victim]);
    SCENE_UNTIL(sc, 20000, voters(sc) == 3);
    scene_end(sc);
}

/* The leader is asked to make the victim a voter, or a learner; its answer. */
static int part_asked(struct scene *sc, bool votes)
{
    struct scene_asked a;
    scene_lessen(sc, votes ? -1 : sc->victim, &a);
    SCENE_UNTIL(sc, 20000, a.done);
    return a.error;
}

/* Seed 1795724148729051: with such a vote the change could not be finished. A learner that is
 * whole again is a learner. */
static void a_learner_that_forgot_gets_no_vote_before_it_is_whole_and_then_if_asked(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(11);
    assert_int_equal(part_asked(sc, false), 0);
    scene_run(sc, 1000);
    forget(sc);
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_MUTE);
    scene_run(sc, 20); /* the leader hears of it */
    assert_int_equal(part_asked(sc, true), OAK_ELEARNERNOTREADY);
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_NONE);
    scene_puts(sc, sc->leader, 1);
    notes_pass(sc); /* with which it is told once more that it has no vote */
    assert_int_equal(voters(sc), 2);
    assert_int_equal(part_asked(sc, true), 0);
    assert_int_equal(voters(sc), 3);
    scene_end(sc);
}

/* Seed 1795727235831347: it knows itself as a learner, and others know better. */
static void who_forgot_that_it_got_a_vote_gets_it_again(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(14);
    assert_int_equal(part_asked(sc, false), 0);
    scene_run(sc, 1000);
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    assert_int_equal(part_asked(sc, true), 0);
    scene_puts(sc, sc->leader, 20);
    notes_pass(sc);
    put_back(sc, image);
    forgets_and_is_made_whole(sc);
    SCENE_UNTIL(sc, 20000, voters(sc) == 3);
    sim_disk_image_free(image);
    scene_end(sc);
}

static bool everybody_votes_again(struct scene *sc, uint64_t id)
{
    const struct sim *s = sc->s;
    for (int i = 0; i < SCENE_NODES; i++) {
        if (s->nodes[i].strange || !s->nodes[i].up) {
            return false;
        }
    }
    /* The old id is in nobody's configuration any more. */
    const struct oak_raft_config *c = oak_replica_config(sim__first(sc->s, 0)->replica);
    for (uint32_t i = 0; i < c->voter_count; i++) {
        if (c->voters[i] == id) {
            return false;
        }
    }
    return scene_equal(sc);
}

static void a_node_that_lost_its_disk_comes_back_as_another_member(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(11);
    /* Each of them in its turn, the leader too; and once more, under its third id. */
    for (int round = 0; round < 2 * SCENE_NODES; round++) {
        struct node *n = &sc->s->nodes[round % SCENE_NODES];
        uint64_t id = n->id;
        const struct fault f = {.id = (uint32_t)round + 1, .kind = OAK_SIM_LOSS};
        struct oak_prng p;
        oak_prng_init(&p, (uint64_t)round);
        while (n->id == id) { /* it draws the node */
            uint64_t ids[SCENE_NODES];
            for (int i = 0; i < SCENE_NODES; i++) {
                ids[i] = sc->s->nodes[i].id;
            }
            sim__fault_loss(sc->s, &f, &p);
            for (int i = 0; i < SCENE_NODES; i++) {
                uint64_t old = ids[i];
                if (old != sc->s->nodes[i].id) {
                    SCENE_UNTIL(sc, 60000, everybody_votes_again(sc, old));
                    assert_int_equal(sc->s->nodes[i].id, old + SIM_NODES_MAX);
                }
            }
        }
        scene_puts(sc, scene_leader(sc), 3);
    }
    scene_end(sc);
}

/* Seed 1795822315580536. The change that gives it its vote needs it; had it said so too early, it
 * would not know after the crash, and say nothing before a leader tells it more. */
static void who_says_that_it_is_whole_is_so_after_a_crash(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(22);
    struct scene_asked a;
    struct sim_disk_image *image = sim_disk_image_take(sc->s->world.machines[sc->victim].disk);
    scene_regroup(sc, 1u << sc->leader, &a); /* it alone votes from here on */
    SCENE_UNTIL(sc, 20000, a.done);
    assert_int_equal(a.error, 0);
    scene_puts(sc, sc->leader, 20);
    notes_pass(sc);
    put_back(sc, image);
    SCENE_UNTIL(sc, 20000, scene_status(sc, sc->victim).past == OAK_PEER_WHOLE);
    sim__node_crash(&sc->s->nodes[sc->victim]); /* before it has written that down */
    SCENE_UNTIL(sc, 20000, sc->s->nodes[sc->victim].up);
    assert_int_equal(scene_status(sc, sc->victim).past, OAK_PEER_FORGOT);
    SCENE_UNTIL(sc, 20000, victim_of(sc)->lapse == LAPSE_NONE);
    assert_int_equal(voters(sc), 2);
    sim_disk_image_free(image);
    scene_run(sc, 1000);
    scene_check(sc);
    scene_puts(sc, scene_leader(sc), 3);
    scene_down(sc);
}

static uint32_t outgoing_of(struct scene *sc, int node)
{
    return oak_replica_config(sim__first(sc->s, node)->replica)->voter_outgoing_count;
}

/* Seed 1795817295552557. It knows the step into a group of three, and before that a group of two,
 * of which the other one is lost for good: who is in the group as it is tells it so. */
static void who_was_away_while_the_group_grew_needs_nobody_of_the_one_before(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(21);
    struct scene_asked a;
    scene_lessen(sc, sc->other, &a);
    SCENE_UNTIL(sc, 20000, a.done);
    scene_run(sc, 3000);
    scene_lessen(sc, -1, &a);
    SCENE_UNTIL(sc, 20000, outgoing_of(sc, sc->leader) == 2);
    SCENE_UNTIL(sc, 20000, outgoing_of(sc, sc->leader) == 0);
    scene_cut(sc, sc->victim, true);
    SCENE_UNTIL(sc, 20000, a.done);
    assert_int_equal(a.error, 0);
    sim__node_crash(&sc->s->nodes[sc->victim]);
    SCENE_UNTIL(sc, 20000, sc->s->nodes[sc->victim].up);
    assert_int_equal(outgoing_of(sc, sc->victim), 2);
    scene_cut(sc, sc->victim, false);
    scene_cut(sc, sc->leader, true);
    SCENE_UNTIL(sc, 20000, scene_leader(sc) >= 0 && scene_leader(sc) != sc->leader);
    scene_puts(sc, scene_leader(sc), 3);
    scene_cut(sc, sc->leader, false);
    scene_end(sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_is_put_back_within_one_run_is_noticed),
        cmocka_unit_test(a_disk_of_before_the_last_start_is_noticed_without_any_note),
        cmocka_unit_test(a_disk_of_some_runs_ago_is_noticed_by_others_that_have_just_started),
        cmocka_unit_test(who_forgot_that_it_forgot_is_told_anew),
        cmocka_unit_test(who_forgot_stays_mute_across_restarts_while_nobody_can_excuse_it),
        cmocka_unit_test(who_forgot_takes_no_snapshot_before_it_knows),
        cmocka_unit_test(a_node_that_lost_its_disk_comes_back_as_another_member),
        cmocka_unit_test(who_is_whole_again_is_not_told_of_the_same_lapse_by_who_comes_late),
        cmocka_unit_test(a_member_ends_when_a_copy_of_it_has_started),
        cmocka_unit_test(a_lapse_of_long_ago_costs_no_vote),
        cmocka_unit_test(a_vote_taken_too_late_is_given_back),
        cmocka_unit_test(a_learner_that_forgot_gets_no_vote_before_it_is_whole_and_then_if_asked),
        cmocka_unit_test(who_forgot_that_it_got_a_vote_gets_it_again),
        cmocka_unit_test(who_says_that_it_is_whole_is_so_after_a_crash),
        cmocka_unit_test(who_was_away_while_the_group_grew_needs_nobody_of_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
