/* SPDX-License-Identifier: Apache-2.0 */
/* check_test.c: checkers that no animal of the zoo sets off, or sets off only for one of the things
 * that they look at, are shown a world that is broken by hand: each must say so, by its name. */
#include "sim/transfer_fixture.h"

/* Three nodes that hold the same, and nothing under way. */
static struct scene *calm_scene(uint64_t seed)
{
    struct scene *sc = scene_new(seed, 0);
    scene_join(sc);
    SCENE_UNTIL(sc, 60000, scene_equal(sc));
    scene_run(sc, 1000);
    return sc;
}

/* A checker has spoken, and this is what it said first. The world is as it was again. */
static void spoken(struct scene *sc, const char *text)
{
    assert_true(sc->s->failed);
    if (strncmp(sc->report.what, text, strlen(text)) != 0) {
        fail_msg("not \"%s\" but \"%s\"", text, sc->report.what);
    }
    sc->s->failed = false;
}

static void silent(struct scene *sc)
{
    scene_check(sc);
    assert_false(sc->s->failed);
}

/* -- while it runs ----------------------------------------------------------------------------- */

static void two_leaders_in_a_term_are_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(21);
    uint64_t term = scene_status(sc, sc->leader).raft.term;
    sim__check_leads(sim__first(sc->s, sc->leader), term);
    silent(sc);
    sim__check_leads(sim__first(sc->s, sc->other), term);
    spoken(sc, "election safety: ");
    scene_end(sc);
}

static void an_index_before_its_turn_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(22);
    struct group *g = &sc->s->groups[0];
    uint64_t next = g->model.index + 1;
    sim__check_applied(sim__first(sc->s, 0), next + 1, 1, oak_bytes(NULL, 0));
    spoken(sc, "order: ");
    g->entries[next + 1] = (struct entry_known){0};
    scene_end(sc);
}

static void another_entry_at_an_applied_index_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(23);
    const struct group *g = &sc->s->groups[0];
    uint64_t index = g->model.index;
    /* The same entry, of another term; and one of other bytes. */
    sim__check_applied(sim__first(sc->s, 0), index, g->entries[index].term + 1, oak_bytes(NULL, 0));
    spoken(sc, "state machine safety: ");
    sim__check_applied(sim__first(sc->s, 0), index, g->entries[index].term, oak_bytes("no", 2));
    spoken(sc, "state machine safety: ");
    scene_end(sc);
}

static void a_store_of_another_term_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(24);
    struct member *m = sim__first(sc->s, sc->other);
    struct entry_known *entry = &sc->s->groups[0].entries[oak_store_state(m->store)->applied];
    entry->term++;
    sim__check_step(m);
    spoken(sc, "snapshots: the store of node ");
    entry->term--;
    sim__check_step(m);
    silent(sc);
    scene_end(sc);
}

static void what_is_taken_back_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(25);
    struct member *m = sim__first(sc->s, sc->other);
    m->commit_seen++;
    sim__check_step(m);
    spoken(sc, "no way back: ");
    m->applied_seen++;
    sim__check_step(m);
    spoken(sc, "no way back: ");
    scene_end(sc);
}

/* -- quorums ----------------------------------------------------------------------------------- */

static void quorums_meet_as_they_should(void **state)
{
    (void)state;
    static const struct {
        struct voters a, b;
        bool meet;
    } cases[] = {
        {{0x07, 0}, {0x07, 0}, true},    /* {1,2,3} with itself */
        {{0x07, 0}, {0x0f, 0}, true},    /* one more: 2 of 3 and 3 of 4 are over 4 */
        {{0x07, 0}, {0x1f, 0}, false},   /* two more: {1,2} and {3,4,5} */
        {{0x07, 0}, {0x06, 0}, true},    /* one less */
        {{0x07, 0}, {0x01, 0}, false},   /* two less: {2,3} and {1} */
        {{0x07, 0}, {0x1f, 0x07}, true}, /* joint with the old one */
        {{0x1f, 0x07}, {0x1f, 0}, true}, /* and with the new one */
        {{0x07, 0}, {0x70, 0x07}, true}, /* all others */
        {{0x70, 0x07}, {0x70, 0}, true},    {{0x07, 0}, {0x70, 0}, false},
        {{0x70, 0x07}, {0x38, 0x07}, true}, /* two joint ones that share a half */
        {{0x01, 0}, {0x01, 0}, true},       {{0x01, 0}, {0x02, 0}, false},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        assert_int_equal(sim__quorums_meet(&cases[i].a, &cases[i].b), cases[i].meet);
        assert_int_equal(sim__quorums_meet(&cases[i].b, &cases[i].a), cases[i].meet);
    }
}

static void a_configuration_that_need_not_meet_the_one_before_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(36);
    struct member *m = sim__first(sc->s, scene_leader(sc));
    struct group *g = m->group;
    const struct oak_replica_status s = scene_status(sc, scene_leader(sc));
    assert_int_equal(g->committed.now, 7);
    /* As if it had led by node 5 alone. */
    m->voters_seen = (struct voters){.now = 16};
    m->config_seen = 1000;
    sim__quorums_look(m, &s);
    spoken(sc, "quorums: node ");
    assert_non_null(strstr(sc->report.what, "the one before"));
    sim__quorums_look(m, &s);
    silent(sc);
    /* As if another than its own were committed below it, and at its index. */
    g->committed = (struct voters){.now = 16};
    m->config_seen = 1000;
    sim__quorums_look(m, &s);
    spoken(sc, "quorums: node ");
    assert_non_null(strstr(sc->report.what, "the last that is committed"));
    g->committed = (struct voters){.now = 7, .outgoing = 3};
    g->committed_at = s.raft.config_index;
    m->config_seen = 1000;
    sim__quorums_look(m, &s);
    spoken(sc, "quorums: as of index ");
    scene_end(sc);
}

/* -- ends -------------------------------------------------------------------------------------- */

static struct oak_file *file_of(const struct oak_disk *d, const char *path)
{
    struct oak_file *file = NULL;
    assert_int_equal(d->open(d->user, path, OAK_FILE_CREATE, &file), 0);
    return file;
}

static void a_failed_call_excuses_only_the_end_that_it_causes(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(33);
    struct node *n = &sc->s->nodes[sc->other];
    struct sim_disk *disk = sc->s->world.machines[sc->other].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    static const char log[] = "writing the log: input/output error";
    static const char snapshot[] = "writing a snapshot: input/output error";
    assert_false(sim__end_is_legal(n, OAK_EIO, log));
    struct oak_file *file = file_of(d, "/node1/snap/x");
    sim_disk_fail(disk, 1, 0);
    assert_int_equal(d->sync(d->user, file), OAK_EIO);
    d->close(d->user, file);
    assert_true(sim__end_is_legal(n, OAK_EIO, snapshot));
    assert_false(sim__end_is_legal(n, OAK_EIO, log));
    assert_false(sim__end_is_legal(n, OAK_ECORRUPT, snapshot));
    assert_false(sim__end_is_legal(n, OAK_ECORRUPTCLUSTER, "two leaders in one term: ..."));
    assert_int_equal(sim__refusal(n, OAK_EIO, "/node1/snap: can't be synced"), SIM_REFUSAL_LATER);
    assert_int_equal(sim__refusal(n, OAK_EIO, "/node1/wal: can't be synced"), SIM_REFUSAL_WRONG);
    assert_int_equal(sim__refusal(n, OAK_ENOSPC, "/node1/snap: no space"), SIM_REFUSAL_WRONG);
    scene_end(sc);
}

static void a_full_disk_excuses_a_refusal_and_no_end(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(34);
    struct node *n = &sc->s->nodes[sc->other];
    struct sim_disk *disk = sc->s->world.machines[sc->other].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    struct oak_file *file = file_of(d, "/node1/wal/x");
    sim_disk_fill(disk, 0);
    assert_int_equal(d->write(d->user, file, 0, "x", 1), OAK_ENOSPC);
    d->close(d->user, file);
    sim_disk_empty(disk);
    assert_false(sim__end_is_legal(n, OAK_ENOSPC, "writing the log: no space"));
    assert_false(sim__end_is_legal(n, OAK_EIO, "writing the log: input/output error"));
    assert_int_equal(sim__refusal(n, OAK_ENOSPC, "/node1/wal: no space"), SIM_REFUSAL_LATER);
    assert_int_equal(sim__refusal(n, OAK_ENOSPC, "store: can't write /node1/store/store"),
                     SIM_REFUSAL_WRONG);
    scene_end(sc);
}

static void damage_excuses_a_refusal_that_names_it(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(35);
    struct node *n = &sc->s->nodes[sc->other];
    static const char store[] = "store: /node1/store/store belongs to group 2, not 1";
    assert_int_equal(sim__refusal(n, OAK_ECORRUPT, "/node1/wal/1.wal: bad"), SIM_REFUSAL_WRONG);
    n->rotten = 1u << SIM_DISK_STORE;
    assert_int_equal(sim__refusal(n, OAK_ECORRUPT, "/node1/wal/1.wal: bad"), SIM_REFUSAL_WRONG);
    assert_int_equal(sim__refusal(n, OAK_ECORRUPT, "store: /node1/store/store: bad"),
                     SIM_REFUSAL_FOR_EVER);
    assert_int_equal(sim__refusal(n, OAK_EINVAL, store), SIM_REFUSAL_WRONG);
    n->misdirected = true;
    assert_int_equal(sim__refusal(n, OAK_EINVAL, store), SIM_REFUSAL_FOR_EVER);
    assert_false(sim__end_is_legal(n, OAK_ECORRUPT, "flushing the store: corrupt"));
    scene_end(sc);
}

/* -- limits ------------------------------------------------------------------------------------ */

static void each_limit_is_looked_at(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(26);
    struct member *m = sim__first(sc->s, sc->leader);
    const struct oak_replica_status as_is = scene_status(sc, sc->leader);
    struct oak_replica_status s = as_is;
    sim__check_bounds(m, &s);
    silent(sc);
    s.pending = OAK_PENDING_REQUESTS_MAX + 1;
    sim__check_bounds(m, &s);
    spoken(sc, "limits: requests that wait of node ");
    s = as_is;
    s.raft.uncommitted_bytes = OAK_UNCOMMITTED_BYTES_MAX + 2 * OAK_RAFT_CONFIG_BYTES_MAX;
    s.raft.term++;
    sim__check_bounds(m, &s); /* found in the log by a leader that has not committed yet */
    silent(sc);
    s.raft.term--;
    sim__check_bounds(m, &s);
    spoken(sc, "limits: bytes that are not committed of node ");
    s = as_is;
    s.raft.log_bytes = OAK_LOG_BYTES_MAX;
    sim__check_bounds(m, &s);
    spoken(sc, "limits: bytes of the log in memory of node ");
    s = as_is;
    s.raft.first = 1;
    s.raft.applied = 2 * OAK_LOG_HELD_ENTRIES_MAX;
    sim__check_bounds(m, &s);
    spoken(sc, "limits: applied entries of the log in memory of node ");
    scene_end(sc);
}

static bool in_flight(struct scene *sc, size_t bytes)
{
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    size_t count = oak_replica_peers(sim__first(sc->s, sc->leader)->replica, peers, OAK_PEERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].inflight_bytes > bytes) {
            return true;
        }
    }
    return false;
}

static void what_is_in_flight_is_looked_at(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(27);
    struct member *m = sim__first(sc->s, sc->leader);
    size_t entry = sim__entry_bytes_max(&sc->s->plan);
    sim__burst(m, 100, 1);
    SCENE_UNTIL(sc, 1000, in_flight(sc, entry));
    const struct oak_replica_status s = scene_status(sc, sc->leader);
    sim__check_bounds(m, &s);
    silent(sc);
    sc->s->plan.limits.inflight_bytes = 0;
    sim__check_bounds(m, &s);
    spoken(sc, "limits: bytes in flight to a peer of node ");
    sc->s->plan.limits = sim__limits_usual();
    scene_end(sc);
}

/* -- in the end -------------------------------------------------------------------------------- */

/* Into this member's store, behind the back of its log, so that nothing else tells of it. */
static void forge(struct scene *sc, int node, const char *key, int64_t revisions)
{
    struct oak_store *store = sim__first(sc->s, node)->store;
    struct oak_store_state s = *oak_store_state(store);
    s.revision += revisions;
    if (key != NULL) {
        const struct oak_store_kv kv = {.key = oak_bytes_str(key),
                                        .value = oak_bytes_str("forged"),
                                        .create_rev = s.revision,
                                        .mod_rev = s.revision,
                                        .version = 1};
        const struct oak_store_rev rev = {.main = s.revision};
        assert_int_equal(oak_store_put(store, rev, &kv), 0);
    }
    assert_int_equal(oak_store_commit(store, &s), 0);
}

/* The stage is taken down, whatever its nodes hold. */
static void scene_drop(struct scene *sc)
{
    sc->s->failed = true; /* nobody starts again, or looks */
    scene_down(sc);
}

static void what_a_node_holds_is_looked_at(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(27);
    struct node *n = &sc->s->nodes[0];
    sim__memory_check(n, 3 * OAK_MIB, 2 * OAK_MIB);
    silent(sc);
    n->members[0].most.store = OAK_MIB;
    sim__memory_check(n, 6 * OAK_MIB, OAK_MIB);
    silent(sc);
    n->members[0].most.store = 0;
    sim__memory_check(n, OAK_MIB, 6 * OAK_MIB);
    silent(sc);
    sim__memory_check(n, 6 * OAK_MIB, OAK_MIB);
    spoken(sc, "memory: node 1 held 5242880 bytes, at most ");
    /* Down in the moment of its start: with the log that it has read. */
    n->members[0].most = (struct memory_most){0};
    sim__node_crash(n);
    assert_true(n->members[0].most.log > 0 && n->members[0].most.store > 0);
    silent(sc);
    scene_end(sc);
}

static void a_key_that_one_node_alone_has_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(28);
    sim__check_equal(&sc->s->groups[0]);
    silent(sc);
    for (int i = 0; i < SCENE_NODES; i++) {
        forge(sc, i, i == 1 ? "key/x" : "key/y", 1);
    }
    sim__check_equal(&sc->s->groups[0]);
    spoken(sc, "convergence: node 1 and node 2 hold different keys");
    scene_drop(sc);
}

static void a_node_at_another_revision_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(29);
    forge(sc, 1, NULL, 1);
    sim__check_equal(&sc->s->groups[0]);
    spoken(sc, "convergence: node 1 and node 2 differ in state");
    scene_drop(sc);
}

static void what_the_log_does_not_say_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(30);
    for (int i = 0; i < SCENE_NODES; i++) {
        forge(sc, i, "key/x", 1);
    }
    sim__check_equal(&sc->s->groups[0]);
    spoken(sc, "model: ");
    scene_drop(sc);
}

static void a_revision_without_a_change_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(31);
    sim__check_dense(sim__first(sc->s, 0));
    silent(sc);
    forge(sc, 0, NULL, 1); /* at the end */
    sim__check_dense(sim__first(sc->s, 0));
    spoken(sc, "dense: ");
    forge(sc, 0, "key/x", 1); /* in the middle */
    sim__check_dense(sim__first(sc->s, 0));
    spoken(sc, "dense: ");
    scene_drop(sc);
}

/* -- the run itself ---------------------------------------------------------------------------- */

static void a_read_that_fails_is_seen(void **state)
{
    (void)state;
    struct scene *sc = calm_scene(32);
    sc->s->plan.clients = 1;
    sc->s->plan.keys = 1;
    sim__client_init(sc->s, 0);
    sc->s->clients[0].arena.ceiling = 1;
    for (int i = 0; i < 100000 && !sc->s->failed; i++) {
        (void)scene_step(sc);
    }
    spoken(sc, "a range failed on node ");
    sim__client_stop(&sc->s->clients[0]);
    scene_drop(sc);
}

static void a_world_in_which_nothing_happens_is_seen(void **state)
{
    (void)state;
    struct oak_sim_report report = {.what = ""};
    struct oak_sim_options options = {.seed = 1, .alloc = oak_alloc_libc()};
    struct sim *s = calloc(1, sizeof(*s));
    *s = (struct sim){.options = &options, .report = &report};
    world_init(&s->world, 1, 1);
    assert_false(sim__step(s));
    assert_string_equal(report.what, "nothing is left to happen: every timer is gone");
    world_fini(&s->world);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_leaders_in_a_term_are_seen),
        cmocka_unit_test(an_index_before_its_turn_is_seen),
        cmocka_unit_test(another_entry_at_an_applied_index_is_seen),
        cmocka_unit_test(a_store_of_another_term_is_seen),
        cmocka_unit_test(what_is_taken_back_is_seen),
        cmocka_unit_test(quorums_meet_as_they_should),
        cmocka_unit_test(a_configuration_that_need_not_meet_the_one_before_is_seen),
        cmocka_unit_test(a_failed_call_excuses_only_the_end_that_it_causes),
        cmocka_unit_test(a_full_disk_excuses_a_refusal_and_no_end),
        cmocka_unit_test(damage_excuses_a_refusal_that_names_it),
        cmocka_unit_test(each_limit_is_looked_at),
        cmocka_unit_test(what_is_in_flight_is_looked_at),
        cmocka_unit_test(what_a_node_holds_is_looked_at),
        cmocka_unit_test(a_key_that_one_node_alone_has_is_seen),
        cmocka_unit_test(a_node_at_another_revision_is_seen),
        cmocka_unit_test(what_the_log_does_not_say_is_seen),
        cmocka_unit_test(a_revision_without_a_change_is_seen),
        cmocka_unit_test(a_read_that_fails_is_seen),
        cmocka_unit_test(a_world_in_which_nothing_happens_is_seen),
    };
    return cmocka_run_group_tests_name("sim/check", tests, NULL, NULL);
}
