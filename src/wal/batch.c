/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c: from gathered records to durable bytes.
 *
 * Happy path   1 the batch fits behind the last one: complete its frame, one write, one sync
 *              2 it does not: it starts in a new segment, and takes as many as it needs; each
 *                starts with its header, the node's identity and the state of every group
 * Order        a segment's part is synced before the next segment is written, so that anything
 *              valid in a later segment proves the earlier ones whole
 * Can fail     OAK_ENOSPC, OAK_ENOMEM: nothing was written, the batch stays. Any failure of a
 *              write or a sync poisons.
 * Invariants   what a frame is written over was never acknowledged; one batch at most is not
 *              durable
 * Thread       the log's owner
 */
#include "wal/internal.h"

#include "base/zoo.h"

#include <stdlib.h>

/* A part of a batch that needs new segments: one segment header and one frame in `bytes`. */
struct part {
    size_t at;
    size_t size;
    size_t records_at; /* of the first new record, from the frame's start */
    size_t records_end;
    uint32_t salt;
    struct oak_file *file;
};

struct split {
    struct oak_buf bytes;
    struct part *parts;
    size_t part_count;
    size_t part_capacity;
    struct wal__group *groups; /* as of the record being placed */
    uint32_t chain;
};

static uint32_t align_up(size_t size)
{
    OAK_ASSERT_LE(size, WAL__SEGMENT_BYTES_MAX);
    return (uint32_t)((size + WAL__ALIGN - 1) / WAL__ALIGN * WAL__ALIGN);
}

size_t wal__carry_size(const struct oak_wal *wal)
{
    const struct wal__record meta = {.type = OAK_WAL_META, .data = {NULL, wal->meta_size}};
    const struct wal__record group = {.type = WAL__TYPE_GROUP};
    return wal__record_size(&meta) + wal->group_count * wal__record_size(&group);
}

int wal__carry_put(struct oak_buf *out, struct oak_bytes meta, const struct wal__group *groups,
                   size_t count)
{
    OAK_ASSERT(groups != NULL || count == 0);
    struct wal__record r = {.type = OAK_WAL_META, .data = meta};
    int error = wal__record_put(out, &r);
    for (size_t i = 0; error == 0 && i < count; i++) {
        const struct wal__state *s = &groups[i].durable;
        r = (struct wal__record){
            .type = WAL__TYPE_GROUP,
            .group = groups[i].id,
            .index = s->last,
            .term = s->term,
            .vote = OAK_BUG(wal_vote_not_carried) ? 0 : s->vote,
            .commit = s->commit,
            .snapshot_index = s->snapshot_index,
            .snapshot_term = s->snapshot_term,
            .last_term = s->last_term,
            .kind = (uint8_t)s->in_doubt,
        };
        error = wal__record_put(out, &r);
    }
    return error;
}

int wal__repeats_put(struct oak_wal *wal)
{
    OAK_ASSERT_EQ(wal->pending_records, 0u);
    if (wal->pending.size > WAL__FRAME_HEADER) {
        return 0; /* the batch was tried before, for want of space or memory */
    }
    for (size_t i = 0; i < wal->group_count; i++) {
        const struct wal__group *g = &wal->groups[i];
        if (g->changed == 0 || wal->batch - g->changed > WAL__REPEATED_BATCHES) {
            continue;
        }
        const struct wal__record r = {
            .type = OAK_WAL_HARD_STATE,
            .kind = (uint8_t)g->durable.in_doubt,
            .group = g->id,
            .term = g->durable.term,
            .vote = g->durable.vote,
            .commit = g->durable.commit,
        };
        int error = wal__record_put(&wal->pending, &r);
        if (error != 0) {
            wal->pending.size = WAL__FRAME_HEADER;
            return error;
        }
        wal->pending_record_max = OAK_MAX(wal->pending_record_max, wal__record_size(&r));
    }
    return 0;
}

/* Open a part: room for both headers, and the carried state. */
static int part_open(struct oak_wal *wal, struct split *s)
{
    if (s->part_count == s->part_capacity) {
        size_t capacity = OAK_MAX((size_t)4, s->part_capacity * 2);
        struct part *parts = realloc(s->parts, capacity * sizeof(*parts));
        if (parts == NULL) {
            return OAK_ENOMEM;
        }
        s->parts = parts;
        s->part_capacity = capacity;
    }
    struct part *p = &s->parts[s->part_count++];
    *p = (struct part){.at = s->bytes.size};
    int error = oak_buf_reserve(&s->bytes, WAL__SEGMENT_HEADER + WAL__FRAME_HEADER);
    if (error != 0) {
        return error;
    }
    memset(s->bytes.data + p->at, 0, WAL__SEGMENT_HEADER + WAL__FRAME_HEADER);
    s->bytes.size += WAL__SEGMENT_HEADER + WAL__FRAME_HEADER;
    error = wal__carry_put(&s->bytes, oak_bytes(wal->meta, wal->meta_size), s->groups,
                           wal->group_count);
    p->records_at = s->bytes.size - p->at - WAL__SEGMENT_HEADER;
    return error;
}

/* Close the open part: padding, frame, segment header. */
static int part_close(struct oak_wal *wal, struct split *s, bool last)
{
    OAK_ASSERT_GT(s->part_count, 0);
    struct part *p = &s->parts[s->part_count - 1];
    size_t used = s->bytes.size - p->at - WAL__SEGMENT_HEADER - WAL__FRAME_HEADER;
    uint32_t size = align_up(WAL__FRAME_HEADER + used);
    size_t padding = size - WAL__FRAME_HEADER - used;
    int error = oak_buf_reserve(&s->bytes, padding);
    if (error != 0) {
        return error;
    }
    s->bytes.size += padding;
    p->size = WAL__SEGMENT_HEADER + size;
    p->records_end = WAL__FRAME_HEADER + used;
    p->salt = s->chain;
    OAK_ASSERT_LE(p->size, wal->segment_bytes);

    size_t number = s->part_count - 1;
    uint64_t seq = wal->chain[wal->current].seq + s->part_count;
    struct wal__frame f = {
        .batch = wal->batch,
        .first_seq = wal__first_needed(wal),
        .size = size,
        .used = (uint32_t)used,
        .part = (uint32_t)number,
        .last = last,
        .salt = s->chain,
        .chain = s->chain,
        .repeats = number == 0 ? WAL__REPEATED_BATCHES : 0,
    };
    const struct wal__segment_header h = {
        .seq = seq,
        .segment_bytes = wal->segment_bytes,
        .prev_end = number == 0 ? wal->offset : s->parts[number - 1].size,
        .batch = wal->batch,
        .part = (uint32_t)number,
        .salt = s->chain,
    };
    wal__segment_header_put(s->bytes.data + p->at, &h);
    wal__frame_put(s->bytes.data + p->at + WAL__SEGMENT_HEADER, seq, WAL__SEGMENT_HEADER, &f);
    s->chain = f.checksum;
    return 0;
}

/* Lay the pending records out over new segments, in memory. */
static int split_make(struct oak_wal *wal, struct split *s)
{
    s->chain = wal->chain_value;
    if (wal->group_count > 0) {
        s->groups = malloc(wal->group_count * sizeof(*s->groups));
        if (s->groups == NULL) {
            return OAK_ENOMEM;
        }
        memcpy(s->groups, wal->groups, wal->group_count * sizeof(*s->groups));
    }
    int error = part_open(wal, s);
    struct oak_reader in = oak_reader(
        oak_bytes(wal->pending.data + WAL__FRAME_HEADER, wal->pending.size - WAL__FRAME_HEADER));
    while (error == 0 && oak_reader_left(&in) > 0) {
        const uint8_t *start = in.at;
        struct wal__record r;
        bool ok = wal__record_get(&in, &r);
        OAK_ASSERT(ok);
        size_t size = (size_t)(in.at - start);
        const struct part *p = &s->parts[s->part_count - 1];
        if (s->bytes.size - p->at + size > wal->segment_bytes) {
            error = part_close(wal, s, false);
            error = error != 0 ? error : part_open(wal, s);
        }
        error = error != 0 ? error : oak_buf_append(&s->bytes, start, size);
        struct wal__group *g = wal__group_find(wal, r.group);
        wal__state_apply(&s->groups[g - wal->groups].durable, &r);
    }
    return error != 0 ? error : part_close(wal, s, true);
}

/* Take the records of a durable part into the state. */
static void part_note(struct oak_wal *wal, size_t at, struct oak_bytes records)
{
    struct oak_reader in = oak_reader(records);
    while (oak_reader_left(&in) > 0) {
        struct wal__record r;
        bool ok = wal__record_get(&in, &r);
        OAK_ASSERT(ok);
        wal__note(wal, at, &r);
    }
}

/* Everything that can fail without harm, before the first byte is written: the segments, their
 * files and their marks. */
static int split_ready(struct oak_wal *wal, struct split *s)
{
    const struct oak_disk *disk = wal->disk;
    int error = wal__chain_extend(wal, s->part_count);
    for (size_t i = 0; error == 0 && i < s->part_count; i++) {
        struct wal__segment *segment = &wal->chain[wal->current + 1 + i];
        char path[WAL__PATH_BYTES];
        wal__path(wal, path, WAL__CHAIN, segment->seq);
        error = wal__marks_reserve(wal, segment);
        if (error == 0) {
            error = disk->open(disk->user, path, OAK_FILE_WRITE, &s->parts[i].file);
            if (error != 0 && error != OAK_ENOMEM) {
                error = wal__poison(wal, "opening a segment", error);
            }
        }
    }
    return error;
}

/* Write and sync one part into the next blank segment, which becomes the current one. */
static int part_write(struct oak_wal *wal, const struct split *s, struct part *p)
{
    const struct oak_disk *disk = wal->disk;
    const uint8_t *bytes = s->bytes.data + p->at;
    int error = disk->write(disk->user, p->file, 0, bytes, p->size);
    error = error != 0 ? error : wal__sync_file(wal, p->file);
    if (error != 0) {
        return wal__poison(wal, "writing a batch", error);
    }
    disk->close(disk->user, wal->file);
    wal->file = p->file;
    p->file = NULL;
    wal->current++;
    wal->offset = p->size;
    wal->salt = p->salt;
    wal->stats.bytes += p->size;
    const uint8_t *frame = bytes + WAL__SEGMENT_HEADER;
    part_note(wal, wal->current, oak_bytes(frame + p->records_at, p->records_end - p->records_at));
    return 0;
}

static int split_write(struct oak_wal *wal)
{
    struct split s = {0};
    int error = split_make(wal, &s);
    error = error != 0 ? error : split_ready(wal, &s);
    for (size_t i = 0; error == 0 && i < s.part_count; i++) {
        error = part_write(wal, &s, &s.parts[i]);
    }
    if (error == 0) {
        wal->chain_value = s.chain;
    }
    for (size_t i = 0; i < s.part_count; i++) {
        if (s.parts[i].file != NULL) {
            wal->disk->close(wal->disk->user, s.parts[i].file);
        }
    }
    free(s.groups);
    free(s.parts);
    oak_buf_fini(&s.bytes);
    return error;
}

static int append_write(struct oak_wal *wal, uint32_t size, uint64_t first_needed)
{
    size_t used = wal->pending.size - WAL__FRAME_HEADER;
    int error = oak_buf_reserve(&wal->pending, size - wal->pending.size);
    error = error != 0 ? error : wal__marks_reserve(wal, &wal->chain[wal->current]);
    if (error != 0) {
        return error;
    }
    struct wal__frame f = {
        .batch = wal->batch,
        .first_seq = first_needed,
        .size = size,
        .used = (uint32_t)used,
        .last = true,
        .salt = wal->salt,
        .chain = wal->chain_value,
        .repeats = WAL__REPEATED_BATCHES,
    };
    uint8_t *bytes = wal->pending.data;
    const struct oak_disk *disk = wal->disk;
    wal__frame_put(bytes, wal->chain[wal->current].seq, wal->offset, &f);
    error = disk->write(disk->user, wal->file, wal->offset, bytes, size);
    if (error == 0 && !OAK_BUG(wal_batch_not_synced)) {
        error = wal__sync_file(wal, wal->file);
    }
    if (error != 0) {
        return wal__poison(wal, "writing a batch", error);
    }
    wal->offset += size;
    wal->stats.bytes += size;
    wal->chain_value = f.checksum;
    part_note(wal, wal->current, oak_bytes(bytes + WAL__FRAME_HEADER, used));
    return 0;
}

int wal__batch_write(struct oak_wal *wal)
{
    OAK_ASSERT(!wal->poisoned);
    OAK_ASSERT_GE(wal->pending.size, WAL__FRAME_HEADER);
    /* Computed before the batch is taken in: the claim then errs on the side of keeping. */
    uint64_t first_needed = wal__first_needed(wal);
    bool empty = wal->pending_records == 0;
    int error;
    if (wal->pending.size <= wal->segment_bytes - wal->offset) {
        error = append_write(wal, align_up(wal->pending.size), first_needed);
    } else {
        error = split_write(wal);
    }
    if (error != 0) {
        return error;
    }
    wal->batch++;
    wal->claimed_first = first_needed;
    wal->proven = empty;
    wal->pending.size = WAL__FRAME_HEADER;
    wal->pending_records = 0;
    wal->pending_record_max = 0;
    wal->pending_hard_only = true;
    return 0;
}
