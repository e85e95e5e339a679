/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c: one entry of the log at a time, in batches.
 *
 * Happy path   1 skip what has been applied
 *              2 decode
 *              3 check
 *              4 do
 *              5 move the state on
 * Can fail     The command: a result, the same on every member, and nothing has changed. The
 *              store, or memory: the return value, and the process ends, because this member can
 *              no longer follow.
 * Invariants   What becomes of the state depends on the entries alone: decoding has its own arena
 *              with a ceiling that depends on the entry alone; the caller's arena holds nothing
 *              but answers. state.revision rises by one with each command that changes something.
 * Thread       the replica's.
 *
 * The chain is a running hash: two members whose chains differ at one index differ in what they
 * have applied or in what came of it. For each entry, in this order:
 *
 *     chain = mix(chain ^ index)
 *     chain = mix(chain ^ (CRC-32C of the entry << 32 | CRC-32C of the error's name))
 *     chain = mix(chain ^ revision afterwards)
 *
 * where mix is the finalizer of splitmix64, and the name is empty when there is no error. The name
 * stands for the error because its number may differ between versions of the program.
 */
#include "kv/internal.h"

#include <inttypes.h>

/* Twice what a member lets in before proposing, so that what one has let in decodes on all. */
#define DECODE_BYTES_MAX (2 * OAK_DECODE_BYTES_MAX)
#define DECODE_FACTOR    (2 * OAK_DECODE_BYTES_MAX / OAK_REQUEST_BYTES_MAX)
#define SCRATCH_CHUNK    (64 * OAK_KIB)
OAK_STATIC_ASSERT(sizeof(void *) == 8, "members count the memory of a decoded request alike");

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t chain_next(uint64_t chain, uint64_t index, struct oak_bytes entry, int error,
                           int64_t revision)
{
    const char *name = error == 0 ? "" : oak_error_name(error);
    uint64_t entry_crc = oak_crc32c(0, entry.data, entry.size);
    uint64_t error_crc = oak_crc32c(0, name, strlen(name));
    chain = mix(chain ^ index);
    chain = mix(chain ^ (entry_crc << 32 | error_crc));
    return mix(chain ^ (uint64_t)revision);
}

/* -- life -------------------------------------------------------------------------------------- */

int oak_kv_reload(struct oak_kv *kv)
{
    OAK_ASSERT(!kv->batch_open);
    kv->state = *oak_store_state(kv->store);
    OAK_ASSERT_GE(kv->state.revision, 1);
    kv->skipping = false;
    if (kv->feed.changed != NULL) {
        kv->feed.replaced(kv->feed.user, &kv->state);
    }
    int error = kv__auth_load(kv);
    error = error != 0 ? error : kv__leases_load(kv);
    error = error != 0 ? error : kv__alarms_load(kv);
    return error != 0 ? error : kv__members_load(kv);
}

int oak_kv_new(const struct oak_kv_options *options, struct oak_kv **out, struct oak_errbuf *e)
{
    OAK_ASSERT(options->store != NULL);
    struct oak_alloc libc = oak_alloc_libc();
    struct oak_kv *kv = libc.resize(libc.user, NULL, sizeof(*kv));
    if (kv == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory for the state machine");
    }
    *kv = (struct oak_kv){
        .store = options->store,
        .log = options->log,
        .txn_ops_max = options->txn_ops_max != 0 ? options->txn_ops_max : OAK_TXN_OPS_MAX,
        .request_bytes_max =
            options->request_bytes_max != 0 ? options->request_bytes_max : OAK_REQUEST_BYTES_MAX,
        .token_granted = options->token_granted,
        .user = options->user,
        .leases_max = options->leases_max != 0 ? options->leases_max : OAK_LEASES_MAX,
        .lease_changed = options->lease_changed,
        .lease_user = options->lease_user,
    };
    oak_arena_init(&kv->scratch, SCRATCH_CHUNK, DECODE_BYTES_MAX);
    kv__members_init(kv);
    int error = oak_authz_new(libc, &kv->authz);
    error = error != 0 ? error : oak_kv_reload(kv);
    if (error != 0) {
        oak_kv_free(kv);
        return oak_fail(e, error, "can't read users, leases and what members have published: %s",
                        oak_error_text(error));
    }
    *out = kv;
    return 0;
}

void oak_kv_free(struct oak_kv *kv)
{
    struct oak_alloc libc = oak_alloc_libc();
    oak_arena_fini(&kv->scratch);
    oak_arena_fini(&kv->member_memory);
    oak_buf_fini(&kv->value);
    oak_buf_fini(&kv->keys);
    oak_buf_fini(&kv->name);
    if (kv->authz != NULL) {
        oak_authz_free(kv->authz);
    }
    libc.resize(libc.user, kv, 0);
}

const struct oak_store_state *oak_kv_state(const struct oak_kv *kv)
{
    return &kv->state;
}

void oak_kv_counters(const struct oak_kv *kv, struct oak_kv_counters *out)
{
    *out = kv->counters;
}

/* -- applying ---------------------------------------------------------------------------------- */

int oak_kv_begin(struct oak_kv *kv)
{
    OAK_ASSERT(!kv->batch_open);
    kv->batch_open = true;
    return 0;
}

int oak_kv_end(struct oak_kv *kv)
{
    OAK_ASSERT(kv->batch_open);
    kv->batch_open = false;
    int error = oak_store_commit(kv->store, &kv->state);
    if (error == 0 && kv->feed.changed != NULL) {
        kv->feed.committed(kv->feed.user, &kv->state);
    }
    return error;
}

int kv__decode(struct oak_kv *kv, const struct oak_kv_command *command, ProtobufCMessage **message,
               int *told)
{
    oak_arena_reset(&kv->scratch);
    kv->scratch.ceiling = OAK_MAX(DECODE_BYTES_MAX, DECODE_FACTOR * command->request.size);
    struct kv__shape shape;
    bool known = kv__shape((int)command->kind, &shape);
    OAK_ASSERT(known);
    *told = oak_proto_unpack(shape.request, command->request, &kv->scratch, message);
    /* Working memory from here on: in proportion to what was decoded. */
    kv->scratch.ceiling = SIZE_MAX / 2;
    return *told == OAK_ENOMEM ? OAK_ENOMEM : 0;
}

static int dispatch_lease(struct kv__run *run, const struct oak_kv_command *command,
                          const ProtobufCMessage *message, ProtobufCMessage **response, int *told)
{
    Etcdserverpb__LeaseGrantResponse *grant = NULL;
    Etcdserverpb__LeaseRevokeResponse *revoke = NULL;
    int error = 0;
    if (command->kind == OAK_KV_LEASE_GRANT) {
        error =
            kv__lease_grant(run, (const Etcdserverpb__LeaseGrantRequest *)message, &grant, told);
        *response = grant != NULL ? &grant->base : NULL;
    } else if (command->kind == OAK_KV_LEASE_REVOKE) {
        error =
            kv__lease_revoke(run, (const Etcdserverpb__LeaseRevokeRequest *)message, &revoke, told);
        *response = revoke != NULL ? &revoke->base : NULL;
    } else {
        error =
            kv__lease_checkpoint(run->kv, (const Etcdserverpb__LeaseCheckpointRequest *)message);
    }
    return error;
}

static int dispatch(struct kv__run *run, const struct oak_kv_command *command,
                    const ProtobufCMessage *message, ProtobufCMessage **response, int *told)
{
    Etcdserverpb__PutResponse *put = NULL;
    Etcdserverpb__DeleteRangeResponse *del = NULL;
    Etcdserverpb__TxnResponse *txn = NULL;
    Etcdserverpb__CompactionResponse *compact = NULL;
    Etcdserverpb__AlarmResponse *alarm = NULL;
    Etcdserverpb__DowngradeResponse *downgrade = NULL;
    int error = 0;
    switch (command->kind) {
    case OAK_KV_PUT:
        error = kv__put_check(run->kv, (const Etcdserverpb__PutRequest *)message, KV_PUT_ALONE,
                              false, told);
        if (error == 0 && *told == 0) {
            error = kv__put(run, (const Etcdserverpb__PutRequest *)message, &put);
        }
        *response = put != NULL ? &put->base : NULL;
        return error;
    case OAK_KV_DELETE:
        error = kv__delete(run, (const Etcdserverpb__DeleteRangeRequest *)message, &del);
        *response = del != NULL ? &del->base : NULL;
        return error;
    case OAK_KV_TXN:
        error = kv__txn(run, (const Etcdserverpb__TxnRequest *)message, &txn, told);
        *response = txn != NULL ? &txn->base : NULL;
        return error;
    case OAK_KV_COMPACT:
    case OAK_KV_COMPACT_OWN:
        kv__compact(run, (const Etcdserverpb__CompactionRequest *)message, &compact, told);
        *response = compact != NULL ? &compact->base : NULL;
        return 0;
    case OAK_KV_ALARM:
        error = kv__alarm(run, (const Etcdserverpb__AlarmRequest *)message, &alarm, told);
        *response = alarm != NULL ? &alarm->base : NULL;
        return error;
    case OAK_KV_DOWNGRADE:
        error =
            kv__downgrade(run, (const Etcdserverpb__DowngradeRequest *)message, &downgrade, told);
        *response = downgrade != NULL ? &downgrade->base : NULL;
        return error;
    case OAK_KV_PUBLISH:
        return kv__publish(run->kv, (const Etcdserverpb__Member *)message, command->request, told);
    case OAK_KV_MEMBER_URLS:
        return kv__member_urls(run->kv, (const Etcdserverpb__Member *)message, command->request,
                               told);
    case OAK_KV_LEASE_GRANT:
    case OAK_KV_LEASE_REVOKE:
    case OAK_KV_LEASE_CHECKPOINT:
        return dispatch_lease(run, command, message, response, told);
    default:
        OAK_ASSERT(kv__is_auth(command->kind));
        return kv__auth(run, command, message, response, told);
    }
}

/* Decode, check and do. What the client is told goes to result->error. */
static int apply_command(struct kv__run *run, struct oak_bytes entry, struct oak_kv_result *result)
{
    struct oak_kv *kv = run->kv;
    result->error = oak_kv_command_decode(entry, &result->command);
    if (result->error != 0) {
        return 0;
    }
    ProtobufCMessage *message = NULL;
    int error = kv__decode(kv, &result->command, &message, &result->error);
    if (error != 0 || result->error != 0) {
        return error;
    }
    result->error = kv__check(kv->txn_ops_max, result->command.kind, message, &kv->scratch);
    if (result->error == OAK_ENOMEM) {
        return OAK_ENOMEM;
    }
    if (result->error == 0) {
        result->error = kv__alarms_check(kv, result->command.kind, message);
    }
    if (result->error == 0) {
        error = kv__permit(kv, &result->command, message, &result->error);
    }
    if (error != 0 || result->error != 0) {
        return error;
    }
    return dispatch(run, &result->command, message, &result->response, &result->error);
}

static void note_skipped(struct oak_kv *kv, uint64_t index)
{
    if (!kv->skipping) {
        oak_log(kv->log, OAK_LOG_INFO,
                "kv: entry %" PRIu64 " is applied already (up to %" PRIu64 "): skipped", index,
                kv->state.applied);
    }
    kv->skipping = true;
}

int oak_kv_apply(struct oak_kv *kv, uint64_t index, uint64_t term, struct oak_bytes entry,
                 bool want_response, struct oak_arena *arena, struct oak_kv_result *result)
{
    OAK_ASSERT(kv->batch_open);
    OAK_ASSERT_GT(index, 0);
    *result = (struct oak_kv_result){.error = 0};
    if (index <= kv->state.applied && !OAK_BUG(apply_twice)) {
        note_skipped(kv, index);
        return 0;
    }
    kv->skipping = false;
    struct kv__run run = {
        .kv = kv, .arena = arena, .want = want_response, .base = kv->state.revision};
    if (entry.size > 0) {
        int error = apply_command(&run, entry, result);
        if (error != 0) {
            oak_log(kv->log, OAK_LOG_ERROR, "kv: entry %" PRIu64 " can't be applied: %s", index,
                    oak_error_text(error));
            return error;
        }
    }
    OAK_ASSERT(result->error == 0 || run.changes == 0);
    if (result->error == OAK_EFORMAT) {
        oak_log(kv->log, OAK_LOG_WARN,
                "kv: entry %" PRIu64 " is no command that is known here: it changes nothing",
                index);
    }
    kv->state.revision = kv__run_revision(&run);
    kv->state.applied = index;
    kv->state.applied_term = term;
    kv->state.chain = chain_next(kv->state.chain, index, entry, result->error, kv->state.revision);
    if (run.full) {
        /* It has happened; only the answer is lost, and only here. */
        result->response = NULL;
        result->error = OAK_ELIMIT;
    }
    return 0;
}
