/* SPDX-License-Identifier: Apache-2.0 */
/* observe_test.c: who leads; and what a callback was given, kept. */
#include "client/test_world.h"

struct seen {
    char said[256]; /* value@revision of each leader, "-" for nobody, "!ERROR" at the end */
    bool end;       /* it is ended by who is told next */
    struct oak_client_observer *observer;
};

static void say(struct seen *s, const char *format, ...) OAK_PRINTF(2, 3);
static void say(struct seen *s, const char *format, ...)
{
    size_t used = strlen(s->said);
    va_list args;
    va_start(args, format);
    vsnprintf(s->said + used, sizeof(s->said) - used, format, args);
    va_end(args);
}

static void leads(void *user, struct oak_client_observer *o, const struct oak_client_kv *leader)
{
    struct seen *s = user;
    assert_ptr_equal(o, s->observer);
    if (leader == NULL) {
        say(s, "- ");
    } else {
        say(s, "%.*s@%d ", (int)leader->value.size, (const char *)leader->value.data,
            (int)leader->mod_revision);
    }
    if (s->end) {
        oak_client_observer_end(o);
    }
}

static void over(void *user, struct oak_client_observer *o, int error)
{
    (void)o;
    say(user, "!%s ", oak_error_name(error));
}

static const struct oak_client_observer_callbacks callbacks = {.leads = leads, .ended = over};

static struct oak_client_watcher *observe(struct world *w, struct seen *s)
{
    struct oak_client_watcher *watcher;
    *s = (struct seen){.end = false};
    assert_int_equal(oak_client_watcher_new(w->client, &watcher), 0);
    assert_int_equal(
        oak_client_observe(watcher, oak_bytes_str("line"), &callbacks, s, &s->observer), 0);
    return watcher;
}

static void saw(struct seen *s, const char *expected)
{
    assert_string_equal(s->said, expected);
    s->said[0] = '\0';
}

static void reply(struct world *w, Etcdserverpb__WatchResponse *r)
{
    r->watch_id = w->watch_id;
    assert_non_null(w->watch);
    assert_int_equal(etcdserverpb__watch__watch__reply(w->watch, r), 0);
    run(w);
}

static void created(struct world *w)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.created = true;
    reply(w, &r);
}

/* The key is put with each of these values, one revision after the other; "" is its deletion. */
static void happens(struct world *w, const char *const *values, size_t count, int64_t revision)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    Mvccpb__Event events[4];
    Mvccpb__KeyValue kvs[4];
    Mvccpb__Event *list[4];
    for (size_t i = 0; i < count; i++) {
        mvccpb__event__init(&events[i]);
        mvccpb__key_value__init(&kvs[i]);
        kvs[i].value = oak_proto_binary(oak_bytes_str(values[i]));
        kvs[i].mod_revision = revision + (int64_t)i;
        events[i].kv = &kvs[i];
        if (values[i][0] == '\0') {
            events[i].type = MVCCPB__EVENT__EVENT_TYPE__DELETE;
        }
        list[i] = &events[i];
    }
    r.events = list;
    r.n_events = count;
    reply(w, &r);
}

static void each_leader_and_what_it_says_is_told(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, NULL);
    struct oak_client_watcher *watcher = observe(&w, &s);
    run(&w);
    saw(&s, "5+5@7 "); /* "line/" to "line0" */
    created(&w);
    asked(&w, "range: stream: create:1@10 ");
    happens(&w, (const char *const[]){"a", "b"}, 2, 11);
    saw(&s, "a@11 b@12 ");
    w.empty = true;
    happens(&w, (const char *const[]){"c", "", "d"}, 3, 13); /* whoever comes then is looked for */
    saw(&s, "c@13 - ");
    created(&w);
    asked(&w, "cancel:1 range: create:2@10 ");
    w.empty = false;
    happens(&w, (const char *const[]){"e"}, 1, 16);
    saw(&s, "5+5@7 ");
    oak_client_observer_end(s.observer);
    oak_client_watcher_free(watcher);
    saw(&s, "");
    world_close(&w);
}

static void nobody_is_told_once_and_a_compaction_is_looked_over(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, NULL);
    w.empty = true;
    struct oak_client_watcher *watcher = observe(&w, &s);
    run(&w);
    saw(&s, "- ");
    created(&w);
    w.heard[0] = '\0';
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.canceled = true;
    r.compact_revision = 12;
    reply(&w, &r);
    asked(&w, "");
    pass(&w, SECOND);
    asked(&w, "range: create:2@10 ");
    saw(&s, "");
    w.code = OAK_RPC_PERMISSION_DENIED; /* what is not allowed ends it */
    w.text = "etcdserver: permission denied";
    created(&w);
    happens(&w, (const char *const[]){"a"}, 1, 20);
    saw(&s, "!EPERMISSIONDENIED ");
    oak_client_watcher_free(watcher);
    world_close(&w);
}

static void it_may_be_ended_by_whom_it_tells_and_at_any_time(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, NULL);
    struct oak_client_watcher *watcher = observe(&w, &s);
    s.end = true;
    run(&w);
    saw(&s, "5+5@7 ");
    oak_client_watcher_free(watcher);
    watcher = observe(&w, &s);
    oak_client_observer_end(s.observer); /* before it looked */
    oak_client_watcher_free(watcher);
    watcher = observe(&w, &s);
    w.hold = true;
    run(&w);
    oak_client_observer_end(s.observer); /* while it looks */
    run(&w);
    held_end(&w);
    w.hold = false;
    run(&w);
    saw(&s, "");
    oak_client_watcher_free(watcher);
    watcher = observe(&w, &s);
    run(&w);
    created(&w);
    s.end = true;
    happens(&w, (const char *const[]){"a", "b"}, 2, 11);
    saw(&s, "5+5@7 a@11 ");
    assert_int_equal(
        oak_client_observe(watcher, oak_bytes_str("line/"), &callbacks, &s, &s.observer),
        OAK_EINVAL);
    oak_client_watcher_free(watcher);
    world_close(&w);
}

static void who_leads_now_is_asked(void **state)
{
    (void)state;
    struct world w;
    struct told t = {0};
    world_open(&w, NULL);
    const struct oak_bytes name = oak_bytes_str("line");
    assert_int_equal(oak_client_leader(w.client, name, 0, told_done, &t, NULL), 0);
    run(&w);
    told_is(&t, 0);
    assert_string_equal(t.value, "5+5@7");
    w.empty = true;
    t = (struct told){0};
    assert_int_equal(oak_client_leader(w.client, name, 0, told_done, &t, NULL), 0);
    run(&w);
    told_is(&t, OAK_ENOLEADERELECTED);
    assert_string_equal(t.message, "election: no leader");
    assert_int_equal(oak_client_leader(w.client, oak_bytes(NULL, 0), 0, told_done, &t, NULL),
                     OAK_EINVAL);
    world_close(&w);
}

/* -- what is kept ------------------------------------------------------------------------------ */

static void keep(void *user, const struct oak_client_answer *answer)
{
    struct oak_client_answer **kept = user;
    *kept = oak_client_answer_keep(answer);
}

static void an_answer_that_is_kept_outlives_the_client(void **state)
{
    (void)state;
    struct world w;
    struct oak_client_answer *good = NULL;
    struct oak_client_answer *bad = NULL;
    struct oak_client_answer *refused = NULL;
    const struct oak_client_op op = oak_client_get(oak_bytes_str("key"));
    world_open(&w, NULL);
    assert_int_equal(oak_client_do(w.client, &op, 0, keep, &good, NULL), 0);
    run(&w);
    w.text = "no such thing";
    w.code = OAK_RPC_NOT_FOUND;
    assert_int_equal(oak_client_do(w.client, &op, 0, keep, &bad, NULL), 0);
    run(&w);
    world_close(&w);
    const struct oak_client_options somebody = {.user = "u", .password = "pw"};
    world_open(&w, &somebody);
    w.login_text = "nobody knows you"; /* a text of another call, that for a token */
    assert_int_equal(oak_client_do(w.client, &op, 0, keep, &refused, NULL), 0);
    run(&w);
    world_close(&w);
    assert_int_equal(good->error, 0);
    assert_int_equal(good->header.revision, 9);
    assert_int_equal(good->result.kv_count, 1);
    assert_memory_equal(good->result.kvs[0].key.data, "key", 3);
    assert_string_equal(good->message, "");
    assert_int_equal(bad->error, OAK_ENOENT);
    assert_string_equal(bad->message, "no such thing");
    assert_string_equal(refused->message, "nobody knows you");
    oak_client_answer_free(good);
    oak_client_answer_free(bad);
    oak_client_answer_free(refused);
    oak_client_answer_free(NULL);
}

static void changes_that_are_kept_are_whole(void **state)
{
    (void)state;
    const struct oak_client_kv before = {.key = oak_bytes_str("key"),
                                         .value = oak_bytes_str("old"),
                                         .create_revision = 1,
                                         .mod_revision = 2,
                                         .version = 2,
                                         .lease = 8};
    struct oak_client_event events[3] = {
        {.kv = {.key = oak_bytes_str("key"), .value = oak_bytes_str("new"), .mod_revision = 3},
         .previous = &before},
        {.deleted = true, .kv = {.key = oak_bytes_str("other"), .mod_revision = 4}},
        {.kv = {.key = oak_bytes_str("last"), .value = oak_bytes_str("1")}, .previous = &before},
    };
    const struct oak_client_changes changes = {
        .events = events, .count = 3, .revision = 4, .more = true};
    struct oak_client_changes *kept = oak_client_changes_keep(&changes);
    memset(events, 0xff, sizeof(events));
    assert_int_equal(kept->count, 3);
    assert_int_equal(kept->revision, 4);
    assert_true(kept->more);
    assert_memory_equal(kept->events[0].kv.value.data, "new", 3);
    assert_memory_equal(kept->events[0].previous->value.data, "old", 3);
    assert_int_equal(kept->events[0].previous->lease, 8);
    assert_true(kept->events[1].deleted);
    assert_memory_equal(kept->events[1].kv.key.data, "other", 5);
    assert_null(kept->events[1].previous);
    assert_memory_equal(kept->events[2].kv.key.data, "last", 4);
    assert_memory_equal(kept->events[2].previous->key.data, "key", 3);
    oak_client_changes_free(kept);
    const struct oak_client_changes none = {.revision = 9};
    kept = oak_client_changes_keep(&none);
    assert_int_equal(kept->count, 0);
    assert_int_equal(kept->revision, 9);
    oak_client_changes_free(kept);
    oak_client_changes_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_leader_and_what_it_says_is_told),
        cmocka_unit_test(nobody_is_told_once_and_a_compaction_is_looked_over),
        cmocka_unit_test(it_may_be_ended_by_whom_it_tells_and_at_any_time),
        cmocka_unit_test(who_leads_now_is_asked),
        cmocka_unit_test(an_answer_that_is_kept_outlives_the_client),
        cmocka_unit_test(changes_that_are_kept_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
