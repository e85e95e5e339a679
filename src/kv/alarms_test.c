/* SPDX-License-Identifier: Apache-2.0 */
/* alarms_test.c: alarms are raised, listed and cleared, and what they stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"

#define NOSPACE ETCDSERVERPB__ALARM_TYPE__NOSPACE
#define CORRUPT ETCDSERVERPB__ALARM_TYPE__CORRUPT

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

/* How many alarms the answer names. */
static size_t alarm(bool on, uint64_t member, Etcdserverpb__AlarmType kind)
{
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    request.action = on ? ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE
                        : ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
    request.memberid = member;
    request.alarm = kind;
    struct oak_kv_result result = node_apply(&n, OAK_KV_ALARM, &request.base);
    assert_int_equal(result.error, 0);
    const Etcdserverpb__AlarmResponse *response =
        (const Etcdserverpb__AlarmResponse *)result.response;
    for (size_t i = 0; i < response->n_alarms; i++) {
        assert_int_equal(response->alarms[i]->memberid, member);
        assert_int_equal(response->alarms[i]->alarm, kind);
    }
    return response->n_alarms;
}

static int put(void)
{
    Etcdserverpb__PutRequest request = ETCDSERVERPB__PUT_REQUEST__INIT;
    request.key = oak_proto_binary(oak_bytes_str("key"));
    request.value = oak_proto_binary(oak_bytes_str("value"));
    return node_apply(&n, OAK_KV_PUT, &request.base).error;
}

static int del(void)
{
    Etcdserverpb__DeleteRangeRequest request = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    request.key = oak_proto_binary(oak_bytes_str("key"));
    return node_apply(&n, OAK_KV_DELETE, &request.base).error;
}

static int compact(int64_t revision)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    request.revision = revision;
    return node_apply(&n, OAK_KV_COMPACT, &request.base).error;
}

/* A transaction that deletes, and, `nested` deep in the branch that is not taken, may put. */
static int txn(bool puts)
{
    Etcdserverpb__PutRequest p = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest d = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp inner = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp outer = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__TxnRequest nested = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__TxnRequest request = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__RequestOp *inner_ops[] = {&inner};
    Etcdserverpb__RequestOp *outer_ops[] = {&outer};
    p.key = d.key = oak_proto_binary(oak_bytes_str("key"));
    inner.request_case = puts ? ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT
                              : ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    if (puts) {
        inner.request_put = &p;
    } else {
        inner.request_delete_range = &d;
    }
    nested.n_failure = 1;
    nested.failure = inner_ops;
    outer.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    outer.request_txn = &nested;
    request.n_failure = 1;
    request.failure = outer_ops;
    assert_int_equal(oak_kv_cost(OAK_KV_TXN, &request.base), puts ? 256 + 3 : 0);
    return node_apply(&n, OAK_KV_TXN, &request.base).error;
}

static void nospace_refuses_what_takes_space_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(put(), 0);
    assert_int_equal(alarm(true, 7, NOSPACE), 1);
    assert_int_equal(put(), OAK_ENOSPACE);
    assert_int_equal(txn(true), OAK_ENOSPACE);
    assert_int_equal(txn(false), 0);
    assert_int_equal(compact(2), 0);
    assert_int_equal(del(), 0);
    assert_int_equal(oak_kv_state(n.kv)->revision, 3);
    assert_int_equal(alarm(false, 7, NOSPACE), 1);
    assert_int_equal(put(), 0);
}

static void corrupt_refuses_all_that_changes_anything(void **state)
{
    (void)state;
    assert_int_equal(put(), 0);
    assert_int_equal(alarm(true, 7, CORRUPT), 1);
    assert_int_equal(put(), OAK_ECORRUPTCLUSTER);
    assert_int_equal(del(), OAK_ECORRUPTCLUSTER);
    assert_int_equal(txn(false), OAK_ECORRUPTCLUSTER);
    assert_int_equal(compact(2), OAK_ECORRUPTCLUSTER);
    assert_int_equal(oak_kv_state(n.kv)->revision, 2);
    assert_int_equal(alarm(false, 7, CORRUPT), 1);
    assert_int_equal(del(), 0);
}

static void an_alarm_is_on_until_its_last_member_is_cleared(void **state)
{
    (void)state;
    assert_int_equal(alarm(true, 7, NOSPACE), 1);
    assert_int_equal(alarm(true, 7, NOSPACE), 1); /* again: it is on, and named */
    assert_int_equal(alarm(true, 8, NOSPACE), 1);
    assert_int_equal(alarm(false, 9, NOSPACE), 0);
    assert_int_equal(alarm(false, 7, NOSPACE), 1);
    assert_int_equal(put(), OAK_ENOSPACE);
    assert_int_equal(alarm(false, 8, NOSPACE), 1);
    assert_int_equal(put(), 0);
    assert_int_equal(alarm(true, 7, ETCDSERVERPB__ALARM_TYPE__NONE), 0);
    assert_int_equal(put(), 0);
}

static void alarms_have_a_limit_and_survive_a_restart(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= OAK_ALARMS_MAX; id++) {
        assert_int_equal(alarm(true, id, NOSPACE), 1);
    }
    Etcdserverpb__AlarmRequest more = ETCDSERVERPB__ALARM_REQUEST__INIT;
    more.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    more.memberid = OAK_ALARMS_MAX + 1;
    more.alarm = NOSPACE;
    assert_int_equal(node_apply(&n, OAK_KV_ALARM, &more.base).error, OAK_ELIMIT);
    assert_int_equal(alarm(false, 5, NOSPACE), 1);
    node_commit(&n);
    struct oak_kv_options options = {.store = n.store};
    struct oak_kv *again = NULL;
    const struct oak_kv_alarm *alarms = NULL;
    assert_int_equal(oak_kv_new(&options, &again, NULL), 0);
    assert_int_equal(oak_kv_alarms(again, &alarms), OAK_ALARMS_MAX - 1);
    assert_true(oak_kv_alarmed(again, NOSPACE));
    assert_false(oak_kv_alarmed(again, CORRUPT));
    oak_kv_free(again);
}

static int downgrade(Etcdserverpb__DowngradeRequest__DowngradeAction action, const char *version)
{
    Etcdserverpb__DowngradeRequest request = ETCDSERVERPB__DOWNGRADE_REQUEST__INIT;
    request.action = action;
    request.version = (char *)(uintptr_t)version;
    return node_apply(&n, OAK_KV_DOWNGRADE, &request.base).error;
}

static void one_downgrade_is_announced_at_a_time(void **state)
{
    (void)state;
    const Etcdserverpb__DowngradeRequest__DowngradeAction enable =
        ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE;
    const Etcdserverpb__DowngradeRequest__DowngradeAction cancel =
        ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    assert_string_equal(oak_kv_downgrade(n.kv), "");
    assert_int_equal(downgrade(enable, "3.5.0"), 0);
    assert_string_equal(oak_kv_downgrade(n.kv), "3.5.0");
    assert_int_equal(downgrade(enable, "3.5.0"), OAK_EDOWNGRADEINPROCESS);
    assert_int_equal(downgrade(cancel, ""), 0);
    assert_string_equal(oak_kv_downgrade(n.kv), "");
    assert_int_equal(downgrade(cancel, ""), 0);
    assert_int_equal(downgrade(enable, "3.5.0-a-version-that-is-too-long"), OAK_EDOWNGRADEFORMAT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(nospace_refuses_what_takes_space_and_nothing_else),
        T(corrupt_refuses_all_that_changes_anything),
        T(an_alarm_is_on_until_its_last_member_is_cleared),
        T(alarms_have_a_limit_and_survive_a_restart),
        T(one_downgrade_is_announced_at_a_time),
    };
    return cmocka_run_group_tests_name("alarms", tests, NULL, NULL);
}
