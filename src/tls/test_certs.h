/* SPDX-License-Identifier: Apache-2.0 */
/* test_certs.h: certificates made for the test that needs them, so that none lies in the tree and
 * gets too old. Keys are on P-256: quick to make. */
#ifndef OAK_TLS_TEST_CERTS_H
#define OAK_TLS_TEST_CERTS_H

#include <stdlib.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/base.h"

struct cert_pair {
    EVP_PKEY *key;
    X509 *cert;
};

struct cert_wanted {
    const char *common_name;        /* NULL: none */
    const char *names;              /* "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const char *usage;              /* "serverAuth,clientAuth"; NULL: any */
    const struct cert_pair *issuer; /* NULL: itself */
    long from_s;                    /* from now; 0: a day ago */
    long to_s;                      /* from now; 0: a day from now */
    long serial;
    bool ca;
};

static inline void must(bool x)
{
    OAK_ASSERT(x);
}

static inline void extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline void name_add(X509 *cert, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(cert);
    must(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"oakum test",
                                    -1, -1, 0) == 1);
    if (common_name != NULL) {
        must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                        (const unsigned char *)common_name, -1, -1, 0) == 1);
    }
}

static inline X509 *cert_begin(const struct cert_wanted *w, EVP_PKEY *key)
{
    static long serial = 1000;
    X509 *cert = X509_new();
    must(cert != NULL && X509_set_version(cert, 2) == 1 && X509_set_pubkey(cert, key) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), w->serial != 0 ? w->serial : ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), w->from_s != 0 ? w->from_s : -86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), w->to_s != 0 ? w->to_s : 86400);
    name_add(cert, w->common_name);
    return cert;
}

static inline struct cert_pair cert_pair_new(const struct cert_wanted *w)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key != NULL);
    X509 *cert = cert_begin(w, key);
    X509 *issuer = w->issuer != NULL ? w->issuer->cert : cert;
    must(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1);
    extension_add(cert, issuer, NID_basic_constraints,
                  w->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extension_add(cert, issuer, NID_subject_key_identifier, "hash");
    if (w->ca) {
        extension_add(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (w->names != NULL) {
        extension_add(cert, issuer, NID_subject_alt_name, w->names);
    }
    if (w->usage != NULL) {
        extension_add(cert, issuer, NID_ext_key_usage, w->usage);
    }
    must(X509_sign(cert, w->issuer != NULL ? w->issuer->key : key, EVP_sha256()) > 0);
    return (struct cert_pair){key, cert};
}

static inline void cert_pair_free(struct cert_pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    *p = (struct cert_pair){0};
}

/* A revocation list of one serial number (0: of none), that is to be renewed `next_s` from now. */
static inline X509_CRL *crl_new(const struct cert_pair *ca, long serial, long next_s)
{
    X509_CRL *crl = X509_CRL_new();
    must(crl != NULL && X509_CRL_set_version(crl, 1) == 1);
    must(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) == 1);
    ASN1_TIME *t = X509_gmtime_adj(NULL, -2 * 86400);
    X509_CRL_set1_lastUpdate(crl, t);
    X509_gmtime_adj(t, next_s);
    X509_CRL_set1_nextUpdate(crl, t);
    if (serial != 0) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        must(ASN1_INTEGER_set(number, serial) == 1);
        X509_gmtime_adj(t, -86400);
        X509_REVOKED_set_serialNumber(revoked, number);
        X509_REVOKED_set_revocationDate(revoked, t);
        must(X509_CRL_add0_revoked(crl, revoked) == 1);
        ASN1_INTEGER_free(number);
    }
    ASN1_TIME_free(t);
    must(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    return crl;
}

/* -- as PEM, in buffers that the test frees ---------------------------------------------------- */

static inline struct oak_bytes pem_take(BIO *out, struct oak_buf *to)
{
    char *data = NULL;
    long size = BIO_get_mem_data(out, &data);
    size_t at = to->size;
    must(oak_buf_append(to, data, (size_t)size) == 0);
    BIO_free(out);
    return oak_bytes(to->data + at, (size_t)size);
}

static inline void pem_cert(struct oak_buf *to, const struct cert_pair *p)
{
    BIO *out = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(out, p->cert) == 1);
    pem_take(out, to);
}

static inline void pem_key(struct oak_buf *to, const struct cert_pair *p)
{
    BIO *out = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PrivateKey(out, p->key, NULL, NULL, 0, NULL, NULL) == 1);
    pem_take(out, to);
}

static inline void pem_crl(struct oak_buf *to, X509_CRL *crl)
{
    BIO *out = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509_CRL(out, crl) == 1);
    pem_take(out, to);
}

#endif
