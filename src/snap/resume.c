/* SPDX-License-Identifier: Apache-2.0 */
/* resume.c: a part file that a process or a crash left, and going on with it.
 *
 * Happy path   1 the header tells whose transfer it is
 *              2 chunks are read from the start as long as their checksums hold: a crash may have
 *                torn any sector that was not synced, so the file's size says nothing
 *              3 what follows is cut off, and a writer stands behind it
 * Can fail     a header that is not whole: then there is nothing to go on with, and the file goes
 * Thread       one owner; blocks on the disk
 */
#include "snap/internal.h"

#include "base/zoo.h"

#include <stdlib.h>

/* Open the part and check its header. OAK_ECORRUPT: nothing can be made of it. */
static int part_open(const struct oak_disk *disk, const char *dir, const struct snap__name *name,
                     struct snap__scan *scan, struct oak_snap_meta *meta,
                     uint8_t config[SNAP__CONFIG_BYTES_MAX])
{
    char path[SNAP__PATH_BYTES];
    int error = snap__path(dir, name, path);
    *scan = (struct snap__scan){.disk = disk};
    error = error != 0 ? error : disk->open(disk->user, path, OAK_FILE_WRITE, &scan->file);
    if (error != 0) {
        return error;
    }
    error = snap__scan_header(scan, name, meta, config);
    if (error != 0) {
        disk->close(disk->user, scan->file);
        scan->file = NULL;
    }
    return error;
}

/* The newest part with a whole header; every other one is removed. */
static int part_find(const struct oak_disk *disk, const char *dir, uint64_t group,
                     struct snap__name *name, struct snap__scan *scan, struct oak_snap_meta *meta,
                     uint8_t config[SNAP__CONFIG_BYTES_MAX])
{
    struct snap__listing l;
    int error = snap__list(disk, dir, group, &l);
    bool found = false;
    while (error == 0) {
        struct snap__name *newest = NULL;
        for (size_t i = 0; i < l.count; i++) {
            if (l.names[i].kind == SNAP__PART &&
                (newest == NULL || snap__newer(&l.names[i], newest))) {
                newest = &l.names[i];
            }
        }
        if (newest == NULL) {
            break;
        }
        int opened = found ? OAK_ECORRUPT : part_open(disk, dir, newest, scan, meta, config);
        if (opened == 0) {
            found = true;
            *name = *newest;
        } else {
            error = opened == OAK_ECORRUPT ? snap__remove(disk, dir, newest) : opened;
        }
        newest->kind = SNAP__WHOLE; /* looked at */
    }
    free(l.names);
    if (error != 0 && found) {
        disk->close(disk->user, scan->file);
    }
    return error != 0 ? error : found ? 0 : OAK_ENOENT;
}

int oak_snap_part(const struct oak_disk *disk, const char *dir, uint64_t group,
                  struct oak_snap_meta *meta, uint8_t config[OAK_SNAP_CONFIG_BYTES_MAX])
{
    OAK_ASSERT(disk != NULL && dir != NULL);
    struct snap__name name;
    struct snap__scan scan;
    int error = part_find(disk, dir, group, &name, &scan, meta, config);
    if (error == 0) {
        disk->close(disk->user, scan.file);
    }
    return error;
}

int oak_snap_resume(const struct oak_disk *disk, const char *dir, uint64_t group,
                    struct oak_snap_writer **out)
{
    OAK_ASSERT(disk != NULL && dir != NULL);
    struct snap__name name;
    struct snap__scan scan;
    struct oak_snap_meta meta;
    uint8_t config[SNAP__CONFIG_BYTES_MAX];
    *out = NULL;
    int error = part_find(disk, dir, group, &name, &scan, &meta, config);
    if (error != 0) {
        return error;
    }
    do {
        error = snap__scan_chunk(&scan, OAK_BUG(part_file_trusted));
    } while (error == 0);
    struct oak_snap_writer *w = NULL;
    if (error == OAK_ECORRUPT) {
        error = disk->truncate(disk->user, scan.file, scan.offset);
        w = error == 0 ? snap__writer_new(disk, dir, &name) : NULL;
        error = error == 0 && w == NULL ? OAK_ENOMEM : error;
    }
    oak_buf_fini(&scan.data);
    if (error != 0) {
        disk->close(disk->user, scan.file);
        return error;
    }
    w->file = scan.file;
    w->offset = scan.offset;
    w->sum = scan.sum;
    *out = w;
    return 0;
}
