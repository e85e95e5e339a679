/* SPDX-License-Identifier: Apache-2.0 */
/* lease_setting.c: the lease that this member was told of, and the one that the group has.
 *
 * How long a lease is and how far clocks drift must be the same for all, also for one that takes
 * over: so both are in the configuration, and change through the log alone (raft/lease.c).
 *
 * Happy path   1 a member with a wish leads, and has committed an entry of its term
 *              2 nobody changes the members at this moment: else it waits
 *              3 it proposes the configuration in force, with its own lease
 *              4 for the rest of its term it leaves the lease alone, whatever comes.
 * Once a term is what keeps members of different wishes from turning the lease to and fro: it
 * changes no more often than the leader does, and each time it is said.
 *
 * A member that does not lead, and is told otherwise than the group has it, says so once for each
 * configuration: what counts is the group's.
 *
 * Can fail     nothing: without memory, or while something is under way, it is tried with the next
 *              tick.
 * Thread       the loop's.
 */
#include "replica/internal.h"

static void lead_settle(struct oak_replica *r, uint64_t term, const struct oak_raft_config *now)
{
    const struct oak_replica_options *o = &r->options;
    if (r->lease_settled_term == term || r->changing.request != NULL ||
        now->voter_outgoing_count > 0) {
        return;
    }
    struct oak_raft_config target = *now;
    target.lease_ms = o->lease_ms;
    target.drift_ppm = o->drift_ppm;
    int error = oak_raft_change(r->raft, &target, NULL, NULL);
    if (error == OAK_RAFT_EPENDING || error == OAK_RAFT_ETRANSFER || error == OAK_RAFT_ENOMEM) {
        return;
    }
    r->lease_settled_term = term;
    if (error != OAK_RAFT_OK) {
        oak_log(r->options.log, OAK_LOG_ERROR,
                "the lease for reads could not be changed to %u ms and %u ppm: %s", o->lease_ms,
                o->drift_ppm, oak_raft_error_text(error));
        return;
    }
    oak_log(r->options.log, OAK_LOG_WARN,
            "the lease for reads becomes %u ms, with clocks within %u ppm, as this leader was "
            "told; it was %u ms, %u ppm",
            o->lease_ms, o->drift_ppm, now->lease_ms, now->drift_ppm);
}

void replica__lease_settle(struct oak_replica *r)
{
    const struct oak_replica_options *o = &r->options;
    if (!o->lease_wanted) {
        return;
    }
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    const struct oak_raft_config *now = oak_raft_config(r->raft);
    bool same = now->lease_ms == o->lease_ms && now->drift_ppm == o->drift_ppm;
    if (status.role == OAK_RAFT_LEADER) {
        if (same) {
            r->lease_settled_term = status.term;
        } else {
            lead_settle(r, status.term, now);
        }
    } else if (!same && status.leader != 0 && status.config_index > r->lease_told_at) {
        /* One that came through the log: at its birth a group has no lease, whatever was told. */
        r->lease_told_at = status.config_index;
        oak_log(r->options.log, OAK_LOG_WARN,
                "the group's lease for reads is %u ms, with clocks within %u ppm, and this member "
                "was told %u ms, %u ppm: the group's counts until a member that was told otherwise "
                "leads; give all members the same",
                now->lease_ms, now->drift_ppm, o->lease_ms, o->drift_ppm);
    }
}
