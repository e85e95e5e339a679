/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c: find the newest snapshot, read and verify it; remove old ones.
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
    const struct oak_disk *disk;
    struct oak_file *file;
    struct oak_snap_meta meta;
    uint8_t config[SNAP__CONFIG_BYTES_MAX];
    uint64_t offset;
    struct snap__trailer want;
    struct snap__trailer sum; /* of what was read */
    struct oak_buf buf;
    int failed;
};

struct listing {
    uint64_t group;
    struct snap__name *names;
    size_t count;
    size_t capacity;
    int error;
};

static void name_found(void *arg, const char *text)
{
    struct listing *l = arg;
    struct snap__name name;
    if (l->error != 0 || !snap__name_parse(text, &name) || name.group != l->group) {
        return;
    }
    if (l->count == l->capacity) {
        size_t capacity = l->capacity * 2 + 8;
        struct snap__name *names = realloc(l->names, capacity * sizeof(*names));
        if (names == NULL) {
            l->error = OAK_ENOMEM;
            return;
        }
        l->names = names;
        l->capacity = capacity;
    }
    l->names[l->count++] = name;
}

static int group_list(const struct oak_disk *disk, const char *dir, struct listing *l)
{
    int error = disk->list(disk->user, dir, name_found, l);
    return error != 0 ? error : l->error;
}

static int file_remove(const struct oak_disk *disk, const char *dir, const struct snap__name *name)
{
    char path[SNAP__PATH_BYTES];
    int error = snap__path(dir, name, path);
    error = error != 0 ? error : disk->remove(disk->user, path);
    return error == OAK_ENOENT ? 0 : error;
}

static int damaged(struct oak_errbuf *e, const char *path, uint64_t offset, const char *what)
{
    return oak_fail(e, OAK_ECORRUPT,
                    "%.220s: offset %" PRIu64 ": %s. Restore the file, or remove this member from "
                    "its cluster and add it again with an empty data directory; a cluster of one: "
                    "restore it from a backup",
                    path, offset, what);
}

/* Exactly `size` bytes. */
static int bytes_read(const struct oak_snap_reader *r, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    int error = r->disk->read(r->disk->user, r->file, offset, out, size, &got);
    return error != 0 ? error : got == size ? 0 : OAK_ECORRUPT;
}

static int header_check(struct oak_snap_reader *r, const struct snap__name *name)
{
    uint8_t fixed[SNAP__HEADER_BYTES];
    uint32_t config_size = 0;
    uint32_t checksum = 0;
    int error = bytes_read(r, 0, fixed, sizeof(fixed));
    if (error != 0) {
        return error;
    }
    if (!snap__header_get(fixed, &r->meta, &config_size, &checksum)) {
        return OAK_ECORRUPT;
    }
    error = bytes_read(r, SNAP__HEADER_BYTES, r->config, config_size);
    if (error != 0) {
        return error;
    }
    r->meta.config = oak_bytes(r->config, config_size);
    r->offset = SNAP__HEADER_BYTES + config_size;
    r->sum.chain = checksum;
    bool whole = snap__header_checksum(fixed, r->meta.config) == checksum &&
                 r->meta.group == name->group && r->meta.index == name->index &&
                 r->meta.term == name->term;
    return whole ? 0 : OAK_ECORRUPT;
}

/* The file ends with a trailer, and has the size that it tells. */
static int trailer_check(struct oak_snap_reader *r, uint64_t *end)
{
    uint8_t trailer[SNAP__TRAILER_BYTES];
    uint64_t size = 0;
    int error = r->disk->size(r->disk->user, r->file, &size);
    *end = size;
    if (error != 0) {
        return error;
    }
    if (size < r->offset + SNAP__TRAILER_BYTES) {
        return OAK_ECORRUPT;
    }
    *end = size - SNAP__TRAILER_BYTES;
    error = bytes_read(r, *end, trailer, sizeof(trailer));
    if (error != 0) {
        return error;
    }
    uint64_t content = *end - r->offset;
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
    r->disk = disk;
    error = disk->open(disk->user, path, OAK_FILE_READ, &r->file);
    if (error != 0) {
        free(r);
        return oak_fail(e, error, "%.300s: %s", path, oak_error_text(error));
    }
    uint64_t end = 0;
    error = header_check(r, name);
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
    struct listing l = {.group = group};
    const struct snap__name *newest = NULL;
    int error = group_list(disk, dir, &l);
    for (size_t i = 0; error == 0 && i < l.count; i++) {
        const struct snap__name *n = &l.names[i];
        if (n->kind == SNAP__PART) {
            error = file_remove(disk, dir, n);
        } else if (newest == NULL || n->index > newest->index ||
                   (n->index == newest->index && n->term > newest->term)) {
            newest = n;
        }
    }
    if (error != 0 && error != OAK_ENOENT) {
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

static int chunk_read(struct oak_snap_reader *r, struct oak_bytes *chunk)
{
    uint8_t header[SNAP__CHUNK_HEADER];
    uint32_t size = 0;
    uint32_t checksum = 0;
    int error = bytes_read(r, r->offset, header, sizeof(header));
    if (error != 0) {
        return error;
    }
    if (!snap__chunk_get(header, r->sum.chunks, &size, &checksum)) {
        return OAK_ECORRUPT;
    }
    oak_buf_clear(&r->buf);
    error = oak_buf_reserve(&r->buf, size);
    error = error != 0 ? error : bytes_read(r, r->offset + SNAP__CHUNK_HEADER, r->buf.data, size);
    if (error != 0) {
        return error;
    }
    struct oak_bytes data = oak_bytes(r->buf.data, size);
    if (snap__chunk_checksum(header, data, r->sum.chain) != checksum) {
        return OAK_ECORRUPT;
    }
    r->sum.chain = checksum;
    r->sum.chunks++;
    r->sum.bytes += size;
    r->offset += SNAP__CHUNK_HEADER + size;
    *chunk = data;
    return 0;
}

int oak_snap_read(struct oak_snap_reader *r, struct oak_bytes *chunk)
{
    OAK_ASSERT(r != NULL && chunk != NULL);
    *chunk = oak_bytes(NULL, 0);
    if (r->failed != 0) {
        return r->failed;
    }
    if (r->sum.chunks < r->want.chunks) {
        int error = chunk_read(r, chunk);
        r->failed = error == OAK_ENOMEM ? 0 : error;
        return error;
    }
    bool whole = r->sum.bytes == r->want.bytes && r->sum.chain == r->want.chain;
    r->failed = whole ? 0 : OAK_ECORRUPT;
    return r->failed;
}

void oak_snap_close(struct oak_snap_reader *r)
{
    if (r == NULL) {
        return;
    }
    r->disk->close(r->disk->user, r->file);
    oak_buf_fini(&r->buf);
    free(r);
}

int oak_snap_purge(const struct oak_disk *disk, const char *dir, uint64_t group, uint64_t index)
{
    OAK_ASSERT(disk != NULL && dir != NULL);
    struct listing l = {.group = group};
    int error = group_list(disk, dir, &l);
    for (size_t i = 0; error == 0 && i < l.count; i++) {
        if (l.names[i].kind == SNAP__WHOLE && l.names[i].index < index) {
            error = file_remove(disk, dir, &l.names[i]);
        }
    }
    free(l.names);
    return error == OAK_ENOENT ? 0 : error;
}
