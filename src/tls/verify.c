/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c: whether a peer is who it must be.
 *
 * A certificate is good when a chain of signatures leads from it to one that is trusted (a root, or
 * any other that was named as such, as Go has it), each in its time by the clock of the loop, none
 * revoked; its key may be used for this end of TLS; and, of a server, one of its alternative names
 * is the name that was connected to: the common name is not looked at (RFC 9525). Of a client, its
 * names may have to be among those allowed.
 *
 * Can fail     the handshake then ends with an alert; reason.c has the words.
 * Invariants   no empty name is ever verified: to OpenSSL it would mean any.
 * Thread       the connection's loop.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "tls/internal.h"

#define HOST_FLAGS (X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)

/* A list that is missing or past its time revokes what it says, and no more than that. */
static int lists_forgiven(int ok, X509_STORE_CTX *chain)
{
    int code = X509_STORE_CTX_get_error(chain);
    if (!ok && (code == X509_V_ERR_UNABLE_TO_GET_CRL || code == X509_V_ERR_CRL_HAS_EXPIRED)) {
        X509_STORE_CTX_set_error(chain, X509_V_OK);
        return 1;
    }
    return ok;
}

static bool common_name_is(const X509 *cert, const char *name)
{
    size_t size = 0;
    unsigned char *text = tls__common_name(cert, &size);
    bool same = text != NULL && size == strlen(name) && memcmp(text, name, size) == 0;
    OPENSSL_free(text);
    return same;
}

static bool host_is(X509 *cert, const char *host)
{
    if (host[0] == '\0') {
        return false;
    }
    return X509_check_ip_asc(cert, host, 0) == 1 ||
           X509_check_host(cert, host, strlen(host), HOST_FLAGS, NULL) == 1;
}

bool oak_tls_identity_is_host(const struct oak_identity *identity, const char *host, bool *names)
{
    const unsigned char *der = identity->certificate.data;
    X509 *cert = d2i_X509(NULL, &der, (long)identity->certificate.size);
    bool is = cert != NULL && host_is(cert, host);
    if (names != NULL) {
        *names = false;
        GENERAL_NAMES *all =
            cert != NULL ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
        for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
            int type = sk_GENERAL_NAME_value(all, i)->type;
            *names = *names || type == GEN_DNS || type == GEN_IPADD;
        }
        GENERAL_NAMES_free(all);
    }
    X509_free(cert);
    ERR_clear_error();
    return is;
}

static bool names_allowed(const struct oak_tls_options *o, X509 *cert)
{
    for (size_t i = 0; i < o->allowed_common_name_count; i++) {
        if (common_name_is(cert, o->allowed_common_names[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < o->allowed_host_count; i++) {
        if (host_is(cert, o->allowed_hosts[i])) {
            return true;
        }
    }
    return o->allowed_common_name_count == 0 && o->allowed_host_count == 0;
}

/* In the place of OpenSSL's own verification: that, and what we ask beyond it. */
static int verify_all(X509_STORE_CTX *chain, void *arg)
{
    const struct oak_tls *tls = arg;
    int ok = X509_verify_cert(chain);
    if (ok != 1) {
        return 0;
    }
    if (tls->options.role == OAK_TLS_SERVER &&
        !names_allowed(&tls->options, X509_STORE_CTX_get0_cert(chain))) {
        X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}

static int mode_of(const struct oak_tls_options *o)
{
    if (o->role == OAK_TLS_CLIENT) {
        return o->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    }
    switch (o->client_certificate) {
    case OAK_TLS_CLIENT_NONE:
        return SSL_VERIFY_NONE;
    case OAK_TLS_CLIENT_IF_GIVEN:
        return SSL_VERIFY_PEER;
    case OAK_TLS_CLIENT_REQUIRED:
        break;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

void tls__verify_setup(struct oak_tls *tls, SSL_CTX *ctx, bool crl)
{
    const struct oak_tls_options *o = &tls->options;
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    if (crl) {
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    }
    X509_VERIFY_PARAM_set_flags(param, flags);
    X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS);
    SSL_CTX_set_verify_depth(ctx, OAK_TLS_CHAIN_DEPTH_MAX);
    SSL_CTX_set_verify(ctx, mode_of(o), crl && !o->crl_strict ? lists_forgiven : NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_all, tls);
}

int tls__verify_name(SSL *ssl, const char *name)
{
    if (name[0] == '\0') {
        return OAK_EINVAL;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1) {
        return 0; /* an address is not told to the server (RFC 6066, section 3) */
    }
    ERR_clear_error();
    bool set = SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
    return set ? 0 : OAK_EINVAL;
}

void tls__verify_time(SSL *ssl, uint64_t wall_ns)
{
    X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), (time_t)(wall_ns / TLS_SECOND_NS));
}

/* "host:port", "[v6%zone]:port", "unix:path". A name may end in a dot, which certificates don't
 * have. */
bool tls__host_of(const char *address, char *out, size_t size)
{
    if (strncmp(address, "unix:", 5) == 0) {
        address = "localhost:0";
    }
    const char *end = strrchr(address, ':');
    if (end == NULL) {
        return false;
    }
    if (address[0] == '[') {
        address++;
        end = address + strcspn(address, "%]");
    } else if (end > address && end[-1] == '.') {
        end--;
    }
    size_t length = (size_t)(end - address);
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(out, address, length);
    out[length] = '\0';
    return true;
}
