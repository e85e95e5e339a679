/* SPDX-License-Identifier: Apache-2.0 */
/* credentials_test.c: what can be wrong with files and options, and how it is told; reloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "oakum/tls.h"
#include "tls/test_certs.h"

struct files {
    char dir[64];
    char cert[96];
    char key[96];
    char ca[96];
    char crl[96];
    struct cert_pair root;
    struct cert_pair server;
    struct cert_pair other;
    struct oak_tls_options options;
};

static void file_write(const char *path, struct oak_bytes bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, f), bytes.size);
    assert_int_equal(fclose(f), 0);
}

static void file_text(const char *path, const char *text)
{
    file_write(path, oak_bytes_str(text));
}

static void file_cert(const char *path, const struct cert_pair *p)
{
    struct oak_buf b = {0};
    pem_cert(&b, p);
    file_write(path, oak_buf_bytes(&b));
    oak_buf_fini(&b);
}

static void file_key(const char *path, const struct cert_pair *p)
{
    struct oak_buf b = {0};
    pem_key(&b, p);
    file_write(path, oak_buf_bytes(&b));
    oak_buf_fini(&b);
}

static int setup(void **state)
{
    struct files *f = calloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/oak-tls-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->cert, sizeof(f->cert), "%s/server.crt", f->dir);
    snprintf(f->key, sizeof(f->key), "%s/server.key", f->dir);
    snprintf(f->ca, sizeof(f->ca), "%s/ca.crt", f->dir);
    snprintf(f->crl, sizeof(f->crl), "%s/ca.crl", f->dir);
    f->root =
        cert_pair_new(&(struct cert_wanted){.common_name = "root", .ca = true, .to_s = 7 * 86400});
    f->server = cert_pair_new(&(struct cert_wanted){
        .common_name = "server", .names = "DNS:localhost", .issuer = &f->root, .to_s = 86400});
    f->other = cert_pair_new(&(struct cert_wanted){
        .common_name = "other", .names = "DNS:localhost", .issuer = &f->root, .to_s = 2 * 86400});
    file_cert(f->cert, &f->server);
    file_key(f->key, &f->server);
    file_cert(f->ca, &f->root);
    f->options = (struct oak_tls_options){
        .role = OAK_TLS_SERVER,
        .client_certificate = OAK_TLS_CLIENT_REQUIRED,
        .material = {.certificate.file = f->cert, .key.file = f->key, .ca.file = f->ca},
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct files *f = *state;
    unlink(f->cert);
    unlink(f->key);
    unlink(f->ca);
    unlink(f->crl);
    assert_int_equal(rmdir(f->dir), 0);
    cert_pair_free(&f->root);
    cert_pair_free(&f->server);
    cert_pair_free(&f->other);
    free(f);
    return 0;
}

static struct oak_tls *opens(const struct oak_tls_options *o)
{
    struct oak_tls *tls = NULL;
    struct oak_errbuf e = {0};
    int error = oak_tls_new(o, &tls, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(error, 0);
    return tls;
}

/* The error is `error`, and its text has both parts. */
static void refuses(const struct oak_tls_options *o, int error, const char *part,
                    const char *other_part)
{
    struct oak_tls *tls = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_tls_new(o, &tls, &e), error);
    if (strstr(e.text, part) == NULL || strstr(e.text, other_part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", e.text, part, other_part);
    }
    assert_int_equal(oak_tls_new(o, &tls, NULL), error);
    assert_null(tls);
}

/* -- files ------------------------------------------------------------------------------------- */

static void good_files_are_taken_and_their_ends_told(void **state)
{
    struct files *f = *state;
    struct oak_tls *tls = opens(&f->options);
    struct oak_tls_expiry expiry;
    uint64_t now = (uint64_t)time(NULL);
    oak_tls_expiry(tls, &expiry);
    assert_in_range(expiry.certificate_s, now + 86400 - 3600, now + 86400 + 3600);
    assert_in_range(expiry.ca_s, now + 7 * 86400 - 3600, now + 7 * 86400 + 3600);
    assert_int_equal(expiry.crl_s, 0);
    oak_tls_free(tls);
    oak_tls_free(NULL);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct files *f = *state;
    assert_int_equal(unlink(f->key), 0);
    refuses(&f->options, OAK_ENOENT, f->key, "No such file");
    assert_int_equal(unlink(f->cert), 0);
    refuses(&f->options, OAK_ENOENT, f->cert, "No such file");
    f->options.material.ca.file = f->dir;
    file_cert(f->cert, &f->server);
    file_key(f->key, &f->server);
    refuses(&f->options, OAK_EIO, f->dir, "directory");
}

static void a_file_that_may_not_be_read_is_named(void **state)
{
    struct files *f = *state;
    uid_t me = geteuid();
    assert_int_equal(chmod(f->cert, 0), 0);
    if (me == 0) {
        assert_int_equal(seteuid(65534), 0); /* root may read all */
    }
    refuses(&f->options, OAK_EPERM, f->cert, "ermission denied");
    assert_int_equal(seteuid(me), 0);
}

static void a_file_that_is_too_large_is_not_read_on(void **state)
{
    struct files *f = *state;
    file_text(f->ca, "");
    assert_int_equal(truncate(f->ca, 9 * 1024 * 1024), 0);
    refuses(&f->options, OAK_ELIMIT, f->ca, "more than 8 MiB");
}

static void what_is_no_pem_is_told(void **state)
{
    struct files *f = *state;
    static const char *const garbage[] = {"", "hello\n",
                                          "-----BEGIN X-----\nAAAA\n-----END X-----\n"};
    for (size_t i = 0; i < OAK_COUNT_OF(garbage); i++) {
        file_text(f->cert, garbage[i]);
        refuses(&f->options, OAK_EINVAL, f->cert, "no certificate in PEM form");
        file_cert(f->cert, &f->server);
        file_text(f->key, garbage[i]);
        refuses(&f->options, OAK_EINVAL, f->key, "no private key in PEM form");
        file_key(f->key, &f->server);
        file_text(f->ca, garbage[i]);
        refuses(&f->options, OAK_EINVAL, f->ca, "no CA certificate in PEM form");
        file_cert(f->ca, &f->root);
        file_text(f->crl, garbage[i]);
        f->options.material.crl.file = f->crl;
        refuses(&f->options, OAK_EINVAL, f->crl, "no revocation list");
        f->options.material.crl.file = NULL;
    }
    file_cert(f->key, &f->server);
    refuses(&f->options, OAK_EINVAL, f->key, "no private key in PEM form");
}

static void what_is_damaged_is_told(void **state)
{
    struct files *f = *state;
    file_text(f->cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refuses(&f->options, OAK_EINVAL, f->cert, "a damaged certificate");
    file_cert(f->cert, &f->server);
    file_text(f->key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    refuses(&f->options, OAK_EINVAL, f->key, "a damaged key");
    file_key(f->key, &f->server);
    struct oak_buf b = {0};
    pem_cert(&b, &f->root);
    must(oak_buf_printf(&b, "-----BEGIN CERTIFICATE-----\n$$$$\n") == 0);
    file_write(f->ca, oak_buf_bytes(&b));
    oak_buf_fini(&b);
    refuses(&f->options, OAK_EINVAL, f->ca, "a damaged certificate");
    file_cert(f->ca, &f->root);
    f->options.material.crl.file = f->crl;
    file_text(f->crl, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    refuses(&f->options, OAK_EINVAL, f->crl, "a damaged revocation list");
    file_text(f->crl, "0123");
    refuses(&f->options, OAK_EINVAL, f->crl, "a damaged revocation list");
}

static void a_key_of_another_certificate_is_told(void **state)
{
    struct files *f = *state;
    file_key(f->key, &f->other);
    refuses(&f->options, OAK_EINVAL, f->key, "does not belong to the certificate in");
    refuses(&f->options, OAK_EINVAL, f->key, f->cert);
}

static void a_key_behind_a_password_is_told(void **state)
{
    struct files *f = *state;
    FILE *out = fopen(f->key, "wb");
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(out, f->server.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL),
        1);
    fclose(out);
    refuses(&f->options, OAK_EINVAL, f->key, "protected by a password");
}

static void a_weak_key_is_told(void **state)
{
    struct files *f = *state;
    struct cert_pair weak = {.key = EVP_RSA_gen(1024)};
    weak.cert = cert_begin(&(struct cert_wanted){.common_name = "weak"}, weak.key);
    X509_set_issuer_name(weak.cert, X509_get_subject_name(f->root.cert));
    assert_true(X509_sign(weak.cert, f->root.key, EVP_sha256()) > 0);
    file_cert(f->cert, &weak);
    file_key(f->key, &weak);
    refuses(&f->options, OAK_EINVAL, f->cert, "key too small");
    cert_pair_free(&weak);
}

static void what_is_over_is_told(void **state)
{
    struct files *f = *state;
    struct cert_pair old = cert_pair_new(&(struct cert_wanted){
        .common_name = "old", .issuer = &f->root, .from_s = -7200, .to_s = -3600});
    struct cert_pair old_ca = cert_pair_new(
        &(struct cert_wanted){.common_name = "old", .ca = true, .from_s = -7200, .to_s = -3600});
    file_cert(f->cert, &old);
    file_key(f->key, &old);
    refuses(&f->options, OAK_EINVAL, f->cert, "the certificate has expired, at ");
    struct oak_buf b = {0};
    pem_cert(&b, &f->server);
    pem_cert(&b, &old_ca);
    file_write(f->cert, oak_buf_bytes(&b));
    file_key(f->key, &f->server);
    refuses(&f->options, OAK_EINVAL, f->cert, "an intermediate has expired");
    file_cert(f->cert, &f->server);
    file_cert(f->ca, &old_ca);
    refuses(&f->options, OAK_EINVAL, f->ca, "the CA's certificate has expired");
    /* Among others it is passed over. */
    oak_buf_clear(&b);
    pem_cert(&b, &old_ca);
    pem_cert(&b, &f->root);
    file_write(f->ca, oak_buf_bytes(&b));
    oak_buf_fini(&b);
    oak_tls_free(opens(&f->options));
    cert_pair_free(&old);
    cert_pair_free(&old_ca);
}

static void lists_come_as_pem_or_der(void **state)
{
    struct files *f = *state;
    X509_CRL *crl = crl_new(&f->root, 5, 86400);
    struct oak_buf b = {0};
    f->options.material.crl.file = f->crl;
    pem_crl(&b, crl);
    file_write(f->crl, oak_buf_bytes(&b));
    struct oak_tls *tls = opens(&f->options);
    struct oak_tls_expiry expiry;
    oak_tls_expiry(tls, &expiry);
    assert_int_not_equal(expiry.crl_s, 0);
    oak_tls_free(tls);
    unsigned char *der = NULL;
    int size = i2d_X509_CRL(crl, &der);
    file_write(f->crl, oak_bytes(der, (size_t)size));
    oak_tls_free(opens(&f->options));
    OPENSSL_free(der);
    oak_buf_fini(&b);
    X509_CRL_free(crl);
}

/* -- options ----------------------------------------------------------------------------------- */

static void reported(void *user, const char *peer, int error, const char *text)
{
    (void)user;
    (void)peer;
    (void)error;
    (void)text;
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    struct files *f = *state;
    static const char *const some[] = {"a"};
    struct oak_tls_options o = f->options;
    o.material.certificate.file = NULL;
    refuses(&o, OAK_EINVAL, "a certificate and its key come together", "");
    o.material.key.file = NULL;
    refuses(&o, OAK_EINVAL, "a server needs a certificate", "");
    o = f->options;
    o.material.ca.file = NULL;
    refuses(&o, OAK_EINVAL, "which CA issues them", "");
    o.client_certificate = OAK_TLS_CLIENT_NONE;
    o.material.crl.file = f->crl;
    refuses(&o, OAK_EINVAL, "needs the CA that signed it", "");
    o = f->options;
    o.client_certificate = OAK_TLS_CLIENT_NONE;
    o.allowed_hosts = some;
    o.allowed_host_count = 1;
    refuses(&o, OAK_EINVAL, "allowed names mean nothing", "");
    o = f->options;
    o.insecure_skip_verify = true;
    refuses(&o, OAK_EINVAL, "for clients to say", "");
    o = f->options;
    o.material.key.bytes = oak_bytes_str("key");
    refuses(&o, OAK_EINVAL, "both a file", f->key);
    o = f->options;
    o.version_min = OAK_TLS_VERSION_1_3;
    o.version_max = OAK_TLS_VERSION_1_2;
    refuses(&o, OAK_EINVAL, "least version", "");
    o = (struct oak_tls_options){.role = OAK_TLS_CLIENT, .insecure_skip_verify = true};
    refuses(&o, OAK_EINVAL, "set `report`", "");
    o.report = reported;
    oak_tls_free(opens(&o));
    o = (struct oak_tls_options){.client_certificate = OAK_TLS_CLIENT_REQUIRED};
    refuses(&o, OAK_EINVAL, "for a server to say", "");
}

static void names_of_suites_and_protocols_are_checked(void **state)
{
    struct files *f = *state;
    static const char *const good[] = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                                       "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
                                       "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"};
    static const char *const bad[] = {"TLS_ECDHE_RSA_WITH_NOTHING", "HELLO", "", "A:B", "TLS_"};
    static const char *const empty[] = {""};
    struct oak_tls_options o = f->options;
    o.cipher_suites = good;
    o.cipher_suite_count = OAK_COUNT_OF(good);
    oak_tls_free(opens(&o));
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        o.cipher_suites = &bad[i];
        o.cipher_suite_count = 1;
        refuses(&o, OAK_EINVAL, "unknown cipher suite", bad[i]);
    }
    o = f->options;
    o.protocols = empty;
    o.protocol_count = 1;
    refuses(&o, OAK_EINVAL, "no name of a protocol", "");
}

static void a_client_needs_nothing(void **state)
{
    (void)state;
    struct oak_tls_options o = {.role = OAK_TLS_CLIENT};
    oak_tls_free(opens(&o));
}

/* -- reloads ----------------------------------------------------------------------------------- */

static void what_is_read_again_is_what_counts(void **state)
{
    struct files *f = *state;
    struct oak_tls *tls = opens(&f->options);
    struct oak_tls_expiry before;
    struct oak_tls_expiry after;
    oak_tls_expiry(tls, &before);
    file_cert(f->cert, &f->other);
    file_key(f->key, &f->other);
    struct oak_errbuf e = {0};
    assert_int_equal(oak_tls_reload(tls, &e), 0);
    oak_tls_expiry(tls, &after);
    assert_true(after.certificate_s > before.certificate_s);
    oak_tls_free(tls);
}

static void a_reload_that_fails_changes_nothing(void **state)
{
    struct files *f = *state;
    struct oak_tls *tls = opens(&f->options);
    struct oak_tls_expiry before;
    struct oak_tls_expiry after;
    oak_tls_expiry(tls, &before);
    file_cert(f->cert, &f->other); /* and not yet its key */
    struct oak_errbuf e = {0};
    assert_int_equal(oak_tls_reload(tls, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "does not belong"));
    oak_tls_expiry(tls, &after);
    assert_memory_equal(&after, &before, sizeof(after));
    unlink(f->cert);
    assert_int_equal(oak_tls_reload(tls, &e), OAK_ENOENT);
    struct oak_tls_counts counts;
    oak_tls_counts(tls, &counts);
    assert_int_equal(counts.reloads, 0);
    assert_int_equal(counts.reloads_failed, 2);
    oak_tls_free(tls);
}

static void only_changed_files_are_loaded(void **state)
{
    struct files *f = *state;
    struct oak_tls *tls = opens(&f->options);
    struct oak_errbuf e = {0};
    bool changed = true;
    assert_int_equal(oak_tls_reload_if_changed(tls, &changed, &e), 0);
    assert_false(changed);
    file_cert(f->cert, &f->server); /* newer, and the same */
    assert_int_equal(oak_tls_reload_if_changed(tls, &changed, &e), 0);
    assert_false(changed);
    /* Half of a change fails once, and is not tried again before the other half is there. */
    file_cert(f->cert, &f->other);
    assert_int_equal(oak_tls_reload_if_changed(tls, &changed, &e), OAK_EINVAL);
    assert_false(changed);
    assert_int_equal(oak_tls_reload_if_changed(tls, &changed, &e), 0);
    assert_false(changed);
    file_key(f->key, &f->other);
    assert_int_equal(oak_tls_reload_if_changed(tls, &changed, &e), 0);
    assert_true(changed);
    assert_int_equal(oak_tls_reload_if_changed(tls, &changed, &e), 0);
    assert_false(changed);
    struct oak_tls_counts counts;
    oak_tls_counts(tls, &counts);
    assert_int_equal(counts.reloads, 1);
    assert_int_equal(counts.reloads_failed, 1);
    oak_tls_free(tls);
}

static void other_material_can_take_its_place(void **state)
{
    struct files *f = *state;
    struct oak_tls *tls = opens(&f->options);
    struct oak_buf cert = {0};
    struct oak_buf key = {0};
    pem_cert(&cert, &f->other);
    pem_key(&key, &f->other);
    struct oak_tls_material m = {.certificate.bytes = oak_buf_bytes(&cert),
                                 .key.bytes = oak_buf_bytes(&key)};
    struct oak_errbuf e = {0};
    assert_int_equal(oak_tls_replace(tls, &m, &e), OAK_EINVAL); /* whom to trust? */
    m.ca.file = f->ca;
    m.key.file = f->key;
    m.key.bytes = oak_bytes(NULL, 0);
    assert_int_equal(oak_tls_replace(tls, &m, &e), OAK_EINVAL);
    m.key.file = NULL;
    m.key.bytes = oak_buf_bytes(&key);
    struct oak_tls_expiry before;
    struct oak_tls_expiry after;
    oak_tls_expiry(tls, &before);
    assert_int_equal(oak_tls_replace(tls, &m, &e), 0);
    oak_tls_expiry(tls, &after);
    assert_true(after.certificate_s > before.certificate_s);
    /* The bytes were copied: a reload goes by them. */
    oak_buf_fini(&cert);
    oak_buf_fini(&key);
    assert_int_equal(oak_tls_reload(tls, &e), 0);
    oak_tls_free(tls);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(good_files_are_taken_and_their_ends_told),
        T(a_file_that_is_not_there_is_named),
        T(a_file_that_may_not_be_read_is_named),
        T(a_file_that_is_too_large_is_not_read_on),
        T(what_is_no_pem_is_told),
        T(what_is_damaged_is_told),
        T(a_key_of_another_certificate_is_told),
        T(a_key_behind_a_password_is_told),
        T(a_weak_key_is_told),
        T(what_is_over_is_told),
        T(lists_come_as_pem_or_der),
        T(options_that_contradict_each_other_are_refused),
        T(names_of_suites_and_protocols_are_checked),
        T(a_client_needs_nothing),
        T(what_is_read_again_is_what_counts),
        T(a_reload_that_fails_changes_nothing),
        T(only_changed_files_are_loaded),
        T(other_material_can_take_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
