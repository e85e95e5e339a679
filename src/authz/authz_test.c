/* SPDX-License-Identifier: Apache-2.0 */
/* authz_test.c: the rules of users and roles, the decision, and the table of sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authz/authz.h"

static struct oak_authz *a;

#define S(text) oak_bytes_str(text)

static int set_up(void **state)
{
    (void)state;
    return oak_authz_new(oak_alloc_libc(), &a);
}

static int tear_down(void **state)
{
    (void)state;
    oak_authz_free(a);
    return 0;
}

static uint64_t revision(void)
{
    return oak_authz_settings(a)->revision;
}

static void enable(void)
{
    assert_int_equal(oak_authz_user_add(a, S("root"), S("hash"), false), 0);
    assert_int_equal(oak_authz_user_grant(a, S("root"), S("root")), 0);
    assert_int_equal(oak_authz_enable(a), 0);
}

static int grant(const char *role, enum oak_authz_access access, const char *key, const char *end)
{
    const struct oak_authz_permission p = {.access = access, .key = S(key), .end = S(end)};
    return oak_authz_role_permit(a, S(role), &p);
}

static int may(const char *user, enum oak_authz_access access, const char *key, const char *end)
{
    const struct oak_authz_who who = {.user = S(user), .revision = revision()};
    return oak_authz_permit(a, &who, access, S(key), S(end));
}

static void take_all(void)
{
    struct oak_authz_change change;
    while (oak_authz_change_take(a, &change)) {
    }
}

/* -- rules ------------------------------------------------------------------------------------- */

static void auth_is_enabled_only_with_a_root_that_is_root(void **state)
{
    (void)state;
    assert_int_equal(oak_authz_enable(a), OAK_EROOTUSERNOTEXIST);
    assert_int_equal(oak_authz_user_add(a, S("root"), S("x"), false), 0);
    assert_int_equal(oak_authz_enable(a), OAK_EROOTROLENOTEXIST);
    assert_false(oak_authz_settings(a)->enabled);
    /* The role root need not have been added. */
    assert_int_equal(oak_authz_user_grant(a, S("root"), S("root")), 0);
    uint64_t before = revision();
    assert_int_equal(oak_authz_enable(a), 0);
    assert_int_equal(oak_authz_enable(a), 0);
    assert_true(oak_authz_settings(a)->enabled);
    assert_int_equal(revision(), before);
    assert_int_equal(oak_authz_disable(a), 0);
    assert_int_equal(revision(), before + 1);
    assert_int_equal(oak_authz_settings(a)->disabled_at, before + 1);
    assert_int_equal(oak_authz_disable(a), 0);
    assert_int_equal(revision(), before + 1);
}

static void the_revision_rises_with_changes_alone(void **state)
{
    (void)state;
    assert_int_equal(revision(), 1);
    assert_int_equal(oak_authz_user_add(a, S("u"), S("x"), false), 0);
    assert_int_equal(oak_authz_user_add(a, S("u"), S("x"), false), OAK_EUSEREXIST);
    assert_int_equal(revision(), 2);
    assert_int_equal(oak_authz_role_add(a, S("r")), 0);
    assert_int_equal(oak_authz_role_add(a, S("r")), OAK_EROLEEXIST);
    assert_int_equal(revision(), 3);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("r")), 0);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("r")), 0);
    assert_int_equal(revision(), 4);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "k", ""), 0);
    assert_int_equal(revision(), 5);
    assert_int_equal(oak_authz_user_password(a, S("u"), S("y")), 0);
    assert_int_equal(revision(), 6);
    struct oak_authz_user user;
    assert_true(oak_authz_user(a, S("u"), &user));
    assert_int_equal(user.since, 6);
    assert_int_equal(oak_authz_role_forbid(a, S("r"), S("k"), S("")), 0);
    assert_int_equal(oak_authz_user_revoke(a, S("u"), S("r")), 0);
    assert_int_equal(oak_authz_role_delete(a, S("r")), 0);
    take_all();
    assert_int_equal(oak_authz_user_delete(a, S("u")), 0);
    assert_int_equal(revision(), 10);
}

static void what_stands_against_a_change_is_told(void **state)
{
    (void)state;
    char long_name[OAK_AUTH_NAME_BYTES_MAX + 2];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(oak_authz_user_add(a, S(""), S("x"), false), OAK_EUSEREMPTY);
    assert_int_equal(oak_authz_user_add(a, S(long_name), S("x"), false), OAK_EINVAL);
    assert_int_equal(oak_authz_user_delete(a, S("u")), OAK_EUSERNOTFOUND);
    assert_int_equal(oak_authz_user_password(a, S("u"), S("x")), OAK_EUSERNOTFOUND);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("r")), OAK_EUSERNOTFOUND);
    assert_int_equal(oak_authz_user_revoke(a, S("u"), S("r")), OAK_EUSERNOTFOUND);
    assert_int_equal(oak_authz_role_add(a, S("")), OAK_EROLEEMPTY);
    assert_int_equal(oak_authz_role_add(a, S(long_name)), OAK_EINVAL);
    assert_int_equal(oak_authz_role_delete(a, S("r")), OAK_EROLENOTFOUND);
    assert_int_equal(oak_authz_role_permit(a, S("r"), NULL), OAK_EPERMISSIONNOTGIVEN);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "k", ""), OAK_EROLENOTFOUND);
    assert_int_equal(oak_authz_role_forbid(a, S("r"), S("k"), S("")), OAK_EROLENOTFOUND);
    assert_int_equal(oak_authz_user_add(a, S("u"), S("x"), false), 0);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("r")), OAK_EROLENOTFOUND);
    assert_int_equal(oak_authz_role_add(a, S("r")), 0);
    assert_int_equal(oak_authz_user_revoke(a, S("u"), S("r")), OAK_EROLENOTGRANTED);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "", ""), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "k", "k"), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "k", "a"), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(grant("r", (enum oak_authz_access)3, "k", ""), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(oak_authz_role_forbid(a, S("r"), S("k"), S("")), OAK_EPERMISSIONNOTGRANTED);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "k", "l"), 0);
    assert_int_equal(oak_authz_role_forbid(a, S("r"), S("k"), S("")), OAK_EPERMISSIONNOTGRANTED);
    assert_int_equal(oak_authz_role_forbid(a, S("r"), S("k"), S("l")), 0);
}

static void root_stays_root_while_auth_is_on(void **state)
{
    (void)state;
    enable();
    assert_int_equal(oak_authz_role_add(a, S("root")), 0);
    assert_int_equal(oak_authz_user_delete(a, S("root")), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(oak_authz_user_revoke(a, S("root"), S("root")), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(oak_authz_role_delete(a, S("root")), OAK_EINVALIDAUTHMGMT);
    assert_int_equal(oak_authz_disable(a), 0);
    assert_int_equal(oak_authz_role_delete(a, S("root")), 0);
    struct oak_authz_user root;
    assert_true(oak_authz_user(a, S("root"), &root));
    assert_int_equal(root.role_count, 0);
    take_all();
    assert_int_equal(oak_authz_enable(a), OAK_EROOTROLENOTEXIST);
    assert_int_equal(oak_authz_user_delete(a, S("root")), 0);
}

static void the_same_keys_again_replace_the_access(void **state)
{
    (void)state;
    assert_int_equal(oak_authz_role_add(a, S("r")), 0);
    assert_int_equal(grant("r", OAK_AUTHZ_WRITE, "b", ""), 0);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "a", "c"), 0);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "a", ""), 0);
    assert_int_equal(grant("r", OAK_AUTHZ_READWRITE, "a", "c"), 0);
    struct oak_authz_role role;
    assert_true(oak_authz_role(a, S("r"), &role));
    assert_int_equal(role.permission_count, 3);
    assert_int_equal(role.permissions[0].end.size, 0);
    assert_int_equal(role.permissions[1].access, OAK_AUTHZ_READWRITE);
    assert_true(oak_bytes_eq(role.permissions[2].key, S("b")));
}

static void a_user_without_password_stays_so(void **state)
{
    (void)state;
    struct oak_authz_user user;
    assert_int_equal(oak_authz_user_add(a, S("u"), S("hash"), true), 0);
    assert_true(oak_authz_user(a, S("u"), &user));
    assert_int_equal(user.hash.size, 0);
    assert_int_equal(oak_authz_user_password(a, S("u"), S("hash")), 0);
    assert_true(oak_authz_user(a, S("u"), &user));
    assert_true(user.no_password);
    assert_int_equal(user.hash.size, 0);
}

static void limits_hold(void **state)
{
    (void)state;
    assert_int_equal(oak_authz_role_add(a, S("r")), 0);
    struct oak_authz_permission p = {.access = OAK_AUTHZ_READ};
    for (uint32_t i = 0; i < OAK_AUTH_ROLE_PERMISSIONS_MAX; i++) {
        uint8_t key[4];
        oak_put_be32(key, i);
        p.key = oak_bytes(key, sizeof(key));
        assert_int_equal(oak_authz_role_permit(a, S("r"), &p), 0);
    }
    p.key = S("more");
    assert_int_equal(oak_authz_role_permit(a, S("r"), &p), OAK_ELIMIT);
    const uint8_t zeros[4] = {0};
    p.key = oak_bytes(zeros, sizeof(zeros));
    p.access = OAK_AUTHZ_WRITE; /* a known one may still be changed */
    assert_int_equal(oak_authz_role_permit(a, S("r"), &p), 0);
    assert_int_equal(oak_authz_user_add(a, S("u"), S("x"), false), 0);
    for (uint32_t i = 0; i <= OAK_AUTH_USER_ROLES_MAX; i++) {
        uint8_t name[5] = {'r'};
        oak_put_be32(name + 1, 0x61616161 + i);
        assert_int_equal(oak_authz_role_add(a, oak_bytes(name, 5)), 0);
        int expected = i < OAK_AUTH_USER_ROLES_MAX ? 0 : OAK_ELIMIT;
        assert_int_equal(oak_authz_user_grant(a, S("u"), oak_bytes(name, 5)), expected);
    }
}

/* -- the decision ------------------------------------------------------------------------------ */

static void everything_is_allowed_while_auth_is_off(void **state)
{
    (void)state;
    const struct oak_authz_who nobody = {.revision = 0};
    assert_int_equal(oak_authz_permit(a, &nobody, OAK_AUTHZ_WRITE, S("k"), S("")), 0);
    assert_int_equal(oak_authz_permit_any(a, &nobody), 0);
    assert_int_equal(oak_authz_permit_root(a, &nobody), 0);
    assert_int_equal(oak_authz_permit_self(a, &nobody, S("u")), 0);
    assert_int_equal(oak_authz_permit_holder(a, &nobody, S("r")), 0);
}

static void nobody_old_and_unknown_are_told_apart(void **state)
{
    (void)state;
    enable();
    const struct oak_authz_who nobody = {.revision = revision()};
    const struct oak_authz_who old = {.user = S("root"), .revision = revision() - 1};
    const struct oak_authz_who unknown = {.user = S("u"), .revision = revision()};
    assert_int_equal(oak_authz_permit(a, &nobody, OAK_AUTHZ_READ, S("k"), S("")), OAK_EUSEREMPTY);
    assert_int_equal(oak_authz_permit(a, &old, OAK_AUTHZ_READ, S("k"), S("")),
                     OAK_EAUTHOLDREVISION);
    assert_int_equal(oak_authz_permit(a, &unknown, OAK_AUTHZ_READ, S("k"), S("")),
                     OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_permit_any(a, &nobody), OAK_EUSEREMPTY);
    assert_int_equal(oak_authz_permit_any(a, &old), OAK_EAUTHOLDREVISION);
    assert_int_equal(oak_authz_permit_any(a, &unknown), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_permit_root(a, &nobody), OAK_EUSEREMPTY);
    assert_int_equal(oak_authz_permit_root(a, &unknown), OAK_EUSERNOTFOUND);
    assert_int_equal(oak_authz_permit_root(a, &old), 0);
    assert_int_equal(oak_authz_permit_self(a, &unknown, S("u")), OAK_EUSERNOTFOUND);
}

static void a_user_may_what_its_roles_may_together(void **state)
{
    (void)state;
    enable();
    assert_int_equal(oak_authz_user_add(a, S("u"), S("x"), false), 0);
    assert_int_equal(oak_authz_role_add(a, S("left")), 0);
    assert_int_equal(oak_authz_role_add(a, S("right")), 0);
    assert_int_equal(grant("left", OAK_AUTHZ_READ, "a", "b"), 0);
    assert_int_equal(grant("right", OAK_AUTHZ_READWRITE, "b", "c"), 0);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("left")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_READ, "a", "c"), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("right")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_READ, "a", "c"), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "a", ""), OAK_EPERMISSIONDENIED);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "b", ""), 0);
    /* A table that was merged does not outlive what it was made of. */
    assert_int_equal(grant("left", OAK_AUTHZ_WRITE, "a", "b"), 0);
    assert_int_equal(may("u", OAK_AUTHZ_READ, "a", ""), OAK_EPERMISSIONDENIED);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "a", ""), 0);
    assert_int_equal(oak_authz_user_revoke(a, S("u"), S("right")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "b", ""), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("right")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "b", ""), 0);
    assert_int_equal(oak_authz_role_forbid(a, S("right"), S("b"), S("c")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "b", ""), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_role_delete(a, S("left")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "a", ""), OAK_EPERMISSIONDENIED);
    /* The role root needs no permissions, whoever has it. */
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("root")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "\xff", ""), 0);
    assert_int_equal(oak_authz_user_revoke(a, S("u"), S("root")), 0);
    assert_int_equal(may("u", OAK_AUTHZ_WRITE, "\xff", ""), OAK_EPERMISSIONDENIED);
}

static void who_asks_about_itself_needs_no_root(void **state)
{
    (void)state;
    enable();
    assert_int_equal(oak_authz_user_add(a, S("u"), S("x"), false), 0);
    assert_int_equal(oak_authz_role_add(a, S("r")), 0);
    assert_int_equal(oak_authz_user_grant(a, S("u"), S("r")), 0);
    const struct oak_authz_who u = {.user = S("u"), .revision = revision()};
    const struct oak_authz_who root = {.user = S("root"), .revision = revision()};
    assert_int_equal(oak_authz_permit_root(a, &u), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_permit_self(a, &u, S("u")), 0);
    assert_int_equal(oak_authz_permit_self(a, &u, S("root")), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_permit_self(a, &root, S("u")), 0);
    assert_int_equal(oak_authz_permit_holder(a, &u, S("r")), 0);
    assert_int_equal(oak_authz_permit_holder(a, &u, S("root")), OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_authz_permit_holder(a, &root, S("r")), 0);
}

/* -- keeping ----------------------------------------------------------------------------------- */

static void what_has_changed_is_told_once_and_loads_again(void **state)
{
    (void)state;
    struct oak_authz_change change;
    enable();
    assert_int_equal(oak_authz_role_add(a, S("r")), 0);
    assert_int_equal(grant("r", OAK_AUTHZ_READ, "k", "l"), 0);
    assert_int_equal(oak_authz_user_grant(a, S("root"), S("r")), 0);
    struct oak_authz *b = NULL;
    assert_int_equal(oak_authz_new(oak_alloc_libc(), &b), 0);
    size_t changes = 0;
    while (oak_authz_change_take(a, &change)) {
        assert_false(change.removed);
        assert_int_equal(change.is_user ? oak_authz_load_user(b, &change.user)
                                        : oak_authz_load_role(b, &change.role),
                         0);
        assert_int_equal(change.is_user ? oak_authz_load_user(b, &change.user)
                                        : oak_authz_load_role(b, &change.role),
                         OAK_ECORRUPT);
        changes++;
    }
    oak_authz_load_settings(b, oak_authz_settings(a));
    assert_int_equal(changes, 2);
    assert_int_equal(oak_authz_settings(b)->numbers, 2);
    const struct oak_authz_who who = {.user = S("root"), .revision = revision()};
    assert_int_equal(oak_authz_permit_root(b, &who), 0);
    oak_authz_free(b);
    /* A role that goes changes its holders. */
    assert_int_equal(oak_authz_role_delete(a, S("r")), 0);
    assert_true(oak_authz_change_take(a, &change));
    assert_true(change.removed && !change.is_user);
    assert_int_equal(change.number, 2);
    assert_true(oak_authz_change_take(a, &change));
    assert_true(change.is_user && !change.removed);
    assert_int_equal(change.user.role_count, 1);
    assert_false(oak_authz_change_take(a, &change));
}

static void what_no_change_could_have_made_is_not_loaded(void **state)
{
    (void)state;
    const struct oak_bytes roles[] = {S("b"), S("a")};
    const struct oak_authz_user user = {.name = S("u"), .roles = roles, .role_count = 2};
    assert_int_equal(oak_authz_load_user(a, &user), OAK_ECORRUPT);
    const struct oak_authz_permission p = {.access = OAK_AUTHZ_READ, .key = S("k"), .end = S("a")};
    const struct oak_authz_role role = {.name = S("r"), .permissions = &p, .permission_count = 1};
    assert_int_equal(oak_authz_load_role(a, &role), OAK_ECORRUPT);
    const struct oak_authz_user unnamed = {.number = 1};
    assert_int_equal(oak_authz_load_user(a, &unnamed), OAK_ECORRUPT);
}

/* -- sessions ---------------------------------------------------------------------------------- */

static void sessions_go_only_where_the_table_leads(void **state)
{
    (void)state;
    static const struct {
        enum oak_authz_session from;
        enum oak_authz_event event;
        int to; /* -1: illegal */
    } rows[] = {
        {OAK_AUTHZ_UNAUTHENTICATED, OAK_AUTHZ_PROVE, OAK_AUTHZ_AUTHENTICATED},
        {OAK_AUTHZ_UNAUTHENTICATED, OAK_AUTHZ_ALLOW, -1},
        {OAK_AUTHZ_UNAUTHENTICATED, OAK_AUTHZ_DENY, OAK_AUTHZ_UNAUTHENTICATED},
        {OAK_AUTHZ_UNAUTHENTICATED, OAK_AUTHZ_EXPIRE, OAK_AUTHZ_EXPIRED},
        {OAK_AUTHZ_AUTHENTICATED, OAK_AUTHZ_PROVE, OAK_AUTHZ_AUTHENTICATED},
        {OAK_AUTHZ_AUTHENTICATED, OAK_AUTHZ_ALLOW, OAK_AUTHZ_AUTHORIZED},
        {OAK_AUTHZ_AUTHENTICATED, OAK_AUTHZ_DENY, OAK_AUTHZ_AUTHENTICATED},
        {OAK_AUTHZ_AUTHENTICATED, OAK_AUTHZ_EXPIRE, OAK_AUTHZ_EXPIRED},
        {OAK_AUTHZ_AUTHORIZED, OAK_AUTHZ_PROVE, OAK_AUTHZ_AUTHORIZED},
        {OAK_AUTHZ_AUTHORIZED, OAK_AUTHZ_ALLOW, OAK_AUTHZ_AUTHORIZED},
        {OAK_AUTHZ_AUTHORIZED, OAK_AUTHZ_DENY, OAK_AUTHZ_AUTHENTICATED},
        {OAK_AUTHZ_AUTHORIZED, OAK_AUTHZ_EXPIRE, OAK_AUTHZ_EXPIRED},
        {OAK_AUTHZ_EXPIRED, OAK_AUTHZ_PROVE, -1},
        {OAK_AUTHZ_EXPIRED, OAK_AUTHZ_ALLOW, -1},
        {OAK_AUTHZ_EXPIRED, OAK_AUTHZ_DENY, OAK_AUTHZ_EXPIRED},
        {OAK_AUTHZ_EXPIRED, OAK_AUTHZ_EXPIRE, OAK_AUTHZ_EXPIRED},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        enum oak_authz_session session = rows[i].from;
        int error = oak_authz_session_step(&session, rows[i].event);
        assert_int_equal(error, rows[i].to < 0 ? OAK_EINVAL : 0);
        assert_int_equal(session, rows[i].to < 0 ? (int)rows[i].from : rows[i].to);
        assert_true(oak_authz_session_name(session)[0] != '\0');
        assert_true(oak_authz_event_name(rows[i].event)[0] != '\0');
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(auth_is_enabled_only_with_a_root_that_is_root),
        TEST(the_revision_rises_with_changes_alone),
        TEST(what_stands_against_a_change_is_told),
        TEST(root_stays_root_while_auth_is_on),
        TEST(the_same_keys_again_replace_the_access),
        TEST(a_user_without_password_stays_so),
        TEST(limits_hold),
        TEST(everything_is_allowed_while_auth_is_off),
        TEST(nobody_old_and_unknown_are_told_apart),
        TEST(a_user_may_what_its_roles_may_together),
        TEST(who_asks_about_itself_needs_no_root),
        TEST(what_has_changed_is_told_once_and_loads_again),
        TEST(what_no_change_could_have_made_is_not_loaded),
        TEST(sessions_go_only_where_the_table_leads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
