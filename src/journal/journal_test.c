/* SPDX-License-Identifier: Apache-2.0 */
/* journal_test.c: many groups, one log, one sync; on a simulated machine. */
#include "journal/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/world.h"

#define GROUPS 100

struct member {
    struct oak_journal_group g;
    uint64_t durable;
    int error;
    unsigned calls;
    struct fixture *fixture;
};

struct fixture {
    struct world world;
    struct machine *machine;
    const struct oak_disk *disk; /* NULL: the machine's */
    struct oak_journal *journal;
    struct member members[GROUPS];
    bool closed;
};

static void durable(struct oak_journal_group *g, uint64_t token, int error)
{
    struct member *m = OAK_CONTAINER_OF(g, struct member, g);
    m->calls++;
    m->error = error;
    m->durable = token != 0 ? token : m->durable;
}

static void closed(void *user)
{
    struct fixture *f = user;
    f->closed = true;
    f->journal = NULL;
}

static void run(struct fixture *f)
{
    while (world_step(&f->world)) {
    }
}

static void open_journal(struct fixture *f, size_t groups)
{
    struct oak_errbuf e = {.text = ""};
    const struct oak_journal_options options = {
        .loop = &f->machine->loop,
        .writer = f->machine->log_writer,
        .disk = f->disk != NULL ? f->disk : sim_disk_port(f->machine->disk),
        .dir = "/node",
        .cluster = 7,
        .member = 3,
        .segment_bytes = 256 * OAK_KIB,
    };
    assert_int_equal(oak_journal_open(&options, &f->journal, &e), 0);
    for (size_t i = 0; i < groups; i++) {
        f->members[i] = (struct member){.g = {.group = i + 1, .durable = durable}};
        oak_journal_join(f->journal, &f->members[i].g);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    world_init(&f->world, 1, 1);
    world_boot(&f->world, 0);
    f->machine = &f->world.machines[0];
    const struct oak_disk *disk = sim_disk_port(f->machine->disk);
    assert_int_equal(disk->make_dir(disk->user, "/node"), 0);
    *state = f;
    return 0;
}

static void close_journal(struct fixture *f, size_t groups)
{
    for (size_t i = 0; i < groups; i++) {
        oak_journal_leave(f->journal, &f->members[i].g);
    }
    f->closed = false;
    oak_journal_close(f->journal, closed, f);
    run(f);
    assert_true(f->closed);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_fini(&f->world);
    free(f);
    return 0;
}

static void entry_add(struct fixture *f, size_t at, uint64_t index, uint64_t token)
{
    struct member *m = &f->members[at];
    const struct oak_wal_record record = {
        .type = OAK_WAL_ENTRY,
        .group = m->g.group,
        .index = index,
        .term = 1,
        .data = oak_bytes_str("payload"),
    };
    assert_int_equal(oak_journal_add(f->journal, &m->g, &record), 0);
    oak_journal_mark(f->journal, &m->g, token, true);
}

static void a_hundred_groups_share_one_sync(void **state)
{
    struct fixture *f = *state;
    open_journal(f, GROUPS);
    for (size_t i = 0; i < GROUPS; i++) {
        entry_add(f, i, 1, 1);
    }
    oak_journal_kick(f->journal);
    run(f);
    assert_int_equal(oak_journal_stats(f->journal)->syncs, 1);
    for (size_t i = 0; i < GROUPS; i++) {
        assert_int_equal(f->members[i].durable, 1);
        assert_int_equal(f->members[i].calls, 1);
    }
    close_journal(f, GROUPS);
    open_journal(f, 0);
    for (size_t i = 0; i < GROUPS; i++) {
        const struct oak_wal_group *g = oak_journal_recovered(f->journal, i + 1);
        assert_non_null(g);
        assert_int_equal(g->last_index, 1);
    }
    assert_null(oak_journal_recovered(f->journal, GROUPS + 1));
    oak_journal_recovered_drop(f->journal);
    close_journal(f, 0);
}

/* The first group to be told has more for the second one, which is still to be told. */
static void durable_and_more(struct oak_journal_group *g, uint64_t token, int error)
{
    durable(g, token, error);
    struct fixture *f = OAK_CONTAINER_OF(g, struct member, g)->fixture;
    if (token == 1) {
        entry_add(f, 1, 2, 2);
        oak_journal_kick(f->journal);
    }
}

static void a_group_is_not_told_of_what_another_ones_news_has_begun(void **state)
{
    struct fixture *f = *state;
    open_journal(f, 2);
    f->members[0].fixture = f;
    f->members[0].g.durable = durable_and_more;
    entry_add(f, 0, 1, 1);
    entry_add(f, 1, 1, 1);
    oak_journal_kick(f->journal);
    while (f->members[1].calls == 0) {
        assert_true(world_step(&f->world));
    }
    assert_int_equal(oak_journal_stats(f->journal)->syncs, 1);
    assert_int_equal(f->members[1].durable, 1); /* not 2: that is only being written */
    run(f);
    assert_int_equal(oak_journal_stats(f->journal)->syncs, 2);
    assert_int_equal(f->members[1].durable, 2);
    close_journal(f, 2);
}

static void what_gathers_while_a_batch_is_away_goes_with_the_next(void **state)
{
    struct fixture *f = *state;
    open_journal(f, 3);
    entry_add(f, 0, 1, 1);
    oak_journal_kick(f->journal);
    assert_true(oak_journal_busy(&f->members[0].g));
    assert_false(oak_journal_busy(&f->members[1].g));
    entry_add(f, 0, 2, 2);
    entry_add(f, 1, 1, 5);
    entry_add(f, 2, 1, 9);
    oak_journal_kick(f->journal);
    run(f);
    assert_int_equal(oak_journal_stats(f->journal)->syncs, 2);
    assert_int_equal(f->members[0].calls, 2);
    assert_int_equal(f->members[0].durable, 2);
    assert_int_equal(f->members[1].calls, 1);
    assert_int_equal(f->members[1].durable, 5);
    assert_int_equal(f->members[2].durable, 9);
    close_journal(f, 3);
}

static void a_batch_without_need_of_a_sync_waits_for_one_that_has(void **state)
{
    struct fixture *f = *state;
    open_journal(f, 2);
    const struct oak_wal_record hint = {
        .type = OAK_WAL_HARD_STATE, .group = 1, .term = 1, .vote = 1};
    assert_int_equal(oak_journal_add(f->journal, &f->members[0].g, &hint), 0);
    oak_journal_mark(f->journal, &f->members[0].g, 1, false);
    oak_journal_kick(f->journal);
    run(f);
    assert_int_equal(f->members[0].calls, 0);
    entry_add(f, 1, 1, 1);
    oak_journal_kick(f->journal);
    run(f);
    assert_int_equal(oak_journal_stats(f->journal)->syncs, 1);
    assert_int_equal(f->members[0].durable, 1);
    close_journal(f, 2);
}

static void who_leaves_takes_what_was_not_away(void **state)
{
    struct fixture *f = *state;
    open_journal(f, 2);
    entry_add(f, 0, 1, 1);
    entry_add(f, 1, 1, 1);
    oak_journal_leave(f->journal, &f->members[0].g);
    oak_journal_kick(f->journal);
    run(f);
    assert_int_equal(f->members[0].calls, 0);
    assert_int_equal(f->members[1].durable, 1);
    oak_journal_leave(f->journal, &f->members[1].g);
    close_journal(f, 0);
    open_journal(f, 0);
    assert_null(oak_journal_recovered(f->journal, 1));
    assert_non_null(oak_journal_recovered(f->journal, 2));
    oak_journal_recovered_drop(f->journal);
    close_journal(f, 0);
}

static void an_error_is_told_to_everybody_and_is_the_end(void **state)
{
    struct fixture *f = *state;
    open_journal(f, 3);
    entry_add(f, 0, 1, 1);
    sim_disk_die(f->machine->disk);
    oak_journal_kick(f->journal);
    run(f);
    for (size_t i = 0; i < 3; i++) {
        assert_int_not_equal(f->members[i].error, 0);
        assert_int_equal(f->members[i].durable, 0);
        assert_int_equal(f->members[i].calls, 1);
    }
    const struct oak_wal_record record = {.type = OAK_WAL_ENTRY, .group = 1, .index = 2, .term = 1};
    assert_int_equal(oak_journal_add(f->journal, &f->members[0].g, &record), OAK_EFATAL);
    close_journal(f, 3);
    sim_disk_crash(f->machine->disk);
}

/* The machine's disk, that can be full. */
static bool disk_is_full;

static int full_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                      size_t size)
{
    uint64_t had = 0;
    const struct oak_disk *disk = sim_disk_port(user);
    int error = disk->size(user, file, &had);
    return error != 0                            ? error
           : disk_is_full && offset + size > had ? OAK_ENOSPC
                                                 : disk->write(user, file, offset, data, size);
}

static int full_space(void *user, const char *path, uint64_t *free_bytes)
{
    (void)user;
    (void)path;
    *free_bytes = disk_is_full ? 1000 : 1024 * OAK_MIB;
    return 0;
}

static void ticks(struct fixture *f, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        f->world.now_ns += 1000000000;
        oak_journal_tick(f->journal);
        run(f);
    }
}

/* Entries of 100 KB, so that each third one needs a new segment. */
static void large_add(struct fixture *f, uint64_t index)
{
    static uint8_t payload[100000];
    const struct oak_wal_record record = {.type = OAK_WAL_ENTRY,
                                          .group = 1,
                                          .index = index,
                                          .term = 1,
                                          .data = oak_bytes(payload, sizeof(payload))};
    assert_int_equal(oak_journal_add(f->journal, &f->members[0].g, &record), 0);
    oak_journal_mark(f->journal, &f->members[0].g, index, true);
    oak_journal_kick(f->journal);
    run(f);
}

static void a_full_disk_makes_the_log_wait_and_is_no_end(void **state)
{
    struct fixture *f = *state;
    struct oak_disk disk = *sim_disk_port(f->machine->disk);
    disk.write = full_write;
    disk.space = full_space;
    f->disk = &disk;
    open_journal(f, 2);
    ticks(f, 1);
    assert_false(oak_journal_stats(f->journal)->scarce);
    disk_is_full = true;
    ticks(f, 1);
    assert_true(oak_journal_stats(f->journal)->scarce);
    assert_false(oak_journal_stats(f->journal)->full);
    for (uint64_t i = 1; i <= 3; i++) {
        large_add(f, i);
    }
    /* Two have their place in the first segment; the third waits, and so does the other group. */
    assert_int_equal(f->members[0].durable, 2);
    assert_true(oak_journal_stats(f->journal)->full);
    entry_add(f, 1, 1, 1);
    oak_journal_kick(f->journal);
    ticks(f, 3);
    assert_int_equal(f->members[0].durable, 2);
    assert_int_equal(f->members[1].durable, 0);
    assert_int_equal(f->members[0].error, 0);
    disk_is_full = false;
    ticks(f, 2);
    assert_int_equal(f->members[0].durable, 3);
    assert_int_equal(f->members[1].durable, 1);
    assert_false(oak_journal_stats(f->journal)->full);
    assert_false(oak_journal_stats(f->journal)->scarce);
    /* Full again, and closed: what waits fails, nothing of it is on disk, and the rest is. */
    disk_is_full = true;
    for (uint64_t i = 4; i <= 6; i++) {
        large_add(f, i);
    }
    uint64_t durable = f->members[0].durable;
    assert_true(durable < 6 && oak_journal_stats(f->journal)->full);
    oak_journal_give_up(f->journal);
    run(f);
    assert_int_equal(f->members[0].error, OAK_ENOSPC);
    assert_false(oak_journal_busy(&f->members[0].g));
    close_journal(f, 2);
    disk_is_full = false;
    open_journal(f, 0);
    assert_int_equal(oak_journal_recovered(f->journal, 1)->last_index, durable);
    oak_journal_recovered_drop(f->journal);
    close_journal(f, 0);
}

static void another_nodes_log_is_refused(void **state)
{
    struct fixture *f = *state;
    open_journal(f, 0);
    close_journal(f, 0);
    struct oak_errbuf e = {.text = ""};
    const struct oak_journal_options options = {
        .loop = &f->machine->loop,
        .writer = f->machine->log_writer,
        .disk = sim_disk_port(f->machine->disk),
        .dir = "/node",
        .cluster = 7,
        .member = 4,
        .segment_bytes = 256 * OAK_KIB,
    };
    assert_int_equal(oak_journal_open(&options, &f->journal, &e), OAK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hundred_groups_share_one_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_is_not_told_of_what_another_ones_news_has_begun,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_gathers_while_a_batch_is_away_goes_with_the_next,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_without_need_of_a_sync_waits_for_one_that_has,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_takes_what_was_not_away, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_is_told_to_everybody_and_is_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_makes_the_log_wait_and_is_no_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_nodes_log_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
