/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_test.c: a program's view: everything by the public headers, over real sockets. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "oakum/channel.h"
#include "oakum/runtime.h"
#include "tls/test_certs.h"

#define SECOND OAK_RUNTIME_SECOND_NS

struct world {
    struct oak_runtime *rt;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *sub;
    struct oak_runtime_listener *listener;
    struct oak_rpc_call *held; /* a call that the server has not answered */
    int served;
    int closed;
    enum oak_rpc_code code;
    char order[16];
};

static void note(struct world *w, char c)
{
    size_t size = strlen(w->order);
    assert_true(size + 1 < sizeof(w->order));
    w->order[size] = c;
}

/* -- a service that answers when it is told to ------------------------------------------------- */

static void server_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct world *w = user;
    w->served++;
    if (bytes.size == 0) {
        assert_int_equal(oak_rpc_call_send(call, bytes), 0);
        oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
        return;
    }
    w->held = call;
    if (bytes.size == 2) {
        oak_runtime_drain(w->rt, 60 * SECOND);
    } else if (bytes.size == 3) {
        oak_runtime_drain(w->rt, SECOND / 100);
    } else if (bytes.size == 4) {
        raise(SIGTERM);
    }
}

static void server_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *s)
{
    (void)s;
    struct world *w = user;
    if (w->held == call) {
        w->held = NULL;
    }
}

static void server_start(void *user, struct oak_rpc_call *call)
{
    static const struct oak_rpc_handler handler = {.message = server_message,
                                                   .closed = server_closed};
    oak_rpc_call_handle(call, &handler, user);
}

static void client_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    (void)call;
    (void)bytes;
}

static void client_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *s)
{
    (void)call;
    struct world *w = user;
    w->closed++;
    w->code = s->code;
}

static void client_closed_stop(void *user, struct oak_rpc_call *call,
                               const struct oak_rpc_status *s)
{
    client_closed(user, call, s);
    oak_runtime_stop(((struct world *)user)->rt);
}

static void ask(struct world *w, size_t size, bool stop)
{
    static const struct oak_rpc_handler on = {.message = client_message, .closed = client_closed};
    static const struct oak_rpc_handler stopping = {.message = client_message,
                                                    .closed = client_closed_stop};
    const struct oak_rpc_request request = {.service = "t.S",
                                            .method = "M",
                                            .timeout_ns = 60 * SECOND,
                                            .handler = stop ? &stopping : &on,
                                            .user = w};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(w->sub, &request, &call), 0);
    assert_int_equal(oak_rpc_call_send(call, oak_bytes("1234", size)), 0);
    oak_rpc_call_half_close(call);
}

static void world_open(struct world *w)
{
    *w = (struct world){0};
    assert_int_equal(oak_runtime_new(&w->rt), 0);
    assert_int_equal(oak_rpc_server_new(oak_runtime_loop(w->rt), NULL, &w->server), 0);
    const struct oak_rpc_method m = {
        .service = "t.S", .name = "M", .kind = OAK_RPC_UNARY, .start = server_start, .user = w};
    assert_int_equal(oak_rpc_server_add(w->server, &m), 0);
}

static void world_listen(struct world *w, struct oak_tls *server, struct oak_tls *client)
{
    struct oak_errbuf e = {0};
    assert_int_equal(oak_runtime_listen(w->rt, w->server, "127.0.0.1:0", server, &w->listener, &e),
                     0);
    struct oak_rpc_subchannel_options o = {0};
    if (client != NULL) {
        assert_int_equal(oak_runtime_tls_net(w->rt, client, NULL, &o.net), 0);
    }
    assert_int_equal(oak_rpc_subchannel_new(oak_runtime_loop(w->rt),
                                            oak_runtime_listener_name(w->listener), &o, &w->sub),
                     0);
}

static void world_close(struct world *w)
{
    oak_rpc_subchannel_free(w->sub);
    oak_runtime_close(w->rt);
    oak_rpc_server_free(w->server);
    oak_runtime_free(w->rt);
}

/* -- work and time ----------------------------------------------------------------------------- */

static void work_a(void *user)
{
    note(user, 'a');
}

static void work_b(void *user)
{
    note(user, 'b');
}

static void work_c(void *user)
{
    note(user, 'c');
}

static void work_stop(void *user)
{
    oak_runtime_stop(((struct world *)user)->rt);
}

static void *other_thread(void *arg)
{
    struct world *w = arg;
    assert_int_equal(oak_runtime_post(w->rt, work_a, w), 0);
    assert_int_equal(oak_runtime_post(w->rt, work_b, w), 0);
    assert_int_equal(oak_runtime_post(w->rt, work_c, w), 0);
    oak_runtime_stop(w->rt);
    return NULL;
}

static void work_comes_in_order_and_from_other_threads(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &w), 0);
    oak_runtime_run(w.rt);
    pthread_join(thread, NULL);
    oak_runtime_close(w.rt); /* runs what the stop came before */
    assert_string_equal(w.order, "abc");
    assert_int_equal(oak_runtime_post(w.rt, work_a, &w), 0);
    oak_runtime_close(w.rt);
    oak_rpc_server_free(w.server);
    oak_runtime_free(w.rt);
    assert_string_equal(w.order, "abca");
    oak_runtime_free(NULL);
}

static void timers_fire_in_their_order_unless_cancelled(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct oak_runtime_timer *b;
    uint64_t before = oak_runtime_now_ns(w.rt);
    assert_int_equal(oak_runtime_after(w.rt, 3000 * 1000, work_stop, &w, NULL), 0);
    assert_int_equal(oak_runtime_after(w.rt, 2000 * 1000, work_c, &w, NULL), 0);
    assert_int_equal(oak_runtime_after(w.rt, 1000 * 1000, work_b, &w, &b), 0);
    assert_int_equal(oak_runtime_after(w.rt, 0, work_a, &w, NULL), 0);
    assert_int_equal(oak_runtime_after(w.rt, UINT64_MAX, work_b, &w, NULL), 0); /* freed with it */
    oak_runtime_cancel(b);
    assert_string_equal(w.order, "");
    oak_runtime_run(w.rt);
    assert_string_equal(w.order, "ac");
    assert_true(oak_runtime_now_ns(w.rt) - before >= 3000 * 1000);
    world_close(&w);
}

/* -- servers ----------------------------------------------------------------------------------- */

static void an_address_that_can_not_be_had_is_named(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_listen(&w, NULL, NULL);
    struct oak_errbuf e = {0};
    struct oak_runtime_listener *again = NULL;
    const char *name = oak_runtime_listener_name(w.listener);
    assert_int_equal(oak_runtime_listen(w.rt, w.server, name, NULL, &again, &e), OAK_EINUSE);
    assert_non_null(strstr(e.text, name));
    assert_int_equal(oak_runtime_listen(w.rt, w.server, "nonsense", NULL, &again, &e), OAK_EINVAL);
    assert_null(again);
    world_close(&w);
}

static void a_call_goes_there_and_back(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_listen(&w, NULL, NULL);
    ask(&w, 0, true);
    oak_runtime_run(w.rt);
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.code, OAK_RPC_OK);
    /* Once the listener is closed, the connection goes on. */
    oak_runtime_listener_close(w.listener);
    ask(&w, 0, true);
    oak_runtime_run(w.rt);
    assert_int_equal(w.code, OAK_RPC_OK);
    assert_int_equal(w.served, 2);
    world_close(&w);
}

static void everything_may_be_open_when_it_is_freed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_listen(&w, NULL, NULL);
    ask(&w, 1, false);
    ask(&w, 0, true);
    oak_runtime_run(w.rt);
    assert_non_null(w.held);
    world_close(&w);
    assert_null(w.held);
    assert_int_equal(w.closed, 2);
    assert_int_equal(w.code, OAK_RPC_CANCELLED);
    world_open(&w); /* and what is only connecting */
    world_listen(&w, NULL, NULL);
    ask(&w, 1, false);
    world_close(&w);
    assert_int_equal(w.closed, 1);
}

static void answer_held(void *user)
{
    struct world *w = user;
    if (w->held == NULL) { /* it has not come yet */
        assert_int_equal(oak_runtime_after(w->rt, SECOND / 100, answer_held, w, NULL), 0);
        return;
    }
    assert_int_equal(oak_rpc_call_send(w->held, oak_bytes(NULL, 0)), 0);
    oak_rpc_call_finish(w->held, OAK_RPC_OK, NULL);
}

static void a_drain_waits_for_the_calls(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 4}; /* told by itself, and by a signal */
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        struct world w;
        world_open(&w);
        world_listen(&w, NULL, NULL);
        assert_int_equal(oak_runtime_drain_on_signal(w.rt, 60 * SECOND), 0);
        ask(&w, sizes[i], false);
        assert_int_equal(oak_runtime_after(w.rt, SECOND / 20, answer_held, &w, NULL), 0);
        oak_runtime_run(w.rt);
        assert_int_equal(w.served, 1);
        assert_int_equal(oak_rpc_server_connections(w.server), 0);
        assert_int_equal(w.closed, 1);
        assert_int_equal(w.code, OAK_RPC_OK);
        assert_int_equal(oak_runtime_on_signal(w.rt, NULL, NULL), 0);
        world_close(&w);
    }
}

static void a_drain_has_an_end(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    world_listen(&w, NULL, NULL);
    ask(&w, 3, false);
    oak_runtime_run(w.rt);
    assert_int_equal(oak_rpc_server_connections(w.server), 0);
    assert_null(w.held);
    world_close(&w);
    assert_int_equal(w.closed, 1);
    assert_int_not_equal(w.code, OAK_RPC_OK);
    world_open(&w); /* with nothing to wait for it ends at once, and only once */
    oak_runtime_drain(w.rt, 60 * SECOND);
    oak_runtime_drain(w.rt, 60 * SECOND);
    oak_runtime_run(w.rt);
    world_close(&w);
}

/* -- TLS --------------------------------------------------------------------------------------- */

struct files {
    char dir[64];
    char cert[96];
    char key[96];
    struct cert_pair ca;
    struct oak_buf ca_pem;
    struct oak_tls *server;
    struct oak_tls *client;
};

static void file_write(const char *path, struct oak_buf *b)
{
    char fresh[128];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *f = fopen(fresh, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, b->size, f), b->size);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
    oak_buf_fini(b);
}

static void pair_write(struct files *f, bool only_certificate)
{
    struct oak_buf b = {0};
    struct cert_pair p = cert_pair_new(
        &(struct cert_wanted){.common_name = "server", .names = "IP:127.0.0.1", .issuer = &f->ca});
    pem_cert(&b, &p);
    file_write(f->cert, &b);
    if (!only_certificate) {
        pem_key(&b, &p);
        file_write(f->key, &b);
    }
    cert_pair_free(&p);
}

static void files_open(struct files *f)
{
    *f = (struct files){0};
    snprintf(f->dir, sizeof(f->dir), "/tmp/oak-runtime-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->cert, sizeof(f->cert), "%s/crt", f->dir);
    snprintf(f->key, sizeof(f->key), "%s/key", f->dir);
    f->ca = cert_pair_new(&(struct cert_wanted){.common_name = "ca", .ca = true});
    pem_cert(&f->ca_pem, &f->ca);
    pair_write(f, false);
    struct oak_tls_options o = {
        .role = OAK_TLS_SERVER,
        .material = {.certificate.file = f->cert, .key.file = f->key},
    };
    struct oak_errbuf e = {0};
    assert_int_equal(oak_tls_new(&o, &f->server, &e), 0);
    o = (struct oak_tls_options){.material.ca.bytes = oak_buf_bytes(&f->ca_pem)};
    assert_int_equal(oak_tls_new(&o, &f->client, &e), 0);
}

static void files_close(struct files *f)
{
    oak_tls_free(f->server);
    oak_tls_free(f->client);
    unlink(f->cert);
    unlink(f->key);
    assert_int_equal(rmdir(f->dir), 0);
    cert_pair_free(&f->ca);
    oak_buf_fini(&f->ca_pem);
}

static void a_call_goes_over_tls(void **state)
{
    (void)state;
    struct world w;
    struct files f;
    files_open(&f);
    world_open(&w);
    world_listen(&w, f.server, f.client);
    ask(&w, 0, true);
    oak_runtime_run(w.rt);
    assert_int_equal(w.code, OAK_RPC_OK);
    ask(&w, 2, false);
    assert_int_equal(oak_runtime_after(w.rt, SECOND / 20, answer_held, &w, NULL), 0);
    oak_runtime_run(w.rt);
    assert_int_equal(w.closed, 2);
    assert_int_equal(w.code, OAK_RPC_OK);
    world_close(&w);
    world_open(&w); /* open, connecting and in its handshake when it is freed */
    world_listen(&w, f.server, f.client);
    ask(&w, 1, false);
    world_close(&w);
    world_open(&w);
    struct oak_errbuf e = {0};
    assert_int_equal(oak_runtime_listen(w.rt, w.server, "127.0.0.1:0", f.client, NULL, &e),
                     OAK_EINVAL);
    world_close(&w);
    files_close(&f);
}

static void a_channel_proves_its_server_by_the_name_it_looked_up(void **state)
{
    (void)state;
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    for (size_t i = 0; i < OAK_COUNT_OF(hosts); i++) {
        struct world w;
        struct files f;
        files_open(&f); /* good for the address, not for the name */
        world_open(&w);
        world_listen(&w, f.server, f.client);
        struct oak_channel_options o = {0};
        assert_int_equal(oak_runtime_tls_net(w.rt, f.client, NULL, &o.net), 0);
        const char *port = strrchr(oak_runtime_listener_name(w.listener), ':');
        char target[64];
        snprintf(target, sizeof(target), "dns:///%s%s", hosts[i], port);
        struct oak_channel *channel;
        struct oak_errbuf e = {0};
        assert_int_equal(oak_channel_new(oak_runtime_loop(w.rt), target, &o, &channel, &e), 0);
        static const struct oak_rpc_handler handler = {.message = client_message,
                                                       .closed = client_closed_stop};
        const struct oak_rpc_request request = {.service = "t.S",
                                                .method = "M",
                                                .timeout_ns = 60 * SECOND,
                                                .handler = &handler,
                                                .user = &w};
        struct oak_rpc_call *call;
        assert_int_equal(oak_channel_call(channel, &request, &call), 0);
        assert_int_equal(oak_rpc_call_send(call, oak_bytes(NULL, 0)), 0);
        oak_rpc_call_half_close(call);
        oak_runtime_run(w.rt);
        assert_int_equal(w.code, i == 0 ? OAK_RPC_UNAVAILABLE : OAK_RPC_OK);
        oak_channel_free(channel);
        world_close(&w);
        files_close(&f);
    }
}

struct watched {
    struct world w;
    struct files f;
    int told;
    int errors;
};

static void watched_told(void *user, int error, const char *text)
{
    struct watched *t = user;
    t->told++;
    assert_int_equal(error != 0, text[0] != '\0');
    if (error != 0) {
        t->errors++;
        assert_non_null(strstr(text, t->f.key));
        pair_write(&t->f, false);
    } else {
        oak_runtime_stop(t->w.rt);
    }
}

static void files_that_change_are_loaded(void **state)
{
    (void)state;
    struct watched t = {0};
    files_open(&t.f);
    world_open(&t.w);
    assert_int_equal(oak_runtime_tls_watch(t.w.rt, t.f.server, 1000 * 1000, watched_told, &t), 0);
    pair_write(&t.f, false);
    oak_runtime_run(t.w.rt);
    assert_int_equal(t.told, 1 + t.errors); /* it may have looked between the two files */
    pair_write(&t.f, true); /* a certificate without its key: told, and mended by who is told */
    t.told = t.errors = 0;
    oak_runtime_run(t.w.rt);
    assert_true(t.errors >= 1);
    assert_int_equal(t.told, 1 + t.errors);
    struct oak_tls_counts counts;
    oak_tls_counts(t.f.server, &counts);
    assert_int_equal(counts.reloads, 2);
    oak_tls_free(t.f.server); /* the watch still has it */
    t.f.server = NULL;
    assert_int_equal(oak_runtime_after(t.w.rt, SECOND / 100, work_stop, &t.w, NULL), 0);
    oak_runtime_run(t.w.rt);
    world_close(&t.w);
    files_close(&t.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_comes_in_order_and_from_other_threads),
        cmocka_unit_test(timers_fire_in_their_order_unless_cancelled),
        cmocka_unit_test(an_address_that_can_not_be_had_is_named),
        cmocka_unit_test(a_call_goes_there_and_back),
        cmocka_unit_test(everything_may_be_open_when_it_is_freed),
        cmocka_unit_test(a_drain_waits_for_the_calls),
        cmocka_unit_test(a_drain_has_an_end),
        cmocka_unit_test(a_call_goes_over_tls),
        cmocka_unit_test(a_channel_proves_its_server_by_the_name_it_looked_up),
        cmocka_unit_test(files_that_change_are_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
