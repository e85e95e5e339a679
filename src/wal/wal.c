/* SPDX-License-Identifier: Apache-2.0 */
/* wal.c: the door: open, append, commit, release.
 *
 * Happy path   open recovers; append encodes into the batch; commit writes and syncs it
 * Can fail     as wal.h says; a poisoned log only ever answers OAK_EFATAL
 * Invariants   what `next` says of a group is what `durable` will say after the commit a record
 *              that was accepted fits a new segment behind what that carries
 * Format       docs/internals/wal-format.md; record.c draws it
 * Thread       the log writer's, after open
 */
#include "wal/internal.h"

#include "base/zoo.h"

#include <stdlib.h>

static int options_check(const struct oak_wal_options *o, struct oak_errbuf *e)
{
    if (o->dir == NULL || o->dir[0] == '\0' || strlen(o->dir) > WAL__DIR_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "the log's directory has no name, or one over %u bytes",
                        WAL__DIR_BYTES_MAX);
    }
    if (o->meta.size > WAL__META_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "%.300s: the node's identity takes over %u bytes", o->dir,
                        WAL__META_BYTES_MAX);
    }
    if (o->segment_bytes % WAL__SEGMENT_BYTES_MIN != 0 ||
        o->segment_bytes > WAL__SEGMENT_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "%.300s: segments must be a multiple of %u bytes, up to %u",
                        o->dir, WAL__SEGMENT_BYTES_MIN, WAL__SEGMENT_BYTES_MAX);
    }
    return 0;
}

static struct oak_wal *wal_new(const struct oak_wal_options *o)
{
    struct oak_wal *wal = calloc(1, sizeof(*wal));
    if (wal == NULL) {
        return NULL;
    }
    wal->disk = o->disk;
    wal->log = o->log;
    memcpy(wal->dir, o->dir, strlen(o->dir) + 1);
    if (o->meta.size > 0) {
        memcpy(wal->meta, o->meta.data, o->meta.size);
    }
    wal->meta_size = o->meta.size;
    wal->segment_bytes = o->segment_bytes != 0 ? o->segment_bytes : OAK_WAL_SEGMENT_BYTES;
    wal->spares_wanted = o->spare_segments_max != 0 ? o->spare_segments_max : 2;
    wal->spares_wanted = OAK_MIN(wal->spares_wanted, WAL__SPARES_MAX);
    wal->no_sync = o->no_sync;
    wal->applied = o->applied;
    wal->user = o->user;
    wal->pending_hard_only = true;
    if (oak_buf_reserve(&wal->pending, WAL__ALIGN) != 0) {
        free(wal);
        return NULL;
    }
    wal->pending.size = WAL__FRAME_HEADER;
    return wal;
}

/* The directory that holds the log's: its entry for the log's must be durable too. */
static void parent_path(const char *dir, char out[WAL__DIR_BYTES_MAX + 1])
{
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/') {
        end--;
    }
    while (end > 0 && dir[end - 1] != '/') {
        end--;
    }
    while (end > 1 && dir[end - 1] == '/') {
        end--;
    }
    OAK_ASSERT_LE(end, WAL__DIR_BYTES_MAX);
    memcpy(out, dir, end);
    out[end] = '\0';
    if (end == 0) {
        out[0] = '.';
        out[1] = '\0';
    }
}

static int directory_make(struct oak_wal *wal, struct oak_errbuf *e)
{
    char parent[WAL__DIR_BYTES_MAX + 2];
    int error = wal->disk->make_dir(wal->disk->user, wal->dir);
    if (error == 0 && !wal->no_sync) {
        parent_path(wal->dir, parent);
        error = wal->disk->sync_dir(wal->disk->user, parent);
    }
    return error == 0
               ? 0
               : oak_fail(e, error, "%.300s: can't be made: %s", wal->dir, oak_error_text(error));
}

int oak_wal_open(const struct oak_wal_options *options, struct oak_wal **out, struct oak_errbuf *e)
{
    OAK_ASSERT(options != NULL && options->disk != NULL);
    *out = NULL;
    int error = options_check(options, e);
    if (error != 0) {
        return error;
    }
    struct oak_wal *wal = wal_new(options);
    if (wal == NULL) {
        return oak_fail(e, OAK_ENOMEM, "%.300s: no memory for the log", options->dir);
    }
    error = directory_make(wal, e);
    error = error != 0 ? error : wal__recover(wal, e);
    if (error == 0 && wal__recovered_make(wal) != 0) {
        error = oak_fail(e, OAK_ENOMEM, "%.300s: no memory for what was recovered", wal->dir);
    }
    if (error != 0) {
        oak_wal_close(wal);
        return error;
    }
    if (wal->no_sync) {
        oak_log(wal->log, OAK_LOG_WARN,
                "wal %s: nothing is synced: a power failure loses or damages the log", wal->dir);
    }
    oak_log(wal->log, OAK_LOG_INFO,
            "wal %s: %s, %zu segments, %zu groups, next batch %llu, %llu bytes of a torn end cut",
            wal->dir, wal->stats.created ? "made" : "opened", wal->chain_count, wal->group_count,
            (unsigned long long)wal->batch, (unsigned long long)wal->stats.cut_bytes);
    *out = wal;
    return 0;
}

void oak_wal_close(struct oak_wal *wal)
{
    if (wal == NULL) {
        return;
    }
    oak_wal_recovered_drop(wal);
    wal__scrub_end(wal);
    if (wal->file != NULL) {
        wal->disk->close(wal->disk->user, wal->file);
    }
    for (size_t i = 0; i < wal->chain_count; i++) {
        free(wal->chain[i].marks);
    }
    free(wal->chain);
    free(wal->groups);
    oak_buf_fini(&wal->pending);
    free(wal);
}

const struct oak_wal_group *oak_wal_recovered(const struct oak_wal *wal, size_t *count)
{
    OAK_ASSERT(wal != NULL);
    *count = wal->recovered_count;
    return wal->recovered;
}

void oak_wal_recovered_drop(struct oak_wal *wal)
{
    OAK_ASSERT(wal != NULL);
    for (size_t i = 0; i < wal->group_count; i++) {
        wal__entries_fini(&wal->groups[i].entries);
    }
    free(wal->recovered);
    wal->recovered = NULL;
    wal->recovered_count = 0;
}

/* What a new segment must have room for, with one more group or not, before a record of `size`. */
static bool record_fits(const struct oak_wal *wal, bool group_is_new, size_t size)
{
    const struct wal__record group = {.type = WAL__TYPE_GROUP};
    size_t carry = wal__carry_size(wal) + (group_is_new ? wal__record_size(&group) : 0);
    size_t largest = OAK_MAX(size, wal->pending_record_max);
    return WAL__SEGMENT_HEADER + WAL__FRAME_HEADER + carry + largest <= wal->segment_bytes;
}

int oak_wal_append(struct oak_wal *wal, const struct oak_wal_record *record)
{
    OAK_ASSERT(wal != NULL && record != NULL);
    if (wal->poisoned) {
        return OAK_EFATAL;
    }
    if (record->data.size > OAK_WAL_RECORD_BYTES_MAX - WAL__RECORD_HEADER) {
        return OAK_ELIMIT;
    }
    struct wal__record r = {
        .type = (uint8_t)record->type,
        .kind = record->kind,
        .keep_log = record->keep_log,
        .group = record->group,
        .index = record->index,
        .term = record->term,
        .vote = record->vote,
        .commit = record->commit,
        .data = record->data,
    };
    const struct wal__state empty = {0};
    struct wal__group *g = wal__group_find(wal, r.group);
    int error = wal__state_check(g == NULL ? &empty : &g->next, &r);
    if (error != 0) {
        return error;
    }
    if (r.type == OAK_WAL_HARD_STATE) {
        r.kind = g == NULL ? 0 : (uint8_t)g->next.in_doubt;
    }
    if (wal->pending_records == 0 && wal__repeats_put(wal) != 0) {
        return OAK_ENOMEM;
    }
    size_t size = wal__record_size(&r);
    if (!record_fits(wal, g == NULL, size) || size > OAK_WAL_BATCH_BYTES_MAX - wal->pending.size) {
        return OAK_ELIMIT;
    }
    /* Memory first: a group is only made for a record that follows. */
    error = oak_buf_reserve(&wal->pending, size);
    error = error != 0 ? error : wal__group_get(wal, r.group, &g);
    error = error != 0 ? error : wal__record_put(&wal->pending, &r);
    if (error != 0) {
        return error;
    }
    wal__state_apply(&g->next, &r);
    wal->pending_records++;
    wal->pending_record_max = OAK_MAX(wal->pending_record_max, size);
    wal->pending_hard_only = wal->pending_hard_only && r.type == OAK_WAL_HARD_STATE;
    return 0;
}

int oak_wal_commit(struct oak_wal *wal)
{
    OAK_ASSERT(wal != NULL);
    if (wal->poisoned) {
        return OAK_EFATAL;
    }
    if (wal->pending_records == 0) {
        return 0;
    }
    if (OAK_BUG(wal_skips_hard_state) && wal->pending_hard_only) {
        wal->pending.size = WAL__FRAME_HEADER;
        wal->pending_records = 0;
        wal->pending_record_max = 0;
        return 0;
    }
    int error = wal__batch_write(wal);
    wal->stats.commits += error == 0;
    return error;
}

int oak_wal_release(struct oak_wal *wal, uint64_t group, uint64_t index)
{
    OAK_ASSERT(wal != NULL);
    if (wal->poisoned) {
        return OAK_EFATAL;
    }
    struct wal__group *g = wal__group_find(wal, group);
    if (g != NULL && index > g->released) {
        /* Never beyond what is durable: an index can be used again after a truncation. */
        g->released = OAK_MIN(index, OAK_MAX(g->durable.last, g->durable.snapshot_index));
    }
    return wal__trim(wal);
}

int oak_wal_prepare(struct oak_wal *wal)
{
    OAK_ASSERT(wal != NULL);
    if (wal->poisoned) {
        return OAK_EFATAL;
    }
    int error = 0;
    if (wal->pending_records == 0 && !wal->proven) {
        error = wal__repeats_put(wal);
        error = error != 0 ? error : wal__batch_write(wal);
    }
    error = error != 0 ? error : wal__trim(wal);
    if (error == 0 && wal->spare_count == 0 && wal->current + 1 == wal->chain_count) {
        error = wal__file_create(wal, WAL__SPARE, wal->spare_next, oak_bytes(NULL, 0));
        if (error == 0) {
            wal->spares[wal->spare_count++] = wal->spare_next++;
        } else if (error != OAK_ENOSPC && error != OAK_ENOMEM) {
            error = wal__poison(wal, "making a spare segment", error);
        }
    }
    return error;
}

void oak_wal_stats(const struct oak_wal *wal, struct oak_wal_stats *out)
{
    OAK_ASSERT(wal != NULL && out != NULL);
    *out = wal->stats;
    out->segments = wal->chain_count;
}
