/* SPDX-License-Identifier: Apache-2.0 */
/* model_lease.c: the model's leases: which there are, for how long each was granted, and what is
 * written down of it. A key names the lease that it goes with.
 */
#include <stdlib.h>

#include "sim/internal.h"

static struct model_lease *lease_of(const struct model_kv *m, int64_t id)
{
    for (size_t i = 0; i < m->lease_count; i++) {
        if (m->leases[i].id == id) {
            return &m->leases[i];
        }
    }
    return NULL;
}

const struct model_lease *sim__model_lease(const struct model_kv *m, int64_t id)
{
    return lease_of(m, id);
}

static void grant(struct model_kv *m, const Etcdserverpb__LeaseGrantRequest *request)
{
    if (lease_of(m, request->id) != NULL) {
        return;
    }
    if (m->lease_count == m->lease_capacity) {
        m->lease_capacity = OAK_MAX((size_t)16, m->lease_capacity * 2);
        m->leases = realloc(m->leases, m->lease_capacity * sizeof(*m->leases));
        OAK_ASSERT(m->leases != NULL);
    }
    m->leases[m->lease_count++] = (struct model_lease){.id = request->id, .ttl_s = request->ttl};
}

/* All of its keys go at one revision. */
static bool revoke(struct model_kv *m, const Etcdserverpb__LeaseRevokeRequest *request)
{
    struct model_lease *lease = lease_of(m, request->id);
    bool any = false;
    if (lease == NULL) {
        return false;
    }
    *lease = m->leases[--m->lease_count];
    for (size_t i = 0; i < m->count; i++) {
        if (m->keys[i].lease == request->id) {
            any = sim__model_gone(m, &m->keys[i]) || any;
        }
    }
    return any;
}

static void checkpoint(struct model_kv *m, const Etcdserverpb__LeaseCheckpointRequest *request)
{
    for (size_t i = 0; i < request->n_checkpoints; i++) {
        struct model_lease *lease = lease_of(m, request->checkpoints[i]->id);
        if (lease != NULL) {
            lease->remaining_s = request->checkpoints[i]->remaining_ttl;
        }
    }
}

bool sim__model_lease_run(struct model_kv *m, enum oak_kv_kind kind,
                          const ProtobufCMessage *message)
{
    if (kind == OAK_KV_LEASE_GRANT) {
        grant(m, (const Etcdserverpb__LeaseGrantRequest *)message);
        return false;
    }
    if (kind == OAK_KV_LEASE_REVOKE) {
        return revoke(m, (const Etcdserverpb__LeaseRevokeRequest *)message);
    }
    OAK_ASSERT_EQ(kind, OAK_KV_LEASE_CHECKPOINT);
    checkpoint(m, (const Etcdserverpb__LeaseCheckpointRequest *)message);
    return false;
}
