/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk.h: a disk in memory for tests: it forgets what was not synced, and fails on request.
 *
 * Contents: a file keeps what is durable beside what is written, sector by sector (512 bytes). At a
 * power cut each unsynced sector persists or not, as the cut says. Names: operations on names are
 * kept in order until sync_dir of their directory; at a cut the first so many of the rest have
 * happened. A directory that was made is gone with all in it, unless its parent was synced.
 *
 * Calls that change or sync something are counted from 0. Call number `fail_at` fails with
 * `fail_error`: with OAK_ENOSPC nothing happens; with OAK_EIO any part of it may have happened, and
 * a failed sync makes the pages clean though they are not on disk. Call number `cut_at` and all
 * behind it give OAK_EIO until test_disk_cut(), the first of them half done. */
#ifndef OAK_WAL_TEST_DISK_H
#define OAK_WAL_TEST_DISK_H

#include "port/port.h"

#define TEST_DISK_NEVER  UINT64_MAX
#define TEST_DISK_SECTOR 512u

enum test_disk_cut {
    TEST_DISK_KEEP_NONE, /* nothing unsynced persists */
    TEST_DISK_KEEP_ALL,
    TEST_DISK_KEEP_RANDOM, /* each sector for itself; the first so many names */
    TEST_DISK_KEEP_PREFIX, /* the first so many sectors of each file */
    TEST_DISK_KEEP_MASK,   /* the n-th unsynced sector when bit n of `mask` is set; all names */
};

/* The disk's own: tests look at names and counts, no further. */
struct test_inode {
    struct test_inode *next;
    uint8_t *data;    /* written */
    uint8_t *durable; /* what a power cut leaves at least; same capacity */
    bool *dirty;      /* by sector */
    size_t size;
    size_t durable_size;
    size_t capacity;
};

struct test_name {
    char path[256];
    struct test_inode *inode;
};

struct test_op {
    char from[256]; /* empty: `inode` is created as `to` */
    char to[256];   /* empty: `from` is removed */
    struct test_inode *inode;
};

struct test_dir {
    char path[256];
    bool durable;
};

struct test_disk {
    struct oak_disk port; /* hand out &disk.port */
    struct oak_prng prng;
    struct test_inode *inodes; /* all, linked */
    struct test_name *names;   /* as a process sees them */
    size_t name_count;
    size_t name_capacity;
    struct test_name *durable_names;
    size_t durable_count;
    size_t durable_capacity;
    struct test_op *ops; /* on names, not synced */
    size_t op_count;
    size_t op_capacity;
    struct test_dir *dirs; /* made here; others are taken to have been there */
    size_t dir_count;
    uint64_t calls;
    uint64_t writes; /* calls of write */
    uint64_t syncs;  /* calls of sync */
    uint64_t fail_at;
    int fail_error;
    uint64_t cut_at;
    uint64_t mask; /* of TEST_DISK_KEEP_MASK */
    bool dead;
    size_t open_files; /* a test can see that none leaks */
};

void test_disk_init(struct test_disk *d, uint64_t seed);
void test_disk_fini(struct test_disk *d);
/* The power goes and comes back: settles what is durable, and serves again. */
void test_disk_cut(struct test_disk *d, enum test_disk_cut how);
/* Unsynced sectors of all files. */
size_t test_disk_dirty(const struct test_disk *d);
/* The whole of a file, as a process sees it; poke changes it, durably. The file must exist. */
const uint8_t *test_disk_peek(const struct test_disk *d, const char *path, size_t *size);
void test_disk_poke(struct test_disk *d, const char *path, size_t offset, const void *data,
                    size_t size);
void test_disk_shorten(struct test_disk *d, const char *path, size_t size);
/* Copy all files of `from`, as durable. */
void test_disk_copy(struct test_disk *d, const struct test_disk *from);
/* The n-th name in sorted order, or NULL. */
const char *test_disk_name(const struct test_disk *d, size_t n);

#endif
