/* SPDX-License-Identifier: Apache-2.0 */
/* auth_test.c: commands that say for whom they are; tokens; users and roles over a restart, and on
 * two machines that take the same log in different ways. auth.txt has the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"

#define HASH "$2b$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

static struct node n;

static int set_up(void **state)
{
    (void)state;
    node_open(&n, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_commit(&n);
    node_close(&n);
    return 0;
}

static int user_add(struct node *node, const char *name)
{
    Etcdserverpb__AuthUserAddRequest r = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    r.name = (char *)(uintptr_t)name;
    r.hashedpassword = (char *)(uintptr_t)HASH;
    return node_apply(node, OAK_KV_USER_ADD, &r.base).error;
}

static int user_grant(struct node *node, const char *name, const char *role)
{
    Etcdserverpb__AuthUserGrantRoleRequest r = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    r.user = (char *)(uintptr_t)name;
    r.role = (char *)(uintptr_t)role;
    return node_apply(node, OAK_KV_USER_GRANT, &r.base).error;
}

static int password(struct node *node, const char *name)
{
    Etcdserverpb__AuthUserChangePasswordRequest r =
        ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
    r.name = (char *)(uintptr_t)name;
    r.hashedpassword = (char *)(uintptr_t)HASH;
    return node_apply(node, OAK_KV_USER_PASSWORD, &r.base).error;
}

static int enable(struct node *node)
{
    const Etcdserverpb__AuthEnableRequest r = ETCDSERVERPB__AUTH_ENABLE_REQUEST__INIT;
    return node_apply(node, OAK_KV_AUTH_ENABLE, &r.base).error;
}

static int disable(struct node *node)
{
    const Etcdserverpb__AuthDisableRequest r = ETCDSERVERPB__AUTH_DISABLE_REQUEST__INIT;
    return node_apply(node, OAK_KV_AUTH_DISABLE, &r.base).error;
}

static void enabled(struct node *node)
{
    assert_int_equal(user_add(node, "root"), 0);
    assert_int_equal(user_grant(node, "root", "root"), 0);
    assert_int_equal(enable(node), 0);
    node->user = oak_bytes_str("root");
}

static uint64_t revision(const struct node *node)
{
    return oak_authz_settings(oak_kv_authz(node->kv))->revision;
}

/* -- the header -------------------------------------------------------------------------------- */

static void a_command_says_for_whom_it_is(void **state)
{
    (void)state;
    uint8_t bytes[OAK_KV_HEADER_BYTES_MAX + 3];
    const struct oak_kv_command command = {
        .kind = OAK_KV_PUT,
        .origin = 1,
        .id = 2,
        .who = {.user = oak_bytes_str("ann"), .revision = UINT64_C(0x1122334455667788)},
    };
    size_t head = oak_kv_header_bytes(&command);
    assert_int_equal(head, OAK_KV_HEADER_BYTES + 8 + 2 + 3);
    oak_kv_command_encode(&command, bytes);
    memcpy(bytes + head, "req", 3);
    struct oak_kv_command read;
    assert_int_equal(oak_kv_command_decode(oak_bytes(bytes, head + 3), &read), 0);
    assert_int_equal(read.kind, OAK_KV_PUT);
    assert_int_equal(read.origin, 1);
    assert_int_equal(read.id, 2);
    assert_int_equal(read.who.revision, command.who.revision);
    assert_true(oak_bytes_eq(read.who.user, command.who.user));
    assert_true(oak_bytes_eq(read.request, oak_bytes("req", 3)));
    /* A member that knows version 1 alone must not half understand it. */
    assert_int_equal(bytes[0], 2);
    /* Nobody's is written as ever. */
    const struct oak_kv_command plain = {.kind = OAK_KV_PUT};
    assert_int_equal(oak_kv_header_bytes(&plain), OAK_KV_HEADER_BYTES);
    oak_kv_command_encode(&plain, bytes);
    assert_int_equal(bytes[0], 1);
}

static void a_header_that_is_cut_or_empty_is_no_command(void **state)
{
    (void)state;
    uint8_t bytes[OAK_KV_HEADER_BYTES_MAX + 8];
    const struct oak_kv_command command = {.kind = OAK_KV_PUT,
                                           .who = {.user = oak_bytes_str("ann"), .revision = 1}};
    struct oak_kv_command read;
    size_t head = oak_kv_header_bytes(&command);
    oak_kv_command_encode(&command, bytes);
    for (size_t size = 0; size < head; size++) {
        assert_int_equal(oak_kv_command_decode(oak_bytes(bytes, size), &read), OAK_EFORMAT);
    }
    assert_int_equal(oak_kv_command_decode(oak_bytes(bytes, head), &read), 0);
    /* A user of no name, and one whose name is too long. */
    oak_put_u16(bytes + OAK_KV_HEADER_BYTES + 8, 0);
    assert_int_equal(oak_kv_command_decode(oak_bytes(bytes, head), &read), OAK_EFORMAT);
    uint8_t large[OAK_KV_HEADER_BYTES_MAX + 8] = {0};
    memcpy(large, bytes, head);
    oak_put_u16(large + OAK_KV_HEADER_BYTES + 8, OAK_AUTH_NAME_BYTES_MAX + 1);
    assert_int_equal(oak_kv_command_decode(oak_bytes(large, sizeof(large)), &read), OAK_EFORMAT);
    oak_put_u16(large + OAK_KV_HEADER_BYTES + 8, OAK_AUTH_NAME_BYTES_MAX);
    assert_int_equal(oak_kv_command_decode(oak_bytes(large, sizeof(large)), &read), 0);
    large[0] = 3;
    assert_int_equal(oak_kv_command_decode(oak_bytes(large, sizeof(large)), &read), OAK_EFORMAT);
}

/* -- tokens ------------------------------------------------------------------------------------ */

static int granted;

static void token_granted(void *user, const struct oak_authz_who *who, struct oak_bytes digest)
{
    (void)user;
    assert_true(oak_bytes_eq(who->user, oak_bytes_str("u")));
    assert_true(oak_bytes_eq(digest, oak_bytes_str("digest")));
    granted++;
}

static int grant_token(struct node *node, const char *name, uint64_t as_of)
{
    Authpb__TokenGrant r = AUTHPB__TOKEN_GRANT__INIT;
    r.digest = oak_proto_binary(oak_bytes_str("digest"));
    node->user = oak_bytes_str(name);
    node->user_revision = as_of;
    int error = node_apply(node, OAK_KV_AUTH_TOKEN, &r.base).error;
    node->user = oak_bytes_str("root");
    node->user_revision = 0;
    return error;
}

static void a_token_holds_until_its_password_changes(void **state)
{
    (void)state;
    node_commit(&n);
    node_close(&n);
    struct oak_store_options options = {.disk = &no_disk, .dir = "nowhere"};
    struct oak_store *store = NULL;
    assert_int_equal(oak_store_open_memory(&options, &store, NULL), 0);
    n = (struct node){.store = store};
    const struct oak_kv_options kv = {.store = store, .token_granted = token_granted};
    assert_int_equal(oak_kv_new(&kv, &n.kv, NULL), 0);
    oak_arena_init(&n.arena, 64 * OAK_KIB, 256 * OAK_MIB);
    granted = 0;
    assert_int_equal(grant_token(&n, "u", 1), OAK_EAUTHNOTENABLED);
    n.user = oak_bytes(NULL, 0);
    enabled(&n);
    assert_int_equal(grant_token(&n, "u", 1), OAK_EAUTHFAILED);
    assert_int_equal(user_add(&n, "u"), 0);
    uint64_t since = revision(&n);
    /* Its password was looked at before it was set. */
    assert_int_equal(grant_token(&n, "u", since - 1), OAK_EAUTHOLDREVISION);
    assert_int_equal(granted, 0);
    assert_int_equal(grant_token(&n, "u", since), 0);
    assert_int_equal(granted, 1);
    const struct oak_authz_who token = {.user = oak_bytes_str("u"), .revision = since};
    assert_true(oak_kv_token_holds(n.kv, &token));
    /* A change of roles leaves it be, a change of the password ends it. */
    assert_int_equal(user_grant(&n, "u", "root"), 0);
    assert_true(oak_kv_token_holds(n.kv, &token));
    assert_int_equal(password(&n, "root"), 0);
    assert_true(oak_kv_token_holds(n.kv, &token));
    assert_int_equal(password(&n, "u"), 0);
    assert_false(oak_kv_token_holds(n.kv, &token));
    const struct oak_authz_who newer = {.user = oak_bytes_str("u"), .revision = revision(&n)};
    assert_true(oak_kv_token_holds(n.kv, &newer));
    /* So does disabling, for good. */
    assert_int_equal(disable(&n), 0);
    assert_false(oak_kv_token_holds(n.kv, &newer));
    assert_int_equal(enable(&n), 0);
    assert_false(oak_kv_token_holds(n.kv, &newer));
    const struct oak_authz_who nobody = {.user = oak_bytes_str("x"), .revision = revision(&n)};
    assert_false(oak_kv_token_holds(n.kv, &nobody));
}

/* -- keeping ----------------------------------------------------------------------------------- */

static void damaged_users_are_told_and_not_believed(void **state)
{
    (void)state;
    enabled(&n);
    node_commit(&n);
    assert_int_equal(oak_kv_begin(n.kv), 0);
    assert_int_equal(
        oak_store_meta_put(n.store, oak_bytes_str("auth/settings"), oak_bytes("\2", 1)), 0);
    assert_int_equal(oak_kv_end(n.kv), 0);
    assert_int_equal(oak_kv_reload(n.kv), OAK_ECORRUPT);
}

static const char *const names[] = {"root", "ann", "bob", "r", "s"};

static char *any_name(struct oak_prng *prng)
{
    return (char *)(uintptr_t)names[oak_prng_below(prng, OAK_COUNT_OF(names))];
}

/* One of the commands, at random, into `out`. */
static enum oak_kv_kind any_command(struct oak_prng *prng, uint8_t *out, size_t *size)
{
    Etcdserverpb__AuthUserAddRequest add = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Etcdserverpb__AuthUserDeleteRequest del = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
    Etcdserverpb__AuthUserGrantRoleRequest grant = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    Etcdserverpb__AuthUserRevokeRoleRequest revoke =
        ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;
    Etcdserverpb__AuthRoleAddRequest role = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    Etcdserverpb__AuthRoleDeleteRequest role_del = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
    Etcdserverpb__AuthRoleGrantPermissionRequest permit =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Etcdserverpb__AuthRoleRevokePermissionRequest forbid =
        ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
    Authpb__Permission permission = AUTHPB__PERMISSION__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    add.hashedpassword = (char *)(uintptr_t)HASH;
    add.name = del.name = grant.user = revoke.name = role.name = any_name(prng);
    role_del.role = grant.role = revoke.role = permit.name = forbid.role = any_name(prng);
    permission.key = forbid.key = put.key = oak_proto_binary(oak_bytes_str(any_name(prng)));
    permission.range_end = forbid.range_end = oak_proto_binary(oak_bytes_str("z"));
    permission.permtype = (Authpb__Permission__Type)oak_prng_below(prng, 3);
    permit.perm = &permission;
    const struct {
        enum oak_kv_kind kind;
        const ProtobufCMessage *message;
    } kinds[] = {
        {OAK_KV_USER_ADD, &add.base},
        {OAK_KV_USER_DELETE, &del.base},
        {OAK_KV_USER_GRANT, &grant.base},
        {OAK_KV_USER_REVOKE, &revoke.base},
        {OAK_KV_ROLE_ADD, &role.base},
        {OAK_KV_ROLE_DELETE, &role_del.base},
        {OAK_KV_ROLE_PERMIT, &permit.base},
        {OAK_KV_ROLE_FORBID, &forbid.base},
        {OAK_KV_PUT, &put.base},
        {OAK_KV_PUT, &put.base},
    };
    size_t which = oak_prng_below(prng, OAK_COUNT_OF(kinds));
    *size = protobuf_c_message_pack(kinds[which].message, out);
    return kinds[which].kind;
}

static void say_all(const struct node *node, struct oak_buf *out)
{
    const struct oak_authz *a = oak_kv_authz(node->kv);
    const struct oak_authz_settings *s = oak_authz_settings(a);
    SAY(out, "%d %" PRIu64 " %" PRIu64 " %" PRIu64, s->enabled, s->revision, s->disabled_at,
        s->numbers);
    for (size_t i = 0; i < oak_authz_user_count(a); i++) {
        struct oak_authz_user user;
        oak_authz_user_at(a, i, &user);
        SAY(out, " %.*s %" PRIu64 " %" PRIu64 " %zu", (int)user.name.size,
            (const char *)user.name.data, user.number, user.since, user.role_count);
    }
    for (size_t i = 0; i < oak_authz_role_count(a); i++) {
        struct oak_authz_role role;
        oak_authz_role_at(a, i, &role);
        SAY(out, " %.*s %" PRIu64 " %zu", (int)role.name.size, (const char *)role.name.data,
            role.number, role.permission_count);
    }
    SAY(out, " chain %" PRIx64 " revision %" PRId64, oak_kv_state(node->kv)->chain,
        oak_kv_state(node->kv)->revision);
}

static void assert_alike(const struct node *a, const struct node *b)
{
    struct oak_buf one = {0};
    struct oak_buf two = {0};
    say_all(a, &one);
    say_all(b, &two);
    SAY(&one, "%c", 0);
    SAY(&two, "%c", 0);
    assert_string_equal((const char *)one.data, (const char *)two.data);
    oak_buf_fini(&one);
    oak_buf_fini(&two);
}

static void batches_and_restarts_do_not_change_what_becomes_of_a_log(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct oak_prng prng;
        struct node one, other;
        oak_prng_init(&prng, seed);
        node_open(&one, 0);
        node_open(&other, 0);
        enabled(&one);
        enabled(&other);
        size_t refused = 0;
        size_t done = 0;
        for (int i = 0; i < 200; i++) {
            uint8_t packed[512];
            size_t size = 0;
            enum oak_kv_kind kind = any_command(&prng, packed, &size);
            const struct oak_authz_who who = {
                .user = oak_bytes_str(oak_prng_chance(&prng, 2, 3) ? "root" : any_name(&prng)),
                .revision = revision(&one) - oak_prng_below(&prng, 2)};
            const struct oak_kv_command command = {.kind = kind, .who = who};
            uint8_t entry[OAK_KV_HEADER_BYTES_MAX + sizeof(packed)];
            size_t head = oak_kv_header_bytes(&command);
            oak_kv_command_encode(&command, entry);
            memcpy(entry + head, packed, size);
            struct oak_bytes bytes = oak_bytes(entry, head + size);
            struct oak_kv_result a = node_apply_entry(&one, bytes);
            node_commit(&one);
            if (oak_prng_chance(&prng, 1, 10)) {
                assert_int_equal(oak_kv_reload(one.kv), 0);
            }
            struct oak_kv_result b = node_apply_entry(&other, bytes);
            assert_int_equal(a.error, b.error);
            refused += a.error != 0 ? 1 : 0;
            done += a.error == 0 ? 1 : 0;
        }
        node_commit(&other);
        assert_alike(&one, &other);
        assert_int_equal(oak_kv_reload(other.kv), 0);
        assert_alike(&one, &other);
        assert_in_range(refused, 1, 199);
        assert_in_range(done, 1, 199);
        node_close(&one);
        node_close(&other);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_command_says_for_whom_it_is),
        TEST(a_header_that_is_cut_or_empty_is_no_command),
        TEST(a_token_holds_until_its_password_changes),
        TEST(damaged_users_are_told_and_not_believed),
        TEST(batches_and_restarts_do_not_change_what_becomes_of_a_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
