/* SPDX-License-Identifier: Apache-2.0 */
/* chaos_test.c: small clusters under random faults, thousands of short seeds.
 *
 * A seed decides size, limits, and which faults exist: loss, duplication, reordering, partitions,
 * writes that finish late, crashes that keep any prefix of what was being written, damage to what
 * was durable (on a minority at a time), changes of the members, compaction and snapshots. Checked
 * all the time (testkit.c): one leader a term, promises are on disk, a leader has all that was
 * applied, equal entries are applied everywhere in order, commit never goes back, a read is no
 * older than what had committed when it was asked for. Then all heals, and within bounded time
 * there is a leader, a write commits everywhere, and reads are answered.
 *
 * In half of the runs the group has leases. Then its members' clocks show one true time, each with
 * a rate of its own within the bound on drift and an offset of its own, and members pause: a clock
 * goes on while nobody ticks. A read by lease, at any moment, must miss nothing that has committed.
 *
 *     test_raft_chaos [FIRST_SEED [COUNT]]      with the bug zoo: OAK_BUG=name
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/prng.h"
#include "raft/testkit.h"

struct chaos {
    struct kit kit;
    struct oak_prng prng;
    bool cut[KIT_NODES][KIT_NODES];
    uint64_t loss, duplicates, reorder, late_writes, crashes, damage, partitions, compactions,
        snapshots, ambition, churn;
    uint64_t written;
    struct kit_clocks clocks; /* with leases */
    uint64_t damaged;
    uint64_t naps;
};

struct totals {
    uint64_t seeds, applied, restored, reads_ok, reads_lost, elections, changes, leases, inherited,
        damaged;
};

static bool often(struct chaos *c, uint64_t parts)
{
    return oak_prng_below(&c->prng, 1000) < parts;
}

static size_t index_of(struct chaos *c, uint64_t id)
{
    struct kit_node *n = kit_find(&c->kit, id);
    return n == NULL ? KIT_NODES : (size_t)(n - c->kit.nodes);
}

static struct kit_node *any_node(struct chaos *c)
{
    return &c->kit.nodes[oak_prng_below(&c->prng, c->kit.node_count)];
}

static void clocks_read(struct chaos *c, struct kit_node *n)
{
    kit_clocks_read(&c->clocks, &c->kit, n);
}

static void tick(struct chaos *c, struct kit_node *n, uint64_t ms)
{
    if (!c->clocks.on) {
        (void)kit_tick(&c->kit, n, ms);
        return;
    }
    /* All members' time goes on; the others may sleep through it. */
    c->clocks.true_us += ms * 1000 / (often(c, 700) ? c->kit.node_count : 1);
    if (kit_clocks_asleep(&c->clocks, (size_t)(n - c->kit.nodes))) {
        return;
    }
    clocks_read(c, n);
    (void)kit_tick(&c->kit, n, 0);
}

/* Everybody who believes to lead is asked; one that slept answers before it has heard anything. */
static void leases_ask(struct chaos *c)
{
    for (size_t i = 0; i < c->kit.node_count && c->clocks.on; i++) {
        struct kit_node *n = &c->kit.nodes[i];
        if (n->r != NULL && n->role_seen == OAK_RAFT_LEADER) {
            clocks_read(c, n);
            (void)kit_lease(&c->kit, n);
            if (often(c, c->naps)) {
                c->clocks.asleep_us[i] = c->clocks.true_us + oak_prng_below(&c->prng, 1000 * 1000);
            }
        }
    }
}

static void read_some(struct chaos *c, struct kit_node *n)
{
    uint64_t seq = 0;
    clocks_read(c, n);
    if (c->clocks.on && often(c, 300)) {
        leases_ask(c);
        return;
    }
    (void)kit_read(&c->kit, n, &seq);
    if (c->clocks.on && often(c, 500)) {
        (void)kit_grant(&c->kit, n);
    }
    kit_take(&c->kit, n);
}

static void deliver_some(struct chaos *c)
{
    for (size_t turns = 1 + oak_prng_below(&c->prng, 8); turns > 0 && c->kit.wire_count > 0;
         turns--) {
        size_t at = often(c, c->reorder) ? oak_prng_below(&c->prng, c->kit.wire_count) : 0;
        const struct oak_raft_msg *m = &c->kit.wire[at].m;
        size_t from = index_of(c, m->from);
        size_t to = index_of(c, m->to);
        if (c->cut[from][to] || kit_clocks_asleep(&c->clocks, to) || often(c, c->loss)) {
            kit_drop(&c->kit, at);
            continue;
        }
        if (m->type == OAK_RAFT_MSG_SNAPSHOT) {
            uint64_t index = m->snapshot.index;
            uint64_t peer = m->to;
            struct kit_node *sender = kit_find(&c->kit, m->from);
            (void)kit_deliver(&c->kit, at, false);
            if (sender->r != NULL && often(c, 800)) {
                oak_raft_snapshot_sent(sender->r, peer, index, often(c, 800));
                kit_take(&c->kit, sender);
            }
            continue;
        }
        int e = kit_deliver(&c->kit, at, often(c, c->duplicates));
        if (e != OAK_RAFT_OK && c->kit.failures == 0) {
            c->kit.failures++;
            (void)snprintf(c->kit.first_failure, sizeof(c->kit.first_failure),
                           "an honest message was refused: %d", e);
        }
    }
}

static void partition(struct chaos *c)
{
    memset(c->cut, 0, sizeof(c->cut));
    uint64_t shape = oak_prng_below(&c->prng, 4);
    uint64_t side = oak_prng_u64(&c->prng); /* a bit a node */
    size_t alone = oak_prng_below(&c->prng, c->kit.node_count);
    for (size_t i = 0; i < c->kit.node_count && shape > 0; i++) {
        for (size_t j = 0; j < c->kit.node_count; j++) {
            bool single = i == alone || j == alone;
            bool across = (side >> i & 1) != (side >> j & 1);
            /* One node alone, two sides, or any link one way. */
            c->cut[i][j] = i != j && (shape == 1 ? single : shape == 2 ? across : often(c, 350));
        }
    }
}

static void maintain(struct chaos *c, struct kit_node *n)
{
    struct oak_raft_status s;
    oak_raft_status(n->r, &s);
    if (often(c, c->compactions) && s.applied >= s.first) {
        (void)kit_compact(&c->kit, n, oak_prng_between(&c->prng, s.first, s.applied));
    }
    if (s.role != OAK_RAFT_LEADER) {
        return;
    }
    struct oak_raft_peer_status rows[OAK_RAFT_MEMBERS_MAX];
    size_t count = oak_raft_peers(n->r, rows, OAK_RAFT_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].state == OAK_RAFT_PEER_SNAPSHOT && often(c, c->snapshots)) {
            kit_snapshot(&c->kit, n, rows[i].id);
        } else if (often(c, 10)) {
            oak_raft_unreachable(n->r, rows[i].id);
            kit_take(&c->kit, n);
        }
    }
}

static void propose(struct chaos *c, struct kit_node *n)
{
    for (uint64_t i = 1 + oak_prng_below(&c->prng, 3); i > 0; i--) {
        char text[64];
        (void)snprintf(text, sizeof(text), "v%llu%.*s", (unsigned long long)++c->written,
                       (int)oak_prng_below(&c->prng, 30), "..............................");
        (void)kit_propose(&c->kit, n, text);
    }
    kit_take(&c->kit, n);
}

static void churn_somewhere(struct chaos *c)
{
    for (size_t i = 0; i < c->kit.node_count; i++) {
        struct kit_node *n = &c->kit.nodes[i];
        struct oak_raft_status s = {0};
        if (n->r != NULL) {
            oak_raft_status(n->r, &s);
        }
        if (s.role == OAK_RAFT_LEADER) {
            if (often(c, 300)) {
                (void)oak_raft_transfer(n->r, oak_prng_below(&c->prng, c->kit.node_count + 1));
                kit_take(&c->kit, n);
            } else {
                kit_churn(&c->kit, n, &c->prng);
            }
        }
    }
}

static void disturb(struct chaos *c)
{
    struct kit_node *n = any_node(c);
    if (often(c, c->churn)) {
        churn_somewhere(c);
    }
    if (n->r == NULL) {
        if (often(c, c->damage)) {
            c->damaged += kit_damage_some(&c->kit, n, &c->prng);
        }
        if (often(c, 200)) {
            clocks_read(c, n);
            (void)kit_start(&c->kit, n, oak_prng_below(&c->prng, 4));
        }
        return;
    }
    if (often(c, c->crashes)) {
        kit_crash(&c->kit, n, oak_prng_below(&c->prng, n->batch_count + 1),
                  oak_prng_below(&c->prng, 6));
        return;
    }
    switch (oak_prng_below(&c->prng, 8)) {
    case 0:
        propose(c, n);
        break;
    case 1:
        read_some(c, n);
        break;
    case 2:
    case 3:
        tick(c, n, oak_prng_between(&c->prng, 10, often(c, 50) ? 400 : 60));
        break;
    case 4:
    case 5:
        if (!often(c, c->late_writes)) {
            (void)kit_persist(&c->kit, n, 1 + oak_prng_below(&c->prng, 3));
        }
        break;
    case 6:
        maintain(c, n);
        break;
    default:
        if (often(c, c->partitions)) {
            partition(c);
        } else if (often(c, c->ambition)) {
            (void)oak_raft_campaign(n->r);
            kit_take(&c->kit, n);
        }
        break;
    }
}

static void set_up(struct chaos *c, uint64_t seed)
{
    oak_prng_init(&c->prng, seed);
    kit_init(&c->kit);
    uint64_t voters = oak_prng_between(&c->prng, 1, 5);
    uint64_t learners = often(c, 300) ? 1 : 0;
    c->churn = often(c, 500) ? oak_prng_below(&c->prng, 150) : 0;
    uint64_t joiners = c->churn == 0 ? 0 : oak_prng_between(&c->prng, 0, KIT_NODES - 6);
    for (uint64_t id = 1; id <= voters + learners; id++) {
        if (id <= voters) {
            c->kit.config.voters[c->kit.config.voter_count++] = id;
        } else {
            c->kit.config.learners[c->kit.config.learner_count++] = id;
        }
    }
    if (seed % 2 == 1) {
        kit_clocks_draw(&c->clocks, &c->kit, &c->prng);
        c->naps = often(c, 600) ? oak_prng_below(&c->prng, 300) : 0;
    }
    struct oak_raft_options o = {.group = 1, .heartbeat_ms = 30, .election_ms = 150};
    if (often(c, 500)) {
        o.append_bytes_max = oak_prng_between(&c->prng, 1, 60);
        o.append_entries_max = often(c, 500) ? 1 : oak_prng_between(&c->prng, 1, 4);
        o.inflight_messages_max = often(c, 500) ? 1 : oak_prng_between(&c->prng, 1, 4);
        o.inflight_bytes_max = oak_prng_between(&c->prng, 1, 200);
        o.inflight_entries_max = oak_prng_between(&c->prng, 1, 8);
        o.apply_bytes_max = oak_prng_between(&c->prng, 1, 60);
        o.uncommitted_bytes_max = oak_prng_between(&c->prng, 1, 2000);
    }
    o.priority_calm_ms = often(c, 300) ? 400 : 0;
    bool ranked = often(c, 300);
    c->loss = often(c, 600) ? oak_prng_below(&c->prng, 200) : 0;
    c->duplicates = often(c, 500) ? oak_prng_below(&c->prng, 200) : 0;
    c->reorder = often(c, 600) ? oak_prng_below(&c->prng, 500) : 0;
    c->late_writes = often(c, 600) ? oak_prng_below(&c->prng, 900) : 0;
    c->crashes = often(c, 600) ? oak_prng_below(&c->prng, often(c, 300) ? 80 : 15) : 0;
    c->damage = often(c, 220) ? oak_prng_below(&c->prng, 150) : 0;
    if (c->damage > 0) {
        c->churn = 0; /* or those in doubt may become the only voters */
    }
    c->partitions = often(c, 600) ? oak_prng_below(&c->prng, 150) : 0;
    c->compactions = often(c, 600) ? oak_prng_below(&c->prng, 600) : 0;
    c->ambition = often(c, 500) ? oak_prng_below(&c->prng, 500) : 5;
    c->snapshots = oak_prng_between(&c->prng, 100, 900);
    for (uint64_t id = 1; id <= voters + learners; id++) {
        o.seed = seed * 16 + id;
        o.priority = ranked ? (uint8_t)oak_prng_below(&c->prng, 256) : 0;
        clocks_read(c, kit_add(&c->kit, id, &o));
    }
    for (uint64_t id = voters + learners + 1; id <= voters + learners + joiners; id++) {
        o.seed = seed * 16 + id;
        o.priority = ranked ? (uint8_t)oak_prng_below(&c->prng, 256) : 0;
        (void)kit_join(&c->kit, id, &o);
    }
}

/* A time step in which nothing is lost or late. */
static void calm_step(struct chaos *c)
{
    c->clocks.true_us += 10000;
    for (size_t i = 0; i < c->kit.node_count; i++) {
        struct kit_node *n = &c->kit.nodes[i];
        clocks_read(c, n);
        (void)kit_tick(&c->kit, n, c->clocks.on ? 0 : 10);
    }
    for (size_t turns = 0; turns < 4; turns++) {
        for (size_t i = 0; i < c->kit.node_count; i++) {
            (void)kit_persist(&c->kit, &c->kit.nodes[i], SIZE_MAX);
        }
        for (size_t left = c->kit.wire_count; left > 0 && c->kit.wire_count > 0; left--) {
            if (c->kit.wire[0].m.type == OAK_RAFT_MSG_SNAPSHOT) {
                struct kit_node *sender = kit_find(&c->kit, c->kit.wire[0].m.from);
                uint64_t peer = c->kit.wire[0].m.to;
                uint64_t index = c->kit.wire[0].m.snapshot.index;
                (void)kit_deliver(&c->kit, 0, false);
                oak_raft_snapshot_sent(sender->r, peer, index, true);
                kit_take(&c->kit, sender);
            } else {
                (void)kit_deliver(&c->kit, 0, false);
            }
        }
    }
    for (size_t i = 0; i < c->kit.node_count; i++) {
        struct oak_raft_peer_status rows[OAK_RAFT_MEMBERS_MAX];
        size_t count = oak_raft_peers(c->kit.nodes[i].r, rows, OAK_RAFT_MEMBERS_MAX);
        for (size_t p = 0; p < count; p++) {
            if (rows[p].state == OAK_RAFT_PEER_SNAPSHOT) {
                kit_snapshot(&c->kit, &c->kit.nodes[i], rows[p].id);
            }
        }
    }
}

static struct kit_node *leader_of(struct chaos *c)
{
    for (size_t i = 0; i < c->kit.node_count; i++) {
        struct oak_raft_status s;
        oak_raft_status(c->kit.nodes[i].r, &s);
        if (s.role == OAK_RAFT_LEADER) {
            return &c->kit.nodes[i];
        }
    }
    return NULL;
}

/* Does everybody in the leader's configuration know it? */
static bool followed(struct chaos *c, const struct kit_node *leader)
{
    const struct oak_raft_config *config = oak_raft_config(leader->r);
    for (size_t i = 0; i < c->kit.node_count; i++) {
        struct oak_raft_status s;
        oak_raft_status(c->kit.nodes[i].r, &s);
        if (kit_config_has(config, c->kit.nodes[i].id) && s.leader != leader->id) {
            return false;
        }
    }
    return true;
}

/* All faults end: the group must come to itself. False: it did not. */
static bool heals(struct chaos *c)
{
    memset(c->cut, 0, sizeof(c->cut));
    memset(c->clocks.asleep_us, 0, sizeof(c->clocks.asleep_us));
    for (size_t i = 0; i < c->kit.node_count; i++) {
        struct kit_node *n = &c->kit.nodes[i];
        clocks_read(c, n);
        if (n->r == NULL && kit_start(&c->kit, n, 0) != OAK_RAFT_OK) {
            return false;
        }
    }
    bool proposed = false;
    uint64_t target = 0;
    /* Three leaders in a row may each wait out the lease of the one before: two that lost their
     * vote by an entry whose commit they had not heard of, then one that has it. */
    size_t patience = 600 + 3 * c->kit.config.lease_ms / 5;
    for (size_t steps = 0; steps < patience && c->kit.failures == 0; steps++) {
        calm_step(c);
        struct kit_node *leader = leader_of(c);
        struct oak_raft_status s = {.commit_deferred = true};
        if (leader != NULL) {
            oak_raft_status(leader->r, &s);
        }
        /* Reads that wait for a deferred commit may be lost before it comes; one that was elected
         * only now is not known to everybody. */
        if (s.commit_deferred || steps < 150 || (!proposed && !followed(c, leader))) {
            continue;
        }
        const struct oak_raft_config *config = oak_raft_config(leader->r);
        if (!proposed) {
            proposed = kit_propose(&c->kit, leader, "last words") == OAK_RAFT_OK;
            kit_take(&c->kit, leader);
            oak_raft_status(leader->r, &s);
            target = s.last;
            for (size_t i = 0; i < c->kit.node_count; i++) {
                uint64_t seq = 0;
                if (!kit_config_has(config, c->kit.nodes[i].id)) {
                    continue;
                }
                if (kit_read(&c->kit, &c->kit.nodes[i], &seq) != OAK_RAFT_OK) {
                    return false;
                }
                c->kit.nodes[i].reads_ok = 0;
                kit_take(&c->kit, &c->kit.nodes[i]);
            }
        }
        bool done = proposed && config->voter_outgoing_count == 0;
        for (size_t i = 0; i < c->kit.node_count; i++) {
            struct kit_node *n = &c->kit.nodes[i];
            if (!kit_config_has(config, n->id)) {
                continue;
            }
            done = done && n->applied >= target && n->reads_ok > 0 &&
                   n->read_answered == n->read_count && !n->disk.in_doubt;
        }
        if (done) {
            return true;
        }
    }
    return false;
}

static void say(void *user, const char *line)
{
    (void)user;
    print_message("%s\n", line);
}

static bool run_seed(uint64_t seed, bool aloud, struct totals *totals)
{
    struct chaos *c = calloc(1, sizeof(*c));
    set_up(c, seed);
    if (aloud) {
        c->kit.say = say;
    }
    size_t steps = 200 + oak_prng_below(&c->prng, 1200);
    for (size_t i = 0; i < steps && c->kit.failures == 0; i++) {
        disturb(c);
        if (often(c, 200)) {
            leases_ask(c);
        }
        deliver_some(c);
        if (c->kit.wire_count > 200) {
            kit_drop(&c->kit, 0);
        }
    }
    kit_compare_disks(&c->kit);
    bool ok = c->kit.failures == 0;
    if (ok && !heals(c)) {
        ok = false;
        if (c->kit.failures == 0) {
            (void)snprintf(c->kit.first_failure, sizeof(c->kit.first_failure),
                           "the group does not come to itself");
        }
    }
    kit_compare_disks(&c->kit);
    ok = ok && c->kit.failures == 0;
    if (!ok) {
        print_message("seed %llu: %s\n", (unsigned long long)seed, c->kit.first_failure);
    }
    totals->seeds++;
    totals->damaged += c->damaged;
    totals->applied += c->kit.applied_total;
    totals->restored += c->kit.restored_total;
    totals->changes += c->kit.changes;
    for (size_t i = 0; i < c->kit.node_count; i++) {
        totals->reads_ok += c->kit.nodes[i].reads_ok;
        totals->reads_lost += c->kit.nodes[i].reads_lost;
        totals->leases += c->kit.nodes[i].leases_ok;
        totals->inherited += c->kit.nodes[i].leases_inherited;
    }
    for (size_t i = 0; i < sizeof(c->kit.leaders) / sizeof(c->kit.leaders[0]); i++) {
        totals->elections += c->kit.leaders[i] != 0;
    }
    kit_fini(&c->kit);
    free(c);
    return ok;
}

static uint64_t seed_first = 1;
#if defined(OAK_SLOW_BUILD)
static uint64_t seed_count = 1000;
#else
static uint64_t seed_count = 3000;
#endif

static void clusters_stay_safe_under_faults_and_recover_after_them(void **state)
{
    (void)state;
    struct totals t = {0};
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++) {
        if (!run_seed(seed, false, &t)) {
            if (seed_count == 1) {
                (void)run_seed(seed, true, &t);
            }
            fail();
        }
    }
    print_message("%llu seeds: %llu elections, %llu applied, %llu changes of voters, "
                  "%llu snapshots installed, %llu reads answered, %llu lost, %llu by lease, "
                  "%llu by an inherited one, %llu logs damaged\n",
                  (unsigned long long)t.seeds, (unsigned long long)t.elections,
                  (unsigned long long)t.applied, (unsigned long long)t.changes,
                  (unsigned long long)t.restored, (unsigned long long)t.reads_ok,
                  (unsigned long long)t.reads_lost, (unsigned long long)t.leases,
                  (unsigned long long)t.inherited, (unsigned long long)t.damaged);
    /* A test that exercises nothing proves nothing. */
    if (seed_count >= 1000) {
        assert_true(t.elections > t.seeds);
        assert_true(t.applied > 10 * t.seeds);
        assert_true(t.damaged > t.seeds / 10);
        assert_true(t.restored > t.seeds / 10);
        assert_true(t.reads_ok > t.seeds);
        assert_true(t.leases > t.seeds);
        assert_true(t.inherited > t.seeds / 100);
        assert_true(t.changes > t.seeds / 6);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    kit_wake_bug();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_stay_safe_under_faults_and_recover_after_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
