/* SPDX-License-Identifier: Apache-2.0 */
/* keep_test.c: leases: when they are asked for, and when they are given up. */
#include "client/test_world.h"

struct lease {
    struct oak_client_lease *lease;
    int kept;
    int lost;
    int error;
};

static void kept(void *user, struct oak_client_lease *lease, int64_t ttl_s)
{
    struct lease *l = user;
    assert_ptr_equal(lease, l->lease);
    assert_int_equal(ttl_s, 9);
    assert_int_equal(oak_client_lease_header(lease).revision, 71);
    l->kept++;
}

static void lost(void *user, struct oak_client_lease *lease, int error)
{
    struct lease *l = user;
    assert_ptr_equal(lease, l->lease);
    l->lost++;
    l->error = error;
}

static const struct oak_client_lease_callbacks callbacks = {.kept = kept, .lost = lost};

static void keep(struct world *w, int64_t id, struct lease *l)
{
    *l = (struct lease){.lease = NULL};
    assert_int_equal(oak_client_keep(w->client, id, 9, &callbacks, l, &l->lease), 0);
}

static void say(struct world *w, int64_t id, int64_t ttl_s)
{
    Etcdserverpb__LeaseKeepAliveResponse r = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    header.revision = 71;
    r.header = &header;
    r.id = id;
    r.ttl = ttl_s;
    assert_non_null(w->keep);
    assert_int_equal(etcdserverpb__lease__lease_keep_alive__reply(w->keep, &r), 0);
    run(w);
}

static void a_lease_is_asked_for_three_times_in_its_time(void **state)
{
    (void)state;
    struct world w;
    struct lease l;
    world_open(&w, NULL);
    keep(&w, 5, &l);
    run(&w);
    asked(&w, "keep:5 ");
    say(&w, 5, 9);
    assert_int_equal(l.kept, 1);
    for (int i = 2; i < 6; i++) {
        pass(&w, 3 * SECOND - SECOND / 10);
        asked(&w, "");
        pass(&w, SECOND / 10);
        asked(&w, "keep:5 ");
        say(&w, 5, 9);
        assert_int_equal(l.kept, i);
    }
    oak_client_lease_leave(l.lease);
    pass(&w, 20 * SECOND);
    asked(&w, "");
    assert_int_equal(l.lost, 0);
    world_close(&w);
}

static void what_the_server_has_not_is_lost(void **state)
{
    (void)state;
    struct world w;
    struct lease a;
    struct lease b;
    world_open(&w, NULL);
    keep(&w, 5, &a);
    keep(&w, 6, &b);
    run(&w);
    asked(&w, "keep:5 keep:6 ");
    say(&w, 5, 0);
    say(&w, 6, 9);
    assert_int_equal(a.lost, 1);
    assert_int_equal(a.error, OAK_ELEASENOTFOUND);
    assert_int_equal(b.kept, 1);
    pass(&w, 4 * SECOND);
    asked(&w, "keep:6 ");
    world_close(&w);
}

/* Its time is counted from the asking that was answered: never longer than the server's. */
static void without_an_answer_for_its_time_it_is_lost(void **state)
{
    (void)state;
    struct world w;
    struct lease l;
    world_open(&w, NULL);
    keep(&w, 5, &l);
    run(&w);
    pass(&w, SECOND); /* the answer takes a second: it does not count */
    say(&w, 5, 9);
    pass(&w, 8 * SECOND - SECOND / 10);
    assert_int_equal(l.lost, 0);
    pass(&w, SECOND / 5);
    assert_int_equal(l.lost, 1);
    assert_int_equal(l.error, OAK_EDEADLINE);
    asked(&w, "keep:5 keep:5 "); /* and it is not asked for again while one is unanswered */
    world_close(&w);
}

static void a_stream_that_breaks_is_opened_again_for_all(void **state)
{
    (void)state;
    struct world w;
    struct lease a;
    struct lease b;
    world_open(&w, NULL);
    keep(&w, 5, &a);
    keep(&w, 6, &b);
    run(&w);
    say(&w, 5, 9);
    say(&w, 6, 9);
    w.heard[0] = '\0';
    cut(&w);
    pass(&w, SECOND);
    asked(&w, "keep:5 keep:6 ");
    say(&w, 5, 9);
    assert_int_equal(a.kept, 2);
    w.loop.connect_error = OAK_EREFUSED;
    cut(&w);
    pass(&w, 10 * SECOND); /* nobody there */
    assert_int_equal(a.lost, 1);
    assert_int_equal(b.lost, 1);
    world_close(&w);
}

static void one_that_is_not_allowed_is_lost(void **state)
{
    (void)state;
    struct world w;
    struct lease l;
    world_open(&w, NULL);
    keep(&w, 5, &l);
    run(&w);
    oak_stub_finish(w.keep, OAK_RPC_PERMISSION_DENIED, "etcdserver: permission denied");
    run(&w);
    assert_int_equal(l.lost, 1);
    assert_int_equal(l.error, OAK_EPERMISSIONDENIED);
    assert_int_equal(oak_client_keep(w.client, 0, 9, &callbacks, &l, &l.lease), OAK_EINVAL);
    assert_int_equal(oak_client_keep(w.client, 5, 0, &callbacks, &l, &l.lease), OAK_EINVAL);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_asked_for_three_times_in_its_time),
        cmocka_unit_test(what_the_server_has_not_is_lost),
        cmocka_unit_test(without_an_answer_for_its_time_it_is_lost),
        cmocka_unit_test(a_stream_that_breaks_is_opened_again_for_all),
        cmocka_unit_test(one_that_is_not_allowed_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
