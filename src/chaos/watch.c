/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: what each node says of itself, four times a second: its role, its term, whom it follows.
 *
 * Every answer of a leader is a claim on its term, which nobody else may make (judge.c). The same
 * answers colour the picture.
 * Can fail     an answer: the node then counts as silent until it gives one.
 * Thread       the loop's.
 */
#include "chaos/internal.h"

#include <stdlib.h>

#define ASK_NS     (CHAOS_SAMPLE_MS * CROWD_MS)
#define TIMEOUT_NS (500 * CROWD_MS)
/* A node whose last answer is older says nothing any more. */
#define SILENT_NS (1000 * CROWD_MS)

static void ask(struct crowd_call *call)
{
    struct chaos__node *n = OAK_CONTAINER_OF(call, struct chaos__node, status);
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    crowd_ask(call, (size_t)n->index, "etcdserverpb.Maintenance", "Status", &request.base,
              &etcdserverpb__status_response__descriptor, TIMEOUT_NS);
}

static void done(struct crowd_call *call)
{
    struct chaos__node *n = OAK_CONTAINER_OF(call, struct chaos__node, status);
    struct chaos *c = n->chaos;
    const Etcdserverpb__StatusResponse *s = (const Etcdserverpb__StatusResponse *)call->response;
    if (!call->unsent && call->code == OAK_RPC_OK && s->header != NULL) {
        bool leads = s->leader != 0 && s->leader == s->header->member_id;
        n->answered_ns = call->done_ns;
        n->term = s->raftterm;
        n->role = s->leader == 0 ? CHAOS_ROLE_LOST
                  : leads        ? CHAOS_ROLE_LEADER
                                 : CHAOS_ROLE_FOLLOWER;
        if (s->leader != 0) {
            chaos__leader_claim(c, s->raftterm, s->leader, n->name);
        }
    }
    crowd_rest(call, ASK_NS, ask);
}

void chaos__watch_start(struct chaos *c)
{
    for (int i = 0; i < c->count; i++) {
        struct crowd_call *call = &c->nodes[i].status;
        call->done = done;
        crowd_call_init(&c->crowd, call);
        crowd_rest(call, (uint64_t)i * ASK_NS / (uint64_t)c->count, ask);
    }
}

void chaos__watch_fini(struct chaos *c)
{
    for (int i = 0; i < c->count; i++) {
        if (c->nodes[i].status.crowd != NULL) {
            crowd_call_fini(&c->nodes[i].status);
        }
    }
}

static enum chaos__role role_seen(const struct chaos__node *n, uint64_t now)
{
    if (n->child == NULL) {
        return CHAOS_ROLE_DOWN;
    }
    if (n->paused) {
        return CHAOS_ROLE_PAUSED;
    }
    return now - n->answered_ns > SILENT_NS ? CHAOS_ROLE_SILENT : n->role;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Close the sample that grows, and begin those that are due. */
void chaos__sample_tick(struct chaos *c)
{
    size_t due = (size_t)(chaos__now_ms(c) / CHAOS_SAMPLE_MS) + 1;
    uint64_t now = crowd_now(&c->crowd);
    if (c->sample_count >= due) {
        return;
    }
    if (c->sample_count > 0 && c->latency_count > 0) {
        struct chaos__sample *last = &c->samples[c->sample_count - 1];
        qsort(c->latencies, c->latency_count, sizeof(*c->latencies), by_size);
        last->median_us = c->latencies[c->latency_count / 2];
        last->worst_us = c->latencies[c->latency_count - 1];
        c->latency_count = 0;
    }
    if (due > c->sample_capacity) {
        c->sample_capacity = OAK_MAX(2 * due, (size_t)256);
        c->samples = realloc(c->samples, c->sample_capacity * sizeof(*c->samples));
        OAK_ASSERT(c->samples != NULL);
    }
    for (; c->sample_count < due; c->sample_count++) {
        struct chaos__sample *s = &c->samples[c->sample_count];
        *s = (struct chaos__sample){0};
        for (int i = 0; i < c->count; i++) {
            s->roles[i] = (uint8_t)role_seen(&c->nodes[i], now);
        }
    }
}
