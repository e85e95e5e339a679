/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c: the files: made in full, chained by name, recycled.
 *
 *     <16 hex digits>.wal    a segment of the chain; the digits are its sequence number
 *     <16 hex digits>.spare  ready to be chained; the digits mean nothing
 *     <16 hex digits>.tmp    being made; removed by the next open
 *     <16 hex digits>.damaged  was in the chain, and is set aside for whoever wants to look
 *
 * A segment gets into the chain by a rename that is synced before anything is written to it, one at
 * a time, so that a crash leaves no gap. What it held before is not wiped: no checksum of it holds
 * under the new sequence number. Files leave the chain without a sync: a durable frame has already
 * said that they are not needed, and one that comes back after a crash changes nothing.
 *
 * Can fail     OAK_ENOSPC and OAK_ENOMEM before anything of a batch is written; the rest poisons
 * Thread       the log's owner
 */
#include "wal/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ZEROS_BYTES (256 * OAK_KIB)

static const char *const suffixes[WAL__KINDS] = {".wal", ".spare", ".tmp", ".damaged"};

void wal__path(const struct oak_wal *wal, char out[WAL__PATH_BYTES], enum wal__kind kind,
               uint64_t id)
{
    OAK_ASSERT_LT((size_t)kind, OAK_COUNT_OF(suffixes));
    int size = snprintf(out, WAL__PATH_BYTES, "%s/%016" PRIx64 "%s", wal->dir, id, suffixes[kind]);
    OAK_ASSERT(size > 0 && (size_t)size < WAL__PATH_BYTES);
}

bool wal__name_parse(const char *name, enum wal__kind *kind, uint64_t *id)
{
    size_t length = strlen(name);
    if (length < 16) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = name[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(suffixes); i++) {
        if (strcmp(name + 16, suffixes[i]) == 0) {
            *kind = (enum wal__kind)i;
            *id = value;
            return true;
        }
    }
    return false;
}

int wal__poison(struct oak_wal *wal, const char *what, int error)
{
    OAK_ASSERT_NE(error, 0);
    wal->poisoned = true;
    oak_log(wal->log, OAK_LOG_ERROR,
            "wal %s: %s failed (%s): what is on disk is unknown, the process must restart",
            wal->dir, what, oak_error_text(error));
    return OAK_EIO;
}

int wal__sync_file(const struct oak_wal *wal, struct oak_file *file)
{
    OAK_ASSERT(file != NULL);
    return wal->no_sync ? 0 : wal->disk->sync(wal->disk->user, file);
}

int wal__sync_dir(const struct oak_wal *wal)
{
    return wal->no_sync ? 0 : wal->disk->sync_dir(wal->disk->user, wal->dir);
}

static int zeros_write(struct oak_wal *wal, struct oak_file *file, struct oak_bytes first)
{
    OAK_ASSERT_LE(first.size, wal->segment_bytes);
    const struct oak_disk *disk = wal->disk;
    uint8_t *zeros = calloc(1, ZEROS_BYTES);
    if (zeros == NULL) {
        return OAK_ENOMEM;
    }
    int error = first.size == 0 ? 0 : disk->write(disk->user, file, 0, first.data, first.size);
    for (uint64_t at = first.size; error == 0 && at < wal->segment_bytes;) {
        size_t size = (size_t)OAK_MIN((uint64_t)ZEROS_BYTES, wal->segment_bytes - at);
        error = disk->write(disk->user, file, at, zeros, size);
        at += size;
    }
    free(zeros);
    return error != 0 ? error : wal__sync_file(wal, file);
}

int wal__file_create(struct oak_wal *wal, enum wal__kind kind, uint64_t id, struct oak_bytes first)
{
    OAK_ASSERT_NE(kind, WAL__TEMP);
    const struct oak_disk *disk = wal->disk;
    char temp[WAL__PATH_BYTES];
    char path[WAL__PATH_BYTES];
    wal__path(wal, temp, WAL__TEMP, id);
    wal__path(wal, path, kind, id);
    struct oak_file *file = NULL;
    int error = disk->open(disk->user, temp, OAK_FILE_CREATE, &file);
    if (error == OAK_EEXIST) {
        error = disk->remove(disk->user, temp);
        error = error != 0 ? error : disk->open(disk->user, temp, OAK_FILE_CREATE, &file);
    }
    if (error != 0) {
        return error;
    }
    error = zeros_write(wal, file, first);
    disk->close(disk->user, file);
    error = error != 0 ? error : disk->rename(disk->user, temp, path);
    if (error != 0) {
        (void)disk->remove(disk->user, temp); /* else the next open removes it */
        return error;
    }
    wal->stats.bytes += wal->segment_bytes;
    return 0;
}

int wal__chain_push(struct oak_wal *wal, uint64_t seq)
{
    OAK_ASSERT(wal->chain_count == 0 || wal->chain[wal->chain_count - 1].seq + 1 == seq);
    if (wal->chain_count == wal->chain_capacity) {
        size_t capacity = OAK_MAX((size_t)8, wal->chain_capacity * 2);
        struct wal__segment *chain = realloc(wal->chain, capacity * sizeof(*chain));
        if (chain == NULL) {
            return OAK_ENOMEM;
        }
        wal->chain = chain;
        wal->chain_capacity = capacity;
    }
    wal->chain[wal->chain_count++] = (struct wal__segment){.seq = seq};
    return 0;
}

static void chain_shift(struct oak_wal *wal)
{
    OAK_ASSERT_GT(wal->current, 0);
    free(wal->chain[0].marks);
    wal->chain_count--;
    wal->current--;
    memmove(wal->chain, wal->chain + 1, wal->chain_count * sizeof(*wal->chain));
}

/* The oldest segment is needed by nobody, and a durable frame says so. */
static bool oldest_is_free(const struct oak_wal *wal)
{
    OAK_ASSERT_GT(wal->chain_count, 0);
    return wal->chain[0].seq < wal->claimed_first && wal->current > 0;
}

/* One more blank segment behind the chain: a spare, the oldest, or a new file, in this order. */
static int blank_add(struct oak_wal *wal)
{
    const struct oak_disk *disk = wal->disk;
    char from[WAL__PATH_BYTES];
    char to[WAL__PATH_BYTES];
    uint64_t seq = wal->chain[wal->chain_count - 1].seq + 1;
    int error = wal__chain_push(wal, seq); /* first: it can't fail once the name has changed */
    if (error != 0) {
        return error;
    }
    bool recycles = wal->spare_count > 0 || oldest_is_free(wal);
    wal__path(wal, to, WAL__CHAIN, seq);
    if (wal->spare_count > 0) {
        wal__path(wal, from, WAL__SPARE, wal->spares[wal->spare_count - 1]);
        error = disk->rename(disk->user, from, to);
        wal->spare_count -= error == 0;
    } else if (recycles) {
        wal__path(wal, from, WAL__CHAIN, wal->chain[0].seq);
        error = disk->rename(disk->user, from, to);
        if (error == 0) {
            chain_shift(wal);
        }
    } else {
        error = wal__file_create(wal, WAL__CHAIN, seq, oak_bytes(NULL, 0));
    }
    if (error != 0) {
        wal->chain_count--;
        return error == OAK_ENOSPC || error == OAK_ENOMEM
                   ? error
                   : wal__poison(wal, "making a segment", error);
    }
    error = wal__sync_dir(wal);
    return error != 0 ? wal__poison(wal, "syncing the directory", error) : 0;
}

int wal__chain_extend(struct oak_wal *wal, size_t count)
{
    OAK_ASSERT(!wal->poisoned);
    while (wal->chain_count - 1 - wal->current < count) {
        int error = blank_add(wal);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int wal__trim(struct oak_wal *wal)
{
    OAK_ASSERT(!wal->poisoned);
    const struct oak_disk *disk = wal->disk;
    while (oldest_is_free(wal)) {
        char from[WAL__PATH_BYTES];
        char to[WAL__PATH_BYTES];
        int error;
        wal__path(wal, from, WAL__CHAIN, wal->chain[0].seq);
        if (wal->spare_count < wal->spares_wanted) {
            wal__path(wal, to, WAL__SPARE, wal->spare_next);
            error = disk->rename(disk->user, from, to);
            if (error == 0) {
                wal->spares[wal->spare_count++] = wal->spare_next++;
            }
        } else {
            error = disk->remove(disk->user, from);
        }
        if (error == OAK_ENOMEM) {
            return error;
        }
        if (error != 0) {
            return wal__poison(wal, "recycling a segment", error);
        }
        chain_shift(wal);
    }
    return 0;
}
