/* SPDX-License-Identifier: Apache-2.0 */
/* wal_test.c: the door: what a caller may rely on, one promise a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/zoo.h"
#include "wal/internal.h"
#include "wal/test_disk.h"

struct fixture {
    struct test_disk disk;
    struct oak_wal_options options;
    struct oak_wal *wal;
    struct oak_errbuf e;
};

static void setup(struct fixture *f)
{
    test_disk_init(&f->disk, 1);
    f->wal = NULL;
    f->options = (struct oak_wal_options){.disk = &f->disk.port,
                                          .dir = "data/log",
                                          .meta = oak_bytes_str("node 1"),
                                          .segment_bytes = 4096};
    assert_int_equal(oak_wal_open(&f->options, &f->wal, &f->e), 0);
}

static void teardown(struct fixture *f)
{
    oak_wal_close(f->wal);
    assert_int_equal(f->disk.open_files, 0);
    test_disk_fini(&f->disk);
}

/* Lose the power between two calls, and open again. */
static void restart(struct fixture *f)
{
    oak_wal_close(f->wal);
    f->wal = NULL;
    test_disk_cut(&f->disk, TEST_DISK_KEEP_NONE);
    assert_int_equal(oak_wal_open(&f->options, &f->wal, &f->e), 0);
}

static struct oak_wal_record entry(uint64_t index, uint64_t term, const char *text)
{
    return (struct oak_wal_record){.type = OAK_WAL_ENTRY,
                                   .group = 1,
                                   .index = index,
                                   .term = term,
                                   .data = oak_bytes_str(text)};
}

static struct oak_wal_record snapshot(uint64_t index, uint64_t term, bool keep_log)
{
    return (struct oak_wal_record){
        .type = OAK_WAL_SNAPSHOT, .group = 1, .index = index, .term = term, .keep_log = keep_log};
}

static struct oak_wal_record hard_state(uint64_t group, uint64_t term, uint64_t vote)
{
    return (struct oak_wal_record){
        .type = OAK_WAL_HARD_STATE, .group = group, .term = term, .vote = vote, .commit = 3};
}

static int append(struct fixture *f, struct oak_wal_record r)
{
    return oak_wal_append(f->wal, &r);
}

static void add(struct fixture *f, struct oak_wal_record r)
{
    assert_int_equal(append(f, r), 0);
}

static void commit(struct fixture *f)
{
    assert_int_equal(oak_wal_commit(f->wal), 0);
}

static const struct oak_wal_group *only_group(const struct fixture *f)
{
    size_t count;
    const struct oak_wal_group *groups = oak_wal_recovered(f->wal, &count);
    assert_int_equal(count, 1);
    return groups;
}

/* The entries of the only group are `terms`, from `first` on. */
static void expect_entries(const struct fixture *f, uint64_t first, const char *terms)
{
    const struct oak_wal_group *g = only_group(f);
    assert_int_equal(g->entry_count, strlen(terms));
    for (size_t i = 0; i < g->entry_count; i++) {
        assert_int_equal(g->entries[i].index, first + i);
        assert_int_equal(g->entries[i].term, terms[i] - '0');
    }
}

static void a_new_log_is_empty_and_says_that_it_is_new(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct oak_wal_stats stats;
    size_t count;
    oak_wal_stats(f.wal, &stats);
    assert_true(stats.created);
    assert_int_equal(stats.segments, 1);
    restart(&f);
    oak_wal_stats(f.wal, &stats);
    assert_false(stats.created);
    oak_wal_recovered(f.wal, &count);
    assert_int_equal(count, 0);
    teardown(&f);
}

static void a_log_of_another_node_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    oak_wal_close(f.wal);
    f.wal = NULL;
    uint64_t calls = f.disk.writes;
    f.options.meta = oak_bytes_str("node 2");
    assert_int_equal(oak_wal_open(&f.options, &f.wal, &f.e), OAK_EINVAL);
    assert_non_null(strstr(f.e.text, "another node"));
    f.options.meta = oak_bytes_str("node 1");
    f.options.segment_bytes = 8192;
    assert_int_not_equal(oak_wal_open(&f.options, &f.wal, &f.e), 0);
    assert_int_equal(f.disk.writes, calls);
    f.options.segment_bytes = 4096;
    assert_int_equal(oak_wal_open(&f.options, &f.wal, &f.e), 0);
    teardown(&f);
}

static void unusable_options_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct oak_wal *wal;
    struct oak_wal_options o = f.options;
    o.dir = "";
    assert_int_equal(oak_wal_open(&o, &wal, &f.e), OAK_EINVAL);
    o = f.options;
    o.segment_bytes = 5000;
    assert_int_equal(oak_wal_open(&o, &wal, &f.e), OAK_EINVAL);
    char meta[257] = {0};
    o = f.options;
    o.meta = oak_bytes(meta, 257);
    assert_int_equal(oak_wal_open(&o, &wal, &f.e), OAK_EINVAL);
    assert_null(wal);
    teardown(&f);
}

static void a_commit_is_one_write_and_one_sync(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    uint64_t calls = f.disk.calls;
    commit(&f);
    assert_int_equal(f.disk.calls, calls);
    for (uint64_t i = 1; i <= 4; i++) {
        add(&f, entry(2 * i - 1, 1, "one"));
        add(&f, entry(2 * i, 1, "two"));
        add(&f, hard_state(1, 1, 2));
        commit(&f);
        assert_int_equal(f.disk.calls, calls + 2 * i);
    }
    struct oak_wal_stats stats;
    oak_wal_stats(f.wal, &stats);
    assert_int_equal(stats.commits, 4);
    teardown(&f);
}

static void everything_comes_back(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct oak_wal_record r = entry(1, 4, "payload");
    r.kind = 9;
    add(&f, r);
    add(&f, entry(2, 5, ""));
    add(&f, hard_state(1, 6, 7));
    add(&f, hard_state(0, 8, 9));
    commit(&f);
    add(&f, entry(3, 6, "never committed"));
    restart(&f);
    size_t count;
    const struct oak_wal_group *g = oak_wal_recovered(f.wal, &count);
    assert_int_equal(count, 2);
    assert_int_equal(g[0].group, 0);
    assert_int_equal(g[0].term, 8);
    assert_int_equal(g[0].entry_count, 0);
    assert_int_equal(g[1].group, 1);
    assert_int_equal(g[1].term, 6);
    assert_int_equal(g[1].vote, 7);
    assert_int_equal(g[1].commit, 3);
    assert_int_equal(g[1].entry_count, 2);
    assert_int_equal(g[1].entries[0].kind, 9);
    assert_true(oak_bytes_eq(g[1].entries[0].data, oak_bytes_str("payload")));
    assert_int_equal(g[1].entries[1].data.size, 0);
    assert_int_equal(g[1].last_index, 2);
    assert_int_equal(g[1].last_term, 5);
    teardown(&f);
}

static void a_truncated_tail_stays_away(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (uint64_t i = 1; i <= 6; i++) {
        add(&f, entry(i, 1, "old"));
    }
    commit(&f);
    add(&f, entry(4, 2, "new"));
    commit(&f);
    restart(&f);
    expect_entries(&f, 1, "1112");
    teardown(&f);
}

/* The case of etcd-io/etcd#22442: the entry that overwrites lies at or below the snapshot. */
static void an_overwrite_below_the_snapshot_drops_the_tail_above_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (uint64_t i = 1; i <= 8; i++) {
        add(&f, entry(i, 1, "old"));
    }
    commit(&f);
    add(&f, snapshot(5, 1, true));
    commit(&f);
    add(&f, entry(5, 2, "new"));
    commit(&f);
    restart(&f);
    expect_entries(&f, 6, "");
    assert_int_equal(only_group(&f)->snapshot_index, 5);
    add(&f, entry(6, 2, "new"));
    commit(&f);
    restart(&f);
    expect_entries(&f, 6, "2");
    teardown(&f);
}

static void a_received_snapshot_drops_the_log_or_keeps_what_is_behind_it(void **state)
{
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        struct fixture f;
        setup(&f);
        for (uint64_t i = 1; i <= 6; i++) {
            add(&f, entry(i, 1, "old"));
        }
        commit(&f);
        add(&f, snapshot(4, 1, keep != 0));
        commit(&f);
        restart(&f);
        expect_entries(&f, 5, keep != 0 ? "11" : "");
        assert_int_equal(only_group(&f)->last_index, keep != 0 ? 6 : 4);
        add(&f, snapshot(20, 3, true));
        add(&f, entry(21, 3, "behind"));
        commit(&f);
        restart(&f);
        expect_entries(&f, 21, "3");
        assert_int_equal(only_group(&f)->snapshot_term, 3);
        teardown(&f);
    }
}

static void what_cannot_follow_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(append(&f, entry(2, 1, "a gap")), OAK_EINVAL);
    assert_int_equal(append(&f, entry(0, 1, "no index")), OAK_EINVAL);
    assert_int_equal(append(&f, entry(UINT64_MAX, 1, "too far")), OAK_EINVAL);
    struct oak_wal_record r = {.type = OAK_WAL_META};
    assert_int_equal(append(&f, r), OAK_EINVAL);
    r.type = (enum oak_wal_type)77;
    assert_int_equal(append(&f, r), OAK_EINVAL);
    add(&f, snapshot(10, 2, false));
    assert_int_equal(append(&f, snapshot(9, 2, false)), OAK_EINVAL);
    assert_int_equal(append(&f, entry(12, 2, "a gap")), OAK_EINVAL);
    add(&f, entry(11, 2, "fits"));
    commit(&f);
    restart(&f);
    expect_entries(&f, 11, "2");
    teardown(&f);
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    uint8_t *large = calloc(1, OAK_WAL_RECORD_BYTES_MAX);
    struct oak_wal_record r = entry(1, 1, "");
    r.data = oak_bytes(large, OAK_WAL_RECORD_BYTES_MAX);
    assert_int_equal(append(&f, r), OAK_ELIMIT);
    r.data.size = 4000; /* more than a segment holds beside what it carries */
    assert_int_equal(append(&f, r), OAK_ELIMIT);
    uint64_t groups = 0;
    while (append(&f, hard_state(groups, 1, 1)) == 0) {
        groups++;
        commit(&f);
    }
    assert_in_range(groups, 40, 60); /* so many states fit a segment of 4 KiB */
    commit(&f);
    restart(&f);
    size_t count;
    oak_wal_recovered(f.wal, &count);
    assert_int_equal(count, groups);
    free(large);
    teardown(&f);
}

static void a_batch_that_spans_segments_is_one(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    char text[1500];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    uint64_t writes = f.disk.writes;
    for (uint64_t i = 1; i <= 7; i++) {
        add(&f, entry(i, 1, text));
    }
    add(&f, hard_state(1, 1, 1));
    commit(&f);
    struct oak_wal_stats stats;
    oak_wal_stats(f.wal, &stats);
    assert_int_equal(stats.segments, 5);
    assert_int_equal(f.disk.writes, writes + 4 + 4); /* four files made, four parts */
    restart(&f);
    expect_entries(&f, 1, "1111111");
    teardown(&f);
}

/* A year of work in a small log: the disk use stays bounded, and the vote of an idle group stays.
 */
static void released_segments_are_recycled_and_carry_on_what_lives(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    add(&f, hard_state(9, 4, 2));
    commit(&f);
    char text[400];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    for (uint64_t i = 1; i <= 2000; i++) {
        add(&f, entry(i, 1, text));
        commit(&f);
        assert_int_equal(oak_wal_release(f.wal, 1, i > 10 ? i - 10 : 0), 0);
        assert_true(f.disk.name_count <= 8);
    }
    restart(&f);
    size_t count;
    const struct oak_wal_group *g = oak_wal_recovered(f.wal, &count);
    assert_int_equal(count, 2);
    assert_int_equal(g[1].group, 9);
    assert_int_equal(g[1].vote, 2);
    assert_int_equal(g[0].last_index, 2000);
    assert_true(g[0].entry_count >= 10 && g[0].entry_count < 40);
    assert_int_equal(g[0].entries[g[0].entry_count - 1].index, 2000);
    teardown(&f);
}

static void a_group_that_lags_keeps_its_segments(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct oak_wal_record slow = entry(1, 1, "slow");
    slow.group = 2;
    add(&f, slow);
    commit(&f);
    for (uint64_t i = 1; i <= 100; i++) {
        add(&f, entry(i, 1, "fast"));
        commit(&f);
        assert_int_equal(oak_wal_release(f.wal, 1, i), 0);
    }
    restart(&f);
    size_t count;
    const struct oak_wal_group *g = oak_wal_recovered(f.wal, &count);
    assert_int_equal(g[1].entry_count, 1);
    struct oak_wal_stats stats;
    oak_wal_stats(f.wal, &stats);
    assert_true(stats.segments > 10);
    assert_int_equal(oak_wal_release(f.wal, 2, 1), 0);
    assert_int_equal(oak_wal_release(f.wal, 1, 100), 0);
    add(&f, entry(101, 1, "fast"));
    commit(&f);
    assert_int_equal(oak_wal_release(f.wal, 1, 100), 0);
    oak_wal_stats(f.wal, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(f.disk.port.sync_dir(&f.disk, f.options.dir), 0); /* else they come back */
    restart(&f);
    g = oak_wal_recovered(f.wal, &count);
    assert_int_equal(count, 2);
    assert_int_equal(g[1].entry_count, 0);
    assert_int_equal(g[1].last_index, 1);
    assert_int_equal(g[0].last_index, 101);
    teardown(&f);
}

static void entries_that_a_snapshot_dropped_keep_no_segment(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (uint64_t i = 1; i <= 100; i++) {
        add(&f, entry(i, 1, "dropped"));
        commit(&f);
    }
    add(&f, snapshot(5, 2, false));
    commit(&f);
    add(&f, entry(6, 2, "kept"));
    commit(&f);
    assert_int_equal(oak_wal_release(f.wal, 1, 5), 0);
    add(&f, entry(7, 2, "kept"));
    commit(&f);
    assert_int_equal(oak_wal_release(f.wal, 1, 5), 0);
    struct oak_wal_stats stats;
    oak_wal_stats(f.wal, &stats);
    assert_true(stats.segments <= 2);
    restart(&f);
    expect_entries(&f, 6, "22");
    teardown(&f);
}

static void prepare_has_a_spare_ready_so_that_a_commit_makes_no_file(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    add(&f, entry(1, 1, "x"));
    commit(&f);
    assert_int_equal(oak_wal_prepare(f.wal), 0);
    uint64_t calls = f.disk.calls;
    assert_int_equal(oak_wal_prepare(f.wal), 0);
    assert_int_equal(f.disk.calls, calls);
    uint64_t writes = f.disk.writes;
    uint64_t commits = 0;
    for (uint64_t i = 2; i <= 9; i++, commits++) {
        add(&f, entry(i, 1, "x"));
        commit(&f);
    }
    assert_int_equal(f.disk.writes, writes + commits);
    restart(&f);
    expect_entries(&f, 1, "111111111");
    /* A spare can't be made: the log goes on without. */
    f.disk.fail_at = f.disk.calls + 3;
    f.disk.fail_error = OAK_ENOSPC;
    int error = oak_wal_prepare(f.wal);
    assert_int_equal(error, OAK_ENOSPC);
    add(&f, entry(10, 1, "x"));
    commit(&f);
    teardown(&f);
}

static void a_full_disk_refuses_the_commit_and_nothing_is_written(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    char text[3000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    add(&f, entry(1, 1, text));
    commit(&f);
    add(&f, entry(2, 1, text));
    f.disk.fail_at = f.disk.calls + 1;
    f.disk.fail_error = OAK_ENOSPC;
    size_t names = f.disk.name_count;
    assert_int_equal(oak_wal_commit(f.wal), OAK_ENOSPC);
    assert_int_equal(f.disk.name_count, names);
    commit(&f);
    restart(&f);
    expect_entries(&f, 1, "11");
    teardown(&f);
}

/* A write that finds no space where space was: that is damage to the disk, not a full one. */
static void no_space_in_an_old_segment_poisons(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    add(&f, entry(1, 1, "x"));
    f.disk.fail_at = f.disk.calls;
    f.disk.fail_error = OAK_ENOSPC;
    assert_int_equal(oak_wal_commit(f.wal), OAK_EIO);
    assert_int_equal(oak_wal_commit(f.wal), OAK_EFATAL);
    teardown(&f);
}

static void without_sync_nothing_is_synced(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    oak_wal_close(f.wal);
    f.options.no_sync = true;
    assert_int_equal(oak_wal_open(&f.options, &f.wal, &f.e), 0);
    uint64_t syncs = f.disk.syncs;
    add(&f, entry(1, 1, "x"));
    commit(&f);
    assert_int_equal(f.disk.syncs, syncs);
    teardown(&f);
}

#if defined(OAK_ZOO)
static void the_zoo_forgets_a_vote(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    oak_bug_awake = OAK_BUG_wal_skips_hard_state;
    uint64_t calls = f.disk.calls;
    add(&f, hard_state(1, 2, 3));
    commit(&f);
    assert_int_equal(f.disk.calls, calls);
    add(&f, hard_state(2, 2, 3));
    add(&f, entry(1, 2, "x"));
    commit(&f);
    assert_true(f.disk.calls > calls);
    oak_bug_awake = OAK_BUG_NONE;
    restart(&f);
    size_t count;
    const struct oak_wal_group *g = oak_wal_recovered(f.wal, &count);
    assert_int_equal(g[0].group, 1);
    assert_int_equal(g[0].vote, 0);
    teardown(&f);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_log_is_empty_and_says_that_it_is_new),
        cmocka_unit_test(a_log_of_another_node_is_refused_and_left_alone),
        cmocka_unit_test(unusable_options_are_refused),
        cmocka_unit_test(a_commit_is_one_write_and_one_sync),
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(a_truncated_tail_stays_away),
        cmocka_unit_test(an_overwrite_below_the_snapshot_drops_the_tail_above_it),
        cmocka_unit_test(a_received_snapshot_drops_the_log_or_keeps_what_is_behind_it),
        cmocka_unit_test(what_cannot_follow_is_refused_and_changes_nothing),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(a_batch_that_spans_segments_is_one),
        cmocka_unit_test(released_segments_are_recycled_and_carry_on_what_lives),
        cmocka_unit_test(a_group_that_lags_keeps_its_segments),
        cmocka_unit_test(entries_that_a_snapshot_dropped_keep_no_segment),
        cmocka_unit_test(prepare_has_a_spare_ready_so_that_a_commit_makes_no_file),
        cmocka_unit_test(a_full_disk_refuses_the_commit_and_nothing_is_written),
        cmocka_unit_test(no_space_in_an_old_segment_poisons),
        cmocka_unit_test(without_sync_nothing_is_synced),
#if defined(OAK_ZOO)
        cmocka_unit_test(the_zoo_forgets_a_vote),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
