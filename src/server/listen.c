/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c: the ports: clients (gRPC and HTTP/1.1 on one), peers (gRPC), metrics (HTTP/1.1), and
 * JSON-RPC when it is asked for. */
#include "server/internal.h"

static int listen_all(struct server *s, const struct oak_config_urls *urls,
                      enum secure_end_kind end, struct sniff *sniff, const char *what,
                      const char *flag, struct oak_errbuf *e)
{
    for (size_t i = 0; i < urls->count; i++) {
        OAK_ASSERT_LT(s->listener_count, LISTENERS_MAX);
        struct oak_listener *listener = NULL;
        bool secure = oak_config_url_is_secure(urls->items[i]);
        const struct oak_net *net = secure ? secure_net(&s->secure, end) : &s->port->net;
        struct oak_config_place place;
        oak_config_url_place(urls->items[i], &place);
        int error = net->listen(net->user, place.text, sniff_accept, sniff, &listener, e);
        if (error != 0) {
            return oak_fail_in(e, error, flag);
        }
        s->listeners[s->listener_count] = listener;
        s->listener_nets[s->listener_count++] = net;
        oak_log(s->log, OAK_LOG_INFO, "listening for %s on %s", what, urls->items[i]);
    }
    return 0;
}

static void refused_data(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}

static void refused_closed(void *user, int error)
{
    (void)user;
    (void)error;
}

static void jsonrpc_accept(void *arg, struct oak_stream *stream)
{
    struct server *s = arg;
    if (oak_jsonrpc_serve(s->jsonrpc, stream) != 0) {
        const struct oak_stream_handler refused = {.data = refused_data, .closed = refused_closed};
        stream->ops->handle(stream, &refused);
        stream->ops->close(stream, true);
    }
}

static int listen_jsonrpc(struct server *s, struct oak_errbuf *e)
{
    static const char flag[] = "--experimental-jsonrpc-listen";
    struct oak_listener *listener = NULL;
    if (s->jsonrpc == NULL) {
        return 0;
    }
    int error = s->port->net.listen(s->port->net.user, s->config.jsonrpc_listen, jsonrpc_accept, s,
                                    &listener, e);
    if (error != 0) {
        return oak_fail_in(e, error, flag);
    }
    OAK_ASSERT_LT(s->listener_count, LISTENERS_MAX);
    s->listeners[s->listener_count] = listener;
    s->listener_nets[s->listener_count++] = &s->port->net;
    oak_log(s->log, OAK_LOG_INFO, "listening for JSON-RPC on %s",
            s->port->net.listener_name(s->port->net.user, listener));
    return 0;
}

int server__listen(struct server *s, struct oak_errbuf *e)
{
    bool apart = s->config.listen_client_http_urls.count > 0;
    sniff_init(&s->client_sniff, s->port, s->client_rpc, apart ? NULL : s->client_http);
    sniff_init(&s->http_sniff, s->port, NULL, s->client_http);
    sniff_init(&s->peer_sniff, s->port, s->peer_rpc, NULL);
    /* No gRPC there: who comes by http has shown no certificate. */
    sniff_init(&s->metrics_sniff, s->port, NULL, s->metrics_http);
    int error = listen_all(s, &s->config.listen_peer_urls, SECURE_PEERS, &s->peer_sniff, "peers",
                           "--listen-peer-urls", e);
    if (error == 0) {
        error = listen_all(s, &s->config.listen_client_urls, SECURE_CLIENTS, &s->client_sniff,
                           "clients", "--listen-client-urls", e);
    }
    if (error == 0) {
        error = listen_all(s, &s->config.listen_client_http_urls, SECURE_CLIENTS, &s->http_sniff,
                           "clients of HTTP", "--listen-client-http-urls", e);
    }
    if (error == 0) {
        error = listen_all(s, &s->config.listen_metrics_urls, SECURE_CLIENTS, &s->metrics_sniff,
                           "metrics", "--listen-metrics-urls", e);
    }
    return error != 0 ? error : listen_jsonrpc(s, e);
}

void server__listen_stop(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        s->listener_nets[i]->listener_close(s->listener_nets[i]->user, s->listeners[i]);
    }
    if (s->listener_count > 0) {
        sniff_stop(&s->client_sniff);
        sniff_stop(&s->http_sniff);
        sniff_stop(&s->peer_sniff);
        sniff_stop(&s->metrics_sniff);
    }
    s->listener_count = 0;
}
