/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c: does what was recovered from disk make sense?
 *
 * A core that starts from a state that contradicts itself could vote twice or forget what it
 * acknowledged. The commit hint never outruns the durable log (output.c), so a hint behind the last
 * entry means that the end of the log is lost, and the member must not start on it.
 *
 * Can fail     OAK_RAFT_EINVAL, and nothing else.
 * Thread       any; pure functions of their arguments.
 */
#include "raft/internal.h"

static int log_check(const struct oak_raft_options *o)
{
    uint64_t index = o->snapshot.index;
    uint64_t term = o->snapshot.term;
    if (index > RAFT__NUMBER_MAX || (index == 0) != (term == 0)) {
        return OAK_RAFT_EINVAL;
    }
    if (o->entry_count > 0 && o->entries == NULL) {
        return OAK_RAFT_EINVAL;
    }
    for (size_t i = 0; i < o->entry_count; i++) {
        const struct oak_raft_entry *e = &o->entries[i];
        if (e->index != index + 1 || e->term < term || e->term == 0) {
            return OAK_RAFT_EINVAL;
        }
        if (raft__entry_check(e) != OAK_RAFT_OK) {
            return OAK_RAFT_EINVAL;
        }
        index = e->index;
        term = e->term;
    }
    if (index > RAFT__NUMBER_MAX || o->hard_state.term > RAFT__NUMBER_MAX) {
        return OAK_RAFT_EINVAL;
    }
    /* An entry is never written before the term it belongs to. A snapshot may be: it comes first in
     * its batch, and a crash may have kept the term behind it from the disk (raft.c makes up for
     * it). */
    bool ahead = o->entry_count > 0 && o->hard_state.term < term;
    if (ahead || (o->hard_state.term == 0 && o->hard_state.vote != 0)) {
        return OAK_RAFT_EINVAL;
    }
    /* In doubt the hint may be of the part that is lost. */
    bool cut = o->hard_state.commit > index && !o->in_doubt;
    if (cut || o->applied > index || o->applied < o->snapshot.index) {
        return OAK_RAFT_EINVAL;
    }
    return OAK_RAFT_OK;
}

int raft__options_check(const struct oak_raft_options *o)
{
    if (o->id == 0 || o->alloc.resize == NULL) {
        return OAK_RAFT_EINVAL;
    }
    uint64_t heartbeat_ms = o->heartbeat_ms == 0 ? 100 : o->heartbeat_ms;
    uint64_t election_ms = o->election_ms == 0 ? 1000 : o->election_ms;
    if (election_ms < 3 * heartbeat_ms || o->entry_bytes_max > UINT32_MAX) {
        return OAK_RAFT_EINVAL;
    }
    int e = oak_raft_config_check(&o->snapshot.config);
    return e != OAK_RAFT_OK ? e : log_check(o);
}
