/* SPDX-License-Identifier: Apache-2.0 */
/* receive.c: a snapshot of another member, from its chunks into a file.
 *
 *                 first chunk             the end is written and durable
 *     (none) ──────────────────▶ FILE ─────────────────────────────────▶ install.c
 *                                 ▲ ▲
 *     LEFT by an earlier life ────┘ └── lost, repeated, late chunks: say where we are
 *          its sender asks again
 *
 * Happy path   1 chunks, in order, gather; the worker writes what has gathered to a part file and
 *                syncs it now and then; the sender is told what is written
 *              2 with the last, the file is made durable and named
 * Which one    One transfer at a time, and it is finished: another sender's, or a newer one, waits
 *              as long as the first is alive. A transfer that begins anew whenever a newer state
 *              appears never ends (a large state, a busy cluster). It is dead when it brought
 *              nothing for OAK_SNAPSHOT_IDLE_MS_MAX, or its sender begins another; what it brought
 *              is dropped then. Frames without progress don't count: a sender that hears nothing
 *              of us asks for ever. The one that waits holds its log for what comes first
 *              (flush.c).
 * Can fail     disk full: the sender is refused and tries later, the part file is removed. An I/O
 *              error: the process ends. Damage in a part file: only what is whole counts.
 * Threads      the loop's; writer, `away` and `unsynced` are the worker's while busy.
 */
#include "replica/internal.h"

#include "base/zoo.h"

/* A sender's window, and one more while that is being written. */
#define GATHER_BYTES_MAX (2 * r->options.snapshot_window_bytes)

void replica__chunk_ack(struct oak_replica *r, uint64_t to, uint64_t transfer,
                        struct oak_peer_chunk_ack fill)
{
    fill.transfer = transfer;
    struct oak_peer_frame frame = {.kind = OAK_PEER_CHUNK_ACK, .u.ack = fill};
    replica__send(r, to, false, &frame);
}

static void progress_tell(struct oak_replica *r, bool gap)
{
    const struct receiving *v = &r->receiving;
    struct oak_peer_chunk_ack ack = {.offset = gap ? v->expected : v->written, .gap = gap};
    replica__chunk_ack(r, v->from, v->transfer, ack);
}

static void worker_post(struct oak_replica *r, void (*go)(struct oak_task *task),
                        void (*back)(struct oak_task *task))
{
    struct receiving *v = &r->receiving;
    OAK_ASSERT(!v->busy);
    v->replica = r;
    v->go.run = go;
    v->back.run = back;
    v->busy = true;
    r->options.worker.post(r->options.worker.user, &v->go);
}

static void loop_post(struct receiving *v)
{
    const struct oak_exec *loop = &v->replica->options.loop->exec;
    loop->post(loop->user, &v->back);
}

/* -- giving up --------------------------------------------------------------------------------- */

static void abandon_go(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, go);
    struct oak_replica *r = v->replica;
    oak_snap_abort(v->writer);
    v->writer = NULL;
    v->unsynced = 0;
    v->error = oak_snap_discard(r->options.disk, r->snap_dir, r->options.group);
    loop_post(v);
}

static void abandon_back(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, back);
    struct oak_replica *r = v->replica;
    v->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (v->error != 0) {
        oak_log(r->options.log, OAK_LOG_WARN, "a part of a snapshot below %s can't be removed: %s",
                r->snap_dir, oak_error_text(v->error));
    }
}

/* Nobody wants what has come so far. */
static void receiving_abandon(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    v->state = RECEIVING_NONE;
    oak_buf_clear(&v->next);
    worker_post(r, abandon_go, abandon_back);
}

/* -- chunks into the file ---------------------------------------------------------------------- */

static int file_begin(struct receiving *v)
{
    struct oak_replica *r = v->replica;
    const struct oak_snap_meta meta = {
        .group = r->options.group,
        .index = v->meta.index,
        .term = v->meta.term,
        .from = v->from,
        .transfer = v->transfer,
        .lead = v->lead,
        .config = oak_buf_bytes(&v->config),
    };
    /* An abandoned transfer's: begin removes the file. A whole file that Raft did not take may lie
     * there as well; nobody needs it: no installation is under way. */
    oak_snap_keep(v->writer);
    v->writer = NULL;
    v->unsynced = 0;
    int error = oak_snap_purge(r->options.disk, r->snap_dir, r->options.group, UINT64_MAX);
    return error != 0 ? error : oak_snap_begin(r->options.disk, r->snap_dir, &meta, &v->writer);
}

static int away_write(struct receiving *v)
{
    struct oak_replica *r = v->replica;
    int error = 0;
    for (size_t at = 0; error == 0 && at < v->away.size;) {
        size_t size = OAK_MIN(v->away.size - at, OAK_SNAPSHOT_CHUNK_BYTES_MAX);
        error = oak_snap_write(v->writer, oak_bytes(v->away.data + at, size));
        at += size;
    }
    v->unsynced += v->away.size;
    if (error == 0 && !v->away_last && v->unsynced >= r->options.snapshot_sync_bytes) {
        error = oak_snap_sync(v->writer);
        v->unsynced = 0;
    }
    return error;
}

static void write_go(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, go);
    int error = v->written == 0 ? file_begin(v) : 0;
    error = error != 0 ? error : away_write(v);
    if (error == 0 && v->away_last) {
        error = oak_snap_finish(v->writer);
        v->writer = NULL;
    }
    if (error != 0) {
        oak_snap_abort(v->writer);
        v->writer = NULL;
    }
    v->error = error;
    loop_post(v);
}

static void write_kick(struct oak_replica *r);

static void write_back(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, back);
    struct oak_replica *r = v->replica;
    v->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (v->error == OAK_EIO && !OAK_BUG(failed_write_survived)) {
        replica__fatal(r, v->error, "writing a snapshot");
        return;
    }
    if (v->error != 0) {
        oak_log(r->options.log, OAK_LOG_ERROR, "a snapshot can't be written below %s: %s",
                r->snap_dir, oak_error_text(v->error));
        r->counters.snapshots_refused++;
        v->state = RECEIVING_NONE;
        oak_buf_clear(&v->next);
        replica__chunk_ack(r, v->from, v->transfer, (struct oak_peer_chunk_ack){.refused = true});
        return;
    }
    v->written += v->away.size;
    v->grown_ns = replica__now(r);
    if (v->away_last) {
        v->state = RECEIVING_NONE;
        replica__install_build(r, &v->meta, v->from, v->transfer, v->lead);
    }
    progress_tell(r, false);
    write_kick(r);
}

static void write_kick(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    if (v->state != RECEIVING_FILE || v->busy || (v->next.size == 0 && !v->last)) {
        return;
    }
    struct oak_buf empty = v->away;
    oak_buf_clear(&empty);
    v->away = v->next;
    v->next = empty;
    v->away_last = v->last;
    worker_post(r, write_go, write_back);
}

/* -- going on with what is left ---------------------------------------------------------------- */

static void resume_go(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, go);
    struct oak_replica *r = v->replica;
    OAK_ASSERT(v->writer == NULL);
    v->unsynced = 0;
    v->error = oak_snap_resume(r->options.disk, r->snap_dir, r->options.group, &v->writer);
    loop_post(v);
}

static void resume_back(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, back);
    struct oak_replica *r = v->replica;
    v->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (v->error == OAK_EIO) {
        replica__fatal(r, v->error, "reading a part of a snapshot");
        return;
    }
    v->written = v->error == 0 ? oak_snap_offset(v->writer) : 0;
    v->expected = v->written;
    v->grown_ns = replica__now(r);
    v->state = RECEIVING_FILE;
    r->counters.snapshots_resumed += v->written > 0 ? 1 : 0;
    oak_log(r->options.log, OAK_LOG_INFO,
            "going on with the snapshot at index %llu of member %016llx behind %llu bytes",
            (unsigned long long)v->meta.index, (unsigned long long)v->from,
            (unsigned long long)v->written);
    progress_tell(r, true);
}

/* -- chunks in --------------------------------------------------------------------------------- */

static int receiving_begin(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk)
{
    struct receiving *v = &r->receiving;
    OAK_ASSERT(!v->busy && v->state == RECEIVING_NONE);
    v->from = from;
    v->transfer = chunk->transfer;
    v->lead = chunk->term;
    v->meta = chunk->snapshot;
    v->written = v->expected = 0;
    v->last = v->away_last = false;
    oak_buf_clear(&v->next);
    oak_buf_clear(&v->config);
    int error = oak_buf_reserve(&v->config, OAK_RAFT_CONFIG_BYTES_MAX);
    if (error == 0) {
        v->config.size = oak_raft_config_encode(&v->meta.config, v->config.data);
    }
    v->state = error == 0 ? RECEIVING_FILE : RECEIVING_NONE;
    return error;
}

/* May this one take the place of the one that is there? */
static bool replaces(const struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk)
{
    const struct receiving *v = &r->receiving;
    if (!v->busy && replica__now(r) - v->grown_ns > OAK_SNAPSHOT_IDLE_MS_MAX * NS_A_MS) {
        return true;
    }
    if (from != v->from) {
        return false;
    }
    /* A sender has one for us. Of another run, the older one can't go on; late frames of it cost
     * time, no more. */
    bool same_run = ((chunk->transfer ^ v->transfer) & ~TRANSFER_COUNT_MASK) == 0;
    return !same_run || chunk->transfer > v->transfer;
}

/* Not the transfer that is under way, or there is none. True: it begins here. */
static bool other_take(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk)
{
    struct receiving *v = &r->receiving;
    struct oak_peer_chunk_ack ack = {0};
    if (v->state != RECEIVING_NONE && !replaces(r, from, chunk)) {
        ack = (struct oak_peer_chunk_ack){.wait = true, .index = v->meta.index};
    } else if (chunk->data.size > 0 && chunk->offset == 0) {
        if (v->busy) {
            return false; /* the sender repeats it */
        }
        v->state = RECEIVING_NONE;
        if (receiving_begin(r, from, chunk) == 0) {
            return true;
        }
        ack.refused = true;
    } else {
        ack.gap = chunk->offset != 0 || chunk->last; /* an offer is welcome */
    }
    replica__chunk_ack(r, from, chunk->transfer, ack);
    return false;
}

/* What it holds is here, or on its way from its file. */
static bool not_needed(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk,
                       bool same)
{
    struct receiving *v = &r->receiving;
    const struct installing *in = &r->installing;
    struct oak_peer_chunk_ack ack = {0};
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (in->state != INSTALL_NONE) {
        bool it = in->from == from && in->transfer == chunk->transfer;
        ack.offset = it ? chunk->offset + chunk->data.size : 0;
        ack.wait = !it;
        ack.index = in->meta.index;
    } else if (chunk->snapshot.index <= status.commit) {
        ack.installed = true;
        if (same && !v->busy) {
            receiving_abandon(r);
        }
    } else {
        return false;
    }
    replica__chunk_ack(r, from, chunk->transfer, ack);
    return true;
}

void replica__chunk_take(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk)
{
    struct receiving *v = &r->receiving;
    bool same = v->state != RECEIVING_NONE && v->from == from && v->transfer == chunk->transfer;
    if (not_needed(r, from, chunk, same) || r->installing.busy ||
        (!same && !other_take(r, from, chunk))) {
        return;
    }
    if (v->state == RECEIVING_LEFT) {
        if (!v->busy) {
            worker_post(r, resume_go, resume_back);
        }
        return;
    }
    bool behind = chunk->offset > v->expected;
    if (OAK_BUG(snap_resume_wrong_offset) && behind && v->written > 0 && chunk->data.size > 0) {
        behind = false;
    } else if (chunk->offset != v->expected) {
        progress_tell(r, behind);
        return;
    }
    size_t size = chunk->data.size;
    if (v->next.size + size > GATHER_BYTES_MAX ||
        oak_buf_append(&v->next, chunk->data.data, size) != 0) {
        return; /* as if lost */
    }
    v->expected += size;
    v->grown_ns = size > 0 || chunk->last ? replica__now(r) : v->grown_ns;
    r->counters.snapshot_received_bytes += size;
    v->last = v->last || chunk->last;
    if (size == 0) {
        progress_tell(r, false);
    }
    write_kick(r);
}

/* -- the ends of a life ------------------------------------------------------------------------ */

/* A part file: its sender may still be there. */
static int part_recover(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    const struct oak_replica_options *o = &r->options;
    uint8_t config[OAK_SNAP_CONFIG_BYTES_MAX];
    struct oak_snap_meta meta;
    int error = oak_snap_part(o->disk, r->snap_dir, o->group, &meta, config);
    if (error != 0) {
        return error == OAK_ENOENT ? 0 : error;
    }
    if (meta.index <= oak_kv_state(r->kv)->applied || meta.from == 0 ||
        oak_raft_config_decode(meta.config.data, meta.config.size, &v->meta.config) != 0) {
        return oak_snap_discard(o->disk, r->snap_dir, o->group);
    }
    v->meta.index = meta.index;
    v->meta.term = meta.term;
    v->from = meta.from;
    v->transfer = meta.transfer;
    v->lead = meta.lead;
    v->grown_ns = replica__now(r);
    v->state = RECEIVING_LEFT;
    error = oak_buf_append(&v->config, meta.config.data, meta.config.size);
    return error;
}

/* A whole file that had not got as far as Raft. Damage in it is found while it is built from. */
static int whole_recover(struct oak_replica *r, bool *found)
{
    const struct oak_replica_options *o = &r->options;
    struct oak_snap_reader *reader = NULL;
    struct oak_raft_snapshot meta = {0};
    *found = false;
    int error = oak_snap_newest(o->disk, r->snap_dir, o->group, &reader, NULL);
    if (error == 0) {
        const struct oak_snap_meta *m = oak_snap_meta(reader);
        meta.index = m->index;
        meta.term = m->term;
        *found = m->index > oak_kv_state(r->kv)->applied && m->from != 0 &&
                 oak_raft_config_decode(m->config.data, m->config.size, &meta.config) == 0;
        error = *found ? oak_snap_discard(o->disk, r->snap_dir, o->group)
                       : oak_snap_purge(o->disk, r->snap_dir, o->group, UINT64_MAX);
        if (error == 0 && *found) {
            replica__install_build(r, &meta, m->from, m->transfer, m->lead);
        }
        oak_snap_close(reader);
        return error;
    }
    if (error == OAK_ECORRUPT) {
        /* It did not count yet: it is fetched anew. */
        return oak_snap_purge(o->disk, r->snap_dir, o->group, UINT64_MAX);
    }
    return error == OAK_ENOENT ? 0 : error;
}

int replica__receive_recover(struct oak_replica *r, struct oak_errbuf *e)
{
    bool whole = false;
    int error = whole_recover(r, &whole);
    if (error == 0 && !whole) {
        error = part_recover(r);
    }
    return error == 0 ? 0
                      : oak_fail(e, error, "what a transfer has left in %s can't be read: %s",
                                 r->snap_dir, oak_error_text(error));
}

void replica__receive_tick(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    if (v->state == RECEIVING_NONE || v->busy ||
        replica__now(r) - v->grown_ns <= OAK_SNAPSHOT_IDLE_MS_MAX * NS_A_MS) {
        return;
    }
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (v->meta.index <= status.commit) {
        receiving_abandon(r); /* its sender is gone, and the log has brought what it would */
    }
}

void replica__receive_fini(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    oak_snap_keep(v->writer);
    oak_buf_fini(&v->next);
    oak_buf_fini(&v->away);
    oak_buf_fini(&v->config);
}
