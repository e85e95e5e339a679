/* SPDX-License-Identifier: Apache-2.0 */
/* leader.c: `hasleader: true` (etcd's clientv3.WithRequireLeader): no answer without a leader.
 *
 * Happy path   a call that begins without one is refused. A stream that is open is looked after by
 *              one timer for all: it ends when three looks in a row, an election time-out apart,
 *              found no leader, as in etcd.
 * Can fail     nothing.
 * Thread       the loop's.
 */
#include "api/internal.h"

#define LOOKS_WITHOUT 3u

bool api__leader_wanted(const struct oak_stub_call *stub)
{
    struct oak_bytes wanted = oak_stub_metadata(stub, "hasleader");
    return wanted.data != NULL && oak_bytes_eq(wanted, oak_bytes_str("true"));
}

bool api__leader_known(const struct oak_api *api)
{
    struct oak_replica_status status;
    oak_replica_status(api->options.replica, &status);
    return status.raft.leader != 0;
}

static void timer_set(struct oak_api *api)
{
    const struct oak_loop *loop = api->options.loop;
    uint64_t ms = api->options.election_ms != 0 ? api->options.election_ms : 1000;
    loop->timers.set(loop->timers.user, &api->leader.timer,
                     loop->clock.mono_ns(loop->clock.user) + ms * 1000000u);
}

static void timer_fire(struct oak_timer *timer)
{
    struct oak_api *api = OAK_CONTAINER_OF(timer, struct oak_api, leader.timer);
    struct api_leader *leader = &api->leader;
    leader->without = api__leader_known(api) ? 0 : leader->without + 1;
    while (leader->without >= LOOKS_WITHOUT && !oak_list_empty(&leader->followers)) {
        struct api_follower *follower =
            OAK_LIST_ENTRY(oak_list_pop(&leader->followers), struct api_follower, link);
        follower->lost(follower);
    }
    if (!oak_list_empty(&leader->followers)) {
        timer_set(api);
    }
}

void api__leader_init(struct oak_api *api)
{
    oak_list_init(&api->leader.followers);
    api->leader.timer.fire = timer_fire;
}

void api__leader_fini(struct oak_api *api)
{
    OAK_ASSERT(oak_list_empty(&api->leader.followers));
    const struct oak_timers *timers = &api->options.loop->timers;
    timers->stop(timers->user, &api->leader.timer);
}

void api__leader_follow(struct oak_api *api, struct api_follower *follower)
{
    OAK_ASSERT(follower->lost != NULL);
    oak_list_push(&api->leader.followers, &follower->link);
    if (!api->leader.timer.running) {
        api->leader.without = 0;
        timer_set(api);
    }
}

void api__leader_leave(struct oak_api *api, struct api_follower *follower)
{
    (void)api;
    if (oak_list_linked(&follower->link)) {
        oak_list_remove(&follower->link);
    }
}
