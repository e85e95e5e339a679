/* SPDX-License-Identifier: Apache-2.0 */
/* core_test.c: which nodes are a majority alone where the group changes, and what is said of one
 * that does not lead. */
#include "sim/transfer_fixture.h"

static struct scene *changing_scene(uint64_t seed)
{
    struct scene *sc = scene_new(seed, 0);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    sc->s->plan.core = true;
    sc->s->plan.has[OAK_SIM_CHANGE] = true;
    return sc;
}

/* All faults end, and what was asked for is answered: then all vote again. */
static void whole_again(struct scene *sc, const struct scene_asked *before)
{
    struct sim *s = sc->s;
    sim__heal(s);
    s->core = 0;
    for (int i = 0; i < SCENE_NODES; i++) {
        s->nodes[i].held = false;
        if (!s->nodes[i].up) {
            sim__node_start(&s->nodes[i]);
        }
    }
    SCENE_UNTIL(sc, 20000, before->done && scene_leader(sc) >= 0);
    struct scene_asked a = {.error = OAK_EINVAL};
    for (int tries = 0; a.error != 0 && tries < 20; tries++) {
        scene_run(sc, 1000); /* a learner catches up */
        scene_lessen(sc, -1, &a);
        SCENE_UNTIL(sc, 20000, a.done);
    }
    scene_end(sc);
}

static unsigned all_but(int node)
{
    return ((1u << SCENE_NODES) - 1) & ~(1u << node);
}

static void of_two_voters_both_are_the_majority_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct scene *sc = changing_scene(seed);
        struct scene_asked a;
        scene_lessen(sc, sc->victim, &a);
        SCENE_UNTIL(sc, 20000, a.done);
        assert_int_equal(a.error, 0);
        scene_run(sc, 1000);
        sim__phase_core(sc->s);
        scene_check(sc);
        assert_int_equal(sc->s->core, all_but(sc->victim));
        assert_int_equal(sim__core_asked(sc->s), all_but(sc->victim));
        whole_again(sc, &a);
    }
}

/* The leader alone has a configuration of two: others still have one of three. Whoever is left out
 * is none that either needs. */
static void of_a_change_that_one_knows_both_halves_are_in_it(void **state)
{
    (void)state;
    unsigned alone = 0;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        struct scene *sc = changing_scene(seed);
        struct scene_asked a;
        int leader = scene_leader(sc);
        scene_lessen(sc, sc->victim, &a);
        scene_cut(sc, leader, true); /* it has written it, and nobody hears of it */
        SCENE_UNTIL(sc, 2000,
                    oak_replica_config(sim__first(sc->s, leader)->replica)->voter_outgoing_count >
                        0);
        sim__phase_core(sc->s);
        scene_check(sc);
        const unsigned two = all_but(sc->victim);
        assert_int_equal(sc->s->core & two, two);
        alone += sc->s->core == two ? 1 : 0;
        whole_again(sc, &a);
    }
    assert_true(alone > 0);
}

static void nothing_arrives(struct world *w, int to, int from, int group, struct oak_bytes frame)
{
    (void)w;
    (void)to;
    (void)from;
    (void)group;
    (void)frame;
}

static void a_majority_of_a_changed_group_that_does_not_lead_is_seen(void **state)
{
    (void)state;
    struct scene *sc = changing_scene(1);
    struct scene_asked a;
    scene_lessen(sc, sc->victim, &a);
    SCENE_UNTIL(sc, 20000, a.done);
    scene_run(sc, 1000);
    sc->s->world.deliver = nothing_arrives;
    sim__node_crash(&sc->s->nodes[scene_leader(sc)]); /* another one is due */
    sim__phase_core(sc->s);
    assert_true(sc->s->failed);
    assert_non_null(strstr(sc->report.what, "progress: a connected majority has not elected"));
    scene_down(sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_voters_both_are_the_majority_alone),
        cmocka_unit_test(of_a_change_that_one_knows_both_halves_are_in_it),
        cmocka_unit_test(a_majority_of_a_changed_group_that_does_not_lead_is_seen),
    };
    return cmocka_run_group_tests_name("sim/core", tests, NULL, NULL);
}
