/* SPDX-License-Identifier: Apache-2.0 */
/* beside.c: the door, its second half: what goes on beside the owner's reading and writing. Flush,
 * scrub, snapshot, restore: each is begun and ended by the owner, and run by a worker in between.
 *
 * Can fail     as the engine does; a flush that finds no space leaves the store full, damage that
 *              is found marks it damaged, and what leaves unknown what is on disk poisons it.
 * Invariants   one flush, one scrub, one restore at a time; what is durable never falls. A worker
 *              touches its own object only: what it has found is noted at the end.
 * Thread       as store.h says of each.
 */
#include "store/internal.h"

int oak_store_flush_begin(struct oak_store *s, struct oak_store_flush **out)
{
    OAK_ASSERT(!s->flushing);
    int error = store__write_check(s);
    *out = NULL;
    if (error == 0) {
        error = s->ops->flush_begin(s, out);
        s->full = s->full || error == OAK_ENOSPC;
    }
    if (error == 0) {
        (*out)->store = s;
        (*out)->applied = s->state.applied;
        s->flushing = true;
    }
    return error;
}

void oak_store_flush_run(struct oak_store_flush *f)
{
    OAK_ASSERT(!f->done);
    f->store->ops->flush_run(f);
    f->done = true;
}

int oak_store_flush_end(struct oak_store_flush *f, uint64_t *durable_applied)
{
    struct oak_store *s = f->store;
    OAK_ASSERT(s->flushing);
    OAK_ASSERT(f->done);
    int error = f->error;
    OAK_ASSERT(error != 0 || f->durable >= f->applied);
    s->durable = OAK_MAX(s->durable, f->durable);
    if (error == 0) {
        s->full = false;
        s->waiting = 0;
    } else if (error == OAK_ENOSPC) {
        s->full = true;
    } else if (error != OAK_ENOMEM && error != OAK_EAGAIN) {
        s->poisoned = true;
    }
    *durable_applied = s->durable;
    s->flushing = false;
    s->ops->flush_free(f);
    return error;
}

int oak_store_scrub_begin(struct oak_store *s, struct oak_store_scrub **out)
{
    OAK_ASSERT(!s->scrubbing);
    *out = NULL;
    int error = s->ops->scrub_begin(s, out);
    if (error == 0) {
        (*out)->store = s;
        s->scrubbing = true;
    }
    return error;
}

void oak_store_scrub_run(struct oak_store_scrub *scrub, size_t bytes)
{
    scrub->store->ops->scrub_run(scrub, bytes);
}

int oak_store_scrub_end(struct oak_store_scrub *scrub, bool *whole)
{
    struct oak_store *s = scrub->store;
    OAK_ASSERT(s->scrubbing);
    int error = store__read_note(s, scrub->error);
    *whole = error == 0 && scrub->whole;
    s->scrubbing = false;
    s->ops->scrub_free(scrub);
    return error == OAK_EIO ? OAK_ECORRUPT : error;
}

int oak_store_snapshot_open(struct oak_store *s, struct oak_store_snapshot **out)
{
    *out = NULL;
    int error = s->ops->snapshot_open(s, out);
    if (error == 0) {
        (*out)->store = s;
        (*out)->state = s->state;
        s->snapshots++;
    }
    return error;
}

const struct oak_store_state *oak_store_snapshot_state(const struct oak_store_snapshot *snap)
{
    return &snap->state;
}

int oak_store_snapshot_read(struct oak_store_snapshot *snap, uint8_t *out, size_t capacity,
                            size_t *got)
{
    *got = 0;
    snap->error = snap->store->ops->snapshot_read(snap, out, capacity, got);
    snap->offset += *got;
    return snap->error;
}

int oak_store_snapshot_seek(struct oak_store_snapshot *snap, uint64_t offset)
{
    if (offset < snap->offset) {
        snap->store->ops->snapshot_rewind(snap);
        snap->offset = 0;
    }
    uint8_t skipped[4096];
    int error = 0;
    while (error == 0 && snap->offset < offset) {
        size_t part = (size_t)OAK_MIN(offset - snap->offset, (uint64_t)sizeof(skipped));
        size_t got = 0;
        error = oak_store_snapshot_read(snap, skipped, part, &got);
        if (error == 0 && got == 0) {
            error = OAK_EINVAL;
        }
    }
    return error;
}

void oak_store_snapshot_close(struct oak_store_snapshot *snap)
{
    if (snap == NULL) {
        return;
    }
    OAK_ASSERT_GT(snap->store->snapshots, 0U);
    snap->store->snapshots--;
    (void)store__read_note(snap->store, snap->error);
    snap->store->ops->snapshot_close(snap);
}

int oak_store_restore_begin(struct oak_store *s, struct oak_store_restore **out)
{
    *out = NULL;
    OAK_ASSERT(!s->restoring);
    int error = store__write_check(s);
    if (error == 0) {
        error = s->ops->restore_begin(s, out);
    }
    if (error == 0) {
        (*out)->store = s;
        s->restoring = true;
    }
    return error;
}

int oak_store_restore_write(struct oak_store_restore *r, struct oak_bytes bytes)
{
    OAK_ASSERT(!r->prepared);
    if (r->error == 0) {
        r->error = r->store->ops->restore_write(r, bytes);
    }
    return r->error;
}

int oak_store_restore_prepare(struct oak_store_restore *r)
{
    OAK_ASSERT(!r->prepared);
    if (r->error == 0) {
        r->error = r->store->ops->restore_prepare(r);
    }
    r->prepared = r->error == 0;
    return r->error;
}

int oak_store_restore_commit(struct oak_store_restore *r)
{
    OAK_ASSERT(r->prepared && !r->committed);
    r->error = r->store->ops->restore_commit(r);
    r->committed = r->error == 0;
    return r->error;
}

void oak_store_restore_adopt(struct oak_store_restore *r)
{
    struct oak_store *s = r->store;
    OAK_ASSERT(r->committed && !r->settled);
    OAK_ASSERT(!s->flushing);
    OAK_ASSERT_EQ(s->scans, 0U);
    OAK_ASSERT_EQ(s->pending, 0U);
    s->ops->restore_adopt(r);
    while (oak_list_pop(&s->pins) != NULL) {
        /* What was held is not there any more. */
    }
    OAK_ASSERT_EQ(s->durable, s->state.applied);
    s->restoring = false;
    r->settled = true;
}

void oak_store_restore_drop(struct oak_store_restore *r)
{
    struct oak_store *s = r->store;
    OAK_ASSERT(!r->settled);
    /* A commit that failed or was not adopted: what is on disk is not what is in memory. */
    s->poisoned = s->poisoned || (r->prepared && (r->committed || r->error != 0));
    s->restoring = false;
    r->settled = true;
}

void oak_store_restore_end(struct oak_store_restore *r)
{
    OAK_ASSERT(r->settled);
    r->store->ops->restore_free(r);
}

int oak_store_restore_finish(struct oak_store_restore *r)
{
    int error = oak_store_restore_prepare(r);
    error = error != 0 ? error : oak_store_restore_commit(r);
    if (error == 0) {
        oak_store_restore_adopt(r);
    } else {
        oak_store_restore_drop(r);
    }
    oak_store_restore_end(r);
    return error;
}
