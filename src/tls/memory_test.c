/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: allocations of a conversation fail, one at a time, ours and OpenSSL's: credentials
 * are refused or a connection ends, nothing crashes, every end is told of once, and all that is
 * ours is given back. */
#include "rpc/test_memory.h"

#define FAKE_HOLD    memory_hold
#define FAKE_RELEASE memory_release
#include "tls/test_world.h"

static size_t came;

static void count_data(void *user, struct oak_bytes bytes)
{
    struct end *e = user;
    OAK_ASSERT_EQ(e->closed, 0);
    came += bytes.size;
    if (e->stream != NULL) {
        e->stream->ops->pause(e->stream, true);
        e->stream->ops->pause(e->stream, false);
    }
}

static void count_open(struct end *e, struct oak_stream *s)
{
    const struct oak_stream_handler handler = {
        .data = count_data, .drained = end_drained, .closed = end_closed, .user = e};
    e->stream = s;
    e->opened++;
    s->ops->handle(s, &handler);
}

static void count_accepted(void *arg, struct oak_stream *s)
{
    count_open(arg, s);
}

static void count_connected(void *arg, int error, struct oak_stream *s)
{
    struct end *e = arg;
    OAK_ASSERT(e->error == 0);
    e->error = error;
    if (error == 0) {
        count_open(e, s);
    }
}

static void say(struct end *e)
{
    static const uint8_t bytes[20000];
    if (e->stream != NULL) {
        int error = e->stream->ops->write(e->stream, oak_bytes(bytes, sizeof(bytes)));
        OAK_MAYBE(error != 0);
    }
}

static void conversation(struct world *w, const struct oak_net *net)
{
    fake_run(&w->loop);
    say(&w->c);
    say(&w->s);
    fake_run(&w->loop);
    end_close(&w->c, false);
    fake_run(&w->loop);
    end_close(&w->s, true);
    fake_run(&w->loop);
    OAK_ASSERT(w->s.closed == w->s.opened);
    OAK_ASSERT(w->c.closed == w->c.opened);
    OAK_ASSERT(w->loop.connect_done == NULL);
    net->listener_close(net->user, w->listener);
}

/* Two networks, a connect, a word each way. */
static void networks(struct world *w)
{
    const struct oak_loop *loop = &w->loop.port;
    bool made = oak_tls_net_new(w->server_tls, loop, NULL, NULL, &w->server_net) == 0 &&
                oak_tls_net_new(w->client_tls, loop, NULL, NULL, &w->client_net) == 0;
    if (made) {
        const struct oak_net *s = oak_tls_net_port(w->server_net);
        const struct oak_net *c = oak_tls_net_port(w->client_net);
        int error = s->listen(s->user, "fake:443", count_accepted, &w->s, &w->listener, NULL);
        if (error == 0 &&
            c->connect(c->user, "localhost:443", SECOND, count_connected, &w->c) == 0) {
            conversation(w, s);
        } else if (error == 0) {
            s->listener_close(s->user, w->listener);
        }
    }
    oak_tls_net_free(w->server_net);
    oak_tls_net_free(w->client_net);
    w->server_net = w->client_net = NULL;
}

static void all_of_it(struct world *w)
{
    struct oak_errbuf e = {0};
    bool changed = false;
    int error = oak_tls_new(&w->server_options, &w->server_tls, &e);
    if (error == 0) {
        error = oak_tls_new(&w->client_options, &w->client_tls, &e);
    }
    if (error == 0) {
        networks(w);
        error = oak_tls_reload(w->server_tls, &e);
        if (error == 0) {
            error = oak_tls_reload_if_changed(w->server_tls, &changed, &e);
        }
    }
    OAK_MAYBE(error != 0);
    oak_tls_free(w->server_tls);
    oak_tls_free(w->client_tls);
    w->server_tls = w->client_tls = NULL;
}

static void run(struct world *w)
{
    w->s = (struct end){0};
    w->c = (struct end){0};
    came = 0;
    all_of_it(w);
}

static void streams_forget(struct fake_loop *loop)
{
    for (size_t i = 0; i < loop->stream_count; i++) {
        assert_true(loop->streams[i]->gone || !loop->streams[i]->handled);
        oak_buf_fini(&loop->streams[i]->queue);
        free(loop->streams[i]);
    }
    loop->stream_count = 0;
    assert_true(oak_list_empty(&loop->timers));
    assert_true(oak_list_empty(&loop->hooks));
}

/* Every `step`th allocation fails, one in each run. How many there are. */
static long fail_each(bool ours, long step)
{
    struct world w;
    world_init(&w);
    w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
    run(&w); /* OpenSSL has fetched what it keeps */
    streams_forget(&w.loop);
    assert_int_equal(came, 40000);
    ours_only = ours;
    long count = 0;
    for (bool failed = true; failed && memory_begin(count);) {
        run(&w);
        failed = memory_end();
        streams_forget(&w.loop);
        count += failed ? step : 0;
    }
    assert_int_equal(came, 40000);
    world_close(&w);
    return count;
}

static void each_allocation_of_ours_may_fail(void **state)
{
    (void)state;
    long count = fail_each(true, 1);
    assert_true(count > 30 || !MEMORY_COUNTS);
}

/* There are some 32000, nearly all in the loading of keys: a share of them. All of them, one after
 * the other, take three minutes. */
static void openssls_allocations_may_fail(void **state)
{
    (void)state;
    long count = fail_each(false, 37);
    assert_true(count > 5000 || !MEMORY_COUNTS);
}

static void a_certificate_of_our_own_may_find_no_memory(void **state)
{
    (void)state;
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    struct oak_tls_self_signed made;
    assert_int_equal(oak_tls_self_sign(hosts, 2, 1000, &made), 0); /* OpenSSL keeps some */
    oak_tls_self_signed_fini(&made);
    ours_only = false;
    long count = 0;
    for (bool failed = true; failed && memory_begin(count);) {
        int error = oak_tls_self_sign(hosts, 2, 1000, &made);
        bool whole = error == OAK_ENOMEM ? made.key == NULL && made.certificate == NULL
                                         : error == 0 && made.key != NULL;
        oak_tls_self_signed_fini(&made);
        failed = memory_end();
        assert_true(whole);
        count += failed ? 1 : 0;
    }
    assert_true(count > 100 || !MEMORY_COUNTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_of_ours_may_fail),
        cmocka_unit_test(openssls_allocations_may_fail),
        cmocka_unit_test(a_certificate_of_our_own_may_find_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
