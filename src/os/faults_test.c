/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the disk and the clock that fail on demand: this process breaks, its child is broken. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "os/os.h"

struct world {
    char dir[64];
    char page[80];
    char file[80];
    struct oak_os_faults *faults;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct oak_errbuf e;
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-faults-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->page, sizeof(w->page), "%s/page", w->dir);
    snprintf(w->file, sizeof(w->file), "%s/file", w->dir);
    assert_int_equal(oak_os_faults_make(w->page, &w->faults, &e), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oak_os_faults_close(w->faults);
    unlink(w->page);
    unlink(w->file);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* In the child: the code of its end tells the line that was wrong, or 0. */
#define CHECK(x)             \
    do {                     \
        if (!(x)) {          \
            return __LINE__; \
        }                    \
    } while (0)

/* The line numbers of this file fit no exit code: they go through a pipe. */
static int in_child(struct world *w, int (*run)(struct world *w, struct oak_os_faults *mine))
{
    int ends[2];
    int line = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct oak_os_faults *mine = NULL;
        struct oak_errbuf e;
        line = oak_os_faults_join(w->page, &mine, &e) == 0 ? run(w, mine) : __LINE__;
        _exit(write(ends[1], &line, sizeof(line)) == (ssize_t)sizeof(line) ? 0 : 1);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], &line, sizeof(line));
    close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return got == (ssize_t)sizeof(line) ? line : -1;
}

static int writes_and_syncs(struct world *w, struct oak_os_faults *mine)
{
    const struct oak_disk *disk = oak_os_faults_disk(mine);
    struct oak_file *file = NULL;
    char out[8] = "";
    size_t got;
    CHECK(disk->open(disk->user, w->file, OAK_FILE_CREATE, &file) == 0);
    CHECK(disk->write(disk->user, file, 0, "12345678", 8) == 0);
    CHECK(disk->sync(disk->user, file) == 0);
    CHECK(disk->read(disk->user, file, 0, out, 8, &got) == 0 && got == 8);
    disk->close(disk->user, file);
    return 0;
}

static int finds_no_room_to_grow(struct world *w, struct oak_os_faults *mine)
{
    const struct oak_disk *disk = oak_os_faults_disk(mine);
    struct oak_file *file = NULL;
    CHECK(disk->open(disk->user, w->file, OAK_FILE_WRITE, &file) == 0);
    CHECK(disk->write(disk->user, file, 0, "abcdefgh", 8) == 0);
    CHECK(disk->write(disk->user, file, 4, "abcdefgh", 8) == OAK_ENOSPC);
    CHECK(disk->truncate(disk->user, file, 100) == OAK_ENOSPC);
    CHECK(disk->truncate(disk->user, file, 8) == 0);
    CHECK(disk->make_dir(disk->user, w->dir) == 0);
    disk->close(disk->user, file);
    CHECK(disk->remove(disk->user, w->file) == 0);
    CHECK(disk->open(disk->user, w->file, OAK_FILE_CREATE, &file) == OAK_ENOSPC);
    return 0;
}

static int finds_no_room_at_all(struct world *w, struct oak_os_faults *mine)
{
    const struct oak_disk *disk = oak_os_faults_disk(mine);
    struct oak_file *file = NULL;
    CHECK(disk->open(disk->user, w->file, OAK_FILE_WRITE, &file) == 0);
    CHECK(disk->write(disk->user, file, 0, "abcdefgh", 8) == OAK_ENOSPC);
    disk->close(disk->user, file);
    return 0;
}

static int fails_to_sync(struct world *w, struct oak_os_faults *mine)
{
    const struct oak_disk *disk = oak_os_faults_disk(mine);
    struct oak_file *file = NULL;
    CHECK(disk->open(disk->user, w->file, OAK_FILE_WRITE, &file) == 0);
    CHECK(disk->sync(disk->user, file) == OAK_EIO);
    CHECK(disk->sync_dir(disk->user, w->dir) == OAK_EIO);
    disk->close(disk->user, file);
    return 0;
}

static int syncs_late(struct world *w, struct oak_os_faults *mine)
{
    const struct oak_disk *disk = oak_os_faults_disk(mine);
    struct oak_clock clock = oak_os_clock();
    struct oak_file *file = NULL;
    CHECK(disk->open(disk->user, w->file, OAK_FILE_WRITE, &file) == 0);
    uint64_t before = clock.mono_ns(clock.user);
    CHECK(disk->sync(disk->user, file) == 0);
    CHECK(clock.mono_ns(clock.user) - before >= 20 * 1000000u);
    disk->close(disk->user, file);
    return 0;
}

static void a_disk_fails_as_it_is_told(void **state)
{
    struct world *w = *state;
    assert_int_equal(in_child(w, writes_and_syncs), 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_DISK_FULL, OAK_OS_FULL_FOR_ALL);
    assert_int_equal(in_child(w, finds_no_room_at_all), 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_DISK_FULL, 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_SYNC_ERROR, 1);
    assert_int_equal(in_child(w, fails_to_sync), 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_SYNC_ERROR, 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_SYNC_DELAY_NS, 20 * 1000000);
    assert_int_equal(in_child(w, syncs_late), 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_SYNC_DELAY_NS, 0);
    oak_os_faults_set(w->faults, OAK_OS_FAULT_DISK_FULL, OAK_OS_FULL_TO_GROW);
    assert_int_equal(in_child(w, finds_no_room_to_grow), 0);
}

static int sees_another_wall_clock(struct world *w, struct oak_os_faults *mine)
{
    struct oak_clock real = oak_os_clock();
    struct oak_clock own = oak_os_faults_clock(mine);
    (void)w;
    uint64_t hour = UINT64_C(3600) * 1000000000;
    CHECK(own.wall_ns(own.user) + hour / 2 < real.wall_ns(real.user));
    CHECK(own.wall_ns(own.user) + 2 * hour > real.wall_ns(real.user));
    return 0;
}

/* Reads the clock until the parent has changed its rate often enough to end. */
static int never_goes_back(struct world *w, struct oak_os_faults *mine)
{
    struct oak_clock own = oak_os_faults_clock(mine);
    struct oak_clock real = oak_os_clock();
    (void)w;
    uint64_t start = real.mono_ns(real.user);
    uint64_t last = own.mono_ns(own.user);
    while (real.mono_ns(real.user) - start < 100 * 1000000u) {
        uint64_t now = own.mono_ns(own.user);
        CHECK(now >= last);
        last = now;
    }
    return 0;
}

static void a_wall_clock_is_wrong_by_what_it_is_told(void **state)
{
    struct world *w = *state;
    oak_os_faults_set(w->faults, OAK_OS_FAULT_WALL_OFFSET_NS, -INT64_C(3600) * 1000000000);
    assert_int_equal(in_child(w, sees_another_wall_clock), 0);
}

static void a_monotonic_clock_changes_its_rate_and_never_goes_back(void **state)
{
    struct world *w = *state;
    pid_t child = fork();
    if (child == 0) {
        struct oak_os_faults *mine = NULL;
        struct oak_errbuf e;
        int line = oak_os_faults_join(w->page, &mine, &e) == 0 ? never_goes_back(w, mine) : 1;
        _exit(line == 0 ? 0 : 1);
    }
    int status = -1;
    for (int64_t rate = 0; waitpid(child, &status, WNOHANG) == 0; rate += 7777) {
        oak_os_faults_set(w->faults, OAK_OS_FAULT_MONO_RATE_PPM, rate % 100000 - 50000);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void only_a_child_of_the_breaker_may_join(void **state)
{
    struct world *w = *state;
    struct oak_os_faults *mine = NULL;
    struct oak_errbuf e;
    assert_int_equal(oak_os_faults_join(w->page, &mine, &e), OAK_EPERM);
    assert_int_equal(oak_os_faults_join("/dev/null", &mine, &e), OAK_EFORMAT);
    assert_int_equal(oak_os_faults_join(w->file, &mine, &e), OAK_ENOENT);
    assert_int_equal(oak_os_faults_make(w->page, &mine, &e), OAK_EEXIST);
    FILE *file = fopen(w->file, "w");
    assert_non_null(file);
    fputs("not a page", file);
    fclose(file);
    assert_int_equal(oak_os_faults_join(w->file, &mine, &e), OAK_EFORMAT);
}

/* A breaker whose child stands still: both end when the breaker is killed. */
static void who_is_broken_ends_with_the_breaker(void **state)
{
    struct world *w = *state;
    int ends[2];
    char one;
    assert_int_equal(pipe(ends), 0);
    pid_t breaker = fork();
    if (breaker == 0) {
        struct oak_os_faults *page = NULL, *mine = NULL;
        struct oak_errbuf e;
        (void)unlink(w->page);
        if (oak_os_faults_make(w->page, &page, &e) != 0 || fork() != 0) {
            pause();
            _exit(1);
        }
        bool joined = oak_os_faults_join(w->page, &mine, &e) == 0;
        (void)!write(ends[1], joined ? "+" : "-", 1);
        raise(SIGSTOP);
        pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &one, 1), 1);
    assert_int_equal(one, '+');
    kill(breaker, SIGKILL);
    assert_int_equal(waitpid(breaker, NULL, 0), breaker);
    assert_int_equal(read(ends[0], &one, 1), 0); /* the last holder of the other end is gone */
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_disk_fails_as_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wall_clock_is_wrong_by_what_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_monotonic_clock_changes_its_rate_and_never_goes_back,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(only_a_child_of_the_breaker_may_join, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_broken_ends_with_the_breaker, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
