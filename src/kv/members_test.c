/* SPDX-License-Identifier: Apache-2.0 */
/* members_test.c: what members and their leader say of them, and those that were removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"

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

static int publish(uint64_t id, const char *name, const char *client, const char *peer)
{
    char *clients[] = {(char *)(uintptr_t)client};
    char *peers[] = {(char *)(uintptr_t)peer};
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.id = id;
    member.name = (char *)(uintptr_t)name;
    member.clienturls = clients;
    member.n_clienturls = client != NULL ? 1 : 0;
    member.peerurls = peers;
    member.n_peerurls = peer != NULL ? 1 : 0;
    return node_apply(&n, OAK_KV_PUBLISH, &member.base).error;
}

static int say(uint64_t id, const char *peer, bool learner)
{
    char *peers[] = {(char *)(uintptr_t)peer};
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.id = id;
    member.islearner = learner;
    member.peerurls = peers;
    member.n_peerurls = peer != NULL ? 1 : 0;
    return node_apply(&n, OAK_KV_MEMBER_URLS, &member.base).error;
}

static void what_a_leader_said_counts_before_what_a_member_was_born_with(void **state)
{
    (void)state;
    assert_int_equal(publish(7, "seven", "http://c:1", "http://p:1"), 0);
    const struct oak_kv_member *it = oak_kv_member(n.kv, 7);
    assert_true(it != NULL && it->published && !it->learner);
    assert_int_equal(it->peer_url_count, 1);
    assert_string_equal(it->peer_urls[0], "http://p:1");
    assert_int_equal(say(7, "http://p:2", true), 0);
    it = oak_kv_member(n.kv, 7);
    assert_string_equal(it->peer_urls[0], "http://p:2");
    assert_string_equal(it->name, "seven");
    assert_true(it->learner);
    /* It starts again, and tells of its birth again. */
    assert_int_equal(publish(7, "seven", "http://c:9", "http://p:1"), 0);
    it = oak_kv_member(n.kv, 7);
    assert_string_equal(it->peer_urls[0], "http://p:2");
    assert_string_equal(it->client_urls[0], "http://c:9");
}

static void a_member_that_was_only_announced_has_no_name(void **state)
{
    (void)state;
    uint64_t before = oak_kv_members_version(n.kv);
    assert_int_equal(say(9, "http://p:9", false), 0);
    assert_int_equal(publish(4, "four", NULL, NULL), 0);
    assert_true(oak_kv_members_version(n.kv) > before);
    const struct oak_kv_member *members = NULL;
    assert_int_equal(oak_kv_members(n.kv, &members), 2);
    assert_int_equal(members[0].id, 4);
    assert_int_equal(members[1].id, 9);
    assert_string_equal(members[1].name, "");
    assert_false(members[1].published);
    assert_int_equal(members[0].peer_url_count, 0);
}

static void a_member_that_was_removed_never_comes_back(void **state)
{
    (void)state;
    assert_int_equal(publish(3, "three", "http://c:3", "http://p:3"), 0);
    assert_int_equal(say(3, "http://p:4", false), 0);
    assert_false(oak_kv_member_gone(n.kv, 3));
    assert_int_equal(say(3, NULL, false), 0);
    assert_true(oak_kv_member_gone(n.kv, 3));
    assert_null(oak_kv_member(n.kv, 3));
    assert_int_equal(say(3, NULL, false), 0);
    assert_int_equal(say(3, "http://p:3", false), OAK_EMEMBERNOTFOUND);
    assert_int_equal(publish(3, "three", NULL, "http://p:3"), OAK_EMEMBERNOTFOUND);
    assert_null(oak_kv_member(n.kv, 3));
    node_commit(&n);
    struct oak_kv_options options = {.store = n.store};
    struct oak_kv *again = NULL;
    assert_int_equal(oak_kv_new(&options, &again, NULL), 0);
    assert_true(oak_kv_member_gone(again, 3));
    assert_false(oak_kv_member_gone(again, 4));
    oak_kv_free(again);
}

static void the_oldest_removal_is_forgotten_first(void **state)
{
    (void)state;
    /* From high ids to low ones: order of removal is not order of ids. */
    for (uint64_t i = 0; i < OAK_MEMBERS_GONE_MAX + 2; i++) {
        assert_int_equal(say(5000 - i, NULL, false), 0);
    }
    assert_false(oak_kv_member_gone(n.kv, 5000));
    assert_false(oak_kv_member_gone(n.kv, 4999));
    assert_true(oak_kv_member_gone(n.kv, 4998));
    assert_true(oak_kv_member_gone(n.kv, 5000 - OAK_MEMBERS_GONE_MAX - 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_a_leader_said_counts_before_what_a_member_was_born_with),
        T(a_member_that_was_only_announced_has_no_name),
        T(a_member_that_was_removed_never_comes_back),
        T(the_oldest_removal_is_forgotten_first),
    };
    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
