/* SPDX-License-Identifier: Apache-2.0 */
/* expiry.c: the leases of clients on the member that leads: when they end is decided here.
 *
 * Happy path   1 an entry of this leader's own term is applied: every lease begins (src/lease)
 *              2 keepalives put ends off (keepalive.c asks, with leadership confirmed)
 *              3 what has expired is proposed as revoked, like any command, and ends for everybody
 *                where that is applied
 *
 * Why not before that entry is applied: until then the table lacks what the old leader committed,
 * and the old leader may still answer by its lease of reads; what it answered a client then would
 * count from later than this leader's beginning.
 *
 * Why the revocation goes into this member's own log, and is never forwarded: a leader that was
 * deposed, and does not know it, believes leases expired that the new one keeps alive. In its own
 * log, under its own term, that revocation is cut off; forwarded, it would end them.
 *
 * Can fail     a proposal: tried again with the next tick. Memory: fatal.
 * Invariants   the table holds what the state machine holds, while this member decides.
 * Thread       the loop's.
 */
#include "base/zoo.h"
#include "replica/internal.h"

static bool leads_in(const struct oak_replica *r, uint64_t *term)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    *term = status.term;
    return status.role == OAK_RAFT_LEADER;
}

bool replica__decides(const struct oak_replica *r)
{
    uint64_t term = 0;
    return leads_in(r, &term) && r->expiring.term == term;
}

static bool begin_each(void *arg, const struct oak_kv_lease *lease)
{
    struct oak_replica *r = arg;
    int error = oak_lease_grant(r->expiring.table, replica__now(r), lease->id, lease->ttl_s,
                                lease->remaining_s);
    if (error != 0) {
        replica__fatal(r, error, "beginning to decide on leases");
    }
    return error == 0;
}

void replica__expiry_follow(struct oak_replica *r)
{
    struct expiring *x = &r->expiring;
    uint64_t term = 0;
    bool leads = leads_in(r, &term) && r->applied_term_seen == term;
    if (x->term != 0 && (!leads || x->term != term)) {
        oak_lease_demote(x->table);
        x->term = 0;
    }
    if (!leads || x->term != 0) {
        return;
    }
    oak_kv_leases(r->kv, begin_each, r);
    if (!r->failed) {
        oak_lease_promote(x->table, replica__now(r), r->options.election_ms * NS_A_MS);
        x->term = term;
    }
}

void replica__lease_changed(void *user, const struct oak_kv_lease *lease)
{
    struct oak_replica *r = user;
    struct expiring *x = &r->expiring;
    struct oak_lease_answer there;
    if (x->term == 0) {
        return;
    }
    if (lease->ttl_s == 0) {
        oak_lease_revoked(x->table, lease->id);
    } else if (oak_lease_look(x->table, 0, lease->id, &there) != OAK_LEASE_UNKNOWN) {
        oak_lease_checkpointed(x->table, lease->id, lease->remaining_s);
    } else if (oak_lease_grant(x->table, replica__now(r), lease->id, lease->ttl_s,
                               lease->remaining_s) != 0) {
        replica__fatal(r, OAK_ENOMEM, "a lease that was granted");
    }
}

/* -- proposing --------------------------------------------------------------------------------- */

/* Into this member's own log; *index is its place there. */
static bool propose(struct oak_replica *r, enum oak_kv_kind kind, const ProtobufCMessage *message,
                    uint64_t *index)
{
    const struct oak_kv_command command = {.kind = kind, .origin = r->options.id};
    struct oak_buf bytes = {0};
    size_t size = protobuf_c_message_get_packed_size(message);
    uint64_t term = 0;
    bool fine = false;
    if (oak_buf_reserve(&bytes, OAK_KV_HEADER_BYTES + size) == 0) {
        oak_kv_command_encode(&command, bytes.data);
        protobuf_c_message_pack(message, bytes.data + OAK_KV_HEADER_BYTES);
        bytes.size = OAK_KV_HEADER_BYTES + size;
        fine = !replica__space_refuses(r, oak_buf_bytes(&bytes)) &&
               oak_raft_propose(r->raft, bytes.data, bytes.size, index, &term) == OAK_RAFT_OK;
        OAK_ASSERT(!fine || term == r->expiring.term);
    }
    oak_buf_fini(&bytes);
    return fine;
}

static bool revoke(struct oak_replica *r, int64_t id)
{
    Etcdserverpb__LeaseRevokeRequest request = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    uint64_t index = 0;
    request.id = id;
    if (!propose(r, OAK_KV_LEASE_REVOKE, &request.base, &index)) {
        return false;
    }
    oak_lease_revoking(r->expiring.table, replica__now(r), id, index);
    r->counters.leases_expired++;
    return true;
}

/* What is written down of a lease is taken back, or put down. */
static bool write_down(struct oak_replica *r, const Etcdserverpb__LeaseCheckpoint *notes,
                       size_t count, uint64_t *index)
{
    Etcdserverpb__LeaseCheckpoint *at[OAK_LEASE_CHECKPOINTS_MAX];
    Etcdserverpb__LeaseCheckpointRequest request = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
    OAK_ASSERT_LE(count, OAK_LEASE_CHECKPOINTS_MAX);
    for (size_t i = 0; i < count; i++) {
        at[i] = (Etcdserverpb__LeaseCheckpoint *)(uintptr_t)&notes[i];
    }
    request.checkpoints = at;
    request.n_checkpoints = count;
    return propose(r, OAK_KV_LEASE_CHECKPOINT, &request.base, index);
}

static void write_due(struct oak_replica *r)
{
    Etcdserverpb__LeaseCheckpoint notes[OAK_LEASE_CHECKPOINTS_MAX];
    uint64_t now = replica__now(r);
    uint64_t index = 0;
    int64_t id = 0;
    int64_t remaining = 0;
    size_t count = 0;
    while (count < OAK_LEASE_CHECKPOINTS_MAX &&
           oak_lease_checkpoint_due(r->expiring.table, now, &id, &remaining)) {
        etcdserverpb__lease_checkpoint__init(&notes[count]);
        notes[count].id = id;
        notes[count].remaining_ttl = remaining;
        count++;
    }
    /* If it is refused, the next one will do. */
    if (count > 0 && write_down(r, notes, count, &index)) {
        r->counters.lease_checkpoints += count;
    }
}

void replica__expiry_tick(struct oak_replica *r)
{
    if (!replica__decides(r)) {
        return;
    }
    int64_t id = 0;
    while (oak_lease_due(r->expiring.table, replica__now(r), &id) && revoke(r, id)) {
    }
    write_due(r);
}

/* -- answering --------------------------------------------------------------------------------- */

static void taken_back(struct oak_replica *r, int64_t id, struct oak_peer_lease_told *out)
{
    Etcdserverpb__LeaseCheckpoint note = ETCDSERVERPB__LEASE_CHECKPOINT__INIT;
    uint64_t index = 0;
    note.id = id;
    out->again = true;
    out->index = 0; /* refused: a little later */
    if (write_down(r, &note, 1, &index)) {
        out->index = index;
        oak_lease_taking_back(r->expiring.table, id);
    }
}

void replica__lease_decide(struct oak_replica *r, const struct oak_peer_lease_ask *ask,
                           struct oak_peer_lease_told *out)
{
    OAK_ASSERT(replica__decides(r));
    struct oak_lease_table *table = r->expiring.table;
    struct oak_lease_answer answer;
    uint64_t now = replica__now(r);
    *out =
        (struct oak_peer_lease_told){.number = ask->number, .index = oak_kv_state(r->kv)->applied};
    enum oak_lease_fate fate = ask->renew ? oak_lease_renew(table, now, ask->id, &answer)
                                          : oak_lease_look(table, now, ask->id, &answer);
    if (fate == OAK_LEASE_UNKNOWN) {
        return;
    }
    if (ask->renew && fate == OAK_LEASE_ENDING) {
        out->again = true; /* until it is gone */
        out->index = answer.revoked_at;
        return;
    }
    if (ask->renew && answer.written_down && !OAK_BUG(lease_note_stays)) {
        taken_back(r, ask->id, out);
        return;
    }
    r->counters.leases_renewed += ask->renew ? 1 : 0;
    out->ttl_s = answer.ttl_s;
    out->left_ns = answer.left_ns;
}

bool oak_replica_lease_ids(struct oak_replica *r, int64_t *out, size_t capacity, size_t *count)
{
    bool decides = replica__decides(r);
    *count = decides ? oak_lease_ids(r->expiring.table, out, capacity) : 0;
    return decides;
}

int64_t oak_replica_lease_ttl_min(const struct oak_replica *r)
{
    return ((int64_t)r->options.election_ms * 3 / 2 + 999) / 1000;
}
