/* SPDX-License-Identifier: Apache-2.0 */
/* model.c: the state machine once more, as simple as can be: what the log's commands make of a
 * table of keys. Each index is taken when the first node applies it. Every node's revision at that
 * index, and at the end all keys with their versions and revisions, must be the model's.
 *
 * It knows only what the clients of the simulation ask for: puts, deletes of a key or a range,
 * transactions that compare values for equality and put, compactions, and what is done with leases
 * (model_lease.c) and users (model_auth.c). It remembers every change.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/internal.h"

void sim__model_fini(struct model_kv *m)
{
    free(m->keys);
    free(m->changes);
    free(m->leases);
    *m = (struct model_kv){0};
}

const struct model_key *sim__model_find(const struct model_kv *m, struct oak_bytes key)
{
    for (size_t i = m->count; i > 0; i--) { /* the newest keys are asked for most */
        const struct model_key *k = &m->keys[i - 1];
        if (oak_bytes_eq(oak_bytes(k->key, k->key_size), key)) {
            return k->version != 0 ? k : NULL;
        }
    }
    return NULL;
}

/* The place of a key, present or not. */
static struct model_key *place_of(struct model_kv *m, struct oak_bytes key)
{
    for (size_t i = m->count; i > 0; i--) {
        struct model_key *k = &m->keys[i - 1];
        if (oak_bytes_eq(oak_bytes(k->key, k->key_size), key)) {
            return k;
        }
    }
    if (m->count == m->capacity) {
        m->capacity = OAK_MAX((size_t)64, m->capacity * 2);
        m->keys = realloc(m->keys, m->capacity * sizeof(*m->keys));
        OAK_ASSERT(m->keys != NULL);
    }
    struct model_key *k = &m->keys[m->count++];
    *k = (struct model_key){.key_size = key.size};
    OAK_ASSERT_LE(key.size, sizeof(k->key));
    memcpy(k->key, key.data, key.size);
    return k;
}

static void changed(struct model_kv *m, const struct model_key *k)
{
    if (m->change_count == m->change_capacity) {
        m->change_capacity = OAK_MAX((size_t)256, m->change_capacity * 2);
        m->changes = realloc(m->changes, m->change_capacity * sizeof(*m->changes));
        OAK_ASSERT(m->changes != NULL);
    }
    m->changes[m->change_count++] = (struct model_change){.as = *k, .key = (size_t)(k - m->keys)};
}

void sim__model_as_of(const struct model_kv *m, int64_t rev, struct model_kv *out)
{
    *out = (struct model_kv){.count = m->count};
    out->keys = calloc(m->count + 1, sizeof(*out->keys));
    OAK_ASSERT(out->keys != NULL);
    for (size_t i = 0; i < m->change_count && m->changes[i].as.mod <= rev; i++) {
        out->keys[m->changes[i].key] = m->changes[i].as;
    }
}

/* Whether it was done. */
static bool put(struct model_kv *m, const Etcdserverpb__PutRequest *request)
{
    struct model_key *k = place_of(m, oak_proto_bytes(request->key));
    if ((request->ignore_lease && k->version == 0) ||
        (request->lease != 0 && sim__model_lease(m, request->lease) == NULL)) {
        return false;
    }
    k->lease = request->ignore_lease ? k->lease : request->lease;
    k->create = k->version == 0 ? m->revision + 1 : k->create;
    k->mod = m->revision + 1;
    k->version++;
    k->value_size = request->value.len;
    k->value_crc = oak_crc32c(0, request->value.data, request->value.len);
    changed(m, k);
    return true;
}

static bool holds(const struct model_kv *m, const Etcdserverpb__Compare *c)
{
    OAK_ASSERT_EQ(c->target, ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE);
    OAK_ASSERT_EQ(c->result, ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL);
    const struct model_key *k = sim__model_find(m, oak_proto_bytes(c->key));
    return k != NULL && k->value_size == c->value.len &&
           k->value_crc == oak_crc32c(0, c->value.data, c->value.len);
}

/* Whether it changed anything. */
static bool txn(struct model_kv *m, const Etcdserverpb__TxnRequest *request)
{
    bool good = true;
    for (size_t i = 0; i < request->n_compare; i++) {
        good = good && holds(m, request->compare[i]);
    }
    Etcdserverpb__RequestOp **ops = good ? request->success : request->failure;
    size_t count = good ? request->n_success : request->n_failure;
    for (size_t i = 0; i < count; i++) {
        OAK_ASSERT_EQ(ops[i]->request_case, ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT);
        bool done = put(m, ops[i]->request_put);
        OAK_ASSERT(done);
    }
    return count > 0;
}

bool sim__model_gone(struct model_kv *m, struct model_key *k)
{
    bool there = k->version != 0;
    if (there) {
        k->version = 0;
        k->lease = 0;
        k->mod = m->revision + 1;
        changed(m, k);
    }
    return there;
}

static bool removed(struct model_kv *m, const Etcdserverpb__DeleteRangeRequest *request)
{
    struct oak_bytes from = oak_proto_bytes(request->key);
    struct oak_bytes to = oak_proto_bytes(request->range_end);
    bool any = false;
    if (to.size == 0) {
        return sim__model_gone(m, place_of(m, from));
    }
    for (size_t i = 0; i < m->count; i++) {
        struct oak_bytes key = oak_bytes(m->keys[i].key, m->keys[i].key_size);
        if (oak_bytes_cmp(from, key) <= 0 && oak_bytes_cmp(key, to) < 0) {
            any = sim__model_gone(m, &m->keys[i]) || any;
        }
    }
    return any;
}

/* It changes no key, and takes no revision. */
static void compact(struct model_kv *m, const Etcdserverpb__CompactionRequest *request)
{
    if (request->revision > m->compacted && request->revision <= m->revision) {
        m->compacted = request->revision;
    }
}

static bool run(struct model_kv *m, const struct oak_kv_command *command)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        [OAK_KV_PUT] = &etcdserverpb__put_request__descriptor,
        [OAK_KV_DELETE] = &etcdserverpb__delete_range_request__descriptor,
        [OAK_KV_TXN] = &etcdserverpb__txn_request__descriptor,
        [OAK_KV_COMPACT] = &etcdserverpb__compaction_request__descriptor,
        [OAK_KV_LEASE_GRANT] = &etcdserverpb__lease_grant_request__descriptor,
        [OAK_KV_LEASE_REVOKE] = &etcdserverpb__lease_revoke_request__descriptor,
        [OAK_KV_LEASE_CHECKPOINT] = &etcdserverpb__lease_checkpoint_request__descriptor,
        [OAK_KV_AUTH_ENABLE] = &etcdserverpb__auth_enable_request__descriptor,
        [OAK_KV_AUTH_DISABLE] = &etcdserverpb__auth_disable_request__descriptor,
        [OAK_KV_USER_ADD] = &etcdserverpb__auth_user_add_request__descriptor,
        [OAK_KV_USER_DELETE] = &etcdserverpb__auth_user_delete_request__descriptor,
        [OAK_KV_USER_GRANT] = &etcdserverpb__auth_user_grant_role_request__descriptor,
        [OAK_KV_USER_REVOKE] = &etcdserverpb__auth_user_revoke_role_request__descriptor,
        [OAK_KV_ROLE_ADD] = &etcdserverpb__auth_role_add_request__descriptor,
        [OAK_KV_ROLE_DELETE] = &etcdserverpb__auth_role_delete_request__descriptor,
        [OAK_KV_ROLE_PERMIT] = &etcdserverpb__auth_role_grant_permission_request__descriptor,
        [OAK_KV_ROLE_FORBID] = &etcdserverpb__auth_role_revoke_permission_request__descriptor,
    };
    if (command->kind >= OAK_COUNT_OF(kinds) || kinds[command->kind] == NULL) {
        return false;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(
        kinds[command->kind], NULL, command->request.size, command->request.data);
    if (message == NULL) {
        return false; /* damaged: it changes nothing, as the state machine says */
    }
    bool wrote = true;
    if (!sim__model_permits(&m->auth, command, message)) {
        wrote = false;
    } else if (command->kind >= OAK_KV_AUTH_ENABLE) {
        sim__model_auth_run(&m->auth, command->kind, message);
        wrote = false;
    } else if (command->kind == OAK_KV_PUT) {
        wrote = put(m, (const Etcdserverpb__PutRequest *)message);
    } else if (command->kind > OAK_KV_COMPACT) {
        wrote = sim__model_lease_run(m, command->kind, message);
    } else if (command->kind == OAK_KV_DELETE) {
        wrote = removed(m, (const Etcdserverpb__DeleteRangeRequest *)message);
    } else if (command->kind == OAK_KV_COMPACT) {
        wrote = false;
        compact(m, (const Etcdserverpb__CompactionRequest *)message);
    } else {
        wrote = txn(m, (const Etcdserverpb__TxnRequest *)message);
    }
    protobuf_c_message_free_unpacked(message, NULL);
    return wrote;
}

int64_t sim__model_apply(struct model_kv *m, uint64_t index, struct oak_bytes entry)
{
    struct oak_kv_command command;
    OAK_ASSERT_EQ(index, m->index + 1);
    m->index = index;
    if (m->revision == 0) {
        m->revision = 1;
        m->auth.revision = 1;
        m->compacted = -1;
    }
    if (entry.size > 0 && oak_kv_command_decode(entry, &command) == 0 && run(m, &command)) {
        m->revision++;
    }
    return m->revision;
}
