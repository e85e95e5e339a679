/* SPDX-License-Identifier: Apache-2.0 */
/* scan.c: a place where no whole frame lies: a torn end, or damage? And the mending of a torn end.
 *
 * The proof. One batch at most is not durable at any time, and the part of a batch in one segment
 * is synced before the next segment is written. So if reading stops at a hole, and anything valid
 * is found behind it (a frame further on in the same segment; a header or frame of a later
 * segment), then the hole's bytes were durable once, and are damaged. If nothing valid is found,
 * the hole is where the last batch was being written: nobody was told that it is durable, and it is
 * cut. What a file held in an earlier life is not valid, and neither is what a client's value
 * imitates: a frame repeats its segment's salt, which depends on every byte of the log before it.
 *
 * Mending goes from the last segment back to the hole, one sync each, so that a crash in between
 * never leaves something valid behind a hole.
 *
 * Can fail     OAK_ECORRUPT, OAK_EIO, OAK_ENOMEM
 * Thread       start-up
 */
#include "wal/internal.h"

#include <inttypes.h>
#include <stdlib.h>

int wal__damage(const struct oak_wal *wal, uint64_t seq, uint64_t offset, const char *what,
                struct oak_errbuf *e)
{
    char path[WAL__PATH_BYTES];
    wal__path(wal, path, WAL__CHAIN, seq);
    return oak_fail(e, OAK_ECORRUPT,
                    "%.200s: offset %" PRIu64 ": %s. Nothing was changed. Restore the file, or "
                    "remove this member from its cluster and add it again with an empty data "
                    "directory; a cluster of one: restore it from a backup",
                    path, offset, what);
}

/* As much of a damaged file as can be read; the rest is zeros. */
static int tolerant_read(const struct oak_wal *wal, struct oak_file *file, uint8_t *bytes)
{
    const struct oak_disk *disk = wal->disk;
    memset(bytes, 0, (size_t)wal->segment_bytes);
    for (uint64_t at = 0; at < wal->segment_bytes; at += WAL__SEGMENT_BYTES_MIN) {
        size_t got = 0;
        int error = disk->read(disk->user, file, at, bytes + at, WAL__SEGMENT_BYTES_MIN, &got);
        if (error != 0 && error != OAK_EIO) {
            return error;
        }
        if (error != 0) {
            memset(bytes + at, 0, WAL__SEGMENT_BYTES_MIN);
        }
    }
    return 0;
}

int wal__segment_read(const struct oak_wal *wal, uint64_t seq, uint8_t *bytes, struct oak_errbuf *e)
{
    const struct oak_disk *disk = wal->disk;
    char path[WAL__PATH_BYTES];
    wal__path(wal, path, WAL__CHAIN, seq);
    struct oak_file *file = NULL;
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error != 0) {
        return oak_fail(e, error, "%.300s: %s", path, oak_error_text(error));
    }
    uint64_t size = 0;
    size_t got = 0;
    if (wal->tolerant) {
        error = tolerant_read(wal, file, bytes);
        size = wal->segment_bytes;
        got = (size_t)size;
    } else {
        error = disk->size(disk->user, file, &size);
    }
    if (error == 0 && !wal->tolerant && size >= wal->segment_bytes) {
        error = disk->read(disk->user, file, 0, bytes, (size_t)wal->segment_bytes, &got);
    }
    disk->close(disk->user, file);
    if (error != 0) {
        return oak_fail(e, error, "%.300s: can't be read: %s", path, oak_error_text(error));
    }
    if (size != wal->segment_bytes || got != wal->segment_bytes) {
        return wal__damage(wal, seq, OAK_MIN(size, wal->segment_bytes),
                           "the file has not the size it was made with", e);
    }
    return 0;
}

/* The offset of the first valid frame from `offset` on, or 0. A frame with another salt than the
 * segment's is not one, when the salt is known. */
static uint64_t frame_after(const struct oak_wal *wal, const uint8_t *bytes, uint64_t seq,
                            uint64_t offset, const uint32_t *salt)
{
    OAK_ASSERT_GE(offset, WAL__SEGMENT_HEADER);
    for (; offset + WAL__ALIGN <= wal->segment_bytes; offset += WAL__ALIGN) {
        struct wal__frame f;
        if (wal__frame_get(bytes, wal->segment_bytes, seq, offset, &f) &&
            (salt == NULL || f.salt == *salt)) {
            return offset;
        }
    }
    return 0;
}

/* Segments behind the hole's next one must be blank altogether. */
static int later_judge(struct oak_wal *wal, const struct wal__place *hole, uint8_t *bytes,
                       struct oak_errbuf *e)
{
    for (size_t i = hole->at + 2; i < wal->chain_count; i++) {
        uint64_t seq = wal->chain[i].seq;
        struct wal__segment_header h;
        int error = wal__segment_read(wal, seq, bytes, e);
        if (error != 0) {
            return error;
        }
        if (wal__segment_header_get(bytes, seq, &h) ||
            frame_after(wal, bytes, seq, WAL__SEGMENT_HEADER, NULL) != 0) {
            return wal__damage(wal, wal->chain[hole->at].seq, hole->offset,
                               "the log breaks off here, but a later segment was written", e);
        }
    }
    return 0;
}

int wal__hole_judge(struct oak_wal *wal, const struct wal__place *hole, uint8_t *bytes,
                    struct oak_errbuf *e)
{
    static const char proven[] = "the log breaks off here, but a later batch proves that it was "
                                 "whole once";
    uint64_t seq = wal->chain[hole->at].seq;
    struct wal__frame f = {0};
    bool begun =
        wal__frame_get(bytes, wal->segment_bytes, seq, hole->offset, &f) && f.salt == hole->salt;
    if (begun && (f.batch != hole->batch || f.part != hole->part || f.chain != hole->chain)) {
        return wal__damage(wal, seq, hole->offset, "a batch that doesn't follow the one before", e);
    }
    uint64_t behind = hole->offset + WAL__ALIGN;
    if (behind < wal->segment_bytes && frame_after(wal, bytes, seq, behind, &hole->salt) != 0) {
        return wal__damage(wal, seq, hole->offset, proven, e);
    }
    if (hole->at + 1 == wal->chain_count) {
        return 0;
    }
    uint64_t next = wal->chain[hole->at + 1].seq;
    int error = wal__segment_read(wal, next, bytes, e);
    if (error != 0) {
        return error;
    }
    struct wal__segment_header h;
    if (wal__segment_header_get(bytes, next, &h)) {
        /* Reading would have gone on there if it followed. */
        return wal__damage(wal, seq, hole->offset, proven, e);
    }
    /* Its first frame may stand alone: its header's sector is the part of the write that was lost.
     */
    bool alone = wal__frame_get(bytes, wal->segment_bytes, next, WAL__SEGMENT_HEADER, &f) &&
                 f.salt == hole->chain && f.batch == hole->batch && f.part == hole->part;
    if (frame_after(wal, bytes, next, WAL__SEGMENT_HEADER + (alone ? WAL__ALIGN : 0),
                    &hole->chain) != 0) {
        return begun ? wal__damage(wal, seq, hole->offset, proven, e)
                     : wal__damage(wal, next, 0, proven, e);
    }
    return later_judge(wal, hole, bytes, e);
}

/* Make a segment blank: its header, and the header of its first frame. */
static int blank_make(struct oak_wal *wal, size_t at)
{
    OAK_ASSERT_LT(at, wal->chain_count);
    const struct oak_disk *disk = wal->disk;
    uint8_t start[2 * WAL__ALIGN];
    char path[WAL__PATH_BYTES];
    uint64_t seq = wal->chain[at].seq;
    wal__path(wal, path, WAL__CHAIN, seq);
    struct oak_file *file = NULL;
    size_t got = 0;
    int error = disk->open(disk->user, path, OAK_FILE_WRITE, &file);
    if (error != 0) {
        return error;
    }
    error = disk->read(disk->user, file, 0, start, sizeof(start), &got);
    if (error == 0 && got == sizeof(start)) {
        struct wal__segment_header h;
        struct wal__frame f = {0};
        bool header = wal__segment_header_get(start, seq, &h);
        bool frame = wal__frame_get(start, wal->segment_bytes, seq, WAL__SEGMENT_HEADER, &f);
        if (header || frame) {
            wal->stats.cut_bytes += WAL__SEGMENT_HEADER + (frame ? f.size : 0);
            memset(start, 0, sizeof(start));
            error = disk->write(disk->user, file, 0, start, sizeof(start));
            error = error != 0 ? error : wal__sync_file(wal, file);
        }
    }
    disk->close(disk->user, file);
    return error;
}

/* Write the last whole frame again, and zeros over the header of a torn one behind it. A sync that
 * failed in an earlier life of the process may have left the frame in the page cache only; written
 * again, it is either synced now or known not to be. */
static int tail_write(struct oak_wal *wal, const struct wal__place *tail, uint64_t frame)
{
    const struct oak_disk *disk = wal->disk;
    uint64_t from = frame == WAL__SEGMENT_HEADER ? 0 : frame;
    OAK_ASSERT_LT(from, tail->offset);
    bool room = tail->offset + WAL__ALIGN <= wal->segment_bytes;
    size_t whole = (size_t)(tail->offset - from);
    size_t size = whole + (room ? WAL__ALIGN : 0);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return OAK_ENOMEM;
    }
    size_t got = 0;
    int error = disk->read(disk->user, wal->file, from, bytes, size, &got);
    error = error == 0 && got != size ? OAK_EIO : error;
    if (error == 0 && room) {
        memset(bytes + whole, 0, WAL__ALIGN);
    }
    error = error != 0 ? error : disk->write(disk->user, wal->file, from, bytes, size);
    error = error != 0 ? error : wal__sync_file(wal, wal->file);
    free(bytes);
    return error;
}

int wal__tail_mend(struct oak_wal *wal, const struct wal__place *tail, uint64_t frame,
                   struct oak_errbuf *e)
{
    OAK_ASSERT(wal->file == NULL);
    const struct oak_disk *disk = wal->disk;
    char path[WAL__PATH_BYTES];
    int error = 0;
    for (size_t i = wal->chain_count - 1; error == 0 && i > tail->at; i--) {
        wal__path(wal, path, WAL__CHAIN, wal->chain[i].seq);
        error = blank_make(wal, i);
    }
    if (error == 0) {
        wal__path(wal, path, WAL__CHAIN, wal->chain[tail->at].seq);
        error = disk->open(disk->user, path, OAK_FILE_WRITE, &wal->file);
    }
    error = error != 0 ? error : tail_write(wal, tail, frame);
    if (error != 0) {
        return oak_fail(e, error, "%.300s: the torn end can't be cut: %s", path,
                        oak_error_text(error));
    }
    return 0;
}
