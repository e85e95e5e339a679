/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c: what the Raft core wants on disk, as records for the journal; and its news.
 *
 * Happy path   1 records of a batch, in the order that the core asks for, go to the journal
 *              2 it writes them, with whatever else has gathered
 *              3 back on the loop: oak_raft_persisted(token)
 * Can fail     any error of the log is fatal to the process (law 3).
 * Invariants   payloads stay valid until their token is reported.
 * Thread       the loop's.
 */
#include "replica/internal.h"

static struct oak_wal_record restore_record(const struct oak_replica *r,
                                            const struct oak_raft_persist *persist)
{
    return (struct oak_wal_record){
        .type = OAK_WAL_SNAPSHOT,
        .keep_log = persist->restore_keeps_log,
        .group = r->options.group,
        .index = persist->restore->index,
        .term = persist->restore->term,
    };
}

static struct oak_wal_record hard_state_record(const struct oak_replica *r,
                                               const struct oak_raft_hard_state *hard)
{
    return (struct oak_wal_record){
        .type = OAK_WAL_HARD_STATE,
        .group = r->options.group,
        .term = hard->term,
        .vote = hard->vote,
        .commit = hard->commit,
    };
}

int replica__log_add(struct oak_replica *r, const struct oak_raft_persist *persist)
{
    int error = 0;
    if (persist->restore != NULL) {
        const struct oak_wal_record record = restore_record(r, persist);
        error = oak_journal_add(r->journal, &r->log, &record);
    }
    if (error == 0 && persist->hard_state_changed) {
        const struct oak_wal_record record = hard_state_record(r, &persist->hard_state);
        error = oak_journal_add(r->journal, &r->log, &record);
    }
    for (size_t i = 0; error == 0 && i < persist->entry_count; i++) {
        const struct oak_raft_entry *entry = &persist->entries[i];
        const struct oak_wal_record record = {
            .type = OAK_WAL_ENTRY,
            .kind = (uint8_t)entry->type,
            .group = r->options.group,
            .index = entry->index,
            .term = entry->term,
            .data = oak_bytes(entry->data, entry->size),
        };
        error = oak_journal_add(r->journal, &r->log, &record);
    }
    if (error == 0 && persist->doubt_lifted) {
        const struct oak_wal_record record = {.type = OAK_WAL_DOUBT, .group = r->options.group};
        error = oak_journal_add(r->journal, &r->log, &record);
        oak_log(r->options.log, OAK_LOG_INFO,
                r->memory.past.state == OAK_PEER_FORGOT
                    ? "the log is known again: it holds all that the leader's does"
                    : "the log is known again: this member votes as before its disk was damaged");
    }
    oak_journal_mark(r->journal, &r->log, persist->token, persist->must_sync);
    if (persist->must_sync) {
        gray_sync_begin(&r->meter, persist->token, replica__now(r));
    }
    return error;
}

void replica__log_durable(struct oak_journal_group *g, uint64_t token, int error)
{
    struct oak_replica *r = OAK_CONTAINER_OF(g, struct oak_replica, log);
    if (replica__close_check(r)) {
        return;
    }
    if (error != 0) {
        replica__fatal(r, error, "writing the log");
    }
    if (r->failed) {
        return;
    }
    if (token != 0) {
        gray_sync_end(&r->meter, token, replica__now(r));
        oak_raft_persisted(r->raft, token);
        replica__install_go(r, token);
    }
    replica__pump(r);
}
