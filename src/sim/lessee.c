/* SPDX-License-Identifier: Apache-2.0 */
/* lessee.c: clients that hold leases: they are granted some, tie keys to them, keep them alive
 * through whichever member, ask how much is left, and let them end: by a revocation, or by going
 * away. What they hear is held against what was promised (leases.c, and the room check).
 *
 * A lessee does one thing at a time, and its keys are nobody else's: so it knows which lease each
 * key goes with, or that it goes with none. What gets no answer may happen at any later moment, or
 * never: a key or a lease of which that is so is left alone from then on.
 *
 * One run in three has some of them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/internal.h"

#define DEADLINE_NS (3000 * SIM_MS)
/* At a lease that is given up, before another takes its place. */
#define LOOKS 15

static void lessee_next(struct lessee *l);

static struct lessee_lease *lease_of(struct lessee *l)
{
    return &l->leases[l->slot];
}

static void key_new(struct lessee *l)
{
    l->key_numbers[l->key] = ++l->numbers;
    l->ties[l->key] = SIM_TIE_NONE;
}

static void key_write(const struct lessee *l, char out[32])
{
    snprintf(out, 32, "leased/%d/%" PRIu64, l->index, l->key_numbers[l->key]);
}

static struct lease_span span_of(const struct lessee *l)
{
    return (struct lease_span){.call_ns = l->call_ns, .ret_ns = l->sim->world.now_ns};
}

/* -- answers ----------------------------------------------------------------------------------- */

static void end(struct lessee *l, bool known)
{
    static const char *const names[] = {"grants", "ties",  "unties",  "keeps",
                                        "renews", "looks", "revokes", "asks"};
    OAK_ASSERT(l->busy);
    l->busy = false;
    sim__trace(l->sim, "l%d %s lease %" PRIx64 " key %" PRIu64 " at n%d: %s", l->index,
               names[l->act], (uint64_t)lease_of(l)->id, l->key_numbers[l->key], l->node + 1,
               known ? "answered" : "no answer");
    if (known) {
        l->sim->report->operations++;
    }
    lessee_next(l);
}

/* Nobody knows what becomes of it. */
static void unknown(struct lessee *l)
{
    bool of_key = l->act == LESSEE_TIE || l->act == LESSEE_LOOSE || l->act == LESSEE_STAY;
    if (of_key) {
        key_new(l);
    } else if (l->act == LESSEE_GRANT) {
        *lease_of(l) = (struct lessee_lease){0}; /* it may yet be granted, once more too */
    } else if (l->act == LESSEE_REVOKE) {
        lease_of(l)->given_up = true;
    }
    end(l, false);
}

/* The lease of this id is known to be gone, and never comes back. */
static void gone(struct lessee *l, int64_t id, const char *who)
{
    sim__lease_gone(l->group, id, who);
    for (size_t i = 0; i < SIM_LESSEE_LEASES; i++) {
        if (l->leases[i].id == id) {
            l->leases[i] = (struct lessee_lease){0};
        }
    }
}

static void granted(struct lessee *l, int error, const struct oak_kv_result *result)
{
    struct lessee_lease *lease = lease_of(l);
    const struct lease_span at = span_of(l);
    if (error == OAK_ELEASEEXISTS) {
        sim__lease_alive(l->group, lease->id, &at, "the refusal of its id");
        return;
    }
    const Etcdserverpb__LeaseGrantResponse *r =
        (const Etcdserverpb__LeaseGrantResponse *)result->response;
    if (lease->there) {
        /* It was free again: it is another one now, and this is the end of what is known of it. */
        gone(l, lease->id, "a grant of its id");
        return;
    }
    if (r->id != lease->id || r->ttl != lease->ttl_s) {
        sim__fail(l->sim, "leases: a grant of %" PRId64 " s for %" PRIx64 " gives %" PRId64 " s",
                  lease->ttl_s, (uint64_t)lease->id, r->ttl);
    }
    lease->there = true;
    sim__lease_promised(l->group, lease->id, r->ttl, &at);
}

static void tied(struct lessee *l, int error)
{
    const struct lease_span at = span_of(l);
    if (error == OAK_ELEASENOTFOUND) {
        gone(l, lease_of(l)->id, "a put that names it");
        return;
    }
    sim__lease_alive(l->group, lease_of(l)->id, &at, "a put that names it");
    l->ties[l->key] = lease_of(l)->id;
}

/* The key was seen, or was not, and it should go with the lease that it does. */
static void key_found(struct lessee *l, bool there, const char *who)
{
    const struct lease_span at = span_of(l);
    int64_t tie = l->ties[l->key];
    if (tie > 0 && there) {
        sim__lease_alive(l->group, tie, &at, who);
    } else if (tie > 0) {
        gone(l, tie, who);
    } else if (there != (tie == SIM_TIE_LOOSE)) {
        sim__fail(l->sim, "leases: a key that goes with no lease is %s: %s says so",
                  there ? "there, and was gone" : "gone", who);
    }
    l->ties[l->key] = there ? tie : SIM_TIE_NONE;
}

static void done(struct oak_replica_request *request, int error, const struct oak_kv_result *result)
{
    struct lessee *l = OAK_CONTAINER_OF(request, struct lessee, request);
    bool told = error == 0 || error == OAK_ELEASEEXISTS || error == OAK_ELEASENOTFOUND ||
                error == OAK_EKEYNOTFOUND;
    if (!told) {
        unknown(l);
        return;
    }
    if (l->act == LESSEE_GRANT) {
        granted(l, error, result);
    } else if (l->act == LESSEE_TIE) {
        tied(l, error);
    } else if (l->act == LESSEE_LOOSE) {
        l->ties[l->key] = SIM_TIE_LOOSE;
    } else if (l->act == LESSEE_STAY) {
        key_found(l, error == 0, "a put that keeps its lease");
    } else {
        OAK_ASSERT_EQ(l->act, LESSEE_REVOKE);
        gone(l, lease_of(l)->id, "its revocation");
    }
    end(l, true);
}

static void looked(struct oak_replica_request *request, int error,
                   const struct oak_kv_result *result)
{
    struct lessee *l = OAK_CONTAINER_OF(request, struct lessee, request);
    const struct member *m = &l->sim->nodes[l->node].members[l->group->index];
    char key[32];
    struct oak_store_kv kv;
    (void)result;
    if (error != 0) {
        unknown(l);
        return;
    }
    key_write(l, key);
    error = oak_store_get(m->store, oak_bytes_str(key), 0, &kv);
    if (error != 0 && error != OAK_ENOENT) {
        sim__fail(l->sim, "a range failed on node %d: %s", l->node + 1, oak_error_text(error));
    } else {
        key_found(l, error == 0, "a read of its key");
    }
    end(l, true);
}

static void answered(struct oak_replica_lease *ask, int error)
{
    struct lessee *l = OAK_CONTAINER_OF(ask, struct lessee, ask);
    const struct lease_span at = span_of(l);
    uint64_t era = sim__lease_era(l->group);
    if (error != 0) {
        unknown(l);
        return;
    }
    if (ask->ttl_s == 0) {
        gone(l, ask->id, ask->renew ? "its keepalive" : "the question what is left of it");
    } else if (ask->renew) {
        sim__lease_promised(l->group, ask->id, ask->ttl_s, &at);
    } else if (ask->left_ns > 0) {
        sim__lease_left(l->group, ask->id, ask->left_ns, &at, era == l->era ? era : 0);
    }
    end(l, true);
}

/* -- requests ---------------------------------------------------------------------------------- */

static int propose(struct lessee *l, struct oak_replica *replica, enum oak_kv_kind kind,
                   const ProtobufCMessage *message)
{
    int error = oak_kv_check(oak_replica_kv(replica), kind, message);
    OAK_ASSERT_EQ(error, 0);
    oak_buf_clear(&l->packed);
    error = oak_buf_reserve(&l->packed, protobuf_c_message_get_packed_size(message));
    OAK_ASSERT_EQ(error, 0);
    l->packed.size = protobuf_c_message_pack(message, l->packed.data);
    l->request.who = sim__who(&l->sim->nodes[l->node].members[l->group->index]);
    return oak_replica_propose(replica, kind, oak_buf_bytes(&l->packed), &l->request);
}

static int put_send(struct lessee *l, struct oak_replica *replica)
{
    char key[32];
    key_write(l, key);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str(key));
    put.value = oak_proto_binary(oak_bytes_str("leased"));
    put.lease = l->act == LESSEE_TIE ? lease_of(l)->id : 0;
    put.ignore_lease = l->act == LESSEE_STAY;
    return propose(l, replica, OAK_KV_PUT, &put.base);
}

static int ask_send(struct lessee *l, struct oak_replica *replica)
{
    bool renew = l->act == LESSEE_KEEP;
    l->ask = (struct oak_replica_lease){.done = answered,
                                        .id = lease_of(l)->id,
                                        .renew = renew,
                                        .deadline_ns = l->request.deadline_ns};
    l->era = sim__lease_era(l->group);
    if (renew) {
        lease_book_renewing(&l->group->leases, l->ask.id);
    }
    return oak_replica_lease_ask(replica, &l->ask);
}

static int act_send(struct lessee *l, struct oak_replica *replica)
{
    const struct lessee_lease *lease = lease_of(l);
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    switch (l->act) {
    case LESSEE_GRANT:
        grant.id = lease->id;
        grant.ttl = lease->ttl_s;
        return propose(l, replica, OAK_KV_LEASE_GRANT, &grant.base);
    case LESSEE_REVOKE:
        revoke.id = lease->id;
        lease_book_end_asked(&l->group->leases, lease->id, l->sim->world.now_ns);
        return propose(l, replica, OAK_KV_LEASE_REVOKE, &revoke.base);
    case LESSEE_TIE:
    case LESSEE_LOOSE:
    case LESSEE_STAY:
        return put_send(l, replica);
    case LESSEE_KEEP:
    case LESSEE_LEFT:
        return ask_send(l, replica);
    case LESSEE_LOOK:
        break;
    }
    l->request.done = looked;
    return oak_replica_read(replica, &l->request);
}

/* What to do next, with which lease and key. One that is given up is only looked at, and a lease in
 * four is never renewed. */
static void act_draw(struct lessee *l)
{
    struct oak_prng *p = &l->prng;
    unsigned dice = (unsigned)oak_prng_below(p, 100);
    l->slot = l->close_call ? l->slot : (unsigned)oak_prng_below(p, SIM_LESSEE_LEASES);
    l->key = (unsigned)oak_prng_below(p, SIM_LESSEE_KEYS);
    struct lessee_lease *lease = lease_of(l);
    if (l->close_call && lease->id != 0) {
        l->act = LESSEE_KEEP;
        return;
    }
    if (lease->given_up && ++lease->looks > LOOKS) {
        *lease = (struct lessee_lease){0};
    }
    if (lease->id == 0) {
        lease->id = (int64_t)(l->index + 1) << 32 | (int64_t)++l->numbers;
        lease->ttl_s = (int64_t)oak_prng_between(p, 2, 5);
        lease->mayfly = oak_prng_chance(p, 1, 4);
        l->act = LESSEE_GRANT;
        return;
    }
    lease->given_up = lease->given_up || dice >= 97;
    l->act = dice < 30   ? LESSEE_KEEP
             : dice < 50 ? LESSEE_TIE
             : dice < 58 ? LESSEE_LOOSE
             : dice < 66 ? LESSEE_STAY
             : dice < 82 ? LESSEE_LOOK
             : dice < 92 ? LESSEE_LEFT
             : dice < 95 ? LESSEE_GRANT
             : dice < 97 ? LESSEE_REVOKE
                         : LESSEE_LOOK;
    bool quiet = lease->given_up || (lease->mayfly && l->act == LESSEE_KEEP);
    if (quiet && l->act != LESSEE_LOOK) {
        l->act = LESSEE_LEFT;
    }
}

/* -- lives ------------------------------------------------------------------------------------- */

static void arrive_event(struct world *w, struct event *e)
{
    struct lessee *l = e->arg;
    struct node *n = &l->sim->nodes[l->node];
    (void)w;
    OAK_ASSERT(l->busy && !l->arrived);
    l->arrived = true;
    struct oak_replica *replica = n->members[l->group->index].replica;
    if (!n->up || n->fatal || act_send(l, replica) != 0) {
        unknown(l);
    }
}

static bool over(const struct sim *s)
{
    return s->settling && s->core == 0;
}

static void lessee_event(struct world *w, struct event *e)
{
    struct lessee *l = e->arg;
    struct sim *s = l->sim;
    OAK_ASSERT(!l->busy);
    if (over(s)) {
        l->over = true;
        return;
    }
    l->node = (int)oak_prng_below(&l->prng, (uint64_t)w->node_count);
    unsigned asked = sim__core_asked(s);
    while (asked != 0 && (asked >> l->node & 1) == 0) {
        l->node = (l->node + 1) % w->node_count;
    }
    if (!s->nodes[l->node].up) {
        lessee_next(l);
        return;
    }
    act_draw(l);
    l->busy = true;
    l->arrived = false;
    l->call_ns = w->now_ns;
    const struct sim_clock *clock = &w->machines[l->node].clock;
    l->request = (struct oak_replica_request){
        .done = done, .deadline_ns = sim_clock_mono(clock, w->now_ns) + DEADLINE_NS};
    world_at(w, w->now_ns + SIM_MS / 10, l->node, arrive_event, l, oak_bytes(NULL, 0), 0);
}

/* In some time; or with a keepalive that comes as late as is promised to be early enough, or a
 * little later. */
static void lessee_next(struct lessee *l)
{
    struct world *w = &l->sim->world;
    uint64_t wait = SIM_MS + oak_prng_below(&l->prng, 2 * l->think_ms * SIM_MS);
    const struct lessee_lease *lease = lease_of(l);
    l->close_call =
        lease->there && !lease->mayfly && !lease->given_up && oak_prng_chance(&l->prng, 1, 10);
    if (l->close_call) {
        uint64_t end = lease_book_find(&l->group->leases, lease->id)->promised_ns;
        uint64_t from = end - OAK_MIN(end, 20 * SIM_MS);
        wait = from > w->now_ns ? from - w->now_ns + oak_prng_below(&l->prng, 60 * SIM_MS) : wait;
    }
    world_at(w, w->now_ns + wait, -1, lessee_event, l, oak_bytes(NULL, 0), 0);
}

void sim__lessees_lost(struct sim *s, int node)
{
    for (int i = 0; i < s->plan.lessees; i++) {
        struct lessee *l = &s->lessees[i];
        if (l->busy && l->node == node) {
            OAK_ASSERT(!l->arrived);
            unknown(l);
        }
    }
}

bool sim__lessees_over(const struct sim *s)
{
    bool all = true;
    for (int i = 0; i < s->plan.lessees; i++) {
        all = all && s->lessees[i].over;
    }
    for (int g = 0; all && g < s->plan.groups; g++) {
        all = s->groups[g].model.lease_count == 0;
    }
    return all;
}

void sim__lessees_start(struct sim *s)
{
    for (int i = 0; i < s->plan.lessees; i++) {
        struct lessee *l = &s->lessees[i];
        *l = (struct lessee){.sim = s, .index = i, .group = &s->groups[i % s->plan.groups]};
        oak_prng_init(&l->prng, s->options->seed * 13 + (uint64_t)i + 0x6c6573736565);
        l->think_ms = oak_prng_between(&l->prng, 50, 200);
        for (l->key = 0; l->key < SIM_LESSEE_KEYS; l->key++) {
            key_new(l);
        }
        lessee_next(l);
    }
}

void sim__lessees_stop(struct sim *s)
{
    for (int i = 0; i < s->plan.lessees; i++) {
        oak_buf_fini(&s->lessees[i].packed);
    }
}
