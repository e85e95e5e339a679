/* SPDX-License-Identifier: Apache-2.0 */
/* quota.c: --quota-backend-bytes: what would take the store beyond it is refused, and the alarm
 * NOSPACE is raised for the cluster, until somebody clears it. A client is told that it was refused
 * once that alarm is on, so that it finds the alarm when it asks why.
 *
 * Happy path   the size of the store is looked at now and then, and what was let in since is added:
 *              so a put costs two additions. Near the quota it is looked at each time.
 * Can fail     raising the alarm: the client is refused all the same, and the next one tries again.
 * Source       the etcd v3 API, "Space quota": costs, and that it is the size on disk that counts.
 * Thread       the loop's.
 */
#include "api/internal.h"

#define LOOK_NS (100 * 1000000ull)

static void raised(struct oak_replica_request *request, int error,
                   const struct oak_kv_result *result)
{
    struct api_quota *q = OAK_CONTAINER_OF(request, struct api_quota, request);
    (void)error;
    (void)result;
    q->raising = false;
    struct oak_list *node;
    while ((node = oak_list_pop(&q->refused)) != NULL) {
        api__fail(OAK_LIST_ENTRY(node, struct api_call, refused_link), OAK_ENOSPACE);
    }
}

void api__quota_raise(struct oak_api *api)
{
    struct api_quota *q = &api->quota;
    Etcdserverpb__AlarmRequest alarm = ETCDSERVERPB__ALARM_REQUEST__INIT;
    uint8_t packed[64];
    if (q->raising) {
        return;
    }
    alarm.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    alarm.memberid = api->options.id;
    alarm.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    size_t size = etcdserverpb__alarm_request__get_packed_size(&alarm);
    OAK_ASSERT_LE(size, sizeof(packed));
    etcdserverpb__alarm_request__pack(&alarm, packed);
    q->request = (struct oak_replica_request){.done = raised};
    q->raising = oak_replica_propose(api->options.replica, OAK_KV_ALARM, oak_bytes(packed, size),
                                     &q->request) == 0;
    if (q->raising) {
        oak_log(api->options.log, OAK_LOG_WARN,
                "the store has %llu bytes, and the quota is %llu (--quota-backend-bytes): the "
                "alarm NOSPACE is raised; compact, delete, then clear it",
                (unsigned long long)q->size, (unsigned long long)api->options.quota_bytes);
    }
}

bool api__quota_refuses(struct oak_api *api, uint64_t cost)
{
    struct api_quota *q = &api->quota;
    const struct oak_clock *clock = &api->options.loop->clock;
    uint64_t most = api->options.quota_bytes;
    if (most == 0 || cost == 0) {
        return false;
    }
    uint64_t now = clock->mono_ns(clock->user);
    if (q->look_ns <= now || q->size + q->since + cost >= most) {
        struct oak_store_stats stats;
        oak_store_stats(api->options.store, &stats);
        q->size = stats.disk_bytes;
        q->since = 0;
        q->look_ns = now + LOOK_NS;
    }
    q->since += cost;
    return q->size + cost >= most;
}

void api__quota_refuse(struct api_call *call)
{
    struct api_quota *q = &call->api->quota;
    api__quota_raise(call->api);
    if (q->raising) {
        oak_list_push(&q->refused, &call->refused_link);
    } else {
        api__fail(call, OAK_ENOSPACE);
    }
}

void api__quota_forget(struct api_call *call)
{
    if (oak_list_linked(&call->refused_link)) {
        oak_list_remove(&call->refused_link);
    }
}
