/* SPDX-License-Identifier: Apache-2.0 */
/* leadership.c: handing it over, because somebody asks, or because this member goes.
 *
 * While a handover lasts, commands wait as they do when no leader is known: the next leader gets
 * them, or this one proposes them after all.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

static bool leads(const struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    return status.role == OAK_RAFT_LEADER;
}

int oak_replica_transfer(struct oak_replica *r, uint64_t to)
{
    if (r->closing || r->failed) {
        return OAK_ESTOPPED;
    }
    if (!leads(r)) {
        return OAK_ENOTLEADER;
    }
    r->handover.wanted = true;
    r->handover.to = to;
    return 0;
}

void replica__handover_dispatch(struct oak_replica *r)
{
    struct handover *h = &r->handover;
    if (!h->wanted) {
        return;
    }
    h->wanted = false;
    int error = oak_raft_transfer(r->raft, h->to);
    if (error == OAK_RAFT_OK) {
        struct oak_raft_status status;
        oak_raft_status(r->raft, &status);
        oak_log(r->options.log, OAK_LOG_INFO, "handing leadership over to member %016llx",
                (unsigned long long)status.transfer);
    } else if (error != OAK_RAFT_ENOTLEADER) {
        oak_log(r->options.log, OAK_LOG_WARN, "leadership can't be handed over: %s",
                oak_raft_error_text(error));
    }
}

void oak_replica_resign(struct oak_replica *r, void (*resigned)(void *user), void *user)
{
    OAK_ASSERT(r->handover.resigned == NULL);
    OAK_ASSERT(!r->closing);
    r->handover.resigned = resigned;
    r->handover.user = user;
    r->handover.until_ns = replica__now(r) + 1000000ull * r->options.election_ms;
    r->handover.wanted = leads(r);
    r->handover.to = 0;
}

void replica__resign_tick(struct oak_replica *r)
{
    struct handover *h = &r->handover;
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    bool over = status.role != OAK_RAFT_LEADER || (!h->wanted && status.transfer == 0) ||
                replica__now(r) >= h->until_ns;
    if (h->resigned == NULL || !over) {
        return;
    }
    void (*resigned)(void *user) = h->resigned;
    h->resigned = NULL;
    resigned(h->user);
}
