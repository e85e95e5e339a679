/* SPDX-License-Identifier: Apache-2.0 */
/* scene_test.c: what is slow in a cluster slows neither the others nor grows their memory. Each
 * scene runs with three seeds, in a slow build with one. `test_sim_scene NAME SEED` plays one
 * aloud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/scene.h"

#if defined(OAK_SLOW_BUILD)
#define SEEDS 1
#else
#define SEEDS 3
#endif

static void play(enum scene_kind kind)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct scene_report report;
        scene_run(kind, seed, false, &report);
        if (report.what[0] != '\0') {
            fail_msg("test_sim_scene %s %d: %s", scene_name(kind), (int)seed, report.what);
        }
    }
}

/* C4. */
static void a_follower_slower_than_the_load_catches_up(void **state)
{
    (void)state;
    play(SCENE_LAGGARD);
}

static void a_dead_and_a_slow_follower_do_not_grow_the_log(void **state)
{
    (void)state;
    play(SCENE_DEAD_ONE);
}

static void a_leader_with_a_slow_disk_hands_over_once(void **state)
{
    (void)state;
    play(SCENE_SLOW_DISK);
}

/* C5 too: what waits there ends, also the puts that the hung disk will never take. */
static void a_leader_whose_disk_hangs_lets_go(void **state)
{
    (void)state;
    play(SCENE_HUNG_DISK);
}

static void a_leader_without_cpu_hands_over_once(void **state)
{
    (void)state;
    play(SCENE_SLOW_CPU);
}

static void nobody_moves_when_all_are_slow(void **state)
{
    (void)state;
    play(SCENE_ALL_SLOW);
}

static void a_minority_that_answers_nobody_is_told_of(void **state)
{
    (void)state;
    struct scene_report report;
    scene_run(SCENE_MINORITY, 1, false, &report);
    assert_non_null(strstr(report.what, "availability: no client was answered for ten seconds"));
}

static int aloud(const char *name, const char *seed)
{
    for (int kind = 0; kind < SCENE_COUNT; kind++) {
        if (strcmp(name, scene_name((enum scene_kind)kind)) == 0) {
            struct scene_report r;
            scene_run((enum scene_kind)kind, strtoull(seed, NULL, 10), true, &r);
            printf("%s: %s\nputs %d, refused %d, leaders %d, snapshots %d, moved in %d ms, log %d "
                   "KiB\n",
                   name, r.what[0] != '\0' ? r.what : "passed", (int)r.puts, (int)r.refused,
                   (int)r.leaders, (int)r.snapshots, (int)r.moved_ms, (int)(r.log_bytes / 1024));
            return r.what[0] == '\0' ? 0 : 1;
        }
    }
    return 2;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_slower_than_the_load_catches_up),
        cmocka_unit_test(a_dead_and_a_slow_follower_do_not_grow_the_log),
        cmocka_unit_test(a_leader_with_a_slow_disk_hands_over_once),
        cmocka_unit_test(a_leader_whose_disk_hangs_lets_go),
        cmocka_unit_test(a_leader_without_cpu_hands_over_once),
        cmocka_unit_test(nobody_moves_when_all_are_slow),
        cmocka_unit_test(a_minority_that_answers_nobody_is_told_of),
    };
    return argc > 2 ? aloud(argv[1], argv[2]) : cmocka_run_group_tests(tests, NULL, NULL);
}
