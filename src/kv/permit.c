/* SPDX-License-Identifier: Apache-2.0 */
/* permit.c: what a request does, in keys: may its user do all of that?
 *
 * Asked when a request comes, and of a command once more when it is applied: a permission that was
 * taken away earlier in the log is gone, and every member finds so. A transaction needs what its
 * compares and both of its branches need, in all that is nested in it, whichever will run.
 *
 * Source       etcd v3 API, "Auth", who may do what.
 * Can fail     what the client is told; OAK_ENOMEM.
 * Thread       the replica's.
 */
#include "kv/internal.h"

/* -- keys -------------------------------------------------------------------------------------- */

struct asker {
    struct oak_kv *kv;
    const struct oak_authz_who *who;
};

static int permit(const struct asker *asker, enum oak_authz_access access, ProtobufCBinaryData key,
                  ProtobufCBinaryData range_end)
{
    return oak_authz_permit(asker->kv->authz, asker->who, access, oak_proto_bytes(key),
                            oak_proto_bytes(range_end));
}

static int permit_range(const struct asker *asker, const Etcdserverpb__RangeRequest *r)
{
    return permit(asker, OAK_AUTHZ_READ, r->key, r->range_end);
}

struct lease_asker {
    const struct asker *asker;
    enum oak_authz_access access;
    int error;
};

static bool permit_lease_key(void *arg, struct oak_bytes key)
{
    struct lease_asker *l = arg;
    const ProtobufCBinaryData none = {0};
    l->error = permit(l->asker, l->access, oak_proto_binary(key), none);
    return l->error == 0;
}

/* Each key that belongs to a lease now. */
static int permit_lease(const struct asker *asker, enum oak_authz_access access, int64_t lease)
{
    struct lease_asker l = {.asker = asker, .access = access};
    oak_kv_lease_keys(asker->kv, lease, permit_lease_key, &l);
    return l.error;
}

static bool permit_each_lease(void *arg, const struct oak_kv_lease *lease)
{
    struct lease_asker *l = arg;
    l->error = permit_lease(l->asker, l->access, lease->id);
    return l->error == 0;
}

static int permit_leases(const struct asker *asker)
{
    struct lease_asker l = {.asker = asker, .access = OAK_AUTHZ_READ};
    oak_kv_leases(asker->kv, permit_each_lease, &l);
    return l.error;
}

/* A lease takes all its keys along: whoever ties one more to it may end the others. */
static int permit_put(const struct asker *asker, const Etcdserverpb__PutRequest *r)
{
    const ProtobufCBinaryData none = {0};
    int error = permit(asker, OAK_AUTHZ_WRITE, r->key, none);
    if (error == 0 && r->prev_kv) {
        error = permit(asker, OAK_AUTHZ_READ, r->key, none);
    }
    if (error == 0 && r->lease != 0) {
        error = permit_lease(asker, OAK_AUTHZ_WRITE, r->lease);
    }
    return error;
}

static int permit_delete(const struct asker *asker, const Etcdserverpb__DeleteRangeRequest *r)
{
    int error = permit(asker, OAK_AUTHZ_WRITE, r->key, r->range_end);
    if (error == 0 && r->prev_kv) {
        error = permit(asker, OAK_AUTHZ_READ, r->key, r->range_end);
    }
    return error;
}

/* The compares of one transaction. */
static int permit_compares(const struct asker *asker, const Etcdserverpb__TxnRequest *txn)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < txn->n_compare; i++) {
        error = permit(asker, OAK_AUTHZ_READ, txn->compare[i]->key, txn->compare[i]->range_end);
    }
    return error;
}

static int permit_txn(const struct asker *asker, const Etcdserverpb__TxnRequest *txn)
{
    struct kv__walk walk;
    kv__walk_init(&walk);
    bool fits = kv__walk_enter(&walk, txn, KV_BRANCH_BOTH);
    OAK_ASSERT(fits);
    int error = oak_authz_permit_any(asker->kv->authz, asker->who);
    if (error == 0) {
        error = permit_compares(asker, txn);
    }
    const Etcdserverpb__RequestOp *op;
    while (error == 0 && (op = kv__walk_next(&walk)) != NULL) {
        switch (kv__op_kind(op)) {
        case KV_OP_RANGE:
            error = permit_range(asker, op->request_range);
            break;
        case KV_OP_PUT:
            error = permit_put(asker, op->request_put);
            break;
        case KV_OP_DELETE:
            error = permit_delete(asker, op->request_delete_range);
            break;
        case KV_OP_TXN:
            error = permit_compares(asker, op->request_txn);
            if (error == 0 && !kv__walk_enter(&walk, op->request_txn, KV_BRANCH_BOTH)) {
                error = OAK_EFORMAT;
            }
            break;
        case KV_OP_NONE:
            break; /* it will be refused for what it is */
        }
    }
    return error;
}

/* -- requests ---------------------------------------------------------------------------------- */

/* False: it is no request about leases. */
static bool permit_of_lease(const struct asker *asker, const ProtobufCMessage *request, int *error)
{
    const ProtobufCMessageDescriptor *kind = request->descriptor;
    *error = oak_authz_permit_any(asker->kv->authz, asker->who);
    if (kind == &etcdserverpb__lease_grant_request__descriptor) {
        return true;
    }
    if (kind == &etcdserverpb__lease_revoke_request__descriptor) {
        int64_t id = ((const Etcdserverpb__LeaseRevokeRequest *)request)->id;
        *error = *error != 0 ? *error : permit_lease(asker, OAK_AUTHZ_WRITE, id);
        return true;
    }
    if (kind == &etcdserverpb__lease_keep_alive_request__descriptor) {
        int64_t id = ((const Etcdserverpb__LeaseKeepAliveRequest *)request)->id;
        *error = *error != 0 ? *error : permit_lease(asker, OAK_AUTHZ_WRITE, id);
        return true;
    }
    if (kind == &etcdserverpb__lease_time_to_live_request__descriptor) {
        const Etcdserverpb__LeaseTimeToLiveRequest *r =
            (const Etcdserverpb__LeaseTimeToLiveRequest *)request;
        *error = *error != 0 || !r->keys ? *error : permit_lease(asker, OAK_AUTHZ_READ, r->id);
        return true;
    }
    if (kind == &etcdserverpb__lease_leases_request__descriptor) {
        *error = *error != 0 ? *error : permit_leases(asker);
        return true;
    }
    return false;
}

int oak_kv_permit(struct oak_kv *kv, const struct oak_authz_who *who,
                  const ProtobufCMessage *request)
{
    const struct asker asker = {.kv = kv, .who = who};
    const ProtobufCMessageDescriptor *kind = request->descriptor;
    if (!oak_kv_auth_enabled(kv)) {
        return 0;
    }
    if (kind == &etcdserverpb__range_request__descriptor) {
        return permit_range(&asker, (const Etcdserverpb__RangeRequest *)request);
    }
    if (kind == &etcdserverpb__put_request__descriptor) {
        return permit_put(&asker, (const Etcdserverpb__PutRequest *)request);
    }
    if (kind == &etcdserverpb__delete_range_request__descriptor) {
        return permit_delete(&asker, (const Etcdserverpb__DeleteRangeRequest *)request);
    }
    if (kind == &etcdserverpb__txn_request__descriptor) {
        return permit_txn(&asker, (const Etcdserverpb__TxnRequest *)request);
    }
    int error = 0;
    if (permit_of_lease(&asker, request, &error)) {
        return error;
    }
    return oak_authz_permit_root(kv->authz, who);
}

int oak_kv_permit_keys(struct oak_kv *kv, const struct oak_authz_who *who,
                       enum oak_authz_access access, struct oak_bytes key,
                       struct oak_bytes range_end)
{
    return oak_authz_permit(kv->authz, who, access, key, range_end);
}

int kv__permit(struct oak_kv *kv, const struct oak_kv_command *command,
               const ProtobufCMessage *message, int *told)
{
    /* What clients alone ask for has a user while auth is on. The rest members may do by
     * themselves, compact the history too; with a user it is a client's. */
    bool clients = command->kind <= OAK_KV_TXN || command->kind == OAK_KV_LEASE_GRANT ||
                   kv__is_auth(command->kind);
    bool internal = command->kind == OAK_KV_AUTH_TOKEN || OAK_BUG(auth_asked_once) ||
                    (!clients && command->who.user.size == 0);
    *told = internal ? 0 : oak_kv_permit(kv, &command->who, message);
    return *told == OAK_ENOMEM ? OAK_ENOMEM : 0;
}
