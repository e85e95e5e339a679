/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of files, of the lock on a directory, and of error numbers. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "os/os.h"

struct world {
    const struct oak_disk *disk;
    char dir[64];
    char path[128];
};

static const char *in_dir(struct world *w, const char *name)
{
    snprintf(w->path, sizeof(w->path), "%s/%s", w->dir, name);
    return w->path;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->disk = oak_os_disk();
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-os-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    *state = w;
    return 0;
}

static void remove_each(void *arg, const char *name)
{
    struct world *w = arg;
    assert_int_equal(w->disk->remove(w->disk->user, in_dir(w, name)), 0);
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->disk->list(w->disk->user, w->dir, remove_each, w), 0);
    assert_int_equal(w->disk->remove(w->disk->user, w->dir), 0);
    free(w);
    return 0;
}

static struct oak_file *open_ok(struct world *w, const char *name, enum oak_file_mode mode)
{
    struct oak_file *file = NULL;
    assert_int_equal(w->disk->open(w->disk->user, in_dir(w, name), mode, &file), 0);
    assert_non_null(file);
    return file;
}

static int open_error(struct world *w, const char *name, enum oak_file_mode mode)
{
    struct oak_file *file = NULL;
    int error = w->disk->open(w->disk->user, in_dir(w, name), mode, &file);
    assert_null(file);
    return error;
}

static void what_was_written_is_read_back(void **state)
{
    struct world *w = *state;
    const struct oak_disk *d = w->disk;
    struct oak_file *f = open_ok(w, "a", OAK_FILE_CREATE);
    assert_int_equal(d->write(d->user, f, 0, "hello world", 11), 0);
    assert_int_equal(d->write(d->user, f, 100, "far", 3), 0);
    assert_int_equal(d->sync(d->user, f), 0);
    uint64_t size = 0;
    assert_int_equal(d->size(d->user, f, &size), 0);
    assert_int_equal(size, 103);
    char text[200];
    size_t got = 0;
    assert_int_equal(d->read(d->user, f, 6, text, 5, &got), 0);
    assert_int_equal(got, 5);
    assert_memory_equal(text, "world", 5);
    assert_int_equal(d->read(d->user, f, 50, text, sizeof(text), &got), 0);
    assert_int_equal(got, 53);
    assert_int_equal(text[0], 0); /* the hole */
    assert_memory_equal(text + 50, "far", 3);
    assert_int_equal(d->read(d->user, f, 103, text, sizeof(text), &got), 0);
    assert_int_equal(got, 0);
    assert_int_equal(d->truncate(d->user, f, 5), 0);
    assert_int_equal(d->read(d->user, f, 0, text, sizeof(text), &got), 0);
    assert_int_equal(got, 5);
    d->close(d->user, f);
    f = open_ok(w, "a", OAK_FILE_READ);
    assert_int_not_equal(d->write(d->user, f, 0, "x", 1), 0);
    d->close(d->user, f);
    d->close(d->user, NULL);
}

static void modes_of_opening_mean_what_they_say(void **state)
{
    struct world *w = *state;
    assert_int_equal(open_error(w, "a", OAK_FILE_READ), OAK_ENOENT);
    assert_int_equal(open_error(w, "a", OAK_FILE_WRITE), OAK_ENOENT);
    assert_int_equal(open_error(w, "no/a", OAK_FILE_CREATE), OAK_ENOENT);
    w->disk->close(w->disk->user, open_ok(w, "a", OAK_FILE_CREATE));
    assert_int_equal(open_error(w, "a", OAK_FILE_CREATE), OAK_EEXIST);
    w->disk->close(w->disk->user, open_ok(w, "a", OAK_FILE_WRITE));
    assert_int_equal(open_error(w, "a/b", OAK_FILE_READ), OAK_EINVAL);
    struct stat about;
    assert_int_equal(stat(in_dir(w, "a"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void only_files_are_opened(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->disk->make_dir(w->disk->user, in_dir(w, "d")), 0);
    assert_int_equal(open_error(w, "d", OAK_FILE_READ), OAK_EINVAL);
    assert_int_equal(open_error(w, "d", OAK_FILE_WRITE), OAK_EINVAL);
    assert_int_equal(mkfifo(in_dir(w, "fifo"), 0600), 0);
    assert_int_equal(open_error(w, "fifo", OAK_FILE_READ), OAK_EINVAL);
    assert_int_equal(open_error(w, "fifo", OAK_FILE_WRITE), OAK_EINVAL);
}

static void offsets_past_what_a_file_can_have_are_refused(void **state)
{
    struct world *w = *state;
    const struct oak_disk *d = w->disk;
    struct oak_file *f = open_ok(w, "a", OAK_FILE_CREATE);
    size_t got = 1;
    char c = 0;
    assert_int_equal(d->write(d->user, f, UINT64_MAX, &c, 1), OAK_EINVAL);
    assert_int_equal(d->read(d->user, f, UINT64_MAX, &c, 1, &got), OAK_EINVAL);
    assert_int_equal(got, 0);
    assert_int_equal(d->truncate(d->user, f, UINT64_MAX), OAK_EINVAL);
    d->close(d->user, f);
}

static void a_full_device_is_told_as_no_space(void **state)
{
    (void)state;
    /* /dev/full is no regular file, so the number is translated by hand here. */
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        skip();
    }
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(oak_os_error(errno), OAK_ENOSPC);
    close(fd);
}

static void directories_are_made_once_and_listed(void **state)
{
    struct world *w = *state;
    const struct oak_disk *d = w->disk;
    assert_int_equal(d->make_dir(d->user, in_dir(w, "d")), 0);
    assert_int_equal(d->make_dir(d->user, in_dir(w, "d")), 0);
    struct stat about;
    assert_int_equal(stat(in_dir(w, "d"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(d->make_dir(d->user, in_dir(w, "d/e/f")), OAK_ENOENT);
    d->close(d->user, open_ok(w, "a", OAK_FILE_CREATE));
    assert_int_equal(d->make_dir(d->user, in_dir(w, "a")), OAK_EEXIST);
    assert_int_equal(d->sync_dir(d->user, w->dir), 0);
    assert_int_equal(d->sync_dir(d->user, in_dir(w, "a")), OAK_EINVAL);
    assert_int_equal(d->sync_dir(d->user, in_dir(w, "none")), OAK_ENOENT);
}

static void count_each(void *arg, const char *name)
{
    int *count = arg;
    *count += strcmp(name, "a") == 0 ? 1 : strcmp(name, "b") == 0 ? 10 : 100;
}

static void a_listing_gives_each_name_once(void **state)
{
    struct world *w = *state;
    const struct oak_disk *d = w->disk;
    int count = 0;
    assert_int_equal(d->list(d->user, w->dir, count_each, &count), 0);
    assert_int_equal(count, 0);
    d->close(d->user, open_ok(w, "a", OAK_FILE_CREATE));
    d->close(d->user, open_ok(w, "b", OAK_FILE_CREATE));
    assert_int_equal(d->list(d->user, w->dir, count_each, &count), 0);
    assert_int_equal(count, 11);
    assert_int_equal(d->list(d->user, in_dir(w, "none"), count_each, &count), OAK_ENOENT);
    assert_int_equal(d->list(d->user, in_dir(w, "a"), count_each, &count), OAK_EINVAL);
}

static void renaming_replaces_and_removing_removes(void **state)
{
    struct world *w = *state;
    const struct oak_disk *d = w->disk;
    char from[128];
    snprintf(from, sizeof(from), "%s", in_dir(w, "a"));
    d->close(d->user, open_ok(w, "a", OAK_FILE_CREATE));
    d->close(d->user, open_ok(w, "b", OAK_FILE_CREATE));
    assert_int_equal(d->rename(d->user, from, in_dir(w, "b")), 0);
    assert_int_equal(open_error(w, "a", OAK_FILE_READ), OAK_ENOENT);
    assert_int_equal(d->rename(d->user, from, in_dir(w, "b")), OAK_ENOENT);
    assert_int_equal(d->remove(d->user, in_dir(w, "b")), 0);
    assert_int_equal(d->remove(d->user, in_dir(w, "b")), OAK_ENOENT);
    assert_int_equal(d->make_dir(d->user, in_dir(w, "d")), 0);
    assert_int_equal(d->make_dir(d->user, in_dir(w, "d/e")), 0);
    assert_int_equal(d->remove(d->user, in_dir(w, "d")), OAK_EEXIST);
    assert_int_equal(d->remove(d->user, in_dir(w, "d/e")), 0);
    assert_int_equal(d->remove(d->user, in_dir(w, "d")), 0);
}

static void a_directory_that_may_not_be_read_is_a_matter_of_permission(void **state)
{
    struct world *w = *state;
    if (geteuid() == 0) {
        assert_int_equal(oak_os_error(EACCES), OAK_EPERM); /* root may read everything */
        return;
    }
    const struct oak_disk *d = w->disk;
    assert_int_equal(mkdir(in_dir(w, "d"), 0), 0);
    int count = 0;
    assert_int_equal(d->list(d->user, in_dir(w, "d"), count_each, &count), OAK_EPERM);
    assert_int_equal(open_error(w, "d/a", OAK_FILE_READ), OAK_EPERM);
    struct oak_os_lock *lock = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_os_lock_dir(in_dir(w, "d"), &lock, &e), OAK_EPERM);
    assert_non_null(strstr(e.text, w->path));
}

static void a_locked_directory_is_in_use(void **state)
{
    struct world *w = *state;
    struct oak_os_lock *lock = NULL;
    struct oak_os_lock *second = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_os_lock_dir(w->dir, &lock, &e), 0);
    assert_int_equal(oak_os_lock_dir(w->dir, &second, &e), OAK_EINUSE);
    assert_null(second);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld;", (long)getpid());
    assert_non_null(strstr(e.text, pid));
    assert_non_null(strstr(e.text, w->dir));
    oak_os_unlock_dir(lock);
    /* The file is still there, and locks nothing. */
    assert_int_equal(oak_os_lock_dir(w->dir, &lock, &e), 0);
    oak_os_unlock_dir(lock);
    oak_os_unlock_dir(NULL);
}

static void the_lock_of_a_dead_process_is_gone(void **state)
{
    struct world *w = *state;
    pid_t child = fork();
    if (child == 0) {
        struct oak_os_lock *lock = NULL;
        _exit(oak_os_lock_dir(w->dir, &lock, NULL) == 0 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct oak_os_lock *lock = NULL;
    assert_int_equal(oak_os_lock_dir(w->dir, &lock, NULL), 0);
    oak_os_unlock_dir(lock);
}

static void only_a_directory_is_locked(void **state)
{
    struct world *w = *state;
    struct oak_os_lock *lock = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_os_lock_dir(in_dir(w, "none"), &lock, &e), OAK_ENOENT);
    w->disk->close(w->disk->user, open_ok(w, "a", OAK_FILE_CREATE));
    assert_int_equal(oak_os_lock_dir(in_dir(w, "a"), &lock, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "/a: "));
}

static void error_numbers_become_codes_and_texts(void **state)
{
    (void)state;
    assert_int_equal(oak_os_error(0), 0);
    assert_int_equal(oak_os_error(ENOSPC), OAK_ENOSPC);
    assert_int_equal(oak_os_error(-EDQUOT), OAK_ENOSPC);
    assert_int_equal(oak_os_error(EROFS), OAK_EPERM);
    assert_int_equal(oak_os_error(EIO), OAK_EIO);
    assert_int_equal(oak_os_error(ENOMEM), OAK_ENOMEM);
    assert_int_equal(oak_os_error(99999), OAK_EIO);
    char text[64];
    assert_string_equal(oak_os_errno_text(ENOENT, text, sizeof(text)), "No such file or directory");
    assert_string_equal(oak_os_errno_text(-ENOENT, text, 8), "No such");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_written_is_read_back),
        T(modes_of_opening_mean_what_they_say),
        T(only_files_are_opened),
        T(offsets_past_what_a_file_can_have_are_refused),
        T(a_full_device_is_told_as_no_space),
        T(directories_are_made_once_and_listed),
        T(a_listing_gives_each_name_once),
        T(renaming_replaces_and_removing_removes),
        T(a_directory_that_may_not_be_read_is_a_matter_of_permission),
        T(a_locked_directory_is_in_use),
        T(the_lock_of_a_dead_process_is_gone),
        T(only_a_directory_is_locked),
        T(error_numbers_become_codes_and_texts),
    };
    return cmocka_run_group_tests_name("os/disk", tests, NULL, NULL);
}
