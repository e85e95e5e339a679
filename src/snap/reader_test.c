/* SPDX-License-Identifier: Apache-2.0 */
/* reader_test.c: a disk that fails while a snapshot is read, and names that are none of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "snap/internal.h"
#include "snap/snap.h"
#include "wal/test_disk.h"

#define DIR "snaps"

/* The test disk, whose calls that change nothing fail too: the `fail_at`-th of them. */
struct lame {
    struct test_disk disk;
    struct oak_disk port;
    uint64_t calls;
    uint64_t fail_at;
};

static bool fails(struct lame *l)
{
    return l->calls++ == l->fail_at;
}

static int lame_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    struct lame *l = user;
    return fails(l) ? OAK_EPERM : l->disk.port.open(l->disk.port.user, path, mode, out);
}

static void lame_close(void *user, struct oak_file *file)
{
    struct lame *l = user;
    l->disk.port.close(l->disk.port.user, file);
}

static int lame_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                     size_t *got)
{
    struct lame *l = user;
    return fails(l) ? OAK_EIO : l->disk.port.read(l->disk.port.user, file, offset, out, size, got);
}

static int lame_size(void *user, struct oak_file *file, uint64_t *out)
{
    struct lame *l = user;
    return fails(l) ? OAK_EIO : l->disk.port.size(l->disk.port.user, file, out);
}

static int lame_list(void *user, const char *path, void (*each)(void *arg, const char *name),
                     void *arg)
{
    struct lame *l = user;
    return fails(l) ? OAK_EIO : l->disk.port.list(l->disk.port.user, path, each, arg);
}

static void lame_init(struct lame *l)
{
    memset(l, 0, sizeof(*l));
    test_disk_init(&l->disk, 1);
    l->fail_at = UINT64_MAX;
    l->port = (struct oak_disk){.open = lame_open,
                                .close = lame_close,
                                .read = lame_read,
                                .size = lame_size,
                                .list = lame_list,
                                .user = l};
}

static const struct oak_snap_meta meta = {.group = 1, .index = 9, .term = 2};

static void snapshot_write(struct test_disk *d, const char *dir)
{
    struct oak_snap_writer *w = NULL;
    assert_int_equal(oak_snap_begin(&d->port, dir, &meta, &w), 0);
    for (int chunk = 0; chunk < 3; chunk++) {
        assert_int_equal(oak_snap_write(w, oak_bytes_str("some contents")), 0);
    }
    assert_int_equal(oak_snap_finish(w), 0);
}

/* 0 when all three chunks came. Once it has failed it stays failed. */
static int snapshot_read(struct lame *l, struct oak_errbuf *e)
{
    struct oak_snap_reader *r = NULL;
    struct oak_bytes chunk = {0};
    int chunks = 0;
    int error = oak_snap_newest(&l->port, DIR, 1, &r, e);
    while (error == 0 && (error = oak_snap_read(r, &chunk)) == 0 && chunk.size > 0) {
        chunks++;
    }
    if (r != NULL && error != 0) {
        l->fail_at = UINT64_MAX;
        assert_int_equal(oak_snap_read(r, &chunk), error);
        assert_int_equal(chunk.size, 0);
    }
    oak_snap_close(r);
    assert_int_equal(l->disk.open_files, 0);
    assert_true(error != 0 || chunks == 3);
    return error;
}

static void every_failed_call_of_a_reader_is_told(void **state)
{
    (void)state;
    struct lame l;
    uint64_t told = 0;
    for (uint64_t at = 0;; at++) {
        lame_init(&l);
        snapshot_write(&l.disk, DIR);
        l.fail_at = at;
        struct oak_errbuf e = {0};
        int error = snapshot_read(&l, &e);
        bool reached = l.calls > at;
        if (reached) {
            assert_true(error == OAK_EIO || error == OAK_EPERM);
            told++;
        } else {
            assert_int_equal(error, 0);
        }
        test_disk_fini(&l.disk);
        if (!reached) {
            break;
        }
    }
    assert_true(told >= 7); /* list, open, header, size, trailer, three chunks at the least */
}

static void names_that_are_none_of_ours_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {
        "snaps/README",
        "snaps/0000000000000001-0000000000000009-0000000000000002.tmp!",
        "snaps/0000000000000001_0000000000000009-0000000000000002.snap",
        "snaps/0000000000000001-000000000000000G-0000000000000002.snap",
        "snaps/0000000000000001-0000000000000009-000000000000000A.snap",
        "snaps/0000000000000001-0000000000000009-0000000000000002.snop",
    };
    struct lame l;
    lame_init(&l);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct oak_file *file = NULL;
        assert_int_equal(l.disk.port.open(l.disk.port.user, names[i], OAK_FILE_CREATE, &file), 0);
        l.disk.port.close(l.disk.port.user, file);
    }
    struct oak_snap_reader *r = NULL;
    assert_int_equal(oak_snap_newest(&l.port, DIR, 1, &r, NULL), OAK_ENOENT);
    snapshot_write(&l.disk, DIR);
    assert_int_equal(snapshot_read(&l, NULL), 0);
    assert_int_equal(l.disk.name_count, sizeof(names) / sizeof(names[0]) + 1);
    test_disk_fini(&l.disk);
}

static void a_directory_may_end_in_slashes_and_has_a_length(void **state)
{
    (void)state;
    struct lame l;
    lame_init(&l);
    snapshot_write(&l.disk, "snaps//");
    char dir[SNAP__DIR_BYTES_MAX + 2];
    memset(dir, 'd', sizeof(dir) - 1);
    dir[sizeof(dir) - 1] = 0;
    struct oak_snap_reader *r = NULL;
    struct oak_snap_writer *w = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_snap_newest(&l.port, dir, 1, &r, &e), OAK_EINVAL);
    assert_int_equal(oak_snap_begin(&l.disk.port, dir, &meta, &w), OAK_EINVAL);
    assert_null(w);
    oak_snap_abort(w); /* of nothing */
    test_disk_fini(&l.disk);
}

static void a_parent_is_told_across_repeated_slashes(void **state)
{
    (void)state;
    char out[SNAP__PATH_BYTES];
    snap__parent("/node//snap//", out);
    assert_string_equal(out, "/node");
    snap__parent("//snap", out);
    assert_string_equal(out, "/");
    snap__parent("snap", out);
    assert_string_equal(out, ".");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_call_of_a_reader_is_told),
        cmocka_unit_test(names_that_are_none_of_ours_are_left_alone),
        cmocka_unit_test(a_parent_is_told_across_repeated_slashes),
        cmocka_unit_test(a_directory_may_end_in_slashes_and_has_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
