/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong with watches elsewhere, one test each, and the edges of the API; the model checks
 * every event that comes. */
#include "watch/model_fixture.h"

static struct model m;

static void open_plain(void)
{
    model_open(&m, 7, 0);
}

/* `count` revisions of one put each, going round the keys. */
static void puts_commit(int count)
{
    for (int i = 0; i < count; i++) {
        model_change(&m, m.revision + 1, i % KEYS, false, false);
        model_commit(&m, m.revision + 1, false);
    }
}

static void one_commit(int key, bool deleted)
{
    model_change(&m, m.revision + 1, key, deleted, false);
    model_commit(&m, m.revision + 1, false);
}

static void steps_all(void)
{
    while (oak_watch_due(m.w)) {
        assert_int_equal(oak_watch_step(m.w), 0);
    }
}

static int64_t created(struct model_watcher w)
{
    assert_int_equal(model_create(&m, w), OAK_WATCH_CREATED);
    return m.watchers[m.watcher_count - 1].id;
}

static enum oak_watch_sync sync_of(int stream)
{
    return oak_watch_stream_sync(m.w, &m.streams[stream].base);
}

static void count_each(void *arg, int64_t id)
{
    (void)id;
    *(int *)arg += 1;
}

static int quiet_count(int stream)
{
    int count = 0;
    oak_watch_quiet_each(m.w, &m.streams[stream].base, count_each, &count);
    return count;
}

/* -- stories ----------------------------------------------------------------------------------- */

static void w05_progress_is_told_only_behind_all_events(void **state)
{
    (void)state;
    open_plain();
    assert_int_equal(sync_of(0), OAK_WATCH_NONE);
    puts_commit(50);
    created(model_watcher(0, "a", "z", 2));
    assert_int_equal(sync_of(0), OAK_WATCH_BEHIND);
    steps_all();
    assert_int_equal(sync_of(0), OAK_WATCH_SYNCED);
    model_sync_check(&m);
    /* A stream that is full has not been sent all, whatever the revision. */
    model_drain(&m, 0, 0);
    puts_commit(3);
    assert_int_equal(sync_of(0), OAK_WATCH_BEHIND);
    model_drain(&m, 0, 100);
    assert_int_equal(sync_of(0), OAK_WATCH_BEHIND);
    steps_all();
    assert_int_equal(sync_of(0), OAK_WATCH_SYNCED);
    model_sync_check(&m);
    model_close(&m);
}

static void w06_a_snapshot_takes_nobody_back(void **state)
{
    (void)state;
    open_plain();
    created(model_watcher(0, "a", "z", 0));
    created(model_watcher(1, "a", "z", 25));
    puts_commit(20);
    for (int i = 0; i < 20; i++) {
        model_change(&m, m.revision + 1 + i, i % KEYS, false, true);
    }
    model_commit(&m, m.revision + 20, true);
    assert_int_equal(sync_of(0), OAK_WATCH_BEHIND);
    puts_commit(3); /* who is behind is told of these in their turn */
    assert_int_equal(m.watchers[0].sent_to, 22);
    model_settle(&m);
    assert_int_equal(m.watchers[0].sent_to, 45);
    assert_int_equal(m.watchers[1].sent_to, 45);
    model_close(&m);
}

static void w07_a_transactions_events_come_once_and_together(void **state)
{
    (void)state;
    open_plain();
    created(model_watcher(0, "a", "z", 0));
    created(model_watcher(1, "a", "z", 0));
    model_drain(&m, 1, 0);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 6; k++) {
            model_change(&m, m.revision + 1, k, i % 2 == 1, false);
        }
        model_commit(&m, m.revision + 1, false);
    }
    assert_int_equal(m.events, 60);
    model_settle(&m); /* the model refuses half of a revision, and what comes twice */
    assert_int_equal(m.events, 120);
    model_close(&m);
}

static void w08_a_stream_that_starves_loses_nothing_and_delays_nobody(void **state)
{
    (void)state;
    open_plain();
    for (int i = 0; i < 200; i++) {
        created(model_watcher(0, "a", "z", 0));
    }
    created(model_watcher(1, "a", "z", 0));
    model_drain(&m, 0, 1);
    puts_commit(20);
    struct oak_watch_stats early;
    oak_watch_stats(m.w, &early);
    puts_commit(3000);
    assert_int_equal(m.watchers[200].sent_to, m.revision + 1); /* at once */
    assert_false(oak_watch_due(m.w));                          /* nothing to be done for it */
    struct oak_watch_stats late;
    oak_watch_stats(m.w, &late);
    assert_int_equal(late.memory_bytes, early.memory_bytes);
    assert_int_equal(late.behind, 200);
    model_drain(&m, 0, 100000);
    steps_all();
    for (int i = 0; i < 200; i++) {
        assert_int_equal(m.watchers[i].sent_to, m.revision + 1);
    }
    model_close(&m);
}

static void w10_w13_a_deletion_at_the_floor_is_told(void **state)
{
    (void)state;
    open_plain();
    one_commit(0, false); /* 2 */
    one_commit(0, true);  /* 3 */
    one_commit(1, false); /* 4 */
    m.compacted = 3;
    model_commit(&m, 4, false);
    created(model_watcher(0, "a", "", 3));
    created(model_watcher(1, "a", "", 2));
    steps_all();
    assert_int_equal(m.events, 1); /* the deletion */
    assert_false(m.watchers[0].dead);
    assert_true(m.watchers[1].dead);
    model_close(&m);
}

static void w14_a_watcher_of_the_future_gets_nothing_old_and_no_notice(void **state)
{
    (void)state;
    open_plain();
    puts_commit(5);
    struct model_watcher w = model_watcher(0, "a", "z", m.revision + 5);
    created(w);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sync_of(0), OAK_WATCH_FUTURE);
        puts_commit(1);
        assert_int_equal(m.events, 0);
    }
    puts_commit(1);
    assert_int_equal(m.events, 1);
    assert_int_equal(sync_of(0), OAK_WATCH_SYNCED);
    /* The same where nothing of it happens at its start. */
    created(model_watcher(1, "q", "", m.revision + 2));
    puts_commit(1);
    assert_int_equal(sync_of(1), OAK_WATCH_FUTURE);
    puts_commit(1);
    assert_int_equal(sync_of(1), OAK_WATCH_SYNCED);
    model_close(&m);
}

static void w17_where_a_watcher_begins(void **state)
{
    (void)state;
    open_plain();
    created(model_watcher(0, "a", "z", 0)); /* in an empty store */
    puts_commit(10);
    assert_int_equal(m.events, 10);
    created(model_watcher(1, "a", "z", 0)); /* from now on */
    created(model_watcher(2, "a", "z", 1)); /* from the beginning */
    created(model_watcher(3, "a", "z", m.revision));
    steps_all();
    assert_int_equal(m.events, 10 + 10 + 1);
    puts_commit(1);
    assert_int_equal(m.events, 21 + 4);
    struct model_watcher before = model_watcher(0, "a", "", -1);
    assert_int_equal(model_create(&m, before), OAK_WATCH_COMPACTED);
    model_close(&m);
}

static void w18_one_key_is_one_key_and_is_asked_for_as_such(void **state)
{
    (void)state;
    open_plain();
    created(model_watcher(0, "a", "", 0));
    puts_commit(KEYS);
    assert_int_equal(m.events, 1);
    const struct {
        struct oak_bytes key, end;
        struct oak_bytes key_asked, end_asked;
        bool open;
    } cases[] = {
        {oak_bytes("a", 1), oak_bytes(NULL, 0), oak_bytes("a", 1), oak_bytes(NULL, 0), false},
        {oak_bytes("a", 1), oak_bytes("\0", 1), oak_bytes("a", 1), oak_bytes(NULL, 0), true},
        {oak_bytes("a", 1), oak_bytes("b", 1), oak_bytes("a", 1), oak_bytes("b", 1), false},
        {oak_bytes(NULL, 0), oak_bytes(NULL, 0), oak_bytes("\0", 1), oak_bytes(NULL, 0), false},
        {oak_bytes(NULL, 0), oak_bytes("\0", 1), oak_bytes("\0", 1), oak_bytes(NULL, 0), true},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        const struct oak_watch_request request = {.key = cases[i].key, .range_end = cases[i].end};
        struct oak_watch_range range = oak_watch_range_of(&request);
        assert_true(oak_bytes_eq(range.key, cases[i].key_asked));
        assert_true(oak_bytes_eq(range.range_end, cases[i].end_asked));
        assert_int_equal(range.open_end, cases[i].open);
    }
    model_close(&m);
}

/* -- edges ------------------------------------------------------------------------------------- */

static void what_compaction_cancels_keeps_its_id_until_the_client_lets_go(void **state)
{
    (void)state;
    open_plain();
    puts_commit(10);
    m.compacted = 9;
    model_commit(&m, m.revision, false);
    int64_t id = created(model_watcher(0, "a", "z", 5));
    created(model_watcher(0, "b", "", 0));
    steps_all();
    assert_int_equal(m.cancelled, 1);
    assert_int_equal(sync_of(0), OAK_WATCH_SYNCED); /* it mutes nobody */
    struct model_watcher again = model_watcher(0, "a", "", 0);
    again.id = 77;
    created(again);
    assert_int_equal(model_create(&m, again), OAK_WATCH_DUPLICATE_ID);
    assert_true(oak_watch_cancel(m.w, &m.streams[0].base, id));
    assert_false(oak_watch_cancel(m.w, &m.streams[0].base, id));
    model_close(&m);
}

static void the_floor_cancels_who_stands_still_below_it_when_it_is_read_again(void **state)
{
    (void)state;
    open_plain();
    created(model_watcher(0, "a", "z", 0));
    model_drain(&m, 0, 2);
    puts_commit(10);
    m.compacted = 8;
    model_commit(&m, m.revision, false);
    steps_all();
    assert_int_equal(m.cancelled, 0);
    model_drain(&m, 0, 10);
    steps_all();
    assert_int_equal(m.cancelled, 1);
    model_close(&m);
}

static void ids_are_given_from_zero_past_those_that_are_taken(void **state)
{
    (void)state;
    open_plain();
    struct model_watcher own = model_watcher(0, "a", "", 0);
    own.id = 1;
    assert_int_equal(created(own), 1);
    assert_int_equal(created(model_watcher(0, "a", "", 0)), 0);
    assert_int_equal(created(model_watcher(0, "a", "", 0)), 2);
    assert_int_equal(created(model_watcher(1, "a", "", 0)), 0); /* a stream has its own */
    assert_true(oak_watch_cancel(m.w, &m.streams[0].base, 2));
    m.watchers[2].used = false;
    assert_int_equal(created(model_watcher(0, "a", "", 0)), 3); /* none comes again */
    model_close(&m);
}

static void there_are_limits_and_each_says_which(void **state)
{
    (void)state;
    open_plain(); /* 300 on a stream, 900 in all */
    for (int i = 0; i < 900; i++) {
        created(model_watcher(i / 300, "a", "", 0));
    }
    assert_int_equal(model_create(&m, model_watcher(0, "a", "", 0)), OAK_WATCH_TOO_MANY_ON_STREAM);
    assert_int_equal(model_create(&m, model_watcher(4, "a", "", 0)), OAK_WATCH_TOO_MANY);
    assert_true(oak_watch_cancel(m.w, &m.streams[0].base, 5));
    model_find(&m, 0, 5)->used = false;
    created(model_watcher(4, "a", "", 0));
    model_close(&m);
}

static void keys_have_a_limit_together(void **state)
{
    (void)state;
    open_plain();
    m.w->options.key_bytes_max = 10;
    created(model_watcher(0, "ca", "d/22", 0));
    assert_int_equal(model_create(&m, model_watcher(0, "b", "d/22", 0)), OAK_WATCH_TOO_MANY);
    created(model_watcher(0, "b", "d/1", 0));
    assert_true(oak_watch_cancel(m.w, &m.streams[0].base, 0));
    m.watchers[0].used = false;
    created(model_watcher(0, "ca", "d/22", 0));
    model_close(&m);
}

static void fragments_go_on_where_the_stream_was_full(void **state)
{
    (void)state;
    model_open(&m, 3, 120);
    struct model_watcher w = model_watcher(0, "a", "z", 0);
    w.fragment = true;
    created(w);
    w.no_delete = true;
    w.prev_kv = true;
    created(w);
    model_drain(&m, 0, 1);
    for (int k = 0; k < 12; k++) {
        model_change(&m, 2, k, false, false);
    }
    model_commit(&m, 2, false);
    assert_true(m.events > 0 && m.events < 12);
    for (int k = 0; k < 12; k++) {
        model_change(&m, 3, k, k % 2 == 1, false);
    }
    model_commit(&m, 3, false);
    struct oak_watch_stats stats;
    int turns = 0;
    for (; m.events < 24 + 12 + 6 && turns < 100; turns++) {
        model_drain(&m, 0, 1); /* one piece at a time */
        for (int i = 0; i < 10 && oak_watch_due(m.w); i++) {
            assert_int_equal(oak_watch_step(m.w), 0);
        }
    }
    oak_watch_stats(m.w, &stats);
    assert_true(stats.responses > 10);
    assert_int_equal(m.events, 24 + 12 + 6);
    model_settle(&m);
    model_close(&m);
}

static void a_notice_of_progress_skips_one_turn_behind_events(void **state)
{
    (void)state;
    open_plain();
    struct model_watcher w = model_watcher(0, "a", "", 0);
    w.progress = true;
    created(w);
    created(model_watcher(0, "b", "", 0)); /* did not ask */
    assert_int_equal(quiet_count(0), 1);
    assert_int_equal(quiet_count(0), 1);
    one_commit(0, false);
    assert_int_equal(quiet_count(0), 0);
    assert_int_equal(quiet_count(0), 1);
    one_commit(3, false); /* somebody else's */
    assert_int_equal(quiet_count(0), 1);
    model_drain(&m, 0, 0);
    one_commit(0, false);
    assert_int_equal(quiet_count(0), 0); /* behind */
    assert_int_equal(quiet_count(0), 0);
    model_settle(&m);
    assert_int_equal(quiet_count(0), 0);
    assert_int_equal(quiet_count(0), 1);
    model_close(&m);
}

static void more_places_in_the_history_than_cursors(void **state)
{
    (void)state;
    open_plain();
    puts_commit(250);
    for (int i = 0; i < 250; i++) { /* from the newest to the oldest: each stands before all */
        created(model_watcher(i % 2, "a", "z", 251 - i));
    }
    created(model_watcher(2, "a", "z", 1));
    model_settle(&m);
    for (int i = 0; i <= 250; i++) {
        assert_int_equal(m.watchers[i].sent_to, 252);
    }
    model_close(&m);
}

static void a_batch_that_is_too_large_comes_from_the_history(void **state)
{
    (void)state;
    open_plain();
    created(model_watcher(0, "a", "z", 0));
    model_change(&m, 2, 0, false, false);
    m.w->bytes.size = OAK_WATCH_BATCH_BYTES_MAX + 1; /* as if it held so much */
    model_change(&m, 2, 1, false, false);
    m.w->bytes.size = 0;
    model_commit(&m, 2, false);
    assert_int_equal(m.events, 0);
    assert_int_equal(sync_of(0), OAK_WATCH_BEHIND);
    model_settle(&m);
    assert_int_equal(m.events, 2);
    model_close(&m);
}

/* etcd: what was created has no pair before, though one was removed at the same revision. */
static void what_a_transaction_removes_and_makes_again_is_new(void **state)
{
    (void)state;
    open_plain();
    struct model_watcher w = model_watcher(0, "a", "z", 0);
    w.prev_kv = true;
    created(w);
    one_commit(0, false);
    model_change(&m, 3, 0, true, false);
    model_change(&m, 3, 0, false, false);
    model_commit(&m, 3, false);
    model_settle(&m);
    assert_int_equal(m.events, 3);
    w.start = 2; /* and so it is for who reads it back */
    created(w);
    model_settle(&m);
    assert_int_equal(m.events, 6);
    model_close(&m);
}

/* Everything that allocates, once: creating, a batch, falling behind, reading back. */
static void allocation_script(void)
{
    struct model_watcher w = model_watcher(1, "a", "z", 0);
    w.prev_kv = true;
    (void)!model_create(&m, model_watcher(0, "a", "", 0));
    (void)!model_create(&m, w);
    (void)!model_create(&m, model_watcher(0, "b", "c", 1));
    for (int i = 0; i < 3; i++) {
        model_change(&m, m.revision + 1, 0, false, false);
        model_change(&m, m.revision + 1, 3, i == 2, false);
        model_commit(&m, m.revision + 1, false);
    }
    for (int i = 0; i < 5 && oak_watch_due(m.w); i++) {
        int error = oak_watch_step(m.w);
        assert_true(error == 0 || error == OAK_ENOMEM);
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t count = UINT64_MAX;
    uint64_t k = 0;
    for (k = 1; k <= count; k++) {
        model_open(&m, 9, 0);
        m.fail_at = m.allocations + k;
        allocation_script();
        count = m.fail_at == 0 || m.allocations < m.fail_at ? 0 : count;
        m.fail_at = 0;
        model_settle(&m);
        model_close(&m);
    }
    assert_true(k > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w05_progress_is_told_only_behind_all_events),
        cmocka_unit_test(w06_a_snapshot_takes_nobody_back),
        cmocka_unit_test(w07_a_transactions_events_come_once_and_together),
        cmocka_unit_test(w08_a_stream_that_starves_loses_nothing_and_delays_nobody),
        cmocka_unit_test(w10_w13_a_deletion_at_the_floor_is_told),
        cmocka_unit_test(w14_a_watcher_of_the_future_gets_nothing_old_and_no_notice),
        cmocka_unit_test(w17_where_a_watcher_begins),
        cmocka_unit_test(w18_one_key_is_one_key_and_is_asked_for_as_such),
        cmocka_unit_test(what_compaction_cancels_keeps_its_id_until_the_client_lets_go),
        cmocka_unit_test(the_floor_cancels_who_stands_still_below_it_when_it_is_read_again),
        cmocka_unit_test(ids_are_given_from_zero_past_those_that_are_taken),
        cmocka_unit_test(there_are_limits_and_each_says_which),
        cmocka_unit_test(keys_have_a_limit_together),
        cmocka_unit_test(fragments_go_on_where_the_stream_was_full),
        cmocka_unit_test(a_notice_of_progress_skips_one_turn_behind_events),
        cmocka_unit_test(more_places_in_the_history_than_cursors),
        cmocka_unit_test(a_batch_that_is_too_large_comes_from_the_history),
        cmocka_unit_test(what_a_transaction_removes_and_makes_again_is_new),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
