/* SPDX-License-Identifier: Apache-2.0 */
/* reason.c: why TLS failed, as a person reads it. OpenSSL's words stay where they are clear. */
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "tls/internal.h"

const char *tls__openssl_text(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    if (text != NULL) {
        snprintf(out, size, "%s", text);
    } else if (code != 0) {
        snprintf(out, size, "error %lu of OpenSSL", code);
    } else {
        snprintf(out, size, "no reason was given");
    }
    return out;
}

static const char *certificate_text(long code)
{
    switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "it was issued by an unknown CA";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "it is not good for the name of the server";
    case X509_V_ERR_APPLICATION_VERIFICATION:
        return "its names are not among those allowed";
    default:
        return X509_verify_cert_error_string(code);
    }
}

void tls__reason(const SSL *ssl, char *out, size_t size)
{
    long verdict = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_last_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        snprintf(out, size, "the peer's certificate was refused: %s", certificate_text(verdict));
    } else if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST) {
        snprintf(out, size, "the peer speaks HTTP without TLS");
    } else if (reason == SSL_R_WRONG_VERSION_NUMBER) {
        snprintf(out, size, "the peer does not speak TLS");
    } else if (reason == SSL_R_NO_APPLICATION_PROTOCOL ||
               reason == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL) {
        snprintf(out, size, "no protocol in common (ALPN)");
    } else {
        tls__openssl_text(out, size);
    }
}
