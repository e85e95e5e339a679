/* SPDX-License-Identifier: Apache-2.0 */
/* burst.c: more than a node can take at once, and clients that go away. */
#include "sim/internal.h"

static void burst_done(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    (void)request;
    (void)error;
    (void)result;
}

void sim__burst(struct member *m, size_t count, size_t value_bytes)
{
    struct sim *s = m->node->sim;
    static const uint8_t zeros[64 * 1024];
    OAK_ASSERT_LE(count, SIM_BURST_MAX);
    OAK_ASSERT_LE(value_bytes, sizeof(zeros));
    struct oak_buf packed = {0};
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str("burst"));
    put.value = oak_proto_binary(oak_bytes(zeros, value_bytes));
    int error = oak_buf_reserve(&packed, etcdserverpb__put_request__get_packed_size(&put));
    OAK_ASSERT_EQ(error, 0);
    packed.size = etcdserverpb__put_request__pack(&put, packed.data);
    for (size_t i = 0; i < count; i++) {
        struct oak_replica_request *request = &s->burst.requests[i];
        if (request->state != 0) {
            continue; /* one of an earlier burst still waits */
        }
        *request = (struct oak_replica_request){.done = burst_done, .who = sim__who(m)};
        (void)!oak_replica_propose(m->replica, OAK_KV_PUT, oak_buf_bytes(&packed), request);
    }
    oak_buf_fini(&packed);
}

void sim__fault_burst(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct node *n = sim__node_any(s, p);
    bool big = oak_prng_chance(p, 1, 8);
    size_t count = oak_prng_between(p, 10, big ? 20 : SIM_BURST_MAX);
    size_t most = (size_t)OAK_MIN(64 * OAK_KIB, s->plan.segment_bytes / 4);
    size_t bytes = big ? oak_prng_between(p, OAK_KIB, most) : 1;
    struct group *g = &s->groups[oak_prng_below(p, (uint64_t)s->plan.groups)];
    if (n == NULL || n->fatal || sim_disk_died(s->world.machines[n->index].disk)) {
        return;
    }
    sim__fault_tell(s, f->kind, f->id, "n%d is asked for %zu puts of %zu bytes at once",
                    n->index + 1, count, bytes);
    sim__burst(&n->members[g->index], count, bytes);
}

/* It is not told any more; what it asked for may still happen. */
void sim__fault_abandon(struct sim *s, const struct fault *f, struct oak_prng *p)
{
    struct client *c = &s->clients[oak_prng_below(p, (uint64_t)s->plan.clients)];
    if (sim__client_abandon(c)) {
        sim__fault_tell(s, f->kind, f->id, "client %d goes away", c->index);
    }
}
