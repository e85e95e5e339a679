/* SPDX-License-Identifier: Apache-2.0 */
/* leases.c: the leases of clients as they are replicated: which there are, for how long each was
 * granted, and the keys that go with it. When one has expired is no matter of the state: the
 * leader finds that out and proposes its revocation (src/lease, src/replica/expiry.c).
 *
 * Kept in the store beside the history, which holds all of it in memory, in order, so that nothing
 * is mirrored here and nothing is searched for at a start:
 *
 *     "lease/" id              time to live, what was left of it when a leader wrote it down last
 *                              (seconds, u64 each, little endian; 0: all)
 *     "leased/" id key         1: the key belongs to the lease
 *
 * with the id in eight bytes, big endian: the keys of a lease lie together, in order.
 *
 * Can fail     a command: told, and nothing has changed. The store: fatal.
 * Invariants   a key that lives belongs to the lease that its newest version names, and to no
 *              other; a lease that a key names exists. A revocation is one revision.
 * Thread       the replica's.
 */
#include "kv/internal.h"

#define LEASE         "lease/"
#define LEASE_BYTES   (sizeof(LEASE) - 1)
#define LEASED        "leased/"
#define LEASED_BYTES  (sizeof(LEASED) - 1)
#define ID_BYTES      8
#define LEASE_VALUE   16
#define LEASE_KEY     (LEASE_BYTES + ID_BYTES)
#define ATTACHED_HEAD (LEASED_BYTES + ID_BYTES)

/* Keys gathered before they are removed: bounds the memory of a large revocation. */
#define REVOKE_KEYS  1024
#define REVOKE_BYTES (256 * OAK_KIB)

/* -- the table --------------------------------------------------------------------------------- */

static struct oak_bytes lease_key(int64_t id, uint8_t out[LEASE_KEY])
{
    memcpy(out, LEASE, LEASE_BYTES);
    oak_put_be64(out + LEASE_BYTES, (uint64_t)id);
    return oak_bytes(out, LEASE_KEY);
}

static void attached_head(int64_t id, uint8_t out[ATTACHED_HEAD])
{
    memcpy(out, LEASED, LEASED_BYTES);
    oak_put_be64(out + LEASED_BYTES, (uint64_t)id);
}

static bool lease_decode(struct oak_bytes key, struct oak_bytes data, struct oak_kv_lease *out)
{
    if (key.size != LEASE_KEY || data.size != LEASE_VALUE) {
        return false;
    }
    *out = (struct oak_kv_lease){
        .id = (int64_t)oak_get_be64(key.data + LEASE_BYTES),
        .ttl_s = (int64_t)oak_get_u64(data.data),
        .remaining_s = (int64_t)oak_get_u64(data.data + 8),
    };
    return out->id != 0 && out->ttl_s >= 1 && out->ttl_s <= OAK_LEASE_TTL_S_MAX &&
           out->remaining_s >= 0 && out->remaining_s <= out->ttl_s;
}

bool kv__lease_record(struct oak_bytes key, struct oak_bytes data, struct oak_arena *arena,
                      struct oak_kv_record *out, int *error)
{
    (void)arena;
    if (key.size > ATTACHED_HEAD && memcmp(key.data, LEASED, LEASED_BYTES) == 0) {
        out->kind = OAK_KV_RECORD_LEASED;
        out->lease.id = (int64_t)oak_get_be64(key.data + LEASED_BYTES);
        out->name = oak_bytes(key.data + ATTACHED_HEAD, key.size - ATTACHED_HEAD);
        return true;
    }
    if (key.size < LEASE_BYTES || memcmp(key.data, LEASE, LEASE_BYTES) != 0) {
        return false;
    }
    out->kind = OAK_KV_RECORD_LEASE;
    *error = lease_decode(key, data, &out->lease) ? 0 : OAK_ECORRUPT;
    return true;
}

bool oak_kv_lease(const struct oak_kv *kv, int64_t id, struct oak_kv_lease *out)
{
    uint8_t room[LEASE_KEY];
    struct oak_bytes key = lease_key(id, room);
    struct oak_bytes data;
    if (oak_store_meta_get(kv->store, key, &data) != 0) {
        return false;
    }
    bool fine = lease_decode(key, data, out);
    OAK_ASSERT(fine);
    return true;
}

static void lease_value(const struct oak_kv_lease *lease, uint8_t out[LEASE_VALUE])
{
    oak_put_u64(out, (uint64_t)lease->ttl_s);
    oak_put_u64(out + 8, (uint64_t)lease->remaining_s);
}

int kv__lease_record_write(const struct oak_kv_record *record, struct oak_buf *key,
                           struct oak_buf *data)
{
    uint8_t head[ATTACHED_HEAD];
    uint8_t value[LEASE_VALUE] = {1};
    size_t size = 1;
    struct oak_bytes name;
    if (record->kind == OAK_KV_RECORD_LEASE) {
        name = lease_key(record->lease.id, head);
        lease_value(&record->lease, value);
        size = sizeof(value);
    } else {
        attached_head(record->lease.id, head);
        name = oak_bytes(head, sizeof(head));
    }
    int error = oak_buf_append(key, name.data, name.size);
    if (error == 0 && record->kind == OAK_KV_RECORD_LEASED) {
        error = oak_buf_append(key, record->name.data, record->name.size);
    }
    return error != 0 ? error : oak_buf_append(data, value, size);
}

static int lease_write(struct oak_kv *kv, const struct oak_kv_lease *lease)
{
    uint8_t room[LEASE_KEY];
    uint8_t value[LEASE_VALUE];
    lease_value(lease, value);
    int error =
        oak_store_meta_put(kv->store, lease_key(lease->id, room), oak_bytes(value, sizeof(value)));
    if (error == 0 && kv->lease_changed != NULL) {
        kv->lease_changed(kv->lease_user, lease);
    }
    return error;
}

struct load {
    struct oak_kv *kv;
    int error;
};

static bool load_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct load *load = arg;
    struct oak_kv_lease lease;
    if (!lease_decode(key, data, &lease)) {
        load->error = OAK_ECORRUPT;
        return false;
    }
    load->kv->lease_count++;
    return true;
}

int kv__leases_load(struct oak_kv *kv)
{
    struct load load = {.kv = kv};
    kv->lease_count = 0;
    oak_store_meta_scan(kv->store, oak_bytes_str(LEASE), oak_bytes(NULL, 0), load_each, &load);
    return load.error;
}

uint64_t oak_kv_lease_count(const struct oak_kv *kv)
{
    return kv->lease_count;
}

struct lease_walk {
    bool (*each)(void *arg, const struct oak_kv_lease *lease);
    void *arg;
};

static bool walk_lease(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    const struct lease_walk *walk = arg;
    struct oak_kv_lease lease;
    bool fine = lease_decode(key, data, &lease);
    OAK_ASSERT(fine);
    return walk->each(walk->arg, &lease);
}

void oak_kv_leases(const struct oak_kv *kv,
                   bool (*each)(void *arg, const struct oak_kv_lease *lease), void *arg)
{
    struct lease_walk walk = {.each = each, .arg = arg};
    oak_store_meta_scan(kv->store, oak_bytes_str(LEASE), oak_bytes(NULL, 0), walk_lease, &walk);
}

struct key_walk {
    bool (*each)(void *arg, struct oak_bytes key);
    void *arg;
};

static bool walk_key(void *arg, struct oak_bytes name, struct oak_bytes data)
{
    const struct key_walk *walk = arg;
    (void)data;
    return walk->each(walk->arg, oak_bytes(name.data + ATTACHED_HEAD, name.size - ATTACHED_HEAD));
}

static void keys_from(const struct oak_kv *kv, int64_t id, struct oak_bytes from,
                      bool (*each)(void *arg, struct oak_bytes key), void *arg)
{
    uint8_t head[ATTACHED_HEAD];
    struct key_walk walk = {.each = each, .arg = arg};
    attached_head(id, head);
    oak_store_meta_scan(kv->store, oak_bytes(head, sizeof(head)), from, walk_key, &walk);
}

void oak_kv_lease_keys(const struct oak_kv *kv, int64_t id,
                       bool (*each)(void *arg, struct oak_bytes key), void *arg)
{
    keys_from(kv, id, oak_bytes(NULL, 0), each, arg);
}

/* -- keys that come and go --------------------------------------------------------------------- */

static int attachment(struct oak_kv *kv, int64_t lease, struct oak_bytes key, bool attached)
{
    uint8_t head[ATTACHED_HEAD];
    attached_head(lease, head);
    oak_buf_clear(&kv->name);
    int error = oak_buf_append(&kv->name, head, sizeof(head));
    if (error == 0) {
        error = oak_buf_append(&kv->name, key.data, key.size);
    }
    if (error != 0) {
        return error;
    }
    static const uint8_t there = 1;
    return oak_store_meta_put(kv->store, oak_buf_bytes(&kv->name),
                              oak_bytes(&there, attached ? 1 : 0));
}

int kv__lease_move(struct oak_kv *kv, struct oak_bytes key, int64_t from, int64_t to)
{
    if (from == to) {
        return 0;
    }
    int error = from != 0 && !OAK_BUG(lease_keeps_key) ? attachment(kv, from, key, false) : 0;
    if (error == 0 && to != 0) {
        error = attachment(kv, to, key, true);
    }
    return error;
}

/* -- commands ---------------------------------------------------------------------------------- */

int kv__lease_grant(struct kv__run *run, const Etcdserverpb__LeaseGrantRequest *request,
                    Etcdserverpb__LeaseGrantResponse **out, int *told)
{
    struct oak_kv *kv = run->kv;
    struct oak_kv_lease lease = {.id = request->id, .ttl_s = OAK_MAX(request->ttl, (int64_t)1)};
    struct oak_kv_lease old;
    OAK_ASSERT_LE(lease.ttl_s, OAK_LEASE_TTL_S_MAX);
    *told = 0;
    if (oak_kv_lease(kv, lease.id, &old) && !OAK_BUG(lease_granted_twice)) {
        *told = OAK_ELEASEEXISTS;
    } else if (kv->lease_count >= kv->leases_max) {
        *told = OAK_ETOOMANYREQUESTS;
    }
    if (*told != 0) {
        return 0;
    }
    int error = lease_write(kv, &lease);
    if (error != 0) {
        return error;
    }
    kv->lease_count++;
    kv->counters.leases_granted++;
    size_t bucket = 0;
    while (bucket + 1 < OAK_KV_TTL_BUCKETS && lease.ttl_s > (int64_t)1 << bucket) {
        bucket++;
    }
    kv->counters.lease_ttls[bucket]++;
    kv->counters.lease_ttl_sum += (uint64_t)lease.ttl_s;
    Etcdserverpb__LeaseGrantResponse *response =
        kv__message_new(run, &etcdserverpb__lease_grant_response__descriptor);
    if (response != NULL) {
        response->id = lease.id;
        response->ttl = lease.ttl_s;
        response->header = kv__header_new(run);
    }
    *out = response;
    return 0;
}

struct gathering {
    struct oak_kv *kv;
    size_t count;
    int error;
};

static bool gather_each(void *arg, struct oak_bytes key)
{
    struct gathering *g = arg;
    uint8_t size[4];
    oak_put_u32(size, (uint32_t)key.size);
    g->error = oak_buf_append(&g->kv->keys, size, sizeof(size));
    if (g->error == 0) {
        g->error = oak_buf_append(&g->kv->keys, key.data, key.size);
    }
    g->count++;
    return g->error == 0 && g->count < (OAK_BUG(revoke_takes_first) ? 1 : REVOKE_KEYS) &&
           g->kv->keys.size < REVOKE_BYTES;
}

/* The keys of `id`, some at a time. A round goes on where the one before has ended: at the name of
 * its last key, which kv->name holds since that was detached. */
static int keys_remove(struct kv__run *run, int64_t id)
{
    struct oak_kv *kv = run->kv;
    struct gathering g = {.kv = kv};
    struct oak_bytes from = {.size = 0};
    do {
        oak_buf_clear(&kv->keys);
        g.count = 0;
        keys_from(kv, id, from, gather_each, &g);
        const uint8_t *at = kv->keys.data;
        for (size_t i = 0; g.error == 0 && i < g.count; i++) {
            struct oak_bytes key = oak_bytes(at + 4, oak_get_u32(at));
            at = key.data + key.size;
            g.error = kv__remove(run, key, id, NULL);
        }
        from = oak_buf_bytes(&kv->name);
    } while (g.error == 0 && g.count > 0 && !OAK_BUG(revoke_takes_first));
    return g.error;
}

int kv__lease_revoke(struct kv__run *run, const Etcdserverpb__LeaseRevokeRequest *request,
                     Etcdserverpb__LeaseRevokeResponse **out, int *told)
{
    struct oak_kv *kv = run->kv;
    struct oak_kv_lease lease;
    *told = oak_kv_lease(kv, request->id, &lease) ? 0 : OAK_ELEASENOTFOUND;
    if (*told != 0) {
        return 0;
    }
    int error = keys_remove(run, lease.id);
    if (error == 0) {
        uint8_t room[LEASE_KEY];
        error = oak_store_meta_put(kv->store, lease_key(lease.id, room), oak_bytes(NULL, 0));
    }
    if (error != 0) {
        return error;
    }
    OAK_ASSERT_GT(kv->lease_count, 0);
    kv->lease_count--;
    kv->counters.leases_revoked++;
    if (kv->lease_changed != NULL) {
        lease.ttl_s = 0;
        kv->lease_changed(kv->lease_user, &lease);
    }
    Etcdserverpb__LeaseRevokeResponse *response =
        kv__message_new(run, &etcdserverpb__lease_revoke_response__descriptor);
    if (response != NULL) {
        response->header = kv__header_new(run);
    }
    *out = response;
    return 0;
}

int kv__lease_checkpoint(struct oak_kv *kv, const Etcdserverpb__LeaseCheckpointRequest *request)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < request->n_checkpoints; i++) {
        const Etcdserverpb__LeaseCheckpoint *c = request->checkpoints[i];
        struct oak_kv_lease lease;
        if (oak_kv_lease(kv, c->id, &lease)) {
            lease.remaining_s = OAK_MAX((int64_t)0, OAK_MIN(c->remaining_ttl, lease.ttl_s));
            error = lease_write(kv, &lease);
        }
    }
    return error;
}
