/* SPDX-License-Identifier: Apache-2.0 */
/* agree_test.c: protocols, suites, revocation lists and chains that must fit. */
#include "tls/test_verdict.h"

/* -- what is spoken inside --------------------------------------------------------------------- */

static void protocols_must_meet(void **state)
{
    (void)state;
    static const char *const http1[] = {"http/1.1"};
    static const char *const both[] = {"h2", "http/1.1"};
    static const char *const other[] = {"h3"};
    struct world w;
    world_init(&w);
    w.client_options.protocols = http1;
    w.client_options.protocol_count = 1;
    client_refuses(&w, "localhost:443", "no protocol in common");
    world_init(&w);
    w.client_options.protocols = other;
    w.client_options.protocol_count = 1;
    w.server_options.protocols = both;
    w.server_options.protocol_count = 2;
    client_refuses(&w, "localhost:443", "no protocol in common");
    world_init(&w);
    w.client_options.protocols = http1;
    w.client_options.protocol_count = 1;
    w.server_options.protocols = both;
    w.server_options.protocol_count = 2;
    accepts(&w, "localhost:443");
}

static void suites_can_be_chosen(void **state)
{
    (void)state;
    static const char *const iana[] = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"};
    static const char *const other[] = {"ECDHE-ECDSA-CHACHA20-POLY1305"};
    struct world w;
    world_init(&w);
    w.server_options.cipher_suites = iana;
    w.server_options.cipher_suite_count = 1;
    w.server_options.version_max = OAK_TLS_VERSION_1_2;
    accepts(&w, "localhost:443");
    world_init(&w);
    w.server_options.cipher_suites = iana;
    w.server_options.cipher_suite_count = 1;
    w.client_options.cipher_suites = other;
    w.client_options.cipher_suite_count = 1;
    w.server_options.version_max = OAK_TLS_VERSION_1_2;
    client_refuses(&w, "localhost:443", "handshake failure");
    world_init(&w); /* those of 1.3 are not touched by the others */
    w.server_options.cipher_suites = iana;
    w.server_options.cipher_suite_count = 1;
    w.client_options.cipher_suites = other;
    w.client_options.cipher_suite_count = 1;
    accepts(&w, "localhost:443");
}

/* Of 1.2 nothing but ephemeral keys and authenticated encryption, unless it is asked for. */
static void by_default_no_older_suite_is_agreed_on(void **state)
{
    (void)state;
    static const char *const fine[] = {"ECDHE-ECDSA-AES128-GCM-SHA256"};
    static const char *const old[] = {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"};
    struct world w;
    world_init(&w);
    w.client_options.cipher_suites = fine;
    w.client_options.cipher_suite_count = 1;
    w.client_options.version_max = OAK_TLS_VERSION_1_2;
    accepts(&w, "localhost:443");
    world_init(&w);
    w.client_options.cipher_suites = old;
    w.client_options.cipher_suite_count = 1;
    w.client_options.version_max = OAK_TLS_VERSION_1_2;
    client_refuses(&w, "localhost:443", "handshake failure");
    world_init(&w);
    w.server_options.cipher_suites = old;
    w.server_options.cipher_suite_count = 1;
    w.server_options.version_max = OAK_TLS_VERSION_1_2;
    client_refuses(&w, "localhost:443", "handshake failure");
    world_init(&w); /* it could be, if both asked for it */
    w.server_options.cipher_suites = old;
    w.server_options.cipher_suite_count = 1;
    w.server_options.version_max = OAK_TLS_VERSION_1_2;
    w.client_options.cipher_suites = old;
    w.client_options.cipher_suite_count = 1;
    accepts(&w, "localhost:443");
}

/* -- revocation -------------------------------------------------------------------------------- */

struct crl_case {
    long serial; /* on the list */
    long next_s;
    bool strict;
    bool of_other_ca;
    const char *refused; /* NULL: accepted */
};

static void lists_revoke(void **state)
{
    (void)state;
    static const struct crl_case cases[] = {
        {77, 86400, false, false, "certificate revoked"},
        {78, 86400, false, false, NULL},
        {0, 86400, true, false, NULL},
        {77, 86400, true, false, "certificate revoked"},
        /* Past its time, it still says what it said. */
        {77, -3600, false, false, "certificate revoked"},
        {78, -3600, false, false, NULL},
        {78, -3600, true, false, "CRL has expired"},
        /* A list of another CA says nothing. */
        {77, 86400, false, true, NULL},
        {77, 86400, true, true, "unable to get certificate CRL"},
    };
    struct cert_pair other =
        cert_pair_new(&(struct cert_wanted){.common_name = "other", .ca = true});
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w);
        X509_CRL *crl =
            crl_new(cases[i].of_other_ca ? &other : &w.ca, cases[i].serial, cases[i].next_s);
        pem_crl(&w.pem[w.pem_count], crl);
        w.server_options.material.crl.bytes = oak_buf_bytes(&w.pem[w.pem_count++]);
        w.server_options.crl_strict = cases[i].strict;
        w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
        if (cases[i].refused == NULL) {
            accepts(&w, "localhost:443");
        } else {
            server_refuses(&w, cases[i].refused);
        }
        X509_CRL_free(crl);
    }
    cert_pair_free(&other);
}

static void a_list_that_the_ca_did_not_sign_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair same_name =
        cert_pair_new(&(struct cert_wanted){.common_name = "ca", .ca = true});
    X509_CRL *crl = crl_new(&same_name, 78, 86400);
    pem_crl(&w.pem[w.pem_count], crl);
    w.server_options.material.crl.bytes = oak_buf_bytes(&w.pem[w.pem_count++]);
    w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
    server_refuses(&w, "CRL signature failure");
    X509_CRL_free(crl);
    cert_pair_free(&same_name);
}

/* -- chains ------------------------------------------------------------------------------------ */

static void an_intermediate_comes_with_the_certificate_or_is_trusted_itself(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    struct cert_pair middle =
        cert_pair_new(&(struct cert_wanted){.common_name = "middle", .ca = true, .issuer = &w.ca});
    struct cert_pair p = cert_pair_new(
        &(struct cert_wanted){.common_name = "leaf", .names = "DNS:leaf.test", .issuer = &middle});
    struct oak_buf *chain = &w.pem[w.pem_count++];
    pem_cert(chain, &p);
    pem_cert(chain, &middle);
    w.server_options.material.certificate.bytes = oak_buf_bytes(chain);
    w.server_options.material.key.bytes = world_key(&w, &p);
    accepts(&w, "leaf.test:443");
    world_init(&w); /* another root: only the middle is trusted, and is no root */
    w.server_options.material.certificate.bytes = world_cert(&w, &p);
    w.server_options.material.key.bytes = world_key(&w, &p);
    w.client_options.material.ca.bytes = world_cert(&w, &middle);
    accepts(&w, "leaf.test:443");
    world_init(&w);
    w.server_options.material.certificate.bytes = world_cert(&w, &p);
    w.server_options.material.key.bytes = world_key(&w, &p);
    client_refuses(&w, "leaf.test:443", "unknown CA");
    cert_pair_free(&p);
    cert_pair_free(&middle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocols_must_meet),
        cmocka_unit_test(suites_can_be_chosen),
        cmocka_unit_test(by_default_no_older_suite_is_agreed_on),
        cmocka_unit_test(lists_revoke),
        cmocka_unit_test(a_list_that_the_ca_did_not_sign_is_refused),
        cmocka_unit_test(an_intermediate_comes_with_the_certificate_or_is_trusted_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
