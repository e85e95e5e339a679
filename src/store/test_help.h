/* SPDX-License-Identifier: Apache-2.0 */
/* test_help.h: what the store's tests share: files in a directory of their own, with faults to
 * order, and an array that does slowly and plainly what a store does. Included by each test
 * program. */
#ifndef OAK_STORE_TEST_HELP_H
#define OAK_STORE_TEST_HELP_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

/* -- a disk ------------------------------------------------------------------------------------ */

struct oak_file {
    int fd;
};

struct test_disk {
    struct oak_disk disk;
    /* The fault to come: after `countdown` calls that change something, `error` is returned once.
     */
    long countdown;
    int error;
};

static int test_errno(void)
{
    switch (errno) {
    case ENOENT:
        return OAK_ENOENT;
    case EEXIST:
        return OAK_EEXIST;
    case ENOSPC:
        return OAK_ENOSPC;
    default:
        return OAK_EIO;
    }
}

static int test_fault(void *user)
{
    struct test_disk *t = user;
    if (t->error != 0 && t->countdown-- == 0) {
        int error = t->error;
        t->error = 0;
        return error;
    }
    return 0;
}

static int test_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    int fault = mode == OAK_FILE_CREATE ? test_fault(user) : 0;
    if (fault != 0) {
        return fault;
    }
    int flags = mode == OAK_FILE_READ ? O_RDONLY
                                      : O_RDWR | (mode == OAK_FILE_CREATE ? O_CREAT | O_EXCL : 0);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        return test_errno();
    }
    *out = malloc(sizeof(**out));
    (*out)->fd = fd;
    return 0;
}
static void test_close(void *user, struct oak_file *file)
{
    (void)user;
    close(file->fd);
    free(file);
}
static int test_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                     size_t *got)
{
    (void)user;
    ssize_t n = pread(file->fd, out, size, (off_t)offset);
    *got = n < 0 ? 0 : (size_t)n;
    return n < 0 ? test_errno() : 0;
}
static int test_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                      size_t size)
{
    int fault = test_fault(user);
    if (fault != 0) {
        return fault;
    }
    ssize_t n = pwrite(file->fd, data, size, (off_t)offset);
    return n < 0 ? test_errno() : n == (ssize_t)size ? 0 : OAK_ENOSPC;
}
static int test_sync(void *user, struct oak_file *file)
{
    (void)file;
    return test_fault(user);
}
static int test_size(void *user, struct oak_file *file, uint64_t *out)
{
    (void)user;
    struct stat st;
    if (fstat(file->fd, &st) != 0) {
        return test_errno();
    }
    *out = (uint64_t)st.st_size;
    return 0;
}
static int test_truncate(void *user, struct oak_file *file, uint64_t size)
{
    (void)user;
    return ftruncate(file->fd, (off_t)size) == 0 ? 0 : test_errno();
}
static int test_rename(void *user, const char *from, const char *to)
{
    int fault = test_fault(user);
    if (fault != 0) {
        return fault;
    }
    return rename(from, to) == 0 ? 0 : test_errno();
}
static int test_remove(void *user, const char *path)
{
    (void)user;
    return remove(path) == 0 ? 0 : test_errno();
}
static int test_make_dir(void *user, const char *path)
{
    (void)user;
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : test_errno();
}
static int test_sync_dir(void *user, const char *path)
{
    (void)path;
    return test_fault(user);
}
static int test_list(void *user, const char *path, void (*each)(void *arg, const char *name),
                     void *arg)
{
    (void)user;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return test_errno();
    }
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
            each(arg, d->d_name);
        }
    }
    closedir(dir);
    return 0;
}

static void test_disk_init(struct test_disk *t)
{
    *t = (struct test_disk){
        .disk = {.open = test_open,
                 .close = test_close,
                 .read = test_read,
                 .write = test_write,
                 .sync = test_sync,
                 .size = test_size,
                 .truncate = test_truncate,
                 .rename = test_rename,
                 .remove = test_remove,
                 .make_dir = test_make_dir,
                 .sync_dir = test_sync_dir,
                 .list = test_list},
    };
    t->disk.user = t;
}

/* -- engines under test ------------------------------------------------------------------------ */

struct test_engine {
    const char *name;
    int (*open)(const struct oak_store_options *options, struct oak_store **out,
                struct oak_errbuf *e);
};
/* RocksDB itself is not built with the thread sanitizer, which then sees races where there are
 * none. */
#if defined(__SANITIZE_THREAD__)
#define TEST_WITHOUT_ROCKS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_WITHOUT_ROCKS 1
#endif
#endif
static const struct test_engine test_engines[] = {
    {"memory", oak_store_open_memory},
#if !defined(TEST_WITHOUT_ROCKS)
    {"rocks", oak_store_open_rocks},
#endif
};
#define TEST_ENGINES OAK_COUNT_OF(test_engines)

/* One store in a directory of its own. */
struct test_store {
    const struct test_engine *engine;
    struct test_disk disk;
    char dir[64];
    size_t memory;
    struct oak_store *s;
    struct oak_errbuf e;
};

static int test_store_try_open(struct test_store *t)
{
    const struct oak_store_options options = {
        .disk = &t->disk.disk, .dir = t->dir, .group = 7, .memory_bytes = t->memory};
    return t->engine->open(&options, &t->s, &t->e);
}
static void test_store_open(struct test_store *t)
{
    int error = test_store_try_open(t);
    if (error != 0) {
        fail_msg("open %s: %s", t->engine->name, t->e.text);
    }
}
OAK_UNUSED static void test_store_init_sized(struct test_store *t, const struct test_engine *engine,
                                             size_t memory)
{
    *t = (struct test_store){.engine = engine, .memory = memory};
    test_disk_init(&t->disk);
    snprintf(t->dir, sizeof(t->dir), "/tmp/oak-store-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    test_store_open(t);
}
OAK_UNUSED static void test_store_init(struct test_store *t, const struct test_engine *engine)
{
    test_store_init_sized(t, engine, 8 * OAK_MIB);
}
static int test_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}
OAK_UNUSED static void test_store_fini(struct test_store *t)
{
    oak_store_close(t->s);
    nftw(t->dir, test_unlink, 16, FTW_DEPTH | FTW_PHYS);
}
/* Between two looks at what RocksDB does in threads of its own, and tells nobody. */
OAK_UNUSED static void test_pause(int ms)
{
    assert_int_equal(poll(NULL, 0, ms), 0);
}
OAK_UNUSED static void test_store_flush(struct test_store *t)
{
    uint64_t durable = 0;
    int error = OAK_EAGAIN;
    for (int i = 0; error == OAK_EAGAIN; i++) {
        struct oak_store_flush *f;
        assert_true(i < 60000);
        if (i > 0) {
            test_pause(1);
        }
        assert_int_equal(oak_store_flush_begin(t->s, &f), 0);
        oak_store_flush_run(f);
        error = oak_store_flush_end(f, &durable);
    }
    assert_int_equal(error, 0);
    assert_int_equal(durable, oak_store_state(t->s)->applied);
}
OAK_UNUSED static void test_store_reopen(struct test_store *t)
{
    oak_store_close(t->s);
    t->s = NULL;
    test_store_open(t);
}

/* The whole snapshot, read `step` bytes at a time. */
OAK_UNUSED static struct oak_buf test_snapshot(struct test_store *t, size_t step)
{
    struct oak_store_snapshot *snap;
    struct oak_buf all = {0};
    assert_int_equal(oak_store_snapshot_open(t->s, &snap), 0);
    for (;;) {
        size_t got;
        assert_int_equal(oak_buf_reserve(&all, step), 0);
        assert_int_equal(oak_store_snapshot_read(snap, all.data + all.size, step, &got), 0);
        if (got == 0) {
            break;
        }
        all.size += got;
    }
    oak_store_snapshot_close(snap);
    return all;
}
OAK_UNUSED static int test_restore(struct test_store *t, struct oak_bytes stream, size_t step)
{
    struct oak_store_restore *r;
    assert_int_equal(oak_store_restore_begin(t->s, &r), 0);
    int error = 0;
    for (size_t at = 0; at < stream.size && error == 0; at += step) {
        size_t part = OAK_MIN(step, stream.size - at);
        error = oak_store_restore_write(r, oak_bytes(stream.data + at, part));
    }
    if (error != 0) {
        oak_store_restore_drop(r);
        oak_store_restore_end(r);
        return error;
    }
    return oak_store_restore_finish(r);
}

/* A put and a delete with little to write. `main` is the revision, version 1 unless told. */
OAK_UNUSED static void test_put(struct test_store *t, int64_t main, const char *key,
                                const char *value, int64_t create, int64_t version)
{
    const struct oak_store_kv kv = {.key = oak_bytes_str(key),
                                    .value = oak_bytes_str(value),
                                    .create_rev = create,
                                    .mod_rev = main,
                                    .version = version};
    assert_int_equal(oak_store_put(t->s, (struct oak_store_rev){.main = main}, &kv), 0);
}
OAK_UNUSED static void test_del(struct test_store *t, int64_t main, const char *key)
{
    assert_int_equal(oak_store_del(t->s, (struct oak_store_rev){.main = main}, oak_bytes_str(key)),
                     0);
}
OAK_UNUSED static void test_commit(struct test_store *t, uint64_t applied, int64_t revision,
                                   int64_t compacted)
{
    const struct oak_store_state state = {.applied = applied,
                                          .applied_term = 3,
                                          .revision = revision,
                                          .compacted = compacted,
                                          .chain = applied * 77};
    assert_int_equal(oak_store_commit(t->s, &state), 0);
}
/* NULL when there is no such key then. Valid until the next call. */
OAK_UNUSED static const char *test_get(struct test_store *t, const char *key, int64_t rev)
{
    static char text[64];
    struct oak_store_kv kv;
    int error = oak_store_get(t->s, oak_bytes_str(key), rev, &kv);
    if (error == OAK_ENOENT) {
        return NULL;
    }
    assert_int_equal(error, 0);
    assert_true(oak_bytes_eq(kv.key, oak_bytes_str(key)));
    assert_in_range(kv.value.size, 0, sizeof(text) - 1);
    if (kv.value.size > 0) {
        memcpy(text, kv.value.data, kv.value.size);
    }
    text[kv.value.size] = '\0';
    return text;
}
OAK_UNUSED static void test_reclaim_all(struct test_store *t, size_t steps)
{
    bool more = true;
    for (int i = 0; more; i++) {
        assert_true(i < 1000000);
        assert_int_equal(oak_store_reclaim(t->s, steps, &more), 0);
    }
}

#endif
