/* SPDX-License-Identifier: Apache-2.0 */
/* move.c: leadership is handed to the member that a client names (MoveLeader), by the leader alone.
 *
 * Happy path   1 the replica is told; while it hands over, commands wait
 *              2 looked at until the one that was named leads
 * Can fail     this member does not lead; who is named is no voter; it takes too long.
 * Thread       the loop's.
 */
#include "api/internal.h"

#define LOOK_NS     (10 * 1000000ull)
#define DEADLINE_NS (7 * 1000000000ull)

static uint64_t now_ns(const struct oak_api *api)
{
    const struct oak_clock *clock = &api->options.loop->clock;
    return clock->mono_ns(clock->user);
}

static void look(struct api_call *call)
{
    const struct oak_timers *timers = &call->api->options.loop->timers;
    const Etcdserverpb__MoveLeaderRequest *request =
        (const Etcdserverpb__MoveLeaderRequest *)call->message;
    struct oak_replica_status status;
    oak_replica_status(call->api->options.replica, &status);
    if (status.raft.leader == request->targetid) {
        Etcdserverpb__MoveLeaderResponse response = ETCDSERVERPB__MOVE_LEADER_RESPONSE__INIT;
        api__answer(call, &response.base);
        return;
    }
    uint64_t now = now_ns(call->api);
    if (now >= call->until_ns) {
        oak_stub_finish(call->stub, OAK_RPC_UNKNOWN,
                        "etcdserver: request timed out, leader transfer took too long");
        return;
    }
    if (status.raft.role == OAK_RAFT_LEADER && status.raft.transfer == 0) {
        /* Once more: the last try has not come to an end in time. */
        (void)!oak_replica_transfer(call->api->options.replica, request->targetid);
    }
    timers->set(timers->user, &call->timer, now + LOOK_NS);
}

static void look_fire(struct oak_timer *timer)
{
    look(OAK_CONTAINER_OF(timer, struct api_call, timer));
}

static bool is_voter(const struct oak_raft_config *config, uint64_t id)
{
    for (uint32_t i = 0; i < config->voter_count; i++) {
        if (config->voters[i] == id) {
            return true;
        }
    }
    return false;
}

void api__move_leader(void *user, struct oak_stub_call *stub,
                      const Etcdserverpb__MoveLeaderRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    struct oak_replica *replica = call->api->options.replica;
    struct oak_replica_status status;
    oak_replica_status(replica, &status);
    int error = status.raft.role != OAK_RAFT_LEADER                         ? OAK_ENOTLEADER
                : !is_voter(oak_replica_config(replica), request->targetid) ? OAK_EBADTRANSFEREE
                                                                            : 0;
    if (error == 0 && request->targetid != call->api->options.id) {
        error = oak_replica_transfer(replica, request->targetid);
    }
    if (error != 0) {
        api__fail(call, error);
        return;
    }
    call->timer.fire = look_fire;
    call->until_ns = now_ns(call->api) + DEADLINE_NS;
    look(call);
}
