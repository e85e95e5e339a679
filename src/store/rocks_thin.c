/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_thin.c: what reclaim leaves behind is made less where scans have to wade through it.
 *
 * RocksDB removes by writing down that something is removed. Until a flush or a compaction has
 * brought the two together, a walk over keys goes over both, one by one, and a scan of few keys
 * may have very many between them. Where one ends up seeking (rocks_scan.c) that costs nothing;
 * elsewhere it is counted, and enough of it makes RocksDB work at it, in its own threads:
 *
 *     1  in memory there is much that was removed: it is flushed, and what was both written and
 *        removed there is gone
 *     2  else it is in files: those that the scans went through are named as worth merging, and
 *        where nothing comes of it, since they are the first few, one more is made
 *
 * So scans pay for what was removed at most so often. What reclaim removes costs nothing more than
 * before where no scan goes. And never is more than so much of it in memory, whoever scans.
 *
 * Can fail     as a commit does; a flush that fails is tried again when it has cost as much more.
 * Invariants   the owner never waits: no flush is begun that would.
 * Thread       the owner's.
 */
#include "store/rocks.h"

/* What scans may have waded through before something is done: some four milliseconds of the owner.
 * More where there are large files to be merged: 64 MiB are 60 ms, against half a second of another
 * core. A flush leads to no more than that of them: what takes in the files of level 0. */
#define WADED_MIN            16384
#define FILE_BYTES_PER_WADED 256
#define FILE_BYTES_FLUSH     (64 * OAK_MIB)
/* So much that was removed is worth a flush, when scans wade through it; and in any case. */
#define MEMORY_WORTH 4096
#define MEMORY_MAX   65536
/* With so many files in level 0 merging is behind, and one more helps nobody. */
#define LEVEL0_BUSY 8

static uint64_t walked_now(rocksdb_perfcontext_t *counts)
{
    return rocksdb_perfcontext_metric(counts, rocksdb_internal_delete_skipped_count);
}

void rocks__meter_start(struct rocks_meter *m)
{
    *m = (struct rocks_meter){.counts = rocksdb_perfcontext_create()};
    m->before = walked_now(m->counts);
}

static void note_edge(struct rocks_thin *t, struct oak_buf *edge, struct oak_bytes place)
{
    oak_buf_clear(edge);
    if (oak_buf_append(edge, place.data, place.size) != 0) {
        oak_buf_clear(&t->low); /* no place is everywhere */
        oak_buf_clear(&t->high);
    }
}

static void note_place(struct rocks_thin *t, struct oak_bytes low, struct oak_bytes high)
{
    bool first = t->low.size == 0 || t->high.size == 0;
    if (first || oak_bytes_cmp(low, oak_buf_bytes(&t->low)) < 0) {
        note_edge(t, &t->low, low);
    }
    if (first || oak_bytes_cmp(high, oak_buf_bytes(&t->high)) > 0) {
        note_edge(t, &t->high, high);
    }
}

uint64_t rocks__meter_end(struct rocks_meter *m)
{
    uint64_t walked = walked_now(m->counts) - m->before;
    rocksdb_perfcontext_destroy(m->counts);
    return walked;
}

void rocks__waded(struct rocks *r, uint64_t walked, uint64_t keys, struct oak_bytes low,
                  struct oak_bytes high)
{
    /* A few for each key are no more than what a seek would have cost instead. */
    uint64_t fair = (keys + 1) * ROCKS_SKIP_MAX;
    if (walked > fair) {
        r->thin.waded += walked - fair;
        r->thin.longest = OAK_MAX(r->thin.longest, walked - fair);
        note_place(&r->thin, low, high);
    }
}

int rocks__iter_error(const rocksdb_iterator_t *it, const struct oak_log *log, const char *what,
                      bool *many)
{
    static const char incomplete[] = "Result incomplete";
    char *said = NULL;
    rocksdb_iter_get_error(it, &said);
    *many = said != NULL && strncmp(said, incomplete, sizeof(incomplete) - 1) == 0;
    if (*many) {
        rocksdb_free(said);
        return 0;
    }
    return said == NULL ? 0 : rocks__failed(log, what, said);
}

/* -- thinning ---------------------------------------------------------------------------------- */

static void flush_start(struct rocks *r)
{
    if (rocks__flush_would_wait(r->db) ||
        rocks__property(r->db, "rocksdb.num-files-at-level0") >= LEVEL0_BUSY) {
        return;
    }
    char *said = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 0);
    rocksdb_flush(r->db->db, options, &said);
    rocksdb_flushoptions_destroy(options);
    rocks__point_drop(r); /* it holds on to what has been in memory */
    rocksdb_free(said);   /* the next write says it too, and is heeded */
}

static bool at_work(const struct rocks *r)
{
    return rocks__property(r->db, "rocksdb.num-immutable-mem-table") > 0 ||
           rocks__property(r->db, "rocksdb.num-running-compactions") > 0 ||
           rocks__property(r->db, "rocksdb.compaction-pending") > 0;
}

/* Level 0 is merged when it has some files more: the state once more, and a flush, is one. */
static int flush_state(struct rocks *r)
{
    char *said = NULL;
    const struct rocks_state state = {
        .state = r->base.state, .keys = r->committed_keys, .reclaimed = r->reclaimed};
    int error = rocks__write_out(r);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    if (error == 0) {
        error = rocks__write_state(r, &r->key, batch, &state);
    }
    if (error == 0) {
        rocks__point_drop(r);
        rocksdb_write(r->db->db, r->write, batch, &said);
        error = said == NULL ? 0 : rocks__failed(r->base.log, "write the state", said);
    }
    rocksdb_writebatch_destroy(batch);
    if (error == 0) {
        flush_start(r);
    }
    return error;
}

static int merge_start(struct rocks *r)
{
    struct rocks_thin *t = &r->thin;
    bool known = t->low.size > 0 && t->high.size > 0;
    char *said = NULL;
    rocksdb_suggest_compact_range(r->db->db, known ? (const char *)t->low.data : NULL, t->low.size,
                                  known ? (const char *)t->high.data : NULL, t->high.size, &said);
    rocksdb_free(said);
    oak_buf_clear(&t->low);
    oak_buf_clear(&t->high);
    return at_work(r) ? 0 : flush_state(r);
}

void rocks__thin_removed(struct rocks *r, uint64_t entries)
{
    r->thin.removed += entries;
}

/* Have scans waded through enough? */
static bool enough(const struct rocks *r)
{
    uint64_t waded = r->thin.waded;
    if (waded < WADED_MIN) {
        return false;
    }
    uint64_t files = rocks__property(r->db, "rocksdb.total-sst-files-size");
    return waded >= WADED_MIN + OAK_MIN(files, (uint64_t)FILE_BYTES_FLUSH) / FILE_BYTES_PER_WADED;
}

/* Enough for the files of those ranges to be merged? They may be all that there are. */
static bool enough_to_merge(const struct rocks *r)
{
    const struct rocks_thin *t = &r->thin;
    const char *const low = (const char *)t->low.data;
    const char *const high = (const char *)t->high.data;
    char *said = NULL;
    uint64_t bytes = 0;
    if (t->low.size > 0 && t->high.size > 0) {
        rocksdb_approximate_sizes(r->db->db, 1, &low, &t->low.size, &high, &t->high.size, &bytes,
                                  &said);
        rocksdb_free(said);
    } else {
        bytes = rocks__property(r->db, "rocksdb.total-sst-files-size");
    }
    return t->waded >= WADED_MIN + bytes / FILE_BYTES_PER_WADED;
}

int rocks__thin(struct rocks *r)
{
    struct rocks_thin *t = &r->thin;
    bool waded = enough(r);
    if (!waded && t->removed < MEMORY_MAX) {
        return 0;
    }
    int error = 0;
    /* RocksDB flushes when it likes to, too. */
    uint64_t in_memory = rocks__property(r->db, "rocksdb.num-entries-active-mem-table");
    t->removed = OAK_MIN(t->removed, in_memory);
    if (t->removed >= (waded ? MEMORY_WORTH : MEMORY_MAX)) {
        flush_start(r);
        t->removed = 0;
    } else if (waded && t->longest > t->removed && !at_work(r)) {
        if (!enough_to_merge(r)) {
            return 0; /* it goes on being counted */
        }
        error = merge_start(r);
    }
    if (waded) {
        t->waded = t->longest = 0;
    }
    return error;
}

void rocks__thin_fini(struct rocks_thin *t)
{
    oak_buf_fini(&t->low);
    oak_buf_fini(&t->high);
}
