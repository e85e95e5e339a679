/* SPDX-License-Identifier: Apache-2.0 */
/* repair.c: a chain that is damaged where it was durable: what it still proves, in a new chain.
 *
 *     batch   7   8   9  10  11  12        reading goes on behind the hole, at the first frame
 *           [###|###|   |   |###|###]      that is whole; what it may not have seen is forgotten
 *                    \_hole_/
 *
 * Term, vote and doubt of a group are proven behind a hole when the first frame there starts a
 * segment (it carries the state of every group), or when no more batches are missing than it
 * repeats the changes of. If at the end they are not, the log is refused: a member that may have
 * forgotten a vote must not vote again.
 *
 * A group's log is known from the first index that a record behind the hole replaces, or from
 * behind the end that a carried state names. If that is no further than what its state machine
 * lacks, the group goes on as if nothing had happened. Else it is in doubt: its log starts anew
 * behind what is applied, and raft/doubt.c gets the rest from the leader.
 *
 * The new chain begins two numbers behind the old one, so that the gap keeps them apart. Its first
 * segment is whole before it has its name, and says that every group is in doubt; the entries of
 * those that are not follow, and then the record that lifts it. A crash anywhere leaves the old
 * chain, or a doubt that is settled in time.
 *
 * Can fail     OAK_ECORRUPT (not proven; nothing was changed), OAK_ENOSPC, OAK_EIO, OAK_ENOMEM
 * Thread       start-up
 */
#include "wal/internal.h"

#include <inttypes.h>
#include <stdlib.h>

struct salvage {
    struct wal__walker *w;
    bool unproven;         /* a term or vote may be hidden in a hole */
    uint64_t unproven_seq; /* where */
    uint64_t unproven_at;
    uint64_t damaged[OAK_WAL_DAMAGED_MAX]; /* segments to set aside */
    size_t damaged_count;
};

static void damaged_note(struct salvage *s, uint64_t seq)
{
    bool known = s->damaged_count > 0 && s->damaged[s->damaged_count - 1] == seq;
    if (!known && s->damaged_count < OAK_COUNT_OF(s->damaged)) {
        s->damaged[s->damaged_count++] = seq;
    }
}

/* The first whole frame in w->bytes, segment `at`, from `offset` on, that reading can go on with.
 */
static bool frame_find(const struct wal__walker *w, size_t at, uint64_t offset, uint32_t salt,
                       struct wal__place *out)
{
    const struct oak_wal *wal = w->wal;
    uint64_t seq = wal->chain[at].seq;
    for (; offset + WAL__ALIGN <= wal->segment_bytes; offset += WAL__ALIGN) {
        struct wal__frame f;
        if (!wal__frame_get(w->bytes, wal->segment_bytes, seq, offset, &f) || f.salt != salt ||
            !wal__frame_whole(w->bytes, seq, offset, &f)) {
            continue;
        }
        bool first = offset == WAL__SEGMENT_HEADER;
        if (first ? f.batch >= w->next.batch : f.part == 0 && f.batch > w->next.batch) {
            *out = (struct wal__place){.at = at,
                                       .offset = offset,
                                       .batch = f.batch,
                                       .part = f.part,
                                       .chain = f.chain,
                                       .salt = f.salt};
            return true;
        }
    }
    return false;
}

/* Where reading can go on behind w->next. *found false: nowhere. */
static int resume_find(struct wal__walker *w, bool from_start, struct wal__place *out, bool *found)
{
    struct oak_wal *wal = w->wal;
    *found = false;
    size_t at = from_start ? 0 : w->next.at + 1;
    if (!from_start) {
        int error = wal__segment_read(wal, wal->chain[w->next.at].seq, w->bytes, w->e);
        if (error != 0) {
            return error;
        }
        *found = frame_find(w, w->next.at, w->next.offset, w->next.salt, out);
    }
    for (; !*found && at < wal->chain_count; at++) {
        uint64_t seq = wal->chain[at].seq;
        int error = wal__segment_read(wal, seq, w->bytes, w->e);
        if (error != 0) {
            return error;
        }
        struct wal__segment_header h;
        struct wal__frame f;
        /* Without either, its salt is not known, and a frame could be a client's value. */
        if (wal__segment_header_get(w->bytes, seq, &h)) {
            *found = frame_find(w, at, WAL__SEGMENT_HEADER, h.salt, out);
        } else if (wal__frame_get(w->bytes, wal->segment_bytes, seq, WAL__SEGMENT_HEADER, &f)) {
            *found = frame_find(w, at, WAL__SEGMENT_HEADER, f.salt, out);
        } else if (!from_start && at == w->next.at + 1) {
            *found = frame_find(w, at, WAL__SEGMENT_HEADER, w->next.chain, out);
        }
    }
    return 0;
}

/* Reading jumps over a hole, to `to`. */
static void hole_jump(struct salvage *s, const struct wal__place *to, uint32_t repeats,
                      bool from_start)
{
    struct wal__walker *w = s->w;
    struct oak_wal *wal = w->wal;
    const struct wal__place *hole = &w->next;
    wal->stats.holes++;
    damaged_note(s, wal->chain[hole->at].seq);
    damaged_note(s, wal->chain[to->at].seq);
    oak_log(wal->log, OAK_LOG_ERROR,
            "wal %s: damage in %016" PRIx64 ".wal from offset %" PRIu64 ": batches %" PRIu64
            " to %" PRIu64 " can't be read; reading goes on in %016" PRIx64
            ".wal at offset %" PRIu64,
            wal->dir, wal->chain[hole->at].seq, hole->offset, hole->batch, to->batch,
            wal->chain[to->at].seq, to->offset);
    bool carries = to->offset == WAL__SEGMENT_HEADER;
    /* Only a segment's header was damaged: nothing of the log is. */
    bool lost =
        from_start ? to->at != 0 || !carries
                   : to->batch != hole->batch || to->part != hole->part || to->chain != hole->chain;
    w->lossy = w->lossy || lost;
    if (lost) {
        oak_buf_clear(&w->held);
        for (size_t i = 0; i < wal->group_count; i++) {
            struct wal__group *g = &wal->groups[i];
            wal__entries_fini(&g->entries);
            g->unsure = true;
            g->known_from = 0;
        }
    }
    if (carries) {
        s->unproven = false;
    } else if (to->batch - hole->batch > repeats) {
        s->unproven = true;
        s->unproven_seq = wal->chain[hole->at].seq;
        s->unproven_at = hole->offset;
    }
    w->next = *to;
}

static void forget(struct wal__walker *w)
{
    struct oak_wal *wal = w->wal;
    for (size_t i = 0; i < wal->group_count; i++) {
        wal__entries_fini(&wal->groups[i].entries);
    }
    wal->group_count = 0;
    for (size_t i = 0; i < wal->chain_count; i++) {
        wal->chain[i].mark_count = 0;
    }
    oak_buf_clear(&w->held);
    w->next = (struct wal__place){0};
    w->any = false;
    wal->stats.cut_bytes = 0;
}

/* Read the whole chain, over all its holes. */
static int salvage_read(struct salvage *s)
{
    struct wal__walker *w = s->w;
    struct oak_wal *wal = w->wal;
    int error = wal__walk_start(w);
    bool from_start = error == OAK_ECORRUPT;
    error = from_start ? 0 : error;
    if (error == 0 && !from_start) {
        error = wal__walk(w);
    }
    for (bool found = true; error == 0 && found;) {
        struct wal__place to;
        error = resume_find(w, from_start, &to, &found);
        if (error == 0 && found) {
            struct wal__frame f;
            found =
                wal__frame_get(w->bytes, wal->segment_bytes, wal->chain[to.at].seq, to.offset, &f);
            OAK_ASSERT(found);
            hole_jump(s, &to, f.repeats, from_start);
            error = wal__walk(w);
            from_start = false;
        }
    }
    if (error == 0 && (from_start || !w->any)) {
        return wal__damage(wal, wal->chain[0].seq, 0, "not one batch can be read", w->e);
    }
    if (error != 0) {
        return error;
    }
    /* Signs of a batch behind the last whole one: whatever it held was durable. */
    error = wal__segment_read(wal, wal->chain[w->next.at].seq, w->bytes, w->e);
    return error != 0 ? error : wal__hole_judge(wal, &w->next, w->bytes, w->e);
}

/* -- the new chain ----------------------------------------------------------------------------- */

/* What a group starts from: the index and term that its new log begins behind. */
struct start {
    uint64_t applied;
    uint64_t applied_term;
    struct wal__state found; /* as read */
    bool known;
};

static int starts_make(struct oak_wal *wal, struct start *starts, struct oak_errbuf *e)
{
    for (size_t i = 0; i < wal->group_count; i++) {
        struct wal__group *g = &wal->groups[i];
        struct start *s = &starts[i];
        s->found = g->durable;
        if (!wal->applied(wal->user, g->id, &s->applied, &s->applied_term)) {
            return oak_fail(e, OAK_ECORRUPT,
                            "%.300s: the log is damaged, and how far group %" PRIu64
                            " has applied is not known: it can't be repaired",
                            wal->dir, g->id);
        }
        uint64_t base = OAK_MAX(s->applied, s->found.snapshot_index);
        bool there = !g->unsure || g->known_from != 0;
        s->known = there && g->known_from <= base + 1 && s->found.in_doubt == 0 &&
                   OAK_MAX(s->found.last, s->found.snapshot_index) >= s->applied;
        const struct wal__record mark = {
            .type = OAK_WAL_SNAPSHOT, .keep_log = s->known, .index = base};
        int error = wal__entries_note(&g->entries, &g->durable, &mark);
        OAK_ASSERT_EQ(error, 0);
        wal->stats.doubts += !s->known;
        g->durable = (struct wal__state){
            .term = s->found.term,
            .vote = s->found.vote,
            .commit = OAK_MIN(s->found.commit, s->applied),
            .snapshot_index = s->applied,
            .snapshot_term = s->applied_term,
            .last = s->applied,
            .last_term = s->applied_term,
            .in_doubt = 1,
        };
        g->released = 0;
        g->unsure = false;
    }
    return 0;
}

/* The first segment of the new chain, whole, under its name. */
static int chain_begin(struct wal__walker *w, uint64_t seq)
{
    struct oak_wal *wal = w->wal;
    struct oak_buf first = {0};
    int error = oak_buf_reserve(&first, WAL__SEGMENT_HEADER + WAL__FRAME_HEADER);
    if (error != 0) {
        return error;
    }
    memset(first.data, 0, WAL__SEGMENT_HEADER + WAL__FRAME_HEADER);
    first.size = WAL__SEGMENT_HEADER + WAL__FRAME_HEADER;
    error =
        wal__carry_put(&first, oak_bytes(wal->meta, wal->meta_size), wal->groups, wal->group_count);
    size_t used = first.size - WAL__SEGMENT_HEADER - WAL__FRAME_HEADER;
    size_t size = (WAL__FRAME_HEADER + used + WAL__ALIGN - 1) / WAL__ALIGN * WAL__ALIGN;
    error = error != 0 ? error : oak_buf_reserve(&first, size);
    if (error == 0) {
        first.size = WAL__SEGMENT_HEADER + size;
        OAK_ASSERT_LE(first.size, wal->segment_bytes);
        uint32_t salt =
            oak_crc32c(w->next.chain, first.data + WAL__SEGMENT_HEADER + WAL__FRAME_HEADER, used);
        struct wal__frame f = {
            .batch = wal->batch,
            .first_seq = seq,
            .size = (uint32_t)size,
            .used = (uint32_t)used,
            .last = true,
            .salt = salt,
            .chain = salt,
            .repeats = WAL__REPEATED_BATCHES,
        };
        const struct wal__segment_header h = {
            .seq = seq, .segment_bytes = wal->segment_bytes, .batch = wal->batch, .salt = salt};
        wal__segment_header_put(first.data, &h);
        wal__frame_put(first.data + WAL__SEGMENT_HEADER, seq, WAL__SEGMENT_HEADER, &f);
        error = wal__file_create(wal, WAL__CHAIN, seq, oak_buf_bytes(&first));
        wal->offset = first.size;
        wal->salt = salt;
        wal->chain_value = f.checksum;
        wal->claimed_first = seq;
        wal->proven = true;
    }
    oak_buf_fini(&first);
    return error != 0 ? error : wal__sync_dir(wal);
}

static int record_add(struct oak_wal *wal, const struct oak_wal_record *r)
{
    int error = oak_wal_append(wal, r);
    if (error == OAK_ELIMIT) {
        error = oak_wal_commit(wal);
        error = error != 0 ? error : oak_wal_append(wal, r);
    }
    return error;
}

/* What is known of a group goes into the new chain, and the doubt out of it. */
static int group_rewrite(struct oak_wal *wal, const struct wal__group *g, const struct start *s)
{
    int error = 0;
    uint64_t id = g->id;
    if (s->found.snapshot_index > s->applied) {
        const struct oak_wal_record mark = {.type = OAK_WAL_SNAPSHOT,
                                            .group = id,
                                            .index = s->found.snapshot_index,
                                            .term = s->found.snapshot_term};
        error = record_add(wal, &mark);
    }
    for (size_t i = g->entries.head; error == 0 && i < g->entries.count; i++) {
        error = record_add(wal, &g->entries.items[i]);
    }
    const struct oak_wal_record lifted = {.type = OAK_WAL_DOUBT, .group = id};
    error = error != 0 ? error : record_add(wal, &lifted);
    const struct oak_wal_record hard = {.type = OAK_WAL_HARD_STATE,
                                        .group = id,
                                        .term = s->found.term,
                                        .vote = s->found.vote,
                                        .commit = s->found.commit};
    return error != 0 ? error : record_add(wal, &hard);
}

/* Set the damaged segments aside: a file that is gone already needs it no more. */
static int evidence_keep(struct oak_wal *wal, const struct salvage *s)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < s->damaged_count; i++) {
        char from[WAL__PATH_BYTES];
        char to[WAL__PATH_BYTES];
        wal__path(wal, from, WAL__CHAIN, s->damaged[i]);
        wal__path(wal, to, WAL__DAMAGED, s->damaged[i]);
        error = wal->disk->rename(wal->disk->user, from, to);
        error = error == OAK_ENOENT ? 0 : error;
    }
    return error;
}

static int rebuild(struct salvage *s, struct start *starts)
{
    struct oak_wal *wal = s->w->wal;
    int error = starts_make(wal, starts, s->w->e);
    if (error != 0) {
        return error;
    }
    uint64_t seq = wal->chain[wal->chain_count - 1].seq + 2;
    wal->batch = s->w->next.batch + 1;
    error = chain_begin(s->w, seq);
    if (error != 0) {
        return oak_fail(s->w->e, error, "%.300s: the repaired log can't be begun: %s", wal->dir,
                        oak_error_text(error));
    }
    for (size_t i = 0; i < wal->chain_count; i++) {
        free(wal->chain[i].marks);
    }
    wal->chain_count = 0;
    wal->current = 0;
    error = wal__chain_push(wal, seq);
    char path[WAL__PATH_BYTES];
    wal__path(wal, path, WAL__CHAIN, seq);
    if (error == 0) {
        error = wal->disk->open(wal->disk->user, path, OAK_FILE_WRITE, &wal->file);
    }
    wal->batch++;
    for (size_t i = 0; i < wal->group_count; i++) {
        wal->groups[i].next = wal->groups[i].durable;
        wal->groups[i].changed = wal->batch - 1;
    }
    for (size_t i = 0; error == 0 && i < wal->group_count; i++) {
        error = starts[i].known ? group_rewrite(wal, &wal->groups[i], &starts[i]) : 0;
    }
    error = error != 0 ? error : oak_wal_commit(wal);
    error = error != 0 ? error : evidence_keep(wal, s);
    return error == 0 ? 0
                      : oak_fail(s->w->e, error, "%.300s: can't be written: %s", path,
                                 oak_error_text(error));
}

int wal__repair(struct wal__walker *w)
{
    struct oak_wal *wal = w->wal;
    OAK_ASSERT(wal->applied != NULL);
    OAK_ASSERT(wal->file == NULL);
    struct salvage s = {.w = w};
    forget(w);
    wal->tolerant = true;
    int error = salvage_read(&s);
    if (error == 0 && w->first_seq < wal->chain[0].seq) {
        /* Segments are missing in front: each group is known from its carried end on. */
        forget(w);
        s = (struct salvage){.w = w};
        wal->stats.holes = 1;
        w->lossy = true;
        error = salvage_read(&s);
    }
    wal->tolerant = false;
    if (error == 0 && s.unproven) {
        error = wal__damage(wal, s.unproven_seq, s.unproven_at,
                            "so much is damaged that a vote may be lost with it, and this member "
                            "must not vote again",
                            w->e);
    }
    if (error != 0) {
        return error;
    }
    struct start *starts = calloc(wal->group_count + 1, sizeof(*starts));
    if (starts == NULL) {
        return oak_fail(w->e, OAK_ENOMEM, "%.300s: no memory to repair the log", wal->dir);
    }
    error = rebuild(&s, starts);
    free(starts);
    if (error == 0) {
        oak_log(wal->log, OAK_LOG_WARN,
                "wal %s: repaired: %u damaged places, %u of %zu groups in doubt; damaged segments "
                "are set aside as .damaged. Look at the disk",
                wal->dir, wal->stats.holes, wal->stats.doubts, wal->group_count);
    }
    return error;
}
