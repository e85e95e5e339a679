/* SPDX-License-Identifier: Apache-2.0 */
/* leases.c: what lessees hear of their leases, and what the log says of them, into the book of the
 * room check; and now and then, what members have of leases against the model.
 *
 *   never early   whoever ends a lease by itself does so in the log, and a client's revocation
 *                 has a number: without one it is an expiry, which must come no sooner than was
 *                 promised, by the world's clock and within the drift that the members know
 *   not for ever  once all faults have ended, no lease is left (sim__lessees_over)
 *
 * Revocations take effect at one revision: the model has it so, and a member's revision is held
 * against the model's behind each index.
 */
#include <inttypes.h>

#include "sim/internal.h"

void sim__leases_init(struct group *g)
{
    g->leases.fast_ppm = g->sim->leases.drift_ppm;
    /* What a new leader adds, and gives to some of many that would end at once. */
    g->leases.slack_ns = (SIM_ELECTION_MS + 100) * SIM_MS;
}

static void judge(struct group *g, bool good, const char *what)
{
    if (!good) {
        sim__fail(g->sim, "leases: %s", what);
    }
}

void sim__lease_promised(struct group *g, int64_t id, int64_t ttl_s, const struct lease_span *at)
{
    char what[200] = "";
    judge(g, lease_book_promised(&g->leases, id, ttl_s, at, what, sizeof(what)), what);
}

void sim__lease_alive(struct group *g, int64_t id, const struct lease_span *at, const char *who)
{
    char what[200] = "";
    judge(g, lease_book_alive(&g->leases, id, at, who, what, sizeof(what)), what);
}

void sim__lease_gone(struct group *g, int64_t id, const char *who)
{
    char what[200] = "";
    judge(g, lease_book_gone(&g->leases, id, g->sim->world.now_ns, who, what, sizeof(what)), what);
}

void sim__lease_left(struct group *g, int64_t id, int64_t left_ns, const struct lease_span *at,
                     uint64_t era)
{
    char what[200] = "";
    sim__lease_alive(g, id, at, "what is left of it");
    judge(g, lease_book_left(&g->leases, id, left_ns, era, what, sizeof(what)), what);
}

uint64_t sim__lease_era(const struct group *g)
{
    const struct sim *s = g->sim;
    uint64_t era = 0;
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        struct oak_replica *replica = s->nodes[i].up ? s->nodes[i].members[g->index].replica : NULL;
        size_t count;
        if (replica != NULL && oak_replica_lease_ids(replica, NULL, 0, &count)) {
            oak_replica_status(replica, &status);
            era = OAK_MAX(era, status.raft.term);
        }
    }
    return era;
}

void sim__leases_applied(struct group *g, struct oak_bytes entry)
{
    struct oak_kv_command command;
    if (g->sim->plan.lessees == 0 || entry.size == 0 ||
        oak_kv_command_decode(entry, &command) != 0 || command.kind != OAK_KV_LEASE_REVOKE ||
        command.id != 0) {
        return;
    }
    Etcdserverpb__LeaseRevokeRequest *request = etcdserverpb__lease_revoke_request__unpack(
        NULL, command.request.size, command.request.data);
    OAK_ASSERT(request != NULL);
    sim__trace(g->sim, "lease %" PRIx64 " expires", (uint64_t)request->id);
    sim__lease_gone(g, request->id, "its expiry in the log");
    etcdserverpb__lease_revoke_request__free_unpacked(request, NULL);
}

/* -- what members have ------------------------------------------------------------------------- */

struct walk {
    struct member *m;
    int64_t lease;
    size_t count;
};

static bool key_each(void *arg, struct oak_bytes key)
{
    struct walk *walk = arg;
    const struct model_key *k = sim__model_find(&walk->m->group->model, key);
    walk->count++;
    if (k == NULL || k->lease != walk->lease) {
        sim__fail(walk->m->group->sim,
                  "model: %s takes %.*s for a key of lease %" PRIx64 ", which it is not",
                  walk->m->name, (int)key.size, (const char *)key.data, (uint64_t)walk->lease);
    }
    return true;
}

static bool lease_each(void *arg, const struct oak_kv_lease *lease)
{
    struct walk *walk = arg;
    const struct model_kv *model = &walk->m->group->model;
    const struct model_lease *known = sim__model_lease(model, lease->id);
    walk->count++;
    if (known == NULL || known->ttl_s != lease->ttl_s || known->remaining_s != lease->remaining_s) {
        sim__fail(walk->m->group->sim, "model: lease %" PRIx64 " of %s is not what the log makes",
                  (uint64_t)lease->id, walk->m->name);
    }
    return true;
}

/* Not with each event: it walks through all of them. */
#define LOOKS_APART 64

void sim__leases_look(struct member *m)
{
    const struct model_kv *model = &m->group->model;
    if (m->group->sim->plan.lessees == 0 || m->looks % LOOKS_APART != 0 ||
        oak_kv_state(oak_replica_kv(m->replica))->applied != model->index) {
        return;
    }
    const struct oak_kv *kv = oak_replica_kv(m->replica);
    struct walk leases = {.m = m};
    oak_kv_leases(kv, lease_each, &leases);
    if (leases.count != model->lease_count) {
        sim__fail(m->group->sim, "model: %s has %zu leases, the log's commands make %zu", m->name,
                  leases.count, model->lease_count);
    }
    for (size_t i = 0; i < model->lease_count; i++) {
        struct walk keys = {.m = m, .lease = model->leases[i].id};
        size_t wanted = 0;
        oak_kv_lease_keys(kv, keys.lease, key_each, &keys);
        for (size_t k = 0; k < model->count; k++) {
            wanted += model->keys[k].lease == keys.lease ? 1 : 0;
        }
        if (keys.count != wanted) {
            sim__fail(m->group->sim,
                      "model: lease %" PRIx64 " of %s has %zu keys, the log's commands make %zu",
                      (uint64_t)keys.lease, m->name, keys.count, wanted);
        }
    }
}
