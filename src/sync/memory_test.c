/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation fails once, on whichever thread: every call comes back, and all
 * memory is given back. */
#include "rpc/test_memory.h"

#define SERVER_BEGINS() (memory_exempt = true)
#include "sync/test_server.h"

struct tally {
    int good;
    int bad;
};

static bool came(struct tally *t, int error)
{
    t->good += error == 0;
    t->bad += error != 0;
    return error == 0;
}

static void calls(struct oak_sync *sync, struct tally *t, uint64_t soon)
{
    struct oak_client_answer *answer;
    came(t, oak_sync_get(sync, oak_bytes_str("key"), soon, &answer));
    oak_client_answer_free(answer);
    came(t, oak_sync_grant(sync, 9, 0, soon, NULL));
    struct oak_client_builder *txn = oak_client_txn_new();
    oak_client_txn_then(txn, oak_client_put(oak_bytes_str("k"), oak_bytes_str("v")));
    came(t, oak_sync_txn(sync, txn, soon, &answer));
    oak_client_txn_free(txn);
    oak_client_answer_free(answer);
}

static void objects(struct oak_sync *sync, struct tally *t, uint64_t soon)
{
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k")};
    struct oak_client_changes *changes;
    struct oak_sync_watch *watch;
    struct oak_sync_lease *lease;
    struct oak_sync_turn *turn;
    struct oak_sync_observer *observer;
    if (came(t, oak_sync_watch(sync, &options, soon, &watch))) {
        came(t, oak_sync_watch_next(watch, soon, &changes));
        oak_client_changes_free(changes);
        oak_sync_watch_free(watch);
    }
    if (came(t, oak_sync_keep(sync, 5, 60, &lease))) {
        oak_sync_lease_free(lease);
    }
    if (came(t, oak_sync_observe(sync, oak_bytes_str("line"), &observer))) {
        came(t, oak_sync_observer_next(observer, soon, &changes));
        oak_client_changes_free(changes);
        oak_sync_observer_free(observer);
    }
    if (came(t, oak_sync_lock(sync, oak_bytes_str("door"), 0, soon, &turn))) {
        came(t, oak_sync_turn_end(turn, soon));
    }
}

/* What the want of memory has silenced is waited for so long. */
static void conversation(const struct server *s, struct tally *t, uint64_t soon)
{
    struct oak_sync *sync;
    *t = (struct tally){.good = 0};
    if (came(t, oak_sync_open(s->endpoint, NULL, &sync, NULL))) {
        calls(sync, t, soon);
        objects(sync, t, soon);
        oak_sync_free(sync);
    }
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    struct server s;
    struct tally t;
    server_open(&s);
    s.changes = 1;
    ours_only = true; /* libraries answer for themselves */
    conversation(&s, &t, 60 * SECOND);
    assert_int_equal(t.bad, 0);
    assert_int_equal(t.good, 11);
    long fail_at = 0;
    int failures = 0;
    while (memory_begin(fail_at)) {
        conversation(&s, &t, SECOND / 50);
        if (!memory_end()) {
            break;
        }
        failures += t.bad > 0;
        fail_at++;
    }
    assert_true(fail_at > 60 || !MEMORY_COUNTS);
    assert_true(failures > 20 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time; %d were told\n", fail_at, failures);
    server_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
