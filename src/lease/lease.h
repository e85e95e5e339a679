/* SPDX-License-Identifier: Apache-2.0 */
/* lease.h: when the leases of clients end, as the member that leads decides it.
 *
 * Not to be confused with the lease by which a leader answers reads (raft.h). Which leases there
 * are is replicated (kv.h); when one ends is known to the leader alone, in the memory of this room:
 *
 *     oak_lease_new(&options, &l);
 *     oak_lease_grant(l, 0, ...) for each there is; oak_lease_promote(l, now, slack);  // it leads
 *     oak_lease_renew(l, now, id, &answer)                    // a keepalive
 *     while (oak_lease_due(l, now, &id)) {                    // with each tick
 *         propose its revocation; oak_lease_revoking(l, now, id, index);
 *     }
 *     oak_lease_revoked(l, id);                               // it has been applied
 *     oak_lease_demote(l);                                    // it leads no more
 *
 * The rule: what was promised to a client holds. A lease ends no earlier than its time to live
 * after the last keepalive that was answered, whoever answered it. A new leader does not know of
 * its predecessor's answers, so it begins every lease anew.
 *
 * Time and memory are handed in. Costs: a lease some 80 bytes; an idle tick nothing, however many
 * there are; a keepalive a walk in a heap.
 *
 * Threads: none. One table, one thread at a time.
 */
#ifndef OAK_LEASE_H
#define OAK_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/compiler.h"

struct oak_lease_table;

struct oak_lease_options {
    struct oak_alloc alloc;
    /* Revocations at most, in a second; a new leader lets no more than three quarters of that many
     * end in one. */
    uint32_t revokes_a_second;
    /* What is left of a lease is to be written down so often, if it lives longer; 0: never. */
    uint64_t checkpoint_ns;
};

/* OAK_ENOMEM. */
OAK_MUST_USE int oak_lease_new(const struct oak_lease_options *options,
                               struct oak_lease_table **out);
void oak_lease_free(struct oak_lease_table *l);

/* -- who leads --------------------------------------------------------------------------------- */

/* Those that were granted begin now: each lives for what was written down of it, else for its whole
 * time, and `slack_ns` more. Where too many would end at once, some live longer. */
void oak_lease_promote(struct oak_lease_table *l, uint64_t now_ns, uint64_t slack_ns);
/* Forget everything. */
void oak_lease_demote(struct oak_lease_table *l);
bool oak_lease_leads(const struct oak_lease_table *l);

/* -- what is replicated ------------------------------------------------------------------------ */

/* A lease is there, `remaining_s` of it (0: all of it) when that was written down. OAK_ENOMEM. */
OAK_MUST_USE int oak_lease_grant(struct oak_lease_table *l, uint64_t now_ns, int64_t id,
                                 int64_t ttl_s, int64_t remaining_s);
void oak_lease_revoked(struct oak_lease_table *l, int64_t id);
/* What is written down of it is now this; 0: it was taken back. */
void oak_lease_checkpointed(struct oak_lease_table *l, int64_t id, int64_t remaining_s);

/* -- clients; while it leads ------------------------------------------------------------------- */

enum oak_lease_fate {
    OAK_LEASE_UNKNOWN,
    OAK_LEASE_ALIVE,
    OAK_LEASE_ENDING, /* its time is up, and it isn't revoked yet */
};

struct oak_lease_answer {
    int64_t ttl_s;       /* granted */
    int64_t left_ns;     /* below 0: it should have ended */
    uint64_t revoked_at; /* ENDING: index of the revocation; 0: not proposed yet */
    /* Renewed, but an older rest of it is written down: the client hears of it only once that is
     * taken back, or the next leader would believe it. */
    bool written_down;
};

/* A keepalive: a lease that is alive lives for its whole time from now on. */
enum oak_lease_fate oak_lease_renew(struct oak_lease_table *l, uint64_t now_ns, int64_t id,
                                    struct oak_lease_answer *out);
enum oak_lease_fate oak_lease_look(const struct oak_lease_table *l, uint64_t now_ns, int64_t id,
                                   struct oak_lease_answer *out);
/* Ids in the order in which they will end, up to `capacity`; how many there are. */
size_t oak_lease_ids(struct oak_lease_table *l, int64_t *out, size_t capacity);

/* -- what is due; while it leads --------------------------------------------------------------- */

/* A lease to be revoked now: the one whose time was up first. False: none, or too many of late. */
bool oak_lease_due(struct oak_lease_table *l, uint64_t now_ns, int64_t *id);
/* Its revocation is in the log at `index`: it can't be renewed any more. */
void oak_lease_revoking(struct oak_lease_table *l, uint64_t now_ns, int64_t id, uint64_t index);
/* That what is written down of it is taken back is in the log. Until that is applied nothing is
 * written down anew: it would come through behind it, and be older than what a keepalive is
 * answered then. */
void oak_lease_taking_back(struct oak_lease_table *l, int64_t id);
/* A lease of which the rest shall be written down, and which one: from now on it counts as if it
 * were. False: none. */
bool oak_lease_checkpoint_due(struct oak_lease_table *l, uint64_t now_ns, int64_t *id,
                              int64_t *remaining_s);

#endif
