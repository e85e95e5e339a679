/* SPDX-License-Identifier: Apache-2.0 */
/* contest.c: names of keys; who comes first, by one walk over the keys without their values; the
 * transactions of whoever takes part.
 *
 * Two keys that were created by one transaction are in order of key.
 */
#include "api/contest.h"

/* A minus and sixteen digits. */
#define LEASE_BYTES_MAX 17

static size_t lease_write(int64_t lease, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t left = lease < 0 ? -(uint64_t)lease : (uint64_t)lease;
    uint8_t backwards[LEASE_BYTES_MAX];
    size_t count = 0;
    do {
        backwards[count++] = (uint8_t)digits[left & 15];
        left >>= 4;
    } while (left != 0);
    if (lease < 0) {
        backwards[count++] = '-';
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = backwards[count - 1 - i];
    }
    return count;
}

int api__contest_of(struct oak_arena *arena, struct oak_bytes name, int64_t lease,
                    struct api_contest *out)
{
    uint8_t *key = oak_arena_alloc(arena, name.size + 1 + LEASE_BYTES_MAX);
    uint8_t *end = oak_arena_alloc(arena, name.size + 1);
    if (key == NULL || end == NULL) {
        return OAK_ENOMEM;
    }
    if (name.size > 0) {
        memcpy(key, name.data, name.size);
        memcpy(end, name.data, name.size);
    }
    key[name.size] = '/';
    end[name.size] = '/' + 1;
    size_t size = name.size + 1;
    out->prefix = oak_bytes(key, size);
    out->end = oak_bytes(end, size);
    out->key = oak_bytes(key, size + lease_write(lease, key + size));
    return 0;
}

/* The first, or the last before `create_rev` where that is not 0. */
static int walk(struct oak_store *store, const struct api_contest *contest, int64_t create_rev,
                struct oak_buf *key)
{
    const struct oak_store_range range = {.from = contest->prefix, .to = contest->end};
    struct oak_store_scan *scan;
    int error = oak_store_scan_open(store, &range, 0, true, false, &scan);
    if (error != 0) {
        return error;
    }
    int64_t best = 0;
    struct oak_store_kv kv;
    while ((error = oak_store_scan_next(scan, &kv)) == 0) {
        bool better = create_rev != 0 ? kv.create_rev < create_rev && kv.create_rev > best
                                      : best == 0 || kv.create_rev < best;
        if (better) {
            best = kv.create_rev;
            oak_buf_clear(key);
            error = oak_buf_append(key, kv.key.data, kv.key.size);
            if (error != 0) {
                break;
            }
        }
    }
    oak_store_scan_close(scan);
    return error == OAK_ENOENT && best != 0 ? 0 : error;
}

int api__contest_first(struct oak_store *store, const struct api_contest *contest,
                       struct oak_buf *key)
{
    return walk(store, contest, 0, key);
}

int api__contest_before(struct oak_store *store, const struct api_contest *contest,
                        int64_t create_rev, struct oak_buf *key)
{
    OAK_ASSERT_GT(create_rev, 0);
    return walk(store, contest, create_rev, key);
}

int api__contest_leader(struct oak_store *store, const struct api_contest *contest,
                        Mvccpb__KeyValue *out)
{
    struct oak_buf key = {0};
    struct oak_store_kv kv;
    int error = api__contest_first(store, contest, &key);
    error = error != 0 ? error : oak_store_get(store, oak_buf_bytes(&key), 0, &kv);
    oak_buf_fini(&key);
    if (error == 0) {
        mvccpb__key_value__init(out);
        out->key = oak_proto_binary(kv.key);
        out->value = oak_proto_binary(kv.value);
        out->create_revision = kv.create_rev;
        out->mod_revision = kv.mod_rev;
        out->version = kv.version;
        out->lease = kv.lease;
    }
    return error;
}

/* -- transactions ------------------------------------------------------------------------------ */

static void claim_init(struct api_claim *claim, struct oak_bytes key, int64_t create_rev)
{
    etcdserverpb__txn_request__init(&claim->txn);
    etcdserverpb__compare__init(&claim->compare);
    etcdserverpb__request_op__init(&claim->then);
    claim->compare.key = oak_proto_binary(key);
    claim->compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
    claim->compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    claim->compare.create_revision = create_rev;
    claim->compares[0] = &claim->compare;
    claim->thens[0] = &claim->then;
    claim->txn.compare = claim->compares;
    claim->txn.n_compare = 1;
    claim->txn.success = claim->thens;
    claim->txn.n_success = 1;
}

void api__claim_put(struct api_claim *claim, struct oak_bytes key, int64_t create_rev,
                    struct oak_bytes value, int64_t lease, bool look)
{
    claim_init(claim, key, create_rev);
    etcdserverpb__put_request__init(&claim->put);
    claim->put.key = oak_proto_binary(key);
    claim->put.value = oak_proto_binary(value);
    claim->put.lease = lease;
    claim->then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    claim->then.request_put = &claim->put;
    if (look) {
        etcdserverpb__request_op__init(&claim->otherwise);
        etcdserverpb__range_request__init(&claim->look);
        claim->look.key = oak_proto_binary(key);
        claim->otherwise.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        claim->otherwise.request_range = &claim->look;
        claim->otherwises[0] = &claim->otherwise;
        claim->txn.failure = claim->otherwises;
        claim->txn.n_failure = 1;
    }
}

void api__claim_remove(struct api_claim *claim, struct oak_bytes key, int64_t create_rev)
{
    claim_init(claim, key, create_rev);
    etcdserverpb__delete_range_request__init(&claim->remove);
    claim->remove.key = oak_proto_binary(key);
    claim->then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    claim->then.request_delete_range = &claim->remove;
}
