/* SPDX-License-Identifier: Apache-2.0 */
/* handshake_test.c: who is let in, by whom, and what the other one is told. */
#include "tls/test_verdict.h"

/* -- servers ----------------------------------------------------------------------------------- */

static void two_ends_talk_in_both_versions(void **state)
{
    (void)state;
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t i = 0; i < OAK_COUNT_OF(versions); i++) {
        for (size_t piece = 1; piece < 100; piece += 49) {
            struct world w;
            world_init(&w);
            w.loop.piece = piece;
            w.client_options.version_min = versions[i];
            w.server_options.version_max = versions[i];
            accepts(&w, "localhost:443");
        }
    }
}

static void versions_that_do_not_meet_are_told(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.client_options.version_min = OAK_TLS_VERSION_1_3;
    w.server_options.version_max = OAK_TLS_VERSION_1_2;
    client_refuses(&w, "localhost:443", "alert protocol version");
}

static void a_server_must_be_good_for_the_name_that_was_connected_to(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost:443", "localhost.:443", "127.0.0.1:443",
                                       "[::1]:443",     "[::1%eth0]:443", "a.example.test:443",
                                       "unix:/run/x"};
    static const char *const bad[] = {"other:443",        "127.0.0.2:443",        "[::2]:443",
                                      "example.test:443", "a.b.example.test:443", "server:443"};
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        struct world w;
        world_init(&w);
        accepts(&w, good[i]);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct world w;
        world_init(&w);
        client_refuses(&w, bad[i], "not good for the name");
    }
}

static void a_common_name_is_no_name_of_a_server(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair p =
        cert_pair_new(&(struct cert_wanted){.common_name = "plain.test", .issuer = &w.ca});
    w.server_options.material.certificate.bytes = world_cert(&w, &p);
    w.server_options.material.key.bytes = world_key(&w, &p);
    client_refuses(&w, "plain.test:443", "not good for the name");
    cert_pair_free(&p);
}

static void the_name_may_be_another_than_the_address(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.client_options.server_name = "localhost";
    accepts(&w, "10.0.0.1:443");
    world_init(&w);
    w.client_options.server_name = "elsewhere";
    client_refuses(&w, "localhost:443", "not good for the name");
}

static void the_name_of_the_network_goes_first(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.client_options.server_name = "elsewhere";
    world_open(&w);
    oak_tls_net_free(w.client_net);
    assert_int_equal(oak_tls_net_new(w.client_tls, &w.loop.port, NULL, "", &w.client_net),
                     OAK_EINVAL);
    assert_int_equal(oak_tls_net_new(w.server_tls, &w.loop.port, NULL, "localhost", &w.client_net),
                     OAK_EINVAL);
    assert_int_equal(oak_tls_net_new(w.client_tls, &w.loop.port, NULL, "localhost", &w.client_net),
                     0);
    world_connect(&w, "10.0.0.1:443");
    world_converse(&w);
    world_close(&w);
}

static void resolved(void *arg, int error, const char *const *addresses, size_t count)
{
    const char **out = arg;
    assert_int_equal(error, 0);
    assert_int_equal(count, 1);
    *out = addresses[0];
}

static void the_name_that_was_looked_up_is_the_servers(void **state)
{
    (void)state;
    static const struct {
        bool below; /* the network below knows names */
        const char *name;
        bool good;
    } cases[] = {{true, "localhost:443", true},
                 {false, "localhost:443", true},
                 {true, "other:443", false},
                 {false, "other:443", false}};
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w);
        w.loop.port.net.connect_as = cases[i].below ? fake_connect_as : NULL;
        w.loop.port.net.resolve = cases[i].below ? fake_resolve : NULL;
        world_open(&w);
        const struct oak_net *net = oak_tls_net_port(w.client_net);
        /* An address that the certificate is good for does not help. */
        assert_int_equal(
            net->connect_as(net->user, "127.0.0.1:443", cases[i].name, SECOND, end_connected, &w.c),
            0);
        fake_run(&w.loop);
        assert_int_equal(w.c.opened, cases[i].good);
        assert_int_equal(w.c.error, cases[i].good ? 0 : OAK_ETLS);
        assert_ptr_equal(w.loop.looked_up, cases[i].below ? cases[i].name : NULL);
        assert_int_equal(net->resolve != NULL, cases[i].below);
        const char *address = NULL;
        if (cases[i].below) {
            assert_int_equal(net->resolve(net->user, "x:1", SECOND, resolved, &address), 0);
            assert_string_equal(address, "x:1");
        }
        world_close(&w);
    }
}

static void an_address_without_a_host_is_not_connected_to(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    const struct oak_net *net = oak_tls_net_port(w.client_net);
    static const char *const bad[] = {":443", "localhost", "", "bad:bad", "[]:443"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(net->connect(net->user, bad[i], SECOND, end_connected, &w.c), OAK_EINVAL);
    }
    /* And each end can do its own thing only. */
    struct oak_listener *listener;
    struct oak_errbuf e;
    assert_int_equal(net->listen(net->user, "fake:1", end_accepted, &w.s, &listener, &e),
                     OAK_EINVAL);
    net = oak_tls_net_port(w.server_net);
    assert_int_equal(net->connect(net->user, "localhost:443", SECOND, end_connected, &w.c),
                     OAK_EINVAL);
    assert_int_equal(net->listen(net->user, "taken", end_accepted, &w.s, &listener, &e),
                     OAK_EINUSE);
    world_close(&w);
}

static void a_server_of_an_unknown_ca_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair other =
        cert_pair_new(&(struct cert_wanted){.common_name = "other", .ca = true});
    w.client_options.material.ca.bytes = world_cert(&w, &other);
    client_refuses(&w, "localhost:443", "unknown CA");
    cert_pair_free(&other);
}

static void a_server_is_judged_by_the_loops_clock(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.loop.wall_ns += 2 * 86400 * SECOND;
    client_refuses(&w, "localhost:443", "certificate has expired");
    world_init(&w);
    w.loop.wall_ns -= 2 * 86400 * SECOND;
    client_refuses(&w, "localhost:443", "certificate is not yet valid");
}

static void a_clients_certificate_is_none_for_a_server(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct oak_tls_material *m = &w.server_options.material;
    m->certificate = w.client_options.material.certificate;
    m->key = w.client_options.material.key;
    client_refuses(&w, "client.example.test:443", "certificate purpose");
}

static void a_client_that_asks_for_it_takes_any_server_and_is_warned(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair other = cert_pair_new(&(struct cert_wanted){.common_name = "ca", .ca = true});
    w.client_options.material.ca.bytes = world_cert(&w, &other);
    w.client_options.insecure_skip_verify = true;
    world_open(&w);
    world_connect(&w, "other:443");
    world_converse(&w);
    assert_int_equal(w.c.reports, 1);
    assert_int_equal(w.c.report_error, 0);
    assert_non_null(strstr(w.c.report, "not verified"));
    assert_null(w.c.stream->ops->identity(w.c.stream)); /* nothing was proved */
    world_close(&w);
    cert_pair_free(&other);
}

/* -- clients ----------------------------------------------------------------------------------- */

static void a_server_that_asks_for_none_knows_nobody(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_connect(&w, "localhost:443");
    world_converse(&w);
    assert_null(w.s.stream->ops->identity(w.s.stream));
    const struct oak_identity *server = w.c.stream->ops->identity(w.c.stream);
    assert_non_null(server);
    assert_string_equal(server->common_name, "server");
    assert_int_equal(server->dns_name_count, 2);
    assert_string_equal(server->dns_names[0], "localhost");
    assert_int_equal(server->uri_count, 0);
    world_close(&w);
}

static void a_client_is_known_by_its_certificate(void **state)
{
    (void)state;
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t i = 0; i < OAK_COUNT_OF(versions); i++) {
        struct world w;
        world_init(&w);
        w.server_options.version_max = versions[i];
        w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
        world_open(&w);
        world_connect(&w, "localhost:443");
        world_converse(&w);
        const struct oak_identity *client = w.s.stream->ops->identity(w.s.stream);
        assert_non_null(client);
        assert_string_equal(client->common_name, "client");
        assert_int_equal(client->dns_name_count, 2);
        assert_string_equal(client->dns_names[0], "client.example.test");
        assert_string_equal(client->dns_names[1], "second.example.test");
        assert_int_equal(client->uri_count, 1);
        assert_string_equal(client->uris[0], "spiffe://example.test/client");
        unsigned char *der = NULL;
        int size = i2d_X509(w.client.cert, &der);
        assert_true(oak_bytes_eq(client->certificate, oak_bytes(der, (size_t)size)));
        OPENSSL_free(der);
        world_close(&w);
    }
}

static void no_certificate(struct world *w)
{
    w->client_options.material.certificate.bytes = oak_bytes(NULL, 0);
    w->client_options.material.key.bytes = oak_bytes(NULL, 0);
}

static void a_client_without_a_certificate_is_refused_where_one_is_required(void **state)
{
    (void)state;
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t i = 0; i < OAK_COUNT_OF(versions); i++) {
        struct world w;
        world_init(&w);
        no_certificate(&w);
        w.server_options.version_max = versions[i];
        w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
        server_refuses(&w, "did not return a certificate");
    }
    struct world w;
    world_init(&w);
    no_certificate(&w);
    w.server_options.client_certificate = OAK_TLS_CLIENT_IF_GIVEN;
    accepts(&w, "localhost:443");
}

static void client_of(struct world *w, const struct cert_pair *p)
{
    w->client_options.material.certificate.bytes = world_cert(w, p);
    w->client_options.material.key.bytes = world_key(w, p);
}

static void a_client_of_an_unknown_ca_is_refused_even_where_none_is_required(void **state)
{
    (void)state;
    struct cert_pair ca = cert_pair_new(&(struct cert_wanted){.common_name = "other", .ca = true});
    struct cert_pair p =
        cert_pair_new(&(struct cert_wanted){.common_name = "client", .issuer = &ca});
    static const enum oak_tls_client_certificate policies[] = {OAK_TLS_CLIENT_IF_GIVEN,
                                                               OAK_TLS_CLIENT_REQUIRED};
    for (size_t i = 0; i < OAK_COUNT_OF(policies); i++) {
        struct world w;
        world_init(&w);
        client_of(&w, &p);
        w.server_options.client_certificate = policies[i];
        server_refuses(&w, "unknown CA");
    }
    cert_pair_free(&p);
    cert_pair_free(&ca);
}

static void a_client_whose_certificate_is_over_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair p = cert_pair_new(
        &(struct cert_wanted){.common_name = "client", .issuer = &w.ca, .to_s = 3600});
    client_of(&w, &p);
    w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
    w.loop.wall_ns += 7200 * SECOND;
    server_refuses(&w, "certificate has expired");
    cert_pair_free(&p);
}

static void a_servers_certificate_is_none_for_a_client(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    client_of(&w, &w.server);
    w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
    server_refuses(&w, "certificate purpose");
}

static void a_clients_names_may_have_to_be_among_some(void **state)
{
    (void)state;
    static const char *const names[] = {"somebody", "client"};
    static const char *const hosts[] = {"127.0.0.1", "second.example.test"};
    static const struct {
        size_t names;
        size_t hosts;
        bool allowed;
    } cases[] = {{2, 0, true}, {1, 0, false}, {0, 2, true}, {0, 1, false},
                 {1, 2, true}, {2, 1, true},  {1, 1, false}};
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w);
        w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
        w.server_options.allowed_common_names = names;
        w.server_options.allowed_common_name_count = cases[i].names;
        w.server_options.allowed_hosts = hosts;
        w.server_options.allowed_host_count = cases[i].hosts;
        if (cases[i].allowed) {
            accepts(&w, "localhost:443");
        } else {
            server_refuses(&w, "not among those allowed");
        }
    }
}

static void a_name_with_a_nul_inside_is_no_name(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair p = cert_pair_new(
        &(struct cert_wanted){.common_name = "good", .names = "DNS:good.test", .issuer = &w.ca});
    GENERAL_NAMES *names = X509_get_ext_d2i(p.cert, NID_subject_alt_name, NULL, NULL);
    ASN1_STRING_set(sk_GENERAL_NAME_value(names, 0)->d.dNSName, "good.test\0.evil", 15);
    X509_add1_ext_i2d(p.cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE);
    GENERAL_NAMES_free(names);
    X509_NAME *subject = X509_get_subject_name(p.cert);
    X509_NAME_ENTRY_free(
        X509_NAME_delete_entry(subject, X509_NAME_get_index_by_NID(subject, NID_commonName, -1)));
    assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
                                                (const unsigned char *)"good\0evil", 9, -1, 0),
                     1);
    assert_true(X509_sign(p.cert, w.ca.key, EVP_sha256()) > 0);
    client_of(&w, &p);
    w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
    world_open(&w);
    world_connect(&w, "localhost:443");
    world_converse(&w);
    const struct oak_identity *client = w.s.stream->ops->identity(w.s.stream);
    assert_string_equal(client->common_name, "");
    assert_int_equal(client->dns_name_count, 0);
    world_close(&w);
    cert_pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ends_talk_in_both_versions),
        cmocka_unit_test(versions_that_do_not_meet_are_told),
        cmocka_unit_test(a_server_must_be_good_for_the_name_that_was_connected_to),
        cmocka_unit_test(a_common_name_is_no_name_of_a_server),
        cmocka_unit_test(the_name_may_be_another_than_the_address),
        cmocka_unit_test(the_name_of_the_network_goes_first),
        cmocka_unit_test(the_name_that_was_looked_up_is_the_servers),
        cmocka_unit_test(an_address_without_a_host_is_not_connected_to),
        cmocka_unit_test(a_server_of_an_unknown_ca_is_refused),
        cmocka_unit_test(a_server_is_judged_by_the_loops_clock),
        cmocka_unit_test(a_clients_certificate_is_none_for_a_server),
        cmocka_unit_test(a_client_that_asks_for_it_takes_any_server_and_is_warned),
        cmocka_unit_test(a_server_that_asks_for_none_knows_nobody),
        cmocka_unit_test(a_client_is_known_by_its_certificate),
        cmocka_unit_test(a_client_without_a_certificate_is_refused_where_one_is_required),
        cmocka_unit_test(a_client_of_an_unknown_ca_is_refused_even_where_none_is_required),
        cmocka_unit_test(a_client_whose_certificate_is_over_is_refused),
        cmocka_unit_test(a_servers_certificate_is_none_for_a_client),
        cmocka_unit_test(a_clients_names_may_have_to_be_among_some),
        cmocka_unit_test(a_name_with_a_nul_inside_is_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
