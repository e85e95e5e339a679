/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: reads by lease, on the member that leads.
 *
 * Happy path   1 a read has come: only now the clock is read
 *              2 the core says whether a lease holds at that moment, and up to which index a read
 *                must see
 *              3 the read waits until that much is applied here, which it is as a rule, and is
 *                answered in the same turn of the loop.
 * Otherwise it asks by read index, as ever. Questions of followers are answered alike, by index.
 *
 * The order in 1 and 2 is what makes a pause harmless (docs/internals/reads.md): whoever stops the
 * process for however long, and wherever, the lease is held against a clock that was read after the
 * read had come, and that goes on while the machine is suspended. What is read later is at least as
 * new.
 *
 * By an inherited lease a read is answered only if no entry in limbo may change its answer; the
 * others wait for the deferred commit.
 *
 * Can fail     nothing.
 * Thread       the loop's.
 */
#include "replica/internal.h"

#include "base/zoo.h"

/* Entries in limbo beyond which nobody looks at each for each read. */
#define LIMBO_MAX 64

struct oak_raft_now replica__clocks(const struct oak_replica *r)
{
    struct oak_raft_now now = {.mono_ms = replica__now(r) / 1000000};
    if (r->options.clock_error_ms > 0) {
        const struct oak_clock *clock = &r->options.loop->clock;
        now.wall_latest_ms = clock->wall_ns(clock->user) / 1000000 + r->options.clock_error_ms + 1;
    }
    return now;
}

void replica__wall_tell(struct oak_replica *r)
{
    if (r->options.clock_error_ms > 0) {
        const struct oak_clock *clock = &r->options.loop->clock;
        uint64_t wall = clock->wall_ns(clock->user) / 1000000;
        oak_raft_wall(r->raft, wall - OAK_MIN(wall, r->options.clock_error_ms));
    }
}

/* May an entry in limbo change what such a read answers? */
static bool limbo_touches(const struct oak_replica *r, const struct oak_raft_lease *lease,
                          const struct oak_kv_reach *reach)
{
    if (OAK_BUG(lease_limbo_ignored) || lease->limbo_first > lease->limbo_last) {
        return false;
    }
    if (lease->limbo_last - lease->limbo_first >= LIMBO_MAX) {
        return true;
    }
    for (uint64_t i = lease->limbo_first; i <= lease->limbo_last; i++) {
        struct oak_raft_entry e;
        if (!oak_raft_entry_at(r->raft, i, &e)) {
            return true;
        }
        switch (e.type) {
        case OAK_RAFT_ENTRY_NOOP:
            break;
        case OAK_RAFT_ENTRY_CONFIG:
            if (reach == NULL) {
                return true; /* who is in the group belongs to everything */
            }
            break;
        case OAK_RAFT_ENTRY_DATA:
        default:
            if (oak_kv_touches(r->kv, oak_bytes(e.data, e.size), reach)) {
                return true;
            }
            break;
        }
    }
    return false;
}

bool replica__leases_on(const struct oak_replica *r)
{
    return oak_raft_config(r->raft)->lease_ms > 0;
}

/* Is everything that a read must see applied here and now? */
static bool lease_serves(struct oak_replica *r, const struct oak_raft_lease *lease,
                         const struct oak_kv_reach *reach)
{
    switch (lease->kind) {
    case OAK_RAFT_LEASE_OWN:
        return true;
    case OAK_RAFT_LEASE_INHERITED:
        return !limbo_touches(r, lease, reach);
    case OAK_RAFT_LEASE_NONE:
        break;
    }
    return false;
}

static void count(struct oak_replica *r, const struct oak_raft_lease *lease)
{
    r->counters.reads_leased += lease->kind == OAK_RAFT_LEASE_OWN ? 1 : 0;
    r->counters.reads_inherited += lease->kind == OAK_RAFT_LEASE_INHERITED ? 1 : 0;
}

bool oak_replica_read_now(struct oak_replica *r, const struct oak_kv_reach *reach)
{
    if (r->closing || r->failed || r->installing.active || !replica__leases_on(r)) {
        return false;
    }
    const struct oak_raft_now now = replica__clocks(r);
    struct oak_raft_lease lease;
    oak_raft_lease(r->raft, &now, &lease);
    if (!lease_serves(r, &lease, reach) || lease.index > oak_kv_state(r->kv)->applied) {
        return false;
    }
    count(r, &lease);
    return true;
}

void replica__reads_by_lease(struct oak_replica *r)
{
    if (!replica__leases_on(r)) {
        return;
    }
    const struct oak_raft_now now = replica__clocks(r);
    (void)oak_raft_lease_grant(r->raft, &now);
    if (oak_list_empty(&r->reads_new)) {
        return;
    }
    struct oak_raft_lease lease;
    oak_raft_lease(r->raft, &now, &lease);
    if (lease.kind == OAK_RAFT_LEASE_NONE) {
        return;
    }
    for (struct oak_list *node = r->reads_new.next; node != &r->reads_new;) {
        struct oak_replica_request *request =
            OAK_LIST_ENTRY(node, struct oak_replica_request, link);
        node = node->next;
        if (lease_serves(r, &lease, request->reach)) {
            count(r, &lease);
            oak_list_remove(&request->link);
            request->state = REQUEST_READ_WAIT;
            request->id = lease.index;
            oak_list_push(&r->reads_wait, &request->link);
        }
    }
}
