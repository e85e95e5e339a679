/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c: from what is on disk to a running Raft core.
 *
 * Three things survive: the log, the store, and maybe a snapshot file that was on its way from one
 * into the other. They must fit together:
 *
 *     store applied        ------------------A
 *     log entries                  f================l        f <= A + 1, l >= A
 *     log's snapshot mark  ----W                            W > A: the file of W goes into the
 * store first
 *
 * Raft starts behind the oldest entry whose predecessor's term is known. When the store lacks what
 * the log has given up, or the file of W is not what it was, the member is in doubt, with leave to
 * repair: its log starts anew behind A, and says so before it takes anything else. What does not
 * fit otherwise is refused with the file and what to do; nothing is guessed.
 *
 * Thread: start-up; blocks on the disk.
 */
#include "replica/internal.h"

#include "base/zoo.h"

#include <stdio.h>

/* A leader that is not the best there is hands over after so many election time-outs. */
#define CALM_ELECTIONS 10

static int snapshot_copy(struct oak_replica *r, struct oak_snap_reader *reader)
{
    struct oak_store_restore *restore;
    int error = oak_store_restore_begin(r->options.store, &restore);
    if (error != 0) {
        return error;
    }
    for (;;) {
        struct oak_bytes chunk;
        error = oak_snap_read(reader, &chunk);
        if (error == 0 && chunk.size == 0) {
            return oak_store_restore_finish(restore);
        }
        if (error == 0) {
            error = oak_store_restore_write(restore, chunk);
        }
        if (error != 0) {
            oak_store_restore_drop(restore);
            oak_store_restore_end(restore);
            return error;
        }
    }
}

/* A crash came between the log's mark and the store: finish what was begun. */
static int snapshot_restore(struct oak_replica *r, const struct oak_wal_group *g,
                            struct oak_errbuf *e)
{
    struct oak_snap_reader *reader = NULL;
    int error = oak_snap_newest(r->options.disk, r->snap_dir, r->options.group, &reader, e);
    if (error == OAK_ENOENT) {
        return oak_fail(
            e, OAK_ECORRUPT,
            "the log in %s continues a snapshot at index %llu, but %s has no such file: "
            "remove the data directory and let the member fetch its state anew",
            oak_journal_dir(r->journal), (unsigned long long)g->snapshot_index, r->snap_dir);
    }
    if (error != 0) {
        return error;
    }
    if (oak_snap_meta(reader)->index != g->snapshot_index) {
        error = oak_fail(e, OAK_ECORRUPT, "%s holds a snapshot at index %llu, the log wants %llu",
                         r->snap_dir, (unsigned long long)oak_snap_meta(reader)->index,
                         (unsigned long long)g->snapshot_index);
    } else {
        error = snapshot_copy(r, reader);
        if (error != 0) {
            oak_fail(e, error, "restoring the snapshot in %s: %s", r->snap_dir,
                     oak_error_text(error));
        }
    }
    oak_snap_close(reader);
    return error;
}

/* The member starts from its store alone, and gets the rest from its peers (see
 * docs/internals/repair.md). The record goes to the log before any other, so that nothing is taken
 * for whole that is not. */
static int doubt_begin(struct oak_replica *r, const struct oak_store_state *state,
                       const struct oak_errbuf *why)
{
    const struct oak_wal_record record = {
        .type = OAK_WAL_DOUBT,
        .kind = 1,
        .group = r->options.group,
        .index = state->applied,
        .term = state->applied_term,
    };
    oak_log(r->options.log, OAK_LOG_ERROR, "damage: %s", why->text);
    return oak_journal_add(r->journal, &r->log, &record);
}

static int parts_fit(const struct oak_replica *r, const struct oak_wal_group *g,
                     const struct oak_store_state *state, bool *lost, struct oak_errbuf *e)
{
    bool some = g->entry_count > 0;
    uint64_t first = some ? g->entries[0].index : g->last_index + 1;
    uint64_t last = some ? g->entries[g->entry_count - 1].index : g->last_index;
    *lost = first > state->applied + 1;
    if (*lost) {
        return oak_fail(
            e, OAK_ECORRUPT,
            "the store in %s ends at index %llu, the log in %s begins at %llu: what is "
            "between is missing; remove the data directory and let the member fetch its "
            "state anew",
            r->options.dir, (unsigned long long)state->applied, oak_journal_dir(r->journal),
            (unsigned long long)first);
    }
    if (some && last < state->applied && !oak_journal_no_sync(r->journal)) {
        return oak_fail(e, OAK_ECORRUPT,
                        "the store in %s has applied index %llu, but the log in %s ends at %llu: "
                        "entries that were durable are gone; remove the data directory and let the "
                        "member fetch its state anew",
                        r->options.dir, (unsigned long long)state->applied,
                        oak_journal_dir(r->journal), (unsigned long long)last);
    }
    return 0;
}

/* Where Raft's log begins, and which recovered entries follow. */
static size_t base_choose(const struct oak_wal_group *g, const struct oak_store_state *state,
                          struct oak_raft_snapshot *base)
{
    base->index = state->applied;
    base->term = state->applied_term;
    if (g == NULL || g->entry_count == 0 || g->entries[g->entry_count - 1].index < state->applied) {
        return g == NULL ? 0 : g->entry_count;
    }
    const struct oak_wal_record *first = &g->entries[0];
    if (first->index == g->snapshot_index + 1) {
        base->index = g->snapshot_index;
        base->term = g->snapshot_term;
        return 0;
    }
    if (first->index <= state->applied) {
        base->index = first->index;
        base->term = first->term;
        return 1;
    }
    return 0;
}

static int raft_start(struct oak_replica *r, const struct oak_wal_group *g, bool in_doubt,
                      const struct oak_store_state *state, struct oak_errbuf *e)
{
    const struct oak_replica_options *o = &r->options;
    struct oak_alloc libc = oak_alloc_libc();
    struct oak_raft_options options = {
        .id = o->id,
        .group = o->group,
        .alloc = {.resize = libc.resize, .user = libc.user},
        .heartbeat_ms = o->heartbeat_ms,
        .election_ms = o->election_ms,
        .priority = o->priority,
        .priority_calm_ms = CALM_ELECTIONS * o->election_ms,
        .entry_bytes_max = o->request_bytes_max + OAK_KV_HEADER_BYTES_MAX,
        .append_bytes_max = o->append_bytes_max,
        .inflight_bytes_max = o->inflight_bytes,
        .inflight_entries_max = OAK_INFLIGHT_ENTRIES_MAX,
        .uncommitted_bytes_max = o->uncommitted_bytes,
        .log_bytes_max = o->log_bytes,
        .snapshot = {.config = r->config_applied},
        .applied = state->applied,
        .in_doubt = in_doubt,
    };
    o->loop->entropy.fill(o->loop->entropy.user, &options.seed, sizeof(options.seed));
    size_t skip = base_choose(g, state, &options.snapshot);
    if (OAK_BUG(apply_twice)) {
        options.applied = options.snapshot.index;
    }
    struct oak_raft_entry *entries = NULL;
    if (g != NULL) {
        options.hard_state.term = g->term;
        options.hard_state.vote = g->vote;
        options.entry_count = g->entry_count - skip;
        uint64_t last = options.snapshot.index + options.entry_count;
        options.hard_state.commit = OAK_MAX(OAK_MIN(g->commit, last), state->applied);
        entries = libc.resize(libc.user, NULL, sizeof(*entries) * (options.entry_count + 1));
        if (entries == NULL) {
            return oak_fail(e, OAK_ENOMEM, "no memory for the recovered log");
        }
    }
    for (size_t i = 0; i < options.entry_count; i++) {
        const struct oak_wal_record *record = &g->entries[skip + i];
        entries[i] = (struct oak_raft_entry){
            .index = record->index,
            .term = record->term,
            .type = (enum oak_raft_entry_type)record->kind,
            .size = (uint32_t)record->data.size,
            .data = record->data.data,
        };
    }
    options.entries = entries;
    int error = oak_raft_new(&options, &r->raft);
    libc.resize(libc.user, entries, 0);
    if (error != 0) {
        return oak_fail(e, OAK_ECORRUPT, "the log in %s contradicts itself: %s",
                        oak_journal_dir(r->journal), oak_raft_error_text(error));
    }
    return 0;
}

bool replica__alone(const struct oak_replica *r)
{
    const struct oak_raft_config *config = &r->config_applied;
    return config->voter_count == 1 && config->voters[0] == r->options.id &&
           config->voter_outgoing_count == 0;
}

/* What survived, held against each other. *lost: the store must be filled anew; `e` says why. */
static int parts_check(struct oak_replica *r, const struct oak_wal_group *g, bool *lost,
                       struct oak_errbuf *e)
{
    const struct oak_replica_options *o = &r->options;
    int error = 0;
    *lost = false;
    if (g != NULL && g->snapshot_index > oak_store_state(o->store)->applied) {
        error = snapshot_restore(r, g, e);
        *lost = error == OAK_ECORRUPT;
    }
    const struct oak_store_state *state = oak_store_state(o->store);
    if (error == 0 && g != NULL) {
        error = parts_fit(r, g, state, lost, e);
    }
    if (*lost && o->repair) {
        return 0;
    }
    *lost = false;
    return error;
}

static void recovered_tell(const struct oak_replica *r, const struct oak_wal_group *g,
                           const struct oak_store_state *state, bool in_doubt)
{
    const struct oak_log *log = r->options.log;
    uint64_t last = state->applied;
    if (g != NULL && g->entry_count > 0) {
        last = OAK_MAX(last, g->entries[g->entry_count - 1].index);
    }
    oak_log(log, OAK_LOG_INFO,
            "recovered: term %llu, log up to index %llu, applied %llu, revision %lld",
            (unsigned long long)(g != NULL ? g->term : 0), (unsigned long long)last,
            (unsigned long long)state->applied, (long long)state->revision);
    if (in_doubt) {
        oak_log(log, OAK_LOG_WARN,
                "part of what this member had is lost: it follows its leader and gets it back, and "
                "does not vote until then. While half of the members or more are in this state, "
                "nobody can be elected");
    }
}

/* The state that the run before this one has left, as far as it is known. */
static struct past_run end_of(const struct oak_replica *r, const struct oak_wal_group *g,
                              bool in_doubt)
{
    struct past_run end = {.last = oak_store_state(r->options.store)->applied};
    if (g != NULL) {
        end.term = g->term;
        end.vote = g->vote;
        end.last = OAK_MAX(end.last, g->last_index);
    }
    /* What the log lost it gets again, and votes no sooner. */
    end.last = in_doubt ? PAST_ANY_INDEX : end.last;
    return end;
}

int replica__recover(struct oak_replica *r, struct oak_errbuf *e)
{
    const struct oak_replica_options *o = &r->options;
    const struct oak_wal_group *g = oak_journal_recovered(r->journal, o->group);
    if (g == NULL && oak_store_state(o->store)->applied > 0) {
        return oak_fail(e, OAK_ECORRUPT,
                        "the store in %s holds data, but its log in %s is missing: votes and "
                        "acknowledged entries may be lost with it; put the log back, or remove "
                        "this member from its cluster and add it again with an empty data "
                        "directory",
                        o->dir, oak_journal_dir(r->journal));
    }
    bool lost = false;
    int error = replica__newborn_begin(r, g == NULL, e);
    error = error != 0 ? error : parts_check(r, g, &lost, e);
    if (error == 0 && lost) {
        error = doubt_begin(r, oak_store_state(o->store), e);
    }
    const struct oak_store_state *state = oak_store_state(o->store);
    bool in_doubt = lost || (g != NULL && g->in_doubt);
    if (error == 0 && (error = replica__config_load(r)) != 0) {
        error = oak_fail(e, error, "the store in %s doesn't tell who is in the group: %s", o->dir,
                         oak_error_text(error));
    }
    if (error == 0 && in_doubt && replica__alone(r)) {
        error = oak_fail(e, OAK_ECORRUPT,
                         "the log in %s or the store beside it is damaged, and this is the only "
                         "member of its group: restore a backup",
                         oak_journal_dir(r->journal));
    }
    if (error == 0) {
        const struct past_run end = end_of(r, g, in_doubt);
        bool empty = g == NULL;
        struct oak_wal_group rest = {0};
        if (lost) {
            rest = (struct oak_wal_group){.term = g->term, .vote = g->vote};
            g = &rest;
        }
        error = raft_start(r, g, in_doubt, state, e);
        if (error == 0) {
            error = replica__past_open(r, &end, empty, e);
        }
        if (error == 0) {
            recovered_tell(r, g, state, in_doubt);
        }
    }
    return error;
}
