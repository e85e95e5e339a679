/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance.c: etcdserverpb.Maintenance but for Snapshot and MoveLeader: Status, alarms, hashes
 * of the history, Defragment, and announcing a downgrade.
 *
 * Alarms are the cluster's, raised and cleared through the log; beside them a member shows NOSPACE
 * of its own while little space is left on its disk, which ends by itself. Defragment answers at
 * once: the store gives space back while it serves.
 *
 * Thread  the loop's.
 */
#include "api/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* "memberID:10276657743932975437 alarm:NOSPACE ": etcd's text of an alarm. */
#define ALARM_TEXT_BYTES 64

static const char *alarm_name(int kind)
{
    return kind == ETCDSERVERPB__ALARM_TYPE__NOSPACE   ? "NOSPACE"
           : kind == ETCDSERVERPB__ALARM_TYPE__CORRUPT ? "CORRUPT"
                                                       : "NONE";
}

/* Those of the cluster, and this member's own; into OAK_ALARMS_MAX + 1 places. */
static size_t alarms_list(const struct oak_api *api, int kind, struct oak_kv_alarm *out)
{
    const struct oak_kv_alarm *raised;
    const struct oak_kv_alarm own = {.member = api->options.id,
                                     .kind = ETCDSERVERPB__ALARM_TYPE__NOSPACE};
    struct oak_replica_status status;
    oak_replica_status(api->options.replica, &status);
    size_t count = 0;
    bool listed = !status.disk_scarce;
    size_t all = oak_kv_alarms(oak_replica_kv(api->options.replica), &raised);
    for (size_t i = 0; i < all; i++) {
        listed = listed || (raised[i].member == own.member && raised[i].kind == own.kind);
        if (kind == ETCDSERVERPB__ALARM_TYPE__NONE || raised[i].kind == kind) {
            out[count++] = raised[i];
        }
    }
    if (!listed && (kind == ETCDSERVERPB__ALARM_TYPE__NONE || kind == own.kind)) {
        out[count++] = own;
    }
    return count;
}

/* Texts of what is wrong, in the call's memory. */
static int errors_list(struct api_call *call, bool leaderless, char ***out, size_t *count)
{
    struct oak_kv_alarm alarms[OAK_ALARMS_MAX + 1];
    size_t alarm_count = alarms_list(call->api, ETCDSERVERPB__ALARM_TYPE__NONE, alarms);
    *count = 0;
    *out = oak_arena_alloc(api__arena(call), (alarm_count + 1) * sizeof(**out));
    if (*out == NULL) {
        return OAK_ENOMEM;
    }
    if (leaderless) {
        (*out)[(*count)++] = (char *)(uintptr_t)oak_error_text(OAK_ENOLEADER);
    }
    for (size_t i = 0; i < alarm_count; i++) {
        char *text = oak_arena_alloc(api__arena(call), ALARM_TEXT_BYTES);
        if (text == NULL) {
            return OAK_ENOMEM;
        }
        snprintf(text, ALARM_TEXT_BYTES, "memberID:%" PRIu64 " alarm:%s ", alarms[i].member,
                 alarm_name(alarms[i].kind));
        (*out)[(*count)++] = text;
    }
    return 0;
}

static void answer_status(struct api_call *call)
{
    const struct oak_api_options *o = &call->api->options;
    struct oak_replica_status status;
    struct oak_store_stats store;
    oak_replica_status(o->replica, &status);
    oak_store_stats(o->store, &store);
    Etcdserverpb__StatusResponse response = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    Etcdserverpb__DowngradeInfo downgrade = ETCDSERVERPB__DOWNGRADE_INFO__INIT;
    Etcdserverpb__Member self;
    response.header = api__header_new(call);
    int error = response.header == NULL ? OAK_ENOMEM
                                        : errors_list(call, status.raft.leader == 0,
                                                      &response.errors, &response.n_errors);
    if (error != 0) {
        api__fail(call, error);
        return;
    }
    api__member_fill(call->api, o->id, &self);
    downgrade.targetversion = (char *)(uintptr_t)oak_kv_downgrade(oak_replica_kv(o->replica));
    downgrade.enabled = downgrade.targetversion[0] != '\0';
    response.version = (char *)(uintptr_t)o->version;
    response.storageversion = (char *)(uintptr_t)o->storage_version;
    response.dbsize = (int64_t)store.disk_bytes;
    response.dbsizeinuse = (int64_t)store.live_bytes;
    response.dbsizequota = (int64_t)o->quota_bytes;
    response.leader = status.raft.leader;
    response.raftindex = status.raft.commit;
    response.raftterm = status.raft.term;
    response.raftappliedindex = status.applied;
    response.islearner = self.islearner;
    response.downgradeinfo = &downgrade;
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

/* -- alarms ------------------------------------------------------------------------------------ */

static void alarms_ready(struct oak_replica_request *request, int error,
                         const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    const Etcdserverpb__AlarmRequest *asked = (const Etcdserverpb__AlarmRequest *)call->message;
    struct oak_kv_alarm alarms[OAK_ALARMS_MAX + 1];
    Etcdserverpb__AlarmMember rows[OAK_ALARMS_MAX + 1];
    Etcdserverpb__AlarmMember *row_at[OAK_ALARMS_MAX + 1];
    Etcdserverpb__AlarmResponse response = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    (void)result;
    response.header = error == 0 ? api__header_new(call) : NULL;
    if (response.header == NULL) {
        api__fail(call, error != 0 ? error : OAK_ENOMEM);
        return;
    }
    response.n_alarms = alarms_list(call->api, (int)asked->alarm, alarms);
    response.alarms = row_at;
    for (size_t i = 0; i < response.n_alarms; i++) {
        etcdserverpb__alarm_member__init(&rows[i]);
        rows[i].memberid = alarms[i].member;
        rows[i].alarm = (Etcdserverpb__AlarmType)alarms[i].kind;
        row_at[i] = &rows[i];
    }
    api__answer(call, &response.base);
}

static void alarm(void *user, struct oak_stub_call *stub, const Etcdserverpb__AlarmRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    bool changes = request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE ||
                   request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
    if (changes) {
        api__write(call, OAK_KV_ALARM);
    } else {
        api__read(call, alarms_ready);
    }
}

/* -- hashes ------------------------------------------------------------------------------------ */

static void hashed(struct oak_replica_hash *hash, int error)
{
    struct api_call *call = OAK_CONTAINER_OF(hash, struct api_call, hash);
    Etcdserverpb__HashResponse whole = ETCDSERVERPB__HASH_RESPONSE__INIT;
    Etcdserverpb__HashKVResponse response = ETCDSERVERPB__HASH_KVRESPONSE__INIT;
    whole.header = response.header = error == 0 ? api__header_new(call) : NULL;
    if (response.header == NULL) {
        api__fail(call, error != 0 ? error : OAK_ENOMEM);
        return;
    }
    whole.hash = response.hash = hash->hash;
    response.compact_revision = hash->compacted;
    response.hash_revision = hash->revision;
    bool kv = call->message->descriptor == &etcdserverpb__hash_kvrequest__descriptor;
    api__answer(call, kv ? &response.base : &whole.base);
}

static void hash_begin(struct api_call *call, int64_t revision)
{
    call->hash = (struct oak_replica_hash){.done = hashed, .revision = revision};
    int error = oak_replica_hash(call->api->options.replica, &call->hash);
    if (error != 0) {
        api__fail(call, error);
    }
}

static void hash_kv(void *user, struct oak_stub_call *stub,
                    const Etcdserverpb__HashKVRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        hash_begin(call, request->revision);
    }
}

static void hash(void *user, struct oak_stub_call *stub, const Etcdserverpb__HashRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        hash_begin(call, 0);
    }
}

/* -- space, versions --------------------------------------------------------------------------- */

static void defragment(void *user, struct oak_stub_call *stub,
                       const Etcdserverpb__DefragmentRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    Etcdserverpb__DefragmentResponse response = ETCDSERVERPB__DEFRAGMENT_RESPONSE__INIT;
    if (call != NULL) {
        oak_replica_squeeze(call->api->options.replica);
        api__answer(call, &response.base);
    }
}

/* "3.5", "3.5.0", "3.5.0-rc.1": the first two numbers. */
static bool version_read(const char *text, unsigned *major, unsigned *minor)
{
    unsigned long numbers[3] = {0};
    size_t count = 0;
    for (bool more = true; more && count < 3; count++) {
        char *end = NULL;
        if (text[0] < '0' || text[0] > '9') {
            return false;
        }
        numbers[count] = strtoul(text, &end, 10);
        more = *end == '.' && count < 2;
        text = more ? end + 1 : end;
    }
    *major = (unsigned)OAK_MIN(numbers[0], 1000ul);
    *minor = (unsigned)OAK_MIN(numbers[1], 1000ul);
    return count >= 2 && (*text == '\0' || (count == 3 && (*text == '-' || *text == '+')));
}

static void answer_downgrade(struct api_call *call)
{
    Etcdserverpb__DowngradeResponse response = ETCDSERVERPB__DOWNGRADE_RESPONSE__INIT;
    unsigned major = 0;
    unsigned minor = 0;
    char version[24];
    bool read = version_read(call->api->options.storage_version, &major, &minor);
    OAK_ASSERT(read);
    snprintf(version, sizeof(version), "%u.%u", major, minor);
    response.version = version;
    response.header = api__header_new(call);
    if (response.header == NULL) {
        api__fail(call, OAK_ENOMEM);
    } else {
        api__answer(call, &response.base);
    }
}

static void downgraded(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    if (error != 0) {
        api__fail(call, error);
    } else {
        answer_downgrade(call);
    }
}

/* Of one minor version, and while none is announced. */
static int downgrade_check(const struct api_call *call, const char *version, char *canonical,
                           size_t size)
{
    unsigned major = 0, minor = 0, own_major = 0, own_minor = 0;
    if (!version_read(version, &major, &minor)) {
        return OAK_EDOWNGRADEFORMAT;
    }
    bool read = version_read(call->api->options.storage_version, &own_major, &own_minor);
    OAK_ASSERT(read);
    if (major != own_major || minor + 1 != own_minor) {
        return OAK_EDOWNGRADETARGET;
    }
    snprintf(canonical, size, "%u.%u.0", major, minor);
    const char *announced = oak_kv_downgrade(oak_replica_kv(call->api->options.replica));
    return announced[0] != '\0' ? OAK_EDOWNGRADEINPROCESS : 0;
}

static void downgrade_ready(struct oak_replica_request *request, int error,
                            const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    Etcdserverpb__DowngradeRequest mine = *(const Etcdserverpb__DowngradeRequest *)call->message;
    char canonical[24] = "";
    uint8_t packed[64];
    (void)result;
    bool cancel = mine.action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    bool only = mine.action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE;
    if (error == 0 && !cancel) {
        error = downgrade_check(call, mine.version, canonical, sizeof(canonical));
    }
    if (error == 0 && only) {
        answer_downgrade(call);
        return;
    }
    mine.version = canonical;
    mine.base.n_unknown_fields = 0;
    if (error == 0) {
        size_t size = etcdserverpb__downgrade_request__get_packed_size(&mine);
        OAK_ASSERT_LE(size, sizeof(packed));
        etcdserverpb__downgrade_request__pack(&mine, packed);
        call->request.done = downgraded;
        call->request.deadline_ns = 0;
        error = oak_replica_propose(call->api->options.replica, OAK_KV_DOWNGRADE,
                                    oak_bytes(packed, size), &call->request);
    }
    if (error != 0) {
        api__fail(call, error);
    }
}

static void downgrade(void *user, struct oak_stub_call *stub,
                      const Etcdserverpb__DowngradeRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    bool known = request->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE ||
                 request->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE ||
                 request->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    if (known) {
        api__read(call, downgrade_ready);
    } else {
        oak_stub_finish(stub, OAK_RPC_UNKNOWN, "etcdserver: unknown method");
    }
}

const struct etcdserverpb__maintenance_handlers api__maintenance = {
    .status = status,
    .alarm = alarm,
    .hash = hash,
    .hash_kv = hash_kv,
    .snapshot = {.request = api__snapshot},
    .defragment = defragment,
    .move_leader = api__move_leader,
    .downgrade = downgrade,
};
