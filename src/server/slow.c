/* SPDX-License-Identifier: Apache-2.0 */
/* slow.c: watches requests pass: from the message that asks to the status that ends the answer.
 * Calls that are meant to stay open are left out.
 */
#include "server/slow.h"

struct seen {
    uint64_t asked_ns; /* 0: nothing has been asked */
    size_t bytes;
};

static uint64_t now_of(const struct slow *s)
{
    return s->clock->mono_ns(s->clock->user);
}

static bool stays_open(struct oak_bytes path)
{
    static const char *const paths[] = {
        "/etcdserverpb.Watch/Watch",
        "/etcdserverpb.Lease/LeaseKeepAlive",
        "/etcdserverpb.Maintenance/Snapshot",
        "/etcdserverpb.KV/RangeStream",
        "/v3lockpb.Lock/Lock",
        "/v3electionpb.Election/Campaign",
        "/v3electionpb.Election/Observe",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(paths); i++) {
        if (oak_bytes_eq(path, oak_bytes_str(paths[i]))) {
            return true;
        }
    }
    return false;
}

static struct oak_rpc_verdict received(void *user, struct oak_rpc_call *call, void *state,
                                       struct oak_bytes message)
{
    struct slow *s = user;
    struct seen *seen = state;
    if (s->max_ns > 0 && !stays_open(oak_rpc_call_path(call))) {
        seen->asked_ns = now_of(s);
        seen->bytes = message.size;
    }
    return (struct oak_rpc_verdict){.code = OAK_RPC_OK};
}

static void finish(void *user, struct oak_rpc_call *call, void *state, enum oak_rpc_code code)
{
    struct slow *s = user;
    const struct seen *seen = state;
    uint64_t now = now_of(s);
    uint32_t missed;
    if (seen->asked_ns == 0 || now - seen->asked_ns <= s->max_ns ||
        !tally_tell(&s->tally, now, &missed)) {
        return;
    }
    if (missed > 0) {
        oak_log(s->log, OAK_LOG_WARN, "slow requests: %u more before", missed);
    }
    struct oak_bytes path = oak_rpc_call_path(call);
    oak_log(s->log, OAK_LOG_WARN,
            "slow request: %.*s from %s took %llu ms, more than %llu ms "
            "(--warning-unary-request-duration); %zu bytes were asked with, and it ended with %s",
            (int)OAK_MIN(path.size, (size_t)200), (const char *)path.data, oak_rpc_call_peer(call),
            (unsigned long long)((now - seen->asked_ns) / 1000000),
            (unsigned long long)(s->max_ns / 1000000), seen->bytes, oak_rpc_code_name(code));
}

void slow_init(struct slow *slow, const struct oak_log *log, const struct oak_clock *clock,
               uint64_t max_ns)
{
    *slow = (struct slow){
        .log = log,
        .clock = clock,
        .max_ns = max_ns,
        .interceptor = {.state_bytes = sizeof(struct seen),
                        .received = received,
                        .finish = finish,
                        .user = slow},
    };
}
