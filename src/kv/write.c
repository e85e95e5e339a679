/* SPDX-License-Identifier: Apache-2.0 */
/* write.c: put and delete.
 *
 * Happy path   put: 1 read the current version 2 number the new one 3 write it delete: 1 gather
 *              some keys 2 write a tombstone for each 3 on from the last
 * Can fail     Only the store, or memory: fatal. All that a client may be told was found out
 *              before the first change (check.c, kv__put_check).
 * Invariants   Every change takes the next sub-revision of base + 1; a delete of nothing takes
 *              none. No scan of the store is open while it is written.
 * Thread       the replica's.
 */
#include "kv/internal.h"

/* Keys gathered before they are removed: bounds the memory of a delete of everything. */
#define DELETE_KEYS  1024
#define DELETE_BYTES (256 * OAK_KIB)
/* Before each key that was gathered. */
#define GATHERED_HEAD 12

/* Whether an ignore_* of the request misses the key that it speaks of. */
static int key_missing(struct oak_kv *kv, const Etcdserverpb__PutRequest *request, bool gone,
                       bool *missing)
{
    *missing = false;
    if (!request->ignore_value && !request->ignore_lease) {
        return 0;
    }
    struct oak_store_kv current;
    int error =
        gone ? OAK_ENOENT : oak_store_head(kv->store, oak_proto_bytes(request->key), &current);
    *missing = error == OAK_ENOENT;
    return *missing ? 0 : error;
}

int kv__put_check(struct oak_kv *kv, const Etcdserverpb__PutRequest *request,
                  enum kv__put_where where, bool gone, int *told)
{
    /* etcd asks for the lease of a put first, and for that of a put in a transaction last. */
    struct oak_kv_lease lease;
    bool lease_unknown = request->lease != 0 && !oak_kv_lease(kv, request->lease, &lease) &&
                         !OAK_BUG(put_takes_any_lease);
    *told = 0;
    if (lease_unknown && where == KV_PUT_ALONE) {
        *told = OAK_ELEASENOTFOUND;
        return 0;
    }
    bool missing = false;
    int error = key_missing(kv, request, gone, &missing);
    if (error == 0 && missing) {
        *told = OAK_EKEYNOTFOUND;
    } else if (error == 0 && lease_unknown) {
        *told = OAK_ELEASENOTFOUND;
    }
    return error;
}

/* Bug zoo: find what was there before the deletion, so that its numbers go on. */
static int find_forgotten(struct kv__run *run, struct oak_bytes key, struct oak_store_kv *current)
{
    int64_t floor = OAK_MAX(run->kv->state.compacted, OAK_MAX(1, run->base - 1000));
    int error = OAK_ENOENT;
    for (int64_t rev = run->base; rev >= floor && error == OAK_ENOENT; rev--) {
        error = oak_store_get(run->kv->store, key, rev, current);
    }
    return error;
}

/* The version before a write: with its value only where somebody needs it, which may cost a read of
 * the disk. */
static int current_of(struct oak_kv *kv, struct oak_bytes key, bool value, struct oak_store_kv *out)
{
    return value ? oak_store_get(kv->store, key, 0, out) : oak_store_head(kv->store, key, out);
}

static struct oak_store_rev next_rev(struct kv__run *run)
{
    return (struct oak_store_rev){.main = run->base + 1, .sub = run->changes++};
}

int kv__put(struct kv__run *run, const Etcdserverpb__PutRequest *request,
            Etcdserverpb__PutResponse **out)
{
    struct oak_kv *kv = run->kv;
    struct oak_bytes key = oak_proto_bytes(request->key);
    OAK_ASSERT_GT(key.size, 0);
    struct oak_store_kv current = {.version = 0};
    bool value =
        request->ignore_value || (run->want && request->prev_kv) || kv__feed_wants(kv, key);
    int error = current_of(kv, key, value, &current);
    if (error == OAK_ENOENT && OAK_BUG(delete_forgets_version)) {
        error = find_forgotten(run, key, &current);
    }
    if (error != 0 && error != OAK_ENOENT) {
        return error;
    }
    bool exists = error == 0;
    OAK_ASSERT(exists || !(request->ignore_value || request->ignore_lease));
    Etcdserverpb__PutResponse *response =
        kv__message_new(run, &etcdserverpb__put_response__descriptor);
    if (response != NULL && request->prev_kv && exists) {
        response->prev_kv = kv__pair_new(run, &current, false);
    }
    struct oak_store_kv next = {
        .key = key,
        .value = oak_proto_bytes(request->value),
        .create_rev = exists && !OAK_BUG(put_is_birth) ? current.create_rev : run->base + 1,
        .mod_rev = run->base + 1,
        .version = exists ? current.version + 1 : 1,
        .lease = request->ignore_lease ? current.lease : request->lease,
    };
    if (request->ignore_value) {
        /* What the store lent is gone once it is written to. */
        oak_buf_clear(&kv->value);
        error = oak_buf_append(&kv->value, current.value.data, current.value.size);
        if (error != 0) {
            return error;
        }
        next.value = oak_buf_bytes(&kv->value);
    }
    error = kv__feed_tell(run, false, &next, exists ? &current : NULL);
    if (error == 0) {
        error = oak_store_put(kv->store, next_rev(run), &next);
    }
    if (error == 0) {
        error = kv__lease_move(kv, key, exists ? current.lease : 0, next.lease);
    }
    if (error != 0) {
        return error;
    }
    kv->counters.puts++;
    kv->counters.events++;
    if (response != NULL) {
        response->header = kv__header_new(run);
    }
    *out = response;
    return 0;
}

/* The first keys of `range` into kv->keys, as length, lease, and bytes; pairs too when asked. */
static int gather_keys(struct kv__run *run, const struct oak_store_range *range, bool want_pairs,
                       struct kv__pairs *pairs, size_t *count)
{
    struct oak_kv *kv = run->kv;
    struct oak_store_scan *scan = NULL;
    int error = oak_store_scan_open(kv->store, range, 0, !want_pairs, false, &scan);
    if (error != 0) {
        return error;
    }
    oak_buf_clear(&kv->keys);
    *count = 0;
    struct oak_store_kv kv_found;
    while (*count < DELETE_KEYS && kv->keys.size < DELETE_BYTES) {
        error = oak_store_scan_next(scan, &kv_found);
        if (error != 0) {
            break;
        }
        uint8_t head[GATHERED_HEAD];
        oak_put_u32(head, (uint32_t)kv_found.key.size);
        oak_put_u64(head + 4, (uint64_t)kv_found.lease);
        error = oak_buf_append(&kv->keys, head, sizeof(head));
        if (error == 0) {
            error = oak_buf_append(&kv->keys, kv_found.key.data, kv_found.key.size);
        }
        if (error != 0) {
            break;
        }
        *count += 1;
        if (want_pairs) {
            kv__pairs_add(run, pairs, &kv_found, false);
        }
    }
    oak_store_scan_close(scan);
    return error == OAK_ENOENT ? 0 : error;
}

int kv__remove(struct kv__run *run, struct oak_bytes key, int64_t lease,
               const struct oak_store_kv *current)
{
    struct oak_kv *kv = run->kv;
    const struct oak_store_kv gone = {.key = key, .mod_rev = run->base + 1};
    struct oak_store_kv found;
    int error = 0;
    if (current == NULL && kv__feed_wants(kv, key)) {
        error = oak_store_get(kv->store, key, 0, &found);
        current = &found;
    }
    error = error != 0 ? error : kv__feed_tell(run, true, &gone, current);
    if (error == 0) {
        error = oak_store_del(kv->store, next_rev(run), key);
        kv->counters.events++;
    }
    return error != 0 ? error : kv__lease_move(kv, key, lease, 0);
}

/* Remove what was gathered, and make `range` what is left behind it. */
static int remove_gathered(struct kv__run *run, size_t count, struct oak_store_range *range)
{
    struct oak_kv *kv = run->kv;
    struct oak_bytes key = {.size = 0};
    const uint8_t *at = kv->keys.data;
    for (size_t i = 0; i < count; i++) {
        key = oak_bytes(at + GATHERED_HEAD, oak_get_u32(at));
        int error = kv__remove(run, key, (int64_t)oak_get_u64(at + 4), NULL);
        if (error != 0) {
            return error;
        }
        at = key.data + key.size;
    }
    OAK_ASSERT(at == kv->keys.data + kv->keys.size);
    /* The last key itself is gone from the newest view, so that it may be where the next round
     * begins. It is kept where the next gathering does not write. */
    oak_buf_clear(&kv->value);
    int error = oak_buf_append(&kv->value, key.data, key.size);
    range->from = oak_buf_bytes(&kv->value);
    return error;
}

/* One key, without a scan. */
static int delete_one(struct kv__run *run, struct oak_bytes key, bool want_pairs,
                      struct kv__pairs *pairs)
{
    struct oak_store_kv found;
    bool value = want_pairs || kv__feed_wants(run->kv, key);
    int error = current_of(run->kv, key, value, &found);
    if (error != 0) {
        return error == OAK_ENOENT ? 0 : error;
    }
    if (want_pairs) {
        kv__pairs_add(run, pairs, &found, false);
    }
    return kv__remove(run, key, found.lease, &found);
}

static int delete_range(struct kv__run *run, struct oak_store_range range, bool want_pairs,
                        struct kv__pairs *pairs)
{
    size_t count = 0;
    do {
        int error = gather_keys(run, &range, want_pairs, pairs, &count);
        if (error == 0 && count > 0) {
            error = remove_gathered(run, count, &range);
        }
        if (error != 0) {
            return error;
        }
    } while (count > 0);
    return 0;
}

int kv__delete(struct kv__run *run, const Etcdserverpb__DeleteRangeRequest *request,
               Etcdserverpb__DeleteRangeResponse **out)
{
    OAK_ASSERT_GT(request->key.len, 0);
    OAK_ASSERT_GE(run->changes, 0);
    Etcdserverpb__DeleteRangeResponse *response =
        kv__message_new(run, &etcdserverpb__delete_range_response__descriptor);
    bool want_pairs = response != NULL && request->prev_kv;
    struct kv__pairs pairs = {.count = 0};
    struct oak_store_range range;
    int64_t before = run->changes;
    int error = 0;
    if (request->range_end.len == 0) {
        error = delete_one(run, oak_proto_bytes(request->key), want_pairs, &pairs);
    } else if (kv__range_of(request->key, request->range_end, &range)) {
        error = delete_range(run, range, want_pairs, &pairs);
        if (error == 0 && OAK_BUG(delete_takes_end) && !range.open_end) {
            error = delete_one(run, oak_proto_bytes(request->range_end), want_pairs, &pairs);
        }
    }
    if (error != 0) {
        return error;
    }
    run->kv->counters.deletes++;
    bool counts = OAK_BUG(empty_delete_counts) && run->changes == before;
    if (response != NULL) {
        response->deleted = run->changes - before;
        response->n_prev_kvs = pairs.count;
        response->prev_kvs = pairs.items;
        response->header = kv__header_new(run);
    }
    run->changes += counts ? 1 : 0;
    *out = response;
    return 0;
}
