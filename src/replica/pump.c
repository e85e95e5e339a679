/* SPDX-License-Identifier: Apache-2.0 */
/* pump.c: the replica's turn: after each round of events, what has gathered is moved on.
 *
 *     commands and reads that came   -> the Raft core (or the leader)
 *     the core's messages            -> the transport, at once: the leader's own sync runs beside
 *     the core's log batch           -> the log writer
 *     what is committed and durable  -> the state machine, then its clients
 *
 * Nothing here calls the core from inside a callback of a client: commands gather until the next
 * round, so that an output of the core stays valid while it is worked off.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

#include <stdio.h>

uint64_t replica__now(const struct oak_replica *r)
{
    const struct oak_clock *clock = &r->options.loop->clock;
    return clock->mono_ns(clock->user);
}

void replica__fatal(struct oak_replica *r, int error, const char *what)
{
    if (r->failed) {
        return;
    }
    r->failed = true;
    char text[256];
    snprintf(text, sizeof(text), "%s: %s", what, oak_error_text(error));
    r->options.fatal(r->options.user, error, text);
}

static void messages_send(struct oak_replica *r, const struct oak_raft_output *out)
{
    for (size_t i = 0; i < out->send_count && !replica__hello_mute(r); i++) {
        OAK_ASSERT_NE(out->send[i].to, r->options.id);
        struct oak_peer_frame frame = {.kind = OAK_PEER_RAFT, .u.raft = out->send[i]};
        replica__send(r, out->send[i].to, false, &frame);
    }
}

static void output_handle(struct oak_replica *r)
{
    const struct oak_raft_output *out = oak_raft_take(r->raft);
    messages_send(r, out);
    if (out->persist.token != 0) {
        int error = replica__log_add(r, &out->persist);
        if (error != 0) {
            replica__fatal(r, error, "queueing a batch for the log");
            return;
        }
        if (out->persist.restore != NULL) {
            replica__install_want(r, out->persist.restore, out->persist.token);
        }
    }
    for (size_t i = 0; i < out->read_count; i++) {
        replica__reads_done(r, &out->reads[i]);
    }
    struct oak_raft_snapshot_want wants[OAK_PEERS_MAX];
    size_t want_count = OAK_MIN(out->snapshot_count, OAK_COUNT_OF(wants));
    for (size_t i = 0; i < want_count; i++) {
        wants[i] = out->snapshots[i];
    }
    if (out->apply_count > 0) {
        replica__apply(r, out->apply, out->apply_count);
    }
    /* Only now, with the output worked off, may the core be called again. */
    for (size_t i = 0; i < want_count; i++) {
        replica__snapshot_start(r, &wants[i]);
    }
}

/* Who asks which member leads. The term may rise under one leader who has not been seen to lose. */
static void leadership_tell(struct oak_replica *r, const struct oak_raft_status *status)
{
    bool leads = status->leader == r->options.id;
    if (r->options.leadership != NULL && (leads != r->leads_told || status->term != r->term_told)) {
        r->leads_told = leads;
        r->term_told = status->term;
        r->options.leadership(r->options.user, leads, status->term);
    }
}

static void leadership_note(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    leadership_tell(r, &status);
    if (status.leader == r->leader_seen) {
        return;
    }
    if (status.leader != 0) {
        r->counters.leader_changes++;
        oak_log(r->options.log, OAK_LOG_INFO, "member %016llx leads in term %llu",
                (unsigned long long)status.leader, (unsigned long long)status.term);
    } else {
        oak_log(r->options.log, OAK_LOG_WARN, "no leader is known in term %llu",
                (unsigned long long)status.term);
    }
    r->leader_seen = status.leader;
    /* What was sent to the old leader may or may not have happened: tell the clients now, not after
     * the whole time-out. */
    replica__forwards_fail(r, 0, OAK_ETIMEOUTLEADERFAIL);
    replica__asks_lost(r);
}

static void losses_tell(struct oak_replica *r)
{
    for (size_t i = 0; i < r->remote_count; i++) {
        struct remote *remote = &r->remotes[i];
        if (!remote->lost) {
            continue;
        }
        remote->lost = false;
        oak_raft_unreachable(r->raft, remote->id);
        if (remote->id == r->leader_seen) {
            replica__forwards_fail(r, 0, OAK_ETIMEOUTCONNLOST);
            replica__asks_lost(r);
        }
    }
}

void replica__pump(struct oak_replica *r)
{
    if (r->pumping || r->failed || r->closing) {
        return;
    }
    r->pumping = true;
    oak_raft_clock(r->raft, replica__now(r) / 1000);
    losses_tell(r);
    do {
        leadership_note(r);
        replica__members_follow(r);
        replica__change_dispatch(r);
        replica__handover_dispatch(r);
        replica__dispatch(r);
        replica__expiry_follow(r);
        replica__asks_go(r);
        replica__reads_by_lease(r);
        replica__reads_serve(r);
        replica__reads_ask(r);
        if (!oak_raft_has_output(r->raft)) {
            break;
        }
        output_handle(r);
        if (!r->failed) {
            replica__reads_serve(r);
        }
    } while (!r->failed);
    if (!r->failed) {
        oak_journal_kick(r->journal);
        replica__hash_go(r);
        replica__flush_check(r);
        replica__compact_check(r);
    }
    r->pumping = false;
}

static void closed_run(struct oak_task *task)
{
    struct oak_replica *r = OAK_CONTAINER_OF(task, struct oak_replica, close_task);
    r->close_posted = false;
    if (!replica__idle(r)) {
        /* A job is still away: its return posts this task again. */
        return;
    }
    void (*closed)(void *user) = r->closed;
    void *user = r->closed_user;
    replica__snapshot_fini(r);
    replica__receive_fini(r);
    replica__install_fini(r);
    replica__apply_fini(r);
    oak_journal_leave(r->journal, &r->log);
    oak_kv_free(r->kv);
    oak_lease_free(r->expiring.table);
    oak_raft_free(r->raft);
    oak_arena_fini(&r->apply_arena);
    oak_arena_fini(&r->frame_arena);
    oak_buf_fini(&r->frame);
    oak_buf_fini(&r->gathered);
    oak_buf_fini(&r->held);
    struct oak_alloc libc = oak_alloc_libc();
    libc.resize(libc.user, r->slots, 0);
    libc.resize(libc.user, r->snap_dir, 0);
    libc.resize(libc.user, r, 0);
    closed(user);
}

bool replica__idle(const struct oak_replica *r)
{
    bool sending = false;
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        sending = sending || r->sendings[i].busy;
    }
    return !oak_journal_busy(&r->log) && !sending && !r->receiving.busy && !r->installing.busy &&
           !r->flushing.busy && !r->newborn.busy && !r->memory.busy && !r->scrubbing.busy &&
           !r->hashing.busy && !r->squeezing.busy;
}

bool replica__close_check(struct oak_replica *r)
{
    if (r->closing && !r->close_posted && replica__idle(r)) {
        r->close_posted = true;
        r->options.loop->exec.post(r->options.loop->exec.user, &r->close_task);
    }
    return r->closing;
}

void oak_replica_close(struct oak_replica *r, void (*closed)(void *user), void *user)
{
    OAK_ASSERT(!r->closing);
    OAK_ASSERT(!r->pumping);
    replica__requests_stop(r);
    replica__hash_stop(r);
    const struct oak_loop *loop = r->options.loop;
    loop->timers.stop(loop->timers.user, &r->tick);
    loop->after_remove(loop->user, &r->after);
    r->closing = true;
    r->closed = closed;
    r->closed_user = user;
    r->close_task.run = closed_run;
    oak_journal_give_up(r->journal);
    (void)replica__close_check(r);
}
