/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c: find the newest snapshot, read and verify it.
 *
 * Happy path   1 list
 *              2 open the highest index, check header, trailer and size
 *              3 chunks in order
 * Can fail     OAK_ECORRUPT when a byte is not what was written: an older snapshot is not taken
 *              instead, because the log may have been released up to the newest one
 * Invariants   no chunk is handed out before its checksum held
 * Thread       one owner; blocks on the disk
 */
#include "snap/internal.h"

#include <inttypes.h>
#include <stdlib.h>

struct oak_snap_reader {
    struct snap__scan scan;
    struct oak_snap_meta meta;
    uint8_t config[SNAP__CONFIG_BYTES_MAX];
    struct snap__trailer want;
    int failed;
};

static int damaged(struct oak_errbuf *e, const char *path, uint64_t offset, const char *what)
{
    return oak_fail(e, OAK_ECORRUPT,
                    "%.220s: offset %" PRIu64 ": %s. Restore the file, or remove this member from "
                    "its cluster and add it again with an empty data directory; a cluster of one: "
                    "restore it from a backup",
                    path, offset, what);
}

/* The file ends with a trailer, and has the size that it tells. */
static int trailer_check(struct oak_snap_reader *r, uint64_t *end)
{
    const struct oak_disk *disk = r->scan.disk;
    uint8_t trailer[SNAP__TRAILER_BYTES];
    uint64_t size = 0;
    int error = disk->size(disk->user, r->scan.file, &size);
    *end = size;
    if (error != 0) {
        return error;
    }
    if (size < r->scan.offset + SNAP__TRAILER_BYTES) {
        return OAK_ECORRUPT;
    }
    *end = size - SNAP__TRAILER_BYTES;
    error = snap__scan_bytes(&r->scan, *end, trailer, sizeof(trailer));
    if (error != 0) {
        return error;
    }
    uint64_t content = *end - r->scan.offset;
    bool whole = snap__trailer_get(trailer, &r->want) && r->want.bytes <= content &&
                 r->want.chunks == (content - r->want.bytes) / SNAP__CHUNK_HEADER &&
                 (content - r->want.bytes) % SNAP__CHUNK_HEADER == 0;
    return whole ? 0 : OAK_ECORRUPT;
}

static int reader_open(const struct oak_disk *disk, const char *dir, const struct snap__name *name,
                       struct oak_snap_reader **out, struct oak_errbuf *e)
{
    char path[SNAP__PATH_BYTES];
    int error = snap__path(dir, name, path);
    OAK_ASSERT_EQ(error, 0);
    struct oak_snap_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return oak_fail(e, OAK_ENOMEM, "%.300s: no memory to read it", path);
    }
    r->scan.disk = disk;
    error = disk->open(disk->user, path, OAK_FILE_READ, &r->scan.file);
    if (error != 0) {
        free(r);
        return oak_fail(e, error, "%.300s: %s", path, oak_error_text(error));
    }
    uint64_t end = 0;
    error = snap__scan_header(&r->scan, name, &r->meta, r->config);
    if (error == OAK_ECORRUPT) {
        error = damaged(e, path, 0, "the header is damaged");
    } else if (error == 0) {
        error = trailer_check(r, &end);
        if (error == OAK_ECORRUPT) {
            error = damaged(e, path, end, "the trailer is damaged, or the file was cut");
        }
    }
    if (error != 0) {
        if (error != OAK_ECORRUPT) {
            (void)oak_fail(e, error, "%.300s: %s", path, oak_error_text(error));
        }
        oak_snap_close(r);
        return error;
    }
    *out = r;
    return 0;
}

int oak_snap_newest(const struct oak_disk *disk, const char *dir, uint64_t group,
                    struct oak_snap_reader **out, struct oak_errbuf *e)
{
    OAK_ASSERT(disk != NULL && dir != NULL);
    *out = NULL;
    if (strlen(dir) > SNAP__DIR_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "%.100s...: the directory's name is over %u bytes", dir,
                        SNAP__DIR_BYTES_MAX);
    }
    struct snap__listing l;
    const struct snap__name *newest = NULL;
    int error = snap__list(disk, dir, group, &l);
    for (size_t i = 0; error == 0 && i < l.count; i++) {
        const struct snap__name *n = &l.names[i];
        if (n->kind == SNAP__WHOLE && (newest == NULL || snap__newer(n, newest))) {
            newest = n;
        }
    }
    if (error != 0) {
        error = oak_fail(e, error, "%.300s: %s", dir, oak_error_text(error));
    } else if (newest == NULL) {
        error = oak_fail(e, OAK_ENOENT, "%.300s: no snapshot of group %" PRIu64, dir, group);
    } else {
        error = reader_open(disk, dir, newest, out, e);
    }
    free(l.names);
    return error;
}

const struct oak_snap_meta *oak_snap_meta(const struct oak_snap_reader *r)
{
    OAK_ASSERT(r != NULL);
    return &r->meta;
}

int oak_snap_read(struct oak_snap_reader *r, struct oak_bytes *chunk)
{
    OAK_ASSERT(r != NULL && chunk != NULL);
    *chunk = oak_bytes(NULL, 0);
    if (r->failed != 0) {
        return r->failed;
    }
    const struct snap__trailer *sum = &r->scan.sum;
    if (sum->chunks < r->want.chunks) {
        int error = snap__scan_chunk(&r->scan, false);
        if (error == 0) {
            *chunk = oak_buf_bytes(&r->scan.data);
        }
        r->failed = error == OAK_ENOMEM ? 0 : error;
        return error;
    }
    bool whole = sum->bytes == r->want.bytes && sum->chain == r->want.chain;
    r->failed = whole ? 0 : OAK_ECORRUPT;
    return r->failed;
}

void oak_snap_close(struct oak_snap_reader *r)
{
    if (r == NULL) {
        return;
    }
    r->scan.disk->close(r->scan.disk->user, r->scan.file);
    oak_buf_fini(&r->scan.data);
    free(r);
}
