/* SPDX-License-Identifier: Apache-2.0 */
/* replica.c: opening a replica, its clock, and looking at it.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

#include <stdio.h>

/* The core is ticked four times a heartbeat; reclaiming hidden versions goes along, a little each
 * time. */
#define TICKS_A_HEARTBEAT 4
#define RECLAIM_STEPS     512

static void tick_set(struct oak_replica *r)
{
    const struct oak_timers *timers = &r->options.loop->timers;
    uint64_t ns = 1000000ull * r->options.heartbeat_ms / TICKS_A_HEARTBEAT;
    timers->set(timers->user, &r->tick, replica__now(r) + ns);
}

static void tick_fire(struct oak_timer *timer)
{
    struct oak_replica *r = OAK_CONTAINER_OF(timer, struct oak_replica, tick);
    if (r->failed || r->closing) {
        return;
    }
    uint64_t now = replica__now(r);
    uint64_t late = now > timer->due_ns ? now - timer->due_ns : 0;
    replica__wall_tell(r);
    int error = oak_raft_tick(r->raft, replica__now(r) / 1000000);
    if (error != 0) {
        oak_log(r->options.log, OAK_LOG_ERROR, "a tick failed: %s", oak_raft_error_text(error));
    }
    replica__snapshot_tick(r);
    replica__pace_tick(r);
    replica__load_tick(r, late);
    replica__chain_tick(r);
    replica__receive_tick(r);
    replica__install_tick(r);
    replica__damage_look(r);
    replica__scrub_tick(r);
    replica__requests_expire(r);
    replica__asks_tick(r);
    replica__expiry_tick(r);
    replica__newborn_tick(r);
    replica__hello_tick(r);
    if (r->failed) {
        return;
    }
    replica__publish(r);
    replica__lease_settle(r);
    replica__amends_tick(r);
    if (!r->installing.active) {
        bool more = false;
        error = oak_store_reclaim(r->options.store, RECLAIM_STEPS, &more);
        if (error != 0) {
            replica__fatal(r, error, "reclaiming old versions");
            return;
        }
    }
    replica__pump(r);
    oak_journal_tick(r->journal);
    oak_journal_prove(r->journal, 1000000ull * r->options.heartbeat_ms);
    tick_set(r);
    replica__resign_tick(r);
}

static void after_run(struct oak_after *after)
{
    replica__pump(OAK_CONTAINER_OF(after, struct oak_replica, after));
}

static char *path_join(const char *dir, const char *name)
{
    struct oak_alloc libc = oak_alloc_libc();
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = libc.resize(libc.user, NULL, size);
    if (path != NULL) {
        snprintf(path, size, "%s/%s", dir, name);
    }
    return path;
}

static int dirs_make(struct oak_replica *r, struct oak_errbuf *e)
{
    const struct oak_replica_options *o = &r->options;
    r->snap_dir = path_join(o->dir, "snap");
    if (r->snap_dir == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    int error = o->disk->make_dir(o->disk->user, r->snap_dir);
    if (error == 0) {
        error = o->disk->sync_dir(o->disk->user, o->dir);
    }
    return error == 0 ? 0
                      : oak_fail(e, error, "can't make %s: %s", r->snap_dir, oak_error_text(error));
}

static void defaults_fill(struct oak_replica_options *o)
{
    o->heartbeat_ms = o->heartbeat_ms != 0 ? o->heartbeat_ms : 100;
    o->election_ms = o->election_ms != 0 ? o->election_ms : 1000;
    o->request_bytes_max = o->request_bytes_max != 0 ? o->request_bytes_max : OAK_REQUEST_BYTES_MAX;
    o->append_bytes_max = o->append_bytes_max != 0 ? o->append_bytes_max : OAK_APPEND_BYTES_MAX;
    o->flush_bytes = o->flush_bytes != 0 ? o->flush_bytes : 32 * OAK_MIB;
    o->store_waiting_max =
        o->store_waiting_max != 0 ? o->store_waiting_max : OAK_STORE_WAITING_BYTES_MAX;
    o->log_held_entries = o->log_held_entries != 0 ? o->log_held_entries : OAK_LOG_HELD_ENTRIES_MAX;
    o->snapshot_chunk_bytes = OAK_MIN(o->snapshot_chunk_bytes, OAK_SNAPSHOT_CHUNK_BYTES_MAX);
    if (o->snapshot_chunk_bytes == 0) {
        o->snapshot_chunk_bytes = OAK_SNAPSHOT_CHUNK_BYTES_MAX;
    }
    if (o->snapshot_window_bytes == 0) {
        o->snapshot_window_bytes = OAK_SNAPSHOT_WINDOW_BYTES_MAX;
    }
    o->snapshot_sync_bytes =
        o->snapshot_sync_bytes != 0 ? o->snapshot_sync_bytes : OAK_SNAPSHOT_SYNC_BYTES_MAX;
    o->snapshot_send_rate =
        o->snapshot_send_rate != 0 ? o->snapshot_send_rate : OAK_SNAPSHOT_SEND_BYTES_A_SECOND_MAX;
    o->note_ms = o->note_ms != 0 ? o->note_ms : OAK_NOTE_MS;
    o->log_tail_entries = o->log_tail_entries != 0 ? o->log_tail_entries : OAK_LOG_TAIL_ENTRIES_MAX;
    o->log_away_ms = o->log_away_ms != 0 ? o->log_away_ms : OAK_LOG_AWAY_MS;
    o->log_tail_bytes = o->log_tail_bytes != 0 ? o->log_tail_bytes : OAK_LOG_TAIL_BYTES_MAX;
    o->log_held_bytes = o->log_held_bytes != 0 ? o->log_held_bytes : OAK_LOG_HELD_BYTES_MAX;
    o->uncommitted_bytes =
        o->uncommitted_bytes != 0 ? o->uncommitted_bytes : OAK_UNCOMMITTED_BYTES_MAX;
    o->inflight_bytes = o->inflight_bytes != 0 ? o->inflight_bytes : OAK_INFLIGHT_BYTES_MAX;
    o->log_bytes = o->log_bytes != 0 ? o->log_bytes : OAK_LOG_BYTES_MAX;
    OAK_ASSERT_LE(o->log_tail_bytes, o->log_held_bytes);
    OAK_ASSERT_LE(2 * o->uncommitted_bytes + o->log_held_bytes, o->log_bytes);
}

/* Of the option; 0: never. */
static uint64_t checkpoint_ns(uint64_t wanted)
{
    uint64_t ns = wanted != 0 ? wanted : OAK_LEASE_CHECKPOINT_MS * NS_A_MS;
    return ns == OAK_REPLICA_UNLIMITED ? 0 : OAK_MAX(ns, OAK_LEASE_CHECKPOINT_MS_MIN * NS_A_MS);
}

static int parts_make(struct oak_replica *r, struct oak_errbuf *e)
{
    const struct oak_loop *loop = r->options.loop;
    struct oak_alloc libc = oak_alloc_libc();
    r->slots = libc.resize(libc.user, NULL,
                           OAK_PENDING_REQUESTS_MAX * sizeof(struct oak_replica_request *));
    if (r->slots == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    memset(r->slots, 0, OAK_PENDING_REQUESTS_MAX * sizeof(struct oak_replica_request *));
    oak_list_init(&r->reads_new);
    oak_list_init(&r->reads_sent);
    oak_list_init(&r->reads_wait);
    oak_list_init(&r->hashing.questions);
    replica__asks_init(r);
    const struct oak_lease_options leases = {
        .alloc = libc,
        .revokes_a_second = OAK_LEASE_REVOKES_A_SECOND_MAX,
        .checkpoint_ns = checkpoint_ns(r->options.lease_checkpoint_ns),
    };
    if (oak_lease_new(&leases, &r->expiring.table) != 0) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    oak_arena_init(&r->apply_arena, 64 * OAK_KIB, OAK_RESPONSE_BYTES_MAX);
    oak_arena_init(&r->frame_arena, 64 * OAK_KIB, 64 * OAK_MIB);
    loop->entropy.fill(loop->entropy.user, &r->boot, sizeof(r->boot));
    r->boot |= 1; /* never 0 */
    uint32_t prefix;
    loop->entropy.fill(loop->entropy.user, &prefix, sizeof(prefix));
    /* Numbers of requests: random in the high part, so that two runs of a process don't share any.
     */
    r->counter = (uint64_t)(prefix >> 1) << 32;
    r->oldest = r->counter + 1;
    r->forward_seq = 1;
    loop->entropy.fill(loop->entropy.user, &r->transfers_base, sizeof(r->transfers_base));
    r->transfers_base &= ~TRANSFER_COUNT_MASK;
    return dirs_make(r, e);
}

static void open_undo(struct oak_replica *r)
{
    struct oak_alloc libc = oak_alloc_libc();
    replica__receive_fini(r);
    if (r->kv != NULL) {
        oak_kv_free(r->kv);
    }
    oak_lease_free(r->expiring.table);
    if (r->raft != NULL) {
        oak_raft_free(r->raft);
    }
    libc.resize(libc.user, r->slots, 0);
    libc.resize(libc.user, r->snap_dir, 0);
    libc.resize(libc.user, r, 0);
}

int oak_replica_open(const struct oak_replica_options *options, struct oak_replica **out,
                     struct oak_errbuf *e)
{
    OAK_ASSERT_NE(options->id, 0);
    OAK_ASSERT(options->fatal != NULL);
    struct oak_alloc libc = oak_alloc_libc();
    struct oak_replica *r = libc.resize(libc.user, NULL, sizeof(*r));
    if (r == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    *r = (struct oak_replica){.options = *options, .journal = options->journal};
    defaults_fill(&r->options);
    r->log.group = options->group;
    r->log.durable = replica__log_durable;
    int error = parts_make(r, e);
    if (error == 0) {
        error = replica__recover(r, e);
    }
    if (error == 0) {
        const struct oak_kv_options kv = {
            .store = options->store,
            .log = options->log,
            .txn_ops_max = options->txn_ops_max,
            .request_bytes_max = r->options.request_bytes_max,
            .token_granted = options->token_granted,
            .user = options->user,
            .lease_changed = replica__lease_changed,
            .lease_user = r,
        };
        error = oak_kv_new(&kv, &r->kv, e);
    }
    error = error != 0 ? error : replica__newborn_check(r, e);
    /* The last that can fail: it may give the worker a job. */
    error = error != 0 ? error : replica__receive_recover(r, e);
    if (error != 0) {
        open_undo(r);
        return error;
    }
    oak_journal_join(r->journal, &r->log);
    r->tick.fire = tick_fire;
    r->after.run = after_run;
    r->options.loop->after_add(r->options.loop->user, &r->after);
    replica__wall_tell(r);
    (void)oak_raft_tick(r->raft, replica__now(r) / 1000000);
    const struct oak_raft_config *config = oak_raft_config(r->raft);
    if (config->voter_count == 1 && config->voters[0] == options->id &&
        config->voter_outgoing_count == 0) {
        /* Nobody else can lead: there is nothing to wait for. */
        error = oak_raft_campaign(r->raft);
        OAK_ASSERT_EQ(error, 0);
    }
    replica__members_follow(r);
    replica__compact_check(r); /* the log on disk may be much longer than what is kept */
    tick_set(r);
    *out = r;
    return 0;
}

struct oak_kv *oak_replica_kv(struct oak_replica *r)
{
    return r->kv;
}

void oak_replica_status(const struct oak_replica *r, struct oak_replica_status *out)
{
    const struct oak_journal_stats *syncs = oak_journal_stats(r->journal);
    *out = r->counters;
    oak_raft_status(r->raft, &out->raft);
    out->disk_free_bytes = syncs->free_bytes;
    size_t waiting = 0;
    out->disk_scarce = replica__space_scarce(r);
    out->store_full = oak_store_full(r->options.store, &waiting);
    out->store_waiting = waiting;
    out->entries_held = r->applying.held_end - r->applying.held_first;
    out->scrubs = syncs->scrubs;
    out->scrub_ns = syncs->scrub_ns;
    out->log_damaged = syncs->damaged;
    out->store_damaged = r->scrubbing.damaged;
    out->syncs = syncs->syncs;
    out->sync_ns_total = syncs->sync_ns_total;
    out->cluster = r->options.cluster;
    out->pending = r->pending + r->reads_pending;
    out->applied = oak_kv_state(r->kv)->applied;
    out->installing = r->installing.active;
    out->laggard = r->pace.laggard;
    out->pace = r->pace.laggard != 0 ? r->pace.rate : 0;
    out->paced = r->pace.delayed;
    struct gray_load load = gray_load_of(&r->meter, replica__now(r));
    out->sync_us = load.sync_us;
    out->lag_us = load.lag_us;
    const struct past *past = &r->memory.past;
    out->past = past->state == OAK_PEER_SOUND ? past->state_saved : past->state;
    out->mute = replica__hello_mute(r);
    out->receiving = r->receiving.state != RECEIVING_NONE;
}

size_t oak_replica_peers(const struct oak_replica *r, struct oak_raft_peer_status *rows,
                         size_t capacity)
{
    size_t count = oak_raft_peers(r->raft, rows, capacity);
    for (size_t i = 0; i < OAK_MIN(count, capacity); i++) {
        rows[i].ready = rows[i].ready && replica__may_vote(r, rows[i].id);
    }
    return count;
}

const uint64_t *oak_replica_sync_histogram(const struct oak_replica *r)
{
    return oak_journal_stats(r->journal)->histogram;
}
