/* SPDX-License-Identifier: Apache-2.0 */
/* alarms.c: alarms of the cluster, and what they stop; and the downgrade that was announced.
 *
 * An alarm is a member and a kind, raised and cleared through the log, so that it is on everywhere
 * at the same entry: NOSPACE refuses what takes space, CORRUPT all that changes anything. It lies
 * in the store beside the history, under "alarm/", the kind in one byte and the id in eight, big
 * endian; a list in memory mirrors that. A downgrade lies there under "downgrade", as the version.
 *
 * Can fail     one alarm too many: told, and nothing changes.
 * Invariants   the list holds what the store holds.
 * Source       the etcd v3 API, "Maintenance", and "Space quota".
 * Thread       the replica's.
 */
#include "kv/internal.h"

#define PREFIX       "alarm/"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define KEY_BYTES    (PREFIX_BYTES + 1 + 8)
#define DOWNGRADE    "downgrade"

static struct oak_kv_alarm alarm_of(struct oak_bytes key)
{
    return (struct oak_kv_alarm){
        .kind = key.data[PREFIX_BYTES],
        .member = oak_get_be64(key.data + PREFIX_BYTES + 1),
    };
}

static void load_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct oak_kv *kv = arg;
    if (oak_bytes_eq(key, oak_bytes_str(DOWNGRADE)) && data.size < sizeof(kv->downgrade)) {
        memcpy(kv->downgrade, data.data, data.size);
        kv->downgrade[data.size] = '\0';
    }
    if (key.size == KEY_BYTES && memcmp(key.data, PREFIX, PREFIX_BYTES) == 0 &&
        kv->alarm_count < OAK_ALARMS_MAX) {
        kv->alarms[kv->alarm_count++] = alarm_of(key);
    }
}

bool kv__alarm_record(struct oak_bytes key, struct oak_bytes data, struct oak_arena *arena,
                      struct oak_kv_record *out, int *error)
{
    (void)arena;
    if (oak_bytes_eq(key, oak_bytes_str(DOWNGRADE))) {
        out->kind = OAK_KV_RECORD_DOWNGRADE;
        out->name = data;
        return true;
    }
    if (key.size < PREFIX_BYTES || memcmp(key.data, PREFIX, PREFIX_BYTES) != 0) {
        return false;
    }
    out->kind = OAK_KV_RECORD_ALARM;
    *error = key.size == KEY_BYTES ? 0 : OAK_ECORRUPT;
    if (*error == 0) {
        out->alarm = alarm_of(key);
    }
    return true;
}

static struct oak_bytes key_of(const struct oak_kv_alarm *alarm, uint8_t out[KEY_BYTES])
{
    memcpy(out, PREFIX, PREFIX_BYTES);
    out[PREFIX_BYTES] = (uint8_t)alarm->kind;
    oak_put_be64(out + PREFIX_BYTES + 1, alarm->member);
    return oak_bytes(out, KEY_BYTES);
}

int kv__alarm_record_write(const struct oak_kv_record *record, struct oak_buf *key,
                           struct oak_buf *data)
{
    uint8_t room[KEY_BYTES];
    struct oak_bytes name = key_of(&record->alarm, room);
    int error = oak_buf_append(key, name.data, name.size);
    return error != 0 ? error : oak_buf_append(data, "1", 1);
}

int kv__alarms_load(struct oak_kv *kv)
{
    kv->alarm_count = 0;
    kv->downgrade[0] = '\0';
    return oak_store_meta_each(kv->store, load_each, kv);
}

size_t oak_kv_alarms(const struct oak_kv *kv, const struct oak_kv_alarm **out)
{
    *out = kv->alarms;
    return kv->alarm_count;
}

bool oak_kv_alarmed(const struct oak_kv *kv, int kind)
{
    for (size_t i = 0; i < kv->alarm_count; i++) {
        if (kv->alarms[i].kind == kind) {
            return true;
        }
    }
    return false;
}

const char *oak_kv_downgrade(const struct oak_kv *kv)
{
    return kv->downgrade;
}

/* -- what they stop ---------------------------------------------------------------------------- */

static uint64_t cost_put(const Etcdserverpb__PutRequest *put)
{
    return 256 + put->key.len + put->value.len;
}

/* The larger branch at each level. */
static uint64_t cost_txn(const Etcdserverpb__TxnRequest *txn)
{
    uint64_t sums[KV_TXN_DEPTH_MAX + 1][2] = {{0, 0}};
    size_t lists[KV_TXN_DEPTH_MAX + 1] = {0}; /* of the level above, that a level hangs from */
    struct kv__walk walk;
    kv__walk_init(&walk);
    bool fits = kv__walk_enter(&walk, txn, KV_BRANCH_BOTH);
    size_t depth = 1;
    const Etcdserverpb__RequestOp *op;
    while (fits && (op = kv__walk_next(&walk)) != NULL) {
        for (; depth > walk.depth; depth--) {
            sums[depth - 1][lists[depth]] += OAK_MAX(sums[depth][0], sums[depth][1]);
        }
        size_t list = walk.levels[walk.depth - 1].list;
        if (kv__op_kind(op) == KV_OP_PUT) {
            sums[depth][list] += cost_put(op->request_put);
        } else if (kv__op_kind(op) == KV_OP_TXN) {
            fits = kv__walk_enter(&walk, op->request_txn, KV_BRANCH_BOTH);
            depth += fits ? 1 : 0;
            lists[depth] = list;
            sums[depth][0] = sums[depth][1] = 0;
        }
    }
    for (; depth > 1; depth--) {
        sums[depth - 1][lists[depth]] += OAK_MAX(sums[depth][0], sums[depth][1]);
    }
    return OAK_MAX(sums[1][0], sums[1][1]);
}

uint64_t oak_kv_cost(enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    switch (kind) {
    case OAK_KV_PUT:
        return cost_put((const Etcdserverpb__PutRequest *)message);
    case OAK_KV_TXN:
        return cost_txn((const Etcdserverpb__TxnRequest *)message);
    case OAK_KV_LEASE_GRANT:
        return 64;
    default:
        return 0;
    }
}

int kv__alarms_check(const struct oak_kv *kv, enum oak_kv_kind kind,
                     const ProtobufCMessage *message)
{
    if (kv->alarm_count == 0) {
        return 0;
    }
    bool changes = kind == OAK_KV_PUT || kind == OAK_KV_DELETE || kind == OAK_KV_TXN ||
                   kind == OAK_KV_COMPACT || kind == OAK_KV_COMPACT_OWN || (int)kind == 6 ||
                   (int)kind == 7;
    if (changes && oak_kv_alarmed(kv, ETCDSERVERPB__ALARM_TYPE__CORRUPT)) {
        return OAK_ECORRUPTCLUSTER;
    }
    bool full = oak_kv_alarmed(kv, ETCDSERVERPB__ALARM_TYPE__NOSPACE);
    return full && oak_kv_cost(kind, message) > 0 ? OAK_ENOSPACE : 0;
}

/* -- the commands ------------------------------------------------------------------------------ */

static int put(struct oak_kv *kv, const struct oak_kv_alarm *alarm, bool on)
{
    uint8_t room[KEY_BYTES];
    return oak_store_meta_put(kv->store, key_of(alarm, room), oak_bytes("1", on ? (size_t)1 : 0));
}

/* The place of an alarm; alarm_count: it is not on. */
static size_t place(const struct oak_kv *kv, const struct oak_kv_alarm *alarm)
{
    size_t at = 0;
    while (at < kv->alarm_count &&
           (kv->alarms[at].kind != alarm->kind || kv->alarms[at].member != alarm->member)) {
        at++;
    }
    return at;
}

static void respond(struct kv__run *run, const struct oak_kv_alarm *alarms, size_t count,
                    Etcdserverpb__AlarmResponse **out)
{
    Etcdserverpb__AlarmResponse *response =
        kv__message_new(run, &etcdserverpb__alarm_response__descriptor);
    if (response == NULL) {
        return;
    }
    response->header = kv__header_new(run);
    response->alarms = oak_arena_alloc(run->arena, (count + 1) * sizeof(*response->alarms));
    run->full = run->full || response->alarms == NULL;
    for (size_t i = 0; !run->full && i < count; i++) {
        Etcdserverpb__AlarmMember *row =
            kv__message_new(run, &etcdserverpb__alarm_member__descriptor);
        if (row == NULL) {
            break;
        }
        row->memberid = alarms[i].member;
        row->alarm = (Etcdserverpb__AlarmType)alarms[i].kind;
        response->alarms[response->n_alarms++] = row;
    }
    *out = response;
}

int kv__alarm(struct kv__run *run, const Etcdserverpb__AlarmRequest *request,
              Etcdserverpb__AlarmResponse **out, int *told)
{
    struct oak_kv *kv = run->kv;
    struct oak_kv_alarm alarm = {.member = request->memberid, .kind = (int)request->alarm};
    bool known = request->alarm == ETCDSERVERPB__ALARM_TYPE__NOSPACE ||
                 request->alarm == ETCDSERVERPB__ALARM_TYPE__CORRUPT;
    size_t at = place(kv, &alarm);
    bool on = at < kv->alarm_count;
    bool raise = known && request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    bool clear =
        known && on && request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
    int error = 0;
    *told = 0;
    if (raise && !on) {
        if (kv->alarm_count == OAK_ALARMS_MAX) {
            *told = OAK_ELIMIT;
            return 0;
        }
        kv->alarms[kv->alarm_count++] = alarm;
        error = put(kv, &alarm, true);
    }
    if (clear) {
        kv->alarm_count--;
        memmove(&kv->alarms[at], &kv->alarms[at + 1], (kv->alarm_count - at) * sizeof(alarm));
        error = put(kv, &alarm, false);
    }
    if (error == 0) {
        respond(run, &alarm, raise || clear ? 1 : 0, out);
    }
    return error;
}

int kv__downgrade(struct kv__run *run, const Etcdserverpb__DowngradeRequest *request,
                  Etcdserverpb__DowngradeResponse **out, int *told)
{
    struct oak_kv *kv = run->kv;
    bool enable = request->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE;
    size_t size = enable ? strlen(request->version) : 0;
    *told = 0;
    if (size >= sizeof(kv->downgrade)) {
        *told = OAK_EDOWNGRADEFORMAT;
    } else if (enable && kv->downgrade[0] != '\0') {
        *told = OAK_EDOWNGRADEINPROCESS;
    }
    if (*told != 0) {
        return 0;
    }
    memcpy(kv->downgrade, request->version, size);
    kv->downgrade[size] = '\0';
    Etcdserverpb__DowngradeResponse *response =
        kv__message_new(run, &etcdserverpb__downgrade_response__descriptor);
    if (response != NULL) {
        response->header = kv__header_new(run);
        *out = response;
    }
    return oak_store_meta_put(kv->store, oak_bytes_str(DOWNGRADE), oak_bytes(kv->downgrade, size));
}
