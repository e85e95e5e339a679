/* SPDX-License-Identifier: Apache-2.0 */
/* world_test.c: the simulated machine keeps its promises, and breaks what it may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/world.h"

#define TRIES 200

struct seen {
    uint64_t at[8];
    int what[8];
    int count;
};

static void note(struct world *w, struct event *e)
{
    struct seen *seen = w->user;
    seen->at[seen->count] = w->now_ns;
    seen->what[seen->count++] = e->from;
}

static void note_frame(struct world *w, int to, int from, int group, struct oak_bytes frame)
{
    struct seen *seen = w->user;
    (void)from;
    (void)group;
    assert_int_equal(frame.size, 1);
    seen->at[seen->count] = w->now_ns;
    seen->what[seen->count++] = to;
}

static void run_until_idle(struct world *w)
{
    while (world_step(w)) {
    }
}

static void events_run_in_the_order_of_their_time_and_of_their_making(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    world_init(&w, 1, 1);
    w.user = &seen;
    const uint64_t now = w.now_ns;
    world_at(&w, now + 20, -1, note, NULL, oak_bytes(NULL, 0), 3);
    world_at(&w, now + 10, -1, note, NULL, oak_bytes(NULL, 0), 1);
    world_at(&w, now + 10, -1, note, NULL, oak_bytes(NULL, 0), 2);
    run_until_idle(&w);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.what[0], 1);
    assert_int_equal(seen.what[1], 2);
    assert_int_equal(seen.what[2], 3);
    assert_int_equal(seen.at[2], now + 20);
    world_fini(&w);
}

static void events_of_a_paused_machine_wait_and_those_of_others_do_not(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    world_init(&w, 1, 2);
    w.user = &seen;
    world_boot(&w, 0);
    world_boot(&w, 1);
    const uint64_t now = w.now_ns;
    w.machines[0].paused_until_ns = now + 1000;
    world_at(&w, now + 10, 0, note, NULL, oak_bytes(NULL, 0), 100);
    world_at(&w, now + 20, 1, note, NULL, oak_bytes(NULL, 0), 101);
    run_until_idle(&w);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.what[0], 101);
    assert_int_equal(seen.what[1], 100);
    assert_int_equal(seen.at[1], now + 1000);
    world_fini(&w);
}

static void events_of_a_killed_machine_do_not_reach_its_next_life(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    world_init(&w, 1, 1);
    w.user = &seen;
    world_boot(&w, 0);
    world_at(&w, w.now_ns + 10, 0, note, NULL, oak_bytes(NULL, 0), 1);
    world_kill(&w, 0);
    world_boot(&w, 0);
    world_at(&w, w.now_ns + 10, 0, note, NULL, oak_bytes(NULL, 0), 2);
    run_until_idle(&w);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.what[0], 2);
    world_fini(&w);
}

static void a_cut_loses_one_direction_and_what_is_under_way_only_when_asked(void **state)
{
    (void)state;
    struct world w;
    struct seen seen = {0};
    world_init(&w, 1, 2);
    w.user = &seen;
    w.deliver = note_frame;
    world_boot(&w, 0);
    world_boot(&w, 1);
    world_send(&w, 0, 1, 0, oak_bytes("a", 1));
    w.cut[0][1] = true;
    world_send(&w, 0, 1, 0, oak_bytes("b", 1));
    world_send(&w, 1, 0, 0, oak_bytes("c", 1));
    run_until_idle(&w);
    assert_int_equal(seen.count, 2); /* a and c */
    w.cut[0][1] = false;
    world_send(&w, 0, 1, 0, oak_bytes("d", 1));
    world_send(&w, 1, 0, 0, oak_bytes("e", 1));
    world_lose(&w, 0, 1);
    run_until_idle(&w);
    assert_int_equal(seen.count, 3); /* and e */
    assert_int_equal(seen.what[2], 0);
    assert_int_equal(w.frames_lost, 2);
    world_fini(&w);
}

/* -- the disk ---------------------------------------------------------------------------------- */

static struct oak_file *file_make(const struct oak_disk *d, const char *path)
{
    struct oak_file *file = NULL;
    assert_int_equal(d->open(d->user, path, OAK_FILE_CREATE, &file), 0);
    return file;
}

static bool file_there(const struct oak_disk *d, const char *path)
{
    struct oak_file *file = NULL;
    int error = d->open(d->user, path, OAK_FILE_READ, &file);
    if (error == 0) {
        d->close(d->user, file);
    }
    assert_true(error == 0 || error == OAK_ENOENT);
    return error == 0;
}

static void a_crash_keeps_what_was_synced_and_may_take_the_rest(void **state)
{
    (void)state;
    struct world w;
    unsigned kept = 0, lost = 0, torn = 0;
    world_init(&w, 7, 1);
    struct sim_disk *disk = w.machines[0].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    for (int i = 0; i < TRIES; i++) {
        static const uint8_t zeros[1024];
        uint8_t old[1024], new[1024], got[1024];
        size_t size = 0;
        memset(old, 'o', sizeof(old));
        memset(new, 'n', sizeof(new));
        struct oak_file *file = file_make(d, "/a/f");
        assert_int_equal(d->write(d->user, file, 0, old, sizeof(old)), 0);
        assert_int_equal(d->sync(d->user, file), 0);
        assert_int_equal(d->sync_dir(d->user, "/a"), 0);
        assert_int_equal(d->write(d->user, file, 512, new, 512), 0);
        sim_disk_die(disk);
        d->close(d->user, file);
        sim_disk_crash(disk);
        assert_int_equal(d->open(d->user, "/a/f", OAK_FILE_READ, &file), 0);
        assert_int_equal(d->read(d->user, file, 0, got, sizeof(got), &size), 0);
        d->close(d->user, file);
        assert_int_equal(size, sizeof(got));
        assert_memory_equal(got, old, 512);
        assert_memory_not_equal(got + 512, zeros, 512);
        bool is_old = memcmp(got + 512, old, 512) == 0, is_new = memcmp(got + 512, new, 512) == 0;
        kept += is_new ? 1 : 0;
        lost += is_old ? 1 : 0;
        torn += !is_old && !is_new ? 1 : 0;
        assert_int_equal(d->remove(d->user, "/a/f"), 0);
        assert_int_equal(d->sync_dir(d->user, "/a"), 0);
    }
    assert_true(kept > 0 && lost > 0 && torn > 0);
    world_fini(&w);
}

static void names_are_certain_only_once_their_directory_is_synced(void **state)
{
    (void)state;
    struct world w;
    unsigned kept = 0, lost = 0;
    world_init(&w, 7, 1);
    struct sim_disk *disk = w.machines[0].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    for (int i = 0; i < TRIES; i++) {
        struct oak_file *file = file_make(d, "/a/part");
        d->close(d->user, file);
        assert_int_equal(d->sync_dir(d->user, "/a"), 0);
        assert_int_equal(d->rename(d->user, "/a/part", "/a/whole"), 0);
        assert_false(file_there(d, "/a/part"));
        sim_disk_die(disk);
        sim_disk_crash(disk);
        bool renamed = file_there(d, "/a/whole");
        assert_int_equal(file_there(d, "/a/part"), !renamed);
        kept += renamed ? 1 : 0;
        lost += renamed ? 0 : 1;
        if (!renamed) {
            assert_int_equal(d->rename(d->user, "/a/part", "/a/whole"), 0);
        }
        assert_int_equal(d->sync_dir(d->user, "/a"), 0);
        sim_disk_die(disk);
        sim_disk_crash(disk);
        assert_true(file_there(d, "/a/whole"));
        assert_int_equal(d->remove(d->user, "/a/whole"), 0);
        assert_int_equal(d->sync_dir(d->user, "/a"), 0);
    }
    assert_true(kept > 0 && lost > 0);
    world_fini(&w);
}

static void a_disk_that_dies_in_a_call_fails_it_and_all_later_ones(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 7, 1);
    struct sim_disk *disk = w.machines[0].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    struct oak_file *file = file_make(d, "/a/f");
    sim_disk_die_after(disk, 2);
    assert_int_equal(d->write(d->user, file, 0, "x", 1), 0);
    assert_false(sim_disk_died(disk));
    assert_int_equal(d->sync(d->user, file), OAK_ECLOSED);
    assert_true(sim_disk_died(disk));
    assert_int_equal(d->write(d->user, file, 0, "x", 1), OAK_ECLOSED);
    d->close(d->user, file);
    sim_disk_crash(disk);
    assert_false(sim_disk_died(disk));
    world_fini(&w);
}

static void what_a_failed_sync_dropped_is_gone_though_the_next_one_succeeds(void **state)
{
    (void)state;
    struct world w;
    char got[2];
    size_t size = 0;
    world_init(&w, 7, 1);
    struct sim_disk *disk = w.machines[0].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    struct oak_file *file = file_make(d, "/a/f");
    assert_int_equal(d->write(d->user, file, 0, "o", 1), 0);
    assert_int_equal(d->sync(d->user, file), 0);
    assert_int_equal(d->sync_dir(d->user, "/a"), 0);
    sim_disk_fail(disk, 1, 0);
    assert_int_equal(d->write(d->user, file, 0, "n", 1), 0);
    assert_int_equal(d->sync(d->user, file), OAK_EIO);
    assert_true(sim_disk_failed_ns(disk, OAK_EIO, SIM_DISK_REST) != 0);
    assert_int_equal(sim_disk_failed_ns(disk, OAK_EIO, SIM_DISK_WAL), 0);
    assert_int_equal(sim_disk_failed_ns(disk, OAK_ENOSPC, SIM_DISK_REST), 0);
    assert_int_equal(d->sync(d->user, file), 0);
    d->close(d->user, file);
    sim_disk_die(disk);
    sim_disk_crash(disk);
    assert_int_equal(d->open(d->user, "/a/f", OAK_FILE_READ, &file), 0);
    assert_int_equal(d->read(d->user, file, 0, got, sizeof(got), &size), 0);
    d->close(d->user, file);
    assert_int_equal(size, 1);
    assert_int_equal(got[0], 'o');
    world_fini(&w);
}

static void a_full_disk_takes_what_makes_nothing_longer(void **state)
{
    (void)state;
    struct world w;
    struct oak_file *other = NULL;
    world_init(&w, 7, 1);
    struct sim_disk *disk = w.machines[0].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    struct oak_file *file = file_make(d, "/a/f");
    assert_int_equal(d->write(d->user, file, 0, "ab", 2), 0);
    sim_disk_fill(disk, 1);
    assert_int_equal(d->write(d->user, file, 0, "xy", 2), 0);
    assert_int_equal(d->write(d->user, file, 2, "z", 1), 0);
    assert_int_equal(d->write(d->user, file, 3, "z", 1), OAK_ENOSPC);
    assert_int_equal(d->open(d->user, "/a/g", OAK_FILE_CREATE, &other), OAK_ENOSPC);
    sim_disk_empty(disk);
    assert_int_equal(d->write(d->user, file, 3, "z", 1), 0);
    d->close(d->user, file);
    world_fini(&w);
}

static void damage_meets_what_is_old_alone(void **state)
{
    (void)state;
    struct world w;
    uint8_t old[1024], got[1024];
    size_t size = 0;
    world_init(&w, 7, 1);
    struct sim_disk *disk = w.machines[0].disk;
    const struct oak_disk *d = sim_disk_port(disk);
    struct oak_prng p;
    oak_prng_init(&p, 3);
    memset(old, 'o', sizeof(old));
    struct oak_file *file = file_make(d, "/a/f");
    assert_int_equal(d->write(d->user, file, 0, old, sizeof(old)), 0);
    assert_int_equal(d->sync(d->user, file), 0);
    assert_int_equal(d->sync_dir(d->user, "/a"), 0);
    assert_null(sim_disk_rot(disk, &p, "/a", w.now_ns, false));
    assert_null(sim_disk_rot(disk, &p, "/b", w.now_ns + 1, false));
    assert_string_equal(sim_disk_rot(disk, &p, "/a", w.now_ns + 1, false), "/a/f");
    assert_int_equal(d->read(d->user, file, 0, got, sizeof(got), &size), 0);
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof(got); i++) {
        bits += (unsigned)__builtin_popcount(got[i] ^ old[i]);
    }
    assert_int_equal(bits, 1);
    d->close(d->user, file);
    world_fini(&w);
}

static void power_is_cut_before_or_behind_the_call_that_was_named(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        struct world w;
        world_init(&w, 7, 1);
        struct sim_disk *disk = w.machines[0].disk;
        const struct oak_disk *d = sim_disk_port(disk);
        const struct sim_disk_trap trap = {
            .call = SIM_DISK_SYNC_DIR, .part = "/wal", .after = after != 0, .count = 2};
        sim_disk_die_at(disk, &trap);
        assert_int_equal(d->sync_dir(d->user, "/n/wal"), 0);
        assert_int_equal(d->sync_dir(d->user, "/n/snap"), 0);
        struct oak_file *file = file_make(d, "/n/wal/f");
        d->close(d->user, file);
        assert_int_equal(d->sync_dir(d->user, "/n/wal"), OAK_ECLOSED);
        assert_true(sim_disk_died(disk));
        sim_disk_crash(disk);
        if (after != 0) {
            assert_true(file_there(d, "/n/wal/f"));
        }
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_run_in_the_order_of_their_time_and_of_their_making),
        cmocka_unit_test(events_of_a_paused_machine_wait_and_those_of_others_do_not),
        cmocka_unit_test(events_of_a_killed_machine_do_not_reach_its_next_life),
        cmocka_unit_test(a_cut_loses_one_direction_and_what_is_under_way_only_when_asked),
        cmocka_unit_test(a_crash_keeps_what_was_synced_and_may_take_the_rest),
        cmocka_unit_test(names_are_certain_only_once_their_directory_is_synced),
        cmocka_unit_test(a_disk_that_dies_in_a_call_fails_it_and_all_later_ones),
        cmocka_unit_test(what_a_failed_sync_dropped_is_gone_though_the_next_one_succeeds),
        cmocka_unit_test(a_full_disk_takes_what_makes_nothing_longer),
        cmocka_unit_test(damage_meets_what_is_old_alone),
        cmocka_unit_test(power_is_cut_before_or_behind_the_call_that_was_named),
    };
    return cmocka_run_group_tests_name("sim/world", tests, NULL, NULL);
}
