/* SPDX-License-Identifier: Apache-2.0 */
/* sync_test.c: calls that block: answered, late, and cut off by the end of what they wait in. */
#include "sync/test_server.h"

#define THREADS 8
#define CALLS   40

static const char *name_of(int error)
{
    return error == 0 ? "0" : oak_error_name(error);
}

static void came_to(int error, int expected)
{
    assert_string_equal(name_of(error), name_of(expected));
}

/* -- threads of the program -------------------------------------------------------------------- */

/* One that does something that blocks, and keeps what came of it. */
struct worker {
    pthread_t thread;
    struct oak_sync *sync;
    void *object;
    int (*work)(struct worker *worker);
    int error;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    w->error = w->work(w);
    return NULL;
}

static void begin(struct worker *w, struct oak_sync *sync, void *object,
                  int (*work)(struct worker *worker))
{
    *w = (struct worker){.sync = sync, .object = object, .work = work};
    assert_int_equal(pthread_create(&w->thread, NULL, worker_main, w), 0);
}

static void ended(struct worker *w, int expected)
{
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    came_to(w->error, expected);
}

static int get(struct worker *w)
{
    struct oak_client_answer *answer;
    int error = oak_sync_get(w->sync, oak_bytes_str("key"), OAK_SYNC_FOREVER, &answer);
    oak_client_answer_free(answer);
    return error;
}

static int get_often(struct worker *w)
{
    int error = 0;
    for (int i = 0; i < CALLS && error == 0; i++) {
        error = get(w);
    }
    return error;
}

static int next_change(struct worker *w)
{
    struct oak_client_changes *changes;
    int error = oak_sync_watch_next(w->object, OAK_SYNC_FOREVER, &changes);
    oak_client_changes_free(changes);
    return error;
}

static int turn_lost(struct worker *w)
{
    return oak_sync_turn_lost(w->object, OAK_SYNC_FOREVER);
}

static int lease_lost(struct worker *w)
{
    return oak_sync_lease_lost(w->object, OAK_SYNC_FOREVER);
}

static int lock(struct worker *w)
{
    struct oak_sync_turn *turn;
    int error = oak_sync_lock(w->sync, oak_bytes_str("door"), 0, OAK_SYNC_FOREVER, &turn);
    if (error == 0) {
        error = oak_sync_turn_end(turn, 0);
    }
    return error;
}

static int next_leader(struct worker *w)
{
    struct oak_client_changes *changes;
    int error = 0;
    while (error == 0) {
        error = oak_sync_observer_next(w->object, OAK_SYNC_FOREVER, &changes);
        oak_client_changes_free(changes);
    }
    return error;
}

/* -- calls ------------------------------------------------------------------------------------- */

static void a_call_is_answered_whole_and_the_answer_is_its_callers(void **state)
{
    (void)state;
    struct server s;
    struct oak_client_answer *answer;
    server_open(&s);
    struct oak_sync *sync = cluster_open(&s, 0);
    came_to(oak_sync_get(sync, oak_bytes_str("key"), 0, &answer), 0);
    came_to(oak_sync_delete(sync, oak_bytes_str("key"), 0, NULL), OAK_EUNIMPLEMENTED);
    came_to(oak_sync_leader(sync, oak_bytes_str("line/"), 0, NULL), OAK_EINVAL);
    struct oak_client_answer *refused;
    came_to(oak_sync_ask(sync, "no.Such", "Thing", true, oak_bytes(NULL, 0), 0, &refused),
            OAK_EUNIMPLEMENTED);
    came_to(oak_sync_txn(sync, NULL, 0, NULL), OAK_ENOMEM);
    oak_sync_free(sync);
    server_close(&s);
    assert_memory_equal(answer->result.kvs[0].value.data, "value", 5);
    assert_int_equal(answer->header.revision, 9);
    assert_int_equal(refused->code, OAK_RPC_UNIMPLEMENTED);
    oak_client_answer_free(answer);
    oak_client_answer_free(refused);
}

static void threads_call_at_once(void **state)
{
    (void)state;
    struct server s;
    struct worker workers[THREADS];
    server_open(&s);
    struct oak_sync *sync = cluster_open(&s, 0);
    for (int i = 0; i < THREADS; i++) {
        begin(&workers[i], sync, NULL, i % 2 == 0 ? get_often : lock);
    }
    for (int i = 0; i < THREADS; i++) {
        ended(&workers[i], 0);
    }
    assert_int_equal(s.revoked, THREADS / 2);
    oak_sync_free(sync);
    server_close(&s);
}

static void what_is_not_answered_ends_at_its_time(void **state)
{
    (void)state;
    struct server s;
    struct oak_client_answer *answer;
    server_open(&s);
    s.mute = true;
    s.taken = true;
    struct oak_sync *sync = cluster_open(&s, 0);
    came_to(oak_sync_get(sync, oak_bytes_str("key"), SECOND / 20, &answer), OAK_EDEADLINE);
    assert_non_null(answer); /* that of an error */
    oak_client_answer_free(answer);
    struct oak_sync_turn *turn;
    came_to(oak_sync_lock(sync, oak_bytes_str("door"), 0, SECOND / 20, &turn), OAK_EDEADLINE);
    came_to(oak_sync_lock(sync, oak_bytes_str("door/"), 0, 0, &turn), OAK_EINVAL);
    oak_sync_free(sync);
    server_close(&s);
}

/* -- the end ----------------------------------------------------------------------------------- */

static void closing_wakes_all_that_are_inside(void **state)
{
    (void)state;
    struct server s;
    struct worker w[6];
    struct oak_sync_watch *watch;
    struct oak_sync_turn *turn;
    struct oak_sync_lease *lease;
    struct oak_sync_observer *observer;
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k")};
    server_open(&s);
    struct oak_sync *sync = cluster_open(&s, 0);
    came_to(oak_sync_watch(sync, &options, 0, &watch), 0);
    came_to(oak_sync_lock(sync, oak_bytes_str("door"), 0, 0, &turn), 0);
    came_to(oak_sync_keep(sync, 5, 60, &lease), 0);
    came_to(oak_sync_observe(sync, oak_bytes_str("line"), &observer), 0);
    begin(&w[0], sync, observer, next_leader);
    asked(&s, 4);
    set(&s, &s.mute);
    set(&s, &s.taken);
    begin(&w[1], sync, NULL, get);
    begin(&w[2], sync, watch, next_change);
    begin(&w[3], sync, turn, turn_lost);
    begin(&w[4], sync, lease, lease_lost);
    begin(&w[5], sync, NULL, lock);
    asked(&s, 7);
    inside(&watch->handle, 1);
    inside(&turn->handle, 1);
    inside(&lease->handle, 1);
    oak_sync_close(sync);
    for (size_t i = 0; i < OAK_COUNT_OF(w); i++) {
        ended(&w[i], OAK_ECLOSED);
    }
    oak_sync_close(sync); /* again, for nothing; and all that comes later is told the same */
    begin(&w[0], sync, NULL, get);
    ended(&w[0], OAK_ECLOSED);
    begin(&w[0], sync, NULL, lock);
    ended(&w[0], OAK_ECLOSED);
    struct oak_sync_watch *late;
    came_to(oak_sync_watch(sync, &options, 0, &late), OAK_ECLOSED);
    oak_sync_watch_free(watch); /* before the cluster, and after it */
    oak_sync_free(sync);
    came_to(oak_sync_turn_lost(turn, 0), OAK_ECLOSED);
    came_to(oak_sync_turn_end(turn, 0), OAK_ECLOSED);
    oak_sync_lease_free(lease);
    oak_sync_observer_free(observer);
    server_close(&s);
}

static void freeing_waits_for_nobody_and_nobody_waits_for_it(void **state)
{
    (void)state;
    struct server s;
    struct worker w[THREADS];
    server_open(&s);
    s.mute = true;
    struct oak_sync *sync = cluster_open(&s, 0);
    for (int i = 0; i < THREADS; i++) {
        begin(&w[i], sync, NULL, get);
    }
    asked(&s, THREADS);
    oak_sync_free(sync); /* while they are inside */
    for (int i = 0; i < THREADS; i++) {
        ended(&w[i], OAK_ECLOSED);
    }
    server_close(&s);
}

static void an_object_that_is_freed_lets_go_who_waits_in_it(void **state)
{
    (void)state;
    struct server s;
    struct worker w[5];
    struct oak_sync_watch *watch;
    struct oak_sync_turn *turn;
    struct oak_sync_lease *lease;
    struct oak_sync_observer *observer;
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k")};
    server_open(&s);
    struct oak_sync *sync = cluster_open(&s, 0);
    came_to(oak_sync_watch(sync, &options, 0, &watch), 0);
    came_to(oak_sync_lock(sync, oak_bytes_str("door"), 0, 0, &turn), 0);
    came_to(oak_sync_keep(sync, 5, 60, &lease), 0);
    came_to(oak_sync_observe(sync, oak_bytes_str("line"), &observer), 0);
    begin(&w[0], sync, watch, next_change);
    begin(&w[1], sync, watch, next_change);
    begin(&w[2], sync, turn, turn_lost);
    begin(&w[3], sync, lease, lease_lost);
    begin(&w[4], sync, observer, next_leader);
    inside(&watch->handle, 2);
    inside(&turn->handle, 1);
    inside(&lease->handle, 1);
    inside(&observer->handle, 1);
    oak_sync_watch_free(watch);
    came_to(oak_sync_turn_end(turn, 0), 0);
    oak_sync_lease_free(lease);
    oak_sync_observer_free(observer);
    for (size_t i = 0; i < OAK_COUNT_OF(w); i++) {
        ended(&w[i], OAK_ECLOSED);
    }
    oak_sync_watch_free(NULL);
    oak_sync_lease_free(NULL);
    oak_sync_observer_free(NULL);
    came_to(oak_sync_turn_end(NULL, 0), 0);
    oak_sync_free(sync);
    oak_sync_free(NULL);
    server_close(&s);
}

static void an_object_that_is_closed_tells_all_who_ask_until_it_is_freed(void **state)
{
    (void)state;
    struct server s;
    struct worker w[5];
    struct oak_sync_watch *watch;
    struct oak_sync_turn *turn;
    struct oak_sync_lease *lease;
    struct oak_sync_observer *observer;
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k")};
    server_open(&s);
    struct oak_sync *sync = cluster_open(&s, 0);
    came_to(oak_sync_watch(sync, &options, 0, &watch), 0);
    came_to(oak_sync_lock(sync, oak_bytes_str("door"), 0, 0, &turn), 0);
    came_to(oak_sync_keep(sync, 5, 60, &lease), 0);
    came_to(oak_sync_observe(sync, oak_bytes_str("line"), &observer), 0);
    begin(&w[0], sync, watch, next_change);
    begin(&w[1], sync, watch, next_change);
    begin(&w[2], sync, turn, turn_lost);
    begin(&w[3], sync, lease, lease_lost);
    begin(&w[4], sync, observer, next_leader);
    inside(&watch->handle, 2);
    inside(&turn->handle, 1);
    inside(&lease->handle, 1);
    inside(&observer->handle, 1);
    oak_sync_watch_close(watch);
    oak_sync_turn_close(turn);
    oak_sync_lease_close(lease);
    oak_sync_observer_close(observer);
    for (size_t i = 0; i < OAK_COUNT_OF(w); i++) {
        ended(&w[i], OAK_ECLOSED);
    }
    struct oak_client_changes *changes;
    came_to(oak_sync_watch_next(watch, 0, &changes), OAK_ECLOSED);
    assert_null(changes);
    came_to(oak_sync_observer_next(observer, OAK_SYNC_FOREVER, &changes), OAK_ECLOSED);
    assert_null(changes);
    came_to(oak_sync_turn_lost(turn, OAK_SYNC_FOREVER), OAK_ECLOSED);
    came_to(oak_sync_lease_lost(lease, 0), OAK_ECLOSED);
    came_to(oak_sync_turn_end(turn, 0), 0); /* it was held until now */
    oak_sync_watch_free(watch);
    oak_sync_lease_free(lease);
    oak_sync_observer_free(observer);
    oak_sync_free(sync);
    server_close(&s);
}

/* -- watches ----------------------------------------------------------------------------------- */

/* Whoever does not take is not told more than its queue holds, and later all, in order. */
static void a_queue_that_is_full_holds_back_its_own_watch(void **state)
{
    (void)state;
    struct server s;
    struct oak_sync_watch *slow;
    struct oak_client_changes *changes;
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k")};
    const size_t limit = 100 * OAK_KIB;
    server_open(&s);
    s.changes = 300; /* 3 MiB */
    struct oak_sync *sync = cluster_open(&s, limit);
    came_to(oak_sync_watch(sync, &options, 0, &slow), 0);
    bool full = false;
    while (!full) {
        sched_yield();
        pthread_mutex_lock(&sync->lock);
        full = slow->held;
        pthread_mutex_unlock(&sync->lock);
    }
    struct worker w;
    begin(&w, sync, NULL, get_often); /* others go on */
    ended(&w, 0);
    pthread_mutex_lock(&sync->lock);
    assert_true(slow->bytes >= limit);
    assert_true(slow->bytes < limit + 11 * OAK_KIB);
    pthread_mutex_unlock(&sync->lock);
    for (int i = 10; i < 310; i++) {
        came_to(oak_sync_watch_next(slow, OAK_SYNC_FOREVER, &changes), 0);
        assert_int_equal(changes->count, 1);
        assert_int_equal(changes->events[0].kv.mod_revision, i);
        oak_client_changes_free(changes);
    }
    came_to(oak_sync_watch_next(slow, 0, &changes), OAK_EDEADLINE);
    assert_null(changes);
    came_to(oak_sync_watch_next(slow, SECOND / 50, &changes), OAK_EDEADLINE);
    oak_sync_watch_free(slow);
    came_to(oak_sync_watch(sync, &options, 0, &slow), 0);
    oak_sync_watch_free(slow); /* with a queue that is full, or about to be */
    oak_sync_free(sync);
    server_close(&s);
}

static void a_watch_ends_behind_its_last_changes(void **state)
{
    (void)state;
    struct server s;
    struct oak_sync_watch *watch;
    struct oak_client_changes *changes;
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k"), .revision = 1};
    server_open(&s);
    s.changes = 2;
    s.compacted = true;
    struct oak_sync *sync = cluster_open(&s, 0);
    came_to(oak_sync_watch(sync, &options, 0, &watch), 0);
    for (int i = 10; i < 12; i++) {
        came_to(oak_sync_watch_next(watch, OAK_SYNC_FOREVER, &changes), 0);
        assert_int_equal(changes->events[0].kv.mod_revision, i);
        oak_client_changes_free(changes);
    }
    for (int i = 0; i < 2; i++) {
        came_to(oak_sync_watch_next(watch, OAK_SYNC_FOREVER, &changes), OAK_ECOMPACTED);
        assert_null(changes);
    }
    assert_int_equal(oak_sync_watch_compacted(watch), 12345);
    oak_sync_watch_free(watch);
    set(&s, &s.refused);
    came_to(oak_sync_watch(sync, &options, 0, &watch), OAK_EPERMISSIONDENIED);
    oak_sync_free(sync);
    server_close(&s);
}

/* -- turns ------------------------------------------------------------------------------------- */

static void a_lock_is_held_and_its_loss_is_told(void **state)
{
    (void)state;
    struct server s;
    struct oak_sync_turn *turn;
    struct oak_client_changes *leader;
    struct oak_sync_observer *observer;
    server_open(&s);
    s.ttl_s = 4;
    struct oak_sync *sync = cluster_open(&s, 0);
    const struct oak_bytes name = oak_bytes_str("door");
    came_to(oak_sync_campaign(sync, name, oak_bytes_str("me"), 4, 0, &turn), 0);
    assert_int_equal(oak_sync_turn_revision(turn), 9);
    assert_true(oak_bytes_eq(oak_sync_turn_key(turn), oak_bytes_str("door/4d")));
    came_to(oak_sync_turn_lost(turn, 0), 0);
    came_to(oak_sync_proclaim(turn, oak_bytes_str("still me"), 0, NULL), 0);
    came_to(oak_sync_observe(sync, name, &observer), 0);
    came_to(oak_sync_observer_next(observer, OAK_SYNC_FOREVER, &leader), 0);
    assert_int_equal(leader->events[0].kv.mod_revision, 7);
    oak_client_changes_free(leader);
    came_to(oak_sync_observer_next(observer, 0, &leader), OAK_EDEADLINE);
    oak_sync_observer_free(observer);
    set(&s, &s.ended); /* the next answer says so */
    came_to(oak_sync_turn_lost(turn, OAK_SYNC_FOREVER), OAK_ELEASENOTFOUND);
    came_to(oak_sync_proclaim(turn, oak_bytes_str("me?"), 0, NULL), OAK_ENOTELECTED);
    came_to(oak_sync_turn_end(turn, 0), OAK_ELEASENOTFOUND);
    assert_int_equal(s.revoked, 0);
    oak_sync_free(sync);
    server_close(&s);
}

/* -- opening ----------------------------------------------------------------------------------- */

static void options_that_contradict_each_other_are_told(void **state)
{
    (void)state;
    static const struct oak_net net;
    const struct {
        const char *endpoints;
        struct oak_sync_options options;
        int error;
        const char *text;
    } cases[] = {
        {"host:1,no sense", {.watch_bytes = 0}, OAK_EINVAL, "no sense"},
        {"a:1", {.client.net = &net}, OAK_EINVAL, "network"},
        {"http://a:1,https://b:1", {.watch_bytes = 0}, OAK_EINVAL, "http://"},
        {"http://a:1", {.server_name = "a"}, OAK_EINVAL, "http://"},
        {"a:1", {.ca_file = "/nowhere/ca.pem"}, OAK_ENOENT, "/nowhere/ca.pem"},
        {"https://a:1", {.cert_file = "/nowhere/c.pem"}, OAK_EINVAL, "key"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct oak_errbuf e = {""};
        struct oak_sync *sync = NULL;
        came_to(oak_sync_open(cases[i].endpoints, &cases[i].options, &sync, &e), cases[i].error);
        assert_null(sync);
        assert_non_null(strstr(e.text, cases[i].text));
        came_to(oak_sync_open(cases[i].endpoints, &cases[i].options, &sync, NULL), cases[i].error);
    }
    struct oak_sync *sync;
    came_to(oak_sync_open("https://localhost:1", NULL, &sync, NULL), 0); /* the system's trust */
    oak_sync_free(sync);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_whole_and_the_answer_is_its_callers),
        cmocka_unit_test(threads_call_at_once),
        cmocka_unit_test(what_is_not_answered_ends_at_its_time),
        cmocka_unit_test(closing_wakes_all_that_are_inside),
        cmocka_unit_test(freeing_waits_for_nobody_and_nobody_waits_for_it),
        cmocka_unit_test(an_object_that_is_freed_lets_go_who_waits_in_it),
        cmocka_unit_test(an_object_that_is_closed_tells_all_who_ask_until_it_is_freed),
        cmocka_unit_test(a_queue_that_is_full_holds_back_its_own_watch),
        cmocka_unit_test(a_watch_ends_behind_its_last_changes),
        cmocka_unit_test(a_lock_is_held_and_its_loss_is_told),
        cmocka_unit_test(options_that_contradict_each_other_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
