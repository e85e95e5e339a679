/* SPDX-License-Identifier: Apache-2.0 */
/* protocols.c: what will be spoken inside (ALPN, RFC 7301).
 *
 * A server takes the first of its own list that the client named. A peer that names none at all is
 * taken only if HTTP/1.1 is listed, which was spoken before there were names. HTTP/2 must be agreed
 * on: otherwise a client of another protocol could be made to send its bytes here (ALPACA).
 *
 * Thread       the connection's loop.
 */
#include "tls/internal.h"

static int choose(SSL *ssl, const unsigned char **out, unsigned char *size,
                  const unsigned char *offered, unsigned offered_size, void *arg)
{
    (void)ssl;
    const struct oak_tls *tls = arg;
    unsigned char *chosen = NULL;
    int rc = SSL_select_next_proto(&chosen, size, tls->alpn.data, (unsigned)tls->alpn.size, offered,
                                   offered_size);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Before anything is computed: a client that names none would be refused after the handshake. */
static int hello_seen(SSL *ssl, int *alert, void *arg)
{
    const struct oak_tls *tls = arg;
    const unsigned char *data = NULL;
    size_t size = 0;
    bool named = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                           &data, &size) == 1;
    if (named || tls->http1) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

bool tls__protocols_setup(struct oak_tls *tls, SSL_CTX *ctx)
{
    if (tls->options.role == OAK_TLS_CLIENT) {
        return SSL_CTX_set_alpn_protos(ctx, tls->alpn.data, (unsigned)tls->alpn.size) == 0;
    }
    SSL_CTX_set_alpn_select_cb(ctx, choose, tls);
    SSL_CTX_set_client_hello_cb(ctx, hello_seen, tls);
    return true;
}

bool tls__protocol_agreed(const struct oak_tls *tls, const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &name, &size);
    return size > 0 || tls->http1;
}
