/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c: from files to state.
 *
 * Happy path   1 list the files; the chain is the unbroken run up to the highest number
 *              2 read frames in order; a batch counts when its last part has been read, whole
 *              3 at the first place without a whole frame: the next segment goes on, or the log
 *                ends
 *              4 judge that place (scan.c): damage refuses or is repaired (repair.c), a torn end
 *                is cut
 *              5 sync what was read, so that what the caller is told is durable
 * Can fail     OAK_ECORRUPT, OAK_EINVAL (another node's log), OAK_EIO, OAK_ENOMEM, OAK_ENOSPC
 * Invariants   nothing is written before everything was read and judged
 * Thread       start-up
 */
#include "wal/internal.h"

#include <inttypes.h>
#include <stdlib.h>

struct found {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};

struct files {
    struct found kinds[WAL__KINDS];
    int error;
};

static void file_found(void *arg, const char *name)
{
    struct files *files = arg;
    enum wal__kind kind;
    uint64_t id;
    if (files->error != 0 || !wal__name_parse(name, &kind, &id)) {
        return;
    }
    struct found *f = &files->kinds[kind];
    if (f->count == f->capacity) {
        size_t capacity = OAK_MAX((size_t)16, f->capacity * 2);
        uint64_t *ids = realloc(f->ids, capacity * sizeof(*ids));
        if (ids == NULL) {
            files->error = OAK_ENOMEM;
            return;
        }
        f->ids = ids;
        f->capacity = capacity;
    }
    f->ids[f->count++] = id;
}

static int id_order(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static int files_list(struct oak_wal *wal, struct files *files, struct oak_errbuf *e)
{
    int error = wal->disk->list(wal->disk->user, wal->dir, file_found, files);
    error = error != 0 ? error : files->error;
    if (error != 0) {
        return oak_fail(e, error, "%.300s: can't be listed: %s", wal->dir, oak_error_text(error));
    }
    for (size_t i = 0; i < OAK_COUNT_OF(files->kinds); i++) {
        if (files->kinds[i].count > 1) {
            qsort(files->kinds[i].ids, files->kinds[i].count, sizeof(uint64_t), id_order);
        }
    }
    return 0;
}

/* A segment starts with the state of `g`. */
static int carried_take(struct wal__walker *w, struct wal__group *g, uint64_t seq,
                        const struct wal__record *r)
{
    struct wal__state carried = {0};
    wal__state_apply(&carried, r);
    if (g->on_disk && !g->unsure && memcmp(&carried, &g->durable, sizeof(carried)) != 0) {
        return wal__damage(w->wal, seq, 0,
                           "a segment starts with a state that the segments before it don't lead "
                           "to",
                           w->e);
    }
    if (g->unsure) {
        /* What was read since the hole is part of it; what was not has its end here. */
        const struct wal__record mark = {
            .type = OAK_WAL_SNAPSHOT, .keep_log = true, .index = carried.snapshot_index};
        int error = wal__entries_note(&g->entries, &carried, &mark);
        OAK_ASSERT_EQ(error, 0);
        const struct wal__entries *entries = &g->entries;
        if (entries->head < entries->count &&
            entries->items[entries->count - 1].index != carried.last) {
            return wal__damage(w->wal, seq, 0, "a segment starts with another end of the log",
                               w->e);
        }
        g->known_from = g->known_from == 0 ? carried.last + 1 : g->known_from;
        g->unsure = false;
    }
    return 0;
}

/* A record behind a hole says where the log stands, whatever the hole held. */
static void known_note(struct wal__group *g, const struct wal__record *r)
{
    bool entry = r->type == OAK_WAL_ENTRY;
    bool reset =
        (r->type == OAK_WAL_SNAPSHOT && !r->keep_log) || (r->type == OAK_WAL_DOUBT && r->kind == 1);
    if (entry && g->unsure && g->known_from == 0 && r->index > 0) {
        g->durable.last = r->index - 1;
        g->durable.last_term = 0;
    }
    if (entry || reset) {
        uint64_t from = entry ? r->index : r->index + 1;
        g->known_from = g->known_from == 0 ? from : OAK_MIN(g->known_from, from);
    }
}

/* Each batch says again what few batches before it said of terms and votes. */
static bool repeated(const struct wal__group *g, const struct wal__record *r)
{
    return r->type == OAK_WAL_HARD_STATE && r->term == g->durable.term &&
           r->vote == g->durable.vote && r->commit == g->durable.commit &&
           r->kind == g->durable.in_doubt;
}

/* Take the records of one whole part into the state. */
static int part_take(struct wal__walker *w, size_t at, struct oak_bytes records)
{
    struct oak_wal *wal = w->wal;
    uint64_t seq = wal->chain[at].seq;
    struct oak_reader in = oak_reader(records);
    while (oak_reader_left(&in) > 0) {
        struct wal__record r;
        if (!wal__record_get(&in, &r)) {
            return wal__damage(wal, seq, 0, "a batch holds a malformed record", w->e);
        }
        if (r.type == OAK_WAL_META) {
            if (!oak_bytes_eq(r.data, oak_bytes(wal->meta, wal->meta_size))) {
                return oak_fail(w->e, OAK_EINVAL,
                                "%.300s: this log belongs to another node: start that node with "
                                "it, or this one with its own data directory",
                                wal->dir);
            }
            continue;
        }
        struct wal__group *g;
        int error = wal__group_get(wal, r.group, &g);
        error = error != 0 ? error : wal__marks_reserve(wal, &wal->chain[at]);
        if (error != 0) {
            return oak_fail(w->e, error, "%.300s: %s", wal->dir, oak_error_text(error));
        }
        g->unsure = g->unsure || (w->lossy && !g->on_disk);
        if (r.type == WAL__TYPE_GROUP) {
            error = carried_take(w, g, seq, &r);
            if (error != 0) {
                return error;
            }
        } else {
            w->record_seen = w->record_seen || !repeated(g, &r);
            if (g->unsure || g->known_from != 0) {
                known_note(g, &r);
            }
            if (wal__state_check(&g->durable, &r) != 0) {
                return wal__damage(wal, seq, 0, "a record doesn't follow the ones before", w->e);
            }
            error = wal__entries_note(&g->entries, &g->durable, &r);
            if (error != 0) {
                return oak_fail(w->e, error, "%.300s: %s", wal->dir, oak_error_text(error));
            }
        }
        wal__note(wal, at, &r);
    }
    return 0;
}

/* Keep a part until its batch has ended. */
static int part_hold(struct wal__walker *w, struct oak_bytes records)
{
    uint8_t head[16];
    oak_put_u64(head, w->next.at);
    oak_put_u64(head + 8, records.size);
    int error = oak_buf_append(&w->held, head, sizeof(head));
    return error != 0 ? error : oak_buf_append(&w->held, records.data, records.size);
}

static int held_take(struct wal__walker *w)
{
    struct oak_reader in = oak_reader(oak_buf_bytes(&w->held));
    int error = 0;
    while (error == 0 && oak_reader_left(&in) > 0) {
        size_t at = (size_t)oak_read_u64(&in);
        struct oak_bytes records = oak_read_bytes(&in, (size_t)oak_read_u64(&in));
        OAK_ASSERT(!in.failed);
        error = part_take(w, at, records);
    }
    oak_buf_clear(&w->held);
    return error;
}

/* A whole frame lies where it was expected. */
static int frame_take(struct wal__walker *w, const struct wal__frame *f)
{
    struct wal__place *next = &w->next;
    struct oak_bytes records = oak_bytes(w->bytes + next->offset + WAL__FRAME_HEADER, f->used);
    uint64_t frame = next->offset;
    int error = 0;
    w->wal->batch = next->batch;
    if (next->part == 0) {
        w->record_seen = false;
    }
    if (!f->last) {
        error = part_hold(w, records);
        if (error != 0) {
            return oak_fail(w->e, error, "%.300s: %s", w->wal->dir, oak_error_text(error));
        }
    } else {
        error = held_take(w);
        error = error != 0 ? error : part_take(w, next->at, records);
    }
    if (error != 0) {
        return error;
    }
    next->offset += f->size;
    next->chain = f->checksum;
    next->part = f->last ? 0 : next->part + 1;
    next->batch += f->last;
    if (f->last) {
        w->tail = *next;
        w->tail_frame = frame;
        w->tail_empty = !w->record_seen;
        w->first_seq = f->first_seq;
        w->any = true;
    }
    return 0;
}

/* The next segment, if its header says that it goes on here. */
static int segment_enter(struct wal__walker *w, bool *entered)
{
    struct oak_wal *wal = w->wal;
    *entered = false;
    if (w->next.at + 1 == wal->chain_count) {
        return 0;
    }
    uint64_t seq = wal->chain[w->next.at + 1].seq;
    int error = wal__segment_read(wal, seq, w->bytes, w->e);
    if (error != 0) {
        return error;
    }
    struct wal__segment_header h;
    if (wal__segment_header_get(w->bytes, seq, &h) && h.prev_end == w->next.offset &&
        h.salt == w->next.chain && h.batch == w->next.batch && h.part == w->next.part &&
        h.segment_bytes == wal->segment_bytes) {
        w->next.at++;
        w->next.offset = WAL__SEGMENT_HEADER;
        w->next.salt = h.salt;
        *entered = true;
        return 0;
    }
    return wal__segment_read(wal, wal->chain[w->next.at].seq, w->bytes, w->e);
}

int wal__walk(struct wal__walker *w)
{
    struct oak_wal *wal = w->wal;
    for (;;) {
        const struct wal__place *next = &w->next;
        uint64_t seq = wal->chain[next->at].seq;
        struct wal__frame f;
        /* A part that isn't its batch's last ends its segment. */
        bool goes_on = next->part > 0 && next->offset > WAL__SEGMENT_HEADER;
        int error = 0;
        if (!goes_on && wal__frame_get(w->bytes, wal->segment_bytes, seq, next->offset, &f) &&
            f.batch == next->batch && f.part == next->part && f.chain == next->chain &&
            f.salt == next->salt && wal__frame_whole(w->bytes, seq, next->offset, &f)) {
            error = frame_take(w, &f);
        } else {
            bool entered = false;
            error = segment_enter(w, &entered);
            if (error == 0 && !entered) {
                return 0;
            }
        }
        if (error != 0) {
            return error;
        }
    }
}

/* The first segment's header says where the log starts; it is never blank. */
int wal__walk_start(struct wal__walker *w)
{
    struct oak_wal *wal = w->wal;
    uint64_t seq = wal->chain[0].seq;
    struct wal__segment_header h;
    int error = wal__segment_read(wal, seq, w->bytes, w->e);
    if (error != 0) {
        return error;
    }
    if (!wal__segment_header_get(w->bytes, seq, &h)) {
        return wal__damage(wal, seq, 0, "the first segment's header is damaged", w->e);
    }
    if (h.segment_bytes != wal->segment_bytes) {
        return oak_fail(w->e, OAK_EINVAL,
                        "%.300s: made with segments of %" PRIu64 " bytes, not %" PRIu64, wal->dir,
                        h.segment_bytes, wal->segment_bytes);
    }
    w->next = (struct wal__place){
        .offset = WAL__SEGMENT_HEADER,
        .batch = h.batch,
        .part = h.part,
        .chain = h.salt,
        .salt = h.salt,
    };
    return 0;
}

/* Read all, judge the end, and only then mend it. */
static int log_read(struct wal__walker *w)
{
    struct oak_wal *wal = w->wal;
    int error = wal__walk_start(w);
    error = error != 0 ? error : wal__walk(w);
    if (error != 0) {
        return error;
    }
    if (!w->any) {
        return wal__damage(wal, wal->chain[0].seq, WAL__SEGMENT_HEADER,
                           "the first batch of the log is damaged", w->e);
    }
    struct wal__frame f;
    if (w->next.at == w->tail.at && w->next.offset == w->tail.offset &&
        wal__frame_get(w->bytes, wal->segment_bytes, wal->chain[w->next.at].seq, w->next.offset,
                       &f)) {
        wal->stats.cut_bytes = f.size;
    }
    error = wal__hole_judge(wal, &w->next, w->bytes, w->e);
    if (error != 0) {
        return error;
    }
    if (w->first_seq < wal->chain[0].seq) {
        return wal__damage(wal, wal->chain[0].seq - 1, 0, "this segment is missing", w->e);
    }
    w->judged = true;
    error = wal__tail_mend(wal, &w->tail, w->tail_frame, w->e);
    if (error != 0) {
        return error;
    }
    wal->current = w->tail.at;
    wal->offset = w->tail.offset;
    wal->batch = w->tail.batch;
    wal->chain_value = w->tail.chain;
    wal->salt = w->tail.salt;
    wal->claimed_first = w->first_seq;
    wal->proven = w->tail_empty;
    return 0;
}

/* Segments below a gap were released, and half gone when the process ended; spares beyond the
 * number wanted, and files that were never finished, go too. */
static int leftovers_remove(struct oak_wal *wal, const struct files *files, struct oak_errbuf *e)
{
    const struct oak_disk *disk = wal->disk;
    char path[WAL__PATH_BYTES];
    int error = 0;
    for (size_t kind = 0; kind < OAK_COUNT_OF(files->kinds); kind++) {
        for (size_t i = 0; error == 0 && i < files->kinds[kind].count; i++) {
            uint64_t id = files->kinds[kind].ids[i];
            bool keep = kind == WAL__CHAIN && wal->chain_count > 0 && id >= wal->chain[0].seq;
            keep = keep ||
                   (kind == WAL__DAMAGED && i + OAK_WAL_DAMAGED_MAX >= files->kinds[kind].count);
            if (kind == WAL__SPARE) {
                wal->spare_next = OAK_MAX(wal->spare_next, id + 1);
                keep = wal->spare_count < wal->spares_wanted;
                if (keep) {
                    wal->spares[wal->spare_count++] = id;
                }
            }
            if (!keep) {
                wal__path(wal, path, (enum wal__kind)kind, id);
                error = disk->remove(disk->user, path);
                error = error == OAK_ENOENT ? 0 : error;
            }
        }
    }
    return error == 0
               ? 0
               : oak_fail(e, error, "%.300s: can't be removed: %s", path, oak_error_text(error));
}

/* Spares may be of another size when the segment size has been changed by hand: never trust them.
 */
static int spares_check(struct oak_wal *wal, struct oak_errbuf *e)
{
    const struct oak_disk *disk = wal->disk;
    for (size_t i = 0; i < wal->spare_count;) {
        char path[WAL__PATH_BYTES];
        wal__path(wal, path, WAL__SPARE, wal->spares[i]);
        struct oak_file *file = NULL;
        uint64_t size = 0;
        int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
        if (error == 0) {
            error = disk->size(disk->user, file, &size);
            disk->close(disk->user, file);
        }
        if (error == 0 && size != wal->segment_bytes) {
            error = disk->remove(disk->user, path);
            wal->spares[i] = wal->spares[--wal->spare_count];
        } else {
            i++;
        }
        if (error != 0) {
            return oak_fail(e, error, "%.300s: %s", path, oak_error_text(error));
        }
    }
    return 0;
}

/* A new log: its first segment gets its name when it is whole. */
static int log_create(struct oak_wal *wal, struct oak_errbuf *e)
{
    uint8_t first[2 * WAL__ALIGN] = {0};
    struct oak_buf records = {0};
    int error = wal__carry_put(&records, oak_bytes(wal->meta, wal->meta_size), NULL, 0);
    if (error == 0) {
        OAK_ASSERT_LE(WAL__FRAME_HEADER + records.size, WAL__ALIGN);
        memcpy(first + WAL__SEGMENT_HEADER + WAL__FRAME_HEADER, records.data, records.size);
        uint32_t salt = oak_crc32c(0, records.data, records.size);
        struct wal__frame f = {
            .batch = 1,
            .first_seq = 1,
            .size = WAL__ALIGN,
            .used = (uint32_t)records.size,
            .last = true,
            .salt = salt,
            .chain = salt,
        };
        const struct wal__segment_header h = {
            .seq = 1, .segment_bytes = wal->segment_bytes, .batch = 1, .salt = salt};
        wal__segment_header_put(first, &h);
        wal__frame_put(first + WAL__SEGMENT_HEADER, 1, WAL__SEGMENT_HEADER, &f);
        error = wal__file_create(wal, WAL__CHAIN, 1, oak_bytes(first, sizeof(first)));
    }
    oak_buf_fini(&records);
    wal->stats.created = true;
    return error == 0 ? 0
                      : oak_fail(e, error, "%.300s: the log can't be made: %s", wal->dir,
                                 oak_error_text(error));
}

static int chain_find(struct oak_wal *wal, const struct found *found)
{
    size_t from = found->count - 1;
    while (from > 0 && found->ids[from - 1] + 1 == found->ids[from]) {
        from--;
    }
    int error = 0;
    for (size_t i = from; error == 0 && i < found->count; i++) {
        error = wal__chain_push(wal, found->ids[i]);
    }
    return error;
}

static int files_read(struct oak_wal *wal, struct files *files, struct oak_errbuf *e)
{
    const struct found *chained = &files->kinds[WAL__CHAIN];
    int error = 0;
    if (chained->count == 0) {
        if (files->kinds[WAL__SPARE].count > 0) {
            return oak_fail(e, OAK_ECORRUPT,
                            "%.300s: spare segments, but not one of the log: its .wal files are "
                            "missing. Bring them back, or empty the directory to start anew",
                            wal->dir);
        }
        error = log_create(wal, e);
        error = error != 0 ? error : wal__chain_push(wal, 1);
    } else {
        error = chain_find(wal, chained);
    }
    struct wal__walker w = {.wal = wal, .e = e, .bytes = malloc((size_t)wal->segment_bytes)};
    if (w.bytes == NULL || error == OAK_ENOMEM) {
        error = oak_fail(e, OAK_ENOMEM, "%.300s: no memory to read the log", wal->dir);
    }
    error = error != 0 ? error : log_read(&w);
    if (wal->applied != NULL && !w.judged && wal->chain_count > 0 && w.bytes != NULL &&
        (error == OAK_ECORRUPT || error == OAK_EIO)) {
        error = wal__repair(&w);
    }
    oak_buf_fini(&w.held);
    free(w.bytes);
    error = error != 0 ? error : leftovers_remove(wal, files, e);
    return error != 0 ? error : spares_check(wal, e);
}

int wal__recover(struct oak_wal *wal, struct oak_errbuf *e)
{
    OAK_ASSERT_EQ(wal->chain_count, 0);
    struct files files = {0};
    int error = files_list(wal, &files, e);
    error = error != 0 ? error : files_read(wal, &files, e);
    for (size_t i = 0; i < OAK_COUNT_OF(files.kinds); i++) {
        free(files.kinds[i].ids);
    }
    if (error != 0) {
        return error;
    }
    /* Names that an earlier process changed and did not sync are durable from here on. */
    error = wal__sync_dir(wal);
    if (error != 0) {
        return oak_fail(e, error, "%.300s: can't be synced: %s", wal->dir, oak_error_text(error));
    }
    for (size_t i = 0; i < wal->group_count; i++) {
        wal->groups[i].next = wal->groups[i].durable;
    }
    return 0;
}

int wal__recovered_make(struct oak_wal *wal)
{
    OAK_ASSERT(wal->recovered == NULL);
    if (wal->group_count == 0) {
        return 0;
    }
    wal->recovered = calloc(wal->group_count, sizeof(*wal->recovered));
    if (wal->recovered == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < wal->group_count; i++) {
        const struct wal__group *g = &wal->groups[i];
        OAK_ASSERT(g->on_disk);
        wal->recovered[wal->recovered_count++] = (struct oak_wal_group){
            .group = g->id,
            .term = g->durable.term,
            .vote = g->durable.vote,
            .commit = g->durable.commit,
            .snapshot_index = g->durable.snapshot_index,
            .snapshot_term = g->durable.snapshot_term,
            .last_index = g->durable.last,
            .last_term = g->durable.last_term,
            .in_doubt = g->durable.in_doubt != 0,
            .entries = g->entries.items == NULL ? NULL : g->entries.items + g->entries.head,
            .entry_count = g->entries.count - g->entries.head,
        };
    }
    return 0;
}
