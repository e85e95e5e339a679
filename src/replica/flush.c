/* SPDX-License-Identifier: Apache-2.0 */
/* flush.c: making the store durable now and then, so that the log may be released; and keeping the
 * log in memory short.
 *
 * The store lags behind the log on disk, never the other way round: the log is released only up to
 * what a finished flush has made durable. Nothing here stops serving: the flush runs on the worker.
 * One that finds no space is tried again until there is some; that is how a full store heals.
 *
 * Thread: the loop's; the flush itself is the worker's while busy.
 */
#include "replica/held.h"
#include "replica/internal.h"

#include "base/zoo.h"

/* Between a flush that found no space, or was not done yet, and the next. */
#define AGAIN_NS (250 * NS_A_MS)

static void full_tell(struct oak_replica *r)
{
    struct flushing *f = &r->flushing;
    bool full = oak_store_full(r->options.store, NULL);
    if (full != f->full_told) {
        f->full_told = full;
        oak_log(r->options.log, full ? OAK_LOG_ERROR : OAK_LOG_WARN,
                full ? "alarm NOSPACE: the store in %s finds no space on its device: writes are "
                       "refused, and what was taken waits in memory and in the log"
                     : "the store in %s has found space again, and has lost nothing",
                r->options.dir);
    }
}

static void flush_go(struct oak_task *task)
{
    struct flushing *f = OAK_CONTAINER_OF(task, struct flushing, go);
    oak_store_flush_run(f->flush);
    const struct oak_exec *loop = &f->replica->options.loop->exec;
    loop->post(loop->user, &f->back);
}

static void flush_back(struct oak_task *task)
{
    struct flushing *f = OAK_CONTAINER_OF(task, struct flushing, back);
    struct oak_replica *r = f->replica;
    uint64_t durable = 0;
    int error = oak_store_flush_end(f->flush, &durable);
    f->flush = NULL;
    f->busy = false;
    if (replica__close_check(r)) {
        return;
    }
    if (error == OAK_ENOSPC || error == OAK_EAGAIN) {
        f->after_ns = replica__now(r) + AGAIN_NS;
    } else if (error != 0) {
        replica__fatal(r, error, "flushing the store");
        return;
    }
    if (durable > f->released) {
        f->released = durable;
        oak_journal_release(r->journal, &r->log, durable);
        oak_journal_kick(r->journal);
    }
    replica__install_go(r, 0);
    replica__apply_release(r);
}

/* Enough has gathered, or the last one is to be tried again. */
static bool flush_due(const struct oak_replica *r)
{
    const struct flushing *f = &r->flushing;
    bool again = f->after_ns != 0 || oak_store_full(r->options.store, NULL);
    return (again || f->bytes >= r->options.flush_bytes) && replica__now(r) >= f->after_ns;
}

void replica__flush_check(struct oak_replica *r)
{
    struct flushing *f = &r->flushing;
    full_tell(r);
    if (f->busy || r->installing.active || !flush_due(r)) {
        return;
    }
    f->replica = r;
    f->go.run = flush_go;
    f->back.run = flush_back;
    int error = oak_store_flush_begin(r->options.store, &f->flush);
    if (error == OAK_ENOSPC || error == OAK_ENOMEM) {
        f->after_ns = replica__now(r) + AGAIN_NS;
        return;
    }
    if (error != 0) {
        replica__fatal(r, error, "beginning a flush of the store");
        return;
    }
    f->bytes = 0;
    f->after_ns = 0;
    f->busy = true;
    r->options.worker.post(r->options.worker.user, &f->go);
}

/* Up to where the log may go without a follower that is waited for losing what it needs next. */
static uint64_t held_from(const struct oak_replica *r, const struct oak_raft_status *status)
{
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    uint64_t held = HELD_NOTHING;
    bool over = status->log_bytes > r->options.log_held_bytes ||
                status->last - status->first > r->options.log_held_entries;
    if (over && !OAK_BUG(log_held_for_ever)) {
        return held;
    }
    size_t count = oak_raft_peers(r->raft, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        const struct held_view view = {
            .first = status->first,
            .snapshot = replica__snapshot_index(r, peers[i].id),
            .offered = replica__snapshot_offered(r, peers[i].id),
            .away_ms = r->options.log_away_ms,
        };
        held = OAK_MIN(held, held_for(&peers[i], &view));
    }
    /* A snapshot outlives its sender's lead, and that may come back before it has arrived. */
    uint64_t sent = status->role == OAK_RAFT_LEADER ? 0 : replica__snapshot_oldest(r);
    if (sent != 0 && sent + 1 >= status->first) {
        held = OAK_MIN(held, sent);
    }
    return held;
}

void replica__compact_check(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    uint64_t entries = status.applied >= status.first ? status.applied - status.first + 1 : 0;
    uint64_t tail = r->options.log_tail_entries;
    if (entries <= tail && (status.log_bytes <= r->options.log_tail_bytes || entries < 16)) {
        return;
    }
    /* Half of what is applied goes; the other half serves followers that lag. */
    uint64_t drop = entries > tail ? OAK_MAX(entries - tail, tail / 2) : entries / 2;
    uint64_t index = OAK_MIN(status.first + OAK_MIN(drop, entries) - 1, held_from(r, &status));
    if (index < status.first) {
        return;
    }
    int error = oak_raft_compact(r->raft, index);
    OAK_ASSERT_EQ(error, 0);
    if (OAK_BUG(release_before_flush)) {
        oak_journal_release(r->journal, &r->log, index);
    }
}
