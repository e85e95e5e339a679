/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c: what a verified certificate says of its bearer, for handlers that decide by it.
 *
 * One block holds it all: the struct, the two tables of pointers, and behind them the texts and the
 * certificate. The block is sized by a first walk over the names and filled by a second one.
 *
 * Invariants   a name with a NUL inside is left out: "good.example\0.evil" must be read as neither.
 *              Common name: the last one of the subject, in UTF-8, as Go and so etcd have it.
 * Thread       the connection's loop.
 */
#include <stdlib.h>

#include <openssl/x509v3.h>

#include "tls/internal.h"

struct walk {
    size_t dns;
    size_t uris;
    size_t bytes; /* of all texts with their ending NULs */
    /* Second walk: where to put them. */
    const char **dns_names;
    const char **uri_names;
    char *text;
};

static const char *text_put(struct walk *w, const unsigned char *data, size_t size)
{
    w->bytes += size + 1;
    if (w->text == NULL) {
        return NULL;
    }
    char *at = w->text;
    memcpy(at, data, size);
    at[size] = '\0';
    w->text += size + 1;
    return at;
}

static void name_walk(struct walk *w, const GENERAL_NAME *name)
{
    int type = 0;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_URI) {
        return;
    }
    const unsigned char *data = ASN1_STRING_get0_data(value);
    size_t size = (size_t)ASN1_STRING_length(value);
    if (size == 0 || memchr(data, '\0', size) != NULL) {
        return;
    }
    const char *text = text_put(w, data, size);
    const char **table = type == GEN_DNS ? w->dns_names : w->uri_names;
    size_t *count = type == GEN_DNS ? &w->dns : &w->uris;
    if (table != NULL) {
        table[*count] = text;
    }
    (*count)++;
}

static void names_walk(struct walk *w, const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        name_walk(w, sk_GENERAL_NAME_value(names, i));
    }
}

unsigned char *tls__common_name(const X509 *cert, size_t *size)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = -1;
    for (int next = -1; (next = X509_NAME_get_index_by_NID(subject, NID_commonName, next)) >= 0;) {
        at = next;
    }
    unsigned char *text = NULL;
    int length = at < 0 ? -1
                        : ASN1_STRING_to_UTF8(
                              &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    *size = length < 0 ? 0 : (size_t)length;
    return text;
}

static struct oak_identity *build(const GENERAL_NAMES *names, const unsigned char *common,
                                  size_t common_size, const unsigned char *der, size_t der_size)
{
    struct walk w = {0};
    names_walk(&w, names);
    size_t tables = (w.dns + w.uris) * sizeof(char *);
    struct oak_identity *identity =
        malloc(sizeof(*identity) + tables + w.bytes + common_size + 1 + der_size);
    if (identity == NULL) {
        return NULL;
    }
    const char **table = (const char **)(void *)(identity + 1);
    struct walk fill = {
        .dns_names = table, .uri_names = table + w.dns, .text = (char *)(table + w.dns + w.uris)};
    names_walk(&fill, names);
    OAK_ASSERT_EQ(fill.bytes, w.bytes);
    const char *name = text_put(&fill, common, common_size);
    memcpy(fill.text, der, der_size);
    *identity = (struct oak_identity){
        .common_name = name,
        .dns_names = table,
        .dns_name_count = w.dns,
        .uris = table + w.dns,
        .uri_count = w.uris,
        .certificate = oak_bytes(fill.text, der_size),
    };
    return identity;
}

int tls__identity_new(const struct oak_tls *tls, const SSL *ssl, struct oak_identity **out)
{
    *out = NULL;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    bool asked = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
    if (cert == NULL || !asked || SSL_get_verify_result(ssl) != X509_V_OK) {
        return 0;
    }
    OAK_ASSERT(!tls->options.insecure_skip_verify);
    unsigned char *der = NULL;
    int der_size = i2d_X509(cert, &der);
    if (der_size < 0) {
        return OAK_ENOMEM;
    }
    size_t common_size = 0;
    unsigned char *common = tls__common_name(cert, &common_size);
    if (common != NULL && memchr(common, '\0', common_size) != NULL) {
        common_size = 0;
    }
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    *out = build(names, common == NULL ? (const unsigned char *)"" : common, common_size, der,
                 (size_t)der_size);
    GENERAL_NAMES_free(names);
    OPENSSL_free(common);
    OPENSSL_free(der);
    return *out == NULL ? OAK_ENOMEM : 0;
}
