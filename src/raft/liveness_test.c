/* SPDX-License-Identifier: Apache-2.0 */
/* liveness_test.c: a connected majority gets work done, whatever the rest of the network does.
 *
 * A cluster serves with some leader. Then links fail, each direction for itself, and stay so; only
 * a majority in which everybody still hears everybody is left, somewhere, with the old leader in it
 * or not, and perhaps in reach of a bridge only. Within LIMIT election time-outs something that was
 * proposed after that must commit: a leader that can't commit lets go. And a leader that is in such
 * a majority stays: nobody who hears too little disturbs it, also while the group is idle and all
 * logs are equally good.
 *
 * All networks of three members are tried, all of five whose links work both ways or not at all,
 * and many of five with one-way links. Checkers that see only wrong answers see nothing of a group
 * that gives none: this is the test that does (openraft#2079).
 *
 *     test_raft_liveness [MEMBERS LEADER SEED LINKS...]      one cluster, aloud
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

#define ELECTION_MS  150
#define HEARTBEAT_MS 30
#define STEP_MS      10
#define LIMIT        10 /* in least election time-outs; one is drawn from one to two of them */
#define CALM_MS      STEP_MS
#if defined(OAK_SLOW_BUILD)
#define RANDOM_RUNS 40
#define PAIRS_STEP  7 /* of the networks of five */
#else
#define RANDOM_RUNS 300
#define PAIRS_STEP  1
#endif

struct net {
    struct kit kit;
    size_t size;
    uint32_t links; /* bit from * size + to */
    bool idle;      /* at first, after each change of links */
    uint64_t written;
    uint64_t worst_ms; /* from a change of links to a commit of something proposed after it */
    uint64_t stays;    /* good leaders that had to stay */
    uint64_t calm_ms;  /* the longest pause between commits, once all has come to rest */
};

static bool linked(const struct net *n, size_t from, size_t to)
{
    return (n->links >> (from * n->size + to) & 1) != 0;
}

static uint32_t all_links(size_t size)
{
    uint32_t links = 0;
    for (size_t i = 0; i < size * size; i++) {
        links |= i / size == i % size ? 0 : (uint32_t)1 << i;
    }
    return links;
}

/* Is there a majority, with all of `with` (bits) in it, in which everybody hears everybody? */
static bool has_core(size_t size, uint32_t links, uint32_t with)
{
    for (uint32_t set = 1; set < (uint32_t)1 << size; set++) {
        size_t members = 0;
        bool whole = true;
        for (size_t i = 0; i < size; i++) {
            members += set >> i & 1;
            for (size_t j = 0; j < size; j++) {
                bool inside = (set >> i & 1) != 0 && (set >> j & 1) != 0 && i != j;
                whole = whole && (!inside || (links >> (i * size + j) & 1) != 0);
            }
        }
        if (whole && 2 * members > size && (set & with) == with) {
            return true;
        }
    }
    return false;
}

/* What can be delivered is, until nothing moves any more. */
static void settle(struct net *n)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < n->size; i++) {
            moved = kit_persist(&n->kit, &n->kit.nodes[i], SIZE_MAX) > 0 || moved;
        }
        for (size_t left = n->kit.wire_count; left > 0; left--) {
            const struct oak_raft_msg *m = &n->kit.wire[0].m;
            if (linked(n, (size_t)m->from - 1, (size_t)m->to - 1)) {
                (void)kit_deliver(&n->kit, 0, false);
                moved = true;
            } else {
                kit_drop(&n->kit, 0);
            }
        }
    }
}

/* A step of time passes; when busy, whoever leads proposes. */
static void step(struct net *n, bool busy)
{
    for (size_t i = 0; i < n->size; i++) {
        struct kit_node *each = &n->kit.nodes[i];
        struct oak_raft_status s;
        oak_raft_status(each->r, &s);
        if (s.role == OAK_RAFT_LEADER && busy) {
            char text[32];
            (void)snprintf(text, sizeof(text), "v%llu", (unsigned long long)++n->written);
            (void)kit_propose(&n->kit, each, text);
            kit_take(&n->kit, each);
        }
    }
    settle(n);
    for (size_t i = 0; i < n->size; i++) {
        (void)kit_tick(&n->kit, &n->kit.nodes[i], STEP_MS);
    }
    settle(n);
}

/* How long until something new of `from` or later is applied; more than `limit_ms` if not by then.
 */
static uint64_t time_to_commit(struct net *n, uint64_t limit_ms)
{
    uint64_t from = n->written + 1; /* the number of the first proposal that counts */
    for (uint64_t ms = 0; ms <= limit_ms; ms += STEP_MS) {
        step(n, true);
        const struct kit_entry *last = &n->kit.truth[n->kit.truth_count - 1];
        if (last->type == OAK_RAFT_ENTRY_DATA && last->size > 1) {
            char text[32] = {0};
            memcpy(text, last->data + 1, last->size - 1);
            if (strtoull(text, NULL, 10) >= from) {
                return ms;
            }
        }
    }
    return limit_ms + STEP_MS;
}

static void say(void *user, const char *line)
{
    (void)user;
    (void)printf("%s\n", line);
}

static void set_up(struct net *n, size_t size, size_t leader, uint64_t seed)
{
    memset(n, 0, sizeof(*n));
    kit_init(&n->kit);
    n->size = size;
    n->idle = seed % 2 == 1;
    n->links = all_links(size);
    struct oak_raft_options o = {
        .group = 1, .heartbeat_ms = HEARTBEAT_MS, .election_ms = ELECTION_MS};
    for (uint64_t id = 1; id <= size; id++) {
        n->kit.config.voters[n->kit.config.voter_count++] = id;
    }
    for (uint64_t id = 1; id <= size; id++) {
        o.seed = seed * 16 + id;
        (void)kit_add(&n->kit, id, &o);
    }
    (void)oak_raft_campaign(n->kit.nodes[leader].r);
    kit_take(&n->kit, &n->kit.nodes[leader]);
    settle(n);
}

static void pass(struct net *n, uint64_t ms, bool busy)
{
    for (; ms > 0; ms -= STEP_MS) {
        step(n, busy);
    }
}

/* Who leads the newest term, and which: 0 for nobody. */
static size_t leader_of(const struct net *n, uint64_t *term)
{
    size_t at = n->size;
    *term = 0;
    for (size_t i = 0; i < n->size; i++) {
        struct oak_raft_status s;
        oak_raft_status(n->kit.nodes[i].r, &s);
        if (s.role == OAK_RAFT_LEADER && s.term > *term) {
            *term = s.term;
            at = i;
        }
    }
    return at;
}

/* The links are these from now on, and the group is idle: all logs are as good as the leader's, so
 * who would disturb, can. One that belongs to such a majority must stay. */
static bool good_leader_stays(struct net *n, uint64_t limit_ms)
{
    uint64_t before = 0;
    uint64_t after = 0;
    size_t leader = leader_of(n, &before);
    bool good = leader < n->size && has_core(n->size, n->links, (uint32_t)1 << leader);
    pass(n, limit_ms, false);
    n->stays += good;
    return !good || (leader_of(n, &after) == leader && before == after);
}

/* Then proposals come. True when the cluster lives on: it commits within the limit, and once it had
 * as long to come to rest, at once and under the same leader. */
static bool live_on(struct net *n, uint32_t links)
{
    uint64_t limit_ms = (uint64_t)LIMIT * ELECTION_MS;
    n->links = links;
    if (n->idle && !good_leader_stays(n, limit_ms)) {
        return false;
    }
    uint64_t ms = time_to_commit(n, limit_ms);
    n->worst_ms = ms > n->worst_ms ? ms : n->worst_ms;
    if (ms > limit_ms) {
        return false;
    }
    pass(n, limit_ms, true);
    uint64_t term = n->kit.truth[n->kit.truth_count - 1].term;
    ms = time_to_commit(n, limit_ms);
    n->calm_ms = ms > n->calm_ms ? ms : n->calm_ms;
    return n->calm_ms <= CALM_MS && n->kit.truth[n->kit.truth_count - 1].term == term;
}

struct outcome {
    size_t runs;
    size_t bad;
    uint64_t worst_ms;
    uint64_t calm_ms;
    uint64_t stays;
};

/* One cluster, whose links are first these, then those. */
static void run(struct outcome *sum, size_t size, const uint32_t *links, size_t count,
                size_t leader, uint64_t seed, bool aloud)
{
    static struct net n;
    if (sum->bad >= 10) {
        return;
    }
    set_up(&n, size, leader, seed);
    n.kit.say = aloud ? say : NULL;
    bool alive = live_on(&n, all_links(size));
    n.worst_ms = 0;
    for (size_t i = 0; i < count && alive; i++) {
        assert_true(has_core(size, links[i], 0));
        alive = live_on(&n, links[i]);
    }
    if (!alive || n.kit.failures > 0) {
        (void)fprintf(stderr, "%zu members, leader %zu, seed %llu, links", size, leader + 1,
                      (unsigned long long)seed);
        for (size_t i = 0; i < count; i++) {
            (void)fprintf(stderr, " %#x", links[i]);
        }
        (void)fprintf(stderr, ": %s (first commit after %llu ms, later pause %llu ms)\n",
                      alive ? n.kit.first_failure : "no progress", (unsigned long long)n.worst_ms,
                      (unsigned long long)n.calm_ms);
        sum->bad++;
    }
    sum->runs++;
    sum->worst_ms = n.worst_ms > sum->worst_ms ? n.worst_ms : sum->worst_ms;
    sum->stays += n.stays;
    sum->calm_ms = n.calm_ms > sum->calm_ms ? n.calm_ms : sum->calm_ms;
    kit_fini(&n.kit);
}

static void verdict(const struct outcome *sum, size_t runs_min)
{
    (void)printf("%zu clusters; after a change of links the first commit took up to %.1f election "
                 "time-outs, later ones up to %llu ms; %llu good leaders stayed\n",
                 sum->runs, (double)sum->worst_ms / ELECTION_MS, (unsigned long long)sum->calm_ms,
                 (unsigned long long)sum->stays);
    assert_int_equal(sum->bad, 0);
    assert_true(sum->runs >= runs_min);
    assert_true(sum->stays >= runs_min / 4);
}

static void every_network_of_three_with_a_majority_lives_on(void **state)
{
    (void)state;
    struct outcome sum = {0};
    for (uint32_t links = 0; links <= all_links(3); links++) {
        for (size_t leader = 0; leader < 3 && (links & ~all_links(3)) == 0; leader++) {
            for (uint64_t seed = 1; seed <= 4 && has_core(3, links, 0); seed++) {
                run(&sum, 3, &links, 1, leader, seed, false);
            }
        }
    }
    verdict(&sum, 37 * 3 * 4); /* a pair of three is whole in 3 * 16 - 3 * 4 + 1 of 64 networks */
}

static void every_network_of_five_with_a_majority_lives_on(void **state)
{
    (void)state;
    struct outcome sum = {0};
    for (uint32_t pairs = 0; pairs < 1024; pairs += PAIRS_STEP) {
        uint32_t links = 0;
        uint32_t pair = 0;
        for (size_t i = 0; i < 5; i++) {
            for (size_t j = i + 1; j < 5; j++, pair++) {
                if ((pairs >> pair & 1) != 0) {
                    links |= (uint32_t)1 << (i * 5 + j) | (uint32_t)1 << (j * 5 + i);
                }
            }
        }
        /* Members differ in their number only, and all networks are tried: one leader will do. */
        if (has_core(5, links, 0)) {
            run(&sum, 5, &links, 1, 0, 2 * (uint64_t)pairs, false);
            run(&sum, 5, &links, 1, 0, 2 * (uint64_t)pairs + 1, false);
        }
    }
    verdict(&sum, 1000 / PAIRS_STEP);
}

/* Three that hear each other, and any links beside, one way or both. */
static uint32_t draw_links(struct oak_prng *prng)
{
    uint32_t links = (uint32_t)oak_prng_u64(prng) & all_links(5);
    links &= oak_prng_below(prng, 2) == 0 ? (uint32_t)oak_prng_u64(prng) : UINT32_MAX;
    size_t first = oak_prng_below(prng, 5);
    size_t apart = oak_prng_between(prng, 1, 2); /* all threes of five, but for turning the ring */
    size_t core[3] = {first, (first + 1) % 5, (first + 1 + apart) % 5};
    for (size_t i = 0; i < 9; i++) {
        links |= i / 3 == i % 3 ? 0 : (uint32_t)1 << (core[i / 3] * 5 + core[i % 3]);
    }
    return links;
}

static void networks_of_five_with_one_way_links_live_on(void **state)
{
    (void)state;
    struct outcome sum = {0};
    struct oak_prng prng;
    oak_prng_init(&prng, 11);
    for (uint64_t seed = 0; seed < RANDOM_RUNS; seed++) {
        /* Each finds the terms and the logs that the one before it left behind. */
        uint32_t links[4];
        for (size_t i = 0; i < 4; i++) {
            links[i] = draw_links(&prng);
        }
        run(&sum, 5, links, 4, seed / 2 % 5, seed, false);
    }
    verdict(&sum, RANDOM_RUNS);
}

/* MEMBERS LEADER SEED LINKS... */
static int replay(int argc, char **argv)
{
    struct outcome sum = {0};
    uint32_t links[8];
    size_t count = 0;
    for (int i = 4; i < argc && count < 8; i++) {
        links[count++] = (uint32_t)strtoul(argv[i], NULL, 0);
    }
    run(&sum, strtoul(argv[1], NULL, 10), links, count, strtoul(argv[2], NULL, 10) - 1,
        strtoull(argv[3], NULL, 10), true);
    return sum.bad == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    kit_wake_bug();
    if (argc > 4) {
        return replay(argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_network_of_three_with_a_majority_lives_on),
        cmocka_unit_test(every_network_of_five_with_a_majority_lives_on),
        cmocka_unit_test(networks_of_five_with_one_way_links_live_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
