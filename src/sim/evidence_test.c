/* SPDX-License-Identifier: Apache-2.0 */
/* evidence_test.c: a member whose state is proven wrong ends, and keeps what proves it. */
#include "sim/transfer_fixture.h"

struct kept {
    char name[128];
    size_t count;
};

static void each_name(void *arg, const char *name)
{
    struct kept *kept = arg;
    if (strncmp(name, "evidence-", 9) == 0) {
        snprintf(kept->name, sizeof(kept->name), "%s", name);
        kept->count++;
    }
}

/* As if member `from` had sent it to node `to`. */
static void forge(struct scene *sc, int from, int to, struct oak_peer_frame *frame)
{
    struct node *n = &sc->s->nodes[to];
    struct oak_buf bytes = {0};
    frame->address = (struct oak_peer_address){.cluster = 77,
                                               .group = 1,
                                               .from = sc->s->nodes[from].id,
                                               .to = n->id,
                                               .boot = sc->boots[from]};
    frame->u.raft.from = frame->kind == OAK_PEER_RAFT ? frame->address.from : frame->u.raft.from;
    assert_int_equal(oak_peer_encode(frame, &bytes), 0);
    oak_replica_receive(n->members[0].replica, oak_buf_bytes(&bytes));
    oak_buf_fini(&bytes);
}

/* It has ended itself, says why, and the same stands in the file. */
static void ended(struct scene *sc, int node, const char *why)
{
    struct node *n = &sc->s->nodes[node];
    const struct oak_disk *disk = sim_disk_port(sc->s->world.machines[node].disk);
    assert_true(n->fatal);
    assert_true(sc->s->failed);
    assert_non_null(strstr(sc->report.what, why));
    struct kept kept = {.count = 0};
    assert_int_equal(disk->list(disk->user, n->dir, each_name, &kept), 0);
    assert_int_equal(kept.count, 1);
    char path[256];
    char text[512] = "";
    size_t got = 0;
    struct oak_file *file = NULL;
    snprintf(path, sizeof(path), "%s/%s", n->dir, kept.name);
    assert_int_equal(disk->open(disk->user, path, OAK_FILE_READ, &file), 0);
    assert_int_equal(disk->read(disk->user, file, 0, text, sizeof(text) - 1, &got), 0);
    disk->close(disk->user, file);
    assert_non_null(strstr(text, "member 000000000000000"));
    assert_non_null(strstr(text, "index"));
    sc->s->failed = false; /* it was meant to */
    scene_cut(sc, sc->victim, false);
    scene_end(sc);
}

static struct scene *calm_scene(uint64_t seed)
{
    struct scene *sc = scene_new(seed, 0);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    scene_run(sc, 1000);
    scene_cut(sc, sc->victim, true);
    return sc;
}

static void a_state_that_differs_from_the_leaders_ends_the_follower(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(11);
    uint64_t applied = scene_status(sc, sc->other).applied;
    const struct oak_store_state *store = oak_store_state(sim__first(sc->s, sc->other)->store);
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHAIN,
        .u.chain = {.index = applied, .chain = store->chain},
    };
    forge(sc, sc->leader, sc->other, &frame); /* the same */
    assert_false(sc->s->failed);
    frame.u.chain.chain ^= 1;
    forge(sc, sc->victim, sc->other, &frame); /* of one who doesn't lead */
    assert_false(sc->s->failed);
    forge(sc, sc->leader, sc->other, &frame);
    ended(sc, sc->other, "the state differs from the leader's");
}

static void what_is_told_early_is_compared_once_it_is_applied(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(12);
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHAIN,
        .u.chain = {.index = scene_status(sc, sc->other).applied + 1, .chain = 5},
    };
    forge(sc, sc->leader, sc->other, &frame);
    assert_false(sc->s->failed);
    scene_puts(sc, sc->leader, 1); /* done before the follower has heard that it is committed */
    for (int i = 0; i < 1000 && !sc->s->failed; i++) {
        (void)scene_step(sc);
    }
    ended(sc, sc->other, "the state differs from the leader's");
}

static void a_second_leader_of_the_term_ends_who_hears_it(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(13);
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_RAFT,
        .u.raft = {.type = OAK_RAFT_MSG_HEARTBEAT, .term = scene_status(sc, sc->leader).raft.term},
    };
    forge(sc, sc->victim, sc->other, &frame);
    ended(sc, sc->other, "two leaders in one term");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_that_differs_from_the_leaders_ends_the_follower),
        cmocka_unit_test(what_is_told_early_is_compared_once_it_is_applied),
        cmocka_unit_test(a_second_leader_of_the_term_ends_who_hears_it),
    };
    return cmocka_run_group_tests_name("sim/evidence", tests, NULL, NULL);
}
