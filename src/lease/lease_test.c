/* SPDX-License-Identifier: Apache-2.0 */
/* lease_test.c: the room against a plain list, in random time; and its memory, failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base.h"
#include "lease/lease.h"

#define SECOND UINT64_C(1000000000)
#define RATE   1000
#define PACE   (20 * SECOND)

/* -- a plain list ------------------------------------------------------------------------------ */

enum { IDS = 400 };

struct plain {
    bool there;
    int64_t ttl, written;
    uint64_t end; /* the earliest that it may be revoked */
    uint64_t index;
};

struct twin {
    struct oak_prng prng;
    struct oak_lease_table *l;
    struct plain leases[IDS + 1];
    uint64_t now;
    uint64_t index;
    bool leads;
    unsigned revoked, renewed, written, promoted;
};

static void *heap_resize(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

static struct oak_lease_table *table_new(void)
{
    struct oak_lease_table *l = NULL;
    const struct oak_lease_options options = {
        .alloc = {.resize = heap_resize}, .revokes_a_second = RATE, .checkpoint_ns = PACE};
    assert_int_equal(oak_lease_new(&options, &l), 0);
    return l;
}

static int64_t any_id(struct twin *t)
{
    return 1 + (int64_t)oak_prng_below(&t->prng, IDS);
}

static void do_grant(struct twin *t)
{
    int64_t id = any_id(t);
    struct plain *p = &t->leases[id];
    if (p->there) {
        return;
    }
    int64_t ttl = 1 + (int64_t)oak_prng_below(&t->prng, oak_prng_chance(&t->prng, 1, 4) ? 2000 : 9);
    *p = (struct plain){.there = true, .ttl = ttl, .end = t->now + (uint64_t)ttl * SECOND};
    assert_int_equal(oak_lease_grant(t->l, t->now, id, ttl, 0), 0);
}

static void apply_revoke(struct twin *t, int64_t id)
{
    t->leases[id] = (struct plain){0};
    oak_lease_revoked(t->l, id);
}

static void do_renew(struct twin *t)
{
    int64_t id = any_id(t);
    struct plain *p = &t->leases[id];
    struct oak_lease_answer a;
    enum oak_lease_fate fate = oak_lease_renew(t->l, t->now, id, &a);
    if (!p->there) {
        assert_int_equal(fate, OAK_LEASE_UNKNOWN);
    } else if (p->index != 0) {
        assert_int_equal(fate, OAK_LEASE_ENDING);
        assert_int_equal(a.revoked_at, p->index);
    } else if (fate == OAK_LEASE_ENDING) {
        assert_true(p->end <= t->now);
        assert_int_equal(a.revoked_at, 0);
    } else {
        assert_int_equal(fate, OAK_LEASE_ALIVE);
        assert_int_equal(a.ttl_s, p->ttl);
        assert_int_equal(a.written_down, p->written > 0);
        t->renewed++;
        uint64_t end = t->now + (uint64_t)p->ttl * SECOND;
        p->end = OAK_MAX(p->end, end);
        if (a.written_down) {
            p->written = 0;
            oak_lease_checkpointed(t->l, id, 0);
        }
        assert_int_equal(oak_lease_look(t->l, t->now, id, &a), OAK_LEASE_ALIVE);
        assert_true(a.left_ns >= (int64_t)p->ttl * (int64_t)SECOND);
        assert_false(a.written_down);
    }
}

static void do_due(struct twin *t)
{
    int64_t id = 0;
    unsigned count = 0;
    uint64_t before = 0;
    while (oak_lease_due(t->l, t->now, &id)) {
        struct oak_lease_answer a;
        assert_int_equal(oak_lease_look(t->l, t->now, id, &a), OAK_LEASE_ENDING);
        struct plain *p = &t->leases[id];
        assert_true(p->there);
        assert_int_equal(p->index, 0);
        assert_true(p->end <= t->now);
        uint64_t late = (uint64_t)-a.left_ns;
        assert_true(count == 0 || late <= before); /* the oldest first */
        before = late;
        p->index = ++t->index;
        oak_lease_revoking(t->l, t->now, id, p->index);
        count++;
        assert_true(count <= RATE / 4 + 1);
    }
    t->revoked += count;
}

static void do_notes(struct twin *t)
{
    int64_t id = 0;
    int64_t left = 0;
    while (oak_lease_checkpoint_due(t->l, t->now, &id, &left)) {
        struct plain *p = &t->leases[id];
        assert_true(p->there && p->index == 0);
        assert_true(left >= 1 && left <= p->ttl);
        /* Whoever believes it ends the lease no earlier than was promised. */
        assert_true(left == p->ttl || t->now + (uint64_t)left * SECOND >= p->end);
        p->written = left;
        t->written++;
    }
}

/* A new leader knows what is replicated, and nothing else. */
static void do_lead(struct twin *t)
{
    t->leads = !t->leads;
    if (!t->leads) {
        oak_lease_demote(t->l);
        assert_false(oak_lease_leads(t->l));
        return;
    }
    uint64_t slack = oak_prng_below(&t->prng, 3) * SECOND;
    t->promoted++;
    for (int64_t id = 1; id <= IDS; id++) {
        struct plain *p = &t->leases[id];
        if (p->there && p->index != 0 && oak_prng_chance(&t->prng, 1, 2)) {
            *p = (struct plain){0}; /* its revocation was committed */
        }
        if (p->there) {
            int64_t left = p->written != 0 ? p->written : p->ttl;
            p->index = 0;
            p->end = t->now + (uint64_t)left * SECOND + slack;
            assert_int_equal(oak_lease_grant(t->l, t->now, id, p->ttl, p->written), 0);
        }
    }
    oak_lease_promote(t->l, t->now, slack);
    assert_true(oak_lease_leads(t->l));
}

/* Nobody is forgotten: with the time at the end of all, all are due. */
static void drain(struct twin *t)
{
    for (int i = 0; i < 3000; i++) {
        t->now += SECOND;
        do_due(t);
        for (int64_t id = 1; id <= IDS; id++) {
            if (t->leases[id].index != 0) {
                apply_revoke(t, id);
            }
        }
    }
    assert_int_equal(oak_lease_ids(t->l, NULL, 0), 0);
    for (int64_t id = 1; id <= IDS; id++) {
        assert_false(t->leases[id].there);
    }
}

static void random_time_as_a_plain_list_has_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct twin t = {.now = seed * SECOND, .l = table_new()};
        oak_prng_init(&t.prng, seed);
        do_lead(&t);
        for (int step = 0; step < 20000; step++) {
            uint64_t dice = oak_prng_below(&t.prng, 1000);
            if (!t.leads) {
                t.now += oak_prng_below(&t.prng, 5 * SECOND);
                do_lead(&t);
            } else if (dice < 350) {
                do_grant(&t);
            } else if (dice < 600) {
                do_renew(&t);
            } else if (dice < 700) {
                do_due(&t);
                do_notes(&t);
            } else if (dice < 800) {
                int64_t id = any_id(&t);
                if (t.leases[id].index != 0 || oak_prng_chance(&t.prng, 1, 8)) {
                    apply_revoke(&t, id);
                }
            } else if (dice < 998) {
                t.now += oak_prng_below(&t.prng,
                                        oak_prng_chance(&t.prng, 1, 50) ? 60 * SECOND : SECOND / 2);
            } else {
                do_lead(&t);
            }
        }
        if (!t.leads) {
            do_lead(&t);
        }
        drain(&t);
        assert_true(t.revoked > 100 && t.renewed > 100 && t.written > 100 && t.promoted > 5);
        oak_lease_free(t.l);
    }
}

static void a_pile_is_spread_behind_its_first(void **state)
{
    (void)state;
    enum { PILE = 10000 };
    struct oak_lease_table *l = table_new();
    for (int64_t id = 1; id <= PILE; id++) {
        assert_int_equal(oak_lease_grant(l, 0, id, 10, 0), 0);
    }
    oak_lease_promote(l, 5 * SECOND, SECOND);
    int64_t *ids = malloc(PILE * sizeof(*ids));
    assert_int_equal(oak_lease_ids(l, ids, PILE), PILE);
    int64_t before = 0;
    for (int i = 0; i < PILE; i++) {
        struct oak_lease_answer a;
        assert_int_equal(oak_lease_look(l, 5 * SECOND, ids[i], &a), OAK_LEASE_ALIVE);
        assert_true(i > 0 || a.left_ns == (int64_t)(11 * SECOND));
        assert_true(i == 0 || a.left_ns - before >= (int64_t)(SECOND / 750));
        before = a.left_ns;
    }
    /* In any second no more than 750 of them, and all in no more time than that takes. */
    assert_true(before <= (int64_t)(11 * SECOND + PILE * (SECOND / 750 + 1)));
    free(ids);
    oak_lease_free(l);
}

static void no_more_are_due_than_may_be(void **state)
{
    (void)state;
    struct oak_lease_table *l = table_new();
    oak_lease_promote(l, SECOND, 0);
    for (int64_t id = 1; id <= 5000; id++) {
        assert_int_equal(oak_lease_grant(l, SECOND, id, 1, 0), 0);
    }
    unsigned count = 0;
    uint64_t index = 0;
    for (uint64_t now = 10 * SECOND; now < 12 * SECOND; now += SECOND / 40) {
        int64_t id = 0;
        while (oak_lease_due(l, now, &id)) {
            oak_lease_revoking(l, now, id, ++index);
            count++;
        }
    }
    assert_in_range(count, 2 * RATE, 2 * RATE + RATE / 4 + RATE / 40 + 1);
    oak_lease_free(l);
}

static void what_is_written_down_is_taken_back_by_a_keepalive(void **state)
{
    (void)state;
    struct oak_lease_table *l = table_new();
    struct oak_lease_answer a;
    int64_t id = 0;
    int64_t left = 0;
    oak_lease_promote(l, 0, 0);
    assert_int_equal(oak_lease_grant(l, 0, 7, 1000, 0), 0);
    assert_int_equal(oak_lease_grant(l, 0, 8, 20, 0), 0); /* too short a life for it */
    assert_false(oak_lease_checkpoint_due(l, PACE - 1, &id, &left));
    assert_true(oak_lease_checkpoint_due(l, PACE, &id, &left));
    assert_int_equal(id, 7);
    assert_int_equal(left, 980);
    assert_false(oak_lease_checkpoint_due(l, PACE, &id, &left));
    assert_int_equal(oak_lease_renew(l, PACE + SECOND, 7, &a), OAK_LEASE_ALIVE);
    assert_true(a.written_down);
    oak_lease_checkpointed(l, 7, 980); /* the one from before comes through */
    assert_int_equal(oak_lease_renew(l, PACE + SECOND, 7, &a), OAK_LEASE_ALIVE);
    assert_true(a.written_down);
    oak_lease_checkpointed(l, 7, 0);
    assert_int_equal(oak_lease_renew(l, PACE + SECOND, 7, &a), OAK_LEASE_ALIVE);
    assert_false(a.written_down);
    oak_lease_free(l);
}

/* A log that stands still for longer than the pace: a note that was made meanwhile would come
 * through behind what takes the first one back, and hold against the keepalive that is answered
 * then. */
static void nothing_is_written_down_while_something_is_taken_back(void **state)
{
    (void)state;
    struct oak_lease_table *l = table_new();
    struct oak_lease_answer a;
    int64_t id = 0;
    int64_t left = 0;
    oak_lease_promote(l, 0, 0);
    assert_int_equal(oak_lease_grant(l, 0, 7, 1000, 0), 0);
    assert_true(oak_lease_checkpoint_due(l, PACE, &id, &left));
    for (int twice = 0; twice < 2; twice++) { /* two keepalives: each takes it back */
        assert_int_equal(oak_lease_renew(l, PACE + SECOND, 7, &a), OAK_LEASE_ALIVE);
        assert_true(a.written_down);
        oak_lease_taking_back(l, 7);
    }
    oak_lease_checkpointed(l, 7, 980);
    assert_false(oak_lease_checkpoint_due(l, 3 * PACE, &id, &left));
    oak_lease_checkpointed(l, 7, 0);
    assert_int_equal(oak_lease_renew(l, 3 * PACE, 7, &a), OAK_LEASE_ALIVE);
    assert_false(a.written_down);
    assert_false(oak_lease_checkpoint_due(l, 5 * PACE, &id, &left));
    oak_lease_checkpointed(l, 7, 0);
    assert_true(oak_lease_checkpoint_due(l, 7 * PACE, &id, &left));
    assert_int_equal(left, 1000 - 4 * (int64_t)(PACE / SECOND));
    oak_lease_free(l);
}

/* -- memory ------------------------------------------------------------------------------------ */

struct failing {
    int left; /* allocations that still succeed */
};

static void *failing_resize(void *user, void *p, size_t size)
{
    struct failing *f = user;
    if (size > 0 && f->left-- <= 0) {
        return NULL;
    }
    return heap_resize(NULL, p, size);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    bool whole = false;
    for (int left = 0; !whole; left++) {
        struct failing f = {.left = left};
        const struct oak_lease_options options = {.alloc = {.resize = failing_resize, .user = &f},
                                                  .revokes_a_second = RATE};
        struct oak_lease_table *l = NULL;
        int error = oak_lease_new(&options, &l);
        int64_t granted = 0;
        while (error == 0 && granted < 200) {
            error = oak_lease_grant(l, 0, granted + 1, 5, 0);
            granted += error == 0 ? 1 : 0;
        }
        assert_true(error == 0 || error == OAK_ENOMEM);
        if (l != NULL) {
            /* What was there before is whole. */
            struct oak_lease_answer a;
            oak_lease_promote(l, 0, 0);
            assert_int_equal(oak_lease_ids(l, NULL, 0), granted);
            for (int64_t id = 1; id <= granted; id++) {
                assert_int_equal(oak_lease_renew(l, 0, id, &a), OAK_LEASE_ALIVE);
            }
            assert_int_equal(oak_lease_renew(l, 0, granted + 1, &a), OAK_LEASE_UNKNOWN);
        }
        whole = error == 0;
        oak_lease_free(l);
        assert_true(left < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_time_as_a_plain_list_has_it),
        cmocka_unit_test(a_pile_is_spread_behind_its_first),
        cmocka_unit_test(no_more_are_due_than_may_be),
        cmocka_unit_test(what_is_written_down_is_taken_back_by_a_keepalive),
        cmocka_unit_test(nothing_is_written_down_while_something_is_taken_back),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
