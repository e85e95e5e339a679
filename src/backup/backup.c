/* SPDX-License-Identifier: Apache-2.0 */
/* backup.c: from a view of the store to the file, in pieces.
 *
 * Happy path   1 what the store does not know, and then all that it has, goes to the sorter
 *              2 runs are merged until the rest can be read at once
 *              3 sorted pairs go to the file, bucket by bucket
 * Can fail     the store, the disk, memory: the first error is kept, and ends it. Nothing that is
 *              lost with a scratch file is anybody's: none is ever synced, and a failed write of
 *              one harms nobody.
 * Invariants   a bucket that has no pair is in the file all the same, as in etcd's.
 * Thread       door calls say whose.
 */
#include "backup/file.h"

#include <stdlib.h>

/* Of one record of users and roles, decoded. */
#define ARENA_BYTES   (4 * OAK_KIB)
#define ARENA_CEILING (64 * OAK_MIB)

static int no_sync(void *user, struct oak_file *file)
{
    (void)user;
    (void)file;
    return 0;
}

static int visit_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct oak_backup *b = arg;
    struct oak_kv_record record;
    oak_arena_reset(&b->arena);
    int error = oak_kv_record_read(key, data, &b->arena, &record);
    return error != 0 ? error : backup__add_record(&b->sorter, &b->value, &record);
}

static int visit_version(void *arg, struct oak_store_rev rev, bool deleted,
                         const struct oak_store_kv *kv)
{
    struct oak_backup *b = arg;
    return backup__add_version(&b->sorter, &b->value, rev, deleted, kv);
}

static int names_make(struct oak_backup *b, const struct oak_backup_options *o)
{
    struct oak_buf dir = {0};
    struct oak_buf base = {0};
    struct oak_buf path = {0};
    unsigned long long number = o->number;
    int error = oak_buf_printf(&dir, "%s%c", o->dir, '\0');
    error = error != 0 ? error : oak_buf_printf(&base, "%s/%llu%c", o->dir, number, '\0');
    error = error != 0 ? error : oak_buf_printf(&path, "%s/%llu.db%c", o->dir, number, '\0');
    b->dir = (char *)dir.data;
    b->base = (char *)base.data;
    b->path = (char *)path.data;
    return error;
}

int oak_backup_new(const struct oak_backup_options *options, struct oak_backup **out)
{
    *out = NULL;
    struct oak_backup *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return OAK_ENOMEM;
    }
    const struct oak_store_visitor visitor = {
        .meta = visit_meta, .version = visit_version, .arg = b};
    size_t room = options->sort_bytes != 0 ? options->sort_bytes : OAK_BACKUP_SORT_BYTES_MAX;
    size_t fan = options->runs_merged != 0 ? options->runs_merged : OAK_BACKUP_RUNS_MAX;
    b->disk = *options->disk;
    b->disk.sync = no_sync;
    oak_arena_init(&b->arena, ARENA_BYTES, ARENA_CEILING);
    int error = names_make(b, options);
    error = error != 0 ? error : oak_sorter_init(&b->sorter, &b->disk, b->base, room, fan);
    error = error != 0 ? error : oak_store_walk_begin(options->store, &visitor, &b->walk);
    if (error == 0) {
        /* In memory: that the block is too small for it, and the disk is touched, is for tests. */
        error = backup__add_facts(&b->sorter, &b->value, options, oak_store_walk_state(b->walk));
    }
    if (error != 0) {
        oak_backup_release(b);
        oak_backup_drop(b);
        oak_backup_free(b);
        return error;
    }
    *out = b;
    return 0;
}

/* -- making ------------------------------------------------------------------------------------ */

static int walk(struct oak_backup *b, size_t bytes)
{
    if (!b->dir_made) {
        int error = b->disk.make_dir(b->disk.user, b->dir);
        if (error != 0) {
            return error;
        }
        b->dir_made = true;
    }
    if (!oak_store_walk_run(b->walk, bytes)) {
        return 0;
    }
    int error = oak_store_walk_error(b->walk);
    b->stage = BACKUP_NARROW;
    return error != 0 ? error : oak_sorter_seal(&b->sorter);
}

static int narrow(struct oak_backup *b, size_t bytes)
{
    bool more = false;
    int error = oak_sorter_narrow(&b->sorter, bytes, &more);
    b->stage = more ? BACKUP_NARROW : BACKUP_WRITE;
    return error;
}

/* All buckets before `end` that are not there yet. */
static int buckets_open(struct oak_backup *b, enum backup__bucket end)
{
    int error = 0;
    for (; error == 0 && b->bucket < end; b->bucket++) {
        error = oak_bolt_bucket(b->writer, oak_bytes_str(backup__bucket_name(b->bucket)));
    }
    return error;
}

static int finish(struct oak_backup *b)
{
    int error = buckets_open(b, BACKUP_BUCKETS);
    if (error == 0) {
        struct oak_bolt_writer *writer = b->writer;
        b->writer = NULL;
        error = oak_bolt_finish(writer, &b->size);
        b->whole = error == 0;
    }
    b->stage = BACKUP_OVER;
    oak_sorter_fini(&b->sorter);
    return error;
}

static int write_some(struct oak_backup *b, size_t bytes)
{
    int error = b->writer == NULL ? oak_bolt_create(&b->disk, b->path, &b->writer) : 0;
    size_t done = 0;
    while (error == 0 && done < bytes) {
        struct oak_sorter_pair pair;
        error = oak_sorter_next(&b->sorter, &pair);
        if (error == OAK_ENOENT) {
            return finish(b);
        }
        error = error != 0 ? error : buckets_open(b, (enum backup__bucket)(pair.bucket + 1));
        error = error != 0 ? error : oak_bolt_put(b->writer, pair.key, pair.value);
        done += pair.key.size + pair.value.size;
    }
    return error == OAK_EINVAL ? OAK_ECORRUPT : error;
}

bool oak_backup_run(struct oak_backup *b, size_t bytes)
{
    if (b->error == 0 && b->stage == BACKUP_WALK) {
        b->error = walk(b, bytes);
    } else if (b->error == 0 && b->stage == BACKUP_NARROW) {
        b->error = narrow(b, bytes);
    } else if (b->error == 0 && b->stage == BACKUP_WRITE) {
        b->error = write_some(b, bytes);
    }
    return b->error != 0 || b->stage == BACKUP_OVER;
}

void oak_backup_release(struct oak_backup *b)
{
    if (b->walk != NULL) {
        oak_store_walk_end(b->walk);
        b->walk = NULL;
    }
}

int oak_backup_made(const struct oak_backup *b, uint64_t *size)
{
    *size = b->size;
    return b->error != 0 ? b->error : b->whole ? 0 : OAK_EAGAIN;
}

/* -- the end ----------------------------------------------------------------------------------- */

void oak_backup_drop(struct oak_backup *b)
{
    backup__file_close(b);
    oak_bolt_abort(b->writer);
    b->writer = NULL;
    oak_sorter_fini(&b->sorter);
    if (b->whole) {
        (void)b->disk.remove(b->disk.user, b->path); /* the next start tries again */
        b->whole = false;
    }
}

void oak_backup_free(struct oak_backup *b)
{
    OAK_ASSERT(b->walk == NULL && b->writer == NULL && b->file == NULL && !b->whole);
    oak_arena_fini(&b->arena);
    oak_buf_fini(&b->value);
    free(b->dir);
    free(b->base);
    free(b->path);
    free(b);
}

struct cleaning {
    const struct oak_disk *disk;
    const char *dir;
    struct oak_buf names; /* each ends with NUL */
    int error;
};

static void clean_name(void *arg, const char *name)
{
    struct cleaning *c = arg;
    if (c->error == 0) {
        c->error = oak_buf_printf(&c->names, "%s/%s%c", c->dir, name, '\0');
    }
}

int oak_backup_clean(const struct oak_disk *disk, const char *dir)
{
    struct cleaning c = {.disk = disk, .dir = dir};
    int error = disk->list(disk->user, dir, clean_name, &c);
    error = error != 0 ? error : c.error;
    for (size_t at = 0; error == 0 && at < c.names.size;) {
        const char *path = (const char *)c.names.data + at;
        error = disk->remove(disk->user, path);
        at += strlen(path) + 1;
    }
    oak_buf_fini(&c.names);
    return error == OAK_ENOENT ? 0 : error;
}
