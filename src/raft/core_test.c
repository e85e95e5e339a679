/* SPDX-License-Identifier: Apache-2.0 */
/* core_test.c: the parts of the core against dumb twins, and what halts it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/prng.h"
#include "raft/internal.h"

/* An allocator that counts, and fails when told. */
struct meter {
    size_t live;
    size_t calls;
    size_t fail_at; /* the call that fails, from 1; 0: none */
    bool failed;
};

static void *meter_resize(void *user, void *p, size_t size)
{
    struct meter *meter = user;
    if (size == 0) {
        meter->live -= p != NULL;
        free(p);
        return NULL;
    }
    meter->calls++;
    if (meter->calls == meter->fail_at) {
        meter->failed = true;
        return NULL;
    }
    meter->live += p == NULL;
    return realloc(p, size);
}

static struct oak_raft_alloc meter_alloc(struct meter *meter)
{
    return (struct oak_raft_alloc){.resize = meter_resize, .user = meter};
}

/* -- log --------------------------------------------------------------------------------------- */

#define TWIN_MAX 4096

struct twin {
    uint64_t terms[TWIN_MAX]; /* by index */
    uint64_t base;
    uint64_t last;
};

static void log_equals_twin(const struct raft__log *log, const struct twin *twin)
{
    assert_int_equal(log->base, twin->base);
    assert_int_equal(raft__log_last(log), twin->last);
    size_t bytes = 0;
    for (uint64_t i = twin->base; i <= twin->last; i++) {
        uint64_t term = 0;
        assert_true(raft__log_term(log, i, &term));
        assert_int_equal(term, twin->terms[i]);
        if (i > twin->base) {
            const struct oak_raft_entry *e = raft__log_at(log, i);
            assert_int_equal(e->index, i);
            assert_int_equal(e->size, i % 5);
            bytes += e->size;
            if (e->size > 0) {
                assert_int_equal(*(const uint8_t *)e->data, (uint8_t)(i ^ term));
            }
        }
    }
    uint64_t term = 0;
    assert_false(raft__log_term(log, twin->last + 1, &term));
    assert_int_equal(log->bytes, bytes);
}

static void twin_append(struct raft__log *log, struct twin *twin, struct meter *meter,
                        uint64_t term)
{
    struct oak_raft_alloc alloc = meter_alloc(meter);
    assert_int_equal(raft__log_reserve(log, 1), OAK_RAFT_OK);
    uint64_t index = raft__log_last(log) + 1;
    uint8_t bytes[5];
    memset(bytes, (int)(index ^ term), sizeof(bytes));
    uint32_t size = (uint32_t)(index % 5);
    raft__log_push(log, term, OAK_RAFT_ENTRY_DATA,
                   size == 0 ? NULL : raft__payload_new(&alloc, bytes, size), size);
    twin->terms[++twin->last] = term;
}

static void the_log_equals_an_array_under_random_edits(void **state)
{
    (void)state;
    struct oak_prng prng;
    oak_prng_init(&prng, 7);
    struct meter meter = {0};
    struct oak_raft_alloc alloc = meter_alloc(&meter);
    struct twin *twin = calloc(1, sizeof(*twin));
    struct raft__log log;
    raft__log_init(&log, &alloc, 0, 0);
    uint64_t term = 1;
    for (int step = 0; step < 6000 && twin->last + 64 < TWIN_MAX; step++) {
        struct raft__readers nobody = {0};
        switch (oak_prng_below(&prng, 5)) {
        case 0:
            term += oak_prng_below(&prng, 2);
            break;
        case 1:
            for (uint64_t i = oak_prng_below(&prng, 12); i > 0; i--) {
                twin_append(&log, twin, &meter, term);
            }
            break;
        case 2:
            if (twin->last > twin->base) {
                uint64_t from = oak_prng_between(&prng, twin->base + 1, twin->last);
                raft__log_truncate(&log, from, &nobody);
                twin->last = from - 1;
            }
            break;
        case 3: {
            uint64_t to = oak_prng_between(&prng, twin->base, twin->last);
            raft__log_compact(&log, to, &nobody);
            twin->base = to;
            break;
        }
        default: {
            uint64_t at = oak_prng_between(&prng, twin->base, twin->last);
            uint64_t limit = oak_prng_below(&prng, term + 2);
            uint64_t slow = at;
            while (slow > twin->base && twin->terms[slow] > limit) {
                slow--;
            }
            assert_int_equal(raft__log_find_term(&log, at, limit), slow);
            break;
        }
        }
        log_equals_twin(&log, twin);
    }
    raft__log_fini(&log);
    assert_int_equal(meter.live, 0);
    free(twin);
}

static void removed_payloads_live_until_their_readers_are_done(void **state)
{
    (void)state;
    struct meter meter = {0};
    struct oak_raft_alloc alloc = meter_alloc(&meter);
    struct raft__log log;
    raft__log_init(&log, &alloc, 0, 0);
    struct twin *twin = calloc(1, sizeof(*twin));
    for (int i = 0; i < 4; i++) {
        twin_append(&log, twin, &meter, 1);
    }
    size_t all = meter.live;
    const uint8_t *third = raft__log_at(&log, 3)->data;
    raft__log_truncate(&log, 3, &(struct raft__readers){.token = 9});
    raft__log_compact(&log, 1, &(struct raft__readers){.apply_issued = 2, .applied = 0});
    assert_int_equal(meter.live, all);
    assert_int_equal(*third, 3 ^ 1);
    raft__log_sweep(&log, 8, 9);
    assert_int_equal(meter.live, all);
    raft__log_sweep(&log, 9, 0);
    assert_int_equal(meter.live, all - 2);
    raft__log_sweep(&log, 9, 1);
    assert_int_equal(meter.live, all - 3);
    raft__log_fini(&log);
    assert_int_equal(meter.live, 0);
    free(twin);
}

/* -- progress ---------------------------------------------------------------------------------- */

static bool fits(const struct raft__window *w, size_t bytes)
{
    const struct raft__room limits = {.bytes = 10, .entries = 4, .cost = 10000};
    struct raft__room room;
    return raft__window_room(w, bytes, &limits, 0, &room);
}

static void the_window_counts_bytes_entries_and_messages_around_its_ring(void **state)
{
    (void)state;
    struct raft__flight flights[3];
    struct raft__window w = {.flights = flights, .capacity = 3};
    uint64_t end = 0;
    for (int round = 0; round < 10; round++) {
        assert_true(fits(&w, 1000)); /* one always fits */
        raft__window_push(&w, ++end, 1, 4, false, 0);
        assert_false(fits(&w, 7));
        assert_true(fits(&w, 6));
        raft__window_push(&w, ++end, 1, 4, false, 0);
        raft__window_push(&w, ++end, 1, 1, false, 0);
        assert_false(fits(&w, 0)); /* by messages */
        raft__window_free(&w, end - 2, 0);
        assert_int_equal(w.bytes, 5);
        assert_int_equal(w.entries, 2);
        raft__window_free(&w, end - 2, 0);
        assert_true(fits(&w, 0));
        raft__window_push(&w, end += 2, 2, 0, false, 0);
        raft__window_free(&w, end - 3, 0);
        assert_int_equal(w.entries, 3);
        assert_true(fits(&w, 0));
        raft__window_push(&w, ++end, 1, 0, false, 0);
        raft__window_free(&w, end - 3, 0);
        assert_int_equal(w.entries, 3);
        raft__window_free(&w, end, 0);
        assert_int_equal(w.bytes, 0);
        assert_int_equal(w.entries, 0);
        assert_int_equal(w.cost, 0);
        assert_int_equal(w.count, 0);
    }
    raft__window_push(&w, end += 4, 4, 0, false, 0);
    assert_false(fits(&w, 0)); /* by entries */
}

static void a_refusal_counts_once_and_never_below_the_match(void **state)
{
    (void)state;
    struct raft__flight flights[2];
    struct raft__peer p = {.window = {.flights = flights, .capacity = 2}};
    raft__peer_lead(&p, 9, 0);
    assert_false(raft__peer_rejected(&p, 7, 3)); /* the probe out is at 9 */
    assert_true(raft__peer_rejected(&p, 9, 5));
    assert_int_equal(p.next, 6);
    assert_false(raft__peer_rejected(&p, 9, 5));
    raft__peer_acked(&p, 5, 0, 0);
    assert_int_equal(p.state, OAK_RAFT_PEER_REPLICATE);
    p.next = 20;
    assert_false(raft__peer_rejected(&p, 5, 2));
    assert_true(raft__peer_rejected(&p, 12, 2));
    assert_int_equal(p.state, OAK_RAFT_PEER_PROBE);
    assert_int_equal(p.next, 6);
    raft__peer_snapshot(&p, 8);
    raft__peer_acked(&p, 7, 8, 0);
    assert_int_equal(p.state, OAK_RAFT_PEER_SNAPSHOT); /* not there yet */
    raft__peer_acked(&p, 8, 8, 0);
    assert_int_equal(p.state, OAK_RAFT_PEER_REPLICATE);
    assert_int_equal(p.next, 9);
}

/* -- options ----------------------------------------------------------------------------------- */

static struct oak_raft_options good_options(struct meter *meter)
{
    struct oak_raft_options o = {.id = 1, .group = 5, .seed = 3, .alloc = meter_alloc(meter)};
    o.snapshot.config = (struct oak_raft_config){.voter_count = 3, .voters = {1, 2, 3}};
    return o;
}

static int try_new(const struct oak_raft_options *o)
{
    struct oak_raft *r = NULL;
    int e = oak_raft_new(o, &r);
    assert_true((e == OAK_RAFT_OK) == (r != NULL));
    oak_raft_free(r);
    return e;
}

static void a_state_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct meter meter = {0};
    struct oak_raft_options o = good_options(&meter);
    assert_int_equal(try_new(&o), OAK_RAFT_OK);
    struct oak_raft_entry entries[] = {{.index = 1, .term = 1}, {.index = 2, .term = 3}};
    o.entries = entries;
    o.entry_count = 2;
    o.hard_state = (struct oak_raft_hard_state){.term = 3, .vote = 2, .commit = 2};
    o.applied = 1;
    assert_int_equal(try_new(&o), OAK_RAFT_OK);
    struct oak_raft_options bad;
#define REFUSED(change)                                   \
    do {                                                  \
        bad = o;                                          \
        change;                                           \
        assert_int_equal(try_new(&bad), OAK_RAFT_EINVAL); \
    } while (0)
    REFUSED(bad.id = 0);
    REFUSED(bad.alloc.resize = NULL);
    REFUSED(bad.hard_state.term = 2);   /* older than its entries */
    REFUSED(bad.hard_state.commit = 3); /* the end of the log is lost */
    REFUSED(bad.applied = 3);
    REFUSED(bad.hard_state.term = RAFT__NUMBER_MAX + 1);
    REFUSED(bad.snapshot.index = 4);
    REFUSED(bad.snapshot.term = 1);
    REFUSED(bad.election_ms = 299);
    REFUSED(bad.entries = NULL);
    REFUSED(bad.snapshot.config.voters[1] = 1);
    REFUSED(bad.snapshot.config.voters[0] = 0);
    REFUSED(bad.snapshot.config.voter_count = OAK_RAFT_MEMBERS_MAX + 1);
    REFUSED((bad.snapshot.config.learner_count = 1, bad.snapshot.config.learners[0] = 3));
    REFUSED((bad.entry_count = 1, bad.entries = &entries[1], bad.hard_state.commit = 0));
#undef REFUSED
    entries[1].type = (enum oak_raft_entry_type)9;
    assert_int_equal(try_new(&o), OAK_RAFT_EINVAL);
    entries[1].type = OAK_RAFT_ENTRY_NOOP;
    assert_int_equal(try_new(&o), OAK_RAFT_OK);
    entries[1].term = 0;
    assert_int_equal(try_new(&o), OAK_RAFT_EINVAL);
    assert_int_equal(meter.live, 0);
}

static void a_crash_between_snapshot_and_term_is_survived(void **state)
{
    (void)state;
    struct meter meter = {0};
    struct oak_raft_options o = good_options(&meter);
    o.hard_state = (struct oak_raft_hard_state){.term = 2, .vote = 3};
    o.snapshot.index = 10;
    o.snapshot.term = 5;
    o.applied = 10;
    struct oak_raft *r = NULL;
    assert_int_equal(oak_raft_new(&o, &r), OAK_RAFT_OK);
    const struct oak_raft_output *out = oak_raft_take(r);
    assert_int_equal(out->persist.hard_state.term, 5);
    assert_int_equal(out->persist.hard_state.vote, 0);
    assert_true(out->persist.must_sync);
    oak_raft_free(r);
    assert_int_equal(meter.live, 0);
}

/* -- halting ----------------------------------------------------------------------------------- */

static void take_all(struct oak_raft *r)
{
    while (oak_raft_has_output(r)) {
        const struct oak_raft_output *out = oak_raft_take(r);
        uint64_t applied = out->apply_count > 0 ? out->apply[out->apply_count - 1].index : 0;
        uint64_t restored = out->persist.restore != NULL ? out->persist.restore->index : 0;
        oak_raft_persisted(r, out->persist.token);
        oak_raft_applied(r, applied > restored ? applied : restored);
    }
}

static void two_leaders_in_one_term_halt(void **state)
{
    (void)state;
    const enum oak_raft_msg_type types[] = {OAK_RAFT_MSG_HEARTBEAT, OAK_RAFT_MSG_APPEND,
                                            OAK_RAFT_MSG_SNAPSHOT};
    for (size_t t = 0; t < 3; t++) {
        struct meter meter = {0};
        struct oak_raft_options o = good_options(&meter);
        o.snapshot.config = (struct oak_raft_config){.voter_count = 1, .voters = {1}};
        struct oak_raft *r = NULL;
        assert_int_equal(oak_raft_new(&o, &r), OAK_RAFT_OK);
        assert_int_equal(oak_raft_campaign(r), OAK_RAFT_OK);
        take_all(r);
        struct oak_raft_msg m = {.type = types[t], .from = 2, .to = 1, .term = 1};
        m.snapshot = (struct oak_raft_snapshot){
            .index = 8, .term = 1, .config = {.voter_count = 1, .voters = {1}}};
        assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_EHALTED);
        struct oak_raft_evidence e;
        assert_true(oak_raft_evidence(r, &e));
        assert_int_equal(e.what, OAK_RAFT_TWO_LEADERS);
        assert_int_equal(e.from, 2);
        assert_int_equal(e.leader, 1);
        assert_int_equal(e.term_from, 1);
        /* It does no further work, whatever is called. */
        uint64_t seq = 0;
        assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_EHALTED);
        assert_int_equal(oak_raft_tick(r, 100000), OAK_RAFT_EHALTED);
        assert_int_equal(oak_raft_propose(r, "x", 1, NULL, NULL), OAK_RAFT_EHALTED);
        assert_int_equal(oak_raft_read(r, &seq), OAK_RAFT_EHALTED);
        assert_int_equal(oak_raft_campaign(r), OAK_RAFT_EHALTED);
        assert_int_equal(oak_raft_transfer(r, 0), OAK_RAFT_EHALTED);
        assert_int_equal(oak_raft_change(r, &o.snapshot.config, NULL, NULL), OAK_RAFT_EHALTED);
        struct oak_raft_status status;
        oak_raft_doubt(r);
        oak_raft_status(r, &status);
        assert_false(status.in_doubt);
        assert_false(oak_raft_has_output(r));
        const struct oak_raft_output *out = oak_raft_take(r);
        assert_true(out->persist.token == 0 && out->send_count + out->apply_count == 0);
        oak_raft_free(r);
    }
}

static void names_and_texts_are_there_for_all(void **state)
{
    (void)state;
    assert_string_equal(oak_raft_role_name(OAK_RAFT_PRE_CANDIDATE), "pre-candidate");
    assert_string_equal(oak_raft_error_text(OAK_RAFT_OK), "ok");
    for (int e = 0; e >= OAK_RAFT_EHALTED; e--) {
        assert_string_not_equal(oak_raft_error_text(e), "unknown error");
    }
    assert_string_equal(oak_raft_error_text(OAK_RAFT_EHALTED - 1), "unknown error");
    assert_string_equal(oak_raft_error_text(1), "unknown error");
}

/* The entries stay what they were, and the memory of a burst goes back. */
static void the_log_gives_memory_back_after_a_burst(void **state)
{
    (void)state;
    struct meter meter = {0};
    struct oak_raft_alloc alloc = meter_alloc(&meter);
    struct raft__log log;
    struct raft__readers nobody = {0};
    raft__log_init(&log, &alloc, 0, 0);
    assert_int_equal(raft__log_reserve(&log, 20000), OAK_RAFT_OK);
    for (uint64_t i = 1; i <= 20000; i++) {
        raft__log_push(&log, i, OAK_RAFT_ENTRY_DATA, NULL, 0);
    }
    size_t before = log.capacity;
    raft__log_compact(&log, 19990, &nobody);
    assert_true(log.capacity < before);
    for (uint64_t i = 19991; i <= 20000; i++) {
        assert_int_equal(raft__log_at(&log, i)->term, i);
    }
    assert_int_equal(raft__log_reserve(&log, 1), OAK_RAFT_OK);
    raft__log_fini(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_equals_an_array_under_random_edits),
        cmocka_unit_test(the_log_gives_memory_back_after_a_burst),
        cmocka_unit_test(removed_payloads_live_until_their_readers_are_done),
        cmocka_unit_test(the_window_counts_bytes_entries_and_messages_around_its_ring),
        cmocka_unit_test(a_refusal_counts_once_and_never_below_the_match),
        cmocka_unit_test(a_state_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_crash_between_snapshot_and_term_is_survived),
        cmocka_unit_test(two_leaders_in_one_term_halt),
        cmocka_unit_test(names_and_texts_are_there_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
