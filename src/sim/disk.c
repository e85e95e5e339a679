/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c: a disk that keeps only what it promised.
 *
 * A file has what was written (`now`) and what is certain (`sure`). sync makes them one. At a power
 * cut each 512-byte sector that differs is, by chance, kept, lost or torn in the middle; a changed
 * size is kept or lost. Names are a journal: creating, renaming and removing are certain once the
 * directory is synced; at a power cut some first part of what was not is kept, in order, as
 * journalling file systems do.
 *
 * What a call does beyond that (the machine dies in it, it fails, the disk is full, bytes rot) is
 * disk_fault.c's.
 */
#include "sim/disk_internal.h"

#include <stdlib.h>

/* -- directories ------------------------------------------------------------------------------- */

static struct inode *inode_hold(struct inode *inode)
{
    inode->names++;
    return inode;
}

static void inode_drop(struct inode *inode)
{
    OAK_ASSERT_GT(inode->names, 0);
    inode->names--;
    if (inode->names == 0) {
        oak_buf_fini(&inode->now);
        oak_buf_fini(&inode->sure);
        free(inode->dirty);
        free(inode->synced_ns);
        free(inode);
    }
}

static struct name *dir_find(struct directory *dir, const char *path)
{
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->names[i].path, path) == 0) {
            return &dir->names[i];
        }
    }
    return NULL;
}

static void path_set(char *out, const char *path)
{
    size_t size = strlen(path);
    OAK_ASSERT_LT(size, 256);
    memcpy(out, path, size + 1);
}

static void dir_put(struct directory *dir, const char *path, struct inode *inode)
{
    struct name *found = dir_find(dir, path);
    inode_hold(inode);
    if (found != NULL) {
        inode_drop(found->inode);
        found->inode = inode;
        return;
    }
    if (dir->count == dir->capacity) {
        dir->capacity = OAK_MAX((size_t)16, dir->capacity * 2);
        dir->names = realloc(dir->names, dir->capacity * sizeof(*dir->names));
        OAK_ASSERT(dir->names != NULL);
    }
    path_set(dir->names[dir->count].path, path);
    dir->names[dir->count++].inode = inode;
}

static void dir_remove(struct directory *dir, const char *path)
{
    struct name *found = dir_find(dir, path);
    if (found != NULL) {
        inode_drop(found->inode);
        *found = dir->names[--dir->count];
    }
}

static void dir_change(struct directory *dir, const struct change *c)
{
    struct name *found;
    switch (c->kind) {
    case CHANGE_CREATE:
        dir_put(dir, c->path, c->inode);
        break;
    case CHANGE_RENAME:
        found = dir_find(dir, c->path);
        if (found != NULL) {
            struct inode *inode = inode_hold(found->inode);
            dir_remove(dir, c->path);
            dir_put(dir, c->to, inode);
            inode_drop(inode);
        }
        break;
    case CHANGE_REMOVE:
        dir_remove(dir, c->path);
        break;
    }
}

static void change_push(struct sim_disk *d, enum change_kind kind, const char *path, const char *to,
                        struct inode *inode)
{
    if (d->change_count == d->change_capacity) {
        d->change_capacity = OAK_MAX((size_t)16, d->change_capacity * 2);
        d->changes = realloc(d->changes, d->change_capacity * sizeof(*d->changes));
        OAK_ASSERT(d->changes != NULL);
    }
    struct change *c = &d->changes[d->change_count++];
    *c = (struct change){.kind = kind, .inode = inode};
    path_set(c->path, path);
    path_set(c->to, to);
    if (inode != NULL) {
        inode_hold(inode);
    }
    dir_change(&d->now, c);
}

static void changes_apply(struct sim_disk *d, size_t count)
{
    for (size_t i = 0; i < d->change_count; i++) {
        if (i < count) {
            dir_change(&d->sure, &d->changes[i]);
        }
        if (d->changes[i].inode != NULL) {
            inode_drop(d->changes[i].inode);
        }
    }
    d->change_count = 0;
}

/* -- contents ---------------------------------------------------------------------------------- */

static void buf_resize(struct oak_buf *b, size_t size)
{
    if (size > b->size) {
        int error = oak_buf_reserve(b, size - b->size);
        OAK_ASSERT_EQ(error, 0);
        memset(b->data + b->size, 0, size - b->size);
    }
    b->size = size;
}

static void dirty_mark(struct inode *inode, size_t from, size_t to)
{
    size_t wanted = (to + SECTOR - 1) / SECTOR;
    if (wanted > inode->dirty_count) {
        inode->dirty = realloc(inode->dirty, wanted);
        inode->synced_ns = realloc(inode->synced_ns, wanted * sizeof(*inode->synced_ns));
        OAK_ASSERT(inode->dirty != NULL && inode->synced_ns != NULL);
        for (size_t s = inode->dirty_count; s < wanted; s++) {
            inode->dirty[s] = SECTOR_CLEAN;
            inode->synced_ns[s] = 0;
        }
        inode->dirty_count = wanted;
    }
    for (size_t s = from / SECTOR; s < wanted; s++) {
        inode->dirty[s] = SECTOR_DIRTY;
    }
}

static void sector_copy(struct oak_buf *to, const struct oak_buf *from, size_t start, size_t size)
{
    if (start >= to->size) {
        return;
    }
    size = OAK_MIN(size, to->size - start);
    size_t there = start < from->size ? OAK_MIN(size, from->size - start) : 0;
    if (there > 0) {
        memcpy(to->data + start, from->data + start, there);
    }
    memset(to->data + start + there, 0, size - there);
}

static void inode_sync(struct inode *inode, uint64_t now_ns)
{
    buf_resize(&inode->sure, inode->now.size);
    for (size_t s = 0; s < inode->dirty_count; s++) {
        if (inode->dirty[s] == SECTOR_DIRTY) {
            sector_copy(&inode->sure, &inode->now, s * SECTOR, SECTOR);
            inode->dirty[s] = SECTOR_CLEAN;
            inode->synced_ns[s] = now_ns;
        }
    }
}

/* A sync has failed: the cache drops what it could not write and calls it clean. */
static void inode_sync_fail(struct inode *inode)
{
    for (size_t s = 0; s < inode->dirty_count; s++) {
        if (inode->dirty[s] == SECTOR_DIRTY) {
            inode->dirty[s] = SECTOR_GONE;
        }
    }
}

static void inode_crash(struct sim_disk *d, struct inode *inode)
{
    struct oak_prng *p = &d->world->prng;
    if (inode->now.size != inode->sure.size && oak_prng_chance(p, 1, 2)) {
        buf_resize(&inode->sure, inode->now.size);
    }
    /* Sectors that are not dirty are the same in both. */
    buf_resize(&inode->now, OAK_MAX(inode->now.size, inode->sure.size));
    /* One mood for a file: all gone, all there, or sector by sector. */
    unsigned mood = (unsigned)oak_prng_below(p, 4);
    for (size_t s = 0; s < inode->dirty_count; s++) {
        if (inode->dirty[s] == SECTOR_CLEAN) {
            continue;
        }
        bool gone = inode->dirty[s] == SECTOR_GONE;
        inode->dirty[s] = SECTOR_CLEAN;
        bool keep = !gone && (mood == 0 || (mood >= 2 && oak_prng_chance(p, 1, 2)));
        size_t size = SECTOR;
        if (keep && mood == 3 && oak_prng_chance(p, 1, 4)) {
            size = oak_prng_below(p, SECTOR);
        }
        if (keep) {
            sector_copy(&inode->sure, &inode->now, s * SECTOR, size);
        } else {
            d->lost++;
        }
        sector_copy(&inode->now, &inode->sure, s * SECTOR, SECTOR);
    }
    buf_resize(&inode->now, inode->sure.size);
}

/* -- the port ---------------------------------------------------------------------------------- */

static int disk_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    struct sim_disk *d = user;
    if (d->died) {
        return OAK_ECLOSED;
    }
    struct name *found = dir_find(&d->now, path);
    if (mode == OAK_FILE_CREATE && found != NULL) {
        return OAK_EEXIST;
    }
    if (mode != OAK_FILE_CREATE && found == NULL) {
        return OAK_ENOENT;
    }
    struct inode *inode = found != NULL ? found->inode : NULL;
    if (inode == NULL) {
        enum fate fate = disk__fate(d, SIM_DISK_CREATE, path, 0);
        if (fate != FATE_GOES_ON && fate != FATE_DIES_AFTER) {
            return disk__error(fate);
        }
        inode = calloc(1, sizeof(*inode));
        OAK_ASSERT(inode != NULL);
        change_push(d, CHANGE_CREATE, path, "", inode);
        if (fate == FATE_DIES_AFTER) {
            return disk__error(fate);
        }
    }
    struct oak_file *file = malloc(sizeof(*file));
    OAK_ASSERT(file != NULL);
    *file = (struct oak_file){.disk = d, .inode = inode_hold(inode)};
    path_set(file->path, path);
    *out = file;
    return 0;
}

static void disk_close(void *user, struct oak_file *file)
{
    (void)user;
    inode_drop(file->inode);
    free(file);
}

static int disk_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                     size_t *got)
{
    struct sim_disk *d = user;
    const struct oak_buf *b = &file->inode->now;
    *got = 0;
    if (d->died) {
        return OAK_ECLOSED;
    }
    if (offset < b->size) {
        *got = OAK_MIN(size, b->size - (size_t)offset);
        memcpy(out, b->data + offset, *got);
    }
    return 0;
}

static int disk_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                      size_t size)
{
    struct sim_disk *d = user;
    if (d->died) {
        return OAK_ECLOSED;
    }
    struct inode *inode = file->inode;
    size_t end = (size_t)offset + size;
    size_t grows = end > inode->now.size ? end - inode->now.size : 0;
    enum fate fate = disk__fate(d, SIM_DISK_WRITE, file->path, grows);
    if (fate != FATE_GOES_ON && fate != FATE_DIES_AFTER) {
        size = oak_prng_below(&d->world->prng, size + 1);
        end = (size_t)offset + size;
    }
    if (end > inode->now.size) {
        buf_resize(&inode->now, end);
    }
    if (size > 0) {
        memcpy(inode->now.data + offset, data, size);
        dirty_mark(inode, (size_t)offset, end);
    }
    return disk__error(fate);
}

static int disk_sync(void *user, struct oak_file *file)
{
    struct sim_disk *d = user;
    if (d->died) {
        return OAK_ECLOSED;
    }
    enum fate fate = disk__fate(d, SIM_DISK_SYNC, file->path, 0);
    if (fate == FATE_GOES_ON || fate == FATE_DIES_AFTER) {
        inode_sync(file->inode, d->world->now_ns);
    } else if (fate == FATE_FAILS) {
        inode_sync_fail(file->inode);
    }
    return disk__error(fate);
}

static int disk_size(void *user, struct oak_file *file, uint64_t *out)
{
    struct sim_disk *d = user;
    *out = file->inode->now.size;
    return d->died ? OAK_ECLOSED : 0;
}

static int disk_truncate(void *user, struct oak_file *file, uint64_t size)
{
    struct sim_disk *d = user;
    if (d->died) {
        return OAK_ECLOSED;
    }
    size_t old = file->inode->now.size;
    enum fate fate = disk__fate(d, SIM_DISK_TRUNCATE, file->path, 0);
    if (fate == FATE_GOES_ON || fate == FATE_DIES_AFTER) {
        buf_resize(&file->inode->now, (size_t)size);
        dirty_mark(file->inode, OAK_MIN(old, (size_t)size), OAK_MAX(old, (size_t)size));
    }
    return disk__error(fate);
}

/* Rename and remove. */
static int name_change(struct sim_disk *d, enum change_kind kind, enum sim_disk_call call,
                       const char *from, const char *to)
{
    if (d->died) {
        return OAK_ECLOSED;
    }
    if (dir_find(&d->now, from) == NULL) {
        return OAK_ENOENT;
    }
    enum fate fate = disk__fate(d, call, from, 0);
    if (fate == FATE_GOES_ON || fate == FATE_DIES_AFTER) {
        change_push(d, kind, from, to, NULL);
    }
    return disk__error(fate);
}

static int disk_rename(void *user, const char *from, const char *to)
{
    return name_change(user, CHANGE_RENAME, SIM_DISK_RENAME, from, to);
}

static int disk_remove(void *user, const char *path)
{
    return name_change(user, CHANGE_REMOVE, SIM_DISK_REMOVE, path, "");
}

static int disk_make_dir(void *user, const char *path)
{
    const struct sim_disk *d = user;
    (void)path; /* directories are there once something is in them */
    return d->died ? OAK_ECLOSED : 0;
}

static int disk_sync_dir(void *user, const char *path)
{
    struct sim_disk *d = user;
    if (d->died) {
        return OAK_ECLOSED;
    }
    enum fate fate = disk__fate(d, SIM_DISK_SYNC_DIR, path, 0);
    if (fate == FATE_GOES_ON || fate == FATE_DIES_AFTER) {
        changes_apply(d, d->change_count);
    }
    return disk__error(fate);
}

static int disk_list(void *user, const char *path, void (*each)(void *arg, const char *name),
                     void *arg)
{
    struct sim_disk *d = user;
    if (d->died) {
        return OAK_ECLOSED;
    }
    size_t size = strlen(path);
    size_t count = d->now.count; /* `each` may remove what it is told of, only afterwards */
    for (size_t i = 0; i < count; i++) {
        const char *name = d->now.names[i].path;
        if (strncmp(name, path, size) == 0 && name[size] == '/' &&
            strchr(name + size + 1, '/') == NULL) {
            each(arg, name + size + 1);
        }
    }
    return 0;
}

struct sim_disk *sim_disk_new(struct world *w)
{
    struct sim_disk *d = calloc(1, sizeof(*d));
    OAK_ASSERT(d != NULL);
    d->world = w;
    d->port = (struct oak_disk){
        .open = disk_open,
        .close = disk_close,
        .read = disk_read,
        .write = disk_write,
        .sync = disk_sync,
        .size = disk_size,
        .truncate = disk_truncate,
        .rename = disk_rename,
        .remove = disk_remove,
        .make_dir = disk_make_dir,
        .sync_dir = disk_sync_dir,
        .list = disk_list,
        .user = d,
    };
    return d;
}

static void dir_clear(struct directory *dir)
{
    for (size_t i = 0; i < dir->count; i++) {
        inode_drop(dir->names[i].inode);
    }
    dir->count = 0;
}

void sim_disk_free(struct sim_disk *d)
{
    changes_apply(d, 0);
    dir_clear(&d->now);
    dir_clear(&d->sure);
    free(d->now.names);
    free(d->sure.names);
    free(d->changes);
    free(d);
}

const struct oak_disk *sim_disk_port(struct sim_disk *d)
{
    return &d->port;
}

void disk__clear(struct sim_disk *d)
{
    OAK_ASSERT_EQ(d->change_count, 0);
    dir_clear(&d->now);
    dir_clear(&d->sure);
}

void disk__file_add(struct sim_disk *d, const char *path, struct oak_bytes bytes)
{
    struct inode *inode = calloc(1, sizeof(*inode));
    OAK_ASSERT(inode != NULL);
    buf_resize(&inode->now, bytes.size);
    if (bytes.size > 0) {
        memcpy(inode->now.data, bytes.data, bytes.size);
    }
    dirty_mark(inode, 0, bytes.size);
    inode_sync(inode, d->world->now_ns);
    dir_put(&d->now, path, inode);
    dir_put(&d->sure, path, inode);
}

void sim_disk_crash(struct sim_disk *d)
{
    changes_apply(d, oak_prng_below(&d->world->prng, d->change_count + 1));
    dir_clear(&d->now);
    for (size_t i = 0; i < d->sure.count; i++) {
        inode_crash(d, d->sure.names[i].inode);
        dir_put(&d->now, d->sure.names[i].path, d->sure.names[i].inode);
    }
    bool full = d->full;
    sim_disk_heal(d);
    d->full = full;
    d->died = false;
    memset(d->io_failed_ns, 0, sizeof(d->io_failed_ns));
    memset(d->full_failed_ns, 0, sizeof(d->full_failed_ns));
}
