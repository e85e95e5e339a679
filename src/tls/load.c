/* SPDX-License-Identifier: Apache-2.0 */
/* load.c: from the bytes of certificates and keys to what OpenSSL makes connections of.
 *
 * Happy path   1 what the options say: versions, suites, what is off
 *              2 our certificate, its intermediates, its key: they fit, and are in their time
 *              3 whom we trust, and what was revoked
 *              4 how peers are verified
 * Can fail     OAK_EINVAL, with the file's name and what is wrong; OAK_ENOMEM.
 * Invariants   a context is not changed once connections are made of it.
 * Thread       any.
 */
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tls/internal.h"

/* One of the four: its bytes, and what messages call it. */
struct source {
    const struct oak_tls_pem *pem;
    struct oak_bytes bytes;
    const char *what;
};

static int fail(const struct source *s, struct oak_errbuf *e, const char *wrong)
{
    const char *name = s->pem->file != NULL ? s->pem->file : s->what;
    oak_fail(e, OAK_EINVAL, "%.300s: %s", name, wrong);
    ERR_clear_error();
    return OAK_EINVAL;
}

static int fail_openssl(const struct source *s, struct oak_errbuf *e, const char *what)
{
    char reason[TLS_REASON_BYTES];
    char text[TLS_REASON_BYTES + 64];
    snprintf(text, sizeof(text), "%s: %s", what, tls__openssl_text(reason, sizeof(reason)));
    return fail(s, e, text);
}

/* -- times ------------------------------------------------------------------------------------- */

static uint64_t seconds_of(const ASN1_TIME *t)
{
    int days = 0;
    int seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool known = epoch != NULL && t != NULL && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;
    ASN1_TIME_free(epoch);
    int64_t sum = (int64_t)days * 86400 + seconds;
    return known && sum > 0 ? (uint64_t)sum : 0;
}

static void earliest(uint64_t *at, uint64_t seconds)
{
    if (seconds != 0 && (*at == 0 || seconds < *at)) {
        *at = seconds;
    }
}

static bool is_over(const ASN1_TIME *t)
{
    return X509_cmp_current_time(t) < 0;
}

static int fail_over(const struct source *s, struct oak_errbuf *e, const X509 *cert,
                     const char *what)
{
    char text[TLS_REASON_BYTES] = {0};
    size_t size = (size_t)snprintf(text, sizeof(text), "%s has expired, at ", what);
    BIO *out = BIO_new(BIO_s_mem());
    if (out != NULL && ASN1_TIME_print(out, X509_get0_notAfter(cert)) == 1) {
        int got = BIO_read(out, text + size, (int)(sizeof(text) - size - 1));
        OAK_MAYBE(got > 0);
    }
    BIO_free(out);
    return fail(s, e, text);
}

/* -- parts ------------------------------------------------------------------------------------- */

static BIO *open_bytes(const struct source *s)
{
    return BIO_new_mem_buf(s->bytes.data == NULL ? (const void *)"" : s->bytes.data,
                           (int)s->bytes.size);
}

/* After a failed PEM read: was it only that there is no more? */
static bool at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (end) {
        ERR_clear_error();
    }
    return end;
}

/* Our own certificate and what lies between it and a root. */
static int certificate_take(SSL_CTX *ctx, BIO *in, const struct source *s, struct tls_loaded *out,
                            struct oak_errbuf *e)
{
    for (int count = 0;; count++) {
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (cert == NULL && at_end()) {
            return count > 0 ? 0 : fail(s, e, "no certificate in PEM form");
        }
        if (cert == NULL) {
            return fail_openssl(s, e, "a damaged certificate");
        }
        int error = 0;
        if (is_over(X509_get0_notAfter(cert))) {
            error = fail_over(s, e, cert, count == 0 ? "the certificate" : "an intermediate");
        } else if (count == 0 && SSL_CTX_use_certificate(ctx, cert) != 1) {
            error = fail_openssl(s, e, "the certificate can't be used");
        } else if (count > 0 && SSL_CTX_add1_chain_cert(ctx, cert) != 1) {
            error = fail_openssl(s, e, "an intermediate can't be used");
        }
        earliest(&out->expiry.certificate_s, seconds_of(X509_get0_notAfter(cert)));
        X509_free(cert);
        if (error != 0) {
            return error;
        }
    }
}

static int password_none(char *out, int size, int writing, void *asked)
{
    (void)out;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* OpenSSL's decoders say of both what is damaged and what is not there that it is unsupported. */
static bool has_key(struct oak_bytes bytes)
{
    static const char mark[] = "PRIVATE KEY-----";
    const size_t size = sizeof(mark) - 1;
    for (size_t at = 0; at + size <= bytes.size; at++) {
        if (memcmp(bytes.data + at, mark, size) == 0) {
            return true;
        }
    }
    return false;
}

static int key_take(SSL_CTX *ctx, BIO *in, const struct source *s, const struct source *cert,
                    struct oak_errbuf *e)
{
    bool protected = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, password_none, &protected);
    if (key == NULL) {
        return protected ? fail(s, e, "the key is protected by a password; store it without one")
               : has_key(s->bytes) ? fail_openssl(s, e, "a damaged key")
                                   : fail(s, e, "no private key in PEM form");
    }
    X509 *own = SSL_CTX_get0_certificate(ctx);
    int error = 0;
    if (X509_check_private_key(own, key) != 1) {
        char text[TLS_REASON_BYTES + 64];
        snprintf(text, sizeof(text), "this key does not belong to the certificate in %.250s",
                 cert->pem->file != NULL ? cert->pem->file : cert->what);
        error = fail(s, e, text);
    } else if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        error = fail_openssl(s, e, "the key can't be used");
    }
    EVP_PKEY_free(key);
    return error;
}

static int ca_add(SSL_CTX *ctx, X509 *cert, const struct source *s, struct tls_loaded *out,
                  struct oak_errbuf *e)
{
    earliest(&out->expiry.ca_s, seconds_of(X509_get0_notAfter(cert)));
    bool taken = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1 &&
                 SSL_CTX_add_client_CA(ctx, cert) == 1;
    return taken ? 0 : fail_openssl(s, e, "a certificate can't be used");
}

/* One that has expired among others is what is left of a change of CA: it is passed over. */
static int ca_take(SSL_CTX *ctx, BIO *in, const struct source *s, struct tls_loaded *out,
                   struct oak_errbuf *e)
{
    X509 *dead = NULL;
    int living = 0;
    int error = 0;
    bool end = false;
    while (error == 0 && !end) {
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (cert == NULL) {
            end = at_end();
            error = end ? 0 : fail_openssl(s, e, "a damaged certificate");
        } else if (is_over(X509_get0_notAfter(cert))) {
            X509_free(dead);
            dead = cert;
        } else {
            living++;
            error = ca_add(ctx, cert, s, out, e);
            X509_free(cert);
        }
    }
    if (error == 0 && living == 0) {
        error = dead != NULL ? fail_over(s, e, dead, "the CA's certificate")
                             : fail(s, e, "no CA certificate in PEM form");
    }
    X509_free(dead);
    return error;
}

static int crl_add(SSL_CTX *ctx, X509_CRL *crl, const struct source *s, struct tls_loaded *out,
                   struct oak_errbuf *e)
{
    earliest(&out->expiry.crl_s, seconds_of(X509_CRL_get0_nextUpdate(crl)));
    bool added = X509_STORE_add_crl(SSL_CTX_get_cert_store(ctx), crl) == 1;
    X509_CRL_free(crl);
    return added ? 0 : fail_openssl(s, e, "a revocation list can't be used");
}

static int crl_take(SSL_CTX *ctx, BIO *in, const struct source *s, struct tls_loaded *out,
                    struct oak_errbuf *e)
{
    if (s->bytes.size > 0 && s->bytes.data[0] == 0x30) { /* a SEQUENCE of DER */
        X509_CRL *crl = d2i_X509_CRL_bio(in, NULL);
        return crl != NULL ? crl_add(ctx, crl, s, out, e)
                           : fail_openssl(s, e, "a damaged revocation list");
    }
    for (int count = 0;; count++) {
        X509_CRL *crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL);
        if (crl == NULL && at_end()) {
            return count > 0 ? 0 : fail(s, e, "no revocation list in PEM or DER form");
        }
        if (crl == NULL) {
            return fail_openssl(s, e, "a damaged revocation list");
        }
        int error = crl_add(ctx, crl, s, out, e);
        if (error != 0) {
            return error;
        }
    }
}

/* -- the context ------------------------------------------------------------------------------- */

static int version_of(enum oak_tls_version version)
{
    return version == OAK_TLS_VERSION_1_3   ? TLS1_3_VERSION
           : version == OAK_TLS_VERSION_1_2 ? TLS1_2_VERSION
                                            : 0;
}

static bool ctx_setup(struct oak_tls *tls, SSL_CTX *ctx)
{
    const struct oak_tls_options *o = &tls->options;
    int least = o->version_min == OAK_TLS_VERSION_ANY ? TLS1_2_VERSION : version_of(o->version_min);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Come back after each message behind the handshake: they are counted. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_max_cert_list(ctx, (long)OAK_TLS_CHAIN_BYTES_MAX);
    return SSL_CTX_set_min_proto_version(ctx, least) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, version_of(o->version_max)) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
           SSL_CTX_set_cipher_list(ctx, tls->ciphers) == 1 &&
           (tls->suites == NULL || SSL_CTX_set_ciphersuites(ctx, tls->suites) == 1) &&
           tls__protocols_setup(tls, ctx);
}

static int ctx_fill(SSL_CTX *ctx, const struct source sources[4], BIO *const in[4],
                    struct tls_loaded *out, struct oak_errbuf *e)
{
    int error = 0;
    if (tls__pem_given(sources[0].pem)) {
        error = certificate_take(ctx, in[0], &sources[0], out, e);
        error = error != 0 ? error : key_take(ctx, in[1], &sources[1], &sources[0], e);
    }
    if (error == 0 && tls__pem_given(sources[2].pem)) {
        error = ca_take(ctx, in[2], &sources[2], out, e);
    }
    if (error == 0 && tls__pem_given(sources[3].pem)) {
        error = crl_take(ctx, in[3], &sources[3], out, e);
    }
    return error;
}

int tls__load(struct oak_tls *tls, const struct oak_tls_material *m, const struct tls_read *read,
              struct tls_loaded *out, struct oak_errbuf *e)
{
    const struct source sources[4] = {
        {&m->certificate, oak_buf_bytes(&read->certificate), "the certificate"},
        {&m->key, oak_buf_bytes(&read->key), "the key"},
        {&m->ca, oak_buf_bytes(&read->ca), "the CA's certificates"},
        {&m->crl, oak_buf_bytes(&read->crl), "the revocation list"},
    };
    bool server = tls->options.role == OAK_TLS_SERVER;
    *out = (struct tls_loaded){0};
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    int error = ctx != NULL && ctx_setup(tls, ctx) ? 0 : OAK_ENOMEM;
    BIO *in[4] = {0};
    for (size_t i = 0; i < OAK_COUNT_OF(in) && error == 0; i++) {
        in[i] = open_bytes(&sources[i]);
        error = in[i] == NULL ? OAK_ENOMEM : 0;
    }
    error = error != 0 ? error : ctx_fill(ctx, sources, in, out, e);
    for (size_t i = 0; i < OAK_COUNT_OF(in); i++) {
        BIO_free(in[i]);
    }
    if (error == 0) {
        /* A client that is told of none trusts whom the system trusts. */
        bool system = !server && !tls__pem_given(&m->ca);
        error = !system || SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : OAK_ENOMEM;
    }
    if (error != 0) {
        SSL_CTX_free(ctx);
        return error;
    }
    tls__verify_setup(tls, ctx, tls__pem_given(&m->crl));
    out->ctx = ctx;
    return 0;
}
