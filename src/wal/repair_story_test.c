/* SPDX-License-Identifier: Apache-2.0 */
/* repair_story_test.c: a log of one group, of which certain batches are lost where they were
 * durable, opened with leave to repair: what exactly is known of it, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "wal/internal.h"
#include "wal/test_model.h"

#define GROUP   7u
#define SEGMENT (16 * MODEL_SEGMENT)

struct story {
    struct test_disk disk;
    struct oak_wal *wal;
    uint64_t from[64]; /* where each batch begins; all in the first segment */
    size_t batches;
    uint64_t applied_index, applied_term; /* of its state machine */
    bool applied_unknown;
};

static bool applied(void *user, uint64_t group, uint64_t *index, uint64_t *term)
{
    const struct story *s = user;
    assert_int_equal(group, GROUP);
    *index = s->applied_index;
    *term = s->applied_term;
    return !s->applied_unknown;
}

static int story_open(struct story *s, struct oak_errbuf *e)
{
    const struct oak_wal_options o = {.disk = &s->disk.port,
                                      .dir = MODEL_DIR,
                                      .meta = oak_bytes_str(MODEL_META),
                                      .segment_bytes = SEGMENT,
                                      .applied = applied,
                                      .user = s};
    s->wal = NULL;
    return oak_wal_open(&o, &s->wal, e);
}

static void story_begin(struct story *s)
{
    struct oak_errbuf e;
    memset(s, 0, sizeof(*s));
    test_disk_init(&s->disk, 1);
    assert_int_equal(story_open(s, &e), 0);
    oak_wal_recovered_drop(s->wal);
}

/* As found; NULL: not at all. */
static const struct oak_wal_group *group_of(const struct story *s)
{
    size_t count;
    const struct oak_wal_group *groups = oak_wal_recovered(s->wal, &count);
    return count == 1 ? &groups[0] : NULL;
}

static void batch(struct story *s, struct oak_wal_record r)
{
    r.group = GROUP;
    s->from[s->batches++] = s->wal->offset;
    assert_int_equal(oak_wal_append(s->wal, &r), 0);
    assert_int_equal(oak_wal_commit(s->wal), 0);
    s->from[s->batches] = s->wal->offset;
}

static void vote(struct story *s, uint64_t term, uint64_t whom, uint64_t commit)
{
    batch(s, (struct oak_wal_record){
                 .type = OAK_WAL_HARD_STATE, .term = term, .vote = whom, .commit = commit});
}

static void entry(struct story *s, uint64_t index, uint64_t term)
{
    batch(s, (struct oak_wal_record){.type = OAK_WAL_ENTRY, .index = index, .term = term});
}

/* Batches first..last (from 0) become zeros, and the log is opened again. */
static int story_lose(struct story *s, size_t first, size_t last, uint64_t applied_index,
                      uint64_t applied_term, struct oak_errbuf *e)
{
    char path[64];
    snprintf(path, sizeof(path), MODEL_DIR "/%016llx.wal",
             (unsigned long long)s->wal->chain[s->wal->current].seq);
    oak_wal_close(s->wal);
    uint8_t *zeros = calloc(1, SEGMENT);
    assert_non_null(zeros);
    test_disk_poke(&s->disk, path, s->from[first], zeros, s->from[last + 1] - s->from[first]);
    free(zeros);
    s->applied_index = applied_index;
    s->applied_term = applied_term;
    return story_open(s, e);
}

static void story_end(struct story *s)
{
    oak_wal_close(s->wal);
    test_disk_fini(&s->disk);
}

static void a_vote_survives_the_loss_of_eight_batches_and_nine_refuse(void **state)
{
    (void)state;
    for (size_t lost = 1; lost <= 9; lost++) {
        struct story s;
        story_begin(&s);
        vote(&s, 1, 1, 0);
        for (uint64_t i = 1; i <= 10; i++) {
            entry(&s, i, 1);
        }
        vote(&s, 5, 3, 0); /* batch 11: the first that is lost */
        for (uint64_t i = 11; i <= 20; i++) {
            entry(&s, i, 1);
        }
        struct oak_errbuf e = {{0}};
        int error = story_lose(&s, 11, 11 + lost - 1, 4, 1, &e);
        if (lost == 9) {
            assert_int_equal(error, OAK_ECORRUPT);
            assert_non_null(strstr(e.text, "a vote may be lost"));
            assert_non_null(strstr(e.text, "remove this member"));
        } else {
            assert_int_equal(error, 0);
            const struct oak_wal_group *g = group_of(&s);
            assert_int_equal(g->term, 5);
            assert_int_equal(g->vote, 3);
            /* What the lost batches did to the log is not known, so its end isn't either. */
            assert_true(g->in_doubt);
            assert_int_equal(g->last_index, 4);
        }
        story_end(&s);
    }
}

static void damage_to_what_is_applied_already_leaves_the_log_known(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    vote(&s, 1, 1, 0);
    for (uint64_t i = 1; i <= 10; i++) {
        entry(&s, i, 1);
    }
    struct oak_errbuf e;
    assert_int_equal(story_lose(&s, 3, 5, 6, 1, &e), 0);
    const struct oak_wal_group *g = group_of(&s);
    assert_false(g->in_doubt);
    assert_int_equal(g->last_index, 10);
    assert_int_equal(g->entry_count, 4);
    assert_int_equal(g->entries[0].index, 7);
    story_end(&s);
}

/* The snapshot came, and is not in the store yet: the log goes on behind it, and says so again. */
static void damage_in_front_of_a_received_snapshot_leaves_the_log_known(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    vote(&s, 1, 1, 0);
    for (uint64_t i = 1; i <= 4; i++) {
        entry(&s, i, 1);
    }
    batch(&s, (struct oak_wal_record){.type = OAK_WAL_SNAPSHOT, .index = 10, .term = 2});
    entry(&s, 11, 2);
    entry(&s, 12, 2);
    vote(&s, 2, 3, 11);
    struct oak_errbuf e;
    assert_int_equal(story_lose(&s, 3, 4, 2, 1, &e), 0);
    for (int turn = 0; turn < 2; turn++) {
        const struct oak_wal_group *g = group_of(&s);
        assert_false(g->in_doubt);
        assert_int_equal(g->term, 2);
        assert_int_equal(g->vote, 3);
        assert_int_equal(g->snapshot_index, 10);
        assert_int_equal(g->snapshot_term, 2);
        assert_int_equal(g->entry_count, 2);
        assert_int_equal(g->entries[0].index, 11);
        assert_int_equal(g->last_index, 12);
        oak_wal_close(s.wal);
        assert_int_equal(story_open(&s, &e), 0);
    }
    story_end(&s);
}

static void a_group_whose_state_machine_is_not_known_is_not_repaired(void **state)
{
    (void)state;
    struct story s;
    struct oak_errbuf e;
    story_begin(&s);
    vote(&s, 1, 1, 0);
    entry(&s, 1, 1);
    entry(&s, 2, 1);
    s.applied_unknown = true;
    s.disk.writes = 0;
    assert_int_equal(story_lose(&s, 1, 1, 0, 0, &e), OAK_ECORRUPT);
    assert_non_null(strstr(e.text, "how far group 7 has applied is not known"));
    assert_int_equal(s.disk.writes, 0);
    story_end(&s);
}

/* L2: the batch that cut 5 and 6 off and put another 5 there is lost. What it cut must not come
 * back. */
static void l02_a_lost_batch_that_truncated_does_not_bring_back_what_it_cut(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    vote(&s, 1, 1, 0);
    for (uint64_t i = 1; i <= 6; i++) {
        entry(&s, i, 1);
    }
    vote(&s, 2, 2, 4);
    entry(&s, 5, 2); /* batch 8 */
    vote(&s, 2, 2, 5);
    struct oak_errbuf e;
    assert_int_equal(story_lose(&s, 8, 8, 4, 1, &e), 0);
    const struct oak_wal_group *g = group_of(&s);
    assert_true(g->in_doubt);
    assert_int_equal(g->last_index, 4);
    assert_int_equal(g->entry_count, 0);
    assert_int_equal(g->commit, 4); /* 5 is committed, but which 5 is here is not known */
    story_end(&s);
}

static void a_doubt_stays_until_a_record_lifts_it(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    vote(&s, 1, 1, 0);
    for (uint64_t i = 1; i <= 6; i++) {
        entry(&s, i, 1);
    }
    struct oak_errbuf e;
    assert_int_equal(story_lose(&s, 5, 5, 2, 1, &e), 0);
    assert_true(group_of(&s)->in_doubt);
    for (uint64_t i = 3; i <= 6; i++) {
        entry(&s, i, 1);
    }
    vote(&s, 3, 0, 2);
    s.batches = 0;
    s.from[0] = s.from[1] = s.wal->offset;
    assert_int_equal(story_lose(&s, 0, 0, 4, 1, &e), 0); /* nothing is lost: only opened again */
    const struct oak_wal_group *g = group_of(&s);
    assert_true(g->in_doubt);
    assert_int_equal(g->term, 3);
    assert_int_equal(g->last_index, 6);
    batch(&s, (struct oak_wal_record){.type = OAK_WAL_DOUBT});
    vote(&s, 3, 2, 4);
    s.from[0] = s.from[1] = s.wal->offset;
    assert_int_equal(story_lose(&s, 0, 0, 4, 1, &e), 0);
    assert_false(group_of(&s)->in_doubt);
    assert_int_equal(group_of(&s)->vote, 2);
    /* A store that is lost puts it in doubt again: the log starts anew, below its old snapshot. */
    batch(&s, (struct oak_wal_record){.type = OAK_WAL_DOUBT, .kind = 1});
    s.from[0] = s.from[1] = s.wal->offset;
    assert_int_equal(story_lose(&s, 0, 0, 0, 0, &e), 0);
    g = group_of(&s);
    assert_true(g->in_doubt);
    assert_int_equal(g->last_index, 0);
    assert_int_equal(g->entry_count, 0);
    assert_int_equal(g->term, 3);
    assert_int_equal(g->vote, 2);
    story_end(&s);
}

/* The batch that says that the group is in doubt is lost itself. */
static void a_doubt_survives_damage(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    vote(&s, 1, 1, 0);
    entry(&s, 1, 1);
    batch(&s, (struct oak_wal_record){.type = OAK_WAL_DOUBT, .kind = 1}); /* 2 */
    entry(&s, 1, 1);
    vote(&s, 2, 1, 0);
    struct oak_errbuf e;
    assert_int_equal(story_lose(&s, 2, 2, 0, 0, &e), 0);
    assert_true(group_of(&s)->in_doubt);
    story_end(&s);
}

static void damaged_segments_are_set_aside_and_few_are_kept(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    struct oak_errbuf e;
    vote(&s, 1, 1, 0);
    for (uint64_t turn = 0; turn < 8; turn++) {
        s.batches = 0;
        for (uint64_t i = 1; i <= 3; i++) {
            entry(&s, i, 1 + turn);
        }
        vote(&s, 2 + turn, 0, 0);
        assert_int_equal(story_lose(&s, 1, 1, 0, 0, &e), 0);
        assert_true(group_of(&s)->in_doubt);
        assert_int_equal(group_of(&s)->term, 2 + turn);
    }
    size_t aside = 0;
    const char *path;
    for (size_t n = 0; (path = test_disk_name(&s.disk, n)) != NULL; n++) {
        aside += strstr(path, ".damaged") != NULL;
    }
    assert_true(aside >= 1 && aside <= OAK_WAL_DAMAGED_MAX + 1);
    story_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vote_survives_the_loss_of_eight_batches_and_nine_refuse),
        cmocka_unit_test(damage_to_what_is_applied_already_leaves_the_log_known),
        cmocka_unit_test(damage_in_front_of_a_received_snapshot_leaves_the_log_known),
        cmocka_unit_test(a_group_whose_state_machine_is_not_known_is_not_repaired),
        cmocka_unit_test(l02_a_lost_batch_that_truncated_does_not_bring_back_what_it_cut),
        cmocka_unit_test(a_doubt_stays_until_a_record_lifts_it),
        cmocka_unit_test(a_doubt_survives_damage),
        cmocka_unit_test(damaged_segments_are_set_aside_and_few_are_kept),
    };
    return cmocka_run_group_tests_name("wal/repair_story", tests, NULL, NULL);
}
