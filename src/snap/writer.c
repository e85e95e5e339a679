/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c: a snapshot file from its first byte to its name.
 *
 * Happy path   1 part file, header
 *              2 chunks, one write each; a sync now and then, for resume.c
 *              3 trailer, sync, rename, sync_dir of the directory and of its parent, which may
 *                have just got it
 * Can fail     any step; the part file is then removed, and the whole ones that were there stay
 * Invariants   a name that ends in .snap is only ever given to a synced, whole file
 * Thread       one owner; blocks on the disk
 */
#include "snap/internal.h"

#include "base/zoo.h"

#include <stdlib.h>

static void part_path(const struct oak_snap_writer *w, char out[SNAP__PATH_BYTES])
{
    struct snap__name name = w->name;
    name.kind = SNAP__PART;
    int error = snap__path(w->dir, &name, out);
    OAK_ASSERT_EQ(error, 0);
}

static int part_create(struct oak_snap_writer *w)
{
    char path[SNAP__PATH_BYTES];
    part_path(w, path);
    int error = w->disk->make_dir(w->disk->user, w->dir);
    error = error != 0 ? error : oak_snap_discard(w->disk, w->dir, w->name.group);
    return error != 0 ? error : w->disk->open(w->disk->user, path, OAK_FILE_CREATE, &w->file);
}

/* Write what `buf` holds and empty it. */
static int buf_write(struct oak_snap_writer *w)
{
    OAK_ASSERT(!w->failed);
    int error = w->disk->write(w->disk->user, w->file, w->offset, w->buf.data, w->buf.size);
    w->failed = error != 0;
    w->offset += w->buf.size;
    oak_buf_clear(&w->buf);
    return error;
}

void snap__writer_free(struct oak_snap_writer *w)
{
    if (w->file != NULL) {
        w->disk->close(w->disk->user, w->file);
    }
    oak_buf_fini(&w->buf);
    free(w);
}

struct oak_snap_writer *snap__writer_new(const struct oak_disk *disk, const char *dir,
                                         const struct snap__name *name)
{
    OAK_ASSERT_LE(strlen(dir), SNAP__DIR_BYTES_MAX);
    struct oak_snap_writer *w = calloc(1, sizeof(*w));
    if (w != NULL) {
        w->disk = disk;
        w->name = *name;
        w->name.kind = SNAP__WHOLE;
        memcpy(w->dir, dir, strlen(dir) + 1);
    }
    return w;
}

int oak_snap_begin(const struct oak_disk *disk, const char *dir, const struct oak_snap_meta *meta,
                   struct oak_snap_writer **out)
{
    OAK_ASSERT(disk != NULL && dir != NULL);
    *out = NULL;
    size_t length = strlen(dir);
    if (length == 0 || length > SNAP__DIR_BYTES_MAX || meta->config.size > SNAP__CONFIG_BYTES_MAX) {
        return OAK_EINVAL;
    }
    const struct snap__name name = {.group = meta->group, .index = meta->index, .term = meta->term};
    struct oak_snap_writer *w = snap__writer_new(disk, dir, &name);
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    int error = snap__header_put(&w->buf, meta, &w->sum.chain);
    if (error == 0) {
        error = part_create(w);
    }
    if (error != 0) {
        snap__writer_free(w);
        return error;
    }
    error = buf_write(w);
    if (error != 0) {
        oak_snap_abort(w);
        return error;
    }
    *out = w;
    return 0;
}

int oak_snap_write(struct oak_snap_writer *w, struct oak_bytes chunk)
{
    OAK_ASSERT(w != NULL && w->file != NULL);
    if (w->failed) {
        return OAK_EFATAL;
    }
    if (chunk.size > OAK_SNAPSHOT_CHUNK_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    if (chunk.size == 0) {
        return 0;
    }
    uint8_t header[SNAP__CHUNK_HEADER];
    uint32_t chain = snap__chunk_put(header, w->sum.chunks, chunk, w->sum.chain);
    OAK_ASSERT_EQ(w->buf.size, 0);
    int error = oak_buf_append(&w->buf, header, sizeof(header));
    error = error != 0 ? error : oak_buf_append(&w->buf, chunk.data, chunk.size);
    if (error != 0) {
        w->failed = true;
        return error;
    }
    w->sum.chain = chain;
    w->sum.chunks++;
    w->sum.bytes += chunk.size;
    return buf_write(w);
}

uint64_t oak_snap_offset(const struct oak_snap_writer *w)
{
    OAK_ASSERT(w != NULL);
    return w->sum.bytes;
}

/* The names of the file and of its directory, which may have just been made, survive. */
static int names_sync(const struct oak_snap_writer *w)
{
    char parent[SNAP__PATH_BYTES];
    snap__parent(w->dir, parent);
    int error = w->disk->sync_dir(w->disk->user, w->dir);
    return error != 0 ? error : w->disk->sync_dir(w->disk->user, parent);
}

int oak_snap_sync(struct oak_snap_writer *w)
{
    OAK_ASSERT(w != NULL && w->file != NULL);
    if (w->failed) {
        return OAK_EFATAL;
    }
    int error = w->disk->sync(w->disk->user, w->file);
    if (error == 0 && !w->named) {
        error = names_sync(w);
        w->named = error == 0;
    }
    w->failed = error != 0;
    return error;
}

int oak_snap_finish(struct oak_snap_writer *w)
{
    OAK_ASSERT(w != NULL && w->file != NULL);
    const struct oak_disk *disk = w->disk;
    char part[SNAP__PATH_BYTES];
    char whole[SNAP__PATH_BYTES];
    uint8_t trailer[SNAP__TRAILER_BYTES];
    part_path(w, part);
    int error = snap__path(w->dir, &w->name, whole);
    OAK_ASSERT_EQ(error, 0);
    error = w->failed ? OAK_EFATAL : 0;
    if (error == 0) {
        snap__trailer_put(trailer, &w->sum);
        error = oak_buf_append(&w->buf, trailer, sizeof(trailer));
    }
    error = error != 0 ? error : buf_write(w);
    if (error == 0 && !OAK_BUG(snap_not_synced)) {
        error = disk->sync(disk->user, w->file);
    }
    error = error != 0 ? error : disk->rename(disk->user, part, whole);
    if (error != 0) {
        oak_snap_abort(w);
        return error;
    }
    /* From here on the name may be durable: it stays, it names a whole file. */
    error = OAK_BUG(snap_ack_before_durable) ? 0 : names_sync(w);
    snap__writer_free(w);
    return error;
}

void oak_snap_abort(struct oak_snap_writer *w)
{
    if (w == NULL) {
        return;
    }
    OAK_ASSERT_EQ(w->name.kind, SNAP__WHOLE);
    char path[SNAP__PATH_BYTES];
    part_path(w, path);
    const struct oak_disk *disk = w->disk;
    snap__writer_free(w);
    (void)disk->remove(disk->user, path); /* else the next begin removes it */
}

void oak_snap_keep(struct oak_snap_writer *w)
{
    if (w != NULL) {
        snap__writer_free(w);
    }
}
