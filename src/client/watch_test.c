/* SPDX-License-Identifier: Apache-2.0 */
/* watch_test.c: watches over a stream that breaks, splits revisions, and is refused. */
#include "client/test_world.h"

struct heard {
    char log[1024]; /* a word for each thing that was told */
    struct oak_client_watch *watch;
    bool end; /* the watch, at the next change */
};

static void note(struct heard *h, const char *format, ...) OAK_PRINTF(2, 3);
static void note(struct heard *h, const char *format, ...)
{
    size_t used = strlen(h->log);
    va_list args;
    va_start(args, format);
    vsnprintf(h->log + used, sizeof(h->log) - used, format, args);
    va_end(args);
}

static void told(struct heard *h, const char *expected)
{
    assert_string_equal(h->log, expected);
    h->log[0] = '\0';
}

static void began(void *user, struct oak_client_watch *watch, int64_t revision)
{
    struct heard *h = user;
    assert_ptr_equal(watch, h->watch);
    note(h, "began@%d ", (int)revision);
}

static void changes(void *user, struct oak_client_watch *watch, const struct oak_client_changes *c)
{
    struct heard *h = user;
    for (size_t i = 0; i < c->count; i++) {
        note(h, "%.*s@%d", (int)c->events[i].kv.key.size, (const char *)c->events[i].kv.key.data,
             (int)c->events[i].kv.mod_revision);
        note(h, "%s ", c->events[i].deleted ? "-" : c->events[i].previous != NULL ? "*" : "");
    }
    note(h, c->more ? ".. " : "<%d ", (int)c->revision);
    if (h->end) {
        oak_client_watch_end(watch);
        h->watch = NULL;
    }
}

static void ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                  int64_t compacted)
{
    struct heard *h = user;
    assert_ptr_equal(watch, h->watch);
    h->watch = NULL;
    note(h, "%s:%d:%s ", oak_error_name(error), (int)compacted, message);
}

static const struct oak_client_watch_callbacks callbacks = {
    .began = began, .changes = changes, .ended = ended};

static void begin(struct oak_client_watcher *watcher, int64_t revision, struct heard *h)
{
    memset(h, 0, sizeof(*h));
    const struct oak_client_watch_options options = {.key = oak_bytes_str("k"),
                                                     .revision = revision};
    assert_int_equal(oak_client_watch(watcher, &options, &callbacks, h, &h->watch), 0);
}

/* -- what the server says ---------------------------------------------------------------------- */

static void say(struct world *w, Etcdserverpb__WatchResponse *r, int64_t revision)
{
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    header.revision = revision;
    header.cluster_id = 17;
    r->header = &header;
    assert_int_equal(etcdserverpb__watch__watch__reply(w->watch, r), 0);
    run(w);
}

static void say_created(struct world *w, int64_t id, int64_t revision)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = id;
    r.created = true;
    say(w, &r, revision);
}

static void say_refused(struct world *w, bool created, int64_t id, const char *reason,
                        int64_t compacted)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = id;
    r.created = created;
    r.canceled = true;
    r.cancel_reason = (char *)(uintptr_t)reason;
    r.compact_revision = compacted;
    say(w, &r, 0);
}

/* Keys "a", "b", ... of these revisions, up to a 0. */
static void say_events(struct world *w, int64_t id, const int *revisions, char first, bool fragment)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    Mvccpb__Event events[8];
    Mvccpb__KeyValue kvs[8];
    Mvccpb__Event *list[8];
    char keys[8];
    for (; revisions[r.n_events] != 0; r.n_events++) {
        size_t i = r.n_events;
        mvccpb__event__init(&events[i]);
        mvccpb__key_value__init(&kvs[i]);
        keys[i] = (char)(first + i);
        kvs[i].key = oak_proto_binary(oak_bytes(&keys[i], 1));
        kvs[i].mod_revision = revisions[i];
        events[i].kv = &kvs[i];
        list[i] = &events[i];
    }
    r.watch_id = id;
    r.events = list;
    r.fragment = fragment;
    say(w, &r, 100);
}

static void say_progress(struct world *w, int64_t id, int64_t revision)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = id;
    say(w, &r, revision);
}

#define REVISIONS(...) ((const int[]){__VA_ARGS__, 0})

struct scene {
    struct world w;
    struct oak_client_watcher *watcher;
};

static void scene_open(struct scene *s, const struct oak_client_options *options)
{
    world_open(&s->w, options);
    assert_int_equal(oak_client_watcher_new(s->w.client, &s->watcher), 0);
}

static void scene_close(struct scene *s)
{
    oak_client_watcher_free(s->watcher);
    world_close(&s->w);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void a_watch_goes_on_behind_what_it_was_told(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 0, &h);
    run(&s.w);
    asked(&s.w, "stream: create:1@0 ");
    cut(&s.w);              /* before it was created: from now on is from now on */
    pass(&s.w, 3 * SECOND); /* such a connection was none: the next one waits */
    asked(&s.w, "stream: create:1@0 ");
    say_created(&s.w, 1, 10);
    told(&h, "began@10 ");
    cut(&s.w);
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@11 ");
    say_created(&s.w, 1, 20); /* it began long ago */
    say_events(&s.w, 1, REVISIONS(12, 15, 15), 'a', false);
    told(&h, "a@12 b@15 c@15 <15 ");
    cut(&s.w);
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@16 ");
    say_created(&s.w, 1, 20);
    say_progress(&s.w, 1, 30);
    told(&h, "<30 ");
    say_progress(&s.w, -1, 33);
    told(&h, "<33 ");
    assert_int_equal(oak_client_watcher_header(s.watcher).revision, 33);
    assert_int_equal(oak_client_watcher_header(s.watcher).cluster_id, 17);
    cut(&s.w);
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@34 ");
    scene_close(&s);
}

static void a_revision_that_is_cut_is_told_once(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 5, &h);
    run(&s.w);
    say_created(&s.w, 1, 10);
    say_events(&s.w, 1, REVISIONS(6, 7), 'a', true);
    say_events(&s.w, 1, REVISIONS(7, 7), 'c', true);
    told(&h, "began@4 a@6 b@7 .. c@7 d@7 .. ");
    s.w.heard[0] = '\0';
    cut(&s.w);
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@7 ");
    say_created(&s.w, 1, 10);
    say_events(&s.w, 1, REVISIONS(7, 7), 'b', true);
    told(&h, "");
    cut(&s.w); /* nothing new was told: the same again */
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@7 ");
    say_created(&s.w, 1, 10);
    say_events(&s.w, 1, REVISIONS(7, 7, 7, 7), 'b', true);
    told(&h, "e@7 .. ");
    say_events(&s.w, 1, REVISIONS(7, 8), 'f', false);
    told(&h, "f@7 g@8 <8 ");
    scene_close(&s);
}

static void what_was_told_whole_but_for_the_last_piece_is_not_told_again(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 5, &h);
    run(&s.w);
    say_created(&s.w, 1, 10);
    say_events(&s.w, 1, REVISIONS(5), 'a', true);
    cut(&s.w);
    pass(&s.w, SECOND);
    say_created(&s.w, 1, 10);
    say_events(&s.w, 1, REVISIONS(5), 'a', false); /* there is no more of it now */
    told(&h, "began@4 a@5 .. ");
    s.w.heard[0] = '\0';
    cut(&s.w);
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@6 ");
    scene_close(&s);
}

static void compaction_and_refusals_end_it_with_the_reason(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 3, &h);
    run(&s.w);
    say_created(&s.w, 1, 10);
    say_refused(&s.w, false, 1, "", 8);
    told(&h, "began@2 ECOMPACTED:8:etcdserver: mvcc: required revision has been compacted ");
    begin(s.watcher, 0, &h);
    run(&s.w);
    say_refused(&s.w, true, -1,
                "rpc error: code = PermissionDenied desc = etcdserver: permission denied", 0);
    told(&h, "EPERMISSIONDENIED:0:rpc error: code = PermissionDenied desc = etcdserver: "
             "permission denied ");
    begin(s.watcher, 0, &h);
    run(&s.w);
    say_refused(&s.w, true, -1, "mvcc: watcher range is empty", 0);
    told(&h, "EREMOTE:0:mvcc: watcher range is empty ");
    scene_close(&s);
}

static void statuses_that_come_again_end_all_others_none(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 0, &h);
    run(&s.w);
    oak_stub_finish(s.w.watch, OAK_RPC_UNAVAILABLE, "etcdserver: no leader");
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@0 stream: create:1@0 ");
    oak_stub_finish(s.w.watch, OAK_RPC_PERMISSION_DENIED, "etcdserver: permission denied");
    pass(&s.w, SECOND);
    told(&h, "EPERMISSIONDENIED:0:etcdserver: permission denied ");
    asked(&s.w, "");
    begin(s.watcher, 0, &h); /* it may be otherwise now */
    run(&s.w);
    asked(&s.w, "stream: create:2@0 ");
    scene_close(&s);
}

static void a_token_that_is_refused_is_had_anew(void **state)
{
    (void)state;
    const struct oak_client_options somebody = {.user = "u", .password = "pw"};
    struct scene s;
    struct heard a;
    struct heard b;
    scene_open(&s, &somebody);
    s.w.auth = true;
    begin(s.watcher, 0, &a);
    run(&s.w);
    asked(&s.w, "login:u/pw stream:T1 create:1@0 ");
    say_created(&s.w, 1, 10);
    s.w.tokens = 4; /* T1 is good no more; a watch that stands is not asked for it */
    begin(s.watcher, 0, &b);
    run(&s.w);
    asked(&s.w, "create:2@0 ");
    say_refused(&s.w, true, -1,
                "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", 0);
    pass(&s.w, SECOND);
    asked(&s.w, "login:u/pw stream:T5 create:1@11 create:2@0 ");
    say_created(&s.w, 1, 12);
    say_created(&s.w, 2, 12);
    told(&a, "began@10 ");
    told(&b, "began@12 ");
    scene_close(&s);
}

static void one_that_ends_is_told_nothing_and_leaves_nothing(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    struct heard other;
    scene_open(&s, NULL);
    begin(s.watcher, 0, &other);
    run(&s.w);
    say_created(&s.w, 1, 10);
    begin(s.watcher, 0, &h); /* while its create is under way */
    oak_client_watch_end(h.watch);
    run(&s.w);
    s.w.heard[0] = '\0';
    say_created(&s.w, 2, 10);
    asked(&s.w, "cancel:2 ");
    begin(s.watcher, 0, &h); /* created */
    run(&s.w);
    say_created(&s.w, 3, 10);
    s.w.heard[0] = '\0';
    oak_client_watch_end(h.watch);
    run(&s.w);
    asked(&s.w, "cancel:3 ");
    told(&h, "began@10 ");
    begin(s.watcher, 0, &h); /* within what it is told */
    run(&s.w);
    say_created(&s.w, 4, 10);
    s.w.heard[0] = '\0';
    h.end = true;
    say_progress(&s.w, -1, 11);
    told(&h, "began@10 <11 ");
    asked(&s.w, "cancel:4 ");
    say_events(&s.w, 4, REVISIONS(12), 'a', false); /* was under way */
    asked(&s.w, "cancel:4 ");
    told(&h, "");
    told(&other, "began@10 <11 ");
    cut(&s.w);
    pass(&s.w, SECOND);
    asked(&s.w, "stream: create:1@12 ");
    scene_close(&s);
}

static void one_that_has_no_stream_yet_may_end(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 0, &h);
    oak_client_watch_end(h.watch);
    run(&s.w);
    told(&h, "");
    const struct oak_client_watch_options bad = {.revision = -1};
    assert_int_equal(oak_client_watch(s.watcher, &bad, &callbacks, &h, &h.watch), OAK_EINVAL);
    scene_close(&s);
}

static void many_share_a_stream(void **state)
{
    (void)state;
    enum { MANY = 100 };
    static struct heard h[MANY];
    struct scene s;
    scene_open(&s, NULL);
    for (int i = 0; i < MANY; i++) {
        begin(s.watcher, i + 1, &h[i]);
    }
    run(&s.w);
    s.w.heard[0] = '\0';
    for (int i = 0; i < MANY; i++) {
        say_created(&s.w, i + 1, 200);
    }
    say_events(&s.w, 77, REVISIONS(150), 'x', false);
    for (int i = 0; i < MANY; i++) {
        char expected[64];
        snprintf(expected, sizeof(expected), "began@%d %s", i, i == 76 ? "x@150 <150 " : "");
        told(&h[i], expected);
    }
    scene_close(&s);
}

static void one_that_is_paused_takes_nothing(void **state)
{
    (void)state;
    struct scene s;
    struct heard h;
    scene_open(&s, NULL);
    begin(s.watcher, 0, &h);
    run(&s.w);
    say_created(&s.w, 1, 10);
    oak_client_watcher_pause(s.watcher, true);
    told(&h, "began@10 ");
    say_events(&s.w, 1, REVISIONS(11), 'a', false);
    told(&h, "");
    oak_client_watcher_pause(s.watcher, false);
    run(&s.w);
    told(&h, "a@11 <11 ");
    assert_int_equal(oak_client_watcher_progress(s.watcher), 0);
    run(&s.w);
    asked(&s.w, "stream: create:1@0 progress ");
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_goes_on_behind_what_it_was_told),
        cmocka_unit_test(a_revision_that_is_cut_is_told_once),
        cmocka_unit_test(what_was_told_whole_but_for_the_last_piece_is_not_told_again),
        cmocka_unit_test(compaction_and_refusals_end_it_with_the_reason),
        cmocka_unit_test(statuses_that_come_again_end_all_others_none),
        cmocka_unit_test(a_token_that_is_refused_is_had_anew),
        cmocka_unit_test(one_that_ends_is_told_nothing_and_leaves_nothing),
        cmocka_unit_test(one_that_has_no_stream_yet_may_end),
        cmocka_unit_test(many_share_a_stream),
        cmocka_unit_test(one_that_is_paused_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
