/* SPDX-License-Identifier: Apache-2.0 */
/* receive.c: a snapshot of another member, from its chunks into a file, from the file into the
 * store.
 *
 * Happy path   1 chunks, in order, are written to a part file (worker)
 *              2 with the last, the file is made durable and named
 *              3 Raft is told and, if it takes it, puts a marker into the log
 *              4 the marker is durable: the file's contents replace the store's, piece by piece,
 *                while the loop goes on
 *              5 the state machine reads its state anew; entries held back meanwhile are applied
 *                Crash before 2 ends: a part file, removed at start. Before the marker is durable:
 *                a whole file that nobody needs, removed. After it, before 5: start-up does step 4
 *                (recover.c).
 * Can fail     disk full or an I/O error while receiving: the sender is refused and Raft tries
 *              again later. While installing: fatal, start-up tries again from the file.
 * Threads      the loop's; writer, reader and chunk are the worker's while busy.
 */
#include "replica/internal.h"

#include "base/zoo.h"

static void post_loop(struct oak_replica *r, struct oak_task *task)
{
    r->options.loop->exec.post(r->options.loop->exec.user, task);
}

static void ack_send(struct oak_replica *r, bool installed, bool refused)
{
    const struct receiving *v = &r->receiving;
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHUNK_ACK,
        .u.ack = {.transfer = v->transfer,
                  .offset = v->offset,
                  .installed = installed,
                  .refused = refused},
    };
    replica__send(r, v->from, false, &frame);
}

static void transfer_refuse(struct oak_replica *r, uint64_t to, uint64_t transfer)
{
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHUNK_ACK,
        .u.ack = {.transfer = transfer, .refused = true},
    };
    replica__send(r, to, false, &frame);
}

/* -- chunks into a file ------------------------------------------------------------------------ */

static void write_go(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, go);
    struct oak_replica *r = v->replica;
    int error = 0;
    if (v->offset == 0) {
        if (v->writer != NULL) {
            oak_snap_abort(v->writer); /* an abandoned transfer's */
            v->writer = NULL;
        }
        const struct oak_snap_meta meta = {
            .group = r->options.group,
            .index = v->meta.index,
            .term = v->meta.term,
            .config = oak_buf_bytes(&v->config),
        };
        /* A whole file that Raft did not take may lie there, newer than this one; nobody needs any:
         * no installation is under way. */
        error = oak_snap_purge(r->options.disk, r->snap_dir, r->options.group, UINT64_MAX);
        if (error == 0) {
            error = oak_snap_begin(r->options.disk, r->snap_dir, &meta, &v->writer);
        }
    }
    if (error == 0 && v->chunk.size > 0) {
        error = oak_snap_write(v->writer, oak_buf_bytes(&v->chunk));
    }
    if (error == 0 && v->last) {
        error = oak_snap_finish(v->writer);
        v->writer = NULL;
    }
    if (error != 0 && v->writer != NULL) {
        oak_snap_abort(v->writer);
        v->writer = NULL;
    }
    v->error = error;
    post_loop(r, &v->back);
}

static void received_whole(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    const struct oak_raft_msg msg = {
        .type = OAK_RAFT_MSG_SNAPSHOT,
        .from = v->from,
        .to = r->options.id,
        .term = v->term,
        .snapshot = v->meta,
    };
    int error = oak_raft_step(r->raft, &msg);
    v->active = false;
    r->counters.snapshots_received += error == 0 ? 1 : 0;
    ack_send(r, error == 0, error != 0);
}

static void write_back(struct oak_task *task)
{
    struct receiving *v = OAK_CONTAINER_OF(task, struct receiving, back);
    struct oak_replica *r = v->replica;
    v->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (v->error != 0) {
        oak_log(r->options.log, OAK_LOG_ERROR, "a snapshot can't be written below %s: %s",
                r->snap_dir, oak_error_text(v->error));
        v->active = false;
        ack_send(r, false, true);
        return;
    }
    v->offset += v->chunk.size;
    if (v->last) {
        received_whole(r);
    } else {
        ack_send(r, false, false);
    }
}

static int receiving_begin(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk)
{
    struct receiving *v = &r->receiving;
    v->replica = r;
    v->from = from;
    v->transfer = chunk->transfer;
    v->meta = chunk->snapshot;
    v->offset = 0;
    v->last = false;
    v->active = true;
    oak_buf_clear(&v->config);
    int error = oak_buf_reserve(&v->config, OAK_RAFT_CONFIG_BYTES_MAX);
    if (error == 0) {
        v->config.size = oak_raft_config_encode(&v->meta.config, v->config.data);
    }
    return error;
}

void replica__chunk_take(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk)
{
    struct receiving *v = &r->receiving;
    if (v->busy || r->installing.active) {
        return; /* the sender repeats it */
    }
    bool other = !v->active || v->transfer != chunk->transfer;
    if (other && chunk->offset != 0) {
        /* We have forgotten its beginning in a restart, or taken up another: it has to begin anew,
         * and its sender shall know it now. */
        transfer_refuse(r, from, chunk->transfer);
        return;
    }
    int error = other ? receiving_begin(r, from, chunk) : 0;
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (error != 0 || v->meta.index <= status.commit || chunk->term < status.term) {
        v->active = false;
        ack_send(r, false, true);
        return;
    }
    if (chunk->offset != v->offset) {
        ack_send(r, false, false); /* repeated: say where we are */
        return;
    }
    oak_buf_clear(&v->chunk);
    if (oak_buf_append(&v->chunk, chunk->data.data, chunk->data.size) != 0) {
        return;
    }
    v->term = chunk->term;
    v->last = chunk->last;
    v->go.run = write_go;
    v->back.run = write_back;
    v->busy = true;
    r->options.worker.post(r->options.worker.user, &v->go);
}

/* -- the file into the store ------------------------------------------------------------------- */

void replica__install_want(struct oak_replica *r, const struct oak_raft_snapshot *meta,
                           uint64_t token)
{
    struct installing *in = &r->installing;
    OAK_ASSERT(!in->active);
    in->replica = r;
    in->meta = *meta;
    in->token = token;
    in->durable = false;
    in->active = true;
    if (OAK_BUG(install_before_durable)) {
        replica__install_go(r, token);
    }
}

static void read_go(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, go);
    struct oak_replica *r = in->replica;
    int error = 0;
    if (in->reader == NULL) {
        error = oak_snap_newest(r->options.disk, r->snap_dir, r->options.group, &in->reader, NULL);
    }
    if (error == 0) {
        error = oak_snap_read(in->reader, &in->chunk);
    }
    in->error = error;
    post_loop(r, &in->back);
}

static void purge_go(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, go);
    struct oak_replica *r = in->replica;
    in->error = oak_snap_purge(r->options.disk, r->snap_dir, r->options.group, in->purge_below);
    post_loop(r, &in->back);
}

static void purge_back(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, back);
    struct oak_replica *r = in->replica;
    in->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (in->error != 0) {
        oak_log(r->options.log, OAK_LOG_WARN, "an old snapshot below %s can't be removed: %s",
                r->snap_dir, oak_error_text(in->error));
    }
    replica__install_go(r, 0);
}

static void installed(struct oak_replica *r)
{
    struct installing *in = &r->installing;
    oak_snap_close(in->reader);
    in->reader = NULL;
    int error = oak_store_restore_finish(in->restore);
    in->restore = NULL;
    if (error == 0) {
        error = replica__config_installed(r, &in->meta);
    }
    if (error == 0) {
        error = oak_kv_reload(r->kv);
    }
    if (error != 0) {
        replica__fatal(r, error, "installing a snapshot");
        return;
    }
    OAK_ASSERT_EQ(oak_kv_state(r->kv)->applied, in->meta.index);
    oak_log(r->options.log, OAK_LOG_INFO, "installed a snapshot at index %llu",
            (unsigned long long)in->meta.index);
    in->active = false;
    oak_raft_applied(r->raft, in->meta.index);
    /* The store holds it durably: the file has done its work. */
    in->purge_below =
        in->meta.index + 1; /* the next one may be wanted before the worker comes to it */
    in->go.run = purge_go;
    in->back.run = purge_back;
    in->busy = true;
    r->options.worker.post(r->options.worker.user, &in->go);
    if (in->held_count > 0) {
        size_t count = in->held_count;
        in->held_count = 0;
        replica__apply(r, in->held, count);
    }
    replica__pump(r);
}

static void read_back(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, back);
    struct oak_replica *r = in->replica;
    in->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    int error = in->error;
    if (error == 0 && in->restore == NULL) {
        error = oak_snap_meta(in->reader)->index == in->meta.index
                    ? oak_store_restore_begin(r->options.store, &in->restore)
                    : OAK_ECORRUPT;
    }
    if (error == 0 && in->chunk.size == 0) {
        installed(r);
        return;
    }
    if (error == 0) {
        error = oak_store_restore_write(in->restore, in->chunk);
    }
    if (error != 0) {
        replica__fatal(r, error, "installing a snapshot");
        return;
    }
    in->busy = true;
    r->options.worker.post(r->options.worker.user, &in->go);
}

void replica__install_go(struct oak_replica *r, uint64_t durable_token)
{
    struct installing *in = &r->installing;
    if (!in->active) {
        return;
    }
    in->durable = in->durable || durable_token >= in->token;
    if (!in->durable || in->busy || in->reader != NULL || r->flushing.busy ||
        !replica__snapshots_drop(r)) {
        return; /* whatever is in the way calls again when it is back */
    }
    in->go.run = read_go;
    in->back.run = read_back;
    in->busy = true;
    r->options.worker.post(r->options.worker.user, &in->go);
}

int replica__install_hold(struct oak_replica *r, const struct oak_raft_entry *entries, size_t count)
{
    struct installing *in = &r->installing;
    if (in->held_count + count > in->held_capacity) {
        size_t capacity = OAK_MAX(in->held_count + count, in->held_capacity * 2);
        struct oak_alloc libc = oak_alloc_libc();
        void *grown = libc.resize(libc.user, in->held, capacity * sizeof(*in->held));
        if (grown == NULL) {
            return OAK_ENOMEM;
        }
        in->held = grown;
        in->held_capacity = capacity;
    }
    memcpy(in->held + in->held_count, entries, count * sizeof(*entries));
    in->held_count += count;
    return 0;
}

void replica__receive_fini(struct oak_replica *r)
{
    struct receiving *v = &r->receiving;
    struct installing *in = &r->installing;
    if (v->writer != NULL) {
        oak_snap_abort(v->writer);
    }
    oak_buf_fini(&v->chunk);
    oak_buf_fini(&v->config);
    if (in->restore != NULL) {
        oak_store_restore_drop(in->restore);
        oak_store_restore_end(in->restore);
    }
    if (in->reader != NULL) {
        oak_snap_close(in->reader);
    }
    struct oak_alloc libc = oak_alloc_libc();
    libc.resize(libc.user, in->held, 0);
}
