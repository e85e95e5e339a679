/* SPDX-License-Identifier: Apache-2.0 */
/* scrub.c: what is durable and lies still is read again and checked, a little at a time.
 *
 * Happy path   1 the oldest segment behind the last one that was checked; never the current one
 *              2 its header, then its frames one after the other, up to where the next segment's
 *                header says that they end
 *              3 behind the last one: a pass is over
 * Can fail     OAK_ECORRUPT names file and offset; OAK_EIO is damage, too: what can't be read is
 *              not there
 * Invariants   a segment that leaves the chain is forgotten, whatever was read of it
 * Thread       the log's owner
 */
#include "wal/internal.h"

#include <stdlib.h>

static void forget(struct oak_wal *wal)
{
    struct wal__scrub *s = &wal->scrub;
    if (s->file != NULL) {
        wal->disk->close(wal->disk->user, s->file);
    }
    *s = (struct wal__scrub){.seq = s->seq};
}

static int exactly(const struct oak_wal *wal, struct oak_file *file, uint64_t offset, void *out,
                   size_t size)
{
    size_t got = 0;
    int error = wal->disk->read(wal->disk->user, file, offset, out, size, &got);
    return error == 0 && got != size ? OAK_EIO : error;
}

/* Where the frames of chain[at] end: the next segment was begun behind them. */
static int end_find(struct oak_wal *wal, size_t at, uint64_t *end, struct oak_errbuf *e)
{
    uint8_t sector[WAL__SEGMENT_HEADER];
    struct wal__segment_header h;
    char path[WAL__PATH_BYTES];
    struct oak_file *file = NULL;
    uint64_t seq = wal->chain[at + 1].seq;
    wal__path(wal, path, WAL__CHAIN, seq);
    int error = wal->disk->open(wal->disk->user, path, OAK_FILE_READ, &file);
    if (error == 0) {
        error = exactly(wal, file, 0, sector, sizeof(sector));
        wal->disk->close(wal->disk->user, file);
    }
    bool good = error == 0 && wal__segment_header_get(sector, seq, &h) &&
                h.prev_end <= wal->segment_bytes && h.prev_end % WAL__ALIGN == 0 &&
                h.prev_end > WAL__SEGMENT_HEADER;
    if (!good) {
        return error == OAK_ENOMEM
                   ? error
                   : wal__damage(wal, seq, 0, "the scrub finds the header damaged", e);
    }
    *end = h.prev_end;
    return 0;
}

/* Open the next segment; *none: the pass is over. */
static int segment_begin(struct oak_wal *wal, bool *none, struct oak_errbuf *e)
{
    struct wal__scrub *s = &wal->scrub;
    size_t at = 0;
    while (at < wal->current && wal->chain[at].seq <= s->seq) {
        at++;
    }
    *none = at >= wal->current;
    if (*none) {
        return 0;
    }
    uint64_t seq = wal->chain[at].seq;
    uint8_t sector[WAL__SEGMENT_HEADER];
    struct wal__segment_header h;
    char path[WAL__PATH_BYTES];
    wal__path(wal, path, WAL__CHAIN, seq);
    *s = (struct wal__scrub){.seq = seq, .at = WAL__SEGMENT_HEADER};
    int error = end_find(wal, at, &s->end, e);
    if (error != 0) {
        return error;
    }
    error = wal->disk->open(wal->disk->user, path, OAK_FILE_READ, &s->file);
    error = error != 0 ? error : exactly(wal, s->file, 0, sector, sizeof(sector));
    if (error == OAK_ENOMEM) {
        return error;
    }
    if (error != 0 || !wal__segment_header_get(sector, seq, &h)) {
        return wal__damage(wal, seq, 0, "the scrub finds the header damaged", e);
    }
    s->salt = h.salt;
    return 0;
}

/* Read on in the open frame, or begin the next one. */
static int frame_read(struct oak_wal *wal, uint8_t *bytes, size_t room, size_t *used,
                      struct oak_errbuf *e)
{
    static const char damaged[] = "the scrub finds a batch damaged";
    struct wal__scrub *s = &wal->scrub;
    if (s->left == 0) {
        struct wal__frame f;
        int error = exactly(wal, s->file, s->at, bytes, WAL__ALIGN);
        *used = WAL__ALIGN;
        if (error == OAK_ENOMEM) {
            return error;
        }
        if (error != 0 || !wal__frame_parse(bytes, wal->segment_bytes, s->seq, s->at, &f) ||
            f.salt != s->salt || f.size > s->end - s->at) {
            return wal__damage(wal, s->seq, s->at, damaged, e);
        }
        s->checksum = oak_get_u32(bytes + 4);
        s->crc = oak_crc32c(wal__place_crc(s->seq, s->at + WAL__FRAME_HEADER),
                            bytes + WAL__FRAME_HEADER, WAL__ALIGN - WAL__FRAME_HEADER);
        s->frame = s->at;
        s->at += WAL__ALIGN;
        s->left = f.size - WAL__ALIGN;
    } else {
        size_t size = (size_t)OAK_MIN(s->left, (uint64_t)room);
        int error = exactly(wal, s->file, s->at, bytes, size);
        *used = size;
        if (error == OAK_ENOMEM) {
            return error;
        }
        if (error != 0) {
            return wal__damage(wal, s->seq, s->at, "the scrub can't read this", e);
        }
        s->crc = oak_crc32c(s->crc, bytes, size);
        s->at += size;
        s->left -= size;
    }
    return s->left > 0 || s->crc == s->checksum ? 0
                                                : wal__damage(wal, s->seq, s->frame, damaged, e);
}

int oak_wal_scrub(struct oak_wal *wal, size_t bytes, struct oak_errbuf *e)
{
    OAK_ASSERT(wal != NULL);
    OAK_ASSERT_GE(bytes, WAL__ALIGN);
    struct wal__scrub *s = &wal->scrub;
    if (wal->poisoned) {
        return OAK_EFATAL;
    }
    if (s->file != NULL && s->seq < wal->chain[0].seq) {
        forget(wal); /* it has left the chain, and may be written anew */
    }
    uint8_t *buffer = malloc(bytes);
    if (buffer == NULL) {
        return OAK_ENOMEM;
    }
    int error = 0;
    for (size_t done = 0; error == 0 && bytes - done >= WAL__ALIGN;) {
        bool none = false;
        if (s->file == NULL) {
            error = segment_begin(wal, &none, e);
        }
        if (error == 0 && none) {
            s->seq = 0;
            wal->stats.scrubs++;
            break;
        }
        size_t used = 0;
        if (error == 0) {
            error = frame_read(wal, buffer, bytes - done, &used, e);
        }
        done += used;
        if (error == 0 && s->at >= s->end) {
            forget(wal);
        }
    }
    free(buffer);
    if (error != 0) {
        forget(wal);
    }
    return error;
}

void wal__scrub_end(struct oak_wal *wal)
{
    forget(wal);
}
