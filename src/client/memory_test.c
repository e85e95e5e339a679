/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation fails once: every call that was begun is told its end, a watch
 * goes on or is told that it doesn't, and all memory is given back. */
#include "rpc/test_memory.h"

#include "client/test_world.h"

struct tally {
    int begun;
    int ended;
    int good;
    int changes;
    int leaders;
    bool watching;
    struct oak_client_observer *observer; /* NULL: it is ended */
};

static void done(void *user, const struct oak_client_answer *answer)
{
    struct tally *t = user;
    t->ended++;
    t->good += answer->error == 0;
}

static void changes(void *user, struct oak_client_watch *watch, const struct oak_client_changes *c)
{
    struct tally *t = user;
    (void)watch;
    t->changes += (int)c->count;
}

static void ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                  int64_t compacted)
{
    struct tally *t = user;
    (void)watch;
    (void)error;
    (void)message;
    (void)compacted;
    t->watching = false;
}

static const struct oak_client_watch_callbacks watch_callbacks = {.changes = changes,
                                                                  .ended = ended};

static void leads(void *user, struct oak_client_observer *o, const struct oak_client_kv *leader)
{
    struct tally *t = user;
    (void)o;
    t->leaders += leader != NULL;
}

static void observed(void *user, struct oak_client_observer *o, int error)
{
    struct tally *t = user;
    (void)o;
    (void)error;
    t->observer = NULL;
}

static const struct oak_client_observer_callbacks observer_callbacks = {.leads = leads,
                                                                        .ended = observed};

static void lost(void *user, struct oak_client_lease *lease, int error)
{
    (void)user;
    (void)lease;
    (void)error;
}

static const struct oak_client_lease_callbacks lease_callbacks = {.lost = lost};

static void operations(struct world *w, struct tally *t)
{
    const struct oak_client_op get = oak_client_get(oak_bytes_str("key"));
    const struct oak_client_op put = oak_client_put(oak_bytes_str("key"), oak_bytes_str("value"));
    t->begun += oak_client_do(w->client, &get, 0, done, t, NULL) == 0;
    t->begun += oak_client_do(w->client, &put, 0, done, t, NULL) == 0;
    t->begun += oak_client_ask(w->client, "etcdserverpb.KV", "Range", true, oak_bytes("\n\1k", 3),
                               0, done, t, NULL) == 0;
    const struct oak_client_admin admin = {.verb = OAK_CLIENT_ROLE_GRANT,
                                           .role = "r",
                                           .key = oak_bytes_str("k"),
                                           .span = OAK_CLIENT_PREFIX};
    t->begun += oak_client_administer(w->client, &admin, 0, done, t, NULL) == 0; /* not served */
}

static void server_tells(struct world *w)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    Mvccpb__Event event = MVCCPB__EVENT__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    Mvccpb__Event *events[] = {&event};
    if (w->watch == NULL) {
        return;
    }
    r.watch_id = 1; /* the observer's is the second one */
    r.created = true;
    OAK_MAYBE(etcdserverpb__watch__watch__reply(w->watch, &r) != 0);
    r.created = false;
    event.kv = &kv;
    kv.mod_revision = 3;
    r.events = events;
    r.n_events = 1;
    OAK_MAYBE(etcdserverpb__watch__watch__reply(w->watch, &r) != 0);
}

static void hold(bool on)
{
    if (on) {
        memory_hold();
    } else {
        memory_release();
    }
}

static void conversation(struct tally *t)
{
    const struct oak_client_options somebody = {.user = "u", .password = "pw"};
    struct world w;
    struct oak_client_watcher *watcher = NULL;
    struct oak_client_watch *watch;
    struct oak_client_lease *lease;
    if (!world_begin(&w, &somebody, hold)) {
        w.held_count = 0;
        world_close(&w);
        return;
    }
    w.auth = true;
    operations(&w, t);
    if (oak_client_watcher_new(w.client, &watcher) == 0) {
        const struct oak_client_watch_options options = {.key = oak_bytes_str("k"),
                                                         .span = OAK_CLIENT_PREFIX};
        t->watching = oak_client_watch(watcher, &options, &watch_callbacks, t, &watch) == 0;
        OAK_MAYBE(oak_client_observe(watcher, oak_bytes_str("line"), &observer_callbacks, t,
                                     &t->observer) != 0);
    }
    OAK_MAYBE(oak_client_keep(w.client, 5, 9, &lease_callbacks, NULL, &lease) != 0);
    pass(&w, SECOND);
    server_tells(&w);
    w.tokens++;
    operations(&w, t);
    pass(&w, 2 * SECOND);
    if (t->observer != NULL) {
        oak_client_observer_end(t->observer);
    }
    oak_client_watcher_free(watcher);
    world_close(&w);
    assert_int_equal(t->begun, t->ended);
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    struct tally t = {0};
    conversation(&t);
    assert_int_equal(t.good, 6);
    assert_int_equal(t.leaders, 1);
    assert_int_equal(t.changes, 1);
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        t = (struct tally){0};
        conversation(&t);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
