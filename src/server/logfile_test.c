/* SPDX-License-Identifier: Apache-2.0 */
/* logfile_test.c: files of log lines: appended to, rotated, and what is kept. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/logfile.h"

#define SECOND  1000000000ull
#define DAY     (86400 * SECOND)
#define HALF_MB (512 * 1024)

struct world {
    char dir[64];
    char path[80];
    uint64_t now_ns;
    char *half; /* of a megabyte */
};

static uint64_t wall(void *user)
{
    return ((struct world *)user)->now_ns;
}

static int setup(void **state)
{
    static struct world w;
    snprintf(w.dir, sizeof(w.dir), "/tmp/oak-logfile-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.path, sizeof(w.path), "%s/a.log", w.dir);
    w.now_ns = 1800000000ull * SECOND; /* 2027-01-15T08:00:00 */
    w.half = malloc(HALF_MB);
    assert_non_null(w.half);
    memset(w.half, 'x', HALF_MB);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char path[512];
    DIR *d = opendir(w->dir);
    for (const struct dirent *at; (at = readdir(d)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, at->d_name);
        (void)unlink(path);
    }
    closedir(d);
    free(w->half);
    return rmdir(w->dir);
}

static struct logfile *open_one(struct world *w, const struct oak_config_rotation *rotation)
{
    struct logfile *f = NULL;
    struct oak_errbuf e;
    struct oak_clock clock = {.wall_ns = wall, .user = w};
    assert_int_equal(logfile_open(w->path, rotation, clock, &f, &e), 0);
    return f;
}

static bool is_there(const struct world *w, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    return access(path, F_OK) == 0;
}

static long size_of(const struct world *w, const char *name)
{
    char path[256];
    struct stat about;
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    return stat(path, &about) == 0 ? (long)about.st_size : -1;
}

static void lines_are_appended_and_the_mode_is_private(void **state)
{
    struct world *w = *state;
    struct logfile *f = open_one(w, NULL);
    logfile_write(f, "one\n", 4);
    logfile_close(f);
    f = open_one(w, NULL);
    for (int i = 0; i < 5; i++) {
        logfile_write(f, w->half, HALF_MB); /* without rotation there is no limit */
    }
    logfile_close(f);
    assert_int_equal(size_of(w, "a.log"), 4 + 5 * HALF_MB);
    struct stat about;
    assert_int_equal(stat(w->path, &about), 0);
    assert_int_equal(about.st_mode & 077, 0);
}

static void a_file_that_would_be_too_long_is_renamed(void **state)
{
    struct world *w = *state;
    const struct oak_config_rotation rotation = {.max_mb = 1};
    struct logfile *f = open_one(w, &rotation);
    logfile_write(f, w->half, HALF_MB);
    logfile_write(f, w->half, HALF_MB);
    assert_false(is_there(w, "a-2027-01-15T08-00-00.000.log"));
    w->now_ns += 7000000; /* 7 ms */
    logfile_write(f, "more\n", 5);
    assert_int_equal(size_of(w, "a-2027-01-15T08-00-00.007.log"), 2 * HALF_MB);
    assert_int_equal(size_of(w, "a.log"), 5);
    logfile_close(f);
    /* What is there already counts. */
    f = open_one(w, &rotation);
    logfile_write(f, w->half, HALF_MB);
    w->now_ns += SECOND;
    logfile_write(f, w->half, HALF_MB);
    assert_int_equal(size_of(w, "a-2027-01-15T08-00-01.007.log"), 5 + HALF_MB);
    logfile_close(f);
}

static void so_many_are_kept_and_what_is_not_ours_stays(void **state)
{
    struct world *w = *state;
    const struct oak_config_rotation rotation = {.max_mb = 1, .max_files = 2};
    static const char *const others[] = {"a-2020-01-01T00-00-00.000.txt", "a-notes.log",
                                         "b-2020-01-01T00-00-00.000.log",
                                         "a-2020-01-01T00-00-00.0000.log"};
    char path[256];
    for (size_t i = 0; i < OAK_COUNT_OF(others); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, others[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    struct logfile *f = open_one(w, &rotation);
    for (int i = 0; i < 10; i++) {
        logfile_write(f, w->half, HALF_MB);
        w->now_ns += SECOND;
    }
    logfile_close(f);
    /* Renamed at 2, 4, 6 and 8 seconds. */
    assert_false(is_there(w, "a-2027-01-15T08-00-04.000.log"));
    assert_true(is_there(w, "a-2027-01-15T08-00-06.000.log"));
    assert_true(is_there(w, "a-2027-01-15T08-00-08.000.log"));
    for (size_t i = 0; i < OAK_COUNT_OF(others); i++) {
        assert_true(is_there(w, others[i]));
    }
}

static void old_ones_are_removed(void **state)
{
    struct world *w = *state;
    const struct oak_config_rotation rotation = {.max_mb = 1, .max_days = 3};
    struct logfile *f = open_one(w, &rotation);
    for (int i = 0; i < 6; i++) {
        logfile_write(f, w->half, HALF_MB);
        logfile_write(f, w->half, HALF_MB);
        w->now_ns += DAY + SECOND;
    }
    logfile_write(f, "x", 1);
    logfile_close(f);
    /* Renamed each day from the 16th to the 21st, when that of the 18th is 3 seconds too old. */
    assert_false(is_there(w, "a-2027-01-18T08-00-03.000.log"));
    assert_true(is_there(w, "a-2027-01-19T08-00-04.000.log"));
    assert_true(is_there(w, "a-2027-01-21T08-00-06.000.log"));
}

static void a_file_that_cannot_be_is_refused(void **state)
{
    struct world *w = *state;
    struct logfile *f = NULL;
    struct oak_errbuf e;
    struct oak_clock clock = {.wall_ns = wall, .user = w};
    assert_int_equal(logfile_open("/nowhere/at/all.log", NULL, clock, &f, &e), OAK_ENOENT);
    assert_non_null(strstr(e.text, "--log-outputs: can't open /nowhere/at/all.log"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(lines_are_appended_and_the_mode_is_private),
        T(a_file_that_would_be_too_long_is_renamed),
        T(so_many_are_kept_and_what_is_not_ours_stays),
        T(old_ones_are_removed),
        T(a_file_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
