/* SPDX-License-Identifier: Apache-2.0 */
/* test_disk.c: see test_disk.h. Lack of memory ends the test. */
#include "wal/test_disk.h"

#include <stdlib.h>

struct oak_file {
    struct test_inode *inode;
};

/* Not malloc: a test that makes malloc fail means the room it tests. */
static void *disk_alloc(size_t size)
{
    void *p = aligned_alloc(16, (size + 15) / 16 * 16);
    if (p == NULL) {
        abort();
    }
    memset(p, 0, size);
    return p;
}

/* More room, the new part zeroed. */
static void *disk_grow(void *old, size_t old_size, size_t size)
{
    void *p = disk_alloc(size);
    if (old_size > 0) {
        memcpy(p, old, old_size);
    }
    free(old);
    return p;
}

static void path_set(char out[256], const char *path)
{
    size_t size = strlen(path) + 1;
    OAK_ASSERT_LE(size, 256);
    memcpy(out, path, size);
}

/* -- names ------------------------------------------------------------------------------------- */

static struct test_name *name_find(struct test_name *names, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i].path, path) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static void name_set(struct test_name **names, size_t *count, size_t *capacity, const char *path,
                     struct test_inode *inode)
{
    struct test_name *name = name_find(*names, *count, path);
    if (name == NULL) {
        if (*count == *capacity) {
            size_t more = *capacity * 2 + 16;
            *names = disk_grow(*names, *capacity * sizeof(**names), more * sizeof(**names));
            *capacity = more;
        }
        name = &(*names)[(*count)++];
        path_set(name->path, path);
    }
    name->inode = inode;
}

static void name_drop(struct test_name *names, size_t *count, const char *path)
{
    struct test_name *name = name_find(names, *count, path);
    if (name != NULL) {
        *name = names[--*count];
    }
}

static void op_apply(struct test_name **names, size_t *count, size_t *capacity,
                     const struct test_op *op)
{
    if (op->from[0] != '\0') {
        name_drop(*names, count, op->from);
    }
    if (op->to[0] != '\0') {
        name_set(names, count, capacity, op->to, op->inode);
    }
}

static void op_do(struct test_disk *d, const char *from, const char *to, struct test_inode *inode)
{
    if (d->op_count == d->op_capacity) {
        size_t more = d->op_capacity * 2 + 16;
        d->ops = disk_grow(d->ops, d->op_capacity * sizeof(*d->ops), more * sizeof(*d->ops));
        d->op_capacity = more;
    }
    struct test_op *op = &d->ops[d->op_count++];
    *op = (struct test_op){.inode = inode};
    path_set(op->from, from);
    path_set(op->to, to);
    op_apply(&d->names, &d->name_count, &d->name_capacity, op);
}

static void ops_persist(struct test_disk *d, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        op_apply(&d->durable_names, &d->durable_count, &d->durable_capacity, &d->ops[i]);
    }
    d->op_count = 0;
}

/* Whether `path` lies directly in `dir`. */
static bool lies_in(const char *path, const char *dir)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return strcmp(dir, ".") == 0;
    }
    return strlen(dir) == (size_t)(slash - path) && strncmp(path, dir, strlen(dir)) == 0;
}

static void dir_persist(struct test_disk *d, const char *path)
{
    size_t left = 0;
    for (size_t i = 0; i < d->op_count; i++) {
        const struct test_op *op = &d->ops[i];
        if (lies_in(op->to[0] != '\0' ? op->to : op->from, path)) {
            op_apply(&d->durable_names, &d->durable_count, &d->durable_capacity, op);
        } else {
            d->ops[left++] = *op;
        }
    }
    d->op_count = left;
    for (size_t i = 0; i < d->dir_count; i++) {
        d->dirs[i].durable = d->dirs[i].durable || lies_in(d->dirs[i].path, path);
    }
}

/* Directories that were made and not synced go, or stay. */
static void dirs_cut(struct test_disk *d, enum test_disk_cut how)
{
    size_t left = 0;
    for (size_t i = 0; i < d->dir_count; i++) {
        struct test_dir *dir = &d->dirs[i];
        bool stays = dir->durable || how == TEST_DISK_KEEP_ALL || how == TEST_DISK_KEEP_MASK ||
                     (how != TEST_DISK_KEEP_NONE && oak_prng_chance(&d->prng, 1, 2));
        if (stays) {
            dir->durable = true;
            d->dirs[left++] = *dir;
            continue;
        }
        for (size_t n = 0; n < d->durable_count;) {
            if (lies_in(d->durable_names[n].path, dir->path)) {
                d->durable_names[n] = d->durable_names[--d->durable_count];
            } else {
                n++;
            }
        }
    }
    d->dir_count = left;
}

/* -- contents ---------------------------------------------------------------------------------- */

static struct test_inode *inode_new(struct test_disk *d)
{
    struct test_inode *n = disk_alloc(sizeof(*n));
    n->next = d->inodes;
    d->inodes = n;
    return n;
}

static void inode_grow(struct test_inode *n, size_t size)
{
    if (size <= n->capacity) {
        return;
    }
    size_t capacity = OAK_MAX(size, n->capacity * 2) + TEST_DISK_SECTOR - 1;
    capacity -= capacity % TEST_DISK_SECTOR;
    size_t sectors = n->capacity / TEST_DISK_SECTOR;
    n->data = disk_grow(n->data, n->capacity, capacity);
    n->durable = disk_grow(n->durable, n->capacity, capacity);
    n->dirty = disk_grow(n->dirty, sectors, capacity / TEST_DISK_SECTOR);
    n->capacity = capacity;
}

static void inode_write(struct test_inode *n, size_t offset, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    inode_grow(n, offset + size);
    memcpy(n->data + offset, data, size);
    n->size = OAK_MAX(n->size, offset + size);
    for (size_t s = offset / TEST_DISK_SECTOR; s <= (offset + size - 1) / TEST_DISK_SECTOR; s++) {
        n->dirty[s] = true;
    }
}

static void sector_persist(struct test_inode *n, size_t s)
{
    memcpy(n->durable + s * TEST_DISK_SECTOR, n->data + s * TEST_DISK_SECTOR, TEST_DISK_SECTOR);
    n->dirty[s] = false;
}

static void inode_sync(struct test_inode *n)
{
    for (size_t s = 0; s < n->capacity / TEST_DISK_SECTOR; s++) {
        if (n->dirty[s]) {
            sector_persist(n, s);
        }
    }
    n->durable_size = n->size;
}

static void inode_cut(struct test_disk *d, struct test_inode *n, enum test_disk_cut how)
{
    size_t sectors = n->capacity / TEST_DISK_SECTOR;
    size_t dirty = 0;
    for (size_t s = 0; s < sectors; s++) {
        dirty += n->dirty[s];
    }
    size_t kept = (size_t)oak_prng_below(&d->prng, dirty + 1);
    uint64_t parts = oak_prng_below(&d->prng, 9);
    size_t end = n->durable_size;
    size_t seen = 0;
    for (size_t s = 0; s < sectors; s++) {
        if (!n->dirty[s]) {
            continue;
        }
        bool keep = how == TEST_DISK_KEEP_ALL ||
                    (how == TEST_DISK_KEEP_RANDOM && oak_prng_chance(&d->prng, parts, 8)) ||
                    (how == TEST_DISK_KEEP_PREFIX && seen < kept) ||
                    (how == TEST_DISK_KEEP_MASK && (d->mask & 1) != 0);
        seen++;
        d->mask >>= 1;
        if (keep) {
            sector_persist(n, s);
            end = OAK_MAX(end, OAK_MIN(n->size, (s + 1) * TEST_DISK_SECTOR));
        }
        n->dirty[s] = false;
    }
    n->durable_size = end;
    n->size = end;
    if (n->capacity > 0) {
        memset(n->durable + end, 0, n->capacity - end);
        memcpy(n->data, n->durable, n->capacity);
    }
}

/* -- the port ---------------------------------------------------------------------------------- */

/* Count a call. 0: go on. `half` says that it may happen in part though it fails. */
static int call(struct test_disk *d, bool *half)
{
    *half = false;
    if (d->dead) {
        return OAK_EIO;
    }
    uint64_t number = d->calls++;
    if (number == d->cut_at) {
        d->dead = true;
        *half = true;
        return OAK_EIO;
    }
    if (number == d->fail_at) {
        *half = d->fail_error == OAK_EIO;
        return d->fail_error;
    }
    return 0;
}

static int disk_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    struct test_disk *d = user;
    struct test_name *name = name_find(d->names, d->name_count, path);
    struct test_inode *inode = name == NULL ? NULL : name->inode;
    if (d->dead) {
        return OAK_EIO;
    }
    if (mode == OAK_FILE_CREATE) {
        bool half;
        int error = call(d, &half);
        if (error != 0) {
            return error;
        }
        if (name != NULL) {
            return OAK_EEXIST;
        }
        inode = inode_new(d);
        op_do(d, "", path, inode);
    } else if (name == NULL) {
        return OAK_ENOENT;
    }
    struct oak_file *file = malloc(sizeof(*file));
    if (file == NULL) {
        return OAK_ENOMEM;
    }
    file->inode = inode;
    d->open_files++;
    *out = file;
    return 0;
}

static void disk_close(void *user, struct oak_file *file)
{
    struct test_disk *d = user;
    OAK_ASSERT_GT(d->open_files, 0);
    d->open_files--;
    free(file);
}

static int disk_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                     size_t *got)
{
    struct test_disk *d = user;
    const struct test_inode *n = file->inode;
    if (d->dead) {
        return OAK_EIO;
    }
    *got = offset >= n->size ? 0 : OAK_MIN(size, n->size - (size_t)offset);
    if (*got > 0) {
        memcpy(out, n->data + offset, *got);
    }
    return 0;
}

static int disk_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                      size_t size)
{
    struct test_disk *d = user;
    bool half;
    d->writes++;
    int error = call(d, &half);
    if (error != 0 && half) {
        size = (size_t)oak_prng_below(&d->prng, size + 1);
    }
    if (error == 0 || half) {
        inode_write(file->inode, (size_t)offset, data, size);
    }
    return error;
}

static int disk_sync(void *user, struct oak_file *file)
{
    struct test_disk *d = user;
    struct test_inode *n = file->inode;
    bool half;
    d->syncs++;
    int error = call(d, &half);
    if (error == 0) {
        inode_sync(n);
    } else if (half && !d->dead) {
        for (size_t s = 0; s < n->capacity / TEST_DISK_SECTOR; s++) {
            if (n->dirty[s] && oak_prng_chance(&d->prng, 1, 2)) {
                sector_persist(n, s);
            }
            n->dirty[s] = false;
        }
    }
    return error;
}

static int disk_size(void *user, struct oak_file *file, uint64_t *out)
{
    struct test_disk *d = user;
    *out = file->inode->size;
    return d->dead ? OAK_EIO : 0;
}

static int disk_truncate(void *user, struct oak_file *file, uint64_t size)
{
    struct test_disk *d = user;
    struct test_inode *n = file->inode;
    bool half;
    int error = call(d, &half);
    if (error == 0) {
        inode_grow(n, (size_t)size);
        if (size < n->size) {
            memset(n->data + size, 0, n->size - (size_t)size);
        }
        n->size = (size_t)size;
    }
    return error;
}

static int disk_rename(void *user, const char *from, const char *to)
{
    struct test_disk *d = user;
    bool half;
    int error = call(d, &half);
    const struct test_name *name = name_find(d->names, d->name_count, from);
    if (error == 0 && name == NULL) {
        return OAK_ENOENT;
    }
    if ((error == 0 || (half && oak_prng_chance(&d->prng, 1, 2))) && name != NULL) {
        op_do(d, from, to, name->inode);
    }
    return error;
}

static int disk_remove(void *user, const char *path)
{
    struct test_disk *d = user;
    bool half;
    int error = call(d, &half);
    if (error != 0) {
        return error;
    }
    if (name_find(d->names, d->name_count, path) == NULL) {
        return OAK_ENOENT;
    }
    op_do(d, path, "", NULL);
    return 0;
}

static int disk_make_dir(void *user, const char *path)
{
    struct test_disk *d = user;
    bool half;
    int error = call(d, &half);
    for (size_t i = 0; error == 0 && i < d->dir_count; i++) {
        if (strcmp(d->dirs[i].path, path) == 0) {
            return 0;
        }
    }
    if (error == 0) {
        size_t size = d->dir_count * sizeof(*d->dirs);
        d->dirs = disk_grow(d->dirs, size, size + sizeof(*d->dirs));
        struct test_dir *dir = &d->dirs[d->dir_count++];
        path_set(dir->path, path);
        dir->durable = false;
    }
    return error;
}

static int disk_sync_dir(void *user, const char *path)
{
    struct test_disk *d = user;
    bool half;
    int error = call(d, &half);
    if (error == 0) {
        dir_persist(d, path);
    }
    return error;
}

static int disk_list(void *user, const char *path, void (*each)(void *arg, const char *name),
                     void *arg)
{
    struct test_disk *d = user;
    size_t length = strlen(path);
    if (d->dead) {
        return OAK_EIO;
    }
    for (size_t i = 0; i < d->name_count; i++) {
        const char *name = d->names[i].path;
        if (strncmp(name, path, length) == 0 && name[length] == '/' &&
            strchr(name + length + 1, '/') == NULL) {
            each(arg, name + length + 1);
        }
    }
    return 0;
}

/* -- for tests --------------------------------------------------------------------------------- */

void test_disk_init(struct test_disk *d, uint64_t seed)
{
    *d = (struct test_disk){
        .port = {.open = disk_open,
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
                 .user = d},
        .fail_at = TEST_DISK_NEVER,
        .cut_at = TEST_DISK_NEVER,
    };
    oak_prng_init(&d->prng, seed);
}

void test_disk_fini(struct test_disk *d)
{
    while (d->inodes != NULL) {
        struct test_inode *n = d->inodes;
        d->inodes = n->next;
        free(n->data);
        free(n->durable);
        free(n->dirty);
        free(n);
    }
    free(d->names);
    free(d->durable_names);
    free(d->ops);
    free(d->dirs);
    *d = (struct test_disk){0};
}

void test_disk_cut(struct test_disk *d, enum test_disk_cut how)
{
    OAK_ASSERT_EQ(d->open_files, 0);
    size_t count = how == TEST_DISK_KEEP_NONE ? 0
                   : how == TEST_DISK_KEEP_ALL || how == TEST_DISK_KEEP_MASK
                       ? d->op_count
                       : (size_t)oak_prng_below(&d->prng, d->op_count + 1);
    ops_persist(d, count);
    dirs_cut(d, how);
    for (struct test_inode *n = d->inodes; n != NULL; n = n->next) {
        inode_cut(d, n, how);
    }
    d->name_count = 0;
    for (size_t i = 0; i < d->durable_count; i++) {
        name_set(&d->names, &d->name_count, &d->name_capacity, d->durable_names[i].path,
                 d->durable_names[i].inode);
    }
    d->dead = false;
    d->fail_at = TEST_DISK_NEVER;
    d->cut_at = TEST_DISK_NEVER;
}

size_t test_disk_dirty(const struct test_disk *d)
{
    size_t dirty = 0;
    for (const struct test_inode *n = d->inodes; n != NULL; n = n->next) {
        for (size_t s = 0; s < n->capacity / TEST_DISK_SECTOR; s++) {
            dirty += n->dirty[s];
        }
    }
    return dirty;
}

static struct test_inode *inode_of(const struct test_disk *d, const char *path)
{
    const struct test_name *name = name_find(d->names, d->name_count, path);
    OAK_ASSERT(name != NULL);
    return name->inode;
}

const uint8_t *test_disk_peek(const struct test_disk *d, const char *path, size_t *size)
{
    *size = inode_of(d, path)->size;
    return inode_of(d, path)->data;
}

void test_disk_poke(struct test_disk *d, const char *path, size_t offset, const void *data,
                    size_t size)
{
    inode_write(inode_of(d, path), offset, data, size);
    inode_sync(inode_of(d, path));
}

void test_disk_shorten(struct test_disk *d, const char *path, size_t size)
{
    inode_of(d, path)->size = size;
    inode_of(d, path)->durable_size = size;
}

void test_disk_copy(struct test_disk *d, const struct test_disk *from)
{
    for (size_t i = 0; i < from->name_count; i++) {
        struct test_inode *n = inode_new(d);
        const struct test_inode *other = from->names[i].inode;
        inode_write(n, 0, other->data, other->size);
        inode_sync(n);
        op_do(d, "", from->names[i].path, n);
    }
    ops_persist(d, d->op_count);
}

const char *test_disk_name(const struct test_disk *d, size_t n)
{
    for (size_t i = 0; i < d->name_count; i++) {
        size_t before = 0;
        for (size_t j = 0; j < d->name_count; j++) {
            before += strcmp(d->names[j].path, d->names[i].path) < 0;
        }
        if (before == n) {
            return d->names[i].path;
        }
    }
    return NULL;
}
