/* SPDX-License-Identifier: Apache-2.0 */
/* leases_test.c: a revocation of more keys than are removed at one go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"

/* More than are removed at one go, twice over. */
enum { MANY = 2500, LEASE = 7 };

static struct oak_bytes key_of(unsigned i, char out[16])
{
    return oak_bytes(out, (size_t)snprintf(out, 16, "k%05u", i));
}

static void grant(struct node *n, int64_t id)
{
    Etcdserverpb__LeaseGrantRequest r = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    r.id = id;
    r.ttl = 60;
    assert_int_equal(node_apply(n, OAK_KV_LEASE_GRANT, &r.base).error, 0);
}

static void put(struct node *n, struct oak_bytes key, int64_t lease)
{
    Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;
    r.key = oak_proto_binary(key);
    r.lease = lease;
    assert_int_equal(node_apply(n, OAK_KV_PUT, &r.base).error, 0);
}

static void revoke(struct node *n, int64_t id)
{
    Etcdserverpb__LeaseRevokeRequest r = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    r.id = id;
    assert_int_equal(node_apply(n, OAK_KV_LEASE_REVOKE, &r.base).error, 0);
}

struct seen {
    int64_t main;
    unsigned count;
};

static bool see_delete(void *arg, struct oak_store_rev rev, bool deleted,
                       const struct oak_store_kv *kv)
{
    struct seen *seen = arg;
    char room[16];
    assert_true(deleted);
    assert_int_equal(rev.main, seen->main);
    assert_int_equal(rev.sub, seen->count);
    assert_true(oak_bytes_eq(kv->key, key_of(seen->count, room)));
    seen->count++;
    return true;
}

static void a_revocation_of_many_keys_is_one_revision_in_their_order(void **state)
{
    (void)state;
    struct node n;
    char room[16];
    node_open(&n, 128);
    grant(&n, LEASE);
    /* Not in order; and one that stays between them. */
    for (unsigned i = 0; i < MANY; i++) {
        put(&n, key_of((i * 7) % MANY, room), LEASE);
    }
    put(&n, oak_bytes_str("k00500stays"), 0);
    node_commit(&n);
    int64_t before = oak_kv_state(n.kv)->revision;
    revoke(&n, LEASE);
    node_commit(&n);
    assert_int_equal(oak_kv_state(n.kv)->revision, before + 1);
    struct seen seen = {.main = before + 1};
    assert_int_equal(oak_store_changes(n.store, before + 1, before + 1, see_delete, &seen), 0);
    assert_int_equal(seen.count, MANY);
    struct oak_buf said = {0};
    say_leases(&said, n.kv);
    assert_true(oak_bytes_eq(oak_buf_bytes(&said), oak_bytes_str("0")));
    oak_buf_fini(&said);
    /* Nothing is left of it for the next one of that id. */
    grant(&n, LEASE);
    revoke(&n, LEASE);
    assert_int_equal(oak_kv_state(n.kv)->revision, before + 1);
    node_commit(&n);
    node_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revocation_of_many_keys_is_one_revision_in_their_order),
    };
    return cmocka_run_group_tests_name("kv leases", tests, NULL, NULL);
}
