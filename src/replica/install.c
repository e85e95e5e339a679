/* SPDX-License-Identifier: Apache-2.0 */
/* install.c: a received snapshot, from its file into the store, without a pause in serving.
 *
 *              built            Raft takes it        its mark is durable
 *   BUILDING ─────────▶ BUILT ───────────────▶ TAKEN ────────────────────▶ COMMITTING ──▶ (none)
 *       │ full, damaged   │ overtaken
 *       └─────────────────┴──▶ dropped
 *
 * Happy path   1 the file is whole and durable (receive.c)
 *              2 (worker) it is read back, every checksum checked, and new contents are built
 *                beside the store's; the old ones go on being read and written
 *              3 Raft is told and, if it takes it, puts a mark into the log
 *              4 the mark is durable: (worker) the new contents are renamed to be the store's
 *              5 the store and the state machine switch; entries held back meanwhile are applied
 * Crashes      Before 3: the file is there, start-up goes on with step 2 (receive.c). Before the
 *              mark is durable: the same. After it: start-up does steps 2 to 5 (recover.c).
 * Can fail     before 3 nothing counts yet: a full disk or damage in the file drops it, its sender
 *              is refused and sends anew later. Behind it there is no way back: an error is fatal
 *              and start-up tries again from the file, which is durable.
 * Reads        See the old state, a consistent one, up to the moment of 5. Linearizable ones wait
 *              from 3 to 5: for a sync of the log and a rename.
 * Threads      the loop's; reader, restore and `whole` are the worker's while busy.
 */
#include "replica/internal.h"

#include "base/zoo.h"

/* Of a file, between two looks at what else there is for the worker to do. */
#define BUILD_BYTES (1 * OAK_MIB)
/* A member that is no follower can't take it; when it isn't one so long, another is as good. */
#define OFFER_NS (10000 * NS_A_MS)

static void worker_post(struct installing *in, void (*go)(struct oak_task *task),
                        void (*back)(struct oak_task *task))
{
    OAK_ASSERT(!in->busy);
    in->go.run = go;
    in->back.run = back;
    in->busy = true;
    in->replica->options.worker.post(in->replica->options.worker.user, &in->go);
}

static void loop_post(struct installing *in)
{
    const struct oak_exec *loop = &in->replica->options.loop->exec;
    loop->post(loop->user, &in->back);
}

/* -- the end of it ----------------------------------------------------------------------------- */

static void clean_go(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, go);
    struct oak_replica *r = in->replica;
    oak_snap_close(in->reader);
    in->reader = NULL;
    if (in->restore != NULL) {
        oak_store_restore_end(in->restore);
        in->restore = NULL;
    }
    in->error = oak_snap_purge(r->options.disk, r->snap_dir, r->options.group, UINT64_MAX);
    loop_post(in);
}

static void clean_back(struct oak_task *task)
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
}

/* The file has done its work, or is of no use. */
static void finish(struct oak_replica *r, bool installed)
{
    struct installing *in = &r->installing;
    in->state = INSTALL_NONE;
    in->active = false;
    struct oak_peer_chunk_ack ack = {.installed = installed, .refused = !installed};
    replica__chunk_ack(r, in->from, in->transfer, ack);
    worker_post(in, clean_go, clean_back);
}

static void drop(struct oak_replica *r, bool installed, const char *why)
{
    struct installing *in = &r->installing;
    oak_log(r->options.log, OAK_LOG_WARN, "dropped a snapshot at index %llu: %s",
            (unsigned long long)in->meta.index, why);
    if (in->restore != NULL) {
        oak_store_restore_drop(in->restore);
    }
    r->counters.snapshots_refused += installed ? 0 : 1;
    finish(r, installed);
}

/* -- building ---------------------------------------------------------------------------------- */

static void build_go(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, go);
    struct oak_replica *r = in->replica;
    int error = 0;
    if (in->reader == NULL) {
        error = oak_snap_newest(r->options.disk, r->snap_dir, r->options.group, &in->reader, NULL);
        if (error == 0 && oak_snap_meta(in->reader)->index != in->meta.index) {
            error = OAK_ECORRUPT;
        }
    }
    for (size_t bytes = 0; error == 0 && !in->whole && bytes < BUILD_BYTES;) {
        struct oak_bytes chunk;
        error = oak_snap_read(in->reader, &chunk);
        in->whole = error == 0 && chunk.size == 0;
        if (error == 0 && !in->whole) {
            error = oak_store_restore_write(in->restore, chunk);
        }
        bytes += chunk.size;
    }
    if (error == 0 && in->whole) {
        error = oak_store_restore_prepare(in->restore);
    }
    in->error = error;
    loop_post(in);
}

static void offer(struct oak_replica *r);

static void build_back(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, back);
    struct oak_replica *r = in->replica;
    in->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (in->error == OAK_EIO) {
        replica__fatal(r, in->error, "building from a snapshot");
    } else if (in->error != 0) {
        r->counters.snapshots_damaged += in->error == OAK_ECORRUPT ? 1 : 0;
        drop(r, false, oak_error_text(in->error));
    } else if (!in->whole) {
        worker_post(in, build_go, build_back);
    } else {
        in->state = INSTALL_BUILT;
        in->built_ns = replica__now(r);
        offer(r);
        replica__pump(r);
    }
}

void replica__install_build(struct oak_replica *r, const struct oak_raft_snapshot *meta,
                            uint64_t from, uint64_t transfer, uint64_t lead)
{
    struct installing *in = &r->installing;
    OAK_ASSERT(in->state == INSTALL_NONE);
    OAK_ASSERT(in->reader == NULL);
    in->replica = r;
    in->state = INSTALL_BUILDING;
    in->meta = *meta;
    in->from = from;
    in->transfer = transfer;
    in->lead = lead;
    in->token = 0;
    in->durable = false;
    in->whole = false;
    int error = oak_store_restore_begin(r->options.store, &in->restore);
    if (error != 0) {
        drop(r, false, oak_error_text(error));
        return;
    }
    worker_post(in, build_go, build_back);
}

/* -- Raft -------------------------------------------------------------------------------------- */

/* Taking it acknowledges what is in it: so it waits, as all messages of the core do, for what
 * others remember of this member (hello.c). */
static bool may_take(struct oak_replica *r)
{
    struct remote *from = replica__remote(r, r->installing.from);
    return from != NULL && replica__hello_admits(r, from, from->it.boot);
}

/* It names the term in which its sender led, so that a leader of another term is not taken for
 * one. */
static void offer(struct oak_replica *r)
{
    struct installing *in = &r->installing;
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (status.commit >= in->meta.index) {
        drop(r, true, "its contents have come by the log");
        return;
    }
    const struct oak_raft_msg msg = {
        .type = OAK_RAFT_MSG_SNAPSHOT,
        .from = in->from,
        .to = r->options.id,
        .term = in->lead,
        .snapshot = in->meta,
    };
    int error = may_take(r) ? oak_raft_step(r->raft, &msg) : 0;
    oak_raft_status(r->raft, &status);
    if (error == OAK_RAFT_ENOMEM) {
        return;
    }
    if (error == OAK_RAFT_EHALTED) {
        replica__halt_raft(r);
        return;
    }
    if (error != 0) {
        drop(r, false, oak_raft_error_text(error));
    } else if (status.commit >= in->meta.index) {
        in->state = INSTALL_TAKEN;
        in->active = true;
        r->counters.snapshots_received++;
    } else if (replica__now(r) - in->built_ns > OFFER_NS) {
        drop(r, false, "this member does not follow");
    }
}

void replica__install_tick(struct oak_replica *r)
{
    if (r->installing.state == INSTALL_BUILT) {
        offer(r);
    }
}

void replica__install_want(struct oak_replica *r, const struct oak_raft_snapshot *meta,
                           uint64_t token)
{
    struct installing *in = &r->installing;
    OAK_ASSERT(in->state == INSTALL_TAKEN);
    OAK_ASSERT_EQ(in->meta.index, meta->index);
    in->token = token;
    if (OAK_BUG(install_before_durable)) {
        replica__install_go(r, token);
    }
}

/* -- the switch -------------------------------------------------------------------------------- */

static void commit_go(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, go);
    in->error = oak_store_restore_commit(in->restore);
    loop_post(in);
}

static void commit_back(struct oak_task *task)
{
    struct installing *in = OAK_CONTAINER_OF(task, struct installing, back);
    struct oak_replica *r = in->replica;
    in->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    int error = in->error;
    if (error == 0) {
        oak_store_restore_adopt(in->restore);
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
    finish(r, true);
    oak_raft_applied(r->raft, in->meta.index);
    replica__apply_release(r);
    replica__pump(r);
}

void replica__install_go(struct oak_replica *r, uint64_t durable_token)
{
    struct installing *in = &r->installing;
    if (in->state != INSTALL_TAKEN || in->token == 0) {
        return;
    }
    in->durable = in->durable || durable_token >= in->token;
    if (!in->durable || r->flushing.busy || r->squeezing.busy || !replica__hash_drop(r) ||
        !replica__snapshots_drop(r)) {
        return; /* whatever is in the way calls again when it is back */
    }
    in->state = INSTALL_COMMITTING;
    worker_post(in, commit_go, commit_back);
}

void replica__install_fini(struct oak_replica *r)
{
    struct installing *in = &r->installing;
    OAK_ASSERT(!in->busy);
    oak_snap_close(in->reader);
    if (in->restore != NULL) {
        oak_store_restore_drop(in->restore);
        oak_store_restore_end(in->restore);
    }
}
