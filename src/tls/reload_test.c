/* SPDX-License-Identifier: Apache-2.0 */
/* reload_test.c: new certificates while connections live. */
#include "tls/test_world.h"

/* The server's next certificate has this name. */
static void server_becomes(struct world *w, const char *common_name)
{
    struct cert_pair p = cert_pair_new(&(struct cert_wanted){
        .common_name = common_name, .names = "DNS:localhost", .issuer = &w->ca});
    struct oak_tls_material m = w->server_options.material;
    struct oak_errbuf e = {0};
    m.certificate.bytes = world_cert(w, &p);
    m.key.bytes = world_key(w, &p);
    assert_int_equal(oak_tls_replace(w->server_tls, &m, &e), 0);
    cert_pair_free(&p);
}

static const char *server_is(const struct end *c)
{
    return c->stream->ops->identity(c->stream)->common_name;
}

static void connect_end(struct world *w, struct end *c)
{
    const struct oak_net *net = oak_tls_net_port(w->client_net);
    assert_int_equal(net->connect(net->user, "localhost:443", SECOND, end_connected, c), 0);
    fake_run(&w->loop);
    assert_int_equal(c->opened, 1);
}

static void old_connections_live_on_and_new_ones_see_the_new(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_connect(&w, "localhost:443");
    world_converse(&w);
    assert_string_equal(server_is(&w.c), "server");
    struct end old_server = w.s; /* the next `accepted` takes the place in the world */
    w.s = (struct end){0};
    end_handle(&old_server);
    server_becomes(&w, "second");
    struct end later = {0};
    connect_end(&w, &later);
    assert_string_equal(server_is(&later), "second");
    /* The old connection keeps what it was made by, and works. */
    assert_string_equal(server_is(&w.c), "server");
    assert_int_equal(end_say(&w.c, " again"), 0);
    fake_run(&w.loop);
    assert_got(&old_server, "ping again");
    assert_int_equal(old_server.closed, 0);
    end_close(&later, true);
    fake_run(&w.loop);
    end_close(&old_server, true);
    fake_run(&w.loop);
    oak_buf_fini(&old_server.got);
    world_close(&w);
}

static void a_handshake_under_way_ends_as_it_began(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    w.loop.piece = 20;
    world_connect_start(&w, "localhost:443");
    for (int i = 0; i < 4; i++) {
        fake_round(&w.loop); /* the hello is not yet whole */
    }
    server_becomes(&w, "second");
    fake_run(&w.loop);
    world_converse(&w);
    assert_string_equal(server_is(&w.c), "server");
    world_close(&w);
}

static void a_client_that_was_trusted_no_longer_is(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
    world_open(&w);
    connect_end(&w, &w.c);
    world_converse(&w);
    X509_CRL *crl = crl_new(&w.ca, 77, 86400);
    struct oak_tls_material m = w.server_options.material;
    struct oak_errbuf e = {0};
    pem_crl(&w.pem[w.pem_count], crl);
    m.crl.bytes = oak_buf_bytes(&w.pem[w.pem_count++]);
    assert_int_equal(oak_tls_replace(w.server_tls, &m, &e), 0);
    struct end later = {.calling = false};
    const struct oak_net *net = oak_tls_net_port(w.client_net);
    assert_int_equal(net->connect(net->user, "localhost:443", SECOND, end_connected, &later), 0);
    fake_run(&w.loop);
    assert_int_equal(w.s.opened, 1);
    assert_non_null(strstr(w.s.report, "certificate revoked"));
    assert_int_equal(later.closed, later.opened);
    assert_int_equal(w.c.closed, 0);
    X509_CRL_free(crl);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_connections_live_on_and_new_ones_see_the_new),
        cmocka_unit_test(a_handshake_under_way_ends_as_it_began),
        cmocka_unit_test(a_client_that_was_trusted_no_longer_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
