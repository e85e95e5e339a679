/* SPDX-License-Identifier: Apache-2.0 */
/* selfsign.c: a certificate that nobody else has signed: for those who want encryption and have no
 * authority.
 *
 * Happy path   1 a key on P-256
 *              2 a certificate of it: a random number, the hosts as alternative names, both ends of
 *                TLS as its use, signed with the key
 *              3 both as PEM
 * Can fail     OAK_EINVAL: no host, or one that is neither a name nor an address; OAK_ENOMEM.
 * Invariants   the key is overwritten before its memory is given back.
 * Thread       any; takes a millisecond.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/internal.h"

/* Clocks of others may be late by so much. */
#define SKEW_S 3600

static bool names_add(GENERAL_NAMES *names, const char *host)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (name != NULL && ip != NULL) {
        GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
    } else if (name != NULL) {
        ERR_clear_error();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        if (text == NULL || ASN1_STRING_set(text, host, -1) != 1) {
            ASN1_IA5STRING_free(text);
            GENERAL_NAME_free(name);
            return false;
        }
        GENERAL_NAME_set0_value(name, GEN_DNS, text);
    }
    if (name == NULL) {
        ASN1_OCTET_STRING_free(ip);
        return false;
    }
    if (sk_GENERAL_NAME_push(names, name) == 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static bool hosts_set(X509 *cert, const char *const *hosts, size_t count)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool good = names != NULL;
    for (size_t i = 0; i < count && good; i++) {
        good = names_add(names, hosts[i]);
    }
    good = good && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return good;
}

static bool extension_set(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool number_set(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool good = number != NULL && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool cert_fill(X509 *cert, EVP_PKEY *key, const char *const *hosts, size_t count,
                      uint64_t seconds)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_set_version(cert, 2) == 1 && number_set(cert) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -SKEW_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), (long)seconds) != NULL &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"oakum", -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 &&
           extension_set(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           extension_set(cert, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
           extension_set(cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
           hosts_set(cert, hosts, count) && X509_sign(cert, key, EVP_sha256()) > 0;
}

/* What a BIO in memory holds, as a text of its own. */
static char *text_of(BIO *bio)
{
    char *data = NULL;
    long size = bio != NULL ? BIO_get_mem_data(bio, &data) : 0;
    char *text = size > 0 ? malloc((size_t)size + 1) : NULL;
    if (text != NULL) {
        memcpy(text, data, (size_t)size);
        text[size] = '\0';
    }
    return text;
}

static bool texts_write(X509 *cert, EVP_PKEY *key, struct oak_tls_self_signed *out)
{
    BIO *cert_bio = BIO_new(BIO_s_mem());
    BIO *key_bio = BIO_new(BIO_s_secmem());
    if (cert_bio != NULL && PEM_write_bio_X509(cert_bio, cert) == 1) {
        out->certificate = text_of(cert_bio);
    }
    if (key_bio != NULL && PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        out->key = text_of(key_bio);
    }
    BIO_free(cert_bio);
    BIO_free(key_bio);
    return out->certificate != NULL && out->key != NULL;
}

int oak_tls_self_sign(const char *const *hosts, size_t count, uint64_t seconds,
                      struct oak_tls_self_signed *out)
{
    *out = (struct oak_tls_self_signed){0};
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(hosts[i]);
        if (size == 0 || size >= TLS_NAME_BYTES) {
            return OAK_EINVAL;
        }
    }
    if (count == 0 || seconds == 0 || seconds > INT32_MAX * (uint64_t)100) {
        return OAK_EINVAL;
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool good = key != NULL && cert != NULL && cert_fill(cert, key, hosts, count, seconds) &&
                texts_write(cert, key, out);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!good) {
        oak_tls_self_signed_fini(out);
    }
    return good ? 0 : OAK_ENOMEM;
}

void oak_tls_self_signed_fini(struct oak_tls_self_signed *made)
{
    if (made->key != NULL) {
        OPENSSL_cleanse(made->key, strlen(made->key));
    }
    free(made->key);
    free(made->certificate);
    *made = (struct oak_tls_self_signed){0};
}
