/* SPDX-License-Identifier: Apache-2.0 */
/* selfsign_test.c: certificates of our own making, and whom a certificate is good for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/internal.h"

static X509 *cert_of(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    assert_non_null(cert);
    BIO_free(in);
    return cert;
}

static const char *const hosts[] = {"localhost", "127.0.0.1", "::1", "db.example.com"};

static void it_is_good_for_its_hosts_and_no_others(void **state)
{
    (void)state;
    struct oak_tls_self_signed made;
    assert_int_equal(oak_tls_self_sign(hosts, OAK_COUNT_OF(hosts), 1000, &made), 0);
    X509 *cert = cert_of(made.certificate);
    BIO *in = BIO_new_mem_buf(made.key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    BIO_free(in);
    assert_non_null(key);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_verify(cert, key), 1);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 1);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
    assert_int_equal(X509_check_ca(cert), 0);
    time_t now = time(NULL);
    time_t then = now + 2000;
    assert_true(X509_cmp_time(X509_get0_notBefore(cert), &now) < 0);
    assert_true(X509_cmp_time(X509_get0_notAfter(cert), &now) > 0);
    assert_true(X509_cmp_time(X509_get0_notAfter(cert), &then) < 0);

    unsigned char *der = NULL;
    int size = i2d_X509(cert, &der);
    struct oak_identity identity = {.certificate = oak_bytes(der, (size_t)size)};
    bool names = false;
    for (size_t i = 0; i < OAK_COUNT_OF(hosts); i++) {
        assert_true(oak_tls_identity_is_host(&identity, hosts[i], &names));
        assert_true(names);
    }
    static const char *const others[] = {"", "127.0.0.2", "example.com", "a.db.example.com", "::2"};
    for (size_t i = 0; i < OAK_COUNT_OF(others); i++) {
        assert_false(oak_tls_identity_is_host(&identity, others[i], &names));
        assert_true(names);
    }
    OPENSSL_free(der);
    X509_free(cert);
    EVP_PKEY_free(key);
    oak_tls_self_signed_fini(&made);
}

static void two_are_never_the_same(void **state)
{
    (void)state;
    struct oak_tls_self_signed a, b;
    assert_int_equal(oak_tls_self_sign(hosts, 1, 1000, &a), 0);
    assert_int_equal(oak_tls_self_sign(hosts, 1, 1000, &b), 0);
    assert_string_not_equal(a.key, b.key);
    X509 *one = cert_of(a.certificate);
    X509 *two = cert_of(b.certificate);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one), X509_get0_serialNumber(two)),
                         0);
    X509_free(one);
    X509_free(two);
    oak_tls_self_signed_fini(&a);
    oak_tls_self_signed_fini(&b);
}

static void what_can_be_no_certificate_is_refused(void **state)
{
    (void)state;
    struct oak_tls_self_signed made;
    static const char *const empty[] = {"a", ""};
    char text[TLS_NAME_BYTES + 1];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    const char *long_name = text;
    assert_int_equal(oak_tls_self_sign(hosts, 0, 1000, &made), OAK_EINVAL);
    assert_int_equal(oak_tls_self_sign(hosts, 1, 0, &made), OAK_EINVAL);
    assert_int_equal(oak_tls_self_sign(hosts, 1, UINT64_MAX, &made), OAK_EINVAL);
    assert_int_equal(oak_tls_self_sign(empty, 2, 1000, &made), OAK_EINVAL);
    assert_int_equal(oak_tls_self_sign(&long_name, 1, 1000, &made), OAK_EINVAL);
    assert_null(made.key);
}

/* A certificate that names no host, and bytes that are no certificate. */
static void who_names_no_host_is_known_as_such(void **state)
{
    (void)state;
    struct oak_identity identity = {.certificate = oak_bytes("junk", 4)};
    bool names = true;
    assert_false(oak_tls_identity_is_host(&identity, "localhost", &names));
    assert_false(names);
    assert_false(oak_tls_identity_is_host(&identity, "localhost", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_good_for_its_hosts_and_no_others),
        cmocka_unit_test(two_are_never_the_same),
        cmocka_unit_test(what_can_be_no_certificate_is_refused),
        cmocka_unit_test(who_names_no_host_is_known_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
