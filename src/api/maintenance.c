/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance.c: etcdserverpb.Maintenance: Status, and the list of alarms. One can be on: NOSPACE,
 * of this member itself, while little space is left on its disk; it ends by itself. */
#include "api/internal.h"

#include <inttypes.h>
#include <stdio.h>

static void answer_status(struct api_call *call)
{
    const struct oak_api_options *o = &call->api->options;
    struct oak_replica_status status;
    struct oak_store_stats store;
    oak_replica_status(o->replica, &status);
    oak_store_stats(o->store, &store);
    Etcdserverpb__StatusResponse response = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    Etcdserverpb__DowngradeInfo downgrade = ETCDSERVERPB__DOWNGRADE_INFO__INIT;
    char *errors[2];
    char alarm[64];
    response.header = api__header_new(call);
    if (response.header == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    response.version = (char *)(uintptr_t)o->version;
    response.storageversion = (char *)(uintptr_t)o->storage_version;
    response.dbsize = (int64_t)store.disk_bytes;
    response.dbsizeinuse = (int64_t)store.live_bytes;
    response.leader = status.raft.leader;
    response.raftindex = status.raft.commit;
    response.raftterm = status.raft.term;
    response.raftappliedindex = status.applied;
    Etcdserverpb__Member self;
    api__member_fill(call->api, o->id, &self);
    response.islearner = self.islearner;
    response.downgradeinfo = &downgrade;
    if (status.raft.leader == 0) {
        errors[response.n_errors++] = (char *)(uintptr_t)oak_error_text(OAK_ENOLEADER);
    }
    if (status.disk_scarce) {
        snprintf(alarm, sizeof(alarm), "memberID:%" PRIu64 " alarm:NOSPACE ", o->id);
        errors[response.n_errors++] = alarm;
    }
    response.errors = errors;
    api__answer(call, &response.base);
}

static void answer_alarms(struct api_call *call)
{
    Etcdserverpb__AlarmResponse response = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    response.header = api__header_new(call);
    if (response.header == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    struct oak_replica_status status;
    oak_replica_status(call->api->options.replica, &status);
    Etcdserverpb__AlarmMember member = ETCDSERVERPB__ALARM_MEMBER__INIT;
    Etcdserverpb__AlarmMember *members[1] = {&member};
    member.memberid = call->api->options.id;
    member.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    if (status.disk_scarce) {
        response.alarms = members;
        response.n_alarms = 1;
    }
    api__answer(call, &response.base);
}

static void status(void *user, struct oak_stub_call *stub,
                   const Etcdserverpb__StatusRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        answer_status(call);
    }
}

static void alarm(void *user, struct oak_stub_call *stub, const Etcdserverpb__AlarmRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    if (request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET) {
        answer_alarms(call);
    } else {
        oak_stub_finish(stub, OAK_RPC_UNIMPLEMENTED,
                        "alarms can't be raised or cleared in this version");
    }
}

const struct etcdserverpb__maintenance_handlers api__maintenance = {
    .status = status,
    .alarm = alarm,
};
