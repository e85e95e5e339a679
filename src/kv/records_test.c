/* SPDX-License-Identifier: Apache-2.0 */
/* records_test.c: what commands leave beside the history is read back, pair by pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"

#define HASH "$2b$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

struct seen {
    struct oak_buf text;
    struct oak_arena arena;
};

/* Written again it is the pair that was there, but for what is left out on purpose: when a password
 * was set, and when auth was turned off. */
static void write_again(const struct oak_kv_record *r, struct oak_bytes key, struct oak_bytes data)
{
    struct oak_buf name = {0};
    struct oak_buf value = {0};
    int error = oak_kv_record_write(r, &name, &value);
    bool ours = r->kind == OAK_KV_RECORD_OTHER || r->kind == OAK_KV_RECORD_DOWNGRADE ||
                r->kind == OAK_KV_RECORD_MEMBER_GONE;
    size_t skip = r->kind == OAK_KV_RECORD_USER ? 8 : 0;
    assert_int_equal(error, ours ? OAK_EINVAL : 0);
    if (!ours) {
        assert_true(oak_bytes_eq(oak_buf_bytes(&name), key));
        assert_int_equal(value.size, data.size);
        assert_memory_equal(value.data + skip, data.data + skip, data.size - skip);
    }
    oak_buf_fini(&name);
    oak_buf_fini(&value);
}

static void see(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct seen *seen = arg;
    struct oak_kv_record r;
    assert_int_equal(oak_kv_record_read(key, data, &seen->arena, &r), 0);
    write_again(&r, key, data);
    switch (r.kind) {
    case OAK_KV_RECORD_LEASED:
        SAY(&seen->text, "%.*s goes with lease %lld; ", (int)r.name.size, (const char *)r.name.data,
            (long long)r.lease.id);
        break;
    case OAK_KV_RECORD_LEASE:
        SAY(&seen->text, "lease %lld of %lld s, %lld left; ", (long long)r.lease.id,
            (long long)r.lease.ttl_s, (long long)r.lease.remaining_s);
        break;
    case OAK_KV_RECORD_AUTH:
        SAY(&seen->text, "auth %s at %llu; ", r.auth_enabled ? "on" : "off",
            (unsigned long long)r.auth_revision);
        break;
    case OAK_KV_RECORD_USER:
    case OAK_KV_RECORD_ROLE:
        SAY(&seen->text, "%s %.*s; ", r.kind == OAK_KV_RECORD_USER ? "user" : "role",
            (int)r.name.size, (const char *)r.name.data);
        break;
    case OAK_KV_RECORD_ALARM:
        SAY(&seen->text, "alarm %d of %llu; ", r.alarm.kind, (unsigned long long)r.alarm.member);
        break;
    case OAK_KV_RECORD_DOWNGRADE:
        SAY(&seen->text, "downgrade to %.*s; ", (int)r.name.size, (const char *)r.name.data);
        break;
    case OAK_KV_RECORD_MEMBER_GONE:
        SAY(&seen->text, "member %llu is gone; ", (unsigned long long)r.member);
        break;
    case OAK_KV_RECORD_OTHER:
        SAY(&seen->text, "-; ");
        break;
    }
}

static void expect(struct node *n, const char *text)
{
    struct seen seen = {.text = {0}};
    oak_arena_init(&seen.arena, OAK_KIB, OAK_MIB);
    node_commit(n);
    assert_int_equal(oak_store_meta_each(n->store, see, &seen), 0);
    assert_int_equal(oak_buf_append(&seen.text, "", 1), 0);
    assert_string_equal((const char *)seen.text.data, text);
    oak_arena_fini(&seen.arena);
    oak_buf_fini(&seen.text);
}

static void lease_with_a_key(struct node *n)
{
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    Etcdserverpb__LeaseCheckpoint left = ETCDSERVERPB__LEASE_CHECKPOINT__INIT;
    Etcdserverpb__LeaseCheckpoint *lefts[] = {&left};
    Etcdserverpb__LeaseCheckpointRequest checkpoint = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    grant.id = left.id = put.lease = 77;
    grant.ttl = 100;
    left.remaining_ttl = 40;
    checkpoint.n_checkpoints = 1;
    checkpoint.checkpoints = lefts;
    put.key = oak_proto_binary(oak_bytes_str("k"));
    assert_int_equal(node_apply(n, OAK_KV_LEASE_GRANT, &grant.base).error, 0);
    assert_int_equal(node_apply(n, OAK_KV_PUT, &put.base).error, 0);
    assert_int_equal(node_apply(n, OAK_KV_LEASE_CHECKPOINT, &checkpoint.base).error, 0);
}

static void user_and_role(struct node *n)
{
    Etcdserverpb__AuthUserAddRequest user = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Etcdserverpb__AuthRoleAddRequest role = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    user.name = (char *)(uintptr_t) "ann";
    user.hashedpassword = (char *)(uintptr_t)HASH;
    role.name = (char *)(uintptr_t) "reader";
    assert_int_equal(node_apply(n, OAK_KV_USER_ADD, &user.base).error, 0);
    assert_int_equal(node_apply(n, OAK_KV_ROLE_ADD, &role.base).error, 0);
}

static void alarm_and_downgrade(struct node *n)
{
    Etcdserverpb__AlarmRequest alarm = ETCDSERVERPB__ALARM_REQUEST__INIT;
    Etcdserverpb__DowngradeRequest downgrade = ETCDSERVERPB__DOWNGRADE_REQUEST__INIT;
    alarm.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    alarm.memberid = 5;
    alarm.alarm = ETCDSERVERPB__ALARM_TYPE__CORRUPT;
    downgrade.action = ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE;
    downgrade.version = (char *)(uintptr_t) "3.5.0";
    assert_int_equal(node_apply(n, OAK_KV_ALARM, &alarm.base).error, 0);
    assert_int_equal(node_apply(n, OAK_KV_DOWNGRADE, &downgrade.base).error, 0);
}

static void member_that_leaves(struct node *n)
{
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.id = 9;
    assert_int_equal(node_apply(n, OAK_KV_MEMBER_URLS, &member.base).error, 0);
}

static void each_pair_says_what_a_command_has_left(void **state)
{
    struct node n;
    (void)state;
    node_open(&n, 0);
    lease_with_a_key(&n);
    user_and_role(&n);
    alarm_and_downgrade(&n);
    member_that_leaves(&n);
    expect(&n, "alarm 2 of 5; role reader; auth off at 3; user ann; downgrade to 3.5.0; "
               "member 9 is gone; lease 77 of 100 s, 40 left; k goes with lease 77; ");
    node_close(&n);
}

static int read_as(const char *key, size_t key_size, const char *data, size_t data_size)
{
    struct oak_arena arena;
    struct oak_kv_record r;
    oak_arena_init(&arena, OAK_KIB, OAK_MIB);
    int error =
        oak_kv_record_read(oak_bytes(key, key_size), oak_bytes(data, data_size), &arena, &r);
    oak_arena_fini(&arena);
    return error;
}

static void what_no_command_has_written_is_damage(void **state)
{
    (void)state;
    assert_int_equal(read_as("lease/12345678", 14, "short", 5), OAK_ECORRUPT);
    assert_int_equal(read_as("lease/1234567", 13, "0123456789abcdef", 16), OAK_ECORRUPT);
    assert_int_equal(read_as("auth/settings", 13, "\2", 1), OAK_ECORRUPT);
    assert_int_equal(read_as("auth/user/12345678", 18, "1234567", 7), OAK_ECORRUPT);
    assert_int_equal(read_as("auth/user/12345678", 18, "12345678\x0a\x05x", 11), OAK_ECORRUPT);
    assert_int_equal(read_as("auth/role/12345678", 18, "\x0a\x05x", 3), OAK_ECORRUPT);
    assert_int_equal(read_as("alarm/1234", 10, "1", 1), OAK_ECORRUPT);
    assert_int_equal(read_as("whatever", 8, "1", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_says_what_a_command_has_left),
        cmocka_unit_test(what_no_command_has_written_is_damage),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
