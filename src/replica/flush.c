/* SPDX-License-Identifier: Apache-2.0 */
/* flush.c: making the store durable now and then, so that the log may be released; and keeping the
 * log in memory short.
 *
 * The store lags behind the log on disk, never the other way round: the log is released only up to
 * what a finished flush has made durable. Nothing here stops serving: the flush runs on the worker.
 *
 * Thread: the loop's; the flush itself is the worker's while busy.
 */
#include "replica/held.h"
#include "replica/internal.h"

#include "base/zoo.h"

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
    if (error == OAK_ENOSPC) {
        oak_log(r->options.log, OAK_LOG_ERROR,
                "no space left on the device of %s: the log can't be shortened until there is",
                r->options.dir);
    } else if (error != 0) {
        replica__fatal(r, error, "flushing the store");
    } else if (durable > 0) {
        oak_journal_release(r->journal, &r->log, durable);
        oak_journal_kick(r->journal);
    }
    replica__install_go(r, 0);
}

void replica__flush_check(struct oak_replica *r)
{
    struct flushing *f = &r->flushing;
    if (f->busy || f->bytes < r->options.flush_bytes || r->installing.active) {
        return;
    }
    f->replica = r;
    f->go.run = flush_go;
    f->back.run = flush_back;
    int error = oak_store_flush_begin(r->options.store, &f->flush);
    if (error != 0) {
        oak_log(r->options.log, OAK_LOG_ERROR, "the store can't begin a flush: %s",
                oak_error_text(error));
        return;
    }
    f->bytes = 0;
    f->busy = true;
    r->options.worker.post(r->options.worker.user, &f->go);
}

/* Up to where the log may go without a member that is there losing what it needs next. */
static uint64_t held_from(const struct oak_replica *r, const struct oak_raft_status *status)
{
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    uint64_t held = UINT64_MAX;
    bool over = status->log_bytes > r->options.log_held_bytes ||
                status->last - status->first > r->options.log_held_entries;
    if (over && !OAK_BUG(log_held_for_ever)) {
        return held;
    }
    size_t count = oak_raft_peers(r->raft, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        const struct oak_raft_peer_status *p = &peers[i];
        uint64_t sent = replica__snapshot_index(r, p->id);
        uint64_t has = held_above(p, sent);
        /* A member that is away is not waited for, but for what has been begun with it. */
        if (p->id == r->options.id || (!p->active && sent == 0)) {
            continue;
        }
        /* What is gone already is no reason to keep the rest. */
        if (has + 1 >= status->first) {
            held = OAK_MIN(held, has);
        }
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
